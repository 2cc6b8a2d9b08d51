//! What predictions are scored by, and how far a score is to be trusted.
//!
//! The standard error of any metric is the jackknife's (Quenouille 1949, Tukey 1958): the metric once more without each
//! example, or without each of some blocks of neighbours. For an accuracy over n examples that is the binomial
//! `sqrt(p (1 - p) / (n - 1))`; it holds for every smooth function of means, such as F1 and correlations. Examples are
//! what is left out, never single words, so words of one sentence count as the one draw that they are.

use std::ops::Range;
use std::sync::Arc;

/// A number that predictions are scored by.
#[derive(Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub measure: Measure,
}

/// How a metric is computed.
#[derive(Clone, Copy)]
pub enum Measure {
    /// `Σ a_n / Σ b_n` of what each example contributes; 0 where nothing does.
    Ratio(fn(&Predictions) -> Vec<(f64, f64)>),
    /// From all predictions at once. NaN where it is not defined (a correlation with a constant).
    Whole(fn(&Predictions) -> f64),
}

/// What a model said at the targets of a set, and what is right there: `[M]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Tokens or classes with the highest score, or numbers.
    pub predicted: Vec<f64>,
    pub truth: Vec<f64>,
    /// How many of them belong to each example, in turn.
    pub lengths: Vec<usize>,
    /// Names of the classes, where the data have them.
    pub names: Names,
}

/// Names of classes.
pub type Names = Arc<[String]>;

/// Examples up to which each is left out on its own; more are left out in [`BLOCKS`] of neighbours.
const EXAMPLES: usize = 1000;
const BLOCKS: usize = 200;

impl Predictions {
    /// The name of a class; without names, nothing.
    pub fn name(&self, class: f64) -> &str {
        self.names.get(class as usize).map_or("", String::as_str)
    }

    /// Where the targets of each example lie that has any.
    pub fn examples(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let place = |length: &usize| {
            end += length;
            end - length..end
        };
        self.lengths.iter().map(place).filter(|range| !range.is_empty()).collect()
    }

    /// All but the targets in a range, which is one of whole examples.
    fn without(&self, left_out: &Range<usize>, lengths: &Range<usize>) -> Predictions {
        let rest = |all: &[f64]| [&all[..left_out.start], &all[left_out.end..]].concat();
        let own: Vec<usize> = self.lengths.iter().copied().filter(|length| *length > 0).collect();
        Predictions {
            predicted: rest(&self.predicted),
            truth: rest(&self.truth),
            lengths: [&own[..lengths.start], &own[lengths.end..]].concat(),
            names: self.names.clone(),
        }
    }
}

/// `n` examples, cut into blocks of neighbours to be left out.
fn blocks(n: usize) -> Vec<Range<usize>> {
    let blocks = if n <= EXAMPLES { n } else { BLOCKS };
    (0..blocks).map(|k| k * n / blocks..(k + 1) * n / blocks).collect()
}

impl Metric {
    pub fn value(&self, predictions: &Predictions) -> f64 {
        match self.measure {
            Measure::Ratio(parts) => ratio(parts(predictions)),
            Measure::Whole(value) => value(predictions),
        }
    }

    /// Tukey's pseudo-values, `G M - (G - 1) M₋g` for the metric M₋g without each of G blocks of examples: their mean is about the metric, and
    /// they may be treated as so many independent draws. Of sets with examples in the same order they pair.
    pub fn pseudo_values(&self, predictions: &Predictions) -> Vec<f64> {
        let examples = predictions.examples();
        let blocks = blocks(examples.len());
        let (whole, count) = (self.value(predictions), blocks.len() as f64);
        let without: Vec<f64> = match self.measure {
            Measure::Ratio(parts) => {
                let parts = parts(predictions);
                let sum = |parts: &[(f64, f64)]| parts.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
                let all = sum(&parts);
                let rest = |block: &Range<usize>| {
                    let own = sum(&parts[block.clone()]);
                    ratio([(all.0 - own.0, all.1 - own.1)])
                };
                blocks.iter().map(rest).collect()
            }
            Measure::Whole(value) => {
                let rest = |block: &Range<usize>| {
                    let targets = examples[block.start].start..examples[block.end - 1].end;
                    value(&predictions.without(&targets, block))
                };
                blocks.iter().map(rest).collect()
            }
        };
        without.into_iter().map(|rest| count * whole - (count - 1.0) * rest).collect()
    }

    /// Standard error over the examples. NaN for fewer than two.
    pub fn standard_error(&self, predictions: &Predictions) -> f64 {
        crate::stats::standard_error(&self.pseudo_values(predictions))
    }
}

fn ratio(parts: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (a, b) = parts.into_iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    if b == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::classes::{ACCURACY, F1, MATTHEWS};
    use crate::tasks::regression::{PEARSON, SPEARMAN};

    /// Predictions of two classes, right for about `right` of them, one target to an example.
    fn classes(n: usize, right: f64, seed: u64) -> Predictions {
        let stream = crate::rng::Stream::new(seed, "test/metric");
        let (mut predicted, mut truth) = (Vec::new(), Vec::new());
        for i in 0..n as u64 {
            let label = f64::from(u8::from(stream.at(i).uniform(0) < 0.4));
            let hit = stream.at(i).uniform(1) < right;
            truth.push(label);
            predicted.push(if hit { label } else { 1.0 - label });
        }
        Predictions { predicted, truth, lengths: vec![1; n], names: Names::default() }
    }

    /// Oracle: the binomial's, in closed form; blocks of neighbours change it by the error of a spread over 200 draws (5 %),
    /// three times that at most. Catches a jackknife without its factor, and blocks that overlap or leave examples out.
    #[test]
    fn error_of_an_accuracy_is_the_binomials() {
        for (n, tolerance) in [(50, 1e-9), (1000, 1e-9), (3250, 0.15)] {
            let p = classes(n, 0.7, 1);
            let a = ACCURACY.value(&p);
            let wanted = (a * (1.0 - a) / (n as f64 - 1.0)).sqrt();
            let found = ACCURACY.standard_error(&p);
            assert!((found / wanted - 1.0).abs() < tolerance, "{n}: {found}, expected {wanted}");
        }
    }

    /// Oracle: the spread of each metric over 400 fresh sets of 300 examples; within three errors of such a spread (3.5 %) and
    /// the jackknife's own bias. Catches the wrong examples left out and names or lengths that shift.
    #[test]
    fn errors_are_the_spread_over_fresh_sets() {
        for metric in [F1, MATTHEWS, PEARSON, SPEARMAN] {
            let sets: Vec<Predictions> = (0..400).map(|seed| classes(300, 0.75, seed)).collect();
            let spread = crate::stats::sd(&sets.iter().map(|p| metric.value(p)).collect::<Vec<_>>());
            let errors: Vec<f64> = sets.iter().take(60).map(|p| metric.standard_error(p)).collect();
            let error = crate::stats::mean(&errors);
            assert!((error / spread - 1.0).abs() < 0.12, "{}: {error}, spread {spread}", metric.name);
        }
    }

    /// Oracle: the same words as one sentence each time twice: two copies of a target are one draw, so the error is that of
    /// the single ones. An example without a target changes nothing. Catches words counted as independent.
    #[test]
    fn words_of_one_example_are_one_draw() {
        let single = classes(200, 0.7, 3);
        let twice = |values: &[f64]| values.iter().flat_map(|v| [*v, *v]).collect::<Vec<_>>();
        let mut double = Predictions {
            predicted: twice(&single.predicted),
            truth: twice(&single.truth),
            lengths: vec![2; 200],
            names: Names::default(),
        };
        for metric in [ACCURACY, MATTHEWS] {
            let (one, two) = (metric.standard_error(&single), metric.standard_error(&double));
            assert!((one / two - 1.0).abs() < 1e-9, "{one}, {two}");
            double.lengths.insert(7, 0);
            assert!((metric.standard_error(&double) / one - 1.0).abs() < 1e-9);
            double.lengths.remove(7);
        }
    }
}
