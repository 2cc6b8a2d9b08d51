//! What an analysis says: one struct for each section of the TOML.
//!
//! A key that is left out takes the default of the command that it goes to, which is therefore written in one place only.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::data::delimited::Columns;
use crate::data::glue::{self, Holdout, Task};
use crate::dropout::Arm as Dropout;
use crate::dropout::Assignment;
use crate::dropout::rates::Preset;
use crate::dropout::shape::Shape;
use crate::fisher::layers::{Aggregate, Granularity};
use crate::landscape::direction::Normalize;
use crate::landscape::mask::{MaskUnit, Norm, Select};
use crate::model::{Estimator, Reduction};
use crate::stability::draw::Draws;

/// Every key, for `check --help`.
pub const KEYS: &str = "\
Keys of an analysis (those in brackets may be left out; a section that is left out is not done):
  title, question, source, expectation, reading, [seed]
  [model]      checkpoint: a folder, a name on the hub, or \"embedded\"
  [data]       [task, folder: as --data; GLUE is the hub's without] or [table, columns]; [text, min_words]; [max_len]
  [fisher]     [over: \"task\" or \"text\"], [examples], [reduction: \"mean\" or \"sum\"], [also: of \"mc\", \"exact\"],
               [mc_samples]
  [schedule]   [preset: \"paper-bert-base\"] or [aggregate, shape: \"linear\", \"cosine\" or \"power:K\",
               include_intermediate, p_lower, p_upper]
  [train]      arms: \"none\", \"uniform:P\", \"gaussian:P\", \"gaussian-paper:P\"; of [schedule] \"guided\", \"matched\",
               \"reversed\", \"shuffled\" or \"shuffled:K\", or of a file, as in \"guided:RATES.csv\"; [seeds, epochs, fraction,
               batch, accumulate, eval_steps, early_stopping, lr, warmup, weight_decay, split: \"paper\" or \"official\",
               scores_only: true keeps no models]
  [surface]    masks: \"all\", \"top:F\", \"bottom:F\", \"random:F\", \"paper-top\" or \"paper-bottom\"; [over: of \"train\",
               \"held_out\", \"text\"], [examples, granularity, norm, normalize, vectors, span, resolution, draws]
  [profile]    losses along single directions, under the masks and over the parts of [surface]: [draws, span, resolution]
  [plane]      through the checkpoint and the first two arms, and the lines between them: [span, resolution, line_resolution]
  [trajectory] of the first seed's runs, in the plane of its principal components: [snapshots, span, resolution]
  [sharpness]  of every run, over the first part of [surface]: [mask, directions, radii, epsilon, ascent, steps, probes,
               signs, eigenvalues, step], [span, resolution: of the plane of the leading eigenvectors]
  [stability]  [fractions, repeats, draws, resamples, threshold], [masks, overlap: further passes over the examples]
  [audit]      what rankings by the Fisher information rest on: [resamples]
  [damage]     does it predict where a perturbation hurts: [examples, granularity, fractions, radius, draws, probes, vectors]
  [agree]      of all estimates of [fisher], with [arms: true for the model of every arm's first seed], [files, titles]
  [[grid]]     makes it a study: keys of the others, each with a list of values; every combination is a cell, an analysis of its own
Values are those of the commands: see `fisherscape train --help`, `surface --help` and so on.";

/// An analysis: the question, and what is done to answer it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    pub title: String,
    pub question: String,
    /// Where the question comes from.
    pub source: String,
    /// What to expect, said beforehand.
    pub expectation: String,
    /// How to read the outcome, and how not to.
    pub reading: String,
    /// Seed of every draw; the k-th training run of an arm has this seed plus k.
    #[serde(default)]
    pub seed: u64,
    pub model: Model,
    pub data: Data,
    pub fisher: Option<Fisher>,
    pub schedule: Option<Schedule>,
    pub train: Option<Train>,
    pub surface: Option<Surface>,
    pub profile: Option<Profile>,
    pub plane: Option<Plane>,
    pub trajectory: Option<Trajectory>,
    pub sharpness: Option<Sharpness>,
    pub stability: Option<Stability>,
    pub audit: Option<Audit>,
    pub damage: Option<Damage>,
    pub agree: Option<Agree>,
    /// Of a study: see [`super::grid`], which reads it.
    #[serde(default)]
    pub grid: Vec<toml::Table>,
}

/// `[model]`
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A folder in the Hugging Face layout, a name on the hub, or `embedded`.
    pub checkpoint: PathBuf,
}

/// `[data]`: a task or a table to train on, text for masked language modelling, or both.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub task: Option<Parsed<Task>>,
    /// The task's folder, the one above it, or a data set on the hub; by default [`glue::default_data`].
    pub folder: Option<PathBuf>,
    pub table: Option<PathBuf>,
    pub columns: Option<Parsed<Columns>>,
    /// Plain text, one example a line.
    pub text: Option<PathBuf>,
    pub min_words: Option<usize>,
    /// Longest example in tokens.
    pub max_len: Option<usize>,
}

impl Data {
    /// Where the task's files are; `None` where they are in the binary, or there is no task.
    pub fn folder(&self) -> Option<PathBuf> {
        let hub = self.task.as_ref().filter(|task| task.0 != Task::Supersense);
        self.folder.clone().or(hub.map(|task| glue::default_data(task.0).into()))
    }
}

/// Which data a Fisher information is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Masked language modelling on the text.
    Text,
    /// The task or table, on examples of the training part.
    Task,
}

/// `[fisher]`: of the checkpoint that everything starts from.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fisher {
    /// By default the text, where there is one.
    pub over: Option<Over>,
    /// Examples to draw; by default all.
    pub examples: Option<usize>,
    pub reduction: Option<Reduction>,
    /// Estimators beside the empirical one, from the same pass.
    #[serde(default)]
    pub also: Vec<Estimator>,
    pub mc_samples: Option<usize>,
}

/// `[schedule]`: drop probabilities by site.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub preset: Option<Preset>,
    pub aggregate: Option<Aggregate>,
    pub shape: Option<Parsed<Shape>>,
    pub include_intermediate: Option<bool>,
    pub p_lower: Option<f64>,
    pub p_upper: Option<f64>,
}

/// `[train]`: arms, each once for every seed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    pub arms: Vec<Parsed<Arm>>,
    #[serde(default = "one")]
    pub seeds: usize,
    pub epochs: Option<usize>,
    pub fraction: Option<f64>,
    pub batch: Option<usize>,
    pub accumulate: Option<usize>,
    pub eval_steps: Option<usize>,
    pub early_stopping: Option<usize>,
    pub lr: Option<f64>,
    pub warmup: Option<f64>,
    pub weight_decay: Option<f64>,
    pub split: Option<Holdout>,
    pub scores_only: Option<bool>,
}

/// The dropout of an arm, as one writes it: `guided` and its controls alone are of the analysis' own schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Arm {
    Own(Assignment),
    Other(Dropout),
}

/// Which examples a surface is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Examples that the arms were trained on.
    Train,
    /// Examples that they were not trained on.
    HeldOut,
    /// Masked language modelling on the text.
    Text,
}

/// `[surface]`: of every arm, or of the checkpoint where nothing is trained.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// By default both parts of the task, or the text where nothing is trained.
    pub over: Option<Vec<Part>>,
    pub masks: Vec<Parsed<Select>>,
    /// Examples to draw from each part; by default all.
    pub examples: Option<usize>,
    pub granularity: Option<MaskUnit>,
    pub norm: Option<Norm>,
    pub normalize: Option<Normalize>,
    pub vectors: Option<bool>,
    pub span: Option<[f64; 2]>,
    pub resolution: Option<usize>,
    /// Planes, each with directions and random masks of its own; the first is drawn.
    #[serde(default = "one")]
    pub draws: usize,
}

/// `[profile]`: the loss along single directions, each draw with its own, and a random mask of its own.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    #[serde(default = "five")]
    pub draws: usize,
    pub span: Option<[f64; 2]>,
    pub resolution: Option<usize>,
}

/// `[plane]`: through the checkpoint that everything starts from and the models of the first two arms.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    #[serde(default = "around_models")]
    pub span: [f64; 2],
    pub resolution: Option<usize>,
    /// Points on the lines between the models.
    pub line_resolution: Option<usize>,
}

/// `[trajectory]`: of training, in the plane of the snapshots' leading principal components.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    #[serde(default = "dozen")]
    pub snapshots: usize,
    #[serde(default = "around_path")]
    pub span: [f64; 2],
    pub resolution: Option<usize>,
}

/// `[sharpness]`: of every run, and the plane of the leading eigenvectors of the first seed's.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharpness {
    pub mask: Option<Parsed<Select>>,
    pub directions: Option<usize>,
    pub radii: Option<Vec<f64>>,
    pub epsilon: Option<f64>,
    pub ascent: Option<usize>,
    pub steps: Option<usize>,
    pub probes: Option<usize>,
    pub signs: Option<usize>,
    pub eigenvalues: Option<usize>,
    pub step: Option<f64>,
    pub span: Option<[f64; 2]>,
    pub resolution: Option<usize>,
}

/// `[stability]`: of rankings by parts of the examples behind the Fisher information.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stability {
    pub fractions: Option<Vec<f64>>,
    pub repeats: Option<usize>,
    pub draws: Option<Vec<Draws>>,
    pub resamples: Option<usize>,
    pub threshold: Option<f64>,
    pub masks: Option<usize>,
    pub overlap: Option<Vec<f64>>,
}

/// `[audit]`: of the Fisher information.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub resamples: Option<usize>,
}

/// `[damage]`: of the checkpoint, over the data that its Fisher information is of.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// Examples to draw; by default all.
    pub examples: Option<usize>,
    pub granularity: Option<Vec<Granularity>>,
    pub fractions: Option<Vec<f64>>,
    pub radius: Option<f64>,
    pub draws: Option<usize>,
    pub probes: Option<usize>,
    pub vectors: Option<bool>,
}

/// `[agree]`: rankings of layers side by side.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agree {
    /// The Fisher information of every arm's first seed, on the same examples.
    #[serde(default)]
    pub arms: bool,
    /// Fisher files from elsewhere, and what they are called.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    #[serde(default)]
    pub titles: Vec<String>,
}

/// A value that is written as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Parsed<T>, D::Error> {
        let text = String::deserialize(from)?;
        // Of a list the caret marks the whole: so the entry is named.
        let wrong = |e: T::Err| {
            let e = e.to_string();
            D::Error::custom(format!("{text:?} cannot be read: {}", e.lines().next().unwrap_or("")))
        };
        text.parse().map(Parsed).map_err(wrong)
    }
}

fn one() -> usize {
    1
}

fn five() -> usize {
    5
}

fn dozen() -> usize {
    12
}

/// The models lie at (0, 0), (1, 0) and between -1 and 1 of it along y.
fn around_models() -> [f64; 2] {
    [-0.5, 1.5]
}

/// The longest coordinate of a path is 1.
fn around_path() -> [f64; 2] {
    [-1.2, 1.2]
}

impl Analysis {
    /// What the Fisher information is over.
    pub fn fisher_over(&self) -> Over {
        let given = self.fisher.as_ref().and_then(|fisher| fisher.over);
        given.unwrap_or(if self.data.text.is_some() { Over::Text } else { Over::Task })
    }

    /// Whether each seed has a schedule of its own. From labels, and where seeds hold out different examples, that of one
    /// seed would have seen what another seed's run is judged by.
    pub fn schedule_by_seed(&self) -> bool {
        // A table has no split of its own.
        let split =
            |train: &Train| self.data.table.is_some() || train.split.unwrap_or_default() == Holdout::Paper;
        let own = |train: &Train| train.arms.iter().any(|arm| arm.0.own().is_some());
        self.fisher_over() == Over::Task
            && self.schedule.as_ref().is_some_and(|schedule| schedule.preset.is_none())
            && self.train.as_ref().is_some_and(|train| split(train) && own(train))
    }

    /// Whether more is asked of the trained models than their scores.
    pub fn looks_at_models(&self) -> bool {
        self.surface.is_some() || self.agree.as_ref().is_some_and(|agree| agree.arms)
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

    /// What a loss is measured in, for axes and keys: a table's labels are not known here.
    pub fn loss_label(&self) -> &'static str {
        match (&self.data.task, &self.data.table) {
            (Some(Parsed(Task::Stsb)), _) => "loss (squared error)",
            (None, Some(_)) => "loss",
            _ => "loss (nats)",
        }
    }
}

impl Arm {
    /// How an arm of the analysis' own schedule uses it.
    pub fn own(&self) -> Option<Assignment> {
        match self {
            Arm::Own(assignment) => Some(*assignment),
            Arm::Other(_) => None,
        }
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Arm, String> {
        if let Ok(assignment) = text.parse() {
            return Ok(Arm::Own(assignment));
        }
        let own = "guided, matched, reversed, shuffled, shuffled:K";
        text.parse().map(Arm::Other).map_err(|_: String| format!("expected {own}, {}", Dropout::EXPECTED))
    }
}
