//! Many differences of the same examples at once, such as those at the points of a grid: which are shown, if the chance that any is
//! by chance alone is to be 5 %.
//!
//! `T_k = D_k / se_k` with `D_k = Σ_n d_nk / Σ_n m_n` and its ratio-estimator error. The critical value is the quantile of
//! `max_k |T_k|` under random signs of whole draws of the data, `Σ_g ±v_gk / sqrt(Σ_g v_gk²)` with the residuals
//! `v_gk = d_gk - D_k m_g`: what neighbours have in common makes it smaller than Bonferroni's (Westfall and Young 1993; signs as in
//! Hothorn, Bretz and Westfall 2008 and the wild bootstrap).
//!
//! The trap: 121 intervals of 95 % would mark six points of two equal models.

use super::clusters::Clusters;
use crate::rng::Stream;

/// Random signs of all examples: the quantile is then known to about 0.02.
const DRAWS: u64 = 2000;

/// A difference at each point.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    pub value: Vec<f64>,
    pub se: Vec<f64>,
    /// What `|T|` must exceed.
    pub critical: f64,
}

impl Differences {
    /// Of `d_n` at each point, for examples with so many targets; `level` such as 0.95.
    pub fn new(points: &[Vec<f64>], targets: &[f64], clusters: &Clusters, level: f64) -> Differences {
        let total: f64 = targets.iter().sum();
        let value: Vec<f64> = points.iter().map(|d| d.iter().sum::<f64>() / total).collect();
        let se = points.iter().map(|d| clusters.ratio_se(d, targets)).collect();
        let m = clusters.sums(targets);
        let scaled = |(d, mean): (&Vec<f64>, &f64)| {
            let v: Vec<f64> = clusters.sums(d).iter().zip(&m).map(|(d, m)| d - mean * m).collect();
            let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            // A point without spread, the centre itself, has no T.
            (length > 1e-12).then(|| v.iter().map(|v| (v / length) as f32).collect::<Vec<f32>>())
        };
        let residuals: Vec<Vec<f32>> = points.iter().zip(&value).filter_map(scaled).collect();
        let critical = critical(&residuals, m.len(), level);
        Differences { value, se, critical }
    }

    /// Whether the difference at a point is shown.
    pub fn is_shown(&self, point: usize) -> bool {
        (self.value[point] / self.se[point]).abs() > self.critical
    }

    /// How many are.
    pub fn shown(&self) -> usize {
        (0..self.value.len()).filter(|&point| self.is_shown(point)).count()
    }
}

/// The quantile of the largest `|T|` under random signs.
fn critical(residuals: &[Vec<f32>], draws: usize, level: f64) -> f64 {
    let stream = Stream::new(0, "max-t/signs");
    let mut largest: Vec<f64> = (0..DRAWS)
        .map(|k| {
            let stream = stream.at(k);
            let sign = |i: usize| if stream.bits(i as u64 / 64) >> (i % 64) & 1 == 1 { 1.0 } else { -1.0 };
            let signs: Vec<f32> = (0..draws).map(sign).collect();
            let t = |v: &Vec<f32>| v.iter().zip(&signs).map(|(v, sign)| v * sign).sum::<f32>().abs();
            f64::from(residuals.iter().map(t).fold(0.0, f32::max))
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    let at = (level * DRAWS as f64).ceil() as usize;
    largest.get(at.saturating_sub(1)).copied().filter(|v| *v > 0.0).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a difference: what all points have in common, and what each has of its own.
    fn noise(points: usize, examples: usize, common: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut all = vec![0f32; (points + 1) * examples];
        Stream::new(seed, "test/max-t").fill_normal(0, &mut all);
        let (shared, own) = all.split_at(examples);
        let point = |own: &[f32]| {
            own.iter()
                .zip(shared)
                .map(|(own, shared)| f64::from(*own) + common * f64::from(*shared))
                .collect()
        };
        own.chunks(examples).map(point).collect()
    }

    /// Oracle: the normal distribution: of K independent points the largest |T| is below `Φ⁻¹((1 + 0.95^(1/K)) / 2)` with 95 %:
    /// 1.96 for one and 3.39 for 73; of points that are all the same it is that of one. 0.1: three errors of the quantile.
    #[test]
    fn the_critical_value_is_that_of_independent_or_equal_points() {
        let of = |points: &[Vec<f64>]| {
            let targets = vec![1.0; points[0].len()];
            Differences::new(points, &targets, &Clusters::default(), 0.95).critical
        };
        assert!((of(&noise(1, 400, 0.0, 1)) - 1.96).abs() < 0.1);
        assert!((of(&noise(73, 400, 0.0, 2)) - 3.39).abs() < 0.1);
        let same = vec![noise(1, 400, 0.0, 3).remove(0); 73];
        assert!((of(&same) - 1.96).abs() < 0.1);
    }

    /// Oracle: simulated surfaces without a difference: in 5 % of 400 any point is shown, within three errors of such a share (1.1 %).
    /// Intervals of single points would show one in most. A difference of five errors is shown where it is and nowhere else.
    #[test]
    fn without_a_difference_few_maps_show_one() {
        let (points, examples) = (25, 60);
        let targets = vec![1.0; examples];
        let map = |seed: u64, add: f64| {
            let mut all = noise(points, examples, 1.0, seed);
            all[7].iter_mut().for_each(|d| *d += add);
            Differences::new(&all, &targets, &Clusters::default(), 0.95)
        };
        let any = (0..400).filter(|seed| map(100 + seed, 0.0).shown() > 0).count();
        let singly = (0..400).filter(|seed| {
            let map = map(100 + seed, 0.0);
            (0..points).any(|k| (map.value[k] / map.se[k]).abs() > 2.0)
        });
        assert!((7..=34).contains(&any), "{any} of 400");
        assert!(singly.count() > 100);
        let shown: Vec<usize> = (0..points).filter(|&k| map(1, 1.5).is_shown(k)).collect();
        assert_eq!(shown, [7]);
    }

    /// Oracle: two copies of each example in one draw are the examples alone; as draws of their own they would look more certain.
    #[test]
    fn what_is_one_draw_gets_one_sign() {
        let single = noise(5, 40, 0.5, 9);
        let twice: Vec<Vec<f64>> = single.iter().map(|d| d.iter().flat_map(|v| [*v, *v]).collect()).collect();
        let groups: Vec<Option<u32>> = (0..80).map(|i| Some(i / 2)).collect();
        let together = Differences::new(&twice, &[1.0; 80], &Clusters::new(&groups, true), 0.95);
        let alone = Differences::new(&single, &[1.0; 40], &Clusters::default(), 0.95);
        for k in 0..5 {
            assert!((together.se[k] / alone.se[k] - 1.0).abs() < 1e-9);
        }
        assert!((together.critical - alone.critical).abs() < 1e-3);
    }
}
