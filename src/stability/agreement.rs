//! Five ways to ask whether two score lists order the same items alike.
//!
//! Four are 1 for the same order. They answer different questions: Spearman and Kendall about all items, the other two
//! about the highest scores. Values of `rbo` compare only between rankings of the same length ([`stats::rbo`]). The
//! fifth is what the ranking is used for: how far the dropout rates of two guided schedules lie apart, 0 for the same.

use serde::{Deserialize, Serialize};

use crate::dropout::rates::Shape;
use crate::ranking::ascending_ranks;
use crate::stats;

/// Highest drop probability of the schedule behind [`Measure::RateDifference`], the paper's; the lowest is 0.
pub const P_UPPER: f64 = 0.1;

/// Weight of the top ranks in rank-biased overlap.
pub(super) const RBO_P: f64 = 0.9;

/// A measure of agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Spearman's rho, in [-1, 1].
    Spearman,
    /// Kendall's tau-b, in [-1, 1].
    Kendall,
    /// Jaccard overlap of the top tenth ([`stats::top_k`]), in [0, 1].
    TopKOverlap,
    /// Extrapolated rank-biased overlap with p = 0.9, in [0, 1].
    Rbo,
    /// Mean over the items of `|p - p'|`, where p falls linearly from 0.1 at the lowest score to 0 at the highest. Of
    /// items other than sites, as if they were sites. For other ends of the line, multiply by `(p_upper - p_lower)/0.1`.
    RateDifference,
}

impl Measure {
    /// In the order of the columns of `agreement.csv`.
    pub const ALL: [Measure; 5] =
        [Measure::Spearman, Measure::Kendall, Measure::TopKOverlap, Measure::Rbo, Measure::RateDifference];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Spearman => "spearman",
            Measure::Kendall => "kendall",
            Measure::TopKOverlap => "top_k_overlap",
            Measure::Rbo => "rbo",
            Measure::RateDifference => "rate_difference",
        }
    }

    /// The values it can take.
    pub fn range(self) -> (f64, f64) {
        match self {
            Measure::Spearman | Measure::Kendall => (-1.0, 1.0),
            Measure::TopKOverlap | Measure::Rbo => (0.0, 1.0),
            // Half of it is what opposite orders differ by.
            Measure::RateDifference => (0.0, P_UPPER),
        }
    }
}

/// One value per measure, in the order of [`Measure::ALL`]; `None` where a ranking is constant, as there is then no
/// order to agree with.
pub type Agreement = [Option<f64>; 5];

/// Agreement of two score lists over the same items in model order.
pub fn agreement(x: &[f64], y: &[f64]) -> Agreement {
    let spearman = stats::spearman(x, y);
    let defined = spearman.is_some();
    [
        spearman,
        stats::kendall(x, y),
        defined.then(|| stats::top_k_overlap(x, y, stats::top_k(x.len()))),
        // The weights sum to 1 but for rounding.
        defined.then(|| stats::rbo(x, y, RBO_P).min(1.0)),
        defined.then(|| stats::mean(&rate_differences(x, y))),
    ]
}

/// `|p - p'|` of each item, by the linear schedules of two score lists.
pub fn rate_differences(x: &[f64], y: &[f64]) -> Vec<f64> {
    let rate = |rank: usize| Shape::Linear.at(rank, x.len(), 0.0, P_UPPER);
    let (x, y) = (ascending_ranks(x), ascending_ranks(y));
    x.into_iter().zip(y).map(|(x, y)| (rate(x) - rate(y)).abs()).collect()
}
