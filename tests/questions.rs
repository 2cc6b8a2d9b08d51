//! Questions about texts: windows of them against transformers, answers against SQuAD's own script.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::data::by_length;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::questions::{each, examples_of};
use fisherscape::data::squad;
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::data::{Batch, Example};
use fisherscape::evaluate::{self, set_loss};
use fisherscape::files;
use fisherscape::fisher::files::Row;
use fisherscape::model::{Objective, Outputs};
use fisherscape::params::{self, ParamMap};
use fisherscape::stability::AgreementRow;
use fisherscape::stability::draw::size;
use fisherscape::stability::overlap::OverlapRow;
use fisherscape::stats;
use fisherscape::tables::agree::ScoreRow;
use fisherscape::tables::training::{MetricRow, PredictionRow};
use fisherscape::tasks::{Kind, answers};
use serde::Deserialize;

use crate::support::{Outcome, fisherscape, fixture, json};

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
    scores: Vec<Scored>,
}

#[derive(Deserialize)]
struct Case {
    folder: String,
    file: String,
    max_len: usize,
    stride: usize,
    windows: Vec<Window>,
    answers: Vec<Scored>,
}

#[derive(Deserialize)]
struct Window {
    group: u32,
    ids: Vec<u32>,
    types: Vec<u32>,
    start: u32,
    end: u32,
    first: usize,
    offsets: Vec<[u32; 2]>,
}

#[derive(Deserialize)]
struct Scored {
    said: String,
    answers: Vec<String>,
    exact: f64,
    f1: f64,
}

fn expected() -> Outcome<Expected> {
    Ok(serde_json::from_str(&std::fs::read_to_string(fixture("questions/expected.json"))?)?)
}

impl Case {
    fn examples(&self) -> Outcome<Vec<Example>> {
        let path = fixture("questions").join(&self.file);
        let (rows, lengths) = squad::read(&[&path], self.stride)?;
        assert_eq!((rows.kind(), &lengths[..]), (Kind::Span, &[rows.rows.len()][..]));
        let left_out = rows.left_out().unwrap_or_default();
        assert!(left_out.contains("1 × empty text; 1 × answer not at its place"), "{left_out}");
        Ok(Tokenizer::load(&fixture(&self.folder))?.windows(&rows.rows, self.max_len, self.stride)?)
    }
}

/// Oracle: transformers' fast tokenizers, with texts of several windows, accents, an emoji of several tokens, answers that lie in
/// two windows, in none, at the very end, and none at all. Catches bytes taken for characters, blanks trimmed twice, windows that share
/// too much, and answers one token off.
#[test]
fn questions_become_the_windows_of_transformers() -> Outcome {
    for case in expected()?.cases {
        let examples = case.examples()?;
        assert_eq!(examples.len(), case.windows.len(), "{} {}", case.folder, case.file);
        for (example, wanted) in examples.iter().zip(&case.windows) {
            let window = example.window.as_ref().ok_or("no window")?;
            let about = format!("{} {}: {}", case.folder, case.file, window.question.id);
            assert_eq!((&example.ids, &example.types), (&wanted.ids, &wanted.types), "{about}");
            assert_eq!(example.group, Some(wanted.group), "{about}");
            assert_eq!((window.tokens.start, &window.places), (wanted.first, &wanted.offsets), "{about}");
            assert_eq!(example.target.labels.spans(), [[wanted.start, wanted.end]], "{about}");
        }
    }
    Ok(())
}

/// Scores as make_questions.py makes them up: eighths, of a token and its position, of the first token by the last of the text.
struct MadeUp;

impl Objective for MadeUp {
    fn losses(&self, _: &ParamMap, batch: &Batch) -> fisherscape::Result<Outputs> {
        let score = |(id, at): (&u32, &u32)| {
            [(37 * id + 11 * at) % 41, (53 * id + 7 * at) % 43].map(|score| score as f32 / 8.0)
        };
        let mut scores: Vec<[f32; 2]> = batch.ids.iter().zip(&batch.positions).map(score).collect();
        for own in batch.offsets.windows(2) {
            scores[own[0]] = [((29 * batch.ids[own[1] - 2]) % 90) as f32 / 8.0, 5.0];
        }
        let losses: Vec<f32> =
            (0..batch.targets.rows.len()).map(|i| batch.ids[batch.offsets[i] + 1] as f32).collect();
        let scores = Tensor::from_vec(scores.concat(), (batch.ids.len(), 2), &Device::Cpu)?;
        let losses = Tensor::new(losses, &Device::Cpu)?;
        Ok(Outputs { losses, scores })
    }
}

/// Oracle: a search over all windows in Python and SQuAD's own counting. Catches answers outside of the text, from the later of two
/// equal windows or longer than 30 tokens, an answer where there is none, and questions whose windows are taken for another's.
#[test]
fn answers_are_the_best_over_all_windows() -> Outcome {
    for case in expected()?.cases {
        let examples = case.examples()?;
        let found = set_loss(&MadeUp, &ParamMap::new(), &examples, &by_length(&examples))?;
        let said = evaluate::predictions(&found, &examples, Default::default());
        assert_eq!(said.lengths, vec![1; case.answers.len()]);
        for (i, wanted) in case.answers.iter().enumerate() {
            let about = format!("{} {}: question {i}", case.folder, case.file);
            assert_eq!(said.name(said.predicted[i]), wanted.said, "{about}");
            assert_eq!(answers::answers(said.name(said.truth[i])).as_ref(), Some(&wanted.answers), "{about}");
        }
        let mean =
            |of: fn(&Scored) -> f64| case.answers.iter().map(of).sum::<f64>() / case.answers.len() as f64;
        assert!((answers::F1.value(&said) - mean(|one| one.f1)).abs() < 1e-12);
        assert!((answers::EXACT_MATCH.value(&said) - mean(|one| one.exact)).abs() < 1e-12);
        // A question's loss is the mean of its windows'.
        let own = each(&examples)
            .map(|own| own.iter().map(|e| f64::from(e.ids[1])).sum::<f64>() / own.len() as f64);
        let losses: Vec<f64> = evaluate::losses(&found, &examples).concat();
        assert!(
            own.zip(&losses).all(|(own, loss)| (own - loss).abs() < 1e-9)
                && losses.len() == case.answers.len()
        );
    }
    Ok(())
}

/// Oracle: SQuAD's script for version 2, on words that differ by case, articles, punctuation and blanks, and on nothing. Catches
/// articles within words, punctuation that parts words, and an answer of articles alone taken for one.
#[test]
fn answers_are_scored_as_squad_scores_them() -> Outcome {
    for Scored { said, answers, exact, f1 } in expected()?.scores {
        let about = format!("{said:?} {answers:?}");
        assert_eq!(f64::from(u8::from(answers::is_right(&said, &answers))), exact, "{about}");
        let one = answers::predictions([(said, answers)]);
        assert_eq!(answers::EXACT_MATCH.value(&one), exact, "{about}");
        assert!(
            (answers::F1.value(&one) - f1).abs() < 1e-12,
            "{about}: {}, expected {f1}",
            answers::F1.value(&one)
        );
    }
    Ok(())
}

/// Oracle: the set that was written. What is read is the same to the last window, a part of it keeps its own questions, and one
/// that was tampered with is named. Catches texts that go to another question, and offsets that nothing looks at.
#[test]
fn sets_of_questions_keep_their_texts() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("set.safetensors");
    for case in expected()?.cases {
        let examples = case.examples()?;
        let (all, questions) = (examples.len(), case.answers.len());
        assert_eq!(examples_of(&examples, questions), all);
        for part in [0..all, examples_of(&examples, 3)..examples_of(&examples, 7)] {
            let (hash, metadata) = (String::new(), Default::default());
            let own = examples[part].to_vec();
            FrozenSet { path: path.clone(), hash, kind: Kind::Span, examples: own.clone(), metadata }
                .write(0)?;
            let read = FrozenSet::read(&path)?;
            assert_eq!((&read.examples, read.scoring().metrics.len()), (&own, 2));
            assert!(!read.metadata.contains_key("questions"));
        }
    }
    let bytes = std::fs::read(&path)?;
    for (from, to, says) in [
        ("\\\"context\\\":0", "\\\"context\\\":9", "context 9 of"),
        ("\\\"unanswerable\\\"", "\\\"unanswerablf\\\"", "questions in JSON"),
        ("\"offsets\"", "\"offsetz\"", "no such tensor"),
    ] {
        let at = bytes.windows(from.len()).position(|own| own == from.as_bytes()).ok_or(from)?;
        let mut broken = bytes.clone();
        broken[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, broken)?;
        let message = FrozenSet::read(&path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains(says) && message.contains("fix:"), "{message}");
    }
    Ok(())
}

/// What is no such file is named, with the field and the way out; so is a stride without room.
#[test]
fn broken_questions_are_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file.json");
    for (text, says) in [
        ("id\tquestion\n", "expected value at line 1"),
        ("[]", "invalid length 0"),
        ("{\"data\": [{\"paragraphs\": [{\"context\": \"x\"}]}]}", "missing field `qas` at line 1"),
        ("{\"data\": []}", "nothing in it"),
        (
            r#"{"data": [{"paragraphs": [{"context": "é x", "qas": [{"id": "1", "question": "?", "answers": [{"text": "x", "answer_start": 3}]}]}]}]}"#,
            "1 × answer not at its place",
        ),
    ] {
        std::fs::write(&path, text)?;
        let message = squad::read(&[&path], 1).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            message.contains(says) && message.contains("file.json") && message.contains("fix:"),
            "{message}"
        );
    }
    let freeze = format!(
        "freeze --checkpoint {} --squad {} --out {}",
        fixture("tiny/model").display(),
        fixture("questions/v1.json").display(),
        folder.path().join("set.safetensors").display()
    );
    let output = fisherscape(&freeze).output()?;
    let message = String::from_utf8(output.stderr)?;
    assert!(!output.status.success() && message.contains("--stride"), "{message}");
    Ok(())
}

fn metric(rows: &[MetricRow], name: &str) -> Outcome<f64> {
    Ok(rows.iter().find(|row| row.metric == name).ok_or(format!("no {name}"))?.value)
}

fn run(folder: &Path, arguments: &str) -> Outcome<Vec<u8>> {
    let output = fisherscape(arguments).current_dir(folder).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Oracle: what was written. The predictions give the metrics back, a row a question; `loss` of the saved model on the held-out set
/// says the same, and so does the centre of a surface; the parts share no question. Catches windows that part and scores of
/// another order of questions.
#[test]
fn a_training_run_is_scored_by_question() -> Outcome {
    let (folder, model) = (tempfile::tempdir()?, fixture("tiny/model"));
    let (v1, model) = (fixture("questions/v1.json"), model.display().to_string());
    let data = format!("--squad {} --stride 6 --max-len 24", v1.display());
    run(
        folder.path(),
        &format!("train --checkpoint {model} {data} --dropout none --epochs 2 --batch 4 --out run"),
    )?;
    let at = |name: &str| folder.path().join("run").join(name);
    let rows: Vec<PredictionRow> = files::read_csv(&at("predictions.csv"), "")?;
    let metrics: Vec<MetricRow> = files::read_csv(&at("metrics.csv"), "")?;
    let (numbers, said) = PredictionRow::read(&rows);
    assert_eq!((numbers.len(), rows.len()), (2, 2)); // a fifth of eleven questions
    assert!((answers::F1.value(&said) - metric(&metrics, "f1")?).abs() < 1e-12);
    assert!((answers::EXACT_MATCH.value(&said) - metric(&metrics, "exact_match")?).abs() < 1e-12);
    let sets = ["train", "held_out"].map(|name| FrozenSet::read(&at(&format!("{name}.safetensors"))));
    let [train, held_out] = sets;
    let (train, held_out) = (train?, held_out?);
    let groups = |set: &FrozenSet| {
        set.examples.iter().filter_map(|e| e.group).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((groups(&train).len(), groups(&held_out).len()), (9, 2));
    assert!(groups(&train).is_disjoint(&groups(&held_out)));
    assert!(held_out.examples.len() > 2);
    let loss: serde_json::Value = serde_json::from_slice(&run(
        folder.path(),
        "loss --checkpoint run --set run/held_out.safetensors --json",
    )?)?;
    for name in ["f1", "exact_match"] {
        let own = loss["metrics"][name].as_f64().ok_or(name)?;
        assert!((own - metric(&metrics, name)?).abs() < 1e-6, "{name}: {own}");
    }
    // The same part of the data, frozen on its own.
    let split =
        format!("freeze --checkpoint {model} {data} --holdout official --split dev --out dev.safetensors");
    run(folder.path(), &split)?;
    assert_eq!(FrozenSet::read(&folder.path().join("dev.safetensors"))?.examples, held_out.examples);
    run(folder.path(), "surface --checkpoint run --set run/held_out.safetensors --resolution 3 --out s.csv")?;
    let about = json(&folder.path().join("s.json"));
    assert!(about.to_string().contains("exact_match"), "{about}");
    Ok(())
}

/// `G/(G - 1) Σ_g (Σ_{n in g} (v_n - mean m_n))² / M²` row by row, its root: the error of `Σ v / Σ m` over groups.
fn error_over(groups: &[f64], values: &[f64], targets: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / targets.iter().sum::<f64>();
    let distinct: BTreeSet<u64> = groups.iter().map(|group| *group as u64).collect();
    let rest = |group: u64| {
        let own = (0..groups.len()).filter(|&n| groups[n] as u64 == group);
        own.map(|n| values[n] - mean * targets[n]).sum::<f64>()
    };
    let squares: f64 = distinct.iter().map(|group| rest(*group).powi(2)).sum();
    let count = distinct.len() as f64;
    (count / (count - 1.0) * squares).sqrt() / targets.iter().sum::<f64>()
}

/// Oracle: the formula above on what the files keep of each window; the set's own groups; and the pass over the set, whose
/// sub-samples are those of the kept sums. Errors of F, of rates, of a surface's rise and of sharpness count questions. Catches an error over
/// windows, groups lost on the way to a file, and sub-samples of windows.
#[test]
fn errors_count_questions() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let (v1, model) = (fixture("questions/v1.json"), fixture("tiny/model"));
    let (v1, model) = (v1.display(), model.display());
    let run = |arguments: &str| run(folder.path(), arguments);
    run(&format!("freeze --checkpoint {model} --squad {v1} --stride 6 --max-len 24 --out set.safetensors"))?;
    let set = FrozenSet::read(&at("set.safetensors"))?;
    let own: Vec<f64> = set.examples.iter().filter_map(|e| e.group).map(f64::from).collect();
    let both = format!("--checkpoint {model} --set set.safetensors");
    run(&format!("fisher {both} --per-example --out F.safetensors"))?;
    let (numbers, metadata) = params::read_numbers(&at("F.examples.safetensors"))?;
    let (names, sums) = (metadata.get("names").ok_or("names")?, &numbers["sums"].1);
    let names: Vec<String> = serde_json::from_str(names)?;
    let (groups, ones) = (&numbers["groups"].1, vec![1.0; own.len()]);
    assert!(groups.iter().zip(&own).all(|(a, b)| (a - b) == (groups[0] - own[0])), "{groups:?}");
    let rows: Vec<Row> = files::read_csv(&at("F.csv"), "")?;
    let mut narrower = 0;
    for row in &rows {
        let column = names.iter().position(|name| *name == row.name).ok_or("a column")?;
        let values: Vec<f64> = sums.iter().skip(column).step_by(names.len()).copied().collect();
        let wanted = error_over(groups, &values, &ones) / row.numel as f64;
        assert!((row.mean_se - wanted).abs() <= 1e-9 * wanted, "{}: {} for {wanted}", row.name, row.mean_se);
        narrower += usize::from(stats::standard_error(&values) / (row.numel as f64) < wanted);
    }
    assert!(narrower > rows.len() / 2, "{narrower} of {} are wider by question", rows.len());
    // Sub-samples: by the kept sums and by a pass of their own.
    let draws = "--fractions 0.2,0.5 --repeats 3 --resamples 50";
    run(&format!("stability --fisher F.safetensors {draws} --out kept"))?;
    run(&format!("stability {both} {draws} --overlap 0.1 --out passed"))?;
    for name in ["scores", "agreement", "summary", "needed", "tails"] {
        let read = |from: &str| std::fs::read(at(from).join(format!("{name}.csv")));
        assert_eq!(read("kept")?, read("passed")?, "{name}");
    }
    let drawn: Vec<AgreementRow> = files::read_csv(&at("kept/agreement.csv"), "")?;
    assert!(drawn.iter().all(|row| row.examples == size(11, row.fraction)), "of eleven questions");
    let tops: Vec<OverlapRow> = files::read_csv(&at("passed/overlap.csv"), "")?;
    assert!(
        tops.iter().all(|row| row.examples == size(11, row.fraction) && row.overlap_complement.is_some())
    );
    // A surface keeps every window, and which question it is of; sharpness what each question adds.
    run(&format!("surface {both} --resolution 3 --per-example --out s.csv"))?;
    let (surface, _) = params::read_numbers(&at("s.examples.safetensors"))?;
    assert_eq!(&surface["groups"].1, groups);
    let centre = json(&at("s.json"))["centre"]["loss_se"].as_f64().ok_or("loss_se")?;
    let wanted = error_over(groups, &surface["centre"].1, &ones);
    assert!((centre / wanted - 1.0).abs() < 1e-9, "{centre} for {wanted}");
    let quick = "--directions 2 --radii 0.5 --ascent 1 --steps 2 --probes 1 --signs 1 --eigenvalues 1";
    run(&format!("sharpness {both} {quick} --out sharp.csv"))?;
    let (sharp, _) = params::read_numbers(&at("sharp.examples.safetensors"))?;
    assert_eq!(
        (sharp["rise_0.5"].0.as_slice(), sharp["targets"].1.iter().sum::<f64>()),
        (&[2, 11][..], own.len() as f64)
    );
    // Rankings of two estimates, and what each rests on, resample questions too.
    run("agree F.safetensors F.safetensors --titles a,b --resamples 20 --out agree")?;
    let scored: Vec<ScoreRow> = files::read_csv(&at("agree/scores.csv"), "")?;
    let tensor = scored.iter().find(|row| row.name == rows[0].name).ok_or("a tensor")?;
    assert!((tensor.score_se.ok_or("an error")? / rows[0].mean_se - 1.0).abs() < 1e-9);
    Ok(())
}
