//! The hub's cache on the disk, in the layout of Python's `huggingface_hub`, and the environment that says where it is.
//!
//! A blob is named by its etag, under which it appears only once its checksum was right; `blobs/ETAG.incomplete` is what
//! a later try resumes from. Locks lie in `.locks`, where Python's are: of two processes that want the same blob, in
//! either language, one fetches it. Where there are no locks each fetches to a file of its own. An empty file in `.no_exist/COMMIT` says that the repository has no file of that name.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Id, Wanted, is_commit};
use crate::error::{Error, Result};
use crate::{files, progress};

/// Where the cache is and how the hub is reached.
pub(super) struct Cache {
    pub folder: PathBuf,
    pub endpoint: String,
    pub token: Option<String>,
    /// A file of the certificates to trust, in place of those in the binary.
    pub certificates: Option<PathBuf>,
    pub offline: bool,
}

impl Cache {
    pub fn from_environment() -> Cache {
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let path = |name| set(name).map(|text| expanded(&text));
        let user =
            || path("XDG_CACHE_HOME").unwrap_or(std::env::home_dir().unwrap_or_default().join(".cache"));
        let named_home = path("HF_HOME");
        let home = named_home.clone().unwrap_or_else(|| user().join("huggingface"));
        // Older names; the oldest counts where no other says where the cache is.
        let older = path("HUGGINGFACE_HUB_CACHE")
            .or_else(|| path("TRANSFORMERS_CACHE").filter(|_| named_home.is_none()));
        let token_file = path("HF_TOKEN_PATH").unwrap_or(home.join("token"));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| std::fs::read_to_string(token_file).ok());
        let endpoint = set("HF_ENDPOINT").unwrap_or("https://huggingface.co".into());
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str());
        Cache {
            folder: path("HF_HUB_CACHE").or(older).unwrap_or(home.join("hub")),
            endpoint: endpoint.trim_end_matches('/').to_string(),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            certificates: path("SSL_CERT_FILE").or_else(|| path("REQUESTS_CA_BUNDLE")),
            offline: set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(yes),
        }
    }

    fn repository(&self, id: &Id) -> PathBuf {
        self.folder.join(format!("{}--{}", id.kind(), id.name.replace('/', "--")))
    }

    pub fn blob(&self, id: &Id, etag: &str) -> PathBuf {
        self.repository(id).join("blobs").join(etag)
    }

    pub fn snapshot(&self, id: &Id, commit: &str) -> PathBuf {
        self.repository(id).join("snapshots").join(commit)
    }

    fn reference(&self, id: &Id) -> PathBuf {
        self.repository(id).join("refs").join(&id.revision)
    }

    fn absent(&self, id: &Id, commit: &str, name: &str) -> PathBuf {
        self.repository(id).join(".no_exist").join(commit).join(name)
    }

    /// The commit that the revision was when it was fetched.
    pub fn commit(&self, id: &Id) -> Option<String> {
        match is_commit(&id.revision) {
            true => Some(id.revision.clone()),
            false => std::fs::read_to_string(self.reference(id))
                .ok()
                .map(|text| text.trim().to_string())
                .filter(|text| is_commit(text)),
        }
    }

    pub fn set_commit(&self, id: &Id, commit: &str) -> Result<()> {
        files::write(&self.reference(id), commit.as_bytes())
    }

    /// Names of the files in a snapshot that may be read, as the hub lists them; links to blobs that are gone count for
    /// nothing.
    pub fn names(&self, id: &Id, commit: &str) -> Vec<String> {
        let folder = self.snapshot(id, commit);
        let mut listed = files::list(&folder).unwrap_or_default();
        if let Wanted::Tables { .. } = id.wanted {
            listed.extend(files::tables_below(&folder));
        }
        let name = |path: &PathBuf| Some(path.strip_prefix(&folder).ok()?.to_str()?.to_string());
        listed.iter().filter(|path| path.is_file()).filter_map(name).collect()
    }

    /// Whether a file is there, or known not to be in the repository.
    pub fn is_known(&self, id: &Id, commit: &str, name: &str) -> bool {
        self.snapshot(id, commit).join(name).is_file() || self.absent(id, commit, name).exists()
    }

    /// Remembers that the repository has no such file.
    pub fn mark_absent(&self, id: &Id, commit: &str, name: &str) -> Result<()> {
        files::write(&self.absent(id, commit, name), b"")
    }

    /// Waits until no other process fetches the blob, and keeps others from it until the file is closed; `None` where
    /// that cannot be: the file system has no locks, or the lock is another user's.
    pub fn lock(&self, id: &Id, etag: &str) -> Option<File> {
        let name = self.repository(id).file_name().unwrap_or_default().to_owned();
        let path = self.folder.join(".locks").join(name).join(format!("{etag}.lock"));
        match locked(id, &path) {
            Ok(file) => Some(file),
            Err(e) => {
                let without = "continuing without it, into a file of its own";
                progress::status(format!("{}: cannot lock {}: {e}; {without}", id.given, path.display()));
                None
            }
        }
    }

    /// Puts a blob under its name in a snapshot: as a link, or as a copy where there are no links.
    pub fn link(&self, blob: &Path, path: &Path) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let _ = std::fs::remove_file(path); // a link to a blob that is gone
        match symlink(blob, path, folder) {
            Ok(()) => Ok(()),
            Err(_) if path.exists() => Ok(()), // another process was faster
            Err(_) => {
                let mut source = File::open(blob).map_err(Error::io(blob, "read"))?;
                files::write_with(path, |file| std::io::copy(&mut source, file).map(drop))
            }
        }
    }
}

/// The file at `path`, once no other process holds its lock.
fn locked(id: &Id, path: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
        progress::status(format!("{}: waiting for another process that fetches it", id.given));
    }
    file.lock()?;
    Ok(file)
}

/// A path as Python's `expanduser` and `expandvars` read it: `~` is the user's folder, `$NAME` and `${NAME}` are variables;
/// unknown ones stay.
fn expanded(text: &str) -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default().display().to_string();
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_string(),
    };
    let mut parts = text.split('$');
    let mut whole = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, rest)) => (name, rest),
            None => part
                .split_at(part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len())),
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => whole += &format!("{value}{rest}"),
            _ => whole += &format!("${part}"),
        }
    }
    PathBuf::from(whole)
}

/// A relative link, so that the cache may be moved.
#[cfg(unix)]
fn symlink(blob: &Path, path: &Path, folder: &Path) -> std::io::Result<()> {
    let repository = blob.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let depth = folder.strip_prefix(repository).map_or(0, |inner| inner.components().count());
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    std::os::unix::fs::symlink(up.join("blobs").join(blob.file_name().unwrap_or_default()), path)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
