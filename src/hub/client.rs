//! The hub's requests: which commit and files a revision is, what a file's checksum is, and its bytes.
//!
//! - `GET /api/models/NAME/revision/REVISION`: the commit and the names of its files
//! - `HEAD /NAME/resolve/COMMIT/FILE`: the etag, the git hash of the file or, where it lies in large storage, its SHA-256
//!   (`x-linked-etag`), and the size. Redirects on the same host are followed, those to the storage are not.
//! - `GET` of the same with a `Range`: the bytes from where an earlier try stopped, through redirects
//!
//! A cut connection is tried again, each time from where it stopped, until some tries in a row brought nothing. The bytes get their
//! name only after their checksum was right.
//!
//! The trap: the token goes to the hub alone, never to the storage that it redirects to.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::cache::Cache;
use super::{Id, Wanted, is_commit, is_hex};
use crate::error::{Error, Result};
use crate::progress::{self, Progress};

/// How often a request is made in vain before it is given up, and the pause after the first, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Nothing from the other side for so long is a cut connection.
const SILENCE: Duration = Duration::from_secs(30);

/// Redirects on one host, at most.
const REDIRECTS: usize = 5;

/// A file of a repository.
pub(super) struct Remote {
    pub name: String,
    pub etag: String,
    pub size: u64,
    url: String,
}

/// Why a request failed.
enum Failure {
    /// It may go better the next time.
    Passing(String),
    /// The same, but a part of the file came.
    Partial(String),
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
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects_will_error(false)
            .user_agent(concat!("fisherscape/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Ok(Client { id, cache, agent: config.new_agent() })
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
            let fix = "HF_ENDPOINT must be the hub, or a mirror that answers as it does";
            self.id.error(&url, "a commit and its files, in JSON", found, fix)
        };
        let listing: Listing = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
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
        let etag = header("x-linked-etag").or(header("etag")).unwrap_or("none");
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_string();
        let size = header("x-linked-size").or(header("content-length")).and_then(|size| size.parse().ok());
        match size {
            Some(size) if is_hex(&etag, 40) || is_hex(&etag, 64) => {
                Ok(Remote { name: name.to_string(), etag, size, url })
            }
            _ => {
                let fix = "HF_ENDPOINT must be the hub, or a mirror that passes on its headers";
                let found =
                    format!("etag {etag}, size {}", size.map_or("none".into(), |size| size.to_string()));
                Err(self.id.error(name, "announced with its size and its git hash or SHA-256", found, fix))
            }
        }
    }

    /// Fetches a file to `blob`, from where an earlier try stopped.
    pub fn fetch(&self, remote: &Remote, blob: &Path, progress: &Progress) -> Result<()> {
        let mut partial = blob.as_os_str().to_owned();
        partial.push(".incomplete");
        let partial = PathBuf::from(partial);
        let folder = blob.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make"))?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&partial)
            .map_err(Error::io(&partial, "write"))?;
        let mut have = file.seek(SeekFrom::End(0)).map_err(Error::io(&partial, "read"))?;
        if have > remote.size {
            // It is none of this file's.
            (have, _) = (0, file.set_len(0).map_err(Error::io(&partial, "write"))?);
        }
        progress.advance(have as usize);
        self.again(true, || self.rest(remote, &partial, &mut file, &mut have, progress))?;
        let found = checksum(&mut file, &remote.etag, remote.size).map_err(Error::io(&partial, "read"))?;
        if found != remote.etag {
            std::fs::remove_file(&partial).map_err(Error::io(&partial, "remove"))?;
            let hash = if remote.etag.len() == 64 { "SHA-256" } else { "git hash" };
            let fix = "run it again; if it stays, what is between here and the hub (HF_ENDPOINT, a proxy) changes files";
            let expected = format!("of {hash} {}", remote.etag);
            return Err(self.id.error(&remote.name, expected, format!("{found}; the file was removed"), fix));
        }
        file.sync_all().map_err(Error::io(&partial, "write"))?;
        std::fs::rename(&partial, blob).map_err(Error::io(blob, "write"))
    }

    /// Appends what is still missing of a file; `have` says how far it came, whatever happens.
    fn rest(
        &self,
        remote: &Remote,
        path: &Path,
        file: &mut File,
        have: &mut u64,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if *have == remote.size {
            return Ok(());
        }
        let mut response = self.get(&remote.url, Some(*have))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            *have = 0;
            return Err(Failure::Passing("the hub has no such part of the file".into()));
        }
        self.refuse(&response, &remote.name)?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            *have = 0; // the whole file comes, from its beginning
        }
        let write = |e| Failure::Final(Error::io(path, "write")(e));
        file.set_len(*have).map_err(write)?;
        file.seek(SeekFrom::Start(*have)).map_err(write)?;
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        let start = *have;
        while *have < remote.size {
            let cut = |why: String| match *have > start {
                true => Failure::Partial(why),
                false => Failure::Passing(why),
            };
            let count = body.read(&mut buffer).map_err(|e| cut(e.to_string()))?;
            let count = count.min((remote.size - *have) as usize);
            if count == 0 {
                return Err(cut("the connection was closed".into()));
            }
            file.write_all(&buffer[..count]).map_err(write)?;
            *have += count as u64;
            progress.advance(count);
        }
        Ok(())
    }

    fn get(&self, url: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(token) = &self.cache.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| self.unanswered(e))
    }

    /// What the hub says of a file: the answer after redirects on the same host.
    fn head(&self, url: &str) -> Result<Response<Body>, Failure> {
        let mut url = url.to_string();
        for _ in 0..REDIRECTS {
            let mut request = self.agent.head(&url).config().max_redirects(0).build();
            request = request.header("accept-encoding", "identity");
            if let Some(token) = &self.cache.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| self.unanswered(e))?;
            let location = response.headers().get("location").and_then(|to| to.to_str().ok());
            match location.filter(|to| response.status().is_redirection() && to.starts_with('/')) {
                Some(location) => url = format!("{}{location}", origin(&url)),
                None => return Ok(response),
            }
        }
        Err(Failure::Passing(format!("more than {REDIRECTS} redirects")))
    }

    /// An error for an answer that is a refusal.
    fn refuse(&self, response: &Response<Body>, what: &str) -> Result<(), Failure> {
        let (id, status, endpoint) = (self.id, response.status(), &self.cache.endpoint);
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or("");
        let found = [status.as_str(), code].join(" ").trim_end().to_string();
        let spelling = "mind the spelling (nothing of that name is here either, if a folder was meant)";
        let token = format!(
            "accept its terms at {endpoint}/{} and put a token into HF_TOKEN, or `hf auth login`",
            id.name
        );
        let error = match (status.as_u16(), code) {
            (200..=399, _) => return Ok(()),
            (408 | 429 | 500.., _) => return Err(Failure::Passing(format!("status {found}"))),
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
                let fix =
                    format!("{check}; or {}; HF_HUB_OFFLINE=1 reads the cache alone", self.id.by_hand());
                let expected =
                    format!("within reach at {} (nothing of that name is here)", self.cache.endpoint);
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
                Err(Failure::Passing(why)) if last => {
                    let fix = "run it again: what was fetched is kept, and it goes on from there";
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
        let fix = "mend or unset SSL_CERT_FILE and REQUESTS_CA_BUNDLE";
        return Err(Error::field(path.display(), "certificates", "at least one, in PEM", "none", fix));
    }
    Ok(RootCerts::new_with_certs(&certificates))
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
