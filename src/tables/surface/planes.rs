//! The three central planes of a volume: at 0 on one axis each, so that the model lies in all of them.

use std::path::Path;

use super::Grid;
use crate::error::{Error, Result};

/// A plane through a volume.
pub struct Plane {
    /// The names of its axes, and that of the one on which it lies at 0.
    pub axes: [&'static str; 2],
    pub normal: &'static str,
    pub grid: Grid,
}

/// Axes by number: along the plane, inner and outer, and across it.
const PLANES: [[usize; 3]; 3] = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
const NAMES: [&str; 3] = ["x", "y", "z"];

/// The planes xy, xz and yz through the centre of the volume that was read from `path`.
///
/// # Errors
///
/// [`Error::Field`] where an axis has no coordinate 0: a plane beside the model is not one around it.
pub fn central(grid: &Grid, path: &Path) -> Result<[Plane; 3]> {
    let axes = grid.axes();
    for (name, axis) in NAMES.iter().zip(axes) {
        if !axis.contains(&0.0) {
            let fix = "make the volume with an odd --resolution and a --span around 0, or open it as .vti in ParaView";
            return Err(Error::field(path.display(), name, "a plane at 0", "none", fix));
        }
    }
    let strides = [1, axes[0].len(), axes[0].len() * axes[1].len()];
    Ok(PLANES.map(|[inner, outer, normal]| {
        let at = axes[normal].iter().position(|v| *v == 0.0).unwrap_or(0) * strides[normal];
        let row =
            |o: usize| (0..axes[inner].len()).map(move |i| at + o * strides[outer] + i * strides[inner]);
        let places: Vec<usize> = (0..axes[outer].len()).flat_map(row).collect();
        let of = |values: &[f64]| places.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let columns = grid.columns.iter().map(|(name, values)| (name.clone(), of(values))).collect();
        Plane {
            axes: [NAMES[inner], NAMES[outer]],
            normal: NAMES[normal],
            grid: Grid {
                x: axes[inner].to_vec(),
                y: axes[outer].to_vec(),
                z: None,
                loss: of(&grid.loss),
                columns,
                ..grid.clone()
            },
        }
    }))
}
