//! The tables, figures and page of a study.
//!
//! `study.csv` has a row for each cell and arm; `scores.csv` and `differences.csv` are the same laid out as in papers, tasks
//! side by side; `runs.csv` has a row for each run; `by_KEY.csv` shows how scores change along one axis, all else equal.
//! The permutation tests are corrected for all comparisons of the study together (Holm), the intervals for none.

use std::collections::BTreeMap;
use std::path::Path;

use super::cell_path;
use crate::analysis::grid::{Cell, described, short};
use crate::analysis::{Loaded, Study};
use crate::error::{Error, Result};
use crate::files;
use crate::pipeline::findings::{self, Training};
use crate::pipeline::plan::{self, Failed};
use crate::pipeline::step::Step;
use crate::pipeline::{stage, story};
use crate::report::page::{Figure, Page, StepRow, Table};
use crate::report::provenance::command_line;
use crate::stats::{self, paired};

/// Axes whose values stand side by side in the tables of papers.
const SIDE_BY_SIDE: [&str; 2] = ["data.task", "data.table"];
/// The figure of all differences.
const FOREST: &str = "differences";

/// An arm in a cell.
struct Row<'a> {
    cell: &'a Cell,
    training: Training,
}

/// A column of a wide table, by the ending of its name.
type Column = (&'static str, Option<f64>);

struct Summary<'a> {
    study: &'a Study,
    rows: Vec<Row<'a>>,
}

/// Writes tables, figures and page of the cells that are done.
pub(super) fn write(
    loaded: &Loaded,
    study: &Study,
    done: &[(&Cell, Failed)],
    failed: &BTreeMap<String, String>,
    (folder, command): (&Path, &str),
) -> Result<Page> {
    let mut summary = Summary { study, rows: Vec::new() };
    for (cell, failed) in done {
        let analysis = &cell.loaded.analysis;
        let models = plan::models(analysis, failed);
        let found = findings::training(&folder.join(cell_path(cell)), &models, analysis.seed)?;
        summary.rows.extend(found.into_iter().map(|training| Row { cell, training }));
    }
    let p: Vec<f64> = summary.rows.iter().map(|row| row.training.p.unwrap_or(f64::NAN)).collect();
    for (row, corrected) in summary.rows.iter_mut().zip(paired::holm(&p)) {
        row.training.p_corrected = Some(corrected).filter(|p| p.is_finite());
    }
    let mut page = story::begun(loaded, command);
    page.excluded = failed.iter().map(|(what, cause)| format!("{what} failed: {cause}")).collect();
    if summary.rows.is_empty() {
        page.answers.push("No training was done: there is nothing to compare.".into());
        story::write_tables(&page, folder)?;
        story::write_page(&page, folder)?;
        return Ok(page);
    }
    summary.answers(&mut page, failed.len());
    let (scores, differences) = (summary.wide(Training::score), summary.wide(Training::interval));
    let first = summary.first();
    let caption = "Held-out scores: mean over seeds ± their standard deviation".to_string();
    page.tables.push(Table::of_csv("scores.csv", caption, csv_text(&scores)?)?);
    let caption = format!(
        "Differences to {first}, paired by seed, with 95 % intervals, not corrected for their number"
    );
    page.tables.push(Table::of_csv("differences.csv", caption, csv_text(&differences)?)?);
    let caption = format!(
        "Every arm of every cell; p by exchanging the signs of the paired differences to {first}, corrected for all {} \
         comparisons by Holm",
        p.iter().filter(|p| !p.is_nan()).count()
    );
    page.tables.push(Table::of_csv("study.csv", caption, csv_text(&summary.long())?)?);
    let along: Vec<(&String, Vec<Vec<String>>)> =
        study.axes.iter().enumerate().filter_map(|(i, key)| Some((key, summary.along(i)?))).collect();
    for (key, rows) in &along {
        let caption =
            format!("Scores along {}, all else equal: means over seeds with 95 % intervals", short(key));
        page.tables.push(Table::of_csv(&format!("by_{}.csv", short(key)), caption, csv_text(rows)?)?);
    }
    story::write_tables(&page, folder)?;
    files::write(&folder.join("tables/runs.csv"), csv_text(&summary.runs())?.as_bytes())?;
    // The figures are of the tables.
    if p.iter().any(|p| !p.is_nan()) {
        draw(&mut page, folder, FOREST, "study.csv")?;
    }
    for (key, _) in &along {
        let file = format!("by_{}", short(key));
        draw(&mut page, folder, &file, &format!("{file}.csv"))?;
    }
    for (cell, _) in done {
        let path = cell_path(cell);
        page.links.push((format!("{path}/report.html"), described(&study.axes, &cell.values)));
    }
    story::write_page(&page, folder)?;
    Ok(page)
}

/// Draws a table of the study, and puts the figure on the page.
fn draw(page: &mut Page, folder: &Path, name: &str, table: &str) -> Result<()> {
    let step =
        ["svg", "pdf", "png"].iter().fold(Step::new(format!("figure of {table}"), "render"), |step, end| {
            step.writes("--out", format!("figures/{name}.{end}"))
        });
    let step = step.file(format!("tables/{table}"));
    let line = command_line(step.words(folder));
    let (outcome, _) = crate::progress::listen(|| stage(&step, folder).and_then(|stage| stage.run(&line)));
    outcome?;
    let svg = files::read_text(&folder.join(format!("figures/{name}.svg")))?;
    let caption = page.tables.iter().find(|own| own.file == table).map_or("", |own| own.caption.as_str());
    page.figures.push(Figure::new(format!("figures/{name}"), svg, format!("{caption}.")));
    page.steps.push(StepRow { name: step.name.clone(), command: line, seconds: 0.0, outputs: Vec::new() });
    Ok(())
}

impl Training {
    /// Cells of the table of scores: mean, spread.
    fn score(&self) -> Vec<Column> {
        vec![("", Some(self.mean)), ("_sd", self.sd)]
    }

    /// Cells of the table of differences.
    fn interval(&self) -> Vec<Column> {
        vec![("", self.difference), ("_low", self.low), ("_high", self.high)]
    }
}

impl Summary<'_> {
    fn answers(&self, page: &mut Page, failed: usize) {
        let compared: Vec<&Row> = self.rows.iter().filter(|row| row.training.p.is_some()).collect();
        self.verdict(page, &compared);
        let least = compared.iter().map(|row| row.training.seeds).min().unwrap_or(0);
        if (2..6).contains(&least) {
            page.answers.push(format!(
                "{least} seeds cannot give a p below {:.3} by exchanging signs, whatever the differences: only the intervals speak.",
                2f64.powi(1 - least as i32)
            ));
        }
        let collapsed: usize = self.rows.iter().map(|row| row.training.collapsed).sum();
        let runs: usize = self.rows.iter().map(|row| row.training.seeds).sum();
        if collapsed > 0 {
            page.answers.push(format!(
                "{collapsed} of {runs} runs collapsed: the same prediction for every example."
            ));
        }
        if failed > 0 {
            page.answers.push(format!("{failed} runs or cells failed; see what was left out."));
        }
        for cell in &self.study.cells {
            let Some(first) = self.rows.iter().find(|row| row.cell.name == cell.name) else { continue };
            let first = &first.training.arm;
            let own: Vec<&&Row> = compared.iter().filter(|row| row.cell.name == cell.name).collect();
            let each = own.iter().filter_map(|row| {
                let t = &row.training;
                Some(format!("{} {}", t.arm, story::difference(t.difference?, t.low.zip(t.high))))
            });
            let each: Vec<String> = each.collect();
            if let (Some(row), false) = (own.first(), each.is_empty()) {
                page.answers.push(format!(
                    "{}: {} against {first}: {}.",
                    described(&self.study.axes, &cell.values),
                    row.training.metric.replace('_', " "),
                    each.join("; ")
                ));
            }
        }
    }

    /// What is shown after correction; where one arm is alone, where it scores highest.
    fn verdict(&self, page: &mut Page, compared: &[&Row]) {
        if compared.is_empty() {
            for metric in distinct(self.rows.iter().map(|row| self.task(row))) {
                let own = self.rows.iter().filter(|row| self.task(row) == metric);
                if let Some(best) = own.max_by(|a, b| a.training.mean.total_cmp(&b.training.mean)) {
                    page.answers.push(format!(
                        "Highest {}: {:.4}, {} at {}.",
                        metric.replace('_', " "),
                        best.training.mean,
                        best.training.arm,
                        described(&self.study.axes, &best.cell.values)
                    ));
                }
            }
            return;
        }
        let name =
            |row: &&Row| format!("{} ({})", row.training.arm, described(&self.study.axes, &row.cell.values));
        let shown: Vec<String> = compared
            .iter()
            .filter(|row| row.training.p_corrected.is_some_and(|p| p < 0.05))
            .map(name)
            .collect();
        page.answers.push(format!(
            "{} comparisons with {}, paired by seed, in {} cells; corrected for their number, {} shown at the level of 5 %{}",
            compared.len(),
            self.first(),
            distinct(compared.iter().map(|row| &row.cell.name)).len(),
            match shown.len() { 0 => "none is".into(), 1 => "one is".to_string(), n => format!("{n} are") },
            if shown.is_empty() { ".".into() } else { format!(": {}.", shown.join("; ")) }
        ));
    }

    /// What differences are to.
    fn first(&self) -> String {
        let firsts = distinct(self.rows.iter().map(|row| &row.cell.name)).into_iter().filter_map(|name| {
            self.rows.iter().find(|row| row.cell.name == *name).map(|row| &row.training.arm)
        });
        match distinct(firsts).as_slice() {
            [first] => first.to_string(),
            _ => "the first arm of the cell".into(),
        }
    }

    /// The axis whose values stand side by side.
    fn across(&self) -> Option<usize> {
        self.study.axes.iter().position(|key| SIDE_BY_SIDE.contains(&key.as_str()))
    }

    /// Task and metric of a row, those of its column in a wide table.
    fn task(&self, row: &Row) -> String {
        let metric = &row.training.metric;
        self.across().map_or(metric.clone(), |i| format!("{}_{metric}", row.cell.values[i]))
    }

    /// A row for each arm of each cell.
    fn long(&self) -> Vec<Vec<String>> {
        let own = [
            "arm",
            "seeds",
            "failed",
            "collapsed",
            "metric",
            "score",
            "score_sd",
            "median",
            "loss",
            "loss_sd",
            "difference",
            "difference_low",
            "difference_high",
            "bootstrap_low",
            "bootstrap_high",
            "p",
            "p_corrected",
            "held_out_examples",
        ];
        let head = self.study.axes.iter().map(|key| short(key)).chain(own).map(str::to_string).collect();
        let row = |row: &Row| {
            let t = &row.training;
            let numbers = [
                Some(t.mean),
                t.sd,
                Some(t.median),
                Some(t.loss),
                t.loss_sd,
                t.difference,
                t.low,
                t.high,
                t.bootstrap_low,
                t.bootstrap_high,
                t.p,
                t.p_corrected,
            ];
            let counts = [t.seeds, t.failed, t.collapsed].map(|n| n.to_string());
            let mut cells = row.cell.values.clone();
            cells.push(t.arm.clone());
            cells.extend(counts);
            cells.push(t.metric.clone());
            cells.extend(numbers.map(number));
            cells.push(t.held_out_examples.to_string());
            cells
        };
        std::iter::once(head).chain(self.rows.iter().map(row)).collect()
    }

    /// A row for each run.
    fn runs(&self) -> Vec<Vec<String>> {
        let own = ["arm", "seed", "metric", "score", "loss", "collapsed"];
        let head = self.study.axes.iter().map(|key| short(key)).chain(own).map(str::to_string).collect();
        let mut table: Vec<Vec<String>> = vec![head];
        for row in &self.rows {
            for (seed, score) in &row.training.runs {
                let own = [
                    row.training.arm.clone(),
                    seed.trim_start_matches("seed").to_string(),
                    score.metric.clone(),
                    score.value.to_string(),
                    score.loss.to_string(),
                    usize::from(score.collapsed).to_string(),
                ];
                table.push(row.cell.values.iter().cloned().chain(own).collect());
            }
        }
        table
    }

    /// Tasks side by side: a row for each condition beside the task, and arm.
    fn wide(&self, of: fn(&Training) -> Vec<Column>) -> Vec<Vec<String>> {
        let across = self.across();
        let condition = |row: &Row| {
            let values = row.cell.values.iter().enumerate().filter(|(i, _)| Some(*i) != across);
            let own: Vec<String> = values.map(|(_, value)| value.clone()).collect();
            [own, vec![row.training.arm.clone()]].concat()
        };
        let conditions = distinct(self.rows.iter().map(condition));
        let tasks = distinct(self.rows.iter().map(|row| self.task(row)));
        let endings: Vec<&str> = of(&self.rows[0].training).iter().map(|(ending, _)| *ending).collect();
        let keys = self.study.axes.iter().enumerate().filter(|(i, _)| Some(*i) != across);
        let mut head: Vec<String> = keys.map(|(_, key)| short(key).to_string()).collect();
        head.push("arm".into());
        head.extend(
            tasks.iter().flat_map(|task| endings.iter().map(move |ending| format!("{task}{ending}"))),
        );
        let line = |own: &Vec<String>| {
            let mut line = own.clone();
            for name in &tasks {
                let found = self.rows.iter().find(|row| self.task(row) == *name && condition(row) == *own);
                let none = || endings.iter().map(|_| String::new()).collect();
                line.extend(found.map_or_else(none, |row| {
                    of(&row.training).into_iter().map(|(_, value)| number(value)).collect::<Vec<String>>()
                }));
            }
            line
        };
        let mut table = vec![head];
        table.extend(conditions.iter().map(line));
        // Of differences the first arm has none.
        table.retain(|line| {
            line[line.len() - tasks.len() * endings.len()..].iter().any(|cell| !cell.is_empty())
        });
        table
    }

    /// How scores change along the i-th axis; `None` for tasks, which do not compare, and where nothing else is equal.
    fn along(&self, i: usize) -> Option<Vec<Vec<String>>> {
        if SIDE_BY_SIDE.contains(&self.study.axes[i].as_str()) {
            return None;
        }
        let others = |row: &Row| {
            let values = row.cell.values.iter().enumerate().filter(|(j, _)| *j != i);
            values.map(|(_, value)| value.clone()).collect::<Vec<String>>()
        };
        let changes = |of: &Vec<String>| {
            let own = self.rows.iter().filter(|row| others(row) == *of);
            distinct(own.map(|row| row.cell.values[i].clone())).len() > 1
        };
        let panels: Vec<Vec<String>> =
            distinct(self.rows.iter().map(others)).into_iter().filter(changes).collect();
        // What all panels share need not stand on each.
        let axes: Vec<&String> =
            self.study.axes.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, key)| key).collect();
        let apart: Vec<usize> =
            (0..axes.len()).filter(|j| panels.iter().any(|panel| panel[*j] != panels[0][*j])).collect();
        let title = |panel: &Vec<String>| {
            let keys: Vec<String> = apart.iter().map(|j| axes[*j].clone()).collect();
            described(&keys, &apart.iter().map(|j| panel[*j].clone()).collect::<Vec<_>>())
        };
        let head = [
            "panel",
            "metric",
            "arm",
            short(&self.study.axes[i]),
            "seeds",
            "score",
            "score_low",
            "score_high",
            "difference",
            "difference_low",
            "difference_high",
        ];
        let mut table = vec![head.map(str::to_string).to_vec()];
        for panel in &panels {
            table.extend(self.rows.iter().filter(|row| others(row) == *panel).map(|row| {
                let t = &row.training;
                let values: Vec<f64> = t.runs.iter().map(|(_, score)| score.value).collect();
                let half = Some(stats::half_width(&values)).filter(|half| half.is_finite());
                let ends = half.map(|half| (t.mean - half, t.mean + half));
                let numbers =
                    [Some(t.mean), ends.map(|e| e.0), ends.map(|e| e.1), t.difference, t.low, t.high]
                        .map(number);
                let words = [title(panel), t.metric.clone(), t.arm.clone(), row.cell.values[i].clone()];
                words.into_iter().chain([t.seeds.to_string()]).chain(numbers).collect()
            }));
        }
        (!panels.is_empty()).then_some(table)
    }
}

fn number(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or(String::new(), |v| v.to_string())
}

/// In order of appearance.
fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    items.for_each(|item| {
        if !found.contains(&item) {
            found.push(item);
        }
    });
    found
}

fn csv_text(table: &[Vec<String>]) -> Result<String> {
    let failed = |e: String| Error::field("table", "rows", "writable", e, "report this as a defect");
    let mut writer = csv::Writer::from_writer(Vec::new());
    table.iter().try_for_each(|row| writer.write_record(row)).map_err(|e| failed(e.to_string()))?;
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}
