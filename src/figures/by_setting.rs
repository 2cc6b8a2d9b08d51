//! Scores of arms along one setting of a study, all else equal, as SVG: the score, and beside it the difference to the first arm.
//!
//! Lines are means over seeds, bars their 95 % intervals, cut where a score ends; of fewer than `SEEDS` seeds there are the seeds
//! themselves instead, where `runs.csv` is there. Panels of one metric share their axes. Numbers stand on a linear or, where they span more than a factor of ten,
//! logarithmic axis; words side by side, without a line between them.
//!
//! Takes [`Along`], a `tables/by_KEY.csv` of a study, and `runs.csv` beside it.

use std::path::Path;

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, CURVES, Look};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::panels::{Panel, PerRow, Span, counted_from_to, distinct, sheet};
use crate::error::Result;
use crate::figures::summary::SEEDS;
use crate::stats::mean;
use crate::tables::Table;
use crate::tables::columns::Columns;
use crate::tables::study::{AlongRow, RunRow};

/// Bars of neighbouring arms stand this far apart, pt.
const APART: f64 = 2.4;

/// For readers of the file.
const DESCRIPTION: &str = "Mean score of each arm, and its paired difference to the first arm, along one setting of a study, with \
                           95 % intervals.";

/// A value with its interval, where it has one.
type Estimate = (f64, Option<(f64, f64)>);
/// What is drawn of a row.
type Of = fn(&Row) -> Option<Estimate>;

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
    /// The seeds' scores, where they are few and known.
    single: Vec<f64>,
}

/// The scores of the seeds of an arm in one cell of a study.
struct Group {
    /// All that distinguishes it.
    name: Vec<String>,
    scores: Vec<f64>,
}

/// The groups of `runs.csv`; none where there is no such file.
fn groups(path: &Path) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    if !path.is_file() {
        return Ok(groups);
    }
    let table = Columns::read(path, RunRow::FIX)?;
    let (seed, score) = (table.column("seed")?, table.column("score")?);
    for (i, row) in table.rows.iter().enumerate() {
        // The settings and the arm stand before the seed, the metric behind it.
        let name: Vec<String> = row.iter().take(seed).chain(row.get(seed + 1)).map(str::to_owned).collect();
        let Some(value) = table.number(i, score)? else { continue };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.scores.push(value),
            None => groups.push(Group { name, scores: vec![value] }),
        }
    }
    Ok(groups)
}

/// The seeds whose mean a row is: of the groups with its words the one that has it.
fn seeds_of(groups: &[Group], words: [&str; 3], (score, seeds): (f64, usize)) -> Vec<f64> {
    let own = |group: &&Group| {
        let named = words.iter().all(|word| group.name.iter().any(|own| own == word));
        named && group.scores.len() == seeds && (mean(&group.scores) - score).abs() < 1e-9
    };
    groups.iter().find(own).map_or(Vec::new(), |group| group.scores.clone())
}

/// What a score can be.
fn possible(metric: &str) -> (f64, f64) {
    match metric {
        "accuracy" | "f1" | "exact match" => (0.0, 1.0),
        "matthews" | "pearson" | "spearman" => (-1.0, 1.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

impl Along {
    /// Reads a `by_KEY.csv` of a study.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, a value that is no number, no row, or more arms than there are signs.
    pub fn read(path: &Path) -> Result<Along> {
        let table = Columns::read(path, AlongRow::FIX)?;
        let groups = groups(&path.with_file_name(RunRow::FILE))?;
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
            let seeds = table.count(i, 4)?;
            let (low, high) = possible(&panel.1);
            let enough = |ends: Option<(f64, f64)>| ends.filter(|_| seeds >= SEEDS);
            let within = |(from, to): (f64, f64)| (from.max(low), to.min(high));
            let single = if seeds < SEEDS {
                seeds_of(&groups, [cell(1), cell(2), cell(3)], (score, seeds))
            } else {
                Vec::new()
            };
            if !read.panels.contains(&panel) {
                read.panels.push(panel.clone());
            }
            read.rows.push(Row {
                panel: read.panels.iter().position(|own| *own == panel).unwrap_or(0),
                arm: place(&mut read.arms, cell(2)),
                at: place(&mut read.values, cell(3)),
                seeds,
                score: (score, enough(numbers[1].zip(numbers[2])).map(within)),
                difference: numbers[3].map(|difference| (difference, enough(numbers[4].zip(numbers[5])))),
                single,
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
        let values = distinct(numbers.iter().copied());
        Some(if low > 0.0 && high > 3.0 * low { Span::At(values) } else { Span::LinearAt(values) })
    }

    /// The axis of what a panel shows.
    fn upright(&self, panel: usize, of: Of, with: &[f64]) -> Option<Span> {
        // Panels of one metric share their scale.
        let metric = |row: &&Row| self.panels[row.panel].1 == self.panels[panel].1;
        let own = self.rows.iter().filter(metric).filter_map(|row| Some((of(row)?, row)));
        let values = |((v, ends), row): (Estimate, &Row)| {
            let ends = [Some(v), ends.map(|e| e.0), ends.map(|e| e.1)].into_iter().flatten();
            ends.chain(if with.is_empty() { row.single.clone() } else { Vec::new() }).collect::<Vec<f64>>()
        };
        let all: Vec<f64> = own.flat_map(values).collect();
        if all.is_empty() {
            return None;
        }
        axis::range(all.into_iter().chain(with.iter().copied())).map(|(low, high)| Span::Linear(low, high))
    }

    /// `scores`: whether it is these, whose seeds are known.
    fn draw(&self, canvas: &Canvas, plot: &Plot, panel: usize, (of, scores): (Of, bool)) {
        // Those that have something here stand side by side.
        let there =
            |i: &usize| self.rows.iter().any(|row| row.panel == panel && row.arm == *i && of(row).is_some());
        let present: Vec<usize> = (0..self.arms.len()).filter(there).collect();
        for (place, &i) in present.iter().enumerate() {
            let own = self.rows.iter().filter(|row| row.panel == panel && row.arm == i);
            let mut points: Vec<(f64, Estimate)> =
                own.filter_map(|row| Some((self.x(row.at), of(row)?))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let look = Look::of_arm(i, self.arms.len());
            let offset = APART * (place as f64 - (present.len() - 1) as f64 / 2.0);
            let placed = |&(x, (y, _)): &(f64, Estimate)| {
                let (x, y) = plot.at(x, y);
                (x + offset, y)
            };
            if self.numbers.is_some() {
                look.line(canvas, &points.iter().map(placed).collect::<Vec<Point>>());
            }
            let own = self.rows.iter().filter(|row| row.panel == panel && row.arm == i && scores);
            let seeds = own.flat_map(|row| row.single.iter().map(|v| placed(&(self.x(row.at), (*v, None)))));
            curves::seeds(canvas, &seeds.collect::<Vec<Point>>(), look.colour);
            for point in &points {
                let at = placed(point);
                if let Some((low, high)) = point.1.1 {
                    let ends = [low, high].map(|v| (at.0, plot.at(point.0, v).1));
                    curves::bar(canvas, ends, look.colour);
                }
                look.marker(canvas, at);
            }
        }
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Along::read(path)?;
    Ok((along_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn along_figure(read: &Along, width_mm: Option<f64>) -> Result<String> {
    let score: Of = |row| Some(row.score);
    let difference: Of = |row| row.difference;
    let upright = format!("minus {}", read.first());
    let compared = read.rows.iter().any(|row| row.difference.is_some());
    let mut panels = Vec::new();
    for (i, (title, metric)) in read.panels.iter().enumerate() {
        let panel = |of: Of, with: &'static [f64], words: &'static str| Panel {
            title: if title.is_empty() { metric.clone() } else { title.clone() },
            notes: if title.is_empty() { Vec::new() } else { vec![metric.clone()] },
            spans: read.across().zip(read.upright(i, of, with)),
            words: (&*read.key, words),
            draw: Box::new(move |canvas, plot| {
                with.iter().for_each(|level| curves::level(canvas, &plot.across(*level)));
                read.draw(canvas, plot, i, (of, with.is_empty()));
            }),
        };
        panels.push(panel(score, &[], "score"));
        if compared {
            panels.push(Panel { words: (&read.key, &upright), ..panel(difference, &[0.0], "") });
        }
    }
    // A score beside its differences.
    let wide = if compared { 2 } else { 3 };
    sheet(&panels, PerRow { wide, narrow: 1 }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

fn entries(read: &Along) -> Vec<Entry<'static>> {
    let sign = if read.numbers.is_some() { Entry::line_of } else { Entry::sign_of };
    let arm = |(i, arm): (usize, &String)| sign(Look::of_arm(i, read.arms.len()), arm.clone());
    let mut entries: Vec<Entry> = read.arms.iter().enumerate().map(arm).collect();
    if read.rows.iter().any(|row| row.score.1.is_some()) {
        entries.push(Entry::interval("95 % interval over seeds"));
    }
    let few = || read.rows.iter().filter(|row| row.seeds < SEEDS);
    if few().any(|row| !row.single.is_empty()) {
        entries.push(Entry::seeds("a seed"));
    }
    if few().next().is_some() {
        entries.push(Entry::note("no interval of fewer than 4 seeds"));
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Along) -> String {
    let seeds = counted_from_to(read.rows.iter().map(|row| row.seeds), "seed");
    let mut out = format!(
        "Held-out score along {} ({}), all else equal: mean of {seeds}{}.",
        read.key,
        read.values.join(", "),
        if read.rows.iter().any(|row| row.score.1.is_some()) {
            " with its 95 % interval (Student’s t), cut where a score ends"
        } else {
            "; too few for an interval"
        }
    );
    if read.rows.iter().any(|row| row.difference.is_some()) {
        out += &format!(" Next to it, the difference to {}, paired by seed.", read.first());
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

    /// Oracle: on paper. Two seeds have no interval but two dots, which are those of `runs.csv`, found by their mean among other
    /// cells; five have one, cut at 1. Catches t intervals of two seeds, which reach from 0.2 to beyond what can be.
    #[test]
    fn few_seeds_are_dots_and_intervals_end_where_scores_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("by_lr.csv");
        let row = |lr: &str, seeds: usize, low: f64, high: f64| {
            format!("rte,accuracy,guided,{lr},{seeds},0.75,{low},{high},,,\n")
        };
        let table = format!("{HEAD}lr{TAIL}\n{}{}", row("1e-3", 2, 0.1, 1.4), row("2e-3", 5, 0.4, 1.1));
        files::write(&path, table.as_bytes()).unwrap();
        let bare = along_figure(&Along::read(&path).unwrap(), None).unwrap();
        assert!(bare.contains("no interval of fewer than 4 seeds") && !bare.contains(">a seed<"));
        let runs = "task,lr,arm,seed,metric,score,loss,collapsed\nrte,1e-3,guided,0,accuracy,0.5,1,0\n\
                    rte,1e-3,guided,1,accuracy,1,1,0\ncola,1e-3,guided,0,accuracy,0.2,1,0\n\
                    cola,1e-3,guided,1,accuracy,0.4,1,0\nrte,1e-3,none,0,accuracy,0.75,1,0\n";
        files::write(&folder.path().join("runs.csv"), runs.as_bytes()).unwrap();
        let read = Along::read(&path).unwrap();
        assert_eq!((read.rows[0].score.1, &read.rows[0].single[..]), (None, &[0.5, 1.0][..]));
        assert_eq!((read.rows[1].score.1, read.rows[1].single.len()), (Some((0.4, 1.0)), 0));
        let svg = along_figure(&read, None).unwrap();
        assert_sound(&svg);
        assert!(svg.contains(">a seed<") && svg.contains(">95 % interval over seeds<"));
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
