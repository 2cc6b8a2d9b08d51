//! The JSON Schema of analyses, by which editors complete, explain and check keys.
//!
//! It is made of the table that also gives the reader its keys and `check --help` its list ([`SECTIONS`]), so that none of them can have
//! a key that another lacks. What must hold between keys is not in it: `check` says that.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command, ValueEnum};
use serde_json::{Map, Value, json};

use super::config::{SECTIONS, Topic};
use super::keys;

/// Keys outside of the sections that are text.
const TEXTS: [(&str, &str); 5] = [
    ("title", "Title of the page [default: the file's name]"),
    ("question", "What the analysis asks"),
    ("source", "Where the question comes from"),
    ("expectation", "What to expect, written before the run"),
    ("reading", "How to read the outcome, and how not to"),
];

/// Sections of which there may be several, `[[name]]`.
const REPEATED: [&str; 2] = ["planes", "grid"];

/// The schema, in draft 7, which editors of TOML know.
pub fn schema() -> Value {
    let mut properties: Map<String, Value> = TEXTS
        .iter()
        .map(|(name, about)| (name.to_string(), json!({"type": "string", "description": about})))
        .collect();
    let topics: Vec<String> = Topic::value_variants()
        .iter()
        .filter_map(|topic| Some(topic.to_possible_value()?.get_name().into()))
        .collect();
    let about = "What the question asks, in its order [default: all that is done]";
    properties.insert("asks".into(), list(json!({"enum": topics}), about));
    let about = "Seed of every draw; the k-th training run of an arm has this seed plus k";
    properties
        .insert("seed".into(), json!({"type": "integer", "minimum": 0, "default": 0, "description": about}));
    let mut lists = properties.clone();
    for (name, keys) in SECTIONS.iter().filter(|(name, _)| *name != "grid") {
        let section = keys(Command::new(*name));
        let about = section.get_about().map_or(String::new(), ToString::to_string);
        let own = |value: fn(&Arg) -> Value| -> Map<String, Value> {
            section.get_arguments().map(|key| (key.get_id().to_string(), value(key))).collect()
        };
        let required: Vec<&str> = section
            .get_arguments()
            .filter(|key| key.is_required_set())
            .map(|key| key.get_id().as_str())
            .collect();
        let mut table = object(own(value), &about);
        table["required"] = json!(required);
        match REPEATED.contains(name) {
            true => table = list(table, &about),
            false => drop(lists.insert(name.to_string(), object(own(varied), &about))),
        }
        properties.insert(name.to_string(), table);
    }
    for (_, value) in lists.iter_mut().filter(|(_, value)| value["type"] != "object") {
        *value = varied_of(value.clone());
    }
    properties.insert("grid".into(), list(object(lists, keys::GRID), keys::GRID));
    let mut all = object(properties, "An analysis of fisherscape: a question, its inputs, and what to do");
    all["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    all["title"] = json!("fisherscape analysis");
    all["required"] = json!(["data", "model"]);
    all
}

fn object(properties: Map<String, Value>, about: &str) -> Value {
    json!({"type": "object", "description": about, "properties": properties, "additionalProperties": false})
}

fn list(items: Value, about: &str) -> Value {
    json!({"type": "array", "description": about, "items": items})
}

/// What a key may be.
fn value(key: &Arg) -> Value {
    let about = key.get_help().map_or(String::new(), ToString::to_string);
    let defaults: Vec<String> =
        key.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    let (kind, is_text) = kind(key);
    // Numbers and words as they are written.
    let read = |text: &str| match is_text {
        true => json!(text),
        false => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    };
    let (mut value, default) = match key.get_action() {
        ArgAction::SetTrue => (json!({"type": "boolean"}), Some(json!(false))),
        ArgAction::Append => {
            let each = defaults.iter().flat_map(|text| text.split(',')).map(read).collect::<Vec<_>>();
            (json!({"type": "array", "items": kind}), (!each.is_empty()).then_some(json!(each)))
        }
        _ => (kind, defaults.first().map(|text| read(text))),
    };
    value["description"] = json!(about);
    if let Some(default) = default {
        value["default"] = default;
    }
    value
}

/// What one value of a key may be, and whether that is text.
fn kind(key: &Arg) -> (Value, bool) {
    let words: Vec<String> = key.get_possible_values().iter().map(|v| v.get_name().to_string()).collect();
    let id = key.get_value_parser().type_id();
    let is = |types: &[TypeId]| types.iter().any(|own| id == *own);
    if is(&[TypeId::of::<usize>(), TypeId::of::<u64>(), TypeId::of::<u16>()]) {
        (json!({"type": "integer", "minimum": 0}), false)
    } else if is(&[TypeId::of::<f64>()]) {
        (json!({"type": "number"}), false)
    } else if words.is_empty() {
        (json!({"type": "string"}), true)
    } else {
        (json!({"enum": words}), true)
    }
}

/// The same in a grid.
fn varied(key: &Arg) -> Value {
    varied_of(value(key))
}

fn varied_of(mut value: Value) -> Value {
    let about = value["description"].take();
    value
        .as_object_mut()
        .into_iter()
        .for_each(|own| own.retain(|name, _| name != "default" && name != "description"));
    json!({"type": "array", "minItems": 1, "description": about, "items": value})
}
