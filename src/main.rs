//! The binary: parse, set up threads, run, print what went wrong.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use fisherscape::{cli::Cli, progress};

// Fresh pages from the system cost a quarter of candle's training time; this allocator keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's option `purge_delay`, in milliseconds, which its bindings leave without a name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Memory that a pass frees is what the next one takes, some seconds later in a large model; given back at once it would
    // come zeroed, page by page.
    // SAFETY: sets a number that is read when memory is freed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 30_000) };
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(answer) => return told(&answer),
    };
    progress::set_verbosity(cli.verbosity());
    // Work is split over examples and batches, so each tensor operation runs on the thread that asks for it. candle
    // reads these two once, before any thread starts here.
    // SAFETY: no other thread exists yet.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", "1");
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let outcome = rayon::ThreadPoolBuilder::new()
        .num_threads(cli.threads())
        .build_global()
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(cli.command.run()?))
        .and_then(|code| Ok(progress::check_out().map(|()| code)?));
    match outcome {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Help, the version, or what is wrong with the words of the command line.
fn told(answer: &clap::Error) -> ExitCode {
    progress::lose(answer.print());
    match progress::check_out() {
        Ok(()) => ExitCode::from(answer.exit_code() as u8),
        Err(error) => failed(&error.into()),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
