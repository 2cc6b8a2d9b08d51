//! Softmax attention within each example of a packed batch.

use std::ops::Range;

use rayon::prelude::*;

use super::elementwise::{softmax_backward_rows, softmax_rows};
use super::{Shared, View, raw_product};
use crate::threads::grain;

/// The shape of an attention: where each example's queries and keys begin (`[B + 1]`), width H, heads.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    pub queries: &'a [usize],
    pub keys: &'a [usize],
    pub width: usize,
    pub heads: usize,
}

/// One head of one example: its number, first query and key, and how many of each.
#[derive(Clone, Copy)]
struct Task {
    example: usize,
    head: usize,
    query: usize,
    key: usize,
    queries: usize,
    keys: usize,
}

impl Heads<'_> {
    /// Number of probabilities of the batch: queries × keys for each head of each example.
    pub fn probabilities(&self) -> usize {
        let spans = self.queries.windows(2).zip(self.keys.windows(2));
        self.heads * spans.map(|(q, k)| (q[1] - q[0]) * (k[1] - k[0])).sum::<usize>()
    }

    fn scale(&self) -> f32 {
        1.0 / ((self.width / self.heads) as f32).sqrt()
    }

    /// Every head of every example, and where its probabilities lie.
    fn tasks(&self) -> Vec<(Task, Range<usize>)> {
        let mut tasks = Vec::new();
        let mut start = 0;
        for (example, (q, k)) in self.queries.windows(2).zip(self.keys.windows(2)).enumerate() {
            let (queries, keys) = (q[1] - q[0], k[1] - k[0]);
            for head in 0..self.heads {
                let own = start..start + queries * keys;
                start = own.end;
                tasks.push((Task { example, head, query: q[0], key: k[0], queries, keys }, own));
            }
        }
        tasks
    }

    /// Runs `run(task, its part of p)` for every head of every example that has a query.
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

    /// As [`Heads::each_mut`], to read only.
    fn each(&self, p: &[f32], run: impl Fn(Task, &[f32]) + Sync) {
        let tasks = self.tasks().into_par_iter().with_min_len(grain()).filter(|(task, _)| task.queries > 0);
        tasks.for_each(|(task, own)| run(task, &p[own]));
    }
}

/// `noise(example, head, query, row)` multiplies a row of probabilities (or of their gradient) by its noise.
pub type RowNoise<'a> = dyn Fn(usize, usize, usize, &mut [f32]) + Sync + 'a;

/// Attention within each example. `q` `[queries, H]`, `kv` `[keys, 2H]` (keys, values), `context` `[queries, H]`; `p`
/// gets the probabilities before the noise.
pub fn attention(
    shape: Heads,
    (q, kv): (&[f32], &[f32]),
    p: &mut [f32],
    context: &mut [f32],
    noise: Option<&RowNoise>,
) {
    let (h, d) = (shape.width, shape.width / shape.heads);
    assert_eq!(q.len(), context.len());
    let out = Shared(context.as_mut_ptr());
    shape.each_mut(p, |task, p| {
        let (tq, tk, column) = (task.queries, task.keys, task.head * d);
        let queries = View::rows(&q[task.query * h + column..], h);
        let part = |i: usize| View::rows(&kv[task.key * 2 * h + i * h + column..], 2 * h);
        // SAFETY: `p` is this task's own, [tq, tk].
        unsafe { raw_product((tq, tk, d), (p.as_mut_ptr(), tk), false, queries, part(0).t(), shape.scale()) };
        softmax_rows(p, tk);
        let mut dropped;
        let kept: &[f32] = match noise {
            None => p,
            Some(noise) => {
                dropped = p.to_vec();
                let rows = dropped.chunks_exact_mut(tk).enumerate();
                rows.for_each(|(query, row)| noise(task.example, task.head, query, row));
                &dropped
            }
        };
        let place = (out.at(task.query * h + column), h);
        // SAFETY: this example's rows and this head's columns are this task's alone.
        unsafe { raw_product((tq, d, tk), place, false, View::rows(kept, tk), part(1), 1.0) };
    });
}

/// Attention backward: gradient `g` at the context to gradients at `q` and `kv`, which must be zero where an example
/// has no query. `p` is what the forward pass left.
pub fn attention_backward(
    shape: Heads,
    (q, kv): (&[f32], &[f32]),
    p: &[f32],
    g: &[f32],
    (q_gradient, kv_gradient): (&mut [f32], &mut [f32]),
    noise: Option<&RowNoise>,
) {
    let (h, d) = (shape.width, shape.width / shape.heads);
    assert!(q.len() == q_gradient.len() && kv.len() == kv_gradient.len() && q.len() == g.len());
    let (q_out, kv_out) = (Shared(q_gradient.as_mut_ptr()), Shared(kv_gradient.as_mut_ptr()));
    shape.each(p, |task, p| {
        let (tq, tk, column) = (task.queries, task.keys, task.head * d);
        let queries = View::rows(&q[task.query * h + column..], h);
        let part = |i: usize| View::rows(&kv[task.key * 2 * h + i * h + column..], 2 * h);
        let place = |i: usize| (kv_out.at(task.key * 2 * h + i * h + column), 2 * h);
        let g = View::rows(&g[task.query * h + column..], h);
        let mut slope = vec![0f32; tq * tk];
        // SAFETY: `slope` is this task's own.
        unsafe { raw_product((tq, tk, d), (slope.as_mut_ptr(), tk), false, g, part(1).t(), 1.0) };
        let mut dropped;
        let kept: &[f32] = match noise {
            None => p,
            Some(noise) => {
                dropped = p.to_vec();
                let rows = dropped.chunks_exact_mut(tk).zip(slope.chunks_exact_mut(tk)).enumerate();
                rows.for_each(|(query, (kept, slope))| {
                    noise(task.example, task.head, query, kept);
                    noise(task.example, task.head, query, slope);
                });
                &dropped
            }
        };
        // SAFETY: this example's rows and this head's columns of each part are this task's alone.
        unsafe { raw_product((tk, d, tq), place(1), false, View::rows(kept, tk).t(), g, 1.0) };
        softmax_backward_rows(p, &mut slope, tk, shape.scale());
        let slope = View::rows(&slope, tk);
        // SAFETY: as above.
        unsafe {
            raw_product((tq, d, tk), (q_out.at(task.query * h + column), h), false, slope, part(0), 1.0);
            raw_product((tk, d, tq), place(0), false, slope.t(), queries, 1.0);
        }
    });
}
