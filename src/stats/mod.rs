//! Summary statistics, agreement between two rankings, and GLUE metrics: pure `f64` functions.
//!
//! Agreement answers "do two Fisher estimates order the layers alike?": Spearman rho, Kendall tau-b (Knight
//! 1966), Jaccard overlap of the top k, extrapolated rank-biased overlap (Webber, Moffat, Zobel 2010). All
//! four take two score lists over the same items in model order, a higher score meaning more important.
//!
//! What cannot be computed is `None` for the correlations and NaN elsewhere, never a panic and never a
//! plausible number: too few values, lists of unequal length, a NaN among the scores, a constant list of
//! scores. The trap: ties. Fisher scores tie often (all the zeros), so tau is tau-b, ranks are average ranks,
//! and where an order is needed ties go by index, which is model order. `0.0` and `-0.0` tie, so no ranking
//! here sorts by `total_cmp`.
//!
//! Depends on nothing else. Randomness (bootstrap, permutations) comes from [`crate::rng`].

pub mod clusters;
pub mod max_t;
pub mod paired;
pub mod pairs;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::vectorized::vectorized;

// ---- summary statistics ----

/// Arithmetic mean, summed in index order. NaN if `values` is empty.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample standard deviation, `sqrt(Σ (x - mean)² / (n - 1))`. NaN for fewer than two values.
pub fn sd(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Standard error of the mean of independent values, `sd / sqrt(n)`. NaN for fewer than two values.
pub fn standard_error(values: &[f64]) -> f64 {
    sd(values) / (values.len() as f64).sqrt()
}

/// Standard error of a share of `n` independent examples, `sqrt(a (1 - a) / (n - 1))`: that of the mean of zeros and ones. NaN for
/// fewer than two.
pub fn binomial_se(share: f64, n: usize) -> f64 {
    if n < 2 { f64::NAN } else { (share * (1.0 - share) / (n - 1) as f64).sqrt() }
}

/// Half the width of the 95 % interval of a value whose independent errors are given as (standard error, degrees of freedom),
/// and the degrees of freedom of their sum (Welch 1947, Satterthwaite 1946). Errors of 0 have no share in it. NaN
/// where an error is.
pub fn combined_half_width(errors: &[(f64, f64)]) -> (f64, f64) {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    let variance: f64 = errors.iter().map(|(se, _)| se * se).sum();
    let spread: f64 = errors.iter().filter(|(se, _)| *se > 0.0).map(|(se, df)| se.powi(4) / df).sum();
    if variance == 0.0 {
        return (0.0, f64::INFINITY);
    }
    let degrees = variance * variance / spread;
    match StudentsT::new(0.0, 1.0, degrees) {
        Ok(t) if variance.is_finite() => (t.inverse_cdf(0.975) * variance.sqrt(), degrees),
        _ => (f64::NAN, degrees),
    }
}

/// Half the width of the 95 % interval of a mean over few values, `t(n-1) s / sqrt(n)` (Student 1908): normal values, such
/// as differences between runs of one seed. NaN for fewer than two.
pub fn half_width(values: &[f64]) -> f64 {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    match StudentsT::new(0.0, 1.0, values.len().saturating_sub(1) as f64) {
        Ok(t) if values.len() > 1 => t.inverse_cdf(0.975) * standard_error(values),
        _ => f64::NAN,
    }
}

/// Median; the mean of the middle two for an even count. NaN if `values` is empty or holds a NaN.
pub fn median(values: &[f64]) -> f64 {
    if has_nan(values) {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Quantile `q` of ascending `sorted` values, interpolated linearly between order statistics
/// (Hyndman and Fan 1996, type 7; the default of NumPy and R).
///
/// NaN if `sorted` is empty or `q` is outside [0, 1].
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() || !(0.0..=1.0).contains(&q) {
        return f64::NAN;
    }
    let position = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    if below == above { below } else { below + (above - below) * position.fract() }
}

/// Standard error of a loss `L = Σ s_n / M`, `M = Σ m_n`, by the ratio estimator:
/// `sqrt(N/(N-1) · Σ (s_n - L m_n)²) / M` (Cochran 1977, "Sampling Techniques", ch. 6, without the finite
/// population correction).
///
/// `sums` are the per-example sums of losses `s_n`, `targets` their target counts `m_n`; examples with no
/// target (`m_n = 0`) are left out of N. The unit is that of
/// the loss, nats per target for a negative log-likelihood.
///
/// NaN for N < 2, since one example says nothing about the spread, and for lists of unequal length.
pub fn ratio_se(sums: &[f64], targets: &[f64]) -> f64 {
    if sums.len() != targets.len() {
        return f64::NAN;
    }
    // `m != 0` and not `m > 0`: a NaN count has to reach the result.
    let examples = || sums.iter().zip(targets).filter(|&(_, &m)| m != 0.0);
    let count = examples().count();
    if count < 2 {
        return f64::NAN;
    }
    let total: f64 = examples().map(|(_, m)| m).sum();
    let loss = examples().map(|(s, _)| s).sum::<f64>() / total;
    let squares: f64 = examples().map(|(s, m)| (s - loss * m).powi(2)).sum();
    (count as f64 / (count - 1) as f64 * squares).sqrt() / total
}

/// What each example contributes to a ratio `L = Σ s_n / Σ m_n`: `L + N (s_n - L m_n) / M`, of which L is the mean, and whose
/// standard error is [`ratio_se`]'s.
pub fn ratio_parts(sums: &[f64], targets: &[f64]) -> Vec<f64> {
    let total: f64 = targets.iter().sum();
    let ratio = sums.iter().sum::<f64>() / total;
    let part = |(s, m): (&f64, &f64)| ratio + targets.len() as f64 * (s - ratio * m) / total;
    sums.iter().zip(targets).map(part).collect()
}

// ---- agreement of two rankings ----

/// Ranks from 1, ascending; tied values share the average of their ranks. All NaN if any value is NaN.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    if has_nan(values) {
        return vec![f64::NAN; values.len()];
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| compare(values[i], values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0; // 0-based rank of the first item of the tied group
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let average = first as f64 + (group.len() + 1) as f64 / 2.0;
        for &item in group {
            ranks[item] = average;
        }
        first += group.len();
    }
    ranks
}

/// Pearson correlation, in [-1, 1].
///
/// `None` if either list is constant, holds a NaN or an infinity, has fewer than two values, or the lengths
/// differ.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    comparable(x, y)?;
    let (x, y) = (standardized(x), standardized(y));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r = dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Spearman's rho: the Pearson correlation of the average ranks, in [-1, 1].
///
/// `None` if either list is constant, holds a NaN, has fewer than two values, or the lengths differ.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    comparable(x, y)?;
    pearson(&ranks(x), &ranks(y))
}

/// Kendall's tau-b, `(C - D) / sqrt((n0 - n1)(n0 - n2))` with C concordant and D discordant pairs among
/// `n0 = n(n-1)/2`, of which n1 tie in `x` and n2 in `y`; in [-1, 1].
///
/// O(n log n): sorted by `x`, D is the number of exchanges that a merge sort by `y` makes (Knight 1966, "A
/// Computer Method for Calculating Kendall's Tau with Ungrouped Data", JASA 61).
///
/// `None` if either list is constant, holds a NaN, has fewer than two values, or the lengths differ.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    comparable(x, y)?;
    let mut points: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
    points.sort_unstable_by(|a, b| compare(a.0, b.0).then(compare(a.1, b.1)));

    let tied_x: i64 = points.chunk_by(|a, b| a.0 == b.0).map(|group| pairs(group.len())).sum();
    let tied_both: i64 = points.chunk_by(|a, b| a == b).map(|group| pairs(group.len())).sum();
    let mut by_y: Vec<f64> = points.iter().map(|point| point.1).collect();
    let discordant = sort_counting_exchanges(&mut by_y);
    let tied_y: i64 = by_y.chunk_by(|a, b| a == b).map(|group| pairs(group.len())).sum();

    let all = pairs(points.len());
    let concordant = all - tied_x - tied_y + tied_both - discordant;
    let scale = ((all - tied_x) as f64 * (all - tied_y) as f64).sqrt();
    Some(((concordant - discordant) as f64 / scale).clamp(-1.0, 1.0))
}

/// The k of [`top_k_overlap`] for a ranking of `items`: a tenth of them, rounded half up, at least one.
pub fn top_k(items: usize) -> usize {
    // Multiples of 5 land on exact halves: 0.1 · 15 rounds to 1.5. A test holds this up to 100 000 items.
    ((0.1 * items as f64 + 0.5).floor() as usize).max(1)
}

/// Jaccard overlap `|A ∩ B| / |A ∪ B|` of the sets of the `k` highest scores, in [0, 1]; ties go by index.
///
/// O(n) time. `k` beyond the number of items means all of them. Unrelated scores of n items overlap by about
/// `k / (2n - k)`, not by 0.
///
/// NaN if `k` is 0, either list is constant (its order would be the model's, not the scores'), holds a NaN,
/// has fewer than two values, or the lengths differ.
pub fn top_k_overlap(x: &[f64], y: &[f64], k: usize) -> f64 {
    if comparable(x, y).is_none() || k == 0 {
        return f64::NAN;
    }
    let k = k.min(x.len());
    let mut in_top_x = vec![false; x.len()];
    for item in top_set(x, k) {
        in_top_x[item] = true;
    }
    let shared = top_set(y, k).into_iter().filter(|&item| in_top_x[item]).count();
    shared as f64 / (2 * k - shared) as f64
}

/// Extrapolated rank-biased overlap of two full rankings of the same n items, in [0, 1]
/// (Webber, Moffat, Zobel 2010, "A Similarity Measure for Indefinite Rankings", ACM TOIS 28(4), eq. 30):
/// `RBO_ext = A_n pⁿ + (1 - p) Σ_{d=1..n} A_d p^(d-1)`,
/// where `A_d` is the share of items common to the first d of both. Highest score first, ties by index.
///
/// Eq. 32, for lists of unequal length, reduces to this. The rankings hold the same items, so `A_n = 1` and
/// the first term is `pⁿ` whatever the order: at p = 0.9 that is 0.25 for 13 blocks and 0.02 for 37 sites.
/// Values compare only between rankings of equal length.
///
/// NaN if `p` is outside [0, 1], either list is constant, holds a NaN, has fewer than two values, or the
/// lengths differ.
pub fn rbo(x: &[f64], y: &[f64], p: f64) -> f64 {
    if comparable(x, y).is_none() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let mut seen = vec![false; x.len()];
    let mut shared = 0;
    let (mut sum, mut weight, mut agreement) = (0.0, 1.0, 0.0); // weight = p^(d-1)
    for (depth, (a, b)) in descending(x).into_iter().zip(descending(y)).enumerate() {
        for item in [a, b] {
            shared += usize::from(seen[item]);
            seen[item] = true;
        }
        agreement = shared as f64 / (depth + 1) as f64;
        sum += (1.0 - p) * weight * agreement;
        weight *= p;
    }
    sum + weight * agreement
}

// ---- metrics of classification ----

/// Share of predictions equal to the truth, in [0, 1]. NaN if empty or of unequal length.
pub fn accuracy(predictions: &[usize], truth: &[usize]) -> f64 {
    if predictions.len() != truth.len() {
        return f64::NAN;
    }
    let correct = predictions.iter().zip(truth).filter(|(p, t)| p == t).count();
    correct as f64 / truth.len() as f64
}

/// Matthews correlation for any number of classes (the R_K statistic; Gorodkin 2004, "Comparing two
/// K-category assignments by a K-category correlation coefficient"), in [-1, 1]:
/// `(c s - Σ_k p_k t_k) / sqrt((s² - Σ_k p_k²)(s² - Σ_k t_k²))`, where of s examples c are correct, `p_k` are
/// predicted as class k and `t_k` are of class k. With two classes, the metric of CoLA.
///
/// 0 where the denominator is 0 (all predictions, or all labels, of one class), as in scikit-learn.
/// NaN if empty or of unequal length.
pub fn matthews(predictions: &[usize], truth: &[usize]) -> f64 {
    if predictions.len() != truth.len() || truth.is_empty() {
        return f64::NAN;
    }
    let mut classes: BTreeMap<usize, (i128, i128)> = BTreeMap::new(); // (p_k, t_k)
    let (mut correct, samples) = (0_i128, truth.len() as i128);
    for (&p, &t) in predictions.iter().zip(truth) {
        classes.entry(p).or_default().0 += 1;
        classes.entry(t).or_default().1 += 1;
        correct += i128::from(p == t);
    }
    let over_classes = |term: fn(&(i128, i128)) -> i128| classes.values().map(term).sum::<i128>();
    let covariance = correct * samples - over_classes(|&(p, t)| p * t);
    let predicted = samples * samples - over_classes(|&(p, _)| p * p);
    let actual = samples * samples - over_classes(|&(_, t)| t * t);
    if predicted == 0 || actual == 0 {
        return 0.0;
    }
    (covariance as f64 / (predicted as f64 * actual as f64).sqrt()).clamp(-1.0, 1.0)
}

// ---- helpers ----

fn has_nan(values: &[f64]) -> bool {
    values.iter().any(|x| x.is_nan())
}

/// `Some` if two score lists can be compared: equally long, at least two items, no NaN, neither constant.
///
/// Constant is tested on the values themselves: the computed variance of equal values need not be exactly 0.
fn comparable(x: &[f64], y: &[f64]) -> Option<()> {
    let usable = |v: &[f64]| !has_nan(v) && v.iter().any(|value| *value != v[0]);
    (x.len() == y.len() && usable(x) && usable(y)).then_some(())
}

/// The order of two scores known not to be NaN; `0.0` equals `-0.0`.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Deviations from the mean over the largest of them, so that Fisher scores of 1e-200 do not square to 0.
fn standardized(values: &[f64]) -> Vec<f64> {
    let centre = mean(values);
    let largest = values.iter().map(|x| (x - centre).abs()).fold(0.0, f64::max);
    values.iter().map(|x| (x - centre) / largest).collect()
}

/// The order of highest score first, ties by index.
fn by_score(scores: &[f64]) -> impl Fn(&usize, &usize) -> Ordering {
    |&i, &j| compare(scores[j], scores[i]).then(i.cmp(&j))
}

/// All items, highest score first, ties by index.
fn descending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(by_score(scores));
    order
}

/// The first `k` items of [`descending`], in no particular order.
fn top_set(scores: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, by_score(scores));
        order.truncate(k);
    }
    order
}

/// Number of pairs among `n` items.
fn pairs(n: usize) -> i64 {
    let n = n as i64;
    n * (n - 1) / 2
}

/// Sorts ascending by a bottom-up merge sort; returns how many pairs stood in strictly descending order.
fn sort_counting_exchanges(values: &mut [f64]) -> i64 {
    let mut merged = Vec::with_capacity(values.len());
    let mut exchanges = 0;
    let mut width = 1;
    while width < values.len() {
        for block in values.chunks_mut(2 * width) {
            let (mut left, mut right) = block.split_at(width.min(block.len()));
            merged.clear();
            while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
                if b < a {
                    merged.push(b);
                    exchanges += left.len() as i64; // b jumps over everything still on the left
                    right = &right[1..];
                } else {
                    merged.push(a);
                    left = &left[1..];
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
            block.copy_from_slice(&merged);
        }
        width *= 2;
    }
    exchanges
}

/// Sum of squares, in eight interleaved lanes.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sum = 0.0;
    add_squares(values, &mut sum);
    sum
}

vectorized! {
    fn add_squares(values: &[f32], sum: &mut f64) {
        let mut lanes = [0f64; 8];
        let chunks = values.chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*v) * f64::from(*v);
            }
        }
        *sum += lanes.iter().sum::<f64>() + rest.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    // Two score lists with ties within and across, for the scipy fixtures.
    const X: [f64; 12] = [3.0, 1.5, 1.5, 4.0, 0.0, 2.5, 3.0, 3.0, 7.25, -1.0, 2.5, 6.0];
    const Y: [f64; 12] = [2.0, 2.0, 0.5, 5.0, 1.0, 1.0, 4.0, 2.0, 6.5, 0.5, 3.0, 4.0];

    /// Oracle: scipy.stats.t.ppf(0.975, df) for 1, 4 and 9 degrees of freedom. The normal 1.96 would be far too small.
    #[test]
    fn half_widths_are_students() {
        for (n, t) in [(2, 12.706_204_736_432_1), (5, 2.776_445_105_197_79), (10, 2.262_157_162_740_99)] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let expected = t * sd(&values) / f64::from(n).sqrt();
            assert!((half_width(&values) - expected).abs() < 1e-8 * expected);
        }
        assert!(half_width(&[1.0]).is_nan() && half_width(&[]).is_nan());
    }

    /// 1e-14 relative: both sides are double precision sums of at most a dozen terms.
    #[track_caller]
    fn assert_close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-14 * expected.abs().max(1.0), "got {got}, expected {expected}");
    }

    /// Two lists of equal length from six values, so that most pairs tie in x, in y or in both.
    fn tied_lists() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        prop::collection::vec((0..6_u8, 0..6_u8), 2..40)
            .prop_map(|points| points.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).unzip())
    }

    fn constant(values: &[f64]) -> bool {
        values.iter().all(|&v| v == values[0])
    }

    /// Oracle: NumPy 2.4.6 and scipy 1.17.1, `np.mean(x), np.std(x, ddof=1), st.sem(x), np.median(x)` and
    /// `np.quantile(x, [0, .025, .1, 1/3, .5, .975, 1])`. A divisor of n would give 2.1877 for sd.
    #[test]
    fn summaries_equal_numpy() {
        assert_close(mean(&X), 2.7708333333333335);
        assert_close(sd(&X), 2.284976460325669);
        assert_close(standard_error(&X), 0.6596158872304917);
        assert_close(median(&X), 2.75);
        let mut sorted = X;
        sorted.sort_unstable_by(f64::total_cmp);
        let levels = [0.0, 0.025, 0.1, 1.0 / 3.0, 0.5, 0.975, 1.0];
        let numpy = [-1.0, -0.725, 0.15000000000000013, 2.1666666666666665, 2.75, 6.90625, 7.25];
        for (q, expected) in levels.into_iter().zip(numpy) {
            assert_close(quantile(&sorted, q), expected);
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }

    /// Oracle: arithmetic on paper. L = 5/3, the residuals s - L m are 1/3 and -1/3, so the result is
    /// sqrt(2/1 · 2/9) / 3 = 2/9. The error of the mean of l_n = s_n / m_n, the wrong formula, would be 1/4.
    #[test]
    fn ratio_se_of_two_examples_is_two_ninths() {
        assert_close(ratio_se(&[2.0, 3.0], &[1.0, 2.0]), 2.0 / 9.0);
        // An example without a target changes neither N nor M.
        assert_close(ratio_se(&[2.0, 0.0, 3.0], &[1.0, 0.0, 2.0]), 2.0 / 9.0);
    }

    /// Oracle: with one target each, L is a mean and its error is [`standard_error`].
    #[test]
    fn ratio_se_with_one_target_each_is_the_standard_error() {
        // A share is the mean of zeros and ones.
        let right: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i < 29))).collect();
        assert_close(binomial_se(29.0 / 40.0, 40), standard_error(&right));
        assert!(binomial_se(0.5, 1).is_nan());
        assert_close(ratio_se(&X, &[1.0; 12]), standard_error(&X));
    }

    /// Oracle: the delete-one jackknife, which knows nothing of the formula. They agree to order
    /// 1/N, hence the 1 % at N = 500.
    #[test]
    fn ratio_se_agrees_with_the_jackknife() {
        let targets: Vec<f64> = (0..500).map(|n| f64::from(1 + n * 7 % 13)).collect();
        let sums: Vec<f64> = targets
            .iter()
            .enumerate()
            .map(|(n, m)| m * (2.0 + (n as f64).sin()) + (n as f64 * 1.7).cos())
            .collect();
        let (s, m): (f64, f64) = (sums.iter().sum(), targets.iter().sum());
        let left_out: Vec<f64> = sums.iter().zip(&targets).map(|(a, b)| (s - a) / (m - b)).collect();
        let jackknife = sd(&left_out) * 499.0 / 500.0_f64.sqrt(); // sqrt((N-1)/N Σ d²), Σ d² = (N-1) sd²
        let got = ratio_se(&sums, &targets);
        assert!((got / jackknife - 1.0).abs() < 0.01, "{got} against {jackknife}");
    }

    /// Oracle: scipy 1.17.1, `st.rankdata(x)`.
    #[test]
    fn ranks_equal_scipy() {
        assert_eq!(ranks(&X), [8.0, 3.5, 3.5, 10.0, 2.0, 5.5, 8.0, 8.0, 12.0, 1.0, 5.5, 11.0]);
    }

    /// Oracle: scipy 1.17.1, `st.pearsonr(x, y), st.spearmanr(x, y), st.kendalltau(x, y)`. All the ties kept:
    /// 1 - 6 Σ d²/(n³ - n) would give another rho, tau-a another tau.
    #[test]
    fn correlations_equal_scipy_with_ties() {
        assert_close(pearson(&X, &Y).unwrap(), 0.8566998249062877);
        assert_close(spearman(&X, &Y).unwrap(), 0.8694110512507109);
        assert_close(kendall(&X, &Y).unwrap(), 0.7603565456433793);
    }

    /// Oracle: definition. In double precision 1e-200 squares to 0, and the mean of three 0.1 is not 0.1.
    #[test]
    fn pearson_survives_tiny_scores_and_refuses_constants() {
        assert_close(pearson(&[1e-200, 2e-200, 3e-200], &[1.0, 2.0, 3.0]).unwrap(), 1.0);
        assert_close(pearson(&[1.0, 2.0, 3.0], &[-2e-160, -4e-160, -6e-160]).unwrap(), -1.0);
        assert_eq!(pearson(&[0.1; 3], &[1.0, 2.0, 3.0]), None);
        assert_eq!(pearson(&[1.0, f64::INFINITY, 3.0], &[1.0, 2.0, 3.0]), None);
        assert_close(spearman(&[1.0, f64::INFINITY, 3.0], &[1.0, 2.0, 3.0]).unwrap(), 0.5); // finite ranks
    }

    proptest! {
        /// Oracle: the definition of an average rank by O(n²) counting, 1 + #smaller + (#equal - 1)/2.
        #[test]
        fn ranks_equal_counting((x, _) in tied_lists()) {
            let counted: Vec<f64> = x
                .iter()
                .map(|a| {
                    let smaller = x.iter().filter(|b| *b < a).count() as f64;
                    let equal = x.iter().filter(|b| *b == a).count() as f64;
                    1.0 + smaller + (equal - 1.0) / 2.0
                })
                .collect();
            prop_assert_eq!(ranks(&x), counted);
        }

        /// Oracle: O(n²) counting of concordant, discordant and tied pairs.
        #[test]
        fn kendall_equals_pair_counting((x, y) in tied_lists()) {
            let (mut concordant, mut discordant, mut only_x, mut only_y) = (0.0, 0.0, 0.0, 0.0);
            for i in 0..x.len() {
                for j in 0..i {
                    match (x[i] == x[j], y[i] == y[j]) {
                        (true, true) => {}
                        (true, false) => only_x += 1.0,
                        (false, true) => only_y += 1.0,
                        (false, false) if (x[i] > x[j]) == (y[i] > y[j]) => concordant += 1.0,
                        (false, false) => discordant += 1.0,
                    }
                }
            }
            let untied: f64 = concordant + discordant;
            let tau = (concordant - discordant) / ((untied + only_y) * (untied + only_x)).sqrt();
            match kendall(&x, &y) {
                Some(got) => prop_assert!((got - tau).abs() < 1e-14, "{} against {}", got, tau),
                None => prop_assert!(constant(&x) || constant(&y)),
            }
        }

        /// Oracle: stable sorts and hash sets. Many ties straddle the cut, so order by index matters.
        #[test]
        fn top_k_overlap_equals_sets((x, y) in tied_lists(), k in 1..50_usize) {
            prop_assume!(!constant(&x) && !constant(&y));
            let set = |scores: &[f64]| -> HashSet<usize> {
                let mut order: Vec<usize> = (0..scores.len()).collect();
                order.sort_by(|&i, &j| scores[j].partial_cmp(&scores[i]).unwrap()); // stable
                order.into_iter().take(k).collect()
            };
            let (a, b) = (set(&x), set(&y));
            let expected = a.intersection(&b).count() as f64 / a.union(&b).count() as f64;
            prop_assert_eq!(top_k_overlap(&x, &y, k), expected);
        }

        /// Oracle: eq. 30 as printed, every overlap X_d counted anew from the sets.
        #[test]
        fn rbo_equals_its_definition((x, y) in tied_lists(), p in 0.05..0.99_f64) {
            prop_assume!(!constant(&x) && !constant(&y));
            let order = |scores: &[f64]| {
                let mut order: Vec<usize> = (0..scores.len()).collect();
                order.sort_by(|&i, &j| scores[j].partial_cmp(&scores[i]).unwrap());
                order
            };
            let (a, b, n) = (order(&x), order(&y), x.len());
            let overlap = |d: usize| a[..d].iter().filter(|item| b[..d].contains(item)).count() as f64;
            let sum: f64 = (1..=n).map(|d| overlap(d) / d as f64 * p.powi(d as i32)).sum();
            let expected = overlap(n) / n as f64 * p.powi(n as i32) + (1.0 - p) / p * sum;
            prop_assert!((rbo(&x, &y, p) - expected).abs() < 1e-12);
        }
    }

    /// Oracle: on paper. Agreement is 0, 1/2, 1 for abc against cba: 0.1 (0 + 0.9/2 + 0.81) + 0.729 = 0.855.
    /// Two items exchanged give 0.1 · 0.9 + 0.81 = p. For abcde against bcdae it is 0, 1/2, 2/3, 1, 1:
    /// 0.1 (0.45 + 0.54 + 0.729 + 0.6561) + 0.59049 = 0.828. Identical rankings give 1: weights sum to 1.
    #[test]
    fn rbo_of_small_rankings_worked_by_hand() {
        assert_close(rbo(&[3.0, 2.0, 1.0], &[1.0, 2.0, 3.0], 0.9), 0.855);
        assert_close(rbo(&[2.0, 1.0], &[1.0, 2.0], 0.9), 0.9);
        assert_close(rbo(&[5.0, 4.0, 3.0, 2.0, 1.0], &[2.0, 5.0, 4.0, 3.0, 1.0], 0.9), 0.828);
        for p in [0.0, 0.5, 0.9, 1.0] {
            assert_close(rbo(&X, &X, p), 1.0);
        }
    }

    /// Oracle: on paper. Top 2 of x is {0, 1}, by index among the three tied; of y {1, 2}: 1 shared of 3.
    #[test]
    fn top_k_overlap_breaks_ties_by_index() {
        assert_eq!(top_k_overlap(&[4.0, 1.0, 1.0, 1.0], &[0.0, 5.0, 6.0, -1.0], 2), 1.0 / 3.0);
        // 0.0 and -0.0 tie; ordered by bits, x would have item 1 on top.
        assert_eq!(top_k_overlap(&[-0.0, 0.0, -1.0], &[1.0, 0.0, 0.0], 1), 1.0);
    }

    /// Oracle: the same in integers, (items + 5) / 10, as binary 0.1 must not spoil the halves.
    #[test]
    fn top_k_is_a_tenth_rounded_half_up() {
        assert_eq!([0, 1, 4, 13, 15, 37, 202].map(top_k), [1, 1, 1, 1, 2, 4, 20]);
        for items in 0..100_000 {
            assert_eq!(top_k(items), ((items + 5) / 10).max(1));
        }
    }

    /// Oracle: scikit-learn 1.9.1, `matthews_corrcoef(t, q), accuracy_score(t, q)` and the first on binary lists.
    #[test]
    fn metrics_equal_scikit_learn() {
        let truth = [0, 1, 2, 2, 1, 0, 0, 2, 1, 1, 0, 2, 1, 0];
        let predictions = [0, 2, 2, 2, 1, 0, 1, 2, 1, 0, 0, 1, 1, 0];
        assert_close(matthews(&predictions, &truth), 0.5692307692307692);
        assert_close(accuracy(&predictions, &truth), 0.7142857142857143);
        let truth = [1, 0, 1, 1, 0, 0, 1, 0, 1, 1];
        let predictions = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1];
        assert_close(matthews(&predictions, &truth), 0.408248290463863);
        // `matthews_corrcoef([0, 1, 1], [1, 1, 1])` is 0.
        assert_eq!(matthews(&[1, 1, 1], &[0, 1, 1]), 0.0);
        assert_eq!(matthews(&[usize::MAX, 0], &[0, usize::MAX]), -1.0);
    }

    /// Oracle: the contract in the module header.
    #[test]
    fn undefined_is_none_or_nan() {
        let (constant, nan, rising) = ([2.0; 3], [1.0, f64::NAN, 2.0], [1.0, 2.0, 3.0]);
        for correlation in [pearson, spearman, kendall] {
            for (x, y) in [(&constant, &rising), (&rising, &constant), (&nan, &rising), (&rising, &nan)] {
                assert_eq!(correlation(x, y), None);
            }
            assert_eq!(correlation(&[], &[]), None);
            assert_eq!(correlation(&[1.0], &[2.0]), None);
            assert_eq!(correlation(&rising, &[1.0, 2.0]), None);
        }
        assert!(top_k_overlap(&constant, &rising, 1).is_nan());
        assert!(top_k_overlap(&rising, &rising, 0).is_nan());
        assert!(rbo(&nan, &rising, 0.9).is_nan());
        assert!(rbo(&rising, &rising, 1.1).is_nan());
        assert!(mean(&[]).is_nan() && sd(&[1.0]).is_nan() && standard_error(&[1.0]).is_nan());
        assert!(median(&[]).is_nan() && median(&nan).is_nan());
        assert!(quantile(&[], 0.5).is_nan() && quantile(&rising, 1.5).is_nan());
        assert!(ratio_se(&[1.0], &[1.0]).is_nan() && ratio_se(&[1.0, 2.0], &[1.0, 0.0]).is_nan());
        assert!(ratio_se(&[1.0, 2.0], &[1.0, f64::NAN]).is_nan() && ratio_se(&[1.0, 2.0], &[1.0]).is_nan());
        assert!(ranks(&nan).iter().all(|rank| rank.is_nan()));
        assert!(accuracy(&[], &[]).is_nan() && matthews(&[], &[]).is_nan());
        assert!(accuracy(&[1], &[1, 0]).is_nan() && matthews(&[1], &[1, 0]).is_nan());
    }
}
