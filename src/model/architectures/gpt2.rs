//! GPT-2 (Radford et al. 2019): norms in front, learned positions, causal attention, weights stored `[in, out]`.
//!
//! The traps: transformers' `Conv1D` keeps the outputs of a map in its columns, and `c_attn` holds queries, keys and values
//! side by side, so the middle third of its bias has no gradient (softmax ignores a shift of all scores of a row).

use candle_nn::Activation;

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{
    Attention, Embeddings, FeedForward, Head, HeadModules, Layer, Module, Modules, Projections, Reads,
};
use crate::model::settings::{Heads, LayerSettings, Mask, Norm, Order, Positions};

use super::bert;

pub const GPT2: Architecture = Architecture {
    model_type: "gpt2",
    read,
    computed: Computed::Here(modules),
    canonical,
    decoder: "lm_head",
    pretrained: Head::CausalLm,
    classes: ["GPT2LMHeadModel", "GPT2ForSequenceClassification", "", ""],
};

fn read(source: &Source) -> Result<ModelConfig> {
    let fix = "use a checkpoint with attention as GPT-2 has it";
    source.only("scale_attn_weights", true, fix)?;
    source.only("scale_attn_by_inverse_layer_idx", false, fix)?;
    source.only("add_cross_attention", false, fix)?;
    let (hidden_size, heads) = (source.width("n_embd")?, source.size("n_head")?);
    let causal = LayerSettings { mask: Mask::Causal, ..LayerSettings::default() };
    Ok(ModelConfig {
        architecture: &GPT2,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.some_width("n_inner")?.unwrap_or(4 * hidden_size),
        heads: Heads::of(heads, hidden_size),
        positions: Positions::Table { rows: source.some_size("n_positions")?.unwrap_or(1024) },
        type_vocab_size: 0,
        order: Order::Pre,
        norm: Norm::Layer,
        norm_eps: source.number_or("layer_norm_epsilon", 1e-5)?,
        activation: source.activation("activation_function", "gelu_new")?,
        head_activation: Activation::Gelu,
        padding: None,
        head_padding: source.padding(None)?,
        decoder: None,
        output_scale: None,
        tied: source.flag_or("tie_word_embeddings", true)?,
        layers: vec![causal; source.layers("n_layer")?],
        initializer_range: source.number_or("initializer_range", 0.02)?,
        head_dropout: 0.0,
        token_dropout: 0.0,
        span_dropout: 0.0,
        json: source.json.clone(),
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let h = config.hidden_size;
    let head = scores(config, head);
    let decodes = head.is_tied();
    let table = |name: &str, kind, rows, decodes| {
        Module::table(&format!("transformer.{name}"), Place::EMBEDDINGS, kind, (rows, h), decodes)
    };
    Modules {
        embeddings: Embeddings {
            tokens: table("wte", Kind::TokenTable, config.vocab_size, decodes),
            positions: Some(table("wpe", Kind::PositionTable, config.positions.longest(), false)),
            segments: None,
            norm: None,
            projection: None,
        },
        layers: (0..config.layers.len()).map(|k| layer(config, k)).collect(),
        encoder_norm: None,
        last_norm: Some(Module::norm("transformer.ln_f", Place::HEAD, h)),
        head,
        sites: bert::sites(config.layers.len()),
    }
}

/// The heads of decoders: a map to the vocabulary, its own or the token table, or one of the last token to the outputs;
/// without biases.
pub fn scores(config: &ModelConfig, head: Head) -> HeadModules {
    match head.outputs() {
        None => HeadModules::Decoder { transform: None, weight: config.own_decoder(), bias: None },
        Some(outputs) => HeadModules::Pooled {
            transform: None,
            output: Module::linear("score", Place::HEAD, outputs, config.hidden_size).biased(false),
            reads: Reads::Last { padding: config.head_padding },
            twice: false,
        },
    }
}

fn layer(config: &ModelConfig, k: usize) -> Layer {
    let (h, inner, at) = (config.hidden_size, config.intermediate_size, |role| Place::in_layer(k, role));
    let path = |name: &str| format!("transformer.h.{k}.{name}");
    let linear = |name: &str, role, outputs, inputs| {
        Module::linear(&path(name), at(role), outputs, inputs).transposed()
    };
    let norm = |name: &str, role| Module::norm(&path(name), at(role), h);
    let keys = h..2 * h;
    Layer {
        attention_norm: Some(norm("ln_1", Role::AttentionProbs)),
        attention: Attention::new(
            Projections::Stacked(linear("attn.c_attn", Role::AttentionProbs, 3 * h, h).with_idle([keys])),
            linear("attn.c_proj", Role::AttentionOutput, h, h),
            config.layers[k].clone(),
        ),
        cross: None,
        feed_forward_norm: norm("ln_2", Role::Intermediate),
        feed_forward: FeedForward::Plain {
            inner: linear("mlp.c_fc", Role::Intermediate, inner, h),
            outer: linear("mlp.c_proj", Role::FfnOutput, h, inner),
        },
        name: LayerName::Number(k),
    }
}

/// With the prefix `transformer.`; the masks that older files hold are no parameters.
fn canonical(stored: &str) -> Option<String> {
    if stored.ends_with(".attn.bias") || stored.ends_with(".attn.masked_bias") {
        return None;
    }
    bert::prefixed("transformer", &["wte", "wpe", "h", "ln_f"], stored)
}
