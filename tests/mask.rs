//! Masks: exact counts, order, uniform choice, matched norms.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use fisherscape::Result;
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::mask::{
    Choice, Flags, Mask, MaskUnit, Moved, Norm, Select, effective, keep_effective, moved,
};
use fisherscape::model::Reached;
use fisherscape::params::ParamMap;
use proptest::prelude::*;

use crate::support::Outcome;

fn map(tensors: &[(&str, &[usize], Vec<f32>)]) -> ParamMap {
    let tensor = |(name, shape, values): &(&str, &[usize], Vec<f32>)| {
        (name.to_string(), Tensor::from_vec(values.clone(), *shape, &Device::Cpu).unwrap())
    };
    tensors.iter().map(tensor).collect()
}

/// A mask in both its steps.
fn choose(
    select: Select,
    by: MaskUnit,
    theta: &ParamMap,
    fisher: Option<&ParamMap>,
    effective: &Flags,
    seed: u64,
) -> Result<Mask> {
    Choice::new(select, by, theta, fisher, seed)?.mask(effective)
}

/// Every entry effective.
fn all_of(theta: &ParamMap) -> Flags {
    theta.iter().map(|(name, t)| (name.clone(), vec![true; t.elem_count()])).collect()
}

/// (name, flat index) of what a mask selects.
fn chosen(mask: &Mask) -> BTreeSet<(String, usize)> {
    let set = |flags: &Vec<bool>| (0..flags.len()).filter(|&i| flags[i]).collect::<Vec<_>>();
    let flags = mask.selected.as_ref().expect("a mask that selects");
    flags.iter().flat_map(|(name, f)| set(f).into_iter().map(|i| (name.clone(), i))).collect()
}

/// `floor(fraction P + 0.5)`
fn count(fraction: f64, of: usize) -> usize {
    (fraction * of as f64 + 0.5).floor() as usize
}

/// Scores of a few vectors, with many ties; and a fraction, half of the time one that falls on a half count.
fn scores_and_fraction() -> impl Strategy<Value = (Vec<Vec<u8>>, f64)> {
    let tensors = prop::collection::vec(prop::collection::vec(0..4u8, 1..9), 1..12);
    let fraction = (any::<bool>(), 0.001..=1.0f64, 0.0..1.0f64);
    (tensors, fraction).prop_map(|(tensors, (exact, fraction, place))| {
        let p: usize = tensors.iter().map(Vec::len).sum();
        let halves = 1 + (place * (2 * p) as f64) as usize;
        (tensors, if exact { halves as f64 / (2 * p) as f64 } else { fraction })
    })
}

proptest! {
    // A failing case is printed; nothing is written beside the sources.
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Oracle: a full sort by (F descending, name, flat index) and the definition of k. Catches a count off by one,
    /// ties broken another way (t10 stands before t2), the wrong end, a strict threshold that leaves ties out.
    #[test]
    fn top_and_bottom_are_the_ends_of_a_full_sort((tensors, fraction) in scores_and_fraction()) {
        let f: ParamMap = (0..).zip(&tensors).map(|(t, scores): (usize, _)| {
            let values: Vec<f32> = scores.iter().map(|s| f32::from(*s) / 3.0).collect();
            (format!("t{t}"), Tensor::new(values, &Device::Cpu).unwrap())
        }).collect();
        let mut sorted: Vec<(Reverse<u8>, String, usize)> = (0..).zip(&tensors).flat_map(|(t, scores): (usize, _)| {
            scores.iter().enumerate().map(move |(i, s)| (Reverse(*s), format!("t{t}"), i))
        }).collect();
        sorted.sort();
        let k = count(fraction, sorted.len());
        for (select, ends) in [
            (Select::Top(fraction), &sorted[..k]),
            (Select::Bottom(fraction), &sorted[sorted.len() - k..]),
        ] {
            let mask = choose(select, MaskUnit::Parameter, &f, Some(&f), &all_of(&f), 0);
            if k == 0 {
                prop_assert!(mask.is_err());
                continue;
            }
            let mask = mask.unwrap();
            let expected: BTreeSet<(String, usize)> = ends.iter().map(|(_, n, i)| (n.clone(), *i)).collect();
            prop_assert_eq!(chosen(&mask), expected);
            let edge = if matches!(select, Select::Top(_)) { &ends[k - 1] } else { &ends[0] };
            let report = &mask.report;
            prop_assert_eq!((report.parameters, report.selected), (sorted.len(), k));
            prop_assert_eq!(report.threshold, Some(f64::from(f32::from(edge.0.0) / 3.0)));
            prop_assert_eq!(report.ties, Some(sorted.iter().filter(|e| e.0 == edge.0).count()));
            prop_assert_eq!(report.zeros, Some(ends.iter().filter(|e| e.0.0 == 0).count()));
        }
    }
}

/// A model with an embedding of which the set uses rows 0 and 2, a matrix, and a bias without direction: 6 + 5
/// effective parameters of 22, since one entry of the matrix is zero in both directions.
struct Case {
    theta: ParamMap,
    fisher: ParamMap,
    directions: [Direction; 2],
    effective: Flags,
}

fn case() -> Case {
    let theta = map(&[
        ("bias", &[4], vec![1.0; 4]),
        ("embedding", &[4, 3], vec![1.0; 12]),
        ("matrix", &[2, 3], vec![1.0; 6]),
    ]);
    // The bias has the largest F, as in BERT.
    let fisher = map(&[
        ("bias", &[4], vec![9.0; 4]),
        ("embedding", &[4, 3], vec![1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0]),
        ("matrix", &[2, 3], vec![7.0, 0.5, 0.25, 8.0, 1.5, 2.5]),
    ]);
    let values =
        |n: usize, scale: f32| (0..n).map(|i| scale * (1.0 + i as f32).powi(2)).collect::<Vec<f32>>();
    let mut x =
        Direction::from([("embedding".to_string(), values(12, 0.1)), ("matrix".to_string(), values(6, 1.0))]);
    let mut y = Direction::from([
        ("embedding".to_string(), values(12, -2.0)),
        ("matrix".to_string(), values(6, 0.3)),
    ]);
    // Entry 1 stays in both, entry 2 moves along y alone.
    (x.get_mut("matrix").unwrap()[1], y.get_mut("matrix").unwrap()[1]) = (0.0, 0.0);
    x.get_mut("matrix").unwrap()[2] = 0.0;
    let directions = [x, y];
    let effective = effective(&theta, &directions, |name| match name {
        "embedding" => Reached::Rows([0, 2].into()),
        _ => Reached::All,
    });
    Case { theta, fisher, directions, effective }
}

impl Case {
    fn choose(&self, select: Select, by: MaskUnit, seed: u64) -> Result<Mask> {
        choose(select, by, &self.theta, Some(&self.fisher), &self.effective, seed)
    }
}

/// Oracle: counted by hand from the definition. Catches rows taken for columns, a direction's zero counted, and a
/// parameter that must move along both axes to count.
#[test]
fn effective_means_reached_and_moving() -> Outcome {
    let case = case();
    let (t, f) = (true, false);
    let rows = [[t; 3], [f; 3], [t; 3], [f; 3]].concat();
    assert_eq!(case.effective["embedding"], rows);
    assert_eq!(case.effective["matrix"], [t, f, t, t, t, t]);
    assert_eq!(case.effective.get("bias"), None);
    let top = case.choose(Select::Top(0.5), MaskUnit::Parameter, 0)?.report;
    // F from the top: bias 9 9 9 9, matrix 8 7, embedding 6 5 4 3, matrix 2.5.
    assert_eq!((top.parameters, top.selected, top.effective, top.selected_effective), (22, 11, 11, 7));
    assert_eq!((top.threshold, top.ties, top.zeros), (Some(2.5), Some(1), Some(0)));
    let bottom = case.choose(Select::Bottom(0.5), MaskUnit::Parameter, 0)?.report;
    // The other 11: six zeros, 0.25 (effective), 0.5 (not), 1, 1.5, 2.
    assert_eq!((bottom.selected, bottom.selected_effective, bottom.zeros), (11, 4, Some(6)));
    Ok(())
}

/// Oracle: the definition: as many effective parameters as `top` of the fraction has, here 7, all of them effective.
/// Catches a draw among all parameters (3.5 effective on average) and one of `top`'s full count (11).
#[test]
fn random_with_fisher_has_as_many_effective_parameters_as_top() -> Outcome {
    let case = case();
    for fraction in [0.3, 0.5, 0.6] {
        let top = case.choose(Select::Top(fraction), MaskUnit::Parameter, 0)?.report;
        let mut seen = BTreeSet::new();
        for seed in 0..50 {
            let mask = case.choose(Select::Random(fraction), MaskUnit::Parameter, seed)?;
            assert_eq!(mask.report.selected_effective, top.selected_effective);
            assert_eq!(mask.report.selected, top.selected_effective);
            assert!(chosen(&mask).iter().all(|(name, i)| case.effective.get(name).is_some_and(|f| f[*i])));
            assert_eq!(
                chosen(&mask),
                chosen(&case.choose(Select::Random(fraction), MaskUnit::Parameter, seed)?)
            );
            seen.insert(chosen(&mask));
        }
        // C(11, k) masks with k = 3, 7, 9: of 50 draws most differ.
        assert!(seen.len() > 20, "{} masks of 50 seeds", seen.len());
    }
    Ok(())
}

/// Oracle: simple random sampling. With R draws of k of P, Σ (O - Rk/P)² (P-1)/P / (R (k/P)(1-k/P)) is chi-square
/// with P - 1 degrees of freedom: at most 5 standard deviations, sqrt(2(P-1)), above its mean. Every pair is in
/// k(k-1)/P(P-1) of the draws, within 5 binomial standard deviations (231 pairs: 1e-4 in all), which catches blocks
/// and evenly spaced draws, where each parameter alone is as likely as any other.
#[test]
fn random_without_fisher_is_exact_and_uniform() -> Outcome {
    let case = case();
    let (draws, p, fraction) = (4000, 22usize, 0.3);
    let k = count(fraction, p);
    let names: Vec<(String, usize)> =
        case.theta.iter().flat_map(|(n, t)| (0..t.elem_count()).map(move |i| (n.clone(), i))).collect();
    let (mut single, mut pairs) = (vec![0f64; p], vec![vec![0f64; p]; p]);
    for seed in 0..draws {
        let mask = choose(
            Select::Random(fraction),
            MaskUnit::Parameter,
            &case.theta,
            None,
            &all_of(&case.theta),
            seed,
        )?;
        let chosen = chosen(&mask);
        assert_eq!((chosen.len(), mask.report.selected), (k, k));
        let members: Vec<usize> = (0..p).filter(|&i| chosen.contains(&names[i])).collect();
        for &i in &members {
            single[i] += 1.0;
            members.iter().filter(|&&j| j > i).for_each(|&j| pairs[i][j] += 1.0);
        }
    }
    let (r, share) = (draws as f64, k as f64 / p as f64);
    let squares: f64 = single.iter().map(|o| (o - r * share).powi(2)).sum();
    let freedom = (p - 1) as f64;
    let chi_square = squares / (r * share * (1.0 - share)) * freedom / p as f64;
    assert!(chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(), "{chi_square}");
    let both = (k * (k - 1)) as f64 / (p * (p - 1)) as f64;
    let bound = 5.0 * (r * both * (1.0 - both)).sqrt();
    for (i, j) in (0..p).flat_map(|i| (i + 1..p).map(move |j| (i, j))) {
        assert!((pairs[i][j] - r * both).abs() <= bound, "{i} and {j}: {} for {}", pairs[i][j], r * both);
    }
    Ok(())
}

/// Oracle: sampling theory: a random mask of k_eff of P_eff keeps k_eff/P_eff of ‖d‖² on average (5 standard errors of
/// 2000 masks; entries from 1 to 144 give it a wide spread). `matched` gives every mask just that norm. Catches a
/// share of P in place of P_eff, of k in place of k_eff, the share for its root, and an unreached row in ‖d‖.
#[test]
fn matched_norm_is_that_of_a_random_mask_on_average() -> Outcome {
    let case = case();
    for d in &case.directions {
        let reached = |(name, values): (&String, &Vec<f32>)| -> f64 {
            let kept = values.iter().zip(&case.effective[name]).filter(|(_, flag)| **flag);
            kept.map(|(v, _)| f64::from(*v).powi(2)).sum()
        };
        let moved = |d: &Direction| -> usize {
            let entries = d.iter().flat_map(|(name, values)| values.iter().zip(&case.effective[name]));
            entries.filter(|(v, flag)| **flag && **v != 0.0).count()
        };
        let whole: f64 = d.iter().map(reached).sum();
        let wanted = 7.0 / 11.0;
        let mut kept = Vec::new();
        for seed in 0..2000 {
            let mask = case.choose(Select::Random(0.5), MaskUnit::Parameter, seed)?;
            let (masked, ratio) = mask.apply(d.clone(), &case.effective, Norm::Filter);
            kept.push(masked.iter().map(reached).sum::<f64>() / whole);
            assert!((ratio.powi(2) - kept[kept.len() - 1]).abs() <= 1e-9, "ratio {ratio}");
            let (matched, before) = mask.apply(d.clone(), &case.effective, Norm::Matched);
            assert_eq!(before, ratio);
            let share = matched.iter().map(reached).sum::<f64>() / whole;
            // The direction's own counts; the two directions of the case do not move the same parameters. Each entry is
            // rounded to float32 once: relative 2^-24.
            let own = moved(&masked) as f64 / moved(d) as f64;
            assert!((share - own).abs() <= 1e-6, "{share} for {own}");
        }
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let variance = kept.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (kept.len() - 1) as f64;
        let se = (variance / kept.len() as f64).sqrt();
        assert!((mean - wanted).abs() <= 5.0 * se, "{mean} ± {se} for {wanted}");
        assert!(se > 0.002, "masks that differ in norm: {se}");
    }
    Ok(())
}

/// Oracle: the definition, on `top`, entry by entry: kept as it is where the mask is set, zero elsewhere. Unreached
/// entries keep their step (it changes no loss).
#[test]
fn filter_norm_keeps_the_entries_as_they_are() -> Outcome {
    let case = case();
    let mask = case.choose(Select::Top(0.5), MaskUnit::Parameter, 0)?;
    let (masked, _) = mask.apply(case.directions[0].clone(), &case.effective, Norm::Filter);
    let chosen = chosen(&mask);
    for (name, values) in &case.directions[0] {
        for (i, v) in values.iter().enumerate() {
            let expected = if chosen.contains(&(name.clone(), i)) { *v } else { 0.0 };
            assert_eq!(masked.get(name).map_or(0.0, |d| d[i]), expected, "{name} {i}");
        }
    }
    Ok(())
}

/// Oracle: the rule. F knows `matrix` alone: P is 6, `top:1` moves nothing else, `all` moves everything, unscaled.
#[test]
fn parameters_absent_from_fisher_move_only_under_all() -> Outcome {
    let mut case = case();
    case.fisher.retain(|name, _| name == "matrix");
    case.fisher.insert("elsewhere".into(), Tensor::new(&[5f32], &Device::Cpu)?);
    for select in [Select::Top(1.0), Select::Bottom(1.0), Select::Random(1.0)] {
        let mask = case.choose(select, MaskUnit::Parameter, 0)?;
        assert_eq!(mask.report.parameters, 6, "{select}");
        assert_eq!((mask.report.effective, mask.report.selected_effective), (11, 5), "{select}");
        let (masked, _) = mask.apply(case.directions[0].clone(), &case.effective, Norm::Filter);
        assert!(masked.keys().eq(["matrix"]), "{select}");
    }
    let all = case.choose(Select::All, MaskUnit::Parameter, 0)?;
    assert_eq!((all.report.parameters, all.report.selected, all.report.selected_effective), (22, 22, 11));
    for norm in [Norm::Filter, Norm::Matched] {
        assert_eq!(
            all.apply(case.directions[0].clone(), &case.effective, norm),
            (case.directions[0].clone(), 1.0)
        );
    }
    Ok(())
}

/// Oracle: on paper: k = floor(fraction · 5 + 0.5) of five tensors by their mean. Means 4, 2, 2, 1, 0, sums 4, 6, 2, 9,
/// 0. Catches sums for means, ties by anything but the name, the share of parameters for that of tensors.
#[test]
fn whole_tensors_go_by_their_mean() -> Outcome {
    let f = map(&[
        ("a", &[1], vec![0.0]),
        ("b", &[2], vec![1.0, 3.0]),
        ("c", &[1], vec![4.0]),
        ("d", &[3], vec![0.0, 6.0, 0.0]),
        ("e", &[9], vec![1.0; 9]),
    ]);
    let choose = |select, seed| choose(select, MaskUnit::Tensor, &f, Some(&f), &all_of(&f), seed);
    let names = |mask: &Mask| chosen(mask).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    for (select, expected, parameters, threshold, ties, zeros) in [
        (Select::Top(0.2), &["c"][..], 1, 4.0, 1, 0),
        (Select::Top(0.3), &["b", "c"], 3, 2.0, 2, 0), // 2.0 tensors: halves go up
        (Select::Top(0.6), &["b", "c", "d"], 6, 2.0, 2, 2),
        (Select::Bottom(0.2), &["a"], 1, 0.0, 1, 1),
        (Select::Bottom(0.6), &["a", "d", "e"], 13, 2.0, 2, 3),
        (Select::Bottom(1.0), &["a", "b", "c", "d", "e"], 16, 4.0, 1, 3),
    ] {
        let mask = choose(select, 0)?;
        assert!(names(&mask).iter().eq(expected), "{select}: {:?}", names(&mask));
        let report = mask.report;
        assert_eq!(report.selected_tensors, Some(expected.len()), "{select}");
        assert_eq!((report.selected, report.parameters), (parameters, 16), "{select}");
        assert_eq!(
            (report.threshold, report.ties, report.zeros),
            (Some(threshold), Some(ties), Some(zeros)),
            "{select}"
        );
    }
    // Random: two of five; each tensor in 2/5 of 1000 draws within 5 standard deviations, sqrt(240).
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..1000 {
        let own = names(&choose(Select::Random(0.4), seed)?);
        assert_eq!(own.len(), 2);
        own.into_iter().for_each(|name| *counts.entry(name).or_insert(0i32) += 1);
    }
    assert!(counts.values().all(|c| (c - 400).abs() <= 77) && counts.len() == 5, "{counts:?}");
    Ok(())
}

/// Oracle: the rules of docs/definitions.md section 4. Catches an empty mask passed off as a surface, and F of another model used
/// where names agree by chance.
#[test]
fn masks_that_mean_nothing_are_errors() -> Outcome {
    let case = case();
    let message = |result: Result<Mask>| result.unwrap_err().to_string();
    // 0.02 · 22 + 0.5 = 0.94: no parameter. 0.023 is one.
    for select in [Select::Top(0.02), Select::Bottom(0.02)] {
        let error = message(case.choose(select, MaskUnit::Parameter, 0));
        assert!(error.contains("at least 1") && error.contains("0.02 of 22"), "{error}");
    }
    assert!(message(case.choose(Select::Random(0.1), MaskUnit::Tensor, 0)).contains("0.1 of 3"));
    let none = choose(Select::Random(0.02), MaskUnit::Parameter, &case.theta, None, &case.effective, 0);
    assert!(message(none).contains("0.02 of 22"));
    assert_eq!(
        choose(Select::Random(0.023), MaskUnit::Parameter, &case.theta, None, &all_of(&case.theta), 0)?
            .report
            .selected,
        1
    );
    // The four largest and the six smallest are no effective parameters.
    for select in [Select::Top(0.18), Select::Bottom(0.27), Select::Random(0.18)] {
        let error = message(case.choose(select, MaskUnit::Parameter, 0));
        assert!(error.contains("effective parameters"), "{error}");
    }
    let with = |fisher: ParamMap| {
        choose(Select::Top(0.5), MaskUnit::Parameter, &case.theta, Some(&fisher), &case.effective, 0)
    };
    let error = message(with(map(&[("other", &[4], vec![1.0; 4])])));
    assert!(error.contains("no tensor is a parameter of the model") && error.contains("`other`"), "{error}");
    // As many entries in another shape.
    let error = message(with(map(&[("matrix", &[3, 2], vec![1.0; 6])])));
    assert!(error.contains("`matrix`") && error.contains("[2, 3]") && error.contains("[3, 2]"), "{error}");
    Ok(())
}

/// Oracle: the grammar: all, or KIND:FRACTION with a fraction in (0, 1]; what is printed is read back.
#[test]
fn masks_are_read_as_they_are_written() {
    for (text, select) in [
        ("all", Select::All),
        ("top:0.05", Select::Top(0.05)),
        ("bottom:1", Select::Bottom(1.0)),
        ("random:0.5", Select::Random(0.5)),
    ] {
        assert_eq!(text.parse(), Ok(select));
        assert_eq!(select.to_string(), text);
    }
    for text in ["", "top", "top:", "top:-0.1", "top:1.01", "top:nan", "top:5%", "middle:0.5", "all:1"] {
        assert!(text.parse::<Select>().is_err(), "{text}");
    }
}

/// Oracle: the halves of the tensors by mean F, counted by hand: matrix 3.3, embedding 1.75 and bias 9, so the paper's top two of
/// three are bias and matrix, of which the bias has no direction. Catches a fraction of parameters, and a tensor counted as moving
/// that cannot.
#[test]
fn the_papers_halves_are_whole_tensors() -> Outcome {
    let case = case();
    // Whatever the granularity says.
    let top = case.choose(Select::PaperTop, MaskUnit::Parameter, 0)?;
    let chosen_of = |mask: &Mask| chosen(mask).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    assert!(chosen_of(&top).iter().eq(["bias", "matrix"]));
    assert_eq!((top.report.selected_tensors, top.report.moving_tensors), (Some(2), Some(1)));
    assert_eq!((top.report.selected, top.report.selected_effective), (10, 5));
    let bottom = case.choose(Select::PaperBottom, MaskUnit::Parameter, 0)?;
    assert!(chosen_of(&bottom).iter().eq(["embedding", "matrix"]));
    assert!(
        "paper-top".parse::<Select>().is_ok_and(|s| s == Select::PaperTop && s.to_string() == "paper-top")
    );
    Ok(())
}

/// Oracle: counted by hand, and shares that sum to 1. Catches parameters counted where nothing moves, lengths for squares.
#[test]
fn what_moves_is_told_tensor_by_tensor() -> Outcome {
    let case = case();
    let mask = case.choose(Select::Top(0.5), MaskUnit::Parameter, 0)?;
    let masked = case.directions.clone().map(|d| {
        let mut masked = mask.apply(d, &case.effective, Norm::Filter).0;
        keep_effective(&mut masked, &case.effective);
        masked
    });
    let rows = moved(&case.theta, &mask, &case.effective, &masked);
    let counts: Vec<_> =
        rows.iter().map(|r| (r.tensor.as_str(), r.parameters, r.selected, r.moving)).collect();
    // F from the top: bias 9 9 9 9, matrix 8 7 2.5, embedding 6 5 4 3.
    assert_eq!(counts, [("bias", 4, 4, 0), ("embedding", 12, 4, 4), ("matrix", 6, 3, 3)]);
    for share in [|r: &Moved| r.share_x, |r: &Moved| r.share_y.unwrap_or(0.0)] {
        assert!((rows.iter().map(share).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    // Entries 0, 3 and 5 of the matrix, (i + 1)² each along x, against 2, 6, 7 and 8 of the embedding times 0.1.
    let squares = |entries: &[usize], scale: f64| {
        entries.iter().map(|i| (scale * (*i as f64 + 1.0).powi(2)).powi(2)).sum::<f64>()
    };
    let (matrix, embedding) = (squares(&[0, 3, 5], 1.0), squares(&[2, 6, 7, 8], 0.1));
    assert!((rows[2].share_x - matrix / (matrix + embedding)).abs() < 1e-6, "{:?}", rows[2]);
    Ok(())
}
