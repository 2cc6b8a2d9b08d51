//! Agreement of two rankings of the same layers, with intervals: two ways to aggregate, two estimators, two models, two
//! tasks.
//!
//! Where both come from the same examples these are resampled together, so that what both owe to an example cancels;
//! otherwise each on its own. Intervals are those of `bootstrap`, for the same reason: a resample agrees more
//! or less than a fresh sample would, but moves about as much.

use ndarray::Array2;
use rayon::prelude::*;

use super::Compared;
use super::agreement::{Agreement, Measure, agreement};
use super::bootstrap::{Scale, stream, sum_rows};
use crate::fisher::files::PerExample;
use crate::fisher::layers::Scores;
use crate::rng::Stream;
use crate::stats;
use crate::stats::clusters::Clusters;

/// Scores of layers.
pub struct Scored {
    /// `[items]`
    pub scores: Vec<f64>,
    /// Of each example, `[N, items]`; their mean is `scores`. Empty where it is not known.
    pub by_example: Option<Array2<f64>>,
    /// Which examples are one draw.
    pub clusters: Clusters,
}

impl Scored {
    /// Scores of the tensors' `totals`, and of each example where their sums are known.
    pub fn new(scores: &Scores, totals: &[f64], by_example: Option<&PerExample>) -> Scored {
        Scored {
            scores: scores.of(totals),
            by_example: by_example.map(|own| scores.of_examples(&own.sums)),
            clusters: by_example.map(|own| own.clusters.clone()).unwrap_or_default(),
        }
    }

    /// Standard error of a score over the examples.
    pub fn standard_error(&self, item: usize) -> Option<f64> {
        let values = self.by_example.as_ref()?.column(item).to_vec();
        Some(self.clusters.standard_error(&values)).filter(|se| se.is_finite())
    }
}

/// How alike two rankings are. Without resamples there are no intervals, and none where neither has per-example scores; where one has, its examples
/// are resampled and the other is taken as it is.
///
/// Costs `resamples · N · items` additions for each side. `paired`: both are of the same examples, in the same order.
pub fn between(a: &Scored, b: &Scored, paired: bool, resamples: usize, seed: u64) -> Compared {
    let values = agreement(&a.scores, &b.scores);
    if a.by_example.is_none() && b.by_example.is_none() {
        return Compared { values, ..Compared::default() };
    }
    let other = if paired { stream(seed) } else { Stream::new(seed, "stability/bootstrap/other") };
    let sum = |own: &Scored, stream: Stream| match &own.by_example {
        Some(scores) => sum_rows(scores, own.clusters.resampled(scores.nrows(), &stream).into_iter()),
        None => own.scores.clone(),
    };
    let one = |k: usize| {
        let (k, own) = (k as u64, stream(seed));
        agreement(&sum(a, own.at(k)), &sum(b, other.at(k)))
    };
    let resampled: Vec<Agreement> = (0..resamples).into_par_iter().map(one).collect();
    let interval = |m: usize| {
        let scale = Scale::new(Measure::ALL[m], a.scores.len(), 1);
        scale.interval(values[m]?, resampled.iter().filter_map(|values| values[m]), resamples)
    };
    Compared { values, intervals: [0, 1, 2, 3, 4].map(interval) }
}

/// Spearman's rho of two lists of values for the same layers, and its interval from resampled lists.
pub fn correlation(
    x: &[f64],
    y: &[f64],
    resampled: impl IntoIterator<Item = (Vec<f64>, Vec<f64>)>,
) -> (Option<f64>, Option<(f64, f64)>) {
    let observed = stats::spearman(x, y);
    let values: Vec<Option<f64>> = resampled.into_iter().map(|(x, y)| stats::spearman(&x, &y)).collect();
    let scale = Scale::new(Measure::Spearman, x.len(), 1);
    let interval =
        observed.and_then(|rho| scale.interval(rho, values.iter().copied().flatten(), values.len()));
    (observed, interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: resampling examples that are all alike changes nothing. So where one side has no examples the intervals are those of one whose examples are.
    /// Catches the wrong side resampled, and sums against means.
    #[test]
    fn what_has_no_examples_is_taken_as_it_is() {
        let noise = Stream::new(3, "test/between");
        let scored = |of: &dyn Fn(usize, usize) -> f64, with: bool| {
            let rows = Array2::from_shape_fn((40, 12), |(n, item)| of(n, item));
            let scores = rows.mean_axis(ndarray::Axis(0)).expect("40 rows").to_vec();
            Scored { scores, by_example: with.then_some(rows), clusters: Clusters::default() }
        };
        let noisy = |n: usize, item: usize| item as f64 + 9.0 * noise.normal((12 * n + item) as u64);
        let steady = |_: usize, item: usize| ((item * 5) % 12) as f64;
        let own = scored(&noisy, true);
        let [alike, without] = [true, false].map(|with| scored(&steady, with));
        let [one, other] = [&alike, &without].map(|with| between(&own, with, false, 200, 1));
        assert_eq!((one.values, one.intervals), (other.values, other.intervals));
        assert!(other.low(0) < other.values[0] && other.values[0] < other.high(0));
        let turned = between(&without, &own, false, 200, 1);
        assert_eq!(turned.values[0], other.values[0]);
        assert!(turned.low(0).is_some());
        assert_eq!(between(&without, &without, false, 200, 1).low(0), None);
    }
}
