//! Directions between models, and along a training run.
//!
//! [`through`]: from one model to one or two others, so that all of them lie in the plane: the second direction is made
//! orthogonal to the first and as long, so distances on paper are distances between weights (Garipov et al. 2018).
//!
//! [`principal`]: the two leading principal components of snapshots of a training run, about the trained model (Li et al.
//! 2018). All but a few of the components of a random walk of many dimensions look like cosines, whatever the loss (Antognini
//! and Sohl-Dickstein 2018): a curved path is no finding by itself, and the explained variance is high for free.

use std::path::PathBuf;

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::direction::Direction;
use super::space::{add_scaled, dot, scale};
use crate::error::{Error, Result};
use crate::params::{self, ParamMap, SafetensorsFile};

/// A model in the plane: a row of `DIRECTIONS.marks.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What it is called; empty for a snapshot.
    pub label: String,
    /// Its place along the first direction, in lengths of that direction.
    pub x: f64,
    /// Its place along the second.
    pub y: f64,
    /// Training step of a snapshot; empty for a model.
    pub order: Option<usize>,
    /// How far it lies off the plane, in the unit of x and y.
    pub distance: f64,
}

/// A pair of directions (the second may be empty), and what lies where.
#[derive(Clone, Debug)]
pub struct Directions {
    pub pair: [Direction; 2],
    pub marks: Vec<Mark>,
    /// `‖d‖` of each, in the unit of the parameters.
    pub lengths: [f64; 2],
    /// Share of the snapshots' variance along each.
    pub explained: Option<[f64; 2]>,
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
    let distinct = |label: &str, length: f64, expected: &str| match length > 0.0 {
        true => Ok(()),
        false => Err(Error::field("directions", label, expected, "no such difference", "name another model")),
    };
    distinct(&models[0].0, length, "other weights than the checkpoint's")?;
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
        distinct(&models[1].0, off, "weights off the line through the other two")?;
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

/// `aᵀb`, tensor by tensor.
fn inner(a: &Direction, b: &Direction) -> f64 {
    a.iter().filter_map(|(name, a)| Some(dot(a, b.get(name)?))).sum()
}

/// The two leading principal components of some snapshots of a training run about θ, which lies at (0, 0). Both directions
/// have one length, by which the longest coordinate of the path is 1; the first snapshot lies on the positive sides.
///
/// Snapshots are read tensor by tensor: memory is that of one tensor of all of them, and of the pair.
///
/// # Errors
///
/// [`Error::Field`] for fewer than three snapshots, one that does not fit the model, or snapshots on a line.
pub fn principal(theta: &ParamMap, snapshots: &[(usize, PathBuf)]) -> Result<Directions> {
    let mut files = Vec::new();
    for (_, path) in snapshots {
        files.push(SafetensorsFile::open(path)?);
    }
    let k = files.len();
    // Products of the differences from θ.
    let mut gram = DMatrix::<f64>::zeros(k, k);
    for (name, weight) in theta {
        let own = differences(&mut files, name, weight)?;
        let pairs: Vec<(usize, usize)> = (0..own.len()).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
        let products: Vec<f64> = pairs.par_iter().map(|&(i, j)| dot(&own[i], &own[j])).collect();
        for ((i, j), product) in pairs.into_iter().zip(products) {
            gram[(i, j)] += product;
            if i != j {
                gram[(j, i)] += product;
            }
        }
    }
    let centring = DMatrix::from_fn(k, k, |i, j| f64::from(u8::from(i == j)) - 1.0 / k as f64);
    let eigen = SymmetricEigen::new(&centring * &gram * &centring);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let total: f64 = eigen.eigenvalues.iter().map(|v| v.max(0.0)).sum();
    let leading: Vec<(f64, Vec<f64>)> = order
        .iter()
        .take(2)
        .map(|&i| (eigen.eigenvalues[i], eigen.eigenvectors.column(i).iter().copied().collect()))
        .collect();
    // What rounding leaves is no component: snapshots on a line have one, and the same one again has none.
    if k < 3 || leading[1].0 <= 1e-10 * total || total == 0.0 {
        let found = format!("{} in {k} snapshots", if total > 0.0 { "one" } else { "none" });
        let fix = "train with --snapshots 10 or more";
        return Err(Error::field("trajectory", "principal components", "two", found, fix));
    }
    // dᵢ = Σ_k w_ik Δ_k, of length 1: the centred combination, whose weights sum to zero.
    let weights: Vec<Vec<f64>> =
        leading.iter().map(|(value, u)| u.iter().map(|u| u / value.sqrt()).collect()).collect();
    let place = |w: &Vec<f64>, j: usize| -> f64 { (0..k).map(|l| w[l] * gram[(j, l)]).sum() };
    let sign: Vec<f64> = weights.iter().map(|w| if place(w, 0) < 0.0 { -1.0 } else { 1.0 }).collect();
    let weights: Vec<Vec<f64>> =
        weights.into_iter().zip(sign).map(|(w, sign)| w.into_iter().map(|v| sign * v).collect()).collect();
    let places: Vec<[f64; 2]> = (0..k).map(|j| [place(&weights[0], j), place(&weights[1], j)]).collect();
    let length = places.iter().flatten().fold(0.0, |longest: f64, v| longest.max(v.abs()));

    let mut pair = [Direction::new(), Direction::new()];
    for (name, weight) in theta {
        let own = differences(&mut files, name, weight)?;
        for (direction, w) in pair.iter_mut().zip(&weights) {
            let mut values = vec![0f32; weight.elem_count()];
            own.iter().zip(w).for_each(|(own, w)| add_scaled(&mut values, w * length, own));
            if values.iter().any(|v| *v != 0.0) {
                direction.insert(name.clone(), values);
            }
        }
    }
    let mark = |(j, (step, _)): (usize, &(usize, PathBuf))| Mark {
        label: String::new(),
        x: places[j][0] / length + 0.0,
        y: places[j][1] / length + 0.0,
        order: Some(*step),
        distance: (gram[(j, j)] - places[j][0].powi(2) - places[j][1].powi(2)).max(0.0).sqrt() / length,
    };
    Ok(Directions {
        pair,
        marks: snapshots.iter().enumerate().map(mark).collect(),
        lengths: [length, length],
        explained: Some([leading[0].0 / total, leading[1].0 / total]),
    })
}

/// `θ_k - θ` of one tensor, for each snapshot.
fn differences(
    files: &mut [SafetensorsFile],
    name: &str,
    weight: &candle_core::Tensor,
) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::new();
    for file in files {
        let mut values = file.f32(name, weight.dims())?;
        params::with_values(weight, |w| values.iter_mut().zip(w).for_each(|(v, w)| *v -= w))?;
        all.push(values);
    }
    Ok(all)
}
