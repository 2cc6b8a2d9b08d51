//! Diagonal of the Fisher information, exact per example.
//!
//! `F_i = (1/N) Σ_n (∂ℓ_n/∂θ_i)²` (Sharma et al. 2024, eq. 3). The square is inside the sum: squaring a batch-mean
//! gradient is the classic bug of this field. One pass gives F and the per-example sums `s[n,t]`, of which every
//! layer score of every sub-sample is a linear function ([`layers`]).
//!
//! Takes any [`Objective`]; gives [`Fisher`], which [`files`] writes and reads.

pub mod blocks;
pub mod concentration;
pub mod control;
pub mod files;
pub mod layers;
pub mod merge;
pub mod shares;

use std::ops::Range;
use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::data::{Example, by_length, clusters, parts};
use crate::error::{Error, Result};
use crate::model::squares::Squares;
use crate::model::{Estimate, Estimator, Objective, Part, Reduction, Sums};
use crate::params::ParamMap;
use crate::progress::{self, Progress};
use crate::stats::clusters::Clusters;
use crate::tasks::Kind;
use blocks::Blocks;
pub use control::Control;

/// The diagonal and the per-example sums of one pass.
pub struct Fisher {
    /// F by parameter, in the parameter's shape. Nats² per squared unit of the parameter; never negative.
    pub diagonal: ParamMap,
    /// `s[n,t]`: sum over the entries of tensor t of example n's squared gradient. `[N, tensors]`, in name order.
    pub sums: Array2<f64>,
    /// Which examples were used (those with a target), `[N]`.
    pub used: Vec<usize>,
    /// Which of them are one draw.
    pub clusters: Clusters,
    /// How many were skipped for want of a target.
    pub skipped: usize,
}

/// Examples and tokens of one batch: enough for large matrix products, few enough to hold the activations.
pub const BATCH: (usize, usize) = (16, 1024);

/// Diagonal of the empirical Fisher information of `examples` at `theta`: [`estimates`] of one.
pub fn diagonal(
    objective: &impl Objective,
    theta: &ParamMap,
    examples: &[Example],
    reduction: Reduction,
) -> Result<Fisher> {
    let numbers: Vec<usize> = (0..examples.len()).collect();
    let mut one = estimates(objective, theta, examples, &numbers, &[Estimate::empirical(reduction)])?;
    Ok(one.remove(0)) // one for each estimate
}

/// Diagonals of the Fisher information of the examples that `numbers` (ascending) name, at `theta`: one for each estimate, all from one
/// forward pass.
///
/// Examples without a target are skipped and counted. Parameters whose gradient is zero by construction (key biases)
/// are exactly 0. Where the objective squares gradients as they arise (the network on its fused backend), costs little more than one
/// forward pass over the examples and a backward pass for each estimate (for `mc` one for each of its samples; for
/// `exact` one for each class, of two classes a single one); otherwise a forward and a backward pass for each example
/// and label. The result does not depend on the number of threads: examples are added in a fixed order, block by block ([`blocks`]).
///
/// # Errors
///
/// [`Error::Field`] if no example has a target, or if a gradient is not finite.
pub fn estimates(
    objective: &impl Objective,
    theta: &ParamMap,
    examples: &[Example],
    numbers: &[usize],
    estimates: &[Estimate],
) -> Result<Vec<Fisher>> {
    Pass::new(objective, theta, examples, numbers, estimates)?.whole(None)
}

/// One pass over the examples, to be made as a whole or block by block.
pub struct Pass<'a, O> {
    objective: &'a O,
    theta: &'a ParamMap,
    examples: &'a [Example],
    estimates: &'a [Estimate],
    /// The examples with a target, ascending, and how many others there are.
    used: Vec<usize>,
    skipped: usize,
    /// Batches of similar length; row r of the sums belongs to the r-th example in them until the end.
    batches: Vec<Vec<usize>>,
    blocks: Vec<Range<usize>>,
}

impl<'a, O: Objective> Pass<'a, O> {
    /// As [`estimates`].
    pub fn new(
        objective: &'a O,
        theta: &'a ParamMap,
        examples: &'a [Example],
        numbers: &[usize],
        estimates: &'a [Estimate],
    ) -> Result<Pass<'a, O>> {
        let used: Vec<usize> = numbers.iter().copied().filter(|&n| examples[n].targets() > 0).collect();
        if used.is_empty() {
            let fix = "use a larger or another set";
            return Err(wrong("examples", "at least one with a target", "none", fix));
        }
        let order: Vec<usize> =
            by_length(examples).into_iter().filter(|n| used.binary_search(n).is_ok()).collect();
        let batches = parts(examples, &order, BATCH.0, BATCH.1);
        let (blocks, skipped) = (blocks::cut(batches.len()), numbers.len() - used.len());
        Ok(Pass { objective, theta, examples, estimates, used, skipped, batches, blocks })
    }

    /// In how many blocks it is cut.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The whole pass: finished blocks are taken from the disk, and one that takes long is kept there until the end.
    pub fn whole(&self, kept: Option<&Blocks>) -> Result<Vec<Fisher>> {
        let missing: Vec<usize> =
            (0..self.blocks()).filter(|block| kept.is_none_or(|kept| !kept.has(*block))).collect();
        let progress = self.progress(&missing);
        let mut total: Option<Vec<Sums>> = None;
        for block in 0..self.blocks() {
            let mut own = self.zeros(block);
            if !self.taken(block, kept, &mut own)? {
                let started = Instant::now();
                self.add(block, &mut own, &progress)?;
                if let Some(kept) = kept.filter(|_| self.blocks() > 1 && started.elapsed() > LONG) {
                    kept.keep(block, &own)?;
                }
            }
            match &mut total {
                None => total = Some(own),
                Some(total) => {
                    let pairs = total.iter_mut().zip(own);
                    pairs.into_iter().try_for_each(|(total, own)| total.squares.append(own.squares))?;
                }
            }
        }
        let (clusters, order) = (clusters(self.with_target()), self.batches.concat());
        let finish = |sums: Sums| finish(sums.squares, &order, &self.used, (self.skipped, &clusters));
        total.into_iter().flatten().map(finish).collect()
    }

    /// The blocks `k`, `k + n` ... (`k` from 0), to the disk; says which.
    pub fn slice(&self, (k, n): (usize, usize), kept: &Blocks) -> Result<Vec<usize>> {
        let own: Vec<usize> = (k..self.blocks()).step_by(n).collect();
        let missing: Vec<usize> = own.iter().copied().filter(|block| !kept.has(*block)).collect();
        let progress = self.progress(&missing);
        for &block in &own {
            let mut sums = self.zeros(block);
            if !self.taken(block, Some(kept), &mut sums)? {
                self.add(block, &mut sums, &progress)?;
                kept.keep(block, &sums)?;
            }
        }
        Ok(own)
    }

    fn batches(&self, block: usize) -> &[Vec<usize>] {
        &self.batches[self.blocks[block].clone()]
    }

    fn progress(&self, blocks: &[usize]) -> Progress {
        let examples = blocks.iter().flat_map(|block| self.batches(*block));
        Progress::new("Fisher information (examples)", examples.map(Vec::len).sum())
    }

    fn with_target(&self) -> Vec<&'a Example> {
        self.used.iter().map(|&n| &self.examples[n]).collect()
    }

    fn zeros(&self, block: usize) -> Vec<Sums> {
        let (with_target, examples) = (self.with_target(), self.batches(block).iter().map(Vec::len).sum());
        let zeros = |estimate: &Estimate| {
            let reached = |name: &str| self.objective.reached(name, &with_target);
            Sums { estimate: *estimate, squares: Squares::new(self.theta, examples, reached) }
        };
        self.estimates.iter().map(zeros).collect()
    }

    fn taken(&self, block: usize, kept: Option<&Blocks>, sums: &mut [Sums]) -> Result<bool> {
        let taken = kept.map_or(Ok(false), |kept| kept.take(block, sums))?;
        if taken {
            progress::note(format!("block {} of {} was finished earlier", block + 1, self.blocks()));
        }
        Ok(taken)
    }

    /// Adds the batches of a block.
    fn add(&self, block: usize, sums: &mut [Sums], progress: &Progress) -> Result<()> {
        let mut first = 0;
        for numbers in self.batches(block) {
            let examples = numbers.iter().map(|&n| &self.examples[n]).collect();
            self.objective.add_squared_gradients(self.theta, &Part { examples, numbers, first }, sums)?;
            first += numbers.len();
            progress.advance(numbers.len());
        }
        sums.iter_mut().try_for_each(|own| own.squares.settle())
    }
}

/// Blocks that take longer are kept on the disk until the pass is finished.
const LONG: Duration = Duration::from_secs(60);

/// Whether these estimates exist for this task.
///
/// # Errors
///
/// [`Error::Field`] for `exact` where there are too many labels to sum over.
pub fn check(kind: Kind, estimates: &[Estimate]) -> Result<()> {
    let exact = estimates.iter().any(|e| e.estimator == Estimator::Exact);
    match kind.spec().instead_of_exact.filter(|_| exact) {
        Some(fix) => {
            Err(wrong("estimator", &format!("empirical or mc for {}", kind.spec().words), "exact", fix))
        }
        None => Ok(()),
    }
}

fn wrong(field: &str, expected: &str, found: &str, fix: &str) -> Error {
    Error::field("Fisher information", field, expected, found, fix)
}

fn finish(
    squares: Squares,
    order: &[usize],
    used: &[usize],
    (skipped, clusters): (usize, &Clusters),
) -> Result<Fisher> {
    if let Some(((row, column), _)) = squares.sums.indexed_iter().find(|(_, s)| !s.is_finite()) {
        let fix = "the loss is not finite there: look at the example and the checkpoint";
        let (place, name) =
            (format!("gradient of example {}", order[row]), squares.name(column).unwrap_or_default());
        return Err(Error::field(place, name, "finite", "not finite", fix));
    }
    let (diagonal, by_length) = squares.finish()?;
    let mut sums = Array2::zeros(by_length.dim());
    for (row, n) in order.iter().enumerate() {
        let place = used.partition_point(|used| used < n);
        sums.row_mut(place).assign(&by_length.row(row));
    }
    Ok(Fisher { diagonal, sums, skipped, used: used.to_vec(), clusters: clusters.clone() })
}
