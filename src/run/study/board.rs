//! Where a study stands: for each cell, its arms with the runs that are done and their mean score; and the time left.
//!
//! On a terminal it stands above the bar of the step at work, elsewhere it is written when a cell is done. Times come from a
//! batch of each cell, as evaluated on this machine, and are corrected by what trainings then take.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration};

use super::cell_path;
use super::tables::distinct;
use crate::analysis::Study;
use crate::error::Result;
use crate::progress;
use crate::run::inputs::Places;
use crate::run::plan::{self, Failed};
use crate::run::runner::Ended;
use crate::run::step::{Hashes, Step};
use crate::run::{findings, stage};
use crate::stages::Stage;
use crate::stats;

/// A cell: its name, how long a training takes by the estimate (0 where none is ahead), and its arms.
struct Row {
    name: String,
    seconds: f64,
    /// The disk that a training takes, at most.
    bytes: usize,
    arms: Vec<Arm>,
    folder: PathBuf,
}

struct Arm {
    title: String,
    /// Folders of the runs, and what became of each.
    runs: Vec<(String, Outcome)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// Whether an earlier run left its record.
    Ahead {
        recorded: bool,
    },
    Score(f64),
    Failed,
}

pub(super) struct Board {
    rows: Vec<Row>,
    started: Instant,
    /// Seconds that trainings took in this process, and by the estimate.
    took: (f64, f64),
}

impl Board {
    /// Reads what is there, and estimates what a training of each cell takes.
    pub(super) fn new(study: &Study, folder: &Path, places: &[Places], force: bool) -> Result<Board> {
        let mut rows = Vec::new();
        // By checkpoint: seconds of a forward pass for each token.
        let mut each: BTreeMap<PathBuf, f64> = BTreeMap::new();
        for (cell, places) in study.cells.iter().zip(places) {
            let own = folder.join(cell_path(cell));
            if !study.runs(cell) {
                rows.push(Row {
                    name: cell.name.clone(),
                    seconds: 0.0,
                    bytes: 0,
                    arms: Vec::new(),
                    folder: own,
                });
                continue;
            }
            let steps = plan::steps(&cell.loaded.analysis, &Failed::new());
            let trainings: Vec<&Step> = steps.iter().filter(|step| step.command() == "train").collect();
            let mut hashes = Hashes::at(places.clone());
            let mut recorded = |step: &Step| {
                // Whether it is of the same inputs; that its outputs are there still is seen when it is reached.
                let Some(record) = step.record(&own).filter(|_| !force) else { return false };
                step.identity(&own, &mut hashes).is_ok_and(|identity| identity == record.identity)
            };
            let mut arms = Vec::new();
            for model in plan::models(&cell.loaded.analysis, &Failed::new()) {
                let ahead = |run: String| {
                    let mut own = trainings.iter().filter(|step| step.output() == Some(&run));
                    let recorded = own.any(|step| recorded(step));
                    (run, Outcome::Ahead { recorded })
                };
                arms.push(Arm { title: model.title, runs: model.runs.into_iter().map(ahead).collect() });
            }
            let mut row = Row { name: cell.name.clone(), seconds: 0.0, bytes: 0, arms, folder: own };
            row.seconds = match trainings.first().map(|step| stage(step, &row.folder)).transpose()? {
                // What it says of heads and skipped rows it will say again.
                Some(Stage::Train(train)) if row.ahead() > 0 => {
                    let work = progress::listen(|| train.work()).0?;
                    // The least: whatever else the machine did, it can be as fast.
                    let checkpoint = cell.loaded.analysis.model.checkpoint.clone();
                    let least = each.entry(checkpoint).or_insert(work.seconds_each);
                    *least = least.min(work.seconds_each);
                    row.bytes = work.bytes;
                    work.tokens
                }
                _ => 0.0,
            };
            rows.push(row);
        }
        for (row, cell) in rows.iter_mut().zip(&study.cells) {
            row.seconds *= each.get(&cell.loaded.analysis.model.checkpoint).copied().unwrap_or(0.0);
        }
        Ok(Board { rows, started: Instant::now(), took: (0.0, 0.0) })
    }

    /// Says what is ahead, before it begins.
    pub(super) fn announce(&mut self) {
        let (done, all) = (self.count(|run| run == Outcome::Ahead { recorded: true }), self.count(|_| true));
        let seconds: f64 = self.rows.iter().map(Row::left).sum();
        let before = if done > 0 { format!(", {done} of them done before") } else { String::new() };
        if all == 0 {
            return; // nothing is trained
        }
        let cells = self.rows.iter().filter(|row| !row.arms.is_empty()).count();
        let left = match done == all {
            true => String::new(),
            false => format!("; about {} of training", HumanDuration(Duration::from_secs_f64(seconds))),
        };
        let left = match self.rows.iter().map(|row| row.bytes * row.ahead()).sum::<usize>() {
            0 => left,
            bytes => format!("{left}, and up to {} of models", HumanBytes(bytes as u64)),
        };
        progress::status(format!("{cells} cells, {all} training runs{before}{left}"));
        for (row, ahead) in self.rows.iter().map(|row| (row, row.ahead())).filter(|(_, ahead)| *ahead > 0) {
            let each = HumanDuration(Duration::from_secs_f64(row.seconds));
            progress::status(format!("  {}: {ahead} runs, about {each} each", row.name));
        }
        progress::board(self.text());
    }

    /// A step of the i-th cell is finished.
    pub(super) fn finished(&mut self, i: usize, step: &Step, ended: Ended) {
        let (Some(output), "train") = (step.output(), step.command()) else { return };
        let row = &mut self.rows[i];
        let Some(run) = row.arms.iter_mut().flat_map(|arm| &mut arm.runs).find(|run| run.0 == output) else {
            return;
        };
        if let Ended::Now(seconds) = ended
            && row.seconds > 0.0
        {
            self.took = (self.took.0 + seconds, self.took.1 + row.seconds);
        }
        // A run that failed may have left the files of an earlier one.
        let score =
            (ended != Ended::Failed).then(|| findings::score(&row.folder.join(output)).ok()).flatten();
        run.1 = score.map_or(Outcome::Failed, |score| Outcome::Score(score.value));
        progress::board(self.text());
    }

    /// Writes it where there is no terminal.
    pub(super) fn tell(&self) {
        progress::tell_board();
    }

    pub(super) fn clear(&self) {
        progress::board(String::new());
        progress::detail(format!("study: {}", HumanDuration(self.started.elapsed())));
    }

    fn count(&self, of: impl Fn(Outcome) -> bool) -> usize {
        self.rows.iter().flat_map(|row| &row.arms).flat_map(|arm| &arm.runs).filter(|run| of(run.1)).count()
    }

    fn text(&self) -> String {
        let finished = |run| !matches!(run, Outcome::Ahead { .. });
        let (done, all) = (self.count(finished), self.count(|_| true));
        if all == 0 {
            return String::new();
        }
        let failed = match self.count(|run| run == Outcome::Failed) {
            0 => String::new(),
            n => format!(", {n} of them failed"),
        };
        let ratio = if self.took.1 > 0.0 { self.took.0 / self.took.1 } else { 1.0 };
        let left = Duration::from_secs_f64(ratio * self.rows.iter().map(Row::left).sum::<f64>());
        let mut text = format!("{done} of {all} runs{failed}; about {} left", HumanDuration(left));
        // A column for each arm that any cell has.
        let titles = distinct(self.rows.iter().flat_map(|row| &row.arms).map(|arm| &arm.title));
        let mut lines =
            vec![[vec![String::new()], titles.iter().map(|title| title.to_string()).collect()].concat()];
        lines.extend(self.rows.iter().filter(|row| !row.arms.is_empty()).map(|row| {
            let cell = |title: &&String| {
                row.arms.iter().find(|arm| arm.title == **title).map_or(String::new(), Arm::text)
            };
            [vec![row.name.clone()], titles.iter().map(cell).collect()].concat()
        }));
        let length = |line: &Vec<String>, i: usize| line[i].chars().count();
        let widths: Vec<usize> =
            (0..=titles.len()).map(|i| lines.iter().map(|line| length(line, i)).max().unwrap_or(0)).collect();
        for line in lines {
            text += "\n ";
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a string cannot fail.
                let _ = write!(text, " {cell:width$} ");
            }
        }
        text
    }
}

impl Row {
    /// Its runs that no earlier run recorded.
    fn ahead(&self) -> usize {
        let ahead = |run: &&(String, Outcome)| run.1 == Outcome::Ahead { recorded: false };
        self.arms.iter().flat_map(|arm| &arm.runs).filter(ahead).count()
    }

    /// Seconds of these, by the estimate.
    fn left(&self) -> f64 {
        self.seconds * self.ahead() as f64
    }
}

impl Arm {
    fn text(&self) -> String {
        let scores: Vec<f64> = self
            .runs
            .iter()
            .filter_map(|run| match run.1 {
                Outcome::Score(score) => Some(score),
                _ => None,
            })
            .collect();
        let mean = if scores.is_empty() { "-".into() } else { format!("{:.3}", stats::mean(&scores)) };
        format!("{mean} {}/{}", scores.len(), self.runs.len())
    }
}
