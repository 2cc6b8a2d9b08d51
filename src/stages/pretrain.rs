//! `pretrain`: training of a checkpoint or of a new model on text, as its architecture is pre-trained: encoders by masked
//! tokens, decoders by the next one, encoder-decoders by spans that are left out. Or a fresh head for a checkpoint.
//!
//! One line of text is one example. Each step of an encoder masks its batch anew, by the seed; spans are left out once. The
//! held-out examples are masked once and kept as a frozen set. The step's loss is the mean over the targets of its batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;

use super::history::Beside;
use super::source::tell;
use super::{Compute, checkpoint, history, with_se};
use crate::data::columns::Columns;
use crate::data::frozen::FrozenSet;
use crate::data::masking::{Masking, unigram_entropy};
use crate::data::row::Rows;
use crate::data::tokenizer::Tokenizer;
use crate::data::{Example, text, vocabulary};
use crate::dropout::Arm;
use crate::error::{Error, Result, check_at_most};
use crate::hub::VOCABULARIES;
use crate::model::checkpoint::UNFINISHED;
use crate::model::config::Computed;
use crate::model::freeze::{self, frozen, longest};
use crate::model::{Checkpoint, Model, architectures, forward};
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::rng::Stream;
use crate::train::{Config, HeldOut, Row, Run};
use crate::{files, params};

/// Train on text: encoders by masked tokens, decoders by the next one, encoder-decoders by removed spans; with --steps 0, add a
/// fresh language-model head (or draw a new model) and train nothing.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("start").args(["checkpoint", "config"])))]
pub struct Pretrain {
    #[arg(long, value_name = "C", help = checkpoint("Checkpoint to train further"))]
    pub checkpoint: Option<PathBuf>,
    /// Configuration of a new model, with its tokenizer's files next to it unless --vocab-size trains one
    #[arg(long, value_name = "CONFIG.json")]
    pub config: Option<PathBuf>,
    /// Train a lower-casing WordPiece vocabulary of at most this many pieces on the text
    #[arg(long, value_name = "N", requires = "config")]
    pub vocab_size: Option<usize>,
    /// Plain text to train on, one example a line
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "steps")]
    pub text: Vec<PathBuf>,
    /// Column of the text, where --text is a table such as JSON Lines or parquet
    #[arg(long, value_name = "NAME", requires = "text")]
    pub columns: Option<Columns>,
    /// Text to evaluate on, or the fraction of the training text to hold out for that (at most 1000 lines)
    #[arg(long, value_name = "FILE|FRACTION", default_value = "0.05")]
    pub held_out: Evaluation,
    /// Training steps [default: three passes over the text]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// Examples to a batch
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub batch: usize,
    /// Batches to a step, whose gradients are summed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub accumulate: usize,
    /// Highest learning rate; it falls linearly to 0. The default suits small models; BERT's was 1e-4
    #[arg(long, default_value_t = 5e-4)]
    pub lr: f64,
    /// Fraction of the steps in which the learning rate first rises from 0
    #[arg(long, default_value_t = 0.1, value_name = "F")]
    pub warmup: f64,
    /// AdamW's weight decay, for matrices and tables
    #[arg(long, default_value_t = 0.01, value_name = "D")]
    pub weight_decay: f64,
    /// Cut examples to this many tokens, special tokens included [default: 512, or the position table if shorter]
    #[arg(long, value_name = "T")]
    pub max_len: Option<usize>,
    /// Skip lines with fewer words than this
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub min_words: usize,
    /// As in `train`: none, uniform:P, gaussian:P, guided:RATES.csv and the others
    #[arg(long, value_name = "DROPOUT", default_value = "uniform:0.1")]
    pub dropout: Arm,
    #[command(flatten)]
    pub compute: Compute,
    /// Seed of fresh parameters, the held-out lines, the order, the masking and the dropout
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Where the held-out examples come from.
#[derive(Clone, Debug)]
pub enum Evaluation {
    Text(PathBuf),
    Fraction(f64),
}

impl FromStr for Evaluation {
    type Err = String;

    fn from_str(text: &str) -> Result<Evaluation, String> {
        match text.parse::<f64>() {
            Err(_) => Ok(Evaluation::Text(text.into())),
            Ok(fraction) if fraction > 0.0 && fraction < 1.0 => Ok(Evaluation::Fraction(fraction)),
            Ok(_) => Err("expected a file of text, or a fraction above 0 and below 1".into()),
        }
    }
}

/// Most lines that a fraction holds out: enough for a standard error of about a hundredth.
const HELD_OUT: usize = 1000;

/// Rows of the history.
const ROWS: usize = 20;

impl Pretrain {
    pub fn run(&self, command: &str) -> Result<()> {
        self.settings(1, 1).check("pretrain")?;
        if self.checkpoint.is_none() && self.config.is_none() {
            let fix = "give --checkpoint C to train it further, or --config CONFIG.json for a new model";
            return Err(Error::said("options", "no model: --checkpoint or --config is needed", fix));
        }
        check_at_most("steps", self.steps.unwrap_or(0), 10_000_000, "a batch of examples")?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        for path in &self.text {
            provenance.input_file("text", path)?;
        }
        if let Evaluation::Text(path) = &self.held_out {
            provenance.input_file("held-out", path)?;
        }
        self.dropout.note(&mut provenance)?;
        if self.text.is_empty() && (self.steps != Some(0) || self.vocab_size.is_some()) {
            let fix = "give --text FILE, one example a line";
            return Err(Error::said("options", "no text to train on", fix));
        }
        let parts = if self.text.is_empty() { None } else { Some(self.read()?) };
        let checkpoint =
            self.start(parts.as_ref().map(|(training, _)| training))?.on(&self.compute.place()?);
        match &self.checkpoint {
            Some(given) => provenance.checkpoint("checkpoint", given, &checkpoint.hash)?,
            None => provenance.input("checkpoint", &checkpoint.hash),
        }
        let model = match parts.filter(|_| self.steps != Some(0)) {
            None => checkpoint.with_pretraining_head(self.seed)?,
            Some(parts) => self.train(checkpoint, parts)?,
        };
        model.save(&self.out, None)?;
        provenance.write(&self.out.join("provenance.toml"))?;
        Model::close_folder(&self.out)?;
        let parameters = params::count(&model.theta);
        say!("{}: {parameters} parameters, language-model head", self.out.display());
        progress::answer(|| json!({"out": self.out, "parameters": parameters}));
        Ok(())
    }

    /// The training lines and the held-out lines.
    fn read(&self) -> Result<(Rows, Rows)> {
        let mut training = text::read(&self.text, self.columns.as_ref(), self.min_words)?;
        tell(&training);
        let fraction = match &self.held_out {
            Evaluation::Fraction(fraction) => *fraction,
            Evaluation::Text(path) => {
                let held_out = text::read(std::slice::from_ref(path), self.columns.as_ref(), self.min_words)?;
                tell(&held_out);
                return Ok((training, held_out));
            }
        };
        let n = training.rows.len();
        let wanted = ((fraction * n as f64 + 0.5).floor() as usize).clamp(1, HELD_OUT);
        if wanted >= n {
            let fix = "give more lines of text, or --held-out FILE";
            return Err(Error::field("--text", "lines", "at least 2", n, fix));
        }
        let chosen = Stream::new(self.seed, "pretrain/held-out").sample(n, wanted);
        let mut held_out = Rows::default();
        for (i, row) in std::mem::take(&mut training.rows).into_iter().enumerate() {
            let part = if chosen.binary_search(&i).is_ok() { &mut held_out } else { &mut training };
            part.rows.push(row);
        }
        Ok((training, held_out))
    }

    /// The checkpoint to train, or a new model; its tokenizer's files may be written on the way.
    fn start(&self, training: Option<&Rows>) -> Result<Checkpoint> {
        let Some(config) = &self.config else {
            let folder = self.checkpoint.as_deref().unwrap_or(Path::new(""));
            let checkpoint = Checkpoint::open(folder)?;
            checkpoint.check_gradients()?;
            Model::prepare_folder(folder, &self.out)?;
            return Ok(checkpoint);
        };
        let shape = architectures::read(config)?;
        if let Computed::ByCandle(_) = shape.architecture.computed {
            return Err(forward::refused(config.display(), shape.architecture));
        }
        let beside = config.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Model::prepare_folder(beside, &self.out)?;
        let (Some(size), Some(training)) = (self.vocab_size, training) else {
            if !VOCABULARIES.iter().any(|name| files::exists(&beside.join(name))) {
                let fix = "copy a tokenizer's files there, or give --vocab-size N and --text to train one";
                let sentence = "no tokenizer.json, vocab.txt or vocab.json next to the configuration";
                return Err(Error::said(beside.display(), sentence, fix));
            }
            return Checkpoint::untrained(shape, beside, self.seed);
        };
        let pieces = vocabulary::train(&training.rows, size)?;
        progress::note(format!("vocabulary: {} pieces", pieces.len()));
        Tokenizer::write(&self.out, &pieces, shape.positions.longest())?;
        Checkpoint::untrained(shape.with_vocabulary(pieces.len()), &self.out, self.seed)
    }

    fn train(&self, checkpoint: Checkpoint, (training, held_out): (Rows, Rows)) -> Result<Model> {
        let max_len = longest(self.max_len, &checkpoint.config)?;
        let (set, pad) = self.held_out_set(&held_out, &checkpoint, max_len)?;
        let tokenizer = checkpoint.tokenizer()?;
        let text = self.text.first().map_or(Path::new("--text"), PathBuf::as_path);
        let (examples, _) = freeze::examples(text, &training, &tokenizer, (set.kind, max_len, self.seed))?;
        let fix = "the tokenizer files are not those of this checkpoint: fetch both again";
        checkpoint.check_examples(set.kind, &examples, "tokens of --text", fix)?;
        let dropout =
            self.dropout.dropout(&checkpoint.config.sites(), checkpoint.config.head_dropout, self.seed)?;
        let masking = set.kind.spec().masked.then(|| Masking {
            special: tokenizer.special.clone(),
            vocabulary: checkpoint.config.vocab_size,
            seed: self.seed,
        });
        let mut model = checkpoint.with_pretraining_head(self.seed)?;
        let each = examples.len().div_ceil(self.batch.saturating_mul(self.accumulate));
        let steps = self.steps.unwrap_or(3 * each);
        let config = self.settings(steps, steps.div_ceil(ROWS));
        let theta = std::mem::take(&mut model.theta);
        let run = Run {
            network: model.network()?,
            examples: &examples,
            masking: masking.as_ref(),
            held_out: HeldOut { examples: &set.examples, kind: set.kind, scoring: set.scoring() },
            dropout: dropout.as_ref(),
            config: &config,
            snapshots: None,
        };
        let entropy = unigram_entropy(&set.examples);
        let tokens: usize = examples.iter().map(Example::size).sum();
        progress::note(format!(
            "{} examples of {tokens} tokens, {steps} steps; held out {} examples, unigram entropy {entropy:.4}",
            examples.len(),
            set.examples.len(),
        ));
        let state = self.out.join(UNFINISHED);
        let report = |row: &Row, _, _: &_, _| {
            let loss = with_se(row.loss, row.loss_se);
            let text = format!("train loss {:.4}, held-out loss {loss}", row.train_loss);
            progress::note(format!("step {} of {steps}: {text}", row.step));
            Ok(())
        };
        let (theta, rows) = run.train(theta, &state, report)?;
        model.theta = theta;
        let constants = [("unigram_entropy", entropy)];
        let beside = Beside {
            constants: &constants,
            trained_on: examples.len(),
            noisy: dropout.is_some_and(|d| d.in_evaluation()),
            said: None,
        };
        history::write(&self.out, &rows, each, &beside)?;
        set.write(pad)?;
        Ok(model)
    }

    /// The held-out examples; of an encoder masked once.
    fn held_out_set(&self, rows: &Rows, checkpoint: &Checkpoint, max_len: usize) -> Result<(FrozenSet, u32)> {
        let source: Vec<String> = match &self.held_out {
            Evaluation::Text(path) => vec![path.display().to_string()],
            Evaluation::Fraction(_) => self.text.iter().map(|path| path.display().to_string()).collect(),
        };
        let metadata = BTreeMap::from([
            ("source".to_string(), source.join(" ")),
            ("max_len".to_string(), max_len.to_string()),
            ("split".to_string(), "held_out".to_string()),
        ]);
        frozen(&self.out.join("held_out.safetensors"), rows, checkpoint, max_len, self.seed, metadata)
    }

    fn settings(&self, steps: usize, every: usize) -> Config {
        Config {
            steps,
            every: every.max(1),
            patience: 0,
            batch: self.batch,
            accumulate: self.accumulate,
            lr: self.lr,
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            clip: 1.0,
            snapshots: 0,
            seed: self.seed,
        }
    }
}
