//! Token ids against transformers' tokenizers.

use std::path::Path;

use fisherscape::data::row::{Row, RowLabel};
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::model::Checkpoint;

use crate::support::{Outcome, copy_folder, fixture, json};

/// Oracle: transformers, on accents, Chinese characters, control characters, long words, special tokens in the text,
/// pairs, and truncation to even and odd lengths.
#[test]
fn ids_and_segments_equal_transformers() -> Outcome {
    as_expected(&fixture("tiny/model"), &fixture("tokenizer/expected.json"))
}

/// Oracle: transformers, with byte-level vocabularies (RoBERTa's tokens around texts and pairs, GPT-2's none) and with the
/// template of a tokenizer.json. Catches BERT's tokens put around them, and segments where the template has none.
#[test]
fn other_tokenizers_do_as_their_files_say() -> Outcome {
    for name in ["roberta", "gpt2", "template", "t5"] {
        let folder = fixture(&format!("tokenizer/{name}"));
        as_expected(&folder, &folder.join("expected.json"))?;
    }
    Ok(())
}

fn as_expected(folder: &Path, expected: &Path) -> Outcome {
    let tokenizer = Tokenizer::load(folder)?;
    for case in json(expected).as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let row = Row {
            text: text.into(),
            pair: case["pair"].as_str().map(String::from),
            label: RowLabel::None,
            group: None,
        };
        let length = case["max_len"].as_u64().unwrap() as usize;
        let example = tokenizer.examples(&[row], length)?.remove(0);
        let wanted = |key: &str| serde_json::from_value::<Vec<u32>>(case[key].clone()).unwrap();
        assert_eq!(example.ids, wanted("ids"), "{} {case}", folder.display());
        assert_eq!(example.types, wanted("types"), "{case}");
    }
    Ok(())
}

/// Oracle: on paper. Two texts of ten and four words and their two special tokens, at most eight tokens: one is cut, by four of
/// its twelve.
#[test]
fn what_is_cut_off_is_counted() -> Outcome {
    let row = |text: &str| Row { text: text.into(), pair: None, label: RowLabel::None, group: None };
    let rows =
        [row("film story song novel actor scene ending dialogue picture play"), row("the film is long")];
    let tokenizer = Tokenizer::load(&fixture("tiny/model"))?;
    let words = "1 of 2 examples cut to 8 tokens, 33 % of their tokens cut off";
    assert_eq!(tokenizer.tokenized(&rows, 8)?.1.as_deref(), Some(words));
    assert_eq!(tokenizer.tokenized(&rows, 12)?.1, None);
    Ok(())
}

/// Oracle: transformers, for folders whose options stand beside a vocabulary or against a tokenizer.json, and whose tokens were
/// added to. Catches options that are not read, added tokens that are split, and ids of their own.
#[test]
fn options_and_added_tokens_are_those_of_the_files() -> Outcome {
    let expected = json(&fixture("tokenizer/options.json"));
    let texts: Vec<String> = serde_json::from_value(expected["texts"].clone())?;
    let row = |text: &String| Row { text: text.clone(), pair: None, label: RowLabel::None, group: None };
    let rows: Vec<Row> = texts.iter().map(row).collect();
    for case in expected["folders"].as_array().unwrap() {
        let folder = tempfile::tempdir()?;
        for (name, content) in case["files"].as_object().unwrap() {
            std::fs::write(folder.path().join(name), content.to_string())?;
        }
        if !folder.path().join("tokenizer.json").exists() {
            std::fs::copy(fixture("tiny/model/vocab.txt"), folder.path().join("vocab.txt"))?;
        }
        let examples = Tokenizer::load(folder.path())?.examples(&rows, 48)?;
        let ids: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone())?;
        for ((example, ids), text) in examples.iter().zip(ids).zip(&texts) {
            assert_eq!(example.ids, ids, "{}: {text}", case["name"]);
        }
    }
    Ok(())
}

/// Oracle: the files. A class that takes words apart in another way would give other ids without an error; an id that
/// another token has, or that leaves a gap, is no id of this vocabulary.
#[test]
fn classes_and_ids_that_do_not_fit_are_refused() -> Outcome {
    let load = |name: &str, content: &str| -> Outcome<String> {
        let folder = tempfile::tempdir()?;
        std::fs::copy(fixture("tiny/model/vocab.txt"), folder.path().join("vocab.txt"))?;
        std::fs::write(folder.path().join(name), content)?;
        Ok(Tokenizer::load(folder.path()).err().ok_or("no error")?.to_string())
    };
    for class in ["BertJapaneseTokenizer", "RobertaTokenizer", "T5TokenizerFast"] {
        let message = load("tokenizer_config.json", &format!(r#"{{"tokenizer_class": "{class}"}}"#))?;
        let family = class.split("Tokenizer").next().unwrap();
        for part in ["tokenizer_config.json", "`tokenizer_class`", family, "fix:"] {
            assert!(message.contains(part), "{message}");
        }
    }
    // A folder with SentencePiece's file alone.
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("spiece.model"), "")?;
    let message = Tokenizer::load(folder.path()).err().ok_or("no error")?.to_string();
    assert!(
        message.contains("only SentencePiece's spiece.model") && message.contains("save_pretrained"),
        "{message}"
    );
    for (id, says) in [(7, "id 7"), (1_000_000, "the next id")] {
        let message = load("added_tokens.json", &format!(r#"{{"graft": {id}}}"#))?;
        assert!(message.contains("graft") && message.contains(says), "{message}");
    }
    Ok(())
}

/// Oracle: the same checkpoint with its tokenizer. What a training script saves midway often has none.
#[test]
fn a_checkpoint_without_a_tokenizer_takes_that_of_another_folder() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny/model").join(name), folder.path().join(name))?;
    }
    let bare = || Checkpoint::open(folder.path());
    let message = bare()?.tokenizer().err().ok_or("no error")?.to_string();
    assert!(message.contains("--tokenizer"), "{message}");
    let other = fixture("tiny/model");
    let whole = Checkpoint::open(&other)?.tokenizer()?.vocabulary_hash();
    assert_eq!(bare()?.with_tokenizer(Some(&other)).tokenizer()?.vocabulary_hash(), whole);
    // Saved with the model that it made examples for.
    let saved = tempfile::tempdir()?;
    bare()?.with_tokenizer(Some(&other)).with_pretraining_head(0)?.save(saved.path(), None)?;
    assert_eq!(Tokenizer::load(saved.path())?.vocabulary_hash(), whole);
    Ok(())
}

/// Oracle: the same text without the settings. A tokenizer.json with truncation to 8 and padding to 20 of its own
/// must give neither.
#[test]
fn truncation_and_padding_of_the_file_are_overridden() -> Outcome {
    let folder = tempfile::tempdir()?;
    copy_folder(&fixture("tiny/model"), folder.path());
    let mut inner = tokenizers::Tokenizer::new(
        tokenizers::models::wordpiece::WordPiece::from_file(
            &folder.path().join("vocab.txt").to_string_lossy(),
        )
        .build()?,
    );
    inner.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::bert::BertPreTokenizer));
    inner.with_truncation(Some(tokenizers::TruncationParams { max_length: 8, ..Default::default() }))?;
    inner.with_padding(Some(tokenizers::PaddingParams {
        strategy: tokenizers::PaddingStrategy::Fixed(20),
        ..Default::default()
    }));
    inner.save(folder.path().join("tokenizer.json"), true)?;
    let words = "film story song novel actor scene ending dialogue picture play";
    let row = Row { text: words.into(), pair: None, label: RowLabel::None, group: None };
    let example = Tokenizer::load(folder.path())?.examples(&[row], 48)?.remove(0);
    assert_eq!(example.len(), 12);
    Ok(())
}
