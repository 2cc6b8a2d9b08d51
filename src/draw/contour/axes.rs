//! Where everything lies on the sheet, and the axes of a panel.
//!
//! Left to right: texts of the vertical axis, panels, colour bar. Top to bottom: title, panel, texts of the
//! horizontal axis; the key at the foot. Widths follow from the font's metrics, so numbers cannot touch: an
//! axis gets as many ticks as its numbers leave room for. Panels with the same vertical coordinates share the
//! numbers of the first column.
//!
//! Ticks, numbers and axis texts are drawn by plotters, on the units of [`crate::draw::canvas`].

use plotters::chart::ChartBuilder;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::IntoDrawingArea;
use plotters::style::{BLACK, Color};

use super::key;
use super::levels::Levels;
use super::{Panel, Style};
use crate::draw::canvas::{Area, Canvas, PT_PER_MM, Point, defect, font, text_width, units};
use crate::draw::legend::{Entry, Legend};
use crate::draw::numbers::written;
use crate::draw::plot::{EDGE, NUMBER, SMALL, TEXT, TICK, TITLE, fitting};
use crate::error::{Error, Result};

/// Size of the numbers on lines, pt.
pub(crate) const LINE_NUMBER: f64 = 5.5;
/// Between panels and bar, pt.
const BAR_GAP: f64 = 9.0;
/// A panel smaller than this (pt) is no figure.
const LEAST_SIDE: f64 = 40.0;

/// A panel's square on the sheet.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) side: f64,
    x: (f64, f64),
    y: (f64, f64),
    /// Room for the texts of the vertical axis, and whether it has numbers and a text.
    margin: f64,
    y_numbers: bool,
    y_text: bool,
    x_text: bool,
}

/// Everything's place, pt.
pub(crate) struct Layout<'a> {
    pub(crate) size: (f64, f64),
    pub(crate) frames: Vec<Frame>,
    pub(crate) bar: Point,
    pub(crate) bar_height: f64,
    pub(crate) legend: Legend<'a>,
    /// Upper left corner of the key.
    pub(crate) key: Point,
}

impl Frame {
    /// The sheet's point of coordinates (x, y).
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        let part = |v: f64, (a, b): (f64, f64)| (v - a) / (b - a) * self.side;
        (self.left + part(x, self.x), self.top + self.side - part(y, self.y))
    }

    pub(crate) fn area(&self) -> Area {
        Area { left: self.left, top: self.top, right: self.left + self.side, bottom: self.top + self.side }
    }

    pub(crate) fn fill(&self, canvas: &Canvas, colour: &str) {
        canvas.rect((self.left, self.top), (self.side, self.side), &format!("fill=\"{colour}\""));
    }
}

impl<'a> Layout<'a> {
    pub(crate) fn new(panels: &[Panel], options: &Style, levels: &Levels) -> Result<Layout<'a>> {
        // The font must be known before text is measured.
        Canvas::new((1.0, 1.0))?;
        let (columns, width_mm) = arrangement(panels.len(), options);
        let rows = panels.len().div_ceil(columns);
        let width = width_mm * PT_PER_MM;

        let shared = panels.iter().all(|panel| ends(&panel.y) == ends(&panels[0].y));
        let (mut y_width, mut x_half): (f64, f64) = (0.0, 0.0);
        for panel in panels {
            y_width = y_width.max(widest(&ticks(ends(&panel.y), 5).2)?);
            x_half = x_half.max(widest(&ticks(ends(&panel.x), 5).2)? / 2.0);
        }
        let numbers = 2.0 * TICK + y_width;
        let margin = numbers + 1.35 * TEXT;
        let gap = if shared { (2.0 * x_half + 4.0).max(9.0) } else { numbers + x_half.max(4.0) };
        let bar_gap = BAR_GAP.max(x_half + 2.0);
        let bar_width = key::bar_width(levels, NUMBER, TEXT)?;
        let right = bar_gap + bar_width + EDGE;
        let side = (width - EDGE - margin - right - gap * (columns - 1) as f64) / columns as f64;
        if !side.is_finite() || side < LEAST_SIDE || width > 1e4 {
            let expected = "wide enough for the panels and their numbers, at most 3500 mm";
            return Err(Error::field(
                "figure",
                "width_mm",
                expected,
                width_mm,
                "84 suits one panel, 174 three",
            ));
        }

        let centre = panels.iter().any(|panel| panel.centre.is_some());
        let above = EDGE + 1.1 * TITLE + 3.0 + if centre { 1.35 * SMALL } else { 0.0 };
        let below = 2.0 * TICK + 1.1 * NUMBER;
        let pitch = above + side + below + 3.0;
        let frame = |(i, panel): (usize, &Panel)| {
            let (row, column) = (i / columns, i % columns);
            let last_of_column = i + columns >= panels.len();
            Frame {
                left: EDGE + margin + (side + gap) * column as f64,
                top: above + pitch * row as f64,
                side,
                x: ends(&panel.x),
                y: ends(&panel.y),
                margin: if column == 0 { margin } else { numbers.min(gap) },
                y_numbers: column == 0 || !shared,
                y_text: column == 0,
                x_text: last_of_column,
            }
        };
        let frames: Vec<Frame> = panels.iter().enumerate().map(frame).collect();
        let bar = (width - right + bar_gap, above);
        let bar_height = pitch * (rows - 1) as f64 + side;
        let foot = above + bar_height + below + 1.35 * TEXT;
        let key = (EDGE + margin, foot);
        let legend = Legend::new(Vec::new(), key::SIGN, width)?;
        Ok(Layout { size: (width, foot + EDGE), frames, bar, bar_height, legend, key })
    }

    /// Adds a key, and the height that it needs.
    pub(crate) fn explain(&mut self, entries: Vec<Entry<'a>>) -> Result<()> {
        self.legend = Legend::new(entries, key::SIGN, self.size.0 - self.key.0 - EDGE)?;
        self.size.1 = self.key.1 + self.legend.height() + EDGE;
        Ok(())
    }
}

/// Panels per row, and the figure's width in mm.
pub(crate) fn arrangement(panels: usize, options: &Style) -> (usize, f64) {
    let columns = match (options.columns, panels) {
        (Some(wished), n) => wished.min(n),
        (None, n @ ..=3) => n,
        (None, 4) => 2,
        (None, _) => 3,
    };
    (columns, options.width_mm.unwrap_or([84.0, 129.0, 174.0][columns.min(3) - 1]))
}

/// Ticks, numbers, axis texts and the frame itself.
pub(crate) fn draw(canvas: &Canvas, panel: &Panel, frame: &Frame, options: &Style) -> Result<()> {
    let below = 2.0 * TICK + 1.1 * NUMBER + if frame.x_text { 1.35 * TEXT } else { 0.0 };
    let sheet = canvas.clone().into_drawing_area();
    let area = sheet.shrink(
        (units(frame.left - frame.margin), units(frame.top)),
        (units(frame.margin + frame.side) as u32, units(frame.side + below) as u32),
    );
    let (x, y) = (ends(&panel.x), ends(&panel.y));
    let mut chart = ChartBuilder::on(&area)
        .x_label_area_size(units(below))
        .y_label_area_size(units(frame.margin))
        .build_cartesian_2d(x.0..x.1, y.0..y.1)
        .map_err(defect)?;

    let (x_count, x_digit) = ticks_that_fit(x, frame.side, false)?;
    let (y_count, y_digit) = ticks_that_fit(y, frame.side, true)?;
    let x_number = |v: &f64| written(&[*v], x_digit).concat();
    let y_number = |v: &f64| if frame.y_numbers { written(&[*v], y_digit).concat() } else { String::new() };
    let text = fitting(&options.x_label, TEXT, frame.side)?.min(fitting(&options.y_label, TEXT, frame.side)?);
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh()
        .x_labels(x_count)
        .y_labels(y_count)
        .x_label_formatter(&x_number)
        .y_label_formatter(&y_number)
        .set_all_tick_mark_size(units(TICK))
        .axis_style(BLACK.stroke_width(units(0.5) as u32))
        .label_style(font(NUMBER))
        .axis_desc_style(font(text));
    if frame.x_text {
        mesh.x_desc(options.x_label.as_str());
    }
    if frame.y_text {
        mesh.y_desc(options.y_label.as_str());
    }
    mesh.draw().map_err(defect)?;
    let look = "fill=\"none\" stroke=\"#000\" stroke-width=\".5\"";
    canvas.rect((frame.left, frame.top), (frame.side, frame.side), look);
    Ok(())
}

pub(crate) fn ends(values: &[f64]) -> (f64, f64) {
    (values[0], values[values.len() - 1])
}

/// plotters' round coordinates in `range`, at most `count`, their last digit's power of ten, and their texts.
pub(crate) fn ticks(range: (f64, f64), count: usize) -> (Vec<f64>, i32, Vec<String>) {
    let points = RangedCoordf64::from(range.0..range.1).key_points(count);
    let step = points.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
    // Steps are one digit, or 2.5: one more.
    let power = if step.is_finite() { (step * (1.0 + 1e-9)).log10().floor() as i32 } else { -2 };
    let whole = |p: i32| (step / 10f64.powi(p) - (step / 10f64.powi(p)).round()).abs() < 1e-6;
    let digit = if whole(power) { power } else { power - 1 };
    let labels = written(&points, digit);
    (points, digit, labels)
}

fn widest(labels: &[String]) -> Result<f64> {
    labels.iter().try_fold(0.0, |most: f64, label| Ok(most.max(text_width(label, NUMBER)?)))
}

/// The number of ticks to ask of plotters, and their last digit, so that the numbers keep apart on `side` pt.
fn ticks_that_fit(range: (f64, f64), side: f64, upright: bool) -> Result<(usize, i32)> {
    for count in (2..=5).rev() {
        let (_, digit, labels) = ticks(range, count);
        let each = if upright { 1.3 * NUMBER } else { widest(&labels)? + 5.0 };
        if each * labels.len() as f64 <= side {
            return Ok((count, digit));
        }
    }
    Ok((2, ticks(range, 2).1))
}
