//! What to do next where a study compares nothing: seeds that compare arms, or values behind the end of an axis.

use std::collections::BTreeMap;

use super::tables::{Row, Summary, distinct};
use crate::run::story::ONE_SEED;

/// Values of a series that may be said to have its best at an end.
const LEAST: usize = 3;

/// Values of an axis in the cells that differ in it alone, each with its score.
type Series = Vec<(f64, f64)>;

impl Summary<'_> {
    pub(super) fn next(&self) -> Option<String> {
        if distinct(self.rows.iter().map(|row| &row.training.arm)).len() > 1 {
            let one = self.rows.iter().all(|row| row.training.seeds <= 1);
            return one.then(|| ONE_SEED.into());
        }
        (0..self.study.axes.len()).find_map(|axis| behind(&self.study.axes[axis], &self.series(axis)))
    }

    /// None for an axis of other values than numbers.
    fn series(&self, axis: usize) -> Vec<Series> {
        let mut all: BTreeMap<Vec<&str>, Series> = BTreeMap::new();
        for Row { cell, training } in self.rows.iter().filter(|row| row.training.mean.is_finite()) {
            let Ok(value) = cell.values[axis].parse() else { return Vec::new() };
            let mut others: Vec<&str> = cell.values.iter().map(String::as_str).collect();
            others.remove(axis);
            all.entry(others).or_default().push((value, training.mean));
        }
        all.into_values().filter(|series| series.len() >= LEAST).collect()
    }
}

/// The end of a series at which alone the score is highest, and whether it is the upper one. Nothing lies behind 0, or behind a
/// fraction of 1.
fn best_end(series: &Series) -> Option<(f64, bool)> {
    let highest = series.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let mut best = series.iter().filter(|(_, score)| *score == highest);
    let (Some((value, _)), None) = (best.next(), best.next()) else { return None };
    let upper = series.iter().all(|(other, _)| other <= value);
    let lower = series.iter().all(|(other, _)| other >= value);
    ((upper || lower) && *value != 0.0 && *value != 1.0).then_some((*value, upper))
}

/// Asks for values behind the end at which most series have their best score.
fn behind(axis: &str, all: &[Series]) -> Option<String> {
    let ends: Vec<(f64, bool)> = all.iter().filter_map(best_end).collect();
    let of = |upper: bool| ends.iter().filter(move |end| end.1 == upper).map(|end| end.0);
    let upper = of(true).count() >= of(false).count();
    let often = of(upper).count();
    let (end, word) = match upper {
        true => (of(true).reduce(f64::max)?, "largest"),
        false => (of(false).reduce(f64::min)?, "smallest"),
    };
    let wider = if upper { "larger" } else { "smaller" };
    let share = if all.len() == 1 { String::new() } else { format!(", in {often} of {} series", all.len()) };
    Some(format!("Try {wider} values of {axis}: the score is highest at the {word}, {end}{share}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. The best score inside, at an end, at both ends, twice; ends that nothing lies behind.
    #[test]
    fn the_best_at_an_end_asks_for_more() {
        let of = |scores: &[f64]| -> Series { (2..).map(f64::from).zip(scores.iter().copied()).collect() };
        let lr = |all: &[Series]| behind("train.lr", all);
        assert_eq!(lr(&[of(&[0.1, 0.3, 0.2])]), None);
        assert_eq!(lr(&[of(&[0.3, 0.1, 0.3])]), None);
        assert_eq!(
            lr(&[of(&[0.1, 0.2, 0.3])]).unwrap(),
            "Try larger values of train.lr: the score is highest at the largest, 4."
        );
        let three = [of(&[0.3, 0.2, 0.1]), of(&[0.1, 0.3, 0.2]), of(&[0.9, 0.3, 0.2])];
        assert_eq!(
            lr(&three).unwrap(),
            "Try smaller values of train.lr: the score is highest at the smallest, 2, in 2 of 3 series."
        );
        let fractions = vec![(0.1, 0.1), (0.5, 0.2), (1.0, 0.3)];
        assert_eq!((behind("train.fraction", &[fractions]), lr(&[])), (None, None));
    }
}
