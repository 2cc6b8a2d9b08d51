//! `--json` of every command, and colours.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{Outcome, copy_folder, fisherscape, fixture, json};

/// Commands with their answers: the tables in them by key, with the file that has the same rows, and further keys.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const SHARP: &str = "sharpness --checkpoint a --set set.safetensors --steps 3 --probes 2 --directions 2 --signs 2 --ascent 2 \
                     --eigenvalues 2";

const CASES: &[Case] = &[
    (
        "freeze --checkpoint tiny --table TABLE --columns sentence,label --examples 30 --out frozen.safetensors",
        &[],
        &["examples", "targets", "without_target", "longest", "labels", "out"],
    ),
    (
        "loss --checkpoint a --set set.safetensors",
        &[],
        &["loss", "loss_se", "metric", "metrics", "perplexity"],
    ),
    ("fisher --checkpoint a --set set.safetensors --per-example --out Fa.safetensors", &[], &["estimates"]),
    ("fisher --checkpoint b --set set.safetensors --per-example --out Fb.safetensors", &[], &["estimates"]),
    (
        "fisher --checkpoint a --set set.safetensors --slice 1/2 --out S.safetensors",
        &[],
        &["out", "blocks", "of"],
    ),
    ("schedule --fisher Fa.safetensors --out rates.csv", &[("rows", "rates.csv")], &["mean_p"]),
    ("pretrain --checkpoint tiny --steps 0 --out mlm", &[], &["out", "parameters"]),
    (
        "train --checkpoint tiny --table TABLE --columns sentence,label --dropout none --epochs 1 --fraction 0.2 --out trained",
        &[("rows", "trained/metrics.csv")],
        &["parameters", "trained_on"],
    ),
    (
        "directions --checkpoint a --set set.safetensors --to b --out D.safetensors",
        &[("marks", "D.marks.csv")],
        &["lengths"],
    ),
    (
        "surface --checkpoint a --set set.safetensors --resolution 3 --per-example --out surface.csv",
        &[],
        &["centre", "lowest", "highest", "points", "finite", "mask", "out"],
    ),
    (
        "surface --checkpoint a --set set.safetensors --resolution 3 --slice 1/2 --out s.csv",
        &[],
        &["points", "of"],
    ),
    ("SHARP --out sharp.csv", &[("rows", "sharp.csv")], &["eigenvalues", "trace", "out"]),
    (
        "SHARP --by block --out blocks.csv",
        &[("rows", "blocks.csv"), ("layers", "blocks.layers.csv")],
        &["eigenvalues"],
    ),
    (
        "sharpness --checkpoint a --set set.safetensors --critical --out critical.csv",
        &[("rows", "critical.csv")],
        &["rate", "rate_se"],
    ),
    ("compare --first sharp.csv --second sharp.csv --out flatter.csv", &[("rows", "flatter.csv")], &["out"]),
    ("topology surface.csv --out topology", &[("minima", "topology/minima.csv")], &["smad", "shown"]),
    (
        "stability --fisher Fa.safetensors --fractions 0.5 --repeats 2 --resamples 20 --out stability",
        &[
            ("summary", "stability/summary.csv"),
            ("trust", "stability/trust.csv"),
            ("types", "stability/types.csv"),
            ("needed", "stability/needed.csv"),
            ("tails", "stability/tails.csv"),
        ],
        &["examples", "draws"],
    ),
    (
        "audit --fisher Fa.safetensors --resamples 20 --out audit",
        &[
            ("variants", "audit/variants.csv"),
            ("drivers", "audit/drivers.csv"),
            ("concentration", "audit/concentration.csv"),
        ],
        &[],
    ),
    (
        "agree Fa.safetensors Fb.safetensors --resamples 20 --out agree",
        &[("pairs", "agree/pairs.csv"), ("scores", "agree/scores.csv")],
        &[],
    ),
    (
        "examples Fa.safetensors --resamples 20 --out shares",
        &[],
        &["examples", "half", "all", "sites", "most"],
    ),
    (
        "damage --checkpoint a --set set.safetensors --fisher Fa.safetensors --draws 2 --probes 2 --resamples 20 --fractions 0.1 \
         --out damage",
        &[
            ("correlations", "damage/correlations.csv"),
            ("perturbed", "damage/perturbed.csv"),
            ("layers", "damage/layers.csv"),
        ],
        &[],
    ),
    (
        "prune --checkpoint a --set set.safetensors --fisher Fa.safetensors --shares 0.5 --draws 2 --out pruned",
        &[("rows", "pruned/prune.csv")],
        &[],
    ),
    ("merge a b --plain --set set.safetensors --out merged", &[("rows", "merged/merge.csv")], &[]),
    (
        "connect a b --set set.safetensors --held-out set.safetensors --epochs 1 --points 3 --out connected",
        &[("rows", "connected/connect.csv")],
        &[],
    ),
    ("render surface.csv --out figure.svg", &[], &["out"]),
    ("schema", &[], &["properties", "required"]),
    ("list --show quickstart", &[], &["name", "text"]),
    ("run mine.toml", &[], &["verdict", "answers", "expectation", "next", "report"]),
    ("run quickstart --plan", &[], &["plan", "elements"]),
    ("status quickstart", &[], &["run", "waves", "queue", "page"]),
];

/// Those that answer with a list.
const LISTS: [&str; 2] = ["check mine.toml", "list"];
/// Those without an answer.
const SILENT: [&str; 3] = ["task quickstart 1 0", "completions bash", "man pages"];

/// The rows of a table as they stand in the file.
fn rows(path: &Path) -> Outcome<Vec<BTreeMap<String, String>>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<Result<_, _>>()?)
}

/// Whether a cell of a file says what a value does: nothing where that is null.
fn same(cell: &str, value: &Value) -> bool {
    match value {
        Value::Null => cell.is_empty() || cell == "NaN" || cell == "inf",
        Value::Number(number) => cell.parse::<f64>().is_ok_and(|cell| Some(cell) == number.as_f64()),
        Value::String(text) => text == cell,
        other => *other == (cell == "true"),
    }
}

/// Oracle: the tables that the same command writes, cell by cell, and the list of commands in the help. Standard output is one line of JSON
/// and nothing else; without `--json` it is none. Commands that answer nothing refuse it.
#[test]
fn every_answer_is_there_as_json() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        copy_folder(&fixture("parity/cls/model"), &at(name));
    }
    copy_folder(&fixture("tiny/model"), &at("tiny"));
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.safetensors"))?;
    std::fs::copy(fixture("tiny/sentiment.tsv"), at("table.tsv"))?;
    let (mut weights, metadata) = fisherscape::params::read_safetensors(&at("a/model.safetensors"))?;
    for tensor in weights.values_mut() {
        *tensor = (tensor.clone() * 0.9)?;
    }
    fisherscape::params::write_params(&at("b/model.safetensors"), &weights, &metadata.into_iter().collect())?;
    std::fs::write(
        at("mine.toml"),
        "expectation = 'Little.'\nmodel.checkpoint = 'tiny'\ndata.table = 'table.tsv'\ndata.columns = 'sentence,label'\n\
         train.arms = ['uniform:0.1', 'none']\ntrain.fraction = 0.2\ntrain.epochs = 1\n",
    )?;
    let run = |words: &str| -> Outcome<String> {
        let words = words.replace("SHARP", SHARP).replace("TABLE", "table.tsv");
        let output = fisherscape(&words).current_dir(folder.path()).assert().success().get_output().clone();
        Ok(String::from_utf8(output.stdout)?)
    };
    for (words, tables, keys) in CASES {
        let printed = run(&format!("{words} --json"))?;
        assert_eq!(printed.lines().count(), 1, "{words}: {printed}");
        let answer: Value = serde_json::from_str(&printed)?;
        for key in *keys {
            assert!(answer.get(key).is_some(), "{words}: {key} is not in {printed}");
        }
        for (key, file) in *tables {
            let (found, wanted) = (answer[key].as_array().ok_or(*key)?, rows(&at(file))?);
            assert_eq!(found.len(), wanted.len(), "{words}: {key}");
            for (found, wanted) in found.iter().zip(&wanted) {
                for (column, cell) in wanted {
                    assert!(
                        same(cell, &found[column]),
                        "{words}: {key}, {column}: {cell}, {}",
                        found[column]
                    );
                }
            }
        }
    }
    // The fields of `fisher` are those of the file's metadata.
    let printed = run(
        "fisher --checkpoint a --set set.safetensors --estimator empirical,exact --json --out E.safetensors",
    )?;
    let answer: Value = serde_json::from_str(&printed)?;
    let estimators: Vec<&Value> =
        answer["estimates"].as_array().ok_or("none")?.iter().map(|own| &own["estimator"]).collect();
    assert_eq!(estimators, ["empirical", "exact"]);
    let centre = &json(&at("surface.json"))["centre"]["loss"];
    let answer: Value = serde_json::from_str(&run(
        "surface --json --checkpoint a --set set.safetensors --resolution 3 --out surface.csv",
    )?)?;
    assert_eq!(&answer["centre"]["loss"], centre);
    let losses: Vec<f64> =
        rows(&at("surface.csv"))?.iter().map(|row| row["loss"].parse()).collect::<Result<_, _>>()?;
    assert_eq!(answer["lowest"].as_f64(), losses.iter().copied().reduce(f64::min));
    assert_eq!(answer["highest"].as_f64(), losses.iter().copied().reduce(f64::max));
    for words in LISTS {
        assert!(
            serde_json::from_str::<Vec<Value>>(&run(&format!("{words} --json"))?)?
                .iter()
                .all(Value::is_object)
        );
        assert!(serde_json::from_str::<Value>(&run(words)?).is_err(), "{words}");
    }
    for words in SILENT {
        let output = fisherscape(&format!("{words} --json")).current_dir(folder.path()).assert().code(1);
        assert!(String::from_utf8_lossy(&output.get_output().stderr).contains("--json"), "{words}");
    }
    // None is left out of this test.
    let help = run("--help")?;
    let listed =
        help.split_once("Commands:\n").and_then(|(_, rest)| rest.split_once("\n\n")).ok_or("no commands")?.0;
    let tried = || CASES.iter().map(|case| case.0).chain(LISTS).chain(SILENT);
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names.iter().filter(|name| !name.is_empty() && **name != "help") {
        let is = |words: &str| words.replace("SHARP", SHARP).split(' ').next() == Some(*name);
        assert!(tried().any(is), "{name} is not in this test");
    }
    Ok(())
}

/// Oracle: <https://no-color.org>: nothing that changes the colour where NO_COLOR is set, even where a terminal or CLICOLOR_FORCE asks for
/// colour; without it CLICOLOR_FORCE shows that there would be one.
#[test]
fn colours_are_left_away_where_they_are_not_wanted() -> Outcome {
    let escapes = |words: &str, no_color: bool| -> Outcome<usize> {
        let mut command = fisherscape(words);
        command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = command.output()?;
        Ok([output.stdout, output.stderr].concat().iter().filter(|byte| **byte == 0x1b).count())
    };
    for words in [
        "--help",
        "surface --help",
        "loss",
        "loss --checkpoint nowhere --set nothing",
        "list",
        "check quickstart",
    ] {
        assert_eq!(escapes(words, true)?, 0, "{words}");
    }
    assert!(escapes("--help", false)? > 0);
    Ok(())
}
