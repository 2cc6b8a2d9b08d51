//! BERT (Devlin et al. 2019): post-norm layers, learned positions, segments.

use candle_core::Tensor;
use candle_nn::Activation;
use serde::Deserialize;

use crate::dropout::{Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, ModelConfig, Source};
use crate::model::layout::{Kind, Layout, Parameter, Reach};
use crate::model::modules::{Embeddings, Head, HeadModules, Layer, Module, Modules};
use crate::params::ParamMap;

pub const BERT: Architecture = Architecture {
    model_type: "bert",
    read,
    modules,
    canonical,
    decoder: "cls.predictions.decoder.weight",
    class,
    recognise,
};

/// Layers, width and vocabulary of bert-base-uncased, which the published schedule is for.
pub const BASE: (usize, usize, usize) = (12, 768, 30522);

/// Whether a model has the shape of bert-base-uncased.
pub fn is_base(config: &ModelConfig) -> bool {
    let shape = (config.num_hidden_layers, config.hidden_size, config.vocab_size);
    config.architecture.model_type == BERT.model_type && shape == BASE
}

/// More than any BERT has: beyond, a number in a name counts no layer.
const MOST_LAYERS: usize = 10_000;

/// As in the file; defaults are those of transformers' `BertConfig`.
#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(default = "defaults::positions")]
    max_position_embeddings: usize,
    #[serde(default = "defaults::types")]
    type_vocab_size: usize,
    #[serde(default = "defaults::act")]
    hidden_act: String,
    #[serde(default = "defaults::eps")]
    layer_norm_eps: f64,
    #[serde(default = "defaults::range")]
    initializer_range: f64,
    #[serde(default = "defaults::dropout")]
    hidden_dropout_prob: f64,
    classifier_dropout: Option<f64>,
    position_embedding_type: Option<String>,
    tie_word_embeddings: Option<bool>,
    is_decoder: Option<bool>,
}

mod defaults {
    pub fn positions() -> usize {
        512
    }
    pub fn types() -> usize {
        2
    }
    pub fn act() -> String {
        "gelu".into()
    }
    pub fn eps() -> f64 {
        1e-12
    }
    pub fn range() -> f64 {
        0.02
    }
    pub fn dropout() -> f64 {
        0.1
    }
}

fn read(source: &Source) -> Result<ModelConfig> {
    let raw: Raw = source.fields()?;
    if let Some(kind) = raw.position_embedding_type.filter(|kind| kind != "absolute") {
        let fix = "relative positions are not supported: use a checkpoint with absolute ones";
        return Err(source.wrong("position_embedding_type", "`absolute`", format!("`{kind}`"), fix));
    }
    if raw.tie_word_embeddings == Some(false) {
        let fix = "untied decoders are not supported: Fisher counts the tied weight once";
        return Err(source.wrong("tie_word_embeddings", "true", "false", fix));
    }
    if raw.is_decoder == Some(true) {
        let fix = "causal attention is not supported: use an encoder's checkpoint";
        return Err(source.wrong("is_decoder", "false", "true", fix));
    }
    Ok(ModelConfig {
        architecture: &BERT,
        vocab_size: raw.vocab_size,
        hidden_size: raw.hidden_size,
        num_hidden_layers: raw.num_hidden_layers,
        num_attention_heads: raw.num_attention_heads,
        intermediate_size: raw.intermediate_size,
        max_position_embeddings: raw.max_position_embeddings,
        type_vocab_size: raw.type_vocab_size,
        hidden_act: source.activation(&raw.hidden_act)?,
        layer_norm_eps: raw.layer_norm_eps,
        initializer_range: raw.initializer_range,
        head_dropout: raw.classifier_dropout.unwrap_or(raw.hidden_dropout_prob),
        json: source.json.clone(),
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let (h, decodes) = (config.hidden_size, head == Head::MaskedLm);
    let table = |name: &str, kind, rows, decodes| {
        Module::table(&format!("bert.embeddings.{name}"), Place::EMBEDDINGS, kind, (rows, h), decodes)
    };
    Modules {
        embeddings: Embeddings {
            tokens: table("word_embeddings", Kind::TokenTable, config.vocab_size, decodes),
            positions: table(
                "position_embeddings",
                Kind::PositionTable,
                config.max_position_embeddings,
                false,
            ),
            segments: table("token_type_embeddings", Kind::SegmentTable, config.type_vocab_size, false),
            norm: Module::norm("bert.embeddings.LayerNorm", Place::EMBEDDINGS, h),
        },
        layers: (0..config.num_hidden_layers).map(|k| layer(k, h, config.intermediate_size)).collect(),
        head: match head {
            Head::MaskedLm => HeadModules::Decoder {
                transform: Module::linear("cls.predictions.transform.dense", Place::HEAD, h, h),
                norm: Module::norm("cls.predictions.transform.LayerNorm", Place::HEAD, h),
                bias: Module::bias("cls.predictions", Place::HEAD, config.vocab_size),
            },
            Head::Classes(outputs) => pooled(h, outputs),
            Head::Regression => pooled(h, 1),
        },
        sites: sites(config.num_hidden_layers),
    }
}

fn layer(k: usize, h: usize, inner: usize) -> Layer {
    let at = |role| Place::in_layer(k, role);
    let path = |name: &str| format!("bert.encoder.layer.{k}.{name}");
    let linear = |name: &str, role, outputs, inputs| Module::linear(&path(name), at(role), outputs, inputs);
    let norm = |name: &str, role| Module::norm(&path(name), at(role), h);
    Layer {
        query: linear("attention.self.query", Role::AttentionProbs, h, h),
        // Softmax ignores a shift of all scores of a row.
        key: linear("attention.self.key", Role::AttentionProbs, h, h).with_idle_bias(),
        value: linear("attention.self.value", Role::AttentionProbs, h, h),
        attended: linear("attention.output.dense", Role::AttentionOutput, h, h),
        attended_norm: norm("attention.output.LayerNorm", Role::AttentionOutput),
        inner: linear("intermediate.dense", Role::Intermediate, inner, h),
        outer: linear("output.dense", Role::FfnOutput, h, inner),
        outer_norm: norm("output.LayerNorm", Role::FfnOutput),
    }
}

fn pooled(h: usize, outputs: usize) -> HeadModules {
    HeadModules::Pooled {
        pooler: Module::linear("bert.pooler.dense", Place::HEAD, h, h),
        output: Module::linear("classifier", Place::HEAD, outputs, h),
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
    let name = match stored.split('.').next() {
        Some("embeddings" | "encoder" | "pooler") => format!("bert.{stored}"),
        _ => stored.to_string(),
    };
    if name == "cls.predictions.decoder.bias" {
        return Some("cls.predictions.bias".into());
    }
    match name.rsplit_once("LayerNorm.") {
        Some((prefix, "gamma")) => Some(format!("{prefix}LayerNorm.weight")),
        Some((prefix, "beta")) => Some(format!("{prefix}LayerNorm.bias")),
        _ => (!name.ends_with("position_ids")).then_some(name),
    }
}

fn class(head: Head) -> &'static str {
    match head {
        Head::MaskedLm => "BertForMaskedLM",
        Head::Classes(_) | Head::Regression => "BertForSequenceClassification",
    }
}

fn recognise(tensors: &ParamMap) -> Layout {
    let number = |name: &String| name.strip_prefix("bert.encoder.layer.")?.split('.').next()?.parse().ok();
    let deepest = tensors.keys().filter_map(number).filter(|k: &usize| *k < MOST_LAYERS).max();
    // Shapes are the tensors' own: no other size matters.
    let config = ModelConfig {
        architecture: &BERT,
        vocab_size: 0,
        hidden_size: 0,
        num_hidden_layers: deepest.map_or(0, |k| k + 1),
        num_attention_heads: 1,
        intermediate_size: 0,
        max_position_embeddings: 0,
        type_vocab_size: 0,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-12,
        initializer_range: 0.02,
        head_dropout: 0.0,
        json: Default::default(),
    };
    let [masked, pooled] = [Head::MaskedLm, Head::Classes(1)].map(|head| modules(&config, head).layout());
    let of_decoder = masked.parameters().iter().filter(|p| pooled.get(&p.name).is_none());
    let mut known: Vec<Parameter> = pooled.parameters().iter().chain(of_decoder).cloned().collect();
    known.retain(|p| tensors.contains_key(&p.name));
    let unknown = |(name, tensor): (&String, &Tensor)| Parameter {
        name: name.clone(),
        shape: Vec::new(),
        kind: if tensor.rank() > 1 { Kind::Weight } else { Kind::Bias },
        place: Place::HEAD,
        reach: Reach::All,
    };
    let others: Vec<Parameter> =
        tensors.iter().filter(|(name, _)| known.iter().all(|p| p.name != **name)).map(unknown).collect();
    known.extend(others);
    known.iter_mut().for_each(|p| p.shape = tensors[&p.name].dims().to_vec());
    Layout::new(known, if deepest.is_some() { masked.sites().to_vec() } else { Vec::new() })
}
