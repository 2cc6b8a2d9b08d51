//! PyTorch files since version 1.6: a zip archive of `NAME/data.pkl`, the pickle; `NAME/data/KEY`, a storage each; and
//! `NAME/byteorder`. All is stored without compression.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::Stored;
use super::pickle;
use super::views::Views;
use crate::error::{Error, Result};

const PICKLE: &str = "data.pkl";

struct Archive<'a> {
    place: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of the file.
    size: u64,
    /// What the entries' names begin with.
    folder: String,
}

/// The tensors of the file at `place`. Storages are read one by one.
pub fn read(place: &Path) -> Result<Vec<Stored>> {
    let mut archive = Archive::open(place)?;
    archive.check_order()?;
    let pickle = pickle::read(&mut archive.entry(PICKLE)?.as_slice(), place)?;
    let mut views = Views::new(&pickle, place, archive.size)?;
    for key in views.storages() {
        views.fill(key, &archive.entry(&format!("data/{key}"))?)?;
    }
    views.done()
}

impl Archive<'_> {
    fn open(place: &Path) -> Result<Archive<'_>> {
        let file = File::open(place).map_err(Error::io(place, "read"))?;
        let size = file.metadata().map_err(Error::io(place, "read"))?.len();
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| broken(place, e))?;
        let names: Vec<String> = zip.file_names().flatten().map(|name| name.into_owned()).collect();
        let of_pickle =
            |name: &String| name.strip_suffix(PICKLE).filter(|at| at.ends_with('/')).map(str::to_string);
        let folder = names.iter().filter_map(of_pickle).min_by_key(String::len);
        let Some(folder) = folder else { return Err(other(place, &names)) };
        if names.iter().any(|name| name.strip_prefix(&folder) == Some("constants.pkl")) {
            let fix =
                "load it by torch.jit.load, and save its state dict: torch.save(model.state_dict(), FILE)";
            return Err(Error::field(
                place.display(),
                "weights",
                "a state dict",
                "a TorchScript program",
                fix,
            ));
        }
        Ok(Archive { place, zip, size, folder })
    }

    /// Whether numbers are stored lowest byte first, as on nearly all machines. Older files do not say.
    fn check_order(&mut self) -> Result<()> {
        if self.zip.index_for_name(&format!("{}byteorder", self.folder)).is_none() {
            return Ok(());
        }
        match self.entry("byteorder")?.as_slice() {
            b"little" => Ok(()),
            order => Err(big_endian(self.place, &String::from_utf8_lossy(order))),
        }
    }

    /// The bytes of an entry, whose checksum is checked.
    fn entry(&mut self, name: &str) -> Result<Vec<u8>> {
        let (place, size) = (self.place, self.size);
        let mut entry =
            self.zip.by_name(&format!("{}{name}", self.folder)).map_err(|e| damaged(place, name, e))?;
        if entry.compression() != CompressionMethod::Stored {
            let fix = "unpack it and pack it again without compression (zip -0), or save it anew in PyTorch";
            let expected = "stored without compression, as PyTorch writes it";
            return Err(Error::field(place.display(), name, expected, entry.compression(), fix));
        }
        // The size is a claim: no more is reserved for it than the file holds.
        let mut bytes = Vec::with_capacity(entry.size().min(size) as usize);
        entry.by_ref().take(size).read_to_end(&mut bytes).map_err(|e| damaged(place, name, e))?;
        Ok(bytes)
    }
}

/// What a file says whose storages are highest byte first.
pub fn big_endian(place: &Path, found: &str) -> Error {
    let fix = "load it in PyTorch on another machine, and save it there";
    Error::field(place.display(), "byte order", "little-endian", found, fix)
}

fn broken(place: &Path, found: impl ToString) -> Error {
    Error::field(place.display(), "zip", "a whole PyTorch file", found.to_string(), "fetch the file again")
}

fn damaged(place: &Path, name: &str, found: impl ToString) -> Error {
    let fix =
        "fetch the file again; if it was saved with set_crc32_options(False), load and save it in PyTorch";
    Error::field(place.display(), name, "a whole part of a PyTorch file", found.to_string(), fix)
}

/// A zip archive of something else.
fn other(place: &Path, names: &[String]) -> Error {
    let found = format!("a zip archive of {}", super::state::some(names.iter()));
    let fix = "unpack it, and give the folder of what was in it";
    Error::field(place.display(), "weights", "a PyTorch file", found, fix)
}
