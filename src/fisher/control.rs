//! Controls of Fisher information: what it would say if the model had learned nothing, or the labels meant nothing.
//!
//! A schedule that such a control gives as well is no work of what the model knows (docs/definitions.md section 3).

use serde::{Deserialize, Serialize};

use crate::data::{Example, Labels};
use crate::rng::Stream;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// All parameters, the head's too, are drawn anew from the seed: only the architecture stays.
    Untrained,
    /// All labels are exchanged with each other at random, by the seed: model and texts without their meaning.
    RandomLabel,
}

/// Exchanges the labels of all targets with each other, at random: how often each label occurs stays.
pub fn exchange_labels(examples: &mut [Example], seed: u64) {
    let targets = examples.iter().map(Example::targets).sum();
    let order = Stream::new(seed, "fisher/random-label").permutation(targets);
    let classes: Vec<u32> = examples.iter().flat_map(|e| e.target.labels.classes()).copied().collect();
    let values: Vec<f32> = examples.iter().flat_map(|e| e.target.labels.values()).copied().collect();
    let spans: Vec<[u32; 2]> = examples.iter().flat_map(|e| e.target.labels.spans()).copied().collect();
    let mut order = order.into_iter();
    for example in examples {
        match &mut example.target.labels {
            Labels::Classes(own) => {
                own.iter_mut().zip(order.by_ref()).for_each(|(own, i)| *own = classes[i]);
            }
            Labels::Values(own) => own.iter_mut().zip(order.by_ref()).for_each(|(own, i)| *own = values[i]),
            // Another example may be shorter.
            Labels::Ends(own) => own.iter_mut().zip(order.by_ref()).for_each(|(own, i)| {
                let place = |end: u32| end.min(example.ids.len() as u32 - 1);
                *own = spans[i].map(place);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Target;

    fn examples(targets: impl IntoIterator<Item = Target>) -> Vec<Example> {
        let example =
            |target| Example { ids: vec![1, 2, 3], types: vec![0; 3], target, group: None, window: None };
        targets.into_iter().map(example).collect()
    }

    /// Property: labels and their number stay, their places do not, and another seed gives other places. Catches labels that
    /// are exchanged within their own example alone, a label that is lost, and one that is drawn twice.
    #[test]
    fn labels_are_exchanged_among_all_targets() {
        let labels = |examples: &[Example]| -> Vec<f64> {
            examples.iter().flat_map(|e| e.target.labels.numbers()).collect()
        };
        let sorted = |mut labels: Vec<f64>| {
            labels.sort_by(f64::total_cmp);
            labels
        };
        let words = (0..40).map(|i| Target::at([(0, 2 * i), (2, 2 * i + 1)]));
        let values = (0..40).map(|i| Target::value(i as f32));
        for before in [examples(words), examples(values)] {
            let exchanged = |seed| {
                let mut own = before.clone();
                exchange_labels(&mut own, seed);
                own
            };
            let after = exchanged(0);
            assert_eq!(sorted(labels(&after)), sorted(labels(&before)));
            let stayed = labels(&after).iter().zip(labels(&before)).filter(|(a, b)| **a == *b).count();
            assert!(stayed < 8, "{stayed}"); // one is expected
            assert_ne!(labels(&after), labels(&exchanged(1)));
            assert!(after.iter().zip(&before).all(|(a, b)| a.target.rows == b.target.rows));
        }
    }
}
