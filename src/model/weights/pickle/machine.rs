//! The machine that runs a pickle: one operation a byte, on a stack with marks, and a memo of values to use again.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;

use super::calls::{Made, Values};
use super::globals;
use super::values::{Id, MOST, Pickle, Value};
use crate::error::{Error, Result};

/// The next pickle of `input`, which lies in the file at `place`. What follows it is left.
///
/// # Errors
///
/// [`Error::Field`] for a pickle that is broken, too large, or uses a name that is not allowed.
pub fn read(input: &mut dyn BufRead, place: &Path) -> Result<Pickle> {
    let mut machine = Machine {
        input,
        place,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        made: 0,
    };
    loop {
        let [operation] = machine.bytes()?;
        match operation {
            b'.' => return Ok(Pickle { root: machine.pop()?, values: machine.values }),
            operation => machine.step(operation)?,
        }
    }
}

struct Machine<'a> {
    input: &'a mut dyn BufRead,
    place: &'a Path,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// What was put on the stack or into containers so far.
    made: usize,
}

impl Machine<'_> {
    /// One operation, by its letter or number in Python's `pickle`.
    fn step(&mut self, operation: u8) -> Result<()> {
        match operation {
            // PROTO, FRAME: the machine needs neither.
            0x80 => self.skip(1),
            0x95 => self.skip(8),
            // The stack: MARK, POP, POP_MARK, DUP.
            b'(' => self.mark(),
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'2' => self.duplicate(),
            // The memo: PUT, BINPUT, LONG_BINPUT, MEMOIZE; GET, BINGET, LONG_BINGET.
            b'p' => self.line_number().and_then(|at| self.put(at)),
            b'q' => self.unsigned::<1>().and_then(|at| self.put(at)),
            b'r' => self.unsigned::<4>().and_then(|at| self.put(at)),
            0x94 => self.put(self.memo.len() as u64),
            b'g' => self.line_number().and_then(|at| self.recall(at)),
            b'h' => self.unsigned::<1>().and_then(|at| self.recall(at)),
            b'j' => self.unsigned::<4>().and_then(|at| self.recall(at)),
            // NONE, NEWTRUE, NEWFALSE.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            // Numbers: INT, BININT, BININT1, BININT2, LONG, LONG1, LONG4, FLOAT, BINFLOAT.
            b'I' => self.line_int(),
            b'J' => self.bytes().map(i32::from_le_bytes).and_then(|n| self.push(Value::Int(n.into()))),
            b'K' => self.unsigned::<1>().and_then(|n| self.push(Value::Int(n as i64))),
            b'M' => self.unsigned::<2>().and_then(|n| self.push(Value::Int(n as i64))),
            b'L' => self.line_int(),
            0x8a => self.unsigned::<1>().and_then(|length| self.long(length)),
            0x8b => self.unsigned::<4>().and_then(|length| self.long(length)),
            b'F' => self.line().and_then(|_| self.push(Value::Other("a float"))),
            b'G' => self.skip(8).and_then(|()| self.push(Value::Other("a float"))),
            // Text: STRING, BINSTRING, SHORT_BINSTRING, UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8.
            b'S' => {
                self.line().and_then(|text| self.push(Value::Text(text.trim_matches(['\'', '"']).into())))
            }
            b'V' => self.line().and_then(|text| self.push(Value::Text(text))),
            b'U' | 0x8c => self.unsigned::<1>().and_then(|length| self.text(length)),
            b'T' | b'X' => self.unsigned::<4>().and_then(|length| self.text(length)),
            0x8d => self.unsigned::<8>().and_then(|length| self.text(length)),
            // Bytes: SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8.
            b'C' => self.unsigned::<1>().and_then(|length| self.data(length)),
            b'B' => self.unsigned::<4>().and_then(|length| self.data(length)),
            0x8e | 0x96 => self.unsigned::<8>().and_then(|length| self.data(length)),
            // Tuples: EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE.
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple(usize::from(operation - 0x84)),
            b't' => self.pop_mark().and_then(|items| self.push(Value::Tuple(items))),
            // Lists: EMPTY_LIST, LIST, APPEND, APPENDS.
            b']' => self.push(Value::List(Vec::new())),
            b'l' => self.pop_mark().and_then(|items| self.push(Value::List(items))),
            b'a' => self.pop().and_then(|item| self.append(vec![item])),
            b'e' => self.pop_mark().and_then(|items| self.append(items)),
            // Dictionaries: EMPTY_DICT, DICT, SETITEM, SETITEMS.
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => self.pop_mark().and_then(|items| self.dictionary(items)),
            b's' => self.top(2).and_then(|items| self.set(items)),
            b'u' => self.pop_mark().and_then(|items| self.set(items)),
            // Sets: EMPTY_SET, FROZENSET, ADDITEMS.
            0x8f => self.push(Value::Other("a set")),
            0x91 => self.pop_mark().and_then(|_| self.push(Value::Other("a set"))),
            0x90 => self.pop_mark().map(drop),
            // Names and calls: GLOBAL, STACK_GLOBAL, REDUCE and NEWOBJ, BUILD, BINPERSID.
            b'c' => self.line().and_then(|module| self.line().and_then(|name| self.global(&module, &name))),
            0x93 => self.stack_global(),
            b'R' | 0x81 => self.call(),
            b'b' => self.build(),
            b'Q' => self.storage(),
            b'P' => Err(self.broken("protocol 0, in which PyTorch itself cannot read tensors")),
            other => Err(self.broken(format!("the operation {other:#04x}, which no tensor needs"))),
        }
    }

    fn broken(&self, found: impl ToString) -> Error {
        let fix = "fetch the file again; if it is whole, load it in PyTorch and save model.state_dict() anew";
        Error::field(self.place.display(), "pickle", "a PyTorch state dict", found.to_string(), fix)
    }

    // What the input holds. Lengths are claims, so nothing is reserved for them.

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| self.short())?;
        Ok(bytes)
    }

    fn short(&self) -> Error {
        self.broken("a pickle that ends early")
    }

    fn unsigned<const N: usize>(&mut self) -> Result<u64> {
        let bytes: [u8; N] = self.bytes()?;
        Ok(bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        match std::io::copy(&mut Read::take(&mut *self.input, length), &mut std::io::sink()) {
            Ok(there) if there == length => Ok(()),
            _ => Err(self.short()),
        }
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match Read::take(&mut *self.input, length).read_to_end(&mut bytes) {
            Ok(there) if there as u64 == length => Ok(bytes),
            _ => Err(self.short()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.input.read_until(b'\n', &mut line).map_err(|_| self.short())?;
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => Err(self.short()),
        }
    }

    fn line_number(&mut self) -> Result<u64> {
        let line = self.line()?;
        line.parse().map_err(|_| self.broken(format!("the memo's place `{line}`")))
    }

    // Values.

    fn count(&mut self, more: usize) -> Result<()> {
        self.made = self.made.saturating_add(more);
        match self.made <= MOST {
            true => Ok(()),
            false => Err(self.broken(format!("more than {MOST} values, which no state dict has"))),
        }
    }

    fn new_value(&mut self, value: Value) -> Result<Id> {
        self.count(1)?;
        self.values.push(value);
        Ok(self.values.len() as Id - 1)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        let id = self.new_value(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn again(&mut self, id: Id) -> Result<()> {
        self.count(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn line_int(&mut self) -> Result<()> {
        let line = self.line()?;
        let value = match line.strip_suffix('L').unwrap_or(&line) {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            digits => digits.parse().map_or(Value::Other("a large int"), Value::Int),
        };
        self.push(value)
    }

    /// Two's complement of any length, lowest byte first.
    fn long(&mut self, length: u64) -> Result<()> {
        let bytes = self.take(length)?;
        if bytes.len() > size_of::<i64>() {
            return self.push(Value::Other("a large int"));
        }
        let sign = if bytes.last().is_some_and(|byte| byte >> 7 == 1) { -1 } else { 0 };
        let value = bytes.iter().rev().fold(sign, |n: i64, byte| n << 8 | i64::from(*byte));
        self.push(Value::Int(value))
    }

    fn text(&mut self, length: u64) -> Result<()> {
        let bytes = self.take(length)?;
        self.push(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn data(&mut self, length: u64) -> Result<()> {
        self.skip(length)?;
        self.push(Value::Other("bytes"))
    }

    // The stack and the memo.

    fn mark(&mut self) -> Result<()> {
        self.count(1)?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// What lies above the last mark counts as a stack of its own.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&mut self, n: usize) -> Result<Vec<Id>> {
        match self.stack.len().checked_sub(n).filter(|rest| *rest >= self.floor()) {
            Some(rest) => Ok(self.stack.split_off(rest)),
            None => Err(self.broken("an operation without its operands")),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top(1)?;
        top.first().copied().ok_or_else(|| self.short())
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => Err(self.broken("a list without a beginning")),
        }
    }

    fn peek(&self) -> Result<Id> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.copied().ok_or_else(|| self.broken("an operation without its operands"))
    }

    fn duplicate(&mut self) -> Result<()> {
        self.peek().and_then(|id| self.again(id))
    }

    fn put(&mut self, at: u64) -> Result<()> {
        let id = self.peek()?;
        if self.memo.insert(at, id).is_none() {
            self.count(1)?;
        }
        Ok(())
    }

    fn recall(&mut self, at: u64) -> Result<()> {
        match self.memo.get(&at).copied() {
            Some(id) => self.again(id),
            None => Err(self.broken(format!("the memo's place {at}, where nothing is"))),
        }
    }

    // Containers.

    fn tuple(&mut self, n: usize) -> Result<()> {
        let items = self.top(n)?;
        self.push(Value::Tuple(items))
    }

    /// The value on top, to be changed.
    fn changed(&mut self) -> Result<&mut Value> {
        let id = self.peek()?;
        let error = self.short();
        self.values.get_mut(id as usize).ok_or(error)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        match self.changed()? {
            Value::List(list) => list.extend(items),
            Value::Other(_) => {}
            other => {
                let kind = other.kind();
                return Err(self.broken(format!("items for {kind}")));
            }
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        match rest.is_empty() {
            true => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
            false => Err(self.broken("a key without a value")),
        }
    }

    fn dictionary(&mut self, items: Vec<Id>) -> Result<()> {
        let pairs = self.pairs(&items)?;
        self.push(Value::Dict(pairs))
    }

    fn set(&mut self, items: Vec<Id>) -> Result<()> {
        let pairs = self.pairs(&items)?;
        match self.changed()? {
            Value::Dict(own) => own.extend(pairs),
            Value::Other(_) => {}
            other => {
                let kind = other.kind();
                return Err(self.broken(format!("entries for {kind}")));
            }
        }
        Ok(())
    }

    // Names and calls.

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        match globals::find(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.forbidden(module, name)),
        }
    }

    fn forbidden(&self, module: &str, name: &str) -> Error {
        let short = |text: &str| text.chars().take(80).collect::<String>();
        let found = format!("the Python object `{}.{}`", short(module), short(name));
        let fix = "code in a pickle is never run here. If you trust the file, load it in PyTorch with weights_only=False and save \
                   only its state dict";
        Error::field(self.place.display(), "pickle", "tensors and plain containers", found, fix)
    }

    fn stack_global(&mut self) -> Result<()> {
        let names = self.top(2)?;
        let mut texts = names.iter().map(|id| match self.values.get(*id as usize) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        });
        match (texts.next().flatten(), texts.next().flatten()) {
            (Some(module), Some(name)) => self.global(&module, &name),
            _ => Err(self.broken("a name that is not text")),
        }
    }

    fn call(&mut self) -> Result<()> {
        let operands = self.top(2)?;
        let value = |id: Option<&Id>| id.and_then(|id| self.values.get(*id as usize));
        let (Some(Value::Global(function)), Some(Value::Tuple(arguments))) =
            (value(operands.first()), value(operands.get(1)))
        else {
            return Err(self.broken("a call of something that is not a function"));
        };
        let made = Values(&self.values).call(*function, arguments).map_err(|found| self.broken(found))?;
        match made {
            Made::Given(id) => self.again(id),
            Made::New(value) => self.made_of(value),
        }
    }

    /// Counts what a call took over from its arguments.
    fn made_of(&mut self, value: Value) -> Result<()> {
        self.count(match &value {
            Value::Dict(pairs) => pairs.len(),
            Value::Tensor(view) => view.shape.len(),
            _ => 0,
        })?;
        self.push(value)
    }

    /// Attributes, such as the `_metadata` of a state dict. Where they could be what a tensor holds, they are refused.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.changed()? {
            Value::Dict(_) | Value::Other(_) => Ok(()),
            other => {
                let kind = other.kind();
                Err(self.broken(format!("attributes of {kind}")))
            }
        }
    }

    fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = Values(&self.values).storage(id).map_err(|found| self.broken(found))?;
        self.push(Value::Storage(storage.into()))
    }
}
