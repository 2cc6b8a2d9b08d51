//! SVG text to PNG or PDF bytes, with the one font of the figures built into the program.
//!
//! No system font and no fontconfig is read, so a figure has the same bytes on every machine of one
//! architecture. The trap: a viewer of the SVG itself (a browser) takes its own DejaVu Sans, or, where it has
//! none, Verdana or its own sans-serif; PNG and PDF are what the figure was laid out for.
//!
//! The font is DejaVu Sans 2.37 (Debian's fonts-dejavu-core; licence beside it in `fonts/`), which has the
//! signs − × ⁻ ⁰…⁹ of the labels. `canvas` measures text with the same file.

use std::path::Path;
use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::error::{Error, Result};

/// DejaVu Sans, the only font of the figures.
pub(crate) const FONT: &[u8] = include_bytes!("fonts/DejaVuSans.ttf");
/// The name under which [`FONT`] is found.
pub(crate) const FONT_FAMILY: &str = "DejaVu Sans";
/// CSS: one inch is 96 user units, whatever the resolution of the picture.
const CSS_DPI: f64 = 96.0;
/// Pixels per side above which nobody wants the picture: 20000² pixels are 1.6 GB.
const MAX_SIDE: f64 = 20_000.0;

/// The picture of `svg` at `dpi` pixels per inch of its `width` and `height`, on white, as PNG bytes.
///
/// A figure of width 84 mm at 300 dpi has round(84/25.4·300) = 992 pixels per row. The same text gives the
/// same bytes. Costs a few hundred milliseconds per megapixel without optimization, some ten with it.
///
/// # Errors
///
/// [`Error::Field`] if `svg` is not SVG, if `dpi` is not a positive number, or if the picture would have no
/// pixel or more than 20000 per side.
pub fn svg_to_png(svg: &str, dpi: f64, font: Option<&Font>) -> Result<Vec<u8>> {
    if !(dpi.is_finite() && dpi > 0.0) {
        return Err(Error::field(
            "picture",
            "dpi",
            "a positive number",
            dpi,
            "300 suits print, 150 a screen",
        ));
    }
    let tree = parse(svg, font)?;
    let scale = dpi / CSS_DPI;
    let [width, height] =
        [tree.size().width(), tree.size().height()].map(|side| (f64::from(side) * scale).round());
    let too_large = || {
        let found = format!("{width} x {height} pixels");
        Error::field(
            "picture",
            "dpi",
            "one that gives 1 to 20000 pixels per side",
            found,
            "choose another dpi",
        )
    };
    if !(1.0..=MAX_SIDE).contains(&width) || !(1.0..=MAX_SIDE).contains(&height) {
        return Err(too_large());
    }
    let mut pixels = tiny_skia::Pixmap::new(width as u32, height as u32).ok_or_else(too_large)?;
    pixels.fill(tiny_skia::Color::WHITE);
    // The two factors differ from `scale` by the rounding to whole pixels only.
    let to_pixels = tiny_skia::Transform::from_scale(
        (width / f64::from(tree.size().width())) as f32,
        (height / f64::from(tree.size().height())) as f32,
    );
    resvg::render(&tree, to_pixels, &mut pixels.as_mut());
    let png = pixels.encode_png();
    let png = png.map_err(|e| Error::field("picture", "png", "encodable", e, "report this as a defect"))?;
    Ok(with_resolution(png, dpi))
}

/// The picture with its resolution in it (`pHYs`, pixels per metre), so that it opens at its size on paper: the chunk stands behind
/// the first one, which ends at byte 33.
fn with_resolution(mut png: Vec<u8>, dpi: f64) -> Vec<u8> {
    const FIRST: usize = 33;
    let per_metre = (dpi / 0.0254).round() as u32;
    let mut chunk = b"pHYs".to_vec();
    (0..2).for_each(|_| chunk.extend(per_metre.to_be_bytes()));
    chunk.push(1);
    let check = crc(&chunk);
    let whole = 9u32.to_be_bytes().into_iter().chain(chunk).chain(check.to_be_bytes());
    if png.len() > FIRST {
        png.splice(FIRST..FIRST, whole);
    }
    png
}

/// The check sum of a chunk (ISO 3309).
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// The figure of `svg` on one page of its size, as PDF bytes.
///
/// Text is text, which can be searched and copied, in the built-in font, of which the signs used are embedded.
/// Nothing is rasterized. The same text gives the same bytes: the file has no date.
///
/// # Errors
///
/// [`Error::Field`] if `svg` is not SVG.
pub fn svg_to_pdf(svg: &str, font: Option<&Font>) -> Result<Vec<u8>> {
    let page = svg2pdf::PageOptions { dpi: CSS_DPI as f32 };
    svg2pdf::to_pdf(&parse(svg, font)?, svg2pdf::ConversionOptions::default(), page)
        .map(|pdf| in_order(&pdf))
        .map_err(|e| Error::field("picture", "pdf", "possible", e, "report this as a defect of fisherscape"))
}

/// The same document with the entries of each list of resources in the order of their names: svg2pdf 0.13 takes that
/// order from a randomly seeded hash map. Lines change places only inside their dictionary, so no offset changes.
fn in_order(pdf: &[u8]) -> Vec<u8> {
    // `    /gs7 12 0 R`: a name and a reference. Compressed streams have no run of such lines.
    let is_entry = |line: &[u8]| line.trim_ascii_start().starts_with(b"/") && line.ends_with(b" R\n");
    let lines: Vec<&[u8]> = pdf.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out = Vec::with_capacity(pdf.len());
    for run in lines.chunk_by(|a, b| is_entry(a) && is_entry(b)) {
        let mut run = run.to_vec();
        run.sort();
        run.iter().for_each(|line| out.extend_from_slice(line));
    }
    out
}

/// A font of the user's for the texts of a figure, which is laid out for DejaVu Sans.
pub struct Font {
    family: String,
    bytes: Vec<u8>,
}

impl Font {
    /// Reads a TrueType or OpenType file.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if it holds no font, or one that is wider than DejaVu Sans: texts would touch.
    pub fn read(path: &Path) -> Result<Font> {
        let bytes = crate::files::read(path)?;
        let wrong = |expected: &str, found: String, fix: &str| {
            Error::field(path.display(), "font", expected, found, fix)
        };
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(bytes.clone());
        let family =
            fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
        let Some(family) = family else {
            let fix = "name a .ttf or .otf file";
            return Err(wrong("a TrueType or OpenType font", "none".into(), fix));
        };
        let font = Font { family, bytes };
        let [own, usual] = [Some(&font), None].map(|font| width(font));
        if own? > 1.02 * usual? {
            let fix = "choose a narrower font: figures are laid out for DejaVu Sans";
            return Err(wrong("no wider than DejaVu Sans", format!("the wider {}", font.family), fix));
        }
        Ok(font)
    }

    /// A figure that asks for this font.
    pub fn asked_for(&self, svg: &str) -> String {
        // No name has these signs, and in an attribute they would end it.
        let family = self.family.replace(['&', '<', '>', '"'], " ");
        svg.replacen("font-family=\"", &format!("font-family=\"{family}, "), 1)
    }
}

/// Width of the letters and digits of a figure in a font, to compare.
fn width(font: Option<&Font>) -> Result<f32> {
    let text = "Fisher information 0123456789";
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"999\" height=\"99\" font-family=\"{FONT_FAMILY}\">\
         <text y=\"50\" font-size=\"20\">{text}</text></svg>"
    );
    let svg = font.map_or(svg.clone(), |font| font.asked_for(&svg));
    Ok(parse(&svg, font)?.root().abs_bounding_box().width())
}

/// The drawing that `svg` describes, its text laid out with a font that is given, else with the built-in one, whatever family it
/// asks for.
pub(crate) fn parse(svg: &str, font: Option<&Font>) -> Result<usvg::Tree> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    font.into_iter().for_each(|font| fonts.load_font_data(font.bytes.clone()));
    fonts.set_sans_serif_family(FONT_FAMILY);
    fonts.set_serif_family(FONT_FAMILY);
    fonts.set_monospace_family(FONT_FAMILY);
    let options = usvg::Options {
        dpi: CSS_DPI as f32,
        font_family: FONT_FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    usvg::Tree::from_str(svg, &options)
        .map_err(|e| Error::field("picture", "svg", "an SVG document", e, "give the text of an SVG figure"))
}

/// For tests: each text of a figure and the corners of its ink in pt, as the renderer lays it out.
#[cfg(test)]
pub(crate) fn text_corners(svg: &str) -> Vec<(String, [(f64, f64); 4])> {
    fn walk(group: &usvg::Group, out: &mut Vec<(String, [(f64, f64); 4])>) {
        for node in group.children() {
            match node {
                usvg::Node::Group(inner) => walk(inner, out),
                usvg::Node::Text(text) => {
                    let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                    // Of the ink: the text's own box has the font's full line height.
                    let b = text.flattened().bounding_box();
                    let corners = [
                        (b.left(), b.top()),
                        (b.right(), b.top()),
                        (b.right(), b.bottom()),
                        (b.left(), b.bottom()),
                    ];
                    let moved = corners.map(|(x, y)| {
                        let mut at = tiny_skia::Point::from_xy(x, y);
                        text.abs_transform().map_point(&mut at);
                        // The renderer counts in CSS pixels.
                        (f64::from(at.x) * 72.0 / CSS_DPI, f64::from(at.y) * 72.0 / CSS_DPI)
                    });
                    out.push((words, moved));
                }
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(parse(svg, None).unwrap().root(), &mut out);
    out
}

/// For tests: each text of a figure and its upright box (left, top, right, bottom) in pt.
#[cfg(test)]
pub(crate) fn text_boxes(svg: &str) -> Vec<(String, [f64; 4])> {
    let upright = |(words, corners): (String, [(f64, f64); 4])| {
        let grown = |b: [f64; 4], &(x, y): &(f64, f64)| [b[0].min(x), b[1].min(y), b[2].max(x), b[3].max(y)];
        let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        (words, corners.iter().fold(none, grown))
    };
    text_corners(svg).into_iter().map(upright).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="25.4mm" height="12.7mm" viewBox="0 0 20 10"><rect width="10" height="10" fill="red"/></svg>"#;

    fn decoded(svg: &str, dpi: f64) -> tiny_skia::Pixmap {
        tiny_skia::Pixmap::decode_png(&svg_to_png(svg, dpi, None).unwrap()).unwrap()
    }

    /// Oracle: the PNG specification: IEND, which has no data, has the check sum ae426082; 300 dpi are 11811 pixels a metre. A wrong
    /// chunk would not be decoded.
    #[test]
    fn a_picture_says_its_resolution() {
        assert_eq!(crc(b"IEND"), 0xae42_6082);
        let png = svg_to_png(SQUARE, 300.0, None).unwrap();
        assert_eq!(&png[37..41], b"pHYs");
        assert_eq!(png[41..45], 11_811u32.to_be_bytes());
        assert_eq!((png[49], decoded(SQUARE, 300.0).width()), (1, 300));
    }

    /// Oracle: one inch by half an inch at 200 dpi is 200 x 100 pixels by definition of dpi; the left half is
    /// red.
    #[test]
    fn one_inch_has_dpi_pixels() {
        let picture = decoded(SQUARE, 200.0);
        assert_eq!((picture.width(), picture.height()), (200, 100));
        let colour = |x, y| picture.pixel(x, y).map(|p| (p.red(), p.green(), p.blue()));
        assert_eq!(colour(50, 50), Some((255, 0, 0)));
        assert_eq!(colour(150, 50), Some((255, 255, 255)));
    }

    /// Oracle: the PNG header itself (width and height as big-endian words after the IHDR tag). Text without
    /// any known family must still leave ink: a font database without defaults would drop it silently.
    #[test]
    fn text_is_drawn_with_the_built_in_font_whatever_its_family() {
        for family in ["DejaVu Sans, sans-serif", "No Such Font", "serif"] {
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="96" height="48"><text x="5" y="40" font-size="40" font-family="{family}">8</text></svg>"#
            );
            let png = svg_to_png(&svg, 96.0, None).unwrap();
            assert_eq!(png[16..24], [0, 0, 0, 96, 0, 0, 0, 48]);
            let picture = tiny_skia::Pixmap::decode_png(&png).unwrap();
            let ink = picture.pixels().iter().filter(|p| p.red() < 128).count();
            assert!(ink > 100, "{family}: {ink} dark pixels");
        }
    }

    #[test]
    fn the_same_text_gives_the_same_bytes() {
        assert_eq!(svg_to_png(SQUARE, 150.0, None).unwrap(), svg_to_png(SQUARE, 150.0, None).unwrap());
        let text = WORD.replace("WORD", "loss");
        assert_eq!(svg_to_pdf(&text, None).unwrap(), svg_to_pdf(&text, None).unwrap());
        assert!(!String::from_utf8_lossy(&svg_to_pdf(&text, None).unwrap()).contains("Date"));
        // Twenty resources have 20! orders.
        let circle =
            |i: usize| format!("<circle cx=\"{i}\" cy=\"9\" r=\"5\" fill-opacity=\".{:02}\"/>", i + 10);
        let circles: String = (0..20).map(circle).collect();
        let svg = WORD.replace("<text", &format!("{circles}<text"));
        assert_eq!(svg_to_pdf(&svg, None).unwrap(), svg_to_pdf(&svg, None).unwrap());
    }

    const WORD: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="25.4mm" height="12.7mm" viewBox="0 0 72 36"><text x="5" y="30" font-size="20">WORD</text></svg>"#;

    /// Oracle: the PDF's own words. An inch is 72 pt by definition; text drawn as outlines would leave no font,
    /// and a font that is only named no font file.
    #[test]
    fn a_page_has_the_size_of_the_figure_and_carries_its_font() {
        let bytes = svg_to_pdf(&WORD.replace("WORD", "loss"), None).unwrap();
        let pdf = String::from_utf8_lossy(&bytes);
        assert!(pdf.starts_with("%PDF"));
        let page = pdf.split_once("/MediaBox [").unwrap().1.split_once(']').unwrap().0;
        let page: Vec<f64> = page.split_whitespace().map(|v| v.parse().unwrap()).collect();
        // Sizes are f32.
        assert!((page[2] - 72.0).abs() < 1e-4 && (page[3] - 36.0).abs() < 1e-4, "{page:?}");
        assert!(pdf.contains("+DejaVuSans") && pdf.contains("/FontFile"), "no font");
    }

    /// The built-in font under another name, its letters `parts` / 2048 as wide and high.
    fn other_font(parts: u32) -> Vec<u8> {
        let mut bytes = FONT.to_vec();
        let utf16 = |text: &str| text.bytes().flat_map(|byte| [0, byte]).collect::<Vec<u8>>();
        for [from, to] in
            [["DejaVu", "Narrow"].map(utf16), ["DejaVu", "Narrow"].map(|text| text.bytes().collect())]
        {
            while let Some(at) = bytes.windows(from.len()).position(|own| *own == from) {
                bytes[at..at + from.len()].copy_from_slice(&to);
            }
        }
        // The table `head`, whose place stands in the directory, has the units of an em.
        let entry = bytes.windows(4).position(|tag| tag == b"head").unwrap();
        let at = u32::from_be_bytes(bytes[entry + 8..entry + 12].try_into().unwrap()) as usize + 18;
        bytes[at..at + 2].copy_from_slice(&((2048 * 2048 / parts) as u16).to_be_bytes());
        bytes
    }

    /// Oracle: the built-in font itself with letters half as wide, or twice: these are refused, since words would touch. The figure
    /// asks for the font, the PDF carries it, and signs that it lacks are the built-in font's.
    #[test]
    fn a_font_of_ones_own_is_used_if_it_is_narrow_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.ttf");
        crate::files::write(&path, &other_font(1024)).unwrap();
        let font = Font::read(&path).unwrap();
        assert!((2.0 * width(Some(&font)).unwrap() / width(None).unwrap() - 1.0).abs() < 0.02);
        let family =
            format!("xmlns=\"http://www.w3.org/2000/svg\" font-family=\"{FONT_FAMILY}, sans-serif\"");
        let word = WORD.replace("WORD", "loss").replace("xmlns=\"http://www.w3.org/2000/svg\"", &family);
        let svg = font.asked_for(&word);
        assert!(svg.contains("font-family=\"Narrow Sans, DejaVu Sans, sans-serif\""), "{svg}");
        let pdf = svg_to_pdf(&svg, Some(&font)).unwrap();
        assert!(String::from_utf8_lossy(&pdf).contains("+NarrowSans"), "no font");
        assert_ne!(svg_to_png(&svg, 96.0, Some(&font)).unwrap(), svg_to_png(&svg, 96.0, None).unwrap());
        for (bytes, words) in
            [(other_font(4096), "no wider than DejaVu Sans"), (b"text".to_vec(), "TrueType")]
        {
            crate::files::write(&path, &bytes).unwrap();
            let message = Font::read(&path).err().unwrap().to_string();
            assert!(message.contains(words) && message.contains("own.ttf"), "{message}");
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(svg_to_pdf("not svg", None), Err(Error::Field { .. })));
        for (svg, dpi) in
            [("not svg", 100.0), (SQUARE, 0.0), (SQUARE, f64::NAN), (SQUARE, 1e9), (SQUARE, 1e-9)]
        {
            assert!(matches!(svg_to_png(svg, dpi, None), Err(Error::Field { .. })), "{svg} at {dpi}");
        }
    }
}
