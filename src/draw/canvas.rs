//! The sheet on which plotters draws: a drawing backend that writes short SVG in points (1/72 inch).
//!
//! plotters' coordinates are whole numbers, and its own SVG backend writes whole pixels, one font family and
//! an opacity per shape. Here one plotters unit is 1/100 pt, so a figure of 84 mm is 23811 units wide and the
//! text has two decimals. The trap: sizes of plotters (strokes, ticks, radii) are in those units too: see
//! [`units`]. A plotters font of size `s` is a font of `s / 1.164` per em, DejaVu's line height, which makes
//! plotters' estimate of a text's width the true one.
//!
//! Areas with holes are beyond plotters: [`Canvas::path`] writes them to the same sheet.
//! Neighbours: [`crate::draw::contour`] draws here, [`crate::draw::image`] holds the font.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Once;

use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{FontStyle, FontTransform, IntoFont, register_font};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

use crate::draw::image::{FONT, FONT_FAMILY};
use crate::error::Error;

/// Plotters units per point.
const UNITS: f64 = 100.0;
/// Line height (ascent plus descent) of DejaVu Sans per em: (1901 + 483)/2048.
const LINE_HEIGHT: f64 = 1.164_062_5;
/// Height of a digit of DejaVu Sans per em: 1493/2048.
pub(crate) const DIGIT_HEIGHT: f64 = 0.729;
/// Points per millimetre.
pub(crate) const PT_PER_MM: f64 = 72.0 / 25.4;

/// A point of the sheet in pt: x to the right, y down.
pub(crate) type Point = (f64, f64);

/// Upright rectangle on the sheet, pt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    /// As far as `w` and `h` to both sides of a point.
    pub(crate) fn around((x, y): Point, w: f64, h: f64) -> Area {
        Area { left: x - w, top: y - h, right: x + w, bottom: y + h }
    }

    /// The smallest one with all `points`.
    pub(crate) fn enclosing(points: impl Iterator<Item = Point>) -> Area {
        let (none, most) = (f64::INFINITY, f64::NEG_INFINITY);
        points.fold(Area { left: none, top: none, right: most, bottom: most }, |all, (x, y)| Area {
            left: all.left.min(x),
            top: all.top.min(y),
            right: all.right.max(x),
            bottom: all.bottom.max(y),
        })
    }

    pub(crate) fn moved(&self, by: Point) -> Area {
        let Area { left, top, right, bottom } = self;
        Area { left: left + by.0, top: top + by.1, right: right + by.0, bottom: bottom + by.1 }
    }

    pub(crate) fn overlaps(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    pub(crate) fn contains(&self, other: &Area) -> bool {
        self.left <= other.left
            && other.right <= self.right
            && self.top <= other.top
            && other.bottom <= self.bottom
    }
}

/// A sheet of `size` pt; clones are the same sheet.
#[derive(Clone)]
pub(crate) struct Canvas {
    size: (f64, f64),
    body: Rc<RefCell<String>>,
}

/// Where a text's anchor lies in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// `pt` points in plotters units.
pub(crate) fn units(pt: f64) -> i32 {
    (pt * UNITS).round() as i32
}

/// The plotters font of `em` pt per em, which plotters knows from here on.
pub(crate) fn font(em: f64) -> (&'static str, f64) {
    static KNOWN: Once = Once::new();
    // A damaged font would show in the first text that is measured.
    KNOWN.call_once(|| drop(register_font(FONT_FAMILY, FontStyle::Normal, FONT)));
    (FONT_FAMILY, em * LINE_HEIGHT * UNITS)
}

/// Width in pt of one line of `text` at `em` pt per em, from the font's advances and kerning.
pub(crate) fn text_width(text: &str, em: f64) -> f64 {
    let laid_out = font(em).into_font().layout_box(text);
    let ((left, _), (right, _)) = laid_out.expect("the font is built in, and a test measures with it");
    f64::from(right - left) / UNITS
}

/// Width of the longest of some texts.
pub(crate) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, em: f64) -> f64 {
    texts.into_iter().map(|text| text_width(text, em)).fold(0.0, f64::max)
}

/// For errors of plotters, which has nothing to refuse here: the sheet is memory and the font is built in.
pub(crate) fn defect(source: impl std::fmt::Display) -> Error {
    Error::field("figure", "drawing", "possible", source, "report this as a defect of fisherscape")
}

impl Canvas {
    /// An empty sheet of `size` pt.
    pub(crate) fn new(size: (f64, f64)) -> Canvas {
        Canvas { size, body: Rc::default() }
    }

    /// SVG as it is.
    pub(crate) fn raw(&self, svg: &str) {
        self.body.borrow_mut().push_str(svg);
        self.body.borrow_mut().push('\n');
    }

    /// `<path>` with path data `d` and attributes as written, or nothing where `d` is empty.
    pub(crate) fn path(&self, d: &str, attributes: &str) {
        if !d.is_empty() {
            self.raw(&format!("<path d=\"{d}\" {attributes}/>"));
        }
    }

    /// A filled rectangle with its upper left corner at `at`.
    pub(crate) fn rect(&self, at: Point, size: (f64, f64), attributes: &str) {
        let (x, y, w, h) = (short(at.0), short(at.1), short(size.0), short(size.1));
        self.raw(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" {attributes}/>"));
    }

    /// A filled rectangle.
    pub(crate) fn area(&self, area: Area, attributes: &str) {
        let Area { left, top, right, bottom } = area;
        self.rect((left, top), (right - left, bottom - top), attributes);
    }

    /// The black edge of a panel or a bar.
    pub(crate) fn frame(&self, corner: Point, size: (f64, f64)) {
        self.rect(corner, size, "fill=\"none\" stroke=\"#000\" stroke-width=\".5\"");
    }

    /// One line of text with its baseline through `at`, turned by `degrees` clockwise about that point.
    pub(crate) fn text(&self, text: &str, at: Point, em: f64, anchor: Anchor, degrees: f64, fill: &str) {
        if text.is_empty() {
            return;
        }
        let place = if degrees == 0.0 {
            format!("x=\"{}\" y=\"{}\"", short(at.0), short(at.1))
        } else {
            format!("transform=\"translate({} {})rotate({})\"", short(at.0), short(at.1), short(degrees))
        };
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let fill = if fill == "#000" { String::new() } else { format!(" fill=\"{fill}\"") };
        self.raw(&format!(
            "<text {place} font-size=\"{}\"{anchor}{fill}>{}</text>",
            short(em),
            escaped(text)
        ));
    }

    /// Black text with its middle at `at`.
    pub(crate) fn centred(&self, text: &str, at: Point, em: f64) {
        self.text(text, at, em, Anchor::Middle, 0.0, "#000");
    }

    /// The same, from the bottom up.
    pub(crate) fn upright(&self, text: &str, at: Point, em: f64) {
        self.text(text, at, em, Anchor::Middle, -90.0, "#000");
    }

    /// Grey text with its middle at `at`.
    pub(crate) fn aside(&self, text: &str, at: Point, em: f64) {
        self.text(text, at, em, Anchor::Middle, 0.0, "#444");
    }

    /// Black text with a white edge, which shows on every colour; it begins at `at`.
    pub(crate) fn haloed(&self, text: &str, at: Point, em: f64) {
        let look = "stroke=\"#fff\" stroke-width=\"1.6\" stroke-linejoin=\"round\" paint-order=\"stroke\"";
        let (x, y, em) = (short(at.0), short(at.1), short(em));
        self.raw(&format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{em}\" {look}>{}</text>", escaped(text)));
    }

    /// The whole document; `description` is for readers of the file, not drawn.
    ///
    /// Where a viewer has no DejaVu Sans, Verdana has nearly its widths.
    pub(crate) fn finish(self, description: &str) -> String {
        let (w, h) = (short(self.size.0), short(self.size.1));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}pt\" height=\"{h}pt\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"{FONT_FAMILY}, Verdana, sans-serif\">\n<desc>{}</desc>\n<rect width=\"{w}\" height=\"{h}\" \
             fill=\"#fff\"/>\n{}</svg>\n",
            escaped(description),
            self.body.borrow(),
        )
    }
}

/// `v` with at most two decimals and no superfluous zero.
pub(crate) fn short(v: f64) -> String {
    hundredths((v * 100.0).round() as i64)
}

fn hundredths(v: i64) -> String {
    let (sign, v) = (if v < 0 { "-" } else { "" }, v.abs());
    match (v / 100, v % 100) {
        (whole, 0) => format!("{sign}{whole}"),
        (0, part) if part % 10 == 0 => format!("{sign}.{}", part / 10),
        (0, part) => format!("{sign}.{part:02}"),
        (whole, part) if part % 10 == 0 => format!("{sign}{whole}.{}", part / 10),
        (whole, part) => format!("{sign}{whole}.{part:02}"),
    }
}

/// Path data through `points`: absolute start, then relative steps, whose rounding does not add up.
pub(crate) fn path_data(points: &[Point], closed: bool) -> String {
    let rounded = |&(x, y): &Point| ((x * 100.0).round() as i64, (y * 100.0).round() as i64);
    let Some(mut last) = points.first().map(rounded) else { return String::new() };
    let mut d = format!("M{} {}", hundredths(last.0), hundredths(last.1));
    let mut separator = "l";
    for next in points[1..].iter().map(rounded) {
        if next == last {
            continue;
        }
        let (dx, dy) = (hundredths(next.0 - last.0), hundredths(next.1 - last.1));
        // A minus sign separates by itself.
        d.push_str(if dx.starts_with('-') { separator.trim() } else { separator });
        d.push_str(&dx);
        d.push_str(if dy.starts_with('-') { "" } else { " " });
        d.push_str(&dy);
        (last, separator) = (next, " ");
    }
    if closed {
        d.push('z');
    }
    d
}

/// A figure with its caption as the description in it and the first sentence of that as its name, which programs show of it.
pub(crate) fn named(svg: &str, caption: &str) -> String {
    let caption = caption.trim_end();
    let Some((head, (_, rest))) =
        svg.split_once("<desc>").and_then(|(head, rest)| Some((head, rest.split_once("</desc>")?)))
    else {
        return svg.to_owned();
    };
    let first = caption.split_once(". ").map_or(caption, |(first, _)| first);
    let title = escaped(first.trim_end_matches('.'));
    format!("{head}<title>{title}</title>\n<desc>{}</desc>{rest}", escaped(caption))
}

/// A text as XML has it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML 1.0 has no place for the other control characters, not even escaped.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn rgb(colour: BackendColor) -> String {
    let (r, g, b) = colour.rgb;
    format!("#{r:02x}{g:02x}{b:02x}")
}

type Drawn = std::result::Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (units(self.size.0) as u32, units(self.size.1) as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    /// Nothing is drawn by pixels; the trait has no body for it.
    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.rect((pt(x), pt(y)), (pt(1), pt(1)), &format!("fill=\"{}\"", rgb(colour)));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<Point> = path.into_iter().map(|(x, y)| (pt(x), pt(y))).collect();
        let (colour, width) = (rgb(style.color()), short(f64::from(style.stroke_width()) / UNITS));
        let look = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"");
        self.path(&path_data(&points, false), &look);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let em = style.size() / UNITS / LINE_HEIGHT;
        let anchor = match style.anchor().h_pos {
            HPos::Left => Anchor::Start,
            HPos::Center => Anchor::Middle,
            HPos::Right => Anchor::End,
        };
        // From the anchor down to the baseline, before turning: digits are centred by their own height.
        let down = em
            * match style.anchor().v_pos {
                VPos::Top => 0.76,
                VPos::Center => DIGIT_HEIGHT / 2.0,
                VPos::Bottom => -0.24,
            };
        let (degrees, dx, dy) = match style.transform() {
            FontTransform::None => (0.0, 0.0, down),
            FontTransform::Rotate90 => (90.0, -down, 0.0),
            FontTransform::Rotate180 => (180.0, 0.0, -down),
            FontTransform::Rotate270 => (-90.0, down, 0.0),
        };
        self.text(
            text,
            (pt(x) + dx, pt(y) + dy),
            em,
            anchor,
            degrees,
            &rgb(style.color()).replace("#000000", "#000"),
        );
        Ok(())
    }
}

fn pt(units: i32) -> f64 {
    f64::from(units) / UNITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: Rust's own decimal formatting, read back.
    #[test]
    fn short_numbers_are_the_nearest_hundredths() {
        for v in [0.0, 0.004, -0.004, 0.05, -0.05, 0.5, 1.0, -1.25, 12.3, 493.228, -7.999] {
            let text = short(v);
            assert!((text.parse::<f64>().unwrap() - v).abs() <= 0.005 + 1e-12, "{v} became {text}");
            assert!(!text.contains('.') || !text.ends_with('0'), "{text}");
        }
    }

    /// Oracle: the sum of the steps. 0.333 steps rounded one by one would end at 99 instead of 99.9.
    #[test]
    fn relative_steps_do_not_drift() {
        let points: Vec<Point> = (0..=300).map(|i| (f64::from(i) * 0.333, 0.0)).collect();
        let d = path_data(&points, false);
        let steps = d.split_once('l').unwrap().1;
        let xs = steps.split_whitespace().step_by(2).map(|x| x.parse::<f64>().unwrap());
        assert!((xs.sum::<f64>() - 99.9).abs() < 1e-9);
    }

    /// Oracle: the renderer's own text layout (rustybuzz), which knows nothing of plotters.
    #[test]
    fn text_width_is_the_renderers() {
        let canvas = Canvas::new((200.0, 50.0));
        let text = "loss (nats) −1.25×10⁻⁶";
        canvas.text(text, (10.0, 20.0), 8.0, Anchor::Start, 0.0, "#000");
        let boxes = crate::draw::image::text_boxes(&canvas.finish(""));
        // Boxes of the renderer are those of the ink: they leave out the side bearings, a tenth of an em at
        // each end.
        let width = boxes[0].1[2] - boxes[0].1[0];
        let ours = text_width(text, 8.0);
        assert!((0.0..0.2 * 8.0).contains(&(ours - width)), "{ours} against {width}");
    }

    #[test]
    fn titles_cannot_break_the_document() {
        let canvas = Canvas::new((100.0, 50.0));
        canvas.text("a < b & \"c\" \u{7}]]>", (10.0, 20.0), 8.0, Anchor::Start, 0.0, "#000");
        assert!(crate::draw::image::parse(&canvas.finish("<&>"), None).is_ok());
    }
}
