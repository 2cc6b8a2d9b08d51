//! `history.csv` and `metrics.csv` of a training run.

use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::tables::training::{HistoryRow, MetricRow};
use crate::tables::{self, Table};
use crate::train::Row;

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
    let (examples, noise) = (last.examples, if noisy { "on" } else { "off" });
    let row = |metric: &str, value, se| MetricRow {
        split: "held_out".to_string(),
        examples,
        metric: metric.to_string(),
        value,
        se,
        noise: noise.to_string(),
    };
    let mut metrics = vec![row("loss", last.loss, Some(last.loss_se).filter(|se| se.is_finite()))];
    metrics.extend(last.metrics.iter().map(|(name, value)| row(name, *value, None)));
    metrics.extend(constants.iter().map(|(name, value)| row(name, *value, None)));
    // A run that collapsed says the same of every example.
    metrics.push(row("distinct_predictions", last.distinct as f64, None));
    tables::write(folder, &metrics)
}
