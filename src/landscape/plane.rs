//! A plane through θ, or a line or a volume, in what moves only.
//!
//! Points are formed from the stretches of each tensor that move (an embedding table may be still but for the rows in
//! use), so that memory and time go by what a mask lets move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use candle_core::Tensor;
use rayon::prelude::*;

use super::Direction;
use crate::error::{Error, Result};
use crate::params::{self, ParamMap};

/// Values of a tensor that are looked at together for whether they move.
const STRETCH: usize = 256;

/// One, two or three directions, as stretches of tensors.
pub struct Plane {
    moving: BTreeMap<String, Vec<Stretch>>,
    /// The same as whole tensors where the parameters lie, if that is not the CPU: made once, for all points.
    whole: OnceLock<BTreeMap<String, Vec<Option<Tensor>>>>,
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
        Plane { moving, whole: OnceLock::new() }
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
        if theta.values().any(|weight| !weight.device().is_cpu()) {
            return self.at_on_device(theta, steps);
        }
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

    /// As [`at`](Self::at), where the parameters lie: the same sums in the same order, so the same bits.
    fn at_on_device(&self, theta: &ParamMap, steps: &[f64]) -> Result<ParamMap> {
        if self.whole.get().is_none() {
            let whole = self.whole(theta)?;
            self.whole.get_or_init(|| whole);
        }
        let mut point = theta.clone();
        for (name, directions) in self.whole.get().into_iter().flatten() {
            let Some(weight) = point.get_mut(name) else { continue };
            for (step, d) in steps.iter().zip(directions) {
                if let Some(d) = d {
                    *weight = (&*weight + d.affine(f64::from(*step as f32), 0.0)?)?;
                }
            }
        }
        Ok(point)
    }

    /// All directions as tensors like the parameters'; none along which a parameter stays.
    fn whole(&self, theta: &ParamMap) -> Result<BTreeMap<String, Vec<Option<Tensor>>>> {
        let whole = |(name, stretches): (&String, &Vec<Stretch>)| {
            let weight = theta.get(name)?;
            let one = |i: usize| {
                let mut values = vec![0f32; weight.elem_count()];
                let own = stretches.iter().filter(|stretch| !stretch.directions[i].is_empty());
                own.for_each(|s| values[s.from..][..s.directions[i].len()].copy_from_slice(&s.directions[i]));
                let moves = values.iter().any(|v| *v != 0.0);
                moves.then(|| Tensor::from_vec(values, weight.dims(), weight.device())).transpose()
            };
            let all = (0..stretches.first()?.directions.len()).map(one).collect::<Result<_, _>>();
            Some(all.map(|all| (name.clone(), all)).map_err(Error::from))
        };
        self.moving.iter().filter_map(whole).collect()
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::rng::Stream;

    /// Oracle: the stretches on the CPU, bit by bit. A tensor along both directions, one along each, one of two stretches, one
    /// that stays. Catches exchanged directions, a stretch at another place, a step in double precision.
    #[test]
    fn a_point_on_a_device_has_the_bits_of_one_on_the_cpu() -> Result<()> {
        let random = |name: &str, size: usize| {
            let mut values = vec![0f32; size];
            Stream::new(5, name).fill_normal(0, &mut values);
            values
        };
        let names = ["both", "first", "second", "still", "apart"];
        let tensor = |name: &&str| {
            Ok((name.to_string(), Tensor::from_vec(random(name, 1200), (30, 40), &Device::Cpu)?))
        };
        let theta: ParamMap = names.iter().map(tensor).collect::<Result<_>>()?;
        let mut apart = random("apart x", 1200);
        apart[200..900].fill(0.0);
        let direction = |own: &[&str]| -> Direction {
            let mut all: Direction =
                own.iter().map(|n| (n.to_string(), random(&format!("{n}!"), 1200))).collect();
            all.insert("apart".into(), apart.clone());
            all
        };
        let plane = Plane::new([direction(&["both", "first"]), direction(&["second", "both"])]);
        let bits = |point: ParamMap| -> Result<Vec<u32>> {
            let own =
                |t: &Tensor| params::with_values(t, |v| v.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
            Ok(point.values().map(own).collect::<Result<Vec<_>>>()?.concat())
        };
        for at in [[0.3, -1.7], [1e-3, 0.1], [0.0, 0.0]] {
            assert_eq!(bits(plane.at(&theta, &at)?)?, bits(plane.at_on_device(&theta, &at)?)?);
        }
        assert_eq!(plane.at_on_device(&theta, &[0.0, 1.0])?["still"].id(), theta["still"].id());
        Ok(())
    }
}
