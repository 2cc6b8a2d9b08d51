//! Multiplicative noise with mean 1: Bernoulli dropout and Gaussian dropout.
//!
//! Bernoulli: 0 with probability p, else 1/(1 - p). Gaussian: N(1, p/(1 - p)), where p/(1 - p) is the VARIANCE. Both have
//! variance p/(1 - p) (Srivastava et al. 2014, section 10). Draws are a pure function of (seed, site, step, index of the
//! value), so neither threads nor the cutting of a batch change them.
//!
//! The trap, into which the paper's code fell: p/(1 - p) as the STANDARD DEVIATION, at p = 0.1 a ninth of the variance.
//! [`Kind::PaperGaussian`] is that, for repeating its runs, with the two other things that its code does: the noise stays
//! on in evaluation, and it takes the place of the head's dropout too (docs/definitions.md section 3).

use std::fmt::Display;

use super::places::Place;
use super::rates::Rates;
use crate::rng::Stream;

/// The kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bernoulli,
    Gaussian,
    /// N(1, (p/(1 - p))²), at the head too, and in evaluation.
    PaperGaussian,
}

/// Dropout of a training run.
#[derive(Clone, Debug)]
pub struct Dropout {
    pub kind: Kind,
    pub rates: Rates,
    /// Drop probability in front of the classifier: Bernoulli and the same in all arms, but for the paper's Gaussian noise.
    pub head: f64,
    pub seed: u64,
}

impl Dropout {
    /// The noise of a site at a training step, drawn under the name `at`, which is its own unless several places share its
    /// rate; `None` where that is 0.
    pub fn noise(&self, place: Place, at: impl Display, step: u64) -> Option<Noise> {
        let (kind, p) = match (place, self.kind) {
            (Place::HEAD, Kind::PaperGaussian) => (self.kind, self.head),
            (Place::HEAD, _) => (Kind::Bernoulli, self.head),
            _ => (self.kind, self.rates.get(place)),
        };
        let stream = Stream::new(self.seed, &format!("dropout/{at}")).at(step);
        (p > 0.0).then_some(Noise { kind, p, stream })
    }

    /// Whether the noise stays on in evaluation.
    pub fn in_evaluation(&self) -> bool {
        self.kind == Kind::PaperGaussian
    }
}

/// The noise of one site at one step.
#[derive(Clone, Copy)]
pub struct Noise {
    pub kind: Kind,
    /// Drop probability, in (0, 1).
    pub p: f64,
    pub stream: Stream,
}

impl Noise {
    /// Factors for the values `first..first + out.len()` of the site.
    pub fn fill(&self, first: u64, out: &mut [f32]) {
        let (gaussian, p, scale) = self.numbers();
        if gaussian {
            self.stream.fill_normal(first, out);
            out.iter_mut().for_each(|v| *v = 1.0 + scale * *v);
        } else {
            self.stream.fill_uniform(first, out);
            out.iter_mut().for_each(|v| *v = if *v < p { 0.0 } else { scale });
        }
    }

    /// Whether it is Gaussian; the drop probability; the standard deviation, or what a kept value is multiplied by.
    pub fn numbers(&self) -> (bool, f32, f32) {
        let (p, variance) = (self.p as f32, self.p / (1.0 - self.p));
        match self.kind {
            Kind::Bernoulli => (false, p, (1.0 / (1.0 - self.p)) as f32),
            Kind::Gaussian => (true, p, variance.sqrt() as f32),
            Kind::PaperGaussian => (true, p, variance as f32),
        }
    }
}
