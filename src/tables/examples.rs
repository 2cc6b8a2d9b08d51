//! The files of `examples`.

use serde::{Deserialize, Serialize};

use super::{Table, Wrong};
use crate::fisher::shares::{CurveRow, ShareRow};

const FIX: &str = "make the tables again with `fisherscape examples`";

/// A row of `examples.csv`: one example, the most informative first. What only a set and its model tell is empty without them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExampleRow {
    /// 1 = has the largest share.
    pub rank: usize,
    /// Its row in the set, from 0.
    pub example: usize,
    /// Its share of the Fisher information, from 0 to 1.
    pub share: f64,
    /// That of this example and of all above it.
    pub share_so_far: f64,
    /// How many targets it has.
    pub targets: Option<usize>,
    /// Mean loss over its targets.
    pub loss: Option<f64>,
    /// The target with the largest loss, from 0: the columns up to `probability` are of it.
    pub target: Option<usize>,
    /// What is right: the name of a class, or its number, or a number.
    pub label: Option<String>,
    /// What the model says.
    pub prediction: Option<String>,
    /// Probability that the model gives to what is right; empty of numbers.
    pub probability: Option<f64>,
    /// Whether the label may be worth a look; empty where labels are not asked about.
    pub look: Option<bool>,
    /// The example as text.
    pub text: Option<String>,
}

impl Table for ExampleRow {
    const FILE: &'static str = "examples.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[ShareRow::FILE, CurveRow::FILE];

    fn check(&self) -> Result<(), Wrong> {
        match (0.0..=1.0).contains(&self.share) {
            true => Ok(()),
            false => Err(Wrong::new("share", "from 0 to 1", self.share)),
        }
    }
}

impl Table for ShareRow {
    const FILE: &'static str = "shares.csv";
    const FIX: &'static str = FIX;
}

impl Table for CurveRow {
    const FILE: &'static str = "curve.csv";
    const FIX: &'static str = FIX;
}
