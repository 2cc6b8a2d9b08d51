//! The parameters that may move, as one flat vector: what curvature is computed in.
//!
//! Entries that the set does not reach, or that a mask leaves out, have no place in it, so vectors are as long as what
//! matters (of MiniLM's 22.7 million parameters a hundred sentences reach half). Order: name, then flat index.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::Direction;
use super::mask::Flags;
use crate::error::Result;
use crate::model::gradient::{Gradient, Gradients};
use crate::params::{self, ParamMap};

/// Values that are summed together in a dot product: fixed, so that its bits do not depend on the number of threads.
const CHUNK: usize = 1 << 15;

/// Where each entry of a flat vector lies in the parameters.
pub struct Space {
    parts: Vec<Part>,
    size: usize,
}

/// What of one tensor may move.
struct Part {
    name: String,
    /// Successive entries, in order.
    spans: Vec<Range<usize>>,
    /// Entries in the spans before each.
    before: Vec<usize>,
    /// Place of the first in the flat vector.
    from: usize,
    size: usize,
}

impl Space {
    /// The flagged entries.
    pub fn new(flags: &Flags) -> Space {
        let (mut parts, mut size) = (Vec::new(), 0);
        for (name, flags) in flags {
            let mut spans: Vec<Range<usize>> = Vec::new();
            for (i, _) in flags.iter().enumerate().filter(|(_, flag)| **flag) {
                match spans.last_mut() {
                    Some(last) if last.end == i => last.end += 1,
                    _ => spans.push(i..i + 1),
                }
            }
            let (mut own, mut before) = (0, Vec::with_capacity(spans.len()));
            for span in &spans {
                before.push(own);
                own += span.len();
            }
            if own > 0 {
                parts.push(Part { name: name.clone(), spans, before, from: size, size: own });
                size += own;
            }
        }
        Space { parts, size }
    }

    /// Length of its vectors.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Each tensor's name and its stretch of the flat vector.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts.iter().map(|part| (part.name.as_str(), part.from..part.from + part.size))
    }

    /// The flat vector of some parameters: θ itself, or a direction.
    pub fn flat(&self, values: &ParamMap) -> Result<Vec<f32>> {
        let mut flat = vec![0f32; self.size];
        self.each(&mut flat, |part, own| {
            let Some(tensor) = values.get(&part.name) else { return Ok(()) };
            params::with_values(tensor, |values| part.copy(values, own))
        })?;
        Ok(flat)
    }

    /// The flat vector of a direction: zero where it has no tensor.
    pub fn flat_direction(&self, direction: &Direction) -> Result<Vec<f32>> {
        let mut flat = vec![0f32; self.size];
        self.each(&mut flat, |part, own| {
            if let Some(values) = direction.get(&part.name) {
                part.copy(values, own);
            }
            Ok(())
        })?;
        Ok(flat)
    }

    /// The direction of a flat vector, times `factor`: whole tensors, zero where nothing may move.
    pub fn direction(&self, flat: &[f32], factor: f64, theta: &ParamMap) -> Direction {
        let direction = |part: &Part| {
            let mut values = vec![0f32; theta[&part.name].elem_count()];
            let mut own = flat[part.from..part.from + part.size].iter();
            for span in &part.spans {
                values[span.clone()]
                    .iter_mut()
                    .zip(&mut own)
                    .for_each(|(v, f)| *v = (f64::from(*f) * factor) as f32);
            }
            (part.name.clone(), values)
        };
        self.parts.par_iter().map(direction).collect()
    }

    /// `θ + step v`, sharing every tensor that does not move.
    pub fn at(&self, theta: &ParamMap, v: &[f32], step: f64) -> Result<ParamMap> {
        let moved = |part: &Part| {
            let weight = &theta[&part.name];
            let mut values = params::with_values(weight, <[f32]>::to_vec)?;
            let mut own = v[part.from..part.from + part.size].iter();
            for span in &part.spans {
                values[span.clone()]
                    .iter_mut()
                    .zip(&mut own)
                    .for_each(|(w, v)| *w = (f64::from(*w) + step * f64::from(*v)) as f32);
            }
            Ok((part.name.clone(), Tensor::from_vec(values, weight.dims(), weight.device())?))
        };
        let moved: Vec<(String, Tensor)> = self.parts.par_iter().map(moved).collect::<Result<_>>()?;
        let mut point = theta.clone();
        point.extend(moved);
        Ok(point)
    }

    /// Adds a gradient to a flat vector.
    pub fn add(&self, gradients: &Gradients, into: &mut [f64]) -> Result<()> {
        self.each(into, |part, own| match gradients.get(&part.name) {
            None => Ok(()),
            Some(Gradient::Dense(g)) => params::with_values(g, |g| part.add(0, g, own)),
            Some(Gradient::Rows { shape, rows }) => {
                let rows = rows.ids.iter().zip(rows.rows.chunks_exact(shape.1));
                rows.for_each(|(id, row)| part.add(*id as usize * shape.1, row, own));
                Ok(())
            }
        })
    }

    /// Each tensor's stretch of a flat vector, in parallel.
    fn each<T: Send>(
        &self,
        flat: &mut [T],
        work: impl Fn(&Part, &mut [T]) -> Result<()> + Sync,
    ) -> Result<()> {
        let mut rest = flat;
        let mut own = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (first, last) = rest.split_at_mut(part.size);
            own.push((part, first));
            rest = last;
        }
        own.into_par_iter().try_for_each(|(part, own)| work(part, own))
    }
}

impl Part {
    fn copy(&self, values: &[f32], own: &mut [f32]) {
        let mut own = own.iter_mut();
        for span in &self.spans {
            values[span.clone()].iter().zip(&mut own).for_each(|(v, f)| *f = *v);
        }
    }

    /// Adds successive values of the tensor, the first of which is entry `first`, to the tensor's stretch.
    fn add(&self, first: usize, values: &[f32], own: &mut [f64]) {
        let last = first + values.len();
        let begin = self.spans.partition_point(|span| span.end <= first);
        for (span, before) in self.spans[begin..].iter().zip(&self.before[begin..]) {
            if span.start >= last {
                break;
            }
            let (from, to) = (span.start.max(first), span.end.min(last));
            let sums = &mut own[before + from - span.start..][..to - from];
            sums.iter_mut().zip(&values[from - first..]).for_each(|(sum, g)| *sum += f64::from(*g));
        }
    }
}

/// `aᵀb`, in double precision, chunk by chunk in order.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let chunk = |(a, b): (&[f32], &[f32])| {
        let mut lanes = [0f64; 8];
        let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
        let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let rest: f64 = rest.sum();
        for (a, b) in a.zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += f64::from(*a) * f64::from(*b);
            }
        }
        lanes.iter().sum::<f64>() + rest
    };
    a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(chunk).collect::<Vec<f64>>().into_iter().sum()
}

/// Euclidean norm.
pub fn norm(v: &[f32]) -> f64 {
    dot(v, v).sqrt()
}

/// `v ← v + factor w`
pub fn add_scaled(v: &mut [f32], factor: f64, w: &[f32]) {
    v.par_chunks_mut(CHUNK).zip(w.par_chunks(CHUNK)).for_each(|(v, w)| {
        v.iter_mut().zip(w).for_each(|(v, w)| *v = (f64::from(*v) + factor * f64::from(*w)) as f32);
    });
}

/// `v ← factor v`
pub fn scale(v: &mut [f32], factor: f64) {
    v.par_chunks_mut(CHUNK).for_each(|v| v.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32));
}
