//! The three estimators of the Fisher diagonal against closed forms of softmax regression, and BERT's one pass against
//! the pass of one example and label at a time.

use candle_core::{Device, Tensor};
use fisherscape::data::{Batch, Example, Target};
use fisherscape::fisher::{self, Fisher};
use fisherscape::model::{Estimate, Estimator, Objective, Outputs, Reduction};
use fisherscape::params::ParamMap;
use fisherscape::tasks::Kind;

use crate::parity::open;
use crate::support::{Outcome, fixture, values};
use crate::toy::{Line, SoftmaxRegression, classified, labelled, theta};

const X: [[f32; 3]; 4] = [[1.0, 2.0, 0.0], [3.0, -4.0, 0.5], [-1.0, 0.25, 2.0], [0.5, 0.5, -3.0]];
const W: [[f32; 3]; 3] = [[0.5, -0.25, 0.125], [-0.5, 0.75, 0.25], [0.0, 0.5, -0.75]];

fn estimate(estimator: Estimator, reduction: Reduction) -> Estimate {
    Estimate { estimator, reduction, samples: 1, seed: 3 }
}

fn all(
    objective: &impl Objective,
    theta: &ParamMap,
    examples: &[Example],
    estimates: &[Estimate],
) -> fisherscape::Result<Vec<Fisher>> {
    fisher::estimates(objective, theta, examples, &(0..examples.len()).collect::<Vec<_>>(), estimates)
}

/// `softmax(W x)` in double precision.
fn probabilities<const C: usize>(w: &[[f32; 3]; C], token: u32) -> [f64; C] {
    let x = X[token as usize].map(f64::from);
    let e = w.map(|w| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>().exp());
    let sum: f64 = e.iter().sum();
    e.map(|e| e / sum)
}

/// The closed form of softmax regression: `E_y (p_c - [c = y])² x_j² = p_c (1 - p_c) x_j²`, mean over the tokens.
fn exact<const C: usize>(w: &[[f32; 3]; C], tokens: &[u32]) -> Vec<f64> {
    let mut f = vec![0.0; 3 * C];
    for &token in tokens {
        let p = probabilities(w, token);
        for c in 0..C {
            let x = X[token as usize].map(f64::from);
            (0..3).for_each(|j| f[3 * c + j] += p[c] * (1.0 - p[c]) * x[j] * x[j] / tokens.len() as f64);
        }
    }
    f
}

/// Oracle: `p_c (1 - p_c) x_j²`, on paper, whatever the labels of the data. Three classes take a pass for each, two the
/// single pass that is said to be the same. Float32 gradients of a few operations: 1e-5. Catches p in place of its
/// root as a weight, the data's labels, a class left out, and the wrong one of two classes.
#[test]
fn exact_is_the_expectation_over_the_models_labels() -> Outcome {
    let tokens = [0u32, 1, 2, 3, 1];
    let model = SoftmaxRegression::new(&X)?;
    let three: Vec<Example> = tokens.iter().map(|&t| classified(t, t % 3)).collect();
    let two: Vec<Example> = tokens.iter().map(|&t| classified(t, t % 2)).collect();
    let pair = [W[0], W[1]];
    for (f, wanted) in [
        (
            all(&model, &theta(&W)?, &three, &[estimate(Estimator::Exact, Reduction::Mean)])?,
            exact(&W, &tokens),
        ),
        (
            all(&model, &theta(&pair)?, &two, &[estimate(Estimator::Exact, Reduction::Mean)])?,
            exact(&pair, &tokens),
        ),
    ] {
        let got = values(&f[0].diagonal["weight"]);
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!((f64::from(*got) - wanted).abs() <= 1e-5 * wanted.max(1e-3), "{got}, expected {wanted}");
        }
        // The rows of s[n,t] average to the same.
        let column = f[0].diagonal.keys().position(|name| name == "weight").unwrap();
        let mean = f[0].sums.column(column).sum() / tokens.len() as f64;
        let wanted: f64 = wanted.iter().sum();
        assert!((mean - wanted).abs() <= 1e-5 * wanted, "{mean}, expected {wanted}");
    }
    Ok(())
}

/// Oracle: the closed form again, as the mean of many draws; the error of a mean of K squares g² is their standard
/// deviation, `sqrt(E g⁴ - (E g²)²)`, over √K, written down from p. Five of those: a bias by a factor m_n, labels that
/// follow the data, or the same draw for every target would be hundreds off. With several targets in an example the
/// draws are independent, so under `sum` the expectation of the square of the sum is the sum of the targets'.
#[test]
fn drawn_labels_average_to_the_exact_information() -> Outcome {
    const K: usize = 1000;
    let model = SoftmaxRegression::new(&X)?;
    for (examples, tokens, scale) in [
        (vec![classified(0, 0), classified(1, 0)], vec![vec![0u32], vec![1]], 1.0),
        (vec![labelled(&[(0, 1), (1, 1), (2, 1)]), labelled(&[(3, 0)])], vec![vec![0, 1, 2], vec![3]], 1.0),
    ] {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let mc = Estimate { samples: K, ..estimate(Estimator::Mc, reduction) };
            let f = all(&model, &theta(&W)?, &examples, &[mc])?.remove(0);
            let got = values(&f.diagonal["weight"]);
            for c in 0..3 {
                for j in 0..3 {
                    let (mut mean, mut variance) = (0.0, 0.0);
                    for tokens in &tokens {
                        let m = if reduction == Reduction::Mean { tokens.len() as f64 } else { scale };
                        // One target at a time: independent terms of mean 0.
                        let terms = tokens.iter().map(|&t| {
                            let (p, x) = (probabilities(&W, t)[c], f64::from(X[t as usize][j]) / m);
                            let (second, fourth) = (
                                p * (1.0 - p) * x * x,
                                (p * (1.0 - p).powi(4) + (1.0 - p) * p.powi(4)) * x.powi(4),
                            );
                            (second, fourth)
                        });
                        let (second, fourth) = terms.fold((0.0, 0.0), |(s, f), (second, fourth)| {
                            (s + second, f + fourth + 6.0 * s * second)
                        });
                        mean += second / examples.len() as f64;
                        variance += (fourth - second * second) / (examples.len() as f64).powi(2);
                    }
                    let (got, error) = (f64::from(got[3 * c + j]), 5.0 * (variance / K as f64).sqrt());
                    assert!(
                        (got - mean).abs() <= error + 1e-5 * mean,
                        "{reduction:?}: {got}, {mean} ± {error}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Oracle: on paper. Under y = f + e with Var e = 1/2, `E (2 e x)² = 2 x²`; of 2000 draws of a squared normal the mean is
/// off by sqrt(2/2000) = 3 % of it, five of which are allowed. Var e = 1 would give 4 x².
#[test]
fn drawn_values_have_the_variance_of_the_squared_error() -> Outcome {
    let w = ParamMap::from([("w".to_string(), Tensor::new(&[0.3f32], &Device::Cpu)?)]);
    let example = |id: u32| Example {
        ids: vec![id],
        types: vec![0],
        target: Target::value(100.0),
        group: None,
        window: None,
    };
    let mc = Estimate { samples: 2000, ..estimate(Estimator::Mc, Reduction::Mean) };
    let f = all(&Line, &w, &[example(1), example(2)], &[mc])?.remove(0);
    let (got, wanted) = (f64::from(values(&f.diagonal["w"])[0]), 2.0 * (1.0 + 4.0) / 2.0);
    assert!((got - wanted).abs() < 0.15 * wanted, "{got}, expected {wanted}");
    // A label is no class.
    let error = fisher::check(Kind::Regression, &[estimate(Estimator::Exact, Reduction::Mean)]);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("empirical or mc for regression"), "{error}");
    Ok(())
}

/// Whose gradients are taken one example and label at a time, by autograd.
struct OneByOne<'a, T>(&'a T);

impl<T: Objective> Objective for OneByOne<'_, T> {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> fisherscape::Result<Outputs> {
        self.0.losses(theta, batch)
    }

    fn reached(&self, name: &str, examples: &[&Example]) -> fisherscape::model::Reached {
        self.0.reached(name, examples)
    }
}

/// Oracle: the provided pass, one example and label at a time. Every estimate of one pass equals that of a pass of its
/// own to the last bit, and the slow pass to float32 in another order (2e-4 of the tensor's largest, as the check against
/// PyTorch asks). Catches squares that land in another estimate's sums, probabilities used up by the first backward
/// pass, a tied decoder's share left over from the last one, and draws that depend on the batch.
#[test]
fn one_pass_of_a_bert_gives_all_estimates() -> Outcome {
    use Estimator::{Empirical, Exact, Mc};
    for (kind, estimators) in
        [("mlm", &[Empirical, Mc][..]), ("cls", &[Mc, Exact, Empirical]), ("reg", &[Empirical, Mc])]
    {
        let (model, set) = open(&fixture(&format!("parity/{kind}")));
        let estimates: Vec<Estimate> = estimators
            .iter()
            .flat_map(|&e| {
                [Reduction::Mean, Reduction::Sum].map(|r| Estimate { samples: 2, ..estimate(e, r) })
            })
            .collect();
        let together = all(model.network().unwrap(), &model.theta, &set.examples, &estimates)?;
        for (estimate, f) in estimates.iter().zip(&together) {
            let alone = all(model.network().unwrap(), &model.theta, &set.examples, &[*estimate])?.remove(0);
            let slow = all(&OneByOne(model.network().unwrap()), &model.theta, &set.examples, &[*estimate])?
                .remove(0);
            assert_eq!(f.sums, alone.sums, "{kind}, {estimate:?}");
            for (name, own) in &f.diagonal {
                let (own, slow) = (values(own), values(&slow.diagonal[name]));
                assert_eq!(own, values(&alone.diagonal[name]), "{kind}, {estimate:?}, {name}");
                let most = slow.iter().fold(0f32, |a, b| a.max(*b));
                let off = own.iter().zip(&slow).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
                assert!(off <= 2e-4 * most, "{kind}, {estimate:?}, {name}: {off} of {most}");
            }
        }
        // Labels that are drawn are not the data's.
        let at = |e: Estimator| estimates.iter().position(|estimate| estimate.estimator == e).unwrap();
        assert!(together[at(Mc)].sums != together[at(Empirical)].sums);
    }
    Ok(())
}

/// Oracle: the definition: a subset's examples keep the labels that are drawn for them in the whole set. Catches draws
/// numbered by the place in the subset.
#[test]
fn a_subset_draws_the_same_labels() -> Outcome {
    let (model, set) = open(&fixture("parity/cls"));
    let mc = [estimate(Estimator::Mc, Reduction::Mean)];
    let whole = all(model.network().unwrap(), &model.theta, &set.examples, &mc)?.remove(0);
    let some = [1usize, 4, 5];
    let part =
        fisher::estimates(model.network().unwrap(), &model.theta, &set.examples, &some, &mc)?.remove(0);
    assert_eq!(part.used, some);
    for (row, n) in some.iter().enumerate() {
        for (a, b) in part.sums.row(row).iter().zip(whole.sums.row(*n)) {
            // Batches of other examples: another order of float32 sums.
            assert!((a - b).abs() <= 1e-4 * b.abs(), "example {n}: {a} and {b}");
        }
    }
    Ok(())
}
