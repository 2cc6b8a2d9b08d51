//! A plane through θ, in what moves only.
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

/// Two directions, as stretches of tensors.
pub struct Plane {
    moving: BTreeMap<String, Vec<Stretch>>,
}

/// Successive values of a tensor, in row-major order, that move along either direction; empty along one that has
/// nothing in this tensor.
struct Stretch {
    from: usize,
    directions: [Vec<f32>; 2],
}

impl Plane {
    /// Takes the directions apart, tensor by tensor.
    pub fn new(mut directions: [Direction; 2]) -> Plane {
        let names: BTreeSet<String> = directions.iter().flat_map(|d| d.keys().cloned()).collect();
        let mut moving = BTreeMap::new();
        for name in names {
            let [x, y] = directions.each_mut().map(|d| d.remove(&name).unwrap_or_default());
            let stretches = stretches(&x, &y);
            if !stretches.is_empty() {
                moving.insert(name, stretches);
            }
        }
        Plane { moving }
    }

    /// Whether a parameter moves along either direction.
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

    /// `θ + x d₁ + y d₂`, sharing every tensor that does not move.
    pub fn at(&self, theta: &ParamMap, x: f64, y: f64) -> Result<ParamMap> {
        let steps = [x as f32, y as f32];
        let form = |(name, weight): (&String, &Tensor)| {
            let Some(stretches) = self.moving.get(name) else { return Ok((name.clone(), weight.clone())) };
            let mut values = params::with_values(weight, <[f32]>::to_vec)?;
            for Stretch { from, directions } in stretches {
                for (step, d) in steps.iter().zip(directions) {
                    values[*from..].iter_mut().zip(d).for_each(|(w, d)| *w += step * d);
                }
            }
            Ok((name.clone(), Tensor::from_vec(values, weight.dims(), weight.device())?))
        };
        theta.par_iter().map(form).collect()
    }
}

/// Where the values of a tensor move along `x` or `y` (of its size, or empty).
fn stretches(x: &[f32], y: &[f32]) -> Vec<Stretch> {
    let part = |d: &[f32], from: usize, to: usize| d.get(from..to).unwrap_or_default().to_vec();
    let size = x.len().max(y.len());
    let still = |from: usize, to: usize| {
        [x, y].iter().filter_map(|d| d.get(from..to)).all(|d| d.iter().all(|v| *v == 0.0))
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
    let stretch = |(from, to)| Stretch { from, directions: [part(x, from, to), part(y, from, to)] };
    spans.into_iter().map(stretch).collect()
}
