//! What the page says of the Fisher information itself: how stable, on what it rests, what it predicts, what it agrees with.

use std::path::PathBuf;

use csv::StringRecord;

use super::Story;
use super::words::{counted, upper};
use crate::error::{Error, Result};
use crate::figures::chart;
use crate::files;
use crate::fisher::concentration::ConcentrationRow;
use crate::fisher::layers::{Aggregate, Granularity};
use crate::page::{Page, Table};
use crate::run::plan::STABILITY;
use crate::run::plan::reliability::{AGREE, AUDIT, DAMAGE, figures_of, table_of};
use crate::stability::agreement::Measure;
use crate::stability::audit::{DriverRow, VariantRow};
use crate::stability::components::ComponentRow;
use crate::stability::needed::NeededRow;
use crate::stability::summary::{Reference, SummaryRow, Trust};
use crate::stability::tails::TailRow;
use crate::stability::{AgreementRow, heads, needed, types};
use crate::stages::bounded;
use crate::tables;
use crate::tables::agree::{PairRow, ScoreRow};
use crate::tables::agreement::Curves;
use crate::tables::damage::{CorrelationRow, LayerRow, PerturbedRow};

const FIX: &str = "run the analysis again with --force";
const NEEDED: &str = "stability_needed";

impl Story<'_> {
    pub(super) fn stability(&self, page: &mut Page) -> Result<()> {
        let Some(stability) = &self.analysis.stability else { return Ok(()) };
        let curves = Curves::read(&self.path::<AgreementRow>(STABILITY))?;
        page.details.extend(trusted(&curves));
        page.details.extend(sentences(types::sentences(&self.rows_if_any(STABILITY)?)));
        page.details.extend(sentences(heads::sentences(&self.rows_if_any(STABILITY)?)));
        page.details.extend(sentences(needed::sentences(&self.rows(STABILITY)?)));
        self.figures(page, STABILITY)?;
        let trusted = |row: &SummaryRow| matches!(row.measure, Measure::Spearman | Measure::RateDifference);
        let what = "Agreement of sub-samples with the examples left out and with all";
        self.table(page, STABILITY, what, trusted, &[])?;
        let what = "Examples needed for two samples to agree, predicted from a pilot and checked on fresh pairs: dropout sites";
        let sites = |row: &NeededRow| row.granularity == Granularity::Site;
        self.table(page, STABILITY, what, sites, &["granularity"])?;
        let what = "How few examples a site's score rests on";
        let sites = |row: &TailRow| row.granularity == Granularity::Site;
        self.table(page, STABILITY, what, sites, &["granularity"])?;
        if stability.masks > 1 {
            let what = "Variance of one example's score, between examples and between maskings of one: dropout sites";
            let sites = |row: &ComponentRow| row.granularity == Granularity::Site;
            self.table(page, STABILITY, what, sites, &["granularity"])?;
        }
        Ok(())
    }

    pub(super) fn audit(&self, page: &mut Page) -> Result<()> {
        if self.analysis.audit.is_none() {
            return Ok(());
        }
        self.figures(page, AUDIT)?;
        let what = "Rankings of the sites under every aggregate and choice of tensors, against the paper's (mean of means over all)";
        self.table(page, AUDIT, what, |_: &VariantRow| true, &[])?;
        let what = "The tensors of each site under the paper's aggregate: share of the score, rank of the site, and its rank without the tensor";
        let mean_of_means = |row: &DriverRow| row.aggregate == Aggregate::MeanOfMeans;
        self.table(page, AUDIT, what, mean_of_means, &["aggregate"])?;
        let what = "Concentration: Gini coefficient and share of the Fisher information in the top 0.1, 1 and 10 % of the parameters";
        self.table(page, AUDIT, what, |_: &ConcentrationRow| true, &[])
    }

    pub(super) fn damage(&self, page: &mut Page) -> Result<()> {
        if self.analysis.damage.is_none() {
            return Ok(());
        }
        let rows: Vec<CorrelationRow> = self.rows(DAMAGE)?;
        let rises: Vec<&CorrelationRow> = rows.iter().filter(|row| row.outcome == "rise").collect();
        for own in rises.chunk_by(|a, b| a.granularity == b.granularity) {
            let each = own.iter().map(|row| {
                let rho = bounded(row.spearman, row.spearman_low, row.spearman_high);
                format!("{} {rho}", predictor(&row.predictor))
            });
            page.details.push(format!(
                "Rise of the loss when one {} is perturbed, rank correlation over {} of them: {}.",
                own[0].granularity.name(),
                own[0].layers,
                each.collect::<Vec<_>>().join("; ")
            ));
        }
        self.figures(page, DAMAGE)?;
        let what = "Rank correlation of what might predict damage with the measured rise, and with the Hessian's diagonal";
        self.table(page, DAMAGE, what, |_: &CorrelationRow| true, &[])?;
        let what = "Rise of the loss when the top, a random or the bottom part of the parameters is perturbed, at matched norm";
        self.table(page, DAMAGE, what, |_: &PerturbedRow| true, &[])?;
        let what = "Fisher scores, predicted and measured rise, and the Hessian's diagonal, layer by layer";
        self.table(page, DAMAGE, what, |_: &LayerRow| true, &[])
    }

    pub(super) fn agree(&self, page: &mut Page) -> Result<()> {
        if self.analysis.agree.is_none() {
            return Ok(());
        }
        self.figures(page, AGREE)?;
        self.table(page, AGREE, "Agreement of rankings, pair by pair", |_: &PairRow| true, &[])?;
        let what = "Scores and ranks of the sites; the ratio is to the first, over its median";
        let sites = |row: &ScoreRow| row.granularity == Granularity::Site;
        self.table(page, AGREE, what, sites, &["granularity"])
    }

    pub(super) fn path<T: tables::Table>(&self, folder: &str) -> PathBuf {
        self.folder.join(folder).join(T::FILE)
    }

    pub(super) fn rows<T: tables::Table>(&self, folder: &str) -> Result<Vec<T>> {
        files::read_csv(&self.path::<T>(folder), FIX)
    }

    /// The same, or none where there is no such file: earlier versions wrote fewer.
    pub(super) fn rows_if_any<T: tables::Table>(&self, folder: &str) -> Result<Vec<T>> {
        if files::exists(&self.path::<T>(folder)) { self.rows(folder) } else { Ok(Vec::new()) }
    }

    /// The figures of a command's tables, with the words that `render` has for them.
    pub(super) fn figures(&self, page: &mut Page, folder: &str) -> Result<()> {
        for figure in figures_of(self.analysis, folder) {
            let rows = match figure.name {
                NEEDED => self.rows_if_any(STABILITY)?,
                _ => Vec::new(),
            };
            if let Some(sentence) = one_number(&rows) {
                page.details.push(sentence);
                page.plain.push(format!("figures/{}", figure.name));
                continue;
            }
            let drawn = chart(&[self.folder.join(table_of(figure, folder))], &[], None)?;
            let caption = drawn.map_or(String::new(), |chart| chart.caption.trim_end().to_string());
            self.figure(page, figure.name, caption)?;
        }
        Ok(())
    }

    /// Some rows of a table as they stand, without these columns.
    pub(super) fn table<T: tables::Table>(
        &self,
        page: &mut Page,
        folder: &str,
        caption: &str,
        keep: impl Fn(&T) -> bool,
        without: &[&str],
    ) -> Result<()> {
        let path = self.path::<T>(folder);
        let failed = |e: String| Error::field(path.display(), "table", "a CSV table", e, FIX);
        let unreadable = |e: csv::Error| failed(e.to_string());
        let text = files::read_text(&path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(unreadable)?.clone();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |cells: &StringRecord| {
            let own = header.iter().zip(cells).filter(|(name, _)| !without.contains(name));
            writer.write_record(own.map(|(_, cell)| cell)).map_err(unreadable)
        };
        let rows = reader.records().collect::<csv::Result<Vec<_>>>().map_err(unreadable)?;
        if rows.is_empty() {
            return Ok(());
        }
        write(&header)?;
        for row in &rows {
            if keep(&row.deserialize(Some(&header)).map_err(unreadable)?) {
                write(row)?;
            }
        }
        let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
        page.tables.push(Table::of_csv(&format!("{folder}_{}", T::FILE), caption.into(), text)?);
        Ok(())
    }
}

pub(super) fn predictor(word: &str) -> &str {
    match word {
        "mean_of_means" => "with the mean of tensor means of F",
        "mean" => "with its mean",
        "sum" => "with its sum",
        "predicted" => "with what F predicts for that very perturbation",
        "hessian" => "with the Hessian's diagonal",
        other => other,
    }
}

/// Lines of a command as sentences.
pub(super) fn sentences(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("{}.", upper(&line)))
}

/// What the figure of the examples needed would say, where all its numbers are one: axes around a point say less than a sentence.
fn one_number(rows: &[NeededRow]) -> Option<String> {
    let number = rows.first()?.predicted?;
    let highest = rows.iter().map(|row| row.threshold).fold(f64::NEG_INFINITY, f64::max);
    let predictions = counted(rows.len(), "prediction");
    rows.iter().all(|row| row.predicted == Some(number)).then(|| {
        format!(
            "Examples needed: {} for two samples to agree at rho {highest}, by each of {predictions} whatever the size of the \
             pilot; a figure of them would show one point.",
            number.ceil()
        )
    })
}

/// How few examples rank as those that are left out do, a sentence for all that is ranked.
fn trusted(curves: &Curves) -> Option<String> {
    let own: Vec<&Trust> = curves.trust.iter().filter(|t| t.reference == Reference::Complement).collect();
    let threshold = own.first()?.threshold;
    let each = own.iter().map(|trust| {
        let row = curves.summary.iter().find(|row| {
            (row.draw, row.granularity, row.reference, row.measure, Some(row.fraction))
                == (trust.draw, trust.granularity, trust.reference, trust.measure, trust.fraction)
        });
        let found = row.map_or("no fraction drawn".to_string(), |row| {
            format!(
                "{}, {}, lowest of {} draws {:.3}",
                counted(row.examples, "example"),
                row.bounded(),
                row.repeats,
                row.least
            )
        });
        format!("{} ({} draws): {found}", trust.granularity.name(), trust.draw.name())
    });
    let each = each.collect::<Vec<_>>().join("; ");
    Some(format!("Fewest examples for a Spearman rho above {threshold} with the examples left out, {each}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. Catches a figure that is dropped although its numbers differ, or one of them is missing.
    #[test]
    fn only_one_number_is_a_sentence() {
        assert!(crate::figures::FIGURES.iter().any(|figure| figure.name == NEEDED));
        let row = |threshold: f64, predicted: Option<f64>| NeededRow {
            draw: "nested".into(),
            fraction: 0.1,
            repeat: 0,
            granularity: Granularity::Site,
            threshold,
            examples: 100,
            predicted,
            predicted_low: None,
            predicted_high: None,
            expected: None,
            pairs: 0,
            checked: None,
            checked_sd: None,
        };
        let same = [row(0.9, Some(1.0)), row(0.95, Some(1.0))];
        let said = one_number(&same).unwrap();
        assert!(said.contains("1 for two samples to agree at rho 0.95, by each of 2 predictions"), "{said}");
        assert_eq!(one_number(&[row(0.9, Some(1.0)), row(0.9, Some(2.0))]), None);
        assert_eq!(one_number(&[row(0.9, Some(1.0)), row(0.9, None)]), None);
        assert_eq!(one_number(&[]), None);
    }
}
