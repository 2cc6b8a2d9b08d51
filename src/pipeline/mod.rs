//! An analysis from beginning to end: the only module that knows the whole story.
//!
//! `plan` says which steps there are; here they are run in order, those whose record still holds are passed over, and
//! what they found becomes sentences, tables and a page. Each step is a command that anyone can repeat by hand. A
//! killed run goes on with the step that was interrupted, which itself goes on where it was if it is a long one.

pub mod commands;
mod findings;
mod plan;
mod step;
mod story;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::HumanDuration;

use self::step::{Hashes, Record, Step};
use crate::analysis::Loaded;
use crate::analysis::config::{Analysis, Arm, Over, Parsed, Part};
use crate::data::glue::{self, Split};
use crate::data::hub::{self, Place, Wanted};
use crate::error::{Error, Result};
use crate::files;
use crate::model::BertConfig;
use crate::progress::{self, say};
use crate::report::provenance::command_line;
use crate::stages::Stage;
use crate::stages::source::Source;
use crate::stages::train::Arm as Dropout;

/// A step's words as the command line reads them.
#[derive(clap::Parser)]
#[command(name = "fisherscape")]
struct Words {
    #[command(subcommand)]
    stage: Stage,
}

/// Runs an analysis in `folder`; `command` is the line that repeats it. With `force`, steps that are done are done again.
///
/// # Errors
///
/// [`Error::Field`] or [`Error::Text`] for inputs that are missing, before any work; [`Error::Step`] for a step that fails.
/// What the steps before it wrote stays, and is not done again.
pub fn run(loaded: &Loaded, folder: &Path, command: &str, force: bool) -> Result<()> {
    let analysis = &loaded.analysis;
    let places = check_inputs(analysis, Missing::Fetch)?;
    if folder.exists() && !folder.is_dir() {
        let fix = "give the run a folder of its own: --out DIR";
        return Err(Error::field("--out", folder.display(), "a folder, or nothing yet", "a file", fix));
    }
    let steps = plan::steps(analysis);
    let stages = steps.iter().map(|step| stage(step, folder)).collect::<Result<Vec<Stage>>>()?;
    let _lock = files::lock(&step::records(folder)?.join("lock"))?;
    for own in plan::FOLDERS {
        files::sweep(&folder.join(own))?;
    }
    files::write(&folder.join("analysis.toml"), loaded.text.as_bytes())?;
    let mut hashes = Hashes::at(places);
    let mut clock = Clock::new(&steps, folder);
    let mut records = Vec::new();
    let lines: Vec<String> = steps.iter().map(|step| command_line(step.words(folder))).collect();
    for (i, (step, stage)) in steps.iter().zip(&stages).enumerate() {
        let identity = step.identity(folder, &mut hashes)?;
        let old =
            step.record(folder).filter(|record| !force && step.holds(record, &identity, folder, &mut hashes));
        let record = match old {
            Some(record) => {
                progress::detail(format!("[{}/{}] {}: done before", i + 1, steps.len(), step.name));
                record
            }
            None => {
                if clock.ran == 0 {
                    // From here on they would be those of another run.
                    story::remove(folder)?;
                }
                progress::status(format!(
                    "[{}/{}] {}{}",
                    i + 1,
                    steps.len(),
                    step.name,
                    clock.left(&steps[i..])
                ));
                let started = Instant::now();
                let (outcome, said) = progress::listen(|| stage.run(&lines[i]));
                outcome.map_err(|cause| Error::Step { step: step.name.clone(), cause: Box::new(cause) })?;
                let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                let record =
                    step.finish(folder, &mut hashes, (lines[i].clone(), identity), (seconds, said))?;
                clock.took(step, seconds);
                clock.ran += 1;
                record
            }
        };
        records.push(record);
    }
    let page = story::write(loaded, folder, command, &records, &lines)?;
    page.answers.iter().for_each(|answer| say!("{answer}"));
    let (ran, all) = (clock.ran, steps.len());
    say!("{}: {all} steps, {ran} of them run now", folder.join("report.html").display());
    Ok(())
}

/// The number of steps of an analysis, each of which is a sound command.
pub fn steps(analysis: &Analysis) -> Result<usize> {
    let steps = plan::steps(analysis);
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

/// What is missing, before any work starts: the checkpoint, the data, the text. Gives the places of what is not read where
/// it is named.
pub fn check_inputs(analysis: &Analysis, missing: Missing) -> Result<HashMap<PathBuf, Place>> {
    let mut places = HashMap::new();
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
    let mut layers = None;
    if let Some(Place { folder, .. }) = note(checkpoint, place) {
        if !files::is_folder(&folder) {
            let fix = "set model.checkpoint to a folder with config.json, the weights and the tokenizer, or to a name on \
                       the hub: --set model.checkpoint=FOLDER";
            return Err(Error::field("model.checkpoint", checkpoint.display(), "a folder", "none", fix));
        }
        layers = Some(BertConfig::read(&folder.join("config.json"))?.num_hidden_layers);
    }
    let arms = analysis.train.iter().flat_map(|train| &train.arms);
    for Parsed(arm) in arms {
        let preset = analysis.schedule.as_ref().and_then(|schedule| schedule.preset);
        match (arm, layers) {
            (Arm::Other(Dropout::Scheduled(assignment, path)), Some(layers)) => {
                Dropout::rates(*assignment, path, layers).map(drop)?;
            }
            (Arm::Own(_), Some(layers)) if preset.is_some() && layers != PRESET_LAYERS => {
                let fix = "--set schedule.preset= makes a schedule for this model";
                let expected = format!("left out for a model of {layers} layers");
                return Err(Error::field("schedule", "schedule.preset", expected, "that of bert-base", fix));
            }
            _ => {}
        }
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

/// Layers of the model that the published schedule is for.
const PRESET_LAYERS: usize = 12;

/// How long steps take, to say what is left.
struct Clock {
    /// Mean seconds and number of steps by command.
    seen: HashMap<String, (f64, usize)>,
    ran: usize,
    /// Whether an earlier run left records.
    before: bool,
}

impl Clock {
    /// Begins with what an earlier run in this folder recorded.
    fn new(steps: &[Step], folder: &Path) -> Clock {
        let mut clock = Clock { seen: HashMap::new(), ran: 0, before: false };
        let records = steps.iter().filter_map(|step| Some((step, step.record(folder)?)));
        records.for_each(|(step, Record { seconds, .. })| clock.took(step, seconds));
        clock.before = !clock.seen.is_empty();
        clock
    }

    fn took(&mut self, step: &Step, seconds: f64) {
        let (mean, count) = self.seen.entry(step.command().to_string()).or_insert((0.0, 0));
        *mean = (*mean * *count as f64 + seconds) / (*count + 1) as f64;
        *count += 1;
    }

    /// What these steps will take, once each of their commands has been seen.
    fn left(&self, steps: &[Step]) -> String {
        let each = steps.iter().map(|step| self.seen.get(step.command()).map(|(mean, _)| mean));
        match each.sum::<Option<f64>>() {
            Some(seconds) if seconds >= 1.0 => {
                // Of a run that was finished once, later steps may be done already.
                let word = if self.before { "at most" } else { "about" };
                format!(", {word} {} left", HumanDuration(Duration::from_secs_f64(seconds)))
            }
            _ => String::new(),
        }
    }
}
