//! Which parameters the loss depends on, as SVG: its rise when those of the largest, smallest or random Fisher scores are
//! perturbed, with the prediction; and the Hessian's diagonal against Fisher by bins of parameters, on the line y = x if both
//! were the same.
//!
//! Takes [`Masks`], the `perturbed.csv` of `damage`, with `bins.csv` beside it; what is missing is left out.

use std::path::Path;

use crate::draw::canvas::{Canvas, Point, short};
use crate::draw::curves::{GREY, colour, dashed, solid};
use crate::draw::legend::Entry;
use crate::draw::panels::{Panel, PerRow, counted, identity, interval, sheet, stretched};
use crate::error::Result;
use crate::figures::parts::scatter::{LOST, Mark, Scatter, has_lost, lost_words, scattered, zero};
use crate::tables;
use crate::tables::damage::{BinRow, PerturbedRow};

/// Colours and markers of the masks, after those of the sites.
const MASKS: [(&str, &str, usize); 3] = [
    ("top", "largest scores perturbed", 4),
    ("random", "random parameters perturbed", 5),
    ("bottom", "smallest scores perturbed", 6),
];

/// For readers of the file.
const DESCRIPTION: &str = "Rise of the loss when the parameters of the largest, smallest or random Fisher scores are perturbed, and \
                           the Hessian diagonal against Fisher information by bins of parameters.";

/// What perturbing parameters cost, and the diagonals.
#[derive(Clone, Debug)]
pub struct Masks {
    perturbed: Vec<PerturbedRow>,
    bins: Vec<BinRow>,
}

impl Masks {
    /// Reads `perturbed.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Field`] for other columns, or a mask that is not one.
    pub fn read(path: &Path) -> Result<Masks> {
        Ok(Masks { perturbed: tables::read(path)?, bins: tables::read_beside(path)? })
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Masks::read(path)?;
    Ok((masks_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 129 mm wide, 84 mm for one panel.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`crate::error::Error::Field`] if the width leaves no room.
pub fn masks_figure(read: &Masks, width_mm: Option<f64>) -> Result<String> {
    let mut panels = vec![masks(read)];
    if !read.bins.is_empty() {
        panels.push(hessian(read));
    }
    let usual = if panels.len() > 1 { 129.0 } else { 84.0 };
    let columns = PerRow { wide: 2, narrow: 1 };
    sheet(&panels, columns, width_mm.unwrap_or(usual), entries(read, &panels), DESCRIPTION)
}

fn hessian(read: &Masks) -> Panel<'_> {
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

fn masks(read: &Masks) -> Panel<'_> {
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

fn entries(read: &Masks, panels: &[Panel]) -> Vec<Entry<'static>> {
    let mut entries = Vec::new();
    for (mask, words, style) in MASKS {
        if read.perturbed.iter().any(|row| row.mask == mask) {
            entries.push(Entry::curve(style, words));
        }
    }
    if read.perturbed.iter().any(|row| row.predicted.is_some()) {
        entries.push(Entry::line(dashed, GREY, "second-order prediction"));
    }
    if !read.bins.is_empty() {
        entries.push(Entry::new(bin_sign, "bins of parameters"));
        entries.push(Entry::level("y = x"));
    }
    entries.push(Entry::interval("± standard error"));
    entries.extend(has_lost(panels).then(|| Entry::note(LOST)));
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Masks) -> String {
    let mut out = "Rise of the loss when the parameters of the largest, the smallest or random Fisher scores are perturbed at the same \
                   norm; dashed: the second-order prediction ½ Σ F d². Bars are ± standard errors."
        .to_owned();
    if !read.bins.is_empty() {
        out += &format!(
            " Hessian and Fisher diagonal: means over {} of parameters by Fisher score; dotted: both equal.",
            counted(read.bins.len(), "bin")
        );
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::files;
    use crate::tables::Table;

    const HEADER: &str = "mask,fraction,k,effective,norm_ratio,predicted,rise,rise_se\n";
    const PERTURBED: &str = "top,0.01,5,5,1,0.1,0.12,0.01\ntop,0.1,5,5,1,1.1,1.3,0.1\nrandom,0.01,5,5,1,0.01,0.012,0.01\n\
                             random,0.1,5,5,1,0.1,0.13,0.1\nbottom,0.01,5,5,1,0,-0.0001,0.0002\nbottom,0.1,5,5,1,0.0001,0.0003,0.0002\n";
    const BINS: &str = "bin,parameters,fisher,hessian,hessian_se\n0,10,1e-9,2e-9,1e-8\n1,10,1e-7,-1e-7,1e-8\n2,10,1e-5,2e-5,1e-6\n";

    fn read(rows: &str, bins: Option<&str>) -> Result<Masks> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("perturbed.csv");
        files::write(&path, format!("{HEADER}{rows}").as_bytes()).unwrap();
        if let Some(bins) = bins {
            files::write(&folder.path().join("bins.csv"), bins.as_bytes()).unwrap();
        }
        let inputs = tables::with_beside(&path, PerturbedRow::BESIDE);
        assert_eq!(inputs.len(), 1 + usize::from(bins.is_some()));
        assert_eq!(crate::figures::tests::named(HEADER), Some("damage_masks"));
        Masks::read(&path)
    }

    /// Oracle: the renderer's layout; on paper: the largest scores rise ten times as far as random ones, at both fractions, so their
    /// markers stand as far above them; the value below 0 is left out of six and counted.
    #[test]
    fn masks_stand_at_their_rise() {
        for (bins, width) in [(None, None), (Some(BINS), None), (Some(BINS), Some(84.0))] {
            let read = read(PERTURBED, bins).unwrap();
            let svg = masks_figure(&read, width).unwrap();
            let texts = assert_sound(&svg);
            assert!(texts.iter().any(|(text, _)| text == "rise by mask"));
            assert_eq!(svg.contains("Hessian and Fisher diagonal"), bins.is_some());
            let caption = caption(&read);
            assert!(caption.ends_with(".\n") && caption.lines().count() == 1, "{caption}");
            assert_eq!(caption.contains("3 bins"), bins.is_some());
        }
        // Without values below 0 the axis is logarithmic.
        let (positive, _) = PERTURBED.split_once("bottom").unwrap();
        let svg = masks_figure(&read(positive, None).unwrap(), None).unwrap();
        let white = |line: &&str| line.contains("fill=\"#fff\"") && line.contains("stroke=\"#56b4e9\"");
        let top: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).filter(white).collect();
        let squares =
            svg.lines().filter(|line| line.starts_with("<rect") && line.contains("stroke=\"#e69f00\""));
        let squares: Vec<f64> =
            squares.map(|line| attribute(line, "y") + attribute(line, "height") / 2.0).collect();
        let apart = |i: usize| squares[i] - attribute(top[i], "cy");
        assert!((apart(0) - apart(1)).abs() < 0.05 && apart(0) > 5.0, "{squares:?}");
    }

    #[test]
    fn bad_tables_are_refused() {
        let message = read("some,1,1,1,1,1,1,1\n", None).unwrap_err().to_string();
        assert!(message.contains("`mask`"), "{message}");
        assert!(masks_figure(&read("", None).unwrap(), None).unwrap().contains("nothing to show"));
    }
}
