//! Fisher information by layer as SVG: a row for each block, a column for each kind of site, a panel for each aggregate.
//!
//! The colour is the logarithm of a site's score, and the score itself is printed where it fits. How a site's tensors
//! become one score changes the picture (docs/definitions.md section 2), so the three aggregates stand side by side: the
//! paper's unweighted mean of tensor means, the mean over parameters, the sum. Their sizes differ by orders of
//! magnitude: each has a colour bar of its own, so equal colours are equal scores within a panel only.
//!
//! Below them a bar has the share of each layer in the sum over all parameters.
//!
//! `intermediate.dense` feeds no dropout site and stands apart; the head is left out, as in every ranking of sites.
//! The trap: a score of 0 has no logarithm. Such cells are hatched, never coloured as if they were small.
//!
//! Takes [`FisherTable`], the `F.csv` of `fisher`; scores are those of [`crate::fisher::layers`].

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::draw::axis::{self, Axis, TICK};
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, PT_PER_MM, Point, text_width};
use crate::draw::cells::{self, LEAST_NUMBER, below_bar, colour, colour_bar, outlined};
use crate::draw::colour::{hatched, ink};
use crate::draw::frame::{self, EDGE};
use crate::draw::legend::{Entry, Sheet};
use crate::draw::numbers::scientific;
use crate::draw::text::{self, NUMBER, SMALL, TEXT, TITLE};
use crate::dropout::{LayerName, Place, Role};
use crate::error::{Error, Result};
use crate::figures::parts::share;
use crate::fisher::files::Row;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::model::Layout;
use crate::model::layout::{Kind, Parameter, Reach};
use crate::tables::{self, Table};

const AGGREGATES: [(Aggregate, &str); 3] = [
    (Aggregate::MeanOfMeans, "mean of tensor means"),
    (Aggregate::Mean, "mean over parameters"),
    (Aggregate::Sum, "sum over parameters"),
];
/// The columns; the last stands apart, as it is no dropout site.
const COLUMNS: [Role; 4] = [Role::AttentionProbs, Role::AttentionOutput, Role::FfnOutput, Role::Intermediate];
/// Those of an encoder-decoder, likewise.
const TWO_STACKS: [Role; 6] = [
    Role::AttentionProbs,
    Role::AttentionOutput,
    Role::CrossProbs,
    Role::CrossOutput,
    Role::FfnOutput,
    Role::Intermediate,
];
/// Height of a row, between the sites and `intermediate`, and between panels, pt.
const ROW: f64 = 12.0;
const APART: f64 = 4.0;
const GAP: f64 = 10.0;
/// Below this width (mm) a figure has the paper's aggregate alone.
const ONE_PANEL: f64 = 120.0;

/// For readers of the file.
const DESCRIPTION: &str = "Fisher information of the parameters that feed each dropout site, by layer. Colours are \
                           logarithmic, each panel with its own scale. intermediate.dense feeds no dropout site; \
                           pooler and task head are not shown. The bar has each layer’s share of the sum.";

/// Sums of `F` over each parameter tensor.
#[derive(Clone, Debug)]
pub struct FisherTable {
    /// The tensors, whose shapes are their numbers of entries; every place but the head is a site here.
    layout: Layout,
    /// In the order of the names. Finite, at least 0, in squared loss units per squared unit of the parameter.
    sums: Vec<f64>,
}

/// The figure in words for a paper.
pub fn caption(table: &FisherTable) -> String {
    let tensors = table.layout.parameters();
    let (n, entries) = (tensors.len(), tensors.iter().map(Parameter::numel).sum::<usize>());
    format!("{DESCRIPTION} From {n} tensors of {entries} parameters.\n")
}

impl FisherTable {
    /// Reads the `F.csv` that `fisher` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a missing column, a tensor without entries or named twice, a sum that is negative or not
    /// finite, or a table without any tensor of the encoder.
    pub fn read(path: &Path) -> Result<FisherTable> {
        let wrong =
            |expected: &str, found: String| Error::field(path.display(), "name", expected, found, Row::FIX);
        let mut tensors: Vec<(Parameter, f64)> = Vec::new();
        let mut seen = HashSet::new();
        for row in tables::read::<Row>(path)? {
            if !seen.insert(row.name.clone()) {
                return Err(wrong("named once", format!("{} twice", row.name)));
            }
            let place = row.site.parse().unwrap_or(Place::HEAD); // checked as the row was read
            tensors.push((tensor(row.name, row.numel, place), row.sum));
        }
        if tensors.iter().all(|(tensor, _)| tensor.place == Place::HEAD) {
            return Err(wrong("some parameter of embeddings or layers", "none".into()));
        }
        Ok(FisherTable::new(tensors))
    }

    /// Of tensors in model order and the sum over each.
    fn new(tensors: Vec<(Parameter, f64)>) -> FisherTable {
        let mut sites: Vec<Place> = tensors.iter().map(|(tensor, _)| tensor.place).collect();
        sites.retain(|place| *place != Place::HEAD);
        let mut by_name = tensors.clone();
        by_name.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let sums = by_name.into_iter().map(|(_, sum)| sum).collect();
        let layout = Layout::new(tensors.into_iter().map(|(tensor, _)| tensor).collect(), sites);
        FisherTable { layout, sums }
    }

    /// Scores of every place but the head.
    fn scores(&self, aggregate: Aggregate) -> Vec<(Place, f64)> {
        let scores = Scores::new(&self.layout, Granularity::Site, aggregate, false);
        let named = scores.names().iter().zip(scores.of(&self.sums));
        named.filter_map(|(name, score)| Some((name.parse().ok()?, score))).collect()
    }

    /// Sums over the embeddings and over each layer, with what feeds no site.
    fn shares(&self) -> Vec<(String, f64)> {
        let scores = Scores::new(&self.layout, Granularity::Block, Aggregate::Sum, true);
        let short = |name: &String| match name.strip_prefix("layer.") {
            Some(layer) => format!("layer {layer}"),
            None => name.replace('.', " "),
        };
        scores.names().iter().map(short).zip(scores.of(&self.sums)).collect()
    }

    /// Layers that have a tensor, ascending.
    fn layers(&self) -> Vec<LayerName> {
        let tensors = self.layout.parameters().iter();
        let layers: BTreeSet<LayerName> = tensors.filter_map(|tensor| tensor.place.layer).collect();
        layers.into_iter().collect()
    }
}

/// A tensor of so many entries.
fn tensor(name: String, numel: usize, place: Place) -> Parameter {
    Parameter { name, shape: vec![numel], kind: Kind::Weight, place, reach: Reach::All, spread: 1.0 }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = FisherTable::read(path)?;
    Ok((heat_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page); below 120 mm with the paper's
/// aggregate alone.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn heat_figure(table: &FisherTable, width_mm: Option<f64>) -> Result<String> {
    let width_mm = width_mm.unwrap_or(174.0);
    let aggregates = if width_mm < ONE_PANEL { &AGGREGATES[..1] } else { &AGGREGATES };
    let layers = table.layers();
    let left = EDGE + text_width("embeddings", NUMBER) + 2.0 * TICK;
    let rest = left + GAP * (aggregates.len() - 1) as f64 + 2.0 * EDGE;
    let width = frame::panel_width(width_mm, aggregates.len(), rest)?;
    let top = EDGE + 1.1 * TITLE + 3.0;
    let height = ROW * (1 + layers.len()) as f64;
    let bar = below_bar(top + height + 2.6 * SMALL + 5.0) + 3.0;
    let foot = bar + share::HEIGHT + 3.0;

    let panels: Vec<Panel> = aggregates
        .iter()
        .enumerate()
        .map(|(i, &(aggregate, title))| {
            let corner = (left + (width + GAP) * i as f64, top);
            Panel::new(title, corner, width, &layers, table.scores(aggregate))
        })
        .collect();
    let none = panels.iter().any(|panel| panel.cells.iter().any(|cell| cell.score == Some(0.0)));
    let lost = panels.iter().any(|panel| panel.cells.iter().any(|cell| cell.score.is_none()));
    let mut entries = Vec::new();
    if none {
        let sign = |canvas: &Canvas, at| hatched(canvas, &[Area::around(at, 5.0, 2.8)]);
        entries.push(Entry::new(sign, "score 0"));
    }
    if lost {
        entries.push(cells::missing("no such tensor in the table"));
    }
    let two = has_decoder(&layers);
    if !two {
        entries.push(Entry::note("intermediate.dense feeds no dropout site"));
    }
    entries.push(Entry::note(if two {
        "the head is not shown"
    } else {
        "pooler and task head are not shown"
    }));
    let sheet = Sheet::new(width_mm * PT_PER_MM, (left, foot), entries, 10.0);
    let canvas = &sheet.canvas;

    for (row, name) in
        std::iter::once(String::new()).chain(layers.iter().map(|layer| layer.short())).enumerate()
    {
        let name = if row == 0 { "embeddings" } else { &name };
        let y = top + ROW * (row as f64 + 0.5) + NUMBER * DIGIT_HEIGHT / 2.0;
        canvas.text(name, (left - 2.0 * TICK, y), NUMBER, Anchor::End, 0.0, "#000");
    }
    if let Some(deepest) = layers.last() {
        let at = (left - 2.0 * TICK - text_width(&deepest.short(), NUMBER) - 6.0, top + (ROW + height) / 2.0);
        let em = text::fitting("layer", TEXT, height - ROW);
        canvas.upright("layer", at, em);
    }
    for panel in &panels {
        panel.draw(canvas);
    }
    let whole = GAP * (aggregates.len() - 1) as f64 + width * aggregates.len() as f64;
    share::bar(canvas, (left, bar), whole, "share of the sum over all parameters", &table.shares());
    Ok(sheet.finish(DESCRIPTION))
}

fn has_decoder(layers: &[LayerName]) -> bool {
    layers.iter().any(|layer| matches!(layer, LayerName::Decoder(_)))
}

/// One score and its place.
struct Cell {
    area: Area,
    /// `None` where the table has no such tensor.
    score: Option<f64>,
}

/// One aggregate.
struct Panel {
    title: &'static str,
    corner: Point,
    width: f64,
    columns: &'static [Role],
    rows: usize,
    cells: Vec<Cell>,
    /// Over the scores above 0; `None` if there is none.
    scale: Option<Axis>,
}

impl Panel {
    fn new(
        title: &'static str,
        corner: Point,
        width: f64,
        layers: &[LayerName],
        scores: Vec<(Place, f64)>,
    ) -> Panel {
        let score = |site: Place| scores.iter().find(|(s, _)| *s == site).map(|&(_, score)| score);
        let positive = scores.iter().map(|&(_, score)| score).filter(|&score| score > 0.0);
        let scale = axis::range(positive).map(|(low, high)| Axis::logarithmic(low, high, 5));
        let columns = if has_decoder(layers) { TWO_STACKS.as_slice() } else { &COLUMNS };
        let mut panel =
            Panel { title, corner, width, columns, rows: 1 + layers.len(), cells: Vec::new(), scale };
        let right = panel.column(panel.sites() - 1).1;
        let embeddings = Area { left: panel.column(0).0, top: corner.1, right, bottom: corner.1 + ROW };
        panel.cells.push(Cell { area: embeddings, score: score(Place::EMBEDDINGS) });
        for (row, &k) in layers.iter().enumerate() {
            // An encoder's layers have no attention to another.
            let own = |role: &Role| {
                !matches!((k, role), (LayerName::Encoder(_), Role::CrossProbs | Role::CrossOutput))
            };
            let sites = columns.iter().enumerate().filter(|(_, role)| own(role));
            for (column, site) in sites.map(|(column, role)| (column, k.place(*role))) {
                let ((left, right), top) = (panel.column(column), corner.1 + ROW * (row + 1) as f64);
                panel
                    .cells
                    .push(Cell { area: Area { left, top, right, bottom: top + ROW }, score: score(site) });
            }
        }
        panel
    }

    /// Columns before the one that stands apart.
    fn sites(&self) -> usize {
        self.columns.len() - 1
    }

    /// Left and right side of a column.
    fn column(&self, i: usize) -> (f64, f64) {
        let each = (self.width - APART) / self.columns.len() as f64;
        let left = self.corner.0 + each * i as f64 + if i == self.sites() { APART } else { 0.0 };
        (left, left + each)
    }

    fn draw(&self, canvas: &Canvas) {
        let (middle, each) = (self.corner.0 + self.width / 2.0, self.column(0).1 - self.column(0).0);
        let (title, em) = text::shortened(self.title, TITLE, self.width);
        canvas.centred(&title, (middle, self.corner.1 - 4.0), em);
        for cell in &self.cells {
            self.fill(canvas, cell);
        }
        self.numbers(canvas, each - 3.0);
        // The frames, last: cells have no edges of their own.
        let bottom = self.corner.1 + ROW * self.rows as f64;
        let last = self.sites();
        let (sites, apart) = (self.column(last - 1).1 - self.corner.0, self.column(last).0);
        canvas.frame(self.corner, (sites, bottom - self.corner.1));
        if self.rows > 1 {
            canvas.frame((apart, self.corner.1 + ROW), (each, bottom - self.corner.1 - ROW));
        }
        let mut em = SMALL;
        let headings: Vec<[&str; 2]> = self.columns.iter().map(|role| role.heading()).collect();
        for word in headings.as_flattened() {
            em = em.min(text::fitting(word, SMALL, each - 3.0));
        }
        for (i, words) in headings.iter().enumerate() {
            let x = (self.column(i).0 + self.column(i).1) / 2.0;
            for (line, word) in words.iter().enumerate() {
                let y = bottom + 3.0 + SMALL * (0.76 + 1.2 * line as f64);
                canvas.centred(word, (x, y), em);
            }
        }
        let at = (self.corner.0, bottom + 2.6 * SMALL + 5.0);
        if let Some(scale) = &self.scale {
            colour_bar(canvas, at, self.width, scale, &["Fisher score"]);
        }
    }

    fn fill(&self, canvas: &Canvas, cell: &Cell) {
        match (cell.score, &self.scale) {
            (Some(score), Some(scale)) if score > 0.0 => {
                cells::filled(canvas, cell.area, &colour(scale.part(score)));
            }
            (Some(_), _) => hatched(canvas, &[cell.area]),
            (None, _) => outlined(canvas, cell.area),
        }
    }

    /// All of one size, at most `width` pt wide; none where that would be too small to read.
    fn numbers(&self, canvas: &Canvas, width: f64) {
        let Some(scale) = &self.scale else { return };
        let positive = |cell: &Cell| cell.score.filter(|&score| score > 0.0).map(|score| (cell.area, score));
        let (areas, scores): (Vec<Area>, Vec<f64>) = self.cells.iter().filter_map(positive).unzip();
        let numbers = two_digits(&scores);
        let mut em = SMALL - 0.5;
        for number in &numbers {
            em = em.min(text::fitting(number, em, width));
        }
        if em < LEAST_NUMBER {
            return;
        }
        for ((area, score), number) in areas.iter().zip(&scores).zip(&numbers) {
            let at = ((area.left + area.right) / 2.0, (area.top + area.bottom + em * DIGIT_HEIGHT) / 2.0);
            canvas.text(number, at, em, Anchor::Middle, 0.0, ink(&colour(scale.part(*score))));
        }
    }
}

/// Positive numbers with two significant digits each; all with powers of ten, or none.
fn two_digits(scores: &[f64]) -> Vec<String> {
    let plain = axis::is_plain(scores);
    let write = |score: &f64| {
        let text = format!("{score:.1e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0")); // there is an e
        match power.parse::<i32>() {
            Ok(power) if plain => format!("{score:.*}", (1 - power).max(0) as usize),
            _ => format!("{mantissa}×{}", scientific(format!("1e{power}").parse().unwrap_or(1.0), 0)),
        }
    };
    scores.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    /// A BERT of `layers` layers, `f(tensor, numel)` the sum of each.
    fn table(layers: usize, f: impl Fn(&str, usize) -> f64) -> FisherTable {
        let word = "bert.embeddings.word_embeddings.weight".to_owned();
        let mut tensors = vec![tensor(word, 100, Place::EMBEDDINGS)];
        for k in 0..layers {
            for (module, role) in [
                ("attention.self.query", Role::AttentionProbs),
                ("attention.output.dense", Role::AttentionOutput),
                ("intermediate.dense", Role::Intermediate),
                ("output.dense", Role::FfnOutput),
            ] {
                for (kind, numel) in [("weight", 8), ("bias", 2)] {
                    let name = format!("bert.encoder.layer.{k}.{module}.{kind}");
                    tensors.push(tensor(name, numel, Place::in_layer(k, role)));
                }
            }
        }
        tensors.push(tensor("classifier.weight".to_owned(), 5, Place::HEAD));
        let sum = |tensor: Parameter| {
            let sum = f(&tensor.name, tensor.numel());
            (tensor, sum)
        };
        FisherTable::new(tensors.into_iter().map(sum).collect())
    }

    /// Colours of the cells with one, row by row.
    fn fills(svg: &str) -> Vec<[i32; 3]> {
        let channel = |line: &str, at: usize| {
            i32::from_str_radix(&line.split_once("fill=\"#").unwrap().1[at..at + 2], 16).unwrap()
        };
        coloured(svg).into_iter().map(|line| [0, 2, 4].map(|at| channel(line, at))).collect()
    }

    /// Cells have an edge of their own colour; hatched ones are grey.
    fn coloured(svg: &str) -> Vec<&str> {
        svg.lines().filter(|line| line.contains("stroke-width=\".2\"") && !line.contains("#d9d9d9")).collect()
    }

    /// 16 of 255: colorgrad draws the map through nine of its colours.
    fn assert_colour(found: [i32; 3], expected: [i32; 3]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 16), "{found:?}, not {expected:?}");
    }

    /// Oracle: on paper. The weight's 8 entries sum to 0.8 (mean 0.1), the bias's 2 to 0.04 (mean 0.02): mean of means
    /// 0.06, mean 0.084, sum 0.84. The head's sum would be 7.
    #[test]
    fn each_panel_has_its_aggregate() {
        let own = |name: &str| match name {
            name if name.contains("attention.output.dense.weight") => 0.8,
            name if name.contains("attention.output.dense.bias") => 0.04,
            "classifier.weight" => 7.0,
            _ => 0.5,
        };
        let svg = heat_figure(&table(1, |name, _| own(name)), None).unwrap();
        let texts: Vec<String> = assert_sound(&svg).into_iter().map(|(text, _)| text).collect();
        for number in ["0.060", "0.084", "0.84"] {
            assert_eq!(texts.iter().filter(|text| *text == number).count(), 1, "{number} in {texts:?}");
        }
        assert!(!texts.iter().any(|text| text.starts_with('7')));
    }

    /// Oracle: viridis as matplotlib publishes it, at 0, 1/2 and 1: a score half way in decades has the middle colour.
    #[test]
    fn colours_are_logarithmic() {
        let means = |name: &str, numel: usize| {
            let mean = if name.contains("embeddings") {
                1e-2
            } else if name.contains("attention.output") {
                1e-4
            } else {
                1e-6
            };
            mean * numel as f64
        };
        let svg = heat_figure(&table(1, means), Some(84.0)).unwrap();
        let fills = fills(&svg);
        assert_eq!(fills.len(), 5);
        assert_colour(fills[0], [0xfd, 0xe7, 0x25]);
        assert_colour(fills[1], [0x44, 0x01, 0x54]);
        assert_colour(fills[2], [0x21, 0x91, 0x8c]);
        let numbers = ["1.0×10⁻²", "1.0×10⁻⁶", "1.0×10⁻⁴"];
        assert!(numbers.iter().all(|number| svg.contains(number)));
        // The embeddings' cell is as wide as three of a layer.
        let widths: Vec<f64> = coloured(&svg).into_iter().map(|cell| attribute(cell, "width")).collect();
        assert!((widths[0] - 3.0 * widths[1]).abs() < 0.05, "{widths:?}");
    }

    /// Oracle: the renderer's layout, for shallow and deep models on narrow and wide sheets; the same bytes twice.
    #[test]
    fn texts_keep_apart() {
        for layers in [0, 1, 2, 12, 24, 101] {
            for width in [Some(70.0), Some(84.0), Some(125.0), None, Some(400.0)] {
                let table = table(layers, |name, _| 1e-9 * name.len() as f64);
                let svg = heat_figure(&table, width).unwrap();
                assert!(assert_sound(&svg).len() > 4 + layers);
                assert_eq!(svg, heat_figure(&table, width).unwrap());
            }
        }
        for width in [10.0, f64::NAN, f64::INFINITY, 1e9] {
            let refused = heat_figure(&table(2, |_, _| 1.0), Some(width)).unwrap_err();
            assert!(refused.to_string().contains("width_mm"), "{refused}");
        }
    }

    /// Scores of 0 and missing tensors have no colour and are explained; extremes give a figure.
    #[test]
    fn nothing_is_never_coloured_as_a_small_score() {
        let mut some = table(2, |name, _| if name.contains("attention.output") { 0.0 } else { 1.0 });
        let columns: Vec<String> = some.layout.columns().iter().map(|tensor| tensor.name.clone()).collect();
        let kept = |name: &str| !name.contains("layer.1.output");
        some.sums =
            some.sums.iter().zip(&columns).filter(|(_, name)| kept(name)).map(|(sum, _)| *sum).collect();
        some.layout = some.layout.only(|tensor| kept(&tensor.name));
        let svg = heat_figure(&some, Some(84.0)).unwrap();
        // The embeddings; of each layer two sites and intermediate, less the missing one.
        assert_eq!(fills(&svg).len(), 1 + 3 + 2);
        assert!(svg.contains(">score 0<") && svg.contains("no such tensor"));
        for all in [0.0, 1e-300, 1e300] {
            let svg = heat_figure(&table(2, |_, _| all), None).unwrap();
            assert_sound(&svg);
            assert_eq!(fills(&svg).is_empty(), all == 0.0);
            assert!(!svg.contains("no such tensor"));
        }
    }

    #[test]
    fn bad_tables_are_refused_by_file_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("F.csv");
        let header = "name,site,block,numel,mean,mean_se,sum,max\n";
        let row = |name: &str, numel: &str, sum: &str| {
            let site = if name == "classifier.weight" { "head" } else { "embeddings" };
            format!("{name},{site},b,{numel},1,0,{sum},1\n")
        };
        let (word, good) =
            ("bert.embeddings.word_embeddings.weight", row("bert.embeddings.LayerNorm.bias", "4", "0.5"));
        std::fs::write(&path, format!("{header}{good}")).unwrap();
        assert_eq!(FisherTable::read(&path).unwrap().sums, [0.5]);
        assert_eq!([header, "draw,fraction,"].map(crate::figures::tests::named), [Some("fisher"), None]);
        for (rows, field) in [
            (row(word, "0", "1"), "`numel`"),
            (row(word, "-3", "1"), "`row`"),
            (row(word, "4", "NaN"), "`sum`"),
            (row(word, "4", "-1"), "`sum`"),
            (row(word, "4", "x"), "`row`"),
            (good.clone() + &good, "`name`"),
            (row("classifier.weight", "4", "1"), "`name`"),
            (String::new(), "`name`"),
        ] {
            std::fs::write(&path, format!("{header}{rows}")).unwrap();
            let message = FisherTable::read(&path).unwrap_err().to_string();
            assert!(
                message.contains("F.csv") && message.contains(field) && message.contains("fix"),
                "{message}"
            );
        }
    }
}
