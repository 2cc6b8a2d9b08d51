//! Delimited files: the wanted columns of every sound record, each with its physical line number.
//!
//! What separates columns is found by their names: the usual one of the file's name (commas where it ends in `.csv`, else
//! tabs) unless another finds all of them in the header. Tabs come without quoting, since GLUE's sentences have unbalanced
//! quotes that would swallow the lines up to the next one; everything else has ordinary quotes.
//!
//! Traps: the csv crate places a record where the previous one ended, so empty lines and the `\n` of a
//! `\r\n` must be added to its line number. A stray tab inside a sentence shifts every later column, the
//! label too, so a record that is longer than the header is refused. A quote that is never closed makes one
//! record of the rest of a comma file.
//!
//! Labels stay text here: [`super::table`] and [`super::glue`] read them.

use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord, Terminator};

use super::columns::{Columns, Record};
use super::row::{Reason, Skipped};
use crate::error::{Error, Result};

/// What stands between columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Separator {
    by: u8,
    quotes: bool,
}

impl Separator {
    pub const TAB: Separator = Separator { by: b'\t', quotes: false };
    const COMMA: Separator = Separator { by: b',', quotes: true };
    const OTHERS: [Separator; 5] = [
        Separator::TAB,
        Separator::COMMA,
        Separator { by: b';', quotes: true },
        Separator { by: b'|', quotes: true },
        Separator { by: b'\t', quotes: true },
    ];

    /// That of a file: the usual one, else the first under which the header has all columns, else the one that makes
    /// most columns of it.
    pub fn of(path: &Path, text: &[u8], columns: &Columns) -> Separator {
        let usual = Separator::usual(path);
        let fits = |by: &Separator| Places::find(path, columns, &by.header(text)).is_ok();
        let others = Separator::OTHERS.into_iter().filter(|by| *by != usual);
        let mut all: Vec<Separator> = std::iter::once(usual).chain(others).collect();
        if let Some(found) = all.iter().find(|by| fits(by)) {
            return *found;
        }
        // The last of equals is the largest: the usual one wins.
        all.reverse();
        all.into_iter().max_by_key(|by| by.header(text).len()).unwrap_or(usual)
    }

    fn usual(path: &Path) -> Separator {
        let name = path.to_string_lossy().to_ascii_lowercase();
        if name.trim_end_matches(".gz").ends_with(".csv") { Separator::COMMA } else { Separator::TAB }
    }

    /// Its name, where it is not the usual one.
    pub fn unusual(self, path: &Path) -> Option<&'static str> {
        let name = match (self.by, self.quotes) {
            (b'\t', false) => "tabs",
            (b'\t', true) => "tabs with quoting",
            (b';', _) => "semicolons",
            (b'|', _) => "vertical bars",
            _ => "commas",
        };
        (self != Separator::usual(path)).then_some(name)
    }

    /// Tabs end their lines with `\n` only, as a `\r` may stand inside a sentence; trimming removes that of
    /// `\r\n`.
    fn reader(self, text: &[u8]) -> Reader<&[u8]> {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.by).quoting(self.quotes);
        if !self.quotes {
            builder.terminator(Terminator::Any(b'\n'));
        }
        builder.from_reader(text)
    }

    /// The names in the first line that is not empty.
    fn header(self, text: &[u8]) -> Vec<String> {
        let mut records = self.reader(text).into_byte_records().map_while(std::result::Result::ok);
        records.find(|fields| !is_blank(fields)).map_or(Vec::new(), |fields| names(&fields))
    }
}

fn names(fields: &ByteRecord) -> Vec<String> {
    fields.iter().map(|name| String::from_utf8_lossy(name).trim().to_string()).collect()
}

fn is_blank(fields: &ByteRecord) -> bool {
    fields.len() <= 1 && fields.iter().all(|field| field.trim_ascii().is_empty())
}

/// The sound records in the text of the file at `path`, in order, and those skipped before their label was looked
/// at.
///
/// The first line that is not empty names the columns; `header` gives the names for a file without such a
/// line. Empty lines are ignored.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Field`] if a column is missing or named twice.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    separator: Separator,
    columns: &Columns,
    header: Option<&[&str]>,
) -> Result<(Vec<Record>, Vec<Skipped>)> {
    let mut reader = separator.reader(bytes);
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
            places = Some(Places::find(path, columns, &names(&fields))?);
            continue;
        };
        let line = line + leading_newlines(raw);
        match places.pick(line, raw, &fields) {
            Ok(record) => records.push(record),
            Err(reason) => skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
        }
    }
    if places.is_none() {
        Places::find::<&str>(path, columns, &[])?;
    }
    Ok((records, skipped))
}

fn leading_newlines(raw: &[u8]) -> u64 {
    raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n').count() as u64
}

/// Where the wanted columns stand among `width`.
struct Places {
    text: usize,
    pair: Option<usize>,
    label: Option<usize>,
    width: usize,
}

impl Places {
    fn find<S: AsRef<str>>(path: &Path, columns: &Columns, names: &[S]) -> Result<Places> {
        let place = |wanted: &str| {
            let mut places = (0..names.len()).filter(|&column| names[column].as_ref() == wanted);
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
            label: columns.label.as_deref().map(place).transpose()?,
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
        let label = self.label.map(field).transpose()?.unwrap_or_default().to_string();
        let text = field(self.text)?.to_string();
        let pair = self.pair.map(field).transpose()?.map(str::to_string);
        if text.is_empty() || pair.as_deref() == Some("") {
            return Err(Reason::EmptyText);
        }
        Ok(Record { line, text, pair, label })
    }
}

/// Column names for a message; long ones cut, since without a header they are sentences.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "(none: the file is empty)".to_string();
    }
    let cut = |name: &S| match name.as_ref().char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &name.as_ref()[..end]),
        None => format!("`{}`", name.as_ref()),
    };
    names.iter().map(cut).collect::<Vec<_>>().join(", ")
}
