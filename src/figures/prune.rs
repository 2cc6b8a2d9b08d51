//! What setting parameters to zero costs, as SVG: rise of the loss and the chief metric against the share of the parameters, a curve for
//! each order.
//!
//! Bars are 95 % intervals over examples, paired with the whole model. The random orders are a line of means in a band from the lowest to the
//! highest; dashes are the rise that F predicts for the order by saliency.
//!
//! The trap: the band is of few orders, no interval. And the prediction is of a small step: where a tenth of the weights go, it is
//! not meant to hold.
//!
//! Takes [`Pruned`], the `prune.csv` of `prune`.

use std::path::Path;

use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{GREY, dashed, level, solid};
use crate::draw::curves::{colour, marker};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, counted, distinct, interval, sheet, stretched};
use crate::error::{Error, Result};
use crate::stats;
use crate::tables::prune::PruneRow;
use crate::tables::{self, Table};

/// For readers of the file.
const DESCRIPTION: &str = "Rise of the loss and chief metric against the share of the parameters that is set to zero, by order; bars \
                           are 95 % intervals over examples, the band is the range of random orders.";
/// Orders in the sequence of their colours, and their words.
const ORDERS: [(&str, &str); 4] = [
    ("saliency", "lowest F w² first"),
    ("magnitude", "lowest |w| first"),
    ("fisher", "lowest F first"),
    (RANDOM, "random order: mean, lowest and highest"),
];
const RANDOM: &str = "random";

/// A number of a row with the ends of its interval.
type Value = fn(&PruneRow) -> (Option<f64>, Option<(f64, f64)>);

/// Pruned models.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The whole model.
    whole: PruneRow,
    rows: Vec<PruneRow>,
}

impl Pruned {
    /// Reads the `prune.csv` that `prune` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no row, an order that is not one, or one without the whole model.
    pub fn read(path: &Path) -> Result<Pruned> {
        let rows: Vec<PruneRow> = tables::read_some(path)?;
        let wrong = |expected: &str, found: &str| {
            Error::field(path.display(), "order", expected, found, PruneRow::FIX)
        };
        let whole = rows.iter().find(|row| row.order == "none").cloned();
        let rows: Vec<PruneRow> = rows.into_iter().filter(|row| row.order != "none").collect();
        let whole = whole.ok_or_else(|| wrong("`none` in some row", "no such row"))?;
        match rows.iter().find(|row| ORDERS.iter().all(|(order, _)| *order != row.order)) {
            Some(row) => Err(wrong("saliency, magnitude, fisher or random", &row.order)),
            None if rows.is_empty() => Err(wrong("that of some pruned model", "none")),
            None => Ok(Pruned { whole, rows }),
        }
    }

    /// The place of each order that is there.
    fn orders(&self) -> Vec<usize> {
        (0..ORDERS.len()).filter(|&i| self.of(ORDERS[i].0).next().is_some()).collect()
    }

    fn of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a PruneRow> {
        self.rows.iter().filter(move |row| row.order == order)
    }

    /// Shares with the values there: one, or those of the random orders.
    fn values(&self, order: &str, value: Value) -> Vec<(f64, Vec<f64>)> {
        let at = |share: f64| {
            let own = self.of(order).filter(|row| row.pruned_share == share);
            (share, own.filter_map(|row| value(row).0).filter(|v| v.is_finite()).collect::<Vec<f64>>())
        };
        let shares = distinct(self.of(order).map(|row| row.pruned_share));
        shares.into_iter().map(at).filter(|(_, values)| !values.is_empty()).collect()
    }

    fn draws(&self) -> usize {
        self.of(RANDOM).filter_map(|row| row.draw).max().map_or(0, |last| last + 1)
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Pruned::read(path)?;
    Ok((prune_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn prune_figure(read: &Pruned, width_mm: Option<f64>) -> Result<String> {
    let mut panels = vec![rise(read)];
    if read.whole.value.is_some() {
        panels.push(metric(read));
    }
    sheet(&panels, PerRow { wide: 2, narrow: 1 }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

fn rise(read: &Pruned) -> Panel<'_> {
    let value: Value = |row| (Some(row.rise), row.rise_low.zip(row.rise_high));
    let rises: Vec<f64> = read.rows.iter().map(|row| row.rise).collect();
    let predicted: Vec<Point> = read.of("saliency").map(|row| (row.pruned_share, row.predicted)).collect();
    Panel {
        title: "rise of the loss".into(),
        notes: vec![format!("whole model: {}", significant(read.whole.loss, 4))],
        spans: upright(&rises).map(|y| (Span::Linear(0.0, 1.0), y)),
        words: (ACROSS, "rise of the loss"),
        draw: Box::new(move |canvas, plot| {
            plot.pieces(&predicted).into_iter().for_each(|piece| dashed(canvas, &stretched(piece), GREY));
            curves(canvas, plot, read, value);
        }),
    }
}

/// Logarithmic, but where a rise is none or below 0: no order may be missing where it costs least.
fn upright(rises: &[f64]) -> Option<Span> {
    if rises.iter().all(|rise| *rise > 0.0) {
        return Span::suited(rises);
    }
    let (low, high) = crate::draw::axis::range(rises.iter().copied())?;
    let mut sizes: Vec<f64> = rises.iter().map(|rise| rise.abs()).filter(|size| size.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    // 1e-8: no more than eight decades.
    let near = f64::max(stats::quantile(&sizes, 0.25), 1e-8 * sizes.last().copied().unwrap_or(1.0));
    Some(if near > 0.0 { Span::Symmetric(low, high, near) } else { Span::Linear(low, high) })
}

const ACROSS: &str = "share of the parameters set to zero";

fn metric(read: &Pruned) -> Panel<'_> {
    // The interval is of the difference; the whole model's value is a constant beside it.
    let value: Value = |row| {
        let whole = row.value.zip(row.gain).map(|(value, gain)| value - gain);
        let ends = row.gain_low.zip(row.gain_high).zip(whole);
        (row.value, ends.map(|((low, high), whole)| (whole + low, whole + high)))
    };
    let whole = read.whole.value.unwrap_or(f64::NAN);
    let all = read.rows.iter().filter_map(|row| row.value).chain([whole]);
    let range = crate::draw::axis::range(all);
    Panel {
        title: read.whole.metric.replace('_', " "),
        notes: vec![format!("whole model: {}", significant(whole, 4))],
        spans: range.map(|(low, high)| (Span::Linear(0.0, 1.0), Span::Linear(low, high))),
        words: (ACROSS, &read.whole.metric),
        draw: Box::new(move |canvas, plot| {
            level(canvas, &plot.across(whole));
            curves(canvas, plot, read, value);
        }),
    }
}

/// A curve for each order; of the random ones the means in their band.
fn curves(canvas: &Canvas, plot: &Plot, read: &Pruned, value: Value) {
    for i in read.orders() {
        let (order, _) = ORDERS[i];
        let values = read.values(order, value);
        if order == RANDOM {
            let ends = |v: &[f64]| v.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
            let band: Vec<(f64, f64, f64)> =
                values.iter().map(|(share, own)| (*share, ends(own).0, ends(own).1)).collect();
            plot.band(canvas, &band, colour(i));
        } else {
            for row in read.of(order) {
                if let Some(ends) = value(row).1 {
                    interval(canvas, plot, row.pruned_share, ends, colour(i));
                }
            }
        }
        let means: Vec<Point> = values.iter().map(|(share, own)| (*share, stats::mean(own))).collect();
        plot.pieces(&means).into_iter().for_each(|piece| solid(canvas, &stretched(piece), colour(i)));
        let inside = means.iter().filter(|(_, v)| (plot.y.low..=plot.y.high).contains(v));
        inside.for_each(|&(x, v)| marker(canvas, plot.at(x, v), i));
    }
}

fn entries(read: &Pruned) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry> = read.orders().into_iter().map(|i| Entry::curve(i, ORDERS[i].1)).collect();
    if read.rows.iter().any(|row| row.rise_low.is_some() && row.order != RANDOM) {
        entries.push(Entry::interval("95 % interval, paired with the whole model"));
    }
    if read.of("saliency").next().is_some() {
        entries.push(Entry::line(dashed, GREY, "predicted by F for the lowest F w²"));
    }
    if read.whole.value.is_some() {
        entries.push(Entry::level("whole model"));
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Pruned) -> String {
    let words: Vec<&str> = read.orders().into_iter().map(|i| ORDERS[i].0).collect();
    let mut out = format!(
        "Rise of the loss against the share of {} parameters that is set to zero, by order ({}); the whole model has a loss of \
         {}. Bars: 95 % intervals over examples, paired with the whole model.",
        read.whole.parameters,
        words.join(", "),
        significant(read.whole.loss, 4)
    );
    if read.draws() > 0 {
        out += &format!(" Band: the lowest and the highest of {}.", counted(read.draws(), "random order"));
    }
    if read.whole.value.is_some() {
        out += &format!(" At the right: {}.", read.whole.metric.replace('_', " "));
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::files;

    fn row(order: &str, share: f64, draw: Option<usize>, rise: f64) -> PruneRow {
        PruneRow {
            order: order.into(),
            pruned_share: share,
            draw,
            parameters: 1000,
            loss: 1.5 + rise,
            rise,
            rise_low: Some(0.9 * rise),
            rise_high: Some(1.1 * rise),
            predicted: 0.5 * rise,
            metric: "accuracy".into(),
            value: Some(0.9 - 0.1 * rise),
            gain: Some(-0.1 * rise),
            gain_low: Some(-0.12 * rise),
            gain_high: Some(-0.08 * rise),
            ..PruneRow::default()
        }
    }

    fn file(rows: &[PruneRow]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        tables::write(folder.path(), rows).unwrap();
        let path = folder.path().join("prune.csv");
        (folder, path)
    }

    fn rows() -> Vec<PruneRow> {
        let mut rows = vec![row("none", 0.0, None, 0.0)];
        for (i, share) in [0.01, 0.1, 0.5].into_iter().enumerate() {
            let rise = 0.1f64.powi(2 - i as i32);
            rows.extend(["fisher", "saliency"].map(|order| row(order, share, None, rise)));
            rows.extend(
                [2.0, 4.0].map(|more| row(RANDOM, share, Some(usize::from(more > 3.0)), more * rise)),
            );
        }
        rows
    }

    /// Oracle: the renderer's layout at both widths, and the table: a marker for each share and order (means of the random ones), a band, an
    /// entry for each order that is there.
    #[test]
    fn each_order_is_a_curve() {
        let (_folder, path) = file(&rows());
        let read = Pruned::read(&path).unwrap();
        let means = read.values(RANDOM, |row| (Some(row.rise), None));
        assert_eq!(
            means.iter().map(|(share, own)| (*share, own.len())).collect::<Vec<_>>(),
            [(0.01, 2), (0.1, 2), (0.5, 2)]
        );
        for width in [Some(84.0), None] {
            let svg = prune_figure(&read, width).unwrap();
            let texts = assert_sound(&svg);
            let has = |word: &str| texts.iter().any(|(text, _)| text.contains(word));
            assert!(has("lowest F w² first") && has("random order") && !has("lowest |w| first"), "{texts:?}");
            assert!(has("accuracy") && has("whole model: 0.9"));
            assert_eq!(svg.matches("fill-opacity=\".16\"").count(), 2);
            assert_eq!(svg, prune_figure(&read, width).unwrap());
        }
        // A rise below 0 has its marker, too.
        let mut below = rows();
        below[1].rise = -1e-4;
        let svg = prune_figure(&Pruned::read(&file(&below).1).unwrap(), None).unwrap();
        // Three shares in two panels, and the key.
        assert_eq!(svg.matches("fill=\"#009e73\" stroke=\"#fff\"").count(), 7);
        let axis = upright(&[0.1, -1e-4, 0.2]);
        assert!(
            matches!(axis, Some(Span::Symmetric(low, high, _)) if (low, high) == (-1e-4, 0.2)),
            "{axis:?}"
        );
        let words = caption(&read);
        assert!(words.contains("2 random orders") && words.lines().count() == 1, "{words}");
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, words) in [
            (rows()[1..].to_vec(), "`none` in some row"),
            (rows()[..1].to_vec(), "some pruned model"),
            (vec![row("none", 0.0, None, 0.0), row("alphabet", 0.1, None, 0.0)], "found alphabet"),
            (vec![row("none", 1.5, None, 0.0)], "`pruned_share`"),
        ] {
            let message = Pruned::read(&file(&rows).1).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        let empty = tempfile::tempdir().unwrap();
        files::write(&empty.path().join("prune.csv"), b"order\n").unwrap();
        assert!(Pruned::read(&empty.path().join("prune.csv")).is_err());
    }
}
