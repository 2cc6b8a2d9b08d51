//! How far the loss rises around a trained model, and whether it rises further around another one.
//!
//! The rise of a surface is the mean over its grid points within a radius of the centre of `L(a, b) - L(0, 0)`. All
//! points share the examples, so the rise of each example `r_n` is known, and with it a standard error that the errors
//! of the heights cannot give: theirs are dominated by what all points have in common. With several planes it is a
//! [`Measure`](super::sharpness::Measure), with which models are compared plane by plane and example by example.
//!
//! `SURFACE.examples.safetensors`: `sums` float64 `[points, N]`, y outer; `centre` float64 `[N]`; `targets`, `x`, `y`, of a volume `z`, which is then the outer
//! one; `groups` where some examples are one draw together.

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
    /// `s_n` at the centre `[N]`
    pub centre: Vec<f64>,
    /// Coordinates x, y and z of the grid points, z outer, then y; z is 0 but in a volume.
    pub points: Vec<[f64; 3]>,
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
        let near = |&(_, &[x, y, z]): &(usize, &[f64; 3])| {
            let distance = x.hypot(y).hypot(z);
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
        let [x, y, z] = [0, 1, 2].map(|axis| self.points.iter().map(|at| at[axis]).collect::<Vec<f64>>());
        let (n, points) = (self.targets.len(), self.points.len());
        let tensors = [
            ("sums", vec![points, n], &self.sums),
            ("centre", vec![n], &self.centre),
            ("targets", vec![n], &self.targets),
            ("x", vec![points], &x),
            ("y", vec![points], &y),
        ];
        // Of a volume.
        let third = z.iter().any(|z| *z != 0.0).then_some(("z", vec![points], &z));
        let tensors = tensors.into_iter().chain(third);
        let tensors = tensors.map(|(name, shape, values)| (name.to_string(), shape, Column::F64(values)));
        let groups = self.clusters.numbers();
        let groups = groups.as_ref().map(|own| ("groups".to_string(), vec![n], Column::I64(own)));
        params::write_safetensors(path, tensors.chain(groups), metadata)
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
        let z = values("z").unwrap_or_else(|_| vec![0.0; x.len()]);
        let (targets, centre, sums) = (values("targets")?, values("centre")?, values("sums")?);
        let fits = x.len() == y.len() && x.len() == z.len() && centre.len() == targets.len();
        if !fits || sums.len() != x.len() * targets.len() {
            return Err(wrong("sums", format!("{} values", sums.len())));
        }
        let groups = params::take_groups(&mut tensors, targets.len());
        let clusters = Clusters::new(&groups.map_err(|found| wrong("groups", found))?, false);
        let points = x.into_iter().zip(y).zip(z).map(|((x, y), z)| [x, y, z]).collect();
        Ok(ByExample { targets, centre, points, sums, clusters })
    }
}
