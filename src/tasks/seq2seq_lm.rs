//! Text to text (Raffel et al. 2020): each token that a decoder is to write, its end token too, from what the encoder read and
//! the tokens before it.

use super::causal_lm::TOKEN_ACCURACY;
use super::{Answer, Best, Column, Spec};

pub const SPEC: Spec = Spec {
    objective: "seq2seq-lm",
    words: "text to text",
    unit: "nats",
    column: Column::Written,
    answer: Answer::Token,
    metrics: &[TOKEN_ACCURACY],
    best: Best::LowestLoss,
    masked: false,
    instead_of_exact: Some(
        "a vocabulary has too many classes to sum over; `mc` samples the same expectation",
    ),
};
