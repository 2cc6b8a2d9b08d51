//! Checkpoints and data sets by name: what lies in the cache of the Hugging Face hub, and what has to be fetched into it.
//!
//! A name is `name` or `owner/name` (data sets have an owner), optionally `@REVISION`: a branch, a tag or a commit.
//! What is a file or folder here is never one. The cache is the one of Python's `huggingface_hub`, and shared with it:
//! `$HF_HUB_CACHE/models--owner--name/{blobs/ETAG, refs/REVISION, snapshots/COMMIT/FILE}`, the files of a snapshot being
//! links to blobs. `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean there, and so do
//! their older names (`HUGGINGFACE_HUB_CACHE`, `TRANSFORMERS_CACHE`, `HUGGING_FACE_HUB_TOKEN`, `TRANSFORMERS_OFFLINE`),
//! `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` for a network whose certificates are its own.
//!
//! What is in the cache is used without asking the hub, so a command that ran once runs again, without a network and on
//! the same bytes: a new revision is fetched only where a commit that is not there yet is named, or `refs/REVISION` is
//! removed. Only the files that are read here are fetched.
//!
//! The trap: Python may have fetched a part of a checkpoint. Weights are fetched last, and a snapshot without all that is
//! read counts as none.
//!
//! `cache` knows the layout, `client` the requests.

mod cache;
mod client;

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};

use self::cache::Cache;
use self::client::Client;
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{self, Progress};

/// Where weights may be: the first of these that is there counts. An index names shards beside it.
pub const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The files that hold a tokenizer's vocabulary: one of these is there.
pub const VOCABULARIES: [&str; 3] = ["tokenizer.json", "vocab.txt", "vocab.json"];

/// The files that a tokenizer may consist of.
pub const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// A tokenizer's files that are not read, but fetched where there is no other, so that the message names what is there.
pub const SENTENCE_PIECE: [&str; 3] = ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];

/// What is to be read of a repository.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// A model's configuration, weights and tokenizer.
    Checkpoint,
    /// Of a data set the parquet tables of every stem, in the folder of this name if it has one: `tables`.
    Tables { folder: &'static str, stems: &'static [&'static str] },
}

/// Where files are read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub folder: PathBuf,
    /// Where they came from, unless the folder itself was named.
    pub origin: Option<Origin>,
}

/// A snapshot of a repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The name as it was given.
    pub name: String,
    pub commit: String,
    /// The files that are read, in name order.
    pub files: Vec<PathBuf>,
}

/// The folder that `path` stands for: itself, or the snapshot of the repository that it names, fetched if it is not in
/// the cache.
///
/// # Errors
///
/// [`Error::Field`] for a repository that cannot be had: no network, no such name, no access, a file that comes damaged.
pub fn locate(path: &Path, wanted: Wanted) -> Result<Place> {
    match Id::of(path, wanted) {
        None => Ok(Place { folder: path.to_path_buf(), origin: None }),
        Some(id) => id.snapshot(&Cache::from_environment()),
    }
}

/// As [`locate`], but `None` where something would have to be fetched and may be.
pub fn locate_here(path: &Path, wanted: Wanted) -> Result<Option<Place>> {
    let cache = Cache::from_environment();
    match Id::of(path, wanted) {
        Some(id) if !cache.offline => Ok(id.cached(&cache)),
        _ => locate(path, wanted).map(Some),
    }
}

/// A repository on the hub, at a revision.
struct Id {
    /// As it was given.
    given: String,
    /// Without the revision.
    name: String,
    revision: String,
    wanted: Wanted,
}

impl Id {
    /// The repository that `path` has the form of, if there is nothing of that name here.
    fn of(path: &Path, wanted: Wanted) -> Option<Id> {
        let given = path.to_str()?;
        let (name, revision) = given.split_once('@').unwrap_or((given, "main"));
        let parts: Vec<&str> = name.split('/').collect();
        let of_its_form = match wanted {
            Wanted::Checkpoint => parts.len() <= 2,
            Wanted::Tables { .. } => parts.len() == 2,
        };
        let sound = of_its_form
            && parts.iter().all(|part| is_name(part))
            && revision.split('/').all(|part| is_word(part) && !part.starts_with('.'));
        let (given, name, revision) = (given.to_string(), name.to_string(), revision.to_string());
        (sound && !files::exists(path)).then_some(Id { given, name, revision, wanted })
    }

    /// `models` or `datasets`.
    fn kind(&self) -> &'static str {
        match self.wanted {
            Wanted::Checkpoint => "models",
            Wanted::Tables { .. } => "datasets",
        }
    }

    fn error(&self, field: &str, expected: impl ToString, found: impl ToString, fix: impl ToString) -> Error {
        Error::field(&self.given, field, expected.to_string(), found.to_string(), fix.to_string())
    }

    /// What to do without the hub.
    fn by_hand(&self) -> String {
        let kind = if self.kind() == "datasets" { " --repo-type dataset" } else { "" };
        format!(
            "`hf download {}{kind} --local-dir FOLDER` where there is a network, and name FOLDER",
            self.name
        )
    }

    /// The snapshot in the cache, if all that is read is there.
    fn cached(&self, cache: &Cache) -> Option<Place> {
        let commit = cache.commit(self)?;
        let names = self.wanted.choose(&cache.names(self, &commit)).ok()?;
        let whole = match self.wanted {
            Wanted::Tables { .. } => true,
            // Which of the tokenizer's files a repository has is known once it was asked.
            Wanted::Checkpoint => {
                let [json, vocab, pairs, _, _, options, _] = TOKENIZER_FILES;
                let known = |name| cache.is_known(self, &commit, name);
                let has = |file| names.iter().any(|name| name == file);
                let vocabulary = has(vocab) || has(pairs) || (known(vocab) && known(pairs));
                cache.offline || has(json) || (vocabulary && known(options))
            }
        };
        whole.then(|| self.place(cache, &commit, &names))
    }

    fn place(&self, cache: &Cache, commit: &str, names: &[String]) -> Place {
        let mut folder = cache.snapshot(self, commit);
        let mut files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        files.sort();
        if let Wanted::Tables { folder: inner, .. } = self.wanted
            && files.iter().all(|file| file.starts_with(folder.join(inner)))
        {
            folder.push(inner);
        }
        Place { folder, origin: Some(Origin { name: self.given.clone(), commit: commit.to_string(), files }) }
    }

    /// The snapshot, fetched if it must be.
    fn snapshot(&self, cache: &Cache) -> Result<Place> {
        if let Some(place) = self.cached(cache) {
            return Ok(place);
        }
        if cache.offline {
            let fix =
                format!("unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to fetch it, or {}", self.by_hand());
            let expected = format!(
                "a folder, or in the cache {}, as HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set",
                cache.folder.display()
            );
            return Err(self.error(
                "name",
                expected,
                "no such folder, and the cache lacks some of its files",
                fix,
            ));
        }
        let client = Client::new(self, cache)?;
        // What else of the repository is here stays of one commit with what is fetched now.
        let known = cache.commit(self);
        let (commit, all) = client.revision(known.as_deref().unwrap_or(&self.revision))?;
        let names = self.wanted.choose(&all).map_err(|missing| {
            let fix = "name a repository of a model's checkpoint, or of GLUE's tasks as in nyu-mll/glue";
            let sentence = format!("the repository lacks files that are needed: {missing}");
            Error::said(&self.given, sentence, fix)
        })?;
        let remotes = names.iter().map(|name| client.file(&commit, name)).collect::<Result<Vec<_>>>()?;
        let wanting = remotes.iter().filter(|remote| !cache.blob(self, &remote.etag).exists());
        let bytes = wanting.filter_map(|remote| remote.size).fold(0, u64::saturating_add);
        let (files, size) = (names.len(), HumanBytes(bytes));
        progress::status(format!("{}: fetching {files} files of commit {commit}, {size}", self.given));
        let progress = Progress::bytes(&self.given, bytes);
        for remote in &remotes {
            let blob = cache.blob(self, &remote.etag);
            if !blob.exists() {
                let lock = cache.lock(self, &remote.etag);
                // While this process waited another may have fetched it.
                match blob.exists() {
                    true => progress.advance(remote.size.unwrap_or(0) as usize),
                    false => client.fetch(remote, &blob, lock.is_none(), &progress)?,
                }
            }
            cache.link(&blob, &cache.snapshot(self, &commit).join(&remote.name))?;
        }
        if let Wanted::Checkpoint = self.wanted {
            let mut absent = TOKENIZER_FILES.iter().filter(|name| !all.iter().any(|own| own == *name));
            absent.try_for_each(|name| cache.mark_absent(self, &commit, name))?;
        }
        if self.revision != commit {
            cache.set_commit(self, &commit)?;
        }
        Ok(self.place(cache, &commit, &names))
    }
}

impl Wanted {
    /// Which of a repository's files are read, small ones first; or what is missing.
    fn choose(self, names: &[String]) -> Result<Vec<String>, String> {
        let has = |name: &str| names.iter().any(|own| own == name);
        let names = names.iter().map(String::as_str);
        match self {
            Wanted::Checkpoint if !has("config.json") => Err("no config.json".into()),
            Wanted::Checkpoint => {
                let weights = WEIGHTS
                    .iter()
                    .find(|name| has(name))
                    .ok_or("neither model.safetensors nor pytorch_model.bin")?;
                let readable = VOCABULARIES.iter().any(|name| has(name));
                let others = SENTENCE_PIECE.into_iter().filter(|_| !readable);
                let small = ["config.json"].into_iter().chain(TOKENIZER_FILES).chain(others);
                let small = small.filter(|name| has(name));
                let mut chosen: Vec<String> = small.chain([*weights]).map(str::to_string).collect();
                if let Some(whole) = weights.strip_suffix(".index.json") {
                    let (stem, extension) = whole.split_once('.').unwrap_or((whole, ""));
                    chosen.extend(shards(names, stem, extension, 1)?);
                }
                Ok(chosen)
            }
            Wanted::Tables { folder, stems } => {
                let folder = format!("{folder}/");
                let each = stems.iter().map(|stem| tables(names.clone(), &[&folder, "", "data/"], stem));
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

/// The parquet tables of a split among `names`, in order, in the first of `folders` that has any; or what is wrong. They are
/// `STEM-KKKKK-of-NNNNN.parquet`, one `STEM.parquet`, or, as the hub converts what is stored otherwise, `STEM/KKKK.parquet`.
pub(crate) fn tables<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    folders: &[&str],
    stem: &str,
) -> Result<Vec<String>, String> {
    let mut wrong = None;
    for folder in folders {
        let stem = format!("{folder}{stem}");
        let sharded = shards(names.clone(), &stem, "parquet", 0);
        if sharded.is_ok() {
            return sharded;
        }
        let one = format!("{stem}.parquet");
        if names.clone().any(|name| name == one) {
            return Ok(vec![one]);
        }
        let inner = numbered(names.clone(), &stem)?;
        if !inner.is_empty() {
            return Ok(inner);
        }
        wrong = wrong.or(sharded.err());
    }
    Err(wrong.unwrap_or_default())
}

/// `FOLDER/KKKK.parquet` from 0, all of them and in order; none if there is no such folder.
fn numbered<'a>(names: impl Iterator<Item = &'a str>, folder: &str) -> Result<Vec<String>, String> {
    let number =
        |name: &str| name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".parquet")?.parse().ok();
    let mut found: Vec<(usize, &str)> = names.filter_map(|name| Some((number(name)?, name))).collect();
    found.sort();
    match found.iter().enumerate().all(|(i, (number, _))| i == *number) {
        true => Ok(found.into_iter().map(|(_, name)| name.to_string()).collect()),
        false => Err(format!("of {folder}/*.parquet some missing, or some twice")),
    }
}

/// Those of `names` that are `STEM-KKKKK-of-NNNNN.EXTENSION`, all of them and in order, numbered from `first`; or what
/// is wrong.
pub(crate) fn shards<'a>(
    names: impl Iterator<Item = &'a str>,
    stem: &str,
    extension: &str,
    first: usize,
) -> Result<Vec<String>, String> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let mut found: Vec<(usize, usize, &str)> = names
        .filter_map(|name| {
            let numbers = name.strip_prefix(stem)?.strip_prefix('-')?;
            let (index, count) = numbers.strip_suffix(extension)?.strip_suffix('.')?.split_once("-of-")?;
            Some((number(index)?, number(count)?, name))
        })
        .collect();
    found.sort();
    let Some((_, count, _)) = found.first().copied() else { return Err(format!("no {stem}-*.{extension}")) };
    let sound = |(i, shard): (usize, &(usize, usize, &str))| (shard.0, shard.1) == (i + first, count);
    match found.len() == count && found.iter().enumerate().all(sound) {
        true => Ok(found.into_iter().map(|(.., name)| name.to_string()).collect()),
        false => Err(format!("of {stem}-*-of-{count:05}.{extension} some missing, or some twice")),
    }
}

/// Letters, digits, `_`, `-` and `.`.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// What the hub takes for an owner or the name of a repository.
fn is_name(text: &str) -> bool {
    let ends = |c: char| c == '.' || c == '-';
    is_word(text)
        && text.len() <= 96
        && !text.starts_with(ends)
        && !text.ends_with(ends)
        && !text.contains("--")
        && !text.contains("..")
}

/// A git commit's full name.
fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    /// Oracle: repositories as they are on the hub, and what is read of them by hand. safetensors come before the pickle,
    /// the small files before the weights; shards count from 1, tables from 0; a name that leads out of the folder is none.
    #[test]
    fn what_is_read_is_chosen_and_what_is_missing_named() {
        let shards = "model-00001-of-00002.safetensors model-00002-of-00002.safetensors";
        let cases = [
            (
                "README.md config.json model.safetensors pytorch_model.bin tokenizer.json vocab.txt",
                "config.json tokenizer.json vocab.txt model.safetensors",
            ),
            (
                "config.json pytorch_model.bin vocab.txt tf_model.h5",
                "config.json vocab.txt pytorch_model.bin",
            ),
            (
                &format!("config.json model.safetensors.index.json {shards} model-1-of-../x.safetensors"),
                &format!("config.json model.safetensors.index.json {shards}"),
            ),
        ];
        for (all, read) in cases {
            assert_eq!(Wanted::Checkpoint.choose(&names(all)), Ok(names(read)));
        }
        let rte = Wanted::Tables { folder: "rte", stems: &["train", "validation"] };
        let (train, dev) = ("rte/train-00000-of-00001.parquet", "rte/validation-00000-of-00001.parquet");
        let all = names(&format!(
            "{dev} rte/test-00000-of-00001.parquet {train} cola/train-00000-of-00001.parquet"
        ));
        assert_eq!(rte.choose(&all), Ok(names(&format!("{train} {dev}"))));
        // Other names of a split's tables: by hand, one file, a folder, and all in a folder of data.
        for other in [
            "rte/train.parquet rte/validation.parquet",
            "rte/train/0000.parquet rte/train/0001.parquet rte/validation/0000.parquet",
            "train.parquet validation.parquet",
            "data/train-00000-of-00001.parquet data/validation-00000-of-00001.parquet",
        ] {
            let all = format!("README.md {other} cola/train.parquet rte/test/0000.parquet");
            assert_eq!(rte.choose(&names(&all)), Ok(names(other)), "{other}");
        }
        assert!(rte.choose(&names("rte/train/0001.parquet")).unwrap_err().contains("missing"));
        for (wanted, all, missing) in [
            (Wanted::Checkpoint, "model.safetensors", "config.json"),
            (Wanted::Checkpoint, "config.json model.ckpt", "model.safetensors"),
            (
                Wanted::Checkpoint,
                "config.json model.safetensors.index.json model-00002-of-00002.safetensors",
                "missing",
            ),
            (rte, "rte/validation-00000-of-00001.parquet", "rte/train-*.parquet"),
        ] {
            assert!(wanted.choose(&names(all)).unwrap_err().contains(missing), "{all}");
        }
    }

    /// Oracle: the hub's rules for names, by hand.
    #[test]
    fn names_of_repositories_are_told_from_paths() {
        let parsed =
            |text: &str| Id::of(Path::new(text), Wanted::Checkpoint).map(|id| (id.name, id.revision));
        let id = |name: &str, revision: &str| Some((name.to_string(), revision.to_string()));
        assert_eq!(parsed("bert-base-uncased"), id("bert-base-uncased", "main"));
        assert_eq!(parsed("a/b_c.d@refs/pr/1"), id("a/b_c.d", "refs/pr/1"));
        for path in [
            "", "/a", "a/", "./a", "../a", "a/b/c", "a b", "a@", "a@b@c", "a@../b", "-a", "a..b", "src",
            "embedded",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
        assert!(Id::of(Path::new("glue"), Wanted::Tables { folder: "rte", stems: &[] }).is_none());
    }
}
