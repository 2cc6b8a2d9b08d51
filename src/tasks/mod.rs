//! What a model is asked to predict.
//!
//! To the rest of the crate every task is targets: rows that the model's head reads, the examples that they belong to,
//! and a label each ([`crate::data::Targets`]). All else that tasks differ in stands in one [`Spec`] for each [`Kind`], in a
//! file of its own (docs/definitions.md sections 1 and 8).

pub mod answers;
pub mod causal_lm;
pub mod classes;
pub mod masked_lm;
pub mod metric;
pub mod regression;
pub mod seq2seq_lm;
pub mod span;
pub mod token_classes;

pub use metric::{Measure, Metric, Names, Predictions};
use safetensors::tensor::Dtype;

/// The kinds of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MaskedLm,
    Classes,
    Regression,
    CausalLm,
    TokenClasses,
    Span,
    Seq2SeqLm,
}

/// All that tasks differ in.
pub struct Spec {
    /// Its name in the metadata of a frozen set.
    pub objective: &'static str,
    /// Its name in a message.
    pub words: &'static str,
    /// What the loss is measured in.
    pub unit: &'static str,
    pub column: Column,
    pub answer: Answer,
    /// What it is scored by where nothing else is named, the chief metric first.
    pub metrics: &'static [Metric],
    pub best: Best,
    /// Whether what the model sees is drawn with its targets, so that both can be drawn anew.
    pub masked: bool,
    /// What to do in place of an expectation over all labels, where that cannot be taken.
    pub instead_of_exact: Option<&'static str>,
}

/// The tensor `labels` of a frozen set of N examples of up to T tokens, or of up to U that a decoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// int64 `[N, T]`, -100 at a token that is no target.
    Tokens,
    /// The same; the label at a token is what the one before it is to predict, so that at the first is none.
    NextTokens,
    /// int64 `[N, U]`: what a decoder is to write, -100 behind its end.
    Written,
    /// int64 `[N]`
    Classes,
    /// float32 `[N]`
    Values,
    /// int64 `[N]` twice: `start_positions`, `end_positions`.
    Ends,
}

/// What a label is, and so what a head gives scores for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A token of the vocabulary.
    Token,
    /// A class, of those that the data have.
    Class,
    /// A number.
    Value,
    /// A span of tokens.
    Span,
}

/// Which row of a training run is the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    LowestLoss,
    HighestMetric,
}

/// What a set is scored by.
#[derive(Clone)]
pub struct Scoring {
    /// The chief metric first.
    pub metrics: &'static [Metric],
    pub names: Names,
}

impl Scoring {
    /// A kind's own metrics, of classes without names.
    pub fn of(kind: Kind) -> Scoring {
        Scoring { metrics: kind.spec().metrics, names: Names::default() }
    }
}

impl Kind {
    /// In the order in which a set that does not name its objective is tried.
    pub const ALL: [Kind; 7] = [
        Kind::MaskedLm,
        Kind::Classes,
        Kind::Regression,
        Kind::CausalLm,
        Kind::TokenClasses,
        Kind::Span,
        Kind::Seq2SeqLm,
    ];

    pub fn spec(self) -> &'static Spec {
        match self {
            Kind::MaskedLm => &masked_lm::SPEC,
            Kind::Classes => &classes::SPEC,
            Kind::Regression => &regression::SPEC,
            Kind::CausalLm => &causal_lm::SPEC,
            Kind::TokenClasses => &token_classes::SPEC,
            Kind::Span => &span::SPEC,
            Kind::Seq2SeqLm => &seq2seq_lm::SPEC,
        }
    }
}

impl Column {
    pub fn dtype(self) -> Dtype {
        match self {
            Column::Tokens | Column::NextTokens | Column::Written | Column::Classes | Column::Ends => {
                Dtype::I64
            }
            Column::Values => Dtype::F32,
        }
    }

    /// `t` is the number of tokens to an example, those of a decoder where it writes.
    pub fn shape(self, n: usize, t: usize) -> Vec<usize> {
        match self {
            Column::Tokens | Column::NextTokens | Column::Written => vec![n, t],
            Column::Classes | Column::Values | Column::Ends => vec![n],
        }
    }

    /// Where the label of example `n` that the token at `row` predicts stands among `t` to an example.
    pub fn index(self, n: usize, row: usize, t: usize) -> usize {
        match self {
            Column::Tokens | Column::Written => n * t + row,
            Column::NextTokens => n * t + row + 1,
            Column::Classes | Column::Values | Column::Ends => n,
        }
    }

    /// The tensors of a set that hold it.
    pub fn names(self) -> &'static [&'static str] {
        if self == Column::Ends { &["start_positions", "end_positions"] } else { &["labels"] }
    }

    /// Type and shape, for messages.
    pub fn words(self, n: usize, t: usize) -> String {
        let dtype = if self.dtype() == Dtype::I64 { "int64" } else { "float32" };
        if self == Column::Written {
            return format!("{dtype} [{n}, U]");
        }
        format!("{dtype} {:?}", self.shape(n, t))
    }
}
