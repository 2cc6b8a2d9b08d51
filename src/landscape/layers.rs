//! Curvature layer by layer: the largest eigenvalue, the trace and the spectral density of each layer's own block of the Hessian, the one on its
//! diagonal.
//!
//! The block of a layer is the Hessian in the [`Space`] of its parameters alone: vectors are zero elsewhere. So each layer is measured as the whole
//! model is ([`super::sharpness`]). What two layers do together is in no block: the largest eigenvalue of the whole is no smaller than any block's. Traces of
//! layers that are all of the model add up to its trace.
//!
//! The trap: layers differ in size and curvature by orders of magnitude, so one step for the differences of losses suits few of them. Here it is
//! chosen for each by the curvature along one vector of signs.

use std::path::Path;

use super::Direction;
use super::basis::Basis;
use super::curvature::Curvature;
use super::journal::Journal;
use super::lanczos::{Density, POINTS};
use super::mask::Flags;
use super::sharpness::{Eigenvalue, Plan, signs};
use super::space::{Space, dot};
use super::trace;
use crate::data::{self, Example};
use crate::error::Result;
use crate::files;
use crate::model::Objective;
use crate::params::ParamMap;
use crate::progress::Progress;

/// Of the root mean square weight, how far an entry may move along a vector of signs.
const WIDEST: f64 = 0.3;

/// A layer's name and its tensors.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub tensors: Vec<String>,
}

/// What is measured, and how finely.
pub struct Blocks<'a, O> {
    pub objective: &'a O,
    pub theta: &'a ParamMap,
    pub examples: &'a [Example],
    pub by_length: &'a [usize],
    /// What may move.
    pub flags: &'a Flags,
    pub probes: usize,
    pub steps: usize,
    pub signs: usize,
    pub eigenvalues: usize,
    /// Root mean square of the weights, and the step of the differences of gradients in it.
    pub weight: f64,
    pub step: f64,
    pub seed: u64,
    /// Bytes of memory that basis vectors may have.
    pub memory: usize,
}

/// The block of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub name: String,
    /// Parameters that may move.
    pub parameters: usize,
    /// The largest eigenvalue, and half the width of its 95 % interval: the error over examples and the bound of the method.
    pub top: Eigenvalue,
    pub top_half: f64,
    pub smallest: f64,
    pub trace: f64,
    pub trace_half: f64,
    /// Of its eigenvalues, as that of the whole model is smoothed.
    pub density: Density,
}

impl<O: Objective> Blocks<'_, O> {
    /// Gradients that a block costs, and evaluations of the loss.
    pub fn cost(&self) -> (usize, usize) {
        let known = self.eigenvalues + 1;
        (2 * self.probes * self.steps + 4 * known + 2, 2 + 2 * self.signs + 2 * known + 4)
    }

    /// The blocks of some layers; one of which nothing may move is left out. Finished ones go to the journal at `path`, which is removed by who
    /// has written the result; what is under way lies beside it.
    pub fn run(&self, parts: &[Part], path: &Path, inputs: &str) -> Result<Vec<Block>> {
        let mut journal = Journal::open(path, inputs)?;
        let progress = Progress::new("layers", parts.len().saturating_sub(journal.left()));
        let mut blocks = Vec::new();
        for part in parts {
            let space = Space::new(&self.own(part));
            if space.size() == 0 {
                continue;
            }
            let whole = |values: &[f64]| unpacked(values).is_some();
            let values = journal.unit(whole, || self.block(part, &space, path, inputs))?;
            if let Some(([top, within, top_half, smallest, trace, trace_half], density)) = unpacked(&values) {
                let (name, parameters) = (part.name.clone(), space.size());
                let top = Eigenvalue { value: top, within };
                blocks.push(Block { name, parameters, top, top_half, smallest, trace, trace_half, density });
            }
            progress.advance(1);
        }
        Ok(blocks)
    }

    /// What of a layer may move.
    fn own(&self, part: &Part) -> Flags {
        let of = |name: &String| Some((name.clone(), self.flags.get(name)?.clone()));
        part.tensors.iter().filter_map(of).collect()
    }

    fn block(&self, part: &Part, space: &Space, path: &Path, inputs: &str) -> Result<Vec<f64>> {
        let curvature = Curvature::new(self.objective, self.theta, self.examples, self.by_length, space);
        let size = space.size();
        // Each entry moves as far as it would with all others.
        let step = self.step * self.weight * (size as f64).sqrt();
        let plan = Plan {
            direction: &|_| Ok(Direction::new()),
            directions: 0,
            radii: &[],
            ball: 0.0,
            ascent: 0,
            probes: self.probes,
            steps: self.steps.min(size),
            signs: self.signs,
            step,
            wide: self.wide(&curvature, step)?,
            eigenvalues: self.eigenvalues.min(size),
            vectors: 1,
            seed: self.seed,
        };
        let used = || self.examples.iter().filter(|e| e.targets() > 0);
        let targets = used().map(|e| e.targets() as f64).collect();
        let inputs = format!("{inputs}, {}", part.name);
        let beside = ["part", "basis"].map(|ending| files::with_ending(path, ending));
        let mut journal = Journal::open(&beside[0], &inputs)?;
        let mut basis = Basis::open(&beside[1], &inputs, size, self.memory)?;
        let found = plan.run(&curvature, targets, &mut journal, &mut basis);
        if found.is_err() && basis.is_broken() {
            drop((journal, basis));
            beside.iter().try_for_each(|path| files::remove(path))?;
            return self.block(part, space, path, &inputs);
        }
        let found = found?;
        drop((journal, basis));
        beside.iter().try_for_each(|path| files::remove(path))?;
        let by_draw = found.sharpness.by_draw(&data::clusters(used()));
        let half = |name: &str| {
            let row = by_draw.rows().into_iter().find(|row| row.measure == name);
            row.map_or((f64::NAN, f64::NAN), |row| (row.value, row.half_width(by_draw.targets.len()).0))
        };
        let (top, (_, over_examples), (trace, trace_half)) =
            (found.leading[0], half("top_eigenvalue"), half("trace"));
        let numbers =
            [top.value, top.within, top.within + over_examples, found.smallest.value, trace, trace_half];
        Ok(packed(numbers, &found.density))
    }

    /// How far losses are differenced along signs: until they have risen enough to be told from rounding, by the curvature along one vector.
    fn wide(&self, curvature: &Curvature<O>, step: f64) -> Result<f64> {
        let z = signs("layers/pilot", curvature.space().size(), self.seed, 0);
        let along = dot(&z, &curvature.times(&z, step)?) / dot(&z, &z);
        let widest = WIDEST * self.weight * (z.len() as f64).sqrt();
        Ok(trace::step(along, widest).max(step))
    }
}

/// A block as the journal keeps it: its numbers, the width of the smoothing, the grid, the density on it, and its spread where it is known.
fn packed(numbers: [f64; 6], density: &Density) -> Vec<f64> {
    let Density { eigenvalue, density, sd, sigma } = density;
    [&numbers, std::slice::from_ref(sigma), eigenvalue, density, sd].concat()
}

/// What [`packed`] made; none of what it did not.
fn unpacked(values: &[f64]) -> Option<([f64; 6], Density)> {
    let (numbers, rest) = values.split_first_chunk::<6>()?;
    let (sigma, rest) = rest.split_first()?;
    let parts: Vec<Vec<f64>> = rest.chunks(POINTS).map(<[f64]>::to_vec).collect();
    let (eigenvalue, density, sd) = match &parts[..] {
        [grid, density] => (grid, density, Vec::new()),
        [grid, density, sd] => (grid, density, sd.clone()),
        _ => return None,
    };
    let whole = parts.iter().all(|part| part.len() == POINTS);
    let density = Density { eigenvalue: eigenvalue.clone(), density: density.clone(), sd, sigma: *sigma };
    whole.then_some((*numbers, density))
}
