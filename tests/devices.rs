//! Every command that computes with a model, elsewhere than on the CPU's own operations: the same answers.
//!
//! Elsewhere is `cpu:composed`, the operations that GPUs run; on a machine with one, `FISHERSCAPE_TEST_DEVICE=cuda` in a build with
//! `--features cuda` makes it the GPU itself, here and in [`crate::parity`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fisherscape::model::{DeviceChoice, Opened, Precision};
use fisherscape::params;

use crate::support::{Outcome, copy_folder, fisherscape, fixture, relative, tensors, values};

/// Where commands are tried beside the CPU.
pub fn device() -> String {
    std::env::var("FISHERSCAPE_TEST_DEVICE").unwrap_or_else(|_| "cpu:composed".into())
}

/// A file of the built-in task.
fn embedded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/embedded").join(name)
}

/// The same, opened.
pub fn opened() -> Opened {
    device().parse::<DeviceChoice>().unwrap().open_with(Precision::Float32).unwrap()
}

/// Tables by their path: rows of cells.
type Tables = BTreeMap<PathBuf, Vec<Vec<String>>>;

/// Tables and float tensors below a folder, by their path in it.
fn results(folder: &Path) -> (Tables, BTreeMap<PathBuf, params::ParamMap>) {
    let (mut tables, mut maps, mut open) = (BTreeMap::new(), BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(path) = open.pop() {
        let own = path.strip_prefix(folder).unwrap().to_path_buf();
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()))
            }
            Some("csv") => {
                let rows =
                    csv::ReaderBuilder::new().has_headers(false).from_path(&path).unwrap().into_records();
                let row = |row: csv::StringRecord| row.iter().map(str::to_string).collect();
                tables.insert(own, rows.map(|record| row(record.unwrap())).collect());
            }
            Some("safetensors") => drop(maps.insert(own, tensors(&path))),
            _ => {}
        }
    }
    (tables, maps)
}

/// Runs commands that write below `out` here and there, and compares all tables and tensors. `bound`: of a number beside the largest
/// of its column; of a tensor in norm.
fn compare(folder: &Path, commands: &[String], bound: f64) -> Outcome {
    for (place, device) in [("here", "cpu".to_string()), ("there", device())] {
        for command in commands {
            let line = format!("{} --device {device}", command.replace("OUT", place));
            fisherscape(&line).current_dir(folder).assert().success();
        }
    }
    let ((tables, maps), (other_tables, other_maps)) =
        (results(&folder.join("here")), results(&folder.join("there")));
    assert!(!(tables.is_empty() && maps.is_empty()));
    assert!(tables.keys().eq(other_tables.keys()) && maps.keys().eq(other_maps.keys()));
    // Of few second differences the smoothed spectrum has whatever their rounding makes of it.
    let kept = |path: &Path| !path.to_string_lossy().ends_with(".spectrum.csv");
    for (path, rows) in tables.iter().filter(|(path, _)| kept(path)) {
        let others = &other_tables[path];
        assert_eq!(rows.len(), others.len(), "{}", path.display());
        for column in 0..rows[0].len() {
            let number = |row: &Vec<String>| row[column].parse::<f64>().ok();
            let largest = rows.iter().filter_map(number).fold(1e-6, |most: f64, v| most.max(v.abs()));
            for (row, other) in rows.iter().zip(others) {
                match (number(row), number(other)) {
                    (Some(a), Some(b)) => {
                        let name = &rows[0][column];
                        assert!((a - b).abs() <= bound * largest, "{} {name}: {a} and {b}", path.display());
                    }
                    _ => assert_eq!(row[column], other[column], "{}", path.display()),
                }
            }
        }
    }
    for (path, map) in &maps {
        // Softmax ignores a shift of the keys: the gradient is rounding alone, which AdamW makes steps of.
        for (name, tensor) in map.iter().filter(|(name, _)| !name.ends_with("key.bias")) {
            let (a, b) = (values(&other_maps[path][name]), values(tensor));
            let error = relative(&a, &b);
            assert!(
                error <= bound || b.iter().all(|v| v.abs() < 1e-7),
                "{} {name}: {error:.1e}",
                path.display()
            );
        }
    }
    Ok(())
}

/// A folder with a fixture's model and set, and its Fisher information.
fn prepared(case: &str) -> Outcome<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    copy_folder(&fixture(case).join("model"), &at("model"));
    std::fs::copy(fixture(case).join("set.safetensors"), at("set.safetensors"))?;
    let line = "fisher --checkpoint model --set set.safetensors --per-example --out f.safetensors";
    fisherscape(line).current_dir(folder.path()).assert().success();
    Ok(folder)
}

/// Oracle: the fused operations, which PyTorch's fixtures hold. Float32 in two orders of summation: losses to 1e-5, squares and
/// what is made of differences of losses to 1e-3. Catches a command that leaves something on another device, sums that are not
/// taken home, a mask or direction that does not go along.
#[test]
fn losses_surfaces_and_squares_are_the_same_elsewhere() -> Outcome {
    for case in [
        "parity/cls",
        "parity/mlm",
        "parity/t5-s2s",
        "parity/gpt2-clm",
        "parity/albert-cls",
        "parity/bert-span",
    ] {
        let folder = prepared(case)?;
        let both = "--checkpoint model --set set.safetensors";
        let surface = "--fisher f.safetensors --mask top:0.05 --resolution 3 --span=-1,1";
        let lines = [
            format!("surface {both} {surface} --per-example --out OUT/s.csv"),
            format!("surface {both} --profile --resolution 5 --out OUT/p.csv"),
        ];
        compare(folder.path(), &lines, 1e-5)?;
        let lines = [
            format!("fisher {both} --per-example --out OUT/f.safetensors"),
            format!("fisher {both} --reduction sum --out OUT/g.safetensors"),
        ];
        compare(folder.path(), &lines, 1e-3)?;
    }
    Ok(())
}

/// As above, of the commands that classification has.
#[test]
fn every_command_that_computes_says_the_same_elsewhere() -> Outcome {
    let folder = prepared("parity/cls")?;
    let both = "--checkpoint model --set set.safetensors";
    let lines = [
        format!("fisher {both} --estimator exact --per-example --out OUT/e.safetensors"),
        format!("prune {both} --fisher f.safetensors --shares 0.1,0.5 --draws 2 --out OUT/prune"),
        format!("stability {both} --fractions 0.5 --repeats 3 --resamples 0 --out OUT/stability"),
    ];
    compare(folder.path(), &lines, 1e-3)?;
    // Second differences divide the rounding of gradients by their step.
    let sharpness = "--directions 2 --radii 0.1 --ascent 2 --steps 4 --probes 2 --eigenvalues 1 --save-directions OUT/d.safetensors";
    let lines = [
        format!("sharpness {both} {sharpness} --out OUT/s.csv"),
        format!("damage {both} --fisher f.safetensors --draws 2 --probes 2 --resamples 0 --out OUT/damage"),
    ];
    let folder = prepared("parity/cls")?;
    compare(folder.path(), &lines, 5e-2)
}

/// Training with noise drawn elsewhere from the same counters: after the same steps the same parameters.
#[test]
fn a_training_goes_the_same_way_elsewhere() -> Outcome {
    for dropout in ["uniform:0.2", "gaussian:0.2"] {
        let folder = tempfile::tempdir()?;
        std::fs::copy(embedded("train.tsv"), folder.path().join("t.tsv"))?;
        let data = "--table t.tsv --columns text,label --fraction 0.02 --epochs 2 --batch 8 --lr 1e-3";
        let lines = [format!("train --checkpoint embedded {data} --dropout {dropout} --out OUT")];
        compare(folder.path(), &lines, 2e-3)?;
    }
    Ok(())
}

/// Oracle: the text. A result from elsewhere says so, and what it says is part of what its bits depend on.
#[test]
fn results_say_where_they_were_computed() -> Outcome {
    let folder = prepared("parity/cls")?;
    let surface = "surface --checkpoint model --set set.safetensors --profile --resolution 3";
    for (device, said) in [("cpu".to_string(), "fma"), (device(), "float32")] {
        fisherscape(&format!("{surface} --device {device} --out s.csv"))
            .current_dir(folder.path())
            .assert()
            .success();
        let provenance = std::fs::read_to_string(folder.path().join("s.csv.provenance.toml"))?;
        let line = provenance.lines().find(|line| line.starts_with("arithmetic")).unwrap();
        assert!(line.contains(said) || cfg!(not(target_arch = "x86_64")), "{line}");
    }
    let output = fisherscape(&format!("{surface} --precision tf32 --out t.csv"))
        .current_dir(folder.path())
        .assert()
        .code(1);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("--precision") && text.contains("--device cuda"), "{text}");
    Ok(())
}

/// Oracle: float32. Products in bfloat16, where they are asked for, give losses to two digits and Fisher information to a tenth in norm, and
/// are not float32's. Catches a precision that is ignored by one of these commands, or named in no result.
#[test]
fn products_in_bfloat16_are_near_float32() -> Outcome {
    for case in ["parity/cls", "parity/gpt2-clm", "parity/albert-cls"] {
        let folder = prepared(case)?;
        let run = |command: &str, out: &str, precision: &str| {
            let inputs = "--checkpoint model --set set.safetensors";
            let place = format!("--device {} --precision {precision}", device());
            let line = format!("{command} {inputs} {place} --out {out}");
            fisherscape(&line).current_dir(folder.path()).assert().success();
            std::fs::read_to_string(folder.path().join(format!("{out}.provenance.toml"))).unwrap()
        };
        let mut found: Vec<Vec<f32>> = Vec::new();
        for precision in ["float32", "bf16"] {
            let text = run("fisher", "g.safetensors", precision);
            assert!(text.contains(&format!(" {precision}")), "{text}");
            let all = tensors(&folder.path().join("g.safetensors"));
            found.push(all.values().flat_map(values).collect());
            run("surface --profile --resolution 3", "s.csv", precision);
            let mut table = csv::Reader::from_path(folder.path().join("s.csv"))?;
            let at = table.headers()?.iter().position(|name| name == "loss").unwrap();
            found.push(table.records().map(|row| row.unwrap()[at].parse().unwrap()).collect());
        }
        for (exact, rounded, bound) in [(&found[0], &found[2], 0.1), (&found[1], &found[3], 1e-2)] {
            let error = relative(rounded, exact);
            assert!(error > 1e-6 && error < bound, "{case}: {error:.1e}");
        }
    }
    Ok(())
}

/// Oracle: a run there that nothing came before. What a run on the CPU left unfinished (its table's place is taken, so it fails at the
/// end) is not gone on with elsewhere. Catches a journal that does not know where its numbers were computed.
#[test]
fn unfinished_work_of_the_cpu_is_not_gone_on_with_elsewhere() -> Outcome {
    let folder = prepared("parity/cls")?;
    let inputs = "--checkpoint model --set set.safetensors --fisher f.safetensors --draws 2";
    for (command, table) in [
        (format!("prune {inputs} --shares 0.1,0.5"), "prune.csv"),
        (format!("damage {inputs} --probes 2 --resamples 0"), "layers.csv"),
    ] {
        let run = |out: &str, device: &str| {
            fisherscape(&format!("{command} --out {out} --device {device}"))
                .current_dir(folder.path())
                .assert()
        };
        let (whole, mixed) = (format!("{table}.whole"), format!("{table}.mixed"));
        run(&whole, &device()).success();
        let place = folder.path().join(&mixed).join(table);
        std::fs::create_dir_all(&place)?;
        run(&mixed, "cpu").code(1);
        let name = command.split(' ').next().unwrap();
        assert!(folder.path().join(&mixed).join(format!("{name}.unfinished")).exists());
        std::fs::remove_dir(&place)?;
        run(&mixed, &device()).success();
        let read = |out: &str| std::fs::read(folder.path().join(out).join(table));
        assert!(read(&mixed)? == read(&whole)?, "{command}");
    }
    Ok(())
}

/// Oracle: the undisturbed training elsewhere, byte by byte. The state that a killed training on the CPU left is not gone on with; that
/// of a training elsewhere is. Catches a state that does not know where it was computed, and moments that stay on the device.
#[test]
#[cfg(unix)]
fn a_training_elsewhere_goes_on_from_its_own_state_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    std::fs::copy(embedded("train.tsv"), folder.path().join("t.tsv"))?;
    let options = "--table t.tsv --columns text,label --fraction 0.03 --epochs 20 --batch 16 --dropout none";
    let line = |out: &str, device: &str| {
        format!("train --checkpoint embedded {options} --save-moments --out {out} --device {device}")
    };
    let (state, device) = (folder.path().join("out/training.unfinished"), device());
    let written = || std::fs::metadata(&state).and_then(|own| own.modified()).ok();
    // Killed as soon as it has written its state.
    let until = |device: &str| -> Outcome {
        let before = written();
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
            .args(format!("-q {}", line("out", device)).split_whitespace())
            .current_dir(folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        while (written() == before || written().is_none()) && child.try_wait()?.is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill()?;
        child.wait()?;
        assert!(written().is_some());
        Ok(())
    };
    let run = |out: &str| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
        let output = command.args(line(out, &device).split_whitespace()).current_dir(folder.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    until("cpu")?;
    until(&device)?;
    let said = run("out");
    assert!(said.contains("resuming after"), "{said}");
    run("whole");
    for name in ["model.safetensors", "moments.safetensors", "history.csv"] {
        let [own, whole] = ["out", "whole"].map(|out| std::fs::read(folder.path().join(out).join(name)));
        assert!(own? == whole?, "{name}");
    }
    Ok(())
}
