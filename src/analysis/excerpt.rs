//! Errors that point into a text: file, line and column, the line itself, and a caret under what is wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Error;

/// A named text.
pub struct Place<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Place<'_> {
    /// An error about the bytes of `span`, or about the whole text.
    pub fn error(&self, span: Option<Range<usize>>, what: &str, fix: &str) -> Error {
        let what = what.trim_end();
        let Some(span) = span.filter(|span| span.start <= self.text.len()) else {
            return Error::Text {
                place: self.name.into(),
                what: what.into(),
                excerpt: String::new(),
                fix: fix.into(),
            };
        };
        let before = &self.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let source = self.text[line_start..].lines().next().unwrap_or("");
        let column = before[line_start..].chars().count();
        let end = span.end.clamp(span.start, line_start + source.len());
        let carets = self.text.get(span.start..end).map_or(1, |marked| marked.chars().count().max(1));
        let (number, margin) = (line.to_string(), " ".repeat(line.to_string().len()));
        let excerpt = format!(
            "\n{margin} |\n{number} | {source}\n{margin} | {}{}",
            " ".repeat(column),
            "^".repeat(carets)
        );
        let place = format!("{}:{line}:{}", self.name, column + 1);
        Error::Text { place, what: what.into(), excerpt, fix: fix.into() }
    }
}

/// Where the text gives the value of a dotted key, or the section that would hold it.
pub fn locate(text: &str, key: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut table: &DeTable = root.get_ref();
    let mut found = None;
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else { break };
        let value: &Spanned<DeValue> = value;
        match value.get_ref().as_table() {
            // A section begins where its name stands.
            Some(inner) => (found, table) = (Some(name.span()), inner),
            None => return Some(value.span()),
        }
    }
    found
}
