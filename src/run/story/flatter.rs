//! Around which models the loss is flatter: what surfaces and sharpness show, and what they rule out.
//!
//! A smaller rise, and a smaller measure of sharpness, is flatter. One pair of models shows nothing about others, whatever its
//! interval.

use super::answers::Told;
use super::verdict::{Comparison, Verdict};
use super::words::{
    arm, at_most, bounded, comparisons, difference, fixed, level, level_se, listed, number, upper,
};
use crate::page::answer::Compared;
use crate::run::findings::RADIUS;
use crate::tables::page::{Sharp, Surface};

/// What is told of surfaces and sharpness, the first model first.
pub struct Seen<'a> {
    pub surfaces: &'a [Surface],
    pub sharpness: &'a [Sharp],
    /// What each part holds, and the unit of its loss.
    pub words: &'a dyn Fn(&str) -> (&'static str, &'static str),
    pub seed: u64,
}

/// A comparison, what it is of, and what is compared.
struct One<'a> {
    model: &'a str,
    of: String,
    found: Comparison,
}

impl<'a> Seen<'a> {
    pub fn told(&self) -> Option<Told> {
        let all = self.comparisons();
        let (own, first) = self.chief()?;
        let (Some(rise), Some(_)) = (first.rise, own.rise) else { return Some(nowhere(first, "Flatter?")) };
        let one_pair = all.iter().all(|one| one.found.verdict() == Verdict::OnePair);
        let mut told = match all.is_empty() {
            true => return None,
            false if one_pair => self.of_one_pair(own, first, rise, &all),
            false => self.of_pairs(own, first, &all),
        };
        let named = |one: &One| one.found.compared(format!("{} − {}, {}", one.model, first.model, one.of));
        told.answer.differences =
            all.iter().filter(|one| !one.of.starts_with(SHARPNESS)).map(named).collect();
        Some(told)
    }

    /// The rise that stands for the others: held out, in all parameters, of the guided arm where there is one.
    fn chief(&self) -> Option<(&Surface, &Surface)> {
        let held_out = self.surfaces.iter().find(|row| row.over == "held_out");
        let first = held_out.or(self.surfaces.first())?;
        let all = self.surfaces.iter().find(|row| row.over == first.over && row.mask == "all");
        let first = all.unwrap_or(first);
        let others = || {
            let own = |row: &&Surface| (&row.over, &row.mask) == (&first.over, &first.mask);
            self.surfaces.iter().filter(own).filter(|row| row.model != first.model)
        };
        let guided = others().find(|row| row.model == "guided").or_else(|| others().next());
        Some((guided?, first))
    }

    fn comparisons(&self) -> Vec<One<'a>> {
        let several = self.surfaces.iter().any(|row| row.over != self.surfaces[0].over);
        let of = |row: &Surface| match several {
            true => format!("{}, {}", row.mask, row.over.replace('_', " ")),
            false => row.mask.clone(),
        };
        let surface =
            |row: &'a Surface| Some(One { model: &row.model, of: of(row), found: Surface::comparison(row)? });
        let sharp = |row: &'a Sharp| {
            let of = format!("{SHARPNESS}{}", row.measure.replace('_', " "));
            Some(One { model: &row.model, of, found: Sharp::comparison(row)? })
        };
        let surfaces = self.surfaces.iter().filter_map(surface);
        surfaces.chain(self.sharpness.iter().filter_map(sharp)).collect()
    }

    /// `within distance 1 the loss over held-out examples rises by 0.536 ± 0.042 nats`, with the model of the first arm.
    fn rises(&self, row: &Surface) -> String {
        let (over, unit) = (self.words)(&row.over);
        format!("{} the loss over {over}{} rises by", within(row), in_mask(&row.mask)).replace("  ", " ")
            + &format!(" {} {unit}", level_se(row.rise.unwrap_or(f64::NAN), row.rise_se))
    }

    fn of_one_pair(&self, own: &Surface, first: &Surface, rise: f64, all: &[One]) -> Told {
        let (other, base) = (arm(&own.model), arm(&first.model));
        let planes = planes(own.planes);
        let difference = own.comparison().map_or(String::new(), |one| {
            let [value, low, high] = bounded(one.difference, one.ends);
            format!(" (difference {value}, 95 % {low} to {high})")
        });
        let (_, unit) = (self.words)(&first.over);
        let apart: Vec<&One> =
            all.iter().filter(|one| one.found.ends.0 > 0.0 || one.found.ends.1 < 0.0).collect();
        let which: Vec<String> =
            apart.iter().map(|one| one.of.trim_start_matches(SHARPNESS).to_string()).collect();
        let which =
            if (1..4).contains(&which.len()) { format!(" ({})", which.join("; ")) } else { String::new() };
        let verb = if apart.len() == 1 { "leaves" } else { "leave" };
        let uncorrected = match all.len() {
            1 => "The interval is for this pair only; another seed may reverse it.".to_string(),
            all => format!(
                "{} of {} uncorrected intervals of this pair {verb} out 0{which}; another seed may reverse them.",
                upper(&number(apart.len())),
                number(all)
            ),
        };
        Told::new(
            format!(
                "Not shown that the loss is flatter around {other} or {base}: it rises by {} and {} {unit} around one pair of models.",
                level(own.rise.unwrap_or(f64::NAN)),
                level(rise),
            ),
            "Flatter?",
            format!(
                "Not shown: around the one pair of models looked at (seed {}, {planes}) {} with {base} and {} with {other}{difference}. {uncorrected}",
                self.seed,
                self.rises(first),
                level_se(own.rise.unwrap_or(f64::NAN), own.rise_se),
            ),
        )
    }

    fn of_pairs(&self, own: &Surface, first: &Surface, all: &[One]) -> Told {
        let base = arm(&first.model);
        let of = |verdict: Verdict| -> Vec<String> {
            let shown = all.iter().filter(|one| one.found.verdict() == verdict);
            shown
                .map(|one| format!("{} ({})", arm(one.model), one.of.trim_start_matches(SHARPNESS)))
                .collect()
        };
        let (steeper, flatter) = (of(Verdict::Above), of(Verdict::Below));
        let judged: Vec<&One> = all.iter().filter(|one| one.found.verdict() != Verdict::OnePair).collect();
        let sharp = judged.iter().filter(|one| one.of.starts_with(SHARPNESS)).count();
        let rises = judged.len() - sharp;
        let kinds = [(rises, "rises"), (sharp, "sharpness")].into_iter().filter(|(n, _)| *n > 0);
        let kinds: Vec<String> = kinds.map(|(n, what)| format!("{} of {what}", number(n))).collect();
        let pairs = self.sharpness.iter().map(|row| row.runs).chain([own.seeds]).max().unwrap_or(1);
        let (judged, kinds, pairs) = (judged.len(), kinds.join(", "), number(pairs));
        let chief = self.chief_words(own, first);
        let parts = [(&flatter, "flatter around"), (&steeper, "steeper around")];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(what, _)| !what.is_empty())
            .map(|(what, word)| format!("{word} {}", listed(what)))
            .collect();
        if parts.is_empty() {
            return Told::new(
                format!(
                    "No difference in flatness is shown between {} and {base}: the loss rises by {} and {} {}.",
                    arm(&own.model),
                    level(own.rise.unwrap_or(f64::NAN)),
                    level(first.rise.unwrap_or(f64::NAN)),
                    (self.words)(&first.over).1,
                ),
                "Flatter?",
                format!(
                    "Not shown in any of {} ({kinds}) over {pairs} pairs of models. {chief}",
                    comparisons(judged)
                ),
            );
        }
        let shown = flatter.len() + steeper.len();
        Told::new(
            format!("Against {base}, the loss is shown to be {}.", parts.join(" and ")),
            "Flatter?",
            format!(
                "Shown in {} of {} ({kinds}) over {pairs} pairs of models, corrected for their number. {chief}",
                number(shown),
                comparisons(judged)
            ),
        )
    }

    /// The chief comparison, and what it rules out.
    fn chief_words(&self, own: &Surface, first: &Surface) -> String {
        let found = own.comparison().map_or(String::new(), |one| {
            let [value, low, high] = bounded(one.difference, one.ends);
            let out = match one.ends.0 < 0.0 && one.ends.1 > 0.0 {
                true => format!(
                    ", which rules out a rise smaller by {} or larger by {}",
                    at_most(-one.ends.0),
                    at_most(one.ends.1)
                ),
                false => String::new(),
            };
            format!(" (difference {value}, 95 % {low} to {high}){out}")
        });
        let one_pair = own.comparison().is_some_and(|one| one.verdict() == Verdict::OnePair);
        let around = if one_pair { "around one pair of models only, " } else { "" };
        format!(
            "{} with {} and {} with {}{found}.",
            upper(&format!("{around}{}", self.rises(first))),
            arm(&first.model),
            level(own.rise.unwrap_or(f64::NAN)),
            arm(&own.model)
        )
    }
}

/// How comparisons of sharpness begin.
const SHARPNESS: &str = "sharpness: ";

/// Surfaces that have no point to compare.
pub fn nowhere(row: &Surface, question: &str) -> Told {
    let text = format!("no grid point lies within distance {RADIUS} of the models{}", spans(row));
    Told::new(format!("Nothing is compared: {text}."), question, format!("Not compared: {text}."))
}

/// Where the rise is taken: within distance 1 only where the grid reaches it.
pub fn within(row: &Surface) -> String {
    match row.span.is_none_or(|(low, high)| low <= -RADIUS && high >= RADIUS) {
        true => format!("within distance {RADIUS}"),
        false => format!("at the grid points within distance {RADIUS}{}", spans(row)),
    }
}

fn spans(row: &Surface) -> String {
    let short = |v: f64| fixed(v, 4).trim_end_matches('0').trim_end_matches('.').to_string();
    row.span
        .map_or(String::new(), |(low, high)| format!(" (the grid spans {} to {})", short(low), short(high)))
}

fn in_mask(mask: &str) -> String {
    if mask == "all" { String::new() } else { format!(" ({mask} of the parameters)") }
}

fn planes(n: usize) -> String {
    format!("{} plane{}", number(n), if n == 1 { "" } else { "s" })
}

impl Comparison {
    pub fn compared(&self, name: String) -> Compared {
        let shown = matches!(self.verdict(), Verdict::Above | Verdict::Below);
        difference(name, (self.difference, self.ends), self.p_corrected, shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        over: &str,
        mask: &str,
        model: &str,
        rise: f64,
        difference: Option<(f64, f64, f64, Option<f64>)>,
    ) -> Surface {
        Surface {
            over: over.into(),
            mask: mask.into(),
            model: model.into(),
            rise: Some(rise),
            rise_se: Some(0.04),
            planes: 1,
            seeds: 1,
            difference: difference.map(|d| d.0),
            low: difference.map(|d| d.1),
            high: difference.map(|d| d.2),
            p_corrected: difference.and_then(|d| d.3),
            ..Surface::default()
        }
    }

    fn told(surfaces: &[Surface]) -> Told {
        let words =
            |part: &str| (if part == "train" { "examples trained on" } else { "held-out examples" }, "nats");
        Seen { surfaces, sharpness: &[], words: &words, seed: 0 }.told().unwrap()
    }

    /// Oracle: the rule. An interval of one pair of models that leaves out 0 shows nothing; over several pairs the corrected p decides,
    /// whatever the interval.
    #[test]
    fn flatness_is_claimed_by_the_corrected_p_alone() {
        let surfaces = |p: Option<f64>| {
            [
                row("train", "all", "uniform", 0.5, None),
                row("train", "all", "guided", 0.4, Some((-0.1, -0.15, -0.05, p))),
                row("held_out", "all", "uniform", 0.536, None),
                row(
                    "held_out",
                    "all",
                    "guided",
                    0.528,
                    Some((-0.008, -0.040, 0.024, Some(0.5).filter(|_| p.is_some()))),
                ),
            ]
        };
        let one_pair = told(&surfaces(None));
        let wanted = "Not shown: around the one pair of models looked at (seed 0, one plane) within distance 1 the loss over held-out \
                      examples rises by 0.536 ± 0.040 nats with uniform and 0.528 ± 0.040 with guided (difference −0.008, 95 % −0.040 \
                      to +0.024). One of two uncorrected intervals of this pair leaves out 0 (all, train); another seed may reverse them.";
        assert_eq!(one_pair.answer.text, wanted);
        assert!(one_pair.verdict.starts_with("Not shown"), "{}", one_pair.verdict);
        assert!(told(&surfaces(Some(0.051))).verdict.starts_with("No difference in flatness is shown"));
        let shown = told(&surfaces(Some(0.049)));
        assert_eq!(
            shown.verdict,
            "Against uniform, the loss is shown to be flatter around guided (all, train)."
        );
        assert_eq!(shown.answer.differences.iter().map(|d| d.shown).collect::<Vec<_>>(), [true, false]);
    }

    /// Oracle: by hand. Sharpness of several runs is judged although the surfaces are of one pair; they are not counted, and said to be of one.
    #[test]
    fn one_pair_of_surfaces_is_not_counted_among_runs() {
        let surfaces = [
            row("held_out", "all", "uniform", 0.5, None),
            row("held_out", "all", "guided", 0.4, Some((-0.1, -0.16, -0.04, None))),
        ];
        let sharp = Sharp {
            model: "guided".into(),
            measure: "top_eigenvalue".into(),
            runs: 3,
            value: 9.0,
            se: 1.0,
            difference: Some(-2.0),
            low: Some(-3.0),
            high: Some(-1.0),
            p: Some(0.01),
            p_corrected: Some(0.02),
        };
        let words = |_: &str| ("held-out examples", "nats");
        let told = Seen { surfaces: &surfaces, sharpness: &[sharp], words: &words, seed: 0 }.told().unwrap();
        assert_eq!(
            told.verdict,
            "Against uniform, the loss is shown to be flatter around guided (top eigenvalue)."
        );
        let wanted = "Shown in one of one comparison (one of sharpness) over three pairs of models, corrected for their number. Around one pair of \
                      models only, within distance 1 the loss over held-out examples rises by 0.500 ± 0.040 nats with uniform and 0.400 with \
                      guided (difference -0.100, 95 % -0.160 to -0.040).".replace('-', "−").replace("held−out", "held-out");
        assert_eq!(told.answer.text, wanted);
    }

    /// Oracle: by hand. "Within distance 1" is said only of a grid that reaches it on both sides; without a point there is no rise.
    #[test]
    fn distances_are_those_of_the_grid() {
        let at = |span| within(&Surface { span, ..Surface::default() });
        assert_eq!(at(Some((-1.0, 1.0))), "within distance 1");
        assert_eq!(
            at(Some((-0.5, 0.5))),
            "at the grid points within distance 1 (the grid spans −0.5 to 0.5)"
        );
        let mut rows = [row("train", "all", "uniform", 0.5, None), row("train", "all", "guided", 0.5, None)];
        rows.iter_mut().for_each(|row| (row.rise, row.span) = (None, Some((0.8, 0.9))));
        let wanted = "Nothing is compared: no grid point lies within distance 1 of the models (the grid spans 0.8 to 0.9).";
        assert_eq!(told(&rows).verdict, wanted);
    }
}
