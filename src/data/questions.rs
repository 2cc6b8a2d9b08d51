//! Questions about a text, and the windows in which a model reads it.
//!
//! A text longer than a model takes is read in windows that share some tokens, the question before each. They are one draw, so
//! they stand side by side and have one group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Example;
use crate::error::Result;

/// What is asked about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub id: String,
    /// What is asked about; the questions about it share it.
    pub context: Arc<str>,
    /// All that are right, the one to learn first; none where the text has none.
    pub answers: Vec<String>,
    /// Whether questions of these data may have no answer.
    pub unanswerable: bool,
}

/// A part of a text that an example is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub question: Arc<Question>,
    /// Its tokens in the example.
    pub tokens: Range<usize>,
    /// Of each of them where it lies in the text, in characters.
    pub places: Vec<[u32; 2]>,
}

impl Window {
    /// A window of these tokens' places, of which those outside of the text have none; `None` if text stands on both sides of
    /// other tokens.
    pub fn new(question: Arc<Question>, places: &[Option<[u32; 2]>]) -> Option<Window> {
        let first = places.iter().position(Option::is_some).unwrap_or(0);
        let own: Vec<[u32; 2]> = places[first..].iter().map_while(|place| *place).collect();
        let whole = own.len() == places.iter().flatten().count();
        whole.then(|| Window { question, tokens: first..first + own.len(), places: own })
    }

    /// First and last token of an answer at `place`, by position in the example; the first token where it is not all in the window.
    pub fn ends(&self, place: Option<&Range<u32>>) -> [u32; 2] {
        let (Some(place), Some(first), Some(last)) = (place, self.places.first(), self.places.last()) else {
            return [0, 0];
        };
        if first[0] > place.start || last[1] < place.end {
            return [0, 0];
        }
        let start = self.places.iter().rposition(|own| own[0] <= place.start).unwrap_or(0);
        let end = self.places.iter().position(|own| own[1] >= place.end).unwrap_or(start);
        // Several tokens of one character have one place.
        [start.min(end), start.max(end)].map(|token| (self.tokens.start + token) as u32)
    }

    /// The text from one token to another; of tokens outside of the window it is empty.
    pub fn text(&self, [first, last]: [u32; 2]) -> String {
        let place = |token: u32| self.places.get((token as usize).checked_sub(self.tokens.start)?);
        let (Some(first), Some(last)) = (place(first), place(last)) else { return String::new() };
        let length = last[1].saturating_sub(first[0]) as usize;
        self.question.context.chars().skip(first[0] as usize).take(length).collect()
    }
}

/// The examples of each question, in turn; every other example is one of its own.
pub fn each(examples: &[Example]) -> impl Iterator<Item = &[Example]> {
    examples.chunk_by(|a, b| a.window.is_some() && a.group == b.group)
}

/// How many examples were made of the first `rows` rows.
pub fn examples_of(examples: &[Example], rows: usize) -> usize {
    each(examples).take(rows).map(<[Example]>::len).sum()
}

/// Questions as a set holds them, a text once.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    unanswerable: bool,
    contexts: Vec<String>,
    questions: Vec<StoredQuestion>,
}

#[derive(Serialize, Deserialize)]
struct StoredQuestion {
    id: String,
    /// Which of the contexts.
    context: usize,
    answers: Vec<String>,
}

impl Stored {
    /// Those of a set of windows; `None` of all else.
    pub fn of(examples: &[Example]) -> Option<Stored> {
        let mut stored = Stored { unanswerable: false, contexts: Vec::new(), questions: Vec::new() };
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for own in each(examples) {
            let question = &own.first()?.window.as_ref()?.question;
            stored.unanswerable = question.unanswerable;
            let context = *known.entry(&question.context).or_insert_with(|| {
                stored.contexts.push(question.context.to_string());
                stored.contexts.len() - 1
            });
            stored.questions.push(StoredQuestion {
                id: question.id.clone(),
                context,
                answers: question.answers.clone(),
            });
        }
        Some(stored)
    }

    /// The questions; `wrong` makes an error of one about a text that is not there.
    pub fn questions(self, wrong: impl Fn(String) -> crate::error::Error) -> Result<Vec<Arc<Question>>> {
        let Stored { unanswerable, contexts, questions } = self;
        let contexts: Vec<Arc<str>> = contexts.into_iter().map(Arc::from).collect();
        let question = |StoredQuestion { id, context, answers }: StoredQuestion| {
            let own = contexts.get(context).cloned();
            let context = own.ok_or_else(|| wrong(format!("context {context} of {}", contexts.len())))?;
            Ok(Arc::new(Question { id, context, answers, unanswerable }))
        };
        questions.into_iter().map(question).collect()
    }
}
