//! The sharpness of an analysis' models, run by run, and whether that of two arms differs.
//!
//! Measures of whole models are compared by `compare`, which pairs runs, draws and examples. Curvatures by layer are known with an
//! interval each, but not example by example: their differences are paired by seed, and the error over the examples that all runs share is added, of both
//! arms as if they were not paired, which is on the safe side.

use std::path::Path;

use super::plan::{self, Model};
use crate::analysis::config::Analysis;
use crate::error::{Error, Result};
use crate::landscape::sharpness::{Comparison, Row};
use crate::stats::paired::{self, Difference};
use crate::tables::page::{Sharp, SharpRun};
use crate::tables::sharpness::BlockRow;
use crate::{files, stats};

const FIX: &str = "run it again with --force";
/// Standard errors to either side in an interval of many examples.
const HALF_WIDTH: f64 = 1.96;

/// A measure of a run.
struct Value {
    measure: String,
    value: f64,
    se: f64,
}

/// What was measured of a run.
struct Run {
    seed: String,
    /// Of the whole model.
    whole: Vec<Value>,
    /// Of its layers.
    layers: Vec<Value>,
    /// Examples behind them.
    examples: usize,
}

impl Run {
    fn layer(&self, k: usize) -> Option<&Value> {
        self.layers.get(k)
    }
}

/// The sharpness of all models, measure by measure, p not corrected yet; and of every run.
pub fn compared(folder: &Path, analysis: &Analysis, models: &[Model]) -> Result<(Vec<Sharp>, Vec<SharpRun>)> {
    let (mut rows, mut by_run) = (Vec::new(), Vec::new());
    let Some(sharpness) = &analysis.sharpness else { return Ok((rows, by_run)) };
    let mut first: Vec<Run> = Vec::new();
    for (i, model) in models.iter().enumerate() {
        let all: Vec<Option<&String>> = match model.runs.is_empty() {
            true => vec![None],
            false => model.runs.iter().map(Some).collect(),
        };
        let read = |run: &Option<&String>| read(folder, analysis, model, *run);
        let runs = all.iter().map(read).collect::<Result<Vec<Run>>>()?;
        let mut differences: Vec<Comparison> = Vec::new();
        if i > 0 {
            let path = plan::comparison_path(model, &models[0]);
            differences = files::read_csv(&folder.join(&path), FIX)?;
            if sharpness.critical {
                differences
                    .extend(files::read_csv::<Comparison>(&folder.join(plan::critical_path(&path)), FIX)?);
            }
        }
        for own in &runs {
            by_run.extend(own.whole.iter().chain(&own.layers).map(|value| SharpRun {
                model: model.title.clone(),
                seed: own.seed.clone(),
                measure: value.measure.clone(),
                value: value.value,
                se: value.se,
            }));
        }
        for k in 0..runs[0].whole.len() {
            let found = differences.iter().find(|d| d.measure == runs[0].whole[k].measure);
            let found = found.filter(|d| d.low.is_finite() && d.high.is_finite());
            let difference = found.map(|d| (d.difference, d.low, d.high, d.p));
            rows.push(row(model, &runs, |run| run.whole.get(k), difference));
        }
        for k in 0..runs[0].layers.len() {
            let partner = |own: &Run| first.iter().find(|other| i > 0 && other.seed == own.seed);
            let pair = |own| Some((Run::layer(own, k)?, Run::layer(partner(own)?, k)?));
            let pairs: Vec<(&Value, &Value)> = runs.iter().filter_map(pair).collect();
            let judged = difference(&pairs, runs[0].examples);
            let ends = judged.map(|d| (d.value, d.half_width(0.95), d.p()));
            let ends = ends.map(|(value, half, p)| (value, value - half, value + half, Some(p)));
            rows.push(row(model, &runs, |run| run.layers.get(k), ends));
        }
        if i == 0 {
            first = runs;
        }
    }
    rows.sort_by_key(|row| order(&row.measure));
    Ok((rows, by_run))
}

fn read(folder: &Path, analysis: &Analysis, model: &Model, run: Option<&String>) -> Result<Run> {
    let path = plan::sharpness_path(model, run);
    let mut rows: Vec<Row> = files::read_csv(&folder.join(&path), FIX)?;
    let (critical, by) = analysis.sharpness.as_ref().map_or((false, None), |own| (own.critical, own.by));
    if critical {
        rows.extend(files::read_csv::<Row>(&folder.join(plan::critical_path(&path)), FIX)?);
    }
    let se = |row: &Row| row.se_examples.hypot(row.se_draws.unwrap_or(0.0));
    let whole = rows.iter().map(|row| Value { measure: row.measure.clone(), value: row.value, se: se(row) });
    let blocks: Vec<BlockRow> = match by {
        Some(_) => files::read_csv(&folder.join(plan::layers_path(&path)), FIX)?,
        None => Vec::new(),
    };
    let layers = blocks.iter().flat_map(|row| {
        let value = |measure: &str, value, low: f64, high: f64| {
            let se = (high - low) / (2.0 * HALF_WIDTH);
            Value { measure: format!("{measure} of {}", row.name), value, se }
        };
        [
            value("top_eigenvalue", row.top_eigenvalue, row.top_eigenvalue_low, row.top_eigenvalue_high),
            value("trace", row.trace, row.trace_low, row.trace_high),
        ]
    });
    let examples = about(&folder.join(&path))?.pointer("/set/examples").and_then(serde_json::Value::as_u64);
    Ok(Run {
        seed: run.and_then(|run| run.rsplit('/').next()).unwrap_or_default().into(),
        whole: whole.collect(),
        layers: layers.collect(),
        examples: examples.unwrap_or(2) as usize,
    })
}

/// SURFACE.json beside SURFACE.csv, and what stands likewise beside other tables.
pub fn about(table: &Path) -> Result<serde_json::Value> {
    let path = table.with_extension("json");
    let fix = "run the analysis again with --force";
    serde_json::from_slice(&files::read(&path)?)
        .map_err(|e| Error::field(path.display(), "file", "JSON", e, fix))
}

/// Mean over the runs, and the difference from the first arm with the ends of its interval and p.
fn row<'a>(
    model: &Model,
    runs: &'a [Run],
    of: impl Fn(&'a Run) -> Option<&'a Value>,
    difference: Option<(f64, f64, f64, Option<f64>)>,
) -> Sharp {
    let all: Vec<&Value> = runs.iter().filter_map(of).collect();
    Sharp {
        model: model.title.clone(),
        measure: all[0].measure.clone(),
        runs: all.len(),
        value: stats::mean(&all.iter().map(|value| value.value).collect::<Vec<_>>()),
        se: all[0].se,
        difference: difference.map(|d| d.0),
        low: difference.map(|d| d.1),
        high: difference.map(|d| d.2),
        p: difference.and_then(|d| d.3),
        p_corrected: None,
    }
}

/// Of values in pairs, each with its error over examples.
fn difference(pairs: &[(&Value, &Value)], examples: usize) -> Option<Difference> {
    let values: Vec<f64> = pairs.iter().map(|(own, first)| own.value - first.value).collect();
    let squares: Vec<f64> = pairs.iter().map(|(own, first)| own.se.powi(2) + first.se.powi(2)).collect();
    paired::sharing(&values, &squares, examples)
}

/// Measures in the order of the tables, not of the models.
fn order(measure: &str) -> usize {
    let starts = ["rise", "epsilon", "critical", "top_eigenvalue of", "top", "trace of", "trace"];
    let place = starts.iter().position(|start| measure.starts_with(start)).unwrap_or(9);
    // Those of layers behind those of whole models.
    if measure.contains(" of ") { 10 + place } else { place }
}
