//! Directions in parameter space: a pair spans the plane of a surface.
//!
//! Each source has a file, and those that `directions --kind` makes a line in [`ALL`]. Eigenvectors come from `sharpness`
//! ([`eigen`]), directions of one's own from a file ([`mod@file`]).

pub mod between;
pub mod eigen;
pub mod file;
pub mod gaussian;
pub mod gradient;
pub mod principal;

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::Direction;
use super::space::dot;
use crate::data::Example;
use crate::error::Result;
use crate::model::Objective;
use crate::params::ParamMap;
pub use gaussian::Normalize;

/// What `directions --kind` can make.
pub const ALL: [Source; 4] = [gaussian::GAUSSIAN, between::BETWEEN, principal::PRINCIPAL, gradient::GRADIENT];

/// Where a pair of directions comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// As on the command line.
    pub name: &'static str,
    /// The words of the axes of a surface.
    pub axes: [&'static str; 2],
    /// Whether it needs other models (`--to`).
    pub between: bool,
    /// Whether it needs the snapshots of a training run (`--trajectory`).
    pub along: bool,
    /// Whether its lengths are scaled to the weights (`--normalize`, `--vectors`).
    pub scales: bool,
    pub make: fn(&Inputs) -> Result<Directions>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(name: &str) -> Result<Source, String> {
        let expected = || format!("expected {}", ALL.map(|source| source.name).join(", "));
        ALL.into_iter().find(|source| source.name == name).ok_or_else(expected)
    }
}

/// What a source may use.
pub struct Inputs<'a> {
    pub objective: &'a dyn Objective,
    /// (0, 0).
    pub theta: &'a ParamMap,
    pub examples: &'a [Example],
    pub normalize: Normalize,
    /// Whether biases and norms move too, where they would not.
    pub vectors: bool,
    pub seed: u64,
    /// What the model at (0, 0) is called.
    pub origin: String,
    /// Models to go to, with their names.
    pub models: Vec<(String, ParamMap)>,
    /// Parameters along a training run, by step.
    pub snapshots: Vec<(usize, PathBuf)>,
}

impl Inputs<'_> {
    /// The mark of a plane in which no other model lies.
    fn origin_alone(&self) -> Vec<Mark> {
        vec![Mark { label: self.origin.clone(), x: 0.0, y: 0.0, order: None, distance: 0.0 }]
    }
}

/// A model in the plane: a row of `DIRECTIONS.marks.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What it is called; empty for a snapshot.
    pub label: String,
    /// Its place along the first direction, in lengths of that direction.
    pub x: f64,
    /// Its place along the second.
    pub y: f64,
    /// Training step of a snapshot; empty for a model.
    pub order: Option<usize>,
    /// How far it lies off the plane, in the unit of x and y.
    pub distance: f64,
}

/// A pair of directions (the second may be empty), and what lies where.
#[derive(Clone, Debug)]
pub struct Directions {
    pub pair: [Direction; 2],
    pub marks: Vec<Mark>,
    /// `‖d‖` of each, in the unit of the parameters.
    pub lengths: [f64; 2],
    /// Share of the snapshots' variance along each.
    pub explained: Option<[f64; 2]>,
}

/// `aᵀb`, tensor by tensor.
fn inner(a: &Direction, b: &Direction) -> f64 {
    a.iter().filter_map(|(name, a)| Some(dot(a, b.get(name)?))).sum()
}

/// `‖d‖` over all tensors.
fn length(direction: &Direction) -> f64 {
    inner(direction, direction).sqrt()
}

/// Euclidean norm, summed in f64 in index order.
pub fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// BLAKE3 over names and values: surfaces along the same directions have it in common.
pub fn hash(directions: &[Direction]) -> String {
    let mut hash = blake3::Hasher::new();
    for (axis, direction) in directions.iter().enumerate() {
        for (name, values) in direction {
            hash.update(format!("{axis}.{name}").as_bytes());
            let mut bytes = Vec::with_capacity(1 << 16);
            for part in values.chunks(1 << 14) {
                bytes.clear();
                bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
                hash.update(&bytes);
            }
        }
    }
    hash.finalize().to_hex().to_string()
}
