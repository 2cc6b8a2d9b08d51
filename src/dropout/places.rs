//! Where parameters act: the places of a model (docs/definitions.md section 2).
//!
//! A parameter belongs to the place that it feeds. A dropout site is a place where the model drops out; which places are
//! sites is a fact of the architecture, and stands in its layout. Names in files: `embeddings`,
//! `layer.K.attention_probs` and so on, `head`.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// What a place does. The order is that of colours and markers in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The maps to queries, keys and values.
    AttentionProbs,
    /// The map behind attention, and the norm that closes it.
    AttentionOutput,
    /// The second map of the feed-forward pair, and the norm that closes it.
    FfnOutput,
    /// Tables and their norm.
    Embeddings,
    /// The first map of the feed-forward pair.
    Intermediate,
    /// What stands on top of the encoder; never ranked among sites or blocks.
    Head,
}

/// How a role is written.
struct Words {
    /// In files.
    key: &'static str,
    /// For keys of figures and prose.
    long: &'static str,
    /// After the number of a layer, or alone.
    short: &'static str,
    /// In two lines, over a column.
    heading: [&'static str; 2],
}

const fn words(role: Role) -> Words {
    let (key, long, short, heading) = match role {
        Role::AttentionProbs => {
            ("attention_probs", "attention probabilities", "attn. probs", ["attention", "probs"])
        }
        Role::AttentionOutput => {
            ("attention_output", "attention output", "attn. output", ["attention", "output"])
        }
        Role::FfnOutput => ("ffn_output", "feed-forward output", "ffn output", ["ffn", "output"]),
        Role::Embeddings => ("embeddings", "embeddings", "embeddings", ["embed-", "dings"]),
        Role::Intermediate => ("intermediate", "intermediate", "intermediate", ["inter-", "mediate"]),
        Role::Head => ("head", "head", "head", ["", "head"]),
    };
    Words { key, long, short, heading }
}

impl Role {
    /// In the order of colours and markers.
    pub const ALL: [Role; 6] = [
        Role::AttentionProbs,
        Role::AttentionOutput,
        Role::FfnOutput,
        Role::Embeddings,
        Role::Intermediate,
        Role::Head,
    ];

    /// The word for it in files.
    pub const fn key(self) -> &'static str {
        words(self).key
    }

    /// The words for it in figures and prose.
    pub const fn long(self) -> &'static str {
        words(self).long
    }

    /// As few words as can be.
    pub const fn short(self) -> &'static str {
        words(self).short
    }

    /// The head of a column, in two lines.
    pub const fn heading(self) -> [&'static str; 2] {
        words(self).heading
    }

    /// Where it comes in a layer.
    fn turn(self) -> usize {
        match self {
            Role::Embeddings | Role::AttentionProbs => 0,
            Role::AttentionOutput => 1,
            Role::Intermediate => 2,
            Role::FfnOutput => 3,
            Role::Head => 4,
        }
    }
}

/// A place in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub role: Role,
    /// None outside the layers.
    pub layer: Option<LayerName>,
}

/// A layer, as places name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerName {
    /// Numbered from 0.
    Number(usize),
    /// Every layer, where all have the same parameters.
    Shared,
}

impl LayerName {
    /// A place of this role.
    pub const fn place(self, role: Role) -> Place {
        Place { role, layer: Some(self) }
    }

    /// Where it stands among layers; what all share stands first.
    pub const fn number(self) -> usize {
        match self {
            LayerName::Number(k) => k,
            LayerName::Shared => 0,
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            LayerName::Number(k) => write!(f, "{k}"),
            LayerName::Shared => write!(f, "{SHARED}"),
        }
    }
}

impl FromStr for LayerName {
    type Err = ParseIntError;

    fn from_str(name: &str) -> Result<LayerName, ParseIntError> {
        if name == SHARED { Ok(LayerName::Shared) } else { name.parse().map(LayerName::Number) }
    }
}

/// The name of what all layers share.
const SHARED: &str = "shared";

impl Place {
    pub const EMBEDDINGS: Place = Place { role: Role::Embeddings, layer: None };
    pub const HEAD: Place = Place { role: Role::Head, layer: None };

    /// A place in a layer.
    pub const fn in_layer(layer: usize, role: Role) -> Place {
        LayerName::Number(layer).place(role)
    }

    /// The layer's number; see [`LayerName::number`].
    pub fn layer_number(self) -> Option<usize> {
        self.layer.map(LayerName::number)
    }

    /// The block that it lies in: `embeddings`, `layer.K`, `layer.shared` or `head`.
    pub fn block(self) -> String {
        self.layer.map_or_else(|| self.role.key().to_string(), |k| format!("layer.{k}"))
    }

    /// A key that sorts places in the order in which a model applies them.
    pub fn order(self) -> (usize, usize) {
        let block = match (self.layer_number(), self.role) {
            (Some(k), _) => k + 1,
            (None, Role::Head) => usize::MAX,
            (None, _) => 0,
        };
        (block, self.role.turn())
    }

    /// A key that sorts places by what they do first, layer by layer, the embeddings last: the rule `by-type` of
    /// docs/definitions.md section 3.
    pub fn order_by_type(self) -> (usize, usize) {
        match self.layer_number() {
            Some(k) => (self.role.turn(), k),
            None => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.layer {
            Some(k) => write!(f, "layer.{k}.{}", self.role.key()),
            None => write!(f, "{}", self.role.key()),
        }
    }
}

/// Reads the name of a place; the error is the name itself.
impl FromStr for Place {
    type Err = String;

    fn from_str(name: &str) -> Result<Place, String> {
        let (layer, key) = match name.strip_prefix("layer.").and_then(|rest| rest.split_once('.')) {
            Some((k, key)) => (Some(k.parse().map_err(|_| name.to_string())?), key),
            None => (None, name),
        };
        let role = Role::ALL.into_iter().find(|role| role.key() == key);
        let place = role.map(|role| Place { role, layer });
        // The embeddings and the head stand outside the layers, all else in one.
        let outside = |place: &Place| matches!(place.role, Role::Embeddings | Role::Head);
        place.filter(|place| outside(place) == layer.is_none()).ok_or_else(|| name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the names of docs/definitions.md section 2, and a round trip.
    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, place) in [
            ("embeddings", Place::EMBEDDINGS),
            ("layer.11.attention_probs", Place::in_layer(11, Role::AttentionProbs)),
            ("layer.0.attention_output", Place::in_layer(0, Role::AttentionOutput)),
            ("layer.2.intermediate", Place::in_layer(2, Role::Intermediate)),
            ("layer.2.ffn_output", Place::in_layer(2, Role::FfnOutput)),
            ("layer.shared.attention_probs", LayerName::Shared.place(Role::AttentionProbs)),
            ("head", Place::HEAD),
        ] {
            assert_eq!(name.parse(), Ok(place));
            assert_eq!(place.to_string(), name);
        }
        for name in ["", "layer.x.ffn_output", "layer.1", "layer.1.head", "ffn_output", "layer.0.embeddings"]
        {
            assert_eq!(name.parse::<Place>(), Err(name.to_string()));
        }
    }
}
