//! Marks of a profile: an upright line at each, and its name above the frame.
//!
//! Names stand over their lines, or to one side where others are near, or in a higher row; a line goes on up to its
//! name and through no other.

use crate::draw::axis::Axis;
use crate::draw::canvas::{Anchor, Canvas, Point, path_data, text_width};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::marks::Marks;
use crate::draw::numbers::significant;
use crate::draw::text::{self, SMALL};

/// Height of a row of names, free space beside a name, and longest name, pt.
const ROW: f64 = 1.35 * SMALL;
const SPACE: f64 = 3.0;
const LONGEST: f64 = 110.0;

pub(super) struct Flags {
    /// In order of x.
    names: Vec<Name>,
    /// Whether one of them lies at 0, and so says what is there.
    pub(super) name_zero: bool,
    outside: Vec<String>,
}

struct Name {
    words: String,
    em: f64,
    /// On the axis, and on the sheet.
    v: f64,
    x: f64,
    /// From where to where it reaches, and its row from below.
    reach: (f64, f64),
    row: usize,
}

impl Flags {
    /// Names on the sheet between two `ends` pt; `place` says where a value lies.
    pub(super) fn new(marks: &Marks, axis: &Axis, place: impl Fn(f64) -> f64, ends: (f64, f64)) -> Flags {
        let (mut inside, outside): (Vec<_>, Vec<_>) =
            marks.labelled().into_iter().partition(|(mark, _)| axis.holds(mark.x));
        inside.sort_by(|a, b| a.0.x.total_cmp(&b.0.x));
        let outside = outside.into_iter().map(|(mark, name)| format!("{name} at {}", significant(mark.x, 3)));
        let mut flags = Flags {
            names: Vec::new(),
            name_zero: inside.iter().any(|(mark, _)| mark.x == 0.0),
            outside: outside.collect(),
        };
        for (mark, name) in inside {
            let (words, em) = text::shortened(&name, SMALL, LONGEST.min(ends.1 - ends.0));
            let (x, width) = (place(mark.x), text_width(&words, em));
            let (row, reach) = flags.room(x, width, ends);
            flags.names.push(Name { words, em, v: mark.x, x, reach, row });
        }
        flags
    }

    /// The lowest row and reach that are free; a row above all others if none is.
    fn room(&self, x: f64, width: f64, ends: (f64, f64)) -> (usize, (f64, f64)) {
        let within = |left: f64| {
            let left = left.min(ends.1 - width).max(ends.0);
            (left, left + width)
        };
        let reaches = [x - width / 2.0, x - width, x].map(within);
        let crosses = |(left, right): (f64, f64), x: f64| left - 1.0 < x && x < right + 1.0;
        let rows = self.rows();
        for row in 0..rows {
            for reach in reaches {
                let free = |other: &Name| match other.row {
                    same if same == row => {
                        reach.1 + SPACE <= other.reach.0 || other.reach.1 + SPACE <= reach.0
                    }
                    above if above > row => !crosses(reach, other.x),
                    _ => !crosses(other.reach, x),
                };
                if self.names.iter().all(free) {
                    return (row, reach);
                }
            }
        }
        (rows, reaches[0])
    }

    fn rows(&self) -> usize {
        self.names.iter().map(|name| name.row + 1).max().unwrap_or(0)
    }

    /// Of all rows, pt.
    pub(super) fn height(&self) -> f64 {
        if self.names.is_empty() { 0.0 } else { ROW * self.rows() as f64 + 3.0 }
    }

    /// A line at each mark.
    pub(super) fn lines(&self, canvas: &Canvas, plot: &Plot) {
        for name in &self.names {
            line(canvas, plot.upright(name.v));
        }
    }

    /// The names above the frame, whose upper edge is `top`.
    pub(super) fn names(&self, canvas: &Canvas, top: f64) {
        for Name { words, em, x, reach, row, .. } in &self.names {
            let foot = top - 3.0 - ROW * *row as f64;
            line(canvas, [(*x, top), (*x, foot + 1.0)]);
            canvas.text(words, (reach.0, foot - 0.24 * em), *em, Anchor::Start, 0.0, "#000");
        }
    }

    /// What the key says of marks beyond the ends of the axis.
    pub(super) fn outside(&self) -> Option<Entry<'static>> {
        let words = || format!("outside: {}", self.outside.join(", "));
        (!self.outside.is_empty()).then(|| Entry::note(words()))
    }
}

fn line(canvas: &Canvas, ends: [Point; 2]) {
    canvas.path(&path_data(&ends, false), "stroke=\"#000\" stroke-width=\".5\"");
}
