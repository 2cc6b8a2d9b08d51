//! Evaluation with the noise on, as the paper's code leaves its Gaussian noise (docs/definitions.md section 3).
//!
//! The loss is that of one draw of the noise for each example, so its standard error counts the noise too. An example draws by
//! its number in the set and the steps of training before: the same bits for a seed, however the set is cut into batches and
//! whatever the number of threads. For that each example is evaluated in a batch of its own.
//!
//! The trap: a difference to an arm that is evaluated without noise is a difference of evaluations too.

use crate::data::{Batch, Example};
use crate::dropout::Dropout;
use crate::error::Result;
use crate::evaluate::{Evaluator, SetLoss};
use crate::model::{Objective, Outputs, Trainable};
use crate::params::ParamMap;

/// A model with the noise of an evaluation.
struct Noisy<'a> {
    network: &'a dyn Trainable,
    dropout: &'a Dropout,
    /// The number under which the noise draws.
    step: u64,
}

impl Objective for Noisy<'_> {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        self.network.noisy_losses(theta, batch, Some((self.dropout, self.step)))
    }
}

/// As [`set_loss`](crate::evaluate::set_loss), with the noise on, after `step` steps of training.
pub fn set_loss(
    (network, dropout, step): (&dyn Trainable, &Dropout, usize),
    theta: &ParamMap,
    examples: &[Example],
    by_length: &[usize],
) -> Result<SetLoss> {
    // No step of training has this number: evaluation shares no draw with it.
    let step = step as u64 | 1 << 63;
    Evaluator::one_by_one(examples, by_length).loss(&Noisy { network, dropout, step }, theta)
}
