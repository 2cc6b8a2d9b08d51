//! Frozen evaluation sets: the same examples and the same masked tokens at every point of a surface.
//!
//! On disk (safetensors): `input_ids`, `attention_mask` and, unless all are 0, `token_type_ids` int64 `[N, T]`, right-padded; `labels`
//! as the task has it ([`Column`]); `groups` int64 `[N]`, where examples are parts of articles or windows
//! of questions; then, where the texts are known, `offsets` int64 `[N, T, 2]`, -1 outside of the text. Metadata: `objective`, the task; source, seed, hash of the tokenizer's vocabulary,
//! label names, GLUE task. The labels of a set without an objective, as older ones are, tell its task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors};

use super::glue::Task;
use super::questions::{Question, Stored, Window};
use super::{Example, Labels, Target, by_length};
use crate::error::{Error, Result};
use crate::files;
use crate::params;
use crate::tasks::{Column, Kind, Names, Scoring, answers};

/// The label that marks "no target here" in a masked-LM set.
pub const NO_TARGET: i64 = -100;

/// The metadata of questions' texts.
const QUESTIONS: &str = "questions";

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
        let (types, type_shape) = match tensors.tensor("token_type_ids") {
            Ok(_) => reader.integers("token_type_ids")?,
            Err(_) => (vec![0; ids.len()], shape.clone()),
        };
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
        let mut metadata: BTreeMap<String, String> =
            header.metadata().clone().unwrap_or_default().into_iter().collect();
        if let Some(names) = metadata.get("labels")
            && serde_json::from_str::<Vec<String>>(names).is_err()
        {
            return Err(reader.wrong("labels", "a JSON list of class names in the metadata", names));
        }
        let kind = reader.kind(metadata.get("objective"), n, t)?;
        let targets = reader.targets(kind.spec().column, &lengths, t)?;
        let groups = reader.groups(n)?;
        let mut examples = Vec::with_capacity(n);
        for (i, target) in targets.into_iter().enumerate() {
            let row = i * t..i * t + lengths[i];
            examples.push(Example {
                ids: reader.unsigned("input_ids", &ids[row.clone()], i)?,
                types: reader.unsigned("token_type_ids", &types[row], i)?,
                target,
                group: groups.get(i).copied(),
                window: None,
            });
        }
        if let (Kind::Span, Some(questions)) = (kind, metadata.remove(QUESTIONS)) {
            reader.windows(&mut examples, &questions, t)?;
        }
        if examples.iter().all(|e| e.targets() == 0) {
            return Err(reader.wrong("labels", "at least one target", "none"));
        }
        Ok(FrozenSet { path: path.to_path_buf(), hash: files::hash(&bytes), kind, examples, metadata })
    }

    /// Writes the set, padded on the right to its longest example with `pad` (the tokenizer's `[PAD]`).
    pub fn write(&self, pad: u32) -> Result<()> {
        let n = self.examples.len();
        let t = self.examples.iter().map(Example::len).max().unwrap_or(0);
        let mut ids = vec![i64::from(pad); n * t];
        let (mut mask, mut types) = (vec![0i64; n * t], vec![0i64; n * t]);
        let column = self.kind.spec().column;
        let u = match column {
            Column::Written => self.examples.iter().map(Example::targets).max().unwrap_or(0),
            _ => t,
        };
        let shape = column.shape(n, u);
        let (mut integers, mut values) = (vec![NO_TARGET; shape.iter().product()], Vec::new());
        for (i, example) in self.examples.iter().enumerate() {
            for j in 0..example.len() {
                ids[i * t + j] = i64::from(example.ids[j]);
                mask[i * t + j] = 1;
                types[i * t + j] = i64::from(example.types[j]);
            }
            if let Labels::Values(own) = &example.target.labels {
                values.extend(own);
            }
            for (at, label) in example.target.pairs() {
                integers[column.index(i, at as usize, u)] = i64::from(label);
            }
        }
        let ends = |k: usize| -> Vec<i64> {
            self.examples
                .iter()
                .flat_map(|e| e.target.labels.spans())
                .map(|ends| i64::from(ends[k]))
                .collect()
        };
        let (firsts, lasts) = (ends(0), ends(1));
        let labels = match column {
            Column::Tokens | Column::NextTokens | Column::Written | Column::Classes => {
                vec![params::Column::I64(&integers)]
            }
            Column::Values => vec![params::Column::F32(&values)],
            Column::Ends => vec![params::Column::I64(&firsts), params::Column::I64(&lasts)],
        };
        let labels =
            column.names().iter().zip(labels).map(|(name, own)| (name.to_string(), shape.clone(), own));
        let mut metadata = self.metadata.clone();
        metadata.insert("objective".into(), self.kind.spec().objective.into());
        let offsets = self.offsets(t);
        let offsets =
            offsets.as_ref().map(|own| ("offsets".to_string(), vec![n, t, 2], params::Column::I64(own)));
        if let Some(stored) = Stored::of(&self.examples) {
            metadata.insert(QUESTIONS.into(), serde_json::json!(stored).to_string());
        }
        let groups: Option<Vec<i64>> = self.examples.iter().map(|e| e.group.map(i64::from)).collect();
        let groups = groups.as_ref().map(|own| ("groups".to_string(), vec![n], params::Column::I64(own)));
        let tensors = [
            ("input_ids".to_string(), vec![n, t], params::Column::I64(&ids)),
            ("attention_mask".to_string(), vec![n, t], params::Column::I64(&mask)),
            ("token_type_ids".to_string(), vec![n, t], params::Column::I64(&types)),
        ];
        params::write_safetensors(
            &self.path,
            tensors.into_iter().chain(labels).chain(groups).chain(offsets),
            &metadata,
        )
    }

    /// Where the tokens of windows lie in their texts; `None` of other sets.
    fn offsets(&self, t: usize) -> Option<Vec<i64>> {
        self.examples.first()?.window.as_ref()?;
        let mut all = vec![-1; self.examples.len() * t * 2];
        for (row, example) in all.chunks_mut(2 * t).zip(&self.examples) {
            let window = example.window.as_ref()?;
            let places = window.places.iter().flatten().map(|place| i64::from(*place));
            row[2 * window.tokens.start..].iter_mut().zip(places).for_each(|(own, place)| *own = place);
        }
        Some(all)
    }

    /// Label names, where the metadata have them.
    pub fn label_names(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.metadata.get("labels")?).ok()
    }

    /// The GLUE task that the metadata name.
    fn task(&self) -> Option<Task> {
        self.metadata.get("task")?.parse().ok()
    }

    /// What it is scored by: answers where their texts are known; a GLUE task's own metrics, unless its name came with labels of
    /// another kind.
    pub fn scoring(&self) -> Scoring {
        if self.examples.first().is_some_and(|example| example.window.is_some()) {
            return Scoring { metrics: answers::METRICS, names: Names::default() };
        }
        let task = self.task().filter(|task| task.kind() == self.kind);
        let metrics = task.map_or(self.kind.spec().metrics, Task::metrics);
        Scoring { metrics, names: self.label_names().unwrap_or_default().into() }
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

    /// The group of each example; none in a set without groups.
    fn groups(&self, n: usize) -> Result<Vec<u32>> {
        if self.tensors.tensor("groups").is_err() {
            return Ok(Vec::new());
        }
        let (groups, shape) = self.integers("groups")?;
        if shape != [n] {
            return Err(self.wrong("groups", format!("of shape [{n}]"), format!("{shape:?}")));
        }
        self.unsigned("groups", &groups, 0)
    }

    /// Gives windows their questions, which stand in the metadata in the order of the groups.
    fn windows(&self, examples: &mut [Example], questions: &str, t: usize) -> Result<()> {
        let stored: Stored = serde_json::from_str(questions)
            .map_err(|e| self.wrong("questions", "unanswerable, contexts and questions in JSON", e))?;
        let questions =
            stored.questions(|what| self.wrong("questions", "about one of the contexts", what))?;
        let (offsets, shape) = self.integers("offsets")?;
        if shape != [examples.len(), t, 2] {
            return Err(self.wrong(
                "offsets",
                format!("of shape [{}, {t}, 2]", examples.len()),
                format!("{shape:?}"),
            ));
        }
        let asked: Vec<usize> = examples.chunk_by(|a, b| a.group == b.group).map(<[Example]>::len).collect();
        if asked.len() != questions.len() {
            let expected = format!("one for each of the {} groups of neighbours", asked.len());
            return Err(self.wrong("questions", expected, questions.len()));
        }
        let each = questions
            .iter()
            .zip(asked)
            .flat_map(|(question, windows)| std::iter::repeat_n(question, windows));
        for (i, (example, question)) in examples.iter_mut().zip(each).enumerate() {
            let own = &offsets[2 * i * t..][..2 * example.len()];
            example.window = Some(self.window(question, own, i)?);
        }
        Ok(())
    }

    fn window(&self, question: &Arc<Question>, offsets: &[i64], example: usize) -> Result<Window> {
        let length = question.context.chars().count() as i64;
        let place = |own: &[i64; 2]| match *own {
            [-1, -1] => Ok(None),
            [start, end] if 0 <= start && start <= end && end <= length => {
                Ok(Some([start as u32, end as u32]))
            }
            _ => {
                let expected = format!("places in a text of {length} characters, or -1");
                Err(self.wrong("offsets", expected, format!("{own:?} in example {example}")))
            }
        };
        let places = offsets.as_chunks::<2>().0.iter().map(place).collect::<Result<Vec<_>>>()?;
        let parted = || {
            self.wrong(
                "offsets",
                "one stretch of text in an example",
                format!("several in example {example}"),
            )
        };
        Window::new(question.clone(), &places).ok_or_else(parted)
    }

    /// The task that the metadata name; of a set without an objective, the first that has such labels.
    fn kind(&self, objective: Option<&String>, n: usize, t: usize) -> Result<Kind> {
        let spans = Kind::Span.spec().objective;
        let absent = Column::Ends.names().iter().find(|name| self.tensors.tensor(name).is_err());
        match (absent, objective) {
            (None, objective) if objective.is_none_or(|name| name == spans) => return Ok(Kind::Span),
            (Some(name), Some(objective)) if objective == spans => {
                let expected = format!("an int64 tensor, as the objective {spans} has");
                return Err(self.wrong(name, expected, "no such tensor"));
            }
            _ => {}
        }
        let missing = || self.wrong("labels", "a tensor", "no such tensor");
        let view = self.tensors.tensor("labels").map_err(|_| missing())?;
        let named = |kind: &Kind| objective.is_none_or(|name| name == kind.spec().objective);
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(named).collect();
        if let (Some(name), true) = (objective, kinds.is_empty()) {
            let names = Kind::ALL.map(|kind| kind.spec().objective).join(", ");
            return Err(self.wrong("objective", format!("one of {names}"), name));
        }
        let fits = |kind: &&Kind| {
            let column = kind.spec().column;
            // As long as it is, where the file says that a decoder writes it.
            let t = match (column, objective, view.shape()) {
                (Column::Written, Some(_), [_, u]) => *u,
                _ => t,
            };
            (column.dtype(), column.shape(n, t)) == (view.dtype(), view.shape().to_vec())
        };
        kinds.iter().find(fits).copied().ok_or_else(|| {
            let words =
                |kind: &Kind| format!("{} for {}", kind.spec().column.words(n, t), kind.spec().objective);
            let expected = kinds.iter().map(words).collect::<Vec<_>>().join(", ");
            let says = objective.map_or(String::new(), |name| format!(" under the objective {name}"));
            self.wrong("labels", expected, format!("{:?} {:?}{says}", view.dtype(), view.shape()))
        })
    }

    fn targets(&self, column: Column, lengths: &[usize], t: usize) -> Result<Vec<Target>> {
        if column == Column::Values {
            let values = self.tensors.tensor("labels").map_err(|e| params::broken(self.path, e))?;
            let values = values.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            let value = |(i, v): (usize, f32)| match v.is_finite() {
                true => Ok(Target::value(v)),
                false => Err(self.wrong("labels", "finite values", format!("{v} in example {i}"))),
            };
            return values.enumerate().map(value).collect();
        }
        if column == Column::Ends {
            return self.spans(lengths);
        }
        let (labels, shape) = self.integers("labels")?;
        if let (Column::Written, [_, u]) = (column, shape.as_slice()) {
            return (0..lengths.len()).map(|i| self.written(&labels[i * u..(i + 1) * u], i)).collect();
        }
        let target = |(i, length): (usize, &usize)| match column {
            Column::Tokens => self.tokens(&labels[i * t..(i + 1) * t], *length, i),
            Column::NextTokens => Ok(self.tokens(&labels[i * t..(i + 1) * t], *length, i)?.before()),
            _ => Ok(Target::class(self.unsigned("labels", &labels[i..=i], i)?[0])),
        };
        lengths.iter().enumerate().map(target).collect()
    }

    fn spans(&self, lengths: &[usize]) -> Result<Vec<Target>> {
        let mut ends = Vec::new();
        for name in Column::Ends.names() {
            let (own, shape) = self.integers(name)?;
            if shape != [lengths.len()] {
                return Err(self.wrong(name, format!("of shape [{}]", lengths.len()), format!("{shape:?}")));
            }
            ends.push(self.unsigned(name, &own, 0)?);
        }
        let span = |(i, length): (usize, &usize)| {
            let own = [ends[0][i], ends[1][i]];
            match own[0] <= own[1] && (own[1] as usize) < *length {
                true => Ok(Target::span(own)),
                false => {
                    let expected = format!("in order, within the {length} tokens of example {i}");
                    Err(self.wrong("start_positions", expected, format!("{} to {}", own[0], own[1])))
                }
            }
        };
        lengths.iter().enumerate().map(span).collect()
    }

    /// What a decoder is to write: tokens, then -100.
    fn written(&self, labels: &[i64], example: usize) -> Result<Target> {
        let length = labels.iter().take_while(|label| **label != NO_TARGET).count();
        let (own, rest) = labels.split_at(length);
        if let Some(gap) = rest.iter().position(|label| *label != NO_TARGET) {
            let found = format!("{} behind a -100 in example {example}", rest[gap]);
            return Err(self.wrong("labels", "token ids, then -100 to the end", found));
        }
        Ok(Target::written(self.unsigned("labels", own, example)?))
    }

    fn tokens(&self, labels: &[i64], length: usize, example: usize) -> Result<Target> {
        let mut targets = Vec::new();
        for (at, &label) in labels.iter().enumerate().filter(|(_, label)| **label != NO_TARGET) {
            if label < 0 || at >= length {
                let found = format!("{label} at position {at} of example {example} ({length} tokens)");
                return Err(self.wrong("labels", "token ids within each example, or -100", found));
            }
            targets.push((at as u32, self.unsigned("labels", &[label], example)?[0]));
        }
        Ok(Target::at(targets))
    }
}
