//! `surface`: the loss on a plane, a line or in a volume through a checkpoint, in all or in masked parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::moving::{Gaussian, GaussianOptions, Moving};
use super::options::defaults;
use super::slice::{self, Slice};
use super::{ModelAndSet, about_set, check_extension, check_finite, with_se};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Problem, Result};
use crate::landscape::directions::file::AXES;
use crate::landscape::directions::{self, Direction};
use crate::landscape::mask::{self, Choice, Flags, Mask, Norm};
use crate::landscape::plane::Plane;
use crate::landscape::refine;
use crate::landscape::rise;
use crate::landscape::sample::{self, Sample};
use crate::landscape::surface::{self, Plan, Surface as Evaluated};
use crate::model::{Head, Model, Wanted};
use crate::params;
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::tables::surface::{DIFFERENCE_SE, EXAMPLES, Format, Grid, LEVEL, LOSS_SE};
use crate::tasks::classes::{ACCURACY, is_below_chance};
use crate::{estimate, evaluate, files, tables};

/// Loss surface of a checkpoint over a frozen set, along two directions, its profile along one, or a volume along three.
#[derive(clap::Args, Clone, Debug)]
pub struct Surface {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Directions x.NAME and y.NAME, with --volume z.NAME too, used as they are
    #[arg(long, value_name = "D.safetensors", conflicts_with_all = ["normalize", "vectors", "reference"])]
    pub directions: Option<PathBuf>,
    /// Write the directions, unmasked, for --directions of other checkpoints
    #[arg(long, value_name = "D.safetensors")]
    pub save_directions: Option<PathBuf>,
    #[command(flatten)]
    pub gaussian: Gaussian,
    #[command(flatten)]
    pub moving: Moving,
    /// Index of the random directions and of the random mask; run several to see the spread
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub draw: usize,
    /// Move along the first direction only: a profile. Directions without y.NAME make one, too
    #[arg(long)]
    pub profile: bool,
    /// Move along a third direction, z, too: a volume. The first two directions are those of the surface with the same seed. The default
    /// of --resolution is then 9, which makes 729 points; 25 would make 15,625
    #[arg(long, conflicts_with = "profile")]
    pub volume: bool,
    #[command(flatten)]
    pub axes: AxisOptions,
    #[command(flatten)]
    pub sampling: SamplingOptions,
    /// Rounds in which cells of the grid are split in four where the surface bends by more than a hundredth of its range: the CSV holds
    /// only the evaluated points, of a grid with 2^N times the resolution
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with_all = ["coords", "profile", "volume", "per_example"])]
    pub refine: usize,
    /// Lowest and highest coordinate along the second direction, if different from --span
    #[arg(long, value_name = "LO,HI", value_delimiter = ',', num_args = 1, allow_hyphen_values = true)]
    pub y_span: Vec<f64>,
    /// The coordinates themselves, for all axes
    #[arg(long, value_name = "A,B,..", value_delimiter = ',', num_args = 1, allow_hyphen_values = true,
          conflicts_with_all = ["span", "y_span", "resolution"])]
    pub coords: Vec<f64>,
    /// Also write SURFACE.examples.safetensors: the loss of each example at each point, which paired comparisons need
    #[arg(long)]
    pub per_example: bool,
    /// Evaluate one part of N of the points only, for the same command without --slice to put together: K/N, or env for what the
    /// launcher says (an array of Slurm or SGE, mpirun, srun)
    #[arg(long, value_name = "K/N", conflicts_with = "refine")]
    pub slice: Option<Slice>,
    /// Seed of the directions, of the order in which --tolerance takes examples, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The surface to write; a .json with centre, norms, counts and hashes, and a .mask.csv of what moves go next to it
    #[arg(long, value_name = "SURFACE.csv|.h5|.npz|.vti")]
    pub out: PathBuf,
}

/// Coordinates along all axes, or along the line.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct AxisOptions {
    /// Points per axis
    #[arg(long, default_value_t = 25, default_value_if("volume", "true", "9"), value_name = "N")]
    pub resolution: usize,
    /// Lowest and highest coordinate on all axes
    #[arg(
        long,
        default_value = "-1,1",
        value_name = "LO,HI",
        value_delimiter = ',',
        num_args = 1,
        allow_hyphen_values = true
    )]
    pub span: Vec<f64>,
}

impl AxisOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        axis("span", &self.span, self.resolution).map(drop)
    }
}

/// Points on a part of the examples.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct SamplingOptions {
    /// Stop each point once its loss minus the centre's has a standard error below this, in the unit of the loss (nats): examples come in
    /// one random order, at least 32 of them [default: all examples at every point]
    #[arg(long, value_name = "NATS", allow_hyphen_values = true)]
    pub tolerance: Option<f64>,
}

impl SamplingOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        match self.tolerance {
            Some(found) if !(found > 0.0 && found.is_finite()) => {
                let fix = "leave it out to evaluate all examples at every point";
                Err(Problem::new("tolerance", "number", "above 0 and finite", found, fix))
            }
            _ => Ok(()),
        }
    }
}

/// Evenly spaced coordinates; `option` gives the span.
fn axis(option: &'static str, span: &[f64], points: usize) -> Result<Vec<f64>, Problem> {
    let wrong = |option, expected, found: String| {
        Err(Problem::new(option, "coordinates", expected, found, "see `fisherscape surface --help`"))
    };
    match span[..] {
        [low, high] if low < high && low.is_finite() && high.is_finite() => match points {
            2..=1000 => {
                let last = (points - 1) as f64;
                Ok((0..points).map(|i| low + (high - low) * (i as f64 / last)).collect())
            }
            _ => wrong("resolution", "from 2 to 1000 points", points.to_string()),
        },
        _ => wrong(option, "two finite numbers, the lower first", format!("{span:?}")),
    }
}

/// Points along an axis of a volume at most: a million in all.
const MOST_ALONG: usize = 100;

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

/// Directions within the mask, and what there is to know about them.
struct Masked {
    /// Of the directions without the mask.
    hash: String,
    directions: Vec<Direction>,
    norms: Vec<Norms>,
    mask: Mask,
    effective: Flags,
}

impl Surface {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        let choice = self.moving.choose(&model.theta, self.draw, &mut provenance)?;
        let masked = self.masked(&model, &set, choice, &mut provenance)?;
        let moved = mask::moved(&model.theta, &masked.mask, &masked.effective, &masked.directions);
        let mut about = self.about(&model, &set, &masked)?;
        let axes @ [xs, ys, zs] = &self.coordinates(masked.directions.len())?;
        if self.refine > 0 && masked.directions.len() < 2 {
            let fix = "leave it out, and give --resolution";
            return Err(Error::said("--refine", "a profile has one direction; --refine needs two", fix));
        }
        // A line has few points, and barriers and bands need the examples of each.
        let per_example =
            self.per_example || masked.directions.len() == 1 && self.sampling.tolerance.is_none();
        // The version, through `about`, stands for how points are computed.
        let inputs = files::hash(format!("{about}{axes:?}{per_example}").as_bytes());
        let by_length = set.by_length();
        // Around a model that has diverged there is nothing to see, which is known before all points are.
        let centre = evaluate::set_loss(model.objective(), &model.theta, &set.examples, &by_length)?;
        check_finite(&self.inputs.checkpoint, centre.loss)?;
        let sample = self.sampling.tolerance.map(|nats| Sample::new(nats, &set.examples, self.seed, &centre));
        let plan = Plan {
            theta: &model.theta,
            examples: &set.examples,
            by_length: &by_length,
            scoring: set.scoring(),
            plane: &Plane::new(masked.directions),
            coordinates: [xs, ys, zs],
            refine: self.refine,
            per_example,
            sample: sample.as_ref(),
        };
        self.announce(&model, &plan)?;
        let journal = self.beside("unfinished");
        if let Some(slice) = self.slice {
            let part = (slice.number - 1, slice.of);
            let (own, all) = plan.slice(model.objective(), &journal, &inputs, part)?;
            let out = slice.of_result(&self.out);
            say!("{out}: {own} of {all} points; {}", slice::TOGETHER);
            progress::answer(|| json!({"out": out, "points": own, "of": all}));
            return Ok(());
        }
        let surface = plan.evaluate(model.objective(), &journal, &inputs)?;
        about["centre"] = json!({"loss": surface.centre.loss, "loss_se": surface.centre.loss_se});
        for (name, value) in surface.metrics.iter().zip(&surface.centre.metrics) {
            warn_below_chance(&model, name, *value, set.examples.len());
            about["centre"][name] = json!(value);
        }
        let work = Work::of(&surface, centre.examples);
        if self.refine > 0 {
            about["refine"]["points"] = json!(surface.points.len());
            about["refine"]["of"] = json!(xs.len() * ys.len());
        }
        if let Some(work) = &work {
            about["sample"]["evaluated"] = json!(work.evaluated);
            about["sample"]["of"] = json!(work.of);
        }
        files::write(&self.out.with_extension("json"), format!("{about:#}\n").as_bytes())?;
        files::write_csv(&self.out.with_extension("mask.csv"), &moved)?;
        let examples = rise::examples_path(&self.out);
        match &surface.by_example {
            Some(losses) => {
                losses.write(&examples, &BTreeMap::from([("set".to_string(), set.hash.clone())]))?
            }
            // An earlier run's would be taken for this one's.
            None => files::remove(&examples)?,
        }
        grid(axes, self.volume, &surface, self.refine).write(&self.out)?;
        provenance.write(&provenance::beside(&self.out))?;
        files::remove(&journal)?;
        for (path, _) in surface::part_paths(&journal)? {
            files::remove(&path)?;
        }
        let (lowest, highest) = self.summarise(&surface, work);
        if self.refine > 0 {
            say!("evaluated {} of {} points of the fine grid", surface.points.len(), xs.len() * ys.len());
        }
        say!("{}", self.out.display());
        let finite = surface.points.iter().filter(|p| p.loss.is_finite()).count();
        (about["lowest"], about["highest"]) = (json!(lowest), json!(highest));
        (about["points"], about["finite"]) = (json!(surface.points.len()), json!(finite));
        about["out"] = json!(self.out);
        progress::answer(|| about);
        Ok(())
    }

    /// SURFACE.csv.EXTENSION
    fn beside(&self, extension: &str) -> PathBuf {
        files::with_ending(&self.out, extension)
    }

    /// Says what it will take.
    fn announce(&self, model: &Model, plan: &Plan) -> Result<()> {
        // Of a refined surface those of the first grid: how many more there will be is not known.
        let points =
            plan.coordinates.iter().map(|c| (c.len() - 1) / (1 << plan.refine) + 1).product::<usize>();
        let each = estimate::seconds_each(model.objective(), plan.theta, plan.examples, plan.by_length)?
            * estimate::tokens(plan.examples) as f64;
        let batch = model.activations(plan.examples, evaluate::BATCH.1, Wanted::Losses);
        let bytes =
            params::bytes(plan.theta) + plan.plane.bytes(plan.theta) + rayon::current_num_threads() * batch;
        let most = if plan.sample.is_some() { ", at most" } else { "" };
        estimate::tell(&format!("surface of {points} points{most}"), each * points as f64, bytes);
        Ok(())
    }

    /// What is wrong with the options themselves.
    pub(super) fn check(&self) -> Result<()> {
        if Format::of(&self.out).is_none() {
            let fix = format!("name it {}", self.out.with_extension("csv").display());
            let expected = "one that ends in .csv, .h5, .npz or .vti";
            return Err(Error::field("--out", "file name", expected, self.out.display(), fix));
        }
        self.sampling.check()?;
        self.check_refine()?;
        self.check_volume()?;
        if self.per_example && self.sampling.tolerance.is_some() {
            let fix = "leave out one of them: comparisons by example need every example at every point";
            return Err(Error::said("--tolerance", "it cannot be given together with --per-example", fix));
        }
        let [x, y, _] = self.coordinates(2)?;
        tables::surface::check_axis(&self.out, "x", &x)?;
        tables::surface::check_axis(&self.out, "y", &y)
    }

    fn check_volume(&self) -> Result<()> {
        if self.volume && Format::of(&self.out) == Some(Format::Hdf5) {
            return Err(tables::surface::no_volume(&self.out));
        }
        let along = self.along();
        if self.volume && along > MOST_ALONG {
            let fix = "give --resolution 9, which makes 729 points, or leave out --volume";
            let expected = format!("at most {MOST_ALONG} points per axis of a volume");
            return Err(Error::field("--resolution", "coordinates", expected, along, fix));
        }
        Ok(())
    }

    fn check_refine(&self) -> Result<()> {
        let wrong = |option, expected: String, found: String, fix| {
            Err(Error::field(option, "refined surface", expected, found, fix))
        };
        if self.refine > refine::MOST {
            let fix = "each round halves the steps: three are plenty";
            return wrong(
                "--refine",
                format!("of at most {} rounds", refine::MOST),
                self.refine.to_string(),
                fix,
            );
        }
        if self.refine > 0 && self.axes.resolution < 3 {
            let fix =
                "give --resolution 5 or more: three points are needed to see whether they lie on a line";
            return wrong(
                "--resolution",
                "of at least 3 points per axis".into(),
                self.axes.resolution.to_string(),
                fix,
            );
        }
        if self.refine > 0 && Format::of(&self.out) != Some(Format::Csv) {
            let fix = "name it SURFACE.csv: the other formats hold full grids";
            return wrong("--out", "a .csv".into(), self.out.display().to_string(), fix);
        }
        Ok(())
    }

    /// Points per axis, once all rounds are done.
    fn points(&self) -> usize {
        // A resolution out of its range is refused as it is.
        match self.axes.resolution {
            0 | 1001.. => self.axes.resolution,
            points => ((points - 1) << self.refine) + 1,
        }
    }

    /// Points along an axis.
    fn along(&self) -> usize {
        if self.coords.is_empty() { self.points() } else { self.coords.len() }
    }

    /// Whether every point is evaluated, on every example.
    pub(super) fn is_whole(&self) -> bool {
        self.refine == 0 && self.sampling.tolerance.is_none()
    }

    /// Points that may be evaluated apart. (A file of one direction makes fewer of them than this.)
    pub(super) fn points_apart(&self) -> usize {
        let along = self.along();
        match self.refine {
            0 if self.profile => along,
            0 if self.volume => along.saturating_pow(3),
            0 => along * along,
            _ => 1,
        }
    }

    /// Coordinates along x, y and z for this many directions; along a missing one only the origin.
    fn coordinates(&self, directions: usize) -> Result<[Vec<f64>; 3]> {
        let (span, points) = (&self.axes.span, self.points());
        let [x, y, z] = if !self.coords.is_empty() {
            let ascending = self.coords.windows(2).all(|w| w[0] < w[1]);
            if !(ascending && self.coords.iter().all(|c| c.is_finite())) {
                let (expected, found) = ("finite, ascending and distinct", format!("{:?}", self.coords));
                let fix = "see `fisherscape surface --help`";
                return Err(Error::field("--coords", "coordinates", expected, found, fix));
            }
            [(); 3].map(|()| self.coords.clone())
        } else {
            let y_span = if self.y_span.is_empty() { span } else { &self.y_span };
            let x = axis("span", span, points)?;
            [x.clone(), axis("y_span", y_span, points)?, x]
        };
        let only = |there: bool, axis| if there { axis } else { vec![0.0] };
        Ok([x, only(directions > 1, y), only(directions > 2, z)])
    }

    /// One direction, two or three.
    fn directions(
        &self,
        model: &Model,
        set: &FrozenSet,
        provenance: &mut Provenance,
    ) -> Result<Vec<Direction>> {
        let theta = &model.theta;
        let wanted = if self.profile { 1 } else { 2 + usize::from(self.volume) };
        let mut all = match &self.directions {
            Some(path) => {
                provenance.input_file("directions", path)?;
                let all = directions::file::read(path, theta)?;
                self.check_number(path, all.len())?;
                all
            }
            None => {
                let missing = self.inputs.head.missing(self.seed);
                let (weights, hash) = self.gaussian.weights(model, set, missing)?;
                hash.iter()
                    .zip(&self.gaussian.reference)
                    .try_for_each(|(hash, path)| provenance.checkpoint("reference", path, hash))?;
                let draw = |axis| self.gaussian.draw(model.objective(), &weights, self.seed, axis, self.draw);
                AXES.into_iter().take(wanted).map(draw).collect::<Result<_>>()?
            }
        };
        if let Some(path) = &self.save_directions {
            check_extension("--save-directions", path, "safetensors")?;
            directions::file::write(path, &all, theta)?;
        }
        all.truncate(wanted);
        Ok(all)
    }

    /// Whether a file of so many directions has as many as a volume needs, and no more than another surface takes.
    fn check_number(&self, path: &Path, number: usize) -> Result<()> {
        let wrong = |sentence: &str, fix| Err(Error::said(path.display(), sentence, fix));
        match number {
            3.. if !self.volume && !self.profile => {
                wrong("it has a third direction, z.NAME", "add --volume, or take the z.NAME out of the file")
            }
            ..3 if self.volume => wrong(
                "it has no third direction z.NAME, which a volume needs",
                "leave out --volume, add z.NAME to the file, or leave out --directions for random ones",
            ),
            _ => Ok(()),
        }
    }

    /// The directions that the mask leaves; at least one effective parameter on each.
    fn masked(
        &self,
        model: &Model,
        set: &FrozenSet,
        choice: Choice,
        provenance: &mut Provenance,
    ) -> Result<Masked> {
        let directions = self.directions(model, set, provenance)?;
        let hash = directions::hash(&directions);
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let effective =
            mask::effective(&model.theta, &directions, |name| model.objective().reached(name, &examples));
        for (axis, direction) in AXES.iter().zip(&directions) {
            if mask::effective_norm(direction, &effective).1 == 0 {
                let place =
                    self.directions.as_ref().map_or("directions".into(), |path| path.display().to_string());
                let fix = "give directions that move parameters which the set reaches";
                return Err(Error::field(place, axis, "at least 1 effective parameter", "none", fix));
            }
        }
        let mask = choice.mask(&effective)?;
        let one = |d: Direction| {
            let unmasked = mask::effective_norm(&d, &effective).0;
            let (mut masked, ratio) = mask.apply(d, &effective, self.moving.options.norm);
            mask::keep_effective(&mut masked, &effective);
            let evaluated = mask::effective_norm(&masked, &effective).0;
            (masked, Norms { unmasked, evaluated, ratio })
        };
        let (directions, norms): (Vec<Direction>, Vec<Norms>) = directions.into_iter().map(one).unzip();
        self.moving.tell(&mask);
        let each = |of: fn(&Norms) -> f64| {
            let numbers = AXES.iter().zip(&norms).map(|(axis, n)| format!("{axis} {:.6}", of(n)));
            numbers.collect::<Vec<_>>().join(", ")
        };
        say!("norm ratio |d m| / |d|: {}", each(|n| n.ratio));
        if self.moving.options.norm == Norm::Matched {
            say!("matched to |d m|: {}", each(|n| n.evaluated));
        }
        Ok(Masked { hash, directions, norms, mask, effective })
    }

    /// Everything that the surface depends on, and what was chosen: SURFACE.json without the centre.
    fn about(&self, model: &Model, set: &FrozenSet, masked: &Masked) -> Result<Value> {
        let mut source = match &self.directions {
            Some(_) => json!({}),
            None => {
                let GaussianOptions { normalize, vectors } = self.gaussian.options;
                json!({"normalize": normalize, "vectors": vectors, "seed": self.seed, "draw": self.draw})
            }
        };
        source["hash"] = json!(masked.hash);
        let norms: serde_json::Map<String, Value> =
            AXES.iter().zip(&masked.norms).map(|(axis, n)| (axis.to_string(), json!(n))).collect();
        let mut about = json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "head_seed": self.seed,
            "set": about_set(set),
            "directions": source,
            "norms": norms,
            "mask": self.moving.about(&masked.mask)?,
        });
        if self.refine > 0 {
            about["refine"] = json!({"rounds": self.refine, "share": refine::SHARE});
        }
        if let Some(tolerance) = self.sampling.tolerance {
            about["sample"] = json!({"tolerance": tolerance, "first": sample::FIRST, "seed": self.seed});
        }
        Ok(about)
    }

    /// Says what was found; the lowest and the highest loss.
    fn summarise(&self, surface: &Evaluated, work: Option<Work>) -> (f64, f64) {
        let finite = surface.points.iter().filter(|p| p.loss.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.loss), high.max(p.loss)));
        let bad = surface.points.iter().filter(|p| !p.loss.is_finite()).count();
        say!("centre {}", with_se(surface.centre.loss, surface.centre.loss_se));
        say!("lowest {low:.6}, highest {high:.6} of {} points", surface.points.len());
        if bad > 0 {
            progress::excluded_result(format!("{bad} points are not finite"));
        }
        if let Some(Work { evaluated, of, whole }) = work {
            let share = 100.0 * evaluated as f64 / of as f64;
            say!(
                "evaluated {evaluated} of {of} (points x examples), {share:.1} %; {whole} of {} points took all examples",
                surface.points.len()
            );
        }
        (low, high)
    }
}

/// Evaluations of one example at one point, in a sampled surface.
struct Work {
    evaluated: usize,
    /// With all examples at every point.
    of: usize,
    /// Points that took all.
    whole: usize,
}

impl Work {
    fn of(surface: &Evaluated, examples: usize) -> Option<Work> {
        let taken: Vec<usize> =
            surface.points.iter().map(|p| Some(p.sampled?.examples)).collect::<Option<_>>()?;
        let whole = taken.iter().filter(|own| **own == examples).count();
        Some(Work { evaluated: taken.iter().sum(), of: examples * taken.len(), whole })
    }
}

/// The surface, or the volume, as files have it.
fn grid([x, y, z]: &[Vec<f64>; 3], volume: bool, surface: &Evaluated, rounds: usize) -> Grid {
    let size = x.len() * y.len() * z.len();
    // Each number where its point stands, and none elsewhere.
    let spread = |of: &dyn Fn(usize) -> f64| {
        let mut values = vec![f64::NAN; size];
        surface.places.iter().enumerate().for_each(|(k, (iy, ix))| values[iy * x.len() + ix] = of(k));
        values
    };
    let points = &surface.points;
    let mut columns = vec![(LOSS_SE.to_string(), spread(&|k| points[k].loss_se))];
    for (i, name) in surface.metrics.iter().enumerate() {
        columns.push((name.clone(), spread(&|k| points[k].metrics[i])));
    }
    if let Some(losses) = &surface.by_example {
        let errors = losses.difference_errors();
        columns.push((DIFFERENCE_SE.to_string(), spread(&|k| errors[k])));
    }
    let sampled: Option<Vec<_>> = points.iter().map(|p| p.sampled).collect();
    if let Some(sampled) = sampled {
        columns.push((EXAMPLES.to_string(), spread(&|k| sampled[k].examples as f64)));
        columns.push((DIFFERENCE_SE.to_string(), spread(&|k| sampled[k].difference_se)));
    }
    let known = (rounds > 0).then(|| {
        columns.push((LEVEL.to_string(), spread(&|k| refine::round(surface.places[k], rounds) as f64)));
        spread(&|_| 1.0).into_iter().map(|v| v == 1.0).collect()
    });
    let centre = Some(surface.centre.loss);
    let loss = spread(&|k| points[k].loss);
    let z = volume.then(|| z.clone());
    Grid { x: x.clone(), y: y.clone(), z, loss, columns, centre, known, ..Grid::default() }
}

/// A stored classifier that is clearly worse than chance numbers its classes in another order than the data, most likely.
fn warn_below_chance(model: &Model, metric: &str, value: f64, examples: usize) {
    if let (Head::Classes(classes), true) = (model.head(), model.stored_head)
        && metric == ACCURACY.name
        && is_below_chance(value, examples, classes)
    {
        progress::warn(format!(
            "the stored classifier is right for {:.1} % of the examples, clearly below chance: `fisherscape loss` says in which \
             order of classes it would fit",
            100.0 * value
        ));
    }
}
