//! Tokens that somebody added to a tokenizer: those of `added_tokens.json` and, in newer files, of `tokenizer_config.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::special::{options, text};
use crate::error::{Error, Result};

/// Adds the tokens that the folder's files name to a tokenizer that does not have them yet, under the ids that they name.
///
/// # Errors
///
/// [`Error::Field`] for an id that another token has, or that would leave a gap.
pub fn add(tokenizer: &mut Tokenizer, folder: &Path, config: &Map<String, Value>) -> Result<()> {
    for (id, token) in named(folder, config)? {
        let content = token.content.clone();
        match tokenizer.token_to_id(&content) {
            Some(own) if own == id => continue,
            Some(own) => return Err(wrong(folder, &content, format!("id {own}"), format!("id {id}"))),
            None => {}
        }
        let refused =
            |e: tokenizers::Error| wrong(folder, &content, "a token that can be added".into(), e.to_string());
        match token.special {
            true => tokenizer.add_special_tokens([token]).map_err(refused)?,
            false => tokenizer.add_tokens([token]).map_err(refused)?,
        };
        let own = tokenizer.token_to_id(&content);
        if own != Some(id) {
            let next = own.map_or("none".to_string(), |own| format!("the next id, {own}"));
            return Err(wrong(folder, &content, next, format!("id {id}")));
        }
    }
    Ok(())
}

fn wrong(folder: &Path, token: &str, expected: String, found: String) -> Error {
    let fix = "the tokenizer's files are of two models: fetch them again";
    Error::field(folder.display(), format!("the added token {token}"), expected, found, fix)
}

/// Added tokens by id.
fn named(folder: &Path, config: &Map<String, Value>) -> Result<BTreeMap<u32, AddedToken>> {
    let mut all = BTreeMap::new();
    let special = config.get("additional_special_tokens").and_then(Value::as_array);
    let is_special = |token: &str| special.into_iter().flatten().any(|own| text(own) == Some(token));
    for (token, id) in options(&folder.join("added_tokens.json"))? {
        if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
            let special = is_special(&token);
            all.insert(id, AddedToken::from(token, special));
        }
    }
    let decoder = config.get("added_tokens_decoder").and_then(Value::as_object);
    for (id, token) in decoder.into_iter().flatten() {
        let (Ok(id), Some(content)) = (id.parse(), text(token)) else { continue };
        let flag = |key: &str| token.get(key).and_then(Value::as_bool).unwrap_or(false);
        let added = AddedToken::from(content.to_string(), flag("special") || is_special(content))
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"))
            .single_word(flag("single_word"))
            .normalized(flag("normalized"));
        all.insert(id, added);
    }
    Ok(all)
}
