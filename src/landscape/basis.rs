//! Vectors of a Krylov basis: on disk, so that a killed run resumes, and in memory as far as there is room.
//!
//! Behind each vector on the disk stands a checksum over it, its number and what it belongs to. One that does not fit is an
//! error, after which [`Basis::is_broken`] says that the file is to be given up.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::{files, provenance};

/// Vectors of one length, by number.
pub struct Basis {
    path: PathBuf,
    file: File,
    /// What the vectors belong to, and the number of the basis in hand.
    owner: String,
    number: usize,
    broken: bool,
    length: usize,
    /// How many are kept in memory, too.
    room: usize,
    kept: Vec<Option<Vec<f32>>>,
}

impl Basis {
    /// The vectors in the file at `path`, or none yet; `owner` is what they belong to, `memory` the number of bytes that may be
    /// kept.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if something else than a file has its name, [`Error::Io`] if it cannot be opened.
    pub fn open(path: &Path, owner: &str, length: usize, memory: usize) -> Result<Basis> {
        files::check_plain(path)?;
        alone(path)?;
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.map_err(Error::io(path, "open"))?;
        Ok(Basis {
            path: path.to_path_buf(),
            file,
            owner: format!("{owner} {}", provenance::arithmetic()),
            number: 0,
            broken: false,
            length,
            room: memory / bytes(length).max(1),
            kept: Vec::new(),
        })
    }

    /// From here on the vectors are those of basis `number`; those of another are not taken for them.
    pub fn begin(&mut self, number: usize) {
        if number != self.number {
            self.kept.clear();
        }
        self.number = number;
    }

    /// Whether a vector in the file was not as it was written.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Forgets all vectors.
    pub fn clear(&mut self) -> Result<()> {
        self.kept.clear();
        self.file.set_len(0).map_err(Error::io(&self.path, "empty"))
    }

    /// Keeps vector `k`.
    pub fn set(&mut self, k: usize, vector: Vec<f32>) -> Result<()> {
        let write = |e| Error::io(&self.path, "write")(e);
        let mut sum = self.checksum(k);
        self.file.seek(SeekFrom::Start(self.place(k))).map_err(write)?;
        let mut piece = Vec::with_capacity(1 << 18);
        for values in vector.chunks(1 << 16) {
            piece.clear();
            piece.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            sum.update(&piece);
            self.file.write_all(&piece).map_err(write)?;
        }
        self.file.write_all(sum.finalize().as_bytes()).map_err(write)?;
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
    /// [`Error::Field`] if the file does not hold it as it was written.
    pub fn get(&mut self, k: usize) -> Result<Cow<'_, [f32]>> {
        if self.kept.get(k).is_none_or(Option::is_none) {
            let vector = self.read(k)?;
            if k >= self.room {
                return Ok(Cow::Owned(vector));
            }
            self.kept.resize(self.kept.len().max(k + 1), None);
            self.kept[k] = Some(vector);
        }
        Ok(Cow::Borrowed(self.kept[k].as_deref().unwrap_or_default()))
    }

    fn read(&mut self, k: usize) -> Result<Vec<f32>> {
        let read = |e| Error::io(&self.path, "read")(e);
        let long = self.file.metadata().map_err(read)?.len() >= self.place(k + 1);
        let mut sum = self.checksum(k);
        let mut values = vec![0u8; if long { bytes(self.length) } else { 0 }];
        let mut stored = [0u8; SUM];
        if long {
            self.file.seek(SeekFrom::Start(self.place(k))).map_err(read)?;
            self.file.read_exact(&mut values).map_err(read)?;
            self.file.read_exact(&mut stored).map_err(read)?;
            sum.update(&values);
        }
        if !long || sum.finalize() != blake3::Hash::from_bytes(stored) {
            self.broken = true;
            let (path, fix) = (self.path.display(), "remove it and the .unfinished file next to it");
            return Err(Error::said(path, format!("vector {k} has changed since it was written"), fix));
        }
        Ok(values.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// The checksum of vector `k`, to which its values are to be added.
    fn checksum(&self, k: usize) -> blake3::Hasher {
        let mut sum = blake3::Hasher::new();
        sum.update(format!("{} {} {k} {}", self.owner, self.number, self.length).as_bytes());
        sum
    }

    fn place(&self, k: usize) -> u64 {
        (k * (bytes(self.length) + SUM)) as u64
    }
}

/// Bytes of a checksum.
const SUM: usize = 32;

/// Copies a file that has a second name, so that what is written to it is not written there.
fn alone(path: &Path) -> Result<()> {
    if !files::is_plain(path) || !has_second_name(path) {
        return Ok(());
    }
    let mut from = File::open(path).map_err(Error::io(path, "read"))?;
    files::write_with(path, |to| std::io::copy(&mut from, to).map(drop))
}

#[cfg(unix)]
fn has_second_name(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().is_ok_and(|found| found.nlink() > 1)
}

/// Where that is not known, it is taken for granted.
#[cfg(not(unix))]
fn has_second_name(_: &Path) -> bool {
    true
}

/// Bytes of a vector.
pub fn bytes(length: usize) -> usize {
    length * size_of::<f32>()
}
