//! Tables of coloured cells: their fill, the numbers in them, and the bar that explains the colours.
//!
//! Numbers of one table have one size, so that none looks more important; where that would be too small to read there
//! are none, and the figure says its numbers by colour alone.
//!
//! The trap: a cell without a value has no colour. It is outlined, never filled as if the value were the lowest.
//!
//! Used by [`crate::figures::fisher`], [`crate::figures::stability_ranks`], [`crate::figures::audit_audit`] and [`crate::figures::agree_pairs`].

use crate::draw::axis::{Axis, TICK};
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, Point, path_data, text_width};
use crate::draw::colour::{ColourMap, ink};
use crate::draw::frame::LINE;
use crate::draw::legend::Entry;
use crate::draw::text::{self, NUMBER, SMALL, TEXT};

/// Least size of the numbers in cells, pt; smaller ones are left out.
pub(crate) const LEAST_NUMBER: f64 = 5.0;
/// Height of the bar of [`colour_bar`], pt.
const BAR: f64 = 6.0;

/// Lower end of a [`colour_bar`] at `top` with its numbers and words.
pub(crate) fn below_bar(top: f64) -> f64 {
    top + BAR + 2.0 * TICK + 1.1 * NUMBER + LINE
}

/// A cell with its value, `None` where the table has none, and the lines written in it.
pub(crate) struct Cell {
    pub(crate) area: Area,
    pub(crate) value: Option<f64>,
    pub(crate) lines: Vec<String>,
}

/// Size of numbers that suits every cell; `None` where it would be too small to read.
pub(crate) fn size(cells: &[Cell]) -> Option<f64> {
    let mut em: f64 = SMALL - 0.5;
    for Cell { area, lines, .. } in cells {
        for line in lines {
            em = em.min(text::fitting(line, em, area.right - area.left - 2.0));
        }
        // 1.15 of the size from line to line, and the space of one point above and below.
        em = em.min((area.bottom - area.top - 1.0) / (1.15 * lines.len().max(1) as f64));
    }
    (em >= LEAST_NUMBER).then_some(em)
}

/// The first of several versions whose numbers can be read, or the last.
pub(crate) fn readable(versions: impl IntoIterator<Item = Vec<Cell>>) -> Vec<Cell> {
    let mut last = Vec::new();
    for cells in versions {
        last = cells;
        if size(&last).is_some() {
            break;
        }
    }
    last
}

/// Fills, then the numbers where they can be read.
pub(crate) fn draw(canvas: &Canvas, cells: &[Cell], scale: &Axis) {
    for Cell { area, value, .. } in cells {
        match value {
            Some(value) => filled(canvas, *area, &colour(scale.part(*value))),
            None => outlined(canvas, *area),
        }
    }
    let Some(em) = size(cells) else { return };
    for Cell { area, value, lines } in cells {
        let ink = value.map_or("#000", |value| ink(&colour(scale.part(value))));
        let middle = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        for (i, line) in lines.iter().enumerate() {
            let down = 1.15 * em * (i as f64 - (lines.len() - 1) as f64 / 2.0);
            let at = (middle.0, middle.1 + down + em * DIGIT_HEIGHT / 2.0);
            canvas.text(line, at, em, Anchor::Middle, 0.0, ink);
        }
    }
}

/// Of one colour with its edge, so that no seam shows between cells.
pub(crate) fn filled(canvas: &Canvas, area: Area, colour: &str) {
    canvas.area(area, &format!("fill=\"{colour}\" stroke=\"{colour}\" stroke-width=\".2\""));
}

/// A cell without a value.
pub(crate) fn outlined(canvas: &Canvas, area: Area) {
    canvas.area(area, "fill=\"#fff\" stroke=\"#8c8c8c\" stroke-width=\".3\"");
}

/// What explains outlined cells in a key.
pub(crate) fn missing(words: &str) -> Entry<'static> {
    Entry::new(|canvas, at| outlined(canvas, Area::around(at, 5.0, 2.8)), words)
}

/// Of a part of the scale from 0 to 1.
pub(crate) fn colour(part: f64) -> String {
    ColourMap::Viridis.at(part as f32)
}

/// The colours of a scale from left to right, with its ticks and the longest of `words` that has room below; its upper left corner is `corner`.
pub(crate) fn colour_bar(canvas: &Canvas, corner: Point, width: f64, scale: &Axis, words: &[&str]) {
    const STEPS: usize = 64;
    let (left, top) = corner;
    // From the left, each field to the end of the bar: no seams.
    for i in 0..STEPS {
        let x = width * i as f64 / STEPS as f64;
        let look = format!("fill=\"{}\"", colour((i as f64 + 0.5) / STEPS as f64));
        canvas.rect((left + x, top), (width - x, BAR), &look);
    }
    canvas.frame((left, top), (width, BAR));
    let bottom = top + BAR;
    let mut ticks = String::new();
    let mut end = f64::NEG_INFINITY;
    for (v, number) in &scale.ticks {
        let (x, half) = (left + width * scale.part(*v), text_width(number, NUMBER) / 2.0);
        ticks += &path_data(&[(x, bottom), (x, bottom + TICK)], false);
        // Numbers keep apart, and within the panel.
        let at = x.clamp(left + half, left + f64::max(width - half, half));
        if at - half > end + 3.0 {
            let y = bottom + 2.0 * TICK + 0.76 * NUMBER;
            canvas.centred(number, (at, y), NUMBER);
            end = at + half;
        }
    }
    canvas.path(&ticks, "stroke=\"#000\" stroke-width=\".5\"");
    let y = bottom + 2.0 * TICK + 1.1 * NUMBER + 0.9 * TEXT;
    let (words, em) = text::first_fitting(words, TEXT, width);
    canvas.centred(&words, (left + width / 2.0, y), em);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    fn cell(value: Option<f64>, width: f64, lines: &[&str]) -> Cell {
        let area = Area { left: 10.0, top: 10.0, right: 10.0 + width, bottom: 30.0 };
        Cell { area, value, lines: lines.iter().map(|line| line.to_string()).collect() }
    }

    /// Oracle: on paper. DejaVu's digits are 0.636 em wide: "0.87" at 5 pt takes (3 · 0.636 + 0.318) · 5 = 11.1 pt.
    #[test]
    fn numbers_shrink_to_the_narrowest_cell_and_vanish_below_5_pt() {
        assert_eq!(size(&[cell(Some(1.0), 40.0, &["0.87"])]), Some(6.0));
        let em = size(&[cell(Some(1.0), 40.0, &["0.87"]), cell(None, 14.0, &["0.87"])]).unwrap();
        assert!((em - 5.0 * 12.0 / 11.13).abs() < 0.05, "{em}");
        assert_eq!(size(&[cell(Some(1.0), 13.0, &["0.87"])]), None);
        // Four lines of 20 pt less 1 are 19 / (1.15 · 4) = 4.1 pt each.
        assert_eq!(size(&[cell(Some(1.0), 40.0, &["1"; 4])]), None);
    }

    /// Oracle: the bright end of viridis (#fde725 in matplotlib, here a step brighter); lines from the upper to the lower.
    #[test]
    fn what_is_missing_has_no_colour() {
        let canvas = Canvas::new((120.0, 60.0));
        let mut cells = [cell(Some(1.0), 30.0, &["0.9", "to 1"]), cell(None, 30.0, &[])];
        cells[1].area = Area { left: 60.0, right: 90.0, ..cells[1].area };
        draw(&canvas, &cells, &Axis::linear(0.0, 1.0, 5, 0.0));
        let svg = canvas.finish("");
        let boxes = assert_sound(&svg);
        assert!(boxes[0].0 == "0.9" && boxes[0].1[3] < boxes[1].1[1]);
        let rects: Vec<&str> = svg.lines().filter(|line| line.starts_with("<rect x")).collect();
        assert!(rects[0].contains("#fee825") && rects[1].contains("fill=\"#fff\""), "{rects:?}");
        assert_eq!(attribute(rects[1], "x"), 60.0);
    }
}
