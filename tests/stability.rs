//! Sub-samples of per-example sums whose rankings are known.

use std::collections::BTreeSet;

use fisherscape::fisher::layers::Aggregate;
use fisherscape::rng::Stream;
use fisherscape::stability::{AgreementRow, Config, Stability, independent, measure};
use fisherscape::{files, stats};
use ndarray::Array2;

use crate::support::Outcome;

const FRACTIONS: [f64; 4] = [0.05, 0.2, 0.5, 0.9];

fn config(fractions: &[f64], repeats: usize, seed: u64) -> Config {
    Config {
        fractions: fractions.to_vec(),
        repeats,
        aggregate: Aggregate::MeanOfMeans,
        include_intermediate: false,
        seed,
    }
}

/// Eight layers with one tensor to a site, and one of the embeddings: 25 tensors, 25 sites, 9 blocks. In name order;
/// sizes are powers of two, so that means of equal sums are exact.
fn tensors() -> Vec<(String, usize)> {
    let parts = ["attention.self.query", "attention.output.dense", "output.dense"];
    let layer = |k: usize| parts.map(|part| format!("bert.encoder.layer.{k}.{part}.weight"));
    let mut names: Vec<String> = (0..8).flat_map(layer).collect();
    names.push("bert.embeddings.word_embeddings.weight".into());
    names.sort();
    names.into_iter().enumerate().map(|(t, name)| (name, 1 << (t % 4))).collect()
}

/// `s[n,t]` from a function of example and tensor, times the number of entries, so that tensor means are its values.
fn sums(examples: usize, mean: impl Fn(usize, usize) -> f64) -> Array2<f64> {
    let sizes: Vec<f64> = tensors().iter().map(|(_, size)| *size as f64).collect();
    Array2::from_shape_fn((examples, sizes.len()), |(n, t)| sizes[t] * mean(n, t))
}

/// Independent, exponential-like positive values.
fn noise(seed: u64) -> impl Fn(usize, usize) -> f64 {
    move |n, t| -Stream::new(seed, "test/sums").at(n as u64).uniform(t as u64).max(1e-9).ln()
}

fn of<'a>(result: &'a Stability, granularity: &str) -> Vec<&'a AgreementRow> {
    result.agreement.iter().filter(|row| row.granularity == granularity).collect()
}

/// Oracle: the whole agrees with itself, and nothing is left for a complement. Catches a draw with replacement, and a
/// complement compared where there is none.
#[test]
fn a_draw_of_everything_agrees_perfectly() -> Outcome {
    let result = measure(&tensors(), &sums(40, noise(1)), &config(&[1.0], 3, 0))?;
    assert_eq!(result.agreement.len(), 9);
    for row in &result.agreement {
        assert_eq!(row.examples, 40);
        for agreement in [row.spearman, row.kendall, row.top_k_overlap, row.rbo] {
            assert!((agreement.unwrap() - 1.0).abs() <= 1e-12, "{row:?}");
        }
        let complement = [
            row.spearman_complement,
            row.kendall_complement,
            row.top_k_overlap_complement,
            row.rbo_complement,
        ];
        assert_eq!(complement, [None; 4]);
    }
    Ok(())
}

/// Oracle: `max(1, floor(fN + 0.5))`, on paper; members by definition of a sample. Catches rounding down or to even,
/// an empty draw, an example drawn twice.
#[test]
fn draws_have_the_defined_size() -> Outcome {
    for (n, fraction, size) in [
        (10, 0.04, 1),
        (10, 0.15, 2),
        (10, 0.25, 3),
        (10, 0.35, 4),
        (10, 1.0, 10),
        (7, 0.5, 4),
        (3, 0.001, 1),
    ] {
        let members = independent(n, fraction, 0, 5);
        assert_eq!(members.len(), size, "{fraction} of {n}");
        assert!(members.windows(2).all(|w| w[0] < w[1]) && members.iter().all(|m| *m < n));
    }
    let result = measure(&tensors(), &sums(30, noise(1)), &config(&[0.01, 0.25], 1, 0))?;
    let examples: Vec<usize> = of(&result, "tensor").iter().map(|row| row.examples).collect();
    assert_eq!(examples, [1, 8]);
    Ok(())
}

/// Oracle: each example equally likely: in R draws of k of N, Rk/N times within 5 binomial standard deviations; repeats
/// and seeds draw afresh. Catches prefixes, and one draw repeated.
#[test]
fn every_example_is_drawn_equally_often() {
    let (n, repeats, share) = (20, 2000, 0.3);
    let mut counts = vec![0f64; n];
    (0..repeats).flat_map(|r| independent(n, share, r, 9)).for_each(|i| counts[i] += 1.0);
    let (expected, bound) = (repeats as f64 * share, 5.0 * (repeats as f64 * share * (1.0 - share)).sqrt());
    assert!(counts.iter().all(|c| (c - expected).abs() <= bound), "{counts:?}");
    let draws: BTreeSet<Vec<usize>> =
        (0..3).flat_map(|r| [1, 2].map(|seed| independent(n, share, r, seed))).collect();
    assert_eq!(draws.len(), 6);
}

/// Mean over rows of tensor t's sum divided by its size: the tensor's score, directly.
fn direct(sums: &Array2<f64>, rows: &[usize], t: usize) -> f64 {
    rows.iter().map(|&n| sums[[n, t]]).sum::<f64>() / rows.len() as f64 / tensors()[t].1 as f64
}

/// Oracle: means over the drawn rows of s[n,t], written out: tensors, and layer.3 as the mean of its three. Catches
/// rows of another repeat, a sum over the draw divided by N, sums in place of means.
#[test]
fn scores_are_direct_means_over_the_drawn_rows() -> Outcome {
    let sums = sums(30, noise(2));
    let result = measure(&tensors(), &sums, &config(&[0.2, 0.5], 3, 4))?;
    let score = |draw: &str, fraction: f64, repeat: usize, granularity: &str, name: &str| {
        let is = |r: &&fisherscape::stability::ScoreRow| {
            (r.draw, r.fraction, r.repeat, r.granularity, r.name.as_str())
                == (draw, fraction, repeat, granularity, name)
        };
        let found: Vec<f64> = result.scores.iter().filter(is).map(|r| r.score).collect();
        assert_eq!(found.len(), 1, "{draw} {fraction} {repeat} {granularity} {name}");
        found[0]
    };
    let mut draws: Vec<(&str, f64, usize, Vec<usize>)> = vec![("full", 1.0, 0, (0..30).collect())];
    for (fraction, repeat) in [0.2, 0.5].into_iter().flat_map(|f| (0..3).map(move |r| (f, r))) {
        draws.push(("independent", fraction, repeat, independent(30, fraction, repeat, 4)));
    }
    for (draw, fraction, repeat, rows) in &draws {
        let close = |got: f64, expected: f64| {
            assert!((got - expected).abs() <= 1e-12 * expected, "{got} for {expected}")
        };
        let score = |granularity: &str, name: &str| score(draw, *fraction, *repeat, granularity, name);
        let mut layer = 0.0;
        for (t, (name, _)) in tensors().iter().enumerate() {
            close(score("tensor", name), direct(&sums, rows, t));
            layer += if name.contains("layer.3.") { direct(&sums, rows, t) / 3.0 } else { 0.0 };
        }
        close(score("block", "layer.3"), layer);
        let query =
            tensors().iter().position(|(name, _)| name.contains("layer.5.attention.self.query")).unwrap();
        close(score("site", "layer.5.attention_probs"), direct(&sums, rows, query));
    }
    assert_eq!(result.scores.len(), draws.len() * (25 + 25 + 9));
    Ok(())
}

/// Oracle: the agreements of [`stats`] (tested against scipy) of directly computed scores, with the full set and with
/// the rows that were not drawn. Catches columns exchanged, and a complement that is the full set or the draw itself.
#[test]
fn agreement_is_with_the_full_set_and_with_the_rows_left_over() -> Outcome {
    let sums = sums(30, noise(3));
    let result = measure(&tensors(), &sums, &config(&[0.2, 0.5], 2, 4))?;
    let scores = |rows: &[usize]| (0..25).map(|t| direct(&sums, rows, t)).collect::<Vec<f64>>();
    let all: Vec<usize> = (0..30).collect();
    for row in of(&result, "tensor") {
        let drawn = independent(30, row.fraction, row.repeat, 4);
        let rest: Vec<usize> = all.iter().copied().filter(|n| !drawn.contains(n)).collect();
        let (own, full, rest) = (scores(&drawn), scores(&all), scores(&rest));
        // Tensors here in name order, there in the model's: ties there are none, so no measure depends on it.
        let agree = |x: &[f64]| {
            [
                stats::spearman(&own, x),
                stats::kendall(&own, x),
                Some(stats::top_k_overlap(&own, x, 3)),
                Some(stats::rbo(&own, x, 0.9)),
            ]
        };
        assert_eq!(row.k, 3);
        let against = [row.spearman, row.kendall, row.top_k_overlap, row.rbo];
        let complement = [
            row.spearman_complement,
            row.kendall_complement,
            row.top_k_overlap_complement,
            row.rbo_complement,
        ];
        for (got, expected) in
            against.into_iter().chain(complement).zip(agree(&full).into_iter().chain(agree(&rest)))
        {
            assert!((got.unwrap() - expected.unwrap()).abs() <= 1e-12, "{row:?}: {expected:?}");
        }
    }
    let k: Vec<usize> = ["tensor", "site", "block"].map(|g| of(&result, g)[0].k).to_vec();
    assert_eq!(k, [3, 3, 1]);
    Ok(())
}

/// Oracle: on paper. Means a factor of 2 apart with noise of ±10 % keep their order in every sub-sample, at every
/// granularity (a block is the mean of three neighbours, so blocks are a factor of 8 apart).
#[test]
fn well_separated_tensors_agree_in_every_draw() -> Outcome {
    let uniform = |n: usize, t: usize| Stream::new(1, "test/ten").at(n as u64).uniform(t as u64);
    let result = measure(
        &tensors(),
        &sums(200, |n, t| 2f64.powi(t as i32) * (0.9 + 0.2 * uniform(n, t))),
        &config(&FRACTIONS, 5, 0),
    )?;
    assert_eq!(result.agreement.len(), 3 * 4 * 5);
    for row in &result.agreement {
        for agreement in [row.spearman, row.spearman_complement, row.kendall, row.kendall_complement] {
            assert!((agreement.unwrap() - 1.0).abs() <= 1e-12, "{row:?}");
        }
    }
    Ok(())
}

/// Oracle: with exchangeable tensors, draw and complement are independent, so Spearman's rho has mean 0 and variance
/// 1/(items - 1): over 400 data sets within 5 standard errors. Against the full set it is inflated: half of the data
/// correlate with the whole by sqrt(1/2), and rank correlations are some 0.68.
#[test]
fn exchangeable_tensors_agree_with_the_full_set_but_not_with_the_complement() -> Outcome {
    let (sets, items) = (400, 25.0f64);
    let (mut full, mut complement) = (0.0, 0.0);
    for seed in 0..sets {
        let result = measure(&tensors(), &sums(20, noise(1000 + seed)), &config(&[0.5], 1, seed))?;
        let row = of(&result, "tensor")[0];
        full += row.spearman.unwrap() / sets as f64;
        complement += row.spearman_complement.unwrap() / sets as f64;
    }
    let se = (1.0 / (items - 1.0) / sets as f64).sqrt();
    assert!(complement.abs() <= 5.0 * se, "{complement} ± {se}");
    assert!(full > 0.5 && full < 0.85, "{full}");
    Ok(())
}

/// Oracle: the rows themselves. A draw is the same whichever other fractions and however many repeats are asked for;
/// repeats differ from each other.
#[test]
fn a_draw_does_not_depend_on_what_else_is_asked_for() -> Outcome {
    let sums = sums(30, noise(5));
    let rows = |fractions: &[f64], repeats| -> fisherscape::Result<Vec<(usize, String, u64)>> {
        let result = measure(&tensors(), &sums, &config(fractions, repeats, 1))?;
        let own = result.scores.into_iter().filter(|r| r.draw == "independent" && r.fraction == 0.2);
        Ok(own.map(|r| (r.repeat, r.name, r.score.to_bits())).collect())
    };
    let alone = rows(&[0.2], 3)?;
    assert_eq!(alone, rows(&[0.1, 0.2, 0.5], 3)?);
    assert_eq!(alone, rows(&[0.5, 0.2], 3)?);
    assert_eq!(alone[..2 * alone.len() / 3], rows(&[0.2], 2)?);
    let of_repeat = |r: usize| alone.iter().filter(|row| row.0 == r).map(|row| row.2).collect::<Vec<_>>();
    assert!(of_repeat(0) != of_repeat(1) && of_repeat(1) != of_repeat(2) && of_repeat(0) != of_repeat(2));
    Ok(())
}

/// Oracle: the definition: where a ranking is constant there is no order to agree with, so the cell is empty: not 1,
/// not 0, not NaN in the file. Every tensor mean is 1, exactly.
#[test]
fn constant_scores_give_empty_cells() -> Outcome {
    let result = measure(&tensors(), &sums(10, |_, _| 1.0), &config(&[0.5], 1, 0))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agreement.csv");
    files::write_csv(&path, &result.agreement)?;
    let text = std::fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "draw,fraction,repeat,granularity,examples,k,spearman,kendall,top_k_overlap,rbo,\
         spearman_complement,kendall_complement,top_k_overlap_complement,rbo_complement"
    );
    assert_eq!(lines[1], "independent,0.5,0,tensor,5,3,,,,,,,,");
    assert_eq!(lines[2], "independent,0.5,0,site,5,3,,,,,,,,");
    // One example differs: it is in the draw or in the complement, so that one of the two is constant.
    let one =
        measure(&tensors(), &sums(10, |n, t| if n == 0 { t as f64 } else { 1.0 }), &config(&[0.5], 8, 0))?;
    for row in of(&one, "tensor") {
        assert_eq!(row.spearman_complement, None);
        assert_eq!(row.spearman.is_some(), independent(10, 0.5, row.repeat, 0).contains(&0));
        assert_eq!(
            (row.rbo.is_some(), row.top_k_overlap.is_some()),
            (row.spearman.is_some(), row.spearman.is_some())
        );
    }
    Ok(())
}

/// Oracle: the rules: fractions in (0, 1], at least two examples.
#[test]
fn draws_that_mean_nothing_are_errors() {
    for fraction in [0.0, -0.1, 1.01, f64::NAN] {
        let error = measure(&tensors(), &sums(10, noise(1)), &config(&[0.5, fraction], 1, 0)).err().unwrap();
        assert!(error.to_string().contains("in (0, 1]"), "{error}");
    }
    let error = measure(&tensors(), &sums(1, noise(1)), &config(&[0.5], 1, 0)).err().unwrap();
    assert!(error.to_string().contains("at least 2, found 1"), "{error}");
}
