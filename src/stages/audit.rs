//! `audit`: what a ranking of layers rests on, and how concentrated Fisher information is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::options::defaults;
use super::{bounded, check_resamples, word};
use crate::error::{Problem, Result};
use crate::fisher::concentration::{ConcentrationRow, concentration};
use crate::fisher::files as fisher_files;
use crate::fisher::layers::Aggregate;
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::stability::audit::{self, DriverRow, VariantRow};
use crate::tables;

/// What a ranking of dropout sites rests on: every way to make tensors one score, the tensors that decide, and how
/// concentrated Fisher information is.
#[derive(clap::Args, Clone, Debug)]
pub struct Audit {
    /// Fisher information; intervals need F.examples.safetensors next to it (`fisher --per-example`)
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: PathBuf,
    #[command(flatten)]
    pub options: AuditOptions,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for audit, variants and drivers (rankings), concentration, lorenz, histogram and sorted (.csv)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What rankings by the Fisher information rest on.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct AuditOptions {
    /// Resampled corpora behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "B")]
    pub resamples: usize,
}

impl AuditOptions {
    /// What is out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        check_resamples(self.resamples)
    }
}

impl Audit {
    /// What is wrong with the options themselves.
    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let fisher_files::Stored { diagonal, layout, .. } = fisher_files::read(&self.fisher)?;
        provenance.input_file("fisher", &self.fisher)?;
        let by_example = fisher_files::read_sums(&self.fisher, &diagonal)?;
        match &by_example {
            Some(_) => provenance.input_file("examples", &fisher_files::examples_path(&self.fisher))?,
            None => progress::note(
                "no per-example sums for the Fisher file, so no intervals: make it with --per-example",
            ),
        }
        let totals = fisher_files::tensor_sums(&diagonal)?;
        let resamples = self.options.resamples;
        let (rows, variants) = audit::audit(&layout, &totals, by_example.as_ref(), resamples, self.seed);
        let drivers = audit::drivers(&layout, &totals);
        let found = concentration(&diagonal, &layout)?;
        tables::write(&self.out, &rows)?;
        tables::write(&self.out, &variants)?;
        tables::write(&self.out, &drivers)?;
        tables::write(&self.out, &found.summary)?;
        tables::write(&self.out, &found.lorenz)?;
        tables::write(&self.out, &found.histogram)?;
        tables::write(&self.out, &found.sorted)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        variants.iter().for_each(tell);
        tell_drivers(&drivers);
        found.summary.iter().for_each(tell_group);
        say!("{}: {} tensors", self.out.display(), totals.len());
        progress::answer(
            || json!({"out": self.out, "variants": variants, "drivers": drivers, "concentration": found.summary}),
        );
        Ok(())
    }
}

fn tell(row: &VariantRow) {
    let points = |v: Option<f64>| v.map(|v| 100.0 * v);
    say!(
        "{:14} {:18} rho with the paper's {:22} rates off by {}",
        word(row.aggregate),
        word(row.variant),
        bounded(row.spearman, row.spearman_low, row.spearman_high),
        bounded(
            points(row.rate_difference),
            points(row.rate_difference_low),
            points(row.rate_difference_high)
        ) + " points"
    );
}

/// Sites whose score is mostly that of one tensor, under the paper's aggregate.
fn tell_drivers(rows: &[DriverRow]) {
    let paper = || rows.iter().filter(|row| row.aggregate == Aggregate::MeanOfMeans);
    let mut sites: Vec<&str> = paper().map(|row| row.site.as_str()).collect();
    sites.dedup();
    let led = paper().filter(|row| row.share.is_some_and(|share| share > 0.5)).count();
    say!("{led} of {} sites have more than half of the paper's score from a single tensor", sites.len());
    let most = paper().filter(|row| row.rank_without.is_some());
    let shift = |row: &&DriverRow| row.rank.abs_diff(row.rank_without.unwrap_or(row.rank));
    if let Some(row) = most.max_by_key(shift) {
        let without = row.rank_without.unwrap_or(row.rank);
        say!("{} has rank {} and, without {}, {without}", row.site, row.rank, row.tensor);
    }
}

fn tell_group(row: &ConcentrationRow) {
    let share = |value: Option<f64>| value.map_or("none".into(), |v| format!("{:.1} %", 100.0 * v));
    say!(
        "{:12} Gini {}, top 0.1 / 1 / 10 % of the parameters hold {} / {} / {}, {} of {} are 0",
        row.group,
        row.gini.map_or("none".into(), |gini| format!("{gini:.4}")),
        share(row.top_01),
        share(row.top_1),
        share(row.top_10),
        row.zero,
        row.parameters
    );
}
