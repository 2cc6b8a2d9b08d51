//! Classes of tokens, such as named entities: one for each word, read at its first piece.

use std::collections::BTreeSet;

use super::classes::right;
use super::{Answer, Best, Column, Measure, Metric, Predictions, Spec};

/// F1 of whole entities, as seqeval counts in its strict mode: an entity is right if its type, its first and its last word
/// are. Labels are `O`, `B-TYPE` and `I-TYPE`, with `E-TYPE` and `S-TYPE` where a scheme has them.
pub const ENTITY_F1: Metric = Metric { name: "entity_f1", measure: Measure::Ratio(entities_of_sentences) };
/// Share of the words whose class is right.
pub const WORD_ACCURACY: Metric = Metric { name: "accuracy", measure: Measure::Ratio(right) };

pub const SPEC: Spec = Spec {
    objective: "token-classes",
    words: "classes of words",
    unit: "nats",
    column: Column::Tokens,
    answer: Answer::Class,
    metrics: &[ENTITY_F1, WORD_ACCURACY],
    best: Best::HighestMetric,
    masked: false,
    instead_of_exact: None,
};

/// Twice the right entities of each sentence, and the true and the found ones together.
fn entities_of_sentences(predictions: &Predictions) -> Vec<(f64, f64)> {
    let closes = closes(predictions.names.iter().map(String::as_str));
    let part = |words: std::ops::Range<usize>| {
        let own = |labels: &[f64]| {
            let tags = labels[words.clone()].iter();
            entities(&tags.map(|label| predictions.name(*label)).collect::<Vec<_>>(), closes)
        };
        let (truth, found) = (own(&predictions.truth), own(&predictions.predicted));
        (2.0 * truth.intersection(&found).count() as f64, (truth.len() + found.len()) as f64)
    };
    predictions.examples().into_iter().map(part).collect()
}

/// Whether a scheme of these labels marks the last word of an entity: IOBES does, IOB2 does not.
fn closes<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| name.starts_with("E-") || name.starts_with("S-"))
}

/// Type, first and last word of each entity of a sentence.
fn entities<'a>(tags: &[&'a str], closes: bool) -> BTreeSet<(&'a str, usize, usize)> {
    let mut found = BTreeSet::new();
    let mut open: Option<(&str, usize)> = None;
    for (i, tag) in tags.iter().chain([&"O"]).enumerate() {
        let (prefix, kind) = tag.split_once('-').unwrap_or((tag, ""));
        let goes_on = open.is_some_and(|(own, _)| own == kind) && matches!(prefix, "I" | "E");
        if let Some((own, start)) = open.take_if(|_| !goes_on || prefix == "E") {
            // Where a scheme marks the last word, an entity without that mark is none.
            match (goes_on, closes) {
                (true, _) => drop(found.insert((own, start, i))),
                (false, false) => drop(found.insert((own, start, i - 1))),
                (false, true) => {}
            }
        }
        match prefix {
            "B" => open = Some((kind, i)),
            "S" => drop(found.insert((kind, i, i))),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper, for both schemes. An `I-` that follows no entity of its type is none, as in seqeval's strict mode.
    #[test]
    fn entities_are_whole_ones() {
        let found = |tags: &str| {
            let tags: Vec<&str> = tags.split(' ').collect();
            entities(&tags, closes(tags.iter().copied()))
                .into_iter()
                .map(|(kind, a, b)| format!("{kind}{a}{b}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(found("B-PER I-PER O B-LOC"), "LOC33 PER01");
        assert_eq!(found("B-PER B-PER I-PER"), "PER00 PER12");
        assert_eq!(found("O I-PER I-PER O"), "");
        assert_eq!(found("B-PER I-LOC I-LOC"), "PER00");
        assert_eq!(found("B-PER I-PER E-PER S-LOC O"), "LOC33 PER02");
        assert_eq!(found("B-PER O S-LOC"), "LOC22");
    }
}
