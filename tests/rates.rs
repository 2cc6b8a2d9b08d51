//! Drop probabilities by site: the guided line, the published schedule, and their file.

use std::path::Path;

use fisherscape::dropout::rates::{Row, Shape, guided, paper_bert_base};
use fisherscape::dropout::{Place, Rates, Role};
use fisherscape::files;
use fisherscape::model::architectures::bert;
use fisherscape::ranking::Ranking;

use crate::support::Outcome;

/// The published order of the sites of bert-base, lowest Fisher information first (docs/definitions.md section 3).
const PUBLISHED: [&str; 37] = [
    "layer.7.attention_probs",
    "layer.10.attention_probs",
    "layer.9.attention_probs",
    "layer.8.attention_probs",
    "layer.1.attention_probs",
    "layer.6.attention_probs",
    "layer.11.attention_probs",
    "layer.2.attention_probs",
    "layer.0.attention_probs",
    "layer.5.attention_probs",
    "layer.3.attention_probs",
    "layer.4.attention_probs",
    "layer.11.attention_output",
    "layer.0.attention_output",
    "layer.9.attention_output",
    "layer.10.attention_output",
    "layer.7.attention_output",
    "layer.1.attention_output",
    "layer.6.attention_output",
    "layer.8.attention_output",
    "layer.2.attention_output",
    "layer.5.attention_output",
    "layer.4.attention_output",
    "layer.3.attention_output",
    "layer.11.ffn_output",
    "layer.9.ffn_output",
    "layer.6.ffn_output",
    "layer.5.ffn_output",
    "layer.2.ffn_output",
    "layer.0.ffn_output",
    "layer.10.ffn_output",
    "layer.8.ffn_output",
    "layer.7.ffn_output",
    "layer.1.ffn_output",
    "layer.4.ffn_output",
    "layer.3.ffn_output",
    "embeddings",
];

/// Rank in the published order.
fn published_rank(site: &str) -> usize {
    PUBLISHED.iter().position(|s| *s == site).unwrap()
}

/// Scores of the 37 sites in model order, rising in the published order, far from a line.
fn published_ranking() -> Ranking {
    let score = |site: Place| (site.to_string(), 1e-9 * 2f64.powi(published_rank(&site.to_string()) as i32));
    Ranking::new(bert::sites(12).into_iter().map(score))
}

/// 0.099/36 is not a double: sums of 36 of its roundings, far below 1e-12.
#[track_caller]
fn assert_rates(rows: &[Row], expected: impl Fn(usize) -> f64) {
    assert!(
        rows.iter().map(|row| row.site.clone()).eq(bert::sites(12).iter().map(Place::to_string)),
        "model order"
    );
    for row in rows {
        let k = published_rank(&row.site);
        assert_eq!(row.rank, Some(k), "{}", row.site);
        assert!((row.p - expected(k)).abs() <= 1e-12, "{}: {} for {}", row.site, row.p, expected(k));
    }
}

/// Oracle: the 37 published values in their published order, written out above. Catches the ranks turned round, a step
/// of 0.1/36, layers in the alphabet's order.
#[test]
fn preset_has_the_published_rates() {
    let rows = paper_bert_base();
    assert_rates(&rows, |k| 0.099 - 0.00275 * k as f64);
    let ends = [rows.iter().map(|r| r.p).fold(0.0, f64::max), rows[0].p];
    assert_eq!((ends[1], rows[0].site.as_str()), (0.0, "embeddings"));
    assert!((ends[0] - 0.099).abs() <= 1e-12);
    // Mean 0.0495 (docs/definitions.md section 3): the comparison with a uniform rate of 0.1 is confounded.
    assert!((rows.iter().map(|row| row.p).sum::<f64>() / 37.0 - 0.0495).abs() <= 1e-12);
    assert!(rows.iter().all(|row| row.score.is_none() && row.score_se.is_none()));
}

/// Oracle: eqs. 9-10 on paper: 0.1 (36 - k)/36 with the paper's bounds, and with an upper bound of 0.099 the preset.
/// Catches importance by value in place of rank, and dropout that rises with it.
#[test]
fn guided_rates_fall_on_a_line_with_the_rank() {
    let se: Vec<Option<f64>> = (0..37).map(|i| (i > 0).then_some(f64::from(i))).collect();
    let rows = guided(&published_ranking(), &se, Shape::Linear, 0.0, 0.1);
    assert_rates(&rows, |k| 0.1 * (36 - k) as f64 / 36.0);
    assert_rates(&guided(&published_ranking(), &se, Shape::Linear, 0.0, 0.099), |k| {
        0.099 - 0.00275 * k as f64
    });
    assert_rates(&guided(&published_ranking(), &se, Shape::Linear, 0.05, 0.15), |k| 0.15 - k as f64 / 360.0);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!((row.score, row.score_se), (Some(published_ranking().scores()[i]), se[i]));
    }
}

/// Rates between these bounds at each rank of `sites`.
fn fall(shape: &str, sites: usize, (p_lower, p_upper): (f64, f64)) -> Vec<f64> {
    let shape: Shape = shape.parse().unwrap();
    (0..sites).map(|k| shape.at(k, sites, p_lower, p_upper)).collect()
}

/// Oracle: the formulas on paper at five sites, x = 0, 1/4, 1/2, 3/4, 1, from 0.2 to 0: (1 - x)^2 = 1, 9/16, 1/4, 1/16, 0;
/// sqrt(1 - x); (1 + cos πx)/2 = 1, (2 + √2)/4, 1/2, (2 - √2)/4, 0. Catches a power of x in place of 1 - x, a whole period of
/// the cosine, a shape that leaves out a lower bound.
#[test]
fn shapes_fall_by_their_formulas() {
    let root = 2f64.sqrt();
    for (shape, weights) in [
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("power:1", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("power:2", [1.0, 0.5625, 0.25, 0.0625, 0.0]),
        ("power:0.5", [1.0, 0.75f64.sqrt(), 1.0 / root, 0.5, 0.0]),
        ("cosine", [1.0, (2.0 + root) / 4.0, 0.5, (2.0 - root) / 4.0, 0.0]),
    ] {
        for (p_lower, p_upper) in [(0.0, 0.2), (0.05, 0.15)] {
            for (k, (p, w)) in fall(shape, 5, (p_lower, p_upper)).into_iter().zip(weights).enumerate() {
                let wanted = p_lower + (p_upper - p_lower) * w;
                assert!((p - wanted).abs() <= 1e-15, "{shape}, rank {k}: {p} for {wanted}");
            }
        }
    }
}

/// Property: every shape begins at the upper bound and ends at the lower one, to the bit, and never rises; also at bounds
/// whose difference is rounded, at extreme powers, and with one site alone.
#[test]
fn shapes_hit_both_ends_and_never_rise() {
    for shape in ["linear", "cosine", "power:0.001", "power:0.3", "power:1", "power:7.5", "power:5000"] {
        for bounds in [(0.0, 0.1), (0.05, 0.15), (0.1, 0.3), (0.07, 0.07), (0.1 + 0.2, 0.7)] {
            for sites in [2, 4, 37, 73] {
                let p = fall(shape, sites, bounds);
                assert_eq!((p[0], p[sites - 1]), (bounds.1, bounds.0), "{shape}, {bounds:?}, {sites}");
                assert!(p.windows(2).all(|pair| pair[0] >= pair[1]), "{shape}, {bounds:?}: {p:?}");
            }
        }
        assert_eq!(fall(shape, 1, (0.0, 0.1)), [0.1]);
        assert_eq!(shape.parse::<Shape>().unwrap().to_string(), shape);
    }
    for wrong in ["", "line", "power", "power:", "power:0", "power:-1", "power:inf", "power:nan", "cosine:2"]
    {
        assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
    }
}

/// Oracle: the rule that ties rank in model order: equal scores give a line from the first site to the last.
#[test]
fn ties_are_guided_in_model_order() {
    let ranking = Ranking::new(bert::sites(12).into_iter().map(|site| (site.to_string(), 1.0)));
    for (i, row) in guided(&ranking, &[None; 37], Shape::Linear, 0.0, 0.1).iter().enumerate() {
        assert_eq!(row.rank, Some(i));
        assert!((row.p - 0.1 * (36 - i) as f64 / 36.0).abs() <= 1e-12, "{}", row.site);
    }
}

/// Oracle: what was written, to the bit; rows in any order mean the same. Catches rates taken by line in place of name.
#[test]
fn rates_come_back_from_their_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("RATES.csv");
    let mut rows = guided(&published_ranking(), &[None; 37], Shape::Linear, 0.0, 0.1);
    files::write_csv(&path, &rows)?;
    let read = Rates::read(&path, &bert::sites(12))?;
    assert!(
        read.iter().map(|(site, p)| (site.to_string(), p)).eq(rows.iter().map(|r| (r.site.clone(), r.p)))
    );
    rows.reverse();
    files::write_csv(&path, &rows)?;
    assert_eq!(Rates::read(&path, &bert::sites(12))?, read);
    for (site, p) in bert::sites(12).into_iter().zip(rows.iter().rev().map(|row| row.p)) {
        assert_eq!(read.get(site), p, "{site}");
    }
    assert_eq!((read.get(Place::HEAD), read.get(Place::in_layer(12, Role::FfnOutput))), (0.0, 0.0));
    Ok(())
}

/// `RATES.csv` of a one-layer model, with a replacement, and what reading it says.
fn message(folder: &Path, from: &str, to: &str) -> String {
    let rows = "embeddings,1,,3,0\nlayer.0.attention_probs,0.1,,0,0.1\n\
                layer.0.attention_output,0.2,,1,0.05\nlayer.0.ffn_output,0.3,,2,0.025\n";
    let text = format!("site,score,score_se,rank,p\n{rows}");
    assert!(text.contains(from));
    let path = folder.join("RATES.csv");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    Rates::read(&path, &bert::sites(1)).map_or_else(|e| e.to_string(), |_| "no error".into())
}

/// Oracle: the rule for each case; the message names file, field and what was found. Catches rates that silently stay
/// 0 for a site, a last row that wins over an earlier one, p = 1 (nothing survives: 0 · ∞), NaN.
#[test]
fn files_that_are_no_schedule_are_errors() -> Outcome {
    let folder = tempfile::tempdir()?;
    assert_eq!(message(folder.path(), "embeddings", "embeddings"), "no error");
    for (from, to, expected) in [
        ("layer.0.ffn_output", "layer.0.ffn", &["`site`", "found layer.0.ffn\n"][..]),
        (
            "layer.0.ffn_output",
            "layer.1.ffn_output",
            &["`site`", "a site of a 1-layer model", "layer.1.ffn_output"],
        ),
        ("layer.0.ffn_output", "layer.0.intermediate", &["`site`", "found layer.0.intermediate"]),
        ("layer.0.ffn_output", "head", &["`site`", "found head"]),
        ("layer.0.ffn_output", "embeddings", &["`site`", "`embeddings` twice"]),
        ("layer.0.ffn_output,0.3,,2,0.025\n", "", &["`site`", "all 4 sites", "found 3"]),
        (",0.025\n", ",1\n", &["`p`", "in [0, 1)", "1 in data row 4"]),
        (",0.025\n", ",-0.1\n", &["`p`", "-0.1 in data row 4"]),
        (",0.025\n", ",NaN\n", &["`p`", "NaN"]),
        (",0.025\n", ",inf\n", &["`p`", "inf"]),
        (",0.025\n", ",x\n", &["`row`", "a site and its p"]),
        (",0.025\n", ",\n", &["`row`"]),
        ("rank,p\n", "rank,rate\n", &["`row`", "p"]),
    ] {
        let error = message(folder.path(), from, to);
        assert!(error.contains("RATES.csv") && expected.iter().all(|e| error.contains(e)), "{to}: {error}");
    }
    Ok(())
}
