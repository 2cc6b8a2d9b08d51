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

/// A gradient at an output `[rows, n]`, an input `[rows, k]`, and the rows of each example.
pub type Used<'a> = (View<'a>, &'a [f32], &'a [usize]);

/// The squared gradient of a table or a linear operation, example by example: adds `Σ_n (Σ_u g_nᵀ x_n + e_n)²` into `f`
/// `[n, k]`, by the `uses` u of the operation, `e_n` being `extra`'s rows, and each example's sum of squares into `sums`
/// `[B]`. A tile of `f` stays in cache over all examples.
pub fn add_squared_products(
    uses: &[Used],
    extra: Option<&[SparseRows]>,
    k: usize,
    f: &mut [f32],
    sums: &mut [f64],
) {
    let examples = sums.len();
    let (tall, wide) = TILE;
    let tile = |(tile, f): (usize, &mut [f32])| {
        let (first, rows) = (tile * tall, f.len() / k);
        let mut own = vec![0f64; examples];
        let mut product = vec![0f32; rows * wide.min(k)];
        for column in (0..k).step_by(wide) {
            let wide = wide.min(k - column);
            for (b, own) in own.iter_mut().enumerate() {
                let product = &mut product[..rows * wide];
                let mut begun = false;
                for (g, x, spans) in uses {
                    let (from, to) = (spans[b], spans[b + 1]);
                    if from < to {
                        let left = g.from(from, first).t();
                        let right = View::rows(&x[from * k + column..to * k], k);
                        own_product((rows, wide, to - from), product, begun, left, right, 1.0);
                        begun = true;
                    }
                }
                if !begun {
                    product.fill(0.0);
                }
                if let Some(sparse) = extra.map(|extra| &extra[b]) {
                    let from = sparse.ids.partition_point(|id| (*id as usize) < first);
                    let to = sparse.ids.partition_point(|id| (*id as usize) < first + rows);
                    for i in from..to {
                        let row = sparse.ids[i] as usize - first;
                        let line = &sparse.rows[i * k + column..][..wide];
                        add_rows(line, wide, &mut product[row * wide..(row + 1) * wide]);
                    }
                }
                let lines = f.chunks_exact_mut(k).zip(product.chunks_exact(wide));
                lines.for_each(|(f, s)| add_squares(&mut f[column..column + wide], s, own));
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
