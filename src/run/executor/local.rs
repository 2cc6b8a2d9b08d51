//! Steps in this process, one after the other, each on all processors.

use std::path::{Path, PathBuf};

use super::{Executor, Finished, perform};
use crate::error::Result;
use crate::run::step::Step;

pub struct Local {
    folder: PathBuf,
    /// The step that is to be run, and its identity.
    next: Option<(Step, String)>,
}

impl Local {
    pub fn new(folder: &Path) -> Local {
        Local { folder: folder.to_path_buf(), next: None }
    }
}

impl Executor for Local {
    fn room(&self) -> bool {
        self.next.is_none()
    }

    fn start(&mut self, step: &Step, identity: &str) -> Result<()> {
        self.next = Some((step.clone(), identity.to_string()));
        Ok(())
    }

    fn wait(&mut self) -> Option<Finished> {
        let (step, identity) = self.next.take()?;
        let outcome = perform(&step, &self.folder, &identity).map(drop);
        Some(Finished { step: step.name, outcome })
    }
}
