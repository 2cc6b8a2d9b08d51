//! Fused bodies of the operations, for the CPU: candle operations of our own with a backward pass.
//!
//! With a [`Tap`], the backward pass of an operation adds the squared gradient of its parameters, example by example,
//! where it is produced: exact per-example Fisher information for little more than one backward pass over the batch.
//! The gradient summed over the batch is then not formed at all.

use std::sync::{Arc, Mutex};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, bail,
};
use rayon::prelude::*;

use super::kernels::{self, Heads, SparseRows};
use crate::dropout::Noise;
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
    /// For a weight that another operation shares: gradient at the output and input are left here instead.
    pub deferred: Option<Deferred>,
}

/// Gradient at the output and input of an operation.
pub type Deferred = Arc<Mutex<Option<(Vec<f32>, Vec<f32>)>>>;

impl Tap {
    fn squares(&self) -> Result<std::sync::MutexGuard<'_, Squares>> {
        self.squares.lock().or_else(|_| bail!("squared gradients: poisoned lock"))
    }

    /// Squares of column sums of `g` `[rows, n]` by example, split evenly over `names`.
    fn add_column_sums(&self, names: &[String], g: &[f32], n: usize) -> Result<()> {
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
    fn add_vectors(&self, names: &[String], gradients: &[f32]) -> Result<()> {
        let examples = self.spans.len() - 1;
        let n = gradients.len() / examples;
        let each = n / names.len().max(1);
        let mut squares = self.squares()?;
        for (i, name) in names.iter().enumerate() {
            squares.with(name, self.first, examples, |f, sums| {
                for (own, sum) in gradients.chunks_exact(n).zip(sums) {
                    kernels::add_squares(f, &own[i * each..(i + 1) * each], sum);
                }
            });
        }
        Ok(())
    }

    /// Squares of `g_nᵀ x_n`, split evenly over the weights.
    fn add_products(&self, g: &[f32], x: &[f32], (n, k): (usize, usize)) -> Result<()> {
        if let Some(deferred) = &self.deferred {
            let mut slot = deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?;
            *slot = Some((g.to_vec(), x.to_vec()));
            return Ok(());
        }
        let (each, rows) = (n / self.weights.len().max(1), g.len() / n);
        let mut squares = self.squares()?;
        for (i, name) in self.weights.iter().enumerate() {
            // Columns of this weight's rows, side by side.
            let own: Vec<f32> = if each == n {
                Vec::new()
            } else {
                (0..rows).flat_map(|r| g[r * n + i * each..][..each].iter().copied()).collect()
            };
            let g = if each == n { g } else { &own };
            squares.with(name, self.first, self.spans.len() - 1, |f, sums| {
                kernels::add_squared_products(g, x, &self.spans, None, (each, k), f, sums);
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
        self.squares()?.with(name, self.first, spans.len() - 1, |f, sums| match deferred {
            Some((g, x)) => {
                let n = f.len() / width;
                kernels::add_squared_products(&g, &x, &self.spans, Some(&sparse), (n, width), f, sums);
            }
            None => {
                for (own, sum) in sparse.iter().zip(sums) {
                    for (id, row) in own.ids.iter().zip(own.rows.chunks_exact(width)) {
                        kernels::add_squares(&mut f[*id as usize * width..][..width], row, sum);
                    }
                }
            }
        });
        Ok(())
    }
}

/// A contiguous float32 slice of an operation's input.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("fused operations take contiguous tensors"),
    }
}

/// Runs `f` on a tensor's values.
fn with<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!("fused operations run on the CPU"),
    }
}

fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// Whether the fused body can take these tensors.
pub fn takes(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// What the forward pass leaves for the backward pass.
type Saved = Mutex<Vec<f32>>;

fn saved(values: &Saved) -> Result<std::sync::MutexGuard<'_, Vec<f32>>> {
    values.lock().or_else(|_| bail!("fused operation: poisoned lock"))
}

/// `y = x wᵀ + b`
pub struct Linear {
    pub tap: Option<Tap>,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, n) = (xl.dims()[0], wl.dims()[0]);
        let mut y = vec![0f32; rows * n];
        kernels::linear(slice(x, xl)?, slice(w, wl)?, slice(b, bl)?, &mut y);
        Ok((CpuStorage::F32(y), (rows, n).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((n, k), m, g) = (w.dims2()?, x.dim(0)?, g.contiguous()?);
        with(&g, |g| {
            with(x, |xs| {
                let dx = match x.track_op() {
                    false => None,
                    true => with(w, |w| {
                        let mut dx = vec![0f32; m * k];
                        let (g, w) = (kernels::View::rows(g, n), kernels::View::rows(w, k));
                        kernels::product((m, k, n), &mut dx, false, g, w);
                        tensor(dx, x).map(Some)
                    })?,
                };
                if let Some(tap) = &self.tap {
                    tap.add_column_sums(&tap.biases, g, n)?;
                    tap.add_products(g, xs, (n, k))?;
                    return Ok((dx, None, None));
                }
                if !w.track_op() {
                    return Ok((dx, None, None));
                }
                let (mut dw, mut db) = (vec![0f32; n * k], vec![0f32; n]);
                let views = (kernels::View::rows(g, n).t(), kernels::View::rows(xs, k));
                kernels::product((n, k, m), &mut dw, false, views.0, views.1);
                kernels::column_sums(g, &mut db);
                Ok((dx, Some(tensor(dw, w)?), Some(tensor(db, b)?)))
            })
        })
    }
}

/// `x Φ(x)`
pub struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, l)?;
        let mut y = vec![0f32; x.len()];
        kernels::gelu(x, &mut y);
        Ok((CpuStorage::F32(y), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let mut d = g.flatten_all()?.to_vec1::<f32>()?;
        with(x, |x| {
            kernels::gelu_backward(x, &mut d);
            Ok(())
        })?;
        tensor(d, x).map(Some)
    }
}

/// `LayerNorm(x ⊙ noise + residual)`, the third input being weight and bias `[2H]`.
pub struct ResidualLayerNorm {
    pub eps: f64,
    /// Noise on `x`, its rows and their numbering.
    pub noise: Option<RowNoise>,
    pub tap: Option<Tap>,
    normal: Saved,
    scale: Saved,
}

/// Noise for rows that belong to examples; see [`super::Packing`].
#[derive(Clone)]
pub struct RowNoise {
    pub noise: Noise,
    pub offsets: Vec<usize>,
    pub first: usize,
    pub stride: usize,
    /// Position of each row in its example.
    pub positions: Vec<u32>,
}

impl RowNoise {
    /// Multiplies rows of `width` values.
    fn multiply(&self, values: &mut [f32], width: usize) {
        let mut parts = Vec::new();
        let mut rest = values;
        for (b, span) in self.offsets.windows(2).enumerate() {
            let (own, others) = rest.split_at_mut((span[1] - span[0]) * width);
            parts.push((b, own));
            rest = others;
        }
        parts.into_par_iter().with_min_len(grain()).for_each(|(b, own)| {
            let mut factors = vec![0f32; width];
            for (row, at) in own.chunks_exact_mut(width).zip(&self.positions[self.offsets[b]..]) {
                let place = (self.first + b) * self.stride + *at as usize;
                self.noise.fill((place * width) as u64, &mut factors);
                row.iter_mut().zip(&factors).for_each(|(v, f)| *v *= f);
            }
        });
    }
}

impl ResidualLayerNorm {
    pub fn new(eps: f64, noise: Option<RowNoise>, tap: Option<Tap>) -> ResidualLayerNorm {
        ResidualLayerNorm { eps, noise, tap, normal: Saved::default(), scale: Saved::default() }
    }
}

impl CustomOp3 for ResidualLayerNorm {
    fn name(&self) -> &'static str {
        "residual-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        r: &CpuStorage,
        rl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (residual, parameters) = (slice(r, rl)?, slice(p, pl)?);
        let width = parameters.len() / 2;
        let mut normal = slice(x, xl)?.to_vec();
        if let Some(noise) = &self.noise {
            noise.multiply(&mut normal, width);
        }
        let chunks = normal.par_chunks_mut(4096).zip(residual.par_chunks(4096));
        chunks.with_min_len(grain()).for_each(|(v, r)| {
            v.iter_mut().zip(r).for_each(|(v, r)| *v += r);
        });
        let (mut y, mut scale) = (vec![0f32; normal.len()], vec![0f32; normal.len() / width]);
        let halves = parameters.split_at(width);
        kernels::layer_norm(&mut normal, halves, self.eps as f32, &mut y, &mut scale);
        *saved(&self.normal)? = normal;
        *saved(&self.scale)? = scale;
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        p: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = p.elem_count() / 2;
        let mut d = g.flatten_all()?.to_vec1::<f32>()?;
        let (normal, scale) = (saved(&self.normal)?, saved(&self.scale)?);
        // Tasks are examples where each is asked for, else runs of rows; shares are added in order.
        let rows = d.len() / width;
        let spans: Vec<usize> = match &self.tap {
            Some(tap) => tap.spans.to_vec(),
            None => (0..rows).step_by(64).chain([rows]).collect(),
        };
        let mut shares = vec![0f32; (spans.len() - 1) * 2 * width];
        let mut parts = Vec::new();
        let mut rest = d.as_mut_slice();
        for (span, share) in spans.windows(2).zip(shares.chunks_exact_mut(2 * width)) {
            let (own, others) = rest.split_at_mut((span[1] - span[0]) * width);
            parts.push((span[0], span[1], own, share));
            rest = others;
        }
        with(p, |p| {
            parts.into_par_iter().with_min_len(grain()).for_each(|(from, to, d, share)| {
                let normal = &normal[from * width..to * width];
                kernels::layer_norm_backward_rows(normal, &scale[from..to], &p[..width], d, share);
            });
            Ok(())
        })?;
        let parameters = match &self.tap {
            Some(tap) => {
                let half = |i: usize| -> Vec<f32> {
                    shares
                        .chunks_exact(2 * width)
                        .flat_map(|s| s[i * width..(i + 1) * width].to_vec())
                        .collect()
                };
                tap.add_vectors(&tap.weights, &half(0))?;
                tap.add_vectors(&tap.biases, &half(1))?;
                None
            }
            None if p.track_op() => {
                let mut sum = vec![0f32; 2 * width];
                kernels::add_rows(&shares, 2 * width, &mut sum);
                Some(tensor(sum, p)?)
            }
            None => None,
        };
        let residual = tensor(d, x)?;
        let dx = match &self.noise {
            None => residual.clone(),
            Some(noise) => {
                let mut dx = residual.flatten_all()?.to_vec1::<f32>()?;
                noise.multiply(&mut dx, width);
                tensor(dx, x)?
            }
        };
        Ok((Some(dx), Some(residual), parameters))
    }
}

/// Softmax attention within each example: queries `[queries, H]`, keys and values `[keys, 2H]`.
pub struct Attention {
    pub heads: usize,
    /// Where each example's queries and keys begin.
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
    /// Noise on the probabilities.
    pub noise: Option<PairNoise>,
    probabilities: Saved,
}

/// Noise for pairs of a query and a key; see [`super::Packing`].
pub struct PairNoise {
    pub noise: Noise,
    pub first: usize,
    pub stride: usize,
    /// Position of each query in its example.
    pub positions: Vec<u32>,
}

impl Attention {
    pub fn new(heads: usize, queries: &[usize], keys: &[usize], noise: Option<PairNoise>) -> Attention {
        Attention {
            heads,
            queries: queries.to_vec(),
            keys: keys.to_vec(),
            noise,
            probabilities: Saved::default(),
        }
    }

    fn shape(&self, width: usize) -> Heads<'_> {
        Heads { queries: &self.queries, keys: &self.keys, width, heads: self.heads }
    }

    /// Multiplies a row of probabilities (or of their gradient) by its noise.
    fn multiply(&self, b: usize, head: usize, query: usize, row: &mut [f32]) {
        let Some(PairNoise { noise, first, stride, positions }) = &self.noise else { return };
        let position = positions[self.queries[b] + query] as usize;
        let mut factors = vec![0f32; row.len()];
        let index = (((first + b) * self.heads + head) * stride + position) * stride;
        noise.fill(index as u64, &mut factors);
        row.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        kv: &CpuStorage,
        kvl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = (ql.dims()[0], ql.dims()[1]);
        let mut p = vec![0f32; self.shape(width).probabilities()];
        let mut context = vec![0f32; rows * width];
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        kernels::attention(self.shape(width), (slice(q, ql)?, slice(kv, kvl)?), &mut p, &mut context, noise);
        *saved(&self.probabilities)? = p;
        Ok((CpuStorage::F32(context), (rows, width).into()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, g) = (q.dim(1)?, g.contiguous()?);
        let mut p = std::mem::take(&mut *saved(&self.probabilities)?);
        let (mut dq, mut dkv) = (vec![0f32; q.elem_count()], vec![0f32; kv.elem_count()]);
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        with(q, |q| {
            with(kv, |kv| {
                with(&g, |g| {
                    let out = (dq.as_mut_slice(), dkv.as_mut_slice());
                    kernels::attention_backward(self.shape(width), (q, kv), &mut p, g, out, noise);
                    Ok(())
                })
            })
        })?;
        Ok((Some(tensor(dq, q)?), Some(tensor(dkv, kv)?)))
    }
}

/// Negative log-likelihood of a label for each row of logits.
pub struct CrossEntropy {
    pub labels: Vec<u32>,
    normalizers: Saved,
}

impl CrossEntropy {
    pub fn new(labels: &[u32]) -> CrossEntropy {
        CrossEntropy { labels: labels.to_vec(), normalizers: Saved::default() }
    }
}

/// Losses and most likely classes `[rows]` of the logits `x wᵀ + b`, without a backward pass.
pub fn decoded_cross_entropy(x: &Tensor, w: &Tensor, b: &Tensor, labels: &[u32]) -> Result<(Tensor, Tensor)> {
    check_labels(labels, x.dim(0)?, b.elem_count())?;
    let (mut losses, mut predicted) = (vec![0f32; labels.len()], vec![0f32; labels.len()]);
    with(x, |x| {
        with(w, |w| {
            with(b, |b| {
                kernels::decoded_cross_entropy((x, w, b), labels, &mut losses, &mut predicted);
                Ok(())
            })
        })
    })?;
    Ok((Tensor::new(losses, x.device())?, Tensor::new(predicted, x.device())?))
}

fn check_labels(labels: &[u32], rows: usize, classes: usize) -> Result<()> {
    if rows != labels.len() || labels.iter().any(|label| *label as usize >= classes) {
        bail!("cross-entropy: {rows} labels below {classes} wanted");
    }
    Ok(())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, classes) = (l.dims()[0], l.dims()[1]);
        check_labels(&self.labels, rows, classes)?;
        let (mut losses, mut normalizers) = (vec![0f32; rows], vec![0f32; rows]);
        kernels::cross_entropy(slice(logits, l)?, &self.labels, &mut losses, &mut normalizers);
        *saved(&self.normalizers)? = normalizers;
        Ok((CpuStorage::F32(losses), rows.into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (g, normalizers) = (g.contiguous()?, saved(&self.normalizers)?);
        let mut out = vec![0f32; logits.elem_count()];
        with(logits, |logits| {
            with(&g, |g| {
                kernels::cross_entropy_backward(logits, &self.labels, &normalizers, g, &mut out);
                Ok(())
            })
        })?;
        tensor(out, logits).map(Some)
    }
}
