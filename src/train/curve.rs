//! A curve of low loss between two models: a quadratic Bézier curve whose middle point is trained (Garipov et al. 2018).
//!
//! `θ(t) = (1 - t)² a + 2 t (1 - t) c + t² b`. The point c minimises the mean loss over the curve: each step draws t from 0 to 1 and a
//! batch, and AdamW follows `∂L/∂c = 2 t (1 - t) ∂L/∂θ`. It begins in the middle of a and b, where the curve is the straight line.
//!
//! The trap: where the straight line has no barrier there is nothing to go around, and a curve that is longer is no better.

use candle_core::Tensor;

use super::Config;
use super::adamw::{clip, norm};
use super::batches::Order;
use super::optimizer::Optimizer;
use super::schedule::factor;
use crate::data::Example;
use crate::error::{Error, Result};
use crate::model::Trainable;
use crate::params::{self, ParamMap};
use crate::progress::Progress;
use crate::rng::Stream;

/// A curve from `a` to `b`.
pub struct Curve<'a> {
    pub a: &'a ParamMap,
    pub b: &'a ParamMap,
    /// The point that draws it aside.
    pub control: ParamMap,
}

impl<'a> Curve<'a> {
    /// The straight line.
    pub fn straight(a: &'a ParamMap, b: &'a ParamMap) -> Result<Curve<'a>> {
        let middle = |(name, a): (&String, &Tensor)| {
            let b = b.get(name).filter(|b| b.dims() == a.dims()).ok_or_else(|| {
                let fix = "connect models that were trained from the same one";
                Error::field("connect", name, "in both models, of one shape", "other", fix)
            })?;
            Ok((name.clone(), ((a + b)? * 0.5)?))
        };
        Ok(Curve { control: a.iter().map(middle).collect::<Result<_>>()?, a, b })
    }

    /// `θ(t)`
    pub fn at(&self, t: f64) -> Result<ParamMap> {
        let [first, middle, last] = [(1.0 - t).powi(2), 2.0 * t * (1.0 - t), t * t];
        let point = |(name, a): (&String, &Tensor)| {
            let (c, b) = (&self.control[name], &self.b[name]);
            Ok((name.clone(), (((a * first)? + (c * middle)?)? + (b * last)?)?))
        };
        self.a.iter().map(point).collect()
    }

    /// Trains the control point on these examples.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if a loss or gradient stops being finite.
    pub fn train(&mut self, network: &dyn Trainable, examples: &[Example], config: &Config) -> Result<()> {
        let control = params::variables(&self.control)?;
        let mut optimizer = Optimizer::new(network.backend(), &control, 0.0);
        let mut order = Order::new(examples, config.batch, config.seed);
        let place = Stream::new(config.seed, "connect/t");
        let progress = Progress::new("connecting (steps)", config.steps);
        for step in 0..config.steps {
            let t = place.uniform(step as u64);
            self.control = params::detached(&control);
            let theta = params::into_variables(self.at(t)?)?;
            let batch: Vec<&Example> = order.at(step).into_iter().map(|n| &examples[n]).collect();
            let (loss, gradient) = super::gradient(network, &theta, &batch, None)?;
            let length = norm(&gradient)?;
            if !(loss.is_finite() && length.is_finite()) {
                let found = format!("loss {loss}, gradient norm {length} at step {step}");
                return Err(Error::field("connect", "loss and gradient", "finite", found, super::DIVERGED));
            }
            let lr = config.lr * factor(step, 0, config.steps);
            optimizer.step(&control, &gradient, lr, 2.0 * t * (1.0 - t) * clip(length, config.clip))?;
            progress.remark(format!("loss {loss:.4}"));
            progress.advance(1);
        }
        self.control = params::detached(&control);
        Ok(())
    }
}
