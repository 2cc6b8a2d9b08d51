//! Where the files are that an analysis names: beside the TOML file, else where the program was started.
//!
//! So a folder with an analysis and its data can be run from anywhere, and the copy of the text in a run's folder from where the
//! run was started. What `--set` names is not touched: it is relative to the current folder, as on every command line.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

/// Keys whose values are paths; a schedule of an arm stands behind its word, as in `guided:RATES.csv`.
const KEYS: [&str; 9] = [
    "model.checkpoint",
    "data.folder",
    "data.table",
    "data.conll",
    "data.squad",
    "data.dev",
    "data.text",
    "train.arms",
    "agree.files",
];

/// The same text, whose paths lead from the current folder to what stands beside the file at `path`. Layout and comments stay.
pub(super) fn beside(path: &Path, text: String) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A text that cannot be read is refused elsewhere.
    let (Some(folder), Ok(mut document)) = (folder, text.parse::<DocumentMut>()) else { return text };
    let mut changed = false;
    for key in KEYS {
        let keys: Vec<&str> = key.split('.').collect();
        changed |= follow(document.as_table_mut(), &keys, folder);
        let grids = document.get_mut("grid").and_then(Item::as_array_of_tables_mut);
        for grid in grids.into_iter().flat_map(|grids| grids.iter_mut()) {
            changed |= follow(grid, &keys, folder);
        }
    }
    if changed { document.to_string() } else { text }
}

/// Changes the value of a dotted key, if there is one.
fn follow(table: &mut dyn TableLike, keys: &[&str], folder: &Path) -> bool {
    let Some((first, rest)) = keys.split_first() else { return false };
    match table.get_mut(first) {
        Some(item) if rest.is_empty() => item.as_value_mut().is_some_and(|value| change(value, folder)),
        Some(item) => item.as_table_like_mut().is_some_and(|inner| follow(inner, rest, folder)),
        None => false,
    }
}

/// Changes a path, or each of a list of them.
fn change(value: &mut Value, folder: &Path) -> bool {
    if let Some(values) = value.as_array_mut() {
        return values.iter_mut().fold(false, |changed, value| change(value, folder) | changed);
    }
    let Some(text) = value.as_str() else { return false };
    let (word, path) = text.rsplit_once(':').map_or(("", text), |(word, path)| (word, path));
    let there = folder.join(path);
    if path.is_empty() || Path::new(path).is_absolute() || !there.exists() {
        return false;
    }
    let Some(there) = there.to_str() else { return false };
    let colon = if word.is_empty() { "" } else { ":" };
    let decor = value.decor().clone();
    *value = Value::from(format!("{word}{colon}{there}"));
    *value.decor_mut() = decor;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. Paths that stand beside the file lead there, in lists, behind an arm's word and in a grid, too; names, absolute
    /// paths and what is not there stay, as do comments.
    #[test]
    fn paths_lead_beside_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["t.txt", "r.csv", "u.tsv"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = "[model]\ncheckpoint = \"t.txt@1\" # a name\n[data]\ntext = \"t.txt\" # mine\nfolder = \"no\"\n[train]\n\
                    arms = [\"uniform:0.1\", \"guided:r.csv\", \"shuffled:2:r.csv\"]\n[[grid]]\ndata.table = [\"u.tsv\", \"/v\"]\n";
        let at = |name: &str| folder.path().join(name).display().to_string();
        let expected = text
            .replace("text = \"t.txt\"", &format!("text = \"{}\"", at("t.txt")))
            .replace(":r.csv", &format!(":{}", at("r.csv")))
            .replace("\"u.tsv\"", &format!("\"{}\"", at("u.tsv")));
        assert_eq!(beside(&folder.path().join("a.toml"), text.to_string()), expected);
        assert_eq!(beside(Path::new("a.toml"), text.to_string()), text);
    }
}
