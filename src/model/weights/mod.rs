//! The weights of a checkpoint, whatever their files and names.
//!
//! They come from `model.safetensors`, its shards (`model.safetensors.index.json`) or `pytorch_model.bin`. What a file is,
//! its first bytes say ([`content`]), not its name. A PyTorch file is data here: no code of it runs ([`pickle`]). What names
//! tensors may have is the architecture's to say ([`names`]).
//!
//! The trap: much that lies in such folders is not the weights, or not alone. What is none is named, with the way out
//! ([`place`]); what could be read in two ways is refused.

mod archive;
mod content;
mod element;
mod legacy;
mod names;
mod pickle;
mod place;
mod quantized;
mod state;
mod views;

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use self::content::Format;
use super::config::ModelConfig;
use crate::error::Result;
use crate::params::{self, ParamMap};

pub use self::place::check;

/// A tensor under the name that the file gives it.
struct Stored {
    name: String,
    content: Content,
}

enum Content {
    /// In float32.
    Float(Tensor),
    /// Integers and the like, by the name of their type.
    Other(String),
}

/// All float tensors of a checkpoint under canonical names, and the files they came from.
///
/// # Errors
///
/// [`Error::Field`](crate::Error::Field) if there are none, a shard is missing, a file does not parse, the checkpoint is
/// quantized, or names do not fit the model or mean one tensor twice.
pub fn read(folder: &Path, config: &ModelConfig) -> Result<(ParamMap, Vec<PathBuf>)> {
    quantized::check(folder, &config.json)?;
    let sources = place::sources(folder)?;
    let mut stored = Vec::new();
    for source in &sources {
        stored.extend(read_file(source)?);
    }
    Ok((names::canonical(folder, stored, config)?, sources))
}

fn read_file(path: &Path) -> Result<Vec<Stored>> {
    match content::format(path)? {
        Format::Safetensors => read_safetensors(path),
        Format::Zip => archive::read(path),
        Format::Pickle => legacy::read(path),
    }
}

fn read_safetensors(path: &Path) -> Result<Vec<Stored>> {
    let contents = params::read_contents(path)?;
    let floats = contents.floats.into_iter().map(|(name, t)| (name, Content::Float(t)));
    let others = contents.others.into_iter().map(|(name, dtype)| (name, Content::Other(dtype)));
    Ok(floats.chain(others).map(|(name, content)| Stored { name, content }).collect())
}
