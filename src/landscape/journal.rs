//! Finished units of a long computation on disk, so that a killed run goes on with the same bytes at the end.
//!
//! One line for each unit, in the order of the work, behind a line that identifies the inputs. A journal of other
//! inputs, or a damaged one, is never continued.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An append-only list of results, each some numbers.
pub struct Journal {
    path: PathBuf,
    file: std::fs::File,
    /// Results of an earlier run, the next one first.
    finished: VecDeque<Vec<f64>>,
}

impl Journal {
    /// Opens the journal for these inputs; one of other inputs, or a damaged one, starts anew. What a kill cut short
    /// is dropped, what is whole stays where it is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    pub fn open(path: &Path, inputs: &str) -> Result<Journal> {
        let write = |e| Error::io(path, "write")(e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "make"))?;
        }
        let text =
            std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let (mut whole, mut finished) = (0, VecDeque::new());
        if lines.next().is_some_and(|first| first.trim_end() == inputs) {
            whole = inputs.len() + 1;
            for line in lines {
                // As bits, because JSON knows no NaN and infinity.
                let Ok(bits) = serde_json::from_str::<Vec<u64>>(line) else { break };
                finished.push_back(bits.into_iter().map(f64::from_bits).collect());
                whole += line.len();
            }
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(write)?;
        file.set_len(whole as u64).map_err(write)?;
        let mut journal = Journal { path: path.to_path_buf(), file, finished };
        if whole == 0 {
            journal.line(inputs)?;
        }
        Ok(journal)
    }

    /// Units of an earlier run that have not been asked for yet.
    pub fn left(&self) -> usize {
        self.finished.len()
    }

    /// The result of the next unit: of an earlier run where it got so far, of `work` otherwise.
    pub fn unit(&mut self, work: impl FnOnce() -> Result<Vec<f64>>) -> Result<Vec<f64>> {
        if let Some(done) = self.finished.pop_front() {
            return Ok(done);
        }
        let values = work()?;
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        self.line(&serde_json::to_string(&bits).map_err(|e| Error::io(&self.path, "write")(e.into()))?)?;
        Ok(values)
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(Error::io(&self.path, "write"))
    }
}
