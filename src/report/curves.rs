//! Agreement of sub-samples against their fraction, as SVG: a column for each measure, a row for each kind of draw.
//!
//! Solid lines and bands are agreement with the examples left out, the comparison that a fraction is trusted by: the
//! mean over the repeats and the 95 % interval of its expectation. Dots are single draws, set a little apart by
//! granularity. Dashed lines are agreement with the full set, which contains the draw. Measures have scales of their own: they do not compare.
//! Colours are Okabe and Ito's, told apart by the colour-blind; markers differ too.
//!
//! Takes [`Curves`] of [`super::agreement_file`]; draws on `canvas` as [`super::contour`] does, at its sizes.

use super::agreement_file::{Curves, Draw, Mean};
use super::canvas::{Anchor, Canvas, DIGIT_HEIGHT, PT_PER_MM, Point, path_data, short, text_width};
use crate::error::{Error, Result};
use crate::fisher::layers::Granularity;
use crate::stability::agreement::Measure;
use crate::stability::draw::Draws;
use crate::stability::summary::{Reference, Trust};

/// Sizes of texts: titles, axis texts, numbers, key, pt.
const TITLE: f64 = 8.0;
const TEXT: f64 = 7.5;
const NUMBER: f64 = 7.0;
const SMALL: f64 = 6.5;
const TICK: f64 = 2.0;
const EDGE: f64 = 2.0;
/// Between a panel and the numbers of the next, and between rows, pt.
const GAP: f64 = 5.0;
const ROW_GAP: f64 = 9.0;
/// From the frame to the first and last fraction, pt.
const INSET: f64 = 8.0;
/// Dots of neighbouring granularities stand this far apart, pt.
const APART: f64 = 2.4;
/// Width of a sign in the key, pt.
const SIGN: f64 = 14.0;
/// A panel narrower than this is no figure, pt.
const LEAST_SIDE: f64 = 40.0;
const GREY: &str = "#777";

/// For readers of the file.
const DESCRIPTION: &str = "Agreement of layer rankings from a fraction of the examples with those from the examples \
                           left out (solid; bands are 95 % intervals of the expected agreement, dots single draws) \
                           and with those from all examples (dashed).";

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page).
///
/// The same curves give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn curve_figure(curves: &Curves, width_mm: Option<f64>) -> Result<String> {
    // The font must be known before text is measured.
    Canvas::new((1.0, 1.0))?;
    let layout = Layout::new(curves, width_mm.unwrap_or(174.0))?;
    let canvas = Canvas::new(layout.size)?;
    for (row, &kind) in layout.kinds.iter().enumerate() {
        for (column, &measure) in Measure::ALL.iter().enumerate() {
            let panel = Panel { layout: &layout, row, column, kind, measure };
            panel.axes(&canvas);
            panel.threshold(&canvas, curves);
            for granularity in Granularity::ALL {
                panel.band(&canvas, curves, granularity);
            }
            for granularity in Granularity::ALL {
                panel.dots(&canvas, curves, granularity);
            }
            for granularity in Granularity::ALL {
                panel.lines(&canvas, curves, granularity);
            }
        }
    }
    layout.texts(&canvas)?;
    for (entry, &(x, line)) in layout.entries.iter().zip(&layout.places) {
        let y = layout.key.1 + 1.6 * SMALL * line as f64;
        entry.sign.draw(&canvas, (layout.key.0 + x, y));
        let at = (layout.key.0 + x + SIGN + 3.0, y + SMALL * DIGIT_HEIGHT / 2.0);
        canvas.text(&entry.words, at, SMALL, Anchor::Start, 0.0, "#000");
    }
    Ok(canvas.finish(DESCRIPTION))
}

fn colour(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Tensor => "#0072b2",
        Granularity::Site => "#d55e00",
        Granularity::Block => "#009e73",
    }
}

fn title(measure: Measure) -> &'static str {
    match measure {
        Measure::Spearman => "Spearman’s ρ",
        Measure::Kendall => "Kendall’s τ",
        Measure::TopKOverlap => "overlap of the top tenth",
        Measure::Rbo => "rank-biased overlap",
    }
}

/// Sign and words in the key.
struct Entry {
    sign: Sign,
    words: String,
}

#[derive(Clone, Copy)]
enum Sign {
    Line(Granularity),
    Solid,
    Dashed,
    Band,
    Dot,
    Threshold,
    Ring,
}

impl Sign {
    /// From `(x, y)` to the right, `y` its middle.
    fn draw(self, canvas: &Canvas, (x, y): Point) {
        let (middle, line) = ((x + SIGN / 2.0, y), [(x, y), (x + SIGN, y)]);
        match self {
            Sign::Line(granularity) => {
                solid(canvas, &line, colour(granularity));
                marker(canvas, middle, granularity);
            }
            Sign::Band => {
                canvas.rect((x, y - 2.5), (SIGN, 5.0), &format!("fill=\"{GREY}\" fill-opacity=\".25\""))
            }
            Sign::Dot => dots(canvas, &[(middle.0 - 3.5, y), middle, (middle.0 + 3.5, y)], GREY),
            Sign::Solid => solid(canvas, &line, GREY),
            Sign::Dashed => dashed(canvas, &line, GREY),
            Sign::Threshold => level(canvas, &line),
            Sign::Ring => ring(canvas, middle),
        }
    }
}

/// Everything's place, pt.
struct Layout {
    size: (f64, f64),
    kinds: Vec<Draws>,
    /// Upper left corner of the first panel, and the panels' width and height.
    origin: Point,
    side: (f64, f64),
    pitch: Point,
    /// Fractions, ascending, and those whose numbers have room.
    fractions: Vec<f64>,
    numbered: Vec<f64>,
    /// Lowest agreement shown and the distance of the ticks, for each measure.
    scales: Vec<(f64, f64)>,
    key: Point,
    entries: Vec<Entry>,
    places: Vec<(f64, usize)>,
}

impl Layout {
    fn new(curves: &Curves, width_mm: f64) -> Result<Layout> {
        let width = width_mm * PT_PER_MM;
        let mut kinds: Vec<Draws> = Vec::new();
        for draw in &curves.draws {
            if !kinds.contains(&draw.draw) {
                kinds.push(draw.draw);
            }
        }
        let mut fractions: Vec<f64> = curves.draws.iter().map(|draw| draw.fraction).collect();
        fractions.sort_by(f64::total_cmp);
        fractions.dedup();
        let scales: Vec<(f64, f64)> = (0..Measure::ALL.len()).map(|m| scale(curves, m)).collect();
        let count = scales.len();
        let mut numbers = 2.0 * TICK;
        for &(bottom, step) in &scales {
            for tick in ticks(bottom, step) {
                numbers = f64::max(numbers, 2.0 * TICK + text_width(&decimals(tick, step), NUMBER)?);
            }
        }
        let (left, right) = (EDGE + 1.35 * TEXT + numbers, EDGE + 1.35 * TEXT);
        let gap = GAP + numbers;
        let side = (width - left - right - gap * (count - 1) as f64) / count as f64;
        if !side.is_finite() || side < LEAST_SIDE || width > 1e4 {
            let fix = "174 suits the width of a page";
            let expected = "wide enough for four panels, at most 3500 mm";
            return Err(Error::field("figure", "width_mm", expected, width_mm, fix));
        }
        let top = EDGE + 1.1 * TITLE + 3.0;
        let height = 1.1 * side;
        let pitch = (side + gap, height + ROW_GAP);
        let foot =
            top + pitch.1 * (kinds.len() - 1) as f64 + height + 2.0 * TICK + 1.1 * NUMBER + 1.35 * TEXT;
        let entries = entries(curves);
        let key = (left, foot + 2.0 + 0.8 * SMALL);
        let places = flow(&entries, width - key.0 - EDGE)?;
        let lines = places.last().map_or(0, |&(_, line)| line + 1);
        let size = (width, foot + 2.0 + 1.6 * SMALL * lines as f64 + EDGE);
        let numbered = numbered(&fractions, side)?;
        let (origin, side) = ((left, top), (side, height));
        Ok(Layout { size, kinds, origin, side, pitch, fractions, numbered, scales, key, entries, places })
    }

    /// Titles of columns and rows, and texts of the axes.
    fn texts(&self, canvas: &Canvas) -> Result<()> {
        let (rows, black) = (self.kinds.len(), "#000");
        let bottom = self.origin.1 + self.pitch.1 * (rows - 1) as f64 + self.side.1;
        for (column, &measure) in Measure::ALL.iter().enumerate() {
            let x = self.origin.0 + self.pitch.0 * column as f64 + self.side.0 / 2.0;
            let em = fitting(title(measure), TITLE, self.side.0)?;
            canvas.text(title(measure), (x, self.origin.1 - 4.0), em, Anchor::Middle, 0.0, black);
        }
        for (row, kind) in self.kinds.iter().enumerate() {
            let y = self.origin.1 + self.pitch.1 * row as f64 + self.side.1 / 2.0;
            let words = format!("{} draws", kind.name());
            let x = self.size.0 - EDGE - 0.3 * TEXT;
            canvas.text(&words, (x, y), fitting(&words, TEXT, self.side.1)?, Anchor::Middle, -90.0, "#444");
            canvas.text("agreement", (EDGE + 0.8 * TEXT, y), TEXT, Anchor::Middle, -90.0, black);
        }
        let x = self.origin.0 + (self.pitch.0 * (Measure::ALL.len() - 1) as f64 + self.side.0) / 2.0;
        let y = bottom + 2.0 * TICK + 1.1 * NUMBER + 0.9 * TEXT;
        canvas.text("fraction of the examples drawn", (x, y), TEXT, Anchor::Middle, 0.0, black);
        Ok(())
    }
}

/// One measure and one kind of draw.
struct Panel<'a> {
    layout: &'a Layout,
    row: usize,
    column: usize,
    kind: Draws,
    measure: Measure,
}

impl Panel<'_> {
    fn corner(&self) -> Point {
        let (origin, pitch) = (self.layout.origin, self.layout.pitch);
        (origin.0 + pitch.0 * self.column as f64, origin.1 + pitch.1 * self.row as f64)
    }

    fn x(&self, fraction: f64) -> f64 {
        self.corner().0 + across(&self.layout.fractions, self.layout.side.0, fraction)
    }

    fn y(&self, agreement: f64) -> f64 {
        let (height, (bottom, _)) = (self.layout.side.1, self.layout.scales[self.column]);
        // A little room at both ends, so that markers there are whole.
        let room = 0.04 * (1.0 - bottom);
        let (top, bottom) = (1.0 + room, bottom - room);
        self.corner().1 + height * (top - agreement) / (top - bottom)
    }

    fn axes(&self, canvas: &Canvas) {
        let (layout, (left, top)) = (self.layout, self.corner());
        let (width, height) = layout.side;
        let (right, bottom) = (left + width, top + height);
        let (lowest, step) = layout.scales[self.column];
        let mut marks = String::new();
        for v in ticks(lowest, step) {
            let y = self.y(v);
            canvas
                .path(&path_data(&[(left, y), (right, y)], false), "stroke=\"#e8e8e8\" stroke-width=\".4\"");
            marks += &path_data(&[(left - TICK, y), (left, y)], false);
            let at = (left - 2.0 * TICK, y + NUMBER * DIGIT_HEIGHT / 2.0);
            canvas.text(&decimals(v, step), at, NUMBER, Anchor::End, 0.0, "#000");
        }
        for &fraction in &layout.fractions {
            let x = self.x(fraction);
            marks += &path_data(&[(x, bottom), (x, bottom + TICK)], false);
            if self.row + 1 == layout.kinds.len() && layout.numbered.contains(&fraction) {
                let at = (x, bottom + 2.0 * TICK + 0.76 * NUMBER);
                canvas.text(&number(fraction), at, NUMBER, Anchor::Middle, 0.0, "#000");
            }
        }
        canvas.path(&marks, "stroke=\"#000\" stroke-width=\".5\"");
        canvas.rect((left, top), layout.side, "fill=\"none\" stroke=\"#000\" stroke-width=\".5\"");
    }

    /// The means of one curve in this panel.
    fn curve<'a>(&self, curves: &'a Curves, granularity: Granularity, reference: Reference) -> Vec<&'a Mean> {
        let key = (self.kind, self.measure, granularity, reference);
        curves.means.iter().filter(|m| (m.draw, m.measure, m.granularity, m.reference) == key).collect()
    }

    fn band(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let curve = self.curve(curves, granularity, Reference::Complement);
        let edges: Vec<(f64, (f64, f64))> =
            curve.iter().filter_map(|m| Some((self.x(m.fraction), m.band?))).collect();
        let lower = edges.iter().map(|&(x, (low, _))| (x, self.y(low)));
        let upper = edges.iter().rev().map(|&(x, (_, high))| (x, self.y(high)));
        let outline: Vec<Point> = lower.chain(upper).collect();
        let look = format!("fill=\"{0}\" fill-opacity=\".16\"", colour(granularity));
        canvas.path(&path_data(&outline, true), &look);
        // A band of one fraction has no area.
        for &(x, (low, high)) in edges.iter().filter(|_| edges.len() == 1) {
            let bar = path_data(&[(x, self.y(low)), (x, self.y(high))], false);
            canvas.path(&bar, &format!("stroke=\"{}\" stroke-width=\".6\"", colour(granularity)));
        }
    }

    fn dots(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let m = place(self.measure);
        let at = |draw: &Draw| {
            let offset = match granularity {
                Granularity::Tensor => -APART,
                Granularity::Site => 0.0,
                Granularity::Block => APART,
            };
            Some((self.x(draw.fraction) + offset, self.y(draw.complement[m]?)))
        };
        let own = curves.draws.iter().filter(|d| (d.draw, d.granularity) == (self.kind, granularity));
        dots(canvas, &own.filter_map(at).collect::<Vec<Point>>(), colour(granularity));
    }

    fn lines(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let points = |reference: Reference| -> Vec<Point> {
            let curve = self.curve(curves, granularity, reference);
            curve.iter().map(|m| (self.x(m.fraction), self.y(m.mean))).collect()
        };
        dashed(canvas, &points(Reference::Full), colour(granularity));
        let solid_points = points(Reference::Complement);
        solid(canvas, &solid_points, colour(granularity));
        for trust in curves.trust.iter().filter(|t| {
            (t.draw, t.granularity, t.measure, t.reference)
                == (self.kind, granularity, self.measure, Reference::Complement)
        }) {
            let at = self.curve(curves, granularity, Reference::Complement);
            let at = at.iter().find(|m| Some(m.fraction) == trust.fraction);
            at.into_iter().for_each(|m| ring(canvas, (self.x(m.fraction), self.y(m.mean))));
        }
        solid_points.into_iter().for_each(|at| marker(canvas, at, granularity));
    }

    fn threshold(&self, canvas: &Canvas, curves: &Curves) {
        let own = curves
            .trust
            .iter()
            .find(|t| t.measure == self.measure)
            .filter(|t| t.threshold >= self.layout.scales[self.column].0);
        if let Some(trust) = own {
            let (y, left) = (self.y(trust.threshold), self.corner().0);
            level(canvas, &[(left, y), (left + self.layout.side.0, y)]);
        }
    }
}

/// Distance of a fraction from a panel's left side, pt: logarithmic.
fn across(fractions: &[f64], width: f64, fraction: f64) -> f64 {
    let (first, last) = (fractions[0].ln(), fractions[fractions.len() - 1].ln());
    if first == last {
        return width / 2.0;
    }
    INSET + (width - 2.0 * INSET) * (fraction.ln() - first) / (last - first)
}

/// A fraction with three significant digits at most.
fn number(fraction: f64) -> String {
    format!("{fraction:.2e}").parse::<f64>().unwrap_or(fraction).to_string()
}

/// The fractions whose numbers keep apart: the last, the first, then the others in order.
fn numbered(fractions: &[f64], width: f64) -> Result<Vec<f64>> {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut kept = Vec::new();
    let last = fractions.len() - 1;
    for i in [last, 0].into_iter().chain(1..last) {
        let half = text_width(&number(fractions[i]), NUMBER)? / 2.0 + 2.0;
        let x = across(fractions, width, fractions[i]);
        if taken.iter().all(|&(a, b)| x + half <= a || b <= x - half) {
            taken.push((x - half, x + half));
            kept.push(fractions[i]);
        }
    }
    Ok(kept)
}

/// The lowest agreement shown of measure `m`, a multiple of the ticks' distance, and that distance: up to seven ticks.
fn scale(curves: &Curves, m: usize) -> (f64, f64) {
    let dots = curves.draws.iter().flat_map(|d| [d.complement[m], d.full[m]]).flatten();
    let own = curves.means.iter().filter(|mean| mean.measure == Measure::ALL[m]);
    let bands = own.filter_map(|mean| mean.band).map(|(low, _)| low);
    let lowest = dots.chain(bands).fold(1.0, f64::min);
    let step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    let step = step.into_iter().find(|step| (1.0 - lowest) / step <= 6.0).unwrap_or(0.5);
    // 1e-9: a value on a tick needs none below.
    let steps = ((1.0 - lowest) / step - 1e-9).ceil().max(2.0);
    (1.0 - step * steps, step)
}

fn ticks(bottom: f64, step: f64) -> Vec<f64> {
    let count = ((1.0 - bottom) / step).round() as usize;
    (0..=count).map(|i| 1.0 - step * i as f64).collect()
}

/// With as many decimals as `step` has.
fn decimals(v: f64, step: f64) -> String {
    let digits = if step < 0.01 {
        3
    } else if step < 0.1 {
        2
    } else {
        1
    };
    // Adding 0 makes -0 a 0.
    format!("{:.digits$}", (v * 1e6).round() / 1e6 + 0.0).replace('-', "−")
}

fn entries(curves: &Curves) -> Vec<Entry> {
    let trusted = |t: &&Trust| t.reference == Reference::Complement && t.fraction.is_some();
    let in_sight = |t: &&Trust| t.threshold >= scale(curves, place(t.measure)).0;
    let threshold = curves.trust.iter().find(in_sight).map(|t| t.threshold.to_string());
    let lines = Granularity::ALL.map(|g| (true, Sign::Line(g), format!("{}s", g.name())));
    let rest = [
        (true, Sign::Solid, "with the examples left out".to_owned()),
        (true, Sign::Dashed, "with all examples".to_owned()),
        (curves.means.iter().any(|m| m.band.is_some()), Sign::Band, "95 % interval of the mean".to_owned()),
        (true, Sign::Dot, "single draws".to_owned()),
        (threshold.is_some(), Sign::Threshold, format!("threshold {}", threshold.unwrap_or_default())),
        (curves.trust.iter().any(|t| trusted(&t)), Sign::Ring, trusted_words(curves)),
    ];
    let all = lines.into_iter().chain(rest);
    all.filter(|(shown, ..)| *shown).map(|(_, sign, words)| Entry { sign, words }).collect()
}

/// Place of a measure in [`Measure::ALL`].
fn place(measure: Measure) -> usize {
    Measure::ALL.iter().position(|m| *m == measure).unwrap_or(0) // it is one of them
}

fn trusted_words(curves: &Curves) -> String {
    let threshold = curves.trust.first().map(|t| t.threshold.to_string()).unwrap_or_default();
    format!("smallest fraction whose interval lies above {threshold}")
}

/// Entries in lines no wider than `width`: the offset of each as (x, line).
fn flow(entries: &[Entry], width: f64) -> Result<Vec<(f64, usize)>> {
    let (mut x, mut line, mut out) = (0.0, 0, Vec::new());
    for entry in entries {
        let w = SIGN + 3.0 + text_width(&entry.words, SMALL)?;
        if x > 0.0 && x + w > width {
            (x, line) = (0.0, line + 1);
        }
        out.push((x, line));
        x += w + 10.0;
    }
    Ok(out)
}

fn fitting(text: &str, em: f64, width: f64) -> Result<f64> {
    let natural = text_width(text, em)?;
    Ok(if natural > width { em * width / natural } else { em })
}

fn solid(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.1\" stroke-linejoin=\"round\"");
    canvas.path(&path_data(points, false), &look);
}

fn dashed(canvas: &Canvas, points: &[Point], colour: &str) {
    let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\".7\" stroke-dasharray=\"2.4 1.6\"");
    canvas.path(&path_data(points, false), &look);
}

fn level(canvas: &Canvas, points: &[Point]) {
    let look = "fill=\"none\" stroke=\"#000\" stroke-width=\".5\" stroke-dasharray=\".6 1.4\"";
    canvas.path(&path_data(points, false), look);
}

/// All in one path: strokes of no length with round ends.
fn dots(canvas: &Canvas, points: &[Point], colour: &str) {
    let d: String = points.iter().map(|&(x, y)| format!("M{} {}h.01", short(x), short(y))).collect();
    let look =
        format!("stroke=\"{colour}\" stroke-opacity=\".5\" stroke-width=\"1.4\" stroke-linecap=\"round\"");
    canvas.path(&d, &look);
}

/// Circle, square or triangle.
fn marker(canvas: &Canvas, (x, y): Point, granularity: Granularity) {
    const R: f64 = 1.9;
    let look = format!("fill=\"{}\" stroke=\"#fff\" stroke-width=\".5\"", colour(granularity));
    match granularity {
        Granularity::Tensor => {
            canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"{R}\" {look}/>", short(x), short(y)))
        }
        Granularity::Site => canvas.rect((x - 0.9 * R, y - 0.9 * R), (1.8 * R, 1.8 * R), &look),
        Granularity::Block => {
            let corners = [(x, y - 1.2 * R), (x + 1.15 * R, y + 0.9 * R), (x - 1.15 * R, y + 0.9 * R)];
            canvas.path(&path_data(&corners, true), &look);
        }
    }
}

fn ring(canvas: &Canvas, (x, y): Point) {
    let look = "fill=\"none\" stroke=\"#000\" stroke-width=\".7\"";
    canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"3.6\" {look}/>", short(x), short(y)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::image::{svg_to_png, text_boxes};

    const KINDS: [Draws; 3] = [Draws::Independent, Draws::Nested, Draws::Disjoint];

    /// Curves with agreement `f` of fraction, granularity (0, 1, 2) and repeat, bands ± 0.05.
    fn curves(kinds: &[Draws], fractions: &[f64], f: impl Fn(f64, usize, usize) -> f64) -> Curves {
        let (mut draws, mut means) = (Vec::new(), Vec::new());
        for &draw in kinds {
            for &fraction in fractions {
                for (g, granularity) in Granularity::ALL.into_iter().enumerate() {
                    for repeat in 0..4 {
                        let value = Some(f(fraction, g, repeat));
                        draws.push(Draw {
                            draw,
                            fraction,
                            granularity,
                            full: [value; 4],
                            complement: [value; 4],
                        });
                    }
                    for (reference, measure) in
                        Reference::ALL.into_iter().flat_map(|r| Measure::ALL.map(|m| (r, m)))
                    {
                        let mean = (0..4).map(|r| f(fraction, g, r)).sum::<f64>() / 4.0;
                        let band = Some((mean - 0.05, (mean + 0.05).min(1.0)));
                        means.push(Mean { draw, fraction, granularity, reference, measure, mean, band });
                    }
                }
            }
        }
        let trust = kinds.iter().map(|&draw| Trust {
            draw,
            granularity: Granularity::Site,
            reference: Reference::Complement,
            measure: Measure::Spearman,
            threshold: 0.5,
            fraction: Some(fractions[0]),
            examples: Some(3),
        });
        Curves { draws, means, trust: trust.collect(), summary: Vec::new() }
    }

    fn attribute(element: &str, name: &str) -> f64 {
        element.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
    }

    /// Oracle: the renderer's layout. No two texts touch, and all lie on the sheet; also with crowded fractions and
    /// numbers of different widths.
    #[test]
    fn texts_keep_apart() {
        let many: Vec<f64> = (1..30).map(|i| f64::from(i) / 30.0).collect();
        for (kinds, fractions, low) in [
            (&KINDS[..1], &[0.01, 0.02, 0.05, 0.1][..], 0.7),
            (&KINDS[..], &[0.001, 0.0015, 0.002, 0.5, 1.0], -0.9),
            (&KINDS[1..], &many, 0.994),
            (&KINDS[..1], &[0.1], 0.2),
        ] {
            let agreement = |f: f64, g: usize, r: usize| low + (1.0 - low) * f * (g + r) as f64 / 5.0;
            let svg = curve_figure(&curves(kinds, fractions, agreement), None).unwrap();
            let (width, height) = (174.0 * PT_PER_MM, attribute(&svg.replace("pt\"", "\""), "height"));
            let boxes = text_boxes(&svg);
            assert!(boxes.len() > 20);
            for (i, (text, a)) in boxes.iter().enumerate() {
                assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height, "{text} at {a:?}");
                for (other, b) in &boxes[..i] {
                    let apart = a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
                    assert!(apart, "{text} {a:?} on {other} {b:?}");
                }
            }
        }
    }

    /// Oracle: on paper. Fractions 0.01, 0.1, 1 are evenly spaced on a logarithmic axis; agreements 0.6, 0.8 and 1 are
    /// on the axis of that range. Markers of tensors are the only circles of their colour with a white edge.
    #[test]
    fn markers_stand_at_their_fraction_and_agreement() {
        let agreement = |f: f64, _: usize, _: usize| 1.0 + 0.2 * f.log10();
        let svg = curve_figure(&curves(&KINDS[..1], &[0.01, 0.1, 1.0], agreement), None).unwrap();
        let circles: Vec<&str> = svg
            .lines()
            .filter(|line| line.starts_with("<circle") && line.contains("fill=\"#0072b2\""))
            .collect();
        // Four panels of three, and one in the key.
        assert_eq!(circles.len(), 13);
        let at: Vec<Point> = circles[..3].iter().map(|c| (attribute(c, "cx"), attribute(c, "cy"))).collect();
        assert!((at[1].0 - (at[0].0 + at[2].0) / 2.0).abs() < 0.02, "{at:?}");
        assert!((at[1].1 - (at[0].1 + at[2].1) / 2.0).abs() < 0.02, "{at:?}");
        // The number 1.0 of the first axis has its middle at the marker of agreement 1.
        let number = text_boxes(&svg).into_iter().find(|(text, _)| text == "1.0").unwrap().1;
        assert!(((number[1] + number[3]) / 2.0 - at[2].1).abs() < 0.3, "{number:?} {at:?}");
        assert!(at[2].1 < at[0].1);
    }

    /// Extremes that must only not fail: nothing defined, all perfect, all opposite; and the same bytes twice.
    #[test]
    fn extremes_give_a_figure() {
        let mut undefined = curves(&KINDS, &[0.1, 0.5], |_, _, _| 0.5);
        undefined.means.clear();
        undefined.draws.iter_mut().for_each(|d| (d.full, d.complement) = ([None; 4], [None; 4]));
        let all = [
            undefined,
            curves(&KINDS, &[1e-9, 1.0], |_, _, _| 1.0),
            curves(&KINDS[..1], &[0.5], |_, _, _| -1.0),
        ];
        for curves in all {
            let svg = curve_figure(&curves, None).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
            assert_eq!(svg, curve_figure(&curves, None).unwrap());
            svg_to_png(&svg, 72.0).unwrap();
        }
        let usual = curves(&KINDS, &[0.1, 0.5], |_, _, _| 0.5);
        for width in [20.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(curve_figure(&usual, Some(width)).unwrap_err().to_string().contains("width_mm"));
        }
    }
}
