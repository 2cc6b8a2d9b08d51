//! Differences between arms in every cell of a study, as SVG: a panel for each cell, a row for each arm, the interval as a bar. Where
//! one arm alone is compared, on one metric, cells are rows of one panel.
//!
//! Cells of a study along many settings are named by those that are not the usual ones; the caption has these.
//!
//! The dotted line is no difference. A full sign is a difference that the permutation test shows after correction for all
//! comparisons of the study; the bars are 95 % intervals of single ones, and with many of them some miss 0 by chance.
//!
//! The trap: panels of different metrics have scales of their own; those of one metric share theirs, so that they compare.
//!
//! Takes [`Forest`], the `tables/study.csv` of a study.

use std::collections::BTreeMap;
use std::path::Path;

use crate::draw::axis;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, GREY, Look, thick_bar};
use crate::draw::legend::{Entry, stretch};
use crate::draw::panels::{Panel, PerRow, Span, counted, counted_from_to, sheet};
use crate::error::Result;
use crate::figures::summary::SEEDS;
use crate::stats::paired::LEVEL;
use crate::tables::Table;
use crate::tables::columns::Columns;
use crate::tables::study::{RunRow, StudyRow};

/// Names of more settings than these have no room.
pub(crate) const SETTINGS: usize = 3;
/// For readers of the file.
const DESCRIPTION: &str = "Difference of each arm's mean score to the first arm's in every cell of a study, paired by seed, \
                           with its 95 % interval.";

/// The differences of a study.
#[derive(Clone, Debug)]
pub struct Forest {
    cells: Vec<Cell>,
    /// How many conditions these are.
    conditions: usize,
    /// The settings that cells have unless their name says otherwise; empty if names say all.
    usual: String,
}

#[derive(Clone, Debug)]
struct Cell {
    /// Settings: key and value.
    keys: Vec<(String, String)>,
    title: String,
    metric: String,
    /// The arm that the differences are to.
    first: String,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    /// As it stands at the axis: the arm, or the cell.
    name: String,
    /// Which of all arms it is.
    sign: usize,
    seeds: usize,
    difference: f64,
    ends: Option<(f64, f64)>,
    shown: bool,
    /// The differences of its seeds, where they are too few for an interval.
    single: Vec<f64>,
}

/// The scores of `runs.csv`, by all that stands before them: settings, arm and seed.
type Runs = BTreeMap<Vec<String>, f64>;

/// None where there is no such file.
fn runs(path: &Path) -> Result<Runs> {
    if !path.is_file() {
        return Ok(Runs::new());
    }
    let table = Columns::read(path, RunRow::FIX)?;
    let (seed, score) = (table.column("seed")?, table.column("score")?);
    let run = |(i, row): (usize, &csv::StringRecord)| {
        let name = row.iter().take(seed + 1).map(str::to_owned).collect();
        table.number(i, score).map(|value| value.map(|value| (name, value)))
    };
    table.rows.iter().enumerate().filter_map(|own| run(own).transpose()).collect()
}

/// Differences of two arms of a cell, seed by seed.
fn of_seeds(runs: &Runs, keys: &[(String, String)], [arm, first]: [&str; 2]) -> Vec<f64> {
    let named =
        |arm: &str| keys.iter().map(|(_, value)| value.clone()).chain([arm.to_owned()]).collect::<Vec<_>>();
    let (own, theirs) = (named(arm), named(first));
    let pair = |(name, score): (&Vec<String>, &f64)| {
        let (seed, cell) = name.split_last()?;
        let partner = [theirs.as_slice(), std::slice::from_ref(seed)].concat();
        (cell == own).then(|| runs.get(&partner).map(|other| score - other))?
    };
    runs.iter().filter_map(pair).collect()
}

impl Forest {
    /// Reads the `study.csv` of a study.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, a value that is no number, or a table without a difference.
    pub fn read(path: &Path) -> Result<Forest> {
        let table = Columns::read(path, StudyRow::FIX)?;
        let runs = runs(&path.with_file_name(RunRow::FILE))?;
        let (arm, seeds, metric) = (table.column("arm")?, table.column("seeds")?, table.column("metric")?);
        let mut places = [0; 4];
        let numbers = ["difference", "difference_low", "difference_high", "p_corrected"];
        for (place, name) in places.iter_mut().zip(numbers) {
            *place = table.column(name)?;
        }
        let mut read = Forest { cells: Vec::new(), conditions: 0, usual: String::new() };
        let mut arms: Vec<&str> = Vec::new();
        for (i, row) in table.rows.iter().enumerate() {
            let cell = |at: usize| row.get(at).unwrap_or_default();
            let mut values = [None; 4];
            for (value, at) in values.iter_mut().zip(places) {
                *value = table.number(i, at)?;
            }
            let keys = table.header.iter().zip(row).take(arm);
            let keys: Vec<_> = keys.map(|(key, value)| (key.to_string(), value.to_string())).collect();
            if read.cells.last().is_none_or(|last| last.keys != keys) {
                let (metric, first) = (cell(metric).replace('_', " "), cell(arm).to_string());
                let title = described(&keys);
                read.cells.push(Cell { keys, title, metric, first, rows: Vec::new() });
            }
            let (Some(difference), Some(own)) = (values[0], read.cells.last_mut()) else { continue };
            let sign = arms.iter().position(|known| *known == cell(arm)).unwrap_or_else(|| {
                arms.push(cell(arm));
                arms.len() - 1
            });
            // The first arm has no difference, but the first place.
            let sign = sign + 1;
            let count = table.count(i, seeds)?;
            let pair = [cell(arm), own.first.as_str()];
            let single = if count < SEEDS { of_seeds(&runs, &own.keys, pair) } else { Vec::new() };
            own.rows.push(Row {
                name: cell(arm).to_string(),
                sign,
                seeds: count,
                difference,
                ends: values[1].zip(values[2]).filter(|_| count >= SEEDS),
                shown: values[3].is_some_and(|p| p < LEVEL),
                single,
            });
        }
        read.cells.retain(|cell| !cell.rows.is_empty());
        if read.cells.is_empty() {
            return Err(table.wrong("difference", "given in at least one row", "none"));
        }
        read.conditions = read.cells.len();
        read.shorten();
        Ok(read.merged())
    }

    /// Names cells by what is unusual about them, where all of it has no room.
    fn shorten(&mut self) {
        if self.cells[0].keys.len() <= SETTINGS {
            return;
        }
        let keys = self.cells[0].keys.len();
        let count =
            |i: usize, key: &(String, String)| self.cells.iter().filter(|cell| cell.keys[i] == *key).count();
        // Of settings that are as frequent the one that stands first.
        let most =
            |i: usize| self.cells.iter().rev().map(|cell| &cell.keys[i]).max_by_key(|key| count(i, key));
        let usual: Vec<(String, String)> = (0..keys).filter_map(most).cloned().collect();
        self.usual = described(&usual);
        for cell in &mut self.cells {
            let own: Vec<_> = cell.keys.iter().filter(|key| !usual.contains(key)).cloned().collect();
            cell.title = if own.is_empty() { "usual settings".into() } else { described(&own) };
        }
    }

    /// With cells as rows, where one arm alone is compared.
    fn merged(self) -> Forest {
        let (metric, arm) = (self.cells[0].metric.clone(), self.cells[0].rows[0].name.clone());
        let alone = |cell: &Cell| cell.metric == metric && cell.rows.len() == 1 && cell.rows[0].name == arm;
        if self.cells.len() == 1 || !self.cells.iter().all(alone) {
            return self;
        }
        let first = self.first().to_string();
        let row = |cell: Cell| cell.rows.into_iter().map(move |row| Row { name: cell.title.clone(), ..row });
        let rows = self.cells.into_iter().flat_map(row).collect();
        let title = format!("{arm} minus {first}");
        Forest { cells: vec![Cell { keys: Vec::new(), title, metric, first, rows }], ..self }
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
            [row.difference, low, high].into_iter().chain(row.single.clone())
        };
        axis::range(rows.flat_map(ends).chain([0.0])).map(|(low, high)| Span::Linear(low, high))
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Forest::read(path)?;
    Ok((forest_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn forest_figure(read: &Forest, width_mm: Option<f64>) -> Result<String> {
    let across = format!("difference to {}", read.first());
    let panel = |cell: &'_ Cell| -> Panel<'_> {
        let names = cell.rows.iter().rev().map(|row| row.name.clone()).collect();
        let rows: Vec<Row> = cell.rows.iter().rev().cloned().collect();
        Panel {
            title: if cell.title.is_empty() { cell.metric.clone() } else { cell.title.clone() },
            notes: if cell.title.is_empty() { Vec::new() } else { vec![cell.metric.clone()] },
            spans: read.span(&cell.metric).map(|x| (x, Span::Names(names))),
            words: ("", ""),
            draw: Box::new(move |canvas, plot| {
                curves::level(canvas, &plot.upright(0.0));
                for (y, row) in rows.iter().enumerate() {
                    let look = Look::of_arm(row.sign, row.sign + 1);
                    if let Some((low, high)) = row.ends {
                        thick_bar(canvas, [plot.at(low, y as f64), plot.at(high, y as f64)], look.colour);
                    }
                    let seeds = row.single.iter().map(|v| plot.at(*v, y as f64));
                    curves::seeds(canvas, &seeds.collect::<Vec<Point>>(), look.colour);
                    look.marker_open(canvas, plot.at(row.difference, y as f64), !row.shown);
                }
            }),
        }
    };
    let mut panels: Vec<Panel> = read.cells.iter().map(panel).collect();
    panels.iter_mut().for_each(|panel| panel.words.0 = &across);
    let wide = match panels.len() {
        1 => 1,
        2..=4 => 2,
        _ => 3,
    };
    sheet(&panels, PerRow { wide, narrow: 1 }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

/// Settings as people read them.
fn described(keys: &[(String, String)]) -> String {
    let key = |(name, value): &(String, String)| match name.as_str() {
        "task" => value.clone(),
        name => format!("{} {value}", name.replace('_', " ")),
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn entries(read: &Forest) -> Vec<Entry<'static>> {
    let rows = || read.cells.iter().flat_map(|cell| &cell.rows);
    let mut entries = Vec::new();
    if rows().any(|row| row.ends.is_some()) {
        let sign = |canvas: &Canvas, at: Point| thick_bar(canvas, stretch(at), GREY);
        entries.push(Entry::new(sign, "95 % interval, paired by seed, of this difference only"));
    }
    if rows().any(|row| !row.single.is_empty()) {
        entries.push(Entry::seeds("a seed"));
    }
    if rows().any(|row| row.seeds < SEEDS) {
        entries.push(Entry::note("no interval of fewer than 4 seeds"));
    }
    for (shown, words) in [(true, "p < 0.05 (Holm)"), (false, "p ≥ 0.05 (Holm)")] {
        if rows().any(|row| row.shown == shown) {
            let sign = move |canvas: &Canvas, at: Point| curves::marker_of(canvas, at, 0, GREY, !shown);
            entries.push(Entry::new(sign, words));
        }
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Forest) -> String {
    let rows = || read.cells.iter().flat_map(|cell| &cell.rows);
    let seeds = counted_from_to(rows().map(|row| row.seeds), "seed");
    let intervals = match rows().any(|row| row.ends.is_some()) {
        true => " with 95 % intervals (Student’s t), which are not corrected for their number",
        false => "; too few for intervals",
    };
    let usual = match read.usual.as_str() {
        "" => String::new(),
        usual => format!(" Usual settings: {usual}."),
    };
    format!(
        "Difference of each arm to {} in {}, means of paired runs ({seeds}){intervals}. Full signs: p below 0.05 by exchanging the signs of the paired differences, corrected for \
         all {} comparisons by Holm. Panels of one metric share their scale.{usual}\n",
        read.first(),
        counted(read.conditions, "cell"),
        rows().count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::files;

    const HEADER: &str = "task,lr,arm,seeds,failed,collapsed,metric,score,score_sd,difference,difference_low,difference_high,\
                          p,p_corrected,held_out_examples\n";

    fn read(rows: &str) -> Result<Forest> {
        read_text(&format!("{HEADER}{rows}"))
    }

    fn read_text(text: &str) -> Result<Forest> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.csv");
        files::write(&path, text.as_bytes())?;
        assert_eq!(crate::figures::tests::named(text), Some("differences"));
        Forest::read(&path)
    }

    /// Signs of the second arm.
    fn squares(svg: &str) -> Vec<&str> {
        svg.lines().filter(|line| line.starts_with("<rect") && line.contains("#d55e00")).collect()
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
        // Guided arms have squares in the colour of a second arm.
        let squares = squares(&svg);
        assert_eq!(squares.len(), 2);
        assert!(!squares.iter().any(|square| square.contains("fill=\"#fff\"")));
        let frames: Vec<&str> = svg
            .lines()
            .filter(|l| l.starts_with("<rect") && l.contains("fill=\"none\" stroke=\"#000\""))
            .collect();
        let within = |i: usize| attribute(squares[i], "x") - attribute(frames[i], "x");
        // A tenth of the axis from -0.4 to 0.2 is a sixth of its length, which ends a little within the frame.
        let width = attribute(frames[0], "width") - 2.0 * axis::INSET.0;
        assert!(
            ((within(1) - within(0)) / width - 1.0 / 6.0).abs() < 0.01,
            "{} {width}",
            within(1) - within(0)
        );
        let middle = attribute(frames[0], "y") + attribute(frames[0], "height") / 2.0;
        assert!(attribute(squares[0], "y") < middle);
    }

    /// Oracle: by hand. Of four settings two are changed, one at a time; with one arm the cells are rows of one panel, in order from
    /// the top.
    #[test]
    fn cells_along_many_settings_are_named_by_what_is_unusual() {
        let cell = |(settings, d): (&str, f64)| {
            let row = |arm: &str, d: String| format!("{settings},{arm},3,0,0,accuracy,0.6,0.1,{d},,,,,553\n");
            row("uniform 0.1", String::new()) + &row("guided", d.to_string())
        };
        let cells = [("0.1,linear,1e-3,32", 0.1), ("0.3,linear,1e-3,32", -0.1), ("0.1,linear,1e-3,8", 0.2)];
        let rows: String = cells.into_iter().map(cell).collect();
        let header = HEADER.replace("task,lr", "p_upper,shape,lr,batch");
        let table = read_text(&format!("{header}{rows}")).unwrap();
        let svg = forest_figure(&table, None).unwrap();
        let texts = assert_sound(&svg);
        for name in ["guided minus uniform 0.1", "usual settings", "p upper 0.3", "batch 8"] {
            assert_eq!(texts.iter().filter(|(text, _)| text == name).count(), 1, "{name}");
        }
        let squares = squares(&svg);
        let at = |name: &str| squares[..3].iter().map(|square| attribute(square, name)).collect::<Vec<f64>>();
        let (x, y) = (at("x"), at("y"));
        // Drawn from the foot: batch 8, p upper 0.3, the usual ones.
        assert!(y[0] > y[1] && y[1] > y[2] && x[0] > x[2] && x[2] > x[1], "{x:?} {y:?}");
        let said = caption(&table);
        assert!(
            said.contains("3 cells")
                && said.contains("Usual settings: p upper 0.1, shape linear, lr 1e-3, batch 32.")
        );
    }

    /// Oracle: on paper. Three seeds have no interval but their three differences, each to the first arm's run of the same seed in the
    /// same cell; a seed without a partner has none.
    #[test]
    fn few_seeds_are_dots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.csv");
        let row = |arm: &str, judged: &str| format!("rte,1e-3,{arm},3,0,0,accuracy,0.6,0.1,{judged},553\n");
        let rows = row("uniform", ",,,,") + &row("guided", "0.1,-0.5,0.7,0.4,0.4");
        files::write(&path, format!("{HEADER}{rows}").as_bytes()).unwrap();
        let mut runs = "task,lr,arm,seed,metric,score,loss,collapsed\n".to_owned();
        for (arm, seed, score) in
            [("uniform", 0, 0.5), ("uniform", 1, 0.25), ("guided", 1, 0.5), ("guided", 0, 0.375)]
        {
            runs += &format!("rte,1e-3,{arm},{seed},accuracy,{score},1,0\n");
        }
        runs += "rte,1e-3,guided,2,accuracy,0.9,1,0\nrte,1e-2,uniform,2,accuracy,0.1,1,0\n";
        files::write(&folder.path().join("runs.csv"), runs.as_bytes()).unwrap();
        let table = Forest::read(&path).unwrap();
        assert_eq!(
            (&table.cells[0].rows[0].single[..], table.cells[0].rows[0].ends),
            (&[-0.125, 0.25][..], None)
        );
        let svg = forest_figure(&table, None).unwrap();
        assert_sound(&svg);
        assert!(svg.contains(">a seed<") && !svg.contains(">95 % interval"));
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
