//! ALBERT (Lan et al. 2020): one layer's parameters, used L times; tables narrower than the layers.
//!
//! The gradients of all uses add before they are squared. Its dropout behind the feed-forward maps is never called, so the
//! one block has the sites `attention_probs` and `attention_output`, whose rates hold in every layer.

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::{Head, Module, Modules};
use crate::model::settings::Curve;

use super::bert::{self, LayerNames};

pub const ALBERT: Architecture = Architecture {
    model_type: "albert",
    read,
    computed: Computed::Here(modules),
    canonical: |stored| match stored {
        "predictions.decoder.bias" => Some("predictions.bias".into()),
        _ => bert::prefixed("albert", &["embeddings", "encoder", "pooler"], stored),
    },
    decoder: "predictions.decoder",
    pretrained: Head::MaskedLm,
    classes: [
        "AlbertForMaskedLM",
        "AlbertForSequenceClassification",
        "AlbertForTokenClassification",
        "AlbertForQuestionAnswering",
    ],
};

const LAYER: LayerNames = LayerNames {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attended: "attention.dense",
    attention_norm: "attention.LayerNorm",
    inner: "ffn",
    outer: "ffn_output",
    norm: "full_layer_layer_norm",
};

fn read(source: &Source) -> Result<ModelConfig> {
    let fix = "layers in several groups are not supported: use a checkpoint whose layers share one group";
    source.only("num_hidden_groups", 1, fix)?;
    source.only("inner_group_num", 1, fix)?;
    let config = bert::read(&ALBERT, source)?;
    Ok(ModelConfig {
        embedding_size: source.some_width("embedding_size")?.unwrap_or(128),
        activation: source.activation("hidden_act", "gelu_new")?,
        head_activation: source.activation("hidden_act", "gelu_new")?,
        head_dropout: source.number_or("classifier_dropout_prob", 0.1)?,
        token_dropout: source.number_or("classifier_dropout_prob", 0.1)?,
        span_dropout: 0.0,
        ..config
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let (e, h) = (config.embedding_size, config.hidden_size);
    let head = match head.outputs() {
        None => bert::decoder(config, "predictions", "LayerNorm", "predictions"),
        Some(_) if head.is_for_tokens() => bert::tagger(config, head),
        Some(outputs) => {
            let pooler = Module::linear("albert.pooler", Place::HEAD, h, h);
            bert::pooled(pooler, Curve::Tanh, Module::linear("classifier", Place::HEAD, outputs, h))
        }
    };
    let mut embeddings = bert::embeddings(config, "albert", &head);
    let map = "albert.encoder.embedding_hidden_mapping_in";
    embeddings.projection = Some(Module::linear(map, Place::EMBEDDINGS, h, e));
    let path = "albert.encoder.albert_layer_groups.0.albert_layers.0";
    let layer = |k| bert::post_norm_layer(config, (k, LayerName::Shared), path, &LAYER);
    let site = |role| LayerName::Shared.place(role);
    Modules {
        embeddings,
        layers: (0..config.layers.len()).map(layer).collect(),
        encoder_norm: None,
        last_norm: None,
        head,
        sites: vec![Place::EMBEDDINGS, site(Role::AttentionProbs), site(Role::AttentionOutput)],
    }
}
