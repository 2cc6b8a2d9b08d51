//! `SHARPNESS.csv`, `SHARPNESS.spectrum.csv` and `SHARPNESS.layers.csv` of `sharpness`, and the table of `compare`.

use serde::{Deserialize, Serialize};

use super::Table;
use crate::fisher::layers::Granularity;
use crate::landscape::sharpness::{Comparison, Row};

impl Table for Row {
    const FILE: &'static str = "SHARPNESS.csv";
    const FIX: &'static str = "make it again with `fisherscape sharpness`";
}

impl Table for Comparison {
    const FILE: &'static str = "COMPARISON.csv";
    const FIX: &'static str = "make it again with `fisherscape compare`";
}

/// A row of `SHARPNESS.spectrum.csv`: a point of the density of the Hessian's eigenvalues, or a leading eigenvalue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectrumRow {
    /// `density` or `eigenvalue`.
    pub curve: String,
    /// In loss units per squared unit of the parameters.
    pub eigenvalue: f64,
    /// Share of all eigenvalues per unit of the eigenvalue; empty for a single one.
    pub density: Option<f64>,
    /// Its standard deviation over the probes; empty for one probe.
    pub density_sd: Option<f64>,
}

impl Table for SpectrumRow {
    const FILE: &'static str = "SHARPNESS.spectrum.csv";
    const FIX: &'static str =
        "give columns curve,eigenvalue,density,density_sd; curve is density or eigenvalue";
}

/// A row of `SHARPNESS.layers.csv`: the block of a layer on the diagonal of the Hessian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockRow {
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// Parameters of it that may move.
    pub parameters: usize,
    /// The largest eigenvalue, in loss units per squared unit of the parameters.
    pub top_eigenvalue: f64,
    /// An eigenvalue of the block is no further away than this.
    pub top_eigenvalue_within: f64,
    /// Ends of its 95 % interval over examples, with that bound added.
    pub top_eigenvalue_low: f64,
    pub top_eigenvalue_high: f64,
    /// The smallest eigenvalue seen.
    pub smallest_eigenvalue: f64,
    /// The trace: the sum of all eigenvalues.
    pub trace: f64,
    /// Ends of its 95 % interval over examples and signs.
    pub trace_low: f64,
    pub trace_high: f64,
    /// The sum of the Fisher information of these parameters, of one target, as the trace would be if the model were right about its labels;
    /// empty without `--fisher`.
    pub fisher: Option<f64>,
}

impl Table for BlockRow {
    const FILE: &'static str = "SHARPNESS.layers.csv";
    const FIX: &'static str = "make it again with `fisherscape sharpness --by`";
}

/// A row of `SHARPNESS.layers.spectrum.csv`: a point of the density of the eigenvalues of a layer's block, or a number beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockSpectrumRow {
    /// Whether it is a tensor, a site or a block.
    pub granularity: Granularity,
    /// Its name.
    pub name: String,
    /// `density`, `top_eigenvalue`, `trace` or `fisher` (as in `SHARPNESS.layers.csv`).
    pub curve: String,
    /// In loss units per squared unit of the parameters; of `trace` and `fisher` the sum over them.
    pub eigenvalue: f64,
    /// Share of the block's eigenvalues per unit of the eigenvalue; empty for what is no density.
    pub density: Option<f64>,
    /// Its standard deviation over the probes; empty for one probe.
    pub density_sd: Option<f64>,
}

impl Table for BlockSpectrumRow {
    const FILE: &'static str = "SHARPNESS.layers.spectrum.csv";
    const FIX: &'static str = "make it again with `fisherscape sharpness --by`";
}
