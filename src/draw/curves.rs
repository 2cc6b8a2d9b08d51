//! Strokes, bands and markers of curves, in colours that the colour-blind can distinguish (Okabe and Ito's); shapes of
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

/// Single seeds, as few as there are: larger.
pub(crate) fn seeds(canvas: &Canvas, points: &[Point], colour: &str) {
    let d: String = points.iter().map(|&(x, y)| format!("M{} {}h.01", short(x), short(y))).collect();
    let look =
        format!("stroke=\"{colour}\" stroke-opacity=\".55\" stroke-width=\"2.4\" stroke-linecap=\"round\"");
    canvas.path(&d, &look);
}

/// The most curves that colour and marker distinguish.
pub(crate) const CURVES: usize = 2 * COLOURS.len();

/// The colour of curve `i`.
pub(crate) fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// The marker of curve `i`: circle, square, triangle or diamond; every second four are empty, the other way round where
/// the colours come again.
pub(crate) fn marker(canvas: &Canvas, at: Point, i: usize) {
    Look::of_curve(i).marker(canvas, at);
}

/// Colours of arms but the first one: those of sites and kinds begin with blue.
const ARMS: [&str; 6] = ["#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#0072b2"];
/// The first arm's, to which others are compared.
const REFERENCE: &str = "#555";
/// Dashes where the colours come again.
const DASHES: [&str; 3] = ["", "4 1.6", "1.4 1.4"];

/// How a curve or an arm looks: no two of up to [`CURVES`] are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) colour: &'static str,
    shape: usize,
    open: bool,
    dash: &'static str,
}

impl Look {
    pub(crate) fn of_curve(i: usize) -> Look {
        let again = i / COLOURS.len();
        Look { colour: colour(i), shape: i % 4, open: (i / 4 + again) % 2 == 1, dash: DASHES[again % 3] }
    }

    /// Of arm `i` of some in a run, the same in each of its figures: the first, to which others are compared, is grey.
    pub(crate) fn of_arm(i: usize, arms: usize) -> Look {
        let Some(hue) = i.checked_sub(1) else {
            return if arms > 1 {
                Look { colour: REFERENCE, ..Look::of_curve(0) }
            } else {
                Look::of_curve(0)
            };
        };
        let dash = DASHES[hue / ARMS.len() % 3];
        Look { colour: ARMS[hue % ARMS.len()], shape: i % 4, open: i / 4 % 2 == 1, dash }
    }

    pub(crate) fn marker(self, canvas: &Canvas, at: Point) {
        marker_of(canvas, at, self.shape, self.colour, self.open);
    }

    /// The same marker, empty or full as `open` says.
    pub(crate) fn marker_open(self, canvas: &Canvas, at: Point, open: bool) {
        marker_of(canvas, at, self.shape, self.colour, open);
    }

    /// The same with dashes, for lines without markers.
    pub(crate) fn dashed(self, dashed: bool) -> Look {
        if dashed { Look { dash: DASHES[1], ..self } } else { self }
    }

    /// A line of a mean.
    pub(crate) fn line(self, canvas: &Canvas, points: &[Point]) {
        let dash = match self.dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        stroke(canvas, points, self.colour, &format!("stroke-width=\"1.1\" stroke-linejoin=\"round\"{dash}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: comparing all pairs. Catches colours that come again with the same marker or the same line, as blue did for the
    /// ninth arm; and an arm of a run of many that looks otherwise than among few.
    #[test]
    fn no_two_arms_or_curves_are_alike() {
        let arms: Vec<Look> = (0..CURVES).map(|i| Look::of_arm(i, CURVES)).collect();
        let curves: Vec<Look> = (0..CURVES).map(Look::of_curve).collect();
        for looks in [&arms, &curves] {
            for (i, one) in looks.iter().enumerate() {
                for other in &looks[..i] {
                    let lines_differ = (one.colour, one.dash) != (other.colour, other.dash);
                    let markers_differ =
                        (one.colour, one.shape, one.open) != (other.colour, other.shape, other.open);
                    assert!(lines_differ && markers_differ, "{one:?} {other:?}");
                }
            }
        }
        let hues: std::collections::BTreeSet<&str> = arms[1..].iter().map(|look| look.colour).collect();
        assert!(hues.len() <= 6 && !hues.contains(REFERENCE) && arms[0].colour == REFERENCE);
        assert!((1..5).all(|i| Look::of_arm(i, 5) == arms[i]));
    }
}
