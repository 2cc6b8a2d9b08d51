//! DistilBERT (Sanh et al. 2019): BERT's layers under names of their own, no segments, and no dropout behind attention's
//! last map, so 1 + 2L sites.

use candle_nn::Activation;

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::{Head, HeadModules, Module, Modules, Transform};
use crate::model::settings::{Curve, Heads, LayerSettings, Norm, Order, Positions};

use super::bert::{self, LayerNames};

pub const DISTILBERT: Architecture = Architecture {
    model_type: "distilbert",
    read,
    computed: Computed::Here(modules),
    canonical: |stored| bert::prefixed("distilbert", &["embeddings", "transformer"], stored),
    decoder: "vocab_projector",
    pretrained: Head::MaskedLm,
    classes: [
        "DistilBertForMaskedLM",
        "DistilBertForSequenceClassification",
        "DistilBertForTokenClassification",
        "DistilBertForQuestionAnswering",
    ],
};

const LAYER: LayerNames = LayerNames {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attended: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    inner: "ffn.lin1",
    outer: "ffn.lin2",
    norm: "output_layer_norm",
};

fn read(source: &Source) -> Result<ModelConfig> {
    let (hidden_size, heads) = (source.width("dim")?, source.size("n_heads")?);
    Ok(ModelConfig {
        architecture: &DISTILBERT,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("hidden_dim")?,
        heads: Heads::of(heads, hidden_size),
        // Sinusoidal ones are stored as a table, too.
        positions: Positions::Table { rows: source.some_size("max_position_embeddings")?.unwrap_or(512) },
        type_vocab_size: 0,
        order: Order::Post,
        norm: Norm::Layer,
        norm_eps: 1e-12,
        activation: source.activation("activation", "gelu")?,
        head_activation: source.activation("activation", "gelu")?,
        padding: source.padding(Some(0))?,
        head_padding: None,
        decoder: None,
        output_scale: None,
        tied: source.flag_or("tie_word_embeddings", true)?,
        layers: vec![LayerSettings::default(); source.layers("n_layers")?],
        initializer_range: source.number_or("initializer_range", 0.02)?,
        head_dropout: source.number_or("seq_classif_dropout", 0.2)?,
        token_dropout: source.number_or("dropout", 0.1)?,
        span_dropout: source.number_or("qa_dropout", 0.1)?,
        json: source.json.clone(),
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let h = config.hidden_size;
    let head = match head.outputs() {
        None => HeadModules::Decoder {
            transform: Some(Transform {
                dense: Module::linear("vocab_transform", Place::HEAD, h, h),
                curve: Curve::Of(config.head_activation),
                norm: Some(Module::norm("vocab_layer_norm", Place::HEAD, h)),
            }),
            weight: config.own_decoder(),
            bias: Some(Module::bias("vocab_projector", Place::HEAD, config.vocab_size)),
        },
        Some(_) if head.is_for_tokens() => bert::tagger(config, head),
        Some(outputs) => bert::pooled(
            Module::linear("pre_classifier", Place::HEAD, h, h),
            Curve::Of(Activation::Relu),
            Module::linear("classifier", Place::HEAD, outputs, h),
        ),
    };
    let site = |k| [Role::AttentionProbs, Role::FfnOutput].map(|role| Place::in_layer(k, role));
    let path = |k| format!("distilbert.transformer.layer.{k}");
    let layer = |k| bert::post_norm_layer(config, (k, LayerName::Number(k)), &path(k), &LAYER);
    let sites = (0..config.layers.len()).flat_map(site);
    Modules {
        embeddings: bert::embeddings(config, "distilbert", &head),
        layers: (0..config.layers.len()).map(layer).collect(),
        encoder_norm: None,
        last_norm: None,
        head,
        sites: std::iter::once(Place::EMBEDDINGS).chain(sites).collect(),
    }
}
