//! One error type: which file, which field, what was expected, what was found, how to fix it.
//!
//! Every message a user can cause is an [`Error::Field`], an [`Error::Text`] or an [`Error::Io`]. [`Error::Field`] suits a
//! value that is out of range; where "must be X, found Y" would read badly, [`Error::said`] takes a whole sentence.
//! [`Error::Tensor`] is what the tensor library says, and reaching it from user input is a bug.

use std::cell::Cell;
use std::fmt::Display;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that cannot be used: `place` is the file (with line or tensor where known) or the option it came from.
    #[error("{place}: `{field}` must be {expected}, found {found}\n  fix: {fix}")]
    /// (The fix is boxed text so that the whole stays under 128 bytes, the size of result that clippy accepts.)
    Field { place: String, field: String, expected: String, found: String, fix: Box<str> },
    /// A sentence about what cannot be used; of a text, with the line and a caret.
    #[error("{place}: {what}{excerpt}\n  fix: {fix}")]
    Text { place: String, what: Box<str>, excerpt: String, fix: Box<str> },
    /// What went wrong in a step of an analysis.
    #[error("step {step}: {cause}")]
    Step { step: String, cause: Box<Error> },
    /// What went wrong in another process, as it wrote it down.
    #[error("{cause}")]
    Elsewhere { cause: String, disk_full: bool },
    /// A signal asked for an end; what was done is kept.
    #[error("stopped by a signal; finished work is kept, and the same command resumes")]
    Stopped,
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}\n  fix: check the path, its permissions and the free space", path.display())]
    Io { path: PathBuf, action: &'static str, cause: std::io::Error },
    /// The tensor library refused.
    #[error("tensor operation: {0}")]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Error {
        match cause.to_string().contains("OUT_OF_MEMORY") {
            true => {
                let fix = "free it, use shorter examples or fewer to a batch, or leave out --device";
                Error::said("--device", "its memory is full", fix)
            }
            false => Error::Tensor(cause),
        }
    }
}

/// An option that cannot be as it is: out of its range, or at odds with another.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its name in a file, with underscores.
    pub option: &'static str,
    /// What kind of value it is.
    pub kind: &'static str,
    pub expected: String,
    pub found: String,
    pub fix: String,
}

impl Problem {
    /// In the order in which the message reads.
    pub fn new(
        option: &'static str,
        kind: &'static str,
        expected: impl Display,
        found: impl Display,
        fix: impl Display,
    ) -> Problem {
        let (expected, found, fix) = (expected.to_string(), found.to_string(), fix.to_string());
        Problem { option, kind, expected, found, fix }
    }
}

/// Whether a count is no larger than anybody wants; `each` says what one of them takes.
pub fn check_at_most(option: &'static str, found: usize, most: usize, each: &str) -> Result<(), Problem> {
    match found <= most {
        true => Ok(()),
        false => {
            let fix = format!("use fewer: each is {each}");
            Err(Problem::new(option, "number", format!("at most {most}"), found, fix))
        }
    }
}

/// As the command line knows the option; a file has its own place for it.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Error {
        let Problem { option, kind, expected, found, fix } = problem;
        Error::field(format!("--{}", option.replace('_', "-")), kind, expected, found, fix)
    }
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An unusable value, in the order in which the message reads.
    pub fn field(
        place: impl Display,
        field: impl Display,
        expected: impl Display,
        found: impl Display,
        fix: impl Display,
    ) -> Error {
        Error::Field {
            place: place.to_string(),
            field: field.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
            fix: fix.to_string().into(),
        }
    }

    /// What cannot be used, as a sentence that names what was expected and what was found.
    pub fn said(place: impl Display, sentence: impl Display, fix: impl Display) -> Error {
        let (place, what) = (place.to_string(), sentence.to_string().into());
        Error::Text { place, what, excerpt: String::new(), fix: fix.to_string().into() }
    }

    /// The same of a figure, with the files that it was to show.
    pub fn in_figure_of(mut self, files: &[PathBuf]) -> Error {
        if let Error::Field { place, .. } | Error::Text { place, .. } = &mut self
            && place == "figure"
        {
            let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
            *place = format!("figure of {}", names.join(", "));
        }
        self
    }

    /// Whether the disk is full: then whatever comes next would fail as well.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Step { cause, .. } => cause.is_full(),
            Error::Io { cause, .. } => {
                matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Error::Elsewhere { disk_full, .. } => *disk_full,
            _ => false,
        }
    }

    /// Whether it is that nothing may be written there.
    pub fn is_read_only(&self) -> bool {
        let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        matches!(self, Error::Io { cause, .. } if kinds.contains(&cause.kind()))
    }

    /// For `map_err`: the operating system refused to `action` ("read", "write") the file at `path`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Io { path, action, cause }
    }
}

/// Runs a library that panics on some damaged files; the panic is caught, and what it says is the caller's to tell. What `f` was
/// at work on is not to be used after that.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let said = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                said(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("something that it cannot handle")
            .to_string()
    })
}

thread_local! {
    /// Whether a panic of this thread is caught.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}
