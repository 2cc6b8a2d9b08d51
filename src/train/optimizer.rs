//! The optimizer that follows a backend's gradients: AdamW, in place where the operations are fused, and made of candle's operations
//! elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;

use super::adamw::{AdamW, BETA2};
use super::composed;
use crate::error::Result;
use crate::model::gradient::Gradients;
use crate::model::ops::Backend;
use crate::params::ParamMap;

/// AdamW on a backend.
pub enum Optimizer {
    /// Parameters and moments in place, on the CPU.
    Fused(AdamW),
    /// On the parameters' device.
    Composed(composed::AdamW),
}

/// First and second moments of a parameter, row-major.
pub type Moments<'a> = [Cow<'a, [f32]>; 2];

impl Optimizer {
    /// For these parameters with weight decay λ.
    pub fn new(backend: Backend, theta: &ParamMap, decay: f64) -> Result<Optimizer> {
        Ok(match backend {
            Backend::Fused => Optimizer::Fused(AdamW::new(theta, decay)),
            Backend::Composed(_) => Optimizer::Composed(composed::AdamW::new(theta, decay)?),
        })
    }

    /// As [`AdamW::step`].
    pub fn step(&mut self, theta: &ParamMap, gradients: &Gradients, lr: f64, scale: f64) -> Result<()> {
        match self {
            Optimizer::Fused(adamw) => adamw.step(theta, gradients, lr, scale),
            Optimizer::Composed(adamw) => adamw.step(theta, gradients, lr, scale),
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        match self {
            Optimizer::Fused(adamw) => adamw.steps(),
            Optimizer::Composed(adamw) => adamw.steps(),
        }
    }

    /// The moments by parameter. Those on a device are copied to the CPU.
    pub fn moments(&self) -> Result<BTreeMap<&str, Moments<'_>>> {
        match self {
            Optimizer::Fused(adamw) => {
                let lent = |(name, m, v)| (name, [Cow::Borrowed(m), Cow::Borrowed(v)]);
                Ok(adamw.moments().map(lent).collect())
            }
            Optimizer::Composed(adamw) => adamw.moments(),
        }
    }

    /// Puts stored moments back.
    pub fn restore(&mut self, steps: i32, stored: BTreeMap<String, [Vec<f32>; 2]>) -> Result<()> {
        match self {
            Optimizer::Fused(adamw) => {
                adamw.restore(steps, stored);
                Ok(())
            }
            Optimizer::Composed(adamw) => adamw.restore(steps, stored),
        }
    }

    /// The second moment without its bias, `v / (1 - β₂ᵗ)`: a mean of squared gradients of batches, the last ones weighing
    /// most. In the shapes of `theta`, on the CPU; `None` before the first step.
    pub fn mean_squares(&self, theta: &ParamMap) -> Result<Option<ParamMap>> {
        if self.steps() == 0 {
            return Ok(None);
        }
        let unbiased = 1.0 - BETA2.powi(self.steps());
        let moments = self.moments()?;
        let mean = |(name, p): (&String, &Tensor)| {
            let [_, second] = moments.get(name.as_str())?;
            let values: Vec<f32> = second.par_iter().map(|v| (f64::from(*v) / unbiased) as f32).collect();
            let mean = Tensor::from_vec(values, p.dims(), &candle_core::Device::Cpu);
            Some(mean.map(|mean| (name.clone(), mean)))
        };
        Ok(Some(theta.iter().filter_map(mean).collect::<candle_core::Result<ParamMap>>()?))
    }
}
