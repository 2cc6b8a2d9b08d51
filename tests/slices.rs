//! Commands in parts, by several processes.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// A set of 33 batches: four blocks.
const SET: &str =
    "freeze --task supersense --checkpoint embedded --examples 520 --max-len 24 --out set.safetensors";
const FISHER: &str = "fisher --checkpoint embedded --set set.safetensors --estimator empirical,mc --seed 3 --per-example --out F.safetensors";
const RESULTS: [&str; 6] = [
    "F.empirical-mean.safetensors",
    "F.empirical-mean.csv",
    "F.empirical-mean.examples.safetensors",
    "F.mc-mean.safetensors",
    "F.mc-mean.csv",
    "F.mc-mean.examples.safetensors",
];

/// The binary, not quiet: what it says of parts counts here.
fn command(arguments: &str) -> Command {
    let mut command = Command::cargo_bin("fisherscape").expect("cargo builds the binary before its tests");
    command.args(arguments.split_whitespace()).env("HF_HUB_OFFLINE", "1");
    command
}

fn run(folder: &Path, arguments: &str) -> assert_cmd::assert::Assert {
    command(arguments).current_dir(folder).assert()
}

fn said(assert: &assert_cmd::assert::Assert) -> String {
    let output = assert.get_output();
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn blocks(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".block-")).collect();
    names.sort();
    names
}

/// The results' bytes, which are then gone.
fn taken(folder: &Path) -> Vec<Vec<u8>> {
    RESULTS
        .iter()
        .map(|name| {
            let bytes = fs::read(folder.join(name)).unwrap();
            fs::remove_file(folder.join(name)).unwrap();
            bytes
        })
        .collect()
}

/// Oracle: the bytes of the command in one process on one thread. In one, two and sixteen parts, on other numbers of threads, with a
/// part that is missing, one that is damaged and one of another set. Catches a block at another's place, sums that depend on the
/// parts, a damaged file that is believed, and files that stay.
#[test]
fn fisher_information_in_parts_has_the_same_bytes() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    run(folder, SET).success();
    run(folder, &format!("--threads 1 {FISHER}")).success();
    let wanted = taken(folder);
    run(folder, &format!("--threads 2 {FISHER} --slice 1/1")).success();
    assert_eq!(blocks(folder).len(), 4);
    run(folder, &format!("--threads 3 {FISHER}")).success();
    assert!(taken(folder) == wanted, "one part");
    assert_eq!(blocks(folder), [""; 0]);

    let done = run(folder, &format!("--threads 2 {FISHER} --slice 2/2")).success();
    assert!(said(&done).contains("part 2 of 2: blocks 2, 4 of 4"), "{}", said(&done));
    let done = run(folder, &format!("--threads 2 {FISHER} --slice 16/16")).success();
    assert!(said(&done).contains("blocks none of 4"), "{}", said(&done));
    // The launcher's word, as an array of Slurm gives it.
    let mut array = command(&format!("{FISHER} --slice env"));
    array.env("SLURM_ARRAY_TASK_ID", "0").env("SLURM_ARRAY_TASK_MIN", "0").env("SLURM_ARRAY_TASK_COUNT", "4");
    array.current_dir(folder).assert().success();
    assert_eq!(
        blocks(folder),
        ["F.safetensors.block-01", "F.safetensors.block-02", "F.safetensors.block-04"]
    );
    let damaged = folder.join("F.safetensors.block-02");
    let whole = fs::read(&damaged).unwrap();
    let middle = whole.len() / 2;
    // A number that is another; one that is none, which is found when half of the block has been taken; a cut.
    let changed = [&whole[..middle], &[whole[middle] ^ 1], &whole[middle + 1..]].concat();
    let none = [&whole[..middle], &[0xff; 8], &whole[middle + 8..]].concat();
    for bytes in [&changed[..], &none, &whole[..middle]] {
        fs::write(&damaged, bytes).unwrap();
        let done = run(folder, FISHER).success();
        assert!(said(&done).contains("block-02 is damaged: computed anew"), "{}", said(&done));
        assert!(taken(folder) == wanted, "parts of two and four");
        assert_eq!(blocks(folder), [""; 0]);
    }

    run(folder, &format!("{FISHER} --slice 1/4")).success();
    run(folder, &SET.replace("520", "530")).success();
    let done = run(folder, FISHER).success();
    assert!(
        said(&done).contains(
            "block-01 is of other inputs, or of another kind of processor or device: computed anew"
        ),
        "{}",
        said(&done)
    );
    assert!(taken(folder) != wanted);
}

/// A surface of 36 points and a centre that is none of them.
const SURFACE: &str = "surface --checkpoint embedded --set set.safetensors --seed 2 --mask random:0.1 --resolution 6 --per-example --out s.csv";
const WRITTEN: [&str; 4] = ["s.csv", "s.json", "s.mask.csv", "s.examples.safetensors"];

/// Oracle: the bytes of the command in one process. In seven parts, two of which are missing, one cut short as by a kill, one of another
/// surface; and in one part on its own. Catches a point at another's place, a centre that is forgotten, a cut line that is believed, and
/// files that stay.
#[test]
fn surfaces_in_parts_have_the_same_bytes() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    run(folder, &SET.replace("520", "20")).success();
    let results = || WRITTEN.map(|name| fs::read(folder.join(name)).unwrap());
    let parts = || {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // One of other inputs is set aside, as every journal is.
        names.filter(|name| name.contains("unfinished") && !name.ends_with(".broken")).count()
    };
    run(folder, SURFACE).success();
    let wanted = results();
    for slices in [vec![1], vec![1, 2, 3, 5, 7]] {
        let n = *slices.last().unwrap();
        for k in slices {
            let done = run(folder, &format!("--threads {k} {SURFACE} --slice {k}/{n}")).success();
            let own = (k - 1..37).step_by(n).count();
            assert!(said(&done).contains(&format!("part {k} of {n}: {own} of 37 points")), "{}", said(&done));
        }
        if n > 1 {
            let cut = folder.join("s.csv.unfinished.3-7");
            let text = fs::read_to_string(&cut).unwrap();
            fs::write(&cut, &text[..text.len() - 9]).unwrap();
            run(folder, &format!("{SURFACE} --slice 5/7").replace("seed 2", "seed 3")).success();
        }
        let done = run(folder, SURFACE).success();
        assert_eq!(said(&done).contains("5-7 is of other inputs"), n > 1, "{}", said(&done));
        assert!(results() == wanted, "{n} parts");
        assert_eq!(parts(), 0);
    }
}

/// Oracle: the form that the help names. Catches a part that is none and a launcher that says nothing, taken for the whole.
#[test]
fn parts_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (slice, wanted) in [("0/4", "K/N"), ("5/4", "K/N"), ("env", "no launcher names a part")] {
        let mut part = command(&format!("{FISHER} --slice {slice}"));
        for name in ["SLURM_ARRAY_TASK_ID", "SGE_TASK_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"]
        {
            part.env_remove(name);
        }
        let said = said(&part.current_dir(folder.path()).assert().failure());
        assert!(said.contains(wanted), "{slice}: {said}");
    }
}
