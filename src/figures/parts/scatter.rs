//! Marks with bars over a logarithmic axis across, and axes that suit them.
//!
//! The trap: a measured rise may be negative: noise about 0, or damage that helps. A logarithmic axis leaves those out and counts
//! them; where it would lose more than a tenth, the axis is linear about 0 instead and shows all.

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, path_data};
use crate::draw::curves::{self, colour};
use crate::draw::frame::Plot;
use crate::draw::panels::{Panel, Span, counted, interval};

/// What is this factor beyond all marks on a logarithmic axis runs out of the frame rather than stretching it: bars, and
/// predictions.
const BARS: f64 = 2.0;
const LEVELS: f64 = 100.0;

/// A value with the ends of its bar, for [`spans`].
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) se: Option<f64>,
    pub(crate) style: usize,
}

impl Mark {
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        self.se.filter(|se| drawable(*se)).map(|se| (self.y - se, self.y + se))
    }
}

/// Axes suited to some marks, and the marks that have a place on them.
pub(crate) struct Scatter {
    pub(crate) spans: Option<(Span, Span)>,
    pub(crate) shown: Vec<Mark>,
    pub(crate) lost: usize,
}

impl Scatter {
    pub(crate) fn new(marks: Vec<Mark>, levels: &[f64]) -> Scatter {
        let spans = spans(&marks, levels);
        let has_place =
            |mark: &&Mark| spans.as_ref().is_some_and(|(x, y)| x.shows(mark.x) && y.shows(mark.y));
        let shown: Vec<Mark> = marks.iter().filter(has_place).copied().collect();
        Scatter { lost: marks.len() - shown.len(), spans, shown }
    }
}

/// Axes suited to some marks, the across one always logarithmic. `levels` are further values upright, of which the axis
/// holds those that are not too far.
fn spans(marks: &[Mark], levels: &[f64]) -> Option<(Span, Span)> {
    let values: Vec<f64> = marks.iter().map(|mark| mark.y).collect();
    let y = Span::suited(&values)?;
    let bars = marks.iter().filter_map(Mark::ends).flat_map(|(low, high)| [low, high]);
    let all = bars.map(|v| (v, BARS)).chain(levels.iter().map(|v| (*v, LEVELS)));
    // From end to end of what is near, or on a linear axis of everything.
    let wider = |low: f64, high: f64| {
        let is_near = |&(v, factor): &(f64, f64)| {
            !matches!(y, Span::Logarithmic(..)) || (low / factor..=high * factor).contains(&v)
        };
        axis::range(all.clone().filter(is_near).map(|(v, _)| v).chain([low, high])).unwrap_or((low, high))
    };
    let y = match y {
        Span::Linear(low, high) => Span::Linear(wider(low, high).0, wider(low, high).1),
        Span::Logarithmic(low, high) => Span::Logarithmic(wider(low, high).0, wider(low, high).1),
        Span::Symmetric(low, high, near) => Span::Symmetric(wider(low, high).0, wider(low, high).1, near),
        ticks @ (Span::At(_) | Span::LinearAt(_) | Span::Names(_)) => ticks,
    };
    let x = Span::logarithmic(marks.iter().filter(|mark| y.shows(mark.y)).map(|mark| mark.x));
    x.map(|x| (x, y))
}

pub(crate) fn lost_words(lost: usize, one: &str) -> Option<String> {
    (lost > 0).then(|| format!("not shown: {}", counted(lost, one)))
}

/// The level of no change, where it is on the axis.
pub(crate) fn zero(canvas: &Canvas, plot: &Plot) {
    if plot.y.low < 0.0 && plot.y.holds(0.0) {
        let look = "stroke=\"#999\" stroke-width=\".6\"";
        canvas.path(&path_data(&plot.across(0.0), false), look);
    }
}

/// Bars below markers.
pub(crate) fn scattered(canvas: &Canvas, plot: &Plot, marks: &[Mark]) {
    for mark in marks {
        if let Some(ends) = mark.ends() {
            interval(canvas, plot, mark.x, ends, colour(mark.style));
        }
    }
    marks.iter().for_each(|mark| curves::marker(canvas, plot.at(mark.x, mark.y), mark.style));
}

/// Says what [`lost_words`] count.
pub(crate) const LOST: &str = "not shown: not above 0, on a logarithmic axis";

/// Whether a panel has lost something.
pub(crate) fn has_lost(panels: &[Panel]) -> bool {
    panels.iter().any(|panel| panel.notes.iter().any(|note| note.contains("not shown")))
}
