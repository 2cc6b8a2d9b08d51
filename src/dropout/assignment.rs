//! Which site gets which of a schedule's rates: guided dropout, and the controls that it is to be compared with.
//!
//! With rates `p_(0) >= ... >= p_(S-1)`, of which guided dropout gives `p_(k)` to the site of rank k (0 = lowest Fisher
//! information): matched gives every site the mean `Σ p / S`; reversed gives `p_(S-1-k)` to the site of rank k, so that the
//! most important site drops most; shuffled gives `p_(π(i))` to the i-th site in model order, π a random permutation. All
//! four have the same mean rate. So have two rules without data (docs/definitions.md section 3), which give `p_(k)` to the k-th
//! site of an order that every model of a shape shares. What guided dropout gains over matched comes from unequal rates, over shuffled from which
//! site has which, over reversed from the direction, over a rule from what the data say beyond the architecture. (Sharma et al. 2024 compare with a uniform arm of twice the mean.)
//!
//! The trap: the K-th shuffle is a function of K and S alone. Drawn by the seed of the run, it would be another arm at every
//! seed; a permutation of the guided rates in place of the sorted ones would depend on the ranking it is a control for.

use std::fmt;
use std::str::FromStr;

use super::places::Place;
use super::rates::Rates;
use crate::rng::Stream;

/// How the rates of a schedule are given to the sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// As the schedule says: least important, most dropout.
    Guided,
    /// The mean rate at every site.
    Matched,
    /// The rates exchanged by rank: most important, most dropout.
    Reversed,
    /// The rates at random sites, the K-th shuffle.
    Shuffled(u64),
    /// The rates falling from the embeddings to the last layer: no data.
    ByDepth,
    /// The rates falling from attention probabilities by layer over outputs to the embeddings: no data.
    ByType,
}

impl Assignment {
    /// The rates of this arm; `None` for [`Assignment::Reversed`] of a schedule whose ranks are not 0 to S - 1, each once.
    pub fn of(self, schedule: &Rates) -> Option<Rates> {
        match self {
            Assignment::Guided => Some(schedule.clone()),
            Assignment::Matched => {
                let mean = schedule.mean();
                Some(schedule.with(|_| mean))
            }
            Assignment::Reversed => schedule.reversed(),
            Assignment::Shuffled(k) => {
                let sites = schedule.iter().count();
                let order = Stream::new(0, "dropout/shuffled rates").at(k).permutation(sites);
                Some(falling(schedule, &order))
            }
            Assignment::ByDepth => Some(falling(schedule, &places(schedule, Place::order))),
            Assignment::ByType => Some(falling(schedule, &places(schedule, Place::order_by_type))),
        }
    }
}

/// The rates of a schedule, the i-th site with the `order[i]`-th highest.
fn falling(schedule: &Rates, order: &[usize]) -> Rates {
    let mut falling: Vec<f64> = schedule.iter().map(|(_, p)| p).collect();
    falling.sort_by(|a, b| b.total_cmp(a));
    schedule.with(|i| falling[order[i]])
}

/// Of each site, how many stand before it in an order.
fn places(schedule: &Rates, order: fn(Place) -> (usize, usize)) -> Vec<usize> {
    let keys: Vec<(usize, usize)> = schedule.iter().map(|(site, _)| order(site)).collect();
    keys.iter().map(|own| keys.iter().filter(|other| *other < own).count()).collect()
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Assignment, String> {
        match (text, text.strip_prefix("shuffled:").map(str::parse)) {
            ("guided", _) => Ok(Assignment::Guided),
            ("matched", _) => Ok(Assignment::Matched),
            ("reversed", _) => Ok(Assignment::Reversed),
            ("shuffled", _) => Ok(Assignment::Shuffled(0)),
            (_, Some(Ok(k))) => Ok(Assignment::Shuffled(k)),
            ("by-depth", _) => Ok(Assignment::ByDepth),
            ("by-type", _) => Ok(Assignment::ByType),
            _ => Err("expected guided, matched, reversed, shuffled, shuffled:K, by-depth or by-type".into()),
        }
    }
}

/// As it is written on the command line, before the file.
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Assignment::Guided => write!(f, "guided"),
            Assignment::Matched => write!(f, "matched"),
            Assignment::Reversed => write!(f, "reversed"),
            Assignment::Shuffled(0) => write!(f, "shuffled"),
            Assignment::Shuffled(k) => write!(f, "shuffled:{k}"),
            Assignment::ByDepth => write!(f, "by-depth"),
            Assignment::ByType => write!(f, "by-type"),
        }
    }
}
