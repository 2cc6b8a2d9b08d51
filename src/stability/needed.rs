//! How many examples a ranking needs, predicted from a pilot and checked on fresh ones.
//!
//! The question: at which size M would two independent samples of M examples rank the layers alike, with a mean
//! Spearman rho of the threshold? (Test and retest: neither contains the other, and neither is the truth.)
//!
//! The prediction: on a logarithmic scale a layer's score is its true value plus noise, `y_i + ε_i / √M`. The noise of
//! all layers together is drawn from the pilot's examples with normal weights, which gives it the covariance that was
//! observed; what all layers have in common moves no rank, and drops out by itself. The trap: the pilot's own scores
//! `ŷ` hold its noise too and so lie further apart than the true ones. They are drawn together until their variance is
//! what is left without it (Louis 1984). M is found by bisection, with the same draws for every M.
//!
//! The check: pairs of disjoint samples of M examples that the pilot has not seen, where the corpus has enough.

use std::ops::Range;

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{self, sum_rows};
use super::{Config, Items};
use crate::fisher::layers::Granularity;
use crate::rng::Stream;
use crate::stats;

/// Pairs of noise draws behind a predicted agreement: its error is some 0.01 where a pair's spread is 0.1.
const DRAWS: usize = 100;
/// Pairs of fresh samples behind a check.
const PAIRS: usize = 20;
/// Resampled corpora behind the interval of the whole corpus' prediction.
const RESAMPLES: usize = 100;
/// More examples than anyone has: beyond it nothing is predicted.
const MOST: f64 = 1e9;

/// A row of `needed.csv`: what one pilot predicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeededRow {
    /// `full` (the whole corpus is the pilot) or the kind of draw.
    pub draw: String,
    /// Of the examples, the part that the pilot has.
    pub fraction: f64,
    /// Which of the draws of that fraction, from 0.
    pub repeat: usize,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Spearman's rho asked for.
    pub threshold: f64,
    /// Examples of the pilot.
    pub examples: usize,
    /// Examples at which two samples agree so. Empty where no number is predicted to do.
    pub predicted: Option<f64>,
    /// Lower end of its 95 % interval by resampling the pilot; of draws it is empty: their repeats show the spread.
    pub predicted_low: Option<f64>,
    /// Upper end; empty where no number suffices.
    pub predicted_high: Option<f64>,
    /// Agreement predicted at that (whole) number of examples.
    pub expected: Option<f64>,
    /// Fresh pairs of that size; 0 where the corpus holds too few examples beside the pilot.
    pub pairs: usize,
    /// Their mean agreement.
    pub checked: Option<f64>,
    /// Its standard deviation over the pairs.
    pub checked_sd: Option<f64>,
}

/// Examples that are taken to be all there is.
pub(super) struct Pilot<'a> {
    pub draw: &'static str,
    pub fraction: f64,
    pub repeat: usize,
    /// Ascending.
    pub members: &'a [usize],
}

/// A row for each pilot and granularity.
pub(super) fn rows(items: &Items, pilots: &[Pilot], config: &Config) -> Vec<NeededRow> {
    let each = |pilot: &Pilot| {
        let name = format!("stability/needed/{}/{}", pilot.draw, pilot.fraction);
        let stream = Stream::new(config.seed, &name).at(pilot.repeat as u64);
        // One for all granularities and resamples: they differ in nothing but the data.
        let weights = Array2::from_shape_fn((2 * DRAWS, pilot.members.len()), |(b, n)| {
            stream.normal((b * pilot.members.len() + n) as u64)
        });
        let mut from = 0;
        let groups = items.groups.iter().map(|(granularity, names)| {
            let columns = from..from + names.len();
            from = columns.end;
            (*granularity, columns)
        });
        groups
            .map(|(granularity, columns)| row(items, pilot, granularity, columns, &weights, stream, config))
            .collect()
    };
    pilots.par_iter().map(each).collect::<Vec<Vec<NeededRow>>>().concat()
}

fn row(
    items: &Items,
    pilot: &Pilot,
    granularity: Granularity,
    columns: Range<usize>,
    weights: &Array2<f64>,
    stream: Stream,
    config: &Config,
) -> NeededRow {
    let scores = items.scores.slice(ndarray::s![.., columns]).to_owned();
    let whole = pilot.members.len() == scores.nrows();
    let model = Model::new(&scores.select(Axis(0), pilot.members), weights);
    let predicted = model.as_ref().and_then(|model| model.needed(config.threshold));
    let number = predicted.map(|m| m.ceil() as usize);
    let checked: Vec<f64> = match number.filter(|m| 2 * m <= scores.nrows() - pilot.members.len()) {
        Some(m) => fresh(&scores, pilot.members, m, stream),
        None => Vec::new(),
    };
    let mut resampled: Vec<f64> = Vec::new();
    if whole && predicted.is_some() {
        let one = |b: usize| {
            let stream = bootstrap::stream(config.seed).at(b as u64);
            let rows = items.clusters.resampled(scores.nrows(), &stream);
            Model::new(&scores.select(Axis(0), &rows), weights)?.needed(config.threshold)
        };
        // None of them: more than anyone has.
        let count = RESAMPLES.min(config.resamples);
        resampled = (0..count).into_par_iter().map(|b| one(b).unwrap_or(f64::INFINITY)).collect();
        resampled.sort_unstable_by(f64::total_cmp);
    }
    let finite = |value: f64| Some(value).filter(|v| v.is_finite());
    NeededRow {
        draw: pilot.draw.to_string(),
        fraction: pilot.fraction,
        repeat: pilot.repeat,
        granularity,
        threshold: config.threshold,
        examples: pilot.members.len(),
        predicted: number.map(|m| m as f64),
        predicted_low: finite(stats::quantile(&resampled, 0.025)).map(f64::ceil),
        predicted_high: finite(stats::quantile(&resampled, 0.975)).map(f64::ceil),
        expected: model.zip(number).map(|(model, m)| model.agreement(m as f64)),
        pairs: checked.len(),
        checked: finite(stats::mean(&checked)),
        checked_sd: finite(stats::sd(&checked)),
    }
}

/// Logarithms of the true scores, and draws of their noise for one example.
struct Model {
    centre: Vec<f64>,
    /// `[2 DRAWS, items]`
    noise: Array2<f64>,
}

impl Model {
    /// From a pilot's scores `[m, items]` and normal numbers `[2 DRAWS, m]`. `None` for fewer than two examples or items
    /// with a score.
    fn new(scores: &Array2<f64>, weights: &Array2<f64>) -> Option<Model> {
        let m = scores.nrows();
        let means = scores.mean_axis(Axis(0))?;
        // A layer without any Fisher information has no noise: it is last, and stays so.
        let alive: Vec<usize> = (0..means.len()).filter(|&i| means[i] > 0.0).collect();
        if m < 2 || alive.len() < 2 {
            return None;
        }
        // Relative deviations: those of the logarithms, to first order.
        let relative =
            Array2::from_shape_fn((m, alive.len()), |(n, i)| scores[[n, alive[i]]] / means[alive[i]] - 1.0);
        let mut noise = weights.dot(&relative) / ((m - 1) as f64).sqrt();
        // What all layers have in common moves no rank, but would count as noise below.
        for mut draw in noise.rows_mut() {
            let common = draw.mean().unwrap_or(0.0);
            draw -= common;
        }
        let logs: Vec<f64> = alive.iter().map(|&i| libm::log(means[i])).collect();
        let mean = stats::mean(&logs);
        let observed = stats::sd(&logs).powi(2);
        let own =
            noise.iter().map(|e| e * e).sum::<f64>() / ((2 * DRAWS * (alive.len() - 1)) as f64 * m as f64);
        let shrink = (1.0 - own / observed).max(0.0).sqrt();
        Some(Model { centre: logs.iter().map(|y| mean + shrink * (y - mean)).collect(), noise })
    }

    /// Mean Spearman rho of two samples of m examples.
    fn agreement(&self, m: f64) -> f64 {
        let sample = |b: usize| -> Vec<f64> {
            self.centre.iter().zip(self.noise.row(b)).map(|(y, e)| y + e / m.sqrt()).collect()
        };
        let pair = |b: usize| stats::spearman(&sample(2 * b), &sample(2 * b + 1));
        stats::mean(&(0..DRAWS).filter_map(pair).collect::<Vec<_>>())
    }

    /// The number of examples at which they agree at the threshold.
    fn needed(&self, threshold: f64) -> Option<f64> {
        if self.agreement(1.0) >= threshold {
            return Some(1.0);
        }
        let (mut low, mut high) = (0.0, libm::log(MOST));
        if self.agreement(MOST) < threshold {
            return None;
        }
        // To a hundredth of the number.
        while high - low > 0.01 {
            let middle = (low + high) / 2.0;
            if self.agreement(libm::exp(middle)) < threshold { low = middle } else { high = middle }
        }
        Some(libm::exp(high))
    }
}

/// Agreements of pairs of disjoint samples of m examples that are not the pilot's.
fn fresh(scores: &Array2<f64>, pilot: &[usize], m: usize, stream: Stream) -> Vec<f64> {
    let others: Vec<usize> = (0..scores.nrows()).filter(|n| pilot.binary_search(n).is_err()).collect();
    let pair = |k: usize| {
        // Beyond what the noise of the prediction draws.
        let seed = stream.bits(u64::MAX - k as u64);
        let order = Stream::new(seed, "stability/needed/fresh").permutation(others.len());
        let sums = |part: &[usize]| sum_rows(scores, part.iter().map(|&i| others[i]));
        stats::spearman(&sums(&order[..m]), &sums(&order[m..2 * m]))
    };
    (0..PAIRS).filter_map(pair).collect()
}

/// What the pilots of each size say, for people; sites only.
pub fn sentences(rows: &[NeededRow]) -> Vec<String> {
    let sites: Vec<&NeededRow> = rows.iter().filter(|row| row.granularity == Granularity::Site).collect();
    let mut lines: Vec<String> = Vec::new();
    for own in sites.chunk_by(|a, b| a.draw == b.draw) {
        let each = own.chunk_by(|a, b| a.fraction == b.fraction).map(numbers);
        lines.push(format!(
            "site scores, {}: two samples are predicted to agree at rho {} with {} examples",
            if own[0].draw == "full" {
                "by all examples".into()
            } else {
                format!("{} draws as pilots", own[0].draw)
            },
            own[0].threshold,
            each.collect::<Vec<_>>().join(", ")
        ));
    }
    lines
}

/// What the pilots of one size predict, and what came of it.
fn numbers(pilots: &[&NeededRow]) -> String {
    let mut numbers: Vec<f64> = pilots.iter().filter_map(|row| row.predicted).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let by = format!("by {}", pilots[0].examples);
    let (Some(least), Some(most)) = (numbers.first(), numbers.last()) else {
        return format!("no number of ({by})");
    };
    let spread = match (pilots[0].predicted_low, pilots[0].predicted_high) {
        (Some(low), Some(high)) => format!(" [{low}, {high}]"),
        (Some(low), None) => format!(" [{low}, no end]"),
        _ if pilots.len() > 1 => format!(" ({least} to {most})"),
        _ => String::new(),
    };
    let checked: Vec<f64> = pilots.iter().filter_map(|row| row.checked).collect();
    let check = match checked.is_empty() {
        true => String::new(),
        false => format!("; fresh pairs: {:.3}", stats::mean(&checked)),
    };
    let without = pilots.len() - numbers.len();
    let without = if without > 0 { format!(", {without} pilots without a number") } else { String::new() };
    format!("{}{spread} ({by}{check}{without})", stats::median(&numbers).ceil())
}
