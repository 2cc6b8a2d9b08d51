//! `agreement.csv`, with `summary.csv` and `trust.csv` beside it, read back for figures.
//!
//! Means are those of the rows of `agreement.csv`; the files beside it add intervals and the smallest fraction to
//! trust, and may be missing.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::fisher::layers::Granularity;
use crate::stability::agreement::{Agreement, Measure};
use crate::stability::draw::Draws;
use crate::stability::summary::{Reference, SummaryRow, Trust};
use crate::{files, stats};

const FIX: &str = "make the files again with `fisherscape stability`";

/// One draw.
#[derive(Clone, Debug)]
pub struct Draw {
    pub draw: Draws,
    pub fraction: f64,
    pub granularity: Granularity,
    pub full: Agreement,
    pub complement: Agreement,
}

/// The repeats of one fraction together.
#[derive(Clone, Debug)]
pub struct Mean {
    pub draw: Draws,
    pub fraction: f64,
    pub granularity: Granularity,
    pub reference: Reference,
    pub measure: Measure,
    pub mean: f64,
    /// 95 % interval of the expected agreement, where known.
    pub band: Option<(f64, f64)>,
}

/// Agreement over fractions, as a figure needs it.
#[derive(Clone, Debug)]
pub struct Curves {
    pub draws: Vec<Draw>,
    /// Ascending by fraction within each curve.
    pub means: Vec<Mean>,
    pub trust: Vec<Trust>,
    pub summary: Vec<SummaryRow>,
}

#[derive(Deserialize)]
struct Row {
    draw: Draws,
    fraction: f64,
    granularity: Granularity,
    spearman: Option<f64>,
    kendall: Option<f64>,
    top_k_overlap: Option<f64>,
    rbo: Option<f64>,
    spearman_complement: Option<f64>,
    kendall_complement: Option<f64>,
    top_k_overlap_complement: Option<f64>,
    rbo_complement: Option<f64>,
    /// Not in files of earlier versions.
    #[serde(default)]
    rate_difference: Option<f64>,
    #[serde(default)]
    rate_difference_complement: Option<f64>,
}

impl Curves {
    /// Whether a file's first line is that of `agreement.csv`.
    pub fn is_agreement(text: &str) -> bool {
        text.starts_with("draw,fraction,repeat,granularity,")
            && text.lines().next().unwrap_or("").contains(",spearman")
    }

    /// The files that [`Curves::read`] reads for `path`.
    pub fn files(path: &Path) -> Vec<PathBuf> {
        let beside = ["summary.csv", "trust.csv"].map(|name| path.with_file_name(name));
        [path.to_path_buf()].into_iter().chain(beside.into_iter().filter(|file| file.exists())).collect()
    }

    /// Reads `agreement.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for missing columns, values that are no agreements, or files of different runs.
    pub fn read(path: &Path) -> Result<Curves> {
        let rows: Vec<Row> = files::read_csv(path, FIX)?;
        let draws = rows.into_iter().map(|row| checked(path, row)).collect::<Result<Vec<Draw>>>()?;
        if draws.is_empty() {
            return Err(Error::field(path.display(), "rows", "at least one", "none", FIX));
        }
        let summary_path = path.with_file_name("summary.csv");
        let summary: Vec<SummaryRow> = beside(&summary_path)?;
        let mut means = means(&draws);
        for row in &summary {
            let own = |m: &&mut Mean| {
                (m.draw, m.fraction, m.granularity, m.reference, m.measure)
                    == (row.draw, row.fraction, row.granularity, row.reference, row.measure)
            };
            // 1e-9: both are means of the same numbers, one of them after a trip through decimals.
            match means.iter_mut().find(own) {
                Some(mean) if (mean.mean - row.mean).abs() < 1e-9 => mean.band = row.low.zip(row.high),
                _ => {
                    let expected = format!("the mean over the draws of {}", path.display());
                    return Err(Error::field(summary_path.display(), "mean", expected, row.mean, FIX));
                }
            }
        }
        Ok(Curves { draws, means, trust: beside(&path.with_file_name("trust.csv"))?, summary })
    }
}

fn beside<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if path.exists() { files::read_csv(path, FIX) } else { Ok(Vec::new()) }
}

fn checked(path: &Path, row: Row) -> Result<Draw> {
    let draw = Draw {
        draw: row.draw,
        fraction: row.fraction,
        granularity: row.granularity,
        full: [row.spearman, row.kendall, row.top_k_overlap, row.rbo, row.rate_difference],
        complement: [
            row.spearman_complement,
            row.kendall_complement,
            row.top_k_overlap_complement,
            row.rbo_complement,
            row.rate_difference_complement,
        ],
    };
    if !(draw.fraction > 0.0 && draw.fraction <= 1.0) {
        return Err(Error::field(path.display(), "fraction", "in (0, 1]", draw.fraction, FIX));
    }
    let values = draw.full.iter().chain(&draw.complement).flatten();
    match values.copied().find(|v| !(-1.0..=1.0).contains(v)) {
        Some(value) => Err(Error::field(path.display(), "agreement", "from -1 to 1", value, FIX)),
        None => Ok(draw),
    }
}

/// Means over the repeats, curve by curve.
fn means(draws: &[Draw]) -> Vec<Mean> {
    let mut keys: Vec<(Draws, Granularity, f64)> = Vec::new();
    for d in draws {
        let key = (d.draw, d.granularity, d.fraction);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut means = Vec::new();
    for (draw, granularity, fraction) in keys {
        let own = |d: &&Draw| (d.draw, d.granularity, d.fraction) == (draw, granularity, fraction);
        for reference in Reference::ALL {
            for (m, measure) in Measure::ALL.into_iter().enumerate() {
                let value = |d: &Draw| match reference {
                    Reference::Full => d.full[m],
                    Reference::Complement => d.complement[m],
                };
                let values: Vec<f64> = draws.iter().filter(own).filter_map(value).collect();
                if !values.is_empty() {
                    let mean = stats::mean(&values);
                    means.push(Mean { draw, fraction, granularity, reference, measure, mean, band: None });
                }
            }
        }
    }
    means
}
