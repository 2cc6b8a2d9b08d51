//! How large basins are, in cells and as a circle around their minimum.
//!
//! The basins of minima that may be noise count as the basins of what they end in: chance would cut a large one into pieces.

use super::Tree;

/// The size of a basin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub cells: usize,
    /// Of the largest circle around the minimum that holds no other basin's cell and does not leave the grid, in units of the coordinates.
    pub radius: f64,
}

/// The size of each minimum's basin, on a grid with these coordinates; `noise` says which minima may be that.
pub fn sizes(tree: &Tree, axes: [&[f64]; 2], noise: &[bool]) -> Vec<Size> {
    // What a minimum ends in comes before it.
    let mut homes: Vec<usize> = Vec::new();
    for (number, own) in tree.minima.iter().enumerate() {
        let into = own.merge.filter(|_| noise[number]).map(|merge| homes[merge.into]);
        homes.push(into.unwrap_or(number));
    }
    let size = |number: usize| {
        let belongs =
            |basin: usize| if homes[number] == number { homes[basin] == number } else { basin == number };
        let inside = |basin: &Option<usize>| basin.is_some_and(belongs);
        let centre = place(axes, tree.minima[number].cell);
        let away = |cell: usize| {
            let (x, y) = place(axes, cell);
            (x - centre.0).hypot(y - centre.1)
        };
        let outside = (0..tree.basins.len()).filter(|&cell| !inside(&tree.basins[cell])).map(away);
        Size {
            cells: tree.basins.iter().filter(|basin| inside(basin)).count(),
            radius: outside.fold(to_border(axes, centre), f64::min),
        }
    };
    (0..tree.minima.len()).map(size).collect()
}

/// Coordinates of a cell, y outer.
pub fn place([x, y]: [&[f64]; 2], cell: usize) -> (f64, f64) {
    (x[cell % x.len()], y[cell / x.len()])
}

/// Distance from the border, of a line from its ends.
fn to_border([x, y]: [&[f64]; 2], (at_x, at_y): (f64, f64)) -> f64 {
    let along = |axis: &[f64], at: f64| match axis {
        [first, .., last] => (at - first).min(last - at),
        _ => f64::INFINITY,
    };
    along(x, at_x).min(along(y, at_y))
}
