//! Steps about the Fisher information itself: how stable, on what it rests, what it predicts, what it agrees with.

use super::{Plan, STABILITY, estimate_stem, figure, listed};
use crate::analysis::config::{Over, Part};
use crate::analysis::titles::plain;
use crate::run::step::Step;
use crate::stages::word;

pub const AUDIT: &str = "audit";
pub const DAMAGE: &str = "damage";
pub const AGREE: &str = "agree";

/// What the commands write that has a figure: folder, table, what else that figure reads, and what it is of.
const FIGURES: [(&str, &str, &[&str], &str); 10] = [
    (STABILITY, "agreement", &["summary"], "the stability"),
    (STABILITY, "ranks", &[], "the ranks"),
    (STABILITY, "tails", &[], "the tails"),
    (STABILITY, "needed", &[], "the examples needed"),
    (STABILITY, "components", &[], "masks and data"),
    (STABILITY, "overlap", &[], "the overlap"),
    (AUDIT, "audit", &["variants"], "the audit"),
    (AUDIT, "concentration", &["lorenz", "histogram", "sorted"], "the concentration"),
    (DAMAGE, "layers", &["correlations", "perturbed"], "the damage"),
    (AGREE, "pairs", &["scores"], "the agreement"),
];

/// The file of a figure of these, without its extension, and the table it is of.
pub fn figure_of(folder: &str, table: &str) -> (String, String) {
    let name = if table == "agreement" { folder.to_string() } else { format!("{folder}_{table}") };
    (name, format!("{folder}/{table}.csv"))
}

impl Plan<'_> {
    pub(super) fn stability(&self) -> Vec<Step> {
        let Some(stability) = &self.analysis.stability else { return Vec::new() };
        let gives = self.analysis.gives("stability");
        let of_passes = |key: &str| ["masks", "overlap"].contains(&key);
        let (masks, overlap) = (stability.masks > 1, !stability.overlap.is_empty());
        // Further passes need the model and the examples; without them the sums of the first will do.
        let step = match masks || overlap {
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
        let mut tables = vec!["agreement", "ranks", "tails", "needed"];
        tables.extend(masks.then_some("components"));
        tables.extend(overlap.then_some("overlap"));
        [vec![step], figures(STABILITY, &tables)].concat()
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
        [vec![step], figures(AUDIT, &["audit", "concentration"])].concat()
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
        [vec![freeze, step], figures(DAMAGE, &["layers"])].concat()
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
            let stem = format!("fisher/{}", plain(&model.title));
            let own = Step::new(format!("Fisher information of {}", model.title), "fisher")
                .reads("--checkpoint", run)
                .reads("--set", "sets/fisher.safetensors")
                .maybe("--reduction", fisher.reduction.map(word))
                .word("--per-example")
                .option("--seed", self.analysis.seed)
                .writes("--out", format!("{stem}.safetensors"))
                .also_writes(format!("{stem}.csv"))
                .also_writes(format!("{stem}.examples.safetensors"));
            steps.push(own);
            step =
                step.file(format!("{stem}.safetensors")).also_reads(format!("{stem}.examples.safetensors"));
            titles.push(model.title.clone());
        }
        step = agree.files.iter().fold(step, |step, path| step.outside_file(path));
        titles.extend(agree.titles.iter().cloned());
        steps.push(
            self.scored(step.option("--titles", listed(&titles)))
                .option("--seed", self.analysis.seed)
                .writes("--out", AGREE),
        );
        let figures = figures(AGREE, &["pairs"]);
        [steps, figures].concat()
    }
}

/// The figures of a command's tables.
fn figures(folder: &str, tables: &[&str]) -> Vec<Step> {
    let own = FIGURES.iter().filter(|(of, table, ..)| *of == folder && tables.contains(table));
    let step = |(folder, table, beside, what): &(&str, &str, &[&str], &str)| {
        let (file, path) = figure_of(folder, table);
        let step = figure(&file, &format!("figure of {what}")).file(path);
        beside.iter().fold(step, |step, name| step.also_reads(format!("{folder}/{name}.csv")))
    };
    own.map(step).collect()
}
