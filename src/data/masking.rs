//! Masked language modelling: which tokens are targets, and what the model sees in their place.
//!
//! Each token that is not `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` or `[MASK]` is a target independently with
//! probability 0.15, so an example may have none; of the targets 80 % become `[MASK]`, 10 % a token drawn uniformly
//! from the whole vocabulary, 10 % stay (definitions.md, interface.md; Devlin et al. 2019).

use super::tokenizer::Special;
use super::{Example, Target};
use crate::rng::Stream;

/// Probability that a token is a target.
const RATE: f64 = 0.15;

/// Turns plain examples into masked ones. Draws depend on the seed, the example's index and the position only.
pub fn mask(examples: &mut [Example], special: &Special, vocabulary: usize, seed: u64) {
    let stream = Stream::new(seed, "masking");
    for (n, example) in examples.iter_mut().enumerate() {
        let draws = stream.at(n as u64);
        let mut targets = Vec::new();
        for (at, id) in example.ids.iter_mut().enumerate() {
            // Three draws a position, used or not: a position's draws do not depend on its neighbours.
            let [select, replace, token] = [0, 1, 2].map(|k| 3 * at as u64 + k);
            if special.contains(*id) || draws.uniform(select) >= RATE {
                continue;
            }
            targets.push((at as u32, *id));
            match draws.uniform(replace) {
                u if u < 0.8 => *id = special.mask,
                u if u < 0.9 => *id = draws.below(token, vocabulary as u64) as u32,
                _ => {}
            }
        }
        example.target = Target::Masked(targets);
    }
}
