//! Squared per-example gradients of matrix products.

use rayon::prelude::*;

use super::{View, add_rows, own_product};
use crate::threads::grain;
use crate::vectorized::vectorized;

/// Rows and columns of a tile of F: nearly square, so that each example's rows are packed seldom, and small enough for tile and
/// product to stay in the second cache.
const TILE: (usize, usize) = (192, 256);

vectorized! {
    /// `f += s²`, and the sum of those squares (float32 lanes over one row) into `total`.
    pub fn add_squares(f: &mut [f32], s: &[f32], total: &mut f64) {
        let mut lanes = [0f32; 16];
        let (mut f16, s16) = (f.chunks_exact_mut(16), s.chunks_exact(16));
        let rest = s16.remainder();
        for (f, s) in f16.by_ref().zip(s16) {
            for ((lane, f), s) in lanes.iter_mut().zip(f).zip(s) {
                let square = s * s;
                *f += square;
                *lane += square;
            }
        }
        let mut sum = lanes.iter().sum::<f32>();
        for (f, s) in f16.into_remainder().iter_mut().zip(rest) {
            *f += s * s;
            sum += s * s;
        }
        *total += f64::from(sum);
    }
}

/// Rows of a table's gradient that one example touches besides a product: ids ascending, and a row for each.
#[derive(Default)]
pub struct SparseRows {
    pub ids: Vec<u32>,
    pub rows: Vec<f32>,
}

impl SparseRows {
    /// Sums the rows of `g` (`width` each) that share an id.
    pub fn new(ids: &[u32], g: &[f32], width: usize) -> SparseRows {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i]);
        let mut sparse = SparseRows::default();
        for i in order {
            if sparse.ids.last() != Some(&ids[i]) {
                sparse.ids.push(ids[i]);
                sparse.rows.resize(sparse.rows.len() + width, 0.0);
            }
            let start = sparse.rows.len() - width;
            add_rows(&g[i * width..(i + 1) * width], width, &mut sparse.rows[start..]);
        }
        sparse
    }
}

/// The squared gradient of a table or a linear operation, example by example: adds `Σ_n (g_nᵀ x_n + e_n)²` into `f`
/// `[n, k]`, `g` being `[rows, n]`, `x` `[rows, k]` and `e_n` `extra`'s rows, and each example's sum of squares into `sums`
/// `[B]`. `spans` are the rows of `g` and `x` of each example. A tile of `f` stays in cache over all examples.
pub fn add_squared_products(
    g: View,
    x: &[f32],
    spans: &[usize],
    extra: Option<&[SparseRows]>,
    k: usize,
    f: &mut [f32],
    sums: &mut [f64],
) {
    let examples = spans.len() - 1;
    let (tall, wide) = TILE;
    let tile = |(tile, f): (usize, &mut [f32])| {
        let (first, rows) = (tile * tall, f.len() / k);
        let mut own = vec![0f64; examples];
        let mut product = vec![0f32; rows * wide.min(k)];
        for column in (0..k).step_by(wide) {
            let wide = wide.min(k - column);
            for (b, span) in spans.windows(2).enumerate() {
                let product = &mut product[..rows * wide];
                if span[0] < span[1] {
                    let left = g.from(span[0], first).t();
                    let right = View::rows(&x[span[0] * k + column..span[1] * k], k);
                    own_product((rows, wide, span[1] - span[0]), product, false, left, right, 1.0);
                } else {
                    product.fill(0.0);
                }
                if let Some(sparse) = extra.map(|extra| &extra[b]) {
                    let from = sparse.ids.partition_point(|id| (*id as usize) < first);
                    let to = sparse.ids.partition_point(|id| (*id as usize) < first + rows);
                    for i in from..to {
                        let row = sparse.ids[i] as usize - first;
                        let own = &sparse.rows[i * k + column..][..wide];
                        add_rows(own, wide, &mut product[row * wide..(row + 1) * wide]);
                    }
                }
                let lines = f.chunks_exact_mut(k).zip(product.chunks_exact(wide));
                lines.for_each(|(f, s)| add_squares(&mut f[column..column + wide], s, &mut own[b]));
            }
        }
        own
    };
    let parts: Vec<Vec<f64>> =
        f.par_chunks_mut(tall * k).enumerate().with_min_len(grain()).map(tile).collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, own)| *sum += own);
    }
}
