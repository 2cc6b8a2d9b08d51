//! Changes of a file: of its bytes, and of what they mean.
//!
//! Each is a function of random numbers alone, so a case is known by its seed and its number.

use std::io::{Cursor, Read, Write};

use fisherscape::files;
use fisherscape::rng::Stream;
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// How the bytes of a file are to be understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Bytes,
    /// Words and numbers, line by line.
    Text,
    Json,
    Toml,
    Csv,
    /// A length of eight bytes, a JSON object, data.
    Safetensors,
    /// Members that are themselves bytes.
    Zip,
    /// Lines of JSON, each behind a checksum over itself and the one before.
    Journal,
}

/// Random numbers in turn.
pub struct Dice {
    stream: Stream,
    next: u64,
}

impl Dice {
    pub fn new(seed: u64, case: u64) -> Dice {
        Dice { stream: Stream::new(seed, "fuzz").at(case), next: 0 }
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        self.stream.below(self.next, n.max(1) as u64) as usize
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// Numbers at the ends of what types hold.
const NUMBERS: [&str; 30] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "7",
    "255",
    "256",
    "65535",
    "65536",
    "10001",
    "1048577",
    "134217729",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e-320",
    "1e15",
    "1e30",
    "1e308",
    "-1e308",
    "1e400",
    "0.5",
    "-0.1",
];
const WORDS: [&str; 14] = [
    "",
    " ",
    "NaN",
    "nan",
    "inf",
    "-inf",
    "null",
    "true",
    "a",
    "\u{0}",
    "..",
    "/",
    "é\u{301}\u{202e}",
    "<!--<script>",
];
const SIZES: [u64; 16] = [
    0,
    1,
    2,
    3,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x10_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// A changed copy; `other` is another file of the kind, to take parts from.
pub fn mutated(bytes: &[u8], other: &[u8], form: Form, dice: &mut Dice) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..1 + dice.below(3) {
        let meant = dice.below(3) > 0;
        let understood = if meant { understood(&changed, other, form, dice) } else { None };
        changed = understood.unwrap_or_else(|| plain(&changed, other, dice));
    }
    changed
}

/// A change of what the file means; none where it can no longer be understood.
fn understood(bytes: &[u8], other: &[u8], form: Form, dice: &mut Dice) -> Option<Vec<u8>> {
    match form {
        Form::Bytes => None,
        Form::Text | Form::Toml => Some(words(bytes, dice)),
        Form::Csv if dice.below(3) == 0 => Some(words(bytes, dice)),
        Form::Csv => csv(bytes, dice),
        Form::Json => {
            let mut value = serde_json::from_slice(bytes).ok()?;
            edit(&mut value, dice, 0);
            serde_json::to_vec(&value).ok()
        }
        Form::Safetensors => safetensors(bytes, dice),
        Form::Zip => archive(bytes, other, dice),
        Form::Journal => journal(bytes, dice),
    }
}

/// A change of bytes without regard to what they mean.
fn plain(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let (at, length) = (dice.below(out.len() + 1), dice.below(16));
    let end = (at + length).min(out.len());
    match dice.below(9) {
        0 | 1 if at < out.len() => out[at] ^= 1 << dice.below(8),
        2 if at < out.len() => out[at] = dice.below(256) as u8,
        3 => out.truncate(at),
        4 => drop(out.drain(at..end)),
        5 => {
            let part = out[at..end].to_vec();
            drop(out.splice(at..at, part));
        }
        6 => {
            let from = dice.below(other.len() + 1);
            let to = (from + dice.below(64)).min(other.len());
            drop(out.splice(at..end, other[from..to].to_vec()));
        }
        7 => drop(out.splice(at..at, (0..length).map(|_| dice.below(256) as u8).collect::<Vec<_>>())),
        _ => {
            // Lengths and counts stand in two, four or eight bytes, of either order.
            let (width, value) = (dice.of(&[1, 2, 4, 8]), dice.of(&SIZES).wrapping_add(dice.below(3) as u64));
            let all = if dice.below(4) == 0 {
                value.rotate_right(8 * width as u32).to_be_bytes()
            } else {
                value.to_le_bytes()
            };
            out.iter_mut().skip(at).zip(&all[..width]).for_each(|(own, new)| *own = *new);
        }
    }
    out
}

/// Puts an extreme number or word in place of a number or word.
fn words(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let of_word = |b: &u8| b.is_ascii_alphanumeric() || b"._-+".contains(b);
    let at = dice.below(bytes.len() + 1);
    let from = (at..bytes.len()).find(|i| of_word(&bytes[*i])).unwrap_or(at);
    let start = (0..from).rev().find(|i| !of_word(&bytes[*i])).map_or(0, |i| i + 1);
    let end = (from..bytes.len()).find(|i| !of_word(&bytes[*i])).unwrap_or(bytes.len());
    let mut out = bytes.to_vec();
    let new = if dice.below(2) == 0 { dice.of(&NUMBERS) } else { dice.of(&WORDS) };
    out.splice(start..end.max(start), new.bytes());
    out
}

/// Changes a cell, a row or a column.
fn csv(bytes: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let separator = [',', '\t', ';']
        .into_iter()
        .max_by_key(|c| text.lines().next().map(|line| line.matches(*c).count()))?;
    let mut rows: Vec<Vec<String>> =
        text.lines().map(|line| line.split(separator).map(str::to_string).collect()).collect();
    let (row, other) = (dice.below(rows.len()), dice.below(rows.len()));
    let column = dice.below(rows.first()?.len());
    match dice.below(8) {
        0 => drop(rows.remove(row)),
        1 => rows.insert(other, rows[row].clone()),
        2 => rows.swap(row, other),
        3 => rows.iter_mut().filter(|row| column < row.len()).for_each(|row| drop(row.remove(column))),
        4 => rows.iter_mut().filter(|row| column < row.len()).for_each(|row| row.push(row[column].clone())),
        5 => {
            let cell = dice.of(&NUMBERS).to_string();
            rows.iter_mut()
                .skip(1)
                .filter_map(|row| row.get_mut(column))
                .for_each(|own| own.clone_from(&cell));
        }
        _ => {
            let cell = if dice.below(3) > 0 { dice.of(&NUMBERS) } else { dice.of(&WORDS) };
            *rows[row].get_mut(column)? = cell.to_string();
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| row.join(&separator.to_string())).collect();
    Some((lines.join("\n") + "\n").into_bytes())
}

/// Changes one of the values, at any depth.
fn edit(value: &mut Value, dice: &mut Dice, depth: usize) {
    let deeper = dice.below(8) > 0;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => edit_object(map, dice, depth),
        Value::Array(list) if deeper && !list.is_empty() => {
            let i = dice.below(list.len());
            match dice.below(8) {
                0 => drop(list.remove(i)),
                1 => list.push(list[i].clone()),
                _ => edit(&mut list[i], dice, depth + 1),
            }
        }
        _ => *value = extreme(dice),
    }
}

fn edit_object(map: &mut Map<String, Value>, dice: &mut Dice, depth: usize) {
    let keys: Vec<String> = map.keys().cloned().collect();
    let (key, other) = (dice.of(&keys), dice.of(&keys));
    match dice.below(12) {
        0 => drop(map.remove(&key)),
        1 => drop(map.insert(dice.of(&WORDS).to_string(), map[&key].clone())),
        2 => drop(map.insert(other, map[&key].clone())),
        _ => map.get_mut(&key).into_iter().for_each(|value| edit(value, dice, depth + 1)),
    }
}

fn extreme(dice: &mut Dice) -> Value {
    match dice.below(12) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!([]),
        3 => json!({}),
        4 => json!(dice.of(&WORDS)),
        5 => (0..100).fold(Value::Null, |inner, _| json!([inner])),
        6 => json!("x".repeat(10_000)),
        7 => json!(vec![0; 100]),
        _ => serde_json::from_str(dice.of(&NUMBERS)).unwrap_or(json!(-1)),
    }
}

/// Changes the header, whose length is then right again.
fn safetensors(bytes: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut value = serde_json::from_slice(header).ok()?;
    match dice.below(4) {
        0 => rename(&mut value, dice),
        _ => edit(&mut value, dice, 0),
    }
    let header = serde_json::to_vec(&value).ok()?;
    Some([&(header.len() as u64).to_le_bytes()[..], &header, data].concat())
}

/// Changes what stands as text in the metadata, which may be JSON itself.
fn rename(header: &mut Value, dice: &mut Dice) {
    let Some(metadata) = header.get_mut("__metadata__").and_then(Value::as_object_mut) else { return };
    let keys: Vec<String> = metadata.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let Some(Value::String(text)) = metadata.get_mut(&dice.of(&keys)) else { return };
    match serde_json::from_str::<Value>(text) {
        Ok(mut inner) => {
            edit(&mut inner, dice, 0);
            *text = inner.to_string();
        }
        Err(_) => *text = String::from_utf8_lossy(&words(text.as_bytes(), dice)).into_owned(),
    }
}

/// Changes a member, and packs all anew.
fn archive(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut members = unpacked(bytes)?;
    let i = dice.below(members.len());
    let from = unpacked(other)
        .and_then(|list| Some(list.get(dice.below(list.len()))?.1.clone()))
        .unwrap_or_default();
    let (name, content) = members.get_mut(i)?;
    match dice.below(8) {
        0 => name.push_str(dice.of(&WORDS)),
        1 => {
            let copy = (format!("{name}2"), content.clone());
            members.push(copy);
        }
        2 => drop(members.remove(i)),
        3 => *content = words(content, dice),
        // Of an array the header is short and before the numbers; of a pickle all is meant.
        4 if content.starts_with(b"\x93NUMPY") => {
            let head = content.len().min(128);
            let changed = words(&content[..head], dice);
            content.splice(..head, changed);
        }
        _ => *content = plain(content, &from, dice),
    }
    let method = if dice.below(3) == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in &members {
        writer.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).ok()?;
        writer.write_all(content).ok()?;
    }
    Some(writer.finish().ok()?.into_inner())
}

fn unpacked(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut members = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).ok()?;
        let mut content = Vec::new();
        entry.by_ref().take(1 << 20).read_to_end(&mut content).ok()?;
        members.push((entry.name().ok()?.to_string(), content));
    }
    Some(members).filter(|members| !members.is_empty())
}

/// Changes a line, and makes all checksums anew, as someone would who knows how.
fn journal(bytes: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines: Vec<String> =
        text.lines().map(|line| Some(line.split_once(' ')?.1.to_string())).collect::<Option<_>>()?;
    let i = dice.below(lines.len());
    match serde_json::from_str::<Value>(lines.get(i)?) {
        Ok(mut value) => {
            edit(&mut value, dice, 0);
            lines[i] = value.to_string();
        }
        Err(_) => lines.swap(0, i),
    }
    let (mut out, mut before) = (String::new(), String::new());
    for line in lines {
        before = files::hash(format!("{before} {line}").as_bytes())[..32].to_string();
        out += &format!("{before} {line}\n");
    }
    Some(out.into_bytes())
}
