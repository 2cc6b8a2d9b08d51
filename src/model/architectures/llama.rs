//! Llama (Touvron et al. 2023), Mistral and Qwen2: RMSNorm in front, rotary positions, heads that share keys, gated
//! feed-forward maps.
//!
//! Dropout acts on attention's probabilities alone, so a model has L sites. A model with a sliding window computes the same
//! as without up to that many tokens, and takes no more here.

use candle_nn::Activation;

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{Attention, Embeddings, FeedForward, Head, Layer, Module, Modules, Projections};
use crate::model::settings::{Heads, LayerSettings, Mask, Norm, Order, Positions, Rotary};

use super::{bert, gpt2};

pub const LLAMA: Architecture = Architecture {
    model_type: "llama",
    read: |source| read(&LLAMA, source),
    computed: Computed::Here(|config, head| modules(config, head, config.flag("attention_bias", false))),
    canonical,
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["LlamaForCausalLM", "LlamaForSequenceClassification", "", ""],
};

pub const MISTRAL: Architecture = Architecture {
    model_type: "mistral",
    read: |source| read(&MISTRAL, source),
    computed: Computed::Here(|config, head| modules(config, head, false)),
    classes: ["MistralForCausalLM", "MistralForSequenceClassification", "", ""],
    ..LLAMA
};

/// With biases in the maps to queries, keys and values.
pub const QWEN2: Architecture = Architecture {
    model_type: "qwen2",
    read: |source| read(&QWEN2, source),
    computed: Computed::Here(|config, head| modules(config, head, true)),
    classes: ["Qwen2ForCausalLM", "Qwen2ForSequenceClassification", "", ""],
    ..LLAMA
};

pub fn read(architecture: &'static Architecture, source: &Source) -> Result<ModelConfig> {
    let (hidden_size, queries) = (source.width("hidden_size")?, source.size("num_attention_heads")?);
    let depth = source.some_width("head_dim")?.unwrap_or(hidden_size / queries.max(1));
    let heads = Heads { queries, keys: source.some_size("num_key_value_heads")?.unwrap_or(queries), depth };
    let rotary = Some(Rotary::new(base(source, "rope_theta")?, depth));
    for flag in ["attention_bias", "mlp_bias"] {
        source.flag_or(flag, false)?;
    }
    Ok(ModelConfig {
        architecture,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("intermediate_size")?,
        heads,
        positions: Positions::Rotary { longest: longest(source, architecture)? },
        type_vocab_size: 0,
        order: Order::Pre,
        norm: Norm::Rms,
        norm_eps: source.number_or("rms_norm_eps", 1e-6)?,
        activation: source.activation("hidden_act", "silu")?,
        head_activation: Activation::Gelu,
        padding: source.padding(None)?,
        head_padding: source.padding(None)?,
        decoder: None,
        output_scale: None,
        tied: source.flag_or("tie_word_embeddings", false)?,
        layers: vec![
            LayerSettings { mask: Mask::Causal, rotary, ..LayerSettings::default() };
            source.layers("num_hidden_layers")?
        ],
        initializer_range: source.number_or("initializer_range", 0.02)?,
        head_dropout: 0.0,
        token_dropout: 0.0,
        span_dropout: 0.0,
        json: source.json.clone(),
    })
}

/// As many tokens as there are positions, and no more than a window holds.
fn longest(source: &Source, architecture: &Architecture) -> Result<usize> {
    let longest = source.some_size("max_position_embeddings")?.unwrap_or(2048);
    // Mistral has no such key, and Qwen2 does not slide without it.
    let slides = source.flag_or("use_sliding_window", architecture.model_type != QWEN2.model_type)?;
    let window = source.some_size("sliding_window")?.filter(|_| slides);
    Ok(window.map_or(longest, |window| longest.min(window)))
}

/// The base of the rotary frequencies, as files of today or, under the key `before`, older ones have it.
pub fn base(source: &Source, before: &str) -> Result<f64> {
    let fix = "scaled rotary positions are not supported here: use a checkpoint without";
    let today = source.json.get("rope_parameters");
    let scaled = [today, source.json.get("rope_scaling")].into_iter().flatten();
    let kinds = scaled.filter_map(|own| own.get("rope_type").or_else(|| own.get("type")));
    if let Some(kind) = kinds.into_iter().find(|kind| *kind != "default") {
        return Err(source.wrong("rope_scaling", "of the type `default`", kind, fix));
    }
    let today = today.and_then(|own| own.get("rope_theta"));
    let base = match today {
        Some(base) => base.as_f64(),
        None => Some(source.number_or(before, 10_000.0)?),
    };
    base.filter(|base| base.is_finite() && *base > 0.0).ok_or_else(|| {
        let found = today.or(source.json.get(before)).cloned().unwrap_or_default();
        source.wrong("rope_theta", "a positive number", found, "use the config.json of the checkpoint")
    })
}

fn modules(config: &ModelConfig, head: Head, biased: bool) -> Modules {
    let head = gpt2::scores(config, head);
    let size = (config.vocab_size, config.hidden_size);
    let path = "model.embed_tokens";
    let tokens = Module::table(path, Place::EMBEDDINGS, Kind::TokenTable, size, head.is_tied());
    Modules {
        embeddings: Embeddings::of_tokens(tokens),
        layers: (0..config.layers.len()).map(|k| layer(config, k, biased)).collect(),
        encoder_norm: None,
        last_norm: Some(norm(config, "model.norm", Place::HEAD)),
        head,
        sites: (0..config.layers.len()).map(|k| Place::in_layer(k, Role::AttentionProbs)).collect(),
    }
}

fn norm(config: &ModelConfig, path: &str, place: Place) -> Module {
    Module::norm(path, place, config.hidden_size).biased(false)
}

fn layer(config: &ModelConfig, k: usize, biased: bool) -> Layer {
    let (h, inner, at) = (config.hidden_size, config.intermediate_size, |role| Place::in_layer(k, role));
    let (wide, narrow) = (config.heads.queries * config.heads.depth, config.heads.keys * config.heads.depth);
    let (attention, mlp) = (config.flag("attention_bias", false), config.flag("mlp_bias", false));
    let path = |name: &str| format!("model.layers.{k}.{name}");
    let linear = |name: &str, role, outputs, inputs, bias| {
        Module::linear(&path(name), at(role), outputs, inputs).biased(bias)
    };
    Layer {
        attention_norm: Some(norm(config, &path("input_layernorm"), at(Role::AttentionProbs))),
        attention: Attention::new(
            Projections::Apart {
                query: linear("self_attn.q_proj", Role::AttentionProbs, wide, h, biased),
                key: linear("self_attn.k_proj", Role::AttentionProbs, narrow, h, biased),
                value: linear("self_attn.v_proj", Role::AttentionProbs, narrow, h, biased),
            },
            linear("self_attn.o_proj", Role::AttentionOutput, h, wide, attention),
            config.layers[k].clone(),
        ),
        cross: None,
        feed_forward_norm: norm(config, &path("post_attention_layernorm"), at(Role::Intermediate)),
        feed_forward: FeedForward::Gated {
            gate: linear("mlp.gate_proj", Role::Intermediate, inner, h, mlp),
            up: linear("mlp.up_proj", Role::Intermediate, inner, h, mlp),
            outer: linear("mlp.down_proj", Role::FfnOutput, h, inner, mlp),
        },
        name: LayerName::Number(k),
    }
}

/// With the prefix `model.`; frequencies that older files hold are no parameters.
pub fn canonical(stored: &str) -> Option<String> {
    if stored.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    bert::prefixed("model", &["embed_tokens", "layers", "norm"], stored)
}
