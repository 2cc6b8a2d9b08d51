//! Gradients by parameter: dense, or the rows of a table that a batch uses.
//!
//! A batch of a few hundred words reaches a few hundred rows of an embedding table of thirty thousand; the gradient of
//! the others is exactly zero, and is neither stored nor looked at. A table that also decodes (masked LM) has a dense
//! gradient.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::ops::SparseRows;
use crate::error::Result;
use crate::params::{self, ParamMap};
use crate::stats;

/// The gradient of one parameter.
pub enum Gradient {
    /// Of the parameter's shape.
    Dense(Tensor),
    /// Of a table of this shape `[V, H]`: rows by ascending id, zero elsewhere.
    Rows { shape: (usize, usize), rows: SparseRows },
}

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Gradient>;

impl Gradient {
    /// The whole gradient, of the parameter's shape.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            Gradient::Dense(g) => Ok(g.clone()),
            Gradient::Rows { shape: (height, width), rows } => {
                let mut values = vec![0f32; height * width];
                for (id, row) in rows.ids.iter().zip(rows.rows.chunks_exact(*width)) {
                    values[*id as usize * width..][..*width].copy_from_slice(row);
                }
                Ok(Tensor::from_vec(values, (*height, *width), &Device::Cpu)?)
            }
        }
    }

    /// Sum of squares, in float64. Rows are summed one by one and then in order, so that leaving out rows of zeros
    /// changes no bit.
    pub fn sum_of_squares(&self) -> Result<f64> {
        let by_row = |values: &[f32], width: usize| -> f64 {
            let rows = values.par_chunks(width.max(1)).with_min_len(64);
            rows.map(stats::sum_of_squares).collect::<Vec<f64>>().into_iter().sum()
        };
        match self {
            Gradient::Dense(g) => {
                let width = g.dims().last().copied().unwrap_or(1);
                params::with_values(g, |g| by_row(g, width))
            }
            Gradient::Rows { shape, rows } => Ok(by_row(&rows.rows, shape.1)),
        }
    }
}

/// Every gradient with its parameter's shape.
pub fn dense(gradients: &Gradients) -> Result<ParamMap> {
    gradients.iter().map(|(name, g)| Ok((name.clone(), g.dense()?))).collect()
}
