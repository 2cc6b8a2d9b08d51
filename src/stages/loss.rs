//! `loss`: a checkpoint's loss and metric on a frozen set.

use serde_json::json;

use super::{ModelAndSet, check_finite, with_se};
use crate::data::masking::unigram_entropy;
use crate::error::Result;
use crate::evaluate::{metrics, set_loss, tell_other_order};
use crate::model::Head;
use crate::progress::say;
use crate::tasks::{Answer, Kind};

/// Loss of a checkpoint on a frozen set, with its standard error.
#[derive(clap::Args, Clone, Debug)]
pub struct Loss {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// Seed of a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
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
        if self.json {
            let all: serde_json::Map<String, serde_json::Value> =
                metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let (name, value) =
                metrics.first().map_or((json!(null), json!(null)), |(n, v)| (json!(n), json!(v)));
            let result = json!({
                "loss": loss.loss, "loss_se": loss.loss_se, "examples": loss.examples, "targets": loss.targets,
                "metric": value, "metric_name": name, "metrics": all, "unigram_entropy": entropy,
                "perplexity": perplexity,
            });
            say!("{result}");
        } else {
            say!("loss      {} per target", with_se(loss.loss, loss.loss_se));
            if let Some(perplexity) = perplexity {
                say!("perplexity {}", with_se(perplexity, perplexity * loss.loss_se));
            }
            for (name, value) in metrics {
                say!("{name:9} {value:.6}");
            }
            if let Some(entropy) = entropy {
                say!("unigram entropy of the targets {entropy:.6}");
            }
            say!("examples  {} ({} targets)", loss.examples, loss.targets);
        }
        Ok(())
    }
}
