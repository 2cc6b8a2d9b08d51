//! `merge`: two models of one shape become one.

use std::path::PathBuf;

use serde_json::json;

use super::{Compute, check_finite, checkpoint, with_se};
use crate::data;
use crate::data::frozen::FrozenSet;
use crate::error::{Problem, Result};
use crate::evaluate::{SetLoss, metrics, set_loss};
use crate::fisher::files as fisher_files;
use crate::fisher::merge::{Weighting, merged};
use crate::model::Model;
use crate::params::ParamMap;
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::stats::paired::Difference;
use crate::tables;
use crate::tables::merge::MergeRow;

/// Merge two models that were trained from one: the average of each parameter, weighted by the Fisher information of both. The
/// losses of both, of the merged model and of the plain average are compared on a set.
#[derive(clap::Args, Clone, Debug)]
pub struct Merge {
    #[arg(value_name = "A", help = checkpoint("One model, whose configuration the merged one has"))]
    pub a: PathBuf,
    #[arg(value_name = "B", help = checkpoint("The other"))]
    pub b: PathBuf,
    /// Fisher information of A
    #[arg(long, value_name = "FA.safetensors", required_unless_present = "plain", requires = "fisher_b")]
    pub fisher_a: Option<PathBuf>,
    /// Fisher information of B
    #[arg(long, value_name = "FB.safetensors", required_unless_present = "plain", requires = "fisher_a")]
    pub fisher_b: Option<PathBuf>,
    /// Write the plain average
    #[arg(long, conflicts_with_all = ["fisher_a", "fisher_b"])]
    pub plain: bool,
    /// The set that the models are compared on; its labels choose the head
    #[arg(long, value_name = "SET")]
    pub set: PathBuf,
    /// How much A counts, from 0 to 1
    #[arg(long, default_value_t = 0.5, value_name = "W")]
    pub weight: f64,
    /// Least Fisher information of a parameter, as a part of the mean over all: below it the average is plain
    #[arg(long, default_value_t = 1e-6, value_name = "F")]
    pub floor: f64,
    #[command(flatten)]
    pub compute: Compute,
    /// The folder of the merged model, and of merge.csv
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Merge {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, None);
        let set = FrozenSet::read(&self.set)?;
        provenance.input("set", &set.hash);
        let [mut a, b] = [
            self.compute.open_with_own_head(&self.a, &set)?,
            self.compute.open_with_own_head(&self.b, &set)?,
        ];
        provenance.checkpoint("a", &self.a, &a.hash)?;
        provenance.checkpoint("b", &self.b, &b.hash)?;
        [&self.a, &self.b].into_iter().try_for_each(|source| Model::prepare_folder(source, &self.out))?;
        let weighting = Weighting { first: self.weight, floor: self.floor };
        let pair = (&a.theta, &b.theta);
        let mut models = vec![("a", a.theta.clone()), ("b", b.theta.clone())];
        models.push(("plain", merged(pair, None, weighting)?));
        if let (Some(fa), Some(fb)) = (&self.fisher_a, &self.fisher_b) {
            provenance.input_file("fisher a", fa)?;
            provenance.input_file("fisher b", fb)?;
            let (fa, _) = fisher_files::read_for(fa, &a.theta)?;
            let (fb, _) = fisher_files::read_for(fb, &b.theta)?;
            models.push(("fisher", merged(pair, Some((&fa, &fb)), weighting)?));
        }
        let rows = self.rows(&a, &set, &models)?;
        a.theta = models.pop().map(|(_, theta)| theta).unwrap_or_default();
        a.save(&self.out, set.label_names().as_deref())?;
        tables::write(&self.out, &rows)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        Model::close_folder(&self.out)?;
        self.tell(&rows);
        progress::answer(|| json!({ "rows": rows }));
        Ok(())
    }

    /// What is wrong with the options alone.
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.weight) {
            return Err(Problem::new(
                "weight",
                "number",
                "from 0 to 1",
                self.weight,
                "0.5 counts both alike",
            )
            .into());
        }
        match self.floor >= 0.0 && self.floor.is_finite() {
            true => Ok(()),
            false => Err(Problem::new("floor", "number", "at least 0", self.floor, "1e-6 is usual").into()),
        }
    }

    fn rows(&self, model: &Model, set: &FrozenSet, models: &[(&str, ParamMap)]) -> Result<Vec<MergeRow>> {
        let by_length = set.by_length();
        let loss = |theta: &ParamMap| set_loss(model.objective(), theta, &set.examples, &by_length);
        let losses = models.iter().map(|(_, theta)| loss(theta)).collect::<Result<Vec<SetLoss>>>()?;
        check_finite(&self.a, losses[0].loss)?;
        check_finite(&self.b, losses[1].loss)?;
        let plain = &losses[2];
        let row = |((name, _), loss): (&(&str, ParamMap), &SetLoss)| {
            let metric = metrics(&set.scoring(), loss, &set.examples).into_iter().next();
            let under = (*name != "plain").then(|| difference(set, plain, loss));
            let half = under.map(|under| under.half_width(0.95)).filter(|half| half.is_finite());
            let ends = under.zip(half).map(|(under, half)| (under.value - half, under.value + half));
            MergeRow {
                model: name.to_string(),
                merged: *name == models.last().map_or("", |(name, _)| name),
                loss: loss.loss,
                loss_se: loss.loss_se,
                value: metric.as_ref().map(|(_, value)| *value),
                metric: metric.map_or(String::new(), |(name, _)| name),
                under_plain: under.map(|under| under.value),
                under_plain_low: ends.map(|ends| ends.0),
                under_plain_high: ends.map(|ends| ends.1),
            }
        };
        Ok(models.iter().zip(&losses).map(row).collect())
    }

    fn tell(&self, rows: &[MergeRow]) {
        for row in rows {
            let metric = row.value.map_or(String::new(), |value| format!(", {} {value:.4}", row.metric));
            let ends = row.under_plain.zip(row.under_plain_low.zip(row.under_plain_high));
            let under = ends.map_or(String::new(), |(under, (low, high))| {
                format!(", under the plain average by {under:.4} [{low:.4}, {high:.4}]")
            });
            say!("{:6} loss {}{metric}{under}", row.model, with_se(row.loss, row.loss_se));
        }
        say!(
            "{}: {}",
            self.out.display(),
            if self.plain { "the plain average" } else { "weighted by Fisher information" }
        );
    }
}

/// One loss less another, paired by example.
fn difference(set: &FrozenSet, one: &SetLoss, other: &SetLoss) -> Difference {
    let clusters = data::clusters(set.examples.iter().filter(|example| example.targets() > 0));
    let pairs = one.by_example.iter().zip(&other.by_example);
    let (sums, targets): (Vec<f64>, Vec<f64>) = pairs.map(|((a, m), (b, _))| (a - b, *m)).unzip();
    let draws = clusters.groups().unwrap_or(sums.len()) as f64;
    let value = sums.iter().sum::<f64>() / targets.iter().sum::<f64>();
    let se = clusters.ratio_se(&sums, &targets);
    Difference { value, se, degrees: draws - 1.0, floor: se }
}
