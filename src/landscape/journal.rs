//! Finished units of a long computation on disk, so that a killed run resumes with the same bytes at the end.
//!
//! One line for each unit, in the order of the work, behind a line that identifies the inputs. Each line begins with a
//! checksum over itself and the one before, so that a line is that of this place of this work, or of none. A journal of
//! other inputs, or a damaged one, is never continued: what does not fit is computed anew, and said.
//!
//! The file is written anew when it is opened, by way of another name: what a link or a second name leads to stays as it is.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::{files, progress, provenance, stop};

/// How the first line begins; journals of earlier versions had the inputs alone.
const KIND: &str = "journal 2 of ";
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 32;

/// An append-only list of results, each some numbers.
pub struct Journal {
    path: PathBuf,
    file: std::fs::File,
    /// Units of an earlier run, the next one first.
    finished: VecDeque<Finished>,
    /// Checksum of the last line that was taken or written, and where it ends.
    last: String,
    end: u64,
}

/// A unit of an earlier run: its numbers, the checksum of its line and the bytes of that.
struct Finished {
    values: Vec<f64>,
    sum: String,
    bytes: u64,
}

/// The first line of a journal of these inputs, and its checksum: what is computed elsewhere has other bits, and is not gone on with.
fn begun(inputs: &str) -> (String, String) {
    line("", &format!("{KIND}{inputs} {}", provenance::arithmetic()))
}

impl Journal {
    /// Opens the journal for these inputs; one of other inputs, or a damaged one, starts anew. What a kill cut short
    /// is dropped, what is whole stays where it is.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if something else than a file has its name, [`Error::Io`] if the file cannot be written.
    pub fn open(path: &Path, inputs: &str) -> Result<Journal> {
        files::check_plain(path)?;
        let bytes = if files::is_plain(path) { files::read(path)? } else { Vec::new() };
        let (last, first) = begun(inputs);
        let finished = match units(&bytes, &last, &first) {
            Some((finished, None)) => finished,
            Some((finished, Some(number))) => {
                keep(path, &format!("line {number} is damaged or of something else"))?;
                finished
            }
            None if bytes.contains(&b'\n') => {
                keep(path, "it is of other inputs, of another device or version, or damaged")?;
                VecDeque::new()
            }
            None => VecDeque::new(),
        };
        let end = first.len() as u64;
        let whole = first.len() + finished.iter().map(|unit| unit.bytes as usize).sum::<usize>();
        let whole =
            if finished.is_empty() { first.as_bytes() } else { bytes.get(..whole).unwrap_or_default() };
        files::write(path, whole)?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(Error::io(path, "write"))?;
        Ok(Journal { path: path.to_path_buf(), file, finished, last, end })
    }

    /// The finished units of another process's journal, which stays as it is; none if it is not one of these inputs.
    pub fn finished(path: &Path, inputs: &str) -> Result<Option<Vec<Vec<f64>>>> {
        files::check_plain(path)?;
        let (last, first) = begun(inputs);
        let found = units(&files::read(path)?, &last, &first);
        Ok(found.map(|(finished, _)| finished.into_iter().map(|unit| unit.values).collect()))
    }

    /// Units of an earlier run that have not been asked for yet.
    pub fn left(&self) -> usize {
        self.finished.len()
    }

    /// The result of the next unit: of an earlier run where it got so far, of `work` otherwise. A result that does not fit is
    /// computed anew, and all that follow it.
    pub fn unit(
        &mut self,
        fits: impl Fn(&[f64]) -> bool,
        work: impl FnOnce() -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        if let Some(unit) = self.finished.pop_front() {
            if fits(&unit.values) {
                self.last = unit.sum;
                self.end += unit.bytes;
                return Ok(unit.values);
            }
            self.refuse()?;
        }
        let values = work()?;
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        // As bits, because JSON knows no NaN and infinity.
        let text = serde_json::to_string(&bits).map_err(|e| Error::io(&self.path, "write")(e.into()))?;
        let (sum, own) = line(&self.last, &text);
        self.file.write_all(own.as_bytes()).map_err(Error::io(&self.path, "write"))?;
        stop::gained();
        self.last = sum;
        self.end += own.len() as u64;
        Ok(values)
    }

    /// Forgets what an earlier run left and has not been asked for.
    fn refuse(&mut self) -> Result<()> {
        let whole = files::read(&self.path)?;
        keep(&self.path, "a result in it is not one of this work")?;
        self.finished.clear();
        files::write(&self.path, whole.get(..self.end as usize).unwrap_or_default())?;
        let file = std::fs::OpenOptions::new().append(true).open(&self.path);
        self.file = file.map_err(Error::io(&self.path, "write"))?;
        Ok(())
    }
}

/// A line and its checksum, behind a line with the checksum `before`.
fn line(before: &str, text: &str) -> (String, String) {
    let sum = files::hash(format!("{before} {text}").as_bytes())[..DIGITS].to_string();
    let own = format!("{sum} {text}\n");
    (sum, own)
}

/// The units behind the line `first` with the checksum `last`, and the number of the line that is none; nothing of another
/// journal. What a kill cut short is left out.
fn units(bytes: &[u8], last: &str, first: &str) -> Option<(VecDeque<Finished>, Option<usize>)> {
    let mut finished: VecDeque<Finished> = VecDeque::new();
    let mut lines = bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.next().filter(|own| *own == first.as_bytes())?;
    for (number, own) in (2..).zip(lines) {
        let before = finished.back().map_or(last, |unit| &unit.sum);
        match unit(before, own) {
            Some(unit) => finished.push_back(unit),
            None => return Some((finished, Some(number))),
        }
    }
    Some((finished, None))
}

/// The unit of a line, if it is the one that comes behind `before`.
fn unit(before: &str, own: &[u8]) -> Option<Finished> {
    let (_, text) = std::str::from_utf8(own).ok()?.trim_end_matches('\n').split_once(' ')?;
    let (sum, same) = line(before, text);
    let bits: Vec<u64> = serde_json::from_str(text).ok().filter(|_| same.as_bytes() == own)?;
    let values = bits.into_iter().map(f64::from_bits).collect();
    Some(Finished { values, sum, bytes: own.len() as u64 })
}

/// Keeps a copy of a journal that is not continued, and says why.
fn keep(path: &Path, why: &str) -> Result<()> {
    let kept = files::set_aside(path, "broken")?;
    progress::note(format!(
        "{}: {why}; it is kept as {}, and what it lacks is computed anew",
        path.display(),
        kept.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [[f64; 2]; 3] = [[0.5, f64::NAN], [2.0, 3.0], [4.0, 5.0]];

    /// All units, and how many of them were computed.
    fn run(path: &Path, inputs: &str, fits: impl Fn(&[f64]) -> bool) -> (Vec<Vec<u64>>, usize) {
        let mut journal = Journal::open(path, inputs).unwrap();
        let mut computed = 0;
        let mut unit = |own: &[f64; 2]| {
            let work = || {
                computed += 1;
                Ok(own.to_vec())
            };
            journal.unit(&fits, work).unwrap().into_iter().map(f64::to_bits).collect()
        };
        (UNITS.iter().map(&mut unit).collect(), computed)
    }

    /// Oracle: the units themselves, whatever was done to the file in between, and how many must be computed. Catches lines believed that are
    /// damaged, of another place, of other work or of the wrong length, and one more computed than needed.
    #[test]
    fn only_its_own_lines_are_believed() {
        progress::set_verbosity(0);
        type Change = fn(Vec<String>) -> String;
        let old: Change = |_| "inputs\n[1,2]\n".into();
        let cases: [(Change, usize, bool); 10] = [
            (|l| l.concat(), 0, false),
            (|l| l[..3].concat(), 1, false),
            (|l| l.concat().trim_end().to_string(), 1, false), // cut by a kill
            (|l| format!("{}{}\n", l[..3].concat(), l[3].replace('[', "[7,").trim_end()), 1, true),
            (|l| [&l[0], &l[2], &l[1], &l[3]].map(String::as_str).concat(), 3, true),
            (|l| [&l[0], &l[1], &l[1]].map(String::as_str).concat(), 2, true),
            (|l| l[..3].concat() + "[]\n", 1, true),
            (|l| l[1..].concat(), 3, true),
            (|_| "\u{0}\n\u{fffd}".into(), 3, true),
            (old, 3, true),
        ];
        let expected: Vec<Vec<u64>> = UNITS.iter().map(|u| u.map(f64::to_bits).to_vec()).collect();
        for (i, (change, wanted, kept)) in cases.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s.unfinished");
            let two = |values: &[f64]| values.len() == 2;
            assert_eq!(run(&path, "inputs", two), (expected.clone(), 3));
            let whole = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, change(whole.split_inclusive('\n').map(str::to_string).collect())).unwrap();
            assert_eq!(run(&path, "inputs", two), (expected.clone(), wanted), "case {i}");
            assert_eq!(folder.path().join("s.unfinished.broken").exists(), kept, "case {i}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole, "case {i}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.unfinished");
        let two = |values: &[f64]| values.len() == 2;
        run(&path, "others", two);
        assert_eq!(run(&path, "inputs", two).1, 3);
        // Whole lines that are not what is asked for.
        assert_eq!(run(&path, "inputs", |values| values[0] != 2.0).1, 2);
        assert_eq!(run(&path, "inputs", two).1, 0);
    }

    /// Oracle: the other file's bytes. Catches a journal that writes through a link or a second name.
    #[test]
    #[cfg(unix)]
    fn what_else_its_name_leads_to_stays() {
        progress::set_verbosity(0);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("precious"), "precious").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("link")).unwrap();
        std::fs::hard_link(at("precious"), at("second")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in ["link", "folder"] {
            let refused = Journal::open(&at(name), "inputs").err().unwrap().to_string();
            assert!(refused.contains("a plain file, or nothing yet"), "{refused}");
        }
        assert_eq!(run(&at("second"), "inputs", |_| true).1, 3);
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "precious");
    }
}
