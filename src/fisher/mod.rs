//! Diagonal of the Fisher information, exact per example.
//!
//! `F_i = (1/N) Σ_n (∂ℓ_n/∂θ_i)²` (Sharma et al. 2024, eq. 3). The square is inside the sum: squaring a batch-mean
//! gradient is the classic bug of this field. One pass gives F and the per-example sums `s[n,t]`, of which every
//! layer score of every sub-sample is a linear function ([`layers`]).
//!
//! Takes any [`Objective`]; gives [`Fisher`], which [`files`] writes and reads.

pub mod files;
pub mod layers;

use std::collections::BTreeMap;

use candle_core::Tensor;
use ndarray::Array2;
use rayon::prelude::*;

use crate::data::Example;
use crate::error::{Error, Result};
use crate::model::{Objective, Reached, Reduction};
use crate::params::{self, ParamMap};
use crate::progress::Progress;
use layers::TensorSizes;

/// The diagonal and the per-example sums of one pass.
pub struct Fisher {
    /// F by parameter, in the parameter's shape. Nats² per squared unit of the parameter; never negative.
    pub diagonal: ParamMap,
    /// `s[n,t]`: sum over the entries of tensor t of example n's squared gradient. `[N, tensors]`, in name order.
    pub sums: Array2<f64>,
    /// Which examples were used (those with a target), `[N]`.
    pub used: Vec<usize>,
    /// How many were skipped for want of a target.
    pub skipped: usize,
}

/// Diagonal of the empirical Fisher information of `examples` at `theta`.
///
/// Examples without a target are skipped and counted. Parameters whose gradient is zero by construction (key biases)
/// are exactly 0. Costs one forward and one backward pass per example; memory: the parameters three times and, for
/// each thread, one gradient. The result does not depend on the number of threads: examples are added in order.
///
/// # Errors
///
/// [`Error::Field`] if no example has a target, or if a gradient is not finite.
pub fn diagonal(
    objective: &impl Objective,
    theta: &ParamMap,
    examples: &[Example],
    reduction: Reduction,
) -> Result<Fisher> {
    let used: Vec<usize> = (0..examples.len()).filter(|&n| examples[n].targets() > 0).collect();
    if used.is_empty() {
        let fix = "use a larger or another set";
        return Err(Error::field(
            "Fisher information",
            "examples",
            "at least one with a target",
            "none",
            fix,
        ));
    }
    let theta = params::variables(theta)?;
    let with_target: Vec<&Example> = used.iter().map(|&n| &examples[n]).collect();
    let mut accumulator = Accumulator::new(&theta, |name| {
        objective.reached(name, &with_target) != Reached::Rows(Default::default())
    });
    let progress = Progress::new("Fisher information (examples)", used.len());
    let together = rayon::current_num_threads();
    for chunk in used.chunks(together) {
        let gradients: Vec<ParamMap> = chunk
            .par_iter()
            .map(|&n| {
                let gradient = objective.gradient(&theta, &examples[n], reduction);
                progress.advance(1);
                gradient
            })
            .collect::<Result<_>>()?;
        for (&n, gradient) in chunk.iter().zip(gradients) {
            accumulator.add(n, gradient)?;
        }
    }
    accumulator.finish(used, examples.len())
}

/// Names and numbers of entries of a map's tensors.
pub fn tensor_sizes(map: &ParamMap) -> TensorSizes {
    map.iter().map(|(name, t)| (name.clone(), t.elem_count())).collect()
}

/// Running sums of squared gradients.
struct Accumulator {
    tensors: BTreeMap<String, Sum>,
    rows: Vec<Vec<f64>>,
}

struct Sum {
    squares: Vec<f32>,
    shape: Vec<usize>,
    reached: bool,
}

impl Accumulator {
    fn new(theta: &ParamMap, reached: impl Fn(&str) -> bool) -> Accumulator {
        let sum = |(name, t): (&String, &Tensor)| {
            let sum =
                Sum { squares: vec![0.0; t.elem_count()], shape: t.dims().to_vec(), reached: reached(name) };
            (name.clone(), sum)
        };
        Accumulator { tensors: theta.iter().map(sum).collect(), rows: Vec::new() }
    }

    /// Adds the squares of example `n`'s gradient.
    fn add(&mut self, n: usize, gradient: ParamMap) -> Result<()> {
        let row: Vec<f64> = self
            .tensors
            .par_iter_mut()
            .map(|(name, sum)| match gradient.get(name).filter(|_| sum.reached) {
                None => Ok(0.0),
                Some(g) => params::with_values(g, |g| {
                    let squares = sum.squares.iter_mut().zip(g);
                    squares.for_each(|(f, g)| *f += g * g);
                    g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>()
                }),
            })
            .collect::<Result<_>>()?;
        if let Some(t) = row.iter().position(|s| !s.is_finite()) {
            let name = self.tensors.keys().nth(t).cloned().unwrap_or_default();
            let fix = "the loss is not finite there: look at the example and the checkpoint";
            return Err(Error::field(format!("gradient of example {n}"), name, "finite", "not finite", fix));
        }
        self.rows.push(row);
        Ok(())
    }

    fn finish(self, used: Vec<usize>, total: usize) -> Result<Fisher> {
        let n = used.len();
        let mut diagonal = ParamMap::new();
        for (name, mut sum) in self.tensors {
            sum.squares.iter_mut().for_each(|f| *f /= n as f32);
            diagonal.insert(name, Tensor::from_vec(sum.squares, sum.shape, &candle_core::Device::Cpu)?);
        }
        let columns = diagonal.len();
        let flat: Vec<f64> = self.rows.into_iter().flatten().collect();
        let sums = Array2::from_shape_vec((n, columns), flat)
            .map_err(|e| candle_core::Error::Msg(format!("per-example sums: {e}")))?;
        let skipped = total - n;
        Ok(Fisher { diagonal, sums, used, skipped })
    }
}
