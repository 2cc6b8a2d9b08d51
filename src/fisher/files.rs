//! Fisher information on disk: `F.safetensors`, `F.csv` beside it, `F.examples.safetensors` where asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::Serialize;

use super::Fisher;
use super::layers::{TensorSizes, model_order};
use crate::dropout::Site;
use crate::error::{Error, Result};
use crate::params::{self, Column, ParamMap};
use crate::{files, progress, stats};

const FIX: &str = "make it with `fisherscape fisher`";

/// A row of `F.csv`: one parameter tensor.
#[derive(Serialize)]
struct Row {
    name: String,
    site: String,
    block: String,
    numel: usize,
    mean: f64,
    /// Standard error of `mean` over examples.
    mean_se: f64,
    sum: f64,
    max: f64,
}

/// `F.csv` for `F.safetensors`.
pub fn table_path(fisher: &Path) -> PathBuf {
    fisher.with_extension("csv")
}

/// `F.examples.safetensors` for `F.safetensors`.
pub fn examples_path(fisher: &Path) -> PathBuf {
    fisher.with_extension("examples.safetensors")
}

/// Writes F and its table, and the per-example sums if asked; F itself last, so that it stands only beside whole
/// companions.
pub fn write(
    path: &Path,
    fisher: &Fisher,
    metadata: &BTreeMap<String, String>,
    per_example: bool,
) -> Result<()> {
    let mut rows = Vec::new();
    for (t, (name, f)) in fisher.diagonal.iter().enumerate() {
        let numel = f.elem_count() as f64;
        let sums: Vec<f64> = fisher.sums.column(t).to_vec();
        let max = params::with_values(f, |f| f.iter().fold(0f32, |a, b| a.max(*b)))?;
        rows.push(Row {
            name: name.clone(),
            site: Site::of(name).to_string(),
            block: Site::of(name).block(),
            numel: f.elem_count(),
            mean: stats::mean(&sums) / numel,
            mean_se: stats::standard_error(&sums) / numel,
            sum: stats::mean(&sums),
            max: f64::from(max),
        });
    }
    rows.sort_by_key(|row| model_order(&row.name));
    files::write_csv(&table_path(path), &rows)?;
    let examples = examples_path(path);
    if per_example {
        write_examples(&examples, fisher, metadata)?;
    } else {
        // An earlier run's sums would be taken for this one's.
        files::remove(&examples)?;
    }
    params::write_params(path, &fisher.diagonal, metadata)
}

fn write_examples(path: &Path, fisher: &Fisher, metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut metadata = metadata.clone();
    let names: Vec<&String> = fisher.diagonal.keys().collect();
    let numels: Vec<usize> = fisher.diagonal.values().map(|f| f.elem_count()).collect();
    metadata.insert("names".into(), serde_json::json!(names).to_string());
    metadata.insert("numels".into(), serde_json::json!(numels).to_string());
    let used: Vec<i64> = fisher.used.iter().map(|&n| n as i64).collect();
    let sums: Vec<f64> = fisher.sums.iter().copied().collect();
    let tensors = [
        ("sums".to_string(), fisher.sums.shape().to_vec(), Column::F64(&sums)),
        ("examples".to_string(), vec![used.len()], Column::I64(&used)),
    ];
    params::write_safetensors(path, tensors, &metadata)
}

/// Reads a Fisher diagonal and its metadata.
///
/// # Errors
///
/// [`Error::Field`] for a broken or empty file, or values that are negative or not finite.
pub fn read(path: &Path) -> Result<(ParamMap, HashMap<String, String>)> {
    let (fisher, metadata) = params::read_safetensors(path)?;
    if fisher.is_empty() {
        return Err(Error::field(path.display(), "tensors", "one per parameter", "none", FIX));
    }
    for (name, f) in &fisher {
        let bad = params::with_values(f, |f| f.iter().copied().find(|v| !(v.is_finite() && *v >= 0.0)))?;
        if let Some(value) = bad {
            return Err(Error::field(path.display(), name, "finite and not negative", value, FIX));
        }
    }
    Ok((fisher, metadata))
}

/// Reads a Fisher diagonal for a model, the parameters that both have, and its metadata. Names on one side only are said.
///
/// # Errors
///
/// As [`read`]; and [`Error::Field`] for a tensor of another shape than the parameter, or no common name at all.
pub fn read_for(path: &Path, theta: &ParamMap) -> Result<(ParamMap, HashMap<String, String>)> {
    let (mut fisher, metadata) = read(path)?;
    let fix = "use the Fisher information of this model or of the one it was trained from";
    for (name, f) in &fisher {
        if let Some(weight) = theta.get(name).filter(|weight| weight.dims() != f.dims()) {
            let expected = format!("of the parameter's shape {:?}", weight.dims());
            return Err(Error::field(path.display(), name, expected, format!("{:?}", f.dims()), fix));
        }
    }
    let only = |a: &ParamMap, b: &ParamMap| {
        let names = a.keys().filter(|name| !b.contains_key(*name));
        let modules: BTreeSet<&str> =
            names.map(|name| name.rsplit_once('.').map_or(name.as_str(), |n| n.0)).collect();
        modules.into_iter().collect::<Vec<_>>().join(", ")
    };
    let (foreign, missing) = (only(&fisher, theta), only(theta, &fisher));
    fisher.retain(|name, _| theta.contains_key(name));
    if fisher.is_empty() {
        return Err(Error::field(path.display(), "tensors", "some parameter of the model", foreign, fix));
    }
    for (side, modules) in [("Fisher information", foreign), ("model", missing)] {
        if !modules.is_empty() {
            progress::excluded(format!("{}: only in the {side}, so in no mask: {modules}", path.display()));
        }
    }
    Ok((fisher, metadata))
}

/// The tensors, and the sum over the entries of each.
pub fn tensor_sums(fisher: &ParamMap) -> Result<(TensorSizes, Vec<f64>)> {
    let sum = |f| params::with_values(f, |f| f.iter().map(|v| f64::from(*v)).sum::<f64>());
    Ok((super::tensor_sizes(fisher), fisher.values().map(sum).collect::<Result<_>>()?))
}

/// The per-example sums beside a Fisher file, if they were written: tensor names and `[N, tensors]`.
pub fn read_examples(fisher: &Path) -> Result<Option<(Vec<String>, Array2<f64>)>> {
    let path = examples_path(fisher);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |found: String| {
        let fix = "make it again with `fisherscape fisher --per-example`";
        Error::field(path.display(), "sums", "float64 [N, tensors] with `names` in the metadata", found, fix)
    };
    let (mut tensors, metadata) = params::read_float64(&path)?;
    let names = metadata.get("names").and_then(|names| serde_json::from_str(names).ok());
    let names: Vec<String> = names.ok_or_else(|| wrong("no names".into()))?;
    let (shape, values) = tensors.remove("sums").ok_or_else(|| wrong("no such tensor".into()))?;
    match shape[..] {
        [n, columns] if columns == names.len() => {
            let sums = Array2::from_shape_vec((n, columns), values).map_err(|e| wrong(e.to_string()))?;
            Ok(Some((names, sums)))
        }
        _ => Err(wrong(format!("{shape:?} for {} names", names.len()))),
    }
}

/// As [`read_examples`], the sums alone, checked against the diagonal that they stand beside.
///
/// # Errors
///
/// [`Error::Field`] for a broken file, other tensors than the diagonal's, or sums that are negative or not finite.
pub fn read_sums(fisher: &Path, diagonal: &ParamMap) -> Result<Option<Array2<f64>>> {
    let Some((names, sums)) = read_examples(fisher)? else { return Ok(None) };
    let path = examples_path(fisher);
    let wrong = |expected: &str, found: String| {
        let fix = "make both again with `fisherscape fisher --per-example`";
        Err(Error::field(path.display(), "sums", expected, found, fix))
    };
    if !names.iter().eq(diagonal.keys()) {
        let found = format!("{} tensors for {}", names.len(), diagonal.len());
        return wrong("of the tensors of the Fisher file", found);
    }
    if sums.iter().any(|s| !(s.is_finite() && *s >= 0.0)) {
        return wrong("finite and not negative", "another value".into());
    }
    Ok(Some(sums))
}
