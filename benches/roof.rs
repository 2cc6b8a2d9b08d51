//! The rate of this machine's matrix products, which no job that consists of them can pass.
//!
//! ```text
//! cargo bench --bench roof -- THREADS WIDTH   # GFLOP/s of [2048, WIDTH] by [WIDTH, 4 WIDTH]
//! ```
//!
//! `compare.py` beside this file takes shares of it.

use std::time::Instant;

use rayon::prelude::*;

/// Rows of the left matrix: about a batch's tokens.
const ROWS: usize = 2048;
/// Products that are timed; the fastest counts, as the least disturbed.
const TURNS: usize = 15;

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (threads, width) = (given.first().copied().unwrap_or(1), given.get(1).copied().unwrap_or(768));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let seconds = pool.install(|| (0..TURNS).map(|_| product(threads, width)).fold(f64::INFINITY, f64::min));
    println!("{:.1}", 2.0 * (ROWS * width * 4 * width) as f64 / seconds / 1e9);
}

/// Seconds of one product, the rows shared among the threads. Checked: every entry is the sum of `width` ones.
fn product(threads: usize, width: usize) -> f64 {
    let (columns, each) = (4 * width, ROWS.div_ceil(threads));
    let (a, b, mut out) = (vec![1f32; ROWS * width], vec![1f32; width * columns], vec![0f32; ROWS * columns]);
    let start = Instant::now();
    out.par_chunks_mut(each * columns).zip(a.par_chunks(each * width)).for_each(|(out, a)| {
        let (m, one) = (a.len() / width, gemm::Parallelism::None);
        // SAFETY: the three matrices are whole and row-major.
        unsafe {
            let (c, k) = (columns as isize, width as isize);
            gemm::gemm(
                m,
                columns,
                width,
                out.as_mut_ptr(),
                1,
                c,
                false,
                a.as_ptr(),
                1,
                k,
                b.as_ptr(),
                1,
                c,
                0.0,
                1.0,
                false,
                false,
                false,
                one,
            );
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    assert!(out.iter().all(|value| *value == width as f32));
    seconds
}
