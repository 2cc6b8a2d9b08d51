//! Fisher information on disk: `F.safetensors`, `F.csv` beside it, `F.examples.safetensors` where asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use super::Fisher;
use crate::error::{Error, Result};
use crate::model::layout::Parameter;
use crate::model::{Layout, architectures};
use crate::params::{self, Column, ParamMap};
use crate::stats::clusters::Clusters;
use crate::{files, progress, stats};

const FIX: &str = "make it with `fisherscape fisher`";

/// Key of the metadata under which the seed of the task head stands, where the checkpoint had none.
pub const HEAD_SEED: &str = "head_seed";

/// The estimator of a file that is AdamW's second moment, and no Fisher information.
pub const ADAM: &str = "adam";

/// A row of `F.csv`: one parameter tensor. Fisher information is in squared loss units (nats², where the loss is in nats) per squared
/// unit of the parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The tensor, as the checkpoint calls it.
    pub name: String,
    /// The dropout site that it feeds; `head` for those of pooler and task head.
    pub site: String,
    /// `embeddings`, `layer.K` or `head`.
    pub block: String,
    /// Its entries.
    pub numel: usize,
    /// Mean of F over the entries.
    pub mean: f64,
    /// Standard error of `mean` over the examples.
    pub mean_se: f64,
    /// Sum of F over the entries.
    pub sum: f64,
    /// Largest F of an entry.
    pub max: f64,
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
/// companions. F carries the layout of its model.
pub fn write(
    path: &Path,
    fisher: &Fisher,
    layout: &Layout,
    metadata: &BTreeMap<String, String>,
    per_example: bool,
) -> Result<()> {
    let row = |tensor: &Parameter| {
        let numel = tensor.numel() as f64;
        let column = fisher.diagonal.keys().position(|name| *name == tensor.name);
        let (Some(column), Some(f)) = (column, fisher.diagonal.get(&tensor.name)) else { return Ok(None) };
        let sums: Vec<f64> = fisher.sums.column(column).to_vec();
        let max = params::with_values(f, |f| f.iter().fold(0f32, |a, b| a.max(*b)))?;
        Ok(Some(Row {
            name: tensor.name.clone(),
            site: tensor.place.to_string(),
            block: tensor.place.block(),
            numel: tensor.numel(),
            mean: stats::mean(&sums) / numel,
            mean_se: fisher.clusters.standard_error(&sums) / numel,
            sum: stats::mean(&sums),
            max: f64::from(max),
        }))
    };
    let rows = layout.parameters().iter().filter_map(|tensor| row(tensor).transpose());
    let rows: Vec<Row> = rows.collect::<Result<_>>()?;
    files::write_csv(&table_path(path), &rows)?;
    let examples = examples_path(path);
    if per_example {
        write_examples(&examples, fisher, metadata)?;
    } else {
        // An earlier run's sums would be taken for this one's.
        files::remove(&examples)?;
    }
    let mut metadata = metadata.clone();
    metadata.extend(layout.metadata());
    params::write_params(path, &fisher.diagonal, &metadata)
}

fn write_examples(path: &Path, fisher: &Fisher, metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut metadata = metadata.clone();
    let names: Vec<&String> = fisher.diagonal.keys().collect();
    let numels: Vec<usize> = fisher.diagonal.values().map(|f| f.elem_count()).collect();
    metadata.insert("names".into(), serde_json::json!(names).to_string());
    metadata.insert("numels".into(), serde_json::json!(numels).to_string());
    if fisher.clusters.parts().is_some() {
        metadata.insert(DRAWN.into(), GROUPS.into());
    }
    let used: Vec<i64> = fisher.used.iter().map(|&n| n as i64).collect();
    let sums: Vec<f64> = fisher.sums.iter().copied().collect();
    let groups = fisher.clusters.numbers();
    let groups = groups.as_ref().map(|own| (GROUPS.to_string(), vec![own.len()], Column::I64(own)));
    let tensors = [
        ("sums".to_string(), fisher.sums.shape().to_vec(), Column::F64(&sums)),
        (EXAMPLES.to_string(), vec![used.len()], Column::I64(&used)),
    ];
    params::write_safetensors(path, tensors.into_iter().chain(groups), &metadata)
}

/// Metadata of per-example sums whose groups are one example each, such as the windows of a question.
const DRAWN: &str = "drawn";
/// Tensor of the group of each row, where some have several.
const GROUPS: &str = "groups";
/// Tensor of the set's examples that the rows are of.
const EXAMPLES: &str = "examples";

/// Sums of squared gradients as they stand beside a Fisher file.
#[derive(Clone, Debug)]
pub struct PerExample {
    /// `s[n,t]` `[N, tensors]`
    pub sums: Array2<f64>,
    /// Which rows are one draw.
    pub clusters: Clusters,
}

/// A Fisher diagonal as it was stored.
pub struct Stored {
    pub diagonal: ParamMap,
    /// What each of its tensors is.
    pub layout: Layout,
    pub metadata: HashMap<String, String>,
}

/// Reads a Fisher diagonal, the layout of its tensors and its metadata. Files of version 0.1.0 hold no layout: it is
/// recognised by the tensors' names.
///
/// # Errors
///
/// [`Error::Field`] for a broken or empty file, or values that are negative or not finite.
pub fn read(path: &Path) -> Result<Stored> {
    let (diagonal, metadata) = params::read_safetensors(path)?;
    if diagonal.is_empty() {
        return Err(Error::field(path.display(), "tensors", "one per parameter", "none", FIX));
    }
    let mut zero = true;
    for (name, f) in &diagonal {
        zero &= params::with_values(f, |f| f.iter().all(|v| *v == 0.0))?;
        let bad = params::with_values(f, |f| f.iter().copied().find(|v| !(v.is_finite() && *v >= 0.0)))?;
        if let Some(value) = bad {
            return Err(Error::field(path.display(), name, "finite and not negative", value, FIX));
        }
    }
    if zero {
        let fix = "no example moves any parameter: use a model that is not yet certain of every one of them";
        return Err(Error::field(path.display(), "values", "above 0 somewhere", "0 everywhere", fix));
    }
    let layout = Layout::stored(&metadata, &diagonal)
        .map_err(|why| {
            Error::said(path.display(), format!("the layout of its tensors is incomplete: {why}"), FIX)
        })?
        .unwrap_or_else(|| architectures::recognise(&diagonal));
    Ok(Stored { diagonal, layout, metadata })
}

/// Reads a Fisher diagonal for a model, the parameters that both have, and its metadata. Names on one side only are said.
///
/// # Errors
///
/// As [`read`]; and [`Error::Field`] for a tensor of another shape than the parameter, or no common name at all.
pub fn read_for(path: &Path, theta: &ParamMap) -> Result<(ParamMap, HashMap<String, String>)> {
    let Stored { diagonal: mut fisher, metadata, .. } = read(path)?;
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
        let sentence = format!("no tensor is a parameter of the model; it has {foreign}");
        return Err(Error::said(path.display(), sentence, fix));
    }
    for (side, modules) in [("Fisher information", foreign), ("model", missing)] {
        if !modules.is_empty() {
            progress::excluded(format!(
                "{}: only in the {side}, so no mask has them: {modules}",
                path.display()
            ));
        }
    }
    Ok((fisher, metadata))
}

/// The sum over the entries of each tensor, in name order.
pub fn tensor_sums(fisher: &ParamMap) -> Result<Vec<f64>> {
    let sum = |f| params::with_values(f, |f| f.iter().map(|v| f64::from(*v)).sum::<f64>());
    fisher.values().map(sum).collect()
}

/// A file of sums by example.
pub struct ByExample {
    /// The tensors of the columns.
    pub names: Vec<String>,
    pub own: PerExample,
    /// The example of the set that each row is of `[N]`.
    pub used: Vec<usize>,
    /// As of F.
    pub metadata: HashMap<String, String>,
}

/// The per-example sums beside a Fisher file, if they were written.
///
/// # Errors
///
/// [`Error::Field`] for a broken file, and sums that are negative or not finite.
pub fn read_examples(fisher: &Path) -> Result<Option<ByExample>> {
    let path = examples_path(fisher);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |found: String| {
        let fix = "make it again with `fisherscape fisher --per-example`";
        Error::field(path.display(), "sums", "float64 [N, tensors] with `names` in the metadata", found, fix)
    };
    let (mut tensors, metadata) = params::read_numbers(&path)?;
    let names = metadata.get("names").and_then(|names| serde_json::from_str(names).ok());
    let names: Vec<String> = names.ok_or_else(|| wrong("no names".into()))?;
    let (shape, values) = tensors.remove("sums").ok_or_else(|| wrong("no such tensor".into()))?;
    let n = match shape[..] {
        [n, columns] if columns == names.len() => n,
        _ => return Err(wrong(format!("{shape:?} for {} names", names.len()))),
    };
    if let Some(value) = values.iter().find(|s| !(s.is_finite() && **s >= 0.0)) {
        let fix = "make both again with `fisherscape fisher --per-example`";
        return Err(Error::field(path.display(), "sums", "finite and not negative", value, fix));
    }
    let sums = Array2::from_shape_vec((n, names.len()), values).map_err(|e| wrong(e.to_string()))?;
    let groups = params::take_groups(&mut tensors, n).map_err(wrong)?;
    let used = take_used(&mut tensors, n).map_err(wrong)?;
    let whole = metadata.get(DRAWN).is_some_and(|drawn| drawn == GROUPS);
    let own = PerExample { sums, clusters: Clusters::new(&groups, whole) };
    Ok(Some(ByExample { names, own, used, metadata }))
}

/// The example of the set of each of `n` rows; those in turn, where the file does not say.
fn take_used(tensors: &mut params::Numbers, n: usize) -> Result<Vec<usize>, String> {
    let Some((_, numbers)) = tensors.remove(EXAMPLES) else { return Ok((0..n).collect()) };
    let whole = |number: &f64| number.fract() == 0.0 && *number >= 0.0;
    match numbers.len() == n && numbers.iter().all(whole) {
        true => Ok(numbers.into_iter().map(|number| number as usize).collect()),
        false => Err(format!("`examples` that does not number {n} rows")),
    }
}

/// As [`read_examples`], only the sums of the diagonal's tensors, checked against the diagonal.
///
/// # Errors
///
/// As [`read_examples`]; and [`Error::Field`] for a file that lacks a tensor of the diagonal, and sums whose mean is not the
/// diagonal's.
pub fn read_sums(fisher: &Path, diagonal: &ParamMap) -> Result<Option<PerExample>> {
    let Some(ByExample { names, own: PerExample { sums, clusters }, .. }) = read_examples(fisher)? else {
        return Ok(None);
    };
    let path = examples_path(fisher);
    let wrong = |expected: &str, found: String| {
        let fix = "make both again with `fisherscape fisher --per-example`";
        Err(Error::field(path.display(), "sums", expected, found, fix))
    };
    let places: HashMap<&String, usize> = names.iter().zip(0..).collect();
    let columns: Option<Vec<usize>> = diagonal.keys().map(|name| places.get(name).copied()).collect();
    let Some(columns) = columns else {
        let found = format!("{} tensors for {}", names.len(), diagonal.len());
        return wrong("those of the tensors of the Fisher file", found);
    };
    let sums = sums.select(Axis(1), &columns);
    for ((f, total), column) in diagonal.values().zip(tensor_sums(diagonal)?).zip(sums.columns()) {
        let mean = stats::mean(&column.to_vec());
        // F is rounded to single precision, and its least entries to zero.
        let rounding = 1e-3 * total.max(mean) + f.elem_count() as f64 * f64::from(f32::MIN_POSITIVE);
        // Without examples the mean is no number, and not near.
        let near = (mean - total).abs() <= rounding;
        if !near {
            return wrong(
                "those whose mean the Fisher file holds",
                format!("{mean:e}, where that has {total:e}"),
            );
        }
    }
    Ok(Some(PerExample { sums, clusters }))
}
