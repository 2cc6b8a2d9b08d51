//! Bodies composed of candle-nn's differentiable operations, for every device; also the fused bodies' second implementation
//! in tests.
//!
//! Attention pads inside this file only: gather to `[B, heads, T, d]`, attend with the padding masked out, gather
//! back. A padded key has probability exactly 0 and a padded query is dropped, so neither value nor gradient depends on
//! the padding.

mod noise;
pub mod squares;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::{layer_norm_slow, log_softmax, rms_norm_slow, softmax};

use super::tap::Tap;
use super::{Packing, Precision};
use crate::dropout::Noise;
use crate::model::settings::{Distances, Heads, Mask, Norm, Scores};
use squares::{Watch, Watched};

pub fn linear(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    precision: Precision,
    tap: Option<Tap>,
) -> Result<Tensor> {
    let y = precision.product(x, &w.t()?)?;
    let y = b.map_or_else(|| Ok(y.clone()), |b| y.broadcast_add(b))?;
    match tap {
        None => Ok(y),
        Some(tap) => y.apply_op1(Watch { tap, watched: Watched::Linear(x.detach(), precision) }),
    }
}

pub fn norm(
    x: &Tensor,
    (weight, bias): (&Tensor, Option<&Tensor>),
    (norm, eps): (Norm, f64),
    tap: Option<Tap>,
) -> Result<Tensor> {
    let normalized = |weight: &Tensor, bias: &Tensor| match norm {
        Norm::Layer => layer_norm_slow(x, weight, bias, eps as f32),
        Norm::Rms => rms_norm_slow(x, weight, eps as f32)?.broadcast_add(bias),
    };
    let bias = bias.map_or_else(|| weight.zeros_like(), |bias| Ok(bias.clone()))?;
    let Some(tap) = tap else { return normalized(weight, &bias) };
    let normal = normalized(&weight.ones_like()?, &bias.zeros_like()?)?;
    let y = normal.broadcast_mul(weight)?.broadcast_add(&bias)?;
    y.apply_op1(Watch { tap, watched: Watched::Norm(normal.detach()) })
}

pub fn dropout(x: &Tensor, noise: Noise, packing: &Packing) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let first = |b: usize, row: usize| {
        let place = (packing.first + b) * packing.stride + packing.positions[row] as usize;
        (place * width) as i64
    };
    let spans = packing.offsets.windows(2).enumerate();
    let firsts = spans.flat_map(|(b, span)| (span[0]..span[1]).map(move |row| first(b, row)));
    x * noise::factors(noise, firsts.collect(), width, x.device())?
}

pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let index = Tensor::new(labels, logits.device())?.unsqueeze(1)?;
    log_softmax(logits, D::Minus1)?.gather(&index, D::Minus1)?.squeeze(1)?.neg()
}

pub fn attention(
    (q, kv, added): (&Tensor, &Tensor, Option<&Tensor>),
    (scores, precision): (Scores, Precision),
    noise: Option<Noise>,
    queries: &Packing,
    keys: &[usize],
) -> Result<Tensor> {
    let Heads { queries: heads, keys: key_heads, depth } = scores.heads;
    let (batch, width) = (keys.len() - 1, key_heads * depth);
    let (rows, columns) = (Padding::new(queries.offsets), Padding::new(keys));
    let (tq, tk) = (rows.longest, columns.longest);
    let split =
        |x: Tensor, t: usize, n: usize| x.reshape((batch, t, n, depth))?.transpose(1, 2)?.contiguous();
    let part = |i: usize| {
        let own = split(columns.pad(&kv.narrow(1, i * width, width)?.contiguous()?)?, tk, key_heads)?;
        // Once for each head of queries that it serves.
        let shape = (batch, key_heads, heads / key_heads, tk, depth);
        own.unsqueeze(2)?.broadcast_as(shape)?.reshape((batch, heads, tk, depth))
    };
    let (q, k, v) = (split(rows.pad(q)?, tq, heads)?, part(0)?, part(1)?);
    let mut sums = (precision.product(&q, &k.t()?)? * f64::from(scores.scale()))?;
    if let (Some(added), Some(distances)) = (added, scores.distances) {
        let buckets = buckets(distances, queries, &rows, tk, added)?;
        sums = (sums + added.contiguous()?.gather(&buckets, 2)?.reshape((batch, heads, tq, tk))?)?;
    }
    let seen = seen(scores.mask, queries, &rows, &columns, sums.device())?;
    let probabilities = softmax(&sums.broadcast_add(&seen)?, D::Minus1)?;
    let probabilities = match noise {
        None => probabilities,
        Some(noise) => {
            let first = |i: usize| {
                let (b, head, query) = (i / (heads * tq), i / tq % heads, i % tq);
                // A padded query may have any noise: it is dropped.
                let at = queries.positions.get(queries.offsets[b] + query).copied().unwrap_or(0) as usize;
                ((((queries.first + b) * heads + head) * queries.stride + at) * queries.stride) as i64
            };
            let firsts = (0..batch * heads * tq).map(first).collect();
            let factors = noise::factors(noise, firsts, tk, probabilities.device())?;
            (&probabilities * factors.reshape(probabilities.shape())?)?
        }
    };
    let context = precision.product(&probabilities, &v)?.transpose(1, 2)?;
    let context = context.reshape((batch * tq, heads * depth))?;
    rows.unpad(&context)
}

/// The bucket of each pair of query and key: `[B, heads, tq tk]`. Those of padding may be any: it is masked out, or dropped.
fn buckets(
    distances: Distances,
    queries: &Packing,
    rows: &Padding,
    tk: usize,
    added: &Tensor,
) -> Result<Tensor> {
    let (batch, heads, _) = added.dims3()?;
    let at = |b: usize, query: usize| {
        let own = (query < rows.lengths[b]).then(|| queries.positions.get(queries.offsets[b] + query));
        own.flatten().copied().unwrap_or(0) as usize
    };
    let pairs = (0..batch).flat_map(|b| (0..rows.longest).map(move |query| (b, query)));
    let own = pairs.map(|(b, query)| at(b, query));
    let buckets = own.flat_map(|at| (0..tk).map(move |key| distances.bucket(at, key) as u32));
    let buckets =
        Tensor::from_vec(buckets.collect::<Vec<u32>>(), (batch, 1, rows.longest * tk), added.device())?;
    buckets.broadcast_as((batch, heads, rows.longest * tk))?.contiguous()
}

/// 0 at the keys that a query sees, minus infinity at the others: `[B, 1, tq, tk]`. A query that is padding sees the
/// first key: every row keeps at least one.
fn seen(mask: Mask, queries: &Packing, rows: &Padding, columns: &Padding, device: &Device) -> Result<Tensor> {
    let (batch, tq, tk) = (rows.lengths.len(), rows.longest, columns.longest);
    let mut values = vec![f32::NEG_INFINITY; batch * tq * tk];
    for (i, row) in values.chunks_exact_mut(tk).enumerate() {
        let (b, query) = (i / tq, i % tq);
        let visible = match query < rows.lengths[b] {
            true => mask.visible(queries.positions[queries.offsets[b] + query] as usize, columns.lengths[b]),
            false => 0..1,
        };
        row[visible].fill(0.0);
    }
    Tensor::from_vec(values, (batch, 1, tq, tk), device)
}

/// Packed row of each cell of a rectangle of `longest` rows for each example; `none` where there is none.
fn cells(offsets: &[usize], longest: usize, none: u32) -> Vec<u32> {
    let cell = |span: &[usize]| {
        let (first, end) = (span[0], span[1]);
        (first..first + longest).map(move |row| if row < end { row as u32 } else { none })
    };
    offsets.windows(2).flat_map(cell).collect()
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
        let uneven = lengths.iter().any(|&length| length < longest);
        let to_padded = uneven.then(|| cells(offsets, longest, 0));
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
}
