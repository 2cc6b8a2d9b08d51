//! How unequally examples carry the Fisher information, as SVG: their Lorenz curve with its band, and the shares from the largest
//! down.
//!
//! The dotted lines are equal shares. Examples whose labels may be worth a look are ringed.
//!
//! The trap: the band is of each point of the curve alone, and where a few examples carry most it is too narrow. A share of 0 has no
//! logarithm: such examples are counted in the key.
//!
//! Takes [`Carried`], the `examples.csv` of `examples`, with the `shares.csv` and `curve.csv` beside it.

use std::path::Path;

use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, colour, dots, level, marker_of, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, identity, sheet, stretched};
use crate::error::Result;
use crate::fisher::shares::{CurveRow, ShareRow};
use crate::tables;
use crate::tables::examples::ExampleRow;

/// For readers of the file.
const DESCRIPTION: &str = "Lorenz curve of the Fisher information over examples with the line of equal shares, and the share of \
                           each example from the largest down; the band is a 95 % interval at each point.";

/// Examples and what they carry.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The largest share first.
    rows: Vec<ExampleRow>,
    curve: Vec<CurveRow>,
    /// Of all parameters, where it is known.
    all: Option<ShareRow>,
}

impl Carried {
    /// Reads the `examples.csv` that `examples` writes, and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, no row, or a share that is not one.
    pub fn read(path: &Path) -> Result<Carried> {
        let mut rows: Vec<ExampleRow> = tables::read_some(path)?;
        rows.sort_by(|a, b| b.share.total_cmp(&a.share));
        let shares: Vec<ShareRow> = tables::read_beside(path)?;
        let all = shares.into_iter().find(|row| row.group == "all");
        Ok(Carried { rows, curve: tables::read_beside(path)?, all })
    }

    /// Shares by rank, without those that have no logarithm.
    fn ranked(&self, keep: impl Fn(&ExampleRow) -> bool) -> Vec<Point> {
        let kept = self.rows.iter().zip(1..).filter(|(row, _)| row.share > 0.0 && keep(row));
        kept.map(|(row, rank)| (f64::from(rank), row.share)).collect()
    }

    fn zeros(&self) -> usize {
        self.rows.iter().filter(|row| row.share <= 0.0).count()
    }

    fn looks(&self) -> usize {
        self.rows.iter().filter(|row| row.look == Some(true)).count()
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Carried::read(path)?;
    Ok((examples_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn examples_figure(read: &Carried, width_mm: Option<f64>) -> Result<String> {
    let mut panels = Vec::new();
    if !read.curve.is_empty() {
        panels.push(lorenz(read));
    }
    panels.push(ranks(read));
    sheet(&panels, PerRow { wide: 2, narrow: 1 }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

fn lorenz(read: &Carried) -> Panel<'_> {
    let edges: Vec<(f64, f64, f64)> =
        read.curve.iter().filter_map(|row| Some((row.share_of_examples, row.low?, row.high?))).collect();
    let points: Vec<Point> =
        read.curve.iter().map(|row| (row.share_of_examples, row.share_of_information)).collect();
    Panel {
        title: "Lorenz curve".into(),
        notes: read.all.iter().map(gini).collect(),
        spans: Some((Span::Linear(0.0, 1.0), Span::Linear(0.0, 1.0))),
        words: ("share of examples, least first", "share of Fisher information"),
        draw: Box::new(move |canvas, plot| {
            identity(canvas, plot);
            if !edges.is_empty() {
                plot.band(canvas, &edges, colour(0));
            }
            plot.pieces(&points).into_iter().for_each(|piece| solid(canvas, &stretched(piece), colour(0)));
        }),
    }
}

fn gini(row: &ShareRow) -> String {
    let number = |value: f64| significant(value, 3);
    let ends = row.gini_low.zip(row.gini_high);
    let ends = ends.map_or(String::new(), |(low, high)| format!(" [{}, {}]", number(low), number(high)));
    format!("Gini coefficient {}{ends}", number(row.gini))
}

fn ranks(read: &Carried) -> Panel<'_> {
    let equal = 1.0 / read.rows.len() as f64;
    let points = read.ranked(|_| true);
    let x = Span::logarithmic(points.iter().map(|point| point.0));
    let y = Span::logarithmic(points.iter().map(|point| point.1).chain([equal]));
    let largest = read.rows.first().map_or(0.0, |row| row.share);
    Panel {
        title: "shares from the largest down".into(),
        notes: vec![format!("largest {} %", significant(100.0 * largest, 3))],
        spans: x.zip(y),
        words: ("rank of the example", "share of Fisher information"),
        draw: Box::new(move |canvas, plot| {
            level(canvas, &plot.across(equal));
            dots(canvas, &placed(plot, &points), colour(0));
            let looked_at = placed(plot, &read.ranked(|row| row.look == Some(true)));
            looked_at.into_iter().for_each(|at| ring(canvas, at));
        }),
    }
}

fn placed(plot: &Plot, points: &[Point]) -> Vec<Point> {
    points.iter().map(|&(x, y)| plot.at(x, y)).collect()
}

fn ring(canvas: &Canvas, at: Point) {
    marker_of(canvas, at, 0, colour(1), true);
}

fn entries(read: &Carried) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    if !read.curve.is_empty() {
        entries.push(Entry::line(solid, colour(0), format!("{} examples", read.rows.len())));
    }
    if read.curve.iter().any(|row| row.low.is_some()) {
        entries.push(Entry::band("95 % interval over examples, at each point"));
    }
    entries.push(Entry::new(|canvas, at| curves::dots(canvas, &[at], colour(0)), "an example"));
    if read.looks() > 0 {
        entries.push(Entry::new(ring, "label worth a look"));
    }
    entries.push(Entry::level("equal shares"));
    if read.zeros() > 0 {
        entries.push(Entry::note(format!("share 0, on no logarithmic axis: {}", read.zeros())));
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Carried) -> String {
    let n = read.rows.len();
    let mut out = format!("Shares of {n} examples in the Fisher information (trace of its diagonal).");
    if !read.curve.is_empty() {
        out += " Lorenz curve: share held by the least informative examples; the dotted line is equal shares, the band the 95 % \
                interval at each point.";
    }
    out += " Shares by rank, both axes logarithmic.";
    if let Some(all) = &read.all {
        out += &format!(
            " {}; the top 1 % of the examples hold {} %, as much as {} equal examples of {n} hold all.",
            gini(all),
            significant(100.0 * all.top_1, 3),
            significant(all.effective, 3)
        );
    }
    if read.looks() > 0 {
        out += &format!(" Ringed: {} examples whose labels may be worth a look.", read.looks());
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::files;
    use crate::fisher::shares::{self, Resamples};
    use crate::stats::clusters::Clusters;

    /// The files of `examples` for these shares, of which the first has a label worth a look.
    fn folder(values: &[f64]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let row = |(i, share): (usize, &f64)| ExampleRow {
            rank: i + 1,
            example: i,
            share: *share,
            look: Some(i == 0),
            ..ExampleRow::default()
        };
        let rows: Vec<ExampleRow> = values.iter().enumerate().map(row).collect();
        tables::write(folder.path(), &rows).unwrap();
        let clusters = Clusters::default();
        let resamples = Resamples { clusters: &clusters, number: 40, seed: 1 };
        tables::write(folder.path(), &shares::rows(&[("all".into(), values.to_vec())], &resamples)).unwrap();
        tables::write(folder.path(), &shares::curve(values, &resamples)).unwrap();
        let path = folder.path().join("examples.csv");
        (folder, path)
    }

    /// Oracle: the renderer's layout at both widths, and the table: an example a dot, those at 0 counted, rings where a label is worth a
    /// look; the Gini coefficient on paper, 3.25/6; without the files beside it a panel less.
    #[test]
    fn examples_are_dots_and_zeros_are_counted() {
        let (folder, path) = folder(&[0.5, 0.25, 0.125, 0.125, 0.0, 0.0]);
        let read = Carried::read(&path).unwrap();
        for width in [Some(84.0), None] {
            let svg = examples_figure(&read, width).unwrap();
            let texts = assert_sound(&svg);
            let has = |word: &str| texts.iter().any(|(text, _)| text.contains(word));
            assert!(has("Lorenz curve") && has("on no logarithmic axis: 2") && has("label worth a look"));
            assert!(has("largest 50 %") && has("Gini coefficient 0.542"), "{texts:?}");
            // Four dots, and that of the key; a ring, and that of the key.
            assert_eq!(svg.matches("h.01").count(), 5);
            assert_eq!(svg.matches("<circle").count(), 2);
            assert_eq!(svg, examples_figure(&read, width).unwrap());
        }
        let words = caption(&read);
        assert!(words.lines().count() == 1 && words.contains("Ringed: 1"), "{words}");
        files::remove(&folder.path().join("curve.csv")).unwrap();
        let svg = examples_figure(&Carried::read(&path).unwrap(), None).unwrap();
        assert!(!svg.contains(">Lorenz curve<"));
    }

    #[test]
    fn bad_tables_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples.csv");
        for (text, field) in [
            ("rank,example,share,share_so_far\n", "`rows`"),
            ("rank,example,share,share_so_far\n1,0,1.5,1\n", "`share`"),
        ] {
            files::write(&path, text.as_bytes()).unwrap();
            let message = Carried::read(&path).unwrap_err().to_string();
            assert!(message.contains("examples.csv") && message.contains(field), "{message}");
        }
    }
}
