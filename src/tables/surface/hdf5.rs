//! `SURFACE.h5`, as the tools of Li et al. (2018) lay it out: `xcoordinates` `[nx]`, `ycoordinates` `[ny]` (none for a
//! profile), `train_loss` `[ny, nx]`, `train_acc` in percent where there is an accuracy, and every column under its own
//! name. The attribute `centre_loss` stands on `train_loss`, and on the file for those who look there: the HDF5 library
//! reads no numbers there.
//!
//! The trap: their files declare `train_loss` as `[nx, ny]` and fill it with y outer all the same, others hold it flat.
//! Read, the numbers have y outer whatever the shape says. Where theirs is -1 nothing was computed.
//!
//! A data set may lie in another file, of any kind and anywhere (external storage, virtual data sets): such a surface would be
//! made of what its author wants to see of this machine. So it is refused.

use std::path::Path;

use rust_hdf5::{H5Dataset, H5File, StorageLayout};

use super::{Grid, check_count};
use crate::error::{Error, Result};
use crate::{files, progress};

const X: &str = "xcoordinates";
const Y: &str = "ycoordinates";
const CENTRE: &str = "centre_loss";
const ACCURACY: &str = "accuracy";
/// What their tools fill, beginning from -1.
const FILLED: [&str; 4] = ["train_loss", "train_acc", "test_loss", "test_acc"];
const FIX: &str = "fetch or make the file again";
/// How many data sets are named of a file that is none of surfaces.
const LISTED: usize = 8;

/// Of `train_loss`; in a file without it of `test_loss`, which is said.
pub(super) fn read(path: &Path) -> Result<Grid> {
    // The system's own words for a file that is not there.
    files::open(path)?;
    let broken = |e: rust_hdf5::Hdf5Error| Error::field(path.display(), "HDF5", "a whole HDF5 file", e, FIX);
    let file = H5File::options().no_locking().open(path).map_err(broken)?;
    let all = file.dataset_names();
    let names: Vec<String> = all.iter().filter(|name| !name.contains('/')).cloned().collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if !has("train_loss") && !has("test_loss") {
        return Err(no_surface(path, &file, &all));
    }
    let numbers = |name: &str| {
        let wrong = |expected: &str, found: String| Error::field(path.display(), name, expected, found, FIX);
        if !has(name) {
            return Err(wrong("a data set", format!("only {}", names.join(", "))));
        }
        let set = file.dataset(name).map_err(broken)?;
        check_own(path, name, &set)?;
        values(&set).map_err(|e| wrong("whole numbers or decimals", e.to_string()))
    };
    let part = if has("test_loss") && !has("train_loss") { "test" } else { "train" };
    if part == "test" {
        progress::note(format!("{}: no train_loss: test_loss is read", path.display()));
    }
    let (loss_name, percent) = (format!("{part}_loss"), format!("{part}_acc"));
    let mut loss = numbers(&loss_name)?;
    let x = numbers(X)?;
    let y = if has(Y) { numbers(Y)? } else { vec![0.0] };
    if loss.len() != x.len() * y.len() {
        let expected = format!("{} values, {} x {}", x.len() * y.len(), x.len(), y.len());
        return Err(Error::field(path.display(), &loss_name, expected, loss.len(), FIX));
    }
    let missing = not_computed(&mut loss);
    if missing > 0 {
        let count = loss.len();
        progress::note(format!(
            "{}: {missing} of {count} points are not computed (-1), read as NaN",
            path.display()
        ));
    }
    let mut grid = Grid::new(path, [X, Y], [x, y], None, loss)?;
    let beside = file.dataset(&loss_name).and_then(|set| set.attr(CENTRE)?.read_numeric_as::<f64>());
    grid.centre = grid.centre.or_else(|| beside.ok()?.first().copied());
    for name in &names {
        // The same in percent is less exact.
        let repeated = *name == percent && has(ACCURACY);
        if repeated || [X, Y, &loss_name].contains(&name.as_str()) {
            continue;
        }
        let set = file.dataset(name).map_err(broken)?;
        // Before it is read: it may be large.
        if count(&set) != Some(grid.loss.len()) {
            progress::excluded(format!("{}: `{name}` of shape {:?} is ignored", path.display(), set.shape()));
            continue;
        }
        check_own(path, name, &set)?;
        let mut column = match values(&set) {
            Ok(column) => column,
            // Text such as `dir_file` is no column.
            Err(rust_hdf5::Hdf5Error::TypeMismatch(_)) => continue,
            Err(e) => return Err(broken(e)),
        };
        if FILLED.contains(&name.as_str()) {
            not_computed(&mut column);
        }
        if *name == percent {
            column.iter_mut().for_each(|v| *v /= 100.0);
            grid.columns.push((ACCURACY.to_string(), column));
        } else {
            grid.columns.push((name.clone(), column));
        }
    }
    Ok(grid)
}

/// What a file without a loss holds, and which file is meant.
fn no_surface(path: &Path, file: &H5File, names: &[String]) -> Error {
    let described = |name: &String| {
        let shape = file.dataset(name).map_or(String::new(), |set| format!(" {:?}", set.shape()));
        format!("{name}{shape}")
    };
    let mut found: Vec<String> = names.iter().take(LISTED).map(described).collect();
    if names.len() > LISTED {
        found.push(format!("and {} more", names.len() - LISTED));
    }
    let found = if found.is_empty() { "no data set".to_string() } else { found.join(", ") };
    let under =
        |folders: &[&str]| names.iter().any(|name| folders.iter().any(|folder| name.starts_with(folder)));
    let (what, fix) = if under(&["xdirection", "ydirection"]) {
        (
            "directions: ",
            "give the surface that was made along them: its name continues with the span, as in NAME.h5_[-1.0,1.0,51]x[-1.0,1.0,51].h5",
        )
    } else if under(&["proj_xcoord", "proj_ycoord"]) {
        (
            "a projected trajectory: ",
            "give the surface that it is drawn over, which has xcoordinates and train_loss",
        )
    } else if under(&["model_weights", "layers/", "optimizer_weights"]) {
        ("a model of Keras: ", "give a surface, which has xcoordinates and train_loss")
    } else {
        (
            "",
            "give a file with xcoordinates, ycoordinates and train_loss, or convert it to a .npz with x, y and loss",
        )
    };
    Error::field(path.display(), "train_loss", "a data set", format!("{what}{found}"), fix)
}

/// Refuses a data set that lies in another file, or is larger than a surface.
fn check_own(path: &Path, name: &str, set: &H5Dataset) -> Result<()> {
    let broken = |e: rust_hdf5::Hdf5Error| Error::field(path.display(), name, "a data set", e, FIX);
    let elsewhere = |found: String| {
        let fix =
            "give a file that holds its numbers itself: other files of this machine are not read through it";
        Err(Error::field(path.display(), name, "a data set in this file", found, fix))
    };
    if let Some(file) = set.external_files().map_err(broken)?.first() {
        return elsewhere(format!("external storage in {}", file.name));
    }
    if set.storage_layout().map_err(broken)? == StorageLayout::Virtual {
        let mappings = set.virtual_mappings().map_err(broken)?;
        let from = mappings.first().map_or("another", |mapping| mapping.source_file_name.as_str());
        return elsewhere(format!("a virtual data set of {from}"));
    }
    check_count(path, name, count(set))?;
    // A chunk is unpacked as a whole, however little of it is used.
    let chunk = set.chunk_dims().unwrap_or_default();
    check_count(path, name, product(&chunk))
}

fn count(set: &H5Dataset) -> Option<usize> {
    if set.is_null() { Some(0) } else { product(&set.shape()) }
}

fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
}

fn values(set: &H5Dataset) -> rust_hdf5::Result<Vec<f64>> {
    let whole = |_| Ok(set.read_numeric_as::<i64>()?.into_iter().map(|v| v as f64).collect());
    set.read_numeric_as::<f64>().or_else(whole)
}

/// Makes -1 not a number; how many there were.
fn not_computed(values: &mut [f64]) -> usize {
    let missing = values.iter_mut().filter(|v| **v == -1.0);
    missing.map(|v| *v = f64::NAN).count()
}

/// The library writes to paths alone: it gets one of its own.
pub(super) fn bytes(grid: &Grid, path: &Path) -> Result<Vec<u8>> {
    grid.check_names(path, &[X, Y, "train_loss", "train_acc"])?;
    let folder = tempfile::tempdir().map_err(Error::io(path, "write"))?;
    let inner = folder.path().join("surface.h5");
    let wrong = |field: &str| {
        let field = field.to_string();
        move |e: rust_hdf5::Hdf5Error| {
            Error::field(path.display(), field, "a name that HDF5 can hold", e, "rename it")
        }
    };
    let file = H5File::options().no_locking().create(&inner).map_err(wrong("file"))?;
    let add = |name: &str, shape: &[usize], values: &[f64]| {
        let set = file.new_dataset::<f64>().shape(shape).create(name).map_err(wrong(name))?;
        set.write_raw(values).map_err(wrong(name))?;
        Ok::<_, Error>(set)
    };
    let (nx, ny) = (grid.x.len(), grid.y.len());
    add(X, &[nx], &grid.x)?;
    if !grid.is_profile() {
        add(Y, &[ny], &grid.y)?;
    }
    let shape: &[usize] = if grid.is_profile() { &[nx] } else { &[ny, nx] };
    let loss = add("train_loss", shape, &grid.loss)?;
    for (name, values) in &grid.columns {
        if name == ACCURACY {
            let percent: Vec<f64> = values.iter().map(|v| 100.0 * v).collect();
            add("train_acc", shape, &percent)?;
        }
        add(name, shape, values)?;
    }
    if let Some(centre) = grid.centre {
        let attribute = loss.new_attr::<f64>().create(CENTRE);
        attribute.and_then(|a| a.write_numeric(&centre)).map_err(wrong(CENTRE))?;
        file.set_attr_numeric(CENTRE, &centre).map_err(wrong(CENTRE))?;
    }
    drop(loss);
    file.close_no_sync().map_err(wrong("file"))?;
    files::read(&inner)
}
