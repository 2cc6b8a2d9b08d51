//! How far a sub-sample finds the parameters of the largest Fisher scores, as SVG, against its fraction.
//!
//! A row for each kind of draw. At the left the overlap (Jaccard: shared / in either) of the draw's top set with those of
//! the examples left out, the comparison that a fraction is trusted by, and with the full set's, which contains the draw
//! and so agrees better than it should. At the right the share of the Fisher mass of the examples left out that lies in
//! the draw's set, relative to their own best set. Lines are means over the repeats, dots single repeats.
//!
//! The trap: a draw of everything leaves no examples out. Those cells are empty and counted, never drawn as agreement.
//!
//! Takes [`Overlap`], the `overlap.csv` of `stability`.

use std::path::Path;

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, CURVES, GREY, colour, dashed, dots, dotted, level, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, counted, distinct, sheet, stretched};
use crate::error::{Error, Result};
use crate::stability::overlap::OverlapRow;
use crate::stats;
use crate::tables::{self, Table};

/// Dots of neighbouring series stand this far apart, pt.
const APART: f64 = 2.4;

/// For readers of the file.
const DESCRIPTION: &str = "Overlap of the parameters of the largest Fisher scores found from a fraction of the examples \
                           with those of the examples left out (solid), of all examples (dashed) and by chance \
                           (dotted), and the share of the Fisher mass that they capture; dots are single repeats.";

/// Draws and their overlaps.
#[derive(Clone, Debug)]
pub struct Overlap {
    rows: Vec<OverlapRow>,
}

/// A column of the table.
type Value = fn(&OverlapRow) -> Option<f64>;

impl Overlap {
    /// Reads the `overlap.csv` that `stability` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no row, a fraction or a top that is not one, or an overlap outside [0, 1].
    pub fn read(path: &Path) -> Result<Overlap> {
        let read = Overlap { rows: tables::read_some(path)? };
        match read.tops().len() {
            ..=CURVES => Ok(read),
            n => {
                let expected = format!("at most {CURVES} of them");
                Err(Error::field(path.display(), "top", expected, n, OverlapRow::FIX))
            }
        }
    }

    fn tops(&self) -> Vec<f64> {
        distinct(self.rows.iter().map(|row| row.top))
    }

    fn draws(&self) -> Vec<&str> {
        let mut draws: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !draws.contains(&row.draw.name()) {
                draws.push(row.draw.name());
            }
        }
        draws
    }

    /// What is defined of a column in the rows of one series, with the fractions.
    fn series(&self, draw: &str, top: f64, value: Value) -> Vec<Point> {
        let own = self.rows.iter().filter(|row| row.draw.name() == draw && row.top == top);
        own.filter_map(|row| Some((row.fraction, value(row).filter(|v| drawable(*v))?))).collect()
    }

    /// Draws without examples left out.
    fn undefined(&self) -> usize {
        self.rows.iter().filter(|row| row.overlap_complement.or(row.captured).is_none()).count()
    }
}

/// Means of what stands at the same x, ascending.
fn means(points: &[Point]) -> Vec<Point> {
    let at = |x: f64| points.iter().filter(|p| p.0 == x).map(|p| p.1).collect::<Vec<f64>>();
    distinct(points.iter().map(|p| p.0)).into_iter().map(|x| (x, stats::mean(&at(x)))).collect()
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Overlap::read(path)?;
    Ok((overlap_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn overlap_figure(read: &Overlap, width_mm: Option<f64>) -> Result<String> {
    let fractions = || Span::at(read.rows.iter().map(|row| row.fraction));
    let captured = read.rows.iter().filter_map(|row| row.captured);
    let captured =
        axis::range(captured.chain([1.0])).filter(|_| read.rows.iter().any(|r| r.captured.is_some()));
    let mut panels = Vec::new();
    for draw in read.draws() {
        panels.push(Panel {
            title: "overlap of the top sets".into(),
            notes: vec![format!("{draw} draws")],
            spans: fractions().map(|x| (x, Span::Linear(0.0, 1.0))),
            words: ("fraction of the examples", "Jaccard overlap"),
            draw: Box::new(move |canvas, plot| {
                for (i, &top) in read.tops().iter().enumerate() {
                    let placed = |value: Value| placed(plot, &means(&read.series(draw, top, value)));
                    dotted(canvas, &stretched(placed(|row| Some(row.chance))), colour(i));
                    dashed(canvas, &stretched(placed(|row| Some(row.overlap))), colour(i));
                }
                held_out(canvas, plot, read, draw, |row| row.overlap_complement);
            }),
        });
        panels.push(Panel {
            title: "Fisher mass captured".into(),
            notes: vec![format!("{draw} draws")],
            spans: fractions().zip(captured.map(|(low, high)| Span::Linear(low, high))),
            words: ("fraction of the examples", "relative to the best"),
            draw: Box::new(move |canvas, plot| {
                level(canvas, &plot.across(1.0));
                held_out(canvas, plot, read, draw, |row| row.captured);
            }),
        });
    }
    // One below the other, several kinds of draw would be longer than a page.
    let narrow = if panels.len() > 2 { 2 } else { 1 };
    sheet(&panels, PerRow { wide: 2, narrow }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

fn placed(plot: &Plot, points: &[Point]) -> Vec<Point> {
    points.iter().map(|&(x, y)| plot.at(x, y)).collect()
}

/// Single repeats and their means against the examples left out, a series for each `top`.
fn held_out(canvas: &Canvas, plot: &Plot, read: &Overlap, draw: &str, value: Value) {
    let tops = read.tops();
    for (i, &top) in tops.iter().enumerate() {
        let offset = APART * (i as f64 - (tops.len() - 1) as f64 / 2.0);
        let single = placed(plot, &read.series(draw, top, value)).into_iter().map(|(x, y)| (x + offset, y));
        dots(canvas, &single.collect::<Vec<Point>>(), colour(i));
    }
    for (i, &top) in tops.iter().enumerate() {
        let line = placed(plot, &means(&read.series(draw, top, value)));
        solid(canvas, &line, colour(i));
        line.into_iter().for_each(|at| curves::marker(canvas, at, i));
    }
}

fn entries(read: &Overlap) -> Vec<Entry<'static>> {
    let words = |top: f64| format!("top {} % of the parameters", significant(100.0 * top, 3));
    let curve = |(i, top)| Entry::curve(i, words(top));
    let mut entries: Vec<Entry> = read.tops().into_iter().enumerate().map(curve).collect();
    entries.push(Entry::line(solid, GREY, "with the examples left out (mean of the repeats)"));
    entries.push(Entry::dots("single repeats"));
    entries.push(Entry::line(dashed, GREY, "with all examples"));
    entries.push(Entry::line(dotted, GREY, "by chance"));
    if read.rows.iter().any(|row| row.captured.is_some()) {
        entries.push(Entry::level("best possible"));
    }
    if read.undefined() > 0 {
        entries.push(Entry::note(format!(
            "no examples left out, not shown: {}",
            counted(read.undefined(), "row")
        )));
    }
    entries
}

/// The figure in words for a paper: what is drawn, from how many draws.
pub fn caption(read: &Overlap) -> String {
    let list = |values: Vec<f64>, unit: f64| {
        values.iter().map(|v| significant(unit * v, 3)).collect::<Vec<_>>().join(", ")
    };
    let fractions = list(distinct(read.rows.iter().map(|row| row.fraction)), 1.0);
    let mut out = format!(
        "Overlap (Jaccard) of the top {} % of the parameters by Fisher score, as found from a fraction of the examples \
         ({fractions}), with those found from the examples left out (solid: mean of the repeats; dots: single repeats) \
         and from all examples, which contain the draw (dashed); dotted: two random sets. Mass captured: Fisher \
         information of the examples left out in the draw’s set, relative to their own best set of that size. {} of \
         {} draws.",
        list(read.tops(), 100.0),
        counted(read.rows.len(), "row"),
        read.draws().join(" and "),
    );
    if read.undefined() > 0 {
        out += &format!(
            " In {} no examples remain; these have no solid line.",
            counted(read.undefined(), "row")
        );
    }
    out + " Lines between fractions are interpolated.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::files;

    const HEADER: &str =
        "draw,fraction,repeat,examples,top,k,overlap,overlap_complement,captured,chance,gini\n";

    fn read(rows: &str) -> Result<Overlap> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overlap.csv");
        files::write(&path, format!("{HEADER}{rows}").as_bytes())?;
        assert_eq!(crate::figures::tests::named(HEADER), Some("stability_overlap"));
        Overlap::read(&path)
    }

    /// Rows of three tops and four repeats at some fractions; at 1 nothing is left out.
    fn rows(draws: &[&str], fractions: &[f64]) -> String {
        let mut out = String::new();
        for draw in draws {
            for f in fractions {
                for (repeat, top) in (0..4).flat_map(|r| [0.001, 0.01, 0.1].map(|t| (r, t))) {
                    let held = if *f < 1.0 {
                        format!("{},{}", f.sqrt() * (0.7 + 0.05 * f64::from(repeat)), 0.9)
                    } else {
                        ",".into()
                    };
                    out += &format!("{draw},{f},{repeat},10,{top},5,{},{held},{},0.9\n", f.sqrt(), top / 2.0);
                }
            }
        }
        out
    }

    /// Oracle: on paper. Repeats 0.2 and 0.6 have their mean at 0.4 of the way from 0 to 1; fractions 0.01, 0.1 and 1
    /// stand evenly.
    #[test]
    fn means_stand_at_their_place() {
        let row = |f: f64, v: f64| format!("independent,{f},0,10,0.01,5,{v},{v},0.9,0.005,0.9\n");
        let table = read(&[row(0.01, 0.2), row(0.01, 0.6), row(0.1, 0.4), row(1.0, 1.0)].concat()).unwrap();
        let svg = overlap_figure(&table, None).unwrap();
        let circles: Vec<Point> = svg
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| (attribute(line, "cx"), attribute(line, "cy")))
            .collect();
        // Two panels of three, and the key.
        assert_eq!(circles.len(), 7);
        assert!((circles[0].1 - circles[1].1).abs() < 0.02, "{circles:?}");
        assert!((circles[1].0 - (circles[0].0 + circles[2].0) / 2.0).abs() < 0.02, "{circles:?}");
        let texts = assert_sound(&svg);
        let middle = |number: &str| {
            let (_, b) = texts.iter().find(|(text, _)| text == number).unwrap();
            (b[1] + b[3]) / 2.0
        };
        let expected = middle("0.0") + 0.4 * (middle("1.0") - middle("0.0"));
        assert!((circles[0].1 - expected).abs() < 0.3, "{circles:?} {expected}");
    }

    #[test]
    fn texts_keep_apart_and_what_is_not_shown_is_counted() {
        for (draws, fractions) in [
            (&["independent"][..], &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0][..]),
            (&["independent", "nested", "disjoint"], &[0.1, 0.5]),
            (&["disjoint"], &[0.1]),
        ] {
            let table = read(&rows(draws, fractions)).unwrap();
            for width in [84.0, 170.0] {
                let svg = overlap_figure(&table, Some(width)).unwrap();
                let texts = assert_sound(&svg);
                assert_eq!(texts.iter().filter(|(text, _)| text == "top 0.1 % of the parameters").count(), 1);
                assert_eq!(svg.contains("not shown: 12 rows"), fractions.contains(&1.0));
                assert_eq!(svg, overlap_figure(&table, Some(width)).unwrap());
            }
            assert!(caption(&table).ends_with(".\n") && caption(&table).lines().count() == 1);
        }
        // Nothing left out anywhere: the panel of captured mass says so.
        let svg = overlap_figure(&read("nested,1,0,10,0.1,5,1,,,0.05,0.9\n").unwrap(), None).unwrap();
        assert!(svg.contains("nothing to show"));
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            ("", "`rows`"),
            ("independent,0,0,10,0.1,5,1,,,0.05,0.9\n", "`fraction, top`"),
            ("independent,1,0,10,0.1,5,1.5,,,0.05,0.9\n", "`overlap`"),
            ("independent,x,0,10,0.1,5,1,,,0.05,0.9\n", "`row`"),
        ] {
            let message = read(rows).unwrap_err().to_string();
            assert!(message.contains("overlap.csv: ") && message.contains(field), "{message}");
        }
    }
}
