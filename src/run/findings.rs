//! What an analysis found: numbers read from the files of its steps, compared, with intervals.
//!
//! Arms are compared with the first one, paired: runs by their seed, surfaces by their planes and examples. One rule says what is
//! shown ([`paired::correct`]): p below 0.05 after Holm's correction for all comparisons of a page, from intervals that count what runs
//! share ([`paired`]). The comparison of one pair of models has an interval over examples, but no p: another seed may turn its sign.

use std::path::{Path, PathBuf};

use super::basins;
use super::plan::{self, Model};
use super::sharpness::{self, about};
use crate::analysis::config::{Analysis, Parsed, Part};
use crate::analysis::titles::mask_title;
use crate::data::glue::Task;
use crate::dropout::rates;
use crate::error::{Error, Result};
use crate::fisher::files as fisher_files;
use crate::fisher::layers::{Granularity, Scores};
use crate::landscape::directions::Mark;
use crate::landscape::mask::Select;
use crate::landscape::rise::{self, ByExample};
use crate::landscape::sharpness::{Comparison, Measure, Pair, Row, compare_measure};
use crate::stats::paired::{self, Difference};
pub use crate::tables::page::{Basins, McNemar, Score, Sharp, SharpRun, Site, Surface, Training};
use crate::tables::surface::Grid;
use crate::tables::training::MetricRow;
use crate::tables::training::PredictionRow;
use crate::tables::{self, Table};
use crate::tasks::{Kind, Metric, Predictions, answers};
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
    let rest: Vec<MetricRow> = metrics.collect();
    let count = |name: &str| rest.iter().find(|row| row.metric == name).map(|row| row.value as usize);
    let MetricRow { examples, metric, value, se, .. } = chief;
    Ok(Score {
        loss: loss.value,
        value,
        se,
        constant: None,
        examples,
        collapsed: count("distinct_predictions").is_some_and(|distinct| distinct <= 1),
        trained_on: count("training_examples"),
        by_example: None,
        beside: rest.into_iter().next().map(|row| row.metric),
        metric,
    })
}

/// The score of a run with what its predictions say of single examples, which takes a while where a metric is no mean.
fn score_by_example(run: &Path) -> Result<Score> {
    let score = score(run)?;
    let known = by_example(run, &score)?;
    let constant = known.as_ref().and_then(|(_, constant)| *constant);
    Ok(Score { by_example: known.map(|(by_example, _)| by_example), constant, ..score })
}

/// Numbers of examples, and what is known of each.
type ByNumber = (Vec<usize>, Vec<f64>);

/// What the run's predictions say of the chief metric, example by example; answers are told from classes by what stands next.
///
/// Beside it the score of the best answer that is the same for all.
fn by_example(run: &Path, score: &Score) -> Result<Option<(ByNumber, Option<f64>)>> {
    let path = run.join(PredictionRow::FILE);
    if !path.exists() {
        return Ok(None);
    }
    let (numbers, predictions) = PredictionRow::read(&tables::read(&path)?);
    let [f1, exact] = answers::METRICS else { return Ok(None) };
    let asked = score.beside.as_ref().is_some_and(|name| name == exact.name).then_some(f1);
    let chief = asked
        .into_iter()
        .chain(Kind::ALL.iter().flat_map(|kind| kind.spec().metrics))
        .chain(Task::ALL.iter().flat_map(|t| t.metrics()));
    let chief = chief.into_iter().find(|known| known.name == score.metric);
    Ok(chief.map(|chief| ((numbers, chief.pseudo_values(&predictions)), constant(chief, &predictions))))
}

/// More labels than this are no classes that one could name always.
const CLASSES: usize = 100;

/// What the best of those scores who name one class for all; none of numbers and of answers in words.
fn constant(chief: &Metric, predictions: &Predictions) -> Option<f64> {
    let mut labels: Vec<f64> = predictions.truth.clone();
    labels.sort_unstable_by(f64::total_cmp);
    labels.dedup();
    let classes = labels.iter().all(|label| label.fract() == 0.0 && *label >= 0.0);
    let in_words = labels.iter().any(|label| answers::answers(predictions.name(*label)).is_some());
    if !classes || labels.len() > CLASSES || in_words {
        return None;
    }
    let of = |label: &f64| {
        let predicted = vec![*label; predictions.truth.len()];
        chief.value(&Predictions { predicted, ..predictions.clone() })
    };
    labels.iter().map(of).filter(|value| value.is_finite()).reduce(f64::max)
}

/// The difference of two arms over runs that are paired by seed, and how it was judged.
fn difference(pairs: &[(&Score, &Score)]) -> (Option<Difference>, &'static str) {
    let values: Vec<f64> = pairs.iter().map(|(own, first)| own.value - first.value).collect();
    let each = pairs.iter().map(|(own, first)| own.by_example.as_ref().zip(first.by_example.as_ref()));
    let Some(each) = each.collect::<Option<Vec<_>>>().filter(|each| !each.is_empty()) else {
        return (paired::independent(&values), "runs");
    };
    let numbers = &each[0].0.0;
    if each.iter().any(|(own, first)| own.0 != *numbers || first.0 != *numbers) {
        return (paired::resampled(&values, paired::FIFTH), "resampled");
    }
    let minus = |(own, first): &(&ByNumber, &ByNumber)| {
        own.1.iter().zip(&first.1).map(|(own, first)| own - first).collect::<Vec<f64>>()
    };
    // Pseudo-values are about the metric; the difference itself is that of the metrics.
    let crossed = paired::crossed(&each.iter().map(minus).collect::<Vec<_>>());
    (crossed.map(|d| Difference { value: stats::mean(&values), ..d }), "crossed")
}

/// The arms of the training, if there is one; p are not corrected yet.
pub fn training(folder: &Path, models: &[Model]) -> Result<Vec<Training>> {
    let mut rows: Vec<Training> = Vec::new();
    let mut first: Vec<(String, Score)> = Vec::new();
    for (i, model) in models.iter().enumerate().filter(|(_, model)| !model.runs.is_empty()) {
        let named = |run: &String| {
            let seed = run.rsplit('/').next().unwrap_or_default().to_string();
            score_by_example(&folder.join(run)).map(|score| (seed, score))
        };
        let runs = model.runs.iter().map(named).collect::<Result<Vec<(String, Score)>>>()?;
        if i == 0 {
            first.clone_from(&runs);
        }
        // A run that failed has no partner.
        let partner = |seed: &String| first.iter().find(|(other, _)| i > 0 && other == seed);
        let pairs: Vec<(&Score, &Score)> =
            runs.iter().filter_map(|(seed, own)| Some((own, &partner(seed)?.1))).collect();
        let differences: Vec<f64> = pairs.iter().map(|(own, first)| own.value - first.value).collect();
        let of = |get: fn(&Score) -> f64| runs.iter().map(|(_, score)| get(score)).collect::<Vec<f64>>();
        let (values, losses) = (of(|score| score.value), of(|score| score.loss));
        let mean = (!differences.is_empty()).then(|| stats::mean(&differences));
        let (judged, interval) = difference(&pairs);
        let half = judged.map(|d| d.half_width(0.95));
        let spread = |values: &[f64]| (values.len() > 1).then(|| stats::sd(values));
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
            difference: mean,
            low: mean.zip(half).map(|(d, half)| d - half),
            high: mean.zip(half).map(|(d, half)| d + half),
            interval: judged.map_or(String::new(), |_| interval.to_string()),
            p: judged.map(|d| d.p()),
            p_corrected: None,
            least_shown: None,
            held_out_examples: runs[0].1.examples,
            constant: constants(&runs),
            pairs: differences.len(),
            judged,
            runs,
        });
    }
    Ok(rows)
}

/// What the best answer that is the same for all scores, mean over the runs.
fn constants(runs: &[(String, Score)]) -> Option<f64> {
    let each: Option<Vec<f64>> = runs.iter().map(|(_, score)| score.constant).collect();
    each.filter(|each| !each.is_empty()).map(|each| stats::mean(&each))
}

/// Who is right at each seed, the first arm or another, on one held-out part; none of numbers, or of several targets to an example.
pub fn mcnemar(folder: &Path, models: &[Model]) -> Result<Vec<McNemar>> {
    let mut rows = Vec::new();
    let read = |run: &String| -> Result<Vec<PredictionRow>> {
        let path = folder.join(run).join(PredictionRow::FILE);
        if path.exists() { tables::read(&path) } else { Ok(Vec::new()) }
    };
    let Some((first, others)) = models.split_first() else { return Ok(rows) };
    let seed = |run: &String| run.rsplit('/').next().unwrap_or_default().to_string();
    for one in &first.runs {
        let right =
            |rows: &[PredictionRow]| -> Vec<bool> { rows.iter().map(PredictionRow::is_right).collect() };
        let of_first = read(one)?;
        // Numbers are hit exactly by chance alone.
        let classes = of_first
            .iter()
            .all(|row| row.target == 0 && row.label.fract() == 0.0 && row.prediction.fract() == 0.0);
        for model in others.iter().filter(|_| classes && !of_first.is_empty()) {
            let Some(run) = model.runs.iter().find(|run| seed(run) == seed(one)) else { continue };
            let own = read(run)?;
            if own.iter().map(|row| row.example).ne(of_first.iter().map(|row| row.example)) {
                continue;
            }
            let pairs: Vec<(bool, bool)> = right(&of_first).into_iter().zip(right(&own)).collect();
            let count = |pair: (bool, bool)| pairs.iter().filter(|own| **own == pair).count();
            let (only_first, only_this) = (count((true, false)), count((false, true)));
            rows.push(McNemar {
                arm: model.title.clone(),
                seed: seed(one).trim_start_matches("seed").to_string(),
                both: count((true, true)),
                only_first,
                only_this,
                neither: count((false, false)),
                p: paired::mcnemar_p(only_first, only_this),
            });
        }
    }
    rows.sort_by_key(|row| models.iter().position(|model| model.title == row.arm));
    Ok(rows)
}

/// Arms whose rates differ between sites, and the rank correlation of their rates with the first of them, over the sites; the mean
/// over the seeds.
pub fn schedules(folder: &Path, models: &[Model]) -> Result<Vec<(String, f64)>> {
    let rates = |run: &String| -> Result<Vec<f64>> {
        let path = folder.join(run).join("rates.csv");
        let rows = if path.exists() {
            files::read_csv::<rates::Row>(&path, "run it again with --force")?
        } else {
            Vec::new()
        };
        Ok(rows.into_iter().map(|row| row.p).collect())
    };
    let mut found: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for model in models {
        let own = model.runs.iter().map(rates).collect::<Result<Vec<_>>>()?;
        if own.first().is_some_and(|p| p.iter().any(|value| *value != p[0])) {
            found.push((model.title.clone(), own));
        }
    }
    let Some((_, first)) = found.first() else { return Ok(Vec::new()) };
    let agree = |own: &Vec<Vec<f64>>| {
        let each = own.iter().zip(first).filter_map(|(own, first)| stats::spearman(own, first));
        stats::mean(&each.collect::<Vec<_>>())
    };
    Ok(found.iter().map(|(title, own)| (title.clone(), agree(own))).collect())
}

/// All comparisons of arms on a page.
pub struct Compared {
    pub training: Vec<Training>,
    /// Over all parts.
    pub surfaces: Vec<Surface>,
    pub sharpness: Vec<Sharp>,
    /// The same, run by run.
    pub sharp_runs: Vec<SharpRun>,
    pub basins: Vec<Basins>,
}

/// Compares the arms in all that was measured, with p corrected for all of it.
pub fn compared(folder: &Path, analysis: &Analysis, models: &[Model]) -> Result<Compared> {
    let (sharpness, sharp_runs) = sharpness::compared(folder, analysis, models)?;
    let mut found = Compared {
        training: training(folder, models)?,
        surfaces: Vec::new(),
        sharpness,
        sharp_runs,
        basins: basins::compared(folder, analysis, models)?,
    };
    for part in analysis.surface.iter().flat_map(|_| analysis.surfaces_over()) {
        found.surfaces.extend(surfaces(folder, analysis, models, part)?);
    }
    let surfaces = found.surfaces.iter_mut().map(|row| (row.p, &mut row.p_corrected));
    let others = surfaces.chain(found.sharpness.iter_mut().map(|row| (row.p, &mut row.p_corrected)));
    let others = others.chain(found.basins.iter_mut().map(|row| (row.p, &mut row.p_corrected)));
    judge(found.training.iter_mut(), others.collect());
    Ok(found)
}

/// Corrects p for as many comparisons as there are among these and `others`, and says what could have been shown.
pub fn judge<'a>(
    rows: impl Iterator<Item = &'a mut Training>,
    others: Vec<(Option<f64>, &'a mut Option<f64>)>,
) {
    let rows: Vec<&mut Training> = rows.collect();
    let compared =
        rows.iter().filter(|row| row.p.is_some()).count() + others.iter().filter(|o| o.0.is_some()).count();
    let level = 1.0 - paired::LEVEL / compared.max(1) as f64;
    let own = rows.into_iter().map(move |row| {
        row.least_shown = row.judged.map(|d| d.half_width(level));
        (row.p, &mut row.p_corrected)
    });
    paired::correct(own.chain(others));
}

/// The surfaces over one part, mask by mask; p are not corrected yet.
pub fn surfaces(folder: &Path, analysis: &Analysis, models: &[Model], part: Part) -> Result<Vec<Surface>> {
    let mut rows = Vec::new();
    let planes = analysis.surface.as_ref().map_or(1, |surface| surface.draws);
    // Then no file has the loss of every example, by which arms are compared.
    let sampled = analysis.surface.as_ref().is_some_and(|surface| surface.sampling.tolerance.is_some());
    for Parsed(mask) in analysis.surface.iter().flat_map(|surface| &surface.masks) {
        let mut first: Vec<RunRise> = Vec::new();
        for (i, model) in models.iter().enumerate() {
            let runs = plan::surface_runs(analysis, model);
            let of = |run: Option<&String>, k| {
                folder.join(plan::surface_path(analysis, part, (model, run), mask, k))
            };
            let path = of(runs[0], 0);
            let about = about(&path)?;
            let grid = Grid::read(&path)?;
            let mut rises = Vec::new();
            for run in runs.into_iter().filter(|_| !sampled) {
                let paths: Vec<PathBuf> = (0..planes).map(|k| of(run, k)).collect();
                rises.extend(RunRise::read(run, &paths)?);
            }
            let values: Vec<f64> = rises.iter().map(|run| run.rise.row(&run.targets).value).collect();
            let own = rises.first().map(|run| run.rise.row(&run.targets));
            let pairs: Vec<(&RunRise, &RunRise)> = rises
                .iter()
                .filter_map(|own| Some((own, first.iter().find(|other| i > 0 && other.seed == own.seed)?)))
                .collect();
            let compared = compare_rises(&pairs, !analysis.part_by_seed(part));
            let number = |pointer: &str| about.pointer(pointer).and_then(serde_json::Value::as_f64);
            let finite = grid.loss.iter().copied().filter(|v| v.is_finite());
            let spread = |row: &Row| Some(row.se_draws? * (row.draws as f64).sqrt());
            rows.push(Surface {
                over: plan::part_name(part).to_string(),
                mask: mask_title(mask),
                model: model.title.clone(),
                centre: number("/centre/loss").unwrap_or(f64::NAN),
                centre_se: number("/centre/loss_se").unwrap_or(f64::NAN),
                rise: (!values.is_empty()).then(|| stats::mean(&values)),
                rise_se: own.as_ref().map(|own| own.se_examples),
                planes,
                rise_sd: own.as_ref().and_then(spread),
                seeds: values.len(),
                highest: finite.fold(f64::NEG_INFINITY, f64::max),
                not_finite: grid.loss.iter().filter(|v| !v.is_finite()).count(),
                span: span(&grid),
                effective: number("/mask/counts/selected_effective").unwrap_or(0.0) as u64,
                difference: compared.as_ref().map(|d| d.difference),
                low: compared.as_ref().map(|d| d.low),
                high: compared.as_ref().map(|d| d.high),
                p: compared.as_ref().and_then(|d| d.p),
                p_corrected: None,
            });
            if i == 0 {
                first = rises;
            }
        }
    }
    Ok(rows)
}

/// The square around the centre that a grid covers.
fn span(grid: &Grid) -> Option<(f64, f64)> {
    let ends =
        |axis: &[f64]| Some((axis.iter().copied().reduce(f64::min)?, axis.iter().copied().reduce(f64::max)?));
    let ((left, right), (bottom, top)) = (ends(&grid.x)?, ends(&grid.y)?);
    Some((left.max(bottom), right.min(top)))
}

/// The rise around the model of one seed, by what is one draw of the data.
struct RunRise {
    seed: String,
    rise: Measure,
    targets: Vec<f64>,
}

impl RunRise {
    /// From its surfaces, plane by plane; `None` without a grid point within the radius, of which there is none in any plane.
    fn read(run: Option<&String>, surfaces: &[PathBuf]) -> Result<Option<RunRise>> {
        let (mut draws, mut targets) = (Vec::new(), Vec::new());
        for path in surfaces {
            let by_example = ByExample::read(&rise::examples_path(path))?;
            let clusters = &by_example.clusters;
            draws.extend(by_example.rise(RADIUS).map(|rise| clusters.sums(&rise)));
            targets = clusters.sums(&by_example.targets);
        }
        let seed = run.and_then(|run| run.rsplit('/').next()).unwrap_or_default().to_string();
        let rise = Measure { name: "rise".into(), draws };
        Ok((!rise.draws.is_empty()).then_some(RunRise { seed, rise, targets }))
    }
}

/// The difference of rises over pairs of models.
fn compare_rises(pairs: &[(&RunRise, &RunRise)], shared: bool) -> Option<Comparison> {
    let pairs: Vec<Pair> = pairs
        .iter()
        .map(|(own, first)| Pair { first: &first.rise, second: &own.rise, targets: &own.targets })
        .collect();
    let compared = (!pairs.is_empty()).then(|| compare_measure(&pairs, shared));
    compared.filter(|d| d.low.is_finite() && d.high.is_finite())
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

/// The sites, and those at both ends.
pub struct Sites {
    /// In model order.
    pub rows: Vec<Site>,
    /// Places of the highest, and after it of those that are not distinguished from it: the 95 % interval of their paired difference
    /// over the examples holds 0.
    pub highest: Vec<usize>,
    pub lowest: Vec<usize>,
}

/// Scores of the sites by the paper's aggregate, with their errors over examples; without the sums of the examples no rows.
pub fn sites(folder: &Path, analysis: &Analysis) -> Result<Sites> {
    let path = folder.join(format!("{}.safetensors", plan::fisher_stem(analysis)));
    let fisher_files::Stored { diagonal, layout, .. } = fisher_files::read(&path)?;
    let Some(by_example) = fisher_files::read_sums(&path, &diagonal)? else {
        return Ok(Sites { rows: Vec::new(), highest: Vec::new(), lowest: Vec::new() });
    };
    let schedule = analysis.schedule.as_ref();
    let aggregate = schedule.map(|schedule| schedule.aggregate).unwrap_or_default();
    let intermediate = schedule.is_some_and(|schedule| schedule.include_intermediate);
    let scores = Scores::new(&layout, Granularity::Site, aggregate, intermediate);
    let columns = scores.of_examples(&by_example.sums);
    let columns: Vec<Vec<f64>> = columns.columns().into_iter().map(|column| column.to_vec()).collect();
    let error = |values: &[f64]| by_example.clusters.standard_error(values);
    let site = |(name, values): (&String, &Vec<f64>)| Site {
        site: name.clone(),
        score: stats::mean(values),
        score_se: error(values),
    };
    let rows: Vec<Site> = scores.names().iter().zip(&columns).map(site).collect();
    let order = |a: &usize, b: &usize| rows[*a].score.total_cmp(&rows[*b].score);
    let [highest, lowest] = [(0..rows.len()).max_by(order), (0..rows.len()).min_by(order)]
        .map(|end| end.map_or(Vec::new(), |end| tied(&columns, end, &error)));
    Ok(Sites { rows, highest, lowest })
}

/// Standard errors to either side of a mean over many examples in its 95 % interval.
const HALF_WIDTH: f64 = 1.96;

/// A column and those that are not distinguished from it.
fn tied(columns: &[Vec<f64>], end: usize, error: &dyn Fn(&[f64]) -> f64) -> Vec<usize> {
    let within = |other: &usize| {
        let difference: Vec<f64> = columns[*other].iter().zip(&columns[end]).map(|(a, b)| a - b).collect();
        *other != end && stats::mean(&difference).abs() <= HALF_WIDTH * error(&difference)
    };
    std::iter::once(end).chain((0..columns.len()).filter(within)).collect()
}

/// The rise in the parameters of most Fisher information against that in others, around the first model.
pub struct Marked {
    pub part: Part,
    pub top: Select,
    pub other: Select,
    /// The first is the other mask's; none without a grid point within the radius, or an interval.
    pub compared: Option<Comparison>,
}

/// Of the first mask at the top that has a partner, at random or at the bottom, over the held-out part where there is one; the comparison is
/// paired by plane and example.
pub fn marked(folder: &Path, analysis: &Analysis, models: &[Model]) -> Result<Option<Marked>> {
    let Some(surface) = &analysis.surface else { return Ok(None) };
    if surface.sampling.tolerance.is_some() {
        return Ok(None);
    }
    let masks: Vec<Select> = surface.masks.iter().map(|mask| mask.0).collect();
    let partner = |top: &Select| match top {
        Select::Top(f) => {
            [Select::Random(*f), Select::Bottom(*f)].into_iter().find(|other| masks.contains(other))
        }
        Select::PaperTop => Some(Select::PaperBottom).filter(|other| masks.contains(other)),
        _ => None,
    };
    let Some((top, other)) = masks.iter().find_map(|top| Some((*top, partner(top)?))) else {
        return Ok(None);
    };
    let parts = analysis.surfaces_over();
    let part = parts.iter().find(|part| **part == Part::HeldOut).or(parts.first()).copied();
    let (Some(part), Some(model)) = (part, models.first()) else { return Ok(None) };
    let rise = |mask: &Select, run: Option<&String>| {
        let of = |k| folder.join(plan::surface_path(analysis, part, (model, run), mask, k));
        RunRise::read(run, &(0..surface.draws).map(of).collect::<Vec<_>>())
    };
    let mut rises = Vec::new();
    for run in plan::surface_runs(analysis, model) {
        rises.extend(rise(&other, run)?.zip(rise(&top, run)?));
    }
    let pairs: Vec<(&RunRise, &RunRise)> = rises.iter().map(|(other, top)| (top, other)).collect();
    let compared = compare_rises(&pairs, !analysis.part_by_seed(part));
    Ok(Some(Marked { part, top, other, compared }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. The differences of 100 examples have a mean of 1, and a standard error of 0.5025 or 0.5126 where they are 6 and −4, or
    /// 6.1 and −4.1, in turn: 1.99 and 1.95 standard errors. Pairs that move together are distinguished where their own errors would not.
    #[test]
    fn a_tie_is_what_the_paired_difference_leaves_open() {
        let column =
            |up: f64, down: f64| (0..100).map(|i| if i % 2 == 0 { up } else { down }).collect::<Vec<f64>>();
        let columns = [column(0.0, 0.0), column(6.0, -4.0), column(6.1, -4.1), column(1.0, 1.0)];
        let error = |values: &[f64]| stats::standard_error(values);
        assert_eq!(tied(&columns, 0, &error), [0, 2]);
        let together = [column(9.0, -9.0), column(9.2, -9.1)];
        assert_eq!(tied(&together, 0, &error), [0]);
    }

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
            training(folder.path(), &models).unwrap().remove(1)
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
