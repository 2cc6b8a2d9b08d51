//! The drawing engine: sheets, axes, panels, keys and marks. It knows no Fisher information and no model.

pub(crate) mod axis;
pub(crate) mod canvas;
pub(crate) mod cells;
pub mod colour;
pub mod contour;
pub(crate) mod counts;
pub(crate) mod curves;
pub mod distance;
pub(crate) mod draws;
pub(crate) mod ends;
pub(crate) mod frame;
pub mod image;
pub(crate) mod legend;
pub mod marks;
pub(crate) mod numbers;
pub(crate) mod panels;
pub mod profile;
pub mod relief;
pub(crate) mod text;
pub mod width;

#[cfg(test)]
pub(crate) mod tests;
