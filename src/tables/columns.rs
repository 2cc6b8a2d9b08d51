//! Tables of studies, whose first columns differ from study to study: read by the names of columns.

use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::draw::axis::drawable;
use crate::error::{Error, Result};
use crate::files;

/// A table.
pub(crate) struct Columns {
    path: PathBuf,
    fix: &'static str,
    pub header: StringRecord,
    pub rows: Vec<StringRecord>,
}

impl Columns {
    /// Reads a CSV file; `fix` says in messages what file to give.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a row of another length than the header.
    pub fn read(path: &Path, fix: &'static str) -> Result<Columns> {
        let text = files::read_text(path)?;
        let mut table =
            Columns { path: path.to_path_buf(), fix, header: StringRecord::new(), rows: Vec::new() };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        table.header = match reader.headers() {
            Ok(header) => header.clone(),
            Err(e) => return Err(table.wrong("header", "readable", e)),
        };
        for record in reader.records() {
            let row = record.map_err(|e| table.wrong("row", "as long as the header", e))?;
            table.rows.push(row);
        }
        Ok(table)
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.header
            .iter()
            .position(|own| own == name)
            .ok_or_else(|| self.wrong("header", format!("a column {name}"), "none"))
    }

    /// A cell as a number that can be drawn, `None` where it is empty.
    pub fn number(&self, row: usize, column: usize) -> Result<Option<f64>> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|v| drawable(*v));
        self.parsed(row, column, "a number, or empty", |text| match text {
            "" => Some(None),
            text => number(text).map(Some),
        })
    }

    /// A cell as a count.
    pub fn count(&self, row: usize, column: usize) -> Result<usize> {
        self.parsed(row, column, "a number", |text| text.parse().ok())
    }

    fn parsed<T>(
        &self,
        row: usize,
        column: usize,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let text = self.rows[row].get(column).unwrap_or_default();
        let name = self.header.get(column).unwrap_or_default();
        parse(text).ok_or_else(|| self.wrong(name, expected, format!("`{text}` in data row {}", row + 1)))
    }

    pub fn wrong(&self, field: &str, expected: impl ToString, found: impl ToString) -> Error {
        Error::field(self.path.display(), field, expected.to_string(), found.to_string(), self.fix)
    }
}
