//! `RATES.csv` of `schedule`: the drop probability of each dropout site.
//!
//! Whether the sites are those of a model is checked by [`Rates`](crate::dropout::Rates), as training does.

use super::{Table, Wrong};
use crate::dropout::rates::Row;

impl Table for Row {
    const FILE: &'static str = "RATES.csv";
    const FIX: &'static str = "make the table with `fisherscape schedule`";

    fn check(&self) -> Result<(), Wrong> {
        match self.score.filter(|score| !(*score >= 0.0 && score.is_finite())) {
            Some(score) => {
                let found = format!("{score} for {}", self.site);
                Err(Wrong::new("score", "finite and not negative", found))
            }
            None => Ok(()),
        }
    }
}
