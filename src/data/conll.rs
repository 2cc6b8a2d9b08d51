//! Words and their classes in columns, as CoNLL's tasks have them: a word a line, an empty line after each sentence.
//!
//! The trap: CoNLL-2003 is written in IOB1, where `B-` stands only between two entities of one type that touch. Read as it is,
//! most entities have no first word. It is converted to IOB2, and that is said.

use std::collections::BTreeSet;
use std::path::Path;

use super::row::{Row, RowLabel, Rows};
use crate::error::{Error, Result};
use crate::files;

/// A sentence: words and tags.
type Sentence = Vec<(String, String)>;

/// The sentences of these files, in turn; `column` counts from 1, without it the last one has the tags. `known` names the
/// classes of a model that is there already, in its order.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::Field`] for a line without that column, files without a sentence, or a
/// tag that is none of the known ones.
pub fn read(paths: &[&Path], column: Option<usize>, known: Option<&[String]>) -> Result<(Rows, Vec<usize>)> {
    let mut parts: Vec<Vec<Sentence>> = Vec::new();
    for path in paths {
        parts.push(sentences(path, column)?);
    }
    let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
    let mut all: Vec<Sentence> = parts.into_iter().flatten().collect();
    let converted = to_iob2(&mut all);
    let tags: BTreeSet<&String> = all.iter().flatten().map(|(_, tag)| tag).collect();
    let classes: Vec<String> = match known.filter(|known| tags.iter().all(|tag| known.contains(tag))) {
        Some(known) => known.to_vec(),
        None => tags.into_iter().cloned().collect(),
    };
    let class = |tag: &String| classes.iter().position(|own| own == tag).unwrap_or_default();
    let row = |sentence: &Sentence| Row {
        text: sentence.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" "),
        pair: None,
        label: RowLabel::Words(sentence.iter().map(|(word, tag)| (word.clone(), class(tag))).collect()),
        group: None,
    };
    let scheme =
        if converted > 0 { format!("; {converted} tags of IOB1 made those of IOB2") } else { String::new() };
    let rows = Rows {
        rows: all.iter().map(row).collect(),
        read_as: format!(
            "words in columns, {} classes of words: {}{scheme}",
            classes.len(),
            classes.join(", ")
        ),
        classes,
        ..Rows::default()
    };
    let place = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let fix = "give a file with a word a line and an empty line after each sentence";
    Ok((rows.not_empty(place, "sentences", "at least one", fix)?, lengths))
}

fn sentences(path: &Path, column: Option<usize>) -> Result<Vec<Sentence>> {
    let (text, mut all, mut own) = (files::read_text(path)?, Vec::new(), Sentence::new());
    for (i, line) in text.lines().chain([""]).enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [] if !own.is_empty() => all.push(std::mem::take(&mut own)),
            [] | ["-DOCSTART-", ..] => {}
            _ => {
                let tag = fields.get(column.unwrap_or(fields.len()) - 1).filter(|_| fields.len() > 1);
                let tag = tag.ok_or_else(|| {
                    let expected =
                        column.map_or("a word and a tag".into(), |k| format!("at least {k} columns"));
                    let found = format!("{} in line {}", fields.len(), i + 1);
                    let fix = "name the column of the tags by --column, counted from 1";
                    Error::field(path.display(), "columns", expected, found, fix)
                })?;
                own.push((fields[0].to_string(), tag.to_string()));
            }
        }
    }
    Ok(all)
}

/// Makes the first word of each entity a `B-`; gives how many were none. Tags that mark last words (`E-`, `S-`) stay.
fn to_iob2(sentences: &mut [Sentence]) -> usize {
    if sentences.iter().flatten().any(|(_, tag)| tag.starts_with("E-") || tag.starts_with("S-")) {
        return 0;
    }
    let mut converted = 0;
    for sentence in sentences {
        let mut before = String::from("O");
        for (_, tag) in sentence {
            let kind = |tag: &str| tag.split_once('-').map(|(_, kind)| kind.to_string());
            let follows = kind(&before).is_some() && kind(&before) == kind(tag);
            let old = tag.clone();
            if tag.starts_with("I-") && !follows {
                tag.replace_range(..1, "B");
                converted += 1;
            }
            before = old;
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper, in both schemes; what is IOB2 already stays.
    #[test]
    fn iob1_becomes_iob2() {
        let convert = |tags: &str| {
            let mut one =
                vec![tags.split(' ').map(|tag| (String::new(), tag.to_string())).collect::<Sentence>()];
            let converted = to_iob2(&mut one);
            (one[0].iter().map(|(_, tag)| tag.as_str()).collect::<Vec<_>>().join(" "), converted)
        };
        assert_eq!(convert("I-PER I-PER O I-LOC"), ("B-PER I-PER O B-LOC".into(), 2));
        assert_eq!(convert("I-PER B-PER I-LOC"), ("B-PER B-PER B-LOC".into(), 2));
        assert_eq!(convert("B-PER I-PER O B-LOC"), ("B-PER I-PER O B-LOC".into(), 0));
        assert_eq!(convert("S-PER B-LOC E-LOC"), ("S-PER B-LOC E-LOC".into(), 0));
    }
}
