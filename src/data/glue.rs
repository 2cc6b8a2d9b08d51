//! The nine GLUE tasks (Wang et al. 2018) in GLUE's own files, train.tsv and dev.tsv in one folder per task, or in the
//! hub's, parquet tables (`nyu-mll/glue`); and `supersense`, the task in the binary, in files of the first kind.
//!
//! Supersense: which of WordNet's 25 lexicographer files of nouns (lexnames(5WN), without noun.Tops) a definition is
//! from. It alone has a labelled test.tsv.
//!
//! MNLI has two dev files, matched and mismatched. CoLA has no header. MRPC comes as train.tsv and dev.tsv or
//! as Microsoft's msr_paraphrase_train.txt and msr_paraphrase_test.txt, which start with a byte-order mark.
//!
//! Traps: label numbers are those of the Hugging Face hub (MNLI: entailment, neutral, contradiction), not of
//! the papers. Microsoft's training file contains GLUE's dev rows, so it is read only if both of GLUE's files
//! are absent. QQP's train.tsv has broken rows, and MNLI's gold label may be `-` (no consensus): both are
//! skipped.
//!
//! `place` finds the files, `delimited` and `parquet` read them.

mod place;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::place::{locate, locate_here};
use super::columns::{Columns, Record};
use super::delimited::{self, Separator};
use super::form;
use super::labels::is_missing;
use super::parquet::{self, Labels};
use super::row::{Reason, Row, RowLabel, Rows, Skipped};
use crate::embedded;
use crate::error::{Error, Result};
use crate::tasks::classes::{ACCURACY, F1, MATTHEWS};
use crate::tasks::regression::{PEARSON, SPEARMAN};
use crate::tasks::{Kind, Metric};

/// A task of GLUE, or the one in the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Cola,
    Sst2,
    Mrpc,
    Qqp,
    Stsb,
    Mnli,
    Qnli,
    Rte,
    Wnli,
    Supersense,
}

/// Which of a task's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Train,
    /// For MNLI the matched one.
    Dev,
    /// MNLI only.
    DevMismatched,
    /// Supersense only.
    Test,
}

/// Which examples are held out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Holdout {
    /// Train and dev together, shuffled by the seed, the last 20 % held out (MNLI keeps its own)
    #[default]
    Paper,
    /// The task's own dev split
    Official,
}

/// Where the hub has GLUE.
pub const HUB: &str = "nyu-mll/glue";

/// What is read where no data are named.
pub fn default_data(task: Task) -> &'static str {
    if task == Task::Supersense { embedded::NAME } else { HUB }
}

/// The examples of `task` in file order. `given` is the task's folder, the one above it, or a data set on the hub.
///
/// # Errors
///
/// [`Error::Field`] if the folder, the file or a column is missing, if no row is sound, or if the task has no
/// such split; [`Error::Io`] if the file cannot be read; and as [`hub::locate`](crate::hub::locate).
pub fn read(task: Task, given: &Path, split: Split) -> Result<Rows> {
    let paths = place::files_of(task, &place::locate(task, given)?.folder, split)?;
    let classes = task.labels().iter().map(|name| name.to_string()).collect();
    let mut all = Rows { classes, read_as: task.read_as(), ..Rows::default() };
    for path in &paths {
        let hub = is_table(path);
        let (records, mut skipped) = match hub {
            true => parquet::read(path, &task.columns(hub), task.stored())?,
            false => {
                let (text, header) = (form::text(path)?, task.spec().header);
                delimited::read(path, &text, Separator::TAB, &task.columns(hub), header)?
            }
        };
        for Record { line, text, pair, label } in records {
            // On the hub a negative label says that there is none.
            let none = is_missing(&label) || hub && label.starts_with('-');
            match if none { Err(Reason::NoLabel) } else { task.read_label(&label) } {
                Ok(label) => all.rows.push(Row { text, pair, label, group: None }),
                Err(reason) => skipped.push(Skipped { file: path.clone(), line, reason }),
            }
        }
        skipped.sort_by_key(|row| row.line);
        all.skipped.extend(skipped);
    }
    let first = paths.first().map_or(given, PathBuf::as_path);
    all.not_empty(
        first.display(),
        task.columns(is_table(first)).label.as_deref().unwrap_or_default(),
        "readable in at least one row",
        "use GLUE's own file: tabs without quoting, and labels (test files have none)",
    )
}

/// Whether a file is one of the hub's tables.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "parquet")
}

/// What is known of a task.
struct Spec {
    name: &'static str,
    folder: &'static str,
    /// Column names of a file without a header.
    header: Option<&'static [&'static str]>,
    text: &'static str,
    pair: Option<&'static str>,
    label: &'static str,
    labels: &'static [&'static str],
    metrics: &'static [Metric],
}

impl Task {
    /// Every task: GLUE's in the order of its paper, then the one in the binary.
    pub const ALL: [Task; 10] = [
        Task::Cola,
        Task::Sst2,
        Task::Mrpc,
        Task::Qqp,
        Task::Stsb,
        Task::Mnli,
        Task::Qnli,
        Task::Rte,
        Task::Wnli,
        Task::Supersense,
    ];

    /// Label names in the hub's order; none for STS-B, a regression from 0 to 5.
    pub fn labels(self) -> &'static [&'static str] {
        self.spec().labels
    }

    pub fn kind(self) -> Kind {
        if self.labels().is_empty() { Kind::Regression } else { Kind::Classes }
    }

    /// What the task is scored by, in the order of a report.
    pub fn metrics(self) -> &'static [Metric] {
        self.spec().metrics
    }

    /// What its labels are, in words.
    fn read_as(self) -> String {
        match self.kind() {
            Kind::Regression => format!("a regression: the scores of {self}, from 0 to 5"),
            _ => format!("{} classes, those of {self}: {}", self.labels().len(), self.labels().join(", ")),
        }
    }

    /// How a parquet table has the labels.
    fn stored(self) -> Labels {
        if self.kind() == Kind::Regression { Labels::Numbers } else { Labels::Classes }
    }

    /// A label by its name or by its number; of two classes also as no and yes.
    fn read_label(self, label: &str) -> Result<RowLabel, Reason> {
        if self.kind() == Kind::Regression {
            let score = label.parse().ok().filter(|score| (0.0..=5.0).contains(score));
            return score.map(RowLabel::Value).ok_or(Reason::UnreadableLabel);
        }
        if self == Task::Mnli && label == "-" {
            return Err(Reason::NoConsensus);
        }
        let labels = self.labels();
        let number = || label.parse().ok().filter(|number| *number < labels.len());
        let yes =
            || (labels.len() == 2).then(|| ["false", "true"].iter().position(|yes| *yes == label)).flatten();
        let class = labels.iter().position(|name| *name == label).or_else(number).or_else(yes);
        class.map(RowLabel::Class).ok_or(Reason::UnreadableLabel)
    }

    /// The columns of GLUE's own files, or of the hub's tables.
    fn columns(self, hub: bool) -> Columns {
        let Spec { text, pair, label, .. } = *self.spec();
        let (text, pair, label) = match self {
            Task::Mrpc if hub => ("sentence1", Some("sentence2"), "label"),
            Task::Mnli if hub => ("premise", Some("hypothesis"), "label"),
            _ if hub => (text, pair, "label"),
            _ => (text, pair, label),
        };
        Columns { text: text.to_string(), pair: pair.map(str::to_string), label: Some(label.to_string()) }
    }

    fn spec(self) -> &'static Spec {
        match self {
            Task::Cola => &Spec {
                name: "cola",
                folder: "CoLA",
                header: Some(&["id", "label", "star", "sentence"]),
                text: "sentence",
                pair: None,
                label: "label",
                labels: &["unacceptable", "acceptable"],
                metrics: &[MATTHEWS],
            },
            Task::Sst2 => &Spec {
                name: "sst2",
                folder: "SST-2",
                header: None,
                text: "sentence",
                pair: None,
                label: "label",
                labels: &["negative", "positive"],
                metrics: &[ACCURACY],
            },
            Task::Mrpc => &Spec {
                name: "mrpc",
                folder: "MRPC",
                header: None,
                text: "#1 String",
                pair: Some("#2 String"),
                label: "Quality",
                labels: &["not_equivalent", "equivalent"],
                metrics: &[ACCURACY, F1],
            },
            Task::Qqp => &Spec {
                name: "qqp",
                folder: "QQP",
                header: None,
                text: "question1",
                pair: Some("question2"),
                label: "is_duplicate",
                labels: &["not_duplicate", "duplicate"],
                metrics: &[ACCURACY, F1],
            },
            Task::Stsb => &Spec {
                name: "stsb",
                folder: "STS-B",
                header: None,
                text: "sentence1",
                pair: Some("sentence2"),
                label: "score",
                labels: &[],
                metrics: &[PEARSON, SPEARMAN],
            },
            Task::Mnli => &Spec {
                name: "mnli",
                folder: "MNLI",
                header: None,
                text: "sentence1",
                pair: Some("sentence2"),
                label: "gold_label",
                labels: &["entailment", "neutral", "contradiction"],
                metrics: &[ACCURACY],
            },
            Task::Qnli => &Spec {
                name: "qnli",
                folder: "QNLI",
                header: None,
                text: "question",
                pair: Some("sentence"),
                label: "label",
                labels: &["entailment", "not_entailment"],
                metrics: &[ACCURACY],
            },
            Task::Rte => &Spec {
                name: "rte",
                folder: "RTE",
                header: None,
                text: "sentence1",
                pair: Some("sentence2"),
                label: "label",
                labels: &["entailment", "not_entailment"],
                metrics: &[ACCURACY],
            },
            Task::Wnli => &Spec {
                name: "wnli",
                folder: "WNLI",
                header: None,
                text: "sentence1",
                pair: Some("sentence2"),
                label: "label",
                labels: &["not_entailment", "entailment"],
                metrics: &[ACCURACY],
            },
            Task::Supersense => &Spec {
                name: "supersense",
                folder: "embedded",
                header: None,
                text: "text",
                pair: None,
                label: "label",
                labels: &[
                    "noun.act",
                    "noun.animal",
                    "noun.artifact",
                    "noun.attribute",
                    "noun.body",
                    "noun.cognition",
                    "noun.communication",
                    "noun.event",
                    "noun.feeling",
                    "noun.food",
                    "noun.group",
                    "noun.location",
                    "noun.motive",
                    "noun.object",
                    "noun.person",
                    "noun.phenomenon",
                    "noun.plant",
                    "noun.possession",
                    "noun.process",
                    "noun.quantity",
                    "noun.relation",
                    "noun.shape",
                    "noun.state",
                    "noun.substance",
                    "noun.time",
                ],
                metrics: &[ACCURACY],
            },
        }
    }
}

impl Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.spec().name)
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Task> {
        let plain = plain(typed);
        Task::ALL.into_iter().find(|task| task.spec().name == plain).ok_or_else(|| {
            let names = Task::ALL.map(|task| task.spec().name).join(", ");
            let fix = "choose one of these, or read a file of your own with --table and --columns";
            Error::field("--task", "task", format!("one of {names}"), format!("`{typed}`"), fix)
        })
    }
}

impl Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Split::Train => "train",
            Split::Dev => "dev",
            Split::DevMismatched => "dev_mismatched",
            Split::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Split> {
        match plain(typed).as_str() {
            "train" => Ok(Split::Train),
            "dev" | "devmatched" => Ok(Split::Dev),
            "devmismatched" => Ok(Split::DevMismatched),
            "test" => Ok(Split::Test),
            _ => Err(Error::field(
                "--split",
                "split",
                "train, dev, dev_mismatched or test",
                format!("`{typed}`"),
                "choose one of these",
            )),
        }
    }
}

/// A name as typed, without case, `-` and `_`.
fn plain(typed: &str) -> String {
    typed.to_ascii_lowercase().replace(['-', '_'], "")
}
