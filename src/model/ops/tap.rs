//! Where squared gradients of parameters go, where they arise.

use std::collections::BTreeMap;
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
    /// For a weight that a table shares: gradient at the output and input are left here instead.
    pub deferred: Option<Deferred>,
    /// For parameters that several operations have in common: what they leave here is squared once all have.
    pub shared: Option<Arc<Mutex<Shared>>>,
}

/// Gradient at the output and input of an operation.
pub type Deferred = Arc<Mutex<Option<(Tensor, Tensor)>>>;

/// One use of a linear map.
pub struct Use {
    /// Gradient at the output `[rows, n]`, and the input `[rows, k]`.
    pub g: Tensor,
    pub x: Tensor,
    /// Rows of each example: `[B + 1]`.
    pub spans: Arc<Vec<usize>>,
}

/// What operations leave that have parameters in common, whose gradients add before they are squared.
#[derive(Default)]
pub struct Shared {
    /// Each example's gradient of vectors, stacked, added up: `[B, n]` by their names.
    vectors: BTreeMap<Vec<String>, Tensor>,
    /// Linear maps by their weights' names: a tap, and each use.
    products: BTreeMap<Vec<String>, (Tap, Vec<Use>)>,
}

impl Shared {
    pub fn add_vectors(&mut self, names: &[String], gradients: Tensor) -> Result<()> {
        if names.is_empty() {
            return Ok(()); // of maps without a bias
        }
        let sum = match self.vectors.remove(names) {
            Some(sum) => (sum + gradients)?,
            None => gradients,
        };
        self.vectors.insert(names.to_vec(), sum);
        Ok(())
    }

    fn add_product(&mut self, tap: &Tap, own: Use) {
        let alone = || (Tap { shared: None, ..tap.clone() }, Vec::new());
        self.products.entry(tap.weights.clone()).or_insert_with(alone).1.push(own);
    }

    /// Vectors by their names, each example's gradient in one piece.
    pub fn vectors(&mut self) -> BTreeMap<Vec<String>, Tensor> {
        std::mem::take(&mut self.vectors)
    }

    /// Linear maps with all of their uses.
    pub fn products(&mut self) -> impl Iterator<Item = (Tap, Vec<Use>)> {
        std::mem::take(&mut self.products).into_values()
    }
}

impl Tap {
    pub fn squares(&self) -> Result<MutexGuard<'_, Squares>> {
        self.squares.lock().or_else(|_| bail!("squared gradients: poisoned lock"))
    }

    pub fn examples(&self) -> usize {
        self.spans.len() - 1
    }

    /// What operations have left that share parameters, if these do.
    pub fn shared(&self) -> Result<Option<MutexGuard<'_, Shared>>> {
        let shared = self.shared.as_ref().map(|shared| shared.lock());
        shared.transpose().or_else(|_| bail!("squared gradients: poisoned lock"))
    }

    /// One use of its linear map.
    pub fn used(&self, g: &Tensor, x: &Tensor) -> Use {
        Use { g: g.clone(), x: x.clone(), spans: self.spans.clone() }
    }

    /// Leaves the gradient at the output `g` `[rows, n]` and the input `x` `[rows, k]`, if others share the weight; says whether it has.
    pub fn defers(&self, g: &Tensor, x: &Tensor) -> Result<bool> {
        if let Some(deferred) = &self.deferred {
            let mut slot = deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?;
            *slot = Some((g.clone(), x.clone()));
            return Ok(true);
        }
        let shared = self.shared()?;
        Ok(shared.map(|mut shared| shared.add_product(self, self.used(g, x))).is_some())
    }

    /// What was left, once.
    pub fn left(&self) -> Result<Option<(Tensor, Tensor)>> {
        let Some(deferred) = &self.deferred else { return Ok(None) };
        Ok(deferred.lock().or_else(|_| bail!("squared gradients: poisoned lock"))?.take())
    }
}
