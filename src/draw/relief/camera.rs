//! The orthographic projection of a box onto the sheet.
//!
//! The box's base is the square from (-1/2, -1/2) to (1/2, 1/2), whatever the spans of the directions; heights go up
//! from 0. The viewer is infinitely far away: all lines of sight are parallel to [`Camera::toward`].
//!
//! Used by everything in [`super`].

use super::View;
use crate::draw::canvas::Point;
use crate::error::{Error, Result};

/// A view, as unit vectors of the box.
pub(super) struct Camera {
    right: [f64; 3],
    down: [f64; 3],
    /// To the viewer.
    pub(super) toward: [f64; 3],
    /// The corner of the base nearest to the viewer, as signs of x and y; of two equally near the right one.
    pub(super) near: (f64, f64),
}

impl Camera {
    /// # Errors
    ///
    /// [`Error::Field`] for an angle that is not finite, or an elevation outside (0, 90): from the side a surface has
    /// no area, from above no height.
    pub(super) fn new(view: View) -> Result<Camera> {
        let View { azimuth, elevation } = view;
        if !azimuth.is_finite() {
            return Err(Error::field("view", "azimuth", "a finite number of degrees", azimuth, "try -60"));
        }
        if !(elevation > 0.0 && elevation < 90.0) {
            let fix = "try 30; a flat figure shows a surface from above";
            return Err(Error::field("view", "elevation", "between 0 and 90 degrees", elevation, fix));
        }
        // Multiples of 90 degrees shall be exact, so that an edge seen end-on is.
        let exact = |v: f64| if v.abs() < 1e-9 { 0.0 } else { v };
        let (sin, cos) = azimuth.rem_euclid(360.0).to_radians().sin_cos();
        let (sin, cos) = (exact(sin), exact(cos));
        let (up, flat) = elevation.to_radians().sin_cos();
        let sign = |v: f64, other: f64| if v == 0.0 { other.signum() } else { v.signum() };
        Ok(Camera {
            right: [-sin, cos, 0.0],
            down: [up * cos, up * sin, -flat],
            toward: [flat * cos, flat * sin, up],
            near: (sign(cos, -sin), sign(sin, cos)),
        })
    }

    /// Projection of a point of the box: to the right and down, the base's middle at (0, 0).
    pub(super) fn at(&self, p: [f64; 3]) -> Point {
        let dot = |v: &[f64; 3]| p[0] * v[0] + p[1] * v[1] + p[2] * v[2];
        (dot(&self.right), dot(&self.down))
    }

    /// Width of the box's projection.
    pub(super) fn width(&self) -> f64 {
        self.right[0].abs() + self.right[1].abs()
    }
}

/// A box on the sheet: the middle of its base at `origin`, its sides `side` pt long.
pub(super) struct Placed<'a> {
    pub(super) camera: &'a Camera,
    pub(super) origin: Point,
    pub(super) side: f64,
}

impl Placed<'_> {
    pub(super) fn at(&self, p: [f64; 3]) -> Point {
        let (x, y) = self.camera.at(p);
        (self.origin.0 + self.side * x, self.origin.1 + self.side * y)
    }
}
