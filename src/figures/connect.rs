//! Two models, the straight line and the trained curve between them, as SVG: loss, loss above the line between the losses of both, and the
//! chief metric, against the place on the path.
//!
//! The barrier of a path is its highest point above the line between both losses. Bands hold for all points of a path together, so the point may be chosen
//! after they were seen; where none is shown to be above 0, what is left is how high a barrier could be.
//!
//! The trap: points between those that were evaluated may be higher.
//!
//! Takes the `connect.csv` of `connect`.

use std::path::Path;

use crate::draw::axis::range;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{colour, marker, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, sheet, stretched};
use crate::draw::text::capital;
use crate::error::{Error, Result};
use crate::tables::connect::ConnectRow;
use crate::tables::{self, Table};

/// For readers of the file.
const DESCRIPTION: &str = "Loss, loss above the line between the losses of both models, and chief metric along the straight line between \
                           two models and along a trained curve; bands are 95 % for all points of a path.";
/// Paths in the order of their colours, and their words.
const PATHS: [(&str, &str); 2] = [("line", "straight line"), ("curve", "trained curve")];
const ACROSS: &str = "from A (0) to B (1)";

/// A number of a row with the ends of its band.
type Value = fn(&ConnectRow) -> (Option<f64>, Option<(f64, f64)>);

/// The barrier of a path in words; none where the path has no point.
pub fn barrier(rows: &[ConnectRow], path: &str) -> Option<String> {
    let own = || rows.iter().filter(|row| row.path == path);
    let top = own().max_by(|a, b| a.height.total_cmp(&b.height))?;
    let number = |value: f64| significant(value, 3);
    Some(match top.height_low.zip(top.height_high) {
        Some((low, high)) if low > 0.0 => {
            format!(
                "barrier {} (95 % {} to {}) at t = {}",
                number(top.height),
                number(low),
                number(high),
                number(top.t)
            )
        }
        _ => {
            let most = own().filter_map(|row| row.height_high).fold(0.0, f64::max);
            format!("no barrier above {}", number(most))
        }
    })
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let rows: Vec<ConnectRow> = tables::read_some(path)?;
    if let Some(row) = rows.iter().find(|row| PATHS.iter().all(|(path, _)| *path != row.path)) {
        return Err(Error::field(path.display(), "path", "line or curve", &row.path, ConnectRow::FIX));
    }
    let barriers: Vec<String> = PATHS
        .iter()
        .filter_map(|(path, words)| Some(format!("{words}: {}", barrier(&rows, path)?)))
        .collect();
    let loss: Value = |row| (Some(row.loss), None);
    let height: Value = |row| (Some(row.height), row.height_low.zip(row.height_high));
    let metric: Value = |row| (row.value, None);
    let name = rows[0].metric.replace('_', " ");
    let mut panels = vec![
        panel("loss", &rows, loss, Vec::new()),
        panel("height of the barrier", &rows, height, barriers.clone()),
    ];
    if rows.iter().any(|row| row.value.is_some()) {
        panels.push(panel(&name, &rows, metric, Vec::new()));
    }
    let there = |i: &usize| rows.iter().any(|row| row.path == PATHS[*i].0);
    let entries = (0..PATHS.len()).filter(there).map(|i| Entry::curve(i, PATHS[i].1)).collect();
    let columns = PerRow { wide: panels.len(), narrow: 1 };
    let svg = sheet(&panels, columns, width_mm.unwrap_or(174.0), entries, DESCRIPTION)?;
    let caption = format!(
        "Loss between two models, along the straight line and along a trained curve; the barrier is what lies above the line between the losses of \
         both models. Bands: 95 % for all points of a path together, paired by example. {}.\n",
        capital(&barriers.join("; "))
    );
    Ok((svg, caption))
}

fn panel<'a>(title: &'a str, rows: &'a [ConnectRow], value: Value, notes: Vec<String>) -> Panel<'a> {
    let ends = |row: &ConnectRow| {
        let (own, ends) = value(row);
        [own, ends.map(|ends| ends.0), ends.map(|ends| ends.1)]
    };
    let range = range(rows.iter().flat_map(ends).flatten());
    Panel {
        title: title.into(),
        notes,
        spans: range.map(|(low, high)| (Span::Linear(0.0, 1.0), Span::Linear(low, high))),
        words: (ACROSS, title),
        draw: Box::new(move |canvas, plot| paths(canvas, plot, rows, value)),
    }
}

fn paths(canvas: &Canvas, plot: &Plot, rows: &[ConnectRow], value: Value) {
    for (i, (path, _)) in PATHS.iter().enumerate() {
        let own = || rows.iter().filter(|row| row.path == *path);
        let band: Vec<(f64, f64, f64)> =
            own().filter_map(|row| value(row).1.map(|(low, high)| (row.t, low, high))).collect();
        if !band.is_empty() {
            plot.band(canvas, &band, colour(i));
        }
        let points: Vec<Point> = own().filter_map(|row| Some((row.t, value(row).0?))).collect();
        plot.pieces(&points).into_iter().for_each(|piece| solid(canvas, &stretched(piece), colour(i)));
        points.iter().for_each(|&(t, v)| marker(canvas, plot.at(t, v), i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;

    /// A parabola of this height, in a band as wide.
    fn rows(path: &str, height: f64, half: f64, metric: bool) -> Vec<ConnectRow> {
        let row = |k: usize| {
            let t = k as f64 / 4.0;
            let own = 4.0 * height * t * (1.0 - t);
            let inside = 0 < k && k < 4;
            ConnectRow {
                path: path.into(),
                t,
                loss: 0.5 + own,
                loss_se: 0.01,
                metric: if metric { "accuracy".into() } else { String::new() },
                value: metric.then_some(0.9 - own),
                height: own,
                height_low: inside.then_some(own - half),
                height_high: inside.then_some(own + half),
            }
        };
        (0..5).map(row).collect()
    }

    /// Oracle: the renderer's layout at both widths, and the table: the barrier of the parabola is its height in the middle; one whose band
    /// reaches 0 is none. A marker for each point and panel, a band for each path.
    #[test]
    fn both_paths_are_drawn_with_their_barriers() {
        let folder = tempfile::tempdir().unwrap();
        for metric in [true, false] {
            let all = [rows("line", 0.2, 0.05, metric), rows("curve", 0.01, 0.02, metric)].concat();
            assert_eq!(barrier(&all, "line").unwrap(), "barrier 0.2 (95 % 0.15 to 0.25) at t = 0.5");
            assert_eq!(barrier(&all, "curve").unwrap(), "no barrier above 0.03");
            assert_eq!(barrier(&all, "way"), None);
            tables::write(folder.path(), &all).unwrap();
            let path = folder.path().join("connect.csv");
            for width in [Some(84.0), None] {
                let (svg, caption) = draw(&path, width).unwrap();
                let texts = assert_sound(&svg);
                let has = |word: &str| texts.iter().any(|(text, _)| text.contains(word));
                assert!(has("straight line: barrier 0.2") && has("trained curve: no barrier"), "{texts:?}");
                assert_eq!(has("accuracy"), metric);
                assert_eq!(svg.matches("fill-opacity=\".16\"").count(), 2);
                assert!(
                    caption.contains(" Straight line: barrier 0.2") && caption.lines().count() == 1,
                    "{caption}"
                );
            }
        }
        let wrong = rows("way", 0.1, 0.1, false);
        tables::write(folder.path(), &wrong).unwrap();
        let message = draw(&folder.path().join("connect.csv"), None).unwrap_err().to_string();
        assert!(message.contains("`path` must be line or curve, found way"), "{message}");
    }
}
