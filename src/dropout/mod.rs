//! Dropout by named site: where it acts ([`site`]), how much ([`rates`]), and with what noise ([`noise`]).

pub mod noise;
pub mod rates;
pub mod site;

pub use noise::{Dropout, Noise};
pub use rates::Rates;
pub use site::Site;
