//! Directions in parameter space: Gaussian, normalized to the weights (Li et al. 2018), or given in a file.
//!
//! Filter normalization scales each row (first axis) of a tensor of two or more axes to that row's norm in θ:
//! `d_r ← d_r · ‖θ_r‖ / ‖d_r‖`; a row of norm 0 gets direction 0. Biases and LayerNorm vectors stay at zero unless
//! asked for, as in the paper's code. Each tensor draws from a stream of its own, named for axis and tensor, so one
//! seed gives one direction on every machine and for every model that has the tensor.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::params::{self, Column, ParamMap};
use crate::progress;
use crate::rng::Stream;

/// A direction: values in row-major order for each parameter that moves.
pub type Direction = BTreeMap<String, Vec<f32>>;

/// To what a Gaussian direction is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Each row to the norm of that row in θ.
    #[default]
    Filter,
    /// Each tensor to its norm in θ.
    Layer,
    /// Not at all.
    None,
}

/// A random direction for `axis` ("x" or "y"). `vectors`: 1-D parameters move too, scaled to their norm.
pub fn random(
    theta: &ParamMap,
    seed: u64,
    axis: &str,
    normalize: Normalize,
    vectors: bool,
) -> Result<Direction> {
    let moving: Vec<(&String, &Tensor)> = theta.iter().filter(|(_, t)| vectors || t.rank() > 1).collect();
    moving
        .par_iter()
        .map(|(name, weight)| {
            let mut d = vec![0f32; weight.elem_count()];
            Stream::new(seed, &format!("direction/{axis}/{name}")).fill_normal(0, &mut d);
            let row = match normalize {
                Normalize::Filter if weight.rank() > 1 => d.len() / weight.dim(0)?.max(1),
                Normalize::Filter | Normalize::Layer => d.len(),
                Normalize::None => return Ok(((*name).clone(), d)),
            };
            params::with_values(weight, |weight| {
                d.chunks_mut(row.max(1)).zip(weight.chunks(row.max(1))).for_each(|(d, w)| scale_to(d, w));
            })?;
            Ok(((*name).clone(), d))
        })
        .collect()
}

/// Scales `d` to the norm of `w`; to zero where either norm is zero.
fn scale_to(d: &mut [f32], w: &[f32]) {
    let (own, wanted) = (norm(d), norm(w));
    let factor = if own > 0.0 { wanted / own } else { 0.0 };
    d.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
}

/// Euclidean norm, summed in f64 in index order.
pub fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// BLAKE3 over names and values: surfaces along the same directions have it in common.
pub fn hash(directions: &[Direction]) -> String {
    let mut hash = blake3::Hasher::new();
    for (axis, direction) in directions.iter().enumerate() {
        for (name, values) in direction {
            hash.update(format!("{axis}.{name}").as_bytes());
            let mut bytes = Vec::with_capacity(1 << 16);
            for part in values.chunks(1 << 14) {
                bytes.clear();
                bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
                hash.update(&bytes);
            }
        }
    }
    hash.finalize().to_hex().to_string()
}

/// Writes a pair of directions as `x.NAME` and `y.NAME`, in the shapes of the parameters.
pub fn write(path: &Path, directions: &[Direction; 2], theta: &ParamMap) -> Result<()> {
    let tensors = ["x", "y"].into_iter().zip(directions).flat_map(|(axis, direction)| {
        direction.iter().map(move |(name, values)| {
            (format!("{axis}.{name}"), theta[name].dims().to_vec(), Column::F32(values))
        })
    });
    params::write_safetensors(path, tensors, &BTreeMap::new())
}

/// Reads directions (`x.NAME`, `y.NAME`), used as they are. Names that the model lacks are said and left out.
///
/// # Errors
///
/// [`Error::Field`] for a broken file, a tensor of another shape than the parameter, a value that is not finite, or
/// no name of the model at all.
pub fn read(path: &Path, theta: &ParamMap) -> Result<[Direction; 2]> {
    let (tensors, _) = params::read_safetensors(path)?;
    let mut directions = [Direction::new(), Direction::new()];
    let mut foreign = Vec::new();
    for (key, d) in &tensors {
        let (axis, name) = match key.split_once('.') {
            Some(("x", name)) => (0, name),
            Some(("y", name)) => (1, name),
            _ => {
                let fix = "name each tensor x.PARAMETER or y.PARAMETER";
                return Err(Error::field(path.display(), key, "named x.PARAMETER or y.PARAMETER", key, fix));
            }
        };
        let Some(weight) = theta.get(name) else {
            foreign.push(key.clone());
            continue;
        };
        let fix = "use directions that were made for this checkpoint";
        if d.dims() != weight.dims() {
            let expected = format!("of the parameter's shape {:?}", weight.dims());
            return Err(Error::field(path.display(), key, expected, format!("{:?}", d.dims()), fix));
        }
        let values = params::with_values(d, <[f32]>::to_vec)?;
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::field(path.display(), key, "finite", value, fix));
        }
        directions[axis].insert(name.to_string(), values);
    }
    if directions.iter().all(Direction::is_empty) {
        let fix = "use directions that were made for this checkpoint";
        return Err(Error::field(path.display(), "tensors", "some parameter of the model", "none", fix));
    }
    if !foreign.is_empty() {
        progress::excluded(format!("{}: not in the model, left out: {}", path.display(), foreign.join(", ")));
    }
    Ok(directions)
}
