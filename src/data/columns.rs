//! The columns that are read of a table, and what was found in them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The columns to read, by their names in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub text: String,
    pub pair: Option<String>,
    /// None where a table is read as plain text.
    pub label: Option<String>,
}

impl Columns {
    /// In the order in which they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts().chain(self.label.as_deref())
    }

    /// The columns of text.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.text), self.pair.as_ref()].into_iter().flatten().map(String::as_str)
    }
}

/// As it is written on the command line.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

/// What `--columns` takes: `text,label` or `text,text2,label`; of a table that is read as plain text, `text`.
impl FromStr for Columns {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Columns> {
        let names: Vec<&str> = typed.split(',').map(str::trim).collect();
        let distinct = (1..names.len()).all(|i| !names[..i].contains(&names[i]));
        let (text, pair, label) = match names[..] {
            [text] => (text, None, None),
            [text, label] => (text, None, Some(label)),
            [text, pair, label] => (text, Some(pair), Some(label)),
            _ => ("", None, None),
        };
        if !distinct || names.contains(&"") || text.is_empty() {
            return Err(Error::field(
                "--columns",
                "columns",
                "two or three different column names with commas between them (one for --text)",
                format!("`{typed}`"),
                "name the column of the text, for pairs that of the second text, and last that of the label",
            ));
        }
        let [pair, label] = [pair, label].map(|name| name.map(str::to_string));
        Ok(Columns { text: text.to_string(), pair, label })
    }
}

/// One sound record: trimmed texts that are not empty, and the trimmed label, which may be anything.
pub(super) struct Record {
    pub line: u64,
    pub text: String,
    pub pair: Option<String>,
    pub label: String,
}
