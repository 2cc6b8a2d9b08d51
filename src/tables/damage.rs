//! The files of `damage`.

use serde::{Deserialize, Serialize};

use super::{Table, Wrong};
use crate::fisher::layers::Granularity;

const FIX: &str = "make the tables with `fisherscape damage`";

/// A row of `layers.csv`: a layer, its scores and what its perturbation costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: usize,
    /// Fisher score as the mean of tensor means, in squared loss units per squared unit of the parameter.
    pub mean_of_means: f64,
    /// As the mean over parameters.
    pub mean: f64,
    /// As the sum over parameters.
    pub sum: f64,
    /// Rise that F predicts, `½ r² Σ F_i d_i²` per target, mean over the draws, in loss units.
    pub predicted: f64,
    /// Sum of the Hessian's diagonal over the layer, of the mean loss per target, in loss units per squared unit of the parameter;
    /// empty without sign vectors.
    pub hessian: Option<f64>,
    /// Its standard error over sign vectors.
    pub hessian_se: Option<f64>,
    /// Mean rise of the loss per target, in loss units (nats for masked LM and classification).
    pub rise: f64,
    /// Its standard error over examples and draws.
    pub rise_se: f64,
}

impl Table for LayerRow {
    const FILE: &'static str = "layers.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[CorrelationRow::FILE];
}

/// A row of `correlations.csv`: how well one score ranks the layers by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorrelationRow {
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// A column of `layers.csv`: `mean_of_means`, `mean`, `sum`, `predicted` or `hessian`.
    pub predictor: String,
    /// `rise` or `hessian`.
    pub outcome: String,
    /// How many are ranked.
    pub layers: usize,
    /// Spearman's rho; empty where a ranking is constant.
    pub spearman: Option<f64>,
    /// Lower end of its 95 % interval over examples, draws and sign vectors.
    pub spearman_low: Option<f64>,
    /// Upper end.
    pub spearman_high: Option<f64>,
}

impl Table for CorrelationRow {
    const FILE: &'static str = "correlations.csv";
    const FIX: &'static str = FIX;
}

/// A row of `perturbed.csv`: parameters chosen by their F, perturbed at matched norm. Empty where none of them moves the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerturbedRow {
    /// `top`, `random` or `bottom`.
    pub mask: String,
    /// Of all parameters, the part chosen.
    pub fraction: f64,
    /// How many that are.
    pub k: usize,
    /// Of those, the ones that move the loss.
    pub effective: usize,
    /// `‖d ⊙ m‖ / ‖d‖` before matching, mean over the draws.
    pub norm_ratio: Option<f64>,
    /// Rise that F predicts, as in `layers.csv`.
    pub predicted: Option<f64>,
    /// Mean rise of the loss per target, in loss units.
    pub rise: Option<f64>,
    /// Its standard error over examples and draws.
    pub rise_se: Option<f64>,
}

impl PerturbedRow {
    /// The masks.
    pub const MASKS: [&str; 3] = ["top", "random", "bottom"];
}

impl Table for PerturbedRow {
    const FILE: &'static str = "perturbed.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[BinRow::FILE];

    fn check(&self) -> Result<(), Wrong> {
        match PerturbedRow::MASKS.contains(&self.mask.as_str()) {
            true => Ok(()),
            false => Err(Wrong::new("mask", "top, random or bottom", &self.mask)),
        }
    }
}

/// A row of `bins.csv`: parameters of nearly equal F.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinRow {
    /// Its number, from the lowest F.
    pub bin: usize,
    /// Its parameters.
    pub parameters: usize,
    /// Mean Fisher information of one target, in squared loss units per squared unit of the parameter.
    pub fisher: f64,
    /// Mean of the Hessian's diagonal, in loss units per squared unit of the parameter.
    pub hessian: f64,
    /// Its standard error over sign vectors; empty for one.
    pub hessian_se: Option<f64>,
}

impl Table for BinRow {
    const FILE: &'static str = "bins.csv";
    const FIX: &'static str = FIX;
}
