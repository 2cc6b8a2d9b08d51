//! The report: one HTML page with its figures, tables, interactive surfaces and provenance inside, and nothing to fetch.
//!
//! Everything that depends on the run and not on its inputs (times, processor, threads) is in the page's section
//! `provenance`; all else has the same bytes each time. Light and dark, wide and narrow: see `page.html`.

pub mod answer;
pub mod interactive;
mod shown;
pub mod tabular;
mod template;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::page::answer::Answer;
use crate::page::interactive::{Group, scripts};
use crate::page::template::filled;
use crate::provenance::processor;

const TEMPLATE: &str = include_str!("page.html");
const COPYING: &str = include_str!("copy.js");

/// What the page says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    pub title: String,
    pub question: String,
    pub source: String,
    pub expectation: String,
    pub reading: String,
    /// What came out, in one sentence.
    pub verdict: String,
    /// On how many examples and seeds it rests.
    pub facts: String,
    /// The answers in the order of the question.
    pub answers: Vec<Answer>,
    /// What to do next, where the numbers ask for it.
    pub next: Option<String>,
    /// What they are no answers about.
    pub limits: String,
    /// What makes one doubt them.
    pub warnings: Vec<String>,
    /// What else there is to say, sentence by sentence.
    pub details: Vec<String>,
    pub figures: Vec<Figure>,
    /// Figures that are drawn, but would show one number: a sentence says it.
    #[serde(skip)]
    pub plain: Vec<String>,
    pub tables: Vec<Table>,
    #[serde(skip)]
    pub views: Vec<Group>,
    /// Pages of the parts of a study, and what they are about.
    pub links: Vec<(String, String)>,
    /// What was skipped or made up.
    pub excluded: Vec<String>,
    pub seed: u64,
    /// The line that repeats everything.
    pub command: String,
    /// The text of the analysis.
    pub analysis: String,
    pub steps: Vec<StepRow>,
}

/// A figure.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figure {
    /// Of the files, without their extension.
    pub path: String,
    pub svg: String,
    /// The same for a narrow screen, where there is one.
    pub narrow: String,
    /// On the screen, CSS pixels; narrower screens make it smaller.
    pub width: f64,
    /// What it shows, in a sentence; empty where nothing is said of it.
    pub finding: String,
    /// What is drawn and how to read it.
    pub caption: String,
    /// Whether it stands aside, folded: over what models were trained on, or in another figure as well.
    pub aside: bool,
    /// Endings of its files.
    pub endings: Vec<String>,
    /// Files that it draws, and the line that draws it again.
    pub data: Vec<String>,
    pub command: String,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Name of the file with all digits.
    pub file: String,
    pub caption: String,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
    #[serde(skip)]
    pub csv: String,
}

/// A step in the provenance.
#[derive(Clone, Debug, Serialize)]
pub struct StepRow {
    pub name: String,
    pub command: String,
    pub seconds: f64,
    /// The job of a cluster that it ran in.
    pub job: Option<String>,
    /// Files written and the beginnings of their hashes.
    pub outputs: Vec<(String, String)>,
}

impl Figure {
    /// A figure drawn for paper, shown larger: a screen is read from further away.
    pub fn new(path: String, svg: String, caption: String) -> Figure {
        let points =
            svg.split_once("width=\"").and_then(|(_, rest)| rest.split_once("pt\"")?.0.parse::<f64>().ok());
        Figure { path, svg, width: (points.unwrap_or(493.0) * 1.9).round(), caption, ..Figure::default() }
    }
}

impl Table {
    /// A table of `cells` for people and of `rows` for the file.
    pub fn new<T: Serialize>(
        file: &str,
        caption: String,
        header: &[&str],
        cells: impl Iterator<Item = Vec<String>>,
        rows: &[T],
    ) -> Result<Table> {
        let failed = |e: String| Error::field(file, "table", "writable", e, "report this as a defect");
        let mut writer = csv::Writer::from_writer(Vec::new());
        rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|e| failed(e.to_string()))?;
        let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
        let csv = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
        let header = header.iter().map(|name| name.replace('_', " ")).collect();
        Ok(Table { file: file.into(), caption, header, rows: cells.collect(), csv })
    }
}

impl Table {
    /// The table of a CSV text; numbers with as many digits as their uncertainty lets them have.
    pub fn of_csv(file: &str, caption: String, csv: String) -> Result<Table> {
        let (header, rows) = tabular::cells(&csv, file)?;
        Ok(Table { file: file.into(), caption, header, rows, csv })
    }

    /// The same as Markdown and as LaTeX, each with the ending of its file.
    pub fn texts(&self) -> Result<[(&'static str, String); 2]> {
        let label = format!("tab:{}", self.file.trim_end_matches(".csv"));
        Ok([
            ("md", tabular::markdown(&self.file, &self.csv, &self.caption)?),
            ("tex", tabular::latex(&self.file, &self.csv, &self.caption, &label)?),
        ])
    }
}

impl Page {
    /// The page.
    pub fn html(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let context = context! {
            page => Value::from(Serde(self)),
            figures => Value::from(Serde(shown::figures(&self.figures)?)),
            tables => Value::from(Serde(shown::tables(&self.tables))),
            bars => self.answers.iter().flat_map(Answer::drawn).collect::<Vec<_>>(),
            interactive => !self.views.is_empty(),
            scripts => scripts(&self.views),
            copying => COPYING,
            version => env!("CARGO_PKG_VERSION"),
            written => utc(now),
            processor => processor(),
            threads => rayon::current_num_threads(),
            seconds => self.steps.iter().map(|step| step.seconds).sum::<f64>(),
        };
        filled("page.html", TEMPLATE, context)
    }
}

/// Seconds since 1970 as a date and time (civil calendar by Howard Hinnant's days algorithm).
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: dates by `date -u -d @SECONDS`.
    #[test]
    fn seconds_become_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_608_059), "2026-11-25 12:00 UTC");
    }

    /// Oracle: by hand. What was expected and what to do next stand behind the answers, and nowhere where there is none.
    #[test]
    fn what_was_expected_stands_behind_the_answers() {
        let answer =
            Answer { question: "Better?".into(), text: "Not shown.".into(), differences: Vec::new() };
        let page = Page {
            answers: vec![answer],
            expectation: "Much.".into(),
            next: Some("More seeds.".into()),
            ..Page::default()
        };
        let html = page.html().unwrap();
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is not there"));
        let places =
            ["Not shown.", "<dt>Expected</dt>", "Much.", "<dt>Next</dt>", "More seeds.", "</dl>"].map(at);
        assert!(places.is_sorted(), "{places:?}");
        let html = Page::default().html().unwrap();
        assert!(!html.contains("<dt>Expected") && !html.contains("<dt>Next"));
    }

    /// Property: nothing of the text can break out of the page, and nothing is fetched.
    #[test]
    fn texts_are_escaped() {
        let page = Page { question: "<script>alert(1)</script> & \"x\"".into(), ..Page::default() };
        let html = page.html().unwrap();
        assert!(!html.contains("<script>alert"));
        assert!(html.contains("&lt;script&gt;alert"));
        assert!(!html.contains(" src=\"http") && !html.contains("href=\"http"));
    }
}
