//! What makes one doubt the answers, said on top of the page; and what steps left out, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Story;
use super::words::{arm, counted, level, listed, upper};
use crate::data::row::{LEFT_OUT, SKIPPED};
use crate::data::tokenizer;
use crate::error::Result;
use crate::model::FROM_SEED;
use crate::page::Page;
use crate::run::runner::Done;
use crate::run::step::{Record, Step};
use crate::stages::freeze::NO_EXAMPLE;
use crate::tables::page::{Surface, Training};

/// Share of the examples above which it is said on top that they were cut.
const MANY: f64 = 0.05;

impl Story<'_> {
    pub(super) fn warn(&self, page: &mut Page, steps: &[Step], done: &Done) -> Result<()> {
        let lines = |keep: fn(&Step) -> bool| {
            let own = steps.iter().zip(&done.records).filter(move |(step, _)| keep(step));
            own.filter_map(|(_, record)| record.excluded.as_ref()).flatten()
        };
        let head = lines(|step| ["fisher", "stability", "audit"].contains(&step.command()));
        if head.clone().any(|line| line.contains(FROM_SEED)) {
            page.warnings.push(
                "The task head was drawn from a seed: the Fisher information is that of a head that has learned nothing, and another \
                 head may rank the layers differently."
                    .into(),
            );
        }
        page.warnings.extend(scores(&self.found.training));
        page.warnings.extend(diverged(&self.found.training, &self.found.surfaces));
        let failed = self.failed();
        if failed > 0 {
            page.warnings.push(format!("Training runs that failed: {failed}; no number counts them."));
        }
        page.warnings.extend(examples(lines(|_| true), self.folder));
        page.warnings.extend(unlike(&done.records));
        Ok(())
    }
}

/// Steps on processors that round in different ways.
fn unlike(records: &[Record]) -> Option<String> {
    // Where some steps have a device, the others draw and count.
    let on_device = |record: &&Record| record.command.contains(" --device ");
    let any = records.iter().any(|record| on_device(&record));
    let compared = records.iter().filter(|record| !any || on_device(record));
    let kinds: BTreeSet<&str> = compared.filter_map(|record| record.arithmetic.as_deref()).collect();
    let kinds: Vec<String> = kinds.into_iter().map(str::to_string).collect();
    (kinds.len() > 1).then(|| {
        format!("Steps ran on processors whose results differ in their last digits: {}.", listed(&kinds))
    })
}

/// Scores that say little.
fn scores(rows: &[Training]) -> Vec<String> {
    let mut all = Vec::new();
    let collapsed = rows.iter().filter(|row| row.collapsed > 0);
    let collapsed: Vec<String> =
        collapsed.map(|row| format!("{} of {} with {}", row.collapsed, row.seeds, arm(&row.arm))).collect();
    if !collapsed.is_empty() {
        all.push(format!(
            "Runs that ended with the same prediction for every example: {}.",
            listed(&collapsed)
        ));
    }
    let metric = rows.first().map_or(String::new(), |row| row.metric.replace('_', " "));
    if rows.iter().any(|row| row.constant == Some(1.0)) {
        all.push("All held-out examples are of one class: the scores say nothing.".into());
        return all;
    }
    let barely = rows.iter().filter(|row| is_barely(row));
    let barely: Vec<String> = barely.map(|row| format!("{} ({})", arm(&row.arm), level(row.mean))).collect();
    if let (Some(constant), false) = (rows.first().and_then(|row| row.constant), barely.is_empty()) {
        all.push(format!(
            "Not clearly above always the same answer, whose {metric} is {}: {}.",
            level(constant),
            listed(&barely)
        ));
    }
    all
}

/// Whether a score is within two standard errors of the best answer that never changes.
pub fn is_barely(row: &Training) -> bool {
    row.constant.zip(se(row)).is_some_and(|(constant, se)| row.mean <= constant + 2.0 * se)
}

/// Standard error of an arm's score over the held-out examples.
fn se(row: &Training) -> Option<f64> {
    let each: Vec<f64> = row.runs.iter().filter_map(|(_, score)| score.se).collect();
    (!each.is_empty()).then(|| crate::stats::mean(&each)).filter(|se| se.is_finite())
}

fn diverged(training: &[Training], surfaces: &[Surface]) -> Vec<String> {
    let arms: Vec<String> =
        training.iter().filter(|row| !row.loss.is_finite()).map(|row| arm(&row.arm)).collect();
    let points: usize = surfaces.iter().map(|row| row.not_finite).sum();
    let arms = (!arms.is_empty()).then(|| {
        format!(
            "The loss of {} is not finite: training diverged. Use a smaller learning rate.",
            listed(&arms)
        )
    });
    let points = (points > 0)
        .then(|| format!("{} of the surfaces have no finite loss.", upper(&counted(points, "grid point"))));
    arms.into_iter().chain(points).collect()
}

/// A line without the way to the run, wherever that lies.
fn inside(line: &str, folder: &Path) -> String {
    line.replace(&format!("{}/", folder.display()), "")
}

/// What became of the examples: cut ones where they are many, dropped ones, and classes without any.
fn examples<'a>(lines: impl Iterator<Item = &'a String>, folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut empty: Vec<String> = Vec::new();
    for line in lines.map(|line| inside(line, folder)) {
        if let Some((_, classes)) = line.split_once(NO_EXAMPLE) {
            empty.extend(classes.split(", ").map(str::to_string));
        }
        let many = tokenizer::cut_share(&line).is_some_and(|share| share >= MANY);
        // The second is how it began in records of runs that were finished earlier.
        let dropped = line.starts_with(LEFT_OUT)
            || line.split(' ').take(2).eq(["left", "out:"])
            || line.ends_with(SKIPPED);
        let text = format!("{}.", upper(line.lines().next().unwrap_or_default()));
        if (many || dropped) && !all.contains(&text) {
            all.push(text);
        }
    }
    empty.sort();
    empty.dedup();
    if !empty.is_empty() {
        all.push(format!("A set that numbers rest on has no example of {}.", listed(&empty)));
    }
    all
}

/// What the steps say that they left out or made up, each once with the number of steps that say so; heads from several seeds are
/// one line.
pub(super) fn excluded(records: &[Record], folder: &Path) -> Vec<String> {
    let mut found: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for line in records.iter().filter_map(|record| record.excluded.as_ref()).flatten() {
        let line = inside(line, folder);
        let (line, seed) = match line.split_once(FROM_SEED) {
            Some((head, seed)) => (format!("{head}{FROM_SEED}"), Some(seed.trim().to_string())),
            None => (line, None),
        };
        let (steps, seeds) = found.entry(line).or_default();
        *steps += 1;
        seeds.extend(seed.filter(|seed| !seeds.contains(seed)));
    }
    let line = |(line, (steps, seeds)): (String, (usize, Vec<String>))| {
        let line = format!(
            "{line}{}",
            if seeds.is_empty() { String::new() } else { format!(" {}", listed(&seeds)) }
        );
        if steps > 1 { format!("{line} ({steps} steps)") } else { line }
    };
    let lines = found.into_iter().map(line);
    let earlier = records.iter().filter(|record| record.excluded.is_none()).count();
    let unsaid = format!(
        "{} recorded by an earlier version, which did not separate skipped data from other notes: they are in steps/ \
         (--force runs all steps again)",
        counted(earlier, "step")
    );
    lines.chain((earlier > 0).then_some(unsaid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::page::Score;

    /// Oracle: by hand. Two standard errors above the constant answer are no longer barely; without one nothing is said, and of a single
    /// class no score says anything.
    #[test]
    fn scores_that_say_little_are_named() {
        let row = |mean: f64, constant| {
            let run = ("seed0".to_string(), Score { se: Some(0.02), ..Score::default() });
            Training {
                arm: "guided".into(),
                metric: "accuracy".into(),
                mean,
                constant,
                runs: vec![run],
                ..Training::default()
            }
        };
        let wanted = "Not clearly above always the same answer, whose accuracy is 0.500: guided (0.530).";
        assert_eq!(scores(&[row(0.53, Some(0.5))]), [wanted]);
        assert!(scores(&[row(0.55, Some(0.5)), row(0.2, None)]).is_empty());
        assert_eq!(
            scores(&[row(1.0, Some(1.0))]),
            ["All held-out examples are of one class: the scores say nothing."]
        );
        let lost = Training { loss: f64::NAN, ..row(0.1, None) };
        assert!(diverged(&[lost], &[])[0].starts_with("The loss of guided is not finite"));
    }

    /// Oracle: by hand. One kind of processor is no news, records of earlier versions name none.
    #[test]
    fn unlike_processors_are_named() {
        let step = Step::new("s", "loss");
        let record = |arithmetic: Option<&str>| {
            let mut record = Record::new(&step, String::new(), "", 0.0, crate::progress::Said::default());
            record.arithmetic = arithmetic.map(str::to_string);
            record
        };
        let (fma, plain, none) = (record(Some("x86_64 fma")), record(Some("aarch64")), record(None));
        assert_eq!(unlike(&[fma.clone(), none, fma.clone()]), None);
        let wanted =
            "Steps ran on processors whose results differ in their last digits: aarch64 and x86_64 fma.";
        assert_eq!(unlike(&[fma, plain]).as_deref(), Some(wanted));
    }

    /// Oracle: by hand. Few cut examples are no warning, many are; classes of several sets are named once.
    #[test]
    fn examples_that_are_missing_are_named() {
        let lines = [
            "20 of 11000 examples cut to 64 tokens, 14 % of their tokens left out",
            "114 of 200 examples cut to 128 tokens, 37 % of their tokens left out",
            "114 of 200 examples cut to 128 tokens, 37 % of their tokens left out",
            "out/sets/a: no example of class b, a",
            "sets/b: no example of class a",
            "out/sets/b: 188 examples, 12 examples without a target",
            "12 examples without a target skipped",
        ]
        .map(String::from);
        let wanted = [
            "114 of 200 examples cut to 128 tokens, 37 % of their tokens left out.",
            "12 examples without a target skipped.",
            "A set that numbers rest on has no example of a and b.",
        ];
        assert_eq!(examples(lines.iter(), Path::new("out")), wanted);
    }
}
