//! What the tasks of a cluster have done, put together: steps of seconds are run here, long ones must be there.
//!
//! Files that other nodes have written may be seen late. So a record that is missing is waited for, [`patience`] once in all.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::local::Local;
use super::{Executor, Finished};
use crate::error::{Error, Result};
use crate::run::failure::Failure;
use crate::run::step::Step;

pub struct Gather {
    folder: PathBuf,
    local: Local,
    /// A long step that is to be there, and its identity.
    expected: Option<(Step, String)>,
}

impl Gather {
    pub fn new(folder: &Path) -> Gather {
        Gather { folder: folder.to_path_buf(), local: Local::new(folder), expected: None }
    }

    /// What became of a long step.
    fn outcome(&self, step: &Step, identity: &str) -> Result<()> {
        let failed = || Failure::read(step, &self.folder).filter(|failure| failure.identity == identity);
        let seen = || step.recorded(identity, &self.folder).is_ok();
        let ended = wait_until(|| seen() || failed().is_some());
        match failed() {
            _ if ended && seen() => Ok(()),
            Some(failure) => Err(failure.error()),
            None => {
                let cause = "no task finished it; `fisherscape status` says what became of them".to_string();
                Err(Error::Elsewhere { cause, disk_full: false })
            }
        }
    }
}

impl Executor for Gather {
    fn room(&self) -> bool {
        self.expected.is_none() && self.local.room()
    }

    fn runs(&self, step: &Step) -> bool {
        !step.is_heavy()
    }

    fn start(&mut self, step: &Step, identity: &str) -> Result<()> {
        if step.is_heavy() {
            self.expected = Some((step.clone(), identity.to_string()));
            return Ok(());
        }
        self.local.start(step, identity)
    }

    fn wait(&mut self) -> Option<Finished> {
        match self.expected.take() {
            Some((step, identity)) => {
                let outcome = self.outcome(&step, &identity);
                Some(Finished { step: step.name, outcome })
            }
            None => self.local.wait(),
        }
    }
}

/// How long what another node has written may stay unseen: `FISHERSCAPE_WAIT` seconds, or 90. NFS looks again after 60 at most by itself.
fn patience() -> Duration {
    let given = std::env::var("FISHERSCAPE_WAIT").ok().and_then(|text| text.trim().parse().ok());
    Duration::from_secs(given.unwrap_or(90))
}

/// Waits until something is seen; in vain for as long as [`patience`] says, in this process once in all.
pub fn wait_until(seen: impl Fn() -> bool) -> bool {
    static UNTIL: OnceLock<Instant> = OnceLock::new();
    while !seen() {
        if Instant::now() > *UNTIL.get_or_init(|| Instant::now() + patience()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    true
}
