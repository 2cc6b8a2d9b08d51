//! Scores of arms along one setting of a study, all else equal, as SVG: the score, and beside it the difference to the first arm.
//!
//! Lines are means over seeds, bars their 95 % intervals. Numbers stand on a linear or, where they span more than a factor of ten,
//! logarithmic axis; words side by side, without a line between them.
//!
//! Takes [`Along`], a `tables/by_KEY.csv` of a study.

use std::path::Path;

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, CURVES, colour, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::panels::{Panel, PerRow, Span, counted_from_to, distinct, sheet};
use crate::error::Result;
use crate::tables::Table;
use crate::tables::columns::Columns;
use crate::tables::study::AlongRow;

/// Bars of neighbouring arms stand this far apart, pt.
const APART: f64 = 2.4;

/// For readers of the file.
const DESCRIPTION: &str = "Mean score of each arm, and its paired difference to the first arm, along one setting of a study, with \
                           95 % intervals.";

/// A value with its interval, where it has one.
type Estimate = (f64, Option<(f64, f64)>);

/// Scores along a setting.
#[derive(Clone, Debug)]
pub struct Along {
    /// What changes.
    key: String,
    /// Its values, as they are written, in order of appearance.
    values: Vec<String>,
    /// The same as numbers, where all are.
    numbers: Option<Vec<f64>>,
    arms: Vec<String>,
    panels: Vec<(String, String)>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    panel: usize,
    arm: usize,
    /// Index of its value.
    at: usize,
    seeds: usize,
    score: Estimate,
    difference: Option<Estimate>,
}

impl Along {
    /// Reads a `by_KEY.csv` of a study.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, a value that is no number, no row, or more arms than there are signs.
    pub fn read(path: &Path) -> Result<Along> {
        let table = Columns::read(path, AlongRow::FIX)?;
        let mut read = Along {
            key: table.header.get(3).unwrap_or_default().replace('_', " "),
            values: Vec::new(),
            numbers: None,
            arms: Vec::new(),
            panels: Vec::new(),
            rows: Vec::new(),
        };
        for (i, row) in table.rows.iter().enumerate() {
            let cell = |at: usize| row.get(at).unwrap_or_default();
            let mut numbers = [None; 6];
            for (number, at) in numbers.iter_mut().zip(5..) {
                *number = table.number(i, at)?;
            }
            let Some(score) = numbers[0] else { continue };
            let place = |of: &mut Vec<String>, name: &str| {
                of.iter().position(|own| own == name).unwrap_or_else(|| {
                    of.push(name.to_string());
                    of.len() - 1
                })
            };
            let panel = (cell(0).to_string(), cell(1).replace('_', " "));
            if !read.panels.contains(&panel) {
                read.panels.push(panel.clone());
            }
            read.rows.push(Row {
                panel: read.panels.iter().position(|own| *own == panel).unwrap_or(0),
                arm: place(&mut read.arms, cell(2)),
                at: place(&mut read.values, cell(3)),
                seeds: table.count(i, 4)?,
                score: (score, numbers[1].zip(numbers[2])),
                difference: numbers[3].map(|difference| (difference, numbers[4].zip(numbers[5]))),
            });
        }
        if read.rows.is_empty() {
            return Err(table.wrong("rows", "at least one with a score", "none"));
        }
        if read.arms.len() > CURVES {
            return Err(table.wrong("arm", format!("one of at most {CURVES}"), read.arms.len()));
        }
        let numbers: Option<Vec<f64>> =
            read.values.iter().map(|v| v.parse().ok().filter(|v| drawable(*v))).collect();
        read.numbers = numbers;
        Ok(read)
    }

    /// What the differences are to.
    fn first(&self) -> &str {
        let of = |panel: usize| self.rows.iter().find(|row| row.panel == panel).map(|row| row.arm);
        let alike = (0..self.panels.len()).all(|panel| of(panel) == of(0));
        if alike { &self.arms[of(0).unwrap_or(0)] } else { "the first arm of the panel" }
    }

    /// Where a value stands.
    fn x(&self, at: usize) -> f64 {
        self.numbers.as_ref().map_or(at as f64, |numbers| numbers[at])
    }

    /// The axis across: a tick at each value that was tried.
    fn across(&self) -> Option<Span> {
        let Some(numbers) = &self.numbers else { return Some(Span::Names(self.values.clone())) };
        let (low, high) = axis::range(numbers.iter().copied())?;
        Some(if low > 0.0 && high > 3.0 * low {
            Span::At(distinct(numbers.iter().copied()))
        } else {
            Span::Linear(low, high)
        })
    }

    /// The axis of what a panel shows.
    fn upright(&self, panel: usize, of: fn(&Row) -> Option<Estimate>, with: &[f64]) -> Option<Span> {
        let own = self.rows.iter().filter(|row| row.panel == panel).filter_map(of);
        let all = own.flat_map(|(v, ends)| [Some(v), ends.map(|e| e.0), ends.map(|e| e.1)]).flatten();
        let all: Vec<f64> = all.collect();
        if all.is_empty() {
            return None;
        }
        axis::range(all.into_iter().chain(with.iter().copied())).map(|(low, high)| Span::Linear(low, high))
    }

    fn draw(&self, canvas: &Canvas, plot: &Plot, panel: usize, of: fn(&Row) -> Option<Estimate>) {
        for (i, _) in self.arms.iter().enumerate() {
            let own = self.rows.iter().filter(|row| row.panel == panel && row.arm == i);
            let mut points: Vec<(f64, Estimate)> =
                own.filter_map(|row| Some((self.x(row.at), of(row)?))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let offset = APART * (i as f64 - (self.arms.len() - 1) as f64 / 2.0);
            let placed = |&(x, (y, _)): &(f64, Estimate)| {
                let (x, y) = plot.at(x, y);
                (x + offset, y)
            };
            if self.numbers.is_some() {
                solid(canvas, &points.iter().map(placed).collect::<Vec<Point>>(), colour(i));
            }
            for point in &points {
                let at = placed(point);
                if let Some((low, high)) = point.1.1 {
                    let ends = [low, high].map(|v| (at.0, plot.at(point.0, v).1));
                    curves::bar(canvas, ends, colour(i));
                }
                curves::marker(canvas, at, i);
            }
        }
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Along::read(path)?;
    Ok((along_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 170 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn along_figure(read: &Along, width_mm: Option<f64>) -> Result<String> {
    let score: fn(&Row) -> Option<Estimate> = |row| Some(row.score);
    let difference: fn(&Row) -> Option<Estimate> = |row| row.difference;
    let upright = format!("minus {}", read.first());
    let compared = read.rows.iter().any(|row| row.difference.is_some());
    let mut panels = Vec::new();
    for (i, (title, metric)) in read.panels.iter().enumerate() {
        let panel = |of: fn(&Row) -> Option<Estimate>, with: &'static [f64], words: &'static str| Panel {
            title: if title.is_empty() { metric.clone() } else { title.clone() },
            notes: if title.is_empty() { Vec::new() } else { vec![metric.clone()] },
            spans: read.across().zip(read.upright(i, of, with)),
            words: (&*read.key, words),
            draw: Box::new(move |canvas, plot| {
                with.iter().for_each(|level| curves::level(canvas, &plot.across(*level)));
                read.draw(canvas, plot, i, of);
            }),
        };
        panels.push(panel(score, &[], "score"));
        if compared {
            panels.push(Panel { words: (&read.key, &upright), ..panel(difference, &[0.0], "") });
        }
    }
    // A score beside its differences.
    let wide = if compared { 2 } else { 3 };
    sheet(&panels, PerRow { wide, narrow: 1 }, width_mm.unwrap_or(170.0), entries(read), DESCRIPTION)
}

fn entries(read: &Along) -> Vec<Entry<'static>> {
    let sign = if read.numbers.is_some() { Entry::curve } else { Entry::marker };
    let arm = |(i, arm): (usize, &String)| sign(i, arm.clone());
    let mut entries: Vec<Entry> = read.arms.iter().enumerate().map(arm).collect();
    if read.rows.iter().any(|row| row.score.1.is_some()) {
        entries.push(Entry::interval("95 % interval over seeds"));
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Along) -> String {
    let seeds = counted_from_to(read.rows.iter().map(|row| row.seeds), "seed");
    let mut out = format!(
        "Held-out score along {} ({}), all else equal: mean of {seeds} with its 95 % interval (Student’s t).",
        read.key,
        read.values.join(", ")
    );
    if read.rows.iter().any(|row| row.difference.is_some()) {
        out += &format!(" Beside it, the difference to {}, paired by seed.", read.first());
    }
    if read.numbers.is_some() {
        out += " Lines between the values that were tried are interpolated.";
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::files;

    fn read(key: &str, rows: &str) -> Result<Along> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("by_key.csv");
        files::write(&path, format!("{HEAD}{key}{TAIL}\n{rows}").as_bytes())?;
        assert_eq!(crate::figures::tests::named(&files::read_text(&path)?), Some("by_KEY"));
        Along::read(&path)
    }

    const HEAD: &str = "panel,metric,arm,";
    const TAIL: &str = ",seeds,score,score_low,score_high,difference,difference_low,difference_high";

    /// Two arms at some values, in a panel.
    fn rows(panel: &str, values: &[&str]) -> String {
        let each = |(i, value): (usize, &&str)| {
            let v = 0.5 + 0.1 * i as f64;
            format!("{panel},accuracy,matched uniform,{value},5,{v},{},{},,,\n", v - 0.05, v + 0.05)
                + &format!("{panel},accuracy,guided,{value},5,{},,,0.01,-0.02,0.04\n", v + 0.01)
        };
        values.iter().enumerate().map(each).collect()
    }

    /// Oracle: on paper. Rates of 1e-5, 1e-4 and 1e-3 stand evenly, on a line; 1, 2 and 3 epochs as far apart as they are; words
    /// side by side without a line.
    #[test]
    fn values_stand_at_their_place() {
        for (key, values, middle, lines) in [
            ("lr", ["1e-5", "1e-4", "1e-3"], 0.5, true),
            ("epochs", ["1", "1.2", "2"], 0.2, true),
            ("shape", ["linear", "cosine", "power:2"], 0.5, false),
        ] {
            let table = read(key, &rows("", &values)).unwrap();
            let svg = along_figure(&table, None).unwrap();
            let texts = assert_sound(&svg);
            assert!(lines || texts.iter().any(|(text, _)| text == values[2]), "{key}");
            // Circles of the first arm: three scores, and the key.
            let x: Vec<f64> =
                svg.lines().filter(|l| l.starts_with("<circle")).map(|l| attribute(l, "cx")).collect();
            assert_eq!(x.len(), 4, "{key}");
            let part = (x[1] - x[0]) / (x[2] - x[0]);
            assert!((part - middle).abs() < 0.01, "{key}: {part}");
            assert_eq!(
                svg.contains("stroke-width=\"1.1\"") || svg.contains("stroke-linejoin"),
                lines,
                "{key}"
            );
        }
    }

    #[test]
    fn texts_keep_apart() {
        let long = ["a shape with a long name", "another one of the kind", "power:2"];
        for (panels, values) in
            [(1, &["1", "2"][..]), (3, &["2e-5", "5e-5", "1e-4", "3e-4", "1e-3"]), (2, &long)]
        {
            let rows: String = (0..panels)
                .map(|i| {
                    rows(&format!("task {i} under settings that take more room than a panel has"), values)
                })
                .collect();
            let table = read("lr", &rows).unwrap();
            for width in [84.0, 170.0] {
                let svg = along_figure(&table, Some(width)).unwrap();
                assert_sound(&svg);
                assert_eq!(svg, along_figure(&table, Some(width)).unwrap());
            }
            assert!(caption(&table).contains("5 seeds") && caption(&table).lines().count() == 1);
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            ("", "`rows`"),
            ("p,accuracy,a,1,5,x,,,,,\n", "`score`"),
            ("p,accuracy,a,1,x,0.5,,,,,\n", "`seeds`"),
            ("p,accuracy\n", "`row`"),
        ] {
            let message = read("lr", rows).unwrap_err().to_string();
            assert!(message.contains("by_key.csv: ") && message.contains(field), "{message}");
        }
    }
}
