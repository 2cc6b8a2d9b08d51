//! What is shown and kept: figures, the files they are made of, provenance.

pub mod agreement_file;
pub(crate) mod canvas;
pub mod chart;
pub mod contour;
pub mod curves;
pub mod heat;
pub mod image;
pub mod interactive;
pub(crate) mod legend;
pub(crate) mod numbers;
pub mod page;
pub(crate) mod plot;
pub mod provenance;
pub mod rates;
pub mod relief;
pub mod surface_file;
mod template;
pub mod training;
