//! Where a surface bends: which cells of its grid are split in four, round by round (docs/definitions.md section 4).
//!
//! A cell bends by the most that it may be off between its corners where losses are interpolated linearly: an eighth of a second
//! difference, along either axis, at any of its corners. Its middle and the middles of its edges are evaluated if that is more
//! than a hundredth of the range of the first grid, and then its four parts are looked at in turn. Places are (row, column) of the
//! finest grid, so points of every round lie on one grid.
//!
//! The trap: what passes between the points of the first grid without a trace at them is not found.

use std::collections::{BTreeMap, BTreeSet};

/// Rounds at most: 64 fine cells along each side of a first one.
pub const MOST: usize = 6;

/// Bending that is not resolved, as a share of the range of the first grid: an eighth of one of twelve bands of colours.
pub const SHARE: f64 = 0.01;

/// Row and column of the finest grid.
pub type Place = (usize, usize);

/// Cells by their lower corners, all with sides of `step`.
pub struct Cells {
    corners: Vec<Place>,
    step: usize,
}

impl Cells {
    /// All cells of every `step`th row and column of a grid of so many rows and columns.
    pub fn all((rows, columns): (usize, usize), step: usize) -> Cells {
        let below = |n: usize| (0..n - 1).step_by(step);
        Cells { corners: below(rows).flat_map(|y| below(columns).map(move |x| (y, x))).collect(), step }
    }

    /// Those that bend by more than `most`, or lie at the edge of what is finite.
    pub fn bent(self, loss: &BTreeMap<Place, f64>, most: f64) -> Cells {
        let step = self.step;
        let bends = |&(y, x): &Place| {
            let corners = [(y, x), (y, x + step), (y + step, x), (y + step, x + step)];
            let finite = corners.iter().filter(|at| loss.get(at).is_some_and(|v| v.is_finite())).count();
            let most_bent = corners.iter().map(|&at| bend(loss, at, step)).fold(0.0, f64::max);
            (1..4).contains(&finite) || most_bent > most
        };
        Cells { corners: self.corners.into_iter().filter(bends).collect(), step }
    }

    /// The points in the middle of these cells and of their edges that are not known.
    pub fn middles(&self, loss: &BTreeMap<Place, f64>) -> BTreeSet<Place> {
        let half = self.step / 2;
        let around = |&(y, x): &Place| {
            [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)].map(|(down, right)| (y + down * half, x + right * half))
        };
        self.corners.iter().flat_map(around).filter(|at| !loss.contains_key(at)).collect()
    }

    /// Their quarters.
    pub fn quarters(self) -> Cells {
        let half = self.step / 2;
        let four = |&(y, x): &Place| [(y, x), (y, x + half), (y + half, x), (y + half, x + half)];
        Cells { corners: self.corners.iter().flat_map(four).collect(), step: half }
    }
}

/// An eighth of the largest second difference at a point, along rows or columns; 0 where neighbours are not known or not finite.
fn bend(loss: &BTreeMap<Place, f64>, (y, x): Place, step: usize) -> f64 {
    let along = |before: Option<Place>, after: Place| {
        let second = loss.get(&before?)? - 2.0 * loss.get(&(y, x))? + loss.get(&after)?;
        Some(second.abs() / 8.0).filter(|bend| bend.is_finite())
    };
    let row = along(x.checked_sub(step).map(|x| (y, x)), (y, x + step));
    let column = along(y.checked_sub(step).map(|y| (y, x)), (y + step, x));
    row.unwrap_or(0.0).max(column.unwrap_or(0.0))
}

/// The bending that is resolved: above a share of the range of the first grid, and above the tolerance of sampled points.
pub fn least(loss: &BTreeMap<Place, f64>, tolerance: f64) -> f64 {
    let finite = loss.values().filter(|v| v.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
    (SHARE * (high - low)).max(tolerance)
}

/// The round in which a point of the finest grid is evaluated, of so many.
pub fn round((y, x): Place, rounds: usize) -> usize {
    rounds - (y | x).trailing_zeros().min(rounds as u32) as usize
}
