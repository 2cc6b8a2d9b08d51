//! Directions in a file: `x.NAME`, `y.NAME` and, for a volume, `z.NAME` for every parameter that moves, used as they are.

use std::collections::BTreeMap;
use std::path::Path;

use super::Direction;
use crate::error::{Error, Result};
use crate::params::{self, Column, ParamMap};
use crate::progress;

/// The names of the axes, in the order of the directions.
pub const AXES: [&str; 3] = ["x", "y", "z"];

/// Writes up to three directions as `x.NAME`, `y.NAME` and `z.NAME`, in the shapes of the parameters.
pub fn write(path: &Path, directions: &[Direction], theta: &ParamMap) -> Result<()> {
    let tensors = AXES.into_iter().zip(directions).flat_map(|(axis, direction)| {
        direction.iter().map(move |(name, values)| {
            (format!("{axis}.{name}"), theta[name].dims().to_vec(), Column::F32(values))
        })
    });
    params::write_safetensors(path, tensors, &BTreeMap::new())
}

/// Reads directions (`x.NAME`, `y.NAME`, `z.NAME`), used as they are: as many as the file has. Names that the model lacks are said and left
/// out.
///
/// # Errors
///
/// [`Error::Field`] for a broken file, a tensor of another shape than the parameter, a value that is not finite, no name
/// of the model at all, or a direction without the one that stands before it.
pub fn read(path: &Path, theta: &ParamMap) -> Result<Vec<Direction>> {
    let (tensors, _) = params::read_safetensors(path)?;
    let mut directions = vec![Direction::new(); AXES.len()];
    let mut foreign = Vec::new();
    for (key, d) in &tensors {
        let axis_of = |axis: &str| AXES.iter().position(|own| *own == axis);
        let place = key.split_once('.').and_then(|(axis, name)| Some((axis_of(axis)?, name)));
        let Some((axis, name)) = place else {
            let expected = "named x.PARAMETER, y.PARAMETER or z.PARAMETER";
            return Err(Error::field(path.display(), key, expected, key, "rename each tensor"));
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
    let last = directions.iter().rposition(|direction| !direction.is_empty());
    directions.truncate(last.map_or(0, |last| last + 1));
    if directions.is_empty() {
        let fix = "use directions that were made for this checkpoint";
        return Err(Error::said(path.display(), "no tensor is a parameter of the model", fix));
    }
    if !foreign.is_empty() {
        progress::excluded(format!("{}: not in the model, ignored: {}", path.display(), foreign.join(", ")));
    }
    if let Some(empty) = directions.iter().position(Direction::is_empty) {
        let sentence =
            format!("it has {1}.NAME, but no {0}.NAME of the model", AXES[empty], AXES[directions.len() - 1]);
        let fix = "name the directions x, y and z in turn: a line needs x, a surface x and y, a volume all";
        return Err(Error::said(path.display(), sentence, fix));
    }
    tell_still(path, theta, &directions);
    Ok(directions)
}

/// Says which weight matrices a direction leaves where they are, if it moves others. (Vectors may stand still by choice.)
fn tell_still(path: &Path, theta: &ParamMap, directions: &[Direction]) {
    for (axis, direction) in AXES.iter().zip(directions) {
        let still = theta.iter().filter(|(name, t)| t.rank() > 1 && !direction.contains_key(*name));
        let names: Vec<&str> = still.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            let (path, names) = (path.display(), names.join(", "));
            progress::excluded(format!("{path}: the direction {axis} does not move these: {names}"));
        }
    }
}
