//! What the figures share: sizes of texts, axes with round ticks, frames, curves and their marks.
//!
//! An [`Axis`] knows where values lie between its ends and which of them have a tick; a [`Plot`] is a frame with one
//! across and one upright. Numbers on an axis never touch: round ticks become fewer until their numbers have room,
//! and where the ticks are given, numbers without room are left out. Colours are Okabe and Ito's, told apart by the
//! colour-blind; shapes of markers differ too.
//!
//! The trap: widths of texts are those of the font, which [`Canvas::new`] makes known: it comes first.
//!
//! Used by every figure with axes; [`crate::draw::legend`] explains the signs.

use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, PT_PER_MM, Point, path_data, short, text_width};
use crate::draw::numbers::{alike, scientific, significant, written};
use crate::error::{Error, Result};

/// Sizes of texts: titles, axis texts, numbers, key, pt.
pub(crate) const TITLE: f64 = 8.0;
pub(crate) const TEXT: f64 = 7.5;
pub(crate) const NUMBER: f64 = 7.0;
pub(crate) const SMALL: f64 = 6.5;
/// Length of a tick; numbers stand at twice that distance, pt.
pub(crate) const TICK: f64 = 2.0;
/// At the edges of the sheet, pt.
pub(crate) const EDGE: f64 = 2.0;
/// Room for the numbers below a frame, and for a line of axis text, pt.
pub(crate) const BELOW: f64 = 2.0 * TICK + 1.1 * NUMBER;
pub(crate) const LINE: f64 = 1.35 * TEXT;
/// Between the frame and the ends of its axes, across and upright, pt: marks there are whole.
pub(crate) const INSET: Point = (8.0, 4.0);
/// Free space between two numbers, pt.
const SPACE: f64 = 4.0;
/// A panel narrower than this is no figure, pt.
const LEAST_SIDE: f64 = 40.0;
pub(crate) const GREY: &str = "#777";
/// For one curve each, and their markers ([`marker`]) in the same order. Grey for yellow, which is faint on white.
pub(crate) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"];

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
        let (low, high) = apart(low, high, least);
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
    pub(crate) fn across(low: f64, high: f64, least: f64, length: f64) -> Result<Axis> {
        if low >= high {
            return Ok(Axis {
                low,
                high: low,
                scale: Scale::Linear,
                ticks: vec![(low, significant(low, 3))],
            });
        }
        let mut axis = Axis::linear(low, high, 1, least);
        for most in (1..=10).rev() {
            axis = Axis::linear(low, high, most, least).within(low, high);
            if axis.without_room(length)?.is_empty() {
                break;
            }
        }
        Ok(axis)
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
        let (low, high) = apart(low, high, near);
        let first = near.log10().ceil() as i32;
        let last = low.abs().max(high.abs()).log10().floor() as i32;
        let stride = (last - first).max(0) as usize * 2 / most.max(1) + 1;
        // From the far end: what is small crowds about 0.
        let sizes =
            (first..=last).rev().step_by(stride).map(|p| format!("1e{p}").parse().unwrap_or(f64::NAN));
        // The number at 0 needs room: what is nearer to it than that part of the axis has none.
        let (scale, room) = (Scale::Symmetric(near), 0.13);
        let apart = room * (scale.of(high) - scale.of(low));
        let sizes: Vec<f64> = sizes.filter(|v| scale.of(*v) >= apart).collect();
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
    pub(crate) fn at(values: &[f64], length: f64) -> Result<Axis> {
        let ticks = values.iter().copied().zip(alike(values, 3)).collect();
        let (low, high) = (values[0], values[values.len() - 1]);
        Axis { low, high, scale: Scale::Logarithmic, ticks }.thinned(length)
    }

    /// For names at 0, 1, 2, ..., each in the middle of its share of an axis across of `length` pt; names without room
    /// are left out.
    pub(crate) fn columns(names: &[String], length: f64) -> Result<Axis> {
        let ticks = names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
        Axis { ticks, ..Axis::shares(names.len(), length, INSET.0) }.thinned(length)
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
    pub(crate) fn within(mut self, low: f64, high: f64) -> Axis {
        if low < high {
            self.ticks.retain(|&(v, _)| low <= v && v <= high);
            (self.low, self.high) = (low, high);
        }
        self
    }

    /// Continued down to `v`, with a tick there.
    pub(crate) fn and(mut self, v: f64, words: &str, length: f64) -> Result<Axis> {
        self.low = v;
        self.ticks.insert(0, (v, words.to_owned()));
        self.thinned(length)
    }

    /// Without the numbers that have no room on an axis across of `length` pt.
    pub(crate) fn thinned(mut self, length: f64) -> Result<Axis> {
        for i in self.without_room(length)? {
            self.ticks[i].1.clear();
        }
        Ok(self)
    }

    /// Without the numbers that have no room on an upright axis of `length` pt.
    pub(crate) fn upright(mut self, length: f64) -> Axis {
        let half = NUMBER * DIGIT_HEIGHT / 2.0 + 1.0;
        for i in self.crowded(length - 2.0 * INSET.1, |_| half) {
            self.ticks[i].1.clear();
        }
        self
    }

    /// Ticks whose numbers would touch another on an axis across of `length` pt.
    fn without_room(&self, length: f64) -> Result<Vec<usize>> {
        let widths = self.ticks.iter().map(|(_, number)| text_width(number, NUMBER));
        let widths = widths.collect::<Result<Vec<f64>>>()?;
        Ok(self.crowded(length - 2.0 * INSET.0, |i| (widths[i] + SPACE) / 2.0))
    }

    /// Ticks whose numbers would touch another, by half the room that each needs, pt. The last comes first, then the
    /// first, then the others in order.
    fn crowded(&self, length: f64, half: impl Fn(usize) -> f64) -> Vec<usize> {
        let Some(last) = self.ticks.len().checked_sub(1) else { return Vec::new() };
        let (mut taken, mut lost): (Vec<(f64, f64)>, Vec<usize>) = Default::default();
        for i in [last, 0].into_iter().chain(1..last).take(self.ticks.len()) {
            let (half, x) = (half(i), length * self.part(self.ticks[i].0));
            match taken.iter().all(|&(a, b)| x + half <= a || b <= x - half) {
                true => taken.push((x - half, x + half)),
                false => lost.push(i),
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

/// Width of ticks and numbers beside upright axes, and a space beyond, pt: room for any of them.
pub(crate) fn beside<'a>(axes: impl IntoIterator<Item = &'a Axis>) -> Result<f64> {
    let mut widest: f64 = 0.0;
    for (_, number) in axes.into_iter().flat_map(|axis| &axis.ticks) {
        widest = widest.max(text_width(number, NUMBER)?);
    }
    Ok(2.0 * TICK + widest + 1.5)
}

/// `low` and `high`, or a range about them where they are one number.
fn apart(low: f64, high: f64, least: f64) -> (f64, f64) {
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

/// A frame on the sheet, pt, and its axes.
pub(crate) struct Plot<'a> {
    pub(crate) corner: Point,
    pub(crate) size: (f64, f64),
    pub(crate) x: &'a Axis,
    pub(crate) y: &'a Axis,
}

impl Plot<'_> {
    /// The sheet's point of two values.
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        let ((left, top), (width, height)) = (self.corner, self.size);
        let right = left + INSET.0 + (width - 2.0 * INSET.0) * self.x.part(x);
        (right, top + INSET.1 + (height - 2.0 * INSET.1) * (1.0 - self.y.part(y)))
    }

    /// The frame with ticks and grid lines, and the numbers of those axes for which they are asked: (x, y).
    pub(crate) fn axes(&self, canvas: &Canvas, numbers: (bool, bool)) {
        let ((left, top), (width, height)) = (self.corner, self.size);
        let bottom = top + height;
        let (mut grid, mut marks) = (String::new(), String::new());
        for (v, number) in &self.y.ticks {
            let (_, y) = self.at(0.0, *v);
            grid += &path_data(&[(left, y), (left + width, y)], false);
            marks += &path_data(&[(left - TICK, y), (left, y)], false);
            if numbers.1 {
                let at = (left - 2.0 * TICK, y + NUMBER * DIGIT_HEIGHT / 2.0);
                canvas.text(number, at, NUMBER, Anchor::End, 0.0, "#000");
            }
        }
        for (v, number) in &self.x.ticks {
            let (x, _) = self.at(*v, 0.0);
            marks += &path_data(&[(x, bottom), (x, bottom + TICK)], false);
            if numbers.0 {
                let at = (x, bottom + 2.0 * TICK + 0.76 * NUMBER);
                canvas.text(number, at, NUMBER, Anchor::Middle, 0.0, "#000");
            }
        }
        canvas.path(&grid, "stroke=\"#e8e8e8\" stroke-width=\".4\"");
        canvas.path(&marks, "stroke=\"#000\" stroke-width=\".5\"");
        canvas.rect(self.corner, self.size, "fill=\"none\" stroke=\"#000\" stroke-width=\".5\"");
    }

    /// What can be drawn of (x, value) in one stroke each, on the sheet: without what is not finite, cut at the ends of
    /// the upright axis.
    pub(crate) fn pieces(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let whole = points.split(|point| !drawable(point.1));
        let placed = whole.map(|piece| piece.iter().map(|&(x, v)| self.at(x, v)).collect::<Vec<Point>>());
        let below = placed.flat_map(|piece| line_within(&piece, |y| y - self.top()));
        below.flat_map(|piece| line_within(&piece, |y| self.bottom() - y)).collect()
    }

    /// The ends of the upright axis on the sheet.
    pub(crate) fn top(&self) -> f64 {
        self.at(0.0, self.y.high).1
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.at(0.0, self.y.low).1
    }

    /// A level from side to side.
    pub(crate) fn across(&self, y: f64) -> [Point; 2] {
        let (_, y) = self.at(0.0, y);
        [(self.corner.0, y), (self.corner.0 + self.size.0, y)]
    }

    /// A place from foot to top.
    pub(crate) fn upright(&self, x: f64) -> [Point; 2] {
        let (x, _) = self.at(x, 0.0);
        [(x, self.corner.1 + self.size.1), (x, self.corner.1)]
    }

    /// The area between a lower and an upper curve, `(x, low, high)`, cut at the ends of the axis; a bar where there is
    /// one x alone.
    pub(crate) fn band(&self, canvas: &Canvas, edges: &[(f64, f64, f64)], colour: &str) {
        let lower = edges.iter().map(|&(x, low, _)| self.at(x, low));
        let upper = edges.iter().rev().map(|&(x, _, high)| self.at(x, high));
        if edges.len() == 1 {
            let top = self.top();
            lower
                .zip(upper)
                .for_each(|(a, b)| bar(canvas, [(a.0, a.1.max(top)), (b.0, b.1.max(top))], colour));
        } else {
            let outline: Vec<Point> = lower.chain(upper).collect();
            let outline = area_within(&area_within(&outline, |y| y - self.top()), |y| self.bottom() - y);
            canvas.path(&path_data(&outline, true), &format!("fill=\"{colour}\" fill-opacity=\".16\""));
        }
    }
}

/// Where the stretch from `a` to `b` crosses the height at which `inside` is 0.
fn crossing(a: Point, b: Point, inside: impl Fn(f64) -> f64) -> Option<Point> {
    let (from, to) = (inside(a.1), inside(b.1));
    let t = from / (from - to);
    ((from < 0.0) != (to < 0.0) && 0.0 < t && t < 1.0)
        .then_some((a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t))
}

/// The parts of a line at heights where `inside` is not negative.
fn line_within(points: &[Point], inside: impl Fn(f64) -> f64) -> Vec<Vec<Point>> {
    let mut pieces = vec![Vec::new()];
    let mut before = None;
    for &at in points {
        let held = inside(at.1) >= 0.0;
        let ends = [before.and_then(|before| crossing(before, at, &inside)), held.then_some(at)];
        if let Some(piece) = pieces.last_mut() {
            piece.extend(ends.into_iter().flatten());
        }
        if !held {
            pieces.push(Vec::new());
        }
        before = Some(at);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The part of an area at heights where `inside` is not negative (Sutherland and Hodgman 1974).
fn area_within(ring: &[Point], inside: impl Fn(f64) -> f64) -> Vec<Point> {
    let sides = ring.iter().zip(ring.iter().cycle().skip(1));
    let kept = sides.flat_map(|(&a, &b)| [(inside(a.1) >= 0.0).then_some(a), crossing(a, b, &inside)]);
    kept.flatten().collect()
}

/// One of several lines of a curve.
pub(crate) fn thin(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\".35\" stroke-linejoin=\"round\"");
    canvas.path(&path_data(points, false), &look);
}

pub(crate) fn solid(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.1\" stroke-linejoin=\"round\"");
    canvas.path(&path_data(points, false), &look);
}

pub(crate) fn dashed(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\".7\" stroke-dasharray=\"2.4 1.6\"");
    canvas.path(&path_data(points, false), &look);
}

/// A level that is no curve.
pub(crate) fn dotted(canvas: &Canvas, points: &[Point]) {
    let look = "fill=\"none\" stroke=\"#000\" stroke-width=\".5\" stroke-dasharray=\".6 1.4\"";
    canvas.path(&path_data(points, false), look);
}

/// An interval of one value.
pub(crate) fn bar(canvas: &Canvas, ends: [Point; 2], colour: &str) {
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\".6\""));
}

/// What explains bands in a key, `width` wide.
pub(crate) fn band_sign(canvas: &Canvas, (x, y): Point, width: f64) {
    let look = format!("fill=\"{GREY}\" fill-opacity=\".25\"");
    canvas.rect((x - width / 2.0, y - 2.5), (width, 5.0), &look);
}

/// The most curves that colour and marker tell apart.
pub(crate) const CURVES: usize = 2 * COLOURS.len();

/// The colour of curve `i`.
pub(crate) fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// The marker of curve `i`: circle, square, triangle or diamond; every second four are empty, the other way round where
/// the colours come again.
pub(crate) fn marker(canvas: &Canvas, at: Point, i: usize) {
    marker_of(canvas, at, i % 4, colour(i), (i / 4 + i / COLOURS.len()) % 2 == 1);
}

/// A marker of any colour: circle, square, triangle or diamond, empty where it is `open`.
pub(crate) fn marker_of(canvas: &Canvas, (x, y): Point, shape: usize, colour: &str, open: bool) {
    const R: f64 = 1.9;
    let look = match open {
        false => format!("fill=\"{colour}\" stroke=\"#fff\" stroke-width=\".5\""),
        true => format!("fill=\"#fff\" stroke=\"{colour}\" stroke-width=\".8\""),
    };
    let polygon = |corners: &[Point]| canvas.path(&path_data(corners, true), &look);
    match shape {
        0 => canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"{R}\" {look}/>", short(x), short(y))),
        1 => canvas.rect((x - 0.9 * R, y - 0.9 * R), (1.8 * R, 1.8 * R), &look),
        2 => polygon(&[(x, y - 1.2 * R), (x + 1.15 * R, y + 0.9 * R), (x - 1.15 * R, y + 0.9 * R)]),
        _ => polygon(&[(x, y - 1.3 * R), (x + 1.3 * R, y), (x, y + 1.3 * R), (x - 1.3 * R, y)]),
    }
}

/// Text size up to `em` at which `text` is no wider than `width`.
pub(crate) fn fitting(text: &str, em: f64, width: f64) -> Result<f64> {
    let natural = text_width(text, em)?;
    Ok(if natural > width { em * width / natural } else { em })
}

/// `text` and its size: smaller down to 6 pt, then cut with an ellipsis.
pub(crate) fn shortened(text: &str, em: f64, width: f64) -> Result<(String, f64)> {
    let size = fitting(text, em, width)?.max(6.0);
    let mut kept: Vec<char> = text.chars().collect();
    let mut shown = text.to_owned();
    while text_width(&shown, size)? > width && !kept.is_empty() {
        kept.pop();
        shown = kept.iter().collect::<String>().trim_end().to_owned() + "…";
    }
    Ok((shown, size))
}

/// The first of some words, longest first, that has room at nearly `em`, uncut; else the last, [`shortened`].
pub(crate) fn longest(words: &[&str], em: f64, width: f64) -> Result<(String, f64)> {
    for words in words {
        let size = fitting(words, em, width)?;
        if size >= 0.85 * em {
            return Ok(((*words).to_owned(), size));
        }
    }
    shortened(words.last().unwrap_or(&""), em, width)
}

/// Width of each of `columns` panels on a sheet of `width_mm`, where `rest` pt are for other things.
///
/// # Errors
///
/// [`Error::Field`] if that leaves no room.
pub(crate) fn side(width_mm: f64, columns: usize, rest: f64) -> Result<f64> {
    let width = width_mm * PT_PER_MM;
    let side = (width - rest) / columns as f64;
    if side.is_finite() && side >= LEAST_SIDE && width <= 1e4 {
        return Ok(side);
    }
    let least = ((rest + LEAST_SIDE * columns as f64) / PT_PER_MM).ceil();
    let expected = format!("from {least} to 3500 for this figure");
    Err(Error::field("figure", "width_mm", expected, width_mm, "84 suits a column, 174 the width of a page"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::draw::image::{svg_to_png, text_boxes};

    /// The number of an attribute of one line of SVG.
    pub(crate) fn attribute(element: &str, name: &str) -> f64 {
        element.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
    }

    /// Oracle: the renderer's layout. No two texts touch, and all lie on the sheet; every place is a finite
    /// number, and there is a picture. Gives the texts.
    pub(crate) fn assert_sound(svg: &str) -> Vec<(String, [f64; 4])> {
        let sheet = svg.replace("pt\"", "\"");
        let (width, height) = (attribute(&sheet, "width"), attribute(&sheet, "height"));
        let boxes = text_boxes(svg);
        for (i, (text, a)) in boxes.iter().enumerate() {
            assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height, "{text} at {a:?}");
            for (other, b) in &boxes[..i] {
                let apart = a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
                assert!(apart, "{text} {a:?} on {other} {b:?}");
            }
        }
        // What an infinite coordinate is written as.
        assert!(!svg.contains("NaN") && !svg.contains(&(i64::MAX / 100).to_string()));
        svg_to_png(svg, 36.0).unwrap();
        boxes
    }

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

    /// Oracle: they return, with ticks that are numbers in order. A step of 0 or ∞ would hang or give none.
    #[test]
    fn no_range_is_too_odd() {
        Canvas::new((1.0, 1.0)).unwrap();
        let ends = [-9e299, -1.0, 0.0, 1e-320, 1e-300, 0.1, 0.1 + 1e-17, 1.0, 1e16, 9e299];
        for (i, &low) in ends.iter().enumerate() {
            for &high in &ends[i..] {
                let axes = [Axis::linear(low, high, 6, 0.0), Axis::across(low, high, 0.0, 100.0).unwrap()];
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
