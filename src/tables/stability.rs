//! The files of `stability`.

use super::{Table, Wrong};
use crate::stability::components::{ComponentRow, MaskRow};
use crate::stability::heads::HeadRow;
use crate::stability::needed::NeededRow;
use crate::stability::overlap::OverlapRow;
use crate::stability::ranks::RankRow;
use crate::stability::summary::{SummaryRow, Trust};
use crate::stability::tails::TailRow;
use crate::stability::types::TypeRow;
use crate::stability::{AgreementRow, ScoreRow};

const FIX: &str = "make the table again with `fisherscape stability`";
const ONE: &str = "make the table with `fisherscape stability`";
const FILES: &str = "make the files again with `fisherscape stability`";

impl Table for ScoreRow {
    const FILE: &'static str = "scores.csv";
    const FIX: &'static str = FIX;
}

impl Table for AgreementRow {
    const FILE: &'static str = "agreement.csv";
    const FIX: &'static str = FILES;
    const BESIDE: &'static [&'static str] = &[SummaryRow::FILE, Trust::FILE];

    fn check(&self) -> Result<(), Wrong> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(Wrong::new("fraction", "in (0, 1]", self.fraction));
        }
        let mut values = self.full.values.into_iter().chain(self.complement.values).flatten();
        match values.find(|v| !(-1.0..=1.0).contains(v)) {
            Some(value) => Err(Wrong::new("agreement", "from -1 to 1", value)),
            None => Ok(()),
        }
    }
}

impl Table for SummaryRow {
    const FILE: &'static str = "summary.csv";
    const FIX: &'static str = FILES;
}

impl Table for Trust {
    const FILE: &'static str = "trust.csv";
    const FIX: &'static str = FILES;
}

impl Table for RankRow {
    const FILE: &'static str = "ranks.csv";
    const FIX: &'static str = FIX;

    fn check(&self) -> Result<(), Wrong> {
        match self.fraction > 0.0 && self.fraction <= 1.0 {
            true => Ok(()),
            false => Err(Wrong::new("fraction", "in (0, 1]", self.fraction)),
        }
    }
}

impl Table for TailRow {
    const FILE: &'static str = "tails.csv";
    const FIX: &'static str = FIX;

    fn check(&self) -> Result<(), Wrong> {
        let shares = [self.top_share, self.top_share_low, self.top_share_high, self.largest_share];
        // 1e-9: sums of shares may round beyond 1.
        match shares.into_iter().flatten().find(|v| !(0.0..=1.0 + 1e-9).contains(v)) {
            Some(share) => Err(Wrong::new("top_share", "from 0 to 1", format!("{share} for {}", self.name))),
            None => Ok(()),
        }
    }
}

impl Table for NeededRow {
    const FILE: &'static str = "needed.csv";
    const FIX: &'static str = ONE;

    fn check(&self) -> Result<(), Wrong> {
        if self.examples >= 1 && self.fraction > 0.0 && self.fraction <= 1.0 {
            return Ok(());
        }
        let found = format!("{} examples, fraction {}", self.examples, self.fraction);
        Err(Wrong::new("examples", "at least 1, a fraction in (0, 1]", found))
    }
}

impl Table for ComponentRow {
    const FILE: &'static str = "components.csv";
    const FIX: &'static str = FIX;

    fn check(&self) -> Result<(), Wrong> {
        // Ends of an interval may lie beyond.
        match self.mask_share.filter(|v| !(0.0..=1.0).contains(v)) {
            Some(share) => Err(Wrong::new("mask_share", "from 0 to 1", format!("{share} for {}", self.name))),
            None => Ok(()),
        }
    }
}

impl Table for MaskRow {
    const FILE: &'static str = "masks.csv";
    const FIX: &'static str = FIX;
}

impl Table for OverlapRow {
    const FILE: &'static str = "overlap.csv";
    const FIX: &'static str = ONE;

    fn check(&self) -> Result<(), Wrong> {
        let inside = |v: f64| v > 0.0 && v <= 1.0;
        if !(inside(self.fraction) && inside(self.top)) {
            let found = format!("{}, {}", self.fraction, self.top);
            return Err(Wrong::new("fraction, top", "in (0, 1]", found));
        }
        let shares = [Some(self.overlap), self.overlap_complement, Some(self.chance)];
        match shares.into_iter().flatten().find(|v| !(0.0..=1.0).contains(v)) {
            Some(share) => Err(Wrong::new("overlap", "from 0 to 1", share)),
            None => Ok(()),
        }
    }
}

impl Table for TypeRow {
    const FILE: &'static str = "types.csv";
    const FIX: &'static str = FIX;
}

impl Table for HeadRow {
    const FILE: &'static str = "heads.csv";
    const FIX: &'static str = FIX;
}
