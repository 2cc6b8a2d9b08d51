//! How far an agreement would move on another corpus of the same kind: a bootstrap over examples.
//!
//! What the interval is of: the EXPECTED agreement of a draw of m examples with its complement (or with all N), over
//! corpora of N examples and over draws. Neither is a property of the examples at hand, so the spread over repeats, all
//! of which share those examples, cannot give it.
//!
//! What is resampled: whole corpora. Resample b takes N examples with replacement; place i of it belongs to the draws
//! that place i belongs to in the corpus. Which places a draw holds says nothing about the examples in them, so with the
//! draws held fixed the spread over corpora is the whole variance of the mean over repeats, draws included.
//!
//! The trap: an example taken twice may lie in a draw and in its complement, and the resampled corpus has the noise of
//! the real one added to its signal. Both make resamples agree better than fresh corpora would. (Keeping an example's
//! copies on one side instead doubles the noise, and they agree worse: percentiles of that miss the expected value
//! nearly always.) So no percentile of a resampled agreement is an end of an interval. Only their spread is used, on the
//! scale of Fisher's z = atanh, where it hardly depends on the value: `z(observed) ± 1.96 sd(z_b)`, the normal interval (Davison and
//! Hinkley 1997, section 5.2). Quantiles of the deviations did worse near 1, where resamples pile up at the end. The observed value is
//! unbiased: draws are without replacement.
//!
//! Examples must be independent. Lines of one article are not: there a resample takes whole articles ([`Clusters`]). Where draws hold a
//! few dozen heavy-tailed ones, coverage is nearer 90 % than 95 %; where an agreement is nearly always 1, it is more.

use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

use super::agreement::{Measure, RBO_P};
use crate::rng::Stream;
use crate::stats;
use crate::stats::clusters::Clusters;

/// Standard deviations to either side that hold 95 % of a normal distribution: pointwise, two-sided intervals.
const REACH: f64 = 1.959_963_984_540_054;
/// An interval needs this share of the resamples to have a defined agreement.
const LEAST_DEFINED: f64 = 0.5;

/// Resampled corpora of scores `[N, items]`, each remembered by its total only: its examples follow from the seed.
pub(super) struct Resamples<'a> {
    scores: &'a Array2<f64>,
    clusters: &'a Clusters,
    stream: Stream,
    /// `[resamples, items]`
    totals: Array2<f64>,
}

impl<'a> Resamples<'a> {
    /// Costs `resamples · N · items` additions.
    pub(super) fn new(
        scores: &'a Array2<f64>,
        clusters: &'a Clusters,
        resamples: usize,
        seed: u64,
    ) -> Resamples<'a> {
        let totals = Array2::zeros((0, scores.ncols()));
        let mut result = Resamples { scores, clusters, stream: stream(seed), totals };
        let total = |b: usize| sum_rows(scores, result.rows(b).into_iter());
        let totals: Vec<f64> = (0..resamples).into_par_iter().flat_map_iter(total).collect();
        // One total of `items` per resample: the shape fits.
        result.totals = Array2::from_shape_vec((resamples, scores.ncols()), totals).unwrap_or_default();
        result
    }

    pub(super) fn len(&self) -> usize {
        self.totals.nrows()
    }

    /// Sum over all places of resample `b`.
    pub(super) fn total(&self, b: usize) -> ArrayView1<'_, f64> {
        self.totals.row(b)
    }

    /// The example at each place of resample `b`.
    pub(super) fn rows(&self, b: usize) -> Vec<usize> {
        self.clusters.resampled(self.scores.nrows(), &self.stream.at(b as u64))
    }
}

/// The stream of the resamples.
pub(super) fn stream(seed: u64) -> Stream {
    Stream::new(seed, "stability/bootstrap")
}

/// Sum of rows, in the order given.
pub(super) fn sum_rows(scores: &Array2<f64>, rows: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut sum = vec![0f64; scores.ncols()];
    for n in rows {
        sum.iter_mut().zip(scores.row(n)).for_each(|(sum, s)| *sum += s);
    }
    sum
}

/// Fisher's z of one measure: atanh of the value, its range stretched to [-1, 1].
///
/// At the ends z is infinite, though R draws that all agree perfectly do not make it certain that the next one will:
/// they leave a chance of up to 3/R (95 %, the rule of three) that it is off by the smallest step a measure can take.
/// Values nearer to an end than that, or than half a step, count as that near. An interval that gets so far goes to the end itself, which
/// nothing tells from them: one that ended at its own estimate would say that nothing higher is possible.
pub(super) struct Scale {
    range: (f64, f64),
    /// Distance kept from the ends, on [-1, 1].
    margin: f64,
}

impl Scale {
    /// The scale of a mean over `repeats` values of `measure` between rankings of `items`.
    pub(super) fn new(measure: Measure, items: usize, repeats: usize) -> Scale {
        let n = items.max(2) as f64;
        let step = match measure {
            // 1 - rho and 1 - tau where two neighbours are exchanged.
            Measure::Spearman => 12.0 / (n * (n * n - 1.0)),
            Measure::Kendall => 4.0 / (n * (n - 1.0)),
            // (k - 1)/(k + 1) comes after 1, and for k = 1 the other end: half of that keeps a scale.
            Measure::TopKOverlap => (4.0 / (stats::top_k(items) as f64 + 1.0)).min(1.0),
            // Steps are finer down the list; this is an exchange of neighbours in its middle.
            Measure::Rbo => 2.0 * (1.0 - RBO_P) * RBO_P.powf(n / 2.0) / (n / 2.0),
            // Two neighbours of n, each off by a step of 1/(n - 1) of the line.
            Measure::RateDifference => 4.0 / (n * (n - 1.0)),
        };
        Scale { range: measure.range(), margin: step * (3.0 / repeats.max(1) as f64).min(0.5) }
    }

    fn z(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let stretched = (2.0 * value - low - high) / (high - low);
        libm::atanh(stretched.clamp(self.margin - 1.0, 1.0 - self.margin))
    }

    /// The value of a z.
    fn value(&self, z: f64) -> f64 {
        let (low, high) = self.range;
        (low + high + (high - low) * libm::tanh(z)) / 2.0
    }

    /// The interval about `observed` from resampled values; it always holds `observed`. `None` if too few of
    /// `resamples` gave a value.
    pub(super) fn interval(
        &self,
        observed: f64,
        values: impl Iterator<Item = f64>,
        resamples: usize,
    ) -> Option<(f64, f64)> {
        let resampled: Vec<f64> = values.map(|value| self.z(value)).collect();
        if resampled.is_empty() || (resampled.len() as f64) < LEAST_DEFINED * resamples as f64 {
            return None;
        }
        // Of a single one there is no spread.
        let spread = Some(stats::sd(&resampled)).filter(|sd| sd.is_finite()).unwrap_or(0.0);
        let (z, (least, most)) = (self.z(observed), self.range);
        let (down, up, last) = (z - REACH * spread, z + REACH * spread, self.z(most));
        let low = if down <= -last { least } else { self.value(down) };
        let high = if up >= last { most } else { self.value(up) };
        Some((low.min(observed), high.max(observed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: in closed form. Articles of four equal lines: their total varies as sums of 100 articles do, but for the error of a spread
    /// over 2000 resamples (1.6 %); single lines give half.
    #[test]
    fn resamples_vary_as_articles_do() {
        let stream = Stream::new(3, "test/articles");
        let article: Vec<f64> = (0..100).map(|k| stream.normal(k)).collect();
        let scores = Array2::from_shape_fn((400, 1), |(line, _)| article[line / 4]);
        let groups: Vec<Option<u32>> = (0..400).map(|line| Some(line / 4)).collect();
        let spread = |clusters: &Clusters| {
            let resamples = Resamples::new(&scores, clusters, 2000, 1);
            let totals: Vec<f64> = (0..2000).map(|b| resamples.total(b)[0]).collect();
            stats::sd(&totals)
        };
        let wanted = 4.0 * stats::sd(&article) * 10.0;
        let articles = spread(&Clusters::new(&groups, false)) / wanted;
        let lines = spread(&Clusters::default()) / wanted;
        assert!((articles - 1.0).abs() < 0.06 && (lines - 0.5).abs() < 0.04, "{articles}, {lines}");
    }
}
