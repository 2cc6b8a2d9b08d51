//! Losses, gradients, Fisher information and surfaces against PyTorch (fixtures of `make.py`), candle-transformers
//! and central differences.
//!
//! Tolerances: both sides compute in float32 with different orders of summation, whose errors are some 1e-7 per
//! operation and grow with depth; a wrong formula is off by 1e-2 or more.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::{Batch, Example};
use fisherscape::dropout::{LayerName, Place};
use fisherscape::evaluate::{Evaluator, set_loss};
use fisherscape::fisher;
use fisherscape::landscape::directions;
use fisherscape::landscape::mask::{self, Choice, MaskUnit, Norm, Select};
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::surface::Plan;
use fisherscape::model::architectures;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::layout::{Kind, Reach, Reached};
use fisherscape::model::ops::Backend;
use fisherscape::model::settings::Distances;
use fisherscape::model::{Checkpoint, Model, Objective, Reduction, gradient};
use fisherscape::params;
use fisherscape::train;

use crate::devices;
use crate::support::{Outcome, fixture, json, relative, tensors, values};

/// An architecture with a head: the folder of its fixture, and how many examples of its set have no target.
struct Case {
    name: &'static str,
    skipped: usize,
}

/// Every architecture, with every head that it has.
const CASES: [Case; 32] = [
    Case { name: "parity/mlm", skipped: 2 },
    Case { name: "parity/cls", skipped: 0 },
    Case { name: "parity/reg", skipped: 0 },
    Case { name: "parity/roberta-mlm", skipped: 2 },
    Case { name: "parity/roberta-cls", skipped: 0 },
    Case { name: "parity/distilbert-mlm", skipped: 2 },
    Case { name: "parity/distilbert-cls", skipped: 0 },
    Case { name: "parity/electra-mlm", skipped: 2 },
    Case { name: "parity/electra-cls", skipped: 0 },
    Case { name: "parity/albert-mlm", skipped: 2 },
    Case { name: "parity/albert-cls", skipped: 0 },
    Case { name: "parity/modernbert-mlm", skipped: 2 },
    Case { name: "parity/modernbert-cls", skipped: 0 },
    Case { name: "parity/gpt2-clm", skipped: 0 },
    Case { name: "parity/gpt2-cls", skipped: 0 },
    Case { name: "parity/gpt_neox-clm", skipped: 0 },
    Case { name: "parity/llama-clm", skipped: 0 },
    Case { name: "parity/qwen2-clm", skipped: 0 },
    Case { name: "parity/qwen2-cls", skipped: 0 },
    Case { name: "parity/bert-tok", skipped: 2 },
    Case { name: "parity/roberta-tok", skipped: 2 },
    Case { name: "parity/distilbert-tok", skipped: 2 },
    Case { name: "parity/electra-tok", skipped: 2 },
    Case { name: "parity/albert-tok", skipped: 2 },
    Case { name: "parity/modernbert-tok", skipped: 2 },
    Case { name: "parity/bert-span", skipped: 0 },
    Case { name: "parity/roberta-span", skipped: 0 },
    Case { name: "parity/distilbert-span", skipped: 0 },
    Case { name: "parity/electra-span", skipped: 0 },
    Case { name: "parity/albert-span", skipped: 0 },
    Case { name: "parity/t5-s2s", skipped: 0 },
    Case { name: "parity/flan-t5-s2s", skipped: 0 },
];

/// Every architecture has a row, and every row one.
#[test]
fn every_architecture_has_a_case() {
    let has = |kind: &str| {
        let own = CASES.iter().map(|case| json(&fixture(case.name).join("model/config.json")));
        own.into_iter().any(|config| config["model_type"] == kind)
    };
    // These differ from RoBERTa, Llama and T5 in the names of their classes alone, and in what they are where nothing is said.
    let same = ["xlm-roberta", "camembert", "mistral", "mt5"];
    for architecture in architectures::ALL {
        let kind = architecture.model_type;
        assert!(has(kind) != same.contains(&kind), "{kind}");
    }
}

/// Every case, on every backend.
fn cases() -> impl Iterator<Item = (&'static Case, Backend)> {
    CASES.iter().flat_map(|case| Backend::ALL.map(|backend| (case, backend)))
}

/// The composed operations run where the tests are told to.
fn open_on(folder: &Path, backend: Backend) -> (Model, FrozenSet) {
    if backend == Backend::Fused {
        return open(folder);
    }
    let set = FrozenSet::read(&folder.join("set.safetensors")).unwrap();
    let checkpoint = Checkpoint::open(&folder.join("model")).unwrap().on(&devices::opened());
    let model = checkpoint.model_for(&set, MissingHead::Refuse).unwrap();
    assert!(model.network().unwrap().backend == backend);
    (model, set)
}

pub fn open(folder: &Path) -> (Model, FrozenSet) {
    let set = FrozenSet::read(&folder.join("set.safetensors")).unwrap();
    let checkpoint = Checkpoint::open(&folder.join("model")).unwrap();
    (checkpoint.model_for(&set, MissingHead::Refuse).unwrap(), set)
}

/// Oracle: PyTorch, one example at a time. Catches padding that leaks into attention, segments or positions ignored,
/// and a mean of means in place of the sum over targets.
#[test]
fn losses_equal_pytorch() -> Outcome {
    for (Case { name: case, .. }, backend) in cases() {
        let folder = fixture(case);
        let (model, set) = open_on(&folder, backend);
        let expected = json(&folder.join("expected.json"));
        let loss = set_loss(model.network().unwrap(), &model.theta, &set.examples, &set.by_length())?;
        let wanted = expected["loss"].as_f64().unwrap();
        assert!(
            (loss.loss - wanted).abs() <= 1e-6 * wanted,
            "{case} {backend:?}: {} and {wanted}",
            loss.loss
        );
        let rows: Vec<(f64, usize)> = serde_json::from_value(expected["examples"].clone())?;
        assert_eq!(loss.examples, rows.iter().filter(|(_, m)| *m > 0).count());
        assert_eq!(loss.targets, rows.iter().map(|(_, m)| m).sum::<usize>());
        // The ratio estimator of docs/definitions.md section 1, written out over PyTorch's per-example sums.
        let used: Vec<&(f64, usize)> = rows.iter().filter(|(_, m)| *m > 0).collect();
        let (n, m) = (used.len() as f64, loss.targets as f64);
        let squares: f64 = used.iter().map(|(s, m)| (s - wanted * *m as f64).powi(2)).sum();
        let se = (n / (n - 1.0) * squares).sqrt() / m;
        assert!((loss.loss_se - se).abs() <= 1e-5 * se, "{case} {backend:?}: {} and {se}", loss.loss_se);
    }
    Ok(())
}

/// Oracle: PyTorch's gradient of the mean of the examples' mean losses, in evaluation mode. Catches an operation
/// that cuts the gradient, a tied decoder that adds nothing, shards weighted wrongly.
#[test]
fn gradients_equal_pytorch_and_none_is_zero() -> Outcome {
    for (Case { name: case, .. }, backend) in cases() {
        let folder = fixture(case);
        let (model, set) = open_on(&folder, backend);
        let theta = params::variables(&model.theta)?;
        let batch: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let gradient = gradient::dense(&train::gradient(model.network().unwrap(), &theta, &batch, None)?.1)?;
        let expected = tensors(&folder.join("gradient.safetensors"));
        assert_eq!(gradient.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, wanted) in &expected {
            let (got, wanted) = (&values(&gradient[name]), values(wanted));
            if model.layout().get(name).is_some_and(|p| p.reach == Reach::Nothing) {
                // Softmax ignores a shift: zero but for rounding.
                assert!(got.iter().all(|g| g.abs() < 1e-6), "{case} {backend:?} {name}");
                continue;
            }
            assert!(got.iter().any(|g| *g != 0.0), "{case} {backend:?} {name}: no gradient");
            let error = relative(got, &wanted);
            assert!(error <= 1e-4, "{case} {backend:?} {name}: {error:.1e}");
        }
    }
    Ok(())
}

/// Oracle: the gradient of all parameters. A mask may let one parameter move and no other: its gradient is the same. Catches an
/// operation that gives a bias none where its weight stays.
#[test]
fn a_parameter_that_moves_alone_has_its_gradient() -> Outcome {
    for (Case { name: case, .. }, backend) in cases() {
        let (model, set) = open_on(&fixture(case), backend);
        let batch: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).take(4).collect();
        let all = params::variables(&model.theta)?;
        let wanted = gradient::dense(&train::gradient(model.network().unwrap(), &all, &batch, None)?.1)?;
        for (name, p) in &model.theta {
            let mut theta = model.theta.clone();
            theta.insert(name.clone(), candle_core::Var::from_tensor(p)?.into_inner());
            let alone = train::gradient(model.network().unwrap(), &theta, &batch, None)?.1;
            let alone = alone.get(name).ok_or_else(|| format!("{case} {backend:?} {name}: no gradient"))?;
            assert_eq!(values(&alone.dense()?), values(&wanted[name]), "{case} {backend:?} {name}");
        }
    }
    Ok(())
}

/// Oracle: PyTorch, squares inside the sum over examples. Catches the square of a batch gradient, examples without
/// target averaged in, and key biases that are noise in place of zero.
#[test]
fn fisher_diagonals_equal_pytorch() -> Outcome {
    for (Case { name: case, skipped }, backend) in cases() {
        let folder = fixture(case);
        let (model, set) = open_on(&folder, backend);
        let got = fisher::diagonal(model.network().unwrap(), &model.theta, &set.examples, Reduction::Mean)?;
        let expected = tensors(&folder.join("fisher.safetensors"));
        assert_eq!(got.diagonal.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(got.skipped, *skipped);
        for (name, wanted) in &expected {
            let (f, wanted) = (values(&got.diagonal[name]), values(wanted));
            // Exactly zero where PyTorch's script says that it is so by construction, and nowhere else.
            let zeros = |f: &[f32]| f.iter().map(|f| *f == 0.0).collect::<Vec<_>>();
            assert_eq!(zeros(&f), zeros(&wanted), "{case} {backend:?} {name}");
            if wanted.iter().any(|f| *f > 0.0) {
                let error = relative(&f, &wanted);
                assert!(error <= 2e-4, "{case} {backend:?} {name}: {error:.1e}");
            }
        }
    }
    Ok(())
}

/// Oracle: PyTorch with the same directions, and its own top-5 % mask by a stable sort. Catches exchanged axes,
/// ties broken another way, a mask applied to one direction only.
#[test]
fn surfaces_equal_pytorch() -> Outcome {
    for (Case { name: case, .. }, backend) in cases() {
        let folder = fixture(case);
        let (model, set) = open_on(&folder, backend);
        let directions = directions::file::read(&folder.join("directions.safetensors"), &model.theta)?;
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let effective =
            mask::effective(&model.theta, &directions, |n| model.network().unwrap().reached(n, &examples));
        let fisher = tensors(&folder.join("fisher.safetensors"));
        for (file, select) in [("surface.csv", Select::All), ("surface_top5.csv", Select::Top(0.05))] {
            let choice = Choice::new(select, MaskUnit::Parameter, &model.theta, Some(&fisher), 0)?;
            let mask = choice.mask(&effective)?;
            if select != Select::All {
                let expected = json(&folder.join("expected.json"));
                assert_eq!(mask.report.selected as u64, expected["selected"].as_u64().unwrap());
                assert_eq!(mask.report.parameters as u64, expected["parameters"].as_u64().unwrap());
            }
            let masked = [0, 1].map(|i| mask.apply(directions[i].clone(), &effective, Norm::Filter).0);
            let by_length = set.by_length();
            let plan = Plan {
                theta: &model.theta,
                examples: &set.examples,
                by_length: &by_length,
                scoring: set.scoring(),
                plane: &Plane::new(masked),
                coordinates: [&[-0.5, 0.0, 1.0], &[-1.0, 0.0, 1.0], &[0.0]],
                per_example: false,
                refine: 0,
                sample: None,
            };
            let scratch = tempfile::tempdir()?;
            let surface = plan.evaluate(model.network().unwrap(), &scratch.path().join("journal"), "test")?;
            let mut expected = csv::Reader::from_path(folder.join(file))?;
            let rows: Vec<(f64, f64, f64)> = expected.deserialize().collect::<Result<_, _>>()?;
            assert_eq!(surface.points.len(), rows.len());
            for (point, (x, y, loss)) in surface.points.iter().zip(rows) {
                assert_eq!((point.x, point.y), (x, y));
                assert!(
                    (point.loss - loss).abs() <= 2e-5 * loss,
                    "{case} {backend:?} {file} ({x}, {y}): {} {loss}",
                    point.loss
                );
            }
        }
    }
    Ok(())
}

/// Oracle: transformers' own function (fixture). Catches a bound between two buckets that rounds the other way, and buckets of
/// keys in front of a query taken for those behind.
#[test]
fn buckets_of_distances_equal_transformers() -> Outcome {
    for row in json(&fixture("parity/distances.json")).as_array().ok_or("no rows")? {
        let number = |key: &str| row[key].as_u64().unwrap() as usize;
        let (buckets, farthest) = (number("buckets"), number("farthest"));
        let distances = Distances { buckets, farthest, both: row["both"].as_bool().unwrap() };
        let wanted: Vec<usize> = serde_json::from_value(row["of"].clone())?;
        let got: Vec<usize> = (0..wanted.len()).map(|key| distances.bucket(300, key)).collect();
        assert_eq!(got, wanted, "{distances:?}");
    }
    Ok(())
}

/// Oracle: the entries of F that are not 0. Catches rows of the table of distances that are said to be out of reach and are not,
/// or the other way round, and tokens that the decoder alone reads.
#[test]
fn examples_reach_what_has_a_gradient() -> Outcome {
    for name in ["parity/t5-s2s", "parity/flan-t5-s2s"] {
        let (model, set) = open(&fixture(name));
        let examples: Vec<&Example> = set.examples.iter().collect();
        for (name, f) in tensors(&fixture(name).join("fisher.safetensors")) {
            let parameter = model.layout().get(&name).ok_or("no such parameter")?;
            let Reached::Rows(rows) = model.network().unwrap().reached(&name, &examples) else { continue };
            assert!(matches!(parameter.kind, Kind::DistanceTable | Kind::TokenTable), "{name}");
            let width = parameter.shape[1];
            let moved = |row: &usize| values(&f)[row * width..(row + 1) * width].iter().any(|f| *f > 0.0);
            let wanted: BTreeSet<usize> = (0..parameter.shape[0]).filter(moved).collect();
            assert_eq!(rows, wanted, "{name}");
        }
    }
    Ok(())
}

/// Oracle: logits of transformers (fixture) and of candle-transformers, an implementation with padding and other
/// kernels.
#[test]
fn logits_equal_transformers_and_candle_transformers() -> Outcome {
    let folder = fixture("parity/cls");
    let (model, set) = open(&folder);
    let example = &set.examples[0];
    let outputs = model.network().unwrap().losses(&model.theta, &Batch::new(&[example], 0))?;
    let expected: Vec<f32> =
        serde_json::from_value(json(&folder.join("expected.json"))["logits_of_example_0"].clone())?;
    assert!(relative(&values(&outputs.scores), &expected) <= 1e-5);

    let config = serde_json::from_str(&std::fs::read_to_string(folder.join("model/config.json"))?)?;
    let weights = std::fs::read(folder.join("model/model.safetensors"))?;
    let weights = candle_nn::VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
    let peer = candle_transformers::models::bert::BertModel::load(weights, &config)?;
    let ids = Tensor::new(example.ids.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
    let types = Tensor::new(example.types.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
    let hidden = peer.forward(&ids, &types, None)?;
    let first = hidden.narrow(1, 0, 1)?.squeeze(1)?;
    let linear = |x: &Tensor, name: &str| {
        x.matmul(&model.theta[&format!("{name}.weight")].t()?)?
            .broadcast_add(&model.theta[&format!("{name}.bias")])
    };
    let logits = linear(&linear(&first, "bert.pooler.dense")?.tanh()?, "classifier")?;
    assert!(relative(&values(&outputs.scores), &values(&logits)) <= 1e-5);
    Ok(())
}

/// Oracle: vocabulary logits of transformers for a whole example; ours are computed at the targets only, and without a
/// gradient only the highest one's token is kept.
#[test]
fn masked_lm_logits_equal_transformers_at_the_targets() -> Outcome {
    let folder = fixture("parity/mlm");
    let (model, set) = open(&folder);
    let example = &set.examples[0];
    let batch = Batch::new(&[example], 0);
    let outputs = model.network().unwrap().losses(&params::variables(&model.theta)?, &batch)?;
    let all: Vec<f32> =
        serde_json::from_value(json(&folder.join("expected.json"))["logits_of_example_0"].clone())?;
    let vocabulary = model.config().vocab_size;
    let wanted: Vec<f32> = example
        .target
        .rows
        .iter()
        .flat_map(|at| all[*at as usize * vocabulary..][..vocabulary].to_vec())
        .collect();
    assert!(relative(&values(&outputs.scores), &wanted) <= 1e-5);
    let highest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as f32;
    let tokens: Vec<f32> = wanted.chunks(vocabulary).map(highest).collect();
    assert_eq!(values(&model.network().unwrap().losses(&model.theta, &batch)?.scores), tokens);
    Ok(())
}

/// Oracle: central differences of the loss along random directions, in every tensor. With step 1e-2 along a unit
/// direction the truncation error is some 1e-4 of the slope's scale, and rounding 1e-5.
#[test]
fn gradients_equal_central_differences() -> Outcome {
    let (model, set) = open(&fixture("parity/cls"));
    let batch: Vec<&Example> = set.examples.iter().collect();
    let loss_at = |theta: &params::ParamMap| {
        train::gradient(model.network().unwrap(), theta, &batch, None).map(|(l, _)| l)
    };
    let theta = params::variables(&model.theta)?;
    let gradient = gradient::dense(&train::gradient(model.network().unwrap(), &theta, &batch, None)?.1)?;
    for (name, weight) in &model.theta {
        let stream = fisherscape::rng::Stream::new(3, name);
        let mut d = vec![0f32; weight.elem_count()];
        stream.fill_normal(0, &mut d);
        let norm = directions::norm(&d);
        d.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        let moved = |step: f32| {
            let values: Vec<f32> = values(weight).iter().zip(&d).map(|(w, d)| w + step * d).collect();
            let mut moved = model.theta.clone();
            moved.insert(name.clone(), Tensor::from_vec(values, weight.dims(), &Device::Cpu).unwrap());
            loss_at(&params::variables(&moved).unwrap()).unwrap()
        };
        let step = 1e-2f32;
        let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
        let predicted: f64 = values(&gradient[name]).iter().zip(&d).map(|(g, d)| f64::from(g * d)).sum();
        let size = directions::norm(&values(&gradient[name]));
        assert!((slope - predicted).abs() <= 2e-3 * size.max(0.05), "{name}: {slope} and {predicted}");
    }
    Ok(())
}

/// Oracle: the definition. What a batch gives an example is what it gets alone, so packing changes nothing.
#[test]
fn a_batch_gives_each_example_the_loss_it_has_alone() -> Outcome {
    for Case { name: case, .. } in &CASES {
        let (model, set) = open(&fixture(case));
        let examples: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
        let together =
            values(&model.network().unwrap().losses(&model.theta, &Batch::new(&examples, 0))?.losses);
        let alone: Vec<f32> = examples
            .iter()
            .flat_map(|e| {
                values(&model.network().unwrap().losses(&model.theta, &Batch::new(&[e], 0)).unwrap().losses)
            })
            .collect();
        assert!(relative(&together, &alone) <= 1e-6, "{case}");
    }
    Ok(())
}

/// Oracle: the whole forward pass, to the bit, at a point that moves the upper part of the model only; and a surface with
/// and without room for what is kept. Catches a layer done twice or left out, and a prefix that moved.
#[test]
fn what_does_not_move_is_evaluated_once() -> Outcome {
    for Case { name: case, .. } in &CASES {
        let (model, set) = open(&fixture(case));
        let by_length = set.by_length();
        let layers = model.config().num_hidden_layers();
        for from in 0..=layers {
            // Layers from this one on, and the head; the word embeddings are a part of none of them.
            let place = |name: &str| model.layout().get(name).expect("a parameter").place;
            let encoder = model.config().decoder.map(|decoder| decoder.first);
            let number = |layer| match layer {
                LayerName::Decoder(k) => k + encoder.unwrap_or(0),
                layer => layer.number(),
            };
            let moves = |name: &str| match place(name).layer {
                Some(layer) => number(layer) >= from,
                None => place(name) == Place::HEAD,
            };
            // What all layers share moves in the first one or in none; an encoder's closing norm is a part of the head.
            let shared = model.theta.keys().any(|name| place(name).layer == Some(LayerName::Shared));
            let wanted_layers = match encoder {
                Some(first) => from.min(first),
                None if shared && from > 0 => layers,
                None => from,
            };
            let shifted = |(name, t): (&String, &candle_core::Tensor)| {
                (name.clone(), if moves(name) { (t * 1.25).unwrap() } else { t.clone() })
            };
            let moved: params::ParamMap = model.theta.iter().map(shifted).collect();
            let wanted = set_loss(model.network().unwrap(), &moved, &set.examples, &by_length)?;
            let batch = Batch::new(&[&set.examples[0]], 0);
            let prefix =
                model.network().unwrap().prefix(&model.theta, &batch, &moves)?.expect("embeddings that stay");
            assert_eq!(prefix.layers, wanted_layers, "{case}");
            for bytes in [0, usize::MAX] {
                let mut evaluator = Evaluator::new(&set.examples, &by_length);
                evaluator.keep_still(model.network().unwrap(), &model.theta, moves, bytes)?;
                let loss = evaluator.loss(model.network().unwrap(), &moved)?;
                assert_eq!(loss.loss.to_bits(), wanted.loss.to_bits(), "{case}, from layer {from}");
            }
        }
        let place = |name: &str| model.layout().get(name).expect("a parameter").place;
        let batch = Batch::new(&[&set.examples[0]], 0);
        assert!(
            model
                .network()
                .unwrap()
                .prefix(&model.theta, &batch, &|name| place(name) == Place::EMBEDDINGS)?
                .is_none()
        );
    }
    Ok(())
}
