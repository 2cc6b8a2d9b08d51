//! How stable layer rankings stay when Fisher information is computed on part of a corpus (definitions.md section 5).
//!
//! Every score of every draw is a linear function of the rows of `s[n,t]`, so one pass over the corpus serves all
//! fractions and repeats. A draw lies inside the full set, which inflates their agreement; so each draw is compared
//! with its complement too.

use ndarray::Array2;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::rng::Stream;
use crate::stats;

/// Weight of the top ranks in rank-biased overlap.
const RBO_P: f64 = 0.9;

/// What to draw.
#[derive(Clone, Debug)]
pub struct Config {
    /// Fractions of the examples that have a target, each in (0, 1].
    pub fractions: Vec<f64>,
    pub repeats: usize,
    pub aggregate: Aggregate,
    pub include_intermediate: bool,
    pub seed: u64,
}

/// A row of `scores.csv`.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreRow {
    /// `full` or `independent`.
    pub draw: &'static str,
    pub fraction: f64,
    pub repeat: usize,
    pub granularity: &'static str,
    pub name: String,
    /// Nats² per squared unit of the parameter (for masked LM and classification).
    pub score: f64,
}

/// A row of `agreement.csv`: a draw's ranking against that of the full set, then against that of its complement.
/// Empty where a ranking is constant, or where the draw is the full set and has no complement.
#[derive(Clone, Debug, Serialize)]
pub struct AgreementRow {
    pub draw: &'static str,
    pub fraction: f64,
    pub repeat: usize,
    pub granularity: &'static str,
    /// Examples drawn.
    pub examples: usize,
    /// The k of `top_k_overlap`.
    pub k: usize,
    pub spearman: Option<f64>,
    pub kendall: Option<f64>,
    pub top_k_overlap: Option<f64>,
    pub rbo: Option<f64>,
    pub spearman_complement: Option<f64>,
    pub kendall_complement: Option<f64>,
    pub top_k_overlap_complement: Option<f64>,
    pub rbo_complement: Option<f64>,
}

/// Scores and agreements of all draws.
pub struct Stability {
    pub scores: Vec<ScoreRow>,
    pub agreement: Vec<AgreementRow>,
}

/// Draws sub-samples and compares their rankings. `tensors` are (name, number of entries), `sums` is `s[n,t]`.
///
/// # Errors
///
/// [`Error::Field`] for a fraction outside (0, 1] or fewer than two examples.
pub fn measure(tensors: &[(String, usize)], sums: &Array2<f64>, config: &Config) -> Result<Stability> {
    let n = sums.nrows();
    check_fractions(&config.fractions)?;
    if n < 2 {
        let fix = "use a larger set";
        return Err(Error::field("stability", "examples with a target", "at least 2", n, fix));
    }
    let all: Vec<usize> = (0..n).collect();
    let full = mean_rows(sums, &all);
    let mut result = Stability { scores: Vec::new(), agreement: Vec::new() };
    let by_granularity =
        Granularity::ALL.map(|g| (g, Scores::new(tensors, g, config.aggregate, config.include_intermediate)));
    for (granularity, scores) in &by_granularity {
        result.scores.extend(score_rows(scores, &full, ("full", 1.0, 0), *granularity));
    }
    let draws: Vec<(f64, usize)> =
        config.fractions.iter().flat_map(|&f| (0..config.repeats).map(move |r| (f, r))).collect();
    let draw = |&(fraction, repeat): &(f64, usize)| {
        let members = independent(n, fraction, repeat, config.seed);
        let rest: Vec<usize> = (0..n).filter(|i| members.binary_search(i).is_err()).collect();
        let own = mean_rows(sums, &members);
        let complement = (!rest.is_empty()).then(|| mean_rows(sums, &rest));
        let mut part = Stability { scores: Vec::new(), agreement: Vec::new() };
        for (granularity, scores) in &by_granularity {
            let label = ("independent", fraction, repeat);
            part.scores.extend(score_rows(scores, &own, label, *granularity));
            let against = Agreement::of(&scores.of(&own), &scores.of(&full));
            let complement = complement.as_ref().map(|c| Agreement::of(&scores.of(&own), &scores.of(c)));
            part.agreement.push(AgreementRow {
                draw: "independent",
                fraction,
                repeat,
                granularity: granularity.name(),
                examples: members.len(),
                k: stats::top_k(scores.names().len()),
                spearman: against.spearman,
                kendall: against.kendall,
                top_k_overlap: against.top_k_overlap,
                rbo: against.rbo,
                spearman_complement: complement.as_ref().and_then(|c| c.spearman),
                kendall_complement: complement.as_ref().and_then(|c| c.kendall),
                top_k_overlap_complement: complement.as_ref().and_then(|c| c.top_k_overlap),
                rbo_complement: complement.as_ref().and_then(|c| c.rbo),
            });
        }
        part
    };
    for part in draws.par_iter().map(draw).collect::<Vec<Stability>>() {
        result.scores.extend(part.scores);
        result.agreement.extend(part.agreement);
    }
    Ok(result)
}

/// Whether each fraction lies in (0, 1] and stands once.
pub fn check_fractions(fractions: &[f64]) -> Result<()> {
    let wrong = |f: &f64, expected: &str| {
        Err(Error::field("stability", "fractions", expected, f, "write 1 % as 0.01, and each fraction once"))
    };
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

/// Examples of an independent draw, ascending: `max(1, floor(fraction n + 0.5))` without replacement.
pub fn independent(n: usize, fraction: f64, repeat: usize, seed: u64) -> Vec<usize> {
    let size = ((fraction * n as f64 + 0.5).floor() as usize).clamp(1, n);
    // One stream per fraction: a fraction's draws do not depend on which others are asked for.
    Stream::new(seed, &format!("stability/independent/{fraction}")).at(repeat as u64).sample(n, size)
}

fn mean_rows(sums: &Array2<f64>, rows: &[usize]) -> Vec<f64> {
    let mut mean = vec![0f64; sums.ncols()];
    for &n in rows {
        mean.iter_mut().zip(sums.row(n)).for_each(|(m, s)| *m += s);
    }
    mean.iter_mut().for_each(|m| *m /= rows.len() as f64);
    mean
}

fn score_rows(
    scores: &Scores,
    sums: &[f64],
    (draw, fraction, repeat): (&'static str, f64, usize),
    granularity: Granularity,
) -> Vec<ScoreRow> {
    let row = |(name, score): (&String, f64)| ScoreRow {
        draw,
        fraction,
        repeat,
        granularity: granularity.name(),
        name: name.clone(),
        score,
    };
    scores.names().iter().zip(scores.of(sums)).map(row).collect()
}

/// Agreement of two score vectors over the same items.
struct Agreement {
    spearman: Option<f64>,
    kendall: Option<f64>,
    top_k_overlap: Option<f64>,
    rbo: Option<f64>,
}

impl Agreement {
    fn of(x: &[f64], y: &[f64]) -> Agreement {
        let spearman = stats::spearman(x, y);
        // Where one ranking is constant there is no order to agree with.
        let defined = spearman.is_some();
        Agreement {
            spearman,
            kendall: stats::kendall(x, y),
            top_k_overlap: defined.then(|| stats::top_k_overlap(x, y, stats::top_k(x.len()))),
            rbo: defined.then(|| stats::rbo(x, y, RBO_P)),
        }
    }
}
