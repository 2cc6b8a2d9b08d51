//! Time and memory of a long run, said before it begins.

use std::time::{Duration, Instant};

use indicatif::HumanDuration;

use crate::data::{Batch, Example};
use crate::error::Result;
use crate::model::Objective;
use crate::params::{self, ParamMap};
use crate::progress;

/// A backward pass that also squares or applies gradients, in forward passes: measured from 3.5 (a small classifier) to
/// 4.5 (a tiny masked LM), the forward pass included.
pub const BACKWARD: f64 = 4.0;

/// Bytes beside parameters and activations: the program, its tokenizer, what the allocator keeps.
const PROGRAM: usize = 64 << 20;

/// Examples that are timed: a few, and more where those take no time that could be told from none.
const PROBES: [usize; 2] = [2, 16];

/// Seconds that a timing should take at least.
const ENOUGH: f64 = 0.05;

/// Says what a run will take, if it is long or wants more memory than there is.
pub fn tell(what: &str, seconds: f64, bytes: usize) {
    progress::at_work(what);
    let mib = (bytes + PROGRAM) >> 20;
    if seconds > progress::LONG {
        // No clock holds more than some 10^19 seconds.
        let time = HumanDuration(Duration::from_secs_f64(seconds.min(1e12)));
        progress::note(format!("{what}: about {time} and {mib} MiB of memory"));
    }
    if let Some(free) = available_bytes().map(|bytes| bytes >> 20).filter(|free| *free < mib) {
        // At once, also inside an analysis: what it warns of leaves no record.
        progress::warn(format!("{what} wants about {mib} MiB of memory, of which {free} are free"));
    }
}

/// Seconds of an evaluation for each token of the examples that `by_length` names: those of a few in the middle.
pub fn seconds_each(
    objective: &(impl Objective + ?Sized),
    theta: &ParamMap,
    examples: &[Example],
    by_length: &[usize],
) -> Result<f64> {
    let theta = params::detached(theta);
    let mut each = 0.0;
    for probe in PROBES {
        let middle = by_length.len().saturating_sub(probe) / 2;
        let members = by_length.iter().skip(middle).take(probe).map(|&n| &examples[n]);
        let batch = Batch::new(&members.collect::<Vec<&Example>>(), 0);
        // The first run takes pages from the system; a long job does that once.
        objective.losses(&theta, &batch)?;
        let started = Instant::now();
        objective.losses(&theta, &batch)?;
        let seconds = started.elapsed().as_secs_f64();
        each = seconds / batch.ids.len().max(1) as f64;
        if seconds > ENOUGH {
            break;
        }
    }
    Ok(each)
}

/// Tokens of all examples.
pub fn tokens(examples: &[Example]) -> usize {
    examples.iter().map(Example::size).sum()
}

/// Bytes of memory that are free, where the system says it; no more than this process may have.
pub fn available_bytes() -> Option<usize> {
    let kilobytes = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB");
        Some(value.parse::<usize>().ok()? * 1024)
    };
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    let limit = limit.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let left =
        limit.zip(kilobytes("/proc/self/status", "VmSize:")).map(|(limit, own)| limit.saturating_sub(own));
    let free = kilobytes("/proc/meminfo", "MemAvailable:");
    left.into_iter().chain(free).min()
}
