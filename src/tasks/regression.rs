//! Regression: one number for each example, read at the token that its head reads. The loss is `(y - f)²`, not halved, of the labels as they are.

use super::{Answer, Best, Column, Measure, Metric, Predictions, Spec};
use crate::stats;

pub const PEARSON: Metric =
    Metric { name: "pearson", measure: Measure::Whole(|p| correlation(p, stats::pearson)) };
pub const SPEARMAN: Metric =
    Metric { name: "spearman", measure: Measure::Whole(|p| correlation(p, stats::spearman)) };

fn correlation(p: &Predictions, of: fn(&[f64], &[f64]) -> Option<f64>) -> f64 {
    of(&p.predicted, &p.truth).unwrap_or(f64::NAN)
}

pub const SPEC: Spec = Spec {
    objective: "regression",
    words: "regression",
    unit: "squared error",
    column: Column::Values,
    answer: Answer::Value,
    metrics: &[PEARSON, SPEARMAN],
    best: Best::HighestMetric,
    masked: false,
    instead_of_exact: Some("`mc` draws from the normal likelihood of the squared error"),
};
