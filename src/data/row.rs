//! Examples before tokenization, and the account of what was skipped.
//!
//! Real files have broken rows (QQP's own train.tsv among them). A reader leaves such a row out, but never
//! silently: its place and the reason go into [`Skipped`], and [`Rows::left_out`] is what the user is shown.
//! The trap: a count alone cannot be checked, so the first places are named too.
//!
//! Made by [`super::text`], [`super::table`], [`super::conll`], [`super::squad`] and [`super::glue`]; consumed by the tokenizer.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::questions::Question;
use crate::error::{Error, Result};
use crate::tasks::Kind;

/// How the line on rows that were dropped begins, and how that on examples that have nothing to predict ends: reports look for both.
pub const LEFT_OUT: &str = "skipped: ";
pub const SKIPPED: &str = "without a target skipped";

/// One example before tokenization; texts are trimmed and not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub text: String,
    pub pair: Option<String>,
    pub label: RowLabel,
    /// The article or question that it is a part of, where the data say so.
    pub group: Option<u32>,
}

/// What an example is labelled with: nothing (plain text), a class (an index into [`Rows::classes`]), a finite number
/// (regression), a class for each word, an answer, or a text that a model is to write.
#[derive(Debug, Clone, PartialEq)]
pub enum RowLabel {
    None,
    Class(usize),
    Value(f32),
    /// A class for each word of the text.
    Words(Vec<(String, usize)>),
    /// Of a question, which is the row's text, its answer's place in the question's context, in characters; where it has one.
    Answer {
        question: Arc<Question>,
        place: Option<Range<u32>>,
    },
    Text(String),
}

/// What was read, in file order, and what was not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// Label names in index order; empty for plain text and for regression.
    pub classes: Vec<String>,
    /// What the columns and labels were taken for, and why, in words.
    pub read_as: String,
    /// Tokens of a text that neighbouring windows of it share, where rows are questions.
    pub stride: usize,
    /// Whether lines of text are laid end to end and cut into blocks.
    pub packed: bool,
    /// Rows that could not be used, in file order.
    pub skipped: Vec<Skipped>,
    /// Lines of plain text that look like ` = heading = `; 0 for tables.
    pub headings: usize,
    /// Other lines of plain text with too few words, blank ones not counted; 0 for tables.
    pub short: usize,
}

/// A row that could not be used. `line` is the physical line on which it starts, from 1; in a parquet table its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub file: PathBuf,
    pub line: u64,
    pub reason: Reason,
}

/// Why a row could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    InvalidUtf8,
    InvalidJson,
    UnclosedQuote,
    TooFewFields,
    TooManyFields,
    EmptyText,
    UnreadableLabel,
    NoLabel,
    NoConsensus,
    AnswerElsewhere,
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Reason::InvalidUtf8 => "invalid UTF-8",
            Reason::InvalidJson => "not a JSON object",
            Reason::UnclosedQuote => "quote never closed, rest of the file lost",
            Reason::TooFewFields => "too few fields",
            Reason::TooManyFields => "too many fields",
            Reason::EmptyText => "empty text",
            Reason::UnreadableLabel => "unreadable label",
            Reason::NoLabel => "no label",
            Reason::NoConsensus => "no consensus label",
            Reason::AnswerElsewhere => "answer not at its place",
        })
    }
}

impl Rows {
    /// How many skipped rows are named one by one.
    const NAMED: usize = 5;

    /// What was left out, for stderr: the count of every reason, then the places of the first rows skipped.
    /// `None` if everything was used.
    pub fn left_out(&self) -> Option<String> {
        let mut lines = vec![format!("{LEFT_OUT}{}", self.counts()?)];
        for Skipped { file, line, reason } in self.skipped.iter().take(Self::NAMED) {
            lines.push(format!("  {}:{line}: {reason}", file.display()));
        }
        if self.skipped.len() > Self::NAMED {
            lines.push(format!("  and {} more", self.skipped.len() - Self::NAMED));
        }
        Some(lines.join("\n"))
    }

    /// The task that the labels make: without any the tokens themselves are the labels.
    pub fn kind(&self) -> Kind {
        match self.rows.first().map(|row| &row.label) {
            Some(RowLabel::Class(_)) => Kind::Classes,
            Some(RowLabel::Value(_)) => Kind::Regression,
            Some(RowLabel::Words(_)) => Kind::TokenClasses,
            Some(RowLabel::Answer { .. }) => Kind::Span,
            Some(RowLabel::Text(_)) => Kind::Seq2SeqLm,
            Some(RowLabel::None) | None => Kind::MaskedLm,
        }
    }

    /// These rows, or an error that says what became of every row of `place`.
    pub(super) fn not_empty(
        self,
        place: impl Display,
        field: &str,
        expected: &str,
        fix: &str,
    ) -> Result<Rows> {
        if self.rows.is_empty() {
            let found = self.left_out().map_or("nothing in it".to_string(), |what| format!("none ({what})"));
            return Err(Error::field(place, field, expected, found, fix));
        }
        Ok(self)
    }

    fn counts(&self) -> Option<String> {
        let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
        for row in &self.skipped {
            *reasons.entry(row.reason).or_default() += 1;
        }
        let lines = [("short line", self.short), ("heading", self.headings)];
        let mut counts: Vec<String> = lines
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} × {what}"))
            .collect();
        counts.extend(reasons.iter().map(|(reason, count)| format!("{count} × {reason}")));
        (!counts.is_empty()).then(|| counts.join("; "))
    }
}
