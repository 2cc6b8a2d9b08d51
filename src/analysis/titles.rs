//! What arms and masks are called: in figures and tables, and as parts of paths.

use std::fmt;
use std::path::Path;

use super::config::PlannedArm;
use crate::dropout::Arm;
use crate::dropout::Assignment;
use crate::landscape::mask::Select;
use crate::stages::word;

/// As people read it: `uniform 0.05`.
impl fmt::Display for PlannedArm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            PlannedArm::Own(assignment) => write!(f, "{}", assignment_title(*assignment)),
            PlannedArm::Control(control) => write!(f, "{}", word(*control)),
            PlannedArm::OtherTask(path) => write!(f, "other task {}", stem(path)),
            PlannedArm::Other(Arm::Scheduled(assignment, path)) => {
                write!(f, "{} {}", assignment_title(*assignment), stem(path))
            }
            PlannedArm::Other(Arm::GaussianPaper(p)) => write!(f, "paper's gaussian {p}"),
            PlannedArm::Other(dropout) => write!(f, "{}", dropout.to_string().replace(':', " ")),
        }
    }
}

/// The name of a file. Commas separate titles on a command line.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace(',', " ")
}

/// The use of a schedule as people read it: `shuffled 2`.
fn assignment_title(assignment: Assignment) -> String {
    match assignment {
        Assignment::Matched => "matched uniform".into(),
        other => other.to_string().replace(':', " "),
    }
}

/// A mask as people read it: `top 1 %`.
pub fn mask_title(mask: &Select) -> String {
    let percent = |f: &f64| format!("{} %", (f * 1e8).round() / 1e6);
    match mask {
        Select::All => "all".into(),
        Select::Top(f) => format!("top {}", percent(f)),
        Select::Bottom(f) => format!("bottom {}", percent(f)),
        Select::Random(f) => format!("random {}", percent(f)),
        Select::PaperTop => "paper's top half".into(),
        Select::PaperBottom => "paper's bottom half".into(),
    }
}

/// A title as part of a path.
pub fn plain(title: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    title.chars().map(keep).collect()
}
