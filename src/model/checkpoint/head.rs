//! Which head a model gets: the one that a set's labels ask for, stored or drawn.
//!
//! A stored head serves only if it is of the kind and size that the set asks for. `config.json` says what it is
//! (`architectures`, `problem_type`); its names and shapes alone do not: the classifier of named entities looks like one of
//! whole texts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Checkpoint, MissingHead};
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Result};
use crate::model::config::Architecture;
use crate::model::layout::Kind as ParameterKind;
use crate::model::modules::Head;
use crate::progress;
use crate::tasks::Kind;

/// More classes than any task has: beyond, a label is a mistake.
const MAX_CLASSES: usize = 10_000;

/// A head for such labels, whatever its number of outputs.
fn like(kind: Kind) -> Head {
    match kind {
        Kind::TokenClasses => Head::TokenClasses(1),
        Kind::Span => Head::Span,
        _ => Head::Regression,
    }
}

/// The head that scores tokens, for such labels; `None` for those of another.
fn language(kind: Kind) -> Option<Head> {
    match kind {
        Kind::MaskedLm => Some(Head::MaskedLm),
        Kind::CausalLm => Some(Head::CausalLm),
        Kind::Seq2SeqLm => Some(Head::Seq2SeqLm),
        _ => None,
    }
}

impl Checkpoint {
    /// The head that a set's labels ask for. A stored one that is of another kind, or is to be drawn anew, is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if the checkpoint's classifier has another number of outputs than the labels need.
    pub fn head_for(&mut self, set: &FrozenSet, missing: MissingHead) -> Result<Head> {
        if let Some(wanted) = language(set.kind) {
            return self.language_head(wanted, set);
        }
        if self.config.architecture.class(like(set.kind)).is_none() {
            let model_type = self.config.architecture.model_type;
            let (expected, found) =
                (format!("a task that {model_type} has a head for"), set.kind.spec().words);
            let fix = "use an encoder's checkpoint";
            return Err(Error::field(set.path.display(), "objective", expected, found, fix));
        }
        let pooling = self.config.json.get("classifier_pooling").and_then(Value::as_str);
        let whole = matches!(set.kind, Kind::Classes | Kind::Regression);
        if let Some(pooling) = pooling.filter(|pooling| *pooling != "cls" && whole) {
            let place = self.folder.join("config.json");
            let fix = "write \"cls\" there to read the first token, which is then another head, or use another checkpoint";
            return Err(Error::field(place.display(), "classifier_pooling", "cls", pooling, fix));
        }
        if let (MissingHead::Redraw { .. }, Some(n)) = (missing, self.stored_outputs(set.kind)) {
            let folder = self.folder.display();
            progress::note(format!("{folder}: the stored head of {n} outputs is replaced by a fresh one"));
            self.forget_head(set.kind);
        } else if let (Some(what), Some(_)) = (self.foreign_head(set.kind), self.stored_outputs(set.kind)) {
            progress::excluded(format!(
                "{}: the stored head is {what}, so it is ignored",
                self.folder.display()
            ));
            self.forget_head(set.kind);
        }
        match set.kind {
            Kind::Regression => self.single_output(set),
            Kind::Span => Ok(Head::Span),
            _ => self.classes(set),
        }
    }

    /// Names of the classes of words that the checkpoint's own head knows, in its order.
    pub fn word_classes(&self) -> Option<Vec<String>> {
        self.foreign_head(Kind::TokenClasses).is_none().then_some(())?;
        let map = self.config.json.get("id2label")?.as_object()?;
        (0..map.len()).map(|i| Some(map.get(&i.to_string())?.as_str()?.to_string())).collect()
    }

    /// The head that scores tokens, if that is what the set's task asks for.
    fn language_head(&self, wanted: Head, set: &FrozenSet) -> Result<Head> {
        let Architecture { model_type, pretrained, .. } = self.config.architecture;
        if *pretrained == wanted && self.config.architecture.class(wanted).is_some() {
            return Ok(wanted);
        }
        let (expected, found) = (format!("a task that {model_type} was trained for"), set.kind.spec().words);
        let fix = match self.config.architecture.class(*pretrained) {
            Some(_) => "freeze the text with this checkpoint, or use another architecture",
            None => "use a labelled set, or another architecture: it has no head for text here",
        };
        Err(Error::field(set.path.display(), "objective", expected, found, fix))
    }

    fn single_output(&self, set: &FrozenSet) -> Result<Head> {
        match self.stored_outputs(set.kind) {
            None | Some(1) => Ok(Head::Regression),
            Some(n) => {
                let expected = format!("int64 classes for the checkpoint's {n}-way classifier");
                let fix = "give --fresh-head, or a checkpoint without a classifier or with a single output";
                Err(Error::field(set.path.display(), "labels", expected, "float32 values", fix))
            }
        }
    }

    fn classes(&self, set: &FrozenSet) -> Result<Head> {
        let wrong = |expected: String, found: String, fix: &str| {
            Err(Error::field(set.path.display(), "labels", expected, found, fix))
        };
        let labels = set.examples.iter().flat_map(|e| e.target.labels.classes());
        let largest = labels.max().map_or(0, |class| *class as usize);
        let named = set.label_names().map(|names| names.len());
        let (stored, fix) =
            (self.stored_outputs(set.kind), "give --fresh-head, or the checkpoint that goes with this set");
        if let (Some(stored), Some(named)) = (stored, named)
            && stored != named
        {
            let expected = format!("{stored} classes, as the checkpoint's classifier has");
            return wrong(expected, format!("{named}"), fix);
        }
        if stored.is_some() {
            self.check_label_order(set)?;
        }
        let classes = stored.or(named).unwrap_or((largest + 1).min(MAX_CLASSES));
        let last = classes.saturating_sub(1);
        if largest >= classes {
            let from = match (stored, named) {
                (Some(_), _) => "the checkpoint's classifier",
                (None, Some(_)) => "the set's label names",
                (None, None) => "the most that a fresh head may have",
            };
            return wrong(format!("classes 0..={last} ({from})"), largest.to_string(), fix);
        }
        if stored.is_none() && named.is_none() {
            let set = set.path.display();
            progress::note(format!(
                "{set}: does not name its classes; its labels 0..={largest} make {classes}"
            ));
        }
        if largest < last && named.is_none() {
            let folder = self.folder.display();
            progress::note(format!(
                "{folder}: the classifier has {classes} classes; the set uses 0..={largest}"
            ));
        }
        Ok(if set.kind == Kind::TokenClasses { Head::TokenClasses(classes) } else { Head::Classes(classes) })
    }

    /// Outputs of the task head that the checkpoint has, if it has one.
    fn stored_outputs(&self, kind: Kind) -> Option<usize> {
        let last =
            self.config.head_parameters(like(kind)).into_iter().rfind(|p| p.kind == ParameterKind::Weight)?;
        self.tensors.get(&last.name)?.dims().first().copied()
    }

    /// What the stored head is, where the configuration says that it is not one for such labels.
    fn foreign_head(&self, kind: Kind) -> Option<String> {
        let class = self.config.json.get("architectures").and_then(|names| names.get(0)?.as_str());
        let (own, words) = match kind {
            Kind::TokenClasses => ("ForTokenClassification", "words"),
            Kind::Span => ("ForQuestionAnswering", "spans"),
            _ => ("ForSequenceClassification", "whole texts"),
        };
        if let Some(class) = class.filter(|class| !class.ends_with(own)) {
            return Some(format!("that of {class}, which does not classify {words}"));
        }
        if matches!(kind, Kind::TokenClasses | Kind::Span) {
            return None;
        }
        let wanted = if kind == Kind::Regression { "regression" } else { "single_label_classification" };
        let problem = self.config.json.get("problem_type").and_then(Value::as_str);
        problem
            .filter(|problem| *problem != wanted)
            .map(|problem| format!("for {problem}, and not for {wanted}"))
    }

    /// Leaves out the task head, but what belongs to the model below it (BERT's pooler) or to the head that it was
    /// pre-trained with.
    fn forget_head(&mut self, kind: Kind) {
        let config = &self.config;
        let kept = config.layout(config.architecture.pretrained);
        let below = config.encoder();
        let prefix = below.first().and_then(|p| p.name.split('.').next()).unwrap_or_default().to_string();
        let own = config.head_parameters(like(kind)).into_iter().map(|p| p.name);
        let names: Vec<String> = own
            .filter(|name| kept.get(name).is_none() && name.split('.').next() != Some(prefix.as_str()))
            .collect();
        names.iter().for_each(|name| drop(self.tensors.remove(name)));
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
        if own == wanted {
            return Ok(());
        }
        if as_set(&own) != as_set(&wanted) {
            let says_nothing = |name: &String| name.starts_with("label_") || name.parse::<f64>().is_ok();
            if !own.iter().chain(&wanted).any(says_nothing) && !own.is_empty() {
                let (folder, own, names) = (self.folder.display(), own.join(", "), names.join(", "));
                progress::excluded(format!(
                    "{folder}: the classifier's classes are {own}; they are used for {names}, in this order"
                ));
            }
            return Ok(());
        }
        let fix = "number the labels of the data as the checkpoint does, and freeze them again";
        let expected = format!("in the classifier's order: {}", own.join(", "));
        Err(Error::field(set.path.display(), "labels", expected, names.join(", "), fix))
    }
}
