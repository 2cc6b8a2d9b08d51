//! `agreement.csv`, with `summary.csv` and `trust.csv` beside it, read back for figures.
//!
//! Means are those of the rows of `agreement.csv`; the files beside it add intervals and the smallest fraction to
//! trust, and may be missing.

use std::path::Path;

use crate::error::{Error, Result};
use crate::fisher::layers::Granularity;
use crate::stability::AgreementRow;
use crate::stability::agreement::{Agreement, Measure};
use crate::stability::draw::Draws;
use crate::stability::summary::{Reference, SummaryRow, Trust};
use crate::stats;
use crate::tables::{self, Table};

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

impl Curves {
    /// Reads `agreement.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for missing columns, values that are no agreements, or files of different runs.
    pub fn read(path: &Path) -> Result<Curves> {
        let rows: Vec<AgreementRow> = tables::read_some(path)?;
        let draw = |row: AgreementRow| Draw {
            draw: row.draw,
            fraction: row.fraction,
            granularity: row.granularity,
            full: row.full.values,
            complement: row.complement.values,
        };
        let draws: Vec<Draw> = rows.into_iter().map(draw).collect();
        let summary: Vec<SummaryRow> = tables::read_beside(path)?;
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
                    let file = path.with_file_name(SummaryRow::FILE);
                    return Err(Error::field(file.display(), "mean", expected, row.mean, SummaryRow::FIX));
                }
            }
        }
        Ok(Curves { draws, means, trust: tables::read_beside(path)?, summary })
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
