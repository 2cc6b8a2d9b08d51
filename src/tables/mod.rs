//! The files of numbers that commands write and figures read.

pub mod agreement;
pub mod columns;
pub mod surface;
