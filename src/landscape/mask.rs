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

use super::Direction;
use crate::error::{Error, Result};
use crate::model::Reached;
use crate::params::{self, ParamMap};
use crate::rng::Stream;
use crate::stats;

/// Which parameters move: all, or a fraction of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Select {
    All,
    Top(f64),
    Bottom(f64),
    Random(f64),
    /// The paper's: the upper or lower half of the tensors by mean F, whatever [`MaskUnit`] says. Most of the upper half are
    /// biases and LayerNorm vectors, whose direction is zero, so that its surface is nearly flat.
    PaperTop,
    PaperBottom,
}

impl Select {
    /// The selection by fraction, and what the fraction is of.
    fn resolved(self, by: MaskUnit) -> (Select, MaskUnit) {
        match self {
            Select::PaperTop => (Select::Top(0.5), MaskUnit::Tensor),
            Select::PaperBottom => (Select::Bottom(0.5), MaskUnit::Tensor),
            other => (other, by),
        }
    }

    /// Whether it goes by Fisher information.
    pub fn by_fisher(self) -> bool {
        !matches!(self, Select::All | Select::Random(_))
    }
}

/// What the fraction is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskUnit {
    /// Scalar parameters, by their own F.
    #[default]
    Parameter,
    /// Whole tensors, by their mean F (the paper's: upper or lower 101 of 202); random ones are matched in number of
    /// tensors only.
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
    /// Of those, the ones with an effective parameter: the others have no direction, or the set does not reach them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving_tensors: Option<usize>,
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
        let expected = || {
            let words =
                "all, paper-top, paper-bottom, or top:, bottom: or random: with a fraction from 0 to 1";
            format!("expected {words}")
        };
        match text {
            "all" => return Ok(Select::All),
            "paper-top" => return Ok(Select::PaperTop),
            "paper-bottom" => return Ok(Select::PaperBottom),
            _ => {}
        }
        let (kind, fraction) = text.split_once(':').ok_or_else(expected)?;
        let fraction: f64 = fraction.parse().map_err(|_| expected())?;
        if !(0.0..=1.0).contains(&fraction) {
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
            Select::PaperTop => write!(f, "paper-top"),
            Select::PaperBottom => write!(f, "paper-bottom"),
        }
    }
}

/// Flags of the entries of these parameters that the set reaches.
pub fn reached<'a>(
    theta: &ParamMap,
    names: impl IntoIterator<Item = &'a String>,
    reached: impl Fn(&str) -> Reached + Sync,
) -> Flags {
    let names: BTreeSet<&String> = names.into_iter().collect();
    let flags = |name: &&String| {
        let shape = theta[*name].dims();
        let size: usize = shape.iter().product();
        let flags = match reached(name) {
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
        ((*name).clone(), flags)
    };
    names.into_iter().collect::<Vec<_>>().par_iter().map(flags).collect()
}

/// Flags of the effective parameters of some directions, given what the set reaches.
pub fn effective(
    theta: &ParamMap,
    directions: &[Direction],
    reach: impl Fn(&str) -> Reached + Sync,
) -> Flags {
    let mut flags = reached(theta, directions.iter().flat_map(|d| d.keys()), reach);
    flags.par_iter_mut().for_each(|(name, flags)| {
        let moves = |i: usize| directions.iter().any(|d| d.get(name).is_some_and(|d| d[i] != 0.0));
        flags.iter_mut().enumerate().for_each(|(i, flag)| *flag = *flag && moves(i));
    });
    flags
}

/// A mask as far as Fisher information decides: F is needed no longer once this is made, so that it and the directions
/// need not be held together.
pub struct Choice {
    select: Select,
    by: MaskUnit,
    seed: u64,
    /// Names and sizes of what is chosen from.
    from: Vec<(String, usize)>,
    /// The mask; for a random one by parameter, the top one that it is matched to, if F is given.
    scored: Option<Flags>,
    /// Where F is 0, for a random mask by parameter.
    zero: Option<Flags>,
    report: Report,
}

impl Choice {
    /// Chooses among the parameters of `theta`, or among those that it has in common with `fisher`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if F has no name in common with the model or another shape, or if the fraction is of less
    /// than one parameter.
    pub fn new(
        select: Select,
        by: MaskUnit,
        theta: &ParamMap,
        fisher: Option<&ParamMap>,
        seed: u64,
    ) -> Result<Choice> {
        let (select, by) = select.resolved(by);
        let fisher = fisher.filter(|_| select != Select::All);
        let candidates = candidates(theta, fisher)?;
        let from: Vec<(String, usize)> = candidates.iter().map(|c| (c.name.to_string(), c.size)).collect();
        let (mut scored, mut zero, mut report) = (None, None, Report::default());
        match (by, select) {
            (_, Select::All) => {}
            (MaskUnit::Parameter, Select::Random(fraction)) => {
                if fisher.is_some() {
                    scored = Some(by_score(&candidates, fraction, false)?.0);
                    zero = Some(zeros(&candidates)?);
                }
            }
            (MaskUnit::Parameter, Select::Top(fraction) | Select::Bottom(fraction)) => {
                let bottom = matches!(select, Select::Bottom(_));
                let (flags, own) = by_score(&candidates, fraction, bottom)?;
                (scored, report) = (Some(flags), own);
            }
            (MaskUnit::Tensor, _) | (_, Select::PaperTop | Select::PaperBottom) => {
                let (flags, own) = tensors(&candidates, select, seed)?;
                (scored, report) = (Some(flags), own);
            }
        }
        if let (Some(flags), Some(_), None) = (&scored, fisher, &zero) {
            report.zeros = Some(overlap(flags, &zeros(&candidates)?));
        }
        report.parameters = from.iter().map(|(_, size)| size).sum();
        Ok(Choice { select, by, seed, from, scored, zero, report })
    }

    /// The mask, for directions whose effective parameters these are.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if no effective parameter is chosen.
    pub fn mask(self, effective: &Flags) -> Result<Mask> {
        let mut report = self.report;
        report.effective = count(effective.values());
        if self.select == Select::All {
            (report.selected, report.selected_effective) = (report.parameters, report.effective);
            return Ok(Mask { selected: None, report });
        }
        let flags = match (self.by, self.select) {
            (MaskUnit::Parameter, Select::Random(fraction)) => {
                let matched = self.scored.map(|top| overlap(&top, effective));
                let flags = random(&self.from, fraction, matched, effective, self.seed)?;
                report.zeros = self.zero.map(|zero| overlap(&flags, &zero));
                flags
            }
            _ => self.scored.unwrap_or_default(),
        };
        report.selected = count(flags.values());
        report.selected_effective = overlap(&flags, effective);
        report.moving_tensors = report.selected_tensors.map(|_| {
            let moves = |name: &String| effective.get(name).is_some_and(|own| own.contains(&true));
            flags.keys().filter(|name| moves(name)).count()
        });
        if report.selected_effective == 0 {
            let found = format!("0 of {} selected parameters", report.selected);
            let fix = "choose another mask or more parameters, or let 1-D parameters move with --vectors";
            let place = format!("mask {}", self.select);
            return Err(Error::field(place, "effective parameters", "at least 1", found, fix));
        }
        Ok(Mask { selected: Some(flags), report })
    }
}

impl Mask {
    /// The direction within the mask, and `‖d ⊙ m‖ / ‖d‖` over the effective parameters, before any scaling.
    ///
    /// `k_eff` and `P_eff` of [`Norm::Matched`] are this direction's own.
    pub fn apply(&self, mut direction: Direction, effective: &Flags, scaling: Norm) -> (Direction, f64) {
        let Some(selected) = &self.selected else { return (direction, 1.0) };
        let (whole, p_eff) = effective_norm(&direction, effective);
        direction.retain(|name, values| {
            let Some(flags) = selected.get(name).filter(|flags| flags.contains(&true)) else { return false };
            values.iter_mut().zip(flags).filter(|(_, flag)| !**flag).for_each(|(v, _)| *v = 0.0);
            true
        });
        let (norm, k_eff) = effective_norm(&direction, effective);
        let ratio = norm / whole;
        if scaling == Norm::Matched && ratio > 0.0 {
            let factor = (k_eff as f64 / p_eff as f64).sqrt() / ratio;
            direction.values_mut().flatten().for_each(|v| *v = (f64::from(*v) * factor) as f32);
        }
        (direction, ratio)
    }
}

/// A tensor's share in a masked direction: a row of `SURFACE.mask.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name in the checkpoint.
    pub tensor: String,
    /// Its entries.
    pub parameters: usize,
    /// Of those, the ones that the mask chooses.
    pub selected: usize,
    /// Of those, the ones that move the loss.
    pub moving: usize,
    /// Share of the squared length of the direction x, from 0 to 1.
    pub share_x: f64,
    /// Share of the squared length of the direction y; empty along a line.
    pub share_y: Option<f64>,
    /// Share of the squared length of the direction z; a column of volumes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_z: Option<f64>,
}

/// What really moves, tensor by tensor, in the order of the names. `directions` are the masked ones.
pub fn moved(theta: &ParamMap, mask: &Mask, effective: &Flags, directions: &[Direction]) -> Vec<Moved> {
    let squares = |d: &Direction| d.values().map(|values| stats::sum_of_squares(values)).sum::<f64>();
    let whole: Vec<f64> = directions.iter().map(squares).collect();
    let row = |(name, weight): (&String, &Tensor)| {
        let size = weight.elem_count();
        let chosen = |i: usize| match &mask.selected {
            None => true,
            Some(flags) => flags.get(name).is_some_and(|own| own[i]),
        };
        let reached = effective.get(name);
        let share = |axis: usize| {
            let own = directions[axis].get(name).map_or(0.0, |values| stats::sum_of_squares(values));
            if whole[axis] > 0.0 { own / whole[axis] } else { 0.0 }
        };
        Moved {
            tensor: name.clone(),
            parameters: size,
            selected: (0..size).filter(|&i| chosen(i)).count(),
            moving: reached.map_or(0, |own| (0..size).filter(|&i| own[i] && chosen(i)).count()),
            share_x: share(0),
            share_y: (directions.len() > 1).then(|| share(1)),
            share_z: (directions.len() > 2).then(|| share(2)),
        }
    };
    theta.iter().map(row).collect()
}

/// Stops the parameters that are not effective: they change no loss, and a surface then need not form them.
pub fn keep_effective(direction: &mut Direction, effective: &Flags) {
    for (name, values) in direction {
        let Some(flags) = effective.get(name) else { continue };
        values.iter_mut().zip(flags).filter(|(_, flag)| !**flag).for_each(|(v, _)| *v = 0.0);
    }
}

/// Euclidean norm over the effective parameters, and how many of them the direction moves.
pub fn effective_norm(direction: &Direction, effective: &Flags) -> (f64, usize) {
    let (mut squares, mut moved) = (0.0, 0);
    for (name, values) in direction {
        let Some(flags) = effective.get(name) else { continue };
        let mut own = 0.0;
        for (v, _) in values.iter().zip(flags).filter(|(v, flag)| **flag && **v != 0.0) {
            own += f64::from(*v).powi(2);
            moved += 1;
        }
        squares += own;
    }
    (squares.sqrt(), moved)
}

/// A parameter that a mask chooses from, with its F where one is given.
struct Candidate<'a> {
    name: &'a str,
    size: usize,
    f: Option<&'a Tensor>,
}

impl Candidate<'_> {
    /// F, or zeros.
    fn with_scores<R>(&self, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
        match self.f {
            Some(scores) => params::with_values(scores, f),
            None => Ok(f(&vec![0.0; self.size])),
        }
    }
}

/// The parameters common to F and the model, or all of the model's where no F is given.
fn candidates<'a>(theta: &'a ParamMap, fisher: Option<&'a ParamMap>) -> Result<Vec<Candidate<'a>>> {
    let Some(fisher) = fisher else {
        let own = |(name, t): (&'a String, &Tensor)| Candidate { name, size: t.elem_count(), f: None };
        return Ok(theta.iter().map(own).collect());
    };
    let fix = "use the Fisher information of this model or of the one it was trained from";
    let mut common = Vec::new();
    for (name, f) in fisher {
        let Some(weight) = theta.get(name) else { continue };
        if f.dims() != weight.dims() {
            let expected = format!("of the parameter's shape {:?}", weight.dims());
            return Err(Error::field("--fisher", name, expected, format!("{:?}", f.dims()), fix));
        }
        common.push(Candidate { name, size: f.elem_count(), f: Some(f) });
    }
    if common.is_empty() {
        let found = fisher.keys().next().map(|name| format!("`{name}` and others")).unwrap_or_default();
        let sentence = format!("no tensor is a parameter of the model; it has {found}");
        return Err(Error::said("--fisher", sentence, fix));
    }
    Ok(common)
}

/// `k = floor(fraction * of + 0.5)`; none at all is an error.
fn exact_count(fraction: f64, of: usize, what: &str) -> Result<usize> {
    match (fraction * of as f64 + 0.5).floor() as usize {
        0 => {
            let fix = format!("use a fraction of at least {:.3e}", 0.5 / of as f64);
            Err(Error::field("mask", what, "at least 1", format!("{fraction} of {of}"), fix))
        }
        k => Ok(k.min(of)),
    }
}

/// The first (or last) k entries in the order F descending, then name, then flat index.
fn by_score(from: &[Candidate], fraction: f64, bottom: bool) -> Result<(Flags, Report)> {
    let total = from.iter().map(|c| c.size).sum();
    let k = exact_count(fraction, total, "parameters")?;
    let mut scores = Vec::with_capacity(total);
    from.iter().try_for_each(|c| c.with_scores(|f| scores.extend_from_slice(f)))?;
    let edge = if bottom { total - k } else { k - 1 };
    let threshold = *scores.select_nth_unstable_by(edge, |a, b| b.total_cmp(a)).1;
    let beyond = |score: &f32| if bottom { *score < threshold } else { *score > threshold };
    let ties = scores.iter().filter(|score| **score == threshold).count();
    // Of the ties, the first in name and index order belong to the top, the last to the bottom.
    let needed = k - scores.iter().filter(|score| beyond(score)).count();
    drop(scores);
    let (mut seen, passed_over) = (0, if bottom { ties - needed } else { 0 });
    let mut flags = Flags::new();
    for candidate in from {
        let own = candidate.with_scores(|scores| {
            let choose = |score: &f32| {
                let tied = *score == threshold;
                seen += usize::from(tied);
                beyond(score) || (tied && seen > passed_over && seen <= passed_over + needed)
            };
            scores.iter().map(choose).collect()
        })?;
        flags.insert(candidate.name.to_string(), own);
    }
    Ok((flags, Report { threshold: Some(f64::from(threshold)), ties: Some(ties), ..Report::default() }))
}

/// Where F is 0.
fn zeros(from: &[Candidate]) -> Result<Flags> {
    let own =
        |c: &Candidate| Ok((c.name.to_string(), c.with_scores(|f| f.iter().map(|f| *f == 0.0).collect())?));
    from.iter().map(own).collect()
}

/// k parameters chosen uniformly without replacement: `effective_count` of the effective ones, or the fraction of all.
fn random(
    from: &[(String, usize)],
    fraction: f64,
    effective_count: Option<usize>,
    effective: &Flags,
    seed: u64,
) -> Result<Flags> {
    let total: usize = from.iter().map(|(_, size)| size).sum();
    let eligible = |(name, size): &(String, usize)| match effective_count {
        None => vec![true; *size],
        Some(_) => effective.get(name).cloned().unwrap_or_else(|| vec![false; *size]),
    };
    let mut flags: Flags = from.iter().map(|own| (own.0.clone(), eligible(own))).collect();
    let mut left = count(flags.values());
    let mut wanted = match effective_count {
        None => exact_count(fraction, total, "parameters")?,
        Some(k) => k,
    };
    // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): one pass, exactly k, every subset equally likely.
    let stream = Stream::new(seed, "mask/parameters");
    let mut index = 0;
    for (name, _) in from {
        let Some(own) = flags.get_mut(name) else { continue };
        for flag in own {
            if *flag {
                *flag = stream.uniform(index) * (left as f64) < wanted as f64;
                wanted -= usize::from(*flag);
                left -= 1;
            }
            index += 1;
        }
    }
    Ok(flags)
}

/// Whole tensors: the fraction with the highest or lowest mean score, or drawn at random.
fn tensors(common: &[Candidate], select: Select, seed: u64) -> Result<(Flags, Report)> {
    let (Select::Top(fraction) | Select::Bottom(fraction) | Select::Random(fraction)) = select else {
        return Ok((Flags::new(), Report::default()));
    };
    let k = exact_count(fraction, common.len(), "tensors")?;
    let mean =
        |c: &Candidate| c.with_scores(|f| f.iter().map(|v| f64::from(*v)).sum::<f64>() / c.size as f64);
    let means: Vec<f64> = common.iter().map(mean).collect::<Result<_>>()?;
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
    }
    let flags = chosen.iter().map(|&i| (common[i].name.to_string(), vec![true; common[i].size]));
    Ok((flags.collect(), report))
}

pub(crate) fn count<'a>(flags: impl IntoIterator<Item = &'a Vec<bool>>) -> usize {
    flags.into_iter().map(|f| f.iter().filter(|flag| **flag).count()).sum()
}

/// How many parameters both have.
fn overlap(a: &Flags, b: &Flags) -> usize {
    let both = |(name, a): (&String, &Vec<bool>)| {
        b.get(name).map_or(0, |b| a.iter().zip(b).filter(|(a, b)| **a && **b).count())
    };
    a.iter().map(both).sum()
}
