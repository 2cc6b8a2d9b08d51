//! Which step waits for which: the graph of a plan, from what its steps read and write in the run's folder.
//!
//! The list of a plan is one order of the graph: a step stands after those whose results it reads. What is read lies at or
//! below a path that is written (`train/ARM/seed0` is written, `train/ARM/seed0/history.csv` is read).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Serialize;

use super::step::Step;
use crate::error::{Error, Result};

/// Steps, and those that each of them waits for.
pub struct Graph {
    steps: Vec<Step>,
    needs: Vec<BTreeSet<usize>>,
}

/// Names of steps that do not wait for one another, but for those of the waves before: the light ones, in order, and then the
/// heavy ones.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Wave {
    pub light: Vec<String>,
    pub heavy: Vec<String>,
}

impl Graph {
    /// # Errors
    ///
    /// [`Error::Field`], which is a defect of the plan: a step reads what none before it writes, or writes what another does.
    pub fn new(steps: Vec<Step>) -> Result<Graph> {
        let mut writers: HashMap<&Path, usize> = HashMap::new();
        let mut needs = Vec::new();
        let defect = |step: &Step, field, expected, path: &str| {
            Error::field(&step.name, field, expected, path, "report this as a defect")
        };
        for (i, step) in steps.iter().enumerate() {
            let writer = |path: &str| {
                let above = Path::new(path).ancestors().find_map(|above| writers.get(above));
                above.copied().ok_or_else(|| defect(step, "reads", "what a step before it writes", path))
            };
            needs.push(step.read().map(writer).collect::<Result<_>>()?);
            for path in step.written() {
                if writers.insert(Path::new(path), i).is_some() {
                    return Err(defect(step, "writes", "what no other step writes", path));
                }
            }
        }
        Ok(Graph { steps, needs })
    }

    /// The steps, in the order of the plan.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps whose results the i-th reads.
    pub fn needs(&self, i: usize) -> &BTreeSet<usize> {
        &self.needs[i]
    }

    /// Names of the steps for which `own` holds, and for all that they wait for.
    pub fn unchanged(&self, own: impl Fn(&Step) -> bool) -> BTreeSet<String> {
        let mut same: Vec<bool> = Vec::new();
        for (step, needs) in self.steps.iter().zip(&self.needs) {
            same.push(needs.iter().all(|&i| same[i]) && own(step));
        }
        self.steps.iter().zip(same).filter(|(_, same)| *same).map(|(step, _)| step.name.clone()).collect()
    }

    /// The first step that has not begun and waits for none.
    pub fn ready(&self, begun: impl Fn(&Step) -> bool, done: impl Fn(&Step) -> bool) -> Option<&Step> {
        let mut steps = self.steps.iter().zip(&self.needs);
        let ready = steps.find(|(step, needs)| !begun(step) && needs.iter().all(|&i| done(&self.steps[i])));
        ready.map(|(step, _)| step)
    }

    /// The steps by the number of heavy ones that stand one after the other before them.
    pub fn waves(&self) -> Vec<Wave> {
        let mut depths: Vec<usize> = Vec::new();
        let mut waves: Vec<Wave> = Vec::new();
        for (step, needs) in self.steps.iter().zip(&self.needs) {
            let after = |&i: &usize| depths[i] + usize::from(self.steps[i].is_heavy());
            let depth = needs.iter().map(after).max().unwrap_or(0);
            depths.push(depth);
            waves.resize_with(waves.len().max(depth + 1), Wave::default);
            let Wave { light, heavy } = &mut waves[depth];
            if step.is_heavy() { heavy } else { light }.push(step.name.clone());
        }
        waves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{self, SHIPPED};
    use crate::run::plan::{self, Failed};

    /// A training, its surface and two light steps around them.
    fn steps() -> Vec<Step> {
        vec![
            Step::new("set", "freeze")
                .outside("--table", Path::new("t.tsv"))
                .writes("--out", "set.safetensors"),
            Step::new("training", "train").reads("--set", "set.safetensors").writes("--out", "train/a/seed0"),
            Step::new("other", "train")
                .outside("--table", Path::new("t.tsv"))
                .writes("--out", "train/b/seed0"),
            Step::new("figure", "render").file("train/a/seed0/history.csv").writes("--out", "figure.svg"),
            Step::new("surface", "surface")
                .reads("--checkpoint", "train/a/seed0")
                .near("--out", "s.csv")
                .also_writes("s.csv"),
        ]
    }

    /// Oracle: by hand. A step below a folder that is written waits for it; so does one that reads what is named beside.
    #[test]
    fn steps_wait_for_what_they_read() -> Result<()> {
        let graph = Graph::new(steps())?;
        let needs: Vec<Vec<usize>> = graph.needs.iter().map(|own| own.iter().copied().collect()).collect();
        assert_eq!(needs, [vec![], vec![0], vec![], vec![1], vec![1]]);
        let next = |begun: &[&str], done: &[&str]| {
            let among = |names: &[&str], step: &Step| names.contains(&step.name.as_str());
            graph.ready(|step| among(begun, step), |step| among(done, step)).map(|step| step.name.as_str())
        };
        assert_eq!(next(&[], &[]), Some("set"));
        // While the first is at work, what waits for it is passed over.
        assert_eq!(next(&["set"], &[]), Some("other"));
        assert_eq!(next(&["set", "other"], &[]), None);
        assert_eq!(next(&["set", "other"], &["set"]), Some("training"));
        let all = ["set", "other", "training", "figure", "surface"];
        assert_eq!((next(&all[..3], &all[..3]), next(&all, &all)), (Some("figure"), None));
        let wave = |light: &[&str], heavy: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
            Wave { light: names(light), heavy: names(heavy) }
        };
        assert_eq!(graph.waves(), [wave(&["set"], &["training", "other"]), wave(&["figure"], &["surface"])]);
        Ok(())
    }

    #[test]
    fn a_path_without_a_writer_is_a_defect() {
        let message = |steps: Vec<Step>| Graph::new(steps).err().map(|e| e.to_string()).unwrap_or_default();
        let mut without = steps();
        without.remove(1);
        assert!(message(without).contains(
            "figure: `reads` must be what a step before it writes, found train/a/seed0/history.csv"
        ));
        let mut late = steps();
        late.swap(0, 1);
        assert!(message(late).starts_with("training: `reads`"));
        let mut twice = steps();
        twice.push(Step::new("again", "freeze").writes("--out", "set.safetensors"));
        assert!(message(twice).starts_with("again: `writes` must be what no other step writes"));
        let beside = vec![
            Step::new("a", "train").writes("--out", "train/a"),
            Step::new("b", "render").file("train/ab.csv"),
        ];
        assert!(message(beside).starts_with("b: `reads`"));
    }

    /// What does not wait for the training that wrote `run` is the same in the plan without it, so it may have begun before.
    fn unchanged_but_after(all: &[Step], without: &[Step], run: &str) -> Result<()> {
        let graph = Graph::new(all.to_vec())?;
        let mut after: BTreeSet<usize> = BTreeSet::new();
        for (i, step) in all.iter().enumerate() {
            match step.output() == Some(run) || !graph.needs[i].is_disjoint(&after) {
                true => drop(after.insert(i)),
                false => assert!(without.contains(step), "{}", step.name),
            }
        }
        assert!(!after.is_empty());
        Ok(())
    }

    /// Every plan that is shipped is such a graph, and one step after the other begins in the order of the list, with and without
    /// trainings that failed. Waves have every step once.
    #[test]
    fn shipped_plans_are_in_order() -> Result<()> {
        for (name, _) in SHIPPED {
            let loaded = analysis::load(name, &[])?;
            let cells =
                loaded.study.iter().flat_map(|study| study.cells.iter().map(|cell| &cell.loaded.analysis));
            for analysis in cells.chain(loaded.study.is_none().then_some(&loaded.analysis)) {
                let all = plan::steps(analysis, &Failed::new());
                let first = all.iter().find(|step| step.command() == "train").and_then(Step::output);
                let failed = first.map(|run| (run.to_string(), "diverged".to_string()));
                if let Some(run) = first.filter(|_| !analysis.looks_at_models()) {
                    unchanged_but_after(
                        &all,
                        &plan::steps(analysis, &Failed::from([(run.into(), String::new())])),
                        run,
                    )?;
                }
                for failed in
                    [Failed::new(), failed.into_iter().filter(|_| !analysis.looks_at_models()).collect()]
                {
                    let graph = Graph::new(plan::steps(analysis, &failed))?;
                    let mut done: Vec<String> = Vec::new();
                    let among = |done: &[String], step: &Step| done.contains(&step.name);
                    while let Some(step) = graph.ready(|step| among(&done, step), |step| among(&done, step)) {
                        done.push(step.name.clone());
                    }
                    assert!(graph.steps().iter().map(|step| &step.name).eq(&done), "{name}");
                    let mut waved: Vec<String> = graph
                        .waves()
                        .into_iter()
                        .flat_map(|wave| [wave.light, wave.heavy].concat())
                        .collect();
                    waved.sort();
                    done.sort();
                    assert_eq!(waved, done, "{name}");
                }
            }
        }
        Ok(())
    }
}
