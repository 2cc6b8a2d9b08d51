//! `stability`: how far layer rankings of sub-samples agree with the whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::options::defaults;
use super::source::tell;
use super::{Compute, HeadOptions, check_resamples, checkpoint};
use crate::data::columns::Columns;
use crate::data::frozen::FrozenSet;
use crate::data::tokenizer::Special;
use crate::data::{self, Example, masking, text};
use crate::draw::canvas::named;
use crate::error::{Error, Problem, Result, check_at_most};
use crate::figures::stability::{caption, curve_figure};
use crate::fisher::Fisher;
use crate::fisher::files::PerExample;
use crate::fisher::layers::{Aggregate, Granularity};
use crate::model::freeze::{frozen, longest};
use crate::model::{Checkpoint, Estimate, Estimator, Layout, Model, Reduction, Wanted};
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::rng::Stream;
use crate::stability::agreement::Measure;
use crate::stability::components::{self, ComponentRow, MaskRow};
use crate::stability::draw::Draws;
use crate::stability::heads::{self, HeadRow};
use crate::stability::overlap::{self, Draw, OverlapRow};
use crate::stability::summary::{self, Reference, SummaryRow};
use crate::stability::{self, AgreementRow, Config, needed, types};
use crate::stats::clusters::Clusters;
use crate::tables::agreement::Curves;
use crate::tables::{self, Table};
use crate::{estimate, files, fisher, params};

/// How stable layer rankings stay when Fisher information is computed on part of the data.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("corpus").required(true).args(["set", "text", "fisher"])))]
pub struct Stability {
    #[arg(long, value_name = "C", help = checkpoint("Checkpoint"), required_unless_present = "fisher")]
    pub checkpoint: Option<PathBuf>,
    /// Frozen set: the whole that is sampled from
    #[arg(long, value_name = "SET")]
    pub set: Option<PathBuf>,
    /// Plain text instead, masked by the seed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Column of the text, where --text is a table such as JSON Lines or parquet
    #[arg(long, value_name = "NAME", requires = "text")]
    pub columns: Option<Columns>,
    /// Fisher information made with --per-example instead: no pass over the corpus
    #[arg(long, value_name = "F.safetensors", conflicts_with_all = ["checkpoint", "reduction", "strict_head", "fresh_head", "masks", "heads", "overlap"])]
    pub fisher: Option<PathBuf>,
    /// Skip lines with fewer words than this
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub min_words: usize,
    /// Cut lines to this many tokens, special tokens included [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    #[command(flatten)]
    pub options: StabilityOptions,
    /// How a site's tensors become one score
    #[arg(long, value_enum, default_value_t)]
    pub aggregate: Aggregate,
    /// Count intermediate.dense into ffn_output
    #[arg(long)]
    pub include_intermediate: bool,
    /// Labels to differentiate the loss for
    #[arg(long, value_enum, default_value_t, conflicts_with = "fisher")]
    pub estimator: Estimator,
    /// Differentiate the mean over an example's targets (the paper's) or their sum
    #[arg(long, value_enum, default_value_t)]
    pub reduction: Reduction,
    #[command(flatten)]
    pub head: HeadOptions,
    #[command(flatten)]
    pub compute: Compute,
    /// Seed of the draws, the masking and a task head that the checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for scores, agreement, summary, trust, types, ranks, tails and needed (.csv) and agreement.svg; with --masks
    /// components and masks, under a random head heads, with --overlap overlap (.csv)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which sub-samples there are, and what is asked of them.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct StabilityOptions {
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
    /// Trust a fraction when the lower bound of Spearman's rho exceeds this; also the target for the predicted number of
    /// examples
    #[arg(long, default_value_t = 0.9, value_name = "RHO")]
    pub threshold: f64,
    /// Mask every example M times, to separate masking noise from sampling noise: M - 1 more passes over the corpus
    #[arg(long, default_value_t = 1, value_name = "M")]
    pub masks: usize,
    /// Task heads, drawn from the seed and those that follow it, to separate the head's part of the spread from the examples': K - 1 more
    /// passes over the corpus. Only for a checkpoint that lacks its head
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub heads: usize,
    /// Also compare the top fractions of all PARAMETERS (0.01 is the top 1 %): a pass over each draw's examples
    #[arg(long, value_delimiter = ',', value_name = "TOP,..")]
    pub overlap: Vec<f64>,
}

impl StabilityOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        if self.repeats == 0 {
            return Err(Problem::new("repeats", "number", "at least 1", 0, "10 is a good number"));
        }
        check_at_most("repeats", self.repeats, 10_000, "a draw of every fraction, with rows of its own")?;
        check_at_most("masks", self.masks, 1000, "a pass over the corpus")?;
        check_resamples(self.resamples)?;
        if !(self.threshold > -1.0 && self.threshold < 1.0) {
            let fix = "0.9 asks for nearly the same order";
            return Err(Problem::new("threshold", "rho", "between -1 and 1", self.threshold, fix));
        }
        if self.draws.iter().enumerate().any(|(i, kind)| self.draws[..i].contains(kind)) {
            let found = self.draws.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",");
            return Err(Problem::new("draws", "kinds", "distinct", found, "name each once"));
        }
        if self.masks == 0 {
            return Err(Problem::new("masks", "number", "at least 1", 0, "3 separate masks from data"));
        }
        if self.heads == 0 {
            return Err(Problem::new("heads", "number", "at least 1", 0, "5 separate heads from data"));
        }
        if let Some(top) = self.overlap.iter().find(|top| !(**top > 0.0 && **top < 1.0)) {
            return Err(Problem::new("overlap", "fractions", "between 0 and 1", top, "write 1 % as 0.01"));
        }
        stability::check_fractions(&self.fractions)
    }
}

/// `s[n,t]` and what its columns are.
struct Sums {
    layout: Layout,
    sums: Array2<f64>,
    skipped: Option<usize>,
    /// What further passes have found.
    components: Vec<ComponentRow>,
    masks: Vec<MaskRow>,
    /// Under each random head; none where the checkpoint has its own.
    heads: Vec<HeadRow>,
    overlap: Vec<OverlapRow>,
}

impl Stability {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let mut config = self.config();
        let input = match &self.fisher {
            Some(path) => read(path, &mut config, &mut provenance)?,
            None => self.passes(&mut config, &mut provenance)?,
        };
        match (config.clusters.groups(), config.clusters.parts()) {
            (Some(n), Some(_)) => {
                progress::note(format!("{n} groups of rows, as windows of a question: each is one example"))
            }
            (Some(n), None) => {
                progress::note(format!("{n} groups of examples, as lines of an article: resampled whole"))
            }
            (None, _) => {}
        }
        let result = stability::measure(&input.layout, &input.sums, &config)?;
        let trust = summary::trust(&result.summary, Measure::Spearman, self.options.threshold);
        let file = |name: &str| self.out.join(name);
        tables::write(&self.out, &result.scores)?;
        tables::write(&self.out, &result.agreement)?;
        tables::write(&self.out, &result.summary)?;
        tables::write(&self.out, &trust)?;
        tables::write(&self.out, &result.types)?;
        tables::write(&self.out, &result.ranks)?;
        tables::write(&self.out, &result.tails)?;
        tables::write(&self.out, &result.needed)?;
        write_or_remove(&self.out, &input.components)?;
        write_or_remove(&self.out, &input.masks)?;
        write_or_remove(&self.out, &input.heads)?;
        write_or_remove(&self.out, &input.overlap)?;
        let curves = Curves::read(&file(AgreementRow::FILE))?;
        let figure = named(&curve_figure(&curves, None)?, &caption(&curves));
        files::write(&file("agreement.svg"), figure.as_bytes())?;
        provenance.write(&file("provenance.toml"))?;
        table(&result.summary);
        if self.options.resamples > 0 {
            trust.iter().for_each(|row| say!("{}", row.sentence(&result.summary)));
        }
        types::sentences(&result.types).iter().for_each(|text| say!("{text}"));
        heads::sentences(&input.heads).iter().for_each(|text| say!("{text}"));
        needed::sentences(&result.needed).iter().for_each(|text| say!("{text}"));
        components::sentences(&input.components, &input.masks).iter().for_each(|text| say!("{text}"));
        overlap::sentences(&input.overlap).iter().for_each(|text| say!("{text}"));
        let skipped = input.skipped.map_or(String::new(), |skipped| format!(" ({skipped} skipped)"));
        let draws = result.agreement.len() / Granularity::ALL.len();
        let examples = config.clusters.examples(input.sums.nrows());
        say!("{}: {examples} examples{skipped}, {draws} draws", self.out.display());
        progress::answer(|| {
            json!({
                "out": self.out, "examples": examples, "draws": draws, "summary": result.summary, "trust": trust,
                "types": result.types, "needed": result.needed, "tails": result.tails, "heads": input.heads,
                "components": input.components, "masks": input.masks, "overlap": input.overlap,
            })
        });
        Ok(())
    }

    fn config(&self) -> Config {
        Config {
            draws: self.options.draws.clone(),
            fractions: self.options.fractions.clone(),
            repeats: self.options.repeats,
            resamples: self.options.resamples,
            aggregate: self.aggregate,
            include_intermediate: self.include_intermediate,
            threshold: self.options.threshold,
            clusters: Clusters::default(),
            seed: self.seed,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    fn estimate(&self) -> Estimate {
        Estimate { estimator: self.estimator, reduction: self.reduction, samples: 1, seed: self.seed }
    }

    /// One pass over the corpus, and the others that were asked for.
    fn passes(&self, config: &mut Config, provenance: &mut Provenance) -> Result<Sums> {
        // Not reached: the command line asks for one where there is no Fisher file.
        let folder = self.checkpoint.as_deref().unwrap_or(Path::new(""));
        let checkpoint = self.compute.open(folder)?;
        checkpoint.check_gradients()?;
        let set = self.set(&checkpoint, provenance)?;
        let masks = self.options.masks;
        if masks > 1 && !set.kind.spec().masked {
            let fix = "leave out --masks: a task's examples have no masks";
            return Err(Error::said("--masks", "the set is not one of masked language modelling", fix));
        }
        fisher::check(set.kind, &[self.estimate()])?;
        let special = (masks > 1).then(|| checkpoint.tokenizer()).transpose()?.map(|t| t.special);
        let model = checkpoint.model_for(&set, self.head.missing(self.seed))?;
        if self.options.heads > 1 && model.stored_head {
            let fix = "leave out --heads, or draw heads in its place with --fresh-head";
            return Err(Error::said("--heads", "the checkpoint already has the head of this set", fix));
        }
        provenance.checkpoint("checkpoint", folder, &model.hash)?;
        let pass = Pass { stage: self, model: &model, examples: &set.examples };
        pass.tell(&set.by_length())?;
        let all: Vec<usize> = (0..set.examples.len()).collect();
        let full = pass.fisher(&set.examples, &all)?;
        config.clusters = full.clusters.clone();
        let mut result = Sums {
            layout: model.layout().clone(),
            skipped: Some(full.skipped),
            sums: Array2::zeros((0, 0)),
            components: Vec::new(),
            masks: Vec::new(),
            heads: Vec::new(),
            overlap: pass.overlap(&full, config)?,
        };
        if let Some(special) = special {
            let (common, maskings) = pass.maskings(&full, &special)?;
            let clusters = data::clusters(common.iter().map(|&n| &set.examples[n]));
            let config = Config { clusters, ..config.clone() };
            result.components = components::components(&result.layout, &maskings, &config);
            result.masks = components::masks(&result.layout, &maskings, &config);
        }
        if !model.stored_head {
            let sums = self.under_heads(folder, &set, &full)?;
            result.heads = heads::rows(&result.layout, &sums, config);
        }
        result.sums = full.sums;
        Ok(result)
    }

    /// `s[n,t]` of the same examples under each random head, the first one's in hand.
    fn under_heads(&self, folder: &Path, set: &FrozenSet, first: &Fisher) -> Result<Vec<Array2<f64>>> {
        let mut sums = vec![first.sums.clone()];
        for k in 1..self.options.heads as u64 {
            let missing = self.head.missing(self.seed.wrapping_add(k));
            let model = self.compute.open(folder)?.model_for(set, missing)?;
            let pass = Pass { stage: self, model: &model, examples: &set.examples };
            sums.push(pass.fisher(&set.examples, &first.used)?.sums);
        }
        Ok(sums)
    }

    fn set(&self, checkpoint: &Checkpoint, provenance: &mut Provenance) -> Result<FrozenSet> {
        if let Some(path) = &self.set {
            let set = FrozenSet::read(path)?;
            provenance.input("set", &set.hash);
            return Ok(set);
        }
        let rows = text::read(&self.text, self.columns.as_ref(), self.min_words)?;
        tell(&rows);
        for path in &self.text {
            provenance.input_file("text", path)?;
        }
        let max_len = longest(self.max_len, &checkpoint.config)?;
        let place = self.text.first().map_or(Path::new("text"), PathBuf::as_path);
        Ok(frozen(place, &rows, checkpoint, max_len, self.seed, BTreeMap::new())?.0)
    }
}

/// What passes over the corpus need.
struct Pass<'a> {
    stage: &'a Stability,
    model: &'a Model,
    examples: &'a [Example],
}

impl Pass<'_> {
    fn fisher(&self, examples: &[Example], numbers: &[usize]) -> Result<Fisher> {
        let (model, estimate) = (self.model, self.stage.estimate());
        let mut one = fisher::estimates(model.network()?, &model.theta, examples, numbers, &[estimate])?;
        Ok(one.remove(0)) // one for each estimate
    }

    /// Says what the passes will take.
    fn tell(&self, by_length: &[usize]) -> Result<()> {
        let (model, stage) = (self.model, self.stage);
        let seconds = estimate::seconds_each(model.objective(), &model.theta, self.examples, by_length)?;
        let share = |kind: &Draws, fraction: f64| {
            fraction * kind.repeats(by_length.len(), fraction, stage.options.repeats) as f64
        };
        let options = &stage.options;
        let draws: f64 = options
            .draws
            .iter()
            .flat_map(|kind| options.fractions.iter().map(move |f| share(kind, *f)))
            .sum();
        let drawn = if options.overlap.is_empty() { 0.0 } else { draws };
        let passes = (options.masks + options.heads - 1) as f64 + drawn;
        let batch = model.activations(self.examples, fisher::BATCH.1, Wanted::Squares);
        // The full diagonal, the draw's, that of the rest, and copies to sort.
        let held = if stage.options.overlap.is_empty() { 2 } else { 6 };
        let bytes = held * params::bytes(&model.theta) + batch;
        let time = seconds * estimate::tokens(self.examples) as f64 * estimate::BACKWARD * passes;
        if passes > 1.0 {
            progress::note(format!(
                "{passes:.2} passes over the corpus: one, {} for masks, {} for heads, {drawn:.2} for the overlap of parameters",
                options.masks - 1,
                options.heads - 1
            ));
        }
        estimate::tell("stability", time, bytes);
        Ok(())
    }

    /// The draws' top parameters.
    fn overlap(&self, full: &Fisher, config: &Config) -> Result<Vec<OverlapRow>> {
        let mut found = Vec::new();
        if self.stage.options.overlap.is_empty() {
            return Ok(found);
        }
        let (all, of) = (overlap::flat(&full.diagonal)?, full.used.len());
        let n = full.clusters.examples(of);
        for &kind in &config.draws {
            for &fraction in &config.fractions {
                for repeat in 0..kind.repeats(n, fraction, config.repeats) {
                    let members = kind.members(n, fraction, repeat, config.seed);
                    let numbers: Vec<usize> =
                        full.clusters.rows(&members).into_iter().map(|row| full.used[row]).collect();
                    let own = overlap::flat(&self.fisher(self.examples, &numbers)?.diagonal)?;
                    let rows = (numbers.len(), of);
                    let draw = Draw { kind, fraction, repeat, examples: members.len(), rows };
                    found.extend(overlap::rows(draw, &own, &all, &self.stage.options.overlap));
                }
            }
        }
        Ok(found)
    }

    /// The examples that have a target under every masking, and `s[n,t]` of these under each.
    fn maskings(&self, full: &Fisher, special: &Special) -> Result<(Vec<usize>, Vec<Array2<f64>>)> {
        let vocabulary = self.model.config().vocab_size;
        let mut passes = vec![(full.used.clone(), full.sums.clone())];
        for masking in 1..self.stage.options.masks {
            let mut examples = self.examples.to_vec();
            let seed = Stream::new(self.stage.seed, "stability/maskings").bits(masking as u64);
            masking::mask_again(&mut examples, special, vocabulary, seed);
            let numbers: Vec<usize> = (0..examples.len()).collect();
            let fisher = self.fisher(&examples, &numbers)?;
            passes.push((fisher.used, fisher.sums));
        }
        let everywhere = |n: &usize| passes.iter().all(|(used, _)| used.binary_search(n).is_ok());
        let common: Vec<usize> = full.used.iter().copied().filter(everywhere).collect();
        let left = full.used.len() - common.len();
        if left > 0 {
            progress::excluded(format!(
                "masks: skipped {left} examples that have no target under some masking"
            ));
        }
        if common.len() < 2 {
            let fix = "use a larger set or longer examples";
            let found = common.len();
            return Err(Error::field(
                "--masks",
                "examples with a target under each",
                "at least 2",
                found,
                fix,
            ));
        }
        let rows = |(used, sums): &(Vec<usize>, Array2<f64>)| {
            let places: Vec<usize> = common.iter().map(|n| used.partition_point(|used| used < n)).collect();
            sums.select(Axis(0), &places)
        };
        let sums = passes.iter().map(rows).collect();
        Ok((common, sums))
    }
}

/// Rows, or no file: an earlier run's would be taken for this one's.
fn write_or_remove<T: Table>(folder: &Path, rows: &[T]) -> Result<()> {
    if rows.is_empty() { files::remove(&folder.join(T::FILE)) } else { tables::write(folder, rows) }
}

/// `s[n,t]` of an earlier pass.
fn read(path: &Path, config: &mut Config, provenance: &mut Provenance) -> Result<Sums> {
    let examples = fisher::files::examples_path(path);
    let fisher::files::Stored { diagonal, layout, metadata } = fisher::files::read(path)?;
    let Some(PerExample { sums, clusters }) = fisher::files::read_sums(path, &diagonal)? else {
        let fix = "make both again with `fisherscape fisher --per-example`";
        return Err(Error::said(
            examples.display(),
            "no such file: the Fisher file needs its sums by example",
            fix,
        ));
    };
    config.clusters = clusters;
    provenance.input_file("fisher", path)?;
    provenance.input_file("examples", &examples)?;
    let heads = match metadata.contains_key(fisher::files::HEAD_SEED) {
        true => heads::rows(&layout, std::slice::from_ref(&sums), config),
        false => Vec::new(),
    };
    let (components, masks, overlap) = Default::default();
    Ok(Sums { layout, sums, skipped: None, components, masks, heads, overlap })
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
