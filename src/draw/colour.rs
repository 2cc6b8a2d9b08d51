//! Colour maps, what stands out on their colours, and hatching for what has no colour.
//!
//! Used by figures of surfaces and by every figure with coloured cells.

use colorgrad::Gradient;

use crate::draw::canvas::{Area, Canvas, Point, path_data, short};

/// What is clipped, in a colour that no colour map has.
pub(crate) const CLIPPED: &str = "#fff3e6";

/// A colour map that keeps its order in greys and for the colour-blind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColourMap {
    /// Blue, green, yellow.
    #[default]
    Viridis,
    /// Blue, grey, yellow: nearly the same to every eye.
    Cividis,
    /// Blue, white, red: for differences, with white at 0.
    #[value(skip)]
    BlueRed,
}

impl ColourMap {
    /// From the dark end at 0 to the bright one at 1.
    pub(crate) fn at(self, part: f32) -> String {
        let [r, g, b, _] = match self {
            ColourMap::Viridis => colorgrad::preset::viridis().at(part).to_rgba8(),
            ColourMap::Cividis => colorgrad::preset::cividis().at(part).to_rgba8(),
            ColourMap::BlueRed => colorgrad::preset::rd_bu().at(1.0 - part).to_rgba8(),
        };
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// As many colours, from the dark end to the bright one.
    pub(crate) fn parts(self, n: usize) -> Vec<String> {
        match n {
            1 => vec![self.at(0.5)],
            n => (0..n).map(|i| self.at(i as f32 / (n - 1) as f32)).collect(),
        }
    }
}

/// Black or white, whichever stands out on `colour` (WCAG relative luminance).
pub(crate) fn ink(colour: &str) -> &'static str {
    let channel = |at: usize| {
        let byte = colour.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
        (f64::from(byte) / 255.0).powf(2.2)
    };
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    if luminance > 0.18 { "#000" } else { "#fff" }
}

/// Losses above the clip: light, with strokes the other way than those of [`hatched`].
pub(crate) fn hatched_above(canvas: &Canvas, rings: &[Vec<Point>]) {
    const PITCH: f64 = 2.2;
    let edges = || rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    // The strokes are x − y = k·PITCH, from where they enter the area to where they leave it.
    let across = |p: &Point| (p.0 - p.1) / PITCH;
    let ends = edges().map(|(a, _)| across(a)).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    let mut strokes = String::new();
    for k in (ends.0.ceil() as i64..=ends.1.floor() as i64).map(|k| k as f64) {
        let crossing = |(a, b): (&Point, &Point)| {
            let (from, to) = (across(a), across(b));
            let x = a.0 + (b.0 - a.0) * (k - from) / (to - from);
            ((from < k) != (to < k)).then_some(x)
        };
        let mut x: Vec<f64> = edges().filter_map(crossing).collect();
        x.sort_by(f64::total_cmp);
        for pair in x.chunks_exact(2).filter(|pair| pair[1] - pair[0] > 0.05) {
            strokes += &path_data(&[(pair[0], pair[0] - k * PITCH), (pair[1], pair[1] - k * PITCH)], false);
        }
    }
    canvas.path(&strokes, "stroke=\"#b5651d\" stroke-width=\".3\"");
}

/// Grey with strokes, in phase over neighbouring cells.
pub(crate) fn hatched(canvas: &Canvas, cells: &[Area]) {
    const PITCH: f64 = 3.0;
    let mut strokes = String::new();
    for &cell in cells {
        canvas.area(cell, "fill=\"#d9d9d9\" stroke=\"#d9d9d9\" stroke-width=\".2\"");
        let Area { left, top, right, bottom } = cell;
        // The strokes are x + y = k·PITCH, cut at the cell's sides.
        let (first, last) = (((left + top) / PITCH).ceil() as i64, ((right + bottom) / PITCH).floor() as i64);
        for sum in (first..=last).map(|k| k as f64 * PITCH) {
            let (x0, x1) = (left.max(sum - bottom), right.min(sum - top));
            strokes += &format!("M{} {}L{} {}", short(x0), short(sum - x0), short(x1), short(sum - x1));
        }
    }
    canvas.path(&strokes, "stroke=\"#8c8c8c\" stroke-width=\".5\"");
}
