//! Which examples carry the Fisher information.

use super::Story;
use super::answers::Told;
use super::words::{fixed, level};
use crate::error::Result;
use crate::fisher::shares::ShareRow;
use crate::page::Page;
use crate::run::plan::depth::EXAMPLES;
use crate::tables::examples::ExampleRow;

/// Rows of the page's table of examples.
const SHOWN: usize = 10;
/// Below so many effective examples no resample knows the tail.
const FEW: f64 = 30.0;

impl Story<'_> {
    pub(super) fn shares(&self, page: &mut Page) -> Result<()> {
        if self.analysis.examples.is_none() {
            return Ok(());
        }
        self.figures(page, EXAMPLES)?;
        let what = "The ten examples with the most Fisher information";
        self.table(page, EXAMPLES, what, |row: &ExampleRow| row.rank <= SHOWN, &[])?;
        let what = "How unequal the shares of the examples are, in all parameters and site by site";
        self.table(page, EXAMPLES, what, |_: &ShareRow| true, &[])
    }

    /// The share of the top examples.
    pub(super) fn carried(&self) -> Result<Option<Told>> {
        if self.analysis.examples.is_none() {
            return Ok(None);
        }
        let (rows, shares): (Vec<ExampleRow>, Vec<ShareRow>) = (self.rows(EXAMPLES)?, self.rows(EXAMPLES)?);
        Ok(shares.first().map(|all| told(&rows, all)))
    }
}

fn told(rows: &[ExampleRow], all: &ShareRow) -> Told {
    let half = 1 + rows.iter().take_while(|row| row.share_so_far < 0.5).count();
    let verdict = format!("{half} of {} examples carry half of the Fisher information.", rows.len());
    let ends = |value: f64, ends: Option<(f64, f64)>, write: fn(f64) -> String| {
        let ends = ends.map(|(low, high)| format!(" (95 % {} to {})", write(low), write(high)));
        write(value) + &ends.unwrap_or_default()
    };
    let few = match all.effective < FEW {
        true => {
            " So few decide that the intervals are too narrow: the next example may have more than any here."
        }
        false => "",
    };
    let text = format!(
        "{verdict} The top 1 % of the examples hold {}, the top 10 % {}; in all they are worth {} equal examples.{few}",
        ends(all.top_1, all.top_1_low.zip(all.top_1_high), percent),
        ends(all.top_10, all.top_10_low.zip(all.top_10_high), percent),
        ends(all.effective, all.effective_low.zip(all.effective_high), level),
    );
    Told::new(verdict, "Which examples?", text)
}

fn percent(share: f64) -> String {
    format!("{} %", fixed(100.0 * share, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. Half is reached by the second of four; a corpus that few examples decide is said to be one.
    #[test]
    fn the_top_examples_are_counted() {
        let row = |rank: usize, share: f64, share_so_far: f64| ExampleRow {
            rank,
            share,
            share_so_far,
            ..ExampleRow::default()
        };
        let rows = [row(1, 0.4, 0.4), row(2, 0.3, 0.7), row(3, 0.2, 0.9), row(4, 0.1, 1.0)];
        let all = ShareRow {
            top_1: 0.4,
            top_1_low: Some(0.25),
            top_1_high: Some(0.5),
            top_10: 0.4,
            effective: 3.25,
            ..ShareRow::default()
        };
        let few = told(&rows, &all);
        let wanted = "2 of 4 examples carry half of the Fisher information. The top 1 % of the examples hold 40.0 % (95 % 25.0 % to 50.0 %), the \
                      top 10 % 40.0 %; in all they are worth 3.250 equal examples. So few decide that the intervals are too narrow: the next \
                      example may have more than any here.";
        assert_eq!(few.answer.text, wanted);
        assert!(!told(&rows, &ShareRow { effective: 31.0, ..all }).answer.text.contains("too narrow"));
    }
}
