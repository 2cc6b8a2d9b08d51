//! Studies: cells of a grid, runs that fail, kills, and tables against numbers worked out once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fisherscape::analysis;

use crate::analysis::{results, same};
use crate::support::{Outcome, fisherscape, fixture};

/// A study of the small checkpoint: two shares of the data, a learning rate of its own for one of them.
fn small(folder: &Path) -> Outcome<PathBuf> {
    let path = folder.join("small.toml");
    let text = format!(
        r#"
title = "Small study"
question = "Does it differ?"
source = "A test."
expectation = "Little."
reading = "By machines."
[model]
checkpoint = "{}"
[data]
table = "{}"
columns = "sentence,label"
[fisher]
over = "task"
examples = 20
[schedule]
p_upper = 0.4
[train]
arms = ["matched", "guided", "uniform:0.3"]
seeds = 3
epochs = 2
fraction = 0.2
lr = 1e-3

[[grid]]
train.fraction = [0.1, 0.2]

[[grid]]
train.fraction = [0.2]
train.lr = [3e-3]
train.arms = [["matched", "guided"]]
train.seeds = [2]
"#,
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

const CELLS: [&str; 3] = ["0.1_1e-3", "0.2_1e-3", "0.2_3e-3"];

/// Runs the study; gives its exit code and what it said.
fn run(toml: &Path, out: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
    let output = command.arg("run").arg(toml).arg("--out").arg(out).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// The rows of a table, by column.
fn table(path: &Path) -> Outcome<Vec<BTreeMap<String, String>>> {
    let mut reader = csv::Reader::from_path(path)?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// The page, whose template writes slashes in its own way.
fn page(out: &Path) -> Outcome<String> {
    Ok(std::fs::read_to_string(out.join("report.html"))?.replace("&#x2f;", "/"))
}

/// A number of one digit as people write it.
fn short(value: f64) -> String {
    format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The accuracy of a run.
fn accuracy(run: &Path) -> Outcome<f64> {
    let rows = table(&run.join("metrics.csv"))?;
    let row = rows.iter().find(|row| row["metric"] == "accuracy").ok_or("no accuracy")?;
    Ok(row["value"].parse()?)
}

/// Oracle: by hand. A cell for each combination, named by what distinguishes it, with the keys of its grid and all else as the
/// analysis has it; arms and seeds are no condition.
#[test]
fn a_grid_is_all_combinations() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = small(folder.path())?;
    let load = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        analysis::load(&path.display().to_string(), &set)
    };
    let study = load(&[])?.study.ok_or("no study")?;
    assert_eq!(study.axes, ["train.fraction", "train.lr"]);
    let found: Vec<(&str, f64, f64, usize, usize)> = study
        .cells
        .iter()
        .map(|cell| {
            let train = cell.loaded.analysis.train.as_ref().unwrap();
            let name = cell.name.as_str();
            (name, train.options.fraction, train.options.lr, train.seeds, train.arms.len())
        })
        .collect();
    let wanted = [(CELLS[0], 0.1, 1e-3, 3, 3), (CELLS[1], 0.2, 1e-3, 3, 3), (CELLS[2], 0.2, 3e-3, 2, 2)];
    assert_eq!(found, wanted);
    // What a grid sets cannot be set beside it: it would be set over without a word.
    let message = load(&["train.lr=2e-3"]).err().ok_or("set over")?.to_string();
    assert!(message.contains("--set: train.lr=2e-3: the [[grid]] already sets this key"), "{message}");
    // Without the grid it is the analysis itself.
    assert!(load(&["grid="])?.study.is_none());
    let said =
        fisherscape(&format!("check {}", path.display())).assert().success().get_output().stdout.clone();
    let said = String::from_utf8(said)?;
    let (words, steps) = said.lines().next().and_then(|line| line.rsplit_once(", ")).ok_or("no line")?;
    assert!(words.ends_with("valid, 3 cells") && said.lines().skip(1).map(str::trim).eq(CELLS), "{said}");
    // The same for a program to read.
    let json =
        fisherscape(&format!("check {} --json", path.display())).assert().success().get_output().clone();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    assert!(json[0]["valid"] == true && json[0]["cells"] == serde_json::json!(CELLS), "{json}");
    assert_eq!(format!("{} steps", json[0]["steps"]), steps);

    let text = std::fs::read_to_string(&path)?;
    let inline = text.split("[[grid]]").next().unwrap_or_default().replacen(
        "[model]",
        "grid = [{ seed = [1] }]\n[model]",
        1,
    );
    std::fs::write(&path, inline)?;
    assert!(load(&[]).err().ok_or("inline")?.to_string().contains("tables of keys, [[grid]]"));
    for (from, to, says) in [
        (
            "train.fraction = [0.1, 0.2]",
            "train.fraction = 0.1",
            "`train.fraction` in [[grid]] must be a list of values",
        ),
        (
            "train.fraction = [0.1, 0.2]",
            "train.fraction = []",
            "`train.fraction` in [[grid]] must be a list of values",
        ),
        ("train.lr = [3e-3]\n", "", "[[grid]] gives the cell 0.2 twice"),
        ("[0.1, 0.2]", "[0.1, 2.5]", "cell 2.5_1e-3"),
        ("train.lr = [3e-3]", "train.lrr = [3e-3]", "cell 0.2_3e-3"),
        ("train.lr = [3e-3]", "title.x = [3e-3]", "`title.x` in [[grid]] is not a key inside a section"),
        (
            "[0.1, 0.2]",
            &format!("[{}]", (1..1100).map(|i| format!("0.{i:04}")).collect::<Vec<_>>().join(",")),
            "1000",
        ),
    ] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replace(from, to))?;
        let message = load(&[]).err().ok_or(to)?.to_string();
        assert!(message.contains("small.toml") && message.contains(says), "{to}: {message}");
        assert!(message.contains("fix: "), "{message}");
    }
    Ok(())
}

/// Oracle: mean, paired difference and Holm's correction worked out once more from every run's metrics.csv. Catches pairs of
/// unlike seeds, a correction cell by cell, and cells laid into the wrong column or row of the wide tables.
#[test]
fn tables_are_of_the_runs() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (small(folder.path())?, folder.path().join("out"));
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 cells, 22 training runs; about") && said.contains("22 of 22 runs"), "{said}");
    let read = |name: &str| table(&out.join("tables").join(name));
    let (study, scores, differences, runs) =
        (read("study.csv")?, read("scores.csv")?, read("differences.csv")?, read("runs.csv")?);
    assert_eq!((study.len(), runs.len()), (8, 22));
    let close = |text: &str, wanted: f64| (text.parse::<f64>().unwrap() - wanted).abs() < 1e-12;
    let (mut p, mut least_shown) = (Vec::new(), Vec::new());
    for row in &study {
        let cell = out.join("cells").join(format!("{}_{}", row["fraction"], row["lr"]));
        let seeds = if row["lr"] == "3e-3" { 2 } else { 3 };
        let of = |arm: &str| -> Vec<f64> {
            let arm = cell.join("train").join(arm.replace(' ', "_"));
            (0..seeds).map(|k| accuracy(&arm.join(format!("seed{k}"))).unwrap()).collect()
        };
        let (own, first) = (of(&row["arm"]), of("matched uniform"));
        let mean = own.iter().sum::<f64>() / seeds as f64;
        assert!(close(&row["score"], mean), "{row:?}");
        let same = |other: &&BTreeMap<String, String>| {
            ["fraction", "lr", "arm"].iter().all(|key| other[*key] == row[*key])
        };
        assert!(close(&scores.iter().find(same).ok_or("no score")?["accuracy"], mean));
        let each: Vec<f64> = runs.iter().filter(same).map(|run| run["score"].parse().unwrap()).collect();
        assert_eq!(each, own);
        if row["arm"] == "matched uniform" {
            assert!(row["difference"].is_empty() && differences.iter().find(same).is_none());
            continue;
        }
        let pairs: Vec<f64> = own.iter().zip(&first).map(|(a, b)| a - b).collect();
        let difference = pairs.iter().sum::<f64>() / seeds as f64;
        assert!(close(&row["difference"], difference), "{row:?}");
        assert!(close(&differences.iter().find(same).ok_or("no difference")?["accuracy"], difference));
        if row["p"].is_empty() {
            // Runs that all differ by the same say nothing of their spread.
            assert!(pairs.iter().all(|d| (d - difference).abs() < 1e-9), "{row:?}");
            continue;
        }
        p.push((row["p"].parse::<f64>()?, row["p_corrected"].parse::<f64>()?));
        least_shown.push(row["least_shown"].parse::<f64>()?);
        // A difference is as far from 0 as it must be to be shown, or not.
        let half = (row["difference_high"].parse::<f64>()? - row["difference_low"].parse::<f64>()?) / 2.0;
        assert!(least_shown.last() > Some(&half), "{row:?}");
    }
    // Five comparisons in three cells, but for those without a spread: the smallest p as many times, the next once less, never
    // falling, at most 1.
    assert!((1..=5).contains(&p.len()), "{}", p.len());
    let compared = p.len();
    p.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least: f64 = 0.0;
    for (k, (p, corrected)) in p.iter().enumerate() {
        least = least.max(((compared - k) as f64 * p).min(1.0));
        assert!((corrected - least).abs() < 1e-12, "{p}: {corrected}, expected {least}");
    }
    let page = page(&out)?;
    // What could have been shown, at a level of 5 % over all comparisons.
    let least = least_shown.iter().fold(f64::INFINITY, |a, b| a.min(*b));
    // It is said with one digit, rounded up.
    let step = 10f64.powf(least.log10().floor());
    let wanted = format!(
        "None below {} could have been shown in the most certain cell",
        short((least / step).ceil() * step)
    );
    assert!(said.contains(&wanted), "{wanted}: {said}");
    let number = if compared == 1 { "one comparison".into() } else { format!("{compared} comparisons") };
    assert!(said.contains(&format!("{number} with matched uniform in ")), "{said}");
    assert!(CELLS.iter().all(|cell| page.contains(&format!("cells/{cell}/report.html"))));
    for name in ["differences", "by_fraction", "by_lr"] {
        assert!(
            out.join(format!("figures/{name}.png")).exists() && page.contains(&format!("figures/{name}"))
        );
    }
    // Of what is done already no time is told, and no table cell by cell.
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(0), "{said}");
    let told =
        said.lines().filter(|line| line.contains("runs, about ") || line.contains("of 22 runs;")).count();
    assert!(said.contains("3 cells, 22 training runs, 22 of them done before\n") && told == 0, "{said}");
    Ok(())
}

/// Oracle: the cells run alone. Two cells that differ in the learning rate have one Fisher information and one schedule for each
/// seed, and the arm without dropout of two schedules is one run: the second cell takes them from the first, which was run alone before, with
/// the bytes that it would have written itself.
#[test]
fn cells_share_what_they_do_not_differ_by() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = small(folder.path())?;
    let text = std::fs::read_to_string(&path)?;
    let (base, _) = text.split_once("[[grid]]").ok_or("no grid")?;
    let base = base
        .replace("\"matched\", \"guided\", \"uniform:0.3\"", "\"none\", \"guided\"")
        .replace("seeds = 3", "seeds = 1");
    std::fs::write(&path, format!("{base}[[grid]]\nschedule.p_upper = [0.2, 0.4]\n"))?;
    let (out, alone) = (folder.path().join("out"), folder.path().join("alone"));
    // One cell first, and then all.
    let command = format!("run {} --out {} --cells", path.display(), out.display());
    fisherscape(&format!("{command} 0.2")).assert().success();
    assert!(!out.join("cells/0.4").exists() && table(&out.join("tables/study.csv"))?.len() == 2);
    let message = fisherscape(&format!("{command} 0.2,0.3")).assert().code(1).get_output().stderr.clone();
    assert!(String::from_utf8(message)?.contains("no cell is named 0.3; the cells are 0.2, 0.4"));
    // What an earlier run left behind is no part of what is taken.
    let stale = out.join("cells/0.4/train/none/seed0/trajectory/step000003.safetensors");
    std::fs::create_dir_all(stale.parent().ok_or("no folder")?)?;
    std::fs::write(&stale, "an earlier run's")?;
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("4 training runs, 2 of them done before"), "{said}");
    // Cells that were run before stay in the tables, and in the correction.
    let before = std::fs::read(out.join("tables/study.csv"))?;
    fisherscape(&format!("{command} 0.4")).assert().success();
    assert_eq!(std::fs::read(out.join("tables/study.csv"))?, before);
    let began =
        |what: &str| said.lines().filter(|line| line.starts_with('[') && line.ends_with(what)).count();
    assert_eq!((began("] Fisher information"), began("] schedule")), (0, 1), "{said}");
    let trained =
        |arm: &str| said.lines().filter(|line| line.contains(&format!("] training of {arm}"))).count();
    assert_eq!((trained("none"), trained("guided")), (0, 1), "{said}");
    for cell in ["0.2", "0.4"] {
        std::fs::write(&path, base.replace("p_upper = 0.4", &format!("p_upper = {cell}")))?;
        let own = alone.join(cell);
        assert_eq!(run(&path, &own).0, Some(0));
        let (mut own, mut shared) = (results(&own), results(&out.join("cells").join(cell)));
        // The page and the text have the title of the cell.
        for name in ["report.html", "analysis.toml"] {
            assert!(own.remove(Path::new(name)).is_some() && shared.remove(Path::new(name)).is_some());
        }
        same(&shared, &own);
        assert!(out.join("cells").join(cell).join("train/none/seed0/provenance.toml").exists());
    }
    // A grid with one more axis gives cells other names; what was done under the old ones is taken from there.
    std::fs::write(&path, format!("{base}[[grid]]\nschedule.p_upper = [0.2, 0.4]\ntrain.lr = [1e-3]\n"))?;
    std::fs::rename(out.join("cells/0.2"), out.join("cells/other"))?;
    let (code, said) = run(&path, &out);
    assert!(code == Some(0) && !said.contains("] training of"), "{said}");
    Ok(())
}

/// Oracle: the undisturbed study. Killed (SIGKILL) at moments spread over it, then run again until done: the same bytes.
#[test]
fn a_killed_study_ends_with_the_same_tables() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = small(folder.path())?;
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let started = std::time::Instant::now();
    assert_eq!(run(&path, &whole).0, Some(0));
    let took = started.elapsed().as_secs_f64();
    for part in [0.15, 0.3] {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
            .args(["run", &path.display().to_string(), "--out", &cut.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_secs_f64(took * part));
        child.kill()?;
        child.wait()?;
    }
    // The third time once there is a table: of the cells that are done by then.
    for old in ["report.html", "tables/study.csv"] {
        std::fs::remove_file(cut.join(old)).ok();
    }
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args(["run", &path.display().to_string(), "--out", &cut.display().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    while !cut.join("report.html").exists() && child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    let rows = table(&cut.join("tables/study.csv"))?;
    assert!(!rows.is_empty());
    for row in rows {
        let cell = cut.join("cells").join(format!("{}_{}", row["fraction"], row["lr"]));
        assert!(cell.join("tables/training.csv").exists(), "{row:?}");
    }
    // Wherever a kill falls, what it left half-written goes.
    let places =
        ["", "tables", "figures", "cells/0.1_1e-3", "cells/0.1_1e-3/steps", "cells/0.1_1e-3/train/guided"];
    let half_written = places.map(|place| cut.join(place).join(".partial-planted"));
    for path in &half_written {
        std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        std::fs::write(path, "half")?;
    }
    let (code, said) = run(&path, &cut);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("of them done before"), "{said}");
    assert!(half_written.iter().all(|path| !path.exists()));
    same(&results(&cut), &results(&whole));
    Ok(())
}

/// Oracle: the study without the mishap. A run that fails (a file stands where its folder should be) stops no other; it is counted,
/// its partners' differences are left out, and once the cause is gone the same command makes up for it alone.
#[test]
fn a_failed_run_stops_no_other() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = small(folder.path())?;
    let [whole, out] = ["whole", "out"].map(|name| folder.path().join(name));
    assert_eq!(run(&path, &whole).0, Some(0));
    let arm = out.join("cells").join(CELLS[0]).join("train/guided");
    std::fs::create_dir_all(&arm)?;
    std::fs::write(arm.join("seed1"), "in the way")?;
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("training of guided, seed 1 failed")
            && said.contains("1 of the runs failed; cells/0.1_1e-3/train/guided/seed1")
    );
    assert!(said.contains("22 of 22 runs, 1 of them failed"), "{said}");
    let rows = table(&out.join("tables/study.csv"))?;
    let (own, all) = (&rows[1], table(&whole.join("tables/study.csv"))?);
    assert_eq!([&own["arm"], &own["seeds"], &own["failed"]], ["guided", "2", "1"]);
    let value = |arm: &str, k: usize| {
        accuracy(&out.join("cells").join(CELLS[0]).join(format!("train/{arm}/seed{k}"))).unwrap()
    };
    let wanted = [0, 2].map(|k| value("guided", k) - value("matched_uniform", k)).iter().sum::<f64>() / 2.0;
    assert!((own["difference"].parse::<f64>()? - wanted).abs() < 1e-12, "{own:?}");
    // Other cells are as they were but for the correction.
    assert_eq!(rows[4]["difference"], all[4]["difference"]);
    let page = page(&out)?;
    assert!(page.contains("cells/0.1_1e-3/train/guided/seed1 failed"));
    // Another cell alone: the tables keep what this one has.
    let before = std::fs::read(out.join("tables/study.csv"))?;
    let command = format!("run {} --out {} --cells {}", path.display(), out.display(), CELLS[1]);
    fisherscape(&command).assert().success();
    assert_eq!(std::fs::read(out.join("tables/study.csv"))?, before);
    std::fs::remove_file(arm.join("seed1"))?;
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(0), "{said}");
    let trained = said.lines().filter(|line| line.starts_with('[') && line.contains("training of")).count();
    assert_eq!(trained, 1, "{said}");
    same(&results(&out), &results(&whole));
    Ok(())
}

/// A cell that cannot be trained at all (its learning rate lets the loss overflow) leaves the others alone; a second process is
/// refused while the first holds the folder.
#[test]
fn a_lost_cell_is_said_and_a_second_process_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (small(folder.path())?, folder.path().join("out"));
    let text = std::fs::read_to_string(&path)?.replace("train.lr = [3e-3]", "train.lr = [1e30]");
    std::fs::write(&path, text)?;
    std::fs::create_dir_all(out.join("cells"))?;
    let lock = fisherscape::files::lock(&out.join("cells/lock"))?;
    let (code, said) = run(&path, &out);
    assert!(
        code == Some(1)
            && said.contains("another run is at work in this folder")
            && !out.join("analysis.toml").exists()
    );
    drop(lock);
    let (code, said) = run(&path, &out);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("loss and gradient") && said.contains("4 of the runs failed"), "{said}");
    let rows = table(&out.join("tables/study.csv"))?;
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row["lr"] == "1e-3"));
    Ok(())
}
