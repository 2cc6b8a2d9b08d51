//! What the draws say of each fraction, and the smallest fraction to trust.

use serde::{Deserialize, Serialize};

use super::agreement::Measure;
use super::draw::Draws;
use crate::fisher::layers::Granularity;

/// What a draw's ranking is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// All examples, the draw's own included.
    Full,
    /// The examples that were not drawn.
    Complement,
}

impl Reference {
    /// In the order of the columns of `agreement.csv`.
    pub const ALL: [Reference; 2] = [Reference::Full, Reference::Complement];
}

/// A row of `summary.csv`: the repeats of one fraction together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// How the draws relate to each other.
    pub draw: Draws,
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// Examples in each draw.
    pub examples: usize,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Whether it is compared with all examples or with those left out.
    pub reference: Reference,
    /// The measure of agreement.
    pub measure: Measure,
    /// Repeats whose agreement is defined.
    pub repeats: usize,
    /// Mean over the repeats: the estimate of the agreement to expect of a draw.
    pub mean: f64,
    /// Lower end of the 95 % interval of that expectation, over corpora of this size and draws from them.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Spread over the repeats, which share one corpus: what one draw from it may give. Empty for a single one.
    pub sd: Option<f64>,
    /// The smallest over the repeats.
    pub least: f64,
}

/// A row of `trust.csv`: the smallest fraction that suffices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// How the draws relate to each other.
    pub draw: Draws,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Whether it is compared with all examples or with those left out.
    pub reference: Reference,
    /// The measure of agreement.
    pub measure: Measure,
    /// What the lower end of its interval must exceed.
    pub threshold: f64,
    /// The smallest fraction that suffices; empty where none does.
    pub fraction: Option<f64>,
    /// Examples in a draw of it.
    pub examples: Option<usize>,
}

impl SummaryRow {
    /// The mean and its interval.
    pub fn bounded(&self) -> String {
        bounded(self.mean, self.low.zip(self.high))
    }
}

/// A value and its interval.
pub(super) fn bounded(value: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        None => format!("{value:.3}"),
    }
}

impl Trust {
    /// The answer in words.
    pub fn sentence(&self, summary: &[SummaryRow]) -> String {
        let who = match self.reference {
            Reference::Full => "the full set",
            Reference::Complement => "the other examples",
        };
        let what = format!("{} scores, {} draws", self.granularity.name(), self.draw.name());
        let own = |row: &&SummaryRow| {
            (row.draw, row.granularity, row.reference, row.measure, Some(row.fraction))
                == (self.draw, self.granularity, self.reference, self.measure, self.fraction)
        };
        match summary.iter().find(own) {
            Some(row) => format!(
                "{what}: {} of the examples ({}) suffice for a Spearman rho above {} with {who}: {}, lowest of {} draws {:.3}",
                row.fraction,
                row.examples,
                self.threshold,
                row.bounded(),
                row.repeats,
                row.least
            ),
            None => format!(
                "{what}: no fraction drawn suffices for a Spearman rho above {} with {who}",
                self.threshold
            ),
        }
    }
}

/// For each kind of draw, granularity and reference: the smallest fraction whose lower bound lies above `threshold`,
/// as those of all larger fractions do.
///
/// Going down from the largest fraction and stopping at the first that fails keeps the chance of trusting a fraction
/// wrongly at that of a single bound (a fixed-sequence test), however many fractions were drawn; the smallest of those
/// that happen to pass would not. Against the complement, fractions above one half are left aside: there the
/// complement is the smaller part, and the comparison is that of `1 - fraction` over again.
pub fn trust(summary: &[SummaryRow], measure: Measure, threshold: f64) -> Vec<Trust> {
    let mut rows: Vec<Trust> = Vec::new();
    for row in summary.iter().filter(|row| row.measure == measure) {
        let (draw, granularity, reference) = (row.draw, row.granularity, row.reference);
        if rows.iter().any(|t| (t.draw, t.granularity, t.reference) == (draw, granularity, reference)) {
            continue;
        }
        let curve = summary.iter().filter(|r| {
            (r.draw, r.granularity, r.reference, r.measure) == (draw, granularity, reference, measure)
        });
        let smallest = sufficient(curve, threshold);
        let (fraction, examples) = smallest.map(|row| (row.fraction, row.examples)).unzip();
        rows.push(Trust { draw, granularity, reference, measure, threshold, fraction, examples });
    }
    rows
}

fn sufficient<'a>(curve: impl Iterator<Item = &'a SummaryRow>, threshold: f64) -> Option<&'a SummaryRow> {
    let mut usable: Vec<&SummaryRow> =
        curve.filter(|row| row.reference == Reference::Full || row.fraction <= 0.5).collect();
    usable.sort_by(|a, b| b.fraction.total_cmp(&a.fraction));
    usable.into_iter().take_while(|row| row.low.is_some_and(|low| low > threshold)).last()
}
