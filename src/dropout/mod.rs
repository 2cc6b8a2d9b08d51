//! Dropout by named site: where it acts ([`places`]), how much ([`rates`], falling with the rank as [`shape`] says), which
//! site gets which of a schedule's rates ([`assignment`]), and with what noise ([`noise`]).

pub mod arm;
pub mod assignment;
pub mod noise;
pub mod places;
pub mod rates;
pub mod shape;

pub use arm::Arm;
pub use assignment::Assignment;
pub use noise::{Dropout, Noise};
pub use places::{LayerName, Place, Role};
pub use rates::Rates;
