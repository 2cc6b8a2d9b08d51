//! What the architectures share that candle-transformers computes.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::config::ModelConfig;

/// The configuration as candle-transformers reads it, for so many tokens: it makes a row of sines and cosines for each position.
pub(super) fn told<T: DeserializeOwned>(config: &ModelConfig, tokens: usize) -> Result<T> {
    let mut json = config.json.clone();
    json.insert("max_position_embeddings".into(), tokens.into());
    serde_json::from_value(Value::Object(json)).map_err(candle_core::Error::wrap)
}

/// The same configuration with these values in its file, as candle-transformers asks for them.
pub(super) fn with(mut config: ModelConfig, values: Value) -> ModelConfig {
    if let Value::Object(values) = values {
        config.json.extend(values);
    }
    config
}

/// The weight that scores tokens: the token table, or its own.
pub(super) fn decoder(config: &ModelConfig, parameters: &VarBuilder) -> Result<Tensor> {
    let path = if config.tied { "model.embed_tokens" } else { config.architecture.decoder };
    parameters.get((config.vocab_size, config.hidden_size), &format!("{path}.weight"))
}
