//! Arithmetic of the fused operations, on float32 slices.
//!
//! Every function splits its work into tiles that depend on the shapes alone, and computes each tile on one thread in
//! a fixed order: the bits do not depend on the number of threads. Matrix products are serial calls of `gemm` inside
//! a tile. Elementwise code uses separate multiplications and additions (no fused ones), so that the compiled
//! variants for AVX2 and for any other processor give the same bits.

use rayon::prelude::*;

/// Rows of a tile of a matrix product.
const TILE: usize = 128;

/// Compiles `body` twice, for AVX2 and for the baseline, and calls what the processor can run.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn body($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) {
                    body($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2.
                    return unsafe { wide($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}

/// A matrix inside a slice: row and column strides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> View<'a> {
    /// Row-major with `columns` columns.
    pub fn rows(values: &'a [f32], columns: usize) -> View<'a> {
        View { values, row: columns, column: 1 }
    }

    /// Its transpose.
    pub fn t(self) -> View<'a> {
        View { row: self.column, column: self.row, ..self }
    }

    /// The view that begins at this row and column.
    pub fn from(self, row: usize, column: usize) -> View<'a> {
        View { values: &self.values[row * self.row + column * self.column..], ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.values.len()
    }
}

/// `scale · a b`, or what is there plus that, on the calling thread: `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]` with
/// `stride` between its rows.
///
/// # Safety
///
/// `out` must point to `m` rows of `n` values, `stride` apart, that no one else touches meanwhile.
unsafe fn raw_product(
    (m, n, k): (usize, usize, usize),
    (out, stride): (*mut f32, usize),
    add: bool,
    a: View,
    b: View,
    scale: f32,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.holds(m, k) && b.holds(k, n), "matrix product out of bounds");
    // SAFETY: the assertion keeps reads inside `a` and `b`; the caller vouches for `out`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            add,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        )
    }
}

/// A pointer that tiles of one slice are written through, each by one thread.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: every use below gives each thread places of its own.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    fn at(self, i: usize) -> *mut f32 {
        self.0.wrapping_add(i)
    }
}

/// `out = a b` or `out += a b`: `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`, in tiles over all threads.
pub fn product((m, n, k): (usize, usize, usize), out: &mut [f32], add: bool, a: View, b: View) {
    assert_eq!(out.len(), m * n);
    // Large tiles repack less; small results need small tiles to occupy several threads.
    let (mut tall, mut wide) = (256, 512);
    while m.div_ceil(tall) * n.div_ceil(wide) < 8 && tall > 32 {
        (tall, wide) = (tall / 2, (wide / 2).max(128));
    }
    let (across, shared) = (n.div_ceil(wide), Shared(out.as_mut_ptr()));
    (0..m.div_ceil(tall) * across).into_par_iter().for_each(|i| {
        let (row, column) = (i / across * tall, i % across * wide);
        let size = (tall.min(m - row), wide.min(n - column), k);
        let place = (shared.at(row * n + column), n);
        // SAFETY: tiles do not overlap and lie inside `out`, whose length was checked.
        unsafe { raw_product(size, place, add, a.from(row, 0), b.from(0, column), 1.0) }
    });
}

/// `y = x wᵀ + b`: `x` `[m, k]`, `w` `[n, k]`, `y` `[m, n]`.
pub fn linear(x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    let n = b.len();
    let (m, k) = (y.len() / n, w.len() / n);
    y.par_chunks_mut(n * 64).for_each(|rows| rows.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(b)));
    product((m, n, k), y, true, View::rows(x, k), View::rows(w, k).t());
}

/// Adds `rows` of `width` values into `sum`, row after row.
pub fn add_rows(rows: &[f32], width: usize, sum: &mut [f32]) {
    rows.chunks_exact(width).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
}

/// Column sums of `[m, n]`, in order of the rows within column tiles.
pub fn column_sums(g: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    sums.par_chunks_mut(64).enumerate().for_each(|(tile, sums)| {
        sums.fill(0.0);
        for row in g.chunks_exact(n) {
            sums.iter_mut().zip(&row[tile * 64..]).for_each(|(s, v)| *s += v);
        }
    });
}

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

/// `exp(x)` to about 2 units in the last place: reduction by ln 2 in two parts and a polynomial (Cephes).
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.3);
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// `erf(x)` to 4e-7: a rational function of x², as in Eigen.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = -2.726_142e-10 * s + 2.770_681_4e-8;
    let p = p * s - 2.101_024e-6;
    let p = p * s - 5.692_506_4e-5;
    let p = p * s - 7.349_906_3e-4;
    let p = p * s - 2.954_6e-3;
    let p = p * s - 1.609_603_3e-2;
    let q = -1.456_607_2e-5 * s - 2.133_740_6e-4;
    let q = q * s - 1.682_827e-3;
    let q = q * s - 7.373_329e-3;
    let q = q * s - 1.426_473_9e-2;
    x * p / q
}

/// Values of an elementwise task.
const CHUNK: usize = 16_384;

vectorized! {
    fn gelu_chunk(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)));
    }
}

vectorized! {
    fn gelu_backward_chunk(x: &[f32], g: &mut [f32]) {
        const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 π)
        for (g, x) in g.iter_mut().zip(x) {
            let cumulative = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
            *g *= cumulative + x * DENSITY * exp(-0.5 * x * x);
        }
    }
}

/// `x Φ(x)`
pub fn gelu(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| gelu_chunk(x, y));
}

/// Gradient at the output to gradient at the input, in place.
pub fn gelu_backward(x: &[f32], g: &mut [f32]) {
    g.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(g, x)| gelu_backward_chunk(x, g));
}

/// Σ a b in sixteen interleaved lanes: the same order on every processor.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a16.remainder().iter().zip(b16.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a16.zip(b16) {
        sums.iter_mut().zip(a).zip(b).for_each(|((s, a), b)| *s += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

/// Σ a, likewise.
#[inline(always)]
fn sum(a: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let a16 = a.chunks_exact(16);
    let rest: f32 = a16.remainder().iter().sum();
    a16.for_each(|a| sums.iter_mut().zip(a).for_each(|(s, a)| *s += a));
    sums.iter().sum::<f32>() + rest
}

/// max a; NaN if any is.
#[inline(always)]
fn largest(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let a16 = a.chunks_exact(16);
    let rest = a16.remainder();
    let larger = |m: f32, v: f32| if v > m || v.is_nan() { v } else { m };
    a16.for_each(|a| lanes.iter_mut().zip(a).for_each(|(m, v)| *m = larger(*m, *v)));
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, v| larger(m, *v))
}

/// Rows of a LayerNorm task.
const ROWS: usize = 32;

/// `normal = (x - mean) / sqrt(variance + eps)`, `y = normal ⊙ weight + bias`, by rows; `x` becomes `normal` in place
/// and `scale` the reciprocal standard deviations.
pub fn layer_norm(
    x: &mut [f32],
    (weight, bias): (&[f32], &[f32]),
    eps: f32,
    y: &mut [f32],
    scale: &mut [f32],
) {
    let width = weight.len();
    let parts =
        x.par_chunks_mut(ROWS * width).zip(y.par_chunks_mut(ROWS * width)).zip(scale.par_chunks_mut(ROWS));
    parts.for_each(|((x, y), scale)| layer_norm_rows(x, weight, bias, eps, y, scale));
}

vectorized! {
    fn layer_norm_rows(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32], scale: &mut [f32]) {
        let width = weight.len();
        for ((x, y), scale) in x.chunks_exact_mut(width).zip(y.chunks_exact_mut(width)).zip(scale) {
            let mean = sum(x) / width as f32;
            x.iter_mut().for_each(|v| *v -= mean);
            let variance = dot(x, x) / width as f32;
            *scale = 1.0 / (variance + eps).sqrt();
            for (((y, x), w), b) in y.iter_mut().zip(x.iter_mut()).zip(weight).zip(bias) {
                *x *= *scale;
                *y = *x * w + b;
            }
        }
    }
}

vectorized! {
    /// LayerNorm backward over rows of one task: `g` becomes the gradient at the input, and `sums` (weight, then
    /// bias) gets this task's share of the gradient of the parameters.
    pub fn layer_norm_backward_rows(normal: &[f32], scale: &[f32], weight: &[f32], g: &mut [f32], sums: &mut [f32]) {
        let width = weight.len();
        let (weight_sums, bias_sums) = sums.split_at_mut(width);
        for ((x, g), scale) in normal.chunks_exact(width).zip(g.chunks_exact_mut(width)).zip(scale) {
            for ((((x, g), w), ws), bs) in x.iter().zip(g.iter_mut()).zip(weight).zip(&mut *weight_sums).zip(&mut *bias_sums) {
                *ws += *g * x;
                *bs += *g;
                *g *= w;
            }
            let mean = sum(g) / width as f32;
            let slope = dot(g, x) / width as f32;
            g.iter_mut().zip(x).for_each(|(g, x)| *g = (*g - mean - x * slope) * scale);
        }
    }
}

vectorized! {
    /// Softmax of each row of `columns` values, in place.
    fn softmax_rows(rows: &mut [f32], columns: usize) {
        for row in rows.chunks_exact_mut(columns) {
            let top = largest(row);
            row.iter_mut().for_each(|v| *v = exp(*v - top));
            let scale = 1.0 / sum(row);
            row.iter_mut().for_each(|v| *v *= scale);
        }
    }
}

vectorized! {
    /// Softmax backward by rows: `g` becomes `p ⊙ (g - Σ g p) · scale`.
    fn softmax_backward_rows(p: &[f32], g: &mut [f32], columns: usize, scale: f32) {
        for (p, g) in p.chunks_exact(columns).zip(g.chunks_exact_mut(columns)) {
            let mean = dot(p, g);
            g.iter_mut().zip(p).for_each(|(g, p)| *g = (*g - mean) * p * scale);
        }
    }
}

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

    /// Runs `run(task, its part of `values`)` for every example and head.
    fn each(&self, values: &mut [f32], run: impl Fn(Task, &mut [f32]) + Sync) {
        let mut parts = Vec::new();
        let mut rest = values;
        for (example, (q, k)) in self.queries.windows(2).zip(self.keys.windows(2)).enumerate() {
            let (queries, keys) = (q[1] - q[0], k[1] - k[0]);
            for head in 0..self.heads {
                let (own, others) = rest.split_at_mut(queries * keys);
                parts.push((Task { example, head, query: q[0], key: k[0], queries, keys }, own));
                rest = others;
            }
        }
        parts.into_par_iter().filter(|(task, _)| task.queries > 0).for_each(|(task, own)| run(task, own));
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
    shape.each(p, |task, p| {
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
    p: &mut [f32],
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

/// Negative log-likelihood of `labels[i]` under the softmax of row i, and the logarithm of each row's normalizer.
pub fn cross_entropy(logits: &[f32], labels: &[u32], losses: &mut [f32], normalizers: &mut [f32]) {
    let columns = logits.len() / labels.len().max(1);
    let rows = logits.par_chunks_exact(columns.max(1)).zip(labels).zip(losses).zip(normalizers);
    rows.for_each(|(((row, label), loss), normalizer)| {
        cross_entropy_row(row, normalizer);
        *loss = *normalizer - row[*label as usize];
    });
}

vectorized! {
    fn cross_entropy_row(row: &[f32], normalizer: &mut f32) {
        let top = largest(row);
        let mut sums = [0f32; 16];
        let row16 = row.chunks_exact(16);
        let rest: f32 = row16.remainder().iter().map(|v| exp(v - top)).sum();
        row16.for_each(|v| sums.iter_mut().zip(v).for_each(|(s, v)| *s += exp(v - top)));
        *normalizer = top + (sums.iter().sum::<f32>() + rest).ln();
    }
}

/// Cross-entropy backward: `(softmax - one-hot) · g` by rows.
pub fn cross_entropy_backward(
    logits: &[f32],
    labels: &[u32],
    normalizers: &[f32],
    g: &[f32],
    out: &mut [f32],
) {
    let columns = logits.len() / labels.len().max(1);
    let rows = out.par_chunks_exact_mut(columns.max(1)).zip(logits.par_chunks_exact(columns.max(1)));
    rows.zip(labels).zip(normalizers).zip(g).for_each(|((((out, row), label), normalizer), g)| {
        probability_row(row, *normalizer, *g, out);
        out[*label as usize] -= g;
    });
}

vectorized! {
    fn probability_row(row: &[f32], normalizer: f32, g: f32, out: &mut [f32]) {
        out.iter_mut().zip(row).for_each(|(out, v)| *out = exp(v - normalizer) * g);
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
/// `[n, k]`, `e_n` being `extra`'s rows, and each example's sum of squares into `sums` `[B]`. `spans` are the rows of
/// `g` and `x` of each example. A tile of `f` stays in cache over all examples.
pub fn add_squared_products(
    g: &[f32],
    x: &[f32],
    spans: &[usize],
    extra: Option<&[SparseRows]>,
    (n, k): (usize, usize),
    f: &mut [f32],
    sums: &mut [f64],
) {
    let examples = spans.len() - 1;
    // The whole width where rows are short (then `extra` is simple too), else parts that fit the cache.
    let wide = if k <= 1024 || extra.is_some() { k } else { 384 };
    let tall = (TILE * 384 / wide).clamp(16, TILE);
    let tile = |(tile, f): (usize, &mut [f32])| {
        let (first, rows) = (tile * tall, f.len() / k);
        let mut own = vec![0f64; examples];
        let mut product = vec![0f32; rows * wide];
        for column in (0..k).step_by(wide) {
            let wide = wide.min(k - column);
            for (b, span) in spans.windows(2).enumerate() {
                let product = &mut product[..rows * wide];
                if span[0] < span[1] {
                    let left = View::rows(&g[span[0] * n + first..span[1] * n], n).t();
                    let right = View::rows(&x[span[0] * k + column..span[1] * k], k);
                    let place = (product.as_mut_ptr(), wide);
                    // SAFETY: `product` is this task's own, [rows, wide].
                    unsafe { raw_product((rows, wide, span[1] - span[0]), place, false, left, right, 1.0) };
                } else {
                    product.fill(0.0);
                }
                if let Some(sparse) = extra.map(|extra| &extra[b]) {
                    let from = sparse.ids.partition_point(|id| (*id as usize) < first);
                    let to = sparse.ids.partition_point(|id| (*id as usize) < first + rows);
                    for i in from..to {
                        let row = sparse.ids[i] as usize - first;
                        add_rows(&sparse.rows[i * k..(i + 1) * k], k, &mut product[row * k..(row + 1) * k]);
                    }
                }
                let lines = f.chunks_exact_mut(k).zip(product.chunks_exact(wide));
                lines.for_each(|(f, s)| add_squares(&mut f[column..column + wide], s, &mut own[b]));
            }
        }
        own
    };
    let parts: Vec<Vec<f64>> = f.par_chunks_mut(tall * k).enumerate().map(tile).collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, own)| *sum += own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: libm in f64. Catches a wrong coefficient; the bounds are what the comments on `exp` and `erf` claim.
    #[test]
    fn exp_and_erf_are_as_exact_as_they_say() {
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-3;
            let wanted = libm::exp(f64::from(x));
            assert!((f64::from(exp(x)) / wanted - 1.0).abs() < 3e-7, "exp({x})");
            let x = x * 0.1;
            assert!((f64::from(erf(x)) - libm::erf(f64::from(x))).abs() < 5e-7, "erf({x})");
        }
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan() && exp(-1e30) < 1e-37);
    }

    /// Oracle: the definition, one entry at a time in f64; sizes that leave a rest in every tile. Catches a tile that
    /// is skipped or counted twice.
    #[test]
    fn products_and_their_squares_equal_sums_entry_by_entry() {
        let stream = crate::rng::Stream::new(1, "test");
        let random = |step: u64, n: usize| {
            let mut v = vec![0f32; n];
            stream.at(step).fill_normal(0, &mut v);
            v
        };
        for (m, n, k) in [(1, 1, 1), (3, 700, 5), (300, 513, 40), (530, 33, 17)] {
            let (a, b) = (random(1, m * k), random(2, k * n));
            let mut out = vec![0f32; m * n];
            product((m, n, k), &mut out, false, View::rows(&a, k), View::rows(&b, n));
            for (i, out) in out.iter().enumerate() {
                let (r, c) = (i / n, i % n);
                let wanted: f64 = (0..k).map(|j| f64::from(a[r * k + j]) * f64::from(b[j * n + c])).sum();
                assert!((f64::from(*out) - wanted).abs() < 1e-4, "({m}, {n}, {k}) at ({r}, {c})");
            }
        }
        let ((n, k), spans) = ((150, 1100), [0, 3, 3, 7]);
        let (g, x) = (random(3, 7 * n), random(4, 7 * k));
        let extra: Vec<SparseRows> =
            (0..3u32).map(|b| SparseRows::new(&[b, 149, b], &random(5 + u64::from(b), 3 * k), k)).collect();
        for extra in [None, Some(extra.as_slice())] {
            let (mut f, mut sums) = (vec![0f32; n * k], vec![0f64; 3]);
            add_squared_products(&g, &x, &spans, extra, (n, k), &mut f, &mut sums);
            let (mut wanted, mut wanted_sums) = (vec![0f64; n * k], [0f64; 3]);
            for b in 0..3 {
                for (i, wanted) in wanted.iter_mut().enumerate() {
                    let (r, c) = (i / k, i % k);
                    let rows = spans[b]..spans[b + 1];
                    let mut entry: f64 =
                        rows.map(|t| f64::from(g[t * n + r]) * f64::from(x[t * k + c])).sum();
                    if let Some(sparse) = extra.map(|extra| &extra[b])
                        && let Some(at) = sparse.ids.iter().position(|id| *id as usize == r)
                    {
                        entry += f64::from(sparse.rows[at * k + c]);
                    }
                    *wanted += entry * entry;
                    wanted_sums[b] += entry * entry;
                }
            }
            assert!(f.iter().zip(&wanted).all(|(f, w)| (f64::from(*f) - w).abs() < 1e-4 * (1.0 + w)));
            assert!(sums.iter().zip(&wanted_sums).all(|(s, w)| (s - w).abs() <= 1e-5 * w));
        }
    }
}
