//! Where everything lies on the sheet, and the axes of a panel.
//!
//! Left to right: texts of the vertical axis, panels, colour bar. Top to bottom: title, panel, texts of the
//! horizontal axis; the key at the foot. Widths follow from the font's metrics, so numbers cannot touch: an
//! axis gets as many ticks as its numbers leave room for. Panels with the same vertical coordinates share the
//! numbers of the first column; panels with axes of their own share none.
//!
//! Ticks, numbers and axis texts are drawn by plotters, on the units of [`crate::draw::canvas`], along our [`Axis`].

use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::style::{BLACK, Color};

use super::facets::{Facets, Places, Strips};
use super::key;
use super::levels::Levels;
use super::{Panel, Style};
use crate::draw::axis::{Axis, TICK};
use crate::draw::canvas::{Area, Canvas, PT_PER_MM, Point, defect, font, units, widest};
use crate::draw::frame::EDGE;
use crate::draw::text::{NUMBER, SMALL, TEXT, fitting};
use crate::error::{Error, Result};

/// Size of the numbers on lines, pt.
pub(crate) const LINE_NUMBER: f64 = 5.5;
/// Between panels and bar, pt.
const BAR_GAP: f64 = 9.0;
/// Ticks along a direction, at most.
const TICKS: usize = 5;
/// A panel smaller than this (pt) is no figure.
const LEAST_SIDE: f64 = 40.0;

/// A panel's square on the sheet.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) side: f64,
    x: Axis,
    y: Axis,
    /// Room for the texts of the vertical axis, and whether it has a text.
    margin: f64,
    y_text: bool,
    x_text: bool,
}

/// Everything's place, pt.
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) frames: Vec<Frame>,
    strips: Strips,
    pub(crate) bar: Point,
    pub(crate) bar_height: f64,
    /// Upper left corner of the key.
    pub(crate) key: Point,
}

fn widest_number(axis: &Axis) -> f64 {
    widest(axis.ticks.iter().map(|(_, number)| number.as_str()), NUMBER)
}

impl Frame {
    /// The sheet's point of coordinates (x, y).
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        (self.left + self.x.part(x) * self.side, self.top + self.side - self.y.part(y) * self.side)
    }

    pub(crate) fn area(&self) -> Area {
        Area { left: self.left, top: self.top, right: self.left + self.side, bottom: self.top + self.side }
    }

    pub(crate) fn fill(&self, canvas: &Canvas, colour: &str) {
        canvas.rect((self.left, self.top), (self.side, self.side), &format!("fill=\"{colour}\""));
    }
}

impl Layout {
    pub(crate) fn new(panels: &[Panel], options: &Style, levels: &Levels) -> Result<Layout> {
        let (columns, width_mm) = arrangement(panels, options);
        let rows = panels.len().div_ceil(columns);
        let width = width_mm * PT_PER_MM;

        let own = panels.iter().any(|panel| panel.axes.is_some());
        let shared = !own && panels.iter().all(|panel| ends(&panel.y) == ends(&panels[0].y));
        let most = |values: fn(&Panel) -> &[f64]| {
            panels.iter().map(|panel| widest_number(&few_ticks(values(panel), |_| true))).fold(0.0, f64::max)
        };
        let x_half = most(|panel| &panel.x) / 2.0;
        let numbers = 2.0 * TICK + most(|panel| &panel.y);
        let strips = Strips::new(panels, options, columns);
        let (margin, left) = (numbers + 1.35 * TEXT, EDGE + strips.beside());
        let beside = if own { margin } else { numbers };
        let gap = if shared { (2.0 * x_half + 4.0).max(9.0) } else { beside + x_half.max(4.0) };
        let bar_gap = BAR_GAP.max(x_half + 2.0);
        let bar_width = key::bar_width(levels, TEXT);
        let right = bar_gap + bar_width + EDGE;
        let side = (width - left - margin - right - gap * (columns - 1) as f64) / columns as f64;
        if !side.is_finite() || side < LEAST_SIDE || width > 1e4 {
            let expected = "wide enough for the panels and their numbers, at most 3500 mm";
            let fix = "84 suits one panel, 174 three";
            return Err(Error::field("figure", "width_mm", expected, width_mm, fix));
        }

        let below = 2.0 * TICK + 1.1 * NUMBER;
        let words = if own { 1.35 * TEXT } else { 0.0 };
        let tops = tops(panels, &strips, rows, side + below + words + 3.0);
        let frame = |(i, panel): (usize, &Panel)| {
            let (row, column) = (i / columns, i % columns);
            let last_of_column = i + columns >= panels.len();
            let room = |axis: &Axis, each: f64| each * axis.ticks.len() as f64 <= side;
            let x = few_ticks(&panel.x, |axis| room(axis, widest_number(axis) + 5.0));
            let mut y = few_ticks(&panel.y, |axis| room(axis, 1.3 * NUMBER));
            if column > 0 && shared {
                y.ticks.iter_mut().for_each(|(_, number)| number.clear());
            }
            Frame {
                left: left + margin + (side + gap) * column as f64,
                top: tops[row],
                side,
                x,
                y,
                margin: if column == 0 { margin } else { beside.min(gap) },
                y_text: column == 0 || own,
                x_text: last_of_column || own,
            }
        };
        let frames: Vec<Frame> = panels.iter().enumerate().map(frame).collect();
        let bar = (width - right + bar_gap, tops[0]);
        let bar_height = tops[rows - 1] + side - tops[0];
        let foot = tops[0] + bar_height + below + 1.35 * TEXT;
        let key = (left + margin, foot);
        Ok(Layout { width, frames, strips, bar, bar_height, key })
    }

    /// The panels' titles.
    pub(crate) fn titles(&self, canvas: &Canvas, panels: &[Panel]) {
        let Some(side) = self.frames.first().map(|frame| frame.side) else { return };
        let tops = self.frames.iter().map(|frame| (frame.left + side / 2.0, frame.top)).collect();
        let places = Places { side, tops, left: EDGE, height: side };
        self.strips.draw(canvas, &places, 4.0 + centre_room(panels));
    }
}

/// Upper edges of the rows of panels, `pitch` apart but for what stands above them.
fn tops(panels: &[Panel], strips: &Strips, rows: usize, pitch: f64) -> Vec<f64> {
    let above = |row: usize| EDGE + strips.above(row) + centre_room(panels);
    let mut tops = vec![above(0)];
    (1..rows).for_each(|row| tops.push(tops[row - 1] + pitch + above(row)));
    tops
}

/// Room of the losses of the models above the panels.
pub(crate) fn centre_room(panels: &[Panel]) -> f64 {
    if panels.iter().any(|panel| panel.words().is_some()) { 1.35 * SMALL } else { 0.0 }
}

/// Panels per row, and the figure's width in mm.
pub(crate) fn arrangement(panels: &[Panel], options: &Style) -> (usize, f64) {
    let titles = panels.iter().map(|panel| panel.title.as_str());
    let table = Facets::of(titles, options.columns).map(|facets| facets.columns.len());
    let columns = match (options.columns.or(table), panels.len()) {
        (Some(wished), n) => wished.min(n),
        (None, n @ ..=3) => n,
        (None, 4) => 2,
        (None, _) => 3,
    };
    (columns, options.width_mm.unwrap_or([84.0, 129.0, 174.0][columns.min(3) - 1]))
}

/// Ticks, numbers, axis texts and the frame itself.
pub(crate) fn draw(canvas: &Canvas, frame: &Frame, [x_text, y_text]: [&str; 2]) -> Result<()> {
    let below = 2.0 * TICK + 1.1 * NUMBER + if frame.x_text { 1.35 * TEXT } else { 0.0 };
    let sheet = canvas.clone().into_drawing_area();
    let area = sheet.shrink(
        (units(frame.left - frame.margin), units(frame.top)),
        (units(frame.margin + frame.side) as u32, units(frame.side + below) as u32),
    );
    let mut chart = ChartBuilder::on(&area)
        .x_label_area_size(units(below))
        .y_label_area_size(units(frame.margin))
        .build_cartesian_2d(frame.x.clone(), frame.y.clone())
        .map_err(defect)?;

    let text = fitting(x_text, TEXT, frame.side).min(fitting(y_text, TEXT, frame.side));
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh()
        .set_all_tick_mark_size(units(TICK))
        .axis_style(BLACK.stroke_width(units(0.5) as u32))
        .label_style(font(NUMBER))
        .axis_desc_style(font(text));
    if frame.x_text {
        mesh.x_desc(x_text);
    }
    if frame.y_text {
        mesh.y_desc(y_text);
    }
    mesh.draw().map_err(defect)?;
    canvas.frame((frame.left, frame.top), (frame.side, frame.side));
    Ok(())
}

pub(crate) fn ends(values: &[f64]) -> (f64, f64) {
    (values[0], values[values.len() - 1])
}

/// Along some coordinates: at most five ticks, and fewer where their numbers have no room.
pub(crate) fn few_ticks(values: &[f64], room: impl Fn(&Axis) -> bool) -> Axis {
    let (low, high) = ends(values);
    Axis::finest(low, high, 0.0, |axis| axis.ticks.len() <= TICKS && room(axis))
}
