//! The page of a study, with its tables (`tables` says what they hold) and figures.
//!
//! The permutation tests are corrected for all comparisons of the study together (Holm), the intervals for none.

use std::path::Path;

use super::cell_path;
use super::tables::{Row, Summary, csv_text, distinct};
use crate::analysis::grid::{Cell, described};
use crate::analysis::{Loaded, Study};
use crate::error::Result;
use crate::figures::differences;
use crate::page::{Page, Table};
use crate::run::drawn::draw;
use crate::run::findings;
use crate::run::own::Own;
use crate::run::plan::{self, Failed};
use crate::run::{runner, story};
use crate::stats::paired::LEVEL;
use crate::tables::Table as _;
use crate::tables::page::Training;
use crate::tables::study::{RunRow, StudyRow};

/// The figure of all differences.
const FOREST: &str = "differences";

/// What became of the cells so far.
#[derive(Default)]
pub(super) struct Standing<'a> {
    /// Those that are done, and their runs that failed.
    pub done: Vec<(&'a Cell, Failed)>,
    /// What went wrong now, by cell or run.
    pub failed: Failed,
    /// What went wrong before, in cells that are not run now.
    pub before: Failed,
}

impl Standing<'_> {
    /// The cells that are neither done nor failed.
    fn left_out(&self, study: &Study) -> Vec<String> {
        let ended = |cell: &Cell| {
            self.done.iter().any(|(done, _)| done.name == cell.name)
                || self.failed.contains_key(&cell_path(cell))
        };
        study.cells.iter().filter(|cell| !ended(cell)).map(|cell| cell.name.clone()).collect()
    }
}

/// The page of the cells that are done with its answers, and what its tables are made of; nothing is written.
pub(super) fn begun<'a>(
    loaded: &Loaded,
    study: &'a Study,
    standing: &Standing<'a>,
    folder: &Path,
    command: &str,
) -> Result<(Page, Summary<'a>)> {
    let mut summary = Summary { study, rows: Vec::new() };
    for (cell, failed) in &standing.done {
        let analysis = &cell.loaded.analysis;
        let models = plan::models(analysis, failed);
        let found = findings::training(&folder.join(cell_path(cell)), &models)?;
        summary.rows.extend(found.into_iter().map(|training| Row { cell, training }));
    }
    findings::judge(summary.rows.iter_mut().map(|row| &mut row.training), Vec::new());
    let mut page = story::begun(loaded, command);
    let failed = standing.failed.iter().chain(&standing.before);
    let failed: Vec<String> = failed.map(|(what, cause)| format!("{what} failed: {cause}")).collect();
    let left_out = standing.left_out(study);
    page.excluded = failed.clone();
    if !left_out.is_empty() {
        page.excluded.push(format!("not in these tables, as they are not done: {}", left_out.join(", ")));
    }
    for (cell, _) in &standing.done {
        let path = cell_path(cell);
        page.links.push((format!("{path}/report.html"), described(&study.names, &cell.values)));
    }
    match summary.rows.is_empty() {
        true => page
            .answers
            .push("Nothing was trained, so nothing is compared: each cell has a page of its own.".into()),
        false => summary.answers(&mut page, failed.len()),
    }
    Ok((page, summary))
}

/// Writes tables, figures and page of the cells that are done.
pub(super) fn write(
    loaded: &Loaded,
    study: &Study,
    standing: &Standing,
    folder: &Path,
    command: &str,
) -> Result<Page> {
    let (mut page, summary) = begun(loaded, study, standing, folder, command)?;
    runner::remove_page(folder)?;
    if summary.rows.is_empty() {
        story::write_page(&page, folder)?;
        return Ok(page);
    }
    let along: Vec<(&str, Vec<Vec<String>>)> = study
        .names
        .iter()
        .enumerate()
        .filter_map(|(i, name)| Some(summary.along(i).transpose()?.map(|table| (name.as_str(), table))))
        .collect::<Result<_>>()?;
    summary.tables(&mut page, &along)?;
    story::write_tables(&page, folder)?;
    let runs = csv_text(&summary.runs()?)?;
    Own::of(folder)?.write(&format!("tables/{}", RunRow::FILE), runs.as_bytes())?;
    summary.figures(&mut page, folder, &along)?;
    story::write_page(&page, folder)?;
    Ok(page)
}

impl Summary<'_> {
    fn answers(&self, page: &mut Page, failed: usize) {
        let compared: Vec<&Row> = self.rows.iter().filter(|row| row.training.p.is_some()).collect();
        self.verdict(page, &compared);
        let least = compared.iter().filter_map(|row| row.training.least_shown);
        let (low, high) = least.fold((f64::INFINITY, 0.0_f64), |(low, high), d| (low.min(d), high.max(d)));
        if low.is_finite() {
            page.answers.push(format!(
                "With the runs there are, corrected for {} comparisons, no difference below {low:.4} (in the most certain cell; {high:.4} \
                 in the least) could have been shown.",
                compared.len()
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
                    described(&self.study.names, &cell.values),
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
                let own =
                    self.rows.iter().filter(|row| self.task(row) == metric && row.training.mean.is_finite());
                if let Some(best) = own.max_by(|a, b| a.training.mean.total_cmp(&b.training.mean)) {
                    page.answers.push(format!(
                        "Highest {}: {:.4}, {} at {}.",
                        metric.replace('_', " "),
                        best.training.mean,
                        best.training.arm,
                        described(&self.study.names, &best.cell.values)
                    ));
                }
            }
            return;
        }
        let name =
            |row: &&Row| format!("{} ({})", row.training.arm, described(&self.study.names, &row.cell.values));
        let shown: Vec<String> = compared
            .iter()
            .filter(|row| row.training.p_corrected.is_some_and(|p| p < LEVEL))
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

    /// The page's tables; `along`: those along single settings, by their names.
    fn tables(&self, page: &mut Page, along: &[(&str, Vec<Vec<String>>)]) -> Result<()> {
        let first = self.first();
        let comparisons = self.rows.iter().filter(|row| row.training.p.is_some()).count();
        let mut tables = vec![(
            "scores".to_string(),
            "Held-out scores: mean over seeds ± their standard deviation".to_string(),
            self.wide(Training::score),
        )];
        if self.compares() {
            let caption = format!(
                "Differences to {first}, paired by seed, with 95 % intervals that count what runs share, each of one comparison alone"
            );
            tables.push(("differences".into(), caption, self.wide(Training::interval)));
        }
        let caption = format!(
            "Every arm of every cell; p of the paired differences to {first} counts what runs share, and is corrected for all \
             {comparisons} comparisons by Holm"
        );
        tables.push(("study".into(), caption, self.long()?));
        for (name, rows) in along {
            let caption =
                format!("Scores along {name}, all else equal: means over seeds with 95 % intervals");
            tables.push((format!("by_{name}"), caption, rows.clone()));
        }
        for (name, caption, rows) in tables {
            page.tables.push(Table::of_csv(&format!("{name}.csv"), caption, csv_text(&rows)?)?);
        }
        Ok(())
    }

    /// The page's figures, of tables that are written.
    fn figures(&self, page: &mut Page, folder: &Path, along: &[(&str, Vec<Vec<String>>)]) -> Result<()> {
        let first = self.first();
        if self.compares() {
            let mut caption = format!(
                "Differences to {first} in every cell, paired by seed, with 95 % intervals; full signs: p below 0.05, corrected \
                 for all comparisons of these cells."
            );
            if self.study.axes.len() > differences::SETTINGS {
                caption += " Cells are named by what is unusual about them; usual is what most of them have.";
            }
            draw(page, folder, FOREST, StudyRow::FILE, caption)?;
        }
        for (name, _) in along {
            let file = format!("by_{name}");
            let differences = match self.compares() {
                true => format!(", and differences to {first}"),
                false => String::new(),
            };
            let caption = format!(
                "Scores along {name}, all else equal{differences}: means over seeds with 95 % intervals."
            );
            draw(page, folder, &file, &format!("{file}.csv"), caption)?;
        }
        Ok(())
    }
}
