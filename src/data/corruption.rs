//! Span corruption (Raffel et al. 2020): spans of a text are left out for a decoder to write.
//!
//! Of n tokens, the end token not among them, `max(1, round(0.15 n))`, at most n - 1, are noise, in `max(1, round(noise / 3))`
//! spans, at most as many as there are other tokens; halves round up. The lengths of the spans, and of what stands between
//! them, are uniform compositions; the text begins with what stays. In place of span k stands `<extra_id_k>`; what is to be
//! written is each of these followed by its span. Both end with the end token (docs/definitions.md section 8).
//!
//! The trap: the marks are found by their names, for in some vocabularies `<extra_id_0>` comes last, and in others first.

use super::tokenizer::Tokenizer;
use super::{Example, Target};
use crate::error::Result;
use crate::rng::Stream;

/// `count / of`, halves up.
fn rounded(count: usize, of: usize) -> usize {
    (2 * count + of) / (2 * of)
}

/// How many of `n` tokens are left out, and in how many spans.
pub fn spans(n: usize) -> (usize, usize) {
    let noise = rounded(15 * n, 100).max(1).min(n.saturating_sub(1));
    (noise, rounded(noise, 3).max(1).min(n - noise))
}

/// A text of at least two tokens without `end`, corrupted: what is read, and what is to be written. `marks` are those of the
/// spans in turn; draws depend on the seed and `number` only.
fn corrupt(tokens: &[u32], marks: &[u32], end: u32, (seed, number): (u64, u64)) -> (Vec<u32>, Vec<u32>) {
    let (noise, count) = spans(tokens.len());
    let lengths = |name: &str, sum: usize| {
        composition(Stream::new(seed, &format!("corruption/{name}")).at(number), sum, count)
    };
    let (left_out, kept) = (lengths("spans", noise), lengths("rest", tokens.len() - noise));
    let (mut read, mut written, mut at) = (Vec::new(), Vec::new(), 0);
    for ((kept, left_out), mark) in kept.into_iter().zip(left_out).zip(marks) {
        read.extend(&tokens[at..at + kept]);
        read.push(*mark);
        written.push(*mark);
        written.extend(&tokens[at + kept..at + kept + left_out]);
        at += kept + left_out;
    }
    read.push(end);
    written.push(end);
    (read, written)
}

/// `sum` as so many positive numbers in turn, each way as likely as any other: the places between ones at which it is cut.
fn composition(stream: Stream, sum: usize, parts: usize) -> Vec<usize> {
    let cuts = stream.sample(sum - 1, parts - 1).into_iter().map(|cut| cut + 1);
    let ends: Vec<usize> = cuts.chain([sum]).collect();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| end - start).collect()
}

/// Texts of tokens, each with its group, corrupted; and how many were left out, having fewer than two tokens.
///
/// # Errors
///
/// [`Error::Field`](crate::Error::Field) for a tokenizer without an end token, or with fewer marks than a text has spans.
pub fn examples(
    texts: Vec<(Vec<u32>, Option<u32>)>,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<(Vec<Example>, usize)> {
    let end = tokenizer.end()?;
    let long = |(text, _): &&(Vec<u32>, Option<u32>)| text.len() > 1;
    let most = texts.iter().filter(long).map(|(text, _)| spans(text.len()).1).max().unwrap_or(0);
    let marks = tokenizer.marks(most)?;
    let (all, mut kept) = (texts.len(), Vec::new());
    for (number, (text, group)) in (0..).zip(texts).filter(|(_, text)| long(&text)) {
        let (ids, written) = corrupt(&text, &marks, end, (seed, number));
        let target = Target::written(written);
        kept.push(Example { types: vec![0; ids.len()], ids, target, group, window: None });
    }
    let short = all - kept.len();
    Ok((kept, short))
}
