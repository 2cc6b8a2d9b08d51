//! AdamW of candle's operations, for every device: the arithmetic of [`adamw`](super::adamw), dense.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::adamw::{BETA1, BETA2, EPS, Rule};
use crate::error::Result;
use crate::model::gradient::Gradients;
use crate::params::{self, ParamMap};

/// First and second moments by parameter, on its device.
pub struct AdamW {
    moments: BTreeMap<String, [Tensor; 2]>,
    decay: f64,
    steps: i32,
}

impl AdamW {
    /// Moments at zero, for weight decay λ.
    pub fn new(theta: &ParamMap, decay: f64) -> Result<AdamW> {
        let zeros = |(name, p): (&String, &Tensor)| {
            let p = p.detach();
            Ok((name.clone(), [p.zeros_like()?, p.zeros_like()?]))
        };
        Ok(AdamW { moments: theta.iter().map(zeros).collect::<Result<_>>()?, decay, steps: 0 })
    }

    pub fn steps(&self) -> i32 {
        self.steps
    }

    pub fn moments(&self) -> Result<BTreeMap<&str, [Cow<'_, [f32]>; 2]>> {
        let copied = |t: &Tensor| params::with_values(t, |values| Cow::Owned(values.to_vec()));
        let both = |(name, [m, v]): (_, &[Tensor; 2])| Ok((name, [copied(m)?, copied(v)?]));
        self.moments.iter().map(|(name, own)| both((name.as_str(), own))).collect()
    }

    pub fn restore(&mut self, steps: i32, mut stored: BTreeMap<String, [Vec<f32>; 2]>) -> Result<()> {
        self.steps = steps;
        for (name, own) in &mut self.moments {
            let Some(stored) = stored.remove(name) else { continue };
            for (own, values) in own.iter_mut().zip(stored) {
                *own = Tensor::from_vec(values, own.dims(), own.device())?;
            }
        }
        Ok(())
    }

    /// As [`adamw::AdamW::step`](super::adamw::AdamW::step).
    pub fn step(&mut self, theta: &ParamMap, gradients: &Gradients, lr: f64, scale: f64) -> Result<()> {
        self.steps += 1;
        let (rule, kept) = (Rule::new(self.steps, lr, scale), 1.0 - lr * self.decay);
        for (name, moments) in &mut self.moments {
            let (Some(p), Some(gradient)) = (theta.get(name), gradients.get(name)) else { continue };
            let kept = if p.rank() > 1 { kept } else { 1.0 };
            let g = (gradient.dense()?.detach() * scale)?;
            let [m, v] = moments;
            *m = ((&*m * BETA1)? + (&g * (1.0 - BETA1))?)?;
            *v = ((&*v * BETA2)? + (g.sqr()? * (1.0 - BETA2))?)?;
            let root = v.sqrt()?.affine(1.0 / f64::from(rule.root), f64::from(EPS))?;
            let moved = ((p.detach() * kept)? - (&*m / root)? * f64::from(rule.step_size))?;
            Var::from_tensor(p)?.set(&moved)?;
        }
        Ok(())
    }
}
