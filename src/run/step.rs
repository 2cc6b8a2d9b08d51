//! A step of an analysis: one command, what it reads and what it writes.
//!
//! Its identity is a hash over the words of the command, the contents of what it reads and this program's version. The
//! folder of the run and the places of outside files are not in it, so a run may be moved. A record of a finished step
//! holds that identity and the hashes of what was written; a step whose record still holds is not run again.
//!
//! Only what the record names with its hash is this program's: what else stands where a step writes is set aside as
//! `NAME.kept`, unless the step was at work there and killed (`steps/NAME.begun`). Records may come from others: they name
//! plain paths below what the step writes, or count as none.
//!
//! The trap: results are looked at by content. A figure edited by hand is kept aside and drawn again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::hub::Place;
use crate::progress::{self, Said};
use crate::provenance;
use crate::stages::options;

/// The folder of the records in a run's folder.
pub const RECORDS: &str = "steps";

/// The folder of a run's records, which is made if it is missing.
pub fn records(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(RECORDS);
    std::fs::create_dir_all(&path).map_err(Error::io(&path, "create"))?;
    Ok(path)
}

/// A word of a command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Word {
    Plain(String),
    /// A path in the run's folder that is read, behind a prefix such as `guided:`.
    Read(String, String),
    /// Several such paths, which the command takes as one list.
    ReadAll(Vec<String>),
    /// A path in the run's folder that is written.
    Write(String),
    /// A path in the run's folder that names what is written beside it, and is not written itself.
    Near(String),
    /// A file or folder that was there before.
    Outside(PathBuf),
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// In words, for people; unique, and the name of its record.
    pub name: String,
    words: Vec<Word>,
    /// Paths in the run's folder that are read or written without standing on the command line.
    silent: Vec<Word>,
}

/// A finished step, `steps/NAME.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub step: String,
    /// The line that repeats it, from where the analysis was run.
    pub command: String,
    pub identity: String,
    pub seconds: f64,
    /// Files written and their BLAKE3.
    pub outputs: BTreeMap<String, String>,
    pub notes: Vec<String>,
    /// Of the lines that it said, those of what the numbers are without. None in the records of earlier versions, which kept
    /// them among the others.
    pub excluded: Option<Vec<String>>,
    pub results: Vec<String>,
    /// The job of a cluster that it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// How its processor adds products: where this is another, the last digits are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<String>,
    /// BLAKE3 of all of the above. None in the records of earlier versions: there the hashes of inputs and outputs speak alone.
    #[serde(default)]
    checksum: Option<String>,
}

impl Record {
    /// A step that has run, and what it said; its outputs are to follow.
    pub fn new(step: &Step, command: String, identity: &str, seconds: f64, said: Said) -> Record {
        let Said { notes, excluded, results } = said;
        let (step, identity) = (step.name.clone(), identity.to_string());
        let (outputs, excluded) = (BTreeMap::new(), Some(excluded));
        let (job, arithmetic) = (provenance::job(), Some(provenance::arithmetic()));
        Record {
            step,
            command,
            identity,
            seconds,
            outputs,
            notes,
            excluded,
            results,
            job,
            arithmetic,
            checksum: None,
        }
    }

    fn sealed(mut self) -> Record {
        self.checksum = None;
        let text = serde_json::to_vec(&self).unwrap_or_default(); // strings and numbers: cannot fail
        self.checksum = Some(files::hash(&text));
        self
    }

    /// Whether it is as it was written.
    fn is_whole(&self) -> bool {
        self.checksum.is_none() || self.clone().sealed().checksum == self.checksum
    }
}

impl Step {
    /// A step that runs `command`.
    pub fn new(name: impl Into<String>, command: &str) -> Step {
        Step { name: name.into(), words: vec![Word::Plain(command.into())], silent: Vec::new() }
    }

    /// A word, such as a flag.
    pub fn word(mut self, word: impl ToString) -> Step {
        self.words.push(Word::Plain(word.to_string()));
        self
    }

    /// An option with a value.
    pub fn option(self, name: &str, value: impl ToString) -> Step {
        self.word(name).word(value)
    }

    /// An option, where there is a value for it.
    pub fn maybe<T: ToString>(self, name: &str, value: Option<T>) -> Step {
        match value {
            Some(value) => self.option(name, value),
            None => self,
        }
    }

    /// The options that are given, in order of their fields.
    pub fn options<O: clap::Args + Serialize>(mut self, options: &O, given: impl Fn(&str) -> bool) -> Step {
        self.words.extend(options::words(options, given).into_iter().map(Word::Plain));
        self
    }

    /// An option whose value is a path in the run's folder that is read.
    pub fn reads(self, name: &str, path: impl Into<String>) -> Step {
        self.reads_as(name, "", path)
    }

    /// As [`Step::reads`], with a prefix before the path.
    pub fn reads_as(mut self, name: &str, prefix: impl Into<String>, path: impl Into<String>) -> Step {
        self.words.extend([Word::Plain(name.into()), Word::Read(prefix.into(), path.into())]);
        self
    }

    /// An option whose value is several paths in the run's folder that are read.
    pub fn reads_all(mut self, name: &str, paths: &[String]) -> Step {
        self.words.extend([Word::Plain(name.into()), Word::ReadAll(paths.to_vec())]);
        self
    }

    /// A path in the run's folder that is read, as an argument.
    pub fn file(mut self, path: impl Into<String>) -> Step {
        self.words.push(Word::Read(String::new(), path.into()));
        self
    }

    /// An option whose value is a path in the run's folder that is written.
    pub fn writes(mut self, name: &str, path: impl Into<String>) -> Step {
        self.words.extend([Word::Plain(name.into()), Word::Write(path.into())]);
        self
    }

    /// An option whose value is a path in the run's folder that names what is written beside it.
    pub fn near(mut self, name: &str, path: impl Into<String>) -> Step {
        self.words.extend([Word::Plain(name.into()), Word::Near(path.into())]);
        self
    }

    /// A file from outside, as an argument.
    pub fn outside_file(mut self, path: &Path) -> Step {
        self.words.push(Word::Outside(path.to_path_buf()));
        self
    }

    /// An option whose value is a file or folder from outside.
    pub fn outside(mut self, name: &str, path: &Path) -> Step {
        self.words.extend([Word::Plain(name.into()), Word::Outside(path.to_path_buf())]);
        self
    }

    /// As [`Step::outside`], where there is one.
    pub fn maybe_outside(self, name: &str, path: Option<&PathBuf>) -> Step {
        match path {
            Some(path) => self.outside(name, path),
            None => self,
        }
    }

    /// A path in the run's folder that is read, without standing on the command line.
    pub fn also_reads(mut self, path: impl Into<String>) -> Step {
        self.silent.push(Word::Read(String::new(), path.into()));
        self
    }

    /// A path in the run's folder that is written, without standing on the command line.
    pub fn also_writes(mut self, path: impl Into<String>) -> Step {
        self.silent.push(Word::Write(path.into()));
        self
    }

    /// Hashes a file from outside that does not stand on the command line by itself (`guided:RATES.csv`).
    pub fn also_outside(mut self, path: &Path) -> Step {
        self.silent.push(Word::Outside(path.to_path_buf()));
        self
    }

    /// The words of the command for a run in `folder`.
    pub fn words(&self, folder: &Path) -> Vec<String> {
        let inside = |path: &str| no_option(folder.join(path).display().to_string());
        let word = |word: &Word| match word {
            Word::Plain(text) => text.clone(),
            Word::Read(prefix, path) => format!("{prefix}{}", inside(path)),
            Word::ReadAll(paths) => paths.iter().map(|path| inside(path)).collect::<Vec<_>>().join(","),
            Word::Write(path) | Word::Near(path) => inside(path),
            Word::Outside(path) => no_option(path.display().to_string()),
        };
        self.words.iter().map(word).collect()
    }

    /// The command, such as `train`.
    pub fn command(&self) -> &str {
        match self.words.first() {
            Some(Word::Plain(command)) => command,
            _ => "",
        }
    }

    /// The first path in the run's folder that it writes.
    pub fn output(&self) -> Option<&str> {
        self.words.iter().find_map(|word| match word {
            Word::Write(path) => Some(path.as_str()),
            _ => None,
        })
    }

    fn all_words(&self) -> impl Iterator<Item = &Word> {
        self.words.iter().chain(&self.silent)
    }

    /// The paths in the run's folder that it reads.
    pub fn read(&self) -> impl Iterator<Item = &str> {
        self.all_words().flat_map(|word| {
            match word {
                Word::Read(_, path) => std::slice::from_ref(path),
                Word::ReadAll(paths) => paths,
                _ => &[],
            }
            .iter()
            .map(String::as_str)
        })
    }

    /// The paths in the run's folder that it writes.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.all_words().filter_map(|word| match word {
            Word::Write(path) => Some(path.as_str()),
            _ => None,
        })
    }

    /// Whether it takes long: all others take seconds.
    pub fn is_heavy(&self) -> bool {
        ["train", "pretrain", "fisher", "surface", "sharpness", "damage", "prune", "loss"]
            .contains(&self.command())
    }

    /// What its time goes by, as far as its words say: all but seeds, arms and masks; of a step of seconds the command alone.
    pub fn work(&self) -> String {
        const SAME: [&str; 4] = ["--seed", "--dropout", "--mask", "--draw"];
        let plain = |word: &Word| match word {
            Word::Plain(text) => text.clone(),
            _ => String::new(),
        };
        let words: Vec<String> = self.words.iter().map(plain).collect();
        let same = |i: usize| i > 0 && SAME.contains(&words[i - 1].as_str());
        match self.is_heavy() {
            false => self.command().to_string(),
            true => (0..words.len())
                .filter(|&i| !same(i))
                .map(|i| words[i].as_str())
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// BLAKE3 over all that the result depends on.
    pub fn identity(&self, folder: &Path, hashes: &mut Hashes) -> Result<String> {
        let mut hash = blake3::Hasher::new();
        let mut add = |part: &str| {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        };
        add(env!("CARGO_PKG_VERSION"));
        for word in self.all_words() {
            match word {
                Word::Plain(text) | Word::Write(text) | Word::Near(text) => add(text),
                Word::Read(prefix, path) => {
                    add(prefix);
                    add(path);
                    add(&hashes.of(&folder.join(path))?);
                }
                Word::ReadAll(paths) => {
                    for path in paths {
                        add(path);
                        add(&hashes.of(&folder.join(path))?);
                    }
                }
                Word::Outside(path) => add(&hashes.of(path)?),
            }
        }
        Ok(hash.finalize().to_hex().to_string())
    }

    /// A hash over its words where `of` stands for a path in the run's folder that it reads: equal for steps of two runs that would
    /// have one identity, before anything has run.
    pub fn key(&self, of: impl Fn(&str) -> String) -> String {
        let text = |word: &Word| match word {
            Word::Plain(text) | Word::Write(text) | Word::Near(text) => text.clone(),
            Word::Read(prefix, path) => format!("{prefix}{}", of(path)),
            Word::ReadAll(paths) => paths.iter().map(|path| of(path)).collect::<Vec<_>>().join(","),
            Word::Outside(path) => path.display().to_string(),
        };
        files::hash(format!("{:?}", self.all_words().map(text).collect::<Vec<_>>()).as_bytes())
    }

    /// The value of an option, as it stands on the command line.
    pub fn value(&self, option: &str) -> Option<&str> {
        let plain = |word: &Word, text: &str| matches!(word, Word::Plain(own) if own == text);
        let at = self.words.iter().position(|word| plain(word, option))?;
        match self.words.get(at + 1) {
            Some(Word::Plain(value)) => Some(value),
            _ => None,
        }
    }

    fn record_path(&self, folder: &Path) -> PathBuf {
        self.beside_record(folder, "json")
    }

    /// A file among the records of a run in `folder`, named as the step.
    pub fn beside_record(&self, folder: &Path, ending: &str) -> PathBuf {
        let words = self.name.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
        let name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
        folder.join(RECORDS).join(format!("{name}.{ending}"))
    }

    /// The record of this step, if there is a whole one that names nothing but what this step writes.
    pub fn record(&self, folder: &Path) -> Option<Record> {
        let path = Some(self.record_path(folder)).filter(|path| files::is_plain(path))?;
        let record: Record = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let own = |path: &String| self.written().any(|written| Path::new(path).starts_with(written));
        let plain = |path: &String| files::inside(folder, path).is_ok();
        let fits = record.outputs.keys().all(|path| own(path) && plain(path));
        (record.step == self.name && record.is_whole() && fits).then_some(record)
    }

    /// Sets a record aside that is damaged, or names what this step does not write.
    pub fn check_record(&self, folder: &Path) -> Result<()> {
        let path = self.record_path(folder);
        if path.symlink_metadata().is_err() || self.record(folder).is_some() {
            return Ok(());
        }
        let kept = files::set_aside(&path, "broken")?;
        let (path, kept) = (path.display(), kept.display());
        progress::note(format!(
            "{path}: damaged or not the record of this step, so the step is run again; kept as {kept}"
        ));
        Ok(())
    }

    /// The record of this step with this identity, if what it wrote is still there.
    pub fn done(&self, identity: &str, folder: &Path, hashes: &mut Hashes) -> Option<Record> {
        self.record(folder).filter(|record| {
            let mut kept = record.outputs.iter().map(|(path, hash)| (folder.join(path), hash));
            record.identity == identity
                && !record.outputs.is_empty()
                && kept.all(|(path, hash)| {
                    files::is_plain(&path) && hashes.of(&path).is_ok_and(|found| found == *hash)
                })
        })
    }

    /// The record that a run of this step left a moment ago.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if it is missing, of other inputs, or if a file that it names is missing.
    pub fn recorded(&self, identity: &str, folder: &Path) -> Result<Record> {
        let wrong = |found: String| {
            let fix = "the same command tries it again";
            Error::field(&self.name, "record", "that of a finished step, with what it wrote", found, fix)
        };
        let record = self.record(folder).ok_or_else(|| wrong("none".into()))?;
        if record.identity != identity {
            return Err(wrong("one of other inputs: a file changed meanwhile".into()));
        }
        match record.outputs.keys().find(|path| !files::is_plain(&folder.join(path))) {
            Some(missing) => Err(wrong(format!("one without {missing}"))),
            None => Ok(record),
        }
    }

    /// Takes what the same step wrote for the run in the folder `other`, if it is done there; `line` repeats it here.
    pub fn adopt(
        &self,
        identity: &str,
        line: &str,
        other: &Path,
        folder: &Path,
        hashes: &mut Hashes,
    ) -> Result<Option<Record>> {
        let found = if other == folder { None } else { self.done(identity, other, hashes) };
        let Some(record) = found else { return Ok(None) };
        self.make_way(folder)?;
        self.clear(folder)?;
        for path in record.outputs.keys() {
            let beside = [format!("{path}.provenance.toml"), sibling(path, "provenance.toml")];
            let there = |path: &&String| files::inside(other, path).is_ok_and(|path| files::is_plain(&path));
            for path in beside.iter().filter(there).chain([path]) {
                files::link(&files::inside(other, path)?, &files::inside(folder, path)?)?;
            }
        }
        let record = Record { command: line.to_string(), ..record };
        self.keep(folder, &record)?;
        Ok(Some(record))
    }

    /// Writes the record of this step, with what it wrote.
    pub fn finish(&self, folder: &Path, mut record: Record) -> Result<Record> {
        for path in self.written() {
            for file in results(&folder.join(path))? {
                let relative = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
                record.outputs.insert(relative, files::hash_file(&file)?);
            }
        }
        self.keep(folder, &record)?;
        Ok(record)
    }

    fn keep(&self, folder: &Path, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(&record.clone().sealed()).unwrap_or_default(); // cannot fail either
        files::write(&self.record_path(folder), format!("{text}\n").as_bytes())?;
        record
            .outputs
            .iter()
            .try_for_each(|(path, hash)| drop_same(&folder.join(format!("{path}.kept")), hash))?;
        files::remove(&self.begun_path(folder))
    }

    fn begun_path(&self, folder: &Path) -> PathBuf {
        self.beside_record(folder, "begun")
    }

    /// Before this step writes: sets aside what stands there and is not this program's, and notes that it begins.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a link on the way to what it writes.
    pub fn make_way(&self, folder: &Path) -> Result<()> {
        let places = self.written().map(|path| files::inside(folder, path)).collect::<Result<Vec<_>>>()?;
        let begun = self.begun_path(folder);
        if files::is_plain(&begun) {
            // It was at work here, and killed: what it left half-done is its own.
            return Ok(());
        }
        let known = self.record(folder).map(|record| record.outputs).unwrap_or_default();
        for path in places.iter().flat_map(|place| below(place)) {
            let hash = path.strip_prefix(folder).ok().and_then(|path| known.get(path.to_str()?));
            if hash.is_none_or(|hash| !has_hash(&path, hash)) {
                keep_aside(&path)?;
            }
        }
        files::write(&begun, b"")
    }

    /// Removes what an earlier run of this step left in the folders that it writes, so that it is not taken for a part of this
    /// one; what it did not record is set aside.
    fn clear(&self, folder: &Path) -> Result<()> {
        for path in self.record(folder).iter().flat_map(|record| record.outputs.keys()) {
            files::remove(&files::inside(folder, path)?)?;
        }
        for own in self.written().map(|path| folder.join(path)).filter(|own| own.is_dir()) {
            prune(&own)?;
            if own.exists() {
                keep_aside(&own)?;
            }
        }
        Ok(())
    }
}

/// A path that is not taken for an option.
fn no_option(path: String) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path }
}

/// Whether a plain file has this hash.
pub fn has_hash(path: &Path, hash: &str) -> bool {
    files::is_plain(path) && files::hash_file(path).is_ok_and(|found| found == hash)
}

/// Sets aside what is not this program's.
pub fn keep_aside(path: &Path) -> Result<()> {
    let kept = files::set_aside(path, "kept")?;
    progress::note(format!("{}: not as a run wrote it; kept as {}", path.display(), kept.display()));
    Ok(())
}

/// What was set aside and turns out to be the same need not be there twice.
fn drop_same(kept: &Path, hash: &str) -> Result<()> {
    if has_hash(kept, hash) { files::remove(kept) } else { Ok(()) }
}

/// What stands at a path that is written, if it may be replaced: the file, or all but folders in it and below. Links are
/// not followed. A file where a folder is to be is none of it: the command refuses it.
fn below(place: &Path) -> Vec<PathBuf> {
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let mut found = Vec::new();
    let mut folders = vec![place.to_path_buf()];
    if !is_folder(place) {
        let there = place.extension().is_some() && place.symlink_metadata().is_ok();
        return if there { folders } else { found };
    }
    while let Some(folder) = folders.pop() {
        let (inner, own): (Vec<_>, Vec<_>) =
            files::list(&folder).unwrap_or_default().into_iter().partition(|path| is_folder(path));
        folders.extend(inner);
        found.extend(own.into_iter().filter(|path| !is_provenance(path) && !is_aside(path)));
    }
    found
}

/// Removes a folder with nothing in it but provenance and such folders.
fn prune(folder: &Path) -> Result<()> {
    for path in files::list(folder)? {
        match path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            true => prune(&path)?,
            false if is_provenance(&path) => files::remove(&path)?,
            false => {}
        }
    }
    if files::list(folder)?.is_empty() {
        std::fs::remove_dir(folder).map_err(Error::io(folder, "remove"))?;
    }
    Ok(())
}

/// Whether it was set aside.
fn is_aside(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["kept", "broken"].contains(&ending.trim_end_matches(|c: char| c.is_ascii_digit()))
}

fn is_provenance(path: &Path) -> bool {
    path.to_string_lossy().ends_with("provenance.toml")
}

/// The path of a file in the same folder.
fn sibling(path: &str, name: &str) -> String {
    path.rsplit_once('/').map_or(name.to_string(), |(folder, _)| format!("{folder}/{name}"))
}

/// A file, or the files in a folder and below; what differs from run to run (provenance) is left out.
fn results(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    // A link is nothing that a step writes.
    for path in files::list(path)?.into_iter().filter(|path| !path.is_symlink()) {
        if !is_provenance(&path) && !is_aside(&path) {
            found.extend(results(&path)?);
        }
    }
    Ok(found)
}

/// Hashes of files and folders, each read once.
#[derive(Default)]
pub struct Hashes {
    known: HashMap<PathBuf, String>,
    /// Where the files of those are that are not read where they are named.
    places: HashMap<PathBuf, Place>,
}

impl Hashes {
    /// Hashes where some names stand for other places: names on the hub, folders above the task's.
    pub fn at(places: HashMap<PathBuf, Place>) -> Hashes {
        Hashes { known: HashMap::new(), places }
    }

    /// BLAKE3 of a file, or over the files of a folder.
    pub fn of(&mut self, path: &Path) -> Result<String> {
        if let Some(hash) = self.known.get(path) {
            return Ok(hash.clone());
        }
        let place = self.places.get(path);
        let folder = place.map_or(path, |place| &place.folder);
        let hash = match (files::is_folder(folder), place.and_then(|place| place.origin.as_ref())) {
            (_, Some(origin)) => hash_files(&origin.files)?,
            (true, None) => {
                let own = files::list(folder)?.into_iter().filter(|file| is_input(file));
                hash_files(&own.chain(files::tables_below(folder)).collect::<Vec<_>>())?
            }
            (false, None) => files::hash_file(folder)?,
        };
        self.known.insert(path.to_path_buf(), hash.clone());
        Ok(hash)
    }

    /// Takes those of what a step has just written for a run in `folder`.
    pub fn learn(&mut self, folder: &Path, record: &Record) {
        self.known.extend(record.outputs.iter().map(|(path, hash)| (folder.join(path), hash.clone())));
    }
}

/// BLAKE3 over the names of files and their contents.
fn hash_files(paths: &[PathBuf]) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for path in paths {
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(files::hash_file(path)?.as_bytes());
    }
    Ok(hash.finalize().to_hex().to_string())
}

/// Whether a file of a checkpoint or data folder is one that commands read.
fn is_input(path: &Path) -> bool {
    const READ: [&str; 7] = ["json", "safetensors", "bin", "txt", "tsv", "csv", "parquet"];
    let extension = path.extension().and_then(|e| e.to_str());
    !files::is_folder(path) && extension.is_some_and(|e| READ.contains(&e))
}
