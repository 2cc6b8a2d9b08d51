//! Answers to questions, as SQuAD's own script scores them (Rajpurkar et al. 2016, 2018): each question is one draw.
//!
//! What is compared is text, so predictions name it: the label of a question is its list of answers in JSON, the prediction
//! the answer that was given. Without an answer it is right to say nothing.

use std::collections::BTreeMap;

use super::{Measure, Metric, Predictions};

/// F1 of the words of the answers, the best over all that are right; a mean over the questions.
pub const F1: Metric = Metric { name: "f1", measure: Measure::Ratio(|all| scores(all, f1)) };
/// Share of the questions whose answer is one of the right ones.
pub const EXACT_MATCH: Metric = Metric {
    name: "exact_match",
    measure: Measure::Ratio(|all| scores(all, |a, b| f64::from(u8::from(a == b)))),
};

/// What sets with texts are scored by, in place of spans of tokens.
pub const METRICS: &[Metric] = &[F1, EXACT_MATCH];

/// What was said of questions, and their answers.
pub fn predictions(questions: impl IntoIterator<Item = (String, Vec<String>)>) -> Predictions {
    let mut all = Predictions::default();
    let mut names = Vec::new();
    for (said, answers) in questions {
        all.truth.push(names.len() as f64);
        all.predicted.push(names.len() as f64 + 1.0);
        all.lengths.push(1);
        names.extend([serde_json::json!(answers).to_string(), said]);
    }
    Predictions { names: names.into(), ..all }
}

/// The answers that a label names; `None` of the name of a class.
pub fn answers(name: &str) -> Option<Vec<String>> {
    name.starts_with('[').then(|| serde_json::from_str(name).ok()).flatten()
}

/// Whether an answer is one of the right ones.
pub fn is_right(said: &str, answers: &[String]) -> bool {
    best(said, answers, |a, b| f64::from(u8::from(a == b))) == 1.0
}

fn scores(all: &Predictions, score: fn(&[&str], &[&str]) -> f64) -> Vec<(f64, f64)> {
    let each = all.predicted.iter().zip(&all.truth);
    each.map(|(said, truth)| {
        let answers = answers(all.name(*truth)).unwrap_or_default();
        (best(all.name(*said), &answers, score), 1.0)
    })
    .collect()
}

/// The highest score over the answers; those without a word are none, unless there is no other.
fn best(said: &str, answers: &[String], score: fn(&[&str], &[&str]) -> f64) -> f64 {
    let said = normalized(said);
    let said: Vec<&str> = said.split_whitespace().collect();
    let answers: Vec<String> = answers.iter().map(|answer| normalized(answer)).collect();
    let words = |answer: &String| score(&said, &answer.split_whitespace().collect::<Vec<_>>());
    let filled = answers.iter().filter(|answer| !answer.trim().is_empty());
    filled.map(words).reduce(f64::max).unwrap_or_else(|| score(&said, &[]))
}

fn f1(said: &[&str], truth: &[&str]) -> f64 {
    if said.is_empty() || truth.is_empty() {
        return f64::from(u8::from(said == truth));
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    truth.iter().for_each(|word| *left.entry(word).or_default() += 1);
    let mut take =
        |word: &&&str| left.get_mut(**word).filter(|left| **left > 0).map(|left| *left -= 1).is_some();
    let shared = said.iter().filter(|word| take(word)).count();
    2.0 * shared as f64 / (said.len() + truth.len()) as f64
}

/// Lower case, without punctuation and articles. White space is left, to be split at.
fn normalized(text: &str) -> String {
    let (mut all, mut word) = (String::new(), String::new());
    let lower = text.to_lowercase();
    for c in lower.chars().filter(|c| !c.is_ascii_punctuation()).chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        all += if matches!(word.as_str(), "a" | "an" | "the") { " " } else { &word };
        all.push(c);
        word.clear();
    }
    all
}
