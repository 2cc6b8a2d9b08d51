//! What an analysis says: one struct for each section of the TOML.
//!
//! What a section has in common with a command is that command's own struct of options, whose defaults, ranges and help are
//! therefore written in one place only. Keys of the analysis alone stand beside it; clap reads these, too, for the list of keys.

// The fields' comments are also the help that a user reads, where `[surface]` is a section of the TOML and no link.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Command, ValueEnum};
use serde::Deserialize;

use crate::data::columns::Columns;
use crate::data::glue::{self, Holdout, Task};
use crate::data::labels::Labels;
use crate::dropout::Arm;
use crate::dropout::Assignment;
use crate::fisher::Control;
use crate::fisher::layers::Granularity;
use crate::landscape::directions::Source;
use crate::landscape::mask::Select;
use crate::model::{Estimator, Reduction};
use crate::stages::Compute;
use crate::stages::audit::AuditOptions;
use crate::stages::damage::DamageOptions;
use crate::stages::examples::ExamplesOptions;
use crate::stages::fisher::FisherOptions;
use crate::stages::moving::{GaussianOptions, MaskOptions};
pub use crate::stages::options::Parsed;
use crate::stages::options::defaults;
use crate::stages::prune::PruneOptions;
use crate::stages::schedule::ScheduleOptions;
use crate::stages::sharpness::SharpnessOptions;
use crate::stages::stability::StabilityOptions;
use crate::stages::surface::{AxisOptions, SamplingOptions};
use crate::stages::train::TrainOptions;
use crate::tasks::Kind;

/// Says which keys a section has.
type Keys = fn(Command) -> Command;

/// Sections, and what says which keys each has.
pub const SECTIONS: [(&str, Keys); 20] = [
    ("model", Model::augment_args),
    ("compute", Compute::augment_args),
    ("data", Data::augment_args),
    ("fisher", Fisher::augment_args),
    ("schedule", ScheduleOptions::augment_args),
    ("train", Train::augment_args),
    ("surface", Surface::augment_args),
    ("profile", Profile::augment_args),
    ("plane", Plane::augment_args),
    ("trajectory", Trajectory::augment_args),
    ("planes", KindPlane::augment_args),
    ("sharpness", Sharpness::augment_args),
    ("stability", StabilityOptions::augment_args),
    ("audit", AuditOptions::augment_args),
    ("damage", Damage::augment_args),
    ("agree", Agree::augment_args),
    ("topology", Topology::augment_args),
    ("prune", Prune::augment_args),
    ("examples", ExamplesOptions::augment_args),
    ("grid", |command| command),
];

/// An analysis: the question, and what is done to answer it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// Empty: the file's name.
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub question: String,
    /// Where the question comes from.
    #[serde(default)]
    pub source: String,
    /// What to expect, said beforehand.
    #[serde(default)]
    pub expectation: String,
    /// How to read the outcome, and how not to.
    #[serde(default)]
    pub reading: String,
    /// What the question asks, in its order, where that is not all that is done.
    #[serde(default)]
    pub asks: Vec<Topic>,
    /// Seed of every draw; the k-th training run of an arm has this seed plus k.
    #[serde(default)]
    pub seed: u64,
    pub model: Model,
    /// Where all that computes with a model does so.
    pub compute: Option<Compute>,
    pub data: Data,
    pub fisher: Option<Fisher>,
    pub schedule: Option<ScheduleOptions>,
    pub train: Option<Train>,
    pub surface: Option<Surface>,
    pub profile: Option<Profile>,
    pub plane: Option<Plane>,
    pub trajectory: Option<Trajectory>,
    #[serde(default)]
    pub planes: Vec<KindPlane>,
    pub sharpness: Option<Sharpness>,
    pub stability: Option<StabilityOptions>,
    pub audit: Option<AuditOptions>,
    pub damage: Option<Damage>,
    pub agree: Option<Agree>,
    pub topology: Option<Topology>,
    pub prune: Option<Prune>,
    pub examples: Option<ExamplesOptions>,
    /// Of a study: see [`super::grid`], which reads it.
    #[serde(default)]
    pub grid: Vec<toml::Table>,
    /// The keys as they are given: a default that is written differs from one that is not, since it is a word of a command.
    #[serde(skip)]
    pub given: toml::Table,
}

/// What an analysis can be asked, in the order in which the answers stand where it says none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Which arm is better.
    Better,
    /// Around which the loss is flatter.
    Flatter,
    /// How trained models lie to each other.
    Apart,
    /// Which sites have most Fisher information.
    Where,
    /// How many examples a ranking needs.
    Data,
    /// How much of its noise is that of the masks.
    Masks,
    /// Whether the same parameters come out on top.
    Overlap,
    /// Whether the loss rises further in the parameters at the top.
    Matters,
    /// What a ranking rests on.
    Drivers,
    /// Whether it predicts where a perturbation hurts.
    Damage,
    /// Whether estimates and models rank alike.
    Alike,
    /// How many basins the surfaces show.
    Basins,
    /// Which parameters can go at the least cost.
    Pruning,
    /// Which examples carry the information.
    Examples,
}

/// What everything starts from
#[derive(Args, Clone, Debug, Deserialize)]
pub struct Model {
    /// A folder in the Hugging Face layout, a name on the hub, or embedded
    #[arg(long, value_name = "C")]
    pub checkpoint: PathBuf,
}

/// A task or a table to train on, text for masked language modelling, or both
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Data {
    /// As `--task` of `train`
    #[arg(long, value_name = "NAME")]
    pub task: Option<Parsed<Task>>,
    /// The task's folder, the one above it, or a data set on the hub [default: GLUE is the hub's]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// A table instead, with a header
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// The table's columns: text,label or text,text2,label
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<Parsed<Columns>>,
    /// What the table's labels are [default: what they look like]
    #[arg(long, value_enum, value_name = "KIND")]
    pub labels: Option<Labels>,
    /// Words in columns instead, with a class for each, as CoNLL has them
    #[arg(long, value_name = "FILE")]
    pub conll: Option<PathBuf>,
    /// Column of their classes, counted from 1 [default: the last]
    #[arg(long, value_name = "K")]
    pub column: Option<u16>,
    /// Questions about texts instead, and their answers, as SQuAD has them
    #[arg(long, value_name = "FILE")]
    pub squad: Option<PathBuf>,
    /// Tokens that neighbouring windows of their texts share [default: 128]
    #[arg(long, value_name = "S")]
    pub stride: Option<usize>,
    /// Held out in place of a fifth of words or questions: another such file
    #[arg(long, value_name = "FILE")]
    pub dev: Option<PathBuf>,
    /// Plain text, one example a line
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Skip lines with fewer words than this [default: 8]
    #[arg(long, value_name = "N")]
    pub min_words: Option<usize>,
    /// Cut examples to this many tokens [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
}

impl Data {
    /// The key that names the labelled data.
    pub fn named(&self) -> &'static str {
        match self {
            Data { table: Some(_), .. } => "data.table",
            Data { conll: Some(_), .. } => "data.conll",
            Data { squad: Some(_), .. } => "data.squad",
            Data { folder: Some(_), .. } => "data.folder",
            _ => "data.task",
        }
    }

    /// Whether they are of a file that another can stand beside: words, or questions.
    pub fn in_parts(&self) -> bool {
        self.conll.is_some() || self.squad.is_some()
    }

    /// Where the task's files are; `None` where they are in the binary, or there is no task.
    pub fn folder(&self) -> Option<PathBuf> {
        let hub = self.task.as_ref().filter(|task| task.0 != Task::Supersense);
        self.folder.clone().or(hub.map(|task| glue::default_data(task.0).into()))
    }
}

/// Which data a Fisher information is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Masked language modelling on the text.
    Text,
    /// The task or table, on examples of the training part.
    Task,
}

/// Fisher information of the checkpoint
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Fisher {
    /// Which of the data [default: the text, where there is one]
    #[arg(long)]
    pub over: Option<Over>,
    /// Examples to draw [default: all]
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    /// Differentiate the mean over an example's targets (the paper's) or their sum [default: mean]
    #[arg(long)]
    pub reduction: Option<Reduction>,
    /// More estimators than the empirical one, from the same pass
    #[arg(long, value_delimiter = ',')]
    pub also: Vec<Estimator>,
    #[command(flatten)]
    #[serde(flatten)]
    pub options: FisherOptions,
}

/// Arms, each once for every seed
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Train {
    /// Each none, none-at-all, uniform:P, gaussian:P or gaussian-paper:P; by [schedule] guided, matched, reversed, shuffled,
    /// shuffled:K, by-depth or by-type; by a [schedule] from the Fisher information of an untrained model or of labels at random:
    /// untrained, random-label; by a file, as guided:RATES.csv, or other-task:RATES.csv
    #[arg(long, value_delimiter = ',', value_name = "ARM,..")]
    pub arms: Vec<Parsed<PlannedArm>>,
    /// Training runs of each arm, with seeds of their own
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seeds: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub options: TrainOptions,
}

/// The dropout of an arm, as one writes it: `guided` and its controls alone are of the analysis' own schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum PlannedArm {
    Own(Assignment),
    /// Guided by the Fisher information of a control.
    Control(Control),
    /// Guided by a schedule made elsewhere, of another task.
    OtherTask(PathBuf),
    Other(Arm),
}

/// Which examples a surface is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Part {
    /// Examples that the arms were trained on.
    Train,
    /// Examples that they were not trained on.
    HeldOut,
    /// Masked language modelling on the text.
    Text,
}

/// Surfaces of every arm, or of the checkpoint where nothing is trained
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Surface {
    /// Each all, top:F, bottom:F, random:F, paper-top or paper-bottom
    #[arg(long, value_delimiter = ',', value_name = "MASK,..")]
    pub masks: Vec<Parsed<Select>>,
    /// [default: both parts of the task, or the text where nothing is trained]
    #[arg(long, value_delimiter = ',')]
    pub over: Option<Vec<Part>>,
    /// Examples to draw from each part [default: all]
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub mask: MaskOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub gaussian: GaussianOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub axes: AxisOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: SamplingOptions,
    /// Planes, each with directions and random masks of its own; the first is drawn
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub draws: usize,
    /// Seeds whose models have surfaces, the first ones, in the same planes; the first is drawn. Arms are compared only over several:
    /// one pair of models shows nothing about others. Each costs as much as the first
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seeds: usize,
}

/// Losses along single directions, each with a random mask of its own, under the masks and over the parts of [surface]
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Profile {
    /// Directions
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub draws: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub axes: AxisOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: SamplingOptions,
}

/// The plane through the checkpoint and the models of the first two arms, and the lines between them
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Plane {
    /// Lowest and highest coordinate on both axes: the models lie at (0, 0), (1, 0) and between -1 and 1 of it along y
    #[arg(long, default_value = "-0.5,1.5", value_delimiter = ',', value_name = "LO,HI")]
    pub span: Vec<f64>,
    /// Points per axis [default: 25]
    #[arg(long, value_name = "N")]
    pub resolution: Option<usize>,
    /// Points on each line between models, over all examples [default: 25]
    #[arg(long, value_name = "N")]
    pub line_resolution: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: SamplingOptions,
}

/// The training of the first seed's runs, each in the plane of its leading principal components
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Trajectory {
    /// Parameters kept on the way
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub snapshots: usize,
    /// Lowest and highest coordinate on both axes: the longest coordinate of the path is 1
    #[arg(long, default_value = "-1.2,1.2", value_delimiter = ',', value_name = "LO,HI")]
    pub span: Vec<f64>,
    /// Points per axis [default: 25]
    #[arg(long, value_name = "N")]
    pub resolution: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: SamplingOptions,
}

/// As [[planes]]: a plane of a kind of directions around every arm's first run, over the first part of [surface]
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindPlane {
    /// As `--kind` of `directions`, of those that need no other models
    #[arg(long, value_name = "KIND")]
    pub kind: Parsed<Source>,
    /// Lowest and highest coordinate on both axes
    #[arg(long, default_value = "-1,1", value_delimiter = ',', value_name = "LO,HI")]
    #[serde(default = "whole")]
    pub span: Vec<f64>,
    /// Points per axis [default: 25]
    #[arg(long, value_name = "N")]
    pub resolution: Option<usize>,
}

fn whole() -> Vec<f64> {
    vec![-1.0, 1.0]
}

/// Sharpness of every run, over the first part of [surface], and the plane of the leading eigenvectors of the first seed's
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Sharpness {
    /// Parameters that move, as one of the masks of [surface] [default: all]
    #[arg(long, value_name = "MASK")]
    pub mask: Option<Parsed<Select>>,
    /// Also the critical sharpness of every run: 2 / η, where η is the learning rate from which on a step down the gradient raises the loss
    #[arg(long)]
    pub critical: bool,
    /// Also the curvature of every site, block or tensor by itself, of every run; of the first seed's next to its Fisher information, where that is
    /// computed for [prune] or agree.arms
    #[arg(long, value_enum, value_name = "LAYERS")]
    pub by: Option<Granularity>,
    #[command(flatten)]
    #[serde(flatten)]
    pub options: SharpnessOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub axes: AxisOptions,
}

/// Whether Fisher information predicts where a perturbation of the checkpoint hurts
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Damage {
    /// Examples to draw [default: all]
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub options: DamageOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub gaussian: GaussianOptions,
}

/// How alike all estimates of [fisher], and others, rank the layers
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Agree {
    /// Also the model of every arm's first seed, on the same examples
    #[arg(long)]
    pub arms: bool,
    /// Also AdamW's second moment after the training of every arm's first seed
    #[arg(long)]
    pub moments: bool,
    /// Fisher files from elsewhere
    #[arg(long, value_delimiter = ',', value_name = "FILE,..")]
    pub files: Vec<PathBuf>,
    /// What these are called
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub titles: Vec<String>,
}

/// Basins of the surfaces of [surface] over its first part: minima, saddles and SMAD, and which of them the examples show
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {}

/// What it costs to set parameters to zero, in several orders: of every arm's first run by its own Fisher information, over held-out
/// examples, or of the checkpoint where nothing is trained
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(default = "defaults")]
pub struct Prune {
    /// Examples to draw [default: all]
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub options: PruneOptions,
}

impl Analysis {
    /// What the Fisher information is over.
    pub fn fisher_over(&self) -> Over {
        let given = self.fisher.as_ref().and_then(|fisher| fisher.over);
        given.unwrap_or(if self.data.text.is_some() { Over::Text } else { Over::Task })
    }

    /// Whether each seed holds out other examples.
    pub fn split_by_seed(&self) -> bool {
        // A table has no split of its own, and two files of words or questions have one.
        let data = &self.data;
        let cut = data.table.is_some() || data.in_parts() && data.dev.is_none();
        let paper = |train: &Train| !data.in_parts() && train.options.split == Holdout::Paper;
        self.train.as_ref().is_some_and(|train| cut || paper(train))
    }

    /// Whether each seed has a schedule of its own. From labels, and where seeds hold out different examples, that of one
    /// seed would have seen what another seed's run is judged by.
    pub fn schedule_by_seed(&self) -> bool {
        let own = |train: &Train| train.arms.iter().any(|arm| arm.0.scheduled());
        self.fisher_over() == Over::Task
            && self.schedule.as_ref().is_some_and(|schedule| schedule.preset.is_none())
            && self.split_by_seed()
            && self.train.as_ref().is_some_and(own)
    }

    /// Whether a part of the data is another at each seed: what was held out, or trained on, there.
    pub fn part_by_seed(&self, part: Part) -> bool {
        let some = self.train.as_ref().is_some_and(|train| train.options.fraction != 1.0);
        self.split_by_seed() || part == Part::Train && some
    }

    /// Whether more is asked of the trained models than their scores.
    pub fn looks_at_models(&self) -> bool {
        let agree = self.agree.as_ref().is_some_and(|agree| agree.arms || agree.moments);
        self.surface.is_some() || self.prune.is_some() || agree
    }

    /// Training runs of each arm.
    pub fn seeds(&self) -> usize {
        self.train.as_ref().map_or(0, |train| train.seeds)
    }

    /// What the surfaces are over.
    pub fn surfaces_over(&self) -> Vec<Part> {
        let given = self.surface.as_ref().and_then(|surface| surface.over.clone());
        given.unwrap_or(match self.train {
            Some(_) => vec![Part::Train, Part::HeldOut],
            None if self.data.text.is_some() => vec![Part::Text],
            None => vec![Part::Train],
        })
    }

    /// Whether a section gives a key.
    pub fn gives(&self, section: &'static str) -> impl Fn(&str) -> bool {
        move |key| self.given.get(section).is_some_and(|keys| keys.get(key).is_some())
    }

    /// What a loss is measured in, for axes and keys: a table's labels are not known here.
    pub fn loss_label(&self) -> String {
        let kind = match (&self.data.task, &self.data.table) {
            (Some(task), _) => task.0.kind(),
            (None, Some(_)) => return "loss".into(),
            (None, None) if self.data.conll.is_some() => Kind::TokenClasses,
            (None, None) if self.data.squad.is_some() => Kind::Span,
            (None, None) => Kind::MaskedLm,
        };
        format!("loss ({})", kind.spec().unit)
    }
}

impl PlannedArm {
    /// Whether its rates come from a schedule that the analysis makes.
    pub fn scheduled(&self) -> bool {
        matches!(self, PlannedArm::Own(_) | PlannedArm::Control(_))
    }

    /// The control whose Fisher information it goes by.
    pub fn control(&self) -> Option<Control> {
        match self {
            PlannedArm::Control(control) => Some(*control),
            _ => None,
        }
    }
}

impl FromStr for PlannedArm {
    type Err = String;

    fn from_str(text: &str) -> Result<PlannedArm, String> {
        if let Ok(assignment) = text.parse() {
            return Ok(PlannedArm::Own(assignment));
        }
        if let Ok(control) = Control::from_str(text, false) {
            return Ok(PlannedArm::Control(control));
        }
        if let Some(path) = text.strip_prefix("other-task:").filter(|path| !path.is_empty()) {
            return Ok(PlannedArm::OtherTask(path.into()));
        }
        let own = "guided, matched, reversed, shuffled, shuffled:K, by-depth, by-type, untrained, random-label, \
                   other-task:RATES.csv";
        text.parse().map(PlannedArm::Other).map_err(|_: String| format!("expected {own}, {}", Arm::EXPECTED))
    }
}
