//! What a file is, by its first bytes.
//!
//! Files lose their names on the way, and what a network or git leaves in place of one keeps the name. So a file of
//! weights is told by its bytes, and another kind of file is named for what it is.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// The kinds that are read.
pub enum Format {
    Safetensors,
    /// PyTorch since 1.6.
    Zip,
    /// PyTorch before 1.6.
    Pickle,
}

/// Enough for every kind below; a tar archive says what it is at byte 257.
const HEAD: u64 = 512;

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

const UNPACK: &str = "unpack it, and give the folder of what was in it";
const OTHER_FORMAT: &str = "fetch or save the model as model.safetensors or pytorch_model.bin";

/// How other kinds of files begin, what they are, and what to do.
const OTHERS: [(&[u8], &str, &str); 9] = [
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"GGUF", "a GGUF file, whose weights are quantized or made for llama.cpp", OTHER_FORMAT),
    (b"\x89HDF", "an HDF5 file, as Keras writes it", OTHER_FORMAT),
    (b"\x93NUMPY", "an array of numpy", OTHER_FORMAT),
];

/// What the file at `path` is.
///
/// # Errors
///
/// [`Error::Field`] for what is no file of weights, named.
pub fn format(path: &Path) -> Result<Format> {
    let mut head = Vec::new();
    files::open(path)?.take(HEAD).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Format::Zip);
    }
    // A safetensors header is JSON behind its length, a pickle begins with its protocol or with PyTorch's number in words.
    if head.get(8) == Some(&b'{') && head.get(7) == Some(&0) {
        return Ok(Format::Safetensors);
    }
    if head.first() == Some(&0x80) || head.starts_with(b"L119547037146038801333356L\n") {
        return Ok(Format::Pickle);
    }
    match foreign(&head) {
        Some((found, fix)) => Err(wrong(path, &found, fix)),
        None if path.extension().is_some_and(|e| e == "safetensors") => Ok(Format::Safetensors),
        None => Err(wrong(path, "something else", "fetch the file again, or save it as model.safetensors")),
    }
}

fn wrong(path: &Path, found: &str, fix: &str) -> Error {
    Error::field(path.display(), "weights", "a safetensors or PyTorch file", found, fix)
}

/// What another kind of file is, and what to do.
fn foreign(head: &[u8]) -> Option<(String, &'static str)> {
    if head.is_empty() {
        return Some(("an empty file".into(), "fetch the file again, and see that the disk is not full"));
    }
    if head.starts_with(POINTER) {
        let fix = "run `git lfs install` and `git lfs pull` in the folder, or fetch it by `hf download`";
        return Some((pointer(head), fix));
    }
    if head.iter().all(|byte| *byte == 0) {
        return Some(("zeros, as a download that broke off leaves them".into(), "fetch the file again"));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive".into(), UNPACK));
    }
    if let Some((_, found, fix)) = OTHERS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Some(((*found).into(), fix));
    }
    text(head)
}

/// A git-lfs pointer, and how large the file is that it stands for.
fn pointer(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let size = text.lines().find_map(|line| line.strip_prefix("size ")?.parse::<u64>().ok());
    match size {
        Some(size) => format!("a git-lfs pointer in place of the file's {size} bytes"),
        None => "a git-lfs pointer in place of the file".into(),
    }
}

/// A web page or another text.
fn text(head: &[u8]) -> Option<(String, &'static str)> {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        // The cut may fall inside a character.
        Err(e) if e.error_len().is_none() => str::from_utf8(head.get(..e.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || c.is_whitespace();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || !text.chars().all(printable) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head"].iter().any(|tag| lower.starts_with(tag)) {
        let fix = "fetch the file itself, by `hf download`: the server answered with a page";
        return Some(("a web page".into(), fix));
    }
    let line: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
    Some((format!("a text that begins with `{}`", line.trim_end()), "fetch the file again"))
}
