//! Refined surfaces: rows only at points that were evaluated, with the round in which each was, `level`.
//!
//! Points of level 0 are a full grid. Each level halves the steps, so all points lie on one fine grid. Where it was not evaluated, the middle
//! of an edge is filled with the mean of its ends and the middle of a cell with the mean of its edges', from coarse to
//! fine: linear interpolation within each cell.

use super::{Grid, MOST};

/// The column by which a refined surface is known.
pub const LEVEL: &str = "level";

/// Levels at most that a file may name.
const LEVELS: usize = 10;

/// Points along one axis at most: asked for before memory is.
const LONGEST: usize = 1 << 14;

/// The grid of rows x, y, loss and further columns of these names; `level`: where that stands. Says what does not fit.
pub(super) fn read(rows: &[Vec<f64>], level: usize, names: Vec<String>) -> Result<Grid, String> {
    let levels = rows.iter().map(|row| row[level]).fold(0.0, f64::max);
    let whole = |v: f64| v.fract() == 0.0 && (0.0..=LEVELS as f64).contains(&v);
    if let Some(row) = rows.iter().find(|row| !whole(row[level])) {
        return Err(format!("{} at ({}, {})", row[level], row[0], row[1]));
    }
    let step = 1 << levels as usize;
    let [x, y] = [fine(rows, level, 0, step)?, fine(rows, level, 1, step)?];
    let (width, size) = (x.len(), x.len().saturating_mul(y.len()));
    if size > MOST || width < 2 || y.len() < 2 {
        return Err(format!("a grid of {width} x {}", y.len()));
    }
    let mut known = vec![false; size];
    let mut loss = vec![f64::NAN; size];
    let mut columns: Vec<(String, Vec<f64>)> =
        names.into_iter().map(|name| (name, vec![f64::NAN; size])).collect();
    for row in rows {
        let place = place(&x, row[0]).zip(place(&y, row[1]));
        let i = place.map(|(ix, iy)| iy * width + ix).filter(|i| !known[*i]);
        let i = i.ok_or_else(|| format!("({}, {}) twice, or off the grid of level 0", row[0], row[1]))?;
        (known[i], loss[i]) = (true, row[2]);
        columns.iter_mut().zip(&row[3..]).for_each(|((_, values), value)| values[i] = *value);
    }
    let lattice = |n: usize| (0..n).step_by(step);
    if let Some((iy, ix)) = lattice(y.len())
        .flat_map(|iy| lattice(width).map(move |ix| (iy, ix)))
        .find(|(iy, ix)| !known[iy * width + ix])
    {
        return Err(format!("no point of level 0 at ({}, {})", x[ix], y[iy]));
    }
    let centre = place(&x, 0.0).zip(place(&y, 0.0)).map(|(ix, iy)| iy * width + ix);
    let centre = centre.filter(|i| known[*i]).map(|i| loss[i]);
    fill(&mut loss, &known, width, step);
    Ok(Grid { x, y, loss, columns, centre, known: Some(known), ..Grid::default() })
}

/// The coordinates of level 0 along an axis, and between them as many as the finest level has; those of rows as they are there.
fn fine(rows: &[Vec<f64>], level: usize, axis: usize, step: usize) -> Result<Vec<f64>, String> {
    let mut coarse: Vec<f64> = rows.iter().filter(|row| row[level] == 0.0).map(|row| row[axis]).collect();
    coarse.sort_by(f64::total_cmp);
    coarse.dedup();
    if coarse.len() * step > LONGEST {
        return Err(format!("{} coordinates of level 0, each in {step} parts", coarse.len()));
    }
    let mut fine: Vec<f64> = coarse
        .windows(2)
        .flat_map(|ends| (0..step).map(|j| ends[0] + (ends[1] - ends[0]) * (j as f64 / step as f64)))
        .chain(coarse.last().copied())
        .collect();
    for row in rows {
        let above = fine.partition_point(|v| *v < row[axis]);
        let near = [above.wrapping_sub(1), above].into_iter().filter(|i| *i < fine.len());
        let far = |i: &usize| (fine[*i] - row[axis]).abs();
        if let Some(i) = near.min_by(|a, b| far(a).total_cmp(&far(b))) {
            let step =
                fine.get(i + 1).or(fine.get(i.wrapping_sub(1))).map_or(0.0, |next| (next - fine[i]).abs());
            // Halving rounds otherwise than spacing evenly does.
            if far(&i) < 1e-6 * step {
                fine[i] = row[axis];
            }
        }
    }
    Ok(fine)
}

fn place(axis: &[f64], v: f64) -> Option<usize> {
    axis.binary_search_by(|own| own.total_cmp(&v)).ok()
}

/// Fills what is not known, from coarse to fine.
fn fill(loss: &mut [f64], known: &[bool], width: usize, step: usize) {
    let height = loss.len() / width;
    let mut step = step;
    while step > 1 {
        let half = step / 2;
        let mut mean = |iy: usize, ix: usize, of: &[(usize, usize)]| {
            let i = iy * width + ix;
            if !known[i] {
                loss[i] = of.iter().map(|(y, x)| loss[y * width + x]).sum::<f64>() / of.len() as f64;
            }
        };
        let middles = |n: usize| (half..n).step_by(step);
        let corners = |n: usize| (0..n).step_by(step);
        for iy in corners(height) {
            middles(width).for_each(|ix| mean(iy, ix, &[(iy, ix - half), (iy, ix + half)]));
        }
        for iy in middles(height) {
            corners(width).for_each(|ix| mean(iy, ix, &[(iy - half, ix), (iy + half, ix)]));
        }
        for iy in middles(height) {
            middles(width).for_each(|ix| {
                mean(iy, ix, &[(iy, ix - half), (iy, ix + half), (iy - half, ix), (iy + half, ix)])
            });
        }
        step = half;
    }
}
