//! Whose labels enter a gradient: the data's, labels drawn from the model, or every class (docs/definitions.md section 1).
//!
//! Fisher information proper is an expectation over the model's own labels: `exact` takes it, `mc` samples it. The
//! paper's `empirical` uses the data's, and is another quantity (Kunstner, Balles, Hennig 2019). To an objective the
//! three differ in the labels and in what each weighs, so one forward pass serves them all.

use candle_core::Tensor;

use super::Reduction;
use crate::data::{Batch, Labels};
use crate::error::Result;
use crate::params;
use crate::rng::Stream;

/// Which labels enter the gradient.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// Those of the data: the paper's.
    #[default]
    Empirical,
    /// Drawn from the model: a sample of the Fisher information proper.
    Mc,
    /// Expectation over all classes: the Fisher information proper (classification only).
    Exact,
}

/// One way to estimate the diagonal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub estimator: Estimator,
    pub reduction: Reduction,
    /// Labels that `mc` draws for each target.
    pub samples: usize,
    pub seed: u64,
}

/// Labels for a batch's targets, and the weight of each target's loss.
pub struct Labelling {
    pub labels: Labels,
    /// `[M]`. The square of a weighted gradient counts: a label of probability p weighs √p.
    pub weights: Vec<f32>,
}

impl Estimate {
    /// The paper's estimator.
    pub fn empirical(reduction: Reduction) -> Estimate {
        Estimate { estimator: Estimator::Empirical, reduction, samples: 1, seed: 0 }
    }

    /// The labellings whose squared gradients, added, make an example's share of F. `scores` gives the model's at the
    /// targets (`[M, C]`, or `[M]` of a regression), where they are asked for; `numbers` say which example of the set
    /// each of the batch is: what is drawn for it does not depend on its neighbours.
    pub fn labellings(
        &self,
        batch: &Batch,
        scores: impl FnOnce() -> Result<Tensor>,
        numbers: &[usize],
    ) -> Result<Vec<Labelling>> {
        let owners = &batch.targets.owners;
        let reduced = self.reduced(batch.len(), owners);
        let scaled = |w: f64| reduced.iter().map(|r| (w * f64::from(*r)) as f32).collect::<Vec<f32>>();
        match self.estimator {
            Estimator::Empirical => Ok(self.of_the_data(batch).into_iter().collect()),
            Estimator::Mc => {
                let (scores, weight) = (scores()?, 1.0 / (self.samples as f64).sqrt());
                let stream = Stream::new(self.seed, "fisher/labels");
                let draw = |k: usize| -> Result<Labelling> {
                    let mut place = Places::new(owners, numbers, stream, k, self.samples);
                    let labels = match &batch.targets.labels {
                        Labels::Ends(_) => drawn_spans(&scores, &batch.offsets, || place.next())?,
                        labels => drawn(labels, &scores, || place.next())?,
                    };
                    Ok(Labelling { labels, weights: scaled(weight) })
                };
                (0..self.samples).map(draw).collect()
            }
            Estimator::Exact => {
                let p = probabilities(&scores()?)?;
                let classes = p.first().map_or(0, Vec::len);
                let labelling = |label: &dyn Fn(&Vec<f64>) -> usize, square: &dyn Fn(f64) -> f64| {
                    let labels: Vec<usize> = p.iter().map(label).collect();
                    let own = |((p, label), r): ((&Vec<f64>, &usize), &f32)| {
                        (square(p[*label]).sqrt() * f64::from(*r)) as f32
                    };
                    let weights = p.iter().zip(&labels).zip(&reduced).map(own).collect();
                    let labels = labels.into_iter().map(|label| label as u32).collect();
                    Labelling { labels: Labels::Classes(labels), weights }
                };
                if classes == 2 {
                    // The gradients of both labels are multiples of one vector u: (1 - p) u, and p u the other way. So
                    // p₀ g₀² + p₁ g₁² = p₀ p₁ u², and one pass will do; the rarer label's, for 1 - p to be divided by.
                    let rarer = |p: &Vec<f64>| usize::from(p[1] < p[0]);
                    return Ok(vec![labelling(&rarer, &|p| p / (1.0 - p))]);
                }
                Ok((0..classes).map(|c| labelling(&move |_| c, &|p| p)).collect())
            }
        }
    }

    /// The only labelling of an estimate that takes the data's labels; none of another, which needs scores.
    pub fn of_the_data(&self, batch: &Batch) -> Option<Labelling> {
        let weights = || self.reduced(batch.len(), &batch.targets.owners);
        let labelling = || Labelling { labels: batch.targets.labels.clone(), weights: weights() };
        (self.estimator == Estimator::Empirical).then(labelling)
    }

    /// What the reduction makes of each target's loss.
    fn reduced(&self, examples: usize, owners: &[usize]) -> Vec<f32> {
        let mut targets = vec![0usize; examples];
        owners.iter().for_each(|&b| targets[b] += 1);
        let weight = |&b: &usize| match self.reduction {
            Reduction::Mean => 1.0 / targets[b] as f32,
            Reduction::Sum => 1.0,
        };
        owners.iter().map(weight).collect()
    }
}

/// A random stream and index for each target in turn: by the example's number and the target's place in it.
struct Places<'a> {
    owners: std::slice::Iter<'a, usize>,
    numbers: &'a [usize],
    stream: Stream,
    draw: usize,
    draws: usize,
    /// Owner of the last target, and how many of its targets there were.
    last: Option<(usize, usize)>,
}

impl<'a> Places<'a> {
    fn new(owners: &'a [usize], numbers: &'a [usize], stream: Stream, draw: usize, draws: usize) -> Self {
        Places { owners: owners.iter(), numbers, stream, draw, draws, last: None }
    }

    /// There is one for every target.
    fn next(&mut self) -> (Stream, u64) {
        let owner = self.owners.next().copied().unwrap_or_default();
        let place = match self.last {
            Some((last, place)) if last == owner => place + 1,
            _ => 0,
        };
        self.last = Some((owner, place));
        let number = self.numbers.get(owner).copied().unwrap_or(owner);
        (self.stream.at(number as u64), (place * self.draws + self.draw) as u64)
    }
}

/// Labels from the model: of a softmax by inversion; of a regression `f + e` with `Var e = 1/2`, the likelihood whose
/// negative logarithm is the squared error up to a constant.
fn drawn(data: &Labels, scores: &Tensor, mut place: impl FnMut() -> (Stream, u64)) -> Result<Labels> {
    if let Labels::Values(_) = data {
        let draw = |f: &f32| {
            let (stream, i) = place();
            (f64::from(*f) + stream.normal(i) * 0.5f64.sqrt()) as f32
        };
        return Ok(Labels::Values(params::with_values(scores, |f| f.iter().map(draw).collect())?));
    }
    let (_, classes) = scores.dims2()?;
    let draw = |logits: &[f32]| {
        let (stream, i) = place();
        inverted(logits, stream.uniform(i))
    };
    let labels = params::with_values(scores, |s| s.chunks_exact(classes).map(draw).collect())?;
    Ok(Labels::Classes(labels))
}

/// The class at which the cumulated softmax passes `u`.
fn inverted(logits: &[f32], u: f64) -> u32 {
    let p = softmax(logits);
    let mut sum = 0.0;
    let hit = p.iter().position(|p| {
        sum += p;
        u < sum
    });
    // Rounding may leave the sum a little below 1.
    hit.unwrap_or(p.len() - 1) as u32
}

/// Spans from the model, whose ends are independent: each by its own softmax over the example's tokens.
fn drawn_spans(
    scores: &Tensor,
    offsets: &[usize],
    mut place: impl FnMut() -> (Stream, u64),
) -> Result<Labels> {
    let spans = params::with_values(scores, |s| {
        let draw = |span: &[usize]| {
            let (stream, i) = place();
            [0, 1].map(|end| {
                let logits: Vec<f32> = (span[0]..span[1]).map(|token| s[2 * token + end]).collect();
                inverted(&logits, stream.uniform(2 * i + end as u64))
            })
        };
        offsets.windows(2).map(draw).collect()
    })?;
    Ok(Labels::Ends(spans))
}

/// `softmax` of each row, in double precision: `[M][C]`.
fn probabilities(scores: &Tensor) -> Result<Vec<Vec<f64>>> {
    let (_, classes) = scores.dims2()?;
    params::with_values(scores, |s| s.chunks_exact(classes).map(softmax).collect())
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let e: Vec<f64> = logits.iter().map(|l| libm::exp(f64::from(*l - most))).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}
