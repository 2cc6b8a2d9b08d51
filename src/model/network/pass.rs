//! The forward pass of a network, written once over the modules and settings of its architecture.
//!
//! Shapes: `[total, H]` for tokens, `[M, H]` for the rows that the head reads.

use std::fmt::Display;
use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{Network, Probe, Used};
use crate::data::{Batch, Labels};
use crate::dropout::{Dropout, Noise, Place, Role};
use crate::model::modules::{FeedForward, HeadModules, Layer, Module, Projections, Transform};
use crate::model::objective::Outputs;
use crate::model::ops::fused::Tap;
use crate::model::ops::{self, Backend};
use crate::model::settings::{Curve, Order};
use crate::params::ParamMap;

/// Losses of the targets `[M]` from the model's scores; `offsets` are where examples begin among the tokens.
pub fn losses(backend: Backend, scores: &Tensor, labels: &Labels, offsets: &[usize]) -> Result<Tensor> {
    match labels {
        Labels::Classes(labels) => backend.cross_entropy(scores, labels),
        Labels::Values(values) => (scores - Tensor::new(values.as_slice(), scores.device())?)?.sqr(),
        Labels::Ends(spans) => {
            let own = |(span, ends): (&[usize], &[u32; 2])| {
                let scores = scores.narrow(0, span[0], span[1] - span[0])?.t()?.contiguous()?;
                backend.cross_entropy(&scores, ends)?.mean_all()
            };
            let each = offsets.windows(2).zip(spans).map(own).collect::<Result<Vec<Tensor>>>()?;
            Tensor::stack(&each, 0)
        }
    }
}

fn no_parameter(name: &str) -> candle_core::Error {
    candle_core::Error::Msg(format!("no parameter {name}"))
}

/// What the rows of an operation's input are.
#[derive(Clone, Copy)]
enum Rows {
    Tokens,
    Targets,
}

/// One forward pass.
pub struct Pass<'a> {
    model: &'a Network,
    theta: &'a ParamMap,
    batch: &'a Batch,
    dropout: Option<(&'a Dropout, u64)>,
    probe: Option<&'a Probe>,
    read: Read,
}

/// The rows that the head reads, as they belong to examples.
struct Read {
    /// Where each example's begin: `[B + 1]`.
    offsets: Vec<usize>,
    /// Position of each in its example.
    positions: Vec<u32>,
}

impl Read {
    fn new(batch: &Batch) -> Read {
        let rows = &batch.targets.rows;
        let offsets =
            batch.offsets.iter().map(|&end| rows.partition_point(|row| (*row as usize) < end)).collect();
        let positions = rows.iter().map(|&row| batch.positions[row as usize]).collect();
        Read { offsets, positions }
    }
}

impl<'a> Pass<'a> {
    /// In training at this step of `dropout`, else in evaluation.
    pub fn new(
        model: &'a Network,
        theta: &'a ParamMap,
        batch: &'a Batch,
        dropout: Option<(&'a Dropout, u64)>,
    ) -> Pass<'a> {
        Pass { model, theta, batch, dropout, probe: None, read: Read::new(batch) }
    }

    /// The same pass, whose operations leave squared gradients with `probe`.
    pub fn probed(self, probe: &'a Probe) -> Pass<'a> {
        Pass { probe: Some(probe), ..self }
    }

    fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.theta.get(name).ok_or_else(|| no_parameter(name))
    }

    fn bias(&self, module: &Module) -> Result<Option<&Tensor>> {
        module.bias.as_deref().map(|name| self.parameter(name)).transpose()
    }

    /// The weight of a linear map, `[out, in]`.
    fn weight(&self, module: &Module) -> Result<Tensor> {
        let weight = self.parameter(&module.weight)?;
        if module.transposed { weight.t() } else { Ok(weight.clone()) }
    }

    /// A tap for the weights and biases of these modules, stacked by rows.
    fn tap(&self, rows: Rows, modules: &[&Module]) -> Option<Tap> {
        let weights: Vec<String> = modules.iter().map(|module| module.weight.clone()).collect();
        let biases: Vec<String> = modules.iter().filter_map(|module| module.bias.clone()).collect();
        let transposed = modules.iter().any(|module| module.transposed);
        self.probe.map(|probe| {
            let spans = match rows {
                Rows::Tokens => &probe.tokens,
                Rows::Targets => &probe.targets,
            };
            Tap { transposed, ..probe.tap(spans, &weights, &biases) }
        })
    }

    fn linear(&self, x: &Tensor, rows: Rows, module: &Module) -> Result<Tensor> {
        self.model.backend.linear(x, &self.weight(module)?, self.bias(module)?, self.tap(rows, &[module]))
    }

    /// `norm(x ⊙ noise + residual)`
    fn summed_norm(
        &self,
        x: &Tensor,
        residual: &Tensor,
        rows: Rows,
        module: &Module,
        noise: Option<Noise>,
    ) -> Result<Tensor> {
        let (packing, config) = (self.packing(rows), &self.model.config);
        let noise = noise.map(|noise| (noise, &packing));
        let parameters = (self.parameter(&module.weight)?, self.bias(module)?);
        let (norm, tap) = ((config.norm, config.norm_eps), self.tap(rows, &[module]));
        self.model.backend.residual_norm(x, residual, parameters, norm, noise, tap)
    }

    /// `norm(x)`; `x` itself without a norm.
    fn norm(&self, x: &Tensor, rows: Rows, module: Option<&Module>) -> Result<Tensor> {
        module
            .map_or_else(|| Ok(x.clone()), |module| self.summed_norm(x, &x.zeros_like()?, rows, module, None))
    }

    fn dropout(&self, x: &Tensor, rows: Rows, noise: Option<Noise>) -> Result<Tensor> {
        ops::dropout(x, noise, &self.packing(rows))
    }

    /// The noise of a site, drawn under its own name.
    fn noise(&self, site: Place) -> Option<Noise> {
        self.noise_of(site, site)
    }

    /// The noise of a site, drawn under the name `at`: layers that share a site differ in it.
    fn noise_of(&self, site: Place, at: impl Display) -> Option<Noise> {
        self.dropout.and_then(|(dropout, step)| dropout.noise(site, at, step))
    }

    /// How rows of this kind belong to examples.
    fn packing(&self, rows: Rows) -> ops::Packing<'_> {
        let (first, stride) = (self.batch.first, self.model.config.positions.longest());
        match rows {
            Rows::Tokens => {
                ops::Packing { offsets: &self.batch.offsets, positions: &self.batch.positions, first, stride }
            }
            Rows::Targets => {
                ops::Packing { offsets: &self.read.offsets, positions: &self.read.positions, first, stride }
            }
        }
    }

    /// Token, position and segment embeddings, added: `[total, E]`.
    pub fn embeddings(&self) -> Result<Tensor> {
        let mut tables = self.model.tables(self.batch).into_iter();
        let rows = |used: Used| ops::rows(self.parameter(&used.table)?, &used.rows);
        let tokens = tables.next().map(rows).ok_or_else(|| no_parameter("of the tokens"))??;
        tables.try_fold(tokens, |sum, table| sum + rows(table)?)
    }

    /// Losses and scores from the embedded tokens.
    pub fn outputs(&self, embedded: &Tensor) -> Result<Outputs> {
        self.head(&self.encoded(embedded)?)
    }

    /// The last hidden state at the rows that the head reads, `[M, H]`, from the embedded tokens.
    pub fn encoded(&self, embedded: &Tensor) -> Result<Tensor> {
        self.layers(&self.first(embedded)?, 0..self.model.modules.layers.len())
    }

    /// What the first layer sees: the embedded tokens normalized, with their dropout, as wide as the layers.
    pub fn first(&self, embedded: &Tensor) -> Result<Tensor> {
        let modules = &self.model.modules.embeddings;
        let x = self.norm(embedded, Rows::Tokens, modules.norm.as_ref())?;
        let x = self.dropout(&x, Rows::Tokens, self.noise(Place::EMBEDDINGS))?;
        modules.projection.as_ref().map_or_else(|| Ok(x.clone()), |map| self.linear(&x, Rows::Tokens, map))
    }

    /// Some layers, on what the one before them gave; the last one gives the rows that the head reads.
    pub fn layers(&self, x: &Tensor, layers: Range<usize>) -> Result<Tensor> {
        let last = self.model.modules.layers.len() - 1;
        // The head reads few rows of the last layer: only these are computed there.
        let rows = |k: usize| if k == last { Rows::Targets } else { Rows::Tokens };
        layers.into_iter().try_fold(x.clone(), |x, k| self.layer(&x, k, rows(k)))
    }

    /// Layer `k` on `[total, H]`, computed at these rows.
    fn layer(&self, x: &Tensor, k: usize, rows: Rows) -> Result<Tensor> {
        let layer = &self.model.modules.layers[k];
        let noise = |role| self.noise_of(layer.place(role), Place::in_layer(k, role));
        let own = |x: &Tensor| match rows {
            Rows::Tokens => Ok(x.clone()),
            Rows::Targets => ops::rows(x, &self.batch.targets.rows),
        };
        let (attention, feed) = (noise(Role::AttentionOutput), noise(Role::FfnOutput));
        let inner = noise(Role::Intermediate);
        match self.model.config.order {
            Order::Post => {
                let own = own(x)?;
                let attended = self.attention((x, &own), layer, rows, noise(Role::AttentionProbs))?;
                let x = match &layer.attention_norm {
                    Some(norm) => self.summed_norm(&attended, &own, rows, norm, attention)?,
                    None => (self.dropout(&attended, rows, attention)? + own)?,
                };
                let fed = self.feed_forward(&x, layer, rows, inner)?;
                self.summed_norm(&fed, &x, rows, &layer.feed_forward_norm, feed)
            }
            order => {
                let seen = self.norm(x, Rows::Tokens, layer.attention_norm.as_ref())?;
                let seen = (&seen, &own(&seen)?);
                let attended = self.attention(seen, layer, rows, noise(Role::AttentionProbs))?;
                let x = own(x)?;
                let sum = (self.dropout(&attended, rows, attention)? + &x)?;
                let seen = if order == Order::Parallel { &x } else { &sum };
                let seen = self.norm(seen, rows, Some(&layer.feed_forward_norm))?;
                let fed = self.feed_forward(&seen, layer, rows, inner)?;
                sum + self.dropout(&fed, rows, feed)?
            }
        }
    }

    /// The attention of a layer, from what its maps see, `[total, H]` and at these rows, where the queries are.
    fn attention(
        &self,
        x: (&Tensor, &Tensor),
        layer: &Layer,
        rows: Rows,
        noise: Option<Noise>,
    ) -> Result<Tensor> {
        let (heads, batch) = (self.model.config.heads, self.batch);
        let (mut q, mut kv) = self.projected(x, layer, rows)?;
        let packing = self.packing(rows);
        if let Some(rotary) = &layer.settings.rotary {
            let width = heads.keys * heads.depth;
            let (keys, values) = (kv.narrow(1, 0, width)?, kv.narrow(1, width, width)?);
            q = ops::rotate(&q, heads.depth, packing.positions, rotary)?;
            kv = Tensor::cat(&[&ops::rotate(&keys, heads.depth, &batch.positions, rotary)?, &values], 1)?;
        }
        let settings = (heads, layer.settings.mask);
        let context = self.model.backend.attention(&q, &kv, settings, noise, &packing, &batch.offsets)?;
        self.linear(&context, rows, &layer.attended)
    }

    /// Queries at these rows, and keys and values of all tokens side by side.
    fn projected(
        &self,
        (x, at_rows): (&Tensor, &Tensor),
        layer: &Layer,
        rows: Rows,
    ) -> Result<(Tensor, Tensor)> {
        let own = |x: Tensor| match rows {
            Rows::Tokens => Ok(x),
            Rows::Targets => ops::rows(&x, &self.batch.targets.rows),
        };
        let heads = self.model.config.heads;
        let (wide, narrow) = (heads.queries * heads.depth, heads.keys * heads.depth);
        match &layer.projections {
            Projections::Apart { query, key, value } => {
                let w = Tensor::cat(&[self.weight(key)?, self.weight(value)?], 0)?;
                let b = match (self.bias(key)?, self.bias(value)?) {
                    (Some(key), Some(value)) => Some(Tensor::cat(&[key, value], 0)?),
                    _ => None,
                };
                let tap = self.tap(Rows::Tokens, &[key, value]);
                let kv = self.model.backend.linear(x, &w, b.as_ref(), tap)?;
                Ok((self.linear(at_rows, rows, query)?, kv))
            }
            Projections::Stacked(all) => {
                let all = self.linear(x, Rows::Tokens, all)?;
                let q = own(all.narrow(1, 0, wide)?.contiguous()?)?;
                Ok((q, all.narrow(1, wide, 2 * narrow)?.contiguous()?))
            }
            Projections::Interleaved(all) => {
                let all = self.linear(x, Rows::Tokens, all)?;
                let all = all.reshape((x.dim(0)?, heads.keys, 3, heads.depth))?;
                let part = |i: usize| all.narrow(2, i, 1)?.contiguous()?.reshape((x.dim(0)?, narrow));
                Ok((own(part(0)?)?, Tensor::cat(&[part(1)?, part(2)?], 1)?))
            }
        }
    }

    /// The feed-forward maps of a layer, with noise in front of the last.
    fn feed_forward(&self, x: &Tensor, layer: &Layer, rows: Rows, noise: Option<Noise>) -> Result<Tensor> {
        let (backend, activation) = (self.model.backend, self.model.config.activation);
        let map = |module: &Module| self.linear(x, rows, module);
        let activate = |x: &Tensor| backend.activate(x, activation);
        let (inner, outer) = match &layer.feed_forward {
            FeedForward::Plain { inner, outer } => (activate(&map(inner)?)?, outer),
            FeedForward::Gated { gate, up, outer } => ((activate(&map(gate)?)? * map(up)?)?, outer),
            FeedForward::Halves { inner, outer } => {
                let both = map(inner)?.chunk(2, 1)?;
                ((activate(&both[0].contiguous()?)? * both[1].contiguous()?)?, outer)
            }
        };
        self.linear(&self.dropout(&inner, rows, noise)?, rows, outer)
    }

    /// Losses and scores from the last hidden state at the rows that the head reads.
    pub fn head(&self, x: &Tensor) -> Result<Outputs> {
        let (backend, labels) = (self.model.backend, &self.batch.targets.labels);
        if let (HeadModules::Decoder { transform, weight, bias }, Labels::Classes(labels)) =
            (&self.model.modules.head, labels)
        {
            let x = self.transformed(&self.closed(x)?, transform.as_ref())?;
            let (decoder, bias) = (self.decoder(weight.as_ref())?, self.bias_of(bias.as_ref())?);
            let (losses, scores) = backend.decoded_cross_entropy(&x, decoder, bias, labels)?;
            return Ok(Outputs { losses, scores: scores.detach() });
        }
        let scores = self.scores(x)?;
        let losses = losses(backend, &scores, labels, &self.batch.offsets)?;
        Ok(Outputs { losses, scores: scores.detach() })
    }

    /// Scores from the last hidden state at the rows that the head reads: logits `[M, V]`, or the outputs of a regression
    /// `[M]`.
    pub fn scores(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.closed(x)?;
        match &self.model.modules.head {
            HeadModules::Decoder { transform, weight, bias } => {
                let x = self.transformed(&x, transform.as_ref())?;
                let biases: Vec<String> = bias.iter().filter_map(|bias| bias.bias.clone()).collect();
                let tap = self.probe.map(|probe| match weight {
                    Some(own) => probe.tap(&probe.targets, std::slice::from_ref(&own.weight), &biases),
                    None => Tap {
                        deferred: Some(probe.decoder.clone()),
                        ..probe.tap(&probe.targets, &[], &biases)
                    },
                });
                let (decoder, bias) = (self.decoder(weight.as_ref())?, self.bias_of(bias.as_ref())?);
                self.model.backend.linear(&x, decoder, bias, tap)
            }
            HeadModules::Pooled { transform, output, twice, .. } => {
                let first = if *twice { self.noise_of(Place::HEAD, "head.input") } else { None };
                let x = self.dropout(&x, Rows::Targets, first)?;
                let pooled = self.transformed(&x, transform.as_ref())?;
                let pooled = self.dropout(&pooled, Rows::Targets, self.noise(Place::HEAD))?;
                let outputs = self.linear(&pooled, Rows::Targets, output)?;
                // A regression's only output is the prediction itself.
                match self.batch.targets.labels {
                    Labels::Classes(_) | Labels::Ends(_) => Ok(outputs),
                    Labels::Values(_) => outputs.squeeze(1),
                }
            }
        }
    }

    /// The last hidden state behind the norm that closes the layers, if one does.
    fn closed(&self, x: &Tensor) -> Result<Tensor> {
        self.norm(x, Rows::Targets, self.model.modules.last_norm.as_ref())
    }

    /// The decoder's weight `[V, E]`: its own, or the token table.
    fn decoder(&self, own: Option<&Module>) -> Result<&Tensor> {
        let module = own.unwrap_or(&self.model.modules.embeddings.tokens);
        self.parameter(&module.weight)
    }

    fn bias_of(&self, module: Option<&Module>) -> Result<Option<&Tensor>> {
        module.map_or(Ok(None), |module| self.bias(module))
    }

    /// What a head makes of its rows before its last map.
    fn transformed(&self, x: &Tensor, transform: Option<&Transform>) -> Result<Tensor> {
        let Some(Transform { dense, curve, norm }) = transform else { return Ok(x.clone()) };
        let x = self.linear(x, Rows::Targets, dense)?;
        let x = match curve {
            Curve::Tanh => x.tanh()?,
            Curve::Of(activation) => self.model.backend.activate(&x, *activation)?,
        };
        self.norm(&x, Rows::Targets, norm.as_ref())
    }
}
