//! Numbers on the contour lines, where they fit.
//!
//! A number lies along its line, in a gap of the line, at the straightest place where it touches no other
//! number, no mark and no other line, and stays inside the frame. Where there is no such place the line stays
//! bare: its value is in the colour bar. At most one number per level and panel.
//!
//! Takes lines of [`super::trace`]; [`super`] draws both.

use super::trace::Line;
use crate::draw::canvas::{Area, DIGIT_HEIGHT, Point, text_width};

/// A number in its place: its middle, turned by `degrees` clockwise.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) level: usize,
    pub(crate) middle: Point,
    pub(crate) degrees: f64,
}

/// Free space around a number, pt.
const SPACE: f64 = 1.0;
/// The same where it begins with a minus, which would look like the end of its line.
const SPACE_OF_MINUS: f64 = 2.5;
/// A line must be this many times longer than its number, or it would be all gap.
const LEAST_LENGTH: f64 = 2.5;
/// Distance between places that are tried, and between points of lines that must keep out, pt.
const STEP: f64 = 1.0;

/// A place for a number on a line.
struct Place {
    line: usize,
    /// Arc length of the middle from the start of the line, and half the gap.
    at: f64,
    label: Label,
    area: Area,
    score: f64,
}

impl Place {
    /// The same, worse by the dots it would cover.
    fn away_from(mut self, dots: &[Point]) -> Place {
        let Area { left, top, right, bottom } = self.area;
        let covered = dots.iter().filter(|(x, y)| left < *x && *x < right && top < *y && *y < bottom).count();
        self.score += 0.3 * covered as f64;
        self
    }
}

/// Numbers for the levels that have room inside `frame` and outside `taken`, off `dots` if possible, and the
/// lines with gaps for them. `texts[level]` is what is written, `em` its size in pt.
pub(crate) fn place(
    lines: &[Line],
    texts: &[String],
    em: f64,
    frame: Area,
    taken: &[Area],
    dots: &[Point],
) -> (Vec<Label>, Vec<Line>) {
    let dense: Vec<Vec<Point>> = lines.iter().map(|line| resampled(&line.points)).collect();
    let mut taken = taken.to_vec();
    let mut gaps: Vec<Option<(f64, f64)>> = vec![None; lines.len()];
    let mut labels = Vec::new();
    // Long lines first: they are what a reader follows.
    let mut levels: Vec<usize> = lines.iter().map(|line| line.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let longest = |level: usize| {
        lines.iter().zip(&dense).filter(|(l, _)| l.level == level).map(|(_, d)| d.len()).max().unwrap_or(0)
    };
    levels.sort_by_key(|&level| std::cmp::Reverse(longest(level)));
    for level in levels {
        let space = if texts[level].starts_with('−') { SPACE_OF_MINUS } else { SPACE };
        let half = text_width(&texts[level], em) / 2.0 + space;
        let candidates = (0..lines.len())
            .filter(|&i| lines[i].level == level)
            .flat_map(|i| places(i, &lines[i], &dense[i], half, em))
            .map(|p| p.away_from(dots))
            .filter(|p| frame.contains(&p.area) && !taken.iter().any(|area| area.overlaps(&p.area)));
        let free = candidates
            .filter(|p| !touched(p, half, em, &dense, lines))
            .min_by(|a, b| a.score.total_cmp(&b.score));
        if let Some(best) = free {
            taken.push(best.area);
            gaps[best.line] = Some((best.at, half));
            labels.push(best.label);
        }
    }
    let cut = lines.iter().zip(gaps).flat_map(|(line, gap)| match gap {
        Some((at, half)) => without(line, at, half),
        None => vec![line.clone()],
    });
    (labels, cut.collect())
}

/// The places on one line, bent ones left out.
fn places(index: usize, line: &Line, dense: &[Point], half: f64, em: f64) -> Vec<Place> {
    let length = length(&line.points);
    if length < LEAST_LENGTH * 2.0 * half {
        return Vec::new();
    }
    let step = length / (dense.len() - 1) as f64;
    let reach = (half / step).ceil() as usize;
    (reach..dense.len().saturating_sub(reach))
        .filter_map(|k| {
            let (a, b, middle) = (dense[k - reach], dense[k + reach], dense[k]);
            let chord = (b.0 - a.0).hypot(b.1 - a.1);
            // How far the middle lies off the chord, in heights of the number.
            let off =
                (middle.0 - (a.0 + b.0) / 2.0).hypot(middle.1 - (a.1 + b.1) / 2.0) / (em * DIGIT_HEIGHT);
            if off > 0.4 || chord < 1.8 * half {
                return None;
            }
            let mut degrees = (b.1 - a.1).atan2(b.0 - a.0).to_degrees();
            if degrees > 90.0 {
                degrees -= 180.0;
            } else if degrees <= -90.0 {
                degrees += 180.0;
            }
            let (sin, cos) = degrees.to_radians().sin_cos();
            let high = em * DIGIT_HEIGHT / 2.0 + SPACE;
            let (w, h) = (half * cos.abs() + high * sin.abs(), half * sin.abs() + high * cos.abs());
            let (x, y) = middle;
            Some(Place {
                line: index,
                at: k as f64 * step,
                label: Label { level: line.level, middle, degrees },
                area: Area { left: x - w, top: y - h, right: x + w, bottom: y + h },
                // Steep numbers are harder to read.
                score: off + 0.3 * degrees.abs() / 90.0,
            })
        })
        .collect()
}

/// Whether a line other than the one under the number comes into its box.
fn touched(place: &Place, half: f64, em: f64, dense: &[Vec<Point>], lines: &[Line]) -> bool {
    let (sin, cos) = place.label.degrees.to_radians().sin_cos();
    let high = em * DIGIT_HEIGHT / 2.0 + 0.6 * SPACE;
    let inside = |p: &Point| {
        let (dx, dy) = (p.0 - place.label.middle.0, p.1 - place.label.middle.1);
        (dx * cos + dy * sin).abs() < half && (dy * cos - dx * sin).abs() < high
    };
    dense.iter().enumerate().any(|(i, points)| {
        let step = length(&lines[i].points) / (points.len() - 1).max(1) as f64;
        let own = |k: usize| i == place.line && (k as f64 * step - place.at).abs() < 1.3 * half;
        points.iter().enumerate().any(|(k, p)| inside(p) && !own(k))
    })
}

fn length(points: &[Point]) -> f64 {
    points.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1)).sum()
}

/// Points at equal distances of about [`STEP`] along the line, ends included.
fn resampled(points: &[Point]) -> Vec<Point> {
    let total = length(points);
    let n = (total / STEP).ceil().max(1.0) as usize;
    let (mut out, mut segment, mut before) = (Vec::with_capacity(n + 1), 0, 0.0);
    for k in 0..=n {
        let s = total * k as f64 / n as f64;
        let mut here = length(&points[segment..(segment + 2).min(points.len())]);
        while before + here < s && segment + 2 < points.len() {
            before += here;
            segment += 1;
            here = length(&points[segment..segment + 2]);
        }
        out.push(between(points[segment], points[(segment + 1).min(points.len() - 1)], (s - before) / here));
    }
    out
}

fn between(a: Point, b: Point, t: f64) -> Point {
    let t = if t.is_finite() { t.clamp(0.0, 1.0) } else { 0.0 };
    (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t)
}

/// The line without the stretch from `at - half` to `at + half` of its length.
fn without(line: &Line, at: f64, half: f64) -> Vec<Line> {
    let (mut head, mut tail, mut s) = (Vec::new(), Vec::new(), 0.0);
    let (start, end) = (at - half, at + half);
    for w in line.points.windows(2) {
        let d = length(w);
        let (s0, s1) = (s, s + d);
        if s0 <= start {
            head.push(w[0]);
            if s1 > start {
                head.push(between(w[0], w[1], (start - s0) / d));
            }
        }
        if s1 >= end {
            if s0 < end {
                tail.push(between(w[0], w[1], (end - s0) / d));
            }
            tail.push(w[1]);
        }
        s = s1;
    }
    if line.closed {
        // A closed line is opened at the gap: the two pieces meet where it began.
        tail.extend(head.into_iter().skip(1));
        head = Vec::new();
    }
    [head, tail]
        .into_iter()
        .filter(|points| points.len() > 1)
        .map(|points| Line { level: line.level, points, closed: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Area = Area { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };

    fn circle(level: usize, r: f64) -> Line {
        let points =
            (0..=360).map(|i| f64::from(i).to_radians().sin_cos()).map(|(s, c)| (50.0 + r * c, 50.0 + r * s));
        Line { level, points: points.collect(), closed: true }
    }

    fn texts() -> Vec<String> {
        ["0", "1.0", "2.0", "3.0"].map(str::to_owned).to_vec()
    }

    /// Oracle: arithmetic. A line of length 80 with a gap of 2·half has 80 − 2·half left, whether cut in two
    /// or opened.
    #[test]
    fn the_gap_is_as_long_as_the_number() {
        let straight =
            Line { level: 1, points: vec![(10.0, 40.0), (30.0, 40.0), (90.0, 40.0)], closed: false };
        for (line, pieces) in [(straight, 2), (circle(1, 30.0), 1)] {
            let cut = without(&line, 20.0, 5.0);
            assert_eq!(cut.len(), pieces);
            let left: f64 = cut.iter().map(|l| length(&l.points)).sum();
            assert!((left - (length(&line.points) - 10.0)).abs() < 1e-9);
        }
    }

    /// Oracle: by eye: a circle of radius 4 is shorter than the number's gap allows, two lines 2 pt apart
    /// leave no height, a free line gets its number in the middle of its gap.
    #[test]
    fn numbers_go_only_where_they_fit() {
        let at = |level, y| Line { level, points: vec![(5.0, y), (95.0, y)], closed: false };
        let lines = [circle(1, 3.0), at(2, 80.0), at(3, 82.0)];
        assert!(place(&lines, &texts(), 6.0, FRAME, &[], &[]).0.is_empty());
        let (labels, cut) = place(&[at(2, 80.0), at(3, 20.0)], &texts(), 6.0, FRAME, &[], &[]);
        assert_eq!((labels.len(), cut.len()), (2, 4));
        // A minus keeps away from its line.
        for (text, space) in [("−0.1", 2.5), ("0.1", 1.0)] {
            let own: Vec<String> = vec![String::new(), text.into()];
            let (_, cut) = place(&[at(1, 50.0)], &own, 6.0, FRAME, &[], &[]);
            let gap = 90.0 - cut.iter().map(|line| length(&line.points)).sum::<f64>();
            assert!((gap - text_width(text, 6.0) - 2.0 * space).abs() < 1e-9, "{text}: {gap}");
        }
        let blocked = [Area { left: 0.0, top: 70.0, right: 100.0, bottom: 90.0 }];
        assert_eq!(place(&[at(2, 80.0), at(3, 20.0)], &texts(), 6.0, FRAME, &blocked, &[]).0.len(), 1);
    }
}
