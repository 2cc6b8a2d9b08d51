//! Gradients by parameter: dense, or the rows of a table that a batch uses.
//!
//! A batch of a few hundred words reaches a few hundred rows of an embedding table of thirty thousand; the gradient of
//! the others is exactly zero, and is neither stored nor looked at. A table that also decodes (masked LM) has a dense
//! gradient.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
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
            // Row by row first: float32 sums of few hundred values.
            Gradient::Dense(g) if !g.device().is_cpu() => {
                let rows = g.sqr()?.sum(D::Minus1)?;
                params::with_values(&rows, |rows| rows.iter().map(|sum| f64::from(*sum)).sum())
            }
            Gradient::Dense(g) => {
                let width = g.dims().last().copied().unwrap_or(1);
                params::with_values(g, |g| by_row(g, width))
            }
            Gradient::Rows { shape, rows } => Ok(by_row(&rows.rows, shape.1)),
        }
    }
}

/// The sum of gradients of the same parameters, those of a step's parts.
pub fn add(sum: Gradients, mut more: Gradients) -> Result<Gradients> {
    let mut both = |name: String, own: Gradient| {
        let total = match (own, more.remove(&name)) {
            (own, None) => own,
            (Gradient::Rows { shape, rows: a }, Some(Gradient::Rows { rows: b, .. })) => {
                let (ids, values) = ([a.ids, b.ids].concat(), [a.rows, b.rows].concat());
                Gradient::Rows { shape, rows: SparseRows::new(&ids, &values, shape.1) }
            }
            (own, Some(other)) => Gradient::Dense((own.dense()? + other.dense()?)?),
        };
        Ok((name, total))
    };
    let mut total = sum.into_iter().map(|(name, own)| both(name, own)).collect::<Result<Gradients>>()?;
    total.append(&mut more);
    Ok(total)
}

/// Every gradient with its parameter's shape.
pub fn dense(gradients: &Gradients) -> Result<ParamMap> {
    gradients.iter().map(|(name, g)| Ok((name.clone(), g.dense()?))).collect()
}
