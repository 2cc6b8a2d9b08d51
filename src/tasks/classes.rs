//! Classification: one class for each example, read at the token that its head reads.

use super::{Answer, Best, Column, Measure, Metric, Predictions, Spec};
use crate::stats;

pub const ACCURACY: Metric = Metric { name: "accuracy", measure: Measure::Ratio(right) };
/// Of class 1.
pub const F1: Metric = Metric { name: "f1", measure: Measure::Ratio(positives) };
pub const MATTHEWS: Metric = Metric { name: "matthews", measure: Measure::Whole(matthews) };

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

/// At how many targets of each example the right label has the highest score, and how many it has.
pub(super) fn right(predictions: &Predictions) -> Vec<(f64, f64)> {
    let (predicted, truth) = (&predictions.predicted, &predictions.truth);
    let hits = |own: &std::ops::Range<usize>| own.clone().filter(|i| predicted[*i] == truth[*i]).count();
    predictions.examples().iter().map(|own| (hits(own) as f64, own.len() as f64)).collect()
}

/// `2 TP / (2 TP + FP + FN)` of the positive class 1: what each example has of them. Every other class counts as negative.
fn positives(predictions: &Predictions) -> Vec<(f64, f64)> {
    let (predicted, truth) = (&predictions.predicted, &predictions.truth);
    let part = |own: std::ops::Range<usize>| {
        let positive = |labels: &[f64]| labels[own.clone()].iter().filter(|label| **label == 1.0).count();
        let hits = own.clone().filter(|i| predicted[*i] == 1.0 && truth[*i] == 1.0).count();
        (2.0 * hits as f64, (positive(predicted) + positive(truth)) as f64)
    };
    predictions.examples().into_iter().map(part).collect()
}

fn matthews(predictions: &Predictions) -> f64 {
    let whole = |labels: &[f64]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
    stats::matthews(&whole(&predictions.predicted), &whole(&predictions.truth))
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

    /// Oracle: scikit-learn 1.9.1, `f1_score(t, q)`, and `f1_score([0, 0], [0, 0], zero_division=0)`, which is 0; classes beside 0 and
    /// 1 are negative.
    #[test]
    fn f1_equals_scikit_learn() {
        let f1 = |truth: &[f64], predicted: &[f64]| {
            F1.value(&Predictions {
                predicted: predicted.to_vec(),
                truth: truth.to_vec(),
                lengths: vec![1; truth.len()],
                names: super::super::Names::default(),
            })
        };
        let truth = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0];
        let predicted = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        assert!((f1(&truth, &predicted) - 0.7272727272727273).abs() < 1e-15);
        assert_eq!(f1(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert_eq!(f1(&[2.0, 1.0], &[2.0, 1.0]), 1.0);
    }

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
