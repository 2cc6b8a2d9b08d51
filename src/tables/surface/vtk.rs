//! `SURFACE.vti`: an image of VTK, as ParaView opens it; of a volume in three dimensions. The loss and every further column are data of
//! the points; the loss of a plane becomes a height by "Warp By Scalar". `centre_loss` stands with the data of the field.
//!
//! Numbers follow the text as they are in memory (`AppendedData`): VTK's decimals know no NaN and no infinity. [`read`](mod@read) reads
//! them.

mod read;

use std::path::Path;

pub(super) use self::read::read;
use super::Grid;
use crate::error::{Error, Result};

const CENTRE: &str = "centre_loss";

/// How far a coordinate may be from its equally spaced place, as a part of the axis.
const TOLERANCE: f64 = 1e-9;

pub(super) fn bytes(grid: &Grid, path: &Path) -> Result<Vec<u8>> {
    grid.check_names(path, &["loss"])?;
    let axes @ [x, y, z] = grid.axes();
    let [dx, dy, dz] = [spacing(x, "x", path)?, spacing(y, "y", path)?, spacing(z, "z", path)?];
    let extent = axes.map(|axis| format!("0 {}", axis.len() - 1)).join(" ");
    let mut numbers = Vec::new();
    // A line of the text; its numbers go behind it, with their length in bytes.
    let mut array = |name: &str, values: &[f64], tuples: &str| {
        let line = format!(
            "<DataArray type=\"Float64\" Name=\"{}\"{tuples} format=\"appended\" offset=\"{}\"/>\n",
            escaped(name),
            numbers.len()
        );
        numbers.extend((size_of_val(values) as u64).to_le_bytes());
        numbers.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        line
    };
    let mut points = array("loss", &grid.loss, "");
    for (name, values) in &grid.columns {
        points += &array(name, values, "");
    }
    let centre = grid.centre.map(|loss| array(CENTRE, &[loss], " NumberOfTuples=\"1\""));
    let field = centre.map_or(String::new(), |line| format!("<FieldData>\n{line}</FieldData>\n"));
    let mut bytes = format!(
        "<?xml version=\"1.0\"?>\n\
         <VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n\
         <ImageData WholeExtent=\"{extent}\" Origin=\"{} {} {}\" Spacing=\"{dx} {dy} {dz}\">\n\
         {field}<Piece Extent=\"{extent}\">\n<PointData Scalars=\"loss\">\n{points}</PointData>\n</Piece>\n</ImageData>\n\
         <AppendedData encoding=\"raw\">\n_",
        x[0], y[0], z[0]
    )
    .into_bytes();
    bytes.extend(numbers);
    bytes.extend(b"\n</AppendedData>\n</VTKFile>\n");
    Ok(bytes)
}

/// The distance of neighbours on an axis; 1 where there are none.
pub(super) fn spacing(axis: &[f64], name: &str, path: &Path) -> Result<f64> {
    let (first, last) = (axis[0], axis[axis.len() - 1]);
    if first == last {
        return Ok(1.0);
    }
    let step = (last - first) / (axis.len() - 1) as f64;
    let place = |i: usize| first + step * i as f64;
    match (0..axis.len()).find(|&i| (axis[i] - place(i)).abs() > TOLERANCE * (last - first)) {
        None => Ok(step),
        Some(i) => {
            let expected = format!("equally spaced in a .vti, {} at place {i}", place(i));
            let fix = "write .npz or .csv, or make the surface with --span and --resolution";
            Err(Error::field(path.display(), name, expected, axis[i], fix))
        }
    }
}

fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
