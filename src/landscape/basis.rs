//! Vectors of a Krylov basis: on disk, so that a killed run goes on, and in memory as far as there is room.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Vectors of one length, by number.
pub struct Basis {
    path: PathBuf,
    file: File,
    length: usize,
    /// How many are kept in memory, too.
    room: usize,
    kept: Vec<Option<Vec<f32>>>,
}

impl Basis {
    /// The vectors in the file at `path`, or none yet; `memory` is the number of bytes that may be kept.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened.
    pub fn open(path: &Path, length: usize, memory: usize) -> Result<Basis> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.map_err(Error::io(path, "open"))?;
        Ok(Basis {
            path: path.to_path_buf(),
            file,
            length,
            room: memory / bytes(length).max(1),
            kept: Vec::new(),
        })
    }

    /// Forgets all vectors.
    pub fn clear(&mut self) -> Result<()> {
        self.kept.clear();
        self.file.set_len(0).map_err(Error::io(&self.path, "empty"))
    }

    /// Keeps vector `k`.
    pub fn set(&mut self, k: usize, vector: Vec<f32>) -> Result<()> {
        let write = |e| Error::io(&self.path, "write")(e);
        self.file.seek(SeekFrom::Start((k * bytes(self.length)) as u64)).map_err(write)?;
        let mut piece = Vec::with_capacity(1 << 18);
        for values in vector.chunks(1 << 16) {
            piece.clear();
            piece.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            self.file.write_all(&piece).map_err(write)?;
        }
        if k < self.room {
            self.kept.resize(self.kept.len().max(k + 1), None);
            self.kept[k] = Some(vector);
        }
        Ok(())
    }

    /// Vector `k`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file does not hold it.
    pub fn get(&mut self, k: usize) -> Result<Cow<'_, [f32]>> {
        if self.kept.get(k).is_none_or(Option::is_none) {
            let read = |e| Error::io(&self.path, "read")(e);
            self.file.seek(SeekFrom::Start((k * bytes(self.length)) as u64)).map_err(read)?;
            let mut values = vec![0u8; bytes(self.length)];
            self.file.read_exact(&mut values).map_err(read)?;
            let vector: Vec<f32> = values.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            if k >= self.room {
                return Ok(Cow::Owned(vector));
            }
            self.kept.resize(self.kept.len().max(k + 1), None);
            self.kept[k] = Some(vector);
        }
        Ok(Cow::Borrowed(self.kept[k].as_deref().unwrap_or_default()))
    }
}

/// Bytes of a vector.
pub fn bytes(length: usize) -> usize {
    length * size_of::<f32>()
}
