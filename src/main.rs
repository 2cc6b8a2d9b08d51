//! The binary: parse, set up threads, run, print what went wrong.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use fisherscape::cli::{Cli, Command};
use fisherscape::{Error, progress};
use mimalloc::MiMalloc;

// Fresh pages from the system cost a quarter of candle's training time; this allocator keeps them.
#[global_allocator]
static ALLOCATOR: Told = Told;

/// mimalloc, which says so where the system has no memory left, and ends the program: else Rust would abort it.
struct Told;

// SAFETY: each call goes to mimalloc as it came, and what mimalloc gives goes back; where that is nothing, none does.
unsafe impl GlobalAlloc for Told {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises is what mimalloc asks for.
        found(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        found(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        found(unsafe { MiMalloc.realloc(place, layout, size) }, size)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(place, layout) }
    }
}

fn found(place: *mut u8, bytes: usize) -> *mut u8 {
    if place.is_null() {
        progress::out_of_memory(bytes);
        // Nothing is unwound: files get their names only when they are whole, and journals are for such ends.
        #[cfg(unix)]
        signal_hook::low_level::exit(1);
        #[cfg(not(unix))]
        std::process::exit(1);
    }
    place
}

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
    progress::set_json(cli.json);
    // Work is split over examples and batches, so each tensor operation runs on the thread that asks for it. candle
    // reads these two once, before any thread starts here.
    // SAFETY: no other thread exists yet.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", "1");
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    // A task minds them itself: it has more to do.
    #[cfg(unix)]
    if !matches!(cli.command, Command::Task(_)) {
        mind_signals();
    }
    let outcome = rayon::ThreadPoolBuilder::new()
        .num_threads(cli.threads())
        .build_global()
        .map_err(|e| {
            let fix = "take fewer, or raise the limits (ulimit -u, ulimit -v)";
            Error::said("--threads", format!("the system could not start the threads: {e}"), fix)
        })
        .and_then(|()| cli.command.check_json(cli.json))
        .and_then(|()| cli.command.run())
        .and_then(|code| progress::check_out().map(|()| code));
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
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

/// Says how to resume where a signal ends the program. It ends as it would have without: what is to be kept is on the disk at all times.
#[cfg(unix)]
fn mind_signals() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    // Without a thread for it, signals end the program without a word.
    let _ = std::thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            progress::stopped();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
}
