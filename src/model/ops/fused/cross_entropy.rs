//! Cross-entropy of logits, and of a decoder whose logits are never kept.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::{Outlet, Saved, kernels, linear, saved, slice, tensor, with};

/// Negative log-likelihood of a label for each row of logits.
pub struct CrossEntropy {
    pub labels: Vec<u32>,
    normalizers: Saved,
}

impl CrossEntropy {
    pub fn new(labels: &[u32]) -> CrossEntropy {
        CrossEntropy { labels: labels.to_vec(), normalizers: Saved::default() }
    }
}

/// Losses and most likely classes `[rows]` of the logits `x wᵀ + b`, without a backward pass.
pub fn decoded_cross_entropy(x: &Tensor, w: &Tensor, b: &Tensor, labels: &[u32]) -> Result<(Tensor, Tensor)> {
    check_labels(labels, x.dim(0)?, b.elem_count())?;
    let (mut losses, mut predicted) = (vec![0f32; labels.len()], vec![0f32; labels.len()]);
    with(x, |x| {
        with(w, |w| {
            with(b, |b| {
                kernels::decoded_cross_entropy((x, w, b), labels, &mut losses, &mut predicted);
                Ok(())
            })
        })
    })?;
    Ok((Tensor::new(losses, x.device())?, Tensor::new(predicted, x.device())?))
}

fn check_labels(labels: &[u32], rows: usize, classes: usize) -> Result<()> {
    if rows != labels.len() || labels.iter().any(|label| *label as usize >= classes) {
        bail!("cross-entropy: {rows} labels below {classes} wanted");
    }
    Ok(())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, classes) = (l.dims()[0], l.dims()[1]);
        check_labels(&self.labels, rows, classes)?;
        let (mut losses, mut normalizers) = (vec![0f32; rows], vec![0f32; rows]);
        kernels::cross_entropy(slice(logits, l)?, &self.labels, &mut losses, &mut normalizers);
        *saved(&self.normalizers)? = normalizers;
        Ok((CpuStorage::F32(losses), rows.into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let mut own = with(logits, |logits| Ok(kernels::copied(logits)))?;
        self.backward(&mut own, g)?;
        tensor(own, logits).map(Some)
    }
}

impl CrossEntropy {
    /// Makes logits their own gradient, where `g` `[rows]` is that of the losses.
    fn backward(&self, logits: &mut [f32], g: &Tensor) -> Result<()> {
        let normalizers = saved(&self.normalizers)?;
        with(&g.contiguous()?, |g| {
            kernels::cross_entropy_backward(logits, &self.labels, &normalizers, g);
            Ok(())
        })
    }
}

/// Cross-entropy of the logits `x wᵀ + b`, with one backward pass: the logits of a vocabulary are in memory once, and become
/// their own gradient there.
pub struct DecodedLoss {
    cross_entropy: CrossEntropy,
    outlet: Option<Outlet>,
    logits: Saved,
}

impl DecodedLoss {
    pub fn new(labels: &[u32], outlet: Option<Outlet>) -> DecodedLoss {
        DecodedLoss { cross_entropy: CrossEntropy::new(labels), outlet, logits: Saved::default() }
    }
}

impl CustomOp3 for DecodedLoss {
    fn name(&self) -> &'static str {
        "decoded-loss"
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
        let logits = linear::forward((x, xl), (w, wl), (b, bl))?;
        let shape = Layout::contiguous((xl.dims()[0], wl.dims()[0]));
        let logits = CpuStorage::F32(logits);
        let losses = self.cross_entropy.cpu_fwd(&logits, &shape)?;
        if let CpuStorage::F32(logits) = logits {
            *saved(&self.logits)? = logits;
        }
        Ok(losses)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut logits = std::mem::take(&mut *saved(&self.logits)?);
        let shape = (x.dim(0)?, w.dim(0)?);
        if logits.len() != shape.0 * shape.1 {
            bail!("a decoded loss has one backward pass");
        }
        self.cross_entropy.backward(&mut logits, g)?;
        let g = Tensor::from_vec(logits, shape, x.device())?;
        linear::backward(x, w, b, &g, self.outlet.as_ref())
    }
}
