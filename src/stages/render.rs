//! `render`: surfaces to filled contours or reliefs, or the tables of other commands to their charts.
//!
//! Whatever is drawn is SVG first; every file asked for is made of that one text.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::progress::say;
use crate::report::chart::chart;
use crate::report::columns::columns;
use crate::report::contour::{ColourMap, Panel, Spacing, Style, contour_figure};
use crate::report::image::{svg_to_pdf, svg_to_png};
use crate::report::interactive;
use crate::report::marks::Marks;
use crate::report::profile::{Draw, Profile, profile_figure};
use crate::report::provenance::{self, Provenance};
use crate::report::relief::{View, relief_figure};
use crate::report::surface_file::Grid;

/// Figure of one or more surfaces, on one scale, flat or in 3-D; or of the tables that other commands write.
#[derive(clap::Args, Clone, Debug)]
pub struct Render {
    /// Surfaces, as `surface` writes them; one panel each. Or agreement.csv of `stability`, F.csv of `fisher`,
    /// RATES.csv of `schedule`, history.csv of `train` (one for each arm and seed: ARM/seed0/history.csv)
    #[arg(required = true, value_name = "SURFACE.csv")]
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
    /// Losses above this are marked and counted, not drawn to scale
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    pub clip: Option<f64>,
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
    /// The figure to write, its format by its ending; may be given several times
    #[arg(long, required = true, value_name = "FIGURE.svg|.pdf|.png|.html")]
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
}

impl Format {
    fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => Ok(Format::Svg),
            Some("pdf") => Ok(Format::Pdf),
            Some("png") => Ok(Format::Png),
            Some("html") => Ok(Format::Html),
            _ => {
                let expected = "one that ends in .svg, .pdf, .png or .html";
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
                let marks = self.marks(&mut provenance)?;
                if views.iter().all(|view| view.grid.y.len() == 1) {
                    (self.profile(views, &marks, view)?, Vec::new())
                } else {
                    let panels = self.panels(&views, &marks)?;
                    let svg = match view {
                        Some(view) => relief_figure(&panels, &self.style("direction x (a)"), view)?,
                        None => contour_figure(&panels, &self.style("direction x (a)"))?,
                    };
                    (svg, views)
                }
            }
        };
        // Nothing is written unless everything can be made.
        let made = |format: &Format| match format {
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
        let figures = formats.iter().map(made).collect::<Result<Vec<_>>>()?;
        for (path, bytes) in self.out.iter().zip(&figures) {
            files::write(path, bytes)?;
            say!("{}", path.display());
        }
        provenance.write_each(&self.out.iter().map(|path| provenance::beside(path)).collect::<Vec<_>>())
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

    /// One file of marks for each surface, or one for all, or none.
    fn marks(&self, provenance: &mut Provenance) -> Result<Vec<Marks>> {
        if self.marks.len() > 1 && self.marks.len() != self.surfaces.len() {
            let expected = format!("none, one, or one for each of {} surfaces", self.surfaces.len());
            let fix = "give --marks FILE for each surface, in order";
            return Err(Error::field("--marks", "files", expected, self.marks.len(), fix));
        }
        self.marks.iter().try_for_each(|path| provenance.input_file("marks", path))?;
        self.marks.iter().map(|path| Marks::read(path)).collect()
    }

    /// Surfaces with a single y: curves.
    fn profile(&self, views: Vec<interactive::View>, marks: &[Marks], view: Option<View>) -> Result<String> {
        if view.is_some() {
            let fix = "leave --view out, or give surfaces over a plane";
            return Err(Error::field("--view", "view", "flat for losses along a line", "3d", fix));
        }
        let mut files = Vec::new();
        for (path, view) in self.surfaces.iter().zip(views) {
            let columns = columns(path, &view.grid)?;
            files.push((view.title, Draw { x: view.grid.x, loss: view.grid.loss, columns }));
        }
        let style = self.style("distance along the direction (a)");
        profile_figure(&Profile::gathered(files), &Marks::together(marks), &style)
    }

    /// Surfaces over a plane, each with its marks.
    fn panels(&self, views: &[interactive::View], marks: &[Marks]) -> Result<Vec<Panel>> {
        let panel = |(i, (path, view)): (usize, (&PathBuf, &interactive::View))| {
            let columns = columns(path, &view.grid)?;
            let zero = view.grid.loss.iter().zip(points(&view.grid)).position(|(_, at)| at == (0.0, 0.0));
            let se = columns.iter().find(|(name, _)| name == "loss_se");
            let marks = marks.get(i).or(marks.first()).cloned().unwrap_or_default();
            let Grid { x, y, loss } = view.grid.clone();
            let centre = view.grid.centre().filter(|loss| loss.is_finite());
            let centre_se = zero.zip(se).map(|(i, (_, se))| se[i]).filter(|se| se.is_finite());
            Ok(Panel { title: view.title.clone(), x, y, loss, centre, centre_se, marks })
        };
        self.surfaces.iter().zip(views).enumerate().map(panel).collect()
    }

    fn style(&self, x_label: &str) -> Style {
        let usual = Style::default();
        Style {
            x_label: self.x_label.clone().unwrap_or_else(|| x_label.to_owned()),
            y_label: self.y_label.clone().unwrap_or_else(|| usual.y_label.clone()),
            clip: self.clip,
            width_mm: self.width,
            columns: self.columns,
            loss_label: self.label.clone(),
            map: self.colours,
            spacing: self.levels,
            dots: self.dots,
            ..usual
        }
    }
}

/// Coordinates of the points of a grid, y outer.
fn points(grid: &Grid) -> impl Iterator<Item = (f64, f64)> + '_ {
    grid.y.iter().flat_map(|&y| grid.x.iter().map(move |&x| (x, y)))
}
