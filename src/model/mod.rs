//! Models: what a loss is a function of.
//!
//! [`fisher`](crate::fisher) and [`landscape`](crate::landscape) see a model only as an [`Objective`], so tests hand
//! them models whose answers are known on paper. [`bert`] is the real one, [`checkpoint`] its files, [`ops`] the
//! operations it is made of.

pub mod bert;
pub mod checkpoint;
pub mod config;
pub mod gradient;
pub mod ops;
pub mod squares;
mod weights;

pub use bert::{Bert, Head};
pub use checkpoint::{Checkpoint, Model};
pub use config::BertConfig;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::{Batch, Example};
use crate::error::Result;
use crate::params::{self, ParamMap};
use gradient::{Gradient, Gradients};
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

    /// Adds the squared gradients of examples, whose rows of `s[n,t]` begin at `first`.
    ///
    /// This provided version takes one forward and one backward pass per example, and holds one gradient for each
    /// thread; examples are added in order.
    fn add_squared_gradients(
        &self,
        theta: &ParamMap,
        examples: &[&Example],
        first: usize,
        reduction: Reduction,
        squares: &Arc<Mutex<Squares>>,
    ) -> Result<()> {
        let theta = params::variables(theta)?;
        let mut row = first;
        for chunk in examples.chunks(rayon::current_num_threads()) {
            let gradient = |example: &&Example| self.gradient(&theta, example, reduction);
            let gradients: Vec<ParamMap> = chunk.par_iter().map(gradient).collect::<Result<_>>()?;
            let mut squares = squares
                .lock()
                .map_err(|_| candle_core::Error::Msg("squared gradients: poisoned lock".into()))?;
            for gradient in gradients {
                squares.add(row, &gradient)?;
                row += 1;
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

    /// Gradient of `s_n / m_n` (or of the sum `s_n`) of one example: every parameter that it reaches, by name.
    ///
    /// `theta` must hold variables. Costs one forward and one backward pass.
    fn gradient(&self, theta: &ParamMap, example: &Example, reduction: Reduction) -> Result<ParamMap> {
        let outputs = self.losses(theta, &Batch::new(&[example], 0))?;
        let loss = match reduction {
            Reduction::Mean => (outputs.losses.sum_all()? / example.targets() as f64)?,
            Reduction::Sum => outputs.losses.sum_all()?,
        };
        let mut gradients = loss.backward()?;
        Ok(theta.iter().filter_map(|(name, p)| Some((name.clone(), gradients.remove(p)?))).collect())
    }
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
