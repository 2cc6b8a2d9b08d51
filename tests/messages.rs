//! What is said of input that cannot be used: a row for each mistake that people made when they tried the program.

use std::collections::BTreeMap;
use std::path::Path;

use fisherscape::params;

use crate::support::{Outcome, copy_folder, fisherscape, fixture, tensors};

/// The exit code, the command, and what the message must say.
type Row = (i32, &'static str, &'static [&'static str]);

/// Names of analyses, and what `--set` may say.
const ANALYSES: &[Row] = &[
    (1, "run nosuch.toml", &["nosuch.toml: no such file"]),
    (1, "check quikstart", &["did you mean quickstart?", "`fisherscape list`"]),
    (1, "run text.txt", &["text.txt:1:"]),
    (1, "run folder", &["folder: `path` must be a file, found a folder"]),
    (1, "list --show foo", &["no shipped analysis has this name\n"]),
    (1, "list --show cotrols", &["did you mean controls?"]),
    (
        1,
        "check quickstart --set schedule.p_lower=0.5",
        &["p_lower = 0.5\n", "at most p_upper, 0.1", "exchange"],
    ),
    (1, "check quickstart --set surface.span=[-inf,inf]", &["span = [-inf,inf]\n", "finite numbers"]),
    (1, "check quickstart --set surface.resolution=0", &["resolution = 0\n", "^", "from 2 to 1000"]),
    (1, "check quickstart --set train.lr=inf", &["lr = inf\n", "`train.lr` must be finite and above 0"]),
    (
        1,
        "check quickstart --set train.seeds=one",
        &["seeds = \"one\"\n", "a whole number", "remove the quotes"],
    ),
    (1, "check quickstart --set sharpness.radii=[-1]", &["radii = [-1]\n", "above 0"]),
    (
        1,
        "check quickstart --set train.epochs=1000000",
        &["epochs = 1000000\n", "a pass over the training part"],
    ),
    (
        1,
        "check reliability --set audit.resamples=1000000000",
        &["resamples = 1000000000\n", "at most 100000"],
    ),
];

/// Options and files of the commands.
const COMMANDS: &[Row] = &[
    (
        1,
        "surface --checkpoint model --set set.safetensors --span=-inf,inf --out x.csv",
        &["--span", "finite"],
    ),
    (1, "freeze --checkpoint tiny --text latin1.txt --out x.safetensors", &["latin1.txt", "UTF-8", "iconv"]),
    (1, "freeze --checkpoint tiny --text empty.txt --out x.safetensors", &["empty.txt", "it is empty"]),
    (1, "freeze --checkpoint tiny --text folder --out x.safetensors", &["folder", "must be a file"]),
    (
        1,
        "fisher --strict-head --checkpoint tiny --set set.safetensors --out x.safetensors",
        &["no such head", "leave out --strict-head"],
    ),
    (1, "loss --checkpoint text.txt --set set.safetensors", &["must be a folder, found a file"]),
    (1, "stability --checkpoint model --set text.txt --out x", &["text.txt", "found text", "freeze"]),
    (1, "fisher --checkpoint model --set text.txt --out x.safetensors", &["found text", "freeze"]),
    (1, "pretrain --text text.txt --out x", &["--checkpoint or --config"]),
    (2, "pretrain --vocab-size 1 --steps 1 --out x", &["--config <CONFIG.json>"]),
    (
        2,
        "directions --checkpoint model --set set.safetensors --out x.safetensors",
        &["--to <C,C>|--trajectory <DIR>"],
    ),
    (2, "loss --checkpoint model --set set.safetensors --threads 0", &["a whole number, at least 1"]),
    (1, "render s.csv --out x.tex", &["a surface has no text form", ".svg, .pdf"]),
    (2, "render s.csv --out x.svg --width 3ft", &["3.25in", "iclr"]),
    (1, "render nan.csv --out x.svg", &["figure of nan.csv: ", "diverged", "lower the learning rate"]),
    (
        1,
        "loss --checkpoint big --set set.safetensors",
        &["big: `loss` must be finite, found NaN", "smaller learning rate"],
    ),
    (
        1,
        "surface --checkpoint big --set set.safetensors --out x.csv",
        &["big: `loss` must be finite, found NaN"],
    ),
    (1, "agree f.safetensors other.safetensors --out x", &["f.safetensors", "those of one model"]),
    (
        1,
        "schedule --fisher lacks.safetensors --out x.csv",
        &["lacks.safetensors", "no tensor bert.embeddings"],
    ),
    (1, "schedule --fisher zero.safetensors --out x.csv", &["zero.safetensors", "above 0 somewhere"]),
    (1, "loss --checkpoint model --set names.safetensors", &["`labels`", "JSON list of class names"]),
    (
        1,
        "train --checkpoint tiny --table t.tsv --columns a,b --dropout none --epochs 20000 --out x",
        &["--epochs"],
    ),
    (
        1,
        "damage --checkpoint model --set set.safetensors --fisher f.safetensors --draws 20000 --out x",
        &["--draws"],
    ),
    (
        1,
        "stability --checkpoint model --set set.safetensors --repeats 20000 --out x",
        &["--repeats", "each is a"],
    ),
    (1, "audit --fisher f.safetensors --resamples 200000 --out x", &["--resamples", "1000 give an interval"]),
    (1, "agree f.safetensors zero.safetensors --resamples 200000 --out x", &["--resamples"]),
    (1, "sharpness --checkpoint model --set set.safetensors --probes 20000 --out x.csv", &["--probes"]),
    (
        1,
        "fisher --checkpoint model --set set.safetensors --mc-samples 2000 --out x.safetensors",
        &["--mc-samples"],
    ),
    (1, "sharpness --checkpoint model --set set.safetensors --radii=-1 --out x.csv", &["--radii", "above 0"]),
    (1, "topology s.csv --metric f1 --out x", &["s.csv", "a metric f1", "found none"]),
    (1, "topology nan.csv --out x", &["nan.csv", "finite somewhere", "lower the span"]),
    (1, "topology set.safetensors --out x", &["set.safetensors", "one that ends in .csv"]),
    (
        1,
        "sharpness --checkpoint model --set set.safetensors --critical --to model --out x.csv",
        &["model", "the same weights"],
    ),
    (
        1,
        "sharpness --checkpoint model --set set.safetensors --critical --to tiny --lr=-1 --out x.csv",
        &["--lr", "above 0"],
    ),
    (2, "sharpness --checkpoint model --set set.safetensors --to tiny --out x.csv", &["--critical"]),
    // Names of what is to be written.
    (
        1,
        "surface --checkpoint model --set set.csv --out set.csv",
        &["--out: set.csv is an input of this command"],
    ),
    (1, "render s.csv --out ./s.csv", &["--out: ./s.csv is an input of this command"]),
    (1, "surface --checkpoint model --set set.safetensors --out folder.csv", &["--out", "found a folder"]),
    (
        1,
        "fisher --checkpoint model --set set.safetensors --out folder.safetensors",
        &["--out", "found a folder"],
    ),
    (1, "audit --fisher f.safetensors --out text.txt", &["--out", "found a file"]),
    (
        1,
        "schedule --preset paper-bert-base --out text.txt/x.csv",
        &["--out", "text.txt/x.csv would lie in the file text.txt"],
    ),
    (
        1,
        "train --checkpoint tiny --table sentiment.tsv --columns sentence,label --dropout none --out model",
        &["--out", "`model` must be empty, or that of a training", "model.safetensors"],
    ),
];

/// Files of every kind that the rows name.
fn prepare(folder: &Path) -> Outcome {
    let at = |name: &str| folder.join(name);
    copy_folder(&fixture("parity/cls/model"), &at("model"));
    copy_folder(&fixture("tiny/model"), &at("tiny"));
    std::fs::copy(fixture("tiny/sentiment.tsv"), at("sentiment.tsv"))?;
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.safetensors"))?;
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.csv"))?;
    for (name, text) in [
        ("empty.txt", &b""[..]),
        ("text.txt", b"a text of some words, which is no set and no analysis\n"),
        ("latin1.txt", b"caf\xe9 au lait, un deux trois quatre cinq six\n"),
        ("s.csv", b"x,y,loss,loss_se\n0,0,1,0\n1,0,1,0\n0,1,1,0\n1,1,2,0\n"),
        ("nan.csv", b"x,y,loss,loss_se\n0,0,NaN,0\n1,0,NaN,0\n0,1,NaN,0\n1,1,NaN,0\n"),
    ] {
        std::fs::write(at(name), text)?;
    }
    for name in ["folder", "folder.csv", "folder.safetensors"] {
        std::fs::create_dir(at(name))?;
    }
    let fisher = |model: &str, set: &str, out: &str| {
        let command = format!("fisher --checkpoint {model} --set {set} --out {out}");
        fisherscape(&command).current_dir(folder).assert().success();
    };
    fisher("model", "set.safetensors", "f.safetensors");
    let freeze = "freeze --checkpoint tiny --table sentiment.tsv --columns sentence,label --examples 4 --out tiny.safetensors";
    fisherscape(freeze).current_dir(folder).assert().success();
    fisher("tiny", "tiny.safetensors", "other.safetensors");
    let (whole, metadata) = params::read_safetensors(&at("f.safetensors"))?;
    let metadata: BTreeMap<String, String> = metadata.into_iter().collect();
    let mut lacks = whole.clone();
    lacks.remove("bert.embeddings.LayerNorm.bias").ok_or("no such tensor")?;
    params::write_params(&at("lacks.safetensors"), &lacks, &metadata)?;
    let zero = whole.iter().map(|(name, f)| Ok((name.clone(), f.zeros_like()?)));
    params::write_params(&at("zero.safetensors"), &zero.collect::<Outcome<_>>()?, &metadata)?;
    // Weights whose products are beyond float32.
    copy_folder(&fixture("parity/cls/model"), &at("big"));
    let weights = at("big/model.safetensors");
    let large = tensors(&weights).into_iter().map(|(name, t)| Ok((name, (t * 1e30)?)));
    params::write_params(&weights, &large.collect::<Outcome<_>>()?, &BTreeMap::new())?;
    names_that_cannot_be_read(folder)
}

/// `names.safetensors`: the set, whose names of classes are no list.
fn names_that_cannot_be_read(folder: &Path) -> Outcome {
    let bytes = std::fs::read(folder.join("set.safetensors"))?;
    let set = safetensors::SafeTensors::deserialize(&bytes)?;
    let metadata = [("labels".to_string(), "not json".to_string())].into_iter().collect();
    let all = set.tensors();
    safetensors::serialize_to_file(all, Some(metadata), &folder.join("names.safetensors"))?;
    Ok(())
}

/// Oracle: the rows. Each mistake is named with what to do about it, in one message, with the right exit code, and nothing is
/// written.
#[test]
fn every_mistake_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    let listed = || -> Outcome<Vec<_>> {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())?.flatten().map(|e| e.file_name()).collect();
        names.sort();
        Ok(names)
    };
    let (names, set) = (listed()?, std::fs::read(folder.path().join("set.csv"))?);
    for (code, command, says) in ANALYSES.iter().chain(COMMANDS) {
        let output = fisherscape(command).current_dir(folder.path()).output()?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(*code), "{command}: {message}");
        assert!(message.starts_with("error: "), "{command}: {message}");
        assert!(*code == 2 || message.contains("\n  fix: "), "{command}: {message}");
        for part in *says {
            assert!(message.contains(part), "{command}: no `{part}` in\n{message}");
        }
        assert_eq!(listed()?, names, "{command}: something was written");
    }
    assert!(
        std::fs::read(folder.path().join("set.csv"))? == set
            && !tensors(&folder.path().join("f.safetensors")).is_empty()
    );
    Ok(())
}

/// Oracle: the same settings without blanks, and the widths in millimetres. What is meant is taken as it is meant.
#[test]
fn blanks_cases_and_inches_are_understood() -> Outcome {
    let set = |setting: &str| fisherscape::analysis::load("quickstart", &[setting.to_string()]);
    assert_eq!(set("train.seeds = 3")?.text, set("train.seeds=3")?.text);
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("s.csv"), "x,y,loss,loss_se\n0,0,1,0\n1,0,1,0\n0,1,1,0\n1,1,2,0\n")?;
    let drawn = |width: &str| -> Outcome<Vec<u8>> {
        let command = format!("render s.csv --out f.svg --width {width}");
        fisherscape(&command).current_dir(folder.path()).assert().success();
        Ok(std::fs::read(folder.path().join("f.svg"))?)
    };
    assert!(drawn("ICLR")? == drawn("139.7")? && drawn("3.25in")? == drawn("82.55mm")?);
    Ok(())
}

/// Oracle: the system's clock. A pipe is refused and not waited for; a device does not end.
#[test]
#[cfg(unix)]
fn pipes_and_devices_are_no_files() -> Outcome {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    let pipe = pipe.display().to_string();
    for command in [
        format!("loss --checkpoint embedded --set {pipe}"),
        format!("check {pipe}"),
        format!("freeze --checkpoint embedded --text {pipe} --out x.safetensors"),
        "freeze --checkpoint embedded --text /dev/zero --out x.safetensors".to_string(),
    ] {
        let mut command = fisherscape(&command);
        let output =
            command.current_dir(folder.path()).timeout(std::time::Duration::from_secs(60)).output()?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("found a pipe or a device"), "{message}");
    }
    Ok(())
}

/// Oracle: the names in the folder. A path that is no UTF-8 cannot be written into provenance and steps: it is refused, and no
/// folder of a like name is made. One that looks like an option is a path.
#[test]
#[cfg(target_os = "linux")]
fn strange_names_of_outputs_make_no_other_folder() -> Outcome {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir()?;
    let strange = std::ffi::OsStr::from_bytes(b"a\xff");
    let run = |out: &std::ffi::OsStr| {
        let settings = [
            "fisher.examples=4",
            "surface=",
            "profile=",
            "stability=",
            "audit=",
            "train=",
            "sharpness=",
            "plane=",
        ];
        let mut command = fisherscape("run quickstart");
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.arg(out).current_dir(folder.path()).output()
    };
    let mut option = std::ffi::OsString::from("--out=");
    option.push(strange);
    let output = run(&option)?;
    let message = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(1) && message.contains("must be UTF-8"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    let output = run("--out=-x".as_ref())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("-x/report.html").exists());
    Ok(())
}

/// Oracle: the table itself, from one thread. Thousands of threads would wait for one another for minutes: no more work than are of use, which
/// is said, and the numbers are the same.
#[test]
fn threads_have_a_limit() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let surface = |threads: usize| -> Outcome<(Vec<u8>, String)> {
        let command = format!("surface --checkpoint {} --set {}", model.display(), set.display());
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
            .args(command.split_whitespace())
            .args(["--resolution", "2", "--out", "s.csv", "--threads", &threads.to_string()])
            .current_dir(folder.path())
            .output()?;
        assert!(output.status.success());
        Ok((std::fs::read(folder.path().join("s.csv"))?, String::from_utf8(output.stderr)?))
    };
    let (one, said) = surface(1)?;
    assert!(!said.contains("--threads"), "{said}");
    let (many, said) = surface(1_000_000)?;
    assert!(one == many && said.contains("note: --threads 1000000: "), "{said}");
    Ok(())
}
