//! Text that a normalizer of `tokenizer.json` puts in, before each text or in place of each match.
//!
//! Some splitters of the library copy the whole text for each piece, so a text that grew a thousandfold takes gigabytes.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Bytes for one of a text, through all normalizers in turn. Real ones put a letter of three bytes in place of a space, or another
/// sign for a few.
const MOST: usize = 4096;

#[derive(Deserialize)]
struct Normalized {
    #[serde(default)]
    normalizer: Value,
}

/// Refuses normalizers that let a text grow without measure.
pub fn check(json: &Path, bytes: &[u8]) -> Result<()> {
    let puts_in = |key: &[u8]| bytes.windows(key.len()).any(|part| part == key);
    // Few tokenizers have one, and none is worth reading twice.
    if !(puts_in(b"\"Prepend\"") || puts_in(b"\"Replace\"")) {
        return Ok(());
    }
    let normalizer =
        serde_json::from_slice(bytes).map_or(Value::Null, |Normalized { normalizer }| normalizer);
    match growth(&normalizer) {
        found if found <= MOST => Ok(()),
        found => {
            let sentence =
                format!("`normalizer` must turn a letter into at most {MOST} bytes, found {found}");
            Err(Error::said(
                json.display(),
                sentence,
                "remove its Prepend and Replace, or fetch the file again",
            ))
        }
    }
}

/// The most bytes that become of one.
fn growth(normalizer: &Value) -> usize {
    let text = |key: &str| normalizer.get(key).and_then(Value::as_str).map_or(0, str::len);
    match normalizer.get("normalizers").and_then(Value::as_array) {
        Some(all) => all.iter().map(growth).fold(1, usize::saturating_mul),
        // A match is a byte at least.
        None => 1 + text("prepend") + text("content").saturating_sub(1),
    }
}
