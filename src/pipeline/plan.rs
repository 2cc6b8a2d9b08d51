//! From an analysis to its steps: which commands, on what, in which order.
//!
//! Everything lies in the run's folder: `sets/`, `fisher/`, `schedule/`, `stability/`, `audit/`, `damage/`, `agree/`,
//! `train/ARM/seedK/`, `surfaces/PART/`, `profiles/PART/`, `planes/`, `sharpness/`, `figures/`. All arms see one Fisher information, the same directions and one mask:
//! those of the checkpoint they start from.

mod landscape;
pub mod reliability;

use std::collections::BTreeMap;
use std::path::Path;

use super::step::Step;
use crate::analysis::config::{Analysis, Arm, Fisher, Over, Parsed, Part, Schedule, mask_title, plain};
use crate::landscape::mask::Select;
use crate::model::Estimator;
use crate::stages::train::Arm as Dropout;
use crate::stages::word;

/// The folders of a run.
pub const FOLDERS: [&str; 14] = [
    "sets",
    "fisher",
    "schedule",
    "stability",
    "audit",
    "damage",
    "agree",
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
    let model = |Parsed(arm): &Parsed<Arm>| {
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

/// The surface of a model under a mask, over a part of the data, in the k-th plane.
pub fn surface_path(part: Part, model: &Model, mask: &Select, k: usize) -> String {
    let draw = if k == 0 { String::new() } else { format!("_draw{k}") };
    format!("surfaces/{}/{}_{}{draw}.csv", part_name(part), plain(&model.title), plain(&mask.to_string()))
}

/// The k-th profile of a model under a mask, over a part of the data.
fn profile_path(part: Part, model: &Model, mask: &Select, k: usize) -> String {
    format!("profiles/{}/{}_{}_draw{k}.csv", part_name(part), plain(&model.title), plain(&mask.to_string()))
}

/// The surface over a part in the plane of the models.
pub fn models_path(part: Part) -> String {
    format!("planes/models_{}.csv", part_name(part))
}

/// The plane of an arm's training: `.safetensors`, `.marks.csv` and `.json` of the directions, `_surface.csv`.
pub fn trajectory_stem(model: &Model) -> String {
    format!("planes/trajectory_{}", plain(&model.title))
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

/// An arm's sharpness against the first arm's.
pub fn comparison_path(model: &Model, first: &Model) -> String {
    format!("sharpness/{}_against_{}.csv", plain(&model.title), plain(&first.title))
}

/// The frozen set of the surfaces over a part.
pub fn surface_set(part: Part) -> String {
    format!("sets/surface_{}.safetensors", part_name(part))
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
        Part::Text => "masked tokens of the text",
    }
}

/// The steps, each after those whose results it reads, without the runs that failed.
pub fn steps(analysis: &Analysis, failed: &Failed) -> Vec<Step> {
    let plan = Plan { analysis, models: models(analysis, failed) };
    let mut steps = plan.fisher();
    steps.extend(plan.stability());
    steps.extend(plan.audit());
    steps.extend(plan.damage());
    steps.extend(plan.training());
    steps.extend(plan.agree());
    steps.extend(plan.surfaces());
    steps.extend(plan.profiles());
    steps.extend(plan.plane());
    steps.extend(plan.trajectory());
    steps.extend(plan.sharpness());
    // Sets come first: what is wrong with the data is known before anything takes long.
    steps.sort_by_key(|step| step.command() != "freeze");
    steps
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
            if train.is_some() || data.table.is_some() {
                let holdout = train.and_then(|train| train.split).unwrap_or_default();
                step = step.option("--holdout", word(holdout));
                step = step.maybe("--fraction", train.and_then(|train| train.fraction));
            }
            step = step.option("--split", split);
        }
        step.maybe("--examples", examples)
            .maybe("--max-len", data.max_len)
            .option("--seed", seed)
            .writes("--out", out)
    }

    /// Fisher information and what follows from it.
    fn fisher(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(fisher) = &self.analysis.fisher {
            let part = if self.analysis.fisher_over() == Over::Text { Part::Text } else { Part::Train };
            let [set, step] = self.pass(fisher, (part, self.analysis.seed), "sets/fisher.safetensors", "");
            steps.push(set);
            let mut step = step.near("--out", "fisher/fisher.safetensors");
            let estimators = [&[Estimator::Empirical], fisher.also.as_slice()].concat();
            if !fisher.also.is_empty() {
                let words: Vec<String> = estimators.iter().map(|estimator| word(*estimator)).collect();
                step = step.option("--estimator", listed(&words)).maybe("--mc-samples", fisher.mc_samples);
            }
            for estimator in estimators {
                let stem = estimate_stem(fisher, estimator);
                step = ["safetensors", "csv", "examples.safetensors"]
                    .iter()
                    .fold(step, |step, end| step.also_writes(format!("{stem}.{end}")));
            }
            steps.push(step);
            let layers = format!("{}.csv", fisher_stem(self.analysis));
            steps.push(figure("fisher", "figure of the Fisher information").file(layers));
        }
        if let Some(schedule) = &self.analysis.schedule {
            let rates = self.rates_of("schedule".into(), schedule, &fisher_stem(self.analysis));
            steps.push(rates.writes("--out", RATES));
            if let Some(fisher) = self.analysis.fisher.as_ref().filter(|_| self.analysis.schedule_by_seed()) {
                (1..self.analysis.seeds()).for_each(|k| steps.extend(self.own_schedule(fisher, schedule, k)));
            }
            steps.push(figure("schedule", "figure of the schedule").file(RATES).option("--titles", "guided"));
        }
        steps
    }

    /// The set and the pass of one seed's Fisher information; `whose` ends their names, what is written is to follow.
    fn pass(&self, fisher: &Fisher, (part, seed): (Part, u64), set: &str, whose: &str) -> [Step; 2] {
        let name = format!("set for the Fisher information{whose}");
        let freeze = self.freeze(&name, (part, seed), fisher.examples, set);
        let pass = self
            .with_checkpoint(format!("Fisher information{whose}"), "fisher")
            .reads("--set", set)
            .maybe("--reduction", fisher.reduction.map(word))
            .word("--per-example")
            .option("--seed", seed);
        [freeze, pass]
    }

    fn fisher_examples(&self) -> String {
        format!("{}.examples.safetensors", fisher_stem(self.analysis))
    }

    /// A schedule from an estimate of the Fisher information, or the preset; where it is written is to follow.
    fn rates_of(&self, name: String, schedule: &Schedule, stem: &str) -> Step {
        let step = Step::new(name, "schedule");
        match schedule.preset {
            Some(preset) => step.option("--preset", word(preset)),
            None => step
                .reads("--fisher", format!("{stem}.safetensors"))
                .also_reads(format!("{stem}.examples.safetensors"))
                .maybe("--aggregate", schedule.aggregate.map(word))
                .flag("--include-intermediate", schedule.include_intermediate)
                .maybe("--shape", schedule.shape.as_ref().map(|shape| shape.0))
                .maybe("--p-lower", schedule.p_lower)
                .maybe("--p-upper", schedule.p_upper),
        }
    }

    /// The schedule of the k-th seed, from the training part of that seed, under the head that its runs start with.
    fn own_schedule(&self, fisher: &Fisher, schedule: &Schedule, k: usize) -> [Step; 3] {
        let seed = self.analysis.seed + k as u64;
        let (set, stem) =
            (format!("sets/fisher_seed{seed}.safetensors"), format!("fisher/seed{seed}/fisher"));
        let whose = format!(", seed {seed}");
        let [freeze, pass] = self.pass(fisher, (Part::Train, seed), &set, &whose);
        let pass = pass.writes("--out", format!("{stem}.safetensors"));
        let pass = ["csv", "examples.safetensors"]
            .iter()
            .fold(pass, |step, end| step.also_writes(format!("{stem}.{end}")));
        let rates = self.rates_of(format!("schedule, seed {seed}"), schedule, &stem);
        [freeze, pass, rates.writes("--out", self.rates_path(k))]
    }

    /// The schedule of the k-th seed's runs.
    fn rates_path(&self, k: usize) -> String {
        match self.analysis.schedule_by_seed() && k > 0 {
            true => format!("schedule/seed{}.csv", self.analysis.seed + k as u64),
            false => RATES.into(),
        }
    }

    fn fisher_file(&self) -> String {
        format!("{}.safetensors", fisher_stem(self.analysis))
    }

    fn training(&self) -> Vec<Step> {
        let Some(train) = &self.analysis.train else { return Vec::new() };
        let mut steps = Vec::new();
        // Seed by seed: after the first, each arm has been seen once.
        for k in 0..train.seeds {
            for (Parsed(arm), model) in train.arms.iter().zip(&self.models) {
                let seed = self.analysis.seed + k as u64;
                let run = run_path(self.analysis, &model.title, k);
                if !model.runs.contains(&run) {
                    continue;
                }
                let step = self.with_checkpoint(format!("training of {}, seed {seed}", model.title), "train");
                let step = self.labelled(step);
                let step = match arm {
                    Arm::Own(assignment) => {
                        step.reads_as("--dropout", format!("{assignment}:"), self.rates_path(k))
                    }
                    Arm::Other(dropout) => {
                        let step = step.option("--dropout", dropout);
                        match dropout {
                            Dropout::Scheduled(_, path) => step.also_outside(path),
                            _ => step,
                        }
                    }
                };
                steps.push(
                    step.maybe("--epochs", train.epochs)
                        .maybe("--fraction", train.fraction)
                        .maybe("--batch", train.batch)
                        .maybe("--accumulate", train.accumulate)
                        .maybe("--eval-steps", train.eval_steps)
                        .maybe("--early-stopping", train.early_stopping)
                        .maybe("--lr", train.lr)
                        .maybe("--warmup", train.warmup)
                        .maybe("--weight-decay", train.weight_decay)
                        .maybe("--max-len", self.analysis.data.max_len)
                        .maybe("--split", train.split.filter(|_| self.analysis.data.task.is_some()).map(word))
                        .maybe(
                            "--snapshots",
                            self.analysis.trajectory.as_ref().filter(|_| k == 0).map(|t| t.snapshots),
                        )
                        .option("--seed", seed)
                        .writes("--out", run),
                );
            }
        }
        let runs = self.models.iter().flat_map(|model| model.runs.iter().map(|run| (run, &model.title)));
        let mut step = figure("training", "figure of the training");
        let titles: Vec<&String> = runs.clone().map(|(_, title)| title).collect();
        if titles.is_empty() {
            return steps; // every run failed
        }
        for (run, _) in runs {
            step = step.file(format!("{run}/history.csv"));
        }
        steps.push(step.option("--titles", listed(&titles)));
        steps
    }

    fn surfaces(&self) -> Vec<Step> {
        let Some(surface) = &self.analysis.surface else { return Vec::new() };
        let mut steps = Vec::new();
        for part in self.analysis.surfaces_over() {
            let name = part_name(part);
            let set = surface_set(part);
            let words = format!("set for the surfaces, {name}");
            steps.push(self.freeze(&words, (part, self.analysis.seed), surface.examples, &set));
            let mut titles = Vec::new();
            let mut drawn = Vec::new();
            for model in &self.models {
                for Parsed(mask) in &surface.masks {
                    for k in 0..surface.draws {
                        let out = surface_path(part, model, mask, k);
                        let name =
                            format!("surface of {}, {}, {name}{}", model.title, mask_title(mask), draw(k));
                        let step = self.random(name, part, model, mask, k);
                        let step = step.maybe("--resolution", surface.resolution);
                        steps.push(
                            results(spanned(step, surface.span).word("--per-example"), &out)
                                .also_writes(beside(&out, "examples.safetensors")),
                        );
                    }
                    titles.push(format!("{}: {}", model.title, mask_title(mask)));
                    drawn.push(surface_path(part, model, mask, 0));
                }
            }
            for (view, what) in [("flat", "contours"), ("3d", "surfaces")] {
                let step = figure(&format!("{what}_{name}"), &format!("figure of the {what}, {name}"));
                let step = drawn.iter().fold(step, |step, path| step.file(path));
                // A row for each model; of one model alone the figure arranges itself.
                let columns = Some(surface.masks.len().min(4)).filter(|_| self.models.len() > 1);
                let step = step.option("--titles", listed(&titles)).maybe("--columns", columns);
                let step = step.option("--label", self.analysis.loss_label());
                steps.push(step.option("--view", view));
            }
        }
        steps
    }

    /// The k-th random directions of a model, under a mask, over a part.
    fn random(&self, name: String, part: Part, model: &Model, mask: &Select, k: usize) -> Step {
        let options = self.analysis.surface.as_ref();
        let mut step = self
            .at(name, "surface", model.runs.first(), &surface_set(part))
            .maybe("--normalize", options.and_then(|o| o.normalize).map(word))
            .flag("--vectors", options.and_then(|o| o.vectors));
        if k > 0 {
            step = step.option("--draw", k);
        }
        self.masked(step, mask)
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

    fn masked(&self, step: Step, mask: &Select) -> Step {
        let options = self.analysis.surface.as_ref();
        let step = step.option("--mask", mask);
        if *mask == Select::All {
            return step;
        }
        step.reads("--fisher", self.fisher_file())
            .option("--mask-seed", self.analysis.seed)
            .maybe("--granularity", options.and_then(|o| o.granularity).map(word))
            .maybe("--norm", options.and_then(|o| o.norm).map(word))
    }
}

/// The k-th draw, in the name of a step.
fn draw(k: usize) -> String {
    if k == 0 { String::new() } else { format!(", draw {k}") }
}

/// The figure of the profiles under a mask, over a part.
pub fn profile_figure(part: Part, mask: &Select) -> String {
    format!("profiles_{}_{}", part_name(part), plain(&mask.to_string()))
}

/// The result of `surface`, and what stands beside it.
fn results(step: Step, out: &str) -> Step {
    step.writes("--out", out).also_writes(beside(out, "json")).also_writes(beside(out, "mask.csv"))
}

fn spanned(step: Step, span: Option<[f64; 2]>) -> Step {
    match span {
        Some([low, high]) => step.word(format!("--span={low},{high}")),
        None => step,
    }
}

/// A figure in every format, its data to follow.
fn figure(file: &str, name: &str) -> Step {
    let step = Step::new(name, "render");
    ["svg", "pdf", "png"]
        .iter()
        .fold(step, |step, extension| step.writes("--out", format!("figures/{file}.{extension}")))
}

/// The path of what stands beside a CSV file.
fn beside(csv: &str, extension: &str) -> String {
    format!("{}.{extension}", csv.strip_suffix(".csv").unwrap_or(csv))
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
