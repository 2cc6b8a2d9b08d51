//! Two rankings of the same layers: the score of each in the one file against that in the other, on logarithmic axes. On the dashed
//! line both agree; a ranking agrees where the points rise together, whatever the line.

use crate::draw::axis::drawable;
use crate::draw::curves::{GREY, dashed};
use crate::draw::legend::Entry;
use crate::draw::numbers::written;
use crate::draw::panels::{Panel, PerRow, Span, sheet};
use crate::error::Result;
use crate::figures::parts::sites;
use crate::fisher::layers::Granularity;

/// Scores of the layers of one granularity.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub(crate) granularity: Granularity,
    /// Spearman's rho of the two rankings, and the ends of its interval.
    pub(crate) rho: Option<(f64, Option<(f64, f64)>)>,
    /// Name and both scores of each layer.
    pub(crate) layers: Vec<(String, [f64; 2])>,
}

impl Scores {
    /// The layers that have a place on logarithmic axes.
    fn shown(&self) -> impl Iterator<Item = &(String, [f64; 2])> {
        self.layers.iter().filter(|(_, both)| both.iter().all(|score| drawable(*score) && *score > 0.0))
    }

    fn title(&self) -> String {
        let rho = self.rho.map_or("no rank correlation".into(), |(rho, ends)| {
            let ends = ends
                .map_or(String::new(), |(low, high)| format!(" ({} to {})", decimals(low), decimals(high)));
            format!("ρ {}{ends}", decimals(rho))
        });
        format!("{}s: {rho}", self.granularity.name())
    }

    fn panel<'a>(&'a self, files: &'a [String]) -> Panel<'a> {
        let along = |i: usize| Span::logarithmic(self.shown().map(move |(_, both)| both[i]));
        let missing = self.layers.len() - self.shown().count();
        Panel {
            title: self.title(),
            notes: (missing > 0)
                .then(|| format!("without two positive scores: {missing} of {}", self.layers.len()))
                .into_iter()
                .collect(),
            spans: along(0).zip(along(1)),
            words: (&files[0], &files[1]),
            draw: Box::new(move |canvas, plot| {
                let (low, high) = (plot.x.low.max(plot.y.low), plot.x.high.min(plot.y.high));
                if low < high {
                    dashed(canvas, &[plot.at(low, low), plot.at(high, high)], GREY);
                }
                let deepest = sites::deepest(self.layers.iter().map(|(name, _)| name.as_str()));
                for (name, [a, b]) in self.shown() {
                    sites::look(name, deepest).marker(canvas, plot.at(*a, *b));
                }
            }),
        }
    }
}

/// With two decimals and a true minus sign.
pub(crate) fn decimals(v: f64) -> String {
    let v = if v.abs() < 0.005 { 0.0 } else { v };
    written(&[v], -2).concat()
}

/// The figure as SVG text.
pub(crate) fn figure(
    files: &[String],
    scores: &[Scores],
    width_mm: Option<f64>,
    description: &str,
) -> Result<String> {
    let panels: Vec<Panel> = scores.iter().map(|own| own.panel(files)).collect();
    let names: Vec<&str> = scores.iter().flat_map(|own| &own.layers).map(|(name, _)| name.as_str()).collect();
    let mut entries = sites::signs(&names);
    entries.push(Entry::line(dashed, GREY, "the same score in both"));
    let per_row = PerRow { wide: panels.len(), narrow: 1 };
    sheet(&panels, per_row, width_mm.unwrap_or(174.0), entries, description)
}

/// The figure in words for a paper.
pub(crate) fn caption(files: &[String], scores: &[Scores]) -> String {
    let each: Vec<String> = scores.iter().map(Scores::title).collect();
    format!(
        "Fisher information of each layer by {} (across) and by {} (upright), on logarithmic axes; on the dashed line both are the \
         same. Spearman’s ρ of the two rankings, with its 95 % interval where there is one: {}.\n",
        files[0],
        files[1],
        each.join("; ")
    )
}
