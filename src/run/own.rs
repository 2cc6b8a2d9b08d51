//! What a run wrote beside what its steps wrote: the page, its tables, and the figures of a study, with their hashes.
//!
//! That alone is removed before another page is written. What else stands in those folders stays; what stands under a name
//! that is needed is set aside as `NAME.kept`. The list is `steps/page.files`, of a study `cells/page.files`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::step::{RECORDS, has_hash, keep_aside};
use crate::error::{Error, Result};
use crate::files;

/// The files of a page by their path in the run's folder, and their BLAKE3; of one that is being written, none.
pub struct Own {
    folder: PathBuf,
    list: PathBuf,
    files: BTreeMap<String, Option<String>>,
}

impl Own {
    /// Those that are listed.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] where the list is reached by a link.
    pub fn of(folder: &Path) -> Result<Own> {
        let records = if folder.join("cells").is_dir() { "cells" } else { RECORDS };
        let list = files::inside(folder, &format!("{records}/page.files"))?;
        let text = if files::is_plain(&list) { files::read(&list)? } else { Vec::new() };
        // A list that cannot be read names nothing: then all that is there stays.
        let files = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Own { folder: folder.to_path_buf(), list, files })
    }

    /// Removes them all.
    pub fn remove(&mut self) -> Result<()> {
        for (path, hash) in &self.files {
            if let Ok(place) = files::inside(&self.folder, path)
                && is_of_a_page(path)
                && is_own(&place, hash)
            {
                files::remove(&place)?;
            }
        }
        self.files.clear();
        files::remove(&self.list)
    }

    /// Writes one of them.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = files::inside(&self.folder, path)?;
        let hash = files::hash(bytes);
        if has_hash(&place, &hash) {
            return self.note(path, Some(hash));
        }
        self.begin(path)?;
        files::write(&place, bytes)?;
        self.note(path, Some(hash))
    }

    /// Makes way for one of them that someone else writes; [`Own::ended`] follows.
    pub fn begin(&mut self, path: &str) -> Result<()> {
        let place = files::inside(&self.folder, path)?;
        let own = self.files.get(path).is_some_and(|hash| is_own(&place, hash));
        if !own && place.symlink_metadata().is_ok() {
            keep_aside(&place)?;
        }
        self.note(path, None)
    }

    /// One of them has been written.
    pub fn ended(&mut self, path: &str) -> Result<()> {
        let hash = files::hash_file(&files::inside(&self.folder, path)?)?;
        self.note(path, Some(hash))
    }

    fn note(&mut self, path: &str, hash: Option<String>) -> Result<()> {
        self.files.insert(path.to_string(), hash);
        let text = serde_json::to_vec_pretty(&self.files);
        files::write(&self.list, &text.map_err(|e| Error::io(&self.list, "write")(e.into()))?)
    }
}

/// Whether a page may have such a file.
fn is_of_a_page(path: &str) -> bool {
    path == "report.html" || ["tables/", "figures/"].iter().any(|folder| path.starts_with(folder))
}

/// Whether a file is as it was written; one that was being written may be anything.
fn is_own(place: &Path, hash: &Option<String>) -> bool {
    match hash {
        Some(hash) => has_hash(place, hash),
        None => files::is_plain(place),
    }
}
