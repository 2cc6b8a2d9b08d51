//! How far the loss rises around a trained model, and whether it rises further around another one.
//!
//! The rise of a surface is the mean over its grid points within a radius of the centre of `L(a, b) - L(0, 0)`. All
//! points share the examples, so the rise of each example `r_n` is known, and with it a standard error that the errors
//! of the heights cannot give: theirs are dominated by what all points have in common. With several planes it is a
//! [`Measure`](super::sharpness::Measure), with which models are compared plane by plane and example by example.
//!
//! `SURFACE.examples.safetensors`: `sums` float64 `[points, N]`, y outer; `centre` float64 `[N]`; `targets`, `x`, `y`; `groups` where some examples are one
//! draw together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::params::{self, Column};
use crate::stats::clusters::Clusters;

/// The loss of each example at each point of a surface.
#[derive(Clone, Debug, PartialEq)]
pub struct ByExample {
    /// `m_n` `[N]`
    pub targets: Vec<f64>,
    /// `s_n` at (0, 0) `[N]`
    pub centre: Vec<f64>,
    /// Coordinates of the grid points, y outer.
    pub points: Vec<(f64, f64)>,
    /// `s_n` at the grid points `[points, N]`
    pub sums: Vec<f64>,
    /// Which examples are one draw.
    pub clusters: Clusters,
}

/// `SURFACE.examples.safetensors` for `SURFACE.csv`.
pub fn examples_path(surface: &Path) -> PathBuf {
    surface.with_extension("examples.safetensors")
}

/// The hash of the set of losses by example, where the file says it.
///
/// # Errors
///
/// [`Error::Field`] for a broken file.
pub fn set_of(path: &Path) -> Result<Option<String>> {
    Ok(params::SafetensorsFile::open(path)?.metadata().remove("set"))
}

impl ByExample {
    /// The rise of each example within `radius` of the centre, `r_n = Σ_points (s_n(point) - s_n(0)) / points` `[N]`; `None`
    /// without a grid point there.
    pub fn rise(&self, radius: f64) -> Option<Vec<f64>> {
        let near = |&(_, &(x, y)): &(usize, &(f64, f64))| {
            let distance = x.hypot(y);
            // A little room, so that (1, 0) written as 0.9999999999999999 counts.
            distance > 0.0 && distance <= radius * (1.0 + 1e-9)
        };
        let near: Vec<usize> = self.points.iter().enumerate().filter(near).map(|(i, _)| i).collect();
        let n = self.targets.len();
        let rise = |example: usize| {
            let heights = near.iter().map(|point| self.sums[point * n + example] - self.centre[example]);
            heights.sum::<f64>() / near.len() as f64
        };
        (!near.is_empty()).then(|| (0..n).map(rise).collect())
    }

    /// The rise of each example at each point less that of another surface there: `[points][N]`. Says what keeps them apart
    /// unless both are of the same examples at the same points.
    pub fn rises_minus(&self, other: &ByExample) -> std::result::Result<Vec<Vec<f64>>, &'static str> {
        if self.targets != other.targets {
            return Err("other examples");
        }
        if self.points != other.points {
            return Err("other coordinates");
        }
        let n = self.targets.len().max(1);
        let rises = |(own, theirs): (&[f64], &[f64])| {
            let rise = |i: usize| (own[i] - self.centre[i]) - (theirs[i] - other.centre[i]);
            (0..own.len()).map(rise).collect()
        };
        Ok(self.sums.chunks(n).zip(other.sums.chunks(n)).map(rises).collect())
    }

    /// Standard error of each point's loss less the centre's, example by example `[points]`.
    pub fn difference_errors(&self) -> Vec<f64> {
        let error = |sums: &[f64]| {
            let differences: Vec<f64> = sums.iter().zip(&self.centre).map(|(s, centre)| s - centre).collect();
            self.clusters.ratio_se(&differences, &self.targets)
        };
        self.sums.chunks(self.targets.len().max(1)).map(error).collect()
    }

    /// Writes the file beside a surface.
    pub fn write(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let (x, y): (Vec<f64>, Vec<f64>) = self.points.iter().copied().unzip();
        let (n, points) = (self.targets.len(), self.points.len());
        let tensors = [
            ("sums", vec![points, n], &self.sums),
            ("centre", vec![n], &self.centre),
            ("targets", vec![n], &self.targets),
            ("x", vec![points], &x),
            ("y", vec![points], &y),
        ];
        let tensors = tensors.map(|(name, shape, values)| (name.to_string(), shape, Column::F64(values)));
        let groups = self.clusters.numbers();
        let groups = groups.as_ref().map(|own| ("groups".to_string(), vec![n], Column::I64(own)));
        params::write_safetensors(path, tensors.into_iter().chain(groups), metadata)
    }

    /// Reads the file beside a surface.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken file, or tensors that do not fit together.
    pub fn read(path: &Path) -> Result<ByExample> {
        let (mut tensors, _) = params::read_numbers(path)?;
        let wrong = |name: &str, found: String| {
            let fix = "make it again with `fisherscape surface --per-example`";
            Error::field(
                path.display(),
                name,
                "float64, and of a size that fits the other tensors",
                found,
                fix,
            )
        };
        let mut values = |name: &str| {
            let tensor = tensors.remove(name).map(|(_, values)| values);
            tensor.ok_or_else(|| wrong(name, "no such tensor".into()))
        };
        let (x, y) = (values("x")?, values("y")?);
        let (targets, centre, sums) = (values("targets")?, values("centre")?, values("sums")?);
        let fits = x.len() == y.len() && centre.len() == targets.len();
        if !fits || sums.len() != x.len() * targets.len() {
            return Err(wrong("sums", format!("{} values", sums.len())));
        }
        let groups = params::take_groups(&mut tensors, targets.len());
        let clusters = Clusters::new(&groups.map_err(|found| wrong("groups", found))?, false);
        Ok(ByExample { targets, centre, points: x.into_iter().zip(y).collect(), sums, clusters })
    }
}
