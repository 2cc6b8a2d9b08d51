//! Linear layers.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Outlet, kernels, matrix, slice, squares, tensor, with, with_matrix};
use kernels::View;

/// `y = x wᵀ + b`, where `w` may be the transpose of what is stored.
pub struct Linear {
    pub outlet: Option<Outlet>,
}

/// Values, and how they lie.
type Input<'a> = (&'a CpuStorage, &'a Layout);

/// `x wᵀ + b`
pub fn forward((x, xl): Input, (w, wl): Input, (b, bl): Input) -> Result<Vec<f32>> {
    let (rows, (n, k)) = (xl.dims()[0], wl.shape().dims2()?);
    Ok(kernels::linear((rows, n, k), slice(x, xl)?, matrix(w, wl)?, slice(b, bl)?))
}

/// Gradients at `x`, `w` and `b` where the operation's result has the contiguous gradient `g`; those that somebody asks for, and
/// that do not go to the outlet.
pub fn backward(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    g: &Tensor,
    outlet: Option<&Outlet>,
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let ((n, k), m) = (w.dims2()?, x.dim(0)?);
    let dx = match x.track_op() {
        false => None,
        true => {
            let product =
                |g: &[f32]| with_matrix(w, |w| Ok(kernels::fresh_product((m, k, n), View::rows(g, n), w)));
            Some(tensor(with(g, product)?, x)?)
        }
    };
    match outlet {
        Some(Outlet::Tap(tap)) => {
            with(g, |g| squares::add_column_sums(tap, g, n))?;
            squares::add_products(tap, g, x)?;
            return Ok((dx, None, None));
        }
        Some(Outlet::Sink(sink)) => sink.add_product(g, x)?,
        None => {}
    }
    // Each for itself: a mask may let a bias move whose weight stays.
    let dw = match w.track_op() {
        false => None,
        true => {
            let product = |g: &[f32]| {
                with(x, |x| Ok(kernels::fresh_product((n, k, m), View::rows(g, n).t(), View::rows(x, k))))
            };
            Some(tensor(with(g, product)?, w)?)
        }
    };
    let db = match b.track_op() {
        false => None,
        true => {
            let mut db = vec![0f32; n];
            with(g, |g| {
                kernels::column_sums(g, &mut db);
                Ok(())
            })?;
            Some(tensor(db, b)?)
        }
    };
    Ok((dx, dw, db))
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = forward((x, xl), (w, wl), (b, bl))?;
        Ok((CpuStorage::F32(y), (xl.dims()[0], wl.dims()[0]).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        backward(x, w, b, &g.contiguous()?, self.outlet.as_ref())
    }
}
