//! The box around a surface: base, back walls with thin lines, and three axes with numbers and names.
//!
//! The losses stand along the left silhouette of the box, the directions along the two edges of the base that face the
//! viewer. Ticks lead straight out of the box; a number's box touches its tick's end. A name runs along its edge, beyond
//! all numbers of that edge.
//!
//! Texts keep apart by construction, those of the directions first: a number that would touch an earlier one is left out, a name moves outwards until
//! it is free. Of an axis seen nearly end-on little is left.
//!
//! Everything is relative to the middle of the base; [`super`] finds the size at which a scene fits its slot.

use super::camera::{Camera, Placed};
use super::mesh::{Corner, HEIGHT, Heights, across};
use crate::draw::axis::Axis;
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, Point, path_data, text_width};
use crate::draw::contour::axes;
use crate::draw::contour::levels::Levels;
use crate::draw::contour::{Panel, Style};
use crate::draw::text::{self, NUMBER, TEXT};

/// Length of a tick, from there to a number, and free space around a text, pt.
const TICK: f64 = 2.0;
const GAP: f64 = 1.5;
const SPACE: f64 = 1.0;
/// Ticks per direction, at most.
const TICKS: usize = 5;
/// Longest name of an axis over its length.
const OVERHANG: f64 = 1.6;
/// Corners of the base, counter-clockwise seen from above.
const BASE: [(f64, f64); 4] = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)];

/// Lines and texts, in pt from the middle of the base.
pub(super) struct Scene {
    thin: Vec<[Point; 2]>,
    back: Vec<[Point; 2]>,
    black: Vec<[Point; 2]>,
    texts: Vec<Text>,
    corners: Vec<Point>,
}

/// A text around its middle, turned clockwise.
struct Text {
    words: String,
    em: f64,
    middle: Point,
    degrees: f64,
    /// Half its width and height.
    half: (f64, f64),
}

/// A place on an axis: where the line of its tick begins, and its number.
type Tick = (Corner, String);

impl Scene {
    pub(super) fn new(
        panel: &Panel,
        options: &Style,
        levels: &Levels,
        heights: &Heights,
        camera: &Camera,
        side: f64,
    ) -> Scene {
        let placed = Placed { camera, origin: (0.0, 0.0), side };
        let (near_x, near_y) = (camera.near.0 / 2.0, camera.near.1 / 2.0);
        let corners: Vec<Point> =
            BASE.iter().flat_map(|&(x, y)| [placed.at([x, y, 0.0]), placed.at([x, y, HEIGHT])]).collect();
        let mut scene =
            Scene { thin: Vec::new(), back: Vec::new(), black: Vec::new(), texts: Vec::new(), corners };

        // The other ends of the edges that face the viewer; the left one carries the axis of losses.
        let [x_end, y_end] = [(-near_x, near_y), (near_x, -near_y)];
        let x_is_left = placed.at([x_end.0, x_end.1, 0.0]).0 < placed.at([y_end.0, y_end.1, 0.0]).0;
        let left = if x_is_left { x_end } else { y_end };
        // Directions straight out of the box, on the sheet.
        let out_of = |from: Corner, to: Corner| {
            let (a, b) = (placed.at(from), placed.at(to));
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            ((b.0 - a.0) / length, (b.1 - a.1) / length)
        };
        let x_out = out_of([0.0, 0.0, 0.0], [0.0, near_y, 0.0]);
        let y_out = out_of([0.0, 0.0, 0.0], [near_x, 0.0, 0.0]);
        let (x_range, y_range) = (axes::ends(&panel.x), axes::ends(&panel.y));
        let x_ticks = scene.axis(x_range, |v| [across(v, x_range), near_y, 0.0], &placed, x_out);
        let y_ticks = scene.axis(y_range, |v| [near_x, across(v, y_range), 0.0], &placed, y_out);

        let all = levels.bounds.iter().zip(&levels.labels);
        let ticks: Vec<Tick> =
            all.map(|(&loss, label)| ([left.0, left.1, heights.of(loss)], label.clone())).collect();
        let loss_ticks = scene.numbers(&ticks, &placed, (-1.0, 0.0));

        let corner = |(x, y): (f64, f64), z: f64| placed.at([x, y, z]);
        let (near, far) = ((near_x, near_y), (-near_x, -near_y));
        scene.name(&options.loss_label, [corner(left, 0.0), corner(left, HEIGHT)]);
        let [x_text, y_text] = panel.axis_texts(options);
        scene.name(x_text, [corner(x_end, 0.0), corner(near, 0.0)]);
        scene.name(y_text, [corner(y_end, 0.0), corner(near, 0.0)]);

        let mut thin = |points: [Corner; 3]| {
            scene.thin.extend(points.windows(2).map(|w| [placed.at(w[0]), placed.at(w[1])]));
        };
        for ([x, _, _], _) in &x_ticks {
            thin([[*x, near_y, 0.0], [*x, -near_y, 0.0], [*x, -near_y, HEIGHT]]);
        }
        for ([_, y, _], _) in &y_ticks {
            thin([[near_x, *y, 0.0], [-near_x, *y, 0.0], [-near_x, *y, HEIGHT]]);
        }
        for ([_, _, z], _) in &loss_ticks {
            thin([[-near_x, near_y, *z], [-near_x, -near_y, *z], [near_x, -near_y, *z]]);
        }
        scene.back.push([corner(far, 0.0), corner(far, HEIGHT)]);
        for end in [x_end, y_end] {
            scene.back.push([corner(far, 0.0), corner(end, 0.0)]);
            scene.back.push([corner(far, HEIGHT), corner(end, HEIGHT)]);
            scene.back.push([corner(end, 0.0), corner(end, HEIGHT)]);
            scene.black.push([corner(near, 0.0), corner(end, 0.0)]);
        }
        scene.black.push([corner(left, 0.0), corner(left, HEIGHT)]);
        scene
    }

    /// Round coordinates in `range` as ticks: as many as have room for their numbers, which lie towards `out`.
    fn axis(
        &mut self,
        range: (f64, f64),
        place: impl Fn(f64) -> Corner,
        placed: &Placed,
        out: Point,
    ) -> Vec<Tick> {
        for count in (2..=TICKS).rev() {
            let axis = Axis::finest(range.0, range.1, 0.0, |axis| axis.ticks.len() <= count);
            let ticks: Vec<Tick> = axis.ticks.into_iter().map(|(v, number)| (place(v), number)).collect();
            let (texts, lines) = (self.texts.len(), self.black.len());
            let kept = self.numbers(&ticks, placed, out);
            // Losing one at an end is better than having few; losing one between others misleads.
            let at_end =
                [&ticks[ticks.len().min(1)..], &ticks[..ticks.len().max(1) - 1]].contains(&kept.as_slice());
            if kept == ticks || at_end || count == 2 {
                return ticks;
            }
            self.texts.truncate(texts);
            self.black.truncate(lines);
        }
        Vec::new()
    }

    /// Draws ticks and, where they touch nothing, their numbers; gives those that have one.
    fn numbers(&mut self, ticks: &[Tick], placed: &Placed, out: Point) -> Vec<Tick> {
        let mut kept = Vec::new();
        for (at, label) in ticks {
            let (x, y) = placed.at(*at);
            let half = (text_width(label, NUMBER) / 2.0, NUMBER * DIGIT_HEIGHT / 2.0);
            let away = TICK + GAP + half.0 * out.0.abs() + half.1 * out.1.abs();
            let middle = (x + away * out.0, y + away * out.1);
            let text = Text { words: label.clone(), em: NUMBER, middle, degrees: 0.0, half };
            if self.texts.iter().all(|other| other.apart(&text)) {
                self.texts.push(text);
                self.black.push([(x, y), (x + TICK * out.0, y + TICK * out.1)]);
                kept.push((*at, label.clone()));
            }
        }
        kept
    }

    /// The name of the axis along an edge of the silhouette.
    fn name(&mut self, name: &str, [a, b]: [Point; 2]) {
        // From left to right, or from the bottom to the top; then out of the box is down, or to the left.
        let (from, to) = if (a.0 - b.0).abs() < 1e-6 {
            if a.1 > b.1 { (a, b) } else { (b, a) }
        } else if a.0 < b.0 {
            (a, b)
        } else {
            (b, a)
        };
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let along = ((to.0 - from.0) / length, (to.1 - from.1) / length);
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        let mut out = (-along.1, along.0);
        // The middle of the box's projection is inside.
        let inside = self.corners.iter().fold((0.0, 0.0), |s, c| (s.0 + c.0 / 8.0, s.1 + c.1 / 8.0));
        if out.0 * (middle.0 - inside.0) + out.1 * (middle.1 - inside.1) < 0.0 {
            out = (-out.0, -out.1);
        }
        let (words, em) = match text::shortened(name, TEXT, OVERHANG * length) {
            whole if whole.0 == name => whole,
            // Of `direction x (a)` the letter in brackets says enough.
            cut => match name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')) {
                Some(letter) => (letter.to_string(), TEXT),
                None => cut,
            },
        };
        if words.is_empty() || words == "…" {
            return;
        }
        let half = (text_width(&words, em) / 2.0, em * DIGIT_HEIGHT / 2.0);
        let degrees = along.1.atan2(along.0).to_degrees();
        let mut away = TICK + GAP + half.1;
        let text = loop {
            let middle = (middle.0 + away * out.0, middle.1 + away * out.1);
            let text = Text { words: words.clone(), em, middle, degrees, half };
            if self.texts.iter().all(|other| other.apart(&text)) {
                break text;
            }
            away += 0.5;
        };
        self.texts.push(text);
    }

    /// Points around all that the scene covers.
    pub(super) fn extent(&self) -> impl Iterator<Item = Point> + '_ {
        self.corners.iter().copied().chain(self.texts.iter().flat_map(|text| text.corners(0.0)))
    }

    /// What its texts cover, the middle of the base at `origin`.
    pub(super) fn texts(&self, origin: Point) -> Vec<Area> {
        let upright = |text: &Text| Area::enclosing(text.corners(SPACE).into_iter());
        self.texts.iter().map(|text| upright(text).moved(origin)).collect()
    }

    pub(super) fn draw(&self, canvas: &Canvas, origin: Point) {
        let moved = |p: &Point| (origin.0 + p.0, origin.1 + p.1);
        let data = |lines: &[[Point; 2]]| -> String {
            lines
                .iter()
                .map(|line| path_data(&line.iter().map(moved).collect::<Vec<Point>>(), false))
                .collect()
        };
        canvas.path(&data(&self.thin), "fill=\"none\" stroke=\"#dcdcdc\" stroke-width=\".3\"");
        canvas.path(&data(&self.back), "fill=\"none\" stroke=\"#999\" stroke-width=\".4\"");
        canvas.path(&data(&self.black), "stroke=\"#000\" stroke-width=\".5\" stroke-linecap=\"round\"");
        for text in &self.texts {
            let (sin, cos) = text.degrees.to_radians().sin_cos();
            let (x, y) = moved(&text.middle);
            let down = text.em * DIGIT_HEIGHT / 2.0;
            canvas.text(
                &text.words,
                (x - sin * down, y + cos * down),
                text.em,
                Anchor::Middle,
                text.degrees,
                "#000",
            );
        }
    }
}

impl Text {
    /// Corners of its box, wider by `space` on all sides.
    fn corners(&self, space: f64) -> [Point; 4] {
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        // Letters reach below the line: the box is that of digits and a little more.
        let (w, h) = (self.half.0 + space, self.half.1 + 0.1 * self.em + space);
        [(-w, -h), (w, -h), (w, h), (-w, h)]
            .map(|(u, v)| (self.middle.0 + u * cos - v * sin, self.middle.1 + u * sin + v * cos))
    }

    /// Whether two boxes do not overlap: then a side of one of them has the other wholly beyond it.
    fn apart(&self, other: &Text) -> bool {
        let (a, b) = (self.corners(SPACE / 2.0), other.corners(SPACE / 2.0));
        let beyond = |degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            [(cos, sin), (-sin, cos)].into_iter().any(|(x, y)| {
                let along = |p: &Point| p.0 * x + p.1 * y;
                let reach = |c: &[Point; 4]| {
                    c.iter()
                        .map(along)
                        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
                };
                let ((l1, h1), (l2, h2)) = (reach(&a), reach(&b));
                h1 <= l2 || h2 <= l1
            })
        };
        beyond(self.degrees) || beyond(other.degrees)
    }
}
