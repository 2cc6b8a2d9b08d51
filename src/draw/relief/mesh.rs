//! A surface in the box: a fine grid of heights, each cell four triangles around its middle, and what is hidden by it.
//!
//! The middle has the mean height of the corners, so the surface of a mirrored or transposed grid is the mirrored or
//! transposed surface. A cell with a corner that is not finite is no part of it.
//!
//! A point of the surface is hidden if the line of sight from it to the viewer crosses the surface: if the height of
//! the line above the surface is positive at some place and negative at another. (Negative throughout is a point seen
//! from below.) That height is linear between the edges of triangles, so looking there is enough.
//!
//! Takes [`Panel`]; [`super::paint`] paints it.

use super::camera::Camera;
use crate::draw::contour::levels::{Levels, Spacing};
use crate::draw::contour::{Panel, Style, axes, upsample};

/// Height of the box over the side of its base.
pub(super) const HEIGHT: f64 = 0.6;
/// Fine cells per axis to aim at.
const FINE: usize = 48;
/// Lines on the surface per axis, at most; of more coordinates only every second (third, …) has one.
const LINES: usize = 34;
/// Pieces of lines longer than this, in sides of the box, are looked at in between.
const STEEP: f64 = 0.03;
/// Depth below which a point counts as on the surface: less than a line's width.
const DEPTH: f64 = 1e-3;

/// A point of the box.
pub(super) type Corner = [f64; 3];

/// Losses to heights in the box, and the bounds between bands as heights.
pub(super) struct Heights {
    low: f64,
    high: f64,
    scale: Scale,
    /// Where the surface is cut off: infinite, or the top of the box.
    top: f64,
    pub(super) inner: Vec<f64>,
}

/// How heights grow.
enum Scale {
    Linear,
    Log,
    /// Each band between two of these bounds is equally high: the logarithm of rises, which may be 0 or less.
    Bands(Vec<f64>),
}

impl Heights {
    pub(super) fn new(levels: &Levels, options: &Style) -> Heights {
        let scale = match options.spacing {
            Spacing::Log if options.rise => Scale::Bands(levels.bounds.clone()),
            Spacing::Log => Scale::Log,
            Spacing::Linear | Spacing::Decades => Scale::Linear,
        };
        let ends = axes::ends(&levels.bounds);
        let top = if levels.clipped { HEIGHT } else { f64::INFINITY };
        let mut heights = Heights { low: 0.0, high: 0.0, scale, top, inner: Vec::new() };
        (heights.low, heights.high) = (heights.scaled(ends.0), heights.scaled(ends.1));
        heights.inner = levels.inner().map(|(_, bound)| heights.of(bound)).collect();
        heights
    }

    /// Halved, since the difference of two of the largest numbers is infinite.
    fn scaled(&self, loss: f64) -> f64 {
        match &self.scale {
            Scale::Linear => loss / 2.0,
            Scale::Log => loss.log10() / 2.0,
            Scale::Bands(bounds) if bounds.len() < 2 => 0.0,
            Scale::Bands(bounds) => {
                let band = bounds.partition_point(|bound| *bound <= loss).clamp(1, bounds.len() - 1);
                let (low, high) = (bounds[band - 1], bounds[band]);
                band as f64 + (loss - low) / (high - low)
            }
        }
    }

    /// From 0 to [`HEIGHT`], or above it for what is clipped; halfway up where there is only one loss. NaN for what is
    /// not finite.
    pub(super) fn of(&self, loss: f64) -> f64 {
        match loss {
            v if !v.is_finite() => f64::NAN,
            _ if self.low == self.high => HEIGHT / 2.0,
            v => HEIGHT * (self.scaled(v) - self.low) / (self.high - self.low),
        }
    }
}

/// Coordinate of the box of a value between the `ends` of an axis.
pub(super) fn across(v: f64, ends: (f64, f64)) -> f64 {
    (v - ends.0) / (ends.1 - ends.0) - 0.5
}

/// A surface in the box.
pub(super) struct Mesh {
    /// Fine coordinates.
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// y outer.
    z: Vec<f64>,
    /// Fine cells in each interval of the grid.
    pub(super) sub: (usize, usize),
    /// Place of (0, 0), if that is in the panel.
    zero: Option<(f64, f64)>,
}

impl Mesh {
    pub(super) fn new(panel: &Panel, heights: &Heights) -> Mesh {
        let inside =
            |values: &[f64]| -> Vec<f64> { values.iter().map(|&v| across(v, axes::ends(values))).collect() };
        let z: Vec<f64> = panel.loss.iter().map(|&v| heights.of(v)).collect();
        let fine = upsample::upsample(&inside(&panel.x), &inside(&panel.y), &z, FINE);
        let sub = |values: &[f64]| upsample::subdivision(values.len(), FINE);
        let zero = || (across(0.0, axes::ends(&panel.x)), across(0.0, axes::ends(&panel.y)));
        Mesh {
            x: fine.x,
            y: fine.y,
            // A plateau, whose edge lies where the surface between the points passes the top.
            z: fine.value.into_iter().map(|z| if z > heights.top { heights.top } else { z }).collect(),
            sub: (sub(&panel.x), sub(&panel.y)),
            zero: super::contour::has_origin(panel).then(zero),
        }
    }

    /// Fine cells per axis.
    pub(super) fn cells(&self) -> (usize, usize) {
        (self.x.len() - 1, self.y.len() - 1)
    }

    pub(super) fn point(&self, i: usize, j: usize) -> Corner {
        [self.x[i], self.y[j], self.z[j * self.x.len() + i]]
    }

    /// Corners of a fine cell, counter-clockwise from the lowest coordinates, unless one is missing.
    pub(super) fn corners(&self, i: usize, j: usize) -> Option<[Corner; 4]> {
        let corners =
            [self.point(i, j), self.point(i + 1, j), self.point(i + 1, j + 1), self.point(i, j + 1)];
        corners.iter().all(|c| c[2].is_finite()).then_some(corners)
    }

    /// Height at a place inside a fine cell.
    fn height(&self, (i, j): (usize, usize), (x, y): (f64, f64)) -> Option<f64> {
        let [a, b, c, d] = self.corners(i, j)?;
        let middle = (a[2] + b[2] + c[2] + d[2]) / 4.0;
        let (u, v) = ((x - a[0]) / (b[0] - a[0]) - 0.5, (y - a[1]) / (d[1] - a[1]) - 0.5);
        let out = 2.0 * u.abs().max(v.abs());
        if out == 0.0 {
            return Some(middle);
        }
        // Where the ray from the middle meets the cell's side.
        let (from, to, t) = match (u.abs() > v.abs(), u > 0.0, v > 0.0) {
            (true, true, _) => (b, c, v / out),
            (true, false, _) => (a, d, v / out),
            (false, _, true) => (d, c, u / out),
            (false, _, false) => (a, b, u / out),
        };
        Some(middle + out * (from[2] + (to[2] - from[2]) * (t + 0.5) - middle))
    }

    /// Whether the surface lies between the viewer and a point of itself.
    pub(super) fn hides(&self, p: Corner, camera: &Camera) -> bool {
        let [dx, dy, dz] = camera.toward;
        // Where the line of sight meets lines of the fine grid, until it is above everything, a plateau at the top too.
        let end = (HEIGHT + 2.0 * DEPTH - p[2]) / dz;
        let meets = |axis: &[f64], p: f64, d: f64| -> Vec<f64> {
            let along = axis.iter().map(|v| (v - p) / d);
            if d == 0.0 { Vec::new() } else { along.filter(|t| (0.0..end).contains(t)).collect() }
        };
        let mut stops = [vec![0.0, end], meets(&self.x, p[0], dx), meets(&self.y, p[1], dy)].concat();
        stops.sort_by(f64::total_cmp);
        let cell_of = |axis: &[f64], v: f64| axis.partition_point(|a| *a <= v).checked_sub(1);
        let at = |t: f64| (p[0] + t * dx, p[1] + t * dy);
        let (mut above, mut below) = (false, false);
        for step in stops.windows(2) {
            let middle = at((step[0] + step[1]) / 2.0);
            let cell = cell_of(&self.x, middle.0).zip(cell_of(&self.y, middle.1));
            let within = cell.filter(|c| c.0 < self.cells().0 && c.1 < self.cells().1);
            let Some((cell, [a, _, c, _])) = within.and_then(|c| Some((c, self.corners(c.0, c.1)?))) else {
                // Through a hole the line passes from one side of the surface to the other.
                (above, below) = (false, false);
                continue;
            };
            // The diagonals, in the cell's own coordinates from -1/2 to 1/2.
            let (w, h) = (c[0] - a[0], c[1] - a[1]);
            let (u, v) = ((p[0] - a[0]) / w - 0.5, (p[1] - a[1]) / h - 0.5);
            let diagonals = [(v - u) / (dx / w - dy / h), -(v + u) / (dx / w + dy / h)];
            let inside = diagonals.into_iter().filter(|t| (step[0]..step[1]).contains(t));
            for t in inside.chain([step[0], step[1]]) {
                let gap = self.height(cell, at(t)).map_or(0.0, |z| p[2] + t * dz - z);
                (above, below) = (above || gap > DEPTH, below || gap < -DEPTH);
            }
            if above && below {
                return true;
            }
        }
        false
    }

    /// The surface at a place inside the box, unless that is missing.
    pub(super) fn on(&self, (x, y): (f64, f64)) -> Option<Corner> {
        let cell =
            |axis: &[f64], v: f64| axis.partition_point(|a| *a <= v).saturating_sub(1).min(axis.len() - 2);
        let z = self.height((cell(&self.x, x), cell(&self.y, y)), (x, y))?;
        Some([x, y, z])
    }

    /// The surface at (0, 0), unless that is outside or missing, and the lowest place above it that is not hidden: itself,
    /// or the head of a pin that stands on it.
    pub(super) fn origin(&self, camera: &Camera) -> Option<[Corner; 2]> {
        const STEPS: usize = 60;
        let foot = self.on(self.zero?)?;
        let at = |k: usize| [foot[0], foot[1], foot[2] + (HEIGHT - foot[2]) * k as f64 / STEPS as f64];
        let head = (0..STEPS).map(at).find(|&p| !self.hides(p, camera)).unwrap_or_else(|| at(STEPS));
        Some([foot, head])
    }

    /// The grid points that are not hidden.
    pub(super) fn visible_points(&self, camera: &Camera) -> Vec<Corner> {
        let rows = (0..self.y.len()).step_by(self.sub.1);
        let points = rows.flat_map(|j| (0..self.x.len()).step_by(self.sub.0).map(move |i| (i, j)));
        let known = points.map(|(i, j)| self.point(i, j)).filter(|p| p[2].is_finite());
        known.filter(|&p| !self.hides(p, camera)).collect()
    }

    /// What can be seen of the surface's lines along the grid's coordinates.
    pub(super) fn visible_lines(&self, camera: &Camera) -> Vec<Vec<Corner>> {
        let (nx, ny) = self.cells();
        let mut out = Vec::new();
        for i in kept(nx, self.sub.0) {
            let beside = |j: usize| [i.checked_sub(1), Some(i)].into_iter().flatten().any(|i| self.has(i, j));
            let line: Vec<Corner> = (0..=ny).map(|j| self.point(i, j)).collect();
            self.visible_parts(&line, beside, camera, &mut out);
        }
        for j in kept(ny, self.sub.1) {
            let beside = |i: usize| [j.checked_sub(1), Some(j)].into_iter().flatten().any(|j| self.has(i, j));
            let line: Vec<Corner> = (0..=nx).map(|i| self.point(i, j)).collect();
            self.visible_parts(&line, beside, camera, &mut out);
        }
        out
    }

    fn has(&self, i: usize, j: usize) -> bool {
        i < self.cells().0 && j < self.cells().1 && self.corners(i, j).is_some()
    }

    /// Parts of a line that are beside a cell and not hidden; where that changes between two points is found by halving.
    pub(super) fn visible_parts(
        &self,
        line: &[Corner],
        beside: impl Fn(usize) -> bool,
        camera: &Camera,
        out: &mut Vec<Vec<Corner>>,
    ) {
        let mut part = Vec::new();
        for (k, ends, seen) in self.stretches(line, camera) {
            let shown = beside(k).then_some(seen);
            match shown {
                None | Some((false, false)) => {}
                Some((true, true)) => part.extend_from_slice(&ends[usize::from(!part.is_empty())..]),
                Some((from, _)) => {
                    let (mut visible, mut hidden) =
                        if from { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
                    for _ in 0..5 {
                        let middle: Corner = std::array::from_fn(|c| (visible[c] + hidden[c]) / 2.0);
                        *(if self.hides(middle, camera) { &mut hidden } else { &mut visible }) = middle;
                    }
                    if from {
                        part.extend_from_slice(&[ends[0], visible][usize::from(!part.is_empty())..]);
                    } else {
                        part = vec![visible, ends[1]];
                    }
                }
            }
            if !matches!(shown, Some((_, true))) {
                out.extend(Some(std::mem::take(&mut part)).filter(|part| part.len() > 1));
            }
        }
        out.extend(Some(part).filter(|part| part.len() > 1));
    }

    /// A line's stretches: which of its pieces each belongs to, its ends, and whether they are seen. A steep piece with
    /// both ends in sight that passes behind something is cut into several.
    fn stretches(&self, line: &[Corner], camera: &Camera) -> Vec<(usize, [Corner; 2], (bool, bool))> {
        let with_sight = |p: Corner| (p, p[2].is_finite() && !self.hides(p, camera));
        let points: Vec<(Corner, bool)> = line.iter().map(|&p| with_sight(p)).collect();
        let mut stretches = Vec::new();
        for (k, ends) in points.windows(2).enumerate() {
            let ((a, from), (b, to)) = (ends[0], ends[1]);
            let length = (0..3).map(|c| (b[c] - a[c]).powi(2)).sum::<f64>().sqrt();
            let n = if from && to { (length / STEEP).ceil() } else { 1.0 };
            let at = |i: usize| std::array::from_fn(|c| a[c] + (b[c] - a[c]) * i as f64 / n);
            let mut cut = vec![ends[0]];
            cut.extend((1..n as usize).map(|i| with_sight(at(i))));
            cut.push(ends[1]);
            if cut.iter().all(|(_, seen)| *seen) {
                cut = ends.to_vec();
            }
            stretches.extend(cut.windows(2).map(|w| (k, [w[0].0, w[1].0], (w[0].1, w[1].1))));
        }
        stretches
    }
}

/// Fine indices of the lines that are drawn: both ends, and of the grid's coordinates as many as there is room for.
fn kept(cells: usize, sub: usize) -> Vec<usize> {
    let stride = sub * (cells / sub).div_ceil(LINES);
    let mut lines: Vec<usize> = (0..cells).step_by(stride).collect();
    lines.push(cells);
    lines
}
