//! Merged models against the least of two quadratics.

use candle_core::{Device, Tensor};
use fisherscape::fisher::merge::{Weighting, merged};
use fisherscape::params::ParamMap;
use fisherscape::rng::Stream;

use crate::support::{Outcome, copy_folder, fisherscape, fixture, tensors, values};
use crate::toy::flat;

/// Two tensors, normal values of a stream or their squares.
fn map(name: &str, squared: bool) -> Outcome<ParamMap> {
    let tensor = |step: u64, shape: &[usize]| -> Outcome<Tensor> {
        let mut own = vec![0f32; shape.iter().product()];
        Stream::new(8, name).at(step).fill_normal(0, &mut own);
        let own: Vec<f32> = own.into_iter().map(|v| if squared { v * v } else { v }).collect();
        Ok(Tensor::from_vec(own, shape, &Device::Cpu)?)
    };
    Ok(ParamMap::from([("a".to_string(), tensor(0, &[3, 4])?), ("b".to_string(), tensor(1, &[5])?)]))
}

/// Oracle: the sum of the two quadratics, `λ ½ F_a (θ - a)² + (1 - λ) ½ F_b (θ - b)²`: at the merged parameters its slope is 0 in each of them, within float32
/// roundings, and a step to either side costs what its curvature says. Without F, or with F alike, it is the average; where F is 0 for one model, the
/// other's value; where for both, or where no F is known, the average. Catches F exchanged, its root, a weight on one side alone, and 0/0.
#[test]
fn merged_parameters_are_the_least_of_both_quadratics() -> Outcome {
    let [a, b] = [map("test/a", false)?, map("test/b", false)?];
    let [fa, mut fb] = [map("test/fa", true)?, map("test/fb", true)?];
    for first in [0.5, 0.2] {
        let weighting = Weighting { first, floor: 0.0 };
        let found = flat(&merged((&a, &b), Some((&fa, &fb)), weighting)?)?;
        let [a, b, fa, fb] = [flat(&a)?, flat(&b)?, flat(&fa)?, flat(&fb)?];
        let cost = |i: usize, t: f64| {
            first * 0.5 * fa[i] * (t - a[i]).powi(2) + (1.0 - first) * 0.5 * fb[i] * (t - b[i]).powi(2)
        };
        for (i, t) in found.iter().enumerate() {
            let curvature = first * fa[i] + (1.0 - first) * fb[i];
            let slope = first * fa[i] * (t - a[i]) + (1.0 - first) * fb[i] * (t - b[i]);
            assert!(slope.abs() < 1e-6 * curvature * (1.0 + t.abs()), "{i}: slope {slope}");
            for step in [-0.1, 0.1] {
                let rise = cost(i, t + step) - cost(i, *t);
                assert!((rise - 0.005 * curvature).abs() < 1e-5 * (1.0 + curvature), "{i}: {rise}");
            }
        }
        let average: Vec<f64> = a.iter().zip(&b).map(|(a, b)| first * a + (1.0 - first) * b).collect();
        assert!(found.iter().zip(&average).any(|(t, plain)| (t - plain).abs() > 0.1));
    }
    let half = Weighting { first: 0.5, floor: 1e-6 };
    let average: Vec<f64> = flat(&a)?.iter().zip(flat(&b)?).map(|(a, b)| 0.5 * (a + b)).collect();
    let near = |found: ParamMap, wanted: &[f64]| -> Outcome<bool> {
        Ok(flat(&found)?.iter().zip(wanted).all(|(t, wanted)| (t - wanted).abs() < 1e-6))
    };
    assert!(near(merged((&a, &b), None, half)?, &average)?);
    assert!(near(merged((&a, &b), Some((&fa, &fa)), half)?, &average)?);
    let none =
        ParamMap::from([("a".to_string(), fa["a"].zeros_like()?), ("b".to_string(), fa["b"].zeros_like()?)]);
    let bare = Weighting { floor: 0.0, ..half };
    assert!(near(merged((&a, &b), Some((&fa, &none)), bare)?, &flat(&a)?)?);
    assert!(near(merged((&a, &b), Some((&none, &none)), bare)?, &average)?);
    // A tensor that neither file has: the average of it.
    fb.remove("b");
    let mut only = fa.clone();
    only.remove("b");
    assert!(near(merged((&a, &b), Some((&only, &fb)), half)?, &average[..0])?);
    let found = merged((&a, &b), Some((&only, &fb)), half)?;
    assert!(
        values(&found["b"]).iter().zip(&average[12..]).all(|(t, plain)| (f64::from(*t) - plain).abs() < 1e-6)
    );
    let mut less = b.clone();
    less.remove("b");
    let refused = merged((&a, &less), None, half).unwrap_err().to_string();
    assert!(refused.contains("in both models"), "{refused}");
    Ok(())
}

/// Oracle: the files. A model merged with itself is itself, with its own loss; the plain average of two is the mean of their tensors, and a merged model's
/// row is what `loss` says of the folder. Catches a head that is lost, another model in the folder than in the table, and the sign of the difference.
#[test]
fn the_folder_holds_the_model_that_the_table_tells() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    copy_folder(&fixture("parity/cls/model"), &at("a"));
    copy_folder(&fixture("parity/cls/model"), &at("b"));
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.safetensors"))?;
    let (mut weights, metadata) = fisherscape::params::read_safetensors(&at("a/model.safetensors"))?;
    for tensor in weights.values_mut() {
        *tensor = (tensor.clone() * 0.9)?;
    }
    let metadata = metadata.into_iter().collect();
    fisherscape::params::write_params(&at("b/model.safetensors"), &weights, &metadata)?;
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).assert().success();
    for model in ["a", "b"] {
        run(&format!("fisher --checkpoint {model} --set set.safetensors --out F{model}.safetensors"));
    }
    let fishers = "--fisher-a Fa.safetensors --fisher-b Fb.safetensors --set set.safetensors";
    run(&format!("merge a b {fishers} --out both"));
    run("merge a a --fisher-a Fa.safetensors --fisher-b Fa.safetensors --set set.safetensors --out same");
    let output = run("merge a b --plain --set set.safetensors --out plain --json");
    let said: serde_json::Value = serde_json::from_slice(&output.get_output().stdout)?;
    let [a, b, plain, same] =
        ["a", "b", "plain", "same"].map(|name| tensors(&at(name).join("model.safetensors")));
    for (name, plain) in &plain {
        let [a, b] = [values(&a[name]), values(&b[name])];
        let mean = a.iter().zip(&b).map(|(a, b)| ((f64::from(*a) + f64::from(*b)) / 2.0) as f32);
        assert!(values(plain).into_iter().eq(mean), "{name}");
        assert_eq!(values(&same[name]), a, "{name}");
    }
    let loss = |name: &str| -> Outcome<f64> {
        let command = format!("loss --checkpoint {name} --set set.safetensors --strict-head --json");
        let said: serde_json::Value = serde_json::from_slice(&run(&command).get_output().stdout)?;
        Ok(said["loss"].as_f64().unwrap())
    };
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        csv::Reader::from_path(at("both/merge.csv"))?.deserialize().collect::<Result<_, _>>()?;
    for (row, name) in rows.iter().zip(["a", "b", "plain", "both"]) {
        let own: f64 = row["loss"].parse()?;
        assert!((own - loss(name)?).abs() < 1e-9, "{name}: {row:?}");
        assert_eq!(row["merged"], (name == "both").to_string());
    }
    let under: f64 = rows[3]["under_plain"].parse()?;
    let wanted = loss("plain")? - loss("both")?;
    assert!((under - wanted).abs() < 1e-9, "{under}, expected {wanted}");
    assert_eq!(said["rows"][2]["merged"], true);
    for (arguments, code, words) in [
        ("merge a b --plain --weight 2 --set set.safetensors --out x", 1, "--weight"),
        ("merge a b --set set.safetensors --out x", 2, "--fisher-a"),
        ("merge a b --plain --set set.safetensors --out a", 1, "--out"),
    ] {
        let output = fisherscape(arguments).current_dir(folder.path()).assert().code(code);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(words), "{text}");
    }
    Ok(())
}
