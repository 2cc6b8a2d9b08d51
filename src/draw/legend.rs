//! The key at the foot of a figure: signs and their words, in as many lines as the width asks for.
//!
//! Used by all figures; the signs are their own.

use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, Point, text_width};
use crate::draw::plot::{SMALL, shortened};
use crate::error::Result;

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
}

/// Entries, each with its place: the middle of its sign and the start of its words, pt; line; size of the words.
pub(crate) struct Legend<'a> {
    entries: Vec<(Entry<'a>, (f64, f64), usize, f64)>,
}

impl<'a> Legend<'a> {
    /// Entries with signs `sign` pt wide, in lines no wider than `width` pt; words longer than a line are made smaller,
    /// then cut.
    pub(crate) fn new(entries: Vec<Entry<'a>>, sign: f64, width: f64) -> Result<Legend<'a>> {
        let (mut x, mut line, mut placed) = (0.0, 0, Vec::new());
        for mut entry in entries {
            let before = if entry.sign.is_some() { sign + GAP } else { 0.0 };
            let (words, em) = shortened(&entry.words, SMALL, width - before)?;
            let w = before + text_width(&words, em)?;
            if x > 0.0 && x + w > width {
                (x, line) = (0.0, line + 1);
            }
            entry.words = words;
            placed.push((entry, (x + sign / 2.0, x + before), line, em));
            x += w + APART;
        }
        Ok(Legend { entries: placed })
    }

    /// Height with the space above, pt; nothing for no entry.
    pub(crate) fn height(&self) -> f64 {
        self.entries.last().map_or(0.0, |(_, _, line, _)| ABOVE + LINE * (line + 1) as f64)
    }

    /// Draws the key with its upper left corner at `at`.
    pub(crate) fn draw(&self, canvas: &Canvas, at: Point) {
        for (entry, (middle, start), line, em) in &self.entries {
            let y = at.1 + ABOVE + LINE * (*line as f64 + 0.5);
            entry.sign.iter().for_each(|draw| draw(canvas, (at.0 + middle, y)));
            let words = (at.0 + start, y + em * DIGIT_HEIGHT / 2.0);
            canvas.text(&entry.words, words, *em, Anchor::Start, 0.0, "#000");
        }
    }
}
