//! What the user is told: results on standard output; notes, and a bar with the time left, on standard error.
//! On a terminal a step shows a bar; elsewhere
//! (a log, a batch system) a line every ten seconds.

use std::cell::RefCell;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Runs shorter than this, in seconds, are not spoken of.
pub const LONG: f64 = 10.0;

static VERBOSITY: AtomicU8 = AtomicU8::new(1);

/// 0: errors only; 1: notes and progress; 2: details too. Set once, by the command line.
pub fn set_verbosity(level: u8) {
    VERBOSITY.store(level, Ordering::Relaxed);
}

/// How much is said, as it was set.
pub fn verbosity() -> u8 {
    VERBOSITY.load(Ordering::Relaxed)
}

/// Whether standard output has the answer as JSON, and nothing else.
static JSON: AtomicBool = AtomicBool::new(false);

/// Has lines of results left away, and [`answer`] print. Set once, by the command line.
pub fn set_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

fn shown(level: u8) -> bool {
    verbosity() >= level
}

/// What a step of an analysis says, line by line, each in one list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub notes: Vec<String>,
    /// What the numbers are without, or with in place of something that was not there.
    pub excluded: Vec<String>,
    pub results: Vec<String>,
}

thread_local! {
    /// What this thread says, while somebody listens. Commands speak from the thread that they are called in, not from those
    /// that they spread their work over.
    static SAID: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Runs `work` and keeps what it says in this thread; with `-v` that is shown too.
pub fn listen<R>(work: impl FnOnce() -> R) -> (R, Said) {
    let before = SAID.replace(Some(Said::default()));
    let result = work();
    let said = SAID.replace(before).unwrap_or_default();
    (result, said)
}

/// Keeps a line if somebody listens; says whether it is to be shown.
fn keep(text: &dyn std::fmt::Display, list: fn(&mut Said) -> &mut Vec<String>) -> bool {
    SAID.with_borrow_mut(|said| match said {
        Some(said) => {
            list(said).push(text.to_string());
            shown(2)
        }
        None => true,
    })
}

/// A line of the result, on standard output. A reader that has gone (`| head`) is no reason to lose the work.
pub fn result(text: impl std::fmt::Display) {
    if keep(&text, |said| &mut said.results) && !JSON.load(Ordering::Relaxed) {
        write_out(&text);
    }
}

/// What a command answers, for programs: one JSON value in one line, where `--json` asks for it. A step of an analysis answers nobody.
pub fn answer(value: impl FnOnce() -> serde_json::Value) {
    if JSON.load(Ordering::Relaxed) && SAID.with_borrow(Option::is_none) {
        write_out(&value());
    }
}

/// The first error of standard output, but for a reader that has gone.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

fn write_out(text: &dyn std::fmt::Display) {
    lose(writeln!(std::io::stdout(), "{text}"));
}

/// Keeps what went wrong with standard output, for [`check_out`]: the work continues.
pub fn lose(written: std::io::Result<()>) {
    if let Err(cause) = written
        && cause.kind() != ErrorKind::BrokenPipe
        && let Ok(mut lost) = LOST.lock()
    {
        lost.get_or_insert(cause);
    }
}

/// Whether all that was to be on standard output is there, or nobody reads it any more.
///
/// # Errors
///
/// [`Error::Io`] as on a full disk: what a script reads from it is not whole.
pub fn check_out() -> Result<()> {
    lose(std::io::stdout().flush());
    match LOST.lock().ok().and_then(|mut lost| lost.take()) {
        None => Ok(()),
        Some(cause) => Err(Error::io(Path::new("standard output"), "write")(cause)),
    }
}

/// A line of the result that says what the numbers are without: the report names it.
pub fn excluded_result(text: impl std::fmt::Display) {
    if keep(&text, |said| &mut said.excluded) && !JSON.load(Ordering::Relaxed) {
        write_out(&text);
    }
}

/// Prints a line of the result like `println!`, whether or not anybody still reads.
macro_rules! say {
    ($($text:tt)*) => { $crate::progress::result(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints a line on standard error like `eprintln!`, but does not end the program where nobody reads it any more.
macro_rules! whisper {
    ($($text:tt)*) => { { let _ = writeln!(std::io::stderr(), $($text)*); } };
}

/// Something the user should know, such as how long it will take.
pub fn note(text: impl std::fmt::Display) {
    if keep(&text, |said| &mut said.notes) && shown(1) {
        whisper!("note: {text}");
    }
}

/// A note of what the numbers are without (skipped rows), or with in place of something that was not there (an initialised
/// head): the report names it.
pub fn excluded(text: impl std::fmt::Display) {
    if keep(&text, |said| &mut said.excluded) && shown(1) {
        whisper!("note: {text}");
    }
}

/// What is being done, on standard error.
pub fn status(text: impl std::fmt::Display) {
    if shown(1) {
        whisper!("{text}");
    }
}

/// Something that went wrong and does not stop the work: shown even with `-q`.
pub fn warn(text: impl std::fmt::Display) {
    whisper!("warning: {text}");
}

/// What is at work, in a few words: who finds no memory says it.
static WORK: Mutex<String> = Mutex::new(String::new());

/// Sets what is at work from now on.
pub fn at_work(what: &str) {
    let what = what.to_string();
    *WORK.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = what;
}

/// What an allocator says that finds no memory. It takes none itself, and waits for nobody.
pub fn out_of_memory(bytes: usize) {
    let work = WORK.try_lock();
    let work = work
        .as_ref()
        .map(|work| work.as_str())
        .ok()
        .filter(|work| !work.is_empty())
        .unwrap_or("this command");
    whisper!("error: {work}: out of memory: {bytes} more bytes were needed");
    whisper!(
        "  fix: free some memory, raise its limit (ulimit -v), or use fewer --threads; finished work is kept, and the same command resumes"
    );
}

/// What is said where the user or the system stops the program.
pub fn stopped() {
    whisper!("stopped; run the same command again to resume");
}

/// What stands above the bars of all steps.
static BOARD: Mutex<String> = Mutex::new(String::new());

fn board_text() -> std::sync::MutexGuard<'static, String> {
    BOARD.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Sets what stands above the bar of each step that begins from now on, such as a table of what is done.
pub fn board(text: String) {
    *board_text() = text;
}

/// Writes it once, where no bar shows it.
pub fn tell_board() {
    let text = board_text();
    if !(text.is_empty() || std::io::stderr().is_terminal()) {
        status(text);
    }
}

/// Something only `-v` shows.
pub fn detail(text: impl std::fmt::Display) {
    if shown(2) {
        whisper!("{text}");
    }
}

/// A long step of known size. Safe to advance from several threads.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    started: Instant,
    printed: Option<Mutex<Instant>>,
    /// Whether the units are bytes.
    bytes: bool,
}

impl Progress {
    /// Starts a step of `total` units, shown as `label`.
    pub fn new(label: impl Into<String>, total: usize) -> Progress {
        Progress::of(label.into(), total as u64, false)
    }

    /// Starts a step of `total` bytes, shown as `label`.
    pub fn bytes(label: impl Into<String>, total: u64) -> Progress {
        Progress::of(label.into(), total, true)
    }

    fn of(label: String, total: u64, bytes: bool) -> Progress {
        at_work(&label);
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal && shown(1) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let units = if bytes { "{bytes}/{total_bytes}" } else { "{pos}/{len}" };
        // Braces would be read as parts of the template.
        let mut above = board_text().replace('{', "{{").replace('}', "}}");
        if !above.is_empty() {
            above.push('\n');
        }
        let style = format!("{above}{{prefix}} {{wide_bar}} {units}  {{elapsed}} < {{eta}} {{msg}}");
        let style = ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar =
            ProgressBar::with_draw_target(Some(total), target).with_style(style).with_prefix(label.clone());
        let printed = (!terminal && shown(1)).then(|| Mutex::new(Instant::now()));
        Progress { bar, label, started: Instant::now(), printed, bytes }
    }

    /// `units` more are done.
    pub fn advance(&self, units: usize) {
        self.bar.inc(units as u64);
        let Some(printed) = &self.printed else { return };
        let Ok(mut last) = printed.lock() else { return };
        if last.elapsed() >= Duration::from_secs(10) {
            *last = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let elapsed = self.started.elapsed();
            let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64);
            let amount = |n: u64| if self.bytes { HumanBytes(n).to_string() } else { n.to_string() };
            whisper!(
                "{}: {}/{}, {} gone, about {} left",
                self.label,
                amount(done),
                amount(total),
                HumanDuration(elapsed),
                HumanDuration(left)
            );
        }
    }

    /// A short remark behind the bar, such as the current loss.
    pub fn remark(&self, text: String) {
        self.bar.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if shown(2) {
            whisper!("{}: {:.2} s", self.label, self.started.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. Two that are listened to at once hear nothing of each other, and one inside another leaves it as it was.
    #[test]
    fn each_is_heard_alone() {
        let both = std::sync::Barrier::new(2);
        let speak = |text: &str| {
            listen(|| {
                note(text);
                both.wait();
                excluded(format!("{text}: rows"));
                both.wait();
                let (_, inner) = listen(|| result("inner"));
                assert_eq!(inner, Said { results: vec!["inner".into()], ..Said::default() });
                excluded_result("points");
            })
            .1
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| speak("b"));
            (speak("a"), other.join().unwrap())
        });
        for (said, name) in [(one, "a"), (other, "b")] {
            let excluded = vec![format!("{name}: rows"), "points".into()];
            assert_eq!(said, Said { notes: vec![name.into()], excluded, results: Vec::new() });
        }
    }
}
