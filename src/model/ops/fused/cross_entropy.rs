//! Cross-entropy of logits, and of a decoder whose logits are never kept.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{Saved, kernels, saved, slice, tensor, with};
use crate::threads;

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
        let (g, normalizers) = (g.contiguous()?, saved(&self.normalizers)?);
        let mut out = threads::zeros(logits.elem_count());
        with(logits, |logits| {
            with(&g, |g| {
                kernels::cross_entropy_backward(logits, &self.labels, &normalizers, g, &mut out);
                Ok(())
            })
        })?;
        tensor(out, logits).map(Some)
    }
}
