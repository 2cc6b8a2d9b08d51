//! Dropout by named site: where it acts ([`site`]), how much ([`rates`], falling with the rank as [`shape`] says), which
//! site gets which of a schedule's rates ([`assignment`]), and with what noise ([`noise`]).

pub mod arm;
pub mod assignment;
pub mod noise;
pub mod rates;
pub mod shape;
pub mod site;

pub use arm::Arm;
pub use assignment::Assignment;
pub use noise::{Dropout, Noise};
pub use rates::Rates;
pub use site::Site;
