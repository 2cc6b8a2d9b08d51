//! Arithmetic of the fused operations, on float32 slices.
//!
//! Every function splits its work into tiles that depend on the shapes alone, and computes each tile on one thread in
//! a fixed order: the bits do not depend on the number of threads. Matrix products are serial calls of `gemm` inside
//! a tile. Elementwise code uses separate multiplications and additions (no fused ones), so that the compiled
//! variants for AVX2 and for any other processor give the same bits.

mod attention;
mod cross_entropy;
mod elementwise;
mod squares;

pub use attention::{RowNoise, Span, attention, attention_backward};
pub use cross_entropy::{cross_entropy, cross_entropy_backward, decoded_cross_entropy};
pub use elementwise::{Curve, activate, activate_backward, norm, norm_backward_rows};
pub use squares::{SparseRows, Used, add_squared_products, add_squares};

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::threads::grain;
use crate::vectorized::vectorized;

/// Longest inner dimension that is given to the library at once: it cuts a longer one by the size of the processor's caches, and
/// then sums in another order.
const DEPTH: usize = 512;

/// Results of a product of rows with rows that the library sums in as many lanes as the processor has.
const SMALL: usize = 256;

/// Where the values of a product go, and what becomes of them there.
#[derive(Clone, Copy)]
struct Target {
    out: *mut f32,
    /// Between the beginnings of rows.
    stride: usize,
    columns: usize,
    add: bool,
    scale: f32,
}

impl Target {
    /// Takes value `i`, counted through the rows.
    ///
    /// # Safety
    ///
    /// `out` must point to as many rows, that no one else touches meanwhile.
    unsafe fn take(self, i: usize, value: f32) {
        let place = self.out.wrapping_add(i / self.columns * self.stride + i % self.columns);
        // SAFETY: the caller vouches for the place; what is not added to is not read.
        unsafe { place.write(self.scale * value + if self.add { place.read() } else { 0.0 }) }
    }
}

vectorized! {
    /// `count` products of rows of `a` with rows of `b`, `k` long and `.1` apart, a row of the target for each row of `a`: `Σ a b` in
    /// lanes whose number is the same on every processor. The target must hold them.
    fn dots(a: (&[f32], usize), b: (&[f32], usize), k: usize, count: usize, target: Target) {
        for i in 0..count {
            let (row, column) = (i / target.columns, i % target.columns);
            let value = elementwise::dot(&a.0[row * a.1..][..k], &b.0[column * b.1..][..k]);
            // SAFETY: the caller of the product vouches for the target.
            unsafe { target.take(i, value) }
        }
    }
}

/// Inner dimensions for which the library has a way of its own, as for single rows, whose order of sums depends on where the result lies
/// in memory.
const FEW: usize = 2;

vectorized! {
    /// A row of a product with one or two terms: `out = scale · Σ a b`, or what is there plus that; `b` with its strides.
    fn few_terms(a: &[f32], b: (&[f32], usize, usize), rule: (bool, f32), out: &mut [f32]) {
        let (add, scale) = rule;
        let (first, second) = (a[0] * scale, a.get(1).map_or(0.0, |a| a * scale));
        let below = if a.len() > 1 { &b.0[b.1..] } else { b.0 };
        if b.2 == 1 {
            for ((out, x), y) in out.iter_mut().zip(b.0).zip(below) {
                let sum = first * x + second * y;
                *out = if add { *out + sum } else { sum };
            }
            return;
        }
        for (j, out) in out.iter_mut().enumerate() {
            let sum = first * b.0[j * b.2] + second * below[j * b.2];
            *out = if add { *out + sum } else { sum };
        }
    }
}

vectorized! {
    /// Adds `Σ a b` to a row: values of `a` `.1` apart, `b` with its strides, one term after the other.
    fn chain(a: (&[f32], usize), b: (&[f32], usize, usize), k: usize, out: &mut [f32]) {
        for t in 0..k {
            let (a, b, step) = (a.0[t * a.1], &b.0[t * b.1..], b.2);
            match step {
                1 => out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b),
                _ => out.iter_mut().enumerate().for_each(|(j, out)| *out += a * b[j * step]),
            }
        }
    }
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
    let target = Target { out, stride, columns: n, add, scale };
    if k > 0 && a.column == 1 && b.row == 1 && (m * n <= SMALL || m == 1 || n == 1) {
        dots((a.values, a.row), (b.values, b.column), k, m * n, target);
        return;
    }
    if k > 0 && (m == 1 || n == 1) {
        let (line, matrix) = if m == 1 { (a, b) } else { (b.t(), a.t()) };
        let mut all = vec![0f32; m * n];
        chain((line.values, line.column), (matrix.values, matrix.row, matrix.column), k, &mut all);
        // SAFETY: the caller vouches for `out`.
        all.into_iter().enumerate().for_each(|(i, value)| unsafe { target.take(i, value) });
        return;
    }
    if (1..=FEW).contains(&k) {
        for i in 0..m {
            // SAFETY: the caller vouches for `out`.
            let out = unsafe { std::slice::from_raw_parts_mut(out.add(i * stride), n) };
            let own = &a.values[i * a.row..];
            let few = [own[0], own.get((k - 1) * a.column).copied().unwrap_or(0.0)];
            few_terms(&few[..k], (b.values, b.row, b.column), (add, scale), out);
        }
        return;
    }
    let each = k.div_ceil(k.div_ceil(DEPTH).max(1));
    let mut first = 0;
    loop {
        let depth = each.min(k - first);
        let add = add || first > 0;
        let (a, b) = if depth == 0 { (a, b) } else { (a.from(0, first), b.from(first, 0)) };
        // SAFETY: the assertion keeps reads inside `a` and `b`; the caller vouches for `out`.
        unsafe {
            gemm::gemm(
                m,
                n,
                depth,
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
        first += each;
        if first >= k {
            return;
        }
    }
}

/// The same into a slice of one's own, `[m, n]` without gaps.
fn own_product((m, n, k): (usize, usize, usize), out: &mut [f32], add: bool, a: View, b: View, scale: f32) {
    assert_eq!(out.len(), m * n);
    // SAFETY: `out` is borrowed alone, and as long as its rows.
    unsafe { raw_product((m, n, k), (out.as_mut_ptr(), n), add, a, b, scale) }
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
    // SAFETY: `out` is borrowed alone, and as long as its rows.
    unsafe { tiled_product((m, n, k), Shared(out.as_mut_ptr()), add, a, b) }
}

/// The same in memory of its own, which the product is the first to write.
pub fn fresh_product((m, n, k): (usize, usize, usize), a: View, b: View) -> Vec<f32> {
    let mut out = Vec::with_capacity(m * n);
    // SAFETY: nobody else knows of `out`; a product that is not added writes each of its values, and reads none before.
    unsafe {
        tiled_product((m, n, k), Shared(out.as_mut_ptr()), false, a, b);
        out.set_len(m * n);
    }
    out
}

/// # Safety
///
/// `shared` must point to `m · n` values that no one else touches meanwhile.
unsafe fn tiled_product((m, n, k): (usize, usize, usize), shared: Shared, add: bool, a: View, b: View) {
    let threads = if grain() == usize::MAX { 1 } else { rayon::current_num_threads() };
    let (down, across) = tiles((m, n), threads);
    (0..down * across).into_par_iter().with_min_len(grain()).for_each(|i| {
        let (rows, columns) = (part(m, down, i / across), part(n, across, i % across));
        let place = (shared.at(rows.start * n + columns.start), n);
        let (a, b) = (a.from(rows.start, 0), b.from(0, columns.start));
        // SAFETY: tiles do not overlap and lie inside `out`, for which the caller vouches.
        unsafe { raw_product((rows.len(), columns.len(), k), place, add, a, b, 1.0) }
    });
}

/// Tiles to each thread, so that none waits long for the last one.
const EACH: usize = 4;

/// Into how many parts the rows and the columns of a product are cut. Every part of a matrix is packed anew for each tile, so tiles
/// are few and square. How they are cut changes no bit: none is so small, where the whole is not, that the library or we
/// would sum it in another way ([`raw_product`]).
fn tiles((m, n): (usize, usize), threads: usize) -> (usize, usize) {
    let (mut down, mut across) = (1, 1);
    while threads > 1 && down * across < EACH * threads {
        let (tall, wide) = (m / (2 * down), n / (2 * across));
        // Values of the least tile, if one side is cut once more.
        let (lower, narrower) = (tall * (n / across), m / down * wide);
        if tall >= wide && tall >= LEAST && lower > SMALL {
            down *= 2;
        } else if wide >= LEAST && narrower > SMALL {
            across *= 2;
        } else if tall >= LEAST && lower > SMALL {
            down *= 2;
        } else {
            break;
        }
    }
    (down, across)
}

/// Rows or columns of a tile at least.
const LEAST: usize = 16;

/// Part `i` of `0..length` in so many nearly equal parts.
fn part(length: usize, parts: usize, i: usize) -> std::ops::Range<usize> {
    i * length / parts..(i + 1) * length / parts
}

/// Values of a task that fills memory.
const FILL: usize = 1 << 15;

/// `values`, copied by all threads: taking fresh pages from the system costs more than the copy.
pub fn copied(values: &[f32]) -> Vec<f32> {
    let mut copy = Vec::with_capacity(values.len());
    let parts = copy.spare_capacity_mut()[..values.len()].par_chunks_mut(FILL).zip(values.par_chunks(FILL));
    parts.with_min_len(grain()).for_each(|(out, values)| {
        out.iter_mut().zip(values).for_each(|(out, v)| *out = MaybeUninit::new(*v));
    });
    // SAFETY: the chunks cover the length, and each was written.
    unsafe { copy.set_len(values.len()) };
    copy
}

/// `x wᵀ + b`, `[m, n]`: `x` `[m, k]`, `w` `[n, k]`.
pub fn linear((m, n, k): (usize, usize, usize), x: &[f32], w: View, b: &[f32]) -> Vec<f32> {
    assert_eq!(b.len(), n);
    let mut y = Vec::with_capacity(m * n);
    let parts = y.spare_capacity_mut()[..m * n].par_chunks_mut((n * 64).max(1)).with_min_len(grain());
    parts.for_each(|rows| {
        for row in rows.chunks_exact_mut(n) {
            row.iter_mut().zip(b).for_each(|(y, b)| *y = MaybeUninit::new(*b));
        }
    });
    // SAFETY: the chunks cover the length, and each row was written.
    unsafe { y.set_len(m * n) };
    product((m, n, k), &mut y, true, View::rows(x, k), w.t());
    y
}

/// Adds `rows` of `width` values into `sum`, row after row.
pub fn add_rows(rows: &[f32], width: usize, sum: &mut [f32]) {
    rows.chunks_exact(width).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
}

/// Column sums of `[m, n]`, in order of the rows within column tiles.
pub fn column_sums(g: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    sums.par_chunks_mut(64).enumerate().with_min_len(grain()).for_each(|(tile, sums)| {
        sums.fill(0.0);
        for row in g.chunks_exact(n) {
            sums.iter_mut().zip(&row[tile * 64..]).for_each(|(s, v)| *s += v);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the definition, one value at a time: in parts of equal length one chain of fused multiplications and additions, in order;
    /// of few rows with rows sixteen lanes, of two terms, or to a
    /// single row, their plain sum. Bit by bit, so that results do not depend on the processor's caches and lanes. Catches
    /// a way of the library's that sums in another order, and a part that is left out.
    #[test]
    fn products_sum_in_one_order() {
        #[cfg(target_arch = "x86_64")]
        if !std::arch::is_x86_feature_detected!("fma") {
            return;
        }
        let random = |name: &str, count: usize| {
            let mut values = vec![0f32; count];
            crate::rng::Stream::new(3, name).fill_normal(0, &mut values);
            values
        };
        let depths = [1, 2, 3, 7, 64, 385, 512, 513, 1024, 1537, 3072];
        let sizes = [(1, 1), (1, 40), (40, 1), (3, 5), (16, 16), (17, 16), (48, 200), (130, 9)];
        for ((m, n), k) in sizes.into_iter().flat_map(|size| depths.map(|k| (size, k))) {
            let (a, b) = (random("a", m * k), random("b", k * n));
            let views =
                [(View::rows(&a, k), View::rows(&a, m).t()), (View::rows(&b, n), View::rows(&b, k).t())];
            for (a, b) in
                [views[0].0, views[0].1].into_iter().flat_map(|a| [(a, views[1].0), (a, views[1].1)])
            {
                let mut out = random("out", m * n);
                let before = out.clone();
                own_product((m, n, k), &mut out, true, a, b, 1.0);
                let each = k.div_ceil(k.div_ceil(DEPTH));
                for (i, found) in out.iter().enumerate() {
                    let term = |k: usize| {
                        (a.values[i / n * a.row + k * a.column], b.values[k * b.row + i % n * b.column])
                    };
                    let terms: Vec<(f32, f32)> = (0..k).map(term).collect();
                    let rows = a.column == 1 && b.row == 1 && (m * n <= SMALL || m == 1 || n == 1);
                    let wanted = match rows {
                        true => {
                            let (a, b): (Vec<f32>, Vec<f32>) = terms.into_iter().unzip();
                            before[i] + elementwise::dot(&a, &b)
                        }
                        false if m == 1 || n == 1 => {
                            before[i] + terms.iter().fold(0.0, |sum: f32, (a, b)| sum + a * b)
                        }
                        false if k <= FEW => before[i] + terms.iter().map(|(a, b)| a * b).sum::<f32>(),
                        false => terms.chunks(each).fold(before[i], |sum, part| {
                            sum + part.iter().fold(0.0, |sum: f32, (a, b)| a.mul_add(*b, sum))
                        }),
                    };
                    assert_eq!(
                        found.to_bits(),
                        wanted.to_bits(),
                        "{m} x {n} x {k}, value {i}: {found} {wanted}"
                    );
                }
            }
        }
    }

    /// Oracle: the product in one piece. Bit by bit, on any number of threads, of sizes around those at which a side is cut. Catches a
    /// tile that the library sums in another way, one that is left out, and one at another's place.
    #[test]
    fn tiles_change_no_bit() {
        let random = |name: &str, count: usize| {
            let mut values = vec![0f32; count];
            crate::rng::Stream::new(4, name).fill_normal(0, &mut values);
            values
        };
        let sides = [1, 2, 3, 15, 16, 17, 31, 33, 65, 130, 257, 521];
        for (m, n) in sides.into_iter().flat_map(|m| sides.map(|n| (m, n))) {
            let k = 33;
            let (a, b) = (random("a", m * k), random("b", k * n));
            for (a, b) in [
                (View::rows(&a, k), View::rows(&b, n)),
                (View::rows(&a, k), View::rows(&b, k).t()),
                (View::rows(&a, m).t(), View::rows(&b, n)),
            ] {
                let mut whole = vec![0f32; m * n];
                own_product((m, n, k), &mut whole, false, a, b, 1.0);
                for threads in [2, 3, 16] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let cut = pool.install(|| fresh_product((m, n, k), a, b));
                    assert!(
                        cut.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()),
                        "{m} x {n}, {threads}"
                    );
                }
            }
        }
    }

    /// Oracle: the slices themselves. What stands before and behind a product stays, and one that its slices cannot hold is refused
    /// before anything is read or written. Catches a bound that is off by a row or a value, and a missing one.
    #[test]
    fn products_stay_inside_their_slices() {
        let (m, n, k) = (5, 7, 3);
        let (a, b) = (vec![1f32; m * k], vec![1f32; k * n]);
        let mut all = vec![-1f32; 2 * n + m * n];
        own_product((m, n, k), &mut all[n..n + m * n], false, View::rows(&a, k), View::rows(&b, n), 1.0);
        let own = |i: usize| (n..n + m * n).contains(&i);
        assert!(all.iter().enumerate().all(|(i, v)| *v == if own(i) { 3.0 } else { -1.0 }));
        let refused = |a: &[f32], b: &[f32], length: usize| {
            let mut out = vec![0f32; length];
            let product = || own_product((m, n, k), &mut out, false, View::rows(a, k), View::rows(b, n), 1.0);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(product)).is_err()
        };
        assert!(!refused(&a, &b, m * n));
        assert!(refused(&a[1..], &b, m * n) && refused(&a, &b[1..], m * n) && refused(&a, &b, m * n - 1));
    }

    /// Oracle: the values themselves, at lengths around those that one thread fills. Catches a part that nobody writes, which would
    /// be memory without a value.
    #[test]
    fn every_value_of_a_copy_is_written() {
        for length in [0, 1, FILL - 1, FILL, FILL + 1, 3 * FILL + 7] {
            let values: Vec<f32> = (0..length).map(|i| i as f32).collect();
            assert_eq!(copied(&values), values);
            assert_eq!(crate::threads::zeros(length), vec![0.0; length]);
        }
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
            // Example 0 has its rows in two uses, of which the second has none of example 2.
            let uses: [Used; 2] = [
                (View::rows(&g[2 * n..], n), &x[2 * k..], &[0, 1, 1, 5]),
                (View::rows(&g, n), &x, &[0, 2, 2, 2]),
            ];
            add_squared_products(&uses, extra, k, &mut f, &mut sums);
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
