//! `history.csv` and `metrics.csv` of a training run.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::files;
use crate::train::Row;

/// A row of `metrics.csv`: the trained model on the held-out part.
#[derive(Serialize)]
struct MetricRow<'a> {
    split: &'static str,
    examples: usize,
    metric: &'a str,
    value: f64,
    /// Standard error, where one is known (the loss).
    se: Option<f64>,
    /// Whether dropout was on when it was evaluated: `off`, or `on` for the paper's Gaussian noise.
    noise: &'static str,
}

/// Writes both files into `folder`. An epoch is `steps_each` steps; `constants` are numbers of the held-out part that no
/// training changes, one more column each; `noisy`: whether the noise was on in evaluation.
pub fn write(
    folder: &Path,
    rows: &[Row],
    steps_each: usize,
    constants: &[(&str, f64)],
    noisy: bool,
) -> Result<()> {
    let Some(last) = rows.last() else { return Ok(()) };
    let mut text = String::from("epoch,step,train_loss,held_out_loss,held_out_loss_se");
    let names = last.metrics.iter().map(|(name, _)| name.as_str());
    names.chain(constants.iter().map(|(name, _)| *name)).for_each(|name| text += &format!(",{name}"));
    for row in rows {
        let epoch = row.step as f64 / steps_each as f64;
        text += &format!("\n{epoch},{},{},{},{}", row.step, row.train_loss, row.loss, row.loss_se);
        let values = row.metrics.iter().map(|(_, value)| value);
        values.chain(constants.iter().map(|(_, value)| value)).for_each(|value| text += &format!(",{value}"));
    }
    files::write(&folder.join("history.csv"), format!("{text}\n").as_bytes())?;
    let (examples, noise) = (last.examples, if noisy { "on" } else { "off" });
    let row = |metric, value, se| MetricRow { split: "held_out", examples, metric, value, se, noise };
    let mut metrics = vec![row("loss", last.loss, Some(last.loss_se).filter(|se| se.is_finite()))];
    metrics.extend(last.metrics.iter().map(|(name, value)| row(name, *value, None)));
    metrics.extend(constants.iter().map(|(name, value)| row(name, *value, None)));
    // A run that collapsed says the same of every example.
    metrics.push(row("distinct_predictions", last.distinct as f64, None));
    files::write_csv(&folder.join("metrics.csv"), &metrics)
}
