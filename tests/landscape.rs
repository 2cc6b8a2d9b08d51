//! Surfaces of losses that are known on paper, and their journal.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use fisherscape::Result;
use fisherscape::data::{Batch, Example};
use fisherscape::evaluate::set_loss;
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::rise::ByExample;
use fisherscape::landscape::sharpness::{Measure, Pair, compare_measure};
use fisherscape::landscape::surface::{Plan, Point, Surface};
use fisherscape::model::{Objective, Outputs};
use fisherscape::params::ParamMap;
use fisherscape::tasks::{Kind, Scoring};

use crate::support::Outcome;
use crate::toy::{Quadratic, SoftmaxRegression, classified, flat, labelled};

/// Eight parameters; `still` is in neither direction.
fn theta() -> ParamMap {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    ParamMap::from([
        ("matrix".to_string(), tensor(&[0.5, -1.25, 2.0, 0.1, -0.3, 0.7], &[2, 3])),
        ("still".to_string(), tensor(&[-0.9], &[1])),
        ("vector".to_string(), tensor(&[1.1], &[1])),
    ])
}

/// x moves both tensors, y the matrix alone.
fn directions() -> [Direction; 2] {
    let x = [("matrix", vec![0.3f32, -0.7, 1.1, 0.2, -1.3, 0.9]), ("vector", vec![0.6])];
    let y = [("matrix", vec![-1.2f32, 0.4, 0.8, -0.5, 0.1, 1.7])];
    [x.into_iter().map(|(n, v)| (n.to_string(), v)).collect(), y.map(|(n, v)| (n.to_string(), v)).into()]
}

/// Values of a direction in the flat order of `theta`, zero where it has no tensor.
fn flat_direction(direction: &Direction) -> Vec<f64> {
    let zeros = |t: &Tensor| vec![0f32; t.elem_count()];
    let of = |(name, t): (&String, &Tensor)| direction.get(name).cloned().unwrap_or_else(|| zeros(t));
    theta().iter().flat_map(of).map(f64::from).collect()
}

fn examples() -> Vec<Example> {
    vec![classified(0, 0), classified(1, 1)]
}

/// Evaluates on a grid, with a journal.
fn evaluate(
    objective: &impl Objective,
    directions: &[Direction; 2],
    coordinates: [&[f64]; 2],
    (journal, inputs): (&Path, &str),
) -> Result<Surface> {
    let (theta, examples, plane) = (theta(), examples(), Plane::new(directions.clone()));
    let plan = Plan {
        theta: &theta,
        examples: &examples,
        by_length: &[0, 1],
        scoring: Scoring::of(Kind::Classes),
        plane: &plane,
        coordinates: [coordinates[0], coordinates[1], &[0.0]],
        per_example: true,
        refine: 0,
        sample: None,
    };
    plan.evaluate(objective, journal, inputs)
}

/// All numbers of a surface, to the bit: NaN equals NaN.
fn bits(surface: &Surface) -> Vec<[u64; 4]> {
    let bits = |p: &Point| [p.x, p.y, p.loss, p.loss_se].map(f64::to_bits);
    let by_example = surface.by_example.iter().flat_map(|e| e.sums.iter().chain(&e.centre));
    let by_example = by_example.map(|sum| [sum.to_bits(), 0, 0, 0]);
    surface.points.iter().chain([&surface.centre]).map(bits).chain(by_example).collect()
}

/// Oracle: `½ (θ+aδ+bη)ᵀ H (θ+aδ+bη)` in double precision. Catches x and y exchanged, x as the outer axis, steps that
/// add up from point to point, a tensor that only one direction has and is left out, a centre that is another point.
#[test]
fn a_quadratic_loss_gives_its_own_surface() -> Outcome {
    let (folder, h) = (tempfile::tempdir()?, Quadratic::new(8));
    let (xs, ys) = ([-1.0, 0.25, 2.0], [-0.5, 0.75, 1.0, 1.5]);
    let surface = evaluate(&h, &directions(), [&xs, &ys], (&folder.path().join("j"), "inputs"))?;
    let [d1, d2] = directions().map(|d| flat_direction(&d));
    let w = flat(&theta())?;
    assert_eq!(surface.points.len(), 12);
    for (i, point) in surface.points.iter().chain([&surface.centre]).enumerate() {
        // Off the grid, the centre is evaluated and no row.
        let (a, b) = if i == 12 { (0.0, 0.0) } else { (xs[i % 3], ys[i / 3]) };
        assert_eq!((point.x, point.y), (a, b));
        let moved: Vec<f64> = (0..8).map(|j| w[j] + a * d1[j] + b * d2[j]).collect();
        let (expected, size) = h.value(&moved);
        // Some twenty float32 roundings of 6e-8 relative to the terms' magnitudes.
        assert!((point.loss - expected).abs() <= 1e-6 * size, "({a}, {b}): {} for {expected}", point.loss);
        assert_eq!(point.loss_se, 0.0, "every example has the same loss");
    }
    Ok(())
}

/// Oracle: plain evaluation at θ, to the bit, with the grid through the centre and beside it. Catches a centre taken
/// from the nearest point, and one that is a row though no grid point.
#[test]
fn the_centre_is_plain_evaluation() -> Outcome {
    let (folder, h) = (tempfile::tempdir()?, Quadratic::new(8));
    let plain = set_loss(&h, &theta(), &examples(), &[0, 1])?;
    for (name, xs, index) in [("on", &[-1.0, 0.0, 1.0][..], Some(4)), ("off", &[-1.0, 1.0], None)] {
        let surface = evaluate(&h, &directions(), [xs, xs], (&folder.path().join(name), "inputs"))?;
        assert_eq!(surface.centre.loss.to_bits(), plain.loss.to_bits());
        assert_eq!((surface.centre.x, surface.centre.y), (0.0, 0.0));
        assert_eq!(surface.points.len(), xs.len() * xs.len());
        assert_eq!(surface.points.iter().position(|p| (p.x, p.y) == (0.0, 0.0)), index);
    }
    Ok(())
}

/// Oracle: the loss is a function of the point alone: with directions and coordinates exchanged, the transpose. One
/// rounding differs (θ + aδ + bη is added in the other order), so 1e-6 of the largest loss.
#[test]
fn exchanging_the_axes_transposes() -> Outcome {
    let (folder, h) = (tempfile::tempdir()?, Quadratic::new(8));
    let (xs, ys, [d1, d2]) = ([-1.0, 0.25, 2.0], [-0.5, 1.5], directions());
    let one = evaluate(&h, &[d1.clone(), d2.clone()], [&xs, &ys], (&folder.path().join("a"), "a"))?;
    let other = evaluate(&h, &[d2, d1], [&ys, &xs], (&folder.path().join("b"), "b"))?;
    let largest = one.points.iter().map(|p| p.loss.abs()).fold(0.0, f64::max);
    for (iy, ix) in (0..2).flat_map(|iy| (0..3).map(move |ix| (iy, ix))) {
        let (a, b) = (&one.points[iy * 3 + ix], &other.points[ix * 2 + iy]);
        assert_eq!((a.x, a.y), (b.y, b.x));
        assert!((a.loss - b.loss).abs() <= 1e-6 * largest, "{} and {}", a.loss, b.loss);
    }
    assert!((one.points[1].loss - one.points[3].loss).abs() > 1e-3 * largest, "not symmetric by itself");
    Ok(())
}

/// Oracle: θ before. Catches a walk over the grid that moves θ and subtracts again, which rounds; and what a
/// second evaluation with the same θ would see of it.
#[test]
fn theta_is_left_as_it_was() -> Outcome {
    let (folder, theta, examples, h) = (tempfile::tempdir()?, theta(), examples(), Quadratic::new(8));
    let bits = |theta: &ParamMap| flat(theta).map(|v| v.into_iter().map(f64::to_bits).collect::<Vec<_>>());
    let (before, directions, xs) = (bits(&theta)?, directions(), [-1.0, 0.1, 0.7]);
    let plan = Plan {
        theta: &theta,
        examples: &examples,
        by_length: &[0, 1],
        scoring: Scoring::of(Kind::Classes),
        plane: &Plane::new(directions),
        coordinates: [&xs, &xs, &[0.0]],
        per_example: false,
        refine: 0,
        sample: None,
    };
    let first = plan.evaluate(&h, &folder.path().join("first"), "inputs")?;
    assert_eq!(bits(&theta)?, before);
    let second = plan.evaluate(&h, &folder.path().join("second"), "inputs")?;
    assert_eq!(self::bits(&first), self::bits(&second));
    Ok(())
}

/// Oracle: softmax regression written in double precision: `L = Σ s_n / M` and its ratio-estimator standard error
/// (docs/definitions.md section 1), at every point, with 1, 2 and 0 targets. Catches a mean of means, and the standard
/// error of a plain mean.
#[test]
fn losses_are_per_target_with_a_ratio_standard_error() -> Outcome {
    let (features, weight) = ([[1.0f32, 2.0], [3.0, -4.0]], [[0.5f32, -0.25], [-0.5, 0.75]]);
    let (theta, step) = (crate::toy::theta(&weight)?, [0.5f32, -1.0, 0.25, 0.75]);
    let examples = [labelled(&[(0, 1), (1, 1)]), labelled(&[]), labelled(&[(1, 0)]), labelled(&[(0, 0)])];
    let directions = [Direction::from([("weight".to_string(), step.to_vec())]), Direction::new()];
    let xs = [-1.0, 0.5, 1.0];
    let plan = Plan {
        theta: &theta,
        examples: &examples,
        by_length: &[2, 3, 0],
        scoring: Scoring::of(Kind::Classes),
        plane: &Plane::new(directions),
        coordinates: [&xs, &[0.0], &[0.0]],
        per_example: true,
        refine: 0,
        sample: None,
    };
    let folder = tempfile::tempdir()?;
    let surface = plan.evaluate(&SoftmaxRegression::new(&features)?, &folder.path().join("j"), "inputs")?;
    let by_example = surface.by_example.ok_or("asked for")?;
    assert_eq!(by_example.targets, [2.0, 1.0, 1.0]);
    let mut rises = [0.0; 3];
    for (k, (point, a)) in surface.points.iter().zip(xs).enumerate() {
        let w = |c: usize, j: usize| f64::from(weight[c][j]) + a * f64::from(step[2 * c + j]);
        let loss = |id: usize, class: usize| {
            let logit = |c: usize| (0..2).map(|j| w(c, j) * f64::from(features[id][j])).sum::<f64>();
            (logit(0).exp() + logit(1).exp()).ln() - logit(class)
        };
        let (s, m) = ([loss(0, 1) + loss(1, 1), loss(1, 0), loss(0, 0)], [2.0, 1.0, 1.0]);
        let expected = s.iter().sum::<f64>() / 4.0;
        let squares: f64 = s.iter().zip(m).map(|(s, m)| (s - expected * m).powi(2)).sum();
        let se = (3.0 / 2.0 * squares).sqrt() / 4.0;
        // Float32 logits of size 10: 1e-6.
        assert!((point.loss - expected).abs() <= 1e-5, "{a}: {} for {expected}", point.loss);
        assert!((point.loss_se - se).abs() <= 1e-5, "{a}: se {} for {se}", point.loss_se);
        // Paired with the centre, whose weights are those at a = 0: the ratio estimator again, of differences.
        let d: Vec<f64> = (0..3).map(|n| s[n] - by_example.centre[n]).collect();
        let mean = d.iter().sum::<f64>() / 4.0;
        let squares: f64 = d.iter().zip(m).map(|(d, m)| (d - mean * m).powi(2)).sum();
        let paired = (1.5 * squares).sqrt() / 4.0;
        assert!((by_example.difference_errors()[k] - paired).abs() <= 1e-5, "{a}: paired se for {paired}");
        for n in 0..3 {
            assert!((by_example.sums[3 * k + n] - s[n]).abs() <= 1e-5, "{a}: example {n}");
            rises[n] += s[n] - by_example.centre[n];
        }
    }
    // The rise within a distance: of the points at -1, 0.5 and 1, all three or the middle one.
    let rise = by_example.rise(1.0).ok_or("three points")?;
    for (got, expected) in rise.iter().zip(rises) {
        assert!((got - expected / 3.0).abs() <= 1e-5, "{got}");
    }
    let middle = by_example.rise(0.6).ok_or("one point")?;
    assert!((0..3).all(|n| middle[n] == by_example.sums[3 + n] - by_example.centre[n]));
    assert!(by_example.rise(0.1).is_none());
    // As a measure: the mean per target, with its ratio-estimator standard error.
    let measure = Measure { name: "rise".into(), draws: vec![rise] };
    let row = measure.row(&by_example.targets);
    let rises = rises.map(|r| r / 3.0);
    let mean = rises.iter().sum::<f64>() / 4.0;
    let squares: f64 = rises.iter().zip([2.0, 1.0, 1.0]).map(|(r, m)| (r - mean * m).powi(2)).sum();
    assert!((row.value - mean).abs() <= 1e-5, "{} for {mean}", row.value);
    assert!((row.se_examples - (1.5 * squares).sqrt() / 4.0).abs() <= 1e-5);
    // Paired with itself there is no difference, and no doubt about it.
    let own = Pair { first: &measure, second: &measure, targets: &by_example.targets };
    let none = compare_measure(&[own], true);
    assert_eq!((none.difference, none.low, none.high, none.p), (0.0, 0.0, 0.0, None));
    // What is written is what is read.
    let path = folder.path().join("s.examples.safetensors");
    by_example.write(&path, &Default::default())?;
    assert_eq!(ByExample::read(&path)?, by_example);
    Ok(())
}

/// A quadratic that counts how often it is evaluated: once a point.
struct Counted {
    quadratic: Quadratic,
    calls: AtomicUsize,
}

impl Objective for Counted {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.quadratic.losses(theta, batch)
    }
}

/// Coordinates off the centre, with losses among them that are no number: the journal must bring those back too.
const COORDINATES: [&[f64]; 2] = [&[-1.0, 0.1, 1e30], &[-0.5, 0.7]];

/// Oracle: the uninterrupted run, cut after every byte of its journal. The bits are the same, and just the points that
/// were not whole are evaluated again. Catches decimals that lose bits, half a line taken for a point (a shorter
/// number), a point done twice, infinity and NaN lost.
#[test]
fn a_cut_journal_is_continued_with_the_same_bits() -> Outcome {
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    let run = |calls: &mut usize| -> Result<Surface> {
        let counted = Counted { quadratic: Quadratic::new(8), calls: AtomicUsize::new(0) };
        let surface = evaluate(&counted, &directions(), COORDINATES, (&journal, "inputs"));
        *calls = counted.calls.into_inner();
        surface
    };
    let mut calls = 0;
    let whole = run(&mut calls)?;
    assert_eq!(calls, 7);
    assert!(whole.points.iter().any(|p| !p.loss.is_finite() && p.loss_se.is_nan()));
    let bytes = std::fs::read(&journal)?;
    for cut in 0..=bytes.len() {
        std::fs::write(&journal, &bytes[..cut])?;
        let again = run(&mut calls)?;
        assert_eq!(bits(&again), bits(&whole), "cut after {cut} bytes");
        let finished = bytes[..cut].iter().filter(|b| **b == b'\n').count().saturating_sub(1);
        assert_eq!(calls, 7 - finished, "cut after {cut} bytes");
        assert_eq!(std::fs::read(&journal)?, bytes, "cut after {cut} bytes");
    }
    Ok(())
}

/// Oracle: a fresh run. The same journal path with other inputs (also such as begin alike), and a journal with a
/// spoilt line in the middle or bytes that are no text. Catches points of another model passed off as this one's.
#[test]
fn a_journal_of_other_inputs_or_with_damage_is_not_believed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    let run = |h: &Quadratic, inputs| evaluate(h, &directions(), COORDINATES, (&journal, inputs));
    let (one, mut other) = (Quadratic::new(8), Quadratic::new(8));
    other.h[0][0] += 1.0;
    let first = run(&one, "inputs")?;
    let text = std::fs::read_to_string(&journal)?;
    for inputs in ["input", "inputs2", "else"] {
        std::fs::write(&journal, &text)?;
        let fresh = evaluate(&other, &directions(), COORDINATES, (&folder.path().join(inputs), inputs))?;
        let got = run(&other, inputs)?;
        assert_eq!(bits(&got), bits(&fresh), "{inputs}");
        assert_ne!(bits(&got), bits(&first), "{inputs}");
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines[3] = "[1,2,3";
    for damaged in [(lines.join("\n") + "\n").into_bytes(), [text.as_bytes(), b"\xff\xfe\n"].concat()] {
        std::fs::write(&journal, damaged)?;
        assert_eq!(bits(&run(&one, "inputs")?), bits(&first));
        assert_eq!(std::fs::read_to_string(&journal)?, text);
    }
    Ok(())
}
