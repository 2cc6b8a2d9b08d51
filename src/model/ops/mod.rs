//! The operations that networks are made of, on packed batches (tokens `[total]`, no padding).
//!
//! Each has two bodies, and a [`Backend`] says which: a fused one for float32 on the CPU ([`fused`], with its arithmetic in
//! `kernels`), and one composed of candle-nn's operations for every device (`composed`). The backward pass of both squares
//! gradients where they arise, for whoever gives a [`Tap`].
//!
//! Traps: `candle_nn::LayerNorm`'s fused path, `ops::softmax_last_dim` and `ops::rms_norm` have no backward pass and
//! cut the gradient without an error, so none of them is used here; a test asks every parameter for its gradient.

mod composed;
pub mod fused;
mod kernels;
mod precision;
mod tap;

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::{Activation, Module};

use super::settings::{Norm, Rotary, Scores};
use crate::dropout::Noise;
use fused::{Outlet, RowNoise};

use kernels::Curve;
pub use kernels::SparseRows;
pub use precision::Precision;
pub use tap::{Deferred, Shared, Tap};

/// Which bodies the operations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Our own, for float32 on the CPU.
    Fused,
    /// Composed of candle-nn's differentiable operations, for any device, with products of this precision.
    Composed(Precision),
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
    pub const ALL: [Backend; 2] = [Backend::Fused, Backend::Composed(Precision::Float32)];

    /// `y = x Wᵀ + b`. `x` is `[rows, in]`, `w` `[out, in]`, `b` `[out]` or none; gives `[rows, out]`.
    pub fn linear(
        self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        outlet: Option<Outlet>,
    ) -> Result<Tensor> {
        match self {
            Backend::Fused => x.contiguous()?.apply_op3(w, &or_zeros(b, w)?, fused::Linear { outlet }),
            Backend::Composed(precision) => composed::linear(x, w, b, precision, tapped(outlet)?),
        }
    }

    /// Applies the feed-forward activation, element by element.
    pub fn activate(self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let curve = match activation {
            Activation::Gelu => Some(Curve::Gelu),
            Activation::NewGelu | Activation::GeluPytorchTanh => Some(Curve::TanhGelu),
            Activation::Silu | Activation::Swish => Some(Curve::Silu),
            Activation::Relu => Some(Curve::Relu),
            _ => None,
        };
        match (self, curve) {
            (Backend::Fused, Some(curve)) => x.contiguous()?.apply_op1(fused::Activate(curve)),
            _ => activation.forward(x),
        }
    }

    /// `norm(x ⊙ noise + residual)` over the last axis of `[total, H]`, with weight and, if any, bias `[H]`.
    pub fn residual_norm(
        self,
        x: &Tensor,
        residual: &Tensor,
        (weight, bias): (&Tensor, Option<&Tensor>),
        (norm, eps): (Norm, f64),
        noise: Option<(Noise, &Packing)>,
        tap: Option<Tap>,
    ) -> Result<Tensor> {
        if self != Backend::Fused {
            let x = match noise {
                Some((noise, packing)) => composed::dropout(x, noise, packing)?,
                None => x.clone(),
            };
            return composed::norm(&(x + residual)?, (weight, bias), (norm, eps), tap);
        }
        let noise = noise.map(|(noise, packing)| RowNoise {
            noise,
            offsets: packing.offsets.to_vec(),
            first: packing.first,
            stride: packing.stride,
            positions: packing.positions.to_vec(),
        });
        let parameters = Tensor::cat(&[weight, &or_zeros(bias, weight)?], 0)?;
        let op = fused::ResidualNorm::new(norm, eps, noise, tap);
        x.contiguous()?.apply_op3(&residual.contiguous()?, &parameters, op)
    }

    /// Multi-head softmax attention within each example: queries `q` `[rows, hq d]` as `queries` packs them, keys and
    /// values `kv` `[total, 2 hk d]` of every token, whose examples begin at `keys`; a query sees what the mask lets it. Gives
    /// `[rows, hq d]`. `added` `[B, hq, buckets]` is added to each example's scores by bucket of distances, where scores have
    /// those. `noise` multiplies the probabilities; its values are numbered by (example, head, position of the query,
    /// position of the key).
    pub fn attention(
        self,
        (q, kv, added): (&Tensor, &Tensor, Option<&Tensor>),
        scores: Scores,
        noise: Option<Noise>,
        queries: &Packing,
        keys: &[usize],
    ) -> Result<Tensor> {
        if let Backend::Composed(precision) = self {
            return composed::attention((q, kv, added), (scores, precision), noise, queries, keys);
        }
        let op = fused::Attention::new(scores, queries, keys, noise);
        let (q, kv) = (q.contiguous()?, kv.contiguous()?);
        match added {
            None => q.apply_op2(&kv, op),
            Some(added) => q.apply_op3(&kv, &added.contiguous()?, op),
        }
    }

    /// Negative log-likelihood in nats of the class `labels[i]` under `softmax(logits[i])`: `[rows, C]` to `[rows]`.
    pub fn cross_entropy(self, logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
        match self {
            Backend::Fused => logits.contiguous()?.apply_op1(fused::CrossEntropy::new(labels)),
            Backend::Composed(_) => composed::cross_entropy(logits, labels),
        }
    }

    /// Adds squares of each example's gradient of parameters that are looked at as vectors, `[B, ...]`, split evenly over `names`.
    pub fn tap_vectors(self, tap: &Tap, names: &[String], gradients: &Tensor) -> Result<()> {
        let gradients = gradients.flatten_from(1)?.contiguous()?;
        match self {
            Backend::Fused => fused::squares::add_vector_tensor(tap, names, &gradients),
            Backend::Composed(_) => composed::squares::add_vectors(tap, names, &gradients),
        }
    }

    /// Adds squares of what operations have left that share parameters.
    pub fn tap_shared(self, tap: &Tap) -> Result<()> {
        let Some(mut shared) = tap.shared()? else { return Ok(()) };
        let alone = Tap { shared: None, ..tap.clone() };
        for (names, gradients) in shared.vectors() {
            self.tap_vectors(&alone, &names, &gradients)?;
        }
        for (tap, uses) in shared.products() {
            match self {
                Backend::Fused => fused::squares::add_uses(&tap, &uses)?,
                Backend::Composed(precision) => composed::squares::add_uses(&tap, precision, &uses)?,
            }
        }
        Ok(())
    }

    /// Adds squares of a table's gradient: what was left for it, if anything, plus the rows that each example's tokens use. `g`
    /// `[ids, width]` is the gradient at the rows `ids`, of which `spans` says whose they are.
    pub fn tap_table(self, tap: &Tap, name: &str, ids: &[u32], spans: &[usize], g: &Tensor) -> Result<()> {
        let g = g.contiguous()?;
        match self {
            Backend::Fused => fused::squares::add_table(tap, name, ids, spans, &g),
            Backend::Composed(precision) => {
                composed::squares::add_table(tap, precision, name, ids, spans, &g)
            }
        }
    }

    /// [`cross_entropy`](Self::cross_entropy) of the logits `x wᵀ + b` (`b` may be none), and the scores to predict from: the logits
    /// `[rows, C]` or, where no gradient is wanted, the most likely class itself `[rows]`. The fused body never keeps the
    /// logits of a vocabulary then.
    pub fn decoded_cross_entropy(
        self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        labels: &[u32],
    ) -> Result<(Tensor, Tensor)> {
        let follows = [x, w].into_iter().chain(b).any(|t| t.track_op());
        if self == Backend::Fused && !follows {
            return fused::decoded_cross_entropy(&x.contiguous()?, w, &or_zeros(b, w)?, labels);
        }
        let logits = self.linear(x, w, b, None)?;
        Ok((self.cross_entropy(&logits, labels)?, logits.detach()))
    }

    /// The losses of [`decoded_cross_entropy`](Self::decoded_cross_entropy) alone, for one backward pass.
    pub fn decoded_loss(
        self,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        labels: &[u32],
        outlet: Option<Outlet>,
    ) -> Result<Tensor> {
        match self {
            Backend::Fused => {
                x.contiguous()?.apply_op3(w, &or_zeros(b, w)?, fused::DecodedLoss::new(labels, outlet))
            }
            Backend::Composed(_) => self.cross_entropy(&self.linear(x, w, b, outlet)?, labels),
        }
    }
}

/// A bias, or zeros for each row of the weight.
fn or_zeros(b: Option<&Tensor>, w: &Tensor) -> Result<Tensor> {
    b.map_or_else(|| Tensor::zeros(w.dim(0)?, w.dtype(), w.device()), |b| Ok(b.clone()))
}

/// By what angles rows turn: cosines and sines `[rows, 1, pairs]`, by position and frequency.
#[derive(Clone)]
pub struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl Turns {
    /// Of rows at these positions.
    pub fn new(positions: &[u32], rotary: &Rotary, device: &Device) -> Result<Turns> {
        let (rows, pairs) = (positions.len(), rotary.frequencies.len());
        let angle = |position: u32| rotary.frequencies.iter().map(move |f| f64::from(position) * f);
        let angles: Vec<f64> = positions.iter().copied().flat_map(angle).collect();
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
            Tensor::from_vec(values, (rows, 1, pairs), device)
        };
        Ok(Turns { cos: table(libm::cos)?, sin: table(libm::sin)? })
    }
}

/// Turns the pairs of each head's first values: `x` is `[rows, heads d]`.
pub fn rotate(x: &Tensor, depth: usize, Turns { cos, sin }: &Turns) -> Result<Tensor> {
    let (rows, pairs) = (x.dim(0)?, cos.dim(2)?);
    let x = x.reshape((rows, x.dim(1)? / depth, depth))?;
    let (a, b) = (x.narrow(2, 0, pairs)?, x.narrow(2, pairs, pairs)?);
    let first = (a.broadcast_mul(cos)? - b.broadcast_mul(sin)?)?;
    let second = (b.broadcast_mul(cos)? + a.broadcast_mul(sin)?)?;
    let mut parts = vec![first, second];
    // GPUs have no tensors without values.
    if 2 * pairs < depth {
        parts.push(x.narrow(2, 2 * pairs, depth - 2 * pairs)?);
    }
    Tensor::cat(&parts, 2)?.flatten_from(1)
}

/// The tap of an outlet. One that nobody serves would leave gradients at zero without a word.
fn tapped(outlet: Option<Outlet>) -> Result<Option<Tap>> {
    match outlet {
        None => Ok(None),
        Some(Outlet::Tap(tap)) => Ok(Some(tap)),
        Some(Outlet::Sink(_)) => bail!("the composed operations leave gradients to candle"),
    }
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
    use Backend::Fused;
    use candle_core::Var;

    use super::*;
    use crate::dropout::noise::Kind;
    use crate::model::settings::{Distances, Heads, Mask};
    use crate::params::with_values;
    use crate::rng::Stream;

    const COMPOSED: Backend = Backend::ALL[1];

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

    /// Oracle: candle's autograd. Three weights stacked by rows, one of which nobody asks for, in an operation that runs twice; and a
    /// weight that is stored the other way round. Catches a gradient of another weight's rows, one that is not added, a transpose.
    #[test]
    fn a_sink_gets_the_gradients_that_autograd_gives() -> Result<()> {
        use fused::{Sink, Sunk};
        let (x, w) = (random("x", &[17, 8]), random("w", &[12, 8]));
        let twice = |outlet: &dyn Fn() -> Option<Outlet>, w: &Tensor| -> Result<Tensor> {
            let once = |x: &Tensor| Fused.linear(x, w, None, outlet());
            once(&x)?.sqr()?.sum_all()? + once(&(&x * 2.0)?)?.sum_all()?
        };
        let wanted = twice(&|| None, &w)?.backward()?;
        let wanted = wanted.get(&w).map(|g| g.to_vec2::<f32>()).unwrap()?.concat();
        let sunk = Sunk::default();
        let names = [Some("a".to_string()), None, Some("c".to_string())];
        let sink = |weights: &[Option<String>], transposed| {
            Some(Outlet::Sink(Sink { sunk: sunk.clone(), weights: weights.to_vec(), transposed }))
        };
        twice(&|| sink(&names, false), &w.detach())?.backward()?;
        twice(&|| sink(&[Some("t".to_string())], true), &w.detach())?.backward()?;
        let sunk = sunk.lock().unwrap();
        assert_eq!(sunk.keys().collect::<Vec<_>>(), ["a", "c", "t"]);
        let transposed: Vec<f32> =
            (0..8).flat_map(|j| (0..12).map(move |i| i * 8 + j)).map(|i| wanted[i]).collect();
        for (name, wanted) in [("a", &wanted[..32]), ("c", &wanted[64..]), ("t", &transposed[..])] {
            assert_eq!(sunk[name].len(), wanted.len());
            // Sums of the same products in another order.
            assert!(
                sunk[name].iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-4 * (1.0 + w.abs())),
                "{name}"
            );
        }
        Ok(())
    }

    /// Oracle: the body composed of candle's own operations and their autograd, with uneven lengths, with and without
    /// both kinds of noise. Catches a wrong backward pass, noise numbered in another way, a row left out.
    #[test]
    fn fused_bodies_equal_the_composed_ones() -> Result<()> {
        let h = 24;
        let positions: Vec<u32> = (0..5).chain(0..1).chain(0..11).collect();
        let packing = Packing { offsets: &[0, 5, 6, 17], positions: &positions, first: 2, stride: 20 };
        // Some queries of each example, none of the second.
        let few = Packing { offsets: &[0, 2, 2, 5], positions: &[1, 4, 0, 3, 9], ..packing };
        let (x, residual, w, b) =
            (random("x", &[17, h]), random("r", &[17, h]), random("w", &[40, h]), random("b", &[40]));
        assert_equal(
            &[&x, &w, &b],
            Fused.linear(&x, &w, Some(&b), None)?,
            COMPOSED.linear(&x, &w, Some(&b), None)?,
        );
        let activations =
            [Activation::NewGelu, Activation::GeluPytorchTanh, Activation::Silu, Activation::Swish];
        for activation in activations.into_iter().chain([Activation::Gelu, Activation::Relu]) {
            assert_equal(&[&x], Fused.activate(&x, activation)?, COMPOSED.activate(&x, activation)?);
        }
        let labels: Vec<u32> = (0..17).map(|i| i * 7 % 24).collect();
        assert_equal(&[&x], Fused.cross_entropy(&x, &labels)?, COMPOSED.cross_entropy(&x, &labels)?);
        let decoded = |backend: Backend| backend.decoded_loss(&x, &w, Some(&b), &labels, None);
        assert_equal(&[&x, &w, &b], decoded(Fused)?, decoded(COMPOSED)?);
        // Its logits are gone after one pass.
        let once = decoded(Fused)?.sum_all()?;
        once.backward()?;
        assert!(once.backward().is_err());
        let (x0, w0, b0) = (x.detach(), w.detach(), b.detach());
        let (losses, predicted) = Fused.decoded_cross_entropy(&x0, &w0, Some(&b0), &labels)?;
        let logits = COMPOSED.linear(&x0, &w0, Some(&b0), None)?;
        let wanted = COMPOSED.cross_entropy(&logits, &labels)?.to_vec1::<f32>()?;
        assert!(
            losses.to_vec1::<f32>()?.iter().zip(wanted).all(|(loss, wanted)| (loss - wanted).abs() < 1e-5)
        );
        let wanted = logits.argmax(1)?.to_vec1::<u32>()?;
        assert!(predicted.to_vec1::<f32>()?.iter().zip(wanted).all(|(p, wanted)| *p == wanted as f32));
        let (weight, bias) = (random("gamma", &[h]), random("beta", &[h]));
        let noise = |kind| Noise { kind, p: 0.3, stream: Stream::new(1, "noise") };
        let noises = [None, Some(noise(Kind::Bernoulli)), Some(noise(Kind::Gaussian))];
        for (noise, norm) in noises.into_iter().flat_map(|noise| [(noise, Norm::Layer), (noise, Norm::Rms)]) {
            let with = noise.map(|noise| (noise, &packing));
            let sum = (dropout(&x, noise, &packing)? + &residual)?;
            let zero = sum.zeros_like()?;
            for bias in [Some(&bias), None] {
                let (parameters, norm) = ((&weight, bias), (norm, 1e-5));
                let fused = Fused.residual_norm(&x, &residual, parameters, norm, with, None)?;
                let plain = COMPOSED.residual_norm(&sum, &zero, parameters, norm, None, None)?;
                let inputs = [&x, &residual, &weight].into_iter().chain(bias);
                assert_equal(&inputs.collect::<Vec<_>>(), fused, plain);
            }
        }
        // Heads with keys of their own, and pairs of heads that share them.
        for heads in [Heads::of(4, h), Heads { queries: 4, keys: 2, depth: 6 }] {
            let width = 2 * heads.keys * heads.depth;
            let (q, some, kv) = (random("q", &[17, h]), random("some", &[5, h]), random("kv", &[17, width]));
            for (noise, mask) in noises.into_iter().zip([Mask::All, Mask::Causal, Mask::Window(2)]) {
                for (q, queries) in [(&q, &packing), (&some, &few)] {
                    let scores = Scores::of(heads, mask);
                    let [fused, plain] = [Fused, COMPOSED].map(|backend| {
                        backend.attention((q, &kv, None), scores, noise, queries, packing.offsets)
                    });
                    assert_equal(&[q, &kv], fused?, plain?);
                    // Numbers by distance, exact up to 2 and up to 4, for each example its own.
                    for (both, scaled) in [(true, false), (false, true)] {
                        let distances = Some(Distances { buckets: 8, farthest: 10, both });
                        let (scores, added) =
                            (Scores { scaled, distances, ..scores }, random("added", &[3, heads.queries, 8]));
                        let [fused, plain] = [Fused, COMPOSED].map(|backend| {
                            let inputs = (q, &kv, Some(&added));
                            backend.attention(inputs, scores, noise, queries, packing.offsets)
                        });
                        assert_equal(&[q, &kv, &added], fused?, plain?);
                    }
                }
            }
        }
        // Keys of other examples' lengths than the queries have, as a decoder's are.
        let scores = Scores::of(Heads::of(4, h), Mask::All);
        let (kv, keys) = (random("kv", &[9, 2 * h]), [0, 2, 6, 9]);
        let [fused, plain] = [Fused, COMPOSED]
            .map(|backend| backend.attention((&x, &kv, None), scores, noises[1], &packing, &keys));
        assert_equal(&[&x, &kv], fused?, plain?);
        Ok(())
    }
}
