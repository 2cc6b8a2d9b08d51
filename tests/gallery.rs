//! The gallery: every figure in it is what its recorded command draws from the data beside it.

use std::path::{Path, PathBuf};

use crate::support::{Outcome, fisherscape};

/// Words of a command line, single quotes taken off; one inside a word stands there as `'\''`.
fn words(line: &str) -> Vec<String> {
    const QUOTE: &str = "\u{1}";
    let mut words = Vec::new();
    for (i, part) in line.replace("'\\''", QUOTE).split('\'').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_string)),
            _ => words.push(part.replace(QUOTE, "'")),
        }
    }
    words
}

fn svgs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            svgs(&path, found);
        } else if path.extension().is_some_and(|e| e == "svg")
            && path.with_extension("svg.provenance.toml").exists()
        {
            found.push(path);
        }
    }
}

/// Oracle: the bytes in the repository. Catches a figure that was edited, one whose data were changed without it, and a
/// change of the drawing that leaves the gallery behind.
#[test]
fn figures_are_what_their_commands_draw() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut figures = Vec::new();
    svgs(&root.join("figures"), &mut figures);
    assert!(figures.len() >= 12, "the gallery is missing: {figures:?}");
    let folder = tempfile::tempdir()?;
    let drawn = folder.path().join("drawn.svg");
    for figure in figures {
        let text = std::fs::read_to_string(figure.with_extension("svg.provenance.toml"))?;
        let provenance: toml::Table = text.parse()?;
        let command = provenance["command"].as_str().ok_or("no command")?;
        let mut kept = Vec::new();
        let mut all = words(command).into_iter().skip(1);
        while let Some(word) = all.next() {
            match word.as_str() {
                // One file is enough, and not over the gallery's own.
                "--out" => drop(all.next()),
                _ => kept.push(word),
            }
        }
        let drawn_path = drawn.display().to_string();
        fisherscape("").current_dir(root).args(kept).args(["--out", &drawn_path]).assert().success();
        let same = std::fs::read(&drawn)? == std::fs::read(&figure)?;
        assert!(same, "{} is not what its command draws: {command}", figure.display());
    }
    Ok(())
}
