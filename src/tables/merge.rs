//! The file of `merge`.

use serde::{Deserialize, Serialize};

use super::Table;

/// A row of `merge.csv`: a model on the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeRow {
    /// `a`, `b`, `plain` (the average), or `fisher` (weighted by Fisher information).
    pub model: String,
    /// Whether it is the one that was written.
    pub merged: bool,
    /// Loss per target.
    pub loss: f64,
    /// Its standard error over examples.
    pub loss_se: f64,
    /// Name of the chief metric; empty without one.
    pub metric: String,
    /// Its value.
    pub value: Option<f64>,
    /// Loss of the plain average less this one's, paired by example; empty of that average.
    pub under_plain: Option<f64>,
    /// Lower end of its 95 % interval over examples.
    pub under_plain_low: Option<f64>,
    /// Upper end.
    pub under_plain_high: Option<f64>,
}

impl Table for MergeRow {
    const FILE: &'static str = "merge.csv";
    const FIX: &'static str = "make the table again with `fisherscape merge`";
}
