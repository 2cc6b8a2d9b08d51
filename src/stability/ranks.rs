//! Where each layer lands in the rankings of sub-samples, and what that does to its dropout rate.

use serde::{Deserialize, Serialize};

use super::Items;
use super::agreement::rate_differences;
use super::draw::Draws;
use crate::fisher::layers::Granularity;
use crate::ranking::ascending_ranks;
use crate::stats;

/// A row of `ranks.csv`: a layer over the repeats of one fraction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RankRow {
    /// How the draws relate to each other.
    pub draw: Draws,
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Which of them.
    pub name: String,
    /// Rank by all examples; 0 = lowest score.
    pub full_rank: usize,
    /// Mean rank over the repeats.
    pub rank: f64,
    /// Its standard deviation; empty for one repeat.
    pub rank_sd: Option<f64>,
    /// Lowest rank of a repeat.
    pub rank_low: usize,
    /// Highest rank of a repeat.
    pub rank_high: usize,
    /// Mean over the repeats of `|p - p_full|`, the drop probabilities of linear schedules from 0.1 to 0.
    pub rate_difference: f64,
    /// Its standard deviation; empty for one repeat.
    pub rate_difference_sd: Option<f64>,
}

/// The rows of one fraction. `full` and `draws` are sums over examples, of all items.
pub(super) fn rows(
    items: &Items,
    draw: Draws,
    fraction: f64,
    full: &[f64],
    draws: &[Vec<f64>],
) -> Vec<RankRow> {
    let spread = |values: &[f64]| Some(stats::sd(values)).filter(|sd| sd.is_finite());
    let full = items.split(full);
    let draws: Vec<Vec<&[f64]>> = draws.iter().map(|own| items.split(own)).collect();
    let mut rows = Vec::new();
    for (g, (granularity, names)) in items.groups.iter().enumerate() {
        let full_ranks = ascending_ranks(full[g]);
        let ranks: Vec<Vec<usize>> = draws.iter().map(|own| ascending_ranks(own[g])).collect();
        let shifts: Vec<Vec<f64>> = draws.iter().map(|own| rate_differences(own[g], full[g])).collect();
        for (i, name) in names.iter().enumerate() {
            let own: Vec<usize> = ranks.iter().map(|ranks| ranks[i]).collect();
            let values: Vec<f64> = own.iter().map(|&rank| rank as f64).collect();
            let shift: Vec<f64> = shifts.iter().map(|shifts| shifts[i]).collect();
            rows.push(RankRow {
                draw,
                fraction,
                granularity: *granularity,
                name: name.clone(),
                full_rank: full_ranks[i],
                rank: stats::mean(&values),
                rank_sd: spread(&values),
                rank_low: own.iter().copied().min().unwrap_or(0),
                rank_high: own.iter().copied().max().unwrap_or(0),
                rate_difference: stats::mean(&shift),
                rate_difference_sd: spread(&shift),
            });
        }
    }
    rows
}
