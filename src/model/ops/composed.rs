//! Bodies composed of candle-nn's differentiable operations, for every device; also the fused bodies' second implementation
//! in tests.
//!
//! Attention pads inside this file only: gather to `[B, heads, T, d]`, attend with the padding masked out, gather
//! back. A padded key has probability exactly 0 and a padded query is dropped, so neither value nor gradient depends on
//! the padding.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::{log_softmax, softmax};
use candle_nn::{Linear, Module};

use super::Packing;
use crate::dropout::Noise;

pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    Linear::new(w.clone(), Some(b.clone())).forward(x)
}

pub fn dropout(x: &Tensor, noise: Noise, packing: &Packing) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let mut factors = vec![0f32; x.elem_count()];
    for (b, span) in packing.offsets.windows(2).enumerate() {
        for row in span[0]..span[1] {
            let place = (packing.first + b) * packing.stride + packing.positions[row] as usize;
            noise.fill((place * width) as u64, &mut factors[row * width..(row + 1) * width]);
        }
    }
    x * Tensor::from_vec(factors, x.shape(), &Device::Cpu)?.to_device(x.device())?
}

pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let index = Tensor::new(labels, logits.device())?.unsqueeze(1)?;
    log_softmax(logits, D::Minus1)?.gather(&index, D::Minus1)?.squeeze(1)?.neg()
}

pub fn attention(
    q: &Tensor,
    kv: &Tensor,
    heads: usize,
    noise: Option<Noise>,
    queries: &Packing,
    keys: &[usize],
) -> Result<Tensor> {
    let (batch, width) = (keys.len() - 1, q.dim(1)?);
    let (depth, rows, columns) = (width / heads, Padding::new(queries.offsets), Padding::new(keys));
    let (tq, tk) = (rows.longest, columns.longest);
    let split = |x: Tensor, t: usize| x.reshape((batch, t, heads, depth))?.transpose(1, 2)?.contiguous();
    let part = |i: usize| split(columns.pad(&kv.narrow(1, i * width, width)?.contiguous()?)?, tk);
    let (q, k, v) = (split(rows.pad(q)?, tq)?, part(0)?, part(1)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (depth as f64).sqrt()))?;
    let probabilities = softmax(&columns.mask(&scores)?, D::Minus1)?;
    let probabilities = match noise {
        None => probabilities,
        Some(noise) => {
            let mut factors = vec![0f32; batch * heads * tq * tk];
            for (i, row) in factors.chunks_exact_mut(tk).enumerate() {
                let (b, head, query) = (i / (heads * tq), i / tq % heads, i % tq);
                // A padded query may have any noise: it is dropped.
                let at = queries.positions.get(queries.offsets[b] + query).copied().unwrap_or(0) as usize;
                let index = (((queries.first + b) * heads + head) * queries.stride + at) * queries.stride;
                noise.fill(index as u64, row);
            }
            let shape = probabilities.shape();
            (&probabilities
                * Tensor::from_vec(factors, shape, &Device::Cpu)?.to_device(probabilities.device())?)?
        }
    };
    let context = probabilities.matmul(&v)?.transpose(1, 2)?.reshape((batch * tq, width))?;
    rows.unpad(&context)
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
