//! Squared gradients, on the CPU: tile by tile of F, all examples while a tile stays in the cache.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::kernels::{self, SparseRows, View};
use super::{Tap, Use, with, with_all};
use crate::threads::grain;

/// Squares of column sums of `g` `[rows, n]` by example, split evenly over the biases.
pub fn add_column_sums(tap: &Tap, g: &[f32], n: usize) -> Result<()> {
    let mut sums = vec![0f32; tap.examples() * n];
    sums.par_chunks_mut(n).zip(tap.spans.par_windows(2)).with_min_len(grain()).for_each(|(sum, span)| {
        kernels::add_rows(&g[span[0] * n..span[1] * n], n, sum);
    });
    add_vectors(tap, &tap.biases, &sums)
}

/// Squares of each example's gradient of vectors, `[B, n]` split evenly over `names`.
pub fn add_vectors(tap: &Tap, names: &[String], gradients: &[f32]) -> Result<()> {
    let n = gradients.len() / tap.examples();
    if let Some(mut shared) = tap.shared()? {
        return shared.add_vectors(names, Tensor::from_slice(gradients, (tap.examples(), n), &Device::Cpu)?);
    }
    let each = n / names.len().max(1);
    let mut squares = tap.squares()?;
    for (i, name) in names.iter().enumerate() {
        let own = gradients.chunks_exact(n).map(|own| &own[i * each..(i + 1) * each]);
        squares.add_vectors(name, tap.first, tap.examples(), own, kernels::add_squares);
    }
    Ok(())
}

/// The same of a tensor.
pub fn add_vector_tensor(tap: &Tap, names: &[String], gradients: &Tensor) -> Result<()> {
    with(gradients, |gradients| add_vectors(tap, names, gradients))
}

/// Squares of `g_nᵀ x_n`, `g` `[rows, n]` and `x` `[rows, k]`, split evenly over the weights.
pub fn add_products(tap: &Tap, g: &Tensor, x: &Tensor) -> Result<()> {
    if tap.defers(g, x)? {
        return Ok(());
    }
    add_uses(tap, &[tap.used(g, x)])
}

/// The same of the sum of the products of all uses.
pub fn add_uses(tap: &Tap, uses: &[Use]) -> Result<()> {
    let Some(first) = uses.first() else { return Ok(()) };
    let (n, k) = (first.g.dim(1)?, first.x.dim(1)?);
    let tensors: Vec<&Tensor> = uses.iter().flat_map(|own| [&own.g, &own.x]).collect();
    // The other way round: `x_nᵀ g_n` of the one weight.
    let turned = tap.transposed && tap.weights.len() == 1;
    let (each, width) = if turned { (n, n) } else { (n / tap.weights.len().max(1), k) };
    with_all(&tensors, |values| {
        let mut squares = tap.squares()?;
        for (i, name) in tap.weights.iter().enumerate() {
            let own = values.chunks_exact(2).zip(uses).map(|(own, Use { spans, .. })| match turned {
                true => (View::rows(own[1], k), own[0], spans.as_slice()),
                false => (View::rows(own[0], n).from(0, i * each), own[1], spans.as_slice()),
            });
            let uses: Vec<kernels::Used> = own.collect();
            squares.with(name, tap.first, tap.examples(), |f, sums| {
                kernels::add_squared_products(&uses, None, width, f, sums);
            });
        }
        Ok(())
    })
}

/// As `Backend::tap_table`.
pub fn add_table(tap: &Tap, name: &str, ids: &[u32], spans: &[usize], g: &Tensor) -> Result<()> {
    let width = g.dim(1)?;
    let sparse: Vec<SparseRows> = with(g, |g| {
        let rows = |span: &[usize]| {
            SparseRows::new(&ids[span[0]..span[1]], &g[span[0] * width..span[1] * width], width)
        };
        Ok(spans.par_windows(2).with_min_len(grain()).map(rows).collect())
    })?;
    let left = tap.left()?;
    let (mut squares, examples) = (tap.squares()?, spans.len() - 1);
    let Some((g, x)) = left else {
        squares.with(name, tap.first, examples, |f, sums| {
            for (own, sum) in sparse.iter().zip(sums) {
                for (id, row) in own.ids.iter().zip(own.rows.chunks_exact(width)) {
                    kernels::add_squares(&mut f[*id as usize * width..][..width], row, sum);
                }
            }
        });
        return Ok(());
    };
    let n = g.dim(1)?;
    with(&g, |g| {
        with(&x, |x| {
            let (g, sparse) = (View::rows(g, n), Some(sparse.as_slice()));
            squares.with(name, tap.first, examples, |f, sums| {
                kernels::add_squared_products(&[(g, x, &tap.spans)], sparse, width, f, sums);
            });
            Ok(())
        })
    })
}
