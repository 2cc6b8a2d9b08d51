//! The values at which a surface is cut into bands: few, round, and covering every finite loss.
//!
//! `bounds[0] ≤ min` and `bounds[n] ≥ max`, so each finite loss lies in one of the n bands and the colour bar
//! needs no arrow. Linear levels are multiples of 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten;
//! logarithmic ones are 1, 2, 5 (or finer or coarser) in each decade. Bounds are whole numbers times a power
//! of ten, never sums of steps, so that 0.3 is 0.3. The trap: a constant surface has one bound and no band.
//!
//! Used by [`super`]; the numbers are written with a true minus sign, and as 2.5×10⁶ when long.

use crate::draw::numbers::{significant, written};

/// How levels are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Spacing {
    /// Equal steps of the loss.
    #[default]
    Linear,
    /// Equal ratios, as near as round numbers allow; for surfaces over more than a decade.
    Log,
    /// 1, 2 and 5 in each decade, on both sides of 0: for rises.
    #[value(skip)]
    Decades,
}

/// Bounds of the bands in ascending order, and each as text. One bound alone: a constant surface of that
/// value.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub(crate) bounds: Vec<f64>,
    pub(crate) labels: Vec<String>,
    /// Whether there are losses above the last bound.
    pub(crate) clipped: bool,
}

/// Relative width below which a surface is constant: rounding noise of an f64 mean, not a shape.
const CONSTANT: f64 = 1e-9;
/// Mantissas of linear steps in tenths, with what an unusual one costs (1 = a factor e in the number of
/// bands).
const STEPS: [(i64, f64); 9] =
    [(10, 0.0), (15, 0.2), (20, 0.0), (25, 0.05), (30, 0.2), (40, 0.15), (50, 0.0), (60, 0.25), (80, 0.25)];
/// Mantissas of logarithmic levels within a decade, in tenths, coarse to fine.
const DECADES: [&[i64]; 4] =
    [&[10, 30], &[10, 20, 50], &[10, 15, 20, 30, 50, 70], &[10, 12, 15, 20, 25, 30, 40, 50, 60, 80]];

impl Levels {
    /// About `target` bands from `min` to `max` (finite, `min ≤ max`; `min > 0` for [`Spacing::Log`]).
    pub(crate) fn new(min: f64, max: f64, target: usize, spacing: Spacing) -> Levels {
        if max - min <= CONSTANT * min.abs().max(max.abs()) {
            return Levels { bounds: vec![min], labels: vec![significant(min, 6)], clipped: false };
        }
        let target = target as f64;
        let linear = || linear(min, max, target);
        match spacing {
            Spacing::Linear | Spacing::Decades => linear(),
            // Over a small ratio no logarithmic series has bands enough.
            Spacing::Log => Some(logarithmic(min, max, target))
                .filter(|levels| cost(levels.bands(), target) < 0.6)
                .unwrap_or_else(linear),
        }
    }

    /// Bands of rises from `min` to `max`: 1, 2 and 5 in each decade on both sides of 0, none nearer to it than `least`. There is no
    /// bound at 0, since a line there would go through the model by chance alone.
    pub(crate) fn rises(min: f64, max: f64, least: f64) -> Levels {
        if max - min <= f64::MIN_POSITIVE {
            return Levels { bounds: vec![min], labels: vec![significant(min, 6)], clipped: false };
        }
        let power = least.log10().floor() as i32;
        let up = |to: f64| -> Vec<f64> {
            let all = (power..).flat_map(|p| [10, 20, 50].map(|m| decimal(m, p)));
            let mut bounds = Vec::new();
            for level in all.skip_while(|level| *level < least * (1.0 - 1e-9)) {
                bounds.push(level);
                if level >= to * (1.0 - 1e-9) {
                    break;
                }
            }
            bounds
        };
        let below = if min < 0.0 { up(-min).into_iter().rev().map(|v| -v).collect() } else { vec![0.0] };
        let bounds: Vec<f64> = below.into_iter().chain(up(max)).collect();
        let labels = bounds.iter().map(|bound| significant(*bound, 3)).collect();
        Levels { bounds, labels, clipped: false }
    }

    /// Without a bound at 0, for differences: a line there would be where chance has it.
    pub(crate) fn without_zero(mut self) -> Levels {
        if let Some(zero) = self.bounds.iter().position(|bound| *bound == 0.0).filter(|_| self.bands() > 2) {
            self.bounds.remove(zero);
            self.labels.remove(zero);
        }
        self
    }

    /// The same, cut at `clip`, above which there is more than these levels have (`min < clip`).
    pub(crate) fn clipped(self, min: f64, clip: f64, target: usize) -> Levels {
        let Levels { mut bounds, mut labels, .. } = self;
        // The clip is the last bound, round or not, and no bound lies just below it.
        let least = clip - 0.1 * (clip - min) / target as f64;
        let kept = bounds.partition_point(|bound| *bound < least).max(1);
        let own = labels.get(kept).filter(|_| bounds[kept] == clip).cloned();
        bounds.truncate(kept);
        labels.truncate(kept);
        bounds.push(clip);
        labels.push(own.unwrap_or_else(|| significant(clip, 4)));
        Levels { bounds, labels, clipped: true }
    }

    /// Number of bands, at least one; what is clipped is in none.
    pub(crate) fn bands(&self) -> usize {
        self.bounds.len().saturating_sub(1).max(1)
    }

    /// The bounds between two bands, or below what is clipped: where lines are drawn. `(index into bounds, value)`.
    pub(crate) fn inner(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let last = self.bounds.len() - usize::from(!self.clipped);
        self.bounds.iter().copied().enumerate().filter(move |&(i, _)| i > 0 && i < last)
    }
}

fn cost(bands: usize, target: f64) -> f64 {
    (bands as f64 / target).ln().abs()
}

/// `mantissa` tenths times `10^power`; division by an exact power of ten keeps 0.3 the nearest number to 0.3.
fn decimal(mantissa: i64, power: i32) -> f64 {
    let (m, p) = (mantissa as f64, power - 1);
    if p < 0 { m / 10f64.powi(-p) } else { m * 10f64.powi(p) }
}

fn linear(min: f64, max: f64, target: f64) -> Levels {
    let power = ((max - min) / target).log10().floor() as i32;
    let mut best: Option<(f64, i64, i32, i64, i64)> = None;
    for power in [power - 1, power, power + 1] {
        for (mantissa, penalty) in STEPS {
            let step = decimal(mantissa, power);
            // A bound missed by rounding alone is met.
            let first = (min / step + 1e-9).floor() as i64;
            let last = (max / step - 1e-9).ceil() as i64;
            let total = cost((last - first) as usize, target) + penalty;
            if last > first && best.is_none_or(|(least, ..)| total < least) {
                best = Some((total, mantissa, power, first, last));
            }
        }
    }
    let Some((_, mantissa, power, first, last)) = best else {
        return Levels { bounds: vec![min], labels: vec![significant(min, 6)], clipped: false };
    };
    let bounds: Vec<f64> = (first..=last).map(|k| decimal(k * mantissa, power)).collect();
    let last_digit = if mantissa % 10 == 0 { power } else { power - 1 };
    let labels = written(&bounds, last_digit);
    Levels { bounds, labels, clipped: false }
}

fn logarithmic(min: f64, max: f64, target: f64) -> Levels {
    let (low, high) = (min.log10().floor() as i32 - 1, max.log10().ceil() as i32 + 1);
    let coarse = [6, 4, 3, 2, 1].map(|stride| {
        let decades = (low..=high + stride).filter(|p| p.rem_euclid(stride) == 0 || stride == 1);
        let first = low.div_euclid(stride) * stride;
        std::iter::once(first)
            .chain(decades.filter(|&p| p > first))
            .map(|p| decimal(10, p))
            .collect::<Vec<f64>>()
    });
    let fine = DECADES.map(|mantissas| {
        (low..=high).flat_map(|p| mantissas.iter().map(move |&m| decimal(m, p))).collect::<Vec<f64>>()
    });
    let cut = |series: Vec<f64>| {
        let first = series.iter().rposition(|&b| b <= min * (1.0 + 1e-9)).unwrap_or(0);
        let last = series.iter().position(|&b| b >= max * (1.0 - 1e-9)).unwrap_or(series.len() - 1);
        series[first..=last.max(first + 1).min(series.len() - 1)].to_vec()
    };
    let bounds = coarse
        .into_iter()
        .chain(fine)
        .map(cut)
        .min_by(|a, b| cost(a.len() - 1, target).total_cmp(&cost(b.len() - 1, target)))
        .unwrap_or_else(|| vec![min, max]);
    let labels = bounds.iter().map(|&b| significant(b, 3)).collect();
    Levels { bounds, labels, clipped: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(label: &str) -> f64 {
        let plain: String = label
            .replace('−', "-")
            .chars()
            .map(|c| match "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|s| s == c) {
                Some(d) => char::from_digit(d as u32, 10).unwrap(),
                None if c == '⁻' => '-',
                None => c,
            })
            .collect();
        match plain.split_once("×10") {
            Some((m, e)) => format!("{m}e{e}").parse().unwrap(),
            // "10⁶" and nothing before it.
            None if label.chars().any(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c)) => {
                plain.replacen("10", "1e", 1).parse().unwrap()
            }
            None => plain.parse().unwrap(),
        }
    }

    /// Oracle: what the reader reads. Labels must be the bounds themselves, distinct, ascending, and cover
    /// the range.
    #[test]
    fn labels_are_the_bounds_and_the_bounds_cover_the_range() {
        let ranges = [
            (0.0, 1.0),
            (2.31, 5.87),
            (2.30001, 2.300_02),
            (-3.0, 7.5),
            (1e-6, 3e-6),
            (0.0, 1.7e6),
            (0.69, 312.0),
            (1e-8, 4e9),
            (5.0, 5.01),
            (99.0, 101.0),
            (1e-3, 1.1e-3),
            (0.001, 1000.0),
            (1e5, 1.000_01e5),
        ];
        for (min, max) in ranges {
            for spacing in [Spacing::Linear, Spacing::Log] {
                if spacing == Spacing::Log && min <= 0.0 {
                    continue;
                }
                let levels = Levels::new(min, max, 12, spacing);
                let (bounds, n) = (&levels.bounds, levels.bands());
                // A bound missed by rounding alone counts as met.
                let slack = 1e-8 * (bounds[1] - bounds[0]);
                assert!(bounds[0] <= min + slack && bounds[n] >= max - slack, "{min} {max} {bounds:?}");
                assert!(bounds[1] > min && bounds[n - 1] < max, "an empty band: {min} {max} {bounds:?}");
                assert!((7..=19).contains(&n), "{n} bands from {min} to {max}, {spacing:?}");
                for (bound, label) in bounds.iter().zip(&levels.labels) {
                    assert!((read(label) - bound).abs() <= 1e-12 * bound.abs(), "{bound} is written {label}");
                }
                assert!(bounds.is_sorted_by(|a, b| a < b));
            }
        }
    }

    /// Oracle: round numbers on paper.
    #[test]
    fn a_unit_range_is_cut_in_tenths_and_two_decades_at_1_2_5() {
        let tenths = ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"];
        assert_eq!(Levels::new(0.0, 1.0, 12, Spacing::Linear).labels, tenths);
        let log = Levels::new(0.1, 1000.0, 12, Spacing::Log);
        assert_eq!(
            log.labels,
            ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500", "1000"]
        );
    }

    /// Oracle: what the reader reads. The clip is the last bound, whether round or not, and has a line of its own.
    #[test]
    fn a_clip_is_the_last_bound() {
        for (min, clip) in [
            (0.0, 1.0),
            (0.4, 3.0),
            (0.4, 2.97),
            (2.3, 1e4),
            (1e-6, 1.3e-6),
            (-3.0, 0.05),
            (1.0, 1.0 + 1e-12),
        ] {
            for spacing in [Spacing::Linear, Spacing::Log] {
                if spacing == Spacing::Log && min <= 0.0 {
                    continue;
                }
                let levels = Levels::new(min, clip, 12, spacing).clipped(min, clip, 12);
                let (bounds, n) = (&levels.bounds, levels.bands());
                assert!(
                    bounds[0] <= min + 1e-9 * (clip - min) && bounds[n] == clip,
                    "{min} {clip} {bounds:?}"
                );
                assert!(bounds.is_sorted_by(|a, b| a < b) && levels.labels.len() == bounds.len());
                assert_eq!(levels.inner().last(), Some((n, clip)));
                assert!((read(&levels.labels[n]) - clip).abs() <= 5e-4 * clip.abs(), "{:?}", levels.labels);
            }
        }
    }

    #[test]
    fn a_constant_has_one_bound_and_one_band() {
        for v in [0.0, 2.25, -1e6] {
            let levels = Levels::new(v, v, 12, Spacing::Linear);
            assert_eq!(
                (levels.bounds.as_slice(), levels.bands(), levels.inner().count()),
                ([v].as_slice(), 1, 0)
            );
        }
        assert_eq!(Levels::new(2.25, 2.25, 12, Spacing::Log).labels, ["2.25"]);
    }
}
