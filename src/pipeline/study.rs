//! A study: the cells of a grid, each an analysis in `cells/NAME/`, and tables over all of them.
//!
//! Cells are run one after the other, and a cell that fails does not stop the others. What is finished is never run again, so
//! a study that was killed goes on where it was; a step that another cell has done, the same command on the same input, is taken
//! from there.

mod board;
mod summary;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use self::board::Board;
use super::plan::Failed;
use super::step::Step;
use super::{Missing, Places, check_inputs, runner};
use crate::analysis::grid::Cell;
use crate::analysis::{Loaded, Study};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{self, say};

/// The folder of a cell in that of the study.
fn cell_path(cell: &Cell) -> String {
    format!("cells/{}", cell.name)
}

/// Runs a study; see [`super::run`].
pub fn run(loaded: &Loaded, study: &Study, folder: &Path, command: &str, force: bool) -> Result<()> {
    let places = |cell: &Cell| match study.runs(cell) {
        true => check_inputs(&cell.loaded.analysis, Missing::Fetch).map_err(|cause| of_cell(cell, cause)),
        // What is not to be run need not be here.
        false => {
            Ok(progress::listen(|| check_inputs(&cell.loaded.analysis, Missing::Tell)).0.unwrap_or_default())
        }
    };
    let mut places = study.cells.iter().map(places).collect::<Result<Vec<Places>>>()?;
    let cells = folder.join("cells");
    std::fs::create_dir_all(&cells).map_err(Error::io(&cells, "make"))?;
    let _lock = files::lock(&cells.join("lock"))?;
    let text = folder.join("analysis.toml");
    if force || std::fs::read(&text).ok().is_some_and(|old| old != loaded.text.as_bytes()) {
        // They would stand beside another text until the end.
        summary::remove(folder)?;
    }
    files::write(&text, loaded.text.as_bytes())?;
    let mut board = Board::new(study, folder)?;
    board.announce();
    let mut done = Vec::new();
    // Cells share steps that do not depend on what they differ by.
    let mut others = match force {
        false => study.cells.iter().map(|cell| folder.join(cell_path(cell))).collect(),
        true => Vec::new(),
    };
    let mut left_out = Vec::new();
    // What went wrong, by cell or run.
    let mut failed = BTreeMap::new();
    for (i, cell) in study.cells.iter().enumerate() {
        let own = folder.join(cell_path(cell));
        if !study.runs(cell) {
            match runner::is_done(&cell.loaded, &own, std::mem::take(&mut places[i])) {
                true => done.push((cell, Failed::new())),
                false => left_out.push(cell.name.clone()),
            }
            continue;
        }
        progress::status(format!("{}:", cell.name));
        let finished = &mut |step: &Step, ended| board.finished(i, step, ended);
        let places = std::mem::take(&mut places[i]);
        let ran = runner::run(&cell.loaded, (&own, &others), (places, force), finished);
        let idle = ran.as_ref().is_ok_and(|ran| ran.ran == 0 && ran.failed.is_empty());
        let ran = ran.and_then(|ran| super::story::write(&cell.loaded, &own, command, &ran).map(|_| ran));
        match ran {
            Ok(ran) => {
                let name = |run: &String| format!("{}/{run}", cell_path(cell));
                failed.extend(ran.failed.iter().map(|(run, cause)| (name(run), cause.clone())));
                done.push((cell, ran.failed));
            }
            Err(cause) => {
                progress::warn(format!("{} failed: {cause}", cell.name));
                failed.insert(cell_path(cell), cause.to_string());
            }
        }
        others.push(own);
        if !idle {
            board.tell();
        }
    }
    board.clear();
    let page = summary::write(loaded, study, &done, (&failed, &left_out), (folder, command))?;
    page.answers.iter().for_each(|answer| say!("{answer}"));
    say!("{}: {} of {} cells", folder.join("report.html").display(), done.len(), study.cells.len());
    runner::check_failed(&failed)
}

/// An error of one cell.
fn of_cell(cell: &Cell, cause: Error) -> Error {
    Error::Step { step: format!("of cell {}", cell.name), cause: Box::new(cause) }
}
