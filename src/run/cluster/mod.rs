//! A run on many machines: its long steps as elements of a plan, submitted to Slurm or started by hand, and put together at the end.
//!
//! Nothing of this stays at work between: what is done is seen from the records in the run's folder, and the queue is a hint alone. A
//! submission has a folder of its own, `cluster/0001`: the plan, the analysis and the program as they were, scripts and logs.

mod plan;
mod signals;
mod slurm;
mod status;
mod task;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

pub use self::plan::Cut;
use self::plan::{Asked, Job, Plan};
pub use self::slurm::Headers;
use self::slurm::Queue;
use self::status::Standing;
use super::executor::Kind;
use super::executor::gather::wait_until;
use super::failure::Failure;
use super::inputs::{Missing, check_inputs};
use super::step::Record;
use super::{Order, check_own, read_json, study, write_json};
use crate::analysis::{self, Loaded};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{self, say};
use crate::provenance::quoted;

/// The folder of the submissions in a run's folder.
const FOLDER: &str = "cluster";

/// A folder of a submission; its path is absolute.
pub struct Submission {
    pub folder: PathBuf,
}

impl Submission {
    /// The newest of a run.
    fn newest(run: &Path) -> Result<Option<Submission>> {
        let all = run.join(FOLDER);
        if !all.is_dir() {
            return Ok(None);
        }
        let last = files::list(&all)?.into_iter().rfind(|path| path.join("plan.json").is_file());
        last.map(|folder| Submission::open(&folder)).transpose()
    }

    /// The one at `folder`, or the newest of the run there.
    fn find(folder: &Path) -> Result<Submission> {
        if folder.join("plan.json").is_file() {
            return Submission::open(folder);
        }
        let fix =
            "name the folder of a run that `fisherscape run ANALYSIS --plan` or `--slurm HEADER.sh` began";
        let none = || Error::said(folder.display(), "the folder has no plan of a run (in cluster/)", fix);
        Submission::newest(folder)?.ok_or_else(none)
    }

    fn open(folder: &Path) -> Result<Submission> {
        Ok(Submission { folder: folder.canonicalize().map_err(Error::io(folder, "find"))? })
    }

    /// Makes the next one of a run.
    fn next(run: &Path) -> Result<Submission> {
        let free =
            (1..).map(|number| run.join(FOLDER).join(format!("{number:04}"))).find(|path| !path.exists());
        let folder = free.unwrap_or_default(); // there is always one
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
        Submission::open(&folder)
    }

    fn plan_path(&self) -> PathBuf {
        self.folder.join("plan.json")
    }

    fn jobs_path(&self) -> PathBuf {
        self.folder.join("jobs.json")
    }

    fn program_path(&self) -> PathBuf {
        self.folder.join("fisherscape")
    }

    fn text_path(&self) -> PathBuf {
        self.folder.join("analysis.toml")
    }

    /// Its plan, if it is of this version.
    fn read(&self) -> Result<Plan> {
        let path = self.plan_path();
        let plan: Plan = read_json(&path)?;
        let own = env!("CARGO_PKG_VERSION");
        match plan.version == own {
            true => Ok(plan),
            false => {
                let fix = "use that version, or plan the run anew";
                Err(Error::field(path.display(), "version", own, plan.version, fix))
            }
        }
    }

    /// Goes to where the plan was made, from where the names of its files lead; gives the run's folder as it was named there, so that
    /// what is written says the same as on one machine.
    fn enter(&self, plan: &Plan) -> Result<PathBuf> {
        let own = self.folder.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        let there = plan.from.join(&plan.folder).canonicalize();
        if there.is_ok_and(|there| there == own) && std::env::set_current_dir(&plan.from).is_ok() {
            return Ok(plan.folder.clone());
        }
        progress::note(format!(
            "{}: not seen from here; files are named from the current folder",
            plan.from.display()
        ));
        Ok(own)
    }

    /// What its jobs are called in the queue: of this folder, whoever else has one of that number.
    fn job_name(&self) -> Result<String> {
        let hash = files::hash(self.folder.as_os_str().as_encoded_bytes());
        let number = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(format!("fs-{}-{number}", &hash[..8]))
    }
}

/// What is missing of a run, in a new submission; none if that takes seconds.
fn plan(loaded: &Loaded, order: &Order, cut: Cut) -> Result<Option<(Submission, Plan)>> {
    let folder = order.folder;
    check_own(loaded, folder)?;
    let analyses: Vec<(String, &Loaded)> = match &loaded.study {
        None => vec![(String::new(), loaded)],
        Some(study) => {
            let cells = study.cells.iter().filter(|cell| study.runs(cell));
            cells.map(|cell| (study::cell_path(cell), &cell.loaded)).collect()
        }
    };
    let mut asked = Vec::new();
    let mut locks = Vec::new();
    if loaded.study.is_some() {
        locks.push(study::locked(&folder.join("cells"))?);
    }
    for (own, loaded) in analyses {
        let places = check_inputs(loaded, Missing::Fetch)?;
        locks.push(files::lock(&super::step::records(&folder.join(&own))?.join("lock"))?);
        asked.push(Asked { folder: own, analysis: &loaded.analysis, places });
    }
    let (cells, waves) = plan::waves(asked, folder, cut)?;
    if waves.iter().all(|wave| wave.light) {
        return Ok(None);
    }
    let from = std::env::current_dir().map_err(Error::io(Path::new("."), "find"))?;
    let plan = Plan {
        version: env!("CARGO_PKG_VERSION").into(),
        from,
        folder: folder.to_path_buf(),
        command: order.command.into(),
        only: loaded.study.as_ref().map_or(Vec::new(), |study| study.only.clone()),
        cells,
        waves,
    };
    // What failed before is tried again.
    for job in plan.jobs() {
        let (step, own) = plan.step(job, folder);
        Failure::remove(step, &own)?;
    }
    let submission = Submission::next(folder)?;
    files::write(&submission.text_path(), loaded.text.as_bytes())?;
    write_json(&submission.plan_path(), &plan)?;
    Ok(Some((submission, plan)))
}

/// Writes what is missing of a run as a plan, and says how to carry it out by hand.
///
/// # Errors
///
/// As [`super::run`], before any work.
pub fn write_plan(loaded: &Loaded, order: &Order, cut: Cut) -> Result<()> {
    check_idle(order.folder)?;
    let folder = quoted(order.folder.display().to_string());
    let again = order.command.replace(" --plan", "");
    let Some((submission, plan)) = plan(loaded, order, cut)? else {
        say!("{folder}: no long step is missing");
        say!("  {again}");
        progress::answer(|| json!({"plan": null, "elements": []}));
        return Ok(());
    };
    let elements: Vec<usize> = plan.waves.iter().map(|wave| wave.elements.len()).collect();
    progress::answer(|| json!({"plan": submission.folder.display().to_string(), "elements": elements}));
    say!("{}: {}", submission.folder.display(), summary(&plan));
    for (number, wave) in (1..).zip(&plan.waves) {
        match wave.elements.len() {
            1 => say!("  fisherscape task {folder} {number} 0"),
            elements => say!("  seq 0 {} | parallel fisherscape task {folder} {number} {{}}", elements - 1),
        }
    }
    say!("  {again}");
    Ok(())
}

/// A plan in a line.
fn summary(plan: &Plan) -> String {
    let long = || plan.waves.iter().filter(|wave| !wave.light);
    let steps: usize = long().flat_map(|wave| &wave.elements).map(Vec::len).sum();
    let elements: usize = long().map(|wave| wave.elements.len()).sum();
    let of = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let cells =
        if plan.cells.len() > 1 { format!("{}, ", of(plan.cells.len(), "cell")) } else { String::new() };
    format!(
        "{cells}{} of work in {}, {}",
        of(steps, "piece"),
        of(elements, "element"),
        of(long().count(), "wave")
    )
}

/// Runs an analysis by Slurm: submits what is missing, or finds what is in the queue; then watches it, and puts all together.
///
/// # Errors
///
/// As [`super::run`]; what Slurm refuses.
pub fn run(loaded: &Loaded, order: &Order, cut: Cut, headers: &Headers, detach: bool) -> Result<()> {
    let (submission, plan, name) = match at_work(order.folder)? {
        Some(found) => found,
        None => {
            let Some((submission, plan)) = plan(loaded, order, cut)? else {
                return super::run(loaded, &Order { executor: Kind::Gather, ..*order });
            };
            let program = std::env::current_exe().map_err(Error::io(Path::new("fisherscape"), "find"))?;
            let copy = submission.program_path();
            std::fs::copy(&program, &copy).map_err(Error::io(&copy, "write"))?;
            progress::status(format!("{}: {}", order.folder.display(), summary(&plan)));
            let jobs = slurm::submit(&submission, &plan, headers)?;
            let ids = slurm::ids(&jobs);
            progress::status(format!("submitted {ids}: {}", submission.folder.display()));
            (submission, plan, jobs.name)
        }
    };
    if detach {
        say!("  fisherscape status {} shows how far it is", order.folder.display());
        progress::answer(|| json!({"plan": submission.folder.display().to_string(), "name": name}));
        return Ok(());
    }
    watch(order.folder, &submission, &plan, &name);
    end(&submission)
}

/// The newest submission, its plan and the name of its jobs, if any of these is in the queue. One that was cut short is taken back.
fn at_work(folder: &Path) -> Result<Option<(Submission, Plan, String)>> {
    let Some(submission) = Submission::newest(folder)? else { return Ok(None) };
    let Some(jobs) = slurm::submitted(&submission)? else {
        slurm::cancel(&submission.job_name()?);
        return Ok(None);
    };
    match slurm::queue(&jobs.name) {
        Some(queued) if queued.is_empty() => Ok(None),
        Some(_) => {
            let plan = submission.read()?;
            Ok(Some((submission, plan, jobs.name)))
        }
        None => {
            let fix = "try again on a login node; `fisherscape status` works without Slurm";
            Err(Error::said("--slurm", "squeue does not answer", fix))
        }
    }
}

/// Refuses a run by hand while its jobs are in the queue.
///
/// # Errors
///
/// [`Error::Field`] that names them.
pub fn check_idle(folder: &Path) -> Result<()> {
    let Some(submission) = Submission::newest(folder)? else { return Ok(()) };
    // From now on other nodes may have been at work here.
    files::others_at_work();
    let Some(jobs) = slurm::submitted(&submission)? else { return Ok(()) };
    match slurm::queue(&jobs.name) {
        Some(queued) if !queued.is_empty() => {
            let ids = slurm::ids(&jobs);
            let fix = format!(
                "wait for them (`fisherscape status {}`), or end them: scancel {ids}",
                folder.display()
            );
            Err(Error::said(folder.display(), format!("jobs are at work for this folder: {ids}"), fix))
        }
        _ => Ok(()),
    }
}

/// Says how it goes, until no job is left in the queue.
fn watch(folder: &Path, submission: &Submission, plan: &Plan, name: &str) {
    let (mut pause, mut said) = (Duration::from_secs(1), String::new());
    let mut answers = true;
    loop {
        let queue = match slurm::queue(name) {
            Some(jobs) if jobs.is_empty() => return,
            Some(jobs) => Queue::Jobs(jobs),
            None => Queue::Silent,
        };
        let silent = matches!(queue, Queue::Silent);
        if answers && silent {
            progress::note("Slurm does not answer; progress is read from the files");
        }
        answers = !silent;
        let line = Standing::of(folder, submission, plan, queue).line();
        if line != said {
            progress::status(&line);
            said = line;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_secs(30));
    }
}

/// Runs an element of a plan, or the end: figures, tables and the page of what was done.
///
/// # Errors
///
/// [`Error::Field`] for what the plan does not have, a full disk, and those of a run.
pub fn task(folder: &Path, wave: Option<usize>, element: usize) -> Result<ExitCode> {
    let submission = Submission::find(folder)?;
    match wave {
        Some(wave) => task::run(&submission, wave, element),
        None => end(&submission).map(|()| ExitCode::SUCCESS),
    }
}

/// Puts together what the tasks have done; the analysis is that of the submission.
fn end(submission: &Submission) -> Result<()> {
    let plan = submission.read()?;
    files::others_at_work();
    let folder = submission.enter(&plan)?;
    let mut loaded = analysis::load(&submission.text_path().display().to_string(), &[])?;
    if !plan.only.is_empty() {
        loaded.only_cells(&plan.only)?;
    }
    // A task that was started twice may still be at work.
    for cell in &plan.cells {
        files::wait_for_lock(&super::step::records(&folder.join(&cell.folder))?.join("lock"))?;
    }
    // What other nodes have just written may not be seen yet.
    wait_until(|| plan.jobs().filter(|job| job.part.is_none()).all(|job| is_seen(&plan, job, &folder)));
    let order = Order { folder: &folder, command: &plan.command, force: false, executor: Kind::Gather };
    super::run(&loaded, &order)
}

/// Whether what became of a job is seen from here: its record with what it wrote, or why it failed.
fn is_seen(plan: &Plan, job: &Job, folder: &Path) -> bool {
    let (step, own) = plan.step(job, folder);
    let whole = |record: Record| record.outputs.keys().all(|path| files::is_plain(&own.join(path)));
    Failure::read(step, &own).is_some() || job.record(step, &own).is_some_and(whole)
}

/// Says where the newest submission of a run stands.
///
/// # Errors
///
/// [`Error::Field`] for a folder without one.
pub fn tell(folder: &Path) -> Result<()> {
    let submission = Submission::find(folder)?;
    let plan = submission.read()?;
    let jobs = slurm::submitted(&submission)?;
    let run = submission.folder.ancestors().nth(2).unwrap_or(folder).to_path_buf();
    let standing = Standing::of(&run, &submission, &plan, Queue::of(jobs.as_ref()));
    progress::answer(|| standing.document());
    standing.lines().iter().for_each(|line| say!("{line}"));
    if let Some(jobs) = jobs.filter(|_| standing.is_at_work()) {
        say!("stop with: scancel {}", slurm::ids(&jobs));
    }
    Ok(())
}
