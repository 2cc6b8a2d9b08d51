//! Locks: out of politeness between processes, never for correctness.
//!
//! What is written is right without them (files are renamed when they are whole); a lock keeps two processes from doing the same
//! work. Between machines it may not hold, and some disks have none: then work continues, with a note.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::check_plain;
use crate::error::{Error, Result};
use crate::progress;

/// Keeps other processes out of a folder until the file that is returned is closed, at the latest by the end of this
/// process, however it comes.
///
/// # Errors
///
/// [`Error::Field`] if another process holds the lock, or the file is a link.
pub fn lock(path: &Path) -> Result<File> {
    try_lock(path)?.ok_or_else(|| held(path))
}

/// As [`lock`]; nothing if another process holds it.
pub fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = open_lock(path)?;
    let got = got(path, file.try_lock())?;
    Ok(got.then_some(file))
}

/// As [`lock`], but others that share it may hold it as well.
pub fn lock_shared(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    if got(path, file.try_lock_shared())? { Ok(file) } else { Err(held(path)) }
}

/// As [`lock`], but waits until it is free.
pub fn wait_for_lock(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    got(path, file.lock().map_err(TryLockError::Error))?;
    Ok(file)
}

fn held(path: &Path) -> Error {
    let fix = "wait for it, or give this run a folder of its own with --out; on a cluster `fisherscape status FOLDER` says what is at work";
    Error::said(path.display(), "another run is at work in this folder", fix)
}

/// Whether the lock was got; a disk without locks gives it to everybody.
fn got(path: &Path, outcome: std::result::Result<(), TryLockError>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) if is_without(&e) => {
            progress::note(format!(
                "{}: this disk has no locks; start no second run in the folder",
                path.display()
            ));
            Ok(true)
        }
        Err(TryLockError::Error(e)) => Err(Error::io(path, "lock")(e)),
    }
}

/// Whether an error says that the disk has no locks: Lustre without `flock`, NFS without its lock daemon, some FUSE.
fn is_without(cause: &io::Error) -> bool {
    const ENOLCK: i32 = 37;
    const ENOSYS: i32 = 38;
    const EOPNOTSUPP: i32 = 95;
    let number = cause.raw_os_error();
    cause.kind() == io::ErrorKind::Unsupported
        || [ENOLCK, ENOSYS, EOPNOTSUPP].iter().any(|&own| number == Some(own))
}

/// Nothing is emptied: whatever the file is, its contents stay.
fn open_lock(path: &Path) -> Result<File> {
    check_plain(path)?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).open(path).map_err(Error::io(path, "lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the numbers of Linux' errors. Without locks work continues; any other error is one.
    #[test]
    fn a_disk_without_locks_gives_them_all() {
        let path = Path::new("lock");
        let error = |number| Err(TryLockError::Error(io::Error::from_raw_os_error(number)));
        for number in [37, 38, 95] {
            assert!(got(path, error(number)).unwrap());
        }
        for number in [5, 13, 28] {
            assert!(got(path, error(number)).is_err());
        }
        assert!(!got(path, Err(TryLockError::WouldBlock)).unwrap());
    }

    /// Oracle: by hand. Sharers share, and keep out who wants the lock alone; it is free when they are gone.
    #[test]
    fn a_shared_lock_is_shared() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (lock_shared(&path)?, lock_shared(&path)?);
        assert!(try_lock(&path)?.is_none() && lock(&path).is_err());
        drop(first);
        assert!(try_lock(&path)?.is_none());
        drop(second);
        let own = lock(&path)?;
        assert!(lock_shared(&path).is_err());
        drop(own);
        Ok(())
    }
}
