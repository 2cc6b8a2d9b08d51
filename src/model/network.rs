//! BERT (Devlin et al. 2019) with a masked-LM, classification or regression head, on packed batches.
//!
//! One definition for training, Fisher information and surfaces, on any device: a pure function of the parameters,
//! the batch and, in training, the dropout noise. Shapes: `[total, H]` for tokens, `[M]` for targets.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor, Var};

use super::config::BertConfig;
use super::gradient::{Gradient, Gradients};
use super::ops;
use super::ops::fused::{Deferred, Tap};
use super::squares::Squares;
use super::{Objective, Outputs, Part, Prefix, Reached, Sums};
use crate::data::{Batch, Example, Labels};
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
pub struct Network {
    pub config: BertConfig,
    pub head: Head,
}

impl Objective for Network {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        Ok(self.forward(theta, batch, None)?)
    }

    fn add_squared_gradients(&self, theta: &ParamMap, part: &Part, into: &mut [Sums]) -> error::Result<()> {
        self.tapped(&params::detached(theta), part, into)
    }

    fn prefix(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        moves: &dyn Fn(&str) -> bool,
    ) -> error::Result<Option<Prefix>> {
        let still = |part: &str| !theta.keys().any(|name| name.starts_with(part) && moves(name));
        if !still("bert.embeddings.") {
            return Ok(None);
        }
        let layers = (0..self.config.num_hidden_layers)
            .take_while(|k| still(&format!("bert.encoder.layer.{k}.")))
            .count();
        let theta = params::detached(theta);
        let pass = Pass::new(self, &theta, batch, None);
        let hidden = pass.layers(&pass.first(&pass.embeddings()?)?, 0..layers)?;
        Ok(Some(Prefix { layers, hidden }))
    }

    fn losses_after(&self, prefix: &Prefix, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        let pass = Pass::new(self, theta, batch, None);
        let layers = prefix.layers..self.config.num_hidden_layers;
        Ok(pass.head(&pass.layers(&prefix.hidden, layers)?)?)
    }

    fn summed_gradient(&self, theta: &ParamMap, batch: &Batch) -> error::Result<(f64, Gradients)> {
        Ok(self.backward(theta, batch, None, &vec![1.0; batch.targets.rows.len()])?)
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
/// Of the decoder whose weight is the word table.
const BIAS: &str = "cls.predictions.bias";
const TOKEN_TYPE: &str = "bert.embeddings.token_type_embeddings.weight";

impl Network {
    /// Losses per target and the head's outputs. With `dropout` given, at that training step; without, evaluation.
    pub fn forward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
    ) -> Result<Outputs> {
        let pass = Pass::new(self, theta, batch, dropout);
        pass.outputs(&pass.embeddings()?)
    }

    /// `Σ w_m loss_m` over the targets and its gradient by parameter name. `theta` holds variables.
    ///
    /// The graph begins at the embedded tokens, so a table's gradient is the rows in use, unless it also decodes.
    pub fn backward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
        weights: &[f32],
    ) -> Result<(f64, Gradients)> {
        let pass = Pass::new(self, theta, batch, dropout);
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let losses = pass.outputs(&embedded)?.losses;
        let loss = (&losses * Tensor::new(weights, losses.device())?)?.sum_all()?;
        let mut gradients = loss.backward()?;
        let Some(g) = gradients.remove(&embedded) else {
            candle_core::bail!("no gradient at the embeddings")
        };
        let tables = [(WORD, &batch.ids), (POSITION, &batch.positions), (TOKEN_TYPE, &batch.types)];
        let g_rows = g.flatten_all()?.to_vec1::<f32>()?;
        let mut own = Gradients::new();
        for (name, p) in theta {
            let dense = gradients.remove(p);
            let gradient = match (tables.iter().find(|(table, _)| table == name), dense) {
                (Some((_, ids)), Some(decoder)) => Gradient::Dense(ops::add_rows_at(&decoder, ids, &g)?),
                (Some((_, ids)), None) => {
                    let shape = p.dims2()?;
                    Gradient::Rows { shape, rows: ops::SparseRows::new(ids, &g_rows, shape.1) }
                }
                (None, Some(dense)) => Gradient::Dense(dense),
                (None, None) => continue,
            };
            own.insert(name.clone(), gradient);
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), own))
    }

    /// Adds the squared gradients of a batch: one forward pass, and a backward pass for each labelling. Only the
    /// embedded tokens are variables: the parameters' gradients are squared where they arise, example by example, and
    /// never formed for the batch.
    fn tapped(&self, theta: &ParamMap, part: &Part, into: &mut [Sums]) -> error::Result<()> {
        let batch = Batch::new(&part.examples, 0);
        let owners = &batch.targets.owners;
        let targets = (0..=batch.len()).map(|b| owners.partition_point(|owner| *owner < b)).collect();
        let probe = Probe {
            squares: Arc::default(),
            first: part.first,
            tokens: Arc::new(batch.offsets.clone()),
            targets: Arc::new(targets),
            decoder: Deferred::default(),
        };
        let pass = Pass { probe: Some(&probe), ..Pass::new(self, theta, &batch, None) };
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let scores = pass.scores(&pass.encoded(&embedded)?)?;
        for sums in into {
            for labelling in sums.estimate.labellings(&batch, || Ok(scores.detach()), part.numbers)? {
                let losses = losses(&scores, &labelling.labels)?;
                let weights = Tensor::new(labelling.weights.as_slice(), losses.device())?;
                // The operations leave their squares with the probe, whoever asks.
                probe.exchange(&mut sums.squares)?;
                let gradients = (&losses * weights)?.sum_all()?.backward()?;
                self.tap_tables(&probe, &batch, gradients.get(&embedded))?;
                probe.exchange(&mut sums.squares)?;
            }
        }
        Ok(())
    }

    /// Squares of the tables' gradients, from that at the embedded tokens.
    fn tap_tables(&self, probe: &Probe, batch: &Batch, g: Option<&Tensor>) -> Result<()> {
        let Some(g) = g else { candle_core::bail!("no gradient at the embeddings") };
        let (g, width) = (g.flatten_all()?.to_vec1::<f32>()?, self.config.hidden_size);
        let tap = probe.tap(&probe.targets, &[], &[]);
        tap.add_table(POSITION, &batch.positions, &batch.offsets, &g, width)?;
        tap.add_table(TOKEN_TYPE, &batch.types, &batch.offsets, &g, width)?;
        let tied = Tap { deferred: Some(probe.decoder.clone()), ..tap };
        tied.add_table(WORD, &batch.ids, &batch.offsets, &g, width)
    }
}

/// Losses of the targets `[M]` from the model's scores.
fn losses(scores: &Tensor, labels: &Labels) -> Result<Tensor> {
    match labels {
        Labels::Classes(labels) => ops::cross_entropy(scores, labels),
        Labels::Values(values) => (scores - Tensor::new(values.as_slice(), scores.device())?)?.sqr(),
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
    /// Puts other sums in the place of those that are added to.
    fn exchange(&self, squares: &mut Squares) -> Result<()> {
        match self.squares.lock() {
            Ok(mut own) => std::mem::swap(&mut *own, squares),
            Err(_) => candle_core::bail!("squared gradients: poisoned lock"),
        }
        Ok(())
    }

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
    model: &'a Network,
    theta: &'a ParamMap,
    batch: &'a Batch,
    dropout: Option<(&'a Dropout, u64)>,
    probe: Option<&'a Probe>,
    read: Read,
}

/// The tokens that the head reads: the targets' rows.
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
    fn new(
        model: &'a Network,
        theta: &'a ParamMap,
        batch: &'a Batch,
        dropout: Option<(&'a Dropout, u64)>,
    ) -> Pass<'a> {
        Pass { model, theta, batch, dropout, probe: None, read: Read::new(batch) }
    }

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
        let (packing, eps) = (self.packing(rows), self.model.config.layer_norm_eps);
        let noise = site.and_then(|site| self.noise(site)).map(|noise| (noise, &packing));
        ops::residual_layer_norm(x, residual, self.pair(prefix)?, eps, noise, self.tap(rows, &[prefix]))
    }

    fn noise(&self, site: Site) -> Option<Noise> {
        self.dropout.and_then(|(dropout, step)| dropout.noise(site, step))
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

    /// Word, position and segment embeddings, added: `[total, H]`.
    fn embeddings(&self) -> Result<Tensor> {
        let word = ops::rows(self.parameter(WORD)?, &self.batch.ids)?;
        let position = ops::rows(self.parameter(POSITION)?, &self.batch.positions)?;
        let segment = ops::rows(self.parameter(TOKEN_TYPE)?, &self.batch.types)?;
        (word + position)? + segment
    }

    /// Losses and scores from the embedded tokens.
    fn outputs(&self, embedded: &Tensor) -> Result<Outputs> {
        self.head(&self.encoded(embedded)?)
    }

    /// The last hidden state at the rows that the head reads, `[M, H]` or `[B, H]`, from the embedded tokens.
    fn encoded(&self, embedded: &Tensor) -> Result<Tensor> {
        self.layers(&self.first(embedded)?, 0..self.model.config.num_hidden_layers)
    }

    /// Losses and scores from the last hidden state at the rows that the head reads.
    fn head(&self, tokens: &Tensor) -> Result<Outputs> {
        if let (Head::MaskedLm, Labels::Classes(labels)) = (self.model.head, &self.batch.targets.labels) {
            let (x, decoder, bias) =
                (self.transformed(tokens)?, self.parameter(WORD)?, self.parameter(BIAS)?);
            let (losses, scores) = ops::decoded_cross_entropy(&x, decoder, bias, labels)?;
            return Ok(Outputs { losses, scores: scores.detach() });
        }
        let scores = self.scores(tokens)?;
        Ok(Outputs { losses: losses(&scores, &self.batch.targets.labels)?, scores: scores.detach() })
    }

    /// Scores from the last hidden state at the rows that the head reads: logits `[M, V]` or `[B, C]`, or the outputs
    /// of a regression `[B]`.
    fn scores(&self, tokens: &Tensor) -> Result<Tensor> {
        match self.model.head {
            Head::MaskedLm => {
                let tap = self.probe.map(|probe| Tap {
                    deferred: Some(probe.decoder.clone()),
                    ..probe.tap(&probe.targets, &[], &[BIAS.to_string()])
                });
                let x = self.transformed(tokens)?;
                ops::linear(&x, self.parameter(WORD)?, self.parameter(BIAS)?, tap)
            }
            Head::Classes(_) => self.classifier(tokens),
            Head::Regression => self.classifier(tokens)?.squeeze(1),
        }
    }

    /// What the first layer sees: the embedded tokens normalized, with their dropout.
    fn first(&self, embedded: &Tensor) -> Result<Tensor> {
        let norm = "bert.embeddings.LayerNorm";
        let x = self.norm(embedded, &embedded.zeros_like()?, Rows::Tokens, norm, None)?;
        ops::dropout(&x, self.noise(Site::Embeddings), &self.packing(Rows::Tokens))
    }

    /// Some layers, on what the one before them gave; the last one gives the rows that the head reads.
    fn layers(&self, x: &Tensor, layers: Range<usize>) -> Result<Tensor> {
        let last = self.model.config.num_hidden_layers - 1;
        // The head reads few rows of the last layer: only these are computed there.
        let rows = |k: usize| if k == last { Rows::Targets } else { Rows::Tokens };
        layers.into_iter().try_fold(x.clone(), |x, k| self.layer(&x, k, rows(k)))
    }

    /// Layer `k` on `[total, H]`, computed at these rows.
    fn layer(&self, x: &Tensor, k: usize, rows: Rows) -> Result<Tensor> {
        let config = &self.model.config;
        let name = |part: &str| format!("bert.encoder.layer.{k}.{part}");
        let [key, value] = ["key", "value"].map(|part| name(&format!("attention.self.{part}")));
        let ((kw, kb), (vw, vb)) = (self.pair(&key)?, self.pair(&value)?);
        let (w, b) = (Tensor::cat(&[kw, vw], 0)?, Tensor::cat(&[kb, vb], 0)?);
        let kv = ops::linear(x, &w, &b, self.tap(Rows::Tokens, &[&key, &value]))?;
        let x = match rows {
            Rows::Tokens => x.clone(),
            Rows::Targets => ops::rows(x, &self.batch.targets.rows)?,
        };
        let q = self.linear(&x, rows, &name("attention.self.query"))?;
        let (noise, heads) = (self.noise(Site::AttentionProbs(k)), config.num_attention_heads);
        let context = ops::attention(&q, &kv, heads, noise, &self.packing(rows), &self.batch.offsets)?;
        let attended = self.linear(&context, rows, &name("attention.output.dense"))?;
        let norm = name("attention.output.LayerNorm");
        let x = self.norm(&attended, &x, rows, &norm, Some(Site::AttentionOutput(k)))?;
        let inner = self.linear(&x, rows, &name("intermediate.dense"))?;
        let inner = ops::activate(&inner, config.activation)?;
        let fed = self.linear(&inner, rows, &name("output.dense"))?;
        self.norm(&fed, &x, rows, &name("output.LayerNorm"), Some(Site::FfnOutput(k)))
    }

    /// What the masked-LM decoder reads, `[M, H]`.
    fn transformed(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.linear(x, Rows::Targets, "cls.predictions.transform.dense")?;
        let x = ops::activate(&x, self.model.config.activation)?;
        let norm = "cls.predictions.transform.LayerNorm";
        self.norm(&x, &x.zeros_like()?, Rows::Targets, norm, None)
    }

    /// Outputs `[B, C]` from each example's first token `[B, H]`.
    fn classifier(&self, first: &Tensor) -> Result<Tensor> {
        let pooled = self.linear(first, Rows::Targets, "bert.pooler.dense")?.tanh()?;
        let pooled = ops::dropout(&pooled, self.noise(Site::Head), &self.packing(Rows::Targets))?;
        self.linear(&pooled, Rows::Targets, "classifier")
    }
}
