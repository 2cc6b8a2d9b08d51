//! A pass over the examples in blocks that may be computed apart: by several processes, and after a kill.
//!
//! F is a running sum in float32, whose bits depend on where it is cut. So the batches are cut into blocks at places that
//! follow from the set alone; each block is summed from zero, and the blocks are added in order. A block that is finished
//! may lie on the disk, beside the result: `F.safetensors.block-07`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::model::Sums;
use crate::params::{self, Column, SafetensorsFile};
use crate::{files, progress, stop};

/// Blocks of a pass at most.
pub const MOST: usize = 16;
/// Batches of a block at least: adding a block is a pass over all parameters.
const LEAST: usize = 8;

/// The batches of each block.
pub fn cut(batches: usize) -> Vec<Range<usize>> {
    let count = (batches / LEAST).clamp(1, MOST);
    (0..count).map(|i| i * batches / count..(i + 1) * batches / count).collect()
}

/// Finished blocks on the disk.
pub struct Blocks {
    /// The result that they belong to.
    result: PathBuf,
    /// What identifies the inputs, and the kind of arithmetic, on which the bits depend.
    inputs: String,
}

impl Blocks {
    /// Those beside `result`, of these inputs.
    pub fn beside(result: &Path, inputs: String) -> Blocks {
        Blocks { result: result.to_path_buf(), inputs }
    }

    fn path(&self, block: usize) -> PathBuf {
        files::with_ending(&self.result, format!("block-{:02}", block + 1))
    }

    /// Whether there is one that could be taken.
    pub fn has(&self, block: usize) -> bool {
        files::is_plain(&self.path(block))
    }

    /// Puts a finished block into `sums`, which hold zeros; says whether there was one. One of other inputs, or a damaged one,
    /// is none.
    pub fn take(&self, block: usize, sums: &mut [Sums]) -> Result<bool> {
        let path = self.path(block);
        files::check_plain(&path)?;
        if !files::is_plain(&path) {
            return Ok(false);
        }
        let Ok(mut file) = SafetensorsFile::open(&path) else { return Ok(not_taken(&path, "is damaged")) };
        let known = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        let (inputs, checksum) = (known("inputs"), known("checksum"));
        if inputs != self.inputs {
            return Ok(not_taken(&path, "is of other inputs, or of another kind of processor or device"));
        }
        let mut hash = blake3::Hasher::new();
        let mut restore =
            |(i, own): (usize, &mut Sums)| own.squares.restore(&mut file, &i.to_string(), &mut hash).is_ok();
        let restored = sums.iter_mut().enumerate().all(&mut restore);
        if restored && hash.finalize().to_hex().as_str() == checksum {
            return Ok(true);
        }
        // Some of it may stand there by now.
        sums.iter_mut().for_each(|own| own.squares.clear());
        Ok(not_taken(&path, "is damaged"))
    }

    /// Keeps a finished block.
    pub fn keep(&self, block: usize, sums: &[Sums]) -> Result<()> {
        let mut hash = blake3::Hasher::new();
        let mut columns: Vec<(String, Vec<usize>, Column)> = Vec::new();
        for (i, own) in sums.iter().enumerate() {
            columns.extend(own.squares.columns(&i.to_string(), &mut hash));
        }
        let metadata = BTreeMap::from([
            ("inputs".to_string(), self.inputs.clone()),
            ("checksum".to_string(), hash.finalize().to_hex().to_string()),
        ]);
        params::write_safetensors(&self.path(block), columns, &metadata)?;
        stop::gained();
        Ok(())
    }

    /// Removes them: the result is there.
    pub fn remove(&self) -> Result<()> {
        (0..MOST)
            .map(|block| self.path(block))
            .filter(|path| files::exists(path))
            .try_for_each(|p| files::remove(&p))
    }
}

fn not_taken(path: &Path, why: &str) -> bool {
    progress::note(format!("{} {why}: computed anew", path.display()));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Property: blocks follow one another without a gap, no more than sixteen, none below eight batches unless it is alone. Catches
    /// a batch that is lost between two blocks or taken twice.
    #[test]
    fn blocks_cover_the_batches() {
        for batches in 0..400 {
            let blocks = cut(batches);
            assert_eq!(
                blocks.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..batches).collect::<Vec<_>>()
            );
            assert!(blocks.len() <= MOST && (blocks.len() == 1 || blocks.iter().all(|b| b.len() >= LEAST)));
        }
        assert_eq!((cut(15).len(), cut(16).len(), cut(4000).len()), (1, 2, MOST));
    }
}
