//! The figure that [`Render`] asks for: which kind it is, from what the files hold.

use std::path::PathBuf;

use super::Render;
use crate::draw::contour::{self, Panel, Style, contour_figure};
use crate::draw::marks::Marks;
use crate::draw::profile::{self, Draw, Profile, profile_figure};
use crate::draw::relief::relief_figure;
use crate::error::{Error, Result};
use crate::figures::chart;
use crate::page::interactive::{Group, View};
use crate::provenance::Provenance;
use crate::tables::surface::Grid;

/// A figure in all its forms.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) svg: String,
    pub(super) caption: String,
    /// Where it can be turned.
    pub(super) surfaces: Option<Group>,
}

impl Render {
    /// The figure of the files, whatever they hold.
    pub(super) fn draw(&self, provenance: &mut Provenance) -> Result<Drawn> {
        let seen_from = self.seen_from()?;
        if let Some(chart) = chart(&self.surfaces, &self.titles, self.width.map(|width| width.0))? {
            if self.clip.is_some() || !self.marks.is_empty() {
                let fix = "leave --clip and --marks out";
                return Err(Error::field("--clip, --marks", "files", "surfaces", chart.kind, fix));
            }
            chart.inputs.iter().try_for_each(|file| provenance.input_file(chart.kind, file))?;
            return Ok(Drawn { svg: chart.svg, caption: chart.caption, surfaces: None });
        }
        let mut views = self.views(provenance)?;
        let marks = self.marks(provenance)?;
        // One file of marks is for all surfaces.
        let own = views.iter_mut().zip(marks.iter().cycle());
        own.for_each(|(view, marks)| view.marks = marks.clone());
        if views.iter().all(|view| view.grid.y.len() == 1) {
            if seen_from.is_some() {
                let fix = "leave --view out, or give surfaces over a plane";
                return Err(Error::field("--view", "view", "flat for losses along a line", "3d", fix));
            }
            return self.profile(views, &marks);
        }
        let (panels, style) = (self.panels(&views)?, self.style("direction x (a)"));
        if self.dots && seen_from.is_some() && panels.iter().any(|panel| panel.known.is_some()) {
            let fix = "leave --dots or --view out";
            return Err(Error::field("--dots", "view", "flat for a refined surface", "3d", fix));
        }
        let svg = match seen_from {
            Some(view) => relief_figure(&panels, &style, view)?,
            None => contour_figure(&panels, &style)?,
        };
        let caption = contour::caption(&panels, &style, seen_from);
        let (title, label) = ("Loss surfaces".into(), self.label.clone());
        let surfaces = Some(Group { title, label, clip: self.clip, views });
        Ok(Drawn { svg, caption, surfaces })
    }

    /// The surfaces with their titles.
    fn views(&self, provenance: &mut Provenance) -> Result<Vec<View>> {
        let mut views = Vec::new();
        for (i, path) in self.surfaces.iter().enumerate() {
            let grid = Grid::read(path)?;
            provenance.input_file("surface", path)?;
            let name = || path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let title = self.titles.get(i).cloned().unwrap_or_else(name);
            views.push(View { title, grid, marks: Marks::default() });
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
    fn profile(&self, views: Vec<View>, marks: &[Marks]) -> Result<Drawn> {
        let mut files = Vec::new();
        for (path, view) in self.surfaces.iter().zip(views) {
            view.grid.check_drawable(path)?;
            let Grid { x, loss, columns, .. } = view.grid;
            files.push((view.title, Draw { x, loss, columns }));
        }
        let (profiles, style) = (Profile::gathered(files), self.style("distance along the direction (a)"));
        let svg = profile_figure(&profiles, &Marks::together(marks), &style)?;
        Ok(Drawn { svg, caption: profile::caption(&profiles, &style), surfaces: None })
    }

    /// Surfaces over a plane, each with its marks.
    fn panels(&self, views: &[View]) -> Result<Vec<Panel>> {
        let panel = |(path, view): (&PathBuf, &View)| {
            view.grid.check_drawable(path)?;
            let zero = view.grid.loss.iter().zip(points(&view.grid)).position(|(_, at)| at == (0.0, 0.0));
            let se = view.grid.columns.iter().find(|(name, _)| name == "loss_se");
            let marks = view.marks.clone();
            let Grid { x, y, loss, centre, known, .. } = view.grid.clone();
            let centre = centre.filter(|loss| loss.is_finite());
            let centre_se = zero.zip(se).map(|(i, (_, se))| se[i]).filter(|se| se.is_finite());
            Ok(Panel { title: view.title.clone(), x, y, loss, centre, centre_se, known, marks })
        };
        self.surfaces.iter().zip(views).map(panel).collect()
    }

    fn style(&self, x_label: &str) -> Style {
        let usual = Style::default();
        Style {
            x_label: self.x_label.clone().unwrap_or_else(|| x_label.to_owned()),
            y_label: self.y_label.clone().unwrap_or_else(|| usual.y_label.clone()),
            clip: self.clip,
            width_mm: self.width.map(|width| width.0),
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
