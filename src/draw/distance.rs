//! How far the loss rises with the distance from a trained model, as SVG: a panel for each model and a curve for each mask, all
//! on the same axes, which are logarithmic where the rises allow it.
//!
//! There a quadratic loss is a straight line of slope 2, and the height of a line says how much its parameters matter.
//!
//! The traps: a rise may be negative, which a logarithmic axis cannot show: it is left out and counted. Both sides of a model
//! rest on the same examples, so the error of their mean is not that of two independent numbers; the mean of the two errors,
//! which it cannot exceed, is drawn.
//!
//! Takes [`Profile`]s of rises whose titles are `model: mask`.

use crate::draw::axis::{self, drawable};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, CURVES, GREY, Look};
use crate::draw::draws::Draws;
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::{significant, with_error};
use crate::draw::panels::{Panel, PerRow, Span, counted, distinct, sheet};
use crate::draw::profile::{Draw, Profile};
use crate::draw::text::capital;
use crate::error::{Error, Result};

/// For readers of the file.
const DESCRIPTION: &str = "Rise of the loss above the trained model against the distance from it, the mean of both sides, evaluated at \
                           the marked distances only. Bands are the range over draws or, for one draw, ± a standard error.";

/// Rises of one model under one mask.
struct Curve {
    mask: String,
    /// Over the distances, ascending.
    rises: Draws,
}

/// The curves of one model, in the order given.
struct Model {
    title: String,
    curves: Vec<Curve>,
}

/// Figure and caption of rises against the distance; `words` are those of the axis across and of the upright one.
///
/// # Errors
///
/// [`Error::Field`] if a curve has no point but the model itself, if there are more than 16 masks, or if the width leaves no
/// room.
pub fn distance_figure(
    profiles: &[Profile],
    words: (&str, &str),
    width_mm: Option<f64>,
) -> Result<(String, String)> {
    let mut models: Vec<Model> = Vec::new();
    for profile in profiles {
        let (title, mask) = profile.title.split_once(": ").unwrap_or(("", &profile.title));
        let curve = Curve { mask: mask.to_owned(), rises: both_sides(profile)? };
        match models.iter_mut().find(|model| model.title == title) {
            Some(model) => model.curves.push(curve),
            None => models.push(Model { title: title.to_owned(), curves: vec![curve] }),
        }
    }
    let mut masks: Vec<&str> = Vec::new();
    for curve in models.iter().flat_map(|model| &model.curves) {
        if !masks.contains(&curve.mask.as_str()) {
            masks.push(&curve.mask);
        }
    }
    if !(1..=CURVES).contains(&masks.len()) {
        let fix = "draw fewer at a time";
        return Err(Error::field("figure", "masks", "from 1 to 16", masks.len(), fix));
    }
    let look = |mask: &str| Look::of_curve(masks.iter().position(|other| *other == mask).unwrap_or(0));
    let spans = spans(&models);
    let several = models.iter().flat_map(|model| &model.curves).any(|curve| !curve.rises.single.is_empty());
    let is_quadratic_straight = matches!(spans, Some((_, Span::Logarithmic(..))));
    let panels: Vec<Panel> = models.iter().map(|model| panel(model, spans.clone(), words, &look)).collect();
    let mut entries: Vec<Entry> = masks.iter().map(|mask| Entry::line_of(look(mask), *mask)).collect();
    entries.push(Entry::band(if several { "range over draws" } else { "± standard error" }));
    if is_quadratic_straight {
        entries.push(Entry::line(curves::dashed, GREY, "as the square of the distance"));
    }
    let usual = [84.0, 129.0, 174.0][models.len().clamp(1, 3) - 1];
    let columns = PerRow { wide: 3, narrow: 1 };
    let svg = sheet(&panels, columns, width_mm.unwrap_or(usual), entries, DESCRIPTION)?;
    Ok((svg, caption(&models, words.1)))
}

/// The mean of the rises at both ends of each distance, of each draw.
fn both_sides(profile: &Profile) -> Result<Draws> {
    let draws: Vec<Vec<(f64, f64, f64)>> = profile.draws.iter().map(at_distances).collect();
    if draws.iter().all(Vec::is_empty) {
        let place = format!("profile {:?}", profile.title);
        let fix = "make it with `fisherscape surface --profile`";
        return Err(Error::field(place, "x", "points on both sides of the model at 0", "none", fix));
    }
    let points = |draw: &Vec<(f64, f64, f64)>| draw.iter().map(|at| (at.0, at.1)).collect();
    let mut rises = Draws::new(draws.iter().map(points).collect());
    if let [draw] = &draws[..] {
        rises.band = draw.iter().map(|&(r, rise, se)| (r, rise - se, rise + se)).collect();
    }
    Ok(rises)
}

/// (distance, rise, at most its standard error) of a draw, ascending: of distances that have points on both sides.
fn at_distances(draw: &Draw) -> Vec<(f64, f64, f64)> {
    let at = |x: f64| draw.x.iter().position(|other| (other - x).abs() <= 1e-9 * x.abs());
    let of = |r: f64| {
        let (left, right) = (at(-r)?, at(r)?);
        let se = |i: usize| draw.rise_se.as_ref().map_or(f64::NAN, |se| se[i]);
        Some((r, (draw.loss[left] + draw.loss[right]) / 2.0, (se(left) + se(right)) / 2.0))
    };
    distinct(draw.x.iter().copied().filter(|x| *x > 0.0)).into_iter().filter_map(of).collect()
}

/// Axes for all panels.
fn spans(models: &[Model]) -> Option<(Span, Span)> {
    let means = || models.iter().flat_map(|model| &model.curves).flat_map(|curve| &curve.rises.mean);
    let rises: Vec<f64> = means().map(|point| point.1).collect();
    Span::logarithmic(means().map(|point| point.0)).zip(Span::suited(&rises))
}

fn panel<'a>(
    model: &'a Model,
    spans: Option<(Span, Span)>,
    words: (&'a str, &'a str),
    look: &'a dyn Fn(&str) -> Look,
) -> Panel<'a> {
    let upright = spans.as_ref().map(|(_, y)| y.clone());
    let has_place = move |v: f64| upright.as_ref().is_some_and(|y| y.shows(v));
    let lost = model.curves.iter().flat_map(|curve| &curve.rises.mean).filter(|at| !has_place(at.1)).count();
    let words_of_lost = match &spans {
        Some((_, Span::Logarithmic(..))) => "not above 0",
        _ => "not finite",
    };
    let notes = (lost > 0).then(|| format!("{} {words_of_lost}", counted(lost, "rise")));
    let straight = matches!(spans, Some((_, Span::Logarithmic(..))));
    Panel {
        title: model.title.clone(),
        notes: notes.into_iter().collect(),
        spans,
        words,
        draw: Box::new(move |canvas, plot| {
            let shown = |v: f64| if has_place(v) { v } else { f64::NAN };
            let top = model.curves.iter().max_by(|a, b| a.last().total_cmp(&b.last()));
            if straight && let Some(curve) = top {
                square(canvas, plot, &curve.rises.mean);
            }
            for curve in &model.curves {
                let (rises, look) = (&curve.rises, look(&curve.mask));
                // The lower edge of a band may lie at 0 or below, where a logarithmic axis has no place.
                let edge = |&(r, low, high): &(f64, f64, f64)| (r, low.max(plot.y.low), high);
                let band: Vec<_> = rises.band.iter().map(edge).collect();
                for piece in band.split(|&(_, low, high)| !(drawable(low) && drawable(high) && low <= high)) {
                    plot.band(canvas, piece, look.colour);
                }
                let mean: Vec<Point> = rises.mean.iter().map(|&(r, v)| (r, shown(v))).collect();
                plot.pieces(&mean).iter().for_each(|piece| look.line(canvas, piece));
                let placed = mean.iter().filter(|at| drawable(at.1) && plot.y.holds(at.1));
                placed.for_each(|&(r, v)| look.marker(canvas, plot.at(r, v)));
            }
        }),
    }
}

impl Curve {
    /// The rise at the largest distance.
    fn last(&self) -> f64 {
        self.rises.mean.last().map_or(f64::NEG_INFINITY, |at| at.1)
    }
}

/// A line of slope 2 through the first point of a curve that has a place, as far as the axes reach.
fn square(canvas: &Canvas, plot: &Plot, curve: &[Point]) {
    let Some(&(r, rise)) = curve.iter().find(|at| drawable(at.1) && at.1 > 0.0) else { return };
    let at = |to: f64| (to, rise * (to / r).powi(2));
    let ends: Vec<Point> = [plot.x.low, plot.x.high].map(at).to_vec();
    plot.pieces(&ends).iter().for_each(|piece| curves::dashed(canvas, piece, GREY));
}

/// The rises at the largest distance, model by model.
fn caption(models: &[Model], label: &str) -> String {
    let mut words =
        format!("{} against the distance from the model, the mean of both sides.", capital(label));
    for model in models {
        let Some(far) = axis::range(model.curves.iter().filter_map(|curve| Some(curve.rises.mean.last()?.0)))
        else {
            continue;
        };
        let of = |curve: &Curve| {
            let at = curve.rises.mean.iter().position(|at| at.0 == far.1)?;
            let rise = curve.rises.mean[at].1;
            let half = curve.rises.band.get(at).map(|(_, low, high)| (high - low) / 2.0);
            let half = half.filter(|half| half.is_finite() && curve.rises.single.is_empty());
            let number = match half.map(|half| with_error(rise, half)) {
                Some((rise, half)) => format!("{rise} ± {half}"),
                None => significant(rise, 3),
            };
            Some(format!("{} {number}", curve.mask))
        };
        let rises: Vec<String> = model.curves.iter().filter_map(of).collect();
        let name = if model.title.is_empty() { "at".into() } else { format!("{}, at", model.title) };
        words += &format!(" {name} distance {}: {}.", significant(far.1, 3), rises.join(", "));
    }
    words + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    /// A loss that rises as `height` r^`power`, on both sides, a little more on the right.
    fn profile(title: &str, height: f64, power: i32) -> Profile {
        let x: Vec<f64> = vec![-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0];
        let side = |x: f64| if x > 0.0 { 1.2 } else { 0.8 };
        let loss = x.iter().map(|x| side(*x) * height * x.abs().powi(power)).collect();
        let rise_se = Some(x.iter().map(|x| 0.1 * height * x.abs()).collect());
        let draw = Draw { x, loss, loss_se: None, rise_se, metric: None };
        Profile { title: title.into(), draws: vec![draw] }
    }

    const WORDS: (&str, &str) = ("distance (a)", "rise of loss (nats)");

    /// Oracle: on paper: the mean of both sides of 0.5 r² is 0.5 at 1 and 0.125 at ½; masks that are 25 times apart lie so on
    /// the paper, at every distance alike; the error of a mean is at most the mean of the errors.
    #[test]
    fn a_quadratic_is_straight_and_masks_keep_their_ratio() {
        let profiles =
            [profile("u: all", 0.5, 2), profile("u: random 1 %", 0.02, 2), profile("g: all", 0.4, 2)];
        let draws = both_sides(&profiles[0]).unwrap();
        assert_eq!(draws.mean.iter().map(|at| at.0).collect::<Vec<_>>(), [0.25, 0.5, 1.0]);
        assert!((draws.mean[2].1 - 0.5).abs() < 1e-12 && (draws.mean[1].1 - 0.125).abs() < 1e-12);
        assert!((draws.band[2].2 - 0.55).abs() < 1e-12);
        let (svg, caption) = distance_figure(&profiles, WORDS, None).unwrap();
        let texts = assert_sound(&svg);
        for word in ["u", "g", "all", "random 1 %", "as the square of the distance"] {
            assert!(texts.iter().any(|(text, _)| text == word), "{word}");
        }
        assert!(caption.starts_with("Rise of loss (nats) against"), "{caption}");
        assert!(
            caption.contains("u, at distance 1: all 0.500 ± 0.050, random 1 % 0.0200 ± 0.0020."),
            "{caption}"
        );
        let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).collect();
        let at = |i: usize| (attribute(circles[i], "cx"), attribute(circles[i], "cy"));
        let slope = |i: usize| (at(i + 1).1 - at(i).1) / (at(i + 1).0 - at(i).0);
        assert!((slope(0) - slope(1)).abs() < 0.02 && slope(0) < 0.0);
    }

    /// Oracle: counting. A rise below 0 among many is left out and counted; among few the axis has a place for it. Titles without a
    /// model are one panel; more than one draw has its range.
    #[test]
    fn what_has_no_place_is_counted() {
        let mut wobbly = profile("u: all", 0.5, 2);
        wobbly.draws[0].loss[1] = -1.0;
        let other = |i: usize| profile(&format!("u: {i}"), 0.01 * (i + 1) as f64, 2);
        let many: Vec<Profile> = (0..5).map(other).chain([wobbly.clone()]).collect();
        let (svg, _) = distance_figure(&many, WORDS, Some(84.0)).unwrap();
        assert_sound(&svg);
        assert!(svg.contains("1 rise not above 0"));
        let (svg, _) = distance_figure(&[wobbly], WORDS, Some(84.0)).unwrap();
        assert!(!svg.contains("not above 0") && !svg.contains("as the square"));
        let mut draws = profile("all", 0.5, 2);
        draws.draws.push(profile("all", 0.7, 2).draws.remove(0));
        let (svg, caption) = distance_figure(&[draws], WORDS, None).unwrap();
        assert!(
            svg.contains("range over draws") && caption.contains(" at distance 1: all 0.6."),
            "{caption}"
        );
    }

    #[test]
    fn bad_profiles_are_refused() {
        let mut one_sided = profile("all", 0.5, 2);
        let draw = &mut one_sided.draws[0];
        (draw.x, draw.loss, draw.rise_se) = (vec![0.0, 1.0], vec![0.0, 1.0], None);
        let message = distance_figure(&[one_sided], WORDS, None).unwrap_err().to_string();
        assert!(message.contains("on both sides of the model"), "{message}");
        let many: Vec<Profile> = (0..17).map(|i| profile(&i.to_string(), 1.0, 2)).collect();
        assert!(distance_figure(&many, WORDS, None).unwrap_err().to_string().contains("masks"));
    }
}
