//! `run`, `check` and `list`: analyses from the command line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::analysis::{self, SHIPPED, keys};
use crate::error::Result;
use crate::progress::{self, say};
use crate::run::executor::{Kind, process};
use crate::run::story::counted;
use crate::run::{self, Order};

/// Run an analysis: Fisher information, schedule, training, surfaces, stability, figures and a report.
///
/// Steps whose inputs have not changed are not run again, and a killed run goes on where it was.
#[derive(clap::Args, Clone, Debug)]
pub struct Run {
    #[command(flatten)]
    pub which: Which,
    /// The folder to write [default: the analysis' name]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Run steps again that are done
    #[arg(long)]
    pub force: bool,
    /// Of a study, run these cells alone, named as `check` lists them; the tables have those run before, too [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub cells: Vec<String>,
    /// Print verdict, answers and cautions as JSON
    #[arg(long)]
    pub json: bool,
    /// What runs the steps: local (this process, one after the other), process (one of its own for each) or process:N
    #[arg(long, value_name = "NAME", default_value = "local", hide = true)]
    pub executor: Kind,
}

/// Run one step of a run that is at work; its record, or why it failed, is written among the others.
#[derive(clap::Args, Clone, Debug)]
pub struct RunStep {
    /// The folder of the run
    pub folder: PathBuf,
    /// The step, as `steps/plan.json` names it
    pub name: String,
    /// End with the process that holds the other end of standard input
    #[arg(long)]
    pub tied: bool,
}

/// An analysis and what is changed in it.
#[derive(clap::Args, Clone, Debug)]
pub struct Which {
    /// A TOML file, or the name of a shipped analysis
    pub analysis: String,
    /// Change a key of the analysis, such as train.lr=1e-4; an empty value removes it
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<String>,
}

/// A setting as it is written.
fn setting(text: &str) -> std::result::Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_string()),
        _ => Err("expected KEY=VALUE, such as train.lr=1e-4".into()),
    }
}

/// Check analyses without running them.
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = keys::help())]
pub struct Check {
    /// TOML files, or names of shipped analyses
    #[arg(required = true, value_name = "ANALYSIS")]
    pub analyses: Vec<String>,
    /// Change a key of each, such as train.lr=1e-4; an empty value removes it
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<String>,
}

/// List the shipped analyses.
#[derive(clap::Args, Clone, Debug)]
pub struct List {
    /// Print the text of one of them, to start one of your own from
    #[arg(long, value_name = "NAME")]
    pub show: Option<String>,
}

impl Run {
    pub fn run(&self, command: &str) -> Result<()> {
        let mut loaded = analysis::load(&self.which.analysis, &self.which.set)?;
        if !self.cells.is_empty() {
            loaded.only_cells(&self.cells)?;
        }
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(&loaded.name));
        let (force, executor, json) = (self.force, self.executor, self.json);
        run::run(&loaded, &Order { folder: &folder, command, force, executor, json })
    }
}

impl RunStep {
    pub fn run(&self) -> Result<ExitCode> {
        process::run_step(&self.folder, &self.name, self.tied)
    }
}

impl Check {
    pub fn run(&self) -> Result<()> {
        for which in &self.analyses {
            let loaded = analysis::load(which, &self.set)?;
            // Cells of a study say the same of what they share.
            let (steps, said) = progress::listen(|| run::check(&loaded));
            let notes: BTreeSet<String> = said.notes.into_iter().chain(said.excluded).collect();
            notes.iter().for_each(progress::note);
            let steps = steps?;
            let cells = loaded
                .study
                .as_ref()
                .map_or(String::new(), |study| format!("{}, ", counted(study.cells.len(), "cell")));
            say!("{which}: sound, {cells}{}", counted(steps, "step"));
            for cell in loaded.study.iter().flat_map(|study| &study.cells) {
                say!("  {}", cell.name);
            }
        }
        Ok(())
    }
}

impl List {
    pub fn run(&self) -> Result<()> {
        if let Some(name) = &self.show {
            say!("{}", analysis::shipped(name)?.trim_end());
            return Ok(());
        }
        for (name, _) in SHIPPED {
            let analysis = analysis::load(name, &[])?.analysis;
            say!("{name:20} {}", analysis.question);
        }
        Ok(())
    }
}
