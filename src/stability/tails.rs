//! How few examples a layer's score rests on.
//!
//! Per-example squared gradients are heavy-tailed: a score may hang on a handful of examples, and a sub-sample then on
//! whether it caught them. The share of the top 1 % says so, and so does Kish's effective number of examples,
//! `(Σ s)² / Σ s²`: as many equal ones would have the same spread (Kish 1965).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::stream;
use super::{Config, Items};
use crate::fisher::layers::Granularity;
use crate::stats;

/// Of the examples, those whose share is told.
const TOP: f64 = 0.01;
/// Resampled corpora behind the intervals, at most: a quantile of a share needs no more.
const RESAMPLES: usize = 200;

/// A row of `tails.csv`: one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TailRow {
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// Examples behind the score, N.
    pub examples: usize,
    /// Share of the score that comes from its top 1 % of examples (at least one), from 0 to 1; 0.01 if all were equal.
    pub top_share: Option<f64>,
    /// Lower end of its 95 % interval: percentiles of resampled corpora.
    pub top_share_low: Option<f64>,
    /// Upper end.
    pub top_share_high: Option<f64>,
    /// Share of the largest example.
    pub largest_share: Option<f64>,
    /// Effective number of examples, `(Σ s)² / Σ s²`, at most N.
    pub effective_examples: Option<f64>,
}

/// A row for each item.
pub(super) fn rows(items: &Items, config: &Config) -> Vec<TailRow> {
    let n = items.scores.nrows();
    let top = super::draw::size(n, TOP);
    let resamples: Vec<Vec<usize>> = (0..config.resamples.min(RESAMPLES))
        .map(|b| items.clusters.resampled(n, &stream(config.seed).at(b as u64)))
        .collect();
    let row = |(column, (granularity, name)): (usize, (Granularity, &String))| {
        let values = items.scores.column(column).to_vec();
        let (sum, largest) = (values.iter().sum::<f64>(), values.iter().copied().fold(0.0, f64::max));
        let squares: f64 = values.iter().map(|v| v * v).sum();
        // A score of 0 has no shares.
        let defined = |value: f64| Some(value).filter(|v| v.is_finite());
        let mut shares: Vec<f64> = resamples
            .iter()
            .map(|rows| share(rows.iter().map(|&n| values[n]).collect(), top))
            .filter(|share| share.is_finite())
            .collect();
        shares.sort_unstable_by(f64::total_cmp);
        TailRow {
            granularity,
            name: name.clone(),
            examples: n,
            top_share: defined(share(values, top)),
            top_share_low: defined(stats::quantile(&shares, 0.025)),
            top_share_high: defined(stats::quantile(&shares, 0.975)),
            largest_share: defined(largest / sum),
            effective_examples: defined(sum * sum / squares),
        }
    };
    items.named().collect::<Vec<_>>().into_par_iter().enumerate().map(row).collect()
}

/// Share of the sum that the `top` largest values have.
fn share(mut values: Vec<f64>, top: usize) -> f64 {
    let all: f64 = values.iter().sum();
    if top < values.len() {
        values.select_nth_unstable_by(top, |a, b| b.total_cmp(a));
        values.truncate(top);
    }
    values.iter().sum::<f64>() / all
}
