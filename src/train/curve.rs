//! A curve of low loss between two models: a quadratic Bézier curve whose middle point is trained (Garipov et al. 2018).
//!
//! `θ(t) = (1 - t)² a + 2 t (1 - t) c + t² b`. The point c minimises the mean loss over the curve: each step draws t from 0 to 1 and a
//! batch, and AdamW follows `∂L/∂c = 2 t (1 - t) ∂L/∂θ`. It begins in the middle of a and b, where the curve is the straight line.
//!
//! A killed training resumes from its last [`State`].
//!
//! The trap: where the straight line has no barrier there is nothing to go around, and a curve that is longer is no better.

use std::path::Path;

use candle_core::Tensor;

use super::Config;
use super::adamw::{clip, norm};
use super::batches::Order;
use super::optimizer::Optimizer;
use super::schedule::factor;
use super::state::{Standing, State};
use crate::data::Example;
use crate::error::{Error, Result};
use crate::model::Trainable;
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress};
use crate::rng::Stream;
use crate::stop;

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

    /// Trains the control point on these examples. `state` is the file from which a killed training resumes, to the same bytes; the caller removes it
    /// once the results are written.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if a loss or gradient stops being finite, [`Error::Stopped`] if a signal asked for an end.
    pub fn train(
        &mut self,
        network: &dyn Trainable,
        examples: &[Example],
        config: &Config,
        state: &Path,
    ) -> Result<()> {
        let text = format!("curve {:?}", (network.identity(), config));
        let mut state = State::of(state, &text, &[self.a, self.b], &[examples])?;
        let mut optimizer = Optimizer::new(network.backend(), &self.control, 0.0)?;
        let resumed = state.resume(config.steps, &mut self.control, &mut optimizer)?;
        if let Some(at) = &resumed {
            progress::note(format!("resuming after {} of {} steps", at.step, config.steps));
        }
        let mut at = resumed.unwrap_or(Standing { step: 0, history: Vec::new(), sum: 0.0, count: 0 });
        let control = params::variables(&self.control)?;
        let mut order = Order::new(examples, config.batch, config.seed);
        let place = Stream::new(config.seed, "connect/t");
        let progress = Progress::new("connecting (steps)", config.steps - at.step);
        let _looking = stop::Looking::begin();
        while at.step < config.steps {
            let t = place.uniform(at.step as u64);
            self.control = params::detached(&control);
            let theta = params::into_variables(self.at(t)?)?;
            let batch: Vec<&Example> = order.at(at.step).into_iter().map(|n| &examples[n]).collect();
            let (loss, gradient) = super::gradient(network, &theta, &batch, None)?;
            let length = norm(&gradient)?;
            if !(loss.is_finite() && length.is_finite()) {
                let found = format!("loss {loss}, gradient norm {length} at step {}", at.step);
                return Err(Error::field("connect", "loss and gradient", "finite", found, super::DIVERGED));
            }
            let lr = config.lr * factor(at.step, 0, config.steps);
            optimizer.step(&control, &gradient, lr, 2.0 * t * (1.0 - t) * clip(length, config.clip))?;
            at.step += 1;
            progress.remark(format!("loss {loss:.4}"));
            progress.advance(1);
            let last = at.step == config.steps;
            match at.step {
                // No row of a history says when to save first.
                1 if !last => state.write(&control, &optimizer, &at)?,
                _ if !last => state.save(&control, &optimizer, &at)?,
                _ => {}
            }
            if !last && stop::asked() {
                state.write(&control, &optimizer, &at)?;
                return Err(Error::Stopped);
            }
        }
        self.control = params::detached(&control);
        Ok(())
    }
}
