//! What the labels of a column are: classes by number, classes by name, or numbers of a regression.
//!
//! Whole numbers from 0 are classes, numbers with fractions are values of a regression, anything else is the name of a
//! class. Labels that could be either are a question to the user, never a guess.
//!
//! Traps: one `n/a` among thousands of scores would turn a regression into thousands of classes, so where
//! most labels are numbers and one has a fraction, the words are unreadable labels. A column of whole numbers in which one
//! is missing is written with a point by pandas (`1.0`): classes and ratings look alike then. -1 is a label, unless there is
//! no other: so the hub marks hidden tests.

use std::collections::{BTreeMap, BTreeSet};

use super::row::RowLabel;
use crate::error::{Error, Result};

/// More classes than this mean that the label column is not one of classes.
const MAX_CLASSES: usize = 10_000;

/// Whole numbers written with a point may be classes if there are no more of them than this.
const FEW: usize = 20;

/// What labels are to be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    Classes,
    Regression,
    /// Texts that a model is to write
    Text,
}

/// Whether a label says that there is none, as Python, pandas and PyTorch write it.
pub(super) fn is_missing(label: &str) -> bool {
    ["", "nan", "NaN", "None", "null", "NULL", "<NA>", "-100", "-100.0"].contains(&label)
}

/// What the labels of a column are.
#[derive(Debug)]
pub(super) enum Kind {
    /// Classes by number, up to this one.
    Indices(usize),
    /// Finite numbers.
    Values,
    /// Names and their classes.
    Names(BTreeMap<String, usize>),
    /// Texts to write.
    Texts,
    /// No row has a label.
    Hidden,
}

impl Kind {
    /// The names of the classes, in order; none of a regression.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Kind::Indices(most) => (0..=*most).map(|class| class.to_string()).collect(),
            Kind::Names(names) => {
                let mut sorted: Vec<(&String, &usize)> = names.iter().collect();
                sorted.sort_by_key(|(_, class)| **class);
                sorted.into_iter().map(|(name, _)| name.clone()).collect()
            }
            Kind::Values | Kind::Texts | Kind::Hidden => Vec::new(),
        }
    }

    fn class(&self, label: &str) -> Option<usize> {
        match self.label(label) {
            Some(RowLabel::Class(class)) => Some(class),
            _ => None,
        }
    }

    /// A label that is not missing; `None` for one that cannot be read.
    pub fn label(&self, label: &str) -> Option<RowLabel> {
        match self {
            Kind::Indices(_) => number(label).map(|class| RowLabel::Class(class as usize)),
            Kind::Values => {
                let value = label.parse().ok().filter(|value: &f32| value.is_finite());
                value.map(RowLabel::Value)
            }
            Kind::Names(names) => names.get(label).copied().map(RowLabel::Class),
            Kind::Texts => Some(RowLabel::Text(label.to_string())),
            Kind::Hidden => None,
        }
    }

    /// Whether there is no label. Texts may well be `None` or `nan`.
    pub fn lacks(&self, label: &str) -> bool {
        match self {
            Kind::Hidden => true,
            Kind::Texts => label.is_empty(),
            _ => is_missing(label),
        }
    }
}

/// A column of labels.
pub(super) struct Column<'a> {
    place: &'a str,
    name: &'a str,
    /// How many rows have one, and how many of those are numbers.
    count: usize,
    numbers: usize,
    distinct: BTreeSet<&'a str>,
}

impl<'a> Column<'a> {
    /// Of all rows of the table at `place`; labels that are missing count for nothing.
    pub fn new(place: &'a str, name: &'a str, labels: impl Iterator<Item = &'a str>) -> Column<'a> {
        let mut column = Column { place, name, count: 0, numbers: 0, distinct: BTreeSet::new() };
        for label in labels.filter(|label| !is_missing(label)) {
            column.count += 1;
            column.numbers += usize::from(number(label).is_some());
            column.distinct.insert(label);
        }
        column
    }

    /// What they are, and why; `wanted` is what the user says.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for several labels a row, for labels that could be of two kinds or are not of the kind that is
    /// wanted, for a single class and for more than 10 000.
    pub fn understood(&self, wanted: Option<Labels>) -> Result<(Kind, String)> {
        if wanted == Some(Labels::Text) {
            return Ok((Kind::Texts, "texts to write".into()));
        }
        if let Some(several) = several(&self.distinct, wanted) {
            let fix = "give a column with one label a row; several at once cannot be learned here. A decimal comma must be a \
                       point";
            return Err(self.wrong("one label a row", format!("`{several}`, which reads as several"), fix));
        }
        // None at all as well.
        if self.distinct.iter().all(|label| number(label) == Some(-1.0)) {
            return Ok((Kind::Hidden, "no row has a label".into()));
        }
        let (kind, why) = match wanted {
            Some(Labels::Regression) => self.regression()?,
            Some(_) => (self.classes(), "as --labels says"),
            None => self.guessed()?,
        };
        let words = match &kind {
            Kind::Values => format!("a regression on {} numbers: {why}", self.numbers),
            kind => format!("{} classes: {why}", self.limited(kind)?),
        };
        Ok((kind, words))
    }

    fn regression(&self) -> Result<(Kind, &'static str)> {
        if 2 * self.numbers > self.count {
            return Ok((Kind::Values, "as --labels says"));
        }
        let found = format!("{} numbers among {} labels", self.numbers, self.count);
        Err(self.wrong(
            "numbers, as --labels regression says",
            found,
            "leave out --labels, or name another column",
        ))
    }

    /// What the labels say by themselves.
    fn guessed(&self) -> Result<(Kind, &'static str)> {
        if self.distinct.iter().all(|label| label.parse::<usize>().is_ok()) {
            return Ok((self.classes(), "every label is a whole number"));
        }
        if self.distinct.iter().all(|label| label.parse::<i64>().is_ok()) {
            return Ok((
                self.classes(),
                "every label is a whole number; one below 0 is a label like the others",
            ));
        }
        let pointed =
            self.distinct.iter().find(|label| number(label).is_some() && label.parse::<i64>().is_err());
        let Some(pointed) = pointed.filter(|_| 2 * self.numbers > self.count) else {
            return Ok((self.classes(), "labels are names, as not all are numbers"));
        };
        let values: BTreeSet<u64> =
            self.distinct.iter().filter_map(|l| number(l)).map(f64::to_bits).collect();
        let fractions = values.iter().any(|bits| f64::from_bits(*bits).fract() != 0.0);
        match values.len() {
            _ if fractions => Ok((Kind::Values, "some have a fraction")),
            many if many > FEW => Ok((Kind::Values, "they are written with a point, and many")),
            few => {
                let found = format!("{few} whole numbers with a point, such as {pointed}");
                let fix = "say which: --labels classes or --labels regression (in an analysis, data.labels)";
                Err(self.wrong("plainly classes or plainly numbers", found, fix))
            }
        }
    }

    /// By number where all are whole and from 0, else by name.
    fn classes(&self) -> Kind {
        let index =
            |label: &&str| number(label).filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as usize);
        if let Some(indices) = self.distinct.iter().map(index).collect::<Option<BTreeSet<usize>>>() {
            return Kind::Indices(indices.into_iter().max().unwrap_or(0));
        }
        let mut names: Vec<&str> = self.distinct.iter().copied().collect();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().ok());
        }
        Kind::Names(names.into_iter().map(str::to_string).zip(0..).collect())
    }

    /// How many classes there are.
    fn limited(&self, kind: &Kind) -> Result<usize> {
        let (classes, largest) = match kind {
            Kind::Indices(most) => (most.saturating_add(1), format!("the number {most}")),
            kind => (kind.classes().len(), format!("{} distinct labels", self.distinct.len())),
        };
        if classes > MAX_CLASSES {
            let fix = "number classes from 0, name another column, or give --labels regression for numbers";
            return Err(self.wrong(format!("a column of at most {MAX_CLASSES} classes"), largest, fix));
        }
        let different: BTreeSet<Option<usize>> =
            self.distinct.iter().map(|label| kind.class(label)).collect();
        if different.len() == 1 {
            let only = self.distinct.first().unwrap_or(&"");
            let fix = "name another column, or give rows of other classes, too: with one class there is nothing to learn";
            return Err(self.wrong("a column of at least 2 classes", format!("only `{only}`"), fix));
        }
        Ok(classes)
    }

    fn wrong(&self, expected: impl ToString, found: impl ToString, fix: &str) -> Error {
        Error::field(self.place, self.name, expected.to_string(), found.to_string(), fix)
    }
}

/// A finite number.
fn number(label: &str) -> Option<f64> {
    label.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A label that is several: a list, whole numbers side by side, or names that stand alone or beside others elsewhere. Names
/// that the user calls classes are what they are.
fn several<'a>(distinct: &BTreeSet<&'a str>, wanted: Option<Labels>) -> Option<&'a str> {
    let list = |label: &&&str| label.starts_with('[') && label.ends_with(']') && label.len() > 1;
    let numbers = |label: &&&str| {
        let parts: Vec<&str> = label.split([',', ';', '|', ' ']).filter(|part| !part.is_empty()).collect();
        parts.len() > 1 && parts.iter().all(|part| part.parse::<i64>().is_ok())
    };
    let found = distinct.iter().find(|label| list(label) || numbers(label));
    if found.is_some() || wanted == Some(Labels::Classes) {
        return found.copied();
    }
    // In how many labels a name stands.
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    distinct.iter().flat_map(|label| parts(label)).for_each(|part| *count.entry(part).or_default() += 1);
    let shared = |label: &&&str| parts(label).len() > 1 && parts(label).iter().all(|part| count[part] > 1);
    distinct.iter().find(shared).copied()
}

/// The names in a label, each once.
fn parts(label: &str) -> BTreeSet<&str> {
    label.split([',', ';', '|']).map(str::trim).filter(|part| !part.is_empty()).collect()
}
