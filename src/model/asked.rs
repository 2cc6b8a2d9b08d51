//! The layout of a model that candle-transformers defines: what it asks for when it is built, and what its names say.
//!
//! A number in a name is that of the layer. In a layer the words of [`WORDS`] say which map it is; outside, what has to do
//! with embeddings or stands in an encoder belongs to the embeddings, all else to the head.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::layout::{Kind, Layout, Parameter, Reach};
use crate::dropout::{Place, Role};

/// A name and a shape.
pub type Asked = (String, Vec<usize>);

/// Gives tensors that take no memory, and notes what is asked for.
struct Recorder(Arc<Mutex<Vec<Asked>>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        if let Ok(mut asked) = self.0.lock() {
            asked.push((name.to_string(), shape.dims().to_vec()));
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the shape of {name} is not known")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// The parameters that `build` asks for, in its order.
pub fn asked<R>(build: impl FnOnce(VarBuilder) -> Result<R>) -> Result<Vec<Asked>> {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let recorder = Box::new(Recorder(noted.clone()));
    build(VarBuilder::from_backend(recorder, DType::F32, Device::Cpu))?;
    match noted.lock() {
        Ok(asked) => Ok(asked.clone()),
        Err(_) => candle_core::bail!("parameters of a model: poisoned lock"),
    }
}

/// What each of them is, in the order of places. What is asked for twice stands once. `own`: the decoder's weight where the token table
/// decodes unless there is one.
pub fn layout(asked: Vec<Asked>, own: Option<String>) -> Layout {
    let tied = own.is_some_and(|own| asked.iter().all(|(name, _)| *name != own));
    let mut seen = BTreeSet::new();
    let once = asked.into_iter().filter(|(name, _)| seen.insert(name.clone()));
    let mut parameters: Vec<Parameter> = once.map(|(name, shape)| parameter(name, shape, tied)).collect();
    parameters.sort_by_key(|parameter| parameter.place.order());
    Layout::new(parameters, Vec::new())
}

fn parameter(name: String, shape: Vec<usize>, tied: bool) -> Parameter {
    let (place, kind) = (place(&name), kind(&name, shape.len()));
    let reach = if kind == Kind::TokenTable && !tied { Reach::UsedRows } else { Reach::All };
    Parameter { name, shape, kind, place, reach, spread: 1.0 }
}

/// Words of names in a layer; the first that a name has says its role, and without any it is the map into the feed-forward part.
const WORDS: [(&str, Role); 15] = [
    ("input_layernorm", Role::AttentionProbs),
    ("pre_feedforward_layernorm", Role::Intermediate),
    ("post_feedforward_layernorm", Role::FfnOutput),
    ("post_attention_layernorm", Role::Intermediate),
    ("attention.output", Role::AttentionOutput),
    ("self_attn.o_proj", Role::AttentionOutput),
    ("self_attn.dense", Role::AttentionOutput),
    ("self_attn", Role::AttentionProbs),
    ("attention", Role::AttentionProbs),
    ("down_proj", Role::FfnOutput),
    ("fc2", Role::FfnOutput),
    ("intermediate", Role::Intermediate),
    ("output", Role::FfnOutput),
    ("gate", Role::Intermediate),
    ("up_proj", Role::Intermediate),
];

fn place(name: &str) -> Place {
    let layer = name.split('.').find_map(|part| part.parse().ok());
    let role =
        WORDS.iter().find(|(word, _)| name.contains(word)).map_or(Role::Intermediate, |(_, role)| *role);
    match layer {
        Some(layer) => Place::in_layer(layer, role),
        None if name.contains("embed") || name.contains("encoder.") => Place::EMBEDDINGS,
        None => Place::HEAD,
    }
}

fn kind(name: &str, axes: usize) -> Kind {
    let norm = name.to_ascii_lowercase().contains("norm");
    match (name.ends_with(".bias"), axes) {
        (true, _) if norm => Kind::NormBias,
        (true, _) => Kind::Bias,
        (false, 1) => Kind::NormWeight,
        _ if name.contains("embed_tokens") || name.contains("word_embeddings") => Kind::TokenTable,
        _ if name.contains("position_embeddings") => Kind::PositionTable,
        _ if name.contains("token_type_embeddings") => Kind::SegmentTable,
        _ if name.contains("rel_embeddings") => Kind::DistanceTable,
        _ => Kind::Weight,
    }
}
