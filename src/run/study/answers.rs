//! The verdict and the answer of a study: what its comparisons show, corrected for all of them together.

use super::summary::Standing;
use super::tables::{Row, Summary, distinct};
use crate::analysis::grid::described;
use crate::page::Page;
use crate::page::answer::{Answer, Compared};
use crate::run::story::{arm, at_most, counted, difference, is_barely, level, listed, part_of, upper};
use crate::stats::paired::LEVEL;

/// Comparisons that are named in a verdict; more are counted.
const NAMED: usize = 3;

impl Summary<'_> {
    /// Fills in verdict, answer, facts and warnings.
    pub(super) fn answer(&self, page: &mut Page, standing: &Standing) {
        let compared: Vec<&Row> = self.rows.iter().filter(|row| row.training.p.is_some()).collect();
        let (verdict, answer) = if compared.is_empty() { self.highest() } else { self.compared(&compared) };
        (page.verdict, page.answers) = (verdict, vec![answer]);
        page.next = if compared.is_empty() { self.next() } else { None };
        page.facts = self.facts();
        page.limits = "No answer about other models, data or settings than those of these cells.".into();
        let failed = standing.failed.len() + standing.before.len();
        if failed > 0 {
            page.warnings.push(format!("Runs or cells that failed: {failed}; see what was skipped."));
        }
        page.warnings.extend(self.collapsed());
        page.warnings.extend(self.barely());
    }

    fn collapsed(&self) -> Option<String> {
        let collapsed: usize = self.rows.iter().map(|row| row.training.collapsed).sum();
        let runs: usize = self.rows.iter().map(|row| row.training.seeds).sum();
        (collapsed > 0)
            .then(|| format!("{collapsed} of {runs} runs ended with the same prediction for every example."))
    }

    /// Scores that a model would have that says the same of every example.
    fn barely(&self) -> Option<String> {
        let own: Vec<String> =
            self.rows.iter().filter(|row| is_barely(&row.training)).map(|row| self.name(row)).collect();
        let which = if own.len() > NAMED { String::new() } else { format!(": {}", listed(&own)) };
        let (part, verb) =
            (part_of(own.len(), self.rows.len(), "score"), if own.len() == 1 { "is" } else { "are" });
        (!own.is_empty())
            .then(|| format!("{} {verb} not clearly above always the same answer{which}.", upper(&part)))
    }

    /// Where one arm is alone, where it scores highest.
    fn highest(&self) -> (String, Answer) {
        let mut each = Vec::new();
        for task in distinct(self.rows.iter().map(|row| self.task(row))) {
            let own = self.rows.iter().filter(|row| self.task(row) == task && row.training.mean.is_finite());
            if let Some(best) = own.max_by(|a, b| a.training.mean.total_cmp(&b.training.mean)) {
                let text =
                    format!("{} {}, {}", task.replace('_', " "), level(best.training.mean), self.name(best));
                each.push(text);
            }
        }
        if each.is_empty() {
            return ("Nothing has a score.".into(), Answer::default());
        }
        let text = format!(
            "{}: each the highest of its cells, and not shown to be better than another.",
            upper(&each.join("; "))
        );
        let answer = Answer { question: "Where highest?".into(), text, differences: Vec::new() };
        (format!("Highest {}.", each.join("; ")), answer)
    }

    /// What is shown after correction, and what could have been.
    fn compared(&self, compared: &[&Row]) -> (String, Answer) {
        let (first, cells) = (arm(&self.first()), distinct(compared.iter().map(|row| &row.cell.name)).len());
        let is_shown = |row: &Row| row.training.p_corrected.is_some_and(|p| p < LEVEL);
        let of = |better: bool| -> Vec<String> {
            let own = compared.iter().filter(|row| is_shown(row));
            let own = own.filter(|row| row.training.difference.is_some_and(|d| (d > 0.0) == better));
            own.map(|row| self.name(row)).collect()
        };
        let (better, worse) = (of(true), of(false));
        let all =
            format!("{} with {first} in {}", counted(compared.len(), "comparison"), counted(cells, "cell"));
        let parts: Vec<String> = [(&better, "better"), (&worse, "worse")]
            .into_iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, word)| match names.len() {
                n if n > NAMED => format!("{word} {n} times"),
                _ => format!("{word} with {}", listed(names)),
            })
            .collect();
        let shown = better.len() + worse.len();
        let verdict = match shown {
            0 => format!("No difference is shown in {all}."),
            n => format!("A difference is shown in {n} of {all}: {}.", parts.join(", ")),
        };
        let named: Vec<String> = [(&better, "Better"), (&worse, "Worse")]
            .into_iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, word)| format!(" {word}: {}.", names.join("; ")))
            .collect();
        let start = match shown {
            0 => "Not shown in any of".to_string(),
            n => format!("Shown in {n} of"),
        };
        let text = format!(
            "{start} {all}, paired by seed and corrected for their number.{}{}{}",
            named.concat(),
            ruled_out(&compared.iter().filter(|row| !is_shown(row)).copied().collect::<Vec<_>>()),
            least(compared)
        );
        let differences = compared.iter().filter_map(|row| self.drawn(row, is_shown(row))).collect();
        (verdict, Answer { question: "Better?".into(), text, differences })
    }

    fn name(&self, row: &Row) -> String {
        format!("{} ({})", arm(&row.training.arm), described(&self.study.names, &row.cell.values))
    }

    fn drawn(&self, row: &Row, shown: bool) -> Option<Compared> {
        let t = &row.training;
        let name = format!("{}, {}", t.arm, described(&self.study.names, &row.cell.values));
        Some(difference(name, (t.difference?, (t.low?, t.high?)), t.p_corrected, shown))
    }

    fn facts(&self) -> String {
        let cells = distinct(self.rows.iter().map(|row| &row.cell.name)).len();
        let runs: usize = self.rows.iter().map(|row| row.training.seeds).sum();
        let mut constants: Vec<String> = Vec::new();
        for task in distinct(self.rows.iter().map(|row| self.task(row))) {
            let row = self.rows.iter().find(|row| self.task(row) == task);
            constants.extend(
                row.and_then(|row| row.training.constant)
                    .map(|constant| format!("{} {}", task.replace('_', " "), level(constant))),
            );
        }
        let constants = match constants.is_empty() {
            true => String::new(),
            false => format!("; always the same answer would have {}", constants.join(", ")),
        };
        format!("{} in {}{constants}.", upper(&counted(runs, "training run")), counted(cells, "cell"))
    }
}

/// What the widest interval of all that is not shown has no room for.
fn ruled_out(open: &[&Row]) -> String {
    let most =
        |of: fn(&Row) -> Option<f64>| open.iter().filter_map(|row| of(row)).fold(f64::NEG_INFINITY, f64::max);
    let (gain, loss) = (most(|row| row.training.high), most(|row| row.training.low.map(|low| -low)));
    match gain > 0.0 && loss > 0.0 {
        true => format!(
            " Where none is shown, every interval rules out a gain above {} and a loss above {}.",
            at_most(gain),
            at_most(loss)
        ),
        false => String::new(),
    }
}

/// How small a difference could have been shown.
fn least(compared: &[&Row]) -> String {
    let least = compared.iter().filter_map(|row| row.training.least_shown).filter(|least| *least > 0.0);
    let (low, high) = least.fold((f64::INFINITY, 0.0_f64), |(low, high), d| (low.min(d), high.max(d)));
    match low.is_finite() {
        true => {
            // No score differs from another by more than from −1 to 1.
            let high = if high < 2.0 { format!("below {}", at_most(high)) } else { "at all".into() };
            format!(
                " None below {} could have been shown in the most certain cell, none {high} in the least.",
                at_most(low)
            )
        }
        false => String::new(),
    }
}
