//! A BERT's shape, from `config.json`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::ops::Activation;
use crate::error::{Error, Result};
use crate::files;

/// The fields of `config.json` that the computation depends on.
#[derive(Clone, Debug)]
pub struct BertConfig {
    pub vocab_size: usize,
    /// H
    pub hidden_size: usize,
    /// L
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub activation: Activation,
    pub layer_norm_eps: f64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// Drop probability in front of the classifier: `classifier_dropout`, else `hidden_dropout_prob`.
    pub head_dropout: f64,
    /// The whole file, kept for saving.
    pub json: Map<String, Value>,
}

/// As in the file; defaults are those of transformers' `BertConfig`.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
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

impl BertConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a file that is no JSON object, a missing or zero size, heads that do not divide the
    /// width, an activation or a kind of model that is not supported.
    pub fn read(path: &Path) -> Result<BertConfig> {
        let text = files::read_text(path)?;
        let wrong = |field: &str, expected: &str, found: String, fix: &str| {
            Error::field(path.display(), field, expected, found, fix)
        };
        let parse = |e: serde_json::Error| {
            wrong("JSON", "a BERT configuration", e.to_string(), "use the config.json of a BERT checkpoint")
        };
        let json: Map<String, Value> = serde_json::from_str(&text).map_err(parse)?;
        let raw: Raw = serde_json::from_str(&text).map_err(parse)?;
        if let Some(kind) = raw.model_type.filter(|kind| kind != "bert") {
            return Err(wrong(
                "model_type",
                "`bert`",
                format!("`{kind}`"),
                "only BERT encoders are supported",
            ));
        }
        if let Some(kind) = raw.position_embedding_type.filter(|kind| kind != "absolute") {
            let fix = "relative positions are not supported: use a checkpoint with absolute ones";
            return Err(wrong("position_embedding_type", "`absolute`", format!("`{kind}`"), fix));
        }
        if raw.tie_word_embeddings == Some(false) {
            let fix = "untied decoders are not supported: Fisher counts the tied weight once";
            return Err(wrong("tie_word_embeddings", "true", "false".into(), fix));
        }
        if raw.is_decoder == Some(true) {
            let fix = "causal attention is not supported: use an encoder's checkpoint";
            return Err(wrong("is_decoder", "false", "true".into(), fix));
        }
        if !(raw.layer_norm_eps > 0.0 && raw.layer_norm_eps < 1.0) {
            let fix = "BERT's is 1e-12: use the config.json of the checkpoint";
            return Err(wrong("layer_norm_eps", "in (0, 1)", raw.layer_norm_eps.to_string(), fix));
        }
        let activation = match raw.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => {
                let expected = "gelu, gelu_new, gelu_pytorch_tanh or relu";
                return Err(wrong(
                    "hidden_act",
                    expected,
                    format!("`{other}`"),
                    "use a checkpoint with one of these",
                ));
            }
        };
        let sizes = [
            ("vocab_size", raw.vocab_size),
            ("hidden_size", raw.hidden_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
            ("intermediate_size", raw.intermediate_size),
            ("max_position_embeddings", raw.max_position_embeddings),
            ("type_vocab_size", raw.type_vocab_size),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(wrong(name, "at least 1", "0".into(), "use the config.json of a BERT checkpoint"));
        }
        if !raw.hidden_size.is_multiple_of(raw.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", raw.hidden_size);
            let fix = "correct the two sizes";
            return Err(wrong("num_attention_heads", &expected, raw.num_attention_heads.to_string(), fix));
        }
        let head_dropout = raw.classifier_dropout.unwrap_or(raw.hidden_dropout_prob);
        if !(0.0..1.0).contains(&head_dropout) {
            let fix = "correct classifier_dropout or hidden_dropout_prob";
            return Err(wrong("classifier_dropout", "in [0, 1)", head_dropout.to_string(), fix));
        }
        Ok(BertConfig {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            intermediate_size: raw.intermediate_size,
            max_position_embeddings: raw.max_position_embeddings,
            type_vocab_size: raw.type_vocab_size,
            activation,
            layer_norm_eps: raw.layer_norm_eps,
            initializer_range: raw.initializer_range,
            head_dropout,
            json,
        })
    }

    /// The same shape for a vocabulary of this size.
    pub fn with_vocabulary(mut self, size: usize) -> BertConfig {
        self.vocab_size = size;
        self.json.insert("vocab_size".into(), size.into());
        self
    }

    /// Names and shapes of the encoder's parameters.
    pub fn encoder_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let mut shapes = Vec::new();
        let mut add = |name: String, shape: &[usize]| shapes.push((format!("bert.{name}"), shape.to_vec()));
        add("embeddings.word_embeddings.weight".into(), &[self.vocab_size, h]);
        add("embeddings.position_embeddings.weight".into(), &[self.max_position_embeddings, h]);
        add("embeddings.token_type_embeddings.weight".into(), &[self.type_vocab_size, h]);
        add("embeddings.LayerNorm.weight".into(), &[h]);
        add("embeddings.LayerNorm.bias".into(), &[h]);
        for k in 0..self.num_hidden_layers {
            let linears = [
                ("attention.self.query", h, h),
                ("attention.self.key", h, h),
                ("attention.self.value", h, h),
                ("attention.output.dense", h, h),
                ("intermediate.dense", i, h),
                ("output.dense", h, i),
            ];
            for (name, rows, columns) in linears {
                add(format!("encoder.layer.{k}.{name}.weight"), &[rows, columns]);
                add(format!("encoder.layer.{k}.{name}.bias"), &[rows]);
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                add(format!("encoder.layer.{k}.{name}.weight"), &[h]);
                add(format!("encoder.layer.{k}.{name}.bias"), &[h]);
            }
        }
        shapes
    }
}
