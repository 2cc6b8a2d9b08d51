//! The files of numbers that commands write, and figures, pages and stories read: one schema each.
//!
//! A table is the type of its rows: their fields are its columns, and the words on a field say what the column holds and
//! in what unit. Where a computation gives the rows themselves, the type stands beside it and here is what its file is
//! called; rows that a command puts together stand here. [`ALL`] lists them.
//!
//! Surfaces ([`surface`]) are grids with formats of their own, and studies ([`study`]) have the settings of their cells
//! as further columns.

pub mod agree;
pub mod agreement;
mod audit;
pub mod columns;
pub mod connect;
pub mod damage;
pub mod examples;
mod fisher;
pub mod merge;
pub mod page;
pub mod prune;
mod schedule;
mod schema;
pub mod sharpness;
mod stability;
pub mod study;
pub mod surface;
pub mod topology;
pub mod training;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dropout::rates;
use crate::error::{Error, Result};
use crate::files;
use crate::fisher::concentration::{ConcentrationRow, HistogramRow, LorenzRow, SortedRow};
use crate::fisher::shares::{CurveRow, ShareRow};
use crate::landscape::directions::Mark;
use crate::landscape::mask::Moved;
use crate::landscape::sharpness::{self as sharp, Comparison};
use crate::stability::audit::{AuditRow, DriverRow, VariantRow};
use crate::stability::components::{ComponentRow, MaskRow};
use crate::stability::heads::HeadRow;
use crate::stability::needed::NeededRow;
use crate::stability::overlap::OverlapRow;
use crate::stability::ranks::RankRow;
use crate::stability::summary::{SummaryRow, Trust};
use crate::stability::tails::TailRow;
use crate::stability::types::TypeRow;
use crate::stability::{AgreementRow, ScoreRow};
use agree::PairRow;
use connect::ConnectRow;
use damage::{BinRow, CorrelationRow, LayerRow, PerturbedRow};
use examples::ExampleRow;
use merge::MergeRow;
use prune::PruneRow;
pub use schema::{Schema, columns};
use sharpness::{BlockRow, BlockSpectrumRow, SpectrumRow};
use study::{AlongRow, RunRow, StudyRow};
use topology::{BasinRow, DifferenceRow, MinimumRow};
use training::{HistoryRow, MetricRow, PredictionRow};

/// A row of a CSV file, and what is known of the file.
pub trait Table: Serialize + DeserializeOwned {
    /// What it is called; in capitals where the user names it.
    const FILE: &'static str;
    /// What to do about one that cannot be read.
    const FIX: &'static str;
    /// Files in the same folder that its figure reads where they are there.
    const BESIDE: &'static [&'static str] = &[];

    /// Checks what its columns may hold.
    ///
    /// # Errors
    ///
    /// What is wrong, for a message.
    fn check(&self) -> std::result::Result<(), Wrong> {
        Ok(())
    }
}

/// A cell that its column does not allow.
pub struct Wrong {
    pub field: &'static str,
    pub expected: &'static str,
    pub found: String,
}

impl Wrong {
    pub fn new(field: &'static str, expected: &'static str, found: impl ToString) -> Wrong {
        Wrong { field, expected, found: found.to_string() }
    }
}

/// Every table.
pub const ALL: [Schema; 56] = [
    Schema::of::<crate::fisher::files::Row>(),
    Schema::of::<rates::Row>(),
    Schema::of::<HistoryRow>(),
    Schema::of::<MetricRow>(),
    Schema::of::<PredictionRow>(),
    Schema::of::<Moved>(),
    Schema::of::<Mark>(),
    Schema::of::<sharp::Row>(),
    Schema::of::<SpectrumRow>(),
    Schema::of::<BlockRow>(),
    Schema::of::<BlockSpectrumRow>(),
    Schema::of::<Comparison>(),
    Schema::of::<ScoreRow>(),
    Schema::of::<AgreementRow>(),
    Schema::of::<SummaryRow>(),
    Schema::of::<Trust>(),
    Schema::of::<TypeRow>(),
    Schema::of::<RankRow>(),
    Schema::of::<TailRow>(),
    Schema::of::<NeededRow>(),
    Schema::of::<ComponentRow>(),
    Schema::of::<MaskRow>(),
    Schema::of::<HeadRow>(),
    Schema::of::<OverlapRow>(),
    Schema::of::<AuditRow>(),
    Schema::of::<VariantRow>(),
    Schema::of::<DriverRow>(),
    Schema::of::<ConcentrationRow>(),
    Schema::of::<LorenzRow>(),
    Schema::of::<HistogramRow>(),
    Schema::of::<SortedRow>(),
    Schema::of::<LayerRow>(),
    Schema::of::<CorrelationRow>(),
    Schema::of::<PerturbedRow>(),
    Schema::of::<BinRow>(),
    Schema::of::<PruneRow>(),
    Schema::of::<MergeRow>(),
    Schema::of::<ConnectRow>(),
    Schema::of::<PairRow>(),
    Schema::of::<agree::ScoreRow>(),
    Schema::of::<MinimumRow>(),
    Schema::of::<BasinRow>(),
    Schema::of::<DifferenceRow>(),
    Schema::of::<ExampleRow>(),
    Schema::of::<ShareRow>(),
    Schema::of::<CurveRow>(),
    Schema::of::<StudyRow>(),
    Schema::of::<AlongRow>(),
    Schema::of::<RunRow>(),
    Schema::of::<page::Training>(),
    Schema::of::<page::McNemar>(),
    Schema::of::<page::Surface>(),
    Schema::of::<page::Basins>(),
    Schema::of::<page::Site>(),
    Schema::of::<page::Sharp>(),
    Schema::of::<page::SharpRun>(),
];

/// The rows of a table, checked.
///
/// # Errors
///
/// [`Error::Field`] for missing columns, or a cell that its column does not allow.
pub fn read<T: Table>(path: &Path) -> Result<Vec<T>> {
    let rows: Vec<T> = files::read_csv(path, T::FIX)?;
    for row in &rows {
        let refused =
            |wrong: Wrong| Error::field(path.display(), wrong.field, wrong.expected, wrong.found, T::FIX);
        row.check().map_err(refused)?;
    }
    Ok(rows)
}

/// As [`read`], of a table with at least one row.
///
/// # Errors
///
/// As [`read`]; and [`Error::Field`] where there is no row.
pub fn read_some<T: Table>(path: &Path) -> Result<Vec<T>> {
    let rows = read(path)?;
    match rows.is_empty() {
        true => Err(Error::field(path.display(), "rows", "at least one", "none", T::FIX)),
        false => Ok(rows),
    }
}

/// The rows of a table in the folder of another file; none where it is not there.
pub fn read_beside<T: Table>(path: &Path) -> Result<Vec<T>> {
    let beside = path.with_file_name(T::FILE);
    if files::exists(&beside) { read(&beside) } else { Ok(Vec::new()) }
}

/// A table, and what there is beside it.
pub fn with_beside(path: &Path, beside: &[&str]) -> Vec<PathBuf> {
    let others = beside.iter().map(|name| path.with_file_name(name)).filter(|file| files::exists(file));
    [path.to_path_buf()].into_iter().chain(others).collect()
}

/// Writes a table into a folder.
pub fn write<T: Table>(folder: &Path, rows: &[T]) -> Result<()> {
    files::write_csv(&folder.join(T::FILE), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CSV files of the gallery: path and header.
    fn gallery() -> Vec<(PathBuf, csv::StringRecord)> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for path in files::list(folder).unwrap() {
                match path.is_dir() {
                    true => walk(&path, found),
                    false => {
                        found.extend(Some(path).filter(|path| path.extension().is_some_and(|e| e == "csv")))
                    }
                }
            }
        }
        let mut found = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("figures"), &mut found);
        let header = |path: PathBuf| {
            let header = csv::Reader::from_path(&path).unwrap().headers().unwrap().clone();
            (path, header)
        };
        found.into_iter().map(header).collect()
    }

    /// Oracle: the files that runs wrote, some of them by earlier versions, which lack columns that a reader can do
    /// without, or have some that are no more. Catches a column that is renamed, lost or in another place, in files whose names are fixed.
    #[test]
    fn columns_are_those_of_the_files() {
        let (mut seen, files) = (Vec::new(), gallery());
        for (path, header) in &files {
            let named = |schema: &&Schema| path.file_name().is_some_and(|name| name == schema.file);
            // Metrics, settings of cells.
            let open =
                ["history.csv", "study.csv", "runs.csv"].map(|name| path.ends_with(name)).contains(&true);
            let retired = ["bootstrap_low", "bootstrap_high"];
            let length = header.iter().filter(|name| !retired.contains(name)).count();
            let same = |schema: &Schema| {
                let columns = schema.columns();
                let own: Vec<&str> = header.iter().filter(|name| columns.contains(name)).collect();
                let there = columns.iter().copied().filter(|name| own.contains(name));
                schema.fit(header).is_some() && there.eq(own.iter().copied()) && (open || own.len() == length)
            };
            // Two commands write a scores.csv; that of a study has its metrics as columns.
            let own: Vec<&Schema> = ALL.iter().filter(named).collect();
            let any = own.is_empty()
                || own.iter().any(|schema| same(schema))
                || path.ends_with("tables/scores.csv");
            assert!(any, "{}: {header:?}", path.display());
            seen.extend(own.iter().map(|schema| schema.file));
        }
        for file in [
            "history.csv",
            "agreement.csv",
            "needed.csv",
            "layers.csv",
            "pairs.csv",
            "sorted.csv",
            "study.csv",
        ] {
            assert!(seen.contains(&file), "{file} is not in the gallery");
        }
    }

    /// Oracle: `Option` and `default` in the types. A file of an earlier version may lack such columns; a
    /// file that lacks any other column is a different table. Each file named in `BESIDE` is in the list of tables.
    #[test]
    fn a_table_is_known_by_the_columns_that_it_must_have() {
        let header = |names: &[&str]| csv::StringRecord::from(names.to_vec());
        for schema in ALL {
            let columns = schema.columns();
            assert_eq!(schema.fit(&header(columns)), Some(columns.len()), "{}", schema.file);
            let more = [&["more"], columns].concat();
            assert_eq!(schema.fit(&header(&more)), Some(columns.len()));
            for name in schema.beside {
                assert!(ALL.iter().any(|other| other.file == *name), "{name} is no table");
            }
        }
        let agreement = Schema::of::<AgreementRow>();
        let without = |name: &str| {
            header(&agreement.columns().iter().copied().filter(|own| *own != name).collect::<Vec<_>>())
        };
        assert_eq!(agreement.fit(&without("rate_difference")), Some(35));
        assert_eq!(agreement.fit(&without("fraction")), None);
        assert_eq!(columns::<rates::Row>(), ["site", "score", "score_se", "rank", "p"]);
        assert_eq!(columns::<ConcentrationRow>()[4..], ["top_0.001", "top_0.01", "top_0.1"]);
    }

    /// Oracle: the file. `draw` reads marks as they are written.
    #[test]
    fn marks_are_read_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.marks.csv");
        let mark = |label: &str, order| Mark { label: label.into(), x: 1.0, y: -0.5, order, distance: 0.25 };
        files::write_csv(&path, &[mark("guided", None), mark("", Some(3))]).unwrap();
        let marks = crate::draw::marks::Marks::read(&path).unwrap();
        assert_eq!((marks.points[0].label.as_str(), marks.points[0].distance), ("guided", Some(0.25)));
        assert_eq!((marks.path[0].x, marks.path[0].y, marks.path[0].order), (1.0, -0.5, Some(3.0)));
        let rows: Vec<Mark> = files::read_csv(&path, Mark::FIX).unwrap();
        assert_eq!(rows, [mark("guided", None), mark("", Some(3))]);
    }
}
