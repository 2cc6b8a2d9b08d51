//! The loss on a grid of points `θ + a d₁ + b d₂`, with a standard error at each.
//!
//! θ is never changed: each point forms its own copies of the tensors that move, so there is nothing to restore. The
//! result does not depend on the number of threads: batches are fixed, and examples are added in order. Finished
//! points go to a journal beside the result; a killed run goes on from there, with the same bytes at the end.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plane::Plane;
use super::rise::ByExample;
use crate::data::Example;
use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::progress::{self, Progress};

/// One evaluated point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub loss: f64,
    pub loss_se: f64,
}

/// Points on a grid, y outer and x inner, and the centre (0, 0).
#[derive(Clone, Debug)]
pub struct Surface {
    pub points: Vec<Point>,
    pub centre: Point,
    /// Where asked for.
    pub by_example: Option<ByExample>,
}

/// What is evaluated.
pub struct Plan<'a> {
    pub theta: &'a ParamMap,
    pub examples: &'a [Example],
    pub by_length: &'a [usize],
    pub plane: &'a Plane,
    /// Coordinates along x and along y.
    pub coordinates: [&'a [f64]; 2],
    /// Keep the loss of each example at each point.
    pub per_example: bool,
}

impl Plan<'_> {
    /// Evaluates every grid point, and (0, 0) if it is not one of them.
    ///
    /// `journal` is the file of finished points and `inputs` what identifies them: a journal of other inputs is
    /// never continued.
    pub fn evaluate(&self, objective: &impl Objective, journal: &Path, inputs: &str) -> Result<Surface> {
        let [xs, ys] = self.coordinates;
        let mut coordinates: Vec<(f64, f64)> =
            ys.iter().flat_map(|&y| xs.iter().map(move |&x| (x, y))).collect();
        let on_grid = coordinates.iter().position(|c| *c == (0.0, 0.0));
        if on_grid.is_none() {
            coordinates.push((0.0, 0.0));
        }
        let mut journal = Journal::open(journal, inputs)?;
        let mut done = std::mem::take(&mut journal.finished);
        done.truncate(coordinates.len());
        if !done.is_empty() {
            progress::note(format!("going on after {} of {} points", done.len(), coordinates.len()));
        }
        let progress = Progress::new("surface (points)", coordinates.len() - done.len());
        let mut evaluator = Evaluator::new(self.examples, self.by_length);
        if coordinates.len() > done.len() + 1 {
            // As much again as the parameters, at most.
            let bytes = params::bytes(self.theta);
            evaluator.keep_still(objective, self.theta, |name| self.plane.moves(name), bytes)?;
        }
        for &(x, y) in &coordinates[done.len()..] {
            let at = evaluator.loss(objective, &self.plane.at(self.theta, x, y)?)?;
            let point = Point { x, y, loss: at.loss, loss_se: at.loss_se };
            let sums = at.by_example.into_iter().filter(|_| self.per_example).map(|(sum, _)| sum).collect();
            done.push(Done { point, sums });
            journal.append(&done[done.len() - 1])?;
            progress.advance(1);
        }
        let centre = on_grid.unwrap_or(done.len() - 1);
        let by_example = self.per_example.then(|| self.by_example(&done, centre));
        let centre = done[centre].point.clone();
        // The centre stands beside the grid, never as a row of it.
        done.truncate(xs.len() * ys.len());
        Ok(Surface { points: done.into_iter().map(|done| done.point).collect(), centre, by_example })
    }

    fn by_example(&self, done: &[Done], centre: usize) -> ByExample {
        let targets = self.examples.iter().map(Example::targets).filter(|m| *m > 0);
        let grid = &done[..self.coordinates.iter().map(|c| c.len()).product()];
        ByExample {
            targets: targets.map(|m| m as f64).collect(),
            centre: done[centre].sums.clone(),
            points: grid.iter().map(|done| (done.point.x, done.point.y)).collect(),
            sums: grid.iter().flat_map(|done| &done.sums).copied().collect(),
        }
    }
}

/// An evaluated point, and `s_n` of each example where that is kept.
struct Done {
    point: Point,
    sums: Vec<f64>,
}

/// Finished points on disk, one JSON line each, behind a line that identifies the inputs.
struct Journal {
    path: PathBuf,
    file: std::fs::File,
    finished: Vec<Done>,
}

/// A finished point as it is stored: x, y, loss, its standard error and the examples' losses, all as `f64` bits, because
/// JSON knows no NaN and infinity.
#[derive(Serialize, Deserialize)]
struct Entry([u64; 4], Vec<u64>);

impl Journal {
    /// Opens the journal for these inputs; one of other inputs, or a damaged one, starts anew. What a kill cut short
    /// is dropped, what is whole stays where it is.
    fn open(path: &Path, inputs: &str) -> Result<Journal> {
        let write = |e| Error::io(path, "write")(e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "make"))?;
        }
        let text =
            std::fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let (mut whole, mut finished) = (0, Vec::new());
        if lines.next().is_some_and(|first| first.trim_end() == inputs) {
            whole = inputs.len() + 1;
            for line in lines {
                let Ok(Entry(bits, sums)) = serde_json::from_str(line) else { break };
                let [x, y, loss, loss_se] = bits.map(f64::from_bits);
                let sums = sums.into_iter().map(f64::from_bits).collect();
                finished.push(Done { point: Point { x, y, loss, loss_se }, sums });
                whole += line.len();
            }
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(write)?;
        file.set_len(whole as u64).map_err(write)?;
        let mut journal = Journal { path: path.to_path_buf(), file, finished };
        if whole == 0 {
            journal.line(inputs)?;
        }
        Ok(journal)
    }

    fn append(&mut self, Done { point, sums }: &Done) -> Result<()> {
        let bits = [point.x, point.y, point.loss, point.loss_se].map(f64::to_bits);
        let entry = Entry(bits, sums.iter().map(|sum| sum.to_bits()).collect());
        self.line(&serde_json::to_string(&entry).map_err(|e| Error::io(&self.path, "write")(e.into()))?)
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(Error::io(&self.path, "write"))
    }
}
