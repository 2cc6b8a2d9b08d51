//! Work over threads: whole tasks first, the insides of the last ones when threads run out of tasks.
//!
//! A task in progress holds a batch's activations, so at most one is in progress on each thread: a thread that waits
//! inside a task never begins another one, as plain nested parallel loops would. How work is cut never changes a
//! result: tasks and the tiles inside them are fixed, and results come in order.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::Result;

/// Threads to a processor that are of any use: more wait for each other, and thousands for minutes.
const EACH: usize = 4;

/// The number of threads to work with, of those that were asked for: one for each processor, or at most four; eight may be asked
/// for anywhere.
pub fn number(wanted: Option<usize>) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or(processors, |wanted| wanted.min((EACH * processors).max(8)))
}

thread_local! {
    /// Tasks that no thread has begun, where this thread works on one of the same lot.
    static WAITING: RefCell<Option<Arc<AtomicUsize>>> = const { RefCell::new(None) };
}

/// The results of `task(0)..task(n)`, in order; tasks are begun from the last to the first (give the longest last).
///
/// # Errors
///
/// That of the first failed task, in order.
pub fn each<R: Send>(n: usize, task: impl Fn(usize) -> Result<R> + Sync) -> Result<Vec<R>> {
    let waiting = Arc::new(AtomicUsize::new(n));
    let take = || waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    let work = |_: rayon::BroadcastContext| {
        WAITING.set(Some(waiting.clone()));
        let mut done = Vec::new();
        while let Ok(left) = take() {
            done.push((left - 1, task(left - 1)));
        }
        WAITING.set(None);
        done
    };
    let mut done: Vec<(usize, Result<R>)> = rayon::broadcast(work).into_iter().flatten().collect();
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The least number of tiles to give to another thread: with tasks waiting there is none to spare.
pub fn grain() -> usize {
    let busy = WAITING.with_borrow(|waiting| waiting.as_ref().is_some_and(|w| w.load(Ordering::Relaxed) > 0));
    if busy { usize::MAX } else { 1 }
}

/// Values that one thread writes at a time.
const FILL: usize = 1 << 15;

/// So many zeros, written by all threads.
pub fn zeros(length: usize) -> Vec<f32> {
    filled(length, FILL, |_, _| {})
}

/// So many values, `each` of them at a time: `write(at, part)` writes a part, from place `at` on, that holds zeros so far and is still in
/// the thread's cache.
pub fn filled(length: usize, each: usize, write: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    let parts = values.spare_capacity_mut()[..length].par_chunks_mut(each.max(1)).enumerate();
    parts.with_min_len(grain()).for_each(|(i, part)| write(i * each, zeroed(part)));
    // SAFETY: the chunks cover the length, and each was written.
    unsafe { values.set_len(length) };
    values
}

/// Fresh memory, filled with zeros.
pub fn zeroed(part: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    part.fill(MaybeUninit::new(0.0));
    // SAFETY: every value was just written, and both have one layout.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [f32]) }
}

/// Fresh memory, filled with as many values.
pub fn written<'a>(part: &'a mut [MaybeUninit<f32>], values: &[f32]) -> &'a mut [f32] {
    assert_eq!(part.len(), values.len());
    part.iter_mut().zip(values).for_each(|(out, v)| *out = MaybeUninit::new(*v));
    // SAFETY: as above.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [f32]) }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::error::Error;

    /// Property: every task once, in order, whatever the number of threads; no more in progress than threads, also
    /// where tasks are parallel inside; the error is the first task's. Catches a task that is begun while another one
    /// waits for its insides.
    #[test]
    fn tasks_run_once_and_one_to_a_thread() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let task = |i: usize| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let inside = (0..64usize).into_par_iter().with_min_len(grain());
                    let sum: usize = inside.map(|j| i * std::hint::black_box(j)).sum();
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(sum)
                };
                let wanted: Vec<usize> = (0..40).map(|i| i * 64 * 63 / 2).collect();
                assert_eq!(each(40, task).unwrap(), wanted);
                assert!(most.into_inner() <= threads);
                let failing = |i: usize| match i {
                    3 | 7 => Err(Error::field("task", "number", "another", i, "none")),
                    _ => Ok(i),
                };
                assert!(each(9, failing).unwrap_err().to_string().contains('3'));
                assert_eq!(grain(), 1);
            });
        }
    }
}
