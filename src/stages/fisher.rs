//! `fisher`: the diagonal Fisher information of a checkpoint on a frozen set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::options::defaults;
use super::slice::{self, Slice};
use super::{ModelAndSet, check_extension, word};
use crate::data::frozen::FrozenSet;
use crate::data::row::SKIPPED;
use crate::draw::panels::counted;
use crate::error::{Error, Problem, Result, check_at_most};
use crate::fisher::blocks::Blocks;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::fisher::{self, Control, control, files};
use crate::model::{Estimate, Estimator, Head, Layout, Model, Reduction, Wanted};
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::{estimate, params};

/// Diagonal Fisher information, exact per example.
#[derive(clap::Args, Clone, Debug)]
pub struct Fisher {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Labels to differentiate the loss for: the data's (the paper's), labels drawn from the model, or all classes. Several,
    /// separated by commas, share one forward pass
    #[arg(long, value_enum, default_value = "empirical", value_delimiter = ',', value_name = "ESTIMATOR,..")]
    pub estimator: Vec<Estimator>,
    /// Differentiate the mean over an example's targets (the paper's) or their sum
    #[arg(long, value_enum, default_value = "mean", value_delimiter = ',', value_name = "REDUCTION,..")]
    pub reduction: Vec<Reduction>,
    #[command(flatten)]
    pub options: FisherOptions,
    /// Fisher information of a control instead: of an untrained model of this shape, or of labels at random
    #[arg(long, value_enum, value_name = "CONTROL")]
    pub control: Option<Control>,
    /// Also write F.examples.safetensors: the sum of squared gradients of each example and tensor
    #[arg(long)]
    pub per_example: bool,
    /// Compute one part of N only, for the same command without --slice to put together: K/N, or env for what the launcher
    /// says (an array of Slurm or SGE, mpirun, srun)
    #[arg(long, value_name = "K/N")]
    pub slice: Option<Slice>,
    /// Seed of the labels that mc draws, of a control, and of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The file to write (.safetensors), with F.csv next to it; several estimates are written to F.ESTIMATOR-REDUCTION.safetensors
    #[arg(long, value_name = "F.safetensors")]
    pub out: PathBuf,
}

/// How labels are drawn.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct FisherOptions {
    /// Labels that mc draws for each target
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub mc_samples: usize,
}

impl FisherOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        match self.mc_samples {
            0 => Err(Problem::new("mc_samples", "number", "at least 1", 0, "1 is usual")),
            samples => check_at_most("mc_samples", samples, 1000, "a backward pass over the set"),
        }
    }
}

impl Fisher {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (mut model, mut set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        match self.control {
            Some(Control::Untrained) => model.draw_anew(self.seed)?,
            Some(Control::RandomLabel) => control::exchange_labels(&mut set.examples, self.seed),
            None => {}
        }
        let (network, estimates) = (model.network()?, self.estimates());
        fisher::check(set.kind, &estimates)?;
        let numbers: Vec<usize> = (0..set.examples.len()).collect();
        let pass = fisher::Pass::new(network, &model.theta, &set.examples, &numbers, &estimates)?;
        self.tell(&model, &set, &estimates, pass.blocks())?;
        let blocks = Blocks::beside(&self.out, self.identity(&model, &set));
        if let Some(slice) = self.slice {
            let done = pass.slice((slice.number - 1, slice.of), &blocks)?;
            let own: Vec<String> = done.iter().map(|block| (block + 1).to_string()).collect();
            let own = if own.is_empty() { "none".to_string() } else { own.join(", ") };
            let (part, all) = (slice.of_result(&self.out), pass.blocks());
            say!("{part}: blocks {own} of {all}; {}", slice::TOGETHER);
            progress::answer(|| json!({"out": part, "blocks": done.len(), "of": all}));
            return Ok(());
        }
        let results = pass.whole(Some(&blocks))?;
        let (mut written, mut answer) = (Vec::new(), Vec::new());
        for (estimate, fisher) in estimates.iter().zip(&results) {
            if fisher.skipped > 0 && *estimate == estimates[0] {
                progress::excluded(format!("{} {SKIPPED}", counted(fisher.skipped, "example")));
            }
            let mut metadata = BTreeMap::from([
                ("checkpoint".to_string(), model.hash.clone()),
                ("set".to_string(), set.hash.clone()),
                ("estimator".to_string(), word(estimate.estimator)),
                ("reduction".to_string(), word(estimate.reduction)),
                ("examples".to_string(), fisher.used.len().to_string()),
                ("skipped".to_string(), fisher.skipped.to_string()),
            ]);
            if let Some(control) = self.control {
                metadata.insert("control".to_string(), word(control));
                metadata.insert("seed".to_string(), self.seed.to_string());
            }
            if estimate.estimator == Estimator::Mc {
                metadata.insert("samples".to_string(), estimate.samples.to_string());
                metadata.insert("seed".to_string(), estimate.seed.to_string());
            }
            if !model.stored_head {
                metadata.insert(files::HEAD_SEED.to_string(), self.seed.to_string());
            }
            let out = self.out_of(estimate);
            files::write(&out, fisher, &network.layout, &metadata, self.per_example)?;
            written.push(provenance::beside(&out));
            let means = block_means(fisher, &network.layout);
            say!("{:12} {:>12} {:>12}", "block", "mean F", "se");
            means.iter().for_each(|(name, mean, se)| say!("{name:12} {mean:12.4e} {se:12.1e}"));
            let blocks =
                means.iter().map(|(name, mean, se)| json!({"name": name, "mean": mean, "mean_se": se}));
            answer.push(json!({
                "out": out, "estimator": estimate.estimator, "reduction": estimate.reduction,
                "tensors": fisher.diagonal.len(), "examples": fisher.used.len(), "skipped": fisher.skipped,
                "blocks": blocks.collect::<Vec<_>>(),
            }));
            say!(
                "{}: {}, {} tensors, {} examples ({} skipped)",
                out.display(),
                word(estimate.estimator),
                fisher.diagonal.len(),
                fisher.used.len(),
                fisher.skipped
            );
        }
        provenance.write_each(&written)?;
        progress::answer(|| json!({ "estimates": answer }));
        blocks.remove()
    }

    /// What the sums of a block depend on.
    fn identity(&self, model: &Model, set: &FrozenSet) -> String {
        let estimates = self.estimates();
        let (version, arithmetic) = (env!("CARGO_PKG_VERSION"), provenance::arithmetic());
        let inputs = format!("{} {} {estimates:?} {:?} {}", model.hash, set.hash, self.control, self.seed);
        let all = format!("{version} {arithmetic} {inputs}");
        blake3::hash(all.as_bytes()).to_hex().to_string()
    }

    pub(super) fn check(&self) -> Result<()> {
        check_extension("--out", &self.out, "safetensors")?;
        self.options.check()?;
        let estimates = self.estimates();
        match estimates.iter().enumerate().find(|(i, e)| estimates[..*i].contains(e)) {
            Some((_, twice)) => {
                let found = format!("{} twice", word(twice.estimator));
                Err(Error::field("--estimator", "estimates", "distinct", found, "name each once"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn estimates(&self) -> Vec<Estimate> {
        let (samples, seed) = (self.options.mc_samples, self.seed);
        let each = |&estimator: &Estimator| {
            self.reduction.iter().map(move |&reduction| Estimate { estimator, reduction, samples, seed })
        };
        self.estimator.iter().flat_map(each).collect()
    }

    /// Where an estimate goes: `--out` if it is the only one.
    fn out_of(&self, estimate: &Estimate) -> PathBuf {
        match self.estimator.len() * self.reduction.len() {
            1 => self.out.clone(),
            _ => self.out.with_extension(format!(
                "{}-{}.safetensors",
                word(estimate.estimator),
                word(estimate.reduction)
            )),
        }
    }

    /// Forward passes that its work comes to, of which one serves all the backward passes.
    pub(super) fn passes(&self, estimates: &[Estimate], classes: usize) -> f64 {
        let passes = estimates.iter().map(|e| match e.estimator {
            Estimator::Empirical => 1,
            Estimator::Mc => e.samples,
            Estimator::Exact => classes,
        });
        1.0 + passes.sum::<usize>() as f64 * (estimate::BACKWARD - 1.0)
    }

    /// Says what it will take.
    fn tell(&self, model: &Model, set: &FrozenSet, estimates: &[Estimate], blocks: usize) -> Result<()> {
        let examples = &set.examples;
        let forward = estimate::seconds_each(model.objective(), &model.theta, examples, &set.by_length())?
            * estimate::tokens(examples) as f64;
        let classes = match model.head() {
            Head::Classes(n) if n > 2 => n,
            _ => 1,
        };
        let seconds = forward * self.passes(estimates, classes);
        let batch = model.activations(examples, fisher::BATCH.1, Wanted::Squares);
        // The parameters, the sums, and those of a block.
        let sums = estimates.len() * blocks.min(2);
        let bytes = (1 + sums) * params::bytes(&model.theta) + batch;
        estimate::tell("Fisher information", seconds, bytes);
        Ok(())
    }
}

/// Mean Fisher information of each block, with its standard error over examples.
fn block_means(fisher: &fisher::Fisher, layout: &Layout) -> Vec<(String, f64, f64)> {
    let scores = Scores::new(layout, Granularity::Block, Aggregate::Mean, false);
    let by_example = scores.of_examples(&fisher.sums);
    let mean = |(name, values): (&String, Vec<f64>)| {
        (name.clone(), crate::stats::mean(&values), fisher.clusters.standard_error(&values))
    };
    scores
        .names()
        .iter()
        .zip(by_example.columns().into_iter().map(|column| column.to_vec()))
        .map(mean)
        .collect()
}
