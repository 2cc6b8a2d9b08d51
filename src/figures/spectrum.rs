//! Spectral densities of a Hessian or Fisher matrix as SVG: density on a logarithmic axis against the eigenvalue, and
//! the leading eigenvalues one by one at the foot.
//!
//! Almost all eigenvalues of a network lie in a bulk about 0, a few far away. The densities of several models lie over one
//! another; bands are ± a standard deviation over the probes. Spectra of one title are seeds of one arm: the first one's density is
//! the thick line, the others' are thin ones, and each seed has its row of leading eigenvalues.
//!
//! The trap: leading eigenvalues differ more between seeds than between arms. One seed alone would show the opposite of another.
//!
//! The trap: a density made of few probes has a floor of its own and kernels that reach below it. What is below
//! `FLOOR` of the highest density is not drawn, which the key says.
//!
//! Takes [`Spectrum`], the table `curve,eigenvalue,density,density_sd`.

use std::path::{Path, PathBuf};

use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Canvas, PT_PER_MM, Point, path_data};
use crate::draw::curves::{self, CURVES, GREY, Look};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet, stretch};
use crate::draw::numbers::significant;
use crate::draw::text::TEXT;
use crate::error::{Error, Result};
use crate::tables::sharpness::SpectrumRow;
use crate::tables::{self, Table};

/// Part of the highest density below which nothing is drawn: one eigenvalue among 10⁸ is above it.
const FLOOR: f64 = 1e-10;
/// Part of the density that is the bulk, for the caption.
const BULK: f64 = 0.99;
/// Height of a panel for each unit of its width, and its most, pt.
const ASPECT: f64 = 0.5;
const HIGHEST: f64 = 140.0;
/// Height of a row of eigenvalues, and of a tick, pt.
const ROW: f64 = 5.0;
const TICK: f64 = 4.0;

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

/// The figure of some spectra, as SVG text, by default 84 mm wide.
///
/// The same spectra give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if there are not from 1 to 16 titles, or if the width leaves no room.
pub fn spectrum_figure(spectra: &[(String, Spectrum)], width_mm: Option<f64>) -> Result<String> {
    let titles = titles(spectra);
    if !(1..=CURVES).contains(&titles.len()) {
        let found = titles.len();
        return Err(Error::field("figure", "spectra", "from 1 to 16", found, "leave some out"));
    }
    let highest = spectra.iter().map(|(_, spectrum)| spectrum.highest()).fold(0.0, f64::max);
    let floor = f64::max(FLOOR * highest, 1e-290);
    let width_mm = width_mm.unwrap_or(84.0);
    let seen = spectra.iter().flat_map(|(_, spectrum)| spectrum.seen(floor));
    let range = axis::range(seen).unwrap_or((0.0, 1.0)); // each density is above 0 somewhere
    let y = density_axis(spectra, floor, range);
    let beside = LINE + axis::numbers_width([&y]);
    let side = frame::panel_width(width_mm, 1, 2.0 * EDGE + beside)?;
    let (left, height) = (EDGE + beside, HIGHEST.min(ASPECT * side));
    let y = y.thinned_upright(height);
    let rows = spectra.iter().filter(|(_, spectrum)| !spectrum.leading.is_empty()).count();
    let foot = if rows > 0 { ROW * rows as f64 + 2.0 } else { 0.0 };
    let bottom = EDGE + height + foot + BELOW;
    let entries = entries(spectra, &titles, floor);
    let sheet = Sheet::new(width_mm * PT_PER_MM, (left, bottom + LINE), entries, SIGN);
    let canvas = &sheet.canvas;
    let x = Axis::across(range.0, range.1, 0.0, side);
    let plot = Plot { corner: (left, EDGE), size: (side, height), x: &x, y: &y };
    plot.axes(canvas, rows == 0, true);
    curves(canvas, &plot, spectra, &titles);
    if rows > 0 {
        let mut bare = y.clone();
        bare.ticks.clear();
        let strip = Plot { corner: (left, EDGE + height), size: (side, foot), x: &x, y: &bare };
        strip.axes(canvas, true, false);
        leading(canvas, &strip, spectra, &titles);
    }
    plot.words_upright(canvas, "density", EDGE);
    canvas.centred("eigenvalue", (left + side / 2.0, bottom + 0.9 * TEXT), TEXT);
    Ok(sheet.finish(DESCRIPTION))
}

/// The arms, in the order in which they come first.
fn titles(spectra: &[(String, Spectrum)]) -> Vec<&str> {
    let mut titles: Vec<&str> = Vec::new();
    for (title, _) in spectra {
        if !titles.contains(&title.as_str()) {
            titles.push(title);
        }
    }
    titles
}

/// How an arm looks: every second one has dashes, so that they differ in grey too.
fn look(title: &str, titles: &[&str]) -> Look {
    let i = titles.iter().position(|own| *own == title).unwrap_or(0);
    Look::of_arm(i, titles.len()).dashed(i % 2 == 1)
}

/// Whether it is not the first of its title.
fn is_further(spectra: &[(String, Spectrum)], i: usize) -> bool {
    spectra[..i].iter().any(|(title, _)| *title == spectra[i].0)
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

/// Densities inside the frame, bands below lines.
fn curves(canvas: &Canvas, plot: &Plot, spectra: &[(String, Spectrum)], titles: &[&str]) {
    // What is 0 has no logarithm: it lies far below the frame.
    let placed = |d: f64| f64::max(d, 1e-299);
    let inside = |spectrum: &Spectrum| {
        let first = spectrum.grid.partition_point(|x| *x < plot.x.low);
        first..spectrum.grid.partition_point(|x| *x <= plot.x.high)
    };
    let first = |(i, _): &(usize, &(String, Spectrum))| !is_further(spectra, *i);
    for (_, (title, spectrum)) in spectra.iter().enumerate().filter(first) {
        let edge = |k: usize| {
            let (d, sd) = (spectrum.density[k], spectrum.sd[k]);
            (spectrum.grid[k], placed(d - sd), d + sd)
        };
        let known: Vec<usize> = inside(spectrum).filter(|k| drawable(spectrum.sd[*k])).collect();
        let edges: Vec<(f64, f64, f64)> = known.into_iter().map(edge).collect();
        if edges.len() > 1 {
            plot.band(canvas, &edges, look(title, titles).colour);
        }
    }
    for (i, (title, spectrum)) in spectra.iter().enumerate() {
        let points: Vec<Point> =
            inside(spectrum).map(|k| (spectrum.grid[k], placed(spectrum.density[k]))).collect();
        let look = look(title, titles);
        plot.pieces(&points).iter().for_each(|piece| match is_further(spectra, i) {
            true => curves::thin(canvas, piece, look.colour),
            false => look.line(canvas, piece),
        });
    }
}

/// A row of ticks for each spectrum that has single eigenvalues, those of one title together.
fn leading(canvas: &Canvas, strip: &Plot, spectra: &[(String, Spectrum)], titles: &[&str]) {
    let of =
        |title| spectra.iter().filter(move |(own, spectrum)| own == title && !spectrum.leading.is_empty());
    for (row, (title, spectrum)) in titles.iter().flat_map(of).enumerate() {
        let y = strip.corner.1 + 1.0 + ROW * (row as f64 + 0.5);
        let inside = spectrum.leading.iter().filter(|v| strip.x.holds(**v));
        inside.for_each(|v| tick(canvas, (strip.at(*v, 0.0).0, y), look(title, titles).colour));
    }
}

fn tick(canvas: &Canvas, (x, y): Point, colour: &str) {
    let ends = [(x, y - TICK / 2.0), (x, y + TICK / 2.0)];
    canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\".8\""));
}

/// What the signs mean, only those that occur.
fn entries(spectra: &[(String, Spectrum)], titles: &[&str], floor: f64) -> Vec<Entry<'static>> {
    let line = |title: &&str| {
        let look = look(title, titles);
        Entry::new(move |canvas: &Canvas, at| look.line(canvas, &stretch(at)), *title)
    };
    let mut entries: Vec<Entry> = titles.iter().map(line).collect();
    if spectra.len() > titles.len() {
        entries.push(Entry::line(curves::thin, GREY, "further seeds"));
    }
    if spectra.iter().any(|(_, spectrum)| spectrum.sd.iter().any(|sd| drawable(*sd))) {
        let words = "± standard deviation over the probes";
        entries.push(Entry::band(words));
    }
    if spectra.iter().any(|(_, spectrum)| !spectrum.leading.is_empty()) {
        entries.push(Entry::new(
            |canvas, at| tick(canvas, at, GREY),
            "a leading eigenvalue; a row for each seed",
        ));
    }
    if spectra.iter().any(|(_, spectrum)| spectrum.density.iter().any(|d| *d < floor)) {
        entries.push(Entry::note(format!("densities below {} are not drawn", significant(floor, 2))));
    }
    entries
}

/// The figure in words for a paper: what is drawn and the numbers of each model.
pub fn caption(spectra: &[(String, Spectrum)]) -> String {
    let mut out = "Density of eigenvalues, on a logarithmic axis, against the eigenvalue.".to_owned();
    for (i, (name, spectrum)) in spectra.iter().enumerate() {
        if is_further(spectra, i) {
            out += &leading_words(name, spectrum);
            continue;
        }
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

/// A further seed.
fn leading_words(name: &str, spectrum: &Spectrum) -> String {
    let most = spectrum.leading.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_finite() {
        format!(" Another seed of {name}: leading eigenvalues up to {}.", significant(most, 4))
    } else {
        String::new()
    }
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
        assert!(svg.contains("a leading eigenvalue") && svg.contains("are not drawn"));
        // All curves lie inside their frames.
        let frames: Vec<&str> =
            svg.lines().filter(|l| l.starts_with("<rect") && l.contains("fill=\"none\"")).collect();
        assert_eq!(frames.len(), 2);
        let bottom = attribute(frames[0], "y") + attribute(frames[0], "height");
        let line = svg.lines().find(|line| line.contains("stroke-width=\"1.1\"")).unwrap();
        let start: f64 =
            line.split_once("d=\"M").unwrap().1.split(['l', ' ']).nth(1).unwrap().parse().unwrap();
        assert!(start <= bottom - 4.0 + 0.01, "{start} {bottom}");
    }

    /// Oracle: counting: three seeds of two arms are six lines, of which two are thick, six rows of ticks and two entries.
    #[test]
    fn every_seed_has_its_ticks() {
        let seeds = [("uniform", 145.0), ("guided", 100.0), ("uniform", 112.0), ("guided", 120.0)];
        let spectra: Vec<(String, Spectrum)> =
            seeds.map(|(name, leading)| (name.to_owned(), spectrum(2.0, 100.0, &[leading]))).to_vec();
        let svg = spectrum_figure(&spectra, None).unwrap();
        let texts = assert_sound(&svg);
        let count = |look: &str| svg.lines().filter(|line| line.contains(look)).count();
        // A line has two parts, with less than the floor between; the key has more.
        assert_eq!((count("stroke-width=\"1.1\""), count("stroke-width=\".35\"")), (4 + 2, 4 + 1));
        assert_eq!(count("stroke-width=\".8\""), 4 + 1);
        assert_eq!(texts.iter().filter(|(text, _)| text == "guided" || text == "uniform").count(), 2);
        let words = caption(&spectra);
        assert!(words.contains("Another seed of guided: leading eigenvalues up to 120."), "{words}");
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
