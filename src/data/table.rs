//! Any delimited table with a header, as `--table FILE --columns text[,text2],label` names it.
//!
//! The labels say what the task is: integers from 0 are classes, numbers with fractions are values of a
//! regression, anything else is the name of a class.
//!
//! Traps: one `n/a` among thousands of scores would turn a regression into thousands of classes, so where
//! most labels are numbers and one has a fraction, the words are unreadable labels. A regression on whole
//! numbers must be written with a decimal point (`3.0`). Class names are those of this file, sorted: a second
//! file that lacks one of them counts differently.
//!
//! [`super::delimited`] reads the file; GLUE's tasks have labels of their own, in [`super::glue`].

use std::collections::BTreeSet;
use std::path::Path;

use super::delimited::{self, Columns, Record};
use super::row::{Reason, Row, RowLabel, Rows, Skipped};
use crate::error::{Error, Result};

/// More classes than this mean that the label column is not one of classes.
const MAX_CLASSES: usize = 10_000;

/// The examples of the table at `path`, in file order. Commas if its name ends in `.csv`, else tabs.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read; [`Error::Field`] if a column is missing, no row is sound, or
/// there are more than 10 000 classes.
pub fn read(path: &Path, columns: &Columns) -> Result<Rows> {
    let (records, skipped) = delimited::read(path, columns, None)?;
    let kind = Kind::of(&records);
    let mut rows = Rows { classes: kind.classes(path, columns)?, skipped, ..Rows::default() };
    for Record { line, text, pair, label } in records {
        match kind.label(&label) {
            Some(label) => rows.rows.push(Row { text, pair, label }),
            None => {
                rows.skipped.push(Skipped { file: path.to_path_buf(), line, reason: Reason::UnreadableLabel })
            }
        }
    }
    rows.skipped.sort_by_key(|row| row.line);
    rows.not_empty(
        path.display(),
        &columns.label,
        "readable in at least one sound row",
        "look at the lines named above: .csv files are read with commas and quotes, all others with tabs",
    )
}

/// What the labels of a column are. Empty ones are no evidence.
enum Kind {
    /// Classes by number, up to this one.
    Indices(usize),
    /// Finite numbers.
    Values,
    /// Distinct names, sorted.
    Names(Vec<String>),
}

impl Kind {
    fn of(records: &[Record]) -> Kind {
        let labels: Vec<&str> =
            records.iter().map(|row| row.label.as_str()).filter(|label| !label.is_empty()).collect();
        if let Some(indices) = labels.iter().map(|label| label.parse().ok()).collect::<Option<Vec<usize>>>() {
            return Kind::Indices(indices.into_iter().max().unwrap_or(0));
        }
        let numbers: Vec<&str> = labels.iter().copied().filter(|label| finite(label).is_some()).collect();
        if 2 * numbers.len() > labels.len() && numbers.iter().any(|label| label.parse::<i64>().is_err()) {
            return Kind::Values;
        }
        let distinct: BTreeSet<&str> = labels.into_iter().collect();
        Kind::Names(distinct.into_iter().map(str::to_string).collect())
    }

    fn classes(&self, path: &Path, columns: &Columns) -> Result<Vec<String>> {
        let (count, largest) = match self {
            Kind::Indices(max) => (max.saturating_add(1), format!("the number {max}")),
            Kind::Values => return Ok(Vec::new()),
            Kind::Names(names) => (names.len(), format!("{} distinct labels", names.len())),
        };
        if count > MAX_CLASSES {
            return Err(Error::field(
                path.display(),
                &columns.label,
                format!("a column of at most {MAX_CLASSES} classes"),
                largest,
                "number classes from 0, name another column, or write the numbers of a regression as 3.0",
            ));
        }
        Ok(match self {
            Kind::Names(names) => names.clone(),
            _ => (0..count).map(|class| class.to_string()).collect(),
        })
    }

    fn label(&self, label: &str) -> Option<RowLabel> {
        match self {
            Kind::Indices(_) => label.parse().ok().map(RowLabel::Class),
            Kind::Values => finite(label).map(RowLabel::Value),
            Kind::Names(names) => {
                names.binary_search_by(|name| name.as_str().cmp(label)).ok().map(RowLabel::Class)
            }
        }
    }
}

fn finite(label: &str) -> Option<f32> {
    label.parse().ok().filter(|value: &f32| value.is_finite())
}
