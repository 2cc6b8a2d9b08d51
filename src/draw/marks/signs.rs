//! Marks on the sheet: signs, a path, arrows to what lies outside, and names that touch nothing.
//!
//! A name stands as near to its sign as it can without touching a sign, another name, what it is told to avoid or the
//! frame; a thin line leads to one that stands further away, and one without any room is left out and counted.
//! Everything is black on white or white on black, so that it shows on every colour.
//!
//! [`crate::draw::contour`] and [`crate::draw::relief`] say where the points are.

use crate::draw::canvas::{Area, Canvas, Point, path_data, short, text_width};
use crate::draw::curves::stroke;
use crate::draw::legend::Entry;
use crate::draw::marks::{Mark, Marks};
use crate::draw::text::{SMALL, shortened};

/// Half the size of a sign with the space around it, and of a point of a path, pt.
const SIGN: f64 = 3.6;
const DOT: f64 = 1.8;
/// Half the length of an arrow head, pt.
const ARROW: f64 = 3.0;
/// A name further from its sign than this has a line to it; distances that are tried, pt.
const NEAR: f64 = 6.0;
const DISTANCES: [f64; 9] = [3.6, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 38.0, 50.0];
/// Directions that are tried: to the right first, then up, the left and down, in turn.
const DIRECTIONS: usize = 16;
/// A name longer than this part of the frame is made smaller, then cut.
const LONGEST: f64 = 0.55;

/// What is marked on one panel, pt.
#[derive(Default)]
pub(crate) struct Signs {
    /// Named points.
    pub(crate) points: Vec<Point>,
    /// Parts of the path, and its points.
    pub(crate) lines: Vec<Vec<Point>>,
    pub(crate) dots: Vec<Point>,
    /// Middles of arrow heads, and where they point to.
    pub(crate) arrows: Vec<(Point, Point)>,
    /// Points that lie outside the frame, and that a surface hides.
    pub(crate) outside: usize,
    pub(crate) hidden: usize,
    /// Places and names.
    pub(crate) wishes: Vec<(Point, String)>,
}

/// Signs with their names in place.
pub(crate) struct Placed {
    signs: Signs,
    names: Vec<Name>,
    /// Names without room.
    left_out: usize,
}

struct Name {
    words: String,
    em: f64,
    area: Area,
    /// To a name further away.
    lead: Option<[Point; 2]>,
}

fn around(at: Point, r: f64) -> Area {
    Area::around(at, r, r)
}

impl Signs {
    /// Marks in a frame of coordinates: `at` says where these lie on the sheet.
    pub(crate) fn flat(marks: &Marks, x: (f64, f64), y: (f64, f64), at: impl Fn(f64, f64) -> Point) -> Signs {
        let held = |mark: &Mark| x.0 <= mark.x && mark.x <= x.1 && y.0 <= mark.y && mark.y <= y.1;
        let mut signs = Signs { outside: marks.all().filter(|mark| !held(mark)).count(), ..Signs::default() };
        for (mark, name) in marks.labelled() {
            let mut middle = at(mark.x, mark.y);
            if !held(mark) {
                // The nearest point of the frame is right in one coordinate at least.
                let (edge, far) = (at(mark.x.clamp(x.0, x.1), mark.y.clamp(y.0, y.1)), middle);
                let length = (far.0 - edge.0).hypot(far.1 - edge.1);
                let to = ((far.0 - edge.0) / length, (far.1 - edge.1) / length);
                middle = (edge.0 - (ARROW + 0.6) * to.0, edge.1 - (ARROW + 0.6) * to.1);
                signs.arrows.push((middle, to));
            }
            signs.wishes.push((middle, name));
        }
        let place = |mark: &Mark| at(mark.x, mark.y);
        signs.points = marks.points.iter().filter(|mark| held(mark)).map(place).collect();
        signs.dots = marks.path.iter().filter(|mark| held(mark)).map(place).collect();
        for pair in marks.path.windows(2) {
            let ends = pair.iter().map(|mark| (mark.x, mark.y)).collect::<Vec<Point>>();
            let Some([a, b]) = within([ends[0], ends[1]], x, y) else { continue };
            let (a, b) = (at(a.0, a.1), at(b.0, b.1));
            match signs.lines.last_mut().filter(|line| line.last() == Some(&a)) {
                Some(line) => line.push(b),
                None => signs.lines.push(vec![a, b]),
            }
        }
        signs
    }

    /// Names inside `frame` and outside the areas to `avoid`.
    pub(crate) fn named(self, frame: Area, avoid: &[Area]) -> Placed {
        let mut placed = Placed { signs: self, names: Vec::new(), left_out: 0 };
        // Signs may be near one another, so a line to a name may cross them, but no name.
        let signs: Vec<Area> = avoid.iter().copied().chain(placed.signs.areas()).collect();
        let mut taken: Vec<Area> = Vec::new();
        let path: Vec<Point> = placed.signs.lines.iter().flat_map(|line| steps(line)).collect();
        for (at, name) in std::mem::take(&mut placed.signs.wishes) {
            let (words, em) = shortened(&name, SMALL, LONGEST * (frame.right - frame.left));
            let size = (text_width(&words, em) + 2.0, em + 1.0);
            let spots =
                (0..DIRECTIONS).flat_map(|d| DISTANCES.map(|distance| spot(at, size, d, distance, frame)));
            let free = spots.filter(|(area, lead, _)| {
                let clear = |at: &Point| !taken.iter().any(|other| other.overlaps(&around(*at, 0.5)));
                let on_sign = signs.iter().chain(&taken).any(|other| other.overlaps(area));
                frame.contains(area)
                    && !on_sign
                    && lead.iter().flat_map(|ends| steps(ends)).all(|at| clear(&at))
            });
            // Better a little further away than on the path.
            let cost = |(area, _, cost): &(Area, Option<[Point; 2]>, f64)| {
                cost + 1.5 * path.iter().filter(|at| area.overlaps(&around(**at, 0.1))).count() as f64
            };
            match free.min_by(|a, b| cost(a).total_cmp(&cost(b))) {
                Some((area, lead, _)) => {
                    taken.push(area);
                    taken.extend(lead.iter().flat_map(|ends| steps(ends)).skip(8).map(|at| around(at, 0.5)));
                    placed.names.push(Name { words, em, area, lead });
                }
                None => placed.left_out += 1,
            }
        }
        placed
    }

    fn areas(&self) -> impl Iterator<Item = Area> + '_ {
        let ends = self.arrows.iter().map(|(at, _)| at).chain(&self.points);
        ends.map(|at| around(*at, SIGN)).chain(self.dots.iter().map(|at| around(*at, DOT)))
    }
}

/// An area for a name in one direction at one distance, moved into the frame; the line to it, and how bad it is.
fn spot(
    at: Point,
    size: (f64, f64),
    direction: usize,
    distance: f64,
    frame: Area,
) -> (Area, Option<[Point; 2]>, f64) {
    // 0, 1, -1, 2, -2, …: alternately to both sides of the right.
    let turn = (direction as f64 / 2.0).ceil() * if direction.is_multiple_of(2) { 1.0 } else { -1.0 };
    let (sin, cos) = (turn * std::f64::consts::TAU / DIRECTIONS as f64).sin_cos();
    let left = at.0 + cos * (distance + size.0 / 2.0) - size.0 / 2.0;
    let top = at.1 + sin * (distance + size.1 / 2.0) - size.1 / 2.0;
    let (left, top) =
        (left.min(frame.right - size.0).max(frame.left), top.min(frame.bottom - size.1).max(frame.top));
    let area = Area { left, top, right: left + size.0, bottom: top + size.1 };
    let nearest = (at.0.clamp(area.left, area.right), at.1.clamp(area.top, area.bottom));
    let gap = (nearest.0 - at.0).hypot(nearest.1 - at.1);
    (area, (gap > NEAR).then_some([at, nearest]), distance + 0.1 * direction as f64)
}

/// The part of a stretch inside a rectangle (Liang and Barsky 1984).
fn within([a, b]: [Point; 2], x: (f64, f64), y: (f64, f64)) -> Option<[Point; 2]> {
    let step = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0, 1.0);
    // How far beyond each side the start lies, and how much further a whole step leads.
    for (beyond, further) in
        [(x.0 - a.0, -step.0), (a.0 - x.1, step.0), (y.0 - a.1, -step.1), (a.1 - y.1, step.1)]
    {
        match further {
            0.0 if beyond > 0.0 => return None,
            0.0 => {}
            out if out > 0.0 => to = f64::min(to, -beyond / out),
            into => from = f64::max(from, -beyond / into),
        }
    }
    let at = |t: f64| match t {
        0.0 => a,
        1.0 => b,
        t => (a.0 + step.0 * t, a.1 + step.1 * t),
    };
    (from < to).then(|| [at(from), at(to)])
}

/// Points along a line, about half a point apart.
fn steps(line: &[Point]) -> Vec<Point> {
    let between = |pair: &[Point]| -> Vec<Point> {
        let (a, b) = (pair[0], pair[1]);
        let n = ((b.0 - a.0).hypot(b.1 - a.1) / 0.5).ceil().max(1.0) as usize;
        let at = |t: f64| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
        (0..=n).map(|k| at(k as f64 / n as f64)).collect()
    };
    line.windows(2).flat_map(between).collect()
}

impl Placed {
    /// What numbers on level lines must keep off.
    pub(crate) fn areas(&self) -> Vec<Area> {
        let along = self.signs.lines.iter().flat_map(|line| steps(line)).map(|at| around(at, 1.0));
        let names = self.names.iter().map(|name| name.area);
        let leads = self.names.iter().filter_map(|name| name.lead);
        let leads = leads.flat_map(|ends| steps(&ends)).map(|at| around(at, 0.8));
        self.signs.areas().chain(names).chain(along).chain(leads).collect()
    }

    pub(crate) fn draw(&self, canvas: &Canvas) {
        self.signs.lines.iter().for_each(|line| path_line(canvas, line));
        self.signs.dots.iter().for_each(|at| path_dot(canvas, *at));
        for ends in self.names.iter().filter_map(|name| name.lead) {
            canvas.path(&path_data(&ends, false), "stroke=\"#fff\" stroke-width=\"1.5\"");
            canvas.path(&path_data(&ends, false), "stroke=\"#000\" stroke-width=\".5\"");
        }
        self.signs.points.iter().for_each(|at| diamond(canvas, *at));
        self.signs.arrows.iter().for_each(|(at, to)| arrow(canvas, *at, *to));
        for Name { words, em, area, .. } in &self.names {
            let middle = (area.top + area.bottom) / 2.0;
            canvas.haloed(words, (area.left + 1.0, middle + 0.26 * em), *em);
        }
    }
}

/// What a key says of some panels, of which `total` points were to be marked.
pub(crate) fn entries(panels: &[Placed], total: usize) -> Vec<Entry<'static>> {
    let dots: usize = panels.iter().map(|panel| panel.signs.dots.len()).sum();
    let outside: usize = panels.iter().map(|panel| panel.signs.outside).sum();
    let hidden: usize = panels.iter().map(|panel| panel.signs.hidden).sum();
    let left_out: usize = panels.iter().map(|panel| panel.left_out).sum();
    let mut entries = Vec::new();
    if panels.iter().any(|panel| !panel.signs.points.is_empty()) {
        entries.push(Entry::new(diamond, "named point"));
    }
    if dots > 0 {
        let sign = |canvas: &Canvas, (x, y): Point| {
            path_line(canvas, &[(x - 3.5, y), (x + 3.5, y)]);
            path_dot(canvas, (x, y));
        };
        entries.push(Entry::new(sign, "path of training"));
    }
    if outside > 0 && panels.iter().all(|panel| panel.signs.arrows.is_empty()) {
        entries.push(Entry::note(format!("outside, not shown: {outside} of {total} points")));
    } else if outside > 0 {
        let sign = |canvas: &Canvas, (x, y): Point| arrow(canvas, (x, y), (1.0, 0.0));
        entries.push(Entry::new(sign, format!("outside the frame ({outside} of {total} points)")));
    }
    if hidden > 0 {
        entries.push(Entry::note(format!("hidden by the surface: {hidden} of {total} points")));
    }
    if left_out > 0 {
        entries.push(Entry::note(format!("names without room: {left_out}")));
    }
    entries
}

/// A named point.
pub(crate) fn diamond(canvas: &Canvas, (x, y): Point) {
    const R: f64 = 2.9;
    let corners = [(x, y - R), (x + R, y), (x, y + R), (x - R, y)];
    let look = "fill=\"#fff\" stroke=\"#000\" stroke-width=\".9\" stroke-linejoin=\"round\"";
    canvas.path(&path_data(&corners, true), look);
}

fn path_line(canvas: &Canvas, points: &[Point]) {
    for (colour, width) in [("#fff", "1.8"), ("#000", ".7")] {
        let look = format!("stroke-width=\"{width}\" stroke-linejoin=\"round\"");
        stroke(canvas, points, colour, &look);
    }
}

fn path_dot(canvas: &Canvas, (x, y): Point) {
    let look = "fill=\"#000\" stroke=\"#fff\" stroke-width=\".5\"";
    canvas.raw(&format!("<circle cx=\"{}\" cy=\"{}\" r=\"1.2\" {look}/>", short(x), short(y)));
}

/// A head around `at`, pointing along the unit vector `to`.
fn arrow(canvas: &Canvas, at: Point, to: Point) {
    let half = 2.6;
    let (tip, foot) =
        ((at.0 + ARROW * to.0, at.1 + ARROW * to.1), (at.0 - ARROW * to.0, at.1 - ARROW * to.1));
    let corners =
        [tip, (foot.0 - half * to.1, foot.1 + half * to.0), (foot.0 + half * to.1, foot.1 - half * to.0)];
    let look = "fill=\"#fff\" stroke=\"#000\" stroke-width=\".8\" stroke-linejoin=\"round\"";
    canvas.path(&path_data(&corners, true), look);
}
