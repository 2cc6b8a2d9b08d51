//! Which files of a folder hold the weights; and what the folder is, if none does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::state::some;
use crate::error::{Error, Result};
use crate::hub::WEIGHTS;
use crate::{files, progress};

const CONFIG: &str = "config.json";

/// Whether a folder is a checkpoint, as far as its files' names tell.
///
/// # Errors
///
/// [`Error::Field`] with what it is otherwise, and the way from there to a checkpoint.
pub fn check(folder: &Path) -> Result<()> {
    let names = names(folder)?;
    let has = |name: &str| names.iter().any(|own| own == name);
    let (config, weights) = (has(CONFIG), WEIGHTS.iter().any(|name| has(name)));
    if config && weights {
        if has("adapter_config.json") {
            let text = "the adapter next to the weights (adapter_config.json) is not applied";
            progress::note(format!("{}: {text}", folder.display()));
        }
        return Ok(());
    }
    let (found, fix) = instead(folder, &names)?;
    let sentence = match weights {
        true => format!("no {CONFIG} next to the weights; found {found}"),
        false => format!("no weights (model.safetensors, its shards, or pytorch_model.bin); found {found}"),
    };
    Err(Error::said(folder.display(), sentence, fix))
}

/// The files of the weights.
///
/// # Errors
///
/// [`Error::Field`] for an index that does not parse or names a file that is not there.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = WEIGHTS.iter().map(|name| folder.join(name)).find(|path| files::exists(path));
    match path {
        None => check(folder).map(|()| Vec::new()),
        Some(path) if path.extension().is_some_and(|e| e == "json") => shards(&path),
        Some(path) => Ok(vec![path]),
    }
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
            path if path.file_name() == Some(name.as_ref()) && path.exists() => Ok(path),
            _ => Err(wrong(format!("`{name}`, which is not there"))),
        })
        .collect()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let name = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
    Ok(files::list(folder)?.into_iter().filter_map(name).collect())
}

/// How the names of files begin and end that show what a folder is; what that is, and what to do.
const KINDS: [(&str, &str, &str, &str); 17] = [
    ("zero_to_fp32.py", "", "the shards of a DeepSpeed run", DEEPSPEED),
    ("global_step", "", "the shards of a DeepSpeed run", DEEPSPEED),
    ("pytorch_model_fsdp", "", "the shards of an FSDP run", FSDP),
    ("", ".distcp", "the shards of an FSDP run", FSDP),
    ("model-", ".safetensors", "shards without their index, model.safetensors.index.json", INDEX),
    ("pytorch_model-", ".bin", "shards without their index, pytorch_model.bin.index.json", INDEX),
    ("model.", ".safetensors", "a variant", "if it is the one that you want, copy it to model.safetensors"),
    ("pytorch_model.", ".bin", "a variant", "if it is the one that you want, copy it to pytorch_model.bin"),
    (
        "tf_model",
        ".h5",
        "TensorFlow weights",
        "load them in transformers 4 by from_tf=True, and save_pretrained(NEW)",
    ),
    ("", ".ckpt.index", "TensorFlow weights", "convert them by the scripts of transformers 4"),
    (
        "flax_model",
        ".msgpack",
        "Flax weights",
        "load them in transformers 4 by from_flax=True, and save_pretrained(NEW)",
    ),
    ("", ".gguf", "weights for llama.cpp", ORIGINAL),
    ("", ".onnx", "a program for ONNX", ORIGINAL),
    (
        "",
        ".safetensors",
        "weights under another name",
        "if they are the model's, call them model.safetensors",
    ),
    ("", ".bin", "weights under another name", "if they are the model's, call them pytorch_model.bin"),
    ("", ".pt", "weights under another name", "if they are the model's, call them pytorch_model.bin"),
    ("", ".ckpt", "weights under another name", "if they are the model's, call them pytorch_model.bin"),
];

const DEEPSPEED: &str =
    "join them by the script next to them, python zero_to_fp32.py . NEW, and give NEW with config.json in it";
const FSDP: &str = "join them: accelerate merge-weights SHARDS NEW, and give NEW with config.json in it";
const INDEX: &str = "fetch the index as well; it says which shard holds which tensor";
const ORIGINAL: &str = "give the checkpoint that they were made of";
const FETCH: &str = "put the checkpoint's weights and config.json into this folder; hf download MODEL --local-dir FOLDER \
                     fetches both";

/// What a folder is that is not a checkpoint, and what to do.
fn instead(folder: &Path, names: &[String]) -> Result<(String, String)> {
    if let Some(adapter) = adapter(folder, names)? {
        return Ok(adapter);
    }
    if let Some(inside) = inside(folder, names) {
        return Ok(inside);
    }
    let kind = KINDS.iter().find_map(|(start, end, what, fix)| {
        let own = |name: &&String| {
            name.starts_with(start) && name.ends_with(end) && !WEIGHTS.contains(&name.as_str())
        };
        Some((names.iter().find(own)?, what, fix))
    });
    Ok(match kind {
        Some((name, what, fix)) => (format!("{what}: `{name}`"), (*fix).into()),
        None if names.is_empty() => ("an empty folder".into(), FETCH.into()),
        None => (format!("only {}", some(names.iter())), FETCH.into()),
    })
}

/// PEFT's adapters: a few tensors to be added to another model's.
fn adapter(folder: &Path, names: &[String]) -> Result<Option<(String, String)>> {
    if !names.iter().any(|name| name.starts_with("adapter_")) {
        return Ok(None);
    }
    let path = folder.join("adapter_config.json");
    let json =
        files::read_text(&path).ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let base = json.as_ref().and_then(|json| json.get("base_model_name_or_path")?.as_str());
    let base = base.map_or("another model".into(), |base| format!("`{base}`"));
    let fix = "merge the two in Python and give NEW: peft.PeftModel.from_pretrained(that model, FOLDER)\
               .merge_and_unload().save_pretrained(NEW)";
    Ok(Some((format!("a PEFT adapter of {base}, not a model of its own"), fix.into())))
}

/// Checkpoints in folders of this one: `checkpoint-500` of a Trainer, `0_Transformer` of sentence-transformers, snapshots
/// of the hub's cache.
fn inside(folder: &Path, names: &[String]) -> Option<(String, String)> {
    let whole = |place: &Path| files::exists(&place.join(CONFIG));
    let snapshots = files::list(&folder.join("snapshots")).unwrap_or_default();
    let mut places: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).chain(snapshots).collect();
    places.retain(|place| place.is_dir() && whole(place));
    // By number: checkpoint-1000 is later than checkpoint-500.
    places.sort_by_key(|place| (place.as_os_str().len(), place.clone()));
    let last = places.last()?.display().to_string();
    let shown = places.iter().map(|place| place.strip_prefix(folder).unwrap_or(place).to_string_lossy());
    let found = match places.len() {
        1 => format!("a checkpoint in the folder {}", some(shown)),
        _ => format!("several checkpoints, in folders {}", some(shown)),
    };
    Some((found, format!("name the folder itself, such as {last}")))
}
