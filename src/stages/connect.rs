//! `connect`: a curve of low loss between two models.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::{Compute, check_finite, checkpoint};
use crate::data::frozen::FrozenSet;
use crate::data::{self, Example};
use crate::error::{Problem, Result, check_at_most};
use crate::evaluate::{Evaluator, SetLoss, metrics};
use crate::model::checkpoint::UNFINISHED;
use crate::model::{Model, Wanted};
use crate::params;
use crate::progress::{self, Progress, say};
use crate::provenance::Provenance;
use crate::stats::max_t::Differences;
use crate::tables::connect::ConnectRow;
use crate::tables::{self, Table};
use crate::train::curve::Curve;
use crate::train::{Config, batches};
use crate::{estimate, figures, files};

/// Loss along the straight line between two models, and along a curve between them that is trained to keep it low.
#[derive(clap::Args, Clone, Debug)]
pub struct Connect {
    #[arg(value_name = "A", help = checkpoint("One model"))]
    pub a: PathBuf,
    #[arg(value_name = "B", help = checkpoint("The other"))]
    pub b: PathBuf,
    /// The examples that the curve is trained on, such as train.safetensors of a training run; their labels choose the head
    #[arg(long, value_name = "SET")]
    pub set: PathBuf,
    /// The set that both paths are evaluated on, such as held_out.safetensors
    #[arg(long, value_name = "SET")]
    pub held_out: PathBuf,
    /// Passes over the examples
    #[arg(long, default_value_t = 3, value_name = "E")]
    pub epochs: usize,
    /// Examples to a step
    #[arg(long, default_value_t = 18, value_name = "N")]
    pub batch: usize,
    /// Learning rate of the first step; it falls linearly to 0
    #[arg(long, default_value_t = 1e-4)]
    pub lr: f64,
    /// Points of each path that are evaluated, both models among them
    #[arg(long, default_value_t = 11, value_name = "N")]
    pub points: usize,
    /// Seed of the order and of the places on the curve
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub compute: Compute,
    /// The folder for connect.csv, which `render` draws, and control.safetensors, the point that draws the curve aside
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Connect {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let [set, held_out] = [FrozenSet::read(&self.set)?, FrozenSet::read(&self.held_out)?];
        provenance.input("set", &set.hash);
        provenance.input("held-out", &held_out.hash);
        let [a, b] = [
            self.compute.open_with_own_head(&self.a, &set)?,
            self.compute.open_with_own_head(&self.b, &set)?,
        ];
        provenance.checkpoint("a", &self.a, &a.hash)?;
        provenance.checkpoint("b", &self.b, &b.hash)?;
        a.check(&held_out)?;
        let mut curve = Curve::straight(&a.theta, &b.theta)?;
        let line = self.rows("line", &curve, &a, &held_out)?;
        let examples: Vec<Example> = set.examples.into_iter().filter(|e| e.targets() > 0).collect();
        let (config, state) = (self.config(examples.len()), self.out.join(UNFINISHED));
        self.announce(&a, &examples, config.steps)?;
        curve.train(a.network()?, &examples, &config, &state)?;
        let rows = [line, self.rows("curve", &curve, &a, &held_out)?].concat();
        params::write_params(&self.out.join("control.safetensors"), &curve.control, &BTreeMap::new())?;
        tables::write(&self.out, &rows)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        files::remove(&state)?;
        self.tell(&rows);
        progress::answer(|| json!({ "rows": rows }));
        Ok(())
    }

    /// Says what it will take.
    fn announce(&self, model: &Model, examples: &[Example], steps: usize) -> Result<()> {
        let order = data::by_length(examples);
        let each = estimate::seconds_each(model.objective(), &model.theta, examples, &order)?;
        let tokens = estimate::tokens(examples) * self.epochs;
        let batch =
            model.activations(examples, batches::longest_tokens(examples, self.batch), Wanted::Gradients);
        // Both models, the point between them, its two moments, a place on the curve and its gradient.
        let bytes = 7 * params::bytes(&model.theta) + batch;
        estimate::tell(&format!("{steps} steps"), each * estimate::BACKWARD * tokens as f64, bytes);
        Ok(())
    }

    /// What is wrong with the options alone.
    pub(super) fn check(&self) -> Result<()> {
        check_at_most("points", self.points, 10_000, "an evaluation of the set")?;
        if self.points < 3 {
            let fix = "11 are usual: both models are among them";
            return Err(Problem::new("points", "number", "at least 3", self.points, fix).into());
        }
        Ok(self.config(1).check("connect")?)
    }

    fn config(&self, examples: usize) -> Config {
        let steps = self.epochs * examples.div_ceil(self.batch.max(1));
        Config {
            steps,
            every: steps.max(1),
            patience: 0,
            batch: self.batch,
            accumulate: 1,
            lr: self.lr,
            warmup: 0.0,
            weight_decay: 0.0,
            clip: 1.0,
            snapshots: 0,
            seed: self.seed,
        }
    }

    /// The path's points: losses, and how far they lie above the straight line between those of its ends.
    fn rows(&self, path: &str, curve: &Curve, model: &Model, set: &FrozenSet) -> Result<Vec<ConnectRow>> {
        let evaluator = Evaluator::new(&set.examples, &set.by_length());
        let progress = Progress::new(format!("connecting ({path})"), self.points);
        let places: Vec<f64> = (0..self.points).map(|k| k as f64 / (self.points - 1) as f64).collect();
        let loss = |t: &f64| {
            let loss = evaluator.loss(model.objective(), &curve.at(*t)?);
            progress.advance(1);
            loss
        };
        let losses = places.iter().map(loss).collect::<Result<Vec<SetLoss>>>()?;
        check_finite(&self.a, losses[0].loss)?;
        check_finite(&self.b, losses[self.points - 1].loss)?;
        let heights = heights(set, &places, &losses);
        let row = |(k, (t, loss)): (usize, (&f64, &SetLoss))| {
            let metric = metrics(&set.scoring(), loss, &set.examples).into_iter().next();
            let reach = heights.critical * heights.se[k];
            let ends = (reach > 0.0 && reach.is_finite()).then_some(reach);
            ConnectRow {
                path: path.to_string(),
                t: *t,
                loss: loss.loss,
                loss_se: loss.loss_se,
                value: metric.as_ref().map(|(_, value)| *value),
                metric: metric.map_or(String::new(), |(name, _)| name),
                height: heights.value[k],
                height_low: ends.map(|reach| heights.value[k] - reach),
                height_high: ends.map(|reach| heights.value[k] + reach),
            }
        };
        Ok(places.iter().zip(&losses).enumerate().map(row).collect())
    }

    fn tell(&self, rows: &[ConnectRow]) {
        for path in ["line", "curve"] {
            if let Some(words) = figures::connect::barrier(rows, path) {
                say!("{path:5} {words}");
            }
        }
        let table = self.out.join(ConnectRow::FILE);
        say!("{}: {} points of each path; `render` draws it", table.display(), self.points);
    }
}

/// `s_n(t) - (1 - t) s_n(0) - t s_n(1)` at each point.
fn heights(set: &FrozenSet, places: &[f64], losses: &[SetLoss]) -> Differences {
    let clusters = data::clusters(set.examples.iter().filter(|example| example.targets() > 0));
    let sums = |loss: &SetLoss| loss.by_example.iter().map(|(sum, _)| *sum).collect::<Vec<f64>>();
    let [first, last] = [0, losses.len() - 1].map(|end| sums(&losses[end]));
    let height = |(t, loss): (&f64, &SetLoss)| {
        let chord = first.iter().zip(&last).map(|(a, b)| (1.0 - t) * a + t * b);
        sums(loss).into_iter().zip(chord).map(|(sum, chord)| sum - chord).collect::<Vec<f64>>()
    };
    let points: Vec<Vec<f64>> = places.iter().zip(losses).map(height).collect();
    let targets: Vec<f64> = losses[0].by_example.iter().map(|(_, targets)| *targets).collect();
    Differences::new(&points, &targets, &clusters, 0.95)
}
