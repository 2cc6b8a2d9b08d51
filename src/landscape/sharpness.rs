//! How sharp a minimum is, in four measures, each with its uncertainty, and whether one is flatter than another.
//!
//! - `rise_R`: mean of `L(θ ± R d) - L(θ)` over random directions d, scaled to the weights.
//! - `epsilon_sharpness`: the highest `L(θ + δ) - L(θ)` found with `‖δ‖ ≤ ε ‖θ‖` (the sphere of Foret et al. 2021 instead of
//!   Keskar et al. 2017's box), by going where the gradient points, again and again. A lower bound of the true maximum.
//! - `top_eigenvalue`: the largest eigenvalue of the Hessian ([`super::lanczos`]).
//! - `trace`: that of the Hessian, exact on its leading eigenvectors and by random signs on the rest ([`super::trace`]).
//!
//! Each is a mean over the examples of something known for every example, and over draws (directions, signs), so two
//! models over one set, with the same draws, are compared pair by pair.
//!
//! The trap: none of these is a property of the function. Weights that are scaled without changing what the model
//! computes change all four (Dinh et al. 2017); so arms that start from one checkpoint are compared, and the norm of the
//! weights stands beside.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Direction;
use super::basis::Basis;
use super::curvature::Curvature;
use super::journal::Journal;
use super::lanczos::{self, Density, Ritz, lanczos};
use super::space::{norm, scale};
use super::trace;
use crate::error::{Error, Result};
use crate::model::Objective;
use crate::params::{self, Column};
use crate::progress::Progress;
use crate::rng::Stream;
use crate::stats;
use crate::stats::clusters::Clusters;
use crate::stats::paired::{self, Difference};

/// One measure of one model: what it is for every draw and example.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    pub name: String,
    /// Sums over the targets of each example, or of those that are one draw of the data, `[draws, N]`: the measure is `Σ_n / M`.
    pub draws: Vec<Vec<f64>>,
}

/// A measure with its uncertainty: a row of `SHARPNESS.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `rise_R`, `epsilon_sharpness`, `top_eigenvalue` or `trace`; alone `critical_sharpness` or `relative_critical_sharpness`.
    pub measure: String,
    /// Mean over the draws: a rise of the loss per target (nats, where the loss is in nats), or a curvature of it, in loss units per
    /// squared unit of the parameters.
    pub value: f64,
    /// Standard error over the examples.
    pub se_examples: f64,
    /// Standard error over the draws; empty where there is one.
    pub se_draws: Option<f64>,
    /// Directions or sign vectors behind it.
    pub draws: usize,
}

impl Row {
    /// Half the width of the 95 % interval over `examples` and draws, and its degrees of freedom. The two errors are added,
    /// which counts what examples and draws share twice: a little too wide.
    pub fn half_width(&self, examples: usize) -> (f64, f64) {
        let examples = (self.se_examples, examples as f64 - 1.0);
        match self.se_draws {
            None => stats::combined_half_width(&[examples]),
            Some(se) => stats::combined_half_width(&[examples, (se, self.draws as f64 - 1.0)]),
        }
    }
}

/// All measures of one model over one set.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharpness {
    pub measures: Vec<Measure>,
    /// `m_n` `[N]`
    pub targets: Vec<f64>,
    /// Hash of the set, where the file says it.
    pub set: String,
}

/// What is computed, and how far it goes.
pub struct Plan<'a> {
    /// Directions in turn, by number: from a seed, so that all models have the same.
    pub direction: &'a dyn Fn(usize) -> Result<Direction>,
    pub directions: usize,
    /// R, in units of those directions.
    pub radii: &'a [f64],
    /// Length of δ, in units of the parameters.
    pub ball: f64,
    pub ascent: usize,
    /// Start vectors of Lanczos' method, and its steps from each.
    pub probes: usize,
    pub steps: usize,
    /// Sign vectors of the trace.
    pub signs: usize,
    /// Length of the differences of gradients, and of losses along random signs, in units of the parameters.
    pub step: f64,
    pub wide: f64,
    /// Leading eigenvalues that are bounded, and whose vectors the trace is exact on.
    pub eigenvalues: usize,
    /// Eigenvectors that are kept.
    pub vectors: usize,
    pub seed: u64,
}

/// What comes out.
pub struct Found {
    pub sharpness: Sharpness,
    /// Leading eigenvalues by the longest run, the largest first.
    pub leading: Vec<Eigenvalue>,
    /// The smallest one seen.
    pub smallest: Eigenvalue,
    pub density: Density,
    /// Eigenvectors of the leading ones, of length 1.
    pub vectors: Vec<Vec<f32>>,
    /// How much the lengths of the differences matter: of the first eigenvector's product with H, of the curvature along it by losses,
    /// and of the first draw of the trace, all relative.
    pub step_error: f64,
    pub along_error: f64,
    pub wide_error: f64,
}

/// An eigenvalue of the Hessian.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Eigenvalue {
    pub value: f64,
    /// One is no further away than this ([`Curvature::bound`]).
    pub within: f64,
}

/// The leading Ritz vectors and the last one, behind the Krylov vectors of the basis.
struct Known {
    values: Vec<Eigenvalue>,
    slots: Range<usize>,
    /// `v_iᵀ H_n v_i`, `[k, N]`.
    along: Vec<Vec<f64>>,
    step_error: f64,
}

impl Plan<'_> {
    /// Gradients that all of it costs, and evaluations of the loss.
    pub fn cost(&self) -> (usize, usize) {
        let known = self.eigenvalues + 1;
        let gradients = 2 * self.probes * self.steps + self.ascent + 4 * known;
        let losses =
            1 + 2 * self.directions * self.radii.len() + 2 * self.signs + self.ascent + 2 * known + 4;
        (gradients, losses)
    }

    /// Computes all measures. Finished parts go to the `journal` and the `basis`.
    pub fn run(
        &self,
        curvature: &Curvature<impl Objective>,
        targets: Vec<f64>,
        journal: &mut Journal,
        basis: &mut Basis,
    ) -> Result<Found> {
        let units = 1 + self.directions * self.radii.len() + 1 + self.signs + self.probes * self.steps;
        let progress = Progress::new("sharpness (parts)", units.saturating_sub(journal.left()));
        let size = curvature.space().size();
        // One number for each example that has a target.
        let each = |values: &[f64]| values.len() == targets.len();
        let centre = journal.unit(each, || curvature.centre())?;
        let mut measures = Vec::new();
        for &radius in self.radii {
            let mut draws = Vec::new();
            for k in 0..self.directions {
                draws.push(journal.unit(each, || {
                    let d = curvature.space().flat_direction(&(self.direction)(k)?)?;
                    let (forth, back) = (
                        curvature.sums(&curvature.at(&d, radius)?)?,
                        curvature.sums(&curvature.at(&d, -radius)?)?,
                    );
                    Ok(forth.iter().zip(&back).zip(&centre).map(|((f, b), c)| 0.5 * (f + b) - c).collect())
                })?);
                progress.advance(1);
            }
            measures.push(Measure { name: format!("rise_{radius}"), draws });
        }
        let highest = journal.unit(each, || self.ascend(curvature, &centre))?;
        measures.push(Measure { name: "epsilon_sharpness".into(), draws: vec![highest] });
        progress.advance(1);
        let mut runs = Vec::new();
        for k in 0..self.probes {
            let start = signs("sharpness/lanczos", size, self.seed, k);
            let times = |v: &[f32]| {
                let product = curvature.times(v, self.step);
                progress.advance(1);
                product
            };
            basis.begin(k);
            let t = lanczos(times, &start, self.steps, basis, journal)?;
            runs.push(t.ritz());
        }
        // The basis in hand is the last one's.
        let ritz = runs.last().map_or(&[][..], Vec::as_slice);
        let known = self.known(ritz, curvature, &centre, journal, basis)?;
        let kept = known.slots.clone().take(self.vectors.max(1));
        let vectors = kept.map(|k| Ok(basis.get(k)?.into_owned())).collect::<Result<Vec<_>>>()?;
        let inside: Vec<f64> =
            (0..targets.len()).map(|n| known.along.iter().map(|own| own[n]).sum()).collect();
        let mut draw = |k: usize, wide: f64| {
            let z = signs("sharpness/trace", size, self.seed, k);
            let outside = trace::outside(curvature, z, (&mut *basis, known.slots.clone()), wide, &centre)?;
            Ok::<Vec<f64>, Error>(inside.iter().zip(outside).map(|(i, o)| i + o).collect())
        };
        let mut traces = Vec::new();
        for k in 0..self.signs {
            traces.push(journal.unit(each, || draw(k, self.wide))?);
            progress.advance(1);
        }
        let halves = journal.unit(
            |values| values.len() == 2,
            || {
                let step = trace::step(known.values[0].value, self.wide) / 2.0;
                let along = curvature.along(&vectors[0], step, &centre)?;
                Ok(vec![changed(&known.along[0], &along), changed(&traces[0], &draw(0, self.wide / 2.0)?)])
            },
        )?;
        measures.push(Measure { name: "top_eigenvalue".into(), draws: vec![known.along[0].clone()] });
        measures.push(Measure { name: "trace".into(), draws: traces });
        Ok(Found {
            sharpness: Sharpness { measures, targets, set: String::new() },
            smallest: known.values[known.values.len() - 1],
            leading: known.values[..self.eigenvalues.min(ritz.len())].to_vec(),
            density: lanczos::density(&runs),
            vectors,
            step_error: known.step_error,
            along_error: halves[0],
            wide_error: halves[1],
        })
    }

    /// The Ritz vectors that are reported, with the error of their values and each example's curvature along them.
    fn known(
        &self,
        ritz: &[Ritz],
        curvature: &Curvature<impl Objective>,
        centre: &[f64],
        journal: &mut Journal,
        basis: &mut Basis,
    ) -> Result<Known> {
        let (size, first, last) = (curvature.space().size(), self.steps + 1, ritz.len().saturating_sub(1));
        let chosen = (0..ritz.len()).filter(|&i| i < self.eigenvalues || i == last);
        let mut known = Known { values: Vec::new(), slots: first..first, along: Vec::new(), step_error: 0.0 };
        for i in chosen {
            let (v, value) = (lanczos::vector(&ritz[i], basis, size)?, ritz[i].value);
            let bound = journal.unit(
                |values| values.len() == 2,
                || {
                    let bound = curvature.bound(&v, value, self.step)?;
                    Ok(vec![bound.within, bound.step_error])
                },
            )?;
            let each = |values: &[f64]| values.len() == centre.len();
            let step = trace::step(value, self.wide);
            known.along.push(journal.unit(each, || curvature.along(&v, step, centre))?);
            if known.values.is_empty() {
                known.step_error = bound[1];
            }
            known.values.push(Eigenvalue { value, within: bound[0] });
            basis.set(known.slots.end, v)?;
            known.slots.end += 1;
        }
        // Sums of float32 products know nothing below its epsilon.
        let largest = known.values.iter().map(|own| own.value.abs()).fold(0.0, f64::max);
        let rounding = f64::from(f32::EPSILON) * largest;
        known.values.iter_mut().for_each(|own| own.within = own.within.max(rounding));
        Ok(known)
    }

    /// What each example's loss gains at the highest point found on the sphere.
    fn ascend(&self, curvature: &Curvature<impl Objective>, centre: &[f64]) -> Result<Vec<f64>> {
        let size = curvature.space().size();
        let mut at = vec![0f32; size];
        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..self.ascent {
            let gradient = curvature.gradient(&curvature.at(&at, 1.0)?)?;
            at = gradient.into_iter().map(|g| g as f32).collect();
            if norm(&at) == 0.0 {
                // Nothing points anywhere: any direction will do to begin with.
                at = signs("sharpness/ascent", size, self.seed, 0);
            }
            let factor = self.ball / norm(&at);
            scale(&mut at, factor);
            let sums = curvature.sums(&curvature.at(&at, 1.0)?)?;
            let total: f64 = sums.iter().sum();
            if best.as_ref().is_none_or(|(highest, _)| total > *highest) {
                best = Some((total, sums));
            }
        }
        let sums = best.map_or_else(|| centre.to_vec(), |(_, sums)| sums);
        Ok(sums.iter().zip(centre).map(|(s, c)| s - c).collect())
    }
}

/// How much sums over examples differ, relative to the second.
fn changed(whole: &[f64], half: &[f64]) -> f64 {
    let (whole, half) = (whole.iter().sum::<f64>(), half.iter().sum::<f64>());
    ((whole - half) / half).abs()
}

/// Random signs: the k-th vector of a seed and a use. Each use has its own, so that two that agree are evidence of each other.
pub fn signs(of: &str, size: usize, seed: u64, k: usize) -> Vec<f32> {
    let mut values = vec![0f32; size];
    Stream::new(seed, &format!("signs/{of}/{k}")).fill_uniform(0, &mut values);
    values.iter_mut().for_each(|v| *v = if *v < 0.5 { -1.0 } else { 1.0 });
    values
}

impl Measure {
    /// The measure per target of each draw.
    fn values(&self, targets: &[f64]) -> Vec<f64> {
        let all: f64 = targets.iter().sum();
        self.draws.iter().map(|draw| draw.iter().sum::<f64>() / all).collect()
    }

    /// Each example's mean over the draws.
    fn by_example(&self) -> Vec<f64> {
        let n = self.draws.first().map_or(0, Vec::len);
        let mean = |i: usize| self.draws.iter().map(|draw| draw[i]).sum::<f64>() / self.draws.len() as f64;
        (0..n).map(mean).collect()
    }

    /// Value and standard errors.
    pub fn row(&self, targets: &[f64]) -> Row {
        let values = self.values(targets);
        Row {
            measure: self.name.clone(),
            value: stats::mean(&values),
            se_examples: stats::ratio_se(&self.by_example(), targets),
            se_draws: (values.len() > 1).then(|| stats::standard_error(&values)),
            draws: values.len(),
        }
    }

    /// This measure minus the other's, draw by draw and example by example.
    fn minus(&self, other: &Measure) -> Measure {
        let draw = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Measure { name: self.name.clone(), draws: self.draws.iter().zip(&other.draws).map(draw).collect() }
    }
}

impl Sharpness {
    /// Examples that are one draw together taken for one, their sums added up.
    pub fn by_draw(self, clusters: &Clusters) -> Sharpness {
        let added = |draws: Vec<Vec<f64>>| draws.iter().map(|draw| clusters.sums(draw)).collect();
        let measure = |own: Measure| Measure { draws: added(own.draws), ..own };
        Sharpness {
            measures: self.measures.into_iter().map(measure).collect(),
            targets: clusters.sums(&self.targets),
            ..self
        }
    }

    /// The table.
    pub fn rows(&self) -> Vec<Row> {
        self.measures.iter().map(|measure| measure.row(&self.targets)).collect()
    }

    /// Writes every draw and example, `[draws, N]` for each measure, and `targets` `[N]`.
    pub fn write(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let flat: Vec<Vec<f64>> = self.measures.iter().map(|m| m.draws.concat()).collect();
        let n = self.targets.len();
        let measures = self.measures.iter().zip(&flat);
        let tensors = measures
            .map(|(m, flat)| (m.name.clone(), vec![m.draws.len(), n], Column::F64(flat)))
            .chain([("targets".to_string(), vec![n], Column::F64(&self.targets))]);
        params::write_safetensors(path, tensors, metadata)
    }
}

impl Sharpness {
    /// Reads what [`Sharpness::write`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken file, or tensors that do not fit together.
    pub fn read(path: &Path) -> Result<Sharpness> {
        let (mut tensors, metadata) = params::read_numbers(path)?;
        let about = metadata.get("about").and_then(|about| serde_json::from_str::<Value>(about).ok());
        let set = about.and_then(|about| Some(about.pointer("/set/hash")?.as_str()?.to_string()));
        let wrong = |name: &str, found: String| {
            let fix = "make it again with `fisherscape sharpness`";
            Error::field(path.display(), name, "float64 [draws, examples]", found, fix)
        };
        let (_, targets) = tensors.remove("targets").ok_or_else(|| wrong("targets", "none".into()))?;
        let n = targets.len().max(1);
        let mut measures = Vec::new();
        for (name, (shape, values)) in tensors {
            if shape.len() != 2 || shape[1] != n || shape[0] == 0 {
                return Err(wrong(&name, format!("shape {shape:?} for {n} examples")));
            }
            measures.push(Measure { name, draws: values.chunks(n).map(<[f64]>::to_vec).collect() });
        }
        if measures.is_empty() {
            return Err(wrong("measures", "none".into()));
        }
        // Files keep names in the order of the alphabet.
        let place = |m: &Measure| order(&m.name);
        measures.sort_by(|a, b| place(a).partial_cmp(&place(b)).unwrap_or(std::cmp::Ordering::Equal));
        Ok(Sharpness { measures, targets, set: set.unwrap_or_default() })
    }
}

/// Place of a measure in tables.
fn order(name: &str) -> (usize, f64) {
    match name.strip_prefix("rise_") {
        Some(radius) => (0, radius.parse().unwrap_or(f64::INFINITY)),
        None => (
            ["epsilon_sharpness", "top_eigenvalue", "trace"]
                .iter()
                .position(|n| *n == name)
                .map_or(9, |i| i + 1),
            0.0,
        ),
    }
}

impl Comparison {
    /// In words: which arm is flatter, if that is shown of more than one pair of models.
    pub fn verdict(&self) -> String {
        match (self.p_corrected, self.difference < 0.0) {
            (None, _) => ": one pair of models, so nothing is shown about others".into(),
            (Some(p), second) if p < paired::LEVEL => {
                format!(": the {} are flatter (corrected p {p:.3})", if second { "second" } else { "first" })
            }
            (Some(p), _) => format!(": no difference shown (corrected p {p:.2})"),
        }
    }
}

/// One measure of two models, or of two lists of models in pairs: a row of `compare`'s table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// As in the tables of the models.
    pub measure: String,
    /// Models on either side.
    pub pairs: usize,
    /// Mean of the first models, in the unit of the measure.
    pub first: f64,
    /// Mean of the second models.
    pub second: f64,
    /// Second minus first: below 0 the second is flatter.
    pub difference: f64,
    /// Lower end of its 95 % interval, of this measure alone.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Degrees of freedom of the interval.
    pub degrees_of_freedom: f64,
    /// Two-sided p of no difference; empty for one pair, which shows nothing about other models.
    #[serde(default)]
    pub p: Option<f64>,
    /// The same, corrected for all measures of the table (Holm).
    #[serde(default)]
    pub p_corrected: Option<f64>,
}

/// The second models against the first, paired by place in the lists, draw and example; p corrected for all measures.
///
/// With several pairs (seeds of the training) the interval is about arms: over pairs, and over the examples that they share.
/// With one pair it is about these two models ([`Row::half_width`]), and has no p.
///
/// # Errors
///
/// What does not fit, in words: other examples within a pair, other measures or draws.
pub fn compare(first: &[Sharpness], second: &[Sharpness]) -> std::result::Result<Vec<Comparison>, String> {
    if first.len() != second.len() || first.is_empty() {
        return Err(format!("{} against {} models", first.len(), second.len()));
    }
    let shape =
        |s: &Sharpness| s.measures.iter().map(|m| (m.name.clone(), m.draws.len())).collect::<Vec<_>>();
    for (one, other) in first.iter().zip(second) {
        if (&one.set, &one.targets) != (&other.set, &other.targets) {
            return Err("models over different examples".into());
        }
        for own in [one, other] {
            if shape(own) != shape(&first[0]) {
                return Err(format!("measures {:?} and {:?}", shape(&first[0]), shape(own)));
            }
        }
    }
    let shared = first.iter().all(|own| own.set == first[0].set);
    let row = |i: usize| {
        let pairs: Vec<Pair> = first
            .iter()
            .zip(second)
            .map(|(a, b)| Pair { first: &a.measures[i], second: &b.measures[i], targets: &a.targets })
            .collect();
        compare_measure(&pairs, shared)
    };
    let mut rows: Vec<Comparison> = (0..first[0].measures.len()).map(row).collect();
    paired::correct(rows.iter_mut().map(|row| (row.p, &mut row.p_corrected)));
    Ok(rows)
}

/// One measure of two models, with as many draws, of the same examples.
pub struct Pair<'a> {
    pub first: &'a Measure,
    pub second: &'a Measure,
    /// `m_n` `[N]`
    pub targets: &'a [f64],
}

impl Pair<'_> {
    /// What each example makes of the difference, which is the mean of it.
    fn by_example(&self) -> Vec<f64> {
        stats::ratio_parts(&self.second.minus(self.first).by_example(), self.targets)
    }
}

/// One measure over pairs of models, at least one; `shared`: whether all pairs have the same examples.
pub fn compare_measure(pairs: &[Pair], shared: bool) -> Comparison {
    let differences: Vec<Row> = pairs.iter().map(|p| p.second.minus(p.first).row(p.targets)).collect();
    let values: Vec<f64> = differences.iter().map(|d| d.value).collect();
    let (half, degrees_of_freedom, p) = match (&differences[..], shared) {
        ([only], _) => {
            let (half, degrees) = only.half_width(pairs[0].targets.len());
            (half, degrees, None)
        }
        (_, shared) => {
            let judged = match shared {
                true => paired::crossed(&pairs.iter().map(Pair::by_example).collect::<Vec<_>>()),
                false => paired::resampled(&values, paired::FIFTH),
            };
            let of = |get: fn(&Difference) -> f64| judged.as_ref().map_or(f64::NAN, get);
            (of(|d| d.half_width(0.95)), of(|d| d.degrees), judged.map(|d| d.p()))
        }
    };
    let mean = |of: fn(&Pair) -> f64| stats::mean(&pairs.iter().map(of).collect::<Vec<_>>());
    let difference = stats::mean(&values);
    Comparison {
        measure: pairs.first().map_or_else(String::new, |pair| pair.first.name.clone()),
        pairs: pairs.len(),
        first: mean(|pair| pair.first.row(pair.targets).value),
        second: mean(|pair| pair.second.row(pair.targets).value),
        difference,
        low: difference - half,
        high: difference + half,
        degrees_of_freedom,
        p,
        p_corrected: None,
    }
}
