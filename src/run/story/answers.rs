//! The answers of an analysis in the order of its question, and the verdict: the first of them in one sentence.
//!
//! What is done and not asked for is told below, in the details. A claim stands where its interval, corrected for all comparisons of
//! the page, shows it, and nowhere else.

use super::words::{counted, level, number};
use super::{Story, basins, better};
use crate::analysis::config::{Analysis, Topic};
use crate::error::Result;
use crate::page::Page;
use crate::page::answer::Answer;
use crate::run::story::flatter::Seen;
use crate::tables::page::Sharp;

/// What is said to one topic: as a verdict, and at more length.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub verdict: String,
    pub answer: Answer,
}

impl Told {
    pub fn new(verdict: String, question: &str, text: String) -> Told {
        let question = question.to_string();
        Told { verdict, answer: Answer { question, text, differences: Vec::new() } }
    }
}

/// The order where an analysis says none: of trained models first what was trained for; else the information itself.
const TRAINED: [Topic; 14] = [
    Topic::Better,
    Topic::Flatter,
    Topic::Basins,
    Topic::Apart,
    Topic::Data,
    Topic::Matters,
    Topic::Masks,
    Topic::Overlap,
    Topic::Drivers,
    Topic::Damage,
    Topic::Pruning,
    Topic::Examples,
    Topic::Alike,
    Topic::Where,
];
const UNTRAINED: [Topic; 12] = [
    Topic::Where,
    Topic::Data,
    Topic::Matters,
    Topic::Masks,
    Topic::Overlap,
    Topic::Drivers,
    Topic::Damage,
    Topic::Pruning,
    Topic::Examples,
    Topic::Alike,
    Topic::Flatter,
    Topic::Basins,
];

impl Story<'_> {
    /// The verdict and the answers; what else there is to say goes to the details. Gives the verdict of each topic.
    pub(super) fn answer(&self, page: &mut Page) -> Result<Vec<(Topic, String)>> {
        let all: &[Topic] = if self.analysis.train.is_some() { &TRAINED } else { &UNTRAINED };
        let asked = asked(self.analysis);
        let mut verdicts = Vec::new();
        for topic in &asked {
            if let Some(told) = self.topic(*topic)? {
                if page.verdict.is_empty() {
                    page.verdict.clone_from(&told.verdict);
                }
                verdicts.push((*topic, told.verdict));
                page.answers.push(told.answer);
            }
        }
        let mut rest = Vec::new();
        for topic in all.iter().filter(|topic| !asked.contains(topic)) {
            if let Some(told) = self.topic(*topic)? {
                verdicts.push((*topic, told.verdict));
                rest.push(told.answer.text);
            }
        }
        page.details.splice(0..0, rest);
        if page.verdict.is_empty() {
            page.verdict = match self.failed() {
                0 => "Nothing is answered in words: see the figures and tables.".into(),
                _ => "Nothing is answered, as training runs failed: see what was skipped.".into(),
            };
        }
        page.facts = self.facts();
        page.limits = limits(self.analysis);
        Ok(verdicts)
    }

    /// Training runs that failed.
    pub(super) fn failed(&self) -> usize {
        self.models.iter().map(|model| model.failed).sum()
    }

    fn topic(&self, topic: Topic) -> Result<Option<Told>> {
        match topic {
            Topic::Better => Ok(better::told(&self.found.training)),
            Topic::Flatter => self.flatter(),
            Topic::Apart => self.apart(),
            Topic::Where => self.places(),
            Topic::Data => self.data(),
            Topic::Masks => self.masks(),
            Topic::Overlap => self.overlap(),
            Topic::Matters => self.matters(),
            Topic::Drivers => self.drivers(),
            Topic::Damage => self.damaged(),
            Topic::Alike => self.alike(),
            Topic::Basins => Ok(basins::told(&self.found.basins)),
            Topic::Pruning => self.prunable(),
            Topic::Examples => self.carried(),
        }
    }

    fn flatter(&self) -> Result<Option<Told>> {
        self.flatter_by(&self.found.sharpness)
    }

    /// By the surfaces, and by these measures of sharpness.
    pub(super) fn flatter_by(&self, sharpness: &[Sharp]) -> Result<Option<Told>> {
        if self.found.surfaces.is_empty() {
            return Ok(None);
        }
        let mut known = Vec::new();
        for part in self.analysis.surfaces_over() {
            known.push((crate::run::plan::part_name(part), self.words(part), self.unit(part)?));
        }
        let words = |name: &str| {
            let own = known.iter().find(|(part, ..)| *part == name);
            own.map_or(("examples", "loss"), |(_, words, unit)| (*words, *unit))
        };
        let surfaces = &self.found.surfaces;
        Ok(Seen { surfaces, sharpness, words: &words, seed: self.analysis.seed }.told())
    }

    /// On how much the scores rest, and what an answer that never changes would score.
    fn facts(&self) -> String {
        let Some(first) = self.found.training.first() else { return String::new() };
        let trained_on = first.runs.first().and_then(|(_, score)| score.trained_on);
        let trained_on =
            trained_on.map_or(String::new(), |n| format!("trained on {}, ", counted(n, "example")));
        let constant = first.constant.map_or(String::new(), |constant| {
            format!(
                "; always the same answer would have {} {}",
                first.metric.replace('_', " "),
                level(constant)
            )
        });
        let text = format!(
            "{trained_on}scored on {} held-out ones; {} of each arm{constant}.",
            first.held_out_examples,
            counted(first.seeds, "seed"),
        );
        super::words::upper(&text)
    }
}

/// The topics that have an answer, in order: those that the analysis names, or all but where the information lies, which is
/// asked where nothing is trained.
pub(super) fn asked(analysis: &Analysis) -> Vec<Topic> {
    match (analysis.asks.is_empty(), analysis.train.is_some()) {
        (false, _) => analysis.asks.clone(),
        (true, true) => TRAINED.into_iter().filter(|topic| *topic != Topic::Where).collect(),
        (true, false) => UNTRAINED.to_vec(),
    }
}

/// What the answers are none about.
fn limits(analysis: &Analysis) -> String {
    let name = |path: &std::path::Path| {
        path.file_name().map_or("unnamed".to_string(), |name| name.to_string_lossy().into_owned())
    };
    let data = &analysis.data;
    let file = [&data.table, &data.conll, &data.squad].into_iter().flatten().next();
    let tasks = match (&data.task, file) {
        (Some(task), _) => Some(format!("one task ({})", task.0)),
        (None, Some(file)) => Some(format!("one data set ({})", name(file))),
        (None, None) => None,
    };
    let text = data.text.as_ref().map(|text| format!("one text ({})", name(text)));
    let seeds = analysis
        .train
        .as_ref()
        .map(|train| format!("{} seed{}", number(train.seeds), if train.seeds == 1 { "" } else { "s" }));
    let model = format!("one checkpoint ({})", name(&analysis.model.checkpoint));
    let all: Vec<String> = [Some(model), tasks, text, seeds].into_iter().flatten().collect();
    let surfaces = match &analysis.surface {
        None => "",
        Some(_) => "; a surface is a slice in two directions of very many",
    };
    format!("No answer about other models, data or settings: {}{surfaces}.", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis;

    /// Oracle: the sections of each shipped analysis. What is asked first is done, so that all of them have a verdict.
    #[test]
    fn shipped_analyses_have_a_verdict() {
        for (name, _) in analysis::SHIPPED {
            let own = analysis::load(name, &[]).unwrap().analysis;
            let stability = own.stability.as_ref();
            let done = |topic: &Topic| match topic {
                Topic::Better => own.train.is_some(),
                Topic::Flatter | Topic::Matters => own.surface.is_some(),
                Topic::Apart => own.plane.is_some(),
                Topic::Where => own.fisher.is_some(),
                Topic::Data => stability.is_some(),
                Topic::Masks => stability.is_some_and(|stability| stability.masks > 1),
                Topic::Overlap => stability.is_some_and(|stability| !stability.overlap.is_empty()),
                Topic::Drivers => own.audit.is_some(),
                Topic::Damage => own.damage.is_some(),
                Topic::Alike => own.agree.is_some(),
                Topic::Basins => own.topology.is_some(),
                Topic::Pruning => own.prune.is_some(),
                Topic::Examples => own.examples.is_some(),
            };
            let asked = asked(&own);
            assert!(asked.first().is_some_and(done), "{name}: {asked:?}");
            assert!(own.asks.iter().all(done), "{name}: {:?}", own.asks);
        }
    }

    /// Oracle: the questions as they are written. Of each shipped analysis the answers are asked for in the order of its question.
    #[test]
    fn answers_stand_in_the_order_of_the_question() {
        let first = |name: &str| {
            let loaded = analysis::load(name, &[]).unwrap();
            asked(&loaded.analysis).into_iter().take(2).collect::<Vec<_>>()
        };
        assert_eq!(first("quickstart"), [Topic::Better, Topic::Flatter]);
        assert_eq!(first("landscape"), [Topic::Flatter, Topic::Apart]);
        assert_eq!(first("llm"), [Topic::Where, Topic::Data]);
        assert_eq!(first("reliability"), [Topic::Data, Topic::Masks]);
        assert_eq!(first("drift"), [Topic::Alike]);
        let limits = limits(&analysis::load("quickstart", &[]).unwrap().analysis);
        let wanted = "No answer about other models, data or settings: one checkpoint (embedded), one task (supersense), five seeds; a \
                      surface is a slice in two directions of very many.";
        assert_eq!(limits, wanted);
    }
}
