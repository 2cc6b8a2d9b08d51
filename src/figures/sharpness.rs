//! Sharpness of the arms against the first one's, measure by measure and seed by seed, as SVG: a row for each measure, all on
//! one axis, in per cent of the first arm's mean.
//!
//! Dots are pairs of runs; the sign is their mean, with its 95 % interval from four pairs on. The trap: one seed alone may show
//! the opposite of another, since seeds differ more than arms.
//!
//! Takes the `SHARPNESS.csv` of each run, those of one title being seeds of one arm in the same order.

use std::path::{Path, PathBuf};

use crate::draw::axis;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, GREY, Look, thick_bar};
use crate::draw::legend::{Entry, stretch};
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, sheet};
use crate::error::{Error, Result};
use crate::figures::summary::SEEDS;
use crate::landscape::sharpness::Row;
use crate::stats::{mean, paired};
use crate::tables;

/// Arms stand this far apart within the row of a measure, in rows; seeds this far above their mean.
const APART: f64 = 0.26;
const ABOVE: f64 = 0.12;

/// For readers of the file.
const DESCRIPTION: &str = "Sharpness of each arm minus the first arm's, paired by seed, in per cent of the first arm's mean; dots are \
                           pairs of runs, bars 95 % intervals over four or more of them.";

/// The runs of an arm: each one's measures.
type Runs = Vec<Vec<Row>>;

/// A measure of an arm against the first arm's.
struct Contrast {
    measure: String,
    arm: usize,
    /// Each pair, in per cent of the first arm's mean.
    pairs: Vec<f64>,
    ends: Option<(f64, f64)>,
}

/// Titled tables as SVG and in words.
pub(super) fn draw(titled: &[(String, PathBuf)], width_mm: Option<f64>) -> Result<(String, String)> {
    let mut arms: Vec<(String, Runs)> = Vec::new();
    for (title, path) in titled {
        let rows: Vec<Row> = tables::read(path)?;
        match arms.iter_mut().find(|(own, _)| own == title) {
            Some((_, runs)) => runs.push(rows),
            None => arms.push((title.clone(), vec![rows])),
        }
    }
    let place = titled.first().map_or(Path::new("sharpness"), |(_, path)| path);
    figure(&arms, place, width_mm)
}

fn figure(arms: &[(String, Runs)], place: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let wrong =
        |expected: &str, found: String, fix| Err(Error::field(place.display(), "runs", expected, found, fix));
    let [(first, reference), others @ ..] = arms else {
        return wrong("of at least two arms", "none".into(), "give the SHARPNESS.csv of each run");
    };
    if others.is_empty() || arms.len() > curves::CURVES {
        let fix = "give --titles ARM,ARM,.. in the order of the files";
        return wrong("of two to 16 arms", format!("of {}", arms.len()), fix);
    }
    if let Some((arm, runs)) = others.iter().find(|(_, runs)| runs.len() != reference.len()) {
        let expected = format!("as many as {first} has, {}", reference.len());
        return wrong(&expected, format!("{} of {arm}", runs.len()), "give a file for each seed of each arm");
    }
    let measures: Vec<String> = reference[0].iter().map(|row| row.measure.clone()).collect();
    let of = |run: &[Row], measure: &str| {
        let row = run.iter().find(|row| row.measure == measure && row.value.is_finite());
        row.map(|row| row.value).ok_or_else(|| {
            let fix = "make all with the same options of `fisherscape sharpness`";
            Error::field(place.display(), "measure", format!("{measure} in each file"), "missing in one", fix)
        })
    };
    let mut contrasts = Vec::new();
    for measure in &measures {
        let own = reference.iter().map(|run| of(run, measure)).collect::<Result<Vec<f64>>>()?;
        let whole = mean(&own).abs();
        for (arm, (_, runs)) in others.iter().enumerate() {
            let theirs = runs.iter().map(|run| of(run, measure)).collect::<Result<Vec<f64>>>()?;
            let pairs: Vec<f64> = theirs.iter().zip(&own).map(|(a, b)| 100.0 * (a - b) / whole).collect();
            let judged = paired::independent(&pairs).filter(|_| pairs.len() >= SEEDS);
            let half = judged.map(|judged| judged.half_width(0.95));
            let ends = half.map(|half| (mean(&pairs) - half, mean(&pairs) + half));
            contrasts.push(Contrast { measure: words(measure), arm: arm + 1, pairs, ends });
        }
    }
    let svg = drawn(arms, &measures, &contrasts, width_mm)?;
    Ok((svg, caption(arms, &contrasts)))
}

fn drawn(
    arms: &[(String, Runs)],
    measures: &[String],
    contrasts: &[Contrast],
    width_mm: Option<f64>,
) -> Result<String> {
    let ends = |own: &Contrast| {
        own.pairs.iter().copied().chain(own.ends.iter().flat_map(|e| [e.0, e.1])).collect::<Vec<_>>()
    };
    let (low, high) = axis::range(contrasts.iter().flat_map(ends).chain([0.0])).unwrap_or((0.0, 1.0));
    let names: Vec<String> = measures.iter().rev().map(|measure| words(measure)).collect();
    let (others, seeds) = (arms.len() - 1, arms[0].1.len());
    let across = format!("% of {}, minus it", arms[0].0);
    let row = |own: &Contrast| {
        let row = names.iter().position(|name| *name == own.measure).unwrap_or(0) as f64;
        row + APART.min(0.7 / others as f64) * ((others - 1) as f64 / 2.0 - (own.arm - 1) as f64)
    };
    let panel = Panel {
        title: claim(contrasts),
        notes: vec![format!("{seeds} pair{} of runs, not corrected", if seeds == 1 { "" } else { "s" })],
        spans: Some((Span::Linear(low, high), Span::Names(names.clone()))),
        words: (&across, ""),
        draw: Box::new(move |canvas, plot| {
            curves::level(canvas, &plot.upright(0.0));
            for own in contrasts {
                let (look, y) = (Look::of_arm(own.arm, arms.len()), row(own));
                let pairs = own.pairs.iter().map(|v| plot.at(*v, y + ABOVE));
                curves::seeds(canvas, &pairs.collect::<Vec<Point>>(), look.colour);
                if let Some((low, high)) = own.ends {
                    thick_bar(canvas, [plot.at(low, y), plot.at(high, y)], look.colour);
                }
                look.marker(canvas, plot.at(mean(&own.pairs), y));
            }
        }),
    };
    let arm =
        |(i, (arm, _)): (usize, &(String, Runs))| Entry::sign_of(Look::of_arm(i, arms.len()), arm.clone());
    let mut entries: Vec<Entry> = arms.iter().enumerate().skip(1).map(arm).collect();
    entries.push(Entry::seeds("a pair of runs"));
    if contrasts.iter().any(|own| own.ends.is_some()) {
        entries.push(Entry::new(|canvas: &Canvas, at| thick_bar(canvas, stretch(at), GREY), "95 % interval"));
    }
    sheet(&[panel], PerRow { wide: 1, narrow: 1 }, width_mm.unwrap_or(84.0), entries, DESCRIPTION)
}

/// What the intervals show.
fn claim(contrasts: &[Contrast]) -> String {
    let with = contrasts.iter().filter_map(|own| own.ends);
    let (all, shown) = (with.clone().count(), with.filter(|(low, high)| *low > 0.0 || *high < 0.0).count());
    match (all, shown) {
        (0, _) => "too few seeds for intervals".to_owned(),
        (_, 0) => "no difference of sharpness shown".to_owned(),
        _ => format!("{shown} of {all} intervals leave{} out 0", if shown == 1 { "s" } else { "" }),
    }
}

/// A measure as people read it.
fn words(measure: &str) -> String {
    match measure.strip_prefix("rise_") {
        Some(radius) => format!("rise at {radius}"),
        None => measure.replace('_', " "),
    }
}

fn caption(arms: &[(String, Runs)], contrasts: &[Contrast]) -> String {
    let mut out = format!("Sharpness minus that of {}, paired by seed, in per cent of its mean.", arms[0].0);
    for own in contrasts {
        let ends = own.ends.map_or(String::new(), |(low, high)| {
            format!(" (95 % from {} to {})", significant(low, 2), significant(high, 2))
        });
        let (arm, value) = (&arms[own.arm].0, significant(mean(&own.pairs), 2));
        out += &format!(" {}, {arm}: {value} %{ends}.", own.measure);
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;

    fn run(values: [f64; 2]) -> Vec<Row> {
        let row = |(measure, value): (&str, f64)| Row {
            measure: measure.into(),
            value,
            se_examples: 0.1,
            se_draws: None,
            draws: 1,
        };
        ["rise_0.5", "top_eigenvalue"].into_iter().zip(values).map(row).collect()
    }

    fn arms(first: &[[f64; 2]], second: &[[f64; 2]]) -> Vec<(String, Runs)> {
        let runs = |values: &[[f64; 2]]| values.iter().map(|v| run(*v)).collect();
        vec![("uniform".into(), runs(first)), ("guided".into(), runs(second))]
    }

    /// Oracle: on paper: eigenvalues of 145, 112 and 109 against 100, 120 and 119 are three dots on both sides of 0, and no
    /// interval; with four pairs that all lie 10 % lower there is one, which leaves out 0, of one measure of two.
    #[test]
    fn seeds_are_seen_and_titles_claim_what_intervals_show() {
        let three =
            arms(&[[1.0, 145.0], [1.0, 112.0], [1.0, 109.0]], &[[1.1, 100.0], [0.9, 120.0], [1.0, 119.0]]);
        let (svg, caption) = figure(&three, Path::new("s.csv"), None).unwrap();
        let texts = assert_sound(&svg);
        assert!(texts.iter().any(|(text, _)| text == "too few seeds for intervals"));
        let dots = svg.lines().filter(|line| line.contains("stroke-opacity=\".55\"")).collect::<Vec<_>>();
        assert_eq!(dots[1].matches('M').count(), 3);
        // The mean of -45, 8 and 10 over 122.
        assert!(caption.contains("top eigenvalue, guided: −7.4 %."), "{caption}");
        let first = [[1.0, 100.0], [1.2, 100.0], [0.8, 100.0], [1.0, 100.0]];
        let lower = first.map(|[rise, top]| [2.0 - rise, top - 10.0 - rise]);
        let (svg, _) = figure(&arms(&first, &lower), Path::new("s.csv"), None).unwrap();
        assert!(svg.contains(">1 of 2 intervals leaves out 0<"), "{svg}");
        let equal = first.map(|[rise, top]| [2.0 - rise, top - 1.0 + rise]);
        assert!(
            figure(&arms(&first, &equal), Path::new("s.csv"), None).unwrap().0.contains(">no difference of")
        );
    }

    #[test]
    fn runs_that_are_no_pairs_are_refused() {
        let one = [[1.0, 2.0]];
        for (arms, words) in [
            (arms(&one, &[[1.0, 2.0], [1.0, 2.0]]), "as many as uniform has"),
            (arms(&one, &one)[..1].to_vec(), "of two to 16 arms"),
            (vec![], "of at least two arms"),
            (arms(&one, &[[1.0, f64::NAN]]), "top_eigenvalue in each file"),
        ] {
            let message = figure(&arms, Path::new("s.csv"), None).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("fix:"), "{message}");
        }
    }
}
