//! `fisher`: the diagonal Fisher information of a checkpoint on a frozen set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ModelAndSet, check_extension};
use crate::error::Result;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::fisher::{self, files};
use crate::model::Reduction;
use crate::progress::{self, say};
use crate::report::provenance::{self, Provenance};
use crate::{estimate, params};

/// Diagonal Fisher information, exact per example.
#[derive(clap::Args, Clone, Debug)]
pub struct Fisher {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Which labels enter the gradient
    #[arg(long, value_enum, default_value_t)]
    pub estimator: Estimator,
    /// Differentiate the mean over an example's targets (the paper's) or their sum
    #[arg(long, value_enum, default_value_t)]
    pub reduction: Reduction,
    /// Also write F.examples.safetensors: the sum of squared gradients of each example and tensor
    #[arg(long)]
    pub per_example: bool,
    /// Seed of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The file to write (.safetensors); F.csv goes beside it
    #[arg(long, value_name = "F.safetensors")]
    pub out: PathBuf,
}

/// Which labels enter the gradient (definitions.md section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Estimator {
    /// Those of the data: the paper's, and the only one so far.
    #[default]
    Empirical,
}

impl Fisher {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "safetensors")?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open(self.seed)?;
        let (examples, by_length) = (&set.examples, set.by_length());
        let seconds = estimate::seconds_each(&model.bert, &model.theta, examples, &by_length)?
            * estimate::tokens(examples) as f64;
        let batch = estimate::activations(&model.bert.config, examples, fisher::BATCH.1, true);
        let bytes = 2 * params::bytes(&model.theta) + batch;
        estimate::tell("Fisher information", seconds * estimate::BACKWARD, bytes);
        let fisher = fisher::diagonal(&model.bert, &model.theta, &set.examples, self.reduction)?;
        if fisher.skipped > 0 {
            progress::note(format!("{} examples without a target skipped", fisher.skipped));
        }
        let reduction = clap::ValueEnum::to_possible_value(&self.reduction).map(|v| v.get_name().to_string());
        let metadata = BTreeMap::from([
            ("checkpoint".to_string(), model.hash.clone()),
            ("set".to_string(), set.hash.clone()),
            ("estimator".to_string(), "empirical".to_string()),
            ("reduction".to_string(), reduction.unwrap_or_default()),
            ("examples".to_string(), fisher.used.len().to_string()),
            ("skipped".to_string(), fisher.skipped.to_string()),
        ]);
        files::write(&self.out, &fisher, &metadata, self.per_example)?;
        provenance.input("checkpoint", &model.hash);
        provenance.input("set", &set.hash);
        provenance.write(&provenance::beside(&self.out))?;
        print_blocks(&fisher);
        say!(
            "{}: {} tensors, {} examples ({} skipped)",
            self.out.display(),
            fisher.diagonal.len(),
            fisher.used.len(),
            fisher.skipped
        );
        Ok(())
    }
}

/// Mean Fisher information of each block with its standard error over examples.
fn print_blocks(fisher: &fisher::Fisher) {
    let scores =
        Scores::new(&fisher::tensor_sizes(&fisher.diagonal), Granularity::Block, Aggregate::Mean, false);
    let by_example = scores.of_examples(&fisher.sums);
    say!("{:12} {:>12} {:>12}", "block", "mean F", "se");
    for (name, column) in scores.names().iter().zip(by_example.columns()) {
        let values = column.to_vec();
        say!(
            "{name:12} {:12.4e} {:12.1e}",
            crate::stats::mean(&values),
            crate::stats::standard_error(&values)
        );
    }
}
