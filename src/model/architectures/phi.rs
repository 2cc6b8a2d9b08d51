//! Phi (1, 1.5 and 2) and Phi-3 (2024): attention and feed-forward side by side with biases everywhere; and a Llama whose maps to
//! queries, keys and values are one, as are the gate and what it gates.

use candle_core::Result;
use candle_nn::VarBuilder;
use candle_transformers::models::{phi, phi3};
use serde_json::json;

use super::by_candle::{told, with};
use super::{bert, llama};
use crate::error;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::Head;
use crate::model::reading::Reading;

pub const PHI: Architecture = Architecture {
    model_type: "phi",
    read: |source| {
        source.only("tie_word_embeddings", false, FIX)?;
        // Its norms of queries and keys are over whole rows in candle, and over heads in transformers.
        source.only("qk_layernorm", false, FIX)?;
        let eps = source.number_or("layer_norm_eps", 1e-5)?;
        let config = ModelConfig { norm_eps: eps, ..read(&PHI, source, 0.5, "gelu_new")? };
        Ok(with(config, json!({"layer_norm_eps": eps, "qk_layernorm": false})))
    },
    computed: Computed::ByCandle(phi),
    canonical: |stored| bert::prefixed("model", &["embed_tokens", "layers", "final_layernorm"], stored),
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["PhiForCausalLM", "", "", ""],
};

pub const PHI3: Architecture = Architecture {
    model_type: "phi3",
    read: |source| {
        let eps = source.number_or("rms_norm_eps", 1e-5)?;
        let config = ModelConfig { norm_eps: eps, ..read(&PHI3, source, 1.0, "silu")? };
        Ok(with(config, json!({"rms_norm_eps": eps, "rope_scaling": null})))
    },
    computed: Computed::ByCandle(phi3),
    canonical: llama::canonical,
    classes: ["Phi3ForCausalLM", "", "", ""],
    ..PHI
};

const FIX: &str = "use a checkpoint of Phi that candle-transformers computes as transformers does";

/// `turned`: the part of each head that positions turn, where the file says nothing.
fn read(
    architecture: &'static Architecture,
    source: &Source,
    turned: f64,
    activation: &str,
) -> error::Result<ModelConfig> {
    let config = llama::read(architecture, source)?;
    let today = source.json.get("rope_parameters").and_then(|own| own.get("partial_rotary_factor")?.as_f64());
    let turned = today.map_or_else(|| source.number_or("partial_rotary_factor", turned), Ok)?;
    if !(0.0..=1.0).contains(&turned) {
        return Err(source.wrong("partial_rotary_factor", "from 0 to 1", turned, FIX));
    }
    let own = json!({
        "num_key_value_heads": config.heads.keys,
        "rope_theta": llama::base(source, "rope_theta")?,
        "partial_rotary_factor": turned,
        "tie_word_embeddings": config.tied,
        "hidden_act": source.activation("hidden_act", activation)?,
    });
    Ok(with(config, own))
}

fn phi(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    let own: phi::Config = told(config, tokens)?;
    let mut model = phi::Model::new(&own, parameters)?;
    Ok(Reading::Steps(Box::new(move |ids, _| model.forward(ids))))
}

fn phi3(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    let own: phi3::Config = told(config, tokens)?;
    let mut model = phi3::Model::new(&own, parameters)?;
    Ok(Reading::Steps(Box::new(move |ids, at| model.forward(ids, at))))
}
