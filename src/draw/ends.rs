//! Names where curves end, at the right of a panel, instead of a key: what is read need not be looked up.
//!
//! Names keep the order of the ends and stand as near to them as they can without touching; a thin line joins what had to move.
//!
//! Used by [`crate::figures::training`].

use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, Point, widest};
use crate::draw::curves::{Look, stroke};
use crate::draw::text::SMALL;

/// From a panel to the signs, from there to the names, and from name to name, pt.
const LEAD: f64 = 9.0;
const SIGN: f64 = 5.0;
const STEP: f64 = 1.25 * SMALL;
/// Names are no wider than this part of the panel.
const WIDEST: f64 = 0.45;

/// The end of a curve.
pub(crate) struct End {
    /// Its height on the sheet.
    pub(crate) y: f64,
    pub(crate) look: Look,
    pub(crate) words: String,
}

/// Room for the names of some curves beside a panel of a size, if they fit there.
pub(crate) fn room<'a>(words: impl ExactSizeIterator<Item = &'a str>, (width, height): Point) -> Option<f64> {
    let (count, names) = (words.len(), widest(words, SMALL));
    let fits = names <= WIDEST * width && STEP * count as f64 <= height && count > 1;
    fits.then_some(LEAD + SIGN + names + 2.0)
}

/// The names at the right of a panel that ends at `right` and reaches from `top` to `bottom`.
pub(crate) fn draw(canvas: &Canvas, right: f64, (top, bottom): (f64, f64), mut ends: Vec<End>) {
    ends.sort_by(|a, b| a.y.total_cmp(&b.y));
    let places = spread(&ends.iter().map(|end| end.y).collect::<Vec<f64>>(), (top, bottom));
    for (end, y) in ends.iter().zip(places) {
        let lead = [(right + 0.5, end.y), (right + LEAD - 3.0, y)];
        stroke(canvas, &lead, end.look.colour, "stroke-width=\".35\"");
        end.look.marker(canvas, (right + LEAD, y));
        let at = (right + LEAD + SIGN, y + SMALL * DIGIT_HEIGHT / 2.0);
        canvas.text(&end.words, at, SMALL, Anchor::Start, 0.0, "#000");
    }
}

/// Ascending heights moved apart, in their order and between two ends where there is room.
fn spread(heights: &[f64], (top, bottom): (f64, f64)) -> Vec<f64> {
    let half = STEP / 2.0;
    let mut places = Vec::with_capacity(heights.len());
    let mut least = top + half;
    for y in heights {
        places.push(y.max(least));
        least = places.last().map_or(least, |y| y + STEP);
    }
    let mut most = bottom - half;
    for y in places.iter_mut().rev() {
        *y = y.min(most);
        most = *y - STEP;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper: ends that have room keep their places; those at one height stand a step apart, in order, within the
    /// panel, also at its edges.
    #[test]
    fn names_keep_apart_and_in_order() {
        assert_eq!(spread(&[20.0, 50.0, 90.0], (0.0, 100.0)), [20.0, 50.0, 90.0]);
        for heights in [vec![50.0; 6], vec![0.0; 6], vec![100.0; 6], vec![0.0, 1.0, 2.0, 98.0, 99.0, 100.0]] {
            let places = spread(&heights, (0.0, 100.0));
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] > STEP - 1e-9), "{places:?}");
            assert!(places[0] >= STEP / 2.0 - 1e-9 && places[5] <= 100.0 - STEP / 2.0 + 1e-9, "{places:?}");
        }
    }

    #[test]
    fn names_need_room() {
        let few = ["uniform 0.05", "guided"];
        assert!(room(few.into_iter(), (200.0, 100.0)).is_some());
        assert!(
            room(few.into_iter(), (60.0, 100.0)).is_none() && room(few.into_iter(), (200.0, 12.0)).is_none()
        );
        assert!(room(["guided"].into_iter(), (200.0, 100.0)).is_none(), "a curve alone needs no name there");
    }
}
