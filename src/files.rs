//! Files: hashed when read, atomic when written.
//!
//! A file appears under its final name only once it is whole: bytes go to a temporary neighbour, are synced, and
//! renamed. Hashes are BLAKE3, in hexadecimal. What is compiled into the binary ([`crate::embedded`]) is read like what
//! lies on the disk.
//!
//! Folders may come from others. So what is kept between runs (records, journals, locks) is opened as a plain file alone,
//! never through a link, and a path that a file names is taken only if it stays in its folder ([`inside`]).

mod locks;
mod sweep;

use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use crate::embedded;
use crate::error::{Error, Result};

pub use locks::{lock, lock_shared, try_lock, wait_for_lock};
use sweep::{PARTIAL, sweep_once};
pub use sweep::{others_at_work, sweep, sweep_beside};

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    match embedded::file(path) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => {
            check_readable(path)?;
            again(|| std::fs::read(path)).map_err(Error::io(path, "read"))
        }
    }
}

/// A file to read piece by piece.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    match embedded::file(path) {
        Some(bytes) => Ok(Box::new(bytes)),
        None => {
            check_readable(path)?;
            let file = again(|| std::fs::File::open(path)).map_err(Error::io(path, "read"))?;
            Ok(Box::new(BufReader::new(file)))
        }
    }
}

/// A file to read from any place.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// A file to read from any place.
pub fn seekable(path: &Path) -> Result<Box<dyn Source>> {
    match embedded::file(path) {
        Some(bytes) => Ok(Box::new(io::Cursor::new(bytes))),
        None => {
            check_readable(path)?;
            Ok(Box::new(again(|| std::fs::File::open(path)).map_err(Error::io(path, "read"))?))
        }
    }
}

/// Refuses what is there and no file: a pipe would be waited for, and a device may never end.
pub fn check_readable(path: &Path) -> Result<()> {
    let found = again(|| std::fs::metadata(path)).map_err(Error::io(path, "read"))?;
    let (found, fix) = match found.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => ("a folder", "name a file in it"),
        _ => ("a pipe or a device", "write its contents to a file first"),
    };
    Err(Error::field(path.display(), "path", "a file", found, fix))
}

/// Whether there is such a file or folder. Where the folder is the compiled-in one, the disk does not count.
pub fn exists(path: &Path) -> bool {
    match path.parent().is_some_and(embedded::is_folder) || embedded::is_folder(path) {
        true => is_folder(path) || embedded::file(path).is_some(),
        false => path.exists(),
    }
}

/// Whether there is such a folder.
pub fn is_folder(path: &Path) -> bool {
    embedded::is_folder(path) || path.is_dir()
}

/// The files and folders in a folder, in name order.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if embedded::is_folder(folder) {
        return Ok(embedded::names().map(|name| folder.join(name)).collect());
    }
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// The parquet tables in the folders of a folder, down to two levels below it, in name order.
pub fn tables_below(folder: &Path) -> Vec<PathBuf> {
    let folders = |folder: &Path| {
        let mut inner = list(folder).unwrap_or_default();
        inner.retain(|path| is_folder(path));
        inner
    };
    let first = folders(folder);
    let second: Vec<PathBuf> = first.iter().flat_map(|inner| folders(inner)).collect();
    let files = first.iter().chain(&second).flat_map(|inner| list(inner).unwrap_or_default());
    let mut tables: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    tables.sort();
    tables
}

/// The text of a file; a byte-order mark at its start is removed.
pub fn read_text(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path)?)
        .map_err(|e| Error::field(path.display(), "text", "UTF-8", e.utf8_error(), "convert it to UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Writes `bytes` under `path`, all or nothing; missing folders are made.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Streams into `path`, all or nothing.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut std::io::BufWriter<&std::fs::File>) -> std::io::Result<()>,
) -> Result<()> {
    let io = |e| Error::io(path, "write")(e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io)?;
    sweep_once(folder)?;
    let temporary = partial_in(folder).map_err(io)?;
    let mut buffered = std::io::BufWriter::new(temporary.as_file());
    fill(&mut buffered).and_then(|()| buffered.flush()).map_err(io)?;
    drop(buffered);
    temporary.as_file().sync_all().map_err(io)?;
    readable_by_others(temporary.as_file()).map_err(io)?;
    match temporary.persist(path) {
        Ok(_) => Ok(()),
        Err(e) if was_renamed(&e.error, e.file.as_file(), path) => Ok(()),
        Err(e) => Err(io(e.error)),
    }
}

/// The system's number for a file that another machine has replaced.
const ESTALE: i32 = 116;

/// Reads once more where a shared disk says that another machine has just replaced the file.
fn again<T>(read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let stale = |found: &io::Result<T>| matches!(found, Err(e) if e.raw_os_error() == Some(ESTALE));
    (0..4).map(|_| read()).find(|found| !stale(found)).unwrap_or_else(&read)
}

/// Whether a renaming that failed was done all the same: a shared disk repeats what it got no answer to, and then finds nothing
/// to rename.
fn was_renamed(cause: &io::Error, written: &std::fs::File, path: &Path) -> bool {
    let gone = cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(ESTALE);
    let hash = |mut file: &std::fs::File| -> io::Result<blake3::Hash> {
        file.rewind()?;
        Ok(blake3::Hasher::new().update_reader(file)?.finalize())
    };
    let same =
        |there: std::fs::File| matches!((hash(written), hash(&there)), (Ok(own), Ok(there)) if own == there);
    gone && is_plain(path) && std::fs::File::open(path).is_ok_and(same)
}

/// A new partial file, locked for as long as it is open: no sweep takes it away. Between its making and its lock another
/// process may have swept it; then it is made anew. Where the system has no locks, nothing is swept.
fn partial_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
        if file.as_file().lock().is_err() || file.path().exists() {
            return Ok(file);
        }
    }
}

/// The place of a path in a folder. The folder may itself be reached by a link; nothing in it may.
///
/// # Errors
///
/// [`Error::Field`] for a path that is absolute or goes upwards, and for a link on its way or at its end.
pub fn inside(folder: &Path, path: &str) -> Result<PathBuf> {
    let wrong = |found: String| {
        let fix = "remove it, or make the whole folder a link instead";
        let sentence = format!("a path must lead to a plain file inside this folder, found {found}");
        Err(Error::said(folder.display(), sentence, fix))
    };
    let mut place = folder.to_path_buf();
    let parts = Path::new(path).components();
    for part in parts {
        let Component::Normal(name) = part else { return wrong(path.to_string()) };
        place.push(name);
        if place.is_symlink() {
            return wrong(format!("{}, a symbolic link", place.display()));
        }
    }
    if place == folder { wrong(format!("`{path}`")) } else { Ok(place) }
}

/// Whether there is a plain file, and no link to one.
pub fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Refuses a path at which something other than a plain file stands: it would be followed or waited for.
///
/// # Errors
///
/// [`Error::Field`] for a link, a folder, a pipe and the like.
pub fn check_plain(path: &Path) -> Result<()> {
    let found = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(_) => "something else",
    };
    Err(Error::field(path.display(), "file", "a plain file, or nothing yet", found, "move it away"))
}

/// `NAME.ENDING`: the same path with an ending behind its name, whatever ending that has.
pub fn with_ending(path: &Path, ending: impl std::fmt::Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

/// Renames a file or folder to `NAME.ENDING`, or the next such name that is free; gives that name.
pub fn set_aside(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = |count: usize| match count {
        1 => with_ending(path, ending),
        _ => with_ending(path, format!("{ending}{count}")),
    };
    let free = (1..).map(name).find(|free| free.symlink_metadata().is_err());
    let free = free.unwrap_or_else(|| name(0));
    std::fs::rename(path, &free).map_err(Error::io(path, "set aside"))?;
    Ok(free)
}

/// Puts a file under another name as well, without taking its space again where the system can; what was there is replaced.
/// Every file is written anew under its name, so a later change of one does not touch the other. Two names of one file stay.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    if to.canonicalize().is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to)) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    remove(to)?;
    if std::fs::hard_link(from, to).is_err() {
        write(to, &read(from)?)?;
    }
    Ok(())
}

/// Removes a file, if there is one; of a link, the link.
pub fn remove(path: &Path) -> Result<()> {
    // Looked for first: a disk that is read alone refuses even what is not there.
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::io(path, "remove")),
    }
}

/// Temporary files are private; results are not.
#[cfg(unix)]
fn readable_by_others(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_others(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Bytes that the disk of a folder has room for, where the system says it.
#[cfg(unix)]
pub fn room(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
pub fn room(_: &Path) -> Option<u64> {
    None
}

/// BLAKE3 of a file's bytes.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open(path)?).map_err(Error::io(path, "read"))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// BLAKE3 of bytes.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The rows of a CSV file with a header; `fix` is what to do about one that cannot be read.
pub fn read_csv<T: serde::de::DeserializeOwned>(path: &Path, fix: &str) -> Result<Vec<T>> {
    let text = read_text(path)?;
    let wrong =
        |e: csv::Error| Error::said(path.display(), format!("a `row` does not fit the table: {e}"), fix);
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.map_err(wrong)).collect()
}

/// Writes rows as CSV under `path`, all or nothing.
pub fn write_csv<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<()> {
    write(path, &csv_bytes(path, rows)?)
}

/// Rows as CSV, with a header; numbers are the shortest decimals that read back to the same value.
fn csv_bytes<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::io(path, "write")(e);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| failed(e.into()))?;
    }
    writer.into_inner().map_err(|e| failed(e.into_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. A file that was replaced is read again, five times at most; other errors are told at once.
    #[test]
    fn a_stale_file_is_read_again() {
        let stale = || io::Error::from_raw_os_error(ESTALE);
        for (failures, expected) in [(0, Some(1)), (3, Some(4)), (4, Some(5)), (5, None)] {
            let asked = std::cell::Cell::new(0);
            let found = again(|| {
                asked.set(asked.get() + 1);
                if asked.get() > failures { Ok(asked.get()) } else { Err(stale()) }
            });
            assert_eq!(found.ok(), expected);
        }
        let asked = std::cell::Cell::new(0);
        let other = again(|| -> io::Result<()> {
            asked.set(asked.get() + 1);
            Err(io::ErrorKind::NotFound.into())
        });
        assert!(other.is_err() && asked.get() == 1);
    }

    /// Oracle: by hand. A renaming that found nothing to rename counts as done where the same bytes stand at its end, and for no other
    /// reason.
    #[test]
    fn a_renaming_that_was_done_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, bytes) in [("own", "same"), ("same", "same"), ("other", "not it")] {
            std::fs::write(at(name), bytes).unwrap();
        }
        let own = std::fs::File::open(at("own")).unwrap();
        let gone = io::Error::from(io::ErrorKind::NotFound);
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(was_renamed(&gone, &own, &at("same")));
        assert!(was_renamed(&io::Error::from_raw_os_error(ESTALE), &own, &at("same")));
        assert!(!was_renamed(&gone, &own, &at("other")) && !was_renamed(&gone, &own, &at("none")));
        assert!(!was_renamed(&refused, &own, &at("same")));
    }
}
