//! Axes: where values lie between two ends, and which of them have a tick.
//!
//! Numbers on an axis never touch: round ticks become fewer until their numbers have room, and where the ticks are given,
//! numbers without room are left out.
//!
//! Used by [`crate::draw::frame`], which draws them.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::draw::canvas::{DIGIT_HEIGHT, Point, text_width, widest};
use crate::draw::numbers::{alike, scientific, significant, written};
use crate::draw::text::NUMBER;

/// Length of a tick; numbers stand at twice that distance, pt.
pub(crate) const TICK: f64 = 2.0;
/// Between the frame and the ends of its axes, across and upright, pt: marks there are whole.
pub(crate) const INSET: Point = (8.0, 4.0);
/// Free space between two numbers, pt.
const SPACE: f64 = 4.0;

/// One axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Values at its ends.
    pub(crate) low: f64,
    pub(crate) high: f64,
    scale: Scale,
    /// Ascending, with their numbers; a tick without room for one has none.
    pub(crate) ticks: Vec<(f64, String)>,
}

/// How values become places on an axis.
#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear,
    Logarithmic,
    /// Linear about 0, up to the value given, and logarithmic far from it on both sides.
    Symmetric(f64),
}

impl Scale {
    fn of(self, v: f64) -> f64 {
        match self {
            Scale::Linear => v,
            Scale::Logarithmic => v.log10(),
            Scale::Symmetric(near) => (v / near).asinh(),
        }
    }
}

impl Axis {
    /// From `low` to `high` or a little beyond, to a tick at each end: multiples of 1, 2 or 5 times a power of ten, no
    /// closer than `least`, about `most` of them.
    pub(crate) fn linear(low: f64, high: f64, most: usize, least: f64) -> Axis {
        let (low, high) = widened(low, high, least);
        // 1e-9: what misses a tick by rounding alone is on it.
        let rough = ((high - low) / most as f64).max(least) * (1.0 - 1e-9);
        let mut power = rough.log10().floor() as i32;
        let mantissa = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * 10f64.powi(power) >= rough);
        let step = mantissa.unwrap_or(10.0) * 10f64.powi(power);
        power += i32::from(mantissa == Some(10.0));
        let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
        let values: Vec<f64> = (first..=last).map(|k| k as f64 * step).collect();
        let ticks: Vec<(f64, String)> = values.iter().copied().zip(written(&values, power)).collect();
        Axis { low: first as f64 * step, high: last as f64 * step, scale: Scale::Linear, ticks }
    }

    /// Round ticks from `low` to `high` for an axis across, as many as have room for their numbers on `length` pt; one
    /// tick where both are the same.
    pub(crate) fn across(low: f64, high: f64, least: f64, length: f64) -> Axis {
        if low >= high {
            let ticks = vec![(low, significant(low, 3))];
            return Axis { low, high: low, scale: Scale::Linear, ticks };
        }
        let fits = |axis: &Axis| axis.without_room(length).is_empty();
        let axis = Axis::finest(low, high, least, fits);
        // One number is no scale: then the axis goes on to a tick at each end.
        match axis.ticks.len() {
            ..2 => Some(Axis::linear(low, high, 2, least)).filter(fits).unwrap_or(axis),
            _ => axis,
        }
    }

    /// Cut to the range itself, with the most round ticks of up to ten steps that are `few` enough.
    pub(crate) fn finest(low: f64, high: f64, least: f64, few: impl Fn(&Axis) -> bool) -> Axis {
        let axis = |steps| Axis::linear(low, high, steps, least).cut_to(low, high);
        (2..=10).rev().map(axis).find(few).unwrap_or_else(|| axis(1))
    }

    /// From `low` to `high`, both positive: ticks at powers of ten, at most about `most`, or finer where there is no
    /// more than one.
    pub(crate) fn logarithmic(low: f64, high: f64, most: usize) -> Axis {
        let (low, high) = if low < high * (1.0 - 1e-9) { (low, high) } else { (low / 2.0, high * 2.0) };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let stride = (high.log10() - low.log10()) as i32 / most as i32 + 1;
        let of = |mantissas: &[i32]| -> Vec<f64> {
            let powers = (first..=last).filter(|p| p.rem_euclid(stride) == 0);
            // By way of text: the nearest number to each, as a reader would write it.
            let all = powers
                .flat_map(|p| mantissas.iter().map(move |m| format!("{m}e{p}").parse().unwrap_or(f64::NAN)));
            all.filter(|v| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(v)).collect()
        };
        let series: [&[i32]; 3] = [&[1], &[1, 2, 5], &[1, 2, 3, 4, 5, 6, 7, 8, 9]];
        let values = series.map(of).into_iter().find(|values| values.len() > 1);
        let values = values.unwrap_or_else(|| vec![low, high]);
        let ticks = values.iter().copied().zip(numbers(&values)).collect();
        Axis { low, high, scale: Scale::Logarithmic, ticks }
    }

    /// For values of both signs that span decades: linear up to about `near` on both sides of 0, then logarithmic, with
    /// ticks at 0 and at powers of ten, at most about `most`.
    pub(crate) fn symmetric(low: f64, high: f64, near: f64, most: usize) -> Axis {
        let (low, high) = widened(low, high, near);
        let first = near.log10().ceil() as i32;
        let last = low.abs().max(high.abs()).log10().floor() as i32;
        let stride = (last - first).max(0) as usize * 2 / most.max(1) + 1;
        // From the far end: what is small crowds about 0.
        let sizes =
            (first..=last).rev().step_by(stride).map(|p| format!("1e{p}").parse().unwrap_or(f64::NAN));
        // The number at 0 needs room: what is nearer to it than that part of the axis has none.
        let (scale, room) = (Scale::Symmetric(near), 0.13);
        let least = room * (scale.of(high) - scale.of(low));
        let sizes: Vec<f64> = sizes.filter(|v| scale.of(*v) >= least).collect();
        let plain = is_plain(&sizes);
        let mut ticks = vec![(0.0, "0".to_owned())];
        for v in sizes {
            let number = if plain { significant(v, 1) } else { scientific(v, 0) };
            ticks.push((-v, format!("−{number}")));
            ticks.push((v, number));
        }
        ticks.retain(|&(v, _)| low <= v && v <= high);
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        Axis { low, high, scale, ticks }
    }

    /// Logarithmic, with a tick at each of some ascending values, and the numbers that have room on `length` pt.
    pub(crate) fn with_ticks_at(values: &[f64], length: f64) -> Axis {
        Axis::ticked(values, Scale::Logarithmic).thinned_across(length)
    }

    /// The same, but linear.
    pub(crate) fn linear_at(values: &[f64], length: f64) -> Axis {
        Axis::ticked(values, Scale::Linear).thinned_across(length)
    }

    fn ticked(values: &[f64], scale: Scale) -> Axis {
        let ticks = values.iter().copied().zip(alike(values, 3)).collect();
        Axis { low: values[0], high: values[values.len() - 1], scale, ticks }
    }

    /// For names at 0, 1, 2, ..., each in the middle of its share of an axis across of `length` pt; names without room
    /// are left out.
    pub(crate) fn columns(names: &[String], length: f64) -> Axis {
        let ticks = names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
        Axis { ticks, ..Axis::shares(names.len(), length, INSET.0) }.thinned_across(length)
    }

    /// For `n` rows at 0, 1, 2, ... from the foot, each in the middle of its share of an upright axis of `length` pt;
    /// ticks without words.
    pub(crate) fn rows(n: usize, length: f64) -> Axis {
        Axis::shares(n, length, INSET.1)
    }

    /// Equal shares of `length` pt, of which a plot leaves `inset` free at each end.
    fn shares(n: usize, length: f64, inset: f64) -> Axis {
        let beyond = 0.5 - inset * n as f64 / length;
        let ticks = (0..n).map(|i| (i as f64, String::new())).collect();
        Axis { low: -beyond, high: n as f64 - 1.0 + beyond, scale: Scale::Linear, ticks }
    }

    /// Cut to the range itself, unless that is one number.
    pub(crate) fn cut_to(mut self, low: f64, high: f64) -> Axis {
        if low < high {
            self.ticks.retain(|&(v, _)| low <= v && v <= high);
            (self.low, self.high) = (low, high);
        }
        self
    }

    /// Continued down to `v`, with a tick of these words there.
    pub(crate) fn extended_down_to(mut self, v: f64, words: &str, length: f64) -> Axis {
        self.low = v;
        self.ticks.insert(0, (v, words.to_owned()));
        self.thinned_across(length)
    }

    /// Without the numbers that have no room on an axis across of `length` pt.
    pub(crate) fn thinned_across(mut self, length: f64) -> Axis {
        for i in self.without_room(length) {
            self.ticks[i].1.clear();
        }
        self
    }

    /// Without the numbers that have no room on an upright axis of `length` pt.
    pub(crate) fn thinned_upright(mut self, length: f64) -> Axis {
        let half = NUMBER * DIGIT_HEIGHT / 2.0 + 1.0;
        for i in self.crowded(length - 2.0 * INSET.1, |_| half) {
            self.ticks[i].1.clear();
        }
        self
    }

    /// Ticks whose numbers would touch another on an axis across of `length` pt.
    fn without_room(&self, length: f64) -> Vec<usize> {
        let half = |i: usize| (text_width(&self.ticks[i].1, NUMBER) + SPACE) / 2.0;
        self.crowded(length - 2.0 * INSET.0, half)
    }

    /// Ticks whose numbers would touch another, by half the room that each needs, pt. The last comes first, then the
    /// first, then the others in order.
    fn crowded(&self, length: f64, half: impl Fn(usize) -> f64) -> Vec<usize> {
        let Some(last) = self.ticks.len().checked_sub(1) else { return Vec::new() };
        let (mut taken, mut lost): (Vec<(f64, f64)>, Vec<usize>) = Default::default();
        for i in [last, 0].into_iter().chain(1..last).take(self.ticks.len()) {
            let (half, x) = (half(i), length * self.part(self.ticks[i].0));
            if taken.iter().all(|&(a, b)| x + half <= a || b <= x - half) {
                taken.push((x - half, x + half));
            } else {
                lost.push(i);
            }
        }
        lost
    }

    /// How far from the low end a value lies: 1 is the high end. One value alone lies in the middle.
    pub(crate) fn part(&self, v: f64) -> f64 {
        let (low, high) = (self.scale.of(self.low), self.scale.of(self.high));
        if low == high { 0.5 } else { (self.scale.of(v) - low) / (high - low) }
    }

    pub(crate) fn holds(&self, v: f64) -> bool {
        self.low <= v && v <= self.high
    }
}

/// For plotters, which draws the frames of surfaces.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, v: &f64, (from, to): (i32, i32)) -> i32 {
        // Whole units from the low end, as plotters' own axes: 1e-3 for what misses one by rounding alone.
        let way = f64::from(to - from) * self.part(*v);
        from + (way + 1e-3 * way.signum()) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(v, _)| *v).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, v: &f64) -> String {
        self.ticks.iter().find(|(tick, _)| tick == v).map(|(_, number)| number.clone()).unwrap_or_default()
    }
}

/// Width of ticks and numbers beside upright axes, and a space beyond, pt: room for any of them.
pub(crate) fn numbers_width<'a>(axes: impl IntoIterator<Item = &'a Axis>) -> f64 {
    let numbers = axes.into_iter().flat_map(|axis| &axis.ticks).map(|(_, number)| number.as_str());
    2.0 * TICK + widest(numbers, NUMBER) + 1.5
}

/// `low` and `high`, or a range about them where they are one number.
fn widened(low: f64, high: f64, least: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    // 1e-300: what is smaller has no steps.
    if high - low > f64::max(1e-9 * size, 1e-300) {
        return (low, high);
    }
    let half = if size > 1e-290 { 0.05 * size } else { 0.5 }.max(least);
    (low - half, high + half)
}

/// Least and greatest of the numbers that can be drawn; `None` if there is none.
pub(crate) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| drawable(*v)).fold(None, |range, v| {
        let (low, high) = range.unwrap_or((v, v));
        Some((f64::min(low, v), f64::max(high, v)))
    })
}

/// Whether a number can be drawn: finite, and its distance from others too.
pub(crate) fn drawable(v: f64) -> bool {
    v.abs() < 1e300
}

/// Round positive numbers, alike: all with powers of ten, or none.
fn numbers(values: &[f64]) -> Vec<String> {
    let plain = is_plain(values);
    values.iter().map(|&v| if plain { significant(v, 2) } else { scientific(v, 1) }).collect()
}

/// Whether none of some positive numbers needs a power of ten.
pub(crate) fn is_plain(values: &[f64]) -> bool {
    values.iter().all(|v| (1e-3..1e4).contains(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, number)| number.as_str()).collect()
    }

    /// Oracle: on paper.
    #[test]
    fn ticks_are_round_and_reach_beyond_the_range() {
        assert_eq!(written(&Axis::linear(0.03, 0.099, 6, 0.0)), ["0.02", "0.04", "0.06", "0.08", "0.10"]);
        assert_eq!(written(&Axis::linear(1.0, 3.0, 10, 1.0)), ["1", "2", "3"]);
        assert_eq!(written(&Axis::linear(-0.5, 1.0, 3, 0.0)), ["−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(written(&Axis::linear(0.0, 7.0, 1, 0.0)), ["0", "10"]);
        let decades = Axis::logarithmic(5.9e-6, 1.1e-3, 6);
        assert_eq!(written(&decades), ["10⁻⁵", "10⁻⁴", "10⁻³"]);
        // 10⁻⁵ is log(10/5.9) / log(1100/5.9) of the way.
        assert!((decades.part(1e-5) - 0.100_94).abs() < 1e-4, "{}", decades.part(1e-5));
        assert_eq!(written(&Axis::logarithmic(0.3, 0.8, 6)), ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]);
        assert_eq!(written(&Axis::logarithmic(2e-9, 3e7, 5)), ["10⁻⁸", "10⁻⁴", "10⁰", "10⁴"]);
    }

    /// Oracle: on paper: between -0.003 and 0.0004 there is one multiple of 0.002 beside 0; on 60 pt two numbers have no room between
    /// the ends, so the axis goes on to them.
    #[test]
    fn an_axis_across_has_two_numbers() {
        for (low, high) in [(-0.011, 0.003), (-0.0036, 0.0004), (0.011, 0.019)] {
            let axis = Axis::across(low, high, 0.0, 75.0);
            assert!(axis.ticks.iter().filter(|(_, number)| !number.is_empty()).count() > 1, "{axis:?}");
            assert!(axis.low <= low && axis.high >= high);
        }
    }

    /// Oracle: they return, with ticks that are numbers in order. A step of 0 or ∞ would hang or give none.
    #[test]
    fn no_range_is_too_odd() {
        let ends = [-9e299, -1.0, 0.0, 1e-320, 1e-300, 0.1, 0.1 + 1e-17, 1.0, 1e16, 9e299];
        for (i, &low) in ends.iter().enumerate() {
            for &high in &ends[i..] {
                let axes = [Axis::linear(low, high, 6, 0.0), Axis::across(low, high, 0.0, 100.0)];
                let log = (low > 0.0).then(|| Axis::logarithmic(low, high, 5));
                for axis in axes.into_iter().chain(log) {
                    assert!(axis.ticks.len() <= 20, "{low} {high} {axis:?}");
                    assert!(axis.ticks.iter().all(|(v, _)| v.is_finite()), "{low} {high} {axis:?}");
                    assert!((-1e-6..=1.0 + 1e-6).contains(&axis.part(low)), "{low} {high} {axis:?}");
                }
            }
        }
    }
}
