//! BERT (Devlin et al. 2019) with a masked-LM, classification or regression head, on packed batches.
//!
//! One definition for training, Fisher information and surfaces, on any device: a pure function of the parameters,
//! the batch and, in training, the dropout noise. Shapes: `[total, H]` for tokens, `[M]` for targets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor, Var};

use super::config::BertConfig;
use super::ops;
use super::ops::fused::{Deferred, Tap};
use super::squares::Squares;
use super::{Objective, Outputs, Reached, Reduction};
use crate::data::{Batch, Example, Targets};
use crate::dropout::{Dropout, Noise, Site};
use crate::error;
use crate::params::{self, ParamMap};

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

    fn add_squared_gradients(
        &self,
        theta: &ParamMap,
        examples: &[&Example],
        first: usize,
        reduction: Reduction,
        squares: &Arc<Mutex<Squares>>,
    ) -> error::Result<()> {
        let batch = Batch::new(examples, 0);
        Ok(self.tapped(&params::detached(theta), &batch, first, reduction, squares)?)
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

const WORD: &str = "bert.embeddings.word_embeddings.weight";
const POSITION: &str = "bert.embeddings.position_embeddings.weight";
const TOKEN_TYPE: &str = "bert.embeddings.token_type_embeddings.weight";

impl Bert {
    /// Losses per target and the head's outputs. With `dropout` given, at that training step; without, evaluation.
    pub fn forward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
    ) -> Result<Outputs> {
        let pass = Pass { model: self, theta, batch, dropout, probe: None };
        pass.outputs(&pass.embeddings()?)
    }

    /// `Σ w_m loss_m` over the targets and its gradient by parameter name. `theta` holds variables.
    ///
    /// The graph begins at the embedded tokens, so the tables' gradients are sums over the rows in use.
    pub fn backward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
        weights: &[f32],
    ) -> Result<(f64, ParamMap)> {
        let pass = Pass { model: self, theta, batch, dropout, probe: None };
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let losses = pass.outputs(&embedded)?.losses;
        let loss = (&losses * Tensor::new(weights, losses.device())?)?.sum_all()?;
        let mut gradients = loss.backward()?;
        let Some(g) = gradients.remove(&embedded) else {
            candle_core::bail!("no gradient at the embeddings")
        };
        let mut own: ParamMap =
            theta.iter().filter_map(|(name, p)| Some((name.clone(), gradients.remove(p)?))).collect();
        for (name, ids) in [(WORD, &batch.ids), (POSITION, &batch.positions), (TOKEN_TYPE, &batch.types)] {
            let table = match own.remove(name) {
                Some(decoder) => decoder,
                None => pass.parameter(name)?.zeros_like()?,
            };
            own.insert(name.to_string(), ops::add_rows_at(&table, ids, &g)?);
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), own))
    }

    /// Adds the squared gradients of a batch in one backward pass. Only the embedded tokens are variables: the
    /// parameters' gradients are squared where they arise, example by example, and never formed for the batch.
    fn tapped(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        first: usize,
        reduction: Reduction,
        squares: &Arc<Mutex<Squares>>,
    ) -> Result<()> {
        let owners = batch.owners();
        let mut targets = vec![0usize; batch.len() + 1];
        owners.iter().for_each(|&b| targets[b + 1] += 1);
        let weight = |&b: &usize| match reduction {
            Reduction::Mean => 1.0 / targets[b + 1] as f32,
            Reduction::Sum => 1.0,
        };
        let weights: Vec<f32> = owners.iter().map(weight).collect();
        (0..batch.len()).for_each(|b| targets[b + 1] += targets[b]);
        let probe = Probe {
            squares: squares.clone(),
            first,
            tokens: Arc::new(batch.offsets.clone()),
            targets: Arc::new(targets),
            decoder: Deferred::default(),
        };
        let pass = Pass { model: self, theta, batch, dropout: None, probe: Some(&probe) };
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let losses = pass.outputs(&embedded)?.losses;
        let gradients =
            (&losses * Tensor::new(weights.as_slice(), losses.device())?)?.sum_all()?.backward()?;
        let Some(g) = gradients.get(&embedded) else { candle_core::bail!("no gradient at the embeddings") };
        let (g, width) = (g.flatten_all()?.to_vec1::<f32>()?, self.config.hidden_size);
        let tap = probe.tap(&probe.targets, &[], &[]);
        tap.add_table(POSITION, &batch.positions, &batch.offsets, &g, width)?;
        tap.add_table(TOKEN_TYPE, &batch.types, &batch.offsets, &g, width)?;
        let tied = Tap { deferred: Some(probe.decoder.clone()), ..tap };
        tied.add_table(WORD, &batch.ids, &batch.offsets, &g, width)
    }
}

/// Where the operations of a pass leave squared gradients.
struct Probe {
    squares: Arc<Mutex<Squares>>,
    /// Row of `s[n,t]` of the first example.
    first: usize,
    /// Rows of each example among the tokens, and among the targets: `[B + 1]`.
    tokens: Arc<Vec<usize>>,
    targets: Arc<Vec<usize>>,
    /// What the tied decoder leaves for the word embeddings.
    decoder: Deferred,
}

impl Probe {
    fn tap(&self, spans: &Arc<Vec<usize>>, weights: &[String], biases: &[String]) -> Tap {
        Tap {
            squares: self.squares.clone(),
            first: self.first,
            spans: spans.clone(),
            weights: weights.to_vec(),
            biases: biases.to_vec(),
            deferred: None,
        }
    }
}

/// What the rows of an operation's input are.
#[derive(Clone, Copy)]
enum Rows {
    Tokens,
    Targets,
}

/// One forward pass.
struct Pass<'a> {
    model: &'a Bert,
    theta: &'a ParamMap,
    batch: &'a Batch,
    dropout: Option<(&'a Dropout, u64)>,
    probe: Option<&'a Probe>,
}

impl Pass<'_> {
    fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.theta.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no parameter {name}")))
    }

    fn pair(&self, prefix: &str) -> Result<(&Tensor, &Tensor)> {
        Ok((self.parameter(&format!("{prefix}.weight"))?, self.parameter(&format!("{prefix}.bias"))?))
    }

    /// A tap for the weights and biases under these prefixes, stacked by rows.
    fn tap(&self, rows: Rows, prefixes: &[&str]) -> Option<Tap> {
        let names = |kind: &str| prefixes.iter().map(|prefix| format!("{prefix}.{kind}")).collect::<Vec<_>>();
        self.probe.map(|probe| {
            let spans = match rows {
                Rows::Tokens => &probe.tokens,
                Rows::Targets => &probe.targets,
            };
            probe.tap(spans, &names("weight"), &names("bias"))
        })
    }

    fn linear(&self, x: &Tensor, rows: Rows, prefix: &str) -> Result<Tensor> {
        let (w, b) = self.pair(prefix)?;
        ops::linear(x, w, b, self.tap(rows, &[prefix]))
    }

    /// `LayerNorm(x ⊙ noise + residual)`
    fn norm(
        &self,
        x: &Tensor,
        residual: &Tensor,
        rows: Rows,
        prefix: &str,
        site: Option<Site>,
    ) -> Result<Tensor> {
        let (packing, eps) = (self.packing(), self.model.config.layer_norm_eps);
        let noise = site.and_then(|site| self.noise(site)).map(|noise| (noise, &packing));
        ops::residual_layer_norm(x, residual, self.pair(prefix)?, eps, noise, self.tap(rows, &[prefix]))
    }

    fn noise(&self, site: Site) -> Option<Noise> {
        self.dropout.and_then(|(dropout, step)| dropout.noise(site, step))
    }

    fn packing(&self) -> ops::Packing<'_> {
        let stride = self.model.config.max_position_embeddings;
        ops::Packing { offsets: &self.batch.offsets, first: self.batch.first, stride }
    }

    /// Word, position and segment embeddings, added: `[total, H]`.
    fn embeddings(&self) -> Result<Tensor> {
        let word = ops::rows(self.parameter(WORD)?, &self.batch.ids)?;
        let position = ops::rows(self.parameter(POSITION)?, &self.batch.positions)?;
        let segment = ops::rows(self.parameter(TOKEN_TYPE)?, &self.batch.types)?;
        (word + position)? + segment
    }

    /// Losses and scores from the embedded tokens.
    fn outputs(&self, embedded: &Tensor) -> Result<Outputs> {
        let tokens = self.encoder(embedded)?;
        let (losses, scores) = match &self.batch.targets {
            Targets::Masked { rows, labels, .. } => {
                let logits = self.masked_lm(&ops::rows(&tokens, rows)?)?;
                (ops::cross_entropy(&logits, labels)?, logits)
            }
            Targets::Class(labels) => {
                let logits = self.classifier(&tokens)?;
                (ops::cross_entropy(&logits, labels)?, logits)
            }
            Targets::Value(values) => {
                let outputs = self.classifier(&tokens)?.squeeze(1)?;
                let error = (&outputs - Tensor::new(values.as_slice(), outputs.device())?)?;
                (error.sqr()?, outputs)
            }
        };
        Ok(Outputs { losses, scores: scores.detach() })
    }

    /// Last hidden state `[total, H]`.
    fn encoder(&self, embedded: &Tensor) -> Result<Tensor> {
        let x =
            self.norm(embedded, &embedded.zeros_like()?, Rows::Tokens, "bert.embeddings.LayerNorm", None)?;
        let mut x = ops::dropout(&x, self.noise(Site::Embeddings), &self.packing())?;
        for k in 0..self.model.config.num_hidden_layers {
            x = self.layer(&x, k)?;
        }
        Ok(x)
    }

    /// Layer `k` on `[total, H]`.
    fn layer(&self, x: &Tensor, k: usize) -> Result<Tensor> {
        let config = &self.model.config;
        let name = |part: &str| format!("bert.encoder.layer.{k}.{part}");
        let parts = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        let parts = [parts[0].as_str(), parts[1].as_str(), parts[2].as_str()];
        let [query, key, value] = parts.map(|part| self.pair(part));
        let (query, key, value) = (query?, key?, value?);
        let w = Tensor::cat(&[query.0, key.0, value.0], 0)?;
        let b = Tensor::cat(&[query.1, key.1, value.1], 0)?;
        let qkv = ops::linear(x, &w, &b, self.tap(Rows::Tokens, &parts))?;
        let noise = self.noise(Site::AttentionProbs(k));
        let context = ops::attention(&qkv, config.num_attention_heads, noise, &self.packing())?;
        let attended = self.linear(&context, Rows::Tokens, &name("attention.output.dense"))?;
        let norm = name("attention.output.LayerNorm");
        let x = self.norm(&attended, x, Rows::Tokens, &norm, Some(Site::AttentionOutput(k)))?;
        let inner = self.linear(&x, Rows::Tokens, &name("intermediate.dense"))?;
        let inner = ops::activate(&inner, config.activation)?;
        let fed = self.linear(&inner, Rows::Tokens, &name("output.dense"))?;
        self.norm(&fed, &x, Rows::Tokens, &name("output.LayerNorm"), Some(Site::FfnOutput(k)))
    }

    /// Vocabulary logits `[M, V]` of the target rows `[M, H]`.
    fn masked_lm(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.linear(x, Rows::Targets, "cls.predictions.transform.dense")?;
        let x = ops::activate(&x, self.model.config.activation)?;
        let norm = "cls.predictions.transform.LayerNorm";
        let x = self.norm(&x, &x.zeros_like()?, Rows::Targets, norm, None)?;
        let (decoder, bias) = (self.parameter(WORD)?, "cls.predictions.bias");
        let tap = self.probe.map(|probe| Tap {
            deferred: Some(probe.decoder.clone()),
            ..probe.tap(&probe.targets, &[], &[bias.to_string()])
        });
        ops::linear(&x, decoder, self.parameter(bias)?, tap)
    }

    /// Outputs `[B, C]` from the first token of each example.
    fn classifier(&self, tokens: &Tensor) -> Result<Tensor> {
        let first: Vec<u32> = self.batch.offsets[..self.batch.len()].iter().map(|&o| o as u32).collect();
        let pooled = self.linear(&ops::rows(tokens, &first)?, Rows::Targets, "bert.pooler.dense")?.tanh()?;
        let each: Vec<usize> = (0..=self.batch.len()).collect();
        let packing = ops::Packing { offsets: &each, first: self.batch.first, stride: 1 };
        let pooled = ops::dropout(&pooled, self.noise(Site::Head), &packing)?;
        self.linear(&pooled, Rows::Targets, "classifier")
    }
}
