//! Marks on a surface seen from the side: only what the surface does not hide, at its height.
//!
//! Takes [`Mesh`]; the signs and their names are those of flat figures.

use super::camera::Placed;
use super::mesh::{Corner, Mesh, across};
use crate::draw::canvas::Point;
use crate::draw::contour::{Panel, axes};
use crate::draw::marks::Mark;
use crate::draw::marks::signs::Signs;

/// Points of a path on the surface stand no further apart than this, in sides of the box: half a fine cell.
const STEP: f64 = 0.01;

/// Where the marks of a panel are seen.
pub(super) fn signs(panel: &Panel, mesh: &Mesh, placed: &Placed) -> Signs {
    let (x, y) = (axes::ends(&panel.x), axes::ends(&panel.y));
    let held = |mark: &Mark| x.0 <= mark.x && mark.x <= x.1 && y.0 <= mark.y && mark.y <= y.1;
    let inside = |mark: &Mark| (across(mark.x, x), across(mark.y, y));
    let seen = |mark: &Mark| -> Option<Point> {
        let at = mesh.on(inside(mark)).filter(|at| held(mark) && !mesh.hides(*at, placed.camera))?;
        Some(placed.at(at))
    };
    let marks = &panel.marks;
    let outside = marks.all().filter(|mark| !held(mark)).count();
    let wishes = marks.labelled().into_iter().filter_map(|(mark, name)| Some((seen(mark)?, name)));
    Signs {
        points: marks.points.iter().filter_map(seen).collect(),
        dots: marks.path.iter().filter_map(seen).collect(),
        lines: path(&marks.path.iter().map(inside).collect::<Vec<Point>>(), mesh, placed),
        wishes: wishes.collect(),
        arrows: Vec::new(),
        outside,
        hidden: marks.all().count() - outside - marks.all().filter_map(seen).count(),
    }
}

/// The parts of a path that can be seen, on the sheet.
fn path(path: &[Point], mesh: &Mesh, placed: &Placed) -> Vec<Vec<Point>> {
    let held = |(x, y): Point| x.abs() <= 0.5 && y.abs() <= 0.5;
    let on = |at: Point| mesh.on(at).filter(|_| held(at));
    let dense: Vec<Option<Corner>> = path
        .windows(2)
        .flat_map(|ends| {
            let (a, b) = (ends[0], ends[1]);
            let n = ((b.0 - a.0).hypot(b.1 - a.1) / STEP).ceil().clamp(1.0, 1e4);
            (0..=n as usize).map(move |k| {
                let t = k as f64 / n;
                (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t)
            })
        })
        .map(on)
        .collect();
    let mut parts = Vec::new();
    for run in dense.split(Option::is_none) {
        let mut line: Vec<Corner> = run.iter().flatten().copied().collect();
        line.dedup();
        mesh.visible_parts(&line, |_| true, placed.camera, &mut parts);
    }
    parts.into_iter().map(|part| part.into_iter().map(|p| placed.at(p)).collect()).collect()
}
