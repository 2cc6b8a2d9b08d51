//! The files of `agree`.

use serde::{Deserialize, Serialize};

use super::{Table, Wrong};
use crate::fisher::layers::Granularity;

const FIX: &str = "make the tables again with `fisherscape agree`";

/// A row of `pairs.csv`: two files at one granularity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// Title of the one file.
    pub a: String,
    /// Title of the other.
    pub b: String,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// How each was estimated: `empirical`, `mc`, `exact` or `adam`; empty in files of earlier versions.
    #[serde(default)]
    pub estimator_a: String,
    #[serde(default)]
    pub estimator_b: String,
    /// Whether both are of the same examples, which are then resampled together.
    pub paired: bool,
    /// Spearman's rho between the rankings; empty where one is constant.
    pub spearman: Option<f64>,
    /// Lower end of its 95 % interval over examples, those of the one file where the other has no per-example sums; empty where neither has.
    pub spearman_low: Option<f64>,
    /// Upper end.
    pub spearman_high: Option<f64>,
    /// Kendall's tau-b.
    pub kendall: Option<f64>,
    /// Lower end of its 95 % interval.
    pub kendall_low: Option<f64>,
    /// Upper end.
    pub kendall_high: Option<f64>,
    /// Jaccard overlap of the top tenth, from 0 to 1.
    pub top_k_overlap: Option<f64>,
    /// Lower end of its 95 % interval.
    pub top_k_overlap_low: Option<f64>,
    /// Upper end.
    pub top_k_overlap_high: Option<f64>,
    /// Rank-biased overlap with p = 0.9, from 0 to 1.
    pub rbo: Option<f64>,
    /// Lower end of its 95 % interval.
    pub rbo_low: Option<f64>,
    /// Upper end.
    pub rbo_high: Option<f64>,
    /// Mean of `|p - p'|`, the drop probabilities of linear schedules from 0.1 to 0.
    pub rate_difference: Option<f64>,
    /// Lower end of its 95 % interval.
    pub rate_difference_low: Option<f64>,
    /// Upper end.
    pub rate_difference_high: Option<f64>,
}

impl Table for PairRow {
    const FILE: &'static str = "pairs.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[ScoreRow::FILE];

    fn check(&self) -> Result<(), Wrong> {
        match self.spearman.filter(|rho| !(-1.0..=1.0).contains(rho)) {
            Some(rho) => Err(Wrong::new("spearman", "from -1 to 1", rho)),
            None => Ok(()),
        }
    }
}

/// A row of `scores.csv`: one layer in one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Title of the file.
    pub file: String,
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// How it was estimated; empty in files of earlier versions.
    #[serde(default)]
    pub estimator: String,
    /// In squared loss units per squared unit of the parameter.
    pub score: f64,
    /// Its standard error over examples; empty without per-example sums.
    pub score_se: Option<f64>,
    /// 0 = lowest score.
    pub rank: usize,
    /// The score over that in the first file, over the median of that over the layers: 1 where a layer changes as the
    /// others do.
    pub ratio: Option<f64>,
    /// Lower end of its 95 % interval: percentiles of resampled examples.
    pub ratio_low: Option<f64>,
    /// Upper end.
    pub ratio_high: Option<f64>,
}

impl Table for ScoreRow {
    const FILE: &'static str = "scores.csv";
    const FIX: &'static str = FIX;
}
