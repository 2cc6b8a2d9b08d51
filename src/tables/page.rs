//! The numbers of an analysis' page, in its folder `tables/`.

use serde::{Deserialize, Serialize};

use super::Table;
use crate::stats::paired::Difference;

const FIX: &str = "run the analysis again with --force";

/// A row of `training.csv`: a mean over seeds of one arm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Training {
    /// Title of the arm.
    pub arm: String,
    /// Runs that the means are over.
    pub seeds: usize,
    /// Runs that failed and are in no other column.
    #[serde(default)]
    pub failed: usize,
    /// Runs that predict the same for every held-out example.
    #[serde(default)]
    pub collapsed: usize,
    /// The task's chief metric.
    pub metric: String,
    /// Its mean over the seeds, on the held-out part.
    pub mean: f64,
    /// Its standard deviation over the seeds; empty for one.
    pub sd: Option<f64>,
    /// Its median over the seeds.
    #[serde(default)]
    pub median: f64,
    /// Mean held-out loss per target.
    pub loss: f64,
    /// Its standard deviation over the seeds; empty for one.
    pub loss_sd: Option<f64>,
    /// Paired by seed: this arm's metric minus the first one's.
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, of this comparison alone.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// How the interval counts what runs share: `crossed` (runs and the examples of one held-out part are both drawn), `resampled` (each
    /// seed splits the same examples anew) or `runs` (nothing is known of the examples).
    #[serde(default)]
    pub interval: String,
    /// Two-sided p of no difference, by the same.
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of the page (Holm).
    pub p_corrected: Option<f64>,
    /// Smallest difference that would have been shown, at this spread and corrected for as many comparisons.
    #[serde(default)]
    pub least_shown: Option<f64>,
    /// Examples of the held-out part.
    pub held_out_examples: usize,
    /// The metric of the best answer that is the same for every example; empty where there is none.
    #[serde(default)]
    pub constant: Option<f64>,
    /// Runs that have a partner in the first arm.
    #[serde(skip)]
    pub pairs: usize,
    /// The difference with its error.
    #[serde(skip)]
    pub judged: Option<Difference>,
    /// Each run, by its seed.
    #[serde(skip)]
    pub runs: Vec<(String, Score)>,
}

/// How a training run ended.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub loss: f64,
    /// The task's chief metric, and its value.
    pub metric: String,
    pub value: f64,
    /// Its standard error over the held-out examples.
    pub se: Option<f64>,
    /// What the best answer that is the same for every example scores, where that is known.
    pub constant: Option<f64>,
    pub examples: usize,
    /// Whether it predicts the same for every held-out example.
    pub collapsed: bool,
    /// Examples that it was trained on, if it says so.
    pub trained_on: Option<usize>,
    /// The metric that stands next to it, if one does.
    pub beside: Option<String>,
    /// Pseudo-values of the metric, in the order of the examples that are held out, and their numbers; none of runs of
    /// earlier versions.
    pub by_example: Option<(Vec<usize>, Vec<f64>)>,
}

impl Table for Training {
    const BESIDE: &'static [&'static str] = &[McNemar::FILE, Surface::FILE];
    const FILE: &'static str = "training.csv";
    const FIX: &'static str = FIX;
}

/// A row of `mcnemar.csv`: the held-out examples of one seed by who is right, the first arm or another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct McNemar {
    /// Title of the other arm.
    pub arm: String,
    /// The seed of both runs.
    pub seed: String,
    /// Examples that both are right about.
    pub both: usize,
    /// Those that only the first arm is right about.
    pub only_first: usize,
    /// Those that only this arm is right about.
    pub only_this: usize,
    /// Those that neither is right about.
    pub neither: usize,
    /// Two-sided p of McNemar's exact test, about these two models; not corrected.
    pub p: f64,
}

impl Table for McNemar {
    const FILE: &'static str = "mcnemar.csv";
    const FIX: &'static str = FIX;
}

/// A row of `surfaces.csv`: the surfaces of one model under one mask.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Surface {
    /// The part that the loss is over.
    pub over: String,
    /// Which parameters move.
    pub mask: String,
    /// Title of the model.
    pub model: String,
    /// Loss at the model of the first seed, per target.
    pub centre: f64,
    /// Its standard error over the examples.
    pub centre_se: f64,
    /// Mean over seeds, planes, and the grid points within distance 1, of the loss minus that at the centre; empty where no grid
    /// point lies there.
    pub rise: Option<f64>,
    /// Its standard error over the examples, for the model of the first seed.
    pub rise_se: Option<f64>,
    /// Planes (and random masks).
    pub planes: usize,
    /// Standard deviation of the rise over them, for the model of the first seed; empty for one.
    pub rise_sd: Option<f64>,
    /// Seeds whose models have surfaces.
    #[serde(default)]
    pub seeds: usize,
    /// Highest loss of a grid point, per target.
    pub highest: f64,
    /// Grid points whose loss is not finite.
    pub not_finite: usize,
    /// Lowest and highest coordinate between which the grid lies on both axes.
    #[serde(skip)]
    pub span: Option<(f64, f64)>,
    /// Parameters that move the loss under this mask.
    pub effective: u64,
    /// Paired by seed, plane and example: this model's rise minus the first one's.
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, of this comparison alone: over seeds, or for one pair of models over planes and examples.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Two-sided p of no difference; empty for one pair of models, which shows nothing about others.
    #[serde(default)]
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of the page (Holm).
    #[serde(default)]
    pub p_corrected: Option<f64>,
}

impl Table for Surface {
    const FILE: &'static str = "surfaces.csv";
    const FIX: &'static str = FIX;
}

/// A row of `topology.csv`: the basins of the surfaces of one model under one mask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Basins {
    /// The part that the loss is over.
    pub over: String,
    /// Which parameters move.
    pub mask: String,
    /// Title of the model.
    pub model: String,
    /// Seeds whose models have surfaces.
    pub seeds: usize,
    /// Minima of the surface of the first seed.
    pub minima: usize,
    /// Those that the examples show to be basins, the lowest among them; empty where they are too few to say, or there is one minimum.
    pub basins: Option<usize>,
    /// Mean over the seeds of the mean height of the first saddle above each minimum.
    pub smad: f64,
    /// Its standard error over the examples, for the model of the first seed, its points being given.
    pub smad_se: Option<f64>,
    /// Paired by seed: this model's SMAD minus the first one's; empty for one pair of models.
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, of this comparison alone, over seeds and examples.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Two-sided p of no difference.
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of the page (Holm).
    pub p_corrected: Option<f64>,
}

impl Table for Basins {
    const FILE: &'static str = "topology.csv";
    const FIX: &'static str = FIX;
}

/// A row of `sites.csv`: the Fisher score of a dropout site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Site {
    /// The site.
    pub site: String,
    /// In squared loss units per squared unit of the parameter.
    pub score: f64,
    /// Its standard error over the examples.
    pub score_se: f64,
}

impl Table for Site {
    const FILE: &'static str = "sites.csv";
    const FIX: &'static str = FIX;
}

/// A row of `sharpness.csv`: one measure of sharpness of an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sharp {
    /// Title of the arm.
    pub model: String,
    /// As in `SHARPNESS.csv`.
    pub measure: String,
    /// Runs of the arm.
    pub runs: usize,
    /// Mean over the runs, in the unit of the measure.
    pub value: f64,
    /// Standard error over examples and draws, of the first run.
    pub se: f64,
    /// Paired by run, draw and example: this arm minus the first.
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval, of this comparison alone.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Two-sided p of no difference; empty for one pair of models.
    #[serde(default)]
    pub p: Option<f64>,
    /// The same, corrected for all comparisons of the page (Holm).
    #[serde(default)]
    pub p_corrected: Option<f64>,
}

impl Table for Sharp {
    const FILE: &'static str = "sharpness.csv";
    const FIX: &'static str = FIX;
}

/// A row of `sharpness_runs.csv`: one measure of sharpness of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharpRun {
    /// Title of the arm.
    pub model: String,
    /// The run, as `seed0`; empty for the checkpoint.
    pub seed: String,
    /// As in `SHARPNESS.csv`, or of a layer.
    pub measure: String,
    pub value: f64,
    /// Standard error over examples and draws.
    pub se: f64,
}

impl Table for SharpRun {
    const FILE: &'static str = "sharpness_runs.csv";
    const FIX: &'static str = FIX;
}
