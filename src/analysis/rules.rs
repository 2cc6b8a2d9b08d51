//! What must hold between the keys of an analysis.
//!
//! The ranges of single keys are those of the commands' own options; both are asked before anything begins, so that a mistake is
//! shown where it stands, and not by a command hours later.

use std::path::PathBuf;

use super::config::{Analysis, KindPlane, Over, Part};
use super::titles::{mask_title, plain};
use crate::error;
use crate::landscape::mask::Select;
use crate::model::Estimator;
use crate::stages::audit::AuditOptions;
use crate::stages::examples::ExamplesOptions;
use crate::stages::options::defaults;
use crate::stages::schedule::ScheduleOptions;
use crate::stages::stability::StabilityOptions;
use crate::stages::surface::AxisOptions;

/// What does not fit: the key or section, what is wrong with it as the rest of a sentence, and how to fix it.
pub struct Problem {
    pub key: String,
    predicate: String,
    pub fix: String,
}

impl Problem {
    /// "`train.seeds` must be from 1 to 1000", "[stability] needs a [fisher] section".
    pub fn sentence(&self) -> String {
        match self.key.contains('.') {
            true => format!("`{}` {}", self.key, self.predicate),
            false => format!("[{}] {}", self.key, self.predicate),
        }
    }
}

/// Whether it holds; the key or section, what is wrong with it where it does not, and how to fix it.
type Rule = (bool, &'static str, &'static str, &'static str);

/// Draws that make sense: more would show no more.
const DRAWS: std::ops::RangeInclusive<usize> = 1..=100;

/// Each seed is a training of every arm: more are a mistake.
const SEEDS: std::ops::RangeInclusive<usize> = 1..=1000;

/// The first thing that does not fit.
pub fn problem(analysis: &Analysis) -> Option<Problem> {
    let rules = [
        paths(analysis),
        data(analysis),
        training(analysis),
        fisher(analysis),
        rankings(analysis),
        landscape(analysis),
    ];
    let broken = rules.into_iter().flatten().find(|(holds, ..)| !holds);
    let broken = broken.map(|(_, key, predicate, fix)| Problem {
        key: key.to_string(),
        predicate: predicate.to_string(),
        fix: fix.to_string(),
    });
    broken.or_else(|| {
        let (section, option) =
            ranges(analysis).into_iter().find_map(|(name, range)| Some((name, range?.err()?)))?;
        let (key, predicate) =
            (format!("{section}.{}", option.option), format!("must be {}", option.expected));
        Some(Problem { key, predicate, fix: option.fix })
    })
}

/// What the commands ask of their own options.
fn ranges(analysis: &Analysis) -> [(&'static str, Option<Result<(), error::Problem>>); 14] {
    let line = |problem| error::Problem { option: "line_resolution", ..problem };
    [
        ("fisher", analysis.fisher.as_ref().map(|s| s.options.check())),
        ("schedule", analysis.schedule.as_ref().map(ScheduleOptions::check)),
        ("train", analysis.train.as_ref().map(|s| s.options.check())),
        ("surface", analysis.surface.as_ref().map(|s| s.axes.check().and(s.sampling.check()))),
        ("profile", analysis.profile.as_ref().map(|s| s.axes.check().and(s.sampling.check()))),
        (
            "plane",
            analysis.plane.as_ref().map(|p| {
                let lines = axes(&p.span, p.line_resolution).map_err(line);
                axes(&p.span, p.resolution).and(lines).and(p.sampling.check())
            }),
        ),
        (
            "trajectory",
            analysis.trajectory.as_ref().map(|t| axes(&t.span, t.resolution).and(t.sampling.check())),
        ),
        ("planes", analysis.planes.iter().map(|p| axes(&p.span, p.resolution)).find(Result::is_err)),
        ("sharpness", analysis.sharpness.as_ref().map(|s| s.options.check().and(s.axes.check()))),
        ("stability", analysis.stability.as_ref().map(StabilityOptions::check)),
        ("audit", analysis.audit.as_ref().map(AuditOptions::check)),
        ("damage", analysis.damage.as_ref().map(|s| s.options.check())),
        ("prune", analysis.prune.as_ref().map(|s| s.options.check())),
        ("examples", analysis.examples.as_ref().map(ExamplesOptions::check)),
    ]
}

/// What `surface` asks of its axes.
fn axes(span: &[f64], resolution: Option<usize>) -> Result<(), error::Problem> {
    let usual = defaults::<AxisOptions>();
    AxisOptions { span: span.to_vec(), resolution: resolution.unwrap_or(usual.resolution) }.check()
}

fn labelled(analysis: &Analysis) -> bool {
    let data = &analysis.data;
    data.task.is_some() || data.table.is_some() || data.in_parts()
}

fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))
}

/// A path without a letter would be no word of a command.
fn paths(analysis: &Analysis) -> Vec<Rule> {
    let data = &analysis.data;
    let fix = "name it, or leave the key out";
    let named = |key, path: Option<&PathBuf>| {
        (path.is_none_or(|p| !p.as_os_str().is_empty()), key, "must name a file or folder", fix)
    };
    vec![
        named("model.checkpoint", Some(&analysis.model.checkpoint)),
        named("data.folder", data.folder.as_ref()),
        named("data.table", data.table.as_ref()),
        named("data.conll", data.conll.as_ref()),
        named("data.squad", data.squad.as_ref()),
        named("data.dev", data.dev.as_ref()),
        named("data.text", data.text.as_ref()),
    ]
}

fn data(analysis: &Analysis) -> Vec<Rule> {
    let compute = analysis.compute.as_ref();
    let data = &analysis.data;
    vec![
        (
            labelled(analysis) || data.text.is_some(),
            "data",
            "needs a task, a table, words, questions or text",
            "give data.task, data.table, data.conll, data.squad or data.text",
        ),
        (
            data.task.is_none() || data.table.is_none(),
            "data.table",
            "cannot be given together with data.task",
            "choose one of the two",
        ),
        (
            data.conll.is_none() || data.task.is_none() && data.table.is_none(),
            "data.conll",
            "cannot be given together with data.task or data.table",
            "choose one of them",
        ),
        (
            data.conll.is_some() || data.column.is_none(),
            "data.column",
            "needs data.conll",
            "name the file of words in data.conll",
        ),
        (
            data.squad.is_none() || data.task.is_none() && data.table.is_none() && data.conll.is_none(),
            "data.squad",
            "cannot be given together with data.task, data.table or data.conll",
            "choose one of them",
        ),
        (
            data.squad.is_some() || data.stride.is_none(),
            "data.stride",
            "needs data.squad",
            "name the file of questions in data.squad",
        ),
        (
            data.in_parts() || data.dev.is_none(),
            "data.dev",
            "needs data.conll or data.squad",
            "name the file of words or of questions",
        ),
        (
            data.table.is_some() == data.columns.is_some(),
            "data.columns",
            "goes with data.table: give both or neither",
            "write columns = \"text,label\"",
        ),
        (
            data.labels.is_none() || data.table.is_some(),
            "data.labels",
            "needs data.table",
            "a task's labels are known",
        ),
        (
            compute.is_none_or(|c| c.device.0.has(c.precision)),
            "compute.precision",
            "is one that compute.device does not have: tf32 needs cuda, bf16 cuda, metal or cpu:composed",
            "write device = \"cuda\", or leave out precision",
        ),
        (
            compute.is_none_or(|c| c.device.0.is_built()),
            "compute.device",
            "is not built into this program",
            "build it with --features cuda or metal, or leave out compute.device",
        ),
    ]
}

/// Of arms and their schedule.
fn training(analysis: &Analysis) -> Vec<Rule> {
    let train = analysis.train.as_ref();
    let arms = || train.iter().flat_map(|train| &train.arms);
    let names: Vec<String> = arms().map(|arm| plain(&arm.0.to_string())).collect();
    let preset = |schedule: &ScheduleOptions| schedule.preset.is_some();
    vec![
        (
            train.is_none() || labelled(analysis),
            "train",
            "needs data.task, data.table, data.conll or data.squad",
            "give one of them, or remove [train]",
        ),
        (
            train.is_none() || (1..=16).contains(&names.len()) && distinct(&names),
            "train.arms",
            "must be a list of one to sixteen arms, distinct by name",
            "write, for example, [\"uniform:0.05\", \"guided\"]",
        ),
        (
            train.is_none_or(|t| SEEDS.contains(&t.seeds)),
            "train.seeds",
            "must be from 1 to 1000",
            "five give an interval worth having",
        ),
        (
            !analysis.looks_at_models() || train.is_none_or(|t| !t.options.scores_only),
            "train.scores_only",
            "keeps no models, but other sections need them",
            "leave it out, or leave out [surface], [prune], agree.arms and agree.moments",
        ),
        (
            analysis.schedule.is_some() || arms().all(|arm| !arm.0.scheduled()),
            "train.arms",
            "names `guided` or one of its controls, but there is no [schedule]",
            "add a [schedule], name a file (\"guided:RATES.csv\"), or leave the arm out",
        ),
        (
            arms().all(|arm| arm.0.control().is_none())
                || analysis.fisher.is_some() && !analysis.schedule.as_ref().is_some_and(preset),
            "train.arms",
            "names `untrained` or `random-label`, but no Fisher information is computed",
            "add [fisher] and leave schedule.preset out, or leave the arm out",
        ),
        (
            analysis.schedule.as_ref().is_none_or(preset) || analysis.fisher.is_some(),
            "schedule",
            "needs a preset or a [fisher] section",
            "add [fisher], or preset = \"paper-bert-base\"",
        ),
    ]
}

fn fisher(analysis: &Analysis) -> Vec<Rule> {
    let Some(fisher) = &analysis.fisher else { return Vec::new() };
    let over = analysis.fisher_over();
    vec![
        (
            over == Over::Task || analysis.data.text.is_some(),
            "fisher.over",
            "is \"text\", but there is no data.text",
            "give data.text, or over = \"task\"",
        ),
        (
            over == Over::Text || labelled(analysis),
            "fisher.over",
            "is \"task\", but there is no task, table, words or questions",
            "give data.task, or over = \"text\"",
        ),
        (fisher.examples != Some(0), "fisher.examples", "must be at least 1", "leave it out for all"),
        (
            distinct(&fisher.also) && !fisher.also.contains(&Estimator::Empirical),
            "fisher.also",
            "must be \"mc\", \"exact\" or both",
            "the empirical estimator is always there",
        ),
        (
            over == Over::Task || !fisher.also.contains(&Estimator::Exact),
            "fisher.also",
            "cannot have \"exact\" over text",
            "a vocabulary has too many classes to sum over",
        ),
    ]
}

/// Of what is asked about rankings by the Fisher information.
fn rankings(analysis: &Analysis) -> Vec<Rule> {
    let over = analysis.fisher_over();
    let stability = analysis.stability.as_ref();
    let sections = [
        ("audit", analysis.audit.is_some()),
        ("damage", analysis.damage.is_some()),
        ("agree", analysis.agree.is_some()),
        ("prune", analysis.prune.is_some()),
        ("examples", analysis.examples.is_some()),
    ];
    let first = sections.into_iter().find_map(|(name, there)| there.then_some(name));
    let also = analysis.fisher.as_ref().is_some_and(|fisher| !fisher.also.is_empty());
    vec![
        (
            analysis.damage.as_ref().is_none_or(|d| d.examples != Some(0)),
            "damage.examples",
            "must be at least 1",
            "leave it out for all",
        ),
        (
            analysis.prune.as_ref().is_none_or(|p| p.examples != Some(0)),
            "prune.examples",
            "must be at least 1",
            "leave it out for all",
        ),
        (
            analysis.prune.is_none() || analysis.train.is_none() || over == Over::Task,
            "prune",
            "needs Fisher information over the task where arms are trained",
            "set fisher.over = \"task\": trained models have no masked-LM head",
        ),
        (
            stability.is_none() || analysis.fisher.is_some(),
            "stability",
            "needs a [fisher] section",
            "add [fisher]: the rankings are of its examples",
        ),
        (
            stability.is_none_or(|s| s.masks <= 1 || over == Over::Text),
            "stability.masks",
            "needs Fisher information over text",
            "leave it out: a task's examples have no masks",
        ),
        (
            stability.is_none_or(|s| s.heads <= 1 || over != Over::Text),
            "stability.heads",
            "needs Fisher information over a task",
            "leave it out: the head that predicts tokens is the checkpoint's own",
        ),
        (
            analysis.fisher.is_some() || first.is_none(),
            first.unwrap_or("audit"),
            "needs a [fisher] section",
            "add [fisher]",
        ),
        (
            analysis.agree.as_ref().is_none_or(|a| !a.arms || analysis.train.is_some() && over == Over::Task),
            "agree.arms",
            "needs trained arms and Fisher information over the task",
            "add [train] and fisher.over = \"task\": trained models have no masked-LM head",
        ),
        (
            analysis.agree.as_ref().is_none_or(|a| !a.moments || analysis.train.is_some()),
            "agree.moments",
            "needs trained arms",
            "add [train]: AdamW's moments are those of a training",
        ),
        (
            analysis.agree.as_ref().is_none_or(|a| a.arms || a.moments || also || !a.files.is_empty()),
            "agree",
            "has nothing to compare the empirical estimate with",
            "set agree.arms = true, agree.moments = true, fisher.also, or agree.files and agree.titles",
        ),
        (
            analysis.agree.as_ref().is_none_or(|a| a.titles.len() == a.files.len()),
            "agree.titles",
            "must have one title for each of agree.files",
            "write, for example, files = [\"F.safetensors\"] and titles = [\"mine\"]",
        ),
    ]
}

/// Of surfaces and of what needs them.
fn landscape(analysis: &Analysis) -> Vec<Rule> {
    let surface = analysis.surface.as_ref();
    let masks: Vec<String> =
        surface.iter().flat_map(|s| &s.masks).map(|mask| plain(&mask_title(&mask.0))).collect();
    let sharpness = analysis.sharpness.as_ref().and_then(|s| s.mask.as_ref());
    let all_masks = surface.iter().flat_map(|s| &s.masks).chain(sharpness);
    let parts = if surface.is_some() { analysis.surfaces_over() } else { Vec::new() };
    let sections = [
        ("profile", analysis.profile.is_some()),
        ("plane", analysis.plane.is_some()),
        ("trajectory", analysis.trajectory.is_some()),
        ("planes", !analysis.planes.is_empty()),
        ("sharpness", analysis.sharpness.is_some()),
        ("topology", analysis.topology.is_some()),
    ];
    let kinds: Vec<&str> = analysis.planes.iter().map(|plane| plane.kind.0.name).collect();
    let by_itself = |plane: &KindPlane| !(plane.kind.0.between || plane.kind.0.along);
    let without_surface = sections.iter().find_map(|(name, there)| there.then_some(*name));
    vec![
        (
            surface.is_none_or(|s| s.examples != Some(0)),
            "surface.examples",
            "must be at least 1",
            "leave it out for all",
        ),
        (
            surface.is_none_or(|s| DRAWS.contains(&s.draws)),
            "surface.draws",
            "must be from 1 to 100",
            "three planes show a spread",
        ),
        (
            surface.is_none_or(|s| (1..=analysis.seeds().max(1)).contains(&s.seeds)),
            "surface.seeds",
            "must be from 1 to train.seeds",
            "five give an interval worth having",
        ),
        (
            surface.is_none_or(|s| s.sampling.tolerance.is_none() || s.seeds == 1),
            "surface.tolerance",
            "cannot be given together with surface.seeds above 1",
            "leave it out: arms are compared by the loss of every example at every point",
        ),
        (
            surface.is_none_or(|s| s.sampling.tolerance.is_none() || analysis.topology.is_none()),
            "surface.tolerance",
            "cannot be given together with [topology]",
            "leave it out: basins are judged by the loss of every example at every point",
        ),
        (
            analysis.profile.as_ref().is_none_or(|p| DRAWS.contains(&p.draws)),
            "profile.draws",
            "must be from 1 to 100",
            "five lines show a spread",
        ),
        (
            surface.is_some() || without_surface.is_none(),
            without_surface.unwrap_or("surface"),
            "needs a [surface] section",
            "add [surface]: it names the parts of the data",
        ),
        (
            analysis.planes.iter().all(by_itself) && distinct(&kinds),
            "planes",
            "must be of distinct kinds that need no other models",
            "[plane] is the one between models, [trajectory] the one along a training",
        ),
        (
            analysis.train.is_some() || analysis.plane.is_none(),
            "plane",
            "needs a [train] section",
            "add [train]: the plane goes through trained models",
        ),
        (
            analysis.train.is_some() || analysis.trajectory.is_none(),
            "trajectory",
            "needs a [train] section",
            "add [train]: the trajectory is that of a training",
        ),
        (
            analysis.trajectory.as_ref().is_none_or(|t| (3..=1000).contains(&t.snapshots)),
            "trajectory.snapshots",
            "must be from 3 to 1000",
            "a dozen show a path",
        ),
        (
            surface.is_none() || !parts.is_empty() && distinct(&parts),
            "surface.over",
            "must be a list of distinct parts, at least one",
            "write, for example, [\"held_out\"]",
        ),
        (
            analysis.train.is_none() || !parts.contains(&Part::Text),
            "surface.over",
            "names \"text\", which arms trained on a task cannot predict",
            "leave \"text\" out: the arms have no masked-LM head",
        ),
        (
            parts.iter().all(|part| match part {
                Part::Text => analysis.data.text.is_some(),
                Part::Train | Part::HeldOut => labelled(analysis),
            }),
            "surface.over",
            "names a part for which no data are given",
            "\"train\" and \"held_out\" are parts of a task, \"text\" is data.text",
        ),
        (
            analysis.fisher.is_some() || all_masks.into_iter().all(|mask| mask.0 == Select::All),
            "surface.masks",
            "can only be \"all\" without a [fisher] section",
            "add a [fisher] section",
        ),
        (
            surface.is_none() || !masks.is_empty() && distinct(&masks),
            "surface.masks",
            "must be a list of distinct masks, at least one",
            "write, for example, [\"all\", \"top:0.01\", \"random:0.01\"]",
        ),
    ]
}
