//! An executor that runs no command: a step writes its own name into every file that it should write, or has a mishap.
//!
//! It has room for several steps and ends the last one first, so what does not wait for one another is out of order.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Executor, Finished};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::Said;
use crate::provenance::command_line;
use crate::run::graph::Graph;
use crate::run::step::{Record, Step};

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mishap {
    Fails,
    /// It leaves half of what it writes, no record and no word.
    Killed,
    /// It ends well, but what it wrote is not there.
    Lost,
    DiskFull,
}

pub struct Mock {
    folder: PathBuf,
    at_once: usize,
    mishap: Option<(String, Mishap)>,
    /// Every path that a step of the plan reads.
    read: Vec<String>,
    working: Vec<(Step, String)>,
    /// The names of the steps that were started, in order.
    pub started: Vec<String>,
}

impl Mock {
    /// The step of this name has the mishap.
    pub fn new(folder: &Path, at_once: usize, mishap: Option<(&str, Mishap)>) -> Mock {
        let mishap = mishap.map(|(name, mishap)| (name.to_string(), mishap));
        let (read, working, started) = (Vec::new(), Vec::new(), Vec::new());
        Mock { folder: folder.to_path_buf(), at_once, mishap, read, working, started }
    }

    fn write(&self, step: &Step, path: &str) -> Result<()> {
        // A path below which others read is a folder.
        let below: Vec<&String> = self.read.iter().filter(|read| Path::new(read).starts_with(path)).collect();
        let files = below.iter().map(|path| path.as_str()).filter(|below| *below != path);
        let files: Vec<&str> = files.collect();
        let files = if files.is_empty() { vec![path] } else { files };
        files.iter().try_for_each(|path| files::write(&self.folder.join(path), step.name.as_bytes()))
    }

    fn run(&self, step: &Step, identity: &str) -> Result<()> {
        let mishap = self.mishap.as_ref().filter(|(name, _)| *name == step.name).map(|(_, mishap)| *mishap);
        match mishap {
            Some(Mishap::Fails) => {
                return Err(Error::field(&step.name, "loss", "finite", "NaN", "a lower rate"));
            }
            Some(Mishap::DiskFull) => {
                let cause = ErrorKind::StorageFull.into();
                return Err(Error::io(&self.folder, "write")(cause));
            }
            _ => {}
        }
        step.written().try_for_each(|path| self.write(step, path))?;
        if mishap == Some(Mishap::Killed) {
            return Err(Error::Elsewhere { cause: "its process ended by signal".into(), disk_full: false });
        }
        let line = command_line(step.words(&self.folder));
        let record = step.finish(&self.folder, Record::new(step, line, identity, 1.0, Said::default()))?;
        if mishap == Some(Mishap::Lost) {
            record.outputs.keys().try_for_each(|path| files::remove(&self.folder.join(path)))?;
        }
        Ok(())
    }
}

impl Executor for Mock {
    fn plan(&mut self, graph: &Graph) -> Result<()> {
        self.read = graph.steps().iter().flat_map(Step::read).map(str::to_string).collect();
        Ok(())
    }

    fn room(&self) -> bool {
        self.working.len() < self.at_once
    }

    fn start(&mut self, step: &Step, identity: &str) -> Result<()> {
        self.started.push(step.name.clone());
        self.working.push((step.clone(), identity.to_string()));
        Ok(())
    }

    fn wait(&mut self) -> Option<Finished> {
        let (step, identity) = self.working.pop()?;
        let outcome = self.run(&step, &identity);
        Some(Finished { step: step.name, outcome })
    }
}
