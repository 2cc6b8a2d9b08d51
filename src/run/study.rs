//! A study: the cells of a grid, each an analysis in `cells/NAME/`, and tables over all of them.
//!
//! Cells are run one after the other, and a cell that fails does not stop the others. What is finished is never run again, so
//! a study that was killed resumes where it was; a step that another cell has done, the same command on the same input, is taken
//! from there.

mod answers;
mod board;
mod next;
mod summary;
mod tables;

use std::path::Path;

use self::board::Board;
use self::summary::Standing;
use super::inputs::{Missing, Places, check_inputs};
use super::plan::Failed;
use super::runner::{self, Setting};
use super::step::Step;
use super::story::counted;
use super::{Order, outcome};
use crate::analysis::grid::Cell;
use crate::analysis::{Loaded, Study};
use crate::error::{Error, Result};
use crate::files;
use crate::page::Page;
use crate::progress;

/// The folder of a cell in that of the study.
pub(super) fn cell_path(cell: &Cell) -> String {
    format!("cells/{}", cell.name)
}

/// Runs a study; see [`super::run`].
pub fn run(loaded: &Loaded, study: &Study, order: &Order) -> Result<()> {
    let Order { folder, command, force, executor } = *order;
    let places = |cell: &Cell| match study.runs(cell) {
        true => check_inputs(&cell.loaded, Missing::Fetch).map_err(|cause| of_cell(cell, cause)),
        // What is not to be run need not be here.
        false => Ok(progress::listen(|| check_inputs(&cell.loaded, Missing::Tell)).0.unwrap_or_default()),
    };
    let mut places = study.cells.iter().map(places).collect::<Result<Vec<Places>>>()?;
    runner::check_unlinked(folder)?;
    let cells = folder.join("cells");
    let _lock = match locked(&cells) {
        Ok(lock) => lock,
        Err(cause) if cause.is_read_only() && !force => {
            let standing = finished(study, folder, places).ok_or(cause)?;
            let (page, _) = summary::begun(loaded, study, &standing, folder, command)?;
            return end(&page, study, &standing, folder);
        }
        Err(cause) => return Err(cause),
    };
    [folder.to_path_buf(), folder.join("cells")].iter().try_for_each(|own| files::sweep_beside(own))?;
    ["tables", "figures"].into_iter().try_for_each(|own| files::sweep(&folder.join(own)))?;
    files::write(&folder.join("analysis.toml"), loaded.text.as_bytes())?;
    let mut board = Board::new(study, folder, &places, force)?;
    board.announce();
    let mut standing = Standing::default();
    // Cells share steps that do not depend on what they differ by; also with those of an earlier grid, which went by other names.
    let mut others = if force { Vec::new() } else { files::list(&cells)? };
    // What a link leads to is another's.
    others.retain(|other| other.is_dir() && !other.is_symlink());
    for (i, cell) in study.cells.iter().enumerate() {
        let own = folder.join(cell_path(cell));
        let places = std::mem::take(&mut places[i]);
        if !study.runs(cell) {
            if let Some(own) = runner::ended(&cell.loaded, &own, places) {
                standing.before.extend(named(cell, &own));
                standing.done.push((cell, own));
            }
            continue;
        }
        files::inside(folder, &cell_path(cell))?;
        progress::status(format!("{}:", cell.name));
        let finished = &mut |step: &Step, ended| board.finished(i, step, ended);
        let mut executor = executor.executor(&own, &places);
        let setting = Setting { folder: &own, others: &others, places, force };
        let ran = runner::run(&cell.loaded, setting, &mut *executor, finished);
        drop(executor); // what is still at work ends
        let idle = ran.as_ref().is_ok_and(|ran| ran.ran == 0 && ran.failed.is_empty());
        let ran = ran.and_then(|ran| super::story::write(&cell.loaded, &own, command, &ran).map(|_| ran));
        match ran {
            Ok(ran) => {
                standing.failed.extend(named(cell, &ran.failed));
                standing.done.push((cell, ran.failed));
            }
            // There is no room for the others either.
            Err(cause) if cause.is_full() => return Err(of_cell(cell, cause)),
            Err(cause) => {
                progress::warn(format!("{} failed: {cause}", cell.name));
                standing.failed.insert(cell_path(cell), cause.to_string());
            }
        }
        others.push(own);
        if !idle {
            board.tell();
            // At a deadline there are tables of what there is.
            summary::write(loaded, study, &standing, folder, command)?;
        }
    }
    board.clear();
    let page = summary::write(loaded, study, &standing, folder, command)?;
    end(&page, study, &standing, folder)
}

/// Makes the folder of the cells, and keeps other runs out of it.
pub(super) fn locked(cells: &Path) -> Result<std::fs::File> {
    std::fs::create_dir_all(cells).map_err(Error::io(cells, "create"))?;
    files::lock(&cells.join("lock"))
}

/// What came of a study whose cells all came to their ends, read alone.
fn finished<'a>(study: &'a Study, folder: &Path, places: Vec<Places>) -> Option<Standing<'a>> {
    let mut standing = Standing::default();
    for (cell, places) in study.cells.iter().zip(places) {
        match runner::ended(&cell.loaded, &folder.join(cell_path(cell)), places) {
            Some(failed) => {
                standing.before.extend(named(cell, &failed));
                standing.done.push((cell, failed));
            }
            None if study.runs(cell) => return None,
            None => {}
        }
    }
    Some(standing)
}

/// Says what came out.
fn end(page: &Page, study: &Study, standing: &Standing, folder: &Path) -> Result<()> {
    let ends = format!("{} of {}", standing.done.len(), counted(study.cells.len(), "cell"));
    outcome::tell(page, &folder.join("report.html"), &ends);
    runner::check_failed(&standing.failed)
}

/// Failed runs of a cell by their folder in that of the study.
fn named(cell: &Cell, failed: &Failed) -> Failed {
    failed.iter().map(|(run, cause)| (format!("{}/{run}", cell_path(cell)), cause.clone())).collect()
}

/// An error of one cell.
fn of_cell(cell: &Cell, cause: Error) -> Error {
    Error::Step { step: format!("of cell {}", cell.name), cause: Box::new(cause) }
}
