//! The steps of one analysis, one after the other.
//!
//! A training that fails does not stop the others: it is left out of all that follows, said, and tried again the next time.
//! Where models are looked at afterwards (surfaces, sharpness and the like) there is nothing to go on with, and it is an error
//! at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::HumanDuration;

use super::plan::{self, Failed};
use super::step::{self, Hashes, Record, Step};
use super::{Places, stage};
use crate::analysis::{Analysis, Loaded};
use crate::error::{Error, Result};
use crate::files;
use crate::progress;
use crate::provenance::command_line;
use crate::stages::Stage;

/// What was done.
pub struct Done {
    /// Of each step, in order.
    pub records: Vec<Record>,
    /// The line that repeats each.
    pub lines: Vec<String>,
    pub failed: Failed,
    /// Steps run now.
    pub ran: usize,
    /// Keeps other processes out of the folder.
    _lock: File,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// It was done before, here or by another run.
    Before,
    /// After so many seconds.
    Now(f64),
    Failed,
}

/// If a run of an analysis in `folder` came to its end: the trainings that failed in it.
pub fn ended(loaded: &Loaded, folder: &Path, places: Places) -> Option<Failed> {
    let analysis = &loaded.analysis;
    let mut hashes = Hashes::at(places);
    let mut done = |step: &Step| {
        let identity = step.identity(folder, &mut hashes);
        identity.is_ok_and(|identity| step.done(&identity, folder, &mut hashes).is_some())
    };
    let steps = plan::steps(analysis, &Failed::new());
    let trainings: Vec<&Step> = steps.iter().filter(|step| may_fail(analysis, step)).collect();
    let missing: Vec<&&Step> = trainings.iter().filter(|step| !done(step)).collect();
    let why = "no finished run of it is there".to_string();
    let failed: Failed =
        missing.iter().filter_map(|step| Some((step.output()?.to_string(), why.clone()))).collect();
    let some = trainings.is_empty() || failed.len() < trainings.len();
    // What follows the trainings was done without them, or it was not yet done.
    (some && plan::steps(analysis, &failed).iter().all(done)).then_some(failed)
}

/// Whether a step may fail and the others go on: a training that nothing else looks at.
fn may_fail(analysis: &Analysis, step: &Step) -> bool {
    step.command() == "train" && !analysis.looks_at_models()
}

/// Whether the disk is full: then the next one would fail as well.
pub fn is_full(cause: &Error) -> bool {
    match cause {
        Error::Step { cause, .. } => is_full(cause),
        Error::Io { cause, .. } => matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
        _ => false,
    }
}

/// Runs the steps of an analysis in `folder`, but takes what a run in one of the folders `others` has done. `places` are those of
/// inputs that are not read where they are named. `finished` is called after each step.
///
/// # Errors
///
/// As [`super::run`].
pub fn run(
    loaded: &Loaded,
    (folder, others): (&Path, &[PathBuf]),
    (places, force): (Places, bool),
    finished: &mut dyn FnMut(&Step, Ended),
) -> Result<Done> {
    let analysis = &loaded.analysis;
    let mut failed = Failed::new();
    let mut steps = planned(loaded, folder, &failed)?;
    let _lock = files::lock(&step::records(folder)?.join("lock"))?;
    for own in plan::FOLDERS {
        files::sweep(&folder.join(own))?;
    }
    files::write(&folder.join("analysis.toml"), loaded.text.as_bytes())?;
    let mut hashes = Hashes::at(places);
    let mut clock = Clock::new(&steps, folder);
    let mut records: Vec<Record> = Vec::new();
    while let Some((step, stage)) = steps.get(records.len()) {
        let at = format!("[{}/{}]", records.len() + 1, steps.len());
        let identity = step.identity(folder, &mut hashes)?;
        let line = command_line(step.words(folder));
        let mut old = if force { None } else { step.done(&identity, folder, &mut hashes) };
        if old.is_none() {
            if clock.ran == 0 {
                // From here on they would be those of another run.
                remove_page(folder)?;
            }
            let adopted =
                others.iter().map(|other| step.adopt(&identity, &line, (other, folder), &mut hashes));
            old = adopted.filter_map(Result::transpose).next().transpose()?;
        }
        let mut ended = Ended::Before;
        let record = match old {
            Some(record) => {
                progress::detail(format!("{at} {}: done before", step.name));
                record
            }
            None => {
                progress::status(format!("{at} {}{}", step.name, clock.left(&steps[records.len()..])));
                let started = Instant::now();
                let (outcome, said) = progress::listen(|| stage.run(&line));
                if let Err(cause) = outcome {
                    let alone = may_fail(analysis, step) && !is_full(&cause);
                    let Some(run) = step.output().filter(|_| alone) else {
                        return Err(Error::Step { step: step.name.clone(), cause: Box::new(cause) });
                    };
                    progress::warn(format!("{} failed: {cause}", step.name));
                    failed.insert(run.to_string(), cause.to_string());
                    finished(step, Ended::Failed);
                    steps = planned(loaded, folder, &failed)?;
                    continue;
                }
                let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                clock.took(step, seconds);
                clock.ran += 1;
                ended = Ended::Now(seconds);
                step.finish(folder, &mut hashes, (line, identity), (seconds, said))?
            }
        };
        records.push(record);
        finished(step, ended);
    }
    let lines = steps.iter().map(|(step, _)| command_line(step.words(folder))).collect();
    Ok(Done { records, lines, failed, ran: clock.ran, _lock })
}

/// The steps without those of failed runs, and their commands.
fn planned(loaded: &Loaded, folder: &Path, failed: &Failed) -> Result<Vec<(Step, Stage)>> {
    let steps = plan::steps(&loaded.analysis, failed).into_iter();
    steps.map(|step| stage(&step, folder).map(|stage| (step, stage))).collect()
}

/// Removes the page and the tables of an earlier run.
pub fn remove_page(folder: &Path) -> Result<()> {
    files::remove(&folder.join("report.html"))?;
    let tables = folder.join("tables");
    if tables.is_dir() {
        files::list(&tables)?.iter().try_for_each(|table| files::remove(table))?;
    }
    Ok(())
}

/// An error that names the runs that failed, once all else is done.
pub fn check_failed(failed: &Failed) -> Result<()> {
    let Some((run, cause)) = failed.first_key_value() else { return Ok(()) };
    let found = format!("{} failed; {run}: {cause}", failed.len());
    let fix = "the tables are of the others; the same command tries those that failed again";
    Err(Error::field("training", "runs", "finished", found, fix))
}

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
    fn new(steps: &[(Step, Stage)], folder: &Path) -> Clock {
        let mut clock = Clock { seen: HashMap::new(), ran: 0, before: false };
        let records = steps.iter().filter_map(|(step, _)| Some((step, step.record(folder)?)));
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
    fn left(&self, steps: &[(Step, Stage)]) -> String {
        let each = steps.iter().map(|(step, _)| self.seen.get(step.command()).map(|(mean, _)| mean));
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
