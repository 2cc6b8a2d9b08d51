//! `loss`: a checkpoint's loss and metric on a frozen set.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ModelAndSet, check_finite, with_se};
use crate::data::masking::unigram_entropy;
use crate::error::Result;
use crate::evaluate::{metrics, set_loss, tell_other_order};
use crate::model::Head;
use crate::progress::{self, say};
use crate::tasks::{Answer, Kind};

/// Loss of a checkpoint on a frozen set, with its standard error.
#[derive(clap::Args, Clone, Debug)]
pub struct Loss {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Seed of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Loss {
    pub fn run(&self) -> Result<()> {
        let (model, set) = self.inputs.open(self.seed)?;
        let loss = set_loss(model.objective(), &model.theta, &set.examples, &set.by_length())?;
        check_finite(&self.inputs.checkpoint, loss.loss)?;
        if let (Head::Classes(classes), true) = (model.head(), model.stored_head) {
            tell_other_order(self.inputs.checkpoint.display(), classes, &loss, &set.examples);
        }
        let metrics = metrics(&set.scoring(), &loss, &set.examples);
        let entropy = (set.kind.spec().answer == Answer::Token).then(|| unigram_entropy(&set.examples));
        let writes = matches!(set.kind, Kind::CausalLm | Kind::Seq2SeqLm);
        let perplexity = writes.then(|| libm::exp(loss.loss));
        say!("loss      {} per target", with_se(loss.loss, loss.loss_se));
        if let Some(perplexity) = perplexity {
            say!("perplexity {}", with_se(perplexity, perplexity * loss.loss_se));
        }
        metrics.iter().for_each(|(name, value)| say!("{name:9} {value:.6}"));
        if let Some(entropy) = entropy {
            say!("unigram entropy of the targets {entropy:.6}");
        }
        say!("examples  {} ({} targets)", loss.examples, loss.targets);
        let chief = metrics.first();
        progress::answer(|| {
            json!({
                "loss": loss.loss, "loss_se": loss.loss_se, "examples": loss.examples, "targets": loss.targets,
                "metric": chief.map(|(_, value)| value), "metric_name": chief.map(|(name, _)| name),
                "metrics": metrics.iter().cloned().collect::<BTreeMap<String, f64>>(),
                "unigram_entropy": entropy, "perplexity": perplexity,
            })
        });
        Ok(())
    }
}
