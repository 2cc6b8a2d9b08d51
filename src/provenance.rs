//! Where a result came from: command, version, hashes of the inputs, and what the result does not depend on
//! (time, processor, threads).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::hub::{self, Place, Wanted};
use crate::{files, progress};

/// Begun when a command starts, written beside its result.
#[derive(Serialize)]
pub struct Provenance {
    fisherscape: &'static str,
    command: String,
    seed: Option<u64>,
    /// Seconds since 1970-01-01 UTC.
    started: u64,
    wall_seconds: f64,
    /// Largest resident memory of the process, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_mib: Option<u64>,
    threads: usize,
    processor: String,
    /// Results have the same bits where this is the same.
    arithmetic: String,
    /// The job of a cluster, and its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// BLAKE3 of what went in.
    inputs: BTreeMap<String, String>,
    /// Commits of what was given by a name on the hub.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    hub: BTreeMap<String, String>,
    #[serde(skip)]
    clock: Instant,
}

impl Provenance {
    /// Starts the clock; `command` is the line that repeats the work.
    pub fn start(command: &str, seed: Option<u64>) -> Provenance {
        Provenance {
            fisherscape: env!("CARGO_PKG_VERSION"),
            command: command.to_string(),
            seed,
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            wall_seconds: 0.0,
            peak_mib: None,
            threads: rayon::current_num_threads(),
            processor: processor(),
            // That of the device, which is known at the end.
            arithmetic: String::new(),
            job: job(),
            inputs: BTreeMap::new(),
            hub: BTreeMap::new(),
            clock: Instant::now(),
        }
    }

    /// Notes an input by the hash of its content.
    pub fn input(&mut self, name: impl Into<String>, hash: impl Into<String>) {
        self.inputs.insert(name.into(), hash.into());
    }

    /// Notes a checkpoint by its hash and, where `given` is a name on the hub, by its commit.
    pub fn checkpoint(&mut self, name: impl Into<String>, given: &Path, hash: &str) -> Result<()> {
        self.input(name, hash);
        self.origin(&hub::locate(given, Wanted::Checkpoint)?);
        Ok(())
    }

    /// Notes the commit of what came from the hub.
    pub fn origin(&mut self, place: &Place) {
        let origin = place.origin.iter().map(|origin| (origin.name.clone(), origin.commit.clone()));
        self.hub.extend(origin);
    }

    /// Notes a file that went in.
    pub fn input_file(&mut self, name: &str, path: &Path) -> Result<()> {
        self.input(format!("{name}: {}", path.display()), files::hash_file(path)?);
        Ok(())
    }

    /// Stops the clock and writes.
    pub fn write(self, path: &Path) -> Result<()> {
        self.write_each(&[path.to_path_buf()])
    }

    /// Stops the clock and writes the same to several files.
    pub fn write_each(mut self, paths: &[PathBuf]) -> Result<()> {
        self.wall_seconds = (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        self.peak_mib = peak_mib();
        self.arithmetic = arithmetic();
        let took = format!("{:.1} s, peak memory {} MiB", self.wall_seconds, self.peak_mib.unwrap_or(0));
        match self.wall_seconds > progress::LONG {
            true => progress::note(took),
            false => progress::detail(took),
        }
        let text = toml::to_string(&self).map_err(|e| {
            Error::said("provenance", format!("it cannot be written as TOML: {e}"), "report this")
        })?;
        paths.iter().try_for_each(|path| files::write(path, text.as_bytes()))
    }
}

/// The command line of these words, to be repeated elsewhere: the program's own place is left out.
pub fn command_line(words: impl IntoIterator<Item = String>) -> String {
    std::iter::once("fisherscape".to_string())
        .chain(words.into_iter().map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a shell takes it for one.
pub fn quoted(word: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+.,:/@%".contains(c) || !c.is_ascii();
    match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// `RESULT.provenance.toml` for a result.
pub fn beside(result: &Path) -> PathBuf {
    files::with_ending(result, "provenance.toml")
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

/// The arithmetic of the device that the present work is done on, if that is not the CPU.
static DEVICE: Mutex<Option<String>> = Mutex::new(None);

/// Says what the bits of results from now on depend on; none: on the processor.
pub fn computed_on(arithmetic: Option<String>) {
    *DEVICE.lock().unwrap_or_else(PoisonError::into_inner) = arithmetic;
}

/// What the bits of results depend on: the device, or how the processor adds.
pub fn arithmetic() -> String {
    let device = DEVICE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    device.unwrap_or_else(|| processor_arithmetic().to_string())
}

/// How the processor adds products, fused with the addition or not, and whose `tanh` and the like there are, if they are musl's: these
/// round otherwise than glibc's. Caches and the width of vectors make no difference.
fn processor_arithmetic() -> &'static str {
    let musl = cfg!(target_env = "musl");
    #[cfg(target_arch = "x86_64")]
    if !std::arch::is_x86_feature_detected!("fma") {
        return if musl { "x86_64 without fma, musl" } else { "x86_64 without fma" };
    }
    match (std::env::consts::ARCH, musl) {
        ("x86_64", false) => "x86_64 fma",
        ("x86_64", true) => "x86_64 fma, musl",
        ("aarch64", true) => "aarch64, musl",
        (other, _) => other,
    }
}

/// The number of Slurm's job that this process belongs to, with its element of an array; none elsewhere.
pub fn job_id() -> Option<String> {
    let var = |name: &str| std::env::var(name).ok();
    let array =
        var("SLURM_ARRAY_JOB_ID").zip(var("SLURM_ARRAY_TASK_ID")).map(|(job, i)| format!("{job}_{i}"));
    array.or_else(|| var("SLURM_JOB_ID"))
}

/// Slurm's job that this process belongs to, its node and how often it was started again; none elsewhere.
pub fn job() -> Option<String> {
    let var = |name: &str| std::env::var(name).ok();
    let job = job_id()?;
    let node = var("SLURMD_NODENAME").map_or(String::new(), |node| format!(" on {node}"));
    let restarts = match var("SLURM_RESTART_COUNT").as_deref() {
        None | Some("0") => String::new(),
        Some("1") => ", started again once".into(),
        Some(count) => format!(", started again {count} times"),
    };
    Some(format!("Slurm job {job}{node}{restarts}"))
}

/// The processor, in words.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|l| l.split_once(": "));
    model.map_or(std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}
