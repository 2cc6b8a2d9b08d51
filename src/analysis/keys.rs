//! The keys of an analysis: their list, for people, and what is none of them.

use std::ops::Range;

use clap::{Arg, Command, ValueEnum};
use toml::de::DeTable;

use super::config::{SECTIONS, Topic};

/// Columns of the list.
const WIDTH: usize = 80;
/// Where what a key means begins.
const INDENT: usize = 23;

/// Every key, what it means and its default, for `check --help`.
pub fn help() -> String {
    let mut text = "Keys of an analysis. Keys with a default are optional, and a section that is missing is not done:\n\n  \
                    title, question, source, expectation, reading: text for the page [default: none]\n  \
                    seed: a number [default: 0]\n"
        .to_string();
    text += &entry(
        "asks",
        &format!("What the question asks, in its order [default: all that is done] [{}]", topics()),
    );
    for (name, keys) in SECTIONS {
        let section = keys(Command::new(name));
        let about = section.get_about().map_or(GRID.into(), |about| about.to_string());
        text += &entry(&format!("[{name}]"), &about);
        section.get_arguments().for_each(|key| text += &entry(&format!("  {}", key.get_id()), &meaning(key)));
    }
    text + "\nA list is written [a, b], a word in quotes. A path is looked up next to the file, then in the current folder. `fisherscape list --show quickstart` shows keys in use."
}

fn topics() -> String {
    let names = Topic::value_variants().iter().filter_map(Topic::to_possible_value);
    names.map(|value| value.get_name().to_string()).collect::<Vec<_>>().join(", ")
}

/// What `[[grid]]` is.
pub const GRID: &str = "[[grid]] makes it a study: keys of the others, each with a list of values; every combination is a cell, an \
                    analysis of its own";

/// What a key means, which words it takes, and its default.
fn meaning(key: &Arg) -> String {
    let mut text = key.get_help().map_or(String::new(), ToString::to_string);
    let words: Vec<String> = key.get_possible_values().iter().map(|v| v.get_name().to_string()).collect();
    if !words.is_empty() {
        text += &format!(" [{}]", words.join(", "));
    }
    let values: Vec<String> =
        key.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if !values.is_empty() {
        text += &format!(" [default: {}]", values.join(","));
    }
    text
}

/// A name, and beside it what it means in as many lines as it takes.
fn entry(name: &str, text: &str) -> String {
    let (mut all, mut line) = (String::new(), format!("  {name:INDENT$}"));
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            all += &format!("{}\n", line.trim_end());
            line = format!("  {:INDENT$}", "");
        }
        line += &format!("{word} ");
    }
    all + line.trim_end() + "\n"
}

/// The first key that its section does not have: its place in the text, and a message that lists the keys of the section.
pub fn unknown(text: &str) -> Option<(Range<usize>, String)> {
    let root = DeTable::parse(text).ok()?;
    for (name, keys) in SECTIONS {
        let Some(table) = root.get_ref().get(name).and_then(|value| value.get_ref().as_table()) else {
            continue;
        };
        let section = keys(Command::new(name));
        let known: Vec<&str> = section.get_arguments().map(|key| key.get_id().as_str()).collect();
        if let Some((key, _)) = table.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let known = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            return Some((key.span(), format!("unknown field `{}`, expected one of {known}", key.get_ref())));
        }
    }
    None
}
