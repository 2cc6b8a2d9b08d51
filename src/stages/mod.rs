//! One file per command: its options, what it computes, what it writes.
//!
//! A stage is a plain struct, filled by the command line; `run` does the work and prints the result.

pub mod agree;
pub mod audit;
pub mod compare;
pub mod connect;
pub mod damage;
pub mod directions;
pub mod examples;
pub mod fisher;
pub mod freeze;
mod history;
pub mod loss;
pub mod merge;
pub mod moving;
pub mod options;
mod outputs;
pub mod pretrain;
pub mod prune;
pub mod render;
pub mod schedule;
pub mod sharpness;
pub mod slice;
pub mod source;
pub mod stability;
pub mod surface;
pub mod topology;
pub mod train;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::{Command, Subcommand};
use serde::{Deserialize, Serialize};

use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Problem, Result, check_at_most};
use crate::estimate;
use crate::model::checkpoint::MissingHead;
use crate::model::{Checkpoint, DeviceChoice, Model, Opened, Precision};
use crate::provenance::{self, Provenance};
use options::{Parsed, defaults};

/// One command of the main job: reads files, computes, writes files.
#[derive(clap::Subcommand, Debug)]
pub enum Stage {
    Freeze(freeze::Freeze),
    Loss(loss::Loss),
    Fisher(fisher::Fisher),
    Schedule(schedule::Schedule),
    Pretrain(pretrain::Pretrain),
    Train(train::Train),
    Directions(directions::Directions),
    Surface(surface::Surface),
    Sharpness(sharpness::Sharpness),
    Compare(compare::Compare),
    Topology(topology::Topology),
    Stability(stability::Stability),
    Audit(audit::Audit),
    Agree(agree::Agree),
    Examples(examples::Examples),
    Damage(damage::Damage),
    Prune(prune::Prune),
    Merge(merge::Merge),
    Connect(connect::Connect),
    Render(render::Render),
}

impl Stage {
    /// Does the work; `command` is the line that repeats it, for the provenance.
    pub fn run(&self, command: &str) -> Result<()> {
        outputs::check(self)?;
        match self {
            Stage::Freeze(stage) => stage.run(command),
            Stage::Loss(stage) => stage.run(),
            Stage::Fisher(stage) => stage.run(command),
            Stage::Schedule(stage) => stage.run(command),
            Stage::Pretrain(stage) => stage.run(command),
            Stage::Train(stage) => stage.run(command),
            Stage::Directions(stage) => stage.run(command),
            Stage::Surface(stage) => stage.run(command),
            Stage::Sharpness(stage) => stage.run(command),
            Stage::Compare(stage) => stage.run(command),
            Stage::Topology(stage) => stage.run(command),
            Stage::Stability(stage) => stage.run(command),
            Stage::Audit(stage) => stage.run(command),
            Stage::Agree(stage) => stage.run(command),
            Stage::Examples(stage) => stage.run(command),
            Stage::Damage(stage) => stage.run(command),
            Stage::Prune(stage) => stage.run(command),
            Stage::Merge(stage) => stage.run(command),
            Stage::Connect(stage) => stage.run(command),
            Stage::Render(stage) => stage.run(command),
        }
    }
}

impl Stage {
    /// Points of a surface that may be evaluated apart, by `--slice`; of everything else one.
    pub fn points(&self) -> usize {
        match self {
            Stage::Surface(stage) => stage.points_apart(),
            _ => 1,
        }
    }

    /// What it comes to, in tokens of a forward pass, and the seconds of each where they are measured beforehand; `None` where its options
    /// do not say, or what it reads is not there yet.
    pub fn work(&self) -> Option<(f64, Option<f64>)> {
        let of = |set: &Path, passes: &dyn Fn(&FrozenSet) -> f64| {
            let set = FrozenSet::read(set).ok()?;
            Some((passes(&set) * estimate::tokens(&set.examples) as f64, None))
        };
        match self {
            Stage::Train(stage) => stage.work().ok().map(|work| (work.tokens, Some(work.seconds_each))),
            Stage::Fisher(stage) => of(&stage.inputs.set, &|set| {
                let classes = set.label_names().map_or(1, |names| names.len());
                stage.passes(&stage.estimates(), classes)
            }),
            Stage::Surface(stage) if stage.is_whole() => {
                of(&stage.inputs.set, &|_| stage.points_apart() as f64)
            }
            Stage::Prune(stage) => of(&stage.inputs.set, &|_| stage.points() as f64),
            _ => None,
        }
    }

    /// What is wrong with the options themselves, before anything is read.
    pub fn check(&self) -> Result<()> {
        match self {
            Stage::Fisher(stage) => stage.check(),
            Stage::Schedule(stage) => stage.check(),
            Stage::Train(stage) => stage.check(),
            Stage::Directions(stage) => stage.check(),
            Stage::Surface(stage) => stage.check(),
            Stage::Sharpness(stage) => stage.check(),
            Stage::Stability(stage) => stage.check(),
            Stage::Audit(stage) => stage.check(),
            Stage::Agree(stage) => stage.check(),
            Stage::Examples(stage) => stage.check(),
            Stage::Damage(stage) => stage.check(),
            Stage::Prune(stage) => stage.check(),
            Stage::Merge(stage) => stage.check(),
            Stage::Connect(stage) => stage.check(),
            _ => Ok(()),
        }
    }
}

/// Whether a command computes with a model, and so has [`Compute`]'s options.
pub fn computes(command: &str) -> bool {
    static ALL: LazyLock<Command> = LazyLock::new(|| Stage::augment_subcommands(Command::new("stages")));
    let own = ALL.find_subcommand(command);
    own.is_some_and(|own| own.get_arguments().any(|argument| argument.get_id() == "device"))
}

/// The help of a checkpoint of this role.
fn checkpoint(role: &str) -> String {
    format!(
        "{role}: a folder in the Hugging Face layout; a hub name (bert-base-uncased, owner/name; add @REVISION to override the \
         cached revision); or embedded, the one in the binary"
    )
}

/// Where a command computes.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults", deny_unknown_fields)]
pub struct Compute {
    /// Device to compute on: cpu, cuda, cuda:N or metal, the last three in a build with --features cuda or metal; or cpu:composed, a
    /// GPU's operations on the CPU, which is slow and a check
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Parsed<DeviceChoice>,
    /// How products of matrices are rounded, on other devices than cpu: tf32 (only cuda) leaves a loss three digits, bf16 two
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
}

impl Compute {
    /// The device; results say from now on that they come from there.
    pub fn place(&self) -> Result<Opened> {
        let opened = self.device.0.open_with(self.precision)?;
        provenance::computed_on(opened.arithmetic.clone());
        Ok(opened)
    }

    /// Reads a checkpoint, whose models run on the device.
    pub fn open(&self, checkpoint: &Path) -> Result<Checkpoint> {
        let place = self.place()?;
        Ok(Checkpoint::open(checkpoint)?.on(&place))
    }

    /// A model with the head that its checkpoint holds: one that is drawn would be no part of what was trained.
    fn open_with_own_head(&self, path: &Path, set: &FrozenSet) -> Result<Model> {
        let head = HeadOptions { strict_head: false, fresh_head: false };
        let model = self.open(path)?.model_for(set, head.missing(0))?;
        match model.stored_head {
            true => Ok(model),
            false => {
                let fix =
                    "give a model that was trained for the task of the set, or a set of the model's task";
                Err(Error::field(path.display(), "head", "stored", "none for this set", fix))
            }
        }
    }
}

/// Which task head a model gets.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct HeadOptions {
    /// Fail if the checkpoint lacks the task head, instead of drawing one from the seed
    #[arg(long)]
    pub strict_head: bool,
    /// Draw a new task head from the seed, even where the checkpoint has one
    #[arg(long, conflicts_with = "strict_head")]
    pub fresh_head: bool,
}

impl HeadOptions {
    /// What happens to a head that is missing, or not wanted.
    pub fn missing(self, seed: u64) -> MissingHead {
        match self {
            HeadOptions { strict_head: true, .. } => MissingHead::Refuse,
            HeadOptions { fresh_head: true, .. } => MissingHead::Redraw { seed },
            _ => MissingHead::Initialise { seed },
        }
    }
}

/// A checkpoint and the frozen set it is evaluated on.
#[derive(clap::Args, Clone, Debug)]
pub struct ModelAndSet {
    #[arg(long, value_name = "C", help = checkpoint("Checkpoint"))]
    pub checkpoint: PathBuf,
    /// Frozen evaluation set; its labels choose the head
    #[arg(long, value_name = "SET")]
    pub set: PathBuf,
    #[command(flatten)]
    pub head: HeadOptions,
    #[command(flatten)]
    pub compute: Compute,
}

impl ModelAndSet {
    /// Reads both and checks that they go together.
    pub fn open(&self, seed: u64) -> Result<(Model, FrozenSet)> {
        let set = FrozenSet::read(&self.set)?;
        let missing = self.head.missing(seed);
        let model = self.compute.open(&self.checkpoint)?.model_for(&set, missing)?;
        Ok((model, set))
    }

    /// The same, and puts them into the provenance.
    fn open_recorded(&self, seed: u64, provenance: &mut Provenance) -> Result<(Model, FrozenSet)> {
        let (model, set) = self.open(seed)?;
        provenance.checkpoint("checkpoint", &self.checkpoint, &model.hash)?;
        provenance.input("set", &set.hash);
        Ok((model, set))
    }
}

/// Whether this many resamples are worth their time.
fn check_resamples(resamples: usize) -> Result<(), Problem> {
    check_at_most("resamples", resamples, 100_000, "all scores anew; 1000 give an interval")
}

/// Refuses a model whose loss says nothing.
fn check_finite(checkpoint: &Path, loss: f64) -> Result<()> {
    match loss.is_finite() {
        true => Ok(()),
        false => {
            let fix = "its weights are too large; most likely its training diverged: train it with a smaller learning rate";
            Err(Error::field(checkpoint.display(), "loss", "finite", loss, fix))
        }
    }
}

/// A set as the JSON of a result names it.
fn about_set(set: &FrozenSet) -> serde_json::Value {
    serde_json::json!({
        "hash": set.hash,
        "examples": set.examples.iter().filter(|e| e.targets() > 0).count(),
        "targets": set.examples.iter().map(Example::targets).sum::<usize>(),
    })
}

/// Whether the name of a file to write ends in `extension`, asked before any work starts.
fn check_extension(option: &str, path: &Path, extension: &str) -> Result<()> {
    match path.extension().is_some_and(|e| e == extension) {
        true => Ok(()),
        false => {
            let fix = format!("name it {}", path.with_extension(extension).display());
            Err(Error::field(
                option,
                "file name",
                format!("one that ends in .{extension}"),
                path.display(),
                fix,
            ))
        }
    }
}

/// A number with its standard error, for people.
fn with_se(value: f64, se: f64) -> String {
    if se.is_finite() { format!("{value:.6} ± {se:.6}") } else { format!("{value:.6}") }
}

/// The word by which the command line and files know a value.
pub fn word<T: clap::ValueEnum>(value: T) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
}

/// A value with its interval, where there is one, for people.
pub fn bounded(value: Option<f64>, low: Option<f64>, high: Option<f64>) -> String {
    match (value, low, high) {
        (Some(value), Some(low), Some(high)) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        (Some(value), ..) => format!("{value:.3}"),
        _ => "none".into(),
    }
}
