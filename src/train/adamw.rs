//! AdamW (Loshchilov and Hutter 2019) as PyTorch runs it, and clipping to a global norm.
//!
//! `θ ← (1 - lr λ) θ`, `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
//! `θ ← θ - lr / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)`: betas 0.9 and 0.999, ε 1e-6 (docs/definitions.md section 3).
//! The weight decay λ acts on matrices and tables; biases and LayerNorm vectors, the parameters with one axis, are
//! never decayed.
//!
//! A row of a table that no batch has used yet has zero moments, so its step is exactly zero and is not computed. The
//! trap: a row used earlier still moves by its fading moments in every later step.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::model::gradient::{Gradient, Gradients};
use crate::params::{self, ParamMap};
use crate::vectorized::vectorized;

pub const BETA1: f64 = 0.9;
pub const BETA2: f64 = 0.999;
pub const EPS: f32 = 1e-6;

/// Values of a task of the dense update.
const CHUNK: usize = 1 << 14;

/// First and second moments by parameter.
pub struct AdamW {
    moments: BTreeMap<String, Moments>,
    decay: f64,
    steps: i32,
}

/// The moments of one parameter.
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
    /// Of each row, whether a sparse gradient has reached it.
    reached: Vec<bool>,
    decays: bool,
}

impl AdamW {
    /// Moments at zero, for weight decay λ.
    pub fn new(theta: &ParamMap, decay: f64) -> AdamW {
        let zeros = |p: &Tensor| Moments {
            first: vec![0f32; p.elem_count()],
            second: vec![0f32; p.elem_count()],
            reached: vec![false; p.dims().first().copied().unwrap_or(0)],
            decays: decay > 0.0 && p.rank() > 1,
        };
        AdamW { moments: theta.iter().map(|(name, p)| (name.clone(), zeros(p))).collect(), decay, steps: 0 }
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// First and second moments by parameter.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &[f32], &[f32])> {
        self.moments.iter().map(|(name, m)| (name.as_str(), m.first.as_slice(), m.second.as_slice()))
    }

    /// Puts stored moments back. Rows that are zero in both count as not reached: their next step is the same.
    pub fn restore(&mut self, steps: i32, mut stored: BTreeMap<String, [Vec<f32>; 2]>) {
        self.steps = steps;
        for (name, moments) in &mut self.moments {
            let Some([first, second]) = stored.remove(name) else { continue };
            let width = first.len() / moments.reached.len().max(1);
            let rows = first.chunks(width.max(1)).zip(second.chunks(width.max(1)));
            moments.reached = rows.map(|(m, v)| m.iter().chain(v).any(|x| *x != 0.0)).collect();
            (moments.first, moments.second) = (first, second);
        }
    }

    /// One step at learning rate `lr` along `scale` times the gradient, changing the variables of `theta` in place. A
    /// parameter without a gradient stays where it is.
    pub fn step(&mut self, theta: &ParamMap, gradients: &Gradients, lr: f64, scale: f64) -> Result<()> {
        self.steps += 1;
        let rule = Rule::new(self.steps, lr, scale);
        let kept = (1.0 - lr * self.decay) as f32;
        self.moments.par_iter_mut().try_for_each(|(name, moments)| {
            let (Some(p), Some(gradient)) = (theta.get(name), gradients.get(name)) else { return Ok(()) };
            let rule = if moments.decays { Rule { kept, ..rule } } else { rule };
            Ok(p.inplace_op1(&Step { moments: Mutex::new(moments), gradient, rule })?)
        })
    }
}

/// The coefficients of a step.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    scale: f32,
    /// `lr / (1 - β₁ᵗ)`
    pub step_size: f32,
    /// `sqrt(1 - β₂ᵗ)`
    pub root: f32,
    /// `1 - lr λ`
    kept: f32,
}

impl Rule {
    /// Of step number `t`, counted from 1, without decay.
    pub fn new(t: i32, lr: f64, scale: f64) -> Rule {
        Rule {
            scale: scale as f32,
            step_size: (lr / (1.0 - BETA1.powi(t))) as f32,
            root: ((1.0 - BETA2.powi(t)).sqrt()) as f32,
            kept: 1.0,
        }
    }
}

vectorized! {
    fn apply(rule: Rule, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        let (b1, b2) = (BETA1 as f32, BETA2 as f32);
        // Rounded once: 1 - 0.999 in float32 is 1.3e-5 off.
        let (c1, c2) = ((1.0 - BETA1) as f32, (1.0 - BETA2) as f32);
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * rule.scale;
            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * (g * g);
            *p = *p * rule.kept - rule.step_size * *m / (v.sqrt() / rule.root + EPS);
        }
    }
}

/// The update of one tensor.
struct Step<'a> {
    moments: Mutex<&'a mut Moments>,
    gradient: &'a Gradient,
    rule: Rule,
}

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(theta) = storage else { candle_core::bail!("adamw expects float32 parameters") };
        let Ok(mut moments) = self.moments.lock() else { candle_core::bail!("adamw: poisoned lock") };
        let Moments { first, second, reached, decays } = &mut **moments;
        let chunk = match self.gradient {
            Gradient::Dense(_) => CHUNK,
            Gradient::Rows { shape, .. } => shape.1,
        };
        let parts = theta.par_chunks_mut(chunk).zip(first.par_chunks_mut(chunk));
        let parts = parts.zip(second.par_chunks_mut(chunk));
        match self.gradient {
            Gradient::Dense(g) => {
                let apply = |g: &[f32]| {
                    let parts = parts.zip(g.par_chunks(CHUNK));
                    parts.for_each(|(((p, m), v), g)| apply(self.rule, p, m, v, g));
                };
                params::with_values(g, apply).map_err(|e| candle_core::Error::Msg(e.to_string()))
            }
            Gradient::Rows { shape: (_, width), rows } => {
                rows.ids.iter().for_each(|id| reached[*id as usize] = true);
                let zeros = vec![0f32; *width];
                let moving = reached.par_iter().enumerate().with_min_len(64).zip(parts);
                moving.filter(|((_, reached), _)| **reached || *decays).for_each(|((id, _), ((p, m), v))| {
                    let at = rows.ids.binary_search(&(id as u32));
                    let g = at.map_or(zeros.as_slice(), |at| &rows.rows[at * width..][..*width]);
                    apply(self.rule, p, m, v, g);
                });
                Ok(())
            }
        }
    }
}

/// Global norm of a gradient, over all parameters.
pub fn norm(gradients: &Gradients) -> Result<f64> {
    let squares: Vec<f64> = gradients.values().map(Gradient::sum_of_squares).collect::<Result<_>>()?;
    Ok(squares.iter().sum::<f64>().sqrt())
}

/// What to scale a gradient of norm `norm` by so that its norm is at most `largest`, as PyTorch's `clip_grad_norm_`.
pub fn clip(norm: f64, largest: f64) -> f64 {
    (largest / (norm + 1e-6)).min(1.0)
}
