//! `train`: fine-tuning with no, uniform, Gaussian or guided dropout, or with a control of the guided one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::history::Beside;
use super::options::defaults;
use super::source::{Source, check_fraction, fraction_of};
use super::{Compute, HeadOptions, checkpoint, history, with_se};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::data::glue::Holdout;
use crate::data::questions::{each, examples_of};
use crate::dropout::{Arm, Dropout};
use crate::error::{Problem, Result, check_at_most};
use crate::evaluate::{self, SetLoss};
use crate::fisher::files as fisher_files;
use crate::model::checkpoint::UNFINISHED;
use crate::model::freeze::{frozen, longest};
use crate::model::{Checkpoint, Model};
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::tables::Table;
use crate::tables::training::MetricRow;
use crate::train::optimizer::Optimizer;
use crate::train::{self, Config, HeldOut, Row, Run, Trained};
use crate::{files, params, tables};

/// Fine-tune a checkpoint on a task.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("unsplit").args(["table"]).conflicts_with("split")))]
pub struct Train {
    #[arg(long, value_name = "C", help = checkpoint("Checkpoint to start from"))]
    pub checkpoint: PathBuf,
    /// Folder with the tokenizer's files, where the checkpoint has none of its own
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    #[command(flatten)]
    pub source: Source,
    /// none (but before the head, where all arms have the checkpoint's own; none-at-all switches that off too), uniform:P,
    /// gaussian:P, guided:RATES.csv, or a control of the last: matched:RATES.csv (uniform at its mean rate),
    /// reversed:RATES.csv (most important site drops most), shuffled:RATES.csv or shuffled:K:RATES.csv (its rates at random
    /// sites, the K-th shuffle, 0 unless given, the same at every seed), by-depth:RATES.csv and by-type:RATES.csv (its rates
    /// by a rule without data: falling with depth, or attention probabilities first, embeddings last). gaussian-paper:P is
    /// the Gaussian noise of the paper's code: P/(1-P) as standard deviation, in place of the head's dropout too, and left
    /// on in evaluation
    #[arg(long, value_name = "DROPOUT")]
    pub dropout: Arm,
    #[command(flatten)]
    pub options: TrainOptions,
    /// Cut examples to this many tokens, special tokens included [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    /// Also keep the parameters at N evenly spaced steps, the first and the last among them, in DIR/trajectory
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with_all = ["early_stopping", "scores_only"])]
    pub snapshots: usize,
    /// Also write DIR/moments.safetensors: AdamW's second moment, as a file of Fisher information for `agree` to compare
    #[arg(long, conflicts_with = "scores_only")]
    pub save_moments: bool,
    #[command(flatten)]
    pub head: HeadOptions,
    #[command(flatten)]
    pub compute: Compute,
    /// Seed of the split, the order, the dropout and a fresh head
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// How arms are trained.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct TrainOptions {
    /// Passes over the training part
    #[arg(long, default_value_t = 3, value_name = "E")]
    pub epochs: usize,
    /// Use this fraction of the training part, or, above 1, this many examples: the first ones of the seed's shuffle
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    pub fraction: f64,
    /// Examples to a batch
    #[arg(long, default_value_t = 18, value_name = "N")]
    pub batch: usize,
    /// Batches to a step, whose gradients are summed: like one batch that is this many times as large, in the memory of one
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub accumulate: usize,
    /// Steps between two evaluations [default: an epoch]
    #[arg(long, value_name = "N")]
    pub eval_steps: Option<usize>,
    /// Stop after this many evaluations in a row without a better one. The schedule of the learning rate is not shortened. Reported
    /// scores are of the last evaluation; the best model is in DIR/best
    #[arg(long, value_name = "N")]
    pub early_stopping: Option<usize>,
    /// Learning rate of the first step; it falls linearly to 0. The default is the paper's, for bert-base
    #[arg(long, default_value_t = 2e-5)]
    pub lr: f64,
    /// Fraction of the steps in which the learning rate first rises from 0
    #[arg(long, default_value_t = 0.0, value_name = "F")]
    pub warmup: f64,
    /// AdamW's weight decay, for matrices and tables
    #[arg(long, default_value_t = 0.0, value_name = "D")]
    pub weight_decay: f64,
    /// Which examples of a task are held out; of a table it is always a fifth
    #[arg(long, value_enum, default_value_t)]
    pub split: Holdout,
    /// Keep only scores, curves and rates, not the trained models
    #[arg(long)]
    pub scores_only: bool,
}

impl TrainOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        if self.epochs == 0 {
            let fix = "see `fisherscape train --help`";
            return Err(Problem::new("epochs", "number", "above 0", 0, fix));
        }
        check_at_most("epochs", self.epochs, 10_000, "a pass over the training part")?;
        if self.early_stopping == Some(0) {
            let fix = "leave it out: then training ends with its last step";
            return Err(Problem::new("early_stopping", "number", "above 0", 0, fix));
        }
        self.config(1).check("train")?;
        check_fraction(self.fraction)
    }

    /// Steps of an epoch.
    fn steps_each(&self, examples: usize) -> usize {
        examples.div_ceil(self.batch.saturating_mul(self.accumulate).max(1))
    }

    /// Settings for this many training examples.
    fn config(&self, examples: usize) -> Config {
        let each = self.steps_each(examples);
        Config {
            steps: self.epochs * each,
            every: self.eval_steps.unwrap_or(each),
            patience: self.early_stopping.unwrap_or(0),
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.lr,
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            clip: 1.0,
            snapshots: 0,
            seed: 0,
        }
    }
}

/// The file of AdamW's second moment.
pub const MOMENTS: &str = "moments.safetensors";

/// Examples of the training part that are kept as a frozen set.
const TRAINING_SET: usize = 1000;

/// Both parts of the data.
struct Parts {
    /// All examples, the training part first.
    set: FrozenSet,
    /// What pads them in a file.
    pad: u32,
    /// Rows of the training part; a question is one, whatever its windows.
    training: usize,
    /// Of each row its place among all that were read.
    numbers: Vec<usize>,
}

/// What a training run takes.
pub struct Work {
    /// In tokens of a forward pass.
    pub tokens: f64,
    /// Seconds for each of them, on this machine.
    pub seconds_each: f64,
    /// Of disk, at most.
    pub bytes: usize,
}

impl Train {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let checkpoint = self.compute.open(&self.checkpoint)?.with_tokenizer(self.tokenizer.as_deref());
        checkpoint.check_gradients()?;
        provenance.checkpoint("checkpoint", &self.checkpoint, &checkpoint.hash)?;
        self.dropout.note(&mut provenance)?;
        let config = &checkpoint.config;
        let before = config.dropout_before(self.source.kind());
        let dropout = self.dropout.dropout(&config.sites(), before, self.seed)?;
        self.source.note(&mut provenance)?;
        let Parts { set, pad, training, numbers } = self.parts(&checkpoint)?;
        let missing = self.head.missing(self.seed);
        let mut model = checkpoint.model_for(&set, missing)?;
        Model::prepare_folder(&self.checkpoint, &self.out)?;
        if let Some(dropout) = &dropout {
            files::write_csv(&self.out.join("rates.csv"), &dropout.rates.rows())?;
        }
        let (examples, held_out) = set.examples.split_at(examples_of(&set.examples, training));
        let used = examples_of(examples, fraction_of(training, self.options.fraction)?);
        let (config, each) = (self.config(used), self.options.steps_each(used));
        let (network, theta) = (model.network()?.clone(), std::mem::take(&mut model.theta));
        let trajectory = self.out.join("trajectory");
        if self.snapshots > 0 {
            // One for each step, and one for the start, are all there can be.
            let kept = self.snapshots.min(config.steps + 1);
            let mib = (kept * params::bytes(&theta)) >> 20;
            progress::note(format!("{kept} snapshots take {mib} MiB of disk"));
        }
        let run = Run {
            network: &network,
            examples: &examples[..used],
            masking: None,
            held_out: HeldOut { examples: held_out, kind: set.kind, scoring: set.scoring() },
            dropout: dropout.as_ref(),
            config: &config,
            snapshots: Some(&trajectory),
        };
        let state = self.out.join(UNFINISHED);
        let names = set.label_names();
        let best = self.out.join("best");
        let mut last_is_best = false;
        let mut last: Option<SetLoss> = None;
        let Trained { theta, history: rows, optimizer } =
            run.trained(theta, &state, |row, evaluated, theta, is_best| {
                self.tell(row, each);
                (last_is_best, last) = (is_best, Some(evaluated));
                if is_best && !self.options.scores_only {
                    model.theta = params::detached(theta);
                    model.save(&best, names.as_deref())?;
                }
                Ok(())
            })?;
        model.theta = theta;
        if self.snapshots == 0 {
            train::remove_snapshots(&trajectory)?;
        }
        self.write_moments(&model, &optimizer)?;
        if !self.options.scores_only {
            model.save(&self.out, names.as_deref())?;
            if last_is_best {
                // The same bytes: their space is taken once.
                let [last, best] = [&self.out, &best].map(|folder| folder.join("model.safetensors"));
                files::link(&best, &last)?;
            }
        }
        let last = match last {
            Some(last) => last,
            // A run that was killed behind its last step.
            None => run.evaluate(&model.theta, config.steps)?,
        };
        let said = evaluate::predictions(&last, held_out, run.held_out.scoring.names.clone());
        let losses = evaluate::losses(&last, held_out);
        tables::write(&self.out, &history::predictions(&said, &losses, &numbers[training..]))?;
        let beside = Beside {
            trained_on: used,
            noisy: dropout.as_ref().is_some_and(Dropout::in_evaluation),
            said: Some((&said, &run.held_out.scoring)),
            constants: &[],
        };
        history::write(&self.out, &rows, each, &beside)?;
        if let Some(row) = rows.last().filter(|row| row.step < config.steps) {
            progress::note(format!(
                "stopped after {} of {} steps: no better evaluation",
                row.step, config.steps
            ));
        }
        if !self.options.scores_only {
            self.write_sets(&set, (&examples[..used], held_out), pad)?;
        }
        provenance.write(&self.out.join("provenance.toml"))?;
        Model::close_folder(&self.out)?;
        let parameters = params::count(&model.theta);
        say!("{}: {parameters} parameters, {used} training examples", self.out.display());
        let rows: Vec<MetricRow> = tables::read(&self.out.join(MetricRow::FILE))?;
        progress::answer(
            || json!({"out": self.out, "parameters": parameters, "trained_on": used, "rows": rows}),
        );
        Ok(())
    }

    /// AdamW's mean of squared gradients beside the model, if it is asked for.
    fn write_moments(&self, model: &Model, optimizer: &Optimizer) -> Result<()> {
        let path = self.out.join(MOMENTS);
        // An earlier run's would be taken for this one's.
        files::remove(&path)?;
        let means = if self.save_moments { optimizer.mean_squares(&model.theta)? } else { None };
        let Some(means) = means else { return Ok(()) };
        let mut metadata = model.network()?.layout.metadata();
        metadata.extend(
            [
                ("estimator", fisher_files::ADAM.to_string()),
                ("checkpoint", model.hash.clone()),
                ("steps", optimizer.steps().to_string()),
                ("batch", (self.options.batch * self.options.accumulate).to_string()),
                // Not where its rates lie: that is another place on another machine.
                ("dropout", self.dropout.name()),
            ]
            .map(|(key, value)| (key.to_string(), value)),
        );
        params::write_params(&path, &means, &metadata)
    }

    /// What it comes to; early stopping may end it sooner.
    pub fn work(&self) -> Result<Work> {
        let checkpoint = self.compute.open(&self.checkpoint)?.with_tokenizer(self.tokenizer.as_deref());
        let Parts { set, training, .. } = self.parts(&checkpoint)?;
        let model = checkpoint.model_for(&set, self.head.missing(self.seed))?;
        let (examples, held_out) = set.examples.split_at(examples_of(&set.examples, training));
        let used = examples_of(examples, fraction_of(training, self.options.fraction)?);
        let config = self.config(used);
        let run = Run {
            network: model.network()?,
            examples: &examples[..used],
            masking: None,
            held_out: HeldOut { examples: held_out, kind: set.kind, scoring: set.scoring() },
            dropout: None,
            config: &config,
            snapshots: None,
        };
        // The last model, and the best.
        let models = if self.options.scores_only { 0 } else { 2 };
        Ok(Work {
            tokens: run.work(config.steps),
            seconds_each: run.seconds_each(&model.theta)?,
            bytes: models * params::bytes(&model.theta),
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        self.source.check("")?;
        self.options.check()?;
        Ok(self.config(1).check("train")?)
    }

    /// Settings for this many training examples.
    fn config(&self, examples: usize) -> Config {
        Config { snapshots: self.snapshots, seed: self.seed, ..self.options.config(examples) }
    }

    fn parts(&self, checkpoint: &Checkpoint) -> Result<Parts> {
        let max_len = longest(self.max_len, &checkpoint.config)?;
        let (rows, training, numbers) = self.source.for_model(checkpoint).split(
            self.options.split,
            self.seed,
            checkpoint.word_classes().as_deref(),
        )?;
        let source = self.source.path().display().to_string();
        let mut metadata =
            BTreeMap::from([("source".to_string(), source), ("max_len".to_string(), max_len.to_string())]);
        if let Some(task) = self.source.task()? {
            metadata.insert("task".into(), task.to_string());
        }
        metadata.insert("read_as".into(), rows.read_as.clone());
        let place = self.source.path();
        let (set, pad) = frozen(place, &rows, checkpoint, max_len, self.seed, metadata)?;
        Ok(Parts { set, pad, training, numbers })
    }

    fn tell(&self, row: &Row, steps_each: usize) {
        let metrics: Vec<String> =
            row.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let loss = with_se(row.loss, row.loss_se);
        let text = format!("train loss {:.4}, held-out loss {loss}, {}", row.train_loss, metrics.join(", "));
        let epoch = (100.0 * row.step as f64 / steps_each as f64).round() / 100.0;
        progress::note(format!("epoch {epoch} of {}: {text}", self.options.epochs));
    }

    /// The two parts as frozen sets: of the examples trained on the first [`TRAINING_SET`], or as many as are held out.
    fn write_sets(
        &self,
        set: &FrozenSet,
        (examples, held_out): (&[Example], &[Example]),
        pad: u32,
    ) -> Result<()> {
        let rows = each(held_out).count().max(TRAINING_SET);
        let as_many = &examples[..examples_of(examples, rows)];
        for (name, part) in [("train", as_many), ("held_out", held_out)] {
            let mut metadata = set.metadata.clone();
            metadata.insert("split".into(), name.into());
            let path = self.out.join(format!("{name}.safetensors"));
            let (kind, hash, examples) = (set.kind, String::new(), part.to_vec());
            FrozenSet { path, hash, kind, examples, metadata }.write(pad)?;
        }
        Ok(())
    }
}
