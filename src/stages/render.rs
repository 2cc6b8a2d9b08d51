//! `render`: surfaces to filled contours or reliefs, or the tables of other commands to their charts; or a surface from
//! one data format to others.
//!
//! Whatever is drawn is SVG first; every figure asked for is made of that one text.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::progress::say;
use crate::report::chart::chart;
use crate::report::contour::{ColourMap, Panel, Spacing, Style, contour_figure};
use crate::report::image::{svg_to_pdf, svg_to_png};
use crate::report::interactive;
use crate::report::provenance::{self, Provenance};
use crate::report::relief::{View, relief_figure};
use crate::report::surface_file::{self, Grid};

/// Figure of one or more surfaces, on one scale, flat or in 3-D; or of the tables that other commands write. Or one
/// surface in another data format.
#[derive(clap::Args, Clone, Debug)]
pub struct Render {
    /// Surfaces, as `surface` writes them, or HDF5 of tomgoldstein/loss-landscape; one panel each. Or agreement.csv of `stability`, F.csv of `fisher`,
    /// RATES.csv of `schedule`, history.csv of `train` (one for each arm and seed: ARM/seed0/history.csv)
    #[arg(required = true, value_name = "SURFACE.csv|.h5|.npz")]
    pub surfaces: Vec<PathBuf>,
    /// Titles, in the same order; histories of one title are seeds of one arm [default: names of files or arms]
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
    /// Spacing of the levels; in 3-D of the heights, too
    #[arg(long, value_enum, default_value_t)]
    pub levels: Spacing,
    /// Colour map
    #[arg(long, value_enum, default_value_t)]
    pub colours: ColourMap,
    /// What is drawn
    #[arg(long, default_value = "loss (nats)", value_name = "TEXT")]
    pub label: String,
    /// Panels per row [default: up to three in one row, four as 2 x 2, more in rows of three]
    #[arg(long, value_name = "N")]
    pub columns: Option<usize>,
    /// Width of the figure in millimetres [default: 84, 129 or 174 for 1, 2 or more columns of panels]
    #[arg(long, value_name = "MM")]
    pub width: Option<f64>,
    /// Mark the evaluated points
    #[arg(long)]
    pub dots: bool,
    /// Resolution of a PNG in dots per inch
    #[arg(long, default_value_t = 300.0)]
    pub dpi: f64,
    /// The file to write, its format by its ending; may be given several times. FIGURE.svg, .pdf, .png or .html; of one
    /// surface also its numbers, SURFACE.csv, .h5, .npz or (for ParaView) .vti
    #[arg(long, required = true, value_name = "FIGURE.svg|SURFACE.h5|..")]
    pub out: Vec<PathBuf>,
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

#[derive(Clone, Copy)]
enum Format {
    Svg,
    Pdf,
    Png,
    /// Surfaces to turn.
    Html,
    /// The numbers of a surface.
    Data,
}

impl Format {
    fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => Ok(Format::Svg),
            Some("pdf") => Ok(Format::Pdf),
            Some("png") => Ok(Format::Png),
            Some("html") => Ok(Format::Html),
            _ if surface_file::Format::of(path).is_some() => Ok(Format::Data),
            _ => {
                let expected = "one that ends in .svg, .pdf, .png or .html, or in .csv, .h5, .npz or .vti";
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
        let view = self.seen_from()?;
        let mut provenance = Provenance::start(command, None);
        let (svg, views) = match chart(&self.surfaces, &self.titles, self.width)? {
            Some(chart) => {
                for file in &chart.inputs {
                    provenance.input_file(chart.kind, file)?;
                }
                (chart.svg, Vec::new())
            }
            None => {
                let views = self.views(&mut provenance)?;
                let drawn = formats.iter().any(|format| !matches!(format, Format::Data));
                (if drawn { self.draw(&views, view)? } else { String::new() }, views)
            }
        };
        // Nothing is written unless everything can be made.
        let made = |(format, path): (&Format, &PathBuf)| match format {
            Format::Data => self.converted(path, &views),
            Format::Svg => Ok(svg.clone().into_bytes()),
            Format::Pdf => svg_to_pdf(&svg),
            Format::Png => svg_to_png(&svg, self.dpi),
            Format::Html if views.is_empty() => {
                let fix = "name it FIGURE.svg: a page to turn is made of surfaces";
                Err(Error::field("--out", "format", ".svg, .pdf or .png for this table", ".html", fix))
            }
            Format::Html => {
                let group = interactive::Group {
                    title: "Loss surfaces".into(),
                    label: self.label.clone(),
                    views: views.clone(),
                };
                Ok(interactive::page(group)?.into_bytes())
            }
        };
        let made = formats.iter().zip(&self.out).map(made).collect::<Result<Vec<_>>>()?;
        for ((path, bytes), format) in self.out.iter().zip(&made).zip(&formats) {
            match (format, &views[..]) {
                // A .csv may need its .json.
                (Format::Data, [view]) => view.grid.write(path)?,
                _ => files::write(path, bytes)?,
            }
            say!("{}", path.display());
        }
        provenance.write_each(&self.out.iter().map(|path| provenance::beside(path)).collect::<Vec<_>>())
    }

    /// The figure of surfaces, as SVG.
    fn draw(&self, views: &[interactive::View], view: Option<View>) -> Result<String> {
        for (path, view) in self.surfaces.iter().zip(views) {
            view.grid.check_drawable(path)?;
        }
        let panels: Vec<Panel> = views.iter().map(panel).collect();
        match view {
            Some(view) => relief_figure(&panels, &self.style(), view),
            None => contour_figure(&panels, &self.style()),
        }
    }

    /// The numbers of the only surface, as they will stand in `path`.
    fn converted(&self, path: &Path, views: &[interactive::View]) -> Result<Vec<u8>> {
        match views {
            [view] => view.grid.bytes(path),
            _ => {
                let found = match views.len() {
                    0 => "a table".to_string(),
                    several => format!("{several} surfaces"),
                };
                let expected = format!("one surface for {}", path.display());
                let fix = "convert one surface at a time, or name a figure";
                Err(Error::field("--out", "data", expected, found, fix))
            }
        }
    }

    /// Where the viewer of a relief stands; none for a figure seen from above.
    fn seen_from(&self) -> Result<Option<View>> {
        match (self.view, self.azimuth.or(self.elevation)) {
            (Kind::Flat, None) => Ok(None),
            (Kind::Flat, Some(degrees)) => {
                let fix = "add --view 3d, or leave --azimuth and --elevation out";
                Err(Error::field("--azimuth, --elevation", "angle", "given with --view 3d", degrees, fix))
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

    /// The surfaces with their titles.
    fn views(&self, provenance: &mut Provenance) -> Result<Vec<interactive::View>> {
        let mut views = Vec::new();
        for (i, path) in self.surfaces.iter().enumerate() {
            let grid = Grid::read(path)?;
            provenance.input_file("surface", path)?;
            let name = || path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            views.push(interactive::View { title: self.titles.get(i).cloned().unwrap_or_else(name), grid });
        }
        Ok(views)
    }

    fn style(&self) -> Style {
        Style {
            width_mm: self.width,
            columns: self.columns,
            loss_label: self.label.clone(),
            map: self.colours,
            spacing: self.levels,
            dots: self.dots,
            ..Style::default()
        }
    }
}

fn panel(view: &interactive::View) -> Panel {
    let Grid { x, y, loss, centre, .. } = view.grid.clone();
    let centre = centre.filter(|loss| loss.is_finite());
    Panel { title: view.title.clone(), x, y, loss, centre }
}
