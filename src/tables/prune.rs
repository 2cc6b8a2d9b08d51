//! The file of `prune`.

use serde::{Deserialize, Serialize};

use super::{Table, Wrong};

/// A row of `prune.csv`: the model without a share of its parameters. The first row is the whole model. Intervals are over examples, paired with
/// those of the whole model; they say nothing of other orders at random.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PruneRow {
    /// `none`, `fisher`, `saliency`, `magnitude` or `random`.
    pub order: String,
    /// Share of the parameters that was to be set to zero, from 0 to 1.
    pub pruned_share: f64,
    /// Which random order, from 0; empty of others.
    pub draw: Option<usize>,
    /// Parameters that are zero.
    pub pruned: usize,
    /// Parameters that they were chosen from.
    pub parameters: usize,
    /// Loss per target.
    pub loss: f64,
    /// Less that of the whole model.
    pub rise: f64,
    /// Lower end of its 95 % interval.
    pub rise_low: Option<f64>,
    /// Upper end.
    pub rise_high: Option<f64>,
    /// Rise that F predicts, `½ Σ F w²` per target.
    pub predicted: f64,
    /// Name of the chief metric; empty without one.
    pub metric: String,
    /// Its value.
    pub value: Option<f64>,
    /// Less that of the whole model.
    pub gain: Option<f64>,
    /// Lower end of its 95 % interval.
    pub gain_low: Option<f64>,
    /// Upper end.
    pub gain_high: Option<f64>,
    /// Loss less the mean of the random orders of this share; empty of these.
    pub over_random: Option<f64>,
    /// Lower end of its 95 % interval, over examples and random orders.
    pub over_random_low: Option<f64>,
    /// Upper end.
    pub over_random_high: Option<f64>,
}

impl Table for PruneRow {
    const FILE: &'static str = "prune.csv";
    const FIX: &'static str = "make the table again with `fisherscape prune`";

    fn check(&self) -> Result<(), Wrong> {
        match (0.0..=1.0).contains(&self.pruned_share) {
            true => Ok(()),
            false => Err(Wrong::new("pruned_share", "from 0 to 1", self.pruned_share)),
        }
    }
}
