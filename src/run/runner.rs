//! The steps of one analysis, each as soon as what it reads is there and the executor has room; what is done is passed over.
//!
//! A training that fails does not stop the others: it is left out of all that follows, said, and tried again the next time.
//! Where models are looked at afterwards (surfaces, sharpness and the like) there is nothing to continue with, and it is an error
//! at once.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::HumanDuration;

use super::executor::{Executor, Finished};
use super::graph::Graph;
use super::own::Own;
use super::plan::{self, Failed};
use super::step::{self, Hashes, Record, Step};
use super::{Places, stage};
use crate::analysis::{Analysis, Loaded};
use crate::error::{Error, Result};
use crate::files;
use crate::progress;
use crate::provenance::command_line;

/// Where an analysis is run, and how.
pub struct Setting<'a> {
    pub folder: &'a Path,
    /// Folders of other runs: what they have done is taken from there.
    pub others: &'a [PathBuf],
    /// Of inputs that are not read where they are named.
    pub places: Places,
    /// Whether what is done is done again.
    pub force: bool,
}

/// What was done.
pub struct Done {
    /// Of each step, in order.
    pub records: Vec<Record>,
    /// The line that repeats each.
    pub lines: Vec<String>,
    pub failed: Failed,
    /// Steps run now.
    pub ran: usize,
    /// Keeps other processes out of the folder, where it is written to.
    _lock: Option<File>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// It was done before, here or by another run.
    Before,
    /// After so many seconds.
    Now(f64),
    Failed,
}

/// If a run of an analysis in `folder` came to its end: the trainings that failed in it.
pub fn ended(loaded: &Loaded, folder: &Path, places: Places) -> Option<Failed> {
    let analysis = &loaded.analysis;
    let mut hashes = Hashes::at(places);
    let mut done = |step: &Step| {
        let identity = step.identity(folder, &mut hashes);
        identity.is_ok_and(|identity| step.done(&identity, folder, &mut hashes).is_some())
    };
    let steps = plan::steps(analysis, &Failed::new());
    let trainings: Vec<&Step> = steps.iter().filter(|step| may_fail(analysis, step)).collect();
    let missing: Vec<&&Step> = trainings.iter().filter(|step| !done(step)).collect();
    let why = "no finished run of it is there".to_string();
    let failed: Failed =
        missing.iter().filter_map(|step| Some((step.output()?.to_string(), why.clone()))).collect();
    let some = trainings.is_empty() || failed.len() < trainings.len();
    // What follows the trainings was done without them, or it was not yet done.
    (some && plan::steps(analysis, &failed).iter().all(done)).then_some(failed)
}

/// What a run that came to its end did, read alone.
pub fn finished(loaded: &Loaded, folder: &Path, places: Places) -> Option<Done> {
    let failed = ended(loaded, folder, places)?;
    let steps = plan::steps(&loaded.analysis, &failed);
    let records = steps.iter().map(|step| step.record(folder)).collect::<Option<_>>()?;
    let lines = steps.iter().map(|step| command_line(step.words(folder))).collect();
    Some(Done { records, lines, failed, ran: 0, _lock: None })
}

/// Whether a step may fail and the others continue: a training that nothing else looks at.
fn may_fail(analysis: &Analysis, step: &Step) -> bool {
    step.command() == "train" && !analysis.looks_at_models()
}

/// Runs the steps of an analysis. `finished` is called after each.
///
/// # Errors
///
/// As [`super::run`].
pub fn run(
    loaded: &Loaded,
    setting: Setting,
    executor: &mut dyn Executor,
    finished: &mut dyn FnMut(&Step, Ended),
) -> Result<Done> {
    let Setting { folder, others, places, force } = setting;
    let graph = planned(&loaded.analysis, folder, &Failed::new())?;
    check_unlinked(folder)?;
    let lock = files::lock(&step::records(folder)?.join("lock"))?;
    files::sweep_beside(folder)?;
    for own in plan::FOLDERS.iter().chain([&step::RECORDS]) {
        files::sweep(&folder.join(own))?;
    }
    files::write(&folder.join("analysis.toml"), loaded.text.as_bytes())?;
    executor.plan(&graph)?;
    let mut run = Run {
        analysis: &loaded.analysis,
        folder,
        others,
        force,
        hashes: Hashes::at(places),
        clock: Clock::new(&graph, folder, force),
        graph,
        working: HashMap::new(),
        records: HashMap::new(),
        failed: Failed::new(),
        executor,
        finished,
    };
    loop {
        run.begin()?;
        match run.executor.wait() {
            Some(ended) => run.end(ended)?,
            None => return run.done(lock),
        }
    }
}

/// A run that is at work.
struct Run<'a> {
    analysis: &'a Analysis,
    folder: &'a Path,
    others: &'a [PathBuf],
    force: bool,
    hashes: Hashes,
    clock: Clock,
    graph: Graph,
    /// Steps that have started, and their identities, by name.
    working: HashMap<String, (Step, String)>,
    /// Of the steps that are done, by name.
    records: HashMap<String, Record>,
    failed: Failed,
    executor: &'a mut dyn Executor,
    finished: &'a mut dyn FnMut(&Step, Ended),
}

impl Run<'_> {
    /// Starts the steps that there is room for; those that are done take none.
    fn begin(&mut self) -> Result<()> {
        while self.executor.room() {
            let done = |step: &Step| self.records.contains_key(&step.name);
            let begun = |step: &Step| done(step) || self.working.contains_key(&step.name);
            let Some(step) = self.graph.ready(begun, done).cloned() else { break };
            let number = self.records.len() + self.working.len() + 1;
            let at = format!("[{number}/{}] {}", self.graph.steps().len(), step.name);
            let identity = step.identity(self.folder, &mut self.hashes)?;
            match self.done_before(&step, &identity)? {
                Some(record) => {
                    progress::detail(format!("{at}: done before"));
                    self.keep(&step, record, Ended::Before);
                }
                None => {
                    // What nobody reads is not estimated.
                    if progress::verbosity() > 0 {
                        let (graph, records) = (&self.graph, &self.records);
                        let ahead = || graph.steps().iter().filter(|step| !records.contains_key(&step.name));
                        self.clock.look(ahead(), self.folder);
                        progress::status(format!("{at}{}", self.clock.left(ahead())));
                    }
                    if self.executor.runs(&step) {
                        step.make_way(self.folder)?;
                    }
                    self.executor.start(&step, &identity)?;
                    self.working.insert(step.name.clone(), (step, identity));
                }
            }
        }
        Ok(())
    }

    /// The record of a step that is done, here or by another run.
    fn done_before(&mut self, step: &Step, identity: &str) -> Result<Option<Record>> {
        step.check_record(self.folder)?;
        if !self.force
            && let Some(record) = step.done(identity, self.folder, &mut self.hashes)
        {
            return Ok(Some(record));
        }
        let line = command_line(step.words(self.folder));
        let adopt = |other: &PathBuf| step.adopt(identity, &line, other, self.folder, &mut self.hashes);
        self.others.iter().map(adopt).filter_map(Result::transpose).next().transpose()
    }

    /// A step has ended.
    fn end(&mut self, ended: Finished) -> Result<()> {
        let Some((step, identity)) = self.working.remove(&ended.step) else { return Ok(()) };
        match ended.outcome.and_then(|()| step.recorded(&identity, self.folder)) {
            Ok(record) => {
                self.clock.took(&step, record.seconds);
                self.clock.ran += 1;
                let ended = Ended::Now(record.seconds);
                self.keep(&step, record, ended);
                Ok(())
            }
            Err(cause) => self.fail(&step, cause),
        }
    }

    fn keep(&mut self, step: &Step, record: Record, ended: Ended) {
        self.hashes.learn(self.folder, &record);
        self.records.insert(step.name.clone(), record);
        (self.finished)(step, ended);
    }

    /// Continues without a run that failed, if the others do not need it.
    fn fail(&mut self, step: &Step, cause: Error) -> Result<()> {
        let alone = may_fail(self.analysis, step) && !cause.is_full();
        let Some(run) = step.output().filter(|_| alone) else {
            return Err(Error::Step { step: step.name.clone(), cause: Box::new(cause) });
        };
        progress::warn(format!("{} failed: {cause}", step.name));
        self.failed.insert(run.to_string(), cause.to_string());
        (self.finished)(step, Ended::Failed);
        self.graph = planned(self.analysis, self.folder, &self.failed)?;
        self.executor.plan(&self.graph)
    }

    fn done(mut self, lock: File) -> Result<Done> {
        let record = |step: &Step| {
            let missing =
                || Error::field(&step.name, "step", "done", "never started", "report this as a defect");
            self.records.remove(&step.name).ok_or_else(missing)
        };
        let records = self.graph.steps().iter().map(record).collect::<Result<_>>()?;
        let lines = self.graph.steps().iter().map(|step| command_line(step.words(self.folder))).collect();
        Ok(Done { records, lines, failed: self.failed, ran: self.clock.ran, _lock: Some(lock) })
    }
}

/// The steps without those of failed runs, each of which is a valid command.
fn planned(analysis: &Analysis, folder: &Path, failed: &Failed) -> Result<Graph> {
    let graph = Graph::new(plan::steps(analysis, failed))?;
    graph.steps().iter().try_for_each(|step| stage(step, folder).map(drop))?;
    Ok(graph)
}

/// Refuses a run's folder in which a name that a run writes is a link: what it leads to is not the run's.
pub fn check_unlinked(folder: &Path) -> Result<()> {
    let names = ["analysis.toml", "report.html", "tables", "cells", step::RECORDS];
    names.iter().chain(&plan::FOLDERS).try_for_each(|name| files::inside(folder, name).map(drop))
}

/// Removes the page and the tables of an earlier run, and of a study its figures.
pub fn remove_page(folder: &Path) -> Result<()> {
    Own::of(folder)?.remove()
}

/// An error that names the runs that failed, once all else is done.
pub fn check_failed(failed: &Failed) -> Result<()> {
    let Some((run, cause)) = failed.first_key_value() else { return Ok(()) };
    let found = format!("{} of the runs failed; {run}: {cause}", failed.len());
    let fix = "the tables are of the others; the same command tries the failed ones again";
    Err(Error::said("training", found, fix))
}

/// How long steps take, to say what is left.
#[derive(Default)]
struct Clock {
    /// Mean seconds and number of steps by their work.
    seen: HashMap<String, (f64, usize)>,
    /// Those that an earlier run has most likely done: they will be passed over.
    before: BTreeSet<String>,
    /// What work that has not been seen comes to, in tokens of a forward pass.
    tokens: HashMap<String, f64>,
    /// Seconds of each, as they were measured, or as the steps took that are done.
    each: Option<f64>,
    /// Seconds and tokens of these.
    done: (f64, f64),
    ran: usize,
}

impl Clock {
    /// Begins with what an earlier run in this folder recorded of the same commands on the same inputs: others take another time.
    fn new(graph: &Graph, folder: &Path, force: bool) -> Clock {
        let line = |step: &Step| command_line(step.words(folder));
        let same = |step: &Step| step.record(folder).is_some_and(|record| record.command == line(step));
        let before = graph.unchanged(same);
        let mut clock = Clock { before: BTreeSet::new(), ..Clock::default() };
        for step in graph.steps().iter().filter(|step| before.contains(&step.name)) {
            if let Some(Record { seconds, .. }) = step.record(folder) {
                clock.took(step, seconds);
            }
        }
        if !force {
            clock.before = before;
        }
        clock
    }

    fn took(&mut self, step: &Step, seconds: f64) {
        let (mean, count) = self.seen.entry(step.work()).or_insert((0.0, 0));
        *mean = (*mean * *count as f64 + seconds) / (*count + 1) as f64;
        *count += 1;
        if let Some(tokens) = self.tokens.get(&step.work()) {
            self.done = (self.done.0 + seconds, self.done.1 + tokens);
            self.each = Some(self.done.0 / self.done.1);
        }
    }

    /// Learns what long steps come to whose work has not been seen, as far as it can be known by now.
    fn look<'a>(&mut self, steps: impl Iterator<Item = &'a Step>, folder: &Path) {
        for step in steps.filter(|step| step.is_heavy() && !self.before.contains(&step.name)) {
            let work = step.work();
            if self.seen.contains_key(&work) || self.tokens.contains_key(&work) {
                continue;
            }
            // What it says of heads and skipped rows the step will say.
            let found = progress::listen(|| stage(step, folder).ok()?.work()).0;
            if let Some((tokens, each)) = found {
                self.each = self.each.or(each);
                self.tokens.insert(work, tokens);
            }
        }
    }

    /// What these steps will take, by what such work took, or by what it comes to: a lower bound where neither is known.
    fn left<'a>(&self, steps: impl Iterator<Item = &'a Step>) -> String {
        let (mut seconds, mut unknown) = (0.0, false);
        for step in steps.filter(|step| !self.before.contains(&step.name)) {
            let work = step.work();
            let seen = self.seen.get(&work).map(|(mean, _)| *mean);
            let estimated = || Some(self.tokens.get(&work)? * self.each?);
            match seen.or_else(estimated) {
                Some(own) => seconds += own,
                None => unknown |= step.is_heavy(),
            }
        }
        let word = if unknown { "at least" } else { "about" };
        // A record may say anything.
        match (1.0..1e10).contains(&seconds) {
            true => format!(", {word} {} left", HumanDuration(Duration::from_secs_f64(seconds))),
            false => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis;
    use crate::run::executor::mock::{Mishap, Mock};

    /// Trainings of two arms, with or without surfaces of them.
    fn loaded(surfaces: bool) -> Loaded {
        progress::set_verbosity(0);
        let without = (!surfaces).then(|| "surface=".to_string());
        let set: Vec<String> = without.into_iter().chain(["train.seeds=2".to_string()]).collect();
        analysis::load("quickstart", &set).unwrap()
    }

    fn run_with(loaded: &Loaded, folder: &Path, mock: &mut Mock) -> Result<Done> {
        let setting = Setting { folder, others: &[], places: Places::new(), force: false };
        run(loaded, setting, mock, &mut |_, _| ())
    }

    const LAST: &str = "training of guided, seed 1";

    /// Oracle: the order of the plan. One at a time the steps are run in it; however many at once and however they end, records and
    /// outputs are the same, and nothing is run again.
    #[test]
    fn the_order_of_ending_changes_nothing() -> Result<()> {
        let loaded = loaded(true);
        let plan: Vec<String> =
            plan::steps(&loaded.analysis, &Failed::new()).into_iter().map(|step| step.name).collect();
        let mut found = Vec::new();
        for at_once in [1, 4, 100] {
            let folder = tempfile::tempdir().unwrap();
            let mut mock = Mock::new(folder.path(), at_once, None);
            let done = run_with(&loaded, folder.path(), &mut mock)?;
            assert_eq!((done.ran, mock.started == plan), (plan.len(), at_once == 1), "{at_once}");
            assert!(done.records.iter().map(|record| &record.step).eq(&plan));
            found.push(done.records.into_iter().map(|r| (r.identity, r.outputs)).collect::<Vec<_>>());
            drop(done._lock);
            let again = run_with(&loaded, folder.path(), &mut Mock::new(folder.path(), at_once, None))?;
            assert_eq!((again.ran, again.records.len()), (0, plan.len()));
        }
        assert!(found[1] == found[0] && found[2] == found[0]);
        Ok(())
    }

    /// Oracle: by hand. A training that fails, is killed or leaves nothing is named with its cause and left out of the figure, the
    /// others are done; the next run starts it, and what it was left out of, alone.
    #[test]
    fn a_training_that_fails_stops_no_other() -> Result<()> {
        let loaded = loaded(false);
        let all = plan::steps(&loaded.analysis, &Failed::new()).len();
        for (mishap, cause) in [
            (Mishap::Fails, "`loss` must be finite, found NaN"),
            (Mishap::Killed, "its process ended by signal"),
            (
                Mishap::Lost,
                "`record` must be that of a finished step, with what it wrote, found one without train/guided/seed1",
            ),
        ] {
            for at_once in [1, 3] {
                let folder = tempfile::tempdir().unwrap();
                let mut mock = Mock::new(folder.path(), at_once, Some((LAST, mishap)));
                let done = run_with(&loaded, folder.path(), &mut mock)?;
                assert_eq!((done.records.len(), done.failed.len()), (all - 1, 1), "{mishap:?}");
                assert!(done.failed["train/guided/seed1"].contains(cause), "{:?}", done.failed);
                let figure = done.lines.iter().find(|line| line.contains("figures/training.svg")).unwrap();
                assert!(figure.contains("guided/seed0") && !figure.contains("guided/seed1"), "{figure}");
                drop(done);
                let mut mock = Mock::new(folder.path(), at_once, None);
                let done = run_with(&loaded, folder.path(), &mut mock)?;
                assert_eq!((done.records.len(), done.failed.len()), (all, 0));
                assert_eq!(mock.started, [LAST, "figure of the training"]);
            }
        }
        Ok(())
    }

    /// A full disk, a step that others need, and a training whose model is looked at: an error at once that names the step. What was
    /// done before stays done.
    #[test]
    fn other_failures_stop_the_run() {
        for (surfaces, name, mishap) in [
            (false, LAST, Mishap::DiskFull),
            (false, "schedule", Mishap::Fails),
            (false, "schedule", Mishap::Lost),
            (true, LAST, Mishap::Killed),
        ] {
            let loaded = loaded(surfaces);
            let folder = tempfile::tempdir().unwrap();
            let mut mock = Mock::new(folder.path(), 1, Some((name, mishap)));
            let cause = run_with(&loaded, folder.path(), &mut mock).err().unwrap();
            assert!(matches!(&cause, Error::Step { step, .. } if step == name), "{cause}");
            assert_eq!(cause.is_full(), mishap == Mishap::DiskFull);
            assert_eq!(mock.started.last().map(String::as_str), Some(name));
            let mut again = Mock::new(folder.path(), 1, None);
            run_with(&loaded, folder.path(), &mut again).unwrap();
            assert_eq!(again.started.first().map(String::as_str), Some(name));
        }
    }

    /// Oracle: by hand. Time is told of work that has been seen, whatever its arm and seed; other epochs are other work, of which an
    /// earlier run says nothing. Steps that it has done are passed over.
    #[test]
    fn time_is_told_by_the_work() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let graph = |set: &str| {
            let set = ["surface=", "train.seeds=2", set].map(str::to_string);
            planned(&analysis::load("quickstart", &set)?.analysis, folder.path(), &Failed::new())
        };
        let trainings = |graph: &Graph| -> Vec<Step> {
            graph.steps().iter().filter(|step| step.command() == "train").cloned().collect()
        };
        let (same, longer) = (graph("train.epochs=3")?, graph("train.epochs=9")?);
        let mut clock = Clock::new(&same, folder.path(), false);
        assert_eq!(clock.left(same.steps().iter()), "");
        let (short, long) = (trainings(&same), trainings(&longer));
        assert_eq!(short.len(), 4);
        clock.took(&short[0], 600.0);
        assert_eq!(clock.left(short[1..3].iter()), ", about 20 minutes left");
        assert_eq!(clock.left(long.iter()), "");
        assert_eq!(clock.left(short[1..3].iter().chain(&long)), ", at least 20 minutes left");
        // What it comes to, by hand: 6000 tokens of 0.1 s, until a step of 2000 takes twice as long.
        let mut estimated = Clock { each: Some(0.1), ..Clock::default() };
        let surface = Step::new("surface", "surface");
        let fisher = Step::new("fisher", "fisher");
        estimated.tokens = [(&long[0], 4000.0), (&surface, 2000.0), (&fisher, 2000.0)]
            .map(|(step, tokens)| (step.work(), tokens))
            .into();
        assert_eq!(estimated.left([&long[0], &surface].into_iter()), ", about 10 minutes left");
        estimated.took(&fisher, 400.0);
        assert_eq!(estimated.left([&long[0], &surface].into_iter()), ", about 20 minutes left");
        estimated.took(&long[0], 400.0); // 800 s for 6000 tokens, and the next alike takes as long
        assert_eq!(estimated.left([&long[1], &surface].into_iter()), ", about 11 minutes left");
        let unknown = Step::new("sharpness", "sharpness");
        assert_eq!(estimated.left([&long[1], &surface, &unknown].into_iter()), ", at least 11 minutes left");
        let set = ["surface=", "train.seeds=2", "train.epochs=3"].map(str::to_string);
        run_with(
            &analysis::load("quickstart", &set)?,
            folder.path(),
            &mut Mock::new(folder.path(), 1, None),
        )?;
        let clock = Clock::new(&longer, folder.path(), false);
        assert!(
            clock.before.contains("schedule") && !long.iter().any(|step| clock.before.contains(&step.name)),
            "{:?}",
            clock.before
        );
        assert_eq!(Clock::new(&same, folder.path(), false).before.len(), same.steps().len());
        assert!(Clock::new(&same, folder.path(), true).before.is_empty());
        Ok(())
    }

    /// Oracle: the files themselves. What a kill left half-written is removed wherever a run writes, and nothing else.
    #[test]
    fn what_is_half_written_is_swept() -> Result<()> {
        let loaded = loaded(false);
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let swept =
            [".partial-a", "steps/.partial-b", "train/guided/seed0/best/.partial-c", "figures/.partial-d"];
        let kept = ["mine/.partial-e", "train/guided/seed0/partial-f", "notes.txt"];
        for path in swept.iter().chain(&kept) {
            files::write(&at(path), b"half")?;
        }
        run_with(&loaded, folder.path(), &mut Mock::new(folder.path(), 1, None))?;
        let there = |path: &&str| at(path).exists() || at(&format!("{path}.kept")).exists();
        assert!(swept.iter().all(|path| !there(path)) && kept.iter().all(there));
        Ok(())
    }
}
