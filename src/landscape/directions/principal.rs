//! The two leading principal components of snapshots of a training run, about the trained model (Li et al. 2018).
//!
//! All but a few of the components of a random walk of many dimensions look like cosines, whatever the loss (Antognini and
//! Sohl-Dickstein 2018): a curved path is no finding by itself, and the explained variance is high for free.

use std::path::PathBuf;

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

use super::{Direction, Directions, Inputs, Mark, Source};
use crate::error::{Error, Result};
use crate::landscape::space::{add_scaled, dot};
use crate::params::{self, ParamMap, SafetensorsFile};

pub const PRINCIPAL: Source = Source {
    name: "principal",
    axes: ["first principal component", "second"],
    between: false,
    along: true,
    scales: false,
    make,
};

fn make(inputs: &Inputs) -> Result<Directions> {
    principal(inputs.theta, &inputs.snapshots)
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
