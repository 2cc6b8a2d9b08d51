//! Checkpoints under every name and in every file they come in, and what saving gives back.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::data::frozen::FrozenSet;
use fisherscape::evaluate::set_loss;
use fisherscape::model::architectures::bert;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::{Checkpoint, Head, Model};
use fisherscape::params::{self, ParamMap};

use crate::support::{Outcome, copy_folder, fixture, tensors, values};

/// The masked-LM fixture with its tensors renamed or changed by `edit`, in a folder of its own.
fn edited(edit: impl FnOnce(&mut ParamMap)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&fixture("parity/mlm/model"), folder.path());
    let path = folder.path().join("model.safetensors");
    let mut map = tensors(&path);
    edit(&mut map);
    params::write_params(&path, &map, &BTreeMap::new()).unwrap();
    folder
}

fn masked_lm(folder: &Path) -> Model {
    Checkpoint::open(folder).unwrap().model(Head::MaskedLm, MissingHead::Refuse).unwrap()
}

fn same_parameters(a: &Model, b: &Model) {
    assert_eq!(a.theta.keys().collect::<Vec<_>>(), b.theta.keys().collect::<Vec<_>>());
    for (name, t) in &a.theta {
        assert_eq!(values(t), values(&b.theta[name]), "{name}");
    }
}

fn renamed(map: &mut ParamMap, rename: impl Fn(&str) -> String) {
    *map = std::mem::take(map).into_iter().map(|(name, t)| (rename(&name), t)).collect();
}

/// Oracle: the same checkpoint under its canonical names. Old TensorFlow exports say gamma and beta, encoder-only
/// ones leave `bert.` out, some carry position_ids, a copy of the decoder, or heads that are not asked for.
#[test]
fn names_of_other_exports_give_the_same_model() {
    let canonical = masked_lm(&fixture("parity/mlm/model"));
    let gamma = edited(|map| {
        renamed(map, |n| {
            n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        })
    });
    let bare = edited(|map| renamed(map, |n| n.strip_prefix("bert.").unwrap_or(n).to_string()));
    let extras = edited(|map| {
        let word = map["bert.embeddings.word_embeddings.weight"].clone();
        map.insert("cls.predictions.decoder.weight".into(), word);
        let bias = map.remove("cls.predictions.bias").unwrap();
        map.insert("cls.predictions.decoder.bias".into(), bias);
        let two = Tensor::zeros((2, 16), candle_core::DType::F32, &Device::Cpu).unwrap();
        map.insert("cls.seq_relationship.weight".into(), two.clone());
        map.insert("bert.pooler.dense.weight".into(), two.clone());
        map.insert("bert.embeddings.position_ids".into(), two);
    });
    for folder in [gamma, bare, extras] {
        same_parameters(&masked_lm(folder.path()), &canonical);
    }
}

/// Oracle: the one-file checkpoint. Two shards and an index hold the same tensors.
#[test]
fn shards_give_the_same_model() -> Outcome {
    let folder = tempfile::tempdir()?;
    copy_folder(&fixture("parity/mlm/model"), folder.path());
    let all = tensors(&folder.path().join("model.safetensors"));
    std::fs::remove_file(folder.path().join("model.safetensors"))?;
    let mut map = serde_json::Map::new();
    for (i, name) in
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].iter().enumerate()
    {
        let part: ParamMap = all.iter().skip(i).step_by(2).map(|(n, t)| (n.clone(), t.clone())).collect();
        part.keys().for_each(|n| drop(map.insert(n.clone(), (*name).into())));
        params::write_params(&folder.path().join(name), &part, &BTreeMap::new())?;
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string())?;
    same_parameters(&masked_lm(folder.path()), &masked_lm(&fixture("parity/mlm/model")));
    Ok(())
}

/// Oracle: the safetensors file that torch wrote of the same model. The pickle is torch.save's (fixture).
#[test]
fn a_pickled_checkpoint_gives_the_same_model() -> Outcome {
    let folder = tempfile::tempdir()?;
    copy_folder(&fixture("parity/mlm/model"), folder.path());
    std::fs::remove_file(folder.path().join("model.safetensors"))?;
    std::fs::copy(fixture("pickle/pytorch_model.bin"), folder.path().join("pytorch_model.bin"))?;
    same_parameters(&masked_lm(folder.path()), &masked_lm(&fixture("parity/mlm/model")));
    Ok(())
}

/// Oracle: the loss before saving. Also what transformers needs to see in config.json, and that the tied decoder is
/// not stored. (That transformers loads such a folder with the same logits was tried by hand: there is no Python
/// here.)
#[test]
fn a_saved_folder_holds_the_same_model() -> Outcome {
    for (kind, class) in [
        ("mlm", "BertForMaskedLM"),
        ("cls", "BertForSequenceClassification"),
        ("t5-s2s", "T5ForConditionalGeneration"),
        ("flan-t5-s2s", "T5ForConditionalGeneration"),
    ] {
        let set = FrozenSet::read(&fixture(&format!("parity/{kind}/set.safetensors")))?;
        let source = fixture(&format!("parity/{kind}/model"));
        let model = Checkpoint::open(&source)?.model_for(&set, MissingHead::Refuse)?;
        let folder = tempfile::tempdir()?;
        let names = ["zero", "one", "two"].map(String::from);
        model.save(folder.path(), Some(&names))?;
        let again = Checkpoint::open(folder.path())?.model_for(&set, MissingHead::Refuse)?;
        same_parameters(&model, &again);
        let loss = |m: &Model| {
            set_loss(m.network().unwrap(), &m.theta, &set.examples, &set.by_length()).unwrap().loss
        };
        assert_eq!(loss(&model), loss(&again));
        let config = crate::support::json(&folder.path().join("config.json"));
        assert_eq!(config["architectures"][0], class);
        assert_eq!(config["dtype"], "float32");
        if kind == "cls" {
            assert_eq!(config["id2label"]["1"], "one");
            assert_eq!(config["label2id"]["two"], 2);
            assert_eq!(config["problem_type"], "single_label_classification");
        }
        let stored = tensors(&folder.path().join("model.safetensors"));
        assert!(!stored.contains_key("cls.predictions.decoder.weight"));
        assert_eq!(stored.contains_key("lm_head.weight"), kind == "flan-t5-s2s");
    }
    Ok(())
}

/// Oracle: docs/definitions.md section 1: bert-base-uncased with the MLM head has 202 parameter tensors, 201 with pooler and
/// classifier; 37 sites. Here with 12 layers of width 24.
#[test]
fn twelve_layers_have_202_tensors_under_masked_lm_and_201_under_classification() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = r#"{"model_type": "bert", "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 48, "max_position_embeddings": 20}"#;
    std::fs::write(folder.path().join("config.json"), config)?;
    let shapes = fisherscape::model::architectures::read(&folder.path().join("config.json"))?.encoder();
    let stream = fisherscape::rng::Stream::new(1, "weights");
    let mut map = ParamMap::new();
    for (i, parameter) in shapes.into_iter().enumerate() {
        let mut v = vec![0f32; parameter.numel()];
        stream.at(i as u64).fill_normal(0, &mut v);
        map.insert(parameter.name, Tensor::from_vec(v, parameter.shape, &Device::Cpu)?);
    }
    params::write_params(&folder.path().join("model.safetensors"), &map, &BTreeMap::new())?;
    let open = || Checkpoint::open(folder.path());
    assert_eq!(open()?.with_pretraining_head(0)?.theta.len(), 202);
    assert_eq!(open()?.model(Head::Classes(2), MissingHead::Initialise { seed: 0 })?.theta.len(), 201);
    assert_eq!(bert::sites(12).len(), 37);
    // A fresh head is drawn from the seed: the same again, another from another seed.
    let weight = |seed| {
        values(
            &open().unwrap().with_pretraining_head(seed).unwrap().theta["cls.predictions.transform.dense.weight"],
        )
    };
    assert_eq!(weight(0), weight(0));
    assert_ne!(weight(0), weight(1));
    Ok(())
}

/// Oracle: the definition of half types: 1.5 and -0.25 are exact in both, so the values come back as they were.
#[test]
fn half_precision_weights_are_read_as_float32() -> Outcome {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("half.safetensors");
    let bf16: Vec<u8> = [0x3fc0u16, 0xbe80].iter().flat_map(|v| v.to_le_bytes()).collect();
    let f16: Vec<u8> = [0x3e00u16, 0xb400].iter().flat_map(|v| v.to_le_bytes()).collect();
    let f64: Vec<u8> = [1.5f64, -0.25].iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = |dtype, data| TensorView::new(dtype, vec![2], data).unwrap();
    let views =
        [("a", view(Dtype::BF16, &bf16)), ("b", view(Dtype::F16, &f16)), ("c", view(Dtype::F64, &f64))];
    std::fs::write(&path, serialize(views, None)?)?;
    let map = tensors(&path);
    assert_eq!(map.len(), 3);
    map.values().for_each(|t| assert_eq!(values(t), [1.5, -0.25]));
    Ok(())
}
