//! A bar as long as the whole, cut into the shares of its parts, which are named where they have room.
//!
//! Used by [`crate::figures::fisher`].

use crate::draw::canvas::{Area, Canvas, DIGIT_HEIGHT, Point, text_width};
use crate::draw::cells::colour;
use crate::draw::colour::ink;
use crate::draw::text::{SMALL, fitting};

/// Height of the bar with the words above it, pt.
pub(crate) const HEIGHT: f64 = 24.0;
const BAR: f64 = 12.0;

/// The bar of `parts`, names and amounts, with its words above it; nothing where all amounts are 0.
pub(crate) fn bar(canvas: &Canvas, (left, top): Point, width: f64, words: &str, parts: &[(String, f64)]) {
    let whole: f64 = parts.iter().map(|(_, amount)| amount).sum();
    if !(whole > 0.0 && whole.is_finite()) {
        return;
    }
    canvas.centred(words, (left + width / 2.0, top + SMALL), fitting(words, SMALL, width));
    let (upper, lower) = (top + HEIGHT - BAR, top + HEIGHT);
    let mut before = 0.0;
    for (i, (name, amount)) in parts.iter().enumerate() {
        let fill = colour(i as f64 / (parts.len() - 1).max(1) as f64);
        let area = Area {
            left: left + width * before / whole,
            top: upper,
            right: left + width * (before + amount) / whole,
            bottom: lower,
        };
        before += amount;
        canvas.area(area, &format!("fill=\"{fill}\" stroke=\"#fff\" stroke-width=\".4\""));
        let per_cent = percent(amount / whole);
        let short = name.replace("embeddings", "emb.").replace("layer ", "");
        let texts = [format!("{name} {per_cent}"), format!("{short}: {per_cent}"), per_cent];
        let room = area.right - area.left - 2.0;
        let at = ((area.left + area.right) / 2.0, (upper + lower + SMALL * DIGIT_HEIGHT) / 2.0);
        if let Some(text) = texts.iter().find(|text| text_width(text, SMALL) <= room) {
            canvas.text(text, at, SMALL, crate::draw::canvas::Anchor::Middle, 0.0, ink(&fill));
        }
    }
    canvas.frame((left, upper), (width, BAR));
}

/// `0.4 %` or `12 %`.
fn percent(share: f64) -> String {
    let share = 100.0 * share;
    if share < 0.95 { format!("{share:.1} %") } else { format!("{share:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    /// Oracle: on paper: shares of ¾, ¼ less a little and a little; what has no room has no name; a whole of 0 has no bar.
    #[test]
    fn parts_are_as_wide_as_their_share() {
        let parts = |amounts: [f64; 3]| {
            ["embeddings", "layer 0", "1"].map(String::from).into_iter().zip(amounts).collect::<Vec<_>>()
        };
        let drawn = |amounts| {
            let canvas = Canvas::new((300.0, 40.0));
            bar(&canvas, (10.0, 5.0), 200.0, "share of the sum", &parts(amounts));
            canvas.finish("")
        };
        let svg = drawn([3.0, 0.98, 0.02]);
        assert!(drawn([1.0, 3.0, 0.2]).contains(">emb.: 24 %<"));
        let texts: Vec<String> = assert_sound(&svg).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["share of the sum", "embeddings 75 %", "layer 0 24 %"]);
        let widths: Vec<f64> =
            svg.lines().filter(|l| l.contains("stroke=\"#fff\"")).map(|l| attribute(l, "width")).collect();
        assert_eq!(widths, [150.0, 49.0, 1.0]);
        assert!(!drawn([0.0; 3]).contains("stroke=\"#fff\""));
        assert_eq!(
            (percent(0.004), percent(0.0096), percent(1.0)),
            ("0.4 %".into(), "1 %".into(), "100 %".into())
        );
    }
}
