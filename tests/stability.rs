//! Sub-samples of per-example sums whose rankings are known.

use std::collections::BTreeSet;

use fisherscape::fisher::layers::{Aggregate, Granularity};
use fisherscape::rng::Stream;
use fisherscape::stability::agreement::{Measure, agreement};
use fisherscape::stability::draw::{Draws, size};
use fisherscape::stability::summary::{Reference, SummaryRow, trust};
use fisherscape::stability::{AgreementRow, Config, Stability, measure};
use fisherscape::{files, stats};
use ndarray::Array2;

use crate::support::{Outcome, fisherscape, fixture, json, layout};

const FRACTIONS: [f64; 4] = [0.05, 0.2, 0.5, 0.9];

fn config(fractions: &[f64], repeats: usize, seed: u64) -> Config {
    Config {
        draws: vec![Draws::Independent],
        fractions: fractions.to_vec(),
        repeats,
        resamples: 0,
        aggregate: Aggregate::MeanOfMeans,
        include_intermediate: false,
        threshold: 0.9,
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

/// Members of an independent draw.
fn independent(n: usize, fraction: f64, repeat: usize, seed: u64) -> Vec<usize> {
    Draws::Independent.members(n, fraction, repeat, seed)
}

fn of<'a>(result: &'a Stability, granularity: &str) -> Vec<&'a AgreementRow> {
    result.agreement.iter().filter(|row| row.granularity.name() == granularity).collect()
}

/// Oracle: the whole agrees with itself, and nothing is left for a complement. Catches a draw with replacement, and a
/// complement compared where there is none.
#[test]
fn a_draw_of_everything_agrees_perfectly() -> Outcome {
    let result = measure(&layout(&tensors()), &sums(40, noise(1)), &config(&[1.0], 3, 0))?;
    assert_eq!(result.agreement.len(), 9);
    for row in &result.agreement {
        assert_eq!(row.examples, 40);
        for (agreement, perfect) in row.full.values.iter().zip([1.0, 1.0, 1.0, 1.0, 0.0]) {
            assert!((agreement.unwrap() - perfect).abs() <= 1e-12, "{row:?}");
        }
        assert_eq!(row.complement.values, [None; 5]);
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
    let result = measure(&layout(&tensors()), &sums(30, noise(1)), &config(&[0.01, 0.25], 1, 0))?;
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
    let result = measure(&layout(&tensors()), &sums, &config(&[0.2, 0.5], 3, 4))?;
    let score = |draw: &str, fraction: f64, repeat: usize, granularity: &str, name: &str| {
        let is = |r: &&fisherscape::stability::ScoreRow| {
            (r.draw.as_str(), r.fraction, r.repeat, r.granularity.name(), r.name.as_str())
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
    let result = measure(&layout(&tensors()), &sums, &config(&[0.2, 0.5], 2, 4))?;
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
                // Rates fall from 0.1 in 24 steps.
                Some(stats::mean(
                    &stats::ranks(&own)
                        .iter()
                        .zip(stats::ranks(x))
                        .map(|(a, b)| (a - b).abs() * 0.1 / 24.0)
                        .collect::<Vec<_>>(),
                )),
            ]
        };
        assert_eq!(row.k, 3);
        let got = row.full.values.into_iter().chain(row.complement.values);
        for (got, expected) in got.zip(agree(&full).into_iter().chain(agree(&rest))) {
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
        &layout(&tensors()),
        &sums(200, |n, t| 2f64.powi(t as i32) * (0.9 + 0.2 * uniform(n, t))),
        &config(&FRACTIONS, 5, 0),
    )?;
    assert_eq!(result.agreement.len(), 3 * 4 * 5);
    for row in &result.agreement {
        for agreement in row.full.values[..2].iter().chain(&row.complement.values[..2]) {
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
        let result = measure(&layout(&tensors()), &sums(20, noise(1000 + seed)), &config(&[0.5], 1, seed))?;
        let row = of(&result, "tensor")[0];
        full += row.full.values[0].unwrap() / sets as f64;
        complement += row.complement.values[0].unwrap() / sets as f64;
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
        let result = measure(&layout(&tensors()), &sums, &config(fractions, repeats, 1))?;
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
    let result = measure(&layout(&tensors()), &sums(10, |_, _| 1.0), &config(&[0.5], 1, 0))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agreement.csv");
    files::write_csv(&path, &result.agreement)?;
    let text = std::fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "draw,fraction,repeat,granularity,examples,k,spearman,kendall,top_k_overlap,rbo,\
         spearman_complement,kendall_complement,top_k_overlap_complement,rbo_complement,\
         spearman_low,spearman_high,kendall_low,kendall_high,top_k_overlap_low,top_k_overlap_high,\
         rbo_low,rbo_high,spearman_complement_low,spearman_complement_high,\
         kendall_complement_low,kendall_complement_high,\
         top_k_overlap_complement_low,top_k_overlap_complement_high,rbo_complement_low,rbo_complement_high,\
         rate_difference,rate_difference_complement,rate_difference_low,rate_difference_high,\
         rate_difference_complement_low,rate_difference_complement_high"
    );
    let empty = ",".repeat(30);
    assert_eq!(lines[1], format!("independent,0.5,0,tensor,5,3{empty}"));
    assert_eq!(lines[2], format!("independent,0.5,0,site,5,3{empty}"));
    // One example differs: it is in the draw or in the complement, so that one of the two is constant.
    let one = measure(
        &layout(&tensors()),
        &sums(10, |n, t| if n == 0 { t as f64 } else { 1.0 }),
        &config(&[0.5], 8, 0),
    )?;
    for row in of(&one, "tensor") {
        assert_eq!(row.complement.values, [None; 5]);
        let drawn = independent(10, 0.5, row.repeat, 0).contains(&0);
        assert_eq!(row.full.values.map(|value| value.is_some()), [drawn; 5]);
    }
    Ok(())
}

/// Oracle: the rules: fractions in (0, 1], at least two examples.
#[test]
fn draws_that_mean_nothing_are_errors() {
    for fraction in [0.0, -0.1, 1.01, f64::NAN] {
        let error =
            measure(&layout(&tensors()), &sums(10, noise(1)), &config(&[0.5, fraction], 1, 0)).err().unwrap();
        assert!(error.to_string().contains("in (0, 1]"), "{error}");
    }
    let error = measure(&layout(&tensors()), &sums(1, noise(1)), &config(&[0.5], 1, 0)).err().unwrap();
    assert!(error.to_string().contains("at least 2, found 1"), "{error}");
}

/// Oracle: scipy's spearmanr and kendalltau (tests/fixtures/agreement/make.py) on lists of whole numbers full of ties,
/// and on the sums of a draw, of everything and of the rest. 1e-12: sums of at most 201 terms.
#[test]
fn correlations_equal_scipy_on_tied_scores() -> Outcome {
    let expected = json(&fixture("agreement/expected.json"));
    let list = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let check = |x: &[f64], y: &[f64], expected: &serde_json::Value| {
        let got = agreement(x, y);
        for (m, got) in got[..2].iter().enumerate() {
            match (got, expected[m].as_f64()) {
                (Some(got), Some(expected)) => assert!((got - expected).abs() <= 1e-12, "{got} {expected}"),
                (got, expected) => assert_eq!(*got, expected),
            }
        }
    };
    let lists = expected["lists"].as_array().unwrap();
    assert_eq!(lists.len(), 25);
    for case in lists {
        check(&list(&case["x"]), &list(&case["y"]), &case["expected"]);
    }
    let draw = &expected["draw"];
    let rows: Vec<Vec<f64>> = draw["sums"].as_array().unwrap().iter().map(list).collect();
    let members: Vec<usize> = list(&draw["members"]).iter().map(|n| *n as usize).collect();
    let sum = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let kept = || (0..rows.len()).filter(|n| keep(*n));
        (0..14).map(|t| kept().map(|n| rows[n][t]).sum()).collect()
    };
    let own = sum(&|n| members.contains(&n));
    check(&own, &sum(&|_| true), &draw["full"]);
    check(&own, &sum(&|n| !members.contains(&n)), &draw["complement"]);
    Ok(())
}

/// Oracle: the definitions. Nested: smaller fractions of a repeat lie in larger ones, repeats differ. Disjoint: no
/// example twice, `min(R, floor(1/f))` blocks, and no more than fit where the size was rounded up.
#[test]
fn nested_draws_grow_and_disjoint_ones_share_nothing() {
    for repeat in 0..5 {
        let draws = [0.1, 0.25, 0.5, 1.0].map(|f| Draws::Nested.members(30, f, repeat, 3));
        assert_eq!(draws.each_ref().map(Vec::len), [3, 8, 15, 30]);
        assert!(draws.windows(2).all(|w| w[0].iter().all(|i| w[1].contains(i))));
    }
    assert_ne!(Draws::Nested.members(30, 0.5, 0, 3), Draws::Nested.members(30, 0.5, 1, 3));
    for (n, fraction, asked, repeats) in [
        (30, 0.1, 99, 10),
        (30, 0.1, 4, 4),
        (30, 1.0 / 3.0, 9, 3),
        (10, 0.25, 9, 3),
        (7, 0.6, 5, 1),
        (9, 1.0, 5, 1),
    ] {
        assert_eq!(Draws::Disjoint.repeats(n, fraction, asked), repeats, "{fraction} of {n}");
        let blocks: Vec<Vec<usize>> =
            (0..repeats).map(|r| Draws::Disjoint.members(n, fraction, r, 3)).collect();
        assert!(blocks.iter().all(|block| block.len() == size(n, fraction) && block.is_sorted()));
        let distinct: BTreeSet<usize> = blocks.iter().flatten().copied().collect();
        assert_eq!(distinct.len(), repeats * size(n, fraction));
    }
    assert_eq!(Draws::Independent.repeats(10, 0.5, 7), 7);
}

/// Oracle: the definitions above, in the rows: three kinds side by side give the rows that each gives alone.
#[test]
fn kinds_of_draws_stand_side_by_side() -> Outcome {
    let sums = sums(30, noise(6));
    let rows = |kinds: &[Draws]| -> fisherscape::Result<Vec<String>> {
        let config = Config { draws: kinds.to_vec(), resamples: 20, ..config(&[0.1, 0.5], 4, 1) };
        let result = measure(&layout(&tensors()), &sums, &config)?;
        Ok(result.agreement.iter().map(|row| format!("{row:?}")).collect())
    };
    let kinds = [Draws::Independent, Draws::Nested, Draws::Disjoint];
    let together = rows(&kinds)?;
    assert_eq!(
        together,
        kinds.map(|kind| rows(&[kind])).into_iter().collect::<Result<Vec<_>, _>>()?.concat()
    );
    // Of disjoint halves there are two.
    assert_eq!(together.len(), 3 * (8 + 8 + 4 + 2));
    Ok(())
}

/// Normal s[n,t] of 25 tensors: means a tenth apart, standard deviation 1. At m examples a mean has variance 1/m.
fn normal_corpus(examples: usize, seed: u64) -> Array2<f64> {
    sums(examples, |n, t| 0.1 * t as f64 + Stream::new(seed, "test/normal").at(n as u64).normal(t as u64))
}

/// Oracle: the known variance. Tensor means of a draw and of its complement are independent normal numbers around
/// 0.1 t, with variances 1/m and 1/(N - m): no corpus, no draw, no resample. Over 120 corpora, the mean agreement is
/// that within 5 standard errors; the 95 % intervals hold it as often as a binomial allows; and they are as wide as
/// the estimates spread. Percentiles of the resampled agreements fail, as resamples agree too well; with copies kept
/// on one side they hold it nearly never; and `sd / sqrt(R)` over repeats, which share the corpus, is too narrow.
#[test]
fn intervals_hold_the_expected_agreement_of_a_known_variance() -> Outcome {
    const CORPORA: u64 = 120;
    let (n, m) = (60, 18);
    let config = Config { resamples: 120, ..config(&[0.3], 4, 0) };
    let simulated = |seed: u64| -> [f64; 2] {
        let normal = Stream::new(seed, "test/means");
        let mean = |first: u64, sd: f64| -> Vec<f64> {
            (0..25).map(|t| 0.1 * t as f64 + sd * normal.normal(first + t)).collect()
        };
        let (own, rest) = (mean(0, (1.0 / m as f64).sqrt()), mean(25, (1.0 / (n - m) as f64).sqrt()));
        let share = m as f64 / n as f64;
        let full: Vec<f64> = own.iter().zip(&rest).map(|(a, b)| share * a + (1.0 - share) * b).collect();
        [stats::spearman(&own, &full).unwrap(), stats::spearman(&own, &rest).unwrap()]
    };
    let expected = (0..20_000).map(simulated).fold([0.0; 2], |sum, v| [sum[0] + v[0], sum[1] + v[1]]);
    let expected = expected.map(|sum| sum / 20_000.0);
    let mut rows: [Vec<(f64, f64, f64)>; 2] = Default::default();
    for corpus in 0..CORPORA {
        let config = Config { seed: corpus, ..config.clone() };
        let result = measure(&layout(&tensors()), &normal_corpus(n, corpus), &config)?;
        for row in result.summary {
            if (row.granularity, row.measure) == (Granularity::Tensor, Measure::Spearman) {
                let of = Reference::ALL.iter().position(|r| *r == row.reference).unwrap();
                rows[of].push((row.mean, row.low.unwrap(), row.high.unwrap()));
            }
        }
    }
    for (rows, expected) in rows.iter().zip(expected) {
        assert_eq!(rows.len(), CORPORA as usize);
        let means: Vec<f64> = rows.iter().map(|row| row.0).collect();
        let off = (stats::mean(&means) - expected) / stats::standard_error(&means);
        assert!(off.abs() < 5.0, "{off} standard errors from {expected}");
        let held = rows.iter().filter(|row| row.1 <= expected && expected <= row.2).count() as f64;
        // 114 of 120 at 95 %, binomial standard deviation 2.4; at worst 5 of those below, never all.
        assert!((102.0..120.0).contains(&held), "{held} of {CORPORA} hold {expected}");
        let width = stats::mean(&rows.iter().map(|row| row.2 - row.1).collect::<Vec<f64>>());
        let ratio = width / (2.0 * 1.96 * stats::sd(&means));
        // The spread over 120 corpora is known to 6.5 %; Fisher's z and 120 resamples are good for the rest.
        assert!((0.75..1.35).contains(&ratio), "intervals {ratio} times as wide as the estimates spread");
    }
    Ok(())
}

/// Oracle: the definition, one example at a time: corpora taken by the named stream, each draw at its places, sums by
/// name, and the basic interval on Fisher's z, written out. f = 0.9 goes by the smaller complement inside.
#[test]
fn intervals_are_basic_bootstrap_intervals_of_whole_corpora() -> Outcome {
    const RESAMPLES: u64 = 40;
    let sums = sums(20, noise(8));
    let config = Config { resamples: RESAMPLES as usize, ..config(&[0.2, 0.9], 2, 7) };
    let result = measure(&layout(&tensors()), &sums, &config)?;
    let scores = |rows: &[usize]| (0..25).map(|t| direct(&sums, rows, t)).collect::<Vec<f64>>();
    // Half a step inside the ends, where one draw cannot tell 1 from less.
    let most = 1.0 - 6.0 / (25.0 * 624.0);
    let z = |rho: f64| rho.clamp(-most, most).atanh();
    for row in of(&result, "tensor") {
        let drawn = independent(20, row.fraction, row.repeat, 7);
        let mut resampled: Vec<f64> = (0..RESAMPLES)
            .map(|b| {
                let taken =
                    |i: usize| Stream::new(7, "stability/bootstrap").at(b).below(i as u64, 20) as usize;
                let own: Vec<usize> = drawn.iter().map(|i| taken(*i)).collect();
                let rest: Vec<usize> = (0..20).filter(|i| !drawn.contains(i)).map(taken).collect();
                z(stats::spearman(&scores(&own), &scores(&rest)).unwrap())
            })
            .collect();
        resampled.sort_by(f64::total_cmp);
        let centre = stats::mean(&resampled);
        let observed = row.complement.values[0].unwrap();
        let end = |q: f64| (z(observed) - (stats::quantile(&resampled, q) - centre)).tanh();
        let (low, high) = row.complement.intervals[0].unwrap();
        assert!((low - end(0.975)).abs() < 1e-9 && (high - end(0.025)).abs() < 1e-9, "{row:?}");
        assert!(low <= observed && observed <= high);
    }
    Ok(())
}

/// Oracle: the rules. Every value has an interval around it, in the measure's range; without resamples there is none.
#[test]
fn every_value_lies_in_its_interval() -> Outcome {
    let sums = sums(12, noise(9));
    let config = Config { resamples: 60, ..config(&[0.05, 0.5, 1.0], 3, 1) };
    for resamples in [60, 0] {
        let result = measure(&layout(&tensors()), &sums, &Config { resamples, ..config.clone() })?;
        for row in &result.agreement {
            for compared in [row.full, row.complement] {
                for (m, measure) in Measure::ALL.into_iter().enumerate() {
                    let (value, interval) = (compared.values[m], compared.intervals[m]);
                    assert_eq!(interval.is_some(), value.is_some() && resamples > 0, "{row:?}");
                    let Some((value, (low, high))) = value.zip(interval) else { continue };
                    let range = measure.range();
                    assert!(range.0 <= low && low <= value && value <= high && high <= range.1, "{row:?}");
                }
            }
        }
    }
    Ok(())
}

/// Oracle: mean, spread and least of the rows of `agreement`, by [`stats`].
#[test]
fn the_summary_is_that_of_the_rows() -> Outcome {
    let result = measure(&layout(&tensors()), &sums(30, noise(4)), &config(&[0.2, 1.0], 5, 2))?;
    // Complements of everything are missing.
    assert_eq!(result.summary.len(), 3 * 5 * (2 + 1));
    for row in &result.summary {
        let m = Measure::ALL.iter().position(|m| *m == row.measure).unwrap();
        let own = of(&result, row.granularity.name()).into_iter().filter(|r| r.fraction == row.fraction);
        let values: Vec<f64> = own
            .filter_map(|r| {
                if row.reference == Reference::Full { r.full.values[m] } else { r.complement.values[m] }
            })
            .collect();
        assert_eq!((row.repeats, row.mean, row.sd), (5, stats::mean(&values), Some(stats::sd(&values))));
        assert_eq!(row.least, values.iter().copied().fold(2.0, f64::min));
    }
    Ok(())
}

/// Oracle: on paper. Going down, 0.5 and 0.2 pass and 0.1 does not, so 0.05, which passes by luck, is not trusted; a
/// mean above the threshold is not enough; nor is a bound equal to it. Complements of more than half are left aside.
#[test]
fn the_smallest_fraction_to_trust_has_no_failing_one_above_it() {
    let row = |reference: Reference, fraction: f64, low: Option<f64>| SummaryRow {
        draw: Draws::Nested,
        fraction,
        examples: (100.0 * fraction) as usize,
        granularity: Granularity::Site,
        reference,
        measure: Measure::Spearman,
        repeats: 3,
        mean: 0.99,
        low,
        high: Some(1.0),
        sd: None,
        least: 0.5,
    };
    let smallest = |reference: Reference, lows: &[(f64, Option<f64>)]| {
        let rows: Vec<SummaryRow> = lows.iter().map(|&(f, low)| row(reference, f, low)).collect();
        let answers = trust(&rows, Measure::Spearman, 0.9);
        assert_eq!((answers.len(), answers[0].threshold), (1, 0.9));
        assert_eq!(answers[0].examples.is_some(), answers[0].fraction.is_some());
        answers[0].fraction
    };
    let lows = [(0.05, Some(0.95)), (0.1, Some(0.9)), (0.2, Some(0.91)), (0.5, Some(0.97)), (0.9, Some(0.2))];
    assert_eq!(smallest(Reference::Complement, &lows), Some(0.2));
    assert_eq!(smallest(Reference::Full, &lows), None);
    assert_eq!(smallest(Reference::Full, &lows[..4]), Some(0.2));
    assert_eq!(smallest(Reference::Complement, &[(0.5, None), (0.1, Some(0.99))]), None);
    assert!(trust(&[row(Reference::Full, 0.5, Some(1.0))], Measure::Kendall, 0.9).is_empty());
}

/// Oracle: the pass over the corpus itself: the sums that `fisher --per-example` kept give the same bytes. The figure
/// beside them is the one that `render` draws; without the files beside it, it has no bands.
#[test]
fn kept_sums_give_the_same_files_and_the_figure_can_be_drawn_again() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).assert();
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let inputs = format!("--checkpoint {} --set {}", model.display(), set.display());
    let draws = "--fractions 0.3,0.5,1 --repeats 3 --resamples 50 --draws independent,disjoint";
    run(&format!("fisher {inputs} --per-example --out f.safetensors")).success();
    run(&format!("stability {inputs} {draws} --out pass")).success();
    run(&format!("stability --fisher f.safetensors {draws} --out kept")).success();
    for name in ["scores.csv", "agreement.csv", "summary.csv", "trust.csv", "agreement.svg"] {
        assert_eq!(std::fs::read(at("pass").join(name))?, std::fs::read(at("kept").join(name))?, "{name}");
    }
    run("render pass/agreement.csv --out again.svg").success();
    assert_eq!(std::fs::read(at("again.svg"))?, std::fs::read(at("pass/agreement.svg"))?);
    std::fs::copy(at("pass/agreement.csv"), at("agreement.csv"))?;
    run("render agreement.csv --out alone.svg").success();
    let svg = std::fs::read_to_string(at("alone.svg"))?;
    assert!(svg.contains("single draws") && !svg.contains("95 % interval of"));
    // Files of two runs do not go together.
    run(&format!("stability --fisher f.safetensors {draws} --seed 1 --out other")).success();
    std::fs::copy(at("other/summary.csv"), at("summary.csv"))?;
    let refused = run("render agreement.csv --out mixed.svg").failure().code(1);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("summary.csv: `mean`"));
    for (arguments, word) in [
        (format!("stability --fisher f.safetensors {inputs} --out no"), "cannot be used with"),
        ("stability --fisher f.safetensors --draws nested,nested --out no".into(), "distinct"),
        ("stability --fisher f.safetensors --threshold 1 --out no".into(), "--threshold"),
        ("stability --fisher missing.safetensors --out no".into(), "missing"),
        ("render pass/agreement.csv pass/summary.csv --out no.svg".into(), "the only one"),
    ] {
        let error = run(&arguments).failure().get_output().stderr.clone();
        assert!(String::from_utf8_lossy(&error).contains(word), "{arguments}");
    }
    Ok(())
}
