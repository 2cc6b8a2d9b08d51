//! Differences between any two of many points that are computed from the same examples, such as the cells of a loss surface: how far
//! each may be from the truth, if the chance that any one is further is to be 5 %.
//!
//! `D_ab = (Σ_n s_an - Σ_n s_bn) / Σ_n m_n` has the ratio estimator's error `se_ab`, in which what all points have in common, how hard
//! an example is, drops out. The critical value is the quantile of the largest `|T_ab|` under random signs of whole draws of the data
//! (as in [`super::max_t`], which has differences from zero). Since it is of all pairs, a pair may be chosen after the data were seen: the
//! lowest point, and the highest of the way to another.
//!
//! The signs go with the residuals, whose length is fixed; `T` has a spread that is itself estimated. So from the quantile `c` of `|Σ ± w| / ‖w‖`
//! follows that of T, `c sqrt((G - 1) / (G - c²))` with G draws of the data: few cannot show what is chosen from many.
//!
//! The trap: the lowest of a hundred points of equal loss seems to be a minimum, and by one interval of its own it is one.

use rayon::prelude::*;

use super::clusters::Clusters;
use crate::rng::Stream;

/// Random signs of all examples: the level is then met to 0.5 %.
const DRAWS: u64 = 2000;

/// Sums of each example at many points.
pub struct Pairs {
    /// `s - D m` of each draw of the data at each point, less its mean over the points: `[G][points]`.
    residuals: Vec<Vec<f64>>,
    /// Σ_n m_n.
    targets: f64,
}

impl Pairs {
    /// Of `s_n` at each point (one that is not finite is in no pair) for examples with so many targets.
    pub fn new<'a>(points: impl Iterator<Item = &'a [f64]>, targets: &[f64], clusters: &Clusters) -> Pairs {
        let all: f64 = targets.iter().sum();
        let m = clusters.sums(targets);
        let mut residuals: Vec<Vec<f64>> = vec![Vec::new(); m.len()];
        for sums in points {
            let mean = sums.iter().sum::<f64>() / all;
            let own = clusters.sums(sums);
            residuals.iter_mut().zip(own.iter().zip(&m)).for_each(|(v, (s, m))| v.push(s - mean * m));
        }
        // Differences of what is nearly the same keep their digits.
        for own in &mut residuals {
            let finite: Vec<f64> = own.iter().copied().filter(|v| v.is_finite()).collect();
            let mean = finite.iter().sum::<f64>() / finite.len().max(1) as f64;
            own.iter_mut().for_each(|v| *v -= mean);
        }
        Pairs { residuals, targets: all }
    }

    /// Draws of the data: examples, or groups of them.
    pub fn draws(&self) -> usize {
        self.residuals.len()
    }

    fn points(&self) -> usize {
        self.residuals.first().map_or(0, Vec::len)
    }

    /// From the sum of squared residuals of a difference to its standard error.
    fn scaled(&self, squares: f64) -> f64 {
        let draws = self.draws() as f64;
        (draws / (draws - 1.0) * squares).sqrt() / self.targets
    }

    /// Standard error of the difference of two points.
    pub fn error(&self, a: usize, b: usize) -> f64 {
        self.error_of_mean(&[(a, b)])
    }

    /// Standard errors of the differences of all points from one.
    pub fn errors(&self, from: usize) -> Vec<f64> {
        self.squares(from).into_iter().map(|squares| self.scaled(squares)).collect()
    }

    /// Standard error of the mean of some differences.
    pub fn error_of_mean(&self, differences: &[(usize, usize)]) -> f64 {
        let number = differences.len() as f64;
        let mean = |v: &Vec<f64>| differences.iter().map(|(a, b)| v[*a] - v[*b]).sum::<f64>() / number;
        self.scaled(self.residuals.iter().map(|v| mean(v).powi(2)).sum())
    }

    fn squares(&self, from: usize) -> Vec<f64> {
        let mut squares = vec![0.0; self.points()];
        for own in &self.residuals {
            let at = own[from];
            squares.iter_mut().zip(own).for_each(|(sum, v)| *sum += (v - at) * (v - at));
        }
        squares
    }

    /// How many standard errors hold the differences between any of the points `from` and any point, all at once with the chance
    /// `level`. Infinite where the draws of the data are too few.
    pub fn critical(&self, from: &[usize], level: f64, seed: u64) -> f64 {
        let stream = Stream::new(seed, "pairs/signs");
        let sums: Vec<Vec<f32>> = (0..DRAWS).into_par_iter().map(|k| self.signed(&stream.at(k))).collect();
        let of = |point: &usize| self.largest(*point, &sums);
        let none = || vec![0f32; sums.len()];
        let both = |mut a: Vec<f32>, b: Vec<f32>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.max(b));
            a
        };
        let mut largest = from.par_iter().map(of).reduce(none, both);
        largest.sort_by(f32::total_cmp);
        let at = (level * DRAWS as f64).ceil() as usize;
        let quantile = f64::from(largest.get(at.saturating_sub(1)).copied().unwrap_or(0.0));
        let draws = self.draws() as f64;
        match quantile > 0.0 && quantile * quantile < draws {
            true => quantile * ((draws - 1.0) / (draws - quantile * quantile)).sqrt(),
            false => f64::INFINITY,
        }
    }

    /// How far each point of another sample of as many draws of the data may lie from this one's: that of the `k`-th random signs.
    pub fn shifts(&self, k: u64, seed: u64) -> Vec<f64> {
        let signed = self.signed(&Stream::new(seed, "pairs/shifts").at(k));
        signed.into_iter().map(|sum| f64::from(sum) / self.targets).collect()
    }

    /// Sums of the residuals at each point, each draw of the data with a random sign.
    fn signed(&self, stream: &Stream) -> Vec<f32> {
        let mut sums = vec![0f64; self.points()];
        for (word, some) in self.residuals.chunks(64).enumerate() {
            let bits = stream.bits(word as u64);
            for (i, own) in some.iter().enumerate() {
                let sign = if bits >> i & 1 == 1 { 1.0 } else { -1.0 };
                sums.iter_mut().zip(own).for_each(|(sum, v)| *sum += sign * v);
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// The largest `|Σ ± w| / ‖w‖` of all pairs with a point, for each of some signs.
    fn largest(&self, point: usize, signed: &[Vec<f32>]) -> Vec<f32> {
        let squares = self.squares(point);
        let most = squares.iter().copied().filter(|s| s.is_finite()).fold(0.0, f64::max);
        // Points that are the same but for rounding have no T.
        let over = |squares: &f64| if *squares > 1e-20 * most { 1.0 / squares.sqrt() } else { 0.0 };
        let over: Vec<f32> = squares.iter().map(|squares| over(squares) as f32).collect();
        signed.iter().map(|sums| farthest(sums, sums[point], &over)).collect()
    }
}

/// `max |v - at| over`, without what is not a number.
fn farthest(values: &[f32], at: f32, over: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let (v, o) = (values.chunks_exact(8), over.chunks_exact(8));
    let rest = v.remainder().iter().zip(o.remainder());
    let rest = rest.map(|(v, o)| (v - at).abs() * o).fold(0.0, f32::max);
    for (v, o) in v.zip(o) {
        for ((lane, v), o) in lanes.iter_mut().zip(v).zip(o) {
            let t = (v - at).abs() * o;
            *lane = if t > *lane { t } else { *lane };
        }
    }
    lanes.into_iter().fold(rest, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ratio_se;

    /// Normal numbers `[points][examples]`: what an example has at all points, and what it has at each.
    fn noise(points: usize, examples: usize, common: f64, seed: u64) -> Vec<Vec<f64>> {
        let stream = Stream::new(seed, "test/pairs");
        let at = |i: usize| stream.normal(i as u64);
        let one = |k: usize, n: usize| common * at(n) + at((k + 1) * examples + n);
        (0..points).map(|k| (0..examples).map(|n| one(k, n)).collect()).collect()
    }

    fn pairs(points: &[Vec<f64>], clusters: &Clusters) -> Pairs {
        let targets = vec![1.0; points.first().map_or(0, Vec::len)];
        Pairs::new(points.iter().map(Vec::as_slice), &targets, clusters)
    }

    /// Oracle: the ratio estimator of the difference itself, also with targets of different number. Catches errors of the points in
    /// place of their difference, and a lost factor of the targets.
    #[test]
    fn errors_are_those_of_the_differences() {
        let points = noise(3, 12, 5.0, 1);
        let targets: Vec<f64> = (0..12).map(|n| f64::from(n % 3) + 1.0).collect();
        let pairs = Pairs::new(points.iter().map(Vec::as_slice), &targets, &Clusters::default());
        for a in 0..3 {
            let errors = pairs.errors(a);
            for b in 0..3 {
                let difference: Vec<f64> = points[a].iter().zip(&points[b]).map(|(a, b)| a - b).collect();
                let expected = ratio_se(&difference, &targets);
                assert!((errors[b] - expected).abs() < 1e-12 && (pairs.error(a, b) - expected).abs() < 1e-12);
            }
        }
    }

    /// Oracle: the error of a difference, from 4000 shifts of both points. Signs leave out the factor n / (n - 1); 4 %: three errors of such a spread.
    #[test]
    fn shifts_have_the_errors_of_the_points() {
        let own = pairs(&noise(2, 10, 3.0, 5), &Clusters::default());
        let squares = (0..4000).map(|k| {
            let shifts = own.shifts(k, 1);
            (shifts[0] - shifts[1]).powi(2)
        });
        let spread = (squares.sum::<f64>() / 4000.0 * 10.0 / 9.0).sqrt();
        assert!((spread / own.error(0, 1) - 1.0).abs() < 0.04, "{spread}");
    }

    /// Oracle: one pair: `T` is Student's with n - 1 degrees, whose 97.5 % quantile for 10 examples is 2.262; and the studentized range of 6
    /// equal means with many degrees of freedom, 4.03 at 95 %, over √2 (Pearson and Hartley). 0.12: three errors of the quantile of 2000
    /// draws. Catches a normal quantile in place of Student's, and one of single pairs.
    #[test]
    fn the_critical_value_is_students_and_the_studentized_ranges() {
        let of = |points: usize, examples: usize, seed| {
            let all: Vec<usize> = (0..points).collect();
            pairs(&noise(points, examples, 3.0, seed), &Clusters::default()).critical(&all, 0.95, seed)
        };
        let few = (0..20).map(|seed| of(2, 10, seed)).sum::<f64>() / 20.0;
        assert!((few - 2.262).abs() < 0.12, "{few}");
        let range = of(6, 2000, 3);
        assert!((range - 4.03 / 2f64.sqrt()).abs() < 0.12, "{range}");
        // Six examples have 32 patterns of signs, one of which is of the largest pair.
        assert!(of(200, 6, 4) > 10.0);
        assert_eq!(of(200, 1, 4), f64::INFINITY);
    }

    /// Oracle: simulation. Of 200 data without a difference the largest of all pairs exceeds the critical value in 5 %, within three errors
    /// of such a share (1.5 %). One interval for the lowest and the highest point alone would fail in most.
    #[test]
    fn what_is_chosen_from_all_pairs_is_held() {
        let (mut missed, mut singly) = (0, 0);
        let all: Vec<usize> = (0..16).collect();
        for seed in 0..200 {
            let points = noise(16, 40, 2.0, 50 + seed);
            let pairs = pairs(&points, &Clusters::default());
            let means: Vec<f64> = points.iter().map(|own| own.iter().sum::<f64>() / 40.0).collect();
            let t = |a: usize, b: usize| (means[a] - means[b]).abs() / pairs.error(a, b);
            let largest =
                (0..16).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| t(a, b)).fold(0.0, f64::max);
            missed += usize::from(largest > pairs.critical(&all, 0.95, seed));
            singly += usize::from(largest > 2.02);
        }
        assert!((1..=19).contains(&missed), "{missed} of 200");
        assert!(singly > 150, "{singly}");
    }

    /// Oracle: the same data without copies, and without the point that is not finite.
    #[test]
    fn copies_are_one_draw_and_a_lost_point_is_in_no_pair() {
        let single = noise(4, 30, 1.0, 7);
        let twice: Vec<Vec<f64>> = single.iter().map(|d| d.iter().flat_map(|v| [*v, *v]).collect()).collect();
        let groups: Vec<Option<u32>> = (0..60).map(|i| Some(i / 2)).collect();
        let alone = pairs(&single, &Clusters::default());
        let together = pairs(&twice, &Clusters::new(&groups, true));
        assert_eq!((alone.draws(), together.draws()), (30, 30));
        assert!((alone.error(0, 3) - together.error(0, 3)).abs() < 1e-12);
        let mut lost = single.clone();
        lost.insert(1, vec![f64::INFINITY; 30]);
        let lost = pairs(&lost, &Clusters::default());
        let [with, without] = [(&lost, &[0, 2, 3, 4][..]), (&alone, &[0, 1, 2, 3])]
            .map(|(own, from)| own.critical(from, 0.95, 0));
        assert!((with - without).abs() < 1e-5, "{with}, {without}");
        assert!(!lost.error(0, 1).is_finite());
    }
}
