//! Where a submission stands: by the files in the run's folder, and by the queue where there is one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use indicatif::HumanDuration;
use serde::Serialize;
use serde_json::{Value, json};

use super::Submission;
use super::plan::{Job, Plan};
use super::slurm::{Queue, Queued};
use crate::files;
use crate::run::failure::Failure;
use crate::run::step::Step;

/// What is known of a job.
enum State {
    /// After so many seconds.
    Done(f64),
    /// Why.
    Failed(String),
    /// Neither; of a part of a surface its finished points.
    Open(Option<usize>),
}

/// A job that is not done, and what is said of it.
#[derive(Serialize)]
struct Line {
    name: String,
    what: String,
}

/// A wave, in numbers.
#[derive(Serialize)]
struct Counted {
    light: bool,
    jobs: usize,
    done: usize,
    /// Seconds of those.
    seconds: f64,
    failed: Vec<Line>,
    /// Neither, and what the log of the element says last.
    open: Vec<Line>,
    points: usize,
}

pub struct Standing {
    run: String,
    waves: Vec<Counted>,
    queue: Queue,
    page: bool,
}

impl Standing {
    /// Of a plan whose run is in `folder`.
    pub fn of(folder: &Path, submission: &Submission, plan: &Plan, queue: Queue) -> Standing {
        let waves = (1..).zip(&plan.waves).map(|(number, wave)| {
            let mut counted = Counted {
                light: wave.light,
                jobs: 0,
                done: 0,
                seconds: 0.0,
                failed: Vec::new(),
                open: Vec::new(),
                points: 0,
            };
            for (element, job) in
                wave.elements.iter().enumerate().flat_map(|(i, jobs)| jobs.iter().map(move |job| (i, job)))
            {
                let cell = &plan.cells[job.cell];
                let step = &cell.steps[job.step];
                let name = match (job.part, cell.folder.as_str()) {
                    (Some((k, n)), _) => format!("{}, part {k} of {n}", step.name),
                    (None, "") => step.name.clone(),
                    (None, cell) => format!("{} of {cell}", step.name),
                };
                counted.jobs += 1;
                match state(job, step, &folder.join(&cell.folder)) {
                    State::Done(seconds) => {
                        counted.done += 1;
                        counted.seconds += seconds;
                    }
                    State::Failed(what) => counted.failed.push(Line { name, what }),
                    State::Open(points) => {
                        counted.points += points.unwrap_or(0);
                        counted.open.push(Line { name, what: last_words(submission, number, element) });
                    }
                }
            }
            counted
        });
        let page = folder.join("report.html").is_file();
        Standing { run: plan.folder.display().to_string(), waves: waves.collect(), queue, page }
    }

    pub fn is_at_work(&self) -> bool {
        !self.queue.jobs().is_empty()
    }

    /// The queue in some words.
    fn in_queue(&self) -> String {
        let queued = match &self.queue {
            Queue::None => return String::new(),
            Queue::Silent => return "; no answer from Slurm".into(),
            Queue::Jobs(jobs) => jobs,
        };
        let (at_work, waiting): (Vec<&Queued>, Vec<&Queued>) =
            queued.iter().partition(|job| job.state == "R");
        let nodes: BTreeSet<&str> = at_work.iter().map(|job| job.node.as_str()).collect();
        let reasons: BTreeSet<&str> =
            waiting.iter().map(|job| job.reason.as_str()).filter(|r| *r != "None").collect();
        let listed = |words: BTreeSet<&str>| match words.is_empty() {
            true => String::new(),
            false => format!(" ({})", words.into_iter().collect::<Vec<_>>().join(" ")),
        };
        format!(
            "; {} at work{}, {} in the queue{}",
            at_work.len(),
            listed(nodes),
            waiting.len(),
            listed(reasons)
        )
    }

    /// About how long the waves that have begun will take.
    fn left(&self) -> String {
        let running = self.queue.jobs().iter().filter(|job| job.state == "R").count().max(1);
        let long = self.waves.iter().filter(|wave| !wave.light && wave.done > 0);
        let seconds: f64 = long.map(|wave| wave.seconds / wave.done as f64 * wave.open.len() as f64).sum();
        match (1.0..1e10).contains(&seconds) {
            true => format!(
                "; about {} left of what has begun",
                HumanDuration(Duration::from_secs_f64(seconds / running as f64))
            ),
            false => String::new(),
        }
    }

    /// All of it in a line.
    pub fn line(&self) -> String {
        let sum = |of: fn(&Counted) -> usize| self.waves.iter().map(of).sum::<usize>();
        let (done, all, failed) =
            (sum(|wave| wave.done), sum(|wave| wave.jobs), sum(|wave| wave.failed.len()));
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{}: {done} of {all} done{failed}{}{}", self.run, self.in_queue(), self.left())
    }

    /// All of it for a program to read.
    pub fn document(&self) -> Value {
        let jobs = self.queue.jobs();
        let at_work = jobs.iter().filter(|job| job.state == "R").count();
        let queue = match self.queue {
            Queue::None | Queue::Silent => Value::Null,
            Queue::Jobs(_) => json!({"at_work": at_work, "waiting": jobs.len() - at_work}),
        };
        json!({"run": self.run, "waves": self.waves, "queue": queue, "page": self.page})
    }

    /// Wave by wave.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.line()];
        // With jobs in the queue, what is open may yet be done.
        let lost = matches!(&self.queue, Queue::Jobs(jobs) if jobs.is_empty());
        for (number, wave) in (1..).zip(&self.waves) {
            let kind = if wave.light { "wave of seconds" } else { "wave" };
            let points =
                if wave.points > 0 { format!("; {} points of others", wave.points) } else { String::new() };
            let open = match wave.open.len() {
                0 => String::new(),
                open if lost => format!(", {open} not finished by any job"),
                open => format!(", {open} open"),
            };
            let failed = if wave.failed.is_empty() {
                String::new()
            } else {
                format!(", {} failed", wave.failed.len())
            };
            lines.push(format!(
                "  {kind} {number}: {} of {} done{failed}{open}{points}",
                wave.done, wave.jobs
            ));
            lines.extend(wave.failed.iter().map(|line| format!("    failed: {}: {}", line.name, line.what)));
            let open = wave.open.iter().filter(|_| lost && !wave.light);
            lines.extend(open.map(|line| format!("    lost: {}: {}", line.name, line.what)));
        }
        lines.push(match (self.page, self.is_at_work()) {
            (true, _) => format!("  page: {}/report.html", self.run),
            (false, true) => "  page: written at the end".into(),
            (false, false) => {
                "  no page yet; the same `run` resumes (log/end.out, if there is one, says what stopped it)"
                    .into()
            }
        });
        lines
    }
}

/// What the files say of a job.
fn state(job: &Job, step: &Step, folder: &Path) -> State {
    match job.record(step, folder) {
        Some(record) => State::Done(record.seconds),
        None => match Failure::read(step, folder) {
            Some(failure) => State::Failed(failure.error().to_string()),
            None => State::Open(job.part.and_then(|(k, n)| points(step, folder, k, n))),
        },
    }
}

/// Finished points of a part of a surface.
fn points(step: &Step, folder: &Path, k: usize, n: usize) -> Option<usize> {
    let path = folder.join(format!("{}.unfinished.{k}-{n}", step.written().next()?));
    let lines = files::read(&path).ok()?.iter().filter(|byte| **byte == b'\n').count();
    lines.checked_sub(1) // the first says of what they are
}

/// The last line of the log of an element, where Slurm says why it ended.
fn last_words(submission: &Submission, wave: usize, element: usize) -> String {
    let logs = files::list(&submission.folder.join("log")).unwrap_or_default();
    // WAVE-FIRST-INDEX.out, where an array begins with the element FIRST.
    let element_of = |path: &Path| {
        let mut numbers = path.file_stem()?.to_str()?.split('-').map(str::parse::<usize>);
        let [own, first, index] = std::array::from_fn(|_| numbers.next().and_then(|number| number.ok()));
        (own? == wave).then_some(first? + index?)
    };
    let Some(own) = logs.iter().find(|path| element_of(path) == Some(element)) else {
        return "no log: no node has started it, or the node does not see this folder".into();
    };
    let text = files::read(own).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    format!("{last} ({})", own.display())
}
