//! `SURFACE.csv`: x, y, loss, loss_se with y outer and x inner; read back for figures.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files;

/// Largest coordinate that a figure takes.
const LARGEST: f64 = 1e9;

/// A surface on a full grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Ascending coordinates.
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// Loss at `[iy][ix]`, y outer.
    pub loss: Vec<f64>,
}

#[derive(Deserialize)]
struct Row {
    x: f64,
    y: f64,
    loss: f64,
}

impl Grid {
    /// Loss at (0, 0), where that is a grid point.
    pub fn centre(&self) -> Option<f64> {
        let zero = |axis: &[f64]| axis.iter().position(|v| *v == 0.0);
        Some(self.loss[zero(&self.y)? * self.x.len() + zero(&self.x)?])
    }

    /// Reads `SURFACE.csv`; rows may stand in any order.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for missing columns, unreadable numbers, points given twice or missing from the grid.
    pub fn read(path: &Path) -> Result<Grid> {
        let fix = "make the file with `fisherscape surface`";
        let wrong = |field: &str, expected: &str, found: String| {
            Error::field(path.display(), field, expected, found, fix)
        };
        let text = files::read_text(path)?;
        let mut rows = Vec::new();
        for row in csv::Reader::from_reader(text.as_bytes()).deserialize::<Row>() {
            let row = row.map_err(|e| wrong("row", "numbers x, y, loss", e.to_string()))?;
            if !(row.x.abs() <= LARGEST && row.y.abs() <= LARGEST) {
                return Err(wrong("x, y", "finite and below 1e9", format!("({}, {})", row.x, row.y)));
            }
            // Not a number and infinite are shown as such; what no figure can scale is no loss.
            if row.loss.is_finite() && row.loss != 0.0 && !(1e-30..1e30).contains(&row.loss.abs()) {
                return Err(wrong("loss", "between 1e-30 and 1e30 in size", row.loss.to_string()));
            }
            rows.push(row);
        }
        let axis = |get: fn(&Row) -> f64| {
            // Adding 0 makes -0 and 0 one coordinate.
            let mut values: Vec<f64> = rows.iter().map(|row| get(row) + 0.0).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            values
        };
        let (x, y) = (axis(|row| row.x), axis(|row| row.y));
        if x.len() * y.len() != rows.len() || rows.is_empty() {
            let found = format!("{} rows for {} x {} coordinates", rows.len(), x.len(), y.len());
            return Err(wrong("grid", "every pair of coordinates once", found));
        }
        let mut loss: Vec<Option<f64>> = vec![None; rows.len()];
        for row in &rows {
            let find = |axis: &[f64], v: f64| axis.iter().position(|a| *a == v).unwrap_or(0); // made from the rows
            if loss[find(&y, row.y) * x.len() + find(&x, row.x)].replace(row.loss).is_some() {
                return Err(wrong(
                    "grid",
                    "every pair of coordinates once",
                    format!("({}, {}) twice", row.x, row.y),
                ));
            }
        }
        // As many rows as cells and none twice: every cell is filled.
        Ok(Grid { x, y, loss: loss.into_iter().flatten().collect() })
    }
}
