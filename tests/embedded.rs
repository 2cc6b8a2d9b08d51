//! The checkpoint and the task in the binary.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use fisherscape::data::glue::{self, Split, Task};
use fisherscape::data::masking::mask;
use fisherscape::data::row::RowLabel;
use fisherscape::data::text;
use fisherscape::embedded;
use fisherscape::evaluate::set_loss;
use fisherscape::model::Head;
use fisherscape::model::checkpoint::{Checkpoint, MissingHead};
use fisherscape::params;

use crate::support::{Outcome, fisherscape, tensors, values};

const FOLDER: &str = "embedded";

fn size(name: &str) -> usize {
    embedded::file(&Path::new(FOLDER).join(name)).unwrap().len()
}

/// Oracle: the hash that the recipe records, the parameters counted by hand, and the limits of 6 and 1.5 MB.
#[test]
fn the_embedded_checkpoint_is_the_recorded_one() -> Outcome {
    let checkpoint = Checkpoint::open(Path::new(FOLDER))?;
    let recipe = include_str!("../analyses/embedded/README.md");
    assert!(recipe.contains(&checkpoint.hash), "{}", checkpoint.hash);
    let model = checkpoint.model(Head::MaskedLm, MissingHead::Refuse)?;
    let (h, v, i) = (128, 8000, 512);
    let layer = 4 * (h * h + h) + (h * i + i) + (i * h + h) + 4 * h;
    let head = v + h * h + h + 2 * h;
    assert_eq!(params::count(&model.theta), (v + 128 + 2) * h + 2 * h + 6 * layer + head);
    let model = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"];
    assert!(model.map(size).iter().sum::<usize>() <= 6_000_000);
    let data = ["train.tsv", "dev.tsv", "test.tsv", "held-out.txt"];
    assert!(data.map(size).iter().sum::<usize>() <= 1_500_000);
    Ok(())
}

/// Oracle: the entropy of the masked tokens, counted here; a model that reads no context cannot be below it.
#[test]
fn held_out_loss_is_a_nat_below_the_unigram_entropy() -> Outcome {
    let checkpoint = Checkpoint::open(Path::new(FOLDER))?;
    let tokenizer = checkpoint.tokenizer()?;
    let rows = text::read(&[Path::new(FOLDER).join("held-out.txt")], None, 3)?;
    let mut examples = tokenizer.examples(&rows.rows, 64)?;
    mask(&mut examples, &tokenizer.special, checkpoint.config.vocab_size, 0);
    examples.retain(|e| e.targets() > 0);
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for example in &examples {
        example.target.pairs().for_each(|(_, token)| *counts.entry(token).or_default() += 1.0);
    }
    let total: f64 = counts.values().sum();
    let entropy = counts.values().map(|n| n / total * (total / n).ln()).sum::<f64>();
    let model = checkpoint.model(Head::MaskedLm, MissingHead::Refuse)?;
    let mut by_length: Vec<usize> = (0..examples.len()).collect();
    by_length.sort_by_key(|n| examples[*n].len());
    let loss = set_loss(model.network().unwrap(), &model.theta, &examples, &by_length)?.loss;
    assert!(loss < entropy - 1.0, "loss {loss}, entropy {entropy}");
    Ok(())
}

/// Oracle: the definition of a split. Every text is in one part only, and every class can be learned.
#[test]
fn the_parts_of_the_task_share_no_text() -> Outcome {
    let mut seen = HashSet::new();
    let mut total = 0;
    for (split, n) in [(Split::Train, 10_000), (Split::Dev, 1000), (Split::Test, 2000)] {
        let rows = glue::read(Task::Supersense, Path::new(FOLDER), split)?;
        assert_eq!((rows.rows.len(), rows.skipped.len(), rows.classes.len()), (n, 0, 25));
        if split == Split::Train {
            let classes: HashSet<usize> = rows
                .rows
                .iter()
                .filter_map(|row| if let RowLabel::Class(c) = row.label { Some(c) } else { None })
                .collect();
            assert_eq!(classes.len(), 25);
        }
        seen.extend(rows.rows.into_iter().map(|row| row.text.to_lowercase()));
        total += n;
    }
    let held_out = text::read(&[Path::new(FOLDER).join("held-out.txt")], None, 1)?.rows;
    total += held_out.len();
    seen.extend(held_out.into_iter().map(|row| row.text.to_lowercase()));
    assert_eq!(seen.len(), total);
    Ok(())
}

/// Oracle: none of it is on the disk of an empty folder. What is saved there is a checkpoint as any other, has the same
/// values, and carries the licence; a folder of the same name on the disk is another.
#[test]
fn embedded_is_a_checkpoint_like_any_other() -> Outcome {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).assert();
    run("freeze --checkpoint embedded --task supersense --split test --examples 20 --out set.safetensors")
        .success();
    run("freeze --checkpoint embedded --text embedded/held-out.txt --examples 20 --out text.safetensors")
        .success();
    run("pretrain --checkpoint embedded --steps 0 --out saved").success();
    let said = |checkpoint: &str| {
        let loss = run(&format!("loss --checkpoint {checkpoint} --set text.safetensors --json")).success();
        String::from_utf8_lossy(&loss.get_output().stdout).into_owned()
    };
    assert_eq!(said("embedded"), said("saved"));
    let saved = tensors(&folder.path().join("saved/model.safetensors"));
    let model = Checkpoint::open(Path::new(FOLDER))?.model(Head::MaskedLm, MissingHead::Refuse)?;
    assert!(saved.keys().eq(model.theta.keys()));
    assert!(saved.iter().all(|(name, tensor)| values(tensor) == values(&model.theta[name])));
    assert!(folder.path().join("saved/vocab.txt").exists());
    let notice = std::fs::read_to_string(folder.path().join("saved/LICENSE-WORDNET"))?;
    assert!(notice.contains("WordNet 3.0 Copyright 2006 by Princeton University"));
    run("fisher --checkpoint embedded --set set.safetensors --out f.safetensors").success();
    run("stability --checkpoint embedded --text embedded/dev.tsv --fractions 0.5 --repeats 1 --out s")
        .success();
    run("surface --checkpoint embedded --set text.safetensors --coords=0 --out s.csv").success();
    run(
        "train --checkpoint embedded --task supersense --fraction 0.01 --epochs 1 --dropout none --out tuned",
    )
    .success();
    run("loss --checkpoint tuned --set set.safetensors --strict-head").success();
    let failed = run("pretrain --checkpoint saved --steps 0 --out embedded").failure();
    assert!(String::from_utf8_lossy(&failed.get_output().stderr).contains("model in the binary"));
    std::fs::create_dir(folder.path().join("embedded"))?;
    run("loss --checkpoint embedded --set text.safetensors").success();
    run("loss --checkpoint ./embedded --set text.safetensors").failure();
    let version = run("--version").success();
    assert!(String::from_utf8_lossy(&version.get_output().stdout).contains(embedded::NOTICE));
    Ok(())
}

/// GLUE's files are not in the binary: without a folder they are the hub's, and here there is no hub.
#[test]
fn only_the_embedded_task_needs_no_folder() {
    let assert =
        fisherscape("freeze --checkpoint embedded --task rte --out set.safetensors").assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("nyu-mll/glue") && said.contains("HF_HUB_OFFLINE"), "{said}");
    fisherscape("freeze --checkpoint embedded --task rte --data embedded --split test --out set.safetensors")
        .assert()
        .code(1);
}

/// Oracle: the same examples said as a fraction: 20 of the 10,000 definitions are 0.002 of them. Catches a number that is taken for
/// a fraction, or for all.
#[test]
fn a_training_size_may_be_a_number_of_examples() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (size, out) in [("0.002", "share"), ("20", "number")] {
        let line = format!(
            "train --checkpoint embedded --task supersense --split official --fraction {size} --epochs 1 --dropout none --out {out}"
        );
        fisherscape(&line).current_dir(folder.path()).assert().success();
    }
    let weights = |out: &str| std::fs::read(folder.path().join(out).join("model.safetensors"));
    assert!(weights("share")? == weights("number")?);
    for (size, says) in
        [("20000", "at most the 10000 examples"), ("2.5", "a whole number of examples above 1")]
    {
        let line = format!(
            "train --checkpoint embedded --task supersense --split official --fraction {size} --dropout none --out o"
        );
        let failed = fisherscape(&line).current_dir(folder.path()).assert().code(1);
        let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(error.contains(says), "{error}");
    }
    Ok(())
}

/// Oracle: reading. An analysis of five lines has a name, a page without empty headings, and an answer.
#[test]
fn an_analysis_needs_no_prose() -> Outcome {
    let folder = tempfile::tempdir()?;
    let text = "[model]\ncheckpoint = \"embedded\"\n[data]\ntask = \"supersense\"\n[fisher]\nexamples = 4\n";
    std::fs::write(folder.path().join("mine.toml"), text)?;
    fisherscape("run mine.toml").current_dir(folder.path()).assert().success();
    let page = std::fs::read_to_string(folder.path().join("mine/report.html"))?;
    assert!(page.contains("<p class=\"title\">mine</p>") && page.contains("<dl class=\"answers\""));
    for heading in ["id=\"expected\"", "href=\"#expected\"", "id=\"reading\"", "href=\"#reading\""] {
        assert!(!page.contains(heading), "{heading}");
    }
    Ok(())
}
