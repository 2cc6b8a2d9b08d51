//! Parquet tables: the texts and the label of every sound row, as [`super::delimited`] gives those of delimited files.
//!
//! Labels stay text, as everywhere: whole numbers without a point, others with one, `false` and `true`; of a row without
//! a label nothing. Line numbers are those of rows, from 1.
//!
//! [`super::glue`] and [`super::records`] read tables by this.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::columns::{Columns, Record};
use super::pages;
use super::row::{Reason, Skipped};
use crate::error::{Error, Result, caught};

/// What a column of labels may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    /// Classes, by number or by name.
    Classes,
    /// Floating-point numbers.
    Numbers,
    Any,
}

/// The sound rows of the file at `path`, in order, and those skipped before their label was looked at.
///
/// # Errors
///
/// [`Error::Field`] for a file that is cut or damaged, and for a column that is missing or of another type.
pub(super) fn read(path: &Path, columns: &Columns, labels: Labels) -> Result<(Vec<Record>, Vec<Skipped>)> {
    // Of some damaged files the reader takes for granted what it should ask, and panics.
    let rows = caught(|| rows(path, columns, labels));
    rows.unwrap_or_else(|_| Err(damaged(path)(ParquetError::General("one that cannot be decoded".into()))))
}

/// A table that is not one.
fn damaged(path: &Path) -> impl Fn(ParquetError) -> Error {
    let fix = "fetch the file again: it is cut, damaged or of another kind";
    move |e| Error::field(path.display(), "file", "a whole parquet table", e, fix)
}

fn rows(path: &Path, columns: &Columns, labels: Labels) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let damaged = damaged(path);
    let file = File::open(path).map_err(Error::io(path, "read"))?;
    let pages = file.try_clone().map_err(Error::io(path, "read"))?;
    let reader = SerializedFileReader::new(file).map_err(&damaged)?;
    let texts = columns.texts().map(|name| (name, TEXT));
    let wanted = texts.chain(columns.label.as_deref().map(|name| (name, labels.kind())));
    let schema = reader.metadata().file_metadata().schema();
    let fields = wanted.map(|(name, kind)| column(path, schema, name, kind)).collect::<Result<Vec<_>>>()?;
    let named = |name: &str| fields.iter().any(|field| field.name() == name);
    for (g, group) in reader.metadata().row_groups().iter().enumerate() {
        for (c, column) in group.columns().iter().enumerate().filter(|(_, c)| named(c.column_descr().name()))
        {
            if pages::check(path, &pages, column)? {
                let group = reader.get_row_group(g).map_err(&damaged)?;
                pages::check_lengths(path, column, group.get_column_page_reader(c).map_err(&damaged)?)?;
            }
        }
    }
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(&damaged)?;
    let (mut records, mut skipped) = (Vec::new(), Vec::new());
    // Rows have their columns in the file's order.
    for (line, row) in (1..).zip(reader.get_row_iter(Some(projection)).map_err(&damaged)?) {
        match record(line, &row.map_err(&damaged)?, columns) {
            Ok(record) => records.push(record),
            Err(reason) => skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
        }
    }
    Ok((records, skipped))
}

/// What a column must hold, in words, and how it may be stored.
type Kind = (&'static str, &'static [Physical]);

const TEXT: Kind = ("a column of text", &[Physical::BYTE_ARRAY]);

impl Labels {
    fn kind(self) -> Kind {
        use Physical::{BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT, INT32, INT64};
        match self {
            Labels::Classes => {
                ("a column of classes: integers, names or booleans", &[INT64, INT32, BYTE_ARRAY, BOOLEAN])
            }
            Labels::Numbers => ("a column of floating-point numbers", &[FLOAT, DOUBLE]),
            Labels::Any => (
                "a column of one label a row",
                &[INT64, INT32, BYTE_ARRAY, BOOLEAN, FLOAT, DOUBLE, FIXED_LEN_BYTE_ARRAY],
            ),
        }
    }
}

/// The column of this name, which is of this kind.
fn column(path: &Path, schema: &Type, name: &str, (expected, stored): Kind) -> Result<Arc<Type>> {
    let wrong = |found: String| {
        let fix = "name columns of the table; a task's tables are as the hub has them in nyu-mll/glue";
        Err(Error::field(path.display(), name, expected, found, fix))
    };
    let Some(column) = schema.get_fields().iter().find(|column| column.name() == name) else {
        let names: Vec<&str> = schema.get_fields().iter().map(|column| column.name()).collect();
        return wrong(format!("the columns {}", names.join(", ")));
    };
    match column.is_primitive() {
        true if stored.contains(&column.get_physical_type()) => Ok(column.clone()),
        true => wrong(format!("a column of {}", column.get_physical_type())),
        false => wrong("a column of lists or other nested values".into()),
    }
}

fn record(line: u64, row: &Row, columns: &Columns) -> Result<Record, Reason> {
    let word = |name: &str| match row.get_column_iter().find(|(own, _)| *own == name) {
        Some((_, field)) => word(field),
        None => Err(Reason::TooFewFields),
    };
    let (text, pair) = (word(&columns.text)?, columns.pair.as_deref().map(word).transpose()?);
    if text.is_empty() || pair.as_deref() == Some("") {
        return Err(Reason::EmptyText);
    }
    let label = columns.label.as_deref().map(word).transpose()?.unwrap_or_default();
    Ok(Record { line, text, pair, label })
}

/// A cell as text, trimmed. The library writes zero and negative numbers with an exponent: here as in the other formats.
fn word(field: &Field) -> Result<String, Reason> {
    Ok(match field {
        Field::Null => String::new(),
        Field::Str(text) => text.trim().to_string(),
        Field::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes.data()).map_err(|_| Reason::InvalidUtf8)?;
            text.trim().to_string()
        }
        Field::Float(value) => format!("{value:?}"),
        Field::Double(value) => format!("{value:?}"),
        Field::Float16(value) => format!("{:?}", f32::from(*value)),
        other => other.to_string(),
    })
}
