//! Delimited files: the wanted columns of every sound record, each with its physical line number.
//!
//! A name that ends in `.csv` means commas with ordinary quoting; anything else means tabs without quoting,
//! since GLUE's sentences have unbalanced quotes that would swallow the lines up to the next one.
//!
//! Traps: the csv crate places a record where the previous one ended, so empty lines and the `\n` of a
//! `\r\n` must be added to its line number. A stray tab inside a sentence shifts every later column, the
//! label too, so a record that is longer than the header is refused. A quote that is never closed makes one
//! record of the rest of a comma file.
//!
//! Labels stay text here: [`super::table`] and [`super::glue`] read them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord, Terminator};

use super::row::{Reason, Skipped};
use crate::error::{Error, Result};
use crate::files;

/// The columns to read, by their names in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub text: String,
    pub pair: Option<String>,
    pub label: String,
}

/// What `--columns` takes: `text,label` or `text,text2,label`.
/// As it is written on the command line.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let pair = self.pair.as_ref().map_or(String::new(), |pair| format!("{pair},"));
        write!(f, "{},{pair}{}", self.text, self.label)
    }
}

impl FromStr for Columns {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Columns> {
        let names: Vec<&str> = typed.split(',').map(str::trim).collect();
        let (text, pair, label) = match names[..] {
            [text, label] if text != label => (text, None, label),
            [text, pair, label] if text != pair && text != label && pair != label => {
                (text, Some(pair), label)
            }
            _ => ("", None, ""),
        };
        if text.is_empty() || label.is_empty() || pair == Some("") {
            return Err(Error::field(
                "--columns",
                "text[,text2],label",
                "two or three different column names with commas between them",
                format!("`{typed}`"),
                "name the column of the text, for pairs that of the second text, and last that of the label",
            ));
        }
        Ok(Columns { text: text.to_string(), pair: pair.map(str::to_string), label: label.to_string() })
    }
}

/// One sound record: trimmed texts that are not empty, and the trimmed label, which may be anything.
pub(super) struct Record {
    pub line: u64,
    pub text: String,
    pub pair: Option<String>,
    pub label: String,
}

/// The sound records of the file at `path`, in file order, and those skipped before their label was looked
/// at.
///
/// The first line that is not empty names the columns; `header` gives the names for a file without such a
/// line. Reads the whole file into memory. Empty lines are ignored; a byte-order mark at the start is
/// removed.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Field`] if a column is missing or named twice.
pub(super) fn read(
    path: &Path,
    columns: &Columns,
    header: Option<&[&str]>,
) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let bytes = files::read(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = reader(path, bytes);
    let mut places = header.map(|names| Places::find(path, columns, names)).transpose()?;
    let mut records = Vec::new();
    let mut skipped = Vec::new();
    let mut fields = ByteRecord::new();
    loop {
        let (start, line) = (reader.position().byte() as usize, reader.position().line());
        if !reader.read_byte_record(&mut fields).map_err(|source| Error::io(path, "read")(source.into()))? {
            break;
        }
        let raw = &bytes[start..reader.position().byte() as usize];
        if fields.len() == 1 && raw.trim_ascii().is_empty() {
            continue;
        }
        let Some(places) = &places else {
            let names: Vec<_> = fields.iter().map(String::from_utf8_lossy).collect();
            let names: Vec<_> = names.iter().map(|name| name.trim()).collect();
            places = Some(Places::find(path, columns, &names)?);
            continue;
        };
        let line = line + leading_newlines(raw);
        match places.pick(line, raw, &fields) {
            Ok(record) => records.push(record),
            Err(reason) => skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
        }
    }
    if places.is_none() {
        Places::find(path, columns, &[])?;
    }
    Ok((records, skipped))
}

/// Tabs end their lines with `\n` only, as a `\r` may stand inside a sentence; trimming removes that of
/// `\r\n`.
fn reader<'a>(path: &Path, bytes: &'a [u8]) -> Reader<&'a [u8]> {
    let commas = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true);
    if !commas {
        builder.delimiter(b'\t').quoting(false).terminator(Terminator::Any(b'\n'));
    }
    builder.from_reader(bytes)
}

fn leading_newlines(raw: &[u8]) -> u64 {
    raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n').count() as u64
}

/// Where the wanted columns stand among `width`.
struct Places {
    text: usize,
    pair: Option<usize>,
    label: usize,
    width: usize,
}

impl Places {
    fn find(path: &Path, columns: &Columns, names: &[&str]) -> Result<Places> {
        let place = |wanted: &str| {
            let mut places = (0..names.len()).filter(|&column| names[column] == wanted);
            match (places.next(), places.next()) {
                (Some(column), None) => Ok(column),
                _ => Err(Error::field(
                    path.display(),
                    wanted,
                    "the name of exactly one column",
                    format!("the columns {}", listed(names)),
                    "name columns as they stand in the first line of the file, which must be its header",
                )),
            }
        };
        Ok(Places {
            text: place(&columns.text)?,
            pair: columns.pair.as_deref().map(place).transpose()?,
            label: place(&columns.label)?,
            width: names.len(),
        })
    }

    fn pick(&self, line: u64, raw: &[u8], fields: &ByteRecord) -> Result<Record, Reason> {
        let raw = raw.trim_ascii();
        if raw.contains(&b'\n') && raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            return Err(Reason::UnclosedQuote);
        }
        let fields = StringRecord::from_byte_record(fields.clone()).map_err(|_| Reason::InvalidUtf8)?;
        if fields.iter().skip(self.width).any(|field| !field.trim().is_empty()) {
            return Err(Reason::TooManyFields);
        }
        let field = |column: usize| fields.get(column).map(str::trim).ok_or(Reason::TooFewFields);
        let label = field(self.label)?.to_string();
        let text = field(self.text)?.to_string();
        let pair = self.pair.map(field).transpose()?.map(str::to_string);
        if text.is_empty() || pair.as_deref() == Some("") {
            return Err(Reason::EmptyText);
        }
        Ok(Record { line, text, pair, label })
    }
}

/// Column names for a message; long ones cut, since without a header they are sentences.
fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        return "(none: the file is empty)".to_string();
    }
    let cut = |name: &&str| match name.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &name[..end]),
        None => format!("`{name}`"),
    };
    names.iter().map(cut).collect::<Vec<_>>().join(", ")
}
