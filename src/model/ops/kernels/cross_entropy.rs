//! Cross-entropy of rows of logits, given or formed on the way.

use rayon::prelude::*;

use super::elementwise::{exp, exp_sum, largest};
use super::{View, own_product};
use crate::threads::grain;
use crate::vectorized::vectorized;

/// Negative log-likelihood of `labels[i]` under the softmax of row i, and the logarithm of each row's normalizer.
pub fn cross_entropy(logits: &[f32], labels: &[u32], losses: &mut [f32], normalizers: &mut [f32]) {
    let columns = logits.len() / labels.len().max(1);
    let rows = logits.par_chunks_exact(columns.max(1)).zip(labels).zip(losses).zip(normalizers);
    rows.with_min_len(grain()).for_each(|(((row, label), loss), normalizer)| {
        cross_entropy_row(row, normalizer);
        *loss = *normalizer - row[*label as usize];
    });
}

vectorized! {
    fn cross_entropy_row(row: &[f32], normalizer: &mut f32) {
        let top = largest(row);
        *normalizer = top + exp_sum(row, top).ln();
    }
}

/// Cross-entropy backward: `(softmax - one-hot) · g` by rows, in the place of the logits.
pub fn cross_entropy_backward(logits: &mut [f32], labels: &[u32], normalizers: &[f32], g: &[f32]) {
    let columns = logits.len() / labels.len().max(1);
    let rows = logits.par_chunks_exact_mut(columns.max(1)).zip(labels).zip(normalizers).zip(g);
    rows.with_min_len(grain()).for_each(|(((row, label), normalizer), g)| {
        probability_row(row, *normalizer, *g);
        row[*label as usize] -= g;
    });
}

vectorized! {
    fn probability_row(row: &mut [f32], normalizer: f32, g: f32) {
        row.iter_mut().for_each(|v| *v = exp(*v - normalizer) * g);
    }
}

/// Columns of a tile of logits that is never written to memory.
const STRIPE: usize = 256;

/// What a run over some columns knows of one row of logits.
#[derive(Clone, Copy)]
struct Running {
    /// Highest logit so far, and its column.
    top: f32,
    column: u32,
    /// `Σ exp(logit - top)`
    sum: f32,
}

impl Running {
    const NONE: Running = Running { top: f32::NEG_INFINITY, column: 0, sum: 0.0 };

    /// Both runs' columns together, `later`'s behind one's own. A NaN stays.
    #[inline(always)]
    fn and(self, later: Running) -> Running {
        let (high, low) =
            if later.top > self.top || later.top.is_nan() { (later, self) } else { (self, later) };
        match low.sum == 0.0 {
            true => high,
            false => Running { sum: high.sum + low.sum * exp(low.top - high.top), ..high },
        }
    }
}

vectorized! {
    /// Takes a tile of logits, whose first column is `first`, into the runs of its rows.
    fn reduce(tile: &[f32], columns: usize, first: u32, running: &mut [Running]) {
        for (row, running) in tile.chunks_exact(columns).zip(running) {
            let top = largest(row);
            let sum = exp_sum(row, top);
            // The column is wanted only where this tile has the highest logit so far.
            let column = match top > running.top {
                true => first + row.iter().position(|v| *v == top).unwrap_or(0) as u32,
                false => first,
            };
            *running = running.and(Running { top, column, sum });
        }
    }
}

/// What a task finds out about its rows and columns.
struct Part {
    running: Vec<Running>,
    /// Rows whose label is among the columns, and its logit.
    labelled: Vec<(usize, f32)>,
}

/// Negative log-likelihood of `labels[i]` under `softmax(w x_i + b)` and the most likely column, for each row of `x`
/// `[labels, k]`, `w` being `[columns, k]`. A tile of logits lives in the cache while it is reduced.
pub fn decoded_cross_entropy(
    (x, w, b): (&[f32], &[f32], &[f32]),
    labels: &[u32],
    losses: &mut [f32],
    predicted: &mut [f32],
) {
    let (rows, columns) = (labels.len(), b.len());
    if rows == 0 {
        return;
    }
    let k = w.len() / columns;
    // Tall tiles repack `w` less often; stripes of columns are tasks, so that few rows occupy several threads too.
    let tall = rows.div_ceil(rows.div_ceil(512));
    let wide = columns.div_ceil(8).next_multiple_of(STRIPE);
    let (down, across) = (rows.div_ceil(tall), columns.div_ceil(wide));
    let parts: Vec<Part> = (0..down * across)
        .into_par_iter()
        .with_min_len(grain())
        .map(|i| {
            let (row, column) = (i / across * tall, i % across * wide);
            let (own, end) = (tall.min(rows - row), columns.min(column + wide));
            let mut running = vec![Running::NONE; own];
            let mut labelled = Vec::new();
            let mut tile = vec![0f32; own * STRIPE];
            for column in (column..end).step_by(STRIPE) {
                let wide = STRIPE.min(end - column);
                let tile = &mut tile[..own * wide];
                tile.chunks_exact_mut(wide).for_each(|row| row.copy_from_slice(&b[column..column + wide]));
                let (left, right) = (View::rows(&x[row * k..], k), View::rows(&w[column * k..], k).t());
                own_product((own, wide, k), tile, true, left, right, 1.0);
                reduce(tile, wide, column as u32, &mut running);
                for (i, label) in labels[row..row + own].iter().enumerate() {
                    if (column..column + wide).contains(&(*label as usize)) {
                        labelled.push((row + i, tile[i * wide + *label as usize - column]));
                    }
                }
            }
            Part { running, labelled }
        })
        .collect();
    for (i, loss) in losses.iter_mut().enumerate() {
        let own = i / tall * across..(i / tall + 1) * across;
        let stripes = parts[own].iter().map(|part| part.running[i % tall]);
        let whole = stripes.fold(Running::NONE, |a, b| a.and(b));
        *loss = whole.top + whole.sum.ln();
        predicted[i] = whole.column as f32;
    }
    parts.iter().flat_map(|part| &part.labelled).for_each(|(i, logit)| losses[*i] -= logit);
}
