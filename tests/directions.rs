//! Every kind of directions, and their files.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::landscape::directions::{
    self, Direction, Directions, Inputs, Normalize, file, gaussian::random, norm,
};
use fisherscape::model::objective::Filters;
use fisherscape::params::{self, Column, ParamMap};

use crate::support::{Outcome, values};
use crate::toy::{Quadratic, classified};

fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> Tensor {
    let data = (0..shape.iter().product()).map(value).collect::<Vec<f32>>();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Filters of every tensor.
fn rows(_: &str) -> Filters {
    Filters::Rows
}

/// A matrix whose middle row is 0, a tensor of three axes, a vector.
fn theta() -> ParamMap {
    ParamMap::from([
        ("cube".to_string(), tensor(&[2, 2, 3], |i| (i as f32).cos())),
        ("matrix".to_string(), tensor(&[3, 4], |i| if i / 4 == 1 { 0.0 } else { 1.0 + i as f32 })),
        ("vector".to_string(), tensor(&[5], |i| i as f32 - 1.5)),
    ])
}

/// A kind of directions, and what must hold of its pair on a quadratic loss.
struct Case {
    kind: &'static str,
    holds: fn(&Inputs, &Directions) -> Outcome<bool>,
}

const CASES: [Case; 4] = [
    // Oracle: the draws by themselves; vectors stay where they are.
    Case {
        kind: "gaussian",
        holds: |inputs, made| {
            let draw = |axis| random(&rows, inputs.theta, inputs.seed, axis, Normalize::Filter, false);
            Ok(made.pair == [draw("x")?, draw("y")?] && !made.pair[0].contains_key("vector"))
        },
    },
    // Oracle: the first model itself.
    Case {
        kind: "between",
        holds: |inputs, made| {
            let there = |(name, d): (&String, &Vec<f32>)| {
                let (from, to) = (values(&inputs.theta[name]), values(&inputs.models[0].1[name]));
                d.iter().zip(from.iter().zip(to)).all(|(d, (from, to))| (from + d - to).abs() < 1e-6)
            };
            Ok(made.pair[0].iter().all(there)
                && cosine(&flat(&made.pair[0]), &flat(&made.pair[1])).abs() < 1e-6)
        },
    },
    // Oracle: snapshots in a plane through θ have no other component.
    Case {
        kind: "principal",
        holds: |_, made| {
            let [first, second] = made.explained.ok_or("no shares")?;
            let flat_path = made.marks.iter().all(|mark| mark.distance < 1e-3);
            Ok((first + second - 1.0).abs() < 1e-6 && flat_path && made.lengths[0] == made.lengths[1])
        },
    },
    // Oracle: on paper: the gradient of ½ θᵀHθ is Hθ, each row as long as the weights'; y at a right angle, as long.
    Case {
        kind: "gradient",
        holds: |inputs, made| {
            let w: Vec<f64> = inputs.theta.values().flat_map(values).map(f64::from).collect();
            let quadratic = Quadratic::new(8);
            let g: Vec<f64> =
                quadratic.h.iter().map(|h| h.iter().zip(&w).map(|(h, w)| h * w).sum()).collect();
            let long = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
            let row = |r: std::ops::Range<usize>| {
                let by = long(&w[r.clone()]) / long(&g[r.clone()]);
                g[r].iter().map(move |g| g * by).collect::<Vec<f64>>()
            };
            let wanted = [row(0..3), row(3..6)].concat();
            let (x, y) = (flat(&made.pair[0]), flat(&made.pair[1]));
            let near = x.iter().zip(&wanted).all(|(x, wanted)| (f64::from(*x) - wanted).abs() < 1e-5);
            let square = cosine(&x, &y).abs() < 1e-6 && (norm(&x) - norm(&y)).abs() < 1e-6;
            Ok(near && square && x.len() == 6 && !made.pair[0].contains_key("vector"))
        },
    },
];

/// All values of a direction.
fn flat(direction: &Direction) -> Vec<f32> {
    direction.values().flatten().copied().collect()
}

/// Every kind that `directions --kind` knows has a row above, and its pair is what the row says.
#[test]
fn every_kind_makes_its_pair() -> Outcome {
    let theta = ParamMap::from([
        ("matrix".to_string(), tensor(&[2, 3], |i| 0.5 + (i as f32).cos())),
        ("vector".to_string(), tensor(&[2], |i| i as f32 - 0.5)),
    ]);
    let moved = |by: f32, along: fn(usize) -> f32| -> ParamMap {
        let own = |(name, t): (&String, &Tensor)| {
            let w = values(t);
            (name.clone(), tensor(t.dims(), |i| w[i] + by * along(i)))
        };
        theta.iter().map(own).collect()
    };
    let folder = tempfile::tempdir()?;
    let mut snapshots = Vec::new();
    for step in 0..4 {
        let path = folder.path().join(format!("{step}.safetensors"));
        let by = step as f32 - 3.0;
        let first = moved(by, |i| (i as f32).sin());
        let both = first.iter().map(|(name, t)| {
            let w = values(t);
            (name.clone(), tensor(t.dims(), |i| w[i] + 0.1 * by * by * ((i * i) as f32).cos()))
        });
        params::write_params(&path, &both.collect(), &BTreeMap::new())?;
        snapshots.push((step, path));
    }
    let quadratic = Quadratic::new(8);
    let examples = [classified(0, 0), classified(1, 1)];
    let inputs = Inputs {
        objective: &quadratic,
        theta: &theta,
        examples: &examples,
        normalize: Normalize::Filter,
        vectors: false,
        seed: 3,
        origin: "start".into(),
        models: vec![
            ("one".into(), moved(0.3, |i| (i as f32).sin())),
            ("other".into(), moved(0.2, |i| 1.0 + i as f32)),
        ],
        snapshots,
    };
    assert!(directions::ALL.map(|source| source.name) == CASES.map(|case| case.kind));
    for (source, case) in directions::ALL.into_iter().zip(CASES) {
        let made = (source.make)(&inputs)?;
        for (name, d) in made.pair.iter().flatten() {
            assert!(d.len() == theta[name].elem_count() && d.iter().all(|v| v.is_finite()), "{}", case.kind);
        }
        assert!((case.holds)(&inputs, &made)?, "{}: {made:?}", case.kind);
    }
    Ok(())
}

#[track_caller]
fn assert_norms(d: &[f32], w: &[f32], row: usize) {
    assert_eq!(d.len(), w.len());
    for (i, (d, w)) in d.chunks(row).zip(w.chunks(row)).enumerate() {
        let (got, expected) = (norm(d), w.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt());
        // Each value is rounded to float32 once: relative 2^-24.
        assert!((got - expected).abs() <= 1e-6 * expected, "row {i}: {got}, expected {expected}");
    }
}

/// Cosine of the angle between two vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / (norm(a) * norm(b))
}

/// Oracle: Li et al. 2018, section 4, norms summed by hand; the direction itself is that of `none`, row by row. A row
/// runs along the first axis, so the cube has two of six. Catches columns for rows, a whole tensor for a row, an
/// epsilon that lets a zero row move, 1-D parameters that move unasked.
#[test]
fn filter_scales_each_row_to_its_own_norm() -> Outcome {
    let theta = theta();
    let d = random(&rows, &theta, 1, "x", Normalize::Filter, false)?;
    let drawn = random(&rows, &theta, 1, "x", Normalize::None, false)?;
    assert!(d.keys().eq(["cube", "matrix"]));
    for (name, row) in [("cube", 6), ("matrix", 4)] {
        assert_norms(&d[name], &values(&theta[name]), row);
    }
    assert!(d["matrix"][4..8].iter().all(|v| *v == 0.0));
    for (name, row, i) in [("cube", 6, 0), ("cube", 6, 1), ("matrix", 4, 0), ("matrix", 4, 2)] {
        let part = i * row..(i + 1) * row;
        assert!(1.0 - cosine(&d[name][part.clone()], &drawn[name][part]) < 1e-12, "{name}, row {i}");
    }
    Ok(())
}

/// Oracle: the same direction of the transposed matrix, whose filters are rows. GPT-2 keeps the weights of an output in a
/// column; filters taken by rows there would be directions of another kind, without an error.
#[test]
fn filters_in_columns_are_scaled_by_columns() -> Outcome {
    let matrix = tensor(&[3, 4], |i| if i % 4 == 2 { 0.0 } else { 1.0 + i as f32 });
    let transposed = values(&matrix.t()?.contiguous()?);
    let theta = ParamMap::from([("matrix".to_string(), matrix)]);
    let d = &random(&|_| Filters::Columns, &theta, 1, "x", Normalize::Filter, false)?["matrix"];
    let by_column: Vec<f32> = (0..12).map(|i| d[i % 3 * 4 + i / 3]).collect();
    assert_norms(&by_column, &transposed, 3);
    let drawn = &random(&rows, &theta, 1, "x", Normalize::None, false)?["matrix"];
    let drawn: Vec<f32> = (0..12).map(|i| drawn[i % 3 * 4 + i / 3]).collect();
    for column in [0..3, 3..6, 9..12] {
        assert!(1.0 - cosine(&by_column[column.clone()], &drawn[column]) < 1e-12);
    }
    Ok(())
}

/// Oracle: the definition. One norm for the whole tensor: the zero row moves too, rows have other norms than in θ.
#[test]
fn layer_scales_the_whole_tensor() -> Outcome {
    let theta = theta();
    let d = random(&rows, &theta, 1, "x", Normalize::Layer, false)?;
    assert!(d.keys().eq(["cube", "matrix"]));
    for name in ["cube", "matrix"] {
        assert_norms(&d[name], &values(&theta[name]), d[name].len());
    }
    assert!(norm(&d["matrix"][4..8]) > 1.0);
    Ok(())
}

/// Oracle: the definition. Asked for, a vector is Gaussian and scaled to its own norm (not entry by entry, which
/// would leave ±θ), under `none` not scaled; matrices are as without it.
#[test]
fn vectors_move_only_if_asked_for() -> Outcome {
    let theta = theta();
    for normalize in [Normalize::Filter, Normalize::Layer] {
        let d = random(&rows, &theta, 1, "x", normalize, true)?;
        let (own, weight) = (&d["vector"], values(&theta["vector"]));
        assert_norms(own, &weight, 5);
        assert!(own.iter().zip(&weight).all(|(d, w)| (d.abs() - w.abs()).abs() > 1e-3), "{own:?} {weight:?}");
        let without = random(&rows, &theta, 1, "x", normalize, false)?;
        assert!(without.iter().all(|(name, values)| d[name] == *values) && !without.contains_key("vector"));
    }
    assert!(random(&rows, &theta, 1, "x", Normalize::None, true)?["vector"].iter().all(|d| *d != 0.0));
    Ok(())
}

/// Oracle: moments of N(0, 1) and independence of the axes, within 5 standard errors (1 for x, 2 for x², 1 for a
/// product, over the root of n). Catches uniform draws, a scale, and a y that is x.
#[test]
fn unscaled_directions_are_standard_normal_and_axes_independent() -> Outcome {
    let theta = ParamMap::from([("weight".to_string(), tensor(&[200, 500], |_| 3.0))]);
    let [x, y] = ["x", "y"].map(|axis| random(&rows, &theta, 1, axis, Normalize::None, false));
    let (x, y) = (&x?["weight"], &y?["weight"]);
    let se = 1.0 / (x.len() as f64).sqrt();
    let mean = |f: &dyn Fn(f64, f64) -> f64| {
        x.iter().zip(y).map(|(x, y)| f(f64::from(*x), f64::from(*y))).sum::<f64>() / x.len() as f64
    };
    for (what, got, expected, spread) in [
        ("mean", mean(&|x, _| x), 0.0, 1.0),
        ("variance", mean(&|x, _| x * x), 1.0, 2f64.sqrt()),
        ("kurtosis", mean(&|x, _| x.powi(4)), 3.0, 96f64.sqrt()),
        ("product of the axes", mean(&|x, y| x * y), 0.0, 1.0),
    ] {
        assert!((got - expected).abs() <= 5.0 * spread * se, "{what}: {got}, expected {expected}");
    }
    Ok(())
}

/// Oracle: the definition. Same seed, same bits, whatever other tensors the model has; another seed, axis or tensor
/// name another direction.
#[test]
fn seed_axis_and_name_make_the_direction() -> Outcome {
    let theta = theta();
    let draw = |theta: &ParamMap, seed, axis| random(&rows, theta, seed, axis, Normalize::Filter, false);
    let base = draw(&theta, 1, "x")?;
    assert_eq!(base, draw(&theta, 1, "x")?);
    for other in [draw(&theta, 1, "y")?, draw(&theta, 2, "x")?] {
        assert!(other["matrix"].iter().zip(&base["matrix"]).filter(|(a, b)| a == b).count() == 4); // the zero row
    }
    let alone = ParamMap::from([("matrix".to_string(), theta["matrix"].clone())]);
    assert_eq!(draw(&alone, 1, "x")?["matrix"], base["matrix"]);
    let renamed = ParamMap::from([("other".to_string(), theta["matrix"].clone())]);
    assert_ne!(draw(&renamed, 1, "x")?["other"], base["matrix"]);
    Ok(())
}

/// Writes named tensors `[2, 2]` of one value each, and reads them as directions of a model with such a `w`.
fn read_with(folder: &Path, tensors: &[(&str, Vec<usize>, f32)]) -> fisherscape::Result<Vec<Direction>> {
    let path = folder.join("D.safetensors");
    let columns: Vec<(String, Vec<usize>, Vec<f32>)> = tensors
        .iter()
        .map(|(name, shape, v)| (name.to_string(), shape.clone(), vec![*v; shape.iter().product()]))
        .collect();
    let columns = columns.iter().map(|(n, shape, v)| (n.clone(), shape.clone(), Column::F32(v)));
    params::write_safetensors(&path, columns, &BTreeMap::new())?;
    file::read(&path, &ParamMap::from([("w".to_string(), tensor(&[2, 2], |i| i as f32))]))
}

/// Oracle: what was written. Catches exchanged axes, values scaled again on reading, lost shapes.
#[test]
fn written_directions_come_back_as_they_were() -> Outcome {
    let (theta, folder) = (theta(), tempfile::tempdir()?);
    let path = folder.path().join("D.safetensors");
    let x = random(&rows, &theta, 1, "x", Normalize::Filter, true)?;
    let mut y = random(&rows, &theta, 1, "y", Normalize::None, false)?;
    y.remove("cube");
    file::write(&path, &[x.clone(), y.clone()], &theta)?;
    assert_eq!(file::read(&path, &theta)?, [x, y]);
    assert_eq!(params::read_safetensors(&path)?.0["x.cube"].dims(), [2, 2, 3]);
    Ok(())
}

/// Oracle: the rule. A name that the model lacks is left out; the rest is used; nothing left is an error.
#[test]
fn foreign_names_are_left_out_unless_nothing_remains() -> Outcome {
    let folder = tempfile::tempdir()?;
    let read = |tensors: &[(&str, Vec<usize>, f32)]| read_with(folder.path(), tensors);
    let found = read(&[("x.w", vec![2, 2], 1.5), ("y.other", vec![9], 1.0)])?;
    assert_eq!(found, [Direction::from([("w".to_string(), vec![1.5; 4])])]);
    let error = read(&[("x.other", vec![2, 2], 1.0)]).unwrap_err().to_string();
    assert!(error.contains("no tensor is a parameter of the model"), "{error}");
    Ok(())
}

/// Oracle: the definition of a direction of this model. As many entries in another shape are as wrong as other
/// numbers of them; the message names tensor and both shapes.
#[test]
fn wrong_shapes_values_and_keys_are_errors() -> Outcome {
    let folder = tempfile::tempdir()?;
    let message =
        |tensors| read_with(folder.path(), &[("y.w", vec![2, 2], 1.0), tensors]).unwrap_err().to_string();
    for shape in [vec![4], vec![4, 1], vec![2, 3]] {
        let error = message(("x.w", shape.clone(), 1.0));
        assert!(
            error.contains("`x.w`") && error.contains("[2, 2]") && error.contains(&format!("{shape:?}")),
            "{error}"
        );
    }
    for value in [f32::NAN, f32::INFINITY] {
        let error = message(("x.w", vec![2, 2], value));
        assert!(error.contains("`x.w`") && error.contains("finite"), "{error}");
    }
    for key in ["w", "v.w"] {
        let error = message((key, vec![2, 2], 1.0));
        assert!(error.contains("x.PARAMETER, y.PARAMETER or z.PARAMETER"), "{error}");
    }
    Ok(())
}
