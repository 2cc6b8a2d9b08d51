//! Frozen evaluation sets: the same examples and the same masked tokens at every point of a surface.
//!
//! On disk (safetensors): `input_ids`, `attention_mask`, `token_type_ids` int64 `[N, T]`, right-padded; `labels`
//! int64 `[N, T]` (-100 = no target), int64 `[N]` or float32 `[N]`. The labels choose the head. Metadata: source,
//! seed, hash of the tokenizer's vocabulary, label names, task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};

use super::glue::Task;
use super::{Example, Target, by_length};
use crate::error::{Error, Result};
use crate::files;
use crate::params::{self, Column};

/// The label that marks "no target here" in a masked-LM set.
pub const NO_TARGET: i64 = -100;

/// What a set's labels ask of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MaskedLm,
    Classes,
    Regression,
}

/// A frozen set in memory.
#[derive(Clone, Debug)]
pub struct FrozenSet {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// BLAKE3 of the file.
    pub hash: String,
    pub kind: Kind,
    pub examples: Vec<Example>,
    /// `source`, `seed`, `vocabulary` (hash), `labels` (JSON list of names), `task`: whatever the file says.
    pub metadata: BTreeMap<String, String>,
}

impl FrozenSet {
    /// Reads and checks a set.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken file, a missing tensor, a wrong type or shape, padding that is not on the
    /// right, negative ids, labels that are neither ids nor -100, non-finite values, or no target at all.
    pub fn read(path: &Path) -> Result<FrozenSet> {
        let bytes = files::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| params::broken(path, e))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| params::broken(path, e))?;
        let reader = Reader { path, tensors: &tensors };
        let (ids, shape) = reader.integers("input_ids")?;
        let &[n, t] = &shape[..] else {
            return Err(reader.wrong("input_ids", "of shape [N, T]", format!("{shape:?}")));
        };
        let (mask, mask_shape) = reader.integers("attention_mask")?;
        let (types, type_shape) = reader.integers("token_type_ids")?;
        for (name, found) in [("attention_mask", &mask_shape), ("token_type_ids", &type_shape)] {
            if *found != shape {
                return Err(reader.wrong(
                    name,
                    format!("of input_ids' shape {shape:?}"),
                    format!("{found:?}"),
                ));
            }
        }
        let lengths = reader.lengths(&mask, n, t)?;
        let (kind, targets) = reader.targets(n, t, &lengths)?;
        let mut examples = Vec::with_capacity(n);
        for (i, target) in targets.into_iter().enumerate() {
            let row = i * t..i * t + lengths[i];
            examples.push(Example {
                ids: reader.unsigned("input_ids", &ids[row.clone()], i)?,
                types: reader.unsigned("token_type_ids", &types[row], i)?,
                target,
            });
        }
        if examples.iter().all(|e| e.targets() == 0) {
            return Err(reader.wrong("labels", "at least one target", "none"));
        }
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(FrozenSet { path: path.to_path_buf(), hash: files::hash(&bytes), kind, examples, metadata })
    }

    /// Writes the set, padded on the right to its longest example with `pad` (the tokenizer's `[PAD]`).
    pub fn write(&self, pad: u32) -> Result<()> {
        let n = self.examples.len();
        let t = self.examples.iter().map(Example::len).max().unwrap_or(0);
        let mut ids = vec![i64::from(pad); n * t];
        let (mut mask, mut types, mut masked) =
            (vec![0i64; n * t], vec![0i64; n * t], vec![NO_TARGET; n * t]);
        let (mut classes, mut values) = (vec![0i64; n], vec![0f32; n]);
        for (i, example) in self.examples.iter().enumerate() {
            for j in 0..example.len() {
                ids[i * t + j] = i64::from(example.ids[j]);
                mask[i * t + j] = 1;
                types[i * t + j] = i64::from(example.types[j]);
            }
            match &example.target {
                Target::Masked(targets) => {
                    targets.iter().for_each(|&(at, label)| masked[i * t + at as usize] = i64::from(label));
                }
                Target::Class(class) => classes[i] = i64::from(*class),
                Target::Value(value) => values[i] = *value,
            }
        }
        let labels = match self.kind {
            Kind::MaskedLm => (vec![n, t], Column::I64(&masked)),
            Kind::Classes => (vec![n], Column::I64(&classes)),
            Kind::Regression => (vec![n], Column::F32(&values)),
        };
        let tensors = [
            ("input_ids".to_string(), vec![n, t], Column::I64(&ids)),
            ("attention_mask".to_string(), vec![n, t], Column::I64(&mask)),
            ("token_type_ids".to_string(), vec![n, t], Column::I64(&types)),
            ("labels".to_string(), labels.0, labels.1),
        ];
        params::write_safetensors(&self.path, tensors, &self.metadata)
    }

    /// Label names, where the metadata have them.
    pub fn label_names(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.metadata.get("labels")?).ok()
    }

    /// The GLUE task that the metadata name.
    pub fn task(&self) -> Option<Task> {
        self.metadata.get("task")?.parse().ok()
    }

    /// [`by_length`] of its examples.
    pub fn by_length(&self) -> Vec<usize> {
        by_length(&self.examples)
    }

    /// Number of tokens of the longest example.
    pub fn longest(&self) -> usize {
        self.examples.iter().map(Example::len).max().unwrap_or(0)
    }
}

/// Checked access to the file's tensors.
struct Reader<'a> {
    path: &'a Path,
    tensors: &'a SafeTensors<'a>,
}

impl Reader<'_> {
    fn wrong(&self, field: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        Error::field(self.path.display(), field, expected, found, "make the set with `fisherscape freeze`")
    }

    fn integers(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>)> {
        let view =
            self.tensors.tensor(name).map_err(|_| self.wrong(name, "an int64 tensor", "no such tensor"))?;
        if view.dtype() != Dtype::I64 {
            return Err(self.wrong(name, "int64", format!("{:?}", view.dtype())));
        }
        let values = view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
        Ok((values, view.shape().to_vec()))
    }

    fn unsigned(&self, name: &str, values: &[i64], example: usize) -> Result<Vec<u32>> {
        let each = |&v: &i64| {
            u32::try_from(v)
                .map_err(|_| self.wrong(name, "non-negative ids", format!("{v} in example {example}")))
        };
        values.iter().map(each).collect()
    }

    /// Tokens per example, from a mask of ones followed by zeros.
    fn lengths(&self, mask: &[i64], n: usize, t: usize) -> Result<Vec<usize>> {
        let length = |i: usize| {
            let row = &mask[i * t..(i + 1) * t];
            let length = row.iter().take_while(|&&v| v == 1).count();
            if length == 0 || row[length..].iter().any(|&v| v != 0) {
                let expected = "ones, at least one, followed by zeros (padding on the right)";
                return Err(self.wrong(
                    "attention_mask",
                    expected,
                    format!("another pattern in example {i}"),
                ));
            }
            Ok(length)
        };
        (0..n).map(length).collect()
    }

    fn targets(&self, n: usize, t: usize, lengths: &[usize]) -> Result<(Kind, Vec<Target>)> {
        let missing = || self.wrong("labels", "a tensor", "no such tensor");
        let view = self.tensors.tensor("labels").map_err(|_| missing())?;
        match (view.dtype(), view.shape()) {
            (Dtype::I64, shape) if shape == [n, t] => {
                let (labels, _) = self.integers("labels")?;
                let target = |i: usize| self.masked(&labels[i * t..(i + 1) * t], lengths[i], i);
                Ok((Kind::MaskedLm, (0..n).map(target).collect::<Result<_>>()?))
            }
            (Dtype::I64, shape) if shape == [n] => {
                let classes = self.integers("labels")?.0;
                let class = |(i, v): (usize, &i64)| Ok(Target::Class(self.unsigned("labels", &[*v], i)?[0]));
                Ok((Kind::Classes, classes.iter().enumerate().map(class).collect::<Result<_>>()?))
            }
            (Dtype::F32, shape) if shape == [n] => {
                let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
                let value = |(i, v): (usize, f32)| match v.is_finite() {
                    true => Ok(Target::Value(v)),
                    false => Err(self.wrong("labels", "finite values", format!("{v} in example {i}"))),
                };
                Ok((Kind::Regression, values.enumerate().map(value).collect::<Result<_>>()?))
            }
            (dtype, shape) => {
                let expected =
                    format!("int64 [{n}, {t}] (masked LM), int64 [{n}] (classes) or float32 [{n}]");
                Err(self.wrong("labels", expected, format!("{dtype:?} {shape:?}")))
            }
        }
    }

    fn masked(&self, labels: &[i64], length: usize, example: usize) -> Result<Target> {
        let mut targets = Vec::new();
        for (at, &label) in labels.iter().enumerate().filter(|(_, label)| **label != NO_TARGET) {
            if label < 0 || at >= length {
                let found = format!("{label} at position {at} of example {example} ({length} tokens)");
                return Err(self.wrong("labels", "token ids within each example, or -100", found));
            }
            targets.push((at as u32, self.unsigned("labels", &[label], example)?[0]));
        }
        Ok(Target::Masked(targets))
    }
}
