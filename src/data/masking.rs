//! Masked language modelling: which tokens are targets, and what the model sees in their place.
//!
//! Each token that is not `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` or `[MASK]` is a target independently with
//! probability 0.15, so an example may have none; of the targets 80 % become `[MASK]`, 10 % a token drawn uniformly
//! from the whole vocabulary, 10 % stay (docs/definitions.md section 8; Devlin et al. 2019).

use std::collections::BTreeMap;

use super::tokenizer::Special;
use super::{Example, Target};
use crate::rng::Stream;

/// Probability that a token is a target.
const RATE: f64 = 0.15;

/// Turns plain examples into masked ones, for good. Draws depend on the seed, the example's index and the position
/// only.
pub fn mask(examples: &mut [Example], special: &Special, vocabulary: usize, seed: u64) {
    let stream = Stream::new(seed, "masking");
    for (n, example) in examples.iter_mut().enumerate() {
        mask_one(example, special, vocabulary, stream.at(n as u64), 0);
    }
}

/// Masks masked examples anew: the tokens under their masks come back first.
pub fn mask_again(examples: &mut [Example], special: &Special, vocabulary: usize, seed: u64) {
    for example in examples.iter_mut() {
        example.target.pairs().for_each(|(at, token)| example.ids[at as usize] = token);
    }
    mask(examples, special, vocabulary, seed);
}

/// Masking that is drawn anew for each batch of a training run.
#[derive(Clone, Debug)]
pub struct Masking {
    pub special: Special,
    /// Size of the whole vocabulary.
    pub vocabulary: usize,
    pub seed: u64,
}

impl Masking {
    /// Turns the plain examples of a step into masked ones. Draws depend on the seed, the step and the token's place
    /// in the batch only.
    pub fn batch(&self, examples: &mut [Example], step: u64) {
        let draws = Stream::new(self.seed, "masking/training").at(step);
        let mut first = 0;
        for example in examples {
            mask_one(example, &self.special, self.vocabulary, draws, first);
            first += example.len();
        }
    }
}

/// Masks one example, whose tokens are numbered from `first` in `draws`.
fn mask_one(example: &mut Example, special: &Special, vocabulary: usize, draws: Stream, first: usize) {
    let mut targets = Vec::new();
    for (at, id) in example.ids.iter_mut().enumerate() {
        // Three draws a position, used or not: a position's draws do not depend on its neighbours.
        let [select, replace, token] = [0, 1, 2].map(|k| 3 * (first + at) as u64 + k);
        if special.contains(*id) || draws.uniform(select) >= RATE {
            continue;
        }
        targets.push((at as u32, *id));
        match draws.uniform(replace) {
            u if u < 0.8 => *id = special.mask.unwrap_or(*id),
            u if u < 0.9 => *id = draws.below(token, vocabulary as u64) as u32,
            _ => {}
        }
    }
    example.target = Target::at(targets);
}

/// Entropy in nats of the distribution of the targets' tokens: the loss of the best guess that knows how often each
/// token is a target here, and nothing of the text. A model that has learned from context is below it.
pub fn unigram_entropy(examples: &[Example]) -> f64 {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let tokens = examples.iter().flat_map(|e| e.target.labels.classes());
    tokens.for_each(|token| *counts.entry(*token).or_default() += 1);
    let total = counts.values().sum::<u64>() as f64;
    counts.values().map(|&n| n as f64 / total).map(|p| -p * libm::log(p)).sum()
}
