//! The forward pass of a network, written once over the modules and settings of its architecture.
//!
//! Shapes: `[total, H]` for tokens, `[M, H]` for the rows that the head reads.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};

use super::{Network, Probe, Used};
use crate::data::{Batch, Labels};
use crate::dropout::{Dropout, LayerName, Noise, Place, Role};
use crate::model::modules::{Attention, FeedForward, HeadModules, Layer, Module, Projections, Transform};
use crate::model::objective::{Hidden, Outputs};
use crate::model::ops::fused::{Outlet, Sink, Sunk};
use crate::model::ops::{self, Backend, Deferred, Tap, Turns};
use crate::model::settings::{Curve, Order, Rotary, Scores};
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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Tokens,
    /// Those that the head reads; of a decoder all.
    Targets,
}

/// One forward pass.
pub struct Pass<'a> {
    model: &'a Network,
    theta: &'a ParamMap,
    batch: &'a Batch,
    dropout: Option<(&'a Dropout, u64)>,
    probe: Option<&'a Probe>,
    sunk: Option<&'a Sunk>,
    tokens: Placed<'a>,
    read: Placed<'a>,
    /// Angles of rotary positions, which many layers have in common.
    turns: RefCell<Vec<(Rows, Rotary, Turns)>>,
    /// The rows of the batch that are not a decoder's, where it has both.
    encoder: Option<Vec<u32>>,
}

/// Rows, as they belong to examples.
struct Placed<'a> {
    /// Where each example's begin: `[B + 1]`.
    offsets: Cow<'a, [usize]>,
    /// Position of each in its example.
    positions: Cow<'a, [u32]>,
}

impl Placed<'_> {
    /// All tokens of a batch.
    fn all(batch: &Batch) -> Placed<'_> {
        Placed { offsets: Cow::Borrowed(&batch.offsets), positions: Cow::Borrowed(&batch.positions) }
    }

    /// These rows of a batch, ascending.
    fn some<'a>(batch: &Batch, rows: &[u32]) -> Placed<'a> {
        let before = |end: &usize| rows.partition_point(|row| (*row as usize) < *end);
        Placed {
            offsets: batch.offsets.iter().map(before).collect(),
            positions: rows.iter().map(|row| batch.positions[*row as usize]).collect(),
        }
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
        let decoder = &batch.targets.rows;
        let all = 0..batch.ids.len() as u32;
        let others = || all.filter(|row| decoder.binary_search(row).is_err()).collect::<Vec<u32>>();
        let encoder = model.config.decoder.map(|_| others());
        let tokens = encoder.as_ref().map_or_else(|| Placed::all(batch), |rows| Placed::some(batch, rows));
        Pass {
            model,
            theta,
            batch,
            dropout,
            probe: None,
            sunk: None,
            tokens,
            read: Placed::some(batch, decoder),
            turns: RefCell::default(),
            encoder,
        }
    }

    /// Where the operations of this pass may leave squared gradients of examples, the first of which is number `first`.
    pub fn probe(&self, first: usize) -> Result<Probe> {
        let distances =
            self.model.modules.layers.iter().filter_map(|layer| layer.attention.distances.as_ref());
        let copies = |table: &Module| {
            let copies = Var::from_tensor(&self.copies(table)?.contiguous()?)?.into_inner();
            Ok((table.weight.clone(), copies))
        };
        Ok(Probe {
            squares: Arc::default(),
            first,
            tokens: Arc::new(self.tokens.offsets.to_vec()),
            targets: Arc::new(self.read.offsets.to_vec()),
            decoder: Deferred::default(),
            distances: distances.map(copies).collect::<Result<_>>()?,
            shared: self.model.shares_layers().then(Arc::default),
        })
    }

    /// A table for each example: `[B, rows, width]`.
    fn copies(&self, table: &Module) -> Result<Tensor> {
        let table = self.parameter(&table.weight)?;
        let (rows, width) = table.dims2()?;
        table.unsqueeze(0)?.broadcast_as((self.batch.len(), rows, width))
    }

    /// The same pass, whose operations leave squared gradients with `probe`.
    pub fn probed(self, probe: &'a Probe) -> Pass<'a> {
        Pass { probe: Some(probe), ..self }
    }

    /// The same pass, whose linear maps leave their weights' gradients there.
    pub fn sinking(self, sunk: &'a Sunk) -> Pass<'a> {
        Pass { sunk: Some(sunk), ..self }
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
        // Its gradient goes to the sink alone.
        let weight = if self.sunk.is_some() { weight.detach() } else { weight.clone() };
        if module.transposed { weight.t() } else { Ok(weight) }
    }

    /// Where the gradients of these modules' weights go, stacked by rows.
    fn outlet(&self, rows: Rows, modules: &[&Module]) -> Result<Option<Outlet>> {
        let Some(sunk) = self.sunk else { return Ok(self.tap(rows, modules).map(Outlet::Tap)) };
        let wanted = |module: &&Module| {
            let wanted = self.parameter(&module.weight)?.track_op();
            Ok(wanted.then(|| module.weight.clone()))
        };
        let weights = modules.iter().map(wanted).collect::<Result<Vec<Option<String>>>>()?;
        let transposed = modules.iter().any(|module| module.transposed);
        let any = weights.iter().any(Option::is_some);
        Ok(any.then(|| Outlet::Sink(Sink { sunk: sunk.clone(), weights, transposed })))
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
        let outlet = self.outlet(rows, &[module])?;
        self.model.backend.linear(x, &self.weight(module)?, self.bias(module)?, outlet)
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
        let Placed { offsets, positions } = self.placed(rows);
        ops::Packing { offsets, positions, first, stride }
    }

    fn placed(&self, rows: Rows) -> &Placed<'a> {
        match rows {
            Rows::Tokens => &self.tokens,
            Rows::Targets => &self.read,
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
        Ok(self.layers(self.first(embedded)?, 0..self.model.modules.layers.len())?.rows)
    }

    /// What the first layer sees, and the first one of a decoder.
    pub fn first(&self, embedded: &Tensor) -> Result<Hidden> {
        let Some(encoder) = &self.encoder else {
            let rows = self.entered(embedded, Rows::Tokens, self.noise(Place::EMBEDDINGS))?;
            return Ok(Hidden { rows, other: None });
        };
        let part = |rows: &[u32]| ops::rows(embedded, rows);
        let noise = self.noise_of(Place::EMBEDDINGS, "decoder.embeddings");
        let other = self.entered(&part(&self.batch.targets.rows)?, Rows::Targets, noise)?;
        let rows = self.entered(&part(encoder)?, Rows::Tokens, self.noise(Place::EMBEDDINGS))?;
        Ok(Hidden { rows, other: Some(other) })
    }

    /// Embedded tokens normalized, with their dropout, as wide as the layers.
    fn entered(&self, embedded: &Tensor, rows: Rows, noise: Option<Noise>) -> Result<Tensor> {
        let modules = &self.model.modules.embeddings;
        let x = self.norm(embedded, rows, modules.norm.as_ref())?;
        let x = self.dropout(&x, rows, noise)?;
        modules.projection.as_ref().map_or_else(|| Ok(x.clone()), |map| self.linear(&x, rows, map))
    }

    /// Some layers, on what the one before them gave; the last one gives the rows that the head reads.
    pub fn layers(&self, mut hidden: Hidden, layers: Range<usize>) -> Result<Hidden> {
        let last = self.model.modules.layers.len() - 1;
        let decoder = self.model.config.decoder.map(|decoder| decoder.first);
        for k in layers {
            if Some(k) == decoder {
                hidden = self.turned(hidden)?;
            }
            let (keys, rows) = match decoder {
                Some(first) if k >= first => (Rows::Targets, Rows::Targets),
                // The head reads few rows of the last layer: only these are computed there.
                None if k == last => (Rows::Tokens, Rows::Targets),
                _ => (Rows::Tokens, Rows::Tokens),
            };
            hidden.rows = self.layer(&hidden, k, (keys, rows))?;
        }
        Ok(hidden)
    }

    /// From the end of an encoder to the beginning of its decoder.
    fn turned(&self, Hidden { rows, other }: Hidden) -> Result<Hidden> {
        let x = self.norm(&rows, Rows::Tokens, self.model.modules.encoder_norm.as_ref())?;
        let x = self.dropout(&x, Rows::Tokens, self.noise_of(Place::HEAD, "encoder.head"))?;
        let rows = other.ok_or_else(|| candle_core::Error::Msg("a decoder without tokens".into()))?;
        Ok(Hidden { rows, other: Some(x) })
    }

    /// Layer `k`, computed at these rows of those that its attention sees.
    fn layer(&self, hidden: &Hidden, k: usize, (keys, rows): (Rows, Rows)) -> Result<Tensor> {
        let (x, layer) = (&hidden.rows, &self.model.modules.layers[k]);
        let noise = |role| match layer.name {
            LayerName::Shared => self.noise_of(layer.place(role), Place::in_layer(k, role)),
            _ => self.noise(layer.place(role)),
        };
        let own = |x: &Tensor| self.moved(x, keys, rows);
        let (attention, feed) = (noise(Role::AttentionOutput), noise(Role::FfnOutput));
        let (probabilities, inner) = (noise(Role::AttentionProbs), noise(Role::Intermediate));
        match self.model.config.order {
            Order::Post => {
                let own = own(x)?;
                let seen = ((x, keys), (&own, rows));
                let attended = self.attention(seen, &layer.attention, probabilities)?;
                let x = match &layer.attention_norm {
                    Some(norm) => self.summed_norm(&attended, &own, rows, norm, attention)?,
                    None => (self.dropout(&attended, rows, attention)? + own)?,
                };
                let fed = self.feed_forward(&x, layer, rows, inner)?;
                self.summed_norm(&fed, &x, rows, &layer.feed_forward_norm, feed)
            }
            order => {
                let seen = self.norm(x, keys, layer.attention_norm.as_ref())?;
                let seen = ((&seen, keys), (&own(&seen)?, rows));
                let attended = self.attention(seen, &layer.attention, probabilities)?;
                let x = own(x)?;
                let mut sum = (self.dropout(&attended, rows, attention)? + &x)?;
                if let (Some(cross), Some(encoded)) = (&layer.cross, &hidden.other) {
                    let seen = self.norm(&sum, rows, Some(&cross.norm))?;
                    let seen = ((encoded, Rows::Tokens), (&seen, rows));
                    let attended = self.attention(seen, &cross.attention, noise(Role::CrossProbs))?;
                    sum = (self.dropout(&attended, rows, noise(Role::CrossOutput))? + sum)?;
                }
                let seen = if order == Order::Parallel { &x } else { &sum };
                let seen = self.norm(seen, rows, Some(&layer.feed_forward_norm))?;
                let fed = self.feed_forward(&seen, layer, rows, inner)?;
                sum + self.dropout(&fed, rows, feed)?
            }
        }
    }

    /// From some rows to others.
    fn moved(&self, x: &Tensor, from: Rows, to: Rows) -> Result<Tensor> {
        if from == to { Ok(x.clone()) } else { ops::rows(x, &self.batch.targets.rows) }
    }

    /// An attention, from what its maps see: at the keys' rows, and at those of the queries.
    fn attention(
        &self,
        ((x, keys), (at_rows, rows)): ((&Tensor, Rows), (&Tensor, Rows)),
        attention: &Attention,
        noise: Option<Noise>,
    ) -> Result<Tensor> {
        let (heads, settings) = (self.model.config.heads, &attention.settings);
        let (mut q, mut kv) = self.projected((x, keys), (at_rows, rows), attention)?;
        if let Some(rotary) = &settings.rotary {
            let width = heads.keys * heads.depth;
            let (own, values) = (kv.narrow(1, 0, width)?, kv.narrow(1, width, width)?);
            let turned =
                |x: &Tensor, rows| ops::rotate(x, heads.depth, &self.turns(rows, rotary, x.device())?);
            (q, kv) = (turned(&q, rows)?, Tensor::cat(&[&turned(&own, keys)?, &values], 1)?);
        }
        let (packing, keys) = (self.packing(rows), self.placed(keys));
        let scores =
            Scores { heads, mask: settings.mask, scaled: !settings.unscaled, distances: settings.distances };
        let added = attention.distances.as_ref().map(|table| self.added(table)).transpose()?;
        let inputs = (&q, &kv, added.as_ref());
        let context = self.model.backend.attention(inputs, scores, noise, &packing, &keys.offsets)?;
        self.linear(&context, rows, &attention.attended)
    }

    /// By what angles rows turn, made once.
    fn turns(&self, rows: Rows, rotary: &Rotary, device: &Device) -> Result<Turns> {
        let known = |(own, of, _): &&(Rows, Rotary, Turns)| *own == rows && of == rotary;
        if let Some((_, _, turns)) = self.turns.borrow().iter().find(known) {
            return Ok(turns.clone());
        }
        let turns = Turns::new(&self.placed(rows).positions, rotary, device)?;
        self.turns.borrow_mut().push((rows, rotary.clone(), turns.clone()));
        Ok(turns)
    }

    /// What a table of distances adds to the scores: `[B, heads, buckets]`.
    fn added(&self, table: &Module) -> Result<Tensor> {
        let copies = self.probe.and_then(|probe| probe.distances.get(&table.weight));
        copies.map_or_else(|| self.copies(table), |copies| Ok(copies.clone()))?.transpose(1, 2)
    }

    /// Queries at their rows, and keys and values at theirs, side by side.
    fn projected(
        &self,
        (x, keys): (&Tensor, Rows),
        (at_rows, rows): (&Tensor, Rows),
        attention: &Attention,
    ) -> Result<(Tensor, Tensor)> {
        let own = |x: Tensor| self.moved(&x, keys, rows);
        let heads = self.model.config.heads;
        let (wide, narrow) = (heads.queries * heads.depth, heads.keys * heads.depth);
        match &attention.projections {
            Projections::Apart { query, key, value } => {
                let w = Tensor::cat(&[self.weight(key)?, self.weight(value)?], 0)?;
                let b = match (self.bias(key)?, self.bias(value)?) {
                    (Some(key), Some(value)) => Some(Tensor::cat(&[key, value], 0)?),
                    _ => None,
                };
                let outlet = self.outlet(keys, &[key, value])?;
                let kv = self.model.backend.linear(x, &w, b.as_ref(), outlet)?;
                Ok((self.linear(at_rows, rows, query)?, kv))
            }
            Projections::Stacked(all) => {
                let all = self.linear(x, keys, all)?;
                let q = own(all.narrow(1, 0, wide)?.contiguous()?)?;
                Ok((q, all.narrow(1, wide, 2 * narrow)?.contiguous()?))
            }
            Projections::Interleaved(all) => {
                let all = self.linear(x, keys, all)?;
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
        let (losses, scores) = match (&self.model.modules.head, labels) {
            (HeadModules::Decoder { transform, weight, bias }, Labels::Classes(labels)) => {
                let x = self.transformed(&self.closed(x)?, transform.as_ref())?;
                let (decoder, bias) = (self.decoder(weight.as_ref())?, self.bias_of(bias.as_ref())?);
                backend.decoded_cross_entropy(&x, &decoder, bias, labels)?
            }
            _ => {
                let scores = self.scores(x)?;
                (losses(backend, &scores, labels, &self.batch.offsets)?, scores)
            }
        };
        Ok(Outputs { losses, scores: scores.detach() })
    }

    /// Losses alone from the last hidden state, for one backward pass.
    pub fn losses(&self, x: &Tensor) -> Result<Tensor> {
        let (backend, labels) = (self.model.backend, &self.batch.targets.labels);
        match (&self.model.modules.head, labels) {
            (HeadModules::Decoder { transform, weight, bias }, Labels::Classes(labels)) => {
                let x = self.transformed(&self.closed(x)?, transform.as_ref())?;
                let outlet = self.decoder_outlet(weight.as_ref(), bias.as_ref())?;
                let (decoder, bias) = (self.decoder(weight.as_ref())?, self.bias_of(bias.as_ref())?);
                backend.decoded_loss(&x, &decoder, bias, labels, outlet)
            }
            _ => losses(backend, &self.scores(x)?, labels, &self.batch.offsets),
        }
    }

    /// Scores from the last hidden state at the rows that the head reads: logits `[M, V]`, or the outputs of a regression
    /// `[M]`.
    pub fn scores(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.closed(x)?;
        match &self.model.modules.head {
            HeadModules::Decoder { transform, weight, bias } => {
                let x = self.transformed(&x, transform.as_ref())?;
                let outlet = self.decoder_outlet(weight.as_ref(), bias.as_ref())?;
                let (decoder, bias) = (self.decoder(weight.as_ref())?, self.bias_of(bias.as_ref())?);
                self.model.backend.linear(&x, &decoder, bias, outlet)
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
        let x = self.norm(x, Rows::Targets, self.model.modules.last_norm.as_ref())?;
        if self.model.config.decoder.is_none() {
            return Ok(x);
        }
        let x = self.dropout(&x, Rows::Targets, self.noise(Place::HEAD))?;
        self.model.config.output_scale.map_or_else(|| Ok(x.clone()), |scale| &x * scale)
    }

    /// The decoder's weight `[V, E]`: its own, or the token table.
    fn decoder(&self, own: Option<&Module>) -> Result<Tensor> {
        self.weight(own.unwrap_or(&self.model.modules.embeddings.tokens))
    }

    /// Where the gradients of the decoder go: squares of the token table's wait for those of its look-ups.
    fn decoder_outlet(&self, own: Option<&Module>, bias: Option<&Module>) -> Result<Option<Outlet>> {
        let Some(probe) = self.probe else {
            let module = own.unwrap_or(&self.model.modules.embeddings.tokens);
            return self.outlet(Rows::Targets, &[module]);
        };
        let biases: Vec<String> = bias.iter().filter_map(|bias| bias.bias.clone()).collect();
        Ok(Some(Outlet::Tap(match own {
            Some(own) => probe.tap(&probe.targets, std::slice::from_ref(&own.weight), &biases),
            None => Tap { deferred: Some(probe.decoder.clone()), ..probe.tap(&probe.targets, &[], &biases) },
        })))
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
