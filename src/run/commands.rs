//! `run`, `check` and `list`: analyses from the command line.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use serde_json::json;

use crate::analysis::config::Analysis;
use crate::analysis::{self, SHIPPED, keys, schema};
use crate::error::{Error, Result};
use crate::progress::{self, say};
use crate::run::cluster::{Cut, Headers};
use crate::run::executor::{Kind, process};
use crate::run::story::counted;
use crate::run::{self, Order, cluster};
use crate::stages::slice::Slice;

/// Run an analysis: Fisher information, schedule, training, surfaces, stability, figures and a report.
///
/// Steps whose inputs have not changed are not run again, and a killed run resumes.
#[derive(clap::Args, Clone, Debug)]
pub struct Run {
    #[command(flatten)]
    pub which: Which,
    /// The folder to write [default: the analysis' name]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Run every step again, even finished ones
    #[arg(long)]
    pub force: bool,
    /// Run only these cells of a study (names as `check` prints them); the tables also include cells finished earlier
    /// [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub cells: Vec<String>,
    #[command(flatten)]
    pub cluster: Cluster,
    /// What runs the steps: local (this process, one after the other), process (one of its own for each) or process:N
    #[arg(long, value_name = "NAME", default_value = "local", hide = true)]
    pub executor: Kind,
}

/// Options of `run` for many machines.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "On a cluster")]
pub struct Cluster {
    /// Write what is missing as a plan for other launchers, and the lines that carry it out; run nothing
    #[arg(long, conflicts_with_all = ["slurm", "force", "executor"])]
    pub plan: bool,
    /// Submit what is missing to Slurm and watch it; or watch what is in the queue. HEADER.sh begins a batch script: #!/bin/bash,
    /// #SBATCH lines, module load
    #[arg(long, value_name = "HEADER.sh", conflicts_with_all = ["force", "executor"])]
    pub slurm: Option<PathBuf>,
    /// The header of jobs that take seconds (sets, schedules, figures) [default: the same]
    #[arg(long, value_name = "HEADER.sh", requires = "slurm")]
    pub slurm_light: Option<PathBuf>,
    /// Most elements of an array
    #[arg(long, value_name = "N", default_value = "64")]
    pub jobs: NonZeroUsize,
    /// Parts of each surface [default: one for each 512 points, at most 64]
    #[arg(long, value_name = "N")]
    pub slices: Option<NonZeroUsize>,
    /// Most elements of an array that are at work at once [default: no limit]
    #[arg(long, value_name = "N", requires = "slurm")]
    pub at_once: Option<NonZeroUsize>,
    /// Submit and return; the same command watches later
    #[arg(long, requires = "slurm")]
    pub detach: bool,
}

/// Run one element of a plan that `run --plan` or `run --slurm` wrote.
///
/// Finished work is skipped. What fails leaves its cause in steps/, and the rest continues. Exits with 75 where another process is at work
/// on a part of it.
#[derive(clap::Args, Clone, Debug)]
pub struct Task {
    /// The folder of the run, or of one of its submissions (cluster/0001)
    pub folder: PathBuf,
    /// The wave, from 1; or end: figures, tables and page of what the tasks have done
    #[arg(value_name = "WAVE")]
    pub wave: Stretch,
    /// The element, from 0 [default: what the launcher says, an array of Slurm, SGE or PBS, mpirun, srun, an Indexed Job of Kubernetes]
    pub index: Option<usize>,
}

/// What a task does of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    Wave(usize),
    End,
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Stretch, String> {
        match text {
            "end" => Ok(Stretch::End),
            _ => text.parse().map(Stretch::Wave).map_err(|_| "expected the number of a wave, or end".into()),
        }
    }
}

/// Show how far a run on a cluster is: what is done, failed, at work and lost.
#[derive(clap::Args, Clone, Debug)]
pub struct Status {
    /// The folder of the run
    pub folder: PathBuf,
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

/// Print a JSON Schema of analyses, by which an editor completes, explains and checks keys.
///
/// Keep it next to your analyses (fisherscape schema > schema.json), and begin each with the line #:schema ./schema.json: Even Better
/// TOML, taplo and others read it.
#[derive(clap::Args, Clone, Debug)]
pub struct Schema {}

impl Run {
    pub fn run(&self, command: &str) -> Result<()> {
        let mut loaded = analysis::load(&self.which.analysis, &self.which.set)?;
        if !self.cells.is_empty() {
            loaded.only_cells(&self.cells)?;
        }
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(&loaded.name));
        let (force, executor) = (self.force, self.executor);
        let order = Order { folder: &folder, command, force, executor };
        let Cluster { plan, slurm, slurm_light, jobs, slices, at_once, detach } = &self.cluster;
        let cut = Cut { elements: jobs.get(), parts: slices.map(NonZeroUsize::get) };
        match slurm {
            _ if *plan => cluster::write_plan(&loaded, &order, cut),
            None => {
                cluster::check_idle(&folder)?;
                run::run(&loaded, &order)
            }
            Some(heavy) => {
                let light = slurm_light.as_ref().unwrap_or(heavy).clone();
                let headers =
                    Headers { heavy: heavy.clone(), light, at_once: at_once.map(NonZeroUsize::get) };
                cluster::run(&loaded, &order, cut, &headers, *detach)
            }
        }
    }
}

impl Task {
    pub fn run(&self) -> Result<ExitCode> {
        // These two launchers count from 0 and do not say how far.
        let alone = || {
            ["PBS_ARRAY_INDEX", "JOB_COMPLETION_INDEX"]
                .iter()
                .find_map(|name| std::env::var(name).ok()?.parse().ok())
        };
        let launched = || Slice::of_environment().map(|slice| slice.number - 1).or_else(alone);
        let index = self.index.or_else(launched);
        match (self.wave, index) {
            (Stretch::End, _) => cluster::task(&self.folder, None, 0),
            (Stretch::Wave(wave), Some(index)) => cluster::task(&self.folder, Some(wave), index),
            (Stretch::Wave(_), None) => {
                let fix = "give the number of the element behind the wave";
                Err(Error::said("INDEX", "no element is given, and no launcher names one", fix))
            }
        }
    }
}

impl Status {
    pub fn run(&self) -> Result<()> {
        cluster::tell(&self.folder)
    }
}

impl RunStep {
    pub fn run(&self) -> Result<ExitCode> {
        process::run_step(&self.folder, &self.name, self.tied)
    }
}

impl Check {
    pub fn run(&self) -> Result<()> {
        let mut found = Vec::new();
        for which in &self.analyses {
            let loaded = analysis::load(which, &self.set)?;
            // Cells of a study say the same of what they share.
            let (steps, said) = progress::listen(|| run::check(&loaded));
            let notes: BTreeSet<String> = said.notes.into_iter().chain(said.excluded).collect();
            notes.iter().for_each(progress::note);
            let steps = steps?;
            let cells: Vec<&str> =
                loaded.study.iter().flat_map(|study| &study.cells).map(|cell| cell.name.as_str()).collect();
            told(which, &cells, steps);
            found.push(
                json!({"analysis": which, "valid": true, "cells": cells, "steps": steps, "notes": notes}),
            );
        }
        progress::answer(|| json!(found));
        Ok(())
    }
}

impl Schema {
    pub fn run(&self) -> Result<()> {
        say!("{:#}", schema::schema());
        progress::answer(schema::schema);
        Ok(())
    }
}

impl List {
    pub fn run(&self) -> Result<()> {
        if let Some(name) = &self.show {
            let text = analysis::shipped(name)?.trim_end();
            say!("{text}");
            progress::answer(|| json!({"name": name, "text": text}));
            return Ok(());
        }
        let mut found = Vec::new();
        for (name, _) in SHIPPED {
            let Analysis { title, question, .. } = analysis::load(name, &[])?.analysis;
            say!("{name:20} {question}");
            found.push(json!({"name": name, "title": title, "question": question}));
        }
        progress::answer(|| json!(found));
        Ok(())
    }
}

/// Says that an analysis is valid.
fn told(which: &str, cells: &[&str], steps: usize) {
    let number = match cells.len() {
        0 => String::new(),
        cells => format!("{}, ", counted(cells, "cell")),
    };
    say!("{which}: valid, {number}{}", counted(steps, "step"));
    cells.iter().for_each(|cell| say!("  {cell}"));
}
