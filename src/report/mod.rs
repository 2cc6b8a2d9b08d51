//! What is shown and kept: figures, the files they are made of, provenance.

pub mod agreement_file;
pub(crate) mod canvas;
pub mod contour;
pub mod curves;
pub mod image;
pub mod interactive;
pub mod page;
pub mod provenance;
pub mod relief;
pub mod surface_file;
