//! Which basins the examples show, and which may be noise.
//!
//! Of a minimum m and the lower one e that its part joins, the barrier is how high the best way between the two cells must go above the
//! higher of them: `B = min over ways of the highest F on it, less max(F(m), F(e))`. On the surface as it was evaluated that is the persistence of m.
//! Every difference `F(k) - F(m)` lies within `critical · se` of what was found, all at once ([`Pairs`]); so the best way over all the
//! lower ends is a lower end of the barrier, and likewise above. Since a way may not be cheaper anywhere than its lower ends say, it does not
//! matter that minima were chosen for being low and saddles for being high.
//!
//! A basin is shown where the lower end is above 0: on every way there is a cell shown to be higher than both minima. Otherwise a way without
//! a rise cannot be excluded, and the basin may be noise.
//!
//! The pairs are of the cells that might be a minimum with other examples, [`candidates`], and all cells.

use rayon::prelude::*;

use super::{Field, Tree};
use crate::progress::Progress;
use crate::stats::pairs::Pairs;

/// A cell with a neighbour that is lower by more than so many standard errors is a minimum with no other examples.
const NEVER: f64 = 5.0;

/// What the examples say of a minimum's persistence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Barrier {
    /// Standard error of the saddle's value less the minimum's, these cells being given.
    pub se: f64,
    /// Ends of the interval of the barrier, for all minima together.
    pub low: f64,
    pub high: f64,
}

impl Barrier {
    /// Whether it is a barrier at all.
    pub fn is_shown(&self) -> bool {
        self.low > 0.0
    }
}

/// The cells that might be a minimum, had the examples been others.
pub fn candidates(field: &Field, pairs: &Pairs) -> Vec<usize> {
    let drop = |cell: usize, near: usize| field.values[cell] - field.values[near];
    let never = |cell: usize| {
        let mut near = field.around(cell).filter(|near| drop(cell, *near) > 0.0);
        near.any(|near| drop(cell, near) > NEVER * pairs.error(cell, near))
    };
    (0..field.values.len()).filter(|&cell| field.values[cell].is_finite() && !never(cell)).collect()
}

/// Of each minimum, in their order; none where nothing lower is reached.
pub fn barriers(field: &Field, tree: &Tree, pairs: &Pairs, critical: f64) -> Vec<Option<Barrier>> {
    let barrier = |number: usize| {
        let own = &tree.minima[number];
        let merge = own.merge?;
        let other = tree.minima[merge.into].cell;
        let [one, two] =
            [(own.cell, other), (other, own.cell)].map(|ends| rise(field, ends, pairs, critical));
        let se = pairs.error(merge.saddle, own.cell);
        // Above the higher one: the smaller of the two rises.
        Some(Barrier { se, low: one.0.min(two.0), high: one.1.min(two.1) })
    };
    let progress = Progress::new("intervals of barriers (minima)", tree.minima.len());
    let one = |number| {
        let barrier = barrier(number);
        progress.advance(1);
        barrier
    };
    (0..tree.minima.len()).into_par_iter().map(one).collect()
}

/// Ends of the rise from a cell on the best way to another.
pub(super) fn rise(field: &Field, (from, to): (usize, usize), pairs: &Pairs, critical: f64) -> (f64, f64) {
    let errors = pairs.errors(from);
    let end = |sign: f64| {
        let at = |(value, se): (&f64, &f64)| value - field.values[from] + sign * critical * se;
        let values: Vec<f64> = field.values.iter().zip(&errors).map(at).collect();
        Field { values: &values, ..*field }.pass(from, to).unwrap_or(f64::NAN)
    };
    (end(-1.0), end(1.0))
}
