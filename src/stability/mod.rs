//! How stable layer rankings stay when Fisher information is computed on part of a corpus (docs/definitions.md section 5).
//!
//! Every score of every draw is a linear function of the rows of `s[n,t]`, so one pass over the corpus serves all
//! fractions, repeats, granularities and resamples: here only sums of rows are left, of the scores `[N, items]`.
//!
//! Each draw is compared with the full set and with its complement. The first answers "would I have got the ranking
//! of this corpus?", and is high by construction where the draw is a large part of it. The second is free of that:
//! two samples that share nothing; it is the one to trust a fraction by.
//!
//! [`draw`] says which examples, [`mod@agreement`] how alike, `bootstrap` how certain, [`summary`] which fraction suffices;
//! [`ranks`] where each layer lands, [`tails`] how few examples a score rests on, [`needed`] how many would do; [`types`] what is
//! left where architecture alone does not make rankings agree. [`components`], [`heads`] and [`overlap`] ask what sums of rows
//! cannot tell, and take passes of their own: how much of the noise is that of the masks, or of a random head, and whether the same
//! PARAMETERS come out on top.

pub mod agreement;
pub mod audit;
pub mod between;
mod bootstrap;
pub mod components;
pub mod draw;
pub mod heads;
pub mod needed;
pub mod overlap;
pub mod ranks;
mod rows;
pub mod summary;
pub mod tails;
pub mod types;

use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;

use crate::error::{Error, Problem, Result};
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::model::Layout;
use crate::progress::Progress;
use crate::stats;
use crate::stats::clusters::Clusters;
use agreement::{Agreement, Measure, agreement};
use bootstrap::{Resamples, Scale, sum_rows};
use draw::Draws;
use needed::{NeededRow, Pilot};
use ranks::RankRow;
pub use rows::{AgreementRow, Compared, ScoreRow};
use summary::{Reference, SummaryRow};
use tails::TailRow;
use types::{TypeRow, Types, Within};

/// What to draw.
#[derive(Clone, Debug)]
pub struct Config {
    pub draws: Vec<Draws>,
    /// Fractions of the examples that have a target, each in (0, 1].
    pub fractions: Vec<f64>,
    pub repeats: usize,
    /// Resampled corpora behind the intervals; 0 leaves them empty.
    pub resamples: usize,
    pub aggregate: Aggregate,
    pub include_intermediate: bool,
    /// Spearman's rho that is asked for.
    pub threshold: f64,
    /// Which rows are one draw. Windows of a question are parts of one example: it is what is drawn, and counted.
    pub clusters: Clusters,
    pub seed: u64,
}

/// Scores and agreements of all draws, and what they say of each fraction.
#[derive(Default)]
pub struct Stability {
    pub scores: Vec<ScoreRow>,
    pub agreement: Vec<AgreementRow>,
    pub summary: Vec<SummaryRow>,
    pub types: Vec<TypeRow>,
    pub ranks: Vec<RankRow>,
    pub tails: Vec<TailRow>,
    pub needed: Vec<NeededRow>,
}

/// Draws sub-samples and compares their rankings. `sums` is `s[n,t]` of the tensors of `layout`.
///
/// Costs `resamples · N · items` additions and, for each resample and draw, as many as the smaller of the draw and its
/// complement holds; then some sorts of items: ten seconds for 1000 resamples of 10⁴ examples and 100 tensors
/// with 4 fractions and 10 repeats on two cores. The result does not depend on the number of threads.
///
/// # Errors
///
/// [`Error::Field`] for a fraction outside (0, 1] or fewer than two examples.
pub fn measure(layout: &Layout, sums: &Array2<f64>, config: &Config) -> Result<Stability> {
    check_fractions(&config.fractions)?;
    let items = Items::new(layout, sums, config);
    let n = items.scores.nrows();
    if n < 2 {
        let fix = "use a larger set";
        return Err(Error::field("stability", "examples with a target", "at least 2", n, fix));
    }
    let resamples = Resamples::new(&items.scores, &items.clusters, config.resamples, config.seed);
    let all: Vec<usize> = (0..n).collect();
    let full = sum_rows(&items.scores, 0..n);
    let mut result = Stability::default();
    result.scores.extend(items.score_rows("full", 1.0, 0, &full, &all));
    let progress = Progress::new("stability (fractions)", config.draws.len() * config.fractions.len());
    for &kind in &config.draws {
        for &fraction in &config.fractions {
            let cell = Cell::new(kind, fraction, n, config);
            cell.measure(&items, &full, &resamples, &mut result);
            result.needed.extend(cell.needed(&items, config));
            progress.advance(1);
        }
    }
    let whole = Pilot { draw: "full", fraction: 1.0, repeat: 0, members: &all };
    result.needed.extend(needed::rows(&items, &[whole], config));
    result.tails = tails::rows(&items, config);
    Ok(result)
}

/// Whether each fraction lies in (0, 1] and stands once.
pub fn check_fractions(fractions: &[f64]) -> Result<(), Problem> {
    let fix = "write 1 % as 0.01, and each fraction once";
    let wrong = |f: &f64, expected| Err(Problem::new("fractions", "numbers", expected, f, fix));
    if fractions.is_empty() {
        return Err(Problem::new("fractions", "numbers", "at least one", "none", fix));
    }
    for (i, f) in fractions.iter().enumerate() {
        if !(*f > 0.0 && *f <= 1.0) {
            return wrong(f, "in (0, 1]");
        }
        if fractions[..i].contains(f) {
            return wrong(f, "distinct");
        }
    }
    Ok(())
}

/// What is ranked, at all granularities side by side.
struct Items {
    /// Scores of each example, `[N, items]`; of a question the sums over its windows.
    scores: Array2<f64>,
    /// Rows behind each example: windows of a question, else 1.
    rows: Vec<usize>,
    /// Which examples are one draw.
    clusters: Clusters,
    /// Names of the items of each granularity, in the order of the columns.
    groups: Vec<(Granularity, Vec<String>)>,
    /// Which of the groups are sites, and their types.
    sites: usize,
    types: Types,
}

/// Scores of examples from those of rows, and how many rows each example has: windows of a question add up.
fn whole(scores: Array2<f64>, clusters: &Clusters) -> (Array2<f64>, Vec<usize>) {
    let Some(parts) = clusters.parts() else {
        let rows = vec![1; scores.nrows()];
        return (scores, rows);
    };
    let sums: Vec<f64> = parts.iter().flat_map(|rows| sum_rows(&scores, rows.iter().copied())).collect();
    // A sum of each item for each example: the shape fits.
    let sums = Array2::from_shape_vec((parts.len(), scores.ncols()), sums).unwrap_or_default();
    (sums, parts.iter().map(Vec::len).collect())
}

/// Agreement of one draw with the full set and with its complement.
struct Both {
    /// At each granularity.
    all: Vec<[Agreement; 2]>,
    types: [Option<Within>; 2],
}

impl Items {
    fn new(layout: &Layout, sums: &Array2<f64>, config: &Config) -> Items {
        let scores = Granularity::ALL
            .map(|g| (g, Scores::new(layout, g, config.aggregate, config.include_intermediate)));
        let parts: Vec<Array2<f64>> = scores.iter().map(|(_, scores)| scores.of_examples(sums)).collect();
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let sites = Granularity::ALL.iter().position(|g| *g == Granularity::Site).unwrap_or(0);
        // All have as many rows.
        let scores_of_rows = concatenate(Axis(1), &views).unwrap_or_default();
        let (by_example, rows) = whole(scores_of_rows, &config.clusters);
        Items {
            scores: by_example,
            rows,
            clusters: match config.clusters.parts() {
                Some(_) => Clusters::default(),
                None => config.clusters.clone(),
            },
            types: Types::new(scores[sites].1.names()),
            sites,
            groups: scores.into_iter().map(|(g, scores)| (g, scores.names().to_vec())).collect(),
        }
    }

    /// Each granularity's part of `values`, one value per item.
    fn split<'a>(&self, values: &'a [f64]) -> Vec<&'a [f64]> {
        let mut rest = values;
        let mut take = |n: usize| {
            let (part, after) = rest.split_at(n);
            rest = after;
            part
        };
        self.groups.iter().map(|(_, names)| take(names.len())).collect()
    }

    /// Agreements are those of orders, so sums over examples do as well as means.
    fn compare(&self, own: &[f64], full: &[f64], complement: Option<&[f64]>) -> Both {
        let (own, full) = (self.split(own), self.split(full));
        let complement = complement.map(|values| self.split(values));
        let with_complement = |g: usize| complement.as_ref().map(|c| agreement(own[g], c[g]));
        let both = |g: usize| [agreement(own[g], full[g]), with_complement(g).unwrap_or_default()];
        let types = |other: &[f64]| self.types.agreement(own[self.sites], other);
        Both {
            all: (0..own.len()).map(both).collect(),
            types: [Some(types(full[self.sites])), complement.as_ref().map(|c| types(c[self.sites]))],
        }
    }

    fn score_rows(
        &self,
        draw: &'static str,
        fraction: f64,
        repeat: usize,
        sums: &[f64],
        members: &[usize],
    ) -> Vec<ScoreRow> {
        let rows: usize = members.iter().map(|&example| self.rows[example]).sum();
        let row = |granularity: Granularity, name: &String, sum: f64| ScoreRow {
            draw: draw.to_string(),
            fraction,
            repeat,
            granularity,
            name: name.clone(),
            score: sum / rows as f64,
        };
        self.named().zip(sums).map(|((g, name), &sum)| row(g, name, sum)).collect()
    }

    /// Every item's granularity and name, in the order of the columns.
    fn named(&self) -> impl Iterator<Item = (Granularity, &String)> {
        self.groups.iter().flat_map(|(g, names)| names.iter().map(move |name| (*g, name)))
    }
}

/// All repeats of one fraction.
struct Cell {
    kind: Draws,
    fraction: f64,
    /// Members and the rest, ascending, for each repeat.
    draws: Vec<(Vec<usize>, Vec<usize>)>,
}

impl Cell {
    fn new(kind: Draws, fraction: f64, n: usize, config: &Config) -> Cell {
        let draw = |repeat: usize| {
            let members = kind.members(n, fraction, repeat, config.seed);
            let rest = (0..n).filter(|i| members.binary_search(i).is_err()).collect();
            (members, rest)
        };
        let repeats = kind.repeats(n, fraction, config.repeats);
        Cell { kind, fraction, draws: (0..repeats).into_par_iter().map(draw).collect() }
    }

    fn measure(&self, items: &Items, full: &[f64], resamples: &Resamples, result: &mut Stability) {
        let (mut observed, mut sums) = (Vec::new(), Vec::new());
        for (repeat, (members, rest)) in self.draws.iter().enumerate() {
            let own = sum_rows(&items.scores, members.iter().copied());
            let complement = (!rest.is_empty()).then(|| sum_rows(&items.scores, rest.iter().copied()));
            let scores = items.score_rows(self.kind.name(), self.fraction, repeat, &own, members);
            result.scores.extend(scores);
            observed.push(items.compare(&own, full, complement.as_deref()));
            sums.push(own);
        }
        result.ranks.extend(ranks::rows(items, self.kind, self.fraction, full, &sums));
        let resampled: Vec<Vec<Both>> =
            (0..resamples.len()).into_par_iter().map(|b| self.resampled(items, resamples, b)).collect();
        for repeat in 0..self.draws.len() {
            for (g, (granularity, names)) in items.groups.iter().enumerate() {
                let compared = |reference: usize| {
                    let values = observed[repeat].all[g][reference];
                    let interval = |m: usize| {
                        let scale = Scale::new(Measure::ALL[m], names.len(), 1);
                        let values = resampled.iter().filter_map(|draws| draws[repeat].all[g][reference][m]);
                        scale.interval(observed[repeat].all[g][reference][m]?, values, resamples.len())
                    };
                    Compared { values, intervals: [0, 1, 2, 3, 4].map(interval) }
                };
                result.agreement.push(AgreementRow {
                    draw: self.kind,
                    fraction: self.fraction,
                    repeat,
                    granularity: *granularity,
                    examples: self.draws[repeat].0.len(),
                    k: stats::top_k(names.len()),
                    full: compared(0),
                    complement: compared(1),
                });
            }
        }
        result.summary.extend(self.summaries(items, &observed, &resampled));
        let cell = (self.kind, self.fraction, self.draws.first().map_or(0, |(members, _)| members.len()));
        let types = |own: Vec<Both>| own.into_iter().map(|both| both.types).collect::<Vec<_>>();
        let resampled: Vec<Vec<_>> = resampled.into_iter().map(types).collect();
        let full = items.split(full)[items.sites];
        result.types.extend(items.types.rows(cell, full, &types(observed), &resampled));
    }

    /// Of how many examples each draw says that they would do.
    fn needed(&self, items: &Items, config: &Config) -> Vec<NeededRow> {
        let pilots = self.draws.iter().enumerate().map(|(repeat, (members, _))| Pilot {
            draw: self.kind.name(),
            fraction: self.fraction,
            repeat,
            members,
        });
        needed::rows(items, &pilots.collect::<Vec<_>>(), config)
    }

    /// Agreements of all repeats in resample `b`.
    fn resampled(&self, items: &Items, resamples: &Resamples, b: usize) -> Vec<Both> {
        let (full, rows) = (resamples.total(b).to_vec(), resamples.rows(b));
        let sum = |places: &[usize]| sum_rows(&items.scores, places.iter().map(|&place| rows[place]));
        let other = |part: &[f64]| full.iter().zip(part).map(|(all, part)| all - part).collect::<Vec<f64>>();
        let both = |(members, rest): &(Vec<usize>, Vec<usize>)| {
            // The smaller part is summed, the other is what it leaves.
            let (own, complement) = if members.len() <= rest.len() {
                let own = sum(members);
                let complement = other(&own);
                (own, complement)
            } else {
                let complement = sum(rest);
                (other(&complement), complement)
            };
            items.compare(&own, &full, (!rest.is_empty()).then_some(&complement))
        };
        self.draws.iter().map(both).collect()
    }

    /// Mean, spread and interval over the repeats, for each granularity, reference and measure.
    fn summaries(&self, items: &Items, observed: &[Both], resampled: &[Vec<Both>]) -> Vec<SummaryRow> {
        let mut rows = Vec::new();
        for (g, (granularity, names)) in items.groups.iter().enumerate() {
            for (r, reference) in Reference::ALL.into_iter().enumerate() {
                for (m, measure) in Measure::ALL.into_iter().enumerate() {
                    let of =
                        |draws: &[Both]| draws.iter().filter_map(|d| d.all[g][r][m]).collect::<Vec<f64>>();
                    let values = of(observed);
                    if values.is_empty() {
                        continue;
                    }
                    let means = resampled.iter().map(|draws| stats::mean(&of(draws))).filter(|v| !v.is_nan());
                    let scale = Scale::new(measure, names.len(), values.len());
                    let mean = stats::mean(&values);
                    let interval = scale.interval(mean, means, resampled.len());
                    rows.push(SummaryRow {
                        draw: self.kind,
                        fraction: self.fraction,
                        examples: self.draws[0].0.len(),
                        granularity: *granularity,
                        reference,
                        measure,
                        repeats: values.len(),
                        mean,
                        low: interval.map(|i| i.0),
                        high: interval.map(|i| i.1),
                        sd: Some(stats::sd(&values)).filter(|sd| sd.is_finite()),
                        least: values.iter().copied().fold(f64::INFINITY, f64::min),
                    });
                }
            }
        }
        rows
    }
}
