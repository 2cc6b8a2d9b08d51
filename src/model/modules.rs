//! The modules of a network: what an architecture says it is made of, and the layout that follows.

use std::collections::BTreeSet;
use std::ops::Range;

use super::layout::{Kind, Layout, Parameter, Reach};
use super::settings::{Curve, LayerSettings, Order};
use crate::dropout::{LayerName, Place, Role};

/// What stands on top of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Scores of the vocabulary's tokens, at masked ones.
    MaskedLm,
    /// Scores of the token that comes next.
    CausalLm,
    /// Scores of the token that a decoder writes next.
    Seq2SeqLm,
    /// This many classes, from one token.
    Classes(usize),
    /// A single output, from one token.
    Regression,
    /// This many classes, of each word.
    TokenClasses(usize),
    /// Where a span begins and ends: two scores of each token.
    Span,
}

impl Head {
    /// Whether it scores the vocabulary's tokens.
    pub fn decodes(self) -> bool {
        matches!(self, Head::MaskedLm | Head::CausalLm | Head::Seq2SeqLm)
    }

    /// Whether it scores tokens, and not a whole example.
    pub fn is_for_tokens(self) -> bool {
        matches!(self, Head::TokenClasses(_) | Head::Span)
    }

    /// Numbers that a head which does not score the vocabulary gives.
    pub fn outputs(self) -> Option<usize> {
        match self {
            Head::MaskedLm | Head::CausalLm | Head::Seq2SeqLm => None,
            Head::Classes(n) | Head::TokenClasses(n) => Some(n),
            Head::Regression => Some(1),
            Head::Span => Some(2),
        }
    }
}

/// The modules of a network, by what they do.
#[derive(Clone, Debug)]
pub struct Modules {
    pub embeddings: Embeddings,
    /// Those of an encoder, then those of its decoder, if it has one.
    pub layers: Vec<Layer>,
    /// Closes an encoder that a decoder follows.
    pub encoder_norm: Option<Module>,
    /// Closes the layers, where their norms stand in front of what they feed.
    pub last_norm: Option<Module>,
    pub head: HeadModules,
    /// Places where the model drops out, in the order in which it applies them.
    pub sites: Vec<Place>,
}

/// Tables, whose rows are added, and what stands behind them.
#[derive(Clone, Debug)]
pub struct Embeddings {
    pub tokens: Module,
    pub positions: Option<Module>,
    pub segments: Option<Module>,
    pub norm: Option<Module>,
    /// From the tables' width to that of the layers.
    pub projection: Option<Module>,
}

/// The modules of a layer, in the order in which it applies them.
#[derive(Clone, Debug)]
pub struct Layer {
    /// In front of attention or behind it, as the configuration's order says.
    pub attention_norm: Option<Module>,
    pub attention: Attention,
    /// A decoder's, to what the encoder gave.
    pub cross: Option<Cross>,
    /// In front of the feed-forward maps or behind them.
    pub feed_forward_norm: Module,
    pub feed_forward: FeedForward,
    /// As its places name it.
    pub name: LayerName,
}

/// The modules of an attention.
#[derive(Clone, Debug)]
pub struct Attention {
    pub projections: Projections,
    pub attended: Module,
    /// A number for each bucket of distances and head, where scores depend on distances.
    pub distances: Option<Module>,
    /// What it sees.
    pub settings: LayerSettings,
}

/// A second attention, behind the first, with its norm in front.
#[derive(Clone, Debug)]
pub struct Cross {
    pub norm: Module,
    pub attention: Attention,
}

/// The maps to queries, keys and values.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // a model has few layers
pub enum Projections {
    Apart {
        query: Module,
        key: Module,
        value: Module,
    },
    /// One map, whose outputs are all queries, then all keys, then all values.
    Stacked(Module),
    /// One map, whose outputs are query, key and value of one head after the other.
    Interleaved(Module),
}

/// The maps of a layer behind its attention.
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// `outer(σ(inner(x)))`
    Plain { inner: Module, outer: Module },
    /// `outer(σ(gate(x)) ⊙ up(x))`
    Gated { gate: Module, up: Module, outer: Module },
    /// `outer(σ(a) ⊙ b)`, a and b the halves of `inner(x)`
    Halves { inner: Module, outer: Module },
}

/// What stands on top of the layers.
#[derive(Clone, Debug)]
pub enum HeadModules {
    /// A map to the vocabulary, whose weight is the token table unless it has its own.
    Decoder { transform: Option<Transform>, weight: Option<Module>, bias: Option<Module> },
    /// A map of some tokens to the outputs.
    Pooled {
        transform: Option<Transform>,
        output: Module,
        reads: Reads,
        /// Whether dropout acts in front of the transform, too.
        twice: bool,
    },
}

/// The tokens that a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Those of the targets; the first one where the answer is for the whole example.
    Targets,
    /// The last one that is not this padding, which answers for the whole example.
    Last { padding: Option<u32> },
    /// Every token.
    All,
}

/// `norm(σ(dense(x)))`
#[derive(Clone, Debug)]
pub struct Transform {
    pub dense: Module,
    pub curve: Curve,
    pub norm: Option<Module>,
}

/// A module and the place of its parameters.
#[derive(Clone, Debug)]
pub struct Module {
    pub weight: String,
    pub bias: Option<String>,
    /// Whether the weight is stored `[in, out]`.
    pub transposed: bool,
    /// Entries of the bias whose gradient is zero by construction.
    idle: Vec<Range<usize>>,
    shape: Shape,
    place: Place,
    /// Standard deviation of a fresh weight, in units of the model's own.
    spread: f64,
}

#[derive(Clone, Debug)]
enum Shape {
    /// `[out, in]` and `[out]`
    Linear { outputs: usize, inputs: usize },
    /// `[width]` twice
    Norm(usize),
    /// `[rows, width]`
    Table { rows: usize, width: usize, kind: Kind, reach: Reach },
    /// A bias alone.
    Bias(usize),
}

impl Module {
    fn new(path: &str, place: Place, shape: Shape) -> Module {
        let bias = (!matches!(shape, Shape::Table { .. })).then(|| format!("{path}.bias"));
        Module {
            weight: format!("{path}.weight"),
            bias,
            transposed: false,
            idle: Vec::new(),
            shape,
            place,
            spread: 1.0,
        }
    }

    /// `y = x Wᵀ + b` from `inputs` to `outputs` values.
    pub fn linear(path: &str, place: Place, outputs: usize, inputs: usize) -> Module {
        Module::new(path, place, Shape::Linear { outputs, inputs })
    }

    /// A normalization with a factor and a shift for each of `width` values.
    pub fn norm(path: &str, place: Place, width: usize) -> Module {
        Module::new(path, place, Shape::Norm(width))
    }

    /// A table of this kind; `decodes` says that a head multiplies by it as well, and so reaches every row.
    pub fn table(
        path: &str,
        place: Place,
        kind: Kind,
        (rows, width): (usize, usize),
        decodes: bool,
    ) -> Module {
        let reach = if decodes { Reach::All } else { Reach::UsedRows };
        Module::new(path, place, Shape::Table { rows, width, kind, reach })
    }

    /// The bias of a map whose weight another module has.
    pub fn bias(path: &str, place: Place, width: usize) -> Module {
        Module::new(path, place, Shape::Bias(width))
    }

    /// The same map without a bias, unless `keep`.
    pub fn biased(mut self, keep: bool) -> Module {
        self.bias = self.bias.filter(|_| keep);
        self
    }

    /// The same, whose fresh weight is spread so much wider than the model's others.
    pub fn spread(self, spread: f64) -> Module {
        Module { spread, ..self }
    }

    /// The same map, whose weight is stored `[in, out]`.
    pub fn transposed(self) -> Module {
        Module { transposed: true, ..self }
    }

    /// A map, or a norm, whose whole bias has a zero gradient by construction.
    pub fn with_idle_bias(self) -> Module {
        let all = 0..self.outputs();
        self.with_idle([all])
    }

    /// A map whose bias has a zero gradient by construction in these entries.
    pub fn with_idle(self, idle: impl IntoIterator<Item = Range<usize>>) -> Module {
        Module { idle: idle.into_iter().collect(), ..self }
    }

    /// Outputs of a linear map.
    pub fn outputs(&self) -> usize {
        match self.shape {
            Shape::Linear { outputs, .. } => outputs,
            Shape::Norm(width) | Shape::Bias(width) | Shape::Table { width, .. } => width,
        }
    }

    /// Its parameters, the weight first.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameter = |name: &str, shape: Vec<usize>, kind, reach| Parameter {
            name: name.to_string(),
            shape,
            kind,
            place: self.place,
            reach,
            spread: self.spread,
        };
        let weight = self.weight.as_str();
        let bias = |width: usize, kind, reach| {
            self.bias.as_ref().map(|name| parameter(name, vec![width], kind, reach))
        };
        match &self.shape {
            Shape::Linear { outputs, inputs } => {
                let (shape, kind) = match self.transposed {
                    true => (vec![*inputs, *outputs], Kind::TransposedWeight),
                    false => (vec![*outputs, *inputs], Kind::Weight),
                };
                let weight = parameter(weight, shape, kind, Reach::All);
                let bias = bias(*outputs, Kind::Bias, Reach::all_but(&self.idle, *outputs));
                [weight].into_iter().chain(bias).collect()
            }
            Shape::Norm(width) => {
                let weight = parameter(weight, vec![*width], Kind::NormWeight, Reach::All);
                let reach = Reach::all_but(&self.idle, *width);
                [weight].into_iter().chain(bias(*width, Kind::NormBias, reach)).collect()
            }
            Shape::Table { rows, width, kind, reach } => {
                vec![parameter(weight, vec![*rows, *width], *kind, reach.clone())]
            }
            Shape::Bias(width) => bias(*width, Kind::Bias, Reach::All).into_iter().collect(),
        }
    }
}

impl Embeddings {
    /// The table of tokens alone.
    pub fn of_tokens(tokens: Module) -> Embeddings {
        Embeddings { tokens, positions: None, segments: None, norm: None, projection: None }
    }

    fn modules(&self) -> Vec<&Module> {
        let Embeddings { tokens, positions, segments, norm, projection } = self;
        [Some(tokens), positions.as_ref(), segments.as_ref(), norm.as_ref(), projection.as_ref()]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Projections {
    fn modules(&self) -> Vec<&Module> {
        match self {
            Projections::Apart { query, key, value } => vec![query, key, value],
            Projections::Stacked(all) | Projections::Interleaved(all) => vec![all],
        }
    }
}

impl Attention {
    /// One whose scores depend on no distance.
    pub fn new(projections: Projections, attended: Module, settings: LayerSettings) -> Attention {
        Attention { projections, attended, distances: None, settings }
    }

    fn modules(&self) -> Vec<&Module> {
        self.projections.modules().into_iter().chain(&self.distances).chain([&self.attended]).collect()
    }
}

impl Cross {
    fn modules(&self) -> Vec<&Module> {
        std::iter::once(&self.norm).chain(self.attention.modules()).collect()
    }
}

impl FeedForward {
    fn modules(&self) -> Vec<&Module> {
        match self {
            FeedForward::Plain { inner, outer } | FeedForward::Halves { inner, outer } => vec![inner, outer],
            FeedForward::Gated { gate, up, outer } => vec![gate, up, outer],
        }
    }
}

impl Layer {
    /// Its modules; a norm beside what it feeds or closes.
    pub fn modules(&self, order: Order) -> Vec<&Module> {
        let (maps, feed) = (self.attention.modules(), self.feed_forward.modules());
        let (norm, other) = (&self.attention_norm, &self.feed_forward_norm);
        let mut all: Vec<&Module> = Vec::new();
        match order {
            Order::Pre | Order::Parallel => {
                all.extend(norm);
                all.extend(maps);
                all.extend(self.cross.iter().flat_map(Cross::modules));
                all.push(other);
                all.extend(feed);
            }
            Order::Post => {
                all.extend(maps);
                all.extend(norm);
                all.extend(feed);
                all.push(other);
            }
        }
        all
    }

    /// The place of this role.
    pub fn place(&self, role: Role) -> Place {
        self.name.place(role)
    }
}

impl Transform {
    fn modules(&self) -> Vec<&Module> {
        std::iter::once(&self.dense).chain(&self.norm).collect()
    }
}

impl HeadModules {
    /// Whether the token table decodes, too.
    pub fn is_tied(&self) -> bool {
        matches!(self, HeadModules::Decoder { weight: None, .. })
    }

    /// Its modules.
    pub fn modules(&self) -> Vec<&Module> {
        match self {
            HeadModules::Decoder { transform, weight, bias } => {
                transform.iter().flat_map(Transform::modules).chain(weight).chain(bias).collect()
            }
            HeadModules::Pooled { transform, output, .. } => {
                transform.iter().flat_map(Transform::modules).chain([output]).collect()
            }
        }
    }
}

impl Modules {
    /// Every module, in the order in which the model applies them; `order` says where a layer's norms stand.
    fn all(&self, order: Order) -> Vec<&Module> {
        let layers = self.layers.iter().flat_map(|layer| layer.modules(order));
        let embeddings = self.embeddings.modules().into_iter();
        let norms = self.encoder_norm.iter().chain(&self.last_norm);
        embeddings.chain(layers).chain(norms).chain(self.head.modules()).collect()
    }

    /// What each parameter is, in the order in which the model applies them. A parameter that layers share stands once.
    pub fn layout(&self, order: Order) -> Layout {
        let mut seen = BTreeSet::new();
        let parameters = self.all(order).into_iter().flat_map(Module::parameters);
        let once = parameters.filter(|p| seen.insert(p.name.clone())).collect();
        Layout::new(once, self.sites.clone())
    }
}
