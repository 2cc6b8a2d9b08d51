//! What a pickle consists of.

use std::collections::BTreeMap;

use super::super::element::Element;

/// More values than any state dict has. A tensor takes some twenty.
pub const MOST: usize = 1 << 20;

/// A value by its place in the pickle.
pub type Id = u32;

/// A value. Numbers that only training needs are not kept.
#[derive(Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(super::globals::Global),
    Storage(Box<Storage>),
    Tensor(Box<View>),
    /// Something else, by what it is.
    Other(&'static str),
}

/// A run of numbers that lies outside the pickle, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Storage {
    pub key: String,
    pub element: &'static Element,
    /// Where the part begins, in elements.
    pub start: usize,
    /// Elements of the part.
    pub length: usize,
}

/// A tensor: which elements of a storage, in row-major order of the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub storage: Storage,
    /// The storage's, unless that has none.
    pub element: &'static Element,
    /// In elements, as the strides.
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A pickle that was read.
pub struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
}

impl Pickle {
    /// The value at a place.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The entries of a dictionary whose keys are text; of a key that is there twice the last.
    pub fn entries(&self, id: Id) -> Option<BTreeMap<&str, Id>> {
        let Value::Dict(pairs) = self.get(id) else { return None };
        let named = |(key, value): &(Id, Id)| match self.get(*key) {
            Value::Text(key) => Some((key.as_str(), *value)),
            _ => None,
        };
        Some(pairs.iter().filter_map(named).collect())
    }
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Text(_) => "a str",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dict",
            Value::Global(_) => "a class",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Other(kind) => kind,
        }
    }
}
