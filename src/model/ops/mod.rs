//! The operations that BERT is made of, on packed batches (tokens `[total]`, no padding).
//!
//! Each is a function of tensors with two bodies: a fused one for the CPU ([`fused`], with its arithmetic in
//! [`kernels`]) and one composed of plain candle operations for every other device. Callers see neither.
//!
//! Traps: `candle_nn::LayerNorm`'s fused path, `ops::softmax_last_dim` and `ops::rms_norm` have no backward pass and
//! cut the gradient without an error, so none of them is used here; a test asks every parameter for its gradient.

mod composed;
pub mod fused;
mod kernels;

use candle_core::{Result, Tensor};

use crate::dropout::Noise;
use fused::{RowNoise, Tap};

/// How the rows of `x` belong to examples, and so how their noise is numbered: by (example, position), with `stride`
/// positions to an example. The numbering knows nothing of the other examples' lengths.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'a> {
    /// Where each example's rows begin, and where the last one's end: `[B + 1]`.
    pub offsets: &'a [usize],
    /// Index of the first example.
    pub first: usize,
    /// More positions than any example has.
    pub stride: usize,
}

/// `y = x Wᵀ + b`. `x` is `[rows, in]`, `w` `[out, in]`, `b` `[out]`; gives `[rows, out]`.
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor, tap: Option<Tap>) -> Result<Tensor> {
    match fused::takes(x) {
        true => x.contiguous()?.apply_op3(w, b, fused::Linear { tap }),
        false => composed::linear(x, w, b),
    }
}

/// The feed-forward activation, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)` with the error function (`gelu`).
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    Relu,
}

/// Applies the activation.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Gelu if fused::takes(x) => x.contiguous()?.apply_op1(fused::Gelu),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    }
}

/// `LayerNorm(x ⊙ noise + residual)` over the last axis of `[total, H]`, with weight and bias `[H]`.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    noise: Option<(Noise, &Packing)>,
    tap: Option<Tap>,
) -> Result<Tensor> {
    if !fused::takes(x) {
        let x = match noise {
            Some((noise, packing)) => composed::dropout(x, noise, packing)?,
            None => x.clone(),
        };
        return composed::layer_norm(&(x + residual)?, (weight, bias), eps);
    }
    let noise = noise.map(|(noise, packing)| RowNoise {
        noise,
        offsets: packing.offsets.to_vec(),
        first: packing.first,
        stride: packing.stride,
    });
    let parameters = Tensor::cat(&[weight, bias], 0)?;
    let op = fused::ResidualLayerNorm::new(eps, noise, tap);
    x.contiguous()?.apply_op3(&residual.contiguous()?, &parameters, op)
}

/// `x ⊙ noise` for `x` of `[total, H]`; the identity without noise.
pub fn dropout(x: &Tensor, noise: Option<Noise>, packing: &Packing) -> Result<Tensor> {
    noise.map_or(Ok(x.clone()), |noise| composed::dropout(x, noise, packing))
}

/// Multi-head softmax attention within each example. `qkv` is `[total, 3H]` (queries, keys, values); gives
/// `[total, H]`. `noise` multiplies the probabilities; its values are numbered by (example, head, query, key).
pub fn attention(qkv: &Tensor, heads: usize, noise: Option<Noise>, packing: &Packing) -> Result<Tensor> {
    if !fused::takes(qkv) {
        return composed::attention(qkv, heads, noise, packing);
    }
    let noise = noise.map(|noise| (noise, packing.first, packing.stride));
    qkv.contiguous()?.apply_op1(fused::Attention::new(heads, packing.offsets, noise))
}

/// Rows `ids` of a table `[V, H]`: `[ids, H]`.
pub fn rows(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}

/// `table` with the rows of `g` `[ids, H]` added at `ids`.
pub fn add_rows_at(table: &Tensor, ids: &[u32], g: &Tensor) -> Result<Tensor> {
    table.detach().index_add(&Tensor::new(ids, table.device())?, &g.contiguous()?, 0)
}

/// Negative log-likelihood in nats of the class `labels[i]` under `softmax(logits[i])`: `[rows, C]` to `[rows]`.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    if fused::takes(logits) {
        return logits.contiguous()?.apply_op1(fused::CrossEntropy::new(labels));
    }
    composed::cross_entropy(logits, labels)
}
