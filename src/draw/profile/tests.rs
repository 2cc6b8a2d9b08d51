//! Whole figures: places of points read from the file, counts held against direct ones, the renderer's layout.

use super::*;
use crate::draw::marks::Mark;
use crate::draw::tests::{assert_sound, attribute};

fn draw(x: &[f64], f: impl Fn(f64) -> f64) -> Draw {
    Draw {
        x: x.to_vec(),
        loss: x.iter().map(|&x| f(x)).collect(),
        loss_se: None,
        rise_se: None,
        metric: None,
    }
}

fn even(n: usize) -> Vec<f64> {
    (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect()
}

fn with(mut draw: Draw, name: &str, f: impl Fn(f64) -> f64) -> Draw {
    let values: Vec<f64> = draw.x.iter().map(|&x| f(x)).collect();
    match name {
        "loss_se" => draw.loss_se = Some(values),
        "rise_se" => draw.rise_se = Some(values),
        "metric_se" => draw.metric.iter_mut().for_each(|metric| metric.se = Some(values.clone())),
        _ => draw.metric = Some(Metric { name: name.to_owned(), values, se: None }),
    }
    draw
}

fn curve(title: &str, draws: Vec<Draw>) -> Profile {
    Profile { title: title.to_owned(), draws }
}

fn figure(profiles: &[Profile], style: &Style) -> String {
    profile_figure(profiles, &Marks::default(), style).unwrap()
}

fn dotted() -> Style {
    Style { dots: true, ..Style::default() }
}

fn mark(label: &str, x: f64) -> Mark {
    Mark { label: label.to_owned(), x, y: 0.0, order: None, distance: None }
}

/// Middles of circles: the first curve's markers, the last of which is in the key.
fn circles(svg: &str) -> Vec<Point> {
    let circles = svg.lines().filter(|line| line.starts_with("<circle"));
    circles.map(|c| (attribute(c, "cx"), attribute(c, "cy"))).collect()
}

/// Absolute places of path data that starts with `M` and goes on with relative steps.
fn places(line: &str) -> Vec<Point> {
    let d = line.split_once("d=\"").unwrap().1.split_once('"').unwrap().0;
    let mut spaced = String::new();
    let mut dotted = false;
    for c in d.chars() {
        if c == '-' || (c == '.' && dotted) {
            spaced.push(' ');
        }
        dotted = c == '.' || (dotted && c.is_ascii_digit());
        spaced.push(if c.is_ascii_alphabetic() { ' ' } else { c });
    }
    let numbers: Vec<f64> = spaced.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let mut at = (0.0, 0.0);
    let step = |step: &[f64]| {
        at = (at.0 + step[0], at.1 + step[1]);
        at
    };
    numbers.chunks(2).map(step).collect()
}

/// Oracle: on paper. Draws 1 + x² and 3 + x² have the mean 2 + x², the band from 1 + x² to 3 + x². Markers lie on a
/// parabola through (−1, 3), (0, 2), (1, 3), whose places follow from the range 1 to 4 over the frame.
#[test]
fn the_thick_line_is_the_mean_and_the_band_the_range() {
    let x = even(5);
    let draws = vec![draw(&x, |x| 1.0 + x * x), draw(&x, |x| 3.0 + x * x)];
    let svg = figure(&[curve("c", draws)], &dotted());
    let at = circles(&svg);
    assert_eq!(at.len(), 6);
    let frame = svg.lines().find(|l| l.starts_with("<rect") && l.contains("fill=\"none\"")).unwrap();
    let (top, height) = (attribute(frame, "y") + 4.0, attribute(frame, "height") - 8.0);
    let (left, width) = (attribute(frame, "x") + 8.0, attribute(frame, "width") - 16.0);
    for (at, x) in at.iter().zip(x) {
        let expected = (left + width * (x + 1.0) / 2.0, top + height * (4.0 - (2.0 + x * x)) / 3.0);
        assert!((at.0 - expected.0).abs() < 0.02 && (at.1 - expected.1).abs() < 0.02, "{at:?} {expected:?}");
    }
    let band = svg.lines().find(|line| line.contains("fill-opacity=\".16\"")).unwrap();
    let ys = || places(band).into_iter().map(|p| p.1);
    assert!((ys().fold(f64::MAX, f64::min) - top).abs() < 0.02, "4 is the highest draw");
    assert!((ys().fold(f64::MIN, f64::max) - top - height).abs() < 0.02, "1 is the lowest");
    for words in ["c (mean of 2)", "single draws", "range over the draws", "trained model (at 0)"] {
        assert!(svg.contains(words), "{words}");
    }
}

/// Oracle: counting. A mean over the draws that are left would hide that one is lost.
#[test]
fn a_lost_point_breaks_the_mean_and_is_marked_and_counted() {
    let x = even(7);
    let lost = draw(&x, |x| if x == 0.0 { f64::INFINITY } else { 1.0 });
    let svg = figure(&[curve("c", vec![draw(&x, |x| 1.0 + x), lost])], &dotted());
    assert_eq!(circles(&svg).len(), 6 + 1);
    assert!(svg.contains("not finite: 1 of 14 values"));
    let thick = svg.lines().filter(|line| line.contains("stroke-width=\"1.1\"")).count();
    assert_eq!(thick, 2 + 1, "two parts and the key");
}

/// Oracle: on paper. 4·|x| is cut at 2 where |x| = 1/2, between the grid points 0.4 and 0.8; four points of eleven lie
/// above. No line may leave the axis' upper end.
#[test]
fn a_clipped_curve_ends_at_the_upper_edge_and_its_points_are_counted() {
    let x: Vec<f64> = (-5..=5).map(|i| f64::from(i) / 5.0).collect();
    let steep = draw(&x, |x| 4.0 * x.abs());
    let count = steep.loss.iter().filter(|v| **v > 2.0).count();
    let style = Style { clip: Some(2.0), ..dotted() };
    let svg = figure(&[curve("c", vec![with(steep, "loss_se", |_| 0.1)])], &style);
    assert!(svg.contains(&format!("clipped above 2: {count} of 11 points, up to 4<")), "{svg}");
    let frame = svg.lines().find(|l| l.starts_with("<rect") && l.contains("fill=\"none\"")).unwrap();
    let (top, left, width) =
        (attribute(frame, "y") + 4.0, attribute(frame, "x") + 8.0, attribute(frame, "width") - 16.0);
    let line = places(svg.lines().find(|line| line.contains("stroke-width=\"1.1\"")).unwrap());
    let ends = [line[0], line[line.len() - 1]];
    for (end, x) in ends.iter().zip([-0.5, 0.5]) {
        assert!(
            (end.0 - left - width * (x + 1.0) / 2.0).abs() < 0.02 && (end.1 - top).abs() < 0.02,
            "{end:?}"
        );
    }
    let band = places(svg.lines().find(|line| line.contains("fill-opacity=\".16\"")).unwrap());
    assert!(band.iter().all(|p| p.1 > top - 0.02), "{band:?}");
    let triangles =
        svg.lines().filter(|l| l.starts_with("<path") && l.contains("z\" fill=\"#0072b2\"/>")).count();
    assert_eq!(triangles, count);
    // Nothing above: nothing is said.
    let all = Style { clip: Some(4.0), ..dotted() };
    let same = curve("c", vec![draw(&x, |x| 4.0 * x.abs())]);
    assert_eq!(figure(std::slice::from_ref(&same), &all), figure(&[same], &dotted()));
}

/// Oracle: the axis' own number. A mark at 0.5 stands over the tick of 0.5, its name above the frame.
#[test]
fn a_mark_stands_at_its_coordinate_and_names_zero() {
    let marks =
        Marks { points: vec![mark("uniform", 0.0), mark("half", 0.5), mark("far", 9.0)], path: Vec::new() };
    let x: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).collect();
    let svg = profile_figure(&[curve("c", vec![draw(&x, |x| x)])], &marks, &Style::default()).unwrap();
    let texts = assert_sound(&svg);
    let middle =
        |words: &str| texts.iter().rfind(|(t, _)| t == words).map(|(_, b)| ((b[0] + b[2]) / 2.0, b[3]));
    let (tick, name) = (middle("0.5").unwrap(), middle("half").unwrap());
    assert!((tick.0 - name.0).abs() < 0.5 && name.1 < 12.0, "{tick:?} {name:?}");
    assert!(svg.contains("outside: far at 9") && !svg.contains("trained model"));
}

/// Oracle: the renderer's layout, from one curve of one draw to 16 of five, with metrics, marks at one place, clips,
/// logarithms and extremes, at both widths; the same bytes twice.
#[test]
fn texts_keep_apart() {
    let x = even(21);
    let near = ["pre-trained", "uniform dropout", "guided dropout", "the same place"];
    let points = near.iter().zip([-1.0, 0.0, 0.02, 0.02]).map(|(name, x)| mark(name, x)).collect();
    let marks = [Marks::default(), Marks { points, path: Vec::new() }];
    for (curves, draws) in [(1, 1), (3, 5), (6, 2), (16, 1)] {
        let one = |i: usize, d: usize| {
            let f = move |x: f64| 0.3 + (1.0 + 0.3 * i as f64) * x * x + 0.1 * d as f64 * x.abs();
            with(with(draw(&x, f), "loss_se", |_| 0.1), "held_out_accuracy", |x| 1.0 - 0.3 * x.abs())
        };
        let name = |i: usize| format!("curve {i} {}", "with a long name ".repeat(i));
        let all: Vec<Profile> =
            (0..curves).map(|i| curve(&name(i), (0..draws).map(|d| one(i, d)).collect())).collect();
        for (marks, spacing, clip, width_mm) in [
            (&marks[0], Spacing::Linear, None, None),
            (&marks[1], Spacing::Log, Some(1.0), None),
            (&marks[1], Spacing::Linear, Some(0.9), Some(174.0)),
            (&marks[1], Spacing::Log, None, Some(45.0)),
        ] {
            let style = Style { spacing, clip, width_mm, ..dotted() };
            let svg = profile_figure(&all, marks, &style).unwrap();
            assert_sound(&svg);
            assert_eq!(svg, profile_figure(&all, marks, &style).unwrap());
        }
    }
    for value in [0.0, -1e299, 1e299, 1e-310, 2.25] {
        assert_sound(&figure(
            &[curve("c", vec![draw(&x, |x| if x > 0.5 { f64::NAN } else { value })])],
            &dotted(),
        ));
    }
    let narrow = Style { spacing: Spacing::Log, width_mm: Some(32.0), ..Style::default() };
    assert_sound(&figure(&[curve("c", vec![draw(&x, |x| 0.35 + 0.5 * x * x)])], &narrow));
    let spike = curve("c", vec![draw(&x, |x| if x == 0.0 { 1.0 } else { 1e300 * x })]);
    assert_sound(&figure(&[spike], &Style { clip: Some(2.0), ..dotted() }));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let x = even(5);
    let good = || draw(&x, |x| x + 2.0);
    let refused = |profiles: &[Profile], style: &Style, word: &str| {
        let message = profile_figure(profiles, &Marks::default(), style).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains("fix:"), "{message}");
    };
    let usual = Style::default();
    refused(&[], &usual, "from 1 to 16");
    refused(&[curve("c", vec![good(), draw(&even(7), |x| x)])], &usual, "the same in each draw");
    let [f1, accuracy] = ["f1", "accuracy"].map(|name| with(good(), name, |x| x));
    refused(&[curve("c", vec![f1]), curve("d", vec![accuracy])], &usual, "must be f1, found accuracy");
    let log = Style { spacing: Spacing::Log, ..Style::default() };
    refused(&[curve("c", vec![draw(&x, |x| x)])], &log, "positive");
    refused(&[curve("c", vec![good()])], &Style { clip: Some(0.5), ..Style::default() }, "`clip`");
    refused(&[curve("c", vec![draw(&x, |_| f64::NAN)])], &usual, "finite at one point");
    refused(&[curve("c", vec![draw(&[1.0], |x| x)])], &usual, "two or more");
    refused(&[curve("c", vec![good()])], &Style { width_mm: Some(15.0), ..Style::default() }, "width_mm");
    // Curves may have coordinates of their own.
    figure(&[curve("c", vec![good()]), curve("d", vec![draw(&even(9), |x| x)])], &usual);
}

/// Oracle: the files' own numbers, on paper.
#[test]
fn a_caption_has_the_numbers_of_each_curve() {
    let x = [-1.0, 0.0, 1.0];
    let one = with(draw(&x, |x| 1.0 + 2.0 * x * x), "loss_se", |_| 0.125);
    let many = [0.0, 1.0, 5.0].map(|v| draw(&x, move |x| if x == 1.0 { f64::NAN } else { v + 1.0 }));
    let words = caption(
        &[curve("one", vec![one]), curve("many", many.to_vec())],
        &Style { clip: Some(2.5), ..Style::default() },
    );
    for part in [
        "one: 3 points, 1.00 ± 0.12 (standard error) at 0, from 1 to 3, 2 above the clip at 2.5.",
        "many: 3 draws of 3 points each, mean 3 at 0, from 1 to 6, 3 not finite, 2 above the clip at 2.5.",
        "bands their range",
        "from −1 to 1, on a linear axis",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
    assert_eq!(words.lines().count(), 1);
}

/// Oracle: on paper. Two curves of one shape whose losses differ by 1 are one curve as rises; the band is the paired error, 0 at
/// the model, not the loss's own of 0.5. The accuracy has its binomial band.
#[test]
fn rises_share_their_zero_and_have_paired_bands() {
    let x = even(5);
    let one = |loss: f64| {
        let draw = with(draw(&x, |x| loss + x * x), "loss_se", |_| 0.5);
        with(with(with(draw, "rise_se", |x| 0.1 * x.abs()), "accuracy", |_| 0.75), "metric_se", |_| 0.05)
    };
    let profiles = [curve("u", vec![one(1.0)]), curve("g", vec![one(2.0)])];
    let rises = rises(&profiles, &Marks::default()).unwrap();
    assert_eq!(rises[1].draws[0].loss, [1.0, 0.25, 0.0, 0.25, 1.0]);
    let style = Style { rise: true, spacing: Spacing::Decades, ..dotted() };
    let svg = figure(&rises, &style);
    assert_sound(&svg);
    let bands: Vec<Vec<Point>> =
        svg.lines().filter(|line| line.contains("fill-opacity=\".16\"")).map(places).collect();
    assert_eq!(bands.len(), 4, "two of the rise and two of the accuracy");
    // Lower edge forwards, upper edge back: at 0 they meet, at 1 they are 0.2 apart.
    let apart = |band: &[Point], i: usize| band[i].1 - band[9 - i].1;
    assert!(apart(&bands[0], 2).abs() < 0.02, "{:?}", bands[0]);
    let per_unit = apart(&bands[0], 0) / 0.2;
    assert!((apart(&bands[0], 1) / per_unit - 0.1).abs() < 0.01);
    assert!(svg.contains("± standard error of the rise, paired by example"));
    assert!(caption(&rises, &style).contains("A rise is the loss less that of the model at 0."));
    // Without paired errors there is no band of the rise; other models at 0, or none, are no rise.
    let bare: Vec<Profile> = rises.iter().map(|p| curve(&p.title, vec![draw(&x, |x| x * x)])).collect();
    assert!(!figure(&bare, &style).contains("fill-opacity=\".16\""));
    let named = Marks { points: vec![mark("first model", 0.0)], path: Vec::new() };
    assert!(super::rises(&profiles, &named).is_none());
    assert!(super::rises(&[curve("c", vec![draw(&[0.5, 1.0], |x| x)])], &Marks::default()).is_none());
}
