//! Elementwise functions and functions of rows: activations, norms, softmax.

use rayon::prelude::*;

use crate::threads::{filled, grain, written, zeroed};
use crate::vectorized::vectorized;

/// `exp(x)` to about 2 units in the last place: reduction by ln 2 in two parts and a polynomial (Cephes).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // A number so large has no digits behind the point, and those of the integer lowest: a cast would be one value at a time.
    const WHOLE: f32 = 12_582_912.0; // 1.5 · 2^23
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `erf(x)` to 4e-7: a rational function of x², as in Eigen.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = -2.726_142e-10 * s + 2.770_681_4e-8;
    let p = p * s - 2.101_024e-6;
    let p = p * s - 5.692_506_4e-5;
    let p = p * s - 7.349_906_3e-4;
    let p = p * s - 2.954_6e-3;
    let p = p * s - 1.609_603_3e-2;
    let q = -1.456_607_2e-5 * s - 2.133_740_6e-4;
    let q = q * s - 1.682_827e-3;
    let q = q * s - 7.373_329e-3;
    let q = q * s - 1.426_473_9e-2;
    x * p / q
}

/// Values of an elementwise task: few enough to stay in the first cache from one loop over them to the next.
const CHUNK: usize = 4096;

/// `1 / (1 + exp(-z))`
#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// `2 √(2/π)`, and the share of the cube: `(1 + tanh u) / 2` is the sigmoid of `2u`.
const TANH: [f32; 2] = [1.595_769_2, 0.044_715];
/// Beyond this the approximation is `0` or `x`; a cube would overflow.
const FAR: f32 = 10.0;

/// `2u` of the approximation by tanh.
#[inline(always)]
fn bent(x: f32) -> f32 {
    TANH[0] * (x + TANH[1] * x * x * x)
}

/// A feed-forward activation, and how it and its slope are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `x Φ(x)`
    Gelu,
    /// Its approximation by tanh, as in GPT-2.
    TanhGelu,
    /// `x / (1 + exp(-x))`
    Silu,
    Relu,
}

// Loops, and no closures: these may become functions of their own, compiled for the baseline.
vectorized! {
    fn activate_chunk(curve: Curve, x: &[f32], y: &mut [f32]) {
        let pairs = y.iter_mut().zip(x);
        match curve {
            Curve::Gelu => {
                for (y, x) in pairs {
                    *y = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
                }
            }
            Curve::TanhGelu => {
                for (y, x) in pairs {
                    *y = x * sigmoid(bent(x.clamp(-FAR, FAR)));
                }
            }
            Curve::Silu => {
                for (y, x) in pairs {
                    *y = x * sigmoid(*x);
                }
            }
            Curve::Relu => {
                for (y, x) in pairs {
                    *y = if *x < 0.0 { 0.0 } else { *x };
                }
            }
        }
    }
}

vectorized! {
    fn activate_backward_chunk(curve: Curve, x: &[f32], g: &mut [f32]) {
        const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 π)
        let pairs = g.iter_mut().zip(x);
        match curve {
            Curve::Gelu => {
                for (g, x) in pairs {
                    let cumulative = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
                    *g *= cumulative + x * DENSITY * exp(-0.5 * x * x);
                }
            }
            Curve::TanhGelu => {
                for (g, x) in pairs {
                    let x = x.clamp(-FAR, FAR);
                    let s = sigmoid(bent(x));
                    *g *= s + x * s * (1.0 - s) * TANH[0] * (1.0 + 3.0 * TANH[1] * x * x);
                }
            }
            Curve::Silu => {
                for (g, x) in pairs {
                    let s = sigmoid(*x);
                    *g *= s + x * s * (1.0 - s);
                }
            }
            Curve::Relu => {
                for (g, x) in pairs {
                    *g = if *x > 0.0 { *g } else { 0.0 };
                }
            }
        }
    }
}

/// A curve, value by value.
pub fn activate(curve: Curve, x: &[f32]) -> Vec<f32> {
    filled(x.len(), CHUNK, |at, y| activate_chunk(curve, &x[at..at + y.len()], y))
}

/// The gradient at the input from that at the output.
pub fn activate_backward(curve: Curve, x: &[f32], g: &[f32]) -> Vec<f32> {
    filled(x.len(), CHUNK, |at, own| {
        own.copy_from_slice(&g[at..at + own.len()]);
        activate_backward_chunk(curve, &x[at..at + own.len()], own);
    })
}

/// Lanes of every sum: the same number on every processor.
const LANES: usize = 16;

/// One value of all lanes, by halves.
#[inline(always)]
fn folded(mut lanes: [f32; LANES], meet: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = meet(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Σ a b in sixteen interleaved lanes: the same order on every processor.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    folded(sums, |a, b| a + b) + rest
}

/// Σ a, likewise.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (lots, rest) = a.as_chunks::<LANES>();
    for lot in lots {
        for (s, a) in sums.iter_mut().zip(lot) {
            *s += a;
        }
    }
    folded(sums, |a, b| a + b) + rest.iter().sum::<f32>()
}

/// Σ exp(a - top), likewise.
#[inline(always)]
pub fn exp_sum(a: &[f32], top: f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (lots, rest) = a.as_chunks::<LANES>();
    for lot in lots {
        for (s, a) in sums.iter_mut().zip(lot) {
            *s += exp(a - top);
        }
    }
    folded(sums, |a, b| a + b) + rest.iter().map(|a| exp(a - top)).sum::<f32>()
}

/// max a, of those that are numbers.
#[inline(always)]
pub fn largest(a: &[f32]) -> f32 {
    let larger = |m: f32, v: f32| if v > m { v } else { m };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (lots, rest) = a.as_chunks::<LANES>();
    for lot in lots {
        for (m, v) in lanes.iter_mut().zip(lot) {
            *m = larger(*m, *v);
        }
    }
    rest.iter().fold(folded(lanes, larger), |m, v| larger(m, *v))
}

/// Rows of a norm's task.
const ROWS: usize = 32;

/// A norm of rows.
pub struct Normed {
    /// `normal ⊙ weight + bias`
    pub y: Vec<f32>,
    /// `(s - mean) / sqrt(variance + eps)`
    pub normal: Vec<f32>,
    /// Reciprocal standard deviations.
    pub scale: Vec<f32>,
}

/// The norm of the rows `s = x ⊙ noise + residual`; `noise(row, rows)` multiplies rows from that one on. Not `centred`, the mean counts as 0.
pub fn norm(
    centred: bool,
    (x, residual): (&[f32], &[f32]),
    noise: impl Fn(usize, &mut [f32]) + Sync,
    (weight, bias): (&[f32], &[f32]),
    eps: f32,
) -> Normed {
    let (width, length) = (weight.len(), x.len());
    let (mut normal, mut y) = (Vec::with_capacity(length), Vec::with_capacity(length));
    let mut scale = vec![0f32; length / width];
    let (own, out) = (&mut normal.spare_capacity_mut()[..length], &mut y.spare_capacity_mut()[..length]);
    let parts = own.par_chunks_mut(ROWS * width).zip(out.par_chunks_mut(ROWS * width));
    let parts = parts.zip(scale.par_chunks_mut(ROWS)).enumerate();
    parts.with_min_len(grain()).for_each(|(i, ((own, out), scale))| {
        let at = i * ROWS * width;
        let (own, out) = (written(own, &x[at..at + own.len()]), zeroed(out));
        noise(i * ROWS, own);
        add(own, &residual[at..at + own.len()]);
        norm_rows(centred, own, weight, bias, eps, out, scale);
    });
    // SAFETY: the chunks cover both, and each was written.
    unsafe {
        normal.set_len(length);
        y.set_len(length);
    }
    Normed { y, normal, scale }
}

vectorized! {
    /// `sum += values`
    fn add(sum: &mut [f32], values: &[f32]) {
        for (s, v) in sum.iter_mut().zip(values) {
            *s += v;
        }
    }
}

vectorized! {
    fn norm_rows(centred: bool, x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32], scale: &mut [f32]) {
        let width = weight.len();
        for ((x, y), scale) in x.chunks_exact_mut(width).zip(y.chunks_exact_mut(width)).zip(scale) {
            if centred {
                let mean = sum(x) / width as f32;
                x.iter_mut().for_each(|v| *v -= mean);
            }
            let variance = dot(x, x) / width as f32;
            *scale = 1.0 / (variance + eps).sqrt();
            for (((y, x), w), b) in y.iter_mut().zip(x.iter_mut()).zip(weight).zip(bias) {
                *x *= *scale;
                *y = *x * w + b;
            }
        }
    }
}

vectorized! {
    /// Backward of [`norm`] over rows of one task: `g` becomes the gradient at the input, and `sums` (weight, then
    /// bias) gets this task's share of the gradient of the parameters.
    pub fn norm_backward_rows(centred: bool, normal: &[f32], scale: &[f32], weight: &[f32], g: &mut [f32], sums: &mut [f32]) {
        let width = weight.len();
        let (weight_sums, bias_sums) = sums.split_at_mut(width);
        for ((x, g), scale) in normal.chunks_exact(width).zip(g.chunks_exact_mut(width)).zip(scale) {
            for ((((x, g), w), ws), bs) in x.iter().zip(g.iter_mut()).zip(weight).zip(&mut *weight_sums).zip(&mut *bias_sums) {
                *ws += *g * x;
                *bs += *g;
                *g *= w;
            }
            let mean = if centred { sum(g) / width as f32 } else { 0.0 };
            let slope = dot(g, x) / width as f32;
            g.iter_mut().zip(x).for_each(|(g, x)| *g = (*g - mean - x * slope) * scale);
        }
    }
}

vectorized! {
    /// Softmax of each row of `columns` values, in place.
    pub fn softmax_rows(rows: &mut [f32], columns: usize) {
        for row in rows.chunks_exact_mut(columns) {
            let top = largest(row);
            for v in row {
                *v -= top;
            }
        }
        // All rows at once: of a short one each value beyond the vectors would take as long as a vector.
        for v in rows.iter_mut() {
            *v = exp(*v);
        }
        for row in rows.chunks_exact_mut(columns) {
            let scale = 1.0 / sum(row);
            for v in row {
                *v *= scale;
            }
        }
    }
}

vectorized! {
    /// Softmax backward by rows: `g` becomes `p ⊙ (g - Σ g p) · scale`.
    pub fn softmax_backward_rows(p: &[f32], g: &mut [f32], columns: usize, scale: f32) {
        for (p, g) in p.chunks_exact(columns).zip(g.chunks_exact_mut(columns)) {
            let mean = dot(p, g);
            g.iter_mut().zip(p).for_each(|(g, p)| *g = (*g - mean) * p * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: libm in f64. Catches a wrong coefficient; the bounds are what the comments on `exp` and `erf` claim.
    #[test]
    fn exp_and_erf_are_as_exact_as_they_say() {
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-3;
            let wanted = libm::exp(f64::from(x));
            assert!((f64::from(exp(x)) / wanted - 1.0).abs() < 3e-7, "exp({x})");
            let x = x * 0.1;
            assert!((f64::from(erf(x)) - libm::erf(f64::from(x))).abs() < 5e-7, "erf({x})");
        }
        // Steep curves far out: no infinity times zero, no value of another sign.
        for x in [-1e30f32, -1e4, -100.0, 100.0, 1e4, 1e30] {
            for curve in [Curve::TanhGelu, Curve::Silu, Curve::Relu] {
                let (y, g) = (activate(curve, &[x]), activate_backward(curve, &[x], &[1.0]));
                let wanted = if x < 0.0 { (0.0, 0.0) } else { (x, 1.0) };
                assert!(
                    (y[0] - wanted.0).abs() < 1e-6 && (g[0] - wanted.1).abs() < 1e-6,
                    "{curve:?} of {x}: {y:?} {g:?}"
                );
            }
        }
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan() && exp(-1e30) < 1e-37);
    }
}
