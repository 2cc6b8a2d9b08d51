//! Loss surfaces `L(a, b) = loss(θ + a d₁ + b d₂)` over a frozen set (definitions.md section 4).
//!
//! [`direction`] makes the directions, [`mask`] says which parameters may move, [`plane`]
//! forms the points, [`surface`] evaluates, [`rise`] compares models by what their losses rise around them.

pub mod direction;
pub mod mask;
pub mod plane;
pub mod rise;
pub mod surface;
