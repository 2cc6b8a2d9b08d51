//! Where squared gradients of parameters go, where they arise.

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{Result, Tensor, bail};

use crate::model::squares::Squares;

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
    /// Whether the weights are stored `[in, out]`; then there is one.
    pub transposed: bool,
    /// For a weight that another operation shares: gradient at the output and input are left here instead.
    pub deferred: Option<Deferred>,
}

/// Gradient at the output and input of an operation.
pub type Deferred = Arc<Mutex<Option<(Tensor, Tensor)>>>;

impl Tap {
    pub fn squares(&self) -> Result<MutexGuard<'_, Squares>> {
        self.squares.lock().or_else(|_| bail!("squared gradients: poisoned lock"))
    }

    pub fn examples(&self) -> usize {
        self.spans.len() - 1
    }

    /// Leaves the gradient at the output `g` `[rows, n]` and the input `x` `[rows, k]` for the operation that shares the
    /// weight; says whether there is one.
    pub fn defers(&self, g: &Tensor, x: &Tensor) -> Result<bool> {
        let Some(deferred) = &self.deferred else { return Ok(false) };
        let mut slot = deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?;
        *slot = Some((g.clone(), x.clone()));
        Ok(true)
    }

    /// What was left, once.
    pub fn left(&self) -> Result<Option<(Tensor, Tensor)>> {
        let Some(deferred) = &self.deferred else { return Ok(None) };
        Ok(deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?.take())
    }
}
