//! Executors: one plan, every one of them, the same bytes; what becomes of steps and runs that are killed; records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use clap::Parser;
use fisherscape::cli::{Cli, Command as Own};
use serde_json::Value;

use crate::analysis::{arms_alone, results, same, small};
use crate::support::{Outcome, fisherscape, fixture, json};

/// As they are named; the first is what a run has by itself.
const EXECUTORS: [&str; 3] = ["local", "process", "process:3"];

/// A run of `analysis.toml` in `folder`, into `out` beside it.
fn command(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
    command.args(["run", "small.toml", "--out", out]).args(more).current_dir(folder);
    command.env("HF_HUB_OFFLINE", "1");
    command
}

/// Its exit code and what it said on standard error.
fn run(folder: &Path, out: &str, more: &[&str]) -> (Option<i32>, String) {
    let output = command(folder, out, more).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The records of the steps in a folder.
fn records(out: &Path) -> BTreeMap<PathBuf, Value> {
    let paths = std::fs::read_dir(out.join("steps")).unwrap().map(|entry| entry.unwrap().path());
    let record =
        |path: &PathBuf| path.extension().is_some_and(|e| e == "json") && !path.ends_with("plan.json");
    paths.filter(record).map(|path| (path.clone(), json(&path))).collect()
}

/// Two arms from two seeds and nothing that looks at their models, so that one of them may fail.
fn trainings(folder: &Path) -> Outcome {
    let arms = "arms = [\"matched\", \"reversed\", \"shuffled\", \"shuffled:2\", \"gaussian-paper:0.1\"]";
    let text = arms_alone("text");
    assert!(text.contains(arms));
    std::fs::write(
        folder.join("small.toml"),
        text.replace(arms, "arms = [\"matched\", \"guided\"]\nseeds = 2"),
    )?;
    Ok(())
}

/// Oracle: the local executor. Every file has its bytes, and every record but for the time that the step took and what it said of
/// it; a run by one holds as done for the others.
#[test]
fn every_executor_writes_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut found = Vec::new();
    for executor in EXECUTORS {
        // The same command lines.
        let own = folder.path().join(executor.replace(':', "-"));
        std::fs::create_dir_all(&own)?;
        std::fs::write(own.join("small.toml"), small())?;
        let (code, said) = run(&own, "out", &["--executor", executor]);
        assert_eq!(code, Some(0), "{executor}: {said}");
        let kept = records(&own.join("out")).into_iter().map(|(path, mut record)| {
            let fields = record.as_object_mut().unwrap();
            let differing = ["seconds", "notes", "checksum"];
            assert!(differing.iter().all(|name| fields.remove(*name).is_some()));
            (path.file_name().unwrap().to_owned(), record)
        });
        found.push((kept.collect::<BTreeMap<_, _>>(), results(&own.join("out"))));
        for other in EXECUTORS {
            let (code, said) = run(&own, "out", &["--executor", other]);
            assert!(code == Some(0) && !said.contains("[1/"), "{executor}, then {other}: {said}");
        }
    }
    for (executor, (records, files)) in EXECUTORS.iter().zip(&found).skip(1) {
        same(files, &found[0].1);
        assert_eq!(records, &found[0].0, "{executor}");
    }
    // The plan that the processes read stands there for others too, every step in one wave.
    let plan = json(&folder.path().join("process/out/steps/plan.json"));
    let waves = plan["waves"].as_array().ok_or("no waves")?;
    let count = |key: &str| waves.iter().map(|wave| wave[key].as_array().map_or(0, Vec::len)).sum::<usize>();
    assert_eq!(count("light") + count("heavy"), found[0].0.len());
    // Fisher information, then trainings, then what looks at their models.
    assert!(
        waves.len() > 2
            && waves[0]["heavy"].as_array().is_some_and(|heavy| heavy.contains(&"Fisher information".into()))
    );
    Ok(())
}

/// Oracle: the local executor, and then the undisturbed run. A training that cannot write (a file stands in its way) is told in the
/// same words, left out in the same way, and made up for alone.
#[test]
fn a_failed_training_is_told_alike() -> Outcome {
    let folder = tempfile::tempdir()?;
    trainings(folder.path())?;
    assert_eq!(run(folder.path(), "whole", &[]).0, Some(0));
    let mut told = Vec::new();
    for executor in EXECUTORS {
        let out = folder.path().join(executor.replace(':', "-"));
        let name = out.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
        std::fs::create_dir_all(out.join("train/guided"))?;
        std::fs::write(out.join("train/guided/seed1"), "in the way")?;
        let (code, said) = run(folder.path(), name, &["--executor", executor]);
        assert_eq!(code, Some(1), "{said}");
        let told_of =
            |line: &&str| ["warning: ", "error: ", "  fix: "].iter().any(|start| line.starts_with(start));
        let lines: Vec<String> = said.lines().filter(told_of).map(|line| line.replace(name, "OUT")).collect();
        assert!(
            lines.iter().any(|line| line.starts_with("warning: training of guided, seed 1 failed: ")),
            "{said}"
        );
        let tables = std::fs::read(out.join("tables/training.csv"))?;
        told.push((lines, tables));
        std::fs::remove_file(out.join("train/guided/seed1"))?;
        let (code, said) = run(folder.path(), name, &["--executor", executor]);
        let begun = |line: &&str| line.starts_with('[') && line.contains("training of");
        assert_eq!((code, said.lines().filter(begun).count()), (Some(0), 1), "{said}");
        same(&results(&out), &results(&folder.path().join("whole")));
    }
    assert!(told[1] == told[0] && told[2] == told[0], "{told:?}");
    Ok(())
}

/// The process of a step in `out`, if one of this name is at work.
#[cfg(target_os = "linux")]
fn process_of(out: &str, step: &str) -> Option<u32> {
    let wanted = format!("--tied\0{out}\0{step}\0");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.ends_with(&wanted).then(|| entry.file_name().to_string_lossy().parse().ok())?
    })
}

/// Oracle: the undisturbed run. A training whose process is killed is left out as one that fails; the run goes on, says it, and the
/// next one makes up for it.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_step_is_a_failed_one() -> Outcome {
    let folder = tempfile::tempdir()?;
    trainings(folder.path())?;
    assert_eq!(run(folder.path(), "whole", &[]).0, Some(0));
    // The name of the folder is on the command line of its processes alone.
    let out = format!("cut{}", std::process::id());
    let process = ["--executor", "process"];
    let mut started = command(folder.path(), &out, &process);
    let mut child = started.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let name = "training of guided, seed 1";
    let killed = loop {
        if let Some(pid) = process_of(&out, name) {
            break Command::new("kill").args(["-9", &pid.to_string()]).status()?.success();
        }
        assert!(child.try_wait()?.is_none(), "it was never seen");
        std::thread::sleep(Duration::from_millis(1));
    };
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(killed && output.status.code() == Some(1), "{said}");
    let wanted = format!("{name} failed: its process ended by signal: 9 (SIGKILL)");
    assert!(said.contains(&wanted), "{said}");
    let path = folder.path().join(&out);
    let page = std::fs::read_to_string(path.join("report.html"))?.replace("&#x2f;", "/");
    assert!(page.contains("train/guided/seed1 failed: its process ended by signal"));
    assert_eq!(run(folder.path(), &out, &process).0, Some(0));
    same(&results(&path), &results(&folder.path().join("whole")));
    Ok(())
}

/// Waits until no process holds the lock of a step in `out`: those of a run that was killed end by themselves.
fn wait_for_steps(out: &Path) {
    let started = Instant::now();
    let held = || {
        let paths =
            std::fs::read_dir(out.join("steps")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut locks = paths.filter(|path| path.extension().is_some_and(|e| e == "lock"));
        locks.any(|path| fisherscape::files::lock(&path).is_err())
    };
    while held() {
        assert!(started.elapsed() < Duration::from_secs(20), "a step outlives its run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Oracle: the undisturbed run. A run that is killed takes the processes of its steps with it, and the next one goes on at once to the
/// same bytes.
#[test]
fn a_killed_run_takes_its_steps_with_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    trainings(folder.path())?;
    let started = Instant::now();
    assert_eq!(run(folder.path(), "whole", &["--executor", "process:2"]).0, Some(0));
    let took = started.elapsed();
    let kill = |mut child: Child, after: f64| -> Outcome {
        std::thread::sleep(took.mul_f64(after));
        child.kill()?;
        child.wait()?;
        Ok(())
    };
    for after in [0.2, 0.4, 0.5] {
        let mut command = command(folder.path(), "cut", &["--executor", "process:2"]);
        kill(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?, after)?;
    }
    // The next does not wait for it, and need not.
    let (code, said) = run(folder.path(), "cut", &["--executor", "process:2"]);
    assert_eq!(code, Some(0), "{said}");
    same(&results(&folder.path().join("cut")), &results(&folder.path().join("whole")));
    let mut last = command(folder.path(), "cut", &["--executor", "process:2", "--force"]);
    kill(last.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?, 0.5)?;
    wait_for_steps(&folder.path().join("cut"));
    Ok(())
}

/// Oracle: the records of the run. A step that is run by hand writes the same; a step that the plan does not have, and a folder without
/// a plan, are told.
#[test]
fn a_step_is_run_by_hand() -> Outcome {
    let folder = tempfile::tempdir()?;
    trainings(folder.path())?;
    let step = |name: &str| {
        let mut step = fisherscape("step");
        step.arg("out").arg(name).current_dir(folder.path());
        step
    };
    step("schedule").assert().code(1);
    assert_eq!(run(folder.path(), "out", &["--executor", "process"]).0, Some(0));
    let out = folder.path().join("out");
    let (before, record) = (results(&out), out.join("steps/schedule.json"));
    let identity = json(&record)["identity"].clone();
    std::fs::remove_file(&record)?;
    step("schedule").assert().success();
    assert_eq!(json(&record)["identity"], identity);
    let output = step("no such step").assert().code(1).get_output().clone();
    let message = String::from_utf8(output.stderr)?;
    assert!(message.contains("`step` must be one of the plan") && message.contains("plan.json"), "{message}");
    // What fails leaves its cause and no record of its own.
    std::fs::remove_dir_all(out.join("train/guided/seed1"))?;
    std::fs::write(out.join("train/guided/seed1"), "in the way")?;
    step("training of guided, seed 1").assert().code(1);
    let failed = json(&out.join("steps/training_of_guided_seed_1.failed.json"));
    assert!(failed["cause"].as_str().is_some_and(|cause| cause.contains("train/guided/seed1")), "{failed}");
    assert_eq!(failed["disk_full"], false);
    std::fs::remove_file(out.join("train/guided/seed1"))?;
    assert_eq!(run(folder.path(), "out", &[]).0, Some(0));
    same(&results(&out), &before);
    for executor in ["remote", "process:0", "process:x"] {
        fisherscape("run quickstart --executor").arg(executor).assert().code(2);
    }
    Ok(())
}

/// Oracle: records as they were written before what was left out had a list of its own. They hold; the page says that it cannot
/// tell, and names what the new ones tell.
#[test]
fn records_of_earlier_versions_hold() -> Outcome {
    let folder = tempfile::tempdir()?;
    trainings(folder.path())?;
    assert_eq!(run(folder.path(), "out", &[]).0, Some(0));
    let out = folder.path().join("out");
    let page = || std::fs::read_to_string(out.join("report.html"));
    let (told, unsaid) = ("initialised from seed 1 (2 steps)", "recorded by an earlier version");
    assert!(page()?.contains("initialised from seed 0 and 1 (") && !page()?.contains(unsaid));
    let all = records(&out);
    let mut old = 0;
    for (path, mut record) in all.clone() {
        let fields = record.as_object_mut().ok_or("no record")?;
        let excluded = fields.remove("excluded").ok_or("no list")?;
        fields.remove("checksum").ok_or("no checksum")?;
        fields["notes"]
            .as_array_mut()
            .ok_or("no notes")?
            .extend(excluded.as_array().cloned().unwrap_or_default());
        if !path.ends_with("training_of_guided_seed_1.json")
            && !path.ends_with("training_of_matched_uniform_seed_1.json")
        {
            std::fs::write(&path, serde_json::to_vec_pretty(&record)?)?;
            old += 1;
        }
    }
    assert_eq!(old + 2, all.len());
    let (code, said) = run(folder.path(), "out", &[]);
    assert!(code == Some(0) && !said.contains("[1/"), "{said}");
    let page = page()?;
    assert!(page.contains(told) && page.contains(&format!("{old} steps {unsaid}")));
    Ok(())
}

/// Oracle: the attention mask of the set, summed, and passes by hand: one forward, and three more for each backward; a surface has a point for
/// each pair of coordinates. What the options leave open, or a set that is not there yet, is not known.
#[test]
fn work_is_known_beforehand() -> Outcome {
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let mask = candle_core::safetensors::load(&set, &Device::Cpu)?["attention_mask"].to_dtype(DType::F64)?;
    let tokens = mask.sum_all()?.to_scalar::<f64>()?;
    let inputs = format!("--checkpoint {} --set {}", model.display(), set.display());
    let work = |words: String| -> Outcome<Option<(f64, Option<f64>)>> {
        let words = format!("fisherscape {words}");
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Own::Stage(stage) => Ok(stage.work()),
            _ => Err("no stage".into()),
        }
    };
    for (words, passes) in [
        ("fisher --out F.safetensors", 4.0),
        ("fisher --estimator empirical,mc --mc-samples 2 --out F.safetensors", 10.0),
        ("surface --resolution 5 --out S.csv", 25.0),
        ("surface --resolution 5 --profile --out S.csv", 5.0),
        ("surface --coords=-1,0,1 --out S.csv", 9.0),
        ("prune --fisher F.safetensors --shares 0.1,0.5 --orders fisher,random --draws 3 --out P", 9.0),
    ] {
        assert_eq!(work(format!("{words} {inputs}"))?, Some((passes * tokens, None)), "{words}");
    }
    for words in
        ["surface --tolerance 0.1 --out S.csv", "surface --refine 1 --out S.csv", "sharpness --out S.csv"]
    {
        assert_eq!(work(format!("{words} {inputs}"))?, None, "{words}");
    }
    assert_eq!(work(format!("surface --out S.csv --checkpoint {} --set missing", model.display()))?, None);
    let (tiny, table) = (fixture("tiny/model"), fixture("tiny/sentiment.tsv"));
    let data =
        format!("--checkpoint {} --table {} --columns sentence,label", tiny.display(), table.display());
    let of = |epochs: usize| {
        work(format!("train {data} --dropout none --eval-steps 100000 --epochs {epochs} --out T"))
    };
    let (one, three) = (of(1)?.ok_or("not known")?, of(3)?.ok_or("not known")?);
    // All but the evaluations of the held-out part is three times as much.
    assert!(
        2.5 * one.0 < three.0 && three.0 < 3.0 * one.0 && one.1.is_some_and(|each| each > 0.0),
        "{one:?} {three:?}"
    );
    Ok(())
}
