//! Words in columns: sets of them against transformers, and their scores against seqeval.

use std::path::Path;

use fisherscape::data::conll;
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::tasks::{Kind, Predictions};
use serde::Deserialize;

use crate::support::{Outcome, fixture};

#[derive(Deserialize)]
struct Expected {
    names: Vec<String>,
    examples: Vec<Sentence>,
    scores: Vec<Score>,
}

#[derive(Deserialize)]
struct Sentence {
    max_len: usize,
    ids: Vec<u32>,
    labels: Vec<i64>,
}

#[derive(Deserialize)]
struct Score {
    truth: Vec<Vec<String>>,
    found: Vec<Vec<String>>,
    f1: f64,
    accuracy: f64,
}

fn expected() -> Outcome<Expected> {
    Ok(serde_json::from_str(&std::fs::read_to_string(fixture("words/expected.json"))?)?)
}

/// Oracle: transformers, words of several pieces and words that are cut off; the tags of IOB1 written out as IOB2 by the
/// script. Catches labels at later pieces, words that share one, and entities without a first word.
#[test]
fn words_and_their_classes_become_tokens() -> Outcome {
    let expected = expected()?;
    let (rows, lengths) = conll::read(&[&fixture("words/words.txt")], None, None)?;
    assert_eq!((&rows.classes, lengths), (&expected.names, vec![3]));
    assert!(rows.read_as.contains("5 tags of IOB1"), "{}", rows.read_as);
    let tokenizer = Tokenizer::load(&fixture("tiny/model"))?;
    let mut wanted = expected.examples.iter();
    for max_len in [48, 6] {
        for example in tokenizer.examples(&rows.rows, max_len)? {
            let own = wanted.next().ok_or("fewer sentences")?;
            assert_eq!((own.max_len, &own.ids), (max_len, &example.ids));
            let labels = own.labels.iter().enumerate().filter(|(_, label)| **label >= 0);
            let labels: Vec<(u32, u32)> = labels.map(|(at, label)| (at as u32, *label as u32)).collect();
            assert_eq!(example.target.pairs().collect::<Vec<_>>(), labels);
        }
    }
    Ok(())
}

/// Oracle: seqeval in its strict mode, in both schemes, on predictions that are often no entities. Catches entities that
/// begin with `I-`, that lack their end, or that go on over the end of a sentence.
#[test]
fn entities_are_scored_as_seqeval_scores_them() -> Outcome {
    for Score { truth, found, f1, accuracy } in expected()?.scores {
        let mut names: Vec<String> = truth.iter().chain(&found).flatten().cloned().collect();
        names.sort();
        names.dedup();
        let classes = |sentences: &[Vec<String>]| -> Vec<f64> {
            let class = |tag: &String| names.iter().position(|name| name == tag).unwrap_or(99) as f64;
            sentences.iter().flatten().map(class).collect()
        };
        let (predicted, truth_classes) = (classes(&found), classes(&truth));
        let lengths = truth.iter().map(Vec::len).collect();
        let predictions = Predictions { predicted, truth: truth_classes, lengths, names: names.into() };
        let values: Vec<f64> =
            Kind::TokenClasses.spec().metrics.iter().map(|metric| metric.value(&predictions)).collect();
        assert!(
            (values[0] - f1).abs() < 1e-12 && (values[1] - accuracy).abs() < 1e-12,
            "{truth:?} {found:?}: {values:?}, {f1}"
        );
    }
    Ok(())
}

/// A model's own classes keep their order where they cover the file's; a line without a tag is named.
#[test]
fn classes_follow_the_model_and_broken_lines_are_named() -> Outcome {
    let known: Vec<String> = ["I-WORK", "B-WORK", "O", "B-PER", "I-PER"].map(String::from).to_vec();
    let path = fixture("words/words.txt");
    assert_eq!(conll::read(&[&path], None, Some(&known))?.0.classes, known);
    let few = &known[..2];
    assert_ne!(conll::read(&[&path], None, Some(few))?.0.classes, few);
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("broken.txt");
    std::fs::write(&broken, "film B-WORK\nsong\n")?;
    let message = |path: &Path, column| {
        conll::read(&[path], column, None).err().map(|e| e.to_string()).unwrap_or_default()
    };
    for (path, column, says) in
        [(broken.as_path(), None, "line 2"), (path.as_path(), Some(5), "at least 5 columns")]
    {
        let message = message(path, column);
        assert!(message.contains(says) && message.contains("fix:"), "{message}");
    }
    Ok(())
}
