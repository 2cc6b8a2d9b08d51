//! The gradient of the set's loss, and a random direction at a right angle to it.
//!
//! `x = ∂L/∂θ`, so that the loss rises towards positive x; `y` is a Gaussian direction minus its part along x, and as
//! long as x. Both are scaled to the weights as Gaussian directions are (`--normalize`), x row by row: the gradient's
//! sign and proportions within a row count, and not how rows compare.

use super::gaussian::random;
use super::{Direction, Directions, Inputs, Source, inner, length};
use crate::data::by_length;
use crate::error::{Error, Result};
use crate::landscape::curvature::Curvature;
use crate::landscape::mask;
use crate::landscape::space::{Space, add_scaled, scale};

pub const GRADIENT: Source = Source {
    name: "gradient",
    axes: ["along the gradient, scaled to the weights", "at a right angle to it, at random"],
    between: false,
    along: false,
    scales: true,
    make,
};

/// # Errors
///
/// [`Error::Field`] where the gradient is not finite, or zero.
fn make(inputs: &Inputs) -> Result<Directions> {
    let mut x = gradient(inputs)?;
    for (name, d) in &mut x {
        inputs.normalize.apply(d, &inputs.theta[name], inputs.objective.filters(name))?;
    }
    let long = length(&x);
    if long == 0.0 {
        let fix = "use another checkpoint or set: here no direction is uphill";
        return Err(Error::said("directions", "the gradient is zero", fix));
    }
    let mut y = random(
        &|name| inputs.objective.filters(name),
        inputs.theta,
        inputs.seed,
        "y",
        inputs.normalize,
        inputs.vectors,
    )?;
    let along = inner(&y, &x) / (long * long);
    for (name, d) in &mut y {
        if let Some(x) = x.get(name) {
            add_scaled(d, -along, x);
        }
    }
    let off = length(&y);
    if off == 0.0 {
        let fix = "let more parameters move, or use another seed";
        return Err(Error::said("directions", "the random direction lies along the gradient", fix));
    }
    y.values_mut().for_each(|d| scale(d, long / off));
    Ok(Directions { pair: [x, y], marks: inputs.origin_alone(), lengths: [long, long], explained: None })
}

/// `∂L/∂θ` of the tensors that may move, zero where no example reaches.
fn gradient(inputs: &Inputs) -> Result<Direction> {
    let used: Vec<&_> = inputs.examples.iter().filter(|e| e.targets() > 0).collect();
    let moving = inputs.theta.iter().filter(|(_, t)| inputs.vectors || t.rank() > 1).map(|(name, _)| name);
    let reached = |name: &str| inputs.objective.reached(name, &used);
    let space = Space::new(&mask::reached(inputs.theta, moving, reached));
    let order = by_length(inputs.examples);
    let curvature = Curvature::new(inputs.objective, inputs.theta, inputs.examples, &order, &space);
    let gradient: Vec<f32> = curvature.gradient(inputs.theta)?.into_iter().map(|g| g as f32).collect();
    Ok(space.direction(&gradient, 1.0, inputs.theta))
}
