//! Where parameters act: the places of a model (docs/definitions.md section 2).
//!
//! A parameter belongs to the place that it feeds. A dropout site is a place where the model drops out; which places are
//! sites is a fact of the architecture, and stands in its layout. Names in files: `embeddings`,
//! `layer.K.attention_probs` and so on, `head`.

use std::fmt;
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
    /// The maps to a decoder's queries, and to keys and values of what the encoder gave.
    CrossProbs,
    /// The map behind that attention.
    CrossOutput,
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
        Role::CrossProbs => {
            ("cross_probs", "cross-attention probabilities", "cross probs", ["cross", "probs"])
        }
        Role::CrossOutput => ("cross_output", "cross-attention output", "cross output", ["cross", "output"]),
    };
    Words { key, long, short, heading }
}

impl Role {
    /// In the order of colours and markers.
    pub const ALL: [Role; 8] = [
        Role::AttentionProbs,
        Role::AttentionOutput,
        Role::FfnOutput,
        Role::Embeddings,
        Role::Intermediate,
        Role::Head,
        Role::CrossProbs,
        Role::CrossOutput,
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
            Role::CrossProbs => 2,
            Role::CrossOutput => 3,
            Role::Intermediate => 4,
            Role::FfnOutput => 5,
            Role::Head => 6,
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
    /// Of an encoder that a decoder follows.
    Encoder(usize),
    /// Of that decoder.
    Decoder(usize),
}

/// More layers than a stack has: a decoder's stand behind those of any encoder.
const STACK: usize = 1 << 20;

impl LayerName {
    /// A place of this role.
    pub const fn place(self, role: Role) -> Place {
        Place { role, layer: Some(self) }
    }

    /// Where it stands in its stack; what all share stands first.
    pub const fn number(self) -> usize {
        match self {
            LayerName::Number(k) | LayerName::Encoder(k) | LayerName::Decoder(k) => k,
            LayerName::Shared => 0,
        }
    }

    /// In a figure, beside its role or at its row.
    pub fn short(self) -> String {
        match self {
            LayerName::Number(k) => k.to_string(),
            LayerName::Shared => "shared".to_string(),
            LayerName::Encoder(k) => format!("enc. {k}"),
            LayerName::Decoder(k) => format!("dec. {k}"),
        }
    }

    /// A key that sorts layers in the order in which a model applies them.
    const fn order(self) -> usize {
        match self {
            LayerName::Decoder(k) => STACK + k,
            _ => self.number(),
        }
    }
}

/// As blocks are called.
impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            LayerName::Number(k) => write!(f, "layer.{k}"),
            LayerName::Shared => write!(f, "layer.shared"),
            LayerName::Encoder(k) => write!(f, "encoder.layer.{k}"),
            LayerName::Decoder(k) => write!(f, "decoder.layer.{k}"),
        }
    }
}

/// Reads the name of a block; the error is the name itself.
impl FromStr for LayerName {
    type Err = String;

    fn from_str(name: &str) -> Result<LayerName, String> {
        let (stack, k) = name.rsplit_once('.').ok_or_else(|| name.to_string())?;
        let number = || k.parse().map_err(|_| name.to_string());
        match stack {
            "layer" if k == "shared" => Ok(LayerName::Shared),
            "layer" => number().map(LayerName::Number),
            "encoder.layer" => number().map(LayerName::Encoder),
            "decoder.layer" => number().map(LayerName::Decoder),
            _ => Err(name.to_string()),
        }
    }
}

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

    /// The block that it lies in: `embeddings`, `head`, or as layers are called.
    pub fn block(self) -> String {
        self.layer.map_or_else(|| self.role.key().to_string(), |layer| layer.to_string())
    }

    /// A key that sorts places in the order in which a model applies them.
    pub fn order(self) -> (usize, usize) {
        let block = match (self.layer, self.role) {
            (Some(layer), _) => layer.order() + 1,
            (None, Role::Head) => usize::MAX,
            (None, _) => 0,
        };
        (block, self.role.turn())
    }

    /// A key that sorts places by what they do first, layer by layer, the embeddings last: the rule `by-type` of
    /// docs/definitions.md section 3.
    pub fn order_by_type(self) -> (usize, usize) {
        match self.layer {
            Some(layer) => (self.role.turn(), layer.order()),
            None => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "{layer}.{}", self.role.key()),
            None => write!(f, "{}", self.role.key()),
        }
    }
}

/// Reads the name of a place; the error is the name itself.
impl FromStr for Place {
    type Err = String;

    fn from_str(name: &str) -> Result<Place, String> {
        let (layer, key) = match name.rsplit_once('.') {
            Some((layer, key)) => (Some(layer.parse().map_err(|_| name.to_string())?), key),
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
            ("encoder.layer.0.intermediate", LayerName::Encoder(0).place(Role::Intermediate)),
            ("decoder.layer.7.cross_probs", LayerName::Decoder(7).place(Role::CrossProbs)),
            ("decoder.layer.7.cross_output", LayerName::Decoder(7).place(Role::CrossOutput)),
            ("head", Place::HEAD),
        ] {
            assert_eq!(name.parse(), Ok(place));
            assert_eq!(place.to_string(), name);
        }
        for name in [
            "",
            "layer.x.ffn_output",
            "layer.1",
            "layer.1.head",
            "ffn_output",
            "layer.0.embeddings",
            "encoder.0.ffn_output",
            ".head",
        ] {
            assert_eq!(name.parse::<Place>(), Err(name.to_string()));
        }
    }
}
