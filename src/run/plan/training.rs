//! Steps of Fisher information, schedules and arms.

use super::{Plan, RATES, estimate_stem, figure, fisher_stem, listed, run_path};
use crate::analysis::config::{Fisher, Over, Parsed, Part, PlannedArm};
use crate::dropout::{Arm, Assignment};
use crate::model::Estimator;
use crate::run::step::Step;
use crate::stages::schedule::ScheduleOptions;
use crate::stages::word;

impl Plan<'_> {
    /// Fisher information and what follows from it.
    pub(super) fn fisher(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(fisher) = &self.analysis.fisher {
            let part = if self.analysis.fisher_over() == Over::Text { Part::Text } else { Part::Train };
            let [set, step] = self.pass(fisher, (part, self.analysis.seed), "sets/fisher.safetensors", "");
            steps.push(set);
            let mut step = step.near("--out", "fisher/fisher.safetensors");
            let estimators = [&[Estimator::Empirical], fisher.also.as_slice()].concat();
            if !fisher.also.is_empty() {
                let words: Vec<String> = estimators.iter().map(|estimator| word(*estimator)).collect();
                step = step
                    .option("--estimator", listed(&words))
                    .options(&fisher.options, self.analysis.gives("fisher"));
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
            if let Some(fisher) = &self.analysis.fisher {
                steps.extend(self.controls(fisher, schedule));
            }
            steps.push(figure("schedule", "figure of the schedule").file(RATES).option("--titles", "guided"));
        }
        steps
    }

    /// The schedules of arms that go by the Fisher information of a control, on the examples of the guided arm's.
    fn controls(&self, fisher: &Fisher, schedule: &ScheduleOptions) -> Vec<Step> {
        let arms = self.analysis.train.iter().flat_map(|train| &train.arms);
        let mut steps = Vec::new();
        for control in arms.filter_map(|arm| arm.0.control()) {
            let name = word(control);
            for k in 0..if self.analysis.schedule_by_seed() { self.analysis.seeds() } else { 1 } {
                let seed = self.analysis.seed + k as u64;
                let set = match k {
                    0 => "sets/fisher.safetensors".into(),
                    _ => format!("sets/fisher_seed{seed}.safetensors"),
                };
                let stem = format!("fisher/{name}/seed{seed}");
                let pass = self.pass_on(fisher, seed, &set, &format!(", {name}, seed {seed}"));
                let pass = pass.option("--control", &name).writes("--out", format!("{stem}.safetensors"));
                let pass = ["csv", "examples.safetensors"]
                    .iter()
                    .fold(pass, |step, end| step.also_writes(format!("{stem}.{end}")));
                let rates = self.rates_of(format!("schedule, {name}, seed {seed}"), schedule, &stem);
                steps.extend([pass, rates.writes("--out", self.rates_path(&name, k))]);
            }
        }
        steps
    }

    /// The set and the pass of one seed's Fisher information; `whose` ends their names, what is written is to follow.
    fn pass(&self, fisher: &Fisher, (part, seed): (Part, u64), set: &str, whose: &str) -> [Step; 2] {
        let name = format!("set for the Fisher information{whose}");
        let freeze = self.freeze(&name, (part, seed), fisher.examples, set);
        [freeze, self.pass_on(fisher, seed, set, whose)]
    }

    /// The pass over a set.
    fn pass_on(&self, fisher: &Fisher, seed: u64, set: &str, whose: &str) -> Step {
        self.with_checkpoint(format!("Fisher information{whose}"), "fisher")
            .reads("--set", set)
            .maybe("--reduction", fisher.reduction.map(word))
            .word("--per-example")
            .option("--seed", seed)
    }

    pub(super) fn fisher_examples(&self) -> String {
        format!("{}.examples.safetensors", fisher_stem(self.analysis))
    }

    /// A schedule from an estimate of the Fisher information, or the preset; where it is written is to follow.
    fn rates_of(&self, name: String, schedule: &ScheduleOptions, stem: &str) -> Step {
        let step = Step::new(name, "schedule");
        match schedule.preset {
            Some(preset) => step.option("--preset", word(preset)),
            None => step
                .reads("--fisher", format!("{stem}.safetensors"))
                .also_reads(format!("{stem}.examples.safetensors"))
                .options(schedule, self.analysis.gives("schedule")),
        }
    }

    /// The schedule of the k-th seed, from the training part of that seed, under the head that its runs start with.
    fn own_schedule(&self, fisher: &Fisher, schedule: &ScheduleOptions, k: usize) -> [Step; 3] {
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
        [freeze, pass, rates.writes("--out", self.rates_path("rates", k))]
    }

    /// The schedule of the k-th seed's runs: of `rates`, the guided arm's own, or a control.
    fn rates_path(&self, name: &str, k: usize) -> String {
        match (self.analysis.schedule_by_seed() && k > 0, name) {
            (true, "rates") => format!("schedule/seed{}.csv", self.analysis.seed + k as u64),
            (true, name) => format!("schedule/{name}_seed{}.csv", self.analysis.seed + k as u64),
            (false, name) => format!("schedule/{name}.csv"),
        }
    }

    pub(super) fn fisher_file(&self) -> String {
        format!("{}.safetensors", fisher_stem(self.analysis))
    }

    pub(super) fn training(&self) -> Vec<Step> {
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
                    PlannedArm::Own(assignment) => {
                        step.reads_as("--dropout", format!("{assignment}:"), self.rates_path("rates", k))
                    }
                    PlannedArm::Control(control) => {
                        step.reads_as("--dropout", "guided:", self.rates_path(&word(*control), k))
                    }
                    PlannedArm::OtherTask(path) => {
                        let dropout = Arm::Scheduled(Assignment::Guided, path.clone());
                        step.option("--dropout", dropout).also_outside(path)
                    }
                    PlannedArm::Other(dropout) => {
                        let step = step.option("--dropout", dropout);
                        match dropout {
                            Arm::Scheduled(_, path) => step.also_outside(path),
                            _ => step,
                        }
                    }
                };
                let (options, gives) = (&train.options, self.analysis.gives("train"));
                // A table has no split of its own.
                let split = |key: &str| key == "split" && self.analysis.data.task.is_some();
                let last = |key: &str| ["split", "scores_only"].contains(&key);
                let moments = k == 0 && self.analysis.agree.as_ref().is_some_and(|agree| agree.moments);
                let snapshots = self.analysis.trajectory.as_ref().filter(|_| k == 0).map(|t| t.snapshots);
                let step = step
                    .options(options, |key| gives(key) && !last(key))
                    .maybe("--max-len", self.analysis.data.max_len)
                    .options(options, |key| gives(key) && (split(key) || key == "scores_only"))
                    .maybe("--snapshots", snapshots);
                let step = if moments { step.word("--save-moments") } else { step };
                steps.push(step.option("--seed", seed).writes("--out", run));
            }
        }
        let runs = self.models.iter().flat_map(|model| model.runs.iter().map(|run| (run, &model.title)));
        let mut step = figure("training", "figure of the training");
        let titles: Vec<&String> = runs.clone().map(|(_, title)| title).collect();
        if titles.is_empty() {
            return steps; // every run failed
        }
        for (run, _) in runs {
            step = step.file(format!("{run}/history.csv")).also_reads(format!("{run}/metrics.csv"));
        }
        steps.push(step.option("--titles", listed(&titles)));
        steps
    }
}
