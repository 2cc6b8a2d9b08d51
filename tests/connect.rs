//! Curves between models.

use std::collections::BTreeMap;

use fisherscape::data::Example;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::evaluate::set_loss;
use fisherscape::model::Checkpoint;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::params::ParamMap;
use fisherscape::train::Config;
use fisherscape::train::curve::Curve;

use crate::support::{Outcome, copy_folder, fisherscape, fixture};
use crate::toy::flat;

fn config(steps: usize, lr: f64) -> Config {
    Config {
        steps,
        every: steps,
        patience: 0,
        batch: 6,
        accumulate: 1,
        lr,
        warmup: 0.0,
        weight_decay: 0.0,
        clip: 1.0,
        snapshots: 0,
        seed: 3,
    }
}

/// Oracle: the Bézier curve by de Casteljau's construction, and what every such curve has: both models at its ends, the line before it is trained, `c` off the middle
/// by twice what `θ(1/2)` is. And the aim itself: after training the mean loss over the curve, on the examples trained on, is lower than the line's, and
/// the control point of another seed is another. Catches weights of t exchanged, models that move, and a step up the slope.
#[test]
fn a_trained_curve_leaves_the_line_and_keeps_its_ends() -> Outcome {
    let folder = fixture("training");
    let set = FrozenSet::read(&folder.join("set.safetensors"))?;
    let model = Checkpoint::open(&folder.join("model"))?.model_for(&set, MissingHead::Refuse)?;
    let a = &model.theta;
    let b: ParamMap = a.iter().map(|(name, a)| Ok((name.clone(), (a * -0.5)?))).collect::<Outcome<_>>()?;
    let mut curve = Curve::straight(a, &b)?;
    let [flat_a, flat_b] = [flat(a)?, flat(&b)?];
    for t in [0.0, 0.3, 1.0] {
        let line = flat_a.iter().zip(&flat_b).map(|(a, b)| (1.0 - t) * a + t * b);
        assert!(flat(&curve.at(t)?)?.iter().zip(line).all(|(x, y)| (x - y).abs() < 1e-6));
    }
    let by_length = set.by_length();
    let mean = |curve: &Curve| -> Outcome<f64> {
        let loss = |k: u32| {
            Ok(set_loss(model.objective(), &curve.at(f64::from(k) / 8.0)?, &set.examples, &by_length)?.loss)
        };
        Ok((0..=8).map(loss).collect::<Outcome<Vec<f64>>>()?.iter().sum::<f64>() / 9.0)
    };
    let before = mean(&curve)?;
    let examples: Vec<Example> = set.examples.clone();
    let kept = tempfile::tempdir()?;
    let state = kept.path().join("state");
    curve.train(model.network()?, &examples, &config(40, 3e-3), &state)?;
    let after = mean(&curve)?;
    assert!(after < before - 0.01, "{before} to {after}");
    let control = flat(&curve.control)?;
    for t in [0.0, 0.25, 0.5, 1.0] {
        let between = |x: f64, y: f64| (1.0 - t) * x + t * y;
        let found = flat(&curve.at(t)?)?;
        for (i, found) in found.iter().enumerate() {
            let wanted = between(between(flat_a[i], control[i]), between(control[i], flat_b[i]));
            assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "{t}: {found}, expected {wanted}");
        }
    }
    let mut other = Curve::straight(a, &b)?;
    other.train(model.network()?, &examples, &Config { seed: 4, ..config(40, 3e-3) }, &state)?;
    assert_ne!(flat(&other.control)?, control);
    Ok(())
}

/// Oracle: `loss --json` of both models at the ends of both paths, arithmetic on the columns between them, and a model connected to itself, whose line has
/// no height. Catches heights over another chord, ends exchanged, and a table of one path.
#[test]
fn heights_are_above_the_line_between_both_losses() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    copy_folder(&fixture("parity/cls/model"), &at("a"));
    copy_folder(&fixture("parity/cls/model"), &at("b"));
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.safetensors"))?;
    let (mut weights, metadata) = fisherscape::params::read_safetensors(&at("a/model.safetensors"))?;
    for tensor in weights.values_mut() {
        *tensor = (tensor.clone() * -0.7)?;
    }
    fisherscape::params::write_params(&at("b/model.safetensors"), &weights, &metadata.into_iter().collect())?;
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).assert().success();
    let sets = "--set set.safetensors --held-out set.safetensors --epochs 1 --points 5";
    run(&format!("connect a b {sets} --out ab"));
    let rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_path(at("ab/connect.csv"))?.deserialize().collect::<Result<_, _>>()?;
    let number = |k: usize, key: &str| rows[k][key].parse::<f64>().unwrap();
    assert_eq!(rows.len(), 10);
    for (end, name) in [(0, "a"), (4, "b")] {
        let output = run(&format!("loss --checkpoint {name} --set set.safetensors --json"));
        let said: serde_json::Value = serde_json::from_slice(&output.get_output().stdout)?;
        for from in [0, 5] {
            assert!((number(from + end, "loss") - said["loss"].as_f64().unwrap()).abs() < 1e-6, "{name}");
            assert!(number(from + end, "height").abs() < 1e-9 && rows[from + end]["height_low"].is_empty());
        }
    }
    for from in [0, 5] {
        for k in 1..4 {
            let t = number(from + k, "t");
            let chord = (1.0 - t) * number(from, "loss") + t * number(from + 4, "loss");
            let height = number(from + k, "height");
            assert!((height - number(from + k, "loss") + chord).abs() < 1e-9);
            assert!(number(from + k, "height_low") < height && height < number(from + k, "height_high"));
        }
    }
    assert_ne!(rows[2]["loss"], rows[7]["loss"]);
    let output = run(&format!("connect a a {sets} --json --out aa"));
    let said: serde_json::Value = serde_json::from_slice(&output.get_output().stdout)?;
    assert!(
        said["rows"].as_array().unwrap()[..5].iter().all(|row| row["height"].as_f64().unwrap().abs() < 1e-6)
    );
    for (options, words) in [("--points 2", "--points"), ("--lr 0", "--lr")] {
        let arguments =
            format!("connect a b {sets} {options} --out x").replace("--points 5 --points 2", "--points 2");
        let output = fisherscape(&arguments).current_dir(folder.path()).assert().code(1);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(words), "{text}");
    }
    Ok(())
}

/// Oracle: an undisturbed run, byte by byte, and the note of the one that resumes. Catches moments, a step or a control point that is lost.
#[test]
#[cfg(unix)]
fn a_killed_connection_resumes_to_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    copy_folder(&fixture("parity/cls/model"), &at("a"));
    copy_folder(&fixture("parity/cls/model"), &at("b"));
    let set = fixture("parity/cls/set.safetensors");
    let (mut weights, metadata) = fisherscape::params::read_safetensors(&at("a/model.safetensors"))?;
    for tensor in weights.values_mut() {
        *tensor = (tensor.clone() * -0.7)?;
    }
    fisherscape::params::write_params(&at("b/model.safetensors"), &weights, &metadata.into_iter().collect())?;
    let line = |out: &str| {
        let set = set.display();
        format!(
            "connect a b --set {set} --held-out {set} --epochs 300 --batch 2 --points 3 --lr 1e-3 --out {out}"
        )
    };
    fisherscape(&line("whole")).current_dir(folder.path()).assert().success();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args(line("cut").split_whitespace())
        .current_dir(folder.path())
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let state = at("cut/training.unfinished");
    while !state.exists() && child.try_wait()?.is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill()?;
    assert!(child.wait()?.code().is_none() && state.exists(), "it ended before it could be killed");
    // The helper is quiet.
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args(line("cut").split_whitespace())
        .current_dir(folder.path())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("resuming after "), "{said}");
    assert!(!state.exists());
    for name in ["connect.csv", "control.safetensors"] {
        assert_eq!(std::fs::read(at("cut").join(name))?, std::fs::read(at("whole").join(name))?, "{name}");
    }
    Ok(())
}
