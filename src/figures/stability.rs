//! Agreement of sub-samples against their fraction, as SVG: a column for each measure, a row for each kind of draw.
//!
//! Solid lines and bands are agreement with the examples left out, the comparison that a fraction is trusted by: the
//! mean over the repeats and the 95 % interval of its expectation. Dots are single draws, set a little apart by
//! granularity. Dashed lines are agreement with the full set, which contains the draw. Measures have scales of their own: they do not compare.
//! Colours are Okabe and Ito's, which the colour-blind can distinguish; markers differ too.
//!
//! Takes [`Curves`] of [`crate::tables::agreement`]; draws on `canvas` as [`crate::draw::contour`] does, at its sizes.

use std::path::Path;

use crate::draw::axis::{self, Axis};
use crate::draw::canvas::{Anchor, Canvas, PT_PER_MM, Point, short};
use crate::draw::curves::{self, GREY, dashed, dots, level, solid};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::panels::distinct;
use crate::draw::text::{TEXT, TITLE, fitting};
use crate::error::Result;
use crate::fisher::layers::Granularity;
use crate::stability::agreement::Measure;
use crate::stability::draw::Draws;
use crate::stability::summary::{Reference, Trust};
use crate::tables::agreement::{Curves, Draw, Mean};

/// Between a panel and the numbers of the next, and between rows, pt.
const GAP: f64 = 5.0;
const ROW_GAP: f64 = 9.0;
/// Dots of neighbouring granularities stand this far apart, pt.
const APART: f64 = 2.4;
/// Measures with a panel.
const DRAWN: [Measure; 4] = [Measure::Spearman, Measure::Kendall, Measure::TopKOverlap, Measure::Rbo];

/// For readers of the file.
const DESCRIPTION: &str = "Agreement of layer rankings from a fraction of the examples with those from the examples \
                           left out (solid; bands are 95 % intervals of the expected agreement, dots single draws) \
                           and with those from all examples (dashed).";

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Curves::read(path)?;
    Ok((curve_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page).
///
/// The same curves give the same bytes.
///
/// # Errors
///
/// [`crate::error::Error::Field`] if the width leaves no room.
pub fn curve_figure(curves: &Curves, width_mm: Option<f64>) -> Result<String> {
    let layout = Layout::new(curves, width_mm.unwrap_or(174.0))?;
    let corner = (layout.origin.0, layout.foot);
    let sheet = Sheet::new(layout.width, corner, entries(curves, &layout.y), SIGN);
    let canvas = &sheet.canvas;
    for (row, &kind) in layout.kinds.iter().enumerate() {
        for (column, &measure) in DRAWN.iter().enumerate() {
            let panel = Panel { plot: layout.plot(row, column), kind, measure };
            panel.plot.axes(canvas, row + 1 == layout.kinds.len(), true);
            panel.threshold(canvas, curves);
            for draw in [Panel::band, Panel::dots, Panel::lines] {
                for granularity in Granularity::ALL {
                    draw(&panel, canvas, curves, granularity);
                }
            }
        }
    }
    layout.texts(canvas);
    Ok(sheet.finish(DESCRIPTION))
}

/// The figure in words for a paper: what is drawn, from how many draws.
pub fn caption(curves: &Curves) -> String {
    let fractions = distinct(curves.draws.iter().map(|draw| draw.fraction));
    let fractions = fractions.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "Agreement of layer rankings from a fraction of the examples ({fractions}) with those from the examples left out \
         (solid) and with those from all examples (dashed), by four measures; {} rows of draws. Bands are 95 % intervals \
         of the expected agreement, dots single draws. Lines between fractions are interpolated.\n",
        curves.draws.len()
    )
}

/// Colour and marker of a granularity, by their place.
fn style(granularity: Granularity) -> usize {
    Granularity::ALL.iter().position(|g| *g == granularity).unwrap_or(0) // it is one of them
}

fn colour(granularity: Granularity) -> &'static str {
    curves::COLOURS[style(granularity)]
}

fn title(measure: Measure) -> &'static str {
    match measure {
        Measure::Spearman => "Spearman’s ρ",
        Measure::Kendall => "Kendall’s τ",
        Measure::TopKOverlap => "overlap of the top tenth",
        Measure::Rbo => "rank-biased overlap",
        Measure::RateDifference => "difference of rates",
    }
}

/// Everything's place, pt.
struct Layout {
    width: f64,
    kinds: Vec<Draws>,
    /// Upper left corner of the first panel, and the panels' width and height.
    origin: Point,
    side: (f64, f64),
    pitch: Point,
    /// Fractions, and agreement by each measure.
    x: Axis,
    y: Vec<Axis>,
    /// Upper end of the key.
    foot: f64,
}

impl Layout {
    fn new(curves: &Curves, width_mm: f64) -> Result<Layout> {
        let mut kinds: Vec<Draws> = Vec::new();
        for draw in &curves.draws {
            if !kinds.contains(&draw.draw) {
                kinds.push(draw.draw);
            }
        }
        let fractions = distinct(curves.draws.iter().map(|draw| draw.fraction));
        let y = Vec::from(DRAWN.map(|measure| scale(curves, measure)));
        let numbers = axis::numbers_width(&y);
        let left = EDGE + LINE + numbers;
        let gap = GAP + numbers;
        let side = frame::panel_width(width_mm, y.len(), left + EDGE + LINE + gap * (y.len() - 1) as f64)?;
        let x = Axis::with_ticks_at(&fractions, side);
        let top = EDGE + 1.1 * TITLE + 3.0;
        let height = 1.1 * side;
        let pitch = (side + gap, height + ROW_GAP);
        let foot = top + pitch.1 * (kinds.len() - 1) as f64 + height + BELOW + LINE;
        let width = width_mm * PT_PER_MM;
        Ok(Layout { width, kinds, origin: (left, top), side: (side, height), pitch, x, y, foot })
    }

    fn plot(&self, row: usize, column: usize) -> Plot<'_> {
        let (origin, pitch) = (self.origin, self.pitch);
        let corner = (origin.0 + pitch.0 * column as f64, origin.1 + pitch.1 * row as f64);
        Plot { corner, size: self.side, x: &self.x, y: &self.y[column] }
    }

    /// Titles of columns and rows, and texts of the axes.
    fn texts(&self, canvas: &Canvas) {
        let rows = self.kinds.len();
        let bottom = self.origin.1 + self.pitch.1 * (rows - 1) as f64 + self.side.1;
        for (column, &measure) in DRAWN.iter().enumerate() {
            let x = self.origin.0 + self.pitch.0 * column as f64 + self.side.0 / 2.0;
            let em = fitting(title(measure), TITLE, self.side.0);
            canvas.centred(title(measure), (x, self.origin.1 - 4.0), em);
        }
        for (row, kind) in self.kinds.iter().enumerate() {
            let y = self.origin.1 + self.pitch.1 * row as f64 + self.side.1 / 2.0;
            let words = format!("{} draws", kind.name());
            let x = self.width - EDGE - 0.3 * TEXT;
            canvas.text(&words, (x, y), fitting(&words, TEXT, self.side.1), Anchor::Middle, -90.0, "#444");
            canvas.upright("agreement", (EDGE + 0.8 * TEXT, y), TEXT);
        }
        let x = self.origin.0 + (self.pitch.0 * (DRAWN.len() - 1) as f64 + self.side.0) / 2.0;
        let y = bottom + BELOW + 0.9 * TEXT;
        canvas.centred("fraction of the examples drawn", (x, y), TEXT);
    }
}

/// One measure and one kind of draw.
struct Panel<'a> {
    plot: Plot<'a>,
    kind: Draws,
    measure: Measure,
}

impl Panel<'_> {
    /// The means of one curve in this panel.
    fn curve<'a>(&self, curves: &'a Curves, granularity: Granularity, reference: Reference) -> Vec<&'a Mean> {
        let key = (self.kind, self.measure, granularity, reference);
        curves.means.iter().filter(|m| (m.draw, m.measure, m.granularity, m.reference) == key).collect()
    }

    fn band(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let curve = self.curve(curves, granularity, Reference::Complement);
        let edge = |m: &&Mean| m.band.map(|(low, high)| (m.fraction, low, high));
        self.plot.band(canvas, &curve.iter().filter_map(edge).collect::<Vec<_>>(), colour(granularity));
    }

    fn dots(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let m = place(self.measure);
        let at = |draw: &Draw| {
            let offset = match granularity {
                Granularity::Tensor => -APART,
                Granularity::Site => 0.0,
                Granularity::Block => APART,
            };
            let (x, y) = self.plot.at(draw.fraction, draw.complement[m]?);
            Some((x + offset, y))
        };
        let own = curves.draws.iter().filter(|d| (d.draw, d.granularity) == (self.kind, granularity));
        dots(canvas, &own.filter_map(at).collect::<Vec<Point>>(), colour(granularity));
    }

    fn lines(&self, canvas: &Canvas, curves: &Curves, granularity: Granularity) {
        let points = |reference: Reference| -> Vec<Point> {
            let curve = self.curve(curves, granularity, reference);
            curve.iter().map(|m| self.plot.at(m.fraction, m.mean)).collect()
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
            at.into_iter().for_each(|m| ring(canvas, self.plot.at(m.fraction, m.mean)));
        }
        solid_points.into_iter().for_each(|at| curves::marker(canvas, at, style(granularity)));
    }

    fn threshold(&self, canvas: &Canvas, curves: &Curves) {
        let own = curves.trust.iter().find(|t| t.measure == self.measure);
        if let Some(trust) = own.filter(|t| self.plot.y.holds(t.threshold)) {
            level(canvas, &self.plot.across(trust.threshold));
        }
    }
}

/// From the lowest agreement by a measure, or the threshold of trust in it, to 1: an axis that begins above the threshold would
/// make the surest ranking, whose interval is long beside what it is one of, look the least sure. Perfect agreement alone has a
/// range below it.
fn scale(curves: &Curves, measure: Measure) -> Axis {
    let m = place(measure);
    let dots = curves.draws.iter().flat_map(|d| [d.complement[m], d.full[m]]).flatten();
    let own = curves.means.iter().filter(|mean| mean.measure == measure);
    let bands = own.filter_map(|mean| mean.band).map(|(low, _)| low);
    let thresholds =
        curves.trust.iter().filter(|trust| trust.measure == measure).map(|trust| trust.threshold);
    Axis::linear(dots.chain(bands).chain(thresholds).fold(0.998, f64::min), 1.0, 6, 0.001)
}

fn entries(curves: &Curves, scales: &[Axis]) -> Vec<Entry<'static>> {
    let trusted = |t: &&Trust| t.reference == Reference::Complement && t.fraction.is_some();
    let in_sight = |t: &&Trust| scales[place(t.measure)].holds(t.threshold);
    let curve = |g: Granularity| Entry::curve(style(g), format!("{}s", g.name()));
    let mut entries = Vec::from(Granularity::ALL.map(curve));
    entries.push(Entry::line(solid, GREY, "with the examples left out"));
    entries.push(Entry::line(dashed, GREY, "with all examples"));
    if curves.means.iter().any(|m| m.band.is_some()) {
        entries.push(Entry::band("95 % interval of the mean"));
    }
    entries.push(Entry::dots("single draws"));
    if let Some(trust) = curves.trust.iter().find(in_sight) {
        entries.push(Entry::level(format!("threshold {}", trust.threshold)));
    }
    if curves.trust.iter().any(|t| trusted(&t)) {
        entries.push(Entry::new(ring, trusted_words(curves)));
    }
    entries
}

/// Place of a measure in [`Measure::ALL`].
fn place(measure: Measure) -> usize {
    measure as usize
}

fn trusted_words(curves: &Curves) -> String {
    let threshold = curves.trust.first().map(|t| t.threshold.to_string()).unwrap_or_default();
    format!("smallest fraction whose interval lies above {threshold}")
}

fn ring(canvas: &Canvas, (x, y): Point) {
    let look = "fill=\"none\" stroke=\"#000\" stroke-width=\".7\"";
    canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"3.6\" {look}/>", short(x), short(y)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::image::text_boxes;
    use crate::draw::tests::{assert_sound, attribute};

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
                            full: [value; 5],
                            complement: [value; 5],
                        });
                    }
                    for (reference, measure) in Reference::ALL.into_iter().flat_map(|r| DRAWN.map(|m| (r, m)))
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
            assert!(assert_sound(&svg).len() > 20);
        }
    }

    /// Oracle: on paper: agreements of 0.995 and more have an axis that still shows the threshold that they are held to.
    #[test]
    fn an_axis_begins_at_the_threshold_at_the_latest() {
        let sure = curves(&KINDS[..1], &[0.1, 1.0], |f, _, _| 0.995 + 0.005 * f);
        let (axis, threshold) = (scale(&sure, Measure::Spearman), sure.trust[0].threshold);
        assert!(threshold < 0.9 && axis.holds(threshold) && axis.holds(1.0), "{axis:?}");
        let low = curves(&KINDS[..1], &[0.1, 1.0], |f, _, _| 0.2 + 0.1 * f);
        assert!(scale(&low, Measure::Spearman).holds(0.2));
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
        undefined.draws.iter_mut().for_each(|d| (d.full, d.complement) = ([None; 5], [None; 5]));
        let all = [
            undefined,
            curves(&KINDS, &[1e-9, 1.0], |_, _, _| 1.0),
            curves(&KINDS[..1], &[0.5], |_, _, _| -1.0),
        ];
        for curves in all {
            let svg = curve_figure(&curves, None).unwrap();
            assert_sound(&svg);
            assert_eq!(svg, curve_figure(&curves, None).unwrap());
        }
        let usual = curves(&KINDS, &[0.1, 0.5], |_, _, _| 0.5);
        for width in [20.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(curve_figure(&usual, Some(width)).unwrap_err().to_string().contains("width_mm"));
        }
    }
}
