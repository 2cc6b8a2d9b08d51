//! Why a step failed, `steps/NAME.failed.json`: written by the process that ran it, read by the run that waits for it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::error::{Error, Result};
use crate::{files, provenance};

#[derive(Serialize, Deserialize)]
pub struct Failure {
    pub cause: String,
    disk_full: bool,
    /// Of the step that failed; empty where it failed before that was known.
    #[serde(default)]
    pub identity: String,
    /// The job of a cluster that it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Failure {
    pub fn new(identity: &str, cause: &Error) -> Failure {
        Failure::told(identity, cause.to_string(), cause.is_full())
    }

    /// Of a process that could not say it itself.
    pub fn told(identity: &str, cause: String, disk_full: bool) -> Failure {
        Failure { cause, disk_full, identity: identity.to_string(), job: provenance::job() }
    }

    /// As an error of the run that waited for the step.
    pub fn error(self) -> Error {
        let at = self.job.map_or(String::new(), |job| format!(" ({job})"));
        Error::Elsewhere { cause: format!("{}{at}", self.cause), disk_full: self.disk_full }
    }

    fn path(step: &Step, folder: &Path) -> PathBuf {
        step.beside_record(folder, "failed.json")
    }

    pub fn write(&self, step: &Step, folder: &Path) -> Result<()> {
        super::write_json(&Failure::path(step, folder), self)
    }

    /// That of a step, if there is a whole one.
    pub fn read(step: &Step, folder: &Path) -> Option<Failure> {
        let path = Failure::path(step, folder);
        files::is_plain(&path).then(|| super::read_json(&path).ok()).flatten()
    }

    pub fn remove(step: &Step, folder: &Path) -> Result<()> {
        files::remove(&Failure::path(step, folder))
    }
}
