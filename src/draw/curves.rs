//! Strokes, bands and markers of curves, in colours that the colour-blind tell apart (Okabe and Ito's); shapes of
//! markers differ too.
//!
//! Used by every figure with curves; [`crate::draw::legend`] explains the signs.

use crate::draw::canvas::{Canvas, Point, path_data, short};

pub(crate) const GREY: &str = "#777";
/// For one curve each, and their markers ([`marker`]) in the same order. Grey for yellow, which is faint on white.
pub(crate) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"];

/// A line through `points`, its look as in SVG.
pub(crate) fn stroke(canvas: &Canvas, points: &[Point], colour: &str, look: &str) {
    canvas.path(&path_data(points, false), &format!("fill=\"none\" stroke=\"{colour}\" {look}"));
}

/// One of several lines of a curve.
pub(crate) fn thin(canvas: &Canvas, points: &[Point], colour: &str) {
    stroke(canvas, points, colour, "stroke-width=\".35\" stroke-linejoin=\"round\"");
}

pub(crate) fn solid(canvas: &Canvas, points: &[Point], colour: &str) {
    stroke(canvas, points, colour, "stroke-width=\"1.1\" stroke-linejoin=\"round\"");
}

pub(crate) fn dashed(canvas: &Canvas, points: &[Point], colour: &str) {
    stroke(canvas, points, colour, "stroke-width=\".7\" stroke-dasharray=\"2.4 1.6\"");
}

/// Chance, or another level that belongs to a curve.
pub(crate) fn dotted(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = "stroke-width=\".8\" stroke-dasharray=\".1 1.8\" stroke-linecap=\"round\"";
    stroke(canvas, points, colour, look);
}

/// A level that is no curve.
pub(crate) fn level(canvas: &Canvas, points: &[Point]) {
    stroke(canvas, points, "#000", "stroke-width=\".5\" stroke-dasharray=\".6 1.4\"");
}

/// An interval of one value.
pub(crate) fn bar(canvas: &Canvas, ends: [Point; 2], colour: &str) {
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\".6\""));
}

/// The same, thick enough to be seen in a row of its own.
pub(crate) fn thick_bar(canvas: &Canvas, ends: [Point; 2], colour: &str) {
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\"1\""));
}

/// Single values, all in one path: strokes of no length with round ends.
pub(crate) fn dots(canvas: &Canvas, points: &[Point], colour: &str) {
    let d: String = points.iter().map(|&(x, y)| format!("M{} {}h.01", short(x), short(y))).collect();
    let look =
        format!("stroke=\"{colour}\" stroke-opacity=\".5\" stroke-width=\"1.4\" stroke-linecap=\"round\"");
    canvas.path(&d, &look);
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
    let look = if open {
        format!("fill=\"#fff\" stroke=\"{colour}\" stroke-width=\".8\"")
    } else {
        format!("fill=\"{colour}\" stroke=\"#fff\" stroke-width=\".5\"")
    };
    let polygon = |corners: &[Point]| canvas.path(&path_data(corners, true), &look);
    match shape {
        0 => canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"{R}\" {look}/>", short(x), short(y))),
        1 => canvas.rect((x - 0.9 * R, y - 0.9 * R), (1.8 * R, 1.8 * R), &look),
        2 => polygon(&[(x, y - 1.2 * R), (x + 1.15 * R, y + 0.9 * R), (x - 1.15 * R, y + 0.9 * R)]),
        _ => polygon(&[(x, y - 1.3 * R), (x + 1.3 * R, y), (x, y + 1.3 * R), (x - 1.3 * R, y)]),
    }
}
