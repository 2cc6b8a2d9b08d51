//! Directions between models: from one to one or two others, so that all of them lie in the plane.
//!
//! The second direction is made orthogonal to the first and as long, so distances on paper are distances between weights
//! (Garipov et al. 2018).

use rayon::prelude::*;

use super::{Direction, Directions, Inputs, Mark, Source, inner};
use crate::error::{Error, Result};
use crate::landscape::space::{add_scaled, scale};
use crate::params::{self, ParamMap};

pub const BETWEEN: Source = Source {
    name: "between",
    axes: ["towards the first model", "at a right angle to it"],
    between: true,
    along: false,
    scales: false,
    make,
};

fn make(inputs: &Inputs) -> Result<Directions> {
    through(&inputs.origin, inputs.theta, &inputs.models)
}

/// The line from θ to one model, or the plane through θ and two. θ lies at (0, 0), the first model at (1, 0).
///
/// # Errors
///
/// [`Error::Field`] if a model has other parameters, if it is θ itself, or if the three lie on a line.
pub fn through(origin: &str, theta: &ParamMap, models: &[(String, ParamMap)]) -> Result<Directions> {
    let mut differences = Vec::new();
    for (label, model) in models {
        differences.push(difference(theta, model, label)?);
    }
    let [first, others @ ..] = &mut differences[..] else {
        return Err(Error::field("directions", "models", "one or two", "none", "name a model with --to"));
    };
    let length = inner(first, first).sqrt();
    let distinct = |label: &str, length: f64, why: &str| match length > 0.0 {
        true => Ok(()),
        false => Err(Error::said("directions", format!("{label} {why}"), "name another model")),
    };
    distinct(&models[0].0, length, "has the same weights as the checkpoint")?;
    let mark = |label: &str, x, y| Mark { label: label.to_string(), x, y, order: None, distance: 0.0 };
    let mut marks = vec![mark(origin, 0.0, 0.0), mark(&models[0].0, 1.0, 0.0)];
    let (mut second, mut lengths) = (Direction::new(), [length, 0.0]);
    if let [other] = others {
        let along = inner(other, first) / (length * length);
        for (name, values) in other.iter_mut() {
            if let Some(x) = first.get(name) {
                add_scaled(values, -along, x);
            }
        }
        let off = inner(other, other).sqrt();
        // What rounding leaves of a difference of float32 is no direction.
        let off = if off > 1e-5 * length { off } else { 0.0 };
        distinct(&models[1].0, off, "lies on the line through the other two models")?;
        other.values_mut().for_each(|values| scale(values, length / off));
        marks.push(mark(&models[1].0, along, off / length));
        second = std::mem::take(other);
        lengths[1] = length;
    }
    Ok(Directions { pair: [std::mem::take(first), second], marks, lengths, explained: None })
}

/// `model - θ`, of the tensors that differ.
fn difference(theta: &ParamMap, model: &ParamMap, label: &str) -> Result<Direction> {
    let fix = "compare models of one architecture with one head";
    if let Some(name) = theta.keys().find(|name| !model.contains_key(*name)) {
        return Err(Error::field(label, name, "present, as in the checkpoint", "missing", fix));
    }
    let own = |(name, weight): (&String, &candle_core::Tensor)| {
        let other = &model[name];
        if other.dims() != weight.dims() {
            let expected = format!("of the checkpoint's shape {:?}", weight.dims());
            return Err(Error::field(label, name, expected, format!("{:?}", other.dims()), fix));
        }
        let mut values = params::with_values(other, <[f32]>::to_vec)?;
        params::with_values(weight, |w| values.iter_mut().zip(w).for_each(|(v, w)| *v -= w))?;
        Ok((name.clone(), values))
    };
    let all: Vec<(String, Vec<f32>)> = theta.par_iter().map(own).collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|(_, values)| values.iter().any(|v| *v != 0.0)).collect())
}
