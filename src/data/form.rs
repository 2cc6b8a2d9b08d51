//! What a file of rows is, by its first bytes: text as UTF-8, or a parquet table. All else is refused by its name.
//!
//! Gzip is undone and UTF-16 converted on the way, with or without a byte-order mark: in text every second byte is zero
//! in UTF-16, and none in UTF-8. The names of files say nothing here: a `.csv` may be any of these.
//!
//! [`super::records`] reads tables by this, [`super::text`] plain text.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::files;

/// How much of a file is looked at.
const LOOK: u64 = 4096;

/// A file that can be read.
pub(super) enum Form {
    /// UTF-8, as far as it is sound; a byte-order mark is removed.
    Text(Box<dyn BufRead>),
    Parquet,
}

/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Field`] for a file of another kind, which is named.
pub(super) fn open(path: &Path) -> Result<Form> {
    let file = Begun::new(path, files::open(path)?)?;
    match file.head.starts_with(b"PAR1") {
        true => Ok(Form::Parquet),
        false => Ok(Form::Text(file.text(path, 0)?)),
    }
}

/// The whole of a file of text, as UTF-8.
///
/// # Errors
///
/// As [`open`], and [`Error::Field`] for a parquet table.
pub(super) fn text(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match open(path)? {
        Form::Text(mut reader) => reader.read_to_end(&mut bytes).map_err(Error::io(path, "read"))?,
        Form::Parquet => return Err(refused(path, "a parquet table", "name it FILE.parquet")),
    };
    Ok(bytes)
}

/// A file whose first bytes were looked at.
struct Begun {
    head: Vec<u8>,
    rest: Box<dyn BufRead>,
}

impl Begun {
    fn new(path: &Path, mut rest: Box<dyn BufRead>) -> Result<Begun> {
        let mut head = Vec::new();
        rest.by_ref().take(LOOK).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
        Ok(Begun { head, rest })
    }

    /// All of it, without the first `skip` bytes.
    fn whole(mut self, skip: usize) -> Box<dyn BufRead> {
        Box::new(Cursor::new(self.head.split_off(skip)).chain(self.rest))
    }

    /// As UTF-8; `depth` is how often it was packed.
    fn text(self, path: &Path, depth: usize) -> Result<Box<dyn BufRead>> {
        let head = self.head.as_slice();
        if head.starts_with(b"\x1f\x8b") && depth < 2 {
            let unpacked = BufReader::new(MultiGzDecoder::new(self.whole(0)));
            return Begun::new(path, Box::new(unpacked))?.text(path, depth + 1);
        }
        if let Some((what, fix)) = other(head) {
            return Err(refused(path, what, fix));
        }
        if head.starts_with(b"\xef\xbb\xbf") {
            return Ok(self.whole(3));
        }
        match Order::of(head) {
            Some((order, mark)) => order.converted(path, self.whole(mark)),
            None if head.contains(&0) => Err(unknown(path, head)),
            None => Ok(self.whole(0)),
        }
    }
}

/// The order of bytes in UTF-16.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// The order, and the length of the mark that says it.
    fn of(head: &[u8]) -> Option<(Order, usize)> {
        match head {
            [0xff, 0xfe, ..] => return Some((Order::Little, 2)),
            [0xfe, 0xff, ..] => return Some((Order::Big, 2)),
            _ => {}
        }
        // Without a mark: the first characters of a header are ASCII.
        let pairs = head.as_chunks::<2>().0.get(..4)?;
        let all = |zero: usize| pairs.iter().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
        all(1).then_some((Order::Little, 0)).or(all(0).then_some((Order::Big, 0)))
    }

    fn converted(self, path: &Path, mut reader: Box<dyn BufRead>) -> Result<Box<dyn BufRead>> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        let (pairs, rest) = bytes.as_chunks::<2>();
        let unit = |pair: &[u8; 2]| match self {
            Order::Little => u16::from_le_bytes(*pair),
            Order::Big => u16::from_be_bytes(*pair),
        };
        let units: Vec<u16> = pairs.iter().map(unit).collect();
        match String::from_utf16(&units) {
            Ok(text) if rest.is_empty() => Ok(Box::new(Cursor::new(text.into_bytes()))),
            _ => {
                let fix = "save it as UTF-8, or fetch it again";
                Err(Error::field(path.display(), "text", "whole UTF-16", "text that is cut or damaged", fix))
            }
        }
    }
}

/// What begins so, and the way out.
const OTHERS: [(&[u8], &str, &str); 20] = [
    (b"PAR1", "a parquet table inside gzip", "unpack it with gunzip"),
    (b"\x1f\x8b", "gzip inside gzip", "unpack it with gunzip"),
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd", "unpack it with zstd -d"),
    (b"BZh", "a file packed with bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "a file packed with xz", "unpack it with xz -d"),
    (b"\x04\x22\x4d\x18", "a file packed with lz4", "unpack it with lz4 -d"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"ARROW1", "an Arrow or Feather file", PANDAS),
    (b"\xff\xff\xff\xff", "an Arrow stream, as the cache of `datasets` has them", "write it by to_parquet"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"Obj\x01", "an Avro file", PANDAS),
    (b"ORC", "an ORC file", PANDAS),
    (b"\x89HDF", "an HDF5 file", PANDAS),
    (b"\x93NUMPY", "a numpy array", PANDAS),
    (b"\x80\x04", "a pickle", PANDAS),
    (b"\x80\x05", "a pickle", PANDAS),
    (b"%PDF", "a PDF document", "give the table itself"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of git-lfs, without the content",
        "fetch it with git lfs pull",
    ),
];

const PANDAS: &str = "write it with pandas as .parquet or .csv";

fn other(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let page = ["<!doctype html", "<html"].iter().any(|tag| {
        let start = head.trim_ascii_start().get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    });
    if page {
        return Some(("a web page", "fetch the file itself: this is what a server said in its place"));
    }
    let found = OTHERS.iter().find(|(start, ..)| head.starts_with(start));
    found.map(|(_, what, fix)| (*what, *fix))
}

fn refused(path: &Path, what: &str, fix: &str) -> Error {
    let expected = "text (delimited or JSON Lines, also in gzip) or a parquet table";
    Error::field(path.display(), "content", expected, what, fix)
}

fn unknown(path: &Path, head: &[u8]) -> Error {
    let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let what = format!("bytes that are not text; it begins with {}", start.join(" "));
    refused(path, &what, "save it as CSV, TSV, JSON Lines or parquet")
}
