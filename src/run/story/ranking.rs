//! What is answered of the Fisher information itself: where it lies, how much data its ranking needs and on what it rests, what it
//! marks and predicts; and how models lie to each other.

use super::Story;
use super::answers::Told;
use super::reliability::sentences;
use super::words::{fixed, level, listed, number, upper};
use crate::error::Result;
use crate::fisher::layers::{Aggregate, Granularity};
use crate::run::findings;
use crate::run::plan::STABILITY;
use crate::run::plan::reliability::{AGREE, AUDIT, DAMAGE};
use crate::stability::audit::{DriverRow, VariantRow};
use crate::stability::needed::NeededRow;
use crate::stability::summary::{Reference, SummaryRow};
use crate::stability::{components, overlap};
use crate::stages::word;
use crate::tables::agree::PairRow;
use crate::tables::agreement::Curves;
use crate::tables::damage::CorrelationRow;
use crate::tables::page::Site;

/// Names of a tie that are written out.
const TIED: usize = 4;

impl Story<'_> {
    /// The sites with most and with least Fisher information.
    pub(super) fn places(&self) -> Result<Option<Told>> {
        let Some(sites) = &self.sites else { return Ok(None) };
        if sites.rows.len() < 2 {
            return Ok(None);
        }
        let [high, low] = [&sites.highest, &sites.lowest].map(|tied| place(&sites.rows, tied));
        let all = sites.rows.len();
        Ok(Some(Told::new(
            format!("Of {all} sites, Fisher information is highest at {} and lowest at {}.", high.0, low.0),
            "Where?",
            format!(
                "Fisher information per parameter is highest at {} and lowest at {} of {all} sites.",
                high.1, low.1
            ),
        )))
    }

    /// How many examples rank the sites as the others do.
    pub(super) fn data(&self) -> Result<Option<Told>> {
        if self.analysis.stability.is_none() {
            return Ok(None);
        }
        let curves = Curves::read(&self.path::<crate::stability::AgreementRow>(STABILITY))?;
        let own = curves.trust.iter().filter(|trust| trust.reference == Reference::Complement);
        let Some(trust) = own.clone().find(|t| t.granularity == Granularity::Site).or(own.clone().next())
        else {
            return Ok(None);
        };
        let rows = curves.summary.iter().filter(|row| {
            (row.draw, row.granularity, row.reference, row.measure)
                == (trust.draw, trust.granularity, trust.reference, trust.measure)
        });
        let largest = rows.clone().max_by(|a, b| a.fraction.total_cmp(&b.fraction));
        let enough = rows.clone().find(|row| Some(row.fraction) == trust.fraction);
        let items = match (&self.sites, trust.granularity) {
            (Some(sites), Granularity::Site) => format!("the {} sites", sites.rows.len()),
            (_, granularity) => format!("the {}s", granularity.name()),
        };
        Ok(match (enough, largest) {
            (Some(row), _) => Some(suffices(row, &items)),
            (None, Some(row)) => Some(self.is_too_few(row, &items, trust.threshold)?),
            _ => None,
        })
    }

    fn is_too_few(&self, row: &SummaryRow, items: &str, threshold: f64) -> Result<Told> {
        let [few, all] = [row.examples, total(row)].map(number);
        let needed: Vec<NeededRow> = self.rows_if_any(STABILITY)?;
        let full = needed.iter().find(|n| n.draw == "full" && n.granularity == row.granularity);
        let predicted = full.and_then(|n| Some((n.predicted?, n.predicted_low, n.predicted_high)));
        // The prediction may lie below what was tried.
        let more = predicted.is_none_or(|(n, ..)| n > row.examples as f64);
        let begin = if more { "More than was tried" } else { "Not settled" };
        let predicted = predicted.map_or(String::new(), |(n, low, high)| {
            let ends = low.map_or(String::new(), |low| {
                format!(" (95 % {low} to {})", high.map_or("no end".into(), |high| high.to_string()))
            });
            format!(" By all {all} examples, {}{ends} are predicted to suffice for two samples to agree at {threshold}.", n.ceil())
        });
        Ok(Told::new(
            format!(
                "No sample of up to {few} of {all} examples is shown to rank {items} as the others do: rho {}.",
                level(row.mean)
            ),
            "How much data?",
            format!(
                "{begin}: a sample of {few} of {all} examples ranks {items} as the others do at rho {}, which is not shown \
                 to be above {threshold}.{predicted}",
                rho_of(Some(row.mean), row.low, row.high)
            ),
        ))
    }

    /// How much of a score's noise is that of the masks.
    pub(super) fn masks(&self) -> Result<Option<Told>> {
        if self.analysis.stability.as_ref().is_none_or(|stability| stability.masks < 2) {
            return Ok(None);
        }
        let lines = components::sentences(&self.rows(STABILITY)?, &self.rows(STABILITY)?);
        Ok(said("Masks or data?", lines))
    }

    /// Whether the same parameters come out on top.
    pub(super) fn overlap(&self) -> Result<Option<Told>> {
        if self.analysis.stability.as_ref().is_none_or(|stability| stability.overlap.is_empty()) {
            return Ok(None);
        }
        Ok(said("Same parameters?", overlap::sentences(&self.rows(STABILITY)?)))
    }

    /// What the ranking of the sites rests on.
    pub(super) fn drivers(&self) -> Result<Option<Told>> {
        if self.analysis.audit.is_none() {
            return Ok(None);
        }
        let (variants, drivers): (Vec<VariantRow>, Vec<DriverRow>) = (self.rows(AUDIT)?, self.rows(AUDIT)?);
        let ranked = variants.iter().filter(|row| row.spearman.is_some());
        let furthest = ranked.min_by(|a, b| a.spearman.unwrap_or(1.0).total_cmp(&b.spearman.unwrap_or(1.0)));
        let furthest = furthest.map_or(String::new(), |row| {
            format!(
                " Of all ways to combine tensors into a score, {} over {} departs most from the paper's ranking: rho {}, dropout rates off \
                 by {} on average.",
                word(row.aggregate),
                word(row.variant),
                rho_of(row.spearman, row.spearman_low, row.spearman_high),
                rho_of(row.rate_difference, row.rate_difference_low, row.rate_difference_high),
            )
        });
        let paper: Vec<&DriverRow> =
            drivers.iter().filter(|row| row.aggregate == Aggregate::MeanOfMeans).collect();
        let sites = paper.chunk_by(|a, b| a.site == b.site).count();
        let led = paper.iter().filter(|row| row.share.is_some_and(|share| share > 0.5)).count();
        let led = format!(
            "{} of {sites} sites {} more than half of their score, by the paper's mean of tensor means, from a single tensor.",
            upper(&number(led)),
            if led == 1 { "has" } else { "have" }
        );
        Ok(Some(Told::new(led.clone(), "What drives it?", format!("{led}{furthest}"))))
    }

    /// Whether it predicts where a perturbation hurts.
    pub(super) fn damaged(&self) -> Result<Option<Told>> {
        if self.analysis.damage.is_none() {
            return Ok(None);
        }
        let rows: Vec<CorrelationRow> = self.rows(DAMAGE)?;
        let Some(row) = rows.iter().find(|row| row.outcome == "rise") else { return Ok(None) };
        let shown = row.spearman_low.is_some_and(|low| low > 0.0);
        let what = format!("{} of {}s", row.layers, row.granularity.name());
        let what = what.replace(" of ", " ");
        let rho = rho_of(row.spearman, row.spearman_low, row.spearman_high);
        let verdict = match shown {
            true => format!(
                "Fisher information predicts where a perturbation hurts: rank correlation {rho} over {what}."
            ),
            false => format!(
                "Fisher information is not shown to predict where a perturbation hurts: rank correlation {rho} over {what}."
            ),
        };
        let answer = if shown { "Yes" } else { "Not shown" };
        Ok(Some(Told::new(
            verdict,
            "Where it hurts?",
            format!(
                "{answer}: the rise of the loss when one {} is perturbed has a rank correlation of {rho} {}, over {what}; it is one of {} such \
                 correlations.",
                row.granularity.name(),
                super::reliability::predictor(&row.predictor),
                rows.iter().filter(|row| row.outcome == "rise").count(),
            ),
        )))
    }

    /// How alike estimates and models rank the sites.
    pub(super) fn alike(&self) -> Result<Option<Told>> {
        if self.analysis.agree.is_none() {
            return Ok(None);
        }
        let rows: Vec<PairRow> = self.rows(AGREE)?;
        let mut rows: Vec<&PairRow> = rows
            .iter()
            .filter(|row| row.granularity == Granularity::Site && row.spearman.is_some())
            .collect();
        rows.sort_by(|a, b| a.spearman.unwrap_or(0.0).total_cmp(&b.spearman.unwrap_or(0.0)));
        let one = |row: &PairRow| {
            let rho = rho_of(row.spearman, row.spearman_low, row.spearman_high);
            format!("{} and {} with rho {rho}", row.a, row.b)
        };
        let rates = |row: &PairRow| {
            let off = rho_of(row.rate_difference, row.rate_difference_low, row.rate_difference_high);
            format!("their dropout rates differ by {off} on average")
        };
        Ok(match &rows[..] {
            [] => None,
            [only] => Some(Told::new(
                format!(
                    "{} and {} rank the sites with rho {}.",
                    upper(&only.a),
                    only.b,
                    level(only.spearman.unwrap_or(0.0))
                ),
                "Alike?",
                format!("The sites are ranked by {}; {}.", one(only), rates(only)),
            )),
            [first, .., last] => Some(Told::new(
                format!(
                    "Rankings of the sites agree at rho {} ({}, {}) to {} ({}, {}).",
                    level(first.spearman.unwrap_or(0.0)),
                    first.a,
                    first.b,
                    level(last.spearman.unwrap_or(0.0)),
                    last.a,
                    last.b
                ),
                "Alike?",
                format!(
                    "Of {} pairs of rankings the least alike are {}: {}. The most alike are {}.",
                    number(rows.len()),
                    one(first),
                    rates(first),
                    one(last)
                ),
            )),
        })
    }

    /// How the trained models lie to each other.
    pub(super) fn apart(&self) -> Result<Option<Told>> {
        if self.analysis.plane.is_none() || self.models.len() < 2 {
            return Ok(None);
        }
        let marks = findings::marks(self.folder)?;
        let [_, first, second, ..] = &marks[..] else { return Ok(None) };
        let distance = (first.x - second.x).hypot(first.y - second.y);
        let distance = fixed(distance, 2);
        Ok(Some(Told::new(
            format!(
                "{} and {} end {distance} times as far apart as {} is from the start.",
                upper(&second.label),
                first.label,
                first.label
            ),
            "How far apart?",
            format!(
                "In weight space, {} and {} are {distance} times as far apart as {} is from the checkpoint that both started from (one run of each).",
                second.label, first.label, first.label
            ),
        )))
    }
}

fn suffices(row: &SummaryRow, items: &str) -> Told {
    let [few, all, rest] = [row.examples, total(row), total(row) - row.examples.min(total(row))].map(number);
    let rank = if row.examples == 1 { "ranks" } else { "rank" };
    Told::new(
        format!(
            "{} of {all} examples {rank} {items} as the others do: rho {}.",
            upper(&few),
            level(row.mean)
        ),
        "How much data?",
        format!(
            "{} of {all} examples {rank} {items} as the other {rest} do (rho {}; lowest of {} draws {}).",
            upper(&few),
            rho(row),
            number(row.repeats),
            level(row.least)
        ),
    )
}

/// The examples that a draw is a part of.
fn total(row: &SummaryRow) -> usize {
    (row.examples as f64 / row.fraction).round() as usize
}

/// A rank correlation within brackets.
fn rho(row: &SummaryRow) -> String {
    rho_of(Some(row.mean), row.low, row.high).replace(" (95", ", 95").replace(')', "")
}

/// A rank correlation, or another number between fixed ends, and its interval.
fn rho_of(value: Option<f64>, low: Option<f64>, high: Option<f64>) -> String {
    let ends = low
        .zip(high)
        .map_or(String::new(), |(low, high)| format!(" (95 % {} to {})", level(low), level(high)));
    value.map_or("none".into(), |value| format!("{}{ends}", level(value)))
}

/// What a command says in lines of its own.
fn said(question: &str, lines: Vec<String>) -> Option<Told> {
    let lines: Vec<String> = sentences(lines).collect();
    let first = lines.first()?.clone();
    Some(Told::new(first, question, lines.join(" ")))
}

/// Sites that are not distinguished: in few words, and with their scores.
fn place(rows: &[Site], tied: &[usize]) -> (String, String) {
    let name = |i: &usize| site_words(&rows[*i].site);
    let few: Vec<String> = tied.iter().take(TIED).map(name).collect();
    let few = match tied.len() {
        n if n > TIED => format!("{} and {} more", few.join(", "), n - TIED),
        _ => listed(&few),
    };
    let score = |i: &usize| format!("{} ({})", name(i), scientific(&rows[*i]));
    let each: Vec<String> = tied.iter().take(TIED).map(score).collect();
    match tied.len() {
        1 => (few, listed(&each)),
        n => {
            let more = if n > TIED { format!(" and {} more", n - TIED) } else { String::new() };
            (format!("{few} (a tie)"), format!("{}{more}, which are not distinguished,", listed(&each)))
        }
    }
}

/// `attention probs of layer 3` for `layer.3.attention_probs`.
fn site_words(site: &str) -> String {
    match site.split('.').collect::<Vec<_>>()[..] {
        [ref before @ .., "layer", number, kind] => {
            let layer = [before, &["layer", number]].concat().join(" ");
            format!("{} of {layer}", kind.replace('_', " "))
        }
        _ => site.replace('_', " "),
    }
}

fn scientific(site: &Site) -> String {
    let se = if site.score_se.is_finite() { format!(" ± {:.0e}", site.score_se) } else { String::new() };
    format!("{:.2e}{se}", site.score).replace("e-", "e−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, score: f64) -> Site {
        Site { site: name.into(), score, score_se: 6e-8 }
    }

    /// Oracle: by hand. A tie is named as one, with the sites that are in it; more than four are counted.
    #[test]
    fn ties_are_named() {
        let rows: Vec<Site> = (0..6).map(|k| site(&format!("layer.{k}.attention_probs"), 5.83e-6)).collect();
        assert_eq!(place(&rows, &[1]).1, "attention probs of layer 1 (5.83e−6 ± 6e−8)");
        assert_eq!(
            place(&rows, &[1, 0]).0,
            "attention probs of layer 1 and attention probs of layer 0 (a tie)"
        );
        let all = place(&rows, &[0, 1, 2, 3, 4, 5]);
        assert!(all.0.ends_with("attention probs of layer 3 and 2 more (a tie)"), "{}", all.0);
        assert!(all.1.ends_with("and 2 more, which are not distinguished,"), "{}", all.1);
    }
}
