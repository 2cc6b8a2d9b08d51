//! TERM and USR1: keep what was done, and end. After USR1, which a header asks for before the time limit, Slurm starts the job again.
//!
//! Training saves its state when it is asked to; of all else what is done is on the disk at all times. A job that kept nothing is not
//! started again: it would never end.

use std::sync::OnceLock;
use std::time::Duration;

use crate::{progress, stop};

/// The signal that came.
static CAME: OnceLock<i32> = OnceLock::new();
/// How long work that looks at signals may take to keep what it did.
const PATIENCE: Duration = Duration::from_secs(60);

/// Minds them from now on.
#[cfg(unix)]
pub fn mind() {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1]) else { return };
    // Without a thread for it, signals end the program without a word.
    let _ = std::thread::Builder::new().spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        let _ = CAME.set(signal);
        if stop::ask() {
            std::thread::sleep(PATIENCE);
        }
        end();
    });
}

#[cfg(not(unix))]
pub fn mind() {}

/// Ends this process as the signal asks.
#[cfg(unix)]
pub fn end() -> ! {
    use signal_hook::consts::SIGUSR1;
    let signal = CAME.get().copied().unwrap_or_default();
    let code = match signal {
        SIGUSR1 => at_the_limit(),
        _ => {
            progress::stopped();
            128 + signal
        }
    };
    signal_hook::low_level::exit(code)
}

#[cfg(not(unix))]
pub fn end() -> ! {
    std::process::exit(1)
}

/// Has the job started again, if that brings it on; gives the exit code.
fn at_the_limit() -> i32 {
    if !stop::has_gained() {
        progress::warn(
            "the time limit is shorter than one unit of this work: give it more time (#SBATCH --time)",
        );
        return 1;
    }
    match super::slurm::requeue() {
        Some(job) => {
            progress::status(format!("near the time limit: {job} is started again and resumes"));
            0
        }
        None => {
            progress::stopped();
            75
        }
    }
}
