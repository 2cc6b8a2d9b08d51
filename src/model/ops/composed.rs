//! Bodies composed of plain candle operations, for devices without a fused one; also the fused bodies' second
//! implementation in tests.
//!
//! Attention pads inside this file only: gather to `[B, heads, T, d]`, attend with the padding masked out, gather
//! back. A padded key has probability exactly 0 and a padded query is dropped, so neither value nor gradient depends on
//! the padding.

use candle_core::{D, Device, Result, Tensor};

use super::Packing;
use crate::dropout::Noise;

pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)?.broadcast_add(b)
}

pub fn layer_norm(x: &Tensor, (weight, bias): (&Tensor, &Tensor), eps: f64) -> Result<Tensor> {
    let width = x.dim(D::Minus1)? as f64;
    let centred = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / width)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / width)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(weight)?.broadcast_add(bias)
}

pub fn dropout(x: &Tensor, noise: Noise, packing: &Packing) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let mut factors = vec![0f32; x.elem_count()];
    for (b, span) in packing.offsets.windows(2).enumerate() {
        let first = (packing.first + b) * packing.stride * width;
        noise.fill(first as u64, &mut factors[span[0] * width..span[1] * width]);
    }
    x * Tensor::from_vec(factors, x.shape(), &Device::Cpu)?.to_device(x.device())?
}

pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    // The maximum is a constant for the gradient: it cancels.
    let largest = logits.detach().max_keepdim(D::Minus1)?;
    let shifted = logits.broadcast_sub(&largest)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let index = Tensor::new(labels, logits.device())?.unsqueeze(1)?;
    (log_sum - shifted.gather(&index, D::Minus1)?)?.squeeze(1)
}

pub fn attention(qkv: &Tensor, heads: usize, noise: Option<Noise>, packing: &Packing) -> Result<Tensor> {
    let Packing { offsets, first, stride } = *packing;
    let (batch, width) = (offsets.len() - 1, qkv.dim(1)? / 3);
    let (depth, padded) = (width / heads, Padding::new(offsets));
    let t = padded.longest;
    let part = |i: usize| {
        let part = padded.pad(&qkv.narrow(1, i * width, width)?.contiguous()?)?;
        part.reshape((batch, t, heads, depth))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (depth as f64).sqrt()))?;
    let scores = padded.mask(&scores)?;
    let shifted = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let probabilities = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    let probabilities = match noise {
        None => probabilities,
        Some(noise) => {
            let mut factors = vec![0f32; batch * heads * t * t];
            for (i, row) in factors.chunks_exact_mut(t).enumerate() {
                let (b, head, query) = (i / (heads * t), i / t % heads, i % t);
                let index = (((first + b) * heads + head) * stride + query) * stride;
                noise.fill(index as u64, row);
            }
            let shape = probabilities.shape();
            (&probabilities * Tensor::from_vec(factors, shape, &Device::Cpu)?.to_device(qkv.device())?)?
        }
    };
    let context = probabilities.matmul(&v)?.transpose(1, 2)?.reshape((batch * t, width))?;
    padded.unpad(&context)
}

/// Between packed rows and a padded rectangle.
struct Padding {
    lengths: Vec<usize>,
    longest: usize,
    /// Packed row of each cell of the rectangle (row 0 where there is none); `None` if nothing is padded.
    to_padded: Option<Vec<u32>>,
}

impl Padding {
    fn new(offsets: &[usize]) -> Padding {
        let lengths: Vec<usize> = offsets.windows(2).map(|w| w[1] - w[0]).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let cell = |b: usize, t: usize| if t < lengths[b] { (offsets[b] + t) as u32 } else { 0 };
        let uneven = lengths.iter().any(|&length| length < longest);
        let to_padded = uneven.then(|| {
            (0..lengths.len())
                .flat_map(|b| (0..longest).map(move |t| (b, t)))
                .map(|(b, t)| cell(b, t))
                .collect()
        });
        Padding { lengths, longest, to_padded }
    }

    fn pad(&self, packed: &Tensor) -> Result<Tensor> {
        match &self.to_padded {
            None => Ok(packed.clone()),
            Some(rows) => super::rows(packed, rows),
        }
    }

    fn unpad(&self, padded: &Tensor) -> Result<Tensor> {
        if self.to_padded.is_none() {
            return Ok(padded.clone());
        }
        let row = |b: usize| (0..self.lengths[b]).map(move |t| (b * self.longest + t) as u32);
        super::rows(padded, &(0..self.lengths.len()).flat_map(row).collect::<Vec<u32>>())
    }

    /// Minus infinity at the keys that are padding; every row keeps at least one key.
    fn mask(&self, scores: &Tensor) -> Result<Tensor> {
        if self.to_padded.is_none() {
            return Ok(scores.clone());
        }
        let value = |b: usize, t: usize| if t < self.lengths[b] { 0f32 } else { f32::NEG_INFINITY };
        let mask: Vec<f32> =
            (0..self.lengths.len()).flat_map(|b| (0..self.longest).map(move |t| value(b, t))).collect();
        let shape = (self.lengths.len(), 1, 1, self.longest);
        scores.broadcast_add(&Tensor::from_vec(mask, shape, scores.device())?)
    }
}
