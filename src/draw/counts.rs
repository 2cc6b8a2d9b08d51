//! How many of some values a figure does not show to scale, in the words of keys and captions.

use crate::draw::numbers::significant;

/// Counts over the points of a figure or a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) points: usize,
    /// Not finite.
    pub(crate) lost: usize,
    /// Above the clip, and the highest of them.
    pub(crate) clipped: usize,
    highest: f64,
    clip: f64,
}

impl Counts {
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a f64>, clip: Option<f64>) -> Counts {
        let clip = clip.unwrap_or(f64::INFINITY);
        let none = Counts { points: 0, lost: 0, clipped: 0, highest: f64::NEG_INFINITY, clip };
        values.into_iter().fold(none, |mut counts, &v| {
            counts.points += 1;
            counts.lost += usize::from(!v.is_finite());
            counts.clipped += usize::from(v.is_finite() && v > clip);
            counts.highest = if v.is_finite() { counts.highest.max(v) } else { counts.highest };
            counts
        })
    }

    /// `clipped above 3: 17 of 121 points, up to 41.2`, if there are such points.
    pub(crate) fn clipped_words(&self) -> Option<String> {
        let Counts { points, clipped, highest, clip, .. } = self;
        let [clip, highest] = [clip, highest].map(|v| significant(*v, 4));
        (*clipped > 0).then(|| format!("clipped above {clip}: {clipped} of {points} points, up to {highest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper. What is infinite is not clipped but lost; what equals the clip is shown.
    #[test]
    fn clipped_and_lost_points_are_told_apart() {
        let values = [1.0, 3.0, 3.5, f64::INFINITY, 41.25, f64::NAN];
        let counts = Counts::of(&values, Some(3.0));
        assert_eq!((counts.points, counts.lost, counts.clipped), (6, 2, 2));
        assert_eq!(counts.clipped_words().unwrap(), "clipped above 3: 2 of 6 points, up to 41.25");
        assert_eq!(Counts::of(&values, None).clipped_words(), None);
    }
}
