//! What is said of profiles, planes between models and along training, and sharpness.

use serde_json::Value;

use super::Story;
use super::words::{counted, probability};
use crate::analysis::config::Parsed;
use crate::analysis::titles::mask_title;
use crate::draw::marks::Marks;
use crate::error::{Error, Result};
use crate::figures::chart;
use crate::files;
use crate::page::interactive::{Group, View};
use crate::page::{Page, Table};
use crate::run::findings;
use crate::run::plan;
use crate::tables::surface::Grid;

impl Story<'_> {
    pub(super) fn profiles(&self, page: &mut Page) -> Result<()> {
        let (Some(surface), Some(profile)) = (&self.analysis.surface, &self.analysis.profile) else {
            return Ok(());
        };
        for part in self.analysis.surfaces_over() {
            let unit = self.unit(part)?;
            let several = surface.masks.len() > 1;
            if several {
                let caption = format!(
                    "Rise of the loss over {}, in {unit} per target, against the distance from each model, in each mask. Both axes are \
                     logarithmic where the rises allow it: a quadratic loss is a straight line then, and a line that lies higher \
                     is of parameters that matter more. Each point is the mean of both sides.",
                    self.words(part),
                );
                self.figure_over(page, part, &plan::distance_figure(part), caption)?;
            }
            for Parsed(mask) in &surface.masks {
                let caption = format!(
                    "Loss over {}, in {unit} per target, along {} from each model ({}): the mean of the draws and how far \
                     they spread.",
                    self.words(part),
                    counted(profile.draws, "random direction"),
                    mask_title(mask)
                );
                self.figure_over(page, part, &plan::profile_figure(part, mask), caption)?;
                // All masks stand in one figure already.
                page.figures.iter_mut().last().into_iter().for_each(|figure| figure.aside |= several);
            }
        }
        Ok(())
    }

    pub(super) fn plane(&self, page: &mut Page) -> Result<()> {
        if self.analysis.plane.is_none() {
            return Ok(());
        }
        let parts = self.analysis.surfaces_over();
        let over: Vec<&str> = parts.iter().map(|part| self.words(*part)).collect();
        if self.models.len() > 1 {
            let marks = findings::marks(self.folder)?;
            let places: Vec<String> =
                marks.iter().map(|m| format!("{} ({:.3}, {:.3})", m.label, m.x, m.y)).collect();
            let caption = format!(
                "Loss over {} in the plane through the pre-trained model and both trained ones, which lie at {}. Distances \
                 are those between weights; the unit is the distance from the first model to the second.",
                over.join(" and over "),
                places.join(", ")
            );
            self.figure(page, "plane", caption)?;
            let cells =
                marks.iter().map(|m| vec![m.label.clone(), format!("{:.4}", m.x), format!("{:.4}", m.y)]);
            let caption = "Models in their common plane".to_string();
            page.tables.push(Table::new("plane.csv", caption, &["model", "x", "y"], cells, &marks)?);
        }
        for part in parts {
            let caption =
                format!("Loss and metric over {} on the straight lines between models.", self.words(part));
            self.figure_over(page, part, &format!("lines_{}", plan::part_name(part)), caption)?;
        }
        Ok(())
    }

    pub(super) fn trajectory(&self, page: &mut Page) -> Result<()> {
        let Some(trajectory) = &self.analysis.trajectory else { return Ok(()) };
        let mut shares = Vec::new();
        for model in self.models.iter().filter(|model| !model.runs.is_empty()) {
            if let Some([first, second]) = findings::explained(self.folder, model)? {
                shares.push(format!("{}: {:.1} % and {:.1} %", model.title, 100.0 * first, 100.0 * second));
            }
        }
        let caption = format!(
            "The way of each training, {} projected on the plane of their two leading principal components about the trained \
             model at (0, 0), over the loss on {} in that plane. The components explain of the variance, {}. Points lie off \
             the plane, so their own loss is another; a walk at random would look as curved.",
            counted(trajectory.snapshots, "snapshot"),
            self.words(self.analysis.surfaces_over()[0]),
            shares.join("; ")
        );
        self.figure(page, "trajectory", caption)
    }

    pub(super) fn kinds(&self, page: &mut Page) -> Result<()> {
        for Parsed(source) in self.analysis.planes.iter().map(|plane| plane.kind) {
            let [x, y] = source.axes;
            let over = self.words(self.analysis.surfaces_over()[0]);
            let caption =
                format!("Loss over {over} around each model at (0, 0). Along x: {x}. Along y: {y}.");
            self.figure(page, &plan::kind_figure(source), caption)?;
        }
        Ok(())
    }

    /// Relief views, which the reader can rotate, of the planes between models, along training, of each kind of directions and
    /// of eigenvectors.
    pub(super) fn planes(&self, page: &mut Page) -> Result<()> {
        let mut views = Vec::new();
        let mut add = |title: String, surface: &str, marks: Option<&str>| -> Result<()> {
            let grid = Grid::read(&self.folder.join(surface))?;
            let marks = marks.map(|marks| Marks::read(&self.folder.join(marks))).transpose()?;
            views.push(View { title, grid, marks: marks.unwrap_or_default() });
            Ok(())
        };
        let parts = self.analysis.surface.as_ref().map_or(Vec::new(), |_| self.analysis.surfaces_over());
        if self.analysis.plane.is_some() && self.models.len() > 1 {
            for &part in &parts {
                add(format!("models, {}", self.words(part)), &plan::models_path(part), Some(plan::MARKS))?;
            }
        }
        let trained = self.models.iter().filter(|model| !model.runs.is_empty());
        for model in trained.filter(|_| self.analysis.trajectory.is_some()) {
            let stem = plan::trajectory_stem(model);
            let marks = format!("{stem}.marks.csv");
            add(format!("training of {}", model.title), &format!("{stem}_surface.csv"), Some(&marks))?;
        }
        for Parsed(source) in self.analysis.planes.iter().map(|plane| plane.kind) {
            for model in &self.models {
                let stem = plan::kind_stem(source, model);
                add(format!("{}, {}", model.title, source.name), &format!("{stem}_surface.csv"), None)?;
            }
        }
        for model in self.models.iter().filter(|_| self.analysis.sharpness.is_some()) {
            add(format!("eigenvectors of {}", model.title), &plan::eigen_path(model), None)?;
        }
        if !views.is_empty() {
            let label = self.analysis.loss_label();
            page.views.push(Group { title: "planes through models".into(), label, clip: None, views });
        }
        Ok(())
    }

    pub(super) fn sharpness(&self, page: &mut Page) -> Result<()> {
        if self.analysis.sharpness.is_none() {
            return Ok(());
        }
        let over = self.words(self.analysis.surfaces_over()[0]);
        let rows = &self.found.sharpness;
        let runs = rows.first().map_or(1, |row| row.runs);
        let pairing = match runs {
            1 => "for this one pair of models, over examples and draws, which shows nothing about others"
                .to_string(),
            n => format!("paired by seed, {n} seeds"),
        };
        let header = ["measure", "model", "runs", "value", "se", "difference (95 %)", "p corrected"];
        let number = |value: f64| {
            if value.is_finite() { format!("{value:.4e}").replace('-', "−") } else { String::new() }
        };
        let cells = rows.iter().map(|row| {
            vec![
                row.measure.replace('_', " "),
                row.model.clone(),
                row.runs.to_string(),
                number(row.value),
                number(row.se),
                row.difference.zip(row.low.zip(row.high)).map_or(String::new(), |(value, (low, high))| {
                    format!("{} ({} to {})", number(value), number(low), number(high))
                }),
                probability(row.p_corrected),
            ]
        });
        let caption = format!(
            "Sharpness over {over}; se is over examples and draws, of the first run; differences are to {}, {pairing}. \
             Halving the differences behind the Hessian changes its product with the first eigenvector by {:.0e} at most, relative. \
             Sharpness is no property of the function: weights that are scaled without changing it change all of these",
            self.models[0].title,
            findings::difference_error(self.folder, &self.models)?
        );
        page.tables.push(Table::new("sharpness.csv", caption, &header, cells, rows)?);
        self.sharpness_of_runs(page)?;
        self.figure(
            page,
            "spectrum",
            format!(
                "Spectral density of the Hessian of the loss over {over}, smoothed by {}, and its leading eigenvalues. The \
                 width of the peak at 0 is that of the smoothing.{}",
                findings::smoothing(self.folder, &self.models)?,
                self.extremes()?
            ),
        )?;
        self.figure(
            page,
            "eigenvectors",
            format!(
                "Loss over {over} along the two leading eigenvectors of the Hessian. The unit is the distance at which the \
                 parabola along the first has risen by 1, so each panel has its own."
            ),
        )
    }

    /// What the sections beyond the usual measures ask for, run by run.
    fn sharpness_of_runs(&self, page: &mut Page) -> Result<()> {
        let Some(sharpness) = self.analysis.sharpness.as_ref().filter(|own| own.critical || own.by.is_some())
        else {
            return Ok(());
        };
        let rows = &self.found.sharp_runs;
        let cells = rows.iter().map(|row| {
            let number = |value: f64| format!("{value:.4e}").replace('-', "−");
            vec![
                row.measure.replace('_', " "),
                row.model.clone(),
                row.seed.trim_start_matches("seed").into(),
                number(row.value),
                number(row.se),
            ]
        });
        let caption = "Sharpness of every run; se is over examples and draws".to_string();
        let header = ["measure", "model", "seed", "value", "se"];
        page.tables.push(Table::new("sharpness_runs.csv", caption, &header, cells, rows)?);
        for model in self.models.iter().filter(|_| sharpness.by.is_some()) {
            let path = plan::sharpness_path(model, model.runs.first());
            for (table, figure) in [
                (plan::layers_path(&path), plan::layers_figure(model)),
                (plan::densities_path(&path), plan::densities_figure(model)),
            ] {
                let drawn = chart(&[self.folder.join(table)], &[], None)?;
                let words = drawn.map_or(String::new(), |chart| chart.caption.trim_end().to_string());
                self.figure(page, &figure, format!("Around {}. {words}", model.title))?;
            }
        }
        Ok(())
    }

    /// The largest and the smallest eigenvalue of each model's first run, with their bounds; those of earlier versions have none.
    fn extremes(&self) -> Result<String> {
        let mut each = Vec::new();
        for model in &self.models {
            let path =
                self.folder.join(plan::sharpness_path(model, model.runs.first())).with_extension("json");
            let about: Value = serde_json::from_slice(&files::read(&path)?).map_err(|e| {
                Error::field(path.display(), "file", "JSON", e, "run the analysis again with --force")
            })?;
            let one = |pointer: &str| {
                let number = |key: &str| about.pointer(&format!("{pointer}/{key}"))?.as_f64();
                Some(format!("{:.4} (within {:.0e})", number("value")?, number("within")?))
            };
            let ends = one("/eigenvalues/0").zip(one("/smallest_eigenvalue"));
            each.extend(ends.map(|(first, last)| format!("{}: {first} and {last}", model.title)));
        }
        Ok(match each.is_empty() {
            true => String::new(),
            false => format!(" Largest and smallest eigenvalue, {}.", each.join("; ")),
        })
    }
}
