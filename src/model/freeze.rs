//! Frozen sets of rows: what a model is evaluated on, in the tokens and up to the length that its checkpoint knows.

use std::collections::BTreeMap;
use std::path::Path;

use super::Checkpoint;
use crate::data::frozen::FrozenSet;
use crate::data::masking;
use crate::data::row::Rows;
use crate::error::{Error, Result};
use crate::tasks::Answer;

/// Longest example where nothing else is said: the paper's 512, or the model's position table.
pub fn longest(max_len: Option<usize>, checkpoint: &Checkpoint) -> Result<usize> {
    let table = checkpoint.config.max_position_embeddings;
    match max_len {
        None => Ok(table.min(512)),
        Some(length) if (3..=table).contains(&length) => Ok(length),
        Some(length) => {
            let expected = format!("from 3 to the position table's {table}");
            Err(Error::field("--max-len", "tokens", expected, length, "choose a length in that range"))
        }
    }
}

/// The frozen set of rows: tokenized, and masked where they have no labels.
pub fn frozen(
    path: &Path,
    rows: &Rows,
    checkpoint: &Checkpoint,
    max_len: usize,
    seed: u64,
    mut metadata: BTreeMap<String, String>,
) -> Result<(FrozenSet, u32)> {
    let tokenizer = checkpoint.tokenizer()?;
    let mut examples = tokenizer.examples(&rows.rows, max_len)?;
    let kind = rows.kind();
    if kind.spec().masked {
        masking::mask(&mut examples, &tokenizer.special, checkpoint.config.vocab_size, seed);
        if examples.iter().all(|e| e.targets() == 0) {
            let fix = "use more or longer text, or another seed";
            return Err(Error::field(path.display(), "masked tokens", "at least 1", "none", fix));
        }
    }
    let place = format!("tokens of {}", path.display());
    checkpoint.check_examples(
        kind,
        &examples,
        &place,
        "the tokenizer files are not those of this checkpoint: fetch both again",
    )?;
    metadata.insert("seed".into(), seed.to_string());
    metadata.insert("vocabulary".into(), tokenizer.vocabulary_hash());
    if kind.spec().answer == Answer::Class {
        metadata.insert("labels".into(), serde_json::json!(rows.classes).to_string());
    }
    let set = FrozenSet { path: path.to_path_buf(), hash: String::new(), kind, examples, metadata };
    Ok((set, tokenizer.special.pad))
}
