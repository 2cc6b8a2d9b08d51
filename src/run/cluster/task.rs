//! One element of a plan: its jobs, one after the other, each unless it is done.
//!
//! Two processes with the same element do no harm: they write the same bytes, and pass over what the other is at work on. What fails
//! leaves its cause beside the records and does not stop the rest.

use std::path::Path;
use std::process::ExitCode;

use super::plan::{Job, Plan};
use super::{Submission, signals};
use crate::error::{Error, Result};
use crate::progress;
use crate::provenance::command_line;
use crate::run::executor::gather::wait_until;
use crate::run::executor::perform;
use crate::run::failure::Failure;
use crate::run::stage;
use crate::run::step::{self, Hashes, Step};
use crate::{files, stop};

/// The exit code where another process was at work on a part: try again later.
const TRY_AGAIN: u8 = 75;

/// What became of a job.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Done,
    Failed,
    /// What it reads is not there.
    Without,
    /// Another process is at work on it.
    Held,
}

/// Runs an element; waves count from 1, elements from 0.
///
/// # Errors
///
/// [`Error::Field`] for a wave or an element that the plan does not have, or a folder that is not seen from here; a full disk. A step
/// that fails is no error: its cause is written down.
pub fn run(submission: &Submission, wave: usize, element: usize) -> Result<ExitCode> {
    let plan = submission.read()?;
    let name = submission.folder.display();
    let waves = plan.waves.len();
    let fix = format!("{} lists them", submission.plan_path().display());
    let Some(jobs) = wave.checked_sub(1).and_then(|i| plan.waves.get(i)) else {
        return Err(Error::field(name, "WAVE", format!("from 1 to {waves}"), wave, fix));
    };
    let Some(jobs) = jobs.elements.get(element) else {
        let last = jobs.elements.len().saturating_sub(1);
        return Err(Error::field(name, "INDEX", format!("from 0 to {last}"), element, fix));
    };
    files::others_at_work();
    signals::mind();
    let folder = submission.enter(&plan)?;
    let mut worker = Worker {
        plan: &plan,
        folder: &folder,
        hashes: plan.cells.iter().map(|cell| Hashes::at(cell.places.clone())).collect(),
        identity: String::new(),
    };
    let mut outcomes = jobs.iter().map(|job| worker.attempt(job)).collect::<Result<Vec<_>>>()?;
    // What others were at work on may have ended with them.
    for (job, outcome) in jobs.iter().zip(&mut outcomes).filter(|(_, outcome)| **outcome == Outcome::Held) {
        *outcome = worker.attempt(job)?;
    }
    let any = |wanted: Outcome| outcomes.contains(&wanted);
    let count = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
    progress::status(format!("{count} of {} done", outcomes.len()));
    // What a later wave lacks is told by the steps that lack it: others are not to wait in vain.
    let light = plan.waves[wave - 1].light;
    Ok(match (any(Outcome::Held), any(Outcome::Failed) || any(Outcome::Without)) {
        (true, _) => ExitCode::from(TRY_AGAIN),
        (false, true) if !light => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

struct Worker<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    /// Of each cell.
    hashes: Vec<Hashes>,
    /// Of the step that is at work, once it is known.
    identity: String,
}

impl Worker<'_> {
    fn attempt(&mut self, job: &Job) -> Result<Outcome> {
        let (step, own) = self.plan.step(job, self.folder);
        let _shared = files::lock_shared(&step::records(&own)?.join("lock"))?;
        let lock = match job.part {
            None => "lock".to_string(),
            Some((k, n)) => format!("{k}-{n}.lock"),
        };
        let Some(_lock) = files::try_lock(&step.beside_record(&own, &lock))? else {
            progress::note(format!("{}: another process is at work on it", step.name));
            return Ok(Outcome::Held);
        };
        match self.finish(job, step, &own) {
            Ok(outcome) => Ok(outcome),
            Err(Error::Stopped) => signals::end(),
            Err(cause) => {
                progress::warn(format!("{} failed: {cause}", step.name));
                Failure::new(&self.identity, &cause).write(step, &own)?;
                if cause.is_full() { Err(cause) } else { Ok(Outcome::Failed) }
            }
        }
    }

    /// Sees that a job is done.
    fn finish(&mut self, job: &Job, step: &Step, own: &Path) -> Result<Outcome> {
        self.identity.clear();
        let there = || step.read().all(|path| files::exists(&own.join(path)));
        if !there() && !wait_until(there) {
            progress::warn(format!("{}: its inputs are missing; see what failed before", step.name));
            return Ok(Outcome::Without);
        }
        let hashes = &mut self.hashes[job.cell];
        let identity = step.identity(own, hashes)?;
        self.identity.clone_from(&identity);
        if step.done(&identity, own, hashes).is_some() {
            progress::detail(format!("{}: done before", step.name));
            return Ok(Outcome::Done);
        }
        let line = command_line(step.words(own));
        for other in self.plan.cells.iter().map(|cell| self.folder.join(&cell.folder)) {
            if step.adopt(&identity, &line, &other, own, hashes)?.is_some() {
                return Ok(Outcome::Done);
            }
        }
        if job.adopted {
            progress::warn(format!(
                "{}: the cell that does it has not finished; see what failed there",
                step.name
            ));
            return Ok(Outcome::Without);
        }
        progress::status(match job.part {
            None => step.name.clone(),
            Some((k, n)) => format!("{}, part {k} of {n}", step.name),
        });
        step.make_way(own)?;
        Failure::remove(step, own)?;
        match job.part {
            None => {
                let record = perform(step, own, &identity)?;
                self.hashes[job.cell].learn(own, &record);
            }
            Some((k, n)) => {
                let part = step.clone().option("--slice", format!("{k}/{n}"));
                let line = command_line(part.words(own));
                stage(&part, own)?.run(&line)?;
            }
        }
        stop::gained();
        Ok(Outcome::Done)
    }
}
