//! Directions between models and along a training run.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::directions::{between::through, principal::principal};
use fisherscape::landscape::plane::Plane;
use fisherscape::params::{self, ParamMap};

use crate::support::{Outcome, values};

/// Two tensors of six and three values.
fn model(value: impl Fn(usize) -> f64) -> ParamMap {
    let tensor = |range: std::ops::Range<usize>, shape: &[usize]| {
        let values: Vec<f32> = range.map(|i| value(i) as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    ParamMap::from([("a".to_string(), tensor(0..6, &[2, 3])), ("b".to_string(), tensor(6..9, &[3]))])
}

fn flat(map: &ParamMap) -> Vec<f64> {
    map.values().flat_map(values).map(f64::from).collect()
}

fn flat_direction(direction: &Direction) -> Vec<f64> {
    ["a", "b"]
        .iter()
        .zip([6, 3])
        .flat_map(|(name, n)| direction.get(*name).cloned().unwrap_or(vec![0.0; n]))
        .map(f64::from)
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Oracle: the models themselves, which must lie at their marks; directions at a right angle and of one length, so that
/// distances in the plane are those between weights. Catches marks exchanged, a second direction that is not made orthogonal or
/// of another length. Float32 weights of size 1: 1e-6.
#[test]
fn the_plane_through_three_models_holds_them() -> Outcome {
    let theta = model(|i| (i as f64).sin());
    let one = model(|i| (i as f64).sin() + 0.1 * (i as f64 * 2.0).cos());
    let other = model(|i| (i as f64).sin() + if i < 7 { 0.2 * (i as f64 * 0.7).cos() } else { 0.0 });
    let models = [("one".to_string(), one.clone()), ("other".to_string(), other.clone())];
    let made = through("start", &theta, &models)?;
    let [x, y] = &made.pair;
    let (fx, fy) = (flat_direction(x), flat_direction(y));
    assert!(dot(&fx, &fy).abs() < 1e-6 * dot(&fx, &fx));
    assert!(
        (dot(&fx, &fx).sqrt() - made.lengths[0]).abs() < 1e-6
            && (dot(&fy, &fy).sqrt() - made.lengths[0]).abs() < 1e-6
    );
    let plane = Plane::new(made.pair.clone());
    for (mark, (label, expected)) in
        made.marks.iter().zip([("start", &theta), ("one", &one), ("other", &other)])
    {
        assert_eq!((mark.label.as_str(), mark.order, mark.distance), (label, None, 0.0));
        let at = flat(&plane.at(&theta, &[mark.x, mark.y])?);
        for (got, expected) in at.iter().zip(flat(expected)) {
            assert!((got - expected).abs() < 1e-6, "{label}: {got} for {expected}");
        }
    }
    assert_eq!((made.marks[1].x, made.marks[1].y), (1.0, 0.0));
    // Along a line there is no second direction; on a line no plane; and nothing between a model and itself.
    let line = through("start", &theta, &models[..1])?;
    assert!(line.pair[1].is_empty() && line.marks.len() == 2);
    let beyond = model(|i| (i as f64).sin() + 0.3 * (i as f64 * 2.0).cos());
    for wrong in [vec![models[0].clone(), ("beyond".into(), beyond)], vec![("same".into(), theta.clone())]] {
        let found = through("start", &theta, &wrong).map(drop).unwrap_err().to_string();
        assert!(found.contains("fix:"), "{found}");
    }
    let mut smaller = one;
    smaller.remove("b");
    assert!(through("start", &theta, &[("smaller".into(), smaller)]).is_err());
    Ok(())
}

/// Snapshots `θ + a_k e₁ + b_k e₂ + c_k e₃` on disk, the last of which is θ.
fn walk(
    folder: &Path,
    theta: &[f64],
    coefficients: &[[f64; 3]],
    axes: &[Vec<f64>; 3],
) -> Vec<(usize, PathBuf)> {
    let write = |(k, c): (usize, &[f64; 3])| {
        let at = |i: usize| theta[i] + (0..3).map(|axis| c[axis] * axes[axis][i]).sum::<f64>();
        let path = folder.join(format!("{k}.safetensors"));
        params::write_params(&path, &model(at), &Default::default()).unwrap();
        (10 * k, path)
    };
    coefficients.iter().enumerate().map(write).collect()
}

/// Oracle: a walk whose principal components are known: along three orthonormal axes with centred, uncorrelated coefficients
/// of variances 18, 2 and 0.04 (over the sum, the explained variance). Places in the plane are the coefficients themselves, up to
/// the unit; what is left is the distance off it. Catches components of uncentred snapshots, axes exchanged, variances that are
/// square roots, a direction of another length than its unit. Float32 weights of size 1 against differences of size 1: 1e-5.
#[test]
fn principal_components_of_a_known_walk() -> Outcome {
    let theta: Vec<f64> = (0..9).map(|i| (f64::from(i)).cos()).collect();
    let unit = |pairs: &[(usize, f64)]| {
        let mut v = vec![0.0; 9];
        pairs.iter().for_each(|(i, value)| v[*i] = *value);
        v
    };
    let axes = [unit(&[(0, 0.6), (7, 0.8)]), unit(&[(0, -0.8), (7, 0.6)]), unit(&[(3, 1.0)])];
    // Columns are centred and orthogonal: (−3,3,−3,3), (−1,−1,1,1), (0.1,−0.1,−0.1,0.1) times √2 …, shifted so that the last is 0.
    let s = 2f64.sqrt();
    let raw = [[-3.0 * s, -s, 0.2], [3.0 * s, -s, -0.2], [-3.0 * s, s, -0.2], [3.0 * s, s, 0.2]];
    let coefficients = raw.map(|row| [row[0] - raw[3][0], row[1] - raw[3][1], row[2] - raw[3][2]]);
    let folder = tempfile::tempdir()?;
    let snapshots = walk(folder.path(), &theta, &coefficients, &axes);
    let made = principal(&model(|i| theta[i]), &snapshots)?;
    let [first, second] = made.explained.ok_or("of snapshots")?;
    let total = 18.0 + 2.0 + 0.04;
    assert!((first - 18.0 / total).abs() < 1e-5 && (second - 2.0 / total).abs() < 1e-5, "{first} {second}");
    // The longest coordinate is 6√2; the first snapshot lies on the positive sides, so both axes are turned round.
    let length = 6.0 * s;
    assert!((made.lengths[0] - length).abs() < 1e-4 && made.lengths[0] == made.lengths[1]);
    for ((mark, c), step) in made.marks.iter().zip(&coefficients).zip([0, 10, 20, 30]) {
        assert_eq!(mark.order, Some(step));
        let expected = [-c[0] / length, -c[1] / length, c[2].abs() / length];
        for (got, expected) in [mark.x, mark.y, mark.distance].iter().zip(expected) {
            // A distance is a square root: of rounding errors of 1e-6, 1e-3.
            assert!((got - expected).abs() < 1e-3, "step {step}: {got} for {expected}");
        }
    }
    for (direction, axis) in made.pair.iter().zip(&axes) {
        let got = flat_direction(direction);
        assert!(got.iter().zip(axis).all(|(got, e)| (got + length * e).abs() < 1e-3), "{got:?}");
    }
    Ok(())
}

/// Oracle: the message. Two snapshots, snapshots on a line, and one of another shape have no plane.
#[test]
fn walks_without_a_plane_are_refused() -> Outcome {
    let theta: Vec<f64> = (0..9).map(|i| (f64::from(i)).cos()).collect();
    let axes = [vec![1.0; 9], vec![0.0; 9], vec![0.0; 9]];
    let folder = tempfile::tempdir()?;
    let line =
        walk(folder.path(), &theta, &[[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0; 3]], &axes);
    let theta = model(|i| theta[i]);
    for snapshots in [&line[..], &line[..2]] {
        let found = principal(&theta, snapshots).map(drop).unwrap_err().to_string();
        assert!(found.contains("--snapshots"), "{found}");
    }
    let path = folder.path().join("other.safetensors");
    params::write_params(&path, &ParamMap::from([("a".into(), theta["b"].clone())]), &Default::default())?;
    let found =
        principal(&theta, &[line[0].clone(), (5, path), line[1].clone()]).map(drop).unwrap_err().to_string();
    assert!(found.contains("other.safetensors") && found.contains("float32 of shape [2, 3]"), "{found}");
    Ok(())
}
