//! Sites and blocks in figures: their words, colours and markers, and the part of the key that explains them.
//!
//! The kinds of site have the colours and markers that [`crate::figures::schedule`] gives them, in every figure; blocks are coloured
//! by their depth. Words are short: `layer.3.attention_probs` is "3 attn. probs". Names of other models are shown as
//! they are, cut at their beginning where they have no room.
//!
//! Used by [`crate::figures::parts::bump`], [`crate::figures::parts::dots`] and [`crate::figures::audit_audit`].

use std::collections::HashSet;
use std::path::Path;

use crate::draw::canvas::{Anchor, Canvas, DIGIT_HEIGHT, Point, text_width};
use crate::draw::cells;
use crate::draw::curves;
use crate::draw::legend::Entry;
use crate::draw::text::{self, NUMBER};
use crate::dropout::{LayerName, Place, Role};
use crate::error::{Error, Result};
use crate::fisher::layers::Granularity;
use crate::tables::Table;

/// Kinds of site in the order of colours and markers.
pub(crate) const KINDS: [Role; 7] = [
    Role::AttentionProbs,
    Role::AttentionOutput,
    Role::FfnOutput,
    Role::Embeddings,
    Role::Intermediate,
    Role::CrossProbs,
    Role::CrossOutput,
];
/// Part of the colour map that layers take up: its bright end is faint on white.
const LAYERS: f64 = 0.86;
/// Most room for a name, pt.
const LONGEST: f64 = 72.0;

/// What figures by layer show: tensors are too many.
pub(crate) const SHOWN: [Granularity; 2] = [Granularity::Site, Granularity::Block];

/// Colour and marker of an item.
#[derive(Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) colour: String,
    shape: usize,
    open: bool,
}

/// The place of a site's kind in [`KINDS`], which is that of its colour and marker; `None` for what is no dropout site.
pub(crate) fn kind(name: &str) -> Option<usize> {
    let place: Place = name.parse().ok()?;
    KINDS.iter().position(|role| *role == place.role)
}

/// A layer as a whole, one of several.
fn layer(name: &str) -> Option<LayerName> {
    name.parse::<LayerName>().ok().filter(|layer| *layer != LayerName::Shared)
}

/// Of the last layer among some blocks.
pub(crate) fn deepest<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    names.into_iter().filter_map(layer).map(LayerName::number).max().unwrap_or(0)
}

/// Of a site by its kind, of a block by its depth, where `deepest` is the last layer.
pub(crate) fn look(name: &str, deepest: usize) -> Look {
    match (kind(name), layer(name)) {
        (Some(kind), _) => Look {
            colour: curves::colour(kind).to_owned(),
            shape: if kind > 4 { kind % 4 } else { kind },
            open: kind > 4,
        },
        (None, Some(layer)) => {
            // A decoder's blocks are squares.
            let shape = usize::from(matches!(layer, LayerName::Decoder(_)));
            Look { shape, ..of_layer(layer.number() as f64 / deepest.max(1) as f64) }
        }
        (None, None) => Look { colour: "#000000".to_owned(), shape: 2, open: true },
    }
}

fn of_layer(depth: f64) -> Look {
    Look { colour: cells::colour(LAYERS * depth), shape: 0, open: true }
}

impl Look {
    pub(crate) fn marker(&self, canvas: &Canvas, at: Point) {
        curves::marker_of(canvas, at, self.shape, &self.colour, self.open);
    }
}

/// The name in few words.
pub(crate) fn label(name: &str) -> String {
    match name.parse::<Place>() {
        Ok(Place { role, layer: Some(k) }) if KINDS.contains(&role) => {
            format!("{} {}", k.short(), role.short())
        }
        Ok(Place { role, layer: None }) if KINDS.contains(&role) => role.short().to_owned(),
        _ => match layer(name) {
            Some(LayerName::Number(k)) => format!("layer {k}"),
            other => other.map_or(name.to_owned(), LayerName::short),
        },
    }
}

/// Room for the longest of some names, pt.
pub(crate) fn widest<'a>(names: impl IntoIterator<Item = &'a str>) -> f64 {
    names.into_iter().map(|name| text_width(&label(name), NUMBER)).fold(0.0, f64::max).min(LONGEST)
}

/// Writes a name beside `at`, the middle of its row.
pub(crate) fn write(canvas: &Canvas, name: &str, at: Point, anchor: Anchor) {
    let label = label(name);
    let em = text::fitting(&label, NUMBER, LONGEST).max(6.0);
    let (mut words, mut kept) = (label.clone(), label.as_str());
    // 0.1: widths are rounded. Names of one model differ at their ends: what is cut is their beginning.
    while text_width(&words, em) > LONGEST + 0.1 && !kept.is_empty() {
        kept = kept.get(kept.chars().next().map_or(0, char::len_utf8)..).unwrap_or("");
        words = format!("…{kept}");
    }
    canvas.text(&words, (at.0, at.1 + em * DIGIT_HEIGHT / 2.0), em, anchor, 0.0, "#000");
}

/// The kinds of site among some names, with their signs.
pub(crate) fn kinds(names: &[&str]) -> Vec<Entry<'static>> {
    let has = |k: usize| names.iter().any(|name| kind(name) == Some(k));
    let own = KINDS.into_iter().enumerate().filter(|(k, _)| has(*k));
    own.map(|(k, role)| Entry::marker(k, role.long())).collect()
}

/// The kinds among some names, with their signs, and what stands before their words.
pub(crate) fn key<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Entry<'static>> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut entries = signs(&names);
    if names.iter().any(|name| kind(name).is_some_and(|k| k < 3)) {
        entries.push(Entry::note("the number before a site is its layer"));
    }
    entries
}

/// The kinds and layers among some names, with their signs: for figures that write no names.
pub(crate) fn signs(names: &[&str]) -> Vec<Entry<'static>> {
    let mut entries = kinds(names);
    if names.iter().any(|name| layer(name).is_some()) {
        let sign = |canvas: &Canvas, (x, y): Point| {
            for depth in [0.0, 0.5, 1.0] {
                of_layer(depth).marker(canvas, (x + 10.0 * (depth - 0.5), y));
            }
        };
        entries.push(Entry::new(sign, "layers from first to last"));
    }
    entries
}

/// The rows of sites and blocks of the table at `path`, and how many rows of tensors there are beside them.
///
/// # Errors
///
/// [`Error::Field`] for an item named twice, or a table without sites and blocks.
pub(crate) fn shown<T: Table>(
    path: &Path,
    rows: Vec<T>,
    key: impl Fn(&T) -> (Granularity, &str),
) -> Result<(Vec<T>, usize)> {
    let all = rows.len();
    let rows: Vec<T> = rows.into_iter().filter(|row| SHOWN.contains(&key(row).0)).collect();
    if rows.is_empty() {
        return Err(Error::field(
            path.display(),
            "granularity",
            "site or block in some row",
            "neither",
            T::FIX,
        ));
    }
    let mut seen = HashSet::new();
    if let Some((_, name)) = rows.iter().map(&key).find(|key| !seen.insert(*key)) {
        let twice = format!("{name} twice");
        return Err(Error::field(path.display(), "name", "named once", twice, T::FIX));
    }
    let tensors = all - rows.len();
    Ok((rows, tensors))
}

/// `1 site`, `13 sites`.
pub(crate) fn counted(n: usize, granularity: Granularity) -> String {
    format!("{n} {}{}", granularity.name(), if n == 1 { "" } else { "s" })
}

/// `13 sites and 5 blocks`, by the granularity of each item.
pub(crate) fn counts(items: impl IntoIterator<Item = Granularity>) -> String {
    let mut counts = SHOWN.map(|granularity| (0, granularity));
    for item in items {
        counts.iter_mut().filter(|(_, granularity)| *granularity == item).for_each(|(n, _)| *n += 1);
    }
    let words = counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, granularity)| counted(n, granularity));
    words.collect::<Vec<_>>().join(" and ")
}

/// A sentence for captions about the rows of tensors, if there are any.
pub(crate) fn left_out(tensors: usize) -> String {
    match tensors {
        0 => String::new(),
        n => format!(" The table's tensors ({n}) are not drawn."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_differ() {
        for (name, words, shape, open) in [
            ("embeddings", "embeddings", 3, false),
            ("layer.11.attention_probs", "11 attn. probs", 0, false),
            ("layer.0.attention_output", "0 attn. output", 1, false),
            ("layer.3.ffn_output", "3 ffn output", 2, false),
            ("layer.3", "layer 3", 0, true),
            ("encoder.layer.3.intermediate", "enc. 3 intermediate", 4, false),
            ("decoder.layer.0.cross_output", "dec. 0 cross output", 2, true),
            ("encoder.layer.3", "enc. 3", 0, true),
            ("decoder.layer.3", "dec. 3", 1, true),
            ("layer.x", "layer.x", 2, true),
            ("encoder/block_0", "encoder/block_0", 2, true),
        ] {
            let look = look(name, 3);
            assert_eq!((label(name).as_str(), look.shape, look.open), (words, shape, open), "{name}");
        }
        assert_eq!(deepest(["embeddings", "layer.2", "layer.11.ffn_output"]), 2);
        // Viridis begins with #440154.
        assert_eq!(look("layer.0", 0).colour, "#440154");
        assert_ne!(look("layer.0", 3), look("layer.3", 3));
    }
}
