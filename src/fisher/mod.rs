//! Diagonal of the Fisher information, exact per example.
//!
//! `F_i = (1/N) Σ_n (∂ℓ_n/∂θ_i)²` (Sharma et al. 2024, eq. 3). The square is inside the sum: squaring a batch-mean
//! gradient is the classic bug of this field. One pass gives F and the per-example sums `s[n,t]`, of which every
//! layer score of every sub-sample is a linear function ([`layers`]).
//!
//! Takes any [`Objective`]; gives [`Fisher`], which [`files`] writes and reads.

pub mod concentration;
pub mod control;
pub mod files;
pub mod layers;

use ndarray::Array2;

use crate::data::{Example, by_length, clusters, parts};
use crate::error::{Error, Result};
use crate::model::squares::Squares;
use crate::model::{Estimate, Estimator, Objective, Part, Reduction, Sums};
use crate::params::ParamMap;
use crate::progress::Progress;
use crate::stats::clusters::Clusters;
use crate::tasks::Kind;
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
/// and label. The result does not depend on the number of threads: examples are added in a fixed order.
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
    let used: Vec<usize> = numbers.iter().copied().filter(|&n| examples[n].targets() > 0).collect();
    if used.is_empty() {
        let fix = "use a larger or another set";
        return Err(wrong("examples", "at least one with a target", "none", fix));
    }
    let with_target: Vec<&Example> = used.iter().map(|&n| &examples[n]).collect();
    let zeros = |estimate: &Estimate| {
        let squares = Squares::new(theta, used.len(), |name| objective.reached(name, &with_target));
        Sums { estimate: *estimate, squares }
    };
    let mut sums: Vec<Sums> = estimates.iter().map(zeros).collect();
    let progress = Progress::new("Fisher information (examples)", used.len());
    // Batches of similar length; row r of the sums belongs to example order[r] until the end.
    let order: Vec<usize> =
        by_length(examples).into_iter().filter(|n| used.binary_search(n).is_ok()).collect();
    let mut first = 0;
    for numbers in parts(examples, &order, BATCH.0, BATCH.1) {
        let examples = numbers.iter().map(|&n| &examples[n]).collect();
        objective.add_squared_gradients(theta, &Part { examples, numbers: &numbers, first }, &mut sums)?;
        first += numbers.len();
        progress.advance(numbers.len());
    }
    let skipped = numbers.len() - used.len();
    let clusters = clusters(with_target);
    sums.into_iter().map(|sums| finish(sums.squares, &order, &used, (skipped, &clusters))).collect()
}

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
