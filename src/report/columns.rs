//! Columns of `SURFACE.csv` beyond the loss: its standard error and the task's metrics, in the order of a [`Grid`].

use std::path::Path;

use super::surface_file::Grid;
use crate::error::{Error, Result};
use crate::files;

/// Every column after `loss` with its values at `[iy][ix]`, y outer; what is no number is NaN.
///
/// # Errors
///
/// [`Error::Field`] for rows that the grid does not have.
pub fn columns(path: &Path, grid: &Grid) -> Result<Vec<(String, Vec<f64>)>> {
    let text = files::read_text(path)?;
    let fix = "make the file with `fisherscape surface`";
    let wrong = |found: String| Error::field(path.display(), "row", "one of this table", found, fix);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let mut columns: Vec<(String, Vec<f64>)> =
        names.iter().map(|name| (name.to_owned(), vec![f64::NAN; grid.loss.len()])).collect();
    let index = |name| names.iter().position(|other| other == name).unwrap_or(0); // the grid was read from it
    let (x, y) = (index("x"), index("y"));
    for row in reader.records() {
        let row = row.map_err(|e| wrong(e.to_string()))?;
        let values: Vec<f64> = row.iter().map(|text| text.parse().unwrap_or(f64::NAN)).collect();
        let find = |axis: &[f64], v: f64| axis.iter().position(|a| *a == v);
        let (Some(ix), Some(iy)) = (find(&grid.x, values[x]), find(&grid.y, values[y])) else {
            return Err(wrong(format!("{row:?}")));
        };
        columns.iter_mut().zip(values).for_each(|((_, column), v)| column[iy * grid.x.len() + ix] = v);
    }
    columns.retain(|(name, _)| !["x", "y", "loss"].contains(&name.as_str()));
    Ok(columns)
}
