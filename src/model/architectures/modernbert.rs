//! ModernBERT (Warner et al. 2024): norms in front, rotary positions, gated feed-forward maps, no biases, and a window in
//! two of three layers.
//!
//! The window is inclusive: a token sees those at most `local_attention / 2` away. The first layer has no norm before its
//! attention. Most of its configured drop probabilities are 0; the places are sites all the same.

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{
    Attention, Embeddings, FeedForward, Head, HeadModules, Layer, Module, Modules, Projections, Reads,
    Transform,
};
use crate::model::settings::{Curve, Heads, LayerSettings, Mask, Norm, Order, Positions, Rotary};

pub const MODERNBERT: Architecture = Architecture {
    model_type: "modernbert",
    read,
    computed: Computed::Here(modules),
    canonical: |stored| match stored.split('.').next() {
        Some("embeddings" | "layers" | "final_norm") => Some(format!("model.{stored}")),
        _ => Some(stored.to_string()),
    },
    decoder: "decoder",
    pretrained: Head::MaskedLm,
    classes: [
        "ModernBertForMaskedLM",
        "ModernBertForSequenceClassification",
        "ModernBertForTokenClassification",
        "",
    ],
};

fn read(source: &Source) -> Result<ModelConfig> {
    let (hidden_size, heads) = (source.width("hidden_size")?, source.size("num_attention_heads")?);
    for flag in ["attention_bias", "mlp_bias", "norm_bias", "classifier_bias", "decoder_bias"] {
        source.flag_or(flag, false)?;
    }
    Ok(ModelConfig {
        architecture: &MODERNBERT,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("intermediate_size")?,
        heads: Heads::of(heads, hidden_size),
        positions: Positions::Rotary {
            longest: source.some_size("max_position_embeddings")?.unwrap_or(8192),
        },
        type_vocab_size: 0,
        order: Order::Pre,
        norm: Norm::Layer,
        norm_eps: source.number_or("norm_eps", 1e-5)?,
        activation: source.activation("hidden_activation", "gelu")?,
        head_activation: source.activation("classifier_activation", "gelu")?,
        padding: source.padding(Some(50283))?,
        head_padding: None,
        decoder: None,
        output_scale: None,
        tied: source.flag_or("tie_word_embeddings", true)?,
        layers: layers(source, hidden_size / heads.max(1))?,
        initializer_range: source.number_or("initializer_range", 0.02)?,
        head_dropout: source.number_or("classifier_dropout", 0.0)?,
        token_dropout: source.number_or("classifier_dropout", 0.0)?,
        span_dropout: 0.0,
        json: source.json.clone(),
    })
}

/// Which layers see all tokens and which a window, and how each turns by positions.
fn layers(source: &Source, depth: usize) -> Result<Vec<LayerSettings>> {
    let (number, every) =
        (source.layers("num_hidden_layers")?, source.some_size("global_attn_every_n_layers")?.unwrap_or(3));
    let window = source.some_size("local_attention")?.unwrap_or(128) / 2;
    let types = source.json.get("layer_types").and_then(|types| types.as_array());
    let is_global = |k: usize| match types.and_then(|types| types.get(k)) {
        Some(kind) => kind == "full_attention",
        None => k.is_multiple_of(every.max(1)),
    };
    let global = base(source, "full_attention", "global_rope_theta", 160_000.0)?;
    let local = base(source, "sliding_attention", "local_rope_theta", 10_000.0)?;
    let global = LayerSettings {
        mask: Mask::All,
        rotary: Some(Rotary::new(global, depth)),
        ..LayerSettings::default()
    };
    let local = LayerSettings {
        mask: Mask::Window(window),
        rotary: Some(Rotary::new(local, depth)),
        ..LayerSettings::default()
    };
    Ok((0..number).map(|k| if is_global(k) { &global } else { &local }.clone()).collect())
}

/// The base of the rotary frequencies, as files of today or of before have it.
fn base(source: &Source, kind: &str, before: &str, otherwise: f64) -> Result<f64> {
    let today = source.json.get("rope_parameters").and_then(|all| all.get(kind));
    if let Some(scaled) = today.and_then(|own| own.get("rope_type")).filter(|rope| *rope != "default") {
        let fix = "scaled rotary positions are not supported here: use a checkpoint without";
        return Err(source.wrong("rope_parameters", "of the type `default`", scaled, fix));
    }
    let today = today.and_then(|own| own.get("rope_theta")).and_then(|base| base.as_f64());
    let base = today.map_or_else(|| source.number_or(before, otherwise), Ok)?;
    if !(base.is_finite() && base > 0.0) {
        return Err(source.wrong(
            "rope_theta",
            "a positive number",
            base,
            "use the config.json of the checkpoint",
        ));
    }
    Ok(base)
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let h = config.hidden_size;
    let dense = Module::linear("head.dense", Place::HEAD, h, h);
    let transform = Some(Transform {
        dense: dense.biased(config.flag("classifier_bias", false)),
        curve: Curve::Of(config.head_activation),
        norm: Some(norm(config, "head.norm", Place::HEAD)),
    });
    let head = match head.outputs() {
        None => HeadModules::Decoder {
            transform,
            weight: config.own_decoder(),
            bias: config
                .flag("decoder_bias", true)
                .then(|| Module::bias("decoder", Place::HEAD, config.vocab_size)),
        },
        Some(outputs) => HeadModules::Pooled {
            transform,
            output: Module::linear("classifier", Place::HEAD, outputs, h),
            reads: Reads::Targets,
            twice: false,
        },
    };
    let decodes = head.is_tied();
    let path = "model.embeddings.tok_embeddings";
    let size = (config.vocab_size, h);
    Modules {
        embeddings: Embeddings {
            tokens: Module::table(path, Place::EMBEDDINGS, Kind::TokenTable, size, decodes),
            positions: None,
            segments: None,
            norm: Some(norm(config, "model.embeddings.norm", Place::EMBEDDINGS)),
            projection: None,
        },
        layers: (0..config.layers.len()).map(|k| layer(config, k)).collect(),
        encoder_norm: None,
        last_norm: Some(norm(config, "model.final_norm", Place::HEAD)),
        head,
        sites: sites(config.layers.len()),
    }
}

fn norm(config: &ModelConfig, path: &str, place: Place) -> Module {
    Module::norm(path, place, config.hidden_size).biased(config.flag("norm_bias", false))
}

fn layer(config: &ModelConfig, k: usize) -> Layer {
    let (h, inner, at) = (config.hidden_size, config.intermediate_size, |role| Place::in_layer(k, role));
    let (attention, mlp) = (config.flag("attention_bias", false), config.flag("mlp_bias", false));
    let path = |name: &str| format!("model.layers.{k}.{name}");
    let linear = |name: &str, role, outputs, inputs, bias| {
        Module::linear(&path(name), at(role), outputs, inputs).biased(bias)
    };
    Layer {
        attention_norm: (k > 0).then(|| norm(config, &path("attn_norm"), at(Role::AttentionProbs))),
        attention: Attention::new(
            Projections::Stacked(linear("attn.Wqkv", Role::AttentionProbs, 3 * h, h, attention)),
            linear("attn.Wo", Role::AttentionOutput, h, h, attention),
            config.layers[k].clone(),
        ),
        cross: None,
        feed_forward_norm: norm(config, &path("mlp_norm"), at(Role::Intermediate)),
        feed_forward: FeedForward::Halves {
            inner: linear("mlp.Wi", Role::Intermediate, 2 * inner, h, mlp),
            outer: linear("mlp.Wo", Role::FfnOutput, h, inner, mlp),
        },
        name: LayerName::Number(k),
    }
}

/// Embeddings, and three places of each layer.
fn sites(layers: usize) -> Vec<Place> {
    let roles = [Role::AttentionProbs, Role::AttentionOutput, Role::Intermediate];
    let layer = |k| roles.map(|role| Place::in_layer(k, role));
    std::iter::once(Place::EMBEDDINGS).chain((0..layers).flat_map(layer)).collect()
}
