//! `SURFACE.csv`: x, y, of a volume z, loss and further columns, z outer, then y, x inner; numbers are the shortest decimals that read back
//! to the same value. Of a refined surface ([`super::refined`]) the evaluated points alone are rows. The loss at a centre that is no grid point stands in `SURFACE.json` beside it.

use std::cmp::Ordering;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::refined::{self, LEVEL};
use super::{Grid, twice};
use crate::error::{Error, Result};
use crate::files;

/// The columns that stand first.
const NAMES: [&str; 3] = ["x", "y", "loss"];
const NAMES_OF_VOLUME: [&str; 4] = ["x", "y", "z", "loss"];

/// Rows and columns may stand in any order; an empty cell of a further column is not a number.
pub(super) fn read(path: &Path) -> Result<Grid> {
    let wrong = |field: &str, expected: &str, found: String| {
        Error::field(path.display(), field, expected, found, "make the file with `fisherscape surface`")
    };
    let unreadable = |e: csv::Error| wrong("row", "numbers, as many as the header has names", e.to_string());
    let text = files::read_text(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
    if let Some(twice) = twice(header.iter().map(String::as_str)) {
        return Err(wrong("header", "names, each once", format!("`{twice}` twice")));
    }
    let names: &[&str] = if header.iter().any(|name| name == "z") { &NAMES_OF_VOLUME } else { &NAMES };
    // How many of them are coordinates.
    let axes = names.len() - 1;
    // Where those and the loss stand, then the further columns.
    let mut places = Vec::new();
    for name in names {
        let expected = format!("{} and further columns", names.join(", "));
        let found = || wrong("header", &expected, header.join(","));
        places.push(header.iter().position(|column| column == name).ok_or_else(found)?);
    }
    places.extend((0..header.len()).filter(|&i| !names.contains(&header[i].as_str())));
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let number = |&place: &usize| match &record[place] {
            "" if !names.contains(&header[place].as_str()) => Ok(f64::NAN),
            cell => cell.parse::<f64>().map_err(|_| {
                let line = record.position().map_or(0, |position| position.line());
                wrong(&header[place], "a number", format!("`{cell}` in line {line}"))
            }),
        };
        let mut row = places.iter().map(number).collect::<Result<Vec<f64>>>()?;
        if !row[..axes].iter().all(|v| v.is_finite()) {
            return Err(wrong(&names[..axes].join(", "), "finite", point(&row[..axes])));
        }
        // Adding 0 makes -0 and 0 one coordinate.
        row[..axes].iter_mut().for_each(|v| *v += 0.0);
        rows.push(row);
    }
    let mut all = (0..axes).map(|i| {
        let mut axis: Vec<f64> = rows.iter().map(|row| row[i]).collect();
        axis.sort_by(f64::total_cmp);
        axis.dedup();
        axis
    });
    let (x, y, z) = (all.next().unwrap_or_default(), all.next().unwrap_or_default(), all.next());
    drop(all);
    let size = [Some(&x), Some(&y), z.as_ref()].into_iter().flatten().map(Vec::len);
    let size = size.fold(1usize, usize::saturating_mul);
    let whole = "every combination of coordinates once";
    let level = places.iter().position(|&place| header[place] == LEVEL);
    if let Some(level) = level.filter(|_| z.is_none() && size != rows.len()) {
        let names: Vec<String> = places[names.len()..].iter().map(|&place| header[place].clone()).collect();
        let refined = refined::read(&rows, level, names);
        let mut grid =
            refined.map_err(|found| wrong(LEVEL, "that of each point of a refined surface", found))?;
        beside(&mut grid, path);
        return Ok(grid);
    }
    if size != rows.len() || rows.is_empty() {
        let third = z.as_ref().map_or(String::new(), |z| format!(" x {}", z.len()));
        let found = format!("{} rows for {} x {}{third} coordinates", rows.len(), x.len(), y.len());
        return Err(wrong("grid", whole, found));
    }
    let outer_first = |a: &[f64], b: &[f64]| {
        let each = a[..axes].iter().zip(&b[..axes]).rev().map(|(a, b)| a.total_cmp(b));
        each.fold(Ordering::Equal, Ordering::then)
    };
    rows.sort_by(|a, b| outer_first(a, b));
    if let Some(twice) = rows.windows(2).find(|pair| pair[0][..axes] == pair[1][..axes]) {
        return Err(wrong("grid", whole, format!("{} twice", point(&twice[0][..axes]))));
    }
    // As many rows as cells and none twice: every cell is filled, and the rows are in the order of the grid.
    let column = |i: usize| rows.iter().map(|row| row[i]).collect::<Vec<f64>>();
    let mut grid = Grid::new(path, ["x", "y"], [x, y], z, column(axes))?;
    grid.columns = (names.len()..places.len()).map(|i| (header[places[i]].clone(), column(i))).collect();
    beside(&mut grid, path);
    Ok(grid)
}

/// Coordinates as a text has them.
fn point(coordinates: &[f64]) -> String {
    let all: Vec<String> = coordinates.iter().map(f64::to_string).collect();
    format!("({})", all.join(", "))
}

/// Adds what `SURFACE.json` says.
fn beside(grid: &mut Grid, path: &Path) {
    let about = about(path);
    grid.centre = grid.centre.or_else(|| centre_beside(&about));
    grid.length = about.get("norms").and_then(|norms| norms.get("x")?.get("evaluated")?.as_f64());
    let count = |name| usize::try_from(about.get("set")?.get(name)?.as_u64()?).ok();
    grid.examples = count("examples").filter(|examples| count("targets") == Some(*examples));
}

pub(super) fn bytes(grid: &Grid, path: &Path) -> Result<Vec<u8>> {
    grid.check_names(path, &NAMES_OF_VOLUME)?;
    let first: &[&str] = if grid.z.is_some() { &NAMES_OF_VOLUME } else { &NAMES };
    let failed = |e: std::io::Error| Error::io(path, "write")(e);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = first.iter().copied().chain(grid.columns.iter().map(|(name, _)| name.as_str()));
    writer.write_record(names).map_err(|e| failed(e.into()))?;
    for (i, at) in grid.points().enumerate().filter(|(i, _)| grid.knows(*i)) {
        let columns = grid.columns.iter().map(|(_, values)| values[i]);
        let coordinates = at.into_iter().take(first.len() - 1);
        let row: Vec<f64> = coordinates.chain([grid.loss[i]]).chain(columns).collect();
        writer.serialize(row).map_err(|e| failed(e.into()))?;
    }
    writer.into_inner().map_err(|e| failed(e.into_error()))
}

/// What stands in `SURFACE.json` beside `SURFACE.csv`; nothing where there is no such file.
fn about(surface: &Path) -> Map<String, Value> {
    let bytes = files::read(&surface.with_extension("json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// JSON has no NaN and no infinity: null is a loss that is not finite.
fn centre_beside(about: &Map<String, Value>) -> Option<f64> {
    let loss = about.get("centre")?.get("loss")?;
    if loss.is_null() { Some(f64::NAN) } else { loss.as_f64() }
}

/// Puts the loss at a centre that is no grid point into `SURFACE.json`, if it does not stand there already, and leaves
/// the rest of that file as it is. Another surface's centre would be taken for this one's.
pub(super) fn write_centre(grid: &Grid, path: &Path) -> Result<()> {
    let on_grid = grid.origin().is_some_and(|i| grid.knows(i));
    let mut about = about(path);
    let beside = centre_beside(&about);
    let same = |a: f64, b: f64| a == b || !a.is_finite() && !b.is_finite();
    if on_grid || beside.zip(grid.centre).map_or(beside == grid.centre, |(a, b)| same(a, b)) {
        return Ok(());
    }
    match grid.centre {
        Some(loss) => about.insert("centre".into(), json!({"loss": loss})),
        None => about.remove("centre"),
    };
    files::write(&path.with_extension("json"), format!("{:#}\n", Value::Object(about)).as_bytes())
}
