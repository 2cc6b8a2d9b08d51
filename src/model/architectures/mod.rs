//! Architectures: one file each, and one line in [`ALL`].
//!
//! An architecture is data: how its `config.json` is read, which modules it has and what they are called, and the names of
//! its classes in transformers. The [`Layout`] follows from the modules; the forward pass ([`super::network`]) is written
//! once over them and over the [`ModelConfig`].

pub mod bert;

use std::path::Path;

use serde_json::Value;

use super::config::{Architecture, ModelConfig, Source};
use super::layout::Layout;
use crate::error::Result;
use crate::files;
use crate::params::ParamMap;

/// Every architecture; first that of a configuration without a `model_type`.
pub const ALL: [&Architecture; 1] = [&bert::BERT];

/// Reads and checks `config.json`.
///
/// # Errors
///
/// [`Error::Field`](crate::Error::Field) for a file that is no JSON object, a missing or zero size, heads that do not divide the
/// width, an activation or a kind of model that is not supported.
pub fn read(path: &Path) -> Result<ModelConfig> {
    let text = files::read_text(path)?;
    let source = Source::new(path, &text)?;
    let architecture = match source.json.get("model_type") {
        None | Some(Value::Null) => ALL[0],
        Some(kind) => {
            let known = ALL.into_iter().find(|known| kind == known.model_type);
            let kind = kind.as_str().map_or_else(|| kind.to_string(), str::to_string);
            let expected: Vec<String> = ALL.iter().map(|known| format!("`{}`", known.model_type)).collect();
            let fix = "only BERT encoders are supported";
            known
                .ok_or_else(|| source.wrong("model_type", &expected.join(" or "), format!("`{kind}`"), fix))?
        }
    };
    let config = (architecture.read)(&source)?;
    config.check(&source)?;
    Ok(config)
}

/// The layout of parameters that no file describes, by the names that an architecture gives them. A tensor that none
/// knows belongs to the head.
pub fn recognise(tensors: &ParamMap) -> Layout {
    let known = ALL.iter().map(|architecture| (architecture.recognise)(tensors));
    known.max_by_key(|layout| layout.sites().len()).unwrap_or_default()
}
