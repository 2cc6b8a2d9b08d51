//! How unequal Fisher scores are, as SVG: their histogram, their Lorenz curve, and the scores from the largest down.
//!
//! A series for each group: all parameters in black, the embeddings and the head in colours of their own, layers from
//! dark to light by depth. A group's histogram is its share of parameters per factor of ten, so that groups of
//! different sizes compare. The straight line of the Lorenz panel is equality; the Gini coefficient, twice the area
//! between it and the curve, stands in the key.
//!
//! The trap: a score of 0 has no logarithm. Such parameters are in no histogram and on no curve of ranks; they are
//! counted in the key, while the Lorenz curve has them at its left.
//!
//! Takes [`Concentration`], the `concentration.csv` of `audit`, with the `lorenz.csv`, `histogram.csv` and `sorted.csv`
//! beside it; a panel whose file is missing is left out.

use std::path::Path;

use crate::draw::axis::drawable;
use crate::draw::canvas::{Canvas, Point, path_data};
use crate::draw::colour::ColourMap;
use crate::draw::frame::Plot;
use crate::draw::legend::{Entry, stretch};
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, identity, sheet, stretched};
use crate::error::{Error, Result};
use crate::fisher::concentration::{ConcentrationRow, HistogramRow, LorenzRow, SortedRow};
use crate::tables::{self, Table};

/// Layers take this part of the colour map: its end is faint on white.
const DEEPEST: f32 = 0.86;

/// For readers of the file.
const DESCRIPTION: &str = "Concentration of Fisher scores: share of parameters per factor of ten of the score, Lorenz \
                           curves with the line of equality, and scores by their rank.";

/// The groups of parameters and their curves.
#[derive(Clone, Debug)]
pub struct Concentration {
    groups: Vec<ConcentrationRow>,
    lorenz: Vec<LorenzRow>,
    histogram: Vec<HistogramRow>,
    sorted: Vec<SortedRow>,
}

impl Concentration {
    /// Reads `concentration.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no group, no file of curves beside it, or one that has other groups.
    pub fn read(path: &Path) -> Result<Concentration> {
        let read = Concentration {
            groups: tables::read_some(path)?,
            lorenz: tables::read_beside(path)?,
            histogram: tables::read_beside(path)?,
            sorted: tables::read_beside(path)?,
        };
        let of_curves = read.lorenz.iter().map(|row| &row.group);
        let of_curves = of_curves.chain(read.histogram.iter().map(|row| &row.group));
        let mut of_curves = of_curves.chain(read.sorted.iter().map(|row| &row.group)).peekable();
        if of_curves.peek().is_none() {
            let expected = "lorenz.csv, histogram.csv or sorted.csv in the same folder";
            return Err(Error::field(path.display(), "curves", expected, "none", ConcentrationRow::FIX));
        }
        match of_curves.find(|group| read.groups.iter().all(|known| known.group != **group)) {
            Some(group) => {
                let expected = format!("one of {}", path.display());
                Err(Error::field("the other tables", "group", expected, group, ConcentrationRow::FIX))
            }
            None => Ok(read),
        }
    }

    /// Groups in the order in which they are drawn: what matters most comes last, on top.
    fn drawn(&self) -> Vec<usize> {
        let place = |group: &str| match group {
            "all" => 3,
            "head" => 2,
            "embeddings" => 1,
            _ => 0,
        };
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|&i| place(&self.groups[i].group));
        order
    }

    /// How each group is drawn.
    fn look(&self, i: usize) -> String {
        let layers: Vec<usize> = (0..self.groups.len()).filter(|&i| layer(&self.groups[i].group)).collect();
        let line = |colour: &str, width: f64, dashes: &str| {
            let dashes =
                if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
            format!(
                "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}"
            )
        };
        match self.groups[i].group.as_str() {
            "all" => line("#000", 1.5, ""),
            "embeddings" => line("#d55e00", 1.1, "4 1.4"),
            "head" => line("#cc79a7", 1.1, "4 1.2 1 1.2"),
            _ => {
                let depth = layers.iter().position(|l| *l == i).unwrap_or(0) as f32;
                let part = DEEPEST * depth / (layers.len().max(2) - 1) as f32;
                line(&ColourMap::Viridis.at(part), 0.8, "")
            }
        }
    }

    /// The histogram of one group as a line through the middles of its bins: the score and the share of the group's
    /// parameters per factor of ten. Steps of many groups would hide each other. Bins that touch are joined; outside them
    /// there is nothing.
    fn densities(&self, group: &ConcentrationRow) -> Vec<Vec<Point>> {
        let mut pieces: Vec<Vec<Point>> = Vec::new();
        let mut end = None;
        for bin in self.histogram.iter().filter(|bin| bin.group == group.group) {
            let width = bin.log10_high - bin.log10_low;
            let share = bin.parameters as f64 / group.parameters as f64 / width;
            if !drawable(share) || width <= 0.0 {
                continue;
            }
            // 1e-6: edges that were the same before they were written.
            if end.is_none_or(|end: f64| (bin.log10_low - end).abs() >= 1e-6) {
                close(&mut pieces, end);
                pieces.push(vec![(power(bin.log10_low), 0.0)]);
            }
            let middle = power((bin.log10_low + bin.log10_high) / 2.0);
            pieces.last_mut().into_iter().for_each(|piece| piece.push((middle, share)));
            end = Some(bin.log10_high);
        }
        close(&mut pieces, end);
        pieces
    }
}

/// Down to the axis where a stretch of bins ends.
fn close(pieces: &mut [Vec<Point>], end: Option<f64>) {
    if let Some((piece, end)) = pieces.last_mut().zip(end) {
        piece.push((power(end), 0.0));
    }
}

fn layer(group: &str) -> bool {
    !matches!(group, "all" | "embeddings" | "head")
}

fn power(log10: f64) -> f64 {
    10f64.powf(log10)
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Concentration::read(path)?;
    Ok((concentration_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn concentration_figure(read: &Concentration, width_mm: Option<f64>) -> Result<String> {
    let looks: Vec<String> = (0..read.groups.len()).map(|i| read.look(i)).collect();
    let mut panels = Vec::new();
    if !read.histogram.is_empty() {
        panels.push(histogram(read, &looks));
    }
    if !read.lorenz.is_empty() {
        panels.push(lorenz(read, &looks));
    }
    if !read.sorted.is_empty() {
        panels.push(sorted(read, &looks));
    }
    sheet(
        &panels,
        PerRow { wide: 3, narrow: 1 },
        width_mm.unwrap_or(174.0),
        entries(read, &looks),
        DESCRIPTION,
    )
}

fn histogram<'a>(read: &'a Concentration, looks: &'a [String]) -> Panel<'a> {
    let lines: Vec<Vec<Vec<Point>>> = read.groups.iter().map(|group| read.densities(group)).collect();
    let points = || lines.iter().flatten().flatten();
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    let x = Span::logarithmic(points().map(|point| point.0));
    Panel {
        title: "distribution of the scores".into(),
        notes: Vec::new(),
        spans: x.map(|x| (x, Span::Linear(0.0, highest))),
        words: ("Fisher score", "share per factor of 10"),
        draw: Box::new(move |canvas, plot| {
            for i in read.drawn() {
                lines[i].iter().for_each(|piece| curve(canvas, plot, piece, &looks[i]));
            }
        }),
    }
}

fn lorenz<'a>(read: &'a Concentration, looks: &'a [String]) -> Panel<'a> {
    Panel {
        title: "Lorenz curve".into(),
        notes: Vec::new(),
        spans: Some((Span::Linear(0.0, 1.0), Span::Linear(0.0, 1.0))),
        words: ("share of parameters, least first", "share of Fisher information"),
        draw: Box::new(move |canvas, plot| {
            identity(canvas, plot);
            for i in read.drawn() {
                let own = read.lorenz.iter().filter(|row| row.group == read.groups[i].group);
                let points = own.map(|row| (row.share_of_parameters, row.share_of_fisher));
                curve(canvas, plot, &points.collect::<Vec<_>>(), &looks[i]);
            }
        }),
    }
}

fn sorted<'a>(read: &'a Concentration, looks: &'a [String]) -> Panel<'a> {
    let x = Span::logarithmic(read.sorted.iter().map(|row| row.rank as f64));
    let y = Span::logarithmic(read.sorted.iter().map(|row| f64::from(row.score)));
    Panel {
        title: "scores from the largest down".into(),
        notes: Vec::new(),
        spans: x.zip(y),
        words: ("rank of the parameter", "Fisher score"),
        draw: Box::new(move |canvas, plot| {
            for i in read.drawn() {
                let own = read.sorted.iter().filter(|row| row.group == read.groups[i].group);
                let own = own.filter(|row| row.rank > 0 && row.score > 0.0);
                curve(
                    canvas,
                    plot,
                    &own.map(|row| (row.rank as f64, f64::from(row.score))).collect::<Vec<_>>(),
                    &looks[i],
                );
            }
        }),
    }
}

fn curve(canvas: &Canvas, plot: &Plot, points: &[Point], look: &str) {
    for piece in plot.pieces(points) {
        canvas.path(&path_data(&stretched(piece), false), look);
    }
}

/// The groups with their Gini coefficients, as in the table.
fn entries<'a>(read: &Concentration, looks: &'a [String]) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for (group, look) in read.groups.iter().zip(looks) {
        let gini = group.gini.map_or("undefined".to_owned(), |gini| format!("{gini:.3}"));
        let name = if group.group == "all" { "all parameters" } else { &group.group };
        let sign = move |canvas: &Canvas, at: Point| canvas.path(&path_data(&stretch(at), false), look);
        entries.push(Entry::new(sign, format!("{name}: {gini}")));
    }
    entries.push(Entry::note("numbers: Gini coefficient (0 all equal, 1 all in one)"));
    if let Some(words) = zeros(read) {
        entries.push(Entry::note(words));
    }
    entries
}

/// How many parameters have no logarithm: of all, or where that is no group, of each summed.
fn zeros(read: &Concentration) -> Option<String> {
    let all = read.groups.iter().position(|group| group.group == "all");
    let counted = all.map_or(&read.groups[..], |i| &read.groups[i..=i]);
    let zero: usize = counted.iter().map(|group| group.zero).sum();
    let of: usize = counted.iter().map(|group| group.parameters).sum();
    let shown = read.histogram.len() + read.sorted.len() > 0;
    (zero > 0 && shown).then(|| format!("score 0, on no logarithmic axis: {zero} of {of} parameters"))
}

/// The figure in words for a paper: what is seen, of how many parameters, and how concentrated their scores are.
pub fn caption(read: &Concentration) -> String {
    let mut out = "Concentration of Fisher scores over parameters.".to_owned();
    if !read.histogram.is_empty() {
        out += " Distribution of the scores: share of each group’s parameters per factor of ten.";
    }
    if !read.lorenz.is_empty() {
        out += " Lorenz curve: share of the Fisher information held by the parameters of the smallest scores; the \
                dotted line is equality.";
    }
    if !read.sorted.is_empty() {
        out += " Scores by rank: from the largest down, both axes logarithmic.";
    }
    for group in &read.groups {
        let Some(gini) = group.gini else { continue };
        if group.group != "all" && read.groups.iter().any(|group| group.group == "all") {
            continue;
        }
        let name = if group.group == "all" { "All parameters" } else { &group.group };
        out += &format!(" {name} ({}): Gini coefficient {gini:.3}", group.parameters);
        if let Some(top) = group.top_1 {
            out += &format!(", {} % of the information in the top 1 %", significant(100.0 * top, 3));
        }
        out.push('.');
    }
    let layers: Vec<f64> =
        read.groups.iter().filter(|group| layer(&group.group)).filter_map(|group| group.gini).collect();
    if let Some((low, high)) = crate::draw::axis::range(layers) {
        out += &format!(" Layers have Gini coefficients from {low:.3} to {high:.3}.");
    }
    if let Some(words) = zeros(read) {
        out += &format!(" Of a {words}.");
    }
    out + " There are no intervals: the numbers are those of one estimate.\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::files;

    const HEADER: &str = "group,parameters,zero,gini,top_0.001,top_0.01,top_0.1\n";

    fn gini(group: usize) -> f64 {
        0.5 + 0.01 * group as f64
    }

    /// A folder with `layers` layers whose Lorenz curve is x^k.
    fn folder(layers: usize, zero: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let layer = |k: usize| format!("layer.{k}");
        let names = ["all".to_owned(), "embeddings".to_owned()].into_iter().chain((0..layers).map(layer));
        let names: Vec<String> = names.chain(["head".to_owned()]).collect();
        let mut tables = [
            HEADER.to_owned(),
            "group,share_of_parameters,share_of_fisher\n".to_owned(),
            "group,log10_low,log10_high,parameters\n".to_owned(),
            "group,rank,score\n".to_owned(),
        ];
        for (i, name) in names.iter().enumerate() {
            tables[0] += &format!("{name},1000,{zero},{},0.2,0.5,0.8\n", gini(i));
            for step in 0..=20 {
                let x = f64::from(step) / 20.0;
                tables[1] += &format!("{name},{x},{}\n", x.powi(3 + i as i32));
                tables[2] += &format!("{name},{},{},{}\n", step - 20, step - 19, 50 * step);
                tables[3] += &format!("{name},{},{}\n", 2f64.powi(step), 1e-2 * 10f64.powi(-step));
            }
        }
        let paths = ["concentration.csv", "lorenz.csv", "histogram.csv", "sorted.csv"];
        for (name, text) in paths.iter().zip(&tables) {
            files::write(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        let path = folder.path().join(paths[0]);
        (folder, path)
    }

    /// Oracle: on paper. 100 of 1000 parameters in a bin of half a decade are 0.2 of them per factor of ten; bins apart
    /// are two stretches, each from 0 to 0.
    #[test]
    fn the_histogram_is_a_density() {
        let group = ConcentrationRow {
            group: "all".into(),
            parameters: 1000,
            zero: 0,
            gini: None,
            top_01: None,
            top_1: None,
            top_10: None,
        };
        let bin = |log10_low: f64, log10_high: f64, parameters: usize| HistogramRow {
            group: "all".into(),
            log10_low,
            log10_high,
            parameters,
        };
        let histogram = vec![bin(0.0, 0.5, 100), bin(0.5, 1.0, 50), bin(2.0, 3.0, 10)];
        let read = Concentration { groups: vec![group.clone()], lorenz: vec![], histogram, sorted: vec![] };
        let lines = read.densities(&group);
        let heights: Vec<Vec<f64>> = lines.iter().map(|piece| piece.iter().map(|p| p.1).collect()).collect();
        assert_eq!(heights, [vec![0.0, 0.2, 0.1, 0.0], vec![0.0, 0.01, 0.0]]);
        assert!((lines[1][2].0 - 1000.0).abs() < 1e-9 && (lines[0][1].0 - 10f64.powf(0.25)).abs() < 1e-9);
    }

    /// Oracle: the renderer's layout, at both widths and for many groups; every group is named once, with a curve in each
    /// panel.
    #[test]
    fn every_group_has_its_curves_and_its_word() {
        for (layers, zero) in [(0, 0), (4, 30), (12, 0), (24, 5)] {
            let (_folder, path) = folder(layers, zero);
            let read = Concentration::read(&path).unwrap();
            for width in [84.0, 170.0] {
                let svg = concentration_figure(&read, Some(width)).unwrap();
                let texts = assert_sound(&svg);
                for k in 0..layers {
                    let words = format!("layer.{k}: {:.3}", gini(k + 2));
                    let found = texts.iter().filter(|(text, _)| *text == words).count();
                    assert_eq!(found, 1, "{words}");
                }
                // Three panels and the key.
                assert_eq!(svg.matches("stroke-width=\"1.5\" stroke-linejoin").count(), 4);
                assert_eq!(svg.contains("score 0, on no logarithmic axis"), zero > 0);
                assert_eq!(svg, concentration_figure(&read, Some(width)).unwrap());
            }
            assert_eq!(tables::with_beside(&path, ConcentrationRow::BESIDE).len(), 4);
            assert!(caption(&read).ends_with(".\n") && caption(&read).lines().count() == 1);
        }
    }

    #[test]
    fn what_is_missing_is_left_out_or_said() {
        let (folder, path) = folder(2, 0);
        files::remove(&folder.path().join("sorted.csv")).unwrap();
        files::write(&folder.path().join("histogram.csv"), b"group,log10_low,log10_high,parameters\n")
            .unwrap();
        let svg = concentration_figure(&Concentration::read(&path).unwrap(), None).unwrap();
        assert!(svg.contains("Lorenz curve") && !svg.contains("largest down"));
        files::write(
            &folder.path().join("lorenz.csv"),
            b"group,share_of_parameters,share_of_fisher\nx,0,0\n",
        )
        .unwrap();
        assert!(Concentration::read(&path).unwrap_err().to_string().contains("`group`"));
        files::remove(&folder.path().join("lorenz.csv")).unwrap();
        assert!(Concentration::read(&path).unwrap_err().to_string().contains("`curves`"));
        files::write(&path, HEADER.as_bytes()).unwrap();
        assert!(Concentration::read(&path).unwrap_err().to_string().contains("`rows`"));
    }
}
