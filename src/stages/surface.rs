//! `surface`: the loss on a plane through a checkpoint, in all or in masked parameters.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::{ModelAndSet, check_extension, with_se};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Result};
use crate::fisher::files as fisher_files;
use crate::landscape::direction::{self, Direction, Normalize};
use crate::landscape::mask::{self, By, Choice, Flags, Mask, Norm, Select};
use crate::landscape::plane::Plane;
use crate::landscape::rise;
use crate::landscape::surface::{Plan, Surface as Evaluated};
use crate::model::{Model, Objective};
use crate::params::{self, ParamMap};
use crate::progress::say;
use crate::report::provenance::{self, Provenance};
use crate::{estimate, evaluate, files};

/// Loss surface of a checkpoint over a frozen set, along two directions.
#[derive(clap::Args, Clone, Debug)]
pub struct Surface {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Directions x.NAME and y.NAME, used as they are
    #[arg(long, value_name = "D.safetensors", conflicts_with_all = ["normalize", "vectors"])]
    pub directions: Option<PathBuf>,
    /// Write the directions, unmasked, for --directions of other checkpoints
    #[arg(long, value_name = "D.safetensors")]
    pub save_directions: Option<PathBuf>,
    /// Scale Gaussian directions to the weights: by row, by tensor, or not
    #[arg(long, value_enum, default_value_t)]
    pub normalize: Normalize,
    /// Let biases and LayerNorm vectors move too
    #[arg(long)]
    pub vectors: bool,
    /// Parameters that move: all, or top:, bottom: or random: with a fraction
    #[arg(long, default_value = "all", value_name = "MASK")]
    pub mask: Select,
    /// Fisher information that top, bottom and a matched random mask go by
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: Option<PathBuf>,
    /// What the mask's fraction is of
    #[arg(long, value_enum, default_value_t)]
    pub granularity: By,
    /// Length of a masked direction: as it is, or that of a random mask of its count
    #[arg(long, value_enum, default_value_t)]
    pub norm: Norm,
    /// Seed of a random mask
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub mask_seed: u64,
    /// Lowest and highest coordinate on both axes
    #[arg(
        long,
        default_value = "-1,1",
        value_name = "LO,HI",
        value_delimiter = ',',
        num_args = 1,
        allow_hyphen_values = true
    )]
    pub span: Vec<f64>,
    /// Points per axis
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub resolution: usize,
    /// The coordinates themselves, for both axes
    #[arg(long, value_name = "A,B,..", value_delimiter = ',', num_args = 1, allow_hyphen_values = true,
          conflicts_with_all = ["span", "resolution"])]
    pub coords: Vec<f64>,
    /// Also write SURFACE.examples.safetensors: the loss of each example at each point, which paired comparisons need
    #[arg(long)]
    pub per_example: bool,
    /// Seed of the directions, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The surface to write (.csv); a .json with centre, norms, counts and hashes goes beside it
    #[arg(long, value_name = "SURFACE.csv")]
    pub out: PathBuf,
}

/// Lengths of one direction, over the effective parameters.
#[derive(Serialize)]
struct Norms {
    /// `‖d‖` without a mask.
    unmasked: f64,
    /// `‖d ⊙ m‖` as evaluated.
    evaluated: f64,
    /// `‖d ⊙ m‖ / ‖d‖` before any matching.
    ratio: f64,
}

impl Surface {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "csv")?;
        let coordinates = self.coordinates()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open(self.seed)?;
        provenance.input("checkpoint", &model.hash);
        provenance.input("set", &set.hash);
        let choice = self.choose(&model.theta, &mut provenance)?;
        let (plane, mut about) = self.plane(&model, &set, choice)?;
        let inputs = files::hash(format!("{about}{coordinates:?}{}", self.per_example).as_bytes());
        let by_length = set.by_length();
        let plan = Plan {
            theta: &model.theta,
            examples: &set.examples,
            by_length: &by_length,
            plane: &plane,
            coordinates: [&coordinates, &coordinates],
            per_example: self.per_example,
        };
        self.announce(&model, &plan)?;
        let journal = self.out.with_extension("csv.unfinished");
        let surface = plan.evaluate(&model.bert, &journal, &inputs)?;
        about["centre"] = json!({"loss": surface.centre.loss, "loss_se": surface.centre.loss_se});
        files::write(&self.out.with_extension("json"), format!("{about:#}\n").as_bytes())?;
        let examples = rise::examples_path(&self.out);
        match &surface.by_example {
            Some(losses) => {
                losses.write(&examples, &BTreeMap::from([("set".to_string(), set.hash.clone())]))?
            }
            // An earlier run's would be taken for this one's.
            None => files::remove(&examples)?,
        }
        files::write_csv(&self.out, &surface.points)?;
        provenance.write(&provenance::beside(&self.out))?;
        files::remove(&journal)?;
        self.summarise(&surface);
        Ok(())
    }

    /// Says what it will take.
    fn announce(&self, model: &Model, plan: &Plan) -> Result<()> {
        let points = plan.coordinates.iter().map(|c| c.len()).product::<usize>();
        let each = estimate::seconds_each(&model.bert, plan.theta, plan.examples, plan.by_length)?
            * estimate::tokens(plan.examples) as f64;
        let batch = estimate::activations(&model.bert.config, plan.examples, evaluate::BATCH.1, false);
        let bytes =
            params::bytes(plan.theta) + plan.plane.bytes(plan.theta) + rayon::current_num_threads() * batch;
        estimate::tell(&format!("surface of {points} points"), each * points as f64, bytes);
        Ok(())
    }

    pub(super) fn coordinates(&self) -> Result<Vec<f64>> {
        let wrong = |option: &str, expected: &str, found: String| {
            Err(Error::field(option, "coordinates", expected, found, "see `fisherscape surface --help`"))
        };
        if !self.coords.is_empty() {
            let ascending =
                self.coords.windows(2).all(|w| w[0] < w[1]) && self.coords.iter().all(|c| c.is_finite());
            return match ascending {
                true => Ok(self.coords.clone()),
                false => wrong("--coords", "finite, ascending and distinct", format!("{:?}", self.coords)),
            };
        }
        match self.span[..] {
            [low, high]
                if low < high
                    && low.is_finite()
                    && high.is_finite()
                    && (2..=1000).contains(&self.resolution) =>
            {
                let last = (self.resolution - 1) as f64;
                Ok((0..self.resolution).map(|i| low + (high - low) * (i as f64 / last)).collect())
            }
            [low, high] if low < high => {
                wrong("--resolution", "from 2 to 1000 points", self.resolution.to_string())
            }
            _ => wrong("--span", "two finite numbers, the lower first", format!("{:?}", self.span)),
        }
    }

    fn directions(&self, theta: &ParamMap) -> Result<[Direction; 2]> {
        let directions = match &self.directions {
            Some(path) => direction::read(path, theta)?,
            None => {
                let random = |axis| direction::random(theta, self.seed, axis, self.normalize, self.vectors);
                [random("x")?, random("y")?]
            }
        };
        if let Some(path) = &self.save_directions {
            check_extension("--save-directions", path, "safetensors")?;
            direction::write(path, &directions, theta)?;
        }
        Ok(directions)
    }

    /// The parameters that the directions move and the set reaches; at least one on each axis.
    fn effective(&self, model: &Model, set: &FrozenSet, directions: &[Direction; 2]) -> Result<Flags> {
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let effective = mask::effective(&model.theta, directions, |name| model.bert.reached(name, &examples));
        for (axis, direction) in ["x", "y"].iter().zip(directions) {
            if mask::effective_norm(direction, &effective).1 == 0 {
                let place =
                    self.directions.as_ref().map_or("directions".into(), |path| path.display().to_string());
                let fix = "give directions that move parameters which the set reaches";
                return Err(Error::field(place, axis, "at least 1 effective parameter", "none", fix));
            }
        }
        Ok(effective)
    }

    /// What the mask selects by Fisher information, which is needed no longer after that.
    fn choose(&self, theta: &ParamMap, provenance: &mut Provenance) -> Result<Choice> {
        let by_fisher = matches!(self.mask, Select::Top(_) | Select::Bottom(_));
        let path = self.fisher.as_ref().filter(|_| self.mask != Select::All);
        if path.is_none() && by_fisher {
            let fix = "give --fisher F.safetensors, as `fisherscape fisher` writes it";
            let expected = format!("given for {}", self.mask);
            return Err(Error::field("--mask", "Fisher information", expected, "none", fix));
        }
        if let Some(path) = path {
            provenance.input("fisher", files::hash_file(path)?);
        }
        let fisher = path.map(|path| fisher_files::read_for(path, theta)).transpose()?;
        Choice::new(self.mask, self.granularity, theta, fisher.as_ref(), self.mask_seed)
    }

    /// The plane that the mask leaves of the directions, and what the surface depends on.
    fn plane(&self, model: &Model, set: &FrozenSet, choice: Choice) -> Result<(Plane, Value)> {
        let directions = self.directions(&model.theta)?;
        let effective = self.effective(model, set, &directions)?;
        let mask = choice.mask(&effective)?;
        let (directions, norms) = self.masked(directions, &mask, &effective);
        self.tell(&mask, &norms);
        Ok((Plane::new(directions), self.about(model, set, &mask, &norms)?))
    }

    fn masked(
        &self,
        directions: [Direction; 2],
        mask: &Mask,
        effective: &Flags,
    ) -> ([Direction; 2], [Norms; 2]) {
        let [x, y] = directions.map(|d| {
            let unmasked = mask::effective_norm(&d, effective).0;
            let (mut masked, ratio) = mask.apply(d, effective, self.norm);
            mask::keep_effective(&mut masked, effective);
            let evaluated = mask::effective_norm(&masked, effective).0;
            (masked, Norms { unmasked, evaluated, ratio })
        });
        ([x.0, y.0], [x.1, y.1])
    }

    /// Everything that the surface depends on, and what was chosen: SURFACE.json without the centre.
    fn about(&self, model: &Model, set: &FrozenSet, mask: &Mask, [x, y]: &[Norms; 2]) -> Result<Value> {
        let fisher = self.fisher.as_ref().filter(|_| self.mask != Select::All);
        let fisher = fisher.map(|path| files::hash_file(path)).transpose()?;
        let source = match &self.directions {
            Some(path) => json!({"file": files::hash_file(path)?}),
            None => json!({"normalize": self.normalize, "vectors": self.vectors, "seed": self.seed}),
        };
        Ok(json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "head_seed": self.seed,
            "set": {
                "hash": set.hash,
                "examples": set.examples.iter().filter(|e| e.targets() > 0).count(),
                "targets": set.examples.iter().map(Example::targets).sum::<usize>(),
            },
            "directions": source,
            "norms": {"x": x, "y": y},
            "mask": {
                "select": self.mask.to_string(),
                "granularity": self.granularity,
                "norm": self.norm,
                "seed": self.mask_seed,
                "fisher": fisher,
                "counts": mask.report,
            },
        }))
    }

    fn tell(&self, mask: &Mask, [x, y]: &[Norms; 2]) {
        let report = &mask.report;
        say!(
            "mask {}{}: {} of {} parameters, {} of {} effective",
            self.mask,
            if self.granularity == By::Tensor { " by tensor" } else { "" },
            report.selected,
            report.parameters,
            report.selected_effective,
            report.effective
        );
        if let (Some(threshold), Some(ties)) = (report.threshold, report.ties) {
            say!("F at the edge {threshold:.4e} ({ties} at that value)");
        }
        if let Some(zeros) = report.zeros {
            say!("selected with F = 0: {zeros}");
        }
        say!("norm ratio |d m| / |d|: x {:.6}, y {:.6}", x.ratio, y.ratio);
        if self.norm == Norm::Matched {
            say!("matched to |d m|: x {:.6}, y {:.6}", x.evaluated, y.evaluated);
        }
    }

    fn summarise(&self, surface: &Evaluated) {
        let finite = surface.points.iter().filter(|p| p.loss.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.loss), high.max(p.loss)));
        let bad = surface.points.iter().filter(|p| !p.loss.is_finite()).count();
        say!("centre {}", with_se(surface.centre.loss, surface.centre.loss_se));
        say!("lowest {low:.6}, highest {high:.6} of {} points", surface.points.len());
        if bad > 0 {
            say!("{bad} points are not finite");
        }
        say!("{}", self.out.display());
    }
}
