//! What a pickle's calls make: containers, shapes and tensors, out of values that are there already.

use super::super::element::Element;
use super::globals::{Global, Make};
use super::values::{Id, Storage, Value, View};

/// More dimensions than PyTorch allows.
const MOST_DIMENSIONS: usize = 64;

/// Longer than any storage's name, which is a number. Every tensor keeps it.
const LONGEST_KEY: usize = 64;

/// What a call gives.
pub enum Made {
    /// One of its arguments.
    Given(Id),
    New(Value),
}

/// The values so far.
pub struct Values<'a>(pub &'a [Value]);

impl Values<'_> {
    fn get(&self, id: Option<&Id>) -> &Value {
        id.and_then(|id| self.0.get(*id as usize)).unwrap_or(&Value::None)
    }

    /// `function(*arguments)`, or what is wrong with it.
    pub fn call(&self, function: Global, arguments: &[Id]) -> Result<Made, String> {
        match function {
            Global::OrderedDict => Ok(Made::New(Value::Dict(self.pairs(arguments)?))),
            Global::Size => arguments.first().copied().map(Made::Given).ok_or("a Size of nothing".into()),
            Global::Opaque(kind) => Ok(Made::New(Value::Other(kind))),
            Global::Make(make) => self.make(make, arguments),
            Global::Tensor | Global::StorageOf(_) | Global::Dtype(_) => {
                Err(format!("a call of {function:?}, which is not a function"))
            }
        }
    }

    fn make(&self, make: Make, arguments: &[Id]) -> Result<Made, String> {
        match make {
            Make::View => Ok(Made::New(Value::Tensor(self.view(arguments, None, 6)?.into()))),
            Make::TypedView => match self.get(arguments.get(6)) {
                Value::Global(Global::Dtype(element)) => {
                    Ok(Made::New(Value::Tensor(self.view(arguments, Some(element), 7)?.into())))
                }
                other => Err(format!("a tensor whose type is {}", other.kind())),
            },
            Make::Wrap => self.wrapped(arguments),
            Make::FromType => self.of_class(arguments),
        }
    }

    /// The tensor that is the first argument; the rest is for training.
    fn wrapped(&self, arguments: &[Id]) -> Result<Made, String> {
        match (arguments.first(), self.get(arguments.first()), self.get(arguments.get(1))) {
            (_, Value::Tensor(view), Value::Global(Global::Dtype(other))) if view.element != *other => {
                Err(format!("a {} tensor to be made {}", view.element.name, other.name))
            }
            (Some(id), Value::Tensor(_) | Value::Other(_), _) => Ok(Made::Given(*id)),
            (_, other, _) => Err(format!("a parameter of {}", other.kind())),
        }
    }

    /// `function(*arguments)` of a class: plain tensors and parameters are the same here.
    fn of_class(&self, arguments: &[Id]) -> Result<Made, String> {
        let [function, class, inner, _] = arguments else { return Err("a tensor without a class".into()) };
        let plain = matches!(self.get(Some(class)), Value::Global(Global::Tensor | Global::Make(Make::Wrap)));
        match (self.get(Some(function)), self.get(Some(inner))) {
            // One that made another like itself would never end.
            (Value::Global(Global::Make(Make::FromType)), _) => Err("a tensor of nested classes".into()),
            (Value::Global(function), Value::Tuple(inner)) if plain => self.call(*function, inner),
            _ => Ok(Made::New(Value::Other("a tensor of a class of its own"))),
        }
    }

    /// Keys and values, given as a list of pairs or not at all.
    fn pairs(&self, arguments: &[Id]) -> Result<Vec<(Id, Id)>, String> {
        let Some(list) = arguments.first() else { return Ok(Vec::new()) };
        let (Value::List(items) | Value::Tuple(items)) = self.get(Some(list)) else {
            return Err(format!("an OrderedDict of {}", self.get(Some(list)).kind()));
        };
        let pair = |id: &Id| match self.get(Some(id)) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        items.iter().map(pair).collect::<Option<_>>().ok_or("an OrderedDict of other than pairs".into())
    }

    /// Storage, offset, shape, strides; at `metadata` what changes the meaning of the numbers, such as a sign bit.
    fn view(
        &self,
        arguments: &[Id],
        element: Option<&'static Element>,
        metadata: usize,
    ) -> Result<View, String> {
        let Value::Storage(storage) = self.get(arguments.first()) else {
            return Err(format!("a tensor of {}", self.get(arguments.first()).kind()));
        };
        let offset = self.size(arguments.get(1))?;
        let (shape, strides) = (self.sizes(arguments.get(2))?, self.sizes(arguments.get(3))?);
        if shape.len() != strides.len() {
            return Err(format!("a tensor of shape {shape:?} and strides {strides:?}"));
        }
        match self.get(arguments.get(metadata)) {
            Value::Dict(pairs) if !pairs.is_empty() => {
                return Err("a tensor that is conjugate or negative".into());
            }
            _ => {}
        }
        let element = element.unwrap_or(storage.element);
        Ok(View { storage: Storage::clone(storage), element, offset, shape, strides })
    }

    fn sizes(&self, id: Option<&Id>) -> Result<Vec<usize>, String> {
        match self.get(id) {
            Value::Tuple(ids) | Value::List(ids) if ids.len() <= MOST_DIMENSIONS => {
                ids.iter().map(|id| self.size(Some(id))).collect()
            }
            other => Err(format!("sizes given by {}", other.kind())),
        }
    }

    fn size(&self, id: Option<&Id>) -> Result<usize, String> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).map_err(|_| format!("a size of {n}")),
            other => Err(format!("a size given by {}", other.kind())),
        }
    }

    /// What a persistent id names: `("storage", class, key, device, length)`, before PyTorch 1.6 with a part of it:
    /// `(key of the part, start, length)` or `None`.
    pub fn storage(&self, id: Id) -> Result<Storage, String> {
        let odd = || "a persistent id that names no storage".to_string();
        let Value::Tuple(parts) = self.get(Some(&id)) else { return Err(odd()) };
        let (Value::Text(word), Value::Global(Global::StorageOf(element))) =
            (self.get(parts.first()), self.get(parts.get(1)))
        else {
            return Err(odd());
        };
        let key = match self.get(parts.get(2)) {
            Value::Text(key) if word == "storage" => key.clone(),
            Value::Int(key) if word == "storage" => key.to_string(),
            _ => return Err(odd()),
        };
        if key.len() > LONGEST_KEY {
            return Err(format!("a storage whose name has {} bytes", key.len()));
        }
        let length = self.size(parts.get(4))?;
        let (start, length) = match self.get(parts.get(5)) {
            Value::Tuple(part) => (self.size(part.get(1))?, self.size(part.get(2))?),
            _ => (0, length),
        };
        Ok(Storage { key, element, start, length })
    }
}
