//! Any table with a header, as `--table FILE --columns text[,text2],label` names it.
//!
//! The labels say what the task is ([`super::labels`]); rows without one are left out and counted.
//!
//! The trap: class names are those of this file, sorted: a second file that lacks one of them counts differently.
//!
//! `records` reads the file; GLUE's tasks have labels of their own, in [`super::glue`].

use std::path::Path;

use super::columns::{Columns, Record};
use super::labels::{Column, Labels};
use super::records;
use super::row::{Reason, Row, Rows, Skipped};
use crate::error::{Error, Result};

/// The examples of the table at `path`, in file order; `wanted` is what its labels are to be taken for.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read; [`Error::Field`] if it is of another kind, a column is missing, no row is
/// valid, or the labels cannot be learned.
pub fn read(path: &Path, columns: &Columns, wanted: Option<Labels>) -> Result<Rows> {
    let Some(column) = &columns.label else {
        let fix =
            "name the column of the label last; a table without labels is read by --text FILE --columns NAME";
        let sentence = format!("--table needs a text and a label, but --columns names only `{columns}`");
        return Err(Error::said("--columns", sentence, fix));
    };
    let found = records::read(path, columns)?;
    let place = path.display().to_string();
    let labels = found.records.iter().map(|record| record.label.as_str());
    let (kind, why) = Column::new(&place, column, labels).understood(wanted)?;
    let mut rows = Rows {
        classes: kind.classes(),
        skipped: found.skipped,
        read_as: read_as(columns, &found.form, &why),
        ..Rows::default()
    };
    for Record { line, text, pair, label } in found.records {
        let reason = match kind.label(&label) {
            _ if kind.lacks(&label) => Reason::NoLabel,
            Some(label) => {
                rows.rows.push(Row { text, pair, label, group: None });
                continue;
            }
            None => Reason::UnreadableLabel,
        };
        rows.skipped.push(Skipped { file: path.to_path_buf(), line, reason });
    }
    rows.skipped.sort_by_key(|row| row.line);
    rows.not_empty(
        place,
        column,
        "readable in at least one row",
        "look at the lines named above; hidden test labels (-1) do not count, and text without labels is read by --text",
    )
}

/// What was made of the table, in words.
fn read_as(columns: &Columns, form: &Option<String>, why: &str) -> String {
    let form = form.as_ref().map_or(String::new(), |form| format!("{form}; "));
    let texts: Vec<String> = columns.texts().map(|name| format!("`{name}`")).collect();
    let label = columns.label.as_deref().unwrap_or_default();
    format!("{form}text from {}, labels from `{label}`: {why}", texts.join(" and "))
}
