//! Time and memory of a long run, said before it begins.

use std::time::{Duration, Instant};

use indicatif::HumanDuration;

use crate::data::{Batch, Example};
use crate::error::Result;
use crate::model::{BertConfig, Objective};
use crate::params::{self, ParamMap};
use crate::progress;
use crate::tasks::{Answer, Kind};

/// A backward pass that also squares or applies gradients, in forward passes: measured from 3.5 (a small classifier) to
/// 4.5 (a tiny masked LM), the forward pass included.
pub const BACKWARD: f64 = 4.0;

/// Bytes beside parameters and activations: the program, its tokenizer, what the allocator keeps.
const PROGRAM: usize = 64 << 20;

/// Examples that are timed.
const PROBE: usize = 16;

/// Says what a run will take, if it is long or wants more memory than there is.
pub fn tell(what: &str, seconds: f64, bytes: usize) {
    let mib = (bytes + PROGRAM) >> 20;
    if seconds > progress::LONG {
        let time = HumanDuration(Duration::from_secs_f64(seconds));
        progress::note(format!("{what}: about {time} and {mib} MiB of memory"));
    }
    if let Some(free) = available_bytes().map(|bytes| bytes >> 20).filter(|free| *free < mib) {
        // At once, also inside an analysis: what it warns of leaves no record.
        progress::warn(format!("{what} wants about {mib} MiB of memory, of which {free} are free"));
    }
}

/// Seconds of an evaluation for each token of the examples that `by_length` names: those of a batch in the middle.
pub fn seconds_each(
    objective: &impl Objective,
    theta: &ParamMap,
    examples: &[Example],
    by_length: &[usize],
) -> Result<f64> {
    let theta = params::detached(theta);
    let middle = by_length.len().saturating_sub(PROBE) / 2;
    let members: Vec<&Example> = by_length.iter().skip(middle).take(PROBE).map(|&n| &examples[n]).collect();
    let batch = Batch::new(&members, 0);
    // The first run takes pages from the system; a long job does that once.
    objective.losses(&theta, &batch)?;
    let started = Instant::now();
    objective.losses(&theta, &batch)?;
    Ok(started.elapsed().as_secs_f64() / batch.ids.len().max(1) as f64)
}

/// Tokens of all examples.
pub fn tokens(examples: &[Example]) -> usize {
    examples.iter().map(Example::len).sum()
}

/// Bytes of the activations of a batch of at most `most` tokens of these examples: those of one layer in a forward pass,
/// those of all layers with a backward pass to come.
pub fn activations(
    config: &BertConfig,
    kind: Kind,
    examples: &[Example],
    most: usize,
    backward: bool,
) -> usize {
    let longest = examples.iter().map(Example::len).max().unwrap_or(0);
    let all = tokens(examples);
    let tokens = most.max(longest).min(all);
    let (h, inner) = (config.hidden_size, config.intermediate_size);
    // Input, key, value, query, context, two projections, two LayerNorms with what they keep; the feed-forward pair.
    let layer = tokens * (11 * h + 2 * inner + config.num_attention_heads * longest);
    let values = match backward {
        false => layer,
        true => {
            let targets: usize = examples.iter().map(Example::targets).sum();
            // A task's own classes are few.
            let classes = if kind.spec().answer == Answer::Token { config.vocab_size } else { 0 };
            // Logits, their gradient, and a copy for the tied decoder.
            layer * (config.num_hidden_layers + 1) + 3 * (targets * tokens / all.max(1)) * classes
        }
    };
    values * size_of::<f32>()
}

/// Bytes of memory that are free, where the system says it.
pub fn available_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? * 1024)
}
