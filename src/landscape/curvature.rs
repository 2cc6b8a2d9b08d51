//! Gradient and Hessian of a set's mean loss, as vectors of a [`Space`].
//!
//! `H v ≈ (g(θ + h v) - g(θ - h v)) / 2h`: symmetric differences of gradients, exact to second order in h. Too long a step
//! leaves the parabola, too short a one drowns in the rounding of float32 gradients; [`Curvature::bound`] tells by
//! halving it. Curvature along a vector, example by example, comes from losses alone:
//! `vᵀ H_n v ≈ (s_n(θ + h v) - 2 s_n(θ) + s_n(θ - h v)) / h²`, two forward passes and an independent check.

use super::space::{Space, add_scaled, norm};
use crate::data::{Batch, Example, parts};
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::threads;

/// Examples and tokens of one batch: enough for large matrix products, few enough to hold the activations.
pub const BATCH: (usize, usize) = (16, 1024);

/// The loss `L = Σ s_n / M` of a set as a function of the parameters that may move.
pub struct Curvature<'a, O: ?Sized> {
    objective: &'a O,
    theta: &'a ParamMap,
    space: &'a Space,
    evaluator: Evaluator<'a>,
    batches: Vec<Batch>,
    /// M.
    targets: f64,
}

impl<'a, O: Objective + ?Sized> Curvature<'a, O> {
    /// Of these examples at `theta`; `by_length`: indices of those that have a target, shortest first.
    pub fn new(
        objective: &'a O,
        theta: &'a ParamMap,
        examples: &'a [Example],
        by_length: &[usize],
        space: &'a Space,
    ) -> Curvature<'a, O> {
        let batch = |part: &Vec<usize>| {
            let members: Vec<&Example> = part.iter().map(|&n| &examples[n]).collect();
            Batch::new(&members, 0)
        };
        Curvature {
            objective,
            theta,
            space,
            evaluator: Evaluator::new(examples, by_length),
            batches: parts(examples, by_length, BATCH.0, BATCH.1).iter().map(batch).collect(),
            targets: examples.iter().map(Example::targets).sum::<usize>() as f64,
        }
    }

    /// What its vectors are of.
    pub fn space(&self) -> &Space {
        self.space
    }

    /// M, targets of the set.
    pub fn targets(&self) -> f64 {
        self.targets
    }

    /// `θ + step v`.
    pub fn at(&self, v: &[f32], step: f64) -> Result<ParamMap> {
        self.space.at(self.theta, v, step)
    }

    /// `s_n` of each example that has a target, at `theta`.
    pub fn sums(&self, theta: &ParamMap) -> Result<Vec<f64>> {
        let loss = self.evaluator.loss(self.objective, theta)?;
        Ok(loss.by_example.into_iter().map(|(sum, _)| sum).collect())
    }

    /// `s_n` at θ itself.
    pub fn centre(&self) -> Result<Vec<f64>> {
        self.sums(self.theta)
    }

    /// `∂L/∂θ` at `theta`: `[size]`. Costs one forward and one backward pass. Batches are added in order, whatever the
    /// number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if it is not finite.
    pub fn gradient(&self, theta: &ParamMap) -> Result<Vec<f64>> {
        let mut leaves = params::detached(theta);
        let moving: ParamMap = self
            .space
            .tensors()
            .filter_map(|(name, _)| Some((name.to_string(), leaves.get(name)?.clone())))
            .collect();
        leaves.extend(params::into_variables(moving)?);
        let mut sum = vec![0f64; self.space.size()];
        for some in self.batches.chunks(rayon::current_num_threads()) {
            let gradients = threads::each(some.len(), |i| self.objective.summed_gradient(&leaves, &some[i]))?;
            for (_, gradient) in &gradients {
                self.space.add(gradient, &mut sum)?;
            }
        }
        sum.iter_mut().for_each(|g| *g /= self.targets);
        if let Some(g) = sum.iter().find(|g| !g.is_finite()) {
            let fix =
                "the loss is not finite near the checkpoint: look at its weights, or take a shorter step";
            return Err(Error::field("curvature", "gradient", "finite", g, fix));
        }
        Ok(sum)
    }

    /// `H v` by symmetric differences whose ends are `step` away from θ: `[size]`. Costs two gradients.
    pub fn times(&self, v: &[f32], step: f64) -> Result<Vec<f32>> {
        let h = step / norm(v);
        let mut difference = self.gradient(&self.at(v, h)?)?;
        let back = self.gradient(&self.at(v, -h)?)?;
        difference.iter_mut().zip(back).for_each(|(forth, back)| *forth = (*forth - back) / (2.0 * h));
        Ok(difference.into_iter().map(|x| x as f32).collect())
    }

    /// How far `value` may lie from an eigenvalue of H that has nearly the eigenvector `v`, of length 1. Costs four gradients.
    ///
    /// For symmetric H and `‖v‖ = 1` an eigenvalue lies within `‖H v - value v‖` of `value`: written in eigenvectors, that length is
    /// a mean of the distances. It holds of some eigenvalue; of the k-th only where they lie further apart. H v itself
    /// is known by differences of the step h and of h/2, `a` and `b`, so `‖b - value v‖ + ‖b - H v‖` is the bound. The last term is an
    /// ESTIMATE. Where the parabola ends, `a - b = 3 (b - H v)` to fourth order in h. Where rounding rules, the error of b is twice that of
    /// a and independent, so at most `‖a - b‖`. The sum of both, `4/3 ‖a - b‖`, holds in between.
    pub fn bound(&self, v: &[f32], value: f64, step: f64) -> Result<Bound> {
        let (whole, mut half) = (self.times(v, step)?, self.times(v, step / 2.0)?);
        let (difference, product) = (distance(&whole, &half), norm(&half));
        add_scaled(&mut half, -value, v);
        Ok(Bound { within: norm(&half) + 4.0 / 3.0 * difference, step_error: difference / product })
    }

    /// `vᵀ H_n v / vᵀ v` of each example's summed loss, by losses `step` away from θ on both sides; `centre` is `s_n` at θ.
    pub fn along(&self, v: &[f32], step: f64, centre: &[f64]) -> Result<Vec<f64>> {
        let h = step / norm(v);
        let (forth, back) = (self.sums(&self.at(v, h)?)?, self.sums(&self.at(v, -h)?)?);
        let second =
            |((forth, back), centre): ((f64, f64), &f64)| (forth - 2.0 * centre + back) / (step * step);
        Ok(forth.into_iter().zip(back).zip(centre).map(second).collect())
    }
}

/// What is known of an eigenvalue's error.
pub struct Bound {
    /// An eigenvalue of H is no further away than this.
    pub within: f64,
    /// How much the length of the step matters: `‖H v - H' v‖ / ‖H' v‖`, where `H' v` is by half the step.
    pub step_error: f64,
}

/// `‖a - b‖`
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference)
}
