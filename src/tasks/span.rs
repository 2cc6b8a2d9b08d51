//! Spans of a text, such as answers to questions: where one begins and where it ends (Devlin et al. 2019, section 4.2).
//!
//! Each token has a score as the first and one as the last; a softmax over the example's own tokens gives the chance of each. The
//! loss of an example is half the sum of both ends' nats. What the model says is the pair of ends with the highest sum, the
//! last not before the first, at most 30 tokens.

use super::{Answer, Best, Column, Measure, Metric, Predictions, Spec};
use crate::tasks::classes::right;

/// Share of the examples whose span is found exactly.
pub const EXACT: Metric = Metric { name: "exact_span", measure: Measure::Ratio(right) };
/// F1 of the tokens of the spans, a mean over the examples.
pub const SPAN_F1: Metric = Metric { name: "span_f1", measure: Measure::Ratio(overlaps) };

pub const SPEC: Spec = Spec {
    objective: "span",
    words: "spans of a text",
    unit: "nats",
    column: Column::Ends,
    answer: Answer::Span,
    metrics: &[SPAN_F1, EXACT],
    best: Best::HighestMetric,
    masked: false,
    instead_of_exact: Some("a text has too many spans to sum over; `mc` samples the same expectation"),
};

/// A span as one number, exact for any position in a text.
pub fn code([first, last]: [u32; 2]) -> f64 {
    f64::from(first) + SPAN * f64::from(last)
}

/// First and last token of [`code`].
pub fn ends(code: f64) -> [u32; 2] {
    [(code % SPAN) as u32, (code / SPAN) as u32]
}

/// More than any position.
const SPAN: f64 = 4_294_967_296.0;

/// Tokens of the longest span that is predicted.
const LONGEST: usize = 30;

/// F1 of each example's span, which is one example.
fn overlaps(predictions: &Predictions) -> Vec<(f64, f64)> {
    let f1 = |(said, truth): (&f64, &f64)| {
        let ([a, b], [c, d]) = (ends(*said), ends(*truth));
        let shared = (b.min(d) + 1).saturating_sub(a.max(c));
        (2.0 * f64::from(shared) / f64::from(b + 1 - a + d + 1 - c), 1.0)
    };
    predictions.predicted.iter().zip(&predictions.truth).map(f1).collect()
}

/// The pair of ends with the highest sum of scores, the earlier one where two are equal: `scores` are those of first and last
/// for each token of an example, or of a part of it. With the sum; without a token none is highest.
pub fn best(scores: &[[f32; 2]]) -> ([u32; 2], f64) {
    let mut best = (f64::NEG_INFINITY, [0, 0]);
    for (first, [start, _]) in scores.iter().enumerate() {
        for (last, [_, end]) in scores.iter().enumerate().skip(first).take(LONGEST) {
            let sum = f64::from(*start) + f64::from(*end);
            if sum > best.0 {
                best = (sum, [first as u32, last as u32]);
            }
        }
    }
    (best.1, best.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Names;

    /// Oracle: on paper. A last token before the first is none, nor is one 30 tokens behind it; of equal sums the earlier counts.
    #[test]
    fn the_best_span_ends_where_it_may() {
        let mut scores = vec![[0.0, 0.0]; 40];
        (scores[5][0], scores[3][1], scores[34][1], scores[35][1]) = (2.0, 9.0, 1.0, 5.0);
        assert_eq!(best(&scores), ([0, 3], 9.0)); // 9, without the start that stands behind it
        scores[3][1] = 0.0;
        assert_eq!(best(&scores), ([6, 35], 5.0)); // 5: from 5 it would be 31 tokens
        scores[35][1] = 0.5;
        assert_eq!(best(&scores), ([5, 34], 3.0));
        assert_eq!(best(&[[1.0, 1.0], [1.0, 1.0]]), ([0, 0], 2.0));
    }

    /// Oracle: on paper. Two shared tokens of three and four; none; the same span.
    #[test]
    fn overlap_is_f1_of_tokens() {
        let codes = |spans: [[u32; 2]; 3]| spans.map(code).to_vec();
        let predictions = Predictions {
            predicted: codes([[2, 4], [0, 0], [7, 9]]),
            truth: codes([[3, 6], [5, 9], [7, 9]]),
            lengths: vec![1; 3],
            names: Names::default(),
        };
        assert!((SPAN_F1.value(&predictions) - (4.0 / 7.0 + 1.0) / 3.0).abs() < 1e-12);
        assert!((EXACT.value(&predictions) - 1.0 / 3.0).abs() < 1e-12);
    }
}
