//! The command line: one variant per command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::progress;
use crate::provenance::command_line;
use crate::run::commands::{Check, List, Run, RunStep, Schema, Status, Task};
use crate::shell::{Completions, Man};
use crate::stages::Stage;
use crate::threads;

/// The version and, since the binary contains data made from WordNet, its licence.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nThe model and the task in this binary are made from WordNet 3.0, whose licence follows.\n\n",
    include_str!("embedded/LICENSE-WORDNET"),
);

/// Where to begin, and what the program says to a script.
const AFTER: &str = "\
Where to begin:
  fisherscape run quickstart            the main job on the built-in model, without a download
  fisherscape list                      the shipped analyses and their questions
  fisherscape list --show quickstart    the text of one, to start your own from
  fisherscape check mine.toml           what could stop it, before it runs
  fisherscape run mine.toml             run it; the same command resumes it

Exit codes: 0 done; 1 refused or failed, and the message says why; 2 a command line that cannot be read;
75 (`task`) another process is at work on a part.";

/// Fisher information, guided dropout and loss surfaces for transformers, with an error next to every number.
#[derive(Parser, Debug)]
#[command(version, long_version = LONG_VERSION, propagate_version = true, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Threads, at most four for each processor (or eight); results do not depend on them [default: all processors]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Print only errors to standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Print the answer to standard output as JSON in one line, and nothing else (docs/formats.md has the fields)
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print more detail, such as the time of each step
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = "Global options")]
    pub verbose: bool,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Run(Run),
    Check(Check),
    List(List),
    Schema(Schema),
    Status(Status),
    Task(Task),
    Completions(Completions),
    Man(Man),
    #[command(hide = true)]
    Step(RunStep),
    #[command(flatten)]
    Stage(Box<Stage>),
}

/// A number of threads.
fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected a whole number, at least 1".into())
}

impl Cli {
    /// How many threads work; says so where they are not as many as were asked for.
    pub fn threads(&self) -> usize {
        let number = threads::number(self.threads);
        if let Some(wanted) = self.threads.filter(|wanted| *wanted > number) {
            progress::note(format!("--threads {wanted}: {number} work, more would wait for one another"));
        }
        number
    }

    /// 0: errors only, 1: notes and progress, 2: details.
    pub fn verbosity(&self) -> u8 {
        if self.quiet { 0 } else { 1 + u8::from(self.verbose) }
    }
}

/// A word of the command line, as the provenance and the steps of a run will repeat it.
fn utf8(word: OsString) -> Result<String> {
    let wrong = |word: OsString| {
        let fix = "rename the file or folder, or go to where it is";
        Error::field("command line", word.display(), "UTF-8", "other bytes", fix)
    };
    word.into_string().map_err(wrong)
}

impl Command {
    /// Refuses `--json` where there is nothing that it could print.
    ///
    /// # Errors
    ///
    /// [`Error::Text`], as all that a command line may be wrong about.
    pub fn check_json(&self, json: bool) -> Result<()> {
        match self {
            Command::Task(_) | Command::Completions(_) | Command::Man(_) | Command::Step(_) if json => {
                Err(Error::said("--json", "this command has no answer to print as JSON", "leave it out"))
            }
            _ => Ok(()),
        }
    }

    /// Runs the command; the code is that of a step which failed and has said so itself.
    pub fn run(&self) -> Result<ExitCode> {
        let words: Vec<String> = std::env::args_os().skip(1).map(utf8).collect::<Result<_>>()?;
        // The command itself, behind options such as `--threads 2`.
        let named = |word: &&String| word.starts_with(|c: char| c.is_ascii_lowercase());
        progress::at_work(words.iter().find(named).map_or("", String::as_str));
        match self {
            Command::Run(run) => run.run(&command_line(words))?,
            Command::Check(check) => check.run()?,
            Command::List(list) => list.run()?,
            Command::Schema(schema) => schema.run()?,
            Command::Status(status) => status.run()?,
            Command::Task(task) => return task.run(),
            Command::Completions(completions) => completions.run(Cli::command())?,
            Command::Man(man) => man.run(Cli::command())?,
            Command::Step(step) => return step.run(),
            Command::Stage(stage) => stage.run(&command_line(words))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
