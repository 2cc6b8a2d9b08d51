//! `damage`: does Fisher information predict where a perturbation hurts?

use std::collections::BTreeSet;
use std::path::PathBuf;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::moving::{Gaussian, GaussianOptions};
use super::options::defaults;
use super::{ModelAndSet, about_set, check_resamples, word};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::error::{Problem, Result, check_at_most};
use crate::fisher::files as fisher_files;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::landscape::curvature::{self, Curvature};
use crate::landscape::damage::{Bins, Diagonal, Perturbed, hessian_diagonal};
use crate::landscape::directions::Direction;
use crate::landscape::journal::Journal;
use crate::landscape::mask::{self, Choice, MaskUnit, Norm, Select};
use crate::landscape::sharpness::Measure;
use crate::landscape::space::{Space, norm};
use crate::model::{Model, Objective, Wanted};
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress, say};
use crate::provenance::Provenance;
use crate::rng::Stream;
use crate::stability::between::correlation;
use crate::stats::clusters::Clusters;
use crate::tables::damage::{BinRow, CorrelationRow, LayerRow, PerturbedRow};
use crate::tables::{self, Table};
use crate::{estimate, files, stats};

/// Whether Fisher information predicts damage: the rise of the loss when one layer, or the top, bottom or random part of the
/// parameters, is perturbed, and the diagonal of the Hessian, against Fisher scores.
#[derive(clap::Args, Clone, Debug)]
pub struct Damage {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Fisher information of the checkpoint
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: PathBuf,
    #[command(flatten)]
    pub gaussian: Gaussian,
    #[command(flatten)]
    pub options: DamageOptions,
    /// Seed of directions, masks, signs and resamples, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for layers, correlations, perturbed and bins (.csv)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What is perturbed, and how far.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct DamageOptions {
    /// What is perturbed at a time
    #[arg(long, value_enum, default_value = "site", value_delimiter = ',', value_name = "GRANULARITY,..")]
    pub granularity: Vec<Granularity>,
    /// Fractions of the parameters, the top, the bottom and a random one of each, that are perturbed at matched norm
    #[arg(long, default_value = "0.001,0.01,0.1", value_delimiter = ',', value_name = "F,..")]
    pub fractions: Vec<f64>,
    /// Step size, relative to the norm of the weights (1 = that norm)
    #[arg(long, default_value_t = 0.2, value_name = "R")]
    pub radius: f64,
    /// Random directions, each walked both ways
    #[arg(long, default_value_t = 10, value_name = "K")]
    pub draws: usize,
    /// Sign vectors behind the diagonal of the Hessian; 0 for none
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub probes: usize,
    /// Step of the finite differences of gradients, relative to the norm of the weights
    #[arg(long, default_value_t = 1e-5, value_name = "H")]
    pub step: f64,
    /// Resamples of examples, draws and sign vectors behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "B")]
    pub resamples: usize,
}

impl DamageOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        let fix = "see `fisherscape damage --help`";
        if self.draws == 0 {
            return Err(Problem::new("draws", "number", "at least 1", 0, fix));
        }
        check_at_most("draws", self.draws, 10_000, "two evaluations for every layer and fraction")?;
        check_at_most("probes", self.probes, 10_000, "two gradients over the set")?;
        check_resamples(self.resamples)?;
        for (option, length) in [("radius", self.radius), ("step", self.step)] {
            if !(length > 0.0 && length.is_finite()) {
                return Err(Problem::new(option, "length", "above 0", length, fix));
            }
        }
        match self.fractions.iter().find(|f| !(**f > 0.0 && **f <= 1.0)) {
            Some(f) => Err(Problem::new("fractions", "fraction", "in (0, 1]", f, "write 1 % as 0.01")),
            None => Ok(()),
        }
    }
}

/// What is perturbed together, with its scores.
struct Layer {
    granularity: Granularity,
    name: String,
    tensors: Vec<String>,
    /// Entries of all of them.
    parameters: usize,
    /// Fisher scores by the three aggregates, and what they are of each example.
    scores: [f64; 3],
    by_example: Option<[Vec<f64>; 3]>,
}

/// Everything that is known of one layer.
struct Found {
    layer: Layer,
    predicted: f64,
    rise: Measure,
    /// `[probes]`
    hessian: Vec<f64>,
}

impl Damage {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        if self.options.probes > 0 {
            model.network()?;
        }
        provenance.input_file("fisher", &self.fisher)?;
        let (fisher, metadata) = fisher_files::read_for(&self.fisher, &model.theta)?;
        let missing = self.inputs.head.missing(self.seed);
        let (reference, hash) = self.gaussian.weights(&model, &set, missing)?;
        hash.iter()
            .zip(&self.gaussian.reference)
            .try_for_each(|(hash, path)| provenance.checkpoint("reference", path, hash))?;
        let job = Job {
            stage: self,
            model: &model,
            set: &set,
            fisher: &fisher,
            reference: &reference,
            scale: per_target(&set, metadata.get("reduction")),
        };
        let (layers, clusters) = self.layers(&model, &fisher)?;
        job.tell(layers.len())?;
        let by_length = set.by_length();
        let room = estimate::available_bytes().map_or(0, |free| free / 4);
        let radius = self.options.radius;
        let perturbed =
            Perturbed::new(model.objective(), &model.theta, &set.examples, &by_length, radius, room)?;
        let journal_path = self.out.join("damage.unfinished");
        let mut journal = Journal::open(&journal_path, &job.inputs(hash)?)?;
        let (bins, diagonal, names) = job.hessian(&by_length, &mut journal)?;
        let found = job.rises(layers, &perturbed, (&diagonal, &names), &mut journal)?;
        let masks = job.masks(&perturbed, &mut journal)?;
        let targets = perturbed.targets();
        let rows: Vec<LayerRow> = found.iter().map(|found| found.row(&targets)).collect();
        let correlations = self.correlations(&found, &targets, &clusters);
        tables::write(&self.out, &rows)?;
        tables::write(&self.out, &correlations)?;
        tables::write(&self.out, &masks)?;
        match self.options.probes {
            0 => files::remove(&self.out.join(BinRow::FILE))?,
            _ => tables::write(&self.out, &bin_rows(&bins, &diagonal, job.scale))?,
        }
        provenance.write(&self.out.join("provenance.toml"))?;
        files::remove(&journal_path)?;
        correlations.iter().for_each(tell_correlation);
        masks.iter().for_each(tell_mask);
        say!("{}: {} layers, {} draws", self.out.display(), rows.len(), self.options.draws);
        progress::answer(
            || json!({"out": self.out, "correlations": correlations, "perturbed": masks, "layers": rows}),
        );
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    /// The layers of every granularity with their scores, and which examples of these are one draw.
    fn layers(&self, model: &Model, fisher: &ParamMap) -> Result<(Vec<Layer>, Clusters)> {
        let layout = model.layout().clone().only(|tensor| fisher.contains_key(&tensor.name));
        let (columns, totals) = (layout.columns(), fisher_files::tensor_sums(fisher)?);
        let by_example = fisher_files::read_sums(&self.fisher, fisher)?;
        let mut layers = Vec::new();
        for &granularity in &self.options.granularity {
            let scores = [Aggregate::MeanOfMeans, Aggregate::Mean, Aggregate::Sum]
                .map(|aggregate| Scores::new(&layout, granularity, aggregate, false));
            let values = scores.each_ref().map(|scores| scores.of(&totals));
            let examples = by_example.as_ref().map(|own| scores.each_ref().map(|s| s.of_examples(&own.sums)));
            for (i, (name, members)) in scores[0].names().iter().zip(scores[0].members()).enumerate() {
                let column = |scores: &Array2<f64>| scores.column(i).to_vec();
                layers.push(Layer {
                    granularity,
                    name: name.clone(),
                    tensors: members.iter().map(|&(t, _)| columns[t].name.clone()).collect(),
                    parameters: members.iter().map(|&(t, _)| columns[t].numel()).sum(),
                    scores: values.each_ref().map(|values| values[i]),
                    by_example: examples.as_ref().map(|examples| examples.each_ref().map(column)),
                });
            }
        }
        // A tensor without a direction cannot be perturbed.
        let moves = |name: &String| {
            self.gaussian.options.vectors || model.theta.get(name).is_some_and(|tensor| tensor.rank() > 1)
        };
        let before = layers.len();
        layers.retain(|layer| layer.tensors.iter().any(moves));
        if layers.len() < before {
            let text = "layers with only 1-D parameters ignored: let them move with --vectors";
            progress::excluded(format!("{} {text}", before - layers.len()));
        }
        Ok((layers, by_example.map(|own| own.clusters).unwrap_or_default()))
    }

    /// Rank correlations, resampling examples, draws and sign vectors.
    fn correlations(&self, found: &[Found], targets: &[f64], clusters: &Clusters) -> Vec<CorrelationRow> {
        let mut rows = Vec::new();
        for &granularity in &self.options.granularity {
            let own: Vec<&Found> = found.iter().filter(|f| f.layer.granularity == granularity).collect();
            let resamples: Vec<[Vec<f64>; 6]> = (0..self.options.resamples as u64)
                .into_par_iter()
                .map(|b| resampled(&own, (targets, clusters), self.seed, b))
                .collect();
            let observed = values(&own, |found| {
                let rise = found.rise.row(targets).value;
                [
                    found.layer.scores[0],
                    found.layer.scores[1],
                    found.layer.scores[2],
                    found.predicted,
                    stats::mean(&found.hessian),
                    rise,
                ]
            });
            for (outcome, y) in [("rise", 5), ("hessian", 4)] {
                for (x, predictor) in PREDICTORS.iter().enumerate().filter(|(x, _)| *x != y) {
                    if self.options.probes == 0 && (x == 4 || y == 4) {
                        continue;
                    }
                    let pairs = resamples.iter().map(|values| (values[x].clone(), values[y].clone()));
                    let (spearman, interval) = correlation(&observed[x], &observed[y], pairs);
                    rows.push(CorrelationRow {
                        granularity,
                        predictor: predictor.to_string(),
                        outcome: outcome.to_string(),
                        layers: own.len(),
                        spearman,
                        spearman_low: interval.map(|i| i.0),
                        spearman_high: interval.map(|i| i.1),
                    });
                }
            }
        }
        rows
    }
}

/// By what F is to be multiplied for the information of one target, taking the targets of an example as independent.
pub(super) fn per_target(set: &FrozenSet, reduction: Option<&String>) -> f64 {
    let targets: Vec<f64> = set.examples.iter().map(|e| e.targets() as f64).filter(|m| *m > 0.0).collect();
    match reduction.map(String::as_str) {
        Some("sum") => 1.0 / stats::mean(&targets),
        _ => 1.0 / stats::mean(&targets.iter().map(|m| 1.0 / m).collect::<Vec<_>>()),
    }
}

/// What might predict damage; the rise itself comes after them.
const PREDICTORS: [&str; 5] = ["mean_of_means", "mean", "sum", "predicted", "hessian"];

/// Predictors and the rise, each over all layers.
fn values(found: &[&Found], of: impl Fn(&Found) -> [f64; 6]) -> [Vec<f64>; 6] {
    let rows: Vec<[f64; 6]> = found.iter().map(|found| of(found)).collect();
    [0, 1, 2, 3, 4, 5].map(|i| rows.iter().map(|row| row[i]).collect())
}

/// The same with examples, draws and sign vectors drawn again, each for all layers together. The prediction's own error
/// is that of F per parameter, which sums over examples do not tell: it stays.
fn resampled(found: &[&Found], (targets, clusters): (&[f64], &Clusters), seed: u64, b: u64) -> [Vec<f64>; 6] {
    let stream = |what: &str| Stream::new(seed, &format!("damage/{what}")).at(b);
    let again = |what: &str, n: usize| Clusters::default().resampled(n, &stream(what));
    let count = |of: fn(&Found) -> usize| found.first().map_or(0, |found| of(found));
    let examples = again("examples", targets.len());
    let draws = again("draws", count(|f| f.rise.draws.len()));
    let probes = again("signs", count(|f| f.hessian.len()));
    let scored = count(|f| f.layer.by_example.as_ref().map_or(0, |own| own[0].len()));
    let scored = clusters.resampled(scored, &stream("fisher"));
    let weight: f64 = examples.iter().map(|&n| targets[n]).sum();
    values(found, |found| {
        let score = |a: usize| match &found.layer.by_example {
            Some(own) => scored.iter().map(|&n| own[a][n]).sum::<f64>() / scored.len() as f64,
            None => found.layer.scores[a],
        };
        let rise = |draw: &Vec<f64>| examples.iter().map(|&n| draw[n]).sum::<f64>() / weight;
        let rises: Vec<f64> = draws.iter().map(|&k| rise(&found.rise.draws[k])).collect();
        let hessian: Vec<f64> = probes.iter().map(|&k| found.hessian[k]).collect();
        [score(0), score(1), score(2), found.predicted, stats::mean(&hessian), stats::mean(&rises)]
    })
}

impl Found {
    fn row(&self, targets: &[f64]) -> LayerRow {
        let rise = self.rise.row(targets);
        let Layer { granularity, name, scores, .. } = &self.layer;
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        LayerRow {
            granularity: *granularity,
            name: name.clone(),
            parameters: self.layer.parameters,
            mean_of_means: scores[0],
            mean: scores[1],
            sum: scores[2],
            predicted: self.predicted,
            hessian: finite(stats::mean(&self.hessian)),
            hessian_se: finite(stats::standard_error(&self.hessian)),
            rise: rise.value,
            rise_se: rise.se_examples.hypot(rise.se_draws.unwrap_or(0.0)),
        }
    }
}

/// What all parts of the work share.
struct Job<'a> {
    stage: &'a Damage,
    model: &'a Model,
    set: &'a FrozenSet,
    fisher: &'a ParamMap,
    /// The weights that directions are scaled to.
    reference: &'a ParamMap,
    /// Information of one target in units of F.
    scale: f64,
}

impl Job<'_> {
    fn examples(&self) -> Vec<&Example> {
        self.set.examples.iter().filter(|e| e.targets() > 0).collect()
    }

    /// Says what it will take.
    fn tell(&self, layers: usize) -> Result<()> {
        let (stage, model, examples) = (self.stage, self.model, &self.set.examples);
        let each = estimate::seconds_each(model.objective(), &model.theta, examples, &self.set.by_length())?
            * estimate::tokens(examples) as f64;
        let losses = 2 * stage.options.draws * (layers + 3 * stage.options.fractions.len());
        let gradients = 2 * stage.options.probes;
        let seconds = each * (losses as f64 + gradients as f64 * estimate::BACKWARD);
        let batch = model.activations(examples, curvature::BATCH.1, Wanted::Gradients);
        let bytes = 6 * params::bytes(&model.theta) + rayon::current_num_threads() * batch;
        estimate::tell("damage", seconds, bytes);
        Ok(())
    }

    /// A hash of all that the units of the journal depend on.
    fn inputs(&self, reference: Option<String>) -> Result<String> {
        let DamageOptions { granularity, fractions, radius, draws, probes, step, .. } = &self.stage.options;
        let seed = self.stage.seed;
        let GaussianOptions { normalize, vectors } = self.stage.gaussian.options;
        let about = json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": self.model.hash,
            "set": about_set(self.set),
            "fisher": files::hash_file(&self.stage.fisher)?,
            "reference": reference,
            "options": [json!(granularity), json!(fractions), json!(radius), json!(draws), json!(probes), json!(step),
                json!(seed), json!(normalize), json!(vectors)],
        });
        Ok(files::hash(about.to_string().as_bytes()))
    }

    /// The k-th direction, only in these tensors.
    fn direction(&self, tensors: &[String], k: usize) -> Result<Direction> {
        let own = |name: &String| Some((name.clone(), self.reference.get(name)?.clone()));
        let part: ParamMap = tensors.iter().filter_map(own).collect();
        self.stage.gaussian.draw(self.model.objective(), &part, self.stage.seed, "x", k)
    }

    /// Samples of the Hessian's diagonal over what the set reaches, and the names of its tensors.
    fn hessian(&self, by_length: &[usize], journal: &mut Journal) -> Result<(Bins, Diagonal, Vec<String>)> {
        let (model, examples) = (self.model, self.examples());
        let flags = mask::reached(&model.theta, model.theta.keys(), |name| {
            model.objective().reached(name, &examples)
        });
        let space = Space::new(&flags);
        drop(flags);
        let bins = Bins::new(&space.flat(self.fisher)?);
        let step = self.stage.options.step * norm(&space.flat(self.reference)?);
        let curvature =
            Curvature::new(model.objective(), &model.theta, &self.set.examples, by_length, &space);
        let (probes, seed) = (self.stage.options.probes, self.stage.seed);
        let diagonal = hessian_diagonal(&curvature, &bins, probes, step, seed, journal)?;
        let names = space.tensors().map(|(name, _)| name.to_string()).collect();
        Ok((bins, diagonal, names))
    }

    fn rises(
        &self,
        layers: Vec<Layer>,
        perturbed: &Perturbed<dyn Objective + '_>,
        (diagonal, names): (&Diagonal, &[String]),
        journal: &mut Journal,
    ) -> Result<Vec<Found>> {
        let progress = Progress::new("damage (layers)", layers.len());
        let mut found = Vec::new();
        for layer in layers {
            let draws = self.stage.options.draws;
            let direction = |k: usize| self.direction(&layer.tensors, k);
            let rise = perturbed.rise(&layer.name, draws, direction, journal)?;
            let predicted: Vec<f64> = (0..draws)
                .map(|k| perturbed.predicted(self.fisher, &direction(k)?, self.scale))
                .collect::<Result<_>>()?;
            let own: BTreeSet<&String> = layer.tensors.iter().collect();
            let sum = |sums: &Vec<f64>| {
                names.iter().zip(sums).filter(|(name, _)| own.contains(name)).map(|(_, sum)| sum).sum::<f64>()
            };
            let hessian = diagonal.tensors.iter().map(sum).collect();
            found.push(Found { predicted: stats::mean(&predicted), rise, hessian, layer });
            progress.advance(1);
        }
        Ok(found)
    }

    /// The top, a random and the bottom part of the parameters, perturbed at matched norm.
    fn masks(
        &self,
        perturbed: &Perturbed<dyn Objective + '_>,
        journal: &mut Journal,
    ) -> Result<Vec<PerturbedRow>> {
        type Kind = fn(f64) -> Select;
        let kinds: [Kind; 3] = [Select::Top, Select::Random, Select::Bottom];
        let progress = Progress::new("damage (masks)", kinds.len() * self.stage.options.fractions.len());
        let mut rows = Vec::new();
        for &fraction in &self.stage.options.fractions {
            for (mask, select) in PerturbedRow::MASKS.into_iter().zip(kinds) {
                rows.push(self.masked(mask, (select(fraction), fraction), perturbed, journal)?);
                progress.advance(1);
            }
        }
        Ok(rows)
    }

    fn masked(
        &self,
        mask: &'static str,
        (select, fraction): (Select, f64),
        perturbed: &Perturbed<dyn Objective + '_>,
        journal: &mut Journal,
    ) -> Result<PerturbedRow> {
        let (model, examples) = (self.model, self.examples());
        let all: Vec<String> = self.fisher.keys().cloned().collect();
        let make = |k: usize| -> Result<Option<(Direction, f64, mask::Report)>> {
            let d = self.direction(&all, k)?;
            let own = std::slice::from_ref(&d);
            let effective =
                mask::effective(&model.theta, own, |name| model.objective().reached(name, &examples));
            let seed = self.stage.seed + k as u64;
            let choice = Choice::new(select, MaskUnit::Parameter, &model.theta, Some(self.fisher), seed)?;
            // Nothing in the mask moves the loss: the lowest scores are those of words that do not occur.
            let Ok(mask) = choice.mask(&effective) else { return Ok(None) };
            let (mut d, ratio) = mask.apply(d, &effective, Norm::Matched);
            mask::keep_effective(&mut d, &effective);
            Ok(Some((d, ratio, mask.report)))
        };
        let (mut ratios, mut predicted, mut draws, mut report) = (Vec::new(), Vec::new(), Vec::new(), None);
        for k in 0..self.stage.options.draws {
            let Some((d, ratio, own)) = make(k)? else { continue };
            ratios.push(ratio);
            predicted.push(perturbed.predicted(self.fisher, &d, self.scale)?);
            draws.extend(perturbed.rise(mask, 1, |_| Ok(d.clone()), journal)?.draws);
            report.get_or_insert(own);
        }
        let Some(report) = report else {
            let k = (fraction * params::count(self.fisher) as f64 + 0.5).floor() as usize;
            let (norm_ratio, predicted, rise, rise_se) = (None, None, None, None);
            return Ok(PerturbedRow {
                mask: mask.to_string(),
                fraction,
                k,
                effective: 0,
                norm_ratio,
                predicted,
                rise,
                rise_se,
            });
        };
        let row = Measure { name: mask.into(), draws }.row(&perturbed.targets());
        Ok(PerturbedRow {
            mask: mask.to_string(),
            fraction,
            k: report.selected,
            effective: report.selected_effective,
            norm_ratio: Some(stats::mean(&ratios)),
            predicted: Some(stats::mean(&predicted)),
            rise: Some(row.value),
            rise_se: Some(row.se_examples.hypot(row.se_draws.unwrap_or(0.0))).filter(|se| se.is_finite()),
        })
    }
}

/// Means over parameters of nearly equal F; `scale`: information of one target, as the Hessian's, in units of F.
fn bin_rows(bins: &Bins, diagonal: &Diagonal, scale: f64) -> Vec<BinRow> {
    let row = |bin: usize| {
        let parameters = bins.count[bin];
        let means: Vec<f64> = diagonal.bins.iter().map(|sums| sums[bin] / parameters as f64).collect();
        BinRow {
            bin,
            parameters,
            fisher: scale * bins.fisher[bin],
            hessian: stats::mean(&means),
            hessian_se: Some(stats::standard_error(&means)).filter(|se| se.is_finite()),
        }
    };
    (0..bins.count.len()).filter(|bin| bins.count[*bin] > 0).map(row).collect()
}

fn tell_correlation(row: &CorrelationRow) {
    let Some(rho) = row.spearman else { return };
    let interval = row.spearman_low.zip(row.spearman_high);
    let interval = interval.map_or(String::new(), |(low, high)| format!(" [{low:.3}, {high:.3}]"));
    say!(
        "{:6} {:>13} and {:7}: rho {rho:.3}{interval} over {} layers",
        word(row.granularity),
        row.predictor,
        row.outcome,
        row.layers
    );
}

fn tell_mask(row: &PerturbedRow) {
    let rise = match (row.rise, row.rise_se) {
        (Some(rise), Some(se)) => format!("rise {rise:.4e} ± {se:.1e}"),
        (Some(rise), None) => format!("rise {rise:.4e}"),
        _ => "nothing that moves the loss".to_string(),
    };
    say!("{:6} {:<6} {} parameters, {} effective: {rise}", row.mask, row.fraction, row.k, row.effective);
}
