//! BERT (Devlin et al. 2019) with a masked-LM, classification or regression head, on packed batches.
//!
//! One definition for training, Fisher information and surfaces, on any device: a pure function of the parameters,
//! the batch and, in training, the dropout noise. Shapes: `[total, H]` for tokens, `[M]` for targets.

use std::collections::BTreeSet;

use candle_core::{Result, Tensor};

use super::config::BertConfig;
use super::ops;
use super::{Objective, Outputs, Reached};
use crate::data::{Batch, Example, Targets};
use crate::dropout::{Dropout, Noise, Site};
use crate::error;
use crate::params::ParamMap;

/// What stands on top of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `cls.predictions`, its decoder tied to the word embeddings.
    MaskedLm,
    /// Pooler and classifier with this many classes.
    Classes(usize),
    /// Pooler and a single output.
    Regression,
}

/// A BERT without its parameters.
#[derive(Clone, Debug)]
pub struct Bert {
    pub config: BertConfig,
    pub head: Head,
}

impl Objective for Bert {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        Ok(self.forward(theta, batch, None)?)
    }

    /// Embedding rows that no example uses are not reached, except the tied word rows under masked LM; key biases
    /// never are, since softmax ignores a shift of all scores of a row.
    fn reached(&self, name: &str, examples: &[&Example]) -> Reached {
        let rows = |rows: BTreeSet<u32>| Reached::Rows(rows.into_iter().map(|r| r as usize).collect());
        let table = name.strip_prefix("bert.embeddings.").and_then(|n| n.strip_suffix("_embeddings.weight"));
        match table {
            Some("word") if self.head == Head::MaskedLm => Reached::All,
            Some("word") => rows(examples.iter().flat_map(|e| e.ids.iter().copied()).collect()),
            Some("token_type") => rows(examples.iter().flat_map(|e| e.types.iter().copied()).collect()),
            Some("position") => {
                rows((0..examples.iter().map(|e| e.len() as u32).max().unwrap_or(0)).collect())
            }
            _ if name.ends_with("attention.self.key.bias") => Reached::Rows(BTreeSet::new()),
            _ => Reached::All,
        }
    }
}

impl Bert {
    /// Losses per target and the head's outputs. With `dropout` given, at that training step; without, evaluation.
    pub fn forward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
    ) -> Result<Outputs> {
        let pass = Pass { model: self, theta, batch, dropout };
        let tokens = pass.encoder()?;
        let (losses, scores) = match &batch.targets {
            Targets::Masked { rows, labels, .. } => {
                let logits = pass.masked_lm(&ops::rows(&tokens, rows)?)?;
                (ops::cross_entropy(&logits, labels)?, logits)
            }
            Targets::Class(labels) => {
                let logits = pass.classifier(&tokens)?;
                (ops::cross_entropy(&logits, labels)?, logits)
            }
            Targets::Value(values) => {
                let outputs = pass.classifier(&tokens)?.squeeze(1)?;
                let error = (&outputs - Tensor::new(values.as_slice(), outputs.device())?)?;
                (error.sqr()?, outputs)
            }
        };
        Ok(Outputs { losses, scores: scores.detach() })
    }
}

/// One forward pass.
struct Pass<'a> {
    model: &'a Bert,
    theta: &'a ParamMap,
    batch: &'a Batch,
    dropout: Option<(&'a Dropout, u64)>,
}

impl Pass<'_> {
    fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.theta.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no parameter {name}")))
    }

    fn pair(&self, prefix: &str) -> Result<(&Tensor, &Tensor)> {
        Ok((self.parameter(&format!("{prefix}.weight"))?, self.parameter(&format!("{prefix}.bias"))?))
    }

    fn linear(&self, x: &Tensor, prefix: &str) -> Result<Tensor> {
        let (w, b) = self.pair(prefix)?;
        ops::linear(x, w, b)
    }

    fn noise(&self, site: Site) -> Option<Noise> {
        self.dropout.and_then(|(dropout, step)| dropout.noise(site, step))
    }

    /// Last hidden state `[total, H]`.
    fn encoder(&self) -> Result<Tensor> {
        let config = &self.model.config;
        let table = |name: &str| self.parameter(&format!("bert.embeddings.{name}_embeddings.weight"));
        let x = (ops::rows(table("word")?, &self.batch.ids)?
            + ops::rows(table("position")?, &self.batch.positions)?)?;
        let x = (x + ops::rows(table("token_type")?, &self.batch.types)?)?;
        let x = ops::layer_norm(&x, self.pair("bert.embeddings.LayerNorm")?, config.layer_norm_eps)?;
        let mut x = ops::dropout(&x, self.noise(Site::Embeddings), &self.packing())?;
        for k in 0..config.num_hidden_layers {
            x = self.layer(&x, k)?;
        }
        Ok(x)
    }

    fn packing(&self) -> ops::Packing<'_> {
        let stride = self.model.config.max_position_embeddings;
        ops::Packing { offsets: &self.batch.offsets, first: self.batch.first, stride }
    }

    /// Layer `k` on `[total, H]`.
    fn layer(&self, x: &Tensor, k: usize) -> Result<Tensor> {
        let (config, packing) = (&self.model.config, self.packing());
        let name = |part: &str| format!("bert.encoder.layer.{k}.{part}");
        let [query, key, value] =
            ["query", "key", "value"].map(|part| self.pair(&name(&format!("attention.self.{part}"))));
        let (query, key, value) = (query?, key?, value?);
        let w = Tensor::cat(&[query.0, key.0, value.0], 0)?;
        let b = Tensor::cat(&[query.1, key.1, value.1], 0)?;
        let qkv = ops::linear(x, &w, &b)?;
        let noise = self.noise(Site::AttentionProbs(k));
        let context = ops::attention(&qkv, config.num_attention_heads, noise, &packing)?;
        let attended = self.linear(&context, &name("attention.output.dense"))?;
        let norm = self.pair(&name("attention.output.LayerNorm"))?;
        let noise = self.noise(Site::AttentionOutput(k));
        let x = ops::residual_layer_norm(&attended, x, norm, config.layer_norm_eps, noise, &packing)?;
        let inner = ops::activate(&self.linear(&x, &name("intermediate.dense"))?, config.activation)?;
        let fed = self.linear(&inner, &name("output.dense"))?;
        let norm = self.pair(&name("output.LayerNorm"))?;
        let noise = self.noise(Site::FfnOutput(k));
        ops::residual_layer_norm(&fed, &x, norm, config.layer_norm_eps, noise, &packing)
    }

    /// Vocabulary logits `[M, V]` of the target rows `[M, H]`.
    fn masked_lm(&self, x: &Tensor) -> Result<Tensor> {
        let config = &self.model.config;
        let x = self.linear(x, "cls.predictions.transform.dense")?;
        let x = ops::activate(&x, config.activation)?;
        let norm = self.pair("cls.predictions.transform.LayerNorm")?;
        let x = ops::layer_norm(&x, norm, config.layer_norm_eps)?;
        let decoder = self.parameter("bert.embeddings.word_embeddings.weight")?;
        ops::linear(&x, decoder, self.parameter("cls.predictions.bias")?)
    }

    /// Outputs `[B, C]` from the first token of each example.
    fn classifier(&self, tokens: &Tensor) -> Result<Tensor> {
        let first: Vec<u32> = self.batch.offsets[..self.batch.len()].iter().map(|&o| o as u32).collect();
        let pooled = self.linear(&ops::rows(tokens, &first)?, "bert.pooler.dense")?.tanh()?;
        let each: Vec<usize> = (0..=self.batch.len()).collect();
        let packing = ops::Packing { offsets: &each, first: self.batch.first, stride: 1 };
        let pooled = ops::dropout(&pooled, self.noise(Site::Head), &packing)?;
        self.linear(&pooled, "classifier")
    }
}
