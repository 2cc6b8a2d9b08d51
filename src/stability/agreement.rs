//! Four ways to ask whether two score lists order the same items alike.
//!
//! All are 1 for the same order. They answer different questions: Spearman and Kendall about all items, the other two
//! about the highest scores. Values of `rbo` compare only between rankings of the same length ([`stats::rbo`]).

use serde::{Deserialize, Serialize};

use crate::stats;

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
}

impl Measure {
    /// In the order of the columns of `agreement.csv`.
    pub const ALL: [Measure; 4] = [Measure::Spearman, Measure::Kendall, Measure::TopKOverlap, Measure::Rbo];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Spearman => "spearman",
            Measure::Kendall => "kendall",
            Measure::TopKOverlap => "top_k_overlap",
            Measure::Rbo => "rbo",
        }
    }

    /// The values it can take.
    pub fn range(self) -> (f64, f64) {
        match self {
            Measure::Spearman | Measure::Kendall => (-1.0, 1.0),
            Measure::TopKOverlap | Measure::Rbo => (0.0, 1.0),
        }
    }
}

/// One value per measure, in the order of [`Measure::ALL`]; `None` where a ranking is constant, as there is then no
/// order to agree with.
pub type Agreement = [Option<f64>; 4];

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
    ]
}
