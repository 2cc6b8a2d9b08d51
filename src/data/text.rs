//! Plain text: one example per line, as in WikiText's raw files.
//!
//! Lines like ` = heading = ` and lines of fewer than `min_words` words are left out and counted: they are
//! ordinary. Lines that are not UTF-8 are not, and are recorded with their place. Blank lines only separate.
//!
//! The trap: a heading is often short as well; it counts as a heading.
//!
//! Gives [`super::row::Rows`] without labels.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::row::{Reason, Row, RowLabel, Rows, Skipped};
use crate::error::{Error, Result};
use crate::files;

/// The lines of `files` with at least `min_words` whitespace-separated words, trimmed, in order.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Field`] if no line of any file is left.
pub fn read(files: &[PathBuf], min_words: usize) -> Result<Rows> {
    let mut rows = Rows::default();
    for file in files {
        add(&mut rows, file, min_words)?;
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    rows.not_empty(
        names.join(", "),
        "--min-words",
        &format!("low enough to leave a line (it is {min_words})"),
        "lower --min-words, or give a text with one paragraph or sentence per line",
    )
}

fn add(rows: &mut Rows, path: &Path, min_words: usize) -> Result<()> {
    let lines = files::open(path)?.split(b'\n');
    for (line, bytes) in (1..).zip(lines) {
        let bytes = bytes.map_err(Error::io(path, "read"))?;
        let Ok(text) = str::from_utf8(&bytes) else {
            rows.skipped.push(Skipped { file: path.to_path_buf(), line, reason: Reason::InvalidUtf8 });
            continue;
        };
        let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if text.starts_with('=') && text.ends_with('=') {
            rows.headings += 1;
        } else if text.split_whitespace().count() < min_words {
            rows.short += 1;
        } else {
            rows.rows.push(Row { text: text.to_string(), pair: None, label: RowLabel::None });
        }
    }
    Ok(())
}
