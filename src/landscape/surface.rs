//! The loss on a grid of points `θ + a d₁ + b d₂`, with a standard error at each.
//!
//! θ is never changed: each point forms its own copies of the tensors that move, so there is nothing to restore. The
//! result does not depend on the number of threads: batches are fixed, and examples are added in order. Finished
//! points go to a journal beside the result; a killed run goes on from there, with the same bytes at the end.

use std::collections::BTreeMap;
use std::path::Path;

use super::journal::Journal;
use super::plane::Plane;
use super::refine::{self, Cells, Place};
use super::rise::ByExample;
use super::sample::Sample;
use crate::data::{self, Example};
use crate::error::Result;
use crate::evaluate::{Evaluator, SetLoss, metrics};
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress};
use crate::tasks::Scoring;

/// One evaluated point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
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

/// Points on a grid, y outer and x inner, and the centre (0, 0). A profile has the one y 0.
#[derive(Clone, Debug)]
pub struct Surface {
    pub points: Vec<Point>,
    /// Row and column of each in the grid of all coordinates.
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
    /// Coordinates along x and along y.
    pub coordinates: [&'a [f64]; 2],
    /// Of every 2^refine-th coordinate all points are evaluated, then others in so many rounds, where the surface bends.
    pub refine: usize,
    /// Keep the loss of each example at each point; not of a sample.
    pub per_example: bool,
    /// Where points need not have all examples.
    pub sample: Option<&'a Sample<'a>>,
}

impl Plan<'_> {
    /// Evaluates every grid point, and (0, 0) if it is not one of them.
    ///
    /// `journal` is the file of finished points and `inputs` what identifies them: a journal of other inputs is
    /// never continued.
    pub fn evaluate(&self, objective: &dyn Objective, journal: &Path, inputs: &str) -> Result<Surface> {
        let [xs, ys] = self.coordinates;
        let step = 1 << self.refine;
        let first: Vec<Place> = (0..ys.len())
            .step_by(step)
            .flat_map(|iy| (0..xs.len()).step_by(step).map(move |ix| (iy, ix)))
            .collect();
        let at = |(iy, ix): Place| (xs[ix], ys[iy]);
        let on_grid = first.iter().copied().find(|place| at(*place) == (0.0, 0.0));
        let total = first.len() + usize::from(on_grid.is_none());
        let mut journal = Journal::open(journal, inputs)?;
        let before = journal.left();
        if before > 0 {
            progress::note(format!(
                "going on after {before} of {}{total} points",
                if self.refine > 0 { "at least " } else { "" }
            ));
        }
        let progress = Progress::new("surface (points)", total.saturating_sub(before));
        let mut evaluator = match self.sample {
            Some(sample) => Evaluator::in_blocks(self.examples, &sample.blocks),
            None => Evaluator::new(self.examples, self.by_length),
        };
        if self.refine > 0 || total > before + 1 {
            // As much again as the parameters, at most.
            let bytes = params::bytes(self.theta);
            evaluator.keep_still(objective, self.theta, |name| self.plane.moves(name), bytes)?;
        }
        let names: Vec<String> = self.scoring.metrics.iter().map(|metric| metric.name.to_string()).collect();
        let counted = self.examples.iter().filter(|e| e.targets() > 0).count();
        let examples = if self.per_example { counted } else { 0 };
        let sampled = if self.sample.is_some() { SAMPLED } else { 0 };
        let length = HEAD + names.len() + sampled + examples;
        let mut left = before;
        let mut evaluate = |(x, y): (f64, f64), progress: &Progress| -> Result<Vec<f64>> {
            let own = |values: &[f64]| values.len() == length && values[..2] == [x, y];
            let values = journal.unit(own, || self.point(objective, &evaluator, x, y))?;
            match left {
                0 => progress.advance(1),
                _ => left -= 1,
            }
            Ok(values)
        };
        let mut done: BTreeMap<Place, Vec<f64>> = BTreeMap::new();
        for place in first {
            done.insert(place, evaluate(at(place), &progress)?);
        }
        // The centre stands beside the grid, never as a row of it.
        let centre = match on_grid.and_then(|place| done.get(&place)) {
            Some(values) => values.clone(),
            None => evaluate((0.0, 0.0), &progress)?,
        };
        drop(progress);
        let mut loss: BTreeMap<Place, f64> =
            done.iter().map(|(place, values)| (*place, values[LOSS])).collect();
        let least = refine::least(&loss, self.sample.map_or(0.0, |sample| sample.tolerance));
        let mut cells = Cells::all((ys.len(), xs.len()), step);
        for round in 1..=self.refine {
            let bent = cells.bent(&loss, least);
            let more = bent.middles(&loss);
            let progress = Progress::new(format!("surface, round {round} (points)"), more.len());
            for place in more {
                let values = evaluate(at(place), &progress)?;
                loss.insert(place, values[LOSS]);
                done.insert(place, values);
            }
            cells = bent.quarters();
        }
        let point = |values: &Vec<f64>| Point {
            x: values[0],
            y: values[1],
            loss: values[LOSS],
            loss_se: values[3],
            metrics: values[HEAD..HEAD + names.len()].to_vec(),
            sampled: match values[HEAD + names.len()..] {
                [examples, difference_se] if self.sample.is_some() => {
                    Some(Sampled { examples: examples as usize, difference_se })
                }
                _ => None,
            },
        };
        let sums = |values: &Vec<f64>| values[values.len() - examples..].to_vec();
        let by_example = self.per_example.then(|| ByExample {
            targets: self
                .examples
                .iter()
                .map(Example::targets)
                .filter(|m| *m > 0)
                .map(|m| m as f64)
                .collect(),
            centre: sums(&centre),
            points: done.values().map(|values| (values[0], values[1])).collect(),
            sums: done.values().flat_map(sums).collect(),
            clusters: data::clusters(self.examples.iter().filter(|e| e.targets() > 0)),
        });
        let (points, centre) = (done.values().map(point).collect(), point(&centre));
        Ok(Surface { points, centre, places: done.into_keys().collect(), metrics: names, by_example })
    }

    /// x, y, loss and its standard error; the metrics; of a sample what it rests on; `s_n` of each example, where that is kept.
    fn point(&self, objective: &dyn Objective, evaluator: &Evaluator, x: f64, y: f64) -> Result<Vec<f64>> {
        let theta = self.plane.at(self.theta, x, y)?;
        let Some(sample) = self.sample else {
            let at = evaluator.loss(objective, &theta)?;
            let mut values = self.values((x, y), (at.loss, at.loss_se), &at);
            values.extend(at.by_example.iter().filter(|_| self.per_example).map(|(sum, _)| sum));
            return Ok(values);
        };
        // The centre is what all others are measured from.
        let is_centre = (x, y) == (0.0, 0.0);
        let at = evaluator.loss_until(objective, &theta, |at| !is_centre && sample.is_enough(at))?;
        let difference = sample.difference(&at);
        let mut values = self.values((x, y), sample.loss(&at, &difference), &at);
        values.extend([at.examples as f64, difference.se]);
        Ok(values)
    }

    fn values(&self, (x, y): (f64, f64), (loss, se): (f64, f64), at: &SetLoss) -> Vec<f64> {
        let metrics = metrics(&self.scoring, at, self.examples).into_iter().map(|(_, value)| value);
        [x, y, loss, se].into_iter().chain(metrics).collect()
    }
}

/// Where the loss stands among the numbers of a point.
const LOSS: usize = 2;
/// Numbers of a point before its metrics.
const HEAD: usize = 4;
/// Numbers behind its metrics of a point of a sample.
const SAMPLED: usize = 2;
