//! A WordPiece vocabulary from text: pieces of words merged pair by pair, the most frequent pair first.
//!
//! Words are what BERT's normalizer (lower-casing, accents stripped) and pre-tokenizer make of the text. A word begins
//! as its characters, all but the first with `##` in front; the pair of neighbouring pieces that occurs most often in
//! the text becomes one piece, until the vocabulary is full or no pair occurs twice (as the `tokenizers` crate trains
//! WordPiece). Ties go to the pair whose pieces came first.
//!
//! The trap: that crate's own trainer walks hash maps in an order drawn anew in each process, so ids and ties differ from
//! run to run. Here everything is in a fixed order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use rayon::prelude::*;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::row::Row;
use super::tokenizer::BERT;
use crate::error::{Error, Result};

/// Most characters that become pieces; words with a rarer one teach nothing, and are `[UNK]` later.
const ALPHABET: usize = 1000;

/// Fewest occurrences of a pair that is merged.
const MIN_COUNT: u64 = 2;

type Pair = (u32, u32);

/// A vocabulary of at most `size` pieces: the special tokens, the characters, then the merges in order.
///
/// # Errors
///
/// [`Error::Field`] if the special tokens and the characters are more than `size`.
pub fn train(rows: &[Row], size: usize) -> Result<Vec<String>> {
    let words = words(rows)?;
    let mut pieces = Pieces::new(&words);
    let least = pieces.vocabulary.len();
    if size < least {
        let fix = "ask for more, several thousand for a language";
        let expected = format!("at least {least}: the special tokens and the text's characters");
        return Err(Error::field("--vocab-size", "pieces", expected, size, fix));
    }
    while pieces.vocabulary.len() < size && pieces.merge_next() {}
    Ok(pieces.vocabulary)
}

/// How often each word occurs.
pub fn words(rows: &[Row]) -> Result<BTreeMap<String, u64>> {
    let normalizer = BertNormalizer::new(true, true, None, true);
    let refused =
        |e| Error::said("--text", format!("BERT's tokenizer cannot read a line: {e}"), "remove the line");
    let count = |rows: &[Row]| -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for row in rows {
            let mut text = NormalizedString::from(row.text.as_str());
            normalizer.normalize(&mut text).map_err(refused)?;
            let mut split = PreTokenizedString::from(text);
            BertPreTokenizer.pre_tokenize(&mut split).map_err(refused)?;
            for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.to_string(), 1)),
                }
            }
        }
        Ok(counts)
    };
    let parts: Vec<_> = rows.par_chunks(1024).map(count).collect::<Result<_>>()?;
    let mut counts = BTreeMap::new();
    parts.into_iter().flatten().for_each(|(word, n)| *counts.entry(word).or_default() += n);
    Ok(counts)
}

/// Words cut into pieces so far.
struct Pieces {
    vocabulary: Vec<String>,
    ids: HashMap<String, u32>,
    /// Pieces and count of each word.
    words: Vec<(Vec<u32>, u64)>,
    /// How often each pair occurs, and the words that it may occur in.
    pairs: HashMap<Pair, (u64, BTreeSet<u32>)>,
    /// Pairs by count, then by age; counts may be out of date, but never too low.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Pieces {
    fn new(counts: &BTreeMap<String, u64>) -> Pieces {
        let mut characters: BTreeMap<char, u64> = BTreeMap::new();
        for (word, n) in counts {
            word.chars().for_each(|c| *characters.entry(c).or_default() += n);
        }
        let mut by_count: Vec<(char, u64)> = characters.into_iter().collect();
        by_count.sort_by_key(|(c, n)| (Reverse(*n), *c));
        by_count.truncate(ALPHABET);
        let known: BTreeSet<char> = by_count.into_iter().map(|(c, _)| c).collect();
        let piece = |(i, c): (usize, char)| if i == 0 { c.to_string() } else { format!("##{c}") };
        let cut = |(word, n): (&String, &u64)| -> Option<(Vec<String>, u64)> {
            let all = word.chars().all(|c| known.contains(&c));
            all.then(|| (word.chars().enumerate().map(piece).collect(), *n))
        };
        let cut: Vec<(Vec<String>, u64)> = counts.iter().filter_map(cut).collect();
        let alphabet: BTreeSet<&String> = cut.iter().flat_map(|(word, _)| word).collect();
        let special = BERT.iter().map(|token| token.to_string());
        let vocabulary: Vec<String> = special.chain(alphabet.into_iter().cloned()).collect();
        let ids: HashMap<String, u32> = vocabulary.iter().cloned().zip(0..).collect();
        let words =
            cut.into_iter().map(|(word, n)| (word.iter().map(|piece| ids[piece]).collect(), n)).collect();
        let (pairs, queue) = (HashMap::new(), BinaryHeap::new());
        let mut pieces = Pieces { vocabulary, ids, words, pairs, queue };
        for word in 0..pieces.words.len() {
            pieces.add_pairs(word as u32);
        }
        pieces.queue = pieces.pairs.iter().map(|(pair, (n, _))| (*n, Reverse(*pair))).collect();
        pieces
    }

    /// Merges the most frequent pair; false if none occurs often enough.
    fn merge_next(&mut self) -> bool {
        while let Some((stated, Reverse(pair))) = self.queue.pop() {
            let count = self.pairs.get(&pair).map_or(0, |(n, _)| *n);
            if count < stated {
                self.queue.push((count, Reverse(pair)));
                continue;
            }
            if count < MIN_COUNT {
                return false;
            }
            self.merge(pair);
            return true;
        }
        false
    }

    fn merge(&mut self, pair: Pair) {
        let [left, right] = [pair.0, pair.1].map(|id| self.vocabulary[id as usize].as_str());
        let piece = format!("{left}{}", right.strip_prefix("##").unwrap_or(right));
        let id = *self.ids.entry(piece.clone()).or_insert_with(|| {
            self.vocabulary.push(piece);
            self.vocabulary.len() as u32 - 1
        });
        let Some((_, places)) = self.pairs.get(&pair) else { return };
        let mut touched = BTreeSet::new();
        for word in places.clone() {
            self.remove_pairs(word);
            let own = &mut self.words[word as usize].0;
            let (mut merged, mut at) = (Vec::with_capacity(own.len()), 0);
            while at < own.len() {
                let here = own.get(at + 1).is_some_and(|next| (own[at], *next) == pair);
                merged.push(if here { id } else { own[at] });
                at += 1 + usize::from(here);
            }
            *own = merged;
            self.add_pairs(word);
            touched.extend(own_pairs(&self.words[word as usize].0));
        }
        for pair in touched {
            let count = self.pairs.get(&pair).map_or(0, |(n, _)| *n);
            self.queue.push((count, Reverse(pair)));
        }
    }

    fn add_pairs(&mut self, word: u32) {
        let (pieces, n) = &self.words[word as usize];
        for pair in own_pairs(pieces) {
            let (count, places) = self.pairs.entry(pair).or_default();
            *count += n;
            places.insert(word);
        }
    }

    fn remove_pairs(&mut self, word: u32) {
        let (pieces, n) = &self.words[word as usize];
        for pair in own_pairs(pieces) {
            if let Some((count, _)) = self.pairs.get_mut(&pair) {
                *count -= n;
            }
        }
    }
}

fn own_pairs(pieces: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    pieces.windows(2).map(|w| (w[0], w[1]))
}
