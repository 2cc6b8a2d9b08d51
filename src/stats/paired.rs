//! Differences between two arms over few runs, with errors that count what the runs share.
//!
//! Each seed trains both arms, so runs are paired; but seeds are no independent draws of the data:
//! - Where each seed splits the same examples anew, training parts and held-out parts overlap between seeds. [`resampled`] widens
//!   Student's interval for it (Nadeau and Bengio 2003, "Inference for the Generalization Error").
//! - Where all seeds share one held-out part, its examples are a draw of their own, which more seeds do not average out.
//!   [`crossed`] has both, runs and examples, at random (an analysis of variance of two crossed random factors).
//!
//! p is that of the interval, Student's t, and [`holm`] corrects it for the number of comparisons. The trap: the plain interval over
//! seeds is too narrow by a factor of 1.5 where five seeds hold out a fifth each, and covers 78 % in place of 95 where ten
//! seeds share a hundred examples on which the arms differ.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{mean, sd};

/// A mean difference, its standard error and the degrees of freedom of that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub value: f64,
    pub se: f64,
    pub degrees: f64,
    /// The standard error that would be left with endless runs: of what they share.
    pub floor: f64,
}

/// How many examples a seed holds out for each that it may train on: a fifth for four fifths.
pub const FIFTH: f64 = 0.25;

impl Difference {
    /// Half the width of its interval of this level, such as 0.95.
    pub fn half_width(&self, level: f64) -> f64 {
        let t = StudentsT::new(0.0, 1.0, self.degrees);
        t.map_or(f64::NAN, |t| t.inverse_cdf(0.5 + level / 2.0) * self.se)
    }

    /// Two-sided p of no difference.
    pub fn p(&self) -> f64 {
        let t = StudentsT::new(0.0, 1.0, self.degrees);
        t.map_or(f64::NAN, |t| 2.0 * t.cdf(-(self.value / self.se).abs()))
    }

    /// Fewest runs, of `runs` so far and at most `most`, with which its 95 % interval would be half as wide: what runs do not share
    /// shrinks with their number, and the degrees of freedom grow with it as far as they are of that. `None` where no such number
    /// is enough.
    pub fn runs_for_half(&self, runs: usize, most: usize) -> Option<usize> {
        let own = self.se.powi(2) - self.floor.powi(2);
        let grown = |n: usize| Difference {
            se: (self.floor.powi(2) + own * runs as f64 / n as f64).sqrt(),
            degrees: self.degrees * (1.0 + own / self.se.powi(2) * (n - runs) as f64 / (runs as f64 - 1.0)),
            ..*self
        };
        let half = 0.5 * self.half_width(0.95);
        (runs + 1..=most).find(|n| grown(*n).half_width(0.95) <= half)
    }

    /// If there is a spread to judge it by, but for rounding.
    fn checked(self, largest: f64) -> Option<Difference> {
        (self.se.is_finite() && self.se > 1e-9 * largest && self.degrees > 0.0).then_some(self)
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()))
}

/// Over runs that share nothing but what both arms share: Student's interval. `None` for fewer than two runs, or if all
/// differ by the same.
pub fn independent(differences: &[f64]) -> Option<Difference> {
    resampled(differences, 0.0)
}

/// As [`independent`], of runs that share so many draws of the data: more runs do not average out the error over these, whose square is
/// known of each difference.
pub fn sharing(differences: &[f64], squares: &[f64], draws: usize) -> Option<Difference> {
    let runs = independent(differences)?;
    let shared = mean(squares).sqrt();
    let degrees = draws.max(2) as f64 - 1.0;
    let (_, degrees) = super::combined_half_width(&[(runs.se, runs.degrees), (shared, degrees)]);
    Some(Difference { se: runs.se.hypot(shared), degrees, floor: runs.floor.hypot(shared), ..runs })
}

/// Over runs that split the same examples anew, holding out `ratio` for each that they may train on: `se² = (1/J + ratio) s²`
/// for J runs. Training on a fraction of the training part alone lets the runs overlap less, so this stays on the safe side.
pub fn resampled(differences: &[f64], ratio: f64) -> Option<Difference> {
    let runs = differences.len() as f64;
    let [se, floor] = [1.0 / runs + ratio, ratio].map(|factor| factor.sqrt() * sd(differences));
    Difference { value: mean(differences), se, degrees: runs - 1.0, floor }.checked(largest(differences))
}

/// Over runs and the examples that all of them share: `values` `[J][N]`, the difference of each run at each example (a
/// pseudo-value where it is no mean).
///
/// With mean squares of runs R, examples E and the rest D, `se² = (max(R, D) + max(E, D) - D) / J N`; degrees of freedom by
/// Satterthwaite (1946). `None` as for [`independent`], and for fewer than two examples.
pub fn crossed(values: &[Vec<f64>]) -> Option<Difference> {
    let (runs, examples) = (values.len(), values.first().map_or(0, Vec::len));
    if runs < 2 || examples < 2 || values.iter().any(|own| own.len() != examples) {
        return None;
    }
    let (j, n) = (runs as f64, examples as f64);
    let by_run: Vec<f64> = values.iter().map(|own| mean(own)).collect();
    let by_example: Vec<f64> =
        (0..examples).map(|i| values.iter().map(|own| own[i]).sum::<f64>() / j).collect();
    let value = mean(&by_run);
    let squares = |means: &[f64]| means.iter().map(|m| (m - value).powi(2)).sum::<f64>();
    let rest = |(own, run): (&Vec<f64>, &f64)| {
        own.iter().zip(&by_example).map(|(v, example)| (v - run - example + value).powi(2)).sum::<f64>()
    };
    let rest_degrees = (j - 1.0) * (n - 1.0);
    let d = values.iter().zip(&by_run).map(rest).sum::<f64>() / rest_degrees;
    let parts =
        [(n * squares(&by_run) / (j - 1.0), j - 1.0), (j * squares(&by_example) / (n - 1.0), n - 1.0)];
    // What is no larger than the rest is taken for none.
    let beyond: Vec<(f64, f64)> = parts.into_iter().filter(|(square, _)| *square > d).collect();
    let (total, spread) = match beyond[..] {
        [] => (d, d * d / rest_degrees),
        [(one, degrees)] => (one, one * one / degrees),
        _ => {
            let both: f64 = beyond.iter().map(|(square, _)| square).sum();
            let spread: f64 = beyond.iter().map(|(square, degrees)| square * square / degrees).sum();
            (both - d, spread + d * d / rest_degrees)
        }
    };
    let degrees = total * total / spread;
    let floor = ((parts[1].0 - d).max(0.0) / (j * n)).sqrt();
    Difference { value, se: (total / (j * n)).sqrt(), degrees, floor }.checked(largest(&by_run))
}

/// McNemar's exact test (1947) of two classifiers on the same examples, of which only the first is right at `first`, only the
/// second at `second`: two-sided p of a fair coin. 1 where they never differ.
pub fn mcnemar_p(first: usize, second: usize) -> f64 {
    use statrs::distribution::{Binomial, DiscreteCDF};
    let n = (first + second) as u64;
    let fewer = first.min(second) as u64;
    Binomial::new(0.5, n).map_or(f64::NAN, |coin| (2.0 * coin.cdf(fewer)).min(1.0))
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

/// What is shown: p below this after correction.
pub const LEVEL: f64 = 0.05;

/// Corrects all p of a page or table for their number, by Holm.
pub fn correct<'a>(rows: impl IntoIterator<Item = (Option<f64>, &'a mut Option<f64>)>) {
    let (p, corrected): (Vec<Option<f64>>, Vec<&mut Option<f64>>) = rows.into_iter().unzip();
    let p: Vec<f64> = p.into_iter().map(|p| p.unwrap_or(f64::NAN)).collect();
    for (own, corrected) in corrected.into_iter().zip(holm(&p)) {
        *own = Some(corrected).filter(|p| p.is_finite());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Share of `studies` whose 95 % interval holds the true difference, 0.
    fn coverage(studies: u64, study: impl Fn(&Stream) -> Option<Difference>) -> f64 {
        let stream = Stream::new(11, "test/coverage");
        let holds = |k: &u64| study(&stream.at(*k)).is_some_and(|d| d.value.abs() <= d.half_width(0.95));
        (0..studies).filter(holds).count() as f64 / studies as f64
    }

    /// Standard normal numbers of a study, those of a name after the other.
    fn normal(stream: &Stream, n: usize) -> Vec<f64> {
        let mut values = vec![0f32; n];
        stream.fill_normal(0, &mut values);
        values.into_iter().map(f64::from).collect()
    }

    /// Oracle: simulated studies whose truth is known: runs, examples and their meeting each add something of a known spread. At 1000
    /// studies the interval covers 93 to 97.5 %, with the error of such a share (0.7 %); benches/coverage.rs has more. The plain
    /// interval over runs does not where arms differ by example. Catches factors of J and N exchanged, the rest counted
    /// twice, and degrees of freedom of examples taken for those of runs.
    #[test]
    fn intervals_over_runs_and_examples_cover() {
        for (runs, examples, spreads, plain_covers) in [
            (5, 100, [0.0, 0.0, 1.0], true),
            (5, 100, [0.05, 0.3, 1.0], true),
            (10, 100, [0.1, 1.0, 1.0], false),
            (3, 400, [0.3, 0.3, 1.0], true),
        ] {
            let values = |stream: &Stream| {
                let all = normal(stream, runs * examples + runs + examples);
                let (rest, both) = all.split_at(runs * examples);
                let [of_run, of_example, meeting] = spreads;
                let run = |j: usize| {
                    let value = |i: usize| {
                        of_run * both[j] + of_example * both[runs + i] + meeting * rest[j * examples + i]
                    };
                    (0..examples).map(value).collect::<Vec<f64>>()
                };
                (0..runs).map(run).collect::<Vec<_>>()
            };
            let found = coverage(1000, |stream| crossed(&values(stream)));
            assert!((0.923..=0.982).contains(&found), "{spreads:?}: {found}");
            let plain = |stream: &Stream| {
                independent(&values(stream).iter().map(|own| mean(own)).collect::<Vec<_>>())
            };
            let found = coverage(1000, plain);
            assert!((found > 0.90) == plain_covers, "{spreads:?}, over runs alone: {found}");
        }
    }

    /// Oracle: by hand. Of two runs on two examples that differ only by example, or only by run, the error is 1, and all of it or none is
    /// what the runs share. Splits that overlap share a quarter of the spread, 1, however many they are. Where nothing is shared, four
    /// times as many runs are enough to halve the error of Student's interval, and two times as many are not.
    #[test]
    fn what_runs_share_is_left() {
        let of = |values: [[f64; 2]; 2]| crossed(&values.map(Vec::from)).unwrap();
        let (by_example, by_run) = (of([[1.0, 3.0], [1.0, 3.0]]), of([[1.0, 1.0], [3.0, 3.0]]));
        assert_eq!((by_example.se, by_example.floor), (1.0, 1.0));
        assert_eq!((by_run.se, by_run.floor), (1.0, 0.0));
        assert_eq!(by_example.runs_for_half(2, 1000), None);
        let split = resampled(&[0.0, 1.0, 2.0], FIFTH).unwrap();
        assert!((split.floor - 0.5).abs() < 1e-12, "{split:?}");
        // 4.303 · 0.764 = 3.29. With 4/7 of the variance shrinking, of 7 runs 2.71 · 0.627 = 1.70, of 8 runs 2.60 · 0.612 = 1.59.
        assert_eq!(split.runs_for_half(3, 1000), Some(8));
        let own = independent(&[0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 1.0, 1.0]).unwrap();
        let enough = own.runs_for_half(8, 1000).unwrap();
        assert!((17..=32).contains(&enough), "{enough}");
    }

    /// Oracle: simulated differences whose correlation between runs is that of the heuristic, `n_test / (n_test + n_train)`: what
    /// resampled intervals are made for. Catches the ratio the wrong way up.
    #[test]
    fn resampled_intervals_cover_runs_that_overlap() {
        for runs in [5, 10] {
            let correlation: f64 = 0.2;
            let differences = |stream: &Stream| {
                let all = normal(stream, runs + 1);
                let value = |v: &f64| (1.0 - correlation).sqrt() * v + correlation.sqrt() * all[runs];
                all[..runs].iter().map(value).collect::<Vec<f64>>()
            };
            let found = coverage(2000, |stream| resampled(&differences(stream), FIFTH));
            assert!((0.93..=0.97).contains(&found), "{found}");
            assert!(coverage(2000, |stream| independent(&differences(stream))) < 0.9);
        }
    }

    /// Oracle: R's `t.test(c(0.02, 0.01, -0.03, 0.04, 0.01, 0.02))` as scipy gives it (`ttest_1samp`): its p and its
    /// interval; with a ratio of 1/4 the half width is sqrt(1 + 6/4) times as wide.
    #[test]
    fn differences_are_students() {
        let d = [0.02, 0.01, -0.03, 0.04, 0.01, 0.02];
        let plain = independent(&d).unwrap();
        assert!((plain.p() - 0.2721791031661837).abs() < 1e-9, "{}", plain.p());
        assert!((plain.half_width(0.95) - 0.024311296491391746).abs() < 1e-9, "{}", plain.half_width(0.95));
        let wide = resampled(&d, FIFTH).unwrap();
        assert!((wide.half_width(0.95) / plain.half_width(0.95) - 2.5f64.sqrt()).abs() < 1e-12);
        assert!(independent(&[0.5]).is_none() && independent(&[0.1, 0.1, 0.1]).is_none());
        assert!(crossed(&[vec![0.0, 1.0]]).is_none() && crossed(&[vec![0.1; 9], vec![0.1; 9]]).is_none());
    }

    /// Oracle: scipy's `binomtest(min, n).pvalue`.
    #[test]
    fn mcnemar_is_the_fair_coins() {
        for (first, second, p) in [
            (3, 9, 0.14599609375),
            (12, 12, 1.0),
            (0, 5, 0.0625),
            (0, 0, 1.0),
            (20, 41, 0.009853448195259268),
        ] {
            assert!((mcnemar_p(first, second) - p).abs() < 1e-12, "{first}, {second}");
        }
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
}
