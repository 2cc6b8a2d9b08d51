//! Questions about texts as SQuAD has them, versions 1.1 and 2, and XQuAD.
//!
//! The trap: `answer_start` counts characters, not bytes. A question whose answer does not stand where it is said to would
//! teach another one, so it is left out, and counted.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::questions::Question;
use super::row::{Reason, Row, RowLabel, Rows, Skipped};
use crate::error::{Error, Result};
use crate::files;

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    question: String,
    #[serde(default)]
    answers: Vec<Answer>,
    /// Version 2 has it in every question.
    is_impossible: Option<bool>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    answer_start: i64,
}

/// The questions of these files, in turn, and how many each has; windows of a text are to share `stride` tokens.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::Field`] for one that is not such JSON, and files without a usable question.
pub fn read(paths: &[&Path], stride: usize) -> Result<(Rows, Vec<usize>)> {
    let read = paths.iter().map(|path| file(path)).collect::<Result<Vec<File>>>()?;
    let asked = || read.iter().flat_map(|file| &file.data).flat_map(|article| &article.paragraphs);
    let unanswerable =
        asked().flat_map(|paragraph| &paragraph.qas).any(|asked| asked.is_impossible.is_some());
    let (mut rows, mut lengths) = (Rows { stride, ..Rows::default() }, Vec::new());
    for (path, file) in paths.iter().zip(&read) {
        let before = rows.rows.len();
        let all = file.data.iter().flat_map(|article| &article.paragraphs).flat_map(|paragraph| {
            let context: Arc<str> = paragraph.context.as_str().into();
            paragraph.qas.iter().map(move |asked| (context.clone(), asked))
        });
        for (line, (context, asked)) in (1..).zip(all) {
            match row(&context, asked, unanswerable, rows.rows.len() as u32) {
                Ok(row) => rows.rows.push(row),
                Err(reason) => rows.skipped.push(Skipped { file: path.to_path_buf(), line, reason }),
            }
        }
        lengths.push(rows.rows.len() - before);
    }
    let version = if unanswerable { "2: some have no answer" } else { "1.1" };
    rows.read_as = format!("{} questions as in SQuAD {version}", rows.rows.len());
    let place = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let fix = "give a file with questions and their answers, such as SQuAD's";
    Ok((rows.not_empty(place, "questions", "at least one", fix)?, lengths))
}

fn file(path: &Path) -> Result<File> {
    let text = files::read_text(path)?;
    serde_json::from_str(&text).map_err(|e| {
        let expected = "SQuAD's JSON: a list of articles, each with paragraphs, of a context and qas, of id, question and \
                        answers, of text and answer_start";
        let fix = "give train-v1.1.json, dev-v2.0.json, xquad.de.json or a file made like them";
        Error::field(path.display(), "data", expected, e, fix)
    })
}

/// A question, if it can be used.
fn row(context: &Arc<str>, asked: &Asked, unanswerable: bool, group: u32) -> Result<Row, Reason> {
    let text = asked.question.trim_start().to_string();
    if text.trim().is_empty() || context.trim().is_empty() {
        return Err(Reason::EmptyText);
    }
    let answers = if asked.is_impossible == Some(true) { &[] } else { &asked.answers[..] };
    let place = match answers.first() {
        Some(Answer { text, .. }) if text.is_empty() => return Err(Reason::NoLabel),
        Some(answer) => Some(place(context, answer).ok_or(Reason::AnswerElsewhere)?),
        None if asked.is_impossible == Some(true) => None,
        None => return Err(Reason::NoLabel),
    };
    let question = Question {
        id: asked.id.clone(),
        context: context.clone(),
        answers: answers.iter().map(|answer| answer.text.clone()).collect(),
        unanswerable,
    };
    let label = RowLabel::Answer { question: Arc::new(question), place };
    Ok(Row { text, pair: None, label, group: Some(group) })
}

/// Where an answer stands, in characters.
fn place(context: &str, answer: &Answer) -> Option<std::ops::Range<u32>> {
    let (start, length) = (u32::try_from(answer.answer_start).ok()?, answer.text.chars().count());
    let there = context.chars().skip(start as usize).take(length);
    there.eq(answer.text.chars()).then(|| start..start + length as u32)
}
