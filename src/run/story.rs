//! The report of an analysis: its answer in sentences, tables, figures and provenance, as one page.
//!
//! Sentences are made of the numbers of `findings` and say what an interval shows, or that it shows nothing.
//! `tables/` holds every number of the page, as CSV, Markdown and LaTeX. Only the page's provenance has times in it.

mod landscape;
mod picture;
mod reliability;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use self::verdict::Verdict;
use super::findings::{self, Compared, RADIUS, Site, Surface, Training};
use super::own::Own;
use super::plan::{self, Model};
use super::runner::Done;
use super::step::Record;
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
    let story = Story { folder, analysis, models, found };
    let mut page = Page { excluded: excluded(&done.records, folder), ..begun(loaded, command) };
    page.excluded.extend(done.failed.iter().map(|(run, cause)| format!("{run} failed: {cause}")));
    story.training(&mut page)?;
    story.surfaces(&mut page)?;
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
    story.agree(&mut page)?;
    for (record, line) in done.records.iter().zip(&done.lines) {
        page.steps.push(StepRow {
            name: record.step.clone(),
            command: line.clone(),
            seconds: record.seconds,
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
        title: analysis.title.clone(),
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

/// What the steps say that they left out or made up, each with the number of steps that say so.
fn excluded(records: &[Record], folder: &Path) -> Vec<String> {
    let inside = format!("{}/", folder.display());
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for line in records.iter().filter_map(|record| record.excluded.as_ref()).flatten() {
        // Wherever the run lies.
        *steps.entry(line.replace(&inside, "")).or_default() += 1;
    }
    let line = |(line, steps): (String, usize)| {
        if steps > 1 { format!("{line} ({steps} steps)") } else { line }
    };
    let lines = steps.into_iter().map(line);
    let earlier = records.iter().filter(|record| record.excluded.is_none()).count();
    let unsaid = format!(
        "{} recorded by an earlier version, which did not tell what a step left out from its other notes: \
         they are in steps/ (--force runs all steps again)",
        counted(earlier, "step")
    );
    lines.chain((earlier > 0).then_some(unsaid)).collect()
}

struct Story<'a> {
    folder: &'a Path,
    analysis: &'a Analysis,
    models: Vec<Model>,
    found: Compared,
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

    fn training(&self, page: &mut Page) -> Result<()> {
        let rows = &self.found.training;
        let failed: usize = self.models.iter().map(|model| model.failed).sum();
        if failed > 0 {
            page.answers.push(format!("{} failed; see what was left out.", counted(failed, "training run")));
        }
        let Some(first) = rows.first() else { return Ok(()) };
        let (metric, seeds) = (first.metric.clone(), first.seeds);
        let arms: Vec<String> =
            rows.iter().map(|row| format!("{} {}", row.arm, spread(row.mean, row.sd))).collect();
        let mut text = format!(
            "Held-out {} ({} examples, {}): {}.",
            metric.replace('_', " "),
            first.held_out_examples,
            counted(seeds, "seed"),
            arms.join("; ")
        );
        for row in rows.iter().filter(|row| row.collapsed > 0) {
            text += &format!(
                " Of {} {} collapsed: the same prediction for every example.",
                row.arm,
                counted(row.collapsed, "run")
            );
        }
        if seeds == 1 && rows.len() > 1 {
            text += " One seed gives no interval: nothing follows about which arm is better.";
        }
        if let Some(trained_on) = first.runs.first().and_then(|(_, score)| score.trained_on) {
            text += &format!(" Trained on {}.", counted(trained_on, "example"));
        }
        let noisy =
            |Parsed(arm): &&Parsed<PlannedArm>| matches!(arm, PlannedArm::Other(Arm::GaussianPaper(_)));
        for Parsed(arm) in self.analysis.train.iter().flat_map(|train| &train.arms).filter(noisy) {
            text += &format!(
                " {arm} is evaluated with its noise on, as in the paper's code; the others without."
            );
        }
        page.answers.push(text);
        page.answers.extend(rows.iter().filter_map(|row| row.told(&first.arm)));
        let how = rows.iter().find(|row| row.comparison().is_some()).map(|row| row.interval.as_str());
        page.answers.extend(how.map(|how| interval_words(how, first.held_out_examples)));
        page.answers.extend(self.guides()?);
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
            "difference",
            "95 % interval",
            "p",
            "p corrected",
            "least shown",
        ];
        let cells = rows.iter().map(|row: &Training| {
            vec![
                row.arm.clone(),
                row.seeds.to_string(),
                row.collapsed.to_string(),
                format!("{:.4}", row.mean),
                optional(row.sd),
                format!("{:.4}", row.median),
                format!("{:.4}", row.loss),
                optional(row.loss_sd),
                row.difference.map_or(String::new(), signed),
                interval(row.low, row.high),
                optional(row.p),
                optional(row.p_corrected),
                optional(row.least_shown),
            ]
        });
        let caption = format!(
            "Arms on held-out examples; differences are to {}, paired by seed, with intervals of single comparisons; p is corrected \
             for all comparisons of this page by Holm. No difference smaller than the last column could have been shown",
            first.arm
        );
        page.tables.push(Table::new("training.csv", caption, &header, cells, rows)?);
        self.pairs(page)
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
                format!("{:.4}", row.p),
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
            let seed = self.analysis.train.as_ref().map(|_| self.analysis.seed);
            page.answers.extend(match surface.sampling.tolerance {
                None => rises(self.words(part), &self.models, &rows, (unit, seed)),
                Some(tolerance) => vec![sampled(self.words(part), tolerance, unit)],
            });
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
            self.figure(page, &format!("contours_{name}"), caption)?;
            self.figure(
                page,
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
            "difference",
            "95 % interval",
            "p corrected",
        ];
        let cells = all.iter().map(|row: &Surface| {
            vec![
                row.over.replace('_', " "),
                row.mask.clone(),
                row.model.clone(),
                spread_se(row.centre, row.centre_se),
                row.rise
                    .zip(row.rise_se)
                    .map_or(String::new(), |(rise, se)| format!("{} ± {se:.4}", signed(rise))),
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
                row.difference.map_or(String::new(), signed),
                interval(row.low, row.high),
                optional(row.p_corrected),
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
            let rows = findings::sites(self.folder, self.analysis)?;
            let by = |a: &&Site, b: &&Site| a.score.total_cmp(&b.score);
            if let (Some(high), Some(low)) = (rows.iter().max_by(by), rows.iter().min_by(by)) {
                let one = |site: &Site| format!("{} ({:.2e} ± {:.0e})", site.site, site.score, site.score_se);
                page.answers.push(format!(
                    "Fisher information is highest at {} and lowest at {} of {} sites.",
                    one(high),
                    one(low),
                    rows.len()
                ));
            }
            let caption = "Diagonal Fisher information of the checkpoint that everything starts from, by block and place.";
            self.figure(page, "fisher", caption.into())?;
            let cells = rows.iter().map(|row| {
                vec![row.site.clone(), format!("{:.4e}", row.score), format!("{:.1e}", row.score_se)]
            });
            page.tables.push(Table::new(
                "sites.csv",
                "Fisher score of every dropout site, with its standard error over examples".into(),
                &["site", "score", "se"],
                cells,
                &rows,
            )?);
        }
        if self.analysis.schedule.is_some() {
            let mut caption = "Drop probability of every site in the guided arm.".to_string();
            if self.analysis.schedule_by_seed() && self.analysis.seeds() > 1 {
                let text = "Each seed has a schedule of its own, from its own training part: what it holds out decides nothing.";
                page.answers.push(text.into());
                caption += " The first seed's; each seed has its own.";
            }
            self.figure(page, "schedule", caption)?;
        }
        Ok(())
    }
}

/// How far the loss rises under each mask, and where the models differ. `unit` is that of the loss, `seed` that of the
/// models.
fn rises(over: &str, models: &[Model], rows: &[&Surface], (unit, seed): (&str, Option<u64>)) -> Vec<String> {
    let first = rows.iter().filter(|row| row.model == models[0].title);
    let each = first.map(|row| match row.rise.zip(row.rise_se) {
        Some((rise, se)) => format!("{} ± {se:.4} ({})", signed(rise), row.mask),
        None => format!("no grid point ({})", row.mask),
    });
    let which = match (seed, rows.iter().map(|row| row.seeds).max()) {
        (None, _) => String::new(),
        (Some(_), Some(seeds)) if seeds > 1 => format!(" (means over the models of {seeds} seeds)"),
        (Some(seed), _) => format!(" (models of seed {seed})"),
    };
    let mut sentences = vec![format!(
        "Within distance {RADIUS} of {} the loss over {over} changes, on average, by {}, in {unit} per target{which}.",
        models[0].title,
        each.collect::<Vec<_>>().join(", ")
    )];
    for model in &models[1..] {
        let own: Vec<&&Surface> = rows.iter().filter(|row| row.model == model.title).collect();
        let pairs = own.iter().map(|row| row.seeds).max().unwrap_or(1);
        let compared: Vec<String> = own.iter().map(|row| against(row)).collect();
        let planes = if own.iter().any(|row| row.planes > 1) { " and plane" } else { "" };
        let end = match pairs {
            1 => format!(
                "{which}. This is one pair of models, with intervals over their examples{planes}: those of another seed may differ the \
                 other way round. Set surface.seeds to compare arms"
            ),
            n => format!(", over {n} pairs of models, paired by seed, example{planes}"),
        };
        sentences.push(format!(
            "Around {} that change is, against {}: {}{end}.",
            model.title,
            models[0].title,
            compared.join("; ")
        ));
    }
    sentences
}

/// What surfaces cannot say that were evaluated with a tolerance.
fn sampled(over: &str, tolerance: f64, unit: &str) -> String {
    format!(
        "Surfaces over {over} are for looking at: each point was evaluated on only as many examples as its difference from the centre \
         needs for a standard error below {tolerance} {unit} (surface.tolerance), so rises are not compared."
    )
}

/// The rise under one mask against the first model's.
fn against(row: &Surface) -> String {
    let Some(compared) = row.comparison() else { return format!("not compared in {}", row.mask) };
    let word = match compared.verdict() {
        Verdict::Above => "higher in ",
        Verdict::Below => "lower in ",
        Verdict::Open => "not shown to differ in ",
        Verdict::OnePair => "",
    };
    format!("{word}{} {}", row.mask, compared.told())
}

/// How intervals over runs count what the runs share.
fn interval_words(how: &str, held_out: usize) -> String {
    match how {
        "crossed" => format!(
            "These intervals take runs and the {held_out} held-out examples that they share for two draws: neither more seeds nor more \
             examples alone make them narrow."
        ),
        "resampled" => "Each seed splits the same examples anew, so these intervals are widened for what training and held-out parts \
                        share between seeds (Nadeau and Bengio 2003)."
            .into(),
        _ => "These intervals are over runs alone: the runs say nothing of single examples. Run them again with --force for \
              intervals that count what runs share."
            .into(),
    }
}

/// A difference with its interval, where it has one.
pub fn difference(value: f64, ends: Option<(f64, f64)>) -> String {
    let ends = ends.map_or(String::new(), |(low, high)| format!(" ({})", between(low, high)));
    format!("{}{ends}", signed(value))
}

/// With its sign, as it is printed.
fn signed(value: f64) -> String {
    format!("{value:+.4}").replace('-', "−")
}

fn between(low: f64, high: f64) -> String {
    format!("{} to {}", signed(low), signed(high))
}

fn spread(mean: f64, sd: Option<f64>) -> String {
    sd.map_or(format!("{mean:.4}"), |sd| format!("{mean:.4} (sd {sd:.4})"))
}

fn spread_se(value: f64, se: f64) -> String {
    if se.is_finite() { format!("{value:.4} ± {se:.4}") } else { format!("{value:.4}") }
}

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.4}"))
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    low.zip(high).map_or(String::new(), |(low, high)| between(low, high))
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("one {what}") } else { format!("{n} {what}s") }
}
