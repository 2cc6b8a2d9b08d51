//! From an analysis to its steps: which commands, on what, in which order.
//!
//! Everything lies in the run's folder: `sets/`, `fisher/`, `schedule/`, `stability/`, `train/ARM/seedK/`, `surfaces/PART/`,
//! `figures/`. All arms see one Fisher information, one plane and one mask: those of the checkpoint they start from.

use std::path::Path;

use super::step::Step;
use crate::analysis::config::{Analysis, Arm, Over, Parsed, Part, mask_title, plain};
use crate::landscape::mask::Select;
use crate::stages::train::Arm as Dropout;

/// The folders of a run.
pub const FOLDERS: [&str; 8] =
    ["sets", "fisher", "schedule", "stability", "train", "surfaces", "figures", "tables"];
pub const FISHER: &str = "fisher/fisher.safetensors";
pub const LAYERS: &str = "fisher/fisher.csv";
pub const RATES: &str = "schedule/rates.csv";
pub const STABILITY: &str = "stability";
const PLANE: &str = "surfaces/plane.safetensors";

/// A model whose surface is drawn, or an arm of the training.
#[derive(Clone, Debug)]
pub struct Model {
    /// As people read it.
    pub title: String,
    /// Its training runs, in order of the seeds; none for the checkpoint itself.
    pub runs: Vec<String>,
}

/// The models of an analysis: its arms, or the checkpoint where nothing is trained.
pub fn models(analysis: &Analysis) -> Vec<Model> {
    let Some(train) = &analysis.train else {
        return vec![Model { title: "pre-trained".into(), runs: Vec::new() }];
    };
    let model = |Parsed(arm): &Parsed<Arm>| {
        let title = arm.to_string();
        let runs =
            (0..train.seeds as u64).map(|k| format!("train/{}/seed{}", plain(&title), analysis.seed + k));
        Model { runs: runs.collect(), title }
    };
    train.arms.iter().map(model).collect()
}

/// The surface of a model under a mask, over a part of the data.
pub fn surface_path(part: Part, model: &Model, mask: &Select) -> String {
    format!("surfaces/{}/{}_{}.csv", part_name(part), plain(&model.title), plain(&mask.to_string()))
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

/// The steps, each after those whose results it reads.
pub fn steps(analysis: &Analysis) -> Vec<Step> {
    let plan = Plan { analysis, models: models(analysis) };
    let mut steps = plan.fisher();
    steps.extend(plan.stability());
    steps.extend(plan.training());
    steps.extend(plan.surfaces());
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
            .maybe_outside("--data", data.folder.as_ref())
            .maybe_outside("--table", data.table.as_ref())
            .maybe("--columns", data.columns.as_ref().map(|columns| &columns.0))
    }

    /// A frozen set of a part of the data.
    fn freeze(&self, name: &str, part: Part, examples: Option<usize>, out: &str) -> Step {
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
            .option("--seed", self.analysis.seed)
            .writes("--out", out)
    }

    /// Fisher information and what follows from it.
    fn fisher(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(fisher) = &self.analysis.fisher {
            let part = if self.analysis.fisher_over() == Over::Text { Part::Text } else { Part::Train };
            let set = "sets/fisher.safetensors";
            steps.push(self.freeze("set for the Fisher information", part, fisher.examples, set));
            steps.push(
                self.with_checkpoint("Fisher information", "fisher")
                    .reads("--set", set)
                    .maybe("--reduction", fisher.reduction.map(word))
                    .word("--per-example")
                    .option("--seed", self.analysis.seed)
                    .writes("--out", FISHER)
                    .also_writes(LAYERS)
                    .also_writes("fisher/fisher.examples.safetensors"),
            );
            steps.push(figure("fisher", "figure of the Fisher information").file(LAYERS));
        }
        if let Some(schedule) = &self.analysis.schedule {
            let step = Step::new("schedule", "schedule");
            let step = match schedule.preset {
                Some(preset) => step.option("--preset", word(preset)),
                None => step
                    .reads("--fisher", FISHER)
                    .also_reads("fisher/fisher.examples.safetensors")
                    .maybe("--aggregate", schedule.aggregate.map(word))
                    .flag("--include-intermediate", schedule.include_intermediate)
                    .maybe("--shape", schedule.shape.map(word))
                    .maybe("--p-lower", schedule.p_lower)
                    .maybe("--p-upper", schedule.p_upper),
            };
            steps.push(step.writes("--out", RATES));
            steps.push(figure("schedule", "figure of the schedule").file(RATES).option("--titles", "guided"));
        }
        steps
    }

    fn stability(&self) -> Vec<Step> {
        let Some(stability) = &self.analysis.stability else { return Vec::new() };
        let schedule = self.analysis.schedule.clone().unwrap_or_default();
        let step = Step::new("stability", "stability")
            .reads("--fisher", FISHER)
            .also_reads("fisher/fisher.examples.safetensors")
            .maybe("--fractions", stability.fractions.as_deref().map(listed))
            .maybe("--repeats", stability.repeats)
            .maybe(
                "--draws",
                stability.draws.as_ref().map(|d| listed(&d.iter().map(|d| d.name()).collect::<Vec<_>>())),
            )
            .maybe("--resamples", stability.resamples)
            .maybe("--threshold", stability.threshold)
            .maybe("--aggregate", schedule.aggregate.map(word))
            .flag("--include-intermediate", schedule.include_intermediate)
            .option("--seed", self.analysis.seed)
            .writes("--out", STABILITY);
        let figure = figure("stability", "figure of the stability");
        vec![
            step,
            figure.file(format!("{STABILITY}/agreement.csv")).also_reads(format!("{STABILITY}/summary.csv")),
        ]
    }

    fn training(&self) -> Vec<Step> {
        let Some(train) = &self.analysis.train else { return Vec::new() };
        let mut steps = Vec::new();
        // Seed by seed: after the first, each arm has been seen once.
        for k in 0..train.seeds {
            for (Parsed(arm), model) in train.arms.iter().zip(&self.models) {
                let seed = self.analysis.seed + k as u64;
                let step = self.with_checkpoint(format!("training of {}, seed {seed}", model.title), "train");
                let step = self.labelled(step);
                let step = match arm {
                    Arm::Guided => step.reads_as("--dropout", "guided:", RATES),
                    Arm::Other(dropout) => {
                        let step = step.option("--dropout", dropout);
                        match dropout {
                            Dropout::Guided(path) => step.also_outside(path),
                            _ => step,
                        }
                    }
                };
                steps.push(
                    step.maybe("--epochs", train.epochs)
                        .maybe("--fraction", train.fraction)
                        .maybe("--batch", train.batch)
                        .maybe("--lr", train.lr)
                        .maybe("--warmup", train.warmup)
                        .maybe("--weight-decay", train.weight_decay)
                        .maybe("--max-len", self.analysis.data.max_len)
                        .maybe("--split", train.split.filter(|_| self.analysis.data.task.is_some()).map(word))
                        .option("--seed", seed)
                        .writes("--out", &model.runs[k]),
                );
            }
        }
        let runs = self.models.iter().flat_map(|model| model.runs.iter().map(|run| (run, &model.title)));
        let mut step = figure("training", "figure of the training");
        let titles: Vec<&String> = runs.clone().map(|(_, title)| title).collect();
        for (run, _) in runs {
            step = step.file(format!("{run}/history.csv"));
        }
        steps.push(step.option("--titles", listed(&titles)));
        steps
    }

    fn surfaces(&self) -> Vec<Step> {
        let Some(surface) = &self.analysis.surface else { return Vec::new() };
        let mut steps = Vec::new();
        for (i, part) in self.analysis.surfaces_over().into_iter().enumerate() {
            let name = part_name(part);
            let set = surface_set(part);
            steps.push(self.freeze(&format!("set for the surfaces, {name}"), part, surface.examples, &set));
            if self.analysis.train.is_some() && i == 0 {
                // One plane for all arms, scaled to the weights that they start from. The one point costs little.
                steps.push(
                    self.directions(self.with_checkpoint("plane", "surface").reads("--set", &set))
                        .writes("--save-directions", PLANE)
                        .option("--seed", self.analysis.seed)
                        .option("--coords", "0")
                        .writes("--out", "surfaces/start.csv")
                        .also_writes("surfaces/start.json"),
                );
            }
            let mut titles = Vec::new();
            let mut drawn = Vec::new();
            for model in &self.models {
                for Parsed(mask) in &surface.masks {
                    let out = surface_path(part, model, mask);
                    steps.push(self.surface(part, model, mask, &set, &out));
                    titles.push(format!("{}: {}", model.title, mask_title(mask)));
                    drawn.push(out);
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

    fn surface(&self, part: Part, model: &Model, mask: &Select, set: &str, out: &str) -> Step {
        let options = self.analysis.surface.as_ref();
        let name = format!("surface of {}, {}, {}", model.title, mask_title(mask), part_name(part));
        // The first seed's model stands for its arm.
        let step = match model.runs.first() {
            Some(run) => Step::new(name, "surface").reads("--checkpoint", run).reads("--directions", PLANE),
            None => self.directions(self.with_checkpoint(name, "surface")),
        };
        let mut step = step.reads("--set", set).option("--mask", mask);
        if *mask != Select::All {
            step = step.reads("--fisher", FISHER).option("--mask-seed", self.analysis.seed);
        }
        let span = options.and_then(|o| o.span).map(|[low, high]| format!("{low},{high}"));
        let step = step
            .maybe("--granularity", options.and_then(|o| o.granularity).map(word))
            .maybe("--norm", options.and_then(|o| o.norm).map(word))
            .maybe("--resolution", options.and_then(|o| o.resolution));
        let step = match span {
            Some(span) => step.word(format!("--span={span}")),
            None => step,
        };
        step.word("--per-example")
            .option("--seed", self.analysis.seed)
            .writes("--out", out)
            .also_writes(beside(out, "json"))
            .also_writes(beside(out, "examples.safetensors"))
    }

    /// How random directions are drawn.
    fn directions(&self, step: Step) -> Step {
        let options = self.analysis.surface.as_ref();
        step.maybe("--normalize", options.and_then(|o| o.normalize).map(word))
            .flag("--vectors", options.and_then(|o| o.vectors))
    }
}

/// A figure in every format, its data to follow.
fn figure(file: &str, name: &str) -> Step {
    let step = Step::new(name, "render");
    ["svg", "pdf", "png"]
        .iter()
        .fold(step, |step, extension| step.writes("--out", format!("figures/{file}.{extension}")))
}

/// The word by which the command line knows a value.
fn word<T: clap::ValueEnum>(value: T) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
}

/// The path of what stands beside a CSV file.
fn beside(csv: &str, extension: &str) -> String {
    format!("{}.{extension}", csv.strip_suffix(".csv").unwrap_or(csv))
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
