//! How the topologies of two surfaces differ, whose losses are of the same examples.
//!
//! Persistences, the largest with the largest, and SMAD are made of rises: how far the best way from one point to another must go above the first. As in
//! [`super::noise`] each has ends that hold for all points at once, so of two surfaces the difference lies between the one's lower and the other's upper
//! end, and likewise. Where both rises are between the same two points the ends are paired by example, too. On the way of the one that is
//! best, some point k is the highest of the other there: so
//!
//! `rise_A - rise_B ≥ min over k of (F_A - F_B)(k) - (F_A - F_B)(from)`
//!
//! over the points k that may be no higher than A's pass and no lower than B's. What both have in common drops out of it. The narrower ends count: all
//! differences of points of A, of B and of A less B hold together.
//!
//! SMAD counts all minima, and each that is noise adds what noise is high. So its difference has an interval only where every minimum of both is shown.
//!
//! The number of minima is bounded, not estimated. At least as many are there as points that are shown to be apart, each from each. At most as many
//! are there as squares of four points (in a volume: cubes of eight), laid edge to edge, hold a point that might be a minimum: any two of one touch.
//!
//! The radius of the main basin has no error that is a sum of examples. Its interval is that of the differences on surfaces as other examples might have given
//! them: the ones found, shifted by the residuals under random signs.
//!
//! The trap: errors of the saddles and minima that were found, these being given, are smaller by far than those of the surfaces' own.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::noise::{candidates, rise};
use super::size::sizes;
use super::{Field, Tree};
use crate::stats::pairs::Pairs;
use crate::stats::quantile;

/// Surfaces as other examples might have given them.
const SHIFTED: u64 = 400;
/// Persistences that are compared, from the largest.
const RANKS: usize = 3;
/// Families of differences that hold together: of the points of A, of B and of A less B.
const FAMILIES: f64 = 3.0;

/// A surface, and what its examples say of it.
pub struct Side<'a> {
    pub field: Field<'a>,
    pub axes: [&'a [f64]; 3],
    pub pairs: &'a Pairs,
    /// Which minima of its tree may be noise.
    pub noise: Vec<bool>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Basins that are shown, the main one among them; the interval is of the number of minima.
    Basins,
    /// The persistence of this rank, 1 being the largest.
    Persistence(usize),
    Smad,
    Radius,
}

/// A measure of two surfaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrasted {
    pub measure: Measure,
    /// Of the first surface and of the second.
    pub values: [f64; 2],
    /// 95 % interval of the first less the second.
    pub ends: Option<(f64, f64)>,
}

/// Compares two surfaces over one grid. `between` has the differences of the losses of each example at each point, `joint` the points of the first
/// and then those of the second.
pub fn compare(
    sides: [&Side; 2],
    (between, joint): (&Pairs, &Pairs),
    level: f64,
    seed: u64,
) -> Vec<Contrasted> {
    let trees = sides.map(|side| Tree::of(&side.field));
    let known = [0, 1].map(|i| Known::new(sides[i], &trees[i]));
    let bands = Bands::new(sides, between, 1.0 - (1.0 - level) / FAMILIES, seed);
    let row = |measure: Measure| {
        let values = [0, 1].map(|i| known[i].value(measure));
        let bands = bands.as_ref();
        let ends = match measure {
            Measure::Basins => bands.map(|bands| bands.number(&known)),
            Measure::Persistence(rank) => bands.map(|bands| bands.persistence(&known, rank)),
            Measure::Smad => bands.and_then(|bands| bands.smad(&known)),
            Measure::Radius => {
                bands.and_then(|bands| bands.radius(joint, values[0] - values[1], level, seed))
            }
        };
        Contrasted { measure, values, ends }
    };
    // What may be noise on both is not compared, but for the largest.
    let ranks = (1..=RANKS).filter(|rank| {
        let there = |own: &Known| own.ranked.get(rank - 1).is_some_and(|(_, shown)| *rank == 1 || *shown);
        known.iter().any(there)
    });
    let all = [Measure::Basins].into_iter().chain(ranks.map(Measure::Persistence));
    all.chain([Measure::Smad, Measure::Radius]).map(row).collect()
}

/// What is compared of one surface.
struct Known {
    main: usize,
    /// The minima that are shown.
    shown: Vec<usize>,
    /// Minimum and the lower one that it joins, the largest persistence first; whether it is shown.
    ranked: Vec<((usize, usize), bool)>,
    persistences: Vec<f64>,
    /// Each minimum and the one that it meets first; the mean height of their saddles above it; and whether all minima are shown.
    gaps: Vec<(usize, usize)>,
    smad: f64,
    all_shown: bool,
    radius: f64,
}

impl Known {
    fn new(side: &Side, tree: &Tree) -> Known {
        let height = |number: &usize| tree.persistence(&side.field, *number).unwrap_or(0.0);
        let cell = |number: usize| tree.minima[number].cell;
        let mut joined: Vec<usize> =
            (0..tree.minima.len()).filter(|i| tree.minima[*i].merge.is_some()).collect();
        joined.sort_by(|a, b| height(b).total_cmp(&height(a)));
        let pair = |number: &usize| {
            let into = tree.minima[*number].merge.as_ref().map_or(0, |merge| merge.into);
            ((cell(*number), cell(into)), !side.noise[*number])
        };
        let shown = (0..tree.minima.len()).filter(|number| !side.noise[*number]);
        Known {
            main: tree.minima.first().map_or(0, |own| own.cell),
            shown: shown.map(cell).collect(),
            ranked: joined.iter().map(pair).collect(),
            persistences: joined.iter().map(height).collect(),
            gaps: gaps(tree),
            smad: tree.smad(&side.field),
            all_shown: !side.noise.contains(&true),
            radius: radius(side, tree, &side.noise),
        }
    }

    fn value(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Basins => self.shown.len() as f64,
            Measure::Persistence(rank) => self.persistences.get(rank - 1).copied().unwrap_or(0.0),
            Measure::Smad => self.smad,
            Measure::Radius => self.radius,
        }
    }
}

fn radius(side: &Side, tree: &Tree, noise: &[bool]) -> f64 {
    sizes(tree, side.axes, noise).first().map_or(f64::NAN, |size| size.radius)
}

/// Each minimum and the one that it meets first.
fn gaps(tree: &Tree) -> Vec<(usize, usize)> {
    let mut first: Vec<Option<(usize, usize)>> = vec![None; tree.minima.len()];
    for (number, own) in tree.minima.iter().enumerate() {
        let Some(merge) = own.merge else { continue };
        for (minimum, other) in [(number, merge.into), (merge.into, number)] {
            if tree.minima[minimum].first == Some(merge.saddle) {
                first[minimum] = Some((tree.minima[minimum].cell, tree.minima[other].cell));
            }
        }
    }
    first.into_iter().flatten().collect()
}

/// Both surfaces, and how many standard errors hold all differences.
struct Bands<'a> {
    sides: [&'a Side<'a>; 2],
    between: &'a Pairs,
    might_be: [Vec<usize>; 2],
    criticals: [f64; 2],
    critical: f64,
}

impl<'a> Bands<'a> {
    /// None where the examples are too few.
    fn new(sides: [&'a Side<'a>; 2], between: &'a Pairs, level: f64, seed: u64) -> Option<Bands<'a>> {
        let might_be = sides.map(|side| candidates(&side.field, side.pairs));
        let criticals = [0, 1].map(|i| sides[i].pairs.critical(&might_be[i], level, seed));
        // Surfaces that are the same have no differences.
        let critical = between.critical(&might_be.concat(), level, seed);
        let critical = if (0..2).any(|i| between.errors(might_be[i][0]).iter().any(|se| *se > 0.0)) {
            critical
        } else {
            0.0
        };
        let finite = criticals.iter().chain([&critical]).all(|c| c.is_finite());
        finite.then_some(Bands { sides, between, might_be, criticals, critical })
    }

    fn rise(&self, i: usize, ends: (usize, usize)) -> (f64, f64) {
        rise(&self.sides[i].field, ends, self.sides[i].pairs, self.criticals[i])
    }

    /// Ends of the persistence of a minimum: of the smaller of both rises.
    fn barrier(&self, i: usize, (one, other): (usize, usize)) -> (f64, f64) {
        let [forth, back] = [(one, other), (other, one)].map(|ends| self.rise(i, ends));
        (forth.0.min(back.0), forth.1.min(back.1))
    }

    fn persistence(&self, known: &[Known; 2], rank: usize) -> (f64, f64) {
        let pairs = [0, 1].map(|i| known[i].ranked.get(rank - 1).map(|(pair, _)| *pair));
        let ends = [0, 1].map(|i| match pairs[i] {
            Some(pair) => self.barrier(i, pair),
            // No more than what another minimum could have.
            None => (
                0.0,
                self.might_be[i].iter().map(|c| self.rise(i, (*c, known[i].main)).1).fold(0.0, f64::max),
            ),
        });
        let apart = minus(ends);
        match pairs {
            [Some((a, b)), Some((c, d))] if (a, b) == (c, d) || (a, b) == (d, c) => {
                let [forth, back] = [(a, b), (b, a)].map(|ends| self.paired(ends));
                narrower(apart, (forth.0.min(back.0), forth.1.max(back.1)))
            }
            _ => apart,
        }
    }

    fn smad(&self, known: &[Known; 2]) -> Option<(f64, f64)> {
        if known.iter().all(|own| own.gaps.is_empty()) || known.iter().any(|own| !own.all_shown) {
            return None;
        }
        let mean = |all: Vec<(f64, f64)>| {
            let of = |end: fn(&(f64, f64)) -> f64| all.iter().map(end).sum::<f64>() / all.len().max(1) as f64;
            (of(|ends| ends.0), of(|ends| ends.1))
        };
        let own = |i: usize| known[i].gaps.iter().map(|pair| self.rise(i, *pair)).collect();
        let apart = minus([mean(own(0)), mean(own(1))]);
        let same = known[0].gaps == known[1].gaps;
        let paired = || mean(known[0].gaps.iter().map(|pair| self.paired(*pair)).collect());
        Some(if same { narrower(apart, paired()) } else { apart })
    }

    /// Ends of the difference of the rises between the same two points on both surfaces.
    fn paired(&self, ends: (usize, usize)) -> (f64, f64) {
        let from = ends.0;
        let heights = |i: usize| {
            let (side, errors) = (self.sides[i], self.sides[i].pairs.errors(from));
            let height = |k: usize| side.field.values[k] - side.field.values[from];
            (0..errors.len()).map(|k| (height(k), self.criticals[i] * errors[k])).collect::<Vec<_>>()
        };
        let (a, b, errors) = (heights(0), heights(1), self.between.errors(from));
        let (rise_a, rise_b) = (self.rise(0, ends), self.rise(1, ends));
        let end = |sign: f64, one: &[(f64, f64)], most: f64, other: &[(f64, f64)], least: f64| {
            let may = |k: &usize| one[*k].0 - one[*k].1 <= most && other[*k].0 + other[*k].1 >= least;
            let at = |k: usize| sign * (a[k].0 - b[k].0) + self.critical * errors[k];
            sign * (0..errors.len()).filter(may).map(at).fold(f64::NEG_INFINITY, f64::max)
        };
        (end(-1.0, &a, rise_a.1, &b, rise_b.0), end(1.0, &b, rise_b.1, &a, rise_a.0))
    }

    /// Ends of the difference of the numbers of minima.
    fn number(&self, known: &[Known; 2]) -> (f64, f64) {
        minus([0, 1].map(|i| {
            let apart = |a: usize, b: usize| self.barrier(i, (a, b)).0 > 0.0;
            let mut least: Vec<usize> = Vec::new();
            for own in &known[i].shown {
                if least.iter().all(|other| apart(*own, *other)) {
                    least.push(*own);
                }
            }
            // Laid edge to edge from one of eight corners.
            let cubes = |corner: usize| {
                let shifted = |(axis, at): (usize, usize)| (at + (corner >> axis & 1)) / 2;
                let cube = |cell: &usize| {
                    let [x, y, z] = self.sides[i].field.place(*cell);
                    [(0, x), (1, y), (2, z)].map(shifted)
                };
                self.might_be[i].iter().map(cube).collect::<BTreeSet<_>>().len()
            };
            let most = (0..8).map(cubes).min().unwrap_or(0);
            (least.len() as f64, most.max(least.len()) as f64)
        }))
    }

    /// Between which the differences of the radius lie on the shifted surfaces, and the one found.
    fn radius(&self, joint: &Pairs, difference: f64, level: f64, seed: u64) -> Option<(f64, f64)> {
        let cells = self.sides[0].field.values.len();
        let shifted = |k: u64| {
            let shifts = joint.shifts(k, seed);
            let [first, second] = [0, 1].map(|i| self.shifted_radius(i, &shifts[i * cells..]));
            first - second
        };
        let mut all: Vec<f64> = (0..SHIFTED).into_par_iter().map(shifted).collect();
        all.retain(|value| value.is_finite());
        all.sort_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        let ends = || (quantile(&all, tail).min(difference), quantile(&all, 1.0 - tail).max(difference));
        (!all.is_empty()).then(ends)
    }

    /// There a minimum may be noise where its persistence is within the critical number of errors.
    fn shifted_radius(&self, i: usize, shifts: &[f64]) -> f64 {
        let side = self.sides[i];
        let values: Vec<f64> =
            side.field.values.iter().zip(shifts).map(|(value, shift)| value + shift).collect();
        let field = Field { values: &values, ..side.field };
        let tree = Tree::of(&field);
        let is_noise = |(number, own): (usize, &super::Minimum)| {
            let height = tree.persistence(&field, number);
            height.zip(own.merge).is_some_and(|(height, merge)| {
                height <= self.criticals[i] * side.pairs.error(merge.saddle, own.cell)
            })
        };
        let noise: Vec<bool> = tree.minima.iter().enumerate().map(is_noise).collect();
        radius(side, &tree, &noise)
    }
}

/// Ends of a difference from those of both.
fn minus([first, second]: [(f64, f64); 2]) -> (f64, f64) {
    (first.0 - second.1, first.1 - second.0)
}

fn narrower(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    (one.0.max(other.0), one.1.min(other.1))
}
