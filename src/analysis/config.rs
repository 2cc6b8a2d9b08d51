//! What an analysis says: one struct for each section of the TOML, and what must hold between them.
//!
//! A key that is left out takes the default of the command that it goes to, which is therefore written in one place only.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::data::delimited::Columns;
use crate::data::glue::{self, Task};
use crate::dropout::Assignment;
use crate::dropout::shape::Shape;
use crate::fisher::layers::{Aggregate, Granularity};
use crate::landscape::direction::Normalize;
use crate::landscape::mask::{By, Norm, Select};
use crate::model::{Estimator, Reduction};
use crate::stability::draw::Draws;
use crate::stages::schedule::Preset;
use crate::stages::source::Holdout;
use crate::stages::train::Arm as Dropout;

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
               batch, accumulate, eval_steps, early_stopping, lr, warmup, weight_decay, split: \"paper\" or \"official\"]
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
    pub granularity: Option<By>,
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

/// What does not fit: the key, what it must be, and how to mend it.
pub struct Problem {
    pub key: &'static str,
    pub expected: &'static str,
    pub fix: &'static str,
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

    /// The first thing that does not fit.
    pub fn problem(&self) -> Option<Problem> {
        let data = &self.data;
        let labelled = data.task.is_some() || data.table.is_some();
        let over = self.fisher_over();
        let train = self.train.as_ref();
        let preset = self.schedule.as_ref().is_some_and(|schedule| schedule.preset.is_some());
        let own: Vec<Assignment> = train.iter().flat_map(|t| &t.arms).filter_map(|arm| arm.0.own()).collect();
        let arms: Vec<String> =
            train.iter().flat_map(|t| &t.arms).map(|arm| plain(&arm.0.to_string())).collect();
        let masks: Vec<String> =
            self.surface.iter().flat_map(|s| &s.masks).map(|mask| plain(&mask_title(&mask.0))).collect();
        let draws = 1..=100;
        let sections = [
            ("profile", self.profile.is_some()),
            ("plane", self.plane.is_some()),
            ("trajectory", self.trajectory.is_some()),
            ("sharpness", self.sharpness.is_some()),
        ];
        let without_surface = sections.iter().find_map(|(name, there)| there.then_some(*name));
        let masked = self.surface.as_ref().is_some_and(|s| s.masks.iter().any(|mask| mask.0 != Select::All))
            || self
                .sharpness
                .as_ref()
                .is_some_and(|s| s.mask.as_ref().is_some_and(|mask| mask.0 != Select::All));
        let parts = if self.surface.is_some() { self.surfaces_over() } else { Vec::new() };
        let fraction = |f: f64| f > 0.0 && f <= 1.0;
        let rate = |p: Option<f64>| p.is_none_or(|p| (0.0..1.0).contains(&p));
        let some = |n: Option<usize>| n.is_none_or(|n| n > 0);
        let of = |get: fn(&Train) -> Option<f64>| train.and_then(get);
        let schedule = self.schedule.clone().unwrap_or_default();
        let stability = self.stability.as_ref();
        let about_fisher = [
            ("audit", self.audit.is_some()),
            ("damage", self.damage.is_some()),
            ("agree", self.agree.is_some()),
        ];
        let about_fisher = about_fisher.into_iter().find_map(|(name, there)| there.then_some(name));
        let bounds = (schedule.p_lower.unwrap_or(0.0), schedule.p_upper.unwrap_or(0.1));

        let rules: [(bool, &str, &str, &str); 37] = [
            (
                self.surface.as_ref().is_none_or(|s| draws.contains(&s.draws)),
                "surface.draws",
                "from 1 to 100",
                "three planes show a spread",
            ),
            (
                self.profile.as_ref().is_none_or(|p| draws.contains(&p.draws)),
                "profile.draws",
                "from 1 to 100",
                "five lines show a spread",
            ),
            (
                self.surface.is_some() || without_surface.is_none(),
                without_surface.unwrap_or("surface"),
                "beside a [surface] section",
                "add [surface]: its parts of the data are looked at",
            ),
            (
                self.train.is_some() || self.plane.is_none(),
                "plane",
                "about arms of a training",
                "add a [train] section",
            ),
            (
                self.train.is_some() || self.trajectory.is_none(),
                "trajectory",
                "about arms of a training",
                "add a [train] section",
            ),
            (
                self.trajectory.as_ref().is_none_or(|t| (3..=1000).contains(&t.snapshots)),
                "trajectory.snapshots",
                "from 3 to 1000",
                "a dozen show a path",
            ),
            (
                of(|t| t.weight_decay).is_none_or(|d| d >= 0.0),
                "train.weight_decay",
                "at least 0",
                "the paper's is 0",
            ),
            (
                self.surface.is_none() || !parts.is_empty() && distinct(&parts),
                "surface.over",
                "distinct parts, at least one",
                "write, for example, [\"held_out\"]",
            ),
            (
                self.train.is_none() || !parts.contains(&Part::Text),
                "surface.over",
                "parts of the task where arms are trained on it",
                "leave \"text\" out: the arms have no masked-LM head",
            ),
            (
                labelled || data.text.is_some(),
                "data",
                "a task, a table or text",
                "give data.task, data.table or data.text",
            ),
            (
                data.task.is_none() || data.table.is_none(),
                "data.table",
                "left out beside a task",
                "choose one of the two",
            ),
            (
                data.table.is_some() == data.columns.is_some(),
                "data.columns",
                "given with a table, and only then",
                "write columns = \"text,label\"",
            ),
            (
                self.train.is_none() || labelled,
                "train",
                "about a task or table",
                "give data.task or data.table",
            ),
            (
                self.train.is_none() || (1..=16).contains(&arms.len()) && distinct(&arms),
                "train.arms",
                "a list of one to sixteen arms, distinct by name",
                "write, for example, [\"uniform:0.05\", \"guided\"]",
            ),
            (
                train.is_none_or(|t| t.seeds > 0),
                "train.seeds",
                "at least 1",
                "five give an interval worth having",
            ),
            (train.is_none_or(|t| some(t.epochs)), "train.epochs", "at least 1", "the paper trains for 3"),
            (train.is_none_or(|t| some(t.batch)), "train.batch", "at least 1", "the paper's is 18"),
            (of(|t| t.fraction).is_none_or(fraction), "train.fraction", "in (0, 1]", "write 10 % as 0.1"),
            (
                of(|t| t.lr).is_none_or(|lr| lr > 0.0 && lr.is_finite()),
                "train.lr",
                "above 0",
                "the paper's, for bert-base, is 2e-5",
            ),
            (
                own.is_empty() || self.schedule.is_some(),
                "train.arms",
                "without `guided`, `matched`, `reversed` and `shuffled` where there is no [schedule]",
                "add a [schedule], name a file (\"guided:RATES.csv\"), or leave the arm out",
            ),
            (
                self.schedule.is_none() || preset || self.fisher.is_some(),
                "schedule",
                "with a preset or a [fisher] section",
                "add [fisher], or preset = \"paper-bert-base\"",
            ),
            (rate(schedule.p_lower), "schedule.p_lower", "in [0, 1)", "the paper's is 0"),
            (
                rate(schedule.p_upper) && bounds.0 <= bounds.1,
                "schedule.p_upper",
                "in [0, 1), and not below p_lower",
                "the paper's is 0.1",
            ),
            (
                self.fisher.is_none() || over == Over::Task || data.text.is_some(),
                "fisher.over",
                "\"task\" where there is no text",
                "give data.text, or over = \"task\"",
            ),
            (
                self.fisher.is_none() || over == Over::Text || labelled,
                "fisher.over",
                "\"text\" where there is no task",
                "give data.task, or over = \"text\"",
            ),
            (
                self.fisher.as_ref().is_none_or(|f| some(f.examples)),
                "fisher.examples",
                "at least 1",
                "leave it out for all",
            ),
            (
                !masked || self.fisher.is_some(),
                "surface.masks",
                "only \"all\" where there is no [fisher]",
                "add a [fisher] section",
            ),
            (
                self.surface.is_none() || !masks.is_empty() && distinct(&masks),
                "surface.masks",
                "a list of distinct masks, at least one",
                "write, for example, [\"all\", \"top:0.01\", \"random:0.01\"]",
            ),
            (
                parts.iter().all(|part| if *part == Part::Text { data.text.is_some() } else { labelled }),
                "surface.over",
                "parts of data that are there",
                "\"train\" and \"held_out\" are parts of a task, \"text\" is data.text",
            ),
            (
                self.stability.is_none() || self.fisher.is_some(),
                "stability",
                "beside a [fisher] section",
                "add [fisher]: the rankings are of its examples",
            ),
            (
                stability
                    .and_then(|s| s.fractions.as_ref())
                    .is_none_or(|f| !f.is_empty() && f.iter().all(|f| fraction(*f))),
                "stability.fractions",
                "numbers in (0, 1]",
                "write, for example, [0.01, 0.02, 0.05, 0.1]",
            ),
            (
                stability.and_then(|s| s.masks).is_none_or(|m| m == 1 || over == Over::Text),
                "stability.masks",
                "left out where the Fisher information is over a task",
                "a task's examples have no masks",
            ),
            (
                self.fisher
                    .as_ref()
                    .is_none_or(|f| distinct(&f.also) && !f.also.contains(&Estimator::Empirical)),
                "fisher.also",
                "\"mc\", \"exact\" or both",
                "the empirical estimator is always there",
            ),
            (
                over == Over::Task
                    || !self.fisher.as_ref().is_some_and(|f| f.also.contains(&Estimator::Exact)),
                "fisher.also",
                "without \"exact\" over text",
                "a vocabulary has too many classes to sum over",
            ),
            (
                self.fisher.is_some() || about_fisher.is_none(),
                about_fisher.unwrap_or("audit"),
                "beside a [fisher] section",
                "add [fisher]: it is about that",
            ),
            (
                self.agree.as_ref().is_none_or(|a| !a.arms || train.is_some() && over == Over::Task),
                "agree.arms",
                "true only where arms are trained and the Fisher information is over the task",
                "add [train] and fisher.over = \"task\": trained models have no masked-LM head",
            ),
            (
                self.agree.as_ref().is_none_or(|a| {
                    let also = self.fisher.as_ref().is_some_and(|f| !f.also.is_empty());
                    (a.arms || also || !a.files.is_empty()) && a.titles.len() == a.files.len()
                }),
                "agree",
                "about something beside the empirical estimate, and with a title for each file",
                "set arms = true, fisher.also, or files and titles",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, ..)| !holds);
        broken.map(|(_, key, expected, fix)| Problem { key, expected, fix })
    }
}

fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))
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

/// As people read it: `uniform 0.05`.
impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Arm::Own(assignment) => write!(f, "{}", assignment_title(*assignment)),
            Arm::Other(Dropout::Scheduled(assignment, path)) => {
                // Commas separate titles on a command line.
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace(',', " ");
                write!(f, "{} {stem}", assignment_title(*assignment))
            }
            Arm::Other(Dropout::GaussianPaper(p)) => write!(f, "paper's gaussian {p}"),
            Arm::Other(dropout) => write!(f, "{}", dropout.to_string().replace(':', " ")),
        }
    }
}

/// The use of a schedule as people read it: `shuffled 2`.
fn assignment_title(assignment: Assignment) -> String {
    match assignment {
        Assignment::Matched => "matched uniform".into(),
        other => other.to_string().replace(':', " "),
    }
}

/// A mask as people read it: `top 1 %`.
pub fn mask_title(mask: &Select) -> String {
    let percent = |f: &f64| format!("{} %", (f * 1e8).round() / 1e6);
    match mask {
        Select::All => "all".into(),
        Select::Top(f) => format!("top {}", percent(f)),
        Select::Bottom(f) => format!("bottom {}", percent(f)),
        Select::Random(f) => format!("random {}", percent(f)),
        Select::PaperTop => "paper's top half".into(),
        Select::PaperBottom => "paper's bottom half".into(),
    }
}

/// A title as part of a path.
pub fn plain(title: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    title.chars().map(keep).collect()
}
