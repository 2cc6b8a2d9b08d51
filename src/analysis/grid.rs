//! Studies: an analysis with `[[grid]]` tables, each of which sets keys of the analysis to every combination of some values.
//!
//! A combination is a cell: the analysis with these keys set, as `--set` would. Grids are laid one after the other, so that
//! what does not belong to a full grid (fewer seeds at the full size, a learning rate for each task) is a grid of its own.
//!
//! Cells are named by what distinguishes them; arms and seeds do not, for they are what a cell compares. The trap: two cells
//! that differ in nothing else would be one condition under two names, and are refused.

use std::collections::BTreeSet;
use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::excerpt::Place;
use super::titles::plain;
use super::{Loaded, check, parse, put};
use crate::error::{Error, Result};

/// Keys that say what is compared in a cell, and not under which condition.
const COMPARED: [&str; 2] = ["train.arms", "train.seeds"];
/// More cells than this are a mistake.
const MOST: usize = 1000;

/// One condition of a study.
#[derive(Clone, Debug)]
pub struct Cell {
    /// As part of a path; distinct.
    pub name: String,
    /// What distinguishes it: values in order of [`Study::axes`], as they are written.
    pub values: Vec<String>,
    pub loaded: Loaded,
}

/// The cells of a study.
#[derive(Clone, Debug)]
pub struct Study {
    /// Keys by which cells differ, in order of appearance.
    pub axes: Vec<String>,
    /// What columns and files call them: `task` for `data.task`, and `fisher_examples` where two keys end alike.
    pub names: Vec<String>,
    /// All of them; those that are not to be run are in the tables if they were run before.
    pub cells: Vec<Cell>,
    /// Names of the cells to run; none: all.
    pub only: Vec<String>,
}

impl Study {
    /// Whether a cell is to be run.
    pub fn runs(&self, cell: &Cell) -> bool {
        self.only.is_empty() || self.only.contains(&cell.name)
    }
}

/// The study that an analysis is; `None` without a `[[grid]]`. `set` is what was set beside the text.
///
/// # Errors
///
/// [`Error::Field`] for a key without a list of values, cells that are alike, or too many; what a cell's analysis is refused
/// with.
pub(super) fn study(loaded: &Loaded, set: &[String]) -> Result<Option<Study>> {
    if loaded.analysis.grid.is_empty() {
        return Ok(None);
    }
    let place = loaded.place.as_str();
    let mut document: DocumentMut = loaded.text.parse().map_err(|e: toml_edit::TomlError| {
        Place { name: place, text: &loaded.text }.error(e.span(), e.message(), "correct the TOML")
    })?;
    let grids = document.remove("grid");
    let mut settings: Vec<Vec<(String, Value)>> = Vec::new();
    for grid in grids.iter().filter_map(Item::as_array_of_tables).flatten() {
        let mut axes = Vec::new();
        leaves(place, grid, "", &mut axes)?;
        // Counted before they are made.
        let cells = axes.iter().try_fold(1usize, |cells, (_, values)| cells.checked_mul(values.len()));
        let all = cells.and_then(|cells| cells.checked_add(settings.len()));
        if all.is_none_or(|all| all > MOST) {
            let found = all
                .map_or("more cells than can be counted".to_string(), |all| format!("{all} cells or more"));
            let sentence = format!("[[grid]] has {found}; at most {MOST} are possible");
            return Err(Error::said(place, sentence, "use fewer values, or several studies"));
        }
        let mut own = vec![Vec::new()];
        for (key, values) in axes {
            let with = |cell: &Vec<(String, Value)>, value: &Value| {
                [cell.as_slice(), &[(key.clone(), value.clone())]].concat()
            };
            own = own.iter().flat_map(|cell| values.iter().map(move |value| with(cell, value))).collect();
        }
        settings.extend(own);
    }
    if settings.is_empty() {
        let sentence = "`grid` must be tables of keys, [[grid]], found an inline list";
        return Err(Error::said(place, sentence, "write [[grid]] and a line for each key"));
    }
    // The grid would go over it without a word.
    let of_grid = |setting: &&String| {
        let key = setting.split('=').next().unwrap_or_default().trim();
        settings.iter().flatten().any(|(own, _)| own == key)
    };
    if let Some(setting) = set.iter().find(of_grid) {
        let fix = "edit the [[grid]], or run some of its cells with --cells";
        return Err(Error::said("--set", format!("{setting}: the [[grid]] already sets this key"), fix));
    }
    cells(loaded, &document, settings).map(Some)
}

/// The keys of a grid with their lists, sections inside.
fn leaves(
    place: &str,
    table: &dyn TableLike,
    before: &str,
    into: &mut Vec<(String, Vec<Value>)>,
) -> Result<()> {
    for (key, item) in table.iter() {
        let key = format!("{before}{key}");
        if let Some(values) = item.as_array().filter(|values| !values.is_empty()) {
            let value = |value: &Value| value.clone().decorated("", "");
            into.push((key, values.iter().map(value).collect()));
        } else if let Some(inner) = item.as_table_like() {
            leaves(place, inner, &format!("{key}."), into)?;
        } else {
            let fix = "write, for example, train.fraction = [0.1, 0.5, 1.0]";
            let sentence =
                format!("`{key}` in [[grid]] must be a list of values, found {}", item.to_string().trim());
            return Err(Error::said(place, sentence, fix));
        }
    }
    Ok(())
}

fn cells(loaded: &Loaded, document: &DocumentMut, settings: Vec<Vec<(String, Value)>>) -> Result<Study> {
    let place = loaded.place.as_str();
    let mut keys: Vec<&String> = Vec::new();
    settings.iter().flatten().for_each(|(key, _)| {
        if !keys.contains(&key) && !COMPARED.contains(&key.as_str()) {
            keys.push(key);
        }
    });
    // A cell whose grid says nothing of a key has the analysis' own value.
    let value = |cell: &[(String, Value)], key: &str| {
        let set = cell.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let own = || key.split('.').try_fold(document.as_item(), |item, key| item.get(key))?.as_value();
        set.or_else(own).map_or("default".to_string(), written)
    };
    let differs = |key: &&&String| {
        let first = value(&settings[0], key);
        settings.iter().any(|cell| value(cell, key) != first)
    };
    let axes: Vec<String> = keys.iter().filter(differs).map(|key| key.to_string()).collect();
    let names = names(&axes);
    let mut found: Vec<Cell> = Vec::new();
    let shown = |key: &String| {
        let all: Vec<String> = settings.iter().map(|cell| value(cell, key)).collect();
        if PATHS.contains(&key.as_str()) { stems(all) } else { all }
    };
    let columns: Vec<Vec<String>> = axes.iter().map(shown).collect();
    for (i, cell) in settings.iter().enumerate() {
        let values: Vec<String> = columns.iter().map(|column| column[i].clone()).collect();
        let name = if values.is_empty() { "all".to_string() } else { plain(&values.join("_")) };
        if found.iter().any(|other| other.name == name) {
            let fix = "let each condition stand in one grid, with all its arms and seeds";
            return Err(Error::said(place, format!("[[grid]] gives the cell {name} twice"), fix));
        }
        let mut own = document.clone();
        let place = format!("{place}, cell {name}");
        if !values.is_empty() {
            let title =
                Some(&loaded.analysis.title).filter(|title| !title.is_empty()).unwrap_or(&loaded.name);
            let title = format!("{title} ({})", described(&names, &values));
            put(&mut own, &["title"], Value::from(title)).ok();
        }
        for (key, value) in cell {
            let keys: Vec<&str> = key.split('.').collect();
            if put(&mut own, &keys, value.clone()).is_err() {
                let sentence = format!("`{key}` in [[grid]] is not a key inside a section");
                return Err(Error::said(&place, sentence, "see `fisherscape check --help`"));
            }
        }
        let text = own.to_string();
        let analysis = parse(&place, &text)?;
        check(&place, &text, &analysis)?;
        found.push(Cell {
            name,
            values,
            loaded: Loaded { name: loaded.name.clone(), path: None, place, text, analysis, study: None },
        });
    }
    Ok(Study { axes, names, cells: found, only: Vec::new() })
}

/// Keys whose values are paths: cells are named by the file, not by the way to it.
const PATHS: [&str; 7] =
    ["data.table", "data.text", "data.folder", "data.conll", "data.squad", "data.dev", "model.checkpoint"];

/// The last parts of paths, without ending where that tells them apart; the paths themselves where nothing less does.
fn stems(paths: Vec<String>) -> Vec<String> {
    let distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let all = distinct(&paths);
    let stem = |path: &String| Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned());
    let name = |path: &String| Path::new(path).file_name().map(|s| s.to_string_lossy().into_owned());
    let shorter = [paths.iter().map(stem).collect::<Option<Vec<_>>>(), paths.iter().map(name).collect()];
    shorter.into_iter().flatten().find(|names| distinct(names) == all).unwrap_or(paths)
}

/// The last part of each key, or all of it where that is the last of another, too.
fn names(keys: &[String]) -> Vec<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_string();
    let alone = |key: &str| keys.iter().filter(|other| last(other) == last(key)).count() == 1;
    keys.iter().map(|key| if alone(key) { last(key) } else { key.replace('.', "_") }).collect()
}

/// Names of axes and values as people read them.
pub fn described(names: &[String], values: &[String]) -> String {
    let each = names.iter().zip(values).map(|(name, value)| match name.as_str() {
        "task" => value.clone(),
        name => format!("{} {value}", name.replace('_', " ")),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A value as it is written, without quotes.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string().trim().to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper. The way to a file is not part of its name; endings and ways stay where nothing less tells them apart.
    #[test]
    fn cells_are_named_by_the_file() {
        let stems = |paths: &[&str]| stems(paths.iter().map(|path| path.to_string()).collect()).join(" ");
        assert_eq!(
            stems(&["../data/reviews.csv", "/data/x/news.tsv", "../data/reviews.csv"]),
            "reviews news reviews"
        );
        assert_eq!(stems(&["a/x.csv", "a/x.tsv"]), "x.csv x.tsv");
        assert_eq!(stems(&["a/x.csv", "b/x.csv"]), "a/x.csv b/x.csv");
    }

    /// Oracle: by hand. One file for both examples would hold the last one's table.
    #[test]
    fn axes_that_end_alike_keep_their_sections() {
        let keys = ["train.lr", "fisher.examples", "surface.examples", "seed"].map(str::to_string);
        assert_eq!(names(&keys), ["lr", "fisher_examples", "surface_examples", "seed"]);
    }
}
