//! The optimizer that follows a backend's gradients: AdamW, ours where the operations are fused, candle-nn's elsewhere.

use candle_core::{Device, Tensor, Var, backprop::GradStore};
use candle_nn::{Optimizer as _, ParamsAdamW};

use super::adamw::{AdamW, BETA1, BETA2, EPS};
use crate::error::Result;
use crate::model::gradient::Gradients;
use crate::model::ops::Backend;
use crate::params::ParamMap;

/// AdamW on a backend.
pub enum Optimizer {
    /// Parameters and moments in place, on the CPU; a killed run resumes with its moments.
    Fused(AdamW),
    /// On the parameters' device; its moments are not kept.
    Composed(Composed),
}

impl Optimizer {
    /// For these parameters with weight decay λ.
    pub fn new(backend: Backend, theta: &ParamMap, decay: f64) -> Optimizer {
        match backend {
            Backend::Fused => Optimizer::Fused(AdamW::new(theta, decay)),
            Backend::Composed => Optimizer::Composed(Composed { decay, groups: None }),
        }
    }

    /// As [`AdamW::step`].
    pub fn step(&mut self, theta: &ParamMap, gradients: &Gradients, lr: f64, scale: f64) -> Result<()> {
        match self {
            Optimizer::Fused(adamw) => adamw.step(theta, gradients, lr, scale),
            Optimizer::Composed(composed) => composed.step(theta, gradients, lr, scale),
        }
    }
}

/// candle-nn's AdamW: once for the parameters that decay, once for the others.
pub struct Composed {
    decay: f64,
    /// From the first step on, when the parameters are variables.
    groups: Option<[candle_nn::AdamW; 2]>,
}

impl Composed {
    fn step(&mut self, theta: &ParamMap, gradients: &Gradients, lr: f64, scale: f64) -> Result<()> {
        let groups = match &mut self.groups {
            Some(groups) => groups,
            none => none.insert(Self::groups(theta, self.decay)?),
        };
        let mut store = empty_store()?;
        for (name, gradient) in gradients {
            store.insert(&theta[name], (gradient.dense()? * scale)?);
        }
        for group in groups {
            group.set_learning_rate(lr);
            group.step(&store)?;
        }
        Ok(())
    }

    fn groups(theta: &ParamMap, decay: f64) -> Result<[candle_nn::AdamW; 2]> {
        let group = |decays: bool| {
            let members = theta.values().filter(|p: &&Tensor| (p.rank() > 1) == decays);
            let vars = members.map(Var::from_tensor).collect::<candle_core::Result<Vec<Var>>>()?;
            let weight_decay = if decays { decay } else { 0.0 };
            // The learning rate is set in every step.
            let params =
                ParamsAdamW { lr: 0.0, beta1: BETA1, beta2: BETA2, eps: f64::from(EPS), weight_decay };
            candle_nn::AdamW::new(vars, params)
        };
        Ok([group(true)?, group(false)?])
    }
}

/// candle makes a store of gradients by a backward pass alone.
fn empty_store() -> Result<GradStore> {
    Ok(Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?.backward()?)
}
