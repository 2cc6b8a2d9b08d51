//! The settings over which the forward pass is written: what a configuration says beside sizes.

use std::ops::Range;
use std::sync::Arc;

use candle_nn::Activation;

/// The heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Of queries.
    pub queries: usize,
    /// Of keys and values; each serves as many of the queries'.
    pub keys: usize,
    /// Values to a head.
    pub depth: usize,
}

impl Heads {
    /// Heads that have keys of their own, which together are as wide as the model.
    pub fn of(number: usize, width: usize) -> Heads {
        Heads { queries: number, keys: number, depth: width / number.max(1) }
    }

    /// Heads of queries that share those of a key.
    pub fn group(self) -> usize {
        self.queries / self.keys
    }
}

/// Where the norms of a layer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Behind each sum: `x = norm(x + f(x))`.
    Post,
    /// In front of each function: `x = x + f(norm(x))`.
    Pre,
    /// Attention and feed-forward see the same `x`, each behind a norm of its own.
    Parallel,
}

/// What a norm does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Takes off the mean, and divides by the standard deviation.
    Layer,
    /// Divides by the root of the mean square.
    Rms,
}

/// How a model knows where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// A table of this many rows, the first token's first.
    Table { rows: usize },
    /// The same, where the first token's row stands behind that of the padding token, whose own is that one.
    Behind { padding: u32, rows: usize },
    /// Queries and keys are turned by their position; no token stands behind this one.
    Rotary { longest: usize },
    /// Scores depend on how far the key stands from the query ([`Distances`]); no token stands behind this one.
    Relative { longest: usize },
}

impl Positions {
    /// Most tokens that an example may have.
    pub fn longest(self) -> usize {
        match self {
            Positions::Table { rows } => rows,
            Positions::Behind { padding, rows } => rows.saturating_sub(padding as usize + 1),
            Positions::Rotary { longest } | Positions::Relative { longest } => longest,
        }
    }

    /// Rows of the table that the tokens of an example use, in turn; those of no table are the positions.
    pub fn rows(self, ids: &[u32]) -> Vec<u32> {
        let Positions::Behind { padding, .. } = self else { return (0..ids.len() as u32).collect() };
        let mut row = padding;
        let mut next = |id: &u32| {
            row += u32::from(*id != padding);
            if *id == padding { padding } else { row }
        };
        ids.iter().map(&mut next).collect()
    }
}

/// What a layer's attention sees.
#[derive(Clone, Debug, Default)]
pub struct LayerSettings {
    pub mask: Mask,
    pub rotary: Option<Rotary>,
    pub distances: Option<Distances>,
    /// Whether products of queries and keys stay as they are, and are not divided by the root of their length.
    pub unscaled: bool,
}

/// How an attention makes probabilities of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores {
    pub heads: Heads,
    pub mask: Mask,
    /// Whether products of queries and keys are divided by the root of their length.
    pub scaled: bool,
    /// By which distance belongs to which number that is added.
    pub distances: Option<Distances>,
}

impl Scores {
    /// Scaled, and nothing added.
    pub fn of(heads: Heads, mask: Mask) -> Scores {
        Scores { heads, mask, scaled: true, distances: None }
    }

    /// What a product of a query and a key is multiplied by.
    pub fn scale(&self) -> f32 {
        if self.scaled { 1.0 / (self.heads.depth as f32).sqrt() } else { 1.0 }
    }
}

/// Buckets of distances from query to key, each with a number for every head that is added to the scores (Raffel et al.
/// 2020). The first half of the buckets are single distances, the others grow with the logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distances {
    pub buckets: usize,
    /// From here on all are one.
    pub farthest: usize,
    /// Whether keys behind the query have a half of the buckets of their own; else they are as near as can be.
    pub both: bool,
}

impl Distances {
    /// The bucket of a key at position `key`.
    pub fn bucket(self, query: usize, key: usize) -> usize {
        let (own, first) = match self.both {
            true => (self.buckets / 2, if key > query { self.buckets / 2 } else { 0 }),
            false => (self.buckets, 0),
        };
        let distance = if self.both { key.abs_diff(query) } else { query.saturating_sub(key) };
        let exact = own / 2;
        first + if distance < exact { distance } else { self.far(distance, exact, own).min(own - 1) }
    }

    /// In float32, as PyTorch computes it: at a bound between two buckets the rounding decides.
    fn far(self, distance: usize, exact: usize, own: usize) -> usize {
        let log = |x: f64| libm::log(x) as f32;
        let exact = exact as f64;
        let share = log(f64::from((distance as f64 / exact) as f32)) / log(self.farthest as f64 / exact);
        exact as usize + (share * (own as f32 - exact as f32)) as usize
    }
}

/// The second stack of layers of an encoder-decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// Its first layer; those before it are the encoder's.
    pub first: usize,
    /// The token that stands in front of what it is to write.
    pub start: u32,
}

/// The keys that a query sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    #[default]
    All,
    /// Its own and those before it.
    Causal,
    /// Those at most this far away.
    Window(usize),
}

impl Mask {
    /// The keys of `keys` that a query at this position sees.
    pub fn visible(self, position: usize, keys: usize) -> Range<usize> {
        match self {
            Mask::All => 0..keys,
            Mask::Causal => 0..(position + 1).min(keys),
            Mask::Window(far) => position.saturating_sub(far)..(position + far + 1).min(keys),
        }
    }
}

/// Rotary positions (Su et al. 2021): pairs of a head's first values are turned by position times frequency.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Radians for each position, by pair. Value i is paired with value i + pairs. Layers share them.
    pub frequencies: Arc<[f64]>,
}

impl Rotary {
    /// `base^(-2i / width)`, for the first `width` values of each head.
    pub fn new(base: f64, width: usize) -> Rotary {
        let frequency = |i: usize| base.powf(-2.0 * i as f64 / width as f64);
        Rotary { frequencies: (0..width / 2).map(frequency).collect() }
    }
}

/// A function of single values in a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    Tanh,
    Of(Activation),
}
