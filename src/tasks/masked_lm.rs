//! Masked language modelling (Devlin et al. 2019): the tokens that [`crate::data::masking`] drew, from what it left of the text.

use super::classes::right;
use super::{Answer, Best, Column, Measure, Metric, Spec};

/// Share of the masked tokens that the model finds.
pub const MASKED_TOKEN_ACCURACY: Metric =
    Metric { name: "masked_token_accuracy", measure: Measure::Ratio(right) };

pub const SPEC: Spec = Spec {
    objective: "masked-lm",
    words: "masked language modelling",
    unit: "nats",
    column: Column::Tokens,
    answer: Answer::Token,
    metrics: &[MASKED_TOKEN_ACCURACY],
    best: Best::LowestLoss,
    masked: true,
    instead_of_exact: Some(
        "a vocabulary has too many classes to sum over; `mc` samples the same expectation",
    ),
};
