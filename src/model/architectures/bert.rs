//! BERT (Devlin et al. 2019): post-norm layers, learned positions, segments.
//!
//! Its relatives differ in little, and take their common parts from here.

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{
    Attention, Embeddings, FeedForward, Head, HeadModules, Layer, Module, Modules, Projections, Reads,
    Transform,
};
use crate::model::settings::{Curve, Heads, LayerSettings, Norm, Order, Positions};

pub const BERT: Architecture = Architecture {
    model_type: "bert",
    read: |source| read(&BERT, source),
    computed: Computed::Here(modules),
    canonical,
    decoder: "cls.predictions.decoder",
    pretrained: Head::MaskedLm,
    classes: [
        "BertForMaskedLM",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForQuestionAnswering",
    ],
};

/// Layers, width and vocabulary of bert-base-uncased, which the published schedule is for.
pub const BASE: (usize, usize, usize) = (12, 768, 30522);

/// Whether a model has the shape of bert-base-uncased.
pub fn is_base(config: &ModelConfig) -> bool {
    let shape = (config.layers.len(), config.hidden_size, config.vocab_size);
    config.architecture.model_type == BERT.model_type && shape == BASE
}

/// The fields that BERT and its relatives have in common; defaults are those of transformers' `BertConfig`.
pub fn read(architecture: &'static Architecture, source: &Source) -> Result<ModelConfig> {
    let fix = "relative positions are not supported: use a checkpoint with absolute ones";
    source.only("position_embedding_type", "absolute", fix)?;
    source.only("is_decoder", false, "causal attention is not supported: use an encoder's checkpoint")?;
    let (hidden_size, heads) = (source.width("hidden_size")?, source.size("num_attention_heads")?);
    let dropout = source.number_or("hidden_dropout_prob", 0.1)?;
    Ok(ModelConfig {
        architecture,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("intermediate_size")?,
        heads: Heads::of(heads, hidden_size),
        positions: Positions::Table { rows: source.some_size("max_position_embeddings")?.unwrap_or(512) },
        type_vocab_size: source.some_size("type_vocab_size")?.unwrap_or(2),
        order: Order::Post,
        norm: Norm::Layer,
        norm_eps: source.number_or("layer_norm_eps", 1e-12)?,
        activation: source.activation("hidden_act", "gelu")?,
        head_activation: source.activation("hidden_act", "gelu")?,
        padding: source.padding(Some(0))?,
        head_padding: None,
        decoder: None,
        output_scale: None,
        tied: source.flag_or("tie_word_embeddings", true)?,
        layers: vec![LayerSettings::default(); source.layers("num_hidden_layers")?],
        initializer_range: source.number_or("initializer_range", 0.02)?,
        head_dropout: source.number_or("classifier_dropout", dropout)?,
        token_dropout: source.number_or("classifier_dropout", dropout)?,
        span_dropout: 0.0,
        json: source.json.clone(),
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let head = match head.outputs() {
        None => decoder(config, "cls.predictions.transform", "LayerNorm", "cls.predictions"),
        Some(_) if head.is_for_tokens() => tagger(config, head),
        Some(outputs) => {
            let h = config.hidden_size;
            let pooler = Module::linear("bert.pooler.dense", Place::HEAD, h, h);
            pooled(pooler, Curve::Tanh, Module::linear("classifier", Place::HEAD, outputs, h))
        }
    };
    encoder(config, "bert", head)
}

/// Tables, layers and sites under the names that begin with `prefix`, and a head on top.
pub fn encoder(config: &ModelConfig, prefix: &str, head: HeadModules) -> Modules {
    let path = |k| format!("{prefix}.encoder.layer.{k}");
    let layer = |k| post_norm_layer(config, (k, LayerName::Number(k)), &path(k), &LAYER);
    Modules {
        embeddings: embeddings(config, prefix, &head),
        layers: (0..config.layers.len()).map(layer).collect(),
        encoder_norm: None,
        last_norm: None,
        head,
        sites: sites(config.layers.len()),
    }
}

/// The tables under `prefix.embeddings`, and their norm.
pub fn embeddings(config: &ModelConfig, prefix: &str, head: &HeadModules) -> Embeddings {
    let (width, decodes) = (config.embedding_size, head.is_tied());
    let path = |name: &str| format!("{prefix}.embeddings.{name}");
    let table = |name: &str, kind, rows, decodes| {
        Module::table(&path(name), Place::EMBEDDINGS, kind, (rows, width), decodes)
    };
    let positions = match config.positions {
        Positions::Table { rows } | Positions::Behind { rows, .. } => Some(rows),
        Positions::Rotary { .. } | Positions::Relative { .. } => None,
    };
    let types = Some(config.type_vocab_size).filter(|rows| *rows > 0);
    Embeddings {
        tokens: table("word_embeddings", Kind::TokenTable, config.vocab_size, decodes),
        positions: positions.map(|rows| table("position_embeddings", Kind::PositionTable, rows, false)),
        segments: types.map(|rows| table("token_type_embeddings", Kind::SegmentTable, rows, false)),
        norm: Some(Module::norm(&path("LayerNorm"), Place::EMBEDDINGS, width)),
        projection: None,
    }
}

/// What a layer's maps and norms are called.
pub struct LayerNames {
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub attended: &'static str,
    pub attention_norm: &'static str,
    pub inner: &'static str,
    pub outer: &'static str,
    pub norm: &'static str,
}

const LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attended: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    inner: "intermediate.dense",
    outer: "output.dense",
    norm: "output.LayerNorm",
};

/// Layer `k` with its norms behind each sum, under `path`; its places are those of `name`.
pub fn post_norm_layer(
    config: &ModelConfig,
    (k, name): (usize, LayerName),
    path: &str,
    names: &LayerNames,
) -> Layer {
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    let linear = |own: &str, role, outputs, inputs| {
        Module::linear(&format!("{path}.{own}"), name.place(role), outputs, inputs)
    };
    let norm = |own: &str, role| Module::norm(&format!("{path}.{own}"), name.place(role), h);
    Layer {
        attention_norm: Some(norm(names.attention_norm, Role::AttentionOutput)),
        attention: Attention::new(
            Projections::Apart {
                query: linear(names.query, Role::AttentionProbs, h, h),
                // Softmax ignores a shift of all scores of a row.
                key: linear(names.key, Role::AttentionProbs, h, h).with_idle_bias(),
                value: linear(names.value, Role::AttentionProbs, h, h),
            },
            linear(names.attended, Role::AttentionOutput, h, h),
            config.layers[k].clone(),
        ),
        cross: None,
        feed_forward: FeedForward::Plain {
            inner: linear(names.inner, Role::Intermediate, inner, h),
            outer: linear(names.outer, Role::FfnOutput, h, inner),
        },
        feed_forward_norm: norm(names.norm, Role::FfnOutput),
        name,
    }
}

/// A map, activation and norm under the name `transform`, then the token table and the bias `bias`.
pub fn decoder(config: &ModelConfig, transform: &str, norm: &str, bias: &str) -> HeadModules {
    let width = config.embedding_size;
    let dense = format!("{transform}.dense");
    HeadModules::Decoder {
        transform: Some(Transform {
            dense: Module::linear(&dense, Place::HEAD, width, config.hidden_size),
            curve: Curve::Of(config.head_activation),
            norm: Some(Module::norm(&format!("{transform}.{norm}"), Place::HEAD, width)),
        }),
        weight: config.own_decoder(),
        bias: Some(Module::bias(bias, Place::HEAD, config.vocab_size)),
    }
}

/// A map of the first token, a curve, and a map to the outputs.
pub fn pooled(dense: Module, curve: Curve, output: Module) -> HeadModules {
    let transform = Some(Transform { dense, curve, norm: None });
    HeadModules::Pooled { transform, output, reads: Reads::Targets, twice: false }
}

/// A map of each word's first piece to the classes, or of every token to the scores of a span's ends.
pub fn tagger(config: &ModelConfig, head: Head) -> HeadModules {
    let map = |path: &str| {
        Module::linear(path, Place::HEAD, head.outputs().unwrap_or_default(), config.hidden_size)
    };
    let (output, reads) = match head {
        // Softmax over the tokens ignores a shift of all scores.
        Head::Span => (map("qa_outputs").with_idle_bias(), Reads::All),
        _ => (map("classifier"), Reads::Targets),
    };
    HeadModules::Pooled { transform: None, output, reads, twice: false }
}

/// The head of RoBERTa and ELECTRA: `classifier.dense`, a curve and `classifier.out_proj`, with dropout before each map.
pub fn classifier(config: &ModelConfig, curve: Curve, outputs: usize) -> HeadModules {
    let h = config.hidden_size;
    let dense = Module::linear("classifier.dense", Place::HEAD, h, h);
    let output = Module::linear("classifier.out_proj", Place::HEAD, outputs, h);
    HeadModules::Pooled {
        transform: Some(Transform { dense, curve, norm: None }),
        output,
        reads: Reads::Targets,
        twice: true,
    }
}

/// The 1 + 3L dropout sites, in the order in which the model applies them.
pub fn sites(layers: usize) -> Vec<Place> {
    let roles = [Role::AttentionProbs, Role::AttentionOutput, Role::FfnOutput];
    let layer = |k| roles.map(|role| Place::in_layer(k, role));
    std::iter::once(Place::EMBEDDINGS).chain((0..layers).flat_map(layer)).collect()
}

/// With the prefix `bert.` and `LayerNorm.weight`/`bias`; older checkpoints have neither. `position_ids` is no parameter.
fn canonical(stored: &str) -> Option<String> {
    if stored == "cls.predictions.decoder.bias" {
        return Some("cls.predictions.bias".into());
    }
    prefixed("bert", &["embeddings", "encoder", "pooler"], stored)
}

/// With this prefix where the name begins with one of `bare`, and with the names that norms have today.
pub fn prefixed(prefix: &str, bare: &[&str], stored: &str) -> Option<String> {
    let first = stored.split('.').next().unwrap_or(stored);
    let name = if bare.contains(&first) { format!("{prefix}.{stored}") } else { stored.to_string() };
    match name.rsplit_once("LayerNorm.") {
        Some((path, "gamma")) => Some(format!("{path}LayerNorm.weight")),
        Some((path, "beta")) => Some(format!("{path}LayerNorm.bias")),
        _ => (!name.ends_with("position_ids")).then_some(name),
    }
}
