//! Several draws of one curve (seeds, directions, masks): their mean, their range, and each of them.
//!
//! The range is what was seen: it needs no distribution, holds for three draws as for thirty, and never lies where no
//! draw was, as a mean ± a standard deviation may. It grows with the number of draws, which a key should say.
//!
//! The trap: a mean over the draws that happen to have a value would get better where a bad one diverges. So it is
//! made only where every draw has one.
//!
//! Used by [`crate::figures::training`] and [`crate::draw::profile`].

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves;
use crate::draw::frame::Plot;
use crate::stats;

/// Curves as (x, value), not finite where nothing can be drawn.
pub(crate) struct Draws {
    /// Each draw, where there are several.
    pub(crate) single: Vec<Vec<Point>>,
    /// At the x that all draws have.
    pub(crate) mean: Vec<Point>,
    /// (x, low, high) around the mean: the range where there are several draws.
    pub(crate) band: Vec<(f64, f64, f64)>,
}

impl Draws {
    pub(crate) fn new(all: Vec<Vec<Point>>) -> Draws {
        let (mut mean, mut band) = (Vec::new(), Vec::new());
        for &(x, _) in all.first().into_iter().flatten() {
            let at = |draw: &Vec<Point>| draw.iter().find(|point| point.0 == x).map(|point| point.1);
            let Some(values) = all.iter().map(at).collect::<Option<Vec<f64>>>() else { continue };
            let whole = values.iter().all(|v| drawable(*v));
            mean.push((x, if whole { stats::mean(&values) } else { f64::NAN }));
            let ends = axis::range(values).filter(|_| whole).unwrap_or((f64::NAN, f64::NAN));
            band.push((x, ends.0, ends.1));
        }
        match all.len() {
            ..=1 => Draws { single: Vec::new(), mean, band: Vec::new() },
            _ => Draws { single: all, mean, band },
        }
    }

    /// Everything that an axis must hold.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let points = self.single.iter().flatten().chain(&self.mean).map(|point| point.1);
        points.chain(self.band.iter().flat_map(|&(_, low, high)| [low, high]))
    }

    /// Bands and single draws.
    pub(crate) fn areas(&self, canvas: &Canvas, plot: &Plot, colour: &str) {
        for piece in self.band.split(|&(_, low, high)| !(drawable(low) && drawable(high))) {
            plot.band(canvas, piece, colour);
        }
        for piece in self.single.iter().flat_map(|draw| plot.pieces(draw)) {
            match piece.as_slice() {
                // A curve of one point would not be seen.
                &[(x, y)] => curves::thin(canvas, &[(x - 3.0, y), (x + 3.0, y)], colour),
                _ => curves::thin(canvas, &piece, colour),
            }
        }
    }
}
