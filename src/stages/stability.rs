//! `stability`: how far layer rankings of sub-samples agree with the whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::freeze::{frozen, longest};
use super::source::tell;
use crate::data::frozen::FrozenSet;
use crate::data::text;
use crate::error::{Error, Result};
use crate::fisher::layers::{Aggregate, Granularity};
use crate::model::checkpoint::MissingHead;
use crate::model::{Checkpoint, Reduction};
use crate::progress::say;
use crate::report::provenance::Provenance;
use crate::stability::{self, AgreementRow, Config};
use crate::{files, fisher, stats};

/// How stable layer rankings stay when Fisher information is computed on part of the data.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("corpus").required(true).args(["set", "text"])))]
pub struct Stability {
    /// Checkpoint: a folder in the Hugging Face layout
    #[arg(long, value_name = "C")]
    pub checkpoint: PathBuf,
    /// Frozen set: the whole that is sampled from
    #[arg(long, value_name = "SET")]
    pub set: Option<PathBuf>,
    /// Plain text instead, masked by the seed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Shortest line of text in words
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub min_words: usize,
    /// Longest line of text in tokens [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    /// Fractions of the examples to draw
    #[arg(long, default_value = "0.01,0.02,0.05,0.1", value_delimiter = ',', value_name = "F,..")]
    pub fractions: Vec<f64>,
    /// Draws of each fraction
    #[arg(long, default_value_t = 10, value_name = "R")]
    pub repeats: usize,
    /// How a site's tensors become one score
    #[arg(long, value_enum, default_value_t)]
    pub aggregate: Aggregate,
    /// Count intermediate.dense into ffn_output
    #[arg(long)]
    pub include_intermediate: bool,
    /// Differentiate the mean over an example's targets (the paper's) or their sum
    #[arg(long, value_enum, default_value_t)]
    pub reduction: Reduction,
    /// Fail if the checkpoint lacks the task head, instead of drawing one from the seed
    #[arg(long)]
    pub strict_head: bool,
    /// Seed of the draws, the masking and a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write scores.csv and agreement.csv to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Stability {
    pub fn run(&self) -> Result<()> {
        if self.repeats == 0 {
            return Err(Error::field("--repeats", "number", "at least 1", 0, "10 is a good number"));
        }
        stability::check_fractions(&self.fractions)?;
        let mut provenance = Provenance::start(Some(self.seed));
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let set = self.set(&checkpoint, &mut provenance)?;
        let model = checkpoint.model_for(&set, MissingHead::unless(self.strict_head, self.seed))?;
        provenance.input("checkpoint", &model.hash);
        let fisher = fisher::diagonal(&model.bert, &model.theta, &set.examples, self.reduction)?;
        let tensors = fisher::tensor_sizes(&fisher.diagonal);
        let config = Config {
            fractions: self.fractions.clone(),
            repeats: self.repeats,
            aggregate: self.aggregate,
            include_intermediate: self.include_intermediate,
            seed: self.seed,
        };
        let result = stability::measure(&tensors, &fisher.sums, &config)?;
        files::write_csv(&self.out.join("scores.csv"), &result.scores)?;
        files::write_csv(&self.out.join("agreement.csv"), &result.agreement)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        self.summarise(&result.agreement);
        say!(
            "{}: {} examples ({} skipped), {} draws",
            self.out.display(),
            fisher.used.len(),
            fisher.skipped,
            self.fractions.len() * self.repeats
        );
        Ok(())
    }

    fn set(&self, checkpoint: &Checkpoint, provenance: &mut Provenance) -> Result<FrozenSet> {
        if let Some(path) = &self.set {
            let set = FrozenSet::read(path)?;
            provenance.input("set", &set.hash);
            return Ok(set);
        }
        let rows = text::read(&self.text, self.min_words)?;
        tell(&rows);
        for path in &self.text {
            provenance.input_file("text", path)?;
        }
        let max_len = longest(self.max_len, checkpoint)?;
        let place = self.text.first().map_or(Path::new("text"), PathBuf::as_path);
        Ok(frozen(place, &rows, checkpoint, max_len, self.seed, BTreeMap::new())?.0)
    }

    /// Mean and spread over the repeats, against the full set.
    fn summarise(&self, rows: &[AgreementRow]) {
        say!(
            "{:>8} {:>8}  {:11} {:>17} {:>17}",
            "fraction",
            "examples",
            "granularity",
            "Spearman",
            "Kendall"
        );
        for &fraction in &self.fractions {
            for granularity in Granularity::ALL.map(Granularity::name) {
                let own: Vec<&AgreementRow> =
                    rows.iter().filter(|r| r.fraction == fraction && r.granularity == granularity).collect();
                let cell = |get: fn(&AgreementRow) -> Option<f64>| {
                    let values: Vec<f64> = own.iter().filter_map(|row| get(row)).collect();
                    format!("{:.3} (sd {:.3})", stats::mean(&values), stats::sd(&values))
                };
                let examples = own.first().map_or(0, |row| row.examples);
                let (spearman, kendall) = (cell(|r| r.spearman), cell(|r| r.kendall));
                say!("{fraction:8} {examples:8}  {granularity:11} {spearman:>17} {kendall:>17}");
            }
        }
    }
}
