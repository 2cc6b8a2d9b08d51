//! Analyses: a TOML file with a question, its inputs, what to do, what to expect and how to read the outcome.
//!
//! Text becomes the checked [`Analysis`] once, here: unknown keys, wrong types, values out of range and sections that do
//! not fit together are refused with file, line and caret. `--set key=value` edits the text first, so an error in what
//! was set points into it too. The shipped analyses are compiled in.
//!
//! [`config`] holds the types, [`keys`] lists them, [`schema`] does so for editors, `rules` what must hold between keys, [`grid`] makes a study's cells, `places` finds the files that are named,
//! [`titles`] names arms and masks; [`crate::run`] turns them into commands.

pub mod config;
mod excerpt;
pub mod grid;
pub mod keys;
mod places;
mod rules;
pub mod schema;
pub mod titles;

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, Value};

pub use config::Analysis;
use excerpt::{Place, locate};
pub use grid::Study;

use crate::error::{Error, Result};
use crate::files;

/// Names and texts of the shipped analyses, in the order in which one would run them.
pub const SHIPPED: [(&str, &str); 24] = [
    ("quickstart", include_str!("../../analyses/quickstart.toml")),
    ("landscape", include_str!("../../analyses/landscape.toml")),
    ("fisher-by-layer", include_str!("../../analyses/fisher-by-layer.toml")),
    ("sub-samples", include_str!("../../analyses/sub-samples.toml")),
    ("reliability", include_str!("../../analyses/reliability.toml")),
    ("depth", include_str!("../../analyses/depth.toml")),
    ("drift", include_str!("../../analyses/drift.toml")),
    ("controls", include_str!("../../analyses/controls.toml")),
    ("sensitivity", include_str!("../../analyses/sensitivity.toml")),
    ("high-rate", include_str!("../../analyses/high-rate.toml")),
    ("what-guides", include_str!("../../analyses/what-guides.toml")),
    ("minilm-lr", include_str!("../../analyses/minilm-lr.toml")),
    ("minilm", include_str!("../../analyses/minilm.toml")),
    ("ner", include_str!("../../analyses/ner.toml")),
    ("questions", include_str!("../../analyses/questions.toml")),
    ("glue", include_str!("../../analyses/glue.toml")),
    ("masked-lm-surfaces", include_str!("../../analyses/masked-lm-surfaces.toml")),
    ("gpt2", include_str!("../../analyses/gpt2.toml")),
    ("llm", include_str!("../../analyses/llm.toml")),
    ("t5", include_str!("../../analyses/t5.toml")),
    ("cola", include_str!("../../analyses/cola.toml")),
    ("mrpc", include_str!("../../analyses/mrpc.toml")),
    ("rte", include_str!("../../analyses/rte.toml")),
    ("stsb", include_str!("../../analyses/stsb.toml")),
];

/// An analysis as it is to be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's stem, or the name of a shipped one.
    pub name: String,
    /// The file, unless it is a shipped one.
    pub path: Option<PathBuf>,
    /// What messages call the text.
    place: String,
    /// The text with what was set.
    pub text: String,
    pub analysis: Analysis,
    /// The cells, where it has a `[[grid]]`.
    pub study: Option<Study>,
}

impl Loaded {
    /// The same error, shown where the key stands that names what is wrong.
    pub fn point(&self, key: &str, cause: &Error) -> Error {
        let (what, fix) = match cause {
            // An option of a command has the name of a key here.
            Error::Field { place, field, expected, found, fix }
                if place == key || [place, field].iter().any(|name| name.starts_with("--")) =>
            {
                (format!("`{key}` must be {expected}, found {found}"), fix.to_string())
            }
            Error::Text { place, what, excerpt, fix } if place == key && excerpt.is_empty() => {
                (what.to_string(), fix.to_string())
            }
            cause => {
                let text = cause.to_string();
                let (what, fix) = text.split_once("\n  fix: ").unwrap_or((&text, "correct it"));
                (what.to_string(), fix.to_string())
            }
        };
        Place { name: &self.place, text: &self.text }.error(locate(&self.text, key), &what, &fix)
    }

    /// Has these cells of a study run alone.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a name that is no cell's, or an analysis that is no study.
    pub fn only_cells(&mut self, names: &[String]) -> Result<()> {
        let all = self.study.iter().flat_map(|study| &study.cells).map(|cell| cell.name.clone());
        let all: Vec<String> = all.collect();
        if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
            let (sentence, fix) = match all.is_empty() {
                true => ("the analysis has no [[grid]], so it has no cells".to_string(), "leave --cells out"),
                false => (
                    format!("no cell is named {unknown}; the cells are {}", all.join(", ")),
                    "name cells as their folders are named",
                ),
            };
            return Err(Error::said("--cells", sentence, fix));
        }
        if let Some(study) = &mut self.study {
            study.only = names.to_vec();
        }
        Ok(())
    }
}

/// Reads and checks the analysis that `which` names: a TOML file, or one of [`SHIPPED`]. Each of `set` is `key=value`,
/// the value in TOML or a plain word; an empty one removes the key.
///
/// # Errors
///
/// [`Error::Field`] for a name that is neither, or a setting that is not one; [`Error::Text`] for what the text says wrong,
/// with line and caret.
pub fn load(which: &str, set: &[String]) -> Result<Loaded> {
    let (name, mut place, mut text) = find(which)?;
    if set.is_empty() {
        // A mistake is shown in the text as it stands there.
        parse(&place, &text)?;
    }
    text = places::beside(Path::new(which), text);
    if !set.is_empty() {
        text = edited(&place, &text, set)?;
        place += " with --set";
    }
    let analysis = parse(&place, &text)?;
    let path = SHIPPED.iter().all(|(own, _)| *own != which).then(|| PathBuf::from(which));
    let mut loaded = Loaded { name, path, place, text, analysis, study: None };
    loaded.study = grid::study(&loaded, set)?;
    if loaded.study.is_none() {
        check(&loaded.place, &loaded.text, &loaded.analysis)?;
    }
    Ok(loaded)
}

/// Name, place for messages, and text.
fn find(which: &str) -> Result<(String, String, String)> {
    if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == which) {
        return Ok((name.to_string(), format!("{name}.toml (shipped)"), text.to_string()));
    }
    let path = Path::new(which);
    if !path.exists() {
        return Err(unknown(which, "no such file, and no shipped analysis of this name"));
    }
    let name = path.file_stem().map_or("analysis".into(), |stem| stem.to_string_lossy().into_owned());
    Ok((name, which.to_string(), files::read_text(path)?))
}

/// The text of a shipped analysis.
///
/// # Errors
///
/// [`Error::Text`] for another name.
pub fn shipped(name: &str) -> Result<&'static str> {
    let found = SHIPPED.iter().find(|(own, _)| *own == name).map(|(_, text)| *text);
    found.ok_or_else(|| unknown(name, "no shipped analysis has this name"))
}

fn unknown(which: &str, what: &str) -> Error {
    let stem = which.trim_end_matches(".toml");
    let near = SHIPPED.iter().map(|(name, _)| (strsim::damerau_levenshtein(stem, name), name)).min();
    let near = near
        .filter(|(distance, _)| 3 * distance <= stem.len())
        .map(|(_, name)| format!(": did you mean {name}?"));
    let what = format!("{what}{}", near.unwrap_or_default());
    let fix = "name a TOML file, or one of those that `fisherscape list` lists";
    Error::said(which, what, fix)
}

fn parse(place: &str, text: &str) -> Result<Analysis> {
    let place = Place { name: place, text };
    let fix =
        "`fisherscape check --help` lists the keys, `fisherscape list --show quickstart` shows them in use";
    if let Some((span, what)) = keys::unknown(text) {
        return Err(place.error(Some(span), &what, fix));
    }
    let read = toml::from_str::<Analysis>(text).and_then(|analysis| {
        let given = toml::from_str(text)?;
        Ok(Analysis { given, ..analysis })
    });
    read.map_err(|e| {
        let what = plainly(e.message());
        let fix = if what.starts_with("invalid type: string") { "remove the quotes" } else { fix };
        place.error(culprit(text).or(e.span()), &what, fix)
    })
}

/// The reader's message in words of a TOML file.
fn plainly(message: &str) -> String {
    const TYPES: [(&str, &str); 6] = [
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected u16", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list, [a, b]"),
    ];
    TYPES.iter().fold(message.to_string(), |message, (type_name, words)| message.replace(type_name, words))
}

/// Where the key stands whose value is wrong: the one without which nothing is wrong. (Of the options that a
/// section shares with a command serde does not tell.)
fn culprit(text: &str) -> Option<Range<usize>> {
    let document: toml::Table = text.parse().ok()?;
    for (section, table) in document.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        for key in table.keys() {
            let mut without = document.clone();
            without.get_mut(section)?.as_table_mut()?.remove(key);
            if without.try_into::<Analysis>().is_ok() {
                return locate(text, &format!("{section}.{key}"));
            }
        }
    }
    None
}

fn check(place: &str, text: &str, analysis: &Analysis) -> Result<()> {
    match rules::problem(analysis) {
        None => Ok(()),
        Some(problem) => {
            let place = Place { name: place, text };
            Err(place.error(locate(text, &problem.key), &problem.sentence(), &problem.fix))
        }
    }
}

/// The text with each `key=value` put in; layout and comments stay.
fn edited(place: &str, text: &str, set: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        Place { name: place, text }.error(e.span(), e.message(), "correct the TOML")
    })?;
    for setting in set {
        let wrong = |expected: &str| {
            let fix =
                "write, for example, --set train.lr=1e-4 or --set surface.masks='[\"all\",\"top:0.01\"]'";
            Err(Error::field("--set", "setting", expected, setting, fix))
        };
        let Some((key, value)) = setting.split_once('=') else { return wrong("key=value") };
        let (keys, value): (Vec<&str>, &str) = (key.split('.').map(str::trim).collect(), value.trim());
        let Some((last, tables)) = keys.split_last().filter(|_| keys.iter().all(|key| !key.is_empty()))
        else {
            return wrong("key=value");
        };
        let Ok(table) = section(&mut document, tables) else { return wrong("a key inside a section") };
        match value {
            "" => drop(table.remove(last)),
            value => {
                let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
                table.insert(last, Item::Value(value));
            }
        }
    }
    Ok(document.to_string())
}

/// The section of these names, made if it is missing; what stands in its way is no section.
fn section<'a>(document: &'a mut DocumentMut, names: &[&str]) -> Result<&'a mut Table, ()> {
    let mut table = document.as_table_mut();
    for name in names {
        table = table.entry(name).or_insert_with(|| Item::Table(Table::new())).as_table_mut().ok_or(())?;
    }
    Ok(table)
}

/// Sets a key, such as `["train", "lr"]`.
fn put(document: &mut DocumentMut, keys: &[&str], value: Value) -> Result<(), ()> {
    let (last, names) = keys.split_last().ok_or(())?;
    section(document, names)?.insert(last, Item::Value(value));
    Ok(())
}
