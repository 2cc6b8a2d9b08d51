//! `history.csv`, `metrics.csv` and `predictions.csv` of a training run.

use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::tables::training::{HistoryRow, MetricRow, PredictionRow};
use crate::tables::{self, Table};
use crate::tasks::{Predictions, Scoring};
use crate::train::Row;

/// Numbers of a run, apart from those of its rows.
#[derive(Default)]
pub struct Beside<'a> {
    /// Of the held-out part, which no training changes: one more column each.
    pub constants: &'a [(&'a str, f64)],
    /// Examples that were trained on.
    pub trained_on: usize,
    /// Whether the noise was on in evaluation.
    pub noisy: bool,
    /// What was predicted last, and what it is scored by.
    pub said: Option<(&'a Predictions, &'a Scoring)>,
}

/// Writes history and metrics into `folder`. An epoch is `steps_each` steps.
pub fn write(folder: &Path, rows: &[Row], steps_each: usize, beside: &Beside) -> Result<()> {
    let Some(last) = rows.last() else { return Ok(()) };
    let constants = beside.constants;
    let mut text = tables::columns::<HistoryRow>().join(",");
    let names = last.metrics.iter().map(|(name, _)| name.as_str());
    names.chain(constants.iter().map(|(name, _)| *name)).for_each(|name| text += &format!(",{name}"));
    for row in rows {
        let epoch = row.step as f64 / steps_each as f64;
        text += &format!("\n{epoch},{},{},{},{}", row.step, row.train_loss, row.loss, row.loss_se);
        let values = row.metrics.iter().map(|(_, value)| value);
        values.chain(constants.iter().map(|(_, value)| value)).for_each(|value| text += &format!(",{value}"));
    }
    files::write(&folder.join(HistoryRow::FILE), format!("{text}\n").as_bytes())?;
    tables::write(folder, &metrics(last, beside))
}

/// The last row with standard errors over the examples.
fn metrics(last: &Row, beside: &Beside) -> Vec<MetricRow> {
    let (examples, noise) = (last.examples, if beside.noisy { "on" } else { "off" });
    let row = |metric: &str, value, se: Option<f64>| MetricRow {
        split: "held_out".to_string(),
        examples,
        metric: metric.to_string(),
        value,
        se: se.filter(|se| se.is_finite()),
        noise: noise.to_string(),
    };
    let se = |name: &str| {
        let (predictions, scoring) = beside.said?;
        let metric = scoring.metrics.iter().find(|metric| metric.name == name)?;
        Some(metric.standard_error(predictions))
    };
    let mut metrics = vec![row("loss", last.loss, Some(last.loss_se))];
    metrics.extend(last.metrics.iter().map(|(name, value)| row(name, *value, se(name))));
    metrics.extend(beside.constants.iter().map(|(name, value)| row(name, *value, None)));
    metrics.push(row("training_examples", beside.trained_on as f64, None));
    // A run that collapsed says the same of every example.
    metrics.push(row("distinct_predictions", last.distinct as f64, None));
    metrics
}

/// The rows of `predictions.csv`; `numbers` are those of the examples, `losses` by example and target.
pub fn predictions(said: &Predictions, losses: &[Vec<f64>], numbers: &[usize]) -> Vec<PredictionRow> {
    let places = losses.iter().zip(numbers).flat_map(|(losses, &example)| {
        losses.iter().enumerate().map(move |(target, &loss)| (example, target, loss))
    });
    let row = |(i, (example, target, loss)): (usize, (usize, usize, f64))| PredictionRow {
        example,
        target,
        label: said.truth[i],
        prediction: said.predicted[i],
        label_name: said.name(said.truth[i]).to_string(),
        prediction_name: said.name(said.predicted[i]).to_string(),
        loss,
    };
    places.enumerate().map(row).collect()
}
