//! `examples`: which examples carry the Fisher information.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::options::defaults;
use super::{Compute, HeadOptions, check_resamples, checkpoint};
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::data::tokenizer::Tokenizer;
use crate::draw::numbers::significant;
use crate::error::{Error, Problem, Result};
use crate::evaluate::{SetLoss, set_loss};
use crate::fisher::files::{self as fisher_files, ByExample, PerExample};
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::fisher::shares::{self, Resamples, ShareRow};
use crate::model::Model;
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::tables;
use crate::tables::examples::ExampleRow;
use crate::tasks::{Answer, Names};

/// Which examples carry the Fisher information: the share of each, how unequal these are, and the examples with the most and
/// the least.
#[derive(clap::Args, Clone, Debug)]
pub struct Examples {
    /// Sums by example, as `fisher --per-example` writes them; with F.safetensors in the same folder each site is reported too
    #[arg(value_name = "F.examples.safetensors")]
    pub sums: PathBuf,
    /// The set that they are of, for the text, label, loss and prediction of each example
    #[arg(long, value_name = "SET", requires = "checkpoint")]
    pub set: Option<PathBuf>,
    #[arg(long, value_name = "C", requires = "set", help = checkpoint("Checkpoint that they are of"))]
    pub checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
    /// How many examples with the most, and with the least, are printed
    #[arg(long, default_value_t = 5, value_name = "K")]
    pub show: usize,
    #[command(flatten)]
    pub options: ExamplesOptions,
    /// Seed of the resamples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for examples, shares and curve (.csv)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What is asked of the shares.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct ExamplesOptions {
    /// A label is worth a look if its example has more than this many times the mean share ...
    #[arg(long, default_value_t = 10.0, value_name = "TIMES")]
    pub large: f64,
    /// ... and the model gives the label less than this probability
    #[arg(long, default_value_t = 0.1, value_name = "P")]
    pub unlikely: f64,
    /// Resampled corpora behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "B")]
    pub resamples: usize,
}

impl ExamplesOptions {
    /// What is out of its range.
    pub fn check(&self) -> std::result::Result<(), Problem> {
        check_resamples(self.resamples)?;
        if !(self.large >= 0.0 && self.large.is_finite()) {
            let fix = "10 asks about examples with ten times the mean share";
            return Err(Problem::new("large", "number", "at least 0", self.large, fix));
        }
        match (0.0..=1.0).contains(&self.unlikely) {
            true => Ok(()),
            false => {
                let fix = "write 10 % as 0.1";
                Err(Problem::new("unlikely", "probability", "in [0, 1]", self.unlikely, fix))
            }
        }
    }
}

/// Below so many effective examples no resample knows the tail.
const FEW: f64 = 30.0;
/// Letters of a text that are printed.
const LETTERS: usize = 72;

impl Examples {
    pub fn run(&self, command: &str) -> Result<()> {
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let fisher = self.fisher();
        let ByExample { own, used, metadata, .. } = self.read(&fisher)?;
        provenance.input_file("examples", &fisher_files::examples_path(&fisher))?;
        let groups = groups(&fisher, &own)?;
        let rows = match (&self.set, &self.checkpoint) {
            (Some(set), Some(checkpoint)) => {
                let told = self.told((set, checkpoint), &metadata, &mut provenance)?;
                rows(&groups[0].1, &used, |n| told.of(n))?
            }
            _ => rows(&groups[0].1, &used, |_| Ok(ExampleRow::default()))?,
        };
        let rows = self.looked_at(rows, &metadata);
        let resamples =
            Resamples { clusters: &own.clusters, number: self.options.resamples, seed: self.seed };
        let unequal = shares::rows(&groups, &resamples);
        tables::write(&self.out, &rows)?;
        tables::write(&self.out, &unequal)?;
        tables::write(&self.out, &shares::curve(&groups[0].1, &resamples))?;
        provenance.write(&self.out.join("provenance.toml"))?;
        self.tell(&rows, &unequal);
        progress::answer(|| self.object(&rows, &unequal));
        Ok(())
    }

    /// What is wrong with the options alone.
    pub(super) fn check(&self) -> Result<()> {
        Ok(self.options.check()?)
    }

    /// The Fisher file that the sums stand beside.
    fn fisher(&self) -> PathBuf {
        let name = self.sums.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.strip_suffix(".examples.safetensors") {
            Some(stem) => self.sums.with_file_name(format!("{stem}.safetensors")),
            None => self.sums.clone(),
        }
    }

    fn read(&self, fisher: &Path) -> Result<ByExample> {
        let path = fisher_files::examples_path(fisher);
        let fix = "make it with `fisherscape fisher --per-example`";
        let missing =
            || Error::field(path.display(), "sums", "a file of sums by example", "no such file", fix);
        let found = fisher_files::read_examples(fisher)?.ok_or_else(missing)?;
        match found.own.sums.sum() > 0.0 {
            true => Ok(found),
            false => Err(Error::field(path.display(), "sums", "above 0 somewhere", "0 everywhere", fix)),
        }
    }

    /// The set with its losses under the model that the sums are of.
    fn told(
        &self,
        (set, checkpoint): (&PathBuf, &PathBuf),
        metadata: &HashMap<String, String>,
        provenance: &mut Provenance,
    ) -> Result<Told> {
        let set = FrozenSet::read(set)?;
        if let Some(other) = metadata.get("set").filter(|hash| **hash != set.hash) {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let expected = format!("the one that the sums are of, {}", short(other));
            let fix = "give the set with which the Fisher information was computed";
            return Err(Error::field(set.path.display(), "set", expected, short(&set.hash), fix));
        }
        // A head that the checkpoint lacked was drawn from this seed.
        let drawn = metadata.get(fisher_files::HEAD_SEED).and_then(|seed| seed.parse().ok());
        let head = HeadOptions { strict_head: false, fresh_head: drawn.is_some() };
        let model = self.compute.open(checkpoint)?.model_for(&set, head.missing(drawn.unwrap_or(0)))?;
        if metadata.get("checkpoint").is_some_and(|hash| *hash != model.hash) {
            progress::note(format!(
                "{}: another checkpoint than that of the sums, so its losses are another model's",
                checkpoint.display()
            ));
        }
        provenance.checkpoint("checkpoint", checkpoint, &model.hash)?;
        provenance.input("set", &set.hash);
        Told::new(set, &model)
    }

    /// The rows, each with whether its label may be worth a look: where its example has much of the information and the model
    /// does not believe it. Both come of a wrong label, and of a hard example.
    fn looked_at(&self, rows: Vec<ExampleRow>, metadata: &HashMap<String, String>) -> Vec<ExampleRow> {
        // Labels that the model drew, or that were exchanged, are not those of the set.
        let of_labels = metadata.get("estimator").is_none_or(|estimator| estimator == "empirical");
        let asked = of_labels && !metadata.contains_key("control");
        let mean = 1.0 / rows.len() as f64;
        let look = |row: &ExampleRow| {
            let probability = row.probability.filter(|_| asked && row.label.is_some())?;
            Some(row.share > self.options.large * mean && probability < self.options.unlikely)
        };
        rows.into_iter().map(|row| ExampleRow { look: look(&row), ..row }).collect()
    }

    fn tell(&self, rows: &[ExampleRow], unequal: &[ShareRow]) {
        let Some((all, sites)) = unequal.split_first() else { return };
        say!("{}", headline(rows));
        say!("{}", measures(all));
        if all.effective < FEW {
            say!(
                "so few decide that the intervals are too narrow: the next example may have more than any here"
            );
        }
        let by = |a: &&ShareRow, b: &&ShareRow| a.effective.total_cmp(&b.effective);
        if let (Some(least), Some(most)) = (sites.iter().min_by(by), sites.iter().max_by(by)) {
            let site = |row: &ShareRow| format!("{} ({})", significant(row.effective, 3), row.group);
            say!("sites rest on {} to {} effective examples", site(least), site(most));
        }
        let shown = self.show.min(rows.len());
        say!("most informative:");
        rows[..shown].iter().for_each(|row| say!("{}", line(row)));
        say!("least informative:");
        rows[rows.len() - shown..].iter().rev().for_each(|row| say!("{}", line(row)));
        self.tell_labels(rows);
        say!("{}: {} examples", self.out.display(), rows.len());
    }

    fn tell_labels(&self, rows: &[ExampleRow]) {
        let asked = rows.iter().filter(|row| row.look.is_some()).count();
        if asked == 0 {
            return;
        }
        let found: Vec<&ExampleRow> = rows.iter().filter(|row| row.look == Some(true)).collect();
        say!(
            "labels worth a look: {} of {asked} (more than {} times the mean share, and the label below {} %). Hard examples look \
             the same as wrong labels",
            found.len(),
            significant(self.options.large, 3),
            significant(100.0 * self.options.unlikely, 3)
        );
        found.iter().take(self.show).for_each(|row| say!("{}", line(row)));
    }

    fn object(&self, rows: &[ExampleRow], unequal: &[ShareRow]) -> Value {
        let shown = self.show.min(rows.len());
        let look: Vec<&ExampleRow> = rows.iter().filter(|row| row.look == Some(true)).collect();
        let asked = rows.iter().any(|row| row.look.is_some());
        json!({
            "examples": rows.len(),
            "half": half(rows),
            "all": unequal.first(),
            "sites": unequal.get(1..),
            "most": rows.get(..shown),
            "least": rows.get(rows.len() - shown..),
            "labels_worth_a_look": asked.then_some(look),
        })
    }
}

/// What each example has in all parameters, and in those of each site where it is known which these are.
fn groups(fisher: &Path, own: &PerExample) -> Result<Vec<(String, Vec<f64>)>> {
    let all = own.sums.rows().into_iter().map(|row| row.sum()).collect();
    let mut groups = vec![("all".to_string(), all)];
    if !fisher.exists() {
        progress::note(format!("{}: not there, so sites are not reported", fisher.display()));
        return Ok(groups);
    }
    let fisher_files::Stored { diagonal, layout, .. } = fisher_files::read(fisher)?;
    let Some(checked) = fisher_files::read_sums(fisher, &diagonal)? else { return Ok(groups) };
    let scores = Scores::new(&layout, Granularity::Site, Aggregate::Sum, false);
    let by_site = scores.of_examples(&checked.sums);
    let columns = by_site.columns().into_iter().map(|column| column.to_vec());
    groups.extend(scores.names().iter().cloned().zip(columns));
    Ok(groups)
}

/// Rows by share, the largest first; `of` tells of an example of the set.
fn rows(values: &[f64], used: &[usize], of: impl Fn(usize) -> Result<ExampleRow>) -> Result<Vec<ExampleRow>> {
    let total: f64 = values.iter().sum();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let mut share_so_far = 0.0;
    let row = |(i, n): (usize, usize)| {
        let share = values[n] / total;
        share_so_far += share;
        let share_so_far = f64::min(share_so_far, 1.0);
        Ok(ExampleRow { rank: i + 1, example: used[n], share, share_so_far, ..of(used[n])? })
    };
    order.into_iter().enumerate().map(row).collect()
}

/// A set, what a model makes of it, and its texts.
struct Told {
    set: FrozenSet,
    loss: SetLoss,
    tokenizer: Option<Tokenizer>,
    names: Names,
}

impl Told {
    fn new(set: FrozenSet, model: &Model) -> Result<Told> {
        let loss = set_loss(model.objective(), &model.theta, &set.examples, &set.by_length())?;
        let tokenizer = model.tokenizer()?;
        let names = set.scoring().names;
        Ok(Told { set, loss, tokenizer, names })
    }

    /// What there is to say of an example of the set.
    fn of(&self, n: usize) -> Result<ExampleRow> {
        let fix = "give the set with which the Fisher information was computed";
        let count = self.set.examples.len();
        let place = self.set.path.display();
        let missing = || Error::field(place, "examples", format!("more than {n}"), count, fix);
        let example = self.set.examples.get(n).ok_or_else(missing)?;
        let losses = &self.loss.losses[n];
        let worst = (0..losses.len()).reduce(|a, b| if losses[b] > losses[a] { b } else { a });
        Ok(ExampleRow {
            targets: Some(losses.len()),
            loss: Some(losses.iter().sum::<f64>() / losses.len() as f64).filter(|loss| loss.is_finite()),
            text: self.tokenizer.as_ref().map(|tokenizer| tokenizer.text(&example.ids)).transpose()?,
            ..worst.map_or(ExampleRow::default(), |target| self.worst(example, n, target))
        })
    }

    /// Of the target with the largest loss.
    fn worst(&self, example: &Example, n: usize, target: usize) -> ExampleRow {
        let answer = self.set.kind.spec().answer;
        let word = |value: f64| match (answer, self.names.get(value as usize)) {
            (Answer::Class, Some(name)) => Some(name.clone()),
            (Answer::Class | Answer::Value, _) => Some(value.to_string()),
            (Answer::Token | Answer::Span, _) => None,
        };
        let truth = example.target.labels.numbers();
        let probability = libm::exp(-self.loss.losses[n][target]);
        ExampleRow {
            target: Some(target),
            label: truth.get(target).copied().and_then(word),
            prediction: self.loss.predictions[n].get(target).copied().and_then(word),
            probability: Some(probability).filter(|_| answer != Answer::Value),
            ..ExampleRow::default()
        }
    }
}

/// How many of the examples have half of the information.
fn half(rows: &[ExampleRow]) -> usize {
    1 + rows.iter().take_while(|row| row.share_so_far < 0.5).count()
}

/// The answer in a sentence.
fn headline(rows: &[ExampleRow]) -> String {
    let (few, n) = (half(rows), rows.len());
    match (few, rows.first()) {
        (1, Some(row)) => {
            let text = row.text.as_ref().map_or(String::new(), |text| format!(": {}", quoted(text)));
            format!("one example of {n} carries {} of the Fisher information{text}", percent(row.share))
        }
        _ => {
            let share = percent(few as f64 / n as f64);
            format!("{few} of {n} examples ({share}) carry half of the Fisher information")
        }
    }
}

fn measures(all: &ShareRow) -> String {
    let ends = |value: f64, low: Option<f64>, high: Option<f64>, write: fn(f64) -> String| {
        let ends = low.zip(high).map(|(low, high)| format!(" [{}, {}]", write(low), write(high)));
        write(value) + &ends.unwrap_or_default()
    };
    let number = |value: f64| significant(value, 3);
    format!(
        "top 1 % of the examples {}, top 10 % {}; Gini coefficient {}; as much as {} equal examples of {}",
        ends(all.top_1, all.top_1_low, all.top_1_high, percent),
        ends(all.top_10, all.top_10_low, all.top_10_high, percent),
        ends(all.gini, all.gini_low, all.gini_high, number),
        ends(all.effective, all.effective_low, all.effective_high, number),
        all.examples
    )
}

/// An example, for people.
fn line(row: &ExampleRow) -> String {
    let loss = row.loss.map_or(String::new(), |loss| format!("  loss {loss:7.3}"));
    let label = match (&row.label, &row.prediction) {
        (Some(label), Some(said)) if label == said => format!("  {label}"),
        (Some(label), Some(said)) => format!("  {label}, predicted {said}"),
        _ => String::new(),
    };
    let text = row.text.as_ref().map_or(String::new(), |text| format!("  {}", quoted(text)));
    let all = format!("  {:>9}  example {:<6}{loss}{label}{text}", percent(row.share), row.example);
    all.trim_end().to_string()
}

fn percent(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 3))
}

/// The beginning of a text, on one line.
fn quoted(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("\"{}...\"", &line[..end]),
        None => format!("\"{line}\""),
    }
}
