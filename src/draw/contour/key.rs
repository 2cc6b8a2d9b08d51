//! What explains a figure: the colour bar at its right, and the signs that [`crate::draw::legend`] puts below it.
//!
//! The bar has one field of equal height per band, bounds written beside it; where the numbers would touch,
//! every second (third, …) is written. A constant surface has one field with its value at the middle. Where losses are
//! clipped, a field of its own stands above the bar.
//!
//! Used by [`super`], which says where.

use super::Bands;
use super::levels::Levels;
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, Point, short, widest};
use crate::draw::colour::{CLIPPED, hatched, hatched_above};
use crate::draw::legend::Entry;
use crate::draw::text::{NUMBER, TEXT, fitting};

/// Width of the bar, length of its ticks and distance of its numbers, pt.
const BAR: f64 = 8.0;
const TICK: f64 = 2.0;
const GAP: f64 = 3.5;
/// Height of the field for what is clipped, and its distance from the bar, pt.
const END: f64 = 8.0;
const APART: f64 = 2.0;
/// Width and height of a sign below the figure, pt.
pub(crate) const SIGN: f64 = 7.0;

/// Width of the colour bar with its numbers and its text, pt.
pub(crate) fn bar_width(levels: &Levels, text: f64) -> f64 {
    let above = levels.clipped.then(|| above(levels));
    let labels = levels.labels.iter().chain(&above).map(String::as_str);
    BAR + GAP + widest(labels, NUMBER) + 3.0 + 1.2 * text
}

/// Draws the bar with its upper left corner at `at`; `clipped` draws what lies above.
pub(crate) fn bar(
    canvas: &Canvas,
    at: Point,
    height: f64,
    Bands { levels, colours }: &Bands,
    label: &str,
    clipped: fn(&Canvas, Area),
) {
    let (n, text) = (levels.bands(), fitting(label, TEXT, height));
    let (whole, foot) = (height, at.1 + height);
    let (mut at, mut height) = (at, height);
    if levels.clipped {
        let area = Area { left: at.0, top: at.1, right: at.0 + BAR, bottom: at.1 + END };
        clipped(canvas, area);
        canvas.frame(at, (BAR, END));
        let baseline = at.1 + (END + NUMBER * DIGIT_HEIGHT) / 2.0;
        canvas.text(&above(levels), (at.0 + BAR + GAP, baseline), NUMBER, Anchor::Start, 0.0, "#000");
        (at.1, height) = (at.1 + END + APART, height - END - APART);
    }
    let pitch = height / n as f64;
    // From the top, each field down to the foot of the bar: no seams.
    for (i, colour) in colours[..n].iter().enumerate().rev() {
        let top = at.1 + height - pitch * (i + 1) as f64;
        canvas.rect((at.0, top), (BAR, at.1 + height - top), &format!("fill=\"{colour}\""));
    }
    canvas.frame(at, (BAR, height));
    let stride = (1.25 * NUMBER / pitch).ceil().max(1.0) as usize;
    let places: Vec<(f64, &String)> = match levels.bounds.len() {
        1 => vec![(at.1 + height / 2.0, &levels.labels[0])],
        _ => {
            let y = |i: usize| at.1 + height - pitch * i as f64;
            // The field above says the last bound.
            let labels = &levels.labels[..levels.labels.len() - usize::from(levels.clipped)];
            labels.iter().enumerate().step_by(stride).map(|(i, label)| (y(i), label)).collect()
        }
    };
    let mut ticks = String::new();
    for (y, label) in places {
        ticks.push_str(&format!("M{} {}h{TICK}", short(at.0 + BAR), short(y)));
        let baseline = y + NUMBER * DIGIT_HEIGHT / 2.0;
        canvas.text(label, (at.0 + BAR + GAP, baseline), NUMBER, Anchor::Start, 0.0, "#000");
    }
    canvas.path(&ticks, "stroke=\"#000\" stroke-width=\".5\"");
    let right = at.0 + bar_width(levels, text) - 0.25 * text;
    canvas.upright(label, (right, foot - whole / 2.0), text);
}

/// What stands beside the field above the bar.
fn above(levels: &Levels) -> String {
    format!("> {}", levels.labels.last().map_or("", String::as_str))
}

/// A field of what is clipped: hatched on flat figures, plain on a plateau.
pub(crate) fn hatched_field(canvas: &Canvas, area: Area) {
    plain_field(canvas, area);
    let Area { left, top, right, bottom } = area;
    hatched_above(canvas, &[vec![(left, top), (right, top), (right, bottom), (left, bottom)]]);
}

pub(crate) fn plain_field(canvas: &Canvas, area: Area) {
    canvas.area(area, &format!("fill=\"{CLIPPED}\""));
}

/// A field in the key.
pub(crate) fn field(fill: fn(&Canvas, Area), words: String) -> Entry<'static> {
    let sign = move |canvas: &Canvas, at| {
        let area = Area::around(at, SIGN / 2.0, 2.8);
        fill(canvas, area);
        canvas.area(area, "fill=\"none\" stroke=\"#000\" stroke-width=\".35\"");
    };
    Entry::new(sign, words)
}

/// The trained model: a cross, white on black so that it shows on every colour.
pub(crate) fn cross(canvas: &Canvas, (x, y): Point) {
    let arms = |r: f64| {
        let (r2, x0, y0) = (short(2.0 * r), short(x - r), short(y - r));
        format!("M{x0} {}h{r2}M{} {y0}v{r2}", short(y), short(x))
    };
    canvas.path(&arms(3.4), "stroke=\"#000\" stroke-width=\"2\"");
    canvas.path(&arms(3.0), "stroke=\"#fff\" stroke-width=\"1\"");
}

/// The lowest grid point: a ring.
pub(crate) fn ring(canvas: &Canvas, (x, y): Point) {
    for (colour, width) in [("#000", "1.9"), ("#fff", ".9")] {
        let (x, y) = (short(x), short(y));
        canvas.raw(&format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.4\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        ));
    }
}

/// A grid point.
pub(crate) fn dot(canvas: &Canvas, at: Point) {
    dots(canvas, &[at]);
}

/// Grid points, all in one path: strokes of no length with round ends.
pub(crate) fn dots(canvas: &Canvas, points: &[Point]) {
    let d: String = points.iter().map(|&(x, y)| format!("M{} {}h.01", short(x), short(y))).collect();
    canvas.path(&d, "stroke=\"#000\" stroke-width=\"1.3\" stroke-linecap=\"round\"");
    canvas.path(&d, "stroke=\"#fff\" stroke-width=\".7\" stroke-linecap=\"round\"");
}

/// Cells without a finite loss.
pub(crate) fn hatched_sign(canvas: &Canvas, at: Point) {
    hatched(canvas, &[Area::around(at, SIGN / 2.0, 2.8)]);
    lost(canvas, &[at]);
}

/// Grid points whose loss is not finite.
pub(crate) fn lost(canvas: &Canvas, points: &[Point]) {
    const ARM: f64 = 1.4;
    let cross = |&(x, y): &Point| {
        let (left, top, bottom, side) = (short(x - ARM), short(y - ARM), short(y + ARM), short(2.0 * ARM));
        format!("M{left} {top}l{side} {side}M{left} {bottom}l{side}-{side}")
    };
    canvas.path(&points.iter().map(cross).collect::<String>(), "stroke=\"#000\" stroke-width=\".7\"");
}
