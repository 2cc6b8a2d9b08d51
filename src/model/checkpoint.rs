//! Checkpoints in the Hugging Face layout: read with every name it may have had, written so that transformers loads
//! the same model.
//!
//! `weights` reads the tensors under canonical names; here they become the model that a head asks for, and
//! what is missing, left over or broken is said. The tied decoder is not stored.

mod body;
mod head;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::json;

use super::architectures;
use super::config::{Computed, ModelConfig};
use super::device::Opened;
use super::forward;
use super::layout::{Kind as ParameterKind, Parameter};
use super::modules::{Head, HeadModules};
use super::ops::Backend;
use super::weights;
use crate::data::Example;
use crate::data::frozen::FrozenSet;
use crate::data::tokenizer::Tokenizer;
use crate::dropout::Place;
use crate::error::{Error, Result};
use crate::hub::{self, TOKENIZER_FILES, VOCABULARIES, Wanted};
use crate::params::{self, ParamMap};
use crate::tasks::{Answer, Kind};
use crate::{embedded, files, progress};

pub use body::Body;

/// What is said of parameters that no file has, before the seed that they are drawn from: reports look for it.
pub const FROM_SEED: &str = "initialised from seed";

/// A checkpoint's files, read.
pub struct Checkpoint {
    pub folder: PathBuf,
    /// Where the tokenizer's files are.
    tokenizer: PathBuf,
    pub config: ModelConfig,
    /// Everything float in the file, under canonical names.
    tensors: ParamMap,
    /// BLAKE3 over the configuration and the weights.
    pub hash: String,
    /// Where its models run.
    device: Device,
    backend: Backend,
}

/// A network with its parameters.
#[derive(Clone)]
pub struct Model {
    pub body: Body,
    pub theta: ParamMap,
    /// [`Checkpoint::hash`] of what it came from.
    pub hash: String,
    /// Hash of the tokenizer's vocabulary, if the checkpoint has a tokenizer.
    pub vocabulary: Option<String>,
    /// Whether the whole head came from the checkpoint.
    pub stored_head: bool,
    /// Where the tokenizer's files are.
    folder: PathBuf,
    /// Where its configuration is.
    place: PathBuf,
}

/// What happens to a task head that the checkpoint lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingHead {
    /// Drawn from this seed, and said.
    Initialise { seed: u64 },
    /// The same, also where the checkpoint has one.
    Redraw { seed: u64 },
    /// An error.
    Refuse,
}

impl Checkpoint {
    /// Reads a checkpoint's configuration and weights. `given` is a folder, `embedded` (the one in the binary), or a name
    /// on the hub, which is fetched where the cache does not have it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a folder that is not one, an unsupported configuration, weights that are missing or broken; and
    /// as [`hub::locate`].
    pub fn open(given: &Path) -> Result<Checkpoint> {
        let folder = &hub::locate(given, Wanted::Checkpoint)?.folder;
        if !files::is_folder(folder) {
            let fix = "give a folder with config.json, the weights and the tokenizer, as `hf download MODEL --local-dir \
                       FOLDER` makes it, or a name on the hub, such as bert-base-uncased";
            let found = if files::exists(folder) { "a file" } else { "none" };
            return Err(Error::field(folder.display(), "checkpoint", "a folder", found, fix));
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
            tokenizer: folder.to_path_buf(),
            config,
            tensors,
            hash: hash.finalize().to_hex().to_string(),
            device: Device::Cpu,
            backend: Backend::Fused,
        })
    }

    /// The same checkpoint, whose models run there. They run on the CPU unless this is said.
    pub fn on(self, place: &Opened) -> Checkpoint {
        Checkpoint { device: place.device.clone(), backend: place.backend, ..self }
    }

    /// The same checkpoint with the tokenizer of another folder, where one is named: folders that a training script saves midway
    /// often have none.
    pub fn with_tokenizer(self, folder: Option<&Path>) -> Checkpoint {
        let tokenizer = folder.map_or(self.tokenizer, Path::to_path_buf);
        Checkpoint { tokenizer, ..self }
    }

    /// A model that nothing has trained yet, drawn from `seed` as transformers initialises it, all but a masked-LM head: BERT's row of
    /// `[PAD]` is zero. `folder` holds the tokenizer's files.
    pub fn untrained(config: ModelConfig, folder: &Path, seed: u64) -> Result<Checkpoint> {
        let tokenizer = Tokenizer::load(folder)?;
        let mut tensors = ParamMap::new();
        let (parameters, pad) = match config.architecture.pretrained {
            Head::MaskedLm => (config.encoder(), Some(tokenizer.special.pad)),
            head => (config.layout(head).parameters().to_vec(), config.padding),
        };
        for parameter in parameters {
            let value = drawn(&parameter, &config, pad, seed)?;
            tensors.insert(parameter.name, value);
        }
        let text = format!("{} {seed} {}", json!(config.json), tokenizer.vocabulary_hash());
        Ok(Checkpoint {
            folder: folder.to_path_buf(),
            tokenizer: folder.to_path_buf(),
            config,
            tensors,
            hash: files::hash(text.as_bytes()),
            device: Device::Cpu,
            backend: Backend::Fused,
        })
    }

    /// Whether gradients of its models are known here.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for an architecture whose losses alone are.
    pub fn check_gradients(&self) -> Result<()> {
        match self.config.architecture.computed {
            Computed::Here(_) => Ok(()),
            Computed::ByCandle(_) => {
                Err(forward::refused(self.folder.join("config.json").display(), self.config.architecture))
            }
        }
    }

    /// The checkpoint's tokenizer.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::load(&self.tokenizer)
    }

    /// Whether examples fit the checkpoint's tables; `fix` says what to do where they do not.
    pub fn check_examples(&self, kind: Kind, examples: &[Example], place: &str, fix: &str) -> Result<()> {
        check_examples(&self.config, kind, examples, place, fix)
    }

    /// The model for a frozen set, checked against it.
    pub fn model_for(mut self, set: &FrozenSet, missing: MissingHead) -> Result<Model> {
        let head = self.head_for(set, missing)?;
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
        if head.decodes() {
            self.check_tied()?;
        }
        let body = Body::new(self.config.clone(), head, self.backend)?;
        let of_head = self.config.head_parameters(head);
        let of_head: BTreeSet<String> = of_head.into_iter().map(|p| p.name).collect();
        let mut theta = ParamMap::new();
        let mut fresh = Vec::new();
        for parameter in body.layout().parameters() {
            let absent = !self.tensors.contains_key(&parameter.name);
            let value = match (absent && of_head.contains(&parameter.name), head, missing) {
                (
                    true,
                    Head::Classes(_) | Head::Regression | Head::TokenClasses(_) | Head::Span,
                    MissingHead::Initialise { seed } | MissingHead::Redraw { seed },
                ) => {
                    fresh.push(parameter.name.clone());
                    parameter.initial(self.config.initializer_range, seed)?
                }
                (true, Head::MaskedLm | Head::CausalLm | Head::Seq2SeqLm, _) => {
                    let (sentence, fix) = match head {
                        Head::MaskedLm => (
                            "the checkpoint has no masked-LM head",
                            "add a fresh masked-LM head: fisherscape pretrain --steps 0 --checkpoint FOLDER --out NEW",
                        ),
                        _ => (
                            "the checkpoint has no language-model head",
                            "use a checkpoint with its language-model head",
                        ),
                    };
                    let sentence = format!("{sentence}: `{}` is missing", parameter.name);
                    return Err(Error::said(self.folder.display(), sentence, fix));
                }
                (true, _, MissingHead::Refuse) => {
                    let fix = "leave out --strict-head to draw one from the seed, or use a checkpoint with this head";
                    let sentence =
                        format!("the checkpoint has no such head: `{}` is missing", parameter.name);
                    return Err(Error::said(self.folder.display(), sentence, fix));
                }
                _ => self.take(parameter)?,
            };
            theta.insert(parameter.name.clone(), value.to_device(&self.device)?);
        }
        if let (false, MissingHead::Initialise { seed } | MissingHead::Redraw { seed }) =
            (fresh.is_empty(), missing)
        {
            self.tell_fresh(&fresh, seed);
        }
        self.tell_unused();
        let has_tokenizer = VOCABULARIES.iter().any(|name| files::exists(&self.tokenizer.join(name)));
        let vocabulary = if has_tokenizer { Some(self.tokenizer()?.vocabulary_hash()) } else { None };
        let stored_head = fresh.is_empty();
        let place = self.folder.join("config.json");
        Ok(Model { body, theta, hash: self.hash, vocabulary, folder: self.tokenizer, stored_head, place })
    }

    /// The model that its architecture is pre-trained as, with a fresh head where the checkpoint has none.
    pub fn with_pretraining_head(mut self, seed: u64) -> Result<Model> {
        let head = self.config.architecture.pretrained;
        let mut fresh = Vec::new();
        let layout = self.config.layout(head);
        // A head is drawn in the sizes that the file's tensors bear out, whatever its configuration says.
        layout
            .parameters()
            .iter()
            .filter(|p| p.place != Place::HEAD)
            .try_for_each(|p| self.check_shape(p).map(drop))?;
        for parameter in layout.parameters().iter().filter(|p| p.place == Place::HEAD) {
            if !self.tensors.contains_key(&parameter.name) {
                let value = parameter.initial(self.config.initializer_range, seed)?;
                fresh.push(parameter.name.clone());
                self.tensors.insert(parameter.name.clone(), value);
            }
        }
        match fresh.is_empty() {
            true => progress::note(format!("{}: already has its head; keeping it", self.folder.display())),
            false => self.tell_fresh(&fresh, seed),
        }
        self.model(head, MissingHead::Refuse)
    }

    fn check_shape(&self, Parameter { name, shape, .. }: &Parameter) -> Result<&Tensor> {
        let wrong = |expected, found, fix| Error::field(self.folder.display(), name, expected, found, fix);
        let Some(tensor) = self.tensors.get(name) else {
            let fix = "the weights are not those of the configuration: fetch both again";
            return Err(wrong(format!("a tensor of shape {shape:?}"), "no such tensor".to_string(), fix));
        };
        if tensor.dims() != shape {
            let fix = "config.json and the weights disagree: fetch both again";
            return Err(wrong(format!("of shape {shape:?}"), format!("{:?}", tensor.dims()), fix));
        }
        Ok(tensor)
    }

    fn take(&mut self, parameter: &Parameter) -> Result<Tensor> {
        let tensor = self.check_shape(parameter)?.clone();
        self.tensors.remove(&parameter.name);
        let wrong = |expected: String, found: String, fix: &str| {
            Error::field(self.folder.display(), &parameter.name, expected, found, fix)
        };
        let bad = params::with_values(&tensor, |v| v.iter().position(|x| !x.is_finite()).map(|i| (i, v[i])))?;
        match bad {
            None => Ok(tensor),
            Some((i, value)) => {
                let fix = "the training run that wrote this diverged, or the file is damaged: use another checkpoint";
                Err(wrong("finite".into(), format!("{value} at flat index {i}"), fix))
            }
        }
    }

    /// A stored decoder is another name of the token table where the two are equal. Where they differ, transformers 5 ties
    /// them not, whatever the configuration says, and so the decoder has a weight of its own here.
    fn check_tied(&mut self) -> Result<()> {
        let name = format!("{}.weight", self.config.architecture.decoder);
        if !self.config.tied {
            return Ok(());
        }
        let Some(decoder) = self.tensors.remove(&name) else { return Ok(()) };
        let encoder = self.config.encoder();
        let table = encoder.iter().find(|p| p.kind == ParameterKind::TokenTable);
        let tied = match table.and_then(|p| self.tensors.get(&p.name)) {
            Some(table) => params::equal(table, &decoder)?,
            None => false,
        };
        if !tied {
            let folder = self.folder.display();
            if self.config.flag("tie_word_embeddings", true) {
                progress::note(format!(
                    "{folder}: {name} differs from the word embeddings that config.json ties it to: taken as it is stored"
                ));
            }
            self.tensors.insert(name, decoder);
            self.config.tied = false;
            self.config.json.insert("tie_word_embeddings".into(), false.into());
        }
        Ok(())
    }

    fn tell_fresh(&self, names: &[String], seed: u64) {
        progress::excluded(format!("{}: {} {FROM_SEED} {seed}", self.folder.display(), names.join(", ")));
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
                "{}: not part of this model, ignored: {}",
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
        if let (None, Some(_)) = (made, &self.vocabulary) {
            progress::note(format!(
                "{}: does not name its vocabulary, so that is not checked against the checkpoint's",
                set.path.display()
            ));
        }
        let again = "make the set again with `fisherscape freeze --checkpoint` and this checkpoint";
        check_examples(self.config(), set.kind, &set.examples, &set.path.display().to_string(), again)
    }

    /// The tokenizer of the checkpoint, if it has one.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        self.vocabulary.as_ref().map(|_| Tokenizer::load(&self.folder)).transpose()
    }

    /// Draws all parameters anew from the seed, as a model of this shape begins its training.
    pub fn draw_anew(&mut self, seed: u64) -> Result<()> {
        let config = self.body.config();
        for parameter in self.body.layout().parameters() {
            let value = drawn(parameter, config, config.padding, seed)?;
            if let Some(own) = self.theta.get_mut(&parameter.name) {
                *own = value.to_device(own.device())?;
            }
        }
        Ok(())
    }

    /// Makes the folder to save to, before any work: it must not be the one that the model came from, nor hold files of
    /// others. [`Model::close_folder`] follows.
    pub fn prepare_folder(source: &Path, folder: &Path) -> Result<()> {
        if embedded::is_folder(folder) {
            let sentence = format!("{} is the name of the model in the binary", folder.display());
            return Err(Error::said("--out", sentence, "choose another folder"));
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let source = &hub::locate(source, Wanted::Checkpoint)?.folder;
        let real = |path: &Path| path.canonicalize().map_err(Error::io(path, "find"));
        if !embedded::is_folder(source) && real(source)? == real(folder)? {
            let sentence =
                format!("{} is the folder of --checkpoint; saving would overwrite it", folder.display());
            return Err(Error::said("--out", sentence, "choose another folder"));
        }
        let (begun, marks) = (folder.join(BEGUN), [BEGUN, UNFINISHED, "provenance.toml"]);
        let own = marks.iter().any(|name| files::is_plain(&folder.join(name)));
        if let Some(other) = written().find(|name| !own && folder.join(name).symlink_metadata().is_ok()) {
            let (found, fix) = (format!("{other}, which no training wrote"), "choose another folder");
            return Err(Error::field("--out", folder.display(), "empty, or that of a training", found, fix));
        }
        files::check_plain(&begun)?;
        files::write(&begun, b"")
    }

    /// A training in the folder has come to its end: nothing of it is unfinished.
    pub fn close_folder(folder: &Path) -> Result<()> {
        files::remove(&folder.join(UNFINISHED))?;
        files::remove(&folder.join(BEGUN))
    }

    /// The parameters as transformers reads them: where a decoder has a weight of its own, it has its bias under its own name, too.
    fn stored(&self) -> ParamMap {
        let mut theta = self.theta.clone();
        let config = self.config();
        let decoder = format!("{}.bias", config.architecture.decoder);
        if let (false, Some(HeadModules::Decoder { bias: Some(bias), .. })) =
            (config.tied, config.modules(self.head()).map(|modules| modules.head))
            && let Some(bias) = bias.bias.as_ref().and_then(|name| theta.get(name).cloned())
        {
            theta.entry(decoder).or_insert(bias);
        }
        theta
    }

    /// Writes a folder that transformers loads with the same logits: `model.safetensors`, `config.json`, the
    /// tokenizer's files.
    pub fn save(&self, folder: &Path, label_names: Option<&[String]>) -> Result<()> {
        let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        params::write_params(&folder.join("model.safetensors"), &self.stored(), &format)?;
        let mut config = self.config().json.clone();
        for stale in ["torch_dtype", "_name_or_path", "num_labels", "id2label", "label2id", "problem_type"] {
            config.remove(stale);
        }
        let architecture = self.config().architecture;
        let (labels, problem) = match self.head() {
            Head::MaskedLm | Head::CausalLm | Head::Seq2SeqLm | Head::Span => (0, None),
            Head::Classes(n) => (n, Some("single_label_classification")),
            Head::TokenClasses(n) => (n, None),
            Head::Regression => (1, Some("regression")),
        };
        config.insert("architectures".into(), json!([architecture.class(self.head())]));
        config.insert("model_type".into(), json!(architecture.model_type));
        config.insert("dtype".into(), json!("float32"));
        if labels > 0 {
            let name = |i: usize| {
                label_names.and_then(|names| names.get(i)).cloned().unwrap_or_else(|| format!("LABEL_{i}"))
            };
            let id2label: BTreeMap<String, String> = (0..labels).map(|i| (i.to_string(), name(i))).collect();
            let label2id: BTreeMap<String, usize> = (0..labels).map(|i| (name(i), i)).collect();
            config.insert("num_labels".into(), json!(labels));
            config.insert("id2label".into(), json!(id2label));
            config.insert("label2id".into(), json!(label2id));
            config.extend(problem.map(|problem| ("problem_type".to_string(), json!(problem))));
        }
        let text = format!("{:#}\n", serde_json::Value::Object(config));
        files::write(&folder.join("config.json"), text.as_bytes())?;
        // What an earlier model left in this folder would be loaded in place of, or along with, this one's files.
        for name in OTHERS.into_iter().chain(TOKENIZER_FILES) {
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

/// A parameter as training begins with it: the token table's row of the padding is zero.
fn drawn(parameter: &Parameter, config: &ModelConfig, pad: Option<u32>, seed: u64) -> Result<Tensor> {
    let value = parameter.initial(config.initializer_range, seed)?;
    if parameter.kind != ParameterKind::TokenTable || pad.is_none() {
        return Ok(value);
    }
    let keep = |row: u32| if Some(row) == pad { 0f32 } else { 1.0 };
    let keep: Vec<f32> = (0..config.vocab_size as u32).map(keep).collect();
    Ok(value.broadcast_mul(&Tensor::from_vec(keep, (config.vocab_size, 1), &Device::Cpu)?)?)
}

/// Weights in other forms, which would be loaded in place of, or along with, those that are saved.
const OTHERS: [&str; 3] =
    ["model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The state of a training that has not ended, in its folder.
pub const UNFINISHED: &str = "training.unfinished";

/// Empty: what stands in the folder is a training's own, though it has not ended.
const BEGUN: &str = "training.begun";

/// What a training writes into its folder or removes from it.
fn written() -> impl Iterator<Item = &'static str> {
    let own = [
        "model.safetensors",
        "config.json",
        "history.csv",
        "metrics.csv",
        "predictions.csv",
        "rates.csv",
        "best",
    ];
    own.into_iter().chain(OTHERS).chain(TOKENIZER_FILES)
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
        if example.len() > config.positions.longest() {
            let expected = format!("at most {} tokens (the model's positions)", config.positions.longest());
            let fix = "make the set again with a smaller --max-len";
            return wrong("input_ids", expected, format!("{} in example {n}", example.len()), fix);
        }
        let id = example.ids.iter().find(|id| **id as usize >= config.vocab_size);
        if let Some(id) = id {
            let expected = format!("ids below the vocabulary's {}", config.vocab_size);
            return wrong("input_ids", expected, format!("{id} in example {n}"), fix);
        }
        // A model without segments reads none.
        let types = example.types.iter().filter(|_| config.type_vocab_size > 0);
        if let Some(segment) = types.into_iter().find(|s| **s as usize >= config.type_vocab_size) {
            let expected = format!("segments below {}", config.type_vocab_size);
            return wrong("token_type_ids", expected, format!("{segment} in example {n}"), fix);
        }
        if example.target.decoded && example.targets() > config.positions.longest() {
            let expected = format!("at most {} tokens (the model's positions)", config.positions.longest());
            return wrong("labels", expected, format!("{} in example {n}", example.targets()), fix);
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
