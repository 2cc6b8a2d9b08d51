//! `schedule`: drop probabilities by site, from Fisher information or as published.

use std::path::PathBuf;

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::check_extension;
use super::options::{Parsed, defaults};
use crate::dropout::rates::{self, Preset, Row, Shape};
use crate::dropout::{Place, rates::guided};
use crate::error::{Error, Problem, Result};
use crate::fisher::files::{self as fisher_files, PerExample};
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::{files, stats};

/// Guided dropout: a drop probability for each site, least for the most important.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["fisher", "preset"])))]
pub struct Schedule {
    /// Fisher information to rank the sites by
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: Option<PathBuf>,
    #[command(flatten)]
    pub options: ScheduleOptions,
    /// The table to write (.csv)
    #[arg(long, value_name = "RATES.csv")]
    pub out: PathBuf,
}

/// Drop probabilities by site.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct ScheduleOptions {
    /// A published schedule
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// How a site's tensors become one score
    #[arg(long, value_enum, default_value_t, conflicts_with = "preset")]
    pub aggregate: Aggregate,
    /// Count intermediate.dense into ffn_output
    #[arg(long, conflicts_with = "preset")]
    pub include_intermediate: bool,
    /// How p falls from the least important site (x = 0) to the most important (x = 1): linear, with 1 - x; cosine, with
    /// (1 + cos(pi x)) / 2; power:K, with (1 - x)^K, K above 0, which at 1 is linear
    #[arg(long, default_value = "linear", value_name = "SHAPE", conflicts_with = "preset")]
    pub shape: Parsed<Shape>,
    /// Drop probability of the most important site
    #[arg(long, default_value_t = 0.0, value_name = "P", conflicts_with = "preset")]
    pub p_lower: f64,
    /// Drop probability of the least important site
    #[arg(long, default_value_t = 0.1, value_name = "P", conflicts_with = "preset")]
    pub p_upper: f64,
}

impl ScheduleOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        for (option, p) in [("p_lower", self.p_lower), ("p_upper", self.p_upper)] {
            if !(0.0..1.0).contains(&p) {
                let fix = "at 1 nothing is left to rescale; the paper uses 0 and 0.1";
                return Err(Problem::new(option, "probability", "in [0, 1)", p, fix));
            }
        }
        if self.p_lower > self.p_upper {
            let fix = "the least important site drops most: exchange the two";
            let expected = format!("at most p_upper, {}", self.p_upper);
            return Err(Problem::new("p_lower", "probability", expected, self.p_lower, fix));
        }
        Ok(())
    }
}

impl Schedule {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "csv")?;
        self.check()?;
        let mut provenance = Provenance::start(command, None);
        let rows = match &self.fisher {
            None => rates::paper_bert_base(),
            Some(path) => {
                provenance.input_file("fisher", path)?;
                self.guided(path)?
            }
        };
        files::write_csv(&self.out, &rows)?;
        provenance.write(&provenance::beside(&self.out))?;
        let mean = stats::mean(&rows.iter().map(|row| row.p).collect::<Vec<_>>());
        say!("{:28} {:>12} {:>10} {:>5} {:>9}", "site", "score", "se", "rank", "p");
        let text =
            |value: Option<f64>, digits: usize| value.map_or(String::new(), |v| format!("{v:.digits$e}"));
        for row in &rows {
            let (score, se) = (text(row.score, 4), text(row.score_se, 1));
            let rank = row.rank.map_or(String::new(), |rank| rank.to_string());
            say!("{:28} {score:>12} {se:>10} {rank:>5} {:9.6}", row.site, row.p);
        }
        say!("{}: {} sites, mean p {mean:.6}", self.out.display(), rows.len());
        progress::answer(|| json!({"out": self.out, "rows": rows, "mean_p": mean}));
        Ok(())
    }

    /// What is wrong with the options themselves.
    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    fn guided(&self, path: &std::path::Path) -> Result<Vec<Row>> {
        let fisher_files::Stored { diagonal, layout, .. } = fisher_files::read(path)?;
        let sums = fisher_files::tensor_sums(&diagonal)?;
        let (aggregate, intermediate) = (self.options.aggregate, self.options.include_intermediate);
        let scores = Scores::new(&layout, Granularity::Site, aggregate, intermediate);
        let sites: Vec<String> = layout.sites().iter().map(Place::to_string).collect();
        if sites.is_empty() || scores.names() != sites {
            let fix = "give the Fisher information of a whole model, as `fisherscape fisher` writes it";
            let found = format!("{} sites: {}", scores.names().len(), scores.names().join(", "));
            let expected = format!("all of the model, {}", sites.len());
            return Err(Error::field(path.display(), "sites", expected, found, fix));
        }
        let by_example = fisher_files::read_sums(path, &diagonal)?;
        Ok(guided_rows(&scores, &sums, by_example.as_ref(), &self.options))
    }
}

fn guided_rows(
    scores: &Scores,
    sums: &[f64],
    by_example: Option<&PerExample>,
    options: &ScheduleOptions,
) -> Vec<Row> {
    let se = match by_example {
        Some(by_example) => {
            let scores = scores.of_examples(&by_example.sums);
            let se = |own: ArrayView1<f64>| Some(by_example.clusters.standard_error(&own.to_vec()));
            scores.columns().into_iter().map(se).collect()
        }
        None => {
            progress::note(
                "no per-example sums for the Fisher information, so no score_se: use `fisher --per-example`",
            );
            vec![None; scores.names().len()]
        }
    };
    guided(&scores.ranking(sums), &se, options.shape.0, options.p_lower, options.p_upper)
}
