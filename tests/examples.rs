//! `examples`: the command against the sums and losses that it reads.

use std::collections::BTreeMap;

use fisherscape::params::read_numbers;

use crate::support::{Outcome, fisherscape};

type Row = BTreeMap<String, String>;

fn read(path: &std::path::Path) -> Outcome<Vec<Row>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<Result<_, _>>()?)
}

fn number(row: &Row, key: &str) -> f64 {
    row[key].parse().unwrap_or_else(|_| panic!("{key}: {row:?}"))
}

/// Oracle: the file of sums, added up here; `loss --json` with the seed of the head; the rule for labels, applied to the columns; the file
/// of sentences, whose words the texts have in the same order. Catches shares by tensor, rows that lose their example, a head of another
/// seed, and labels that are looked at for one of the two reasons alone.
#[test]
fn the_table_is_that_of_the_sums_and_losses() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).assert().success();
    run("freeze --checkpoint embedded --task supersense --split dev --examples 30 --out set.safetensors");
    run("fisher --checkpoint embedded --set set.safetensors --seed 5 --per-example --out F.safetensors");
    let all = "examples F.examples.safetensors --set set.safetensors --checkpoint embedded --resamples 50 --large 1 \
               --unlikely 0.05 --out told";
    run(all);
    let rows = read(&at("told/examples.csv"))?;
    let (numbers, _) = read_numbers(&at("F.examples.safetensors"))?;
    let (shape, sums) = &numbers["sums"];
    let own: Vec<f64> = sums.chunks(shape[1]).map(|row| row.iter().sum()).collect();
    let total: f64 = own.iter().sum();
    assert_eq!((rows.len(), own.len()), (30, 30));
    for (place, row) in rows.iter().enumerate() {
        let example: usize = row["example"].parse()?;
        let n = numbers["examples"].1.iter().position(|used| *used == example as f64).unwrap();
        assert!((number(row, "share") - own[n] / total).abs() < 1e-12, "{row:?}");
        assert!(row["rank"] == (place + 1).to_string() && row["targets"] == "1");
        let probability = number(row, "probability");
        assert!((probability.ln() + number(row, "loss")).abs() < 1e-9);
        let look = number(row, "share") > 1.0 / 30.0 && probability < 0.05;
        assert_eq!(row["look"], look.to_string());
        assert!(row["label"].contains('.') && row["text"].split_whitespace().count() > 2, "{row:?}");
    }
    assert!(rows.windows(2).all(|pair| number(&pair[0], "share") >= number(&pair[1], "share")));
    assert!((number(&rows[29], "share_so_far") - 1.0).abs() < 1e-12);
    let seen: Vec<&str> = rows.iter().map(|row| row["look"].as_str()).collect();
    assert!(seen.contains(&"true") && seen.contains(&"false"), "{seen:?}");
    let output = run("loss --checkpoint embedded --set set.safetensors --seed 5 --json");
    let said: serde_json::Value = serde_json::from_slice(&output.get_output().stdout)?;
    let mean = rows.iter().map(|row| number(row, "loss")).sum::<f64>() / 30.0;
    assert!((mean - said["loss"].as_f64().unwrap()).abs() < 1e-9, "{mean} {said}");
    // The same without a set, and as JSON; sites have their own rows, and together with what feeds none all of F.
    let output = run("examples F.safetensors --resamples 50 --json --show 2 --out bare");
    let said: serde_json::Value = serde_json::from_slice(&output.get_output().stdout)?;
    let bare = read(&at("bare/examples.csv"))?;
    let same = |a: &Row, b: &Row| a["example"] == b["example"] && a["share"] == b["share"];
    assert!(rows.iter().zip(&bare).all(|(a, b)| same(a, b)) && bare[0]["text"].is_empty());
    assert_eq!(std::fs::read(at("told/shares.csv"))?, std::fs::read(at("bare/shares.csv"))?);
    let shares = read(&at("bare/shares.csv"))?;
    assert!(shares[0]["group"] == "all" && shares.len() > 10);
    assert_eq!(said["all"]["gini"].as_f64(), Some(number(&shares[0], "gini")));
    assert_eq!(said["most"].as_array().map(Vec::len), Some(2));
    assert!(said["labels_worth_a_look"].is_null());
    fisherscape("render bare/examples.csv --out e.svg").current_dir(folder.path()).assert().success();
    // Another set, and no sums at all.
    run("freeze --checkpoint embedded --task supersense --split dev --examples 20 --out other.safetensors");
    run("fisher --checkpoint embedded --set other.safetensors --out none.safetensors");
    for (arguments, words) in [
        (
            "examples F.examples.safetensors --set other.safetensors --checkpoint embedded --out x",
            "the one that the sums are of",
        ),
        ("examples none.safetensors --out x", "none.examples.safetensors"),
        ("examples F.examples.safetensors --unlikely 2 --out x", "--unlikely"),
    ] {
        let output = fisherscape(arguments).current_dir(folder.path()).assert().code(1);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(words), "{text}");
    }
    assert!(!at("x").exists());
    Ok(())
}
