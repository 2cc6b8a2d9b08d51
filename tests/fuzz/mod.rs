//! Every reader of files, in this process, on files that were changed by chance (`docs/reliability.md`).
//!
//! A few thousand cases run with the tests. `FISHERSCAPE_FUZZ=CASES:SEED cargo test --release --test main -- --ignored --nocapture
//! fuzz::cases` runs as many as one likes; `CASES:SEED:FIRST` begins at a case, so `1:SEED:CASE` repeats one. A file that fails
//! is kept in `target/fuzz`.

mod mutate;
mod readers;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fisherscape::progress;

use self::mutate::{Dice, mutated};
use self::readers::{READERS, Reader};
use crate::support::{Outcome, fixture};

/// No case may take longer.
const LONGEST: Duration = Duration::from_secs(10);
/// What no case asks for at once: beyond it the process ends, with the number of the case.
const FAR: usize = 8 << 30;

/// The system's memory, counted for each thread.
pub struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
    static CASE: Cell<u64> = const { Cell::new(0) };
}

/// Counts bytes that came and went.
fn count(came: usize, went: usize) {
    if came > FAR {
        let case = CASE.get();
        let _ = writeln!(std::io::stderr(), "case {case}: {came} bytes at once");
        std::process::exit(3);
    }
    // A block may go in another thread than it came in.
    let held = HELD.get().saturating_add(came).saturating_sub(went);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Where cases are read from.
struct Bench {
    readers: Vec<(&'static Reader, Vec<Vec<u8>>, PathBuf)>,
    /// A reader for each case in a round, the frequent ones often.
    turns: Vec<usize>,
    seed: u64,
    _folder: tempfile::TempDir,
}

/// How a reader fared.
#[derive(Default)]
struct Tally {
    cases: u64,
    sound: u64,
    longest: Duration,
    most: usize,
}

impl Bench {
    fn new(seed: u64) -> Outcome<Bench> {
        let folder = tempfile::tempdir()?;
        let mut readers = Vec::new();
        for (i, reader) in READERS.iter().enumerate() {
            let own = folder.path().join(i.to_string());
            std::fs::create_dir(&own)?;
            for (name, from) in reader.beside {
                std::fs::copy(fixture(from), own.join(name))?;
            }
            readers.push((reader, (reader.sound)(), own.join(reader.file)));
        }
        let most = READERS.iter().map(|reader| reader.share).max().unwrap_or(1);
        let turns =
            (0..most).flat_map(|turn| (0..READERS.len()).filter(move |i| turn < READERS[*i].share)).collect();
        Ok(Bench { readers, turns, seed, _folder: folder })
    }

    /// Runs a case, and says what is wrong with it.
    fn case(&self, case: u64, tally: &mut BTreeMap<&'static str, Tally>) -> Option<String> {
        let turn = self.turns[(case % self.turns.len() as u64) as usize];
        let (reader, sound, path) = &self.readers[turn];
        let mut dice = Dice::new(self.seed, case);
        let (seed, other) = (dice.below(sound.len()), dice.below(sound.len()));
        let bytes = mutated(&sound[seed], &sound[other], reader.form, &mut dice);
        std::fs::write(path, &bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        CASE.set(case);
        let (outcome, took, most) = tried(reader, path);
        let own = tally.entry(reader.name).or_default();
        own.cases += 1;
        own.sound += u64::from(matches!(outcome, Ok(Ok(()))));
        own.longest = own.longest.max(took);
        own.most = own.most.max(most);
        clean(path);
        let wrong = wrong(reader, &outcome, took, most)?;
        Some(self.kept(case, reader, &bytes, &wrong))
    }

    /// Keeps the file of a case that failed; gives the words about it.
    fn kept(&self, case: u64, reader: &Reader, bytes: &[u8], wrong: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        let kept = folder.join(format!("{}-{case}-{}", self.seed, reader.file));
        let _ = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&kept, bytes));
        let text =
            format!("{}: {wrong}: FISHERSCAPE_FUZZ=1:{}:{case}, {}", reader.name, self.seed, kept.display());
        let _ = writeln!(std::io::stderr(), "{text}");
        text
    }
}

/// Removes what a reader set aside.
fn clean(path: &Path) {
    let folder = path.parent().unwrap_or(path);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(".broken") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What a reader says of a file, whether it panics, how long it takes, and how much memory it holds at most.
fn tried(reader: &Reader, path: &Path) -> (Result<Result<(), String>, ()>, Duration, usize) {
    let (started, before) = (Instant::now(), HELD.get());
    MOST.set(before);
    let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(path).map_err(|e| e.to_string())));
    (outcome.map_err(drop), started.elapsed(), MOST.get().saturating_sub(before))
}

/// What a reader may not do.
fn wrong(
    reader: &Reader,
    outcome: &Result<Result<(), String>, ()>,
    took: Duration,
    most: usize,
) -> Option<String> {
    match outcome {
        Err(()) => return Some("a panic".into()),
        Ok(Err(text)) if text.contains("tensor operation:") || text.contains("report this") => {
            return Some(text.clone());
        }
        Ok(Err(text)) if text.len() > 20_000 => return Some(format!("a message of {} bytes", text.len())),
        _ => {}
    }
    if took > LONGEST {
        return Some(format!("{} s", took.as_secs()));
    }
    (most > reader.most).then(|| format!("{} MiB", most >> 20))
}

/// Runs cases in this thread, all of rayon's work with them, so that memory is counted.
fn run(cases: u64, seed: u64, first: u64) -> Outcome {
    progress::set_verbosity(0);
    let bench = Bench::new(seed)?;
    let (done, started) = (std::sync::Arc::new(AtomicU64::new(0)), Instant::now());
    watch(&done, first);
    let (mut tally, mut failed) = (BTreeMap::new(), Vec::new());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
    pool.install(|| {
        for case in first..first + cases {
            failed.extend(bench.case(case, &mut tally));
            let number = done.fetch_add(1, Ordering::Relaxed) + 1;
            if number.is_multiple_of(100_000) {
                let _ = writeln!(
                    std::io::stderr(),
                    "{number} cases, {} s, {} failed",
                    started.elapsed().as_secs(),
                    failed.len()
                );
            }
        }
    });
    done.store(u64::MAX, Ordering::Relaxed);
    for (name, tally) in &tally {
        let Tally { cases, sound, longest, most } = tally;
        println!(
            "{name:28} {cases:>9} cases, {sound:>8} read, longest {:>6} ms, most {:>5} MiB",
            longest.as_millis(),
            most >> 20
        );
    }
    println!(
        "{cases} cases of seed {seed} from {first}, {} failed, {} s",
        failed.len(),
        started.elapsed().as_secs()
    );
    assert!(failed.is_empty(), "{} of {cases} cases failed:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

/// Ends the process where a case does not end.
fn watch(done: &std::sync::Arc<AtomicU64>, first: u64) {
    let done = done.clone();
    std::thread::spawn(move || {
        let mut last = u64::MAX - 1;
        loop {
            std::thread::sleep(LONGEST * 6);
            let now = done.load(Ordering::Relaxed);
            if now == u64::MAX {
                return;
            }
            if now == last {
                let _ = writeln!(std::io::stderr(), "case {} does not end", first + now);
                std::process::exit(3);
            }
            last = now;
        }
    });
}

/// Oracle: a property: whatever a file holds, its reader ends, soon, with a result or with a message, and takes no more memory than
/// its format is allowed. Catches a panic, a size that is believed, work without end, and a message of the tensor library.
#[test]
fn a_few_cases() -> Outcome {
    run(4000, 1, 0)
}

/// Oracle: as above. Tokenizers that once took more: ten thousand letters before each text, in a splitter that copies the text for each
/// piece; a map of characters with a table of 50 MiB, and then no JSON.
#[test]
fn what_was_found_is_mended() -> Outcome {
    let reader = READERS.iter().find(|reader| reader.name == "tokenizer.json").ok_or("no such reader")?;
    let letters = "x".repeat(10_000);
    let files = [
        format!(
            r#"{{"version":"1.0","added_tokens":[],"normalizer":{{"type":"Prepend","prepend":"{letters}"}},"pre_tokenizer":{{"type":"FixedLength",
            "length":3}},"post_processor":null,"decoder":null,"model":{{"type":"WordLevel","unk_token":"[UNK]","vocab":{{"[PAD]":0,"[UNK]":1}}}}}}"#
        ),
        r#"{"version":"1.0","added_tokens":[],"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAAAwAA"},"pre_tok"#.to_string(),
    ];
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(reader.file);
    for text in files {
        std::fs::write(&path, &text)?;
        let (outcome, took, most) = tried(reader, &path);
        assert_eq!(wrong(reader, &outcome, took, most), None, "{}", &text[..200.min(text.len())]);
        assert!(matches!(outcome, Ok(Err(_))), "{outcome:?}");
    }
    Ok(())
}

/// Oracle: as above, as often as the environment says.
#[test]
#[ignore = "as long as one likes: FISHERSCAPE_FUZZ=CASES:SEED[:FIRST]"]
fn cases() -> Outcome {
    let asked = std::env::var("FISHERSCAPE_FUZZ").unwrap_or("100000:1".into());
    let numbers: Vec<u64> = asked.split(':').map(str::parse).collect::<Result<_, _>>()?;
    match numbers[..] {
        [cases, seed] => run(cases, seed, 0),
        [cases, seed, first] => run(cases, seed, first),
        _ => Err(format!("FISHERSCAPE_FUZZ={asked}: CASES:SEED or CASES:SEED:FIRST").into()),
    }
}
