//! The trace of the Hessian: exact on its leading eigenvectors, by random signs on the rest (Hutch++; Meyer, Musco, Musco and
//! Woodruff 2021).
//!
//! For any orthonormal `v_1 .. v_k` and `P = I - Σ v_i v_iᵀ`, `tr H = Σ v_iᵀ H v_i + tr P H P`, and `E zᵀ P H P z = tr P H P` over
//! random signs z (Hutchinson 1990). Every term is a sum over examples, by losses alone.
//!
//! The trap: without the first sum a dominant eigenvalue λ makes each draw nearly `λ χ²_1`, so skewed that Student's interval over 20 draws
//! covers 92 % and not 95 %.

use std::ops::Range;

use super::basis::Basis;
use super::curvature::Curvature;
use super::space::{add_scaled, dot};
use crate::error::Result;
use crate::model::Objective;

/// How far losses are differenced along an eigenvector: until the parabola has risen by this, in units of the loss. Less drowns in
/// the rounding of float32 losses, some 1e-7; more leaves the parabola.
const RISE: f64 = 3e-4;

/// The step along a vector of this curvature; no longer than `wide`.
pub fn step(curvature: f64, wide: f64) -> f64 {
    (2.0 * RISE / curvature.abs()).sqrt().min(wide)
}

/// `zᵀ P H_n P z` of each example's summed loss; the vectors that P leaves out are the `known` ones of the basis.
pub fn outside<O: Objective + ?Sized>(
    curvature: &Curvature<O>,
    mut z: Vec<f32>,
    (basis, known): (&mut Basis, Range<usize>),
    wide: f64,
    centre: &[f64],
) -> Result<Vec<f64>> {
    for k in known {
        let v = basis.get(k)?;
        let along = dot(&z, &v);
        add_scaled(&mut z, -along, &v);
    }
    let square = dot(&z, &z);
    if square == 0.0 {
        return Ok(vec![0.0; centre.len()]);
    }
    let along = curvature.along(&z, wide, centre)?;
    Ok(along.into_iter().map(|c| c * square).collect())
}
