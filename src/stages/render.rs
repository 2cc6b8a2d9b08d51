//! `render`: surfaces and the central planes of volumes to filled contours, reliefs or curves, or the tables of other commands to their charts; or a
//! surface from one data format to others; or any other table to text.
//!
//! Whatever is drawn is SVG first (`drawn`); every figure asked for is made of that one text. The caption is made of the
//! same numbers.

mod drawn;
mod pairs;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::draw::colour::ColourMap;
use crate::draw::contour::Spacing;
use crate::draw::image::{Font, svg_to_pdf, svg_to_png};
use crate::draw::relief::View;
use crate::draw::width::Width;
use crate::error::{Error, Result};
use crate::figures::FIGURES;
use crate::files;
use crate::page::interactive;
use crate::page::tabular;
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::tables::surface::{self, Grid};

/// Figure of one or more surfaces, on one scale, flat or in 3-D; or of the tables that other commands write. Or one
/// surface in another data format.
#[derive(clap::Args, Clone, Debug)]
pub struct Render {
    #[arg(required = true, value_name = "SURFACE.csv|.h5|.npz|.vti", help = accepted())]
    pub surfaces: Vec<PathBuf>,
    /// Titles, in the same order. Training histories that share a title are drawn as seeds of one arm, profiles that share one
    /// as draws of one curve
    /// [default: names of files or arms]
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub titles: Vec<String>,
    /// How surfaces are seen
    #[arg(long, value_enum, default_value_t)]
    pub view: Kind,
    /// With --view 3d: where the viewer stands, in degrees from the first direction (a) towards the second (b)
    /// [default: -60]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub azimuth: Option<f64>,
    /// With --view 3d: the viewer's height above the plane of the directions, in degrees, between 0 and 90
    /// [default: 30]
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    pub elevation: Option<f64>,
    /// Spacing of the levels; in 3-D of the heights, too [default: linear; of rises around a trained model 1, 2 and 5 in each
    /// decade on both sides of 0]
    #[arg(long, value_enum)]
    pub levels: Option<Spacing>,
    /// Colour map
    #[arg(long, value_enum, default_value_t)]
    pub colours: ColourMap,
    /// What the files hold; around a trained model its rise is drawn: the loss less the model's
    #[arg(long, default_value = "loss (nats)", value_name = "TEXT")]
    pub label: String,
    /// Text of the first direction's axis [default: direction x (a), or distance along the direction (a)]
    #[arg(long, value_name = "TEXT")]
    pub x_label: Option<String>,
    /// Text of the second direction's axis [default: direction y (b)]
    #[arg(long, value_name = "TEXT")]
    pub y_label: Option<String>,
    /// Named points and paths of training in the plane, `label,x,y,order,distance`: one file for each surface, or one
    /// for all
    #[arg(long, value_name = "MARKS.csv")]
    pub marks: Vec<PathBuf>,
    /// What is drawn above this, losses or rises, is marked and counted, not drawn to scale
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Panels per row [default: up to three in one row, four as 2 x 2, more in rows of three]
    #[arg(long, value_name = "N")]
    pub columns: Option<usize>,
    /// Width of the figure in millimetres, or a venue's column or text: neurips, iclr, icml, acl, cvpr, ieee, aaai,
    /// jmlr, tmlr, nature; icml-page, acl-page, cvpr-page, ieee-page, aaai-page, nature-page for both columns
    /// [default: 84, 129 or 174 for 1, 2 or more columns of panels]
    #[arg(long, value_name = "MM|VENUE")]
    pub width: Option<Width>,
    /// Mark the evaluated points; on flat figures of grids below 15 x 15 they are marked without it
    #[arg(long)]
    pub dots: bool,
    /// The surfaces of the second half less those of the first, each less the loss of its own model, paired by example; dots
    /// are points without a shown difference, corrected for all points (max-T)
    #[arg(long, conflicts_with_all = ["dots", "along_x", "barrier", "clip", "levels"])]
    pub difference: bool,
    /// Of lines between two models: how far the loss lies above the straight line between theirs, with a band for all points
    /// together
    #[arg(long, conflicts_with_all = ["along_x", "clip", "levels", "marks"])]
    pub barrier: bool,
    /// Of lines through trained models: the rise against the distance from the model, all masks of a model in one panel. Titles
    /// are `model: mask`
    #[arg(long, conflicts_with_all = ["difference", "barrier", "along_x", "clip", "levels", "marks", "dots", "columns"])]
    pub distance: bool,
    /// For surfaces over a plane: draw only the losses along the first direction, as curves over the distance in parameter space,
    /// so that directions of different lengths share one unit
    #[arg(long)]
    pub along_x: bool,
    /// A font for the texts, as papers are set in one with serifs: a TrueType or OpenType file, no wider than DejaVu Sans. Signs that
    /// it lacks are DejaVu's [default: DejaVu Sans]
    #[arg(long, value_name = "FILE.ttf|.otf")]
    pub font: Option<PathBuf>,
    /// Resolution of a PNG in dots per inch
    #[arg(long, default_value_t = 300.0)]
    pub dpi: f64,
    /// The file to write, its format by its ending; may be given several times. FIGURE.svg, .pdf, .png or .html, its
    /// caption as .txt; of one surface or volume also its numbers, SURFACE.csv, .h5, .npz or (for ParaView) .vti; of any other
    /// table its text, .md or .tex (booktabs)
    #[arg(long, required = true, value_name = "FIGURE.svg|.txt|SURFACE.h5|..")]
    pub out: Vec<PathBuf>,
}

/// What can be drawn.
fn accepted() -> String {
    let tables = FIGURES.map(|figure| figure.table.file).join(", ");
    format!(
        "Surfaces, as `surface` writes them, or HDF5 of tomgoldstein/loss-landscape; one panel each, or curves where they \
         have a single y; of a volume three panels, its central planes. Or a table that other commands write: {tables}; several of RATES.csv, SHARPNESS.spectrum.csv and \
         history.csv (one for each arm and seed: ARM/seed0/history.csv)"
    )
}

/// How surfaces are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Kind {
    /// From above: filled contours.
    #[default]
    Flat,
    /// From the side: a relief, whose height is the loss.
    #[value(name = "3d")]
    Relief,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Svg,
    Pdf,
    Png,
    /// Interactive surfaces.
    Html,
    /// The figure in words.
    Caption,
    /// The numbers of a surface.
    Data,
    /// Any table in the words of a text, Markdown or LaTeX.
    Text,
}

impl Format {
    fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => Ok(Format::Svg),
            Some("pdf") => Ok(Format::Pdf),
            Some("png") => Ok(Format::Png),
            Some("html") => Ok(Format::Html),
            Some("txt") => Ok(Format::Caption),
            Some("md" | "tex") => Ok(Format::Text),
            _ if surface::Format::of(path).is_some() => Ok(Format::Data),
            _ => {
                let expected = "one that ends in .svg, .pdf, .png or .html, in .txt, .md or .tex, or in .csv, .h5, .npz or \
                     .vti";
                Err(Error::field("--out", "file name", expected, path.display(), "name it FIGURE.pdf"))
            }
        }
    }
}

impl Render {
    pub fn run(&self, command: &str) -> Result<()> {
        let formats = self.out.iter().map(|path| Format::of(path)).collect::<Result<Vec<_>>>()?;
        if !(self.titles.is_empty() || self.titles.len() == self.surfaces.len()) {
            let expected = format!("one for each of {} files", self.surfaces.len());
            return Err(Error::field(
                "--titles",
                "titles",
                expected,
                self.titles.len(),
                "separate them by commas",
            ));
        }
        let mut provenance = Provenance::start(command, None);
        let font = self.font.as_deref().map(Font::read).transpose()?;
        self.font.iter().try_for_each(|path| provenance.input_file("font", path))?;
        let data = formats.iter().zip(&self.out).find(|(format, _)| **format == Format::Data);
        let grid = data.map(|(_, path)| self.only_surface(path)).transpose()?;
        // Numbers need no picture.
        let drawn = match formats.iter().all(|format| matches!(format, Format::Data | Format::Text)) {
            true => {
                let kind = if data.is_some() { "surface" } else { "table" };
                self.surfaces.iter().try_for_each(|path| provenance.input_file(kind, path))?;
                drawn::Drawn::default()
            }
            false => self.draw(&mut provenance).map_err(|e| e.in_figure_of(&self.surfaces))?.named(),
        };
        let svg = font.as_ref().map_or_else(|| drawn.svg.clone(), |font| font.asked_for(&drawn.svg));
        // Nothing is written unless everything can be made.
        let made = |(format, path): (&Format, &PathBuf)| match format {
            Format::Data => grid.as_ref().map_or(Ok(Vec::new()), |grid| grid.bytes(path)),
            Format::Svg => Ok(svg.clone().into_bytes()),
            Format::Pdf => svg_to_pdf(&svg, font.as_ref()),
            Format::Png => svg_to_png(&svg, self.dpi, font.as_ref()),
            Format::Text => Ok(self.text(path)?.into_bytes()),
            Format::Caption => Ok(drawn.caption.clone().into_bytes()),
            Format::Html => match &drawn.surfaces {
                Some(group) => Ok(interactive::page(group.clone())?.into_bytes()),
                None => {
                    let fix = "name it FIGURE.svg: an interactive page shows surfaces only; ParaView opens a volume as .vti";
                    Err(Error::field("--out", "format", ".svg, .pdf or .png for this file", ".html", fix))
                }
            },
        };
        let made = formats.iter().zip(&self.out).map(made).collect::<Result<Vec<_>>>()?;
        for ((path, bytes), format) in self.out.iter().zip(&made).zip(&formats) {
            match (format, &grid) {
                // A .csv may need its .json.
                (Format::Data, Some(grid)) => grid.write(path)?,
                _ => files::write(path, bytes)?,
            }
            say!("{}", path.display());
        }
        progress::answer(|| json!({ "out": self.out }));
        provenance.write_each(&self.out.iter().map(|path| provenance::beside(path)).collect::<Vec<_>>())
    }

    /// The surface whose numbers are asked for in `out`.
    fn only_surface(&self, out: &Path) -> Result<Grid> {
        match &self.surfaces[..] {
            [path] => Grid::read(path),
            several => {
                let (expected, found) =
                    (format!("one surface for {}", out.display()), format!("{} surfaces", several.len()));
                let fix = "convert one surface at a time, or name a figure";
                Err(Error::field("--out", "data", expected, found, fix))
            }
        }
    }

    /// The only file, a table that is not a surface, as Markdown or LaTeX by the ending of `out`.
    fn text(&self, out: &Path) -> Result<String> {
        let wrong = |expected: &str, found: String, fix: &str| {
            Error::field(out.display(), "table", expected, found, fix)
        };
        let [path] = &self.surfaces[..] else {
            let found = format!("{} files", self.surfaces.len());
            return Err(wrong("one", found, "write one table at a time"));
        };
        let bytes = files::read(path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or("").trim_start_matches('\u{feff}');
        let header: Vec<&str> = text.lines().next().unwrap_or("").split(',').map(str::trim).collect();
        if ["x", "y", "loss"].iter().all(|name| header.contains(name)) {
            let fix =
                "a surface has no text form: name it .svg, .pdf, .png or .html, or .csv, .h5, .npz or .vti";
            return Err(wrong(
                "a table that is not a surface",
                format!("the surface {}", path.display()),
                fix,
            ));
        }
        if text.is_empty() {
            let found = format!("{}, which is not CSV", path.display());
            return Err(wrong("of rows and columns, as CSV", found, "name the .csv of a table"));
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let title = self.titles.first().cloned().unwrap_or_else(|| stem.replace('_', " "));
        let place = path.display().to_string();
        match out.extension().is_some_and(|ending| ending == "tex") {
            true => tabular::latex(&place, text, &title, &format!("tab:{stem}")),
            false => tabular::markdown(&place, text, &title),
        }
    }

    /// Where the viewer of a relief stands; none for a figure seen from above.
    fn seen_from(&self) -> Result<Option<View>> {
        match (self.view, self.azimuth.or(self.elevation)) {
            (Kind::Flat, None) => Ok(None),
            (Kind::Flat, Some(degrees)) => {
                let fix = "add --view 3d, or leave out --azimuth and --elevation";
                Err(Error::said(
                    "--azimuth, --elevation",
                    format!("the angle {degrees} needs --view 3d"),
                    fix,
                ))
            }
            (Kind::Relief, _) => {
                let usual = View::default();
                Ok(Some(View {
                    azimuth: self.azimuth.unwrap_or(usual.azimuth),
                    elevation: self.elevation.unwrap_or(usual.elevation),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        render: Render,
    }

    fn render(arguments: &[&Path]) -> Result<()> {
        let arguments = arguments.iter().map(|argument| argument.as_os_str());
        Command::parse_from([std::ffi::OsStr::new("render")].into_iter().chain(arguments))
            .render
            .run("render")
    }

    /// Oracle: on paper: losses of two models at 3 x 3 points, whose rises differ by 0.5 at one corner in each of 40 examples but
    /// for little noise: one of nine points is shown. Then a plane as a curve in its own length: the row y = 0, whose x is
    /// three times as long.
    #[test]
    fn differences_and_rows_are_drawn_of_what_stands_beside_surfaces() {
        use crate::landscape::rise::{ByExample, examples_path};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let points: Vec<(f64, f64)> =
            [-1.0, 0.0, 1.0].iter().flat_map(|y| [-1.0, 0.0, 1.0].map(|x| (x, *y))).collect();
        let make = |name: &str, corner: f64| {
            let loss =
                |(x, y): (f64, f64)| 1.0 + x * x + y * y + if (x, y) == (1.0, 1.0) { corner } else { 0.0 };
            // Noise of mean 0, other for each of the two.
            let wobble =
                |k: usize, n: usize| if (n / name.len() + k).is_multiple_of(2) { 0.05 } else { -0.05 };
            let sum = |k: usize, n: usize| loss(points[k]) + if k == 4 { 0.0 } else { wobble(k, n) };
            let losses = ByExample {
                targets: vec![1.0; 40],
                centre: (0..40).map(|n| sum(4, n)).collect(),
                points: points.iter().map(|p| [p.0, p.1, 0.0]).collect(),
                sums: (0..9).flat_map(|k| (0..40).map(move |n| sum(k, n))).collect(),
                clusters: Default::default(),
            };
            losses.write(&examples_path(&at(name)), &Default::default()).unwrap();
            let rows: String = points.iter().map(|p| format!("{},{},{}\n", p.0, p.1, loss(*p))).collect();
            files::write(&at(name), format!("x,y,loss\n{rows}").as_bytes()).unwrap();
        };
        make("u.csv", 0.0);
        make("second.csv", 0.5);
        let [out, difference, titles] = ["--out", "--difference", "--titles"].map(Path::new);
        let (drawn, caption) = (at("d.svg"), at("d.txt"));
        let said = |inputs: &[&Path], more: &[&Path]| {
            render(&[inputs, more, &[out, &drawn, out, &caption]].concat())?;
            Ok::<_, Error>((files::read_text(&drawn)?, files::read_text(&caption)?))
        };
        let (svg, words) =
            said(&[&at("u.csv"), &at("second.csv")], &[difference, titles, Path::new("u: all,g: all")])
                .unwrap();
        assert!(
            svg.contains("1 of 9 points differ") && words.contains(" all: 1 of 9 points differ"),
            "{words}"
        );
        assert!(svg.contains("rise, g − u, loss (nats)") && svg.contains("no difference shown"));
        let title = "Rise, g − u, loss (nats): a difference is shown at 1 of 9 points (all)";
        assert!(svg.starts_with("<svg") && svg.contains(&format!("<title>{title}</title>\n<desc>{title}. ")));
        let one = said(&[&at("u.csv")], &[difference]).unwrap_err().to_string();
        assert!(one.contains("an even number"), "{one}");
        files::write(&at("u.json"), b"{\"norms\":{\"x\":{\"evaluated\":3}}}").unwrap();
        let along = Path::new("--along-x");
        let (svg, words) = said(&[&at("u.csv")], &[along]).unwrap();
        assert!(words.contains("from −3 to 3") && svg.contains("rise of loss (nats)"), "{words}");
        // A coarse grid says where it was evaluated, and a relief has its lines.
        let coarse = said(&[&at("u.csv")], &[]).unwrap().0;
        let relief = said(&[&at("u.csv")], &["--view", "3d"].map(Path::new)).unwrap().0;
        assert!(coarse.contains(">grid point<") && !relief.contains(">grid point<"));
        let none = said(&[&at("second.csv")], &[along]).unwrap_err().to_string();
        assert!(none.contains("`norms.x`"), "{none}");
    }

    #[test]
    fn tables_become_text_and_surfaces_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        files::write(&at("a_b.csv"), b"\xef\xbb\xbfname,x,x_se\nlayer.0,1.234,0.1\n").unwrap();
        files::write(&at("surface.csv"), b"x,y,loss\n0,0,1\n1,0,1\n").unwrap();
        files::write(&at("surface.h5"), b"\x89HDF\r\n\x1a\n\xff").unwrap();
        let out = Path::new("--out");
        render(&[&at("a_b.csv"), out, &at("t.md"), out, &at("t.tex")]).unwrap();
        let expected = "**a b**\n\n| name | x ± se |\n| :--- | ---: |\n| `layer.0` | 1.23 ± 0.10 |\n";
        assert_eq!(files::read_text(&at("t.md")).unwrap(), expected);
        assert!(files::read_text(&at("t.tex")).unwrap().contains("\\label{tab:a-b}"));
        for (inputs, words) in [
            (&["surface.csv"][..], "a surface has no text"),
            (&["surface.h5"], "not CSV"),
            (&["a_b.csv"; 2], "2 files"),
        ] {
            let inputs: Vec<PathBuf> = inputs.iter().map(|name| at(name)).collect();
            let (out_file, inputs) = (at("u.md"), inputs.iter().map(PathBuf::as_path));
            let message =
                render(&inputs.chain([out, &out_file]).collect::<Vec<_>>()).unwrap_err().to_string();
            assert!(message.contains(words) && !out_file.exists(), "{message}");
        }
    }
}
