//! What parameters are worth: the order in which they are set to zero, and what that is predicted to cost.
//!
//! Orders, the least first: by Fisher information `F_i`; by magnitude `|w_i|` (Han et al. 2015); by saliency `F_i w_i²`, which is optimal brain
//! damage (LeCun, Denker, Solla 1990) with F for the Hessian's diagonal (Theis et al. 2018); and at random. Without the parameters of a set S the
//! loss is predicted to rise by `½ Σ_S F_i w_i²`.
//!
//! Of whole tensors the mean score decides, and only those are taken that fit into the share as a whole.
//!
//! The trap: rows of words that do not occur have F = 0. Of those that no example of the set has, nothing is lost, and F would look better than
//! it is; of those that only the examples of F lack, much is, and F would look worse than chance (on the built-in task 5 % of the parameters cost
//! 0.14 nats so, at random 0.05). So a share is one of the parameters that the set reaches and that have F.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::mask::MaskUnit;
use super::space::Space;
use crate::error::Result;
use crate::params::ParamMap;
use crate::rng::Stream;

/// What decides which parameters go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Fisher information.
    Fisher,
    /// Fisher information times the squared weight.
    Saliency,
    /// The weight's absolute value.
    Magnitude,
    /// Chance.
    Random,
}

/// Parameters that may be set to zero.
pub struct Weights<'a> {
    space: &'a Space,
    w: Vec<f32>,
    fisher: Vec<f32>,
}

/// Parameters in the order in which they go.
pub struct Queue {
    entries: Vec<usize>,
    /// Where each tensor ends, if whole ones go.
    ends: Option<Vec<usize>>,
}

impl<'a> Weights<'a> {
    /// The entries of `space`; F is 0 where there is none.
    pub fn new(space: &'a Space, theta: &ParamMap, fisher: &ParamMap) -> Result<Weights<'a>> {
        Ok(Weights { space, w: space.flat(theta)?, fisher: space.flat(fisher)? })
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.w.len()
    }

    fn score(&self, order: Order, i: usize) -> f64 {
        let (w, f) = (f64::from(self.w[i]), f64::from(self.fisher[i]));
        match order {
            Order::Fisher => f,
            Order::Saliency => f * w * w,
            Order::Magnitude => w.abs(),
            Order::Random => 0.0,
        }
    }

    /// The queue of an order; `draw`: which random one. Ties go by name and place.
    pub fn queue(&self, order: Order, unit: MaskUnit, seed: u64, draw: usize) -> Queue {
        let chance = |n: usize| Stream::new(seed, "prune/random").at(draw as u64).permutation(n);
        match (unit, order) {
            (MaskUnit::Parameter, Order::Random) => Queue { entries: chance(self.number()), ends: None },
            (MaskUnit::Parameter, _) => {
                let mut entries: Vec<usize> = (0..self.number()).collect();
                let score = |i: &usize| self.score(order, *i);
                entries.par_sort_unstable_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
                Queue { entries, ends: None }
            }
            (MaskUnit::Tensor, _) => {
                let tensors: Vec<Range<usize>> = self.space.tensors().map(|(_, own)| own).collect();
                let mean = |own: &Range<usize>| {
                    own.clone().map(|i| self.score(order, i)).sum::<f64>() / own.len() as f64
                };
                let scores: Vec<f64> = tensors.iter().map(mean).collect();
                let mut places: Vec<usize> = (0..tensors.len()).collect();
                match order {
                    Order::Random => places = chance(tensors.len()),
                    _ => places.sort_by(|a, b| scores[*a].total_cmp(&scores[*b])),
                }
                Queue::of_tensors(places.into_iter().map(|place| tensors[place].clone()))
            }
        }
    }

    /// The model without these parameters.
    pub fn without(&self, theta: &ParamMap, gone: &[usize]) -> Result<ParamMap> {
        let mut step = vec![0f32; self.number()];
        gone.iter().for_each(|&i| step[i] = -self.w[i]);
        self.space.at(theta, &step, 1.0)
    }

    /// `½ Σ F_i w_i²` over them, `scale` being the information of one target in units of F.
    pub fn predicted(&self, gone: &[usize], scale: f64) -> f64 {
        0.5 * scale * gone.iter().map(|&i| self.score(Order::Saliency, i)).sum::<f64>()
    }
}

impl Queue {
    fn of_tensors(tensors: impl Iterator<Item = Range<usize>>) -> Queue {
        let (mut entries, mut ends) = (Vec::new(), Vec::new());
        for own in tensors {
            entries.extend(own);
            ends.push(entries.len());
        }
        Queue { entries, ends: Some(ends) }
    }

    /// The first `floor(share P + 0.5)` of all P, or of whole tensors as many as fit into that.
    pub fn first(&self, share: f64) -> &[usize] {
        let count = (share * self.entries.len() as f64 + 0.5).floor() as usize;
        let fits = |ends: &Vec<usize>| ends.iter().copied().filter(|end| *end <= count).max().unwrap_or(0);
        let count = self.ends.as_ref().map_or(count, fits);
        &self.entries[..count.min(self.entries.len())]
    }
}
