//! Checkpoints in the Hugging Face layout: read with every name it may have had, written so that transformers loads
//! the same model.
//!
//! `weights` reads the tensors under canonical names; here they become the model that a head asks for, and
//! what is missing, left over or broken is said. The tied decoder is not stored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::json;

use super::architectures;
use super::config::ModelConfig;
use super::layout::{Kind as ParameterKind, Parameter};
use super::modules::{Head, HeadModules};
use super::network::Network;
use super::ops::Backend;
use super::weights;
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::data::tokenizer::Tokenizer;
use crate::dropout::Place;
use crate::error::{Error, Result};
use crate::hub::{self, TOKENIZER_FILES, Wanted};
use crate::params::{self, ParamMap};
use crate::tasks::{Answer, Kind};
use crate::{embedded, files, progress};

/// More classes than any task has: beyond, a label is a mistake.
const MAX_CLASSES: usize = 10_000;

/// A checkpoint's files, read.
pub struct Checkpoint {
    pub folder: PathBuf,
    pub config: ModelConfig,
    /// Everything float in the file, under canonical names.
    tensors: ParamMap,
    /// BLAKE3 over the configuration and the weights.
    pub hash: String,
    /// Where its models run.
    device: Device,
}

/// A network with its parameters.
#[derive(Clone)]
pub struct Model {
    pub network: Network,
    pub theta: ParamMap,
    /// [`Checkpoint::hash`] of what it came from.
    pub hash: String,
    /// Hash of the tokenizer's vocabulary, if the checkpoint has a tokenizer.
    pub vocabulary: Option<String>,
    folder: PathBuf,
}

/// What happens to a task head that the checkpoint lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingHead {
    /// Drawn from this seed, and said.
    Initialise { seed: u64 },
    /// An error.
    Refuse,
}

impl MissingHead {
    /// Refused if `strict`, else drawn from the seed.
    pub fn unless(strict: bool, seed: u64) -> MissingHead {
        if strict { MissingHead::Refuse } else { MissingHead::Initialise { seed } }
    }
}

impl Checkpoint {
    /// Reads a checkpoint's configuration and weights. `given` is a folder, `embedded` (the one in the binary), or a name
    /// on the hub, which is fetched where the cache does not have it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a folder that is none, an unsupported configuration, weights that are missing or broken; and
    /// as [`hub::locate`].
    pub fn open(given: &Path) -> Result<Checkpoint> {
        let folder = &hub::locate(given, Wanted::Checkpoint)?.folder;
        if !files::is_folder(folder) {
            let fix = "give a folder with config.json, the weights and the tokenizer, as `hf download MODEL --local-dir \
                       FOLDER` makes it, or a name on the hub, such as bert-base-uncased";
            return Err(Error::field(folder.display(), "checkpoint", "a folder", "none", fix));
        }
        weights::check(folder)?;
        let config = architectures::read(&folder.join("config.json"))?;
        let (tensors, sources) = weights::read(folder, &config)?;
        let mut hash = blake3::Hasher::new();
        for path in sources.iter().chain([&folder.join("config.json")]) {
            hash.update(files::hash_file(path)?.as_bytes());
        }
        Ok(Checkpoint {
            folder: folder.to_path_buf(),
            config,
            tensors,
            hash: hash.finalize().to_hex().to_string(),
            device: Device::Cpu,
        })
    }

    /// The same checkpoint, whose models run on this device. They run on the CPU unless this is said.
    pub fn on(self, device: Device) -> Checkpoint {
        Checkpoint { device, ..self }
    }

    /// A model that nothing has trained yet, its encoder drawn from `seed` as transformers initialises BERT: the row of
    /// `[PAD]` is zero. `folder` holds the tokenizer's files.
    pub fn untrained(config: ModelConfig, folder: &Path, seed: u64) -> Result<Checkpoint> {
        let tokenizer = Tokenizer::load(folder)?;
        let mut tensors = ParamMap::new();
        for parameter in config.encoder() {
            let mut value = parameter.initial(config.initializer_range, seed)?;
            if parameter.kind == ParameterKind::TokenTable {
                let keep = |row: u32| if row == tokenizer.special.pad { 0f32 } else { 1.0 };
                let keep: Vec<f32> = (0..config.vocab_size as u32).map(keep).collect();
                value =
                    value.broadcast_mul(&Tensor::from_vec(keep, (config.vocab_size, 1), &Device::Cpu)?)?;
            }
            tensors.insert(parameter.name, value);
        }
        let text = format!("{} {seed} {}", json!(config.json), tokenizer.vocabulary_hash());
        Ok(Checkpoint {
            folder: folder.to_path_buf(),
            config,
            tensors,
            hash: files::hash(text.as_bytes()),
            device: Device::Cpu,
        })
    }

    /// The checkpoint's tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::load(&self.folder)
    }

    /// The head that a set's labels ask for.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if the checkpoint's classifier has another number of outputs than the labels need.
    pub fn head_for(&self, set: &FrozenSet) -> Result<Head> {
        let stored = self.stored_outputs();
        let place = set.path.display();
        match set.kind {
            Kind::MaskedLm => Ok(Head::MaskedLm),
            Kind::Regression => match stored {
                None | Some(1) => Ok(Head::Regression),
                Some(n) => {
                    let expected = format!("int64 classes for the checkpoint's {n}-way classifier");
                    let fix = "give a checkpoint without a classifier, or one with a single output";
                    Err(Error::field(place, "labels", expected, "float32 values", fix))
                }
            },
            Kind::Classes => {
                let classes = set.examples.iter().flat_map(|e| e.target.labels.classes());
                let largest = classes.max().map_or(0, |class| *class as usize);
                let named = set.label_names().map(|names| names.len());
                let classes = stored.or(named).unwrap_or((largest + 1).min(MAX_CLASSES));
                if stored.is_some() {
                    self.check_label_order(set)?;
                }
                if largest >= classes {
                    let from = match (stored, named) {
                        (Some(_), _) => "the checkpoint's classifier",
                        (None, Some(_)) => "the set's label names",
                        (None, None) => "the most that a fresh head may have",
                    };
                    let fix = "use the checkpoint that goes with this set, or make the set again";
                    let expected = format!("classes 0..={} ({from})", classes.saturating_sub(1));
                    return Err(Error::field(place, "labels", expected, largest, fix));
                }
                Ok(Head::Classes(classes))
            }
        }
    }

    /// Outputs of the task head that the checkpoint has, if it has one.
    fn stored_outputs(&self) -> Option<usize> {
        match (self.config.architecture.modules)(&self.config, Head::Regression).head {
            HeadModules::Pooled { output, .. } => self.tensors.get(&output.weight)?.dims().first().copied(),
            HeadModules::Decoder { .. } => None,
        }
    }

    /// Whether the classifier's label names, where it has real ones, stand in the set's order.
    fn check_label_order(&self, set: &FrozenSet) -> Result<()> {
        let lower = |name: &str| name.to_ascii_lowercase();
        let Some(names) = set.label_names() else { return Ok(()) };
        let Some(map) = self.config.json.get("id2label").and_then(|m| m.as_object()) else { return Ok(()) };
        let own: Vec<String> =
            (0..map.len()).filter_map(|i| map.get(&i.to_string())?.as_str().map(lower)).collect();
        let wanted: Vec<String> = names.iter().map(|name| lower(name)).collect();
        let as_set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        if own == wanted || as_set(&own) != as_set(&wanted) {
            return Ok(()); // the same order, or names such as LABEL_0 that say nothing
        }
        let fix = "number the labels of the data as the checkpoint does, and freeze them again";
        let expected = format!("in the classifier's order: {}", own.join(", "));
        Err(Error::field(set.path.display(), "labels", expected, names.join(", "), fix))
    }

    /// Whether examples fit the checkpoint's tables; `fix` says what to do where they do not.
    pub fn check_examples(&self, kind: Kind, examples: &[Example], place: &str, fix: &str) -> Result<()> {
        check_examples(&self.config, kind, examples, place, fix)
    }

    /// The model for a frozen set, checked against it.
    pub fn model_for(self, set: &FrozenSet, missing: MissingHead) -> Result<Model> {
        let head = self.head_for(set)?;
        let model = self.model(head, missing)?;
        model.check(set)?;
        Ok(model)
    }

    /// The model with this head. Parameters that it does not use are left out and named.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a missing tensor, a wrong shape, a value that is not finite, a masked-LM head that the
    /// checkpoint lacks, or a task head that it lacks where that is refused.
    pub fn model(mut self, head: Head, missing: MissingHead) -> Result<Model> {
        if head == Head::MaskedLm {
            self.check_tied()?;
        }
        let network = Network::new(self.config.clone(), head, Backend::of(&self.device));
        let mut theta = ParamMap::new();
        let mut fresh = Vec::new();
        for parameter in network.layout.parameters() {
            let absent = !self.tensors.contains_key(&parameter.name);
            let value = match (absent && parameter.place == Place::HEAD, head, missing) {
                (true, Head::Classes(_) | Head::Regression, MissingHead::Initialise { seed }) => {
                    fresh.push(parameter.name.clone());
                    parameter.initial(self.config.initializer_range, seed)?
                }
                (true, Head::MaskedLm, _) => {
                    let fix = "add a fresh masked-LM head: fisherscape pretrain --steps 0 --checkpoint FOLDER --out NEW";
                    return Err(Error::field(
                        self.folder.display(),
                        &parameter.name,
                        "present",
                        "no masked-LM head",
                        fix,
                    ));
                }
                _ => self.take(parameter)?,
            };
            theta.insert(parameter.name.clone(), value.to_device(&self.device)?);
        }
        if let (false, MissingHead::Initialise { seed }) = (fresh.is_empty(), missing) {
            self.tell_fresh(&fresh, seed);
        }
        self.tell_unused();
        let has_tokenizer = TOKENIZER_FILES[..2].iter().any(|name| files::exists(&self.folder.join(name)));
        let vocabulary = if has_tokenizer { Some(self.tokenizer()?.vocabulary_hash()) } else { None };
        Ok(Model { network, theta, hash: self.hash, vocabulary, folder: self.folder })
    }

    /// The masked-LM model, with a fresh head where the checkpoint has none.
    pub fn with_masked_lm_head(mut self, seed: u64) -> Result<Model> {
        let mut fresh = Vec::new();
        let layout = self.config.layout(Head::MaskedLm);
        for parameter in layout.parameters().iter().filter(|p| p.place == Place::HEAD) {
            if !self.tensors.contains_key(&parameter.name) {
                let value = parameter.initial(self.config.initializer_range, seed)?;
                fresh.push(parameter.name.clone());
                self.tensors.insert(parameter.name.clone(), value);
            }
        }
        match fresh.is_empty() {
            true => progress::note(format!("{}: has a masked-LM head already, kept", self.folder.display())),
            false => self.tell_fresh(&fresh, seed),
        }
        self.model(Head::MaskedLm, MissingHead::Refuse)
    }

    fn take(&mut self, parameter: &Parameter) -> Result<Tensor> {
        let (name, shape) = (parameter.name.as_str(), parameter.shape.as_slice());
        let wrong = |expected: String, found: String, fix: &str| {
            Error::field(self.folder.display(), name, expected, found, fix)
        };
        let Some(tensor) = self.tensors.remove(name) else {
            let fix = "the weights are not those of the configuration: fetch both again";
            return Err(wrong(format!("a tensor of shape {shape:?}"), "no such tensor".into(), fix));
        };
        if tensor.dims() != shape {
            let fix = "config.json and the weights disagree: fetch both again";
            return Err(wrong(format!("of shape {shape:?}"), format!("{:?}", tensor.dims()), fix));
        }
        let bad = params::with_values(&tensor, |v| v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i])))?;
        match bad {
            None => Ok(tensor),
            Some((i, value)) => {
                let fix = "the training run that wrote this diverged, or the file is damaged: use another checkpoint";
                Err(wrong("finite".into(), format!("{value} at flat index {i}"), fix))
            }
        }
    }

    /// A stored decoder is another name of the token table. Where it is another matrix, transformers 5 does not tie the two,
    /// whatever config.json says, and neither would be the model without the other.
    fn check_tied(&mut self) -> Result<()> {
        let tied = self.config.architecture.decoder;
        let Some(decoder) = self.tensors.remove(tied) else { return Ok(()) };
        let encoder = self.config.encoder();
        let table = encoder.iter().find(|p| p.kind == ParameterKind::TokenTable);
        match table.and_then(|p| self.tensors.get(&p.name)) {
            Some(table) if params::equal(table, &decoder)? => Ok(()),
            _ => {
                let fix = "untied decoders are not supported, since Fisher counts the tied weight once: use a checkpoint that \
                           ties them, or, if the decoder is a leftover, remove it from the file";
                let found = "another matrix, which transformers 5 then does not tie to them";
                Err(Error::field(self.folder.display(), tied, "equal to the word embeddings", found, fix))
            }
        }
    }

    fn tell_fresh(&self, names: &[String], seed: u64) {
        progress::excluded(format!(
            "{}: {} initialised from seed {seed}",
            self.folder.display(),
            names.join(", ")
        ));
    }

    fn tell_unused(&self) {
        let groups: BTreeSet<&str> = self
            .tensors
            .keys()
            .map(|name| name.rsplit_once('.').map_or(name.as_str(), |(prefix, _)| prefix))
            .collect();
        if !groups.is_empty() {
            let names: Vec<&str> = groups.into_iter().collect();
            progress::excluded(format!(
                "{}: not part of this model, left out: {}",
                self.folder.display(),
                names.join(", ")
            ));
        }
    }
}

impl Model {
    /// Whether the set can be fed to the model: same vocabulary, ids within the tables, labels within the head.
    pub fn check(&self, set: &FrozenSet) -> Result<()> {
        let made = set.metadata.get("vocabulary");
        if let (Some(made), Some(own)) = (made, &self.vocabulary)
            && made != own
        {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let expected = format!("the checkpoint's vocabulary {}", short(own));
            let fix = "make the set again with `fisherscape freeze --checkpoint` and this checkpoint";
            return Err(Error::field(set.path.display(), "vocabulary", expected, short(made), fix));
        }
        let again = "make the set again with `fisherscape freeze --checkpoint` and this checkpoint";
        check_examples(&self.network.config, set.kind, &set.examples, &set.path.display().to_string(), again)
    }

    /// Makes the folder to save to, before any work: it must not be the one that the model came from.
    pub fn prepare_folder(source: &Path, folder: &Path) -> Result<()> {
        if embedded::is_folder(folder) {
            let fix = "choose another folder: this name is taken, for the model in the binary";
            return Err(Error::field("--out", "folder", "another than `embedded`", folder.display(), fix));
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make"))?;
        let source = &hub::locate(source, Wanted::Checkpoint)?.folder;
        let real = |path: &Path| path.canonicalize().map_err(Error::io(path, "find"));
        if !embedded::is_folder(source) && real(source)? == real(folder)? {
            let fix = "choose another folder: saving would overwrite the checkpoint";
            return Err(Error::field("--out", "folder", "another than --checkpoint", folder.display(), fix));
        }
        Ok(())
    }

    /// Writes a folder that transformers loads with the same logits: `model.safetensors`, `config.json`, the
    /// tokenizer's files.
    pub fn save(&self, folder: &Path, label_names: Option<&[String]>) -> Result<()> {
        let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        params::write_params(&folder.join("model.safetensors"), &self.theta, &format)?;
        let mut config = self.network.config.json.clone();
        for stale in ["torch_dtype", "_name_or_path", "num_labels", "id2label", "label2id", "problem_type"] {
            config.remove(stale);
        }
        let architecture = self.network.config.architecture;
        let (labels, problem) = match self.network.head {
            Head::MaskedLm => (0, None),
            Head::Classes(n) => (n, Some("single_label_classification")),
            Head::Regression => (1, Some("regression")),
        };
        config.insert("architectures".into(), json!([(architecture.class)(self.network.head)]));
        config.insert("model_type".into(), json!(architecture.model_type));
        config.insert("dtype".into(), json!("float32"));
        if let Some(problem) = problem {
            let name = |i: usize| {
                label_names.and_then(|names| names.get(i)).cloned().unwrap_or_else(|| format!("LABEL_{i}"))
            };
            let id2label: BTreeMap<String, String> = (0..labels).map(|i| (i.to_string(), name(i))).collect();
            let label2id: BTreeMap<String, usize> = (0..labels).map(|i| (name(i), i)).collect();
            config.insert("num_labels".into(), json!(labels));
            config.insert("id2label".into(), json!(id2label));
            config.insert("label2id".into(), json!(label2id));
            config.insert("problem_type".into(), json!(problem));
        }
        let text = format!("{:#}\n", serde_json::Value::Object(config));
        files::write(&folder.join("config.json"), text.as_bytes())?;
        // What an earlier model left in this folder would be loaded in place of, or along with, this one's files.
        let others = ["model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
        for name in others.into_iter().chain(TOKENIZER_FILES) {
            let (source, target) = (self.folder.join(name), folder.join(name));
            if TOKENIZER_FILES.contains(&name) && files::exists(&source) {
                files::write(&target, &files::read(&source)?)?;
            } else if target.exists() {
                std::fs::remove_file(&target).map_err(Error::io(&target, "remove"))?;
            }
        }
        if embedded::is_folder(&self.folder) {
            files::write(&folder.join("LICENSE-WORDNET"), embedded::NOTICE.as_bytes())?;
        }
        Ok(())
    }
}

/// Whether examples fit the model's tables; `fix` says what to do where they do not.
fn check_examples(
    config: &ModelConfig,
    kind: Kind,
    examples: &[Example],
    place: &str,
    fix: &str,
) -> Result<()> {
    let wrong = |field: &str, expected: String, found: String, fix: &str| {
        Err(Error::field(place, field, expected, found, fix))
    };
    for (n, example) in examples.iter().enumerate() {
        if example.len() > config.max_position_embeddings {
            let expected = format!("at most {} tokens (the position table)", config.max_position_embeddings);
            let fix = "make the set again with a smaller --max-len";
            return wrong("input_ids", expected, format!("{} in example {n}", example.len()), fix);
        }
        let id = example.ids.iter().find(|id| **id as usize >= config.vocab_size);
        if let Some(id) = id {
            let expected = format!("ids below the vocabulary's {}", config.vocab_size);
            return wrong("input_ids", expected, format!("{id} in example {n}"), fix);
        }
        if let Some(segment) = example.types.iter().find(|s| **s as usize >= config.type_vocab_size) {
            let expected = format!("segments below {}", config.type_vocab_size);
            return wrong("token_type_ids", expected, format!("{segment} in example {n}"), fix);
        }
        if kind.spec().answer == Answer::Token
            && let Some(label) =
                example.target.labels.classes().iter().find(|label| **label as usize >= config.vocab_size)
        {
            let expected = format!("labels below the vocabulary's {}", config.vocab_size);
            return wrong("labels", expected, format!("{label} in example {n}"), fix);
        }
    }
    Ok(())
}
