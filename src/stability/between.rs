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

/// How alike two rankings are. Without per-example scores of both, or without resamples, there are no intervals.
///
/// Costs `resamples · N · items` additions for each side. `paired`: both are of the same examples, in the same order.
pub fn between(a: &Scored, b: &Scored, paired: bool, resamples: usize, seed: u64) -> Compared {
    let values = agreement(&a.scores, &b.scores);
    let (Some(x), Some(y)) = (&a.by_example, &b.by_example) else {
        return Compared { values, ..Compared::default() };
    };
    let other = if paired { stream(seed) } else { Stream::new(seed, "stability/bootstrap/other") };
    let sum = |scores: &Array2<f64>, clusters: &Clusters, stream: Stream| {
        sum_rows(scores, clusters.resampled(scores.nrows(), &stream).into_iter())
    };
    let one = |k: usize| {
        let (k, own) = (k as u64, stream(seed));
        agreement(&sum(x, &a.clusters, own.at(k)), &sum(y, &b.clusters, other.at(k)))
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
