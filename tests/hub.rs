//! Checkpoints and data by name: the binary against a small server that plays the hub, on the loopback device.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::glue::{self, Split, Task};
use fisherscape::data::row::Reason;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{Outcome, copy_folder, fisherscape, fixture};

/// A commit of the model, of the same model with a classifier, and of the data set.
const MAIN: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";
const GLUE: &str = "bcdc0de0bcdc0de0bcdc0de0bcdc0de0bcdc0de0";

/// Hashes of the files, by `sha256sum` for what the hub keeps in large storage, else by `git hash-object`.
const CONFIG: &str = "11d08d2d72985961cef70c8d188dc2c28be4fabe";
const VOCAB: &str = "d7a3b782763aa1f82264adde02c6d9f4c075991e";
const TOKENIZER: &str = "ac558c55fc5aeec49f6d8207a046b718ed556b9b";
const WEIGHTS: &str = "8170254531a4d9039c13811650ead9a92e450087f869c17813bff80b99b68255";
const SPIECE: &str = "68f092ddc71ea0c0540dc59c08aca85ef345fc02230d02d1407b0e2573fd7eba";
const RTE_TRAIN: &str = "22588413d9be261c2821bf9258619588638f8a39d9ed8892f539470c20f01a22";
const RTE_DEV: &str = "cae5e45a4b197568730303f7a96b5757d07e1e3e5616e92fe1851aad59cc094d";

/// Repository, commit, file, where its content is, and its hash. Those without a hash nobody should ask for.
const FILES: [(&str, &str, &str, &str, &str); 10] = [
    ("acme/tiny", MAIN, "config.json", "tiny/model/config.json", CONFIG),
    ("acme/tiny", MAIN, "model.safetensors", "tiny/model/model.safetensors", WEIGHTS),
    ("acme/tiny", MAIN, "tokenizer_config.json", "tiny/model/tokenizer_config.json", TOKENIZER),
    ("acme/tiny", MAIN, "vocab.txt", "tiny/model/vocab.txt", VOCAB),
    (
        "acme/tiny",
        OTHER,
        "config.json",
        "parity/cls/model/config.json",
        "26119b36e23414d64cf2619301e4b4cbb687c267",
    ),
    (
        "acme/tiny",
        OTHER,
        "model.safetensors",
        "parity/cls/model/model.safetensors",
        "f855b03666eee740e12a5e8284b8ecb6a2259939a31b4baa092dbd91637bb2ef",
    ),
    (
        "nyu-mll/glue",
        GLUE,
        "rte/train-00000-of-00001.parquet",
        "tables/hub/rte/train-00000-of-00001.parquet",
        RTE_TRAIN,
    ),
    (
        "nyu-mll/glue",
        GLUE,
        "rte/validation-00000-of-00001.parquet",
        "tables/hub/rte/validation-00000-of-00001.parquet",
        RTE_DEV,
    ),
    ("nyu-mll/glue", GLUE, "rte/test-00000-of-00001.parquet", "tables/odd/train-00000-of-00001.parquet", ""),
    ("acme/tiny", MAIN, "pytorch_model.bin", "tiny/model/model.safetensors", ""),
];

/// As a row of [`FILES`].
type File = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// Names that people use, as owner or none, folder of the fixture, and what transformers' configuration calls the kind.
const NAMES: [(&str, &str); 5] = [
    ("roberta-base", "roberta-base"),
    ("distilbert-base-uncased", "distilbert-base-uncased"),
    ("google/electra-small-discriminator", "electra-small-discriminator"),
    ("albert/albert-base-v2", "albert-base-v2"),
    ("FacebookAI/xlm-roberta-base", "xlm-roberta-base"),
];
/// As albert-base-v2 without its tokenizer.json.
const PIECES: &str = "acme/pieces";

/// Name and hash of each file that a fixture's name has on the hub; no hash for those that nobody should ask for.
fn listed(folder: &str) -> BTreeMap<String, Option<String>> {
    let mut all: BTreeMap<String, BTreeMap<String, Option<String>>> =
        serde_json::from_str(&std::fs::read_to_string(fixture("hub/files.json")).unwrap()).unwrap();
    all.remove(folder).unwrap()
}

/// All that the server has.
fn files() -> &'static [File] {
    static ALL: OnceLock<Vec<File>> = OnceLock::new();
    let own = |(name, folder): (&'static str, &'static str)| {
        listed(folder).into_iter().map(move |(file, hash)| {
            let path: &str = format!("hub/{folder}/{file}").leak();
            let file: &str = file.leak();
            let hash: &str = hash.unwrap_or_default().leak();
            (name, MAIN, file, path, hash)
        })
    };
    let pieces = || {
        let kept = own((PIECES, "albert-base-v2")).filter(|file| file.2 != "tokenizer.json");
        // `sha256sum` of the fixture's.
        kept.map(|(name, commit, file, path, hash)| {
            (name, commit, file, path, if file == "spiece.model" { SPIECE } else { hash })
        })
    };
    ALL.get_or_init(|| FILES.into_iter().chain(NAMES.into_iter().flat_map(own)).chain(pieces()).collect())
}

/// A request that came.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    method: String,
    path: String,
    range: Option<String>,
    token: Option<String>,
    host: Option<String>,
}

/// What goes wrong.
#[derive(Clone, Default)]
struct Faults {
    /// So many answers of the storage, each cut after so many bytes of its body.
    cuts: usize,
    after: usize,
    /// A cut answer stays open instead of being closed.
    stall: bool,
    /// A file whose content is changed.
    changed: Option<&'static str>,
    /// Every answer has this status and error code.
    status: Option<(u16, &'static str)>,
    /// So many answers have status 429 and ask to wait so many seconds.
    limited: (usize, &'static str),
    /// Every path is redirected for good to another host, where it begins with /real.
    moved: bool,
    /// Answers to HEAD of small files have no length.
    no_length: bool,
    /// What stands in place of a small file's etag, `*` for its hash, `%` for 32 digits as of an MD5.
    etag: Option<&'static str>,
    /// The API's tree is there.
    tree: bool,
    /// Ranges are ignored.
    whole: bool,
    /// The size that files in large storage are said to have.
    size: Option<u64>,
    /// The storage is this server.
    elsewhere: Option<String>,
}

/// The server.
pub(crate) struct Hub {
    url: String,
    home: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    faults: Arc<Mutex<Faults>>,
}

impl Hub {
    /// One whose answers are cut, so that a download takes several.
    pub(crate) fn slow() -> Hub {
        let hub = Hub::start();
        hub.set(Faults { cuts: usize::MAX, after: 9_000, ..Faults::default() });
        hub
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn start() -> Hub {
        Hub::over(None)
    }

    /// Over TLS, with the certificate of the fixture.
    fn start_secure() -> Outcome<Hub> {
        let chain = vec![CertificateDer::from_pem_file(fixture("tls/certificate.pem"))?];
        let key = PrivateKeyDer::from_pem_file(fixture("tls/key.pem"))?;
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        Ok(Hub::over(Some(Arc::new(config))))
    }

    fn over(tls: Option<Arc<rustls::ServerConfig>>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, faults): (Arc<Mutex<Vec<Seen>>>, Arc<Mutex<Faults>>) = Default::default();
        let shared = (seen.clone(), faults.clone());
        let scheme = if tls.is_some() { "https" } else { "http" };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ((seen, faults), tls) = (shared.clone(), tls.clone());
                let storage = format!("{scheme}://localhost:{port}/storage");
                std::thread::spawn(move || match tls {
                    None => answer(stream, &storage, &seen, &faults),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).ok()?;
                        answer(rustls::StreamOwned::new(connection, stream), &storage, &seen, &faults)
                    }
                });
            }
        });
        Hub { url: format!("{scheme}://127.0.0.1:{port}"), home: tempfile::tempdir().unwrap(), seen, faults }
    }

    /// The binary, to which this is the hub.
    fn command(&self, arguments: &str) -> Command {
        let mut command = online(arguments);
        command.env("HF_ENDPOINT", &self.url).env("HF_HOME", self.home.path());
        command
    }

    fn fails_with(&self, arguments: &str, parts: &[&str]) {
        let assert = self.command(arguments).assert().code(1);
        says(&String::from_utf8_lossy(&assert.get_output().stderr), parts);
    }

    fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    /// The requests since the last call.
    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// A path in the cache.
    fn cache(&self, path: &str) -> PathBuf {
        self.home.path().join("hub").join(path)
    }
}

/// The binary as a user without settings has it.
fn online(arguments: &str) -> Command {
    let mut command = fisherscape(arguments);
    let unset = ["HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HOME"];
    let older =
        ["TRANSFORMERS_OFFLINE", "TRANSFORMERS_CACHE", "HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"];
    unset.iter().chain(&older).for_each(|name| _ = command.env_remove(name));
    let certificates = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    certificates.iter().chain(&proxies).for_each(|name| _ = command.env_remove(name));
    command
}

fn says(message: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(message.contains(part), "no `{part}` in: {message}"));
}

/// Answers one request as the hub does: files in large storage by a redirect to another host, others by one on the same.
fn answer(
    mut stream: impl Read + Write,
    storage: &str,
    seen: &Mutex<Vec<Seen>>,
    faults: &Mutex<Faults>,
) -> Option<()> {
    let mut lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
    let request = lines.next()?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_string())))
        .collect();
    let header = |name: &str| headers.get(name).cloned();
    let (range, token, host) = (header("range"), header("authorization"), header("host"));
    seen.lock().unwrap().push(Seen {
        method: method.clone(),
        path: path.clone(),
        range: range.clone(),
        token,
        host,
    });
    let faults_now = faults.lock().unwrap().clone();
    let mut out = stream;
    let mut head =
        |status: &str, more: &str| write!(out, "HTTP/1.1 {status}\r\nconnection: close\r\n{more}\r\n").ok();
    if let Some((status, code)) = faults_now.status {
        return head(&format!("{status} no"), &format!("x-error-code: {code}\r\ncontent-length: 0\r\n"));
    }
    if faults_now.limited.0 > 0 {
        faults.lock().unwrap().limited.0 -= 1;
        return head("429 Too Many", &format!("{}\r\ncontent-length: 0\r\n", faults_now.limited.1));
    }
    let path = match path.strip_prefix("/real") {
        Some(rest) => rest.to_string(),
        None if faults_now.moved && !path.starts_with("/storage/") => {
            let place = storage.trim_end_matches("/storage");
            return head("308 Moved", &format!("location: {place}/real{path}\r\ncontent-length: 0\r\n"));
        }
        None => path,
    };
    let known = |name: &str, revision: &str| match (name, revision) {
        ("acme/tiny", "main" | MAIN) => Some(MAIN),
        ("acme/tiny", "v2" | "refs%2Fpr%2F1" | OTHER) => Some(OTHER),
        ("nyu-mll/glue", "main" | GLUE) => Some(GLUE),
        (_, "main" | MAIN) => files().iter().find(|file| (file.0, file.1) == (name, MAIN)).map(|file| file.1),
        _ => None,
    };
    let missing = |code: &str| format!("x-error-code: {code}\r\ncontent-length: 0\r\n");
    let api = path.strip_prefix("/api/models/").or(path.strip_prefix("/api/datasets/"));
    if let Some((name, revision)) = api.and_then(|rest| rest.split_once("/revision/")) {
        let Some(commit) = known(name, revision) else {
            let code = if known(name, "main").is_some() { "RevisionNotFound" } else { "RepoNotFound" };
            return head(if code == "RepoNotFound" { "401 no" } else { "404 no" }, &missing(code));
        };
        let names = files().iter().filter(|file| (file.0, file.1) == (name, commit));
        let siblings: Vec<_> = names.map(|file| serde_json::json!({"rfilename": file.2})).collect();
        let body = serde_json::json!({"id": name, "sha": commit, "siblings": siblings}).to_string();
        head("200 OK", &format!("content-length: {}\r\n", body.len()))?;
        return out.write_all(body.as_bytes()).ok();
    }
    if let Some((name, commit)) =
        api.and_then(|rest| rest.strip_suffix("?recursive=true")?.split_once("/tree/"))
    {
        let own = files().iter().filter(|file| (file.0, file.1) == (name, commit) && faults_now.tree);
        // As the hub answers: `oid` is git's hash, for large files that of the pointer, whose content has another.
        let entry = |file: &(&str, &str, &str, &str, &str)| {
            let size = std::fs::read(fixture(file.3)).unwrap().len();
            let mut entry = serde_json::json!({"type": "file", "path": file.2, "size": size, "oid": file.4});
            if file.4.len() == 64 {
                entry["oid"] = "e".repeat(40).into();
                entry["lfs"] = serde_json::json!({"oid": file.4, "size": size, "pointerSize": 134});
            }
            entry
        };
        let body = serde_json::Value::from(own.map(entry).collect::<Vec<_>>()).to_string();
        head("200 OK", &format!("content-length: {}\r\n", body.len()))?;
        return out.write_all(body.as_bytes()).ok();
    }
    let found = files().iter().find(|(repository, commit, name, _, hash)| {
        let prefix = if *repository == "nyu-mll/glue" { "/datasets" } else { "" };
        path == format!("{prefix}/{repository}/resolve/{commit}/{name}")
            || path == format!("/direct/{commit}/{name}")
            || path == format!("/storage/{}", hash)
    });
    let Some((_, commit, name, place, hash)) = found else {
        return head("404 no", &missing("EntryNotFound"));
    };
    let mut content = std::fs::read(fixture(place)).unwrap();
    let large = hash.len() == 64;
    if path.contains("/resolve/") {
        let storage =
            faults_now.elsewhere.as_ref().map_or(storage.to_string(), |url| format!("{url}/storage"));
        let to = if large { format!("{storage}/{hash}") } else { format!("/direct/{commit}/{name}") };
        let linked = if large {
            let size = faults_now.size.unwrap_or(content.len() as u64);
            format!("x-linked-etag: \"{hash}\"\r\nx-linked-size: {size}\r\n")
        } else {
            String::new()
        };
        let more = format!(
            "location: {to}\r\netag: W/\"of-the-redirect\"\r\nx-repo-commit: {commit}\r\n{linked}content-length: 0\r\n"
        );
        return head("302 Found", &more);
    }
    if faults_now.changed == Some(name) {
        content[10] ^= 1;
    }
    let whole = content.len();
    let range = range.filter(|_| !faults_now.whole);
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let body = content.split_off(from.unwrap_or(0));
    let (status, of) = match from {
        Some(from) => ("206 Partial", format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1)),
        None => ("200 OK", String::new()),
    };
    let etag = match faults_now.etag.filter(|_| !large) {
        Some(other) => other.replace('*', hash).replace('%', &hash[..hash.len().min(32)]),
        None => format!("etag: \"{hash}\"\r\n"),
    };
    let length = match faults_now.no_length && method == "HEAD" {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    head(status, &format!("{etag}{of}{length}"))?;
    if method == "HEAD" {
        return Some(());
    }
    if large && faults_now.cuts > 0 {
        faults.lock().unwrap().cuts -= 1;
        out.write_all(&body[..faults_now.after.min(body.len())]).ok()?;
        if faults_now.stall {
            std::thread::sleep(Duration::from_secs(20));
        }
        return Some(());
    }
    out.write_all(&body).ok()
}

/// A set for the small checkpoint, made from its folder.
fn set_in(folder: &Path) -> PathBuf {
    let (model, table) = (fixture("tiny/model"), fixture("tiny/sentiment.tsv"));
    let (model, table, out) = (model.display(), table.display(), folder.join("set.safetensors"));
    let text = format!(
        "freeze --checkpoint {model} --text {table} --min-words 3 --examples 20 --out {}",
        out.display()
    );
    fisherscape(&text).assert().success();
    out
}

/// What `loss --json` says of a checkpoint.
fn loss(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// Oracles: the folder that the files came from; the layout of `huggingface_hub`, as version 2.4 leaves it; the server's
/// list of requests.
#[test]
fn a_checkpoint_by_name_is_that_of_the_folder_and_is_fetched_once() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
    let expected = loss(&mut hub.command(&by(&fixture("tiny/model").display().to_string())));
    assert_eq!(hub.seen(), []);
    assert_eq!(loss(&mut hub.command(&by("acme/tiny"))), expected);
    let asked: Vec<String> =
        hub.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let direct = |name: &str| format!("/direct/{MAIN}/{name}");
    assert_eq!(asked[0], "GET /api/models/acme/tiny/revision/main");
    for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        assert!(asked.contains(&format!("GET {}", direct(name))), "{asked:?}");
    }
    assert_eq!(asked.last(), Some(&format!("GET /storage/{WEIGHTS}")), "weights come last");
    assert!(!asked.iter().any(|line| line.ends_with(".bin")), "{asked:?}");
    // The layout.
    let repository = hub.cache("models--acme--tiny");
    assert_eq!(std::fs::read_to_string(repository.join("refs/main"))?, MAIN);
    let link = |name: &str| std::fs::read_link(repository.join("snapshots").join(MAIN).join(name)).unwrap();
    assert_eq!(link("model.safetensors"), Path::new("../../blobs").join(WEIGHTS));
    assert_eq!(link("vocab.txt"), Path::new("../../blobs").join(VOCAB));
    let mut blobs: Vec<_> =
        std::fs::read_dir(repository.join("blobs"))?.map(|e| e.unwrap().file_name()).collect();
    blobs.sort();
    let mut hashes = [WEIGHTS, VOCAB, CONFIG, TOKENIZER];
    hashes.sort();
    assert_eq!(blobs, hashes);
    // Again, and without a hub.
    assert_eq!(loss(&mut hub.command(&by("acme/tiny"))), expected);
    assert_eq!(loss(hub.command(&by("acme/tiny")).env("HF_ENDPOINT", "http://127.0.0.1:1")), expected);
    assert_eq!(loss(hub.command(&by("acme/tiny")).env("HF_HUB_OFFLINE", "1")), expected);
    assert_eq!(hub.seen(), []);
    // A commit that is there already needs no request either; provenance has it.
    let out = folder.path().join("f.safetensors");
    let fisher =
        format!("fisher --checkpoint acme/tiny@{MAIN} --set {} --out {}", set.display(), out.display());
    hub.command(&fisher).assert().success();
    assert_eq!(hub.seen(), []);
    let provenance = std::fs::read_to_string(folder.path().join("f.safetensors.provenance.toml"))?;
    says(&provenance, &["[hub]", &format!("\"acme/tiny@{MAIN}\" = \"{MAIN}\"")]);
    Ok(())
}

/// Oracle: the parity fixture, which the other commit consists of, and the number of its classes, 3. Taking `main` in its
/// place would be another model.
#[test]
fn a_revision_is_a_tag_a_branch_or_a_commit() -> Outcome {
    let hub = Hub::start();
    let by = |checkpoint: &str| {
        let set = fixture("parity/cls/set.safetensors");
        format!("loss --checkpoint {checkpoint} --set {} --strict-head --json", set.display())
    };
    let expected = loss(&mut hub.command(&by(&fixture("parity/cls/model").display().to_string())));
    for revision in ["v2", "refs/pr/1", OTHER] {
        assert_eq!(loss(&mut hub.command(&by(&format!("acme/tiny@{revision}")))), expected, "{revision}");
    }
    let refs = hub.cache("models--acme--tiny/refs");
    assert_eq!(std::fs::read_to_string(refs.join("v2"))?, OTHER);
    assert_eq!(std::fs::read_to_string(refs.join("refs/pr/1"))?, OTHER);
    assert!(!refs.join("main").exists() && !refs.join(OTHER).exists());
    // The files are one commit's, so they came once.
    assert_eq!(hub.seen().iter().filter(|seen| seen.path.starts_with("/storage/")).count(), 1);
    hub.fails_with(&by("acme/tiny@v3"), &["acme/tiny@v3", "`revision`", "404 RevisionNotFound", "fix:"]);
    Ok(())
}

/// Oracle: a cache made by hand as Python leaves it, with a revision that is no commit, and a port where nobody listens.
#[test]
fn what_python_fetched_is_found_and_offline_nothing_is_asked() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
    for value in ["1", "true", "YES", "on"] {
        let mut command = hub.command(&by("acme/tiny"));
        let assert = command.env("HF_HUB_OFFLINE", value).assert().code(1);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        says(&said, &["acme/tiny", "HF_HUB_OFFLINE", &hub.home.path().display().to_string(), "fix:"]);
    }
    assert_eq!(hub.seen(), []);
    let cache = folder.path().join("elsewhere");
    let repository = cache.join("models--acme--tiny");
    let snapshot = repository.join("snapshots").join(OTHER);
    for made in ["blobs", "refs"] {
        std::fs::create_dir_all(repository.join(made))?;
    }
    std::fs::create_dir_all(&snapshot)?;
    std::fs::write(repository.join("refs/v9"), OTHER)?;
    for (name, hash) in [
        ("config.json", CONFIG),
        ("model.safetensors", WEIGHTS),
        ("vocab.txt", VOCAB),
        ("tokenizer_config.json", TOKENIZER),
    ] {
        std::fs::copy(fixture("tiny/model").join(name), repository.join("blobs").join(hash))?;
        std::os::unix::fs::symlink(Path::new("../../blobs").join(hash), snapshot.join(name))?;
    }
    let expected = loss(&mut hub.command(&by(&fixture("tiny/model").display().to_string())));
    for offline in ["", "1"] {
        let mut command = hub.command(&by("acme/tiny@v9"));
        command
            .env("HF_HUB_CACHE", &cache)
            .env("HF_ENDPOINT", "http://127.0.0.1:1")
            .env("HF_HUB_OFFLINE", offline);
        assert_eq!(loss(&mut command), expected);
    }
    // Python had fetched the configuration alone: that is no checkpoint, and the rest comes from the hub, of the commit that is here
    // and not of what the branch may be by now.
    std::fs::remove_file(repository.join("refs/v9"))?;
    std::fs::write(repository.join("refs/main"), MAIN)?;
    std::fs::rename(&snapshot, repository.join("snapshots").join(MAIN))?;
    std::fs::remove_file(repository.join("blobs").join(WEIGHTS))?;
    assert_eq!(loss(hub.command(&by("acme/tiny")).env("HF_HUB_CACHE", &cache)), expected);
    let bodies =
        hub.seen().into_iter().filter(|seen| seen.method == "GET" && !seen.path.contains("/resolve/"));
    let bodies: Vec<String> = bodies.map(|seen| seen.path).collect();
    assert_eq!(bodies, [format!("/api/models/acme/tiny/revision/{MAIN}"), format!("/storage/{WEIGHTS}")]);
    Ok(())
}

/// The ranges that the storage was asked for.
fn ranges(hub: &Hub) -> Vec<Option<String>> {
    hub.seen().into_iter().filter(|seen| seen.path.starts_with("/storage/")).map(|seen| seen.range).collect()
}

/// Oracle: the requests, and the folder's loss. A whole file after every cut would have no range.
#[test]
fn a_cut_connection_goes_on_from_where_it_was() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
    let expected = loss(&mut hub.command(&by(&fixture("tiny/model").display().to_string())));
    let from = |at: usize| Some(format!("bytes={at}-"));
    // More often than it would be tried in vain, for each time some of it came.
    hub.set(Faults { cuts: 6, after: 10_000, ..Faults::default() });
    assert_eq!(loss(&mut hub.command(&by("acme/tiny"))), expected);
    assert_eq!(ranges(&hub), [&[None][..], &[1, 2, 3, 4, 5, 6].map(|k| from(10_000 * k))].concat());
    // A process that is killed leaves what it had, and nothing under the final name.
    std::fs::remove_dir_all(hub.home.path())?;
    let blob = hub.cache("models--acme--tiny/blobs").join(WEIGHTS);
    let partial = hub.cache("models--acme--tiny/blobs").join(format!("{WEIGHTS}.incomplete"));
    hub.set(Faults { cuts: 1, after: 30_000, stall: true, ..Faults::default() });
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args(by("acme/tiny").split_whitespace())
        .envs([("HF_ENDPOINT", hub.url.as_str()), ("HF_HUB_OFFLINE", "")])
        .env("HF_HOME", hub.home.path())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let started = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |file| file.len()) < 30_000 {
        assert!(started.elapsed() < Duration::from_secs(15), "the rest did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    assert!(!blob.exists() && !hub.cache("models--acme--tiny/refs/main").exists());
    assert_eq!(ranges(&hub), [None]);
    // Nothing comes, however often it is tried: an error, and the next run goes on.
    hub.set(Faults { cuts: usize::MAX, ..Faults::default() });
    hub.fails_with(
        &by("acme/tiny"),
        &["acme/tiny", "connection", "5 times", "run it again", "resumes from there"],
    );
    assert_eq!(ranges(&hub), vec![from(30_000); 5]);
    assert_eq!(std::fs::metadata(&partial)?.len(), 30_000);
    hub.set(Faults::default());
    assert_eq!(loss(&mut hub.command(&by("acme/tiny"))), expected);
    assert_eq!(ranges(&hub), [from(30_000)]);
    assert!(blob.exists() && !partial.exists());
    Ok(())
}

/// Oracle: the hashes of `sha256sum` and `git hash-object`, and the changed content's by the same programs' rules: another
/// one. A checksum over a part only would let the changed byte pass.
#[test]
fn a_wrong_checksum_is_refused_and_the_file_removed() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let text = format!("loss --checkpoint acme/tiny --set {} --json", set.display());
    for (name, hash) in [("model.safetensors", WEIGHTS), ("vocab.txt", VOCAB)] {
        hub.set(Faults { changed: Some(name), ..Faults::default() });
        hub.fails_with(&text, &["acme/tiny", name, hash, "removed", "fix:"]);
        let blob = hub.cache("models--acme--tiny/blobs").join(hash);
        assert!(!blob.exists() && !blob.with_extension("incomplete").exists());
        // What is left of an earlier try counts too: it is of another file.
        let mut left = std::fs::read(fixture("tiny/model").join(name))?;
        left[5] ^= 1;
        left.truncate(20);
        std::fs::write(blob.with_extension("incomplete"), left)?;
        hub.set(Faults::default());
        hub.fails_with(&text, &[name, "removed"]);
        hub.command(&text).assert().success();
        std::fs::remove_dir_all(hub.home.path())?;
    }
    Ok(())
}

/// Oracle: the server's own list of requests: a file for which no disk has room is not asked for.
#[test]
fn a_file_larger_than_the_disk_is_refused() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {} --json", set_in(folder.path()).display());
    hub.set(Faults { size: Some(u64::MAX), ..Faults::default() });
    hub.fails_with(&text, &["acme/tiny", "model.safetensors", "needs 16.00 EiB of disk", "HF_HOME"]);
    assert!(hub.seen().iter().all(|seen| !seen.path.contains(WEIGHTS)));
    hub.set(Faults::default());
    hub.command(&text).assert().success();
    Ok(())
}

/// Oracle: the message must say what to do: the variables, the token, the spelling. What has not the form of a name is a
/// folder that is missing, and no request.
#[test]
fn what_cannot_be_had_is_said_with_a_way_out() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {}", set.display());
    for path in
        ["./models/x", "/nowhere/x", "a/b/c", "../tiny", "models/", "a--b/c", "acme/tiny@", "acme/tiny@../x"]
    {
        hub.fails_with(&by(path), &["`checkpoint` must be a folder, found none", "fix:"]);
    }
    assert_eq!(hub.seen(), []);
    hub.fails_with(&by("acme/teeny"), &["acme/teeny", "401 RepoNotFound", "spelling", "HF_TOKEN", "folder"]);
    hub.set(Faults { status: Some((403, "GatedRepo")), ..Faults::default() });
    hub.fails_with(
        &by("acme/tiny"),
        &["acme/tiny", "gated", "403", "HF_TOKEN", &format!("{}/acme/tiny", hub.url)],
    );
    hub.set(Faults { status: Some((404, "")), ..Faults::default() });
    hub.fails_with(&by("acme/tiny"), &["acme/tiny", "status 404", "spelling"]);
    let seen = hub.seen().len();
    hub.set(Faults { status: Some((503, "")), ..Faults::default() });
    hub.fails_with(&by("acme/tiny"), &["acme/tiny", "status 503, 5 times"]);
    assert_eq!((seen, hub.seen().len()), (3, 5));
    let assert = hub.command(&by("acme/tiny")).env("HF_ENDPOINT", "http://127.0.0.1:1").assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    says(
        &said,
        &[
            "acme/tiny",
            "http://127.0.0.1:1",
            "HF_ENDPOINT",
            "HF_HUB_OFFLINE",
            "hf download acme/tiny",
            "FOLDER",
        ],
    );
    let assert = hub.command(&by("acme/tiny")).env("HF_ENDPOINT", "http://nowhere.invalid").assert().code(1);
    says(&String::from_utf8_lossy(&assert.get_output().stderr), &["http://nowhere.invalid", "HF_ENDPOINT"]);
    Ok(())
}

/// Oracle: the folder's loss, the hashes of `sha256sum` and `git hash-object` as names of blobs, and the server's requests.
/// Catches a file that is refused, or taken for another, because a mirror or a proxy changed what stands beside it.
#[test]
fn what_mirrors_and_proxies_take_away_is_found_elsewhere() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
    let expected = loss(&mut hub.command(&by(&fixture("tiny/model").display().to_string())));
    const MD5: &str = "etag: \"%\"\r\n";
    let faults = Faults::default;
    let cases = [
        ("moved", Faults { moved: true, ..faults() }, Some(CONFIG)),
        ("no length", Faults { no_length: true, ..faults() }, Some(CONFIG)),
        ("no length, but a tree", Faults { no_length: true, tree: true, ..faults() }, Some(CONFIG)),
        ("packed", Faults { etag: Some("etag: W/\"*-gzip\"\r\n"), ..faults() }, Some(CONFIG)),
        ("md5, but a tree", Faults { etag: Some(MD5), tree: true, ..faults() }, Some(CONFIG)),
        (
            "nothing, but a tree",
            Faults { etag: Some(""), no_length: true, tree: true, ..faults() },
            Some(CONFIG),
        ),
        // As Python does: under the name that the server gives.
        ("md5", Faults { etag: Some(MD5), ..faults() }, Some(&CONFIG[..32])),
        ("nothing", Faults { etag: Some(""), ..faults() }, None),
        ("md5, no length", Faults { etag: Some(MD5), no_length: true, ..faults() }, None),
    ];
    for (name, faults, blob) in cases {
        hub.set(faults);
        let mut command = hub.command(&by("acme/tiny"));
        command.env("HF_TOKEN", "hf_secret");
        match blob {
            Some(_) => assert_eq!(loss(&mut command), expected, "{name}"),
            None => {
                let said = String::from_utf8(command.assert().code(1).get_output().stderr.clone())?;
                says(&said, &["acme/tiny", "config.json", "etag", "proxy or mirror", "hf download"]);
            }
        }
        let blobs = hub.cache("models--acme--tiny/blobs");
        assert_eq!(blob.map(|blob| blobs.join(blob).exists()), blob.map(|_| true), "{name}");
        for Seen { path, token, host, .. } in hub.seen() {
            let own = host.is_some_and(|host| host.starts_with("127.0.0.1"));
            assert_eq!(token.is_some(), own, "{name}: {path}");
        }
        let _ = std::fs::remove_dir_all(hub.cache("models--acme--tiny"));
    }
    Ok(())
}

/// Oracle: the server's count: one try that brings something, five in vain. A server that begins anew each time was asked for
/// ever, since every try brought bytes.
#[test]
fn a_proxy_that_begins_anew_each_time_is_given_up_and_named() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {}", set_in(folder.path()).display());
    hub.set(Faults { cuts: usize::MAX, after: 20_000, whole: true, ..Faults::default() });
    let parts = ["connection", "20000 of", "begins anew", "5 times", "a proxy or mirror", "hf download"];
    hub.fails_with(&text, &parts);
    assert_eq!(ranges(&hub).len(), 6);
    // Nobody listens where the proxy should be.
    let mut command = hub.command(&text);
    let assert = command.env("HTTPS_PROXY", "http://user:secret@127.0.0.1:1").assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    says(&said, &["the proxy 127.0.0.1:1", "HTTPS_PROXY", "NO_PROXY"]);
    assert!(!said.contains("secret"), "{said}");
    Ok(())
}

/// Oracle: the clock and the server's count. Both headers are those that the hub sends.
#[test]
fn a_hub_that_asks_to_wait_is_waited_for() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {}", set_in(folder.path()).display());
    for asks in ["retry-after: 2", "ratelimit: \"resolvers\";r=0;t=2"] {
        hub.set(Faults { limited: (1, asks), ..Faults::default() });
        let started = Instant::now();
        hub.command(&text).assert().success();
        assert!(started.elapsed() >= Duration::from_secs(2), "{asks}");
        std::fs::remove_dir_all(hub.home.path())?;
    }
    hub.seen();
    hub.set(Faults { limited: (9, "retry-after: 3600"), ..Faults::default() });
    hub.fails_with(&text, &["acme/tiny", "status 429", "3600 s", "HF_TOKEN"]);
    assert_eq!(hub.seen().len(), 1);
    Ok(())
}

/// Oracle: `huggingface_hub` itself, asked by make_hub_environment.py in each of these environments. Catches a folder named
/// `~`, and a cache that Python looks for elsewhere.
#[test]
fn the_environment_means_what_it_means_in_python() -> Outcome {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(fixture("hub_environment.json"))?)?;
    assert!(cases.len() > 8);
    for case in cases {
        let set = fixture("parity/cls/set.safetensors");
        let mut command = fisherscape(&format!("loss --checkpoint acme/tiny --set {}", set.display()));
        command.env_clear().env("HF_HUB_OFFLINE", "1");
        let environment = case["environment"].as_object().ok_or("no environment")?;
        environment.iter().for_each(|(name, value)| _ = command.env(name, value.as_str().unwrap()));
        let output = command.assert().code(1).get_output().stderr.clone();
        let cache = format!("in the cache {},", case["cache"].as_str().unwrap());
        says(&String::from_utf8(output)?, &[&cache]);
    }
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {}", set_in(folder.path()).display());
    hub.command(&text).env("TRANSFORMERS_OFFLINE", "1").assert().code(1);
    assert_eq!(hub.seen(), []);
    hub.command(&text).env("HUGGING_FACE_HUB_TOKEN", "hf_older").assert().success();
    assert_eq!(hub.seen()[0].token.as_deref(), Some("Bearer hf_older"));
    Ok(())
}

/// Oracle: the folder's loss. A folder where the lock should be stands for every lock that cannot be had: another user's, or
/// on a file system without any.
#[test]
fn without_locks_a_file_is_fetched_all_the_same() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let set = set_in(folder.path());
    let by = |checkpoint: &str| format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
    let expected = loss(&mut hub.command(&by(&fixture("tiny/model").display().to_string())));
    for hash in [CONFIG, VOCAB, TOKENIZER, WEIGHTS] {
        std::fs::create_dir_all(hub.cache(".locks/models--acme--tiny").join(format!("{hash}.lock")))?;
    }
    assert_eq!(loss(&mut hub.command(&by("acme/tiny"))), expected);
    let blobs = std::fs::read_dir(hub.cache("models--acme--tiny/blobs"))?;
    assert_eq!(blobs.count(), 4, "nothing half-fetched is left");
    Ok(())
}

/// Oracle: the server's requests. A token that went to the storage would be another host's to keep.
#[test]
fn the_token_goes_to_the_hub_alone() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {}", set_in(folder.path()).display());
    for by_file in [true, false] {
        let mut command = hub.command(&text);
        match by_file {
            true => std::fs::write(hub.home.path().join("token"), "hf_secret\n")?,
            false => _ = command.env("HF_TOKEN", "hf_secret"),
        }
        command.assert().success();
        let seen = hub.seen();
        assert!(seen.iter().any(|seen| seen.path.starts_with("/storage/")));
        for Seen { path, token, .. } in seen {
            let expected = (!path.starts_with("/storage/")).then_some("Bearer hf_secret");
            assert_eq!(token.as_deref(), expected, "{path}");
        }
        std::fs::remove_dir_all(hub.home.path())?;
        std::fs::create_dir_all(hub.home.path())?;
    }
    // Another port of the same host is another server.
    let other = Hub::start();
    hub.set(Faults { elsewhere: Some(other.url.clone()), ..Faults::default() });
    hub.command(&text).env("HF_TOKEN", "hf_secret").assert().success();
    let seen = other.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.token.is_none()), "{seen:?}");
    assert!(hub.seen().iter().all(|seen| seen.token.as_deref() == Some("Bearer hf_secret")));
    Ok(())
}

/// Oracle: TLS by rustls with a certificate that nothing else trusts: refused without a request, taken once its file is named.
#[test]
fn certificates_of_ones_own_are_trusted_if_named() -> Outcome {
    let (hub, folder) = (Hub::start_secure()?, tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {} --json", set_in(folder.path()).display());
    hub.fails_with(
        &text,
        &["acme/tiny", &hub.url, "UnknownIssuer", "fix: name the certificates", "SSL_CERT_FILE"],
    );
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n")?;
    let assert = hub.command(&text).env("SSL_CERT_FILE", &empty).assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    says(&said, &["empty.pem", "no certificates in PEM", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]);
    assert_eq!(hub.seen(), []);
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
        loss(hub.command(&text).env(name, fixture("tls/certificate.pem")));
        assert!(hub.seen().iter().any(|seen| seen.path.starts_with("/storage/")), "{name}");
        std::fs::remove_dir_all(hub.home.path())?;
    }
    Ok(())
}

/// Oracle: the server's count: one process fetches, the other waits for it.
#[test]
fn two_processes_fetch_a_file_once() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let text = format!("loss --checkpoint acme/tiny --set {} --json", set_in(folder.path()).display());
    hub.set(Faults { cuts: 2, after: 30_000, ..Faults::default() });
    let losses: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| loss(&mut hub.command(&text)))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(losses[0], losses[1]);
    assert_eq!(ranges(&hub).len(), 3, "one whole file in three parts");
    Ok(())
}

/// Oracle: the rows of GLUE's own layout, which make_parquet.py writes beside the hub's, through the other reader; and
/// their number, 8 and 4. Each also through the folder above all tasks.
#[test]
fn the_hubs_tables_have_the_rows_of_glues_own_files() -> Outcome {
    let folders = [
        (Task::Cola, "CoLA", "cola"),
        (Task::Sst2, "SST-2", "sst2"),
        (Task::Mrpc, "MRPC", "mrpc"),
        (Task::Qqp, "QQP", "qqp"),
        (Task::Stsb, "STS-B", "stsb"),
        (Task::Mnli, "MNLI", "mnli"),
        (Task::Qnli, "QNLI", "qnli"),
        (Task::Rte, "RTE", "rte"),
        (Task::Wnli, "WNLI", "wnli"),
    ];
    for (task, own, hub) in folders {
        let splits = [(Split::Train, 8), (Split::Dev, 4), (Split::DevMismatched, 4)];
        for (split, count) in splits.into_iter().take(if task == Task::Mnli { 3 } else { 2 }) {
            let expected = glue::read(task, &fixture("tables/tsv").join(own), split)?;
            assert_eq!((expected.rows.len(), expected.skipped.len()), (count, 0), "{task} {split}");
            for place in [fixture("tables/hub").join(hub), fixture("tables/hub"), fixture("tables/tsv")] {
                assert_eq!(glue::read(task, &place, split)?, expected, "{task} {split} {}", place.display());
            }
        }
    }
    Ok(())
}

/// Oracle: the rows of make_parquet.py's odd table, counted by hand; and the message must name file, column and what was
/// found.
#[test]
fn what_is_wrong_with_a_table_is_said() -> Outcome {
    let odd = glue::read(Task::Rte, &fixture("tables/odd"), Split::Train)?;
    let skipped: Vec<_> = odd.skipped.iter().map(|row| (row.line, row.reason)).collect();
    use Reason::{EmptyText, NoLabel, UnreadableLabel};
    let expected = [(2, EmptyText), (3, EmptyText), (4, NoLabel), (5, NoLabel), (6, UnreadableLabel)];
    assert_eq!((skipped.as_slice(), odd.rows.len()), (&expected[..], 2));
    let folder = tempfile::tempdir()?;
    let fails = |task: Task, parts: &[&str]| {
        says(&glue::read(task, folder.path(), Split::Train).unwrap_err().to_string(), parts);
    };
    let path = folder.path().join("train-00000-of-00001.parquet");
    let put = |from: &str| std::fs::copy(fixture("tables/hub").join(from), &path).unwrap();
    put("rte/train-00000-of-00001.parquet");
    fails(
        Task::Qnli,
        &["train-00000-of-00001.parquet", "`question`", "sentence1, sentence2, label, idx", "fix:"],
    );
    fails(Task::Stsb, &["train-00000-of-00001.parquet", "`label`", "floating-point", "INT64"]);
    put("stsb/train-00000-of-00001.parquet");
    fails(Task::Rte, &["train-00000-of-00001.parquet", "`label`", "integers", "FLOAT"]);
    let whole = std::fs::read(&path)?;
    for length in [0, 7, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length])?;
        fails(Task::Stsb, &["train-00000-of-00001.parquet", "parquet", "cut", "fix:"]);
    }
    // Of every seventh byte the opposite, one at a time: read or refused, but never a panic that ends the program.
    for i in (4..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[i] = !bytes[i];
        std::fs::write(&path, &bytes)?;
        if let Err(e) = glue::read(Task::Stsb, folder.path(), Split::Train) {
            says(&e.to_string(), &["train-00000-of-00001.parquet", "fix:"]);
        }
    }
    std::fs::remove_file(&path)?;
    for shard in ["00000-of-00003", "00002-of-00003"] {
        std::fs::write(folder.path().join(format!("train-{shard}.parquet")), &whole)?;
    }
    fails(Task::Stsb, &["train-*-of-00003.parquet", "missing"]);
    Ok(())
}

/// Oracle: the same set from GLUE's own files of the same rows; the server's requests: only what is read.
#[test]
fn glue_comes_from_the_hub_where_no_data_are_named() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let freeze = |data: &str, out: &str| {
        let (model, out) = (fixture("tiny/model"), folder.path().join(out));
        format!(
            "freeze --checkpoint {} --task rte {data} --split train --out {}",
            model.display(),
            out.display()
        )
    };
    hub.command(&freeze(&format!("--data {}", fixture("tables/tsv").display()), "own.safetensors"))
        .assert()
        .success();
    assert_eq!(hub.seen(), []);
    for (data, out) in [("", "a.safetensors"), ("--data nyu-mll/glue", "b.safetensors")] {
        hub.command(&freeze(data, out)).assert().success();
        let set = |name: &str| FrozenSet::read(&folder.path().join(name)).unwrap().examples;
        assert_eq!(set(out), set("own.safetensors"));
        let provenance = std::fs::read_to_string(folder.path().join(format!("{out}.provenance.toml")))?;
        says(
            &provenance,
            &["[hub]", &format!("\"nyu-mll/glue\" = \"{GLUE}\""), "train-00000-of-00001.parquet"],
        );
    }
    let mut bodies: Vec<String> = hub.seen().into_iter().map(|seen| seen.path).collect();
    bodies.retain(|path| path.starts_with("/storage/"));
    assert_eq!(bodies, [RTE_TRAIN, RTE_DEV].map(|hash| format!("/storage/{hash}")));
    assert!(hub.cache(&format!("datasets--nyu-mll--glue/snapshots/{GLUE}/rte")).is_dir());
    hub.fails_with(
        &freeze(&format!("--data nyu-mll/glue@{MAIN}"), "c.safetensors"),
        &["nyu-mll/glue@", "revision", "404"],
    );
    hub.fails_with(
        &freeze("--data glue", "c.safetensors"),
        &["glue: `data` must be", "no such folder", "glue/RTE"],
    );
    Ok(())
}

/// Oracles: the server's requests, and the names of the steps: an analysis asks for its inputs before the first step, and
/// does nothing again while their content is the same, wherever it lies; checking it fetches nothing.
#[test]
fn an_analysis_takes_names_and_fetches_before_it_begins() -> Outcome {
    let (hub, folder) = (Hub::start(), tempfile::tempdir()?);
    let toml = folder.path().join("small.toml");
    let write = |checkpoint: &str, data: &str| {
        let text = "title = \"A\"\nquestion = \"B?\"\nsource = \"C\"\nexpectation = \"D\"\nreading = \"E\"\n";
        let text = format!(
            "{text}[model]\ncheckpoint = \"{checkpoint}\"\n[data]\ntask = \"rte\"\n{data}\n[fisher]\n"
        );
        std::fs::write(&toml, text).unwrap();
    };
    let out = folder.path().join("out");
    let run = format!("run {} --out {}", toml.display(), out.display());
    write("acme/tiny", "");
    let mut check = hub.command(&format!("check {}", toml.display()));
    let assert = check.env("RUST_BACKTRACE", "0").assert().success();
    says(&String::from_utf8_lossy(&assert.get_output().stdout), &["valid"]);
    assert_eq!(hub.seen(), []);
    // An input that cannot be had: nothing is begun.
    write("acme/tiny", "folder = \"nyu-mll/gloo\"");
    hub.fails_with(&run, &["nyu-mll/gloo", "RepoNotFound"]);
    assert!(!out.exists());
    write("acme/tiny", "");
    let answers = |more: &str| {
        let output = hub.command(&format!("{run}{more}")).assert().success().get_output().stdout.clone();
        let text = String::from_utf8(output).unwrap();
        let line = text.lines().last().unwrap().to_string();
        line.split_once("report.html: ").unwrap().1.to_string()
    };
    let first = answers("");
    assert!(!first.contains(" 0 of them") && !hub.seen().is_empty(), "{first}");
    assert!(answers("").contains(" 0 of them"));
    // The same content from GLUE's folder above the tasks' in the hub's layout; the checkpoint from a folder: its files are
    // those of the snapshot.
    let model = folder.path().join("model");
    copy_folder(&fixture("tiny/model"), &model);
    assert!(answers(&format!(" --set model.checkpoint={}", model.display())).contains(" 0 of them"));
    assert_eq!(hub.seen(), []);
    // Another vocabulary is another input.
    std::fs::write(model.join("tokenizer_config.json"), "{\"do_lower_case\": false}")?;
    assert!(!answers(&format!(" --set model.checkpoint={}", model.display())).contains(" 0 of them"));
    // Of a folder above the tasks' those of this task count.
    let root = folder.path().join("glue");
    for task in ["RTE", "WNLI"] {
        copy_folder(&fixture("tables/tsv").join(task), &root.join(task));
    }
    let with_root = format!(" --set data.folder={}", root.display());
    assert!(!answers(&with_root).contains(" 0 of them"));
    std::fs::write(root.join("WNLI/train.tsv"), "")?;
    assert!(answers(&format!(" --set data.folder={}/RTE", root.display())).contains(" 0 of them"));
    assert!(answers(&with_root).contains(" 0 of them"));
    let path = root.join("RTE/dev.tsv");
    std::fs::write(&path, std::fs::read_to_string(&path)?.replace("\tnot_entailment", "\tentailment"))?;
    assert!(!answers(&with_root).contains(" 0 of them"));
    Ok(())
}

/// Oracles: transformers, whose token ids and loss stand in the fixture; the folder of the same files; and the hub's list. Each name
/// that people use loads, whether its tokenizer is a vocab.txt, pairs with merges or a tokenizer.json, and its weights safetensors or
/// a .bin, and nothing else of it is asked for. Catches a tokenizer that is not found by name, and weights fetched twice.
#[test]
fn names_that_people_use_load_as_their_folders_do() -> Outcome {
    #[derive(serde::Deserialize)]
    struct Expected {
        texts: [String; 2],
        ids: [Vec<u32>; 2],
        loss: f64,
    }
    let (hub, out) = (Hub::start(), tempfile::tempdir()?);
    for (name, folder) in NAMES {
        let local = fixture("hub").join(folder);
        let expected: Expected = serde_json::from_slice(&std::fs::read(local.join("expected.json"))?)?;
        let [first, second] = &expected.texts;
        let table = out.path().join("table.tsv");
        std::fs::write(&table, format!("text\tlabel\n{first}\t0\n{second}\t1\n"))?;
        let set = out.path().join(folder).with_extension("safetensors");
        let loss_of = |checkpoint: &str| -> Outcome<String> {
            let data = format!("--table {} --columns text,label --out {}", table.display(), set.display());
            hub.command(&format!("freeze --checkpoint {checkpoint} {data}")).assert().success();
            let ids: Vec<Vec<u32>> = FrozenSet::read(&set)?.examples.into_iter().map(|e| e.ids).collect();
            assert_eq!(ids, expected.ids, "{checkpoint}");
            let text = format!("loss --checkpoint {checkpoint} --set {} --json", set.display());
            Ok(loss(&mut hub.command(&text)))
        };
        let by_name = loss_of(name)?;
        let mut asked: Vec<String> =
            hub.seen().into_iter().filter(|seen| seen.method == "GET").map(|seen| seen.path).collect();
        let list = listed(folder);
        asked.retain(|path| path.starts_with("/storage/"));
        assert_eq!(asked.len(), list.values().flatten().count(), "{name}: {asked:?}");
        for (file, hash) in list.iter().filter_map(|(file, hash)| Some((file, hash.as_ref()?))) {
            assert!(asked.contains(&format!("/storage/{hash}")), "{name}: {file} was not fetched");
        }
        assert_eq!(by_name, loss_of(&local.display().to_string())?, "{name}");
        assert_eq!(hub.seen(), [], "{name}");
        let value: serde_json::Value = serde_json::from_str(&by_name)?;
        let found = value["loss"].as_f64().ok_or("no loss")?;
        // Float32 logits.
        assert!((found - expected.loss).abs() < 1e-5, "{name}: {found} for {}", expected.loss);
    }
    // SentencePiece's file alone is named, with the way out.
    let table = out.path().join("table.tsv");
    let freeze = format!(
        "freeze --checkpoint {PIECES} --table {} --columns text,label --out x.safetensors",
        table.display()
    );
    hub.fails_with(&freeze, &["only SentencePiece's spiece.model", "tokenizer.json", "fix: "]);
    Ok(())
}
