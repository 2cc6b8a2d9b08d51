//! ALBERT (Lan et al. 2020): one layer's parameters, used L times; tables narrower than the layers.
//!
//! The gradients of all uses add before they are squared. Its dropout behind the feed-forward maps is never called, so the
//! one block has the sites `attention_probs` and `attention_output`, whose rates hold in every layer.

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, ModelConfig, Source};
use crate::model::modules::{FeedForward, Head, Layer, Module, Modules, Projections};
use crate::model::settings::Curve;

use super::bert;

pub const ALBERT: Architecture = Architecture {
    model_type: "albert",
    read,
    modules,
    canonical: |stored| match stored {
        "predictions.decoder.bias" => Some("predictions.bias".into()),
        _ => bert::prefixed("albert", &["embeddings", "encoder", "pooler"], stored),
    },
    decoder: "predictions.decoder",
    pretrained: Head::MaskedLm,
    classes: ["AlbertForMaskedLM", "AlbertForSequenceClassification", "AlbertForTokenClassification"],
};

fn read(source: &Source) -> Result<ModelConfig> {
    let fix = "layers in several groups are not supported: use a checkpoint whose layers share one group";
    source.only("num_hidden_groups", 1, fix)?;
    source.only("inner_group_num", 1, fix)?;
    let config = bert::read(&ALBERT, source)?;
    Ok(ModelConfig {
        embedding_size: source.some_size("embedding_size")?.unwrap_or(128),
        activation: source.activation("hidden_act", "gelu_new")?,
        head_dropout: source.number_or("classifier_dropout_prob", 0.1)?,
        token_dropout: source.number_or("classifier_dropout_prob", 0.1)?,
        ..config
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let (e, h) = (config.embedding_size, config.hidden_size);
    let head = match head.outputs() {
        None => bert::decoder(config, "predictions", "LayerNorm", "predictions"),
        Some(outputs) if head.is_for_words() => bert::tagger(config, outputs),
        Some(outputs) => {
            let pooler = Module::linear("albert.pooler", Place::HEAD, h, h);
            bert::pooled(pooler, Curve::Tanh, Module::linear("classifier", Place::HEAD, outputs, h))
        }
    };
    let mut embeddings = bert::embeddings(config, "albert", &head);
    let map = "albert.encoder.embedding_hidden_mapping_in";
    embeddings.projection = Some(Module::linear(map, Place::EMBEDDINGS, h, e));
    let site = |role| LayerName::Shared.place(role);
    Modules {
        embeddings,
        layers: (0..config.layers.len()).map(|k| layer(config, k)).collect(),
        last_norm: None,
        head,
        sites: vec![Place::EMBEDDINGS, site(Role::AttentionProbs), site(Role::AttentionOutput)],
    }
}

fn layer(config: &ModelConfig, k: usize) -> Layer {
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    let path = |name: &str| format!("albert.encoder.albert_layer_groups.0.albert_layers.0.{name}");
    let at = |role| LayerName::Shared.place(role);
    let linear = |name: &str, role, outputs, inputs| Module::linear(&path(name), at(role), outputs, inputs);
    let norm = |name: &str, role| Module::norm(&path(name), at(role), h);
    Layer {
        projections: Projections::Apart {
            query: linear("attention.query", Role::AttentionProbs, h, h),
            // Softmax ignores a shift of all scores of a row.
            key: linear("attention.key", Role::AttentionProbs, h, h).with_idle_bias(),
            value: linear("attention.value", Role::AttentionProbs, h, h),
        },
        attended: linear("attention.dense", Role::AttentionOutput, h, h),
        attention_norm: Some(norm("attention.LayerNorm", Role::AttentionOutput)),
        feed_forward: FeedForward::Plain {
            inner: linear("ffn", Role::Intermediate, inner, h),
            outer: linear("ffn_output", Role::FfnOutput, h, inner),
        },
        feed_forward_norm: norm("full_layer_layer_norm", Role::FfnOutput),
        settings: config.layers[k].clone(),
        name: LayerName::Shared,
    }
}
