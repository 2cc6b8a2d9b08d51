//! Critical sharpness: from which learning rate on a step along an update no longer lowers the loss (Kalra et al. 2026).
//!
//! For an update `u` the critical learning rate `η_c` is where `L(θ + η u)` rises above `L(θ)`, and the critical sharpness is `2 / η_c`. On a parabola and
//! with `u = -∇L` that is the curvature along the gradient, `gᵀHg / gᵀg`, at most the largest eigenvalue. The update may be another
//! loss's: then the sharpness is relative.
//!
//! What is searched is the root of `(L(θ + η u) - L(θ)) / η`, which is a straight line where the loss is a parabola. Two rates give a line; a rate a little
//! beyond its root closes the bracket, and the secant finds the root: in fewer than ten forward passes in all. Elsewhere than on a parabola
//! the older end counts less each time that it stays (the Illinois rule).
//!
//! The trap: a loss that falls, rises and falls again has several such rates; the one that is found lies in the bracket.

use super::curvature::Curvature;
use crate::error::{Error, Result};
use crate::model::Objective;
use crate::stats::clusters::Clusters;

/// Between the first two rates; between two that follow at least and at most, and how far beyond the root that they lead to.
const FIRST: f64 = 4.0;
const FACTORS: (f64, f64) = (2.0, 64.0);
const BEYOND: f64 = 1.2;
/// Rates to try for the bracket, and within it.
const TRIES: usize = 10;
/// Of the first rate, the least to try: below it rises drown in the rounding of float32 losses.
const LEAST: f64 = 1e-5;
/// The last rate is this near to the root, relatively.
const TOLERANCE: f64 = 1e-2;
/// From the root, where the steepness there is taken.
const BESIDE: f64 = 0.9;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Critical {
    /// The critical learning rate, and its standard error over the examples.
    pub rate: f64,
    pub rate_se: f64,
    /// What each example makes of the critical sharpness, to first order, so that `Σ_n / M` is the sharpness `[N]`: its rise at the rate moves the
    /// rate, by the steepness there.
    pub by_example: Vec<f64>,
    /// Evaluations of the loss, the one at θ included.
    pub passes: usize,
}

impl Critical {
    /// `2 / η_c`
    pub fn sharpness(&self) -> f64 {
        2.0 / self.rate
    }

    /// Its standard error, to first order.
    pub fn sharpness_se(&self) -> f64 {
        2.0 * self.rate_se / (self.rate * self.rate)
    }
}

/// A rate that was tried: the rise over it, and the losses of the examples there.
struct Tried {
    rate: f64,
    slope: f64,
    sums: Vec<f64>,
}

/// The critical learning rate along `update`, beginning at `start`, for examples with so many targets.
///
/// # Errors
///
/// [`Error::Field`] where the loss rises from the start, or never.
pub fn critical<O: Objective + ?Sized>(
    curvature: &Curvature<O>,
    update: &[f32],
    start: f64,
    (targets, clusters): (&[f64], &Clusters),
) -> Result<Critical> {
    let centre = curvature.centre()?;
    let mut passes = 1;
    let mut at = |rate: f64| -> Result<Tried> {
        passes += 1;
        let sums = curvature.sums(&curvature.at(update, rate)?)?;
        let rise = sums.iter().zip(&centre).map(|(s, c)| s - c).sum::<f64>() / curvature.targets();
        // What is no number has risen.
        let rise = if rise.is_nan() { f64::INFINITY } else { rise };
        Ok(Tried { rate, slope: rise / rate, sums })
    };
    let (mut low, mut high) = bracket(&mut at, start)?;
    // What the slopes of the ends count for.
    let mut weights = (1.0, 1.0);
    let mut rate = root(&low, &high, weights);
    for _ in 0..TRIES {
        let tried = at(rate)?;
        weights = if tried.slope > 0.0 {
            high = tried;
            (0.5 * weights.0, 1.0)
        } else {
            low = tried;
            (1.0, 0.5 * weights.1)
        };
        let next = root(&low, &high, (1.0, 1.0));
        let done = (next / rate - 1.0).abs() < TOLERANCE;
        rate = if done { next } else { root(&low, &high, weights) };
        if done {
            break;
        }
    }
    let near = if high.slope < -low.slope { high } else { low };
    // Where the rise is 0, its derivative by the rate is the rate times that of the slope.
    let beside = at(BESIDE * rate)?;
    let steepness = rate * (near.slope - beside.slope) / (near.rate - beside.rate);
    let rises: Vec<f64> = near.sums.iter().zip(&centre).map(|(s, c)| s - c).collect();
    let rate_se = clusters.ratio_se(&rises, targets) / steepness.abs();
    let mean = rises.iter().sum::<f64>() / targets.iter().sum::<f64>();
    let (sharpness, by_rise) = (2.0 / rate, 2.0 / (rate * rate * steepness));
    let own = |(rise, m): (&f64, &f64)| sharpness * m + by_rise * (rise - mean * m);
    let by_example = rises.iter().zip(targets).map(own).collect();
    Ok(Critical { rate, rate_se, by_example, passes })
}

/// A rate at which the loss has not risen, and a larger one, at which it has.
fn bracket(at: &mut impl FnMut(f64) -> Result<Tried>, start: f64) -> Result<(Tried, Tried)> {
    let mut tried = at(start)?;
    let risen = tried.slope > 0.0;
    let mut next = if risen { start / FIRST } else { start * FIRST };
    for _ in 0..TRIES {
        if next < LEAST * start {
            break;
        }
        let new = at(next)?;
        if (new.slope > 0.0) != risen {
            return Ok(if risen { (new, tried) } else { (tried, new) });
        }
        let along = root(&tried, &new, (1.0, 1.0)) / new.rate;
        next = new.rate
            * match risen {
                true => (along / BEYOND).clamp(1.0 / FACTORS.1, 1.0 / FACTORS.0),
                // No root ahead: as far as it goes.
                false if along > 0.0 => (along * BEYOND).clamp(FACTORS.0, FACTORS.1),
                false => FACTORS.1,
            };
        tried = new;
    }
    let (found, fix) = match risen {
        true => (
            "a rise however short the step",
            "give an update that lowers the loss, such as the gradient's: leave --to out",
        ),
        false => ("no rise however long the step", "give an update of another model or set"),
    };
    Err(Error::field("--critical", "loss along the update", "falling, then rising", found, fix))
}

/// Where the straight line through two slopes is 0, each of them times its weight; in the middle of the rates where one is infinite.
fn root(one: &Tried, other: &Tried, weights: (f64, f64)) -> f64 {
    let (a, b) = (one.slope * weights.0, other.slope * weights.1);
    match a.is_finite() && b.is_finite() {
        true => one.rate + (other.rate - one.rate) * a / (a - b),
        false => (one.rate * other.rate).sqrt(),
    }
}
