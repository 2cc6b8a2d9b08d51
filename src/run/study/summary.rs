//! The page of a study, with its tables (`tables` says what they hold) and figures.
//!
//! The permutation tests are corrected for all comparisons of the study together (Holm), the intervals for none.

use std::path::Path;

use super::cell_path;
use super::tables::{Row, Summary, csv_text};
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
    page.excluded = failed;
    if !left_out.is_empty() {
        page.excluded.push(format!("not in these tables, as they are not done: {}", left_out.join(", ")));
    }
    for (cell, _) in &standing.done {
        let path = cell_path(cell);
        page.links.push((format!("{path}/report.html"), described(&study.names, &cell.values)));
    }
    match summary.rows.is_empty() {
        true => {
            page.verdict =
                "Nothing was trained, so nothing is compared: each cell has a page of its own.".into()
        }
        false => summary.answer(&mut page, standing),
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
                "Differences to {first}, paired by seed, with 95 % intervals that count what runs share, each for one comparison only"
            );
            tables.push(("differences".into(), caption, self.wide(Training::interval)));
        }
        let caption = format!(
            "Every arm of every cell; p of the paired differences to {first} counts what runs share, and is corrected for all \
             {comparisons} comparisons by Holm"
        );
        let caption = if comparisons > 0 { caption } else { "Every arm of every cell".into() };
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
