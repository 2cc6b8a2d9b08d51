//! Token ids against transformers' tokenizers.

use std::path::Path;

use fisherscape::data::row::{Row, RowLabel};
use fisherscape::data::tokenizer::Tokenizer;

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
    for name in ["roberta", "gpt2", "template"] {
        let folder = fixture(&format!("tokenizer/{name}"));
        as_expected(&folder, &folder.join("expected.json"))?;
    }
    Ok(())
}

fn as_expected(folder: &Path, expected: &Path) -> Outcome {
    let tokenizer = Tokenizer::load(folder)?;
    for case in json(expected).as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let row =
            Row { text: text.into(), pair: case["pair"].as_str().map(String::from), label: RowLabel::None };
        let length = case["max_len"].as_u64().unwrap() as usize;
        let example = tokenizer.examples(&[row], length)?.remove(0);
        let wanted = |key: &str| serde_json::from_value::<Vec<u32>>(case[key].clone()).unwrap();
        assert_eq!(example.ids, wanted("ids"), "{} {case}", folder.display());
        assert_eq!(example.types, wanted("types"), "{case}");
    }
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
    let row = Row { text: words.into(), pair: None, label: RowLabel::None };
    let example = Tokenizer::load(folder.path())?.examples(&[row], 48)?.remove(0);
    assert_eq!(example.len(), 12);
    Ok(())
}
