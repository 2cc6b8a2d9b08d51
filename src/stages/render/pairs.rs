//! Figures of losses example by example, which `surface --per-example` keeps beside a surface: the difference of two surfaces
//! with what is shown of it, and how far the loss between two models lies above the straight line.

use std::path::Path;

use super::Render;
use super::drawn::Drawn;
use crate::draw::colour::ColourMap;
use crate::draw::contour::{Panel, Spacing, Style, contour_figure};
use crate::draw::marks::Marks;
use crate::draw::numbers::significant;
use crate::draw::profile::{Draw, Profile, profile_figure};
use crate::draw::text::capital;
use crate::error::{Error, Result};
use crate::landscape::rise::{ByExample, examples_path};
use crate::page::interactive::View;
use crate::provenance::Provenance;
use crate::stats::max_t::Differences;

/// The chance that a figure without a difference shows none.
const LEVEL: f64 = 0.95;

impl Render {
    /// Each surface of the second half less that of the first half in its place.
    pub(super) fn difference(&self, provenance: &mut Provenance) -> Result<Drawn> {
        let views = self.views(provenance)?;
        if views.is_empty() || views.len() % 2 == 1 {
            let fix = "give the surfaces of one model, then those of the other in the same order";
            return Err(Error::field("--difference", "surfaces", "an even number", views.len(), fix));
        }
        let half = views.len() / 2;
        let titles: Vec<String> = (0..half).map(|i| minus(&views[i].title, &views[half + i].title)).collect();
        let shared = shared(&titles);
        let mut caption = String::new();
        let mut panels = Vec::new();
        let mut counts = Vec::new();
        for (i, title) in titles.iter().enumerate() {
            let (first, second) = (&self.surfaces[i], &self.surfaces[half + i]);
            let found = differences(first, second, provenance)?;
            let (shown, points) = (found.shown(), found.value.len());
            let title = title.strip_prefix(&shared).unwrap_or(title).to_owned();
            caption += &format!(
                " {title}: {shown} of {points} points differ, beyond |T| = {}; differences from {} to {}.",
                significant(found.critical, 3),
                significant(found.value.iter().copied().fold(f64::INFINITY, f64::min), 2),
                significant(found.value.iter().copied().fold(f64::NEG_INFINITY, f64::max), 2),
            );
            let note = format!("{shown} of {points} points differ");
            counts.push((title.clone(), shown, points));
            panels.push(panel(title, &views[i], found, note)?);
        }
        let between = shared.trim_end_matches(": ");
        let label = match between {
            "" => format!("difference of rises, {}", self.label),
            between => format!("rise, {between}, {}", self.label),
        };
        let usual = self.style("direction x (a)", false);
        let style = Style {
            map: ColourMap::BlueRed,
            spacing: Spacing::Linear,
            loss_label: label.clone(),
            dots: true,
            dot_words: "no difference shown",
            ..usual
        };
        let opening = "Difference of two surfaces, each less the loss of its own model, paired by example. Dots are points where \
                       none is shown, by the largest |T| over all points under random signs of the examples (95 %).";
        let caption = format!("{}: {}. {opening}{caption}\n", capital(&label), where_shown(&counts));
        Ok(Drawn { svg: contour_figure(&panels, &style)?, caption, surfaces: None })
    }

    /// The losses on lines from 0 to 1 less those on the straight lines between their ends.
    pub(super) fn barrier(&self, provenance: &mut Provenance) -> Result<Drawn> {
        let (mut profiles, mut caption, mut barriers) = (Vec::new(), String::new(), Vec::new());
        for (path, view) in self.surfaces.iter().zip(self.views(provenance)?) {
            let (x, found) = barrier(path, provenance)?;
            let words = said(&found);
            barriers.extend(words.starts_with("barrier").then(|| view.title.clone()));
            caption += &format!(" {}: {words}.", view.title);
            let ends: Vec<f64> = found.se.iter().map(|se| found.critical * se).collect();
            let draw = Draw { x, loss: found.value, loss_se: Some(ends), rise_se: None, metric: None };
            profiles.push(Profile { title: format!("{}: {words}", view.title), draws: vec![draw] });
        }
        let usual = self.style("from one model (0) to the other (1)", false);
        let style = Style {
            loss_label: format!("above the straight line, {}", self.label),
            spacing: Spacing::Linear,
            band_words: Some("95 %, for all points together"),
            ..usual
        };
        let opening = "Loss on the line between two models less that on the straight line between their losses, with a band that \
                       holds for all points together (95 %, paired by example). A barrier is its highest point, where the band \
                       leaves out 0.";
        let svg = profile_figure(&profiles, &Marks::default(), &style)?;
        let finding = match &barriers[..] {
            [] => "No barrier is shown.".to_owned(),
            some => format!("A barrier is shown on {}.", some.join(", ")),
        };
        Ok(Drawn { svg, caption: format!("{finding} {opening}{caption}\n"), surfaces: None })
    }
}

/// At how many points of each panel a difference is shown.
fn where_shown(counts: &[(String, usize, usize)]) -> String {
    if counts.iter().all(|(_, shown, _)| *shown == 0) {
        return "no difference is shown at any point".to_owned();
    }
    let each = counts.iter().map(|(title, shown, points)| format!("{shown} of {points} points ({title})"));
    format!("a difference is shown at {}", each.collect::<Vec<_>>().join(", "))
}

/// The losses of the examples of a surface.
fn by_example(surface: &Path, provenance: &mut Provenance) -> Result<ByExample> {
    let path = examples_path(surface);
    if !path.is_file() {
        let fix = "make the surface with `fisherscape surface --per-example`";
        let sentence = format!("the losses of its examples are missing: no file {}", path.display());
        return Err(Error::said(surface.display(), sentence, fix));
    }
    provenance.input_file("examples", &path)?;
    ByExample::read(&path)
}

fn differences(first: &Path, second: &Path, provenance: &mut Provenance) -> Result<Differences> {
    let (one, other) = (by_example(first, provenance)?, by_example(second, provenance)?);
    let rises = other.rises_minus(&one).map_err(|found| {
        let expected = format!("the examples and coordinates of {}", first.display());
        Error::field(second.display(), "surface", expected, found, "make both over one set, on one grid")
    })?;
    Ok(Differences::new(&rises, &one.targets, &one.clusters, LEVEL))
}

fn panel(title: String, view: &View, found: Differences, note: String) -> Result<Panel> {
    let (x, y) = (view.grid.x.clone(), view.grid.y.clone());
    if found.value.len() != x.len() * y.len() || y.len() < 2 {
        let expected = format!("{} points over a plane, as its examples have", found.value.len());
        let fix = "make both again: the files are of different surfaces";
        return Err(Error::field(title, "surface", expected, format!("{} x {}", x.len(), y.len()), fix));
    }
    let dotted = (0..found.value.len()).map(|point| !found.is_shown(point)).collect();
    let (loss, marks) = (found.value, view.marks.clone());
    let (dotted, note) = (Some(dotted), Some(note));
    Ok(Panel {
        title,
        x,
        y,
        loss,
        centre: None,
        centre_se: None,
        errors: None,
        known: None,
        dotted,
        note,
        axes: None,
        marks,
    })
}

/// `guided − uniform: top 1 %` of `uniform: top 1 %` and `guided: top 1 %`.
fn minus(first: &str, second: &str) -> String {
    match first.split_once(": ").zip(second.split_once(": ")) {
        Some(((one, what), (other, same))) if what == same => format!("{other} − {one}: {what}"),
        _ => format!("{second} − {first}"),
    }
}

/// How all titles begin, up to a colon, where something follows.
fn shared(titles: &[String]) -> String {
    let start =
        titles.first().and_then(|title| title.split_once(": ")).map(|(start, _)| format!("{start}: "));
    start.filter(|start| titles.iter().all(|title| title.starts_with(start))).unwrap_or_default()
}

/// Distances along a line from 0 to 1, and the losses there less those of the straight line.
fn barrier(path: &Path, provenance: &mut Provenance) -> Result<(Vec<f64>, Differences)> {
    let line = by_example(path, provenance)?;
    let wrong = |found: &str| {
        let fix = "make it with `fisherscape surface --directions` of two models and a grid that has both";
        Error::field(path.display(), "x", "a line with points at 0 and 1 and some between", found, fix)
    };
    let n = line.targets.len().max(1);
    let near = |x: f64, at: f64| (x - at).abs() < 1e-9;
    let at = |wanted: f64| {
        let place = line.points.iter().position(|[x, y, z]| near(*x, wanted) && *y == 0.0 && *z == 0.0);
        place
            .and_then(|place| line.sums.chunks(n).nth(place))
            .ok_or_else(|| wrong(&format!("none at {wanted}")))
    };
    let (start, end) = (at(0.0)?, at(1.0)?);
    let inside =
        line.points.iter().zip(line.sums.chunks(n)).filter(|([x, ..], _)| (-1e-9..=1.0 + 1e-9).contains(x));
    let above = |([x, ..], sums): (&[f64; 3], &[f64])| {
        let ends = start.iter().zip(end).map(|(start, end)| (1.0 - x) * start + x * end);
        (*x, sums.iter().zip(ends).map(|(sum, straight)| sum - straight).collect::<Vec<f64>>())
    };
    let (x, above): (Vec<f64>, Vec<Vec<f64>>) = inside.map(above).unzip();
    if x.len() < 3 {
        return Err(wrong("only the ends"));
    }
    Ok((x, Differences::new(&above, &line.targets, &line.clusters, LEVEL)))
}

/// What is known of a barrier: its height where it is shown, else what it may be at most.
fn said(found: &Differences) -> String {
    let points = || found.value.iter().zip(&found.se).map(|(v, se)| (*v, found.critical * se));
    let highest = points().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();
    let most = points().map(|(v, half)| v + half).fold(0.0, f64::max);
    let [value, low, high] =
        [highest.0, highest.0 - highest.1, highest.0 + highest.1].map(|v| significant(v, 2));
    match highest.0 > highest.1 && highest.0 > 0.0 {
        true => format!("barrier {value} ({low} to {high})"),
        false => format!("no barrier above {}", significant(most, 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper: a bump of 0.5 in each of 30 examples, with little noise, is a barrier of 0.5; noise alone is none, and
    /// a valley is none. The straight line between the ends is taken off, so that a slope is none either.
    #[test]
    fn a_barrier_is_said_exactly_when_its_band_leaves_out_zero() {
        let folder = tempfile::tempdir().unwrap();
        let x = [-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25];
        let line = |height: f64, noise: f64| {
            let sum = |x: f64, n: usize| {
                let wobble = noise * ((7 * n + (8.0 * x) as usize * 13) % 11) as f64 / 11.0 - 0.45 * noise;
                1.0 + 3.0 * x + height * 4.0 * x * (1.0 - x) + if x == 0.0 || x == 1.0 { 0.0 } else { wobble }
            };
            let losses = ByExample {
                targets: vec![1.0; 30],
                centre: (0..30).map(|n| sum(0.0, n)).collect(),
                points: x.iter().map(|x| [*x, 0.0, 0.0]).collect(),
                sums: x.iter().flat_map(|x| (0..30).map(move |n| sum(*x, n))).collect(),
                clusters: Default::default(),
            };
            let path = folder.path().join("line.csv");
            losses.write(&examples_path(&path), &Default::default()).unwrap();
            let (x, found) = barrier(&path, &mut Provenance::start("render", None)).unwrap();
            assert_eq!(x, [0.0, 0.25, 0.5, 0.75, 1.0]);
            (said(&found), found.value)
        };
        let (words, value) = line(0.5, 0.1);
        assert!(words.starts_with("barrier 0.") && (value[2] - 0.5).abs() < 0.05, "{words} {value:?}");
        assert!(value[0].abs() < 1e-12 && value[4].abs() < 1e-12);
        for (height, noise) in [(0.0, 1.0), (-0.5, 0.1)] {
            assert!(line(height, noise).0.starts_with("no barrier above "), "{height}");
        }
    }

    /// Oracle: on paper. A difference is claimed exactly where a point has one.
    #[test]
    fn a_difference_is_claimed_where_a_point_shows_it() {
        let of =
            |counts: [usize; 2]| where_shown(&[("all".into(), counts[0], 9), ("top".into(), counts[1], 9)]);
        assert_eq!(of([0, 0]), "no difference is shown at any point");
        assert_eq!(of([0, 2]), "a difference is shown at 0 of 9 points (all), 2 of 9 points (top)");
    }

    /// Oracle: on paper.
    #[test]
    fn titles_of_pairs_say_what_is_subtracted_once() {
        let titles = [minus("u: all", "g: all"), minus("u: top", "g: top")];
        assert_eq!(titles, ["g − u: all", "g − u: top"]);
        assert_eq!(shared(&titles), "g − u: ");
        assert_eq!(minus("one", "two"), "two − one");
        assert_eq!(shared(&["g − u: all".into(), "h − u: all".into()]), "");
    }
}
