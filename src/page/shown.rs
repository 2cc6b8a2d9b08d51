//! Figures and tables as the page shows them: in order and numbered, without what is empty.

use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

use super::{Figure, Table};
use crate::error::Result;
use crate::page::template::filled;

const FIGURE: &str = include_str!("figure.html");

/// The figure that leads the page, where a run has it.
pub const SUMMARY: &str = "figures/summary";

/// Tables that are open; the others are folded.
const OPEN: usize = 2;
/// Rows above which a table is folded wherever it stands.
const LONG: usize = 30;
/// Columns above which those that are the same in every row are said once, where there are more rows than two.
const WIDE: usize = 8;

/// A figure in its place.
#[derive(Serialize)]
pub struct Placed {
    leads: bool,
    aside: bool,
    html: String,
}

/// A table without its empty columns.
#[derive(Serialize)]
pub struct Shown<'a> {
    /// What every row has, with the title of its column.
    same: Vec<String>,
    file: &'a str,
    /// For anchors, which have no dots.
    id: String,
    caption: &'a str,
    header: Vec<Cell<'a>>,
    rows: Vec<Vec<Cell<'a>>>,
    folded: bool,
}

/// A cell; numbers stand at the right.
#[derive(Serialize)]
struct Cell<'a> {
    text: &'a str,
    number: bool,
}

/// The summary first, and last those that stand aside.
pub fn figures(figures: &[Figure]) -> Result<Vec<Placed>> {
    numbered(figures).into_iter().map(|(number, figure)| placed(number, figure)).collect()
}

fn numbered(figures: &[Figure]) -> Vec<(usize, &Figure)> {
    let mut all: Vec<&Figure> = figures.iter().collect();
    all.sort_by_key(|figure| (figure.aside, figure.path != SUMMARY));
    (1..).zip(all).collect()
}

fn placed(number: usize, figure: &Figure) -> Result<Placed> {
    let [lead, open, folded] = parts(&figure.finding, &figure.caption);
    let figure_value = Value::from(Serde(figure));
    let html =
        filled("figure.html", FIGURE, context! { number, figure => figure_value, lead, open, folded })?;
    Ok(Placed { leads: figure.path == SUMMARY, aside: figure.aside, html })
}

/// What stands below a figure: the finding, or else the first sentence of the caption; the sentence after it; and the rest,
/// which is folded.
fn parts<'a>(finding: &'a str, caption: &'a str) -> [&'a str; 3] {
    let (first, rest) = first_sentence(caption.trim());
    match finding {
        "" => {
            let (second, rest) = first_sentence(rest);
            [first, second, rest]
        }
        finding => [finding, first, rest],
    }
}

/// The first sentence of a text and what follows it. A sentence ends with a point before a capital letter.
fn first_sentence(text: &str) -> (&str, &str) {
    let begins = |at: &usize| text[at + 2..].starts_with(|c: char| c.is_uppercase());
    match text.match_indices(". ").map(|(at, _)| at).find(begins) {
        Some(at) => (&text[..=at], &text[at + 2..]),
        None => (text, ""),
    }
}

pub fn tables(tables: &[Table]) -> Vec<Shown<'_>> {
    tables.iter().enumerate().map(|(i, table)| shown(table, i >= OPEN)).collect()
}

fn shown(table: &Table, folded: bool) -> Shown<'_> {
    let texts =
        |i: usize| table.rows.iter().filter_map(move |row| row.get(i)).filter(|text| !text.is_empty());
    let filled: Vec<usize> = (0..table.header.len()).filter(|i| texts(*i).next().is_some()).collect();
    let wide = filled.len() > WIDE && table.rows.len() > 2;
    let is_same = |i: &usize| {
        wide && texts(*i).count() == table.rows.len()
            && texts(*i).all(|text| Some(text) == table.rows[0].get(*i))
    };
    let (same, filled): (Vec<usize>, Vec<usize>) = filled.into_iter().partition(is_same);
    let numbers: Vec<bool> = (0..table.header.len()).map(|i| texts(i).all(|text| is_number(text))).collect();
    let row = |cells| row(cells, &filled, &numbers);
    Shown {
        same: same.iter().map(|i| format!("{} {}", table.header[*i], table.rows[0][*i])).collect(),
        file: &table.file,
        id: table.file.trim_end_matches(".csv").replace('.', "-"),
        caption: &table.caption,
        header: row(&table.header),
        rows: table.rows.iter().map(|cells| row(cells)).collect(),
        folded: folded || table.rows.len() > LONG,
    }
}

/// The cells of the columns that are filled.
fn row<'a>(cells: &'a [String], filled: &[usize], numbers: &[bool]) -> Vec<Cell<'a>> {
    filled.iter().filter_map(|i| Some(Cell { text: cells.get(*i)?, number: numbers[*i] })).collect()
}

/// Whether a cell begins as a number does, whatever its uncertainty is written as.
fn is_number(text: &str) -> bool {
    let start = text.trim_start_matches(['+', '−', '-', '<', ' ', '(']);
    start.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. An empty column goes, one with a single filled cell stays; a column of words with one number in it is words.
    #[test]
    fn empty_columns_go_and_numbers_stand_at_the_right() {
        let rows = [["guided", "", "−0.1 (−0.2 to 0.0)", "a"], ["none", "", "", "1"]];
        let table = Table {
            file: "t.csv".into(),
            caption: String::new(),
            header: ["arm", "empty", "difference", "mixed"].map(String::from).to_vec(),
            rows: rows.map(|row| row.map(String::from).to_vec()).to_vec(),
            csv: String::new(),
        };
        let shown = shown(&table, false);
        let header: Vec<(&str, bool)> = shown.header.iter().map(|cell| (cell.text, cell.number)).collect();
        assert_eq!(header, [("arm", false), ("difference", true), ("mixed", false)]);
        assert_eq!(shown.rows[1].iter().map(|cell| cell.text).collect::<Vec<_>>(), ["none", "", "1"]);
    }

    /// Oracle: by hand. What is the same in every row of a wide table is said once; one cell that differs keeps its column.
    #[test]
    fn what_every_row_has_is_said_once() {
        let cell = |row: usize, column: usize| match column {
            0 => "5".to_string(),
            1 if row == 2 => "4".to_string(),
            1 => "3".to_string(),
            column => format!("{row}{column}"),
        };
        let rows: Vec<Vec<String>> =
            (0..3).map(|row| (0..9).map(|column| cell(row, column)).collect()).collect();
        let header: Vec<String> = (0..9).map(|column| format!("c{column}")).collect();
        let table = Table { file: "t.csv".into(), caption: String::new(), header, rows, csv: String::new() };
        let shown = shown(&table, false);
        assert_eq!(shown.same, ["c0 5"]);
        assert_eq!((shown.header[0].text, shown.header.len(), shown.rows[2][0].text), ("c1", 8, "4"));
    }

    /// Oracle: by hand. A number's point ends no sentence, nor does one before a small letter; nothing is lost.
    #[test]
    fn captions_are_a_finding_a_sentence_and_the_rest() {
        let caption = "Loss at 0.5 e.g. here. Rise over 128 examples. Dots are points. Rings are the lowest.";
        let [one, two, rest] =
            ["Loss at 0.5 e.g. here.", "Rise over 128 examples.", "Dots are points. Rings are the lowest."];
        assert_eq!(parts("", caption), [one, two, rest]);
        let finding = "No difference is shown.";
        assert_eq!(parts(finding, caption), [finding, one, &format!("{two} {rest}")]);
        assert_eq!(parts("", "One sentence."), ["One sentence.", "", ""]);
        assert_eq!(parts("", ""), ["", "", ""]);
    }

    /// Oracle: by hand. What stands aside comes last, and numbers go by the order on the page.
    #[test]
    fn figures_are_numbered_as_they_stand() {
        let figure = |path: &str, aside| Figure { path: path.into(), aside, ..Figure::default() };
        let all = [figure("a", true), figure("b", false), figure(SUMMARY, false)];
        let order: Vec<(usize, &str)> =
            numbered(&all).into_iter().map(|(number, figure)| (number, figure.path.as_str())).collect();
        assert_eq!(order, [(1, SUMMARY), (2, "b"), (3, "a")]);
    }
}
