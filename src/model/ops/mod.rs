//! The operations that BERT is made of, on packed batches (tokens `[total]`, no padding).
//!
//! Each is a function of tensors whose body is composed of plain candle operations, all with a backward pass.
//!
//! Traps: `candle_nn::LayerNorm`'s fused path, `ops::softmax_last_dim` and `ops::rms_norm` have no backward pass and
//! cut the gradient without an error, so none of them is used here; a test asks every parameter for its gradient.

mod attention;

pub use attention::attention;

use candle_core::{D, Device, Result, Tensor};

use crate::dropout::Noise;

/// `y = x Wᵀ + b`. `x` is `[rows, in]`, `w` `[out, in]`, `b` `[out]`; gives `[rows, out]`.
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)?.broadcast_add(b)
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
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    }
}

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

/// `LayerNorm(x ⊙ noise + residual)` over the last axis of `[total, H]`, with weight and bias `[H]`.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    parameters: (&Tensor, &Tensor),
    eps: f64,
    noise: Option<Noise>,
    packing: &Packing,
) -> Result<Tensor> {
    layer_norm(&(dropout(x, noise, packing)? + residual)?, parameters, eps)
}

/// `(x - mean) / sqrt(variance + eps) ⊙ weight + bias` over the last axis of `[rows, H]`.
pub fn layer_norm(x: &Tensor, (weight, bias): (&Tensor, &Tensor), eps: f64) -> Result<Tensor> {
    let width = x.dim(D::Minus1)? as f64;
    let centred = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / width)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / width)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(weight)?.broadcast_add(bias)
}

/// `x ⊙ noise` for `x` of `[total, H]`; the identity without noise.
pub fn dropout(x: &Tensor, noise: Option<Noise>, packing: &Packing) -> Result<Tensor> {
    let Some(noise) = noise else { return Ok(x.clone()) };
    let width = x.dim(D::Minus1)?;
    let mut factors = vec![0f32; x.elem_count()];
    for (b, span) in packing.offsets.windows(2).enumerate() {
        let first = (packing.first + b) * packing.stride * width;
        noise.fill(first as u64, &mut factors[span[0] * width..span[1] * width]);
    }
    x * Tensor::from_vec(factors, x.shape(), &Device::Cpu)?.to_device(x.device())?
}

/// Rows `ids` of a table `[V, H]`: `[ids, H]`.
pub fn rows(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}

/// Negative log-likelihood in nats of the class `labels[i]` under `softmax(logits[i])`: `[rows, C]` to `[rows]`.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    // The maximum is a constant for the gradient: it cancels.
    let largest = logits.detach().max_keepdim(D::Minus1)?;
    let shifted = logits.broadcast_sub(&largest)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let index = Tensor::new(labels, logits.device())?.unsqueeze(1)?;
    (log_sum - shifted.gather(&index, D::Minus1)?)?.squeeze(1)
}
