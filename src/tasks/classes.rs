//! Classification: one class for each example, read at its first token.

use super::{Answer, Best, Column, Metric, Predictions, Spec};
use crate::stats;

pub const ACCURACY: Metric = Metric { name: "accuracy", value: accuracy };
/// Of class 1.
pub const F1: Metric = Metric { name: "f1", value: |p| of_classes(p, stats::f1) };
pub const MATTHEWS: Metric = Metric { name: "matthews", value: |p| of_classes(p, stats::matthews) };

pub const SPEC: Spec = Spec {
    objective: "classes",
    words: "classes",
    unit: "nats",
    column: Column::Classes,
    answer: Answer::Class,
    metrics: &[ACCURACY],
    best: Best::HighestMetric,
    masked: false,
    instead_of_exact: None,
};

/// Share of the targets at which the right label has the highest score.
pub(super) fn accuracy(predictions: &Predictions) -> f64 {
    of_classes(predictions, stats::accuracy)
}

fn of_classes(predictions: &Predictions, measure: fn(&[usize], &[usize]) -> f64) -> f64 {
    let whole = |labels: &[f64]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
    measure(&whole(&predictions.predicted), &whole(&predictions.truth))
}
