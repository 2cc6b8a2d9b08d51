//! From an analysis to its steps: which commands, on what, in which order.
//!
//! Everything lies in the run's folder: `sets/`, `fisher/`, `schedule/`, `stability/`, `audit/`, `damage/`, `agree/`,
//! `train/ARM/seedK/`, `surfaces/PART/`, `topology/MODEL/`, `prune/MODEL/`, `examples/`, `profiles/PART/`, `planes/`,
//! `sharpness/`, `figures/`. All arms see one Fisher information, the same directions and one mask:
//! those of the checkpoint they start from.

pub mod depth;
mod landscape;
pub mod reliability;
mod training;

use std::collections::BTreeMap;
use std::path::Path;

use super::step::Step;
use crate::analysis::config::{Analysis, Fisher, Parsed, Part, PlannedArm};
use crate::analysis::titles::plain;
use crate::landscape::directions::Source;
use crate::landscape::mask::Select;
use crate::model::Estimator;
use crate::stages::{Compute, computes, word};

/// The folders of a run.
pub const FOLDERS: [&str; 17] = [
    "sets",
    "fisher",
    "schedule",
    "stability",
    "audit",
    "damage",
    "agree",
    "topology",
    "prune",
    "examples",
    "train",
    "surfaces",
    "profiles",
    "planes",
    "sharpness",
    "figures",
    "tables",
];
/// The schedule; the first seed's, where each seed has its own.
pub const RATES: &str = "schedule/rates.csv";
pub const STABILITY: &str = "stability";
/// Where the checkpoint and the first two arms lie in their plane.
pub const MARKS: &str = "planes/models.marks.csv";

/// An estimate of the Fisher information of the checkpoint that everything starts from: `.safetensors`, `.csv`,
/// `.examples.safetensors`. The command names them by what they are where there are several.
pub fn estimate_stem(fisher: &Fisher, estimator: Estimator) -> String {
    match fisher.also.is_empty() {
        true => "fisher/fisher".into(),
        false => {
            format!("fisher/fisher.{}-{}", word(estimator), word(fisher.reduction.unwrap_or_default()))
        }
    }
}

/// The estimate that schedules and masks go by: the empirical one, the paper's.
pub fn fisher_stem(analysis: &Analysis) -> String {
    analysis.fisher.as_ref().map_or_else(String::new, |fisher| estimate_stem(fisher, Estimator::Empirical))
}

/// A model whose surface is drawn, or an arm of the training.
#[derive(Clone, Debug)]
pub struct Model {
    /// As people read it.
    pub title: String,
    /// Its training runs, in order of the seeds; none for the checkpoint itself.
    pub runs: Vec<String>,
    /// Its runs that failed and are not among the others.
    pub failed: usize,
}

/// Training runs that failed, by their folder, and why.
pub type Failed = BTreeMap<String, String>;

/// The models of an analysis: its arms, or the checkpoint where nothing is trained.
pub fn models(analysis: &Analysis, failed: &Failed) -> Vec<Model> {
    let Some(train) = &analysis.train else {
        return vec![Model { title: "pre-trained".into(), runs: Vec::new(), failed: 0 }];
    };
    let model = |Parsed(arm): &Parsed<PlannedArm>| {
        let title = arm.to_string();
        let runs: Vec<String> = (0..train.seeds).map(|k| run_path(analysis, &title, k)).collect();
        let (failed, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| failed.contains_key(run));
        Model { title, runs, failed: failed.len() }
    };
    train.arms.iter().map(model).collect()
}

/// The folder of an arm's k-th run.
fn run_path(analysis: &Analysis, title: &str, k: usize) -> String {
    format!("train/{}/seed{}", plain(title), analysis.seed + k as u64)
}

/// The runs of a model that have surfaces: of the checkpoint itself none, which stands for it.
pub fn surface_runs<'a>(analysis: &Analysis, model: &'a Model) -> Vec<Option<&'a String>> {
    let seeds = analysis.surface.as_ref().map_or(1, |surface| surface.seeds);
    match model.runs.is_empty() {
        true => vec![None],
        false => model.runs.iter().take(seeds).map(Some).collect(),
    }
}

/// How what belongs to a run is told from what belongs to the first seed's: `_seed3`.
fn of_seed(analysis: &Analysis, run: Option<&String>) -> String {
    let seed = run.and_then(|run| run.rsplit('/').next()).unwrap_or_default();
    let first = format!("seed{}", analysis.seed);
    if seed.is_empty() || *seed == first { String::new() } else { format!("_{seed}") }
}

/// The surface of a run of a model under a mask, over a part of the data, in the k-th plane.
pub fn surface_path(
    analysis: &Analysis,
    part: Part,
    (model, run): (&Model, Option<&String>),
    mask: &Select,
    k: usize,
) -> String {
    let draw = if k == 0 { String::new() } else { format!("_draw{k}") };
    let (title, seed) = (plain(&model.title), of_seed(analysis, run));
    format!("surfaces/{}/{title}_{}{seed}{draw}.csv", part_name(part), plain(&mask.to_string()))
}

/// The k-th profile of a model under a mask, over a part of the data.
fn profile_path(part: Part, model: &Model, mask: &Select, k: usize) -> String {
    format!("profiles/{}/{}_{}_draw{k}.csv", part_name(part), plain(&model.title), plain(&mask.to_string()))
}

/// The figure of the profiles under a mask, over a part.
pub fn profile_figure(part: Part, mask: &Select) -> String {
    format!("profiles_{}_{}", part_name(part), plain(&mask.to_string()))
}

/// The figure of the rises against the distance, all masks together, over a part.
pub fn distance_figure(part: Part) -> String {
    format!("distance_{}", part_name(part))
}

/// The surface over a part in the plane of the models.
pub fn models_path(part: Part) -> String {
    format!("planes/models_{}.csv", part_name(part))
}

/// The plane of an arm's training: `.safetensors`, `.marks.csv` and `.json` of the directions, `_surface.csv`.
pub fn trajectory_stem(model: &Model) -> String {
    format!("planes/trajectory_{}", plain(&model.title))
}

/// The plane of a kind of directions around a model: `.safetensors`, `.marks.csv` and `.json` of the directions,
/// `_surface.csv`.
pub fn kind_stem(source: Source, model: &Model) -> String {
    format!("planes/{}_{}", source.name, plain(&model.title))
}

/// The figure of the planes of a kind.
pub fn kind_figure(source: Source) -> String {
    format!("plane_{}", source.name)
}

/// The surface of a model along its leading eigenvectors.
pub fn eigen_path(model: &Model) -> String {
    format!("planes/eigen_{}.csv", plain(&model.title))
}

/// The sharpness of a model: of one run of an arm, or of the checkpoint.
pub fn sharpness_path(model: &Model, run: Option<&String>) -> String {
    let seed = run.and_then(|run| run.rsplit('/').next()).map_or(String::new(), |seed| format!("_{seed}"));
    format!("sharpness/{}{seed}.csv", plain(&model.title))
}

/// The critical sharpness next to it.
pub fn critical_path(sharpness: &str) -> String {
    sharpness.replace(".csv", "_critical.csv")
}

/// The curvature by layer next to it.
pub fn layers_path(sharpness: &str) -> String {
    sharpness.replace(".csv", ".layers.csv")
}

/// The densities of the layers' eigenvalues next to it.
pub fn densities_path(sharpness: &str) -> String {
    sharpness.replace(".csv", ".layers.spectrum.csv")
}

/// The figure of them, of a model's first run.
pub fn densities_figure(model: &Model) -> String {
    format!("densities_{}", plain(&model.title))
}

/// The figure of the curvature by layer of a model's first run.
pub fn layers_figure(model: &Model) -> String {
    format!("layers_{}", plain(&model.title))
}

/// An arm's sharpness against the first arm's.
pub fn comparison_path(model: &Model, first: &Model) -> String {
    format!("sharpness/{}_against_{}.csv", plain(&model.title), plain(&first.title))
}

/// The frozen set of the surfaces over a part.
pub fn surface_set(part: Part) -> String {
    format!("sets/surface_{}.safetensors", part_name(part))
}

/// That of a run: its own, where each seed has other examples.
fn set_of(analysis: &Analysis, part: Part, run: Option<&String>) -> String {
    let seed = if analysis.part_by_seed(part) { of_seed(analysis, run) } else { String::new() };
    format!("sets/surface_{}{seed}.safetensors", part_name(part))
}

/// The word for a part in paths.
pub fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::HeldOut => "held_out",
        Part::Text => "text",
    }
}

/// What a part holds, in words; `trained`: whether models are trained on it.
pub fn part_words(part: Part, trained: bool) -> &'static str {
    match part {
        Part::Train if trained => "examples trained on",
        Part::Train => "training examples",
        Part::HeldOut => "held-out examples",
        Part::Text => "tokens of the text",
    }
}

/// The steps, each after those whose results it reads, without the runs that failed.
pub fn steps(analysis: &Analysis, failed: &Failed) -> Vec<Step> {
    let plan = Plan { analysis, models: models(analysis, failed) };
    let mut steps = plan.fisher();
    steps.extend(plan.stability());
    steps.extend(plan.audit());
    steps.extend(plan.damage());
    steps.extend(plan.examples());
    steps.extend(plan.training());
    steps.extend(plan.agree());
    steps.extend(plan.prune());
    steps.extend(plan.surfaces());
    steps.extend(plan.topology());
    steps.extend(plan.profiles());
    steps.extend(plan.plane());
    steps.extend(plan.trajectory());
    steps.extend(plan.kinds());
    steps.extend(plan.sharpness());
    // Sets come first: what is wrong with the data is known before anything takes long.
    steps.sort_by_key(|step| step.command() != "freeze");
    match &analysis.compute {
        None => steps,
        Some(compute) => steps.into_iter().map(|step| on_device(analysis, compute, step)).collect(),
    }
}

/// The step where the analysis wants it done, if it computes with a model.
fn on_device(analysis: &Analysis, compute: &Compute, step: Step) -> Step {
    match computes(step.command()) {
        true => step.options(compute, analysis.gives("compute")),
        false => step,
    }
}

struct Plan<'a> {
    analysis: &'a Analysis,
    models: Vec<Model>,
}

impl Plan<'_> {
    fn checkpoint(&self) -> &Path {
        &self.analysis.model.checkpoint
    }

    /// A command with the checkpoint that everything starts from.
    fn with_checkpoint(&self, name: impl Into<String>, command: &str) -> Step {
        Step::new(name, command).outside("--checkpoint", self.checkpoint())
    }

    /// The labelled data.
    fn labelled(&self, step: Step) -> Step {
        let data = &self.analysis.data;
        step.maybe("--task", data.task.as_ref().map(|task| task.0))
            .maybe_outside("--data", data.folder().as_ref())
            .maybe_outside("--table", data.table.as_ref())
            .maybe("--columns", data.columns.as_ref().map(|columns| &columns.0))
            .maybe("--labels", data.labels.map(word))
            .maybe_outside("--conll", data.conll.as_ref())
            .maybe("--column", data.column)
            .maybe_outside("--squad", data.squad.as_ref())
            .maybe("--stride", data.stride)
            .maybe_outside("--dev", data.dev.as_ref())
    }

    /// A frozen set of a part of the data, as this seed splits it.
    fn freeze(&self, name: &str, (part, seed): (Part, u64), examples: Option<usize>, out: &str) -> Step {
        let data = &self.analysis.data;
        let mut step = self.with_checkpoint(name, "freeze");
        if part == Part::Text {
            step = step.maybe_outside("--text", data.text.as_ref()).maybe("--min-words", data.min_words);
        } else {
            step = self.labelled(step);
            let split = if part == Part::Train { "train" } else { "dev" };
            let train = self.analysis.train.as_ref();
            if train.is_some() || data.table.is_some() || data.in_parts() {
                let holdout = train.map(|train| train.options.split).unwrap_or_default();
                step = step.option("--holdout", word(holdout));
                if let Some(train) = train {
                    let gives = self.analysis.gives("train");
                    step = step.options(&train.options, |key| key == "fraction" && gives(key));
                }
            }
            step = step.option("--split", split);
        }
        step.maybe("--examples", examples)
            .maybe("--max-len", data.max_len)
            .option("--seed", seed)
            .writes("--out", out)
    }

    /// A command on a run of an arm, lengths by the weights that everything starts from; or on these themselves.
    fn at(&self, name: String, command: &str, run: Option<&String>, set: &str) -> Step {
        let step = match run {
            Some(run) => {
                Step::new(name, command).reads("--checkpoint", run).outside("--reference", self.checkpoint())
            }
            None => self.with_checkpoint(name, command),
        };
        step.reads("--set", set).option("--seed", self.analysis.seed)
    }
}

/// A figure in every format, its data to follow.
fn figure(file: &str, name: &str) -> Step {
    let step = Step::new(name, "render");
    ["svg", "pdf", "png"]
        .iter()
        .fold(step, |step, extension| step.writes("--out", format!("figures/{file}.{extension}")))
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Step;
    use crate::provenance::command_line;
    use crate::{analysis, files};

    /// Files of provenance below a folder.
    fn provenances(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for path in files::list(folder).unwrap() {
            match path.is_dir() {
                true => provenances(&path, found),
                false if path.to_string_lossy().ends_with("provenance.toml") => found.push(path),
                false => {}
            }
        }
    }

    /// Whether the gallery has what a step draws, if it has the step's data: losses by example are too large for it.
    fn has_figure(step: &Step, folder: &Path) -> bool {
        let Some(figure) = step.written().find(|path| path.ends_with(".svg")) else { return true };
        let has_data = step.read().all(|path| folder.join(path).exists());
        !has_data || folder.join(figure).exists()
    }

    /// Oracle: the list of commands that have a model. Catches a step that is left on the CPU, and an option that a command of
    /// tables does not know; without the section no word is added.
    #[test]
    fn all_that_computes_with_a_model_is_told_where() {
        let with = [
            "train",
            "fisher",
            "surface",
            "sharpness",
            "damage",
            "prune",
            "directions",
            "examples",
            "loss",
            "stability",
        ];
        for name in ["landscape", "depth", "reliability"] {
            let mut settings = vec!["compute.device=\"cpu:composed\"".to_string()];
            // Moments are kept on the CPU alone.
            settings.extend((name == "depth").then(|| "agree=".to_string()));
            let loaded = analysis::load(name, &settings).unwrap();
            let steps = super::steps(&loaded.analysis, &super::Failed::new());
            for step in &steps {
                let line = step.words(Path::new("out")).join(" ");
                let told = line.contains(" --device cpu:composed");
                assert_eq!(told, with.contains(&step.command()), "{line}");
            }
            let plain = analysis::load(name, &[]).unwrap();
            let steps = super::steps(&plain.analysis, &super::Failed::new());
            assert!(steps.iter().all(|step| !step.words(Path::new("out")).contains(&"--device".to_string())));
        }
    }

    /// Oracle: the plan, and the command lines that the gallery's runs have recorded. Catches a gallery that lacks a figure of its
    /// analysis, and steps that have changed: they are known by their words, so that another order, a default that is written, or
    /// a number in other digits would run old folders again.
    #[test]
    fn the_gallery_was_made_by_these_command_lines() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut compared = 0;
        for name in [
            "quickstart",
            "landscape",
            "reliability",
            "depth",
            "drift",
            "controls",
            "high-rate",
            "what-guides",
        ] {
            let folder = root.join("figures").join(name);
            let text = folder.join("analysis.toml").display().to_string();
            let loaded = analysis::load(&text, &[]).unwrap();
            let steps = super::steps(&loaded.analysis, &super::Failed::new());
            let run = Path::new("figures").join(name);
            let lines: Vec<String> = steps.iter().map(|step| command_line(step.words(&run))).collect();
            let missing = steps.iter().filter(|step| !has_figure(step, &folder));
            let missing: Vec<String> = missing.map(|step| command_line(step.words(&run))).collect();
            assert!(missing.is_empty(), "{name} lacks figures, to be drawn by\n{}", missing.join("\n"));
            let mut recorded = Vec::new();
            provenances(&folder, &mut recorded);
            for path in recorded {
                let provenance: toml::Table = files::read_text(&path).unwrap().parse().unwrap();
                let command = provenance["command"].as_str().unwrap().to_string();
                // Figures have been redrawn since, by lines of their own.
                if !command.starts_with("fisherscape render") {
                    assert!(lines.contains(&command), "{}: {command}", path.display());
                    compared += 1;
                }
            }
        }
        assert!(compared > 200, "{compared}");
    }
}
