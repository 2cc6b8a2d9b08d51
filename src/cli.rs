//! The command line: one variant per command.

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::stages::{fisher, freeze, loss, pretrain, render, schedule, stability, surface, train};

/// The version and, since the binary contains data made from WordNet, its licence.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nThe model and the task in this binary are made from WordNet 3.0, whose licence follows.\n\n",
    include_str!("embedded/LICENSE-WORDNET"),
);

/// Fisher information, guided dropout and loss surfaces for BERT, with an uncertainty beside every number.
#[derive(Parser, Debug)]
#[command(version, long_version = LONG_VERSION, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Threads; results do not depend on them [default: all processors]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = "Global options")]
    pub verbose: bool,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Freeze(freeze::Freeze),
    Loss(loss::Loss),
    Fisher(fisher::Fisher),
    Schedule(schedule::Schedule),
    Pretrain(pretrain::Pretrain),
    Train(train::Train),
    Surface(surface::Surface),
    Stability(stability::Stability),
    Render(render::Render),
}

impl Cli {
    /// 0: errors only, 1: notes and progress, 2: details.
    pub fn verbosity(&self) -> u8 {
        if self.quiet { 0 } else { 1 + u8::from(self.verbose) }
    }
}

impl Command {
    /// Runs the command.
    pub fn run(&self) -> Result<()> {
        match self {
            Command::Freeze(stage) => stage.run(),
            Command::Loss(stage) => stage.run(),
            Command::Fisher(stage) => stage.run(),
            Command::Schedule(stage) => stage.run(),
            Command::Pretrain(stage) => stage.run(),
            Command::Train(stage) => stage.run(),
            Command::Surface(stage) => stage.run(),
            Command::Stability(stage) => stage.run(),
            Command::Render(stage) => stage.run(),
        }
    }
}
