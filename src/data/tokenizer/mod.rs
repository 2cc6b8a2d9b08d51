//! Text to token ids, as the checkpoint's own files say: BERT's `[CLS] A [SEP] B [SEP]`, RoBERTa's `<s> A </s></s> B </s>`,
//! GPT-2's text alone.
//!
//! The trap: a `tokenizer.json` carries truncation and padding of its own (MiniLM: fixed 128), applied silently.
//! Both are switched off on load; truncation (longest first, from the right) is applied here, around the tokens that the
//! file's post-processor adds.

mod added;
mod charsmap;
mod files;
mod growth;
mod special;
mod windows;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{Encoding, InputSequence, PostProcessor};

use super::Example;
use super::Target;
use super::row::{Row, RowLabel};
use crate::error::{Error, Result, caught};
use crate::{files as disk, progress};

pub(super) use special::BERT;
pub use special::Special;

/// What is said between the numbers of examples that were cut and of all: reports look for it.
const CUT: &str = " examples cut to ";

/// The share of the examples that a line says were cut.
pub fn cut_share(line: &str) -> Option<f64> {
    let (some, all) = line.split_once(CUT)?.0.rsplit_once(" of ")?;
    Some(some.rsplit(' ').next()?.parse::<f64>().ok()? / all.parse::<f64>().ok()?)
}

/// A checkpoint's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pub special: Special,
    folder: PathBuf,
    /// True where nothing said whether the model lower-cases, and it is taken to.
    assumed_lower_case: bool,
}

impl Tokenizer {
    /// The tokenizer in a checkpoint's folder: `tokenizer.json`; else `vocab.json` with `merges.txt`, or `vocab.txt`, with the
    /// options of `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a folder without these files, or files that cannot be read.
    pub fn load(folder: &Path) -> Result<Tokenizer> {
        let mut assumed_lower_case = false;
        let mut inner = caught(|| files::read(folder, &mut assumed_lower_case)).unwrap_or_else(|why| {
            let sentence = format!("the tokenizer cannot be read: {why}");
            Err(Error::said(folder.display(), sentence, "fetch its files again"))
        })?;
        // Without truncation parameters this cannot fail.
        inner.with_truncation(None).map_err(|e| {
            let sentence = format!("the truncation of the tokenizer cannot be switched off: {e}");
            Error::said(folder.display(), sentence, "delete the key `truncation`")
        })?;
        inner.with_padding(None);
        let special = Special::new(folder, &inner)?;
        Ok(Tokenizer { inner, special, folder: folder.to_path_buf(), assumed_lower_case })
    }

    /// Writes the files of a lower-casing WordPiece tokenizer with this vocabulary, as transformers loads them:
    /// `vocab.txt`, `tokenizer_config.json`, `tokenizer.json`. `longest` is the model's position table.
    pub fn write(folder: &Path, vocabulary: &[String], longest: usize) -> Result<()> {
        let [json, vocab, config] =
            ["tokenizer.json", "vocab.txt", "tokenizer_config.json"].map(|name| folder.join(name));
        let options = serde_json::json!({
            "do_lower_case": true, "strip_accents": null, "tokenize_chinese_chars": true,
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
            "mask_token": "[MASK]", "model_max_length": longest, "tokenizer_class": "BertTokenizer",
        });
        disk::write(&config, format!("{options:#}\n").as_bytes())?;
        disk::write(&vocab, (vocabulary.join("\n") + "\n").as_bytes())?;
        let tokenizer = files::word_piece(&vocab, &config, &mut false)?;
        let text = tokenizer.to_string(true).map_err(|e| {
            Error::said(
                json.display(),
                format!("the tokenizer cannot be written as JSON: {e}"),
                "report this",
            )
        })?;
        disk::write(&json, (text + "\n").as_bytes())
    }

    /// How many tokens there are.
    pub fn pieces(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// BLAKE3 of the vocabulary in id order: the same for `vocab.txt` and for the `tokenizer.json` made from it.
    pub fn vocabulary_hash(&self) -> String {
        let mut tokens: Vec<(u32, String)> =
            self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
        tokens.sort();
        let text: String = tokens.iter().map(|(id, token)| format!("{id}\t{token}\n")).collect();
        disk::hash(text.as_bytes())
    }

    /// Tokenizes rows into examples of at most `max_len` tokens, special ones included, and says what that cuts off. Rows
    /// without a label get an empty masked-LM target, for [`super::masking::mask`] to fill.
    pub fn examples(&self, rows: &[Row], max_len: usize) -> Result<Vec<Example>> {
        Ok(self.tokenized(rows, max_len)?.0)
    }

    /// As [`examples`](Self::examples), with the words that say what was cut off, if anything was.
    pub fn tokenized(&self, rows: &[Row], max_len: usize) -> Result<(Vec<Example>, Option<String>)> {
        if self.assumed_lower_case {
            progress::excluded(format!(
                "{}: do_lower_case is not set; assuming lower case",
                self.folder.display()
            ));
        }
        let all = rows.par_iter().map(|row| self.sound(row, max_len)).collect::<Result<Vec<_>>>()?;
        let cut: Vec<usize> =
            all.iter().filter(|(_, cut)| *cut > 0).map(|(own, cut)| own.size() + cut).collect();
        let kept = all.iter().filter(|(_, cut)| *cut > 0).map(|(own, _)| own.size()).sum::<usize>();
        let words = (!cut.is_empty()).then(|| {
            let share = 100.0 * (1.0 - kept as f64 / cut.iter().sum::<usize>() as f64);
            let (some, of) = (cut.len(), all.len());
            format!("{some} of {of}{CUT}{max_len} tokens, {share:.0} % of their tokens cut off")
        });
        words.iter().for_each(progress::excluded);
        let asked = |row: &Row| if let RowLabel::Words(words) = &row.label { words.len() } else { 0 };
        let lost = rows.iter().map(asked).sum::<usize>();
        let lost = lost.saturating_sub(all.iter().map(|(example, _)| example.targets()).sum());
        if lost > 0 && rows.iter().any(|row| asked(row) > 0) {
            progress::excluded(format!(
                "{lost} words have no label: they were cut off, or no token is left of them"
            ));
        }
        Ok((all.into_iter().map(|(example, _)| example).collect(), words))
    }

    /// Only the texts' own tokens, without what the post-processor adds, the first `most` of each; and how many were cut off.
    pub fn bare(&self, rows: &[Row], most: usize) -> Result<(Vec<Vec<u32>>, usize)> {
        let tokens = |row: &Row| {
            let whole =
                caught(|| self.encode(&row.text)).unwrap_or_else(|why| Err(self.refused(why.into())))?;
            let ids = whole.get_ids();
            Ok((ids[..ids.len().min(most)].to_vec(), ids.len().saturating_sub(most)))
        };
        let all = rows.par_iter().map(tokens).collect::<Result<Vec<_>>>()?;
        let cut = all.iter().map(|(_, cut)| cut).sum();
        Ok((all.into_iter().map(|(ids, _)| ids).collect(), cut))
    }

    /// The text of some tokens, without special ones.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        let decoded = caught(|| self.inner.decode(ids, true));
        decoded.unwrap_or_else(|why| Err(why.into())).map_err(|e| self.refused(e))
    }

    /// The token that ends a text.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a vocabulary without one.
    pub fn end(&self) -> Result<u32> {
        let fix = "name the token that ends a text as eos_token in tokenizer_config.json";
        let wrong = || Error::said(self.folder.display(), "the vocabulary has no end token", fix);
        self.special.end.ok_or_else(wrong)
    }

    /// The marks `<extra_id_0>`, `<extra_id_1>`, … of this many spans that are removed.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a vocabulary that has fewer.
    pub fn marks(&self, number: usize) -> Result<Vec<u32>> {
        let mark = |k: usize| {
            let name = format!("<extra_id_{k}>");
            self.inner.token_to_id(&name).ok_or_else(|| {
                let fix = "choose a smaller --max-len, or use the tokenizer of a model that was trained with such marks";
                let sentence =
                    format!("the vocabulary has no token {name}, but a text has {number} spans to remove");
                Error::said(self.folder.display(), sentence, fix)
            })
        };
        (0..number).map(mark).collect()
    }

    /// As [`example`](Self::example). Of some files the library finds only while it reads a text that they cannot be used, and
    /// panics.
    fn sound(&self, row: &Row, max_len: usize) -> Result<(Example, usize)> {
        caught(|| self.example(row, max_len)).unwrap_or_else(|why| Err(self.refused(why.into())))
    }

    /// An example, and how many of its tokens were cut off.
    fn example(&self, row: &Row, max_len: usize) -> Result<(Example, usize)> {
        let added = self.inner.get_post_processor().map_or(0, |own| own.added_tokens(row.pair.is_some()));
        let text = match &row.label {
            RowLabel::Words(words) => self.encode_words(words)?,
            _ => self.encode(&row.text)?,
        };
        let pair = row.pair.as_deref().map(|pair| self.encode(pair)).transpose()?;
        let cut = TruncationParams {
            max_length: max_len.saturating_sub(added),
            strategy: TruncationStrategy::LongestFirst,
            direction: TruncationDirection::Right,
            stride: 0,
        };
        let length =
            |text: &Encoding, pair: &Option<Encoding>| text.len() + pair.as_ref().map_or(0, Encoding::len);
        let before = length(&text, &pair);
        let (text, pair) = truncate_encodings(text, pair, &cut).map_err(|e| self.refused(e))?;
        let mut cut = before - length(&text, &pair);
        let whole = self.inner.post_process(text, pair, true).map_err(|e| self.refused(e))?;
        let ids = whole.get_ids().to_vec();
        // Texts that nothing stands between are one segment.
        let types = if added == 0 { vec![0; ids.len()] } else { whole.get_type_ids().to_vec() };
        let target = match &row.label {
            RowLabel::None | RowLabel::Answer { .. } => Target::none(),
            RowLabel::Class(class) => Target::class(*class as u32),
            RowLabel::Value(value) => Target::value(*value),
            RowLabel::Words(words) => first_pieces(whole.get_word_ids(), words),
            RowLabel::Text(written) => {
                let (written, left_out) = self.written(written, max_len)?;
                cut += left_out;
                written
            }
        };
        Ok((Example { ids, types, target, group: row.group, window: None }, cut))
    }

    /// A text that a model is to write, as the post-processor closes it, and how many of its tokens were cut off.
    fn written(&self, text: &str, max_len: usize) -> Result<(Target, usize)> {
        let added = self.inner.get_post_processor().map_or(0, |own| own.added_tokens(false));
        let mut text = self.encode(text)?;
        let before = text.len();
        text.truncate(max_len.saturating_sub(added), 0, TruncationDirection::Right);
        let cut = before - text.len();
        let whole = self.inner.post_process(text, None, true).map_err(|e| self.refused(e))?;
        Ok((Target::written(whole.get_ids().to_vec()), cut))
    }

    /// Words one by one: the pieces know whose they are, which the fast way does not keep.
    fn encode_words(&self, words: &[(String, usize)]) -> Result<Encoding> {
        let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        self.inner.encode(InputSequence::from(words), false).map_err(|e| self.refused(e))
    }

    fn encode(&self, text: &str) -> Result<Encoding> {
        self.inner.encode_fast(text, false).map_err(|e| self.refused(e))
    }

    fn refused(&self, error: tokenizers::Error) -> Error {
        let sentence = format!("the tokenizer cannot read the text: {error}");
        Error::said(self.folder.display(), sentence, "use the model's own tokenizer")
    }
}

/// The class of each word, at its first piece; words that were cut off have none.
fn first_pieces(pieces: &[Option<u32>], words: &[(String, usize)]) -> Target {
    let first = |(at, word): (usize, &Option<u32>)| {
        let word = (*word)?;
        let begins = at == 0 || pieces[at - 1] != Some(word);
        begins.then(|| Some((at as u32, words.get(word as usize)?.1 as u32))).flatten()
    };
    Target::at(pieces.iter().enumerate().filter_map(first))
}
