//! Architectures: one file each, and one line in [`ALL`].
//!
//! An architecture is data: how its `config.json` is read, which modules it has and what they are called, and the names of
//! its classes in transformers. The [`Layout`] follows from the modules; the forward pass ([`super::network`]) is written
//! once over them and over the settings of the [`ModelConfig`].

pub mod albert;
pub mod bert;
mod by_candle;
pub mod deberta;
pub mod distilbert;
pub mod electra;
pub mod gemma;
pub mod gpt2;
pub mod gpt_neox;
pub mod llama;
pub mod modernbert;
pub mod phi;
pub mod qwen3;
pub mod roberta;
pub mod t5;

use std::path::Path;

use candle_core::Tensor;
use candle_nn::Activation;
use serde_json::Value;

use super::config::{Architecture, Computed, MOST_LAYERS, ModelConfig, Source};
use super::layout::{Kind, Layout, Parameter, Reach};
use super::modules::Head;
use super::settings::{Decoder, Heads, LayerSettings, Norm, Order, Positions};
use crate::dropout::Place;
use crate::error::{Error, Result};
use crate::files;
use crate::params::ParamMap;

/// Every architecture that the network computes ([`BY_CANDLE`] has the others); first that of a configuration without a `model_type`.
pub const ALL: [&Architecture; 15] = [
    &bert::BERT,
    &roberta::ROBERTA,
    &roberta::XLM_ROBERTA,
    &roberta::CAMEMBERT,
    &distilbert::DISTILBERT,
    &electra::ELECTRA,
    &albert::ALBERT,
    &modernbert::MODERNBERT,
    &gpt2::GPT2,
    &gpt_neox::GPT_NEOX,
    &llama::LLAMA,
    &llama::MISTRAL,
    &llama::QWEN2,
    &t5::T5,
    &t5::MT5,
];

/// Every architecture that candle-transformers computes, losses alone.
pub const BY_CANDLE: [&Architecture; 7] = [
    &deberta::DEBERTA_V2,
    &qwen3::QWEN3,
    &gemma::GEMMA,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &phi::PHI,
    &phi::PHI3,
];

/// Reads and checks `config.json`.
///
/// # Errors
///
/// [`Error::Field`] for a file that is no JSON object, a missing or zero size, heads that do not divide the
/// width, an activation or a kind of model that is not supported.
pub fn read(path: &Path) -> Result<ModelConfig> {
    let text = files::read_text(path)?;
    let source = Source::new(path, &text)?;
    let architecture = match source.json.get("model_type") {
        None | Some(Value::Null) => ALL[0],
        Some(kind) => {
            let known = ALL.into_iter().chain(BY_CANDLE).find(|known| kind == known.model_type);
            known.ok_or_else(|| not_known(&source, kind))?
        }
    };
    let config = (architecture.read)(&source)?;
    config.check(&source)?;
    if let Computed::ByCandle(build) = architecture.computed {
        let wrong = |found| {
            let expected =
                format!("that of a {} model which candle-transformers can build", architecture.model_type);
            source.wrong("configuration", &expected, found, "use the config.json of the checkpoint")
        };
        config.asked(architecture.pretrained, build).map_err(wrong)?;
    }
    Ok(config)
}

/// What a configuration says whose kind no table has.
fn not_known(source: &Source, kind: &Value) -> Error {
    let names =
        |all: &[&Architecture]| all.iter().map(|known| known.model_type).collect::<Vec<_>>().join(", ");
    let expected = format!("one of {}; or, for losses only, {}", names(&ALL), names(&BY_CANDLE));
    let found = kind.as_str().map_or_else(|| kind.to_string(), str::to_string);
    source.wrong(
        "model_type",
        &expected,
        format!("`{found}`"),
        "use a checkpoint of one of these architectures",
    )
}

/// The layout of parameters that no file describes, by the names that an architecture gives them. A tensor that none
/// knows belongs to the head.
pub fn recognise(tensors: &ParamMap) -> Layout {
    let numbers = tensors.keys().flat_map(|name| name.split('.')).filter_map(|part| part.parse().ok());
    let layers = numbers.filter(|k: &usize| *k < MOST_LAYERS).max().map_or(0, |k| k + 1);
    let mut best: Option<(Vec<Parameter>, Layout)> = None;
    for architecture in ALL {
        let known = known(tensors, &nameless(architecture, layers));
        if best.as_ref().is_none_or(|(most, _)| known.0.len() > most.len()) {
            best = Some(known);
        }
    }
    let Some((mut known, all)) = best else { return Layout::default() };
    let in_layers = known.iter().any(|p| p.place.layer.is_some());
    let others = tensors.iter().filter(|(name, _)| known.iter().all(|p| p.name != **name)).map(unknown);
    let others: Vec<Parameter> = others.collect();
    known.extend(others);
    known.iter_mut().for_each(|p| p.shape = tensors[&p.name].dims().to_vec());
    Layout::new(known, if in_layers { all.sites().to_vec() } else { Vec::new() })
}

/// The parameters that the tensors are, of any head; and the layout of the model with the head it is pre-trained with.
fn known(tensors: &ParamMap, config: &ModelConfig) -> (Vec<Parameter>, Layout) {
    let pretrained = config.layout(config.architecture.pretrained);
    let pooled = config.layout(Head::Regression);
    let span = config.architecture.class(Head::Span).map(|_| config.layout(Head::Span));
    let other = pretrained.parameters().iter().filter(|p| pooled.get(&p.name).is_none());
    let ends = span.iter().flat_map(Layout::parameters).filter(|p| p.name.starts_with("qa_outputs"));
    let all = pooled.parameters().iter().chain(other).chain(ends);
    (all.filter(|p| tensors.contains_key(&p.name)).cloned().collect(), pretrained)
}

fn unknown((name, tensor): (&String, &Tensor)) -> Parameter {
    Parameter {
        name: name.clone(),
        shape: Vec::new(),
        kind: if tensor.rank() > 1 { Kind::Weight } else { Kind::Bias },
        place: Place::HEAD,
        reach: Reach::All,
        spread: 1.0,
    }
}

/// A configuration of which the names of parameters count alone.
fn nameless(architecture: &'static Architecture, layers: usize) -> ModelConfig {
    let decoder = (architecture.pretrained == Head::Seq2SeqLm).then_some(Decoder { first: layers, start: 0 });
    let layers = if decoder.is_some() { 2 * layers } else { layers };
    ModelConfig {
        architecture,
        vocab_size: 1,
        // Other than the width: a model whose tables are narrower has a map between the two.
        embedding_size: 2,
        hidden_size: 1,
        intermediate_size: 1,
        heads: Heads::of(1, 1),
        positions: Positions::Table { rows: 1 },
        type_vocab_size: 1,
        order: Order::Post,
        norm: Norm::Layer,
        norm_eps: 1e-12,
        activation: Activation::Gelu,
        head_activation: Activation::Gelu,
        padding: None,
        head_padding: None,
        decoder,
        output_scale: None,
        tied: true,
        layers: vec![LayerSettings::default(); layers],
        initializer_range: 0.0,
        head_dropout: 0.0,
        token_dropout: 0.0,
        span_dropout: 0.0,
        json: Default::default(),
    }
}
