//! Figures that are drawn of the tables of a page, when these are written.

use std::path::Path;

use super::own::Own;
use super::stage;
use super::step::Step;
use crate::error::Result;
use crate::files;
use crate::page::{Figure, Page, StepRow};
use crate::provenance::{self, command_line};

/// Draws a table of a run or a study, and puts the figure on the page.
pub fn draw(page: &mut Page, folder: &Path, name: &str, table: &str, caption: String) -> Result<()> {
    let step =
        ["svg", "pdf", "png"].iter().fold(Step::new(format!("figure of {table}"), "render"), |step, end| {
            step.writes("--out", format!("figures/{name}.{end}"))
        });
    let step = step.file(format!("tables/{table}"));
    let line = command_line(step.words(folder));
    let mut own = Own::of(folder)?;
    let beside = step.written().map(|path| provenance::beside(Path::new(path)).display().to_string());
    let written: Vec<String> = step.written().map(str::to_string).chain(beside).collect();
    written.iter().try_for_each(|path| own.begin(path))?;
    let (outcome, _) = crate::progress::listen(|| stage(&step, folder).and_then(|stage| stage.run(&line)));
    outcome?;
    written.iter().try_for_each(|path| own.ended(path))?;
    let svg = files::read_text(&folder.join(format!("figures/{name}.svg")))?;
    page.figures.push(Figure {
        endings: ["svg", "pdf", "png"].map(String::from).to_vec(),
        data: vec![format!("tables/{table}")],
        command: command_line(step.words(Path::new(""))),
        ..Figure::new(format!("figures/{name}"), svg, caption)
    });
    page.steps.push(StepRow {
        name: step.name.clone(),
        command: line,
        seconds: 0.0,
        job: None,
        outputs: Vec::new(),
    });
    Ok(())
}
