//! The order of training: every example once an epoch, batches of similar length, all by the seed.

use crate::data::Example;
use crate::rng::Stream;

/// Batches among which examples are sorted by length: even work, still a different batch each epoch.
const WINDOW: usize = 16;

/// The batches of an epoch, as indices into `examples`: shuffled, sorted by length within windows, cut, shuffled.
pub fn epoch(examples: &[Example], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut order = Stream::new(seed, "train/order").at(epoch).permutation(examples.len());
    order
        .chunks_mut(batch.saturating_mul(WINDOW))
        .for_each(|window| window.sort_by_key(|&n| examples[n].size()));
    let batches: Vec<&[usize]> = order.chunks(batch).collect();
    let shuffled = Stream::new(seed, "train/batches").at(epoch).permutation(batches.len());
    shuffled.into_iter().map(|i| batches[i].to_vec()).collect()
}

/// Tokens of the longest batches, about: each window has one of its longest examples.
pub fn longest_tokens(examples: &[Example], batch: usize) -> usize {
    let mut lengths: Vec<usize> = examples.iter().map(Example::size).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.truncate(examples.len().div_ceil(WINDOW).max(batch));
    lengths.iter().sum::<usize>() * batch.min(lengths.len()) / lengths.len().max(1)
}

/// The batch of any step: epoch after epoch.
pub struct Order<'a> {
    examples: &'a [Example],
    batch: usize,
    seed: u64,
    /// The epoch that was asked for last, and its batches.
    current: Option<(usize, Vec<Vec<usize>>)>,
}

impl<'a> Order<'a> {
    pub fn new(examples: &'a [Example], batch: usize, seed: u64) -> Order<'a> {
        Order { examples, batch, seed, current: None }
    }

    /// Indices of the examples of `step`, counted from 0.
    pub fn at(&mut self, step: usize) -> Vec<usize> {
        let each = self.examples.len().div_ceil(self.batch).max(1);
        let wanted = step / each;
        let batches = match self.current.take() {
            Some((own, batches)) if own == wanted => batches,
            _ => epoch(self.examples, self.batch, self.seed, wanted as u64),
        };
        let members = batches.get(step % each).cloned().unwrap_or_default();
        self.current = Some((wanted, batches));
        members
    }
}
