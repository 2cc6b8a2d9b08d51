//! What to do next, in one sentence, where the numbers of a run ask for it; nothing where they do not.
//!
//! Each rule is a function of numbers, and the first that has something to say is heard: what makes a score worthless goes before what
//! makes it uncertain. A rule is about a topic that was asked for.

use super::Story;
use super::verdict::Verdict;
use super::warnings::is_barely;
use super::words::{arm, counted, level, listed, part_of};
use crate::analysis::config::Topic;
use crate::error::Result;
use crate::fisher::layers::Granularity;
use crate::run::plan::Failed;
use crate::run::plan::STABILITY;
use crate::stability::AgreementRow;
use crate::stability::needed::NeededRow;
use crate::stability::summary::Reference;
use crate::tables::agreement::Curves;
use crate::tables::page::{Surface, Training};
use crate::train::DIVERGED;

/// A difference of scores, which end at 1, that hardly anybody would act on.
const MATTERS: f64 = 0.01;
/// What one seed of each arm asks for.
pub const ONE_SEED: &str = "Train each arm with several seeds (train.seeds = 5): one gives no interval.";
/// Times as many seeds as there are that one may be asked for.
const MORE: usize = 10;

impl Story<'_> {
    pub(super) fn next(&self, failed: &Failed) -> Result<Option<String>> {
        let asked = super::answers::asked(self.analysis);
        let rows = &self.found.training;
        let compared = |topic: Topic| asked.contains(&topic) && self.models.len() > 1;
        let mut next = diverged(rows, failed).or_else(|| barely(rows));
        if compared(Topic::Better) {
            next = next.or_else(|| seeds(rows));
        }
        if asked.contains(&Topic::Data) && self.analysis.stability.is_some() {
            let curves = Curves::read(&self.path::<AgreementRow>(STABILITY))?;
            let own = curves.trust.iter().filter(|trust| trust.reference == Reference::Complement);
            let open = own.clone().any(|t| t.granularity == Granularity::Site && t.fraction.is_none());
            let needed: Vec<NeededRow> = self.rows_if_any(STABILITY)?;
            let tried = curves.summary.iter().map(|row| row.examples).max().unwrap_or(0);
            next = next.or_else(|| needed.iter().find(|_| open).and_then(|_| examples(&needed, tried)));
        }
        if compared(Topic::Flatter) {
            next = next.or_else(|| pairs(&self.found.surfaces, self.analysis.seeds()));
        }
        Ok(next)
    }
}

/// Runs whose loss is not finite, or whose model says the same of every example.
fn diverged(rows: &[Training], failed: &Failed) -> Option<String> {
    let lost = failed.values().filter(|cause| cause.contains(DIVERGED)).count();
    let lost = lost + rows.iter().filter(|row| !row.loss.is_finite()).map(|row| row.seeds).sum::<usize>();
    let same: usize = rows.iter().map(|row| row.collapsed).sum();
    let all: usize = failed.len() + rows.iter().map(|row| row.seeds).sum::<usize>();
    match (lost, same) {
        (0, 0) => None,
        (0, same) => Some(format!(
            "Use another learning rate (train.lr): the models of {} predict the same for every example.",
            part_of(same, all, "training run")
        )),
        (lost, _) => Some(format!(
            "Use a smaller learning rate (train.lr): {} diverged.",
            part_of(lost, all, "training run")
        )),
    }
}

/// Arms whose score an answer that never changes would nearly have.
fn barely(rows: &[Training]) -> Option<String> {
    let arms: Vec<String> = rows.iter().filter(|row| is_barely(row)).map(|row| arm(&row.arm)).collect();
    let constant = rows.iter().find(|row| is_barely(row))?.constant?;
    let what = if arms.len() == rows.len() { "all arms".to_string() } else { listed(&arms) };
    // No training helps where all examples are of one class.
    let first =
        if constant < 1.0 { "Train longer (train.epochs), or check the labels" } else { "Check the labels" };
    Some(format!("{first}: always the same answer scores {}, and {what} hardly more.", level(constant)))
}

/// What would make a difference of arms more certain that is not shown, where one that matters could have been missed.
fn seeds(rows: &[Training]) -> Option<String> {
    let (first, others) = rows.split_first()?;
    if first.seeds == 1 && others.iter().all(|row| row.judged.is_none()) {
        return Some(ONE_SEED.into());
    }
    let missed = |row: &&Training| {
        row.least_shown.is_some_and(|least| least > MATTERS)
            && row.comparison().is_some_and(|one| one.verdict() == Verdict::Open)
    };
    let open = || others.iter().filter(missed);
    let row = open().find(|row| row.arm == "guided").or(open().next())?;
    let (own, other) = (arm(&row.arm), arm(&first.arm));
    Some(match row.judged?.runs_for_half(row.pairs, MORE * row.pairs) {
        Some(n) => format!(
            "With {n} seeds (train.seeds) the interval of {own} minus {other} would be about half as wide."
        ),
        None => format!(
            "Hold out more examples: the {} that the seeds share make most of the interval of {own} minus {other}, and more seeds \
             would hardly narrow it.",
            row.held_out_examples
        ),
    })
}

/// More examples for a ranking of the sites than were `tried`, by what the whole set predicts.
fn examples(needed: &[NeededRow], tried: usize) -> Option<String> {
    let full = needed.iter().find(|row| row.draw == "full" && row.granularity == Granularity::Site)?;
    let (predicted, all, threshold) = (full.predicted?.ceil(), full.examples, full.threshold);
    let suffice = format!("about {predicted} are predicted to rank the sites alike at rho {threshold}");
    if predicted <= tried as f64 {
        return Some(format!(
            "Draw larger samples (stability.fractions): {} did not show what {predicted} are predicted to do.",
            counted(tried, "example")
        ));
    }
    // A draw is compared with those that are not drawn, of which there are to be no fewer.
    Some(match 2.0 * predicted <= all as f64 {
        true => format!("Draw larger samples (stability.fractions): {suffice}, of {all} that there are."),
        false => format!(
            "Draw more examples (fisher.examples): {suffice}, and twice that number can show it; {all} were drawn."
        ),
    })
}

/// Surfaces of one pair of models, where others were trained.
fn pairs(rows: &[Surface], seeds: usize) -> Option<String> {
    let one = !rows.is_empty() && rows.iter().all(|row| row.seeds <= 1);
    (one && seeds > 1).then(|| {
        format!("Compare the surfaces of all seeds (surface.seeds = {seeds}): one pair of models shows nothing about others.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::paired::Difference;
    use crate::tables::page::Score;

    fn row(arm: &str) -> Training {
        Training { arm: arm.into(), seeds: 5, pairs: 5, mean: 0.8, loss: 0.4, ..Training::default() }
    }

    /// An arm against the first, of five seeds.
    fn compared(least_shown: f64, p: f64, se: f64, floor: f64) -> Training {
        let judged = Difference { value: 0.001, se, degrees: 4.0, floor };
        let half = judged.half_width(0.95);
        Training {
            difference: Some(0.001),
            low: Some(0.001 - half),
            high: Some(0.001 + half),
            p_corrected: Some(p),
            least_shown: Some(least_shown),
            judged: Some(judged),
            held_out_examples: 277,
            ..row("guided")
        }
    }

    /// Oracle: by hand, from Student's t of tables: of 5 runs 2.776 / √5 = 1.241; half of it is 0.621, and 2.201 / √12 = 0.635 is above
    /// it, 2.179 / √13 = 0.604 below. Where 80 % of the variance is that of shared examples, no number of runs halves the error.
    #[test]
    fn seeds_are_asked_for_exactly_where_they_help() {
        let rows = |own: Training| [row("uniform"), own];
        let said = |own: Training| seeds(&rows(own));
        let wanted =
            "With 13 seeds (train.seeds) the interval of guided minus uniform would be about half as wide.";
        assert_eq!(said(compared(0.02, 0.5, 0.005, 0.0)).as_deref(), Some(wanted));
        let shared = said(compared(0.02, 0.5, 0.005, 0.005 * 0.8f64.sqrt())).unwrap();
        assert!(shared.starts_with("Hold out more examples: the 277 that"), "{shared}");
        // Nothing that matters was missed; or a difference is shown.
        assert_eq!(said(compared(0.0099, 0.5, 0.005, 0.0)), None);
        assert_eq!(said(compared(0.02, 0.01, 0.005, 0.0)), None);
        // What is open of another arm counts, but the guided one goes first.
        let other = Training { arm: "none".into(), ..compared(0.03, 0.5, 0.005, 0.0) };
        let three = [row("uniform"), other, compared(0.02, 0.01, 0.005, 0.0)];
        assert!(seeds(&three).unwrap().contains("“none” minus uniform"));
        let three = [row("uniform"), three[1].clone(), compared(0.02, 0.5, 0.005, 0.0)];
        assert!(seeds(&three).unwrap().contains("guided minus uniform"));
        // One seed of each; one arm.
        let one = |arm: &str| Training { seeds: 1, pairs: 1, ..row(arm) };
        assert!(seeds(&[one("uniform"), one("guided")]).unwrap().contains("train.seeds = 5"));
    }

    /// Oracle: by hand. Runs that failed for another reason are no matter of the learning rate; a loss that is lost goes before
    /// predictions that are all the same.
    #[test]
    fn another_learning_rate_is_for_runs_that_diverged() {
        let failed = |causes: &[&str]| -> Failed {
            causes
                .iter()
                .enumerate()
                .map(|(k, cause)| (format!("train/a/seed{k}"), cause.to_string()))
                .collect()
        };
        let rows = [row("uniform"), Training { collapsed: 2, ..row("guided") }];
        assert_eq!(diverged(&rows[..1], &failed(&["the disk is full"])), None);
        let wanted = "Use a smaller learning rate (train.lr): one of 7 training runs diverged.";
        let causes = ["the disk is full", &format!("`loss` must be finite, found NaN\n  fix: {DIVERGED}")];
        assert_eq!(diverged(&rows[..1], &failed(&causes)).as_deref(), Some(wanted));
        let wanted = "Use another learning rate (train.lr): the models of 2 of 10 training runs predict the same for every example.";
        assert_eq!(diverged(&rows, &Failed::new()).as_deref(), Some(wanted));
        let lost = [row("uniform"), Training { loss: f64::NAN, ..rows[1].clone() }];
        assert!(diverged(&lost, &Failed::new()).unwrap().ends_with("5 of 10 training runs diverged."));
    }

    /// Oracle: by hand. A score two standard errors (0.04) above that of the same answer is no longer barely above it.
    #[test]
    fn scores_of_a_constant_answer_ask_for_more_training() {
        let of = |arm: &str, mean: f64, constant: f64| {
            let run = ("seed0".to_string(), Score { se: Some(0.02), ..Score::default() });
            Training { mean, constant: Some(constant), runs: vec![run], ..row(arm) }
        };
        assert_eq!(barely(&[of("uniform", 0.55, 0.5), of("guided", 0.56, 0.5)]), None);
        let wanted = "Train longer (train.epochs), or check the labels: always the same answer scores 0.500, and guided hardly more.";
        assert_eq!(barely(&[of("uniform", 0.55, 0.5), of("guided", 0.53, 0.5)]).as_deref(), Some(wanted));
        assert!(barely(&[of("uniform", 0.5, 0.5)]).unwrap().ends_with("and all arms hardly more."));
        assert!(barely(&[of("uniform", 1.0, 1.0)]).unwrap().starts_with("Check the labels"));
        assert_eq!(barely(&[row("uniform")]), None);
    }

    /// Oracle: by hand. A sample and those that are not drawn fit into the set, or they do not; without a prediction nothing is said.
    #[test]
    fn rankings_ask_for_examples() {
        let of = |predicted: Option<f64>| {
            let row = NeededRow {
                draw: "full".into(),
                fraction: 1.0,
                repeat: 0,
                granularity: Granularity::Site,
                threshold: 0.9,
                examples: 1000,
                predicted,
                predicted_low: None,
                predicted_high: None,
                expected: None,
                pairs: 0,
                checked: None,
                checked_sd: None,
            };
            examples(&[row], 100)
        };
        let larger = "Draw larger samples (stability.fractions): about 500 are predicted to rank the sites alike at rho 0.9, of 1000 \
                      that there are.";
        assert_eq!(of(Some(499.2)).as_deref(), Some(larger));
        let more = of(Some(500.2)).unwrap();
        assert!(more.starts_with("Draw more examples (fisher.examples): about 501 are"), "{more}");
        let tried = of(Some(99.2)).unwrap();
        assert!(tried.ends_with("100 examples did not show what 100 are predicted to do."), "{tried}");
        assert_eq!((of(None), examples(&[], 100)), (None, None));
    }

    /// Oracle: by hand.
    #[test]
    fn one_pair_asks_for_more_where_there_are_more() {
        let of = |seeds: usize| [Surface { seeds, ..Surface::default() }];
        assert!(pairs(&of(1), 5).unwrap().contains("surface.seeds = 5"));
        assert_eq!((pairs(&of(3), 5), pairs(&of(1), 1), pairs(&[], 5)), (None, None, None));
    }
}
