//! The first figure of a run, `figures/summary.svg`: drawn of the page's tables, so that it is made when they are written.

use std::path::Path;

use crate::error::Result;
use crate::figures::{chart, summary};
use crate::page::Page;
use crate::run::drawn;
use crate::tables::Table;
use crate::tables::page::{Surface, Training};

/// What it is called.
const NAME: &str = "summary";
/// Width of a column, mm.
const COLUMN: f64 = 84.0;

/// Draws it, where there is a difference or a rise to draw, and puts it first on the page.
pub(super) fn draw(page: &mut Page, folder: &Path) -> Result<()> {
    let fits = |table: &&str| summary::Summary::read(&folder.join("tables").join(table)).is_ok();
    let tables = [Training::FILE, Surface::FILE];
    let there = |table: &&str| page.tables.iter().any(|own| own.file == *table);
    let Some(table) = tables.into_iter().filter(there).find(fits) else { return Ok(()) };
    let path = [folder.join("tables").join(table)];
    let caption = chart(&path, &[], None)?.map_or(String::new(), |chart| chart.caption.trim_end().to_owned());
    drawn::draw(page, folder, NAME, table, caption)?;
    page.figures.rotate_right(1);
    // On a phone its panels stand below one another.
    page.figures[0].narrow = chart(&path, &[], Some(COLUMN))?.map_or(String::new(), |chart| chart.svg);
    Ok(())
}
