//! Examples, and batches of them without padding.
//!
//! What an example is to predict is described alike for every task, as [`Targets`]. [`frozen`] sets are what every number
//! of this crate is computed on; [`tokenizer`] makes examples out of the rows that [`text`], [`table`] and [`glue`] read,
//! and [`vocabulary`] trains one. [`hub`](crate::hub) finds or fetches what is given by a name on the Hugging Face hub.

pub mod columns;
pub mod conll;
pub mod corruption;
mod delimited;
mod form;
pub mod frozen;
pub mod glue;
mod json;
pub mod labels;
pub mod masking;
mod pages;
mod parquet;
pub mod questions;
mod records;
pub mod row;
pub mod squad;
pub mod table;
pub mod text;
pub mod tokenizer;
pub mod vocabulary;

use crate::stats::clusters::Clusters;
use crate::tasks::span;
use questions::Window;

/// One tokenized example.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids, special tokens included: `[T]`.
    pub ids: Vec<u32>,
    /// Segment of each token, 0 or 1: `[T]`.
    pub types: Vec<u32>,
    pub target: Target,
    /// What it is a part of, such as an article: examples of one group are alike, and count as one draw.
    pub group: Option<u32>,
    /// The part of a text that it is about, of questions whose texts are known.
    pub window: Option<Window>,
}

/// What an example is to predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Tokens that the head reads, ascending, one for each label. May be empty.
    pub rows: Vec<u32>,
    pub labels: Labels,
    /// Whether they are not the example's, but those of a decoder, which reads each label behind the one that it predicts.
    pub decoded: bool,
}

/// What is right at each target.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Tokens, or classes.
    Classes(Vec<u32>),
    /// Of a regression.
    Values(Vec<f32>),
    /// First and last token of a span in each example, by position.
    Ends(Vec<[u32; 2]>),
}

impl Target {
    /// Nothing to predict, yet.
    pub fn none() -> Target {
        Target::at([])
    }

    /// Labels at some tokens, by position.
    pub fn at(labels: impl IntoIterator<Item = (u32, u32)>) -> Target {
        let (rows, labels) = labels.into_iter().unzip();
        Target { rows, labels: Labels::Classes(labels), decoded: false }
    }

    /// A text that a decoder is to write, its end token last.
    pub fn written(tokens: Vec<u32>) -> Target {
        Target { decoded: true, ..Target::at((0..).zip(tokens)) }
    }

    /// One class for the example, read at its first token, unless the head reads another.
    pub fn class(class: u32) -> Target {
        Target::at([(0, class)])
    }

    /// One number for the example, read at its first token, unless the head reads another.
    pub fn value(value: f32) -> Target {
        Target { rows: vec![0], labels: Labels::Values(vec![value]), decoded: false }
    }

    /// A span of the example, of which the head reads every token.
    pub fn span(ends: [u32; 2]) -> Target {
        Target { rows: vec![0], labels: Labels::Ends(vec![ends]), decoded: false }
    }

    /// The labels, each read one token earlier; the first token's is left out.
    pub fn before(self) -> Target {
        Target::at(self.pairs().filter_map(|(at, label)| Some((at.checked_sub(1)?, label))))
    }

    /// Positions and their labels; none of a regression.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.rows.iter().copied().zip(self.labels.classes().iter().copied())
    }
}

impl Labels {
    /// Tokens or classes; none of a regression.
    pub fn classes(&self) -> &[u32] {
        match self {
            Labels::Classes(classes) => classes,
            _ => &[],
        }
    }

    /// Of spans; none of all else.
    pub fn spans(&self) -> &[[u32; 2]] {
        match self {
            Labels::Ends(spans) => spans,
            _ => &[],
        }
    }

    /// Of a regression; none of tokens and classes.
    pub fn values(&self) -> &[f32] {
        match self {
            Labels::Values(values) => values,
            _ => &[],
        }
    }

    /// As numbers.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Labels::Classes(classes) => classes.iter().map(|class| f64::from(*class)).collect(),
            Labels::Values(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Labels::Ends(spans) => spans.iter().map(|ends| span::code(*ends)).collect(),
        }
    }
}

impl Example {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Number of tokens that a model reads of it, those of a decoder included.
    pub fn size(&self) -> usize {
        self.len() + if self.target.decoded { self.targets() } else { 0 }
    }

    /// True for an example without a token, which no reader makes.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Makes each token but the first a target, of the one before it.
    pub fn ask_for_next_tokens(&mut self) {
        self.target = Target::at((0..).zip(self.ids.iter().skip(1).copied()));
    }

    /// `m_n`, the number of targets.
    pub fn targets(&self) -> usize {
        self.target.rows.len()
    }
}

/// Examples laid end to end: the tokens of example b are `offsets[b]..offsets[b + 1]`. No padding.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Token ids `[total]`.
    pub ids: Vec<u32>,
    /// Segments `[total]`.
    pub types: Vec<u32>,
    /// Position of each token within its example `[total]`.
    pub positions: Vec<u32>,
    /// Where each example begins, and where the last one ends: `[B + 1]`.
    pub offsets: Vec<usize>,
    pub targets: Targets,
    /// What a decoder has written in front of each target, where examples are for one: `[M]`, none at an example's first.
    pub written: Option<Vec<Option<u32>>>,
    /// Index of the first example in the batch that this one was cut out of. Dropout draws by that index, so
    /// cutting a batch differently changes no draw.
    pub first: usize,
}

/// The targets of a batch.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Rows of the packed batch that the head reads, one for each target: `[M]`. A network puts a decoder's tokens into the batch.
    pub rows: Vec<u32>,
    /// The example that each target belongs to, ascending: `[M]`.
    pub owners: Vec<usize>,
    /// `[M]`
    pub labels: Labels,
}

impl Batch {
    /// Packs examples that all have the same kind of target (a frozen set guarantees it; others are dropped).
    pub fn new(examples: &[&Example], first: usize) -> Batch {
        let total = examples.iter().map(|e| e.len()).sum();
        let mut batch = Batch {
            ids: Vec::with_capacity(total),
            types: Vec::with_capacity(total),
            positions: Vec::with_capacity(total),
            offsets: vec![0],
            written: examples.iter().any(|e| e.target.decoded).then(Vec::new),
            targets: Targets {
                rows: Vec::new(),
                owners: Vec::new(),
                labels: match examples.first().map(|e| &e.target.labels) {
                    Some(Labels::Values(_)) => Labels::Values(Vec::new()),
                    Some(Labels::Ends(_)) => Labels::Ends(Vec::new()),
                    _ => Labels::Classes(Vec::new()),
                },
            },
            first,
        };
        for (b, example) in examples.iter().enumerate() {
            let start = batch.ids.len() as u32;
            batch.ids.extend(&example.ids);
            batch.types.extend(&example.types);
            batch.positions.extend(0..example.len() as u32);
            batch.offsets.push(batch.ids.len());
            match (&mut batch.targets.labels, &example.target.labels) {
                (Labels::Classes(all), Labels::Classes(own)) => all.extend(own),
                (Labels::Values(all), Labels::Values(own)) => all.extend(own),
                (Labels::Ends(all), Labels::Ends(own)) => all.extend(own),
                _ => continue,
            }
            let tokens = example.target.labels.classes();
            if let (Some(written), Some(last)) = (&mut batch.written, tokens.len().checked_sub(1)) {
                written.extend(std::iter::once(None).chain(tokens[..last].iter().copied().map(Some)));
            }
            batch.targets.rows.extend(example.target.rows.iter().map(|row| start + row));
            batch.targets.owners.resize(batch.targets.rows.len(), b);
        }
        batch
    }

    /// Number of examples, B.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// True without an example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which of these examples are one draw: lines of an article, or windows of a question, which are parts of one example.
pub fn clusters<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Clusters {
    let of = |example: &Example| (example.group, matches!(example.target.labels, Labels::Ends(_)));
    let (groups, windows): (Vec<_>, Vec<bool>) = examples.into_iter().map(of).unzip();
    Clusters::new(&groups, windows.into_iter().all(|window| window))
}

/// Indices of the examples that have a target, shortest first: batches of neighbours are of similar length.
pub fn by_length(examples: &[Example]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples.len()).filter(|&n| examples[n].targets() > 0).collect();
    order.sort_by_key(|&n| examples[n].size());
    order
}

/// Cuts `indices` (into `examples`) into parts of at most `examples_each` examples and, unless one example alone is
/// longer, `tokens_each` tokens.
pub fn parts(
    examples: &[Example],
    indices: &[usize],
    examples_each: usize,
    tokens_each: usize,
) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for &i in indices {
        let length = examples[i].size();
        match parts.last_mut() {
            Some(part) if part.len() < examples_each && tokens + length <= tokens_each => {
                part.push(i);
                tokens += length;
            }
            _ => {
                parts.push(vec![i]);
                tokens = length;
            }
        }
    }
    parts
}
