//! Special tokens: what the files name so, or what vocabularies of their kind call so.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::error::{Error, Result};
use crate::files;

/// BERT's: padding, unknown, first, separator, mask.
pub const BERT: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// RoBERTa's, likewise.
pub const ROBERTA: [&str; 5] = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"];

/// The roles that files give tokens, and what a token of a role is called where they say nothing.
const ROLES: [(&str, &[&str]); 7] = [
    ("pad_token", &["[PAD]", "<pad>"]),
    ("unk_token", &["[UNK]", "<unk>"]),
    ("cls_token", &["[CLS]", "<s>"]),
    ("sep_token", &["[SEP]", "</s>"]),
    ("mask_token", &["[MASK]", "<mask>"]),
    ("bos_token", &["<s>", "<|endoftext|>"]),
    ("eos_token", &["</s>", "<|endoftext|>"]),
];

/// Ids of the special tokens.
#[derive(Clone, Debug)]
pub struct Special {
    /// What sets are padded with: padding, or the end of a text where there is none.
    pub pad: u32,
    /// None where the model was not trained to fill gaps.
    pub mask: Option<u32>,
    /// What ends a text.
    pub end: Option<u32>,
    /// All of them, ascending.
    pub all: Vec<u32>,
}

impl Special {
    /// Those of a folder's tokenizer, by `tokenizer_config.json` and `special_tokens_map.json`.
    pub fn new(folder: &Path, tokenizer: &Tokenizer) -> Result<Special> {
        let named = [
            options(&folder.join("tokenizer_config.json"))?,
            options(&folder.join("special_tokens_map.json"))?,
        ];
        let id = |(role, usual): (&'static str, &'static [&'static str])| {
            let own = named.iter().find_map(|file| text(file.get(role)?));
            let of = |token: &str| tokenizer.token_to_id(token);
            let found = own.and_then(|own| Some((own, of(own)?)));
            found.or_else(|| usual.iter().find_map(|token| Some((*token, of(token)?))))
        };
        let found = ROLES.map(id);
        distinct(folder, &found)?;
        let ids = found.map(|token| token.map(|(_, id)| id));
        let [pad, _, _, _, mask, _, end] = ids;
        let mut all: Vec<u32> = ids.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        let pad = pad.or(end).ok_or_else(|| {
            let fix = "use the model's own tokenizer: [PAD], <pad> and <|endoftext|> are known, and what tokenizer_config.json \
                       names";
            Error::said(folder.display(), "the vocabulary has no padding token", fix)
        })?;
        Ok(Special { pad, mask, end, all })
    }

    /// Whether `id` is one of them.
    pub fn contains(&self, id: u32) -> bool {
        self.all.binary_search(&id).is_ok()
    }

    /// The token that masked ones become.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a vocabulary without one.
    pub fn mask(&self, folder: &Path) -> Result<u32> {
        let fix = "use the tokenizer of a model that was trained to fill masked tokens";
        self.mask.ok_or_else(|| Error::said(folder.display(), "the vocabulary has no mask token", fix))
    }
}

/// Refuses two tokens of one id: one of them would be taken for the other. One token may have several roles.
fn distinct(folder: &Path, found: &[Option<(&str, u32)>]) -> Result<()> {
    let mut names = HashMap::new();
    for (token, id) in found.iter().flatten() {
        let first = names.entry(id).or_insert(token);
        if first != &token {
            let sentence = format!("the special tokens {first} and {token} share the id {id}");
            let fix = "the tokenizer's files are damaged: fetch them again";
            return Err(Error::said(folder.display(), sentence, fix));
        }
    }
    Ok(())
}

/// A token as files write it: the text, or an object that holds it.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The options that a file of the folder holds; none where there is no such file.
pub fn options(path: &Path) -> Result<Map<String, Value>> {
    if !files::exists(path) {
        return Ok(Map::new());
    }
    serde_json::from_str(&files::read_text(path)?).map_err(|e| {
        Error::said(path.display(), format!("it is not valid JSON: {e}"), "fetch the file again")
    })
}
