//! Multiplicative noise with mean 1: Bernoulli dropout and Gaussian dropout.
//!
//! Bernoulli: 0 with probability p, else 1/(1 - p). Gaussian: N(1, p/(1 - p)), where p/(1 - p) is the VARIANCE
//! (the paper's code uses it as the standard deviation). Both have variance p/(1 - p). Draws are a pure function of
//! (seed, site, step, index of the value), so neither threads nor the cutting of a batch change them.

use super::rates::Rates;
use super::site::Site;
use crate::rng::Stream;

/// The kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bernoulli,
    Gaussian,
}

/// Dropout of a training run.
#[derive(Clone, Debug)]
pub struct Dropout {
    pub kind: Kind,
    pub rates: Rates,
    /// Bernoulli drop probability in front of the classifier, the same in all arms.
    pub head: f64,
    pub seed: u64,
}

impl Dropout {
    /// The noise of a site at a training step; `None` where its rate is 0.
    pub fn noise(&self, site: Site, step: u64) -> Option<Noise> {
        let (kind, p) = match site {
            Site::Head => (Kind::Bernoulli, self.head),
            _ => (self.kind, self.rates.get(site)),
        };
        let stream = Stream::new(self.seed, &format!("dropout/{site}")).at(step);
        (p > 0.0).then_some(Noise { kind, p, stream })
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
        match self.kind {
            Kind::Bernoulli => {
                let (p, kept) = (self.p as f32, (1.0 / (1.0 - self.p)) as f32);
                self.stream.fill_uniform(first, out);
                out.iter_mut().for_each(|v| *v = if *v < p { 0.0 } else { kept });
            }
            Kind::Gaussian => {
                let sd = (self.p / (1.0 - self.p)).sqrt() as f32;
                self.stream.fill_normal(first, out);
                out.iter_mut().for_each(|v| *v = 1.0 + sd * *v);
            }
        }
    }
}
