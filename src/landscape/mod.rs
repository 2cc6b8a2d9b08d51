//! Loss surfaces `L(a, b) = loss(θ + a d₁ + b d₂)` over a frozen set, and curvature (docs/definitions.md section 4).
//!
//! [`directions`] has a file for each source of directions; [`lanczos`] finds those of the Hessian; [`mask`] says which parameters may move, [`plane`] forms the points, [`surface`] evaluates, on a [`sample`] of the examples where that suffices, on more points where it bends ([`refine`]). [`rise`] and
//! [`sharpness`] (with [`mod@trace`]) compare models by how far their losses rise around them, [`damage`] parts of one model; [`prune`] orders parameters to do without. [`journal`] and [`basis`] keep what is done.

pub mod basis;
pub mod critical;
pub mod curvature;
pub mod damage;
pub mod directions;
pub mod journal;
pub mod lanczos;
pub mod layers;
pub mod mask;
pub mod plane;
pub mod prune;
pub mod refine;
pub mod rise;
pub mod sample;
pub mod sharpness;
pub mod space;
pub mod surface;
pub mod topology;
pub mod trace;

use std::collections::BTreeMap;

/// A direction: values in row-major order for each parameter that moves.
pub type Direction = BTreeMap<String, Vec<f32>>;
