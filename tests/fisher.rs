//! The Fisher diagonal against closed forms of softmax regression.

use fisherscape::data::{Batch, Example};
use fisherscape::fisher::files::{PerExample, Stored};
use fisherscape::fisher::{self, Fisher, diagonal};
use fisherscape::model::architectures::recognise;
use fisherscape::model::{Objective, Reduction};
use fisherscape::params;

use crate::support::{Outcome, values};
use crate::toy::{SoftmaxRegression, classified, labelled, theta};

/// Features of four tokens, exact in float32.
const X: [[f32; 3]; 4] = [[1.0, 2.0, 0.0], [3.0, -4.0, 0.5], [-1.0, 0.25, 2.0], [0.5, 0.5, -3.0]];

/// A point without symmetry: three classes.
const W: [[f32; 3]; 3] = [[0.5, -0.25, 0.125], [-0.5, 0.75, 0.25], [0.0, 0.5, -0.75]];

/// Examples with 1, 2 and 3 targets, and one without.
fn mixed() -> Vec<Example> {
    vec![
        labelled(&[(0, 1)]),
        labelled(&[(1, 2), (2, 0)]),
        labelled(&[]),
        labelled(&[(3, 2), (0, 0), (1, 1)]),
        labelled(&[(2, 2), (3, 1)]),
    ]
}

/// Gradient with respect to `weight` of one example's summed loss, in double precision:
/// `∂/∂w_cj = Σ_targets (p_c - [c = y]) x_j` with `p = softmax(W x)`.
fn by_hand(example: &Example) -> [f64; 9] {
    let mut gradient = [0.0; 9];
    for (position, label) in example.target.pairs() {
        let x = X[example.ids[position as usize] as usize].map(f64::from);
        let e = W.map(|w| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>().exp());
        for c in 0..3 {
            let error = e[c] / e.iter().sum::<f64>() - f64::from(u8::from(c == label as usize));
            (0..3).for_each(|j| gradient[3 * c + j] += error * x[j]);
        }
    }
    gradient
}

fn column(fisher: &Fisher, name: &str) -> usize {
    fisher.diagonal.keys().position(|n| n == name).unwrap()
}

#[track_caller]
fn assert_close(got: &[f32], expected: &[f64], relative: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(*g) - e).abs() <= relative * e.abs(), "entry {i}: {g}, expected {e}");
    }
}

/// Oracle: on paper. At w = 0 two classes give p = 1/2, so every gradient entry is ±x_j/2 and F_cj = mean(x_j²)/4.
/// The square of the mean gradient would be (1 - 3)²/16 = 0.25 and (2 + 4)²/16 = 2.25.
#[test]
fn diagonal_is_a_quarter_of_the_mean_square_input_at_zero_weights() -> Outcome {
    let model = SoftmaxRegression::new(&[[1.0, 2.0], [3.0, -4.0]])?;
    let examples = [classified(0, 0), classified(1, 1)];
    let fisher = diagonal(&model, &theta(&[[0.0; 2]; 2])?, &examples, Reduction::Mean)?;
    // Halves and small integers: only the exponential and logarithm round.
    assert_close(&values(&fisher.diagonal["weight"]), &[1.25, 2.5, 1.25, 2.5], 1e-6);
    Ok(())
}

/// Oracle: the gradients by hand, in double precision, squared example by example. Catches a square outside the sum
/// over examples or inside that over targets, a mean in place of the sum, N that counts skipped examples.
#[test]
fn diagonal_and_sums_equal_gradients_written_by_hand() -> Outcome {
    let (model, examples) = (SoftmaxRegression::new(&X)?, mixed());
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let fisher = diagonal(&model, &theta(&W)?, &examples, reduction)?;
        let mut expected = [0.0; 9];
        for (row, &n) in fisher.used.iter().enumerate() {
            let targets = examples[n].targets() as f64;
            let scale = if reduction == Reduction::Mean { 1.0 / targets } else { 1.0 };
            let squares = by_hand(&examples[n]).map(|g| (g * scale).powi(2));
            let sum = fisher.sums[[row, column(&fisher, "weight")]];
            // Float32 gradients of a few operations: some 1e-6 relative to the largest entry.
            let wanted: f64 = squares.iter().sum();
            assert!((sum - wanted).abs() <= 1e-5 * wanted, "{reduction:?}, example {n}: {sum} for {wanted}");
            (0..9).for_each(|i| expected[i] += squares[i] / 4.0);
        }
        assert_close(&values(&fisher.diagonal["weight"]), &expected, 1e-5);
    }
    Ok(())
}

/// Oracle: the gradients by hand. The classic bug of this field squares the gradient of the batch mean: on these data
/// it is below F in every entry and below half of it in all, so tests that compare with F can tell them apart.
#[test]
fn square_of_the_mean_gradient_is_something_else() -> Outcome {
    let (model, examples) = (SoftmaxRegression::new(&X)?, mixed());
    let fisher = diagonal(&model, &theta(&W)?, &examples, Reduction::Mean)?;
    let f = values(&fisher.diagonal["weight"]);
    let mut mean = [0.0; 9];
    for example in examples.iter().filter(|e| e.targets() > 0) {
        let g = by_hand(example);
        (0..9).for_each(|i| mean[i] += g[i] / example.targets() as f64 / 4.0);
    }
    // The mean of squares exceeds the square of the mean by the gradient's variance.
    let total: f64 = f.iter().map(|f| f64::from(*f)).sum();
    let classic_bug: f64 = mean.iter().map(|m| m * m).sum();
    assert!(mean.iter().zip(&f).all(|(m, f)| m * m < f64::from(*f)), "{mean:?} {f:?}");
    assert!(classic_bug < 0.5 * total, "{classic_bug} and {total}");
    Ok(())
}

/// Oracle: the definition, a mean over examples. Duplicating the data catches a sum in place of the mean; another
/// order catches state carried from one example to the next.
#[test]
fn order_and_duplicates_change_nothing() -> Outcome {
    let (model, examples) = (SoftmaxRegression::new(&X)?, mixed());
    let f = |examples: &[Example]| -> Result<Vec<f64>, fisherscape::Error> {
        let fisher = diagonal(&model, &theta(&W)?, examples, Reduction::Mean)?;
        Ok(values(&fisher.diagonal["weight"]).into_iter().map(f64::from).collect())
    };
    let once = f(&examples)?;
    let reversed: Vec<Example> = examples.iter().rev().cloned().collect();
    let thrice = [&examples[..], &reversed, &examples].concat();
    for other in [f(&reversed)?, f(&thrice)?] {
        let other: Vec<f32> = other.iter().map(|v| *v as f32).collect();
        // The order of at most 12 float32 additions: 12 half units in the last place of 2^-24.
        assert_close(&other, &once, 1e-6);
    }
    Ok(())
}

/// Oracle: the same data without the examples that have no target. Catches a mean over all N, and NaN from 0/0.
#[test]
fn examples_without_target_are_skipped_and_counted() -> Outcome {
    let (model, examples) = (SoftmaxRegression::new(&X)?, mixed());
    let all = diagonal(&model, &theta(&W)?, &examples, Reduction::Mean)?;
    let with_target: Vec<Example> = examples.into_iter().filter(|e| e.targets() > 0).collect();
    let kept = diagonal(&model, &theta(&W)?, &with_target, Reduction::Mean)?;
    assert_eq!((all.skipped, &all.used[..]), (1, &[0, 1, 3, 4][..]));
    assert_eq!((kept.skipped, &kept.used[..]), (0, &[0, 1, 2, 3][..]));
    assert_eq!(values(&all.diagonal["weight"]), values(&kept.diagonal["weight"]));
    assert_eq!(all.sums, kept.sums);
    Ok(())
}

/// Oracle: the identity `Σ_i F_i = (1/N) Σ_n s[n,t]` in every tensor. Catches columns of s in another order than the
/// names, and a column or row too few.
#[test]
fn per_example_sums_average_to_the_sum_of_the_diagonal() -> Outcome {
    let model = SoftmaxRegression { unreached: vec![], ..SoftmaxRegression::new(&X)? };
    let fisher = diagonal(&model, &theta(&W)?, &mixed(), Reduction::Mean)?;
    assert_eq!(fisher.sums.dim(), (4, 3));
    for (t, (name, f)) in fisher.diagonal.iter().enumerate() {
        let sum: f64 = values(f).iter().map(|f| f64::from(*f)).sum();
        let mean = fisher.sums.column(t).sum() / 4.0;
        assert!((sum - mean).abs() <= 1e-6 * sum, "{name}: {sum} and {mean}");
    }
    assert!(fisher.sums[[0, column(&fisher, "weight")]] > 0.0);
    Ok(())
}

/// Oracle: 0 by construction. `idle` is not in the loss; `weight` is declared unreached though its gradient is far
/// from 0 (as a key bias's is by rounding), so exact zeros come from the declaration. Catches rounding noise in F.
#[test]
fn unreached_parameters_are_exactly_zero() -> Outcome {
    let model = SoftmaxRegression { unreached: vec!["weight"], ..SoftmaxRegression::new(&X)? };
    let batch = Batch::new(&[&mixed()[1]], 0);
    let gradient = model.gradient(&params::variables(&theta(&W)?)?, &batch, &[0.5, 0.5])?;
    assert!(values(&gradient["weight"]).iter().any(|g| g.abs() > 0.1));
    let fisher = diagonal(&model, &theta(&W)?, &mixed(), Reduction::Mean)?;
    for name in ["weight", "idle"] {
        assert!(values(&fisher.diagonal[name]).iter().all(|f| f.to_bits() == 0), "{name}");
        assert!(fisher.sums.column(column(&fisher, name)).iter().all(|s| *s == 0.0), "{name}");
        assert_eq!(fisher.diagonal[name].dims(), theta(&W)?[name].dims());
    }
    Ok(())
}

/// Oracle: the definition: a mean over no example does not exist, and NaN is no Fisher information. Catches 0/0, and
/// an example counted by its place among those used (2) in place of its place in the set (3).
#[test]
fn no_target_and_no_finite_gradient_are_errors() -> Outcome {
    let model = SoftmaxRegression::new(&[[1.0, 2.0], [f32::NAN, 1.0]])?;
    let w = theta(&[[0.0; 2]; 2])?;
    let none = [labelled(&[]), labelled(&[])];
    let error = diagonal(&model, &w, &none, Reduction::Mean).err().unwrap().to_string();
    assert!(error.contains("at least one with a target"), "{error}");
    let broken = [labelled(&[(0, 1)]), labelled(&[]), labelled(&[(0, 0)]), labelled(&[(1, 0)])];
    let error = diagonal(&model, &w, &broken, Reduction::Mean).err().unwrap().to_string();
    assert!(error.contains("example 3") && error.contains("`weight`"), "{error}");
    assert!(diagonal(&model, &w, &broken[..3], Reduction::Mean).is_ok());
    Ok(())
}

/// Oracle: one thread. Catches sums that depend on which thread comes first; 40 examples of different size give
/// float32 sums that do depend on their order.
#[test]
fn threads_change_no_bit() -> Outcome {
    let model = SoftmaxRegression::new(&X)?;
    let examples: Vec<Example> =
        (0..40u32).map(|n| labelled(&vec![(n % 4, n % 3); 1 + n as usize % 5])).collect();
    let on = |threads: usize| -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let theta = theta(&W)?;
        let fisher = pool.install(|| diagonal(&model, &theta, &examples, Reduction::Sum))?;
        Ok(values(&fisher.diagonal["weight"]))
    };
    let one = on(1)?;
    for threads in [2, 3, 7] {
        assert_eq!(one, on(threads)?, "{threads} threads");
    }
    Ok(())
}

/// Oracle: the values in memory; the standard error of four numbers by hand. Catches a transposed s[n,t], columns in
/// model order, and a standard error of the sum in the table of means.
#[test]
fn files_hold_what_was_computed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("F.safetensors");
    let fisher = diagonal(&SoftmaxRegression::new(&X)?, &theta(&W)?, &mixed(), Reduction::Mean)?;
    let layout = recognise(&fisher.diagonal);
    fisher::files::write(&path, &fisher, &layout, &Default::default(), true)?;
    let Stored { diagonal: read, layout: kept, .. } = fisher::files::read(&path)?;
    assert_eq!(kept, layout);
    assert!(read.keys().eq(fisher.diagonal.keys()));
    assert!(read.iter().all(|(name, f)| values(f) == values(&fisher.diagonal[name])));
    let fisher::files::ByExample { names, own: PerExample { sums, clusters }, .. } =
        fisher::files::read_examples(&path)?.unwrap();
    assert!(names.iter().eq(fisher.diagonal.keys()));
    assert_eq!((&sums, clusters.groups()), (&fisher.sums, None));
    let column = sums.column(column(&fisher, "weight")).to_vec();
    let mean = column.iter().sum::<f64>() / 4.0;
    let squares: f64 = column.iter().map(|s| (s - mean).powi(2)).sum();
    let se = (squares / 3.0 / 4.0).sqrt();
    let table = std::fs::read_to_string(fisher::files::table_path(&path))?;
    assert!(table.starts_with("name,site,block,numel,mean,mean_se,sum,max\n"), "{table}");
    let row: Vec<&str> = table.lines().find(|l| l.starts_with("weight,")).unwrap().split(',').collect();
    let number = |i: usize| row[i].parse::<f64>().unwrap();
    assert_eq!((row[1], row[2], row[3]), ("head", "head", "9"));
    for (i, wanted) in [(4, mean / 9.0), (5, se / 9.0), (6, mean)] {
        assert!((number(i) - wanted).abs() <= 1e-12 * wanted, "column {i}: {} for {wanted}", number(i));
    }
    let largest = values(&fisher.diagonal["weight"]).into_iter().fold(0.0, f32::max);
    assert_eq!(number(7), f64::from(largest));
    Ok(())
}
