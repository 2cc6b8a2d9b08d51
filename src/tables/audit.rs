//! The files of `audit`.

use super::{Table, Wrong};
use crate::fisher::concentration::{ConcentrationRow, HistogramRow, LorenzRow, SortedRow};
use crate::stability::audit::{AuditRow, DriverRow, VariantRow};

const FIX: &str = "make the tables again with `fisherscape audit`";
const CONCENTRATION: &str = "make the tables with `fisherscape audit`";

impl Table for AuditRow {
    const FILE: &'static str = "audit.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[VariantRow::FILE];
}

impl Table for VariantRow {
    const FILE: &'static str = "variants.csv";
    const FIX: &'static str = FIX;

    fn check(&self) -> Result<(), Wrong> {
        match self.spearman.filter(|rho| !(-1.0..=1.0).contains(rho)) {
            Some(rho) => Err(Wrong::new("spearman", "from -1 to 1", rho)),
            None => Ok(()),
        }
    }
}

impl Table for DriverRow {
    const FILE: &'static str = "drivers.csv";
    const FIX: &'static str = FIX;
}

impl Table for ConcentrationRow {
    const FILE: &'static str = "concentration.csv";
    const FIX: &'static str = CONCENTRATION;
    const BESIDE: &'static [&'static str] = &[LorenzRow::FILE, HistogramRow::FILE, SortedRow::FILE];
}

impl Table for LorenzRow {
    const FILE: &'static str = "lorenz.csv";
    const FIX: &'static str = CONCENTRATION;
}

impl Table for HistogramRow {
    const FILE: &'static str = "histogram.csv";
    const FIX: &'static str = CONCENTRATION;
}

impl Table for SortedRow {
    const FILE: &'static str = "sorted.csv";
    const FIX: &'static str = CONCENTRATION;
}
