//! The forward pass of a network, written once over the modules of its architecture.
//!
//! Shapes: `[total, H]` for tokens, `[M, H]` for the rows that the head reads.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{Network, Probe};
use crate::data::{Batch, Labels};
use crate::dropout::{Dropout, Noise, Place, Role};
use crate::model::modules::{HeadModules, Module};
use crate::model::objective::Outputs;
use crate::model::ops::fused::Tap;
use crate::model::ops::{self, Backend};
use crate::params::ParamMap;

/// Losses of the targets `[M]` from the model's scores.
pub fn losses(backend: Backend, scores: &Tensor, labels: &Labels) -> Result<Tensor> {
    match labels {
        Labels::Classes(labels) => backend.cross_entropy(scores, labels),
        Labels::Values(values) => (scores - Tensor::new(values.as_slice(), scores.device())?)?.sqr(),
    }
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
        self.theta.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no parameter {name}")))
    }

    fn pair(&self, module: &Module) -> Result<(&Tensor, &Tensor)> {
        Ok((self.parameter(&module.weight)?, self.parameter(&module.bias)?))
    }

    /// A tap for the weights and biases of these modules, stacked by rows.
    fn tap(&self, rows: Rows, modules: &[&Module]) -> Option<Tap> {
        let weights: Vec<String> = modules.iter().map(|module| module.weight.clone()).collect();
        let biases: Vec<String> = modules.iter().map(|module| module.bias.clone()).collect();
        self.probe.map(|probe| {
            let spans = match rows {
                Rows::Tokens => &probe.tokens,
                Rows::Targets => &probe.targets,
            };
            probe.tap(spans, &weights, &biases)
        })
    }

    fn linear(&self, x: &Tensor, rows: Rows, module: &Module) -> Result<Tensor> {
        let (w, b) = self.pair(module)?;
        self.model.backend.linear(x, w, b, self.tap(rows, &[module]))
    }

    /// `LayerNorm(x ⊙ noise + residual)`
    fn norm(
        &self,
        x: &Tensor,
        residual: &Tensor,
        rows: Rows,
        module: &Module,
        place: Option<Place>,
    ) -> Result<Tensor> {
        let (packing, eps) = (self.packing(rows), self.model.config.layer_norm_eps);
        let noise = place.and_then(|place| self.noise(place)).map(|noise| (noise, &packing));
        let (pair, tap) = (self.pair(module)?, self.tap(rows, &[module]));
        self.model.backend.residual_layer_norm(x, residual, pair, eps, noise, tap)
    }

    fn noise(&self, place: Place) -> Option<Noise> {
        self.dropout.and_then(|(dropout, step)| dropout.noise(place, step))
    }

    /// How rows of these kind belong to examples.
    fn packing(&self, rows: Rows) -> ops::Packing<'_> {
        let (first, stride) = (self.batch.first, self.model.config.max_position_embeddings);
        match rows {
            Rows::Tokens => {
                ops::Packing { offsets: &self.batch.offsets, positions: &self.batch.positions, first, stride }
            }
            Rows::Targets => {
                ops::Packing { offsets: &self.read.offsets, positions: &self.read.positions, first, stride }
            }
        }
    }

    /// Token, position and segment embeddings, added: `[total, H]`.
    pub fn embeddings(&self) -> Result<Tensor> {
        let tables = &self.model.modules.embeddings;
        let token = ops::rows(self.parameter(&tables.tokens.weight)?, &self.batch.ids)?;
        let position = ops::rows(self.parameter(&tables.positions.weight)?, &self.batch.positions)?;
        let segment = ops::rows(self.parameter(&tables.segments.weight)?, &self.batch.types)?;
        (token + position)? + segment
    }

    /// Losses and scores from the embedded tokens.
    pub fn outputs(&self, embedded: &Tensor) -> Result<Outputs> {
        self.head(&self.encoded(embedded)?)
    }

    /// The last hidden state at the rows that the head reads, `[M, H]`, from the embedded tokens.
    pub fn encoded(&self, embedded: &Tensor) -> Result<Tensor> {
        self.layers(&self.first(embedded)?, 0..self.model.modules.layers.len())
    }

    /// What the first layer sees: the embedded tokens normalized, with their dropout.
    pub fn first(&self, embedded: &Tensor) -> Result<Tensor> {
        let norm = &self.model.modules.embeddings.norm;
        let x = self.norm(embedded, &embedded.zeros_like()?, Rows::Tokens, norm, None)?;
        ops::dropout(&x, self.noise(Place::EMBEDDINGS), &self.packing(Rows::Tokens))
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
        let (config, backend) = (&self.model.config, self.model.backend);
        let layer = &self.model.modules.layers[k];
        let place = |role| Place::in_layer(k, role);
        let ((kw, kb), (vw, vb)) = (self.pair(&layer.key)?, self.pair(&layer.value)?);
        let (w, b) = (Tensor::cat(&[kw, vw], 0)?, Tensor::cat(&[kb, vb], 0)?);
        let kv = backend.linear(x, &w, &b, self.tap(Rows::Tokens, &[&layer.key, &layer.value]))?;
        let x = match rows {
            Rows::Tokens => x.clone(),
            Rows::Targets => ops::rows(x, &self.batch.targets.rows)?,
        };
        let q = self.linear(&x, rows, &layer.query)?;
        let (noise, heads) = (self.noise(place(Role::AttentionProbs)), config.num_attention_heads);
        let context = backend.attention(&q, &kv, heads, noise, &self.packing(rows), &self.batch.offsets)?;
        let attended = self.linear(&context, rows, &layer.attended)?;
        let site = Some(place(Role::AttentionOutput));
        let x = self.norm(&attended, &x, rows, &layer.attended_norm, site)?;
        let inner = backend.activate(&self.linear(&x, rows, &layer.inner)?, config.hidden_act)?;
        let fed = self.linear(&inner, rows, &layer.outer)?;
        self.norm(&fed, &x, rows, &layer.outer_norm, Some(place(Role::FfnOutput)))
    }

    /// Losses and scores from the last hidden state at the rows that the head reads.
    pub fn head(&self, x: &Tensor) -> Result<Outputs> {
        let (backend, labels) = (self.model.backend, &self.batch.targets.labels);
        if let (HeadModules::Decoder { transform, norm, bias }, Labels::Classes(labels)) =
            (&self.model.modules.head, labels)
        {
            let decoder = self.parameter(&self.model.modules.embeddings.tokens.weight)?;
            let (x, bias) = (self.transformed(x, transform, norm)?, self.parameter(&bias.bias)?);
            let (losses, scores) = backend.decoded_cross_entropy(&x, decoder, bias, labels)?;
            return Ok(Outputs { losses, scores: scores.detach() });
        }
        let scores = self.scores(x)?;
        Ok(Outputs { losses: losses(backend, &scores, labels)?, scores: scores.detach() })
    }

    /// Scores from the last hidden state at the rows that the head reads: logits `[M, V]`, or the outputs of a regression
    /// `[M]`.
    pub fn scores(&self, x: &Tensor) -> Result<Tensor> {
        match &self.model.modules.head {
            HeadModules::Decoder { transform, norm, bias } => {
                let tap = self.probe.map(|probe| Tap {
                    deferred: Some(probe.decoder.clone()),
                    ..probe.tap(&probe.targets, &[], std::slice::from_ref(&bias.bias))
                });
                let decoder = self.parameter(&self.model.modules.embeddings.tokens.weight)?;
                let x = self.transformed(x, transform, norm)?;
                self.model.backend.linear(&x, decoder, self.parameter(&bias.bias)?, tap)
            }
            HeadModules::Pooled { pooler, output } => {
                let pooled = self.linear(x, Rows::Targets, pooler)?.tanh()?;
                let pooled = ops::dropout(&pooled, self.noise(Place::HEAD), &self.packing(Rows::Targets))?;
                let outputs = self.linear(&pooled, Rows::Targets, output)?;
                // A regression's only output is the prediction itself.
                match self.batch.targets.labels {
                    Labels::Classes(_) => Ok(outputs),
                    Labels::Values(_) => outputs.squeeze(1),
                }
            }
        }
    }

    /// What the masked-LM decoder reads, `[M, H]`.
    fn transformed(&self, x: &Tensor, transform: &Module, norm: &Module) -> Result<Tensor> {
        let x = self.linear(x, Rows::Targets, transform)?;
        let x = self.model.backend.activate(&x, self.model.config.hidden_act)?;
        self.norm(&x, &x.zeros_like()?, Rows::Targets, norm, None)
    }
}
