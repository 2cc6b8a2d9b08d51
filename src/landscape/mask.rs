//! Masks: which parameters may move, by Fisher information or at random, at exact count and matched norm.
//!
//! Order: F descending, then name, then flat index; `top` takes the first `k = floor(FRACTION·P + 0.5)`, `bottom` the
//! last k, where P counts the parameters common to F and the model. A parameter is EFFECTIVE if its direction is not
//! zero and the set reaches it (an embedding row that never occurs is not reached): `random` with F draws as many
//! effective parameters as `top` of the same fraction has, because masks of equal count but unequal effective count
//! compare nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::direction::{Direction, norm};
use crate::error::{Error, Result};
use crate::model::Reached;
use crate::params::{self, ParamMap};
use crate::rng::Stream;

/// Which parameters move: all, or a fraction of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Select {
    All,
    Top(f64),
    Bottom(f64),
    Random(f64),
}

/// What the fraction is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Scalar parameters, by their own F.
    #[default]
    Parameter,
    /// Whole tensors, by their mean F (the paper's: upper or lower 101 of 202).
    Tensor,
}

/// The length of a masked direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// As it comes out of the normalization.
    #[default]
    Filter,
    /// `‖d ⊙ m‖ = sqrt(k_eff / P_eff) ‖d‖`, the expected norm of a random mask of that count.
    Matched,
}

/// Flags by parameter, in row-major order.
pub type Flags = BTreeMap<String, Vec<bool>>;

/// A mask, and what there is to know about it.
#[derive(Debug)]
pub struct Mask {
    /// `None`: everything moves.
    pub selected: Option<Flags>,
    pub report: Report,
}

/// What a mask selects; counts are of scalar parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// P: parameters that the mask chooses from.
    pub parameters: usize,
    /// k: parameters chosen.
    pub selected: usize,
    /// Tensors chosen, for a mask of whole tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_tensors: Option<usize>,
    /// Effective parameters of the directions without a mask, P_eff.
    pub effective: usize,
    /// Of those, the chosen ones, k_eff.
    pub selected_effective: usize,
    /// F at the edge of the mask, where F decides: nats² per squared unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Parameters (or tensors) whose score equals the threshold, chosen or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ties: Option<usize>,
    /// Chosen parameters with F = 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zeros: Option<usize>,
}

impl FromStr for Select {
    type Err = String;

    fn from_str(text: &str) -> Result<Select, String> {
        let expected = || "all, or top:, bottom: or random: with a fraction in (0, 1]".to_string();
        if text == "all" {
            return Ok(Select::All);
        }
        let (kind, fraction) = text.split_once(':').ok_or_else(expected)?;
        let fraction: f64 = fraction.parse().map_err(|_| expected())?;
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(expected());
        }
        match kind {
            "top" => Ok(Select::Top(fraction)),
            "bottom" => Ok(Select::Bottom(fraction)),
            "random" => Ok(Select::Random(fraction)),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Select::All => write!(f, "all"),
            Select::Top(fraction) => write!(f, "top:{fraction}"),
            Select::Bottom(fraction) => write!(f, "bottom:{fraction}"),
            Select::Random(fraction) => write!(f, "random:{fraction}"),
        }
    }
}

/// Flags of the effective parameters of a pair of directions, given what the set reaches.
pub fn effective(
    theta: &ParamMap,
    directions: &[Direction; 2],
    reached: impl Fn(&str) -> Reached + Sync,
) -> Flags {
    let names: BTreeSet<&String> = directions.iter().flat_map(|d| d.keys()).collect();
    let names: Vec<&String> = names.into_iter().collect();
    names
        .par_iter()
        .map(|name| {
            let shape = theta[*name].dims();
            let size: usize = shape.iter().product();
            let mut flags: Vec<bool> = match reached(name) {
                Reached::All => vec![true; size],
                Reached::Rows(rows) => {
                    let width = size / shape.first().copied().unwrap_or(1).max(1);
                    let mut flags = vec![false; size];
                    for row in rows {
                        flags[row * width..(row + 1) * width].fill(true);
                    }
                    flags
                }
            };
            let moves = |i: usize| directions.iter().any(|d| d.get(*name).is_some_and(|d| d[i] != 0.0));
            flags.iter_mut().enumerate().for_each(|(i, flag)| *flag = *flag && moves(i));
            ((*name).clone(), flags)
        })
        .collect()
}

impl Mask {
    /// Chooses parameters of `theta`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if F is needed and not given, if it has no name in common with the model or another shape,
    /// or if nothing would be chosen.
    pub fn choose(
        select: Select,
        by: By,
        theta: &ParamMap,
        fisher: Option<&ParamMap>,
        effective: &Flags,
        seed: u64,
    ) -> Result<Mask> {
        let p_eff = count(effective.values());
        if select == Select::All {
            let parameters = params::count(theta);
            let report = Report {
                parameters,
                selected: parameters,
                effective: p_eff,
                selected_effective: p_eff,
                ..Report::default()
            };
            return Ok(Mask { selected: None, report });
        }
        let common = common(theta, fisher)?;
        let (flags, mut report) = match (by, select) {
            (By::Parameter, Select::Random(fraction)) => {
                let top = match fisher {
                    None => None,
                    Some(_) => Some(overlap(&by_score(&common, fraction, false)?.0, effective)),
                };
                random(&common, fraction, top, effective, seed)?
            }
            (By::Parameter, Select::Top(fraction)) => by_score(&common, fraction, false)?,
            (By::Parameter, Select::Bottom(fraction)) => by_score(&common, fraction, true)?,
            (By::Tensor, select) => tensors(&common, select, seed)?,
            (By::Parameter, Select::All) => unreachable!("`All` returned above"),
        };
        report.parameters = common.iter().map(|c| c.scores.len()).sum();
        report.selected = count(flags.values());
        report.effective = p_eff;
        report.selected_effective = overlap(&flags, effective);
        if report.selected_effective == 0 {
            let found = format!("{} of {} selected parameters", 0, report.selected);
            let fix = "choose another mask or more parameters, or let 1-D parameters move with --vectors";
            return Err(Error::field(
                format!("mask {select}"),
                "effective parameters",
                "at least 1",
                found,
                fix,
            ));
        }
        Ok(Mask { selected: Some(flags), report })
    }

    /// The direction within the mask, and `‖d ⊙ m‖ / ‖d‖` over the effective parameters, before any scaling.
    pub fn apply(&self, direction: &Direction, effective: &Flags, scaling: Norm) -> (Direction, f64) {
        let Some(selected) = &self.selected else { return (direction.clone(), 1.0) };
        let whole = effective_norm(direction, effective);
        let mut masked = Direction::new();
        for (name, values) in direction {
            let Some(flags) = selected.get(name) else { continue };
            if flags.iter().any(|flag| *flag) {
                let keep = |(v, flag): (&f32, &bool)| if *flag { *v } else { 0.0 };
                masked.insert(name.clone(), values.iter().zip(flags).map(keep).collect());
            }
        }
        let ratio = effective_norm(&masked, effective) / whole;
        if scaling == Norm::Matched && ratio > 0.0 {
            let share = self.report.selected_effective as f64 / self.report.effective as f64;
            let factor = share.sqrt() / ratio;
            let values = masked.values_mut().flatten();
            values.for_each(|v| *v = (f64::from(*v) * factor) as f32);
        }
        (masked, ratio)
    }
}

/// Euclidean norm over the effective parameters.
pub fn effective_norm(direction: &Direction, effective: &Flags) -> f64 {
    let tensor = |(name, values): (&String, &Vec<f32>)| {
        let flags = effective.get(name);
        let kept: Vec<f32> = match flags {
            Some(flags) => values.iter().zip(flags).map(|(v, f)| if *f { *v } else { 0.0 }).collect(),
            None => Vec::new(),
        };
        norm(&kept).powi(2)
    };
    direction.iter().map(tensor).sum::<f64>().sqrt()
}

/// A parameter that mask and model have in common, with its scores (F, or zeros where no F is given).
struct Common {
    name: String,
    scores: Vec<f32>,
}

fn common(theta: &ParamMap, fisher: Option<&ParamMap>) -> Result<Vec<Common>> {
    let Some(fisher) = fisher else {
        let zeros =
            |(name, t): (&String, &Tensor)| Common { name: name.clone(), scores: vec![0.0; t.elem_count()] };
        return Ok(theta.iter().map(zeros).collect());
    };
    let mut common = Vec::new();
    for (name, f) in fisher {
        let Some(weight) = theta.get(name) else { continue };
        if f.dims() != weight.dims() {
            let expected = format!("of the parameter's shape {:?}", weight.dims());
            let fix = "use the Fisher information of this model or of the one it was trained from";
            return Err(Error::field("Fisher information", name, expected, format!("{:?}", f.dims()), fix));
        }
        common.push(Common { name: name.clone(), scores: params::with_values(f, <[f32]>::to_vec)? });
    }
    if common.is_empty() {
        let fix = "use the Fisher information of this model or of the one it was trained from";
        let found = fisher.keys().next().map(|name| format!("`{name}` and others")).unwrap_or_default();
        return Err(Error::field("Fisher information", "tensors", "some parameter of the model", found, fix));
    }
    Ok(common)
}

/// `k = floor(fraction * of + 0.5)`, at least 1.
fn exact_count(fraction: f64, of: usize, what: &str) -> Result<usize> {
    match (fraction * of as f64 + 0.5).floor() as usize {
        0 => {
            let fix = format!("use a fraction of at least {:.3e}", 0.5 / of as f64);
            Err(Error::field("mask", what, "at least 1", format!("{fraction} of {of}"), fix))
        }
        k => Ok(k.min(of)),
    }
}

/// The k entries with the highest (or last k) scores in the order F descending, then name, then flat index.
fn by_score(common: &[Common], fraction: f64, bottom: bool) -> Result<(Flags, Report)> {
    let scores: Vec<f32> = common.iter().flat_map(|c| c.scores.iter().copied()).collect();
    let k = exact_count(fraction, scores.len(), "parameters")?;
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let compare = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
    let edge = if bottom { scores.len() - k } else { k - 1 };
    let threshold = scores[*order.select_nth_unstable_by(edge, compare).1 as usize];
    let chosen = if bottom { &order[edge..] } else { &order[..k] };
    let mut flat = vec![false; scores.len()];
    chosen.iter().for_each(|&i| flat[i as usize] = true);
    let report = Report {
        threshold: Some(f64::from(threshold)),
        ties: Some(scores.iter().filter(|s| **s == threshold).count()),
        zeros: Some(chosen.iter().filter(|i| scores[**i as usize] == 0.0).count()),
        ..Report::default()
    };
    Ok((split(common, &flat), report))
}

/// k parameters chosen uniformly without replacement: `effective_count` of the effective ones, or the fraction of all.
fn random(
    common: &[Common],
    fraction: f64,
    effective_count: Option<usize>,
    effective: &Flags,
    seed: u64,
) -> Result<(Flags, Report)> {
    let total: usize = common.iter().map(|c| c.scores.len()).sum();
    let candidate: Vec<bool> = match effective_count {
        None => vec![true; total],
        Some(_) => {
            let flags =
                |c: &Common| effective.get(&c.name).cloned().unwrap_or_else(|| vec![false; c.scores.len()]);
            common.iter().flat_map(flags).collect()
        }
    };
    let mut left = count([&candidate]);
    let mut wanted = match effective_count {
        None => exact_count(fraction, total, "parameters")?,
        Some(k) => k,
    };
    // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): one pass, exactly k, every subset equally likely.
    let stream = Stream::new(seed, "mask/parameters");
    let mut flat = vec![false; total];
    for (i, flag) in flat.iter_mut().enumerate().filter(|(i, _)| candidate[*i]) {
        if stream.uniform(i as u64) * (left as f64) < wanted as f64 {
            *flag = true;
            wanted -= 1;
        }
        left -= 1;
    }
    Ok((split(common, &flat), Report::default()))
}

/// Whole tensors: the fraction with the highest or lowest mean score, or drawn at random.
fn tensors(common: &[Common], select: Select, seed: u64) -> Result<(Flags, Report)> {
    let (Select::Top(fraction) | Select::Bottom(fraction) | Select::Random(fraction)) = select else {
        return Ok((Flags::new(), Report::default()));
    };
    let k = exact_count(fraction, common.len(), "tensors")?;
    let mean = |c: &Common| c.scores.iter().map(|v| f64::from(*v)).sum::<f64>() / c.scores.len() as f64;
    let means: Vec<f64> = common.iter().map(mean).collect();
    let mut order: Vec<usize> = (0..common.len()).collect();
    order.sort_by(|&a, &b| means[b].total_cmp(&means[a]).then(a.cmp(&b)));
    let mut report = Report { selected_tensors: Some(k), ..Report::default() };
    let chosen: Vec<usize> = match select {
        Select::Random(_) => Stream::new(seed, "mask/tensors").sample(common.len(), k),
        Select::Bottom(_) => order[order.len() - k..].to_vec(),
        _ => order[..k].to_vec(),
    };
    if !matches!(select, Select::Random(_)) {
        let threshold =
            means[if matches!(select, Select::Bottom(_)) { order[order.len() - k] } else { order[k - 1] }];
        report.threshold = Some(threshold);
        report.ties = Some(means.iter().filter(|m| **m == threshold).count());
        let zeros = |&i: &usize| common[i].scores.iter().filter(|s| **s == 0.0).count();
        report.zeros = Some(chosen.iter().map(zeros).sum());
    }
    let flags = chosen.iter().map(|&i| (common[i].name.clone(), vec![true; common[i].scores.len()]));
    Ok((flags.collect(), report))
}

/// Flags in flat order, by parameter.
fn split(common: &[Common], flat: &[bool]) -> Flags {
    let mut rest = flat;
    let mut flags = Flags::new();
    for c in common {
        let (own, others) = rest.split_at(c.scores.len());
        flags.insert(c.name.clone(), own.to_vec());
        rest = others;
    }
    flags
}

fn count<'a>(flags: impl IntoIterator<Item = &'a Vec<bool>>) -> usize {
    flags.into_iter().map(|f| f.iter().filter(|flag| **flag).count()).sum()
}

/// How many parameters both have.
fn overlap(a: &Flags, b: &Flags) -> usize {
    let both = |(name, a): (&String, &Vec<bool>)| {
        b.get(name).map_or(0, |b| a.iter().zip(b).filter(|(a, b)| **a && **b).count())
    };
    a.iter().map(both).sum()
}
