//! How much the ranking of sites depends on how it is made, as SVG: a row for each site, a column for each way of
//! aggregating and for what is left out, and the agreement with the paper's ranking above each column.
//!
//! Colours and numbers are ranks: 0 is the lowest score, which drops most. Rows are sorted by the first column: its colours run
//! from light to dark, and where another column disagrees a cell leaps out. Above the map stands Spearman's ρ between a
//! column's ranking and the paper's (mean of tensor means, all tensors) with its 95 % interval, where `variants.csv`
//! lies beside the table.
//!
//! The trap: colours compare ranks, not scores. Two columns of one colour may rest on scores of different sizes.
//!
//! Takes [`Audit`], the `audit.csv` of `audit`.

use std::path::Path;

use crate::draw::axis::{self, Axis, TICK, drawable};
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, PT_PER_MM, text_width};
use crate::draw::cells::{self, Cell};
use crate::draw::curves::{self, COLOURS};
use crate::draw::frame::{self, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::text::{self, SMALL, TEXT, TITLE};
use crate::error::{Error, Result};
use crate::figures::parts::sites;
use crate::fisher::layers::Aggregate;
use crate::stability::audit::{AuditRow, Variant, VariantRow};
use crate::tables::{self, Table};

/// Height of a row and of the panel of agreement, between it and the map, and between aggregates, pt.
const ROW: f64 = 8.2;
const STRIP: f64 = 40.0;
const GAP: f64 = 4.0;
const APART: f64 = 5.0;

/// For readers of the file.
const DESCRIPTION: &str = "Rank of each dropout site (0 is the lowest Fisher score) by how tensors become the score of \
                           a site and which of them count; above each column Spearman’s ρ with the paper’s ranking \
                           and its 95 % interval.";

/// Rankings of the sites.
#[derive(Clone, Debug)]
pub struct Audit {
    sites: Vec<String>,
    /// As the table has them, those of one aggregate together.
    columns: Vec<Column>,
}

/// One way to make the ranking.
#[derive(Clone, Debug)]
struct Column {
    aggregate: Aggregate,
    variant: Variant,
    /// Of each site, where the table has one.
    ranks: Vec<Option<f64>>,
    /// Spearman's ρ with the paper's ranking, and its interval.
    rho: Option<(f64, Option<(f64, f64)>)>,
}

impl Audit {
    /// Reads `audit.csv`, and `variants.csv` beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no row, a site twice in one column, a rank that the number of sites does not
    /// allow, or an agreement outside −1 to 1.
    pub fn read(path: &Path) -> Result<Audit> {
        let wrong = |field: &str, expected: String, found: String| {
            Error::field(path.display(), field, expected, found, AuditRow::FIX)
        };
        let rows: Vec<AuditRow> = tables::read_some(path)?;
        let mut audit = Audit { sites: Vec::new(), columns: Vec::new() };
        for row in &rows {
            if !audit.sites.contains(&row.site) {
                audit.sites.push(row.site.clone());
            }
        }
        let last = audit.sites.len() - 1;
        let mut seen: Vec<(usize, usize)> = Vec::new();
        for row in rows {
            if row.rank > last {
                let found = format!("{} for {}", row.rank, row.site);
                return Err(wrong("rank", format!("from 0 to {last}"), found));
            }
            let site = audit.sites.iter().position(|site| *site == row.site).unwrap_or(0); // it is one of them
            let column = audit.column(row.aggregate, row.variant);
            if seen.contains(&(site, column)) {
                let found =
                    format!("{} twice in {}, {}", row.site, aggregate(row.aggregate), variant(row.variant));
                return Err(wrong("site", "named once".to_owned(), found));
            }
            seen.push((site, column));
            audit.columns[column].ranks[site] = Some(row.rank as f64);
        }
        for row in tables::read_beside::<VariantRow>(path)? {
            let own = |c: &&mut Column| (c.aggregate, c.variant) == (row.aggregate, row.variant);
            let ends = row.spearman_low.zip(row.spearman_high);
            let ends = ends.filter(|(low, high)| drawable(*low) && drawable(*high));
            let own = audit.columns.iter_mut().find(own);
            own.into_iter().for_each(|column| column.rho = row.spearman.map(|rho| (rho, ends)));
        }
        audit.sort();
        Ok(audit)
    }

    /// The highest score of the first column first, so that what other columns change stands out.
    fn sort(&mut self) {
        let Some(first) = self.columns.first() else { return };
        let mut order: Vec<usize> = (0..self.sites.len()).collect();
        order.sort_by(|a, b| first.ranks[*b].unwrap_or(-1.0).total_cmp(&first.ranks[*a].unwrap_or(-1.0)));
        self.sites = order.iter().map(|i| self.sites[*i].clone()).collect();
        for column in &mut self.columns {
            column.ranks = order.iter().map(|i| column.ranks[*i]).collect();
        }
    }

    /// The place of a column, new after the last of its aggregate.
    fn column(&mut self, aggregate: Aggregate, variant: Variant) -> usize {
        let own = |column: &Column| column.aggregate == aggregate && column.variant == variant;
        if let Some(place) = self.columns.iter().position(own) {
            return place;
        }
        let after = self.columns.iter().rposition(|column| column.aggregate == aggregate);
        let place = after.map_or(self.columns.len(), |last| last + 1);
        let ranks = vec![None; self.sites.len()];
        self.columns.insert(place, Column { aggregate, variant, ranks, rho: None });
        place
    }

    fn aggregates(&self) -> Vec<&[Column]> {
        self.columns.chunk_by(|a, b| a.aggregate == b.aggregate).collect()
    }

    fn missing(&self) -> usize {
        self.columns.iter().flat_map(|column| &column.ranks).filter(|rank| rank.is_none()).count()
    }

    fn has_rho(&self) -> bool {
        self.columns.iter().any(|column| column.rho.is_some())
    }
}

/// The figure in words for a paper.
pub fn caption(audit: &Audit) -> String {
    let rho = if audit.has_rho() {
        " Above each column, Spearman’s ρ of its ranking with the paper’s (mean of tensor means, all tensors) and \
         its 95 % interval."
    } else {
        ""
    };
    let missing = match audit.missing() {
        0 => String::new(),
        n => format!(" Cells without a rank: {n}."),
    };
    let aggregates: Vec<&str> =
        audit.aggregates().iter().map(|columns| aggregate(columns[0].aggregate)).collect();
    format!(
        "Rank by Fisher score (0 is the lowest) of {} dropout sites in {} rankings, which differ in how tensors become \
         the score of a site ({}) and in which tensors count.{rho}{missing}\n",
        audit.sites.len(),
        audit.columns.len(),
        aggregates.join(", "),
    )
}

/// The words of an aggregate.
fn aggregate(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::MeanOfMeans => "mean of means",
        Aggregate::Mean => "mean",
        Aggregate::Sum => "sum",
    }
}

/// The words of a variant.
fn variant(variant: Variant) -> &'static str {
    match variant {
        Variant::All => "all",
        Variant::NoBiases => "no biases",
        Variant::NoLayernorm => "no LayerNorm",
        Variant::WeightsOnly => "weights only",
        Variant::NoTokenTypes => "no token types",
        Variant::WithIntermediate => "with intermediate",
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Audit::read(path)?;
    Ok((audit_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page).
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn audit_figure(audit: &Audit, width_mm: Option<f64>) -> Result<String> {
    let layout = Layout::new(audit, width_mm.unwrap_or(174.0))?;
    let (missing, last) = (audit.missing(), audit.sites.len() - 1);
    let ranks = Axis::linear(0.0, last as f64, 8, 1.0).cut_to(0.0, last as f64);
    let foot = cells::below_bar(layout.bottom + layout.words + 4.0);
    let mut entries = Vec::new();
    if audit.has_rho() {
        let sign = |canvas: &Canvas, (x, y)| {
            curves::bar(canvas, [(x - 6.0, y), (x + 6.0, y)], COLOURS[0]);
            curves::marker(canvas, (x, y), 0);
        };
        entries.push(Entry::new(sign, "ρ with the paper’s ranking, 95 % interval"));
    }
    if missing > 0 {
        entries.push(cells::missing("no rank"));
    }
    entries.push(Entry::note("the number before a site is its layer"));
    let width = layout.width;
    let sheet = Sheet::new(width, (EDGE, foot), entries, SIGN);
    let canvas = &sheet.canvas;
    for (columns, &left) in audit.aggregates().into_iter().zip(&layout.lefts) {
        layout.aggregate(canvas, columns, left, &ranks);
    }
    for (i, site) in audit.sites.iter().enumerate() {
        let at = (layout.lefts[0] - TICK - 1.0, layout.top + ROW * (i as f64 + 0.5));
        sites::write(canvas, site, at, Anchor::End);
    }
    if audit.has_rho() {
        let at = (EDGE + 0.8 * TEXT, layout.top - GAP - STRIP / 2.0);
        canvas.upright("Spearman’s ρ", at, text::fitting("Spearman’s ρ", TEXT, STRIP));
    }
    let (left, right) = (layout.lefts[0], width - EDGE);
    let at = (left, layout.bottom + layout.words + 4.0);
    cells::colour_bar(canvas, at, f64::min(right - left, 260.0), &ranks, &["rank (0: lowest score)"]);
    Ok(sheet.finish(DESCRIPTION))
}

/// Everything's place, pt.
struct Layout {
    width: f64,
    /// Left side of each aggregate, and width of a column.
    lefts: Vec<f64>,
    each: f64,
    /// Upper and lower side of the map.
    top: f64,
    bottom: f64,
    /// Height of the words below it.
    words: f64,
    /// Of the agreement, if any is known.
    rho: Option<Axis>,
}

impl Layout {
    fn new(audit: &Audit, width_mm: f64) -> Result<Layout> {
        let ends = audit.columns.iter().filter_map(|column| column.rho);
        let ends = ends.flat_map(|(rho, ends)| [rho, ends.map_or(rho, |(low, _)| low)]);
        let lowest = axis::range(ends).map(|(lowest, _)| lowest.clamp(-1.0, 0.95));
        let rho = lowest.map(|lowest| Axis::linear(lowest, 1.0, 3, 0.0).thinned_upright(STRIP));
        let names = sites::widest(audit.sites.iter().map(String::as_str));
        let beside = rho.as_ref().map_or(0.0, |rho| LINE + axis::numbers_width([rho]));
        let left = EDGE + f64::max(names + TICK + 1.0, beside);
        let groups: Vec<usize> = audit.aggregates().iter().map(|columns| columns.len()).collect();
        let between = APART * (groups.len() - 1) as f64;
        // One panel of all columns: each may be narrow.
        let each = frame::panel_width(width_mm, 1, left + EDGE + between)? / audit.columns.len() as f64;
        let mut lefts = vec![left];
        for columns in &groups[..groups.len() - 1] {
            lefts.push(lefts[lefts.len() - 1] + each * *columns as f64 + APART);
        }
        let strip = if rho.is_some() { STRIP + GAP } else { 0.0 };
        let top = EDGE + 1.1 * TITLE + 3.0 + strip;
        let mut words: f64 = 0.0;
        for column in &audit.columns {
            let (shown, em) = text::shortened(variant(column.variant), SMALL, 70.0);
            words = words.max(text_width(&shown, em));
        }
        let bottom = top + ROW * audit.sites.len() as f64;
        Ok(Layout { width: width_mm * PT_PER_MM, lefts, each, top, bottom, words: words + 3.0, rho })
    }

    /// The columns of one aggregate, the first of which begins at `left`.
    fn aggregate(&self, canvas: &Canvas, columns: &[Column], left: f64, ranks: &Axis) {
        let width = self.each * columns.len() as f64;
        let above = self.top - if self.rho.is_some() { STRIP + GAP } else { 0.0 };
        let (title, em) = text::first_fitting(&[aggregate(columns[0].aggregate)], TITLE, width);
        canvas.centred(&title, (left + width / 2.0, above - 4.0), em);
        if let Some(rho) = &self.rho {
            let none = Axis::columns(&[], width);
            let plot = Plot { corner: (left, above), size: (width, STRIP), x: &none, y: rho };
            plot.axes(canvas, false, left == self.lefts[0]);
            for (i, column) in columns.iter().enumerate() {
                let x = left + self.each * (i as f64 + 0.5);
                let at = |v: f64| (x, plot.at(0.0, v.clamp(rho.low, rho.high)).1);
                let Some((value, ends)) = column.rho else { continue };
                if let Some((low, high)) = ends {
                    curves::thick_bar(canvas, [at(low), at(high)], COLOURS[0]);
                }
                curves::marker(canvas, at(value), 0);
            }
        }
        let mut all = Vec::new();
        for (i, column) in columns.iter().enumerate() {
            let x = left + self.each * i as f64;
            for (row, rank) in column.ranks.iter().enumerate() {
                let top = self.top + ROW * row as f64;
                let area = Area { left: x, top, right: x + self.each, bottom: top + ROW };
                let lines = rank.map(|rank| crate::draw::numbers::significant(rank, 3)).into_iter().collect();
                all.push(Cell { area, value: *rank, lines });
            }
            let (words, em) = text::shortened(variant(column.variant), SMALL, 70.0);
            let at = (x + self.each / 2.0 + em * DIGIT_HEIGHT / 2.0, self.bottom + 3.0);
            canvas.text(&words, at, em, Anchor::End, -90.0, "#000");
        }
        cells::draw(canvas, &all, ranks);
        let size = (width, self.bottom - self.top);
        canvas.frame((left, self.top), size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    const HEADER: &str = "aggregate,variant,site,score,score_se,rank,p\n";
    const VARIANTS: &str = "aggregate,variant,spearman,spearman_low,spearman_high\n";

    fn read(rows: &str, variants: Option<&str>) -> Result<Audit> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.csv");
        std::fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        if let Some(rows) = variants {
            std::fs::write(folder.path().join("variants.csv"), format!("{VARIANTS}{rows}")).unwrap();
        }
        let inputs = tables::with_beside(&path, AuditRow::BESIDE);
        assert_eq!(inputs.len(), 1 + usize::from(variants.is_some()));
        assert_eq!(crate::figures::tests::named(HEADER), Some("audit_audit"));
        Audit::read(&path)
    }

    /// All aggregates and variants of a model of `layers` layers; ranks are shifted from column to column.
    fn rows(layers: usize) -> (String, String) {
        let (mut out, mut variants) = (String::new(), String::new());
        let sites = crate::model::architectures::bert::sites(layers);
        for (a, aggregate) in ["mean-of-means", "mean", "sum"].into_iter().enumerate() {
            for (v, variant) in
                ["all", "no-biases", "no-layernorm", "weights-only", "no-token-types", "with-intermediate"]
                    .into_iter()
                    .enumerate()
            {
                for (i, site) in sites.iter().enumerate() {
                    out +=
                        &format!("{aggregate},{variant},{site},1,0.1,{},0.05\n", (i + a + v) % sites.len());
                }
                variants += &format!("{aggregate},{variant},0.{v},-0.1,0.9\n");
            }
        }
        (out, variants)
    }

    /// Oracle: the renderer's layout, and counting.
    #[test]
    fn sites_and_variants_are_named() {
        for (layers, width, beside) in
            [(0, 174.0, false), (1, 84.0, true), (4, 84.0, false), (12, 84.0, true), (12, 174.0, true)]
        {
            let (rows, variants) = rows(layers);
            let audit = read(&rows, Some(variants.as_str()).filter(|_| beside)).unwrap();
            let texts = assert_sound(&audit_figure(&audit, Some(width)).unwrap());
            let count = |word: &str| texts.iter().filter(|(text, _)| text == word).count();
            assert_eq!((count("embeddings"), count("no LayerNorm"), count("mean of means")), (1, 3, 1));
            assert_eq!(count("Spearman’s ρ"), usize::from(beside));
            assert_eq!(count("11 ffn output"), usize::from(layers == 12));
        }
    }

    /// Oracle: on paper. Of two sites, rank 1 is bright (viridis) and first, rank 0 dark; ρ = 1, 0.5 and 0 are evenly spaced
    /// above their columns' middles.
    #[test]
    fn marks_and_colours_stand_for_agreement_and_rank() {
        let rows = "mean,all,embeddings,1,,0,0\nmean,all,layer.0.ffn_output,1,,1,0\n\
                    mean,no-biases,embeddings,1,,1,0\nmean,no-layernorm,embeddings,1,,0,0\n";
        let audit = read(
            rows,
            Some("mean,all,1,,\nmean,no-biases,0.5,0.2,0.7\nmean,no-layernorm,0,,\nsum,all,0,,\n"),
        )
        .unwrap();
        assert!(
            caption(&audit).contains("2 dropout sites in 3 rankings")
                && caption(&audit).contains("Cells without a rank: 2.")
        );
        let svg = audit_figure(&audit, None).unwrap();
        assert_sound(&svg);
        let fills = svg.lines().filter(|line| line.contains("stroke-width=\".2\"")).collect::<Vec<_>>();
        assert!(
            fills[0].contains("#fee825") && fills[1].contains("#440154") && fills.len() == 4,
            "{fills:?}"
        );
        let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
        let at = |i: usize| (attribute(circles[i], "cx"), attribute(circles[i], "cy"));
        assert!((at(1).1 - (at(0).1 + at(2).1) / 2.0).abs() < 0.02 && at(0).1 < at(1).1);
        let middle = attribute(fills[0], "x") + attribute(fills[0], "width") / 2.0;
        assert!((at(0).0 - middle).abs() < 0.02);
        assert!(svg.contains(">no rank<"));
    }

    #[test]
    fn bad_tables_are_refused() {
        let one = "mean,all,embeddings,1,,0,0\n";
        for (rows, variants, field) in [
            ("", None, "`rows`"),
            ("mean,all,embeddings,1,,1,0\n", None, "`rank`"),
            (&format!("{one}{one}"), None, "`site`"),
            ("mean,all,embeddings,1,,first,0\n", None, "`row`"),
            (one, Some("mean,all,2,,\n"), "`spearman`"),
        ] {
            let message = read(rows, variants).unwrap_err().to_string();
            assert!(message.contains(".csv") && message.contains(field), "{message}");
        }
        assert_sound(&audit_figure(&read(one, None).unwrap(), Some(84.0)).unwrap());
    }
}
