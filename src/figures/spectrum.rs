//! Spectral densities of a Hessian or Fisher matrix as SVG: density on a logarithmic axis against the eigenvalue, and
//! the leading eigenvalues one by one at the foot.
//!
//! Almost all eigenvalues of a network lie in a bulk about 0, a few far away: where the bulk is narrow a second panel
//! shows it alone, on its own scale. Both axes of eigenvalues are linear. The densities of several models lie over one
//! another; bands are ± a standard deviation over the probes.
//!
//! The trap: a density made of few probes has a floor of its own and kernels that reach below it. What is below
//! `FLOOR` of the highest density is not drawn, which the key says.
//!
//! Takes [`Spectrum`], the table `curve,eigenvalue,density,density_sd`.

use std::path::{Path, PathBuf};

use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Anchor, Canvas, PT_PER_MM, Point, path_data};
use crate::draw::curves::{self, CURVES, GREY, solid};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::numbers::significant;
use crate::draw::text::{self, SMALL, TEXT};
use crate::error::{Error, Result};
use crate::tables::sharpness::SpectrumRow;
use crate::tables::{self, Table};

/// Part of the highest density below which nothing is drawn: one eigenvalue among 10⁸ is above it.
const FLOOR: f64 = 1e-10;
/// Part of the density that is the bulk; it has a panel where it takes up no more than this part of the axis.
const BULK: f64 = 0.99;
const NARROW: f64 = 0.4;
/// Height of a panel for each unit of its width, and its most, pt.
const ASPECT: f64 = 0.5;
const HIGHEST: f64 = 140.0;
/// Height of a curve's row of eigenvalues, and of a tick, pt.
const ROW: f64 = 6.0;
const TICK: f64 = 4.0;
/// Above and below a panel, pt.
const GAP: f64 = 5.0;

/// For readers of the file.
const DESCRIPTION: &str = "Density of eigenvalues on a logarithmic axis against the eigenvalue; bands are the density ± \
                           its standard deviation over probes, ticks at the foot single leading eigenvalues.";

/// The eigenvalues of one model.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// Ascending.
    grid: Vec<f64>,
    density: Vec<f64>,
    /// NaN where unknown.
    sd: Vec<f64>,
    /// Single eigenvalues.
    leading: Vec<f64>,
}

impl Spectrum {
    /// Reads rows of curve `density`, on an ascending grid, and of curve `eigenvalue`, one leading eigenvalue each.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns or curves, fewer than two points of the density, a grid that does not ascend,
    /// a density that is negative, not finite or 0 everywhere.
    pub fn read(path: &Path) -> Result<Spectrum> {
        let wrong = |field: &str, expected: &str, found: String| {
            Error::field(path.display(), field, expected, found, SpectrumRow::FIX)
        };
        let mut read =
            Spectrum { grid: Vec::new(), density: Vec::new(), sd: Vec::new(), leading: Vec::new() };
        for row in tables::read::<SpectrumRow>(path)? {
            if !drawable(row.eigenvalue) {
                return Err(wrong("eigenvalue", "a finite number", row.eigenvalue.to_string()));
            }
            match (row.curve.as_str(), row.density) {
                ("density", Some(density)) if drawable(density) && density >= 0.0 => {
                    read.grid.push(row.eigenvalue);
                    read.density.push(density);
                    read.sd.push(row.density_sd.unwrap_or(f64::NAN));
                }
                ("density", density) => {
                    let found = density.map_or("nothing".to_owned(), |v| v.to_string());
                    return Err(wrong("density", "finite and not negative", found));
                }
                ("eigenvalue", _) => read.leading.push(row.eigenvalue),
                (other, _) => return Err(wrong("curve", "density or eigenvalue", other.to_owned())),
            }
        }
        if read.grid.len() < 2 || !read.grid.is_sorted_by(|a, b| a < b) {
            let found = format!("{} points", read.grid.len());
            return Err(wrong("density", "given at two or more ascending eigenvalues", found));
        }
        if !(read.mass() > 0.0 && read.mass().is_finite()) {
            return Err(wrong("density", "above 0 somewhere", format!("a total of {}", read.mass())));
        }
        Ok(read)
    }

    fn highest(&self) -> f64 {
        self.density.iter().copied().fold(0.0, f64::max)
    }

    /// Integral of the density up to each point of the grid.
    fn cumulated(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let pieces = self.grid.windows(2).zip(self.density.windows(2));
        let pieces = pieces.map(|(x, d)| {
            sum += (x[1] - x[0]) * (d[0] + d[1]) / 2.0;
            sum
        });
        std::iter::once(0.0).chain(pieces).collect()
    }

    fn mass(&self) -> f64 {
        self.cumulated().last().copied().unwrap_or(0.0)
    }

    /// The eigenvalues around the middle part of the density.
    fn bulk(&self) -> (f64, f64) {
        let (cumulated, mass) = (self.cumulated(), self.mass());
        let outside = (1.0 - BULK) / 2.0 * mass;
        // The grid points just outside.
        let first = cumulated.partition_point(|part| *part <= outside).saturating_sub(1);
        let last = cumulated.partition_point(|part| *part < mass - outside).min(self.grid.len() - 1);
        (self.grid[first], self.grid[last])
    }

    /// The eigenvalues with a density above `floor`, and the single ones.
    fn seen(&self, floor: f64) -> impl Iterator<Item = f64> + '_ {
        let above = self.grid.iter().zip(&self.density).filter(move |(_, d)| **d >= floor).map(|(x, _)| *x);
        above.chain(self.leading.iter().copied())
    }
}

/// Titled tables as SVG and in words.
pub(super) fn draw(titled: &[(String, PathBuf)], width_mm: Option<f64>) -> Result<(String, String)> {
    let read = |(title, path): &(String, PathBuf)| Ok((title.clone(), Spectrum::read(path)?));
    let read = titled.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok((spectrum_figure(&read, width_mm)?, caption(&read)))
}

/// The figure of one spectrum for each model, as SVG text, by default 84 mm wide.
///
/// The same spectra give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if there are not from 1 to 16 spectra, or if the width leaves no room.
pub fn spectrum_figure(spectra: &[(String, Spectrum)], width_mm: Option<f64>) -> Result<String> {
    if !(1..=CURVES).contains(&spectra.len()) {
        let found = spectra.len();
        return Err(Error::field("figure", "spectra", "from 1 to 16", found, "leave some out"));
    }
    let highest = spectra.iter().map(|(_, spectrum)| spectrum.highest()).fold(0.0, f64::max);
    let floor = f64::max(FLOOR * highest, 1e-290);
    let width_mm = width_mm.unwrap_or(84.0);
    let ranges = ranges(spectra, floor);
    let axes = ranges.iter().map(|(_, range)| density_axis(spectra, floor, *range));
    let mut scales: Vec<Axis> = axes.collect();
    let beside = LINE + axis::numbers_width(&scales);
    let side = frame::panel_width(width_mm, 1, 2.0 * EDGE + beside)?;
    let left = EDGE + beside;

    let height = HIGHEST.min(ASPECT * side);
    scales = scales.into_iter().map(|axis| axis.thinned_upright(height)).collect();
    let rows = spectra.iter().filter(|(_, spectrum)| !spectrum.leading.is_empty()).count();
    let foot = if rows > 0 { ROW * rows as f64 + 2.0 } else { 0.0 };
    let head = if ranges.len() > 1 { 1.35 * SMALL } else { 0.0 };
    let pitch = head + height + BELOW + GAP;
    let bottom = EDGE + pitch * ranges.len() as f64 + foot - GAP;
    let entries = entries(spectra, floor);
    let sheet = Sheet::new(width_mm * PT_PER_MM, (left, bottom + LINE), entries, SIGN);
    let canvas = &sheet.canvas;
    for (i, ((words, (low, high)), y)) in ranges.iter().zip(&scales).enumerate() {
        let x = Axis::across(*low, *high, 0.0, side);
        // The single eigenvalues are below the first panel, which has them all.
        let single = rows > 0 && i == 0;
        let top = EDGE + pitch * i as f64 + head + if i > 0 { foot } else { 0.0 };
        if head > 0.0 {
            let em = text::fitting(words, SMALL, side);
            canvas.text(words, (left, top - 0.35 * SMALL), em, Anchor::Start, 0.0, "#444");
        }
        let plot = Plot { corner: (left, top), size: (side, height), x: &x, y };
        plot.axes(canvas, !single, true);
        curves(canvas, &plot, spectra);
        if single {
            let mut bare = y.clone();
            bare.ticks.clear();
            let strip = Plot { corner: (left, top + height), size: (side, foot), x: &x, y: &bare };
            strip.axes(canvas, true, false);
            leading(canvas, &strip, spectra);
        }
        plot.words_upright(canvas, "density", EDGE);
    }
    canvas.centred("eigenvalue", (left + side / 2.0, bottom + 0.9 * TEXT), TEXT);
    Ok(sheet.finish(DESCRIPTION))
}

/// From the floor, or the lowest density above it in a range of eigenvalues, to the upper edge of the highest band.
fn density_axis(spectra: &[(String, Spectrum)], floor: f64, (first, last): (f64, f64)) -> Axis {
    let inside = |spectrum: &Spectrum| -> Vec<[f64; 2]> {
        let held = (0..spectrum.grid.len()).filter(|k| (first..=last).contains(&spectrum.grid[*k]));
        let ends = held.map(|k| [spectrum.density[k], spectrum.density[k] + spectrum.sd[k]]);
        ends.map(|ends| ends.map(|d| f64::max(d, floor))).collect()
    };
    let ends = spectra.iter().flat_map(|(_, spectrum)| inside(spectrum)).flatten();
    let (low, high) = axis::range(ends).unwrap_or((floor, 1.0)); // the range was made of them
    Axis::logarithmic(low, high, 6)
}

/// All eigenvalues and, where it is much narrower, their bulk.
fn ranges(spectra: &[(String, Spectrum)], floor: f64) -> Vec<(String, (f64, f64))> {
    let seen = spectra.iter().flat_map(|(_, spectrum)| spectrum.seen(floor));
    let all = axis::range(seen).unwrap_or((0.0, 1.0)); // each density is above 0 somewhere
    let ends = spectra.iter().map(|(_, spectrum)| spectrum.bulk()).flat_map(|(low, high)| [low, high]);
    let bulk = axis::range(ends).unwrap_or(all);
    let bulk_words = format!("the middle {} % of the density", significant(100.0 * BULK, 3));
    let mut ranges = vec![("all eigenvalues".to_owned(), all)];
    if bulk.1 - bulk.0 < NARROW * (all.1 - all.0) {
        ranges.push((bulk_words, bulk));
    }
    ranges
}

/// Densities inside the frame, bands below lines.
fn curves(canvas: &Canvas, plot: &Plot, spectra: &[(String, Spectrum)]) {
    // What is 0 has no logarithm: it lies far below the frame.
    let placed = |d: f64| f64::max(d, 1e-299);
    let inside = |spectrum: &Spectrum| {
        let first = spectrum.grid.partition_point(|x| *x < plot.x.low);
        first..spectrum.grid.partition_point(|x| *x <= plot.x.high)
    };
    for (i, (_, spectrum)) in spectra.iter().enumerate() {
        let edge = |k: usize| {
            let (d, sd) = (spectrum.density[k], spectrum.sd[k]);
            (spectrum.grid[k], placed(d - sd), d + sd)
        };
        let known: Vec<usize> = inside(spectrum).filter(|k| drawable(spectrum.sd[*k])).collect();
        let edges: Vec<(f64, f64, f64)> = known.into_iter().map(edge).collect();
        if edges.len() > 1 {
            plot.band(canvas, &edges, curves::colour(i));
        }
    }
    for (i, (_, spectrum)) in spectra.iter().enumerate() {
        let points: Vec<Point> =
            inside(spectrum).map(|k| (spectrum.grid[k], placed(spectrum.density[k]))).collect();
        plot.pieces(&points).iter().for_each(|piece| solid(canvas, piece, curves::colour(i)));
    }
}

/// A row of ticks for each model that has single eigenvalues.
fn leading(canvas: &Canvas, strip: &Plot, spectra: &[(String, Spectrum)]) {
    let with = spectra.iter().enumerate().filter(|(_, (_, spectrum))| !spectrum.leading.is_empty());
    for (row, (i, (_, spectrum))) in with.enumerate() {
        let y = strip.corner.1 + 1.0 + ROW * (row as f64 + 0.5);
        let inside = spectrum.leading.iter().filter(|v| strip.x.holds(**v));
        inside.for_each(|v| tick(canvas, (strip.at(*v, 0.0).0, y), curves::colour(i)));
    }
}

fn tick(canvas: &Canvas, (x, y): Point, colour: &str) {
    let ends = [(x, y - TICK / 2.0), (x, y + TICK / 2.0)];
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\".8\""));
}

/// What the signs mean, only those that occur.
fn entries(spectra: &[(String, Spectrum)], floor: f64) -> Vec<Entry<'static>> {
    let line =
        |(i, (name, _)): (usize, &(String, Spectrum))| Entry::line(solid, curves::colour(i), name.as_str());
    let mut entries: Vec<Entry> = spectra.iter().enumerate().map(line).collect();
    if spectra.iter().any(|(_, spectrum)| spectrum.sd.iter().any(|sd| drawable(*sd))) {
        let words = "± standard deviation over the probes";
        entries.push(Entry::band(words));
    }
    if spectra.iter().any(|(_, spectrum)| !spectrum.leading.is_empty()) {
        entries.push(Entry::new(|canvas, at| tick(canvas, at, GREY), "a leading eigenvalue"));
    }
    if spectra.iter().any(|(_, spectrum)| spectrum.density.iter().any(|d| *d < floor)) {
        entries.push(Entry::note(format!("densities below {} are not drawn", significant(floor, 2))));
    }
    entries
}

/// The figure in words for a paper: what is drawn and the numbers of each model.
pub fn caption(spectra: &[(String, Spectrum)]) -> String {
    let mut out = "Density of eigenvalues, on a logarithmic axis, against the eigenvalue.".to_owned();
    for (name, spectrum) in spectra {
        let (low, high) = spectrum.bulk();
        let [low, high] = [low, high].map(|v| significant(v, 3));
        let percent = significant(100.0 * BULK, 3);
        out += &format!(" {name}: {percent} % of the density lies between {low} and {high}");
        if let Some((least, most)) = axis::range(spectrum.leading.iter().copied()) {
            let (n, least, most) = (spectrum.leading.len(), significant(least, 4), significant(most, 4));
            out += &format!("; {n} leading eigenvalues from {least} to {most}");
        }
        out.push('.');
    }
    if spectra.iter().any(|(_, spectrum)| spectrum.sd.iter().any(|sd| drawable(*sd))) {
        out += " Bands are the density ± its standard deviation over the probes.";
    }
    if spectra.iter().any(|(_, spectrum)| !spectrum.leading.is_empty()) {
        out += " Ticks at the foot are single leading eigenvalues.";
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    /// A normal bulk of width `sd` about 0 and a small peak at `outlier`.
    fn spectrum(sd: f64, outlier: f64, leading: &[f64]) -> Spectrum {
        let grid: Vec<f64> = (-200..=1200).map(|i| f64::from(i) / 1000.0 * outlier).collect();
        let normal = |x: f64, sd: f64| (-0.5 * (x / sd).powi(2)).exp() / (sd * std::f64::consts::TAU.sqrt());
        let density: Vec<f64> =
            grid.iter().map(|x| normal(*x, sd) + 1e-6 * normal(x - outlier, 0.02 * outlier)).collect();
        let sd = density.iter().map(|d| 0.2 * d).collect();
        Spectrum { grid, density, sd, leading: leading.to_vec() }
    }

    fn named(spectra: Vec<Spectrum>) -> Vec<(String, Spectrum)> {
        spectra.into_iter().enumerate().map(|(i, spectrum)| (format!("model {i}"), spectrum)).collect()
    }

    /// Oracle: the normal distribution: 99 % lie within 2.5758 standard deviations. The grid has steps of 0.1.
    #[test]
    fn the_bulk_holds_its_part_of_a_normal_density() {
        let (low, high) = spectrum(2.0, 100.0, &[]).bulk();
        assert!((high - 2.5758 * 2.0).abs() < 0.15 && (low + 2.5758 * 2.0).abs() < 0.15, "{low} {high}");
    }

    /// Oracle: the axis' own numbers. The tick of the eigenvalue 0 stands over the number 0, and
    /// no curve begins below its frame.
    #[test]
    fn eigenvalues_and_densities_stand_at_their_numbers() {
        let svg = spectrum_figure(&named(vec![spectrum(2.0, 100.0, &[0.0])]), None).unwrap();
        let texts = assert_sound(&svg);
        let number = texts.iter().find(|(text, _)| text == "0").unwrap().1;
        let tick = svg.lines().find(|line| line.contains("stroke=\"#0072b2\" stroke-width=\".8\"")).unwrap();
        let x: f64 = tick.split_once("d=\"M").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
        assert!(((number[0] + number[2]) / 2.0 - x).abs() < 0.5, "{number:?} {x}");
        for words in
            ["all eigenvalues", "the middle 99 % of the density", "a leading eigenvalue", "are not drawn"]
        {
            assert!(svg.contains(words), "{words}");
        }
        // All curves lie inside their frames.
        let frames: Vec<&str> =
            svg.lines().filter(|l| l.starts_with("<rect") && l.contains("fill=\"none\"")).collect();
        assert_eq!(frames.len(), 3);
        let bottom = attribute(frames[0], "y") + attribute(frames[0], "height");
        let line = svg.lines().find(|line| line.contains("stroke-width=\"1.1\"")).unwrap();
        let start: f64 =
            line.split_once("d=\"M").unwrap().1.split(['l', ' ']).nth(1).unwrap().parse().unwrap();
        assert!(start <= bottom - 4.0 + 0.01, "{start} {bottom}");
    }

    /// Oracle: the renderer's layout, from one model to 16, at both widths, and for densities that are 0 almost
    /// everywhere, flat, or tiny; the same bytes twice.
    #[test]
    fn texts_keep_apart() {
        for (models, leading) in [(1, vec![]), (2, vec![-3.0, 20.0, 55.0, 56.0, 100.0]), (16, vec![1e3])] {
            let all: Vec<Spectrum> =
                (0..models).map(|i| spectrum(1.0 + f64::from(i), 100.0, &leading)).collect();
            for width in [None, Some(174.0), Some(40.0)] {
                let svg = spectrum_figure(&named(all.clone()), width).unwrap();
                assert_sound(&svg);
                assert_eq!(svg, spectrum_figure(&named(all.clone()), width).unwrap());
            }
        }
        let grid: Vec<f64> = (0..50).map(f64::from).collect();
        for density in
            [vec![2.0; 50], [vec![0.0; 25], vec![1e-200], vec![0.0; 24]].concat(), vec![1e-299; 50]]
        {
            let sd = vec![f64::NAN; 50];
            assert_sound(
                &spectrum_figure(
                    &named(vec![Spectrum { grid: grid.clone(), density, sd, leading: vec![] }]),
                    None,
                )
                .unwrap(),
            );
        }
        assert!(spectrum_figure(&[], None).unwrap_err().to_string().contains("from 1 to 16"));
    }

    #[test]
    fn spectra_are_read_and_bad_ones_refused_by_file_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("density.csv");
        let read = |rows: &str| {
            std::fs::write(&path, format!("curve,eigenvalue,density,density_sd\n{rows}")).unwrap();
            Spectrum::read(&path)
        };
        let good = read("density,-1,0.5,0.1\neigenvalue,12.5,,\ndensity,0,2,\n").unwrap();
        assert_eq!((good.grid, good.density, good.leading), (vec![-1.0, 0.0], vec![0.5, 2.0], vec![12.5]));
        assert!(good.sd[0] == 0.1 && good.sd[1].is_nan());
        for (rows, field) in [
            ("", "`density`"),
            ("density,0,1,\ndensity,0,1,\n", "`density`"),
            ("density,0,-1,\ndensity,1,1,\n", "`density`"),
            ("density,0,,\ndensity,1,1,\n", "`density`"),
            ("density,0,0,\ndensity,1,0,\n", "`density`"),
            ("density,inf,0,\n", "`eigenvalue`"),
            ("ritz,0,0,\n", "`curve`"),
            ("density,x,0,\n", "`row`"),
        ] {
            let message = read(rows).unwrap_err().to_string();
            assert!(message.contains("density.csv: ") && message.contains(field), "{message}");
        }
    }
}
