//! Drop probabilities by depth as SVG: a panel for each schedule, a curve for each kind of site.
//!
//! Below each panel, where the table has them, the scores from which the schedule was made: the site of the lowest
//! score drops most. Panels share their axes. The embeddings stand apart at the left: they are no layer. The dashed
//! line is the mean over the sites, by which schedules differ too (docs/definitions.md section 3): guided dropout at half
//! the rate of its baseline drops less as well as elsewhere.
//!
//! The trap: scores span decades, so their axis is logarithmic, and a score of 0 has no place on it: it is left out
//! and counted in the key.
//!
//! Takes [`RatesTable`], the `RATES.csv` of `schedule`; its numbers are checked by [`Rates`], as training does.

use std::path::{Path, PathBuf};

use crate::draw::axis::{self, Axis};
use crate::draw::canvas::{Canvas, PT_PER_MM, Point};
use crate::draw::curves::{self, COLOURS, dashed, solid};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::numbers::significant;
use crate::draw::text::{self, SMALL, TITLE};
use crate::dropout::rates::Row;
use crate::dropout::{LayerName, Place, Rates, Role};
use crate::error::{Error, Result};
use crate::figures::parts::sites;
use crate::{stats, tables};

/// Colour and marker of the embeddings: of all kinds the last.
const EMBEDDINGS: usize = 3;
/// The embeddings stand as far before the first layer, in layers and pt at least.
const BEFORE: (f64, f64) = (1.5, 16.0);
/// Between panels, across and upright, pt.
const GAP: f64 = 8.0;
/// Greatest height of a panel for each unit of its width.
const ASPECT: f64 = 0.62;

/// For readers of the file.
const DESCRIPTION: &str = "Drop probability of each dropout site by depth, its mean over the sites (dashed) and, \
                           where known, the score by which the sites were ranked with its standard error over \
                           examples.";

/// A schedule, and the scores it was made from.
#[derive(Clone, Debug)]
pub struct RatesTable {
    /// In the order in which the model applies them.
    layers: Vec<LayerName>,
    rates: Rates,
    /// Sites with a score and its standard error, where known.
    scores: Vec<(Place, f64, Option<f64>)>,
}

impl RatesTable {
    /// Reads the `RATES.csv` that `schedule` writes, for whatever number of layers it has.
    ///
    /// # Errors
    ///
    /// As [`Rates::read`]; and [`Error::Field`] for a score that is negative or not finite.
    pub fn read(path: &Path) -> Result<RatesTable> {
        let rows: Vec<Row> = tables::read(path)?;
        // Whatever kinds of site it has, each layer of a stack has them.
        let places: Vec<Place> = rows.iter().filter_map(|row| row.site.parse().ok()).collect();
        let layers = layers(&places, rows.len());
        let roles = |layer: LayerName| {
            let alike = |place: &Place| place.layer.is_some_and(|own| is_of_stack(own, layer));
            let places: Vec<Place> = places.iter().copied().filter(alike).collect();
            Role::ALL.into_iter().filter(move |role| places.iter().any(|place| place.role == *role))
        };
        let outside = places.contains(&Place::EMBEDDINGS).then_some(Place::EMBEDDINGS);
        let inside = layers.iter().flat_map(|layer| roles(*layer).map(|role| layer.place(role)));
        let mut sites: Vec<Place> = outside.into_iter().chain(inside).collect();
        sites.sort_by_key(|site| site.order());
        let rates = Rates::read(path, &sites)?;
        let mut scores = Vec::new();
        for row in rows {
            let (Ok(site), Some(score)) = (row.site.parse(), row.score) else { continue };
            scores.push((site, score, row.score_se.filter(|se| se.is_finite())));
        }
        Ok(RatesTable { layers, rates, scores })
    }

    /// Of the axis of layers.
    fn words(&self) -> &'static str {
        let two = self.layers.iter().any(|layer| matches!(layer, LayerName::Decoder(_)));
        if two { "layer, the encoder's first" } else { "layer" }
    }

    fn mean(&self) -> f64 {
        stats::mean(&self.rates.iter().map(|(_, p)| p).collect::<Vec<f64>>())
    }
}

/// Whether layers are numbered together.
fn is_of_stack(a: LayerName, b: LayerName) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

/// The layers that some sites are of, and those between them; of each stack at most `most`.
fn layers(places: &[Place], most: usize) -> Vec<LayerName> {
    let all = || places.iter().filter_map(|place| place.layer);
    let stack = |make: fn(usize) -> LayerName| {
        let own = all().filter(|layer| is_of_stack(*layer, make(0))).map(|layer| layer.number() + 1);
        (0..own.max().unwrap_or(0).min(most)).map(make).collect::<Vec<_>>()
    };
    let shared = all().find(|layer| *layer == LayerName::Shared);
    let stacks = [LayerName::Number, LayerName::Encoder, LayerName::Decoder].map(stack);
    shared.into_iter().chain(stacks.concat()).collect()
}

/// The figure in words for a paper: what is drawn, and the range and mean of each schedule.
pub fn caption(schedules: &[(String, RatesTable)]) -> String {
    let mut out = DESCRIPTION.to_owned();
    for (name, table) in schedules {
        let rates = table.rates.iter().map(|(_, p)| p);
        let (low, high) = axis::range(rates).unwrap_or((f64::NAN, f64::NAN));
        let [low, high, mean] = [low, high, table.mean()].map(|v| significant(v, 3));
        out += &format!(" {name}: {} layers, from {low} to {high}, mean {mean}.", table.layers.len());
    }
    out + "\n"
}

/// Titled tables as SVG and in words.
pub(super) fn draw(titled: &[(String, PathBuf)], width_mm: Option<f64>) -> Result<(String, String)> {
    let read = |(title, path): &(String, PathBuf)| Ok((title.clone(), RatesTable::read(path)?));
    let read = titled.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok((schedule_figure(&read, width_mm)?, caption(&read)))
}

/// The figure of titled schedules as SVG text: in one row up to three, then in a grid. By default 84 mm wide for one
/// column of panels, 129 for two, 174 for three.
///
/// The same schedules give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if there is no schedule, or if the width leaves no room.
pub fn schedule_figure(schedules: &[(String, RatesTable)], width_mm: Option<f64>) -> Result<String> {
    if schedules.is_empty() {
        return Err(Error::field("figure", "schedules", "at least one", "none", "give a RATES.csv"));
    }
    let layout = Layout::new(schedules, width_mm)?;
    let width = layout.width_mm * PT_PER_MM;
    let sheet = Sheet::new(width, (layout.origin.0, layout.foot), entries(schedules), SIGN);
    let canvas = &sheet.canvas;
    for (i, (title, table)) in schedules.iter().enumerate() {
        let last = i + layout.columns >= schedules.len();
        layout.panels(canvas, i, title, table, last);
    }
    Ok(sheet.finish(DESCRIPTION))
}

/// Everything's place, pt.
struct Layout {
    width_mm: f64,
    columns: usize,
    /// Upper left corner of the first panel, and the panels' width and height.
    origin: Point,
    side: (f64, f64),
    pitch: Point,
    /// Layers, probabilities and scores.
    x: Axis,
    p: Axis,
    /// Where any score is known.
    score: Option<Axis>,
    /// Upper end of the key.
    foot: f64,
}

impl Layout {
    fn new(schedules: &[(String, RatesTable)], width_mm: Option<f64>) -> Result<Layout> {
        let columns = [1, 2, 3, 2].get(schedules.len() - 1).copied().unwrap_or(3);
        let width_mm = width_mm.unwrap_or([84.0, 129.0, 174.0][columns - 1]);
        let tables = || schedules.iter().map(|(_, table)| table);
        let highest = tables().flat_map(|table| table.rates.iter()).map(|(_, p)| p).fold(0.01, f64::max);
        let p = Axis::linear(0.0, highest, 5, 0.0);
        let ends = |&(_, score, se): &(Place, f64, Option<f64>)| {
            // A bar that comes near 0 runs out of the frame rather than stretching the axis.
            let se = se.unwrap_or(0.0);
            [score, score + se, f64::max(score - se, score / 3.0)]
        };
        let scores = tables().flat_map(|table| &table.scores).flat_map(ends).filter(|&v| v > 0.0);
        let score = axis::range(scores).map(|(low, high)| Axis::logarithmic(low, high, 5));

        let left = EDGE + LINE + axis::numbers_width([&p].into_iter().chain(&score));
        let side = frame::panel_width(width_mm, columns, left + EDGE + GAP * (columns - 1) as f64)?;
        let layers = tables().map(|table| table.layers.len()).max().unwrap_or(0);
        let deepest = layers.saturating_sub(1) as f64;
        let before = f64::max(BEFORE.0, BEFORE.1 * deepest / (side - 2.0 * BEFORE.1));
        let layer = Axis::across(0.0, deepest, 1.0, side * deepest / (deepest + before));
        let x = layer.extended_down_to(-before, "emb.", side);
        let top = EDGE + 1.1 * TITLE + 3.0 + 1.35 * SMALL;
        let height = (ASPECT * side).min(110.0);
        let below = if score.is_some() { height + GAP } else { 0.0 };
        let pitch = (side + GAP, top + height + below + 4.0);
        let rows = schedules.len().div_ceil(columns);
        let foot = pitch.1 * rows as f64 - 4.0 + BELOW + LINE;
        Ok(Layout { width_mm, columns, origin: (left, top), side: (side, height), pitch, x, p, score, foot })
    }

    /// Schedule `i`: probabilities, and scores below them. `last` of its column has the numbers of the layers.
    fn panels(&self, canvas: &Canvas, i: usize, title: &str, table: &RatesTable, last: bool) {
        let (row, column) = (i / self.columns, i % self.columns);
        let (left, top) =
            (self.origin.0 + self.pitch.0 * column as f64, self.origin.1 + self.pitch.1 * row as f64);
        let middle = left + self.side.0 / 2.0;
        let (shown, em) = text::shortened(title, TITLE, self.side.0);
        canvas.centred(&shown, (middle, top - 4.0 - 1.35 * SMALL), em);
        let mean = format!("mean p: {}", significant(table.mean(), 3));
        canvas.aside(&mean, (middle, top - 4.0), SMALL);

        let plot = Plot { corner: (left, top), size: self.side, x: &self.x, y: &self.p };
        plot.axes(canvas, last && self.score.is_none(), column == 0);
        dashed(canvas, &plot.across(table.mean()), "#444");
        let rates: Vec<(Place, f64)> = table.rates.iter().collect();
        curves(canvas, &plot, &table.layers, &rates);
        if column == 0 {
            plot.words_upright(canvas, "drop probability p", EDGE);
        }
        if last && self.score.is_none() {
            plot.words_across(canvas, table.words());
        }

        let Some(axis) = &self.score else { return };
        let corner = (left, top + self.side.1 + GAP);
        let plot = Plot { corner, size: self.side, x: &self.x, y: axis };
        plot.axes(canvas, last, column == 0);
        if table.scores.is_empty() {
            let at = (middle, corner.1 + self.side.1 / 2.0);
            canvas.aside("no scores in the table", at, SMALL);
        }
        for (site, score, se) in &table.scores {
            let ends = se.map(|se| (f64::max(score - se, axis.low), score + se)).filter(|_| *score > 0.0);
            if let Some((low, high)) = ends {
                let (x, style) = place(&plot, &table.layers, *site);
                plot.band(canvas, &[(x, low, high)], COLOURS[style]);
            }
        }
        let scores: Vec<(Place, f64)> = table.scores.iter().map(|&(site, score, _)| (site, score)).collect();
        curves(canvas, &plot, &table.layers, &scores);
        if column == 0 {
            plot.words_upright(canvas, "Fisher score", EDGE);
        }
        if last {
            plot.words_across(canvas, table.words());
        }
    }
}

/// Place of a site on the axis of the layers, and its style.
fn place(plot: &Plot, layers: &[LayerName], site: Place) -> (f64, usize) {
    let kind = sites::KINDS.iter().position(|role| *role == site.role);
    let at = layers.iter().position(|layer| Some(*layer) == site.layer);
    (at.map_or(plot.x.low, |at| at as f64), kind.unwrap_or(EMBEDDINGS))
}

/// The kinds of site that layers have, each with its style.
fn kinds_of_layers() -> impl Iterator<Item = (usize, Role)> {
    sites::KINDS.into_iter().enumerate().filter(|(i, _)| *i != EMBEDDINGS)
}

/// A line for each kind of site through its layers, cut where a value is 0 on a logarithmic axis or missing, and between stacks.
fn curves(canvas: &Canvas, plot: &Plot, layers: &[LayerName], values: &[(Place, f64)]) {
    let value = |site: Place| values.iter().find(|(s, _)| *s == site).map(|&(_, v)| v);
    let point = |site: Place| {
        value(site).filter(|&v| plot.y.holds(v)).map(|v| plot.at(place(plot, layers, site).0, v))
    };
    for (i, role) in kinds_of_layers() {
        for stack in layers.chunk_by(|a, b| is_of_stack(*a, *b)) {
            let points: Vec<Option<Point>> = stack.iter().map(|layer| point(layer.place(role))).collect();
            for piece in points.split(Option::is_none) {
                solid(canvas, &piece.iter().flatten().copied().collect::<Vec<Point>>(), COLOURS[i]);
            }
        }
    }
    let mut sites: Vec<Place> = values.iter().map(|(site, _)| *site).collect();
    sites.sort_by_key(|site| site.order());
    let marks = sites.into_iter().filter_map(|site| Some((point(site)?, place(plot, layers, site).1)));
    marks.for_each(|(at, style)| curves::marker(canvas, at, style));
}

fn entries(schedules: &[(String, RatesTable)]) -> Vec<Entry<'static>> {
    let scores = || schedules.iter().flat_map(|(_, table)| &table.scores);
    let has =
        |role: Role| schedules.iter().any(|(_, table)| table.rates.iter().any(|(site, _)| site.role == role));
    let mut entries = Vec::new();
    if has(Role::Embeddings) {
        entries.push(Entry::marker(EMBEDDINGS, "embeddings"));
    }
    let kinds = kinds_of_layers().filter(|(_, role)| has(*role));
    entries.extend(kinds.map(|(i, role)| Entry::curve(i, role.long())));
    entries.push(Entry::line(dashed, "#444", "mean p"));
    if scores().any(|(_, _, se)| se.is_some()) {
        entries.push(Entry::interval("± standard error"));
    }
    let zeros = scores().filter(|(_, score, _)| *score == 0.0).count();
    if zeros > 0 {
        entries.push(Entry::note(format!("scores of 0, not shown: {zeros}")));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::dropout::rates::paper_bert_base;
    use crate::files;
    use crate::model::architectures::bert;

    /// The table of `rows` by way of its file.
    fn read(rows: &[Row]) -> Result<RatesTable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.csv");
        files::write_csv(&path, rows)?;
        assert_eq!(crate::figures::tests::named(&files::read_text(&path)?), Some("schedule"));
        RatesTable::read(&path)
    }

    /// Rows of `layers` layers with a probability and a score each, from their rank.
    fn rows(layers: usize, p: impl Fn(usize) -> f64, score: impl Fn(usize) -> Option<f64>) -> Vec<Row> {
        let row = |(rank, site): (usize, Place)| Row {
            site: site.to_string(),
            score: score(rank),
            score_se: score(rank),
            rank: Some(rank),
            p: p(rank),
        };
        bert::sites(layers).into_iter().enumerate().map(row).collect()
    }

    /// Oracle: the published schedule, 0.099 - 0.00275 k, lowest Fisher information first: attention probabilities of
    /// layers 7, 10 and 9 have k = 0, 1 and 2, and their mean rate is 0.0495.
    #[test]
    fn the_published_rates_stand_at_their_layers() {
        let table = read(&paper_bert_base()).unwrap();
        assert_eq!(table.layers.len(), 12);
        let svg = schedule_figure(&[("paper".into(), table)], None).unwrap();
        assert!(svg.contains("mean p: 0.0495"));
        let circles = svg.lines().filter(|line| line.starts_with("<circle"));
        let at: Vec<Point> = circles.map(|c| (attribute(c, "cx"), attribute(c, "cy"))).collect();
        // Twelve layers, and one in the key.
        assert_eq!(at.len(), 13);
        let (pitch, step) = (at[1].0 - at[0].0, at[10].1 - at[7].1);
        assert!((at[11].0 - at[0].0 - 11.0 * pitch).abs() < 0.1, "{at:?}");
        assert!(step > 0.0 && (at[9].1 - at[7].1 - 2.0 * step).abs() < 0.03, "{at:?}");
        // From 0.00 to 0.10 there are 0.1 / 0.00275 such steps.
        let texts = assert_sound(&svg);
        let middle = |number: &str| {
            let (_, b) = texts.iter().find(|(text, _)| text == number).unwrap();
            (b[1] + b[3]) / 2.0
        };
        let expected = step * 0.1 / 0.00275;
        assert!((middle("0.00") - middle("0.10") - expected).abs() < 0.5, "{expected}");
    }

    /// Oracle: the renderer's layout, for one and many schedules, shallow and deep, and long titles; the same bytes.
    #[test]
    fn texts_keep_apart() {
        let long = "a schedule of which the name says more than there is room for, and then some";
        for (count, layers) in [(1, 1), (1, 2), (1, 24), (2, 12), (3, 24), (4, 6), (7, 48)] {
            let table = |i: usize| {
                let score = |k: usize| i.is_multiple_of(2).then(|| 1e-7 * (k * k) as f64);
                read(&rows(layers, |k| 0.1 * k as f64 / 200.0, score)).unwrap()
            };
            let schedules: Vec<_> = (0..count).map(|i| (format!("{i} {long}"), table(i))).collect();
            let svg = schedule_figure(&schedules, None).unwrap();
            assert!(assert_sound(&svg).iter().any(|(text, _)| text == "0"), "no number at the first layer");
            assert!(svg.contains("scores of 0, not shown: "));
            assert_eq!(svg.contains("no scores in the table"), count > 1);
            assert_eq!(svg, schedule_figure(&schedules, None).unwrap());
        }
    }

    #[test]
    fn extremes_give_a_figure() {
        let all: [(f64, Option<f64>); 4] =
            [(0.0, None), (0.999, Some(0.0)), (1e-9, Some(1e-300)), (0.1, Some(1e300))];
        for (p, score) in all {
            for layers in [0, 1, 2] {
                let table = read(&rows(layers, |_| p, |_| score)).unwrap();
                assert_sound(&schedule_figure(&[(String::new(), table)], None).unwrap());
            }
        }
        assert!(schedule_figure(&[], None).unwrap_err().to_string().contains("schedules"));
        let table = read(&paper_bert_base()).unwrap();
        let refused = schedule_figure(&[(String::new(), table)], Some(20.0)).unwrap_err();
        assert!(refused.to_string().contains("width_mm"));
    }

    #[test]
    fn bad_tables_are_refused() {
        let good = || rows(2, |_| 0.1, |_| Some(1.0));
        let wrong = |change: fn(&mut Vec<Row>)| {
            let mut rows = good();
            change(&mut rows);
            read(&rows).unwrap_err().to_string()
        };
        assert!(wrong(|rows| rows[1].score = Some(-1.0)).contains("`score`"));
        assert!(wrong(|rows| rows[1].score = Some(f64::INFINITY)).contains("`score`"));
        assert!(wrong(|rows| rows[1].p = 1.0).contains("`p`"));
        assert!(wrong(|rows| rows[1].site = "layer.4000000000000.ffn_output".into()).contains("`site`"));
        assert!(wrong(|rows| drop(rows.pop())).contains("`site`"));
    }
}
