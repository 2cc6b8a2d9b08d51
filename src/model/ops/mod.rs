//! The operations that networks are made of, on packed batches (tokens `[total]`, no padding).
//!
//! Each has two bodies, and a [`Backend`] says which: a fused one for float32 on the CPU ([`fused`], with its arithmetic in
//! `kernels`), whose backward pass also squares gradients where they arise, and one composed of candle-nn's operations for
//! every device (`composed`).
//!
//! Traps: `candle_nn::LayerNorm`'s fused path, `ops::softmax_last_dim` and `ops::rms_norm` have no backward pass and
//! cut the gradient without an error, so none of them is used here; a test asks every parameter for its gradient.

mod composed;
pub mod fused;
mod kernels;

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::{Activation, Module};

use crate::dropout::Noise;
use fused::{PairNoise, RowNoise, Tap};

pub use kernels::SparseRows;

/// Which bodies the operations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Our own, for float32 on the CPU.
    Fused,
    /// Composed of candle-nn's differentiable operations, for any device.
    Composed,
}

/// How rows belong to examples, and so how their noise is numbered: by (example, position), with `stride` positions to
/// an example. The numbering knows nothing of the other examples' lengths, nor of rows that are left out.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'a> {
    /// Where each example's rows begin, and where the last one's end: `[B + 1]`.
    pub offsets: &'a [usize],
    /// Position of each row in its example: `[rows]`.
    pub positions: &'a [u32],
    /// Index of the first example.
    pub first: usize,
    /// More positions than any example has.
    pub stride: usize,
}

impl Backend {
    /// Every backend, for tests that hold them against one another.
    pub const ALL: [Backend; 2] = [Backend::Fused, Backend::Composed];

    /// The fastest on a device.
    pub fn of(device: &Device) -> Backend {
        if device.is_cpu() { Backend::Fused } else { Backend::Composed }
    }

    /// Whether a backward pass squares gradients where they arise, for whoever gives a [`Tap`].
    pub fn taps(self) -> bool {
        self == Backend::Fused
    }

    /// `y = x Wᵀ + b`. `x` is `[rows, in]`, `w` `[out, in]`, `b` `[out]`; gives `[rows, out]`.
    pub fn linear(self, x: &Tensor, w: &Tensor, b: &Tensor, tap: Option<Tap>) -> Result<Tensor> {
        match self {
            Backend::Fused => x.contiguous()?.apply_op3(w, b, fused::Linear { tap }),
            Backend::Composed => untapped(tap).and_then(|()| composed::linear(x, w, b)),
        }
    }

    /// Applies the feed-forward activation, element by element.
    pub fn activate(self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        match (self, activation) {
            (Backend::Fused, Activation::Gelu) => x.contiguous()?.apply_op1(fused::Gelu),
            _ => activation.forward(x),
        }
    }

    /// `LayerNorm(x ⊙ noise + residual)` over the last axis of `[total, H]`, with weight and bias `[H]`.
    pub fn residual_layer_norm(
        self,
        x: &Tensor,
        residual: &Tensor,
        (weight, bias): (&Tensor, &Tensor),
        eps: f64,
        noise: Option<(Noise, &Packing)>,
        tap: Option<Tap>,
    ) -> Result<Tensor> {
        if self == Backend::Composed {
            untapped(tap)?;
            let x = match noise {
                Some((noise, packing)) => composed::dropout(x, noise, packing)?,
                None => x.clone(),
            };
            return candle_nn::ops::layer_norm_slow(&(x + residual)?, weight, bias, eps as f32);
        }
        let noise = noise.map(|(noise, packing)| RowNoise {
            noise,
            offsets: packing.offsets.to_vec(),
            first: packing.first,
            stride: packing.stride,
            positions: packing.positions.to_vec(),
        });
        let parameters = Tensor::cat(&[weight, bias], 0)?;
        let op = fused::ResidualLayerNorm::new(eps, noise, tap);
        x.contiguous()?.apply_op3(&residual.contiguous()?, &parameters, op)
    }

    /// Multi-head softmax attention within each example: queries `q` `[rows, H]` as `queries` packs them, keys and values
    /// `kv` `[total, 2H]` of every token, whose examples begin at `keys`. Gives `[rows, H]`. `noise` multiplies the
    /// probabilities; its values are numbered by (example, head, position of the query, position of the key).
    pub fn attention(
        self,
        q: &Tensor,
        kv: &Tensor,
        heads: usize,
        noise: Option<Noise>,
        queries: &Packing,
        keys: &[usize],
    ) -> Result<Tensor> {
        if self == Backend::Composed {
            return composed::attention(q, kv, heads, noise, queries, keys);
        }
        let noise = noise.map(|noise| PairNoise {
            noise,
            first: queries.first,
            stride: queries.stride,
            positions: queries.positions.to_vec(),
        });
        let op = fused::Attention::new(heads, queries.offsets, keys, noise);
        q.contiguous()?.apply_op2(&kv.contiguous()?, op)
    }

    /// Negative log-likelihood in nats of the class `labels[i]` under `softmax(logits[i])`: `[rows, C]` to `[rows]`.
    pub fn cross_entropy(self, logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
        match self {
            Backend::Fused => logits.contiguous()?.apply_op1(fused::CrossEntropy::new(labels)),
            Backend::Composed => composed::cross_entropy(logits, labels),
        }
    }

    /// [`cross_entropy`](Self::cross_entropy) of the logits `x wᵀ + b`, and the scores to predict from: the logits
    /// `[rows, C]` or, where no gradient is wanted, the most likely class itself `[rows]`. The fused body never keeps the
    /// logits of a vocabulary then.
    pub fn decoded_cross_entropy(
        self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        labels: &[u32],
    ) -> Result<(Tensor, Tensor)> {
        if self == Backend::Fused && ![x, w, b].iter().any(|t| t.track_op()) {
            return fused::decoded_cross_entropy(&x.contiguous()?, w, b, labels);
        }
        let logits = self.linear(x, w, b, None)?;
        Ok((self.cross_entropy(&logits, labels)?, logits.detach()))
    }
}

/// A tap that nobody serves would leave squares at zero without a word.
fn untapped(tap: Option<Tap>) -> Result<()> {
    if tap.is_some() { bail!("the composed operations square no gradients") } else { Ok(()) }
}

/// `x ⊙ noise` for `x` of `[total, H]`; the identity without noise.
pub fn dropout(x: &Tensor, noise: Option<Noise>, packing: &Packing) -> Result<Tensor> {
    noise.map_or(Ok(x.clone()), |noise| composed::dropout(x, noise, packing))
}

/// Rows `ids` of a table `[V, H]`: `[ids, H]`.
pub fn rows(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}

/// `table` with the rows of `g` `[ids, H]` added at `ids`.
pub fn add_rows_at(table: &Tensor, ids: &[u32], g: &Tensor) -> Result<Tensor> {
    table.detach().index_add(&Tensor::new(ids, table.device())?, &g.contiguous()?, 0)
}

#[cfg(test)]
mod tests {
    use Backend::{Composed, Fused};
    use candle_core::Var;

    use super::*;
    use crate::dropout::noise::Kind;
    use crate::params::with_values;
    use crate::rng::Stream;

    fn random(name: &str, shape: &[usize]) -> Tensor {
        let mut values = vec![0f32; shape.iter().product()];
        Stream::new(7, name).fill_normal(0, &mut values);
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap().into_inner()
    }

    /// Values and gradients of two bodies under a random weighting of the outputs. Float32 in two orders: 1e-5.
    fn assert_equal(inputs: &[&Tensor], fused: Tensor, composed: Tensor) {
        let weights = random("weights", fused.dims()).detach();
        let close = |a: &Tensor, b: &Tensor, what: &str| {
            let size = with_values(b, |b| b.iter().fold(1e-3f32, |m, v| m.max(v.abs()))).unwrap();
            let equal = with_values(a, |a| {
                with_values(b, |b| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * size))
            });
            assert!(equal.unwrap().unwrap(), "{what}: {a} and {b}");
        };
        close(&fused, &composed, "values");
        let gradients =
            [fused, composed].map(|y| (y * &weights).unwrap().sum_all().unwrap().backward().unwrap());
        for (i, input) in inputs.iter().enumerate() {
            close(
                gradients[0].get(input).unwrap(),
                gradients[1].get(input).unwrap(),
                &format!("gradient {i}"),
            );
        }
    }

    /// Oracle: the body composed of candle's own operations and their autograd, with uneven lengths, with and without
    /// both kinds of noise. Catches a wrong backward pass, noise numbered in another way, a row left out.
    #[test]
    fn fused_bodies_equal_the_composed_ones() -> Result<()> {
        let (h, heads) = (24, 3);
        let positions: Vec<u32> = (0..5).chain(0..1).chain(0..11).collect();
        let packing = Packing { offsets: &[0, 5, 6, 17], positions: &positions, first: 2, stride: 20 };
        // Some queries of each example, none of the second.
        let few = Packing { offsets: &[0, 2, 2, 5], positions: &[1, 4, 0, 3, 9], ..packing };
        let (x, residual, w, b) =
            (random("x", &[17, h]), random("r", &[17, h]), random("w", &[40, h]), random("b", &[40]));
        assert_equal(&[&x, &w, &b], Fused.linear(&x, &w, &b, None)?, Composed.linear(&x, &w, &b, None)?);
        assert_equal(&[&x], Fused.activate(&x, Activation::Gelu)?, x.gelu_erf()?);
        let labels: Vec<u32> = (0..17).map(|i| i * 7 % 24).collect();
        assert_equal(&[&x], Fused.cross_entropy(&x, &labels)?, Composed.cross_entropy(&x, &labels)?);
        let (x0, w0, b0) = (x.detach(), w.detach(), b.detach());
        let (losses, predicted) = Fused.decoded_cross_entropy(&x0, &w0, &b0, &labels)?;
        let logits = Composed.linear(&x0, &w0, &b0, None)?;
        let wanted = Composed.cross_entropy(&logits, &labels)?.to_vec1::<f32>()?;
        assert!(
            losses.to_vec1::<f32>()?.iter().zip(wanted).all(|(loss, wanted)| (loss - wanted).abs() < 1e-5)
        );
        let wanted = logits.argmax(1)?.to_vec1::<u32>()?;
        assert!(predicted.to_vec1::<f32>()?.iter().zip(wanted).all(|(p, wanted)| *p == wanted as f32));
        let (weight, bias) = (random("gamma", &[h]), random("beta", &[h]));
        let (q, some, kv) = (random("q", &[17, h]), random("some", &[5, h]), random("kv", &[17, 2 * h]));
        let noise = |kind| Noise { kind, p: 0.3, stream: Stream::new(1, "noise") };
        for noise in [None, Some(noise(Kind::Bernoulli)), Some(noise(Kind::Gaussian))] {
            let with = noise.map(|noise| (noise, &packing));
            let fused = Fused.residual_layer_norm(&x, &residual, (&weight, &bias), 1e-5, with, None)?;
            let sum = (dropout(&x, noise, &packing)? + &residual)?;
            let zero = sum.zeros_like()?;
            let plain = Composed.residual_layer_norm(&sum, &zero, (&weight, &bias), 1e-5, None, None)?;
            assert_equal(&[&x, &residual, &weight, &bias], fused, plain);
            for (q, queries) in [(&q, &packing), (&some, &few)] {
                let fused = Fused.attention(q, &kv, heads, noise, queries, packing.offsets)?;
                let plain = Composed.attention(q, &kv, heads, noise, queries, packing.offsets)?;
                assert_equal(&[q, &kv], fused, plain);
            }
        }
        Ok(())
    }
}
