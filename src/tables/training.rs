//! `history.csv` and `metrics.csv` of `train` and `pretrain`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Table;
use crate::tasks::{Predictions, answers};

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
    const BESIDE: &'static [&'static str] = &[MetricRow::FILE];
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
    /// `loss` first, then the task's chief metric and the others; `training_examples`; `distinct_predictions` last.
    pub metric: String,
    /// Its value; of a loss per target.
    pub value: f64,
    /// Standard error over the held-out examples: of the loss as a ratio, of metrics by the jackknife. Empty of counts.
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

/// A row of `predictions.csv`: what the trained model says at one target of the held-out part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionRow {
    /// Its row among all that were read, the training file's first, counted from 0: the same for every seed.
    pub example: usize,
    /// Which of the example's targets, from 0.
    pub target: usize,
    /// What is right: the number of a class, or a number; of a question, of the name beside it.
    #[serde(serialize_with = "short")]
    pub label: f64,
    /// What the model says.
    #[serde(serialize_with = "short")]
    pub prediction: f64,
    /// Name of that class; of a question the list of its answers in JSON; empty without names.
    pub label_name: String,
    /// Name of the one that the model says, or its answer.
    pub prediction_name: String,
    /// Loss at the target.
    pub loss: f64,
}

/// Whole numbers without a point, as classes are counted.
fn short<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Table for PredictionRow {
    const FILE: &'static str = "predictions.csv";
    const FIX: &'static str = "run it again with --force";
}

impl PredictionRow {
    /// Whether what the model says is right: of a question, one of its answers.
    pub fn is_right(&self) -> bool {
        match answers::answers(&self.label_name) {
            Some(answers) => answers::is_right(&self.prediction_name, &answers),
            None => self.label == self.prediction,
        }
    }

    /// The examples in turn, each once, and what was predicted of them.
    pub fn read(rows: &[PredictionRow]) -> (Vec<usize>, Predictions) {
        let examples = rows.chunk_by(|a, b| a.example == b.example);
        let (numbers, lengths) = examples.map(|own| (own[0].example, own.len())).unzip();
        let names = |row: &PredictionRow| {
            [(row.label, row.label_name.clone()), (row.prediction, row.prediction_name.clone())]
        };
        let named: BTreeMap<usize, String> = rows
            .iter()
            .flat_map(names)
            .filter(|(_, name)| !name.is_empty())
            .map(|(k, n)| (k as usize, n))
            .collect();
        let classes = named.last_key_value().map_or(0, |(last, _)| last + 1);
        let name = |k: usize| named.get(&k).cloned().unwrap_or_default();
        let predictions = Predictions {
            predicted: rows.iter().map(|row| row.prediction).collect(),
            truth: rows.iter().map(|row| row.label).collect(),
            lengths,
            names: (0..classes).map(name).collect(),
        };
        (numbers, predictions)
    }
}
