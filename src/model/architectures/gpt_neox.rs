//! GPT-NeoX (Black et al. 2022) and Pythia: attention and feed-forward side by side, rotary positions on a part of each
//! head, one map whose outputs are query, key and value of a head after the other.
//!
//! The trap: the key's bias has no gradient where nothing turns it, and only there.

use std::ops::Range;

use candle_nn::Activation;

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{Attention, Embeddings, FeedForward, Head, Layer, Module, Modules, Projections};
use crate::model::settings::{Heads, LayerSettings, Mask, Norm, Order, Positions, Rotary};

use super::{bert, gpt2, llama};

pub const GPT_NEOX: Architecture = Architecture {
    model_type: "gpt_neox",
    read,
    computed: Computed::Here(modules),
    canonical,
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification", "", ""],
};

fn read(source: &Source) -> Result<ModelConfig> {
    let (hidden_size, heads) = (source.width("hidden_size")?, source.size("num_attention_heads")?);
    let heads = Heads::of(heads, hidden_size);
    let today = source.json.get("rope_parameters").and_then(|own| own.get("partial_rotary_factor"));
    let share = match today.and_then(|share| share.as_f64()) {
        Some(share) => share,
        None => source.number_or("rotary_pct", 0.25)?,
    };
    let turned = (heads.depth as f64 * share) as usize;
    if !(0.0..=1.0).contains(&share) || !turned.is_multiple_of(2) {
        let expected =
            format!("a share of each head's {} values that is an even number of them", heads.depth);
        return Err(source.wrong("rotary_pct", &expected, share, "use the config.json of the checkpoint"));
    }
    let rotary = Some(Rotary::new(llama::base(source, "rotary_emb_base")?, turned));
    source.flag_or("attention_bias", true)?;
    let parallel = source.flag_or("use_parallel_residual", true)?;
    Ok(ModelConfig {
        architecture: &GPT_NEOX,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("intermediate_size")?,
        heads,
        positions: Positions::Rotary {
            longest: source.some_size("max_position_embeddings")?.unwrap_or(2048),
        },
        type_vocab_size: 0,
        order: if parallel { Order::Parallel } else { Order::Pre },
        norm: Norm::Layer,
        norm_eps: source.number_or("layer_norm_eps", 1e-5)?,
        activation: source.activation("hidden_act", "gelu")?,
        head_activation: Activation::Gelu,
        padding: None,
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

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let h = config.hidden_size;
    let head = gpt2::scores(config, head);
    let size = (config.vocab_size, h);
    let tokens =
        Module::table("gpt_neox.embed_in", Place::EMBEDDINGS, Kind::TokenTable, size, head.is_tied());
    Modules {
        embeddings: Embeddings::of_tokens(tokens),
        layers: (0..config.layers.len()).map(|k| layer(config, k)).collect(),
        encoder_norm: None,
        last_norm: Some(Module::norm("gpt_neox.final_layer_norm", Place::HEAD, h)),
        head,
        sites: bert::sites(config.layers.len()),
    }
}

fn layer(config: &ModelConfig, k: usize) -> Layer {
    let (h, inner, at) = (config.hidden_size, config.intermediate_size, |role| Place::in_layer(k, role));
    let bias = config.flag("attention_bias", true);
    let path = |name: &str| format!("gpt_neox.layers.{k}.{name}");
    let linear = |name: &str, role, outputs, inputs| Module::linear(&path(name), at(role), outputs, inputs);
    let norm = |name: &str, role| Module::norm(&path(name), at(role), h);
    let maps = linear("attention.query_key_value", Role::AttentionProbs, 3 * h, h);
    Layer {
        attention_norm: Some(norm("input_layernorm", Role::AttentionProbs)),
        attention: Attention::new(
            Projections::Interleaved(maps.biased(bias).with_idle(still(config, k))),
            linear("attention.dense", Role::AttentionOutput, h, h).biased(bias),
            config.layers[k].clone(),
        ),
        cross: None,
        feed_forward_norm: norm("post_attention_layernorm", Role::Intermediate),
        feed_forward: FeedForward::Plain {
            inner: linear("mlp.dense_h_to_4h", Role::Intermediate, inner, h),
            outer: linear("mlp.dense_4h_to_h", Role::FfnOutput, h, inner),
        },
        name: LayerName::Number(k),
    }
}

/// The entries of the bias that belong to values of keys which no position turns.
fn still(config: &ModelConfig, k: usize) -> Vec<Range<usize>> {
    let Heads { queries, depth, .. } = config.heads;
    let turned = config.layers[k].rotary.as_ref().map_or(0, |rotary| 2 * rotary.frequencies.len());
    let key = |head: usize| (3 * head + 1) * depth;
    (0..queries).map(|head| key(head) + turned..key(head) + depth).filter(|own| !own.is_empty()).collect()
}

/// With the prefix `gpt_neox.`, and the name that transformers 5 gives the decoder, which files call `embed_out`; masks and
/// frequencies that older files hold are no parameters.
fn canonical(stored: &str) -> Option<String> {
    let buffers = [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"];
    if buffers.iter().any(|end| stored.ends_with(end)) {
        return None;
    }
    if stored == "embed_out.weight" {
        return Some("lm_head.weight".into());
    }
    bert::prefixed("gpt_neox", &["embed_in", "layers", "final_layer_norm"], stored)
}
