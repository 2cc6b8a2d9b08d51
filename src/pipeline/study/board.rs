//! Where a study stands: for each cell, its arms with the runs that are done and their mean score; and the time left.
//!
//! On a terminal it stands above the bar of the step at work, elsewhere it is written when a cell is done. Times come from one
//! batch of each cell, as evaluated on this machine, and are corrected by what trainings then take.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::HumanDuration;

use super::cell_path;
use crate::analysis::Study;
use crate::error::Result;
use crate::pipeline::plan::{self, Failed};
use crate::pipeline::step::Step;
use crate::pipeline::{findings, stage};
use crate::progress;
use crate::stages::Stage;
use crate::stats;

/// A cell: its name, how long a training takes by the estimate, and its arms.
struct Row {
    name: String,
    seconds: f64,
    arms: Vec<Arm>,
    folder: std::path::PathBuf,
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
    /// Since when the next training runs.
    since: Instant,
}

impl Board {
    /// Reads what is there, and estimates what a training of each cell takes.
    pub(super) fn new(study: &Study, folder: &Path) -> Result<Board> {
        let mut rows = Vec::new();
        for cell in &study.cells {
            let own = folder.join(cell_path(cell));
            let steps = plan::steps(&cell.loaded.analysis, &Failed::new());
            let trainings: Vec<&Step> = steps.iter().filter(|step| step.command() == "train").collect();
            let recorded = |run: &str| {
                trainings.iter().any(|step| step.output() == Some(run) && step.record(&own).is_some())
            };
            let arms = plan::models(&cell.loaded.analysis, &Failed::new()).into_iter().map(|model| {
                let ahead = |run: String| (run.clone(), Outcome::Ahead { recorded: recorded(&run) });
                Arm { title: model.title, runs: model.runs.into_iter().map(ahead).collect() }
            });
            let arms: Vec<Arm> = arms.collect();
            let ahead =
                arms.iter().flat_map(|arm| &arm.runs).any(|run| run.1 == Outcome::Ahead { recorded: false });
            let seconds = match trainings.first().map(|step| stage(step, &own)).transpose()? {
                // What it says of heads and skipped rows it will say again.
                Some(Stage::Train(train)) if ahead => progress::listen(|| train.seconds()).0?,
                _ => 0.0,
            };
            rows.push(Row { name: cell.name.clone(), seconds, arms, folder: own });
        }
        Ok(Board { rows, started: Instant::now(), took: (0.0, 0.0), since: Instant::now() })
    }

    /// Says what is ahead, before it begins.
    pub(super) fn announce(&mut self) {
        let (done, all) = (self.count(|run| run == Outcome::Ahead { recorded: true }), self.count(|_| true));
        let seconds: f64 = self.rows.iter().map(Row::left).sum();
        let before = if done > 0 { format!(", {done} of them done before") } else { String::new() };
        progress::status(format!(
            "{} cells, {all} training runs{before}; about {} of training",
            self.rows.len(),
            HumanDuration(Duration::from_secs_f64(seconds))
        ));
        for row in &self.rows {
            let runs: usize = row.arms.iter().map(|arm| arm.runs.len()).sum();
            let each = HumanDuration(Duration::from_secs_f64(row.seconds));
            progress::status(format!("  {}: {runs} runs, about {each} each", row.name));
        }
        self.since = Instant::now();
        progress::board(self.text());
    }

    /// A step of the i-th cell is finished.
    pub(super) fn finished(&mut self, i: usize, step: &Step) {
        let seconds = std::mem::replace(&mut self.since, Instant::now()).elapsed().as_secs_f64();
        let (Some(output), "train") = (step.output(), step.command()) else { return };
        let row = &mut self.rows[i];
        let Some(run) = row.arms.iter_mut().flat_map(|arm| &mut arm.runs).find(|run| run.0 == output) else {
            return;
        };
        if run.1 == (Outcome::Ahead { recorded: false }) && row.seconds > 0.0 {
            self.took = (self.took.0 + seconds, self.took.1 + row.seconds);
        }
        // A run that failed now may have left the files of an earlier one.
        let score = step.record(&row.folder).and_then(|_| findings::score(&row.folder.join(output)).ok());
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
        let failed = match self.count(|run| run == Outcome::Failed) {
            0 => String::new(),
            n => format!(", {n} of them failed"),
        };
        let ratio = if self.took.1 > 0.0 { self.took.0 / self.took.1 } else { 1.0 };
        let left = Duration::from_secs_f64(ratio * self.rows.iter().map(Row::left).sum::<f64>());
        let mut text = format!("{done} of {all} runs{failed}; about {} left", HumanDuration(left));
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for row in &self.rows {
            let arms: Vec<String> = row.arms.iter().map(Arm::text).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {:width$}  {}", row.name, arms.join("  "));
        }
        text
    }
}

impl Row {
    /// Seconds of its runs that are ahead, by the estimate.
    fn left(&self) -> f64 {
        let ahead = |run: &&(String, Outcome)| run.1 == Outcome::Ahead { recorded: false };
        self.seconds * self.arms.iter().flat_map(|arm| &arm.runs).filter(ahead).count() as f64
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
        format!("{} {mean} ({}/{})", self.title, scores.len(), self.runs.len())
    }
}
