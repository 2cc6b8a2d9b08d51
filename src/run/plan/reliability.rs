//! Steps about the Fisher information itself: how stable, on what it rests, what it predicts, what it agrees with.

use super::{Model, Plan, STABILITY, estimate_stem, figure, listed};
use crate::analysis::config::{Analysis, Fisher, Over, Part};
use crate::analysis::titles::plain;
use crate::figures::{self, Figure};
use crate::run::step::Step;
use crate::stability::components::ComponentRow;
use crate::stability::overlap::OverlapRow;
use crate::stages::train::MOMENTS;
use crate::stages::word;
use crate::tables::Table;
use crate::tables::damage::BinRow;

pub const AUDIT: &str = "audit";
pub const DAMAGE: &str = "damage";
pub const AGREE: &str = "agree";

/// The figures of a command, of the tables that it writes as it is asked.
pub fn figures_of(analysis: &Analysis, folder: &str) -> impl Iterator<Item = &'static Figure> {
    let absent = absent(analysis, folder);
    figures::of_folder(folder).filter(move |figure| !absent.contains(&figure.table.file))
}

/// The table of one of these figures, in the folder of its command.
pub fn table_of(figure: &Figure, folder: &str) -> String {
    format!("{folder}/{}", figure.table.file)
}

/// Tables that a command writes only if it is asked, and is not.
fn absent(analysis: &Analysis, folder: &str) -> Vec<&'static str> {
    let mut absent = Vec::new();
    match (folder, &analysis.stability, &analysis.damage) {
        (STABILITY, Some(stability), _) => {
            absent.extend((stability.masks <= 1).then_some(ComponentRow::FILE));
            absent.extend(stability.overlap.is_empty().then_some(OverlapRow::FILE));
        }
        (DAMAGE, _, Some(damage)) => absent.extend((damage.options.probes == 0).then_some(BinRow::FILE)),
        _ => (),
    }
    absent
}

/// The Fisher information of a trained model.
pub(super) fn model_stem(model: &Model) -> String {
    format!("fisher/{}", plain(&model.title))
}

impl Plan<'_> {
    pub(super) fn stability(&self) -> Vec<Step> {
        let Some(stability) = &self.analysis.stability else { return Vec::new() };
        let gives = self.analysis.gives("stability");
        let of_passes = |key: &str| ["masks", "heads", "overlap"].contains(&key);
        // Further passes need the model and the examples; without them the sums of the first will do.
        let further = stability.masks > 1 || stability.heads > 1 || !stability.overlap.is_empty();
        let step = match further {
            true => {
                let reduction = self.analysis.fisher.as_ref().and_then(|fisher| fisher.reduction);
                self.with_checkpoint("stability", "stability")
                    .reads("--set", "sets/fisher.safetensors")
                    .maybe("--reduction", reduction.map(word))
                    .options(stability, |key| gives(key) && of_passes(key))
            }
            false => Step::new("stability", "stability")
                .reads("--fisher", self.fisher_file())
                .also_reads(self.fisher_examples()),
        };
        let step = self
            .scored(step.options(stability, |key| gives(key) && !of_passes(key)))
            .option("--seed", self.analysis.seed)
            .writes("--out", STABILITY);
        [vec![step], self.figures(STABILITY)].concat()
    }

    /// How a site's tensors become one score: as in the schedule.
    fn scored(&self, step: Step) -> Step {
        let (Some(schedule), gives) = (&self.analysis.schedule, self.analysis.gives("schedule")) else {
            return step;
        };
        step.options(schedule, |key| gives(key) && ["aggregate", "include_intermediate"].contains(&key))
    }

    pub(super) fn audit(&self) -> Vec<Step> {
        let Some(audit) = &self.analysis.audit else { return Vec::new() };
        let step = Step::new("audit", "audit")
            .reads("--fisher", self.fisher_file())
            .also_reads(self.fisher_examples())
            .options(audit, self.analysis.gives("audit"))
            .option("--seed", self.analysis.seed)
            .writes("--out", AUDIT);
        [vec![step], self.figures(AUDIT)].concat()
    }

    pub(super) fn damage(&self) -> Vec<Step> {
        let Some(damage) = &self.analysis.damage else { return Vec::new() };
        let part = if self.analysis.fisher_over() == Over::Text { Part::Text } else { Part::Train };
        let set = "sets/damage.safetensors";
        let step = self
            .with_checkpoint("damage", "damage")
            .reads("--set", set)
            .reads("--fisher", self.fisher_file())
            .also_reads(self.fisher_examples())
            .options(&damage.options, self.analysis.gives("damage"))
            .options(&damage.gaussian, self.analysis.gives("damage"))
            .option("--seed", self.analysis.seed)
            .writes("--out", DAMAGE);
        let freeze = self.freeze("set for the damage", (part, self.analysis.seed), damage.examples, set);
        [vec![freeze, step], self.figures(DAMAGE)].concat()
    }

    pub(super) fn agree(&self) -> Vec<Step> {
        let (Some(agree), Some(fisher)) = (&self.analysis.agree, &self.analysis.fisher) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        let mut step =
            Step::new("agreement", "agree").file(self.fisher_file()).also_reads(self.fisher_examples());
        let mut titles = vec![if agree.arms { "pre-trained".to_string() } else { "empirical".into() }];
        for estimator in &fisher.also {
            let stem = estimate_stem(fisher, *estimator);
            step =
                step.file(format!("{stem}.safetensors")).also_reads(format!("{stem}.examples.safetensors"));
            titles.push(word(*estimator));
        }
        for model in self.models.iter().filter(|_| agree.arms) {
            let Some(run) = model.runs.first() else { continue };
            let stem = model_stem(model);
            steps.push(self.fisher_of(model, run, fisher));
            step =
                step.file(format!("{stem}.safetensors")).also_reads(format!("{stem}.examples.safetensors"));
            titles.push(model.title.clone());
        }
        for model in self.models.iter().filter(|_| agree.moments) {
            let Some(run) = model.runs.first() else { continue };
            step = step.file(format!("{run}/{MOMENTS}"));
            titles.push(format!("Adam of {}", model.title));
        }
        step = agree.files.iter().fold(step, |step, path| step.outside_file(path));
        titles.extend(agree.titles.iter().cloned());
        steps.push(
            self.scored(step.option("--titles", listed(&titles)))
                .option("--seed", self.analysis.seed)
                .writes("--out", AGREE),
        );
        [steps, self.figures(AGREE)].concat()
    }

    /// The Fisher information of a trained model, on the examples of the checkpoint's.
    pub(super) fn fisher_of(&self, model: &Model, run: &str, fisher: &Fisher) -> Step {
        let stem = model_stem(model);
        Step::new(format!("Fisher information of {}", model.title), "fisher")
            .reads("--checkpoint", run)
            .reads("--set", "sets/fisher.safetensors")
            .maybe("--reduction", fisher.reduction.map(word))
            .word("--per-example")
            .option("--seed", self.analysis.seed)
            .writes("--out", format!("{stem}.safetensors"))
            .also_writes(format!("{stem}.csv"))
            .also_writes(format!("{stem}.examples.safetensors"))
    }

    /// The figures of a command's tables, which read what stands beside these, too.
    pub(super) fn figures(&self, folder: &str) -> Vec<Step> {
        let absent = absent(self.analysis, folder);
        let step = |drawn: &Figure| {
            let step = figure(drawn.name, &format!("figure of {}", drawn.of)).file(table_of(drawn, folder));
            let beside = drawn.table.beside.iter().filter(|name| !absent.contains(name));
            beside.fold(step, |step, name| step.also_reads(format!("{folder}/{name}")))
        };
        figures_of(self.analysis, folder).map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis;
    use crate::files;
    use crate::run::plan::{Failed, steps};
    use crate::run::step::Hashes;

    /// Oracle: what the figures read, `BESIDE`. Another text in any of these files makes the figure another one; what is
    /// not written is not waited for.
    #[test]
    fn figures_are_of_all_that_they_read() {
        let analysis = analysis::load("reliability", &[]).unwrap().analysis;
        let folder = tempfile::tempdir().unwrap();
        let write =
            |file: &str, text: &str| files::write(&folder.path().join(file), text.as_bytes()).unwrap();
        let steps = steps(&analysis, &Failed::new());
        let mut read = 0;
        for own in [STABILITY, AUDIT, DAMAGE] {
            let drawn: Vec<_> = figures_of(&analysis, own).collect();
            for figure in &drawn {
                let step = steps.iter().find(|step| step.name == format!("figure of {}", figure.of)).unwrap();
                let names = || figure.table.beside.iter().chain([&figure.table.file]);
                names().for_each(|name| write(&format!("{own}/{name}"), "before"));
                let identity = || step.identity(folder.path(), &mut Hashes::default()).unwrap();
                for name in names() {
                    let before = identity();
                    write(&format!("{own}/{name}"), "after");
                    assert_ne!(before, identity(), "{}: {name}", figure.name);
                    read += 1;
                }
            }
            assert!(!drawn.is_empty(), "{own}");
        }
        assert_eq!(read, 8 + 6 + 4);
        let analysis = analysis::load("reliability", &["damage.probes=0".into()]).unwrap().analysis;
        assert_eq!(absent(&analysis, DAMAGE), ["bins.csv"]);
    }
}
