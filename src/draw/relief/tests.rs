//! Whole figures and their parts, held against a ray through every triangle, by layout and by pixels.

use super::mesh::Corner;
use super::*;
use crate::draw::colour;
use crate::draw::contour::levels::{Levels, Spacing};
use crate::draw::image::{svg_to_png, text_corners};
use crate::draw::marks::{Mark, Marks};

fn even(n: usize) -> Vec<f64> {
    (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect()
}

fn square(title: &str, n: usize, f: impl Fn(f64, f64) -> f64) -> Panel {
    let x = even(n);
    let loss = x.iter().flat_map(|&b| x.iter().map(move |&a| (a, b))).map(|(a, b)| f(a, b)).collect();
    Panel {
        title: title.to_owned(),
        x: x.clone(),
        y: x,
        loss,
        centre: None,
        centre_se: None,
        errors: None,
        known: None,
        dotted: None,
        note: None,
        axes: None,
        marks: Marks::default(),
    }
}

/// Steep random surfaces with a hole; the generator of Knuth's MMIX, so that the test needs no other module.
fn rough(seed: u64, n: usize) -> Panel {
    let mut state = seed;
    let mut panel = square("rough", n, |_, _| 0.0);
    for v in &mut panel.loss {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *v = (state >> 33) as f64 / 2f64.powi(31);
    }
    panel.loss[n + 1] = f64::NAN;
    panel
}

fn heights(panel: &Panel) -> Heights {
    let bands = Bands::new(std::slice::from_ref(panel), &Style::default()).unwrap();
    Heights::new(&bands.levels, &Style::default())
}

/// All triangles of a mesh.
fn triangles(mesh: &Mesh) -> Vec<[Corner; 3]> {
    let (nx, ny) = mesh.cells();
    let cells = (0..ny).flat_map(|j| (0..nx).map(move |i| (i, j)));
    let around = |[a, b, c, d]: [Corner; 4]| {
        let m = std::array::from_fn(|k| (a[k] + b[k] + c[k] + d[k]) / 4.0);
        [[a, b, m], [b, c, m], [c, d, m], [d, a, m]]
    };
    cells.filter_map(|(i, j)| mesh.corners(i, j)).flat_map(around).collect()
}

/// Depth (towards the viewer) and height where the line of sight through a point of the sheet meets a triangle.
fn meets(triangle: &[Corner; 3], camera: &Camera, at: Point) -> Option<(f64, f64)> {
    let [a, b, c] = triangle.map(|p| camera.at(p));
    let cross = |o: Point, p: Point, q: Point| (p.0 - o.0) * (q.1 - o.1) - (q.0 - o.0) * (p.1 - o.1);
    let whole = cross(a, b, c);
    let weights = [cross(at, b, c) / whole, cross(at, c, a) / whole, cross(at, a, b) / whole];
    let mix = |k: usize| (0..3).map(|n| weights[n] * triangle[n][k]).sum::<f64>();
    let depth = (0..3).map(|k| mix(k) * camera.toward[k]).sum();
    weights.iter().all(|w| *w >= 0.0).then(|| (depth, mix(2)))
}

fn inside(ring: &[(i64, i64)], (x, y): Point) -> bool {
    let next = ring.iter().cycle().skip(1);
    let crossings = ring.iter().zip(next).filter(|(a, b)| {
        let ((ax, ay), (bx, by)) = ((a.0 as f64, a.1 as f64), (b.0 as f64, b.1 as f64));
        (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
    });
    crossings.count() % 2 == 1
}

const AZIMUTHS: [f64; 12] = [-180.0, -150.0, -90.0, -60.0, -45.0, -10.0, 0.0, 30.0, 75.0, 90.0, 135.0, 166.0];

/// Oracle: the nearest of all triangles along the line of sight, by brute force. At sampled points of the sheet the
/// last piece painted must be of the band that is seen there, and there must be none where no triangle is met. Cells
/// sorted by mean depth, or painted from near to far along one axis, fail.
#[test]
fn the_piece_painted_last_is_the_nearest_from_every_side() {
    for (seed, azimuth) in AZIMUTHS.into_iter().enumerate() {
        let panel = rough(seed as u64 + 1, 6);
        let heights = heights(&panel);
        let mesh = Mesh::new(&panel, &heights);
        let camera = Camera::new(View { azimuth, elevation: 12.0 + 5.0 * seed as f64 }).unwrap();
        let placed = Placed { camera: &camera, origin: (0.0, 0.0), side: 100.0 };
        let groups = paint::in_order(paint::pieces(&mesh, &placed, &heights.inner));
        let triangles = triangles(&mesh);
        // Band, if any, seen at a point; nothing beside an edge, where rounding to hundredths decides.
        let seen = |at: Point| {
            let band = |at: Point| {
                let hits = triangles.iter().filter_map(|t| meets(t, &camera, at));
                let nearest = hits.max_by(|a, b| a.0.total_cmp(&b.0));
                nearest.map(|(_, z)| heights.inner.partition_point(|&bound| bound <= z))
            };
            let beside = [(0.0, 0.0), (0.001, 0.0), (-0.001, 0.0), (0.0, 0.001), (0.0, -0.001)];
            let bands = beside.map(|(dx, dy)| band((at.0 + dx, at.1 + dy)));
            bands.iter().all(|b| *b == bands[0]).then_some(bands[0])
        };
        let (low, high) = (camera.at([0.0, 0.0, mesh::HEIGHT]).1, camera.toward[2]);
        let (mut compared, mut hit) = (0, 0);
        for k in 0..200 {
            // Points of low discrepancy over the projection.
            let (u, v) = ((k as f64 * 0.754_877_666) % 1.0, (k as f64 * 0.569_840_291) % 1.0);
            let at = (1.3 * (u - 0.5), low - 0.6 * high + v * (1.2 * high - low));
            let Some(expected) = seen(at) else { continue };
            let spot = (at.0 * 10_000.0, at.1 * 10_000.0);
            let painted =
                groups.iter().rev().find(|(_, pieces)| pieces.iter().any(|p| inside(&p.ring, spot)));
            assert_eq!(painted.map(|(look, _)| look / 8), expected, "azimuth {azimuth} at {at:?}");
            compared += 1;
            hit += usize::from(expected.is_some());
        }
        assert!(compared > 150 && hit > 50, "{compared} points, {hit} on the surface");
    }
}

/// Oracle: the same brute force. A point of the surface is hidden if a triangle is met nearer to the viewer.
#[test]
fn a_point_is_hidden_where_a_triangle_is_nearer() {
    // The point's own triangle, met again with rounding.
    const ON_IT: f64 = 1e-9;
    for (seed, azimuth) in AZIMUTHS.into_iter().enumerate() {
        let panel = rough(seed as u64 + 100, 6);
        let mesh = Mesh::new(&panel, &heights(&panel));
        // Not end-on: the brute force would have to decide on which side of an edge a point lies.
        let camera =
            Camera::new(View { azimuth: azimuth + 0.37, elevation: 10.0 + 5.0 * seed as f64 }).unwrap();
        let triangles = triangles(&mesh);
        let (mut hidden, mut compared, mut wrong) = (0, 0, 0);
        for triangle in triangles.iter().step_by(7) {
            let p: Corner = std::array::from_fn(|k| (triangle[0][k] + triangle[1][k] + triangle[2][k]) / 3.0);
            let depth = |p: Corner| (0..3).map(|k| p[k] * camera.toward[k]).sum::<f64>();
            let gaps =
                triangles.iter().filter_map(|t| meets(t, &camera, camera.at(p))).map(|hit| hit.0 - depth(p));
            // Within its tolerance in height `hides` may say either.
            let nearest = gaps.fold(0.0, f64::max);
            if (ON_IT..0.05).contains(&nearest) {
                continue;
            }
            wrong += usize::from(mesh.hides(p, &camera) != (nearest > ON_IT));
            hidden += usize::from(nearest > ON_IT);
            compared += 1;
        }
        assert!(hidden > 20 && compared > hidden + 20, "{hidden} of {compared}");
        // A line of sight that grazes a slope may stay within the tolerance for longer.
        assert!(100 * wrong <= compared, "azimuth {azimuth}: {wrong} of {compared} wrong");
    }
}

/// Oracle: winding numbers of the pieces one by one. Striking out shared edges must leave every point's number.
#[test]
fn an_outline_winds_as_its_pieces_do() {
    let square = |x: i64, y: i64| paint::Piece {
        look: 0,
        ring: vec![(x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10)],
    };
    // Two neighbours, one that overlaps both, one apart.
    let pieces = [square(0, 0), square(10, 0), square(5, 5), square(40, 0)];
    let rings = paint::outline(&pieces);
    let winding = |rings: &[Vec<(i64, i64)>], (x, y): Point| -> i64 {
        let sides = rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
        let crossing = |(a, b): (&(i64, i64), &(i64, i64))| {
            let ((ax, ay), (bx, by)) = ((a.0 as f64, a.1 as f64), (b.0 as f64, b.1 as f64));
            let crosses = (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax);
            if crosses { if by > ay { 1 } else { -1 } } else { 0 }
        };
        sides.map(crossing).sum()
    };
    let own: Vec<Vec<(i64, i64)>> = pieces.iter().map(|piece| piece.ring.clone()).collect();
    for (x, y) in (0..60).flat_map(|x| (0..20).map(move |y| (x as f64 + 0.5, y as f64 + 0.5))) {
        assert_eq!(winding(&rings, (x, y)), winding(&own, (x, y)), "{x} {y}");
    }
    assert!(rings.iter().flatten().count() < own.iter().flatten().count());
}

/// Oracle: geometry. Swapping the directions and looking from 90° − azimuth is a mirror image: the cross, on a slope
/// where it is seen, lies at the mirrored place.
#[test]
fn swapped_directions_are_the_mirror_image() {
    let camera = |azimuth| Camera::new(View { azimuth, elevation: 35.0 }).unwrap();
    let panel = rough(5, 7);
    let mut swapped = panel.clone();
    for (k, v) in panel.loss.iter().enumerate() {
        swapped.loss[k % 7 * 7 + k / 7] = *v;
    }
    let (one, other) = (Mesh::new(&panel, &heights(&panel)), Mesh::new(&swapped, &heights(&swapped)));
    for azimuth in AZIMUTHS {
        let (here, there) = (camera(azimuth), camera(90.0 - azimuth));
        let length = |mesh: &Mesh, camera: &Camera| -> f64 {
            let lines = mesh.visible_lines(camera);
            let steps = lines.iter().flat_map(|line| line.windows(2));
            steps
                .map(|w| {
                    let (a, b) = (camera.at(w[0]), camera.at(w[1]));
                    (a.0 - b.0).hypot(a.1 - b.1)
                })
                .sum()
        };
        let (a, b) = (length(&one, &here), length(&other, &there));
        // Halving stops at a 32nd of a fine step, in the one sense or the other.
        assert!((a - b).abs() < 0.01 * a, "azimuth {azimuth}: {a} against {b}");
        let (p, q) = (here.at([0.2, -0.3, 0.1]), there.at([-0.3, 0.2, 0.1]));
        assert!((p.0 + q.0).abs() < 1e-12 && (p.1 - q.1).abs() < 1e-12);
    }
}

/// Whether two convex quadrilaterals overlap by more than a hundredth: the axes of their sides.
fn touch(a: &[Point; 4], b: &[Point; 4]) -> bool {
    let beyond = |q: &[Point; 4]| {
        (0..4).any(|k| {
            let ((x0, y0), (x1, y1)) = (q[k], q[(k + 1) % 4]);
            let reach = |c: &[Point; 4]| {
                let along = c.map(|(x, y)| x * (y1 - y0) - y * (x1 - x0));
                (
                    along.into_iter().fold(f64::INFINITY, f64::min),
                    along.into_iter().fold(f64::NEG_INFINITY, f64::max),
                )
            };
            let ((l1, h1), (l2, h2)) = (reach(a), reach(b));
            h1 <= l2 || h2 <= l1
        })
    };
    !(beyond(a) || beyond(b))
}

/// Oracle: the renderer's own text layout. From every side no two texts touch and none leaves the sheet.
#[test]
fn texts_keep_apart_from_every_side() {
    let bowl = |x: f64, y: f64| 0.7 + 3.0 * x * x + y * y + x * y;
    let mut wide = square("wide numbers", 6, |x, y| 1e6 * (x * y).abs());
    wide.x = wide.x.iter().map(|v| 1e-3 * v).collect();
    wide.y = wide.y.iter().map(|v| 1500.0 + 1000.0 * v).collect();
    let mut centred =
        square("a title that is much too long for a panel of this width, or any other", 9, bowl);
    centred.centre = Some(0.701);
    let one = vec![centred.clone()];
    let six = vec![centred.clone(), wide.clone(), rough(3, 9), centred.clone(), wide, centred];
    for azimuth in AZIMUTHS {
        for (panels, columns, elevation) in
            [(&one, None, 30.0), (&one, None, 8.0), (&six, None, 30.0), (&six, Some(2), 70.0)]
        {
            let style = Style { columns, ..Style::default() };
            let svg = relief_figure(panels, &style, View { azimuth, elevation }).unwrap();
            let size = svg.split_once("viewBox=\"0 0 ").unwrap().1.split_once('"').unwrap().0;
            let size: Vec<f64> = size.split(' ').map(|v| v.parse().unwrap()).collect();
            let texts = text_corners(&svg);
            assert!(texts.len() > 12, "only {} texts", texts.len());
            for (k, (a, box_a)) in texts.iter().enumerate() {
                let within = |&(x, y): &Point| x >= 0.0 && y >= 0.0 && x <= size[0] && y <= size[1];
                assert!(box_a.iter().all(within), "{azimuth} {elevation}: {a} leaves the sheet");
                for (b, box_b) in &texts[k + 1..] {
                    assert!(!touch(box_a, box_b), "{azimuth} {elevation}: {a} touches {b}");
                }
            }
        }
    }
}

/// Oracle: pixels. Level ground has exactly the colour of the bar; a hole shows the white of the sheet.
#[test]
fn level_ground_has_the_colour_of_the_bar_and_holes_are_white() {
    let mut flat = square("flat", 9, |_, _| 2.25);
    let colour = Style::default().map.parts(1).remove(0);
    let has = |svg: &str| svg.contains(&format!("fill=\"{colour}\" stroke=\"{colour}\""));
    assert!(has(&relief_figure(std::slice::from_ref(&flat), &Style::default(), View::default()).unwrap()));
    (5..=8).for_each(|k| flat.loss[k * 9 + 4] = f64::NAN);
    let svg = relief_figure(&[flat], &Style::default(), View::default()).unwrap();
    assert!(has(&svg) && svg.contains("not drawn: loss not finite (4 of 81 points)"));
}

/// Oracle: the width of the page, counting, and a second run. Six panels of 25 x 25 stay below 1 MB.
#[test]
fn six_panels_fit_a_page_and_a_megabyte_and_have_the_same_bytes_again() {
    let hilly = |x: f64, y: f64| 0.3 + x * x + 0.6 * y * y + 0.2 * (7.0 * x).sin() * (6.0 * y).cos();
    let panels: Vec<Panel> =
        (1..=6).map(|k| square("hilly", 25, |x, y| f64::from(k) * hilly(x, y))).collect();
    let svg = relief_figure(&panels, &Style::default(), View::default()).unwrap();
    assert_eq!(svg, relief_figure(&panels, &Style::default(), View::default()).unwrap());
    assert!(svg.contains(&format!("width=\"{:.2}pt\"", 174.0 * PT_PER_MM)));
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
    let row = relief_figure(&panels, &Style { columns: Some(6), ..Style::default() }, View::default());
    assert!(row.unwrap_err().to_string().contains("fewer columns"));
}

/// Extremes that must only not fail: a spike, flat, two points per axis, the largest numbers, one finite point.
#[test]
fn extremes_give_a_figure() {
    let only = |x: f64, y: f64| if x == 0.0 && y == 0.0 { 1.0 } else { f64::NAN };
    let surfaces = [
        square("spike", 9, |x, y| if x == 0.0 && y == 0.0 { 1e6 } else { 1.0 }),
        square("flat", 3, |_, _| -0.0),
        square("least", 2, |x, y| x + y),
        square("largest", 5, |x, y| f64::MAX / 4.0 * (x + y)),
        square("mixed", 5, |x, y| 10f64.powf(300.0 * x + y)),
        square("one point", 5, only),
        square("many points", 121, |x, y| 2.0 + (x * y).sin()),
    ];
    for surface in surfaces {
        for spacing in [Spacing::Linear, Spacing::Log] {
            if spacing == Spacing::Log && surface.loss.iter().any(|&v| v <= 0.0) {
                continue;
            }
            let style = Style { spacing, dots: true, ..Style::default() };
            let figure = relief_figure(std::slice::from_ref(&surface), &style, View::default());
            let svg = figure.unwrap_or_else(|e| panic!("{}: {e}", surface.title));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", surface.title);
            svg_to_png(&svg, 72.0, None).unwrap();
        }
    }
}

#[test]
fn unusable_views_are_refused_by_name() {
    let panel = [square("good", 5, |x, y| 1.0 + x + y)];
    let refused = |azimuth: f64, elevation: f64, word: &str| {
        let view = View { azimuth, elevation };
        let message = relief_figure(&panel, &Style::default(), view).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    for elevation in [0.0, 90.0, -5.0, f64::NAN, f64::INFINITY] {
        refused(-60.0, elevation, "`elevation`");
    }
    refused(f64::NAN, 30.0, "`azimuth`");
    refused(f64::NEG_INFINITY, 30.0, "`azimuth`");
    let none = Style { columns: Some(0), ..Style::default() };
    let message = relief_figure(&panel, &none, View::default()).unwrap_err().to_string();
    assert!(message.contains("`columns`"), "{message}");
    let levels = Levels::new(0.0, 1.0, 12, Spacing::Linear);
    assert!((Heights::new(&levels, &Style::default()).of(0.5) - mesh::HEIGHT / 2.0).abs() < 1e-12);
}

/// Oracle: a direct test of each point. On a ridge across the line of sight a mark behind it is hidden from the one side
/// and seen from the other; names stay apart from all texts.
#[test]
fn marks_are_drawn_where_the_surface_does_not_hide_them() {
    let mut ridge = square("ridge", 15, |x, _| (-20.0 * x * x).exp());
    let mark = |label: &str, x: f64, y: f64, order| Mark { label: label.into(), x, y, order, distance: None };
    ridge.marks.points =
        vec![mark("left", -0.6, 0.1, None), mark("right", 0.6, 0.2, None), mark("out", 4.0, 0.0, None)];
    ridge.marks.path = (0..5).map(|k| mark("", f64::from(k) / 2.5 - 0.8, 0.5, Some(f64::from(k)))).collect();
    let names = |azimuth| -> Vec<String> {
        let svg =
            relief_figure(&[ridge.clone()], &Style::default(), View { azimuth, elevation: 15.0 }).unwrap();
        let texts = text_corners(&svg);
        for (k, (a, box_a)) in texts.iter().enumerate() {
            for (b, box_b) in &texts[k + 1..] {
                assert!(!touch(box_a, box_b), "{azimuth}: {a} touches {b}");
            }
        }
        assert!(svg.contains("outside, not shown: 1 of 8 points"));
        assert_eq!(svg.contains("hidden by the surface"), azimuth.abs() < 10.0 || azimuth > 170.0);
        let named = texts.into_iter().map(|(text, _)| text);
        named.filter(|text| ["left", "right", "step 0", "step 4"].contains(&text.as_str())).collect()
    };
    // From +x the ridge hides what lies at negative x, and the other way round; from the front nothing.
    assert_eq!(names(0.0), ["right", "step 4"]);
    assert_eq!(names(180.0), ["left", "step 0"]);
    assert_eq!(names(-90.0).len(), 4);
}

/// Oracle: on paper. The valley 10 x² is cut off at 2.5, which is x = 1/4 in the box, with walls of height 9.6 x². From +x
/// at 60° the wall between 0.13 and 0.24 is steeper than the line of sight, which meets the plateau before the box ends:
/// it is hidden. The opposite wall faces the viewer.
#[test]
fn a_plateau_hides_what_is_behind_it() {
    let valley = square("valley", 21, |x, _| 10.0 * x * x);
    let style = Style { clip: Some(2.5), ..Style::default() };
    let levels = Bands::new(std::slice::from_ref(&valley), &style).unwrap().levels;
    let mesh = Mesh::new(&valley, &Heights::new(&levels, &style));
    let camera = Camera::new(View { azimuth: 0.0, elevation: 60.0 }).unwrap();
    for k in 0..200 {
        let (x, y) = (0.13 + 0.11 * f64::from(k) / 200.0, f64::from(k * 37 % 200) / 210.0 - 0.45);
        let [near, far] = [x, -x].map(|x| mesh.on((x, y)).unwrap());
        assert!(mesh.hides(near, &camera) && !mesh.hides(far, &camera), "{x} {y}");
    }
    // Of a cliff inside one fine cell both ends are seen, the lower one below the plateau.
    let cliff = square("cliff", 5, |x, _| if x > 0.0 { 100.0 } else { 0.0 });
    let levels =
        Bands::new(std::slice::from_ref(&cliff), &Style { clip: Some(1.0), ..style }).unwrap().levels;
    let mesh = Mesh::new(&cliff, &Heights::new(&levels, &Style::default()));
    let camera = Camera::new(View { azimuth: 0.0, elevation: 30.0 }).unwrap();
    for line in mesh.visible_lines(&camera) {
        for step in line.windows(2) {
            for part in [0.25, 0.5, 0.75] {
                let at: Corner = std::array::from_fn(|c| step[0][c] + part * (step[1][c] - step[0][c]));
                assert!(!mesh.hides(at, &camera), "{step:?}");
            }
        }
    }
}

/// Oracle: counting, and the grid points themselves. On a plane the top is cut off at the height of the clip: no corner of
/// the surface is above the box, the cut part has its own colour, and the same surface without a clip has not.
#[test]
fn what_lies_above_the_clip_is_a_plateau() {
    let plane = square("plane", 9, |x, y| x + 0.1 * y);
    let count = plane.loss.iter().filter(|v| **v > 0.5).count();
    let style = Style { clip: Some(0.5), ..Style::default() };
    for azimuth in AZIMUTHS {
        let view = View { azimuth, elevation: 30.0 };
        let svg = relief_figure(std::slice::from_ref(&plane), &style, view).unwrap();
        assert!(svg.contains(&format!("clipped above 0.5: {count} of 81 points, up to 1.1<")));
        let look = format!("fill=\"{0}\" stroke=\"{0}\"", colour::CLIPPED);
        assert!(svg.contains(&look), "{azimuth}");
        let whole = relief_figure(std::slice::from_ref(&plane), &Style::default(), view).unwrap();
        assert!(!whole.contains(colour::CLIPPED));
    }
    let levels = Bands::new(std::slice::from_ref(&plane), &style).unwrap().levels;
    let mesh = Mesh::new(&plane, &Heights::new(&levels, &style));
    let corners = (0..mesh.y.len()).flat_map(|j| (0..mesh.x.len()).map(move |i| (i, j)));
    assert!(corners.map(|(i, j)| mesh.point(i, j)[2]).all(|z| z <= mesh::HEIGHT));
}

/// Oracle: on paper: with `--levels log` each band of rises is equally high, those around 0 too, and in between heights grow
/// evenly; without it heights are in proportion.
#[test]
fn bands_of_rises_are_equally_high_on_request() {
    let levels = Levels::rises(-0.01, 0.1, 0.01);
    assert_eq!(levels.bounds, [-0.01, 0.01, 0.02, 0.05, 0.1]);
    let heights = |spacing| Heights::new(&levels, &Style { rise: true, spacing, ..Style::default() });
    let (even, plain) = (heights(Spacing::Log), heights(Spacing::Decades));
    for (rise, part) in [(-0.01, 0.0), (0.0, 0.125), (0.01, 0.25), (0.015, 0.375), (0.05, 0.75), (0.1, 1.0)] {
        assert!((even.of(rise) - mesh::HEIGHT * part).abs() < 1e-12, "{rise}");
        assert!((plain.of(rise) - mesh::HEIGHT * (rise + 0.01) / 0.11).abs() < 1e-12, "{rise}");
    }
}

/// Oracle: the view itself: from low down the wall of a deep bowl hides its middle, which then has a pin; from high above it has
/// none. The cross is drawn either way: what is marked is never left out.
#[test]
fn a_hidden_model_stands_on_a_pin() {
    let bowl = square("bowl", 11, |x, y| 3.0 * (x * x + y * y));
    for (elevation, pinned) in [(15.0, true), (80.0, false)] {
        let view = View { elevation, ..View::default() };
        let svg = relief_figure(std::slice::from_ref(&bowl), &Style::default(), view).unwrap();
        assert_eq!(svg.contains("stroke-dasharray=\"1.6 1.2\""), pinned, "{elevation}");
        assert_eq!(svg.contains("on a pin where the surface hides it"), pinned);
        let crosses = svg.lines().filter(|line| line.contains("stroke=\"#fff\" stroke-width=\"1\"")).count();
        assert_eq!(crosses, 2, "one in the panel and one in the key");
    }
}

/// Oracle: counting texts: in a table each arm and each mask is said once, as in flat figures.
#[test]
fn a_table_of_reliefs_says_rows_and_columns_once() {
    let (rows, columns) = (["uniform 0.05", "guided"], ["all", "top 1 %"]);
    let bowl = |title: String| square(&title, 7, |x, y| x * x + y * y);
    let panels: Vec<Panel> =
        rows.iter().flat_map(|row| columns.map(|column| bowl(format!("{row}: {column}")))).collect();
    let svg = relief_figure(&panels, &Style::default(), View::default()).unwrap();
    for words in rows.iter().chain(&columns) {
        assert_eq!(svg.matches(&format!(">{words}<")).count(), 1, "{words}");
    }
    assert!(!svg.contains(">guided: all<"), "no title has both");
}
