//! Models that candle-transformers computes, against PyTorch (fixtures of `make_forward.py`) and against the network.
//!
//! Tolerances: as in `parity`, both sides compute in float32 with other orders of summation; a wrong formula is off by 1e-2 or more.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Module, Result as Candle, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, llama, qwen2};
use fisherscape::data::Example;
use fisherscape::dropout::Place;
use fisherscape::evaluate::set_loss;
use fisherscape::landscape::directions;
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::surface::Plan;
use fisherscape::model::architectures::{ALL, BY_CANDLE};
use fisherscape::model::config::Build;
use fisherscape::model::forward::Forward;
use fisherscape::model::layout::{Kind, Reach, Reached};
use fisherscape::model::ops::Backend;
use fisherscape::model::reading::Reading;
use fisherscape::model::{Head, ModelConfig, Objective};
use fisherscape::params::{self, ParamMap};
use fisherscape::rng::Stream;
use serde_json::{Value, json};

use crate::parity::open;
use crate::support::{Outcome, copy_folder, fisherscape, fixture, json as read_json};

/// An architecture: the folder of its fixture.
const CASES: [&str; 9] = [
    "forward/deberta-cls",
    "forward/deberta-reg",
    "forward/qwen3",
    "forward/qwen3-untied",
    "forward/gemma",
    "forward/gemma2",
    "forward/gemma3",
    "forward/phi",
    "forward/phi3",
];

/// Every architecture has a row.
#[test]
fn every_architecture_of_candle_has_a_case() {
    let has = |case: &str| read_json(&fixture(case).join("model/config.json"))["model_type"].clone();
    for architecture in BY_CANDLE {
        assert!(CASES.iter().any(|case| has(case) == architecture.model_type), "{architecture:?}");
    }
}

/// Oracle: transformers, one example at a time. Catches what candle computes otherwise, keys and values of another example, a
/// target read at another token, and examples of one length put into each other's place.
#[test]
fn losses_equal_those_of_transformers() -> Outcome {
    for case in CASES {
        let (model, set) = open(&fixture(case));
        let expected = read_json(&fixture(case).join("expected.json"));
        let loss = set_loss(model.objective(), &model.theta, &set.examples, &set.by_length())?;
        let wanted = expected["loss"].as_f64().ok_or("no loss")?;
        assert!((loss.loss - wanted).abs() <= 1e-5 * wanted, "{case}: {} and {wanted}", loss.loss);
        let rows: Vec<(f64, f64)> = serde_json::from_value(expected["examples"].clone())?;
        assert_eq!(loss.by_example.len(), rows.len());
        for ((sum, targets), (wanted, m)) in loss.by_example.iter().zip(rows) {
            assert_eq!(*targets, m);
            assert!((sum - wanted).abs() <= 1e-5 * wanted.max(1.0), "{case}: {sum} and {wanted}");
        }
    }
    Ok(())
}

/// Oracle: transformers with the same directions. Catches parameters that were read once and stay where they were.
#[test]
fn surfaces_equal_those_of_transformers() -> Outcome {
    for case in CASES {
        let (model, set) = open(&fixture(case));
        let pair = directions::file::read(&fixture(case).join("directions.safetensors"), &model.theta)?;
        let losses = surface(model.objective(), &model.theta, &set.examples, pair)?;
        let mut expected = csv::Reader::from_path(fixture(case).join("surface.csv"))?;
        let rows: Vec<(f64, f64, f64)> = expected.deserialize().collect::<Result<_, _>>()?;
        assert_eq!(losses.len(), rows.len());
        for (loss, (x, y, wanted)) in losses.iter().zip(rows) {
            assert!((loss - wanted).abs() <= 2e-5 * wanted, "{case} ({x}, {y}): {loss} and {wanted}");
        }
    }
    Ok(())
}

fn surface(
    objective: &dyn Objective,
    theta: &ParamMap,
    examples: &[Example],
    pair: Vec<directions::Direction>,
) -> Outcome<Vec<f64>> {
    let plan = Plan {
        theta,
        examples,
        by_length: &fisherscape::data::by_length(examples),
        scoring: fisherscape::tasks::Scoring::of(fisherscape::tasks::Kind::CausalLm),
        plane: &Plane::new(pair),
        coordinates: [&[-0.5, 0.0, 1.0], &[-1.0, 0.0, 1.0], &[0.0]],
        refine: 0,
        per_example: false,
        sample: None,
    };
    let scratch = tempfile::tempdir()?;
    let surface = plan.evaluate(objective, &scratch.path().join("journal"), "test")?;
    Ok(surface.points.iter().map(|point| point.loss).collect())
}

/// Our own models through candle's code, one for each way of reading.
const PEERS: [(&str, Build); 3] = [
    ("parity/cls", bert_classifier),
    ("parity/qwen2-clm", qwen2_at_once),
    ("parity/llama-clm", llama_by_steps),
];

/// The file of a model with what candle's configurations ask for beside it.
fn told<T: serde::de::DeserializeOwned>(config: &ModelConfig, more: Value) -> Candle<T> {
    let mut all = config.json.clone();
    all.extend(more.as_object().cloned().unwrap_or_default());
    serde_json::from_value(Value::Object(all)).map_err(candle_core::Error::wrap)
}

fn bert_classifier(config: &ModelConfig, head: Head, _: usize, parameters: VarBuilder) -> Candle<Reading> {
    let model = bert::BertModel::load(parameters.pp("bert"), &told(config, json!({}))?)?;
    let (h, classes) = (config.hidden_size, head.outputs().unwrap_or(0));
    let pooler = candle_nn::linear(h, h, parameters.pp("bert.pooler.dense"))?;
    let classifier = candle_nn::linear(h, classes, parameters.pp("classifier"))?;
    Ok(Reading::Whole(Box::new(move |ids, types| {
        let first = model.forward(ids, types, None)?.narrow(1, 0, 1)?.squeeze(1)?;
        classifier.forward(&pooler.forward(&first.contiguous()?)?.tanh()?)
    })))
}

fn qwen2_at_once(config: &ModelConfig, _: Head, _: usize, parameters: VarBuilder) -> Candle<Reading> {
    let more =
        json!({"rope_theta": 1e4, "sliding_window": 20, "max_window_layers": 0, "use_sliding_window": false});
    let mut model = qwen2::Model::new(&told(config, more)?, parameters.clone())?;
    let decoder = parameters.get((config.vocab_size, config.hidden_size), "model.embed_tokens.weight")?;
    Ok(Reading::Hidden { read: Box::new(move |ids: &Tensor| model.forward(ids, 0, None)), decoder })
}

fn llama_by_steps(config: &ModelConfig, _: Head, _: usize, parameters: VarBuilder) -> Candle<Reading> {
    let own: llama::LlamaConfig = told(config, json!({"rope_theta": 1e4, "rope_scaling": null}))?;
    let own = own.into_config(false);
    let mut cache = llama::Cache::new(true, parameters.dtype(), &own, parameters.device())?;
    let model = llama::Llama::load(parameters, &own)?;
    Ok(Reading::Steps(Box::new(move |ids, at| model.forward(ids, at, &mut cache))))
}

/// Oracle: the network, which PyTorch holds. Catches rows of a batch in another order, lost examples, and a token that sees what
/// comes behind it, whatever the model.
#[test]
fn our_own_models_have_the_same_losses_by_candle() -> Outcome {
    for (case, build) in PEERS {
        let (model, set) = open(&fixture(case));
        let other = Forward::new(model.config().clone(), model.head(), build, Backend::Fused)?;
        let wanted = set_loss(model.network()?, &model.theta, &set.examples, &set.by_length())?;
        let loss = set_loss(&other, &model.theta, &set.examples, &set.by_length())?;
        for (own, wanted) in loss.losses.iter().flatten().zip(wanted.losses.iter().flatten()) {
            assert!((own - wanted).abs() <= 1e-5 * wanted.max(1.0), "{case}: {own} and {wanted}");
        }
        assert_eq!(loss.predictions, wanted.predictions, "{case}");
        let pair = || directions::file::read(&fixture(case).join("directions.safetensors"), &model.theta);
        let wanted = surface(model.network()?, &model.theta, &set.examples, pair()?)?;
        for (own, wanted) in surface(&other, &model.theta, &set.examples, pair()?)?.iter().zip(wanted) {
            assert!((own - wanted).abs() <= 1e-5 * wanted, "{case}: {own} and {wanted}");
        }
        // What candle asks for is what the architecture says.
        let shapes = |layout: &fisherscape::model::Layout| -> BTreeMap<String, Vec<usize>> {
            layout.parameters().iter().map(|p| (p.name.clone(), p.shape.clone())).collect()
        };
        assert_eq!(shapes(&other.layout), shapes(model.layout()), "{case}");
        let place = |name: &str| model.layout().get(name).map(|p| p.place.layer);
        for parameter in other.layout.parameters() {
            assert_eq!(Some(parameter.place.layer), place(&parameter.name), "{case} {}", parameter.name);
        }
    }
    Ok(())
}

/// Property: each parameter has a share in the loss, at each of its entries that examples are said to reach together, and none at the
/// others. Catches a model that is built of other parameters than those it is given, and a table that the decoder reads, too.
#[test]
fn each_parameter_moves_the_loss_and_what_is_out_of_reach_does_not() -> Outcome {
    for case in CASES {
        let (model, set) = open(&fixture(case));
        let loss = |theta: &ParamMap| -> Outcome<f64> {
            Ok(set_loss(model.objective(), theta, &set.examples, &set.by_length())?.loss)
        };
        let centre = loss(&model.theta)?;
        let examples: Vec<&Example> = set.examples.iter().collect();
        for (name, tensor) in &model.theta {
            let rows = tensor.dim(0)?;
            let reached = model.objective().reached(name, &examples);
            let within = |row: usize| match &reached {
                Reached::All => true,
                Reached::Rows(rows) => rows.contains(&row),
            };
            let mut noise = vec![0f32; tensor.elem_count()];
            Stream::new(5, name).fill_normal(0, &mut noise);
            let width = noise.len() / rows;
            let moved = |inside: bool| -> Outcome<f64> {
                let own = |(i, v): (usize, &f32)| if within(i / width) == inside { *v } else { 0.0 };
                let step: Vec<f32> = noise.iter().enumerate().map(own).collect();
                let mut theta = model.theta.clone();
                theta.insert(
                    name.clone(),
                    (tensor + Tensor::from_vec(step, tensor.dims(), tensor.device())?)?,
                );
                loss(&theta)
            };
            // It shifts all scores of a query alike, which softmax ignores.
            let idle = name.ends_with("pos_key_proj.bias");
            assert!(idle || (moved(true)? - centre).abs() > 1e-6, "{case}: {name} does not move the loss");
            assert_eq!(moved(false)?, centre, "{case}: {name}");
        }
    }
    Ok(())
}

/// Oracle: the names, read by hand. Catches a layer's parameter taken for the head's, a tied decoder that stands twice, and a table
/// whose unused rows count as reached or the other way round.
#[test]
fn names_say_where_parameters_act() {
    let find = |case: &str, name: &str| {
        let (model, _) = open(&fixture(case));
        let found = model.layout().get(name).map(|p| (p.place.to_string(), p.kind, p.reach.clone()));
        assert_eq!(
            model.layout().get("lm_head.weight").is_some(),
            model.theta.contains_key("lm_head.weight")
        );
        found.unwrap_or_else(|| panic!("{case}: no {name}"))
    };
    use Kind::{Bias, DistanceTable, NormBias, NormWeight, TokenTable, Weight};
    for (case, name, place, kind, reach) in [
        (
            "deberta-cls",
            "deberta.embeddings.word_embeddings.weight",
            "embeddings",
            TokenTable,
            Reach::UsedRows,
        ),
        ("deberta-cls", "deberta.embeddings.LayerNorm.bias", "embeddings", NormBias, Reach::All),
        ("deberta-cls", "deberta.encoder.rel_embeddings.weight", "embeddings", DistanceTable, Reach::All),
        ("deberta-cls", "deberta.encoder.LayerNorm.weight", "embeddings", NormWeight, Reach::All),
        (
            "deberta-cls",
            "deberta.encoder.layer.1.attention.self.key_proj.bias",
            "layer.1.attention_probs",
            Bias,
            Reach::All,
        ),
        (
            "deberta-cls",
            "deberta.encoder.layer.0.attention.output.dense.weight",
            "layer.0.attention_output",
            Weight,
            Reach::All,
        ),
        (
            "deberta-cls",
            "deberta.encoder.layer.0.intermediate.dense.weight",
            "layer.0.intermediate",
            Weight,
            Reach::All,
        ),
        (
            "deberta-cls",
            "deberta.encoder.layer.0.output.dense.weight",
            "layer.0.ffn_output",
            Weight,
            Reach::All,
        ),
        ("deberta-cls", "pooler.dense.weight", "head", Weight, Reach::All),
        ("deberta-cls", "classifier.bias", "head", Bias, Reach::All),
        ("qwen3", "model.embed_tokens.weight", "embeddings", TokenTable, Reach::All),
        ("qwen3-untied", "model.embed_tokens.weight", "embeddings", TokenTable, Reach::UsedRows),
        ("qwen3-untied", "lm_head.weight", "head", Weight, Reach::All),
        (
            "qwen3",
            "model.layers.1.self_attn.q_norm.weight",
            "layer.1.attention_probs",
            NormWeight,
            Reach::All,
        ),
        (
            "qwen3",
            "model.layers.1.post_attention_layernorm.weight",
            "layer.1.intermediate",
            NormWeight,
            Reach::All,
        ),
        (
            "gemma2",
            "model.layers.0.post_feedforward_layernorm.weight",
            "layer.0.ffn_output",
            NormWeight,
            Reach::All,
        ),
        ("gemma", "model.norm.weight", "head", NormWeight, Reach::All),
        ("phi", "model.layers.0.self_attn.dense.weight", "layer.0.attention_output", Weight, Reach::All),
        ("phi", "model.layers.0.mlp.fc1.weight", "layer.0.intermediate", Weight, Reach::All),
        ("phi", "model.layers.0.mlp.fc2.bias", "layer.0.ffn_output", Bias, Reach::All),
        ("phi3", "model.layers.0.mlp.gate_up_proj.weight", "layer.0.intermediate", Weight, Reach::All),
        ("phi3", "model.layers.1.self_attn.qkv_proj.weight", "layer.1.attention_probs", Weight, Reach::All),
    ] {
        assert_eq!(find(&format!("forward/{case}"), name), (place.to_string(), kind, reach), "{name}");
    }
    let (model, _) = open(&fixture("forward/gemma3"));
    let order: Vec<(usize, usize)> = model.layout().parameters().iter().map(|p| p.place.order()).collect();
    assert!(order.is_sorted() && model.layout().parameters().last().is_some_and(|p| p.place == Place::HEAD));
}

/// A folder's whole content, by name.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().to_string(), std::fs::read(path).unwrap_or_default())
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

/// Property: what needs gradients says why there are none, with exit code 1, and leaves nothing. Catches zeros in place of gradients,
/// which candle gives behind an operation without a backward pass.
#[test]
fn what_needs_gradients_is_refused_and_leaves_nothing() -> Outcome {
    let folder = fixture("forward/deberta-cls");
    let (model, set) = (folder.join("model"), folder.join("set.safetensors"));
    let (model, set) = (model.display(), set.display());
    let table = fixture("tiny/sentiment.tsv");
    for command in [
        format!("fisher --checkpoint {model} --set {set} --out f.safetensors"),
        format!("sharpness --checkpoint {model} --set {set} --out s.csv"),
        format!("stability --checkpoint {model} --set {set} --out stability"),
        format!("damage --checkpoint {model} --set {set} --fisher none.safetensors --out damage"),
        format!("directions --checkpoint {model} --set {set} --kind gradient --out d.safetensors"),
        format!(
            "train --checkpoint {model} --table {} --columns sentence,label --dropout none --out trained",
            table.display()
        ),
        format!("pretrain --checkpoint {model} --text {} --out more", table.display()),
        format!("pretrain --config {model}/config.json --text {} --out new", table.display()),
    ] {
        let scratch = tempfile::tempdir()?;
        let output = fisherscape(&command).current_dir(scratch.path()).assert().code(1);
        let message = String::from_utf8(output.get_output().stderr.clone())?;
        let reason = "candle-transformers, which computes its loss, cuts them in normalization and softmax";
        assert!(message.contains(reason) && message.contains("`deberta-v2`"), "{command}: {message}");
        assert!(message.contains("config.json: `model_type` is") && message.contains("fix:"), "{message}");
        assert_eq!(
            content(scratch.path()).into_keys().collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{command}"
        );
    }
    // From the library, too: none is zero, all are refused.
    let (model, set) = open(&folder);
    let batch = fisherscape::data::Batch::new(&[&set.examples[0]], 0);
    let theta = params::variables(&model.theta)?;
    assert!(model.objective().gradient(&theta, &batch, &[1.0]).is_err());
    assert!(model.objective().summed_gradient(&theta, &batch).is_err());
    assert!(model.network().is_err());
    Ok(())
}

/// Property: a surface has the same bytes on one thread and on two; towards another checkpoint it ends at that one's loss; a random
/// mask needs no F. Catches a model that threads share, and a set cut otherwise.
#[test]
fn surfaces_run_between_checkpoints_and_on_any_threads() -> Outcome {
    for case in ["forward/qwen3", "forward/deberta-cls", "forward/phi"] {
        let scratch = tempfile::tempdir()?;
        let (model, other) = (fixture(case).join("model"), scratch.path().join("other"));
        copy_folder(&model, &other);
        let (own, _) = open(&fixture(case));
        let scaled = own.theta.iter().map(|(name, t)| Ok((name.clone(), (t * 1.1)?)));
        let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        params::write_params(
            &other.join("model.safetensors"),
            &scaled.collect::<Candle<ParamMap>>()?,
            &format,
        )?;
        let set = fixture(case).join("set.safetensors");
        let inputs = format!("--checkpoint {} --set {}", model.display(), set.display());
        let run = |command: &str| {
            let output = fisherscape(command).current_dir(scratch.path()).assert().success();
            String::from_utf8(output.get_output().stdout.clone()).unwrap()
        };
        run(&format!("directions {inputs} --to other --out d.safetensors"));
        run(&format!("surface {inputs} --directions d.safetensors --profile --coords 0,1 --out between.csv"));
        let rows: Vec<BTreeMap<String, String>> = csv::Reader::from_path(scratch.path().join("between.csv"))?
            .deserialize()
            .collect::<Result<_, _>>()?;
        let loss = |folder: &Path| -> Outcome<f64> {
            let said = run(&format!("loss --checkpoint {} --set {} --json", folder.display(), set.display()));
            Ok(serde_json::from_str::<Value>(&said)?["loss"].as_f64().ok_or("no loss")?)
        };
        for (row, folder) in rows.iter().zip([&model, &other]) {
            let (found, wanted) = (row["loss"].parse::<f64>()?, loss(folder)?);
            // θ + (θ' - θ) is θ' up to the rounding.
            assert!((found - wanted).abs() <= 1e-5 * wanted, "{case}: {found} and {wanted}");
        }
        let plane = |threads: usize, out: &str| {
            let mask = "--mask random:0.5 --resolution 3 --per-example";
            run(&format!("--threads {threads} surface {inputs} {mask} --out {out}.csv"));
            [".csv", ".mask.csv", ".examples.safetensors"]
                .map(|end| std::fs::read(scratch.path().join(format!("{out}{end}"))).unwrap())
        };
        assert!(plane(1, "one") == plane(2, "two"), "{case}");
        run("render one.csv --out one.svg");
    }
    Ok(())
}

/// Oracle: the tables. Catches an architecture that works and is not named.
#[test]
fn an_unknown_architecture_names_those_of_both_kinds() -> Outcome {
    let scratch = tempfile::tempdir()?;
    copy_folder(&fixture("forward/phi/model"), scratch.path());
    std::fs::write(scratch.path().join("config.json"), r#"{"model_type": "mamba"}"#)?;
    let set = fixture("forward/phi/set.safetensors");
    let command = format!("loss --checkpoint {} --set {}", scratch.path().display(), set.display());
    let output = fisherscape(&command).assert().code(1);
    let message = String::from_utf8(output.get_output().stderr.clone())?;
    let all = ALL.into_iter().chain(BY_CANDLE);
    for architecture in all {
        assert!(message.contains(architecture.model_type), "{architecture:?}: {message}");
    }
    assert!(message.contains("for losses only, deberta-v2"), "{message}");
    Ok(())
}
