//! Whole figures, checked by reading the file as a program would, by the renderer's layout and by pixels.

use super::*;
use crate::draw::canvas::PT_PER_MM;
use crate::draw::image::{svg_to_png, text_boxes};
use crate::draw::marks::Mark;

fn even(n: usize, a: f64, b: f64) -> Vec<f64> {
    (0..n).map(|i| a + (b - a) * i as f64 / (n - 1) as f64).collect()
}

fn panel(title: &str, x: Vec<f64>, y: Vec<f64>, f: impl Fn(f64, f64) -> f64) -> Panel {
    let loss = y.iter().flat_map(|&b| x.iter().map(move |&a| (a, b))).map(|(a, b)| f(a, b)).collect();
    Panel {
        title: title.to_owned(),
        x,
        y,
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

fn square(title: &str, n: usize, f: impl Fn(f64, f64) -> f64) -> Panel {
    panel(title, even(n, -1.0, 1.0), even(n, -1.0, 1.0), f)
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split_once(&format!(" {name}=\""))?.1.split_once('"').map(|(value, _)| value)
}

/// (left, top, side) of the panels' frames, pt.
fn frames(svg: &str) -> Vec<[f64; 3]> {
    let read = |line: &str, name: &str| attribute(line, name).unwrap().parse::<f64>().unwrap();
    svg.lines()
        .filter(|line| line.starts_with("<rect") && line.contains("fill=\"none\""))
        .map(|line| [read(line, "x"), read(line, "y"), read(line, "width"), read(line, "height")])
        .filter(|[.., w, h]| w == h)
        .map(|[x, y, w, _]| [x, y, w])
        .collect()
}

/// Absolute points of path data with `M` and `l` only.
fn points(d: &str) -> Vec<Point> {
    let mut spaced = String::new();
    let mut dotted = false;
    for c in d.chars() {
        // ".5.5", "1-2" and "1 2" are all two numbers.
        if c == '-' || (c == '.' && dotted) || c.is_ascii_alphabetic() {
            spaced.push(' ');
        }
        dotted = c == '.' || (dotted && c.is_ascii_digit());
        spaced.push(if c.is_ascii_alphabetic() { ' ' } else { c });
    }
    let numbers: Vec<f64> = spaced.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let mut at = (0.0, 0.0);
    let steps = numbers.chunks(2).map(|step| {
        at = (at.0 + step[0], at.1 + step[1]);
        at
    });
    steps.collect()
}

/// Colour of the PNG's pixel at a point of the sheet, at 300 dpi.
fn pixel(svg: &str, at: Point) -> [u8; 3] {
    let picture = resvg::tiny_skia::Pixmap::decode_png(&svg_to_png(svg, 300.0, None).unwrap()).unwrap();
    let [x, y] = [at.0, at.1].map(|v| (v / 72.0 * 300.0) as u32);
    let p = picture.pixel(x, y).unwrap();
    [p.red(), p.green(), p.blue()]
}

/// Oracle: on the plane loss = x the line at level c is x = c. Coordinates are uneven, so that an index taken
/// for a coordinate shows; y has other coordinates than x, so that a transposed grid shows.
#[test]
fn lines_of_a_plane_lie_at_their_level() {
    let x = vec![0.0, 0.1, 0.3, 0.6, 1.0];
    let svg = contour_figure(&[panel("plane", x, even(4, -2.0, 5.0), |x, _| x)], &Style::default()).unwrap();
    let [left, top, side] = frames(&svg)[0];
    let mut levels = Vec::new();
    for line in svg.lines().filter(|line| line.contains("data-level")) {
        let level: f64 = attribute(line, "data-level").unwrap().parse().unwrap();
        for (x, y) in points(attribute(line, "d").unwrap()) {
            assert!((x - (left + level * side)).abs() < 0.03, "{level}: {x}");
            assert!(y > top - 0.01 && y < top + side + 0.01);
        }
        levels.push(level);
    }
    levels.dedup();
    assert_eq!(levels, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
}

/// Oracle: pixels. A loss of 0.55 has one colour: on the plane at x = 0.55, in a flat panel of 0.55, and in
/// the bar at 55 % of its height. With a scale per panel, or that of the first, the flat one would have the
/// colour of a constant.
#[test]
fn all_panels_share_one_colour_scale() {
    let plane = panel("plane", even(5, 0.0, 1.0), even(5, 0.0, 1.0), |x, _| x);
    let flat = panel("flat", even(5, 0.0, 1.0), even(5, 0.0, 1.0), |_, _| 0.55);
    let svg = contour_figure(&[flat, plane], &Style::default()).unwrap();
    let [two, one] = frames(&svg)[..] else { panic!("two frames") };
    let on_plane = pixel(&svg, (one[0] + 0.55 * one[2], one[1] + 0.93 * one[2]));
    let bar = svg.lines().rfind(|line| line.starts_with("<rect") && line.contains("width=\"8\"")).unwrap();
    let bar_left: f64 = attribute(bar, "x").unwrap().parse().unwrap();
    assert_eq!(on_plane, pixel(&svg, (two[0] + 0.3 * two[2], two[1] + 0.3 * two[2])));
    assert_eq!(on_plane, pixel(&svg, (bar_left + 4.0, one[1] + 0.45 * one[2])));
    assert_ne!(on_plane, pixel(&svg, (one[0] + 0.65 * one[2], one[1] + 0.93 * one[2])));
}

/// Oracle: the renderer's own text layout. No two texts touch and none leaves the sheet.
#[test]
fn texts_do_not_overlap() {
    let bowl = |x: f64, y: f64| 0.7 + 3.0 * x * x + y * y + x * y;
    let long = "a title that is much too long for a panel of this width, and for any other one as well";
    let wide =
        panel("wide numbers", even(6, -0.0025, 0.001), even(6, 1000.0, 2500.0), |x, y| 1e6 * (x * y).abs());
    let mut centred = square("with a centre", 9, bowl);
    centred.centre = Some(0.701);
    let rough = square("rough", 17, |x, y| (9.0 * x).sin() * (7.0 * y).cos() + x);
    let holed = square("holed", 9, |x, y| if x > 0.5 && y > 0.5 { f64::NAN } else { 2.3e-5 * bowl(x, y) });
    let offset = square("offset", 9, |x, y| 2.300_01 + 1e-5 * bowl(x, y));
    let distant = panel("long ticks", even(5, 10_000.0, 10_000.002), even(5, 0.0, 1.0), |x, y| x * y);
    let bowl9 = square(long, 9, bowl);
    let log = Style { spacing: Spacing::Log, dots: true, ..Style::default() };
    let wordy = Style {
        x_label: long.to_owned(),
        y_label: long.to_owned(),
        loss_label: long.to_owned(),
        bands: 40,
        ..Style::default()
    };
    let cases: Vec<(Vec<Panel>, Style)> = vec![
        (vec![bowl9.clone()], Style::default()),
        (vec![bowl9.clone()], log.clone()),
        (vec![bowl9.clone()], wordy.clone()),
        (vec![holed.clone()], Style { dots: true, ..Style::default() }),
        (vec![offset], Style::default()),
        (vec![wide.clone()], Style::default()),
        (vec![distant.clone(), distant.clone(), distant], Style::default()),
        (vec![rough.clone(), centred.clone()], Style::default()),
        (vec![bowl9.clone(), centred.clone(), centred.clone()], log),
        (vec![bowl9.clone(), wide.clone(), rough.clone(), holed.clone()], wordy),
        (vec![bowl9.clone(), centred, rough, holed, bowl9.clone(), wide, bowl9], Style::default()),
    ];
    for (i, (panels, style)) in cases.iter().enumerate() {
        let svg = contour_figure(panels, style).unwrap();
        let size = ["width", "height"]
            .map(|s| attribute(&svg, s).unwrap().trim_end_matches("pt").parse::<f64>().unwrap());
        let boxes = text_boxes(&svg);
        assert!(boxes.len() > 15, "figure {i} has only {} texts", boxes.len());
        for (j, (a, [l, t, r, b])) in boxes.iter().enumerate() {
            assert!(
                *l >= 0.0 && *t >= 0.0 && *r <= size[0] && *b <= size[1],
                "figure {i}: {a} leaves the sheet"
            );
            for (c, [l2, t2, r2, b2]) in &boxes[j + 1..] {
                assert!(l >= r2 || l2 >= r || t >= b2 || t2 >= b, "figure {i}: {a} touches {c}");
            }
        }
    }
}

/// Oracle: one colour, no line, and its value written at the bar.
#[test]
fn a_constant_surface_is_one_colour() {
    let svg = contour_figure(&[square("constant", 9, |_, _| 2.25)], &Style::default()).unwrap();
    assert!(!svg.contains("data-level"));
    assert!(text_boxes(&svg).iter().any(|(text, _)| text == "2.25"));
    let [left, top, side] = frames(&svg)[0];
    let at = |s: f64, t: f64| pixel(&svg, (left + s * side, top + t * side));
    assert_eq!(at(0.1, 0.2), at(0.9, 0.7));
    assert_ne!(at(0.1, 0.2), [255; 3]);
}

/// Oracle: pixels and counting. Cells beside a NaN or an infinity are grey (r = g = b), others coloured;
/// levels cover the finite losses only.
#[test]
fn cells_without_a_finite_loss_are_hatched_and_counted() {
    let mut bowl = square("holes", 9, |x, y| 1.0 + x * x + y * y);
    (bowl.loss[4 * 9 + 6], bowl.loss[0]) = (f64::NAN, f64::INFINITY);
    let svg = contour_figure(&[bowl], &Style::default()).unwrap();
    let texts = text_boxes(&svg);
    assert!(texts.iter().any(|(text, _)| text == "loss not finite (2 of 81 points)"), "{texts:?}");
    assert!(texts.iter().any(|(text, _)| text == "3.0"));
    let [left, top, side] = frames(&svg)[0];
    // x = 0.5 and y = 0 is 6/8 of the way from the left: its cells reach from 5/8 to 7/8.
    for (s, t, grey) in
        [(0.65, 0.4, true), (0.86, 0.6, true), (0.6, 0.43, false), (0.9, 0.43, false), (0.06, 0.95, true)]
    {
        let [r, g, b] = pixel(&svg, (left + s * side, top + t * side));
        assert_eq!(r == g && g == b, grey, "{s} {t}: {r} {g} {b}");
    }
}

/// Oracle: 84 mm at 300 dpi is 992 pixels (84/25.4·300 = 992.1) and 174 mm is 2055.
#[test]
fn figures_have_their_width_on_paper_and_the_same_bytes_again() {
    let bowl = square("bowl", 9, |x, y| x * x + y * y);
    for (panels, width) in [(1, 992_u32), (3, 2055), (5, 2055)] {
        let panels = vec![bowl.clone(); panels];
        let svg = contour_figure(&panels, &Style::default()).unwrap();
        assert_eq!(svg, contour_figure(&panels, &Style::default()).unwrap());
        let png = svg_to_png(&svg, 300.0, None).unwrap();
        assert_eq!(png, svg_to_png(&svg, 300.0, None).unwrap());
        assert_eq!(png[16..20], width.to_be_bytes());
        assert_eq!(frames(&svg).len(), panels.len());
        assert!(svg.len() < 40_000 * panels.len(), "{} bytes", svg.len());
    }
    let wide = Style { width_mm: Some(120.0), ..Style::default() };
    let svg = contour_figure(&[bowl], &wide).unwrap();
    assert!(svg.contains(&format!("width=\"{:.2}pt\"", 120.0 * PT_PER_MM)));
}

#[test]
fn unusable_surfaces_are_refused_by_name() {
    let good = square("good", 5, |x, y| 1.0 + x + y);
    let refused = |panel: Panel, style: &Style, word: &str| {
        let message = contour_figure(&[panel], style).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    let plain = Style::default();
    refused(Panel { x: vec![0.0], ..good.clone() }, &plain, "`x`");
    refused(Panel { y: vec![0.0, 1.0, 1.0, 2.0, 3.0], ..good.clone() }, &plain, "`y`");
    refused(Panel { y: vec![0.0, 1.0, f64::NAN, 2.0, 3.0], ..good.clone() }, &plain, "`y`");
    refused(Panel { loss: vec![1.0; 24], ..good.clone() }, &plain, "`loss`");
    refused(Panel { loss: vec![f64::NAN; 25], ..good.clone() }, &plain, "finite");
    refused(good.clone(), &Style { spacing: Spacing::Log, ..plain.clone() }, "positive");
    for width in [10.0, f64::NAN, f64::INFINITY, -5.0, 1e9] {
        refused(good.clone(), &Style { width_mm: Some(width), ..plain.clone() }, "width_mm");
    }
    assert!(contour_figure(&[], &plain).is_err());
}

/// Extremes that must only not fail: two points per axis, losses near the largest and the smallest numbers,
/// single finite points among holes, hundreds of points.
#[test]
fn extremes_give_a_figure() {
    let only = |x: f64, y: f64| if x == 0.0 && y == 0.0 { 1.0 } else { f64::NAN };
    let surfaces = [
        square("least", 2, |x, y| x + y),
        square("largest", 5, |x, y| f64::MAX / 4.0 * (x + y)),
        square("smallest", 5, |x, y| f64::MIN_POSITIVE * (x + y + 3.0)),
        square("mixed", 5, |x, y| 10f64.powf(300.0 * x + y)),
        square("one point", 5, only),
        square("negative zero", 3, |_, _| -0.0),
        square("many points", 301, |x, y| (x * y).sin()),
        panel("far away", even(3, 1e9, 1e9 + 1.0), even(3, -1e-9, 1e-9), |x, y| x + y),
    ];
    for surface in surfaces {
        for spacing in [Spacing::Linear, Spacing::Log] {
            if spacing == Spacing::Log && surface.loss.iter().any(|&v| v <= 0.0) {
                continue;
            }
            let style = Style { spacing, dots: true, ..Style::default() };
            let figure = contour_figure(std::slice::from_ref(&surface), &style);
            let svg = figure.unwrap_or_else(|e| panic!("{}: {e}", surface.title));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", surface.title);
            svg_to_png(&svg, 72.0, None).unwrap();
        }
    }
}

fn mark(label: &str, x: f64, y: f64) -> Mark {
    Mark { label: label.to_owned(), x, y, order: None, distance: None }
}

/// Middles of the diamonds inside the frame: the key's are below.
fn diamonds(svg: &str) -> Vec<Point> {
    let [_, top, side] = frames(svg)[0];
    let paths = svg.lines().filter(|line| line.contains("fill=\"#fff\" stroke=\"#000\" stroke-width=\".9\""));
    let first = paths.map(|line| points(attribute(line, "d").unwrap())[0]);
    first.map(|(x, y)| (x, y + 2.9)).filter(|at| at.1 < top + side + 4.0).collect()
}

/// Oracle: on the plane loss = x the line at 0.4 is x = 0.4: a mark there lies on it, at its own height. The panel is not
/// square, so that swapped coordinates show.
#[test]
fn a_mark_lies_on_the_line_of_its_loss() {
    let mut plane = panel("plane", even(5, 0.0, 1.0), even(4, -2.0, 5.0), |x, _| x);
    plane.marks.points = vec![mark("here", 0.4, 3.6)];
    let svg = contour_figure(&[plane], &Style::default()).unwrap();
    let [_, top, side] = frames(&svg)[0];
    let line = svg.lines().find(|line| attribute(line, "data-level") == Some("0.4")).unwrap();
    let level = points(attribute(line, "d").unwrap())[0].0;
    let [(x, y)] = diamonds(&svg)[..] else { panic!("one diamond") };
    assert!((x - level).abs() < 0.03 && (y - (top + side * (5.0 - 3.6) / 7.0)).abs() < 0.02, "{x} {y}");
    let (_, name) = text_boxes(&svg).into_iter().find(|(text, _)| text == "here").unwrap();
    assert!((name[0] - x).abs() < 6.0 && ((name[1] + name[3]) / 2.0 - y).abs() < 2.0, "{name:?}");
}

/// Oracle: similar triangles. A path from (0, 0) to (2, 1) leaves the square of ±1 at (1, 1/2); the arrow to (0.5, 9)
/// stands at the upper edge over 0.5. Three of five points are outside.
#[test]
fn a_path_ends_at_the_frame_and_arrows_lead_on() {
    let mut panel = square("flat", 5, |x, y| x + y);
    let step =
        |x: f64, y: f64, order: f64| Mark { order: Some(order), label: String::new(), ..mark("", x, y) };
    panel.marks.path =
        vec![step(-0.5, 0.25, 0.0), step(0.0, 0.0, 10.0), step(2.0, 1.0, 20.0), step(2.0, 5.0, 30.0)];
    panel.marks.points = vec![mark("up", 0.5, 9.0)];
    let svg = contour_figure(&[panel], &Style::default()).unwrap();
    let [left, top, side] = frames(&svg)[0];
    let path = svg
        .lines()
        .find(|line| line.contains("stroke=\"#000\" stroke-width=\".7\" stroke-linejoin"))
        .unwrap();
    let path = points(attribute(path, "d").unwrap());
    for (at, (x, y)) in path.iter().zip([(-0.5, 0.25), (0.0, 0.0), (1.0, 0.5)]) {
        let expected = (left + side * (x + 1.0) / 2.0, top + side * (1.0 - y) / 2.0);
        assert!((at.0 - expected.0).abs() < 0.03 && (at.1 - expected.1).abs() < 0.03, "{path:?}");
    }
    assert_eq!(path.len(), 3);
    let arrows =
        svg.lines().filter(|line| line.contains("fill=\"#fff\" stroke=\"#000\" stroke-width=\".8\""));
    let tips: Vec<Point> = arrows.map(|line| points(attribute(line, "d").unwrap())[0]).collect();
    assert!(
        tips.iter().any(|tip| (tip.0 - left - 0.75 * side).abs() < 0.03 && (tip.1 - top).abs() < 1.0),
        "{tips:?}"
    );
    for words in [">step 0<", ">step 30<", ">up<", "outside the frame (3 of 5 points)", "path of training"] {
        assert!(svg.contains(words), "{words}");
    }
    // The path has a point at (0, 0), but that names nothing.
    assert!(svg.contains("trained model (0, 0)"));
}

/// Oracle: the renderer's layout. Names touch neither one another nor numbers, and stay in the frame; a mark at (0, 0)
/// takes the cross's place.
#[test]
fn names_keep_apart_and_inside() {
    let bowl = |x: f64, y: f64| 0.7 + 3.0 * x * x + y * y + x * y;
    // Places by a congruence: crowded, at the edges and outside.
    let place = |k: u32| f64::from(k * 7919 % 1013) / 1013.0;
    for (count, spread) in [(1, 0.0), (3, 2.0), (6, 0.1), (8, 2.4), (12, 2.0)] {
        for width_mm in [None, Some(60.0), Some(174.0)] {
            let mut panel = square("marked", 11, bowl);
            let name = |k: u32| format!("model {k}{}", " of some arm".repeat(k as usize % 4));
            let at = |k: u32| ((place(2 * k + 1) - 0.5) * spread, (place(2 * k + 2) - 0.5) * spread);
            panel.marks.points = (0..count).map(|k| mark(&name(k), at(k).0, at(k).1)).collect();
            let svg = contour_figure(&[panel], &Style { width_mm, dots: true, ..Style::default() }).unwrap();
            let texts = crate::draw::tests::assert_sound(&svg);
            let [left, top, side] = frames(&svg)[0];
            let inside = |b: &[f64; 4]| b[0] > left && b[1] > top && b[2] < left + side && b[3] < top + side;
            let names: Vec<_> = texts.iter().filter(|(text, _)| text.starts_with("mod")).collect();
            assert!(names.iter().all(|(_, area)| inside(area)), "{names:?}");
            let missing = svg
                .split_once("names without room: ")
                .map_or("0", |(_, rest)| rest.split_once('<').unwrap().0);
            assert_eq!(names.len() + missing.parse::<usize>().unwrap(), count as usize);
            assert_eq!(svg.contains("trained model"), count != 1);
        }
    }
}

/// Oracle: on the plane loss = x over [0, 1] the part above 0.7 is a strip of 3/10; counting gives 3 of 10 points of each
/// of 4 rows. Clipping before interpolating would begin the strip at a grid point.
#[test]
fn what_lies_above_the_clip_has_its_own_look_and_is_counted() {
    let x: Vec<f64> = (0..10).map(|i| f64::from(i) / 9.0).collect();
    let plane = panel("plane", x, even(4, 0.0, 1.0), |x, _| x);
    let above = plane.loss.iter().filter(|v| **v > 0.7).count();
    let style = Style { clip: Some(0.7), ..Style::default() };
    let svg = contour_figure(std::slice::from_ref(&plane), &style).unwrap();
    let [left, top, side] = frames(&svg)[0];
    let fill = format!("fill=\"{}\" fill-rule", colour::CLIPPED);
    let strip = points(attribute(svg.lines().find(|line| line.contains(&fill)).unwrap(), "d").unwrap());
    let ends = strip.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.0), h.max(p.0)));
    assert!((ends.0 - left - 0.7 * side).abs() < 0.05 && (ends.1 - left - side).abs() < 0.05, "{ends:?}");
    // No stroke of the hatch leaves the strip.
    for line in svg.lines().filter(|line| line.contains("stroke=\"#b5651d\"")) {
        for stroke in attribute(line, "d").unwrap().split_inclusive('M').filter(|d| d.len() > 1) {
            let at = points(stroke.trim_end_matches('M'));
            // Those below the frame explain.
            assert!(at.iter().all(|p| p.0 > left + 0.7 * side - 0.05 || p.1 > top + side), "{at:?}");
        }
    }
    assert!(
        svg.contains(&format!("clipped above 0.7: {above} of 40 points, up to 1<"))
            && svg.contains(">&gt; 0.7")
    );
    let levels: Vec<f64> = svg.lines().filter_map(|l| attribute(l, "data-level")?.parse().ok()).collect();
    assert!(levels.contains(&0.7) && levels.iter().all(|level| *level <= 0.7), "{levels:?}");
    // Nothing above: nothing is said. Everything above: refused.
    let unclipped = contour_figure(std::slice::from_ref(&plane), &Style::default()).unwrap();
    let same = Style { clip: Some(1.0), ..Style::default() };
    assert_eq!(contour_figure(std::slice::from_ref(&plane), &same).unwrap(), unclipped);
    for clip in [0.0, -1.0, f64::NAN] {
        let style = Style { clip: Some(clip), ..Style::default() };
        let message = contour_figure(std::slice::from_ref(&plane), &style).unwrap_err().to_string();
        assert!(message.contains("`clip`"), "{message}");
    }
}

/// Oracle: the renderer's layout and a direct count, with spikes, holes and logarithms, for a clip just above the lowest
/// loss, in the middle and just below the highest.
#[test]
fn clips_of_any_height_give_a_figure() {
    let steep =
        |x: f64, y: f64| if x + y > 1.5 { f64::NAN } else { 0.3 + 40.0 * x * x + 1e6 * (y - 0.5).max(0.0) };
    for clip in [0.301, 0.5, 3.0, 2e4, 4.9e5] {
        for spacing in [Spacing::Linear, Spacing::Log] {
            let style = Style { clip: Some(clip), spacing, dots: true, ..Style::default() };
            let panels = [square("steep", 11, steep), square("flat", 5, |_, _| 0.4)];
            let svg = contour_figure(&panels, &style).unwrap();
            crate::draw::tests::assert_sound(&svg);
            let count = panels.iter().flat_map(|p| &p.loss).filter(|v| **v > clip).count();
            assert!(svg.contains(&format!(": {count} of 146 points, up to")), "{clip}");
        }
    }
}

/// A bowl around a model whose loss is `centre`, as a rise; its errors.
fn bowl_around(title: &str, centre: f64, error: f64) -> Panel {
    let mut panel = square(title, 9, |x, y| centre + 0.83 * (x * x + y * y));
    (panel.centre, panel.centre_se) = (Some(centre), Some(0.104));
    panel.errors = Some(panel.loss.iter().map(|v| if *v == centre { 0.0 } else { error }).collect());
    panel
}

fn of_rises() -> Style {
    Style { rise: true, spacing: Spacing::Decades, ..Style::default() }
}

fn bar_labels(svg: &str) -> Vec<String> {
    let bar = svg.lines().rfind(|line| line.starts_with("<rect") && line.contains("width=\"8\"")).unwrap();
    let left: f64 = attribute(bar, "x").unwrap().parse().unwrap();
    let texts = text_boxes(svg).into_iter().filter(|(_, b)| b[0] > left && b[2] - b[0] < 25.0);
    texts.map(|(text, _)| text).filter(|text| !text.contains("loss")).collect()
}

/// Oracle: two bowls of one shape around models whose losses differ by 0.025, on both sides of 1.4, are one picture; absolute
/// bands tell them apart. Levels are those of the table in definitions: 1, 2, 5.
#[test]
fn rises_of_one_shape_are_one_picture() {
    let panels = [bowl_around("u", 1.381, 0.001), bowl_around("g", 1.406, 0.001)];
    // Levels and where their lines begin, from the left of the panel.
    let lines = |svg: &str| -> Vec<Vec<(String, f64)>> {
        let [left, right] = [0, 1].map(|i| frames(svg)[i][0]);
        let of = |from: f64| {
            let own = svg.lines().filter(|line| line.contains("data-level"));
            let own = own.map(|line| (attribute(line, "data-level").unwrap(), attribute(line, "d").unwrap()));
            let own = own.map(|(level, d)| (level.to_owned(), points(d)));
            let side = frames(svg)[0][2];
            // Lines at 1 leave the frame in pieces.
            let own = own.filter(|(level, _)| level != "1");
            let own = own.filter(|(_, at)| at[0].0 > from - 1.0 && at[0].0 < from + side + 1.0);
            own.map(|(level, at)| (level, at[0].0 - from)).collect()
        };
        vec![of(left), of(right)]
    };
    let rises = contour_figure(&rises(&panels).unwrap(), &of_rises()).unwrap();
    let [one, other] = &lines(&rises)[..] else { panic!("two panels") };
    // 0.05 pt: coordinates have two decimals.
    let same = |a: &[(String, f64)], b: &[(String, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 0.05)
    };
    assert!(same(one, other) && one.len() == 6, "{one:?} {other:?}");
    let absolute = contour_figure(&panels, &Style::default()).unwrap();
    assert!(!same(&lines(&absolute)[0], &lines(&absolute)[1]));
    assert_eq!(bar_labels(&rises), ["0", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]);
    for words in ["loss at (0, 0): 1.38 ± 0.10", "loss at (0, 0): 1.41 ± 0.10"] {
        assert!(rises.contains(words), "{words}");
    }
}

/// Oracle: on paper: the lowest point is 0.03 lower than the model, which is 3 errors of 0.01, 1.5 errors of 0.02, and
/// nothing without errors. The file's own words and the ring follow the same rule.
#[test]
fn a_ring_needs_two_paired_errors() {
    let rings = |error: Option<f64>, rise: bool| {
        let mut panel = bowl_around("u", 1.4, error.unwrap_or(0.0));
        panel.loss[3] = 1.37;
        panel.errors = panel.errors.filter(|_| error.is_some());
        let (panel, style) = match rise {
            true => (super::rises(&[panel]).unwrap().remove(0), of_rises()),
            false => (panel, Style::default()),
        };
        let svg = contour_figure(std::slice::from_ref(&panel), &style).unwrap();
        let caption = caption(&[panel], &style, None);
        assert_eq!(caption.contains("The ring"), svg.contains("by two standard errors"));
        svg.lines().filter(|line| line.starts_with("<circle") && line.contains("r=\"2.4\"")).count()
    };
    // Two strokes in the panel and two in the key.
    for rise in [true, false] {
        assert_eq!(
            [Some(0.01), Some(0.014), Some(0.016), Some(0.02), None].map(|error| rings(error, rise)),
            [4, 4, 0, 0, 0],
        );
    }
}

/// Oracle: counting texts. In a table each arm and each mask is said once, beside its row and above its column, whole;
/// titles that are no table stand above their panels.
#[test]
fn a_table_says_rows_and_columns_once() {
    let title = |row: &str, column: &str| format!("{row}: {column}");
    let (rows, columns) = (["uniform 0.05", "guided"], ["all", "top 1 %", "random 1 %", "paper's top half"]);
    let panels: Vec<Panel> = rows
        .iter()
        .flat_map(|row| columns.map(|column| bowl_around(&title(row, column), 1.4, 0.001)))
        .collect();
    let svg = contour_figure(&super::rises(&panels).unwrap(), &of_rises()).unwrap();
    let texts = text_boxes(&svg);
    let found = |words: &str| texts.iter().filter(|(text, _)| text == words).collect::<Vec<_>>();
    for words in rows.iter().chain(&columns) {
        assert_eq!(found(words).len(), 1, "{words}");
    }
    let [l, .., r, b] = found("guided")[0].1;
    assert!(r < 20.0 && b > found("uniform 0.05")[0].1[3], "{l}");
    let above: Vec<f64> = columns.iter().map(|words| found(words)[0].1[3]).collect();
    assert!(above.iter().all(|foot| (foot - above[0]).abs() < 4.0 && *foot < 25.0), "{above:?}");
    let svg = contour_figure(&panels[..7], &Style::default()).unwrap();
    assert!(svg.contains("uniform 0.05: all") && svg.contains("guided: random 1 %"));
}

/// Oracle: what the reader reads: bounds of rises hold all rises, none lies at 0, and negative ones mirror positive ones.
#[test]
fn levels_of_rises_are_round_on_both_sides_of_zero() {
    for (min, max, least, expected) in [
        (0.0, 1.8, 0.01, &[0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0][..]),
        (-0.004, 0.03, 0.005, &[-0.005, 0.005, 0.01, 0.02, 0.05]),
        (-0.03, 0.02, 0.01, &[-0.05, -0.02, -0.01, 0.01, 0.02]),
        (0.0, 0.003, 0.01, &[0.0, 0.01]),
        (-3.0, -1.0, 1.0, &[-5.0, -2.0, -1.0, 1.0]),
        (0.0, 0.0, 0.01, &[0.0]),
    ] {
        let levels = Levels::rises(min, max, least);
        assert_eq!(levels.bounds, expected, "{min} {max}");
        assert_eq!(levels.labels.len(), levels.bounds.len());
    }
    let clipped = Levels::rises(-0.1, 1.0, 0.01).clipped(-0.1, 1.0, 12);
    assert_eq!((clipped.bounds.last(), clipped.clipped), (Some(&1.0), true));
}
