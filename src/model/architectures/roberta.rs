//! RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT: BERT's layers; positions begin behind the padding token's.
//!
//! The trap: transformers counts positions by the ids that differ from `pad_token_id`, so a padding token inside a text
//! has the padding's own position and is not counted.

use candle_nn::Activation;

use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::{Head, Modules};
use crate::model::settings::{Curve, Positions};

use super::bert;

pub const ROBERTA: Architecture = Architecture {
    model_type: "roberta",
    read: |source| read(&ROBERTA, source),
    computed: Computed::Here(modules),
    canonical,
    decoder: "lm_head.decoder",
    pretrained: Head::MaskedLm,
    classes: [
        "RobertaForMaskedLM",
        "RobertaForSequenceClassification",
        "RobertaForTokenClassification",
        "RobertaForQuestionAnswering",
    ],
};

pub const XLM_ROBERTA: Architecture = Architecture {
    model_type: "xlm-roberta",
    read: |source| read(&XLM_ROBERTA, source),
    classes: [
        "XLMRobertaForMaskedLM",
        "XLMRobertaForSequenceClassification",
        "XLMRobertaForTokenClassification",
        "XLMRobertaForQuestionAnswering",
    ],
    ..ROBERTA
};

pub const CAMEMBERT: Architecture = Architecture {
    model_type: "camembert",
    read: |source| read(&CAMEMBERT, source),
    classes: [
        "CamembertForMaskedLM",
        "CamembertForSequenceClassification",
        "CamembertForTokenClassification",
        "CamembertForQuestionAnswering",
    ],
    ..ROBERTA
};

fn read(architecture: &'static Architecture, source: &Source) -> Result<ModelConfig> {
    let padding = source.some_size("pad_token_id")?.unwrap_or(1);
    let config = bert::read(architecture, source)?;
    let rows = config.positions.longest();
    let own = u32::try_from(padding).ok().filter(|own| (*own as usize) < config.vocab_size);
    let padding = own.ok_or_else(|| {
        let expected = format!("a token of the vocabulary, below {}", config.vocab_size);
        source.wrong("pad_token_id", &expected, padding, "use the checkpoint's own file")
    })?;
    Ok(ModelConfig {
        positions: Positions::Behind { padding, rows },
        // Whatever `hidden_act` says.
        head_activation: Activation::Gelu,
        padding: Some(padding),
        ..config
    })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let head = match head.outputs() {
        None => bert::decoder(config, "lm_head", "layer_norm", "lm_head"),
        Some(_) if head.is_for_tokens() => bert::tagger(config, head),
        Some(outputs) => bert::classifier(config, Curve::Tanh, outputs),
    };
    bert::encoder(config, "roberta", head)
}

fn canonical(stored: &str) -> Option<String> {
    if stored == "lm_head.decoder.bias" {
        return Some("lm_head.bias".into());
    }
    bert::prefixed("roberta", &["embeddings", "encoder", "pooler"], stored)
}
