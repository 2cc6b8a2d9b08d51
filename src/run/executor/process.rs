//! Each step in a process of its own: `fisherscape step FOLDER NAME`, which finds the step in `steps/plan.json`.
//!
//! A step that goes wrong says why in `steps/NAME.failed.json`; one that is killed leaves neither that nor a record. A process
//! ends when the one that started it does, however that ends: it holds the other end of its standard input. Until it has, its
//! step's lock keeps the next run from starting the step a second time.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};

use super::{Executor, Finished, perform};
use crate::error::{Error, Result};
use crate::files;
use crate::progress;
use crate::run::failure::Failure;
use crate::run::graph::{Graph, Wave};
use crate::run::step::{self, Hashes, Step};
use crate::run::{Places, read_json, write_json};

/// What is ahead in a run, `steps/plan.json`.
#[derive(Serialize)]
struct Plan<'a> {
    waves: Vec<Wave>,
    places: &'a Places,
    steps: &'a [Step],
}

/// What is read of it.
#[derive(Deserialize)]
struct Planned {
    places: Places,
    steps: Vec<Step>,
}

fn plan_path(folder: &Path) -> Result<PathBuf> {
    Ok(step::records(folder)?.join("plan.json"))
}

pub struct Processes {
    folder: PathBuf,
    places: Places,
    at_once: NonZeroUsize,
    /// The other ends of the processes' standard input, by step.
    working: HashMap<String, Option<ChildStdin>>,
    ended: (Sender<Finished>, Receiver<Finished>),
}

impl Processes {
    pub fn new(folder: &Path, places: &Places, at_once: NonZeroUsize) -> Processes {
        let (folder, places) = (folder.to_path_buf(), places.clone());
        Processes { folder, places, at_once, working: HashMap::new(), ended: channel() }
    }

    fn command(&self, step: &Step) -> Result<Command> {
        let program = std::env::current_exe().map_err(Error::io(Path::new("fisherscape"), "find"))?;
        let threads = (rayon::current_num_threads() / self.at_once).max(1);
        let mut command = Command::new(program);
        match progress::verbosity() {
            0 => drop(command.arg("--quiet")),
            // Their bars would write over one another.
            1 if self.at_once.get() > 1 => drop(command.arg("--quiet")),
            1 => {}
            _ => drop(command.arg("--verbose")),
        }
        command.args(["--threads", &threads.to_string(), "step", "--tied"]);
        command.arg(&self.folder).arg(&step.name).stdin(Stdio::piped());
        Ok(command)
    }
}

impl Executor for Processes {
    fn plan(&mut self, graph: &Graph) -> Result<()> {
        let plan = Plan { waves: graph.waves(), places: &self.places, steps: graph.steps() };
        write_json(&plan_path(&self.folder)?, &plan)
    }

    fn room(&self) -> bool {
        self.working.len() < self.at_once.get()
    }

    fn start(&mut self, step: &Step, _identity: &str) -> Result<()> {
        Failure::remove(step, &self.folder)?;
        let mut child = self.command(step)?.spawn().map_err(Error::io(&self.folder, "start a step in"))?;
        self.working.insert(step.name.clone(), child.stdin.take());
        let (step, folder, ended) = (step.clone(), self.folder.clone(), self.ended.0.clone());
        std::thread::spawn(move || {
            let outcome = outcome(child, &step, &folder);
            // Nobody receives it where the run has ended already.
            let _ = ended.send(Finished { step: step.name, outcome });
        });
        Ok(())
    }

    fn wait(&mut self) -> Option<Finished> {
        if self.working.is_empty() {
            return None;
        }
        // Every one that is at work will send, and this end is kept: it cannot fail.
        let finished = self.ended.1.recv().ok()?;
        self.working.remove(&finished.step);
        Some(finished)
    }
}

impl Drop for Processes {
    /// Ends those that are still at work, and waits for it.
    fn drop(&mut self) {
        self.working.values_mut().for_each(|stdin| drop(stdin.take()));
        while self.wait().is_some() {}
    }
}

/// Waits for a process, and gives what became of its step.
fn outcome(mut child: Child, step: &Step, folder: &Path) -> Result<()> {
    let status = child.wait().map_err(Error::io(folder, "wait for a step in"))?;
    if status.success() {
        return Ok(());
    }
    if let Some(failure) = Failure::read(step, folder) {
        return Err(failure.error());
    }
    let killed = Failure::told("", format!("its process ended by {status}"), false);
    // Where there is no room for these few bytes, that is the cause.
    killed.write(step, folder)?;
    Err(killed.error())
}

/// Runs one step of the plan in `folder`. With `tied`, this process ends with the one that started it.
///
/// # Errors
///
/// [`Error::Field`] if there is no such plan or step. A step that fails is no error: its failure is written down.
pub fn run_step(folder: &Path, name: &str, tied: bool) -> Result<ExitCode> {
    if tied {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(1);
        });
    }
    let path = plan_path(folder)?;
    let Planned { places, steps } = read_json(&path)?;
    let Some(step) = steps.iter().find(|step| step.name == name) else {
        let fix = format!("{} lists them", path.display());
        return Err(Error::field("NAME", "step", "one of the plan", name, fix));
    };
    let _lock = files::wait_for_lock(&step.beside_record(folder, "lock"))?;
    Failure::remove(step, folder)?;
    let identity = step.identity(folder, &mut Hashes::at(places));
    match identity.and_then(|identity| perform(step, folder, &identity)) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(cause) => {
            Failure::new("", &cause).write(step, folder)?;
            Ok(ExitCode::FAILURE)
        }
    }
}
