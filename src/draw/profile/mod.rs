//! Loss along a line in parameter space, one or more curves, as SVG; below it the task's chief metric, where the files
//! have one.
//!
//! Files of one title are draws (directions, masks, seeds) of one curve: a thick mean, the range as a band, each draw
//! as a thin line (`draws`). A curve of one draw has a standard error as a band instead: of its loss or, where rises above the
//! model at 0 are drawn ([`rises`]), of the difference from that, example by example. A loss that
//! is not finite breaks the line, and one above [`Style::clip`] leaves the frame: both are marked at the upper edge and
//! counted in the key.
//!
//! The trap: draws of one curve must have the same coordinates, or their mean would be of other draws at each of them.
//! Curves may have coordinates of their own.
//!
//! Takes the columns of surfaces with a single y; [`crate::draw::marks`] are upright lines with names above the frame.

mod flags;

use self::flags::Flags;
use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Canvas, PT_PER_MM, Point, path_data, short};
use crate::draw::contour::{Spacing, Style};
use crate::draw::counts::Counts;
use crate::draw::curves::{self, CURVES, GREY, Look};
use crate::draw::draws::Draws;
use crate::draw::frame::{self, BELOW, EDGE, LINE, Plot};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::marks::{self, Marks};
use crate::draw::numbers::{significant, with_error};
use crate::draw::text::{self, TEXT};
use crate::error::{Error, Result};

/// Markers on a curve, about; heights of the panels over their width, and the most of them, pt.
const MARKERS: usize = 10;
const ASPECT: [f64; 2] = [0.66, 0.4];
const HIGHEST: [f64; 2] = [190.0, 115.0];
/// Between panels, pt.
const GAP: f64 = 7.0;
/// Between the marks of curves at the upper edge, pt.
const ROW: f64 = 4.6;

/// For readers of the file.
const DESCRIPTION: &str = "Losses were evaluated at the coordinates of the files only; lines between them are straight. \
                           Thick lines are means over draws, thin ones single draws, bands the range over draws or, for \
                           one draw, ± a standard error.";

/// One file: a loss for each coordinate.
#[derive(Clone, Debug)]
pub struct Draw {
    /// Ascending.
    pub x: Vec<f64>,
    /// May hold NaN and infinities.
    pub loss: Vec<f64>,
    /// Standard errors of the losses, and of the losses less that at 0, where known.
    pub loss_se: Option<Vec<f64>>,
    pub rise_se: Option<Vec<f64>>,
    /// The task's chief one, where the file has it.
    pub metric: Option<Metric>,
}

/// A metric at each coordinate.
#[derive(Clone, Debug)]
pub struct Metric {
    pub name: String,
    pub values: Vec<f64>,
    /// Standard errors, where known; of a share it may reach beyond what can be, and is cut there.
    pub se: Option<Vec<f64>>,
}

/// A curve: draws of one title.
#[derive(Clone, Debug)]
pub struct Profile {
    pub title: String,
    pub draws: Vec<Draw>,
}

impl Draw {
    /// Standard errors of the losses, or of rises.
    fn se(&self, rise: bool) -> Option<&Vec<f64>> {
        if rise { self.rise_se.as_ref() } else { self.loss_se.as_ref() }
    }

    fn metric_se(&self) -> Option<&Vec<f64>> {
        self.metric.as_ref()?.se.as_ref()
    }

    /// The loss less that at 0, if that was evaluated and is finite.
    pub(crate) fn rise(&self) -> Option<Draw> {
        let zero = self.x.iter().position(|x| *x == 0.0)?;
        let centre = self.loss.get(zero).filter(|loss| loss.is_finite())?;
        Some(Draw { loss: self.loss.iter().map(|loss| loss - centre).collect(), ..self.clone() })
    }
}

/// The curves as rises above the trained model at 0; none where `marks` say that something else is there, or a draw has no
/// finite loss there.
pub fn rises(profiles: &[Profile], marks: &Marks) -> Option<Vec<Profile>> {
    let rises = |profile: &Profile| {
        let draws = profile.draws.iter().map(Draw::rise).collect::<Option<_>>()?;
        Some(Profile { title: profile.title.clone(), draws })
    };
    if marks.name_origin() { None } else { profiles.iter().map(rises).collect() }
}

impl Profile {
    /// Files of one title as one curve, in the order in which titles come first.
    pub fn gathered(files: impl IntoIterator<Item = (String, Draw)>) -> Vec<Profile> {
        let mut profiles: Vec<Profile> = Vec::new();
        for (title, draw) in files {
            match profiles.iter_mut().find(|profile| profile.title == title) {
                Some(profile) => profile.draws.push(draw),
                None => profiles.push(Profile { title, draws: vec![draw] }),
            }
        }
        profiles
    }
}

/// The figure of `profiles` as SVG text, by default 84 mm wide. Of `options` it takes the width, the texts of the axes,
/// the spacing, the clip and the dots.
///
/// The same profiles and options give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if there are not from 1 to 16 curves, if draws of a curve differ in their coordinates or files in
/// their chief metric, if [`Spacing::Log`] meets a loss that is not positive, if no loss is finite and below the clip,
/// or if the width leaves no room.
pub fn profile_figure(profiles: &[Profile], marks: &Marks, options: &Style) -> Result<String> {
    check(profiles, options)?;
    let mut panels = panels(profiles, options)?;
    let width_mm = options.width_mm.unwrap_or(84.0);
    let width = width_mm * PT_PER_MM;
    let beside = LINE + axis::numbers_width(panels.iter().map(|panel| &panel.y));
    let side = frame::panel_width(width_mm, 1, 2.0 * EDGE + beside)?;
    let left = EDGE + beside;
    let (first, last) = x_range(profiles);
    let x = Axis::across(first, last, 0.0, side);

    let across = Plot { corner: (left, 0.0), size: (side, 0.0), x: &x, y: &x };
    let flags = Flags::new(marks, &x, |v| across.at(v, 0.0).0, (EDGE, width - EDGE));
    let top = EDGE + flags.height();
    let heights = [0, 1].map(|i| HIGHEST[i].min(ASPECT[i] * side));
    for (panel, height) in panels.iter_mut().zip(heights) {
        panel.y = panel.y.clone().thinned_upright(height);
    }
    let corner = |i: usize| (left, top + heights[..i].iter().sum::<f64>() + GAP * i as f64);
    let bottom = corner(panels.len() - 1).1 + heights[panels.len() - 1];
    let foot = bottom + BELOW + LINE;
    let entries = entries(profiles, marks, options, &flags, x.holds(0.0));
    let sheet = Sheet::new(width, (left, foot), entries, SIGN);
    let canvas = &sheet.canvas;
    let places: Vec<f64> = marks.points.iter().map(|mark| mark.x).chain([0.0]).collect();
    for (i, panel) in panels.iter().enumerate() {
        let plot = Plot { corner: corner(i), size: (side, heights[i]), x: &x, y: &panel.y };
        plot.axes(canvas, i + 1 == panels.len(), true);
        if x.holds(0.0) && !flags.name_zero {
            model_line(canvas, plot.upright(0.0));
        }
        flags.lines(canvas, &plot);
        panel.draw(canvas, &plot, &looks(profiles, options), &places, options.dots);
        plot.words_upright(canvas, &panel.label, left - beside);
    }
    flags.names(canvas, top);
    let em = text::fitting(&options.x_label, TEXT, side);
    let below = (left + side / 2.0, bottom + BELOW + 0.9 * TEXT);
    canvas.centred(&options.x_label, below, em);
    Ok(sheet.finish(DESCRIPTION))
}

fn check(profiles: &[Profile], options: &Style) -> Result<()> {
    let wrong =
        |field, expected: &str, found: String, fix| Error::field("figure", field, expected, found, fix);
    if !(1..=CURVES).contains(&profiles.len()) || profiles.iter().any(|profile| profile.draws.is_empty()) {
        let found = profiles.len().to_string();
        return Err(wrong(
            "curves",
            "from 1 to 16, with a file each",
            found,
            "give one title to draws of one curve",
        ));
    }
    let metric = |draw: &Draw| draw.metric.as_ref().map_or("none".to_owned(), |metric| metric.name.clone());
    let expected = metric(&profiles[0].draws[0]);
    for profile in profiles {
        let x = &profile.draws[0].x;
        for draw in &profile.draws {
            let place = format!("profile {:?}", profile.title);
            if draw.x.len() < 2 || !draw.x.is_sorted_by(|a, b| a < b) || !draw.x.iter().all(|v| drawable(*v))
            {
                let expected = "two or more ascending, finite coordinates";
                return Err(Error::field(place, "x", expected, format!("{:?}", draw.x), "sort them"));
            }
            let of_metric = draw.metric.iter().flat_map(|metric| [Some(&metric.values), metric.se.as_ref()]);
            let others = [Some(&draw.loss), draw.loss_se.as_ref(), draw.rise_se.as_ref()];
            let values = of_metric.chain(others).flatten();
            if let Some(short) = values.map(Vec::len).find(|len| *len != draw.x.len()) {
                let expected = format!("{} values", draw.x.len());
                return Err(Error::field(place, "loss", expected, short, "give one for each coordinate"));
            }
            if draw.x != *x {
                let fix = "give curves with other coordinates a title of their own";
                return Err(Error::field(place, "x", "the same in each draw", "others", fix));
            }
            let found = metric(draw);
            if found != expected {
                return Err(wrong("chief metric", &expected, found, "draw one task at a time"));
            }
            let log = options.is_log();
            if let Some(&v) = draw.loss.iter().find(|&&v| log && v.is_finite() && v <= 0.0) {
                return Err(Error::field(
                    place,
                    "loss",
                    "positive for a logarithmic axis",
                    v,
                    "use a linear one",
                ));
            }
        }
    }
    Ok(())
}

fn draws(profiles: &[Profile]) -> impl Iterator<Item = &Draw> {
    profiles.iter().flat_map(|profile| &profile.draws)
}

fn x_range(profiles: &[Profile]) -> (f64, f64) {
    axis::range(draws(profiles).flat_map(|draw| draw.x.iter().copied())).unwrap_or((0.0, 1.0))
}

/// A quantity of a file.
type Values = fn(&Draw) -> &[f64];

/// One quantity of all curves.
struct Panel {
    label: String,
    y: Axis,
    curves: Vec<Draws>,
    /// Of each curve, the x at which a draw is not finite, and at which one is clipped.
    lost: Vec<Vec<f64>>,
    clipped: Vec<Vec<f64>>,
}

/// The loss and, where there is one, the chief metric.
fn panels(profiles: &[Profile], options: &Style) -> Result<Vec<Panel>> {
    let of = |profile: &Profile, values: Values| -> Draws {
        let points = |draw: &Draw| draw.x.iter().copied().zip(values(draw).iter().copied()).collect();
        Draws::new(profile.draws.iter().map(points).collect())
    };
    let loss: Values = |draw| &draw.loss;
    let metric: Values = |draw| draw.metric.as_ref().map_or(&[], |metric| &metric.values);
    let mut losses: Vec<Draws> = profiles.iter().map(|profile| of(profile, loss)).collect();
    for (profile, curve) in profiles.iter().zip(&mut losses) {
        if let ([draw], Some(se)) = (profile.draws.as_slice(), profile.draws[0].se(options.rise)) {
            curve.band = band(&draw.x, &draw.loss, se);
        }
    }
    let y = loss_axis(&losses, options)?;
    // The lower edge of a band may lie at 0 or below, where a logarithmic axis has no place.
    let edges = losses.iter_mut().flat_map(|curve| &mut curve.band);
    edges.filter(|edge| edge.1 < y.low).for_each(|edge| edge.1 = y.low);
    let clip = options.clip.unwrap_or(f64::INFINITY);
    let mut panels = vec![Panel::new(options.loss_label.clone(), y, losses, profiles, loss, clip)];
    if let Some(Metric { name, .. }) = &profiles[0].draws[0].metric {
        let mut curves: Vec<Draws> = profiles.iter().map(|profile| of(profile, metric)).collect();
        for (profile, curve) in profiles.iter().zip(&mut curves) {
            if let ([draw], Some(se)) = (profile.draws.as_slice(), profile.draws[0].metric_se()) {
                curve.band = band(&draw.x, metric(draw), se);
                // What can be: the error of a share near 0 or 1 reaches beyond.
                curve.band.iter_mut().for_each(|edge| (edge.1, edge.2) = (edge.1.max(0.0), edge.2.min(1.0)));
            }
        }
        let (low, high) = axis::range(curves.iter().flat_map(Draws::values)).unwrap_or((0.0, 1.0));
        // Two numbers at least: with one there is no scale.
        let y = Axis::linear(low, high, 4, 0.0).cut_to(low, high);
        let y =
            if y.ticks.len() > 1 { y } else { Axis::finest(low, high, 0.0, |axis| axis.ticks.len() <= 5) };
        panels.push(Panel::new(name.replace('_', " "), y, curves, profiles, metric, f64::INFINITY));
    }
    Ok(panels)
}

/// (x, low, high) of values ± their standard errors.
fn band(x: &[f64], values: &[f64], se: &[f64]) -> Vec<(f64, f64, f64)> {
    let edge = |((&x, v), se): ((&f64, &f64), &f64)| (x, v - se, v + se);
    x.iter().zip(values).zip(se).map(edge).collect()
}

/// From the lowest loss to the highest or the clip.
fn loss_axis(losses: &[Draws], options: &Style) -> Result<Axis> {
    let log = options.is_log();
    let values = losses.iter().flat_map(Draws::values).filter(|v| !log || *v > 0.0);
    let Some((low, mut high)) = axis::range(values) else {
        let fix = "the model has diverged, or the line reaches too far: lower the learning rate, or the span";
        return Err(Error::field("figure", "loss", "finite at one point at least", "none", fix));
    };
    if let Some(clip) = options.clip {
        let points = losses.iter().flat_map(|curve| curve.single.iter().flatten().chain(&curve.mean));
        let lowest = axis::range(points.map(|point| point.1)).map_or(low, |(lowest, _)| lowest);
        if clip.is_nan() || clip <= lowest {
            let fix = "choose a higher one, or leave it out";
            return Err(Error::field(
                "figure",
                "clip",
                format!("above the lowest loss, {lowest}"),
                clip,
                fix,
            ));
        }
        high = high.min(clip);
    }
    Ok(match options.spacing {
        Spacing::Log if options.rise => Axis::symmetric(low, high, high.abs().max(low.abs()) / 100.0, 5),
        Spacing::Log => Axis::logarithmic(low, high, 5),
        Spacing::Linear | Spacing::Decades => Axis::linear(low, high, 6, 0.0).cut_to(low, high),
    })
}

impl Panel {
    fn new(
        label: String,
        y: Axis,
        curves: Vec<Draws>,
        profiles: &[Profile],
        values: Values,
        clip: f64,
    ) -> Panel {
        let at = |is: &dyn Fn(f64) -> bool| -> Vec<Vec<f64>> {
            let any = |profile: &Profile, i: usize| profile.draws.iter().any(|draw| is(values(draw)[i]));
            let xs = |profile: &Profile| {
                let all = profile.draws[0].x.iter().enumerate();
                all.filter(|&(i, _)| any(profile, i)).map(|(_, x)| *x).collect()
            };
            profiles.iter().map(xs).collect()
        };
        let (lost, clipped) = (at(&|v| !drawable(v)), at(&|v| drawable(v) && v > clip));
        Panel { label, y, curves, lost, clipped }
    }

    fn draw(&self, canvas: &Canvas, plot: &Plot, looks: &[Look], places: &[f64], dots: bool) {
        for (look, curve) in looks.iter().zip(&self.curves) {
            curve.areas(canvas, plot, look.colour);
        }
        for (look, curve) in looks.iter().zip(&self.curves) {
            let pieces = plot.pieces(&curve.mean);
            pieces.iter().for_each(|piece| look.line(canvas, piece));
            let stride = if dots { 1 } else { curve.mean.len().div_ceil(MARKERS).max(1) };
            // The places that have a name are marked whatever the stride.
            let named = |x: f64| places.iter().any(|place| (x - place).abs() < 1e-9);
            let every = curve.mean.iter().enumerate();
            let shown =
                every.filter(|(i, (x, v))| (i % stride == 0 || named(*x)) && drawable(*v)).map(|(_, p)| p);
            let alone = pieces.iter().filter(|piece| piece.len() == 1).map(|piece| piece[0]);
            let markers = shown.map(|&(x, v)| plot.at(x, v)).filter(|at| at.1 >= plot.top()).chain(alone);
            markers.for_each(|at| look.marker(canvas, at));
        }
        let marked = |i: &usize| !(self.lost[*i].is_empty() && self.clipped[*i].is_empty());
        for (row, i) in (0..self.curves.len()).filter(marked).enumerate() {
            let at = |x: f64| (plot.at(x, 0.0).0, plot.corner.1 + 2.6 + ROW * row as f64);
            self.lost[i].iter().for_each(|x| lost(canvas, at(*x), looks[i].colour));
            self.clipped[i].iter().for_each(|x| clipped(canvas, at(*x), looks[i].colour));
        }
    }
}

/// Around trained models the curves are arms, between models they are not.
fn looks(profiles: &[Profile], options: &Style) -> Vec<Look> {
    let count = profiles.len();
    let look = |i| if options.rise { Look::of_arm(i, count) } else { Look::of_curve(i) };
    (0..count).map(look).collect()
}

/// The trained model's place.
fn model_line(canvas: &Canvas, ends: [Point; 2]) {
    canvas.path(&path_data(&ends, false), "stroke=\"#777\" stroke-width=\".5\"");
}

/// A value that is not finite.
fn lost(canvas: &Canvas, (x, y): Point, colour: &str) {
    const ARM: f64 = 1.5;
    let (left, top, bottom, side) = (short(x - ARM), short(y - ARM), short(y + ARM), short(2.0 * ARM));
    let d = format!("M{left} {top}l{side} {side}M{left} {bottom}l{side}-{side}");
    canvas.path(&d, &format!("stroke=\"{colour}\" stroke-width=\".8\""));
}

/// A value above the clip.
fn clipped(canvas: &Canvas, (x, y): Point, colour: &str) {
    let corners = [(x, y - 1.9), (x + 1.9, y + 1.4), (x - 1.9, y + 1.4)];
    canvas.path(&path_data(&corners, true), &format!("fill=\"{colour}\""));
}

/// What the signs mean, only those that occur.
fn entries(
    profiles: &[Profile],
    marks: &Marks,
    options: &Style,
    flags: &Flags,
    zero: bool,
) -> Vec<Entry<'static>> {
    let mut entries = Vec::new();
    for (look, Profile { title, draws }) in looks(profiles, options).into_iter().zip(profiles) {
        let words = match draws.len() {
            1 => title.clone(),
            n => format!("{title} (mean of {n})"),
        };
        entries.push(Entry::line_of(look, words));
    }
    if profiles.iter().any(|profile| profile.draws.len() > 1) {
        entries.push(Entry::line(curves::thin, GREY, "single draws"));
        entries.push(Entry::band("range over the draws"));
    }
    if let Some(what) = what_bands_are(profiles, options) {
        let several = profiles.iter().any(|profile| profile.draws.len() > 1);
        let words = if several { "one draw: ± standard error" } else { "± standard error" };
        let words = format!("{words} of the {what}");
        entries.push(Entry::band(options.band_words.map_or(words, str::to_owned)));
    }
    if options.dots {
        entries.push(Entry::note("markers: all evaluated points"));
    }
    if zero && !flags.name_zero {
        let sign = |canvas: &Canvas, (x, y): Point| model_line(canvas, [(x, y - 3.5), (x, y + 3.5)]);
        entries.push(Entry::new(sign, "trained model (at 0)"));
    }
    let counts = Counts::of(draws(profiles).flat_map(|draw| &draw.loss), options.clip);
    if let Some(words) = counts.clipped_words() {
        entries.push(Entry::new(|canvas, at| clipped(canvas, at, GREY), words));
    }
    let metrics = draws(profiles).filter_map(|draw| draw.metric.as_ref()).flat_map(|metric| &metric.values);
    let all = Counts::of(draws(profiles).flat_map(|draw| &draw.loss).chain(metrics), None);
    if all.lost > 0 {
        let words = format!("not finite: {} of {} values", all.lost, all.points);
        entries.push(Entry::new(|canvas, at| lost(canvas, at, GREY), words));
    }
    entries.extend(flags.outside());
    entries.extend(marks::projected([marks].into_iter()).map(Entry::note));
    entries
}

/// Of what the curves of one draw have standard errors.
fn what_bands_are(profiles: &[Profile], options: &Style) -> Option<&'static str> {
    let single = |profile: &&Profile| profile.draws.len() == 1;
    let first = |profile: &Profile| profile.draws.first().cloned();
    let mut draws = profiles.iter().filter(single).filter_map(first);
    match draws.clone().any(|draw| draw.se(options.rise).is_some()) {
        true if options.rise => Some("rise, paired by example"),
        true => Some("loss"),
        false => draws.any(|draw| draw.metric_se().is_some()).then_some("accuracy"),
    }
}

/// The figure in words for a paper: what is drawn and the numbers of each curve.
pub fn caption(profiles: &[Profile], options: &Style) -> String {
    let (first, last) = x_range(profiles);
    let [low, high] = [first, last].map(|v| significant(v, 4));
    let scale = if options.spacing == Spacing::Log { "logarithmic" } else { "linear" };
    let of_model = if options.rise { " A rise is the loss less that of the model at 0." } else { "" };
    let label = &options.loss_label;
    let mut out = format!(
        "{} against {} from {low} to {high}, on a {scale} axis.{of_model}",
        text::capital(label),
        options.x_label
    );
    for Profile { title, draws } in profiles {
        let losses = draws.iter().flat_map(|draw| &draw.loss);
        let counts = Counts::of(losses.clone(), options.clip);
        let points = draws[0].x.len();
        out += &match draws.len() {
            1 => format!(" {title}: {points} points"),
            n => format!(" {title}: {n} draws of {points} points each"),
        };
        let zero = draws[0].x.iter().position(|x| *x == 0.0);
        if let Some(i) = zero.filter(|_| !options.rise) {
            let at_zero: Vec<f64> = draws.iter().map(|draw| draw.loss[i]).collect();
            let value = significant(crate::stats::mean(&at_zero), 4);
            out += &match (draws.as_slice(), draws[0].se(false)) {
                ([_], Some(se)) => {
                    let (value, se) = with_error(at_zero[0], se[i]);
                    format!(", {value} ± {se} (standard error) at 0")
                }
                ([_], None) => format!(", {value} at 0"),
                _ => format!(", mean {value} at 0"),
            };
        }
        if let Some((low, high)) = axis::range(losses.copied()) {
            out += &format!(", from {} to {}", significant(low, 4), significant(high, 4));
        }
        if counts.lost > 0 {
            out += &format!(", {} not finite", counts.lost);
        }
        if counts.clipped > 0 {
            out += &format!(
                ", {} above the clip at {}",
                counts.clipped,
                significant(options.clip.unwrap_or(0.0), 4)
            );
        }
        out.push('.');
    }
    if let Some(Metric { name, .. }) = &profiles[0].draws[0].metric {
        out += &format!(" Below: {}.", name.replace('_', " "));
    }
    if profiles.iter().any(|profile| profile.draws.len() > 1) {
        out += " Thick lines are means over the draws, where all are finite; thin lines are single draws, bands their range.";
    }
    if let Some(what) = what_bands_are(profiles, options) {
        out += &format!(" Bands around curves of one draw are ± the standard error of the {what}.");
    }
    out + " Lines between evaluated points are interpolated.\n"
}

#[cfg(test)]
mod tests;
