//! Qwen3 (Yang et al. 2025): Qwen2 with norms of each head's queries and keys, and heads of a width of their own.

use candle_core::Result;
use candle_nn::VarBuilder;
use candle_transformers::models::qwen3::{Config, Model};
use serde_json::json;

use super::by_candle::{decoder, told, with};
use super::llama;
use crate::error;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::Head;
use crate::model::reading::Reading;

pub const QWEN3: Architecture = Architecture {
    model_type: "qwen3",
    read,
    computed: Computed::ByCandle(build),
    canonical: llama::canonical,
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["Qwen3ForCausalLM", "", "", ""],
};

fn read(source: &Source) -> error::Result<ModelConfig> {
    let mut config = llama::read(&QWEN3, source)?;
    config.heads.depth = source.some_width("head_dim")?.unwrap_or(128);
    let own = json!({
        "head_dim": config.heads.depth,
        "num_key_value_heads": config.heads.keys,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": llama::base(source, "rope_theta")?,
        "attention_bias": config.flag("attention_bias", false),
        "tie_word_embeddings": config.tied,
        "hidden_act": config.activation,
        // A model that slides takes no more tokens here than its window holds.
        "use_sliding_window": false,
        "max_window_layers": 0,
    });
    Ok(with(config, own))
}

fn build(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    let own: Config = told(config, tokens)?;
    let mut model = Model::new(&own, parameters.clone())?;
    let decoder = decoder(config, &parameters)?;
    Ok(Reading::Hidden { read: Box::new(move |ids| model.forward(ids, 0)), decoder })
}
