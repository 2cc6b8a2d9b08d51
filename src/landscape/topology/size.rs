//! How large basins are, in cells and as a circle around their minimum, in a volume a ball.
//!
//! The basins of minima that may be noise count as the basins of what they end in: chance would cut a large one into pieces.

use super::Tree;

/// The size of a basin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub cells: usize,
    /// Of the largest circle (in a volume: ball) around the minimum that holds no other basin's cell and does not leave the grid, in units of the coordinates.
    pub radius: f64,
}

/// The size of each minimum's basin, on a grid with these coordinates; `noise` says which minima may be that.
pub fn sizes(tree: &Tree, axes: [&[f64]; 3], noise: &[bool]) -> Vec<Size> {
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
            let [x, y, z] = place(axes, cell);
            (x - centre[0]).hypot(y - centre[1]).hypot(z - centre[2])
        };
        let outside = (0..tree.basins.len()).filter(|&cell| !inside(&tree.basins[cell])).map(away);
        Size {
            cells: tree.basins.iter().filter(|basin| inside(basin)).count(),
            radius: outside.fold(to_border(axes, centre), f64::min),
        }
    };
    (0..tree.minima.len()).map(size).collect()
}

/// Coordinates of a cell, z outer, then y.
pub fn place([x, y, z]: [&[f64]; 3], cell: usize) -> [f64; 3] {
    let row = cell / x.len();
    [x[cell % x.len()], y[row % y.len()], z[row / y.len()]]
}

/// Distance from the border, of a line from its ends.
fn to_border(axes: [&[f64]; 3], at: [f64; 3]) -> f64 {
    let along = |axis: &[f64], at: f64| match axis {
        [first, .., last] => (at - first).min(last - at),
        _ => f64::INFINITY,
    };
    axes.into_iter().zip(at).map(|(axis, at)| along(axis, at)).fold(f64::INFINITY, f64::min)
}
