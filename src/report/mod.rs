//! What is shown and kept: figures, the files they are made of, provenance.

pub mod agreement_file;
pub(crate) mod canvas;
pub mod chart;
pub mod contour;
pub(crate) mod counts;
pub mod curves;
pub(crate) mod draws;
pub mod heat;
pub mod image;
pub mod interactive;
pub(crate) mod legend;
pub mod marks;
pub(crate) mod numbers;
pub mod page;
pub(crate) mod plot;
pub mod profile;
pub mod provenance;
pub mod rates;
pub mod relief;
pub mod spectrum;
pub mod surface_file;
mod template;
pub mod training;
pub mod width;
