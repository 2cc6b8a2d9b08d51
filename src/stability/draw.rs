//! Which examples a draw holds: independent, nested or disjoint (docs/definitions.md section 5).
//!
//! Independent draws vary freely. Nested ones grow: within a repeat each fraction contains the smaller ones, so a
//! curve over fractions is that of one corpus read further and further. Disjoint ones share no example, so that the
//! spread over them is not damped by examples in common; there are at most `floor(1 / fraction)` of them.
//!
//! One seed and the draw's own name fix its members: they do not depend on what else is asked for.

use serde::{Deserialize, Serialize};

use crate::rng::Stream;

/// How sub-samples relate to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draws {
    /// Each a fresh uniform sample without replacement.
    #[default]
    Independent,
    /// One shuffle per repeat; the fractions are its first parts.
    Nested,
    /// Consecutive blocks of one shuffle; no more repeats than fit.
    Disjoint,
}

impl Draws {
    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Draws::Independent => "independent",
            Draws::Nested => "nested",
            Draws::Disjoint => "disjoint",
        }
    }

    /// How many of `repeats` draws of `fraction` of `n` examples there are: of disjoint ones, no more than
    /// `floor(1 / fraction)` and than fit into the examples.
    pub fn repeats(self, n: usize, fraction: f64, repeats: usize) -> usize {
        match self {
            Draws::Independent | Draws::Nested => repeats,
            // 1e-9: a third written as 0.3333333333 still makes three blocks, not a rounding error fewer.
            Draws::Disjoint => repeats.min((1.0 / fraction + 1e-9) as usize).min(n / size(n, fraction)),
        }
    }

    /// Examples of a draw, ascending: [`size`] of `0..n`.
    pub fn members(self, n: usize, fraction: f64, repeat: usize, seed: u64) -> Vec<usize> {
        let size = size(n, fraction);
        let stream = |name: &str| Stream::new(seed, &format!("stability/{name}"));
        match self {
            // One stream per fraction: a fraction's draws do not depend on which others are asked for.
            Draws::Independent => {
                stream(&format!("independent/{fraction}")).at(repeat as u64).sample(n, size)
            }
            // From one stream and step, samples of growing size are nested.
            Draws::Nested => stream("nested").at(repeat as u64).sample(n, size),
            Draws::Disjoint => {
                let order = stream("disjoint").permutation(n);
                let mut block: Vec<usize> = order.into_iter().skip(repeat * size).take(size).collect();
                block.sort_unstable();
                block
            }
        }
    }
}

/// Number of examples in a fraction of `n`: `max(1, floor(fraction n + 0.5))`.
pub fn size(n: usize, fraction: f64) -> usize {
    ((fraction * n as f64 + 0.5).floor() as usize).clamp(1, n.max(1))
}
