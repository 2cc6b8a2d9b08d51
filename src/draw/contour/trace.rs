//! From values to outlines: the area at or above a level, and the line around it.
//!
//! Marching squares by the `contour` crate. Its coordinates put grid point (i, j) at (i + ½, j + ½) and close
//! each outline half a cell outside the grid; pulling these points back to the edge makes them exact, corners
//! included, so nothing needs clipping. The edge belongs to the area, not to the line. Outlines of one level
//! together, filled by the even-odd rule, are the area. Painted from low to high, areas overlap and leave no
//! seams.
//!
//! Takes the surface of [`super::upsample`]; gives points on the sheet to [`super`] and [`super::labels`].

use contour::ContourBuilder;

use crate::draw::canvas::{Point, defect};
use crate::error::Result;

/// Straightening a curve by this much (pt) cannot be seen at 1200 dpi.
const TOLERANCE: f64 = 0.02;

/// A piece of the line at one level.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Index into the bounds of the levels.
    pub(crate) level: usize,
    /// Where closed, the last point is the first.
    pub(crate) points: Vec<Point>,
    pub(crate) closed: bool,
}

/// Closed outlines of `value >= threshold` and the lines inside the frame, in pt.
///
/// `value` (finite, y outer) has `width` columns; `place` maps column and row (fractions allowed) to the
/// sheet.
pub(crate) fn trace(
    value: &[f64],
    width: usize,
    level: usize,
    threshold: f64,
    place: impl Fn(f64, f64) -> Point,
) -> Result<(Vec<Vec<Point>>, Vec<Line>)> {
    let height = value.len() / width;
    let traced = ContourBuilder::new(width, height, true).lines(value, &[threshold]).map_err(defect)?;
    let (last_x, last_y) = ((width - 1) as f64, (height - 1) as f64);
    let (mut areas, mut lines) = (Vec::new(), Vec::new());
    for ring in traced.iter().flat_map(|line| &line.geometry().0) {
        let ring: Vec<(f64, f64)> = ring.0.iter().map(|c| (c.x - 0.5, c.y - 0.5)).collect();
        let outside = |&(x, y): &(f64, f64)| x < -0.25 || y < -0.25 || x > last_x + 0.25 || y > last_y + 0.25;
        let placed = |&(x, y): &(f64, f64)| place(x.clamp(0.0, last_x), y.clamp(0.0, last_y));
        areas.push(simplified(&ring.iter().map(placed).collect::<Vec<_>>()));

        // From one point outside round to itself, or the whole ring.
        let open = ring.iter().position(&outside);
        // The last point is the first.
        let mut round = ring[..ring.len().saturating_sub(1)].to_vec();
        let start = open.filter(|&i| i < round.len()).unwrap_or(0);
        round.rotate_left(start);
        if open.is_none() {
            round.extend(round.first().copied());
        }
        for piece in round.split(&outside).filter(|piece| piece.len() > 1) {
            let points = simplified(&piece.iter().map(placed).collect::<Vec<_>>());
            lines.push(Line { level, points, closed: open.is_none() });
        }
    }
    Ok((areas, lines))
}

/// Fewer points, none of those left out further than [`TOLERANCE`] from the rest (Douglas and Peucker 1973).
fn simplified(points: &[Point]) -> Vec<Point> {
    let mut keep = vec![false; points.len()];
    let mut todo = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = todo.pop() {
        let Some((a, b)) = points.get(first).zip(points.get(last)) else { continue };
        (keep[first], keep[last]) = (true, true);
        let farthest = (first + 1..last)
            .map(|i| (i, distance(points[i], *a, *b)))
            .max_by(|(_, d), (_, e)| d.total_cmp(e))
            .filter(|&(_, d)| d > TOLERANCE);
        if let Some((middle, _)) = farthest {
            todo.extend([(first, middle), (middle, last)]);
        }
    }
    points.iter().zip(keep).filter_map(|(&p, keep)| keep.then_some(p)).collect()
}

/// Distance of `p` from the stretch between `a` and `b`.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length2 = dx * dx + dy * dy;
    let t = if length2 == 0.0 { 0.0 } else { ((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length2 };
    let t = t.clamp(0.0, 1.0);
    (p.0 - a.0 - t * dx).hypot(p.1 - a.1 - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Area by the shoelace formula; even-odd for outlines inside one another shows in the sign.
    fn area(ring: &[Point]) -> f64 {
        ring.windows(2).map(|w| w[0].0 * w[1].1 - w[1].0 * w[0].1).sum::<f64>() / 2.0
    }

    fn same(x: f64, y: f64) -> Point {
        (x, y)
    }

    /// Oracle: for z = x the line at level c is x = c from edge to edge, and the area right of it is a
    /// rectangle. Without the half cell both would be shifted.
    #[test]
    fn the_line_of_a_plane_is_straight_and_its_area_ends_at_the_edge() {
        let value: Vec<f64> = (0..12).flat_map(|_| (0..10).map(f64::from)).collect();
        let (areas, lines) = trace(&value, 10, 3, 3.25, same).unwrap();
        assert_eq!((areas.len(), lines.len()), (1, 1));
        assert!(
            lines[0].points.iter().all(|p| (p.0 - 3.25).abs() < 1e-12)
                && !lines[0].closed
                && lines[0].level == 3
        );
        let mut ends = [lines[0].points[0].1, lines[0].points.last().unwrap().1];
        ends.sort_by(f64::total_cmp);
        assert_eq!(ends, [0.0, 11.0]);
        assert!((area(&areas[0]).abs() - (9.0 - 3.25) * 11.0).abs() < 1e-9, "{}", area(&areas[0]));
    }

    /// Oracle: r² = c is a circle; the outlines are the edge of the grid and that circle, of opposite sense.
    #[test]
    fn the_line_of_a_bowl_is_a_circle() {
        let at = |i: i32| f64::from(i - 50) / 50.0;
        let value: Vec<f64> =
            (0..101).flat_map(|j| (0..101).map(move |i| at(i) * at(i) + at(j) * at(j))).collect();
        let (areas, lines) = trace(&value, 101, 1, 0.25, same).unwrap();
        assert_eq!((areas.len(), lines.len(), lines[0].closed), (2, 1, true));
        for p in &lines[0].points {
            assert!(((p.0 - 50.0).hypot(p.1 - 50.0) - 25.0).abs() < 0.01, "{p:?}");
        }
        let total: f64 = areas.iter().map(|ring| area(ring)).sum();
        let expected = 100.0 * 100.0 - std::f64::consts::PI * 625.0;
        assert!((total.abs() - expected).abs() < 5.0, "{total} {expected}");
    }

    /// Oracle: everything is above the lowest level: the outline is the frame and no line is drawn.
    #[test]
    fn the_frame_is_no_line() {
        let (areas, lines) = trace(&[1.0; 20], 5, 1, 1.0, same).unwrap();
        assert!(lines.is_empty());
        assert!((area(&areas[0]).abs() - 12.0).abs() < 1e-12);
        assert!(trace(&[1.0; 20], 5, 1, 2.0, same).unwrap().0.is_empty());
    }
}
