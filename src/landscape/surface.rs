//! The loss on a grid of points `θ + a d₁ + b d₂ + c d₃`, with a standard error at each.
//!
//! θ is never changed: each point forms its own copies of the tensors that move, so there is nothing to restore. The
//! result does not depend on the number of threads: batches are fixed, and examples are added in order. Finished
//! points go to a journal beside the result; a killed run resumes from there, with the same bytes at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::journal::Journal;
use super::plane::Plane;
use super::refine::{self, Cells, Place};
use super::rise::ByExample;
use super::sample::Sample;
use crate::data::{self, Example};
use crate::error::Result;
use crate::evaluate::{Evaluator, SetLoss, metrics};
use crate::files;
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress};
use crate::tasks::Scoring;

/// One evaluated point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub z: f64,
    pub loss: f64,
    pub loss_se: f64,
    /// In the order of [`Surface::metrics`].
    pub metrics: Vec<f64>,
    /// Of a sampled surface.
    pub sampled: Option<Sampled>,
}

/// What a point of a sampled surface rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// That were evaluated.
    pub examples: usize,
    /// Standard error of the difference from the centre.
    pub difference_se: f64,
}

/// Points on a grid, z outer, then y, x inner, and the centre (0, 0, 0). A plane has the one z 0, a profile the one y 0 as well.
#[derive(Clone, Debug)]
pub struct Surface {
    pub points: Vec<Point>,
    /// Row and column of each in the grid of all coordinates; the rows of the second z follow those of the first.
    pub places: Vec<Place>,
    pub centre: Point,
    /// Names of the task's metrics, the chief one first.
    pub metrics: Vec<String>,
    /// Where asked for.
    pub by_example: Option<ByExample>,
}

/// What is evaluated.
pub struct Plan<'a> {
    pub theta: &'a ParamMap,
    pub examples: &'a [Example],
    pub by_length: &'a [usize],
    pub scoring: Scoring,
    pub plane: &'a Plane,
    /// Coordinates along x, y and z; along a direction that is not there only 0.
    pub coordinates: [&'a [f64]; 3],
    /// Of every 2^refine-th coordinate all points are evaluated, then others in so many rounds, where the surface bends. Not of a volume.
    pub refine: usize,
    /// Keep the loss of each example at each point; not of a sample.
    pub per_example: bool,
    /// Where points need not have all examples.
    pub sample: Option<&'a Sample<'a>>,
}

impl Plan<'_> {
    /// Evaluates every grid point, and (0, 0, 0) if it is not one of them.
    ///
    /// `journal` is the file of finished points and `inputs` what identifies them: a journal of other inputs is
    /// never continued.
    pub fn evaluate(&self, objective: &dyn Objective, journal: &Path, inputs: &str) -> Result<Surface> {
        let all = self.begun();
        let mut parts = self.parts(journal, inputs)?;
        let mut journal = Journal::open(journal, inputs)?;
        let before = journal.left() + parts.len();
        if before > 0 {
            let least = if self.refine > 0 { "at least " } else { "" };
            progress::note(format!("resuming after {before} of {least}{} points", all.len()));
        }
        let progress = Progress::new("surface (points)", all.len().saturating_sub(before));
        let evaluator = self.evaluator(objective, self.refine > 0 || all.len() > before + 1)?;
        let mut left = journal.left();
        let mut evaluate = |at: [f64; 3], progress: &Progress| -> Result<Vec<f64>> {
            let fits = |values: &[f64]| self.fits(values, at);
            let values = journal.unit(fits, || self.point(objective, &evaluator, at))?;
            match left {
                0 => progress.advance(1),
                _ => left -= 1,
            }
            Ok(values)
        };
        let mut begun = Vec::new();
        for (i, at) in all.iter().enumerate() {
            begun.push(parts.remove(&i).map_or_else(|| evaluate(*at, &progress), Ok)?);
        }
        drop(progress);
        // The centre stands beside the grid, never as a row of it.
        let centre =
            all.iter().position(|at| *at == CENTRE).and_then(|i| begun.get(i).cloned()).unwrap_or_default();
        let mut done: BTreeMap<Place, Vec<f64>> = self.first().into_iter().zip(begun).collect();
        self.refined(&mut done, evaluate)?;
        Ok(self.surface(done, &centre))
    }

    /// Evaluates more points where the surface bends, round after round.
    fn refined(
        &self,
        done: &mut BTreeMap<Place, Vec<f64>>,
        mut evaluate: impl FnMut([f64; 3], &Progress) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let [xs, ys, _] = self.coordinates;
        let mut loss: BTreeMap<Place, f64> =
            done.iter().map(|(place, values)| (*place, values[LOSS])).collect();
        let least = refine::least(&loss, self.sample.map_or(0.0, |sample| sample.tolerance));
        let mut cells = Cells::all((ys.len(), xs.len()), 1 << self.refine);
        for round in 1..=self.refine {
            let bent = cells.bent(&loss, least);
            let more = bent.middles(&loss);
            let progress = Progress::new(format!("surface, round {round} (points)"), more.len());
            for place in more {
                let values = evaluate(self.at(place), &progress)?;
                loss.insert(place, values[LOSS]);
                done.insert(place, values);
            }
            cells = bent.quarters();
        }
        Ok(())
    }

    /// The surface of these numbers.
    fn surface(&self, done: BTreeMap<Place, Vec<f64>>, centre: &Vec<f64>) -> Surface {
        let names: Vec<String> = self.scoring.metrics.iter().map(|metric| metric.name.to_string()).collect();
        let examples = self.kept_examples();
        let point = |values: &Vec<f64>| Point {
            x: values[0],
            y: values[1],
            z: values[2],
            loss: values[LOSS],
            loss_se: values[LOSS + 1],
            metrics: values[HEAD..HEAD + names.len()].to_vec(),
            sampled: match values[HEAD + names.len()..] {
                [examples, difference_se] if self.sample.is_some() => {
                    Some(Sampled { examples: examples as usize, difference_se })
                }
                _ => None,
            },
        };
        let sums = |values: &Vec<f64>| values[values.len() - examples..].to_vec();
        let targets = self.examples.iter().map(Example::targets).filter(|m| *m > 0);
        let by_example = self.per_example.then(|| ByExample {
            targets: targets.map(|m| m as f64).collect(),
            centre: sums(centre),
            points: done.values().map(|values| [values[0], values[1], values[2]]).collect(),
            sums: done.values().flat_map(sums).collect(),
            clusters: data::clusters(self.examples.iter().filter(|e| e.targets() > 0)),
        });
        let (points, centre) = (done.values().map(point).collect(), point(centre));
        Surface { points, centre, places: done.into_keys().collect(), metrics: names, by_example }
    }

    /// Evaluates the points `k`, `k + n` ... (`k` from 0) of those that [`evaluate`](Self::evaluate) begins with, to a journal of its
    /// own, which that takes. Says how many there are of how many.
    pub fn slice(
        &self,
        objective: &dyn Objective,
        journal: &Path,
        inputs: &str,
        (k, n): (usize, usize),
    ) -> Result<(usize, usize)> {
        let all = self.begun();
        let own: Vec<[f64; 3]> = all.iter().copied().skip(k).step_by(n).collect();
        let mut journal = Journal::open(&part_path(journal, (k, n)), inputs)?;
        let before = journal.left().min(own.len());
        let progress = Progress::new("surface (points)", own.len() - before);
        let evaluator = self.evaluator(objective, own.len() > before + 1)?;
        for (i, &at) in own.iter().enumerate() {
            journal.unit(|values| self.fits(values, at), || self.point(objective, &evaluator, at))?;
            if i >= before {
                progress.advance(1);
            }
        }
        Ok((own.len(), all.len()))
    }

    /// The places that are evaluated whatever the loss: z outer, then y, x inner.
    fn first(&self) -> Vec<Place> {
        let ([xs, ys, zs], step) = (self.coordinates, 1 << self.refine);
        let row = |row| (0..xs.len()).step_by(step).map(move |ix| (row, ix));
        (0..ys.len() * zs.len()).step_by(step).flat_map(row).collect()
    }

    fn at(&self, (row, ix): Place) -> [f64; 3] {
        let [xs, ys, zs] = self.coordinates;
        [xs[ix], ys[row % ys.len()], zs[row / ys.len()]]
    }

    /// The points that a surface begins with: those places, and the centre behind them unless it is one.
    fn begun(&self) -> Vec<[f64; 3]> {
        let mut all: Vec<[f64; 3]> = self.first().into_iter().map(|place| self.at(place)).collect();
        if !all.contains(&CENTRE) {
            all.push(CENTRE);
        }
        all
    }

    /// What other processes have finished of [`begun`](Self::begun), by number.
    fn parts(&self, journal: &Path, inputs: &str) -> Result<BTreeMap<usize, Vec<f64>>> {
        let all = self.begun();
        let mut found = BTreeMap::new();
        for (path, (k, n)) in part_paths(journal)? {
            let Some(finished) = Journal::finished(&path, inputs)? else {
                let why = "is of other inputs, or of another kind of processor or device: its points are computed anew";
                progress::note(format!("{} {why}", path.display()));
                continue;
            };
            for (i, values) in (k..).step_by(n).zip(finished) {
                if all.get(i).is_some_and(|at| self.fits(&values, *at)) {
                    found.insert(i, values);
                }
            }
        }
        Ok(found)
    }

    /// What evaluates points; `often` where it pays to keep what stays the same.
    fn evaluator(&self, objective: &dyn Objective, often: bool) -> Result<Evaluator<'_>> {
        let mut evaluator = match self.sample {
            Some(sample) => Evaluator::in_blocks(self.examples, &sample.blocks),
            None => Evaluator::new(self.examples, self.by_length),
        };
        if often {
            // As much again as the parameters, at most.
            let bytes = params::bytes(self.theta);
            evaluator.keep_still(objective, self.theta, |name| self.plane.moves(name), bytes)?;
        }
        Ok(evaluator)
    }

    /// Examples whose losses are kept at each point.
    fn kept_examples(&self) -> usize {
        if self.per_example { self.examples.iter().filter(|e| e.targets() > 0).count() } else { 0 }
    }

    /// Whether these are the numbers of a point there.
    fn fits(&self, values: &[f64], at: [f64; 3]) -> bool {
        let sampled = if self.sample.is_some() { SAMPLED } else { 0 };
        let length = HEAD + self.scoring.metrics.len() + sampled + self.kept_examples();
        values.len() == length && values[..3] == at
    }

    /// x, y, z, loss and its standard error; the metrics; of a sample what it rests on; `s_n` of each example, where that is kept.
    fn point(&self, objective: &dyn Objective, evaluator: &Evaluator, place: [f64; 3]) -> Result<Vec<f64>> {
        let theta = self.plane.at(self.theta, &place)?;
        let Some(sample) = self.sample else {
            let at = evaluator.loss(objective, &theta)?;
            let mut values = self.values(place, (at.loss, at.loss_se), &at);
            values.extend(at.by_example.iter().filter(|_| self.per_example).map(|(sum, _)| sum));
            return Ok(values);
        };
        // The centre is what all others are measured from.
        let is_centre = place == CENTRE;
        let at = evaluator.loss_until(objective, &theta, |at| !is_centre && sample.is_enough(at))?;
        let difference = sample.difference(&at);
        let mut values = self.values(place, sample.loss(&at, &difference), &at);
        values.extend([at.examples as f64, difference.se]);
        Ok(values)
    }

    fn values(&self, [x, y, z]: [f64; 3], (loss, se): (f64, f64), at: &SetLoss) -> Vec<f64> {
        let metrics = metrics(&self.scoring, at, self.examples).into_iter().map(|(_, value)| value);
        [x, y, z, loss, se].into_iter().chain(metrics).collect()
    }
}

/// The journal of part `k` (from 0) of `n`, beside that of the whole.
fn part_path(journal: &Path, (k, n): (usize, usize)) -> PathBuf {
    files::with_ending(journal, format!("{}-{n}", k + 1))
}

/// The journals of parts beside that of the whole, and which parts they are.
pub fn part_paths(journal: &Path) -> Result<Vec<(PathBuf, (usize, usize))>> {
    let stem = format!("{}.", journal.file_name().unwrap_or_default().to_string_lossy());
    let part = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(&stem)?.split_once('-')?;
        let (k, n): (usize, usize) = (name.0.parse().ok()?, name.1.parse().ok()?);
        (1..=n).contains(&k).then_some((k - 1, n))
    };
    let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody has been there yet.
    let all = if files::is_folder(folder) { files::list(folder)? } else { Vec::new() };
    Ok(all.into_iter().filter_map(|path| part(&path).map(|part| (path, part))).collect())
}

/// The model itself.
const CENTRE: [f64; 3] = [0.0; 3];
/// Where the loss stands among the numbers of a point.
const LOSS: usize = 3;
/// Numbers of a point before its metrics.
const HEAD: usize = 5;
/// Numbers behind its metrics of a point of a sample.
const SAMPLED: usize = 2;
