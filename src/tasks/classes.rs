//! Classification: one class for each example, read at the token that its head reads.

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

/// What classes of a classifier that is clearly worse than chance would have to be called for it to fit.
#[derive(Debug, PartialEq)]
pub struct OtherOrder {
    /// As they are numbered now.
    pub accuracy: f64,
    /// Class k of the classifier would be class `order[k]` of the data.
    pub order: Vec<usize>,
    /// Numbered so.
    pub better: f64,
}

/// The order of classes in which predictions would fit, where they are worse than chance (1 in `classes`) by more than three
/// standard errors and some order is better than it by as much.
pub fn other_order(truth: &[usize], predicted: &[usize], classes: usize) -> Option<OtherOrder> {
    let accuracy = stats::accuracy(predicted, truth);
    if !is_below_chance(accuracy, truth.len(), classes) {
        return None;
    }
    let mut counts = vec![vec![0usize; classes]; classes];
    for (truth, predicted) in truth.iter().zip(predicted) {
        *counts.get_mut(*predicted)?.get_mut(*truth)? += 1;
    }
    let order = best_order(&counts);
    let hits: usize = order.iter().enumerate().map(|(k, class)| counts[k][*class]).sum();
    let better = hits as f64 / truth.len() as f64;
    // As far above chance as the accuracy is below it, at least.
    (better > 2.0 / classes as f64 - accuracy).then_some(OtherOrder { accuracy, order, better })
}

/// Whether an accuracy over `n` examples is worse than chance (1 in `classes`) by more than three standard errors.
pub fn is_below_chance(accuracy: f64, n: usize, classes: usize) -> bool {
    let chance = 1.0 / classes as f64;
    accuracy < chance - 3.0 * (chance * (1.0 - chance) / n as f64).sqrt()
}

/// For each row a column of its own, the largest counts first.
fn best_order(counts: &[Vec<usize>]) -> Vec<usize> {
    let classes = counts.len();
    let mut cells: Vec<(usize, usize)> = (0..classes * classes).map(|i| (i / classes, i % classes)).collect();
    cells.sort_by_key(|(k, class)| std::cmp::Reverse(counts[*k][*class]));
    let mut order = vec![classes; classes];
    for (k, class) in cells {
        if order[k] == classes && !order.contains(&class) {
            order[k] = class;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper. Predictions that are right but for the numbers of their classes; the same with noise; and
    /// predictions that are bad in no order.
    #[test]
    fn an_order_that_would_fit_is_found() {
        let truth: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let predicted: Vec<usize> = truth.iter().map(|class| (class + 1) % 3).collect();
        let found = OtherOrder { accuracy: 0.0, order: vec![2, 0, 1], better: 1.0 };
        assert_eq!(other_order(&truth, &predicted, 3), Some(found));
        assert_eq!(other_order(&truth, &truth, 3), None);
        let constant = vec![0; 60];
        assert_eq!(other_order(&truth, &constant, 3), None); // a third is right, as by chance
        assert_eq!(other_order(&[0, 1], &[1, 0], 2), None); // too few to say
    }
}
