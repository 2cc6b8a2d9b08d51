//! Which arm is better: what the scores of the trainings show, and what they rule out.

use super::answers::Told;
use super::verdict::{Comparison, Verdict};
use super::words::{arm, at_most, bounded, comparisons, fixed, level, listed, number, upper};
use crate::tables::page::Training;

/// The answer of a training's rows, the first arm first.
pub fn told(rows: &[Training]) -> Option<Told> {
    let (first, others) = rows.split_first()?;
    if others.is_empty() {
        return Some(alone(first));
    }
    let compared: Vec<(&Training, Comparison)> =
        others.iter().filter_map(|row| Some((row, row.comparison()?))).collect();
    let mut told = match &compared[..] {
        [] if others.iter().any(Training::is_equal) => equal(first, others),
        [] => nothing(first, others),
        [(row, one)] if others.len() == 1 => pair(first, row, one),
        _ => several(first, others, &compared),
    };
    told.answer.differences =
        compared.iter().map(|(row, one)| one.compared(format!("{} − {}", row.arm, first.arm))).collect();
    Some(told)
}

/// One arm, which there is nothing to compare with but an answer that never changes.
fn alone(row: &Training) -> Told {
    let score = format!("held-out {} {}", metric(row), level(row.mean));
    let beside = row.constant.map_or(String::new(), |constant| {
        format!(", against {} for always the same answer", level(constant))
    });
    let spread =
        row.sd.map_or(String::new(), |sd| format!(" (sd {} over {} seeds)", level(sd), number(row.seeds)));
    Told::new(
        format!("{}: {score}{beside}.", upper(&arm(&row.arm))),
        "How good?",
        format!("The {score}{spread} is that of {}{beside}; nothing is compared with it.", arm(&row.arm)),
    )
}

/// Arms without an interval.
fn nothing(first: &Training, others: &[Training]) -> Told {
    let why = match others.iter().map(|row| row.pairs).max() {
        Some(0 | 1) => "one seed of each arm gives no interval",
        _ => "their runs give no interval",
    };
    let levels = levels(first, others);
    Told::new(
        format!("Nothing is shown about which arm is better, as {why}: {levels}."),
        "Better?",
        format!("Not shown: {why}, so nothing follows about which arm is better; {levels}."),
    )
}

/// Arms that score alike in every run.
fn equal(first: &Training, others: &[Training]) -> Told {
    let names: Vec<String> = others.iter().filter(|row| row.is_equal()).map(|row| arm(&row.arm)).collect();
    let verb = if names.len() == 1 { "scores" } else { "score" };
    let text = format!("{} {verb} the same as {} in every run", upper(&listed(&names)), arm(&first.arm));
    Told::new(
        format!("{text}: {}.", levels(first, others)),
        "Better?",
        format!("{text}, over {} paired seeds.", number(first.seeds)),
    )
}

/// Two arms.
fn pair(first: &Training, row: &Training, one: &Comparison) -> Told {
    let [value, low, high] = bounded(one.difference, one.ends);
    let (own, other) = (arm(&row.arm), arm(&first.arm));
    let found = format!(
        "{own} minus {other} is {value} {} (95 % {low} to {high}, {} paired seeds{})",
        metric(row),
        number(row.pairs),
        p_of(one),
    );
    match shown(one.verdict()) {
        None => Told::new(
            format!(
                "No difference shown between {own} and {other}: {}.",
                levels(first, std::slice::from_ref(row))
            ),
            "Better?",
            format!("Not shown: {found}{}.{}", ruled_out(one), least_shown(row)),
        ),
        Some(word) => Told::new(
            format!(
                "{} is {word} than {other}: {} {} against {}.",
                upper(&own),
                metric(row),
                level(row.mean),
                level(first.mean)
            ),
            "Better?",
            format!("Shown to be {word}: {found}{}.", at_least(one)),
        ),
    }
}

/// More than two arms.
fn several(first: &Training, others: &[Training], compared: &[(&Training, Comparison)]) -> Told {
    let other = arm(&first.arm);
    let of = |word: Verdict| -> Vec<String> {
        let own = compared.iter().filter(|(_, one)| one.verdict() == word);
        own.map(|(row, _)| arm(&row.arm)).collect()
    };
    let (better, worse) = (of(Verdict::Above), of(Verdict::Below));
    let held_out =
        format!("{} held-out examples, {} paired seeds", first.held_out_examples, number(first.seeds));
    let equal: Vec<String> = others.iter().filter(|row| row.is_equal()).map(|row| arm(&row.arm)).collect();
    let equal = match equal.is_empty() {
        true => String::new(),
        false => format!(" The same as {other} in every run: {}.", listed(&equal)),
    };
    let open: Vec<&(&Training, Comparison)> =
        compared.iter().filter(|(_, one)| shown(one.verdict()).is_none()).collect();
    let rest = match open.is_empty() {
        true => String::new(),
        false => rest(&open),
    };
    if better.is_empty() && worse.is_empty() {
        return Told::new(
            format!(
                "No difference from {other} is shown in {}: {}.",
                comparisons(compared.len()),
                levels(first, others)
            ),
            "Better?",
            format!(
                "Not shown in any of {} with {other} ({held_out}).{rest}{equal}{}",
                comparisons(compared.len()),
                least_of(compared)
            ),
        );
    }
    let parts = [(better, "better"), (worse, "worse")].into_iter().filter(|(arms, _)| !arms.is_empty());
    let parts: Vec<String> = parts.map(|(arms, word)| format!("{word} with {}", listed(&arms))).collect();
    Told::new(
        format!("Against {other}, {} is shown to be {}.", metric(first), parts.join(" and ")),
        "Better?",
        format!(
            "Shown for {} of {} with {other}, corrected for their number ({held_out}).{rest}{equal}",
            number(compared.len() - open.len()),
            comparisons(compared.len()),
        ),
    )
}

/// What the intervals of all that is not shown have no room for; of the guided arm, which most questions are about, by itself.
fn rest(open: &[&(&Training, Comparison)]) -> String {
    let guided = open.iter().find(|(row, _)| row.arm == "guided").map(|(_, one)| {
        let [value, low, high] = bounded(one.difference, one.ends);
        format!(" With guided the difference is {value} (95 % {low} to {high}){}.", ruled_out(one))
    });
    let others: Vec<&Comparison> =
        open.iter().filter(|(row, _)| row.arm != "guided").map(|(_, one)| one).collect();
    let most =
        |of: fn(&Comparison) -> f64| others.iter().map(|one| of(one)).fold(f64::NEG_INFINITY, f64::max);
    let (gain, loss) = (most(|one| one.ends.1), most(|one| -one.ends.0));
    let others = (gain > 0.0 && loss > 0.0).then(|| {
        let which = if guided.is_some() {
            "For the others the intervals rule"
        } else {
            "Where none is shown, the intervals rule"
        };
        format!(" {which} out a gain above {} and a loss above {}.", at_most(gain), at_most(loss))
    });
    [guided, others].into_iter().flatten().collect()
}

/// The smallest difference that could have been shown with the most certain of these arms.
fn least_of(compared: &[(&Training, Comparison)]) -> String {
    let least = compared.iter().filter_map(|(row, _)| row.least_shown.map(|least| (row, least)));
    least.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(String::new(), |(row, _)| least_shown(row))
}

/// What an interval that is not shown to leave out 0 has no room for.
fn ruled_out(one: &Comparison) -> String {
    let (low, high) = one.ends;
    match low < 0.0 && high > 0.0 {
        true => format!(
            ", which rules out a gain above {} and a loss above {} in this setting, but no smaller one",
            at_most(high),
            at_most(-low)
        ),
        false => "; its interval leaves out 0, but not after correction".to_string(),
    }
}

/// How small what is shown may be.
fn at_least(one: &Comparison) -> String {
    let [_, low, high] = bounded(one.difference, one.ends);
    let (word, end) = if one.difference > 0.0 { ("gain", low) } else { ("loss", high) };
    format!(", a {word} of at least {}", end.trim_start_matches(['+', '−']))
}

fn least_shown(row: &Training) -> String {
    row.least_shown.filter(|least| least.is_finite() && *least > 0.0).map_or(String::new(), |least| {
        format!(
            " {} could show none below {}.",
            upper(&format!("{} seeds of each", number(row.pairs))),
            if least < 0.001 { level(least) } else { fixed(least, 4) }
        )
    })
}

fn p_of(one: &Comparison) -> String {
    match one.p_corrected {
        Some(p) if p < 0.001 => ", corrected p below 0.001".into(),
        Some(p) => format!(", corrected p {p:.3}"),
        None => String::new(),
    }
}

fn shown(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Above => Some("better"),
        Verdict::Below => Some("worse"),
        Verdict::OnePair | Verdict::Open => None,
    }
}

/// The mean of each arm, or of the lowest and the highest.
fn levels(first: &Training, others: &[Training]) -> String {
    let what = metric(first);
    let one = |row: &Training| format!("{} with {}", level(row.mean), arm(&row.arm));
    match others {
        [other] if level(other.mean) == level(first.mean) => {
            format!("{what} {} with both", level(first.mean))
        }
        [other] => format!("{what} {} and {}", one(other), one(first)),
        _ => {
            let all = || others.iter().chain([first]).filter(|row| row.mean.is_finite());
            let low = all().min_by(|a, b| a.mean.total_cmp(&b.mean)).unwrap_or(first);
            let high = all().max_by(|a, b| a.mean.total_cmp(&b.mean)).unwrap_or(first);
            format!("{what} from {} to {}", one(low), one(high))
        }
    }
}

fn metric(row: &Training) -> String {
    row.metric.replace('_', " ")
}

impl Training {
    /// Whether it scores as the first arm in every run.
    pub fn is_equal(&self) -> bool {
        self.difference == Some(0.0) && self.judged.is_none() && self.pairs > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::findings;
    use crate::stats::paired::Difference;

    /// An arm of five seeds, whose difference from the first has this value and standard error.
    fn row(arm: &str, mean: f64, difference: Option<(f64, f64)>) -> Training {
        let judged = difference.map(|(value, se)| Difference { value, se, degrees: 4.0, floor: 0.0 });
        let half = judged.map(|d| d.half_width(0.95));
        Training {
            arm: arm.into(),
            seeds: 5,
            metric: "accuracy".into(),
            mean,
            difference: difference.map(|(value, _)| value),
            low: judged.zip(half).map(|(d, half)| d.value - half),
            high: judged.zip(half).map(|(d, half)| d.value + half),
            p: judged.map(|d| d.p()),
            judged,
            held_out_examples: 1000,
            pairs: if difference.is_some() { 5 } else { 0 },
            ..Training::default()
        }
    }

    fn answered(mut rows: Vec<Training>) -> Told {
        findings::judge(rows.iter_mut(), Vec::new());
        told(&rows).unwrap()
    }

    /// Oracle: Student's t of 4 degrees of freedom, 2.776 standard errors. A difference is called better or worse exactly where its interval
    /// leaves out 0, here at the edge to either side; and the bounds that are ruled out are no smaller than the interval's.
    #[test]
    fn a_claim_is_made_exactly_where_the_interval_shows_it() {
        let t = 2.776_445_105_197_793;
        for (factor, sign, word) in [
            (0.999, 1.0, "No difference shown"),
            (0.999, -1.0, "No difference shown"),
            (1.001, 1.0, "Guided is better than uniform: accuracy 0.510 against 0.500."),
            (1.001, -1.0, "Guided is worse than uniform: accuracy 0.490 against 0.500."),
        ] {
            let value = 0.01 * sign;
            let rows = vec![
                row("uniform", 0.5, None),
                row("guided", 0.5 + value, Some((value, 0.01 / (factor * t)))),
            ];
            let told = answered(rows);
            assert!(told.verdict.starts_with(word), "{}", told.verdict);
            let claims = word.contains(" than ");
            assert_eq!(told.answer.text.starts_with("Shown"), claims, "{}", told.answer.text);
            assert_eq!(told.answer.differences[0].shown, claims);
        }
        let told =
            answered(vec![row("uniform", 0.5696, None), row("guided", 0.5700, Some((0.0004, 0.0025)))]);
        assert_eq!(told.verdict, "No difference shown between guided and uniform: accuracy 0.570 with both.");
        // 0.0004 ± 2.776 · 0.0025, and both ends rounded away from 0.
        let wanted = "guided minus uniform is +0.0004 accuracy (95 % −0.0065 to +0.0073, five paired seeds, corrected p 0.881), \
                      which rules out a gain above 0.008 and a loss above 0.007";
        assert!(told.answer.text.contains(wanted), "{}", told.answer.text);
        assert!(
            told.answer.text.ends_with("Five seeds of each could show none below 0.0069."),
            "{}",
            told.answer.text
        );
    }

    /// Oracle: Holm by hand. Each of two intervals leaves out 0, with p of 0.02 and 0.04: after correction both are 0.04 and shown. A third
    /// comparison makes them 0.06 and 0.08, and then none is.
    #[test]
    fn claims_are_corrected_for_their_number() {
        let se = |p: f64| {
            use statrs::distribution::{ContinuousCDF, StudentsT};
            0.01 / -StudentsT::new(0.0, 1.0, 4.0).unwrap().inverse_cdf(p / 2.0)
        };
        let mut rows = vec![
            row("uniform", 0.5, None),
            row("guided", 0.51, Some((0.01, se(0.02)))),
            row("none", 0.49, Some((-0.01, se(0.04)))),
        ];
        let told = answered(rows.clone());
        let wanted = "Against uniform, accuracy is shown to be better with guided and worse with “none”.";
        assert_eq!(told.verdict, wanted);
        assert!(
            told.answer.text.starts_with("Shown for two of two comparisons with uniform"),
            "{}",
            told.answer.text
        );
        rows.push(row("shuffled", 0.501, Some((0.001, 0.001))));
        let told = answered(rows);
        assert!(
            told.verdict.starts_with("No difference from uniform is shown in three comparisons: "),
            "{}",
            told.verdict
        );
        assert!(told.answer.differences.iter().all(|d| !d.shown && d.p_corrected.unwrap() > 0.05));
        // Its own interval leaves out 0: 0.01 ± 2.776 · 0.00267.
        let guided = "With guided the difference is +0.0100 (95 % +0.0026 to +0.0174); its interval leaves out 0, but not after correction.";
        assert!(told.answer.text.contains(guided), "{}", told.answer.text);
    }

    /// Oracle: by hand. One seed has no interval, one arm no comparison; arms that score alike in all runs are said to.
    #[test]
    fn what_is_not_compared_is_not_claimed() {
        let one = |arm: &str, mean| Training { seeds: 1, pairs: 1, ..row(arm, mean, None) };
        let told = answered(vec![one("uniform", 0.5), one("guided", 0.6)]);
        let wanted = "Nothing is shown about which arm is better, as one seed of each arm gives no interval: \
                      accuracy 0.600 with guided and 0.500 with uniform.";
        assert_eq!(told.verdict, wanted);
        let alone = Training { constant: Some(0.4), ..row("uniform", 0.5, None) };
        assert_eq!(
            answered(vec![alone]).verdict,
            "Uniform: held-out accuracy 0.500, against 0.400 for always the same answer."
        );
        let same = Training { difference: Some(0.0), pairs: 5, ..row("random-label", 0.5, None) };
        let told = answered(vec![row("guided", 0.5, None), same]);
        assert_eq!(
            told.verdict,
            "Random-label scores the same as guided in every run: accuracy 0.500 with both."
        );
    }
}
