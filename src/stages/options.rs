//! Options that a command and a section of an analysis have in common: one struct, read by clap and by serde.
//!
//! A default stands in clap's attribute, a range in the struct's own `check`, what an option means in its doc comment. In an
//! analysis an option has the name of its field; on the command line that name with hyphens.
//!
//! The trap: in an analysis an option that is given its default differs from one that is left out, for it is a word of the
//! command, and steps are known by their words.

use std::fmt;
use std::str::FromStr;

use clap::{Arg, Args, Command};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The options of an empty command line: for `#[serde(default = "defaults")]`.
pub fn defaults<O: Args>() -> O {
    O::augment_args(Command::new("options"))
        .try_get_matches_from(["options"])
        .and_then(|matches| O::from_arg_matches(&matches))
        .expect("every option has a default or may be missing")
}

/// The options of a struct, in order of its fields.
pub fn arguments<O: Args>() -> Vec<Arg> {
    O::augment_args(Command::new("options")).get_arguments().cloned().collect()
}

/// The options that are given, in order of the fields, as words of a command line.
pub fn words<O: Args + Serialize>(options: &O, given: impl Fn(&str) -> bool) -> Vec<String> {
    let values = serde_json::to_value(options).unwrap_or_default(); // numbers and words: cannot fail
    let mut words = Vec::new();
    for argument in arguments::<O>() {
        let key = argument.get_id().as_str();
        let (true, Some(flag)) = (given(key), argument.get_long()) else { continue };
        match &values[key] {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => words.push(format!("--{flag}")),
            // The value may begin with a minus sign.
            value if argument.is_allow_hyphen_values_set() || text(value).starts_with('-') => {
                words.push(format!("--{flag}={}", text(value)))
            }
            value => words.extend([format!("--{flag}"), text(value)]),
        }
    }
    words
}

/// A value as the command line has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        // JSON would write 0.00002 as 2e-5.
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => number.to_string(),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// A value that a file has as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parsed<T>(pub T);

impl<T: FromStr> FromStr for Parsed<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Parsed<T>, T::Err> {
        text.parse().map(Parsed)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Parsed<T>, D::Error> {
        let text = String::deserialize(from)?;
        // Of a list the caret marks the whole: so the entry is named.
        let wrong = |e: T::Err| {
            let e = e.to_string();
            D::Error::custom(format!("{text:?} cannot be read: {}", e.lines().next().unwrap_or("")))
        };
        text.parse().map(Parsed).map_err(wrong)
    }
}

impl<T: fmt::Display> Serialize for Parsed<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}
