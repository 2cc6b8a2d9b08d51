//! Figures of surfaces in words for a paper, flat or in 3-D: what is drawn, and the numbers of each panel.

use super::{Panel, Spacing, Style, View, axes, has_cross, has_origin, lowest, upsample};
use crate::draw::counts::Counts;
use crate::draw::marks;
use crate::draw::numbers::{significant, with_error};

/// One paragraph on a figure of `panels`: a relief seen from `view`, or flat.
pub fn caption(panels: &[Panel], options: &Style, view: Option<View>) -> String {
    let flat = view.is_none();
    let mut out = opening(panels, options, view);
    for panel in panels {
        out += &numbers(panel, options);
    }
    let counts = super::counts(panels, options);
    let mut add = |shown: bool, words: String| {
        if shown {
            out.push(' ');
            out += &words;
        }
    };
    add(options.rise, "A rise is the loss minus that of the trained model in the same panel.".to_owned());
    if panels.len() > 1 {
        add(true, "All panels have one scale.".to_owned());
    }
    let clip = significant(options.clip.unwrap_or(0.0), 4);
    let clipped = if flat { "is hatched in a light colour" } else { "is cut off as a plateau" };
    add(counts.clipped > 0, format!("What lies above {clip} {clipped}."));
    let lost = if flat { "hatched in grey" } else { "not drawn" };
    add(counts.lost > 0, format!("Cells next to a loss that is not finite are {lost}."));
    add(panels.iter().any(has_cross), "The cross is the trained model at (0, 0).".to_owned());
    let ring = flat && panels.iter().any(|panel| lowest(panel, options).is_some());
    let own = if panels.len() > 1 { " of its panel" } else { "" };
    add(
        ring,
        format!(
            "The ring is the lowest evaluated point{own}, lower than the model by more than two standard errors, paired by example."
        ),
    );
    let path = panels.iter().map(|panel| panel.marks.path.len()).max().unwrap_or(0);
    add(path > 0, format!("The path joins {path} points of a training run in their order."));
    let projected = marks::projected(panels.iter().map(|panel| &panel.marks));
    add(projected.is_some(), format!("Marked {}.", projected.unwrap_or_default()));
    add(options.dots, "Dots are the evaluated points.".to_owned());
    let between = if flat { "Colours and lines between" } else { "The surface between" };
    add(true, format!("{between} evaluated points {} interpolated.", if flat { "are" } else { "is" }));
    out + "\n"
}

/// What is drawn, over which spans, on which scale.
fn opening(panels: &[Panel], options: &Style, view: Option<View>) -> String {
    let spans: Vec<_> = panels.iter().map(|panel| (axes::ends(&panel.x), axes::ends(&panel.y))).collect();
    let (x, y) = (&options.x_label, &options.y_label);
    let volume = panels.iter().any(|panel| panel.axes.is_some());
    let over = if volume {
        "the central planes of a volume".into()
    } else if spans.iter().all(|span| *span == spans[0]) {
        format!("{x} {} and {y} {}", span(spans[0].0), span(spans[0].1))
    } else {
        format!("{x} and {y}")
    };
    let levels = match options.spacing {
        Spacing::Log if !options.rise => "logarithmic levels",
        Spacing::Linear => "linear levels",
        _ => "levels at 1, 2 and 5 in each decade",
    };
    let degrees = |v: f64| significant(v, 4);
    let seen = view.map(|View { azimuth, elevation }| {
        format!(", seen from azimuth {}° and elevation {}°", degrees(azimuth), degrees(elevation))
    });
    let label = &options.loss_label;
    format!("Surface of {label} over {over}{}; {levels}.", seen.unwrap_or_default())
}

fn span((low, high): (f64, f64)) -> String {
    format!("from {} to {}", significant(low, 4), significant(high, 4))
}

/// The numbers of one panel.
fn numbers(panel: &Panel, options: &Style) -> String {
    let counts = Counts::of(&panel.loss, options.clip);
    let mut out = format!(" {}: {} x {} points", panel.title, panel.x.len(), panel.y.len());
    if let Some(known) = &panel.known {
        out += &format!(", {} of them evaluated", known.iter().filter(|own| **own).count());
    }
    if let Some(loss) = panel.centre.filter(|_| has_origin(panel)) {
        let written = panel.centre_se.map(|se| with_error(loss, se));
        let written = written.map(|(loss, se)| format!("{loss} ± {se} (standard error)"));
        out += &format!(", {} at (0, 0)", written.unwrap_or_else(|| significant(loss, 4)));
    }
    let (low, high) = upsample::range(&panel.loss);
    if low <= high {
        let rises = if options.rise { "rises " } else { "" };
        out += &format!(", {rises}from {} to {}", significant(low, 4), significant(high, 4));
    }
    if counts.clipped > 0 {
        out += &format!(", {} of them above {}", counts.clipped, significant(options.clip.unwrap_or(0.0), 4));
    }
    if counts.lost > 0 {
        out += &format!(", {} not finite", counts.lost);
    }
    out + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the panel's own numbers, on paper: 9 points, the highest 4, of which 3 lie above 2.5, one not finite.
    #[test]
    fn a_caption_has_the_numbers_of_each_panel() {
        let loss = vec![f64::NAN, 1.0, 2.0, 3.0, 0.25, 1.0, 4.0, 2.5, 3.5];
        let marks = marks::Marks::default();
        let x = vec![-1.0, 0.0, 1.0];
        let panel = Panel {
            title: "guided".into(),
            axes: None,
            x: x.clone(),
            y: x,
            loss,
            centre: Some(0.25),
            centre_se: Some(0.0123),
            dotted: None,
            note: None,
            errors: None,
            known: None,
            marks,
        };
        let options = Style { clip: Some(2.5), spacing: Spacing::Log, ..Style::default() };
        let flat = caption(std::slice::from_ref(&panel), &options, None);
        for words in [
            "Surface of loss (nats) over direction x (a) from −1 to 1 and direction y (b) from −1 to 1; logarithmic levels.",
            "guided: 3 x 3 points, 0.250 ± 0.012 (standard error) at (0, 0), from 0.25 to 4, 3 of them above 2.5, 1 not finite.",
            "above 2.5 is hatched",
            "The cross is the trained model",
            "interpolated.",
        ] {
            assert!(flat.contains(words), "{words}\n{flat}");
        }
        // The lowest point is the trained model, which has no ring; one panel has no common scale.
        assert!(!flat.contains("ring") && !flat.contains("All panels") && flat.lines().count() == 1);
        let view = View { azimuth: -60.0, elevation: 30.0 };
        let relief = caption(&[panel.clone(), panel], &Style::default(), Some(view));
        assert!(relief.contains("azimuth −60° and elevation 30°; linear") && relief.contains("All panels"));
        assert!(relief.contains("are not drawn") && !relief.contains("above"));
    }
}
