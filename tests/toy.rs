//! Objectives whose answers are known on paper.

use candle_core::{Device, Tensor};
use fisherscape::Result;
use fisherscape::data::{Batch, Example, Labels, Target};
use fisherscape::model::{Objective, Outputs, Reached};
use fisherscape::params::{self, ParamMap};

/// Softmax regression on features looked up by token id: `logits_c = Σ_j w_cj x_j + shift`.
///
/// Parameters: `weight` `[C, D]`; `shift` `[1]`, the same for every class and so without effect on the loss; `idle`
/// `[2]`, which the loss does not contain at all.
pub struct SoftmaxRegression {
    /// Row v holds the features of token v. `[V, D]`
    pub features: Tensor,
    /// Parameters declared as reached by no example.
    pub unreached: Vec<&'static str>,
}

impl SoftmaxRegression {
    pub fn new<const V: usize, const D: usize>(features: &[[f32; D]; V]) -> Result<SoftmaxRegression> {
        Ok(SoftmaxRegression { features: Tensor::new(features, &Device::Cpu)?, unreached: vec!["shift"] })
    }
}

impl Objective for SoftmaxRegression {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        let Labels::Classes(labels) = &batch.targets.labels else { panic!("softmax regression has classes") };
        let ids: Vec<u32> = batch.targets.rows.iter().map(|&row| batch.ids[row as usize]).collect();
        let x = self.features.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let logits = x.matmul(&theta["weight"].t()?)?.broadcast_add(&theta["shift"])?;
        let labels = Tensor::new(labels.as_slice(), &Device::Cpu)?.unsqueeze(1)?;
        // The logits of these tests are small: no overflow to guard against.
        let losses = (logits.exp()?.sum(1)?.log()? - logits.gather(&labels, 1)?.squeeze(1)?)?;
        Ok(Outputs { losses, scores: logits.detach() })
    }

    fn reached(&self, name: &str, _: &[&Example]) -> Reached {
        if self.unreached.contains(&name) { Reached::Rows(Default::default()) } else { Reached::All }
    }
}

/// `w x`, squared error, where x is the id of the token that is read.
pub struct Line;

impl Objective for Line {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        let Labels::Values(values) = &batch.targets.labels else { panic!("a line has values") };
        let x: Vec<f32> = batch.targets.rows.iter().map(|&row| batch.ids[row as usize] as f32).collect();
        let f = Tensor::new(x, &Device::Cpu)?.broadcast_mul(&theta["w"])?;
        let losses = (&f - Tensor::new(values.as_slice(), &Device::Cpu)?)?.sqr()?;
        Ok(Outputs { losses, scores: f.detach() })
    }
}

/// Parameters of a softmax regression.
pub fn theta<const C: usize, const D: usize>(weight: &[[f32; D]; C]) -> Result<ParamMap> {
    Ok(ParamMap::from([
        ("weight".to_string(), Tensor::new(weight, &Device::Cpu)?),
        ("shift".to_string(), Tensor::new(&[0.25f32], &Device::Cpu)?),
        ("idle".to_string(), Tensor::new(&[1f32, 2.0], &Device::Cpu)?),
    ]))
}

/// One token and its class.
pub fn classified(id: u32, class: u32) -> Example {
    Example { ids: vec![id], types: vec![0], target: Target::class(class), group: None, window: None }
}

/// Tokens that are all targets, each with its class; none for an example without target.
pub fn labelled(tokens: &[(u32, u32)]) -> Example {
    let targets = (0..).zip(tokens).map(|(position, (_, class))| (position, *class));
    let ids: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
    // An example without target still has a token.
    let ids = if ids.is_empty() { vec![0] } else { ids };
    Example { types: vec![0; ids.len()], ids, target: Target::at(targets), group: None, window: None }
}

/// `½ wᵀ H w` whatever the data, where w is every parameter, in name order.
pub struct Quadratic {
    pub h: Vec<Vec<f64>>,
}

impl Quadratic {
    /// A symmetric H without further symmetry, of order n.
    pub fn new(n: usize) -> Quadratic {
        let entry =
            |i: usize, j: usize| (1.0 + (i * j) as f64).cos() + if i == j { 2.0 + i as f64 } else { 0.0 };
        Quadratic { h: (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect() }
    }

    /// The loss in double precision, and the sum of its terms' magnitudes, by which rounding errors are measured.
    pub fn value(&self, w: &[f64]) -> (f64, f64) {
        let terms =
            self.h.iter().zip(w).flat_map(|(h, a)| h.iter().zip(w).map(move |(h, b)| 0.5 * a * h * b));
        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
    }
}

impl Objective for Quadratic {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        let n = self.h.len();
        let flat: Vec<Tensor> =
            theta.values().map(Tensor::flatten_all).collect::<candle_core::Result<_>>()?;
        let w = Tensor::cat(&flat, 0)?.reshape((1, n))?;
        let h: Vec<f32> = self.h.iter().flatten().map(|h| *h as f32).collect();
        let loss = (w.matmul(&Tensor::from_vec(h, (n, n), &Device::Cpu)?)?.matmul(&w.t()?)? * 0.5)?;
        let losses = loss.reshape(1)?.broadcast_as(batch.targets.rows.len())?.contiguous()?;
        Ok(Outputs { scores: losses.detach(), losses })
    }
}

/// All values in name order.
pub fn flat(theta: &ParamMap) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    for tensor in theta.values() {
        params::with_values(tensor, |v| values.extend(v.iter().map(|v| f64::from(*v))))?;
    }
    Ok(values)
}
