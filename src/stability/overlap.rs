//! Whether the same PARAMETERS come out on top: what the masks of a landscape rest on.
//!
//! Layer scores average over thousands of parameters; a mask of the top k % picks single ones, whose F from a few
//! examples is mostly noise. Sums of rows cannot tell: every draw needs an F of its own, a pass over its examples. At
//! most two diagonals are held beside the full one: the draw's, and that of the examples left out, which follows from
//! both: `F_rest = (N F - m F_draw) / (N - m)`.
//!
//! The trap: the full set contains the draw, and agrees with it by that alone; the overlap to trust is that with the
//! examples left out. By chance two sets of a fraction q overlap by `q / (2 - q)` (Jaccard).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::draw::Draws;
use crate::error::Result;
use crate::fisher::concentration::gini;
use crate::params::{self, ParamMap};
use crate::stats;

/// A row of `overlap.csv`: the top of a draw's parameters against two others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverlapRow {
    /// How the draws relate to each other.
    pub draw: Draws,
    /// Of the examples, the part drawn.
    pub fraction: f64,
    /// Which of the draws of that fraction, from 0.
    pub repeat: usize,
    /// Examples drawn.
    pub examples: usize,
    /// The fraction of all parameters that a set holds.
    pub top: f64,
    /// How many that are.
    pub k: usize,
    /// Jaccard overlap of the draw's set with that of all examples, from 0 to 1.
    pub overlap: f64,
    /// With that of the examples left out; empty where none are.
    pub overlap_complement: Option<f64>,
    /// How much of the left-out examples' Fisher mass the draw's set holds, relative to their own best set of that size,
    /// from 0 to 1.
    pub captured: Option<f64>,
    /// Overlap of two random sets.
    pub chance: f64,
    /// Gini coefficient of the draw's F: few examples make any F look concentrated.
    pub gini: f64,
}

/// The draw behind some rows.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    pub kind: Draws,
    pub fraction: f64,
    pub repeat: usize,
    /// Examples drawn.
    pub examples: usize,
    /// Rows behind the draw's diagonal, and behind the full one: examples, or windows of questions.
    pub rows: (usize, usize),
}

/// All values of a diagonal in the order of the masks: by name, then flat index.
pub fn flat(diagonal: &ParamMap) -> Result<Vec<f32>> {
    let mut values = Vec::with_capacity(params::count(diagonal));
    diagonal.values().try_for_each(|f| params::with_values(f, |f| values.extend_from_slice(f)))?;
    Ok(values)
}

/// A row for each of the `tops`: fractions of the parameters.
pub fn rows(draw: Draw, own: &[f32], full: &[f32], tops: &[f64]) -> Vec<OverlapRow> {
    let (m, n) = (draw.rows.0 as f64, draw.rows.1 as f64);
    let rest: Option<Vec<f32>> = (m < n).then(|| {
        let rest = |(own, full): (&f32, &f32)| {
            ((n * f64::from(*full) - m * f64::from(*own)) / (n - m)).max(0.0) as f32
        };
        own.par_iter().zip(full).map(rest).collect()
    });
    let concentration = gini(own);
    let row = |&top: &f64| {
        let k = ((top * own.len() as f64 + 0.5).floor() as usize).clamp(1, own.len());
        let chosen = highest(own, k);
        let best = rest.as_deref().map(|rest| highest(rest, k));
        let q = k as f64 / own.len() as f64;
        let held = |set: &[bool], values: &[f32]| -> f64 {
            set.iter().zip(values).filter(|(held, _)| **held).map(|(_, v)| f64::from(*v)).sum()
        };
        OverlapRow {
            draw: draw.kind,
            fraction: draw.fraction,
            repeat: draw.repeat,
            examples: draw.examples,
            top,
            k,
            overlap: jaccard(&chosen, &highest(full, k)),
            overlap_complement: best.as_ref().map(|best| jaccard(&chosen, best)),
            captured: rest
                .as_deref()
                .zip(best.as_ref())
                .map(|(rest, best)| held(&chosen, rest) / held(best, rest)),
            chance: q / (2.0 - q),
            gini: concentration,
        }
    };
    tops.iter().map(row).collect()
}

/// The k highest values; of equal ones the first, as a mask takes them.
fn highest(values: &[f32], k: usize) -> Vec<bool> {
    let mut sorted = values.to_vec();
    let (_, edge, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let edge = *edge;
    let mut equal = k - values.iter().filter(|v| **v > edge).count();
    let chosen = |v: &f32| {
        let take = *v > edge || (*v == edge && equal > 0);
        equal -= usize::from(take && *v == edge);
        take
    };
    values.iter().map(chosen).collect()
}

/// `|A ∩ B| / |A ∪ B|`
fn jaccard(a: &[bool], b: &[bool]) -> f64 {
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let either = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    both as f64 / either as f64
}

/// How the overlap of each top set grows with the fraction drawn, for people.
pub fn sentences(rows: &[OverlapRow]) -> Vec<String> {
    let mut keys: Vec<(Draws, f64)> = Vec::new();
    for row in rows {
        if !keys.contains(&(row.draw, row.top)) {
            keys.push((row.draw, row.top));
        }
    }
    keys.into_iter().map(|(draw, top)| sentence(rows, draw, top)).collect()
}

fn sentence(rows: &[OverlapRow], draw: Draws, top: f64) -> String {
    let own: Vec<&OverlapRow> = rows.iter().filter(|row| (row.draw, row.top) == (draw, top)).collect();
    let each = own.chunk_by(|a, b| a.fraction == b.fraction).map(|rows| {
        let mean = |of: fn(&OverlapRow) -> Option<f64>| {
            let values: Vec<f64> = rows.iter().filter_map(|row| of(row)).collect();
            if values.is_empty() { "none".into() } else { format!("{:.3}", stats::mean(&values)) }
        };
        let (overlap, captured) = (mean(|row| row.overlap_complement), mean(|row| row.captured));
        format!(
            "{overlap} from {} examples (holding {captured} of the Fisher mass that it could)",
            rows[0].examples
        )
    });
    format!(
        "top {} % of the parameters, {} draws: overlap with the other examples {}; {:.3} by chance",
        (top * 1e6).round() / 1e4,
        draw.name(),
        each.collect::<Vec<_>>().join(", "),
        own.first().map_or(0.0, |row| row.chance)
    )
}
