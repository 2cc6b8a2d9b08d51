//! Files of loss surfaces: read for figures and findings, written by `surface`, converted by `render`.
//!
//! A format is chosen by the file's ending, one file here for each: `csv`, `hdf5`, `npz` and `vtk`.
//! Every number is kept as it is, NaN, infinities and -0 too.
//!
//! A volume has a third axis, z, and all formats but HDF5, whose layout is of others, hold one. [`planes`] cuts it.
//!
//! The trap: everywhere y is outer and x inner (z outermost), and formats differ in the order in which they name the axes.

mod beside;
mod csv;
mod hdf5;
mod npz;
pub mod planes;
mod refined;
mod vtk;

pub use self::refined::LEVEL;

use std::collections::HashSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// The columns that are no metric, with [`LEVEL`]: the standard error of the loss, and of a sample how many examples were evaluated.
pub const LOSS_SE: &str = "loss_se";
pub const EXAMPLES: &str = "examples";
/// The column with the standard error of a point's loss less the centre's, over the examples that both have.
pub const DIFFERENCE_SE: &str = "difference_se";

/// Largest coordinate that a figure takes.
const LARGEST: f64 = 1e9;

/// A surface on a full grid, or a volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Ascending coordinates.
    pub x: Vec<f64>,
    /// `[0.0]` for a profile along x alone.
    pub y: Vec<f64>,
    /// Of a volume only.
    pub z: Option<Vec<f64>>,
    /// Loss at `[iy][ix]`, y outer; of a volume at `[iz][iy][ix]`.
    pub loss: Vec<f64>,
    /// What else is known of each point, in the order of the loss: `loss_se`, then the task's metrics.
    pub columns: Vec<(String, Vec<f64>)>,
    /// Loss at 0 on every axis: that of the grid where it is a grid point, else what the file says of it.
    pub centre: Option<f64>,
    /// Of a refined surface, whether each loss was evaluated; the others are filled in for drawing, and their columns are NaN.
    pub known: Option<Vec<bool>>,
    /// How many examples stand behind each loss, where `SURFACE.json` says so and each has one target: shares of them are
    /// binomial.
    pub examples: Option<usize>,
    /// Length of the first direction as it was evaluated, where `SURFACE.json` says so.
    pub length: Option<f64>,
}

/// How a surface is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Hdf5,
    Npz,
    /// For ParaView.
    Vtk,
}

impl Format {
    /// The format that a file's ending stands for.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "h5" | "hdf5" => Some(Format::Hdf5),
            "npz" => Some(Format::Npz),
            "vti" => Some(Format::Vtk),
            _ => None,
        }
    }
}

/// Numbers that a file may hold of one kind: a grid of 8192 by 8192. A file of a few bytes may name any size, so it is asked for
/// before memory is.
const MOST: usize = 1 << 26;

/// Says that a volume has no HDF5 file.
pub fn no_volume(path: &Path) -> Error {
    let expected = "one that ends in .csv, .npz or .vti for a volume";
    let found = format!("{}: the layout of these files has two axes", path.display());
    let fix = format!("name it {}, which ParaView opens", path.with_extension("vti").display());
    Error::field("--out", "file name", expected, found, fix)
}

/// Refuses coordinates that a file of this format cannot have.
///
/// # Errors
///
/// [`Error::Field`] for `.vti`, which has a spacing in place of coordinates.
pub fn check_axis(path: &Path, name: &str, axis: &[f64]) -> Result<()> {
    match Format::of(path) {
        Some(Format::Vtk) => vtk::spacing(axis, name, path).map(drop),
        _ => Ok(()),
    }
}

/// A name that stands there twice.
fn twice<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Refuses more numbers than a surface has; none: more than can be counted.
fn check_count(path: &Path, name: &str, count: Option<usize>) -> Result<()> {
    let found = match count {
        Some(count) if count <= MOST => return Ok(()),
        Some(count) => format!("{count}, {} MiB of memory", count >> 17),
        None => "more than can be counted".into(),
    };
    let fix = "give a surface with fewer points, or fetch the file again";
    Err(Error::field(path.display(), name, format!("at most {MOST} numbers"), found, fix))
}

impl Grid {
    /// Reads a surface, its format by the file's ending.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for an ending that is not read, a broken file, a missing column or array, numbers that do not make
    /// a full grid.
    pub fn read(path: &Path) -> Result<Grid> {
        match Format::of(path) {
            Some(Format::Csv) => csv::read(path),
            Some(Format::Hdf5) => hdf5::read(path),
            Some(Format::Npz) => npz::read(path),
            Some(Format::Vtk) => vtk::read(path),
            None => {
                let (expected, fix) =
                    ("one that ends in .csv, .h5, .npz or .vti", "make the file with `fisherscape surface`");
                Err(Error::field(path.display(), "file name", expected, "another", fix))
            }
        }
    }

    /// Writes a surface, its format by the file's ending; all or nothing, and the same bytes each time. Beside a .csv,
    /// whose rows are the grid's alone, the loss at another centre goes to the .json.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] as [`Grid::bytes`], and [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.bytes(path)?;
        if Format::of(path) == Some(Format::Csv) {
            csv::write_centre(self, path)?;
        }
        files::write(path, &bytes)
    }

    /// What [`Grid::write`] would write.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for an ending that is not written, a column whose name the format does not take, and for
    /// coordinates that are not equally spaced in a .vti.
    pub fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        if self.known.is_some() && Format::of(path) != Some(Format::Csv) {
            let (expected, fix) = ("a .csv for a refined surface", "make the surface without --refine");
            return Err(Error::field(path.display(), "file name", expected, "a format of full grids", fix));
        }
        if self.z.is_some() && Format::of(path) == Some(Format::Hdf5) {
            return Err(no_volume(path));
        }
        match Format::of(path) {
            Some(Format::Csv) => csv::bytes(self, path),
            Some(Format::Hdf5) => hdf5::bytes(self, path),
            Some(Format::Npz) => npz::bytes(self, path),
            Some(Format::Vtk) => vtk::bytes(self, path),
            None => {
                let expected = "one that ends in .csv, .h5, .npz or .vti";
                Err(Error::field(path.display(), "file name", expected, "another", "name it SURFACE.csv"))
            }
        }
    }

    /// Whether a figure can scale the numbers of the surface read from `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for coordinates and losses of extreme size. Not a number and infinite are shown as such.
    pub fn check_drawable(&self, path: &Path) -> Result<()> {
        let fix = "scale it, or convert the file without drawing it";
        if let Some(far) = self.axes().into_iter().flatten().find(|v| v.abs() > LARGEST) {
            return Err(Error::field(
                path.display(),
                "coordinates",
                "below 1e9 in a figure",
                format!("{far:e}"),
                fix,
            ));
        }
        let drawn = |v: f64| !v.is_finite() || v == 0.0 || (1e-30..1e30).contains(&v.abs());
        match self.loss.iter().find(|v| !drawn(**v)) {
            Some(loss) => {
                let expected = "between 1e-30 and 1e30 in size in a figure";
                Err(Error::field(path.display(), "loss", expected, format!("{loss:e}"), fix))
            }
            None => Ok(()),
        }
    }

    /// A grid of numbers that were read under the names `[x, y]`, and z, as many losses as points; its further columns, and
    /// the loss at a centre that is no grid point, are the reader's to add.
    fn new(
        path: &Path,
        names: [&str; 2],
        mut axes: [Vec<f64>; 2],
        mut z: Option<Vec<f64>>,
        loss: Vec<f64>,
    ) -> Result<Grid> {
        for (name, axis) in names.into_iter().chain(["z"]).zip(axes.iter_mut().chain(&mut z)) {
            // Adding 0 makes -0 and 0 one coordinate.
            axis.iter_mut().for_each(|v| *v += 0.0);
            let ascending = axis.windows(2).all(|w| w[0] < w[1]) && axis.iter().all(|v| v.is_finite());
            if axis.is_empty() || !ascending {
                let few = axis
                    .get(..8)
                    .map_or(format!("{axis:?}"), |few| format!("{} values, first {few:?}", axis.len()));
                let found = if axis.is_empty() { "none".into() } else { few };
                let fix = "sort the coordinates, and the losses with them";
                return Err(Error::field(path.display(), name, "finite, ascending and distinct", found, fix));
            }
        }
        let [x, y] = axes;
        let mut grid = Grid { x, y, z, loss, ..Grid::default() };
        grid.centre = grid.origin().map(|i| grid.loss[i]);
        Ok(grid)
    }

    /// The coordinates along x, y and z; of what is no volume z is 0.
    pub fn axes(&self) -> [&[f64]; 3] {
        [&self.x, &self.y, self.z.as_deref().unwrap_or(&[0.0])]
    }

    /// Coordinates of the points, z outer, then y.
    pub fn points(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        let [xs, ys, zs] = self.axes();
        let row = move |y: f64, z: f64| xs.iter().map(move |&x| [x, y, z]);
        zs.iter().flat_map(move |&z| ys.iter().flat_map(move |&y| row(y, z)))
    }

    /// Which point lies at 0 on every axis.
    pub fn origin(&self) -> Option<usize> {
        let [x, y, z] = self.axes().map(|axis| axis.iter().position(|v| *v == 0.0));
        Some((z? * self.y.len() + y?) * self.x.len() + x?)
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        self.columns.iter().find(|(own, _)| own == name).map(|(_, values)| values.as_slice())
    }

    /// Whether a point was evaluated, not filled in.
    fn knows(&self, i: usize) -> bool {
        self.known.as_ref().is_none_or(|known| known.get(i).copied().unwrap_or(false))
    }

    /// How many points were evaluated.
    pub fn evaluated(&self) -> usize {
        (0..self.loss.len()).filter(|&i| self.knows(i)).count()
    }

    /// Whether it is a profile along x alone.
    fn is_profile(&self) -> bool {
        self.y == [0.0] && self.z.is_none()
    }

    /// An error if a column has the name of something else in the file.
    fn check_names(&self, path: &Path, taken: &[&str]) -> Result<()> {
        match self.columns.iter().find(|(name, _)| taken.contains(&name.as_str())) {
            Some((name, _)) => {
                let expected = format!("called otherwise than {}", taken.join(", "));
                Err(Error::field(path.display(), "column", expected, name, "rename the column"))
            }
            None => Ok(()),
        }
    }
}
