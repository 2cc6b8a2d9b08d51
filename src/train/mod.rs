//! Fine-tuning: the recipe of definitions.md section 3.
//!
//! AdamW without decay, linear decay of the learning rate to 0, clipping to a global norm, batches in seeded order.
//! Batches and head depend on the seed alone, so arms that differ in dropout see the same ones.

pub mod adamw;
pub mod batches;

use crate::data::{Batch, Example, by_length};
use crate::dropout::Dropout;
use crate::error::{Error, Result};
use crate::evaluate::{SetLoss, set_loss};
use crate::model::Bert;
use crate::model::gradient::Gradients;
use crate::params::{self, ParamMap};
use crate::progress::Progress;
use adamw::AdamW;

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    pub epochs: usize,
    /// Examples to a step.
    pub batch: usize,
    /// Learning rate of the first step; it falls linearly to 0 at the end of the last.
    pub lr: f64,
    /// Largest global norm of a step's gradient.
    pub clip: f64,
    pub seed: u64,
}

/// One row of the history: after an epoch.
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Steps taken so far.
    pub step: usize,
    /// Mean loss of the epoch's batches, with dropout on, at the parameters of each step.
    pub train_loss: f64,
    /// Held-out loss, without dropout.
    pub held_out: SetLoss,
}

/// Trains `theta` and evaluates on the held-out examples after each epoch. Gives the trained parameters and the
/// history. `finished` is called after each epoch.
///
/// # Errors
///
/// [`Error::Field`] if the loss or the gradient stops being finite.
pub fn train(
    bert: &Bert,
    theta: ParamMap,
    (examples, held_out): (&[Example], &[Example]),
    dropout: Option<&Dropout>,
    config: &Config,
    mut finished: impl FnMut(&Epoch),
) -> Result<(ParamMap, Vec<Epoch>)> {
    let theta = params::into_variables(theta)?;
    let mut optimizer = AdamW::new(&theta, 0.0);
    let mut history = Vec::new();
    let steps_each = examples.len().div_ceil(config.batch);
    let total = config.epochs * steps_each;
    let order = by_length(held_out);
    let progress = Progress::new("training (steps)", total);
    let mut step = 0;
    for epoch in 0..config.epochs {
        let (mut sum, mut count) = (0.0, 0);
        for members in batches::epoch(examples, config.batch, config.seed, epoch as u64) {
            let batch: Vec<&Example> = members.iter().map(|&n| &examples[n]).collect();
            let (loss, gradient) = gradient(bert, &theta, &batch, dropout.map(|d| (d, step as u64)))?;
            let norm = adamw::norm(&gradient)?;
            if !(loss.is_finite() && norm.is_finite()) {
                let fix = "use a smaller learning rate";
                let found = format!("loss {loss}, gradient norm {norm} at step {step}");
                return Err(Error::field("training", "loss and gradient", "finite", found, fix));
            }
            let lr = config.lr * (total - step) as f64 / total as f64;
            optimizer.step(&theta, &gradient, lr, adamw::clip(norm, config.clip))?;
            (sum, count, step) = (sum + loss * batch.len() as f64, count + batch.len(), step + 1);
            progress.remark(format!("loss {:.4}", sum / count as f64));
            progress.advance(1);
        }
        let held_out = set_loss(bert, &theta, held_out, &order)?;
        let row = Epoch { epoch: epoch + 1, step, train_loss: sum / count as f64, held_out };
        finished(&row);
        history.push(row);
    }
    Ok((params::detached(&theta), history))
}

/// Mean example loss of a batch and its gradient by name. `theta` holds variables. With `dropout` given, at that step.
pub fn gradient(
    bert: &Bert,
    theta: &ParamMap,
    batch: &[&Example],
    dropout: Option<(&Dropout, u64)>,
) -> Result<(f64, Gradients)> {
    let packed = Batch::new(batch, 0);
    // Each example's mean over its own targets, then the mean over the batch.
    let weight = |b: usize| 1.0 / (batch[b].targets() * batch.len()) as f32;
    let weights: Vec<f32> = packed.owners().into_iter().map(weight).collect();
    Ok(bert.backward(theta, &packed, dropout, &weights)?)
}
