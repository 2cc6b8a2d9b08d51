//! `SURFACE.npz`: numpy's archive of arrays `x` `[nx]`, `y` `[ny]`, `loss` `[ny, nx]`, one of that shape for every further
//! column, and `centre_loss` `[]` where known. A volume has `z` `[nz]` as well, and `[nz, ny, nx]`.
//!
//! Written uncompressed and with one fixed time, so that the same surface has the same bytes. Read with or without
//! compression, numbers of any width and byte order, in C or Fortran order.
//!
//! Read as well: what Landscaper (Vis4SciML) saves, `loss` and `coordinates` `[axes, n]`.
//!
//! The trap: Landscaper computes `loss[i, j]` at `(coordinates[0][i], coordinates[1][j])`, the first direction outer. So x is
//! its first axis, and its own pictures have the axes exchanged.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::{Grid, MOST, check_count};
use crate::error::{Error, Result};
use crate::{files, progress};

const CENTRE: &str = "centre_loss";
const FIX: &str = "save it by numpy.savez(file, x=x, y=y, loss=loss), loss.shape == (len(y), len(x)); of a volume z, too, and (len(z), len(y), len(x))";

/// An array of numbers in C order.
struct Array {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

pub(super) fn read(path: &Path) -> Result<Grid> {
    let (mut arrays, names) = arrays(path)?;
    if let Some(i) = arrays.iter().position(|a| a.name == "coordinates")
        && !arrays.iter().any(|a| a.name == "x")
    {
        let coordinates = arrays.remove(i);
        from_landscaper(path, coordinates, &mut arrays)?;
    }
    let wrong = |field: &str, expected: String, found: String| {
        Error::field(path.display(), field, expected, found, FIX)
    };
    let mut take = |name: &str| arrays.iter().position(|a| a.name == name).map(|i| arrays.remove(i));
    let missing = |name| wrong(name, "an array of numbers".into(), format!("only {}", names.join(", ")));
    let x = take("x").ok_or_else(|| missing("x"))?;
    let loss = take("loss").ok_or_else(|| missing("loss"))?;
    let y = take("y").unwrap_or(Array { name: "y".into(), shape: vec![1], values: vec![0.0] });
    // Next to losses over a plane `z` is a column.
    let z = if loss.shape.len() == 3 { take("z") } else { None };
    let centre = take(CENTRE).and_then(|array| array.values.first().copied());
    for axis in [&x, &y].into_iter().chain(&z) {
        if axis.shape.len() != 1 {
            return Err(wrong(
                &axis.name,
                "coordinates of one axis".into(),
                format!("shape {:?}", axis.shape),
            ));
        }
    }
    let (nx, ny) = (x.values.len(), y.values.len());
    let whole: Vec<usize> = z.iter().map(|z| z.values.len()).chain([ny, nx]).collect();
    let fits = |shape: &[usize]| shape == whole || (whole == [1, nx] && shape == [nx]);
    if !fits(&loss.shape) {
        return Err(wrong("loss", format!("of shape {whole:?}"), format!("{:?}", loss.shape)));
    }
    let z = z.map(|z| z.values);
    let mut grid = Grid::new(path, ["x", "y"], [x.values, y.values], z, loss.values)?;
    grid.centre = grid.centre.or(centre);
    for Array { name, shape, values } in arrays {
        match fits(&shape) {
            true => grid.columns.push((name, values)),
            false => {
                progress::excluded(format!("{}: `{name}` of shape {shape:?} is ignored", path.display()))
            }
        }
    }
    Ok(grid)
}

/// Puts Landscaper's arrays as ours are.
fn from_landscaper(path: &Path, coordinates: Array, arrays: &mut Vec<Array>) -> Result<()> {
    let wrong = |field: &str, expected: &str, found: &[usize]| {
        let fix =
            "save a part of it: numpy.savez(file, x=coordinates[0], y=coordinates[1], loss=loss[:, :, 0].T)";
        Error::field(path.display(), field, expected, format!("shape {found:?}"), fix)
    };
    let (axes, n) = match coordinates.shape[..] {
        [axes @ (1 | 2), n] => (axes, n),
        _ => return Err(wrong("coordinates", "those of one or two axes", &coordinates.shape)),
    };
    if let Some(loss) = arrays.iter_mut().find(|array| array.name == "loss") {
        if loss.shape != vec![n; axes] {
            return Err(wrong("loss", "one value for each pair of coordinates", &loss.shape));
        }
        if axes == 2 {
            loss.values = transposed(&loss.values, n, n);
        }
    }
    for (name, values) in ["x", "y"].iter().zip(coordinates.values.chunks(n.max(1))) {
        arrays.push(Array { name: name.to_string(), shape: vec![n], values: values.to_vec() });
    }
    progress::note(format!("{}: as Landscaper saves it; x is its first axis", path.display()));
    Ok(())
}

/// Values in C order, the last index first to change, of those in Fortran's, the first first.
fn from_fortran(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let place = |i: usize| {
        let mut rest = i;
        let mut index = vec![0; shape.len()];
        for (own, size) in index.iter_mut().zip(shape).rev() {
            (*own, rest) = (rest % size, rest / size);
        }
        index.iter().zip(shape).rev().fold(0, |at, (own, size)| at * size + own)
    };
    (0..values.len()).map(|i| values[place(i)]).collect()
}

/// `[rows, columns]` from `[columns, rows]`.
fn transposed(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows).flat_map(|r| (0..columns).map(move |c| c * rows + r)).map(|i| values[i]).collect()
}

/// The arrays of numbers in a file, and the names of all arrays, with the type of those that are none of numbers.
fn arrays(path: &Path) -> Result<(Vec<Array>, Vec<String>)> {
    let broken = |found: String| {
        Error::field(path.display(), "npz", "a whole numpy archive", found, "fetch or make the file again")
    };
    let bytes = files::read(path)?;
    let mut left = bytes.len() as u64;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(e.to_string()))?;
    // Members that share bytes would make much of little.
    for i in 0..archive.len() {
        let packed = archive.by_index_raw(i).map_err(|e| broken(e.to_string()))?.compressed_size();
        left = left.checked_sub(packed).ok_or_else(|| broken("members that overlap".into()))?;
    }
    let (mut arrays, mut names): (Vec<Array>, Vec<String>) = (Vec::new(), Vec::new());
    let mut held = 0usize;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(|e| broken(e.to_string()))?;
        let name = entry.name().map_err(|e| broken(e.to_string()))?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        let most = (MOST * size_of::<f64>()) as u64;
        let size = entry.size();
        let mut bytes = Vec::new();
        if size <= most {
            // The size is a claim.
            let unpacked = entry.by_ref().take(most + 1).read_to_end(&mut bytes);
            unpacked.map_err(|e| broken(format!("`{name}`: {e}")))?;
        }
        if size.max(bytes.len() as u64) > most {
            let found = format!("{} MiB", size.max(bytes.len() as u64) >> 20);
            let fix = "give a surface with fewer points, or fetch the file again";
            return Err(Error::field(
                path.display(),
                &name,
                format!("of at most {} MiB", most >> 20),
                found,
                fix,
            ));
        }
        let array = parse(&name, &bytes).map_err(|found| broken(format!("`{name}`: {found}")))?;
        if let Some(values) = &array {
            held = held.saturating_add(values.values.len());
            check_count(path, &name, Some(held))?;
        }
        names.push(if array.is_some() { name } else { format!("{name} (no numbers)") });
        arrays.extend(array);
    }
    Ok((arrays, names))
}

/// An array of the .npy format: magic, version, length of the header, a Python dictionary, the numbers. `None`
/// for what is no array of real numbers.
fn parse(name: &str, bytes: &[u8]) -> Result<Option<Array>, String> {
    let cut = || "a header that is cut short".to_string();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("not the .npy format")?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [_, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(cut()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = String::from_utf8_lossy(header);
    let entry = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start());
    let quoted = entry("descr").and_then(|value| value.strip_prefix('\'')?.split_once('\''));
    let Some((kind, read)) = quoted.and_then(|(kind, _)| Some((kind, reader(kind)?))) else {
        return Ok(None);
    };
    let shape = entry("shape").and_then(|value| value.strip_prefix('(')?.split_once(')')).ok_or_else(cut)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes.map(|size| size.parse().map_err(|_| cut())).collect::<Result<_, _>>()?;
    let width = kind.get(2..).unwrap_or_default().parse::<usize>().map_err(|_| cut())?;
    let expected = shape.iter().try_fold(width, |bytes, size| bytes.checked_mul(*size));
    if expected != Some(data.len()) {
        return Err(format!("{} bytes for shape {shape:?} of {kind}", data.len()));
    }
    // Each takes eight bytes, however few it has here.
    if data.len() / width.max(1) > MOST {
        return Err(format!("{} numbers, where a surface has at most {MOST}", data.len() / width.max(1)));
    }
    let values: Vec<f64> = data.chunks_exact(width).map(read).collect();
    let values = match (entry("fortran_order").is_some_and(|value| value.starts_with("True")), &shape[..]) {
        (true, shape) => from_fortran(&values, shape),
        _ => values,
    };
    Ok(Some(Array { name: name.to_string(), shape, values }))
}

/// How a number of a type such as `<f8` is read.
fn reader(kind: &str) -> Option<fn(&[u8]) -> f64> {
    macro_rules! number {
        ($type:ty, $from:ident) => {
            |bytes| bytes.try_into().map_or(f64::NAN, |bytes| <$type>::$from(bytes) as f64)
        };
    }
    Some(match kind {
        "<f8" => number!(f64, from_le_bytes),
        ">f8" => number!(f64, from_be_bytes),
        "<f4" => number!(f32, from_le_bytes),
        ">f4" => number!(f32, from_be_bytes),
        "<f2" => |bytes| bytes.try_into().map_or(f64::NAN, |bytes| half(u16::from_le_bytes(bytes))),
        ">f2" => |bytes| bytes.try_into().map_or(f64::NAN, |bytes| half(u16::from_be_bytes(bytes))),
        "<f16" | "<f12" => extended,
        "<i8" => number!(i64, from_le_bytes),
        ">i8" => number!(i64, from_be_bytes),
        "<i4" => number!(i32, from_le_bytes),
        ">i4" => number!(i32, from_be_bytes),
        "<i2" => number!(i16, from_le_bytes),
        ">i2" => number!(i16, from_be_bytes),
        "|i1" => number!(i8, from_le_bytes),
        "<u8" => number!(u64, from_le_bytes),
        ">u8" => number!(u64, from_be_bytes),
        "<u4" => number!(u32, from_le_bytes),
        ">u4" => number!(u32, from_be_bytes),
        "<u2" => number!(u16, from_le_bytes),
        ">u2" => number!(u16, from_be_bytes),
        "|u1" | "|b1" => number!(u8, from_le_bytes),
        _ => return None,
    })
}

/// IEEE half precision: a sign, 5 bits of exponent (bias 15), 10 of the fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The 80-bit numbers of x86, which numpy's longdouble is there: a sign, 15 bits of exponent (bias 16383), 64 of the fraction
/// with its leading one; what fills them up to 12 or 16 bytes means nothing.
fn extended(bytes: &[u8]) -> f64 {
    let Some((fraction, rest)) = bytes.split_first_chunk::<8>() else { return f64::NAN };
    let Some((top, _)) = rest.split_first_chunk::<2>() else { return f64::NAN };
    let (fraction, top) = (u64::from_le_bytes(*fraction), u16::from_le_bytes(*top));
    let exponent = i32::from(top & 0x7fff);
    let size = match exponent {
        0x7fff if fraction << 1 == 0 => f64::INFINITY,
        0x7fff => f64::NAN,
        // In two steps, as 2^-1100 alone is zero.
        _ => {
            fraction as f64
                * 2f64.powi((exponent - 16446) / 2)
                * 2f64.powi(exponent - 16446 - (exponent - 16446) / 2)
        }
    };
    if top >> 15 == 1 { -size } else { size }
}

pub(super) fn bytes(grid: &Grid, path: &Path) -> Result<Vec<u8>> {
    grid.check_names(path, &["x", "y", "z", "loss", CENTRE])?;
    let shape: Vec<usize> = grid.z.iter().map(Vec::len).chain([grid.y.len(), grid.x.len()]).collect();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, shape: &[usize], values: &[f64]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default());
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&npy(shape, values))?;
        Ok::<(), zip::result::ZipError>(())
    };
    let failed = |e: zip::result::ZipError| Error::io(path, "write")(e.into());
    let axes = [("x", Some(&grid.x)), ("y", Some(&grid.y)), ("z", grid.z.as_ref())];
    for (name, axis) in axes.into_iter().filter_map(|(name, axis)| Some((name, axis?))) {
        add(name, &[axis.len()], axis).map_err(failed)?;
    }
    add("loss", &shape, &grid.loss).map_err(failed)?;
    for (name, values) in &grid.columns {
        add(name, &shape, values).map_err(failed)?;
    }
    if let Some(loss) = grid.centre {
        add(CENTRE, &[], &[loss]).map_err(failed)?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}

/// The .npy format, version 1: the header is padded so that the numbers begin at a multiple of 64 bytes.
fn npy(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size},")).collect();
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sizes}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", length - 1).bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: numpy's definition. Entry (i, j, k) of `[2, 3, 4]` lies at i + 2 j + 6 k in Fortran's order, at 12 i + 4 j + k in C's.
    #[test]
    fn numbers_in_fortrans_order_are_put_in_cs() {
        let mut fortran = vec![0.0; 24];
        let all = (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..4).map(move |k| (i, j, k))));
        all.for_each(|(i, j, k)| fortran[i + 2 * j + 6 * k] = (100 * i + 10 * j + k) as f64);
        let c = from_fortran(&fortran, &[2, 3, 4]);
        for (at, value) in c.into_iter().enumerate() {
            assert_eq!(value, (100 * (at / 12) + 10 * (at / 4 % 3) + at % 4) as f64);
        }
        assert_eq!(from_fortran(&[1.0, 2.0], &[2]), [1.0, 2.0]);
    }
}
