//! Rows that are one draw of the data: windows of a question, lines of an article.
//!
//! Rows of a group are alike, so an error that took them for independent would be too small: twice the same window adds nothing. Here
//! groups are what is independent. The error of a mean is that of a ratio of group sums, `Σ s_g / Σ n_g` (Cochran 1977, section 6.3), and a
//! bootstrap draws whole groups.
//!
//! Windows are `whole`: parts of one example, which no sub-sample and no resample parts. Lines are examples of their own: sub-samples
//! draw them one by one, and a resample has as many of them as there are, so it cuts the group that it ends with.
//!
//! Where no group has two rows, everything is as if there were no groups, to the last bit.

use std::collections::BTreeMap;

use super::{ratio_se, standard_error};
use crate::rng::Stream;

/// Which rows are one draw; by default each is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clusters {
    /// Rows of each group, ascending, groups as they first come; `None` where each row is one draw.
    groups: Option<Vec<Vec<usize>>>,
    /// Whether a group is one example.
    whole: bool,
}

impl Clusters {
    /// By the group of each row; rows without one stand alone, and then all do.
    pub fn new(groups: &[Option<u32>], whole: bool) -> Clusters {
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let Some(group) = group else { return Clusters::default() };
            let place = *places.entry(*group).or_insert(members.len());
            match members.get_mut(place) {
                Some(own) => own.push(row),
                None => members.push(vec![row]),
            }
        }
        match members.len() == groups.len() {
            true => Clusters::default(),
            false => Clusters { groups: Some(members), whole },
        }
    }

    /// Groups, where some have several rows.
    pub fn groups(&self) -> Option<usize> {
        self.groups.as_ref().map(Vec::len)
    }

    /// Rows of each example, where examples may have several.
    pub fn parts(&self) -> Option<&[Vec<usize>]> {
        self.groups.as_deref().filter(|_| self.whole)
    }

    /// How many examples `rows` are.
    pub fn examples(&self, rows: usize) -> usize {
        self.parts().map_or(rows, <[_]>::len)
    }

    /// Rows of these examples.
    pub fn rows(&self, examples: &[usize]) -> Vec<usize> {
        match self.parts() {
            Some(parts) => examples.iter().flat_map(|&example| &parts[example]).copied().collect(),
            None => examples.to_vec(),
        }
    }

    /// The number of each row's group, where some have several rows.
    pub fn numbers(&self) -> Option<Vec<i64>> {
        let groups = self.groups.as_ref()?;
        let mut numbers = vec![0; groups.iter().map(Vec::len).sum()];
        for (group, rows) in groups.iter().enumerate() {
            rows.iter().for_each(|&row| numbers[row] = group as i64);
        }
        Some(numbers)
    }

    /// Sums over the rows of each group, of one value a row.
    pub fn sums(&self, values: &[f64]) -> Vec<f64> {
        match &self.groups {
            Some(groups) => groups.iter().map(|rows| rows.iter().map(|&row| values[row]).sum()).collect(),
            None => values.to_vec(),
        }
    }

    /// Standard error of the mean over rows.
    pub fn standard_error(&self, values: &[f64]) -> f64 {
        match self.groups {
            Some(_) => self.ratio_se(values, &vec![1.0; values.len()]),
            None => standard_error(values),
        }
    }

    /// [`ratio_se`] over groups.
    pub fn ratio_se(&self, sums: &[f64], targets: &[f64]) -> f64 {
        ratio_se(&self.sums(sums), &self.sums(targets))
    }

    /// Rows of a resample of `rows`: groups drawn with replacement.
    pub fn resampled(&self, rows: usize, stream: &Stream) -> Vec<usize> {
        let Some(groups) = &self.groups else {
            return (0..rows as u64).map(|i| stream.below(i, rows as u64) as usize).collect();
        };
        let drawn = |k: u64| &groups[stream.below(k, groups.len() as u64) as usize];
        match self.whole {
            true => (0..groups.len() as u64).flat_map(drawn).copied().collect(),
            false => (0..).flat_map(drawn).copied().take(rows).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{mean, ratio_parts, sd};

    const GROUPS: [u32; 9] = [4, 4, 1, 7, 7, 7, 1, 0, 2];
    const VALUES: [f64; 9] = [1.0, 3.0, 2.5, 0.5, 4.0, 1.5, 6.0, 2.0, 8.0];

    fn clusters(whole: bool) -> Clusters {
        Clusters::new(&GROUPS.map(Some), whole)
    }

    /// Oracle: the formula of a cluster sample, written out row by row: `G/(G - 1) Σ_g (Σ_{n in g} (v_n - mean))² / N²`. Catches groups
    /// taken for neighbours, a mean of group means, and the factor of rows in place of groups.
    #[test]
    fn errors_are_those_of_a_sample_of_groups() {
        let centre = mean(&VALUES);
        let distinct = [4, 1, 7, 0, 2];
        let square = |group: u32| {
            let own = GROUPS.iter().zip(VALUES).filter(|(other, _)| **other == group);
            own.map(|(_, v)| v - centre).sum::<f64>().powi(2)
        };
        let wanted = (5.0 / 4.0 * distinct.into_iter().map(square).sum::<f64>()).sqrt() / 9.0;
        assert!((clusters(true).standard_error(&VALUES) - wanted).abs() < 1e-12);
        assert_eq!(clusters(true).sums(&VALUES), [4.0, 8.5, 6.0, 2.0, 8.0]);
        assert_eq!(clusters(true).numbers(), Some(vec![0, 0, 1, 2, 2, 2, 1, 3, 4]));
        assert_eq!((clusters(true).examples(9), clusters(false).examples(9)), (5, 9));
    }

    /// Oracle: the single rows. Three copies of each in a group of its own have their error, not one smaller by √3; groups of one row
    /// each, or a row without a group, give what is given without groups, to the last bit.
    #[test]
    fn copies_in_one_group_tell_nothing() {
        let single = Clusters::default().standard_error(&VALUES);
        assert_eq!(single, standard_error(&VALUES));
        let thrice: Vec<f64> = VALUES.iter().flat_map(|v| [*v; 3]).collect();
        let groups: Vec<Option<u32>> = (0..27).map(|i| Some(i / 3)).collect();
        let tripled = Clusters::new(&groups, true).standard_error(&thrice);
        assert!((tripled - single).abs() < 1e-12, "{tripled}, {single}");
        let apart: Vec<Option<u32>> = (0..9).rev().map(Some).collect();
        assert_eq!(Clusters::new(&apart, true), Clusters::default());
        let broken = [Some(1), Some(1), None];
        assert_eq!(Clusters::new(&broken, true), Clusters::default());
    }

    /// Oracle: the formula above, for the spread of means over many resamples, which differs by the error of a spread over 4000 (1.1 %) and
    /// by the factor of 10 groups in place of 9; and the groups themselves. Catches windows that part, a resample of rows, and one of
    /// another size.
    #[test]
    fn resamples_draw_groups() {
        let groups: Vec<u32> =
            (0..40).map(|i| [0, 0, 0, 1, 2, 2, 3, 4, 4, 4][i % 10] + 5 * (i as u32 / 10)).collect();
        let values: Vec<f64> = groups.iter().map(|g| f64::from(*g * 7 % 11)).collect();
        let some: Vec<Option<u32>> = groups.iter().copied().map(Some).collect();
        for whole in [true, false] {
            let clusters = Clusters::new(&some, whole);
            let resample = |b: u64| clusters.resampled(40, &Stream::new(5, "test/clusters").at(b));
            let means: Vec<f64> = (0..4000)
                .map(|b| mean(&resample(b).into_iter().map(|row| values[row]).collect::<Vec<_>>()))
                .collect();
            let wanted = clusters.standard_error(&values) * (19f64 / 20.0).sqrt();
            assert!((sd(&means) / wanted - 1.0).abs() < 0.06, "{whole}: {}, expected {wanted}", sd(&means));
            for rows in (0..200).map(resample) {
                let count = |row: usize| rows.iter().filter(|other| **other == row).count();
                let parted =
                    (1..40).filter(|&row| groups[row] == groups[row - 1] && count(row) != count(row - 1));
                match whole {
                    true => assert_eq!(parted.count(), 0),
                    // The last group alone is cut.
                    false => assert!(rows.len() == 40 && parted.count() <= 1),
                }
            }
        }
    }

    /// Oracle: [`ratio_se`]: sums of parts by group have the error that the groups have.
    #[test]
    fn parts_of_a_ratio_add_up_by_group() {
        let (clusters, ones) = (clusters(false), [1.0; 9]);
        let parts = ratio_parts(&clusters.sums(&VALUES), &clusters.sums(&ones));
        assert!((standard_error(&parts) - clusters.standard_error(&VALUES)).abs() < 1e-12);
    }
}
