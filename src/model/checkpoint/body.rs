//! What computes a model's losses: the network, which knows their gradients, or candle-transformers.

use super::Model;
use crate::data::Example;
use crate::error::{Error, Result};
use crate::model::config::{Computed, ModelConfig};
use crate::model::forward::{self, Forward};
use crate::model::layout::Layout;
use crate::model::modules::Head;
use crate::model::network::Network;
use crate::model::objective::{Objective, Trainable, Wanted};
use crate::model::ops::{Backend, Precision};

/// A model without its parameters.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // a program has few models
pub enum Body {
    Network(Network),
    Forward(Forward),
}

impl Body {
    /// That of a configuration, with this head.
    ///
    /// # Errors
    ///
    /// candle's, where it cannot build one; [`Error::Field`] for products in bfloat16 of a model that candle-transformers computes.
    pub fn new(config: ModelConfig, head: Head, backend: Backend) -> Result<Body> {
        match config.architecture.computed {
            Computed::Here(modules) => {
                let modules = config.finished(modules(&config, head), head);
                Ok(Body::Network(Network::new(config, head, modules, backend)))
            }
            Computed::ByCandle(_) if backend == Backend::Composed(Precision::Bf16) => {
                let own = config.architecture.model_type;
                let sentence = format!(
                    "bf16 is not for a checkpoint whose `model_type` is `{own}`: candle-transformers computes it, in float32"
                );
                Err(Error::said("--precision", sentence, "leave out --precision"))
            }
            Computed::ByCandle(build) => Ok(Body::Forward(Forward::new(config, head, build, backend)?)),
        }
    }

    pub fn config(&self) -> &ModelConfig {
        match self {
            Body::Network(network) => &network.config,
            Body::Forward(forward) => &forward.config,
        }
    }

    /// What each of its parameters is.
    pub fn layout(&self) -> &Layout {
        match self {
            Body::Network(network) => &network.layout,
            Body::Forward(forward) => &forward.layout,
        }
    }
}

impl Model {
    /// Its losses, as a function of the parameters.
    pub fn objective(&self) -> &dyn Objective {
        match &self.body {
            Body::Network(network) => network,
            Body::Forward(forward) => forward,
        }
    }

    /// The network, for what needs gradients.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] where candle-transformers computes the losses.
    pub fn network(&self) -> Result<&Network> {
        match &self.body {
            Body::Network(network) => Ok(network),
            Body::Forward(forward) => {
                Err(forward::refused(self.place.display(), forward.config.architecture))
            }
        }
    }

    pub fn config(&self) -> &ModelConfig {
        self.body.config()
    }

    /// What each of its parameters is.
    pub fn layout(&self) -> &Layout {
        self.body.layout()
    }

    pub fn head(&self) -> Head {
        match &self.body {
            Body::Network(network) => network.head,
            Body::Forward(forward) => forward.head,
        }
    }

    /// As [`Trainable::activations`].
    pub fn activations(&self, examples: &[Example], most: usize, wanted: Wanted) -> usize {
        match &self.body {
            Body::Network(network) => network.activations(examples, most, wanted),
            Body::Forward(Forward { config, .. }) => {
                let longest = examples.iter().map(Example::size).max().unwrap_or(0);
                config.values_of_a_layer(most.max(longest), longest).iter().sum::<usize>() * size_of::<f32>()
            }
        }
    }
}
