//! An analysis from beginning to end: the only module that knows the whole story.
//!
//! `plan` says which steps there are, `graph` which of them wait for which; `runner` has an `executor` run them, and skips
//! those whose record still holds; what they found becomes sentences, tables and a page in `story`. Each step is a command
//! that anyone can repeat by hand. A killed run resumes at the step that was interrupted, and a long step resumes where it
//! stopped. A `study` is several analyses, and a table over them.

mod basins;
pub mod cluster;
pub mod commands;
mod drawn;
mod executor;
mod failure;
mod findings;
mod graph;
mod inputs;
mod outcome;
mod own;
mod plan;
mod runner;
mod sharpness;
mod step;
mod story;
mod study;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};

use self::executor::Kind;
use self::graph::Graph;
use self::inputs::{Missing, Places, check_inputs};
use self::runner::Setting;
use self::step::Step;
use self::story::counted;
use crate::analysis::{Analysis, Loaded};
use crate::error::{Error, Result};
use crate::files;
use crate::progress;
use crate::stages::Stage;

/// A step's words as the command line reads them.
#[derive(clap::Parser)]
#[command(name = "fisherscape")]
struct Words {
    #[command(subcommand)]
    stage: Stage,
}

/// How an analysis or a study is run.
pub struct Order<'a> {
    pub folder: &'a Path,
    /// The line that repeats it.
    pub command: &'a str,
    /// Whether steps that are done are done again.
    pub force: bool,
    pub executor: Kind,
}

/// Runs an analysis or a study.
///
/// # Errors
///
/// [`Error::Field`] or [`Error::Text`] for inputs that are missing, before any work; [`Error::Step`] for a step that fails.
/// What the steps before it wrote stays, and is not done again. Where trainings alone failed, all else was done.
pub fn run(loaded: &Loaded, order: &Order) -> Result<()> {
    let Order { folder, command, force, executor } = *order;
    if folder.exists() && !folder.is_dir() {
        let fix = "give the run a folder of its own: --out DIR";
        return Err(Error::field("--out", folder.display(), "a folder, or nothing yet", "a file", fix));
    }
    check_own(loaded, folder)?;
    if let Some(study) = &loaded.study {
        return study::run(loaded, study, order);
    }
    let places = check_inputs(loaded, Missing::Fetch)?;
    let mut executor = executor.executor(folder, &places);
    let setting = Setting { folder, others: &[], places: places.clone(), force };
    let (done, page) = match runner::run(loaded, setting, &mut *executor, &mut |_, _| ()) {
        Ok(done) => {
            let page = story::write(loaded, folder, command, &done)?;
            (done, page)
        }
        Err(cause) => {
            tell_page(folder);
            let finished = Some(places).filter(|_| cause.is_read_only() && !force);
            let done = finished.and_then(|places| runner::finished(loaded, folder, places)).ok_or(cause)?;
            let page = story::told(loaded, folder, command, &done)?;
            (done, page)
        }
    };
    let ends = format!("{}, {} of them run now", counted(done.records.len(), "step"), done.ran);
    outcome::tell(&page, &folder.join("report.html"), &ends);
    runner::check_failed(&done.failed)
}

/// Says so if the page is still that of an earlier run.
fn tell_page(folder: &Path) {
    let page = folder.join("report.html");
    if page.is_file() {
        progress::note(format!("{} and the tables are of the run before", page.display()));
    }
}

/// Refuses a folder with files that a run would replace, unless they are an earlier run's: a folder with the lock of one is, and one
/// with an analysis (the gallery's), if it is not the file that is run. Within a run's folder each file is asked for again.
fn check_own(loaded: &Loaded, folder: &Path) -> Result<()> {
    let there = |name: &str| folder.join(name).exists();
    let text = folder.join("analysis.toml");
    let same = |path: &PathBuf| path.canonicalize().ok() == text.canonicalize().ok();
    let given = text.exists() && loaded.path.as_ref().is_some_and(same);
    if there("steps/lock") || there("cells/lock") || (text.exists() && !given) {
        return Ok(());
    }
    match ["analysis.toml", "report.html", "tables", "figures"].into_iter().find(|name| there(name)) {
        None => Ok(()),
        Some(name) => {
            let (place, found) = (folder.join(name), "something that no run wrote");
            let fix = "give the run a folder of its own: --out DIR";
            Err(Error::field("--out", place.display(), "nothing yet, or an earlier run's", found, fix))
        }
    }
}

/// The number of steps of an analysis or a study that can be run. What has a name on the hub may yet be fetched.
///
/// # Errors
///
/// What a run would be refused with, or stop at because of the analysis or its inputs.
pub fn check(loaded: &Loaded) -> Result<usize> {
    let cells = loaded.study.iter().flat_map(|study| study.cells.iter().map(|cell| &cell.loaded));
    let analyses: Vec<&Loaded> = if loaded.study.is_some() { cells.collect() } else { vec![loaded] };
    let count = analyses.iter().map(|loaded| steps(&loaded.analysis)).sum::<Result<usize>>()?;
    analyses.iter().try_for_each(|loaded| check_inputs(loaded, Missing::Tell).map(drop))?;
    let mut tried = BTreeSet::new();
    analyses.iter().try_for_each(|loaded| trial::check(loaded, &mut tried))?;
    Ok(count)
}

/// The number of steps of an analysis, each of which is a valid command.
///
/// # Errors
///
/// What its commands would refuse by their words alone.
pub fn steps(analysis: &Analysis) -> Result<usize> {
    let graph = Graph::new(plan::steps(analysis, &plan::Failed::new()))?;
    let steps = graph.steps();
    steps.iter().try_for_each(|step| stage(step, Path::new("")).map(drop))?;
    Ok(steps.len())
}

/// Writes what another process of a run reads.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let failed = |e| Error::said(path.display(), format!("it cannot be written as JSON: {e}"), "report this");
    files::write(path, &serde_json::to_vec_pretty(value).map_err(failed)?)
}

/// Reads it.
///
/// # Errors
///
/// [`Error::Field`] for a file of another version.
fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let fix = "make it again: `run` does, with the options that made it";
    files::check_plain(path)?;
    serde_json::from_slice(&files::read(path)?)
        .map_err(|e| Error::field(path.display(), "text", "as this version writes it", e, fix))
}

/// The stage that a step's words name.
fn stage(step: &Step, folder: &Path) -> Result<Stage> {
    let words = std::iter::once("fisherscape".to_string()).chain(step.words(folder));
    let parsed = Words::try_parse_from(words).map_err(|e| {
        let text = e.to_string();
        let text = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let found = text.trim_start_matches("error: ").to_string();
        let sentence = format!("its command, `{}`, is not valid: {found}", step.command());
        Error::said(&step.name, sentence, "correct the section it comes from")
    })?;
    let stage = parsed.stage;
    stage.check().map_err(|cause| Error::Step { step: step.name.clone(), cause: Box::new(cause) })?;
    Ok(stage)
}
