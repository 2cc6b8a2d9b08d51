//! Files that lie: what is not ours stays as it is, no state is believed, no size is taken for granted.
//!
//! `docs/reliability.md` lists the cases.

use std::path::{Path, PathBuf};

use fisherscape::analysis;
use fisherscape::tables::surface::Grid;
use serde::{Deserialize, Serialize};

use crate::support::{Outcome, copy_folder, fisherscape, fixture};

/// An analysis of one step that takes time and a few that do not.
fn text() -> String {
    format!(
        r#"
title = "Small"
question = "q"
source = "s"
expectation = "e"
reading = "r"
[model]
checkpoint = "{}"
[data]
table = "{}"
columns = "sentence,label"
[fisher]
over = "task"
examples = 10
[schedule]
p_upper = 0.2
"#,
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    )
}

/// A folder with the analysis, a study of it with two cells, and `victim.txt`, which is no run's.
fn prepared() -> Outcome<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("a.toml"), text())?;
    let grid = "\n[[grid]]\nschedule.p_upper = [0.1, 0.2]\n";
    std::fs::write(folder.path().join("study.toml"), text() + grid)?;
    std::fs::create_dir(folder.path().join("others"))?;
    std::fs::write(folder.path().join("others/victim.txt"), "victim")?;
    Ok(folder)
}

/// Exit code and what is said, notes too.
fn run(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
    command.args(arguments.split_whitespace()).current_dir(folder).env("HF_HUB_OFFLINE", "1");
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn victim_stands(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("others/victim.txt")).is_ok_and(|text| text == "victim")
        && std::fs::read_dir(folder.join("others")).is_ok_and(|others| others.count() == 1)
}

/// A record, in the order in which its checksum is made.
#[derive(Serialize, Deserialize)]
struct Record {
    step: String,
    command: String,
    identity: String,
    seconds: f64,
    outputs: std::collections::BTreeMap<String, String>,
    notes: Vec<String>,
    excluded: Option<Vec<String>>,
    results: Vec<String>,
    checksum: Option<String>,
}

impl Record {
    fn read(path: &Path) -> Outcome<Record> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes it as someone would who knows how.
    fn forge(mut self, path: &Path) -> Outcome {
        self.checksum = None;
        self.checksum = Some(blake3::hash(&serde_json::to_vec(&self)?).to_hex().to_string());
        Ok(std::fs::write(path, serde_json::to_vec_pretty(&self)?)?)
    }
}

/// Oracle: the other files themselves. A record of another cell that names what lies outside of the run, in any of the ways a path
/// can, with its true hash and a checksum that fits: nothing outside is removed, replaced or written, and the step is run.
#[test]
fn a_record_reaches_nothing_outside_the_run() -> Outcome {
    let folder = prepared()?;
    let at = |path: &str| folder.path().join(path);
    assert_eq!(run(folder.path(), "run study.toml --out out").0, Some(0));
    let records = ["0.1", "0.2"].map(|cell| at(&format!("out/cells/{cell}/steps/Fisher_information.json")));
    let true_hash = blake3::hash(b"victim").to_hex().to_string();
    let whole = std::fs::read(&records[0])?;
    let absolute = at("others/victim.txt").display().to_string();
    let paths = [
        "../../../others/victim.txt",
        &absolute,
        "fisher/../../../../others/victim.txt",
        "evil/victim.txt",
        "",
        "fisher",
    ];
    for path in paths {
        std::fs::write(&records[0], &whole)?;
        let mut record = Record::read(&records[0])?;
        record.outputs.insert(path.to_string(), true_hash.clone());
        record.forge(&records[0])?;
        std::fs::remove_file(&records[1])?;
        #[cfg(unix)]
        for cell in ["0.1", "0.2"] {
            let link = at(&format!("out/cells/{cell}/evil"));
            if path.starts_with("evil") && !link.exists() {
                std::os::unix::fs::symlink(at("others"), link)?;
            }
        }
        let (code, said) = run(folder.path(), "run study.toml --out out");
        assert_eq!(code, Some(0), "{path}: {said}");
        assert!(victim_stands(folder.path()), "{path}");
        let kept = records[0].with_extension("json.broken");
        assert!(kept.exists() && said.contains("Fisher_information.json: damaged"), "{path}: {said}");
        std::fs::remove_file(kept)?;
        let again = Record::read(&records[1])?;
        assert!(!again.outputs.is_empty() && !again.outputs.contains_key(path), "{path}");
    }
    Ok(())
}

/// Oracle: the other files themselves. A link wherever a run writes or removes is refused by name, and what it leads to stays.
#[test]
#[cfg(unix)]
fn links_in_a_run_are_refused() -> Outcome {
    let folder = prepared()?;
    let at = |path: &str| folder.path().join(path);
    let target = |path: &str| {
        if path.contains('.') || path.ends_with("lock") { "others/victim.txt" } else { "others" }
    };
    let cases = [
        ("a.toml", "steps/lock"),
        ("a.toml", "steps"),
        ("a.toml", "tables"),
        ("a.toml", "figures"),
        ("a.toml", "fisher"),
        ("a.toml", "report.html"),
        ("study.toml", "cells/lock"),
        ("study.toml", "cells"),
        ("study.toml", "cells/0.1"),
        ("study.toml", "figures"),
    ];
    for (toml, path) in cases {
        for earlier in [false, true] {
            let out = tempfile::tempdir_in(folder.path())?;
            let command = format!("run {toml} --out {}", out.path().display());
            if earlier {
                assert_eq!(run(folder.path(), &command).0, Some(0));
                let own = out.path().join(path);
                if own.is_dir() {
                    std::fs::remove_dir_all(&own)?
                } else {
                    std::fs::remove_file(&own).unwrap_or(())
                }
            }
            let link = out.path().join(path);
            std::fs::create_dir_all(link.parent().ok_or("no folder")?)?;
            let target = if path.ends_with("0.1") { "others" } else { target(path) };
            std::os::unix::fs::symlink(at(target), &link)?;
            let (code, said) = run(folder.path(), &command);
            assert_eq!(code, Some(1), "{path}: {said}");
            assert!(said.contains("symbolic link") || said.contains("--out DIR"), "{path}: {said}");
            assert!(victim_stands(folder.path()) && link.is_symlink(), "{path}");
        }
    }
    // A second name of a file is no link: nothing is written through it.
    let out = at("second");
    std::fs::create_dir_all(out.join("steps"))?;
    std::fs::hard_link(at("others/victim.txt"), out.join("steps/lock"))?;
    assert_eq!(run(folder.path(), "run a.toml --out second").0, Some(0));
    std::fs::hard_link(at("others/victim.txt"), out.join("tables/mine.csv")).or_else(|_| {
        std::fs::create_dir_all(out.join("tables"))?;
        std::fs::hard_link(at("others/victim.txt"), out.join("tables/mine.csv"))
    })?;
    assert_eq!(run(folder.path(), "run a.toml --out second --force").0, Some(0));
    assert!(victim_stands(folder.path()));
    // Journals and states of single commands.
    std::os::unix::fs::symlink(at("others/victim.txt"), at("s.csv.unfinished"))?;
    std::fs::create_dir(at("trained"))?;
    std::os::unix::fs::symlink(at("others/victim.txt"), at("trained/training.unfinished"))?;
    let model = fixture("tiny/model").display().to_string();
    let table = format!("--table {} --columns sentence,label", fixture("tiny/sentiment.tsv").display());
    assert_eq!(
        run(folder.path(), &format!("freeze --checkpoint {model} {table} --out set.safetensors")).0,
        Some(0)
    );
    for command in [
        format!("surface --checkpoint {model} --set set.safetensors --resolution 2 --out s.csv"),
        format!("train --checkpoint {model} {table} --dropout none --epochs 1 --fraction 0.1 --out trained"),
    ] {
        let (code, said) = run(folder.path(), &command);
        assert!(code == Some(1) && said.contains("a plain file, or nothing yet"), "{said}");
        assert!(victim_stands(folder.path()), "{command}");
    }
    Ok(())
}

/// Oracle: the files themselves. What a user puts into the folders of a run stays; what stands under a name that the run needs, also
/// an edited result, is kept beside it; what is removed is what the run wrote.
#[test]
fn a_run_keeps_what_it_did_not_write() -> Outcome {
    let folder = prepared()?;
    let at = |path: &str| folder.path().join(path);
    for (toml, figures) in [("a.toml", "schedule"), ("study.toml", "cells/0.1/schedule")] {
        let out = at(toml.trim_end_matches(".toml"));
        let command = format!("run {toml} --out {}", out.display());
        assert_eq!(run(folder.path(), &command).0, Some(0));
        let mine =
            ["tables/thesis.tex", "figures/mine.svg", "notes.txt", "steps/notes", "sets/mine.safetensors"];
        for path in mine {
            std::fs::create_dir_all(out.join(path).parent().ok_or("no folder")?)?;
            std::fs::write(out.join(path), "mine")?;
        }
        std::fs::write(out.join("report.html"), "edited")?;
        let result = std::fs::read_dir(out.join(figures))?.flatten().map(|entry| entry.path());
        let result = result
            .into_iter()
            .find(|path| path.extension().is_some_and(|e| e == "csv"))
            .ok_or("no result")?;
        let before = std::fs::read(&result)?;
        std::fs::write(&result, "edited")?;
        for force in ["", " --force"] {
            let (code, said) = run(folder.path(), &format!("{command}{force}"));
            assert_eq!(code, Some(0), "{said}");
            for path in mine {
                assert_eq!(std::fs::read(out.join(path))?, b"mine", "{path}");
            }
        }
        assert_eq!(std::fs::read(&result)?, before);
        for edited in [out.join("report.html"), result] {
            let kept = PathBuf::from(format!("{}.kept", edited.display()));
            assert_eq!(std::fs::read(&kept)?, b"edited");
            assert!(!PathBuf::from(format!("{}2", kept.display())).exists());
        }
    }
    // A folder that only looks like a run's.
    for own in ["steps", "cells"] {
        let paper = at("paper");
        std::fs::create_dir_all(paper.join(own))?;
        std::fs::create_dir_all(paper.join("tables"))?;
        std::fs::write(paper.join("tables/thesis.tex"), "mine")?;
        let (code, said) = run(folder.path(), "run a.toml --out paper");
        assert!(code == Some(1) && said.contains("--out DIR"), "{said}");
        assert_eq!(std::fs::read(paper.join("tables/thesis.tex"))?, b"mine");
        std::fs::remove_dir_all(paper)?;
    }
    Ok(())
}

/// Oracle: the record before. A record that is changed or cut counts as none: said, and its step alone is run again, to the same
/// record. One of an earlier version, without its checksum, holds by the hashes in it; a time that no clock holds is no panic.
#[test]
fn a_damaged_record_is_no_record() -> Outcome {
    let folder = prepared()?;
    assert_eq!(run(folder.path(), "run a.toml --out out").0, Some(0));
    let path = folder.path().join("out/steps/Fisher_information.json");
    let whole = std::fs::read_to_string(&path)?;
    let outputs = Record::read(&path)?.outputs;
    let changes = [
        whole.replacen("\"seconds\": ", "\"seconds\": 1", 1),
        whole[..whole.len() / 2].to_string(),
        String::new(),
        "[]".into(),
        whole.replacen("\"notes\": [", "\"notes\": [\"a note\",", 1).replace("\",]", "\"]"),
    ];
    for text in changes {
        std::fs::write(&path, text)?;
        let (code, said) = run(folder.path(), "run a.toml --out out");
        assert!(code == Some(0) && said.contains("damaged") && said.contains("1 of them run now"), "{said}");
        assert_eq!(Record::read(&path)?.outputs, outputs);
        let kept = path.with_extension("json.broken");
        if kept.exists() {
            std::fs::remove_file(kept)?;
        }
        for entry in std::fs::read_dir(folder.path().join("out/fisher"))?.flatten() {
            assert!(!entry.path().to_string_lossy().ends_with("kept"), "the same file is kept twice");
        }
    }
    let mut record = Record::read(&path)?;
    record.checksum = None;
    std::fs::write(&path, serde_json::to_vec(&record)?)?;
    let (code, said) = run(folder.path(), "run a.toml --out out");
    assert!(code == Some(0) && said.contains("0 of them run now"), "{said}");
    record.seconds = 1e300;
    record.forge(&path)?;
    let output = outputs.keys().next().ok_or("no output")?;
    std::fs::remove_file(folder.path().join("out").join(output))?;
    let (code, said) = run(folder.path(), "run a.toml --out out");
    assert!(code == Some(0) && !said.contains("panicked"), "{said}");
    Ok(())
}

/// Oracle: the uninterrupted run, byte by byte. A journal or the vectors beside it, changed at any of many places, cut or emptied: the
/// numbers are the same, or the change is named with an error; nothing panics.
#[test]
fn no_journal_is_believed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    let model = fixture("tiny/model").display().to_string();
    let table = format!("--table {} --columns sentence,label", fixture("tiny/sentiment.tsv").display());
    let freeze = format!("freeze --checkpoint {model} {table} --examples 8 --out set.safetensors");
    assert_eq!(run(folder.path(), &freeze).0, Some(0));
    let inputs = format!("--checkpoint {model} --set set.safetensors");
    let sharpness =
        format!("sharpness {inputs} --directions 2 --signs 2 --probes 2 --steps 3 --ascent 1 --out");
    for (command, states) in [
        (format!("surface {inputs} --resolution 3 --per-example --out"), vec!["s.csv.unfinished"]),
        (sharpness, vec!["s.csv.unfinished", "s.basis.unfinished"]),
    ] {
        assert_eq!(run(folder.path(), &format!("{command} whole.csv")).0, Some(0));
        let whole = std::fs::read(at("whole.csv"))?;
        // A run that cannot write its provenance at the end leaves its journal.
        std::fs::remove_file(at("s.csv.provenance.toml")).ok();
        std::fs::create_dir(at("s.csv.provenance.toml"))?;
        assert_eq!(run(folder.path(), &format!("{command} s.csv")).0, Some(1));
        std::fs::remove_dir(at("s.csv.provenance.toml"))?;
        let kept: Vec<Vec<u8>> = states.iter().map(|state| std::fs::read(at(state)).unwrap()).collect();
        for (i, state) in states.iter().enumerate() {
            let bytes = &kept[i];
            let mut changed: Vec<Vec<u8>> =
                vec![Vec::new(), bytes[..bytes.len() / 2].to_vec(), b"[]\n".to_vec()];
            for part in 0..6 {
                let mut other = bytes.clone();
                let place = (bytes.len() - 1) * part / 5;
                other[place] ^= 1;
                changed.push(other);
            }
            if state.ends_with("csv.unfinished") {
                let text = String::from_utf8(bytes.clone())?;
                let first = text.lines().next().ok_or("no line")?;
                changed.push(format!("{first}\n[]\n").into_bytes());
            }
            for (n, other) in changed.iter().enumerate() {
                for (state, bytes) in states.iter().zip(&kept) {
                    std::fs::write(at(state), bytes)?;
                }
                std::fs::write(at(state), other)?;
                let (code, said) = run(folder.path(), &format!("{command} s.csv"));
                assert_eq!(code, Some(0), "{state}, change {n}: {said}");
                assert!(std::fs::read(at("s.csv"))? == whole, "{state}, change {n}");
                for name in std::fs::read_dir(folder.path())?.flatten().map(|entry| entry.path()) {
                    if name.to_string_lossy().contains(".broken") {
                        assert!(said.contains("anew"), "{said}");
                        std::fs::remove_file(name)?;
                    }
                }
                std::fs::remove_file(at("s.csv"))?;
            }
        }
    }
    Ok(())
}

/// Oracle: the uninterrupted run, byte by byte. The state of a killed training, changed in its numbers, its moments' shape, the step it
/// claims, or without its checksum, is set aside, and training begins anew.
#[test]
fn no_training_state_is_believed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    let train = format!(
        "train --checkpoint {} --table {} --columns sentence,label --dropout none --epochs 30 --eval-steps 5 --batch 4 --fraction 0.5 --threads 1 --out",
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    assert_eq!(run(folder.path(), &format!("{train} whole")).0, Some(0));
    let state = at("cut/training.unfinished");
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args(format!("-q {train} cut").split_whitespace())
        .current_dir(folder.path())
        .spawn()?;
    while !state.exists() {
        assert!(child.try_wait()?.is_none(), "ended without leaving a state");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    let whole = std::fs::read(&state)?;
    let header = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let place = whole[..header].windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut other = whole.clone();
        other[place..][..to.len()].copy_from_slice(to.as_bytes());
        other
    };
    let flipped = |place: usize| {
        let mut other = whole.clone();
        other[place] ^= 16;
        other
    };
    // The number that comes behind these characters, as 9s.
    let nines = |before: &str| {
        let text = String::from_utf8_lossy(&whole[..header]).into_owned();
        let place = text.find(before).unwrap() + before.len();
        let digits: String = text[place..].chars().take_while(char::is_ascii_digit).collect();
        replaced(&format!("{before}{digits}"), &format!("{before}{}", "9".repeat(digits.len())))
    };
    let cases = [
        whole[..whole.len() - 4].to_vec(),
        Vec::new(),
        flipped(header + 2),
        flipped(whole.len() - 1),
        nines("\\\"step\\\":"),
        nines("\"optimizer_steps\":\""),
        replaced("\"checksum\"", "\"checksun\""),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        std::fs::write(&state, case)?;
        let (code, said) = run(folder.path(), &format!("{train} cut"));
        assert!(code == Some(0) && said.contains("training begins anew"), "case {n}: {said}");
        let kept = at("cut/training.unfinished.broken");
        assert!(kept.exists() && !state.exists(), "case {n}");
        std::fs::remove_file(kept)?;
        for file in ["model.safetensors", "history.csv", "best/model.safetensors"] {
            assert!(
                std::fs::read(at("cut").join(file))? == std::fs::read(at("whole").join(file))?,
                "{n}: {file}"
            );
        }
    }
    std::fs::write(&state, &whole)?;
    let (_, said) = run(folder.path(), &format!("{train} cut"));
    assert!(said.contains("resuming after"), "{said}");
    Ok(())
}

/// Oracle: the secret itself, which no message holds. A data set of HDF5 that lies in another file, of any kind, is refused with that
/// file's name; one that was never written and one in huge chunks are refused by their size.
#[test]
fn surfaces_of_other_files_are_refused() -> Outcome {
    use rust_hdf5::{H5File, Selection};
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    std::fs::write(at("secret"), [0x41u8; 72])?;
    let other = H5File::create(at("other.h5"))?;
    other.new_dataset::<f64>().shape([3, 3]).create("loss")?.write_raw(&[7.25f64; 9])?;
    other.close()?;
    let (secret, source) = (at("secret").display().to_string(), at("other.h5").display().to_string());
    type Part<'a> = (&'a str, &'a str, &'a [&'a str]);
    let cases: [Part; 5] = [
        ("external", "train_loss", &["train_loss", "in this file", "secret"]),
        ("virtual", "train_loss", &["train_loss", "in this file", "other.h5"]),
        ("external", "further", &["further", "in this file", "secret"]),
        ("virtual", "xcoordinates", &["xcoordinates", "in this file", "other.h5"]),
        ("vast", "train_loss", &["train_loss", "at most 67108864 numbers", "found 500000000, 3814 MiB"]),
    ];
    for (kind, name, words) in cases {
        let path = at("s.h5");
        let file = H5File::create(&path)?;
        for own in ["xcoordinates", "ycoordinates", "train_loss", "further"] {
            let shape: &[usize] = if own.ends_with("coordinates") { &[3] } else { &[3, 3] };
            let set = file.new_dataset::<f64>().shape(shape);
            let values: Vec<f64> = (0..shape.iter().product()).map(|i| i as f64).collect();
            match kind {
                _ if own != name => set.create(own)?.write_raw(&values)?,
                "external" => drop(set.external(&[(secret.as_str(), 0, 72)]).create(own)?),
                "virtual" => {
                    drop(set.virtual_mapping(Selection::All, &source, "loss", Selection::All).create(own)?)
                }
                _ => drop(file.new_dataset::<i8>().shape([500_000_000]).chunk(&[1 << 20]).create(own)?),
            }
        }
        file.close()?;
        let message =
            Grid::read(&path).map(|grid| panic!("{kind} {name}: {grid:?}")).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    // Of another length than the grid: left out before it is read.
    let file = H5File::create(at("wide.h5"))?;
    for (own, shape) in [("xcoordinates", vec![3usize]), ("train_loss", vec![3])] {
        file.new_dataset::<f64>().shape(&shape).create(own)?.write_raw(&[0.0f64, 1.0, 2.0])?;
    }
    drop(file.new_dataset::<i8>().shape([1 << 34]).chunk(&[1 << 20]).create("vast")?);
    file.close()?;
    assert!(Grid::read(&at("wide.h5"))?.columns.is_empty());
    Ok(())
}

/// Oracle: sizes by hand. An archive that unpacks to more than a surface has, by one member, by many, by narrow numbers or by entries
/// that share a member, is refused before that much memory is asked for.
#[test]
fn archives_that_unpack_without_end_are_refused() -> Outcome {
    use std::io::Write;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.npz");
    let deflated =
        || zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let archive = |kind: &str, members: usize, bytes: usize| -> Outcome {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path)?);
        for i in 0..members {
            archive.start_file(format!("a{i}.npy"), deflated())?;
            let width: usize = kind[2..].parse()?;
            let head =
                format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({},), }}", bytes / width);
            archive.write_all(b"\x93NUMPY\x01\x00")?;
            archive.write_all(&(head.len() as u16).to_le_bytes())?;
            archive.write_all(head.as_bytes())?;
            let zeros = vec![0u8; 1 << 20];
            for _ in 0..bytes >> 20 {
                archive.write_all(&zeros)?;
            }
        }
        archive.finish()?;
        Ok(())
    };
    let cases = [
        ("<f8", 1, 513 << 20, "512 MiB"),
        ("|i1", 1, 65 << 20, "67108864"),
        ("|i1", 2, 33 << 20, "67108864"),
    ];
    for (kind, members, bytes, words) in cases {
        archive(kind, members, bytes)?;
        let message = Grid::read(&path).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("s.npz"), "{message}");
    }
    // Two entries of the directory on one member: the second one's offset is that of the first.
    archive("<f8", 2, 1 << 20)?;
    let mut bytes = std::fs::read(&path)?;
    let directory = bytes.windows(4).rposition(|part| part == b"PK\x01\x02").ok_or("no entry")?;
    bytes[directory + 42..][..4].copy_from_slice(&[0; 4]);
    let first = bytes.windows(4).position(|part| part == b"PK\x01\x02").ok_or("no entry")?;
    let second =
        bytes.windows(4).enumerate().skip(4).find(|(_, part)| *part == b"PK\x03\x04").ok_or("no member")?.0;
    // What nothing points to any more is taken out, so that the file holds one member's bytes.
    let end = bytes.len() - 22 + 16;
    bytes[end..][..4].copy_from_slice(&(second as u32).to_le_bytes());
    bytes.drain(second..first);
    std::fs::write(&path, bytes)?;
    let message = Grid::read(&path).unwrap_err().to_string();
    assert!(message.contains("overlap"), "{message}");
    Ok(())
}

/// Oracle: counted by hand. Seeds, grids and the product of their values are counted before anything is made.
#[test]
fn analyses_without_end_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.toml");
    let train = "[train]\narms = [\"none\"]\n";
    let values = |n: usize| (0..n).map(|i| format!("{}", i + 1)).collect::<Vec<_>>().join(",");
    let grid = |n: usize| format!("[[grid]]\nfisher.examples = [{}]\n", values(n));
    let tables: String = (0..20).map(|_| grid(100)).collect();
    let wide = format!("[[grid]]\nfisher.examples = [{0}]\nseed = [{0}]\n", values(20_000));
    let cases = [
        (format!("{train}seeds = 1000000000\n"), vec!["`train.seeds` must be from 1 to 1000", "1000000000"]),
        (tables, vec!["at most 1000 are possible", "1100 cells or more"]),
        (wide, vec!["at most 1000 are possible", "400000000 cells or more"]),
    ];
    for (text_after, words) in cases {
        std::fs::write(&path, text() + &text_after)?;
        let message = analysis::load(&path.display().to_string(), &[]).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    Ok(())
}

/// Oracle: the sizes that are written into a sound table's first header. Each is refused with what was wanted, and no panic is shown.
#[test]
fn pages_that_ask_for_too_much_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    let whole = std::fs::read(fixture("rows/snappy.parquet"))?;
    // Kind, bytes unpacked, bytes packed, and of a dictionary in a struct of its own the number of values.
    let mut at = vec![5];
    for skip in [1, 1, 2] {
        let mut place = *at.last().ok_or("none")?;
        while whole[place] > 127 {
            place += 1;
        }
        at.push(place + 1 + skip);
    }
    assert_eq!((&whole[..5], whole[at[3] - 2]), (&b"PAR1\x15"[..], 0x4c), "the first page is no dictionary");
    let written = |place: usize| {
        let mut end = place;
        while whole[end] > 127 {
            end += 1;
        }
        // 2^31 - 1 in zigzag and groups of seven bits.
        [&whole[..place], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &whole[end + 1..]].concat()
    };
    let run = |bytes: &[u8]| -> Outcome<String> {
        std::fs::write(&path, bytes)?;
        let freeze = format!(
            "freeze --checkpoint {} --table t.parquet --columns text,id --out o.safetensors",
            fixture("tiny/model").display()
        );
        let output = fisherscape(&freeze).current_dir(folder.path()).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert!(output.status.code().is_some_and(|code| code < 2) && !said.contains("panicked"), "{said}");
        Ok(said)
    };
    assert_eq!(run(&whole)?, "");
    for (place, words) in [(at[1], "2047 MiB"), (at[2], "2147483647"), (at[3], "memory for 2147483647")] {
        let message = run(&written(place))?;
        assert!(message.contains("t.parquet: `page of id`") && message.contains(words), "{message}");
    }
    for place in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        run(&bytes)?;
    }
    Ok(())
}

/// Oracle: the count that is written into a sound page. More lengths of texts than values are refused before memory is asked for.
#[test]
fn pages_with_more_lengths_than_values_are_refused() -> Outcome {
    use parquet::basic::Encoding;
    use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("t.parquet");
    // As many as need four bytes: then the count can be changed in its place.
    const ROWS: usize = 1 << 21;
    let schema = "message s { required binary text (UTF8); required int32 label; }";
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_column_encoding("text".into(), encoding)
            .set_data_page_size_limit(1 << 30)
            .set_data_page_row_count_limit(ROWS)
            .set_write_batch_size(ROWS)
            .build();
        let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema)?);
        let mut writer = SerializedFileWriter::new(std::fs::File::create(&path)?, schema, properties.into())?;
        let mut group = writer.next_row_group()?;
        let mut text = group.next_column()?.ok_or("no column")?;
        text.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from(""); ROWS], None, None)?;
        text.close()?;
        let mut label = group.next_column()?.ok_or("no column")?;
        label.typed::<Int32Type>().write_batch(&vec![0; ROWS], None, None)?;
        label.close()?;
        group.close()?;
        writer.close()?;
        let whole = std::fs::read(&path)?;
        // Blocks of 128 values in four parts, and the count; one list of lengths, or two.
        let list = [0x80, 0x01, 0x04, 0x80, 0x80, 0x80, 0x01];
        let places: Vec<usize> =
            whole.windows(7).enumerate().filter(|(_, part)| *part == list).map(|(at, _)| at).collect();
        assert_eq!(places.len(), if encoding == Encoding::DELTA_BYTE_ARRAY { 2 } else { 1 });
        for place in places {
            let mut bytes = whole.clone();
            bytes[place + 3..][..4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
            std::fs::write(&path, bytes)?;
            let freeze = format!(
                "freeze --checkpoint {} --table t.parquet --columns text,label --out o.safetensors",
                fixture("tiny/model").display()
            );
            let (code, said) = run(folder.path(), &freeze);
            assert!(code == Some(1) && said.contains("memory for 268435455 lengths"), "{encoding}: {said}");
        }
    }
    Ok(())
}

/// Oracle: the device that is always full. What a script reads from standard output is whole, or the exit code says that it is not; the
/// files are written all the same.
#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_an_error() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let inputs = format!("--checkpoint {} --set {}", model.display(), set.display());
    for command in [
        format!("loss {inputs} --json"),
        format!("fisher {inputs} --out f.safetensors"),
        "list --show quickstart".to_string(),
        "check quickstart".to_string(),
        "--help".to_string(),
        "--version".to_string(),
    ] {
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
            .args(command.split_whitespace())
            .current_dir(folder.path())
            .stdout(std::fs::OpenOptions::new().write(true).open("/dev/full")?)
            .output()?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{command}: {message}");
        assert!(message.contains("error: cannot write standard output"), "{command}: {message}");
    }
    assert!(folder.path().join("f.safetensors").exists());
    Ok(())
}

/// Oracle: the bytes before. Where a run stops, the page and the tables of the run before stand, and that is said.
#[test]
fn a_run_that_stops_leaves_the_page_before() -> Outcome {
    let folder = prepared()?;
    let at = |path: &str| folder.path().join(path);
    assert_eq!(run(folder.path(), "run a.toml --out out").0, Some(0));
    let page = std::fs::read(at("out/report.html"))?;
    let tables = std::fs::read_dir(at("out/tables"))?.count();
    // The next step writes there.
    std::fs::remove_file(at("out/schedule/rates.csv"))?;
    std::fs::create_dir(at("out/schedule/rates.csv"))?;
    let (code, said) = run(folder.path(), "run a.toml --out out --set schedule.p_upper=0.3");
    assert!(code == Some(1) && said.contains("report.html and the tables are of the run before"), "{said}");
    assert!(std::fs::read(at("out/report.html"))? == page);
    assert_eq!(std::fs::read_dir(at("out/tables"))?.count(), tables);
    std::fs::remove_dir(at("out/schedule/rates.csv"))?;
    assert_eq!(run(folder.path(), "run a.toml --out out --set schedule.p_upper=0.3").0, Some(0));
    assert!(std::fs::read(at("out/report.html"))? != page);
    Ok(())
}

/// Oracle: the answers of the run itself. Where nothing can be written, as on a disk that is read alone, a finished run or study still
/// gives its answers, and one that is not finished says why not. (Root may write everywhere: there another user asks.)
#[test]
#[cfg(target_os = "linux")]
fn a_finished_run_answers_where_nothing_can_be_written() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = prepared()?;
    let at = |path: &str| folder.path().join(path);
    // Where another user may read them, too.
    copy_folder(&fixture("tiny/model"), &at("model"));
    std::fs::copy(fixture("tiny/sentiment.tsv"), at("sentiment.tsv"))?;
    let own = |text: String, name: &str| {
        text.replace(&fixture(&format!("tiny/{name}")).display().to_string(), &at(name).display().to_string())
    };
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set_mode(folder.path(), 0o755)?;
    let cases = [
        ("a.toml", "steps", "0 of them run now", "schedule.p_upper=0.3"),
        ("study.toml", "cells", "2 of 2 cells", "fisher.examples=9"),
    ];
    for (file, lock, done, change) in cases {
        std::fs::write(at(file), own(own(std::fs::read_to_string(at(file))?, "model"), "sentiment.tsv"))?;
        let out = format!("{file}.out");
        let (code, first) = run(folder.path(), &format!("run {file} --out {out}"));
        assert_eq!(code, Some(0), "{first}");
        let locked =
            [format!("{out}/{lock}/lock"), format!("{out}/{lock}"), out.clone()].map(|path| at(&path));
        locked.iter().try_for_each(|path| set_mode(path, 0o555))?;
        let is_root = std::fs::write(&locked[0], "").is_ok();
        let asked = |more: &[&str]| -> Outcome<(bool, String)> {
            let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
            command.args(["-q", "run", file, "--out", &out]).args(more);
            command.current_dir(folder.path()).env("HOME", "/nonexistent");
            if is_root {
                command.uid(65534).gid(65534);
            }
            let output = command.output()?;
            let said = String::from_utf8([output.stdout, output.stderr].concat())?;
            Ok((output.status.success(), said))
        };
        let (again, other) = (asked(&[]), asked(&["--set", change]));
        locked.iter().try_for_each(|path| set_mode(path, 0o755))?;
        // The binary may lie where that user may not go.
        let Ok((success, said)) = again else { return Ok(()) };
        assert!(success && said.contains(done), "{file}: {said}");
        let mut answers = first.lines().filter(|line| line.ends_with('.'));
        assert!(answers.any(|line| said.contains(line)), "{file}: {first}{said}");
        let (success, said) = other?;
        assert!(!success && said.contains("cannot lock "), "{file}: {said}");
    }
    Ok(())
}

/// A copy of a folder of fixtures in which one file is changed.
fn changed(from: &str, to: &Path, file: &str, change: impl Fn(&mut serde_json::Value)) -> Outcome {
    crate::support::copy_folder(&fixture(from), to);
    let mut value = crate::support::json(&to.join(file));
    change(&mut value);
    Ok(std::fs::write(to.join(file), value.to_string())?)
}

/// Oracle: the file's own words. A size that no model has is refused by its name before memory is taken for it, in every architecture; and a
/// head is drawn only in the sizes that the weights have. Memory is limited, so what is believed ends otherwise. A spread that makes infinite
/// heads is refused.
#[test]
#[cfg(unix)]
fn sizes_of_a_configuration_are_asked_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model");
    let limited = |command: &str| {
        let program = assert_cmd::cargo::cargo_bin("fisherscape").display().to_string();
        let line = format!("ulimit -v 2000000; exec '{program}' --threads 1 {command}");
        let output =
            std::process::Command::new("bash").args(["-c", &line]).current_dir(folder.path()).output()?;
        Ok::<_, std::io::Error>((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let widths = [
        "hidden_size",
        "intermediate_size",
        "n_embd",
        "n_inner",
        "dim",
        "hidden_dim",
        "embedding_size",
        "head_dim",
    ];
    let rows = ["vocab_size", "max_position_embeddings", "n_positions", "type_vocab_size"];
    let layers = ["num_hidden_layers", "n_layer", "n_layers"];
    let mut asked = 0;
    for entry in std::fs::read_dir(fixture("parity"))?.flatten().filter(|entry| entry.path().is_dir()) {
        let name = format!("parity/{}/model", entry.file_name().to_string_lossy());
        let own = crate::support::json(&fixture(&name).join("config.json"));
        for (keys, size) in
            [(&widths[..], 1u64 << 33), (&rows, 1_000_000_000_000_000), (&layers, 1_000_000_000)]
        {
            for key in keys.iter().filter(|key| own.get(**key).is_some_and(|value| value.is_u64())) {
                changed(&name, &model, "config.json", |config| config[key] = size.into())?;
                let read = fisherscape::model::architectures::read(&model.join("config.json"));
                let text = read.err().ok_or(format!("{name}: {key}"))?.to_string();
                assert!(text.contains(key) && text.contains("at most"), "{name}: {text}");
                asked += 1;
            }
        }
        std::fs::remove_dir_all(&model)?;
    }
    assert!(asked > 100, "{asked}");
    for (key, size, word) in [
        ("vocab_size", serde_json::json!(100_000_000), "shape"),
        ("hidden_size", serde_json::json!(1_000_000), "shape"),
        ("initializer_range", serde_json::json!(1e308), "from 0 to 1000"),
    ] {
        changed("parity/cls/model", &model, "config.json", |config| config[key] = size.clone())?;
        let (code, text) = limited("pretrain --steps 0 --checkpoint model --out out")?;
        assert!(code == Some(1) && text.contains(word), "{key}: {text}");
    }
    Ok(())
}

/// Oracle: the files' own words. Tokenizers in which the library panics, at once or with a text, and one whose special tokens share an id, are
/// told as unusable, with nothing of the panic beside it.
#[test]
fn tokenizers_that_cannot_be_used_are_told() -> Outcome {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model");
    let precompiled = |map: &str| serde_json::json!({"type": "Precompiled", "precompiled_charsmap": map});
    let replaced = |letters: usize| serde_json::json!({"type": "Replace", "pattern": {"String": "e"}, "content": "e".repeat(letters)});
    type Change = (&'static str, serde_json::Value, &'static str);
    let cases: [Change; 8] = [
        // A table of 2^31 - 1 bytes, alone and inside a sequence: memory would be taken for it.
        ("normalizer", precompiled("////fwAAAAA="), "of 2147483647 bytes, as it says"),
        (
            "normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, precompiled("////fwAAAAA=")]}),
            "of 2147483647 bytes, as it says",
        ),
        ("normalizer", precompiled("AAAA"), "the tokenizer cannot be read"),
        // Of 4 bytes of length, 8 of a table and 3 of text.
        ("normalizer", precompiled("CAAAAAAAAAD///9/YWJj"), "cannot read the text"),
        ("pre_tokenizer", serde_json::json!({"type": "FixedLength", "length": 0}), "cannot read the text"),
        ("model", serde_json::Value::Null, "share the id 2"),
        // Ten thousand letters before each text; three thousand of it in two turns.
        (
            "normalizer",
            serde_json::json!({"type": "Prepend", "prepend": "x".repeat(10_000)}),
            "at most 4096 bytes, found 10001",
        ),
        (
            "normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": [replaced(80), replaced(80)]}),
            "at most 4096 bytes, found 6400",
        ),
    ];
    for (key, value, words) in cases {
        crate::support::copy_folder(&fixture("tiny/model"), &model);
        changed("tokenizer/template", &model, "tokenizer.json", |tokenizer| match &value {
            serde_json::Value::Null => {
                let vocabulary = serde_json::json!({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 2});
                tokenizer["model"] =
                    serde_json::json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary});
                tokenizer["added_tokens"] = serde_json::json!([]);
                tokenizer["post_processor"] = serde_json::Value::Null;
            }
            other => tokenizer[key] = other.clone(),
        })?;
        let table = format!("--table {} --columns sentence,label", fixture("tiny/sentiment.tsv").display());
        let (code, said) =
            run(folder.path(), &format!("freeze --checkpoint model {table} --out o.safetensors"));
        assert!(code == Some(1) && said.contains(words) && !said.contains("panicked"), "{key}: {said}");
    }
    Ok(())
}

/// Oracle: the F file itself. Sums by example that are no numbers, lack a tensor, or are of other data (their mean is not F) give no error of a score: they are
/// refused by name, in every command that reads them.
#[test]
fn sums_of_other_data_are_refused() -> Outcome {
    use fisherscape::fisher::{Fisher, files};
    use fisherscape::stats::clusters::Clusters;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("F.safetensors");
    let stored = files::read(&fixture("parity/cls/fisher.safetensors"))?;
    let totals = files::tensor_sums(&stored.diagonal)?;
    let write = |change: fn(f64, usize, usize) -> f64| {
        let sums = ndarray::Array2::from_shape_fn((2, totals.len()), |(n, t)| change(totals[t], n, t));
        let fisher = Fisher {
            diagonal: stored.diagonal.clone(),
            sums,
            skipped: 0,
            used: vec![0, 1],
            clusters: Clusters::default(),
        };
        files::write(&path, &fisher, &stored.layout, &Default::default(), true)
    };
    write(|total, n, _| total * (0.5 + n as f64))?;
    assert_eq!(run(folder.path(), "schedule --fisher F.safetensors --out R.csv").0, Some(0));
    type Change = (fn(f64, usize, usize) -> f64, &'static str);
    let cases: [Change; 4] = [
        (|total, n, t| if (n, t) == (1, 3) { f64::NAN } else { total }, "finite and not negative"),
        (|total, n, t| if (n, t) == (1, 3) { -1e300 } else { total }, "finite and not negative"),
        (|total, _, _| total * 1.01, "whose mean the Fisher file holds"),
        (|_, n, _| n as f64, "whose mean the Fisher file holds"),
    ];
    for (change, words) in cases {
        write(change)?;
        for command in
            ["schedule --fisher F.safetensors --out R.csv", "audit --fisher F.safetensors --out audit"]
        {
            let (code, said) = run(folder.path(), command);
            assert!(
                code == Some(1) && said.contains("F.examples.safetensors") && said.contains(words),
                "{command}: {said}"
            );
        }
    }
    Ok(())
}

/// Oracle: the keys themselves. A path of no letters in an analysis is told by its key and line; a shard of an index that is no file's name is
/// told as one that is not there.
#[test]
fn paths_of_nothing_are_told_where_they_stand() -> Outcome {
    let folder = prepared()?;
    let data = format!("table = \"{}\"", fixture("tiny/sentiment.tsv").display());
    let checkpoint = format!("checkpoint = \"{}\"", fixture("tiny/model").display());
    for (key, from, to) in [
        ("data.table", data.as_str(), "table = \"\""),
        ("data.text", "columns", "text = \"\"\ncolumns"),
        ("model.checkpoint", &checkpoint, "checkpoint = \"\""),
    ] {
        std::fs::write(folder.path().join("a.toml"), text().replacen(from, to, 1))?;
        let (code, said) = run(folder.path(), "check a.toml");
        assert!(code == Some(1) && said.contains("a.toml:") && said.contains(key), "{said}");
    }
    let model = folder.path().join("model");
    std::fs::create_dir(&model)?;
    std::fs::copy(fixture("tiny/model/config.json"), model.join("config.json"))?;
    for shard in ["..", ".", "/", "", "a/../a.safetensors", "./a.safetensors"] {
        std::fs::copy(fixture("tiny/model/model.safetensors"), model.join("a.safetensors"))?;
        let index = serde_json::json!({"weight_map": {"bert.pooler.dense.bias": shard}});
        std::fs::write(model.join("model.safetensors.index.json"), index.to_string())?;
        let error = fisherscape::model::Checkpoint::open(&model).err().ok_or(shard)?.to_string();
        assert!(error.contains("weight_map") && error.contains("not there"), "{shard}: {error}");
    }
    Ok(())
}

/// Oracle: a clock, generously. Work on long headers and tables grows with their length, not with its square: of these a square would be minutes.
/// Their messages are short, and name the file.
#[test]
fn long_tables_take_no_square_of_time() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
    let many = |f: fn(usize) -> String, n: usize| (0..n).map(f).collect::<String>();
    let cells = |n: usize| (many(|i| format!(",c{i}"), n), ",1".repeat(n));
    let (names, values) = cells(200_000);
    write("surface.csv", format!("x,y,loss{names}\n0,0,1{values}\n"))?;
    let header = "name,site,block,numel,mean,mean_se,sum,max\n";
    let row = |i: usize| format!("a{},embeddings,embeddings,1,1,0,1,1\n", i % 99_999);
    write("F.csv", format!("{header}{}", many(row, 100_000)))?;
    write("a_b.csv", format!("a{names}\n1{values}\n"))?;
    write("axis.csv", "x,y,loss\n".to_string() + &many(|i| format!("{i},0,1\n"), 100) + "nan,0,1\n")?;
    write("unequal_rows.csv", "a,b\n1\n".into())?;
    let started = std::time::Instant::now();
    for (command, code, words) in [
        ("render surface.csv --out o.csv", 0, ""),
        ("render F.csv --out o.svg", 1, "a0 twice"),
        ("render a_b.csv --out o.md", 0, ""),
        ("render axis.csv --out o.npz", 1, "axis.csv"),
        ("render unequal_rows.csv --out o.md", 1, "unequal_rows.csv"),
    ] {
        let (found, said) = run(folder.path(), command);
        assert!(found == Some(code) && said.contains(words) && said.len() < 2000, "{command}: {said}");
    }
    assert!(started.elapsed().as_secs() < 60, "{} s", started.elapsed().as_secs());
    Ok(())
}
