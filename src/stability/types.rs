//! Agreement within one type of site: the attention probabilities of all layers among themselves, and so on.
//!
//! Over all sites rankings agree by architecture alone: attention probabilities have low Fisher information whatever the data,
//! outputs more, embeddings most, so a rho of 0.96 over all sites says little. Two yardsticks beside it:
//!
//! - rho within each type, and the mean over the types of two sites or more;
//! - the rule `by-type`, which takes no data: types in the order in which a layer has them, each by layer, the embeddings last. Its rho
//!   with the ranking by all examples stands in every row. A ranking that agrees no better with its like has told no more than the rule.
//!
//! Sites are all that the model has, no sample of anything: intervals are only over examples and draws.

use serde::{Deserialize, Serialize};

use super::agreement::Measure;
use super::bootstrap::Scale;
use super::draw::Draws;
use super::summary::{self, Reference};
use crate::stats;

/// A row of `types.csv`: the repeats of one fraction, over the sites of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypeRow {
    /// How the draws relate to each other.
    pub draw: Draws,
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// Examples in each draw.
    pub examples: usize,
    /// Whether it is compared with all examples or with those left out.
    pub reference: Reference,
    /// `all` sites, those of one type, or `within`: the mean over the types.
    pub of: String,
    /// Sites in it.
    pub sites: usize,
    /// Spearman's rho, mean over the repeats.
    pub spearman: f64,
    /// Lower end of its 95 % interval over corpora and draws.
    pub spearman_low: Option<f64>,
    /// Upper end.
    pub spearman_high: Option<f64>,
    /// Spearman's rho of the ranking by all examples with the rule `by-type`, which takes no data.
    pub rule: Option<f64>,
}

/// The sites of a model by type.
pub(super) struct Types {
    /// Name of each type, in the order in which they come, and its sites' places; those of a single site, too.
    types: Vec<(String, Vec<usize>)>,
    /// Scores of the rule, one a site.
    rule: Vec<f64>,
}

/// Rho over all sites, within each type of two or more, and the mean of those; `None` where one is undefined.
pub(super) type Within = Vec<Option<f64>>;

impl Types {
    /// Of names such as `layer.3.ffn_output`, in model order.
    pub(super) fn new(names: &[String]) -> Types {
        let mut types: Vec<(String, Vec<usize>)> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let own = name.rsplit('.').next().unwrap_or(name);
            match types.iter_mut().find(|(name, _)| name == own) {
                Some((_, places)) => places.push(place),
                None => types.push((own.to_string(), vec![place])),
            }
        }
        // Embeddings stand first in the model and last in the rule.
        let mut order: Vec<&(String, Vec<usize>)> = types.iter().collect();
        order.sort_by_key(|(name, _)| name == "embeddings");
        let mut rule = vec![0.0; names.len()];
        let places = order.iter().flat_map(|(_, places)| places);
        places.enumerate().for_each(|(rank, &place)| rule[place] = rank as f64);
        Types { types, rule }
    }

    /// Types of several sites: in one site there is no order.
    fn several(&self) -> impl Iterator<Item = &(String, Vec<usize>)> {
        self.types.iter().filter(|(_, places)| places.len() > 1)
    }

    /// What each entry of [`Within`] is of, and how many sites it has.
    fn labels(&self) -> Vec<(String, usize)> {
        let own: Vec<(String, usize)> =
            self.several().map(|(name, places)| (name.clone(), places.len())).collect();
        let within = own.iter().map(|(_, sites)| sites).sum();
        [vec![("all".to_string(), self.rule.len())], own, vec![("within".to_string(), within)]].concat()
    }

    /// How alike two lists of scores of the sites are.
    pub(super) fn agreement(&self, x: &[f64], y: &[f64]) -> Within {
        let of = |values: &[f64], places: &[usize]| places.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let own: Vec<Option<f64>> =
            self.several().map(|(_, places)| stats::spearman(&of(x, places), &of(y, places))).collect();
        let defined: Vec<f64> = own.iter().copied().flatten().collect();
        let mean = Some(stats::mean(&defined)).filter(|rho| rho.is_finite());
        [vec![stats::spearman(x, y)], own, vec![mean]].concat()
    }

    /// The rows of one fraction: `observed` has an entry a repeat, `resampled` one a resample of those; `full` are the scores by all
    /// examples.
    pub(super) fn rows(
        &self,
        (draw, fraction, examples): (Draws, f64, usize),
        full: &[f64],
        observed: &[[Option<Within>; 2]],
        resampled: &[Vec<[Option<Within>; 2]>],
    ) -> Vec<TypeRow> {
        let rule = self.agreement(full, &self.rule);
        let labels = self.labels();
        // The shortest list of them: its steps are the coarsest.
        let fewest = self.several().map(|(_, places)| places.len()).min().unwrap_or(0);
        let mut rows = Vec::new();
        for (r, reference) in Reference::ALL.into_iter().enumerate() {
            for (i, (of, sites)) in labels.iter().enumerate() {
                let values = |draws: &[[Option<Within>; 2]]| -> Vec<f64> {
                    draws.iter().filter_map(|own| own[r].as_ref()?[i]).collect()
                };
                let own = values(observed);
                if own.is_empty() {
                    continue;
                }
                let (items, lists) = if of == "within" { (fewest, labels.len() - 2) } else { (*sites, 1) };
                let scale = Scale::new(Measure::Spearman, items, own.len() * lists);
                let means = resampled.iter().map(|draws| stats::mean(&values(draws))).filter(|v| !v.is_nan());
                let spearman = stats::mean(&own);
                let interval = scale.interval(spearman, means, resampled.len());
                rows.push(TypeRow {
                    draw,
                    fraction,
                    examples,
                    reference,
                    of: of.clone(),
                    sites: *sites,
                    spearman,
                    spearman_low: interval.map(|i| i.0),
                    spearman_high: interval.map(|i| i.1),
                    rule: rule[i],
                });
            }
        }
        rows
    }
}

/// What is left within types, and what the rule without data does, for people: against the examples left out, largest draws.
pub fn sentences(rows: &[TypeRow]) -> Vec<String> {
    let own: Vec<&TypeRow> = rows.iter().filter(|row| row.reference == Reference::Complement).collect();
    let mut lines = Vec::new();
    for own in own.chunk_by(|a, b| a.draw == b.draw) {
        let Some(largest) = own.iter().map(|row| row.fraction).max_by(f64::total_cmp) else { continue };
        let row = |of: &str| own.iter().find(|row| row.fraction == largest && row.of == of);
        let (Some(all), Some(within)) = (row("all"), row("within")) else { continue };
        let types =
            own.iter().filter(|row| row.fraction == largest && !["all", "within"].contains(&row.of.as_str()));
        let types: Vec<String> = types.map(|row| format!("{} {:.3}", row.of, row.spearman)).collect();
        let rule = |row: &TypeRow| row.rule.map_or("undefined".into(), |rho| format!("{rho:.3}"));
        lines.push(format!(
            "site scores, {} draws of {} examples, rho with the other examples: {} over all {} sites, {} within types of site ({}). The \
             rule by-type, which takes no data, has {} and {} with the ranking by all examples. Sites are not a sample of anything: \
             intervals are only over examples and draws",
            all.draw.name(),
            all.examples,
            bounded(all),
            all.sites,
            bounded(within),
            types.join(", "),
            rule(all),
            rule(within),
        ));
    }
    lines
}

fn bounded(row: &TypeRow) -> String {
    summary::bounded(row.spearman, row.spearman_low.zip(row.spearman_high))
}
