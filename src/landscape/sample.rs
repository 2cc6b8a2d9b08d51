//! Points of a surface on only as many examples as their difference from the centre needs (docs/definitions.md section 4).
//!
//! Every point shares its examples with the centre, so the difference of their losses is known example by example. It varies much
//! less than the losses do, least of all near the centre: a few examples suffice there. Examples come in one random order, the
//! same at every point, in whole draws: a question with its windows, an article with its lines. At fixed numbers of draws a point
//! stops if the standard error of its difference is below the tolerance. So a point depends only on its own losses and the
//! centre's, not on other points or on threads.
//!
//! The trap: a point stops where its standard error happens to be small, so the errors that are written are a little too small.

use crate::data::{self, Example};
use crate::evaluate::SetLoss;
use crate::rng::Stream;
use crate::stats::clusters::Clusters;

/// Draws before the first check: a standard error over 32 normal numbers is itself known to 13 %.
pub const FIRST: usize = 32;

/// Further draws come in multiples of this, so that batches are full where each example is a draw.
const STEP: usize = 16;

/// A point less the centre, in the unit of the loss.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    pub value: f64,
    pub se: f64,
}

/// How examples are drawn, and what is known of them at the centre.
pub struct Sample<'a> {
    pub tolerance: f64,
    examples: &'a [Example],
    /// Indices of the examples of each block, shortest first.
    pub blocks: Vec<Vec<usize>>,
    /// Loss at the centre, on all examples.
    centre: f64,
    /// `s_n` there, of each example; not a number without a target.
    sums: Vec<f64>,
    /// Draws of the data among all examples.
    draws: f64,
}

impl<'a> Sample<'a> {
    /// `centre`: the loss of all examples at (0, 0).
    pub fn new(tolerance: f64, examples: &'a [Example], seed: u64, centre: &SetLoss) -> Sample<'a> {
        let used: Vec<usize> = centre.known().collect();
        let mut sums = vec![f64::NAN; examples.len()];
        used.iter().zip(&centre.by_example).for_each(|(&n, (sum, _))| sums[n] = *sum);
        let clusters = data::clusters(used.iter().map(|&n| &examples[n]));
        let draws = clusters.groups().unwrap_or(used.len());
        let blocks = blocks(examples, &used, &clusters, &Stream::new(seed, "surface/examples"));
        Sample { tolerance, examples, blocks, centre: centre.loss, sums, draws: draws as f64 }
    }

    /// Whether the examples that are known at a point suffice.
    pub fn is_enough(&self, at: &SetLoss) -> bool {
        self.difference(at).se < self.tolerance
    }

    /// The point less the centre, over the examples that are known at the point.
    pub fn difference(&self, at: &SetLoss) -> Difference {
        let both = at.known().zip(&at.by_example);
        let (sums, targets): (Vec<f64>, Vec<f64>) = both.map(|(n, (s, m))| (s - self.sums[n], *m)).unzip();
        let value = sums.iter().sum::<f64>() / targets.iter().sum::<f64>();
        Difference { value, se: self.clusters(at).ratio_se(&sums, &targets) }
    }

    /// Loss and standard error at a point: the centre's loss on all examples plus the difference on the known ones. Where all are
    /// known it is the plain loss.
    ///
    /// `se² = g/G se_known² + (1 - g/G) se_difference²` with g of G draws known: the error that all examples would leave,
    /// estimated from the known ones, plus that of not having all for the difference.
    pub fn loss(&self, at: &SetLoss, difference: &Difference) -> (f64, f64) {
        let share = self.clusters(at).groups().unwrap_or(at.examples) as f64 / self.draws;
        match share < 1.0 {
            true => {
                let squares = share * at.loss_se.powi(2) + (1.0 - share) * difference.se.powi(2);
                (self.centre + difference.value, squares.sqrt())
            }
            false => (at.loss, at.loss_se),
        }
    }

    fn clusters(&self, at: &SetLoss) -> Clusters {
        data::clusters(at.known().map(|n| &self.examples[n]))
    }
}

/// The examples in random order, draw by draw, cut after 32, 48, 80, 128, 192, .. draws: about half as many again each time.
fn blocks(examples: &[Example], used: &[usize], clusters: &Clusters, stream: &Stream) -> Vec<Vec<usize>> {
    let mut members: Vec<Vec<usize>> = match clusters.numbers() {
        None => used.iter().map(|&n| vec![n]).collect(),
        Some(numbers) => {
            let mut members = vec![Vec::new(); clusters.groups().unwrap_or(0)];
            numbers.iter().zip(used).for_each(|(&group, &n)| members[group as usize].push(n));
            members
        }
    };
    let order: Vec<Vec<usize>> = stream
        .permutation(members.len())
        .into_iter()
        .map(|group| std::mem::take(&mut members[group]))
        .collect();
    let (mut blocks, mut known) = (Vec::new(), 0);
    while known < order.len() {
        let more = if known == 0 { FIRST } else { (known / 2).next_multiple_of(STEP) };
        let mut block: Vec<usize> = order.iter().skip(known).take(more).flatten().copied().collect();
        // Batches of neighbours are of similar length.
        block.sort_by_key(|&n| (examples[n].size(), n));
        blocks.push(block);
        known += more;
    }
    blocks
}
