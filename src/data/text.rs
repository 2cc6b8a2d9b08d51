//! Plain text: one example per line, as in WikiText's raw files; or the texts of a column of a table.
//!
//! Lines like ` = heading = ` and lines of fewer than `min_words` words are left out and counted: they are
//! ordinary. Lines that are not UTF-8 are not, and are recorded with their place. Blank lines only separate.
//!
//! Lines of one article, which begins at a heading of the first level (` = heading = `, as in WikiText), are alike and are kept as
//! one group: errors over examples count articles then, not lines.
//!
//! The trap: a heading is often short as well; it counts as a heading. And a table reads as text too: JSON and parquet
//! are recognised, so that no model learns their braces.
//!
//! Gives [`super::row::Rows`] without labels.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::form::{self, Form};
use super::row::{Reason, Row, RowLabel, Rows, Skipped};
use super::{json, records};
use crate::error::{Error, Result};

/// The lines of `files`, or the texts in a column of each, with at least `min_words` whitespace-separated words, trimmed,
/// in order.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::Field`] for a table without a column, and if no line of any file is left.
pub fn read(files: &[PathBuf], column: Option<&Columns>, min_words: usize) -> Result<Rows> {
    let mut rows = Rows { read_as: "text without labels".into(), ..Rows::default() };
    if let Some(columns) = column {
        if columns.names().count() > 1 {
            let fix = "name the one column of the text, or give the file by --table";
            let sentence = format!("--text takes exactly one column, but --columns names `{columns}`");
            return Err(Error::said("--columns", sentence, fix));
        }
        rows.read_as += &format!(": `{columns}` of a table");
    }
    for file in files {
        match column {
            None => lines(&mut rows, file, min_words)?,
            Some(columns) => texts(&mut rows, file, columns, min_words)?,
        }
    }
    let articles: BTreeSet<Option<u32>> = rows.rows.iter().map(|row| row.group).collect();
    match articles.len() < ARTICLES {
        true => rows.rows.iter_mut().for_each(|row| row.group = None),
        false => rows.read_as += &format!("; errors count its {} articles, not lines", articles.len()),
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let names = names.join(", ");
    let (cut, broken) = (rows.short + rows.headings, !rows.skipped.is_empty());
    if rows.rows.is_empty() && cut == 0 {
        let (sentence, fix) = match broken {
            true => ("no line is valid UTF-8", "convert it: iconv -f LATIN1 -t UTF-8 FILE > NEW"),
            false => ("it is empty; expected one example a line", "name another file"),
        };
        return Err(Error::said(names, sentence, fix));
    }
    rows.not_empty(
        names,
        "--min-words",
        &format!("low enough to leave a line (it is {min_words})"),
        "lower --min-words, or give a text with one paragraph or sentence per line",
    )
}

/// Fewer articles than these say too little of how much articles differ.
const ARTICLES: usize = 10;

/// Adds what is in a column.
fn texts(rows: &mut Rows, path: &Path, column: &Columns, min_words: usize) -> Result<()> {
    let found = records::read(path, column)?;
    // A blank line only separates, in a table too.
    rows.skipped.extend(found.skipped.into_iter().filter(|row| row.reason != Reason::EmptyText));
    found.records.iter().for_each(|record| add(rows, &record.text, min_words, None));
    Ok(())
}

/// Adds the lines of plain text.
fn lines(rows: &mut Rows, path: &Path, min_words: usize) -> Result<()> {
    let Form::Text(reader) = form::open(path)? else { return Err(table(path, "a parquet table")) };
    let mut begun = false;
    // Before the first heading, and in each file anew, an article begins too.
    let mut article = rows.rows.last().and_then(|row| row.group).map_or(0, |last| last + 1);
    for (line, bytes) in (1..).zip(reader.split(b'\n')) {
        let bytes = bytes.map_err(Error::io(path, "read"))?;
        let Ok(text) = str::from_utf8(&bytes) else {
            rows.skipped.push(Skipped { file: path.to_path_buf(), line, reason: Reason::InvalidUtf8 });
            continue;
        };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if !begun && json::is_object(text) {
            return Err(table(path, "a table in JSON"));
        }
        begun = true;
        article += u32::from(is_heading(text) && !text.starts_with("= =") && !text.starts_with("=="));
        add(rows, text, min_words, Some(article));
    }
    Ok(())
}

fn is_heading(text: &str) -> bool {
    text.starts_with('=') && text.ends_with('=')
}

fn add(rows: &mut Rows, text: &str, min_words: usize, group: Option<u32>) {
    if is_heading(text) {
        rows.headings += 1;
    } else if text.split_whitespace().count() < min_words {
        rows.short += 1;
    } else {
        rows.rows.push(Row { text: text.to_string(), pair: None, label: RowLabel::None, group });
    }
}

fn table(path: &Path, found: &str) -> Error {
    let fix = "name its column of text in --columns NAME, or give it with its labels by --table FILE --columns text,label";
    Error::field(path.display(), "content", "plain text, one example a line", found, fix)
}
