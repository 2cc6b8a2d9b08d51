//! `sharpness`: how far the loss rises around a checkpoint, and the spectrum of its Hessian.

mod critical;
mod layers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::moving::{Gaussian, GaussianOptions, Moving};
use super::options::defaults;
use super::{ModelAndSet, about_set, check_extension};
use crate::data::frozen::FrozenSet;
use crate::data::{self, Example};
use crate::error::{Error, Problem, Result, check_at_most};
use crate::fisher::layers::Granularity;
use crate::landscape::basis::{self, Basis};
use crate::landscape::curvature::{self, Curvature};
use crate::landscape::directions::{self, Direction};
use crate::landscape::journal::Journal;
use crate::landscape::mask::{self, Flags, Mask};
use crate::landscape::sharpness::{Eigenvalue, Found, Plan};
use crate::landscape::space::{Space, norm};
use crate::model::{Model, Wanted};
use crate::params::{self, ParamMap};
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::tables::sharpness::SpectrumRow;
use crate::{estimate, files};

/// Sharpness of a checkpoint over a frozen set: rise of the loss along random directions, epsilon-sharpness, leading
/// eigenvalues, trace and spectral density of the Hessian, each with its uncertainty.
///
/// None of them is a property of the function: weights that are scaled without changing it change all of them. Compare
/// models that start from one checkpoint, with the same --reference, set, mask and seed.
#[derive(clap::Args, Clone, Debug)]
pub struct Sharpness {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    #[command(flatten)]
    pub gaussian: Gaussian,
    #[command(flatten)]
    pub moving: Moving,
    #[command(flatten)]
    pub options: SharpnessOptions,
    /// Also write SHARPNESS.layers.csv: the largest eigenvalue and the trace of the block of the Hessian that belongs to each site, block or
    /// tensor, taken by itself; with --fisher its Fisher information next to them; and SHARPNESS.layers.spectrum.csv with the density of its
    /// eigenvalues. `render` draws sites and blocks
    #[arg(long, value_enum, value_name = "LAYERS")]
    pub by: Option<Granularity>,
    /// Measure only the critical sharpness: 2 / η, where η is the learning rate from which on a step raises the loss. The step is down the
    /// gradient of the set's loss; a few evaluations of the loss find η
    #[arg(long, conflicts_with_all = ["by", "save_directions", "mask", "fisher", "reference"])]
    pub critical: bool,
    /// With --critical: step towards this checkpoint instead, the learning rate --lr being all the way: its update, if it was trained from the
    /// first
    #[arg(long, value_name = "C", requires = "critical", conflicts_with = "relative")]
    pub to: Option<PathBuf>,
    /// With --to: the learning rate that led there
    #[arg(long, default_value_t = 1.0, value_name = "LR", requires = "to")]
    pub lr: f64,
    /// With --critical: step down the gradient of this set's loss instead (relative critical sharpness)
    #[arg(long, value_name = "SET", requires = "critical")]
    pub relative: Option<PathBuf>,
    /// Write the two leading eigenvectors as directions for `surface`, scaled so that the quadratic fit along the first rises
    /// by 1 nat at distance 1
    #[arg(long, value_name = "D.safetensors")]
    pub save_directions: Option<PathBuf>,
    /// Seed of directions, signs and start vectors, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The table to write: a measure a row. A .json, .spectrum.csv (density and eigenvalues) and .examples.safetensors
    /// (every draw and example, for `compare`) go next to it
    #[arg(long, value_name = "SHARPNESS.csv")]
    pub out: PathBuf,
}

/// What is measured, and how finely.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct SharpnessOptions {
    /// Random directions, each walked both ways
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub directions: usize,
    /// Step sizes, relative to the norm of the weights (1 = that norm)
    #[arg(long, default_value = "0.1,0.5", value_name = "R,..", value_delimiter = ',')]
    pub radii: Vec<f64>,
    /// Radius of epsilon-sharpness, relative to the norm of the weights
    #[arg(long, default_value_t = 0.001, value_name = "E")]
    pub epsilon: f64,
    /// Steps of gradient ascent on that sphere
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub ascent: usize,
    /// Steps of Lanczos' method from each start vector
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub steps: usize,
    /// Start vectors of Lanczos' method, over which the spectral density is averaged
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub probes: usize,
    /// Sign vectors of Hutchinson's estimator of the trace
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub signs: usize,
    /// Leading eigenvalues to report, with bounds; along their vectors and the smallest one's the trace is exact
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub eigenvalues: usize,
    /// Step of the finite differences of gradients, relative to the norm of the weights
    #[arg(long, default_value_t = 1e-5, value_name = "H")]
    pub step: f64,
}

impl SharpnessOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        let fix = "see `fisherscape sharpness --help`";
        let counts = [
            ("directions", self.directions),
            ("ascent", self.ascent),
            ("steps", self.steps),
            ("probes", self.probes),
            ("signs", self.signs),
            ("eigenvalues", self.eigenvalues),
        ];
        if let Some((option, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Problem::new(option, "number", "at least 1", 0, fix));
        }
        for (option, count) in counts {
            check_at_most(option, count, 10_000, "one pass over the set, or several")?;
        }
        let lengths = self.radii.iter().map(|r| ("radii", r));
        let lengths = lengths.chain([("epsilon", &self.epsilon), ("step", &self.step)]);
        for (option, length) in lengths {
            if !(*length > 0.0 && length.is_finite()) {
                return Err(Problem::new(option, "length", "above 0", length, fix));
            }
        }
        match self.radii.is_empty() {
            true => Err(Problem::new("radii", "radii", "at least one", "none", fix)),
            false => Ok(()),
        }
    }
}

/// Steps of losses along random signs, in lengths of the weights: such a vector has a little of everything, so its parabola is
/// shallow, and losses in float32 need a longer step to show it than gradients do.
const WIDE: f64 = 0.01;

impl Sharpness {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "csv")?;
        self.check()?;
        if self.critical {
            return self.critical(command);
        }
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        let network = model.network()?;
        let (mask, flags) = self.flags(&model, &set, &mut provenance)?;
        let space = Space::new(&flags);
        let missing = self.inputs.head.missing(self.seed);
        let (reference, reference_hash) = self.gaussian.weights(&model, &set, missing)?;
        reference_hash
            .iter()
            .zip(&self.gaussian.reference)
            .try_for_each(|(hash, path)| provenance.checkpoint("reference", path, hash))?;
        let scale = norm(&space.flat(&reference)?);
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let direction = |k: usize| self.direction(k, (&model, &reference), &mask, &examples);
        let plan = Plan {
            direction: &direction,
            directions: self.options.directions,
            radii: &self.options.radii,
            ball: self.options.epsilon * scale,
            ascent: self.options.ascent,
            probes: self.options.probes,
            steps: self.options.steps.min(space.size()),
            signs: self.options.signs,
            step: self.options.step * scale,
            wide: WIDE * scale,
            eigenvalues: self.options.eigenvalues,
            vectors: 2,
            seed: self.seed,
        };
        let by_length = set.by_length();
        let curvature = Curvature::new(network, &model.theta, &set.examples, &by_length, &space);
        let mut about = self.about(&model, &set, &mask, (scale, space.size()))?;
        about["reference"] = json!(reference_hash);
        let memory = self.announce(&model, &set, &plan, space.size())?;
        let (journal, vectors) =
            (self.out.with_extension("csv.unfinished"), self.out.with_extension("basis.unfinished"));
        let inputs = files::hash(about.to_string().as_bytes());
        let mut journal_file = Journal::open(&journal, &inputs)?;
        let mut basis = Basis::open(&vectors, &inputs, space.size(), memory)?;
        let targets: Vec<f64> = examples.iter().map(|e| e.targets() as f64).collect();
        let found = plan.run(&curvature, targets.clone(), &mut journal_file, &mut basis);
        let found = match found {
            Err(cause) if basis.is_broken() => {
                progress::note(format!("{cause}"));
                drop((journal_file, basis));
                [&journal, &vectors].into_iter().try_for_each(|path| start_anew(path))?;
                let mut journal_file = Journal::open(&journal, &inputs)?;
                let mut basis = Basis::open(&vectors, &inputs, space.size(), memory)?;
                plan.run(&curvature, targets, &mut journal_file, &mut basis)?
            }
            found => found?,
        };
        let clusters = data::clusters(examples.iter().copied());
        let found = Found { sharpness: found.sharpness.by_draw(&clusters), ..found };
        let weight = scale / (space.size() as f64).sqrt();
        let blocks = self.blocks((&model, &set), &flags, (weight, memory), &inputs, &mut provenance)?;
        self.write(&model.theta, &space, &found, &mut about)?;
        self.write_blocks(&blocks)?;
        provenance.write(&provenance::beside(&self.out))?;
        files::remove(&journal)?;
        files::remove(&vectors)?;
        self.finish_blocks()?;
        self.tell(&found);
        layers::tell(&blocks.rows);
        about["rows"] = json!(found.sharpness.rows());
        about["layers"] = json!(blocks.rows);
        about["out"] = json!(self.out);
        progress::answer(|| about);
        Ok(())
    }

    /// What is wrong with the options themselves.
    pub(super) fn check(&self) -> Result<()> {
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            let fix = "give the learning rate of the training that led to the other checkpoint";
            return Err(Error::field("--lr", "learning rate", "above 0 and finite", self.lr, fix));
        }
        Ok(self.options.check()?)
    }

    /// The mask, and the parameters that it lets move and the set reaches.
    fn flags(&self, model: &Model, set: &FrozenSet, provenance: &mut Provenance) -> Result<(Mask, Flags)> {
        let choice = self.moving.choose(&model.theta, 0, provenance)?;
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let mut flags: Flags = mask::reached(&model.theta, model.theta.keys(), |name| {
            model.objective().reached(name, &examples)
        });
        let mask = choice.mask(&flags)?;
        self.moving.tell(&mask);
        if let Some(selected) = &mask.selected {
            flags.retain(|name, own| match selected.get(name) {
                None => false,
                Some(chosen) => {
                    own.iter_mut().zip(chosen).for_each(|(flag, chosen)| *flag &= chosen);
                    true
                }
            });
        }
        Ok((mask, flags))
    }

    /// The k-th random direction, within the mask.
    fn direction(
        &self,
        k: usize,
        (model, reference): (&Model, &ParamMap),
        mask: &Mask,
        examples: &[&Example],
    ) -> Result<Direction> {
        let d = self.gaussian.draw(model.objective(), reference, self.seed, "x", k)?;
        let own = std::slice::from_ref(&d);
        let effective = mask::effective(&model.theta, own, |name| model.objective().reached(name, examples));
        let (mut masked, _) = mask.apply(d, &effective, self.moving.options.norm);
        mask::keep_effective(&mut masked, &effective);
        if mask::effective_norm(&masked, &effective).1 == 0 {
            let fix = "choose another mask or more parameters, or let 1-D parameters move with --vectors";
            let place = format!("mask {}", self.moving.mask);
            return Err(Error::field(place, "effective parameters", "at least 1", "none", fix));
        }
        Ok(masked)
    }

    /// Everything that the result depends on.
    fn about(
        &self,
        model: &Model,
        set: &FrozenSet,
        mask: &Mask,
        (scale, size): (f64, usize),
    ) -> Result<Value> {
        let GaussianOptions { normalize, vectors } = self.gaussian.options;
        Ok(json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "head_seed": self.seed,
            "set": about_set(set),
            "mask": self.moving.about(mask)?,
            "parameters": size,
            "length_of_the_weights": scale,
            "directions": {
                "count": self.options.directions, "radii": self.options.radii, "normalize": normalize, "vectors": vectors,
                "seed": self.seed,
            },
            "epsilon": {"epsilon": self.options.epsilon, "length": self.options.epsilon * scale, "steps": self.options.ascent},
            "lanczos": {"steps": self.options.steps, "probes": self.options.probes, "difference": self.options.step * scale},
            "trace": {"signs": self.options.signs, "exact_on": self.options.eigenvalues + 1, "difference": WIDE * scale},
        }))
    }

    /// Says what it will take; gives the bytes of memory that basis vectors may have.
    fn announce(&self, model: &Model, set: &FrozenSet, plan: &Plan, size: usize) -> Result<usize> {
        let (gradients, losses) = plan.cost();
        let each = estimate::seconds_each(model.objective(), &model.theta, &set.examples, &set.by_length())?
            * estimate::tokens(&set.examples) as f64;
        let seconds = each * (gradients as f64 * estimate::BACKWARD + losses as f64);
        // Parameters, a point, its gradient, sums in double precision.
        let working = 4 * params::bytes(&model.theta) + 4 * basis::bytes(size);
        let batch = model.activations(&set.examples, curvature::BATCH.1, Wanted::Gradients);
        let working = working + rayon::current_num_threads() * batch;
        // Of the Krylov basis, and eigenvectors.
        let vectors = plan.steps + 1 + plan.eigenvalues + 1;
        let all = vectors * basis::bytes(size);
        // Half of what is left: others want memory, too.
        let room = estimate::available_bytes().map_or(all, |free| free.saturating_sub(working) / 2).min(all);
        estimate::tell("sharpness", seconds, working + room);
        progress::detail(format!(
            "{vectors} basis vectors of {size} parameters: {} MiB on disk, of which {} MiB stay in memory",
            all >> 20,
            room >> 20
        ));
        Ok(room)
    }

    fn write(&self, theta: &ParamMap, space: &Space, found: &Found, about: &mut Value) -> Result<()> {
        about["eigenvalues"] = json!(found.leading);
        about["smallest_eigenvalue"] = json!(found.smallest);
        about["lanczos"]["difference_error"] = json!(found.step_error);
        about["top_eigenvalue"] = json!({"difference_error": found.along_error});
        about["trace"]["difference_error"] = json!(found.wide_error);
        about["density_sigma"] = json!(found.density.sigma);
        let first = found.leading.first().map_or(f64::NAN, |ritz| ritz.value);
        if let Some(path) = &self.save_directions {
            check_extension("--save-directions", path, "safetensors")?;
            let (pair, length) = directions::eigen::pair(&found.vectors, first, space, theta);
            about["eigenvectors"] = json!({"length": length});
            directions::file::write(path, &pair, theta)?;
        }
        let density = found.density.eigenvalue.iter().zip(&found.density.density).enumerate();
        let density = density.map(|(i, (&eigenvalue, &density))| SpectrumRow {
            curve: "density".to_string(),
            eigenvalue,
            density: Some(density),
            density_sd: found.density.sd.get(i).copied(),
        });
        let eigenvalues = found.leading.iter().map(|own| SpectrumRow {
            curve: "eigenvalue".to_string(),
            eigenvalue: own.value,
            density: None,
            density_sd: None,
        });
        files::write_csv(&spectrum_path(&self.out), &density.chain(eigenvalues).collect::<Vec<_>>())?;
        let metadata = BTreeMap::from([("about".to_string(), about.to_string())]);
        found.sharpness.write(&examples_path(&self.out), &metadata)?;
        files::write(&self.out.with_extension("json"), format!("{about:#}\n").as_bytes())?;
        files::write_csv(&self.out, &found.sharpness.rows())
    }

    fn tell(&self, found: &Found) {
        for row in found.sharpness.rows() {
            let draws =
                row.se_draws.map_or(String::new(), |se| format!(", {se:.2e} over {} draws", row.draws));
            say!("{:18} {:.6e} ± {:.2e} over examples{draws}", row.measure, row.value, row.se_examples);
        }
        let one = |own: &Eigenvalue| format!("{:.5} (within {:.1e})", own.value, own.within);
        let all: Vec<String> = found.leading.iter().map(one).collect();
        say!("eigenvalues {}; smallest seen {}", all.join(", "), one(&found.smallest));
        say!(
            "halving the differences changes H v by {:.1e}, the curvature along the first eigenvector by {:.1e} and the first \
             draw of the trace by {:.1e}, relative",
            found.step_error,
            found.along_error,
            found.wide_error
        );
        if found.step_error > 0.05 {
            progress::note("products with the Hessian depend on --step: try one ten times smaller or larger");
        }
        say!("{}", self.out.display());
    }
}

/// Sets aside what is not to be continued, and says so.
fn start_anew(path: &Path) -> Result<()> {
    let kept = files::set_aside(path, "broken")?;
    progress::note(format!("{}: kept as {}; computed anew", path.display(), kept.display()));
    Ok(())
}

/// `SHARPNESS.spectrum.csv` for `SHARPNESS.csv`.
pub fn spectrum_path(sharpness: &Path) -> PathBuf {
    sharpness.with_extension("spectrum.csv")
}

/// `SHARPNESS.examples.safetensors` for `SHARPNESS.csv`.
pub fn examples_path(sharpness: &Path) -> PathBuf {
    sharpness.with_extension("examples.safetensors")
}
