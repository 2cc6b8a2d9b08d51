//! A sheet of panels, each with axes, a title and a sign language of its own, in one or more columns over one key.
//!
//! The figures that compare several views of one table are made of it: they say what a panel holds and how it is drawn,
//! and get places, frames and texts from here. A narrow sheet has fewer columns rather than smaller texts.
//!
//! The trap: an axis is made when its length is known, for its numbers must have room. So a panel has [`Span`]s, from
//! which axes are made here, and draws when it is given its [`Plot`].
//!
//! Used by [`crate::figures::audit_concentration`], [`crate::figures::damage_layers`], [`crate::figures::stability_needed`], [`crate::figures::stability_overlap`], [`crate::figures::differences`],
//! [`crate::figures::by_setting`], [`crate::figures::examples`], [`crate::figures::prune`] and [`crate::figures::topology_minima`].

use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Canvas, PT_PER_MM, Point};
use crate::draw::curves;
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet, stretch};
use crate::draw::text::{SMALL, TEXT, TITLE, shortened};
use crate::error::Result;
use crate::stats;

/// Between panels, pt.
const GAP: f64 = 8.0;
/// At the right of the sheet: the last number of an axis may reach beyond its frame, pt.
const RIGHT: f64 = 6.0;
/// Height of a panel for each unit of its width, and its most, pt.
const ASPECT: f64 = 0.85;
const HIGHEST: f64 = 135.0;
/// Height of a line of notes, pt.
const NOTE: f64 = 1.35 * SMALL;
/// Below this width (mm) a sheet has its smaller number of columns.
const NARROW: f64 = 120.0;
/// A logarithmic axis may leave out this part of the values, and its others span at least that factor.
const LEFT_OUT: f64 = 0.1;
const SPREAD: f64 = 10.0;

/// The values along an axis, and how they become places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Span {
    Linear(f64, f64),
    Logarithmic(f64, f64),
    /// Of both signs: linear about 0 up to the third number, logarithmic beyond.
    Symmetric(f64, f64, f64),
    /// Logarithmic, with a tick at each of these, ascending; or linear.
    At(Vec<f64>),
    LinearAt(Vec<f64>),
    /// Names at 0, 1, 2, ... from the left or from the foot.
    Names(Vec<String>),
}

impl Span {
    /// Of the positive numbers among some; `None` if there is none.
    pub(crate) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Option<Span> {
        axis::range(values.into_iter().filter(|v| *v > 0.0)).map(|(low, high)| Span::Logarithmic(low, high))
    }

    /// Logarithmic where that loses few values and they span more than a factor of ten; else linear, or symmetric where
    /// a linear axis would show the largest alone. `None` if no value can be drawn.
    pub(crate) fn suited(values: &[f64]) -> Option<Span> {
        let (low, high) = axis::range(values.iter().copied())?;
        let mut sizes: Vec<f64> = values.iter().filter(|v| drawable(**v)).map(|v| v.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let lost = values.iter().filter(|v| drawable(**v) && **v <= 0.0).count();
        if lost as f64 <= LEFT_OUT * sizes.len() as f64 {
            let positive = values.iter().copied().filter(|v| *v > 0.0);
            let (least, most) = axis::range(positive).unwrap_or((low, high));
            // What is alike or nearly so is shown as it is: its logarithm would only hide where 0 lies.
            let logarithmic = most > SPREAD * least;
            return Some(if logarithmic { Span::Logarithmic(least, most) } else { Span::Linear(low, high) });
        }
        // 1e-8: no more than eight decades, whatever the smallest values are.
        let largest = sizes.last().copied().unwrap_or(1.0);
        let near = f64::max(stats::quantile(&sizes, 0.25), 1e-8 * largest);
        Some(if near > 0.0 && largest > SPREAD * near {
            Span::Symmetric(low, high, near)
        } else {
            Span::Linear(low, high)
        })
    }

    /// Distinct positive values, each with a tick; `None` if there is none.
    pub(crate) fn at(values: impl IntoIterator<Item = f64>) -> Option<Span> {
        let values = distinct(values.into_iter().filter(|v| drawable(*v) && *v > 0.0));
        (!values.is_empty()).then_some(Span::At(values))
    }

    /// Whether a value has a place at all.
    pub(crate) fn shows(&self, v: f64) -> bool {
        drawable(v) && (v > 0.0 || !matches!(self, Span::Logarithmic(..) | Span::At(_)))
    }

    /// Whether a number lies below the low end, or has no place because it is not above 0.
    pub(crate) fn is_below(&self, v: f64) -> bool {
        match self {
            Span::Linear(low, _) | Span::Logarithmic(low, _) | Span::Symmetric(low, ..) => v < *low,
            Span::At(values) | Span::LinearAt(values) => v < values[0],
            Span::Names(_) => v < 0.0,
        }
    }

    fn across(&self, length: f64) -> Axis {
        match self {
            Span::Linear(low, high) => Axis::across(*low, *high, 0.0, length),
            Span::Logarithmic(low, high) => Axis::logarithmic(*low, *high, 5).thinned_across(length),
            Span::Symmetric(low, high, near) => Axis::symmetric(*low, *high, *near, 5).thinned_across(length),
            Span::At(values) => Axis::with_ticks_at(values, length),
            Span::LinearAt(values) => Axis::linear_at(values, length),
            Span::Names(names) => Axis::columns(names, length),
        }
    }

    fn upright(&self, length: f64) -> Axis {
        match self {
            Span::Linear(low, high) => Axis::linear(*low, *high, 5, 0.0),
            Span::Logarithmic(low, high) => Axis::logarithmic(*low, *high, 5),
            Span::Symmetric(low, high, near) => Axis::symmetric(*low, *high, *near, 6),
            Span::At(values) => Axis::logarithmic(values[0], values[values.len() - 1], 5),
            Span::LinearAt(values) => Axis::linear(values[0], values[values.len() - 1], 5, 0.0),
            Span::Names(names) => {
                let mut axis = Axis::rows(names.len(), length);
                axis.ticks.iter_mut().zip(names).for_each(|(tick, name)| tick.1.clone_from(name));
                axis
            }
        }
        .thinned_upright(length)
    }
}

/// Draws what lies inside a frame.
type Draw<'a> = Box<dyn Fn(&Canvas, &Plot) + 'a>;

/// One view.
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    /// Lines below the title, smaller.
    pub(crate) notes: Vec<String>,
    /// Values across and upright with their words; `None` where there is nothing to show, which the panel then says.
    pub(crate) spans: Option<(Span, Span)>,
    pub(crate) words: (&'a str, &'a str),
    pub(crate) draw: Draw<'a>,
}

/// Panels beside one another on a sheet of common width, and on a narrow one.
pub(crate) struct PerRow {
    pub(crate) wide: usize,
    pub(crate) narrow: usize,
}

/// The figure of some panels as SVG, in `columns`.
///
/// # Errors
///
/// [`crate::error::Error::Field`] if the width leaves no room.
pub(crate) fn sheet(
    panels: &[Panel],
    columns: PerRow,
    width_mm: f64,
    entries: Vec<Entry>,
    description: &str,
) -> Result<String> {
    let columns = if width_mm < NARROW { columns.narrow } else { columns.wide }.min(panels.len()).max(1);
    // Widths of numbers first, for any height: a frame's width depends on them.
    let upright = |panel: &Panel| panel.spans.as_ref().unwrap_or(&NOTHING).1.upright(HIGHEST);
    let beside = LINE + axis::numbers_width(&panels.iter().map(upright).collect::<Vec<_>>());
    let rest = 2.0 * EDGE + RIGHT + beside * columns as f64 + GAP * (columns - 1) as f64;
    let side = frame::panel_width(width_mm, columns, rest)?;
    let height = (ASPECT * side).min(HIGHEST);
    // Titles of a row stand alike, over as many lines of notes as any of them has.
    let noted = |row: &[Panel]| NOTE * row.iter().map(|panel| panel.notes.len()).max().unwrap_or(0) as f64;
    let head = |row: &[Panel]| EDGE + 1.1 * TITLE + 3.0 + noted(row);
    let below = height + BELOW + LINE + 3.0;
    let foot: f64 = panels.chunks(columns).map(|row| head(row) + below).sum();
    let (width, left) = (width_mm * PT_PER_MM, EDGE + beside);
    let sheet = Sheet::new(width, (left, foot), entries, SIGN);
    let canvas = &sheet.canvas;
    let mut top = 0.0;
    for row in panels.chunks(columns) {
        top += head(row);
        for (i, panel) in row.iter().enumerate() {
            let (x, y) = panel.spans.as_ref().unwrap_or(&NOTHING);
            let corner = (left + (beside + side + GAP) * i as f64, top);
            let (mut x, mut y) = (x.across(side), y.upright(height));
            if panel.spans.is_none() {
                (x.ticks, y.ticks) = Default::default();
            }
            let plot = Plot { corner, size: (side, height), x: &x, y: &y };
            plot.axes(canvas, true, true);
            match panel.spans {
                Some(_) => (panel.draw)(canvas, &plot),
                None => {
                    let at = (corner.0 + side / 2.0, corner.1 + height / 2.0);
                    canvas.aside("nothing to show", at, SMALL);
                }
            }
            texts(canvas, &plot, panel, beside, noted(row));
        }
        top += below;
    }
    Ok(sheet.finish(description))
}

/// The axes of a panel without values.
const NOTHING: (Span, Span) = (Span::Linear(0.0, 1.0), Span::Linear(0.0, 1.0));

/// Title, `above` pt over the frame's own words, note and words of the axes.
fn texts(canvas: &Canvas, plot: &Plot, panel: &Panel, beside: f64, above: f64) {
    let ((left, top), (width, height)) = (plot.corner, plot.size);
    // Titles may reach over the numbers at the left, where nothing else is.
    let wide = width + beside - GAP;
    let middle = |text: &str, em: f64| {
        let (text, em) = shortened(text, em, wide);
        let half = crate::draw::canvas::text_width(&text, em) / 2.0;
        (text, em, f64::min(left + width / 2.0, left + width - half))
    };
    let (title, em, x) = middle(&panel.title, TITLE);
    canvas.centred(&title, (x, top - 4.0 - above), em);
    for (line, note) in panel.notes.iter().rev().enumerate() {
        let (note, em, x) = middle(note, SMALL);
        canvas.aside(&note, (x, top - 4.0 - NOTE * line as f64), em);
    }
    let (across, em, x) = middle(panel.words.0, TEXT);
    canvas.centred(&across, (x, top + height + BELOW + 0.9 * TEXT), em);
    let (upright, em) = shortened(panel.words.1, TEXT, height + BELOW);
    let at = (left - beside + 0.8 * TEXT, top + height / 2.0);
    canvas.upright(&upright, at, em);
}

/// The line on which both axes have the same value, inside the frame.
pub(crate) fn identity(canvas: &Canvas, plot: &Plot) {
    const STEPS: usize = 200;
    let (low, high) = (plot.x.low, plot.x.high);
    // Evenly along the axis if it is logarithmic, so that no decade of a symmetric one is a corner.
    let between = |i: usize| {
        let part = i as f64 / STEPS as f64;
        if low > 0.0 { low * (high / low).powf(part) } else { low + (high - low) * part }
    };
    let points: Vec<Point> = (0..=STEPS).map(between).filter(|v| plot.y.holds(*v)).map(|v| (v, v)).collect();
    let placed: Vec<Point> = points.iter().map(|&(x, y)| plot.at(x, y)).collect();
    curves::level(canvas, &placed);
}

/// The interval of a value, cut at the ends of the axis; an end that cannot be drawn lies beyond.
pub(crate) fn interval(canvas: &Canvas, plot: &Plot, x: f64, (low, high): (f64, f64), colour: &str) {
    let inside = |v: f64| v.clamp(plot.y.low, plot.y.high);
    let ends = [plot.at(x, inside(low)), plot.at(x, inside(high))];
    if low <= high {
        curves::bar(canvas, ends, colour);
    }
}

/// A line through points on the sheet, a short one where there is one point alone: it has no length otherwise.
pub(crate) fn stretched(points: Vec<Point>) -> Vec<Point> {
    match points[..] {
        [at] => stretch(at).to_vec(),
        _ => points,
    }
}

/// Values ascending, each once.
pub(crate) fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// `n` of what, with the plural that English has for it.
pub(crate) fn counted(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// The same for numbers that differ: `3 to 5 seeds`.
pub(crate) fn counted_from_to(counts: impl Iterator<Item = usize>, one: &str) -> String {
    let (least, most) = counts.fold((usize::MAX, 0), |(low, high), n| (low.min(n), high.max(n)));
    if least == most { counted(most, one) } else { format!("{least} to {most} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    /// Oracle: on paper. Decades need a logarithm; where a third of the values is below 0 it would lose them.
    #[test]
    fn scales_suit_their_values() {
        assert_eq!(Span::suited(&[1e-6, 1e-3, 0.5]), Some(Span::Logarithmic(1e-6, 0.5)));
        assert_eq!(Span::suited(&[0.5, 0.6, f64::NAN]), Some(Span::Linear(0.5, 0.6)));
        assert_eq!(Span::suited(&[-0.5, 0.6, 0.7]), Some(Span::Linear(-0.5, 0.7)));
        assert!(
            matches!(Span::suited(&[-1e-5, 1e-5, 1e-4, 1.0]), Some(Span::Symmetric(low, 1.0, _)) if low == -1e-5)
        );
        assert_eq!(Span::suited(&[0.0, 0.0]), Some(Span::Linear(0.0, 0.0)));
        assert_eq!(Span::suited(&[f64::INFINITY]), None);
        assert_eq!(Span::at([0.1, 0.01, 0.1, 0.0]), Some(Span::At(vec![0.01, 0.1])));
    }

    /// Oracle: the inverse hyperbolic sine, and symmetry: 0 lies in the middle, ±v as far from it.
    #[test]
    fn a_symmetric_axis_is_symmetric() {
        let axis = Axis::symmetric(-1.0, 1.0, 1e-3, 6);
        assert!((axis.part(0.0) - 0.5).abs() < 1e-12);
        assert!((axis.part(0.01) + axis.part(-0.01) - 1.0).abs() < 1e-12);
        let expected = 0.5 + 0.5 * 10f64.asinh() / 1000f64.asinh();
        assert!((axis.part(0.01) - expected).abs() < 1e-12);
        assert!(axis.ticks.iter().any(|(v, number)| *v == -1.0 && number == "−1"), "{axis:?}");
    }

    /// Oracle: the renderer's layout, for long words, few and many panels, with and without anything to show.
    #[test]
    fn panels_keep_apart() {
        for (n, wide, narrow) in [(1, 1, 1), (3, 3, 1), (6, 3, 2), (5, 2, 2)] {
            let columns = || PerRow { wide, narrow };
            let panel = |i: usize| Panel {
                title: format!("panel {i}, whose title says much more than there is room for on any sheet"),
                notes: vec![
                    "ρ = −0.82 [−0.93, −0.61] of very many items indeed, and so on and on".into();
                    i % 3
                ],
                spans: (i != 2).then_some((Span::Logarithmic(1e-9, 1e-2), Span::Symmetric(-1.0, 90.0, 1e-4))),
                words: (
                    "words of the axis across, which are long",
                    "words of the upright axis, which are long",
                ),
                draw: Box::new(identity),
            };
            let panels: Vec<Panel> = (0..n).map(panel).collect();
            for width in [84.0, 170.0] {
                let svg = sheet(&panels, columns(), width, vec![Entry::note("key")], "").unwrap();
                assert_sound(&svg);
                let frames: Vec<&str> = svg
                    .lines()
                    .filter(|l| {
                        l.contains("fill=\"none\" stroke=\"#000\" stroke-width=\".5\"/>")
                            && l.starts_with("<rect")
                    })
                    .collect();
                assert_eq!(frames.len(), n);
                assert!(frames.iter().all(|f| attribute(f, "width") >= 40.0));
            }
            assert!(
                sheet(&panels, columns(), 10.0, vec![], "").unwrap_err().to_string().contains("width_mm")
            );
        }
    }
}
