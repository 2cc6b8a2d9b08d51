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
use crate::stages::options::defaults;
use crate::stages::schedule::ScheduleOptions;
use crate::stages::stability::StabilityOptions;
use crate::stages::surface::AxisOptions;

/// What does not fit: the key, what it must be, and how to mend it.
pub struct Problem {
    pub key: String,
    pub expected: String,
    pub fix: String,
}

/// Whether it holds; the key, what it must be, and how to mend it.
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
    let broken =
        broken.map(|(_, key, expected, fix)| (key.to_string(), expected.to_string(), fix.to_string()));
    let (key, expected, fix) = broken.or_else(|| {
        let (section, option) =
            ranges(analysis).into_iter().find_map(|(name, range)| Some((name, range?.err()?)))?;
        Some((format!("{section}.{}", option.option), option.expected, option.fix))
    })?;
    Some(Problem { key, expected, fix })
}

/// What the commands ask of their own options.
fn ranges(analysis: &Analysis) -> [(&'static str, Option<Result<(), error::Problem>>); 12] {
    let line = |problem| error::Problem { option: "line_resolution", ..problem };
    [
        ("fisher", analysis.fisher.as_ref().map(|s| s.options.check())),
        ("schedule", analysis.schedule.as_ref().map(ScheduleOptions::check)),
        ("train", analysis.train.as_ref().map(|s| s.options.check())),
        ("surface", analysis.surface.as_ref().map(|s| s.axes.check().and(s.sampling.check()))),
        ("profile", analysis.profile.as_ref().map(|s| s.axes.check().and(s.sampling.check()))),
        (
            "plane",
            analysis
                .plane
                .as_ref()
                .map(|p| axes(&p.span, p.resolution).and(axes(&p.span, p.line_resolution).map_err(line))),
        ),
        ("trajectory", analysis.trajectory.as_ref().map(|t| axes(&t.span, t.resolution))),
        ("planes", analysis.planes.iter().map(|p| axes(&p.span, p.resolution)).find(Result::is_err)),
        ("sharpness", analysis.sharpness.as_ref().map(|s| s.options.check().and(s.axes.check()))),
        ("stability", analysis.stability.as_ref().map(StabilityOptions::check)),
        ("audit", analysis.audit.as_ref().map(AuditOptions::check)),
        ("damage", analysis.damage.as_ref().map(|s| s.options.check())),
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
        (path.is_none_or(|p| !p.as_os_str().is_empty()), key, "a file or folder", fix)
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
    let data = &analysis.data;
    vec![
        (
            labelled(analysis) || data.text.is_some(),
            "data",
            "a task, a table, words, questions or text",
            "give data.task, data.table, data.conll, data.squad or data.text",
        ),
        (
            data.task.is_none() || data.table.is_none(),
            "data.table",
            "left out beside a task",
            "choose one of the two",
        ),
        (
            data.conll.is_none() || data.task.is_none() && data.table.is_none(),
            "data.conll",
            "left out beside a task or a table",
            "choose one of them",
        ),
        (
            data.conll.is_some() || data.column.is_none(),
            "data.conll",
            "given with data.column",
            "name the file of words",
        ),
        (
            data.squad.is_none() || data.task.is_none() && data.table.is_none() && data.conll.is_none(),
            "data.squad",
            "left out beside a task, a table or words",
            "choose one of them",
        ),
        (
            data.squad.is_some() || data.stride.is_none(),
            "data.squad",
            "given with data.stride",
            "name the file of questions",
        ),
        (
            data.in_parts() || data.dev.is_none(),
            "data.dev",
            "left out without data.conll or data.squad",
            "name the file of words or of questions",
        ),
        (
            data.table.is_some() == data.columns.is_some(),
            "data.columns",
            "given with a table, and only then",
            "write columns = \"text,label\"",
        ),
        (
            data.labels.is_none() || data.table.is_some(),
            "data.labels",
            "left out without a table",
            "a task's labels are known",
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
            "about a task, a table, words or questions",
            "give data.task, data.table, data.conll or data.squad",
        ),
        (
            train.is_none() || (1..=16).contains(&names.len()) && distinct(&names),
            "train.arms",
            "a list of one to sixteen arms, distinct by name",
            "write, for example, [\"uniform:0.05\", \"guided\"]",
        ),
        (
            train.is_none_or(|t| SEEDS.contains(&t.seeds)),
            "train.seeds",
            "from 1 to 1000",
            "five give an interval worth having",
        ),
        (
            !analysis.looks_at_models() || train.is_none_or(|t| !t.options.scores_only),
            "train.scores_only",
            "left out where models are looked at",
            "leave it out, or [surface] and agree.arms",
        ),
        (
            analysis.schedule.is_some() || arms().all(|arm| !arm.0.scheduled()),
            "train.arms",
            "without `guided` and its controls where there is no [schedule]",
            "add a [schedule], name a file (\"guided:RATES.csv\"), or leave the arm out",
        ),
        (
            arms().all(|arm| arm.0.control().is_none())
                || analysis.fisher.is_some() && !analysis.schedule.as_ref().is_some_and(preset),
            "train.arms",
            "without `untrained` and `random-label` where no Fisher information is computed",
            "add [fisher] and leave schedule.preset out, or leave the arm out",
        ),
        (
            analysis.schedule.as_ref().is_none_or(preset) || analysis.fisher.is_some(),
            "schedule",
            "with a preset or a [fisher] section",
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
            "\"task\" where there is no text",
            "give data.text, or over = \"task\"",
        ),
        (
            over == Over::Text || labelled(analysis),
            "fisher.over",
            "\"text\" where there is no task",
            "give data.task, or over = \"text\"",
        ),
        (fisher.examples != Some(0), "fisher.examples", "at least 1", "leave it out for all"),
        (
            distinct(&fisher.also) && !fisher.also.contains(&Estimator::Empirical),
            "fisher.also",
            "\"mc\", \"exact\" or both",
            "the empirical estimator is always there",
        ),
        (
            over == Over::Task || !fisher.also.contains(&Estimator::Exact),
            "fisher.also",
            "without \"exact\" over text",
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
    ];
    let first = sections.into_iter().find_map(|(name, there)| there.then_some(name));
    let also = analysis.fisher.as_ref().is_some_and(|fisher| !fisher.also.is_empty());
    vec![
        (
            analysis.damage.as_ref().is_none_or(|d| d.examples != Some(0)),
            "damage.examples",
            "at least 1",
            "leave it out for all",
        ),
        (
            stability.is_none() || analysis.fisher.is_some(),
            "stability",
            "beside a [fisher] section",
            "add [fisher]: the rankings are of its examples",
        ),
        (
            stability.is_none_or(|s| s.masks <= 1 || over == Over::Text),
            "stability.masks",
            "left out where the Fisher information is over a task",
            "a task's examples have no masks",
        ),
        (
            stability.is_none_or(|s| s.heads <= 1 || over != Over::Text),
            "stability.heads",
            "left out where the Fisher information is over text",
            "the head that predicts tokens is the checkpoint's own",
        ),
        (
            analysis.fisher.is_some() || first.is_none(),
            first.unwrap_or("audit"),
            "beside a [fisher] section",
            "add [fisher]: it is about that",
        ),
        (
            analysis.agree.as_ref().is_none_or(|a| !a.arms || analysis.train.is_some() && over == Over::Task),
            "agree.arms",
            "true only where arms are trained and the Fisher information is over the task",
            "add [train] and fisher.over = \"task\": trained models have no masked-LM head",
        ),
        (
            analysis
                .agree
                .as_ref()
                .is_none_or(|a| (a.arms || also || !a.files.is_empty()) && a.titles.len() == a.files.len()),
            "agree",
            "about something beside the empirical estimate, and with a title for each file",
            "set arms = true, fisher.also, or files and titles",
        ),
    ]
}

/// Of surfaces and all that lies beside them.
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
    ];
    let kinds: Vec<&str> = analysis.planes.iter().map(|plane| plane.kind.0.name).collect();
    let alone = |plane: &KindPlane| !(plane.kind.0.between || plane.kind.0.along);
    let without_surface = sections.iter().find_map(|(name, there)| there.then_some(*name));
    vec![
        (
            surface.is_none_or(|s| s.examples != Some(0)),
            "surface.examples",
            "at least 1",
            "leave it out for all",
        ),
        (
            surface.is_none_or(|s| DRAWS.contains(&s.draws)),
            "surface.draws",
            "from 1 to 100",
            "three planes show a spread",
        ),
        (
            surface.is_none_or(|s| (1..=analysis.seeds().max(1)).contains(&s.seeds)),
            "surface.seeds",
            "from 1 to train.seeds",
            "five give an interval worth having",
        ),
        (
            surface.is_none_or(|s| s.sampling.tolerance.is_none() || s.seeds == 1),
            "surface.tolerance",
            "left out where surface.seeds compares arms",
            "leave it out: arms are compared by the loss of every example at every point",
        ),
        (
            analysis.profile.as_ref().is_none_or(|p| DRAWS.contains(&p.draws)),
            "profile.draws",
            "from 1 to 100",
            "five lines show a spread",
        ),
        (
            surface.is_some() || without_surface.is_none(),
            without_surface.unwrap_or("surface"),
            "beside a [surface] section",
            "add [surface]: its parts of the data are looked at",
        ),
        (
            analysis.planes.iter().all(alone) && distinct(&kinds),
            "planes",
            "of distinct kinds that need no other models",
            "[plane] is the one between models, [trajectory] the one along a training",
        ),
        (
            analysis.train.is_some() || analysis.plane.is_none(),
            "plane",
            "about arms of a training",
            "add a [train] section",
        ),
        (
            analysis.train.is_some() || analysis.trajectory.is_none(),
            "trajectory",
            "about arms of a training",
            "add a [train] section",
        ),
        (
            analysis.trajectory.as_ref().is_none_or(|t| (3..=1000).contains(&t.snapshots)),
            "trajectory.snapshots",
            "from 3 to 1000",
            "a dozen show a path",
        ),
        (
            surface.is_none() || !parts.is_empty() && distinct(&parts),
            "surface.over",
            "distinct parts, at least one",
            "write, for example, [\"held_out\"]",
        ),
        (
            analysis.train.is_none() || !parts.contains(&Part::Text),
            "surface.over",
            "parts of the task where arms are trained on it",
            "leave \"text\" out: the arms have no masked-LM head",
        ),
        (
            parts.iter().all(|part| match part {
                Part::Text => analysis.data.text.is_some(),
                Part::Train | Part::HeldOut => labelled(analysis),
            }),
            "surface.over",
            "parts of data that are there",
            "\"train\" and \"held_out\" are parts of a task, \"text\" is data.text",
        ),
        (
            analysis.fisher.is_some() || all_masks.into_iter().all(|mask| mask.0 == Select::All),
            "surface.masks",
            "only \"all\" where there is no [fisher]",
            "add a [fisher] section",
        ),
        (
            surface.is_none() || !masks.is_empty() && distinct(&masks),
            "surface.masks",
            "a list of distinct masks, at least one",
            "write, for example, [\"all\", \"top:0.01\", \"random:0.01\"]",
        ),
    ]
}
