//! A frame with an axis across and an upright one: its ticks, grid and words, and the lines and areas inside it.
//!
//! Used by every figure with axes; [`crate::draw::curves`] has the strokes.

use crate::draw::axis::{Axis, INSET, TICK, drawable};
use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, PT_PER_MM, Point, path_data};
use crate::draw::curves::bar;
use crate::draw::text::{self, NUMBER, TEXT};
use crate::error::{Error, Result};

/// At the edges of the sheet, pt.
pub(crate) const EDGE: f64 = 2.0;
/// Room for the numbers below a frame, and for a line of axis text, pt.
pub(crate) const BELOW: f64 = 2.0 * TICK + 1.1 * NUMBER;
pub(crate) const LINE: f64 = 1.35 * TEXT;
/// A panel narrower than this is no figure, pt.
const LEAST_SIDE: f64 = 40.0;

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

    /// The frame with ticks and grid lines, and with the numbers `across` and `upright` if asked.
    pub(crate) fn axes(&self, canvas: &Canvas, across: bool, upright: bool) {
        let ((left, top), (width, height)) = (self.corner, self.size);
        let bottom = top + height;
        let (mut grid, mut marks) = (String::new(), String::new());
        for (v, number) in &self.y.ticks {
            let (_, y) = self.at(0.0, *v);
            grid += &path_data(&[(left, y), (left + width, y)], false);
            marks += &path_data(&[(left - TICK, y), (left, y)], false);
            if upright {
                let at = (left - 2.0 * TICK, y + NUMBER * DIGIT_HEIGHT / 2.0);
                canvas.text(number, at, NUMBER, Anchor::End, 0.0, "#000");
            }
        }
        for (v, number) in &self.x.ticks {
            let (x, _) = self.at(*v, 0.0);
            marks += &path_data(&[(x, bottom), (x, bottom + TICK)], false);
            if across {
                let at = (x, bottom + 2.0 * TICK + 0.76 * NUMBER);
                canvas.centred(number, at, NUMBER);
            }
        }
        canvas.path(&grid, "stroke=\"#e8e8e8\" stroke-width=\".4\"");
        canvas.path(&marks, "stroke=\"#000\" stroke-width=\".5\"");
        canvas.frame(self.corner, self.size);
    }

    /// Words of the axis across, below its numbers.
    pub(crate) fn words_across(&self, canvas: &Canvas, words: &str) {
        let ((left, top), (width, height)) = (self.corner, self.size);
        let em = text::fitting(words, TEXT, width);
        canvas.centred(words, (left + width / 2.0, top + height + BELOW + 0.9 * TEXT), em);
    }

    /// Words of the upright axis, beginning at `left`.
    pub(crate) fn words_upright(&self, canvas: &Canvas, words: &str, left: f64) {
        let (top, height) = (self.corner.1, self.size.1);
        let em = text::fitting(words, TEXT, height);
        canvas.upright(words, (left + 0.8 * TEXT, top + height / 2.0), em);
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

/// Width of each of `columns` panels on a sheet of `width_mm`, where `rest` pt are for other things.
///
/// # Errors
///
/// [`Error::Field`] if that leaves no room.
pub(crate) fn panel_width(width_mm: f64, columns: usize, rest: f64) -> Result<f64> {
    let width = width_mm * PT_PER_MM;
    let side = (width - rest) / columns as f64;
    if side.is_finite() && side >= LEAST_SIDE && width <= 1e4 {
        return Ok(side);
    }
    let least = ((rest + LEAST_SIDE * columns as f64) / PT_PER_MM).ceil();
    let expected = format!("from {least} to 3500 for this figure");
    Err(Error::field("figure", "width_mm", expected, width_mm, "84 suits a column, 174 the width of a page"))
}
