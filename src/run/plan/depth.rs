//! Steps that look deeper: basins of surfaces, what pruning costs, and the examples behind the Fisher information.

use super::reliability::model_stem;
use super::{Model, Plan, figure, plain, surface_path, surface_runs};
use crate::analysis::config::{Analysis, Over, Parsed, Part};
use crate::analysis::titles::mask_title;
use crate::landscape::mask::Select;
use crate::run::step::Step;
use crate::tables::Table;
use crate::tables::prune::PruneRow;
use crate::tables::topology::{BasinRow, MinimumRow};

pub const EXAMPLES: &str = "examples";

/// The basins of the surface of a run under a mask.
pub fn basins_folder(
    analysis: &Analysis,
    part: Part,
    own: (&Model, Option<&String>),
    mask: &Select,
) -> String {
    let surface = surface_path(analysis, part, own, mask, 0);
    surface.trim_end_matches(".csv").replacen("surfaces/", "topology/", 1)
}

/// The figure of the basins around a model's first run under a mask.
pub fn basins_figure(model: &Model, mask: &Select) -> String {
    format!("topology_{}_{}", plain(&model.title), plain(&mask.to_string()))
}

/// What pruning a model costs.
pub fn prune_folder(model: &Model) -> String {
    format!("prune/{}", plain(&model.title))
}

/// The figure of it.
pub fn prune_figure(model: &Model) -> String {
    format!("prune_{}", plain(&model.title))
}

/// What pruned models are looked at over: examples that they were not trained on, or the text.
pub fn prune_over(analysis: &Analysis) -> Part {
    if analysis.fisher_over() == Over::Text { Part::Text } else { Part::HeldOut }
}

impl Plan<'_> {
    /// The basins of every surface over the first part, and the figures of those that are drawn.
    pub(super) fn topology(&self) -> Vec<Step> {
        let (Some(surface), Some(_)) = (&self.analysis.surface, &self.analysis.topology) else {
            return Vec::new();
        };
        let part = self.analysis.surfaces_over()[0];
        let mut steps = Vec::new();
        for model in &self.models {
            for Parsed(mask) in &surface.masks {
                let of = format!("{}, {}", model.title, mask_title(mask));
                let runs = surface_runs(self.analysis, model);
                for (k, run) in runs.into_iter().enumerate() {
                    let surface = surface_path(self.analysis, part, (model, run), mask, 0);
                    let examples = surface.replace(".csv", ".examples.safetensors");
                    let folder = basins_folder(self.analysis, part, (model, run), mask);
                    let step = Step::new(format!("basins of {of}, run {k}"), "topology");
                    let step = step.file(surface).also_reads(examples).option("--seed", self.analysis.seed);
                    steps.push(step.writes("--out", &folder));
                    if k == 0 {
                        let step =
                            figure(&basins_figure(model, mask), &format!("figure of the basins of {of}"));
                        let step = step.file(format!("{folder}/{}", MinimumRow::FILE));
                        steps.push(step.also_reads(format!("{folder}/{}", BasinRow::FILE)));
                    }
                }
            }
        }
        steps
    }

    /// Each arm's first run without some of its parameters, by its own Fisher information; or the checkpoint.
    pub(super) fn prune(&self) -> Vec<Step> {
        let (Some(prune), Some(fisher)) = (&self.analysis.prune, &self.analysis.fisher) else {
            return Vec::new();
        };
        let set = "sets/prune.safetensors";
        let part = prune_over(self.analysis);
        let mut steps =
            vec![self.freeze("set for the pruning", (part, self.analysis.seed), prune.examples, set)];
        let agree = self.analysis.agree.as_ref().is_some_and(|agree| agree.arms);
        for model in self.models.iter().filter(|model| !model.runs.is_empty() || model.failed == 0) {
            let name = format!("pruning of {}", model.title);
            let (step, of) = match model.runs.first() {
                Some(run) => {
                    steps.extend((!agree).then(|| self.fisher_of(model, run, fisher)));
                    let step = Step::new(name, "prune").reads("--checkpoint", run);
                    (step, format!("{}.safetensors", model_stem(model)))
                }
                None => (self.with_checkpoint(name, "prune"), self.fisher_file()),
            };
            let step = step.reads("--set", set).reads("--fisher", of);
            let step = step.options(&prune.options, self.analysis.gives("prune"));
            steps.push(step.option("--seed", self.analysis.seed).writes("--out", prune_folder(model)));
            let step = figure(&prune_figure(model), &format!("figure of the pruning of {}", model.title));
            steps.push(step.file(format!("{}/{}", prune_folder(model), PruneRow::FILE)));
        }
        steps
    }

    /// Which examples carry the Fisher information of the checkpoint.
    pub(super) fn examples(&self) -> Vec<Step> {
        let Some(examples) = &self.analysis.examples else { return Vec::new() };
        let step = Step::new("examples behind the Fisher information", "examples")
            .file(self.fisher_examples())
            .also_reads(self.fisher_file())
            .reads("--set", "sets/fisher.safetensors")
            .outside("--checkpoint", self.checkpoint())
            .options(examples, self.analysis.gives("examples"))
            .option("--seed", self.analysis.seed)
            .writes("--out", EXAMPLES);
        [vec![step], self.figures(EXAMPLES)].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::analysis;
    use crate::provenance::command_line;
    use crate::run::plan::{Failed, steps};

    fn lines(sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let own = analysis::load("depth", &sets).unwrap().analysis;
        steps(&own, &Failed::new()).iter().map(|step| command_line(step.words(Path::new("")))).collect()
    }

    fn of<'a>(lines: &'a [String], command: &str) -> Vec<&'a str> {
        let begin = format!("fisherscape {command} ");
        lines.iter().filter(|line| line.starts_with(&begin)).map(String::as_str).collect()
    }

    /// Oracle: the lines as one would write them. Every surface has its basins; every arm is pruned by its own Fisher information, over
    /// what it was not trained on, and that is computed once although [agree] asks for it, too; without arms it is the checkpoint.
    #[test]
    fn basins_pruning_and_examples_are_planned() {
        let planned = lines(&[]);
        let basins = of(&planned, "topology");
        assert_eq!(basins.len(), 6);
        let wanted = "fisherscape topology surfaces/held_out/guided_all_seed2.csv --seed 0 --out topology/held_out/guided_all_seed2";
        assert_eq!(basins[5], wanted);
        let wanted = "fisherscape prune --checkpoint train/guided/seed0 --set sets/prune.safetensors --fisher fisher/guided.safetensors \
                      --shares 0.1,0.2,0.3,0.5,0.7 --draws 3 --seed 0 --out prune/guided";
        assert_eq!(of(&planned, "prune")[1], wanted);
        let set = planned.iter().find(|line| line.ends_with("--out sets/prune.safetensors")).unwrap();
        assert!(set.contains(" --split dev ") && set.contains(" --examples 256 "), "{set}");
        let wanted = "fisherscape examples fisher/fisher.examples.safetensors --set sets/fisher.safetensors --checkpoint embedded --seed 0 \
                      --out examples";
        assert_eq!(of(&planned, "examples"), [wanted]);
        let own = |lines: &[String]| {
            of(lines, "fisher").iter().filter(|line| line.contains("train/guided/seed0")).count()
        };
        assert_eq!([own(&planned), own(&lines(&["agree.arms=true"]))], [1, 1]);
        let untrained = lines(&["train=", "schedule=", "surface.seeds=1"]);
        let pruned = of(&untrained, "prune");
        assert!(pruned.len() == 1 && pruned[0].contains("--checkpoint embedded"), "{pruned:?}");
        assert!(pruned[0].contains("--fisher fisher/fisher.safetensors"), "{pruned:?}");
    }
}
