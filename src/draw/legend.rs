//! A sheet with a key at its foot: signs and their words, in as many lines as the width asks for.
//!
//! Used by all figures; [`Entry`] has the signs that several of them share.

use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, Point, text_width};
use crate::draw::curves::{self, GREY, Look, bar, marker};
use crate::draw::frame::EDGE;
use crate::draw::text::{SMALL, shortened};

/// Width of the sign of a curve, pt.
pub(crate) const SIGN: f64 = 14.0;
/// Between a sign and its words, between entries, and from line to line, pt.
const GAP: f64 = 3.0;
const APART: f64 = 10.0;
const LINE: f64 = 1.6 * SMALL;
/// Above the first line, pt.
const ABOVE: f64 = 2.0;

/// Draws a sign around a point.
type Sign<'a> = Box<dyn Fn(&Canvas, Point) + 'a>;

/// A sign of the figure and its words.
pub(crate) struct Entry<'a> {
    sign: Option<Sign<'a>>,
    words: String,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(sign: impl Fn(&Canvas, Point) + 'a, words: impl Into<String>) -> Entry<'a> {
        Entry { sign: Some(Box::new(sign)), words: words.into() }
    }

    /// Words that explain no sign.
    pub(crate) fn note(words: impl Into<String>) -> Entry<'a> {
        Entry { sign: None, words: words.into() }
    }

    /// A stretch of a line.
    pub(crate) fn line(
        stroke: fn(&Canvas, &[Point], &str),
        colour: &'a str,
        words: impl Into<String>,
    ) -> Entry<'a> {
        Entry::new(move |canvas, at| stroke(canvas, &stretch(at), colour), words)
    }

    /// Curve `i`: its line and its marker.
    pub(crate) fn curve(i: usize, words: impl Into<String>) -> Entry<'a> {
        Entry::line_of(Look::of_curve(i), words)
    }

    /// A curve or an arm that looks like this: its line and its marker.
    pub(crate) fn line_of(look: Look, words: impl Into<String>) -> Entry<'a> {
        let sign = move |canvas: &Canvas, at| {
            look.line(canvas, &stretch(at));
            look.marker(canvas, at);
        };
        Entry::new(sign, words)
    }

    /// Its marker alone.
    pub(crate) fn sign_of(look: Look, words: impl Into<String>) -> Entry<'a> {
        Entry::new(move |canvas, at| look.marker(canvas, at), words)
    }

    /// The marker of curve `i`.
    pub(crate) fn marker(i: usize, words: impl Into<String>) -> Entry<'a> {
        Entry::new(move |canvas, at| marker(canvas, at, i), words)
    }

    /// A level that is no curve.
    pub(crate) fn level(words: impl Into<String>) -> Entry<'a> {
        Entry::new(|canvas, at| curves::level(canvas, &stretch(at)), words)
    }

    /// The band around a curve.
    pub(crate) fn band(words: impl Into<String>) -> Entry<'a> {
        let sign = |canvas: &Canvas, (x, y): Point| {
            let look = format!("fill=\"{GREY}\" fill-opacity=\".25\"");
            canvas.rect((x - SIGN / 2.0, y - 2.5), (SIGN, 5.0), &look);
        };
        Entry::new(sign, words)
    }

    /// The upright bar of an interval.
    pub(crate) fn interval(words: impl Into<String>) -> Entry<'a> {
        Entry::new(|canvas, (x, y)| bar(canvas, [(x, y - 3.5), (x, y + 3.5)], GREY), words)
    }

    /// Single seeds, as few as there are.
    pub(crate) fn seeds(words: impl Into<String>) -> Entry<'a> {
        Entry::new(|canvas, at| curves::seeds(canvas, &[at], GREY), words)
    }

    /// Single draws, repeats or pilots.
    pub(crate) fn dots(words: impl Into<String>) -> Entry<'a> {
        Entry::new(|canvas, (x, y)| curves::dots(canvas, &[(x - 3.5, y), (x, y), (x + 3.5, y)], GREY), words)
    }
}

/// The stretch of a line in a key.
pub(crate) fn stretch((x, y): Point) -> [Point; 2] {
    [(x - SIGN / 2.0, y), (x + SIGN / 2.0, y)]
}

/// An entry in its place, pt from the upper left corner of the key.
struct Placed<'a> {
    entry: Entry<'a>,
    /// Middle of the sign, and start of the words.
    middle: f64,
    start: f64,
    line: usize,
    em: f64,
}

/// A sheet to draw on, and the key at its foot.
pub(crate) struct Sheet<'a> {
    pub(crate) canvas: Canvas,
    corner: Point,
    key: Vec<Placed<'a>>,
}

impl<'a> Sheet<'a> {
    /// A sheet of `width` pt that ends below the key, which has its upper left corner at `corner` and signs `sign` pt wide.
    /// Words longer than a line are made smaller, then cut.
    pub(crate) fn new(width: f64, corner: Point, entries: Vec<Entry<'a>>, sign: f64) -> Sheet<'a> {
        let room = width - corner.0 - EDGE;
        let (mut x, mut line, mut key) = (0.0, 0, Vec::new());
        for mut entry in entries {
            let before = if entry.sign.is_some() { sign + GAP } else { 0.0 };
            let (words, em) = shortened(&entry.words, SMALL, room - before);
            let w = before + text_width(&words, em);
            if x > 0.0 && x + w > room {
                (x, line) = (0.0, line + 1);
            }
            entry.words = words;
            key.push(Placed { entry, middle: x + sign / 2.0, start: x + before, line, em });
            x += w + APART;
        }
        let height = key.last().map_or(0.0, |last| ABOVE + LINE * (last.line + 1) as f64);
        Sheet { canvas: Canvas::new((width, corner.1 + height + EDGE)), corner, key }
    }

    /// Draws the key and closes the sheet; `description` is for readers of the file.
    pub(crate) fn finish(self, description: &str) -> String {
        let (left, top) = self.corner;
        for Placed { entry, middle, start, line, em } in &self.key {
            let y = top + ABOVE + LINE * (*line as f64 + 0.5);
            if let Some(sign) = &entry.sign {
                sign(&self.canvas, (left + middle, y));
            }
            let words = (left + start, y + em * DIGIT_HEIGHT / 2.0);
            self.canvas.text(&entry.words, words, *em, Anchor::Start, 0.0, "#000");
        }
        self.canvas.finish(description)
    }
}
