//! Reads `SURFACE.vti`: ours, or VTK's own where its numbers are appended, raw, uncompressed and of 64 bits.
//!
//! The trap: such a file has an origin and spacings in place of coordinates, so these come back up to rounding; what is 0 but for
//! that is 0.

use std::path::Path;

use roxmltree::{Document, Node};

use super::super::{Grid, check_count, twice};
use super::{CENTRE, TOLERANCE};
use crate::error::{Error, Result};
use crate::{files, progress};

/// Elements and bytes of the text at most: an array takes one and a hundred or two.
const MOST_ELEMENTS: usize = 2000;
const MOST_TEXT: usize = 1 << 18;
/// What begins the numbers.
const APPENDED: &[u8] = b"<AppendedData";
/// What the file must say of itself, and of its arrays of numbers.
const FILE: [(&str, &str); 3] =
    [("type", "ImageData"), ("byte_order", "LittleEndian"), ("header_type", "UInt64")];
const ARRAY: [(&str, &str); 2] = [("type", "Float64"), ("format", "appended")];
const FIX: &str = "give the surface's .csv or .npz, or have VTK save it appended, raw and uncompressed, with a header of 64 bits, axes that are \
                   not turned, and another name for each array";

/// A field that is not as expected: its name, what was expected and what was found.
type Wrong = (String, String, String);

pub(in crate::tables::surface) fn read(path: &Path) -> Result<Grid> {
    let bytes = files::read(path)?;
    let refused = |(field, expected, found): Wrong| Error::field(path.display(), field, expected, found, FIX);
    let (text, numbers) = parts(&bytes).map_err(refused)?;
    let document = Document::parse(&text).map_err(|e| refused(wrong("XML", "VTK's XML", &e.to_string())))?;
    let image = Image::new(&document, numbers).map_err(refused)?;
    let [x, y, z] = &image.axes;
    let points = x.len() * y.len() * z.len();
    check_count(path, "WholeExtent", Some(points))?;
    if let Some(twice) = twice(image.points.iter().filter_map(|own| own.attribute("Name"))) {
        return Err(refused(wrong("PointData", "names, each once", &format!("`{twice}` twice"))));
    }
    let (loss, others): (Vec<Node>, Vec<Node>) =
        image.points.iter().partition(|array| array.attribute("Name") == Some("loss"));
    let loss = loss.first().ok_or_else(|| refused(wrong("PointData", "an array `loss`", "none")))?;
    let loss = image.numbers(*loss, points).map_err(refused)?;
    if let [height] = z[..]
        && height != 0.0
    {
        progress::note(format!("{}: a plane at z = {height}; taken for one at z = 0", path.display()));
    }
    let z = Some(z.clone()).filter(|z| z.len() > 1);
    let mut grid = Grid::new(path, ["x", "y"], [x.clone(), y.clone()], z, loss)?;
    for array in others {
        match (array.attribute("Name"), image.numbers(array, points)) {
            (Some(name), Ok(values)) => grid.columns.push((name.to_string(), values)),
            (name, _) => {
                let (path, name) = (path.display(), name.unwrap_or("an array without a name"));
                progress::excluded(format!(
                    "{path}: `{name}` is ignored: it has not one number of 64 bits a point"
                ));
            }
        }
    }
    let centre = image.field.iter().find(|array| array.attribute("Name") == Some(CENTRE));
    let centre = centre.map(|array| image.numbers(*array, 1)).transpose().map_err(refused)?;
    grid.centre = grid.centre.or(centre.and_then(|values| values.first().copied()));
    Ok(grid)
}

fn wrong(field: &str, expected: &str, found: &str) -> Wrong {
    (field.to_string(), expected.to_string(), found.to_string())
}

/// The text before the numbers as whole XML, and the numbers.
fn parts(bytes: &[u8]) -> std::result::Result<(String, &[u8]), Wrong> {
    let missing = |found| wrong("AppendedData", "encoding=\"raw\" and numbers behind the text", found);
    let place = bytes.windows(APPENDED.len()).position(|own| own == APPENDED);
    let (text, rest) = bytes.split_at(place.ok_or_else(|| missing("none"))?);
    let end = rest.iter().position(|b| *b == b'>').ok_or_else(|| missing("none"))?;
    let (tag, rest) = rest.split_at(end);
    if !String::from_utf8_lossy(tag).contains("encoding=\"raw\"") {
        return Err(missing("another encoding"));
    }
    let begin = rest.iter().position(|b| *b == b'_').ok_or_else(|| missing("none"))?;
    // Deep or long enough, a text would end or hold up the program that reads it.
    let elements = text.iter().filter(|b| **b == b'<').count();
    if elements > MOST_ELEMENTS || text.len() > MOST_TEXT {
        let found = format!("{elements} elements in {} bytes", text.len());
        return Err(wrong("XML", &format!("at most {MOST_ELEMENTS} elements in {MOST_TEXT} bytes"), &found));
    }
    Ok((format!("{}</VTKFile>", String::from_utf8_lossy(text)), &rest[begin + 1..]))
}

/// What a file says of itself.
struct Image<'a, 'b> {
    /// Coordinates along x, y and z.
    axes: [Vec<f64>; 3],
    /// The arrays of the points, and those of the field.
    points: Vec<Node<'a, 'b>>,
    field: Vec<Node<'a, 'b>>,
    numbers: &'a [u8],
}

impl<'a, 'b> Image<'a, 'b> {
    fn new(document: &'a Document<'b>, numbers: &'a [u8]) -> std::result::Result<Image<'a, 'b>, Wrong> {
        let file = document.root_element();
        for (name, expected) in FILE {
            let found = file.attribute(name).unwrap_or("none");
            if found != expected {
                return Err(wrong(name, expected, found));
            }
        }
        if let Some(found) = file.attribute("compressor") {
            return Err(wrong("compressor", "none", found));
        }
        // Which way the axes point, row by row.
        let turned = child(file, "ImageData").and_then(|image| image.attribute("Direction"));
        let upright = |text: &str| {
            let numbers = text.split_whitespace().map(str::parse::<f64>);
            numbers.eq([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0].map(Ok))
        };
        if let Some(found) = turned.filter(|text| !upright(text)) {
            return Err(wrong(
                "Direction",
                "1 0 0 0 1 0 0 0 1: axes that are not turned",
                &format!("`{found}`"),
            ));
        }
        let there = |node, name| child(node, name).ok_or_else(|| wrong(name, "there", "none"));
        let image = there(file, "ImageData")?;
        let piece = there(image, "Piece")?;
        let extents = [image.attribute("WholeExtent"), piece.attribute("Extent")];
        if extents[0] != extents[1] {
            return Err(wrong("Extent", "that of the whole", extents[1].unwrap_or("none")));
        }
        // A few bytes may name any size.
        let axes = axes(image, numbers.len() / size_of::<f64>()).ok_or_else(|| {
            let found =
                ["WholeExtent", "Origin", "Spacing"].map(|name| image.attribute(name).unwrap_or("none"));
            let expected = "an extent with a number for each point, an origin, and spacings above 0";
            wrong("ImageData", expected, &found.join("; "))
        })?;
        let arrays = |name| {
            let all = child(image, name).or(child(piece, name)).into_iter();
            all.flat_map(|data| data.children()).filter(|array| array.has_tag_name("DataArray")).collect()
        };
        Ok(Image { axes, points: arrays("PointData"), field: arrays("FieldData"), numbers })
    }

    /// The numbers of an array, if it has so many.
    fn numbers(&self, array: Node, count: usize) -> std::result::Result<Vec<f64>, Wrong> {
        let name = array.attribute("Name").unwrap_or("an array without a name");
        for (attribute, expected) in ARRAY {
            let found = array.attribute(attribute).unwrap_or("none");
            if found != expected {
                return Err(wrong(name, &format!("{attribute}=\"{expected}\""), found));
            }
        }
        let offset = array.attribute("offset").and_then(|offset| offset.parse::<usize>().ok());
        let block = offset.and_then(|offset| self.numbers.get(offset..)).unwrap_or_default();
        // Its length in bytes stands before it.
        let length = block.first_chunk().map(|length| u64::from_le_bytes(*length));
        let own = block.get(size_of::<u64>()..).and_then(|own| own.get(..count * size_of::<f64>()));
        match own.filter(|own| length == Some(own.len() as u64)) {
            Some(own) => Ok(own.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            None => {
                let found = length.map_or("none".into(), |length| format!("{length} bytes"));
                Err(wrong(name, &format!("{count} numbers at its offset"), &found))
            }
        }
    }
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|own| own.has_tag_name(name))
}

/// The coordinates along the axes of an image of at most so many points; none where it does not say.
fn axes(image: Node, most: usize) -> Option<[Vec<f64>; 3]> {
    let words = |name| Some(image.attribute(name)?.split_whitespace());
    let whole: Option<Vec<i32>> = words("WholeExtent")?.map(|word| word.parse().ok()).collect();
    let decimals = |name| words(name)?.map(|word| word.parse::<f64>().ok()).collect::<Option<Vec<f64>>>();
    let ends: [i32; 6] = whole?.try_into().ok()?;
    let [origin, steps]: [[f64; 3]; 2] =
        [decimals("Origin")?.try_into().ok()?, decimals("Spacing")?.try_into().ok()?];
    let size = |axis: usize| usize::try_from(i64::from(ends[2 * axis + 1]) - i64::from(ends[2 * axis]) + 1);
    let sizes = [size(0).ok()?, size(1).ok()?, size(2).ok()?];
    let all = sizes.iter().try_fold(1usize, |all, own| all.checked_mul(*own))?;
    let usable = |axis: usize| {
        sizes[axis] > 0 && origin[axis].is_finite() && steps[axis].is_finite() && steps[axis] > 0.0
    };
    let coordinates = |axis: usize| {
        let place = |i: usize| origin[axis] + steps[axis] * (f64::from(ends[2 * axis]) + i as f64);
        let least = TOLERANCE * steps[axis] * sizes[axis] as f64;
        (0..sizes[axis]).map(place).map(|v| if v.abs() < least { 0.0 } else { v }).collect()
    };
    (all <= most && (0..3).all(usable)).then(|| [0, 1, 2].map(coordinates))
}
