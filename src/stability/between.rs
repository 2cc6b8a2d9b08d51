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
use super::bootstrap::{Scale, resampled_rows, stream, sum_rows};
use crate::rng::Stream;
use crate::stats;

/// Scores of layers.
pub struct Scored {
    /// `[items]`
    pub scores: Vec<f64>,
    /// Of each example, `[N, items]`; their mean is `scores`. Empty where it is not known.
    pub by_example: Option<Array2<f64>>,
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
    let sum = |scores: &Array2<f64>, stream: Stream, k: usize| {
        sum_rows(scores, resampled_rows(scores.nrows(), stream, k, 1).into_iter())
    };
    let one = |k: usize| agreement(&sum(x, stream(seed), k), &sum(y, other, k));
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
