//! `render`: surfaces to a filled contour figure, or the tables of other commands to their charts.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::files;
use crate::progress::say;
use crate::report::chart::chart;
use crate::report::contour::{ColourMap, Panel, Spacing, Style, contour_figure};
use crate::report::image::svg_to_png;
use crate::report::provenance::{self, Provenance};
use crate::report::surface_file::Grid;

/// Figure of one or more surfaces on one colour scale, or of the tables that other commands write.
#[derive(clap::Args, Clone, Debug)]
pub struct Render {
    /// Surfaces, as `surface` writes them; one panel each. Or agreement.csv of `stability`, F.csv of `fisher`,
    /// RATES.csv of `schedule`, history.csv of `train` (one for each arm and seed: ARM/seed0/history.csv)
    #[arg(required = true, value_name = "SURFACE.csv")]
    pub surfaces: Vec<PathBuf>,
    /// Titles, in the same order; histories of one title are seeds of one arm [default: names of files or arms]
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub titles: Vec<String>,
    /// Spacing of the levels
    #[arg(long, value_enum, default_value_t)]
    pub levels: Spacing,
    /// Colour map
    #[arg(long, value_enum, default_value_t)]
    pub colours: ColourMap,
    /// What is drawn
    #[arg(long, default_value = "loss (nats)", value_name = "TEXT")]
    pub label: String,
    /// Width of the figure in millimetres [default: 84, 129 or 174 for 1, 2 or 3 columns of panels]
    #[arg(long, value_name = "MM")]
    pub width: Option<f64>,
    /// Mark the evaluated points
    #[arg(long)]
    pub dots: bool,
    /// Resolution of a PNG in dots per inch
    #[arg(long, default_value_t = 300.0)]
    pub dpi: f64,
    /// The figure to write (.svg or .png)
    #[arg(long, value_name = "FIGURE.svg|.png")]
    pub out: PathBuf,
}

impl Render {
    pub fn run(&self) -> Result<()> {
        let extension = self.out.extension().and_then(|e| e.to_str());
        let png = match extension {
            Some("svg") => false,
            Some("png") => true,
            _ => {
                let fix = "name the figure FIGURE.svg or FIGURE.png";
                return Err(Error::field(
                    "--out",
                    "file name",
                    "one that ends in .svg or .png",
                    self.out.display(),
                    fix,
                ));
            }
        };
        if !(self.titles.is_empty() || self.titles.len() == self.surfaces.len()) {
            let expected = format!("one for each of {} surfaces", self.surfaces.len());
            return Err(Error::field(
                "--titles",
                "titles",
                expected,
                self.titles.len(),
                "separate them by commas",
            ));
        }
        let mut provenance = Provenance::start(None);
        let svg = match chart(&self.surfaces, &self.titles, self.width)? {
            Some(chart) => {
                for file in &chart.inputs {
                    provenance.input_file(chart.kind, file)?;
                }
                chart.svg
            }
            None => self.contours(&mut provenance)?,
        };
        let bytes = if png { svg_to_png(&svg, self.dpi)? } else { svg.into_bytes() };
        files::write(&self.out, &bytes)?;
        provenance.write(&provenance::beside(&self.out))?;
        say!("{}: {} panels", self.out.display(), self.surfaces.len());
        Ok(())
    }

    fn contours(&self, provenance: &mut Provenance) -> Result<String> {
        let mut panels = Vec::new();
        for (i, path) in self.surfaces.iter().enumerate() {
            let grid = Grid::read(path)?;
            provenance.input_file("surface", path)?;
            let name = || path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let title = self.titles.get(i).cloned().unwrap_or_else(name);
            let centre = grid.centre().filter(|loss| loss.is_finite());
            panels.push(Panel { title, x: grid.x, y: grid.y, loss: grid.loss, centre });
        }
        let style = Style {
            width_mm: self.width,
            loss_label: self.label.clone(),
            map: self.colours,
            spacing: self.levels,
            dots: self.dots,
            ..Style::default()
        };
        contour_figure(&panels, &style)
    }
}
