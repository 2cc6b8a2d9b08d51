//! T5 (Raffel et al. 2020), with its second version and FLAN-T5, which share its `model_type`, and mT5: an encoder and a decoder,
//! RMSNorm in front, numbers added to the scores by distance, no scaling.
//!
//! The traps: one table of distances serves all layers of a stack, so its gradient is a sum over them, to be squared as a
//! whole. The heads together may be wider than the model, or narrower. transformers 5 ties the decoder's map to the token table
//! whatever the configuration says, unless the file holds another (FLAN-T5's does); `tie_word_embeddings` says instead
//! whether the decoder's last state is scaled, where no `scale_decoder_outputs` does.

use candle_nn::Activation;

use crate::dropout::{LayerName, Place, Role};
use crate::error::Result;
use crate::model::config::{Architecture, Computed, ModelConfig, Source};
use crate::model::layout::Kind;
use crate::model::modules::{
    Attention, Cross, Embeddings, FeedForward, Head, HeadModules, Layer, Module, Modules, Projections,
};
use crate::model::settings::{Decoder, Distances, Heads, LayerSettings, Mask, Norm, Order, Positions};

pub const T5: Architecture = Architecture {
    model_type: "t5",
    read: |source| read(&T5, source, "relu"),
    computed: Computed::Here(modules),
    canonical,
    decoder: "lm_head",
    pretrained: Head::Seq2SeqLm,
    classes: ["T5ForConditionalGeneration", "", "", ""],
};

pub const MT5: Architecture = Architecture {
    model_type: "mt5",
    read: |source| read(&MT5, source, "gated-gelu"),
    classes: ["MT5ForConditionalGeneration", "", "", ""],
    ..T5
};

/// Longest example that is taken. The model itself has no bound.
const LONGEST: usize = 1 << 15;

fn read(architecture: &'static Architecture, source: &Source, feed_forward: &str) -> Result<ModelConfig> {
    let hidden_size = source.width("d_model")?;
    let heads = source.size("num_heads")?;
    let encoder = source.layers("num_layers")?;
    let decoder = source.some_layers("num_decoder_layers")?.unwrap_or(encoder);
    let [encoder_layer, decoder_layer] = layers(source)?;
    let dropout = source.number_or("dropout_rate", 0.1)?;
    let scaled = scaled(architecture, source)?;
    let mut json = source.json.clone();
    json.insert("scale_decoder_outputs".into(), scaled.into());
    Ok(ModelConfig {
        architecture,
        vocab_size: source.size("vocab_size")?,
        embedding_size: hidden_size,
        hidden_size,
        intermediate_size: source.width("d_ff")?,
        heads: Heads { queries: heads, keys: heads, depth: source.width("d_kv")? },
        positions: Positions::Relative { longest: LONGEST },
        type_vocab_size: 0,
        order: Order::Pre,
        norm: Norm::Rms,
        norm_eps: source.number_or("layer_norm_epsilon", 1e-6)?,
        activation: activation(source, feed_forward)?,
        head_activation: Activation::Gelu,
        padding: None,
        head_padding: None,
        decoder: Some(Decoder { first: encoder, start: start(source)? }),
        output_scale: scaled.then(|| (hidden_size as f64).powf(-0.5)),
        tied: true,
        layers: [vec![encoder_layer; encoder], vec![decoder_layer; decoder]].concat(),
        initializer_range: source.number_or("initializer_factor", 1.0)?,
        head_dropout: dropout,
        token_dropout: dropout,
        span_dropout: dropout,
        json,
    })
}

/// Whether the decoder's last state is scaled; mT5's is unless the file says otherwise.
fn scaled(architecture: &Architecture, source: &Source) -> Result<bool> {
    let tied = source.flag_or("tie_word_embeddings", true)? || architecture.model_type == MT5.model_type;
    source.flag_or("scale_decoder_outputs", tied)
}

/// The token that stands in front of what is to be written.
fn start(source: &Source) -> Result<u32> {
    let start = source.some_size("decoder_start_token_id")?.or(source.some_size("pad_token_id")?);
    Ok(start.unwrap_or(0) as u32)
}

/// Of the encoder, and of the decoder.
fn layers(source: &Source) -> Result<[LayerSettings; 2]> {
    let buckets = source.some_size("relative_attention_num_buckets")?.unwrap_or(32);
    let farthest = source.some_size("relative_attention_max_distance")?.unwrap_or(128);
    let fix = "use the config.json of the checkpoint";
    if buckets < 4 || !buckets.is_multiple_of(2) {
        let expected = "an even number, at least 4";
        return Err(source.wrong("relative_attention_num_buckets", expected, buckets, fix));
    }
    if farthest <= buckets / 2 {
        let expected = format!("more than half of the {buckets} buckets");
        return Err(source.wrong("relative_attention_max_distance", &expected, farthest, fix));
    }
    let layer = |mask, both| LayerSettings {
        mask,
        distances: Some(Distances { buckets, farthest, both }),
        unscaled: true,
        rotary: None,
    };
    Ok([layer(Mask::All, true), layer(Mask::Causal, false)])
}

/// `relu`, or `gated-` before the name of an activation; the GELU of gated maps is the tanh form.
fn activation(source: &Source, otherwise: &str) -> Result<Activation> {
    match source.word_or("feed_forward_proj", otherwise)?.as_str() {
        "gated-gelu" => Ok(Activation::NewGelu),
        name => source.activation_named("feed_forward_proj", name.strip_prefix("gated-").unwrap_or(name)),
    }
}

fn is_gated(config: &ModelConfig) -> bool {
    let own = config.json.get("feed_forward_proj").and_then(|name| name.as_str());
    own.map_or(config.architecture.model_type == MT5.model_type, |name| name.starts_with("gated-"))
}

fn modules(config: &ModelConfig, _: Head) -> Modules {
    let first = config.decoder.map_or(config.layers.len(), |decoder| decoder.first);
    let name = |k: usize| if k < first { LayerName::Encoder(k) } else { LayerName::Decoder(k - first) };
    let names: Vec<LayerName> = (0..config.layers.len()).map(name).collect();
    let head = HeadModules::Decoder { transform: None, weight: config.own_decoder(), bias: None };
    let size = (config.vocab_size, config.hidden_size);
    let tokens = Module::table("shared", Place::EMBEDDINGS, Kind::TokenTable, size, head.is_tied());
    let sites = names.iter().flat_map(|name| roles(*name).map(|role| name.place(role)));
    let last_norm = |stack: &str| Some(norm(config, &format!("{stack}.final_layer_norm"), Place::HEAD));
    Modules {
        embeddings: Embeddings::of_tokens(tokens),
        sites: std::iter::once(Place::EMBEDDINGS).chain(sites).collect(),
        layers: names.into_iter().zip(&config.layers).map(|(name, own)| layer(config, name, own)).collect(),
        encoder_norm: last_norm("encoder"),
        last_norm: last_norm("decoder"),
        head,
    }
}

/// The dropout sites of a layer, in turn.
fn roles(layer: LayerName) -> impl Iterator<Item = Role> {
    let cross = matches!(layer, LayerName::Decoder(_));
    let all = [
        Role::AttentionProbs,
        Role::AttentionOutput,
        Role::CrossProbs,
        Role::CrossOutput,
        Role::Intermediate,
        Role::FfnOutput,
    ];
    all.into_iter().filter(move |role| cross || !matches!(role, Role::CrossProbs | Role::CrossOutput))
}

fn norm(config: &ModelConfig, path: &str, place: Place) -> Module {
    Module::norm(path, place, config.hidden_size).biased(false)
}

/// Drawn as wide as keeps the size of what it maps.
fn linear(path: &str, place: Place, outputs: usize, inputs: usize) -> Module {
    Module::linear(path, place, outputs, inputs).biased(false).spread((inputs as f64).powf(-0.5))
}

fn layer(config: &ModelConfig, name: LayerName, settings: &LayerSettings) -> Layer {
    let decodes = matches!(name, LayerName::Decoder(_));
    let stack = if decodes { "decoder" } else { "encoder" };
    let path = |i: usize| format!("{stack}.block.{}.layer.{i}", name.number());
    let own = |i: usize, role| norm(config, &format!("{}.layer_norm", path(i)), name.place(role));
    let cross = || Cross {
        norm: own(1, Role::CrossProbs),
        attention: attention(
            config,
            &format!("{}.EncDecAttention", path(1)),
            [Role::CrossProbs, Role::CrossOutput].map(|role| name.place(role)),
            LayerSettings { unscaled: true, ..LayerSettings::default() },
        ),
    };
    let maps = format!("{}.SelfAttention", path(0));
    let places = [Role::AttentionProbs, Role::AttentionOutput].map(|role| name.place(role));
    let last = if decodes { 2 } else { 1 };
    Layer {
        attention_norm: Some(own(0, Role::AttentionProbs)),
        attention: Attention {
            distances: settings.distances.map(|own| distances(config, name, stack, own)),
            ..attention(config, &maps, places, settings.clone())
        },
        cross: decodes.then(cross),
        feed_forward_norm: own(last, Role::Intermediate),
        feed_forward: feed_forward(config, &format!("{}.DenseReluDense", path(last)), name),
        name,
    }
}

/// The table of a stack, which stands in its first layer.
fn distances(
    config: &ModelConfig,
    layer: LayerName,
    stack: &str,
    Distances { buckets, .. }: Distances,
) -> Module {
    let path = format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias");
    let first = match layer {
        LayerName::Decoder(_) => LayerName::Decoder(0),
        _ => LayerName::Encoder(0),
    };
    let place = first.place(Role::AttentionProbs);
    let size = (buckets, config.heads.queries);
    Module::table(&path, place, Kind::DistanceTable, size, false)
        .spread((config.hidden_size as f64).powf(-0.5))
}

fn attention(
    config: &ModelConfig,
    path: &str,
    [probs, output]: [Place; 2],
    settings: LayerSettings,
) -> Attention {
    let (h, wide) = (config.hidden_size, config.heads.queries * config.heads.depth);
    let map = |name: &str| linear(&format!("{path}.{name}"), probs, wide, h);
    // Scores are not scaled: queries are drawn smaller instead.
    let query = map("q").spread(((h * config.heads.depth) as f64).powf(-0.5));
    let projections = Projections::Apart { query, key: map("k"), value: map("v") };
    Attention::new(projections, linear(&format!("{path}.o"), output, h, wide), settings)
}

fn feed_forward(config: &ModelConfig, path: &str, layer: LayerName) -> FeedForward {
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    let first = |name: &str| linear(&format!("{path}.{name}"), layer.place(Role::Intermediate), inner, h);
    let outer = linear(&format!("{path}.wo"), layer.place(Role::FfnOutput), h, inner);
    match is_gated(config) {
        true => FeedForward::Gated { gate: first("wi_0"), up: first("wi_1"), outer },
        false => FeedForward::Plain { inner: first("wi"), outer },
    }
}

/// As they are stored; the stacks' own names of the token table are its other names, and a table that old files hold for
/// attention to the encoder is no parameter.
fn canonical(stored: &str) -> Option<String> {
    match stored {
        "encoder.embed_tokens.weight" | "decoder.embed_tokens.weight" => Some("shared.weight".into()),
        _ if stored.ends_with("EncDecAttention.relative_attention_bias.weight") => None,
        _ => Some(stored.to_string()),
    }
}
