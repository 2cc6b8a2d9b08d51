//! A plane through θ, or a line or a volume, in what moves only.
//!
//! Points are formed from the stretches of each tensor that move (an embedding table may be still but for the rows in
//! use), so that memory and time go by what a mask lets move.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use rayon::prelude::*;

use super::Direction;
use crate::error::Result;
use crate::params::{self, ParamMap};

/// Values of a tensor that are looked at together for whether they move.
const STRETCH: usize = 256;

/// One, two or three directions, as stretches of tensors.
pub struct Plane {
    moving: BTreeMap<String, Vec<Stretch>>,
}

/// Successive values of a tensor, in row-major order, that move along any direction; empty along one that has
/// nothing in this tensor.
struct Stretch {
    from: usize,
    directions: Vec<Vec<f32>>,
}

impl Plane {
    /// Takes the directions apart, tensor by tensor.
    pub fn new(directions: impl IntoIterator<Item = Direction>) -> Plane {
        let mut directions: Vec<Direction> = directions.into_iter().collect();
        let names: BTreeSet<String> = directions.iter().flat_map(|d| d.keys().cloned()).collect();
        let mut moving = BTreeMap::new();
        for name in names {
            let own: Vec<Vec<f32>> =
                directions.iter_mut().map(|d| d.remove(&name).unwrap_or_default()).collect();
            let stretches = stretches(&own);
            if !stretches.is_empty() {
                moving.insert(name, stretches);
            }
        }
        Plane { moving }
    }

    /// Whether a parameter moves along any direction.
    pub fn moves(&self, name: &str) -> bool {
        self.moving.contains_key(name)
    }

    /// Bytes of the plane and of one point on it.
    pub fn bytes(&self, theta: &ParamMap) -> usize {
        let of = |(name, stretches): (&String, &Vec<Stretch>)| {
            let directions: usize = stretches.iter().flat_map(|s| &s.directions).map(Vec::len).sum();
            directions + theta.get(name).map_or(0, Tensor::elem_count)
        };
        self.moving.iter().map(of).sum::<usize>() * size_of::<f32>()
    }

    /// `θ + Σ aᵢ dᵢ` for `steps` a, one for each direction, sharing every tensor that does not move. Steps along directions that are not
    /// there move nothing.
    pub fn at(&self, theta: &ParamMap, steps: &[f64]) -> Result<ParamMap> {
        let form = |(name, weight): (&String, &Tensor)| {
            let Some(stretches) = self.moving.get(name) else { return Ok((name.clone(), weight.clone())) };
            let mut values = params::with_values(weight, <[f32]>::to_vec)?;
            for Stretch { from, directions } in stretches {
                for (step, d) in steps.iter().zip(directions) {
                    values[*from..].iter_mut().zip(d).for_each(|(w, d)| *w += *step as f32 * d);
                }
            }
            Ok((name.clone(), Tensor::from_vec(values, weight.dims(), weight.device())?))
        };
        theta.par_iter().map(form).collect()
    }
}

/// Where the values of a tensor move along any of these directions (of its size, or empty).
fn stretches(directions: &[Vec<f32>]) -> Vec<Stretch> {
    let part = |d: &[f32], from: usize, to: usize| d.get(from..to).unwrap_or_default().to_vec();
    let size = directions.iter().map(Vec::len).max().unwrap_or(0);
    let still = |from: usize, to: usize| {
        directions.iter().filter_map(|d| d.get(from..to)).all(|d| d.iter().all(|v| *v == 0.0))
    };
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for from in (0..size).step_by(STRETCH) {
        let to = (from + STRETCH).min(size);
        match spans.last_mut() {
            _ if still(from, to) => {}
            Some(last) if last.1 == from => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    let stretch =
        |(from, to)| Stretch { from, directions: directions.iter().map(|d| part(d, from, to)).collect() };
    spans.into_iter().map(stretch).collect()
}
