//! AdamW (Loshchilov and Hutter 2019) as PyTorch runs it, and clipping to a global norm.
//!
//! `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
//! `θ ← θ - lr / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)`: betas 0.9 and 0.999, ε 1e-6, no weight decay
//! (definitions.md section 3).

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout};
use rayon::prelude::*;

use crate::error::Result;
use crate::params::ParamMap;

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

    /// One step at learning rate `lr`, changing the variables of `theta` in place. A parameter without a gradient
    /// stays where it is.
    pub fn step(&mut self, theta: &ParamMap, gradient: &BTreeMap<String, Vec<f32>>, lr: f64) -> Result<()> {
        self.steps += 1;
        let step_size = (lr / (1.0 - BETA1.powi(self.steps))) as f32;
        let root = ((1.0 - BETA2.powi(self.steps)).sqrt()) as f32;
        self.moments.par_iter_mut().try_for_each(|(name, (m, v))| {
            let (Some(p), Some(gradient)) = (theta.get(name), gradient.get(name)) else { return Ok(()) };
            Ok(p.inplace_op1(&Step { moments: Mutex::new((m, v)), gradient, step_size, root })?)
        })
    }
}

/// The update of one tensor.
struct Step<'a> {
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
    gradient: &'a [f32],
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
        for (((p, m), v), g) in values {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *p -= self.step_size * *m / (v.sqrt() / self.root + EPS);
        }
        Ok(())
    }
}

/// Scales a gradient to a global norm of at most `largest`, as PyTorch's `clip_grad_norm_` does, and gives the norm
/// it had.
pub fn clip(gradient: &mut BTreeMap<String, Vec<f32>>, largest: f64) -> Result<f64> {
    let squares: Vec<f64> =
        gradient.par_iter().map(|(_, g)| g.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()).collect();
    let norm = squares.iter().sum::<f64>().sqrt();
    let factor = largest / (norm + 1e-6);
    if factor < 1.0 {
        gradient.par_iter_mut().for_each(|(_, g)| g.iter_mut().for_each(|v| *v *= factor as f32));
    }
    Ok(norm)
}
