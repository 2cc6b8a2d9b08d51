//! The hub's requests: which commit and files a revision is, what a file's checksum is, and its bytes.
//!
//! - `GET /api/models/NAME/revision/REVISION`: the commit and the names of its files
//! - `HEAD /NAME/resolve/COMMIT/FILE`: the etag, the git hash of the file or, where it lies in large storage, its SHA-256
//!   (`x-linked-etag`), and the size. Redirects are followed until an answer says these, so not to the storage.
//! - `GET /api/models/NAME/tree/COMMIT`: the same of all files, where a mirror or a proxy takes it out of the headers
//! - `GET` of the file with a `Range`: the bytes from where an earlier try stopped, through redirects
//!
//! A cut connection is tried again, each time from where it stopped, until some tries in a row got no further than any before.
//! The bytes get their name only after their checksum was right.
//!
//! The traps: the token goes to the hub alone, never to the storage or a mirror that it redirects to. And a proxy that ignores
//! `Range` begins anew each time: bytes that came before are no progress.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::HumanBytes;
use ring::digest;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use super::cache::Cache;
use super::{Id, Wanted, is_commit, is_hex};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{self, Progress};

/// How often a request is made in vain before it is given up, and the pause after the first, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Nothing from the other side for so long is a cut connection.
const SILENCE: Duration = Duration::from_secs(30);

/// Redirects of one request, at most.
const REDIRECTS: usize = 5;

/// The longest that is waited where the hub asks for it.
const PATIENCE: Duration = Duration::from_secs(600);

/// A file of a repository.
pub(super) struct Remote {
    pub name: String,
    /// The blob's name: its hash, unless the server names none.
    pub etag: String,
    /// Where it is known.
    pub size: Option<u64>,
    url: String,
}

/// What the API's tree says of a file.
#[derive(Clone, serde::Deserialize)]
struct Entry {
    path: String,
    oid: String,
    size: u64,
    lfs: Option<Large>,
}

#[derive(Clone, serde::Deserialize)]
struct Large {
    oid: String,
}

/// What came of a file, on the disk.
struct Partial {
    path: PathBuf,
    file: File,
    have: u64,
    /// The most that any try had.
    best: u64,
}

impl Partial {
    /// Cuts the file where the next byte goes.
    fn from(&mut self, have: u64) -> std::io::Result<()> {
        self.have = have;
        self.file.set_len(have)?;
        self.file.seek(SeekFrom::Start(have)).map(drop)
    }

    /// Appends bytes; how many of them no try had before.
    fn add(&mut self, bytes: &[u8]) -> std::io::Result<u64> {
        self.file.write_all(bytes)?;
        self.have += bytes.len() as u64;
        let new = self.have.saturating_sub(self.best);
        self.best += new;
        Ok(new)
    }
}

impl Partial {
    /// A connection that ended early: progress only where it came further than what was there `before`. `anew` says that the
    /// server ignored from where it was asked to continue.
    fn cut(&self, why: &str, remote: &Remote, before: u64, anew: bool) -> Failure {
        let size = remote.size.map_or("all".to_string(), |size| size.to_string());
        let ignored = if anew { ", as it begins anew instead of continuing" } else { "" };
        let why = format!("{why} after {} of {size} bytes{ignored}", self.have);
        if self.best > before { Failure::Partial(why) } else { Failure::Passing(why) }
    }
}

/// Why a request failed.
enum Failure {
    /// It may go better the next time.
    Passing(String),
    /// The same, but a part of the file came that had not come before.
    Partial(String),
    /// The hub asks to wait for so long.
    Later(Duration, String),
    /// There is no network, or no such host.
    Unreachable(Error),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Final(error)
    }
}

/// Asks for one repository.
pub(super) struct Client<'a> {
    id: &'a Id,
    cache: &'a Cache,
    agent: Agent,
    /// What the API's tree says, by path; asked for once, where it is needed.
    tree: OnceCell<BTreeMap<String, Entry>>,
}

impl Client<'_> {
    /// # Errors
    ///
    /// [`Error::Field`] for a file of certificates without any.
    pub fn new<'a>(id: &'a Id, cache: &'a Cache) -> Result<Client<'a>> {
        let roots = cache.certificates.as_deref().map_or(Ok(RootCerts::WebPki), roots)?;
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            // Followed here, as it takes the port too to tell where the token may go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("fisherscape/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Ok(Client { id, cache, agent: config.new_agent(), tree: OnceCell::new() })
    }

    /// The commit that a revision is, and the names of its files.
    pub fn revision(&self, revision: &str) -> Result<(String, Vec<String>)> {
        #[derive(serde::Deserialize)]
        struct Listing {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(serde::Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let name = &self.id.name;
        let endpoint = &self.cache.endpoint;
        let url =
            format!("{endpoint}/api/{}/{name}/revision/{}", self.id.kind(), revision.replace('/', "%2F"));
        let text = self.again(false, || {
            let mut response = self.get(&url, None)?;
            self.refuse(&response, "the repository")?;
            response.body_mut().read_to_string().map_err(|e| Failure::Passing(e.to_string()))
        })?;
        let wrong = |found: String| {
            let fix = format!(
                "HF_ENDPOINT must be the hub, or a mirror that answers as it does; {}",
                self.through()
            );
            self.id.error(&url, "a commit and its files, in JSON", found, fix)
        };
        let listing: Listing =
            serde_json::from_str(&text).map_err(|e| match text.trim_start().starts_with('<') {
                true => wrong("a web page, as networks show to log in".into()),
                false => wrong(e.to_string()),
            })?;
        if !is_commit(&listing.sha) {
            return Err(wrong(format!("the commit `{}`", listing.sha)));
        }
        Ok((listing.sha, listing.siblings.into_iter().map(|file| file.rfilename).collect()))
    }

    /// Checksum and size of a file.
    pub fn file(&self, commit: &str, name: &str) -> Result<Remote> {
        let prefix = if let Wanted::Tables { .. } = self.id.wanted { "datasets/" } else { "" };
        let url = format!("{}/{prefix}{}/resolve/{commit}/{name}", self.cache.endpoint, self.id.name);
        let response = self.again(false, || {
            let response = self.head(&url)?;
            self.refuse(&response, name)?;
            Ok(response)
        })?;
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.trim());
        // The length of a redirect, or of what was packed on the way, is not the file's.
        let plain = response.status().is_success() && header("content-encoding").is_none();
        let length = header("content-length").filter(|_| plain);
        let mut etag = bare(header("x-linked-etag").or(header("etag")).unwrap_or_default());
        let mut size = header("x-linked-size").or(length).and_then(|size| size.parse().ok());
        if (size.is_none() || !is_hash(&etag))
            && let Some(entry) = self.tree(commit).get(name)
        {
            etag = entry.lfs.as_ref().map_or(&entry.oid, |large| &large.oid).clone();
            size = Some(entry.size);
        }
        let named = !etag.is_empty() && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        // A hash alone will do, or a size with a name for the blob.
        if is_hash(&etag) || named && size.is_some() {
            return Ok(Remote { name: name.to_string(), etag, size, url });
        }
        let fix = format!(
            "HF_ENDPOINT must be the hub, or a mirror that passes on its headers; {}",
            self.through()
        );
        let none = || "none".to_string();
        let etag = if etag.is_empty() { none() } else { etag };
        let found = format!("etag {etag}, size {}", size.map_or_else(none, |size: u64| size.to_string()));
        Err(self.id.error(name, "announced with its size and its git hash or SHA-256", found, fix))
    }

    /// What the API's tree says of the files of a commit; nothing where there is no such answer.
    fn tree(&self, commit: &str) -> &BTreeMap<String, Entry> {
        self.tree.get_or_init(|| {
            let (endpoint, kind, name) = (&self.cache.endpoint, self.id.kind(), &self.id.name);
            let url = format!("{endpoint}/api/{kind}/{name}/tree/{commit}?recursive=true");
            let text = self.again(false, || {
                let mut response = self.get(&url, None)?;
                self.refuse(&response, "the repository")?;
                response.body_mut().read_to_string().map_err(|e| Failure::Passing(e.to_string()))
            });
            let entries: Vec<Entry> =
                text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect()
        })
    }

    /// Fetches a file to `blob`, from where an earlier try stopped; `alone` to a file of its own, as others may fetch it too.
    pub fn fetch(&self, remote: &Remote, blob: &Path, alone: bool, progress: &Progress) -> Result<()> {
        let mut path = blob.as_os_str().to_owned();
        if alone {
            path.push(format!(".{}", std::process::id()));
        }
        path.push(".incomplete");
        let mut partial = self.partial(PathBuf::from(path), remote)?;
        self.check_room(remote, &partial)?;
        progress.advance(partial.have as usize);
        self.again(true, || self.rest(remote, &mut partial, progress))?;
        let Partial { path, mut file, have, .. } = partial;
        if is_hash(&remote.etag) {
            let found = checksum(&mut file, &remote.etag, have).map_err(Error::io(&path, "read"))?;
            if found != remote.etag {
                std::fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
                let hash = if remote.etag.len() == 64 { "SHA-256" } else { "git hash" };
                let fix = format!("run it again; if it happens again, {}", self.through());
                let expected = format!("of {hash} {}", remote.etag);
                let found = format!("{found}; the file was removed");
                return Err(self.id.error(&remote.name, expected, found, fix));
            }
        } else {
            let unchecked = "the server gives no hash: only the size was checked";
            progress::excluded(format!("{}: {}: {unchecked}", self.id.given, remote.name));
        }
        file.sync_all().map_err(Error::io(&path, "write"))?;
        std::fs::rename(&path, blob).map_err(Error::io(blob, "write"))
    }

    /// What an earlier try left of a file, if it can be resumed.
    fn partial(&self, path: PathBuf, remote: &Remote) -> Result<Partial> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let mut options = File::options();
        let opened = options.create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(Error::io(&path, "write"))?;
        let left = file.seek(SeekFrom::End(0)).map_err(Error::io(&path, "read"))?;
        let mut partial = Partial { path: path.clone(), file, have: left, best: left };
        // More than the whole is none of this file's; of one without a hash or a size nothing says that the rest fits.
        if remote.size.is_none_or(|size| left > size) || !is_hash(&remote.etag) {
            partial.from(0).map_err(Error::io(&path, "write"))?;
            partial.best = 0;
        }
        Ok(partial)
    }

    /// Refuses a file for which the disk has no room, before it is full.
    fn check_room(&self, remote: &Remote, partial: &Partial) -> Result<()> {
        let missing = remote.size.map_or(0, |size| size.saturating_sub(partial.have));
        match files::room(partial.path.parent().unwrap_or(Path::new("."))) {
            Some(room) if room < missing => {
                let sentence = format!(
                    "{} needs {} of disk, but only {} are free",
                    remote.name,
                    HumanBytes(missing),
                    HumanBytes(room)
                );
                Err(Error::said(
                    &self.id.given,
                    sentence,
                    "make room, or name a cache on another disk in HF_HOME",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Appends what is still missing of a file; `partial` says how far it came, whatever happens.
    fn rest(&self, remote: &Remote, partial: &mut Partial, progress: &Progress) -> Result<(), Failure> {
        if remote.size == Some(partial.have) {
            return Ok(());
        }
        let path = partial.path.clone();
        let write = |e| Failure::Final(Error::io(&path, "write")(e));
        // Without a size the end of the answer is that of the file, so it must be one answer.
        let asked = remote.size.map_or(0, |_| partial.have);
        let mut response = self.get(&remote.url, Some(asked))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            partial.have = 0;
            return Err(Failure::Passing("the hub has no such part of the file".into()));
        }
        self.refuse(&response, &remote.name)?;
        // Else the whole file comes, from its beginning.
        let going_on = response.status() == StatusCode::PARTIAL_CONTENT;
        partial.from(if going_on { asked } else { 0 }).map_err(write)?;
        let (before, anew) = (partial.best, asked > 0 && !going_on);
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        while remote.size.is_none_or(|size| partial.have < size) {
            let count = match body.read(&mut buffer) {
                Ok(0) if remote.size.is_none() => return Ok(()),
                Ok(0) => return Err(partial.cut("the connection was closed", remote, before, anew)),
                Ok(count) => count,
                Err(e) => return Err(partial.cut(&e.to_string(), remote, before, anew)),
            };
            let wanted = remote.size.map_or(count, |size| count.min((size - partial.have) as usize));
            progress.advance(partial.add(&buffer[..wanted]).map_err(write)? as usize);
        }
        Ok(())
    }

    fn get(&self, url: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        let request = |url: &str| match from.filter(|from| *from > 0) {
            Some(from) => self.agent.get(url).header("range", format!("bytes={from}-")),
            None => self.agent.get(url),
        };
        self.follow(url, request, |_| false)
    }

    /// The token, where a request goes to the hub itself.
    fn token_for(&self, url: &str) -> Option<&str> {
        self.cache.token.as_deref().filter(|_| origin(url) == origin(&self.cache.endpoint))
    }

    /// What the hub says of a file: the first answer that says it, or is no redirect.
    fn head(&self, url: &str) -> Result<Response<Body>, Failure> {
        let says = |response: &Response<Body>| response.headers().contains_key("x-linked-etag");
        self.follow(url, |url| self.agent.head(url), says)
    }

    /// The answer behind the redirects, or the first that is `enough`. The token goes to the hub itself alone.
    fn follow(
        &self,
        url: &str,
        request: impl Fn(&str) -> RequestBuilder<WithoutBody>,
        enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Failure> {
        let mut url = url.to_string();
        for _ in 0..=REDIRECTS {
            let mut request = request(&url).header("accept-encoding", "identity");
            if let Some(token) = self.token_for(&url) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| self.unanswered(e))?;
            let location = response.headers().get("location").and_then(|to| to.to_str().ok());
            match location.filter(|_| response.status().is_redirection() && !enough(&response)) {
                Some(path) if path.starts_with('/') => url = format!("{}{path}", origin(&url)),
                Some(whole) if whole.contains("://") => url = whole.to_string(),
                _ => return Ok(response),
            }
        }
        Err(Failure::Passing(format!("more than {REDIRECTS} redirects")))
    }

    /// The proxy that requests go through, in words.
    fn proxy(&self) -> Option<String> {
        let proxy = self.agent.config().proxy()?;
        let place = format!("{}:{}", proxy.host(), proxy.port());
        Some(format!("the proxy {place} (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; NO_PROXY makes exceptions)"))
    }

    /// What is between here and the hub, as the likely cause of what is wrong with answers.
    fn through(&self) -> String {
        let proxy = self.proxy().unwrap_or("a proxy or mirror between here and the hub".into());
        format!("{proxy} is the likely cause; or {}", self.id.by_hand())
    }

    /// An error for an answer that is a refusal.
    fn refuse(&self, response: &Response<Body>, what: &str) -> Result<(), Failure> {
        let (id, status, endpoint) = (self.id, response.status(), &self.cache.endpoint);
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or("");
        let found = [status.as_str(), code].join(" ").trim_end().to_string();
        let spelling = "check the spelling; no local folder has that name either";
        let token = format!(
            "accept its terms at {endpoint}/{} and put a token into HF_TOKEN, or `hf auth login`",
            id.name
        );
        let error = match (status.as_u16(), code) {
            (200..=399, _) => return Ok(()),
            (407, _) => {
                let expected = "let through by the proxy";
                let fix = format!(
                    "put user and password into its address (http://USER:PASSWORD@HOST:PORT); {}",
                    self.through()
                );
                id.error("hub", expected, format!("status {found}"), fix)
            }
            (408 | 429 | 500.., _) => {
                let why = format!("status {found}");
                return Err(
                    wait(response).map_or(Failure::Passing(why.clone()), |time| Failure::Later(time, why))
                );
            }
            (_, "RevisionNotFound") => {
                let fix = "name a branch, a tag or a commit of the repository, or none";
                id.error(
                    "revision",
                    format!("one of {} at {endpoint}", id.name),
                    format!("`{}`, status {found}", id.revision),
                    fix,
                )
            }
            (_, "EntryNotFound") => {
                id.error(what, "a file of the repository", format!("status {found}"), "name another revision")
            }
            (401 | 403, "GatedRepo") => id.error(
                "access",
                format!("granted to {what}, which is gated"),
                format!("status {found}"),
                token,
            ),
            (401 | 403, _) => {
                let fix = format!("{spelling}; if it is private or gated, {token}");
                id.error(
                    "name",
                    format!("a repository at {endpoint} that may be read"),
                    format!("status {found}"),
                    fix,
                )
            }
            _ => id.error(
                "name",
                format!("that of a repository at {endpoint}"),
                format!("status {found}"),
                spelling,
            ),
        };
        Err(Failure::Final(error))
    }

    /// A failure without an answer.
    fn unanswered(&self, error: ureq::Error) -> Failure {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
        let cut = [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof];
        match &error {
            ureq::Error::Io(e) if cut.contains(&e.kind()) => Failure::Passing(e.to_string()),
            ureq::Error::Protocol(_) => Failure::Passing(error.to_string()),
            _ => {
                let check = match error.to_string().contains("certificate") {
                    true => "name the certificates of this network in SSL_CERT_FILE",
                    false => "check the network and HF_ENDPOINT",
                };
                let proxy = self.proxy().map_or(String::new(), |proxy| format!(", and {proxy}"));
                let fix = format!(
                    "{check}{proxy}; or {}; HF_HUB_OFFLINE=1 reads only the cache",
                    self.id.by_hand()
                );
                let expected =
                    format!("within reach at {} (no local folder has that name)", self.cache.endpoint);
                Failure::Unreachable(self.id.error("hub", expected, error, fix))
            }
        }
    }

    /// Tries until it goes well, fails for good, or has failed too often in a row; the patient wait for a network that is gone.
    fn again<T>(&self, patient: bool, mut request: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        let mut pause = PAUSE;
        let mut tried = 1;
        loop {
            let last = tried == TRIES;
            let why = match request() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unreachable(error)) if last || !patient => return Err(error),
                Err(Failure::Unreachable(_)) => "out of reach".to_string(),
                Err(Failure::Later(time, why)) if last || time > PATIENCE => {
                    let fix = "wait that long and run it again: what was fetched is kept; with a token in HF_TOKEN the limit is higher";
                    let found = format!("{why}: it asks to wait {} s", time.as_secs());
                    return Err(self.id.error(
                        "hub",
                        format!("free, at {}", self.cache.endpoint),
                        found,
                        fix,
                    ));
                }
                Err(Failure::Later(time, why)) => {
                    let (given, seconds) = (&self.id.given, time.as_secs());
                    progress::status(format!("{given}: {why}: waiting {seconds} s, as the hub asks"));
                    std::thread::sleep(time.saturating_sub(pause));
                    why
                }
                Err(Failure::Passing(why)) if last => {
                    let kept = "run it again: what was fetched is kept, and the download resumes from there";
                    let fix = format!("{kept}; if it happens again, {}", self.through());
                    let expected = format!("unbroken, at {}", self.cache.endpoint);
                    return Err(self.id.error("connection", expected, format!("{why}, {TRIES} times"), fix));
                }
                Err(Failure::Passing(why)) => why,
                Err(Failure::Partial(why)) => {
                    (tried, pause) = (0, PAUSE);
                    why
                }
            };
            progress::detail(format!("{}: {why}; trying again", self.id.given));
            std::thread::sleep(pause);
            pause *= 2;
            tried += 1;
        }
    }
}

/// The certificates in a PEM file, as those to trust.
fn roots(path: &Path) -> Result<RootCerts> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let certificates: Vec<Certificate> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let fix = "fix or unset SSL_CERT_FILE and REQUESTS_CA_BUNDLE";
        return Err(Error::said(path.display(), "it has no certificates in PEM", fix));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// How long the hub asks to wait: `Retry-After` in seconds, or the `t=` of `RateLimit`.
fn wait(response: &Response<Body>) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let limit = || {
        let number = header("ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t="))?;
        number.trim().parse().ok()
    };
    let seconds: u64 = header("retry-after").and_then(|text| text.trim().parse().ok()).or_else(limit)?;
    Some(Duration::from_secs(seconds))
}

/// An etag without what servers put around it.
fn bare(etag: &str) -> String {
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    let packed = ["-gzip", "-br", "--gzip", ";gzip"].iter().find_map(|ending| etag.strip_suffix(ending));
    packed.unwrap_or(etag).to_string()
}

/// A git hash or a SHA-256.
fn is_hash(etag: &str) -> bool {
    is_hex(etag, 40) || is_hex(etag, 64)
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |slash| &url[..host + slash])
}

/// Of a whole file what its etag is: SHA-256 where that has 64 digits, else git's hash of a blob, SHA-1 over `blob SIZE\0`
/// and the content.
fn checksum(file: &mut File, etag: &str, size: u64) -> std::io::Result<String> {
    let git = etag.len() == 40;
    let mut hash =
        digest::Context::new(if git { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 });
    if git {
        hash.update(format!("blob {size}\0").as_bytes());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
