//! The records of a table, whatever it is stored as: delimited text, JSON or parquet.

use std::io::Read;
use std::path::Path;

use super::columns::{Columns, Record};
use super::delimited::{self, Separator};
use super::form::{self, Form};
use super::row::Skipped;
use super::{json, parquet};
use crate::error::{Error, Result};

/// What was found in a table.
pub(super) struct Found {
    pub records: Vec<Record>,
    /// Those skipped before their label was looked at.
    pub skipped: Vec<Skipped>,
    /// What the file is, where its name does not say so.
    pub form: Option<String>,
}

/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Field`] for one of another kind and for a column that is missing.
pub(super) fn read(path: &Path, columns: &Columns) -> Result<Found> {
    let mut text = Vec::new();
    match form::open(path)? {
        Form::Parquet => {
            let (records, skipped) = parquet::read(path, columns, parquet::Labels::Any)?;
            let form = format!("a parquet table{}", shard(path).unwrap_or_default());
            return Ok(Found { records, skipped, form: Some(form) });
        }
        Form::Text(mut reader) => reader.read_to_end(&mut text).map_err(Error::io(path, "read"))?,
    };
    if json::is_json(&text) {
        let (records, skipped) = json::read(path, &text, columns)?;
        return Ok(Found { records, skipped, form: Some("JSON".into()) });
    }
    let separator = Separator::of(path, &text, columns);
    let (records, skipped) = delimited::read(path, &text, separator, columns, None)?;
    let form = separator.unusual(path).map(|name| format!("columns between {name}"));
    Ok(Found { records, skipped, form })
}

/// Of a shard such as `train-00000-of-00002.parquet`, that it is only one of several.
fn shard(path: &Path) -> Option<String> {
    let (_, count) = path.file_stem()?.to_str()?.rsplit_once("-of-")?;
    let count: usize = count.parse().ok().filter(|count| *count > 1)?;
    Some(format!(", one of {count} parts, and only this part is read"))
}
