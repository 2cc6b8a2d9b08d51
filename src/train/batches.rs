//! The order of training: every example once an epoch, batches of similar length, all by the seed.

use crate::data::Example;
use crate::rng::Stream;

/// Batches among which examples are sorted by length: little padding, still a different batch each epoch.
const WINDOW: usize = 16;

/// The batches of an epoch, as indices into `examples`: shuffled, sorted by length within windows, cut, shuffled.
pub fn epoch(examples: &[Example], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut order = Stream::new(seed, "train/order").at(epoch).permutation(examples.len());
    order
        .chunks_mut(batch.saturating_mul(WINDOW))
        .for_each(|window| window.sort_by_key(|&n| examples[n].len()));
    let batches: Vec<&[usize]> = order.chunks(batch).collect();
    let shuffled = Stream::new(seed, "train/batches").at(epoch).permutation(batches.len());
    shuffled.into_iter().map(|i| batches[i].to_vec()).collect()
}
