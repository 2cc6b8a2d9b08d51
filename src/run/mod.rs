//! An analysis from beginning to end: the only module that knows the whole story.
//!
//! `plan` says which steps there are; `runner` runs them in order, passing over those whose record still holds; what they
//! found becomes sentences, tables and a page in `story`. Each step is a command that anyone can repeat by hand. A
//! killed run goes on with the step that was interrupted, which itself goes on where it was if it is a long one. A `study`
//! is several analyses, and a table over them.

pub mod commands;
mod findings;
mod plan;
mod runner;
mod step;
mod story;
mod study;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Parser;

use self::step::Step;
use crate::analysis::Loaded;
use crate::analysis::config::{Analysis, Arm, Over, Parsed, Part};
use crate::data::glue::{self, Split};
use crate::dropout::Arm as Dropout;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Place, Wanted};
use crate::model::ModelConfig;
use crate::model::architectures::bert;
use crate::progress::{self, say};
use crate::stages::Stage;
use crate::stages::source::Source;

/// A step's words as the command line reads them.
#[derive(clap::Parser)]
#[command(name = "fisherscape")]
struct Words {
    #[command(subcommand)]
    stage: Stage,
}

/// Runs an analysis or a study in `folder`; `command` is the line that repeats it. With `force`, steps that are done are done
/// again.
///
/// # Errors
///
/// [`Error::Field`] or [`Error::Text`] for inputs that are missing, before any work; [`Error::Step`] for a step that fails.
/// What the steps before it wrote stays, and is not done again. Where trainings alone failed, all else was done.
pub fn run(loaded: &Loaded, folder: &Path, command: &str, force: bool) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        let fix = "give the run a folder of its own: --out DIR";
        return Err(Error::field("--out", folder.display(), "a folder, or nothing yet", "a file", fix));
    }
    check_own(loaded, folder)?;
    if let Some(study) = &loaded.study {
        return study::run(loaded, study, folder, command, force);
    }
    let places = check_inputs(&loaded.analysis, Missing::Fetch)?;
    let done = runner::run(loaded, (folder, &[]), (places, force), &mut |_, _| ())?;
    let page = story::write(loaded, folder, command, &done)?;
    page.answers.iter().for_each(|answer| say!("{answer}"));
    let all = done.records.len();
    say!("{}: {all} steps, {} of them run now", folder.join("report.html").display(), done.ran);
    runner::check_failed(&done.failed)
}

/// Refuses a folder with files that a run would replace or remove, unless they are an earlier run's: a folder of steps or cells
/// is, and one with an analysis (the gallery's), if it is not the file that is run.
fn check_own(loaded: &Loaded, folder: &Path) -> Result<()> {
    let there = |name: &str| folder.join(name).exists();
    let text = folder.join("analysis.toml");
    let same = |path: &PathBuf| path.canonicalize().ok() == text.canonicalize().ok();
    let given = text.exists() && loaded.path.as_ref().is_some_and(same);
    if there("steps") || there("cells") || (text.exists() && !given) {
        return Ok(());
    }
    match ["analysis.toml", "report.html", "tables", "figures"].into_iter().find(|name| there(name)) {
        None => Ok(()),
        Some(name) => {
            let (place, found) = (folder.join(name), "something that is no run's");
            let fix = "give the run a folder of its own: --out DIR";
            Err(Error::field("--out", place.display(), "nothing yet, or an earlier run's", found, fix))
        }
    }
}

/// The number of steps of an analysis, each of which is a sound command.
pub fn steps(analysis: &Analysis) -> Result<usize> {
    let steps = plan::steps(analysis, &plan::Failed::new());
    steps.iter().try_for_each(|step| stage(step, Path::new("")).map(drop))?;
    Ok(steps.len())
}

/// The stage that a step's words name.
fn stage(step: &Step, folder: &Path) -> Result<Stage> {
    let words = std::iter::once("fisherscape".to_string()).chain(step.words(folder));
    let parsed = Words::try_parse_from(words).map_err(|e| {
        let text = e.to_string();
        let text = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let found = text.trim_start_matches("error: ").to_string();
        Error::field(
            &step.name,
            step.command(),
            "a command with sound options",
            found,
            "mend the section it comes from",
        )
    })?;
    let stage = parsed.stage;
    stage.check().map_err(|cause| Error::Step { step: step.name.clone(), cause: Box::new(cause) })?;
    Ok(stage)
}

/// What becomes of inputs that are not here but have a name on the hub.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Fetch,
    /// They are named, and what depends on them is not checked.
    Tell,
}

/// Where inputs are that are not read where they are named.
pub type Places = HashMap<PathBuf, Place>;

/// What is missing, before any work starts: the checkpoint, the data, the text. Gives the places of what is not read where
/// it is named.
pub fn check_inputs(analysis: &Analysis, missing: Missing) -> Result<Places> {
    let mut places = Places::new();
    let mut note = |given: &Path, place: Option<Place>| match &place {
        Some(here) if here.origin.is_some() || here.folder != given => {
            places.insert(given.to_path_buf(), here.clone());
            place
        }
        Some(_) => place,
        None => {
            progress::note(format!("{}: not here; `run` fetches it from the hub", given.display()));
            None
        }
    };
    let checkpoint = &analysis.model.checkpoint;
    let place = match missing {
        Missing::Fetch => Some(hub::locate(checkpoint, Wanted::Checkpoint)?),
        Missing::Tell => hub::locate_here(checkpoint, Wanted::Checkpoint)?,
    };
    let mut shape = None;
    if let Some(Place { folder, .. }) = note(checkpoint, place) {
        if !files::is_folder(&folder) {
            let fix = "set model.checkpoint to a folder with config.json, the weights and the tokenizer, or to a name on \
                       the hub: --set model.checkpoint=FOLDER";
            return Err(Error::field("model.checkpoint", checkpoint.display(), "a folder", "none", fix));
        }
        let config = ModelConfig::read(&folder.join("config.json"))?;
        shape = Some(config);
    }
    let mut foreign = false;
    let arms = analysis.train.iter().flat_map(|train| &train.arms);
    for Parsed(arm) in arms {
        let preset = analysis.schedule.as_ref().and_then(|schedule| schedule.preset);
        match (arm, &shape) {
            (Arm::Other(Dropout::Scheduled(assignment, path)), Some(config)) => {
                Dropout::rates(*assignment, path, &config.sites()).map(drop)?;
            }
            (Arm::Own(_), Some(config)) if preset.is_some() && config.num_hidden_layers != bert::BASE.0 => {
                let layers = config.num_hidden_layers;
                let fix = "--set schedule.preset= makes a schedule for this model";
                let expected = format!("left out for a model of {layers} layers");
                return Err(Error::field("schedule", "schedule.preset", expected, "that of bert-base", fix));
            }
            (Arm::Own(_), Some(config)) if preset.is_some() && !bert::is_base(config) => {
                foreign = true;
            }
            _ => {}
        }
    }
    if foreign {
        progress::note(format!(
            "schedule.preset ranks the sites of bert-base-uncased, which {} is not: --set schedule.preset= ranks its own",
            checkpoint.display()
        ));
    }
    let parts = analysis.surface.as_ref().map_or(Vec::new(), |_| analysis.surfaces_over());
    let text =
        parts.contains(&Part::Text) || (analysis.fisher.is_some() && analysis.fisher_over() == Over::Text);
    if let Some(path) = analysis.data.text.as_ref().filter(|path| text && !files::exists(path)) {
        let fix = "set data.text to a file with one example a line: --set data.text=FILE";
        return Err(Error::field("data.text", path.display(), "a file", "none", fix));
    }
    let labelled = analysis.train.is_some()
        || (analysis.fisher.is_some() && analysis.fisher_over() == Over::Task)
        || parts.iter().any(|part| *part != Part::Text);
    if labelled {
        let data = &analysis.data;
        let source = Source {
            task: data.task.as_ref().map(|task| task.0.to_string()),
            data: data.folder.clone(),
            table: data.table.clone(),
            columns: data.columns.as_ref().map(|columns| columns.0.clone()),
        };
        let here = match (&data.task, data.folder()) {
            (Some(task), Some(given)) => {
                let place = match missing {
                    Missing::Fetch => Some(glue::locate(task.0, &given)?),
                    Missing::Tell => glue::locate_here(task.0, &given)?,
                };
                note(&given, place).is_some()
            }
            _ => true,
        };
        if here {
            source.rows(Split::Train)?;
        }
    }
    Ok(places)
}
