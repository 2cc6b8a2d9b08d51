//! Rank lines: the rank of every item from column to column, with its name at the right end.
//!
//! Rank 0 is at the foot. Items stand in rows by their rank in the last column, one row each: names never touch, and
//! what a figure draws beside them (the rows of [`height`]) stands at the height of its name. Where ranks are tied, or
//! an item has none in the last column, a thin line leads from its end to its row.
//!
//! Used by [`crate::figures::stability_ranks`] and [`crate::figures::agree_pairs`].

use crate::draw::axis::{self, Axis};
use crate::draw::canvas::{Anchor, Canvas, Point};
use crate::draw::curves::stroke;
use crate::draw::frame::{EDGE, LINE, Plot};
use crate::draw::text::{self, TITLE};
use crate::figures::parts::sites::{self, Look};

/// Height of a row: a name has room in it, pt.
const ROW: f64 = 8.0;
/// A panel of few rows is as high as this, pt.
const LEAST: f64 = 44.0;
/// More lines than these have fainter bands.
const FEW: usize = 8;
/// From the frame to the names, and beyond them, pt.
const LEADER: f64 = 7.0;
const SPACE: f64 = 5.0;

/// A rank and, where it is a mean, the lowest and highest it was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rank {
    pub(crate) rank: f64,
    pub(crate) ends: Option<(f64, f64)>,
}

/// One item: its rank in each column, where it has one.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) ranks: Vec<Option<Rank>>,
}

/// A panel of rank lines.
pub(crate) struct Bump<'a> {
    pub(crate) title: &'a str,
    pub(crate) lines: &'a [Line],
    pub(crate) columns: &'a [String],
    /// Upper left corner and width of the frame.
    pub(crate) corner: Point,
    pub(crate) width: f64,
}

/// Height of a frame of `items` rows.
pub(crate) fn height(items: usize) -> f64 {
    f64::max(ROW * items as f64, LEAST)
}

/// Above a frame, for its title.
pub(crate) const ABOVE: f64 = 1.1 * TITLE + 3.0;

/// Left of a frame of up to `items` rows, for the numbers and the word beside them.
pub(crate) fn before(items: usize) -> f64 {
    EDGE + LINE + axis::numbers_width([&scale(items)])
}

/// Right of a frame, for the names of some lines.
pub(crate) fn after<'a>(lines: impl IntoIterator<Item = &'a Line>) -> f64 {
    LEADER + sites::widest(lines.into_iter().map(|line| line.name.as_str())) + SPACE
}

fn scale(items: usize) -> Axis {
    let rows = Axis::rows(items, height(items));
    Axis::linear(0.0, items.saturating_sub(1) as f64, 6, 1.0).cut_to(rows.low, rows.high)
}

/// The row of each line from the foot: by its last rank, then as given.
pub(crate) fn rows(lines: &[Line]) -> Vec<usize> {
    let last = |i: usize| lines[i].ranks.last().copied().flatten().map_or(f64::INFINITY, |last| last.rank);
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| last(a).total_cmp(&last(b)));
    let mut rows = vec![0; lines.len()];
    order.into_iter().enumerate().for_each(|(row, i)| rows[i] = row);
    rows
}

impl Bump<'_> {
    /// Upper and lower side of each line's row.
    pub(crate) fn row(&self, row: usize) -> (f64, f64) {
        let (n, height) = (self.lines.len(), height(self.lines.len()));
        let each = height / n as f64;
        let bottom = self.corner.1 + height - each * row as f64;
        (bottom - each, bottom)
    }

    pub(crate) fn draw(&self, canvas: &Canvas) {
        let height = height(self.lines.len());
        let (x, y) =
            (Axis::columns(self.columns, self.width), scale(self.lines.len()).thinned_upright(height));
        let plot = Plot { corner: self.corner, size: (self.width, height), x: &x, y: &y };
        plot.axes(canvas, true, true);
        let (title, em) = text::first_fitting(&[self.title], TITLE, self.width);
        let middle = self.corner.0 + self.width / 2.0;
        canvas.centred(&title, (middle, self.corner.1 - 4.0), em);
        plot.words_upright(canvas, "rank", self.corner.0 - before(self.lines.len()) + EDGE);
        let deepest = sites::deepest(self.lines.iter().map(|line| line.name.as_str()));
        // Bands of many lines together are half as strong: they fade, the lines do not.
        canvas.raw(if self.lines.len() > FEW { "<g opacity=\".45\">" } else { "<g>" });
        for line in self.lines {
            for piece in pieces(line) {
                let ends = piece.iter().filter_map(|(x, rank)| rank.ends.map(|(low, high)| (*x, low, high)));
                let ends: Vec<(f64, f64, f64)> = ends.collect();
                // Where all repeats have one rank there is no band.
                if ends.iter().any(|(_, low, high)| low < high) {
                    plot.band(canvas, &ends, &sites::look(&line.name, deepest).colour);
                }
            }
        }
        canvas.raw("</g>");
        for (line, row) in self.lines.iter().zip(rows(self.lines)) {
            self.line(canvas, &plot, line, row, &sites::look(&line.name, deepest));
        }
    }

    /// The line with its markers, and its name.
    fn line(&self, canvas: &Canvas, plot: &Plot, line: &Line, row: usize, look: &Look) {
        let colour = &look.colour;
        let at = |&(x, rank): &(f64, Rank)| plot.at(x, rank.rank);
        let placed: Vec<Vec<Point>> =
            pieces(line).iter().map(|piece| piece.iter().map(at).collect()).collect();
        let right = self.corner.0 + self.width;
        let (top, bottom) = self.row(row);
        let name = (right + LEADER, (top + bottom) / 2.0);
        if let (Some(Some(_)), Some(&end)) = (line.ranks.last(), placed.iter().flatten().last()) {
            let leader = [end, (right, end.1), (name.0 - 1.5, name.1)];
            stroke(canvas, &leader, colour, "stroke-width=\".35\"");
        }
        for piece in &placed {
            stroke(canvas, piece, colour, "stroke-width=\".8\" stroke-linejoin=\"round\"");
        }
        placed.into_iter().flatten().for_each(|at| look.marker(canvas, at));
        sites::write(canvas, &line.name, name, Anchor::Start);
    }
}

/// Neighbouring columns with a rank, as (column, rank).
fn pieces(line: &Line) -> Vec<Vec<(f64, Rank)>> {
    let placed: Vec<(usize, Option<Rank>)> = line.ranks.iter().copied().enumerate().collect();
    let pieces = placed.split(|(_, rank)| rank.is_none());
    let known = |piece: &[(usize, Option<Rank>)]| {
        piece.iter().filter_map(|&(x, rank)| Some((x as f64, rank?))).collect::<Vec<_>>()
    };
    pieces.map(known).filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::canvas::path_data;
    use crate::draw::tests::{assert_sound, attribute};

    fn line(name: &str, ranks: &[Option<f64>]) -> Line {
        let rank = |rank: &Option<f64>| rank.map(|rank| Rank { rank, ends: None });
        Line { name: name.to_owned(), ranks: ranks.iter().map(rank).collect() }
    }

    fn drawn(lines: &[Line], columns: usize) -> String {
        let canvas = Canvas::new((220.0, 100.0 + height(lines.len())));
        let columns: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
        let bump = Bump { title: "ranks", lines, columns: &columns, corner: (40.0, 30.0), width: 80.0 };
        bump.draw(&canvas);
        canvas.finish("")
    }

    /// Oracle: on paper. A frame of 80 pt has columns at 20 and 60 pt; one of 10 rows is 80 pt high, with rank r at
    /// 8 (r + 1/2) pt above its foot, and the names stand there too.
    #[test]
    fn marks_stand_in_the_rows_of_their_ranks() {
        let item = |i: usize| line(&format!("layer.{i}.ffn_output"), &[Some(9.0 - i as f64), Some(i as f64)]);
        let svg = drawn(&(0..10).map(item).collect::<Vec<_>>(), 2);
        let boxes = assert_sound(&svg);
        // Feed-forward outputs are triangles: no circle; the first path of each ends where its last begins.
        let paths =
            svg.lines().filter(|line| line.starts_with("<path") && line.contains("stroke-width=\".8\""));
        for (i, path) in paths.enumerate() {
            let foot = 30.0 + 80.0;
            let from = (40.0 + 20.0, foot - 8.0 * (9.5 - i as f64));
            let to = (40.0 + 60.0, foot - 8.0 * (i as f64 + 0.5));
            assert!(path.contains(&path_data(&[from, to], false)), "{path}");
            let name = format!("{i} ffn output");
            let found: Vec<_> = boxes.iter().filter(|(text, _)| *text == name).collect();
            assert!(found.len() == 1 && found[0].1[1] < to.1 && to.1 < found[0].1[3], "{found:?}");
        }
    }

    /// Names of tied items keep apart, and an item without a last rank has its name too; one item alone has a panel.
    #[test]
    fn ties_and_gaps_have_names_of_their_own() {
        let lines = [
            line("embeddings", &[Some(1.0), Some(1.0)]),
            line("layer.0.attention_probs", &[Some(0.0), Some(1.0)]),
            line("layer.0.ffn_output", &[Some(2.0), None]),
            line("a name that is much longer than any room for it beside the frame", &[None, Some(1.0)]),
        ];
        assert_eq!(rows(&lines), [0, 1, 3, 2]);
        let texts: Vec<String> = assert_sound(&drawn(&lines, 2)).into_iter().map(|(text, _)| text).collect();
        for name in ["embeddings", "0 attn. probs", "0 ffn output"] {
            assert_eq!(texts.iter().filter(|text| *text == name).count(), 1, "{name}");
        }
        assert!(texts.iter().any(|text| text.starts_with('…') && text.ends_with("beside the frame")));
        let svg = drawn(&lines[..1], 2);
        let circle = svg.lines().find(|line| line.starts_with("<path") && line.contains("#cc79a7"));
        assert!(circle.is_some());
        assert_sound(&svg);
        let frame = svg.lines().find(|line| line.starts_with("<rect x")).unwrap();
        assert_eq!(attribute(frame, "height"), LEAST);
    }
}
