//! `SHARPNESS.csv` and `SHARPNESS.spectrum.csv` of `sharpness`, and the table of `compare`.

use serde::{Deserialize, Serialize};

use super::Table;
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
