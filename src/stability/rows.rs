//! Rows of `scores.csv` and `agreement.csv`.

use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::draw::Draws;
use crate::fisher::layers::Granularity;

/// A row of `scores.csv`: a layer's score by one draw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScoreRow {
    /// `full` (all examples) or the kind of draw.
    pub draw: String,
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// Which of the draws of that fraction, from 0.
    pub repeat: usize,
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// Squared loss units (nats² for masked LM and classification) per squared unit of the parameter.
    pub score: f64,
}

/// A row of `agreement.csv`: a draw's ranking against that of the full set, then against that of its complement.
///
/// Values are empty where a ranking is constant, or where the draw is the full set and has no complement. Intervals
/// (95 %) are for the expected agreement of such a draw, from this one draw alone (`bootstrap`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "AgreementColumns", into = "AgreementColumns")]
pub struct AgreementRow {
    pub draw: Draws,
    pub fraction: f64,
    pub repeat: usize,
    pub granularity: Granularity,
    pub examples: usize,
    pub k: usize,
    pub full: Compared,
    pub complement: Compared,
}

/// Agreements with one reference and their intervals, in the order of [`Measure::ALL`](super::agreement::Measure::ALL).
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub values: Agreement,
    pub intervals: [Option<(f64, f64)>; 5],
}

impl Compared {
    /// Lower end of the interval of a measure.
    pub fn low(&self, measure: usize) -> Option<f64> {
        self.intervals[measure].map(|i| i.0)
    }

    /// Upper end.
    pub fn high(&self, measure: usize) -> Option<f64> {
        self.intervals[measure].map(|i| i.1)
    }
}

/// The columns of `agreement.csv`. The measures of agreement came first; what follows from them stands after.
#[derive(Serialize, Deserialize)]
struct AgreementColumns {
    /// How the draws relate to each other.
    draw: Draws,
    /// Of the examples, the part drawn.
    fraction: f64,
    /// Which of the draws of that fraction, from 0.
    repeat: usize,
    /// What is ranked: tensors, sites or blocks.
    granularity: Granularity,
    /// Examples drawn.
    examples: usize,
    /// The k of `top_k_overlap`.
    k: usize,
    /// Spearman's rho, with the ranking by all examples.
    spearman: Option<f64>,
    /// Kendall's tau-b, with the ranking by all examples.
    kendall: Option<f64>,
    /// Jaccard overlap of the top k, from 0 to 1, with the ranking by all examples.
    top_k_overlap: Option<f64>,
    /// Rank-biased overlap with p = 0.9, from 0 to 1, with the ranking by all examples.
    rbo: Option<f64>,
    /// Spearman's rho, with that by the examples left out.
    spearman_complement: Option<f64>,
    /// Kendall's tau-b, with that by the examples left out.
    kendall_complement: Option<f64>,
    /// Jaccard overlap of the top k, from 0 to 1, with that by the examples left out.
    top_k_overlap_complement: Option<f64>,
    /// Rank-biased overlap with p = 0.9, from 0 to 1, with that by the examples left out.
    rbo_complement: Option<f64>,
    /// Lower end of the 95 % interval of `spearman`.
    spearman_low: Option<f64>,
    /// Upper end.
    spearman_high: Option<f64>,
    /// Lower end of the 95 % interval of `kendall`.
    kendall_low: Option<f64>,
    /// Upper end.
    kendall_high: Option<f64>,
    /// Lower end of the 95 % interval of `top_k_overlap`.
    top_k_overlap_low: Option<f64>,
    /// Upper end.
    top_k_overlap_high: Option<f64>,
    /// Lower end of the 95 % interval of `rbo`.
    rbo_low: Option<f64>,
    /// Upper end.
    rbo_high: Option<f64>,
    /// Lower end of the 95 % interval of `spearman_complement`.
    spearman_complement_low: Option<f64>,
    /// Upper end.
    spearman_complement_high: Option<f64>,
    /// Lower end of the 95 % interval of `kendall_complement`.
    kendall_complement_low: Option<f64>,
    /// Upper end.
    kendall_complement_high: Option<f64>,
    /// Lower end of the 95 % interval of `top_k_overlap_complement`.
    top_k_overlap_complement_low: Option<f64>,
    /// Upper end.
    top_k_overlap_complement_high: Option<f64>,
    /// Lower end of the 95 % interval of `rbo_complement`.
    rbo_complement_low: Option<f64>,
    /// Upper end.
    rbo_complement_high: Option<f64>,
    /// Mean of `|p - p'|`, the drop probabilities of linear schedules from 0.1 to 0, with the ranking by all examples.
    rate_difference: Option<f64>,
    /// Mean of `|p - p'|`, the drop probabilities of linear schedules from 0.1 to 0, with that by the examples left out.
    rate_difference_complement: Option<f64>,
    /// Lower end of the 95 % interval of `rate_difference`.
    rate_difference_low: Option<f64>,
    /// Upper end.
    rate_difference_high: Option<f64>,
    /// Lower end of the 95 % interval of `rate_difference_complement`.
    rate_difference_complement_low: Option<f64>,
    /// Upper end.
    rate_difference_complement_high: Option<f64>,
}

impl From<AgreementRow> for AgreementColumns {
    fn from(row: AgreementRow) -> AgreementColumns {
        AgreementColumns {
            draw: row.draw,
            fraction: row.fraction,
            repeat: row.repeat,
            granularity: row.granularity,
            examples: row.examples,
            k: row.k,
            spearman: row.full.values[0],
            kendall: row.full.values[1],
            top_k_overlap: row.full.values[2],
            rbo: row.full.values[3],
            rate_difference: row.full.values[4],
            spearman_low: row.full.low(0),
            spearman_high: row.full.high(0),
            kendall_low: row.full.low(1),
            kendall_high: row.full.high(1),
            top_k_overlap_low: row.full.low(2),
            top_k_overlap_high: row.full.high(2),
            rbo_low: row.full.low(3),
            rbo_high: row.full.high(3),
            rate_difference_low: row.full.low(4),
            rate_difference_high: row.full.high(4),
            spearman_complement: row.complement.values[0],
            kendall_complement: row.complement.values[1],
            top_k_overlap_complement: row.complement.values[2],
            rbo_complement: row.complement.values[3],
            rate_difference_complement: row.complement.values[4],
            spearman_complement_low: row.complement.low(0),
            spearman_complement_high: row.complement.high(0),
            kendall_complement_low: row.complement.low(1),
            kendall_complement_high: row.complement.high(1),
            top_k_overlap_complement_low: row.complement.low(2),
            top_k_overlap_complement_high: row.complement.high(2),
            rbo_complement_low: row.complement.low(3),
            rbo_complement_high: row.complement.high(3),
            rate_difference_complement_low: row.complement.low(4),
            rate_difference_complement_high: row.complement.high(4),
        }
    }
}

impl From<AgreementColumns> for AgreementRow {
    fn from(row: AgreementColumns) -> AgreementRow {
        AgreementRow {
            draw: row.draw,
            fraction: row.fraction,
            repeat: row.repeat,
            granularity: row.granularity,
            examples: row.examples,
            k: row.k,
            full: Compared {
                values: [row.spearman, row.kendall, row.top_k_overlap, row.rbo, row.rate_difference],
                intervals: [
                    row.spearman_low.zip(row.spearman_high),
                    row.kendall_low.zip(row.kendall_high),
                    row.top_k_overlap_low.zip(row.top_k_overlap_high),
                    row.rbo_low.zip(row.rbo_high),
                    row.rate_difference_low.zip(row.rate_difference_high),
                ],
            },
            complement: Compared {
                values: [
                    row.spearman_complement,
                    row.kendall_complement,
                    row.top_k_overlap_complement,
                    row.rbo_complement,
                    row.rate_difference_complement,
                ],
                intervals: [
                    row.spearman_complement_low.zip(row.spearman_complement_high),
                    row.kendall_complement_low.zip(row.kendall_complement_high),
                    row.top_k_overlap_complement_low.zip(row.top_k_overlap_complement_high),
                    row.rbo_complement_low.zip(row.rbo_complement_high),
                    row.rate_difference_complement_low.zip(row.rate_difference_complement_high),
                ],
            },
        }
    }
}
