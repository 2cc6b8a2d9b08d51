//! Filled contours without numbers, for figures in which a surface is one panel among others.
//!
//! Bands are of what lies above the lowest value, 1, 2 and 5 in each decade: so a basin within a bowl is seen.

use super::levels::Levels;
use super::{FINE, between, trace, upsample};
use crate::draw::canvas::{Canvas, Point, path_data};
use crate::draw::colour::ColourMap;
use crate::draw::contour::key;
use crate::draw::frame::Plot;
use crate::error::Result;

/// Of the range of values, the least that has a band of its own.
const LEAST: f64 = 0.003;
/// Outlines are found on a square of this side: about the size of a panel in pt, for which they are simplified.
const SIDE: f64 = 100.0;

/// A surface in outlines.
pub(crate) struct Plain {
    ends: [(f64, f64); 2],
    /// The colour of each band and its outlines on the square.
    bands: Vec<(String, Vec<Vec<Point>>)>,
    /// Grid points without a value.
    lost: Vec<Point>,
}

impl Plain {
    /// Of values on a grid, y outer, with at least two coordinates along each axis; what is not finite is marked. Under another
    /// `sign` the highest value has the darkest band.
    pub(crate) fn new([x, y]: [&[f64]; 2], values: &[f64], sign: f64) -> Result<Plain> {
        let signed: Vec<f64> = values.iter().map(|v| sign * v).collect();
        let (low, high) = upsample::range(&signed);
        let above: Vec<f64> = signed.iter().map(|v| if v.is_finite() { v - low } else { f64::NAN }).collect();
        let fine = upsample::upsample(x, y, &above, FINE);
        let width = fine.x.len();
        let value = upsample::without_holes(&fine.value, width);
        let ends = [x, y].map(super::axes::ends);
        let part = |(low, high): (f64, f64), v: f64| (v - low) / (high - low) * SIDE;
        let place = |column: f64, row: f64| {
            (part(ends[0], between(&fine.x, column)), part(ends[1], between(&fine.y, row)))
        };
        let levels = Levels::rises(0.0, high - low, LEAST * (high - low));
        let colours = ColourMap::default().parts(levels.bands());
        let mut bands = Vec::new();
        for (i, bound) in levels.inner() {
            let (areas, _) = trace::trace(&value, width, i, bound, place)?;
            bands.push((colours[i].clone(), areas));
        }
        let lowest = (0.0, 0.0);
        let whole = vec![vec![lowest, (SIDE, 0.0), (SIDE, SIDE), (0.0, SIDE)]];
        bands.insert(0, (colours[0].clone(), whole));
        let points = y.iter().flat_map(|y| x.iter().map(move |x| (*x, *y)));
        let lost = points.zip(values).filter(|(_, v)| !v.is_finite()).map(|(at, _)| at).collect();
        Ok(Plain { ends, bands, lost })
    }

    pub(crate) fn draw(&self, canvas: &Canvas, plot: &Plot) {
        let [x, y] = self.ends;
        let along = |(low, high): (f64, f64), part: f64| low + (high - low) * part / SIDE;
        for (colour, areas) in &self.bands {
            let ring = |ring: &Vec<Point>| {
                let placed: Vec<Point> = ring.iter().map(|p| plot.at(along(x, p.0), along(y, p.1))).collect();
                path_data(&placed, true)
            };
            let d: String = areas.iter().map(ring).collect();
            canvas.path(&d, &format!("fill=\"{colour}\" fill-rule=\"evenodd\""));
        }
        let lost: Vec<Point> = self.lost.iter().map(|(x, y)| plot.at(*x, *y)).collect();
        key::lost(canvas, &lost);
    }
}
