//! What is to be done on a cluster: waves, one after the other, of elements that run side by side.
//!
//! A wave of long steps is an array of jobs; before it stands a wave of one element, with the steps of seconds that it needs (sets,
//! schedules). Figures, tables and the page are left to the end. All is known beforehand, so all can be submitted at once.
//!
//! Trainings of one cell and seed stay together, whatever their arm: those that are compared run on one device. A step that two cells
//! share is run for one of them, and the other takes it over.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::error::Result;
use crate::run::graph::Graph;
use crate::run::plan::{self, Failed};
use crate::run::step::{Hashes, Record, Step};
use crate::run::{Places, stage};
use crate::stages::Stage;

/// Points of a surface for each part by itself, and parts at most.
const POINTS: usize = 512;
const PARTS: usize = 64;

/// `plan.json` in the folder of a submission.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub version: String,
    /// Where it was made: names of files lead from there.
    pub from: PathBuf,
    /// The run's folder, as it was named there.
    pub folder: PathBuf,
    /// The line that began it, for the page.
    pub command: String,
    /// Names of the cells of a study that are run; none: all.
    pub only: Vec<String>,
    pub cells: Vec<Cell>,
    pub waves: Vec<Wave>,
}

impl Plan {
    /// The jobs of all waves, in order.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.waves.iter().flat_map(|wave| &wave.elements).flatten()
    }

    /// The step of a job, and the folder of its cell in that of the run.
    pub fn step(&self, job: &Job, run: &Path) -> (&Step, PathBuf) {
        let cell = &self.cells[job.cell];
        (&cell.steps[job.step], run.join(&cell.folder))
    }
}

/// An analysis of the run: the run itself, or a cell of a study.
#[derive(Serialize, Deserialize)]
pub struct Cell {
    /// Its folder in that of the run; empty for the run itself.
    pub folder: String,
    pub places: Places,
    pub steps: Vec<Step>,
}

/// Elements that do not wait for one another.
#[derive(Serialize, Deserialize)]
pub struct Wave {
    /// Whether it takes seconds.
    pub light: bool,
    pub elements: Vec<Vec<Job>>,
}

/// A step, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Indices of cell and step.
    pub cell: usize,
    pub step: usize,
    /// Part K of N, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<(usize, usize)>,
    /// Whether another cell does it, and this one takes it over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Identity of a record that is there and does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

impl Job {
    /// The record of its step in `folder`, unless it is the one that was there before.
    pub fn record(&self, step: &Step, folder: &Path) -> Option<Record> {
        step.record(folder).filter(|record| self.stale.as_ref() != Some(&record.identity))
    }
}

/// How work is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Elements of a wave at most.
    pub elements: usize,
    /// Parts of each surface; by itself one for each 512 points.
    pub parts: Option<usize>,
}

/// An analysis to be planned.
pub struct Asked<'a> {
    pub folder: String,
    pub analysis: &'a Analysis,
    pub places: Places,
}

/// What is known of a step before it is put into a wave.
struct Known {
    key: String,
    done: bool,
    heavy: bool,
    parts: usize,
    /// Of a training, the seed: those of one seed stay together.
    seed: Option<String>,
    stale: Option<String>,
}

/// Where a step goes: its wave, and the wave after which it is there. A step of the first wave that is there has (0, 0).
#[derive(Clone, Copy)]
struct Put {
    wave: usize,
    ready: usize,
    adopted: bool,
}

/// A step that is not done.
struct Missing {
    job: Job,
    parts: usize,
    /// What stays in one element.
    group: String,
    work: f64,
}

/// What is missing of these analyses in `folder`, in waves.
///
/// # Errors
///
/// Those of inputs that cannot be read.
pub fn waves(asked: Vec<Asked>, folder: &Path, cut: Cut) -> Result<(Vec<Cell>, Vec<Wave>)> {
    let mut cells = Vec::new();
    let mut by_wave: BTreeMap<usize, Vec<Missing>> = BTreeMap::new();
    // By key: the wave after which the step is there.
    let mut twins: HashMap<String, usize> = HashMap::new();
    let many = asked.len() > 1;
    for (cell, asked) in asked.into_iter().enumerate() {
        let own = folder.join(&asked.folder);
        let graph = Graph::new(plan::steps(asked.analysis, &Failed::new()))?;
        let known = known(&graph, &own, &asked.places, cut)?;
        // Arms of one seed wait for the last of them.
        let first = put(&graph, &known, &twins, &HashMap::new());
        let mut latest: HashMap<&str, usize> = HashMap::new();
        for (step, put) in known.iter().zip(&first) {
            // One that another cell does waits for nothing here.
            if let Some(seed) = step.seed.as_ref().filter(|_| !put.adopted) {
                let wave = latest.entry(seed).or_default();
                *wave = put.wave.max(*wave);
            }
        }
        let placed = put(&graph, &known, &twins, &latest);
        let needed = needed(&graph);
        let mut tokens = None;
        for (i, (step, put)) in known.iter().zip(&placed).enumerate() {
            twins.entry(step.key.clone()).or_insert(put.ready);
            if step.done || !(step.heavy || needed[i]) {
                continue;
            }
            // Cells may have more to train than others.
            if many && step.seed.is_some() && tokens.is_none() {
                tokens = Some(work(&graph.steps()[i], &own)?);
            }
            let job = Job { cell, step: i, part: None, adopted: put.adopted, stale: step.stale.clone() };
            let group =
                step.seed.as_ref().map_or(format!("{cell} step {i}"), |seed| format!("{cell} seed {seed}"));
            let work = tokens.filter(|_| step.seed.is_some()).unwrap_or(1.0);
            let parts = if put.adopted { 1 } else { step.parts };
            if parts > 1 {
                // The whole, of all parts.
                let whole = Missing { job: job.clone(), parts: 1, group: group.clone(), work };
                by_wave.entry(put.ready).or_default().push(whole);
            }
            by_wave.entry(put.wave).or_default().push(Missing { job, parts, group, work });
        }
        cells.push(Cell { folder: asked.folder, places: asked.places, steps: graph.steps().to_vec() });
    }
    let waves = by_wave.into_iter().map(|(wave, steps)| match wave % 2 {
        0 => Wave { light: true, elements: vec![in_order(steps)] },
        _ => Wave { light: false, elements: packed(steps, cut.elements) },
    });
    Ok((cells, waves.collect()))
}

/// What is known of the steps of a cell.
fn known(graph: &Graph, folder: &Path, places: &Places, cut: Cut) -> Result<Vec<Known>> {
    let mut hashes = Hashes::at(places.clone());
    // By path that is written: the key of its step.
    let mut keys: HashMap<String, String> = HashMap::new();
    let mut known: Vec<Known> = Vec::new();
    for (i, step) in graph.steps().iter().enumerate() {
        let key = step.key(|path| below(&keys, path));
        keys.extend(step.written().map(|path| (path.to_string(), key.clone())));
        let done = graph.needs(i).iter().all(|&need| known[need].done) && {
            let identity = step.identity(folder, &mut hashes)?;
            step.done(&identity, folder, &mut hashes).is_some()
        };
        let heavy = step.is_heavy();
        known.push(Known {
            key,
            done,
            heavy,
            parts: if heavy && !done { parts(step, folder, cut)? } else { 1 },
            seed: step.value("--seed").filter(|_| step.command() == "train" && !done).map(str::to_string),
            stale: step.record(folder).map(|record| record.identity),
        });
    }
    Ok(known)
}

/// Puts the steps of a cell into waves, trainings of a seed not before `latest` says. Light waves are even, those of long steps odd; parts
/// are put together in the light wave after them.
fn put(
    graph: &Graph,
    known: &[Known],
    twins: &HashMap<String, usize>,
    latest: &HashMap<&str, usize>,
) -> Vec<Put> {
    let mut placed: Vec<Put> = Vec::new();
    for (i, step) in known.iter().enumerate() {
        let after = graph.needs(i).iter().map(|&need| placed[need].ready).max().unwrap_or(0);
        let even = |after: usize| after + after % 2;
        let odd = after + 1 + after % 2;
        let odd = step
            .seed
            .as_deref()
            .and_then(|seed| latest.get(seed))
            .map_or(odd, |&wave| (wave + (wave + 1) % 2).max(odd));
        placed.push(match twins.get(&step.key) {
            _ if step.done => Put { wave: 0, ready: 0, adopted: false },
            Some(&twin) if step.heavy => {
                let wave = even(twin.max(after));
                Put { wave, ready: wave, adopted: true }
            }
            _ if step.heavy => Put { wave: odd, ready: odd + usize::from(step.parts > 1), adopted: false },
            _ => Put { wave: even(after), ready: even(after), adopted: false },
        });
    }
    placed
}

/// Steps that a long one needs: others that take seconds are left to the end.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.steps().len()];
    for i in (0..needed.len()).rev() {
        if needed[i] || graph.steps()[i].is_heavy() {
            graph.needs(i).iter().for_each(|&need| needed[need] = true);
        }
    }
    needed
}

/// The key of what is written at a path, or above it.
fn below(keys: &HashMap<String, String>, path: &str) -> String {
    let above = Path::new(path).ancestors().find_map(|above| keys.get(above.to_str()?));
    format!("{} {path}", above.map_or("", String::as_str))
}

/// The parts that a step is cut into.
fn parts(step: &Step, folder: &Path, cut: Cut) -> Result<usize> {
    let points = stage(step, folder)?.points();
    let parts = cut.parts.unwrap_or_else(|| points.div_ceil(POINTS).min(PARTS));
    Ok(parts.clamp(1, points))
}

/// What a training comes to.
fn work(step: &Step, folder: &Path) -> Result<f64> {
    match stage(step, folder)? {
        Stage::Train(train) => Ok(crate::progress::listen(|| train.work()).0?.tokens),
        _ => Ok(1.0),
    }
}

fn in_order(steps: Vec<Missing>) -> Vec<Job> {
    let mut jobs: Vec<Job> = steps.into_iter().map(|step| step.job).collect();
    jobs.sort_by_key(|job| (job.cell, job.step));
    jobs
}

/// Groups of long steps in at most so many elements, the longest first.
fn packed(steps: Vec<Missing>, most: usize) -> Vec<Vec<Job>> {
    let mut groups: Vec<(String, f64, Vec<Job>)> = Vec::new();
    for step in steps {
        for part in 1..=step.parts {
            let part = (step.parts > 1).then_some((part, step.parts));
            let group = part.map_or(step.group.clone(), |part| format!("{} part {}", step.group, part.0));
            let (job, work) = (Job { part, ..step.job.clone() }, step.work / step.parts as f64);
            match groups.iter_mut().find(|own| own.0 == group) {
                Some(own) => {
                    own.1 += work;
                    own.2.push(job);
                }
                None => groups.push((group, work, vec![job])),
            }
        }
    }
    groups.sort_by(|a, b| b.1.total_cmp(&a.1)); // stable: equal ones stay in order
    let mut elements: Vec<(f64, Vec<Job>)> = Vec::new();
    for (_, work, jobs) in groups {
        let least = (0..elements.len()).min_by(|&a, &b| elements[a].0.total_cmp(&elements[b].0));
        match least.filter(|_| elements.len() >= most.max(1)) {
            Some(least) => {
                elements[least].0 += work;
                elements[least].1.extend(jobs);
            }
            None => elements.push((work, jobs)),
        }
    }
    elements.sort_by(|a, b| b.0.total_cmp(&a.0));
    elements.into_iter().map(|(_, jobs)| jobs).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::analysis;

    /// Property: carried out wave by wave, every step reads only what a wave before it wrote, or an earlier job of its own light
    /// element; every long step is there once, or all its parts and then the whole; trainings of one seed stand in one element.
    /// Catches a step that is forgotten, one that comes too early, and arms that are torn apart.
    #[test]
    fn waves_are_in_order() -> Result<()> {
        for (name, parts) in
            [("quickstart", None), ("quickstart", Some(3)), ("landscape", Some(2)), ("controls", None)]
        {
            let loaded = analysis::load(name, &[])?;
            let folder = tempfile::tempdir().unwrap();
            let asked = Asked { folder: String::new(), analysis: &loaded.analysis, places: Places::new() };
            let (cells, waves) = waves(vec![asked], folder.path(), Cut { elements: 4, parts })?;
            let steps = &cells[0].steps;
            let mut written: BTreeSet<&str> = BTreeSet::new();
            let mut whole: BTreeMap<usize, usize> = BTreeMap::new();
            let mut seeds: HashMap<&str, BTreeSet<(usize, usize)>> = HashMap::new();
            for (number, wave) in waves.iter().enumerate() {
                let before = written.clone();
                for (index, element) in wave.elements.iter().enumerate() {
                    assert!(wave.elements.len() <= 4);
                    let mut own = if wave.light { written.clone() } else { before.clone() };
                    for job in element {
                        let step = &steps[job.step];
                        let there = |path: &str| {
                            Path::new(path)
                                .ancestors()
                                .any(|above| above.to_str().is_some_and(|above| own.contains(above)))
                        };
                        assert!(step.read().all(there), "{name}, wave {number}: {}", step.name);
                        if step.command() == "train" {
                            seeds
                                .entry(step.value("--seed").unwrap_or_default())
                                .or_default()
                                .insert((number, index));
                        }
                        if job.part.is_none() {
                            *whole.entry(job.step).or_default() += 1;
                            own.extend(step.written());
                            written.extend(step.written());
                        }
                    }
                }
            }
            let once = |i: usize| whole.get(&i) == Some(&1);
            assert!((0..steps.len()).all(|i| once(i) || !steps[i].is_heavy()), "{name}");
            assert!(whole.values().all(|count| *count == 1));
            assert!(seeds.values().all(|places| places.len() == 1), "{name}: {seeds:?}");
            let cut = waves
                .iter()
                .flat_map(|wave| wave.elements.iter().flatten())
                .filter(|job| job.part.is_some())
                .count();
            let surfaces = steps.iter().filter(|step| step.command() == "surface").count();
            assert_eq!(cut, parts.unwrap_or(0) * surfaces, "{name}");
        }
        Ok(())
    }

    /// Oracle: worked out on paper. The longest group is alone, the others fill up what is shortest.
    #[test]
    fn the_longest_stands_alone() {
        let step = |i: usize, group: &str, work: f64| Missing {
            job: Job { cell: 0, step: i, part: None, adopted: false, stale: None },
            parts: 1,
            group: group.into(),
            work,
        };
        let steps = vec![
            step(0, "a", 1.0),
            step(1, "b", 5.0),
            step(2, "c", 2.0),
            step(3, "a", 1.0),
            step(4, "d", 2.0),
        ];
        let indices = |elements: Vec<Vec<Job>>| -> Vec<Vec<usize>> {
            elements.into_iter().map(|jobs| jobs.into_iter().map(|job| job.step).collect()).collect()
        };
        assert_eq!(indices(packed(steps, 2)), [vec![0, 3, 2, 4], vec![1]]);
    }
}
