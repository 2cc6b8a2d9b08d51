//! Lanczos' method with full re-orthogonalization: leading eigenvalues, eigenvectors and the spectral density.
//!
//! From a start vector q₀ and products with a symmetric H it builds an orthonormal basis Q in which H is tridiagonal, T.
//! Eigenvalues of T (Ritz values) approach the outermost ones of H; how far they are from them is measured apart, with products
//! of their own ([`super::curvature::Curvature::bound`]): T knows nothing of the error of the products that made it. With random start vectors the squared first components of T's eigenvectors are weights of a quadrature
//! for the spectral density (Golub and Welsch 1969; Ghorbani, Krishnan and Xiao 2019).
//!
//! The trap: in floating point the basis loses its orthogonality just when a Ritz value converges, and copies of that
//! value appear. So every new vector is made orthogonal to all before it, twice.

use nalgebra::{DMatrix, SymmetricEigen};

use super::basis::Basis;
use super::journal::Journal;
use super::space::{add_scaled, dot, norm, scale};
use crate::error::Result;

/// T, the matrix in the basis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tridiagonal {
    /// Its diagonal.
    pub alpha: Vec<f64>,
    /// Beside the diagonal; the last one is the length of what H leads out of the basis.
    pub beta: Vec<f64>,
}

/// An eigenvalue of T with what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ritz {
    pub value: f64,
    /// Squared first component of the eigenvector: weight in the spectral density of the start vector.
    pub weight: f64,
    /// Coordinates in the basis.
    pub coordinates: Vec<f64>,
}

/// Builds a basis of at most `steps` vectors; fewer if H leads out of it no more. Each step is a unit of the `journal`.
pub fn lanczos(
    times: impl Fn(&[f32]) -> Result<Vec<f32>>,
    start: &[f32],
    steps: usize,
    basis: &mut Basis,
    journal: &mut Journal,
) -> Result<Tridiagonal> {
    let mut t = Tridiagonal::default();
    for j in 0..steps {
        let two = |entries: &[f64]| entries.len() == 2 && entries.iter().all(|v| v.is_finite());
        let entries = journal.unit(two, || {
            if j == 0 {
                basis.clear()?;
                let mut q = start.to_vec();
                scale(&mut q, 1.0 / norm(start));
                basis.set(0, q)?;
            }
            let mut w = times(&basis.get(j)?)?;
            let alpha = dot(&w, &basis.get(j)?);
            for k in (0..=j).chain(0..=j) {
                let q = basis.get(k)?;
                let along = dot(&w, &q);
                add_scaled(&mut w, -along, &q);
            }
            let beta = norm(&w);
            if beta > 0.0 {
                scale(&mut w, 1.0 / beta);
                basis.set(j + 1, w)?;
            }
            Ok(vec![alpha, beta])
        })?;
        t.alpha.push(entries[0]);
        t.beta.push(entries[1]);
        if entries[1] <= NOTHING * t.size() {
            break;
        }
    }
    Ok(t)
}

/// What is left of a vector of float32 after all of it has been taken away, relative to it.
const NOTHING: f64 = 1e-6;

impl Tridiagonal {
    /// Largest entry.
    fn size(&self) -> f64 {
        self.alpha.iter().chain(&self.beta).map(|v| v.abs()).fold(0.0, f64::max)
    }

    /// Its eigenvalues, the largest first.
    pub fn ritz(&self) -> Vec<Ritz> {
        let m = self.alpha.len();
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => self.alpha[i],
            1 => self.beta[i.min(j)],
            _ => 0.0,
        };
        let eigen = SymmetricEigen::new(DMatrix::from_fn(m, m, entry));
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let ritz = |i: usize| {
            let coordinates: Vec<f64> = eigen.eigenvectors.column(i).iter().copied().collect();
            Ritz { value: eigen.eigenvalues[i], weight: coordinates[0].powi(2), coordinates }
        };
        order.into_iter().map(ritz).collect()
    }
}

/// A Ritz vector: `Σ_j s_j q_j`, of length 1, its largest component positive.
pub fn vector(ritz: &Ritz, basis: &mut Basis, length: usize) -> Result<Vec<f32>> {
    let mut v = vec![0f32; length];
    for (j, s) in ritz.coordinates.iter().enumerate() {
        add_scaled(&mut v, *s, &basis.get(j)?);
    }
    let largest = v.iter().copied().fold(0.0, |a: f32, b| if b.abs() > a.abs() { b } else { a });
    let factor = if largest < 0.0 { -1.0 } else { 1.0 } / norm(&v);
    scale(&mut v, factor);
    Ok(v)
}

/// A spectral density on a grid: a normal curve of width `sigma` for each Ritz value, averaged over start vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    pub eigenvalue: Vec<f64>,
    /// Per unit of the eigenvalue; integrates to 1.
    pub density: Vec<f64>,
    /// Standard deviation over the start vectors; empty for one.
    pub sd: Vec<f64>,
    pub sigma: f64,
}

/// Points of a density.
pub const POINTS: usize = 512;

/// 1, 2 or 5 times a power of ten, at most `v`; 0 for 0.
fn round_down(v: f64) -> f64 {
    let power = 10f64.powf(v.log10().floor());
    let times = [5.0, 2.0, 1.0].into_iter().find(|times| times * power <= v);
    times.map_or(0.0, |times| times * power)
}

/// The density that several runs from random start vectors see, smoothed by about a hundredth of the range: by a round
/// number below it, so that spectra of like range are smoothed alike and may be laid over each other.
pub fn density(runs: &[Vec<Ritz>]) -> Density {
    let values = || runs.iter().flatten().map(|ritz| ritz.value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let sigma = round_down(0.01 * (high - low)).max(1e-12 * high.abs().max(low.abs())).max(f64::MIN_POSITIVE);
    let (low, high) = (low - 4.0 * sigma, high + 4.0 * sigma);
    let eigenvalue: Vec<f64> =
        (0..POINTS).map(|i| low + (high - low) * i as f64 / (POINTS - 1) as f64).collect();
    let at = |run: &Vec<Ritz>, t: f64| -> f64 {
        let normal = |x: f64| (-0.5 * x * x).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        run.iter().map(|ritz| ritz.weight * normal((t - ritz.value) / sigma)).sum()
    };
    let each: Vec<Vec<f64>> =
        eigenvalue.iter().map(|&t| runs.iter().map(|run| at(run, t)).collect()).collect();
    let sd = if runs.len() > 1 { each.iter().map(|d| crate::stats::sd(d)).collect() } else { Vec::new() };
    Density { density: each.iter().map(|d| crate::stats::mean(d)).collect(), sd, eigenvalue, sigma }
}
