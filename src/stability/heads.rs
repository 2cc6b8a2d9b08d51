//! Noise of a random task head apart from noise of the data.
//!
//! A checkpoint without the task's head gets one from a seed, and every gradient passes through it. So a ranking from such a model
//! is that of the checkpoint, the examples AND one draw of the head: an interval over examples alone leaves out what may be
//! the largest part.
//!
//! Under K heads, rankings of the same examples and of as many others are compared: with another head (`other_head`), with other
//! examples (`other_examples`), with both (`both`). Since `1 - rho = 6 Σ d² / n (n² - 1)` and the difference d of two ranks has twice their
//! variance, the three say how that variance is parted (two crossed factors; Searle, Casella, McCulloch 1992, ch. 4): the
//! heads' part is `rho_examples - rho_both`, the examples' part `rho_head - rho_both`, and the rest of `1 - rho_both` is what
//! both do together. Costs a pass over the corpus for every head beyond the first.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::bootstrap::sum_rows;
use super::draw::{Draws, size};
use super::{Config, Items};
use crate::fisher::layers::Granularity;
use crate::model::Layout;
use crate::rng::Stream;
use crate::stats;

/// A row of `heads.csv`: rankings under several random heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadRow {
    /// Of the examples, the part drawn; 1 for all.
    pub fraction: f64,
    /// Which of the independent draws of that fraction, from 0.
    pub repeat: usize,
    /// What is ranked: tensors, sites or blocks.
    pub granularity: Granularity,
    /// Examples drawn.
    pub examples: usize,
    /// Random heads.
    pub heads: usize,
    /// Spearman's rho of the same examples under two heads, mean over the pairs of heads; empty for one head.
    pub other_head: Option<f64>,
    /// The lowest of those.
    pub other_head_least: Option<f64>,
    /// Under the same head, with as many other examples, mean over the heads; empty where there are not so many.
    pub other_examples: Option<f64>,
    /// Under another head, with as many other examples.
    pub both: Option<f64>,
}

/// Rankings from `s[n,t]` of the same examples under each head, `[heads][N, tensors]`.
pub fn rows(layout: &Layout, heads: &[Array2<f64>], config: &Config) -> Vec<HeadRow> {
    let scores: Vec<Items> = heads.iter().map(|sums| Items::new(layout, sums, config)).collect();
    let Some(items) = scores.first() else { return Vec::new() };
    let n = items.scores.nrows();
    let sums = |members: &[usize]| -> Vec<Vec<f64>> {
        scores.iter().map(|items| sum_rows(&items.scores, members.iter().copied())).collect()
    };
    let all: Vec<usize> = (0..n).collect();
    let mut rows = items.head_rows((1.0, 0, n), &sums(&all), None);
    for &fraction in &config.fractions {
        for repeat in 0..if fraction < 1.0 { config.repeats } else { 0 } {
            let members = Draws::Independent.members(n, fraction, repeat, config.seed);
            let rest: Vec<usize> = (0..n).filter(|i| members.binary_search(i).is_err()).collect();
            let others = (rest.len() >= members.len()).then(|| {
                let stream = Stream::new(config.seed, &format!("stability/heads/{fraction}"));
                let chosen = stream.at(repeat as u64).sample(rest.len(), size(n, fraction));
                sums(&chosen.into_iter().map(|i| rest[i]).collect::<Vec<_>>())
            });
            rows.extend(items.head_rows(
                (fraction, repeat, members.len()),
                &sums(&members),
                others.as_deref(),
            ));
        }
    }
    rows
}

impl Items {
    /// The rows of one draw: its sums under each head, and those of as many other examples.
    fn head_rows(
        &self,
        (fraction, repeat, examples): (f64, usize, usize),
        own: &[Vec<f64>],
        others: Option<&[Vec<f64>]>,
    ) -> Vec<HeadRow> {
        let heads = own.len();
        let pairs = || (0..heads).flat_map(move |a| (0..heads).map(move |b| (a, b)));
        let row = |(g, (granularity, _)): (usize, &(Granularity, Vec<String>))| {
            let rho = |x: &[f64], y: &[f64]| stats::spearman(self.split(x)[g], self.split(y)[g]);
            let same: Vec<f64> =
                pairs().filter(|(a, b)| a < b).filter_map(|(a, b)| rho(&own[a], &own[b])).collect();
            let across = |with: bool| {
                let pairs = pairs().filter(|(a, b)| (a == b) == with);
                let values: Vec<f64> = pairs.filter_map(|(a, b)| rho(&own[a], &others?[b])).collect();
                finite(stats::mean(&values))
            };
            HeadRow {
                fraction,
                repeat,
                granularity: *granularity,
                examples,
                heads,
                other_head: finite(stats::mean(&same)),
                other_head_least: same.iter().copied().min_by(f64::total_cmp),
                other_examples: across(true),
                both: across(false),
            }
        };
        self.groups.iter().enumerate().map(row).collect()
    }
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite())
}

/// How much of the spread is heads and how much examples, for people; sites only. Of one random head: that all is conditional on it.
pub fn sentences(rows: &[HeadRow]) -> Vec<String> {
    let sites: Vec<&HeadRow> = rows.iter().filter(|row| row.granularity == Granularity::Site).collect();
    let Some(first) = sites.first() else { return Vec::new() };
    if first.heads == 1 {
        return vec![
            "the task head was drawn from the seed: all of this is conditional on that one random head; --heads 5 says what others \
             would give"
                .to_string(),
        ];
    }
    let each: Vec<String> = sites.chunk_by(|a, b| a.fraction == b.fraction).map(parts).collect();
    vec![format!(
        "site scores under {} random heads, rho of one head's ranking with another's on the same examples: {}. The intervals above are \
         under the first head only",
        first.heads,
        each.join("; ")
    )]
}

/// The draws of one fraction.
fn parts(rows: &[&HeadRow]) -> String {
    let mean = |of: fn(&HeadRow) -> Option<f64>| {
        finite(stats::mean(&rows.iter().filter_map(|row| of(row)).collect::<Vec<f64>>()))
    };
    let number = |value: Option<f64>| value.map_or("undefined".into(), |v| format!("{v:.3}"));
    let head = mean(|row| row.other_head);
    let least = rows.iter().filter_map(|row| row.other_head_least).min_by(f64::total_cmp);
    let text = format!("{} by {} examples (lowest {})", number(head), rows[0].examples, number(least));
    let (Some(head), Some(examples), Some(both)) =
        (head, mean(|row| row.other_examples), mean(|row| row.both))
    else {
        return text;
    };
    let Some(shares) = shares(head, examples, both) else { return text };
    let [heads, data, together] = shares.map(|share| format!("{:.0} %", 100.0 * share));
    format!(
        "{text}, {examples:.3} with other examples, {both:.3} with both others: of the spread {heads} is heads, {data} examples, \
         {together} both together"
    )
}

/// The parts of `1 - rho_both` that are the heads', the examples' and both together's, each at least 0; `None` where nothing varies.
pub fn shares(other_head: f64, other_examples: f64, both: f64) -> Option<[f64; 3]> {
    let (heads, examples) = ((other_examples - both).max(0.0), (other_head - both).max(0.0));
    let together = (1.0 - both - heads - examples).max(0.0);
    let all = heads + examples + together;
    (all > 0.0).then(|| [heads / all, examples / all, together / all])
}
