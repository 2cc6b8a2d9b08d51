//! What killed commands left half-written, and its removal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{is_plain, list, remove};
use crate::error::Result;

/// How the name of a file that is being written begins.
pub(super) const PARTIAL: &str = ".partial-";

/// Removes what killed commands left half-written in a folder and below, if there is such a folder; links are not
/// followed.
pub fn sweep(folder: &Path) -> Result<()> {
    sweep_beside(folder)?;
    if folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        list(folder)?.iter().try_for_each(|path| sweep(path))?;
    }
    Ok(())
}

/// As [`sweep`], but leaves the folders in it alone.
pub fn sweep_beside(folder: &Path) -> Result<()> {
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let partial = |path: &&PathBuf| {
        is_plain(path) && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
    };
    list(folder)?.iter().filter(partial).for_each(|path| remove_left(path));
    Ok(())
}

/// Removes a partial file that no process writes any more, if that may be done. The lock is held until it is gone, so that a
/// writer that has just made it sees that it is gone. A lock says nothing of other machines: where they may be at work, an hour
/// has to pass.
fn remove_left(path: &Path) {
    let Ok(file) = std::fs::File::open(path) else { return };
    let may = !OTHERS.load(Ordering::Relaxed) || is_old(path).is_ok_and(|old| old);
    if may && file.try_lock().is_ok() {
        let _ = remove(path);
    }
}

/// Whether other machines may be at work in the folders that this process writes into.
static OTHERS: AtomicBool = AtomicBool::new(false);

/// From now on other machines may be at work in the folders that this process writes into.
pub fn others_at_work() {
    OTHERS.store(true, Ordering::Relaxed);
}

/// Whether a file was last written an hour ago, by the clock of the disk that it is on.
fn is_old(path: &Path) -> std::io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let now = tempfile::tempfile_in(folder)?.metadata()?.modified()?;
    let written = path.metadata()?.modified()?;
    Ok(now.duration_since(written).is_ok_and(|age| age > Duration::from_secs(3600)))
}

/// [`sweep_beside`], the first time that this process writes into a folder.
pub(super) fn sweep_once(folder: &Path) -> Result<()> {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let first = SWEPT.lock().is_ok_and(|mut swept| swept.insert(folder.to_path_buf()));
    if first { sweep_beside(folder) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write;

    /// Oracle: what was written. Two threads write while two others sweep the folder, as the processes of one run do. Catches a
    /// sweep between the making of a partial file and its lock.
    #[test]
    fn a_sweep_takes_no_file_that_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while done.load(order) < 2 {
                        sweep_beside(folder.path()).unwrap();
                    }
                });
            }
            for writer in 0..2 {
                let (folder, done) = (folder.path(), &done);
                scope.spawn(move || {
                    let written =
                        (0..500).try_for_each(|i| write(&folder.join(format!("{writer}-{i}")), b"whole"));
                    done.fetch_add(1, order);
                    written.unwrap();
                });
            }
        });
        assert_eq!(list(folder.path()).unwrap().len(), 1000);
    }

    /// Oracle: times set by hand. Catches a clock that is read the wrong way round.
    #[test]
    fn a_file_is_old_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let file = std::fs::File::create(&path).unwrap();
        let now = std::time::SystemTime::now();
        for (seconds, old) in [(0, false), (3000, false), (4000, true)] {
            file.set_modified(now - Duration::from_secs(seconds)).unwrap();
            assert_eq!(is_old(&path).unwrap(), old, "{seconds}");
        }
        file.set_modified(now + Duration::from_secs(9000)).unwrap();
        assert!(!is_old(&path).unwrap());
    }
}
