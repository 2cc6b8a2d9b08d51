//! From the names that a file gives its tensors to the canonical ones.
//!
//! Training scripts wrap a model (`module.`, `_orig_mod.`, `model.`) and save it with the wrapper's name before every other.
//! Such a prefix is taken away where the names behind it are the model's, and that is said. Nothing is chosen silently: two
//! prefixes that fit alike, or two tensors of one meaning, are refused unless they are equal.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::Tensor;

use super::quantized;
use super::state::some;
use super::{Content, Stored};
use crate::error::{Error, Result};
use crate::model::config::ModelConfig;
use crate::params::{self, ParamMap};
use crate::progress;

/// The float tensors under canonical names.
pub fn canonical(folder: &Path, mut stored: Vec<Stored>, config: &ModelConfig) -> Result<ParamMap> {
    if let Some((name, how)) = stored.iter().find_map(|s| Some((&s.name, quantized::method(&s.name)?))) {
        return Err(quantized::refused(folder, name, &format!("a part of quantized weights ({how})")));
    }
    let known: BTreeSet<String> = config.encoder().into_iter().map(|p| p.name).collect();
    let names: Vec<&str> = stored.iter().map(|s| s.name.as_str()).collect();
    let canonical = config.architecture.canonical;
    let prefix = prefix(folder, &names, |name| canonical(name).is_some_and(|name| known.contains(&name)))?;
    // A decoder computes with the bias under its own name, where another differs from it, as in transformers 5.
    let chief = format!("{prefix}{}.bias", config.architecture.decoder);
    stored.sort_by_key(|s| s.name != chief);
    let mut map: BTreeMap<String, (String, Tensor)> = BTreeMap::new();
    for Stored { name, content } in stored {
        let Some(own) = canonical(name.strip_prefix(&prefix).unwrap_or(&name)) else { continue };
        match content {
            Content::Float(tensor) => insert(&mut map, (folder, &chief), own, name, tensor)?,
            Content::Other(kind) if known.contains(&own) => {
                return Err(quantized::refused(folder, &name, &kind));
            }
            Content::Other(_) => {}
        }
    }
    Ok(map.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect())
}

/// What stands before the names of the model, `""` where nothing does.
fn prefix(folder: &Path, names: &[&str], known: impl Fn(&str) -> bool) -> Result<String> {
    let (mut bare, mut hits) = (0, BTreeMap::<&str, usize>::new());
    for name in names {
        let mut dots = name.match_indices('.').map(|(dot, _)| dot + 1);
        match dots.find(|end| known(&name[*end..])) {
            _ if known(name) => bare += 1,
            Some(end) => *hits.entry(&name[..end]).or_default() += 1,
            None => {}
        }
    }
    let best = hits.values().copied().max().unwrap_or(0);
    match (bare, best) {
        (0, 0) => return Err(strange(folder, names)),
        (bare, best) if bare >= best => return Ok(String::new()),
        _ => {}
    }
    // A second model that only lacks a part, such as its pooler, fits nearly as well.
    let alike: Vec<&str> =
        hits.into_iter().filter(|(_, n)| *n > best / 2).map(|(prefix, _)| prefix).collect();
    match alike[..] {
        [prefix] => {
            progress::note(format!(
                "{}: the names are read without their prefix `{prefix}`",
                folder.display()
            ));
            Ok(prefix.to_string())
        }
        _ => {
            let found = format!("several, under {}", some(alike.iter()));
            let fix = "save the one that is meant by itself: model.save_pretrained(NEW) in transformers";
            Err(Error::field(folder.display(), "weights", "those of one model", found, fix))
        }
    }
}

/// Names of which none is the model's.
fn strange(folder: &Path, names: &[&str]) -> Error {
    let found = format!("only other names: {}", some(names.iter()));
    let fix = "config.json and the weights are of different models: fetch both again, or save the model by \
               save_pretrained(NEW) in transformers";
    Error::field(folder.display(), "weights", "the tensors that config.json describes", found, fix)
}

fn insert(
    map: &mut BTreeMap<String, (String, Tensor)>,
    (folder, chief): (&Path, &str),
    own: String,
    name: String,
    tensor: Tensor,
) -> Result<()> {
    match map.entry(own) {
        Entry::Vacant(free) => drop(free.insert((name, tensor))),
        Entry::Occupied(taken) => {
            let (first, other) = taken.get();
            if first == chief && !params::equal(other, &tensor)? {
                progress::note(format!(
                    "{}: {chief} is used, and not {name}, which differs",
                    folder.display()
                ));
            } else if !params::equal(other, &tensor)? {
                let found = format!("other values under `{name}`, which means the same tensor");
                let fix =
                    "remove the one that training left behind: nothing here says which is the right one";
                return Err(Error::field(folder.display(), first, "given once", found, fix));
            }
        }
    }
    Ok(())
}
