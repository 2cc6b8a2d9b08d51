//! What lies deeper than the agreement of rankings, against numbers that are known: variance components, examples
//! needed, tails, overlap of parameters, concentration, the audit of aggregates.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use fisherscape::data::masking::{mask, mask_again};
use fisherscape::data::tokenizer::Special;
use fisherscape::data::{Example, Target};
use fisherscape::fisher::concentration::{concentration, gini};
use fisherscape::fisher::layers::{Aggregate, Granularity};
use fisherscape::model::architectures::recognise;
use fisherscape::params::ParamMap;
use fisherscape::rng::Stream;
use fisherscape::stability::agreement::{Measure, agreement};
use fisherscape::stability::audit::{self, Variant};
use fisherscape::stability::between::{Scored, between};
use fisherscape::stability::components::{components, masks};
use fisherscape::stability::draw::Draws;
use fisherscape::stability::overlap::{self, Draw};
use fisherscape::stability::{Config, measure};
use fisherscape::stats;
use fisherscape::stats::clusters::Clusters;
use ndarray::Array2;

use crate::support::{Outcome, fisherscape, fixture, layout};

fn config(fractions: &[f64], repeats: usize) -> Config {
    Config {
        draws: vec![Draws::Independent],
        fractions: fractions.to_vec(),
        repeats,
        resamples: 200,
        aggregate: Aggregate::MeanOfMeans,
        include_intermediate: false,
        threshold: 0.9,
        clusters: Clusters::default(),
        seed: 5,
    }
}

/// Tensors of one entry, one to a site, in name order.
fn tensors(layers: usize) -> Vec<(String, usize)> {
    let parts = ["attention.self.query", "attention.output.dense", "output.dense"];
    let layer = |k: usize| parts.map(|part| format!("bert.encoder.layer.{k}.{part}.weight"));
    let mut names: Vec<String> = (0..layers).flat_map(layer).collect();
    names.push("bert.embeddings.word_embeddings.weight".into());
    names.sort();
    names.into_iter().map(|name| (name, 1)).collect()
}

fn normal(name: &str, step: usize, i: usize) -> f64 {
    Stream::new(11, name).at(step as u64).normal(i as u64)
}

/// Oracle: the components that the data are made of. `y = 10 + a_n + e_nr`, a share of 0.2, 0.5 or 0.8 from the masks by
/// tensor, standard deviation 1 in all. With 4000 examples and 3 maskings the share's standard error is below 0.012
/// (delta method, `(1 - ρ)(1 + 2ρ)` over `sqrt(N R (R-1)/2)`); four of them. Catches the between mean square taken for the data's
/// variance (0.2 would be 0.17), maskings and examples exchanged, and intervals of something else.
#[test]
fn variance_components_are_those_of_the_data() {
    let (tensors, n) = (tensors(1), 4000);
    let shares = [0.2f64, 0.5, 0.8, 0.5];
    let masking = |r: usize| {
        Array2::from_shape_fn((n, 4), |(i, t)| {
            let (data, mask) = ((1.0 - shares[t]).sqrt(), shares[t].sqrt());
            10.0 + data * normal("data", t, i) + mask * normal(&format!("mask{r}"), t, i)
        })
    };
    let rows = components(&layout(&tensors), &[masking(0), masking(1), masking(2)], &config(&[0.1], 1));
    let mut seen = 0;
    for row in rows.iter().filter(|row| row.granularity == Granularity::Tensor) {
        let t = tensors.iter().position(|(name, _)| *name == row.name).unwrap();
        let (share, low, high) =
            (row.mask_share.unwrap(), row.mask_share_low.unwrap(), row.mask_share_high.unwrap());
        assert!((share - shares[t]).abs() < 0.05, "{}: {share} for {}", row.name, shares[t]);
        assert!(low < share && share < high && high - low < 0.06, "{low} {share} {high}");
        assert!((row.mask_sd - shares[t].sqrt()).abs() < 0.04 && (row.score - 10.0).abs() < 0.1);
        assert!((row.data_sd - (1.0 - shares[t]).sqrt()).abs() < 0.04);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

/// Oracle: on paper. Without noise of the masks a draw agrees perfectly with itself under new ones; where nothing but the
/// masks varies, new masks are as bad as new examples (equal in distribution: means within five standard errors).
#[test]
fn new_masks_hurt_as_much_as_they_vary() {
    let (tensors, n) = (tensors(4), 400);
    let score = |noise: &str, i: usize, t: usize| 5.0 + 0.05 * t as f64 + normal(noise, t, i);
    let all = |noise: &str| Array2::from_shape_fn((n, tensors.len()), |(i, t)| score(noise, i, t));
    let config = config(&[0.1], 40);
    let still = masks(&layout(&tensors), &[all("a"), all("a")], &config);
    assert!(still.iter().all(|row| (row.same_examples.unwrap() - 1.0).abs() < 1e-12));
    let noise = masks(&layout(&tensors), &[all("a"), all("b")], &config);
    let sites: Vec<_> = noise.iter().filter(|row| row.granularity == Granularity::Site).collect();
    assert_eq!(sites.len(), 40);
    let same: Vec<f64> = sites.iter().filter_map(|row| row.same_examples).collect();
    let new: Vec<f64> = sites.iter().filter_map(|row| row.new_examples).collect();
    let error = stats::standard_error(&same).hypot(stats::standard_error(&new));
    assert!((stats::mean(&same) - stats::mean(&new)).abs() < 5.0 * error, "{same:?} {new:?}");
    assert!(stats::mean(&same) < 0.7 && sites[0].examples == 40);
}

/// Oracle: the mask itself. Catches tokens that stay masked, and a mask that is the same again.
#[test]
fn masking_again_starts_from_the_text() {
    let special = Special { pad: 0, mask: Some(4), end: None, all: vec![0, 1, 2, 3, 4] };
    let plain: Vec<Example> = (0..50u32)
        .map(|n| Example {
            ids: std::iter::once(2).chain((0..40).map(|i| 5 + (n * 7 + i) % 90)).chain([3]).collect(),
            types: vec![0; 42],
            target: Target::none(),
            group: None,
            window: None,
        })
        .collect();
    let (mut once, mut again) = (plain.clone(), plain.clone());
    mask(&mut once, &special, 95, 1);
    let first = once.clone();
    mask_again(&mut once, &special, 95, 2);
    mask(&mut again, &special, 95, 2);
    assert!(first != once && once == again);
    mask_again(&mut once, &special, 95, 1);
    assert_eq!(once, first);
}

/// Oracle: a simulation of the definition that shares no code with the prediction: many pairs of fresh samples of M
/// examples from the distribution itself, ranked and correlated. At the M that pilots of 300 examples predict for a rho of
/// 0.9 they agree at 0.9 within 0.03 (the mean over ten pilots; the spread of one is some 0.02). Layers share most of their noise,
/// which must count for nothing; gamma-like examples are skewed. Without drawing the pilot's scores together the
/// prediction would be near 0.87 here; counting the common noise it would ask for many times more.
#[test]
fn predicted_numbers_of_examples_are_enough_and_not_too_many() -> Outcome {
    let (tensors, n) = (tensors(7), 6000);
    let items = tensors.len();
    // Scores from 1 to 2 with random gaps.
    let level: Vec<f64> = (0..items).map(|t| 2f64.powf(Stream::new(1, "level").uniform(t as u64))).collect();
    let example = |stream: Stream, t: usize| {
        let exponential = |i: usize| -stream.uniform(i as u64).max(1e-300).ln();
        // What all layers owe to the example, and what each has of its own: independent factors of mean 1.
        level[t] * exponential(0) * (0.5 + 0.5 * exponential(1 + t))
    };
    let sums = Array2::from_shape_fn((n, items), |(i, t)| example(Stream::new(2, "corpus").at(i as u64), t));
    let result = measure(&layout(&tensors), &sums, &config(&[0.05], 10))?;
    let rows: Vec<_> = result.needed.iter().filter(|r| r.granularity == Granularity::Tensor).collect();
    assert_eq!(rows.len(), 11);
    let agreement_at = |m: usize| {
        let mean = |k: u64, t: usize| {
            let stream = Stream::new(3, "fresh").at(k);
            (0..m).map(|i| example(Stream::new(stream.bits(i as u64), "one"), t)).sum::<f64>()
        };
        let pair = |k: u64| {
            let [a, b] = [2 * k, 2 * k + 1].map(|k| (0..items).map(|t| mean(k, t)).collect::<Vec<f64>>());
            stats::spearman(&a, &b).unwrap()
        };
        stats::mean(&(0..60).map(pair).collect::<Vec<_>>())
    };
    let pilots: Vec<f64> =
        rows.iter().filter(|r| r.draw == "independent").filter_map(|r| r.predicted).collect();
    assert_eq!(pilots.len(), 10);
    let median = stats::median(&pilots);
    let truth = agreement_at(median as usize);
    assert!((truth - 0.9).abs() < 0.03, "{median} examples agree at {truth}");
    // The whole corpus as pilot, with an interval around it.
    let whole = rows.iter().find(|r| r.draw == "full").unwrap();
    let (low, high) = (whole.predicted_low.unwrap(), whole.predicted_high.unwrap());
    assert!(
        low <= whole.predicted.unwrap() && whole.predicted.unwrap() <= high && high < 3.0 * low,
        "{whole:?}"
    );
    assert!(whole.checked.is_none() && (whole.expected.unwrap() - 0.9).abs() < 0.02);
    // The check of each pilot is what it says: fresh pairs of that size.
    for row in rows.iter().filter(|r| r.checked.is_some()) {
        let spread = row.checked_sd.unwrap() / (row.pairs as f64).sqrt();
        let truth = agreement_at(row.predicted.unwrap() as usize);
        assert!((row.checked.unwrap() - truth).abs() < 6.0 * spread.max(0.005), "{row:?}: {truth}");
    }
    assert!(rows.iter().any(|r| r.pairs == 20));
    Ok(())
}

/// Oracle: on paper. 100 equal examples give their top one 1 % and count as 100; of one example that has all, everything
/// comes from it, and it counts as one. Catches a share by number, and sums in place of squares.
#[test]
fn tails_are_told_by_the_top_and_by_the_effective_number() -> Outcome {
    let tensors = tensors(1);
    let sums = Array2::from_shape_fn((100, 4), |(n, t)| match t {
        0 => 2.0,
        1 => f64::from(u8::from(n == 17)),
        _ => 1.0 + n as f64,
    });
    let result = measure(&layout(&tensors), &sums, &config(&[0.1], 2))?;
    let row = |t: usize| {
        let own = |r: &&fisherscape::stability::tails::TailRow| {
            r.granularity == Granularity::Tensor && r.name == tensors[t].0
        };
        result.tails.iter().find(own).unwrap()
    };
    assert!((row(0).top_share.unwrap() - 0.01).abs() < 1e-12);
    assert!((row(0).effective_examples.unwrap() - 100.0).abs() < 1e-9);
    assert_eq!(
        (row(1).top_share, row(1).largest_share, row(1).effective_examples),
        (Some(1.0), Some(1.0), Some(1.0))
    );
    // 1..100: the largest is 100 of 5050; (Σ n)²/Σ n² = 5050²/338350.
    assert!((row(2).largest_share.unwrap() - 100.0 / 5050.0).abs() < 1e-12);
    assert!((row(2).effective_examples.unwrap() - 5050.0 * 5050.0 / 338_350.0).abs() < 1e-9);
    let (low, high) = (row(2).top_share_low.unwrap(), row(2).top_share_high.unwrap());
    assert!(low < row(2).top_share.unwrap() && row(2).top_share.unwrap() < high);
    Ok(())
}

/// Oracle: ranks by hand. Of four layers the first and last change places: rates 0.1, 0.0667, 0.0333, 0 become 0, .., 0.1, so
/// the mean difference is (0.1 + 0 + 0 + 0.1)/4. Opposite orders of four: (0.1 + 0.0333 + 0.0333 + 0.1)/4.
#[test]
fn rates_differ_by_what_the_ranks_do() {
    let place = Measure::ALL.iter().position(|m| *m == Measure::RateDifference).unwrap();
    let of = |y: &[f64]| agreement(&[1.0, 2.0, 3.0, 4.0], y)[place].unwrap();
    assert!((of(&[4.0, 2.0, 3.0, 1.0]) - 0.05).abs() < 1e-12);
    assert!((of(&[4.0, 3.0, 2.0, 1.0]) - 0.2 / 3.0).abs() < 1e-12);
    assert_eq!(of(&[10.0, 20.0, 21.0, 22.0]), 0.0);
}

/// Oracle: on paper. Values 1..n have Gini (n - 1)/(3n) and Lorenz curve k(k + 1)/(n(n + 1)); equal ones 0; one that has
/// all (n - 1)/n. Catches 1/n in place of (n + 1)/n, and a curve from the top.
#[test]
fn gini_and_lorenz_are_those_of_the_books() -> Outcome {
    let n = 1000;
    let values: Vec<f32> = (0..n).map(|i| ((i * 7919) % n + 1) as f32).collect();
    assert!((gini(&values) - (n - 1) as f64 / (3 * n) as f64).abs() < 1e-12);
    assert!(gini(&[0.3f32; 50]).abs() < 1e-12 && gini(&[0.0, 0.0]).is_nan());
    let mut one = vec![0f32; 64];
    one[10] = 5.0;
    assert!((gini(&one) - 63.0 / 64.0).abs() < 1e-12);
    let tensor = |values: Vec<f32>| Tensor::new(values, &Device::Cpu);
    let map = ParamMap::from([
        ("bert.embeddings.word_embeddings.weight".to_string(), tensor(values)?),
        ("bert.encoder.layer.0.output.dense.bias".to_string(), tensor(one)?),
    ]);
    let found = concentration(&map, &recognise(&map))?;
    let groups: Vec<&str> = found.summary.iter().map(|row| row.group.as_str()).collect();
    assert_eq!(groups, ["all", "embeddings", "layer.0"]);
    let own = found.lorenz.iter().filter(|row| row.group == "embeddings");
    let mut points = 0;
    for row in own {
        let k = (row.share_of_parameters * n as f64).round();
        let wanted = k * (k + 1.0) / (n * (n + 1)) as f64;
        assert!((row.share_of_fisher - wanted).abs() < 1e-12, "{row:?}, {wanted}");
        points += 1;
    }
    assert!(points > 200);
    // The top tenth: 901..1000 of 1..1000, of 500500 in all.
    let embeddings = &found.summary[1];
    assert!((embeddings.top_10.unwrap() - (500_500.0 - 450.0 * 901.0) / 500_500.0).abs() < 1e-12);
    let layer = &found.summary[2];
    assert_eq!((layer.parameters, layer.zero, layer.top_01), (64, 63, Some(1.0)));
    // The histogram holds every positive value once, in the bin that it lies in; sorted scores are those.
    let own: Vec<_> = found.histogram.iter().filter(|row| row.group == "embeddings").collect();
    assert_eq!(own.iter().map(|row| row.parameters).sum::<usize>(), n);
    let last = own.last().unwrap();
    assert!(last.log10_low <= 3.0 && 3.0 < last.log10_high && last.parameters == 1);
    assert!(
        found.sorted.iter().filter(|r| r.group == "embeddings").all(|r| r.score == (n - r.rank + 1) as f32)
    );
    Ok(())
}

/// Oracle: sets by hand. Ten parameters, the top three. The draw is half of the examples and has its top at 0, 1, 2; all have
/// theirs at 0, 1, 9; the rest is `2 full - draw`, with its top at 9, 8, 7. Ties go to the first. Catches the full set in place of
/// the rest, and overlap over k in place of the union.
#[test]
fn parameters_overlap_as_their_sets_do() {
    let own = [9.0f32, 8.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let rest = [1.0f32, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 20.0];
    let full: Vec<f32> = own.iter().zip(&rest).map(|(a, b)| (a + b) / 2.0).collect();
    let draw = Draw { kind: Draws::Disjoint, fraction: 0.5, repeat: 1, examples: 20, rows: (20, 40) };
    let row = overlap::rows(draw, &own, &full, &[0.3]).remove(0);
    assert_eq!((row.k, row.repeat, row.examples), (3, 1, 20));
    // {0, 1, 2} and {0, 1, 9}: two of four. {0, 1, 2} and {7, 8, 9}: none of six.
    assert_eq!((row.overlap, row.overlap_complement), (0.5, Some(0.0)));
    // The draw's set holds 2 of the rest's mass, the best set 31.
    assert!((row.captured.unwrap() - 2.0 / 31.0).abs() < 1e-6);
    assert!((row.chance - 0.3 / 1.7).abs() < 1e-12);
    let all = Draw { examples: 40, rows: (40, 40), ..draw };
    let same = overlap::rows(all, &full, &full, &[0.3, 0.2]);
    assert!(same.iter().all(|row| row.overlap == 1.0 && row.overlap_complement.is_none()));
    // Equal values: the first of them, as a mask takes them.
    let flat = overlap::rows(Draw { examples: 20, ..draw }, &[1.0; 10], &full, &[0.2]);
    assert_eq!(flat[0].overlap, 1.0 / 3.0, "{{0, 1}} and {{9, 0}}");
}

/// Two layers with a matrix, a bias and a LayerNorm at one site, and the embeddings.
fn small() -> (Vec<(String, usize)>, Vec<f64>) {
    let own = [
        ("bert.embeddings.LayerNorm.weight", 4, 8.0),
        ("bert.embeddings.token_type_embeddings.weight", 8, 800.0),
        ("bert.embeddings.word_embeddings.weight", 100, 100.0),
        ("bert.encoder.layer.0.intermediate.dense.weight", 50, 5000.0),
        ("bert.encoder.layer.0.output.LayerNorm.bias", 4, 400.0),
        ("bert.encoder.layer.0.output.dense.weight", 50, 5.0),
        ("bert.encoder.layer.1.output.dense.bias", 4, 4.0),
        ("bert.encoder.layer.1.output.dense.weight", 50, 100.0),
    ];
    let tensors = own.iter().map(|(name, size, _)| (name.to_string(), *size)).collect();
    (tensors, own.iter().map(|(.., sum)| *sum).collect())
}

/// Oracle: scores by hand. Means of means: embeddings (2 + 100 + 1)/3, layer.0 (100 + 0.1)/2, layer.1 (1 + 2)/2. Without biases
/// layer.0 is 0.1, the lowest; without token types the embeddings are 1.5; with the intermediate layer.0 is (100 + 100 +
/// 0.1)/3. Catches a variant that leaves out the wrong tensors, or means over tensors that are not there.
#[test]
fn the_audit_ranks_what_each_variant_keeps() {
    let (tensors, totals) = small();
    let (rows, variants) = audit::audit(&layout(&tensors), &totals, None, 100, 0);
    let score = |aggregate: Aggregate, variant: Variant, site: &str| {
        let own =
            |r: &&audit::AuditRow| (r.aggregate, r.variant, r.site.as_str()) == (aggregate, variant, site);
        rows.iter().find(own).unwrap_or_else(|| panic!("{variant:?} {site}"))
    };
    use Aggregate::{Mean, MeanOfMeans, Sum};
    for (aggregate, variant, site, wanted, rank) in [
        (MeanOfMeans, Variant::All, "embeddings", 103.0 / 3.0, 1),
        (MeanOfMeans, Variant::All, "layer.0.ffn_output", 50.05, 2),
        (MeanOfMeans, Variant::All, "layer.1.ffn_output", 1.5, 0),
        (MeanOfMeans, Variant::NoBiases, "layer.0.ffn_output", 0.1, 0),
        (MeanOfMeans, Variant::NoLayernorm, "embeddings", 50.5, 2),
        (MeanOfMeans, Variant::WeightsOnly, "layer.1.ffn_output", 2.0, 1),
        (MeanOfMeans, Variant::NoTokenTypes, "embeddings", 1.5, 0),
        (MeanOfMeans, Variant::WithIntermediate, "layer.0.ffn_output", 200.1 / 3.0, 2),
        (Mean, Variant::All, "embeddings", 908.0 / 112.0, 2),
        (Sum, Variant::WithIntermediate, "layer.0.ffn_output", 5405.0, 2),
        (Sum, Variant::NoBiases, "layer.1.ffn_output", 100.0, 1),
    ] {
        let row = score(aggregate, variant, site);
        assert!((row.score - wanted).abs() < 1e-9 * wanted, "{row:?}, {wanted}");
        assert_eq!((row.rank, row.score_se), (rank, None), "{row:?}");
        assert!((row.p - 0.05 * (2 - rank) as f64).abs() < 1e-12);
    }
    // The paper's against itself, and against the ranking that token types no longer lead.
    let rho = |variant: Variant| {
        let own = |r: &&audit::VariantRow| (r.aggregate, r.variant) == (MeanOfMeans, variant);
        variants.iter().find(own).unwrap().spearman.unwrap()
    };
    assert_eq!(rho(Variant::All), 1.0);
    // Ranks 2, 3, 1 against 1.5, 3, 1.5 (a tie): 1.5/sqrt(2 · 1.5).
    assert!((rho(Variant::NoTokenTypes) - 0.75f64.sqrt()).abs() < 1e-12);
    // Among ranks ties go in model order: the embeddings' 1.5 comes before layer.1's.
    let drivers = audit::drivers(&layout(&tensors), &totals);
    let of = |tensor: &str| {
        drivers.iter().find(|r| r.aggregate == MeanOfMeans && r.tensor.ends_with(tensor)).unwrap()
    };
    let types = of("token_type_embeddings.weight");
    assert!((types.share.unwrap() - 100.0 / 103.0).abs() < 1e-12);
    assert_eq!((types.rank, types.rank_without), (1, Some(0)));
    let norm = of("layer.0.output.LayerNorm.bias");
    assert_eq!((norm.rank, norm.rank_without), (2, Some(0)));
    let totals_of_site = drivers.iter().filter(|r| r.aggregate == Sum && r.site == "embeddings");
    assert!((totals_of_site.filter_map(|r| r.share).sum::<f64>() - 1.0).abs() < 1e-12);
}

/// Oracle: on paper, and a simulation. A ranking agrees with itself in every resample, so its interval is a point but for
/// the half step that the scale keeps from its end; two sets of the same layers with known normal noise agree, over many pairs of fresh sets, at
/// a mean that intervals of 95 % hold in nine cases of ten or more. Catches sets resampled together that are not the same.
#[test]
fn intervals_between_two_sets_hold_the_expected_agreement() {
    let (n, items, sets) = (80, 12, 120);
    let set = |k: usize| {
        let by_example = Array2::from_shape_fn((n, items), |(i, t)| {
            10.0 + 0.12 * t as f64 + Stream::new(9, "set").at((k * n + i) as u64).normal(t as u64)
        });
        let scores = by_example.mean_axis(ndarray::Axis(0)).unwrap().to_vec();
        Scored { scores, by_example: Some(by_example), clusters: Clusters::default() }
    };
    let sets: Vec<Scored> = (0..2 * sets).map(set).collect();
    let same = between(&sets[0], &sets[0], true, 100, 0);
    assert_eq!(same.values[0], Some(1.0));
    assert!(same.intervals[0].unwrap().0 > 0.99);
    let compared: Vec<_> = sets.chunks(2).map(|pair| between(&pair[0], &pair[1], false, 200, 3)).collect();
    let mean = stats::mean(&compared.iter().map(|c| c.values[0].unwrap()).collect::<Vec<_>>());
    let hits =
        compared.iter().filter(|c| c.intervals[0].is_some_and(|(low, high)| low <= mean && mean <= high));
    let share = hits.count() as f64 / compared.len() as f64;
    // 95 % of 120, less three binomial standard deviations, less the five points that small samples may cost.
    assert!((0.3..0.95).contains(&mean) && share > 0.84, "{share} of intervals hold {mean}");
}

/// Oracle: the commands against each other. Estimates of one pass have the files that each has alone; `agree` of a file with
/// itself (under another name) is 1 everywhere, with ratios of 1; `audit`'s paper ranking is the schedule's.
#[test]
fn commands_agree_with_each_other() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = fixture("parity/cls");
    let inputs = format!("--checkpoint {0}/model --set {0}/set.safetensors", data.display());
    let all = format!("--estimator empirical,mc,exact --per-example --out {}", at("f.safetensors"));
    fisherscape(&format!("fisher {inputs} {all}")).assert().success();
    for estimator in ["empirical", "mc", "exact"] {
        let alone = format!("--estimator {estimator} --per-example --out {}", at("alone.safetensors"));
        fisherscape(&format!("fisher {inputs} {alone}")).assert().success();
        for end in ["safetensors", "csv", "examples.safetensors"] {
            let [one, other] = [at(&format!("f.{estimator}-mean.{end}")), at(&format!("alone.{end}"))];
            assert_eq!(std::fs::read(&one)?, std::fs::read(&other)?, "{one}");
        }
    }
    std::fs::copy(at("f.exact-mean.safetensors"), at("same.safetensors"))?;
    std::fs::copy(at("f.exact-mean.examples.safetensors"), at("same.examples.safetensors"))?;
    let files = format!(
        "{} {} {}",
        at("f.exact-mean.safetensors"),
        at("same.safetensors"),
        at("f.mc-mean.safetensors")
    );
    fisherscape(&format!("agree {files} --titles exact,same,mc --resamples 50 --out {}", at("agree")))
        .assert()
        .success();
    let rows = read(&at("agree/pairs.csv"))?;
    for row in rows.iter().filter(|row| row["a"] == "exact" && row["b"] == "same") {
        assert_eq!(
            (row["paired"].as_str(), row["spearman"].as_str(), row["rate_difference"].as_str()),
            ("true", "1.0", "0.0")
        );
    }
    assert_eq!(rows.len(), 9);
    let scores = read(&at("agree/scores.csv"))?;
    assert!(
        scores.iter().filter(|r| r["file"] == "same" && !r["ratio"].is_empty()).all(|r| r["ratio"] == "1.0")
    );
    assert!(scores.iter().any(|r| r["file"] == "mc" && r["ratio"] != "1.0"));

    fisherscape(&format!("audit --fisher {} --resamples 50 --out {}", at("alone.safetensors"), at("audit")))
        .assert()
        .success();
    fisherscape(&format!("schedule --fisher {} --out {}", at("alone.safetensors"), at("rates.csv")))
        .assert()
        .success();
    let rates = read(&at("rates.csv"))?;
    let audit = read(&at("audit/audit.csv"))?;
    let paper: Vec<_> =
        audit.iter().filter(|r| r["aggregate"] == "mean-of-means" && r["variant"] == "all").collect();
    assert_eq!(paper.len(), rates.len());
    for (a, b) in paper.iter().zip(&rates) {
        // Scores of F itself and of its per-example sums: float32 and float64.
        let number = |row: &BTreeMap<String, String>, key: &str| row[key].parse::<f64>().unwrap();
        assert_eq!((&a["site"], &a["rank"], &a["p"]), (&b["site"], &b["rank"], &b["p"]));
        assert!((number(a, "score") - number(b, "score")).abs() <= 1e-6 * number(b, "score"));
    }
    for (arguments, words) in [
        (format!("fisher {inputs} --estimator mc,mc --out {}", at("x.safetensors")), "distinct"),
        (format!("stability {inputs} --masks 3 --out {}", at("s")), "a task's examples have no masks"),
        (format!("agree {files} --titles a,b --out {}", at("s")), "one for each of 3 files"),
        (format!("stability {inputs} --overlap 2 --out {}", at("s")), "between 0 and 1"),
    ] {
        let output = fisherscape(&arguments).assert().code(1);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(words), "{text}");
    }
    assert!(!std::path::Path::new(&at("s")).exists());
    Ok(())
}

/// Oracle: the whole pass. `stability` of a masked-LM set with masks and overlap writes what it would without, and beside it
/// what the further passes found; of all examples the overlap is perfect.
#[test]
fn further_passes_change_nothing_else() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture("tiny/model").display().to_string();
    let sentences = std::fs::read_to_string(fixture("tiny/sentiment.tsv"))?;
    let sentences: Vec<&str> = sentences.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    let lines: Vec<String> = sentences.windows(3).map(|three| three.join(" ")).take(16).collect();
    std::fs::write(at("text.txt"), lines.join("\n"))?;
    fisherscape(&format!("pretrain --checkpoint {model} --steps 0 --out {}", at("mlm"))).assert().success();
    let freeze = format!("--text {} --min-words 2 --out {}", at("text.txt"), at("set.safetensors"));
    fisherscape(&format!("freeze --checkpoint {} {freeze}", at("mlm"))).assert().success();
    let inputs =
        format!("--checkpoint {} --set {} --fractions 0.5,1 --repeats 3", at("mlm"), at("set.safetensors"));
    fisherscape(&format!("stability {inputs} --resamples 50 --out {}", at("plain"))).assert().success();
    let more = format!("--resamples 50 --masks 3 --overlap 0.01,0.1 --out {}", at("more"));
    let output = fisherscape(&format!("stability {inputs} {more}")).assert().success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("is that of its masks") && text.contains("top 1 % of the parameters"), "{text}");
    for name in ["scores", "agreement", "summary", "trust", "ranks", "tails", "needed"] {
        let file = |folder: &str| std::fs::read(at(&format!("{folder}/{name}.csv")));
        assert_eq!(file("plain")?, file("more")?, "{name}");
    }
    assert!(!std::path::Path::new(&at("plain/overlap.csv")).exists());
    let overlap = read(&at("more/overlap.csv"))?;
    assert_eq!(overlap.len(), 2 * 3 * 2);
    assert!(overlap.iter().filter(|r| r["fraction"] == "1.0").all(|r| r["overlap"] == "1.0"), "{overlap:?}");
    assert!(overlap.iter().filter(|r| r["fraction"] == "0.5").all(|r| r["overlap"] != "1.0"));
    let masks = read(&at("more/masks.csv"))?;
    assert_eq!(masks.len(), 2 * 3 * 3);
    assert!(read(&at("more/components.csv"))?.iter().any(|r| !r["mask_share"].is_empty()));
    // An earlier run's tables do not stay.
    fisherscape(&format!("stability {inputs} --resamples 50 --out {}", at("more"))).assert().success();
    assert!(!std::path::Path::new(&at("more/masks.csv")).exists());
    Ok(())
}

/// A table by column names.
fn read(path: &str) -> Outcome<Vec<BTreeMap<String, String>>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<Result<_, _>>()?)
}
