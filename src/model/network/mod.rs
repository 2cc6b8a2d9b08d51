//! A network with its head, as a function of parameters, batch and, in training, dropout noise.
//!
//! One definition for every architecture, for training, Fisher information and surfaces, on any device. The forward pass
//! stands in `pass`; here are the losses, gradients and squared gradients that follow from it.

mod pass;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use super::config::ModelConfig;
use super::gradient::{self, Gradient, Gradients};
use super::labels::Labelling;
use super::layout::{Kind, Layout, Reached};
use super::modules::{Head, HeadModules, Layer, Module, Modules, Reads};
use super::objective::{Filters, Objective, Outputs, Part, Prefix, Sums, Trainable, Wanted};
use super::ops::fused::Sunk;
use super::ops::{self, Backend, Deferred, Shared, Tap};
use super::settings::{LayerSettings, Positions};
use super::squares::Squares;
use crate::data::{Batch, Example};
use crate::dropout::{Dropout, LayerName, Place};
use crate::error;
use crate::params::{self, ParamMap};
use pass::Pass;
pub(super) use pass::losses;

/// A network without its parameters.
#[derive(Clone, Debug)]
pub struct Network {
    pub config: ModelConfig,
    pub head: Head,
    pub(super) modules: Modules,
    /// What each of its parameters is.
    pub layout: Layout,
    pub backend: Backend,
}

impl Network {
    /// The network of a configuration, with this head; `modules` are those of both.
    pub fn new(config: ModelConfig, head: Head, modules: Modules, backend: Backend) -> Network {
        Network { layout: modules.layout(config.order), config, head, modules, backend }
    }

    /// The tables, that of the tokens first, and the rows of them that a batch uses.
    fn tables(&self, batch: &Batch) -> Vec<Used> {
        let tables = &self.modules.embeddings;
        let used = |module: &Module, rows, padding| Used { table: module.weight.clone(), rows, padding };
        let mut all = vec![used(&tables.tokens, batch.ids.clone(), self.config.padding)];
        if let Some(positions) = &tables.positions {
            let examples = batch.offsets.windows(2).map(|span| &batch.ids[span[0]..span[1]]);
            let rows = examples.flat_map(|ids| self.config.positions.rows(ids)).collect();
            let padding = match self.config.positions {
                Positions::Behind { padding, .. } => Some(padding),
                _ => None,
            };
            all.push(used(positions, rows, padding));
        }
        all.extend(tables.segments.iter().map(|segments| used(segments, batch.types.clone(), None)));
        all
    }

    /// The batch, whose targets stand at the rows that the head reads: the last token's in place of the first one's, where it
    /// answers for the example.
    fn placed<'a>(&self, batch: &'a Batch) -> Cow<'a, Batch> {
        match &self.modules.head {
            HeadModules::Pooled { reads: Reads::Last { padding }, .. } => {
                let mut batch = batch.clone();
                let last = |b: &usize| {
                    let (first, end) = (batch.offsets[*b], batch.offsets[b + 1]);
                    let own = batch.ids[first..end].iter().rposition(|id| Some(*id) != *padding);
                    (first + own.unwrap_or(0)) as u32
                };
                batch.targets.rows = batch.targets.owners.iter().map(last).collect();
                Cow::Owned(batch)
            }
            HeadModules::Pooled { reads: Reads::All, .. } => {
                let mut batch = batch.clone();
                batch.targets.rows = (0..batch.ids.len() as u32).collect();
                Cow::Owned(batch)
            }
            _ => match self.config.decoder {
                Some(decoder) => Cow::Owned(with_decoder(batch, decoder.start)),
                None => Cow::Borrowed(batch),
            },
        }
    }

    /// The rows of a table of distances that examples use, by the longest of them in the stack of this layer.
    fn distances(&self, layer: Option<LayerName>, examples: &[&Example]) -> BTreeSet<usize> {
        let length = |example: &&Example| match layer {
            Some(LayerName::Decoder(_)) => example.targets(),
            _ => example.len(),
        };
        let longest = examples.iter().map(length).max().unwrap_or(0);
        let own = self.modules.layers.iter().find(|own| Some(own.name) == layer);
        let Some(LayerSettings { mask, distances: Some(distances), .. }) =
            own.map(|layer| &layer.attention.settings)
        else {
            return BTreeSet::new();
        };
        let before = (0..longest).map(|query| distances.bucket(query, 0));
        let behind = mask.visible(0, longest).map(|key| distances.bucket(0, key));
        before.chain(behind).collect()
    }

    /// The tokens of an example that are looked up in the table: its own, and what a decoder reads.
    fn looked_up(&self, example: &Example) -> Vec<u32> {
        let batch = Batch::new(&[example], 0);
        self.placed(&batch).ids.clone()
    }

    /// The first layer that a parameter which `moves` has a share in; the number of layers if only the head has.
    fn first_moving(&self, moves: &dyn Fn(&str) -> bool) -> usize {
        let moving = |module: &&Module| module.parameters().iter().any(|p| moves(&p.name));
        let layers = &self.modules.layers;
        let own = |layer: &Layer| layer.modules(self.config.order).iter().any(moving);
        let first = layers.iter().position(own).unwrap_or(layers.len());
        // A decoder's layers begin with the norm that closes its encoder.
        match (self.config.decoder, self.modules.encoder_norm.iter().any(|norm| moving(&norm))) {
            (Some(decoder), true) => first.min(decoder.first),
            _ => first,
        }
    }

    /// Whether layers have parameters in common: then an example's gradient is a sum over them, to be squared as a whole.
    pub(super) fn shares_layers(&self) -> bool {
        self.modules.layers.iter().any(|layer| layer.name == LayerName::Shared)
    }
}

/// How often candle's operations keep the values of a layer, and its scores of attention, for a backward pass: measured on MiniLM with
/// 8 examples of 32, 122 and 482 tokens, the last of which take 9.3 GiB.
const COMPOSED: [usize; 2] = [4, 11];

impl Objective for Network {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        self.noisy_losses(theta, batch, None)
    }

    fn add_squared_gradients(&self, theta: &ParamMap, part: &Part, into: &mut [Sums]) -> error::Result<()> {
        self.add_tapped(&params::detached(theta), part, into)
    }

    fn prefix(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        moves: &dyn Fn(&str) -> bool,
    ) -> error::Result<Option<Prefix>> {
        let parameters = self.layout.parameters().iter();
        if parameters.filter(|p| p.place == Place::EMBEDDINGS).any(|p| moves(&p.name)) {
            return Ok(None);
        }
        let layers = self.first_moving(moves);
        let (theta, batch) = (params::detached(theta), self.placed(batch));
        let pass = Pass::new(self, &theta, &batch, None);
        let hidden = pass.layers(pass.first(&pass.embeddings()?)?, 0..layers)?;
        Ok(Some(Prefix { layers, hidden }))
    }

    fn losses_after(&self, prefix: &Prefix, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        let batch = self.placed(batch);
        let pass = Pass::new(self, theta, &batch, None);
        let layers = prefix.layers..self.modules.layers.len();
        Ok(pass.head(&pass.layers(prefix.hidden.clone(), layers)?.rows)?)
    }

    fn gradient(&self, theta: &ParamMap, batch: &Batch, weights: &[f32]) -> error::Result<ParamMap> {
        gradient::dense(&self.backward(theta, batch, None, weights)?.1)
    }

    fn summed_gradient(&self, theta: &ParamMap, batch: &Batch) -> error::Result<(f64, Gradients)> {
        self.backward(theta, batch, None, &vec![1.0; batch.targets.rows.len()])
    }

    fn filters(&self, name: &str) -> Filters {
        let transposed = self.layout.get(name).is_some_and(|p| p.kind == Kind::TransposedWeight);
        if transposed { Filters::Columns } else { Filters::Rows }
    }

    fn reached(&self, name: &str, examples: &[&Example]) -> Reached {
        let layer = self.layout.get(name).and_then(|parameter| parameter.place.layer);
        let used = |kind: Kind| -> BTreeSet<usize> {
            if kind == Kind::DistanceTable {
                return self.distances(layer, examples);
            }
            let rows = |example: &&Example| match kind {
                Kind::PositionTable => self.config.positions.rows(&example.ids),
                Kind::SegmentTable => example.types.clone(),
                _ => self.looked_up(example),
            };
            examples.iter().flat_map(rows).map(|row| row as usize).collect()
        };
        self.layout.get(name).map_or(Reached::All, |parameter| parameter.reached(used))
    }
}

impl Trainable for Network {
    fn noisy_losses(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
    ) -> error::Result<Outputs> {
        let batch = self.placed(batch);
        let pass = Pass::new(self, theta, &batch, dropout);
        Ok(pass.outputs(&pass.embeddings()?)?)
    }

    /// The graph begins at the embedded tokens, so a table's gradient is the rows in use, unless it also decodes.
    fn backward(
        &self,
        theta: &ParamMap,
        batch: &Batch,
        dropout: Option<(&Dropout, u64)>,
        weights: &[f32],
    ) -> error::Result<(f64, Gradients)> {
        let batch = self.placed(batch);
        let (pass, sunk) = (Pass::new(self, theta, &batch, dropout), Sunk::default());
        let pass = if self.backend == Backend::Fused { pass.sinking(&sunk) } else { pass };
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let losses = pass.losses(&pass.encoded(&embedded)?)?;
        let loss = (&losses * Tensor::new(weights, losses.device())?)?.sum_all()?;
        let mut gradients = loss.backward()?;
        let g = gradients.remove(&embedded).ok_or_else(no_gradient)?;
        let Ok(mut sunk) = sunk.lock() else { return Err(no_gradient().into()) };
        let (mut by_name, tables) = (Gradients::new(), self.tables(&batch));
        for (name, p) in theta {
            let used = tables.iter().find(|used| used.table == *name);
            let own =
                sunk.remove(name).map(|own| Tensor::from_vec(own, p.shape(), p.device())).transpose()?;
            let gradient = match (used, own.or_else(|| gradients.remove(p))) {
                (Some(used), None) if self.backend == Backend::Fused => {
                    let shape = p.dims2()?;
                    let rows = params::with_values(&g, |g| used.sparse(g, shape.1))?;
                    Gradient::Rows { shape, rows }
                }
                (Some(used), decoder) => {
                    let decoder = decoder.map_or_else(|| p.zeros_like(), Ok)?;
                    let g = used.own(&g)?;
                    Gradient::Dense(ops::add_rows_at(&decoder, &used.rows, &g)?)
                }
                (None, Some(dense)) => Gradient::Dense(dense),
                (None, None) => continue,
            };
            by_name.insert(name.clone(), gradient);
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), by_name))
    }

    fn backend(&self) -> Backend {
        self.backend
    }

    fn activations(&self, examples: &[Example], most: usize, wanted: Wanted) -> usize {
        let config = &self.config;
        let longest = examples.iter().map(Example::size).max().unwrap_or(0);
        let all: usize = examples.iter().map(Example::size).sum();
        let tokens = most.max(longest).min(all);
        let [rows, scores] = config.values_of_a_layer(tokens, longest);
        let layer = match (self.backend, wanted) {
            (Backend::Fused, _) | (_, Wanted::Losses) => rows + scores,
            (Backend::Composed(_), _) => COMPOSED[0] * rows + COMPOSED[1] * scores,
        };
        let all_layers = || {
            let targets: usize = examples.iter().map(Example::targets).sum();
            let classes = if self.head.decodes() { config.vocab_size } else { 0 };
            // Logits, their gradient, and a copy for the tied decoder.
            layer * (config.layers.len() + 1) + 3 * (targets * tokens / all.max(1)) * classes
        };
        let values = match wanted {
            Wanted::Losses => layer,
            Wanted::Squares if self.shares_layers() => {
                all_layers() + (rows + scores) * config.layers.len() / 2
            }
            Wanted::Gradients | Wanted::Squares => all_layers(),
        };
        values * size_of::<f32>()
    }

    fn identity(&self) -> String {
        format!("{:?} {:?} {:?}", self.config, self.head, self.backend)
    }
}

/// The batch, each example's tokens followed by what its decoder reads: `start`, and what is written before each target.
/// Those are the rows that the head reads; their positions begin anew.
fn with_decoder(batch: &Batch, start: u32) -> Batch {
    let mut both = Batch::new(&[], batch.first);
    let owners = &batch.targets.owners;
    let written = batch.written.as_deref().unwrap_or_default();
    for (b, span) in batch.offsets.windows(2).enumerate() {
        both.ids.extend(&batch.ids[span[0]..span[1]]);
        let own = owners.partition_point(|owner| *owner < b)..owners.partition_point(|owner| *owner <= b);
        let tokens = written.get(own).unwrap_or_default();
        both.targets.rows.extend((both.ids.len()..).map(|row| row as u32).take(tokens.len()));
        both.ids.extend(tokens.iter().map(|token| token.unwrap_or(start)));
        both.positions.extend((0..(span[1] - span[0]) as u32).chain(0..tokens.len() as u32));
        both.offsets.push(both.ids.len());
    }
    both.types = vec![0; both.ids.len()];
    both.targets.owners = owners.clone();
    both.targets.labels = batch.targets.labels.clone();
    both
}

fn no_gradient() -> candle_core::Error {
    candle_core::Error::Msg("no gradient at the embeddings".into())
}

impl Network {
    /// Adds the squared gradients of a batch: one forward pass, and a backward pass for each labelling. Only the
    /// embedded tokens are variables: the parameters' gradients are squared where they arise, example by example, and
    /// never formed for the batch.
    fn add_tapped(&self, theta: &ParamMap, part: &Part, into: &mut [Sums]) -> error::Result<()> {
        let batch = Batch::new(&part.examples, 0);
        let batch = self.placed(&batch);
        let pass = Pass::new(self, theta, &batch, None);
        let probe = pass.probe(part.first)?;
        let pass = pass.probed(&probe);
        let embedded = Var::from_tensor(&pass.embeddings()?)?.into_inner();
        let encoded = pass.encoded(&embedded)?;
        let add = |losses: &Tensor, labelling: &Labelling, squares: &mut Squares| -> Result<()> {
            let weights = Tensor::new(labelling.weights.as_slice(), losses.device())?;
            // The operations leave their squares with the probe, whoever asks.
            probe.exchange(squares)?;
            let gradients = (losses * weights)?.sum_all()?.backward()?;
            self.tap_tables(&probe, &batch, gradients.get(&embedded))?;
            probe.tap_distances(self.backend, &gradients)?;
            self.backend.tap_shared(&probe.tap(&probe.targets, &[], &[]))?;
            probe.exchange(squares)
        };
        if let [Sums { estimate, squares }] = into
            && let Some(labelling) = estimate.of_the_data(&batch)
        {
            return Ok(add(&pass.losses(&encoded)?, &labelling, squares)?);
        }
        let scores = pass.scores(&encoded)?;
        for Sums { estimate, squares } in into {
            for labelling in estimate.labellings(&batch, || Ok(scores.detach()), part.numbers)? {
                add(&losses(self.backend, &scores, &labelling.labels, &batch.offsets)?, &labelling, squares)?;
            }
        }
        Ok(())
    }

    /// Squares of the tables' gradients, from that at the embedded tokens.
    fn tap_tables(&self, probe: &Probe, batch: &Batch, g: Option<&Tensor>) -> Result<()> {
        let g = g.ok_or_else(no_gradient)?;
        let tap = probe.tap(&probe.targets, &[], &[]);
        // What the decoder left is for the token table.
        let tied = Tap { deferred: Some(probe.decoder.clone()), ..tap.clone() };
        let taps = std::iter::once(&tied).chain(std::iter::repeat(&tap));
        for (used, tap) in self.tables(batch).into_iter().zip(taps) {
            self.backend.tap_table(tap, &used.table, &used.rows, &batch.offsets, &used.own(g)?)?;
        }
        Ok(())
    }
}

/// A table, and what a batch looks up in it.
struct Used {
    table: String,
    /// A row for each token.
    rows: Vec<u32>,
    /// The row whose look-ups give no gradient.
    padding: Option<u32>,
}

impl Used {
    /// The gradient at the looked-up rows `[total, width]` without that of the padding's.
    fn without_padding<'a>(&self, g: &'a [f32], width: usize) -> Cow<'a, [f32]> {
        let mut g = Cow::Borrowed(g);
        let still = self.rows.iter().enumerate().filter(|(_, row)| Some(**row) == self.padding);
        still.for_each(|(i, _)| g.to_mut()[i * width..(i + 1) * width].fill(0.0));
        g
    }

    /// By row of the table.
    fn sparse(&self, g: &[f32], width: usize) -> ops::SparseRows {
        ops::SparseRows::new(&self.rows, &self.without_padding(g, width), width)
    }

    /// As a tensor.
    fn own(&self, g: &Tensor) -> Result<Tensor> {
        if self.rows.iter().all(|row| Some(*row) != self.padding) {
            return Ok(g.clone());
        }
        let kept = |row: &u32| f32::from(u8::from(Some(*row) != self.padding));
        let kept: Vec<f32> = self.rows.iter().map(kept).collect();
        let kept = Tensor::from_vec(kept, (self.rows.len(), 1), g.device())?;
        g.broadcast_mul(&kept)
    }
}

/// Where the operations of a pass leave squared gradients.
pub(super) struct Probe {
    squares: Arc<Mutex<Squares>>,
    /// Row of `s[n,t]` of the first example.
    first: usize,
    /// Rows of each example among the tokens, and among those that the head reads: `[B + 1]`.
    pub tokens: Arc<Vec<usize>>,
    pub targets: Arc<Vec<usize>>,
    /// What the tied decoder leaves for the token table.
    pub decoder: Deferred,
    /// Tables of distances, a copy for each example: layers add their gradients before those are squared. `[B, buckets, heads]`
    pub distances: BTreeMap<String, Tensor>,
    /// What layers leave that have parameters in common.
    pub shared: Option<Arc<Mutex<Shared>>>,
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

    /// Squares of the gradients of tables of distances.
    fn tap_distances(&self, backend: Backend, gradients: &GradStore) -> Result<()> {
        let tap = self.tap(&self.targets, &[], &[]);
        for (name, table) in &self.distances {
            let Some(g) = gradients.get(table) else { continue };
            backend.tap_vectors(&tap, std::slice::from_ref(name), g)?;
        }
        Ok(())
    }

    pub fn tap(&self, spans: &Arc<Vec<usize>>, weights: &[String], biases: &[String]) -> Tap {
        Tap {
            squares: self.squares.clone(),
            first: self.first,
            spans: spans.clone(),
            weights: weights.to_vec(),
            biases: biases.to_vec(),
            transposed: false,
            deferred: None,
            shared: self.shared.clone(),
        }
    }
}
