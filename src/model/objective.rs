//! What Fisher information, surfaces and training ask of a model.

use candle_core::Tensor;
use rayon::prelude::*;

use super::gradient::{Gradient, Gradients};
use super::labels::{Estimate, Labelling};
use super::layout::Reached;
use super::ops::Backend;
use super::squares::Squares;
use crate::data::{Batch, Example};
use crate::dropout::Dropout;
use crate::error::Result;
use crate::params::{self, ParamMap};

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

    /// Where the weights of one output stand in the matrix `name`.
    fn filters(&self, _name: &str) -> Filters {
        Filters::Rows
    }

    /// Adds the squared gradients of some examples to each estimate's sums, all from one forward pass.
    ///
    /// This provided version takes a forward and a backward pass for each example and labelling, and holds the gradients of one
    /// example for each thread; examples are added in order.
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
                        batch.targets.labels = labelling.labels;
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

/// What a pass over a batch is for, and so what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One layer at a time.
    Losses,
    /// All layers, until the backward pass.
    Gradients,
    /// The same, and where layers share parameters the gradients of their maps.
    Squares,
}

/// An objective with dropout, which training follows.
pub trait Trainable: Objective {
    /// Losses with the noise of this training step, or without.
    fn noisy_losses(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
    ) -> Result<Outputs>;

    /// `Σ_m w_m loss_m` over a batch's targets and its gradient by parameter name, with the noise of this training step.
    ///
    /// `theta` must hold variables.
    fn backward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
        weights: &[f32],
    ) -> Result<(f64, Gradients)>;

    /// Where its operations run, and so which optimizer follows its gradients.
    fn backend(&self) -> Backend;

    /// Bytes of the activations of a batch of at most `most` tokens of these examples, for what is wanted of it.
    fn activations(&self, examples: &[Example], most: usize, wanted: Wanted) -> usize;

    /// All that its results depend on beside the parameters, in words.
    fn identity(&self) -> String;
}

/// Where the weights of one output of a map stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filters {
    Rows,
    Columns,
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

/// Where a forward pass can continue from.
pub struct Prefix {
    /// Layers done.
    pub layers: usize,
    /// What they gave, outside the autograd graph.
    pub hidden: Hidden,
}

/// What a layer gives the next.
#[derive(Clone)]
pub struct Hidden {
    /// `[total, H]`; after the last layer the rows that the head reads.
    pub rows: Tensor,
    /// In an encoder, the embedded tokens of the decoder that follows; in that decoder, what the encoder gave.
    pub other: Option<Tensor>,
}

impl Hidden {
    /// Number of values.
    pub fn size(&self) -> usize {
        self.rows.elem_count() + self.other.as_ref().map_or(0, Tensor::elem_count)
    }
}

/// Which example loss is differentiated (docs/definitions.md section 1).
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
