//! Frozen sets of rows: what a model is evaluated on, in the tokens and up to the length that its checkpoint knows.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::Architecture;
use super::{Checkpoint, Head, ModelConfig};
use crate::data::frozen::FrozenSet;
use crate::data::row::Rows;
use crate::data::tokenizer::Tokenizer;
use crate::data::{Example, Target, corruption, masking};
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
///
/// # Errors
///
/// [`Error::Field`] for an encoder-decoder, which writes texts and knows no other task, and for texts to write that another is asked
/// for.
fn kind(place: &Path, rows: &Rows, checkpoint: &Checkpoint) -> Result<Kind> {
    let Architecture { model_type, pretrained, .. } = checkpoint.config.architecture;
    let wrong = |expected: String, found: Kind, fix: &str| {
        Err(Error::field(place.display(), "objective", expected, found.spec().words, fix))
    };
    match (rows.kind(), pretrained) {
        (kind @ Kind::MaskedLm, head) if checkpoint.config.architecture.class(*head).is_none() => wrong(
            format!("a task that {model_type} has a head for"),
            kind,
            "give labelled examples by --task or --table",
        ),
        (Kind::MaskedLm, Head::CausalLm) => Ok(Kind::CausalLm),
        (Kind::MaskedLm | Kind::Seq2SeqLm, Head::Seq2SeqLm) => Ok(Kind::Seq2SeqLm),
        (kind, Head::Seq2SeqLm) => {
            let fix = "give plain text by --text FILE, or texts and what is to be written by --table FILE --columns source,target";
            wrong(format!("texts, as {model_type} writes them"), kind, fix)
        }
        (kind @ Kind::Seq2SeqLm, _) => {
            let fix =
                "use the checkpoint of an encoder-decoder, such as google/flan-t5-small, or --labels classes";
            wrong(format!("a task that {model_type} has a head for"), kind, fix)
        }
        (kind, _) => Ok(kind),
    }
}

/// The examples of plain text or of labelled rows, as a kind of task asks for them; and what was cut off, in words.
pub fn examples(
    path: &Path,
    rows: &Rows,
    tokenizer: &Tokenizer,
    (kind, max_len, seed): (Kind, usize, u64),
) -> Result<(Vec<Example>, Option<String>)> {
    if rows.packed {
        return Ok((packed(path, rows, tokenizer, (kind, max_len))?, None));
    }
    if kind == Kind::Span {
        return Ok((tokenizer.windows(&rows.rows, max_len, rows.stride)?, None));
    }
    if (kind, rows.kind()) == (Kind::Seq2SeqLm, Kind::MaskedLm) {
        return corrupted(path, rows, tokenizer, (max_len, seed));
    }
    let (mut examples, truncated) = tokenizer.tokenized(&rows.rows, max_len)?;
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
    Ok((examples, truncated))
}

/// Texts with spans removed, for a decoder to write.
fn corrupted(
    path: &Path,
    rows: &Rows,
    tokenizer: &Tokenizer,
    (max_len, seed): (usize, u64),
) -> Result<(Vec<Example>, Option<String>)> {
    // The end token follows.
    let (texts, cut) = tokenizer.bare(&rows.rows, max_len - 1)?;
    let words = (cut > 0).then(|| format!("texts cut to {max_len} tokens, {cut} tokens cut off"));
    words.iter().for_each(progress::excluded);
    let texts = texts.into_iter().zip(rows.rows.iter().map(|row| row.group)).collect();
    let (examples, short) = corruption::examples(texts, tokenizer, seed)?;
    if short > 0 {
        let path = path.display();
        progress::excluded(format!("{path}: {short} lines of fewer than two tokens have no span to remove"));
    }
    if examples.is_empty() {
        let fix = "use longer text";
        return Err(Error::field(path.display(), "text", "lines of at least two tokens", "none", fix));
    }
    Ok((examples, words))
}

/// Lines laid end to end, the end token behind each, in blocks of `max_len` tokens.
fn packed(
    path: &Path,
    rows: &Rows,
    tokenizer: &Tokenizer,
    (kind, max_len): (Kind, usize),
) -> Result<Vec<Example>> {
    if kind != Kind::CausalLm {
        let sentence =
            format!("--pack packs text for causal language modelling, but this is for {}", kind.spec().words);
        return Err(Error::said(path.display(), sentence, "leave out --pack"));
    }
    let end = tokenizer.end()?;
    let (lines, _) = tokenizer.bare(&rows.rows, usize::MAX)?;
    let tokens: Vec<u32> = lines.into_iter().flat_map(|line| line.into_iter().chain([end])).collect();
    let blocks = tokens.chunks_exact(max_len);
    let rest = blocks.remainder().len();
    let block = |ids: &[u32]| {
        let (types, target) = (vec![0; ids.len()], Target::none());
        let mut block = Example { ids: ids.to_vec(), types, target, group: None, window: None };
        block.ask_for_next_tokens();
        block
    };
    let blocks: Vec<Example> = blocks.map(block).collect();
    if blocks.is_empty() {
        let (expected, fix) = (format!("at least a block of {max_len} tokens"), "choose a smaller --max-len");
        return Err(Error::field(path.display(), "text", expected, format!("{rest} tokens"), fix));
    }
    if rest > 0 {
        let path = path.display();
        progress::excluded(format!(
            "{path}: the last {rest} tokens do not fill a block of {max_len} and are dropped"
        ));
    }
    Ok(blocks)
}

/// The frozen set of rows: tokenized; without labels masked, or each token to be predicted from those before it, or spans removed
/// for a decoder.
pub fn frozen(
    path: &Path,
    rows: &Rows,
    checkpoint: &Checkpoint,
    max_len: usize,
    seed: u64,
    mut metadata: BTreeMap<String, String>,
) -> Result<(FrozenSet, u32)> {
    let kind = kind(path, rows, checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let (pieces, rows_of_table) = (tokenizer.pieces(), checkpoint.config.vocab_size);
    if pieces < rows_of_table / 2 {
        progress::warn(format!(
            "{}: the tokenizer knows {pieces} tokens, but the model {rows_of_table}: check that both are of one model",
            checkpoint.folder.display()
        ));
    }
    let (mut examples, truncated) = examples(path, rows, &tokenizer, (kind, max_len, seed))?;
    if kind == Kind::Span {
        metadata.insert("stride".into(), rows.stride.to_string());
    }
    if rows.packed {
        metadata.insert("packed".into(), "true".into());
    }
    metadata.extend(truncated.map(|words| ("truncated".to_string(), words)));
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
