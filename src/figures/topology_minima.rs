//! The basins of a surface as SVG: where the minima lie, how their parts join, and which of them are more than noise.
//!
//! Left the surface with its minima, numbered from the lowest, and the saddles where they end; in the middle the merge tree, whose upright
//! lines begin at a minimum and end at its saddle; right each persistence with its interval, for all minima together. What may be noise is
//! empty and grey. Of many minima those with the largest persistence are drawn, and the others counted.
//!
//! Of a volume there are three surfaces, seen along each direction (`maps`).
//!
//! Takes `minima.csv` of `topology`, with `basins.csv` beside it.

mod maps;

use std::path::Path;

use crate::draw::axis;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, GREY, marker_of, thick_bar};
use crate::draw::frame::Plot;
use crate::draw::legend::{Entry, stretch};
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, sheet};
use crate::error::{Error, Result};
use crate::tables::topology::{BasinRow, MinimumRow};
use crate::tables::{self, Table};

/// Minima that are drawn.
const MOST: usize = 12;
/// The colours of minima and saddles, which every colour map and white show.
const SHOWN: &str = "#d55e00";
const SADDLE: &str = "#000";
/// Size of the numbers at minima, pt.
const NUMBER: f64 = 6.0;
/// How far the lowest minimum's line goes beyond the last saddle, of the tree's height.
const BEYOND: f64 = 0.08;

/// For readers of the file.
const DESCRIPTION: &str = "Minima of a loss surface, the merge tree of its sub-level sets, and the persistence of each minimum with its \
                           interval for all of them together. Colours between grid points are interpolated.";

/// The tables.
struct Read {
    /// The lowest first.
    minima: Vec<MinimumRow>,
    /// How many of them there are.
    all: usize,
    basins: Vec<BasinRow>,
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Read::at(path)?;
    let mut panels = maps::maps(&read, path)?;
    // Of one minimum the tree is a line, and there is no persistence.
    if read.all > 1 || panels.is_empty() {
        panels.extend([tree(&read), persistences(&read)]);
    }
    let (wide, width) = if panels.len() == 1 { (1, 84.0) } else { (3, 174.0) };
    let svg =
        sheet(&panels, PerRow { wide, narrow: 1 }, width_mm.unwrap_or(width), entries(&read), DESCRIPTION)?;
    Ok((svg, caption(&read)))
}

impl Read {
    fn at(path: &Path) -> Result<Read> {
        let mut minima: Vec<MinimumRow> = tables::read_some(path)?;
        let all = minima.len();
        let numbered = minima.iter().enumerate().all(|(i, own)| own.minimum == i + 1);
        if !numbered {
            let expected = "1, 2, 3, ... from the lowest";
            return Err(Error::field(path.display(), "minimum", expected, "others", MinimumRow::FIX));
        }
        minima.sort_by(|a, b| height(b).total_cmp(&height(a)).then(a.minimum.cmp(&b.minimum)));
        // What a minimum ends in lies no higher and so is no less persistent: it stays.
        minima.truncate(MOST);
        minima.sort_by_key(|own| own.minimum);
        Ok(Read { minima, all, basins: tables::read_beside(path)? })
    }

    fn is_volume(&self) -> bool {
        self.minima.iter().any(|own| own.z.is_some())
    }

    fn has_intervals(&self) -> bool {
        self.minima.iter().any(|own| own.shown.is_some())
    }
}

/// The persistence, of what joins no other without end.
fn height(own: &MinimumRow) -> f64 {
    own.persistence.unwrap_or(f64::INFINITY)
}

fn is_noise(own: &MinimumRow) -> bool {
    own.shown == Some(false)
}

fn sign(canvas: &Canvas, at: Point, noise: bool) {
    marker_of(canvas, at, 0, if noise { GREY } else { SHOWN }, noise);
}

fn heading(read: &Read) -> String {
    let number = if read.all == 1 { "one basin".into() } else { format!("{} minima", read.all) };
    format!("{}: {number}", field(read))
}

fn field(read: &Read) -> &str {
    read.minima.first().map_or("", |own| &own.field)
}

fn left_out(read: &Read) -> Vec<String> {
    let more = read.all - read.minima.len();
    (more > 0).then(|| format!("{more} of smallest persistence not drawn")).into_iter().collect()
}

fn saddle(canvas: &Canvas, at: Point) {
    const ARM: f64 = 1.7;
    let cross = [[(-ARM, -ARM), (ARM, ARM)], [(-ARM, ARM), (ARM, -ARM)]];
    for ends in cross {
        curves::bar(canvas, ends.map(|(x, y)| (at.0 + x, at.1 + y)), SADDLE);
    }
}

/// The places of the minima from left to right such that no lines cross: behind a minimum those that end in it, the lowest
/// saddle first, each with its own.
fn places(minima: &[MinimumRow]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut waiting: Vec<usize> = (0..minima.len()).rev().filter(|&i| minima[i].into.is_none()).collect();
    while let Some(next) = waiting.pop() {
        order.push(next);
        let mut ended: Vec<usize> =
            (0..minima.len()).filter(|&i| minima[i].into == Some(minima[next].minimum)).collect();
        let above = |i: &usize| (minima[*i].saddle.unwrap_or(0.0) - minima[next].value).abs();
        ended.sort_by(|a, b| above(b).total_cmp(&above(a)));
        waiting.extend(ended);
    }
    order
}

fn tree(read: &Read) -> Panel<'_> {
    let order = places(&read.minima);
    let names: Vec<String> = order.iter().map(|&i| read.minima[i].minimum.to_string()).collect();
    let values = || read.minima.iter().flat_map(|own| [Some(own.value), own.saddle]).flatten();
    let spans = axis::range(values()).map(|(low, high)| {
        let more = BEYOND * (high - low);
        let ends = if falls(read) { Span::Linear(low - more, high) } else { Span::Linear(low, high + more) };
        (Span::Names(names), ends)
    });
    let place =
        move |number: usize| order.iter().position(|&i| read.minima[i].minimum == number).unwrap_or(0);
    Panel {
        title: "merge tree".into(),
        notes: Vec::new(),
        spans,
        words: ("minimum", field(read)),
        draw: Box::new(move |canvas, plot| {
            for own in &read.minima {
                let (x, noise) = (place(own.minimum) as f64, is_noise(own));
                let colour = if noise { GREY } else { "#000" };
                let to = own.saddle.unwrap_or(if falls(read) { plot.y.low } else { plot.y.high });
                let mut corners = vec![plot.at(x, own.value), plot.at(x, to)];
                corners.extend(own.into.map(|into| plot.at(place(into) as f64, to)));
                match noise {
                    true => curves::dashed(canvas, &corners, colour),
                    false => curves::solid(canvas, &corners, colour),
                }
            }
            for own in &read.minima {
                sign(canvas, plot.at(place(own.minimum) as f64, own.value), is_noise(own));
            }
        }),
    }
}

/// Whether the minima are peaks, the highest first.
fn falls(read: &Read) -> bool {
    let Some(first) = read.minima.first() else { return false };
    let saddles = read.minima.iter().filter_map(|own| own.saddle);
    read.basins.iter().filter_map(|row| row.value).chain(saddles).any(|v| v < first.value)
}

fn persistences(read: &Read) -> Panel<'_> {
    let rows: Vec<&MinimumRow> = read.minima.iter().filter(|own| own.persistence.is_some()).rev().collect();
    let names: Vec<String> = rows.iter().map(|own| own.minimum.to_string()).collect();
    let ends = rows.iter().flat_map(|own| [own.persistence, own.persistence_high]).flatten();
    let spans = axis::range(ends.chain([0.0])).filter(|_| !rows.is_empty());
    let spans = spans.map(|(low, high)| (Span::Linear(low, high), Span::Names(names)));
    Panel {
        title: claim(read),
        notes: Vec::new(),
        spans,
        words: ("persistence", "minimum"),
        draw: Box::new(move |canvas, plot| {
            curves::level(canvas, &plot.upright(0.0));
            for (row, own) in rows.iter().enumerate() {
                persistence(canvas, plot, row as f64, own);
            }
        }),
    }
}

fn persistence(canvas: &Canvas, plot: &Plot, row: f64, own: &MinimumRow) {
    let noise = is_noise(own);
    if let Some((low, high)) = own.persistence_low.zip(own.persistence_high) {
        thick_bar(canvas, [plot.at(low, row), plot.at(high, row)], if noise { GREY } else { SHOWN });
    }
    sign(canvas, plot.at(own.persistence.unwrap_or(0.0), row), noise);
}

/// What the intervals show.
fn claim(read: &Read) -> String {
    let others = read.minima.iter().filter(|own| own.persistence.is_some());
    let shown = others.clone().filter(|own| own.shown == Some(true)).count();
    match (others.count(), read.has_intervals()) {
        (0, _) => "one basin".into(),
        (_, false) => "persistence, without intervals".into(),
        (_, true) if shown == 0 => "one basin shown".into(),
        (_, true) => format!("{} basins shown", shown + 1),
    }
}

fn entries(read: &Read) -> Vec<Entry<'static>> {
    let mut entries =
        vec![Entry::new(|canvas: &Canvas, at| sign(canvas, at, false), "minimum, 1 is the lowest")];
    if read.minima.iter().any(is_noise) {
        entries.push(Entry::new(|canvas: &Canvas, at| sign(canvas, at, true), "may be noise"));
    }
    if read.minima.iter().any(|own| own.saddle.is_some()) {
        entries.push(Entry::new(saddle, "saddle"));
    }
    if read.has_intervals() {
        let bar = |canvas: &Canvas, at| thick_bar(canvas, stretch(at), GREY);
        entries.push(Entry::new(bar, "95 % interval, for all together"));
    }
    entries
}

fn caption(read: &Read) -> String {
    let number = |v: f64| significant(v, 3);
    let one = |own: &MinimumRow| {
        let persistence = own.persistence?;
        let ends = own.persistence_low.zip(own.persistence_high);
        let ends = ends
            .map_or(String::new(), |(low, high)| format!(" (95 % from {} to {})", number(low), number(high)));
        let noise = if is_noise(own) { ", may be noise" } else { "" };
        Some(format!(" {}: {}{ends}{noise}.", own.minimum, number(persistence)))
    };
    let all: String = read.minima.iter().filter_map(one).collect();
    let left = left_out(read).first().map_or(String::new(), |left| format!(" {left}."));
    let persistences = if all.is_empty() { String::new() } else { format!(" Persistences:{all}") };
    let (what, drawn) = match read.is_volume() {
        true => ("volume", format!("its {} values along each direction, its", maps::end(read))),
        false => ("surface", "the surface, its".into()),
    };
    format!(
        "Basins of a {what} ({}), {} minima: {drawn} merge tree, and how far each minimum lies below its saddle.\
         {persistences}{left}\n",
        field(read),
        read.all,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::files;
    use crate::landscape::topology::{Field, Tree};
    use crate::rng::Stream;

    /// The tables of a field; what is shown: every second one, or nothing is known.
    fn tables_of(values: &[f64], width: usize, known: bool) -> (Vec<MinimumRow>, Vec<BasinRow>) {
        let field = Field::plane(values, width);
        let tree = Tree::of(&field);
        let place = |cell: usize| ((cell % width) as f64 / 4.0 - 1.0, (cell / width) as f64 / 4.0 - 1.0);
        let row = |(i, own): (usize, &crate::landscape::topology::Minimum)| {
            let saddle = own.merge.map(|merge| merge.saddle);
            let persistence = tree.persistence(&field, i);
            MinimumRow {
                field: "loss".into(),
                minimum: i + 1,
                x: place(own.cell).0,
                y: place(own.cell).1,
                z: None,
                value: values[own.cell],
                border: false,
                into: own.merge.map(|merge| merge.into + 1),
                saddle_x: saddle.map(|cell| place(cell).0),
                saddle_y: saddle.map(|cell| place(cell).1),
                saddle_z: None,
                saddle: saddle.map(|cell| values[cell]),
                persistence,
                persistence_se: None,
                persistence_low: persistence
                    .filter(|_| known)
                    .map(|p| if i % 2 == 0 { 0.5 * p } else { 0.0 }),
                persistence_high: persistence.filter(|_| known).map(|p| 2.0 * p),
                shown: persistence.filter(|_| known).map(|_| i % 2 == 0),
                first_gap: None,
                cells: 1,
                radius: 0.25,
            }
        };
        let basin = |(cell, value): (usize, &f64)| BasinRow {
            x: place(cell).0,
            y: place(cell).1,
            z: None,
            value: Some(*value).filter(|v| v.is_finite()),
            minimum: None,
        };
        (tree.minima.iter().enumerate().map(row).collect(), values.iter().enumerate().map(basin).collect())
    }

    fn noise(cells: usize, seed: u64) -> Vec<f64> {
        (0..cells).map(|i| Stream::new(seed, "test/basins").normal(i as u64)).collect()
    }

    /// Oracle: the renderer's layout: no text upon another, nothing off the sheet; of one minimum and of many, on a plane and
    /// along a line, with and without intervals and basins beside, with a lost point, wide and narrow.
    #[test]
    fn basins_of_all_kinds_are_drawn() {
        let bowl: Vec<f64> =
            (0..81).map(|i| ((i % 9) as f64 - 4.0).powi(2) + ((i / 9) as f64 - 4.0).powi(2)).collect();
        let mut lost = noise(81, 1);
        lost[40] = f64::NAN;
        let folder = tempfile::tempdir().unwrap();
        for (values, width, known, title) in [
            (&bowl, 9, false, "one basin"),
            (&noise(81, 1), 9, true, " basins shown"),
            (&lost, 9, true, " basins shown"),
            (&noise(400, 2), 20, false, "persistence, without intervals"),
            (&noise(30, 3), 30, true, " basins shown"),
        ] {
            let (minima, basins) = tables_of(values, width, known);
            let path = folder.path().join(MinimumRow::FILE);
            tables::write(folder.path(), &minima).unwrap();
            for beside in [true, false] {
                match beside {
                    true => tables::write(folder.path(), &basins).unwrap(),
                    false => files::remove(&folder.path().join(BasinRow::FILE)).unwrap(),
                }
                for width_mm in [84.0, 174.0] {
                    let (svg, caption) = draw(&path, Some(width_mm)).unwrap();
                    let texts = assert_sound(&svg);
                    assert!(texts.iter().any(|(text, _)| text.ends_with(title)), "{title}: {texts:?}");
                    let more = minima.len().saturating_sub(MOST);
                    let words = format!("{more} of smallest persistence not drawn");
                    assert_eq!(
                        (svg.contains(&words) && beside, caption.contains(&words)),
                        (more > 0 && beside, more > 0)
                    );
                    assert!(!known || svg.contains(">may be noise<"));
                }
            }
        }
    }

    /// Oracle: all pairs of lines of the tree: one across, at a saddle, and one upright, of a minimum in between, do not
    /// cross. Catches places in order of the numbers alone.
    #[test]
    fn lines_of_the_tree_do_not_cross() {
        for seed in 0..20 {
            let (minima, _) = tables_of(&noise(144, seed), 12, false);
            let order = places(&minima);
            assert_eq!(order.len(), minima.len());
            let place = |number: usize| order.iter().position(|&i| minima[i].minimum == number).unwrap();
            for own in minima.iter().filter(|own| own.into.is_some()) {
                let (from, to, at) = (place(own.into.unwrap()), place(own.minimum), own.saddle.unwrap());
                assert!(from < to);
                for between in order[from + 1..to].iter().map(|&i| &minima[i]) {
                    assert!(between.saddle.unwrap() <= at, "{} over {}", own.minimum, between.minimum);
                }
            }
        }
    }

    /// Oracle: on paper.
    #[test]
    fn tables_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MinimumRow::FILE);
        let (minima, mut basins) = tables_of(&noise(81, 1), 9, true);
        basins.swap(3, 4);
        tables::write(folder.path(), &minima).unwrap();
        tables::write(folder.path(), &basins).unwrap();
        let refused = |words: &str| {
            let message = draw(&path, None).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("fix:"), "{message}");
        };
        refused("basins.csv: `x, y` must be a grid");
        let mut turned = minima.clone();
        turned.swap(0, 1);
        tables::write(folder.path(), &turned).unwrap();
        refused("`minimum`");
        let mut apart = minima.clone();
        apart[1].persistence = None;
        tables::write(folder.path(), &apart).unwrap();
        refused("`persistence`");
    }
}
