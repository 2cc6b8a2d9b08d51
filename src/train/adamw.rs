//! AdamW (Loshchilov and Hutter 2019) as PyTorch runs it, and clipping to a global norm.
//!
//! `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
//! `θ ← θ - lr / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)`: betas 0.9 and 0.999, ε 1e-6, no weight decay
//! (definitions.md section 3).

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::params::{self, ParamMap};
use crate::stats;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f32 = 1e-6;

/// First and second moments by parameter.
pub struct AdamW {
    moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    steps: i32,
}

impl AdamW {
    /// Moments at zero.
    pub fn new(theta: &ParamMap) -> AdamW {
        let zeros = |n: usize| (vec![0f32; n], vec![0f32; n]);
        let moments = theta.iter().map(|(name, p)| (name.clone(), zeros(p.elem_count()))).collect();
        AdamW { moments, steps: 0 }
    }

    /// One step at learning rate `lr` along `scale` times the gradient, changing the variables of `theta` in place. A
    /// parameter without a gradient stays where it is.
    pub fn step(&mut self, theta: &ParamMap, gradient: &ParamMap, lr: f64, scale: f64) -> Result<()> {
        self.steps += 1;
        let step_size = (lr / (1.0 - BETA1.powi(self.steps))) as f32;
        let root = ((1.0 - BETA2.powi(self.steps)).sqrt()) as f32;
        self.moments.par_iter_mut().try_for_each(|(name, (m, v))| {
            let (Some(p), Some(gradient)) = (theta.get(name), gradient.get(name)) else { return Ok(()) };
            params::with_values(gradient, |gradient| {
                let scale = scale as f32;
                p.inplace_op1(&Step { moments: Mutex::new((m, v)), gradient, scale, step_size, root })
            })?
            .map_err(Into::into)
        })
    }
}

/// The update of one tensor.
struct Step<'a> {
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
    gradient: &'a [f32],
    scale: f32,
    step_size: f32,
    /// `sqrt(1 - β₂ᵗ)`
    root: f32,
}

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(theta) = storage else { candle_core::bail!("adamw expects float32 parameters") };
        let Ok(mut moments) = self.moments.lock() else { candle_core::bail!("adamw: poisoned lock") };
        let (m, v) = &mut *moments;
        let values = theta.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(self.gradient);
        let (b1, b2) = (BETA1 as f32, BETA2 as f32);
        // Rounded once: 1 - 0.999 in float32 is 1.3e-5 off.
        let (c1, c2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        for (((p, m), v), g) in values {
            let g = g * self.scale;
            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * (g * g);
            *p -= self.step_size * *m / (v.sqrt() / self.root + EPS);
        }
        Ok(())
    }
}

/// Global norm of a gradient, over all parameters.
pub fn norm(gradient: &ParamMap) -> Result<f64> {
    let square = |(_, g): (&String, &Tensor)| {
        params::with_values(g, |g| {
            let chunks: Vec<f64> = g.par_chunks(1 << 16).map(stats::sum_of_squares).collect();
            chunks.iter().sum::<f64>()
        })
    };
    let squares: Vec<f64> = gradient.iter().map(square).collect::<Result<_>>()?;
    Ok(squares.iter().sum::<f64>().sqrt())
}

/// What to scale a gradient of norm `norm` by so that its norm is at most `largest`, as PyTorch's `clip_grad_norm_`.
pub fn clip(norm: f64, largest: f64) -> f64 {
    (largest / (norm + 1e-6)).min(1.0)
}
