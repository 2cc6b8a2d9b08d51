//! Slurm, by its own commands: `sbatch`, `squeue`, `scontrol`, `scancel`.
//!
//! The head of a batch script is the user's, as a file; our options stand on the command line of `sbatch`, where they win. Variables
//! of a job that this process may itself be in are not handed on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Submission;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::files;
use crate::provenance;
use crate::run::{read_json, write_json};

/// Seconds before the time limit at which a task is told.
const NOTICE: usize = 120;

/// The log of the end.
pub const END_LOG: &str = "end.out";

/// How an array is submitted.
#[derive(Clone, Debug)]
pub struct Headers {
    pub heavy: PathBuf,
    /// For waves of seconds.
    pub light: PathBuf,
    /// Elements of an array at once, at most.
    pub at_once: Option<usize>,
}

/// `jobs.json`: what was submitted.
#[derive(Serialize, Deserialize)]
pub struct Jobs {
    /// By this name all are found in the queue.
    pub name: String,
    /// Job ids, of each wave; the last is the end's.
    pub ids: Vec<Vec<String>>,
}

/// Runs a command of Slurm's; gives what it printed, or what it said.
fn slurm(command: &mut Command) -> Result<String, String> {
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in variables.filter(|name| is_of_a_job(name)) {
        command.env_remove(name);
    }
    let output = command.output().map_err(|e| format!("cannot start {:?}: {e}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
        false => Err(said),
    }
}

/// Whether a variable is of the job that this process is in, and would change one that it submits.
fn is_of_a_job(name: &str) -> bool {
    let of_site = ["SLURM_CONF", "SLURM_TIME_FORMAT", "SLURM_JWT"].contains(&name);
    ["SLURM_", "PMI_", "PMIX_", "OMPI_"].iter().any(|start| name.starts_with(start)) && !of_site
}

/// Elements of an array at most.
fn most_elements() -> usize {
    let config = slurm(Command::new("scontrol").args(["show", "config"])).unwrap_or_default();
    let line = config.lines().find_map(|line| line.strip_prefix("MaxArraySize"));
    let number = line.and_then(|line| line.trim_start_matches([' ', '=']).trim().parse().ok());
    // The largest index is one less than this.
    number.filter(|number| *number > 0).unwrap_or(1001)
}

/// Submits all waves, each after the one before it, and the end. The first waits until all is on the disk.
///
/// # Errors
///
/// [`Error::Field`] with what Slurm said; then nothing of it is left in the queue.
pub fn submit(submission: &Submission, plan: &Plan, headers: &Headers) -> Result<Jobs> {
    let mut jobs = Jobs { name: submission.job_name()?, ids: Vec::new() };
    let heads = [read_head(&headers.light)?, read_head(&headers.heavy)?];
    let most = most_elements();
    let logs = submission.folder.join("log");
    std::fs::create_dir_all(&logs).map_err(Error::io(&logs, "create"))?;
    let mut after: Option<String> = None;
    for number in 1..=plan.waves.len() + 1 {
        let wave = plan.waves.get(number - 1);
        let light = wave.is_none_or(|wave| wave.light);
        let head = &heads[usize::from(!light)];
        let elements = wave.map_or(1, |wave| wave.elements.len());
        let mut ids = Vec::new();
        for first in (0..elements).step_by(most) {
            let script = submission.folder.join(format!("wave-{number}-{first}.sh"));
            let index = if wave.is_some() {
                format!("{number} \"$(({first} + SLURM_ARRAY_TASK_ID))\"")
            } else {
                "end".into()
            };
            files::write(&script, script_text(head, submission, &index)?.as_bytes())?;
            let last = (elements - first).min(most) - 1;
            let at_once = headers.at_once.filter(|_| !light).map_or(String::new(), |n| format!("%{n}"));
            let mut command = Command::new("sbatch");
            command.current_dir(&plan.from).args(["--parsable", "--requeue", "--open-mode=append"]);
            command.args([format!("--job-name={}", jobs.name), format!("--signal=B:USR1@{NOTICE}")]);
            if wave.is_some() {
                command.arg(format!("--array=0-{last}{at_once}"));
            }
            match &after {
                None => command.arg("--hold"),
                Some(after) => {
                    command.args([format!("--dependency={after}"), "--kill-on-invalid-dep=yes".into()])
                }
            };
            let log = if wave.is_some() { format!("{number}-{first}-%a.out") } else { END_LOG.into() };
            command.arg(format!("--output={}", logs.join(log).display())).arg(&script);
            match slurm(&mut command) {
                // ID, or ID;CLUSTER
                Ok(id) => ids.push(id.split(';').next().unwrap_or(&id).to_string()),
                Err(said) => {
                    cancel(&jobs.name);
                    let header = if light { &headers.light } else { &headers.heavy };
                    let fix = "correct its #SBATCH lines; nothing of this submission is left in the queue";
                    return Err(Error::said(
                        header.display(),
                        format!("sbatch refuses the header: {said}"),
                        fix,
                    ));
                }
            }
        }
        // Elements that fail are reported by what lacks them; after a wave of seconds that broke down nothing can follow.
        let word = if light { "afterok" } else { "afterany" };
        after = Some(format!("{word}:{}", ids.join(":")));
        jobs.ids.push(ids);
    }
    write_json(&submission.jobs_path(), &jobs)?;
    for id in jobs.ids.first().into_iter().flatten() {
        slurm(Command::new("scontrol").args(["release", id])).map_err(|said| {
            let fix = format!("release it by hand: scontrol release {id}");
            Error::said(submission.folder.display(), format!("job {id} cannot be released: {said}"), fix)
        })?;
    }
    Ok(jobs)
}

/// The head of a batch script.
fn read_head(path: &Path) -> Result<String> {
    let text = files::read_text(path)?;
    match text.starts_with("#!") {
        true => Ok(text),
        false => {
            let found = text.lines().next().unwrap_or_default();
            let fix = "begin the file with #!/bin/bash, then lines such as #SBATCH --partition=gpu --gres=gpu:1 --time=2:00:00";
            Err(Error::field(path.display(), "header", "the head of a batch script", found, fix))
        }
    }
}

/// A head with our line behind it. `exec` hands signals on to the program.
fn script_text(head: &str, submission: &Submission, index: &str) -> Result<String> {
    let program = submission.program_path().canonicalize().map_err(Error::io(&submission.folder, "find"))?;
    let folder = submission.folder.canonicalize().map_err(Error::io(&submission.folder, "find"))?;
    let quoted = |path: &Path| provenance::quoted(path.display().to_string());
    let threads = "${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}";
    let (program, folder) = (quoted(&program), quoted(&folder));
    Ok(format!(
        "{}\nexport HF_HUB_OFFLINE=1\nexec {program} --threads \"{threads}\" task {folder} {index}\n",
        head.trim_end()
    ))
}

/// A job in the queue.
pub struct Queued {
    /// As `squeue` shortens it: R, PD, CG.
    pub state: String,
    pub node: String,
    pub reason: String,
}

/// What the queue says of a submission.
pub enum Queue {
    /// Nothing was submitted.
    None,
    /// Slurm gives no answer, which says nothing of the jobs.
    Silent,
    Jobs(Vec<Queued>),
}

impl Queue {
    /// Of a submission's jobs, if it has some.
    pub fn of(jobs: Option<&Jobs>) -> Queue {
        jobs.map_or(Queue::None, |jobs| queue(&jobs.name).map_or(Queue::Silent, Queue::Jobs))
    }

    pub fn jobs(&self) -> &[Queued] {
        if let Queue::Jobs(jobs) = self { jobs } else { &[] }
    }
}

/// The jobs of this name that are at work or wait; nothing where Slurm gives no answer.
pub fn queue(name: &str) -> Option<Vec<Queued>> {
    let format = "%t|%N|%r";
    let found =
        slurm(Command::new("squeue").args(["--noheader", "--array", "--name", name, "--format", format]))
            .ok()?;
    let job = |line: &str| {
        let mut fields = line.split('|').map(|field| field.trim().to_string());
        Some(Queued { state: fields.next()?, node: fields.next()?, reason: fields.next()? })
    };
    Some(found.lines().filter_map(job).collect())
}

/// Takes all jobs of this name out of the queue.
pub fn cancel(name: &str) {
    // Where Slurm does not answer, the next run finds them by their name.
    let _ = slurm(Command::new("scancel").args(["--name", name]));
}

/// The jobs, for `scancel`.
pub fn ids(jobs: &Jobs) -> String {
    let all: BTreeSet<&str> = jobs.ids.iter().flatten().map(String::as_str).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// Has the job of this process started again; gives its id. None where it is in no job of Slurm's.
pub fn requeue() -> Option<String> {
    let id = provenance::job_id()?;
    slurm(Command::new("scontrol").args(["requeue", &id])).ok().map(|_| id)
}

/// The jobs of a submission, once all were submitted.
pub fn submitted(submission: &Submission) -> Result<Option<Jobs>> {
    let path = submission.jobs_path();
    if files::exists(&path) { read_json(&path).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: Slurm's manual. What a job sets does not reach one that it submits; where Slurm is, does.
    #[test]
    fn variables_of_a_job_are_not_handed_on() {
        for name in
            ["SLURM_CPU_BIND", "SLURM_JOB_ID", "SLURM_MEM_PER_NODE", "PMI_RANK", "OMPI_COMM_WORLD_RANK"]
        {
            assert!(is_of_a_job(name), "{name}");
        }
        for name in ["SLURM_CONF", "SBATCH_ACCOUNT", "PATH", "MY_SLURM_X"] {
            assert!(!is_of_a_job(name), "{name}");
        }
    }
}
