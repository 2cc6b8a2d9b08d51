//! Which folder and which files of a task are read.
//!
//! GLUE's own files come before parquet tables of the same split. The hub calls the dev split `validation`; how its tables are
//! named is [`hub::tables`]'s to know.

use std::path::{Path, PathBuf};

use super::{HUB, Split, Task, plain};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Place, Wanted};

/// The folder whose files are read where `given` is named: the task's folder itself, the task's folder in it (`RTE` or
/// `rte`), or that of the data set on the hub that it names.
///
/// # Errors
///
/// As [`hub::locate`].
pub fn locate(task: Task, given: &Path) -> Result<Place> {
    match task {
        Task::Supersense => Ok(Place { folder: given.to_path_buf(), origin: None }),
        _ => Ok(within(task, hub::locate(given, task.wanted())?)),
    }
}

/// As [`locate`], but `None` where something would have to be fetched and may be.
pub fn locate_here(task: Task, given: &Path) -> Result<Option<Place>> {
    match task {
        Task::Supersense => locate(task, given).map(Some),
        _ => Ok(hub::locate_here(given, task.wanted())?.map(|place| within(task, place))),
    }
}

/// The task's folder where `place` is the one above it.
fn within(task: Task, mut place: Place) -> Place {
    let splits = [Split::Train, Split::Dev, Split::DevMismatched];
    let own = splits.iter().any(|split| files_of(task, &place.folder, *split).is_ok());
    if !own {
        let named = |path: &PathBuf| {
            path.file_name().is_some_and(|name| plain(&name.to_string_lossy()) == task.spec().name)
        };
        let mut inner: Vec<PathBuf> = files::list(&place.folder).unwrap_or_default();
        inner.retain(|path| named(path) && files::is_folder(path));
        // GLUE's spelling first.
        inner.sort_by_key(|path| path.file_name().is_none_or(|name| name != task.spec().folder));
        place.folder = inner.into_iter().next().unwrap_or(place.folder);
    }
    place
}

impl Task {
    /// What is read of the data set on the hub.
    fn wanted(self) -> Wanted {
        let stems: &[&str] = match self {
            Task::Mnli => &["train", "validation_matched", "validation_mismatched"],
            _ => &["train", "validation"],
        };
        Wanted::Tables { folder: self.spec().name, stems }
    }
}

/// The files of `split`, which are there: one of GLUE's, or the hub's shards in order.
pub(super) fn files_of(task: Task, dir: &Path, split: Split) -> Result<Vec<PathBuf>> {
    let microsoft = task == Task::Mrpc && !dir.join("train.tsv").exists() && !dir.join("dev.tsv").exists();
    let (name, other, stem) = match (task, split) {
        (Task::Mnli, Split::Dev) => ("dev_matched.tsv", None, "validation_matched"),
        (Task::Mnli, Split::DevMismatched) => ("dev_mismatched.tsv", None, "validation_mismatched"),
        (_, Split::DevMismatched) => {
            let fix = "use dev; only mnli has a mismatched one";
            return Err(Error::field(task, "split", "train or dev", split, fix));
        }
        (Task::Supersense, Split::Test) => ("test.tsv", None, "test"),
        (_, Split::Test) => {
            let fix = "use dev; GLUE's test files have no labels";
            return Err(Error::field(task, "split", "train or dev", split, fix));
        }
        (_, Split::Train) => ("train.tsv", microsoft.then_some("msr_paraphrase_train.txt"), "train"),
        (_, Split::Dev) => ("dev.tsv", microsoft.then_some("msr_paraphrase_test.txt"), "validation"),
    };
    let missing = |path: &Path, found: &str| {
        let names = other.map_or(name.to_string(), |other| format!("{name} or {other}"));
        let (expected, fix) = match task {
            Task::Supersense => (
                format!("the folder of {task}'s files, with {names}"),
                "leave out --data: the files are in the binary".to_string(),
            ),
            _ => (
                format!("the folder of {task}'s files, with {names}, or {stem}.parquet or {stem}-*.parquet"),
                format!(
                    "give GLUE's own folder of this task, such as glue/{}, or the one above it; without --data the \
                     hub's {HUB} is read",
                    task.spec().folder
                ),
            ),
        };
        Error::field(path.display(), "data", expected, found, fix)
    };
    if !files::is_folder(dir) {
        return Err(missing(dir, if files::exists(dir) { "a file" } else { "no such folder" }));
    }
    let candidates = [Some(name), other].into_iter().flatten().map(|name| dir.join(name));
    if let Some(path) = candidates.into_iter().find(|path| files::exists(path)) {
        return Ok(vec![path]);
    }
    let mut listed = files::list(dir)?;
    listed.extend(files::tables_below(dir));
    let names = listed.iter().filter_map(|path| path.strip_prefix(dir).ok()?.to_str());
    let tables = names.clone().any(|name| name.contains(stem) && name.ends_with(".parquet"));
    match hub::tables(names, &["", "data/"], stem) {
        Ok(shards) => Ok(shards.into_iter().map(|name| dir.join(name)).collect()),
        Err(found) if tables => Err(missing(dir, &found)),
        Err(_) => Err(missing(&dir.join(name), "no such file")),
    }
}
