//! `freeze`: text or a labelled table to a frozen evaluation set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::source::{Source, check_fraction, fraction_of, tell};
use super::{check_extension, checkpoint};
use crate::data::frozen::FrozenSet;
use crate::data::glue::{Holdout, Split};
use crate::data::row::{Row, Rows};
use crate::data::{Example, text};
use crate::draw::panels::counted;
use crate::error::{Error, Result};
use crate::model::Checkpoint;
use crate::model::freeze::{frozen, longest};
use crate::progress;
use crate::provenance::{self, Provenance};
use crate::rng::Stream;
use crate::tasks::Answer;

/// Freeze an evaluation set: the same examples, and the same masked tokens, for every later command.
#[derive(clap::Args, Clone, Debug)]
pub struct Freeze {
    #[arg(long, value_name = "C", help = checkpoint("Checkpoint whose tokenizer is used"))]
    pub checkpoint: PathBuf,
    /// Folder with the tokenizer's files, where the checkpoint has none of its own
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// Plain text, one example a line, for what the model was pre-trained for: masked tokens, next tokens, or removed spans
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["task", "table", "conll", "squad"])]
    pub text: Vec<PathBuf>,
    #[command(flatten)]
    pub source: Source,
    /// Which split of the task [default: dev]; only supersense has a test split
    #[arg(long, value_name = "train|dev|test", conflicts_with = "text")]
    pub split: Option<Split>,
    /// Use the train/dev split that `train` makes with this --seed, instead of the files' own
    #[arg(long, value_enum, value_name = "SPLIT", conflicts_with = "text")]
    pub holdout: Option<Holdout>,
    /// Take only the training examples that `train --fraction F` uses (needs --holdout)
    #[arg(long, default_value_t = 1.0, value_name = "F", requires = "holdout")]
    pub fraction: f64,
    /// Draw this many examples, without replacement, kept in file order [default: all]
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    /// Cut examples to this many tokens, special tokens included [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    /// Lay the lines of text end to end, an end token behind each, and cut them into blocks of --max-len tokens; for causal
    /// language models
    #[arg(long, requires = "text")]
    pub pack: bool,
    /// Skip lines with fewer words than this
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub min_words: usize,
    /// Seed of the draw and of the masking
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The set to write (.safetensors)
    #[arg(long, value_name = "SET.safetensors")]
    pub out: PathBuf,
}

/// A set before it is written.
pub struct Frozen {
    pub set: FrozenSet,
    /// The token that it is padded with.
    pad: u32,
    classes: Vec<String>,
    /// Whose tokens it is of.
    pub checkpoint: Checkpoint,
}

impl Freeze {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "safetensors")?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let Frozen { set, pad, classes, checkpoint } = self.make()?;
        set.write(pad)?;
        provenance.checkpoint("checkpoint", &self.checkpoint, &checkpoint.hash)?;
        self.source.note(&mut provenance)?;
        for path in &self.text {
            provenance.input_file("text", path)?;
        }
        provenance.write(&provenance::beside(&self.out))?;
        let targets: usize = set.examples.iter().map(Example::targets).sum();
        let empty = set.examples.iter().filter(|e| e.targets() == 0).count();
        let mut text = format!("{}: {} examples, {targets} targets", self.out.display(), set.examples.len());
        text += &format!(", longest {} tokens", set.longest());
        if set.kind.spec().answer == Answer::Class {
            tell_empty_classes(&set, &classes);
            text += &format!(", {} classes", classes.len());
        }
        match empty {
            0 => progress::result(text),
            _ => progress::excluded_result(format!("{text}, {} without a target", counted(empty, "example"))),
        }
        progress::answer(|| {
            json!({
                "out": self.out, "examples": set.examples.len(), "targets": targets, "without_target": empty,
                "longest": set.longest(), "labels": set.label_names(),
            })
        });
        Ok(())
    }

    /// The set that is to be written; nothing is.
    pub fn make(&self) -> Result<Frozen> {
        check_fraction(self.fraction)?;
        if self.text.is_empty() {
            self.source.check("--text FILE, ")?;
        }
        let checkpoint = Checkpoint::open(&self.checkpoint)?.with_tokenizer(self.tokenizer.as_deref());
        let source = self.source.for_model(&checkpoint);
        let max_len = longest(self.max_len, &checkpoint.config)?;
        let mut metadata = BTreeMap::from([("max_len".to_string(), max_len.to_string())]);
        let mut rows = if self.text.is_empty() {
            if let Some(task) = self.source.task()? {
                metadata.insert("task".into(), task.to_string());
            }
            metadata.insert("source".into(), self.source.path().display().to_string());
            self.labelled(&source, &mut metadata, &checkpoint)?
        } else {
            let names: Vec<String> = self.text.iter().map(|p| p.display().to_string()).collect();
            metadata.insert("source".into(), names.join(" "));
            let rows = text::read(&self.text, self.source.columns.as_ref(), self.min_words)?;
            tell(&rows);
            Rows { packed: self.pack, ..rows }
        };
        if self.source.table.is_none() {
            progress::note(format!("{}: {}", metadata["source"], rows.read_as));
        }
        metadata.insert("read_as".into(), rows.read_as.clone());
        if let Some(wanted) = self.examples {
            rows.rows = draw(rows.rows, wanted, self.seed)?;
        }
        let (set, pad) = frozen(&self.out, &rows, &checkpoint, max_len, self.seed, metadata)?;
        Ok(Frozen { set, pad, classes: rows.classes, checkpoint })
    }
}

impl Freeze {
    /// The rows of a split of the files, or of a part as `train` makes it.
    fn labelled(
        &self,
        source: &Source,
        metadata: &mut BTreeMap<String, String>,
        checkpoint: &Checkpoint,
    ) -> Result<Rows> {
        let split = self.split.unwrap_or(Split::Dev);
        let Some(holdout) = self.holdout else {
            if self.split.is_some() && source.task.is_none() {
                let fix = "give --holdout too, to split the file as `train` does";
                let sentence = format!("only a task has the file {split}; this data set is one file");
                return Err(Error::said("--split", sentence, fix));
            }
            if let Some(dev) = &source.dev {
                let fix = "give --holdout too, or freeze that file by --conll or --squad";
                return Err(Error::said("--dev", format!("{} needs --holdout", dev.display()), fix));
            }
            if source.in_parts() {
                // In the order of the checkpoint's own classes, where it has a head for words.
                let rows = source.parts(false, checkpoint.word_classes().as_deref())?.0;
                tell(&rows);
                return Ok(rows);
            }
            metadata.insert("split".into(), split.to_string());
            return source.read(split);
        };
        let (mut rows, training, _) =
            source.split(holdout, self.seed, checkpoint.word_classes().as_deref())?;
        let (part, range) = match split {
            Split::Train => ("train", 0..fraction_of(training, self.fraction)?),
            Split::Dev => ("held_out", training..rows.rows.len()),
            other => {
                let fix = "leave out --holdout: other splits are files of their own";
                return Err(Error::field("--split", "part", "train or dev with --holdout", other, fix));
            }
        };
        metadata.insert("split".into(), part.into());
        rows.rows = rows.rows[range].to_vec();
        Ok(rows)
    }
}

/// What is said of a set before the classes that it lacks: reports look for it.
pub const NO_EXAMPLE: &str = ": no example of class ";

/// Names the classes that no example has.
fn tell_empty_classes(set: &FrozenSet, names: &[String]) {
    let has = |class: usize| set.examples.iter().any(|e| e.target.labels.classes().contains(&(class as u32)));
    let empty: Vec<&str> = (0..names.len()).filter(|c| !has(*c)).map(|c| names[c].as_str()).collect();
    if !empty.is_empty() {
        progress::excluded(format!("{}{NO_EXAMPLE}{}", set.path.display(), empty.join(", ")));
    }
}

/// `wanted` rows, uniformly without replacement, in file order.
fn draw(rows: Vec<Row>, wanted: usize, seed: u64) -> Result<Vec<Row>> {
    if wanted == 0 || wanted > rows.len() {
        let expected = format!("from 1 to the {} examples there are", rows.len());
        return Err(Error::field("--examples", "number", expected, wanted, "choose a number in that range"));
    }
    let chosen = Stream::new(seed, "freeze/sample").sample(rows.len(), wanted);
    let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
    Ok(chosen.into_iter().filter_map(|i| rows[i].take()).collect())
}
