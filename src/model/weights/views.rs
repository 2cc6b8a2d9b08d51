//! From the bytes of a storage to the tensors that view it.
//!
//! A tensor is `offset + Σ index · stride` into its storage. Views may overlap, repeat elements (stride 0) or leave some out.
//! Equal views, as tied weights are, become one tensor.
//!
//! The trap: shapes and strides are claims. Every view is held against the bytes that are there, and all views together
//! against the size of the file, since a shape with strides of 0 says much with few bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};

use super::pickle::{Pickle, View};
use super::state::{self, Entry};
use super::{Content, Stored};
use crate::error::{Error, Result};
use crate::params;

/// How many bytes of float32 a byte of the file may become: half precision doubles, and parts are saved beside the whole.
const MOST_PER_BYTE: u64 = 8;

/// The tensors of a file, by the storages that they view.
pub struct Views<'a> {
    place: &'a Path,
    stored: Vec<Stored>,
    waiting: BTreeMap<&'a str, Vec<(&'a str, &'a View)>>,
    /// Bytes that may still be filled.
    left: u64,
}

impl<'a> Views<'a> {
    /// Those of the state dict in a pickle, in a file of this size.
    pub fn new(pickle: &'a Pickle, place: &'a Path, size: u64) -> Result<Views<'a>> {
        let left = size.saturating_mul(MOST_PER_BYTE);
        let mut views = Views { place, stored: Vec::new(), waiting: BTreeMap::new(), left };
        for (name, entry) in state::entries(pickle, place)? {
            match entry {
                Entry::Tensor(view) if view.element.float.is_some() => {
                    views.waiting.entry(view.storage.key.as_str()).or_default().push((name, view));
                }
                Entry::Tensor(view) => views.other(name, view.element.name),
                Entry::Other(kind) => views.other(name, kind),
            }
        }
        Ok(views)
    }

    fn other(&mut self, name: &str, kind: &str) {
        self.stored.push(Stored { name: name.into(), content: Content::Other(kind.into()) });
    }

    /// Storages whose bytes are needed.
    pub fn storages(&self) -> Vec<&'a str> {
        self.waiting.keys().copied().collect()
    }

    /// Makes the tensors that view a storage of these bytes.
    pub fn fill(&mut self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut made: HashMap<&View, Tensor> = HashMap::new();
        for (name, view) in self.waiting.remove(key).unwrap_or_default() {
            let tensor = match made.get(view) {
                Some(tensor) => tensor.clone(),
                None => self.tensor(name, view, bytes)?,
            };
            made.insert(view, tensor.clone());
            self.stored.push(Stored { name: name.into(), content: Content::Float(tensor) });
        }
        Ok(())
    }

    /// All tensors, once no storage is missing.
    pub fn done(self) -> Result<Vec<Stored>> {
        match self.waiting.keys().next() {
            None => Ok(self.stored),
            Some(key) => Err(self.wrong("storage", format!("no storage `{key}`"))),
        }
    }

    fn wrong(&self, field: &str, found: String) -> Error {
        Error::field(self.place.display(), field, "a whole tensor", found, "fetch the file again")
    }

    fn tensor(&mut self, name: &str, view: &View, bytes: &[u8]) -> Result<Tensor> {
        let outside = || {
            let View { shape, strides, offset, storage, .. } = view;
            let found = format!(
                "shape {shape:?} with strides {strides:?} from {offset} in {} elements, {} bytes",
                storage.length,
                bytes.len()
            );
            self.wrong(name, found)
        };
        let size = view.element.size;
        let (part, count) = part(view, bytes).ok_or_else(outside)?;
        let filled = (count as u64).saturating_mul(size_of::<f32>() as u64);
        self.left = self.left.checked_sub(filled).ok_or_else(|| {
            self.wrong(name, format!("{count} elements, more than a file of this size can hold"))
        })?;
        let values = match is_contiguous(&view.shape, &view.strides) {
            true => view.element.float.and_then(|dtype| params::floats(dtype, &part[..count * size])),
            false => view.element.float.and_then(|dtype| params::floats(dtype, &gather(view, part, count))),
        };
        let values = values.ok_or_else(|| self.wrong(name, view.element.name.into()))?;
        Ok(Tensor::from_vec(values, view.shape.as_slice(), &Device::Cpu)?)
    }
}

/// The bytes from a view's first element to its last, and how many elements it has; `None` if they are not all there.
fn part<'b>(view: &View, bytes: &'b [u8]) -> Option<(&'b [u8], usize)> {
    let (own, size) = (view.storage.element.size, view.element.size);
    let storage = bytes.get(view.storage.start.checked_mul(own)?..)?;
    let storage = storage.get(..view.storage.length.checked_mul(own)?)?;
    let mut count = 1usize;
    let mut last = 0usize;
    for (n, stride) in view.shape.iter().zip(&view.strides) {
        count = count.checked_mul(*n)?;
        last = last.checked_add(n.saturating_sub(1).checked_mul(*stride)?)?;
    }
    if count == 0 {
        return Some((&[], 0));
    }
    let start = view.offset.checked_mul(size)?;
    let end = view.offset.checked_add(last)?.checked_add(1)?.checked_mul(size)?;
    Some((storage.get(start..end)?, count))
}

/// Whether elements lie in row-major order without gaps. Strides of dimensions of one element do not matter.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    shape.iter().zip(strides).rev().all(|(n, stride)| {
        let fits = *n == 1 || *stride == expected;
        expected = expected.saturating_mul(*n);
        fits
    })
}

/// The bytes of a view's elements in row-major order, out of [`part`].
fn gather(view: &View, part: &[u8], count: usize) -> Vec<u8> {
    let size = view.element.size;
    let mut index = vec![0; view.shape.len()];
    let mut at = 0;
    let mut gathered = Vec::with_capacity(count * size);
    for _ in 0..count {
        gathered.extend_from_slice(&part[at * size..(at + 1) * size]);
        // The next index: the last dimension runs fastest.
        for (d, i) in index.iter_mut().enumerate().rev() {
            *i += 1;
            at += view.strides[d];
            if *i < view.shape[d] {
                break;
            }
            at -= view.strides[d] * view.shape[d];
            *i = 0;
        }
    }
    gathered
}
