//! Training against PyTorch, and what paired arms share.

use std::collections::BTreeSet;
use std::path::Path;

use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::masking::{self, Masking};
use fisherscape::data::tokenizer::Special;
use fisherscape::data::{Batch, by_length};
use fisherscape::data::{Example, Target};
use fisherscape::dropout::noise::Kind;
use fisherscape::dropout::{Dropout, Rates};
use fisherscape::evaluate::set_loss;
use fisherscape::model::Body;
use fisherscape::model::Checkpoint;
use fisherscape::model::Model;
use fisherscape::model::Trainable;
use fisherscape::model::architectures::bert;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::gradient::{Gradient, Gradients};
use fisherscape::model::ops::Backend;
use fisherscape::params::{self, ParamMap};
use fisherscape::train::adamw::{self, AdamW};
use fisherscape::train::optimizer::Optimizer;
use fisherscape::train::state::{Standing, State};
use fisherscape::train::{Config, HeldOut, Row, Run, batches, gradient, noisy, schedule};

use crate::support::{Outcome, fisherscape, fixture, json, relative, tensors, values};

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
    for backend in Backend::ALL {
        let theta = params::variables(&model.theta)?;
        let mut optimizer = Optimizer::new(backend, &theta, 0.0)?;
        let parts: Vec<Vec<&Example>> = set.examples.chunks(size).map(|part| part.iter().collect()).collect();
        for (t, (wanted, wanted_norm)) in steps.iter().enumerate() {
            let (loss, g) = gradient(model.network().unwrap(), &theta, &parts[t % parts.len()], None)?;
            let norm = adamw::norm(&g)?;
            assert!((loss - wanted).abs() <= 1e-4 * wanted, "step {t}: loss {loss} and {wanted}");
            assert!(
                (norm - wanted_norm).abs() <= 1e-3 * wanted_norm,
                "step {t}: norm {norm} and {wanted_norm}"
            );
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
            let (_, g) = gradient(model.network().unwrap(), &sparse, &batch, None)?;
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

/// Oracle: the sum written out in double precision, `Σ_s (1 - β₂) β₂^(t-s) (c_s g_s)² / (1 - β₂ᵗ)` over the gradients of every step, each scaled by its
/// clip; before the first step there is none. A row that some batches do not use has the zeros of these. 1e-5: thirty float32 roundings. Catches
/// the bias left in (2 % of the value after 20 steps), the first moment, and gradients before they are clipped.
#[test]
fn mean_squares_are_the_weighted_sum_of_all_gradients() -> Outcome {
    let folder = fixture("training");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    for backend in Backend::ALL {
        mean_squares_of(backend, &set, &model)?;
    }
    Ok(())
}

fn mean_squares_of(backend: Backend, set: &FrozenSet, model: &Model) -> Outcome {
    let theta = params::variables(&model.theta)?;
    let mut optimizer = Optimizer::new(backend, &theta, 0.1)?;
    assert!(optimizer.mean_squares(&theta)?.is_none());
    let mut squares: Vec<std::collections::BTreeMap<String, Vec<f64>>> = Vec::new();
    for part in set.examples.chunks(4) {
        let batch: Vec<&Example> = part.iter().collect();
        let (_, g) = gradient(model.network().unwrap(), &theta, &batch, None)?;
        let scale = adamw::clip(adamw::norm(&g)?, 0.5);
        let square = |(name, g): (&String, &Gradient)| {
            let values = values(&g.dense().unwrap());
            (name.clone(), values.iter().map(|g| (scale * f64::from(*g)).powi(2)).collect())
        };
        squares.push(g.iter().map(square).collect());
        optimizer.step(&theta, &g, 1e-3, scale)?;
    }
    let steps = squares.len() as i32;
    let found = optimizer.mean_squares(&theta)?.unwrap();
    assert!(steps > 5 && found.len() == theta.len());
    for (name, found) in &found {
        let found = values(found);
        let weight =
            |s: usize| (1.0 - 0.999) * 0.999f64.powi(steps - 1 - s as i32) / (1.0 - 0.999f64.powi(steps));
        for (i, found) in found.iter().enumerate() {
            let wanted: f64 = squares.iter().enumerate().map(|(s, own)| weight(s) * own[name][i]).sum();
            let close = (f64::from(*found) - wanted).abs() <= 1e-5 * wanted + 1e-30;
            assert!(close, "{name} {i}: {found}, expected {wanted}");
        }
    }
    Ok(())
}

/// Oracle: the model's own file and the Fisher file of the same model, whose names and shapes the moments have; `agree` ranks them beside it under the name of
/// their estimator. Without the option a second training into the folder leaves none of the first one's. Catches a stale file, and moments under names
/// of the network's.
#[test]
fn moments_stand_beside_fisher_information() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let run = |arguments: String| fisherscape(&arguments).current_dir(folder.path()).assert().success();
    let train = format!(
        "train --checkpoint {} --table {} --columns sentence,label --dropout none --epochs 1 --out run",
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    run(format!("{train} --save-moments --snapshots 2"));
    assert!(at("run/trajectory/step000000.safetensors").exists());
    run("fisher --checkpoint run --set run/held_out.safetensors --out F.safetensors".into());
    let (moments, fisher) = (tensors(&at("run/moments.safetensors")), tensors(&at("F.safetensors")));
    assert!(moments.keys().eq(fisher.keys()));
    assert!(moments.iter().all(|(name, v)| v.dims() == fisher[name].dims()));
    let said = run("agree F.safetensors run/moments.safetensors --resamples 0 --out agree".into());
    let said = String::from_utf8_lossy(&said.get_output().stdout).into_owned();
    assert!(said.contains("F and adam: rho"), "{said}");
    let scores = std::fs::read_to_string(at("agree/scores.csv"))?;
    assert!(scores.lines().any(|line| line.starts_with("adam,site,")), "{scores}");
    run(train);
    assert!(!at("run/moments.safetensors").exists());
    assert_eq!(std::fs::read_dir(at("run/trajectory"))?.count(), 0);
    Ok(())
}

const WORD: &str = "bert.embeddings.word_embeddings.weight";

/// The loss of every step, and the parameters at the end.
fn train(run: &Run, theta: &ParamMap, state: &Path) -> Outcome<(ParamMap, Vec<Row>)> {
    Ok(run.train(theta.clone(), state, |_, _, _, _| Ok(()))?)
}

/// Oracle: twenty steps of torch.optim.AdamW with two parameter groups and get_linear_schedule_with_warmup, each on the
/// whole set, which is one batch here or three whose gradients are summed. Catches a mean over examples in place of the masked
/// tokens, decay of biases or LayerNorm or through the moments, a warm-up that begins a step late, and a mean of each batch's
/// mean. 1e-4 as above.
#[test]
fn masked_language_modelling_equals_pytorch() -> Outcome {
    let recipe = json(&fixture("training/masked_lm.json"));
    let wanted: Vec<f64> = serde_json::from_value(recipe["losses"].clone())?;
    let number = |name: &str| recipe[name].as_f64().unwrap();
    let folder = fixture("parity/mlm");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let mut model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    for (accumulate, backend) in [(1, Backend::Fused), (3, Backend::Fused), (1, Backend::ALL[1])] {
        if let Body::Network(network) = &mut model.body {
            network.backend = backend;
        }
        let config = Config {
            patience: 0,
            steps: wanted.len(),
            every: 1,
            batch: set.examples.len().div_ceil(accumulate),
            accumulate,
            lr: number("lr"),
            warmup: number("warmup"),
            weight_decay: number("decay"),
            clip: 1.0,
            snapshots: 0,
            seed: 0,
        };
        let held_out = HeldOut { examples: &set.examples, kind: set.kind, scoring: set.scoring() };
        let (examples, network) = (&set.examples, model.network().unwrap());
        let run = Run {
            network,
            examples,
            masking: None,
            held_out,
            dropout: None,
            config: &config,
            snapshots: None,
        };
        let (_, rows) = train(&run, &model.theta, &tempfile::tempdir()?.path().join("state"))?;
        for (row, wanted) in rows.iter().zip(&wanted) {
            let (step, loss) = (row.step, row.train_loss);
            assert!((loss - wanted).abs() <= 1e-4 * wanted, "step {step}: loss {loss} and {wanted}");
        }
        let (last, after) = (rows.last().unwrap().loss, number("after"));
        assert!((last - after).abs() <= 1e-4 * after, "after: {last} and {after}");
    }
    Ok(())
}

/// Oracle: the run of whole batches. Cut into batches of three, two or one, with dropout on and the rows of
/// the embedding tables alone having gradients, sixteen steps give the same losses; batches of two that are steps of their own do
/// not. Catches dropout that is drawn anew for each part, rows that overwrite one another, and a mean over parts of unlike size.
/// 1e-3: Adam divides a gradient by its own size, so that what is rounding noise in one order of sums moves parameters in another.
#[test]
fn accumulated_batches_are_one_batch() -> Outcome {
    let folder = tempfile::tempdir()?;
    let go = |batch: usize, accumulate: usize| {
        with_run(3, |run, theta| {
            let config = Config { batch, accumulate, ..run.config.clone() };
            train(&Run { config: &config, ..run }, &theta, &folder.path().join("state"))
        })
    };
    let (_, whole) = go(6, 1)?;
    let apart = |rows: &[Row]| {
        let losses =
            rows.iter().zip(&whole).flat_map(|(a, b)| [(a.train_loss, b.train_loss), (a.loss, b.loss)]);
        losses.map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max)
    };
    for (batch, accumulate) in [(3, 2), (2, 3), (1, 6)] {
        let (_, rows) = go(batch, accumulate)?;
        assert!(apart(&rows) <= 1e-3, "{accumulate} batches of {batch}: {:.1e}", apart(&rows));
    }
    let (_, alone) = go(2, 1)?;
    assert!(apart(&alone) > 1e-2, "steps of two examples are those of six: {:.1e}", apart(&alone));
    Ok(())
}

/// A run of four epochs on the classification set, with dropout.
fn with_run<R>(seed: u64, check: impl FnOnce(Run, ParamMap) -> Outcome<R>) -> Outcome<R> {
    let folder = fixture("training");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    let config = Config {
        patience: 0,
        steps: 16,
        every: 4,
        batch: 6,
        accumulate: 1,
        lr: 1e-3,
        warmup: 0.1,
        weight_decay: 0.01,
        clip: 1.0,
        snapshots: 0,
        seed,
    };
    let dropout =
        Dropout { kind: Kind::Bernoulli, rates: Rates::uniform(&bert::sites(2), 0.1), head: 0.1, seed };
    let (examples, held) = set.examples.split_at(24);
    let held_out = HeldOut { examples: held, kind: set.kind, scoring: set.scoring() };
    let dropout = Some(&dropout);
    check(
        Run {
            network: model.network().unwrap(),
            examples,
            masking: None,
            held_out,
            dropout,
            config: &config,
            snapshots: None,
        },
        model.theta.clone(),
    )
}

fn assert_same_run(a: &(ParamMap, Vec<Row>), b: &(ParamMap, Vec<Row>)) {
    a.0.iter().for_each(|(name, p)| assert_eq!(values(p), values(&b.0[name]), "{name}"));
    assert_eq!(format!("{:?}", a.1), format!("{:?}", b.1));
}

/// Oracle: the uninterrupted run, to the bit, parameters and history; a run of another seed must not be gone on with.
/// Catches moments, the step or the sum of losses left out of the file, and a file that is taken for another run's.
#[test]
fn a_run_that_was_cut_short_ends_as_if_it_had_not_been() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let uninterrupted = with_run(3, |run, theta| train(&run, &theta, &whole))?;
    let mut seen = Vec::new();
    let failed = with_run(3, |run, theta| {
        let stop = fisherscape::Error::field("test", "row", "reached", "reached", "none");
        let mut stop = Some(stop);
        Ok(run.train(theta, &cut, |row, _, _, _| {
            seen.push(row.step);
            if row.step == 12 { stop.take().map_or(Ok(()), Err) } else { Ok(()) }
        }))
    })?;
    assert!(failed.is_err() && cut.exists(), "not cut short");
    let other = with_run(4, |run, theta| train(&run, &theta, &whole))?;
    std::fs::copy(&cut, &whole)?;
    assert_same_run(&with_run(4, |run, theta| train(&run, &theta, &whole))?, &other);
    // The other's results are overwritten from its first row on: nothing may resume to them.
    std::fs::copy(&cut, &whole)?;
    let (mut there, mut rows) = (true, 0);
    with_run(4, |run, theta| {
        Ok(run.train(theta, &whole, |_, _, _, _| {
            if rows == 0 {
                there = whole.exists();
            }
            rows += 1;
            Ok(())
        })?)
    })?;
    assert!(rows > 1 && !there);
    seen.clear();
    let resumed = with_run(3, |run, theta| {
        Ok(run.train(theta, &cut, |row, _, _, _| {
            seen.push(row.step);
            Ok(())
        })?)
    })?;
    assert!(!seen.contains(&4), "begun anew: {seen:?}");
    assert_same_run(&resumed, &uninterrupted);
    Ok(())
}

/// Oracle: the rules of the file, by hand. One of other inputs goes before this run writes results, unless it is this run's own by then.
#[test]
fn a_state_of_other_inputs_goes_and_ones_own_stays() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let weight = candle_core::Tensor::new(&[1f32, 2.0], &candle_core::Device::Cpu)?;
    let mut theta = ParamMap::from([("w".to_string(), weight)]);
    let mut optimizer = Optimizer::new(Backend::Fused, &theta, 0.0)?;
    let standing = Standing { step: 1, history: Vec::new(), sum: 0.0, count: 0 };
    State::of(&path, "one", &[], &[])?.write(&theta, &optimizer, &standing)?;
    for saves in [true, false] {
        let mut other = State::of(&path, "other", &[], &[])?;
        assert!(other.resume(9, &mut theta, &mut optimizer)?.is_none() && path.exists());
        if saves {
            other.write(&theta, &optimizer, &standing)?;
        }
        other.claim()?;
        assert_eq!(path.exists(), saves);
        if saves {
            let mut own = State::of(&path, "other", &[], &[])?;
            assert!(own.resume(9, &mut theta, &mut optimizer)?.is_some());
            own.claim()?;
            State::of(&path, "one", &[], &[])?.write(&theta, &optimizer, &standing)?;
        }
    }
    Ok(())
}

/// Oracle: the history of the run that does not stop. With patience 2 training ends at the second row in a row that is no
/// better than the best before it, with the parameters of that step; a run that is cut short and gone on with ends there
/// too. Catches a count from the first row, ties taken for better, and a resumed run that forgets what it has seen.
#[test]
fn training_stops_when_nothing_gets_better() -> Outcome {
    let folder = tempfile::tempdir()?;
    // So high a rate that the loss does not fall for long.
    let go = |patience: usize, name: &str, stop: Option<usize>| {
        with_run(3, |run, theta| {
            let config = Config { patience, steps: 40, every: 1, lr: 3e-2, ..run.config.clone() };
            let run = Run { config: &config, ..run };
            let fail = || fisherscape::Error::field("test", "row", "reached", "reached", "none");
            Ok(run.train(theta, &folder.path().join(name), |row, _, _, _| {
                if Some(row.step) == stop { Err(fail()) } else { Ok(()) }
            }))
        })
    };
    let (_, all) = go(0, "all", None)??;
    let score = |row: &Row| row.metrics.first().map_or(-row.loss, |(_, value)| *value);
    let (mut best, mut end) = (0, all.len());
    for (i, row) in all.iter().enumerate() {
        if score(row) > score(&all[best]) {
            best = i;
        }
        if i - best >= 2 {
            end = i + 1;
            break;
        }
    }
    assert!(end < all.len() && end > 2, "the run shows nothing: {end} of {}", all.len());
    let (theta, stopped) = go(2, "stopped", None)??;
    assert_eq!(stopped.iter().map(|row| row.step).collect::<Vec<_>>(), (1..=end).collect::<Vec<_>>());
    assert!(stopped.iter().zip(&all).all(|(a, b)| a.loss.to_bits() == b.loss.to_bits()));
    assert!(go(2, "cut", Some(end - 1))?.is_err());
    let (again, resumed) = go(2, "cut", None)??;
    assert_same_run(&(again, resumed), &(theta, stopped));
    Ok(())
}

/// Oracle: the run without snapshots, and one that was cut short: 5 snapshots of 16 steps are those after 0, 4, 8, 12 and 16, the
/// first is the start and the last the trained model, to the bit, and a resumed run leaves the same files. Catches parameters of a
/// step before or after, an earlier run's left behind, a snapshot that is lost between a kill and the next save.
#[test]
fn snapshots_are_the_parameters_along_the_way() -> Outcome {
    let folder = tempfile::tempdir()?;
    let plain = with_run(3, |run, theta| train(&run, &theta, &folder.path().join("plain")))?;
    let kept =
        |name: &str, stop: bool| -> Outcome<Vec<(usize, ParamMap)>> {
            let (state, snapshots) = (folder.path().join(name), folder.path().join(format!("{name}.kept")));
            std::fs::create_dir_all(&snapshots)?;
            std::fs::write(snapshots.join("step000003.safetensors"), "an earlier run's")?;
            let go =
                |stop: bool| {
                    with_run(3, |run, theta| {
                        let config = Config { snapshots: 5, ..run.config.clone() };
                        let run = Run { config: &config, snapshots: Some(&snapshots), ..run };
                        let fail = || fisherscape::Error::field("test", "row", "reached", "reached", "none");
                        Ok(run.train(theta, &state, |row, _, _, _| {
                            if stop && row.step == 12 { Err(fail()) } else { Ok(()) }
                        }))
                    })
                };
            if stop {
                assert!(go(true)?.is_err() && state.exists());
            }
            let (trained, _) = go(false)??;
            assert!(trained.iter().all(|(name, t)| values(t) == values(&plain.0[name])));
            let found = fisherscape::train::snapshots(&snapshots)?;
            Ok(found.into_iter().map(|(step, path)| (step, tensors(&path))).collect())
        };
    let (whole, cut) = (kept("whole", false)?, kept("cut", true)?);
    assert!(whole.iter().map(|(step, _)| *step).eq([0, 4, 8, 12, 16]));
    let same =
        |a: &ParamMap, b: &ParamMap| a.len() == b.len() && a.iter().all(|(n, t)| values(t) == values(&b[n]));
    with_run(3, |_, theta| {
        assert!(same(&whole[0].1, &theta), "the start");
        Ok(())
    })?;
    assert!(same(&whole[4].1, &plain.0), "the end");
    assert!(!same(&whole[1].1, &whole[2].1));
    for ((step, one), (other_step, other)) in whole.iter().zip(&cut) {
        assert!(step == other_step && same(one, other), "step {step} of the resumed run");
    }
    Ok(())
}

/// Oracle: the history. A row is the best so far if its chief metric is above all earlier ones (under masked LM: its loss
/// below); the first always is, and a tie keeps the earlier.
#[test]
fn the_best_row_has_the_highest_chief_metric_so_far() -> Outcome {
    let state = tempfile::tempdir()?.path().join("state");
    let mut flags = Vec::new();
    let (_, rows) = with_run(3, |run, theta| {
        let config = Config { steps: 60, every: 1, lr: 3e-3, ..run.config.clone() };
        // Evaluated on what it learns, so that there is something to rise.
        let held_out = HeldOut { examples: run.examples, ..run.held_out };
        let run = Run { config: &config, held_out, ..run };
        Ok(run.train(theta, &state, |_, _, _, best| {
            flags.push(best);
            Ok(())
        })?)
    })?;
    let accuracy: Vec<f64> = rows.iter().map(|row| row.metrics[0].1).collect();
    for (i, best) in flags.iter().enumerate() {
        let before = accuracy[..i].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(*best, accuracy[i] > before, "row {i} of {accuracy:?}");
    }
    assert!(flags[0] && flags.iter().any(|best| !best) && flags[1..].contains(&true), "{accuracy:?}");
    Ok(())
}

/// Oracle: the definition, with its binomial spread: 15 % of 20 000 tokens within 5 standard deviations, of these 80 %
/// masked, 10 % another token, 10 % kept; special tokens never. A step always masks its batch alike, another step
/// otherwise, and no two examples of a batch alike.
#[test]
fn each_step_masks_its_batch_anew() -> Outcome {
    let special = Special { pad: 0, mask: Some(4), end: None, all: vec![0, 1, 2, 3, 4] };
    let masking = Masking { special, vocabulary: 10_000, seed: 1 };
    let ids: Vec<u32> = [2].into_iter().chain((0..200).map(|i| 5 + i)).chain([3]).collect();
    let plain = Example { types: vec![0; ids.len()], ids, target: Target::none(), group: None, window: None };
    let at = |step| {
        let mut batch = vec![plain.clone(); 100];
        masking.batch(&mut batch, step);
        batch
    };
    let batch = at(7);
    assert_eq!(batch, at(7));
    assert_ne!(batch, at(8));
    assert_ne!(batch[0].target, batch[1].target);
    let (mut targets, mut masked, mut kept) = (0f64, 0f64, 0f64);
    for example in &batch {
        for (place, label) in example.target.pairs() {
            let place = place as usize;
            assert!(place > 0 && place <= 200, "a special token is a target");
            assert_eq!(label, plain.ids[place]);
            targets += 1.0;
            masked += f64::from(u8::from(example.ids[place] == 4));
            kept += f64::from(u8::from(example.ids[place] == label));
        }
    }
    let near = |count: f64, n: f64, p: f64| (count - n * p).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt();
    assert!(near(targets, 20_000.0, 0.15), "{targets} targets");
    assert!(near(masked, targets, 0.8) && near(kept, targets, 0.1), "{masked} masked, {kept} kept");
    Ok(())
}

/// Oracle: on paper. Tokens a, a, b, b have entropy ln 2; of four different ones ln 4.
#[test]
fn unigram_entropy_is_that_of_the_targets() {
    let example = |tokens: &[u32]| Example {
        ids: vec![4; tokens.len()],
        types: vec![0; tokens.len()],
        target: Target::at((0..).zip(tokens.iter().copied())),
        group: None,
        window: None,
    };
    let entropy = masking::unigram_entropy(&[example(&[7, 7]), example(&[9, 9])]);
    assert!((entropy - 2f64.ln()).abs() < 1e-15);
    assert!((masking::unigram_entropy(&[example(&[1, 2, 3, 4])]) - 4f64.ln()).abs() < 1e-15);
}

/// Oracle: transformers' formula on paper: a rise of 3 steps of 10, then a fall over the other 7.
#[test]
fn the_learning_rate_rises_and_falls_linearly() {
    let wanted =
        [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 6.0 / 7.0, 5.0 / 7.0, 4.0 / 7.0, 3.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0];
    let warmup = schedule::warmup_steps(0.25, 10);
    assert_eq!(warmup, 3);
    wanted.iter().enumerate().for_each(|(t, w)| assert_eq!(schedule::factor(t, warmup, 10), *w, "step {t}"));
    assert_eq!(schedule::factor(0, 0, 10), 1.0);
}

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
        let dropout = |p, head| Dropout { kind, rates: Rates::uniform(&bert::sites(2), p), head, seed: 5 };
        let at = |d: &Dropout, step| gradient(model.network().unwrap(), &theta, &batch, Some((d, step)));
        let plain = gradient(model.network().unwrap(), &theta, &batch, None)?;
        assert_same(&plain, &at(&dropout(0.0, 0.0), 0)?);
        let on = at(&dropout(0.2, 0.0), 0)?;
        assert_ne!(plain.0, on.0);
        assert_same(&on, &at(&dropout(0.2, 0.0), 0)?);
        assert_ne!(at(&dropout(0.2, 0.0), 1)?.0, on.0);
        assert_ne!(at(&dropout(0.0, 0.2), 0)?.0, plain.0, "the head's dropout alone");
    }
    Ok(())
}

/// Oracle: the examples alone. With the paper's Gaussian noise left on, the loss of each example is that of a forward pass on
/// it alone, and so the same whichever others are there, in whatever order, at 1 and 3 threads; it differs from the noise-free
/// one and by seed, and by the step, and is no draw of a training step. Without a rate it is the noise-free one (1e-5: another
/// cut of the same products). Catches noise numbered by place in the batch, one draw reused for all examples.
#[test]
fn noisy_evaluation_depends_on_seed_step_and_example_alone() -> Outcome {
    let set = FrozenSet::read(&fixture("training/set.safetensors"))?;
    let model = Checkpoint::open(&fixture("training/model"))?.model_for(&set, MissingHead::Refuse)?;
    let (network, theta, examples) = (model.network().unwrap(), &model.theta, &set.examples);
    let dropout = |p, seed| Dropout {
        kind: Kind::PaperGaussian,
        rates: Rates::uniform(&bert::sites(2), p),
        head: p,
        seed,
    };
    let order = by_length(examples);
    let losses = |d: &Dropout, step, examples: &[Example], order: &[usize]| -> Outcome<Vec<f64>> {
        let loss = noisy::set_loss((network, d, step), theta, examples, order)?;
        Ok(loss.by_example.into_iter().map(|(sum, _)| sum).collect())
    };
    let arm = dropout(0.4, 7);
    let own = losses(&arm, 5, examples, &order)?;
    let backwards: Vec<usize> = (0..examples.len()).rev().collect();
    assert_eq!(losses(&arm, 5, examples, &backwards)?, own);
    assert_eq!(losses(&arm, 5, &examples[..9], &by_length(&examples[..9]))?, own[..9]);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        assert_eq!(pool.install(|| losses(&arm, 5, examples, &order))?, own, "{threads} threads");
    }
    let plain: Vec<f64> =
        set_loss(network, theta, examples, &order)?.by_example.into_iter().map(|(sum, _)| sum).collect();
    let alone = |step: u64| -> Outcome<Vec<f64>> {
        let one =
            |(n, e): (usize, &Example)| network.noisy_losses(theta, &Batch::new(&[e], n), Some((&arm, step)));
        let losses = examples.iter().enumerate().map(|one_of| Ok(f64::from(values(&one(one_of)?.losses)[0])));
        losses.collect()
    };
    let others = [
        ("plain", plain.clone()),
        ("seed", losses(&dropout(0.4, 8), 5, examples, &order)?),
        ("step", losses(&arm, 6, examples, &order)?),
        ("training", alone(5)?),
    ];
    for (what, other) in others {
        assert!(own.iter().zip(&other).all(|(a, b)| a != b), "{what}: {own:?} and {other:?}");
    }
    for (quiet, plain) in losses(&dropout(0.0, 7), 5, examples, &order)?.iter().zip(&plain) {
        assert!((quiet - plain).abs() <= 1e-5 * plain.abs().max(1.0), "{quiet} for {plain}");
    }
    // Two examples of the same tokens do not share their noise.
    let twice = [examples[0].clone(), examples[0].clone()];
    let [one, other] = losses(&arm, 5, &twice, &[0, 1])?[..] else { panic!("not two losses") };
    assert_ne!(one, other);
    Ok(())
}

/// Oracle: both evaluations of the trained model, to the bit. The history of the paper's Gaussian arm is of the noisy one at
/// the row's step; every other arm's of the noise-free one.
#[test]
fn only_the_papers_noise_stays_on_in_evaluation() -> Outcome {
    for kind in [Kind::Bernoulli, Kind::Gaussian, Kind::PaperGaussian] {
        let state = tempfile::tempdir()?.path().join("state");
        with_run(3, |run, theta| {
            let dropout = Dropout { kind, rates: Rates::uniform(&bert::sites(2), 0.3), head: 0.3, seed: 3 };
            let run = Run { dropout: Some(&dropout), ..run };
            let (trained, rows) = train(&run, &theta, &state)?;
            let (held_out, last) = (run.held_out.examples, rows.last().unwrap());
            let order = by_length(held_out);
            let quiet = set_loss(run.network, &trained, held_out, &order)?.loss;
            let noisy = noisy::set_loss((run.network, &dropout, last.step), &trained, held_out, &order)?.loss;
            assert_ne!(quiet, noisy);
            assert_eq!(last.loss, if kind == Kind::PaperGaussian { noisy } else { quiet }, "{kind:?}");
            Ok(())
        })?;
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

/// Oracle: on paper. Where the learning rate is so large that one step leaves no number a number, the last step has no other
/// after it that would notice: the evaluation does, and no model is called trained.
#[test]
fn a_training_that_diverges_in_its_last_step_is_an_error() -> Outcome {
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    with_run(3, |run, theta| {
        let config =
            Config { steps: 1, every: 1, lr: 1e30, warmup: 0.0, weight_decay: 0.0, ..run.config.clone() };
        let run = Run { config: &config, ..run };
        let mut rows = 0;
        let trained = run.train(theta, &state, |_, _, _, _| {
            rows += 1;
            Ok(())
        });
        let message = trained.err().ok_or("trained")?.to_string();
        assert!(
            message.contains("`held-out loss` must be finite") && message.contains("smaller learning rate"),
            "{message}"
        );
        assert_eq!(rows, 0, "a model was shown as trained");
        Ok(())
    })
}

/// Oracle: arithmetic on the tokens. A step has no more examples than there are, and as many as it takes for a batch: so the work of
/// an epoch is that of its tokens, however it is cut.
#[test]
fn the_work_of_an_epoch_is_that_of_its_tokens() -> Outcome {
    with_run(3, |run, _| {
        let tokens = |examples: &[Example]| examples.iter().map(|e| e.ids.len()).sum::<usize>() as f64;
        let each = run.examples.len();
        for (batch, steps) in [(each, 1), (each * 1000, 1), (1, each)] {
            let config = Config { batch, accumulate: 1, steps, every: steps, ..run.config.clone() };
            let (train, held_out) = (tokens(run.examples), tokens(run.held_out.examples));
            let run = Run { config: &config, held_out: run.held_out.clone(), ..run };
            let work = run.work(steps);
            // A forward and a backward pass take as long as four forward ones; rounding of a mean.
            assert!((work - (4.0 * train + held_out)).abs() < 1e-6 * work, "batch {batch}: {work}");
        }
        Ok(())
    })
}
