//! What the tests of figures share.

use crate::draw::image::{svg_to_png, text_boxes};

/// The number of an attribute of one line of SVG.
pub(crate) fn attribute(element: &str, name: &str) -> f64 {
    element.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
}

/// Oracle: the renderer's layout. No two texts touch, and all lie on the sheet; every place is a finite
/// number, and there is a picture. Gives the texts.
pub(crate) fn assert_sound(svg: &str) -> Vec<(String, [f64; 4])> {
    let sheet = svg.replace("pt\"", "\"");
    let (width, height) = (attribute(&sheet, "width"), attribute(&sheet, "height"));
    let boxes = text_boxes(svg);
    for (i, (text, a)) in boxes.iter().enumerate() {
        assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height, "{text} at {a:?}");
        for (other, b) in &boxes[..i] {
            let apart = a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
            assert!(apart, "{text} {a:?} on {other} {b:?}");
        }
    }
    // What an infinite coordinate is written as.
    assert!(!svg.contains("NaN") && !svg.contains(&(i64::MAX / 100).to_string()));
    svg_to_png(svg, 36.0, None).unwrap();
    boxes
}
