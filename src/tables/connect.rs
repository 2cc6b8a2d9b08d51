//! The file of `connect`.

use serde::{Deserialize, Serialize};

use super::Table;

/// A row of `connect.csv`: a point between two models. Intervals hold for all points of a path together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectRow {
    /// `line`, or the trained `curve`.
    pub path: String,
    /// Where it lies, from 0 (A) to 1 (B).
    pub t: f64,
    /// Loss per target.
    pub loss: f64,
    /// Its standard error over examples.
    pub loss_se: f64,
    /// Name of the chief metric; empty without one.
    pub metric: String,
    /// Its value.
    pub value: Option<f64>,
    /// Loss above the straight line between the losses of both models, paired by example.
    pub height: f64,
    /// Lower end of its 95 % interval; empty at both ends.
    pub height_low: Option<f64>,
    /// Upper end.
    pub height_high: Option<f64>,
}

impl Table for ConnectRow {
    const FILE: &'static str = "connect.csv";
    const FIX: &'static str = "make the table again with `fisherscape connect`";
}
