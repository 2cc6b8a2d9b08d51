//! Tables in JSON: an object a line (JSON Lines), or a list of objects. Columns are keys.
//!
//! The trap: a label may be a list, and a number may be written `1` or `1.0`. Labels stay as they are written; a list is
//! several labels, which nothing here can learn.

use std::path::Path;

use serde_json::{Map, Value};

use super::columns::{Columns, Record};
use super::row::{Reason, Skipped};
use crate::error::{Error, Result};

type Object = Map<String, Value>;

const FIX: &str = "name keys in --columns, and write an object a row, with text and one label: pandas' to_json(orient='records', \
                   lines=True)";

/// Whether a text begins with an object, or a list, of JSON.
pub(super) fn is_json(text: &[u8]) -> bool {
    let begins = text.trim_ascii_start().first().is_some_and(|byte| b"{[".contains(byte));
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    begins && values.next().is_some_and(|value| value.is_ok())
}

/// Whether a line is an object.
pub(super) fn is_object(line: &str) -> bool {
    line.starts_with('{') && serde_json::from_str::<Object>(line).is_ok()
}

/// The sound records of a text in JSON, in order, and those skipped before their label was looked at.
///
/// # Errors
///
/// [`Error::Field`] if a key is in no object, or its text is none.
pub(super) fn read(path: &Path, text: &[u8], columns: &Columns) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let objects = objects(text);
    check(path, columns, &objects)?;
    let (mut records, mut skipped) = (Vec::new(), Vec::new());
    for (line, object) in objects {
        let found = match object {
            Some(object) => record(path, columns, line, &object)?,
            None => Err(Reason::InvalidJson),
        };
        match found {
            Ok(record) => records.push(record),
            Err(reason) => skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
        }
    }
    Ok((records, skipped))
}

/// Objects with their lines, or their places in a list, from 1; `None` for a line that holds something else.
fn objects(text: &[u8]) -> Vec<(u64, Option<Object>)> {
    if let Ok(list) = serde_json::from_slice::<Vec<Object>>(text) {
        return (1..).zip(list.into_iter().map(Some)).collect();
    }
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    filled.map(|(line, text)| (line, serde_json::from_slice(text).ok())).collect()
}

/// Whether every column is a key somewhere.
fn check(path: &Path, columns: &Columns, objects: &[(u64, Option<Object>)]) -> Result<()> {
    let mut sound = objects.iter().filter_map(|(_, object)| object.as_ref());
    let missing = |name: &&str| !objects.iter().flat_map(|(_, object)| object).any(|o| o.contains_key(*name));
    let Some(name) = columns.names().find(missing) else { return Ok(()) };
    let found = match sound.next() {
        Some(first) => format!("the keys {}", first.keys().cloned().collect::<Vec<_>>().join(", ")),
        None => "a line that is not one object".to_string(),
    };
    Err(Error::field(path.display(), name, "a key of the objects", found, FIX))
}

fn record(
    path: &Path,
    columns: &Columns,
    line: u64,
    object: &Object,
) -> Result<std::result::Result<Record, Reason>> {
    let word = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.trim().to_string()),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        Some(value @ Value::Array(_)) if columns.label.as_deref() == Some(name) => Ok(value.to_string()),
        Some(_) => {
            let found = format!("a list or an object in row {line}");
            Err(Error::field(path.display(), name, "a word, a number or text", found, FIX))
        }
    };
    let (text, pair) = (word(&columns.text)?, columns.pair.as_deref().map(word).transpose()?);
    let label = columns.label.as_deref().map(word).transpose()?.unwrap_or_default();
    if text.is_empty() || pair.as_deref() == Some("") {
        return Ok(Err(Reason::EmptyText));
    }
    Ok(Ok(Record { line, text, pair, label }))
}
