//! `agree`: how alike several Fisher estimates rank the layers.

use std::path::PathBuf;

use ndarray::Array2;
use serde_json::json;

use super::{bounded, check_resamples, word};
use crate::dropout::Place;
use crate::error::{Error, Result};
use crate::fisher::files::{self as fisher_files, PerExample};
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::model::Layout;
use crate::model::layout::Parameter;
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::ranking::ascending_ranks;
use crate::rng::Stream;
use crate::stability::Compared;
use crate::stability::between::{Scored, between};
use crate::stats::clusters::Clusters;
use crate::tables::agree::{PairRow, ScoreRow};
use crate::{stats, tables};

/// How alike several Fisher estimates rank the layers: estimators, a model before and after fine-tuning, tasks, arms.
#[derive(clap::Args, Clone, Debug)]
pub struct Agree {
    /// Fisher files, at least two; intervals need F.examples.safetensors next to each, or to one of a pair (`fisher --per-example`)
    #[arg(required = true, num_args = 2.., value_name = "F.safetensors")]
    pub fisher: Vec<PathBuf>,
    /// What they are called [default: by their file names]
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub titles: Vec<String>,
    /// How a site's tensors become one score
    #[arg(long, value_enum, default_value_t)]
    pub aggregate: Aggregate,
    /// Count intermediate.dense into ffn_output
    #[arg(long)]
    pub include_intermediate: bool,
    /// Resampled corpora behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "B")]
    pub resamples: usize,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for pairs.csv and scores.csv
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// One file's parameters that all files have.
struct File {
    title: String,
    layout: Layout,
    totals: Vec<f64>,
    by_example: Option<PerExample>,
    estimator: String,
    /// What the examples are: the set, and which of it.
    set: Option<String>,
}

impl Agree {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let mut inputs = Vec::new();
        for (i, path) in self.fisher.iter().enumerate() {
            provenance.input_file(&format!("fisher {}", i + 1), path)?;
            inputs.push(self.read(i)?);
        }
        check_distinct(&inputs.iter().map(|file| file.title.clone()).collect::<Vec<_>>())?;
        self.intersect(&mut inputs)?;
        let (mut pairs, mut layers) = (Vec::new(), Vec::new());
        for granularity in Granularity::ALL {
            let scored: Vec<(Scores, Scored)> =
                inputs.iter().map(|file| self.scored(file, granularity)).collect();
            for (i, file) in inputs.iter().enumerate() {
                layers.extend(self.layers(file, granularity, &scored[i], (&inputs[0], &scored[0].1)));
                for (other, own) in inputs.iter().zip(&scored).skip(i + 1) {
                    let paired = same_examples(file, other);
                    let compared = between(&scored[i].1, &own.1, paired, self.resamples, self.seed);
                    pairs.push(pair((file, other), granularity, paired, &compared));
                }
            }
        }
        tables::write(&self.out, &pairs)?;
        tables::write(&self.out, &layers)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        for pair in &pairs {
            say!(
                "{:6} {} and {}: rho {}, dropout rates off by {}",
                word(pair.granularity),
                pair.a,
                pair.b,
                bounded(pair.spearman, pair.spearman_low, pair.spearman_high),
                bounded(pair.rate_difference, pair.rate_difference_low, pair.rate_difference_high),
            );
        }
        say!("{}: {} files", self.out.display(), inputs.len());
        progress::answer(|| json!({"out": self.out, "pairs": pairs, "scores": layers}));
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        check_resamples(self.resamples)?;
        let (titles, files) = (self.titles.len(), self.fisher.len());
        if titles > 0 && titles != files {
            let expected = format!("one for each of {files} files");
            return Err(Error::field(
                "--titles",
                "number",
                expected,
                titles,
                "give one for each file, or none",
            ));
        }
        check_distinct(&self.titles)
    }

    /// As it is called; else AdamW's moment by its estimator, for its file has the same name in every run's folder; else by the file.
    fn title(&self, i: usize, adam: bool) -> String {
        let stem = || match adam {
            true => fisher_files::ADAM.to_string(),
            false => self.fisher[i].file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        self.titles.get(i).cloned().unwrap_or_else(stem)
    }

    fn read(&self, i: usize) -> Result<File> {
        let path = &self.fisher[i];
        let fisher_files::Stored { diagonal, layout, metadata } = fisher_files::read(path)?;
        let by_example = fisher_files::read_sums(path, &diagonal)?;
        let adam = metadata.get("estimator").is_some_and(|estimator| estimator == fisher_files::ADAM);
        if by_example.is_none() {
            let text = match adam {
                true => {
                    "AdamW's mean of squared gradients of batches along a training, not of examples at its end: intervals take it as it is"
                }
                false => "no per-example sums for it, so no intervals: make it with --per-example",
            };
            progress::note(format!("{}: {text}", path.display()));
        }
        let set = metadata.get("set").cloned();
        let totals = fisher_files::tensor_sums(&diagonal)?;
        let estimator = metadata.get("estimator").cloned().unwrap_or_default();
        Ok(File { title: self.title(i, adam), layout, totals, by_example, estimator, set })
    }

    /// Leaves the tensors that all files have. Heads may differ: another task has another.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a file of another model than the first.
    fn intersect(&self, inputs: &mut [File]) -> Result<()> {
        let all: Vec<Layout> = inputs.iter().map(|file| file.layout.clone()).collect();
        let common = |tensor: &Parameter| {
            let same =
                |layout: &Layout| layout.get(&tensor.name).is_some_and(|t| t.numel() == tensor.numel());
            all.iter().all(same)
        };
        for (file, path) in inputs.iter_mut().zip(&self.fisher) {
            let columns = file.layout.columns();
            if let Some(other) = columns.iter().find(|t| t.place != Place::HEAD && !common(t)) {
                let fix = "compare estimates of one model, or of models trained from it";
                let found = format!("{}, which not all files have in this size", other.name);
                return Err(Error::field(path.display(), "tensors", "those of one model", found, fix));
            }
            let keep: Vec<usize> = (0..columns.len()).filter(|&t| common(columns[t])).collect();
            let left = columns.len() - keep.len();
            if left > 0 {
                progress::excluded(format!("{}: ignored {left} tensors of its own head", file.title));
            }
            file.layout = file.layout.clone().only(common);
            file.totals = keep.iter().map(|&t| file.totals[t]).collect();
            if let Some(own) = &mut file.by_example {
                own.sums = own.sums.select(ndarray::Axis(1), &keep);
            }
        }
        Ok(())
    }

    fn scored(&self, file: &File, granularity: Granularity) -> (Scores, Scored) {
        let scores = Scores::new(&file.layout, granularity, self.aggregate, self.include_intermediate);
        let scored = Scored::new(&scores, &file.totals, file.by_example.as_ref());
        (scores, scored)
    }

    fn layers(
        &self,
        file: &File,
        granularity: Granularity,
        (scores, own): &(Scores, Scored),
        (first_file, first): (&File, &Scored),
    ) -> Vec<ScoreRow> {
        let ranks = ascending_ranks(&own.scores);
        let ratios = relative(&own.scores, &first.scores);
        let resampled = self.ratios((file, own), (first_file, first));
        let row = |i: usize| {
            let mut ends: Vec<f64> = resampled.iter().map(|r| r[i]).filter(|r| r.is_finite()).collect();
            ends.sort_unstable_by(f64::total_cmp);
            let finite = |value: f64| Some(value).filter(|v| v.is_finite());
            ScoreRow {
                file: file.title.clone(),
                granularity,
                name: scores.names()[i].clone(),
                estimator: file.estimator.clone(),
                score: own.scores[i],
                score_se: own.standard_error(i),
                rank: ranks[i],
                ratio: finite(ratios[i]),
                ratio_low: finite(stats::quantile(&ends, 0.025)),
                ratio_high: finite(stats::quantile(&ends, 0.975)),
            }
        };
        (0..ranks.len()).map(row).collect()
    }

    /// Ratios of resampled scores, each with its own examples, or with the same where both have them.
    fn ratios(&self, (file, own): (&File, &Scored), (first_file, first): (&File, &Scored)) -> Vec<Vec<f64>> {
        let (Some(x), Some(y)) = (&own.by_example, &first.by_example) else { return Vec::new() };
        let paired = same_examples(file, first_file);
        let mean = |scores: &Array2<f64>, clusters: &Clusters, stream: Stream| {
            let rows = clusters.resampled(scores.nrows(), &stream);
            let mut sum = vec![0f64; scores.ncols()];
            for &row in &rows {
                sum.iter_mut().zip(scores.row(row)).for_each(|(sum, s)| *sum += s / rows.len() as f64);
            }
            sum
        };
        let streams = ["agree/first", if paired { "agree/first" } else { "agree/other" }];
        let [one, other] = streams.map(|name| Stream::new(self.seed, name));
        let ratio =
            |b: u64| relative(&mean(x, &own.clusters, other.at(b)), &mean(y, &first.clusters, one.at(b)));
        (0..self.resamples as u64).map(ratio).collect()
    }
}

/// Whether names tell files apart.
fn check_distinct(titles: &[String]) -> Result<()> {
    match titles.iter().enumerate().find(|(i, title)| titles[..*i].contains(title)) {
        Some((_, twice)) => {
            let fix = "name the files with --titles";
            Err(Error::field("--titles", "names", "distinct", twice, fix))
        }
        None => Ok(()),
    }
}

/// Ratios over their median.
fn relative(own: &[f64], first: &[f64]) -> Vec<f64> {
    let ratios: Vec<f64> = own.iter().zip(first).map(|(own, first)| own / first).collect();
    let median = stats::median(&ratios.iter().copied().filter(|r| r.is_finite()).collect::<Vec<_>>());
    ratios.into_iter().map(|ratio| ratio / median).collect()
}

/// Whether two files are of the same examples, in the same order.
fn same_examples(a: &File, b: &File) -> bool {
    let rows = |file: &File| file.by_example.as_ref().map(|own| own.sums.nrows());
    a.set.is_some() && a.set == b.set && rows(a) == rows(b)
}

fn pair((a, b): (&File, &File), granularity: Granularity, paired: bool, compared: &Compared) -> PairRow {
    let [spearman, kendall, top_k_overlap, rbo, rate_difference] = compared.values;
    PairRow {
        a: a.title.clone(),
        b: b.title.clone(),
        granularity,
        estimator_a: a.estimator.clone(),
        estimator_b: b.estimator.clone(),
        paired,
        spearman,
        spearman_low: compared.low(0),
        spearman_high: compared.high(0),
        kendall,
        kendall_low: compared.low(1),
        kendall_high: compared.high(1),
        top_k_overlap,
        top_k_overlap_low: compared.low(2),
        top_k_overlap_high: compared.high(2),
        rbo,
        rbo_low: compared.low(3),
        rbo_high: compared.high(3),
        rate_difference,
        rate_difference_low: compared.low(4),
        rate_difference_high: compared.high(4),
    }
}
