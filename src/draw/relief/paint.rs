//! A surface's colours, painted from far to near with as few paths as that order allows.
//!
//! Painted row by row from the far corner to the near one, each piece would cover rightly what it hides. But only the
//! order of pieces that overlap on the sheet matters, and most overlap none. So a colour goes on as long as there is a
//! piece of it that all it overlaps from behind has been painted for: neighbours of one colour become one area, whose
//! outline is all that is written.
//!
//! Outlines are exact: all corners are whole hundredths of a point, and edges that two pieces of one area share in
//! opposite directions are struck out. The areas of a path are those where the winding number is not 0; pieces are
//! turned to one sense first, or a piece seen from below would punch a hole into one seen from above. A thin stroke of
//! the same colour closes the seams that renderers leave between neighbouring areas.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::camera::{Camera, Placed};
use super::mesh::{Corner, Mesh};
use crate::draw::canvas::{Canvas, Point, path_data, short};

/// A corner of an outline in hundredths of a point.
type Spot = (i64, i64);

/// Part of black (negative) or white that is mixed into a colour: from the darkest slope to the brightest, and last
/// for what is seen from below.
const TONES: [f64; 8] = [-0.24, -0.18, -0.12, -0.06, 0.0, 0.06, 0.12, -0.42];
/// The tones of level ground and of what is seen from below.
const LEVEL: f64 = 4.0;
const BELOW: usize = 7;
/// How many tones a slope that faces the light differs from one at a right angle to it.
const CONTRAST: f64 = 5.0;
/// Width of the stroke that closes seams, pt.
const SEAM: f64 = 0.3;
/// Side of the squares in which overlaps are looked for, and by how much rounding lets neighbours overlap, in
/// hundredths of a point.
const SQUARE: i64 = 400;
const ROUNDING: f64 = 3.0;
const STROKE: f64 = 100.0 * SEAM;

/// A piece of the surface of one band and tone: `band * TONES.len() + tone`.
pub(super) struct Piece {
    pub(super) look: usize,
    pub(super) ring: Vec<Spot>,
}

/// Paints the surface: bands between the heights `inner`, and their colours.
pub(super) fn paint(canvas: &Canvas, mesh: &Mesh, placed: &Placed, inner: &[f64], colours: &[String]) {
    for (look, pieces) in in_order(pieces(mesh, placed, inner)) {
        let colour = toned(&colours[look / TONES.len()], TONES[look % TONES.len()]);
        let back = |ring: Vec<Spot>| ring.into_iter().map(|(x, y)| (x as f64 / 100.0, y as f64 / 100.0));
        let outline = outline(&pieces);
        let d: String =
            outline.into_iter().map(|ring| path_data(&back(ring).collect::<Vec<Point>>(), true)).collect();
        let seam = short(SEAM);
        let look = format!(
            "fill=\"{colour}\" stroke=\"{colour}\" stroke-width=\"{seam}\" stroke-linejoin=\"round\""
        );
        canvas.path(&d, &look);
    }
}

/// `colour` with a part of white, or of black if `part` is negative.
fn toned(colour: &str, part: f64) -> String {
    let goal = if part > 0.0 { 255.0 } else { 0.0 };
    let channel = |at: usize| {
        let byte = colour.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
        (f64::from(byte) + (goal - f64::from(byte)) * part.abs()).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(1), channel(3), channel(5))
}

/// All pieces of the surface, from far to near.
pub(super) fn pieces(mesh: &Mesh, placed: &Placed, inner: &[f64]) -> Vec<Piece> {
    let (nx, ny) = mesh.cells();
    let (near_x, near_y) = placed.camera.near;
    let from_far = |k: usize, n: usize, near: f64| if near > 0.0 { k } else { n - 1 - k };
    let [toward_x, toward_y, _] = placed.camera.toward.map(f64::abs);
    // Any order along both axes is right. In rows across the line of sight, strokes of hidden pieces come before the
    // neighbours of what hides them, too.
    let (rows, columns) = if toward_x > toward_y { (nx, ny) } else { (ny, nx) };
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let mut out = Vec::new();
    for (row, column) in cells {
        let (a, b) = if toward_x > toward_y { (row, column) } else { (column, row) };
        let (i, j) = (from_far(a, nx, near_x), from_far(b, ny, near_y));
        let Some(corners) = mesh.corners(i, j) else { continue };
        // One tone for each cell of the grid, so that tones change at its lines only.
        let (sub_x, sub_y) = mesh.sub;
        let (i, j) = (i / sub_x * sub_x, j / sub_y * sub_y);
        let around = [(i, j), (i + sub_x, j), (i + sub_x, j + sub_y), (i, j + sub_y)];
        let tone = tone(around.map(|(i, j)| mesh.point(i, j)), placed.camera);
        for triangle in quarters(corners, placed.camera) {
            bands(triangle, tone, placed, inner, &mut out);
        }
    }
    out
}

/// The tone of a cell of the grid by its slope; level ground has the colours of the bar.
fn tone([a, b, c, d]: [Corner; 4], camera: &Camera) -> usize {
    let along_x = (b[2] + c[2] - a[2] - d[2]) / (2.0 * (b[0] - a[0]));
    let along_y = (c[2] + d[2] - a[2] - b[2]) / (2.0 * (d[1] - a[1]));
    let length = (1.0 + along_x * along_x + along_y * along_y).sqrt();
    // Beside the viewer, on the left: (toward the viewer - to the right + up).
    let (vx, vy) = (camera.toward[0], camera.toward[1]);
    let flat = vx.hypot(vy);
    let light = [(vx + vy) / flat, (vy - vx) / flat, 1.0];
    let facing = (light[2] - along_x * light[0] - along_y * light[1]) / length;
    let steps = CONTRAST * (facing - light[2]) / 3f64.sqrt();
    (LEVEL + steps.round()).clamp(0.0, (BELOW - 1) as f64) as usize
}

/// The four triangles around a cell's middle, the furthest first.
fn quarters([a, b, c, d]: [Corner; 4], camera: &Camera) -> [[Corner; 3]; 4] {
    let middle = std::array::from_fn(|k| (a[k] + b[k] + c[k] + d[k]) / 4.0);
    // Two of them are separated by a diagonal: in the cell's own coordinates, where it is a square, the order is that
    // of the middles of their outer sides along the line of sight.
    let (x, y) = (camera.toward[0] / (b[0] - a[0]), camera.toward[1] / (d[1] - a[1]));
    let mut order = [(-y, [a, b, middle]), (x, [b, c, middle]), (y, [c, d, middle]), (-x, [d, a, middle])];
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    order.map(|(_, triangle)| triangle)
}

/// Cuts a triangle at the heights `inner` and adds what is left of it in each band.
fn bands(triangle: [Corner; 3], tone: usize, placed: &Placed, inner: &[f64], out: &mut Vec<Piece>) {
    let band = |z: f64| inner.partition_point(|&bound| bound <= z);
    let [low, high] = [f64::min as fn(f64, f64) -> f64, f64::max]
        .map(|pick| triangle.iter().map(|p| p[2]).reduce(pick).unwrap_or(0.0));
    // Corners and, between them, the points at each bound: shared sides are cut at the same points.
    let mut around: Vec<Corner> = Vec::with_capacity(8);
    for k in 0..3 {
        let (from, to) = (triangle[k], triangle[(k + 1) % 3]);
        around.push(from);
        let rising = from[2] < to[2];
        let (lower, upper) = if rising { (from, to) } else { (to, from) };
        let start = inner.partition_point(|&bound| bound <= lower[2]);
        let cuts = inner[start..].iter().take_while(|&&bound| bound < upper[2]).map(|&bound| {
            let t = (bound - lower[2]) / (upper[2] - lower[2]);
            [lower[0] + (upper[0] - lower[0]) * t, lower[1] + (upper[1] - lower[1]) * t, bound]
        });
        let first = around.len();
        around.extend(cuts);
        if !rising {
            around[first..].reverse();
        }
    }
    let spot = |p: &Corner| {
        let (x, y) = placed.at(*p);
        ((x * 100.0).round() as i64, (y * 100.0).round() as i64)
    };
    let seen: Vec<Point> = triangle.iter().map(|&p| placed.camera.at(p)).collect();
    let [(x0, y0), (x1, y1), (x2, y2)] = [seen[0], seen[1], seen[2]];
    // On the sheet y points down: counter-clockwise seen from above is negative.
    let below = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) > 0.0;
    let tone = if below { BELOW } else { tone };
    let (first, last) = (band(low), band(high));
    for k in first..=last {
        let floor = if k == first { f64::NEG_INFINITY } else { inner[k - 1] };
        let ceiling = if k == last { f64::INFINITY } else { inner[k] };
        let mut ring: Vec<Spot> =
            around.iter().filter(|p| (floor..=ceiling).contains(&p[2])).map(spot).collect();
        // A side without length would be no side.
        ring.dedup();
        if ring.len() > 1 && ring.first() == ring.last() {
            ring.pop();
        }
        let twice = twice_area(&ring);
        if twice < 0 {
            ring.reverse();
        }
        if twice != 0 {
            out.push(Piece { look: k * TONES.len() + tone, ring });
        }
    }
}

fn twice_area(ring: &[Spot]) -> i64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
}

/// `pieces`, given from far to near, in groups of one look, each group painted over those before it.
///
/// Only pieces that overlap on the sheet keep their order.
pub(super) fn in_order(pieces: Vec<Piece>) -> Vec<(usize, Vec<Piece>)> {
    let (mut waits, hidden_by) = overlaps(&pieces);
    let mut ready: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (k, piece) in pieces.iter().enumerate().filter(|&(k, _)| waits[k] == 0) {
        ready.entry(piece.look).or_default().push(k);
    }
    let looks: Vec<usize> = pieces.iter().map(|piece| piece.look).collect();
    let mut pieces: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
    let mut groups = Vec::new();
    // The look with most pieces waiting; of equals the first.
    while let Some((&look, _)) = ready.iter().max_by_key(|(look, waiting)| (waiting.len(), Reverse(**look))) {
        let mut group = Vec::new();
        while let Some(k) = ready.get_mut(&look).and_then(Vec::pop) {
            group.extend(pieces[k].take());
            for &next in &hidden_by[k] {
                waits[next] -= 1;
                if waits[next] == 0 {
                    ready.entry(looks[next]).or_default().push(next);
                }
            }
        }
        ready.remove(&look);
        groups.push((look, group));
    }
    groups
}

/// For each piece how many earlier ones it overlaps, and the later ones that overlap it.
fn overlaps(pieces: &[Piece]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let (mut earlier, mut later) = (vec![0; pieces.len()], vec![Vec::new(); pieces.len()]);
    // Pieces by the squares of the sheet that they reach into.
    let mut squares: HashMap<Spot, Vec<usize>> = HashMap::new();
    let mut met = vec![usize::MAX; pieces.len()];
    for (k, piece) in pieces.iter().enumerate() {
        let reach = |pick: fn(&Spot) -> i64| {
            let values = || piece.ring.iter().map(pick);
            let square = |v: Option<i64>| v.unwrap_or(0).div_euclid(SQUARE);
            square(values().min())..=square(values().max())
        };
        for x in reach(|spot| spot.0) {
            for y in reach(|spot| spot.1) {
                let square = squares.entry((x, y)).or_default();
                for &other in square.iter() {
                    if std::mem::replace(&mut met[other], k) != k && overlap(&pieces[other].ring, &piece.ring)
                    {
                        earlier[k] += 1;
                        later[other].push(k);
                    }
                }
                square.push(k);
            }
        }
    }
    (earlier, later)
}

/// Whether two convex pieces overlap by more than the rounding of their corners: if no side of either has the other
/// beyond it. Of a piece thinner than the stroke that closes seams the stroke counts, since it is what would show.
fn overlap(a: &[Spot], b: &[Spot]) -> bool {
    let neighbours = a.iter().any(|spot| b.contains(spot));
    let separates = |(from, to): (&Spot, &Spot)| {
        let (nx, ny) = (to.1 - from.1, from.0 - to.0);
        let reach = |ring: &[Spot]| {
            let along = ring.iter().map(|spot| spot.0 * nx + spot.1 * ny);
            along.fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((a_low, a_high), (b_low, b_high)) = (reach(a), reach(b));
        let common = (a_high.min(b_high) - a_low.max(b_low)) as f64;
        let (thinner, unit) = ((a_high - a_low).min(b_high - b_low) as f64, (nx as f64).hypot(ny as f64));
        let touching = if thinner < unit * STROKE { 0.0 } else { ROUNDING };
        common <= unit * if neighbours { touching } else { -STROKE / 2.0 }
    };
    let sides = |ring: &[Spot]| ring.iter().zip(ring.iter().cycle().skip(1)).any(separates);
    !(sides(a) || sides(b))
}

/// Closed lines around pieces of one sense, with the winding numbers of all of them together.
pub(super) fn outline(pieces: &[Piece]) -> Vec<Vec<Spot>> {
    // How often each edge is walked, in its ascending sense less in the other.
    let mut walked: BTreeMap<(Spot, Spot), i32> = BTreeMap::new();
    for piece in pieces {
        for (&from, &to) in piece.ring.iter().zip(piece.ring.iter().cycle().skip(1)) {
            match from.cmp(&to) {
                std::cmp::Ordering::Less => *walked.entry((from, to)).or_default() += 1,
                std::cmp::Ordering::Greater => *walked.entry((to, from)).or_default() -= 1,
                std::cmp::Ordering::Equal => {}
            }
        }
    }
    let mut leads: BTreeMap<Spot, Vec<Spot>> = BTreeMap::new();
    for ((from, to), times) in walked {
        let (from, to) = if times > 0 { (from, to) } else { (to, from) };
        (0..times.abs()).for_each(|_| leads.entry(from).or_default().push(to));
    }
    let mut rings = Vec::new();
    while let Some((&start, _)) = leads.first_key_value() {
        let mut ring = vec![start];
        let mut at = start;
        // As many edges lead to a corner as away from it, so the walk ends where it began.
        while let Some(next) = step(&mut leads, at) {
            if next == start {
                break;
            }
            // Corners on a straight line say nothing.
            if let [.., before, last] = ring[..]
                && straight(before, last, next)
            {
                ring.pop();
            }
            ring.push(next);
            at = next;
        }
        rings.push(ring);
    }
    rings
}

/// Takes an edge that leads away from `at`.
fn step(leads: &mut BTreeMap<Spot, Vec<Spot>>, at: Spot) -> Option<Spot> {
    let ways = leads.get_mut(&at)?;
    let next = ways.pop();
    if ways.is_empty() {
        leads.remove(&at);
    }
    next
}

fn straight(a: Spot, b: Spot, c: Spot) -> bool {
    let ((ux, uy), (vx, vy)) = ((b.0 - a.0, b.1 - a.1), (c.0 - b.0, c.1 - b.1));
    ux * vy == uy * vx && ux * vx + uy * vy > 0
}
