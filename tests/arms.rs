//! Arms of a training: how they are written, and which site drops how much in each.

use std::path::{Path, PathBuf};

use fisherscape::dropout::Arm;
use fisherscape::dropout::noise::Kind;
use fisherscape::dropout::rates::{Row, Shape, guided, paper_bert_base};
use fisherscape::dropout::{Assignment, Dropout, Place, Rates};
use fisherscape::files;
use fisherscape::model::Checkpoint;
use fisherscape::model::architectures::bert;
use fisherscape::ranking::Ranking;

use crate::support::{Outcome, fisherscape, fixture};

/// A schedule of bert-base, as its file says.
fn read(rows: &[Row]) -> Rates {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("RATES.csv");
    files::write_csv(&path, rows).unwrap();
    Rates::read(&path, &bert::sites((rows.len() - 1) / 3)).unwrap()
}

/// Schedules: the published one, and a curved one of an order that is not one of the model's, many of its rates the same.
fn schedules() -> [Vec<Row>; 2] {
    let score = |(i, site): (usize, Place)| (site.to_string(), ((i * 7 + 3) % 13) as f64);
    let ranking = Ranking::new(bert::sites(4).into_iter().enumerate().map(score));
    [paper_bert_base(), guided(&ranking, &[None; 13], Shape::Power(2000.0), 0.02, 0.3)]
}

fn values(rates: &Rates) -> Vec<f64> {
    rates.iter().map(|(_, p)| p).collect()
}

fn sorted(rates: &Rates) -> Vec<f64> {
    let mut p = values(rates);
    p.sort_by(f64::total_cmp);
    p
}

/// Oracle: the definition. Every arm has the schedule's mean rate to 1e-12; reversed and shuffled have its very rates, matched
/// one alone. Catches the middle of the bounds taken for the mean (they differ for a curved schedule), rates drawn with
/// replacement.
#[test]
fn controls_have_the_mean_rate_of_the_schedule() {
    for rows in schedules() {
        let (schedule, mean) = (read(&rows), rows.iter().map(|row| row.p).sum::<f64>() / rows.len() as f64);
        for assignment in
            ["guided", "matched", "reversed", "shuffled", "shuffled:1", "shuffled:99", "by-depth", "by-type"]
        {
            let rates = assignment.parse::<Assignment>().unwrap().of(&schedule).unwrap();
            let own = values(&rates).iter().sum::<f64>() / rows.len() as f64;
            assert!((own - mean).abs() <= 1e-12, "{assignment}: {own} for {mean}");
            assert!((rates.mean() - mean).abs() <= 1e-12);
            match assignment {
                "matched" => assert!(rates.iter().all(|(_, p)| p == values(&rates)[0])),
                _ => assert_eq!(sorted(&rates), sorted(&schedule), "{assignment}"),
            }
        }
        assert_eq!(Assignment::Guided.of(&schedule), Some(schedule));
    }
}

/// Oracle: the ranks in the file: the site of rank k has the rate of rank S - 1 - k, equal rates or not, and reversing twice
/// gives the schedule back. Catches an exchange by place in the model or in the file, and `p_lower + p_upper - p`, which is
/// the same for a line alone.
#[test]
fn reversed_exchanges_the_rates_by_rank() {
    for rows in schedules() {
        let (schedule, last) = (read(&rows), rows.len() - 1);
        let reversed = Assignment::Reversed.of(&schedule).unwrap();
        for (row, p) in rows.iter().zip(values(&reversed)) {
            let wanted = rows.iter().find(|other| other.rank == row.rank.map(|rank| last - rank)).unwrap().p;
            assert_eq!(p, wanted, "{}", row.site);
        }
        assert_ne!(values(&reversed), values(&schedule));
        assert_eq!(Assignment::Reversed.of(&reversed), Some(schedule));
    }
}

/// A one-layer `RATES.csv` with these ranks and rates.
fn one_layer(folder: &Path, ranks: &str, p: [f64; 4]) -> PathBuf {
    let path = folder.join("RATES.csv");
    let ranks: Vec<&str> = ranks.split(' ').collect();
    let line = |(i, site): (usize, Place)| match ranks.get(i) {
        Some(rank) if ranks.len() == 4 => format!("{site},{rank},{}\n", p[i]),
        _ => format!("{site},{}\n", p[i]),
    };
    let header = if ranks.len() == 4 { "site,rank,p" } else { "site,p" };
    let lines: String = bert::sites(1).into_iter().enumerate().map(line).collect();
    std::fs::write(&path, format!("{header}\n{lines}")).unwrap();
    path
}

/// Oracle: on paper. Without ranks the order of the rates stands for them, ties in model order; ranks that are none are an
/// error for the arm that goes by them, which names file, column and remedy, and for no other.
#[test]
fn reversed_needs_ranks_or_goes_by_the_rates() -> Outcome {
    let folder = tempfile::tempdir()?;
    let p = [0.0, 0.3, 0.1, 0.1];
    // Falling: the 2nd site, then the 3rd and the 4th, then the 1st.
    let path = one_layer(folder.path(), "", p);
    let reversed = Arm::rates(Assignment::Reversed, &path, &bert::sites(1))?;
    assert_eq!(values(&reversed), [0.3, 0.0, 0.1, 0.1]);
    assert_eq!(reversed.reversed().map(|rates| values(&rates)), Some(p.to_vec()));
    // Ranks before rates.
    let path = one_layer(folder.path(), "1 0 2 3", p);
    assert_eq!(values(&Arm::rates(Assignment::Reversed, &path, &bert::sites(1))?), [0.1, 0.1, 0.0, 0.3]);
    for ranks in ["0 0 0 0", "1 2 3 4", "0 1 2 x"] {
        let path = one_layer(folder.path(), ranks, p);
        let message =
            Arm::rates(Assignment::Reversed, &path, &bert::sites(1)).err().ok_or(ranks)?.to_string();
        let says = ["RATES.csv", "`rank`", "from 0 to 3, each once", "fix: "];
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
        for assignment in [Assignment::Guided, Assignment::Matched, Assignment::Shuffled(0)] {
            assert_eq!(Arm::rates(assignment, &path, &bert::sites(1))?.iter().count(), 4, "{ranks}");
        }
    }
    Ok(())
}

/// Oracle: the order of the sites as docs/definitions.md section 3 lists it, most dropout first, written down for two layers.
/// Catches embeddings on the wrong side, types within layers, and rates that follow the ranking of the schedule.
#[test]
fn rules_without_data_go_by_the_place_alone() {
    let score = |(i, site): (usize, Place)| (site.to_string(), ((i * 5 + 2) % 7) as f64);
    let ranking = Ranking::new(bert::sites(2).into_iter().enumerate().map(score));
    let schedule = read(&guided(&ranking, &[None; 7], Shape::Linear, 0.0, 0.6));
    for (assignment, order) in [
        (
            Assignment::ByDepth,
            "embeddings layer.0.attention_probs layer.0.attention_output layer.0.ffn_output layer.1.attention_probs \
             layer.1.attention_output layer.1.ffn_output",
        ),
        (
            Assignment::ByType,
            "layer.0.attention_probs layer.1.attention_probs layer.0.attention_output layer.1.attention_output \
             layer.0.ffn_output layer.1.ffn_output embeddings",
        ),
    ] {
        for schedule in [schedule.clone(), schedule.reversed().unwrap()] {
            let rates = assignment.of(&schedule).unwrap();
            let p: Vec<f64> = order.split(' ').map(|site| rates.get(site.parse().unwrap())).collect();
            let wanted: Vec<f64> = (0..7).map(|k| 0.6 - 0.1 * k as f64).collect();
            assert!(
                p.iter().zip(&wanted).all(|(p, wanted)| (p - wanted).abs() < 1e-12),
                "{assignment}: {p:?}"
            );
        }
    }
}

/// Oracle: `uniform:0`, which is no dropout but the head's by its definition. Without the head's the trained model is another.
/// Catches an arm `none` that switches two things off.
#[test]
fn no_dropout_keeps_the_heads() -> Outcome {
    let folder = tempfile::tempdir()?;
    let train = format!(
        "train --checkpoint {} --table {} --columns sentence,label --epochs 1 --fraction 0.2",
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    let mut trained = Vec::new();
    for arm in ["none", "uniform:0", "none-at-all"] {
        fisherscape(&format!("{train} --dropout {arm} --out {}", arm.replace(':', "-")))
            .current_dir(folder.path())
            .assert()
            .success();
        trained.push(std::fs::read(folder.path().join(arm.replace(':', "-")).join("model.safetensors"))?);
    }
    assert!(trained[0] == trained[1] && trained[0] != trained[2]);
    Ok(())
}

/// Oracle: the definitions. An untrained model's Fisher information does not depend on the weights of the checkpoint, that of
/// random labels does, and depends on the seed alone otherwise; both differ from the data's own. Catches a head or a norm
/// that is not drawn anew, and labels that stay.
#[test]
fn controls_take_away_what_was_learned_or_what_labels_mean() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let model = fixture("tiny/model").display().to_string();
    let table = fixture("tiny/sentiment.tsv").display().to_string();
    let run = |line: &str| {
        fisherscape(line).current_dir(folder.path()).assert().success();
    };
    run(&format!(
        "freeze --checkpoint {model} --table {table} --columns sentence,label --examples 12 --out set.safetensors"
    ));
    run(&format!(
        "train --checkpoint {model} --table {table} --columns sentence,label --epochs 1 --lr 1e-2 --dropout none --out trained"
    ));
    let fisher = |checkpoint: &str, more: &str| -> Outcome<String> {
        run(&format!("fisher --checkpoint {checkpoint} --set set.safetensors {more} --out F.safetensors"));
        Ok(std::fs::read_to_string(at("F.csv"))?)
    };
    let untrained = fisher(&model, "--control untrained")?;
    assert_eq!(untrained, fisher("trained", "--control untrained")?);
    assert_ne!(untrained, fisher(&model, "--control untrained --seed 1")?);
    let random = fisher("trained", "--control random-label")?;
    assert_eq!(random, fisher("trained", "--control random-label")?);
    let own = fisher("trained", "")?;
    assert!(own != untrained && own != random && random != fisher(&model, "--control random-label")?);
    Ok(())
}

/// Oracle: chance. Each of 400 shuffles is another order; over them every site has the mean rate, within 5 standard errors of
/// the spread of the published rates; and a shuffle knows nothing of the ranking it is a control for. Catches a shuffle of
/// pairs of neighbours, one that leaves a site in place, a permutation of the guided rates.
#[test]
fn shuffles_differ_by_number_and_put_every_rate_anywhere() {
    let schedule = read(&paper_bert_base());
    let shuffle = |schedule: &Rates, k| values(&Assignment::Shuffled(k).of(schedule).unwrap());
    let shuffles: Vec<Vec<f64>> = (0..400).map(|k| shuffle(&schedule, k)).collect();
    assert!((0..400).all(|i| (0..i).all(|j| shuffles[i] != shuffles[j])));
    let variance = sorted(&schedule).iter().map(|p| (p - 0.0495).powi(2)).sum::<f64>() / 37.0;
    for site in 0..37 {
        let mean = shuffles.iter().map(|p| p[site]).sum::<f64>() / 400.0;
        assert!((mean - 0.0495).abs() <= 5.0 * (variance / 400.0).sqrt(), "site {site}: {mean}");
    }
    let reversed = schedule.reversed().unwrap();
    assert_eq!(shuffle(&reversed, 3), shuffles[3]);
}

/// Property: an arm reads as it is written, and says what can be written where it cannot be read. Catches a number taken for a
/// path, a colon in a path for the end of a number.
#[test]
fn arms_read_as_they_are_written() {
    let scheduled = |assignment, path: &str| Arm::Scheduled(assignment, path.into());
    for (text, arm) in [
        ("none", Arm::None),
        ("none-at-all", Arm::NoneAtAll),
        ("uniform:0.1", Arm::Uniform(0.1)),
        ("gaussian:0.1", Arm::Gaussian(0.1)),
        ("gaussian-paper:0.1", Arm::GaussianPaper(0.1)),
        ("guided:a/r.csv", scheduled(Assignment::Guided, "a/r.csv")),
        ("guided:2:r.csv", scheduled(Assignment::Guided, "2:r.csv")),
        ("matched:r.csv", scheduled(Assignment::Matched, "r.csv")),
        ("reversed:C:r.csv", scheduled(Assignment::Reversed, "C:r.csv")),
        ("shuffled:r.csv", scheduled(Assignment::Shuffled(0), "r.csv")),
        ("shuffled:12:r.csv", scheduled(Assignment::Shuffled(12), "r.csv")),
        ("shuffled:C:r.csv", scheduled(Assignment::Shuffled(0), "C:r.csv")),
        ("shuffled:3:C:r.csv", scheduled(Assignment::Shuffled(3), "C:r.csv")),
        ("by-depth:r.csv", scheduled(Assignment::ByDepth, "r.csv")),
        ("by-type:r.csv", scheduled(Assignment::ByType, "r.csv")),
    ] {
        assert_eq!(text.parse(), Ok(arm.clone()), "{text}");
        assert_eq!(arm.to_string(), text);
    }
    assert_eq!("shuffled:0:r.csv".parse(), Ok(scheduled(Assignment::Shuffled(0), "r.csv")));
    for text in [
        "",
        "none:0.1",
        "guided",
        "guided:",
        "matched:",
        "shuffled",
        "shuffled:",
        "shuffled:2",
        "shuffled:2:",
        "gaussian-paper:1",
        "gaussian-paper:-0.1",
        "gaussian-paper:NaN",
        "sorted:r.csv",
    ] {
        let message = text.parse::<Arm>().err().unwrap_or_else(|| panic!("{text:?} was read"));
        assert!(
            message.contains("shuffled:K:RATES.csv") && message.contains("gaussian-paper:P"),
            "{message}"
        );
    }
}

/// Oracle: the definition. At another training seed an arm has the same rates, shuffles too, and other noise; every arm keeps
/// the head's dropout of the configuration, but for the paper's Gaussian one, which puts its own in its place.
#[test]
fn arms_differ_by_seed_in_their_noise_alone() -> Outcome {
    let config = Checkpoint::open(&fixture("training/model"))?.config;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("RATES.csv");
    let score = |site: Place| (site.to_string(), site.to_string().len() as f64);
    let ranking = Ranking::new(config.sites().into_iter().map(score));
    files::write_csv(&path, &guided(&ranking, &[None; 7], Shape::Linear, 0.0, 0.1))?;
    let of = |arm: &str, seed| -> Outcome<Dropout> {
        let arm: Arm = arm.replace("RATES", &path.display().to_string()).parse()?;
        Ok(arm.dropout(&config.sites(), config.head_dropout, seed)?.ok_or("no dropout")?)
    };
    let (a, b) = (of("shuffled:1:RATES", 1)?, of("shuffled:1:RATES", 2)?);
    assert_eq!(a.rates, b.rates);
    assert_ne!((a.seed, of("shuffled:2:RATES", 1)?.rates), (b.seed, b.rates));
    for arm in
        ["uniform:0.3", "gaussian:0.3", "guided:RATES", "matched:RATES", "reversed:RATES", "shuffled:RATES"]
    {
        let dropout = of(arm, 1)?;
        assert!(dropout.head == config.head_dropout && !dropout.in_evaluation(), "{arm}");
    }
    let paper = of("gaussian-paper:0.3", 1)?;
    assert_eq!((paper.kind, paper.head), (Kind::PaperGaussian, 0.3));
    assert_ne!(paper.head, config.head_dropout);
    assert!(paper.in_evaluation() && paper.rates == Rates::uniform(&config.sites(), 0.3));
    Ok(())
}

/// Oracle: another run. The noise of an evaluation depends on neither the number of threads nor the time; the metrics say that
/// it was on. Masked-LM training shares the arm.
#[test]
fn a_noisy_evaluation_gives_the_same_bytes_at_one_and_two_threads() -> Outcome {
    let folder = tempfile::tempdir()?;
    let model = fixture("tiny/model").display().to_string();
    let table = fixture("tiny/sentiment.tsv").display().to_string();
    let train = format!("train --table {table} --columns sentence,label --epochs 1 --fraction 0.1");
    let pretrain = format!("pretrain --text {table} --min-words 3 --steps 2 --held-out 0.05");
    for (name, command) in [("train", train), ("pretrain", pretrain)] {
        let mut found = Vec::new();
        for threads in [1, 2] {
            let out = format!("{name}{threads}");
            let line =
                format!("--threads {threads} {command} --checkpoint {model} --dropout gaussian-paper:0.2");
            fisherscape(&format!("{line} --out {out}")).current_dir(folder.path()).assert().success();
            let read = |file: &str| std::fs::read(folder.path().join(&out).join(file));
            found.push((read("metrics.csv")?, read("history.csv")?, read("model.safetensors")?));
            let provenance = String::from_utf8(read("provenance.toml")?)?;
            assert!(provenance.contains("with the noise on"), "{provenance}");
        }
        assert!(found[0] == found[1], "{name}");
        let metrics = String::from_utf8(found.remove(0).0)?;
        let (header, rows) = metrics.split_once('\n').ok_or("no rows")?;
        assert!(header.ends_with(",noise") && rows.lines().all(|row| row.ends_with(",on")), "{metrics}");
    }
    Ok(())
}

/// Oracle: the run with its models: the same scores without them. Where the last evaluation was the best, the two models are one
/// file on the disk.
#[test]
fn scores_alone_are_those_of_the_run_with_its_models() -> Outcome {
    let folder = tempfile::tempdir()?;
    let train = format!(
        "train --checkpoint {} --table {} --columns sentence,label --dropout uniform:0.1 --epochs 1 --fraction 0.3",
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    for (out, more) in [("models", ""), ("scores", "--scores-only")] {
        fisherscape(&format!("{train} --out {out} {more}")).current_dir(folder.path()).assert().success();
    }
    let at = |path: &str| folder.path().join(path);
    for name in ["metrics.csv", "history.csv", "rates.csv"] {
        assert_eq!(
            std::fs::read(at("models").join(name))?,
            std::fs::read(at("scores").join(name))?,
            "{name}"
        );
    }
    let large = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|e| e == "safetensors");
    assert!(!files::list(&at("scores"))?.iter().any(large));
    // One epoch has one evaluation.
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let [last, best] = ["models/model.safetensors", "models/best/model.safetensors"]
            .map(|path| std::fs::metadata(at(path)).map(|file| file.ino()));
        assert_eq!(last?, best?);
    }
    Ok(())
}
