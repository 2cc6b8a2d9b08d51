//! Frozen sets of rows: what a model is evaluated on, in the tokens and up to the length that its checkpoint knows.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Checkpoint, Head, ModelConfig};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::data::masking;
use crate::data::row::Rows;
use crate::error::{Error, Result};
use crate::progress;
use crate::tasks::{Answer, Kind};

/// Longest example where nothing else is said: the paper's 512, or the model's position table.
pub fn longest(max_len: Option<usize>, config: &ModelConfig) -> Result<usize> {
    let table = config.positions.longest();
    match max_len {
        None => Ok(table.min(512)),
        Some(length) if (3..=table).contains(&length) => Ok(length),
        Some(length) => {
            let expected = format!("from 3 to the position table's {table}");
            Err(Error::field("--max-len", "tokens", expected, length, "choose a length in that range"))
        }
    }
}

/// What rows ask of a checkpoint: their labels' task, or without labels the one that it was pre-trained for.
fn kind(rows: &Rows, checkpoint: &Checkpoint) -> Kind {
    match (rows.kind(), checkpoint.config.architecture.pretrained) {
        (Kind::MaskedLm, Head::CausalLm) => Kind::CausalLm,
        (kind, _) => kind,
    }
}

/// The frozen set of rows: tokenized; without labels masked, or each token to be predicted from those before it.
pub fn frozen(
    path: &Path,
    rows: &Rows,
    checkpoint: &Checkpoint,
    max_len: usize,
    seed: u64,
    mut metadata: BTreeMap<String, String>,
) -> Result<(FrozenSet, u32)> {
    let tokenizer = checkpoint.tokenizer()?;
    let (pieces, rows_of_table) = (tokenizer.pieces(), checkpoint.config.vocab_size);
    if pieces < rows_of_table / 2 {
        progress::warn(format!(
            "{}: the tokenizer knows {pieces} tokens and the model {rows_of_table}: are its files this model's?",
            checkpoint.folder.display()
        ));
    }
    let kind = kind(rows, checkpoint);
    let (mut examples, truncated) = match kind {
        Kind::Span => {
            metadata.insert("stride".into(), rows.stride.to_string());
            (tokenizer.windows(&rows.rows, max_len, rows.stride)?, None)
        }
        _ => tokenizer.tokenized(&rows.rows, max_len)?,
    };
    metadata.extend(truncated.map(|words| ("truncated".to_string(), words)));
    if kind == Kind::CausalLm {
        examples.iter_mut().for_each(Example::ask_for_next_tokens);
        let short = examples.iter().filter(|example| example.targets() == 0).count();
        if short > 0 {
            progress::excluded(format!(
                "{}: {short} lines of one token have nothing to predict",
                path.display()
            ));
        }
    }
    if kind.spec().masked {
        tokenizer.special.mask(&checkpoint.folder)?;
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
