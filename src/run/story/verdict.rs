//! The one rule for what a comparison shows, and the words for it.
//!
//! A difference is shown if its p, corrected for all comparisons of the page, is below [`LEVEL`]. No word of better, lower or
//! flatter stands without that. One pair of models has no p: what is measured of it is told, and called one pair.

use super::{between, signed};
use crate::stats::paired::LEVEL;
use crate::tables::page::{Sharp, Surface, Training};

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

    /// Its corrected p, in words.
    fn p(&self) -> String {
        match self.p_corrected {
            Some(p) if p < 0.001 => ", corrected p below 0.001".into(),
            Some(p) => format!(", corrected p {p:.3}"),
            None => String::new(),
        }
    }

    /// Interval and p.
    pub fn told(&self) -> String {
        let (low, high) = self.ends;
        format!("{} ({}{})", signed(self.difference), between(low, high), self.p())
    }
}

impl Training {
    pub fn comparison(&self) -> Option<Comparison> {
        Comparison::new(self.difference, self.low, self.high, self.p_corrected)
    }

    /// What the runs say of this arm against the first.
    pub fn told(&self, first: &str) -> Option<String> {
        if self.difference == Some(0.0) && self.judged.is_none() && self.pairs > 1 {
            let metric = self.metric.replace('_', " ");
            return Some(format!("{} scores the same {metric} as {first} in every run.", self.arm));
        }
        let compared = self.comparison()?;
        let (low, high) = compared.ends;
        let verdict = match compared.verdict() {
            Verdict::Above => format!("{} is better.", self.arm),
            Verdict::Below => format!("{} is worse.", self.arm),
            Verdict::OnePair | Verdict::Open => {
                let least = self.least_shown.map_or(String::new(), |least| {
                    format!(" {} runs of each could show none below {least:.4}.", self.pairs)
                });
                format!("no difference is shown.{}{least}", ruled_out(low, high))
            }
        };
        let metric = self.metric.replace('_', " ");
        Some(format!(
            "{} minus {first}: {} {metric}, 95 % interval {}{}: {verdict}",
            self.arm,
            signed(compared.difference),
            between(low, high),
            compared.p()
        ))
    }
}

/// What an interval around 0 leaves no room for.
fn ruled_out(low: f64, high: f64) -> String {
    match low < 0.0 && high > 0.0 {
        true => format!(" The interval rules out a gain above {high:.4} and a loss above {:.4}.", -low),
        false => String::new(),
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
