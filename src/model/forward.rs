//! Losses by candle-transformers, for architectures that the network does not define
//! ([`BY_CANDLE`](super::architectures::BY_CANDLE)).
//!
//! Its models are built anew from the parameters whenever a loss is asked for, which costs little, since tensors are shared. Each
//! reads examples of one length together, so nothing is padded, and keeps no keys and values from one call to the next.
//!
//! The trap: candle-nn's fast normalization and softmax have no backward pass, and candle takes what lies behind them for constant,
//! without an error. So gradients are refused here, all of them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::asked;
use super::config::{Architecture, Build, ModelConfig};
use super::gradient::Gradients;
use super::layout::{Layout, Reached};
use super::modules::Head;
use super::network::losses;
use super::objective::{Objective, Outputs, Part, Sums};
use super::ops::Backend;
use super::reading::{ReadAt, Reading};
use crate::data::{Batch, Example, Labels};
use crate::error::{self, Error};
use crate::params::{self, ParamMap};

/// A model of candle-transformers with its head, without its parameters.
#[derive(Clone, Debug)]
pub struct Forward {
    pub config: ModelConfig,
    pub head: Head,
    /// What each of its parameters is.
    pub layout: Layout,
    build: Build,
    backend: Backend,
}

impl Forward {
    /// The model of a configuration, with this head.
    ///
    /// # Errors
    ///
    /// candle's, where it cannot build one.
    pub fn new(config: ModelConfig, head: Head, build: Build, backend: Backend) -> Result<Forward> {
        let layout = asked::layout(config.asked(head, build)?, config.tied_by_name());
        Ok(Forward { layout, config, head, build, backend })
    }

    fn model(&self, tokens: usize, parameters: &VarBuilder) -> Result<Reading> {
        (self.build)(&self.config, self.head, tokens, parameters.clone())
    }
}

/// What a command says that needs gradients of such a model; `place` is its configuration.
pub fn refused(place: impl Display, architecture: &Architecture) -> Error {
    let sentence = format!(
        "`model_type` is `{}`, whose gradients cannot be computed: candle-transformers, which computes its loss, cuts them in normalization \
         and softmax",
        architecture.model_type
    );
    let fix = "use `loss`, `surface` or `directions --to`, which need no gradient, or a checkpoint of another architecture";
    Error::said(place, sentence, fix)
}

impl Objective for Forward {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> error::Result<Outputs> {
        let Some(device) = theta.values().next().map(|tensor| tensor.device().clone()) else {
            return Err(Error::field("parameters", "number", "at least 1", 0, "use the checkpoint's"));
        };
        let tensors = params::detached(theta).into_iter().collect();
        let parameters = VarBuilder::from_tensors(tensors, DType::F32, &device);
        let groups = groups(batch).into_iter().filter(|group| !group.rows.is_empty());
        let each: Vec<(Tensor, Tensor)> =
            groups.map(|group| group.losses(self, &parameters)).collect::<Result<_>>()?;
        let (losses, scores): (Vec<Tensor>, Vec<Tensor>) = each.into_iter().unzip();
        Ok(Outputs { losses: joined(&losses, &device)?, scores: joined(&scores, &device)? })
    }

    fn reached(&self, name: &str, examples: &[&Example]) -> Reached {
        let used =
            |_| examples.iter().flat_map(|e| &e.ids).map(|id| *id as usize).collect::<BTreeSet<usize>>();
        self.layout.get(name).map_or(Reached::All, |parameter| parameter.reached(used))
    }

    fn add_squared_gradients(&self, _: &ParamMap, _: &Part, _: &mut [Sums]) -> error::Result<()> {
        Err(refused("config.json", self.config.architecture))
    }

    fn summed_gradient(&self, _: &ParamMap, _: &Batch) -> error::Result<(f64, Gradients)> {
        Err(refused("config.json", self.config.architecture))
    }

    fn gradient(&self, _: &ParamMap, _: &Batch, _: &[f32]) -> error::Result<ParamMap> {
        Err(refused("config.json", self.config.architecture))
    }
}

fn joined(parts: &[Tensor], device: &candle_core::Device) -> Result<Tensor> {
    match parts {
        [] => Tensor::zeros(0, DType::F32, device),
        parts => Ok(Tensor::cat(parts, 0)?.detach()),
    }
}

/// Neighbours in a batch that are of one length.
struct Group<'a> {
    batch: &'a Batch,
    examples: Range<usize>,
    /// Tokens of each.
    tokens: usize,
    /// Which of the batch's targets are theirs.
    targets: Range<usize>,
    /// The tokens at these targets, among the group's.
    rows: Vec<u32>,
}

/// The groups of a batch, in order.
fn groups(batch: &Batch) -> Vec<Group<'_>> {
    let length = |b: &usize| batch.offsets[b + 1] - batch.offsets[*b];
    let all: Vec<usize> = (0..batch.len()).collect();
    let owners = &batch.targets.owners;
    let mut end = 0;
    let group = |members: &[usize]| {
        let examples = end..end + members.len();
        end = examples.end;
        let targets = owners.partition_point(|b| *b < examples.start)..owners.partition_point(|b| *b < end);
        let first = batch.offsets[examples.start] as u32;
        let rows = batch.targets.rows[targets.clone()].iter().map(|row| row - first).collect();
        Group { batch, examples, tokens: length(&members[0]), targets, rows }
    };
    all.chunk_by(|a, b| length(a) == length(b)).map(group).collect()
}

impl Group<'_> {
    /// Losses of the targets `[M]` and what is predicted there.
    fn losses(&self, model: &Forward, parameters: &VarBuilder) -> Result<(Tensor, Tensor)> {
        let reading = model.model(self.tokens, parameters)?;
        let ids = self.tensor(&self.batch.ids, parameters)?;
        match reading {
            Reading::Hidden { mut read, decoder } => {
                let rows = Tensor::new(self.rows.as_slice(), ids.device())?;
                let x = read(&ids)?.flatten_to(1)?.index_select(&rows, 0)?;
                model.backend.decoded_cross_entropy(&x, &decoder, None, self.labels().classes())
            }
            Reading::Steps(read) => self.step_by_step(read, &ids, model.backend),
            Reading::Whole(mut read) => {
                let scores = read(&ids, &self.tensor(&self.batch.types, parameters)?)?;
                let scores = scores.index_select(&self.owners(ids.device())?, 0)?;
                let scores = if model.head == Head::Regression { scores.squeeze(1)? } else { scores };
                Ok((losses(model.backend, &scores, &self.labels(), &[])?, scores))
            }
        }
    }

    /// One token of every example after the other.
    fn step_by_step(&self, mut read: ReadAt, ids: &Tensor, backend: Backend) -> Result<(Tensor, Tensor)> {
        let labels = self.labels();
        let labels = labels.classes();
        let (mut order, mut parts) = (Vec::new(), Vec::new());
        let last = self.rows.iter().map(|row| *row as usize % self.tokens).max().unwrap_or(0);
        for t in 0..=last {
            let scores = read(&ids.narrow(1, t, 1)?.contiguous()?, t)?;
            let scores = scores.reshape((self.examples.len(), ()))?;
            let own = |m: &usize| self.rows[*m] as usize % self.tokens == t;
            let here: Vec<usize> = (0..self.rows.len()).filter(own).collect();
            if here.is_empty() {
                continue;
            }
            let examples: Vec<u32> = here.iter().map(|m| self.rows[*m] / self.tokens as u32).collect();
            let scores = scores.index_select(&Tensor::new(examples, ids.device())?, 0)?;
            let labels: Vec<u32> = here.iter().map(|m| labels[*m]).collect();
            let predicted = scores.argmax(1)?.to_dtype(DType::F32)?;
            parts.push(Tensor::stack(&[backend.cross_entropy(&scores, &labels)?, predicted], 0)?);
            order.extend(here);
        }
        // From the order of positions to that of targets.
        let mut back = vec![0u32; order.len()];
        order.iter().enumerate().for_each(|(i, m)| back[*m] = i as u32);
        let all = Tensor::cat(&parts, 1)?.index_select(&Tensor::new(back, ids.device())?, 1)?;
        Ok((all.get(0)?, all.get(1)?))
    }

    /// What the batch has of each token, `[B, T]`.
    fn tensor(&self, of: &[u32], parameters: &VarBuilder) -> Result<Tensor> {
        let offsets = &self.batch.offsets;
        let own = &of[offsets[self.examples.start]..offsets[self.examples.end]];
        Tensor::from_slice(own, (self.examples.len(), self.tokens), parameters.device())
    }

    /// The examples that targets belong to, among the group's.
    fn owners(&self, device: &candle_core::Device) -> Result<Tensor> {
        let own = &self.batch.targets.owners[self.targets.clone()];
        let own: Vec<u32> = own.iter().map(|b| (b - self.examples.start) as u32).collect();
        Tensor::new(own, device)
    }

    fn labels(&self) -> Labels {
        match &self.batch.targets.labels {
            Labels::Classes(all) => Labels::Classes(all[self.targets.clone()].to_vec()),
            Labels::Values(all) => Labels::Values(all[self.targets.clone()].to_vec()),
            Labels::Ends(all) => Labels::Ends(all[self.targets.clone()].to_vec()),
        }
    }
}
