//! Which task head a checkpoint's model gets.

use std::path::Path;

use fisherscape::data::frozen::FrozenSet;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::{Checkpoint, Head, Model};
use serde_json::{Value, json};

use crate::support::{Outcome, copy_folder, fixture, json as read_json, tensors, values};

/// A BERT with a classifier of three classes, whose configuration says this, too.
fn folder(says: &[(&str, Value)]) -> Result<tempfile::TempDir, Box<dyn std::error::Error + Send + Sync>> {
    let folder = tempfile::tempdir()?;
    copy_folder(&fixture("parity/cls/model"), folder.path());
    let path = folder.path().join("config.json");
    let mut config = read_json(&path);
    says.iter().for_each(|(key, value)| config[key] = value.clone());
    std::fs::write(path, config.to_string())?;
    Ok(folder)
}

/// The set of the fixture with the classes below `classes` alone, and their names.
fn set(
    at: &Path,
    classes: u32,
    names: Option<&[&str]>,
) -> Result<FrozenSet, Box<dyn std::error::Error + Send + Sync>> {
    let mut set = FrozenSet::read(&fixture("parity/cls/set.safetensors"))?;
    set.examples.retain(|e| e.target.labels.classes()[0] < classes);
    set.path = at.join("set.safetensors");
    set.metadata.extend(names.map(|names| ("labels".to_string(), json!(names).to_string())));
    Ok(set)
}

fn open(folder: &Path, set: &FrozenSet, missing: MissingHead) -> Result<Model, String> {
    let checkpoint = Checkpoint::open(folder).map_err(|e| e.to_string())?;
    checkpoint.model_for(set, missing).map_err(|e| e.to_string())
}

const DRAWN: MissingHead = MissingHead::Initialise { seed: 4 };

/// Whether the model's parameter is the stored one.
fn is_stored(model: &Model, name: &str) -> bool {
    values(&model.theta[name]) == values(&tensors(&fixture("parity/cls/model/model.safetensors"))[name])
}

/// Oracle: the configuration. The classifier of named entities and one of several labels have the same names and shapes as one of
/// single classes; in silence they would be taken for it. The pooler below them stays.
#[test]
fn a_head_of_another_kind_counts_as_none() -> Outcome {
    for says in [
        ("architectures", json!(["BertForTokenClassification"])),
        ("problem_type", json!("multi_label_classification")),
        ("problem_type", json!("regression")),
    ] {
        let folder = folder(std::slice::from_ref(&says))?;
        let set = set(folder.path(), 3, None)?;
        let model = open(folder.path(), &set, DRAWN)?;
        assert!(!model.stored_head && !is_stored(&model, "classifier.weight"), "{says:?}");
        assert!(is_stored(&model, "bert.pooler.dense.weight"), "{says:?}");
        let refused = open(folder.path(), &set, MissingHead::Refuse).err().ok_or("no error")?;
        assert!(refused.contains("classifier.weight"), "{refused}");
    }
    for says in [
        ("architectures", json!(["BertForSequenceClassification"])),
        ("problem_type", json!("single_label_classification")),
        ("problem_type", Value::Null),
    ] {
        let folder = folder(std::slice::from_ref(&says))?;
        let model = open(folder.path(), &set(folder.path(), 3, None)?, DRAWN)?;
        assert!(model.stored_head && is_stored(&model, "classifier.weight"), "{says:?}");
    }
    Ok(())
}

/// Oracle: the sizes. Three outputs over the labels of two classes would be another loss; a fresh head has two.
#[test]
fn a_head_of_another_size_is_refused_unless_a_fresh_one_is_asked_for() -> Outcome {
    let folder = folder(&[])?;
    let set = set(folder.path(), 2, Some(&["no", "yes"]))?;
    let refused = open(folder.path(), &set, DRAWN).err().ok_or("no error")?;
    for part in ["set.safetensors", "`labels`", "3 classes", "found 2", "--fresh-head"] {
        assert!(refused.contains(part), "{refused}");
    }
    let model = open(folder.path(), &set, MissingHead::Redraw { seed: 4 })?;
    assert_eq!(model.head(), Head::Classes(2));
    assert!(!model.stored_head && is_stored(&model, "bert.pooler.dense.weight"));
    assert_eq!(model.theta["classifier.weight"].dims(), [2, 16]);
    Ok(())
}

/// Oracle: the definition. A head of the right kind and size is drawn anew where that is asked for, from the seed.
#[test]
fn a_fresh_head_follows_its_seed() -> Outcome {
    let folder = folder(&[])?;
    let set = set(folder.path(), 3, None)?;
    let head = |seed| -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        let model = open(folder.path(), &set, MissingHead::Redraw { seed })?;
        assert!(!is_stored(&model, "classifier.weight"));
        Ok(values(&model.theta["classifier.weight"]))
    };
    assert_eq!(head(1)?, head(1)?);
    assert_ne!(head(1)?, head(2)?);
    Ok(())
}
