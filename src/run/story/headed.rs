//! The finding above a figure: the verdict on what it is about, which claims something exactly when its interval does.
//!
//! The trap: an answer may rest on several figures. Above one of them stands only what that one shows.

use super::Story;
use super::verdict::{Comparison, Verdict};
use super::words::{arm, listed};
use crate::analysis::config::Topic;
use crate::error::Result;
use crate::page::{Figure, Page};
use crate::tables::page::Sharp;

/// What a figure shows.
enum About {
    /// What an answer rests on.
    Answer(Topic),
    /// Of flatness what rises show, and what measures of sharpness show: the answer rests on both.
    Rises,
    Measures,
}

/// What figures are about. One that ends in `_` stands for the first of its kind: over held-out examples, of the first mask.
const ABOUT: [(&str, About); 16] = [
    ("training", About::Answer(Topic::Better)),
    ("contours_", About::Rises),
    ("distance_", About::Answer(Topic::Matters)),
    ("surfaces_", About::Answer(Topic::Matters)),
    ("sharpness", About::Measures),
    ("topology_", About::Answer(Topic::Basins)),
    ("plane", About::Answer(Topic::Apart)),
    ("fisher", About::Answer(Topic::Where)),
    ("stability", About::Answer(Topic::Data)),
    ("stability_components", About::Answer(Topic::Masks)),
    ("stability_overlap", About::Answer(Topic::Overlap)),
    ("audit_audit", About::Answer(Topic::Drivers)),
    ("damage_layers", About::Answer(Topic::Damage)),
    ("prune_", About::Answer(Topic::Pruning)),
    ("examples", About::Answer(Topic::Examples)),
    ("agree_pairs", About::Answer(Topic::Alike)),
];

impl Story<'_> {
    /// Writes the findings above the figures, each sentence once on the page; `verdicts` are those of the topics.
    pub(super) fn head(&self, page: &mut Page, verdicts: &[(Topic, String)]) -> Result<()> {
        let mut said = vec![page.verdict.clone()];
        for (name, about) in ABOUT {
            let is_first = |figure: &Figure| !figure.aside && is_of(&figure.path, name);
            let Some(i) = page.figures.iter().position(is_first) else { continue };
            let verdict = match about {
                About::Answer(topic) => {
                    verdicts.iter().find(|(own, _)| *own == topic).map(|(_, verdict)| verdict.clone())
                }
                About::Rises => self.flatter_by(&[])?.map(|told| told.verdict),
                About::Measures => measures(&self.found.sharpness),
            };
            if let Some(verdict) = verdict.filter(|verdict| !said.contains(verdict)) {
                page.figures[i].finding.clone_from(&verdict);
                said.push(verdict);
            }
        }
        Ok(())
    }
}

/// Which measures of sharpness are shown to differ from those of the first arm; none where only one pair of models has them.
fn measures(rows: &[Sharp]) -> Option<String> {
    let compared = |row: &'_ Sharp| row.comparison().map(|one: Comparison| one.verdict());
    let judged: Vec<(&Sharp, Verdict)> = rows.iter().filter_map(|row| Some((row, compared(row)?))).collect();
    let first = rows.first().filter(|_| judged.iter().any(|(_, verdict)| *verdict != Verdict::OnePair))?;
    let shown = judged.iter().filter_map(|(row, verdict)| {
        let way = match verdict {
            Verdict::Above => "higher",
            Verdict::Below => "lower",
            Verdict::Open | Verdict::OnePair => return None,
        };
        Some(format!("{} ({way} with {})", row.measure.replace('_', " "), arm(&row.model)))
    });
    let (shown, base) = (shown.collect::<Vec<String>>(), arm(&first.model));
    Some(match shown.is_empty() {
        true => format!("No measure of sharpness is shown to differ from that of {base}."),
        false => format!("Shown to differ from {base}: {}.", listed(&shown)),
    })
}

/// Whether a figure's path is this name, or begins with it.
fn is_of(path: &str, name: &str) -> bool {
    let file = path.strip_prefix("figures/").unwrap_or(path);
    if name.ends_with('_') { file.starts_with(name) } else { file == name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the rule: what has a corrected p below 0.05 is claimed, with its way, and nothing else; one pair of models says nothing.
    #[test]
    fn measures_are_claimed_exactly_where_shown() {
        let row = |model: &str, measure: &str, difference: Option<f64>, p_corrected| Sharp {
            model: model.into(),
            measure: measure.into(),
            difference,
            low: difference,
            high: difference,
            p_corrected,
            runs: 3,
            value: 1.0,
            se: 0.1,
            p: None,
        };
        let of = |p: [Option<f64>; 2]| {
            measures(&[
                row("uniform 0.05", "trace", None, None),
                row("guided", "trace", Some(2.0), p[0]),
                row("guided", "top_eigenvalue", Some(-2.0), p[1]),
            ])
        };
        assert_eq!(
            of([Some(0.06), Some(1.0)]).unwrap(),
            "No measure of sharpness is shown to differ from that of uniform 0.05."
        );
        assert_eq!(
            of([Some(0.06), Some(0.04)]).unwrap(),
            "Shown to differ from uniform 0.05: top eigenvalue (lower with guided)."
        );
        assert!(
            of([Some(0.01), Some(0.04)]).unwrap().contains("trace (higher with guided) and top eigenvalue")
        );
        assert_eq!(of([None, None]), None);
    }

    /// Oracle: by hand. The figure of the ranking is not that of its parts.
    #[test]
    fn figures_are_found_by_name() {
        assert!(is_of("figures/stability", "stability") && !is_of("figures/stability_tails", "stability"));
        assert!(is_of("figures/contours_held_out", "contours_") && !is_of("figures/contours", "contours_"));
    }
}
