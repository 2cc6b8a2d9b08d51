//! Training curves as SVG: losses and the chief metric against the epoch, for several arms and seeds.
//!
//! The thick line of an arm is the mean over its seeds, with the range over them as a band and each seed as a thin
//! line, where there are few arms; an arm of one seed has the standard error of its held-out loss instead. Training losses (dashed) are means
//! over the batches of an epoch with dropout on, held-out losses (solid) are taken without: the two do not compare.
//!
//! A mean is drawn only where every seed has a value (`draws`), and what is not finite is counted in the key.
//!
//! Takes [`History`], the `history.csv` of `train` and `pretrain`.

use std::path::{Path, PathBuf};

use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Canvas, PT_PER_MM};
use crate::draw::curves::{self, CURVES, GREY, Look, dashed, solid};
use crate::draw::draws::Draws;
use crate::draw::ends::{self, End};
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::numbers::significant;
use crate::error::{Error, Result};
use crate::files;
use crate::stats;
use crate::tables::training::{HistoryRow, MetricRow};
use crate::tables::{self, Table, columns};

/// Of the curves of more arms than this the means alone are drawn: bands and single seeds would hide them.
const MOST: usize = 4;
/// Markers on a curve, about; and height of a panel for each unit of its width.
const MARKERS: usize = 12;
const ASPECT: f64 = 0.7;
/// Between panels, pt.
const GAP: f64 = 10.0;

/// For readers of the file.
const DESCRIPTION: &str = "Training loss with dropout on (dashed), held-out loss without dropout (solid) and the \
                           chief held-out metric against the epoch. Thick lines are means over seeds, thin ones \
                           single seeds, bands the range over seeds or, for one seed, ± a standard error; of \
                           many arms only the means.";

/// One run.
#[derive(Clone, Debug)]
pub struct History {
    /// Ascending.
    epochs: Vec<f64>,
    /// A value for each epoch; may hold NaN and infinities.
    train: Vec<f64>,
    held_out: Vec<f64>,
    held_out_se: Vec<f64>,
    metric: Option<(String, Vec<f64>)>,
    /// Of the held-out part, where `metrics.csv` says so.
    examples: Option<usize>,
}

impl History {
    /// Reads the `history.csv` that `train` and `pretrain` write.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, a value that is no number, no row, or epochs that do not ascend.
    pub fn read(path: &Path) -> Result<History> {
        // Metrics follow, the chief one first.
        let known = columns::<HistoryRow>();
        let wrong = |field: &str, expected: &str, found: String| {
            Error::field(path.display(), field, expected, found, HistoryRow::FIX)
        };
        let text = files::read_text(path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let unreadable = |e: csv::Error| wrong("row", "one of this table", e.to_string());
        let names = reader.headers().map_err(unreadable)?.clone();
        if !names.iter().take(known.len()).eq(known.iter().copied()) {
            return Err(wrong("header", &known.join(","), names.iter().collect::<Vec<_>>().join(",")));
        }
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        for (i, row) in reader.records().enumerate() {
            for ((name, column), text) in names.iter().zip(&mut columns).zip(&row.map_err(unreadable)?) {
                let found = || format!("`{text}` in data row {}", i + 1);
                column.push(text.parse().map_err(|_| wrong(name, "a number", found()))?);
            }
        }
        let epochs = &columns[0];
        if epochs.is_empty() {
            return Err(wrong("rows", "at least one", "none".into()));
        }
        if !(epochs.iter().all(|v| drawable(*v)) && epochs.is_sorted_by(|a, b| a < b)) {
            return Err(wrong("epoch", "finite and ascending", format!("{epochs:?}")));
        }
        let metric = names.get(known.len()).map(|name| (name.to_owned(), columns[known.len()].clone()));
        let mut columns = columns.into_iter();
        let mut next = || columns.next().unwrap_or_default(); // the header has all five
        let (epochs, _, train) = (next(), next(), next());
        let beside: Vec<MetricRow> = tables::read_beside(path)?;
        let examples = beside.first().map(|row| row.examples);
        Ok(History { epochs, train, held_out: next(), held_out_se: next(), metric, examples })
    }
}

/// Titled histories as SVG and in words; those of one title are seeds of one arm.
pub(super) fn draw(titled: &[(String, PathBuf)], width_mm: Option<f64>) -> Result<(String, String)> {
    let mut arms: Vec<(String, Vec<History>)> = Vec::new();
    for (name, path) in titled {
        let history = History::read(path)?;
        match arms.iter_mut().find(|(known, _)| known == name) {
            Some((_, seeds)) => seeds.push(history),
            None => arms.push((name.clone(), vec![history])),
        }
    }
    Ok((training_figure(&arms, width_mm)?, caption(&arms)))
}

/// The figure of arms with one history per seed, as SVG text. By default 174 mm wide; 84 mm for histories without a
/// metric, which have one panel.
///
/// The same histories give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if there are not from 1 to 16 arms with a history each, if their chief metrics differ, or if the
/// width leaves no room.
pub fn training_figure(arms: &[(String, Vec<History>)], width_mm: Option<f64>) -> Result<String> {
    if !(1..=CURVES).contains(&arms.len()) || arms.iter().any(|(_, seeds)| seeds.is_empty()) {
        let found = format!("{}", arms.len());
        return Err(Error::field(
            "figure",
            "arms",
            "from 1 to 16, with a history each",
            found,
            "leave some out",
        ));
    }
    let metrics: Vec<Option<&str>> =
        histories(arms).map(|h| h.metric.as_ref().map(|m| m.0.as_str())).collect();
    if let Some(other) = metrics.iter().find(|name| **name != metrics[0]) {
        let [expected, found] = [&metrics[0], other].map(|name| name.unwrap_or("none").to_owned());
        return Err(Error::field("figure", "chief metric", expected, found, "draw one task at a time"));
    }
    let panels = panels(arms, metrics[0]);
    let count = panels.len();
    let width_mm = width_mm.unwrap_or(if count == 1 { 84.0 } else { 174.0 });
    let scale = |(_, curves): &(String, Vec<Curve>)| {
        let (low, high) =
            axis::range(curves.iter().flat_map(|curve| curve.draws.values())).unwrap_or((0.0, 1.0));
        Axis::linear(low, high, 6, 0.0).cut_to(low, high)
    };
    let scales: Vec<Axis> = panels.iter().map(scale).collect();
    let beside = LINE + axis::numbers_width(&scales);
    let rest = 2.0 * EDGE + beside * count as f64 + GAP * (count - 1) as f64;
    let side = frame::panel_width(width_mm, count, rest)?;
    // Names at the ends of the curves, where they have room; else they stand in the key.
    let one_epoch = is_one_epoch(arms);
    let names = arms.iter().map(|(name, _)| name.as_str());
    let room = ends::room(names, (side, ASPECT * side)).filter(|_| !one_epoch);
    let side = frame::panel_width(width_mm, count, rest + room.unwrap_or(0.0)).unwrap_or(side);
    let direct = room.is_some();
    let epochs = || histories(arms).flat_map(|history| history.epochs.iter().copied());
    let (first, last) = axis::range(epochs()).unwrap_or((0.0, 1.0));
    let least = if epochs().all(|epoch| epoch.fract() == 0.0) { 1.0 } else { 0.0 };
    let x = Axis::across(first, last, least, side);
    let height = ASPECT * side;
    let foot = EDGE + height + BELOW + LINE;
    let entries = entries(if direct { &[] } else { arms }, arms, &panels, one_epoch);
    let sheet = Sheet::new(width_mm * PT_PER_MM, (EDGE + beside, foot), entries, SIGN);
    let canvas = &sheet.canvas;
    for (i, ((words, curves), y)) in panels.iter().zip(&scales).enumerate() {
        let left = EDGE + beside + (side + GAP + beside) * i as f64;
        let plot = Plot { corner: (left, EDGE), size: (side, height), x: &x, y };
        plot.axes(canvas, true, true);
        // Arms of one epoch stand side by side.
        let aside =
            |arm: usize| if one_epoch { 9.0 * (arm as f64 - (arms.len() - 1) as f64 / 2.0) } else { 0.0 };
        let own = |curve: &Curve| Plot { corner: (left + aside(curve.arm), EDGE), ..plot };
        curves.iter().for_each(|curve| curve.draws.areas(canvas, &own(curve), curve.look.colour));
        curves.iter().for_each(|curve| curve.lines(canvas, &own(curve)));
        plot.words_upright(canvas, words, left - beside);
        plot.words_across(canvas, "epoch");
        if direct && i + 1 == count {
            let end = |curve: &Curve| {
                let last = curve.draws.mean.iter().rfind(|(_, v)| drawable(*v) && !curve.training)?;
                let words = arms[curve.arm].0.clone();
                Some(End { y: plot.at(last.0, last.1).1, look: curve.look, words })
            };
            ends::draw(canvas, left + side, (EDGE, EDGE + height), curves.iter().filter_map(end).collect());
        }
    }
    Ok(sheet.finish(DESCRIPTION))
}

/// Text of the upright axis and curves of each panel.
fn panels(arms: &[(String, Vec<History>)], metric: Option<&str>) -> Vec<(String, Vec<Curve>)> {
    let of_all = |of: Of, training| -> Vec<Curve> {
        let crowded = is_crowded(arms);
        let means = |(arm, (_, seeds)): (usize, &(String, Vec<History>))| {
            let mut curve = Curve::new((arm, arms.len()), seeds, of, training);
            if training || crowded {
                (curve.draws.single, curve.draws.band) = Default::default();
            }
            curve
        };
        arms.iter().enumerate().map(means).collect()
    };
    let mut held_out = of_all(|history| &history.held_out, false);
    if !is_crowded(arms) {
        held_out.iter_mut().for_each(|curve| curve.add_standard_error(&arms[curve.arm].1, true));
    }
    // Training losses begin far above: of many arms they would leave the held-out ones no room.
    let mut losses = if is_crowded(arms) { Vec::new() } else { of_all(|history| &history.train, true) };
    losses.extend(held_out);
    let words = if is_crowded(arms) { "held-out loss" } else { "loss" };
    let mut panels = vec![(words.to_owned(), losses)];
    if let Some(name) = metric {
        let mut curves = of_all(|history| history.metric.as_ref().map_or(&[], |(_, values)| values), false);
        if !is_crowded(arms) {
            curves.iter_mut().for_each(|curve| curve.add_standard_error(&arms[curve.arm].1, false));
        }
        panels.push((format!("held-out {}", name.replace('_', " ")), curves));
    }
    panels
}

/// The figure in words for a paper: what is drawn, and the last values of each arm.
pub fn caption(arms: &[(String, Vec<History>)]) -> String {
    let losses =
        "Training loss with dropout on (dashed) and held-out loss without it (solid) against the epoch";
    let mut out = if is_crowded(arms) { "Held-out loss against the epoch" } else { losses }.to_owned();
    if let Some((name, _)) = histories(arms).next().and_then(|history| history.metric.as_ref()) {
        out += &format!("; right: held-out {}", name.replace('_', " "));
    }
    out.push('.');
    for (name, seeds) in arms {
        let last: Vec<f64> = seeds.iter().filter_map(|history| history.held_out.last().copied()).collect();
        let epochs = seeds[0].epochs.last().copied().unwrap_or(0.0);
        let mean = significant(crate::stats::mean(&last), 4);
        out += &match (seeds.as_slice(), axis::range(last.iter().copied())) {
            ([_], _) => format!(" {name}: one seed, held-out loss {mean} after epoch {epochs}."),
            (all, range) => {
                let (low, high) = range.unwrap_or((f64::NAN, f64::NAN));
                let [low, high] = [low, high].map(|v| significant(v, 4));
                let n = all.len();
                format!(
                    " {name}: {n} seeds, held-out loss {mean} after epoch {epochs} in the mean ({low} to {high})."
                )
            }
        };
    }
    out + if is_crowded(arms) {
        " Lines are means over seeds.\n"
    } else {
        " Thick lines are means over seeds, thin ones single seeds; bands are the range over the seeds or, for one seed, the \
         loss ± its standard error.\n"
    }
}

/// Whether all histories have one epoch, the same: then arms stand side by side.
fn is_one_epoch(arms: &[(String, Vec<History>)]) -> bool {
    let range = axis::range(histories(arms).flat_map(|history| history.epochs.iter().copied()));
    range.is_none_or(|(first, last)| first == last)
}

fn is_crowded(arms: &[(String, Vec<History>)]) -> bool {
    arms.len() > MOST && !is_one_epoch(arms)
}

fn histories(arms: &[(String, Vec<History>)]) -> impl Iterator<Item = &History> {
    arms.iter().flat_map(|(_, seeds)| seeds)
}

/// A quantity of a history.
type Of = fn(&History) -> &[f64];

/// One quantity of one arm.
struct Curve {
    arm: usize,
    look: Look,
    training: bool,
    /// Training losses have their mean alone.
    draws: Draws,
}

impl Curve {
    /// Of the losses of `training`, or of held-out values.
    fn new((arm, arms): (usize, usize), seeds: &[History], of: Of, training: bool) -> Curve {
        let points =
            |history: &History| history.epochs.iter().copied().zip(of(history).iter().copied()).collect();
        Curve {
            arm,
            look: Look::of_arm(arm, arms),
            training,
            draws: Draws::new(seeds.iter().map(points).collect()),
        }
    }

    /// The band of an arm of one seed: of the loss, or of an accuracy, within what that can be.
    fn add_standard_error(&mut self, seeds: &[History], of_loss: bool) {
        let [history] = seeds else { return };
        let edge = |(&epoch, (v, se)): (&f64, (&f64, f64))| (epoch, v - se, v + se);
        if of_loss {
            let values = history.held_out.iter().zip(history.held_out_se.iter().copied());
            self.draws.band = history.epochs.iter().zip(values).map(edge).collect();
            return;
        }
        let accuracy = history.metric.as_ref().filter(|(name, _)| name == "accuracy");
        if let Some(((_, shares), examples)) = accuracy.zip(history.examples) {
            let values = shares.iter().map(|share| (share, stats::binomial_se(*share, examples)));
            let within = |(epoch, low, high): (f64, f64, f64)| (epoch, low.max(0.0), high.min(1.0));
            self.draws.band = history.epochs.iter().zip(values).map(edge).map(within).collect();
        }
    }

    fn lines(&self, canvas: &Canvas, plot: &Plot) {
        for piece in plot.pieces(&self.draws.mean) {
            match (self.training, piece.as_slice()) {
                (true, &[(x, y)]) => dashed(canvas, &[(x - 4.0, y), (x + 4.0, y)], self.look.colour),
                (true, _) => dashed(canvas, &piece, self.look.colour),
                (false, _) => self.look.line(canvas, &piece),
            }
        }
        // Few enough to tell apart.
        let stride = self.draws.mean.len().div_ceil(MARKERS).max(1);
        let shown =
            self.draws.mean.iter().rev().step_by(stride).filter(|point| !self.training && drawable(point.1));
        shown.for_each(|&(epoch, value)| self.look.marker(canvas, plot.at(epoch, value)));
    }
}

/// What the signs mean, only those that occur.
fn entries(
    named: &[(String, Vec<History>)],
    arms: &[(String, Vec<History>)],
    panels: &[(String, Vec<Curve>)],
    one_epoch: bool,
) -> Vec<Entry<'static>> {
    let curve =
        |(i, (name, _)): (usize, &(String, _))| Entry::line_of(Look::of_arm(i, arms.len()), name.as_str());
    let mut entries: Vec<Entry> = named.iter().enumerate().map(curve).collect();
    if !is_crowded(arms) {
        entries.push(Entry::line(solid, GREY, "held-out"));
        entries.push(Entry::line(dashed, GREY, "training batches"));
    }
    let band = if one_epoch { Entry::interval } else { Entry::band };
    if !is_crowded(arms) && arms.iter().any(|(_, seeds)| seeds.len() > 1) {
        entries.push(Entry::line(curves::thin, GREY, "single seeds"));
        entries.push(band("range over the seeds"));
    }
    let alone = panels[0].1.iter().filter(|curve| curve.draws.single.is_empty());
    if alone.flat_map(|curve| &curve.draws.band).any(|&(_, low, _)| drawable(low)) {
        entries.push(band("one seed: ± standard error"));
    }
    let columns = |history| {
        let History { train, held_out, metric, .. }: &History = history;
        [Some(train), Some(held_out), metric.as_ref().map(|(_, values)| values)].into_iter().flatten()
    };
    let values = || histories(arms).flat_map(columns).flatten().copied();
    let lost = values().filter(|v| !drawable(*v)).count();
    if lost > 0 {
        let words = format!("not finite, so not drawn: {lost} of {} values", values().count());
        entries.push(Entry::note(words));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::canvas::Point;
    use crate::draw::tests::{assert_sound, attribute};

    /// A history with `f(epoch)` as every loss and a metric.
    fn history(epochs: usize, f: impl Fn(f64) -> f64) -> History {
        let epochs: Vec<f64> = (1..=epochs).map(|epoch| epoch as f64).collect();
        let values: Vec<f64> = epochs.iter().map(|&epoch| f(epoch)).collect();
        let metric = Some(("accuracy".to_owned(), values.clone()));
        let held_out_se = vec![0.01; epochs.len()];
        History { train: values.clone(), held_out: values, held_out_se, epochs, metric, examples: None }
    }

    /// Middles of the circles with a white edge: the first arm's, in the order of drawing.
    fn circles(svg: &str) -> Vec<Point> {
        let circles = svg.lines().filter(|line| line.starts_with("<circle"));
        circles.map(|c| (attribute(c, "cx"), attribute(c, "cy"))).collect()
    }

    /// Oracle: on paper. Seeds at 0.2, 0.4, 0.6 and at 0.4, 0.6, 0.8 have the mean 0.3, 0.5, 0.7: on a line, with the
    /// number 0.5 at the second. The band reaches from 0.2 to 0.8, so the whole height less the room at its ends.
    #[test]
    fn the_thick_line_is_the_mean_over_seeds() {
        let seeds = vec![history(3, |epoch| 0.2 * epoch), history(3, |epoch| 0.2 + 0.2 * epoch)];
        let svg = training_figure(&[("arm".into(), seeds)], None).unwrap();
        let at = circles(&svg);
        // Two panels of three, and one in the key; the last epoch first.
        assert_eq!(at.len(), 7);
        assert!((at[1].0 - (at[0].0 + at[2].0) / 2.0).abs() < 0.02, "{at:?}");
        assert!((at[1].1 - (at[0].1 + at[2].1) / 2.0).abs() < 0.02 && at[0].1 < at[2].1, "{at:?}");
        let number = assert_sound(&svg).into_iter().find(|(text, _)| text == "0.5").unwrap().1;
        assert!(((number[1] + number[3]) / 2.0 - at[1].1).abs() < 0.3, "{number:?} {at:?}");
        let frame =
            svg.lines().find(|line| line.starts_with("<rect") && line.contains("fill=\"none\"")).unwrap();
        let height = attribute(frame, "height") - 8.0;
        assert!((at[2].1 - at[0].1 - height * 0.4 / 0.6).abs() < 0.05, "{at:?} {height}");
        for words in ["single seeds", "range over the seeds", "held-out accuracy", ">epoch<"] {
            assert!(svg.contains(words), "{words}");
        }
    }

    /// A mean over the seeds that are left would hide that one is lost.
    #[test]
    fn a_lost_seed_ends_the_mean_and_is_counted() {
        let lost = history(4, |epoch| if epoch > 2.0 { f64::NAN } else { 0.5 });
        let svg = training_figure(&[("arm".into(), vec![history(4, |_| 0.5), lost])], None).unwrap();
        assert_eq!(circles(&svg).len(), 2 * 2 + 1);
        assert!(svg.contains("not finite, so not drawn: 6 of 24 values"));
        // Epochs that one seed lacks have no mean.
        let seeds = vec![history(5, |_| 0.5), history(3, |_| 0.5)];
        assert_eq!(circles(&training_figure(&[("arm".into(), seeds)], None).unwrap()).len(), 2 * 3 + 1);
    }

    /// Oracle: arithmetic: of 277 examples an accuracy of 0.56 is known to sqrt(0.56 · 0.44 / 276) = 0.0299; a band of that height
    /// around it. Catches the accuracy of one seed without an error, as it was. Names of arms stand at the ends of their curves.
    #[test]
    fn an_accuracy_of_one_seed_has_its_binomial_error() {
        let one = |accuracy: f64| {
            let mut history = history(2, |_| 0.7);
            history.metric = Some(("accuracy".to_owned(), vec![accuracy; 2]));
            History { examples: Some(277), ..history }
        };
        let arms = [("uniform".to_owned(), vec![one(0.56)]), ("guided".to_owned(), vec![one(0.56)])];
        let curves = &panels(&arms, Some("accuracy"))[1].1;
        let (_, low, high) = curves[0].draws.band[1];
        assert!((high - low - 2.0 * 0.029_879).abs() < 1e-5, "{low} {high}");
        let sure = [("uniform".to_owned(), vec![one(1.0 - 1e-4)])];
        assert_eq!(panels(&sure, Some("accuracy"))[1].1[0].draws.band[0].2, 1.0);
        let texts = assert_sound(&training_figure(&arms, None).unwrap());
        let place = |words: &str| texts.iter().find(|(text, _)| text == words).unwrap().1;
        let (first, second, epoch) = (place("uniform"), place("guided"), place("epoch"));
        assert!(
            (first[0] - second[0]).abs() < 1.5
                && first[0] > 400.0
                && first[3] < epoch[1]
                && second[3] < epoch[1]
        );
        assert!(texts.iter().filter(|(text, _)| text == "uniform").count() == 1, "no key besides");
    }

    /// Five arms have their means alone, on an axis of the means; four have single seeds and bands, and so have five that stand side
    /// by side: there is room, and means alone would look certain.
    #[test]
    fn of_many_arms_the_means_are_drawn() {
        let figure = |n: usize, epochs: usize| {
            let seeds = move |i: usize| {
                vec![history(epochs, |_| 0.2), history(epochs, move |_| 0.4 + 0.1 * i as f64)]
            };
            let arms: Vec<_> = (0..n).map(|i| (format!("arm {i}"), seeds(i))).collect();
            training_figure(&arms, None).unwrap()
        };
        let thin = "stroke-width=\".35\" stroke-linejoin";
        // Of held-out loss and metric each of two seeds, and one in the key.
        assert_eq!(figure(5, 1).matches(thin).count(), 5 * 2 * 2 + 1);
        let (few, many) = (figure(4, 3), figure(5, 3));
        assert!(few.contains(">single seeds<") && few.contains(thin));
        assert!(!many.contains(">single seeds<") && !many.contains(thin));
        // Nor have they training losses, which would take the room.
        assert!(few.contains(">training batches<") && !many.contains(">training batches<"));
        assert!(!many.contains("stroke-dasharray=\"2.4 1.6\"") && many.contains(">held-out loss<"));
        // The means of the five lie from 0.3 to 0.5.
        assert!(assert_sound(&many).iter().any(|(text, _)| text.starts_with("0.3")));
        assert!(!assert_sound(&many).iter().any(|(text, _)| text == "0.2"));
    }

    /// Oracle: the renderer's layout, from one epoch of one seed to 100 of ten in eight arms with long names; also
    /// without metric, with nothing finite, and at both widths. The same bytes twice.
    #[test]
    fn texts_keep_apart() {
        for (arms, seeds, epochs) in [(1, 1, 1), (8, 1, 1), (3, 3, 2), (2, 1, 3), (16, 2, 100)] {
            let seed = |i: usize| history(epochs, move |epoch| 1e-3 * i as f64 + 2.0 / (epoch + i as f64));
            let name = |i: usize| format!("arm {i} {}", "with a long name ".repeat(3 * i));
            let mut all: Vec<(String, Vec<History>)> =
                (0..arms).map(|i| (name(i), (0..seeds).map(|s| seed(s + i)).collect())).collect();
            for width in [None, Some(84.0)] {
                let svg = training_figure(&all, width).unwrap();
                assert_sound(&svg);
                assert_eq!(svg, training_figure(&all, width).unwrap());
            }
            all.iter_mut().flat_map(|(_, seeds)| seeds).for_each(|history| history.metric = None);
            assert_sound(&training_figure(&all, None).unwrap());
        }
        for value in [f64::NAN, f64::INFINITY, 0.0, -1e299, 1e308, 1e-310] {
            assert_sound(&training_figure(&[("arm".into(), vec![history(3, |_| value)])], None).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let arm = |metric: &str| {
            let mut history = history(2, |_| 0.5);
            history.metric = Some((metric.to_owned(), vec![0.5; 2]));
            (metric.to_owned(), vec![history])
        };
        let refused = |arms: &[(String, Vec<History>)]| training_figure(arms, None).unwrap_err().to_string();
        assert!(refused(&[]).contains("from 1 to 16"));
        assert!(refused(&vec![arm("accuracy"); 17]).contains("from 1 to 16"));
        assert!(refused(&[arm("accuracy"), arm("pearson")]).contains("must be accuracy, found pearson"));
        assert!(training_figure(&[arm("f1")], Some(30.0)).unwrap_err().to_string().contains("width_mm"));
    }

    #[test]
    fn histories_are_read_and_bad_ones_refused_by_file_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let header = "epoch,step,train_loss,held_out_loss,held_out_loss_se,matthews,accuracy\n";
        std::fs::write(&path, format!("{header}1,10,0.9,0.8,NaN,0.1,0.5\n2,20,inf,0.7,0.02,NaN,0.6\n"))
            .unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!((history.epochs, history.held_out), (vec![1.0, 2.0], vec![0.8, 0.7]));
        let (name, values) = history.metric.unwrap();
        assert!(name == "matthews" && values[0] == 0.1 && values[1].is_nan());
        assert_eq!([header, "site,score"].map(crate::figures::tests::named), [Some("training"), None]);
        for (text, field) in [
            (header.to_owned(), "`rows`"),
            (format!("{header}1,10,0.9,0.8,0.1,x,0.5\n"), "`matthews`"),
            (format!("{header}1,10,0.9\n"), "`row`"),
            (format!("{header}2,10,1,1,0,0,0\n1,20,1,1,0,0,0\n"), "`epoch`"),
            (format!("{header}NaN,10,1,1,0,0,0\n"), "`epoch`"),
            ("epoch,step\n1,2\n".to_owned(), "`header`"),
            (String::new(), "`header`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = History::read(&path).unwrap_err().to_string();
            assert!(message.contains("history.csv: ") && message.contains(field), "{message}");
        }
    }
}
