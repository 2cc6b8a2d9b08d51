//! Gradients of linear maps' weights, kept where they arise.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor, bail};

use super::kernels::{self, View};
use super::{Tap, with};

/// Where the gradients of an operation's weight go, if not to candle: its backward pass adds every gradient to zeros of its
/// own, which costs three passes over all the weights.
pub enum Outlet {
    /// Squared, example by example, and those of the bias too.
    Tap(Tap),
    /// As they are.
    Sink(Sink),
}

/// Gradients by parameter name, each in the parameter's own order.
pub type Sunk = Arc<Mutex<BTreeMap<String, Vec<f32>>>>;

/// Where the gradient of one operation's weight goes.
pub struct Sink {
    pub sunk: Sunk,
    /// The weights, stacked by rows; none where nobody asks for a gradient.
    pub weights: Vec<Option<String>>,
    /// Whether the weights are stored `[in, out]`; then there is one.
    pub transposed: bool,
}

impl Sink {
    /// Adds `gᵀ x`, `g` `[rows, n]` and `x` `[rows, k]`, split evenly over the weights.
    pub fn add_product(&self, g: &Tensor, x: &Tensor) -> Result<()> {
        let ((rows, n), k) = (g.dims2()?, x.dim(1)?);
        let each = n / self.weights.len().max(1);
        with(g, |g| {
            with(x, |x| {
                let (g, x) = (View::rows(g, n), View::rows(x, k));
                for (i, name) in self.weights.iter().enumerate() {
                    let Some(name) = name else { continue };
                    match self.transposed {
                        true => self.add(name, (k, n, rows), x.t(), g)?,
                        false => self.add(name, (each, k, rows), g.from(0, i * each).t(), x)?,
                    }
                }
                Ok(())
            })
        })
    }

    fn add(&self, name: &str, size: (usize, usize, usize), a: View, b: View) -> Result<()> {
        let Ok(mut sunk) = self.sunk.lock() else { bail!("gradients: poisoned lock") };
        match sunk.entry(name.to_string()) {
            Entry::Vacant(place) => {
                place.insert(kernels::fresh_product(size, a, b));
            }
            // A weight of several layers.
            Entry::Occupied(mut sum) => kernels::product(size, sum.get_mut(), true, a, b),
        }
        Ok(())
    }
}
