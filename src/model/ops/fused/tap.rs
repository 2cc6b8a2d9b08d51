//! Squared gradients of parameters, where they arise.

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::kernels::{self, SparseRows, View};
use super::with;
use crate::model::squares::Squares;
use crate::threads::grain;

/// Where the squared gradients of an operation's parameters go.
#[derive(Clone)]
pub struct Tap {
    pub squares: Arc<Mutex<Squares>>,
    /// Row of `s[n,t]` of the batch's first example.
    pub first: usize,
    /// Rows of each example in the operation's input: `[B + 1]`.
    pub spans: Arc<Vec<usize>>,
    /// The weights, stacked by rows, and the biases.
    pub weights: Vec<String>,
    pub biases: Vec<String>,
    /// Whether the weights are stored `[in, out]`; then there is one.
    pub transposed: bool,
    /// For a weight that another operation shares: gradient at the output and input are left here instead.
    pub deferred: Option<Deferred>,
}

/// Gradient at the output and input of an operation.
pub type Deferred = Arc<Mutex<Option<(Tensor, Tensor)>>>;

impl Tap {
    fn squares(&self) -> Result<MutexGuard<'_, Squares>> {
        self.squares.lock().or_else(|_| bail!("squared gradients: poisoned lock"))
    }

    /// Squares of column sums of `g` `[rows, n]` by example, split evenly over `names`.
    pub fn add_column_sums(&self, names: &[String], g: &[f32], n: usize) -> Result<()> {
        let examples = self.spans.len() - 1;
        let mut sums = vec![0f32; examples * n];
        sums.par_chunks_mut(n).zip(self.spans.par_windows(2)).with_min_len(grain()).for_each(
            |(sum, span)| {
                kernels::add_rows(&g[span[0] * n..span[1] * n], n, sum);
            },
        );
        self.add_vectors(names, &sums)
    }

    /// Squares of each example's gradient of vectors, `[B, n]` split evenly over `names`.
    pub fn add_vectors(&self, names: &[String], gradients: &[f32]) -> Result<()> {
        let examples = self.spans.len() - 1;
        let n = gradients.len() / examples;
        let each = n / names.len().max(1);
        let mut squares = self.squares()?;
        for (i, name) in names.iter().enumerate() {
            let own = gradients.chunks_exact(n).map(|own| &own[i * each..(i + 1) * each]);
            squares.add_vectors(name, self.first, examples, own, kernels::add_squares);
        }
        Ok(())
    }

    /// Squares of `g_nᵀ x_n`, `g` `[rows, n]` and `x` `[rows, k]`, split evenly over the weights.
    pub fn add_products(&self, g: &Tensor, x: &Tensor) -> Result<()> {
        if let Some(deferred) = &self.deferred {
            let mut slot = deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?;
            *slot = Some((g.clone(), x.clone()));
            return Ok(());
        }
        let size = (g.dim(1)?, x.dim(1)?);
        with(g, |g| with(x, |x| self.add_product_values(g, x, size)))
    }

    fn add_product_values(&self, g: &[f32], x: &[f32], (n, k): (usize, usize)) -> Result<()> {
        let each = n / self.weights.len().max(1);
        let mut squares = self.squares()?;
        if let (true, [name]) = (self.transposed, self.weights.as_slice()) {
            // The other way round: `x_nᵀ g_n`.
            squares.with(name, self.first, self.spans.len() - 1, |f, sums| {
                kernels::add_squared_products(View::rows(x, k), g, &self.spans, None, n, f, sums);
            });
            return Ok(());
        }
        for (i, name) in self.weights.iter().enumerate() {
            let g = View::rows(g, n).from(0, i * each);
            squares.with(name, self.first, self.spans.len() - 1, |f, sums| {
                kernels::add_squared_products(g, x, &self.spans, None, k, f, sums);
            });
        }
        Ok(())
    }

    /// Squares of a table's gradient: the deferred product, if any, plus the rows that each example's tokens use.
    pub fn add_table(&self, name: &str, ids: &[u32], spans: &[usize], g: &[f32], width: usize) -> Result<()> {
        let rows = |span: &[usize]| {
            SparseRows::new(&ids[span[0]..span[1]], &g[span[0] * width..span[1] * width], width)
        };
        let sparse: Vec<SparseRows> = spans.par_windows(2).with_min_len(grain()).map(rows).collect();
        let deferred = match &self.deferred {
            None => None,
            Some(slot) => slot.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?.take(),
        };
        let (mut squares, examples) = (self.squares()?, spans.len() - 1);
        let Some((g, x)) = deferred else {
            squares.with(name, self.first, examples, |f, sums| {
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
                squares.with(name, self.first, examples, |f, sums| {
                    kernels::add_squared_products(g, x, &self.spans, sparse, width, f, sums);
                });
                Ok(())
            })
        })
    }
}
