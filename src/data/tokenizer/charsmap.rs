//! Maps of characters that SentencePiece compiled, as `tokenizer.json` holds them in base64: the size of a table in four bytes, the
//! table, texts.
//!
//! The library takes memory for the table before it looks whether there is one.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

const KEY: &str = "precompiled_charsmap";

/// Refuses a map whose table is larger than the map, and a file with a map that is no JSON.
pub fn check(json: &Path, bytes: &[u8]) -> Result<()> {
    // Few tokenizers have one, and none is worth reading twice.
    if !bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes()) {
        return Ok(());
    }
    // The library would come to the map before it comes to what is wrong.
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        Error::field(json.display(), "tokenizer", "a tokenizers JSON file", e, "fetch the file again")
    })?;
    match excess(&value) {
        None => Ok(()),
        Some((named, held)) => {
            let (expected, found) = (format!("of {named} bytes, as it says"), format!("{held}"));
            Err(Error::field(json.display(), KEY, expected, found, "fetch the file again"))
        }
    }
}

/// The first map below `value` that names more bytes for its table than it holds: both.
fn excess(value: &Value) -> Option<(usize, usize)> {
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| match value {
            Value::String(text) if key == KEY => sizes(text).filter(|(named, held)| named > held),
            other => excess(other),
        }),
        Value::Array(list) => list.iter().find_map(excess),
        _ => None,
    }
}

/// The bytes of the table by its first four, the least first; and those that are there. None for what is no base64.
fn sizes(text: &str) -> Option<(usize, usize)> {
    let bits = text.bytes().take(6).try_fold(0u64, |bits, c| Some(bits << 6 | six(c)?))?;
    let named = ((bits >> 4) as u32).swap_bytes() as usize;
    let held = text.trim_end_matches('=').len() * 3 / 4;
    Some((named, held.checked_sub(4)?))
}

/// The six bits of a letter.
fn six(letter: u8) -> Option<u64> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    alphabet.iter().position(|own| *own == letter).map(|place| place as u64)
}
