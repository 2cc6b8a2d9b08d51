//! The tensors of a PyTorch file: its state dict, on its own or inside what a training script saved with it.

use std::path::Path;

use super::pickle::{Pickle, Value, View};
use crate::error::{Error, Result};
use crate::progress;

/// Where training scripts keep the state dict.
const WRAPPERS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
];

/// Wrappers inside wrappers, at most.
const DEEPEST: usize = 4;

const FIX: &str = "in PyTorch, save only the model's state dict: torch.save(model.state_dict(), FILE)";

/// What stands under a name of a state dict.
pub enum Entry<'a> {
    Tensor(&'a View),
    /// What is no dense tensor of plain numbers, by what it is.
    Other(&'static str),
}

/// The entries of a pickle's state dict. Where it had to be looked for, that is said.
///
/// # Errors
///
/// [`Error::Field`] if there is none, or more than one.
pub fn entries<'a>(pickle: &'a Pickle, place: &Path) -> Result<Vec<(&'a str, Entry<'a>)>> {
    let (mut at, mut keys) = (pickle.root, Vec::new());
    while let Some(key) = wrapper(pickle, at, DEEPEST - keys.len().min(DEEPEST), place)? {
        keys.push(key);
        at = pickle.entries(at).and_then(|own| own.get(key).copied()).unwrap_or(at);
    }
    let Some(own) = pickle.entries(at) else {
        return Err(wrong(place, pickle.get(at).kind().into()));
    };
    let found: Vec<_> = own.iter().filter_map(|(name, id)| Some((*name, entry(pickle.get(*id))?))).collect();
    if !found.iter().any(|(_, entry)| matches!(entry, Entry::Tensor(_))) {
        return Err(wrong(place, format!("no tensors: {}", some(own.keys()))));
    }
    if !keys.is_empty() {
        progress::note(format!("{}: the tensors under `{}` are read", place.display(), keys.join(".")));
    }
    Ok(found)
}

fn wrong(place: &Path, found: String) -> Error {
    Error::field(place.display(), "pickle", "a PyTorch state dict", found, FIX)
}

fn entry(value: &Value) -> Option<Entry<'_>> {
    match value {
        Value::Tensor(view) => Some(Entry::Tensor(view)),
        Value::Other(kind) if kind.contains("tensor") => Some(Entry::Other(kind)),
        _ => None,
    }
}

/// The key under which a dictionary holds the state dict, if it is not one itself.
fn wrapper(pickle: &Pickle, at: u32, depth: usize, place: &Path) -> Result<Option<&'static str>> {
    let Some(own) = pickle.entries(at) else { return Ok(None) };
    let holds = |key: &&&str| own.get(**key).is_some_and(|id| holds_tensors(pickle, *id, depth));
    let keys: Vec<&&str> = WRAPPERS.iter().filter(holds).collect();
    match keys[..] {
        [] => Ok(None),
        [key] => Ok(Some(key)),
        _ => {
            let found = format!("tensors under {}", some(keys.iter().map(|key| **key)));
            Err(wrong(place, found))
        }
    }
}

/// Whether a value is a dictionary with tensors, or wraps one.
fn holds_tensors(pickle: &Pickle, id: u32, depth: usize) -> bool {
    let Some(own) = pickle.entries(id).filter(|_| depth > 0) else { return false };
    let inner = |key: &&str| own.get(key).is_some_and(|id| holds_tensors(pickle, *id, depth - 1));
    own.values().any(|id| matches!(pickle.get(*id), Value::Tensor(_))) || WRAPPERS.iter().any(inner)
}

/// A few names, for a message.
pub fn some<S: AsRef<str>>(names: impl ExactSizeIterator<Item = S>) -> String {
    const FEW: usize = 4;
    let more = names.len().saturating_sub(FEW);
    let shown: Vec<String> = names.take(FEW).map(|name| format!("`{}`", shorter(name.as_ref()))).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn shorter(name: &str) -> String {
    const LONG: usize = 100;
    let cut: String = name.chars().take(LONG).collect();
    if cut.len() < name.len() { format!("{cut}...") } else { cut }
}
