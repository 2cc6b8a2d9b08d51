//! ELECTRA (Clark et al. 2020), generator and discriminator: BERT's layers, whose tables may be narrower than they are.

use candle_nn::Activation;

use crate::dropout::Place;
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::modules::{Head, Module, Modules};
use crate::model::settings::Curve;

use super::bert;

pub const ELECTRA: Architecture = Architecture {
    model_type: "electra",
    read,
    computed: Computed::Here(modules),
    canonical: |stored| match stored {
        "generator_lm_head.bias" => Some(stored.to_string()),
        _ => bert::prefixed("electra", &["embeddings", "embeddings_project", "encoder"], stored),
    },
    decoder: "generator_lm_head",
    pretrained: Head::MaskedLm,
    classes: [
        "ElectraForMaskedLM",
        "ElectraForSequenceClassification",
        "ElectraForTokenClassification",
        "ElectraForQuestionAnswering",
    ],
};

fn read(source: &Source) -> Result<ModelConfig> {
    let config = bert::read(&ELECTRA, source)?;
    let embedding_size = source.some_width("embedding_size")?.unwrap_or(128);
    // Heads are of GELU whatever `hidden_act` says.
    Ok(ModelConfig { embedding_size, head_activation: Activation::Gelu, ..config })
}

fn modules(config: &ModelConfig, head: Head) -> Modules {
    let head = match head.outputs() {
        None => bert::decoder(config, "generator_predictions", "LayerNorm", "generator_lm_head"),
        Some(_) if head.is_for_tokens() => bert::tagger(config, head),
        Some(outputs) => bert::classifier(config, Curve::Of(config.head_activation), outputs),
    };
    let mut modules = bert::encoder(config, "electra", head);
    let (e, h) = (config.embedding_size, config.hidden_size);
    let project = || Module::linear("electra.embeddings_project", Place::EMBEDDINGS, h, e);
    modules.embeddings.projection = (e != h).then(project);
    modules
}
