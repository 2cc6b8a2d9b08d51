//! Softmax attention within each example of a packed batch.

use std::ops::Range;

use rayon::prelude::*;

use super::elementwise::{softmax_backward_rows, softmax_rows};
use super::{Shared, View, own_product, raw_product};
use crate::model::settings::{Distances, Mask, Scores};
use crate::threads::grain;

/// The shape of an attention: where each example's queries and keys begin (`[B + 1]`), where each query stands
/// (`[queries]`), and how queries meet keys.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    pub queries: &'a [usize],
    pub positions: &'a [u32],
    pub keys: &'a [usize],
    pub scores: Scores,
}

/// One head of keys of one example, with the heads of queries that it serves: its number, first query and key, and how
/// many of each.
#[derive(Clone, Copy)]
struct Task {
    example: usize,
    key_head: usize,
    query: usize,
    key: usize,
    queries: usize,
    keys: usize,
}

impl Span<'_> {
    /// Number of probabilities of the batch: queries × keys for each head of queries of each example.
    pub fn probabilities(&self) -> usize {
        let spans = self.queries.windows(2).zip(self.keys.windows(2));
        self.scores.heads.queries * spans.map(|(q, k)| (q[1] - q[0]) * (k[1] - k[0])).sum::<usize>()
    }

    /// Widths of a row of queries, and of one of keys or values.
    fn widths(&self) -> (usize, usize) {
        (
            self.scores.heads.queries * self.scores.heads.depth,
            self.scores.heads.keys * self.scores.heads.depth,
        )
    }

    /// Every head of keys of every example, and where its probabilities lie.
    fn tasks(&self) -> Vec<(Task, Range<usize>)> {
        let mut tasks = Vec::new();
        let mut start = 0;
        for (example, (q, k)) in self.queries.windows(2).zip(self.keys.windows(2)).enumerate() {
            let (queries, keys) = (q[1] - q[0], k[1] - k[0]);
            for key_head in 0..self.scores.heads.keys {
                let own = start..start + self.scores.heads.group() * queries * keys;
                start = own.end;
                tasks.push((Task { example, key_head, query: q[0], key: k[0], queries, keys }, own));
            }
        }
        tasks
    }

    /// Softmax of each row of scores over the keys that its query sees, and 0 at the others.
    fn probabilities_of(&self, task: Task, p: &mut [f32]) {
        if self.scores.mask == Mask::All {
            return softmax_rows(p, task.keys);
        }
        for (row, position) in p.chunks_exact_mut(task.keys).zip(&self.positions[task.query..]) {
            let visible = self.scores.mask.visible(*position as usize, task.keys);
            softmax_rows(&mut row[visible.clone()], visible.len());
            row[..visible.start].fill(0.0);
            row[visible.end..].fill(0.0);
        }
    }

    /// The bucket of each distance from a query of the task to a key, from the least one on; and that one's size.
    fn buckets(&self, distances: Distances, task: Task) -> (Vec<usize>, usize) {
        let own = &self.positions[task.query..task.query + task.queries];
        let last = own.iter().copied().max().unwrap_or(0) as usize;
        let buckets = (0..last + task.keys).map(|at| match at.checked_sub(last) {
            Some(ahead) => distances.bucket(0, ahead),
            None => distances.bucket(last - at, 0),
        });
        (buckets.collect(), last)
    }

    /// Where the numbers of an example's head of queries begin.
    fn first_bucket(&self, task: Task, head: usize) -> usize {
        let buckets = self.scores.distances.map_or(0, |distances| distances.buckets);
        (task.example * self.scores.heads.queries + head) * buckets
    }

    /// Adds to scores (or takes from slopes) by distance: `meet(number of the bucket, score)` for each pair of query and key.
    fn by_distance<'a>(
        &self,
        distances: Distances,
        task: Task,
        scores: impl Iterator<Item = &'a mut [f32]>,
        mut meet: impl FnMut(usize, &mut f32),
    ) {
        let (buckets, last) = self.buckets(distances, task);
        for (row, position) in scores.zip(&self.positions[task.query..]) {
            let own = &buckets[last - *position as usize..];
            row.iter_mut().zip(own).for_each(|(score, bucket)| meet(*bucket, score));
        }
    }

    /// Runs `run(task, its part of p)` for every task of an example that has a query.
    fn each_mut(&self, p: &mut [f32], run: impl Fn(Task, &mut [f32]) + Sync) {
        let mut parts = Vec::new();
        let mut rest = p;
        for (task, own) in self.tasks() {
            let (own, others) = rest.split_at_mut(own.len());
            parts.push((task, own));
            rest = others;
        }
        let parts = parts.into_par_iter().with_min_len(grain()).filter(|(task, _)| task.queries > 0);
        parts.for_each(|(task, own)| run(task, own));
    }

    /// As [`Span::each_mut`], to read only.
    fn each(&self, p: &[f32], run: impl Fn(Task, &[f32]) + Sync) {
        let tasks = self.tasks().into_par_iter().with_min_len(grain()).filter(|(task, _)| task.queries > 0);
        tasks.for_each(|(task, own)| run(task, &p[own]));
    }
}

/// `noise(example, head of queries, query, row)` multiplies a row of probabilities (or of their gradient) by its noise.
pub type RowNoise<'a> = dyn Fn(usize, usize, usize, &mut [f32]) + Sync + 'a;

/// The probabilities `p` with their noise.
fn noisy<'a>(p: &[f32], own: &'a mut Vec<f32>, keys: usize, noise: impl Fn(usize, &mut [f32])) -> &'a [f32] {
    own.extend_from_slice(p);
    own.chunks_exact_mut(keys).enumerate().for_each(|(query, row)| noise(query, row));
    own
}

/// Attention within each example. `q` `[queries, hq d]`, `kv` `[keys, 2 hk d]` (keys, values), `added` `[B, hq, buckets]`, where
/// scores have distances, `context` as `q`; `p` gets the probabilities before the noise.
pub fn attention(
    span: Span,
    (q, kv, added): (&[f32], &[f32], Option<&[f32]>),
    p: &mut [f32],
    context: &mut [f32],
    noise: Option<&RowNoise>,
) {
    let ((h, w), d, group) = (span.widths(), span.scores.heads.depth, span.scores.heads.group());
    assert_eq!(q.len(), context.len());
    let out = Shared(context.as_mut_ptr());
    span.each_mut(p, |task, p| {
        let (tq, tk) = (task.queries, task.keys);
        let part = |i: usize| View::rows(&kv[task.key * 2 * w + i * w + task.key_head * d..], 2 * w);
        for (i, p) in p.chunks_exact_mut(tq * tk).enumerate() {
            let head = task.key_head * group + i;
            let queries = View::rows(&q[task.query * h + head * d..], h);
            own_product((tq, tk, d), p, false, queries, part(0).t(), span.scores.scale());
            if let (Some(added), Some(distances)) = (added, span.scores.distances) {
                let own = &added[span.first_bucket(task, head)..];
                span.by_distance(distances, task, p.chunks_exact_mut(tk), |bucket, score| {
                    *score += own[bucket]
                });
            }
            span.probabilities_of(task, p);
            let mut own = Vec::new();
            let kept = match noise {
                None => p,
                Some(noise) => noisy(p, &mut own, tk, |query, row| noise(task.example, head, query, row)),
            };
            let place = (out.at(task.query * h + head * d), h);
            // SAFETY: this example's rows and this head's columns are this task's alone.
            unsafe { raw_product((tq, d, tk), place, false, View::rows(kept, tk), part(1), 1.0) };
        }
    });
}

/// Attention backward: gradient `g` at the context to gradients at `q` and `kv`, which must be zero where an example
/// has no query; and to what was added to the scores, which must be zero at first. `p` is what the forward pass left.
pub fn attention_backward(
    span: Span,
    (q, kv): (&[f32], &[f32]),
    p: &[f32],
    g: &[f32],
    (q_gradient, kv_gradient, added_gradient): (&mut [f32], &mut [f32], Option<&mut [f32]>),
    noise: Option<&RowNoise>,
) {
    let ((h, w), d, group) = (span.widths(), span.scores.heads.depth, span.scores.heads.group());
    assert!(q.len() == q_gradient.len() && kv.len() == kv_gradient.len() && q.len() == g.len());
    let (q_out, kv_out) = (Shared(q_gradient.as_mut_ptr()), Shared(kv_gradient.as_mut_ptr()));
    let added_out = added_gradient.map(|own| Shared(own.as_mut_ptr()));
    span.each(p, |task, p| {
        let (tq, tk) = (task.queries, task.keys);
        let part = |i: usize| View::rows(&kv[task.key * 2 * w + i * w + task.key_head * d..], 2 * w);
        let place = |i: usize| (kv_out.at(task.key * 2 * w + i * w + task.key_head * d), 2 * w);
        let mut slope = vec![0f32; tq * tk];
        for (i, p) in p.chunks_exact(tq * tk).enumerate() {
            // Heads of one group add to the same keys and values, one after the other.
            let (head, add) = (task.key_head * group + i, i > 0);
            let queries = View::rows(&q[task.query * h + head * d..], h);
            let g = View::rows(&g[task.query * h + head * d..], h);
            own_product((tq, tk, d), &mut slope, false, g, part(1).t(), 1.0);
            let mut own = Vec::new();
            let kept = match noise {
                None => p,
                Some(noise) => {
                    // Drawn once: its factors for the slope, then those times p.
                    own.resize(tq * tk, 1.0);
                    let rows = own.chunks_exact_mut(tk).enumerate();
                    rows.for_each(|(query, row)| noise(task.example, head, query, row));
                    slope.iter_mut().zip(&own).for_each(|(slope, factor)| *slope *= factor);
                    own.iter_mut().zip(p).for_each(|(kept, p)| *kept *= p);
                    &own
                }
            };
            // SAFETY: this example's rows and this head's columns of each part are this task's alone.
            unsafe { raw_product((tk, d, tq), place(1), add, View::rows(kept, tk).t(), g, 1.0) };
            // Where p is 0, so is the slope: what a query does not see has no share.
            softmax_backward_rows(p, &mut slope, tk, span.scores.scale());
            if let (Some(added), Some(distances)) = (added_out, span.scores.distances) {
                let mut sums = vec![0f32; distances.buckets];
                span.by_distance(distances, task, slope.chunks_exact_mut(tk), |bucket, slope| {
                    sums[bucket] += *slope
                });
                let first = span.first_bucket(task, head);
                for (i, sum) in sums.iter().enumerate() {
                    // SAFETY: this head's buckets of this example are this task's alone. What is added is not scaled.
                    unsafe { *added.at(first + i) = sum / span.scores.scale() };
                }
            }
            let slope = View::rows(&slope, tk);
            let q_place = (q_out.at(task.query * h + head * d), h);
            // SAFETY: as above.
            unsafe {
                raw_product((tq, d, tk), q_place, false, slope, part(0), 1.0);
                raw_product((tk, d, tq), place(0), add, slope.t(), queries, 1.0);
            }
        }
    });
}
