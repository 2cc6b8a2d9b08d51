//! Training against PyTorch, and what paired arms share.

use std::collections::BTreeSet;

use fisherscape::data::Example;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::dropout::noise::Kind;
use fisherscape::dropout::{Dropout, Rates};
use fisherscape::model::Checkpoint;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::gradient::{Gradient, Gradients};
use fisherscape::params;
use fisherscape::train::adamw::{self, AdamW};
use fisherscape::train::{batches, gradient};

use crate::support::{Outcome, fixture, json, relative, tensors, values};

/// Oracle: twenty steps of torch.optim.AdamW with LambdaLR and clip_grad_norm_, without dropout, from the same
/// weights on the same batches. Catches a decay that ends a step early, eps inside the root, a bias correction left
/// out, clipping after the step. 1e-4: float32 differences of 1e-7 a step, amplified by Adam's division.
#[test]
fn twenty_steps_equal_pytorch() -> Outcome {
    let folder = fixture("training");
    let expected = json(&folder.join("expected.json"));
    let steps: Vec<(f64, f64)> = serde_json::from_value(expected["steps"].clone())?;
    let (lr, size) = (expected["lr"].as_f64().unwrap(), expected["batch"].as_u64().unwrap() as usize);
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    let theta = params::variables(&model.theta)?;
    let mut optimizer = AdamW::new(&theta, 0.0);
    let parts: Vec<Vec<&Example>> = set.examples.chunks(size).map(|part| part.iter().collect()).collect();
    for (t, (wanted, wanted_norm)) in steps.iter().enumerate() {
        let (loss, g) = gradient(&model.bert, &theta, &parts[t % parts.len()], None)?;
        let norm = adamw::norm(&g)?;
        assert!((loss - wanted).abs() <= 1e-4 * wanted, "step {t}: loss {loss} and {wanted}");
        assert!((norm - wanted_norm).abs() <= 1e-3 * wanted_norm, "step {t}: norm {norm} and {wanted_norm}");
        let lr = lr * (steps.len() - t) as f64 / steps.len() as f64;
        optimizer.step(&theta, &g, lr, adamw::clip(norm, 1.0))?;
    }
    for (name, wanted) in tensors(&folder.join("trained.safetensors")) {
        // Key biases have a gradient of pure rounding, which Adam divides by its own size.
        if !name.ends_with("key.bias") {
            let error = relative(&values(&theta[&name]), &values(&wanted));
            assert!(error <= 1e-3, "{name}: {error:.1e}");
        }
    }
    Ok(())
}

/// Oracle: the same optimizer given whole tables of gradients, on other batches each step, so that rows come into use,
/// fall out of it and come back; with and without weight decay. Same bits: a row left out must not have moved. Catches a
/// row whose moments stop fading when a batch does not use it, decay on used rows only, a norm summed in another order.
#[test]
fn sparse_table_gradients_move_the_parameters_as_dense_ones_do() -> Outcome {
    let folder = fixture("training");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    for decay in [0.0, 0.1] {
        let [sparse, dense] = [params::variables(&model.theta)?, params::variables(&model.theta)?];
        let [mut sparse_adamw, mut dense_adamw] = [AdamW::new(&sparse, decay), AdamW::new(&dense, decay)];
        for (t, part) in set.examples.chunks(2).enumerate() {
            let batch: Vec<&Example> = part.iter().collect();
            let (_, g) = gradient(&model.bert, &sparse, &batch, None)?;
            let whole: Gradients =
                g.iter().map(|(n, g)| (n.clone(), Gradient::Dense(g.dense().unwrap()))).collect();
            let tables = g.values().filter(|g| matches!(g, Gradient::Rows { .. })).count();
            assert_eq!(tables, 3, "no table had a sparse gradient");
            let norm = adamw::norm(&g)?;
            assert_eq!(norm.to_bits(), adamw::norm(&whole)?.to_bits());
            sparse_adamw.step(&sparse, &g, 1e-2, adamw::clip(norm, 1.0))?;
            dense_adamw.step(&dense, &whole, 1e-2, adamw::clip(norm, 1.0))?;
            for (name, p) in &sparse {
                assert_eq!(values(p), values(&dense[name]), "step {t}: {name}");
            }
        }
        let (before, after) = (values(&model.theta[WORD]), values(&sparse[WORD]));
        assert_eq!(before[..8] == after[..8], decay == 0.0, "[PAD], which is in no batch");
    }
    Ok(())
}

const WORD: &str = "bert.embeddings.word_embeddings.weight";

/// Oracle: the definition. Each epoch holds every example once, and another epoch or seed another order.
#[test]
fn an_epoch_visits_every_example_once_in_an_order_of_its_own() -> Outcome {
    let set = FrozenSet::read(&fixture("training/set.safetensors"))?;
    let flat = |seed, epoch| batches::epoch(&set.examples, 4, seed, epoch);
    for epoch in 0..3 {
        let parts = flat(1, epoch);
        let seen: BTreeSet<usize> = parts.iter().flatten().copied().collect();
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), set.examples.len());
        assert_eq!(seen.len(), set.examples.len());
        assert!(parts.iter().all(|part| part.len() <= 4));
    }
    assert_eq!(flat(1, 0), flat(1, 0));
    assert_ne!(flat(1, 0), flat(1, 1));
    assert_ne!(flat(1, 0), flat(2, 0));
    Ok(())
}

/// Oracle: the definition. With every rate 0 dropout is the identity, to the bit; with a rate it is not; the same
/// seed and step give the same gradient, another step another one.
#[test]
fn dropout_acts_in_training_only_where_a_rate_is_set() -> Outcome {
    let folder = fixture("training");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    let theta = params::variables(&model.theta)?;
    let batch: Vec<&Example> = set.examples.iter().take(6).collect();
    for kind in [Kind::Bernoulli, Kind::Gaussian] {
        let dropout = |p, head| Dropout { kind, rates: Rates::uniform(2, p), head, seed: 5 };
        let at = |d: &Dropout, step| gradient(&model.bert, &theta, &batch, Some((d, step)));
        let plain = gradient(&model.bert, &theta, &batch, None)?;
        assert_same(&plain, &at(&dropout(0.0, 0.0), 0)?);
        let on = at(&dropout(0.2, 0.0), 0)?;
        assert_ne!(plain.0, on.0);
        assert_same(&on, &at(&dropout(0.2, 0.0), 0)?);
        assert_ne!(at(&dropout(0.2, 0.0), 1)?.0, on.0);
        assert_ne!(at(&dropout(0.0, 0.2), 0)?.0, plain.0, "the head's dropout alone");
    }
    Ok(())
}

/// Equal losses and gradients, to the bit.
fn assert_same(a: &(f64, Gradients), b: &(f64, Gradients)) {
    assert_eq!(a.0, b.0);
    assert_eq!(a.1.len(), b.1.len());
    a.1.iter().for_each(|(name, g)| {
        assert_eq!(values(&g.dense().unwrap()), values(&b.1[name].dense().unwrap()), "{name}");
    });
}
