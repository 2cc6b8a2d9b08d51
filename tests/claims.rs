//! What pages say of differences, and the numbers that it rests on.

use std::path::Path;

use fisherscape::data::frozen::FrozenSet;
use fisherscape::files;
use fisherscape::landscape::rise::ByExample;
use fisherscape::stats;
use fisherscape::tables::page::{McNemar, Surface, Training};
use fisherscape::tables::training::PredictionRow;

use crate::support::{Outcome, fisherscape, fixture};

/// Arms and surfaces over seeds; a table is cut by the seed, the part trained on too.
fn analysis(seeds: usize) -> String {
    format!(
        r#"
title = "Claims"
question = "Which?"
source = "A test."
expectation = "None."
reading = "As it is."
[model]
checkpoint = "{}"
[data]
table = "{}"
columns = "sentence,label"
max_len = 16
[fisher]
over = "task"
examples = 20
[schedule]
p_upper = 0.4
[train]
arms = ["matched", "guided", "by-depth", "by-type", "untrained", "random-label", "none", "none-at-all"]
seeds = 3
epochs = 2
batch = 8
fraction = 0.5
lr = 1e-2
[surface]
masks = ["all"]
over = ["held_out"]
resolution = 3
examples = 12
draws = 2
seeds = {seeds}
"#,
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    )
}

fn run(folder: &Path, seeds: usize, out: &str) -> Outcome {
    std::fs::write(folder.join("a.toml"), analysis(seeds))?;
    fisherscape(&format!("run a.toml --out {out}")).current_dir(folder).assert().success();
    Ok(())
}

/// Oracle: the files of the runs, compared anew. Each seed's pair of models has surfaces over what that seed holds out, in the
/// same planes, and the difference is that of rises per pair, with Student's interval widened by Nadeau and Bengio's
/// ratio; arms likewise. McNemar's counts are those of the predictions. p are corrected over arms and surfaces
/// together. Catches a set of another seed, pairs mixed up, and a correction within one table alone.
#[test]
fn arms_are_compared_over_every_seed_by_one_rule() -> Outcome {
    let folder = tempfile::tempdir()?;
    run(folder.path(), 3, "out")?;
    let at = |name: &str| folder.path().join("out").join(name);
    let t = 4.302_652_729_749_464; // of two degrees of freedom
    let half = |d: &[f64]| t * stats::sd(d) * (1.0 / 3.0 + 0.25f64).sqrt();

    let training: Vec<Training> = files::read_csv(&at("tables/training.csv"), "")?;
    let accuracy = |arm: &str, seed: usize| -> Outcome<f64> {
        let rows: Vec<PredictionRow> =
            files::read_csv(&at(&format!("train/{}/seed{seed}/predictions.csv", arm.replace(' ', "_"))), "")?;
        Ok(rows.iter().filter(|row| row.label == row.prediction).count() as f64 / rows.len() as f64)
    };
    let mut p = Vec::new();
    for row in &training[1..] {
        let d: Vec<f64> = (0..3)
            .map(|seed| Ok(accuracy(&row.arm, seed)? - accuracy("matched uniform", seed)?))
            .collect::<Outcome<_>>()?;
        assert!((row.difference.ok_or("none")? - stats::mean(&d)).abs() < 1e-12, "{}", row.arm);
        match stats::sd(&d) > 1e-9 {
            true => {
                assert_eq!(row.interval, "resampled");
                let (low, high) = (row.low.ok_or("no end")?, row.high.ok_or("no end")?);
                assert!(((high - low) / 2.0 - half(&d)).abs() < 1e-9, "{}: {low} to {high}", row.arm);
                p.push((row.p.ok_or("no p")?, row.p_corrected.ok_or("no p")?));
                assert!(row.least_shown.ok_or("none")? > half(&d));
            }
            false => assert_eq!((row.low, row.p), (None, None)),
        }
    }

    let surfaces: Vec<Surface> = files::read_csv(&at("tables/surfaces.csv"), "")?;
    let rise = |arm: &str, seed: usize| -> Outcome<f64> {
        let suffix = if seed == 0 { String::new() } else { format!("_seed{seed}") };
        let mut sum = 0.0;
        for draw in ["", "_draw1"] {
            let path = at(&format!("surfaces/held_out/{arm}_all{suffix}{draw}.examples.safetensors"));
            let surface = ByExample::read(&path)?;
            let own = surface.rise(1.0).ok_or("no point")?;
            sum += own.iter().sum::<f64>() / surface.targets.iter().sum::<f64>() / 2.0;
        }
        Ok(sum)
    };
    for row in &surfaces[1..] {
        let arm = row.model.replace(' ', "_");
        let d: Vec<f64> = (0..3)
            .map(|seed| Ok(rise(&arm, seed)? - rise("matched_uniform", seed)?))
            .collect::<Outcome<_>>()?;
        assert!((row.difference.ok_or("none")? - stats::mean(&d)).abs() < 1e-9, "{}", row.model);
        assert!((row.high.ok_or("none")? - row.difference.ok_or("none")? - half(&d)).abs() < 1e-9);
        assert_eq!(row.seeds, 3);
        p.push((row.p.ok_or("no p")?, row.p_corrected.ok_or("no p")?));
    }
    // Holm: the k-th smallest of m, times those that are left, and never less than the one before.
    p.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least: f64 = 0.0;
    for (k, (own, corrected)) in p.iter().enumerate() {
        least = least.max((own * (p.len() - k) as f64).min(1.0));
        assert!((corrected - least).abs() < 1e-12, "{corrected} for {least}");
    }

    // Each seed's surfaces are over examples that its runs hold out.
    for seed in 0..3 {
        let suffix = if seed == 0 { String::new() } else { format!("_seed{seed}") };
        let set = FrozenSet::read(&at(&format!("sets/surface_held_out{suffix}.safetensors")))?;
        let held_out = FrozenSet::read(&at(&format!("train/guided/seed{seed}/held_out.safetensors")))?;
        assert!(set.examples.iter().all(|e| held_out.examples.iter().any(|own| own.ids == e.ids)));
    }

    let pairs: Vec<McNemar> = files::read_csv(&at("tables/mcnemar.csv"), "")?;
    assert_eq!(pairs.len(), 7 * 3);
    let row = pairs.iter().find(|row| row.arm == "guided" && row.seed == "1").ok_or("no such row")?;
    let right = |arm: &str| -> Outcome<Vec<bool>> {
        let path = at(&format!("train/{arm}/seed1/predictions.csv"));
        let rows: Vec<PredictionRow> = files::read_csv(&path, "")?;
        Ok(rows.iter().map(|row| row.label == row.prediction).collect())
    };
    let (first, own) = (right("matched_uniform")?, right("guided")?);
    let count = |f, o| first.iter().zip(&own).filter(|pair| (*pair.0, *pair.1) == (f, o)).count();
    assert_eq!(
        (row.both, row.only_first, row.only_this, row.neither),
        (count(true, true), count(true, false), count(false, true), count(false, false))
    );

    // The arms of controls go by schedules of their own, and the page says how alike they are.
    let rates = |arm: &str| std::fs::read_to_string(at(&format!("train/{arm}/seed1/rates.csv")));
    assert!(rates("untrained")? != rates("guided")? && rates("by-type")? != rates("by-depth")?);
    assert!(rates("none").is_ok() && rates("none-at-all").is_err());
    let page = std::fs::read_to_string(at("report.html"))?;
    for words in ["agree with those of guided", "Nadeau and Bengio 2003", "comparisons with matched uniform"]
    {
        assert!(page.contains(words), "{words}");
    }
    Ok(())
}

/// Oracle: the rule. One pair of models has an interval but no p, and the page says neither higher nor lower of it.
#[test]
fn one_pair_of_models_gets_no_verdict() -> Outcome {
    let folder = tempfile::tempdir()?;
    run(folder.path(), 1, "out")?;
    let at = |name: &str| folder.path().join("out").join(name);
    let surfaces: Vec<Surface> = files::read_csv(&at("tables/surfaces.csv"), "")?;
    assert!(surfaces[1..].iter().all(|row| row.low.is_some() && row.p.is_none() && row.seeds == 1));
    let page = std::fs::read_to_string(at("report.html"))?;
    let sentence = page.split("around the one pair of models looked at").nth(1).ok_or("no sentence")?;
    let sentence = sentence.split("</").next().ok_or("no end")?;
    assert!(sentence.contains("uncorrected intervals of this pair"), "{sentence}");
    assert!(sentence.contains("another seed may reverse them"), "{sentence}");
    for claim in ["flatter", "steeper", "higher", "lower"] {
        assert!(!sentence.contains(claim), "{sentence}");
    }
    Ok(())
}
