//! How few examples a layer's Fisher score rests on, as SVG: the share of the top 1 % of examples, and the effective
//! number of examples, by site and by block.
//!
//! The dotted lines are what equal examples would give: 1 % of the score, and all of the examples. A heavy tail (a large
//! share, few effective examples) is why rankings from small draws differ: the examples that matter may not be in them.
//!
//! Takes [`Tails`], the `tails.csv` of `stability`; draws by `dots`.

use std::path::Path;

use crate::draw::numbers::significant;
use crate::error::Result;
use crate::figures::parts::dots::{self, Column, Dot, Group};
use crate::figures::parts::sites;
use crate::stability::tails::TailRow;
use crate::tables;

/// For readers of the file.
const DESCRIPTION: &str = "Share of each item's Fisher score that comes from the top 1 % of the examples (bars are 95 % \
                           intervals), and its effective number of examples; dotted lines are what equal examples \
                           would give.";

/// Per-example scores of each item, summed up.
#[derive(Clone, Debug)]
pub struct Tails {
    rows: Vec<TailRow>,
    tensors: usize,
}

impl Tails {
    /// Reads the `tails.csv` that `stability` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, a share outside 0 to 1, an item named twice, or a table without sites and
    /// blocks.
    pub fn read(path: &Path) -> Result<Tails> {
        let (rows, tensors) =
            sites::shown(path, tables::read(path)?, |row: &TailRow| (row.granularity, &row.name))?;
        Ok(Tails { rows, tensors })
    }

    fn groups(&self) -> Vec<Group> {
        dots::groups(&self.rows, |row| {
            let percent = |v: Option<f64>| v.map(|v| 100.0 * v);
            let ends = percent(row.top_share_low).zip(percent(row.top_share_high));
            let share = Dot { value: percent(row.top_share), ends };
            let dots = vec![share, Dot { value: row.effective_examples, ends: None }];
            (row.granularity, row.name.clone(), dots)
        })
    }
}

/// The figure in words for a paper.
pub fn caption(tails: &Tails) -> String {
    let counts = sites::counts(tails.rows.iter().map(|row| row.granularity));
    let largest = tails.rows.iter().filter_map(|row| Some((row.largest_share?, &row.name)));
    let largest = largest.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(share, name)| {
        format!(" The largest share of a single example is {} % ({name}).", significant(100.0 * share, 3))
    });
    format!(
        "Share of the Fisher score of each of {} that comes from the top 1 % of {} examples, with 95 % intervals (bars), \
         and effective number of examples, (Σ s)² / Σ s² of the per-example scores s, without an interval. Dotted lines \
         are what equal examples would give.{}{}\n",
        counts,
        tails.rows[0].examples,
        largest.unwrap_or_default(),
        sites::left_out(tails.tensors),
    )
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Tails::read(path)?;
    Ok((tail_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page).
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn tail_figure(tails: &Tails, width_mm: Option<f64>) -> Result<String> {
    let examples = tails.rows[0].examples;
    let columns = [
        Column {
            words: &["share of the score from the top 1 % of examples (%)", "share of the top 1 % (%)"],
            ends: None,
            reference: Some((1.0, format!("if all {examples} examples were equal"))),
        },
        Column {
            words: &["effective number of examples", "effective examples"],
            ends: None,
            reference: Some((examples as f64, String::new())),
        },
    ];
    dots::figure(&tails.groups(), &columns, DESCRIPTION, width_mm.unwrap_or(174.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;

    const HEADER: &str =
        "granularity,name,examples,top_share,top_share_low,top_share_high,largest_share,effective_examples\n";

    fn read(rows: &str) -> Result<Tails> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tails.csv");
        std::fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        assert_eq!(crate::figures::tests::named(HEADER), Some("stability_tails"));
        Tails::read(&path)
    }

    #[test]
    fn shares_are_percent_and_the_largest_is_named() {
        let rows = "tensor,a.weight,2490,0.5,,,0.1,9\nsite,embeddings,2490,0.25,0.2,0.4,0.125,40\n\
                    site,layer.0.ffn_output,2490,0.01,0.01,0.01,0.001,2490\nblock,layer.0,2490,,,,,\n";
        let tails = read(rows).unwrap();
        let words = caption(&tails);
        for part in
            ["2 sites and 1 block that", "2490 examples", "12.5 % (embeddings)", "tensors (1) are not drawn"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
        for width in [Some(84.0), None] {
            let svg = tail_figure(&tails, width).unwrap();
            let texts = assert_sound(&svg);
            assert!(texts.iter().any(|(text, _)| text == "2 not drawn: 0 or not defined"));
            assert!(texts.iter().any(|(text, _)| text.contains("2490 examples were equal")));
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            ("", "`granularity`"),
            ("site,a,10,1.5,,,,\n", "`top_share`"),
            ("site,a,10,0.5,,,,\nsite,a,10,0.5,,,,\n", "`name`"),
            ("site,a,x,0.5,,,,\n", "`row`"),
        ] {
            let message = read(rows).unwrap_err().to_string();
            assert!(message.contains("tails.csv") && message.contains(field), "{message}");
        }
    }
}
