//! Loss and metrics of a set of examples, in evaluation mode (docs/definitions.md section 1).
//!
//! `L = Σ s_n / M` with its ratio-estimator standard error; the task's metrics beside it. Batches are fixed and sums
//! run in the order of the examples, so the bits do not depend on the number of threads.

use std::fmt::Display;
use std::ops::Range;

use crate::data::questions::{self, Window};
use crate::data::{self, Batch, Example, Labels, parts};
use crate::error::Result;
use crate::model::{Objective, Outputs, Prefix};
use crate::params::{self, ParamMap};
use crate::progress;
use crate::stats;
use crate::stats::clusters::Clusters;
use crate::tasks::classes::other_order;
use crate::tasks::{Names, Predictions, Scoring, answers, span};
use crate::threads;

/// Examples and tokens of one evaluation batch: so many that ordering a weight for the product, once a batch, costs little beside it,
/// and few enough to stay in a core's cache.
pub const BATCH: (usize, usize) = (32, 2048);

/// Loss of a set of examples, and what it was computed from.
#[derive(Clone, Debug)]
pub struct SetLoss {
    /// `L = Σ s_n / M`, nats (or squared error) per target.
    pub loss: f64,
    /// Ratio-estimator standard error of `loss`, over groups of examples where there are groups.
    pub loss_se: f64,
    /// N, examples with a target.
    pub examples: usize,
    /// M.
    pub targets: usize,
    /// `s_n` and `m_n` of each of these examples.
    pub by_example: Vec<(f64, f64)>,
    /// Predictions by example: one per target.
    pub predictions: Vec<Vec<f64>>,
    /// Losses by example: one per target.
    pub losses: Vec<Vec<f64>>,
    /// Of spans by example: the scores of the predicted one's ends, summed, and those of the first token.
    pub sums: Vec<[f64; 2]>,
}

/// Evaluates the examples that have a target, at `theta`.
pub fn set_loss(
    objective: &(impl Objective + ?Sized),
    theta: &ParamMap,
    examples: &[Example],
    by_length: &[usize],
) -> Result<SetLoss> {
    Evaluator::new(examples, by_length).loss(objective, theta)
}

/// A set of examples in batches, to be evaluated many times.
pub struct Evaluator<'a> {
    examples: &'a [Example],
    /// Indices of the examples of each batch.
    parts: Vec<Vec<usize>>,
    /// Batches that [`Evaluator::loss_until`] evaluates before it asks.
    blocks: Vec<Range<usize>>,
    /// Of the first few batches, what is the same each time.
    prefixes: Vec<Option<Prefix>>,
    /// Which of the examples that have a target are one draw.
    clusters: Clusters,
}

impl<'a> Evaluator<'a> {
    /// `by_length`: indices of the examples that have a target, shortest first.
    pub fn new(examples: &'a [Example], by_length: &[usize]) -> Evaluator<'a> {
        Evaluator::of(examples, parts(examples, by_length, BATCH.0, BATCH.1))
    }

    /// As [`Evaluator::new`], each example in a batch of its own whose first index is the example's number: for objectives with
    /// noise, which then depends neither on the other examples nor on how they are cut into batches.
    pub fn one_by_one(examples: &'a [Example], by_length: &[usize]) -> Evaluator<'a> {
        Evaluator::of(examples, by_length.iter().map(|&n| vec![n]).collect())
    }

    /// As [`Evaluator::new`], for [`Evaluator::loss_until`]: no batch holds examples of two blocks. Together the blocks are `by_length`.
    pub fn in_blocks(examples: &'a [Example], by_length: &[Vec<usize>]) -> Evaluator<'a> {
        let (mut cut, mut blocks) = (Vec::new(), Vec::new());
        for block in by_length {
            let from = cut.len();
            cut.extend(parts(examples, block, BATCH.0, BATCH.1));
            blocks.push(from..cut.len());
        }
        Evaluator { blocks, ..Evaluator::of(examples, cut) }
    }

    fn of(examples: &'a [Example], parts: Vec<Vec<usize>>) -> Evaluator<'a> {
        let clusters = data::clusters(examples.iter().filter(|example| example.targets() > 0));
        Evaluator { examples, blocks: Vec::new(), parts, prefixes: Vec::new(), clusters }
    }

    /// Evaluates once the part of the model that has no parameter which `moves`, and keeps up to `bytes` of it: the
    /// losses to come are at a `theta` that differs in parameters which move only.
    pub fn keep_still(
        &mut self,
        objective: &(impl Objective + ?Sized),
        theta: &ParamMap,
        moves: impl Fn(&str) -> bool,
        bytes: usize,
    ) -> Result<()> {
        let mut left = bytes;
        for i in 0..self.parts.len() {
            let prefix = objective.prefix(theta, &self.batch(i), &moves)?;
            let size = prefix.as_ref().map_or(0, |prefix| prefix.hidden.size() * size_of::<f32>());
            if size == 0 || size > left {
                break;
            }
            left -= size;
            self.prefixes.push(prefix);
        }
        Ok(())
    }

    fn batch(&self, i: usize) -> Batch {
        let members: Vec<&Example> = self.parts[i].iter().map(|&n| &self.examples[n]).collect();
        // Only noise goes by the number of the first, and a noisy batch is one example.
        Batch::new(&members, self.parts[i].first().copied().unwrap_or(0))
    }

    /// Loss and predictions at `theta`.
    pub fn loss(&self, objective: &(impl Objective + ?Sized), theta: &ParamMap) -> Result<SetLoss> {
        let mut at = SetLoss::nothing(self.examples.len());
        self.add(objective, &params::detached(theta), 0..self.parts.len(), &mut at)?;
        self.sum(&mut at);
        Ok(at)
    }

    /// As [`Evaluator::loss`], block by block until what is known is `enough`: of the examples of these blocks alone.
    pub fn loss_until(
        &self,
        objective: &(impl Objective + ?Sized),
        theta: &ParamMap,
        enough: impl Fn(&SetLoss) -> bool,
    ) -> Result<SetLoss> {
        let (theta, mut at) = (params::detached(theta), SetLoss::nothing(self.examples.len()));
        for block in &self.blocks {
            self.add(objective, &theta, block.clone(), &mut at)?;
            self.sum(&mut at);
            if enough(&at) {
                break;
            }
        }
        Ok(at)
    }

    /// Puts the losses and predictions of some of the batches to those that are known.
    fn add(
        &self,
        objective: &(impl Objective + ?Sized),
        theta: &ParamMap,
        parts: Range<usize>,
        at: &mut SetLoss,
    ) -> Result<()> {
        let evaluated = threads::each(parts.len(), |i| {
            let i = parts.start + i;
            let batch = self.batch(i);
            let outputs = match self.prefixes.get(i) {
                Some(Some(prefix)) => objective.losses_after(prefix, theta, &batch)?,
                _ => objective.losses(theta, &batch)?,
            };
            let windows: Vec<Option<&Window>> =
                self.parts[i].iter().map(|&n| self.examples[n].window.as_ref()).collect();
            Evaluated::new(&outputs, &batch, &windows)
        })?;
        for (part, batch) in self.parts[parts].iter().zip(evaluated) {
            let (mut said, mut lost) = (batch.predictions.into_iter(), batch.losses.into_iter());
            part.iter().zip(batch.sums).for_each(|(&n, sums)| at.sums[n] = sums);
            for (&n, targets) in part.iter().zip(batch.targets) {
                at.losses[n] = lost.by_ref().take(targets).collect();
                at.predictions[n] = said.by_ref().take(targets).collect();
            }
        }
        Ok(())
    }

    /// Sums up what is known, in the order of the examples.
    fn sum(&self, at: &mut SetLoss) {
        let used: Vec<usize> = at.known().collect();
        let targets: Vec<f64> = used.iter().map(|&n| at.losses[n].len() as f64).collect();
        let sums: Vec<f64> = used.iter().map(|&n| at.losses[n].iter().sum()).collect();
        let count: f64 = targets.iter().sum();
        at.loss = sums.iter().sum::<f64>() / count;
        at.loss_se = match self.parts.iter().map(Vec::len).sum::<usize>() == used.len() {
            true => self.clusters.ratio_se(&sums, &targets),
            false => data::clusters(used.iter().map(|&n| &self.examples[n])).ratio_se(&sums, &targets),
        };
        (at.examples, at.targets) = (used.len(), count as usize);
        at.by_example = sums.into_iter().zip(targets).collect();
    }
}

impl SetLoss {
    /// Of so many examples none is known yet.
    fn nothing(examples: usize) -> SetLoss {
        SetLoss {
            loss: f64::NAN,
            loss_se: f64::NAN,
            examples: 0,
            targets: 0,
            by_example: Vec::new(),
            predictions: vec![Vec::new(); examples],
            losses: vec![Vec::new(); examples],
            sums: vec![[f64::NEG_INFINITY; 2]; examples],
        }
    }

    /// Which examples were evaluated, of those that have a target.
    pub fn known(&self) -> impl Iterator<Item = usize> + '_ {
        self.losses.iter().enumerate().filter(|(_, own)| !own.is_empty()).map(|(n, _)| n)
    }
}

/// Losses and predictions of a batch, example by example, and how many each example has.
struct Evaluated {
    /// Of each target `[M]`.
    losses: Vec<f64>,
    /// `m_n` `[B]`
    targets: Vec<usize>,
    /// Class (or token) with the highest score, or the regression output, of each target `[M]`.
    predictions: Vec<f64>,
    /// As [`SetLoss::sums`] `[B]`; empty but of spans.
    sums: Vec<[f64; 2]>,
}

impl Evaluated {
    fn new(outputs: &Outputs, batch: &Batch, windows: &[Option<&Window>]) -> Result<Evaluated> {
        let mut targets = vec![0usize; batch.len()];
        batch.targets.owners.iter().for_each(|owner| targets[*owner] += 1);
        let losses = params::with_values(&outputs.losses, |l| l.iter().map(|x| f64::from(*x)).collect())?;
        let mut sums = Vec::new();
        let predictions = match (&batch.targets.labels, outputs.scores.rank()) {
            (Labels::Ends(_), _) => {
                let found = params::with_values(&outputs.scores, |s| spans(s, &batch.offsets, windows))?;
                let (spans, own) = found.into_iter().unzip();
                sums = own;
                spans
            }
            (_, 1) => params::with_values(&outputs.scores, |v| v.iter().map(|x| f64::from(*x)).collect())?,
            _ => outputs.scores.argmax(1)?.to_vec1::<u32>()?.into_iter().map(f64::from).collect(),
        };
        Ok(Evaluated { losses, targets, predictions, sums })
    }
}

/// The best span of each example, within its window where it has one, as one number, from two scores of each token; and its sum
/// of scores beside that of the first token.
fn spans(scores: &[f32], offsets: &[usize], windows: &[Option<&Window>]) -> Vec<(f64, [f64; 2])> {
    let pairs = scores.as_chunks::<2>().0;
    let found = |(own, window): (&[usize], &Option<&Window>)| {
        let tokens = window.map_or(0..own[1] - own[0], |window| window.tokens.clone());
        let (ends, sum) = span::best(&pairs[own[0] + tokens.start..own[0] + tokens.end]);
        let nothing = pairs[own[0]].iter().map(|score| f64::from(*score)).sum();
        (span::code(ends.map(|token| token + tokens.start as u32)), [sum, nothing])
    };
    offsets.windows(2).zip(windows).map(found).collect()
}

/// The answer to a question from what was found in its windows: that of the highest sum, the earlier where two are equal; where
/// there may be none, nothing if the first token's sum is not lower in any window.
fn answer(windows: &[Example], found: &[Vec<f64>], sums: &[[f64; 2]]) -> Option<(String, Vec<String>)> {
    let best = (1..windows.len()).fold(0, |best, i| if sums[i][0] > sums[best][0] { i } else { best });
    let window = windows.get(best)?.window.as_ref()?;
    let nothing = sums.iter().map(|own| own[1]).fold(f64::INFINITY, f64::min);
    let said = match window.question.unanswerable && nothing >= sums[best][0] {
        true => String::new(),
        false => window.text(span::ends(*found[best].first()?)),
    };
    Some((said, window.question.answers.clone()))
}

/// Says so where the predictions of a stored classifier of so many classes are clearly worse than chance, and in which order of
/// classes they would fit: a classifier whose names say nothing (`LABEL_0`) may number them in another order than the data.
pub fn tell_other_order(place: impl Display, classes: usize, loss: &SetLoss, examples: &[Example]) {
    let Predictions { predicted, truth, .. } = predictions(loss, examples, Names::default());
    let whole = |labels: &[f64]| labels.iter().map(|label| *label as usize).collect::<Vec<_>>();
    if let Some(other) = other_order(&whole(&truth), &whole(&predicted), classes) {
        let order: Vec<String> =
            other.order.iter().enumerate().map(|(k, class)| format!("{k} is {class}")).collect();
        progress::warn(format!(
            "{place}: the stored classifier is right for {:.1} % of the examples, clearly below chance. If its class {}, it is \
             right for {:.1} %: number the labels of the data as the checkpoint does, and freeze them again",
            100.0 * other.accuracy,
            order.join(", "),
            100.0 * other.better
        ));
    }
}

/// Names and values of these metrics.
pub fn metrics(scoring: &Scoring, loss: &SetLoss, examples: &[Example]) -> Vec<(String, f64)> {
    let predictions = predictions(loss, examples, scoring.names.clone());
    scoring.metrics.iter().map(|metric| (metric.name.to_string(), metric.value(&predictions))).collect()
}

/// What was said at the targets of these examples, beside what is right; of questions, the answer to each.
pub fn predictions(loss: &SetLoss, examples: &[Example], names: Names) -> Predictions {
    if examples.iter().any(|example| example.window.is_some()) {
        let mut end = 0;
        let answer = |own: &[Example]| {
            let place = end..end + own.len();
            end = place.end;
            answer(own, loss.predictions.get(place.clone())?, loss.sums.get(place)?)
        };
        return answers::predictions(questions::each(examples).filter_map(answer));
    }
    let targets = |(own, e): (&Vec<f64>, &Example)| {
        own.iter().copied().zip(e.target.labels.numbers()).collect::<Vec<_>>()
    };
    let (predicted, truth) = loss.predictions.iter().zip(examples).flat_map(targets).unzip();
    let lengths = loss.predictions.iter().map(Vec::len).collect();
    Predictions { predicted, truth, lengths, names }
}

/// Losses by example and target; of questions the mean over the windows of each.
pub fn losses(loss: &SetLoss, examples: &[Example]) -> Vec<Vec<f64>> {
    let mut all = loss.losses.iter();
    let own = |own: &[Example]| {
        let losses: Vec<f64> = all.by_ref().take(own.len()).flatten().copied().collect();
        if own.iter().any(|example| example.window.is_some()) { vec![stats::mean(&losses)] } else { losses }
    };
    questions::each(examples).map(own).collect()
}
