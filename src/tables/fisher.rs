//! `F.csv` of `fisher`: sums over each parameter tensor.

use super::{Table, Wrong};
use crate::dropout::Place;
use crate::fisher::files::Row;

impl Table for Row {
    const FILE: &'static str = "F.csv";
    const FIX: &'static str = "make the table with `fisherscape fisher`";

    fn check(&self) -> Result<(), Wrong> {
        if self.numel == 0 {
            return Err(Wrong::new("numel", "at least 1", format!("0 for {}", self.name)));
        }
        if !(self.sum.is_finite() && self.sum >= 0.0) {
            let found = format!("{} for {}", self.sum, self.name);
            return Err(Wrong::new("sum", "finite and not negative", found));
        }
        if self.site.parse::<Place>().is_err() {
            return Err(Wrong::new("site", "the name of a place", &self.site));
        }
        Ok(())
    }
}
