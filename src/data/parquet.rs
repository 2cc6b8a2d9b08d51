//! Parquet tables: the texts and the label of every sound row, as [`super::delimited`] gives those of delimited files.
//!
//! Labels are integers for classes and floating-point numbers for regression. A negative one is the hub's way to say that
//! a row has none; such rows are skipped and counted. Line numbers are those of rows, from 1.
//!
//! [`super::glue`] reads the hub's tables by this.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::delimited::{Columns, Record};
use super::row::{Reason, Skipped};
use crate::error::{Error, Result};

/// The sound rows of the file at `path`, in order, and those skipped before their label was looked at. Labels must be
/// floating-point numbers if `regression`, else integers.
///
/// # Errors
///
/// [`Error::Field`] for a file that is cut or damaged, and for a column that is missing or of another type.
pub(super) fn read(path: &Path, columns: &Columns, regression: bool) -> Result<(Vec<Record>, Vec<Skipped>)> {
    // Of some damaged files the reader takes for granted what it should ask, and panics.
    let rows = std::panic::catch_unwind(|| rows(path, columns, regression));
    rows.unwrap_or_else(|_| Err(damaged(path)(ParquetError::General("one that cannot be decoded".into()))))
}

/// A table that is none.
fn damaged(path: &Path) -> impl Fn(ParquetError) -> Error {
    let fix = "fetch the file again: it is cut, damaged or of another kind";
    move |e| Error::field(path.display(), "file", "a whole parquet table", e, fix)
}

fn rows(path: &Path, columns: &Columns, regression: bool) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let damaged = damaged(path);
    let file = File::open(path).map_err(Error::io(path, "read"))?;
    let reader = SerializedFileReader::new(file).map_err(&damaged)?;
    let texts = std::iter::once(&columns.text).chain(&columns.pair);
    let wanted =
        texts.map(|name| (name, TEXT)).chain([(&columns.label, if regression { NUMBER } else { CLASS })]);
    let schema = reader.metadata().file_metadata().schema();
    let fields = wanted.map(|(name, kind)| column(path, schema, name, kind)).collect::<Result<Vec<_>>>()?;
    let width = fields.len();
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(&damaged)?;
    let (mut records, mut skipped) = (Vec::new(), Vec::new());
    for (line, row) in (1..).zip(reader.get_row_iter(Some(projection)).map_err(&damaged)?) {
        match record(line, &row.map_err(&damaged)?, width) {
            Ok(record) => records.push(record),
            Err(reason) => skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
        }
    }
    Ok((records, skipped))
}

/// What a column must hold, in words, and how it may be stored.
type Kind = (&'static str, &'static [Physical]);

const TEXT: Kind = ("a column of text", &[Physical::BYTE_ARRAY]);
const CLASS: Kind = ("a column of integers, the classes", &[Physical::INT64, Physical::INT32]);
const NUMBER: Kind = ("a column of floating-point numbers", &[Physical::FLOAT, Physical::DOUBLE]);

/// The column of this name, which is of this kind.
fn column(path: &Path, schema: &Type, name: &str, (expected, stored): Kind) -> Result<Arc<Type>> {
    let wrong = |found: String| {
        let fix = "give the task's table as the hub has it in nyu-mll/glue";
        Err(Error::field(path.display(), name, expected, found, fix))
    };
    let Some(column) = schema.get_fields().iter().find(|column| column.name() == name) else {
        let names: Vec<&str> = schema.get_fields().iter().map(|column| column.name()).collect();
        return wrong(format!("the columns {}", names.join(", ")));
    };
    match column.is_primitive() {
        true if stored.contains(&column.get_physical_type()) => Ok(column.clone()),
        true => wrong(format!("a column of {}", column.get_physical_type())),
        false => wrong("a column of nested values".into()),
    }
}

/// The record of a row whose columns are the texts and then the label.
fn record(line: u64, row: &Row, width: usize) -> Result<Record, Reason> {
    let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
    let Some((label, texts)) = fields.split_last().filter(|_| fields.len() == width) else {
        return Err(Reason::TooFewFields);
    };
    let text = |field: &&Field| match field {
        Field::Str(text) => Ok(text.trim().to_string()),
        Field::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes.data()).map_err(|_| Reason::InvalidUtf8)?;
            Ok(text.trim().to_string())
        }
        _ => Ok(String::new()),
    };
    let mut texts = texts.iter().map(text).collect::<Result<Vec<_>, Reason>>()?.into_iter();
    let (text, pair) = (texts.next().unwrap_or_default(), texts.next());
    if text.is_empty() || pair.as_deref() == Some("") {
        return Err(Reason::EmptyText);
    }
    match label.to_string() {
        label if label.starts_with('-') || label == Field::Null.to_string() => Err(Reason::NoLabel),
        label => Ok(Record { line, text, pair, label }),
    }
}
