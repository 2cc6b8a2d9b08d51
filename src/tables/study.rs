//! The tables of a study. The settings that distinguish its cells are further columns: they differ from study to study.
//!
//! Numbers are written as they are shown, without a decimal point where they are whole; what is not finite is empty.

use serde::{Deserialize, Serialize, Serializer};

use super::Table;
use crate::error::{Error, Result};

/// A row of `study.csv`, after the settings of its cell: an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRow {
    /// Title of the arm.
    pub arm: String,
    /// Runs that the means are over.
    pub seeds: usize,
    /// Runs that failed and are in no other column.
    pub failed: usize,
    /// Runs that predict the same for every held-out example.
    pub collapsed: usize,
    /// The task's chief metric.
    pub metric: String,
    /// Its mean over the seeds, on the held-out part.
    #[serde(serialize_with = "shown")]
    pub score: Option<f64>,
    /// Its standard deviation over the seeds; empty for one.
    #[serde(serialize_with = "shown")]
    pub score_sd: Option<f64>,
    /// Its median over the seeds.
    #[serde(serialize_with = "shown")]
    pub median: Option<f64>,
    /// Mean held-out loss per target.
    #[serde(serialize_with = "shown")]
    pub loss: Option<f64>,
    /// Its standard deviation over the seeds; empty for one.
    #[serde(serialize_with = "shown")]
    pub loss_sd: Option<f64>,
    /// Paired by seed: this arm's score minus the first one's.
    #[serde(serialize_with = "shown")]
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, of this comparison alone.
    #[serde(serialize_with = "shown")]
    pub difference_low: Option<f64>,
    /// Upper end.
    #[serde(serialize_with = "shown")]
    pub difference_high: Option<f64>,
    /// How the interval counts what runs share, as in `training.csv`.
    #[serde(default)]
    pub interval: String,
    /// Two-sided p of no difference, by the same.
    #[serde(serialize_with = "shown")]
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of the study (Holm).
    #[serde(serialize_with = "shown")]
    pub p_corrected: Option<f64>,
    /// Smallest difference that would have been shown, at this spread and corrected for as many comparisons.
    #[serde(default, serialize_with = "shown")]
    pub least_shown: Option<f64>,
    /// Examples of the held-out part.
    pub held_out_examples: usize,
}

impl Table for StudyRow {
    const BESIDE: &'static [&'static str] = &[RunRow::FILE];
    const FILE: &'static str = "study.csv";
    const FIX: &'static str = "give tables/study.csv of a study";
}

/// A row of `by_KEY.csv`: an arm at one value of the setting KEY, a column after `arm`, all else equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlongRow {
    /// What is equal; empty where all of it is.
    pub panel: String,
    /// The task's chief metric.
    pub metric: String,
    /// Title of the arm.
    pub arm: String,
    /// Runs that the means are over.
    pub seeds: usize,
    /// Mean of the metric over the seeds, on the held-out part.
    #[serde(serialize_with = "shown")]
    pub score: Option<f64>,
    /// Lower end of its 95 % interval, by Student's t.
    #[serde(serialize_with = "shown")]
    pub score_low: Option<f64>,
    /// Upper end.
    #[serde(serialize_with = "shown")]
    pub score_high: Option<f64>,
    /// Paired by seed: this arm's score minus the first one's.
    #[serde(serialize_with = "shown")]
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, by Student's t.
    #[serde(serialize_with = "shown")]
    pub difference_low: Option<f64>,
    /// Upper end.
    #[serde(serialize_with = "shown")]
    pub difference_high: Option<f64>,
}

impl AlongRow {
    /// Columns before that of the setting.
    pub const BEFORE: usize = 3;
}

impl Table for AlongRow {
    const BESIDE: &'static [&'static str] = &[RunRow::FILE];
    const FILE: &'static str = "by_KEY.csv";
    const FIX: &'static str = "give a tables/by_KEY.csv of a study";
}

/// A row of `runs.csv`, after the settings of its cell: a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Title of the arm.
    pub arm: String,
    /// Its seed.
    pub seed: String,
    /// The task's chief metric.
    pub metric: String,
    /// Its value on the held-out part.
    #[serde(serialize_with = "plain")]
    pub score: f64,
    /// Held-out loss per target.
    #[serde(serialize_with = "plain")]
    pub loss: f64,
    /// 1 where it predicts the same for every held-out example, else 0.
    pub collapsed: usize,
}

impl Table for RunRow {
    const FILE: &'static str = "runs.csv";
    const FIX: &'static str = "give tables/runs.csv of a study";
}

/// The cells of a row, in the order of its columns.
pub fn cells<T: Table>(row: &T) -> Result<Vec<String>> {
    let failed = |e: String| Error::field("table", "rows", "writable", e, "report this as a defect");
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.serialize(row).map_err(|e| failed(e.to_string()))?;
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
    let record = reader.records().next().transpose().map_err(|e| failed(e.to_string()))?;
    Ok(record.unwrap_or_default().iter().map(str::to_string).collect())
}

fn shown<S: Serializer>(value: &Option<f64>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    value.filter(|v| v.is_finite()).map(|v| v.to_string()).serialize(serializer)
}

fn plain<S: Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    value.to_string().serialize(serializer)
}
