//! The norm of a residual sum, with dropout on the way in.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Saved, Tap, kernels, saved, slice, squares, tensor, with};
use crate::dropout::Noise;
use crate::model::settings::Norm;
use crate::threads::{filled, grain};

/// `norm(x ⊙ noise + residual)`, the third input being weight and bias `[2H]`.
pub struct ResidualNorm {
    pub norm: Norm,
    pub eps: f64,
    /// Noise on `x`, its rows and their numbering.
    pub noise: Option<RowNoise>,
    pub tap: Option<Tap>,
    normal: Saved,
    scale: Saved,
}

/// Noise for rows that belong to examples; see [`Packing`](crate::model::ops::Packing).
#[derive(Clone)]
pub struct RowNoise {
    pub noise: Noise,
    pub offsets: Vec<usize>,
    pub first: usize,
    pub stride: usize,
    /// Position of each row in its example.
    pub positions: Vec<u32>,
}

impl RowNoise {
    /// Multiplies rows of `width` values, from row `first` on.
    fn multiply(&self, first: usize, values: &mut [f32], width: usize) {
        let mut factors = vec![0f32; width];
        for (row, values) in (first..).zip(values.chunks_exact_mut(width)) {
            let b = self.offsets.partition_point(|offset| *offset <= row) - 1;
            let place = (self.first + b) * self.stride + self.positions[row] as usize;
            self.noise.fill((place * width) as u64, &mut factors);
            values.iter_mut().zip(&factors).for_each(|(v, f)| *v *= f);
        }
    }
}

impl ResidualNorm {
    pub fn new(norm: Norm, eps: f64, noise: Option<RowNoise>, tap: Option<Tap>) -> ResidualNorm {
        ResidualNorm { norm, eps, noise, tap, normal: Saved::default(), scale: Saved::default() }
    }
}

impl CustomOp3 for ResidualNorm {
    fn name(&self) -> &'static str {
        "residual-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        r: &CpuStorage,
        rl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (residual, parameters) = (slice(r, rl)?, slice(p, pl)?);
        let width = parameters.len() / 2;
        let noise = |row: usize, rows: &mut [f32]| {
            if let Some(noise) = &self.noise {
                noise.multiply(row, rows, width);
            }
        };
        let (sum, halves) = ((slice(x, xl)?, residual), parameters.split_at(width));
        let normed = kernels::norm(self.norm == Norm::Layer, sum, noise, halves, self.eps as f32);
        *saved(&self.normal)? = normed.normal;
        *saved(&self.scale)? = normed.scale;
        Ok((CpuStorage::F32(normed.y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        p: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (width, centred) = (p.elem_count() / 2, self.norm == Norm::Layer);
        let mut d = with(&g.contiguous()?, |g| Ok(kernels::copied(g)))?;
        let (normal, scale) = (saved(&self.normal)?, saved(&self.scale)?);
        // Tasks are examples where each is asked for, else runs of rows; shares are added in order.
        let rows = d.len() / width;
        let spans: Vec<usize> = match &self.tap {
            Some(tap) => tap.spans.to_vec(),
            None => (0..rows).step_by(64).chain([rows]).collect(),
        };
        let mut shares = vec![0f32; (spans.len() - 1) * 2 * width];
        let mut parts = Vec::new();
        let mut rest = d.as_mut_slice();
        for (span, share) in spans.windows(2).zip(shares.chunks_exact_mut(2 * width)) {
            let (own, others) = rest.split_at_mut((span[1] - span[0]) * width);
            parts.push((span[0], span[1], own, share));
            rest = others;
        }
        with(p, |p| {
            parts.into_par_iter().with_min_len(grain()).for_each(|(from, to, d, share)| {
                let normal = &normal[from * width..to * width];
                kernels::norm_backward_rows(centred, normal, &scale[from..to], &p[..width], d, share);
            });
            Ok(())
        })?;
        let parameters = match &self.tap {
            Some(tap) => {
                let half = |i: usize| -> Vec<f32> {
                    shares
                        .chunks_exact(2 * width)
                        .flat_map(|s| s[i * width..(i + 1) * width].to_vec())
                        .collect()
                };
                squares::add_vectors(tap, &tap.weights, &half(0))?;
                squares::add_vectors(tap, &tap.biases, &half(1))?;
                None
            }
            None if p.track_op() => {
                let mut sum = vec![0f32; 2 * width];
                kernels::add_rows(&shares, 2 * width, &mut sum);
                Some(tensor(sum, p)?)
            }
            None => None,
        };
        let residual = tensor(d, x)?;
        let dx = match &self.noise {
            None => residual.clone(),
            Some(noise) => {
                let noisy = |d: &[f32]| {
                    Ok(filled(d.len(), 32 * width, |at, out| {
                        out.copy_from_slice(&d[at..at + out.len()]);
                        noise.multiply(at / width, out, width);
                    }))
                };
                tensor(with(&residual, noisy)?, x)?
            }
        };
        Ok((Some(dx), Some(residual), parameters))
    }
}
