//! PyTorch files before version 1.6: pickles of a magic number, a version, the writing machine, the object, and the keys of
//! its storages; then each storage as its length in elements (64 bits) and its bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::Stored;
use super::archive::big_endian;
use super::element::Element;
use super::pickle::{self, Pickle, Value};
use super::views::Views;
use crate::error::{Error, Result};

/// `0x1950a86a20f9469cfc6c`, as a pickle has it: lowest byte first, or in digits.
const MAGIC: [&[u8]; 2] =
    [b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", b"L119547037146038801333356L\n."];

/// The tensors of the file at `place`, which is read once from its beginning to its end.
pub fn read(place: &Path) -> Result<Vec<Stored>> {
    let io = |e| Error::io(place, "read")(e);
    let file = File::open(place).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut input = BufReader::new(file);
    check_magic(&mut input, place)?;
    pickle::read(&mut input, place)?;
    check_order(&pickle::read(&mut input, place)?, place)?;
    let object = pickle::read(&mut input, place)?;
    let keys = pickle::read(&mut input, place)?;
    let elements = elements(&object);
    let mut views = Views::new(&object, place, size)?;
    let wanted = views.storages();
    for key in storage_keys(&keys, place)? {
        let element =
            elements.get(key).ok_or_else(|| broken(place, format!("an unknown storage `{key}`")))?;
        let bytes = storage(&mut input, element.size, size, place)?;
        if wanted.contains(&key) {
            views.fill(key, &bytes)?;
        }
    }
    views.done()
}

fn broken(place: &Path, found: impl ToString) -> Error {
    let expected = "a PyTorch file, of before version 1.6 by its beginning";
    Error::field(place.display(), "pickle", expected, found.to_string(), "fetch the file again")
}

/// Other pickles begin alike.
fn check_magic(input: &mut BufReader<File>, place: &Path) -> Result<()> {
    let head = input.fill_buf().map_err(Error::io(place, "read"))?;
    // Before it stand the protocol and, from protocol 4 on, the length of a frame: 11 bytes.
    let near = |magic: &&[u8]| head.windows(magic.len()).take(12).any(|part| part == *magic);
    if MAGIC.iter().any(near) {
        return pickle::read(input, place).map(drop);
    }
    let found = "a pickle that PyTorch did not write";
    let fix = "save the weights by torch.save(model.state_dict(), FILE)";
    Err(Error::field(place.display(), "pickle", "a PyTorch file", found, fix))
}

fn check_order(machine: &Pickle, place: &Path) -> Result<()> {
    let says = |name| machine.entries(machine.root).and_then(|own| own.get(name).copied());
    match says("little_endian").map(|id| machine.get(id)) {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(big_endian(place, "big-endian")),
        _ => Err(broken(place, "no byte order")),
    }
}

fn storage_keys<'a>(keys: &'a Pickle, place: &Path) -> Result<Vec<&'a str>> {
    let Value::List(ids) = keys.get(keys.root) else {
        return Err(broken(place, format!("{} in place of storages' keys", keys.get(keys.root).kind())));
    };
    let key = |id: &u32| match keys.get(*id) {
        Value::Text(key) => Ok(key.as_str()),
        other => Err(broken(place, format!("{} as a storage's key", other.kind()))),
    };
    ids.iter().map(key).collect()
}

/// What each storage of the object holds.
fn elements<'a>(object: &'a Pickle) -> HashMap<&'a str, &'static Element> {
    let storage = |value: &'a Value| match value {
        Value::Storage(storage) => Some((storage.key.as_str(), storage.element)),
        _ => None,
    };
    object.values.iter().filter_map(storage).collect()
}

fn storage(input: &mut BufReader<File>, element: usize, size: u64, place: &Path) -> Result<Vec<u8>> {
    let short = |_| broken(place, format!("a file of {size} bytes that ends inside a storage"));
    let mut length = [0; 8];
    input.read_exact(&mut length).map_err(short)?;
    let length = u64::from_le_bytes(length).checked_mul(element as u64).filter(|length| *length <= size);
    let length =
        length.ok_or_else(|| broken(place, format!("a storage larger than the file's {size} bytes")))?;
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).map_err(short)?;
    Ok(bytes)
}
