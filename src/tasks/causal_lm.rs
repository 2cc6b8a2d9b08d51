//! Causal language modelling (Radford et al. 2019): each token of a text but the first, from those before it.

use super::classes::right;
use super::{Answer, Best, Column, Measure, Metric, Spec};

/// Share of the tokens that the model finds.
pub const TOKEN_ACCURACY: Metric = Metric { name: "token_accuracy", measure: Measure::Ratio(right) };

pub const SPEC: Spec = Spec {
    objective: "causal-lm",
    words: "causal language modelling",
    unit: "nats",
    column: Column::NextTokens,
    answer: Answer::Token,
    metrics: &[TOKEN_ACCURACY],
    best: Best::LowestLoss,
    masked: false,
    instead_of_exact: Some(
        "a vocabulary has too many classes to sum over; `mc` samples the same expectation",
    ),
};
