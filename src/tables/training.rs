//! `history.csv` and `metrics.csv` of `train` and `pretrain`.

use serde::{Deserialize, Serialize};

use super::Table;

/// A row of `history.csv`: one evaluation. Further columns are held-out metrics, the chief one first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Passes over the training part so far.
    pub epoch: f64,
    /// Updates so far.
    pub step: usize,
    /// Mean over the batches since the last row, with dropout on, per target.
    pub train_loss: f64,
    /// Loss of the held-out part without dropout, per target.
    pub held_out_loss: f64,
    /// Its standard error over the examples.
    pub held_out_loss_se: f64,
}

impl Table for HistoryRow {
    const FILE: &'static str = "history.csv";
    const FIX: &'static str = "give the history.csv of `fisherscape train`";
}

/// A row of `metrics.csv`: the trained model on the held-out part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// The part: `held_out`.
    pub split: String,
    /// Its examples.
    pub examples: usize,
    /// `loss` first, then the task's chief metric and the others.
    pub metric: String,
    /// Its value; of a loss per target.
    pub value: f64,
    /// Standard error, where one is known (the loss).
    pub se: Option<f64>,
    /// Whether dropout was on when it was evaluated: `off`, or `on` for the paper's Gaussian noise. Not in
    /// files of earlier versions.
    #[serde(default)]
    pub noise: String,
}

impl Table for MetricRow {
    const FILE: &'static str = "metrics.csv";
    const FIX: &'static str = "run it again with --force";
}
