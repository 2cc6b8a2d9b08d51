//! What the page says of the Fisher information itself: how stable, on what it rests, what it predicts, what it agrees with.

use std::path::PathBuf;

use csv::StringRecord;

use super::Story;
use crate::error::{Error, Result};
use crate::figures::chart;
use crate::files;
use crate::fisher::layers::Aggregate;
use crate::page::{Page, Table};
use crate::run::plan::STABILITY;
use crate::run::plan::reliability::{AGREE, AUDIT, DAMAGE, figure_of};
use crate::stability::audit::{DriverRow, VariantRow};
use crate::stability::summary::Reference;
use crate::stability::{components, needed, overlap};
use crate::stages::{bounded, word};
use crate::tables::agreement::Curves;

const FIX: &str = "run the analysis again with --force";

impl Story<'_> {
    pub(super) fn stability(&self, page: &mut Page) -> Result<()> {
        let Some(stability) = &self.analysis.stability else { return Ok(()) };
        let curves = Curves::read(&self.file(STABILITY, "agreement"))?;
        let own = curves.trust.iter().filter(|trust| trust.reference == Reference::Complement);
        page.answers.extend(own.map(|trust| format!("Ranking by {}.", trust.sentence(&curves.summary))));
        let needed = files::read_csv::<needed::NeededRow>(&self.file(STABILITY, "needed"), FIX)?;
        page.answers.extend(sentences(needed::sentences(&needed)));
        for table in ["agreement", "ranks", "needed", "tails"] {
            self.charted(page, STABILITY, table)?;
        }
        let sites = |row: &Row| row.get("granularity") == "site";
        let trusted = |row: &Row| row.get("measure") == "spearman" || row.get("measure") == "rate_difference";
        self.table(
            page,
            STABILITY,
            "summary",
            "Agreement of sub-samples with the examples left out and with all",
            trusted,
            &[],
        )?;
        let what = "Examples needed for two samples to agree, predicted from a pilot and checked on fresh pairs: dropout sites";
        self.table(page, STABILITY, "needed", what, sites, &["granularity"])?;
        let what = "How few examples a site's score rests on";
        self.table(page, STABILITY, "tails", what, sites, &["granularity"])?;
        if stability.masks > 1 {
            let rows = files::read_csv(&self.file(STABILITY, "components"), FIX)?;
            let masks = files::read_csv(&self.file(STABILITY, "masks"), FIX)?;
            page.answers.extend(sentences(components::sentences(&rows, &masks)));
            self.charted(page, STABILITY, "components")?;
            let what = "Variance of one example's score, between examples and between maskings of one: dropout sites";
            self.table(page, STABILITY, "components", what, sites, &["granularity"])?;
        }
        if !stability.overlap.is_empty() {
            let rows = files::read_csv(&self.file(STABILITY, "overlap"), FIX)?;
            page.answers.extend(sentences(overlap::sentences(&rows)));
            self.charted(page, STABILITY, "overlap")?;
        }
        Ok(())
    }

    pub(super) fn audit(&self, page: &mut Page) -> Result<()> {
        if self.analysis.audit.is_none() {
            return Ok(());
        }
        let variants: Vec<VariantRow> = files::read_csv(&self.file(AUDIT, "variants"), FIX)?;
        let drivers: Vec<DriverRow> = files::read_csv(&self.file(AUDIT, "drivers"), FIX)?;
        let furthest = variants.iter().filter(|row| row.spearman.is_some());
        let furthest =
            furthest.min_by(|a, b| a.spearman.unwrap_or(1.0).total_cmp(&b.spearman.unwrap_or(1.0)));
        if let Some(row) = furthest {
            page.answers.push(format!(
                "Of the ways to make tensors one score, {} over {} ranks the sites least like the paper: rho {}, dropout rates off by {} on average.",
                word(row.aggregate),
                word(row.variant),
                bounded(row.spearman, row.spearman_low, row.spearman_high),
                bounded(row.rate_difference, row.rate_difference_low, row.rate_difference_high),
            ));
        }
        let paper: Vec<&DriverRow> =
            drivers.iter().filter(|row| row.aggregate == Aggregate::MeanOfMeans).collect();
        let sites = paper.chunk_by(|a, b| a.site == b.site).count();
        let led = paper.iter().filter(|row| row.share.is_some_and(|share| share > 0.5)).count();
        page.answers.push(format!(
            "{led} of {sites} sites have more than half of their score, by the paper's mean of tensor means, from a single tensor."
        ));
        self.charted(page, AUDIT, "audit")?;
        self.charted(page, AUDIT, "concentration")?;
        let what = "Rankings of the sites under every aggregate and choice of tensors, against the paper's (mean of means over all)";
        self.table(page, AUDIT, "variants", what, |_| true, &[])?;
        let what = "The tensors of each site under the paper's aggregate: share of the score, rank of the site, and its rank without the tensor";
        let mean_of_means = |row: &Row| row.get("aggregate") == "mean-of-means";
        self.table(page, AUDIT, "drivers", what, mean_of_means, &["aggregate"])?;
        let what = "Concentration: Gini coefficient and share of the Fisher information in the top 0.1, 1 and 10 % of the parameters";
        self.table(page, AUDIT, "concentration", what, |_| true, &[])
    }

    pub(super) fn damage(&self, page: &mut Page) -> Result<()> {
        if self.analysis.damage.is_none() {
            return Ok(());
        }
        let rows = Row::all(&self.file(DAMAGE, "correlations"))?;
        let rises: Vec<&Row> = rows.iter().filter(|row| row.get("outcome") == "rise").collect();
        for own in rises.chunk_by(|a, b| a.get("granularity") == b.get("granularity")) {
            let each = own.iter().map(|row| {
                let rho =
                    bounded(row.number("spearman"), row.number("spearman_low"), row.number("spearman_high"));
                format!("{} {rho}", predictor(row.get("predictor")))
            });
            page.answers.push(format!(
                "Rise of the loss when one {} is perturbed, rank correlation over {} of them: {}.",
                own[0].get("granularity"),
                own[0].get("layers"),
                each.collect::<Vec<_>>().join("; ")
            ));
        }
        self.charted(page, DAMAGE, "layers")?;
        let what = "Rank correlation of what might predict damage with the measured rise, and with the Hessian's diagonal";
        self.table(page, DAMAGE, "correlations", what, |_| true, &[])?;
        let what = "Rise of the loss when the top, a random or the bottom part of the parameters is perturbed, at matched norm";
        self.table(page, DAMAGE, "perturbed", what, |_| true, &[])?;
        let what = "Fisher scores, predicted and measured rise, and the Hessian's diagonal, layer by layer";
        self.table(page, DAMAGE, "layers", what, |_| true, &[])
    }

    pub(super) fn agree(&self, page: &mut Page) -> Result<()> {
        if self.analysis.agree.is_none() {
            return Ok(());
        }
        let rows = Row::all(&self.file(AGREE, "pairs"))?;
        for row in rows.iter().filter(|row| row.get("granularity") == "site") {
            let of = |name: &str| {
                let end = |end: &str| row.number(&format!("{name}_{end}"));
                bounded(row.number(name), end("low"), end("high"))
            };
            page.answers.push(format!(
                "{} and {} rank the sites with a Spearman rho of {}; their dropout rates differ by {} on average.",
                row.get("a"),
                row.get("b"),
                of("spearman"),
                of("rate_difference"),
            ));
        }
        self.charted(page, AGREE, "pairs")?;
        self.table(page, AGREE, "pairs", "Agreement of rankings, pair by pair", |_| true, &[])?;
        let what = "Scores and ranks of the sites; the ratio is to the first, over its median";
        self.table(page, AGREE, "scores", what, |row| row.get("granularity") == "site", &["granularity"])
    }

    fn file(&self, folder: &str, table: &str) -> PathBuf {
        self.folder.join(format!("{folder}/{table}.csv"))
    }

    /// A figure of one of these tables, with the words that its command has for it.
    fn charted(&self, page: &mut Page, folder: &str, table: &str) -> Result<()> {
        let (name, path) = figure_of(folder, table);
        let drawn = chart(&[self.folder.join(path)], &[], None)?;
        let caption = drawn.map_or(String::new(), |chart| chart.caption.trim_end().to_string());
        self.figure(page, &name, caption)
    }

    /// Some rows of a table, without these columns.
    fn table(
        &self,
        page: &mut Page,
        folder: &str,
        table: &str,
        caption: &str,
        keep: impl Fn(&Row) -> bool,
        without: &[&str],
    ) -> Result<()> {
        let path = self.file(folder, table);
        let failed = |e: String| Error::field(path.display(), "table", "a CSV table", e, FIX);
        let rows = Row::all(&path)?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |row: &Row, cells: &StringRecord| {
            let own = row.header.iter().zip(cells).filter(|(name, _)| !without.contains(name));
            writer.write_record(own.map(|(_, cell)| cell)).map_err(|e| failed(e.to_string()))
        };
        let Some(first) = rows.first() else { return Ok(()) };
        write(first, &first.header)?;
        rows.iter().filter(|row| keep(row)).try_for_each(|row| write(row, &row.cells))?;
        let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
        page.tables.push(Table::of_csv(&format!("{folder}_{table}.csv"), caption.into(), text)?);
        Ok(())
    }
}

/// A row of any table, by its columns.
struct Row {
    header: StringRecord,
    cells: StringRecord,
}

impl Row {
    fn all(path: &std::path::Path) -> Result<Vec<Row>> {
        let text = files::read_text(path)?;
        let failed = |e: csv::Error| Error::field(path.display(), "table", "a CSV table", e, FIX);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(failed)?.clone();
        let row = |cells: csv::Result<StringRecord>| {
            Ok(Row { header: header.clone(), cells: cells.map_err(failed)? })
        };
        reader.records().map(row).collect()
    }

    /// A cell; empty for a column that is not there.
    fn get(&self, column: &str) -> &str {
        let place = self.header.iter().position(|name| name == column);
        place.and_then(|place| self.cells.get(place)).unwrap_or_default()
    }

    fn number(&self, column: &str) -> Option<f64> {
        self.get(column).parse().ok()
    }
}

fn predictor(word: &str) -> &str {
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
fn sentences(lines: Vec<String>) -> impl Iterator<Item = String> {
    let upper = |line: String| {
        let mut letters = line.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    lines.into_iter().map(move |line| format!("{}.", upper(line)))
}
