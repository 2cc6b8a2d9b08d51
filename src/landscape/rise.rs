//! How far the loss rises around a trained model, and whether it rises further around another one.
//!
//! The rise of a surface is the mean over its grid points within a radius of the centre of `L(a, b) - L(0, 0)`. All
//! points share the examples, so the rise of each example `r_n` is known, and with it a standard error that the errors
//! of the heights cannot give: theirs are dominated by what all points have in common. Two models over one set and one
//! plane are compared example by example in the same way.
//!
//! The trap: this is the uncertainty of the examples alone. Another seed of the training, or another plane, is not in it.
//!
//! `SURFACE.examples.safetensors`: `sums` float64 `[points, N]`, y outer; `centre` float64 `[N]`; `targets`, `x`, `y`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::params::{self, Column};
use crate::stats;

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
}

/// A number with its standard error over examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub se: f64,
}

/// The rise of each example's loss.
#[derive(Clone, Debug)]
pub struct Rise {
    targets: Vec<f64>,
    /// `r_n = Σ_points (s_n(point) - s_n(0)) / points` `[N]`
    rises: Vec<f64>,
    /// Grid points within the radius, the centre left out.
    pub points: usize,
}

/// `SURFACE.examples.safetensors` for `SURFACE.csv`.
pub fn examples_path(surface: &Path) -> PathBuf {
    surface.with_extension("examples.safetensors")
}

impl ByExample {
    /// The rise within `radius` of the centre; `None` without a grid point there.
    pub fn rise(&self, radius: f64) -> Option<Rise> {
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
        let rises = (0..n).map(rise).collect();
        (!near.is_empty()).then(|| Rise { targets: self.targets.clone(), rises, points: near.len() })
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
        params::write_safetensors(path, tensors, metadata)
    }

    /// Reads the file beside a surface.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken file, or tensors that do not fit together.
    pub fn read(path: &Path) -> Result<ByExample> {
        let (mut tensors, _) = params::read_float64(path)?;
        let wrong = |name: &str, found: String| {
            let fix = "make it again with `fisherscape surface --per-example`";
            Error::field(path.display(), name, "float64, fitting the others", found, fix)
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
        Ok(ByExample { targets, centre, points: x.into_iter().zip(y).collect(), sums })
    }
}

impl Rise {
    /// The rise per target, `Σ r_n / M`, with its ratio-estimator standard error (definitions.md section 1).
    pub fn estimate(&self) -> Estimate {
        self.ratio(&self.rises)
    }

    /// This rise minus `other`, paired by example; `None` if the two are not of one set.
    pub fn minus(&self, other: &Rise) -> Option<Estimate> {
        let same = self.targets == other.targets && self.points == other.points;
        let differences: Vec<f64> = self.rises.iter().zip(&other.rises).map(|(a, b)| a - b).collect();
        same.then(|| self.ratio(&differences))
    }

    fn ratio(&self, sums: &[f64]) -> Estimate {
        let value = sums.iter().sum::<f64>() / self.targets.iter().sum::<f64>();
        Estimate { value, se: stats::ratio_se(sums, &self.targets) }
    }
}
