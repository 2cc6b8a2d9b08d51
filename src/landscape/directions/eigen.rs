//! The two leading eigenvectors of the Hessian, as `sharpness` finds them.

use super::Direction;
use crate::landscape::space::Space;
use crate::params::ParamMap;

/// Both at the distance at which the parabola along the first has risen by 1, in the loss; and that distance.
pub fn pair(vectors: &[Vec<f32>], first: f64, space: &Space, theta: &ParamMap) -> ([Direction; 2], f64) {
    let length = (2.0 / first.abs()).sqrt();
    let mut pair = vectors.iter().map(|v| space.direction(v, length, theta));
    ([pair.next().unwrap_or_default(), pair.next().unwrap_or_default()], length)
}
