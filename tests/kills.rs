//! Faults of the machine: kills, full disks, folders that cannot be written, files that cannot be read, too little memory.
//!
//! A few run with the tests. `FISHERSCAPE_KILLS=COUNT:SEED cargo test --release --test main -- --ignored --nocapture kills::many` kills
//! as often as one likes, and `kills::full_disks` fills small disks (Linux, for its `unshare`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fisherscape::rng::Stream;

use crate::analysis::{results, same};
use crate::hub::Hub;
use crate::support::{Outcome, fixture};

/// A command that can be killed.
struct Job {
    name: &'static str,
    /// `OUT` stands for a folder, `IN` for that of the inputs.
    command: String,
    /// Whether what is kept is the hub's cache.
    fetches: bool,
}

const ANALYSIS: &str = r#"
title = "Small"
question = "q"
source = "s"
expectation = "e"
reading = "r"
[model]
checkpoint = "MODEL"
[data]
table = "TABLE"
columns = "sentence,label"
[fisher]
over = "task"
examples = 20
[schedule]
p_upper = 0.2
[train]
arms = ["guided", "uniform:0.1"]
seeds = 1
epochs = 1
fraction = 0.2
"#;
const SURFACES: &str = "[surface]\nmasks = [\"all\"]\nexamples = 20\nresolution = 3\n";
const CELLS: &str = "[[grid]]\nschedule.p_upper = [0.1, 0.2]\n";

fn jobs() -> Vec<Job> {
    let job = |name, command: &str| Job { name, command: command.to_string(), fetches: false };
    let model = fixture("tiny/model").display().to_string();
    let table = format!("--table {} --columns sentence,label", fixture("tiny/sentiment.tsv").display());
    let inputs = format!("--checkpoint {model} --set IN/set.safetensors");
    vec![
        job("run", "run IN/run.toml --out OUT"),
        job("study", "run IN/study.toml --out OUT"),
        job(
            "train",
            &format!(
                "train --checkpoint {model} {table} --dropout uniform:0.1 --epochs 2 --snapshots 3 --out OUT"
            ),
        ),
        job(
            "stability",
            &format!("stability --checkpoint {model} --set IN/set.safetensors --repeats 20 --out OUT"),
        ),
        job("surface", &format!("surface {inputs} --resolution 15 --per-example --out OUT/s.csv")),
        job(
            "sharpness",
            &format!(
                "sharpness {inputs} --directions 4 --signs 8 --probes 4 --steps 6 --ascent 2 --by block --out OUT/s.csv"
            ),
        ),
        job(
            "damage",
            &format!(
                "damage {inputs} --fisher IN/F.safetensors --draws 6 --probes 3 --resamples 50 --out OUT"
            ),
        ),
        job(
            "pretrain",
            &format!(
                "pretrain --checkpoint {model} --text {} --steps 30 --batch 8 --min-words 3 --out OUT",
                fixture("tiny/sentiment.tsv").display()
            ),
        ),
        job(
            "connect",
            "connect IN/a IN/b --set IN/set.safetensors --held-out IN/set.safetensors --epochs 20 --batch 6 --points 3 --out OUT",
        ),
        job("large", "surface --checkpoint IN/large --set IN/set.safetensors --resolution 2 --out OUT/s.csv"),
        Job {
            name: "hub",
            command: "loss --checkpoint acme/tiny --set IN/set.safetensors --json".into(),
            fetches: true,
        },
    ]
}

/// Folders for inputs and results, and the hub.
struct Field {
    folder: tempfile::TempDir,
    hub: Hub,
}

impl Field {
    fn new() -> Outcome<Field> {
        let field = Field { folder: tempfile::tempdir()?, hub: Hub::slow() };
        std::fs::create_dir(field.at("in"))?;
        let text = |more: &str| {
            let table = fixture("tiny/sentiment.tsv").display().to_string();
            ANALYSIS.replace("MODEL", &fixture("tiny/model").display().to_string()).replace("TABLE", &table)
                + more
        };
        std::fs::write(field.at("in/run.toml"), text(SURFACES))?;
        std::fs::write(field.at("in/study.toml"), text(CELLS))?;
        let model = fixture("tiny/model").display().to_string();
        let table = fixture("tiny/sentiment.tsv").display().to_string();
        let freeze = format!(
            "freeze --checkpoint {model} --table {table} --columns sentence,label --examples 12 --out IN/set.safetensors"
        );
        let fisher = format!(
            "fisher --checkpoint {model} --set IN/set.safetensors --per-example --out IN/F.safetensors"
        );
        let trained = |name: &str, seed: u64| {
            format!(
                "train --checkpoint {model} --table {table} --columns sentence,label --dropout none --epochs 1 --fraction 0.2 --seed {seed} \
                 --out IN/{name}"
            )
        };
        for command in [freeze, fisher, trained("a", 1), trained("b", 2)] {
            let job = Job { name: "inputs", command, fetches: false };
            let output = field.command(&job, &field.at("in")).output()?;
            assert!(output.status.success(), "{}", said(&output));
        }
        Ok(field)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, job: &Job, out: &Path) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
        command
            .args(self.words(job, out))
            .stdin(Stdio::null())
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_TOKEN");
        command.env("HF_ENDPOINT", self.hub.url()).env("HF_HOME", out.join("home"));
        command
    }

    /// The same through a shell that sets limits first.
    fn limited(&self, limits: &str, job: &Job, out: &Path) -> Command {
        let mut command = Command::new("bash");
        let program = assert_cmd::cargo::cargo_bin("fisherscape").display().to_string();
        command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\""), &program]).args(self.words(job, out));
        command.env("HF_HUB_OFFLINE", "1");
        command
    }

    fn words(&self, job: &Job, out: &Path) -> Vec<String> {
        let own = job.command.replace("OUT", &out.display().to_string());
        let own = own.replace("IN", &self.at("in").display().to_string());
        ["--threads", "1"].into_iter().chain(own.split_whitespace()).map(str::to_string).collect()
    }

    /// Runs a job to its end, and gives what it wrote.
    fn whole(&self, job: &Job, out: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
        std::fs::create_dir_all(out)?;
        let output = self.command(job, out).output()?;
        assert!(output.status.success(), "{}: {}", job.name, said(&output));
        assert!(half_written(out).is_empty(), "{}: {:?}", job.name, half_written(out));
        let mut files = results(out);
        // What is asked of the hub, and locks, are no results.
        files.retain(|path, _| !job.fetches || path.components().any(|part| part.as_os_str() == "blobs"));
        files.insert("said".into(), if job.fetches { output.stdout } else { Vec::new() });
        Ok(files)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Files that should not be there once all is done.
fn half_written(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !path.is_symlink() {
            found.extend(half_written(&path));
        } else if [".partial-", ".unfinished", ".incomplete", ".broken"]
            .iter()
            .any(|part| name.contains(part))
        {
            found.push(path);
        }
    }
    found
}

/// Kills jobs at random moments, up to three times each, and runs them to their end; says how often of which.
fn kill(count: usize, seed: u64) -> Outcome {
    let field = Field::new()?;
    let mut jobs = jobs();
    // Its model is made where memory is short.
    jobs.retain(|job| job.name != "large");
    let mut whole = Vec::new();
    for job in &jobs {
        let started = Instant::now();
        let files = field.whole(job, &field.at("whole").join(job.name))?;
        whole.push((files, started.elapsed()));
    }
    let stream = Stream::new(seed, "kills");
    let mut tally: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut kills = 0;
    for case in 0.. {
        if kills >= count {
            break;
        }
        let dice = stream.at(case);
        let i = case as usize % jobs.len();
        let (job, (expected, took)) = (&jobs[i], &whole[i]);
        let out = field.at("cut");
        std::fs::create_dir_all(&out)?;
        for k in 0..1 + dice.below(0, 3) {
            let mut child = field.command(job, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            std::thread::sleep(took.mul_f64(dice.uniform(1 + k)));
            child.kill()?;
            let killed = child.wait()?.code().is_none();
            kills += usize::from(killed);
            tally.entry(job.name).or_default()[usize::from(!killed)] += 1;
        }
        let found = field.whole(job, &out)?;
        same(&found, expected);
        std::fs::remove_dir_all(&out)?;
        if case.is_multiple_of(50) {
            eprintln!("{kills} kills");
        }
    }
    for (name, [killed, ended]) in tally {
        println!("{name:12} {killed:>5} kills ({ended} ended before), each to the same bytes");
    }
    println!("{kills} kills of seed {seed}");
    Ok(())
}

/// Oracle: the undisturbed command, byte by byte. SIGKILL at random moments of every long command, of a run, a study and a download; what
/// it leaves is gone on with, and nothing half-written stays. Catches state that is trusted too far, lost, or left behind.
#[test]
#[cfg(unix)]
fn a_few() -> Outcome {
    kill(18, 1)
}

/// Oracle: as above, as often as the environment says.
#[test]
#[cfg(unix)]
#[ignore = "as long as one likes: FISHERSCAPE_KILLS=COUNT:SEED"]
fn many() -> Outcome {
    let asked = std::env::var("FISHERSCAPE_KILLS").unwrap_or("1000:1".into());
    let (count, seed) = asked.split_once(':').ok_or("FISHERSCAPE_KILLS is COUNT:SEED")?;
    kill(count.parse()?, seed.parse()?)
}

/// Runs jobs under a limit that they cannot keep, then without: exit code 1 with a message that says so, and the same bytes.
fn runs_out(
    field: &Field,
    names: &[&str],
    limits: &[String],
    words: &[&str],
    wrap: fn(&str) -> Vec<String>,
) -> Outcome<usize> {
    let mut failed = 0;
    for job in jobs().iter().filter(|job| names.contains(&job.name)) {
        let expected = field.whole(job, &field.at("whole").join(job.name))?;
        for limit in limits {
            let out = field.at("cut");
            std::fs::create_dir_all(&out)?;
            let shell = field.limited(limit, job, &out);
            let mut command = match &wrap(limit)[..] {
                [] => shell,
                [program, own @ ..] => {
                    let mut command = Command::new(program);
                    command
                        .args(own)
                        .arg(shell.get_program())
                        .args(shell.get_args())
                        .env("HF_HUB_OFFLINE", "1");
                    command
                }
            };
            let output = command.output()?;
            let text = said(&output);
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{} {limit}: {:?} {text}",
                job.name,
                output.status
            );
            if output.status.code() == Some(1) {
                failed += 1;
                assert!(words.iter().any(|word| text.contains(word)), "{} {limit}: {text}", job.name);
                assert!(!text.contains("panicked") && text.contains("fix: "), "{} {limit}: {text}", job.name);
            }
            same(&field.whole(job, &out)?, &expected);
            std::fs::remove_dir_all(&out)?;
        }
    }
    Ok(failed)
}

/// Oracle: the undisturbed command, byte by byte. Files may not grow beyond some kilobytes: a message with exit code 1, and the command goes
/// on once they may. Catches a file that is taken for whole, and state that is lost with it.
#[test]
#[cfg(unix)]
fn files_that_may_not_grow_are_said() -> Outcome {
    let field = Field::new()?;
    let limits = [0, 4, 32].map(|blocks| format!("trap '' XFSZ; ulimit -f {blocks}"));
    let failed =
        runs_out(&field, &["run", "train", "surface"], &limits, &["File too large"], |_| Vec::new())?;
    assert!(failed >= 5, "{failed} of 9 failed");
    Ok(())
}

/// Oracle: the undisturbed command, byte by byte. A disk of some kilobytes, of every size from nothing to enough in small steps.
#[test]
#[ignore = "needs unshare of Linux, and minutes"]
fn full_disks() -> Outcome {
    let field = Field::new()?;
    let mut failed = 0;
    for kilobytes in (4..=2000).step_by(28) {
        let limits =
            [format!("true {kilobytes}; mount -t tmpfs -o size={kilobytes}k none \"$(dirname OUTPUT)\"")];
        // Mounted over the results in a namespace of its own, so that nothing stays: what was kept is tried by kills.
        let limits =
            limits.map(|limit| limit.replace("$(dirname OUTPUT)", &field.at("cut").display().to_string()));
        let names = ["run", "study", "train", "stability", "surface", "sharpness", "damage", "pretrain"];
        let words = ["No space left on device", "disk"];
        failed +=
            runs_out(&field, &names, &limits, &words, |_| ["unshare", "-rm"].map(str::to_string).to_vec())?;
    }
    println!("{failed} full disks, each said");
    assert!(failed > 100);
    Ok(())
}

/// Oracle: the undisturbed command, byte by byte. With less address space than it takes, a command ends with code 1 and says how many
/// bytes were wanted for what, or cannot start a thread; nothing aborts. Catches Rust's own end for want of memory, an abort.
#[test]
#[cfg(target_os = "linux")]
fn too_little_memory_is_said() -> Outcome {
    let field = Field::new()?;
    let sizes = r#"{"model_type": "bert", "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 9000,
        "num_hidden_layers": 2, "max_position_embeddings": 64, "vocab_size": "#;
    let vocabulary = std::fs::read_to_string(fixture("tiny/model/vocab.txt"))?;
    std::fs::write(field.at("in/vocab.txt"), &vocabulary)?;
    std::fs::write(field.at("in/config.json"), format!("{sizes}{}}}", vocabulary.lines().count()))?;
    let command = "pretrain --config IN/config.json --steps 0 --out IN/large".to_string();
    let made = field.command(&Job { name: "large", command, fetches: false }, &field.at("in")).output()?;
    assert!(made.status.success(), "{}", said(&made));
    // The program alone takes some 65 MiB of addresses (at 64 its threads may not start), the weights 37, and two directions as much each;
    // the allocator takes addresses in large pieces.
    let sizes = (64..=208).step_by(48).chain((256..=1024).step_by(128));
    let limits: Vec<String> = sizes.map(|mib| format!("ulimit -v {}", mib * 1024)).collect();
    let words = [": out of memory: ", "the system could not start the threads"];
    let failed = runs_out(&field, &["large"], &limits, &words, |_| Vec::new())?;
    assert!((3..limits.len()).contains(&failed), "{failed} of {} failed", limits.len());
    Ok(())
}

/// Oracle: the system's own error. A file that cannot be read (as of a broken disk: EIO) is named in a message, wherever it stands.
#[test]
#[cfg(target_os = "linux")]
fn files_that_cannot_be_read_are_named() -> Outcome {
    let field = Field::new()?;
    let (model, unreadable) = (field.at("model"), "/proc/self/mem");
    for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"] {
        crate::support::copy_folder(&fixture("tiny/model"), &model);
        std::fs::remove_file(model.join(name))?;
        std::os::unix::fs::symlink(unreadable, model.join(name))?;
        let command = format!("loss --checkpoint {} --set IN/set.safetensors", model.display());
        let output =
            field.command(&Job { name: "loss", command, fetches: false }, &field.at("cut")).output()?;
        let text = said(&output);
        assert!(
            output.status.code() == Some(1) && text.contains(name) && text.contains("Input/output error"),
            "{name}: {text}"
        );
        std::fs::remove_dir_all(&model)?;
    }
    Ok(())
}

/// Oracle: the undisturbed run, byte by byte. A result of a finished run that is deleted, cut or changed is noticed and made again.
#[test]
fn results_that_are_lost_are_made_again() -> Outcome {
    let field = Field::new()?;
    let jobs = jobs();
    let job = &jobs[0];
    let out = field.at("out");
    let expected = field.whole(job, &out)?;
    let files: Vec<&PathBuf> =
        expected.keys().filter(|path| out.join(path).is_file() && !path.ends_with("lock")).collect();
    for (i, path) in files.iter().enumerate().step_by(files.len().div_ceil(9)) {
        let (whole, path) = (std::fs::read(out.join(path))?, out.join(path));
        match i % 3 {
            0 => std::fs::remove_file(&path)?,
            1 => std::fs::write(&path, &whole[..whole.len() / 2])?,
            _ => {
                let mut other = whole.clone();
                let middle = other.len() / 2;
                other.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
                std::fs::write(&path, other)?;
            }
        }
        same(&field.whole(job, &out)?, &expected);
    }
    Ok(())
}

/// Oracle: the undisturbed command, byte by byte. Two of one command at once, with one result: both end well, or one says that the other is
/// at work; what stands there in the end is whole.
#[test]
fn two_at_once_end_whole() -> Outcome {
    let field = Field::new()?;
    for job in jobs().iter().filter(|job| ["run", "surface", "train", "hub"].contains(&job.name)) {
        let expected = field.whole(job, &field.at("whole").join(job.name))?;
        let out = field.at("cut");
        std::fs::create_dir_all(&out)?;
        let spawn = || field.command(job, &out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let both = [spawn()?, spawn()?];
        for child in both {
            let output = child.wait_with_output()?;
            let (code, text) = (output.status.code(), said(&output));
            assert!(code == Some(0) || code == Some(1) && text.contains("at work"), "{}: {text}", job.name);
        }
        same(&field.whole(job, &out)?, &expected);
        std::fs::remove_dir_all(&out)?;
    }
    Ok(())
}

/// Oracle: the undisturbed command, and the shell's codes for signals. INT and TERM end a command with a word how to go on, and it goes on;
/// the signal is what ended it.
#[test]
#[cfg(unix)]
fn signals_say_how_to_go_on() -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    let field = Field::new()?;
    let jobs = jobs();
    let job = jobs.iter().find(|job| job.name == "sharpness").ok_or("no such job")?;
    let started = Instant::now();
    let expected = field.whole(job, &field.at("whole"))?;
    let took = started.elapsed();
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let out = field.at("cut");
        std::fs::create_dir_all(&out)?;
        let child = field.command(job, &out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let journal = out.join("s.csv.unfinished");
        while !journal.exists() && started.elapsed() < took + Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
        let output = child.wait_with_output()?;
        assert_eq!(output.status.signal(), Some(number), "{}", said(&output));
        assert!(
            said(&output).ends_with("stopped; run the same command again to resume\n"),
            "{}",
            said(&output)
        );
        same(&field.whole(job, &out)?, &expected);
        std::fs::remove_dir_all(&out)?;
    }
    Ok(())
}

/// Oracle: the shell's own: a reader that leaves (`| head -c1`, closed standard output and error) ends no command, and nothing panics.
#[test]
#[cfg(unix)]
fn closed_pipes_are_no_matter() -> Outcome {
    let field = Field::new()?;
    let program = assert_cmd::cargo::cargo_bin("fisherscape").display().to_string();
    let inputs = format!(
        "--checkpoint {} --set {}",
        fixture("tiny/model").display(),
        field.at("in/set.safetensors").display()
    );
    for line in [
        "\"$0\" loss INPUTS | head -c1",
        "\"$0\" list | head -c1",
        "\"$0\" loss INPUTS >&-",
        "\"$0\" loss INPUTS 2>&-",
        "\"$0\" --help | head -c1",
    ] {
        let line = format!("set -o pipefail; {}", line.replace("INPUTS", &inputs));
        let output = Command::new("bash").args(["-c", &line, &program]).output()?;
        let text = said(&output);
        assert!(
            output.status.success() && !text.contains("panicked") && !text.contains("error"),
            "{line}: {text}"
        );
    }
    Ok(())
}
