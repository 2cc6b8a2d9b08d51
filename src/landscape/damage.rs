//! How far the loss rises when one part of the model is perturbed, and the diagonal of the Hessian there: what Fisher
//! information claims to predict.
//!
//! A part is perturbed along a random direction, both ways: `r_n = ½ (s_n(θ + r d) + s_n(θ - r d)) - s_n(θ)`, so that the
//! slope cancels and what is left is curvature, `½ r² dᵀ H d` and beyond. Fisher information predicts `½ r² Σ F_i d_i²`
//! ([`Perturbed::predicted`]): it is the Hessian's diagonal where the model is right about its labels (Martens 2020), and leaves out
//! all that parameters do together.
//!
//! The diagonal itself is sampled: `E z ⊙ H z = diag H` for random signs z (Bekas, Kokiopoulou, Saad 2007; Hutchinson
//! 1990 for its sum). Single entries are drowned in noise; sums over a layer, or over all parameters with nearly equal F,
//! are not.

use super::Direction;
use super::curvature::Curvature;
use super::journal::Journal;
use super::plane::Plane;
use super::sharpness::{Measure, signs};
use super::space::Space;
use crate::data::{self, Example};
use crate::error::Result;
use crate::evaluate::{Evaluator, SetLoss};
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::stats::clusters::Clusters;

/// A model at rest, to be perturbed.
pub struct Perturbed<'a, O: ?Sized> {
    objective: &'a O,
    theta: &'a ParamMap,
    examples: &'a [Example],
    by_length: &'a [usize],
    /// Length of a step, in lengths of the directions.
    radius: f64,
    /// Bytes that may hold what does not move.
    room: usize,
    centre: SetLoss,
    /// Which of the examples that have a target are one draw.
    clusters: Clusters,
}

impl<'a, O: Objective + ?Sized> Perturbed<'a, O> {
    /// Evaluates the centre. `by_length`: indices of the examples that have a target, shortest first.
    pub fn new(
        objective: &'a O,
        theta: &'a ParamMap,
        examples: &'a [Example],
        by_length: &'a [usize],
        radius: f64,
        room: usize,
    ) -> Result<Perturbed<'a, O>> {
        let centre = Evaluator::new(examples, by_length).loss(objective, theta)?;
        let clusters = data::clusters(examples.iter().filter(|e| e.targets() > 0));
        Ok(Perturbed { objective, theta, examples, by_length, radius, room, centre, clusters })
    }

    /// `m_n` `[N]`, of examples that are one draw together.
    pub fn targets(&self) -> Vec<f64> {
        self.clusters.sums(&self.centre.by_example.iter().map(|(_, targets)| *targets).collect::<Vec<_>>())
    }

    /// The rise of each example, or of those that are one draw together, along each of some directions, all in the same tensors: `draws` times `[N]`. Costs two
    /// evaluations a draw, of the model behind the first tensor that moves.
    pub fn rise(
        &self,
        name: &str,
        draws: usize,
        direction: impl Fn(usize) -> Result<Direction>,
        journal: &mut Journal,
    ) -> Result<Measure> {
        let mut evaluator: Option<Evaluator> = None;
        let mut measure = Measure { name: name.to_string(), draws: Vec::with_capacity(draws) };
        for k in 0..draws {
            let each = |values: &[f64]| values.len() == self.centre.by_example.len();
            let rise = journal.unit(each, || {
                let plane = Plane::new([direction(k)?]);
                let evaluator = match &mut evaluator {
                    Some(evaluator) => evaluator,
                    none => {
                        let mut own = Evaluator::new(self.examples, self.by_length);
                        own.keep_still(self.objective, self.theta, |name| plane.moves(name), self.room)?;
                        none.insert(own)
                    }
                };
                let forth = evaluator.loss(self.objective, &plane.at(self.theta, &[self.radius])?)?;
                let back = evaluator.loss(self.objective, &plane.at(self.theta, &[-self.radius])?)?;
                let sums = forth.by_example.iter().zip(&back.by_example).zip(&self.centre.by_example);
                Ok(sums.map(|(((forth, _), (back, _)), (centre, _))| (forth + back) / 2.0 - centre).collect())
            })?;
            measure.draws.push(self.clusters.sums(&rise));
        }
        Ok(measure)
    }

    /// `½ r² Σ F_i d_i²`, nats per target where `scale · F` is the information of one target.
    pub fn predicted(&self, fisher: &ParamMap, direction: &Direction, scale: f64) -> Result<f64> {
        let mut sum = 0.0;
        for (name, d) in direction {
            let Some(f) = fisher.get(name) else { continue };
            let own =
                |f: &[f32]| f.iter().zip(d).map(|(f, d)| f64::from(*f) * f64::from(*d).powi(2)).sum::<f64>();
            sum += params::with_values(f, own)?;
        }
        Ok(0.5 * self.radius * self.radius * scale * sum)
    }
}

/// Parameters of nearly equal Fisher information.
pub struct Bins {
    /// Bin of each entry of the space; none where F is 0.
    of: Vec<Option<u8>>,
    /// Entries, and the mean of F over them.
    pub count: Vec<usize>,
    pub fisher: Vec<f64>,
}

/// Bins of F, of equal width on a logarithmic scale.
const BINS: usize = 20;
/// Share of the parameters below the second bin: the lowest values would fill the axis with nothing.
const LOWEST: f64 = 0.01;

impl Bins {
    /// Of Fisher information in the order of a space.
    pub fn new(fisher: &[f32]) -> Bins {
        let mut positive: Vec<f32> = fisher.iter().copied().filter(|f| *f > 0.0).collect();
        let (mut count, mut sum) = (vec![0usize; BINS], vec![0f64; BINS]);
        if positive.is_empty() {
            return Bins { of: vec![None; fisher.len()], count, fisher: sum };
        }
        let last = positive.len() - 1;
        let low = *positive.select_nth_unstable_by((last as f64 * LOWEST) as usize, f32::total_cmp).1;
        let high = positive.iter().fold(low, |a, b| a.max(*b));
        let (low, high) = (f64::from(low).log10(), f64::from(high).log10());
        let bin = |f: &f32| {
            let place = (f64::from(*f).log10() - low) / (high - low) * BINS as f64;
            // All equal: 0/0, the first bin.
            (*f > 0.0).then(|| (place.max(0.0) as usize).min(BINS - 1) as u8)
        };
        let of: Vec<Option<u8>> = fisher.iter().map(bin).collect();
        for (bin, f) in of.iter().zip(fisher) {
            if let Some(bin) = bin {
                count[usize::from(*bin)] += 1;
                sum[usize::from(*bin)] += f64::from(*f);
            }
        }
        let mean = sum.iter().zip(&count).map(|(sum, count)| sum / *count as f64).collect();
        Bins { of, count, fisher: mean }
    }
}

/// Samples of sums of the Hessian's diagonal.
pub struct Diagonal {
    /// Of each tensor of the space, `[probes][tensors]`, and of each bin, `[probes][bins]`.
    pub tensors: Vec<Vec<f64>>,
    pub bins: Vec<Vec<f64>>,
}

/// Samples the diagonal by `probes` sign vectors; each costs two gradients. `step`: length of their differences.
pub fn hessian_diagonal<O: Objective + ?Sized>(
    curvature: &Curvature<O>,
    bins: &Bins,
    probes: usize,
    step: f64,
    seed: u64,
    journal: &mut Journal,
) -> Result<Diagonal> {
    let space: &Space = curvature.space();
    let tensors = space.tensors().count();
    let mut result = Diagonal { tensors: Vec::new(), bins: Vec::new() };
    for k in 0..probes {
        let all = |values: &[f64]| values.len() == tensors + bins.count.len();
        let sums = journal.unit(all, || {
            let z = signs("damage", space.size(), seed, k);
            let product = curvature.times(&z, step)?;
            let entry = |i: usize| f64::from(z[i]) * f64::from(product[i]);
            let mut sums: Vec<f64> = space.tensors().map(|(_, own)| own.map(entry).sum()).collect();
            let mut by_bin = vec![0f64; bins.count.len()];
            for (i, bin) in bins.of.iter().enumerate() {
                if let Some(bin) = bin {
                    by_bin[usize::from(*bin)] += entry(i);
                }
            }
            sums.extend(by_bin);
            Ok(sums)
        })?;
        let (own, by_bin) = sums.split_at(tensors);
        result.tensors.push(own.to_vec());
        result.bins.push(by_bin.to_vec());
    }
    Ok(result)
}
