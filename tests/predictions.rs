//! What stands behind errors over examples: what a run says of each, and which of them are one draw.

use fisherscape::data::frozen::FrozenSet;
use fisherscape::files;
use fisherscape::tables::training::{MetricRow, PredictionRow};

use crate::support::{Outcome, fisherscape, fixture};

fn metric(rows: &[MetricRow], name: &str) -> Outcome<MetricRow> {
    Ok(rows.iter().find(|row| row.metric == name).ok_or("no such metric")?.clone())
}

/// Oracle: the table itself, read line by line. Numbers of examples are those of its lines at every seed, so labels go with
/// them; loss, accuracy and its binomial error follow from the rows. Catches examples numbered by their place in the part,
/// names of other classes, and the predictions of an evaluation that is not the last.
#[test]
fn predictions_are_of_the_rows_that_were_held_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    let table = fixture("tiny/sentiment.tsv");
    let text = std::fs::read_to_string(&table)?;
    let labels: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split('\t').nth(1)).collect();
    let train = format!(
        "train --checkpoint {} --table {} --columns sentence,label --dropout uniform:0.1 --epochs 2 --fraction 0.5 --scores-only",
        fixture("tiny/model").display(),
        table.display()
    );
    let mut seen = Vec::new();
    for seed in [0, 1] {
        fisherscape(&format!("{train} --seed {seed} --out {seed}"))
            .current_dir(folder.path())
            .assert()
            .success();
        let at = |name: &str| folder.path().join(seed.to_string()).join(name);
        let rows: Vec<PredictionRow> = files::read_csv(&at("predictions.csv"), "")?;
        let metrics: Vec<MetricRow> = files::read_csv(&at("metrics.csv"), "")?;
        assert_eq!(rows.len(), labels.len() / 5);
        assert!(rows.iter().all(|row| row.label_name == labels[row.example] && row.target == 0));
        let n = rows.len() as f64;
        let right = rows.iter().filter(|row| row.label == row.prediction).count() as f64 / n;
        assert!(
            rows.iter().all(|row| (row.label == row.prediction) == (row.label_name == row.prediction_name))
        );
        let accuracy = metric(&metrics, "accuracy")?;
        assert!((accuracy.value - right).abs() < 1e-12);
        let error = (right * (1.0 - right) / (n - 1.0)).sqrt();
        assert!((accuracy.se.ok_or("no error")? - error).abs() < 1e-9, "{:?}, expected {error}", accuracy.se);
        let loss = rows.iter().map(|row| row.loss).sum::<f64>() / n;
        assert!((metric(&metrics, "loss")?.value - loss).abs() < 1e-9);
        let trained = ((labels.len() - labels.len() / 5) as f64 * 0.5).round();
        assert_eq!(metric(&metrics, "training_examples")?.value, trained);
        seen.push(rows.iter().map(|row| row.example).collect::<std::collections::BTreeSet<_>>());
    }
    assert_ne!(seen[0], seen[1]);
    Ok(())
}

/// Oracle: as above, for words. A row per word in its sentence's order; the written predictions give the metrics back.
#[test]
fn predictions_of_words_give_the_metrics_back() -> Outcome {
    let folder = tempfile::tempdir()?;
    let words = folder.path().join("words.conll");
    let sentence = |i: usize| {
        format!("the B-PER\nfilm I-PER\nis O\n{} {}\n\n", ["bitter", "joyful"][i % 2], ["O", "B-LOC"][i % 2])
    };
    std::fs::write(&words, (0..40).map(sentence).collect::<String>())?;
    fisherscape(&format!(
        "train --checkpoint {} --conll words.conll --dropout none --epochs 3 --lr 1e-3 --out run",
        fixture("tiny/model").display()
    ))
    .current_dir(folder.path())
    .assert()
    .success();
    let at = |name: &str| folder.path().join("run").join(name);
    let rows: Vec<PredictionRow> = files::read_csv(&at("predictions.csv"), "")?;
    let metrics: Vec<MetricRow> = files::read_csv(&at("metrics.csv"), "")?;
    let (examples, predictions) = PredictionRow::read(&rows);
    assert_eq!((examples.len(), rows.len()), (8, 32));
    assert!(rows.chunks(4).all(|own| own.iter().enumerate().all(|(k, row)| row.target == k)));
    for chief in fisherscape::tasks::Kind::TokenClasses.spec().metrics {
        let own = metric(&metrics, chief.name)?;
        assert!((chief.value(&predictions) - own.value).abs() < 1e-12, "{}", chief.name);
        let se = Some(chief.standard_error(&predictions)).filter(|se| se.is_finite());
        assert_eq!(own.se, se, "{}", chief.name);
    }
    Ok(())
}

/// Oracle: the text, written article by article. Lines belong to the article whose heading of the first level stands before
/// them, whatever headings stand between and in whichever file; the set keeps that, and its loss counts articles: the error is
/// that of twelve articles whose lines are copies, not of as many lines. Too few articles say nothing, and lines are on their own.
#[test]
fn lines_of_one_article_are_a_group() -> Outcome {
    let folder = tempfile::tempdir()?;
    let words = ["me", "and", "us", "the", "film", "is", "joyful", "in", "its", "loud", "ending", "bitter"];
    let article = |k: usize| {
        let line = format!("{} {} {}", words[k % 12], words[(5 * k + 1) % 12], words[(7 * k + 2) % 12]);
        format!(" = Title {k} = \n\n{line}\n = = Section = = \n{line}\n{line}\n")
    };
    let files = [folder.path().join("a.txt"), folder.path().join("b.txt")];
    std::fs::write(&files[0], (0..8).map(article).collect::<String>())?;
    std::fs::write(&files[1], (8..12).map(article).collect::<String>())?;
    let rows = fisherscape::data::text::read(&files, None, 3)?;
    let groups: Vec<Option<u32>> = rows.rows.iter().map(|row| row.group).collect();
    assert_eq!(groups.len(), 36);
    assert!(groups.chunks(3).all(|own| own[0].is_some() && own.iter().all(|group| *group == own[0])));
    assert_eq!(groups.iter().collect::<std::collections::BTreeSet<_>>().len(), 12);
    let few = fisherscape::data::text::read(&files[..1], None, 3)?;
    assert!(few.rows.iter().all(|row| row.group.is_none()));

    let freeze = format!(
        "freeze --checkpoint {} --min-words 3 --text {} {} --out set.safetensors",
        fixture("tiny/model").display(),
        files[0].display(),
        files[1].display()
    );
    fisherscape(&freeze).current_dir(folder.path()).assert().success();
    let set = FrozenSet::read(&folder.path().join("set.safetensors"))?;
    assert_eq!(set.examples.iter().map(|e| e.group).collect::<Vec<_>>(), groups);
    Ok(())
}
