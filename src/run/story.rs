//! The report of an analysis: its answer in sentences, tables, figures and provenance, as one page.
//!
//! Sentences are made of the numbers of `findings` and say what an interval shows, or that it shows nothing.
//! `tables/` holds every number of the page, as CSV, Markdown and LaTeX. Only the page's provenance has times in it.

mod answers;
mod arrange;
mod basins;
mod better;
mod flatter;
mod headed;
mod landscape;
mod matters;
mod next;
mod picture;
mod pruned;
mod ranking;
mod reliability;
mod shares;
mod verdict;
mod warnings;
mod words;

use std::path::Path;

pub use self::next::ONE_SEED;
pub use self::warnings::is_barely;
pub use self::words::{arm, at_most, counted, difference, level, listed, part_of, upper};
use self::words::{compared, optional, probability, signed, spread, spread_se};
use super::findings::{self, Compared, RADIUS, Sites, Surface, Training};
use super::own::Own;
use super::plan::{self, Model};
use super::runner::Done;
use crate::analysis::Loaded;
use crate::analysis::config::{Analysis, Parsed, Part, PlannedArm};
use crate::analysis::titles::mask_title;
use crate::data::frozen::FrozenSet;
use crate::draw::marks::Marks;
use crate::dropout::Arm;
use crate::error::Result;
use crate::files;
use crate::page::interactive::{Group, View};
use crate::page::{Figure, Page, StepRow, Table};
use crate::tables::surface::Grid;

/// Writes tables and page of a run whose steps are done.
pub fn write(loaded: &Loaded, folder: &Path, command: &str, done: &Done) -> Result<Page> {
    let mut page = told(loaded, folder, command, done)?;
    write_tables(&page, folder)?;
    picture::draw(&mut page, folder)?;
    write_page(&page, folder)?;
    Ok(page)
}

/// The page of a run whose steps are done; nothing is written.
pub fn told(loaded: &Loaded, folder: &Path, command: &str, done: &Done) -> Result<Page> {
    let analysis = &loaded.analysis;
    let models = plan::models(analysis, &done.failed);
    let found = findings::compared(folder, analysis, &models)?;
    let sites = analysis.fisher.as_ref().map(|_| findings::sites(folder, analysis)).transpose()?;
    let story = Story { folder, analysis, models, found, sites };
    let mut page = Page { excluded: warnings::excluded(&done.records, folder), ..begun(loaded, command) };
    page.excluded.extend(done.failed.iter().map(|(run, cause)| format!("{run} failed: {cause}")));
    story.training(&mut page)?;
    story.surfaces(&mut page)?;
    story.pairs(&mut page)?;
    story.basins(&mut page)?;
    story.profiles(&mut page)?;
    story.plane(&mut page)?;
    story.trajectory(&mut page)?;
    story.kinds(&mut page)?;
    story.sharpness(&mut page)?;
    story.planes(&mut page)?;
    story.fisher(&mut page)?;
    story.stability(&mut page)?;
    story.audit(&mut page)?;
    story.damage(&mut page)?;
    story.pruned(&mut page)?;
    story.shares(&mut page)?;
    story.agree(&mut page)?;
    let verdicts = story.answer(&mut page)?;
    page.next = story.next(&done.failed)?;
    let steps = plan::steps(analysis, &done.failed);
    story.warn(&mut page, &steps, done)?;
    story.arrange(&mut page, &steps)?;
    story.head(&mut page, &verdicts)?;
    for (record, line) in done.records.iter().zip(&done.lines) {
        page.steps.push(StepRow {
            name: record.step.clone(),
            command: line.clone(),
            seconds: record.seconds,
            job: record.job.clone(),
            outputs: record
                .outputs
                .iter()
                .map(|(path, hash)| (path.clone(), hash.chars().take(16).collect()))
                .collect(),
        });
    }
    Ok(page)
}

/// A page with what the analysis itself says.
pub fn begun(loaded: &Loaded, command: &str) -> Page {
    let analysis = &loaded.analysis;
    Page {
        title: if analysis.title.is_empty() { loaded.name.clone() } else { analysis.title.clone() },
        question: analysis.question.clone(),
        source: analysis.source.clone(),
        expectation: analysis.expectation.clone(),
        reading: analysis.reading.clone(),
        command: command.to_string(),
        analysis: loaded.text.clone(),
        seed: analysis.seed,
        ..Page::default()
    }
}

/// Writes the tables of a page in place of earlier ones.
pub fn write_tables(page: &Page, folder: &Path) -> Result<()> {
    let mut own = Own::of(folder)?;
    own.remove()?;
    for table in &page.tables {
        let path = format!("tables/{}", table.file);
        own.write(&path, table.csv.as_bytes())?;
        for (extension, text) in table.texts()? {
            let path = Path::new(&path).with_extension(extension);
            own.write(&path.display().to_string(), text.as_bytes())?;
        }
    }
    Ok(())
}

/// Writes the page.
pub fn write_page(page: &Page, folder: &Path) -> Result<()> {
    Own::of(folder)?.write("report.html", page.html()?.as_bytes())
}

struct Story<'a> {
    folder: &'a Path,
    analysis: &'a Analysis,
    models: Vec<Model>,
    found: Compared,
    sites: Option<Sites>,
}

impl Story<'_> {
    fn words(&self, part: Part) -> &'static str {
        plan::part_words(part, self.analysis.train.is_some())
    }

    /// What the loss over a part is measured in.
    fn unit(&self, part: Part) -> Result<&'static str> {
        let set = FrozenSet::read(&self.folder.join(plan::surface_set(part)))?;
        Ok(set.kind.spec().unit)
    }

    fn figure(&self, page: &mut Page, file: &str, caption: String) -> Result<()> {
        let path = format!("figures/{file}.svg");
        let svg = files::read_text(&self.folder.join(&path))?;
        page.figures.push(Figure::new(format!("figures/{file}"), svg, caption));
        Ok(())
    }

    /// A figure over a part: what models were trained on stands aside where something else is there.
    fn figure_over(&self, page: &mut Page, part: Part, file: &str, caption: String) -> Result<()> {
        self.figure(page, file, caption)?;
        let aside = part == Part::Train && self.analysis.surfaces_over().len() > 1;
        page.figures.iter_mut().last().into_iter().for_each(|figure| figure.aside = aside);
        Ok(())
    }

    fn training(&self, page: &mut Page) -> Result<()> {
        let rows = &self.found.training;
        let Some(first) = rows.first() else { return Ok(()) };
        let (metric, seeds) = (first.metric.clone(), first.seeds);
        let arms: Vec<String> =
            rows.iter().map(|row| format!("{} {}", row.arm, spread(row.mean, row.sd))).collect();
        let mut text = format!(
            "Held-out {} ({}, {}): {}.",
            metric.replace('_', " "),
            counted(first.held_out_examples, "example"),
            counted(seeds, "seed"),
            arms.join("; ")
        );
        let noisy =
            |Parsed(arm): &&Parsed<PlannedArm>| matches!(arm, PlannedArm::Other(Arm::GaussianPaper(_)));
        for Parsed(arm) in self.analysis.train.iter().flat_map(|train| &train.arms).filter(noisy) {
            text += &format!(
                " {arm} is evaluated with its noise on, as in the paper's code; the others without."
            );
        }
        page.details.push(text);
        let how = rows.iter().find(|row| row.comparison().is_some()).map(|row| row.interval.as_str());
        page.details.extend(how.map(|how| interval_words(how, first.held_out_examples)));
        page.details.extend(self.guides()?);
        let arms = rows.iter().map(|row| row.arm.as_str()).collect::<Vec<_>>().join(", ");
        let caption = format!(
            "Training of {arms}, {} each: loss on the batches trained on (with dropout) and on held-out examples, and {} \
             on the latter.",
            counted(seeds, "seed"),
            metric.replace('_', " ")
        );
        self.figure(page, "training", caption)?;
        let header = [
            "arm",
            "seeds",
            "collapsed",
            &metric,
            "sd",
            "median",
            "held-out loss",
            "sd",
            "same answer",
            "difference (95 %)",
            "p",
            "p corrected",
            "least shown",
        ];
        let cells = rows.iter().map(|row: &Training| {
            vec![
                row.arm.clone(),
                row.seeds.to_string(),
                if row.collapsed > 0 { row.collapsed.to_string() } else { String::new() },
                format!("{:.4}", row.mean),
                optional(row.sd),
                format!("{:.4}", row.median),
                format!("{:.4}", row.loss),
                optional(row.loss_sd),
                optional(row.constant),
                compared(row.difference, row.low.zip(row.high)),
                probability(row.p),
                probability(row.p_corrected),
                optional(row.least_shown),
            ]
        });
        let caption = format!(
            "Arms on held-out examples; differences are to {}, paired by seed, with intervals of single comparisons; p is corrected \
             for all comparisons of this page by Holm. Same answer: the best score of a model that says the same of every example. No \
             difference smaller than the last column could have been shown",
            first.arm
        );
        page.tables.push(Table::new("training.csv", caption, &header, cells, rows)?);
        Ok(())
    }

    /// Where two classifiers of one seed differ, example by example.
    fn pairs(&self, page: &mut Page) -> Result<()> {
        let rows = findings::mcnemar(self.folder, &self.models)?;
        if rows.is_empty() {
            return Ok(());
        }
        let header = ["arm", "seed", "both right", "only the first arm", "only this arm", "both wrong", "p"];
        let cells = rows.iter().map(|row| {
            vec![
                row.arm.clone(),
                row.seed.clone(),
                row.both.to_string(),
                row.only_first.to_string(),
                row.only_this.to_string(),
                row.neither.to_string(),
                probability(Some(row.p)),
            ]
        });
        let caption = format!(
            "Held-out examples by who is right, {} or the arm, at each seed; p is McNemar's exact one, about these two models and not \
             corrected",
            self.models[0].title
        );
        page.tables.push(Table::new("mcnemar.csv", caption, &header, cells, &rows)?);
        Ok(())
    }

    /// How much the schedules of the arms agree: where a rule without data gives the same one, it is no work of the data.
    fn guides(&self) -> Result<Option<String>> {
        let rows = findings::schedules(self.folder, &self.models)?;
        let Some((first, others)) = rows.split_first() else { return Ok(None) };
        let number = |rho: &f64| format!("{rho:.3}").replace('-', "−");
        let each: Vec<String> = others.iter().map(|(arm, rho)| format!("{arm} {}", number(rho))).collect();
        let text = format!(
            "The arms' rates agree with those of {} at a rank correlation over the sites of: {}.",
            first.0,
            each.join("; ")
        );
        Ok((!others.is_empty()).then_some(text))
    }

    fn surfaces(&self, page: &mut Page) -> Result<()> {
        let Some(surface) = &self.analysis.surface else { return Ok(()) };
        for part in self.analysis.surfaces_over() {
            let over = plan::part_name(part);
            let rows: Vec<&Surface> = self.found.surfaces.iter().filter(|row| row.over == over).collect();
            let unit = self.unit(part)?;
            let tolerance = surface.sampling.tolerance;
            page.details.extend(tolerance.map(|tolerance| sampled(self.words(part), tolerance, unit)));
            let name = plan::part_name(part);
            let centres: Vec<String> = rows[..self.models.len()]
                .iter()
                .map(|row| format!("{} {}", row.model, spread_se(row.centre, row.centre_se)))
                .collect();
            let caption = format!(
                "Loss over {}, in {unit} per target, around each model (the cross) along two common random directions, \
                 in the parameters that each mask lets move. At the centre: {}.",
                self.words(part),
                centres.join("; ")
            );
            self.figure_over(page, part, &format!("contours_{name}"), caption)?;
            self.figure_over(
                page,
                part,
                &format!("surfaces_{name}"),
                format!("The same surfaces over {} as reliefs, on one scale of heights.", self.words(part)),
            )?;
            let mut views = Vec::new();
            for model in &self.models {
                for Parsed(mask) in &surface.masks {
                    let run = plan::surface_runs(self.analysis, model)[0];
                    let path = plan::surface_path(self.analysis, part, (model, run), mask, 0);
                    let grid = Grid::read(&self.folder.join(path))?;
                    let title = format!("{}: {}", model.title, mask_title(mask));
                    views.push(View { title, grid, marks: Marks::default() });
                }
            }
            page.views.push(Group {
                title: self.words(part).to_string(),
                label: format!("loss ({unit})"),
                clip: None,
                views,
            });
        }
        let all = &self.found.surfaces;
        let header = [
            "over",
            "mask",
            "model",
            "centre",
            "rise",
            "sd over planes",
            "highest",
            "effective",
            "difference (95 %)",
            "p corrected",
        ];
        let cells = all.iter().map(|row: &Surface| {
            vec![
                row.over.replace('_', " "),
                row.mask.clone(),
                row.model.clone(),
                spread_se(row.centre, row.centre_se),
                row.rise.map_or(String::new(), |rise| {
                    let se = row.rise_se.filter(|se| se.is_finite());
                    format!("{}{}", signed(rise), se.map_or(String::new(), |se| format!(" ± {se:.4}")))
                }),
                optional(row.rise_sd),
                format!(
                    "{:.3}{}",
                    row.highest,
                    if row.not_finite > 0 {
                        format!(" ({} not finite)", row.not_finite)
                    } else {
                        String::new()
                    }
                ),
                row.effective.to_string(),
                compared(row.difference, row.low.zip(row.high)),
                probability(row.p_corrected),
            ]
        });
        let pairs = all.iter().map(|row| row.seeds).max().unwrap_or(1);
        let about = match pairs {
            1 => "for this one pair of models, which shows nothing about others".to_string(),
            n => format!("over {n} pairs of models"),
        };
        let caption = format!(
            "Surfaces. Rise: mean over the grid points within distance {RADIUS} of the centre of the loss minus that at the centre; \
             differences are to {}, paired by plane and example, {about}, over {}",
            self.models[0].title,
            counted(surface.draws, "plane")
        );
        page.tables.push(Table::new("surfaces.csv", caption, &header, cells, all)?);
        Ok(())
    }

    fn fisher(&self, page: &mut Page) -> Result<()> {
        if self.analysis.fisher.is_some() {
            let none = Vec::new();
            let rows = self.sites.as_ref().map_or(&none, |sites| &sites.rows);
            let caption = "Diagonal Fisher information of the checkpoint that everything starts from, by block and place.";
            self.figure(page, "fisher", caption.into())?;
            let cells = rows
                .iter()
                .map(|row| vec![row.site.clone(), format!("{:.4e}", row.score), error(row.score_se)]);
            page.tables.push(Table::new(
                "sites.csv",
                "Fisher score of every dropout site, with its standard error over examples".into(),
                &["site", "score", "se"],
                cells,
                rows,
            )?);
        }
        if self.analysis.schedule.is_some() {
            let mut caption = "Drop probability of every site in the guided arm.".to_string();
            if self.analysis.schedule_by_seed() && self.analysis.seeds() > 1 {
                let text = "Each seed has a schedule of its own, from its own training part: what it holds out decides nothing.";
                page.details.push(text.into());
                caption += " The first seed's; each seed has its own.";
            }
            self.figure(page, "schedule", caption)?;
        }
        Ok(())
    }
}

/// What surfaces cannot say that were evaluated with a tolerance.
fn sampled(over: &str, tolerance: f64, unit: &str) -> String {
    format!(
        "Surfaces over {over} are only for looking at: each point used no more examples than its difference from the centre needs for \
         a standard error below {tolerance} {unit} (surface.tolerance), so rises are not compared."
    )
}

/// How intervals over runs count what the runs share.
fn interval_words(how: &str, held_out: usize) -> String {
    match how {
        "crossed" => format!(
            "These intervals count two draws: the runs, and the {held_out} held-out examples that they share. Narrow intervals need \
             more of both."
        ),
        "resampled" => "Each seed splits the same examples anew, so these intervals are widened for what training and held-out parts \
                        share between seeds (Nadeau and Bengio 2003)."
            .into(),
        _ => "These intervals are over runs only, as the runs recorded no single examples. Run them again with --force for \
              intervals that count what runs share."
            .into(),
    }
}

fn error(value: f64) -> String {
    if value.is_finite() { format!("{value:.1e}") } else { String::new() }
}
