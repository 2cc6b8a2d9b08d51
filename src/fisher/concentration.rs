//! How concentrated Fisher information is: on few parameters, in few layers.
//!
//! The Lorenz curve (Lorenz 1905) gives the share of all Fisher information that the lowest share of the parameters
//! holds, the Gini coefficient twice the area between it and the diagonal: 0 where all are equal, near 1 where one
//! holds all. Groups are all parameters, each block, and the head.
//!
//! The trap: parameters that no example reaches (the rows of words that do not occur) have F = 0 exactly. They count, as
//! they do for the masks, and the table says how many they are. And F from few examples looks more concentrated than it
//! is: compare only what was computed from as many.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::Layout;
use crate::model::layout::Parameter;
use crate::params::{self, ParamMap};

/// Points of a Lorenz curve and of sorted scores, and bins to a power of ten of the histogram.
const POINTS: usize = 200;
const BINS: i32 = 5;

/// A row of `concentration.csv`: one group of parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConcentrationRow {
    /// `all`, a block, or `head`.
    pub group: String,
    /// Its parameters.
    pub parameters: usize,
    /// Parameters with F = 0.
    pub zero: usize,
    /// Gini coefficient of F, in [0, 1]; empty where all are 0.
    pub gini: Option<f64>,
    /// Share of the group's Fisher information in the top 0.1 % of its parameters, from 0 to 1.
    #[serde(rename = "top_0.001")]
    pub top_01: Option<f64>,
    /// In the top 1 %.
    #[serde(rename = "top_0.01")]
    pub top_1: Option<f64>,
    /// In the top 10 %.
    #[serde(rename = "top_0.1")]
    pub top_10: Option<f64>,
}

/// A row of `lorenz.csv`: a point of a group's Lorenz curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LorenzRow {
    /// As in `concentration.csv`.
    pub group: String,
    /// Share of the parameters, from the lowest score up, from 0 to 1.
    pub share_of_parameters: f64,
    /// Share of the Fisher information that they hold.
    pub share_of_fisher: f64,
}

/// A row of `histogram.csv`: parameters whose log10 F lies in `[log10_low, log10_high)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistogramRow {
    /// As in `concentration.csv`.
    pub group: String,
    /// Lower end of the bin, log10 of F.
    pub log10_low: f64,
    /// Upper end.
    pub log10_high: f64,
    /// Parameters in it.
    pub parameters: usize,
}

/// A row of `sorted.csv`: the score of the rank-th highest parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SortedRow {
    /// As in `concentration.csv`.
    pub group: String,
    /// 1 = highest score.
    pub rank: usize,
    /// Its F.
    pub score: f32,
}

/// All tables, group by group.
#[derive(Default)]
pub struct Concentration {
    pub summary: Vec<ConcentrationRow>,
    pub lorenz: Vec<LorenzRow>,
    pub histogram: Vec<HistogramRow>,
    pub sorted: Vec<SortedRow>,
}

/// The concentration of a diagonal. Sorts all of it: some 6 seconds and twice its memory for 10⁸ parameters.
pub fn concentration(diagonal: &ParamMap, layout: &Layout) -> Result<Concentration> {
    let names: Vec<&String> = layout.parameters().iter().map(|tensor| &tensor.name).collect();
    let mut groups: Vec<(String, Vec<&String>)> = vec![("all".into(), names.clone())];
    for Parameter { name, place, .. } in layout.parameters() {
        let block = place.block();
        match groups.iter_mut().find(|(group, _)| *group == block) {
            Some((_, members)) => members.push(name),
            None => groups.push((block, vec![name])),
        }
    }
    let mut result = Concentration::default();
    for (group, members) in groups {
        let mut values = Vec::new();
        for name in members {
            params::with_values(&diagonal[name], |f| values.extend_from_slice(f))?;
        }
        values.par_sort_unstable_by(f32::total_cmp);
        result.add(&group, &values);
    }
    Ok(result)
}

impl Concentration {
    /// A group's rows, from its scores in ascending order.
    fn add(&mut self, group: &str, ascending: &[f32]) {
        let n = ascending.len();
        let total: f64 = ascending.iter().map(|v| f64::from(*v)).sum();
        let top = |fraction: f64| {
            let k = ((fraction * n as f64 + 0.5).floor() as usize).clamp(1, n);
            let sum: f64 = ascending[n - k..].iter().map(|v| f64::from(*v)).sum();
            Some(sum / total).filter(|share| share.is_finite())
        };
        let zero = ascending.partition_point(|v| *v <= 0.0);
        self.summary.push(ConcentrationRow {
            group: group.into(),
            parameters: n,
            zero,
            gini: Some(gini_of(ascending)).filter(|gini| gini.is_finite()),
            top_01: top(0.001),
            top_1: top(0.01),
            top_10: top(0.1),
        });
        if total > 0.0 {
            self.lorenz.extend(lorenz(group, ascending, total));
        }
        self.histogram.extend(histogram(group, &ascending[zero..]));
        self.sorted.extend(ranks(n - zero).map(|rank| SortedRow {
            group: group.into(),
            rank,
            score: ascending[n - rank],
        }));
    }
}

/// Gini coefficient of values that are not negative, in any order; NaN if all are 0.
pub fn gini(values: &[f32]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.par_sort_unstable_by(f32::total_cmp);
    gini_of(&sorted)
}

/// `Σ_i (2i - n - 1) x_i / (n Σ x)`, i from 1, ascending.
fn gini_of(ascending: &[f32]) -> f64 {
    let n = ascending.len() as f64;
    let (mut weighted, mut total) = (0.0, 0.0);
    for (i, v) in ascending.iter().enumerate() {
        weighted += (2.0 * (i + 1) as f64 - n - 1.0) * f64::from(*v);
        total += f64::from(*v);
    }
    weighted / (n * total)
}

/// Places of the curve among `n` in ascending order: every half per cent, and closer to the end, where everything happens.
pub(super) fn places(n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..=POINTS).map(|i| i * n / POINTS).collect();
    places.extend(ranks(n).map(|rank| n - rank));
    places.sort_unstable();
    places.dedup();
    places
}

/// Points of the curve.
fn lorenz(group: &str, ascending: &[f32], total: f64) -> Vec<LorenzRow> {
    let n = ascending.len();
    let (mut sum, mut done) = (0.0, 0);
    let point = |place: usize| {
        sum += ascending[done..place].iter().map(|v| f64::from(*v)).sum::<f64>();
        done = place;
        LorenzRow {
            group: group.into(),
            share_of_parameters: place as f64 / n as f64,
            share_of_fisher: sum / total,
        }
    };
    places(n).into_iter().map(point).collect()
}

/// Counts by powers of ten, from the lowest bin that holds one to the highest.
fn histogram(group: &str, positive: &[f32]) -> Vec<HistogramRow> {
    let bin = |v: f32| (f64::from(v).log10() * f64::from(BINS)).floor() as i32;
    let (Some(first), Some(last)) = (positive.first(), positive.last()) else { return Vec::new() };
    let mut counts = vec![0usize; (bin(*last) - bin(*first) + 1) as usize];
    positive.iter().for_each(|v| counts[(bin(*v) - bin(*first)) as usize] += 1);
    let edge = |i: i32| f64::from(i) / f64::from(BINS);
    let row = |(i, parameters): (i32, usize)| HistogramRow {
        group: group.into(),
        log10_low: edge(bin(*first) + i),
        log10_high: edge(bin(*first) + i + 1),
        parameters,
    };
    (0..).zip(counts).map(row).collect()
}

/// Ranks from 1 to n, evenly spread on a logarithmic scale.
fn ranks(n: usize) -> impl Iterator<Item = usize> {
    let step = libm::log(n.max(1) as f64) / (POINTS - 1) as f64;
    let mut ranks: Vec<usize> = (0..POINTS).map(|i| libm::exp(step * i as f64).round() as usize).collect();
    ranks.retain(|rank| (1..=n).contains(rank));
    ranks.dedup();
    ranks.into_iter()
}
