//! The figure that [`Render`] asks for: which kind it is, from what the files hold.

use std::path::Path;

use super::Render;
use crate::draw::canvas::named;
use crate::draw::contour::{self, Panel, Spacing, Style, contour_figure};
use crate::draw::distance::distance_figure;
use crate::draw::marks::Marks;
use crate::draw::profile::{self, Draw, Metric, Profile, profile_figure};
use crate::draw::relief::relief_figure;
use crate::error::{Error, Result};
use crate::figures::chart;
use crate::page::interactive::{Group, View};
use crate::provenance::Provenance;
use crate::stats;
use crate::tables::surface::planes::{self, Plane};
use crate::tables::surface::{DIFFERENCE_SE, EXAMPLES, Grid, LEVEL, LOSS_SE};
use crate::tasks::classes::ACCURACY;

/// Points along an axis of a grid below which they are marked.
const COARSE: usize = 15;

/// A figure in all its forms.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) svg: String,
    pub(super) caption: String,
    /// Where it can be turned.
    pub(super) surfaces: Option<Group>,
}

impl Drawn {
    /// With its name.
    pub(super) fn named(mut self) -> Drawn {
        self.svg = named(&self.svg, &self.caption);
        self
    }
}

impl Render {
    /// The figure of the files, whatever they hold.
    pub(super) fn draw(&self, provenance: &mut Provenance) -> Result<Drawn> {
        let seen_from = self.seen_from()?;
        if let Some(chart) = chart(&self.surfaces, &self.titles, self.width.map(|width| width.0))? {
            if self.clip.is_some() || !self.marks.is_empty() {
                let fix = "leave out --clip and --marks";
                return Err(Error::field("--clip, --marks", "files", "surfaces", chart.kind, fix));
            }
            chart.inputs.iter().try_for_each(|file| provenance.input_file(chart.kind, file))?;
            return Ok(Drawn { svg: chart.svg, caption: chart.caption, surfaces: None });
        }
        type Kind = fn(&Render, &mut Provenance) -> Result<Drawn>;
        let kinds: [(bool, &str, Kind); 3] = [
            (self.difference, "difference", Render::difference),
            (self.barrier, "barrier", Render::barrier),
            (self.distance, "distance", Render::distance),
        ];
        if let Some((_, name, kind)) = kinds.iter().find(|(asked, ..)| *asked) {
            return match seen_from {
                None => kind(self, provenance),
                Some(_) => {
                    let expected = format!("flat for --{name}");
                    Err(Error::field("--view", "view", expected, "3d", "leave out --view"))
                }
            };
        }
        let mut views = self.surfaces_or_volumes(provenance)?;
        if views.iter().any(|view| view.grid.z.is_some()) {
            return self.central_planes(views, seen_from);
        }
        if self.along_x {
            views = views
                .into_iter()
                .zip(&self.surfaces)
                .map(|(view, path)| along_x(view, path))
                .collect::<Result<_>>()?;
        }
        let marks = self.marks(provenance)?;
        // One file of marks is for all surfaces.
        let own = views.iter_mut().zip(marks.iter().cycle());
        own.for_each(|(view, marks)| view.marks = marks.clone());
        if views.iter().all(|view| view.grid.y.len() == 1) {
            if seen_from.is_some() {
                let fix = "leave out --view, or give surfaces over a plane";
                return Err(Error::field("--view", "view", "flat for losses along a line", "3d", fix));
            }
            return self.profile(views, &marks);
        }
        let panels =
            self.surfaces.iter().zip(&views).map(|(path, view)| panel(path, view)).collect::<Result<_>>()?;
        let (svg, caption) = self.over_planes(panels, seen_from)?;
        let (title, label) = ("Loss surfaces".into(), self.label.clone());
        let surfaces = Some(Group { title, label, clip: self.clip, views });
        Ok(Drawn { svg, caption, surfaces })
    }

    /// Panels as contours or reliefs, and the caption.
    fn over_planes(&self, panels: Vec<Panel>, seen_from: Option<contour::View>) -> Result<(String, String)> {
        let rises = contour::rises(&panels);
        let usual = self.style("direction x (a)", rises.is_some());
        let panels = rises.unwrap_or(panels);
        // Of a coarse grid most of the picture is interpolated, which its points say.
        let coarse = panels.iter().all(|panel| panel.x.len().max(panel.y.len()) < COARSE);
        let style = Style { dots: self.dots || coarse && seen_from.is_none(), ..usual };
        if self.dots && seen_from.is_some() && panels.iter().any(|panel| panel.known.is_some()) {
            let fix = "leave out --dots or --view";
            return Err(Error::field("--dots", "view", "flat for a refined surface", "3d", fix));
        }
        let svg = match seen_from {
            Some(view) => relief_figure(&panels, &style, view)?,
            None => contour_figure(&panels, &style)?,
        };
        Ok((svg, contour::caption(&panels, &style, seen_from)))
    }

    /// Three planes of each volume, on one scale.
    fn central_planes(&self, views: Vec<View>, seen_from: Option<contour::View>) -> Result<Drawn> {
        if self.along_x || !self.marks.is_empty() {
            let sentence = "a volume has neither --along-x nor --marks";
            return Err(Error::said(
                "--along-x, --marks",
                sentence,
                "leave them out to draw its central planes",
            ));
        }
        let style = self.style("direction x (a)", false);
        let words = |axis: &str| match axis {
            "x" => style.x_label.clone(),
            "y" => style.y_label.clone(),
            _ => "direction z (c)".into(),
        };
        let mut panels = Vec::new();
        for (path, view) in self.surfaces.iter().zip(views) {
            if view.grid.z.is_none() {
                let fix = "draw volumes and surfaces in figures of their own";
                return Err(Error::field(
                    path.display(),
                    "file",
                    "a volume, as others of the figure",
                    "a surface",
                    fix,
                ));
            }
            for Plane { axes, normal, grid } in planes::central(&view.grid, path)? {
                let title = format!("{}: {normal} = 0", view.title);
                let own = panel(path, &View { title, grid, marks: Marks::default() })?;
                panels.push(Panel { axes: Some(axes.map(words)), ..own });
            }
        }
        let (svg, caption) = self.over_planes(panels, seen_from)?;
        Ok(Drawn { svg, caption, surfaces: None })
    }

    /// The surfaces with their titles.
    ///
    /// # Errors
    ///
    /// Also for a volume, of which the figure is not.
    pub(super) fn views(&self, provenance: &mut Provenance) -> Result<Vec<View>> {
        let views = self.surfaces_or_volumes(provenance)?;
        match self.surfaces.iter().zip(&views).find(|(_, view)| view.grid.z.is_some()) {
            None => Ok(views),
            Some((path, _)) => {
                let fix = "leave out the option, which draws the central planes, or convert it to .vti for ParaView";
                Err(Error::said(path.display(), "it is a volume, and this figure is of surfaces", fix))
            }
        }
    }

    fn surfaces_or_volumes(&self, provenance: &mut Provenance) -> Result<Vec<View>> {
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
            files.push((view.title, draw_of(view.grid)));
        }
        let (profiles, marks) = (Profile::gathered(files), Marks::together(marks));
        let rises = profile::rises(&profiles, &marks);
        let style = self.style("distance along the direction (a)", rises.is_some());
        let profiles = rises.unwrap_or(profiles);
        let svg = profile_figure(&profiles, &marks, &style)?;
        Ok(Drawn { svg, caption: profile::caption(&profiles, &style), surfaces: None })
    }

    /// Rises above the models at 0 against the distance from them.
    fn distance(&self, provenance: &mut Provenance) -> Result<Drawn> {
        let mut files = Vec::new();
        for (path, view) in self.surfaces.iter().zip(self.views(provenance)?) {
            view.grid.check_drawable(path)?;
            let draw = Some(&view.grid).filter(|grid| grid.y.len() == 1).cloned().map(draw_of);
            let Some(rise) = draw.and_then(|draw| draw.rise()) else {
                let expected = "a line with a finite loss at 0, where the model is";
                let fix = "make it with `fisherscape surface --profile`";
                return Err(Error::field(path.display(), "surface", expected, "none", fix));
            };
            files.push((view.title, rise));
        }
        let style = self.style("distance from the model (a)", true);
        let words = (style.x_label.as_str(), style.loss_label.as_str());
        let (svg, caption) = distance_figure(&Profile::gathered(files), words, style.width_mm)?;
        Ok(Drawn { svg, caption, surfaces: None })
    }

    /// `rise`: whether losses are drawn less that of the trained model.
    pub(super) fn style(&self, x_label: &str, rise: bool) -> Style {
        let usual = Style::default();
        Style {
            x_label: self.x_label.clone().unwrap_or_else(|| x_label.to_owned()),
            y_label: self.y_label.clone().unwrap_or_else(|| usual.y_label.clone()),
            clip: self.clip,
            width_mm: self.width.map(|width| width.0),
            columns: self.columns,
            loss_label: if rise { format!("rise of {}", self.label) } else { self.label.clone() },
            map: self.colours,
            spacing: self.levels.unwrap_or(if rise { Spacing::Decades } else { Spacing::Linear }),
            rise,
            dots: self.dots,
            ..usual
        }
    }
}

/// A surface over a plane, with its marks.
fn panel(path: &Path, view: &View) -> Result<Panel> {
    view.grid.check_drawable(path)?;
    let se = view.grid.column(LOSS_SE);
    let centre_se = view.grid.origin().zip(se).map(|(i, se)| se[i]).filter(|se| se.is_finite());
    let errors = view.grid.column(DIFFERENCE_SE).map(<[f64]>::to_vec);
    let Grid { x, y, loss, centre, known, .. } = view.grid.clone();
    Ok(Panel {
        title: view.title.clone(),
        axes: None,
        x,
        y,
        loss,
        centre: centre.filter(|loss| loss.is_finite()),
        centre_se,
        errors,
        known,
        dotted: None,
        note: None,
        marks: view.marks.clone(),
    })
}

/// The row of a surface through its centre, its coordinates distances in parameter space.
fn along_x(view: View, path: &Path) -> Result<View> {
    let wrong = |field, expected: &str, found: &str, fix| {
        Err(Error::field(path.display(), field, expected, found, fix))
    };
    let grid = &view.grid;
    let Some(length) = grid.length else {
        let fix = "make the surface with `fisherscape surface`";
        return wrong("norms.x", "the length of the direction in SURFACE.json", "none", fix);
    };
    let Some(row) = grid.y.iter().position(|y| *y == 0.0) else {
        return wrong("y", "a row at 0", "none", "make the surface with an odd --resolution");
    };
    let (width, from) = (grid.x.len(), row * grid.x.len());
    let of = |values: &[f64]| values.get(from..from + width).unwrap_or_default().to_vec();
    let columns = grid.columns.iter().map(|(name, values)| (name.clone(), of(values))).collect();
    let known = grid.known.as_ref().map(|known| known.get(from..from + width).unwrap_or_default().to_vec());
    let x = grid.x.iter().map(|x| x * length).collect();
    let grid = Grid { x, y: vec![0.0], loss: of(&grid.loss), columns, known, ..grid.clone() };
    Ok(View { grid, ..view })
}

/// A file as a curve's draw.
fn draw_of(grid: Grid) -> Draw {
    let named = |name| grid.column(name).map(<[f64]>::to_vec);
    let [loss_se, rise_se] = [LOSS_SE, DIFFERENCE_SE].map(named);
    let other = [LOSS_SE, DIFFERENCE_SE, EXAMPLES, LEVEL];
    let chief = grid.columns.iter().find(|(name, _)| !other.contains(&name.as_str()));
    let metric = chief.map(|(name, values)| {
        // An accuracy is a share of the examples.
        let examples = grid.examples.filter(|_| name == ACCURACY.name);
        let se = |examples| values.iter().map(|share| stats::binomial_se(*share, examples)).collect();
        Metric { name: name.clone(), values: values.clone(), se: examples.map(se) }
    });
    Draw { x: grid.x, loss: grid.loss, loss_se, rise_se, metric }
}
