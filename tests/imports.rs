//! The house: modules import only from those before them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The order of `src/lib.rs`'s documentation.
const ORDER: [&str; 32] = [
    "vectorized",
    "error",
    "embedded",
    "progress",
    "stop",
    "files",
    "threads",
    "rng",
    "stats",
    "params",
    "ranking",
    "hub",
    "provenance",
    "draw",
    "tasks",
    "data",
    "dropout",
    "model",
    "evaluate",
    "estimate",
    "train",
    "fisher",
    "landscape",
    "stability",
    "tables",
    "figures",
    "page",
    "stages",
    "analysis",
    "run",
    "shell",
    "cli",
];

/// Oracle: the order itself, held against every `crate::` path in the source, tests inside files included.
#[test]
fn modules_import_only_from_those_before_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 30, "the source was not found");
    let place = |module: &str| ORDER.iter().position(|m| *m == module);
    for file in files {
        let relative = file.strip_prefix(&source).unwrap();
        let own = relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own_place) = place(&own) else {
            assert!(["lib", "main"].contains(&own.as_str()), "{own} is not in the order");
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        // Links in documentation are no imports.
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for module in named(&code) {
            let Some(other) = place(&module) else {
                panic!("{}: crate::{module} is no module", relative.display())
            };
            assert!(other <= own_place, "{} imports {module}, which comes after {own}", relative.display());
        }
    }
}

/// Oracle: the paths themselves. Inside a module, files and folders that import one another in a circle are one idea in two
/// places. Tests inside files may look anywhere.
#[test]
fn files_of_a_module_import_in_no_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in ORDER.iter().filter(|module| source.join(module).is_dir()) {
        let folder = source.join(module);
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in &files {
            let relative = file.strip_prefix(&folder).unwrap().with_extension("");
            let parts: Vec<String> =
                relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            if parts[0] == "mod" {
                continue;
            }
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            // `mod.rs` of a folder is as deep as a file beside it.
            let depth = parts.len() - usize::from(parts.last().is_some_and(|part| part == "mod"));
            let up = "super::".repeat(depth);
            // Longer chains of `super::` lead elsewhere.
            let code = code
                .replace(&format!("super::{up}"), "elsewhere::")
                .replace(&format!("crate::{module}::"), "within::");
            let code = code.replace(&up, "within::");
            imports.entry(parts[0].clone()).or_default().extend(named_after("within::", &code));
        }
        let known: BTreeSet<String> = imports.keys().cloned().collect();
        imports
            .iter_mut()
            .for_each(|(own, others)| others.retain(|other| known.contains(other) && other != own));
        // Files that import none of what is left fall away, until none do.
        loop {
            let free: Vec<String> =
                imports.iter().filter(|(_, others)| others.is_empty()).map(|(own, _)| own.clone()).collect();
            if free.is_empty() {
                break;
            }
            free.iter().for_each(|own| drop(imports.remove(own)));
            imports.values_mut().for_each(|others| others.retain(|other| !free.contains(other)));
        }
        assert!(imports.is_empty(), "src/{module}: a circle among {imports:?}");
    }
}

/// Modules named after `crate::`, one by one or in braces.
fn named(code: &str) -> Vec<String> {
    named_after("crate::", code)
}

/// Modules named after these words, one by one or in braces.
fn named_after(words: &str, code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut modules = Vec::new();
    for after in code.split(words).skip(1) {
        match after.strip_prefix('{') {
            None => modules.push(word(after)),
            Some(list) => {
                let (mut depth, mut item) = (1, String::new());
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (c == ',' && depth == 1) {
                        modules.push(word(item.trim()));
                        item.clear();
                    } else {
                        item.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    modules.retain(|m| !m.is_empty());
    modules
}

pub fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
