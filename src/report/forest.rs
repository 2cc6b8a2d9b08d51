//! Differences between arms in every cell of a study, as SVG: a panel for each cell, a row for each arm, the interval as a bar.
//!
//! The dotted line is no difference. A full sign is a difference that the permutation test shows after correction for all
//! comparisons of the study; the bars are 95 % intervals of single ones, and with many of them some miss 0 by chance.
//!
//! The trap: panels of different metrics have scales of their own; those of one metric share theirs, so that they compare.
//!
//! Takes [`Forest`], the `tables/study.csv` of a study.

use std::path::Path;

use super::canvas::{Canvas, Point, path_data};
use super::columns::Columns;
use super::legend::Entry;
use super::panels::{Panel, Span, counted, sheet};
use super::plot::{self, GREY, colour};
use crate::error::Result;

const FIX: &str = "give tables/study.csv of a study";
/// Columns between those of the cell and the end.
const OWN: &str = "arm,seeds,failed,collapsed,metric,score,";

/// For readers of the file.
const DESCRIPTION: &str = "Difference of each arm's mean score to the first arm's in every cell of a study, paired by seed, \
                           with its 95 % interval.";

/// The differences of a study.
#[derive(Clone, Debug)]
pub struct Forest {
    cells: Vec<Cell>,
    /// The arms that have one anywhere, in order of appearance.
    arms: Vec<String>,
}

#[derive(Clone, Debug)]
struct Cell {
    title: String,
    metric: String,
    /// The arm that the differences are to.
    first: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    arm: String,
    seeds: usize,
    difference: f64,
    ends: Option<(f64, f64)>,
    shown: bool,
}

impl Forest {
    /// Whether a file's first line is that of `study.csv`.
    pub fn is_study(text: &str) -> bool {
        text.lines().next().is_some_and(|line| line.contains(OWN) && line.contains(",difference,"))
    }

    /// Reads the `study.csv` of a study.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, a value that is no number, or a table without a difference.
    pub fn read(path: &Path) -> Result<Forest> {
        let table = Columns::read(path, FIX)?;
        let (arm, seeds, metric) = (table.column("arm")?, table.column("seeds")?, table.column("metric")?);
        let mut places = [0; 4];
        let numbers = ["difference", "difference_low", "difference_high", "p_corrected"];
        for (place, name) in places.iter_mut().zip(numbers) {
            *place = table.column(name)?;
        }
        let mut read = Forest { cells: Vec::new(), arms: Vec::new() };
        for (i, row) in table.rows.iter().enumerate() {
            let cell = |at: usize| row.get(at).unwrap_or_default();
            let mut values = [None; 4];
            for (value, at) in values.iter_mut().zip(places) {
                *value = table.number(i, at)?;
            }
            let keys = table.header.iter().zip(row).take(arm);
            let key = |(name, value): (&str, &str)| match name {
                "task" => value.to_string(),
                name => format!("{} {value}", name.replace('_', " ")),
            };
            let title = keys.map(key).collect::<Vec<_>>().join(", ");
            if read.cells.last().is_none_or(|last| last.title != title) {
                let (metric, first) = (cell(metric).replace('_', " "), cell(arm).to_string());
                read.cells.push(Cell { title, metric, first, rows: Vec::new() });
            }
            let (Some(difference), Some(own)) = (values[0], read.cells.last_mut()) else { continue };
            own.rows.push(Row {
                arm: cell(arm).to_string(),
                seeds: table.count(i, seeds)?,
                difference,
                ends: values[1].zip(values[2]),
                shown: values[3].is_some_and(|p| p < 0.05),
            });
            if !read.arms.iter().any(|known| known == cell(arm)) {
                read.arms.push(cell(arm).to_string());
            }
        }
        read.cells.retain(|cell| !cell.rows.is_empty());
        if read.cells.is_empty() {
            return Err(table.wrong("difference", "given in at least one row", "none"));
        }
        Ok(read)
    }

    /// What the differences are to.
    fn first(&self) -> &str {
        let first = &self.cells[0].first; // there is one with a difference
        if self.cells.iter().all(|cell| cell.first == *first) { first } else { "the first arm of the cell" }
    }

    /// What the differences in a metric span, 0 included.
    fn span(&self, metric: &str) -> Option<Span> {
        let rows = self.cells.iter().filter(|cell| cell.metric == metric).flat_map(|cell| &cell.rows);
        let ends = |row: &Row| {
            let (low, high) = row.ends.unwrap_or((row.difference, row.difference));
            [row.difference, low, high]
        };
        plot::range(rows.flat_map(ends).chain([0.0])).map(|(low, high)| Span::Linear(low, high))
    }
}

/// The figure as SVG text, by default 170 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn forest_figure(read: &Forest, width_mm: Option<f64>) -> Result<String> {
    let across = format!("difference to {}", read.first());
    let panel = |cell: &'_ Cell| -> Panel<'_> {
        let names = cell.rows.iter().rev().map(|row| row.arm.clone()).collect();
        let rows: Vec<Row> = cell.rows.iter().rev().cloned().collect();
        let place = |row: &Row| read.arms.iter().position(|arm| *arm == row.arm).unwrap_or(0);
        let places: Vec<usize> = rows.iter().map(place).collect();
        Panel {
            title: if cell.title.is_empty() { cell.metric.clone() } else { cell.title.clone() },
            notes: if cell.title.is_empty() { Vec::new() } else { vec![cell.metric.clone()] },
            spans: read.span(&cell.metric).map(|x| (x, Span::Names(names))),
            words: ("", ""),
            draw: Box::new(move |canvas, plot| {
                plot::dotted(canvas, &plot.upright(0.0));
                for (y, (row, &i)) in rows.iter().zip(&places).enumerate() {
                    if let Some((low, high)) = row.ends {
                        bar(canvas, [plot.at(low, y as f64), plot.at(high, y as f64)], colour(i));
                    }
                    plot::marker_of(canvas, plot.at(row.difference, y as f64), i % 4, colour(i), !row.shown);
                }
            }),
        }
    };
    let mut panels: Vec<Panel> = read.cells.iter().map(panel).collect();
    panels.iter_mut().for_each(|panel| panel.words.0 = &across);
    let columns = if panels.len() > 4 { 3 } else { 2 };
    sheet(&panels, (columns, 1), width_mm.unwrap_or(170.0), entries(read), DESCRIPTION)
}

/// An interval, thick enough to be seen in a row of its own.
fn bar(canvas: &Canvas, ends: [Point; 2], colour: &str) {
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\"1\""));
}

fn entries(read: &Forest) -> Vec<Entry<'static>> {
    let mut entries = vec![Entry::new(
        |canvas: &Canvas, (x, y): Point| bar(canvas, [(x - 7.0, y), (x + 7.0, y)], GREY),
        "95 % interval, paired by seed, of this difference alone",
    )];
    let rows = || read.cells.iter().flat_map(|cell| &cell.rows);
    for (shown, words) in [(true, "p < 0.05, corrected for all"), (false, "not shown after correction")] {
        if rows().any(|row| row.shown == shown) {
            let sign = move |canvas: &Canvas, at: Point| plot::marker_of(canvas, at, 0, GREY, !shown);
            entries.push(Entry::new(sign, words));
        }
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Forest) -> String {
    let rows = || read.cells.iter().flat_map(|cell| &cell.rows);
    let (least, most) =
        rows().fold((usize::MAX, 0), |(low, high), row| (low.min(row.seeds), high.max(row.seeds)));
    let seeds = if least == most { counted(most, "seed") } else { format!("{least} to {most} seeds") };
    format!(
        "Difference of each arm to {} in {}, means of paired runs ({seeds}) with 95 % intervals (Student’s t), which are not \
         corrected for their number. Full signs: p below 0.05 by exchanging the signs of the paired differences, corrected for \
         all {} comparisons by Holm. Panels of one metric share their scale.\n",
        read.first(),
        counted(read.cells.len(), "cell"),
        rows().count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::report::plot::tests::{assert_sound, attribute};

    const HEADER: &str = "task,lr,arm,seeds,failed,collapsed,metric,score,score_sd,difference,difference_low,difference_high,\
                          p,p_corrected,held_out_examples\n";

    fn read(rows: &str) -> Result<Forest> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.csv");
        files::write(&path, format!("{HEADER}{rows}").as_bytes())?;
        assert!(Forest::is_study(&files::read_text(&path)?));
        Forest::read(&path)
    }

    /// A cell of three arms.
    fn cell(task: &str, metric: &str, differences: [f64; 2]) -> String {
        let row = |arm: &str, d: f64, p: f64| {
            format!("{task},1e-3,{arm},5,0,0,{metric},0.6,0.1,{d},{},{},{p},{p},553\n", d - 0.1, d + 0.1)
        };
        format!("{task},1e-3,uniform 0.1,5,0,0,{metric},0.6,0.1,,,,,,553\n")
            + &row("guided", differences[0], 0.01)
            + &row("shuffled 2", differences[1], 0.6)
    }

    /// Oracle: on paper. Panels of one metric share their scale, so that one difference stands at one place in each; the arm that
    /// comes first stands above; what is shown is full.
    #[test]
    fn differences_stand_at_their_place() {
        let table =
            read(&(cell("rte", "accuracy", [0.0, 0.1]) + &cell("mrpc", "accuracy", [0.1, -0.3]))).unwrap();
        let svg = forest_figure(&table, None).unwrap();
        assert_sound(&svg);
        // Guided arms have circles, and the key has two.
        let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
        assert_eq!(circles.len(), 4);
        assert_eq!(circles.iter().filter(|circle| circle.contains("fill=\"#fff\"")).count(), 1);
        let frames: Vec<&str> = svg
            .lines()
            .filter(|l| l.starts_with("<rect") && l.contains("fill=\"none\" stroke=\"#000\""))
            .collect();
        let within = |i: usize| attribute(circles[i], "cx") - attribute(frames[i], "x");
        // A tenth of the axis from -0.4 to 0.2 is a sixth of its length, which ends a little within the frame.
        let width = attribute(frames[0], "width") - 2.0 * plot::INSET.0;
        assert!(
            ((within(1) - within(0)) / width - 1.0 / 6.0).abs() < 0.01,
            "{} {width}",
            within(1) - within(0)
        );
        let middle = attribute(frames[0], "y") + attribute(frames[0], "height") / 2.0;
        assert!(attribute(circles[0], "cy") < middle);
    }

    #[test]
    fn texts_keep_apart() {
        let tasks = ["rte", "a task whose name is much longer than any panel is wide", "stsb", "cola", "qqp"];
        for n in [1, 2, 5] {
            let rows: String = tasks[..n].iter().map(|task| cell(task, "spearman", [0.01, -0.02])).collect();
            let table = read(&rows).unwrap();
            for width in [84.0, 170.0] {
                let svg = forest_figure(&table, Some(width)).unwrap();
                assert_sound(&svg);
                assert_eq!(svg, forest_figure(&table, Some(width)).unwrap());
            }
            assert!(caption(&table).contains("5 seeds") && caption(&table).lines().count() == 1);
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            (String::new(), "`difference`"),
            ("rte,1,a,5,0,0,accuracy,0.6,0.1,x,,,,,5\n".into(), "`difference`"),
            ("rte,1,a,x,0,0,accuracy,0.6,0.1,0.1,,,,,5\n".into(), "`seeds`"),
            ("rte,1\n".into(), "`row`"),
        ] {
            let message = read(&rows).unwrap_err().to_string();
            assert!(message.contains("study.csv: ") && message.contains(field), "{message}");
        }
    }
}
