//! Models: what a loss is a function of.
//!
//! [`fisher`](crate::fisher) and [`landscape`](crate::landscape) see a model only as an [`Objective`], so tests hand
//! them models whose answers are known on paper. [`network`] is the real one, [`checkpoint`] its files, [`ops`] the
//! operations it is made of.

pub mod checkpoint;
pub mod config;
pub mod freeze;
pub mod gradient;
pub mod labels;
pub mod network;
pub mod ops;
pub mod squares;
mod weights;

pub use checkpoint::{Checkpoint, Model};
pub use config::BertConfig;
pub use labels::{Estimate, Estimator};
pub use network::{Head, Network};

use std::collections::BTreeSet;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::{Batch, Example};
use crate::error::Result;
use crate::params::{self, ParamMap};
use gradient::{Gradient, Gradients};
use labels::Labelling;
use squares::Squares;

/// A loss per example as a function of parameters and data.
pub trait Objective: Sync {
    /// Losses at `theta`, in evaluation mode (no dropout). Differentiable in `theta` where its tensors are
    /// variables.
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs>;

    /// The part of a batch's forward pass that no parameter which `moves` has a share in; `None` if there is none.
    fn prefix(&self, _: &ParamMap, _: &Batch, _moves: &dyn Fn(&str) -> bool) -> Result<Option<Prefix>> {
        Ok(None)
    }

    /// [`losses`](Self::losses) at a `theta` that differs from the prefix's in parameters which move only.
    fn losses_after(&self, _: &Prefix, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        self.losses(theta, batch)
    }

    /// The entries of parameter `name` that can change the loss of these examples.
    fn reached(&self, _name: &str, _examples: &[&Example]) -> Reached {
        Reached::All
    }

    /// Adds the squared gradients of some examples to each estimate's sums, all from one forward pass.
    ///
    /// This provided version takes a forward and a backward pass for each example and labelling, and holds the gradients
    /// of one example for each thread; examples are added in order.
    fn add_squared_gradients(&self, theta: &ParamMap, part: &Part, into: &mut [Sums]) -> Result<()> {
        let theta = params::variables(theta)?;
        let members: Vec<usize> = (0..part.examples.len()).collect();
        for sums in into {
            for chunk in members.chunks(rayon::current_num_threads()) {
                let gradients = |&b: &usize| {
                    let mut batch = Batch::new(&[part.examples[b]], 0);
                    // At variables: without a gradient to come, a decoder may give the likeliest token alone.
                    let scores = || Ok(self.losses(&theta, &batch)?.scores);
                    let labellings = sums.estimate.labellings(&batch, scores, &[part.numbers[b]])?;
                    let one = |labelling: Labelling| {
                        batch.targets = labelling.targets;
                        self.gradient(&theta, &batch, &labelling.weights)
                    };
                    labellings.into_iter().map(one).collect::<Result<Vec<ParamMap>>>()
                };
                let gradients: Vec<Vec<ParamMap>> = chunk.par_iter().map(gradients).collect::<Result<_>>()?;
                for (b, own) in chunk.iter().zip(gradients) {
                    own.iter().try_for_each(|gradient| sums.squares.add(part.first + b, gradient))?;
                }
            }
        }
        Ok(())
    }

    /// `Σ_m loss_m` over a batch's targets and its gradient: every parameter that it reaches, by name.
    ///
    /// `theta` must hold variables.
    fn summed_gradient(&self, theta: &ParamMap, batch: &Batch) -> Result<(f64, Gradients)> {
        let loss = self.losses(theta, batch)?.losses.sum_all()?;
        let mut gradients = loss.backward()?;
        let own = |(name, p): (&String, &Tensor)| Some((name.clone(), Gradient::Dense(gradients.remove(p)?)));
        let gradients = theta.iter().filter_map(own).collect();
        Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
    }

    /// Gradient of `Σ_m w_m loss_m` over a batch's targets: every parameter that it reaches, by name.
    ///
    /// `theta` must hold variables. Costs one forward and one backward pass.
    fn gradient(&self, theta: &ParamMap, batch: &Batch, weights: &[f32]) -> Result<ParamMap> {
        let losses = self.losses(theta, batch)?.losses;
        let loss = (&losses * Tensor::new(weights, losses.device())?)?.sum_all()?;
        let mut gradients = loss.backward()?;
        Ok(theta.iter().filter_map(|(name, p)| Some((name.clone(), gradients.remove(p)?))).collect())
    }
}

/// Examples whose squared gradients are added.
pub struct Part<'a> {
    pub examples: Vec<&'a Example>,
    /// Which examples of the set they are.
    pub numbers: &'a [usize],
    /// Row of `s[n,t]` of the first; the others follow.
    pub first: usize,
}

/// An estimate and its sums so far.
pub struct Sums {
    pub estimate: Estimate,
    pub squares: Squares,
}

/// What one forward pass gives.
pub struct Outputs {
    /// Loss of each target: nats, or squared error. `[M]`
    pub losses: Tensor,
    /// What the predictions are, outside the autograd graph: scores, of which the highest counts (`[M, V]`, `[B, C]`),
    /// or the predictions themselves (`[M]`, `[B]`).
    pub scores: Tensor,
}

/// Where a forward pass can go on from.
pub struct Prefix {
    /// Encoder layers done.
    pub layers: usize,
    /// What they gave, outside the autograd graph: `[total, H]`, after the last layer the rows that the head reads.
    pub hidden: Tensor,
}

/// Which example loss is differentiated (definitions.md section 1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// `l_n`, the mean over the example's targets: the paper's.
    #[default]
    Mean,
    /// `s_n`, the sum over them.
    Sum,
}

/// The entries of a parameter that a set of examples reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    All,
    /// Only these rows (indices along the first axis).
    Rows(BTreeSet<usize>),
}
