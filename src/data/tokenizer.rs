//! Text to token ids, as BERT does it: `[CLS] A [SEP] B [SEP]`, segments 0 and 1 (the last `[SEP]` is 1).
//!
//! The trap: a `tokenizer.json` carries truncation and padding of its own (MiniLM: fixed 128), applied silently.
//! Both are switched off on load; special tokens and truncation (longest first, from the right) are applied here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::decoders::wordpiece::WordPiece as Decoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{AddedToken, Encoding};

use super::Example;
use super::Target;
use super::row::{Row, RowLabel};
use crate::error::{Error, Result};
use crate::{files, progress};

/// A checkpoint's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pub special: Special,
    folder: PathBuf,
    /// True where nothing said whether the model lower-cases, and it is taken to.
    assumed_lower_case: bool,
}

/// BERT's special tokens.
pub(super) const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Ids of the special tokens.
#[derive(Clone, Debug)]
pub struct Special {
    pub pad: u32,
    pub unk: u32,
    pub cls: u32,
    pub sep: u32,
    pub mask: u32,
}

impl Special {
    /// Whether `id` is one of the five.
    pub fn contains(&self, id: u32) -> bool {
        [self.pad, self.unk, self.cls, self.sep, self.mask].contains(&id)
    }
}

impl Tokenizer {
    /// The tokenizer in a checkpoint's folder: `tokenizer.json`, else `vocab.txt` with the options of
    /// `tokenizer_config.json` (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`).
    pub fn load(folder: &Path) -> Result<Tokenizer> {
        let (json, vocab) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        let mut assumed_lower_case = false;
        let mut inner = if files::exists(&json) {
            tokenizers::Tokenizer::from_bytes(files::read(&json)?).map_err(|e| {
                Error::field(json.display(), "tokenizer", "a tokenizers JSON file", e, "fetch the file again")
            })?
        } else if files::exists(&vocab) {
            from_vocab(&vocab, &folder.join("tokenizer_config.json"), &mut assumed_lower_case)?
        } else {
            let found = "neither tokenizer.json nor vocab.txt";
            let fix = "copy the tokenizer files of the model into this folder";
            return Err(Error::field(
                folder.display(),
                "tokenizer",
                "tokenizer.json or vocab.txt",
                found,
                fix,
            ));
        };
        // Without truncation parameters this cannot fail.
        inner.with_truncation(None).map_err(|e| {
            Error::field(json.display(), "truncation", "removable", e, "delete the key `truncation`")
        })?;
        inner.with_padding(None);
        let id = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| {
                let fix = "BERT vocabularies have [PAD], [UNK], [CLS], [SEP] and [MASK]: use the model's own tokenizer";
                Error::field(folder.display(), "vocabulary", format!("the token {token}"), "none such", fix)
            })
        };
        let [pad, unk, cls, sep, mask] = SPECIAL.map(id);
        let special = Special { pad: pad?, unk: unk?, cls: cls?, sep: sep?, mask: mask? };
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
        files::write(&config, format!("{options:#}\n").as_bytes())?;
        files::write(&vocab, (vocabulary.join("\n") + "\n").as_bytes())?;
        let mut tokenizer = from_vocab(&vocab, &config, &mut false)?;
        let id = |token: &str| (token.to_string(), tokenizer.token_to_id(token).unwrap_or(0));
        let processor = BertProcessing::new(id("[SEP]"), id("[CLS]"));
        tokenizer.with_post_processor(Some(processor)).with_decoder(Some(Decoder::default()));
        let text = tokenizer.to_string(true).map_err(|e| {
            Error::field(json.display(), "tokenizer", "representable as JSON", e, "report this")
        })?;
        files::write(&json, (text + "\n").as_bytes())
    }

    /// BLAKE3 of the vocabulary in id order: the same for `vocab.txt` and for the `tokenizer.json` made from it.
    pub fn vocabulary_hash(&self) -> String {
        let mut tokens: Vec<(u32, String)> =
            self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
        tokens.sort();
        let text: String = tokens.iter().map(|(id, token)| format!("{id}\t{token}\n")).collect();
        files::hash(text.as_bytes())
    }

    /// Tokenizes rows into examples of at most `max_len` tokens, special ones included. Rows without a label get an
    /// empty masked-LM target, for [`super::masking::mask`] to fill.
    pub fn examples(&self, rows: &[Row], max_len: usize) -> Result<Vec<Example>> {
        if self.assumed_lower_case {
            progress::excluded(format!(
                "{}: nothing says do_lower_case, lower-casing",
                self.folder.display()
            ));
        }
        rows.par_iter().map(|row| self.example(row, max_len)).collect()
    }

    fn example(&self, row: &Row, max_len: usize) -> Result<Example> {
        let room = max_len.saturating_sub(if row.pair.is_some() { 3 } else { 2 });
        let text = self.encode(&row.text)?;
        let pair = row.pair.as_deref().map(|pair| self.encode(pair)).transpose()?;
        let cut = TruncationParams {
            max_length: room,
            strategy: TruncationStrategy::LongestFirst,
            direction: TruncationDirection::Right,
            stride: 0,
        };
        let (text, pair) = truncate_encodings(text, pair, &cut).map_err(|e| self.refused(e))?;
        let mut ids = vec![self.special.cls];
        ids.extend(text.get_ids());
        ids.push(self.special.sep);
        let mut types = vec![0; ids.len()];
        if let Some(pair) = pair {
            ids.extend(pair.get_ids());
            ids.push(self.special.sep);
            types.resize(ids.len(), 1);
        }
        let target = match row.label {
            RowLabel::None => Target::none(),
            RowLabel::Class(class) => Target::class(class as u32),
            RowLabel::Value(value) => Target::value(value),
        };
        Ok(Example { ids, types, target })
    }

    fn encode(&self, text: &str) -> Result<Encoding> {
        self.inner.encode_fast(text, false).map_err(|e| self.refused(e))
    }

    fn refused(&self, error: tokenizers::Error) -> Error {
        Error::field(
            self.folder.display(),
            "tokenizer",
            "able to read the text",
            error,
            "use the model's own tokenizer",
        )
    }
}

fn from_vocab(vocab: &Path, config: &Path, assumed: &mut bool) -> Result<tokenizers::Tokenizer> {
    let options: HashMap<String, serde_json::Value> = if files::exists(config) {
        serde_json::from_str(&files::read_text(config)?)
            .map_err(|e| Error::field(config.display(), "JSON", "valid", e, "fetch the file again"))?
    } else {
        HashMap::new()
    };
    let flag = |key: &str| options.get(key).and_then(serde_json::Value::as_bool);
    let refused = |e: tokenizers::Error| {
        Error::field(vocab.display(), "vocabulary", "a WordPiece vocabulary", e, "fetch the file again")
    };
    let text = files::read_text(vocab)?;
    let pieces: HashMap<&str, usize> = text.lines().map(str::trim_end).zip(0..).collect();
    // The builder's map is of a crate that is not ours; the serialized form is the same model.
    let model = serde_json::json!({
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": pieces,
    });
    let model: WordPiece = serde_json::from_str(&model.to_string()).map_err(|e| refused(e.into()))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    *assumed = flag("do_lower_case").is_none();
    let lower = flag("do_lower_case").unwrap_or(true);
    let chinese = flag("tokenize_chinese_chars").unwrap_or(true);
    let normalizer = BertNormalizer::new(true, chinese, flag("strip_accents"), lower);
    tokenizer.with_normalizer(Some(normalizer)).map_err(refused)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    // Only tokens that the vocabulary has: adding another would give it an id beyond the embedding table.
    let known = SPECIAL.into_iter().filter(|token| tokenizer.token_to_id(token).is_some());
    let special: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true)).collect();
    tokenizer.add_special_tokens(special).map_err(refused)?;
    Ok(tokenizer)
}
