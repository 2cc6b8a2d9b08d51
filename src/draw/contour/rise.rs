//! Rises: losses less that of the trained model in the same panel, so that panels of models whose losses differ a
//! little can be compared. A band of absolute losses would show that little difference, which is mostly noise of the
//! examples, and hide the shapes.
//!
//! The trap: a rise smaller than its error is no shape either. So no level lies nearer to 0 than what the errors below it
//! allow ([`least`]), and the lowest point is marked only where it is lower than the model by [`CLEAR`] errors.

use super::{Panel, has_cross, is_known};

/// Paired standard errors by which a point must be lower than the model to be marked, and a level higher than 0.
pub(crate) const CLEAR: f64 = 2.0;
/// The level nearest to 0 where rises are of the usual size, and how many times smaller than the highest it is at least
/// and at most.
const USUAL: f64 = 0.01;
const FEW: f64 = 20.0;
const MANY: f64 = 1e5;

/// The panels as rises, unless one of them is around no trained model or has no finite loss there.
pub fn rises(panels: &[Panel]) -> Option<Vec<Panel>> {
    let rise = |panel: &Panel| {
        let centre = panel.centre.filter(|loss| loss.is_finite() && has_cross(panel))?;
        let loss = panel.loss.iter().map(|loss| loss - centre).collect();
        Some(Panel { loss, ..panel.clone() })
    };
    panels.iter().map(rise).collect()
}

/// The level nearest to 0 for rises up to `largest` in size: one of 1, 2, 5 in its decade, under which half of the rises are known
/// to within half of it.
pub(super) fn least(panels: &[Panel], largest: f64) -> f64 {
    let mut least = series(USUAL.min(largest / FEW).max(largest / MANY));
    let errors: Vec<(f64, f64)> = panels.iter().flat_map(known).collect();
    while least < largest && median_below(&errors, least).is_some_and(|error| CLEAR * error > least) {
        least = series(least * 1.5);
    }
    least
}

/// Sizes of the rises that were evaluated, and their errors, but for the models themselves.
fn known(panel: &Panel) -> impl Iterator<Item = (f64, f64)> {
    let errors = panel.errors.as_deref().unwrap_or_default();
    let own = panel.loss.iter().zip(errors).enumerate().filter(|(i, _)| is_known(panel, *i));
    own.map(|(_, (rise, error))| (rise.abs(), *error)).filter(|(_, error)| *error > 0.0)
}

/// The median error of the rises up to a size.
fn median_below(errors: &[(f64, f64)], size: f64) -> Option<f64> {
    let mut below: Vec<f64> =
        errors.iter().filter(|(rise, _)| *rise <= size).map(|(_, error)| *error).collect();
    below.sort_by(f64::total_cmp);
    below.get(below.len() / 2).copied()
}

/// The first of 1, 2, 5 times powers of ten that is not below `v`.
fn series(v: f64) -> f64 {
    let power = v.log10().floor() as i32;
    // By way of text: the nearest numbers to what a reader would write.
    let all = (power..=power + 1).flat_map(|p| [1, 2, 5].map(|m| format!("{m}e{p}").parse().unwrap_or(v)));
    all.into_iter().find(|level| *level >= v * (1.0 - 1e-9)).unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::marks::Marks;

    fn panel(loss: &[f64], errors: Option<&[f64]>) -> Panel {
        Panel {
            title: "panel".into(),
            axes: None,
            x: vec![-1.0, 0.0, 1.0],
            y: vec![-1.0, 0.0, 1.0],
            loss: loss.to_vec(),
            centre: Some(loss[4]),
            centre_se: None,
            errors: errors.map(<[f64]>::to_vec),
            known: None,
            dotted: None,
            note: None,
            marks: Marks::default(),
        }
    }

    /// Oracle: on paper. Catches a rise above the lowest point, or above another panel's centre.
    #[test]
    fn each_panel_rises_from_its_own_model() {
        let one = panel(&[3.0, 2.0, 3.0, 2.0, 1.5, 2.0, 3.0, 1.0, 3.0], None);
        let other = panel(&[4.0, 4.0, 4.0, 4.0, 2.0, 4.0, 4.0, 4.0, 4.0], None);
        let rises = rises(&[one.clone(), other]).unwrap();
        assert_eq!(rises[0].loss, [1.5, 0.5, 1.5, 0.5, 0.0, 0.5, 1.5, -0.5, 1.5]);
        assert_eq!((rises[1].loss[0], rises[1].loss[4], rises[1].centre), (2.0, 0.0, Some(2.0)));
        // Around no model there is nothing to rise from.
        let nowhere = Panel { x: vec![1.0, 2.0, 3.0], ..one.clone() };
        assert!(super::rises(&[one.clone(), nowhere]).is_none());
        assert!(super::rises(&[Panel { centre: Some(f64::NAN), ..one.clone() }]).is_none());
        assert!(super::rises(&[Panel { centre: None, ..one }]).is_none());
    }

    /// Oracle: on paper. Errors of 0.004 allow 0.01 (twice 0.004 is less), errors of 0.012 ask for 0.05: below 0.02 the
    /// median is 0.012, twice that is 0.024. The errors of what lies far up do not count.
    #[test]
    fn no_level_is_finer_than_the_errors_allow() {
        let rise = [0.5, 0.004, 0.5, 0.006, 0.0, 0.008, 0.5, 0.015, 0.5];
        let with = |near: f64| {
            let errors: Vec<f64> = rise.iter().map(|r| if *r > 0.1 { 0.3 } else { near }).collect();
            least(&[panel(&rise, Some(&errors))], 0.5)
        };
        assert_eq!((with(0.004), with(0.008), with(0.012)), (0.01, 0.02, 0.05));
        assert_eq!(least(&[panel(&rise, None)], 0.5), 0.01);
        assert_eq!([1e-3, 0.04, 2.0, 3e5].map(|largest| least(&[], largest)), [5e-5, 2e-3, 0.01, 5.0]);
    }
}
