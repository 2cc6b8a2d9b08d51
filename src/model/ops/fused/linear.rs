//! Linear layers.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Tap, kernels, matrix, slice, tensor, with, with_matrix};
use crate::threads;

/// `y = x wᵀ + b`, where `w` may be the transpose of what is stored.
pub struct Linear {
    pub tap: Option<Tap>,
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
        let (rows, n) = (xl.dims()[0], wl.dims()[0]);
        let mut y = threads::zeros(rows * n);
        kernels::linear(slice(x, xl)?, matrix(w, wl)?, slice(b, bl)?, &mut y);
        Ok((CpuStorage::F32(y), (rows, n).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((n, k), m, g) = (w.dims2()?, x.dim(0)?, g.contiguous()?);
        with(&g, |g| {
            with(x, |xs| {
                let dx = match x.track_op() {
                    false => None,
                    true => with_matrix(w, |w| {
                        let mut dx = threads::zeros(m * k);
                        kernels::product((m, k, n), &mut dx, false, kernels::View::rows(g, n), w);
                        tensor(dx, x).map(Some)
                    })?,
                };
                if let Some(tap) = &self.tap {
                    tap.add_column_sums(&tap.biases, g, n)?;
                    tap.add_products(g, xs, (n, k))?;
                    return Ok((dx, None, None));
                }
                // Each for itself: a mask may let a bias move whose weight stays.
                let dw = match w.track_op() {
                    false => None,
                    true => {
                        let mut dw = threads::zeros(n * k);
                        let views = (kernels::View::rows(g, n).t(), kernels::View::rows(xs, k));
                        kernels::product((n, k, m), &mut dw, false, views.0, views.1);
                        Some(tensor(dw, w)?)
                    }
                };
                let db = match b.track_op() {
                    false => None,
                    true => {
                        let mut db = vec![0f32; n];
                        kernels::column_sums(g, &mut db);
                        Some(tensor(db, b)?)
                    }
                };
                Ok((dx, dw, db))
            })
        })
    }
}
