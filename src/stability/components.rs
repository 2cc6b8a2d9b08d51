//! Noise of the masks apart from noise of the data.
//!
//! A masked-LM score of an example depends on which of its tokens are masked. Under R maskings of each example, drawn
//! independently, `y[n,r] = μ + a_n + e_nr` (one-way random effects; Searle, Casella, McCulloch 1992, ch. 3): the mean
//! square within examples estimates `σ²_mask`, and `(MS_between - MS_within)/R` estimates `σ²_data`, taken as 0 where it
//! is negative. A score over N examples with one masking each has variance `(σ²_data + σ²_mask)/N`; with R maskings
//! each, `(σ²_data + σ²_mask/R)/N`: where masks have most of the variance, masking again is worth as much as new text.
//!
//! The ranking shows the same: a draw is compared with itself under new masks, and with as many other examples.
//! Costs a pass over the corpus for every masking beyond the first.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::agreement::Measure;
use super::bootstrap::{stream, sum_rows};
use super::draw::{Draws, size};
use super::{Config, Items};
use crate::fisher::layers::Granularity;
use crate::model::Layout;
use crate::rng::Stream;
use crate::stats;

/// A row of `components.csv`: the per-example scores of one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentRow {
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// Mean over examples and maskings, in squared loss units per squared unit of the parameter.
    pub score: f64,
    /// Standard deviation of the score of a single example between examples.
    pub data_sd: f64,
    /// Between the maskings of one example.
    pub mask_sd: f64,
    /// `σ²_mask / (σ²_mask + σ²_data)`, from 0 to 1. Empty where neither varies.
    pub mask_share: Option<f64>,
    /// Lower end of its 95 % interval: percentiles of resampled examples.
    pub mask_share_low: Option<f64>,
    /// Upper end.
    pub mask_share_high: Option<f64>,
}

/// A row of `masks.csv`: an independent draw's ranking against two others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaskRow {
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// Which of the draws of that fraction, from 0.
    pub repeat: usize,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Examples drawn.
    pub examples: usize,
    /// Spearman's rho with the same examples under new masks, mean over the other maskings.
    pub same_examples: Option<f64>,
    /// Spearman's rho with as many other examples; empty where there are not so many.
    pub new_examples: Option<f64>,
}

/// Variance components from `s[n,t]` of the same examples under each masking, `[maskings][N, tensors]`; at least two.
pub fn components(layout: &Layout, maskings: &[Array2<f64>], config: &Config) -> Vec<ComponentRow> {
    let scores: Vec<Items> = maskings.iter().map(|sums| Items::new(layout, sums, config)).collect();
    let n = maskings[0].nrows();
    let resample = |b: usize| config.clusters.resampled(n, &stream(config.seed).at(b as u64));
    let resamples: Vec<Vec<usize>> = (0..config.resamples).map(resample).collect();
    let all: Vec<usize> = (0..n).collect();
    let row = |(column, (granularity, name)): (usize, (Granularity, &String))| {
        let y: Vec<Vec<f64>> = scores.iter().map(|items| items.scores.column(column).to_vec()).collect();
        let own = Components::of(&y, &all);
        let shares = resamples.iter().filter_map(|rows| Components::of(&y, rows).mask_share());
        let mut shares: Vec<f64> = shares.collect();
        shares.sort_unstable_by(f64::total_cmp);
        let end = |q: f64| Some(stats::quantile(&shares, q)).filter(|v| v.is_finite());
        ComponentRow {
            granularity,
            name: name.clone(),
            score: own.mean,
            data_sd: own.data.sqrt(),
            mask_sd: own.mask.sqrt(),
            mask_share: own.mask_share(),
            mask_share_low: end(0.025),
            mask_share_high: end(0.975),
        }
    };
    scores[0].named().collect::<Vec<_>>().into_par_iter().enumerate().map(row).collect()
}

/// Mean and variance components of one item.
struct Components {
    mean: f64,
    data: f64,
    mask: f64,
}

impl Components {
    /// Of `y[r][n]`, at these examples.
    fn of(y: &[Vec<f64>], rows: &[usize]) -> Components {
        let (maskings, n) = (y.len() as f64, rows.len() as f64);
        let means: Vec<f64> = rows.iter().map(|&n| y.iter().map(|y| y[n]).sum::<f64>() / maskings).collect();
        let mean = stats::mean(&means);
        let within: f64 = rows
            .iter()
            .zip(&means)
            .map(|(&n, mean)| y.iter().map(|y| (y[n] - mean).powi(2)).sum::<f64>())
            .sum();
        let within = within / (n * (maskings - 1.0));
        let between = maskings * means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Components { mean, data: ((between - within) / maskings).max(0.0), mask: within }
    }

    fn mask_share(&self) -> Option<f64> {
        Some(self.mask / (self.mask + self.data)).filter(|share| share.is_finite())
    }
}

/// How far rankings of draws move with new masks, and with new examples.
pub fn masks(layout: &Layout, maskings: &[Array2<f64>], config: &Config) -> Vec<MaskRow> {
    let scores: Vec<Items> = maskings.iter().map(|sums| Items::new(layout, sums, config)).collect();
    let (items, n) = (&scores[0], maskings[0].nrows());
    let spearman = |a: &[f64], b: &[f64]| -> Vec<Option<f64>> {
        let (a, b) = (items.split(a), items.split(b));
        a.iter().zip(b).map(|(a, b)| super::agreement::agreement(a, b)[SPEARMAN]).collect()
    };
    let mut rows = Vec::new();
    for &fraction in &config.fractions {
        for repeat in 0..config.repeats {
            let members = Draws::Independent.members(n, fraction, repeat, config.seed);
            let sum = |items: &Items| sum_rows(&items.scores, members.iter().copied());
            let own = sum(items);
            let again: Vec<Vec<Option<f64>>> =
                scores[1..].iter().map(|other| spearman(&own, &sum(other))).collect();
            let others: Vec<usize> = (0..n).filter(|i| members.binary_search(i).is_err()).collect();
            let fresh = (others.len() >= members.len()).then(|| {
                let stream = Stream::new(config.seed, &format!("stability/masks/{fraction}"));
                let chosen = stream.at(repeat as u64).sample(others.len(), size(n, fraction));
                spearman(&own, &sum_rows(&items.scores, chosen.into_iter().map(|i| others[i])))
            });
            for (g, (granularity, _)) in items.groups.iter().enumerate() {
                let values: Vec<f64> = again.iter().filter_map(|values| values[g]).collect();
                rows.push(MaskRow {
                    fraction,
                    repeat,
                    granularity: *granularity,
                    examples: members.len(),
                    same_examples: Some(stats::mean(&values)).filter(|v| v.is_finite()),
                    new_examples: fresh.as_ref().and_then(|values| values[g]),
                });
            }
        }
    }
    rows
}

/// Place of Spearman's rho in [`Measure::ALL`].
const SPEARMAN: usize = Measure::Spearman as usize;

/// What masks and data do, for people; sites only.
pub fn sentences(components: &[ComponentRow], masks: &[MaskRow]) -> Vec<String> {
    let sites = components.iter().filter(|row| row.granularity == Granularity::Site);
    let shares: Vec<f64> = sites.filter_map(|row| row.mask_share).collect();
    if shares.is_empty() {
        return Vec::new();
    }
    let (least, most) = shares.iter().fold((1f64, 0f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let mut lines = vec![format!(
        "site scores: of the variance of one example's score {:.0} % is that of its masks (median of {} sites, {:.0} to {:.0} %)",
        100.0 * stats::median(&shares),
        shares.len(),
        100.0 * least,
        100.0 * most
    )];
    let sites: Vec<&MaskRow> = masks.iter().filter(|row| row.granularity == Granularity::Site).collect();
    let each = sites.chunk_by(|a, b| a.fraction == b.fraction).map(|rows| {
        let mean = |of: fn(&MaskRow) -> Option<f64>| {
            let values: Vec<f64> = rows.iter().filter_map(|row| of(row)).collect();
            if values.is_empty() { "none".into() } else { format!("{:.3}", stats::mean(&values)) }
        };
        let (same, new) = (mean(|row| row.same_examples), mean(|row| row.new_examples));
        format!("{same} and {new} from {} examples", rows[0].examples)
    });
    lines.push(format!(
        "site scores, rho with the same examples under new masks and with the same number of other examples: {}",
        each.collect::<Vec<_>>().join(", ")
    ));
    lines
}
