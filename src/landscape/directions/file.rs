//! Directions in a file: `x.NAME` and `y.NAME` for every parameter that moves, used as they are.

use std::collections::BTreeMap;
use std::path::Path;

use super::Direction;
use crate::error::{Error, Result};
use crate::params::{self, Column, ParamMap};
use crate::progress;

/// Writes a pair of directions as `x.NAME` and `y.NAME`, in the shapes of the parameters.
pub fn write(path: &Path, directions: &[Direction; 2], theta: &ParamMap) -> Result<()> {
    let tensors = ["x", "y"].into_iter().zip(directions).flat_map(|(axis, direction)| {
        direction.iter().map(move |(name, values)| {
            (format!("{axis}.{name}"), theta[name].dims().to_vec(), Column::F32(values))
        })
    });
    params::write_safetensors(path, tensors, &BTreeMap::new())
}

/// Reads directions (`x.NAME`, `y.NAME`), used as they are. Names that the model lacks are said and left out.
///
/// # Errors
///
/// [`Error::Field`] for a broken file, a tensor of another shape than the parameter, a value that is not finite, or
/// no name of the model at all.
pub fn read(path: &Path, theta: &ParamMap) -> Result<[Direction; 2]> {
    let (tensors, _) = params::read_safetensors(path)?;
    let mut directions = [Direction::new(), Direction::new()];
    let mut foreign = Vec::new();
    for (key, d) in &tensors {
        let (axis, name) = match key.split_once('.') {
            Some(("x", name)) => (0, name),
            Some(("y", name)) => (1, name),
            _ => {
                let fix = "name each tensor x.PARAMETER or y.PARAMETER";
                return Err(Error::field(path.display(), key, "named x.PARAMETER or y.PARAMETER", key, fix));
            }
        };
        let Some(weight) = theta.get(name) else {
            foreign.push(key.clone());
            continue;
        };
        let fix = "use directions that were made for this checkpoint";
        if d.dims() != weight.dims() {
            let expected = format!("of the parameter's shape {:?}", weight.dims());
            return Err(Error::field(path.display(), key, expected, format!("{:?}", d.dims()), fix));
        }
        let values = params::with_values(d, <[f32]>::to_vec)?;
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(Error::field(path.display(), key, "finite", value, fix));
        }
        directions[axis].insert(name.to_string(), values);
    }
    if directions.iter().all(Direction::is_empty) {
        let fix = "use directions that were made for this checkpoint";
        return Err(Error::said(path.display(), "no tensor is a parameter of the model", fix));
    }
    tell_still(path, theta, &directions);
    if !foreign.is_empty() {
        progress::excluded(format!("{}: not in the model, ignored: {}", path.display(), foreign.join(", ")));
    }
    Ok(directions)
}

/// Says which weight matrices a direction leaves where they are, if it moves others. (Vectors may stand still by choice.)
fn tell_still(path: &Path, theta: &ParamMap, directions: &[Direction; 2]) {
    for (axis, direction) in ["x", "y"].iter().zip(directions).filter(|(_, d)| !d.is_empty()) {
        let still = theta.iter().filter(|(name, t)| t.rank() > 1 && !direction.contains_key(*name));
        let names: Vec<&str> = still.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            let (path, names) = (path.display(), names.join(", "));
            progress::excluded(format!("{path}: the direction {axis} does not move these: {names}"));
        }
    }
}
