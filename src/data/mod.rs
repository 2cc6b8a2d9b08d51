//! Examples, and batches of them without padding.
//!
//! [`frozen`] sets are what every number of this crate is computed on; [`tokenizer`] makes examples out of the rows
//! that [`text`], [`table`] and [`glue`] read, and [`vocabulary`] trains one. [`hub`](crate::hub) finds or fetches what is given by a
//! name on the Hugging Face hub.

pub mod delimited;
pub mod frozen;
pub mod glue;
pub mod masking;
mod parquet;
pub mod row;
pub mod table;
pub mod text;
pub mod tokenizer;
pub mod vocabulary;

/// One tokenized example.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids, special tokens included: `[T]`.
    pub ids: Vec<u32>,
    /// Segment of each token, 0 or 1: `[T]`.
    pub types: Vec<u32>,
    pub target: Target,
}

/// What an example is to predict.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Masked language modelling: (position, original token) of each target, by position. May be empty.
    Masked(Vec<(u32, u32)>),
    /// Classification.
    Class(u32),
    /// Regression.
    Value(f32),
}

impl Example {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True for an example without a token, which no reader makes.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// `m_n`, the number of targets: masked tokens, or 1.
    pub fn targets(&self) -> usize {
        match &self.target {
            Target::Masked(targets) => targets.len(),
            Target::Class(_) | Target::Value(_) => 1,
        }
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
    /// Index of the first example in the batch that this one was cut out of. Dropout draws by that index, so
    /// cutting a batch differently changes no draw.
    pub first: usize,
}

/// The targets of a batch: masked tokens, or for an example with one label its first token.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Rows of the packed batch that the head reads, one for each target: `[M]`.
    pub rows: Vec<u32>,
    /// The example that each target belongs to, ascending: `[M]`.
    pub owners: Vec<usize>,
    pub labels: Labels,
}

/// What is right at each target: `[M]`.
#[derive(Clone, Debug)]
pub enum Labels {
    /// Tokens, or classes.
    Classes(Vec<u32>),
    /// Of a regression.
    Values(Vec<f32>),
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
            targets: Targets {
                rows: Vec::new(),
                owners: Vec::new(),
                labels: match examples.first().map(|e| &e.target) {
                    Some(Target::Value(_)) => Labels::Values(Vec::new()),
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
            let targets = &mut batch.targets;
            match (&mut targets.labels, &example.target) {
                (Labels::Classes(labels), Target::Masked(masked)) => {
                    targets.rows.extend(masked.iter().map(|(position, _)| start + position));
                    labels.extend(masked.iter().map(|(_, label)| label));
                }
                (Labels::Classes(labels), Target::Class(class)) => {
                    targets.rows.push(start);
                    labels.push(*class);
                }
                (Labels::Values(labels), Target::Value(value)) => {
                    targets.rows.push(start);
                    labels.push(*value);
                }
                _ => {}
            }
            targets.owners.resize(targets.rows.len(), b);
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

/// Indices of the examples that have a target, shortest first: batches of neighbours are of similar length.
pub fn by_length(examples: &[Example]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples.len()).filter(|&n| examples[n].targets() > 0).collect();
    order.sort_by_key(|&n| examples[n].len());
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
        let length = examples[i].len();
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
