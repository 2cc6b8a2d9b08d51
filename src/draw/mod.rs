//! The drawing engine: sheets, axes, panels, keys and marks. It knows no Fisher information and no model.

pub(crate) mod canvas;
pub(crate) mod cells;
pub mod contour;
pub(crate) mod counts;
pub(crate) mod draws;
pub mod image;
pub(crate) mod legend;
pub mod marks;
pub(crate) mod numbers;
pub(crate) mod panels;
pub(crate) mod plot;
pub mod profile;
pub mod relief;
pub mod width;
