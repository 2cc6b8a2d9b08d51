//! Who runs the steps of a plan: this process, processes of their own, the tasks of a cluster, or, in tests, nobody.
//!
//! An executor is given steps whose inputs are there, as many as it has room for, and says when one has ended. What it says is
//! a claim: what counts is the record that the step itself leaves in the run's folder. Everything else (what is done already,
//! which step is next, what a failure means, what the user is told) is the runner's, so that no executor can do it differently.
//!
//! A new one is a file here, a line of [`Kind`] and a row in `tests/executors.rs`.

pub mod gather;
mod local;
#[cfg(test)]
pub mod mock;
pub mod process;

use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use super::graph::Graph;
use super::step::{Record, Step};
use super::{Places, stage};
use crate::error::Result;
use crate::progress;
use crate::provenance::{self, command_line};

/// Runs steps, each of which writes its own record.
pub trait Executor {
    /// All that is ahead, before the first step starts and whenever it changes: for those that must know it beforehand.
    fn plan(&mut self, _graph: &Graph) -> Result<()> {
        Ok(())
    }

    /// Whether another step can be started.
    fn room(&self) -> bool;

    /// Whether a step that is started will be run here, and so may have what stands in its way set aside.
    fn runs(&self, _step: &Step) -> bool {
        true
    }

    /// Starts a step whose inputs are there; its record is to have this identity.
    fn start(&mut self, step: &Step, identity: &str) -> Result<()>;

    /// Waits until a step has ended; none if none was started.
    fn wait(&mut self) -> Option<Finished>;
}

/// A step that has ended.
pub struct Finished {
    /// Its name.
    pub step: String,
    pub outcome: Result<()>,
}

/// The executors, as they are named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `local`: in this process, one step after the other.
    Local,
    /// `process` or `process:N`: each in a process of its own, N of them at once.
    Process(NonZeroUsize),
    /// Steps of seconds here, after tasks of a cluster have done the long ones; has no name, since no run begins with it.
    Gather,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Kind, String> {
        let at_once = match text {
            "local" => return Ok(Kind::Local),
            "process" => Some("1"),
            _ => text.strip_prefix("process:"),
        };
        let at_once = at_once.and_then(|n| n.parse().ok());
        at_once.map(Kind::Process).ok_or_else(|| "expected local, process or process:N".into())
    }
}

impl Kind {
    /// The executor for a run in `folder`; `places` are those of inputs that are not read where they are named.
    pub fn executor(self, folder: &Path, places: &Places) -> Box<dyn Executor> {
        match self {
            Kind::Local => Box::new(local::Local::new(folder)),
            Kind::Gather => Box::new(gather::Gather::new(folder)),
            Kind::Process(at_once) => Box::new(process::Processes::new(folder, places, at_once)),
        }
    }
}

/// Runs a step in this thread, and writes its record.
pub fn perform(step: &Step, folder: &Path, identity: &str) -> Result<Record> {
    let line = command_line(step.words(folder));
    let stage = stage(step, folder)?;
    progress::at_work(&step.name);
    // The step before may have been on a device.
    provenance::computed_on(None);
    let started = Instant::now();
    let (outcome, said) = progress::listen(|| stage.run(&line));
    outcome?;
    let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    step.finish(folder, Record::new(step, line, identity, seconds, said))
}
