//! Dot plots by layer: a row for each item in model order, a column for each quantity, intervals as bars.
//!
//! A column has its own axis, shared by its panels of sites and of blocks: logarithmic where its values span more than
//! a factor of ten. A dotted line is the value to compare with.
//!
//! The trap: a value of 0 has no place on a logarithmic axis, and an empty one none at all: their rows stay empty and
//! the key counts them.
//!
//! Used by [`crate::figures::stability_tails`], [`crate::figures::stability_components`] and [`crate::figures::sharpness_layers`].

use crate::draw::axis::{self, Axis, TICK, drawable};
use crate::draw::canvas::{Anchor, Canvas, PT_PER_MM, Point};
use crate::draw::curves::{self, GREY};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet, stretch};
use crate::draw::text::{self, TEXT, TITLE};
use crate::error::Result;
use crate::figures::parts::sites::{self, Look};
use crate::fisher::layers::Granularity;

/// Height of a row, of a panel of few rows, between panels, and between columns, pt.
const ROW: f64 = 8.0;
const LEAST: f64 = 24.0;
const GAP: f64 = 8.0;
const APART: f64 = 12.0;
/// Values that span more have a logarithmic axis.
const SPAN: f64 = 10.0;

/// A value, where there is one, and its interval, where known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dot {
    pub(crate) value: Option<f64>,
    pub(crate) ends: Option<(f64, f64)>,
}

/// The rows of one granularity: names, and a dot for each column.
pub(crate) struct Group {
    pub(crate) granularity: Granularity,
    pub(crate) rows: Vec<(String, Vec<Dot>)>,
}

/// What has rows, by granularity.
pub(crate) fn groups<T>(rows: &[T], row: impl Fn(&T) -> (Granularity, String, Vec<Dot>)) -> Vec<Group> {
    let mut groups = sites::SHOWN.map(|granularity| Group { granularity, rows: Vec::new() });
    for (granularity, name, dots) in rows.iter().map(row) {
        let group = groups.iter_mut().find(|group| group.granularity == granularity);
        group.into_iter().for_each(|group| group.rows.push((name.clone(), dots.clone())));
    }
    groups.into_iter().filter(|group| !group.rows.is_empty()).collect()
}

/// One quantity.
pub(crate) struct Column {
    /// Words of its axis, longest first: the first that has room is written.
    pub(crate) words: &'static [&'static str],
    /// Ends of its axis, where they do not depend on the values.
    pub(crate) ends: Option<(f64, f64)>,
    /// What to compare with, and what it is; without words where the line of another column has them.
    pub(crate) reference: Option<(f64, String)>,
}

/// The figure as SVG text.
pub(crate) fn figure(
    groups: &[Group],
    columns: &[Column],
    description: &str,
    width_mm: f64,
) -> Result<String> {
    let names = || groups.iter().flat_map(|group| &group.rows).map(|(name, _)| name.as_str());
    let left = EDGE + sites::widest(names()) + 2.0 * TICK;
    // 3: a number may stand out beyond the last frame.
    let rest = left + APART * (columns.len() - 1) as f64 + EDGE + 3.0;
    let side = frame::panel_width(width_mm, columns.len(), rest)?;
    let axes: Vec<Axis> = (0..columns.len()).map(|c| axis(groups, columns, c, side)).collect();
    let heights = groups.iter().map(|group| f64::max(ROW * group.rows.len() as f64, LEAST));
    let (mut below, mut tops) = (EDGE, Vec::new());
    for height in heights {
        below += 1.1 * TITLE + 3.0;
        tops.push((below, height));
        below += height + GAP;
    }
    let bottom = below - GAP;
    let foot = bottom + BELOW + LINE;
    let entries = entries(groups, columns, &axes);
    let sheet = Sheet::new(width_mm * PT_PER_MM, (EDGE, foot), entries, SIGN);
    let canvas = &sheet.canvas;
    for (g, (group, &(top, height))) in groups.iter().zip(&tops).enumerate() {
        let rows = Axis::rows(group.rows.len(), height);
        let last = group.rows.len() - 1;
        let deepest = sites::deepest(group.rows.iter().map(|(name, _)| name.as_str()));
        let title = format!("{}s", group.granularity.name());
        canvas.centred(&title, (left + side / 2.0, top - 4.0), TITLE);
        for (c, (column, axis)) in columns.iter().zip(&axes).enumerate() {
            let corner = (left + (side + APART) * c as f64, top);
            let plot = Plot { corner, size: (side, height), x: axis, y: &rows };
            plot.axes(canvas, g + 1 == groups.len(), false);
            if let Some((reference, _)) = column.reference.as_ref().filter(|(v, _)| axis.holds(*v)) {
                curves::level(canvas, &plot.upright(*reference));
            }
            for (i, (name, dots)) in group.rows.iter().enumerate() {
                dot(canvas, &plot, (last - i) as f64, dots[c], &sites::look(name, deepest));
            }
        }
        let plot = Plot { corner: (left, top), size: (side, height), x: &axes[0], y: &rows };
        for (i, (name, _)) in group.rows.iter().enumerate() {
            let y = plot.at(0.0, (last - i) as f64).1;
            sites::write(canvas, name, (left - 2.0 * TICK, y), Anchor::End);
        }
    }
    for (c, column) in columns.iter().enumerate() {
        let x = left + (side + APART) * c as f64 + side / 2.0;
        let (words, em) = text::first_fitting(column.words, TEXT, side);
        canvas.centred(&words, (x, bottom + BELOW + 0.9 * TEXT), em);
    }
    Ok(sheet.finish(description))
}

/// The axis of column `c`: of all its values, their intervals and its reference.
fn axis(groups: &[Group], columns: &[Column], c: usize, side: f64) -> Axis {
    if let Some((low, high)) = columns[c].ends {
        return Axis::across(low, high, 0.0, side);
    }
    let dots = || groups.iter().flat_map(|group| &group.rows).map(|(_, dots)| dots[c]);
    let ends = dots().filter_map(|dot| dot.ends).flat_map(|(low, high)| [low, high]);
    let all: Vec<f64> = dots().filter_map(|dot| dot.value).chain(ends).collect();
    let reference = columns[c].reference.iter().map(|(v, _)| *v);
    let positive = || axis::range(all.iter().copied().filter(|v| *v > 0.0));
    if let Some((low, high)) = positive().filter(|(low, high)| *high > SPAN * low) {
        let ends = axis::range([low, high].into_iter().chain(reference.filter(|v| *v > 0.0)));
        let (low, high) = ends.unwrap_or((low, high));
        let axis = Axis::with_ticks_at(&fine(low, high), side);
        // Numbers left out here and there would mislead between ticks that are not evenly spaced.
        let whole = axis.ticks.iter().all(|(_, number)| !number.is_empty());
        return if whole { axis } else { decades(low, high, side) };
    }
    let (low, high) = axis::range(all.into_iter().chain(reference)).unwrap_or((0.0, 1.0));
    // Values that are all the same lie amid an axis.
    if low < high {
        Axis::across(low, high, 0.0, side)
    } else {
        Axis::across(0.0, 2.0 * low.max(0.5), 0.0, side)
    }
}

fn decades(low: f64, high: f64, side: f64) -> Axis {
    Axis::logarithmic(low, high, (side / 30.0) as usize + 1).thinned_across(side)
}

/// 1, 2 and 5 times powers of ten that enclose two positive numbers.
fn fine(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32);
    // By way of text: the nearest number to each, as a reader would write it.
    let number = |power: i32, m: i32| format!("{m}e{power}").parse().unwrap_or(f64::NAN);
    let all: Vec<f64> = (first..=last).flat_map(|p| [1, 2, 5].map(|m| number(p, m))).collect();
    // 1e-9: what misses a tick by rounding alone is on it.
    let from = all.iter().rposition(|v| *v <= low * (1.0 + 1e-9)).unwrap_or(0);
    let to = all.iter().position(|v| *v >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
    all[from..=to].to_vec()
}

/// Whether an axis has a place for a value.
fn placed(axis: &Axis, dot: Dot) -> Option<f64> {
    dot.value.filter(|v| drawable(*v) && axis.holds(*v))
}

fn dot(canvas: &Canvas, plot: &Plot, row: f64, dot: Dot, look: &Look) {
    let Some(value) = placed(plot.x, dot) else { return };
    if let Some((low, high)) = dot.ends.filter(|(low, high)| drawable(*low) && drawable(*high)) {
        // A bar that goes on beyond the axis ends there.
        let ends = [low, high].map(|v| plot.at(v.clamp(plot.x.low, plot.x.high), row));
        curves::thick_bar(canvas, ends, &look.colour);
    }
    look.marker(canvas, plot.at(value, row));
}

fn entries(groups: &[Group], columns: &[Column], axes: &[Axis]) -> Vec<Entry<'static>> {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let mut entries = sites::key(rows().map(|(name, _)| name.as_str()));
    if rows().flat_map(|(_, dots)| dots).any(|dot| dot.ends.is_some()) {
        let sign = |canvas: &Canvas, at: Point| curves::bar(canvas, stretch(at), GREY);
        entries.push(Entry::new(sign, "95 % interval"));
    }
    for (column, axis) in columns.iter().zip(axes) {
        let reference = column.reference.as_ref().filter(|(v, words)| axis.holds(*v) && !words.is_empty());
        if let Some((_, words)) = reference {
            entries.push(Entry::level(words.clone()));
        }
    }
    let lost = |c: usize, axis| rows().filter(|(_, dots)| placed(axis, dots[c]).is_none()).count();
    let lost: usize = axes.iter().enumerate().map(|(c, axis)| lost(c, axis)).sum();
    if lost > 0 {
        entries.push(Entry::note(format!("{lost} not drawn: 0 or not defined")));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    fn group(granularity: Granularity, values: &[(&str, Option<f64>)]) -> Group {
        let row = |&(name, value): &(&str, Option<f64>)| {
            (name.to_owned(), vec![Dot { value, ends: value.map(|v| (v / 2.0, 2.0 * v)) }])
        };
        Group { granularity, rows: values.iter().map(row).collect() }
    }

    fn column(ends: Option<(f64, f64)>, reference: Option<f64>) -> Column {
        let reference = reference.map(|v| (v, "if all were equal".to_owned()));
        Column { words: &["share"], ends, reference }
    }

    /// Squares of attention outputs, by their middle across.
    fn squares(svg: &str) -> Vec<f64> {
        let own = svg.lines().filter(|line| line.starts_with("<rect x") && line.contains("fill=\"#d55e00\""));
        own.map(|line| attribute(line, "x") + attribute(line, "width") / 2.0).collect()
    }

    /// Oracle: on paper. 0.01, 0.1 and 1 are evenly spaced on a logarithmic axis, 0.2, 0.4 and 0.6 on a linear one.
    #[test]
    fn marks_stand_at_their_values() {
        let names = ["layer.0.attention_output", "layer.1.attention_output", "layer.2.attention_output"];
        for (values, ends) in [([0.01, 0.1, 1.0], None), ([0.2, 0.4, 0.6], Some((0.0, 1.0)))] {
            let rows: Vec<(&str, Option<f64>)> = names.into_iter().zip(values.map(Some)).collect();
            let svg =
                figure(&[group(Granularity::Site, &rows)], &[column(ends, Some(0.1))], "", 84.0).unwrap();
            let x = squares(&svg);
            assert_eq!(x.len(), 4); // one in the key
            assert!((x[1] - (x[0] + x[2]) / 2.0).abs() < 0.02 && x[0] < x[1], "{x:?}");
            assert!(svg.contains(">if all were equal<"));
            let boxes = assert_sound(&svg);
            let row = |name: &str| boxes.iter().find(|(text, _)| text == name).unwrap().1[1];
            assert!(row("0 attn. output") < row("1 attn. output"), "model order from the top");
        }
    }

    /// Nothing at all, all the same, and zeros beside decades: a figure in which every item has its name.
    #[test]
    fn extremes_give_a_figure() {
        let name = "a very long name of a block of some other model that has no room";
        for values in [
            [None, None],
            [Some(0.0), Some(0.0)],
            [Some(3.0), Some(3.0)],
            [Some(0.0), Some(1e9)],
            [Some(f64::NAN), Some(1e-9)],
        ] {
            let rows = [("embeddings", values[0]), (name, values[1])];
            let groups = [group(Granularity::Site, &rows), group(Granularity::Block, &rows[..1])];
            for width in [60.0, 84.0, 174.0] {
                let svg = figure(&groups, &[column(None, Some(0.01))], "", width).unwrap();
                let texts = assert_sound(&svg);
                assert_eq!(texts.iter().filter(|(text, _)| text == "embeddings").count(), 3);
                let lost = values.iter().any(|v| v.is_none_or(|v| v.is_nan()));
                assert!(!lost || svg.contains(" not drawn: "), "{values:?}");
            }
        }
        let one = [group(Granularity::Site, &[("embeddings", Some(1.0))])];
        assert!(
            figure(&one, &[column(None, None)], "", f64::NAN).unwrap_err().to_string().contains("width_mm")
        );
    }
}
