//! The one rule for what a comparison shows, and the words for it.
//!
//! A difference is shown if its p, corrected for all comparisons of the page, is below [`LEVEL`]. No word of better, lower or
//! flatter stands without that. One pair of models has no p: what is measured of it is told, and called one pair.

use crate::stats::paired::LEVEL;
use crate::tables::page::{Basins, Sharp, Surface, Training};

/// What is known of the difference of two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Above,
    Below,
    /// Nothing is shown.
    Open,
    /// It is about one pair of models.
    OnePair,
}

/// A comparison that has an interval.
pub struct Comparison {
    pub difference: f64,
    pub ends: (f64, f64),
    pub p_corrected: Option<f64>,
}

impl Comparison {
    /// From the columns of a row; `None` without an interval.
    fn new(
        difference: Option<f64>,
        low: Option<f64>,
        high: Option<f64>,
        p: Option<f64>,
    ) -> Option<Comparison> {
        Some(Comparison { difference: difference?, ends: (low?, high?), p_corrected: p })
    }

    pub fn verdict(&self) -> Verdict {
        match self.p_corrected {
            None => Verdict::OnePair,
            Some(p) if p < LEVEL && self.difference > 0.0 => Verdict::Above,
            Some(p) if p < LEVEL => Verdict::Below,
            Some(_) => Verdict::Open,
        }
    }
}

impl Training {
    pub fn comparison(&self) -> Option<Comparison> {
        Comparison::new(self.difference, self.low, self.high, self.p_corrected)
    }
}

impl Surface {
    pub fn comparison(&self) -> Option<Comparison> {
        Comparison::new(self.difference, self.low, self.high, self.p_corrected)
    }
}

impl Sharp {
    pub fn comparison(&self) -> Option<Comparison> {
        Comparison::new(self.difference, self.low, self.high, self.p_corrected)
    }
}

impl Basins {
    pub fn comparison(&self) -> Option<Comparison> {
        Comparison::new(self.difference, self.low, self.high, self.p_corrected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the rule. An interval that leaves 0 out shows nothing if p is not small after correction, and nothing at all of one
    /// pair of models.
    #[test]
    fn what_is_shown_goes_by_the_corrected_p() {
        let of =
            |difference, p_corrected| Comparison { difference, ends: (0.01, 0.03), p_corrected }.verdict();
        assert_eq!(of(0.02, Some(0.04)), Verdict::Above);
        assert_eq!(of(-0.02, Some(0.04)), Verdict::Below);
        assert_eq!(of(0.02, Some(0.06)), Verdict::Open);
        assert_eq!(of(0.02, None), Verdict::OnePair);
    }
}
