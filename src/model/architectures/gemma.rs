//! Gemma (2024), Gemma 2 (2024) and the text models of Gemma 3 (2025): RMSNorm whose factors are stored less 1, embeddings that are
//! scaled by the root of the width, the token table as the decoder.
//!
//! Windows of Gemma 2 and 3 count as none up to as many tokens as they hold, and a model takes no more here.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma, gemma2, gemma3};
use serde_json::{Value, json};

use super::by_candle::{decoder, told, with};
use super::llama;
use crate::error;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::Head;
use crate::model::reading::Reading;

pub const GEMMA: Architecture = Architecture {
    model_type: "gemma",
    read: |source| read(&GEMMA, source, "hidden_act"),
    computed: Computed::ByCandle(first),
    canonical: llama::canonical,
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["GemmaForCausalLM", "", "", ""],
};

pub const GEMMA2: Architecture = Architecture {
    model_type: "gemma2",
    read: |source| read(&GEMMA2, source, "hidden_activation"),
    computed: Computed::ByCandle(second),
    classes: ["Gemma2ForCausalLM", "", "", ""],
    ..GEMMA
};

pub const GEMMA3: Architecture = Architecture {
    model_type: "gemma3_text",
    read: third_config,
    computed: Computed::ByCandle(third),
    classes: ["Gemma3ForCausalLM", "", "", ""],
    ..GEMMA
};

const FIX: &str = "use a checkpoint of Gemma that candle-transformers computes as transformers does";

fn read(
    architecture: &'static Architecture,
    source: &Source,
    activation: &str,
) -> error::Result<ModelConfig> {
    source.only("tie_word_embeddings", true, FIX)?;
    source.only("use_bidirectional_attention", false, FIX)?;
    let config = llama::read(architecture, source)?;
    let depth = source.some_width("head_dim")?.unwrap_or(256);
    // Scores are divided by the root of this; candle divides by that of the heads' width.
    source.only("query_pre_attn_scalar", depth, FIX)?;
    let mut config = ModelConfig { tied: true, ..config };
    config.heads.depth = depth;
    let own = json!({
        "head_dim": depth,
        "num_key_value_heads": config.heads.keys,
        "query_pre_attn_scalar": depth,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": llama::base(source, "rope_theta")?,
        "attention_bias": config.flag("attention_bias", false),
        "hidden_act": null,
        "hidden_activation": source.activation(activation, "gelu_pytorch_tanh")?,
    });
    Ok(with(config, own))
}

/// Layers of Gemma 3 see a window but one in every so many, and turn by another base there.
fn third_config(source: &Source) -> error::Result<ModelConfig> {
    let base = |kind: &str, before: &str, otherwise: f64| {
        let today = source.json.get("rope_parameters").and_then(|own| own.get(kind));
        let plain = today.and_then(|own| own.get("rope_type")).is_none_or(|kind| kind == "default");
        match today.and_then(|own| own.get("rope_theta")?.as_f64()).filter(|_| plain) {
            None if today.is_some() => {
                let found = today.cloned().unwrap_or_default();
                Err(source.wrong("rope_parameters", "of the type `default`", found, FIX))
            }
            None => source.number_or(before, otherwise),
            Some(base) => Ok(base),
        }
    };
    let kinds = source.json.get("layer_types").and_then(Value::as_array);
    let named = kinds.and_then(|kinds| kinds.iter().position(|kind| kind == "full_attention"));
    let pattern = match named {
        Some(first) => first + 1,
        None => source.some_size("sliding_window_pattern")?.unwrap_or(6).max(1),
    };
    let as_said = |(i, kind): (usize, &Value)| (kind == "full_attention") == ((i + 1) % pattern == 0);
    if let Some(kinds) = kinds.filter(|kinds| !kinds.iter().enumerate().all(as_said)) {
        let expected = format!("full attention in every {pattern}th layer");
        return Err(source.wrong("layer_types", &expected, json!(kinds), FIX));
    }
    let own = json!({
        "rope_theta": base("full_attention", "rope_theta", 1e6)?,
        "rope_local_base_freq": base("sliding_attention", "rope_local_base_freq", 1e4)?,
        "sliding_window_pattern": pattern,
    });
    Ok(with(read(&GEMMA3, source, "hidden_activation")?, own))
}

fn first(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    let own: gemma::Config = told(config, tokens)?;
    let mut model = gemma::Model::new(false, &own, parameters.clone())?;
    // The norm in front of the decoder, which candle applies to the last token alone.
    let factors = (parameters.get(config.hidden_size, "model.norm.weight")? + 1.0)?;
    let (decoder, eps) = (decoder(config, &parameters)?, config.norm_eps as f32);
    let read = move |ids: &Tensor| {
        let embedded = model.embed_tokens().forward(ids)?;
        let hidden = model.forward_embeds_without_projection(&embedded, causal(ids)?.as_ref(), 0)?;
        candle_nn::ops::rms_norm(&hidden.contiguous()?, &factors, eps)
    };
    Ok(Reading::Hidden { read: Box::new(read), decoder })
}

fn second(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    check_tied(config)?;
    let own: gemma2::Config = told(config, tokens)?;
    let mut model = gemma2::Model::new(false, &own, parameters)?;
    Ok(Reading::Steps(Box::new(move |ids, at| model.forward(ids, at))))
}

fn third(config: &ModelConfig, _: Head, tokens: usize, parameters: VarBuilder) -> Result<Reading> {
    check_tied(config)?;
    let own = gemma3::Config { sliding_window: tokens, ..told(config, tokens)? };
    let mut model = gemma3::Model::new(false, &own, parameters)?;
    Ok(Reading::Steps(Box::new(move |ids, at| model.forward(ids, at))))
}

/// candle decodes by the token table, whatever else the file holds.
fn check_tied(config: &ModelConfig) -> Result<()> {
    match config.tied {
        true => Ok(()),
        false => candle_core::bail!(
            "a decoder of its own in {}, which candle-transformers does not read",
            config.architecture.model_type
        ),
    }
}

/// What is added to scores so that a token sees none behind it; nothing for a single one.
fn causal(ids: &Tensor) -> Result<Option<Tensor>> {
    let (examples, tokens) = ids.dims2()?;
    let hidden = |i: usize| (0..tokens).map(move |j| if i < j { f32::NEG_INFINITY } else { 0.0 });
    let mask: Vec<f32> = (0..tokens).flat_map(hidden).collect();
    let mask = Tensor::from_vec(mask, (1, 1, tokens, tokens), ids.device())?;
    (tokens > 1).then(|| mask.expand((examples, 1, tokens, tokens))).transpose()
}
