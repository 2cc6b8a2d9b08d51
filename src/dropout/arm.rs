//! Arms of a training run: which dropout, as it is written on the command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::noise::Kind;
use super::{Assignment, Dropout, Place, Rates};
use crate::error::{Error, Result};
use crate::progress;
use crate::provenance::Provenance;

/// The dropout of a training run.
#[derive(Clone, Debug, PartialEq)]
pub enum Arm {
    /// None but the head's own, which all arms have.
    None,
    /// Not even that.
    NoneAtAll,
    Uniform(f64),
    Gaussian(f64),
    /// The Gaussian noise of the paper's code.
    GaussianPaper(f64),
    /// The rates of a schedule, given to the sites in one way or another.
    Scheduled(Assignment, PathBuf),
}

impl Arm {
    /// What can be written for one.
    pub const EXPECTED: &str = "none, none-at-all, uniform:P, gaussian:P or gaussian-paper:P with P in [0, 1), or guided:RATES.csv, \
                                matched:RATES.csv, reversed:RATES.csv, shuffled:RATES.csv, shuffled:K:RATES.csv, \
                                by-depth:RATES.csv or by-type:RATES.csv";
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Arm, String> {
        let wrong = || format!("expected {}", Arm::EXPECTED);
        let rate = |p: &str| p.parse().ok().filter(|p| (0.0..1.0).contains(p)).ok_or_else(wrong);
        match text.split_once(':') {
            None if text == "none" => Ok(Arm::None),
            None if text == "none-at-all" => Ok(Arm::NoneAtAll),
            Some(("uniform", p)) => Ok(Arm::Uniform(rate(p)?)),
            Some(("gaussian", p)) => Ok(Arm::Gaussian(rate(p)?)),
            Some(("gaussian-paper", p)) => Ok(Arm::GaussianPaper(rate(p)?)),
            Some((word, rest)) => {
                // A shuffle has a number, or none before a path that may itself hold a colon.
                let numbered = rest.split_once(':').map(|(k, path)| (format!("{word}:{k}"), path));
                let numbered =
                    numbered.and_then(|(word, path)| Some((word.parse::<Assignment>().ok()?, path)));
                let (assignment, path) = match numbered {
                    Some(numbered) => numbered,
                    // A number alone is a shuffle whose file was forgotten.
                    None if format!("{word}:{rest}").parse::<Assignment>().is_ok() => return Err(wrong()),
                    None => (word.parse().map_err(|_| wrong())?, rest),
                };
                if path.is_empty() { Err(wrong()) } else { Ok(Arm::Scheduled(assignment, path.into())) }
            }
            None => Err(wrong()),
        }
    }
}

/// As it is written on the command line.
impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Arm::None => write!(f, "none"),
            Arm::NoneAtAll => write!(f, "none-at-all"),
            Arm::Uniform(p) => write!(f, "uniform:{p}"),
            Arm::Gaussian(p) => write!(f, "gaussian:{p}"),
            Arm::GaussianPaper(p) => write!(f, "gaussian-paper:{p}"),
            Arm::Scheduled(assignment, path) => write!(f, "{assignment}:{}", path.display()),
        }
    }
}

impl Arm {
    /// What it is called wherever its rates lie.
    pub fn name(&self) -> String {
        match self {
            Arm::Scheduled(assignment, _) => assignment.to_string(),
            other => other.to_string(),
        }
    }

    /// The dropout of a model with these sites, whose head drops with probability `head`; no dropout at all is `None`.
    ///
    /// # Errors
    ///
    /// As [`Arm::rates`].
    pub fn dropout(&self, sites: &[Place], head: f64, seed: u64) -> Result<Option<Dropout>> {
        let (kind, rates, head) = match self {
            Arm::NoneAtAll => return Ok(None),
            Arm::None => (Kind::Bernoulli, Rates::uniform(sites, 0.0), head),
            Arm::Uniform(p) => (Kind::Bernoulli, Rates::uniform(sites, *p), head),
            Arm::Gaussian(p) => (Kind::Gaussian, Rates::uniform(sites, *p), head),
            Arm::GaussianPaper(p) => (Kind::PaperGaussian, Rates::uniform(sites, *p), *p),
            Arm::Scheduled(assignment, path) => {
                (Kind::Bernoulli, Arm::rates(*assignment, path, sites)?, head)
            }
        };
        Ok(Some(Dropout { kind, rates, head, seed }))
    }

    /// The rates of a schedule's file, given to the sites of a model in this way.
    ///
    /// # Errors
    ///
    /// As [`Rates::read`]; and [`Error::Field`] where the ranks that the assignment needs are not valid.
    pub fn rates(assignment: Assignment, path: &Path, sites: &[Place]) -> Result<Rates> {
        let rates = Rates::read(path, sites)?;
        assignment.of(&rates).ok_or_else(|| {
            let fix = "make the file with `fisherscape schedule`, or leave out the whole column: then p gives the order";
            let expected = format!("from 0 to {}, each once", rates.iter().count() - 1);
            Error::field(path.display(), "rank", expected, "other ranks", fix)
        })
    }

    /// Notes what goes in and, where the noise stays on in evaluation, says so.
    pub fn note(&self, provenance: &mut Provenance) -> Result<()> {
        match self {
            Arm::Scheduled(_, path) => provenance.input_file("rates", path)?,
            Arm::GaussianPaper(_) => {
                let said = "with the noise on, as in the paper's code";
                provenance.input("evaluation", said);
                progress::note(format!(
                    "the held-out part is evaluated {said}: other arms are evaluated without; \
                     `loss` evaluates the trained model without"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
