//! The headers of a parquet table's pages, looked at before the library reads them: it takes their sizes for granted and asks
//! for that much memory at once, which a file of a few hundred bytes can make more than there is.
//!
//! A header is a struct of Thrift's compact protocol: bytes unpacked (field 2) and packed (3), and by the kind of page the
//! number of its values: of a data page (5.1), of a dictionary (7.1), of a data page of the second version (8.1).
//!
//! Where texts are stored with their lengths before them (encodings 6 and 7), a page holds a second claim: how many lengths.

use std::path::Path;

use parquet::basic::Encoding;
use parquet::column::page::{Page as Data, PageReader};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use crate::error::{Error, Result};

/// Bytes of a page, unpacked. Writers make pages of one MiB.
const LARGEST: i64 = 256 << 20;
/// Values of a dictionary, each of which takes some bytes beside its own.
const MOST: i64 = 1 << 24;
/// Bytes in which a header ends, at first, and at most: it may hold a column's least and greatest text.
const WINDOWS: [u64; 2] = [1 << 12, 1 << 24];

/// Refuses a column that asks for more memory than its pages can hold. Gives whether [`check_lengths`] must be asked, too.
///
/// # Errors
///
/// [`Error::Field`] for such a page, with what it asks for, and for one whose header cannot be read.
pub(super) fn check<R: ChunkReader>(path: &Path, file: &R, column: &ColumnChunkMetaData) -> Result<bool> {
    let name = column.column_descr().name();
    let wrong = |expected: String, found: String| {
        let fix = "fetch the file again, or write the table with smaller pages";
        Err(Error::field(path.display(), format!("page of {name}"), expected, found, fix))
    };
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let end = start.checked_add(column.compressed_size()).filter(|end| (0..=file.len() as i64).contains(end));
    let (Ok(mut at), Some(end)) = (u64::try_from(start), end) else {
        return wrong(
            "inside the file".into(),
            format!("from byte {start}, {} bytes", column.compressed_size()),
        );
    };
    let (end, mut seen, mut lengths) = (end as u64, 0i64, false);
    while at < end && seen < column.num_values() {
        let Ok(Some((page, length))) = header(file, at, end) else {
            return wrong("with a whole header".into(), format!("another at byte {at}"));
        };
        let room = (end - at).saturating_sub(length);
        if !(0..=room as i64).contains(&page.packed) {
            return wrong(format!("of at most the {room} bytes that follow"), page.packed.to_string());
        }
        if !(0..=LARGEST).contains(&page.unpacked) {
            let found = format!("{} MiB for what it unpacks to", page.unpacked >> 20);
            return wrong(format!("of at most {} MiB", LARGEST >> 20), found);
        }
        // Each takes a byte or more, and in a dictionary none comes twice.
        let most = page.unpacked.min(MOST);
        if let Some(values) = page.dictionary.filter(|values| !(0..=most).contains(values)) {
            return wrong(
                format!("of at most {most} values"),
                format!("memory for {values} in a dictionary"),
            );
        }
        lengths |= [6, 7].contains(&page.encoding);
        seen = seen.saturating_add(page.values.max(0));
        at += length + page.packed as u64;
    }
    Ok(lengths)
}

/// Refuses pages with more lengths of texts than values.
///
/// # Errors
///
/// [`Error::Field`] for such a page.
pub(super) fn check_lengths(
    path: &Path,
    column: &ColumnChunkMetaData,
    mut pages: Box<dyn PageReader>,
) -> Result<()> {
    let name = column.column_descr().name();
    // What cannot be read is the library's to tell.
    while let Ok(Some(page)) = pages.get_next_page() {
        let (Some(values), most) = (values(&page, column), u64::from(page.num_values())) else { continue };
        let lists = match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            Encoding::DELTA_BYTE_ARRAY => 2,
            _ => continue,
        };
        let mut left = Thrift(values);
        for _ in 0..lists {
            match left.deltas(most) {
                Some(count) if count > most => {
                    let (expected, found) =
                        (format!("of at most {most} values"), format!("memory for {count} lengths"));
                    let fix = "fetch the file again, or write the table anew";
                    return Err(Error::field(
                        path.display(),
                        format!("page of {name}"),
                        expected,
                        found,
                        fix,
                    ));
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    Ok(())
}

/// The values of a page, behind its levels.
fn values<'a>(page: &'a Data, column: &ColumnChunkMetaData) -> Option<&'a [u8]> {
    let levels = [column.column_descr().max_rep_level(), column.column_descr().max_def_level()];
    match page {
        Data::DataPage { buf, .. } => {
            let mut left: &[u8] = buf;
            for _ in levels.iter().filter(|most| **most > 0) {
                let (length, rest) = left.split_first_chunk::<4>()?;
                left = rest.get(u32::from_le_bytes(*length) as usize..)?;
            }
            Some(left)
        }
        Data::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            buf.get((def_levels_byte_len.checked_add(*rep_levels_byte_len)?) as usize..)
        }
        Data::DictionaryPage { buf, .. } => Some(buf),
    }
}

/// The header of a page at an offset and its length, if there is one before `end`.
fn header<R: ChunkReader>(file: &R, at: u64, end: u64) -> ParquetResult<Option<(Page, u64)>> {
    for window in WINDOWS {
        let bytes = file.get_bytes(at, window.min(end - at) as usize)?;
        let mut left = Thrift(&bytes);
        let mut page = Page::default();
        if left.fields(0, &mut |path, value| page.take(path, value)).is_some() {
            return Ok(Some((page, (bytes.len() - left.0.len()) as u64)));
        }
    }
    Ok(None)
}

/// What a header says.
#[derive(Default)]
struct Page {
    unpacked: i64,
    packed: i64,
    /// Of a data page.
    values: i64,
    encoding: i64,
    /// Of a dictionary.
    dictionary: Option<i64>,
}

impl Page {
    fn take(&mut self, path: [i16; 2], value: i64) {
        match path {
            [2, 0] => self.unpacked = value,
            [3, 0] => self.packed = value,
            [5 | 8, 1] => self.values = value,
            [5, 2] | [8, 4] | [7, 2] => self.encoding = value,
            [7, 1] => self.dictionary = Some(value),
            _ => {}
        }
    }
}

/// Bytes of the compact protocol that are still to be read; `None` where they end too soon or mean nothing.
struct Thrift<'a>(&'a [u8]);

/// Structs and lists in one another.
const DEEPEST: usize = 8;

impl Thrift<'_> {
    /// Reads a struct; `integer` is called with the field of each integer, of the outermost struct and of one in it.
    fn fields(&mut self, depth: usize, integer: &mut dyn FnMut([i16; 2], i64)) -> Option<()> {
        let mut field = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match i16::from(head >> 4) {
                0 => i16::try_from(self.integer()?).ok()?,
                delta => field.checked_add(delta)?,
            };
            match head & 15 {
                1 | 2 => {} // a truth value, in the type itself
                4..=6 => {
                    let value = self.integer()?;
                    integer([field, 0], value);
                }
                12 if depth == 0 => {
                    self.fields(1, &mut |[inner, _], value| integer([field, inner], value))?
                }
                kind => self.skip(kind, depth)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            1..=3 => drop(self.byte()?),
            4..=6 => drop(self.integer()?),
            7 => self.0 = self.0.get(8..)?,
            8 => {
                let length = usize::try_from(self.number()?).ok()?;
                self.0 = self.0.get(length..)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.skip(head & 15, depth + 1))?;
            }
            12 => self.fields(depth + 1, &mut |_, _| ())?,
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    /// Reads a list of integers stored by their differences, if it has at most so many; gives how many it says it has.
    ///
    /// Values of a block, parts of it, the count, the first value; then for each block the least difference, the bits of each
    /// part and the parts.
    fn deltas(&mut self, most: u64) -> Option<u64> {
        let [block, parts, count, _] = [self.number()?, self.number()?, self.number()?, self.number()?];
        if count > most {
            return Some(count);
        }
        let each = block.checked_div(parts)?;
        let mut left = count.saturating_sub(1);
        while left > 0 {
            self.number()?;
            let (bits, rest) = self.0.split_at_checked(usize::try_from(parts).ok()?)?;
            self.0 = rest;
            for bits in bits {
                if left > 0 {
                    let bytes = each.checked_mul(u64::from(*bits))? / 8;
                    self.0 = self.0.get(usize::try_from(bytes).ok()?..)?;
                    left = left.saturating_sub(each.max(1));
                }
            }
        }
        Some(count)
    }

    /// An integer: 0, -1, 1, -2 and so on as 0, 1, 2, 3.
    fn integer(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
