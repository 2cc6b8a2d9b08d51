//! Training: fine-tuning by the recipe of docs/definitions.md section 3, and masked-LM pre-training.
//!
//! AdamW, a learning rate that falls linearly to 0 (after a linear rise, if asked), clipping to a global norm, batches
//! in seeded order. Batches, masked tokens and head depend on the seed alone, so arms that differ in dropout see the
//! same ones. A killed run resumes from its last [`state`], to the same bytes.

pub mod adamw;
pub mod batches;
mod composed;
pub mod curve;
pub mod noisy;
pub mod optimizer;
pub mod schedule;
pub mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::masking::Masking;
use crate::data::{Batch, Example, by_length};
use crate::dropout::Dropout;
use crate::error::{Error, Problem, Result, check_at_most};
use crate::estimate;
use crate::evaluate::{self, SetLoss, set_loss};
use crate::files;
use crate::model::gradient::{self, Gradients};
use crate::model::ops::Backend;
use crate::model::{Trainable, Wanted};
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress};
use crate::stop;
use crate::tasks::{Best, Kind, Scoring};
use crate::threads;
use batches::Order;
use optimizer::Optimizer;
use state::{Standing, State};

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    pub steps: usize,
    /// Steps between two rows of the history; the last step always has one.
    pub every: usize,
    /// Rows in a row that may be no better than the best before them until training stops; 0: it never does.
    pub patience: usize,
    /// Examples to a batch.
    pub batch: usize,
    /// Batches to a step, whose gradients are summed: a step of many examples in the memory of few.
    pub accumulate: usize,
    /// Highest learning rate; it falls linearly to 0 at the end of the last step.
    pub lr: f64,
    /// Fraction of the steps in which the learning rate rises linearly from 0.
    pub warmup: f64,
    /// AdamW's λ, for matrices and tables.
    pub weight_decay: f64,
    /// Largest global norm of a step's gradient.
    pub clip: f64,
    /// Snapshots of the parameters, evenly spaced from the first step to the last; 0 for none.
    pub snapshots: usize,
    pub seed: u64,
}

impl Config {
    /// Examples to a step.
    pub fn step_examples(&self) -> usize {
        self.batch.saturating_mul(self.accumulate)
    }

    /// The first number that is out of its range; `command` is whose help says more.
    pub fn check(&self, command: &str) -> Result<(), Problem> {
        let wrong = |option, expected, found: f64| {
            let fix = format!("see `fisherscape {command} --help`");
            Err(Problem::new(option, "number", expected, found, fix))
        };
        if self.batch == 0 {
            return wrong("batch", "above 0", 0.0);
        }
        if self.accumulate == 0 {
            return wrong("accumulate", "above 0", 0.0);
        }
        if self.every == 0 {
            return wrong("eval_steps", "above 0", 0.0);
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return wrong("lr", "finite and above 0", self.lr);
        }
        check_at_most("snapshots", self.snapshots, SNAPSHOTS, "a file of all parameters")?;
        if self.snapshots == 1 {
            return wrong("snapshots", "0, or at least 2: the first step and the last", 1.0);
        }
        if !(0.0..1.0).contains(&self.warmup) {
            return wrong("warmup", "in [0, 1), a fraction of the steps", self.warmup);
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay * self.lr < 1.0) {
            return wrong("weight_decay", "at least 0, and below 1 / lr", self.weight_decay);
        }
        Ok(())
    }
}

/// Most snapshots of a training.
const SNAPSHOTS: usize = 1000;

/// What to do about a training whose numbers are not finite.
pub const DIVERGED: &str = "the training diverged: use a smaller learning rate";

/// Most examples that one thread takes of a small model's batch.
const SHARD: usize = 16;
/// Bytes of a small model's parameters: each part of a batch has a gradient of its own.
const SMALL: usize = 64 << 20;

/// What a run is evaluated on.
#[derive(Clone)]
pub struct HeldOut<'a> {
    pub examples: &'a [Example],
    pub kind: Kind,
    pub scoring: Scoring,
}

/// One row of the history.
#[derive(Clone, Debug)]
pub struct Row {
    /// Steps taken so far.
    pub step: usize,
    /// Mean loss of the batches since the last row, with dropout on, at the parameters of each step.
    pub train_loss: f64,
    /// Held-out loss and its standard error, without dropout unless its noise stays on in evaluation.
    pub loss: f64,
    pub loss_se: f64,
    /// N and M of the held-out set.
    pub examples: usize,
    pub targets: usize,
    /// Distinct held-out predictions: of a classifier that always says the same, 1.
    pub distinct: usize,
    /// Held-out metrics, the chief one first.
    pub metrics: Vec<(String, f64)>,
}

/// A run: everything that its result depends on, but for the parameters it starts from.
pub struct Run<'a> {
    pub network: &'a dyn Trainable,
    pub examples: &'a [Example],
    /// How each step masks its batch; `None` where the examples have labels.
    pub masking: Option<&'a Masking>,
    pub held_out: HeldOut<'a>,
    pub dropout: Option<&'a Dropout>,
    pub config: &'a Config,
    /// Where parameters along the way are kept.
    pub snapshots: Option<&'a Path>,
}

/// The file of the parameters after so many steps.
pub fn snapshot_path(folder: &Path, step: usize) -> PathBuf {
    folder.join(format!("step{step:06}.safetensors"))
}

/// The snapshots in a folder, by step.
///
/// # Errors
///
/// [`Error::Field`] if there is none.
pub fn snapshots(folder: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let snapshots = named_as_snapshots(folder)?;
    match snapshots.is_empty() {
        false => Ok(snapshots),
        true => {
            let fix = "train with --snapshots 12, and name the folder `trajectory` of the run";
            Err(Error::said(folder.display(), "it has no snapshots (stepNNNNNN.safetensors)", fix))
        }
    }
}

/// Removes an earlier run's snapshots.
pub fn remove_snapshots(folder: &Path) -> Result<()> {
    named_as_snapshots(folder)?.iter().try_for_each(|(_, path)| files::remove(path))
}

/// The files in a folder that are named as snapshots, by step.
fn named_as_snapshots(folder: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let step = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("step")?.strip_suffix(".safetensors")?.parse::<usize>().ok()
    };
    let found = if folder.is_dir() { files::list(folder)? } else { Vec::new() };
    let mut snapshots: Vec<(usize, PathBuf)> =
        found.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    snapshots.sort();
    Ok(snapshots)
}

/// What comes of a run.
pub struct Trained {
    pub theta: ParamMap,
    pub history: Vec<Row>,
    pub optimizer: Optimizer,
}

impl Run<'_> {
    /// [`Run::trained`], of which the parameters and the history alone are wanted.
    pub fn train(
        &self,
        theta: ParamMap,
        state: &Path,
        finished: impl FnMut(&Row, SetLoss, &ParamMap, bool) -> Result<()>,
    ) -> Result<(ParamMap, Vec<Row>)> {
        let Trained { theta, history, .. } = self.trained(theta, state, finished)?;
        Ok((theta, history))
    }

    /// Trains `theta`; gives the trained parameters, the history and the optimizer. `finished(row, evaluation, parameters, best)` is called after
    /// each row, `best` saying whether it is better than all before. The parameters it is shown change in the next step.
    ///
    /// `state` is the file from which a killed run resumes. It is left behind for the caller to remove once the results
    /// are written.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if the loss or the gradient stops being finite, [`Error::Stopped`] if a signal asked for an end, and whatever
    /// `finished` fails with.
    pub fn trained(
        &self,
        mut theta: ParamMap,
        state: &Path,
        mut finished: impl FnMut(&Row, SetLoss, &ParamMap, bool) -> Result<()>,
    ) -> Result<Trained> {
        let config = self.config;
        let mut state = State::new(state, self, &theta)?;
        let mut optimizer = Optimizer::new(self.network.backend(), &theta, config.weight_decay)?;
        let mut at = match state.resume(config.steps, &mut theta, &mut optimizer)? {
            Some(standing) => {
                progress::note(format!("resuming after {} of {} steps", standing.step, config.steps));
                standing
            }
            None => Standing { step: 0, history: Vec::new(), sum: 0.0, count: 0 },
        };
        self.announce(&theta, config.steps - at.step.min(config.steps))?;
        let theta = params::into_variables(theta)?;
        let mut order = Order::new(self.examples, config.step_examples(), config.seed);
        let progress = Progress::new("training (steps)", config.steps - at.step.min(config.steps));
        let _looking = stop::Looking::begin();
        if config.snapshots > 0 {
            state.claim()?;
        }
        self.snapshot(&theta, at.step)?;
        while at.step < config.steps && !self.gives_up(&at.history) {
            let (sum, count) = self.step(&theta, &mut optimizer, &order.at(at.step), at.step)?;
            at = Standing { step: at.step + 1, sum: at.sum + sum, count: at.count + count, ..at };
            progress.remark(format!("loss {:.4}", at.sum / at.count as f64));
            self.snapshot(&theta, at.step)?;
            let last = at.step == config.steps;
            if last || at.step.is_multiple_of(config.every) {
                let evaluated = self.evaluate(&theta, at.step)?;
                let row = self.row(&evaluated, &at);
                check_finite(&row)?;
                let best = at.history.iter().all(|earlier| self.score(&row) > self.score(earlier));
                state.claim()?;
                finished(&row, evaluated, &theta, best)?;
                at.history.push(row);
                (at.sum, at.count) = (0.0, 0);
            }
            if !last {
                state.save(&theta, &optimizer, &at)?;
            }
            progress.advance(1);
            if !last && stop::asked() {
                state.write(&theta, &optimizer, &at)?;
                return Err(Error::Stopped);
            }
        }
        Ok(Trained { theta: params::detached(&theta), history: at.history, optimizer })
    }

    /// Whether the last rows brought nothing better.
    fn gives_up(&self, history: &[Row]) -> bool {
        let best = (0..history.len())
            .reduce(|best, i| if self.score(&history[i]) > self.score(&history[best]) { i } else { best });
        self.config.patience > 0 && best.is_some_and(|best| history.len() - 1 - best >= self.config.patience)
    }

    /// Keeps the parameters, if this is a step whose are kept. Those before it are of this run: a killed run resumes from an
    /// earlier step and writes the same again.
    fn snapshot(&self, theta: &ParamMap, step: usize) -> Result<()> {
        let (Some(folder), Some(gaps)) = (self.snapshots, self.config.snapshots.checked_sub(1)) else {
            return Ok(());
        };
        if step == 0 {
            // An earlier run's may lie at other steps.
            remove_snapshots(folder)?;
        }
        match (0..=gaps).any(|i| i * self.config.steps / gaps == step) {
            true => params::write_params(&snapshot_path(folder, step), theta, &BTreeMap::new()),
            false => Ok(()),
        }
    }

    /// What so many steps come to with the evaluations between them, in tokens of a forward pass.
    pub fn work(&self, steps: usize) -> f64 {
        let rows = steps.div_ceil(self.config.every);
        let trained = estimate::BACKWARD * self.step_tokens() * steps as f64;
        trained + rows as f64 * estimate::tokens(self.held_out.examples) as f64
    }

    /// Seconds of a forward pass for each token, from one batch on this machine.
    ///
    /// # Errors
    ///
    /// Those of an evaluation.
    pub fn seconds_each(&self, theta: &ParamMap) -> Result<f64> {
        let held_out = self.held_out.examples;
        estimate::seconds_each(self.network, theta, held_out, &by_length(held_out))
    }

    /// Tokens of a step, about: no more examples to it than there are.
    fn step_tokens(&self) -> f64 {
        let all = self.examples.len().max(1);
        let part = self.config.step_examples().min(all) as f64 / all as f64;
        estimate::tokens(self.examples) as f64 * part
    }

    /// Says what so many steps will take.
    fn announce(&self, theta: &ParamMap, steps: usize) -> Result<()> {
        let seconds = self.seconds_each(theta)? * self.work(steps);
        // Parameters, two moments, a gradient, and one to add to it.
        let bytes = (4 + usize::from(self.config.accumulate > 1)) * params::bytes(theta);
        let (held_out, tokens) =
            (self.held_out.examples, batches::longest_tokens(self.examples, self.config.batch));
        let bytes = bytes + self.network.activations(held_out, tokens, Wanted::Gradients);
        estimate::tell(&format!("{steps} steps"), seconds, bytes);
        Ok(())
    }

    /// One step on these examples. Gives the sum of their losses, and what to divide it by.
    fn step(
        &self,
        theta: &ParamMap,
        optimizer: &mut Optimizer,
        members: &[usize],
        step: usize,
    ) -> Result<(f64, usize)> {
        let mut masked: Vec<Example> = Vec::new();
        let mut batch: Vec<&Example> = members.iter().map(|&n| &self.examples[n]).collect();
        if let Some(masking) = self.masking {
            masked.extend(batch.into_iter().cloned());
            masking.batch(&mut masked, step as u64);
            batch = masked.iter().collect();
        }
        let count = batch.iter().map(|e| e.targets()).sum();
        if count == 0 {
            return Ok((0.0, 0)); // a batch without a target says nothing
        }
        let (loss, gradient) = self.backward(theta, &batch, count, step as u64)?;
        let norm = adamw::norm(&gradient)?;
        if !(loss.is_finite() && norm.is_finite()) {
            let found = format!("loss {loss}, gradient norm {norm} at step {step}");
            return Err(Error::field("training", "loss and gradient", "finite", found, DIVERGED));
        }
        let config = self.config;
        let warmup = schedule::warmup_steps(config.warmup, config.steps);
        let lr = config.lr * schedule::factor(step, warmup, config.steps);
        optimizer.step(theta, &gradient, lr, adamw::clip(norm, config.clip))?;
        Ok((loss * count as f64, count))
    }

    /// Loss and gradient of a step's examples, batch by batch. What they draw goes by their places in the step, so that
    /// cutting it otherwise changes nothing but the order of sums.
    fn backward(
        &self,
        theta: &ParamMap,
        examples: &[&Example],
        count: usize,
        step: u64,
    ) -> Result<(f64, Gradients)> {
        let dropout = self.dropout.map(|d| (d, step));
        let (mut sum, mut total) = (0.0, Gradients::new());
        for (i, batch) in examples.chunks(self.config.batch).enumerate() {
            let each = self.shard(theta, batch.len());
            let shards: Vec<&[&Example]> = batch.chunks(each).collect();
            let done = threads::each(shards.len(), |k| {
                let packed = Batch::new(shards[k], i * self.config.batch + k * each);
                let weights = vec![1.0 / count as f32; packed.targets.rows.len()];
                match weights.is_empty() {
                    true => Ok((0.0, Gradients::new())), // no target in it
                    false => self.network.backward(theta, &packed, dropout, &weights),
                }
            })?;
            for (loss, gradient) in done {
                sum += loss;
                total = gradient::add(total, gradient)?;
            }
        }
        Ok((sum, total))
    }

    /// How many examples of a batch of so many one thread takes. Threads that share each operation of a small model wait longer for
    /// each other than they compute. It goes by the model and the batch, never by the threads, so sums are in one order.
    fn shard(&self, theta: &ParamMap, batch: usize) -> usize {
        let small = params::bytes(theta) <= SMALL && self.network.backend() == Backend::Fused;
        if small { batch.div_ceil(batch.div_ceil(SHARD).max(2)) } else { batch }
    }

    /// Evaluates the held-out part after so many steps.
    pub fn evaluate(&self, theta: &ParamMap, step: usize) -> Result<SetLoss> {
        let examples = self.held_out.examples;
        let by_length = by_length(examples);
        match self.dropout.filter(|dropout| dropout.in_evaluation()) {
            None => set_loss(self.network, theta, examples, &by_length),
            Some(dropout) => noisy::set_loss((self.network, dropout, step), theta, examples, &by_length),
        }
    }

    fn row(&self, held_out: &SetLoss, at: &Standing) -> Row {
        let HeldOut { examples, scoring, .. } = &self.held_out;
        Row {
            step: at.step,
            train_loss: at.sum / at.count as f64,
            loss: held_out.loss,
            loss_se: held_out.loss_se,
            examples: held_out.examples,
            targets: held_out.targets,
            distinct: distinct(held_out),
            metrics: evaluate::metrics(scoring, held_out, examples),
        }
    }

    /// What the best row has most of.
    fn score(&self, row: &Row) -> f64 {
        let score = match self.held_out.kind.spec().best {
            Best::LowestLoss => -row.loss,
            Best::HighestMetric => row.metrics.first().map_or(f64::NAN, |(_, value)| *value),
        };
        if score.is_nan() { f64::NEG_INFINITY } else { score }
    }
}

/// The last step of a training that diverges has no other after it to notice.
fn check_finite(row: &Row) -> Result<()> {
    match row.loss.is_finite() {
        true => Ok(()),
        false => {
            let found = format!("{} after step {}", row.loss, row.step);
            Err(Error::field("training", "held-out loss", "finite", found, DIVERGED))
        }
    }
}

fn distinct(held_out: &SetLoss) -> usize {
    held_out.predictions.iter().flatten().map(|p| p.to_bits()).collect::<BTreeSet<u64>>().len()
}

/// Mean example loss of a batch and its gradient by name. `theta` holds variables. With `dropout` given, at that step.
pub fn gradient(
    network: &dyn Trainable,
    theta: &ParamMap,
    batch: &[&Example],
    dropout: Option<(&Dropout, u64)>,
) -> Result<(f64, Gradients)> {
    let packed = Batch::new(batch, 0);
    // Each example's mean over its own targets, then the mean over the batch.
    let weight = |&b: &usize| 1.0 / (batch[b].targets() * batch.len()) as f32;
    let weights: Vec<f32> = packed.targets.owners.iter().map(weight).collect();
    network.backward(theta, &packed, dropout, &weights)
}
