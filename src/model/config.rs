//! A model's shape, from `config.json`, and the architecture that it is of.

use std::fmt;
use std::path::Path;

use candle_nn::{Activation, VarBuilder};
use serde_json::{Map, Value};

use super::asked::{self, Asked};
use super::layout::{Layout, Parameter};
use super::modules::{Head, Module, Modules};
use super::reading::Reading;
use super::settings::{Decoder, Heads, LayerSettings, Norm, Order, Positions};
use crate::dropout::{LayerName, Place};
use crate::error::{Error, Result};
use crate::tasks::Kind;

/// What is particular to an architecture.
pub struct Architecture {
    /// As `config.json` calls it.
    pub model_type: &'static str,
    /// Reads its configuration.
    pub read: fn(&Source) -> Result<ModelConfig>,
    /// What computes its losses.
    pub computed: Computed,
    /// The canonical name of a stored tensor; `None` for what is no parameter.
    pub canonical: fn(&str) -> Option<String>,
    /// The path of the decoder, whose weight the token table is where the two are tied.
    pub decoder: &'static str,
    /// The head that it is pre-trained with.
    pub pretrained: Head,
    /// The classes of transformers: with that head, with one for a whole example, with one for each word, and with one for
    /// spans; empty where there is none.
    pub classes: [&'static str; 4],
}

/// Builds a model with this head, for examples of so many tokens, of the parameters that the builder gives.
pub type Build = fn(&ModelConfig, Head, usize, VarBuilder) -> candle_core::Result<Reading>;

/// What computes losses.
pub enum Computed {
    /// The network, over these modules with a head on top; gradients, too.
    Here(fn(&ModelConfig, Head) -> Modules),
    /// candle-transformers, losses alone.
    ByCandle(Build),
}

impl Architecture {
    /// The class of transformers that has this head; `None` if none has.
    pub fn class(&self, head: Head) -> Option<&'static str> {
        let [language, sequence, tokens, span] = self.classes;
        let class = match head {
            head if head.decodes() && head != self.pretrained => "",
            Head::MaskedLm | Head::CausalLm | Head::Seq2SeqLm => language,
            Head::Classes(_) | Head::Regression => sequence,
            Head::TokenClasses(_) => tokens,
            Head::Span => span,
        };
        Some(class).filter(|class| !class.is_empty())
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.model_type)
    }
}

/// What the computation depends on, of `config.json`: sizes, and the settings over which the forward pass is written.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub architecture: &'static Architecture,
    pub vocab_size: usize,
    /// Width of the tables.
    pub embedding_size: usize,
    /// H
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub heads: Heads,
    pub positions: Positions,
    /// 0 where the model knows no segments.
    pub type_vocab_size: usize,
    pub order: Order,
    pub norm: Norm,
    pub norm_eps: f64,
    /// Of the feed-forward maps.
    pub activation: Activation,
    /// Of the maps of a head.
    pub head_activation: Activation,
    /// The token whose look-ups in tables give no gradient, as under PyTorch's `padding_idx`.
    pub padding: Option<u32>,
    /// The token at the end of an example that a head for whole examples passes over.
    pub head_padding: Option<u32>,
    /// Whether the token table is the decoder's weight as well.
    pub tied: bool,
    /// L of them, those of a decoder last.
    pub layers: Vec<LayerSettings>,
    /// Where the layers are two stacks.
    pub decoder: Option<Decoder>,
    /// What the last hidden state of a decoder is multiplied by.
    pub output_scale: Option<f64>,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// Drop probability in front of a head for whole examples.
    pub head_dropout: f64,
    /// Likewise of one for words.
    pub token_dropout: f64,
    /// The same before a head that scores spans.
    pub span_dropout: f64,
    /// The whole file, kept for saving.
    pub json: Map<String, Value>,
}

/// More layers than any model has, values of a row, and tokens, positions or whatever else is counted. A file of a few bytes may name
/// any number, so it is asked for before memory is.
pub const MOST_LAYERS: usize = 10_000;
const MOST_WIDE: usize = 1 << 20;
const MOST: usize = 1 << 27;

const FIX: &str = "use the config.json of the checkpoint";

/// A `config.json`, parsed as far as being an object.
pub struct Source<'a> {
    path: &'a Path,
    pub json: Map<String, Value>,
}

impl<'a> Source<'a> {
    /// The file at `path`, whose text this is.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for text that is no JSON object.
    pub fn new(path: &'a Path, text: &str) -> Result<Source<'a>> {
        let json = serde_json::from_str(text).map_err(|e| unreadable(path, &e))?;
        Ok(Source { path, json })
    }

    /// What cannot be used in the file.
    pub fn wrong(&self, field: &str, expected: &str, found: impl ToString, fix: &str) -> Error {
        Error::field(self.path.display(), field, expected, found.to_string(), fix)
    }

    /// A field's value, read by `of`; `None` where the file has none, or null.
    fn value<T>(&self, key: &str, expected: &str, of: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => of(value).map(Some).ok_or_else(|| self.wrong(key, expected, value, FIX)),
        }
    }

    /// A whole number, which the file must have.
    pub fn size(&self, key: &str) -> Result<usize> {
        self.present(key, self.some_size(key)?)
    }

    /// A whole number, if the file has it.
    pub fn some_size(&self, key: &str) -> Result<Option<usize>> {
        self.at_most(MOST, key)
    }

    /// The number of values in a row, which the file must have.
    pub fn width(&self, key: &str) -> Result<usize> {
        self.present(key, self.some_width(key)?)
    }

    /// The number of values in a row, if the file has it.
    pub fn some_width(&self, key: &str) -> Result<Option<usize>> {
        self.at_most(MOST_WIDE, key)
    }

    /// The number of layers.
    pub fn layers(&self, key: &str) -> Result<usize> {
        self.present(key, self.some_layers(key)?)
    }

    /// The number of layers, if the file has it.
    pub fn some_layers(&self, key: &str) -> Result<Option<usize>> {
        self.at_most(MOST_LAYERS, key)
    }

    fn present(&self, key: &str, size: Option<usize>) -> Result<usize> {
        size.ok_or_else(|| self.wrong(key, "a whole number", "none", FIX))
    }

    fn at_most(&self, most: usize, key: &str) -> Result<Option<usize>> {
        match self.whole(key)? {
            Some(size) if size > most => Err(self.wrong(key, &format!("at most {most}"), size, FIX)),
            size => Ok(size),
        }
    }

    fn whole(&self, key: &str) -> Result<Option<usize>> {
        // Some scripts write whole numbers with a point.
        let pointed = |value: &Value| value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..1e15).contains(v));
        self.value(key, "a whole number", |value| match value.as_u64() {
            Some(size) => usize::try_from(size).ok(),
            None => pointed(value).map(|size| size as usize),
        })
    }

    /// The id of the padding token, or this one where the file has no such key; none where it says that there is none.
    pub fn padding(&self, otherwise: Option<u32>) -> Result<Option<u32>> {
        let key = "pad_token_id";
        let id = self.value(key, "a token's id", |value| value.as_i64())?;
        let otherwise = otherwise.filter(|_| !self.json.contains_key(key));
        Ok(id.and_then(|id| u32::try_from(id).ok()).or(otherwise))
    }

    /// A number, if the file has it.
    pub fn some_number(&self, key: &str) -> Result<Option<f64>> {
        self.value(key, "a number", Value::as_f64)
    }

    /// A number, or this one where the file has none.
    pub fn number_or(&self, key: &str, otherwise: f64) -> Result<f64> {
        Ok(self.some_number(key)?.unwrap_or(otherwise))
    }

    /// A word, or this one where the file has none.
    pub fn word_or(&self, key: &str, otherwise: &str) -> Result<String> {
        let word = self.value(key, "a word", |value| value.as_str().map(str::to_string))?;
        Ok(word.unwrap_or_else(|| otherwise.to_string()))
    }

    /// A yes or no, or this one where the file has none.
    pub fn flag_or(&self, key: &str, otherwise: bool) -> Result<bool> {
        Ok(self.value(key, "true or false", Value::as_bool)?.unwrap_or(otherwise))
    }

    /// Refuses a file that has another value there; one without it has `wanted`.
    pub fn only(&self, key: &str, wanted: impl Into<Value>, fix: &str) -> Result<()> {
        let wanted = wanted.into();
        match self.json.get(key) {
            Some(found) if *found != wanted && !found.is_null() => {
                Err(self.wrong(key, &wanted.to_string(), found, fix))
            }
            _ => Ok(()),
        }
    }

    /// The activation that a field names, or this one where the file has none.
    pub fn activation(&self, key: &str, otherwise: &str) -> Result<Activation> {
        self.activation_named(key, &self.word_or(key, otherwise)?)
    }

    /// The activation of this name, which the field has.
    pub fn activation_named(&self, key: &str, name: &str) -> Result<Activation> {
        // candle-nn knows more of them; these are in use and have a derivative.
        let known = match name {
            "gelu" | "gelu_python" => Activation::Gelu,
            // The same function, its constants folded.
            "gelu_new" | "gelu_fast" => Activation::NewGelu,
            "gelu_pytorch_tanh" => Activation::GeluPytorchTanh,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            _ => return Err(self.unknown_activation(key, name)),
        };
        Ok(known)
    }

    fn unknown_activation(&self, key: &str, name: &str) -> Error {
        let expected = "gelu, gelu_new, gelu_pytorch_tanh, relu or silu";
        self.wrong(key, expected, format!("`{name}`"), "use a checkpoint with one of these")
    }
}

fn unreadable(path: &Path, e: &serde_json::Error) -> Error {
    Error::field(path.display(), "JSON", "a model's configuration", e, FIX)
}

impl ModelConfig {
    /// L
    pub fn num_hidden_layers(&self) -> usize {
        self.layers.len()
    }

    /// What holds for every architecture.
    pub fn check(&self, source: &Source) -> Result<()> {
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            let fix = "BERT's is 1e-12: use the config.json of the checkpoint";
            return Err(source.wrong("layer_norm_eps", "in (0, 1)", self.norm_eps, fix));
        }
        // A head drawn far wider has infinite scores.
        if !(0.0..=1e3).contains(&self.initializer_range) {
            return Err(source.wrong("initializer_range", "from 0 to 1000", self.initializer_range, FIX));
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("embedding_size", self.embedding_size),
            ("num_hidden_layers", self.layers.len()),
            ("num_attention_heads", self.heads.queries),
            ("num_key_value_heads", self.heads.keys),
            ("d_kv", self.heads.depth),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.positions.longest()),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(source.wrong(name, "at least 1", 0, FIX));
        }
        // Where the file says how deep a head is, heads need not be as wide as the model.
        let own_depth = ["head_dim", "d_kv"].iter().any(|key| source.json.contains_key(*key));
        if !own_depth && !self.hidden_size.is_multiple_of(self.heads.queries) {
            let expected = format!("a divisor of hidden_size {}", self.hidden_size);
            let found = self.heads.queries;
            return Err(source.wrong("num_attention_heads", &expected, found, "correct the two sizes"));
        }
        if !self.heads.queries.is_multiple_of(self.heads.keys) {
            let expected = format!("a divisor of num_attention_heads {}", self.heads.queries);
            let found = self.heads.keys;
            return Err(source.wrong("num_key_value_heads", &expected, found, "correct the two sizes"));
        }
        for dropout in [self.head_dropout, self.token_dropout] {
            if !(0.0..1.0).contains(&dropout) {
                let fix = "correct classifier_dropout or hidden_dropout_prob";
                return Err(source.wrong("classifier_dropout", "in [0, 1)", dropout, fix));
            }
        }
        Ok(())
    }

    /// A yes or no of the file, or what it is where the file says nothing.
    pub fn flag(&self, key: &str, otherwise: bool) -> bool {
        self.json.get(key).and_then(Value::as_bool).unwrap_or(otherwise)
    }

    /// The same shape for a vocabulary of this size.
    pub fn with_vocabulary(mut self, size: usize) -> ModelConfig {
        self.vocab_size = size;
        self.json.insert("vocab_size".into(), size.into());
        self
    }

    /// Drop probability in front of the head that such labels ask for.
    pub fn dropout_before(&self, kind: Kind) -> f64 {
        match kind {
            Kind::TokenClasses => self.token_dropout,
            Kind::Span => self.span_dropout,
            _ => self.head_dropout,
        }
    }

    /// The modules of the model with this head; none of one that candle-transformers computes.
    pub fn modules(&self, head: Head) -> Option<Modules> {
        match &self.architecture.computed {
            Computed::Here(modules) => Some(self.finished(modules(self, head), head)),
            Computed::ByCandle(_) => None,
        }
    }

    /// An architecture's modules, which know nothing of what a head leaves without a gradient.
    pub(super) fn finished(&self, mut modules: Modules, head: Head) -> Modules {
        if let (Head::Span, Order::Post, Some(last)) = (head, self.order, modules.layers.last_mut())
            && last.name != LayerName::Shared
        {
            // A shift of all tokens alike shifts all scores of a span's ends alike, which softmax ignores.
            last.feed_forward_norm = last.feed_forward_norm.clone().with_idle_bias();
        }
        modules
    }

    /// The decoder's own weight, where it has one.
    pub fn own_decoder(&self) -> Option<Module> {
        let path = self.architecture.decoder;
        (!self.tied)
            .then(|| Module::linear(path, Place::HEAD, self.vocab_size, self.embedding_size).biased(false))
    }

    /// What each parameter of the model with this head is.
    pub fn layout(&self, head: Head) -> Layout {
        match &self.architecture.computed {
            Computed::Here(modules) => self.finished(modules(self, head), head).layout(self.order),
            // None of a configuration that candle refuses, which reading it has seen to.
            Computed::ByCandle(build) => {
                let asked = self.asked(head, *build).unwrap_or_default();
                asked::layout(asked, self.tied_by_name())
            }
        }
    }

    /// The parameters that candle-transformers asks for.
    pub fn asked(&self, head: Head, build: Build) -> candle_core::Result<Vec<Asked>> {
        asked::asked(|parameters| build(self, head, 1, parameters))
    }

    /// The weight of a decoder, without which the token table decodes.
    pub fn tied_by_name(&self) -> Option<String> {
        let decodes = self.architecture.pretrained == Head::CausalLm;
        decodes.then(|| format!("{}.weight", self.architecture.decoder))
    }

    /// The parameters of a head, in the order in which it applies them, whatever their place.
    pub fn head_parameters(&self, head: Head) -> Vec<Parameter> {
        match self.modules(head) {
            Some(modules) => modules.head.modules().into_iter().flat_map(Module::parameters).collect(),
            None => {
                let layout = self.layout(head);
                layout.parameters().iter().filter(|p| p.place == Place::HEAD).cloned().collect()
            }
        }
    }

    /// Values of the activations of one layer, where it reads so many tokens in examples of at most `longest`: those of its rows,
    /// and the scores of its attention.
    pub fn values_of_a_layer(&self, tokens: usize, longest: usize) -> [usize; 2] {
        let (h, inner) = (self.hidden_size, self.intermediate_size);
        // Input, key, value, query, context, two projections, two norms with what they keep; the feed-forward pair.
        [tokens * (11 * h + 2 * inner), tokens * self.heads.queries * longest]
    }

    /// The parameters below the head.
    pub fn encoder(&self) -> Vec<Parameter> {
        let all = self.layout(self.architecture.pretrained);
        all.parameters().iter().filter(|p| p.place != Place::HEAD).cloned().collect()
    }

    /// The dropout sites, in the order in which the model applies them.
    pub fn sites(&self) -> Vec<Place> {
        self.layout(self.architecture.pretrained).sites().to_vec()
    }
}
