//! `stability`: how far layer rankings of sub-samples agree with the whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::freeze::{frozen, longest};
use super::source::tell;
use crate::data::frozen::FrozenSet;
use crate::data::text;
use crate::error::{Error, Result};
use crate::fisher::layers::{Aggregate, Granularity, TensorSizes};
use crate::model::checkpoint::MissingHead;
use crate::model::{Checkpoint, Reduction};
use crate::progress::say;
use crate::report::agreement_file::Curves;
use crate::report::curves::curve_figure;
use crate::report::provenance::Provenance;
use crate::stability::agreement::Measure;
use crate::stability::draw::Draws;
use crate::stability::summary::{self, Reference, SummaryRow};
use crate::stability::{self, Config};
use crate::{files, fisher};

/// How stable layer rankings stay when Fisher information is computed on part of the data.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("corpus").required(true).args(["set", "text", "fisher"])))]
pub struct Stability {
    /// Checkpoint: a folder in the Hugging Face layout
    #[arg(long, value_name = "C", required_unless_present = "fisher")]
    pub checkpoint: Option<PathBuf>,
    /// Frozen set: the whole that is sampled from
    #[arg(long, value_name = "SET")]
    pub set: Option<PathBuf>,
    /// Plain text instead, masked by the seed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Fisher information made with --per-example instead: no pass over the corpus
    #[arg(long, value_name = "F.safetensors", conflicts_with_all = ["checkpoint", "reduction", "strict_head"])]
    pub fisher: Option<PathBuf>,
    /// Shortest line of text in words
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub min_words: usize,
    /// Longest line of text in tokens [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    /// Fractions of the examples to draw
    #[arg(long, default_value = "0.01,0.02,0.05,0.1", value_delimiter = ',', value_name = "F,..")]
    pub fractions: Vec<f64>,
    /// Draws of each fraction; of disjoint ones no more than fit
    #[arg(long, default_value_t = 10, value_name = "R")]
    pub repeats: usize,
    /// How the draws relate to each other
    #[arg(long, value_enum, default_value = "independent", value_delimiter = ',', value_name = "KIND,..")]
    pub draws: Vec<Draws>,
    /// Resampled corpora behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "B")]
    pub resamples: usize,
    /// Spearman's rho that the lower bound must exceed for a fraction to be trusted
    #[arg(long, default_value_t = 0.9, value_name = "RHO")]
    pub threshold: f64,
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
    /// The folder for scores.csv, agreement.csv, summary.csv, trust.csv and agreement.svg
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `s[n,t]` and what its columns are.
struct Sums {
    tensors: TensorSizes,
    sums: Array2<f64>,
    skipped: Option<usize>,
}

impl Stability {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let input = match &self.fisher {
            Some(path) => read(path, &mut provenance)?,
            None => self.pass(&mut provenance)?,
        };
        let config = Config {
            draws: self.draws.clone(),
            fractions: self.fractions.clone(),
            repeats: self.repeats,
            resamples: self.resamples,
            aggregate: self.aggregate,
            include_intermediate: self.include_intermediate,
            seed: self.seed,
        };
        let result = stability::measure(&input.tensors, &input.sums, &config)?;
        let trust = summary::trust(&result.summary, Measure::Spearman, self.threshold);
        files::write_csv(&self.out.join("scores.csv"), &result.scores)?;
        files::write_csv(&self.out.join("agreement.csv"), &result.agreement)?;
        files::write_csv(&self.out.join("summary.csv"), &result.summary)?;
        files::write_csv(&self.out.join("trust.csv"), &trust)?;
        let figure = curve_figure(&Curves::read(&self.out.join("agreement.csv"))?, None)?;
        files::write(&self.out.join("agreement.svg"), figure.as_bytes())?;
        provenance.write(&self.out.join("provenance.toml"))?;
        table(&result.summary);
        if self.resamples > 0 {
            trust.iter().for_each(|row| say!("{}", row.sentence(&result.summary)));
        }
        let skipped = input.skipped.map_or(String::new(), |skipped| format!(" ({skipped} skipped)"));
        let draws = result.agreement.len() / Granularity::ALL.len();
        say!("{}: {} examples{skipped}, {draws} draws", self.out.display(), input.sums.nrows());
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.repeats == 0 {
            return Err(Error::field("--repeats", "number", "at least 1", 0, "10 is a good number"));
        }
        if !(self.threshold > -1.0 && self.threshold < 1.0) {
            let fix = "0.9 asks for nearly the same order";
            return Err(Error::field("--threshold", "rho", "between -1 and 1", self.threshold, fix));
        }
        if self.draws.iter().enumerate().any(|(i, kind)| self.draws[..i].contains(kind)) {
            let found = self.draws.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",");
            return Err(Error::field("--draws", "kinds", "distinct", found, "name each once"));
        }
        stability::check_fractions(&self.fractions)
    }

    /// One pass over the corpus.
    fn pass(&self, provenance: &mut Provenance) -> Result<Sums> {
        // Not reached: the command line asks for one where there is no Fisher file.
        let folder = self.checkpoint.as_deref().unwrap_or(Path::new(""));
        let checkpoint = Checkpoint::open(folder)?;
        let set = self.set(&checkpoint, provenance)?;
        let model = checkpoint.model_for(&set, MissingHead::unless(self.strict_head, self.seed))?;
        provenance.input("checkpoint", &model.hash);
        let fisher = fisher::diagonal(&model.bert, &model.theta, &set.examples, self.reduction)?;
        let tensors = fisher::tensor_sizes(&fisher.diagonal);
        Ok(Sums { tensors, sums: fisher.sums, skipped: Some(fisher.skipped) })
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
}

/// `s[n,t]` of an earlier pass.
fn read(path: &Path, provenance: &mut Provenance) -> Result<Sums> {
    let examples = fisher::files::examples_path(path);
    let fix = "make both again with `fisherscape fisher --per-example`";
    let wrong =
        |expected: &str, found: String| Error::field(examples.display(), "sums", expected, found, fix);
    let (diagonal, _) = fisher::files::read(path)?;
    let tensors = fisher::tensor_sizes(&diagonal);
    let (names, sums) = fisher::files::read_examples(path)?
        .ok_or_else(|| wrong("beside the Fisher file", "no file".into()))?;
    if !names.iter().eq(tensors.iter().map(|(name, _)| name)) {
        let found = format!("{} tensors for {}", names.len(), tensors.len());
        return Err(wrong("of the tensors of the Fisher file", found));
    }
    if sums.iter().any(|s| !(s.is_finite() && *s >= 0.0)) {
        return Err(wrong("finite and not negative", "another value".into()));
    }
    provenance.input_file("fisher", path)?;
    provenance.input_file("examples", &examples)?;
    Ok(Sums { tensors, sums, skipped: None })
}

/// Mean, interval and spread of Spearman's rho, for people.
fn table(summary: &[SummaryRow]) {
    say!(
        "{:11} {:>8} {:>8}  {:11} {:>30} {:>30}",
        "draw",
        "fraction",
        "examples",
        "granularity",
        "Spearman with complement",
        "with full set"
    );
    let is = |row: &&SummaryRow| row.measure == Measure::Spearman && row.reference == Reference::Full;
    for full in summary.iter().filter(is) {
        let cell = |reference: Reference| {
            let own = |row: &&SummaryRow| {
                (row.draw, row.fraction, row.granularity, row.reference, row.measure)
                    == (full.draw, full.fraction, full.granularity, reference, Measure::Spearman)
            };
            summary.iter().find(own).map_or(String::new(), |row| {
                let sd = row.sd.map_or(String::new(), |sd| format!(" (sd {sd:.3})"));
                format!("{}{sd}", row.bounded())
            })
        };
        let (draw, granularity) = (full.draw.name(), full.granularity.name());
        let (complement, whole) = (cell(Reference::Complement), cell(Reference::Full));
        let (fraction, examples) = (full.fraction, full.examples);
        say!("{draw:11} {fraction:8} {examples:8}  {granularity:11} {complement:>30} {whole:>30}");
    }
}
