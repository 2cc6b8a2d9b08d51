//! Paired differences over few runs: a permutation test, its correction for several comparisons, a bootstrap interval.
//!
//! If two arms do not differ, each run's difference might as well have had the other sign: p is the share of all sign
//! assignments whose mean lies as far from 0 (Fisher 1935; two-sided). It assumes no distribution. The trap: with n runs
//! p cannot be smaller than 2/2ⁿ, so that five seeds (1/16) can never show a difference at 5 %.

use super::{mean, quantile};

/// Runs whose sign assignments are all enumerated: half a million.
const EXACT: usize = 20;
/// Sign assignments that are drawn for more runs; resamples of the bootstrap.
const DRAWS: u64 = 100_000;
const RESAMPLES: usize = 10_000;

/// Two-sided p of the mean of `differences` by exchanging their signs: exact for up to 20, from random signs (`bits`, by
/// index) for more. NaN for fewer than two, or where one is not finite.
pub fn sign_flip_p(differences: &[f64], bits: impl Fn(u64) -> u64) -> f64 {
    let n = differences.len();
    if n < 2 || differences.iter().any(|d| !d.is_finite()) {
        return f64::NAN;
    }
    let size: f64 = differences.iter().map(|d| d.abs()).sum();
    // Sums in another order are equal but for rounding: equal ones count as far.
    let least = differences.iter().sum::<f64>().abs() - 1e-12 * size;
    let far = |flip: &dyn Fn(usize) -> bool| {
        let signed = differences.iter().enumerate().map(|(i, d)| if flip(i) { -d } else { *d });
        signed.sum::<f64>().abs() >= least
    };
    if n <= EXACT {
        // The last sign stays: turning all of them round is as far from 0.
        let all = 1u64 << (n - 1);
        let count = (0..all).filter(|signs| far(&|i| signs >> i & 1 == 1)).count();
        return count as f64 / all as f64;
    }
    let words = n.div_ceil(64) as u64;
    let drawn = |k: u64| far(&|i: usize| bits(k * words + (i / 64) as u64) >> (i % 64) & 1 == 1);
    // The observed assignment is one of them (Phipson and Smyth 2010): p is never 0.
    (1 + (0..DRAWS).filter(|k| drawn(*k)).count()) as f64 / (1 + DRAWS) as f64
}

/// Holm's correction (1979) of p for the number of comparisons: the chance that any of those with a corrected p below α is
/// by chance is at most α. NaN stay NaN and do not count.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![f64::NAN; p.len()];
    let mut least: f64 = 0.0;
    for (k, &i) in order.iter().enumerate() {
        least = least.max((order.len() - k) as f64 * p[i]).min(1.0);
        corrected[i] = least;
    }
    corrected
}

/// 95 % percentile bootstrap interval of the mean of `values`; `below(i, n)` draws from `0..n`. With few values it is too
/// narrow (by `sqrt((n-1)/n)` at least): see [`super::half_width`]. `None` for fewer than two.
pub fn bootstrap_interval(values: &[f64], below: impl Fn(u64, u64) -> u64) -> Option<(f64, f64)> {
    let n = values.len();
    if n < 2 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let resample = |b: usize| -> f64 {
        let draw = |i: usize| values[below((b * n + i) as u64, n as u64) as usize];
        mean(&(0..n).map(draw).collect::<Vec<f64>>())
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    means.sort_unstable_by(f64::total_cmp);
    Some((quantile(&means, 0.025), quantile(&means, 0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sd;

    /// A generator of bits without any structure that matters here (splitmix64).
    fn bits(i: u64) -> u64 {
        let mut z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Oracle: every assignment of all n signs, by recursion, the last one included. Catches one-sided counting, a strict
    /// comparison (which would lose the observed assignment), and signs left out.
    #[test]
    fn permutation_test_counts_every_assignment() {
        fn assignments(d: &[f64]) -> Vec<f64> {
            match d.split_first() {
                None => vec![0.0],
                Some((first, rest)) => {
                    assignments(rest).into_iter().flat_map(|s| [s + first, s - first]).collect()
                }
            }
        }
        for d in [
            vec![0.3, -0.1, 0.25, 0.4, 0.05],
            vec![1.0, 1.0, 1.0],
            vec![0.5, -0.5],
            vec![0.02, 0.01, -0.03, 0.04, 0.01, 0.02, 0.05, -0.01, 0.0, 0.03],
        ] {
            let observed = d.iter().sum::<f64>().abs();
            let all = assignments(&d);
            let far = all.iter().filter(|s| s.abs() >= observed - 1e-12).count();
            let (p, wanted) = (sign_flip_p(&d, bits), far as f64 / all.len() as f64);
            assert!((p - wanted).abs() < 1e-12, "{d:?}: {p}, expected {wanted}");
        }
        // Five runs that all agree: 2/32.
        assert_eq!(sign_flip_p(&[0.1, 0.2, 0.3, 0.4, 0.5], bits), 0.0625);
        assert!(sign_flip_p(&[1.0], bits).is_nan() && sign_flip_p(&[1.0, f64::NAN], bits).is_nan());
    }

    /// Oracle: the exact test on twenty of the values at a time is beyond it; so the normal limit: the standardized mean of 60
    /// signed values is nearly normal, p = erfc(z/√2) with z from the second moment. Drawn signs are within 0.005 (three
    /// standard errors of 100 000 draws) and the limit's own error.
    #[test]
    fn many_runs_are_tested_by_drawn_signs() {
        let d: Vec<f64> = (0..60).map(|i| (bits(i) >> 11) as f64 / (1u64 << 53) as f64 - 0.43).collect();
        let z = d.iter().sum::<f64>().abs() / d.iter().map(|v| v * v).sum::<f64>().sqrt();
        let wanted = libm::erfc(z / 2f64.sqrt());
        let p = sign_flip_p(&d, |i| bits(i + 1000));
        assert!((p - wanted).abs() < 0.01 && p > 0.01 && p < 0.9, "{p}, expected {wanted}");
    }

    /// Oracle: Holm's procedure by hand: 0.01 · 4, 0.02 · 3, then 0.03 · 2 which must not fall below it, and 0.5.
    #[test]
    fn holm_corrects_step_by_step() {
        let corrected = holm(&[0.5, 0.01, f64::NAN, 0.03, 0.02]);
        for (got, wanted) in corrected.iter().zip([0.5, 0.04, f64::NAN, 0.06, 0.06]) {
            assert!((got - wanted).abs() < 1e-12 || got.is_nan() && wanted.is_nan(), "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// Oracle: the normal limit: of 200 values the interval is mean ± 1.96 sd/√n within the bootstrap's own error (some 2 % of its
    /// width), and it moves with the values.
    #[test]
    fn bootstrap_interval_is_that_of_the_mean() {
        let values: Vec<f64> = (0..200).map(|i| 3.0 + (bits(i) >> 11) as f64 / (1u64 << 53) as f64).collect();
        let (low, high) = bootstrap_interval(&values, |i, n| bits(i + 7) % n).unwrap();
        let half = 1.96 * sd(&values) / (200f64).sqrt();
        assert!((low - (mean(&values) - half)).abs() < 0.1 * half, "{low}");
        assert!((high - (mean(&values) + half)).abs() < 0.1 * half, "{high}");
        assert!(bootstrap_interval(&[1.0], |i, _| i).is_none());
    }
}
