//! How many examples a ranking needs, as SVG: predicted from pilots, then checked on fresh samples.
//!
//! Two panels for each threshold of agreement. First the predicted number against the pilot's size, dots single pilots,
//! markers their median and bars the median of their 95 % intervals: a pilot is of use where these do not fall or rise
//! with its size. The dashed line is the whole corpus: what lies above it cannot be checked. In the second the mean
//! agreement of fresh samples of the predicted size against that number: dots single pilots, markers the pilots of one
//! size together. On the dashed line the prediction held.
//!
//! The trap: a pilot that sees no ranking predicts nothing, or a number beyond any corpus. The median over the others
//! alone would be too small. So pilots without a number count as more than any other in medians, and are counted.
//!
//! Takes [`Needed`], the `needed.csv` of `stability`.

use std::path::Path;

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, COLOURS, GREY, dashed, dots, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, counted, distinct, interval, sheet};
use crate::error::Result;
use crate::fisher::layers::Granularity;
use crate::stability::needed::NeededRow;
use crate::{stats, tables};

/// Series stand this far apart, and single pilots before their median, pt.
const APART: f64 = 5.0;
const BEFORE: f64 = 2.2;
/// The axis of the numbers reaches no further than this factor beyond what is predicted; bars run out of it.
const BEYOND: f64 = 4.0;

/// For readers of the file.
const DESCRIPTION: &str = "Number of examples for which two samples would agree at the threshold, as predicted from \
                           pilots, and the agreement observed at that number.";

/// Pilots and what they predict.
#[derive(Clone, Debug)]
pub struct Needed {
    rows: Vec<NeededRow>,
}

/// The predicted number, if it has a place on a logarithmic axis.
fn number(row: &NeededRow) -> Option<f64> {
    row.predicted.filter(|v| drawable(*v) && *v > 0.0)
}

/// The predicted number, and the agreement observed at it.
fn observed(row: &NeededRow) -> Option<Point> {
    number(row).zip(row.checked).filter(|(_, y)| drawable(*y))
}

impl Needed {
    /// Reads the `needed.csv` that `stability` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, no row, or a pilot without examples.
    pub fn read(path: &Path) -> Result<Needed> {
        Ok(Needed { rows: tables::read_some(path)? })
    }

    fn thresholds(&self) -> Vec<f64> {
        distinct(self.rows.iter().map(|row| row.threshold))
    }

    fn of(&self, threshold: f64) -> impl Iterator<Item = &NeededRow> {
        self.rows.iter().filter(move |row| row.threshold == threshold)
    }

    /// Examples of the whole corpus, where a pilot had it all.
    fn corpus(&self) -> Option<f64> {
        self.rows.iter().find(|row| row.fraction == 1.0).map(|row| row.examples as f64)
    }

    fn granularities(&self) -> impl Iterator<Item = (usize, Granularity)> {
        let known = |g: &(usize, Granularity)| self.rows.iter().any(|row| row.granularity == g.1);
        Granularity::ALL.into_iter().enumerate().filter(known)
    }

    /// Of the checked pilots of each size: median number, mean agreement and its standard deviation over pilots.
    fn checks(&self, threshold: f64, granularity: Granularity) -> Vec<(f64, f64, f64)> {
        let own: Vec<&NeededRow> = self.of(threshold).filter(|row| row.granularity == granularity).collect();
        let at = |examples: f64| {
            let own =
                own.iter().filter(|row| row.examples as f64 == examples).filter_map(|row| observed(row));
            let (numbers, agreements): (Vec<f64>, Vec<f64>) = own.unzip();
            let sd = if agreements.len() > 1 { stats::sd(&agreements) } else { 0.0 };
            (!numbers.is_empty()).then(|| (stats::median(&numbers), stats::mean(&agreements), sd))
        };
        distinct(own.iter().map(|row| row.examples as f64)).into_iter().filter_map(at).collect()
    }

    /// Median number of each size of pilot with the medians of its interval's ends, ascending by size.
    fn medians(&self, threshold: f64, granularity: Granularity) -> Vec<(f64, [f64; 3])> {
        let own: Vec<&NeededRow> = self.of(threshold).filter(|row| row.granularity == granularity).collect();
        let at = |examples: f64| {
            let at: Vec<&&NeededRow> = own.iter().filter(|row| row.examples as f64 == examples).collect();
            let of = |value: fn(&NeededRow) -> Option<f64>| median(at.iter().map(|row| value(row)).collect());
            (examples, [of(number), of(|row| row.predicted_low), of(|row| row.predicted_high)])
        };
        distinct(own.iter().map(|row| row.examples as f64)).into_iter().map(at).collect()
    }
}

/// The middle value, or the mean of the middle two, where what is missing is above all others: it may be infinite.
fn median(values: Vec<Option<f64>>) -> f64 {
    let mut values: Vec<f64> =
        values.into_iter().map(|v| v.filter(|v| !v.is_nan()).unwrap_or(f64::INFINITY)).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::INFINITY,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Needed::read(path)?;
    Ok((needed_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn needed_figure(read: &Needed, width_mm: Option<f64>) -> Result<String> {
    let mut panels = Vec::new();
    for threshold in read.thresholds() {
        panels.push(predicted(read, threshold));
        panels.push(checked(read, threshold));
    }
    // One below the other, several thresholds would be longer than a page.
    let narrow = if panels.len() > 2 { 2 } else { 1 };
    sheet(&panels, PerRow { wide: 2, narrow }, width_mm.unwrap_or(174.0), entries(read), DESCRIPTION)
}

/// Numbers against pilots.
fn predicted(read: &Needed, threshold: f64) -> Panel<'_> {
    let numbers: Vec<f64> = read.of(threshold).filter_map(number).collect();
    let without = read.of(threshold).count() - numbers.len();
    let seen = axis::range(numbers.iter().copied());
    // Bars may be much longer than the numbers are apart.
    let bars = read.granularities().flat_map(|(_, g)| read.medians(threshold, g)).flat_map(|(_, ends)| ends);
    let near = |v: &f64| seen.is_some_and(|(low, high)| *v >= low / BEYOND && *v <= high * BEYOND);
    // The corpus always: how far the numbers are from it is half of what they say. And more: bars that go on beyond the
    // frame must not seem to end at its line.
    let more = read.corpus().map(|n| 1.6 * n);
    let held = numbers.iter().copied().chain(bars.filter(near)).chain(more);
    let y = seen.and_then(|_| Span::logarithmic(held));
    Panel {
        title: format!("examples for agreement {}", significant(threshold, 3)),
        notes: of_pilots("without a number", without, read.of(threshold).count()),
        spans: Span::at(read.of(threshold).map(|row| row.examples as f64)).zip(y),
        words: ("examples in the pilot", "predicted number"),
        draw: Box::new(move |canvas, plot| {
            if let Some(corpus) = read.corpus().filter(|n| plot.y.holds(*n)) {
                dashed(canvas, &plot.across(corpus), GREY);
            }
            for (i, granularity) in read.granularities() {
                let apart = APART * (i as f64 - 1.0);
                let own = read.of(threshold).filter(|row| row.granularity == granularity);
                let at = own.filter_map(|row| Some(plot.at(row.examples as f64, number(row)?)));
                dots(canvas, &at.map(|(x, y)| (x + apart - BEFORE, y)).collect::<Vec<Point>>(), COLOURS[i]);
            }
            for (i, granularity) in read.granularities() {
                medians(canvas, plot, &read.medians(threshold, granularity), i);
            }
        }),
    }
}

/// How many pilots lack something, if any.
fn of_pilots(what: &str, n: usize, of: usize) -> Vec<String> {
    (n > 0).then(|| format!("{what}: {n} of {}", counted(of, "pilot"))).into_iter().collect()
}

/// Medians of series `i`, joined where neighbours have one, with their bars.
fn medians(canvas: &Canvas, plot: &Plot, medians: &[(f64, [f64; 3])], i: usize) {
    let apart = APART * (i as f64 - 1.0);
    let place = |x: f64, v: f64| {
        let (x, y) = plot.at(x, v);
        (x + apart, y)
    };
    for &(x, [middle, low, high]) in medians {
        if low.is_finite() && drawable(middle) {
            let inside = |v: f64| v.clamp(plot.y.low, plot.y.high);
            curves::bar(canvas, [place(x, inside(low)), place(x, inside(high))], COLOURS[i]);
        }
    }
    for piece in medians.split(|(_, ends)| !drawable(ends[0])) {
        let points: Vec<Point> = piece.iter().map(|&(x, ends)| place(x, ends[0])).collect();
        solid(canvas, &points, COLOURS[i]);
        points.into_iter().for_each(|at| curves::marker(canvas, at, i));
    }
}

/// Observed agreement against the predicted number.
fn checked(read: &Needed, threshold: f64) -> Panel<'_> {
    let points: Vec<Point> = read.of(threshold).filter_map(observed).collect();
    let unchecked = read.of(threshold).count() - points.len();
    let x = Span::logarithmic(points.iter().map(|p| p.0));
    let y = axis::range(points.iter().map(|p| p.1).chain([threshold])).filter(|_| !points.is_empty());
    Panel {
        title: "checked: agreement (ρ)".into(),
        notes: of_pilots("not checked", unchecked, read.of(threshold).count()),
        spans: x.zip(y).map(|(x, y)| (x, Span::Linear(y.0, y.1))),
        words: ("predicted number", "agreement observed"),
        draw: Box::new(move |canvas, plot| {
            dashed(canvas, &plot.across(threshold), "#000");
            for (i, granularity) in read.granularities() {
                let own = read.of(threshold).filter(|row| row.granularity == granularity);
                let at = own.filter_map(|row| observed(row).map(|(x, y)| plot.at(x, y)));
                dots(canvas, &at.collect::<Vec<Point>>(), COLOURS[i]);
            }
            for (i, granularity) in read.granularities() {
                for (number, mean, sd) in read.checks(threshold, granularity) {
                    interval(canvas, plot, number, (mean - sd, mean + sd), COLOURS[i]);
                    curves::marker(canvas, plot.at(number, mean), i);
                }
            }
        }),
    }
}

fn entries(read: &Needed) -> Vec<Entry<'static>> {
    let curve = |(i, granularity): (usize, Granularity)| Entry::curve(i, format!("{}s", granularity.name()));
    let mut entries: Vec<Entry> = read.granularities().map(curve).collect();
    entries.push(Entry::dots("single pilots, left of their median"));
    if read.rows.iter().any(|row| row.predicted_low.is_some()) {
        entries.push(Entry::interval("of numbers: 95 % interval (median of the pilots’)"));
    }
    if read.corpus().is_some() {
        entries.push(Entry::line(dashed, GREY, "all examples there are"));
    }
    if read.rows.iter().any(|row| observed(row).is_some()) {
        entries.push(Entry::interval("of agreement: ± standard deviation over pilots"));
        entries.push(Entry::line(dashed, "#000", "threshold"));
    }
    entries
}

/// The figure in words for a paper: what is drawn, from how many pilots, and what was not checked.
pub fn caption(read: &Needed) -> String {
    let mut out = "Number of examples for which two independent samples would agree (Spearman’s ρ of their rankings) at \
                   the threshold on average, as predicted from pilots of different sizes: dots single pilots, markers \
                   medians, bars the medians of their 95 % intervals. Next to them: mean agreement of pairs of fresh disjoint \
                   samples of the predicted size, against that size: dots single pilots, markers the pilots of one size \
                   (± standard deviation over pilots)."
        .to_owned();
    for threshold in read.thresholds() {
        let n = read.of(threshold).count();
        let numbers = read.of(threshold).filter_map(number).count();
        let checked = read.of(threshold).filter_map(observed).count();
        out += &format!(
            " Threshold {}: {}, {} without a number, {checked} checked.",
            significant(threshold, 3),
            counted(n, "pilot"),
            n - numbers
        );
    }
    if let Some(corpus) = read.corpus() {
        out += &format!(" The corpus has {corpus} examples.");
    }
    out + " Pilots without a number count as above all others in medians; bars that reach the frame continue beyond it.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::files;

    const HEADER: &str = "draw,fraction,repeat,granularity,threshold,examples,predicted,predicted_low,predicted_high,\
                          expected,pairs,checked,checked_sd\n";

    fn read(rows: &str) -> Result<Needed> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("needed.csv");
        files::write(&path, format!("{HEADER}{rows}").as_bytes())?;
        assert_eq!(crate::figures::tests::named(HEADER), Some("stability_needed"));
        Needed::read(&path)
    }

    /// Oracle: on paper. Of 10, 30, 50 and one without a number the median is 40; of two and two without, none.
    #[test]
    fn pilots_without_a_number_count_as_more() {
        assert_eq!(median(vec![Some(50.0), None, Some(10.0), Some(30.0)]), 40.0);
        assert_eq!(median(vec![Some(1.0), None, None, Some(2.0)]), f64::INFINITY);
        assert_eq!(median(vec![Some(7.0)]), 7.0);
    }

    /// Oracle: on paper. Medians 10, 100 and 1000 at pilots of 10, 100 and 1000 lie on a straight line, evenly.
    #[test]
    fn medians_stand_at_their_place() {
        let row = |n: f64, v: f64| {
            format!("nested,0.5,0,site,0.9,{n},{v},{},{},0.9,5,0.9,0.01\n", v / 2.0, v * 2.0)
        };
        let svg = needed_figure(
            &read(&[row(10.0, 10.0), row(100.0, 100.0), row(1000.0, 1000.0)].concat()).unwrap(),
            None,
        );
        let svg = svg.unwrap();
        let at: Vec<Point> = svg
            .lines()
            .filter(|line| line.starts_with("<rect") && line.contains("fill=\"#d55e00\""))
            .map(|line| (attribute(line, "x"), attribute(line, "y")))
            .collect();
        // Three medians, three checks, the key.
        assert_eq!(at.len(), 7);
        assert!(
            (at[1].0 - (at[0].0 + at[2].0) / 2.0).abs() < 0.02
                && (at[1].1 - (at[0].1 + at[2].1) / 2.0).abs() < 0.02
        );
        assert!(at[0].1 > at[2].1);
        assert_sound(&svg);
    }

    #[test]
    fn texts_keep_apart_and_what_is_missing_is_counted() {
        let mut rows = String::new();
        for (k, f) in [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].into_iter().enumerate() {
            for (repeat, granularity) in (0..4).flat_map(|r| ["tensor", "site", "block"].map(|g| (r, g))) {
                for threshold in [0.9, 0.95] {
                    let n = 3e4 * f;
                    let end = if repeat == 3 && k < 2 {
                        ",,,,0,,".into()
                    } else {
                        format!("{},{},{},0.9,8,0.88,0.03", 300.0 + n, 100.0, 1e5 * f64::from(repeat))
                    };
                    rows += &format!("nested,{f},{repeat},{granularity},{threshold},{n},{end}\n");
                }
            }
        }
        for table in [
            format!("{rows}full,1,0,site,0.9,30000,400,350,500,0.9,8,0.91,0.02\n"),
            "full,1,0,site,0.9,30000,400,350,500,0.9,0,,\n".into(),
            "full,1,0,block,0.9,30000,inf,,,,0,,\n".into(),
        ] {
            let read = read(&table).unwrap();
            for width in [84.0, 170.0] {
                let svg = needed_figure(&read, Some(width)).unwrap();
                assert_sound(&svg);
                assert_eq!(svg.contains("without a number: 6 of"), table.contains("nested"));
                assert_eq!(svg.contains("without a number: 1 of 1 pilot<"), table.contains("inf"));
                assert_eq!(svg.contains("not checked: 1 of 1 pilot<"), !table.contains("nested"));
            }
            assert!(caption(&read).ends_with(".\n") && caption(&read).lines().count() == 1);
        }
        assert!(read("").unwrap_err().to_string().contains("`rows`"));
        assert!(read("full,1,0,site,0.9,0,1,,,,0,,\n").unwrap_err().to_string().contains("`examples`"));
    }
}
