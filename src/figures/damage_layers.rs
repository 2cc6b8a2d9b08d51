//! Whether Fisher scores tell what damage to a layer costs, as SVG: measured rise of the loss against each predictor.
//!
//! A panel for each way of making one score of a site's tensors and for the second-order prediction ½ Σ F d², with
//! Spearman's ρ and its interval in the title; then the Hessian's diagonal against Fisher by bins of parameters, on the
//! line y = x if both were the same; then the rise when the parameters of the largest, smallest or random scores are
//! perturbed, with its prediction. Colours are kinds of site and of masks, which the colour-blind can distinguish; shapes too.
//!
//! The trap: a measured rise may be negative: noise about 0, or damage that helps. A logarithmic axis leaves those out
//! and counts them; where it would lose more than a tenth, the axis is linear about 0 instead and shows all.
//!
//! Takes [`Damage`], the `layers.csv` of `damage`, with `correlations.csv`, `bins.csv` and `perturbed.csv` beside it;
//! what is missing is left out.

use std::path::Path;

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point, short};
use crate::draw::curves::{self, GREY, colour, dashed, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::panels::{Panel, PerRow, Span, counted, identity, interval, sheet, stretched};
use crate::error::{Error, Result};
use crate::figures::parts::sites;
use crate::fisher::layers::Granularity;
use crate::tables::damage::{BinRow, CorrelationRow, LayerRow, PerturbedRow};
use crate::tables::{self, Table};

/// Colours and markers of the masks, after those of the sites.
const MASKS: [(&str, &str, usize); 3] = [
    ("top", "largest scores perturbed", 4),
    ("random", "random parameters perturbed", 5),
    ("bottom", "smallest scores perturbed", 6),
];
/// What is this factor beyond all marks on a logarithmic axis runs out of the frame rather than stretching it: bars, and
/// predictions.
const BARS: f64 = 2.0;
const LEVELS: f64 = 100.0;

/// For readers of the file.
const DESCRIPTION: &str = "Measured rise of the loss when one site is perturbed against Fisher scores and the \
                           second-order prediction, the Hessian diagonal against Fisher information by bins of \
                           parameters, and the rise by mask.";

/// A predictor's column, its title, its axis.
type Predictor = (&'static str, &'static str, &'static str, fn(&LayerRow) -> f64);

const PREDICTORS: [Predictor; 4] = [
    ("mean_of_means", "mean of tensor means", "Fisher score", |layer| layer.mean_of_means),
    ("mean", "mean over parameters", "Fisher score", |layer| layer.mean),
    ("sum", "sum over parameters", "Fisher score", |layer| layer.sum),
    ("predicted", "second-order prediction", "predicted rise (nats)", |layer| layer.predicted),
];

/// Sites and what was measured of them.
#[derive(Clone, Debug)]
pub struct Damage {
    sites: Vec<LayerRow>,
    correlations: Vec<CorrelationRow>,
    perturbed: Vec<PerturbedRow>,
    bins: Vec<BinRow>,
}

impl Damage {
    /// Reads `layers.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no site, a name that is no site, or a mask that is not one.
    pub fn read(path: &Path) -> Result<Damage> {
        let mut sites: Vec<LayerRow> = tables::read(path)?;
        sites.retain(|layer| layer.granularity == Granularity::Site);
        if sites.is_empty() {
            return Err(Error::field(
                path.display(),
                "granularity",
                "`site` in some row",
                "none",
                LayerRow::FIX,
            ));
        }
        if let Some(layer) = sites.iter().find(|layer| sites::kind(&layer.name).is_none()) {
            return Err(Error::field(path.display(), "name", "a dropout site", &layer.name, LayerRow::FIX));
        }
        Ok(Damage {
            sites,
            correlations: tables::read_beside(path)?,
            perturbed: tables::read_beside(path)?,
            bins: tables::read_beside(path)?,
        })
    }

    /// `ρ = 0.82 [0.61, 0.93]` of a predictor with the rise, where it is known.
    fn correlation(&self, predictor: &str) -> Option<String> {
        let own = |row: &&CorrelationRow| {
            (row.granularity, row.predictor.as_str(), row.outcome.as_str())
                == (Granularity::Site, predictor, "rise")
        };
        let row = self.correlations.iter().find(own)?;
        let number = |v: f64| format!("{v:.2}").replace('-', "−");
        let Some(rho) = row.spearman else { return Some("ρ is not defined".to_owned()) };
        let ends = row.spearman_low.zip(row.spearman_high);
        let ends = ends.map(|(low, high)| format!(" [{}, {}]", number(low), number(high)));
        Some(format!("ρ = {}{}", number(rho), ends.unwrap_or_default()))
    }
}

/// A value with the ends of its bar, for [`spans`].
#[derive(Clone, Copy)]
struct Mark {
    x: f64,
    y: f64,
    se: Option<f64>,
    style: usize,
}

impl Mark {
    fn ends(&self) -> Option<(f64, f64)> {
        self.se.filter(|se| drawable(*se)).map(|se| (self.y - se, self.y + se))
    }
}

/// Axes suited to some marks, and the marks that have a place on them.
struct Scatter {
    spans: Option<(Span, Span)>,
    shown: Vec<Mark>,
    lost: usize,
}

impl Scatter {
    fn new(marks: Vec<Mark>, levels: &[f64]) -> Scatter {
        let spans = spans(&marks, levels);
        let has_place =
            |mark: &&Mark| spans.as_ref().is_some_and(|(x, y)| x.shows(mark.x) && y.shows(mark.y));
        let shown: Vec<Mark> = marks.iter().filter(has_place).copied().collect();
        Scatter { lost: marks.len() - shown.len(), spans, shown }
    }
}

/// Axes suited to some marks, the across one always logarithmic. `levels` are further values upright, of which the axis
/// holds those that are not too far.
fn spans(marks: &[Mark], levels: &[f64]) -> Option<(Span, Span)> {
    let values: Vec<f64> = marks.iter().map(|mark| mark.y).collect();
    let y = Span::suited(&values)?;
    let bars = marks.iter().filter_map(Mark::ends).flat_map(|(low, high)| [low, high]);
    let all = bars.map(|v| (v, BARS)).chain(levels.iter().map(|v| (*v, LEVELS)));
    // From end to end of what is near, or on a linear axis of everything.
    let wider = |low: f64, high: f64| {
        let is_near = |&(v, factor): &(f64, f64)| {
            !matches!(y, Span::Logarithmic(..)) || (low / factor..=high * factor).contains(&v)
        };
        axis::range(all.clone().filter(is_near).map(|(v, _)| v).chain([low, high])).unwrap_or((low, high))
    };
    let y = match y {
        Span::Linear(low, high) => Span::Linear(wider(low, high).0, wider(low, high).1),
        Span::Logarithmic(low, high) => Span::Logarithmic(wider(low, high).0, wider(low, high).1),
        Span::Symmetric(low, high, near) => Span::Symmetric(wider(low, high).0, wider(low, high).1, near),
        ticks @ (Span::At(_) | Span::LinearAt(_) | Span::Names(_)) => ticks,
    };
    let x = Span::logarithmic(marks.iter().filter(|mark| y.shows(mark.y)).map(|mark| mark.x));
    x.map(|x| (x, y))
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Damage::read(path)?;
    Ok((damage_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn damage_figure(read: &Damage, width_mm: Option<f64>) -> Result<String> {
    let mut panels: Vec<Panel> = PREDICTORS.iter().map(|predictor| scatter(read, predictor)).collect();
    if !read.bins.is_empty() {
        panels.push(hessian(read));
    }
    if !read.perturbed.is_empty() {
        panels.push(masks(read));
    }
    // Four are a square.
    let wide = if panels.len() == 4 { 2 } else { 3 };
    sheet(&panels, PerRow { wide, narrow: 2 }, width_mm.unwrap_or(174.0), entries(read, &panels), DESCRIPTION)
}

fn scatter<'a>(read: &'a Damage, &(column, title, across, value): &'a Predictor) -> Panel<'a> {
    let mark = |layer: &LayerRow| Mark {
        x: value(layer),
        y: layer.rise,
        se: Some(layer.rise_se),
        style: sites::kind(&layer.name).unwrap_or(0),
    };
    let Scatter { spans, shown, lost } = Scatter::new(read.sites.iter().map(mark).collect(), &[]);
    let rho = read.correlation(column);
    Panel {
        title: title.to_owned(),
        notes: rho.into_iter().chain(lost_words(lost, "site")).collect(),
        spans,
        words: (across, "rise (nats)"),
        draw: Box::new(move |canvas, plot| {
            if column == "predicted" {
                identity(canvas, plot);
            }
            zero(canvas, plot);
            scattered(canvas, plot, &shown);
        }),
    }
}

fn lost_words(lost: usize, one: &str) -> Option<String> {
    (lost > 0).then(|| format!("not shown: {}", counted(lost, one)))
}

/// The level of no change, where it is on the axis.
fn zero(canvas: &Canvas, plot: &Plot) {
    if plot.y.low < 0.0 && plot.y.holds(0.0) {
        let look = "stroke=\"#999\" stroke-width=\".6\"";
        canvas.path(&crate::draw::canvas::path_data(&plot.across(0.0), false), look);
    }
}

/// Bars below markers.
fn scattered(canvas: &Canvas, plot: &Plot, marks: &[Mark]) {
    for mark in marks {
        if let Some(ends) = mark.ends() {
            interval(canvas, plot, mark.x, ends, colour(mark.style));
        }
    }
    marks.iter().for_each(|mark| curves::marker(canvas, plot.at(mark.x, mark.y), mark.style));
}

fn hessian(read: &Damage) -> Panel<'_> {
    /// Black circles: bins are no sites.
    const STYLE: usize = 6;
    let mark = |bin: &BinRow| Mark { x: bin.fisher, y: bin.hessian, se: bin.hessian_se, style: STYLE };
    let Scatter { spans, shown, lost } = Scatter::new(read.bins.iter().map(mark).collect(), &[]);
    Panel {
        title: "Hessian and Fisher diagonal".into(),
        notes: lost_words(lost, "bin").into_iter().collect(),
        spans,
        words: ("mean Fisher information", "mean Hessian diagonal"),
        draw: Box::new(move |canvas, plot| {
            identity(canvas, plot);
            zero(canvas, plot);
            for mark in &shown {
                if let Some(ends) = mark.ends() {
                    interval(canvas, plot, mark.x, ends, "#000");
                }
                bin_sign(canvas, plot.at(mark.x, mark.y));
            }
        }),
    }
}

fn bin_sign(canvas: &Canvas, (x, y): Point) {
    canvas.raw(&format!("<ellipse cx=\"{}\" cy=\"{}\" rx=\"1.3\" ry=\"1.3\"/>", short(x), short(y)));
}

fn masks(read: &Damage) -> Panel<'_> {
    let style = |row: &PerturbedRow| {
        MASKS.iter().find(|(mask, ..)| *mask == row.mask).map_or(0, |(_, _, style)| *style)
    };
    let mark = |row: &PerturbedRow| Mark {
        x: row.fraction,
        y: row.rise.unwrap_or(f64::NAN),
        se: row.rise_se,
        style: style(row),
    };
    let predicted: Vec<f64> = read.perturbed.iter().filter_map(|row| row.predicted).collect();
    let Scatter { spans, shown, lost } = Scatter::new(read.perturbed.iter().map(mark).collect(), &predicted);
    let is_below = |v: &&f64| spans.as_ref().is_some_and(|(_, y)| y.is_below(**v));
    let below = predicted.iter().filter(is_below).count();
    let below = (below > 0).then(|| format!("{} below", counted(below, "prediction")));
    Panel {
        title: "rise by mask".into(),
        notes: lost_words(lost, "value").into_iter().chain(below).collect(),
        spans: spans.clone(),
        words: ("fraction of parameters perturbed", "rise (nats)"),
        draw: Box::new(move |canvas, plot| {
            zero(canvas, plot);
            for (mask, _, style) in MASKS {
                let mut own: Vec<&PerturbedRow> =
                    read.perturbed.iter().filter(|row| row.mask == mask).collect();
                own.sort_by(|a, b| a.fraction.total_cmp(&b.fraction));
                let points = |value: fn(&PerturbedRow) -> Option<f64>| -> Vec<Point> {
                    let has_place = |v: &f64| spans.as_ref().is_some_and(|(_, y)| y.shows(*v));
                    let value = |row: &PerturbedRow| value(row).filter(has_place).unwrap_or(f64::NAN);
                    own.iter().map(|row| (row.fraction, value(row))).collect()
                };
                for piece in plot.pieces(&points(|row| row.predicted)) {
                    dashed(canvas, &stretched(piece), colour(style));
                }
                plot.pieces(&points(|row| row.rise))
                    .iter()
                    .for_each(|piece| solid(canvas, piece, colour(style)));
            }
            scattered(canvas, plot, &shown);
        }),
    }
}

fn entries(read: &Damage, panels: &[Panel]) -> Vec<Entry<'static>> {
    let names: Vec<&str> = read.sites.iter().map(|layer| layer.name.as_str()).collect();
    let mut entries = sites::kinds(&names);
    if !read.bins.is_empty() {
        entries.push(Entry::new(bin_sign, "bins of parameters"));
    }
    for (mask, words, style) in MASKS {
        if read.perturbed.iter().any(|row| row.mask == mask) {
            entries.push(Entry::curve(style, words));
        }
    }
    if read.perturbed.iter().any(|row| row.predicted.is_some()) {
        entries.push(Entry::line(dashed, GREY, "second-order prediction"));
    }
    entries.push(Entry::interval("± standard error"));
    entries.push(Entry::level("y = x"));
    let lost = panels.iter().any(|panel| panel.notes.iter().any(|note| note.contains("not shown")));
    if lost {
        entries.push(Entry::note("not shown: not above 0, on a logarithmic axis"));
    }
    entries
}

/// The figure in words for a paper: what is drawn, of how many sites, and the correlations.
pub fn caption(read: &Damage) -> String {
    let n = read.sites.len();
    let mut out = format!(
        "Measured rise of the loss when one dropout site’s parameters are perturbed against the site’s Fisher score, \
         made by three aggregates, and against the second-order prediction ½ Σ F d²; {}. Bars are ± standard errors.",
        counted(n, "site")
    );
    for (column, title, ..) in PREDICTORS {
        if let Some(rho) = read.correlation(column) {
            out += &format!(" {}: Spearman’s {rho}.", title[..1].to_uppercase() + &title[1..]);
        }
    }
    if !read.correlations.is_empty() {
        out += " Brackets are 95 % intervals.";
    }
    let below = read.sites.iter().filter(|layer| layer.rise.is_nan() || layer.rise <= 0.0).count();
    if below > 0 {
        out += &format!(
            " Of the sites {below} of {n} show no rise above 0; where an axis is logarithmic, they are not shown."
        );
    }
    if !read.bins.is_empty() {
        out += &format!(
            " Hessian and Fisher diagonal: means over {} of parameters by Fisher score; dotted: both equal.",
            counted(read.bins.len(), "bin")
        );
    }
    if !read.perturbed.is_empty() {
        out += " Rise by mask: when the parameters of the largest, the smallest or random scores are perturbed; dashed: \
                the second-order prediction.";
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::dropout::Place;
    use crate::files;
    use crate::model::architectures::bert;

    const HEADER: &str =
        "granularity,name,parameters,mean_of_means,mean,sum,predicted,hessian,hessian_se,rise,rise_se\n";

    /// Sites of a BERT whose rise is `rise(k)`, scores 10^k / 10^4.
    fn layers(layers: usize, rise: impl Fn(usize) -> f64) -> String {
        let row = |(k, site): (usize, Place)| {
            let score = 10f64.powf(k as f64 / 10.0 - 4.0);
            format!(
                "site,{site},10,{score},{score},{score},{score},1,0.1,{},{}\n",
                rise(k),
                rise(k).abs() / 5.0
            )
        };
        HEADER.to_owned() + &bert::sites(layers).into_iter().enumerate().map(row).collect::<String>()
    }

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            files::write(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        let path = folder.path().join("layers.csv");
        (folder, path)
    }

    const CORRELATIONS: &str = "granularity,predictor,outcome,layers,spearman,spearman_low,spearman_high\n\
                                site,mean,rise,13,0.825,0.61,0.934\nsite,mean,hessian,13,0.1,0,0.2\n\
                                site,sum,rise,13,-0.825,-0.934,-0.61\nsite,predicted,rise,13,,,\n";
    const PERTURBED: &str = "mask,fraction,k,effective,norm_ratio,predicted,rise,rise_se\n\
                             top,0.01,5,5,1,0.1,0.12,0.01\ntop,0.1,5,5,1,1.1,1.3,0.1\nrandom,0.01,5,5,1,0.01,0.012,0.01\n\
                             random,0.1,5,5,1,0.1,0.13,0.1\nbottom,0.01,5,5,1,0,-0.0001,0.0002\nbottom,0.1,5,5,1,0.0001,0.0003,0.0002\n";
    const BINS: &str = "bin,parameters,fisher,hessian,hessian_se\n0,10,1e-9,2e-9,1e-8\n1,10,1e-7,-1e-7,1e-8\n2,10,1e-5,2e-5,1e-6\n";

    /// Oracle: on paper. Where rise = predicted the markers stand on the line y = x: evenly both ways.
    #[test]
    fn sites_stand_at_their_place() {
        let (_folder, path) = folder(&[("layers.csv", &layers(4, |k| 10f64.powf(k as f64 / 10.0 - 4.0)))]);
        let svg = damage_figure(&Damage::read(&path).unwrap(), None).unwrap();
        let circles: Vec<Point> = svg
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| (attribute(line, "cx"), attribute(line, "cy")))
            .collect();
        // Attention probabilities of four layers in four panels, and the key.
        assert_eq!(circles.len(), 17);
        for four in circles[..16].chunks(4) {
            let (dx, dy) = (four[1].0 - four[0].0, four[1].1 - four[0].1);
            assert!((four[3].0 - four[0].0 - 3.0 * dx).abs() < 0.05, "{four:?}");
            assert!((four[3].1 - four[0].1 - 3.0 * dy).abs() < 0.05 && dy < 0.0, "{four:?}");
        }
        assert_sound(&svg);
    }

    /// Oracle: the renderer's layout, and counts on paper. One of 13 sites below 0 is left out and counted; six of them
    /// are shown instead.
    #[test]
    fn sites_without_a_rise_are_counted_or_shown() {
        for (negative, layers_, lost) in [(0, 4, 0), (1, 4, 1), (6, 4, 0), (3, 12, 3), (13, 4, 0)] {
            let rise =
                |k: usize| if k < negative { -1e-5 * (k + 1) as f64 } else { 1e-4 * 1.5f64.powi(k as i32) };
            let table = layers(layers_, rise);
            let all = [
                ("layers.csv", table.as_str()),
                ("correlations.csv", CORRELATIONS),
                ("bins.csv", BINS),
                ("perturbed.csv", PERTURBED),
            ];
            for tables in [&all[..1], &all[..]] {
                let (_folder, path) = folder(tables);
                let read = Damage::read(&path).unwrap();
                assert_eq!(tables::with_beside(&path, LayerRow::BESIDE).len(), tables.len());
                for width in [84.0, 170.0] {
                    let svg = damage_figure(&read, Some(width)).unwrap();
                    assert_sound(&svg);
                    let words = format!("not shown: {}<", counted(lost, "site"));
                    assert_eq!(svg.matches(&words).count(), if lost > 0 { 4 } else { 0 }, "{negative}");
                    assert_eq!(svg, damage_figure(&read, Some(width)).unwrap());
                }
                let caption = caption(&read);
                assert!(caption.ends_with(".\n") && caption.lines().count() == 1, "{caption}");
                assert_eq!(caption.contains("ρ = 0.82 [0.61, 0.93]"), tables.len() > 1, "{caption}");
            }
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (files, field) in [
            (&[("layers.csv", HEADER)][..], "`granularity`"),
            (&[("layers.csv", &format!("{HEADER}site,head,1,1,1,1,1,1,1,1,1\n"))], "`name`"),
            (
                &[
                    ("layers.csv", &layers(1, |_| 1.0)),
                    (
                        "perturbed.csv",
                        "mask,fraction,k,effective,norm_ratio,predicted,rise,rise_se\nsome,1,1,1,1,1,1,1\n",
                    ),
                ],
                "`mask`",
            ),
        ] {
            let (_folder, path) = folder(files);
            assert_eq!(crate::figures::tests::named(HEADER), Some("damage_layers"));
            assert!(Damage::read(&path).unwrap_err().to_string().contains(field));
        }
    }
}
