//! Gaussian directions, normalized to the weights (Li et al. 2018).
//!
//! Filter normalization scales the weights of each output of a map to their norm in θ: `d_r ← d_r · ‖θ_r‖ / ‖d_r‖` for
//! each row (first axis) of a tensor of two or more axes, or for each column where outputs stand there (GPT-2's
//! `Conv1D`); a filter of norm 0 gets direction 0. Biases and LayerNorm vectors stay at zero unless
//! asked for, as in the paper's code. Each tensor draws from a stream of its own, named for axis and tensor, so one
//! seed gives one direction on every machine and for every model that has the tensor.

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Direction, Directions, Inputs, Source, length, norm};
use crate::error::Result;
use crate::model::objective::Filters;
use crate::params::{self, ParamMap};
use crate::rng::Stream;

pub const GAUSSIAN: Source = Source {
    name: "gaussian",
    axes: ["first direction", "second direction"],
    between: false,
    along: false,
    scales: true,
    make,
};

fn make(inputs: &Inputs) -> Result<Directions> {
    let draw = |axis| {
        random(
            &|name| inputs.objective.filters(name),
            inputs.theta,
            inputs.seed,
            axis,
            inputs.normalize,
            inputs.vectors,
        )
    };
    let pair = [draw("x")?, draw("y")?];
    Ok(Directions {
        lengths: pair.each_ref().map(length),
        pair,
        marks: inputs.origin_alone(),
        explained: None,
    })
}

/// To what a Gaussian direction is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Each filter to its norm in θ.
    #[default]
    Filter,
    /// Each tensor to its norm in θ.
    Layer,
    /// Not at all.
    None,
}

/// A random direction for `axis` ("x" or "y") of tensors whose filters lie as `filters` says. `vectors`: 1-D parameters move too, scaled to their norm.
pub fn random(
    filters: &dyn Fn(&str) -> Filters,
    theta: &ParamMap,
    seed: u64,
    axis: &str,
    normalize: Normalize,
    vectors: bool,
) -> Result<Direction> {
    let moving = theta.iter().filter(|(_, t)| vectors || t.rank() > 1);
    let moving: Vec<(&String, &Tensor, Filters)> = moving.map(|(name, t)| (name, t, filters(name))).collect();
    moving
        .par_iter()
        .map(|(name, weight, filters)| {
            let mut d = vec![0f32; weight.elem_count()];
            Stream::new(seed, &format!("direction/{axis}/{name}")).fill_normal(0, &mut d);
            normalize.apply(&mut d, weight, *filters)?;
            Ok(((*name).clone(), d))
        })
        .collect()
}

impl Normalize {
    /// Scales the direction of a tensor, whose filters are these, to its weights.
    pub fn apply(self, d: &mut [f32], weight: &Tensor, filters: Filters) -> Result<()> {
        if let (Normalize::Filter, Filters::Columns, &[rows, columns]) = (self, filters, weight.dims()) {
            return params::with_values(weight, |weight| {
                for column in 0..columns {
                    let of =
                        |all: &[f32]| (0..rows).map(|row| all[row * columns + column]).collect::<Vec<f32>>();
                    let mut own = of(d);
                    scale_to(&mut own, &of(weight));
                    own.iter().enumerate().for_each(|(row, v)| d[row * columns + column] = *v);
                }
            });
        }
        let row = match self {
            Normalize::Filter if weight.rank() > 1 => d.len() / weight.dim(0)?.max(1),
            Normalize::Filter | Normalize::Layer => d.len(),
            Normalize::None => return Ok(()),
        };
        params::with_values(weight, |weight| {
            d.chunks_mut(row.max(1)).zip(weight.chunks(row.max(1))).for_each(|(d, w)| scale_to(d, w));
        })
    }
}

/// Scales `d` to the norm of `w`; to zero where either norm is zero.
fn scale_to(d: &mut [f32], w: &[f32]) {
    let (own, wanted) = (norm(d), norm(w));
    let factor = if own > 0.0 { wanted / own } else { 0.0 };
    d.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
}
