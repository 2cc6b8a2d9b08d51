//! `pretrain`: so far, adding a fresh masked-LM head to a checkpoint.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::model::{Checkpoint, Model};
use crate::progress::say;
use crate::report::provenance::Provenance;

/// Masked-LM pre-training; with --steps 0, add a fresh masked-LM head and train nothing.
#[derive(clap::Args, Clone, Debug)]
pub struct Pretrain {
    /// Checkpoint to start from
    #[arg(long, value_name = "C")]
    pub checkpoint: PathBuf,
    /// Training steps; this version only adds the head: 0
    #[arg(long, value_name = "N")]
    pub steps: u64,
    /// Seed of the fresh head
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Pretrain {
    pub fn run(&self) -> Result<()> {
        if self.steps != 0 {
            let fix = "give --steps 0; training on text is not part of this version";
            return Err(Error::field("--steps", "number", "0", self.steps, fix));
        }
        let mut provenance = Provenance::start(Some(self.seed));
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        provenance.input("checkpoint", &checkpoint.hash);
        let model = checkpoint.with_masked_lm_head(self.seed)?;
        Model::prepare_folder(&self.checkpoint, &self.out)?;
        model.save(&self.out, None)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        say!("{}: {} parameters, masked-LM head", self.out.display(), crate::params::count(&model.theta));
        Ok(())
    }
}
