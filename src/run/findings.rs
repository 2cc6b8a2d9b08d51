//! What an analysis found: numbers read from the files of its steps, compared, with intervals.
//!
//! Arms are compared with the first one, paired: runs by their seed, surfaces by their planes and examples. A surface
//! interval is about one pair of models. Intervals are 95 % and not corrected for their number.

use std::path::Path;

use super::plan::{self, Model};
use crate::analysis::config::{Analysis, Parsed, Part};
use crate::analysis::titles::mask_title;
use crate::error::{Error, Result};
use crate::fisher::files as fisher_files;
use crate::fisher::layers::{Granularity, Scores};
use crate::landscape::directions::Mark;
use crate::landscape::rise::{self, ByExample};
use crate::landscape::sharpness::{Comparison, Measure, Row, compare_measure};
use crate::rng::Stream;
use crate::stats::paired;
pub use crate::tables::page::{Score, Sharp, Site, Surface, Training};
use crate::tables::surface::Grid;
use crate::tables::training::MetricRow;
use crate::{files, stats};

/// The radius within which surfaces are compared: directions as long as the weights that they are scaled to.
pub const RADIUS: f64 = 1.0;

/// The score of the training run in a folder.
pub fn score(run: &Path) -> Result<Score> {
    let (path, fix) = (run.join("metrics.csv"), "run it again with --force");
    let mut metrics = files::read_csv::<MetricRow>(&path, fix)?.into_iter();
    // The loss comes first, then the chief metric.
    let (Some(loss), Some(chief)) = (metrics.next(), metrics.next()) else {
        return Err(Error::field(path.display(), "rows", "loss and a metric", "fewer", fix));
    };
    let collapsed = metrics.any(|row| row.metric == "distinct_predictions" && row.value <= 1.0);
    let MetricRow { examples, metric, value, .. } = chief;
    Ok(Score { loss: loss.value, metric, value, examples, collapsed })
}

/// The arms of the training, if there is one.
pub fn training(folder: &Path, models: &[Model], seed: u64) -> Result<Vec<Training>> {
    let stream = Stream::new(seed, "training/paired");
    let mut rows: Vec<Training> = Vec::new();
    let mut first: Vec<(String, Score)> = Vec::new();
    for (i, model) in models.iter().enumerate().filter(|(_, model)| !model.runs.is_empty()) {
        let named = |run: &String| {
            let seed = run.rsplit('/').next().unwrap_or_default().to_string();
            score(&folder.join(run)).map(|score| (seed, score))
        };
        let runs = model.runs.iter().map(named).collect::<Result<Vec<(String, Score)>>>()?;
        if i == 0 {
            first.clone_from(&runs);
        }
        // A run that failed has no partner.
        let partner = |seed: &String| first.iter().find(|(other, _)| i > 0 && other == seed);
        let pair = |(seed, own): &(String, Score)| Some(own.value - partner(seed)?.1.value);
        let differences: Vec<f64> = runs.iter().filter_map(pair).collect();
        let of = |get: fn(&Score) -> f64| runs.iter().map(|(_, score)| get(score)).collect::<Vec<f64>>();
        let (values, losses) = (of(|score| score.value), of(|score| score.loss));
        let difference = (!differences.is_empty()).then(|| stats::mean(&differences));
        let largest = differences.iter().fold(0.0_f64, |largest, d| largest.max(d.abs()));
        let half = Some(stats::half_width(&differences))
            // Runs that all differ by the same (a coarse metric on few examples) say nothing of their spread; but for rounding.
            .filter(|half| half.is_finite() && *half > 1e-9 * largest);
        let spread = |values: &[f64]| (values.len() > 1).then(|| stats::sd(values));
        let own = stream.at(rows.len() as u64);
        let bootstrap = paired::bootstrap_interval(&differences, |i, n| own.below(i, n));
        let p = paired::sign_flip_p(&differences, |i| own.bits(i));
        rows.push(Training {
            arm: model.title.clone(),
            seeds: values.len(),
            failed: model.failed,
            collapsed: runs.iter().filter(|(_, score)| score.collapsed).count(),
            metric: runs[0].1.metric.clone(),
            mean: stats::mean(&values),
            sd: spread(&values),
            median: stats::median(&values),
            loss: stats::mean(&losses),
            loss_sd: spread(&losses),
            difference,
            low: difference.zip(half).map(|(d, half)| d - half),
            high: difference.zip(half).map(|(d, half)| d + half),
            bootstrap_low: bootstrap.map(|interval| interval.0),
            bootstrap_high: bootstrap.map(|interval| interval.1),
            p: Some(p).filter(|p| p.is_finite()),
            p_corrected: None,
            held_out_examples: runs[0].1.examples,
            pairs: differences.len(),
            runs,
        });
    }
    let p: Vec<f64> = rows.iter().map(|row| row.p.unwrap_or(f64::NAN)).collect();
    for (row, corrected) in rows.iter_mut().zip(paired::holm(&p)) {
        row.p_corrected = Some(corrected).filter(|p| p.is_finite());
    }
    Ok(rows)
}

/// The surfaces over one part, mask by mask.
pub fn surfaces(folder: &Path, analysis: &Analysis, models: &[Model], part: Part) -> Result<Vec<Surface>> {
    let mut rows = Vec::new();
    let planes = analysis.surface.as_ref().map_or(1, |surface| surface.draws);
    for Parsed(mask) in analysis.surface.iter().flat_map(|surface| &surface.masks) {
        let mut first: Option<Measure> = None;
        for model in models {
            let path = folder.join(plan::surface_path(part, model, mask, 0));
            let about = about(&path)?;
            let grid = Grid::read(&path)?;
            let mut draws = Vec::new();
            let mut targets = Vec::new();
            for k in 0..planes {
                let path = folder.join(plan::surface_path(part, model, mask, k));
                let by_example = ByExample::read(&rise::examples_path(&path))?;
                draws.extend(by_example.rise(RADIUS));
                targets = by_example.targets;
            }
            // Without a grid point within the radius there is none in any plane.
            let rise = Some(Measure { name: "rise".into(), draws }).filter(|rise| !rise.draws.is_empty());
            let own = rise.as_ref().map(|rise| rise.row(&targets));
            let pair = rise.as_ref().zip(first.as_ref());
            let difference = pair.map(|(own, first)| {
                compare_measure(std::slice::from_ref(first), std::slice::from_ref(own), &targets)
            });
            let difference = difference.filter(|d| d.low.is_finite() && d.high.is_finite());
            let number = |pointer: &str| about.pointer(pointer).and_then(serde_json::Value::as_f64);
            let finite = grid.loss.iter().copied().filter(|v| v.is_finite());
            let spread = |row: &Row| Some(row.se_draws? * (row.draws as f64).sqrt());
            rows.push(Surface {
                over: plan::part_name(part).to_string(),
                mask: mask_title(mask),
                model: model.title.clone(),
                centre: number("/centre/loss").unwrap_or(f64::NAN),
                centre_se: number("/centre/loss_se").unwrap_or(f64::NAN),
                rise: own.as_ref().map(|own| own.value),
                rise_se: own.as_ref().map(|own| own.se_examples),
                planes,
                rise_sd: own.as_ref().and_then(spread),
                highest: finite.fold(f64::NEG_INFINITY, f64::max),
                not_finite: grid.loss.iter().filter(|v| !v.is_finite()).count(),
                effective: number("/mask/counts/selected_effective").unwrap_or(0.0) as u64,
                difference: difference.as_ref().map(|d| d.difference),
                low: difference.as_ref().map(|d| d.low),
                high: difference.as_ref().map(|d| d.high),
            });
            if first.is_none() {
                first = rise;
            }
        }
    }
    Ok(rows)
}

/// The sharpness of all models, measure by measure.
pub fn sharpness(folder: &Path, analysis: &Analysis, models: &[Model]) -> Result<Vec<Sharp>> {
    if analysis.sharpness.is_none() {
        return Ok(Vec::new());
    }
    let fix = "run it again with --force";
    let mut rows = Vec::new();
    for model in models {
        let runs: Vec<Option<&String>> = match model.runs.is_empty() {
            true => vec![None],
            false => model.runs.iter().map(Some).collect(),
        };
        let mut tables: Vec<Vec<Row>> = Vec::new();
        for run in &runs {
            tables.push(files::read_csv(&folder.join(plan::sharpness_path(model, *run)), fix)?);
        }
        let differences: Vec<Comparison> = match model.title == models[0].title {
            true => Vec::new(),
            false => files::read_csv(&folder.join(plan::comparison_path(model, &models[0])), fix)?,
        };
        for (i, row) in tables[0].iter().enumerate() {
            let values: Vec<f64> =
                tables.iter().filter_map(|table| table.get(i)).map(|row| row.value).collect();
            let difference = differences.iter().find(|d| d.measure == row.measure);
            let difference = difference.filter(|d| d.low.is_finite() && d.high.is_finite());
            rows.push(Sharp {
                model: model.title.clone(),
                measure: row.measure.clone(),
                runs: values.len(),
                value: stats::mean(&values),
                se: row.se_examples.hypot(row.se_draws.unwrap_or(0.0)),
                difference: difference.map(|d| d.difference),
                low: difference.map(|d| d.low),
                high: difference.map(|d| d.high),
            });
        }
    }
    rows.sort_by_key(|row| tables_order(&row.measure));
    Ok(rows)
}

/// How much the length of the differences behind the Hessian matters, relative, where it matters most.
pub fn difference_error(folder: &Path, models: &[Model]) -> Result<f64> {
    let mut largest: f64 = 0.0;
    for model in models {
        let about = about(&folder.join(plan::sharpness_path(model, model.runs.first())))?;
        let error = about.pointer("/lanczos/difference_error").and_then(serde_json::Value::as_f64);
        largest = largest.max(error.unwrap_or(f64::NAN));
    }
    Ok(largest)
}

/// The widths by which the models' spectra are smoothed, in words.
pub fn smoothing(folder: &Path, models: &[Model]) -> Result<String> {
    let mut widths: Vec<String> = Vec::new();
    for model in models {
        let about = about(&folder.join(plan::sharpness_path(model, model.runs.first())))?;
        widths.push(about["density_sigma"].to_string());
    }
    widths.dedup();
    Ok(widths.join(" and "))
}

/// Measures in the order of the tables, not of the models.
fn tables_order(measure: &str) -> usize {
    ["rise", "epsilon", "top", "trace"].iter().position(|start| measure.starts_with(start)).unwrap_or(9)
}

/// Where the models lie in their plane.
pub fn marks(folder: &Path) -> Result<Vec<Mark>> {
    files::read_csv(&folder.join(plan::MARKS), "run it again with --force")
}

/// Share of the variance of an arm's snapshots along both directions of its plane.
pub fn explained(folder: &Path, model: &Model) -> Result<Option<[f64; 2]>> {
    let about = about(&folder.join(format!("{}.csv", plan::trajectory_stem(model))))?;
    let number =
        |i: usize| about.pointer(&format!("/explained_variance/{i}")).and_then(serde_json::Value::as_f64);
    Ok(number(0).zip(number(1)).map(|(first, second)| [first, second]))
}

/// SURFACE.json beside SURFACE.csv.
fn about(surface: &Path) -> Result<serde_json::Value> {
    let path = surface.with_extension("json");
    let fix = "run the analysis again with --force";
    serde_json::from_slice(&files::read(&path)?)
        .map_err(|e| Error::field(path.display(), "file", "JSON", e, fix))
}

/// Scores of the sites by the paper's aggregate, in model order, with their errors over examples.
pub fn sites(folder: &Path, analysis: &Analysis) -> Result<Vec<Site>> {
    let path = folder.join(format!("{}.safetensors", plan::fisher_stem(analysis)));
    let fisher_files::Stored { diagonal, layout, .. } = fisher_files::read(&path)?;
    let Some(by_example) = fisher_files::read_sums(&path, &diagonal)? else { return Ok(Vec::new()) };
    let schedule = analysis.schedule.as_ref();
    let aggregate = schedule.map(|schedule| schedule.aggregate).unwrap_or_default();
    let intermediate = schedule.is_some_and(|schedule| schedule.include_intermediate);
    let scores = Scores::new(&layout, Granularity::Site, aggregate, intermediate);
    let columns = scores.of_examples(&by_example);
    let site = |(name, column): (&String, ndarray::ArrayView1<f64>)| {
        let values = column.to_vec();
        Site { site: name.clone(), score: stats::mean(&values), score_se: stats::standard_error(&values) }
    };
    Ok(scores.names().iter().zip(columns.columns()).map(site).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. All pairs differ by 6 of 553 examples: there is no spread to make an interval of, though the differences of the
    /// rounded quotients are not all the same number. One pair that differs gives an interval.
    #[test]
    fn equal_differences_have_no_interval() {
        let of = |right: [[u32; 5]; 2]| {
            let folder = tempfile::tempdir().unwrap();
            let mut models = Vec::new();
            for (title, right) in ["uniform", "guided"].into_iter().zip(right) {
                let run = |k: usize| format!("train/{title}/seed{k}");
                for (k, right) in right.iter().enumerate() {
                    let accuracy = f64::from(*right) / 553.0;
                    let text = format!(
                        "split,examples,metric,value,se,noise\nheld_out,553,loss,0.7,,off\nheld_out,553,accuracy,{accuracy},,off\n"
                    );
                    files::write(&folder.path().join(run(k)).join("metrics.csv"), text.as_bytes()).unwrap();
                }
                models.push(Model { title: title.into(), runs: (0..5).map(run).collect(), failed: 0 });
            }
            training(folder.path(), &models, 0).unwrap().remove(1)
        };
        let first = [280, 291, 305, 277, 299];
        let equal = of([first, first.map(|n| n + 6)]);
        assert!((equal.difference.unwrap() - 6.0 / 553.0).abs() < 1e-12);
        assert_eq!((equal.low, equal.high), (None, None));
        let mut other = first.map(|n| n + 6);
        other[2] += 1;
        let other = of([first, other]);
        assert!(other.low.unwrap() < other.difference.unwrap() && other.high.unwrap() > other.low.unwrap());
    }
}
