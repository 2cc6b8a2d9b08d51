//! The weights of a checkpoint, whatever their files and names.
//!
//! They come from `model.safetensors`, its shards (`model.safetensors.index.json`) or `pytorch_model.bin` (data only:
//! the pickle reader runs no code). What names they may have is the architecture's to say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::DType;

use super::config::Architecture;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::WEIGHTS;
use crate::params::{self, ParamMap};

/// All float tensors of a checkpoint under canonical names, and the files they came from.
///
/// # Errors
///
/// [`Error::Field`] if there are none, a shard is missing, or a file does not parse.
pub fn read(folder: &Path, architecture: &Architecture) -> Result<(ParamMap, Vec<PathBuf>)> {
    let Some(path) = WEIGHTS.iter().map(|name| folder.join(name)).find(|path| files::exists(path)) else {
        let expected = "model.safetensors, its shards, or pytorch_model.bin";
        let fix = "download the checkpoint's weights into this folder";
        return Err(Error::field(folder.display(), "weights", expected, "none of them", fix));
    };
    let sources = if path.extension().is_some_and(|e| e == "json") { shards(&path)? } else { vec![path] };
    let mut tensors = ParamMap::new();
    for source in &sources {
        if source.extension().is_some_and(|e| e == "safetensors") {
            tensors.extend(params::read_safetensors(source)?.0);
        } else {
            tensors.extend(read_pickle(source)?);
        }
    }
    // Where a tensor stands under two names, that under the canonical one counts.
    let mut canonical = ParamMap::new();
    let (own, others): (ParamMap, ParamMap) =
        tensors.into_iter().partition(|(name, _)| (architecture.canonical)(name).as_ref() == Some(name));
    for (name, tensor) in own.into_iter().chain(others) {
        if let Some(name) = (architecture.canonical)(&name) {
            canonical.entry(name).or_insert(tensor);
        }
    }
    Ok((canonical, sources))
}

/// The files that an index names.
fn shards(index: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |found: String| {
        let fix = "download all shards and the index again";
        Error::field(index.display(), "weight_map", "a map from tensors to files in this folder", found, fix)
    };
    let json: serde_json::Value =
        serde_json::from_str(&files::read_text(index)?).map_err(|e| wrong(e.to_string()))?;
    let map = json.get("weight_map").and_then(|m| m.as_object()).ok_or_else(|| wrong("none".into()))?;
    let names: BTreeSet<&str> = map.values().filter_map(|file| file.as_str()).collect();
    let folder = index.parent().unwrap_or(Path::new("."));
    names
        .into_iter()
        .map(|name| match folder.join(name) {
            path if path.exists() && Path::new(name).components().count() == 1 => Ok(path),
            _ => Err(wrong(format!("`{name}`, which is not there"))),
        })
        .collect()
}

/// A PyTorch file's tensors. The reader interprets the pickle as data: no code of it runs.
fn read_pickle(path: &Path) -> Result<ParamMap> {
    let wrong = |e: candle_core::Error| {
        let fix = "fetch the file again, or convert it to model.safetensors";
        Error::field(path.display(), "pickle", "a PyTorch state dict (zip format)", e, fix)
    };
    let tensors = candle_core::pickle::read_all(path).map_err(wrong)?;
    let floats = tensors.into_iter().filter(|(_, t)| t.dtype().is_float());
    floats.map(|(name, t)| Ok((name, t.to_dtype(DType::F32).map_err(wrong)?))).collect()
}
