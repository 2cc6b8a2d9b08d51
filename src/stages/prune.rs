//! `prune`: the loss without a share of the parameters, in several orders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::damage::per_target;
use super::options::defaults;
use super::{ModelAndSet, about_set, check_finite, word};
use crate::data::frozen::FrozenSet;
use crate::data::{self, Example};
use crate::draw::numbers::significant;
use crate::error::{Error, Problem, Result, check_at_most};
use crate::evaluate::{Evaluator, predictions};
use crate::fisher::files as fisher_files;
use crate::landscape::journal::Journal;
use crate::landscape::mask::{self, MaskUnit};
use crate::landscape::prune::{Order, Queue, Weights};
use crate::landscape::space::Space;
use crate::model::{Model, Wanted};
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress, say};
use crate::provenance::Provenance;
use crate::stats::clusters::Clusters;
use crate::stats::paired::Difference;
use crate::tables::prune::PruneRow;
use crate::tasks::Scoring;
use crate::{estimate, files, stats, tables};

/// Loss and metric against the share of the parameters that is set to zero: those of the lowest Fisher information first, of the
/// lowest weights, of both together, or at random. Parameters are those that the set reaches and that have Fisher information.
#[derive(clap::Args, Clone, Debug)]
pub struct Prune {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Fisher information of the checkpoint; of other examples than the set's, or it knows the answers
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: PathBuf,
    #[command(flatten)]
    pub options: PruneOptions,
    /// Seed of the random orders, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for prune.csv
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What goes, in which order.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct PruneOptions {
    /// Shares of the parameters that are set to zero
    #[arg(
        long,
        default_value = "0.01,0.02,0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
        value_delimiter = ',',
        value_name = "SHARE,.."
    )]
    pub shares: Vec<f64>,
    /// What goes first
    #[arg(
        long,
        value_enum,
        default_value = "fisher,saliency,magnitude,random",
        value_delimiter = ',',
        value_name = "ORDER,.."
    )]
    pub orders: Vec<Order>,
    /// Single parameters, or whole tensors by their mean score
    #[arg(long, value_enum, default_value_t)]
    pub unit: MaskUnit,
    /// Random orders
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub draws: usize,
    /// Set biases and LayerNorm vectors to zero, too
    #[arg(long)]
    pub vectors: bool,
}

impl PruneOptions {
    /// What is out of its range.
    pub fn check(&self) -> std::result::Result<(), Problem> {
        check_at_most("draws", self.draws, 1000, "an evaluation for every share")?;
        if self.draws == 0 && self.orders.contains(&Order::Random) {
            let fix = "leave random out of --orders for none";
            return Err(Problem::new("draws", "number", "at least 1", 0, fix));
        }
        if let Some(share) = self.shares.iter().find(|share| !(**share > 0.0 && **share <= 1.0)) {
            return Err(Problem::new("shares", "share", "in (0, 1]", share, "write 1 % as 0.01"));
        }
        match self.orders.iter().enumerate().find(|(i, order)| self.orders[..*i].contains(order)) {
            Some((_, twice)) => {
                Err(Problem::new("orders", "names", "distinct", word(*twice), "name each once"))
            }
            None => Ok(()),
        }
    }
}

/// What is known of a model on the set.
struct At {
    /// Losses by example.
    sums: Vec<f64>,
    /// The chief metric, and its pseudo-values.
    value: Option<f64>,
    pseudo: Vec<f64>,
}

impl Prune {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        provenance.input_file("fisher", &self.fisher)?;
        let (fisher, metadata) = fisher_files::read_for(&self.fisher, &model.theta)?;
        let space = self.space(&model, &set, &fisher)?;
        let weights = Weights::new(&space, &model.theta, &fisher)?;
        drop(fisher);
        let scale = per_target(&set, metadata.get("reduction"));
        self.announce(&model, &set)?;
        let journal_path = self.out.join("prune.unfinished");
        let mut journal = Journal::open(&journal_path, &self.identity(&model, &set)?)?;
        let rows = Job::new(self, &model, &set, &weights, scale).rows(&mut journal)?;
        tables::write(&self.out, &rows)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        files::remove(&journal_path)?;
        self.tell(&rows);
        progress::answer(|| json!({ "rows": rows }));
        Ok(())
    }

    /// What is wrong with the options alone.
    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    /// What may be set to zero: parameters with Fisher information that the set reaches.
    fn space(&self, model: &Model, set: &FrozenSet, fisher: &ParamMap) -> Result<Space> {
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let may =
            |name: &&String| self.options.vectors || model.theta.get(*name).is_some_and(|t| t.rank() > 1);
        let names = fisher.keys().filter(may);
        let mut flags = mask::reached(&model.theta, names, |name| model.objective().reached(name, &examples));
        let before = mask::count(flags.values());
        for (name, own) in &mut flags {
            params::with_values(&fisher[name], |f| {
                own.iter_mut().zip(f).for_each(|(flag, f)| *flag = *flag && *f > 0.0)
            })?;
        }
        let left = mask::count(flags.values());
        if left == 0 {
            let fix = "give the Fisher information of examples like those of the set";
            return Err(Error::field(self.fisher.display(), "values", "above 0 in some matrix", "none", fix));
        }
        if left < before {
            let text = "parameters that the set reaches have no Fisher information, so what they are worth is not known: they stay";
            progress::excluded(format!("{} {text}", before - left));
        }
        Ok(Space::new(&flags))
    }

    /// The queues, each with its order and draw.
    fn queues(&self) -> Vec<(Order, Option<usize>)> {
        let draws = |order: Order| match order {
            Order::Random => (0..self.options.draws).map(Some).collect(),
            _ => vec![None],
        };
        self.options
            .orders
            .iter()
            .flat_map(|&order| draws(order).into_iter().map(move |draw| (order, draw)))
            .collect()
    }

    /// Evaluations of the set.
    pub(super) fn points(&self) -> usize {
        1 + self.queues().len() * self.options.shares.len()
    }

    /// Says what it will take.
    fn announce(&self, model: &Model, set: &FrozenSet) -> Result<()> {
        let examples = &set.examples;
        let each = estimate::seconds_each(model.objective(), &model.theta, examples, &set.by_length())?
            * estimate::tokens(examples) as f64;
        let batch = model.activations(examples, crate::evaluate::BATCH.1, Wanted::Losses);
        let bytes = 8 * params::bytes(&model.theta) + rayon::current_num_threads() * batch;
        estimate::tell("pruning", each * self.points() as f64, bytes);
        Ok(())
    }

    /// A hash of all that the units of the journal depend on.
    fn identity(&self, model: &Model, set: &FrozenSet) -> Result<String> {
        let about = json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "set": about_set(set),
            "fisher": files::hash_file(&self.fisher)?,
            "options": [json!(self.options.shares), json!(self.options.orders), json!(self.options.unit), json!(self.options.draws),
                json!(self.options.vectors), json!(self.seed)],
        });
        Ok(files::hash(about.to_string().as_bytes()))
    }

    fn tell(&self, rows: &[PruneRow]) {
        let Some((whole, pruned)) = rows.split_first() else { return };
        let number = |value: f64| significant(value, 4);
        say!(
            "all {} parameters: loss {}{}",
            whole.parameters,
            number(whole.loss),
            whole.value.map_or(String::new(), |value| format!(", {} {}", whole.metric, number(value)))
        );
        for share in &self.options.shares {
            say!("without {} %:", significant(100.0 * share, 3));
            let own = pruned.iter().filter(|row| row.pruned_share == *share);
            own.for_each(|row| say!("{}", line(row)));
        }
        for order in self.options.orders.iter().filter(|order| **order != Order::Random) {
            let own: Vec<&PruneRow> = pruned.iter().filter(|row| row.order == word(*order)).collect();
            let less = own.iter().filter(|row| row.over_random_high.is_some_and(|high| high < 0.0)).count();
            let more = own.iter().filter(|row| row.over_random_low.is_some_and(|low| low > 0.0)).count();
            if own.iter().any(|row| row.over_random_low.is_some()) {
                let order = word(*order);
                say!("{order:9} costs less than chance at {less} of {} shares, more at {more}", own.len());
            }
        }
        say!("{}: {} models", self.out.display(), pruned.len());
    }
}

/// A pruned model, for people.
fn line(row: &PruneRow) -> String {
    let number = |value: f64| significant(value, 3);
    let ends = |low: Option<f64>, high: Option<f64>| {
        let ends = low.zip(high).map(|(low, high)| format!(" [{}, {}]", number(low), number(high)));
        ends.unwrap_or_default()
    };
    let draw = row.draw.map_or(String::new(), |draw| format!(" {draw}"));
    let metric = row.value.map_or(String::new(), |value| format!(", {} {}", row.metric, number(value)));
    let rise = number(row.rise) + &ends(row.rise_low, row.rise_high);
    format!("  {:11} rise {rise}, predicted {}{metric}", row.order.clone() + &draw, number(row.predicted))
}

/// What all models share.
struct Job<'a> {
    stage: &'a Prune,
    model: &'a Model,
    set: &'a FrozenSet,
    weights: &'a Weights<'a>,
    scale: f64,
    scoring: Scoring,
    evaluator: Evaluator<'a>,
    clusters: Clusters,
    targets: Vec<f64>,
}

impl<'a> Job<'a> {
    fn new(
        stage: &'a Prune,
        model: &'a Model,
        set: &'a FrozenSet,
        weights: &'a Weights<'a>,
        scale: f64,
    ) -> Job<'a> {
        let used = || set.examples.iter().filter(|e| e.targets() > 0);
        Job {
            stage,
            model,
            set,
            weights,
            scale,
            scoring: set.scoring(),
            evaluator: Evaluator::new(&set.examples, &set.by_length()),
            clusters: data::clusters(used()),
            targets: used().map(|e| e.targets() as f64).collect(),
        }
    }

    /// The whole model's row and those of all pruned ones.
    fn rows(&self, journal: &mut Journal) -> Result<Vec<PruneRow>> {
        let whole = self.at(&self.model.theta)?;
        let mut rows = vec![self.row(("none", None), 0.0, &[], &whole, &whole)];
        check_finite(&self.stage.inputs.checkpoint, rows[0].loss)?;
        let queues = self.stage.queues();
        let progress = Progress::new("pruning", queues.len() * self.stage.options.shares.len());
        let mut known: Vec<(Order, f64, At)> = Vec::new();
        for (order, draw) in queues {
            let queue = self.queue(order, draw);
            for &share in &self.stage.options.shares {
                let gone = queue.first(share);
                let at = self.resumed(gone, &whole, journal)?;
                rows.push(self.row((&word(order), draw), share, gone, &at, &whole));
                known.push((order, share, at));
                progress.advance(1);
            }
        }
        for (row, (order, share, at)) in rows.iter_mut().skip(1).zip(&known) {
            let chance: Vec<&At> = known
                .iter()
                .filter(|(o, s, _)| *o == Order::Random && s == share)
                .map(|known| &known.2)
                .collect();
            if *order != Order::Random && !chance.is_empty() {
                self.compare(row, at, &chance);
            }
        }
        Ok(rows)
    }

    fn queue(&self, order: Order, draw: Option<usize>) -> Queue {
        self.weights.queue(order, self.stage.options.unit, self.stage.seed, draw.unwrap_or(0))
    }

    fn at(&self, theta: &ParamMap) -> Result<At> {
        let loss = self.evaluator.loss(self.model.objective(), theta)?;
        let said = predictions(&loss, &self.set.examples, self.scoring.names.clone());
        let metric = self.scoring.metrics.first();
        Ok(At {
            sums: loss.by_example.iter().map(|(sum, _)| *sum).collect(),
            value: metric.map(|metric| metric.value(&said)),
            pseudo: metric.map_or(Vec::new(), |metric| metric.pseudo_values(&said)),
        })
    }

    /// The model without these parameters, from the journal if an earlier run got so far.
    fn resumed(&self, gone: &[usize], whole: &At, journal: &mut Journal) -> Result<At> {
        let (n, metric) = (whole.sums.len(), usize::from(whole.value.is_some()));
        let length = n + metric + whole.pseudo.len();
        let values = journal.unit(
            |values| values.len() == length,
            || {
                let At { sums, value, pseudo } =
                    self.at(&self.weights.without(&self.model.theta, gone)?)?;
                Ok(sums.into_iter().chain(value).chain(pseudo).collect())
            },
        )?;
        let (sums, rest) = values.split_at(n);
        let (value, pseudo) = rest.split_at(metric);
        Ok(At { sums: sums.to_vec(), value: value.first().copied(), pseudo: pseudo.to_vec() })
    }

    fn row(
        &self,
        (order, draw): (&str, Option<usize>),
        pruned_share: f64,
        gone: &[usize],
        at: &At,
        whole: &At,
    ) -> PruneRow {
        let count: f64 = self.targets.iter().sum();
        let loss = |at: &At| at.sums.iter().sum::<f64>() / count;
        let rise = self.difference(&at.sums, &whole.sums);
        let gain = pseudo_difference(at, whole);
        let (rise_low, rise_high) = ends(rise.value, rise.half_width(0.95)).unzip();
        let (gain_low, gain_high) = gain.and_then(|gain| ends(gain.value, gain.half_width(0.95))).unzip();
        PruneRow {
            order: order.into(),
            pruned_share,
            draw,
            pruned: gone.len(),
            parameters: self.weights.number(),
            loss: loss(at),
            rise: rise.value,
            rise_low,
            rise_high,
            predicted: self.weights.predicted(gone, self.scale),
            metric: self.scoring.metrics.first().map_or(String::new(), |metric| metric.name.to_string()),
            value: at.value,
            gain: gain.map(|gain| gain.value),
            gain_low,
            gain_high,
            ..PruneRow::default()
        }
    }

    /// The difference of two losses, paired by example.
    fn difference(&self, a: &[f64], b: &[f64]) -> Difference {
        let sums: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let groups = self.clusters.groups().unwrap_or(sums.len()) as f64;
        let se = self.clusters.ratio_se(&sums, &self.targets);
        let value = sums.iter().sum::<f64>() / self.targets.iter().sum::<f64>();
        Difference { value, se, degrees: groups - 1.0, floor: se }
    }

    /// Fills in the loss less the mean of the random orders: over examples, and over these orders.
    fn compare(&self, row: &mut PruneRow, at: &At, chance: &[&At]) {
        let k = chance.len() as f64;
        let mean: Vec<f64> =
            (0..at.sums.len()).map(|n| chance.iter().map(|at| at.sums[n]).sum::<f64>() / k).collect();
        let difference = self.difference(&at.sums, &mean);
        let losses: Vec<f64> = chance.iter().map(|at| self.difference(&at.sums, &mean).value).collect();
        let errors = [(difference.se, difference.degrees), (stats::standard_error(&losses), k - 1.0)];
        row.over_random = Some(difference.value);
        let ends = ends(difference.value, stats::combined_half_width(&errors).0);
        (row.over_random_low, row.over_random_high) = ends.unzip();
    }
}

/// Of the metrics, by their pseudo-values.
fn pseudo_difference(at: &At, whole: &At) -> Option<Difference> {
    let differences: Vec<f64> = at.pseudo.iter().zip(&whole.pseudo).map(|(a, b)| a - b).collect();
    let se = stats::standard_error(&differences);
    let degrees = differences.len() as f64 - 1.0;
    Some(Difference { value: at.value? - whole.value?, se, degrees, floor: se })
}

/// The ends of an interval, where there are any.
fn ends(value: f64, half: f64) -> Option<(f64, f64)> {
    half.is_finite().then_some((value - half, value + half))
}
