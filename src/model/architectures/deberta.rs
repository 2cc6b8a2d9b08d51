//! DeBERTa-v2 and v3 (He et al. 2021): attention that also sees how far tokens are apart, by a table of its own.
//!
//! The trap: the table of distances is one for all layers, so its place is the embeddings'.

use candle_core::{Result, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::debertav2::{
    Config, DebertaV2Model, DebertaV2SeqClassificationModel, Id2Label,
};
use serde_json::{Value, json};

use super::by_candle::{told, with};
use super::{bert, llama};
use crate::error;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::Head;
use crate::model::reading::Reading;
use crate::model::settings::Positions;

pub const DEBERTA_V2: Architecture = Architecture {
    model_type: "deberta-v2",
    read,
    computed: Computed::ByCandle(build),
    canonical: |stored| bert::prefixed("deberta", &["embeddings", "encoder"], stored),
    decoder: "cls.predictions.decoder",
    pretrained: Head::MaskedLm,
    classes: ["", "DebertaV2ForSequenceClassification", "", ""],
};

fn read(source: &Source) -> error::Result<ModelConfig> {
    let fix = "use a checkpoint of DeBERTa-v3, or of DeBERTa-v2 without a convolution";
    source.only("conv_kernel_size", 0, fix)?;
    for key in ["hidden_act", "pooler_hidden_act"] {
        let activation = source.activation(key, "gelu")?;
        if !matches!(activation, Activation::Gelu | Activation::Relu) {
            return Err(source.wrong(key, "gelu or relu", source.word_or(key, "")?, fix));
        }
    }
    let rows = source.some_width("max_position_embeddings")?.unwrap_or(512);
    let config = llama::read(&DEBERTA_V2, source)?;
    let config = ModelConfig {
        positions: Positions::Table { rows },
        type_vocab_size: source.some_size("type_vocab_size")?.unwrap_or(0),
        norm_eps: source.number_or("layer_norm_eps", 1e-7)?,
        padding: None,
        head_padding: None,
        tied: true,
        ..config
    };
    let defaults = json!({
        "layer_norm_eps": config.norm_eps,
        "initializer_range": config.initializer_range,
        "type_vocab_size": config.type_vocab_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "relative_attention": false,
        "max_relative_positions": -1,
        "position_biased_input": true,
        "pooler_dropout": 0.0,
        "pooler_hidden_act": "gelu",
        "pooler_hidden_size": config.hidden_size,
    });
    let Value::Object(defaults) = defaults else { return Ok(config) };
    let missing = defaults.into_iter().filter(|(key, _)| config.json.get(key).is_none_or(Value::is_null));
    let missing = Value::Object(missing.collect());
    // Distances without a bound of their own are bounded by the positions that the file names, not by the tokens of an example.
    let bound = source.json.get("max_relative_positions").and_then(Value::as_i64).filter(|bound| *bound > 0);
    let kinds =
        source.json.get("pos_att_type").filter(|kinds| !kinds.is_null()).cloned().unwrap_or(json!([]));
    let own = json!({"max_relative_positions": bound.unwrap_or(rows as i64), "pos_att_type": kinds, "id2label": null, "label2id": null});
    Ok(with(with(config, missing), own))
}

fn build(config: &ModelConfig, head: Head, _: usize, parameters: VarBuilder) -> Result<Reading> {
    let own: Config = told(config, config.positions.longest())?;
    let parameters = parameters.pp("deberta");
    let Some(outputs) = head.outputs() else {
        let model = DebertaV2Model::load(parameters, &own)?;
        return Ok(one_by_one(move |ids, types| model.forward(ids, Some(types), None)));
    };
    let labels: Id2Label = (0..outputs as u32).map(|label| (label, label.to_string())).collect();
    let model = DebertaV2SeqClassificationModel::load(parameters, &own, Some(labels))?;
    Ok(one_by_one(move |ids, types| model.forward(ids, Some(types), None)))
}

/// candle adds positions to a single example alone.
fn one_by_one(read: impl Fn(&Tensor, Tensor) -> Result<Tensor> + 'static) -> Reading {
    Reading::Whole(Box::new(move |ids, types| {
        let one = |b| read(&ids.narrow(0, b, 1)?, types.narrow(0, b, 1)?);
        let scores = (0..ids.dim(0)?).map(one).collect::<Result<Vec<Tensor>>>()?;
        Tensor::cat(&scores, 0)
    }))
}
