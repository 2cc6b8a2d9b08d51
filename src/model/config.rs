//! A model's shape, from `config.json`, and the architecture that it is of.

use std::fmt;
use std::path::Path;

use candle_nn::Activation;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::layout::{Layout, Parameter};
use super::modules::{Head, Modules};
use crate::dropout::Place;
use crate::error::{Error, Result};
use crate::params::ParamMap;

/// What is particular to an architecture.
pub struct Architecture {
    /// As `config.json` calls it.
    pub model_type: &'static str,
    /// Reads its configuration.
    pub read: fn(&Source) -> Result<ModelConfig>,
    /// Its modules, with a head on top.
    pub modules: fn(&ModelConfig, Head) -> Modules,
    /// The canonical name of a stored tensor; `None` for what is no parameter.
    pub canonical: fn(&str) -> Option<String>,
    /// The name of a stored decoder, which the token table stands for.
    pub decoder: &'static str,
    /// The class of transformers that has this head.
    pub class: fn(Head) -> &'static str,
    /// The modules of any model of this many layers whose parameters have these names: for F files of version 0.1.0, which
    /// do not hold their layout.
    pub recognise: fn(&ParamMap) -> Layout,
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.model_type)
    }
}

/// The fields of `config.json` that the computation depends on, under the names that most architectures give them.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub architecture: &'static Architecture,
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
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// Drop probability in front of the task head.
    pub head_dropout: f64,
    /// The whole file, kept for saving.
    pub json: Map<String, Value>,
}

/// A `config.json`, parsed as far as being an object.
pub struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    pub json: Map<String, Value>,
}

impl<'a> Source<'a> {
    /// The file at `path`, whose text this is.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for text that is no JSON object.
    pub fn new(path: &'a Path, text: &'a str) -> Result<Source<'a>> {
        let json = serde_json::from_str(text).map_err(|e| unreadable(path, &e))?;
        Ok(Source { path, text, json })
    }

    /// What cannot be used in the file.
    pub fn wrong(&self, field: &str, expected: &str, found: impl ToString, fix: &str) -> Error {
        Error::field(self.path.display(), field, expected, found.to_string(), fix)
    }

    /// The file as an architecture's own struct.
    pub fn fields<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.text).map_err(|e| unreadable(self.path, &e))
    }

    /// The activation of this name.
    pub fn activation(&self, name: &str) -> Result<Activation> {
        // candle-nn knows more of them; these are in use and have a derivative.
        let known = match name {
            "gelu" => Activation::Gelu,
            "gelu_new" => Activation::NewGelu,
            "gelu_pytorch_tanh" => Activation::GeluPytorchTanh,
            "relu" => Activation::Relu,
            _ => return Err(self.unknown_activation(name)),
        };
        Ok(known)
    }

    fn unknown_activation(&self, name: &str) -> Error {
        let expected = "gelu, gelu_new, gelu_pytorch_tanh or relu";
        self.wrong("hidden_act", expected, format!("`{name}`"), "use a checkpoint with one of these")
    }
}

fn unreadable(path: &Path, e: &serde_json::Error) -> Error {
    let fix = "use the config.json of a BERT checkpoint";
    Error::field(path.display(), "JSON", "a BERT configuration", e, fix)
}

impl ModelConfig {
    /// What holds for every architecture.
    pub fn check(&self, source: &Source) -> Result<()> {
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let fix = "BERT's is 1e-12: use the config.json of the checkpoint";
            return Err(source.wrong("layer_norm_eps", "in (0, 1)", self.layer_norm_eps, fix));
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(source.wrong(name, "at least 1", 0, "use the config.json of a BERT checkpoint"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", self.hidden_size);
            let found = self.num_attention_heads;
            return Err(source.wrong("num_attention_heads", &expected, found, "correct the two sizes"));
        }
        if !(0.0..1.0).contains(&self.head_dropout) {
            let fix = "correct classifier_dropout or hidden_dropout_prob";
            return Err(source.wrong("classifier_dropout", "in [0, 1)", self.head_dropout, fix));
        }
        Ok(())
    }

    /// The same shape for a vocabulary of this size.
    pub fn with_vocabulary(mut self, size: usize) -> ModelConfig {
        self.vocab_size = size;
        self.json.insert("vocab_size".into(), size.into());
        self
    }

    /// What each parameter of the model with this head is.
    pub fn layout(&self, head: Head) -> Layout {
        (self.architecture.modules)(self, head).layout()
    }

    /// The parameters below the head.
    pub fn encoder(&self) -> Vec<Parameter> {
        let all = self.layout(Head::MaskedLm);
        all.parameters().iter().filter(|p| p.place != Place::HEAD).cloned().collect()
    }

    /// The dropout sites, in the order in which the model applies them.
    pub fn sites(&self) -> Vec<Place> {
        self.layout(Head::MaskedLm).sites().to_vec()
    }
}
