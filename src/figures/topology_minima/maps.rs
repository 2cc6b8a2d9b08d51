//! The surface with its minima and saddles, a line where it is one. Of a volume the three views along its directions: at each place
//! the lowest value along the direction (of a metric the highest), so that no minimum is hidden by what lies before it.

use std::path::Path;

use super::{NUMBER, Read, falls, field, heading, is_noise, left_out, saddle, sign};
use crate::draw::axis;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::contour::plain::Plain;
use crate::draw::curves;
use crate::draw::frame::Plot;
use crate::draw::panels::{Panel, Span};
use crate::error::{Error, Result};
use crate::tables::Table;
use crate::tables::topology::{BasinRow, MinimumRow};

const WORDS: [&str; 3] = ["direction x (a)", "direction y (b)", "direction z (c)"];

/// Nothing without `basins.csv`.
pub(super) fn maps<'a>(read: &'a Read, path: &Path) -> Result<Vec<Panel<'a>>> {
    let place = |row: &BasinRow| [row.x, row.y, row.z.unwrap_or(0.0)];
    let axes = [0, 1, 2].map(|i| {
        let mut axis: Vec<f64> = read.basins.iter().map(|row| place(row)[i]).collect();
        axis.sort_by(f64::total_cmp);
        axis.dedup();
        axis
    });
    let [x, y, z] = &axes;
    if read.basins.is_empty() {
        return Ok(Vec::new());
    }
    let row = |y: f64, z: f64| x.iter().map(move |x| [*x, y, z]);
    let mut whole = z.iter().flat_map(|z| y.iter().flat_map(move |y| row(*y, *z)));
    if !read.basins.iter().map(place).eq(whole.by_ref()) {
        let third = if read.is_volume() { format!(" x {}", z.len()) } else { String::new() };
        let found = format!("{} rows for {} x {}{third}", read.basins.len(), x.len(), y.len());
        let place = path.with_file_name(BasinRow::FILE);
        return Err(Error::field(place.display(), "x, y", "a grid, y outer", found, BasinRow::FIX));
    }
    let values: Vec<f64> = read.basins.iter().map(|row| row.value.unwrap_or(f64::NAN)).collect();
    let long = axes.iter().filter(|axis| axis.len() > 1).count();
    if read.is_volume() {
        let views = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
        let view = |own: [usize; 3]| view(read, &axes, &values, own);
        return if long == 3 { views.into_iter().map(view).collect() } else { Ok(Vec::new()) };
    }
    if long < 2 {
        return Ok(line(read, if y.len() == 1 { x } else { y }, values).into_iter().collect());
    }
    let title = (heading(read), left_out(read));
    Ok(vec![map(read, [0, 1], [x, y], &values, title)?])
}

/// A volume along the axis `along`.
fn view<'a>(
    read: &'a Read,
    axes: &[Vec<f64>; 3],
    values: &[f64],
    [across, up, along]: [usize; 3],
) -> Result<Panel<'a>> {
    let sides = axes.each_ref().map(Vec::len);
    let mut seen = vec![f64::NAN; sides[across] * sides[up]];
    let end = if falls(read) { f64::max } else { f64::min };
    for (cell, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let at = [cell % sides[0], cell / sides[0] % sides[1], cell / (sides[0] * sides[1])];
        let own = &mut seen[at[up] * sides[across] + at[across]];
        // What is not a number yet gives way.
        *own = end(*own, *value);
    }
    let name = ["x", "y", "z"][along];
    let title = format!("{}: {} along {name}", field(read), self::end(read));
    let notes = if along == 2 { left_out(read) } else { Vec::new() };
    map(read, [across, up], [&axes[across], &axes[up]], &seen, (title, notes))
}

/// Which values of a volume are seen.
pub(super) fn end(read: &Read) -> &'static str {
    if falls(read) { "highest" } else { "lowest" }
}

/// Values on a grid along two of the axes, with the minima and saddles.
fn map<'a>(
    read: &'a Read,
    own: [usize; 2],
    [x, y]: [&[f64]; 2],
    values: &[f64],
    (title, notes): (String, Vec<String>),
) -> Result<Panel<'a>> {
    let plain = Plain::new([x, y], values, if falls(read) { -1.0 } else { 1.0 })?;
    let ends = |axis: &[f64]| Span::Linear(axis[0], axis[axis.len() - 1]);
    let spans = Some((ends(x), ends(y)));
    Ok(Panel {
        title,
        notes,
        spans,
        words: (WORDS[own[0]], WORDS[own[1]]),
        draw: Box::new(move |canvas, plot| {
            plain.draw(canvas, plot);
            let on_sheet = |at: [f64; 3]| plot.at(at[own[0]], at[own[1]]);
            for minimum in read.minima.iter().rev() {
                saddle_of(minimum).into_iter().for_each(|at| saddle(canvas, on_sheet(at)));
                // Of a volume some lie one behind the other: the lowest is seen, and has the numbers of all.
                let place = |other: &MinimumRow| [other.x, other.y, other.z.unwrap_or(0.0)];
                let behind =
                    |other: &&MinimumRow| own.map(|i| place(other)[i]) == own.map(|i| place(minimum)[i]);
                let all: Vec<&MinimumRow> = read.minima.iter().filter(behind).collect();
                if all.first().is_some_and(|first| first.minimum == minimum.minimum) {
                    numbered(canvas, &all, on_sheet(place(minimum)));
                }
            }
        }),
    })
}

/// A surface along a line.
fn line<'a>(read: &'a Read, x: &[f64], values: Vec<f64>) -> Option<Panel<'a>> {
    let along = read.basins.iter().any(|row| row.x != read.basins[0].x);
    let (low, high) = axis::range(values.iter().copied())?;
    let spans = Some((Span::Linear(x[0], x[x.len() - 1]), Span::Linear(low, high)));
    let points: Vec<Point> = x.iter().copied().zip(values).collect();
    Some(Panel {
        title: heading(read),
        notes: left_out(read),
        spans,
        words: ("distance along the direction", ""),
        draw: Box::new(move |canvas: &Canvas, plot: &Plot| {
            plot.pieces(&points).iter().for_each(|piece| curves::solid(canvas, piece, "#0072b2"));
            for own in read.minima.iter().rev() {
                numbered(canvas, &[own], plot.at(if along { own.x } else { own.y }, own.value));
            }
        }),
    })
}

/// The sign of the first of some minima at one place, and the numbers of all.
fn numbered(canvas: &Canvas, all: &[&MinimumRow], at: Point) {
    sign(canvas, at, all.first().is_some_and(|own| is_noise(own)));
    let numbers: Vec<String> = all.iter().map(|own| own.minimum.to_string()).collect();
    canvas.haloed(&numbers.join(", "), (at.0 + 2.6, at.1 - 1.6), NUMBER);
}

fn saddle_of(own: &MinimumRow) -> Option<[f64; 3]> {
    Some([own.saddle_x?, own.saddle_y?, own.saddle_z.flatten().unwrap_or(0.0)])
}
