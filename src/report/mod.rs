//! What is shown and kept: figures, surface files, provenance.

pub(crate) mod canvas;
pub mod contour;
pub mod image;
pub mod provenance;
pub mod surface_file;
