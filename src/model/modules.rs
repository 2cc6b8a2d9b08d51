//! The modules of a network: what an architecture says it is made of, and the layout that follows.

use super::layout::{Kind, Layout, Parameter, Reach};
use crate::dropout::Place;

/// What stands on top of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A decoder whose weight is the token table.
    MaskedLm,
    /// This many classes, from the first token.
    Classes(usize),
    /// A single output, from the first token.
    Regression,
}

/// The modules of a network, by what they do.
#[derive(Clone, Debug)]
pub struct Modules {
    pub embeddings: Embeddings,
    pub layers: Vec<Layer>,
    pub head: HeadModules,
    /// Places where the model drops out, in the order in which it applies them.
    pub sites: Vec<Place>,
}

/// Tables, whose rows are added, and the norm behind them.
#[derive(Clone, Debug)]
pub struct Embeddings {
    pub tokens: Module,
    pub positions: Module,
    pub segments: Module,
    pub norm: Module,
}

/// The modules of a layer, in the order in which it applies them.
#[derive(Clone, Debug)]
pub struct Layer {
    pub query: Module,
    pub key: Module,
    pub value: Module,
    pub attended: Module,
    pub attended_norm: Module,
    pub inner: Module,
    pub outer: Module,
    pub outer_norm: Module,
}

/// What stands on top of the encoder.
#[derive(Clone, Debug)]
pub enum HeadModules {
    /// Transform, norm, and a decoder whose weight is the token table.
    Decoder { transform: Module, norm: Module, bias: Module },
    /// A map of the first token, tanh, and a map to the outputs.
    Pooled { pooler: Module, output: Module },
}

/// A module and the place of its parameters.
#[derive(Clone, Debug)]
pub struct Module {
    pub weight: String,
    /// Empty for a table, which has none.
    pub bias: String,
    shape: Shape,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// `[out, in]` and `[out]`
    Linear { outputs: usize, inputs: usize, bias: Reach },
    /// `[width]` twice
    Norm(usize),
    /// `[rows, width]`
    Table { rows: usize, width: usize, kind: Kind, reach: Reach },
    /// A bias alone.
    Bias(usize),
}

impl Module {
    fn new(path: &str, place: Place, shape: Shape) -> Module {
        Module { weight: format!("{path}.weight"), bias: format!("{path}.bias"), shape, place }
    }

    /// `y = x Wᵀ + b` from `inputs` to `outputs` values.
    pub fn linear(path: &str, place: Place, outputs: usize, inputs: usize) -> Module {
        Module::new(path, place, Shape::Linear { outputs, inputs, bias: Reach::All })
    }

    /// A linear map whose bias has a zero gradient by construction.
    pub fn with_idle_bias(mut self) -> Module {
        if let Shape::Linear { bias, .. } = &mut self.shape {
            *bias = Reach::Nothing;
        }
        self
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

    /// Its parameters, the weight first.
    fn parameters(&self) -> Vec<Parameter> {
        let parameter = |name: &String, shape: Vec<usize>, kind, reach| Parameter {
            name: name.clone(),
            shape,
            kind,
            place: self.place,
            reach,
        };
        let (weight, bias) = (&self.weight, &self.bias);
        match self.shape {
            Shape::Linear { outputs, inputs, bias: reach } => vec![
                parameter(weight, vec![outputs, inputs], Kind::Weight, Reach::All),
                parameter(bias, vec![outputs], Kind::Bias, reach),
            ],
            Shape::Norm(width) => vec![
                parameter(weight, vec![width], Kind::NormWeight, Reach::All),
                parameter(bias, vec![width], Kind::NormBias, Reach::All),
            ],
            Shape::Table { rows, width, kind, reach } => {
                vec![parameter(weight, vec![rows, width], kind, reach)]
            }
            Shape::Bias(width) => vec![parameter(bias, vec![width], Kind::Bias, Reach::All)],
        }
    }
}

impl Embeddings {
    fn modules(&self) -> [&Module; 4] {
        [&self.tokens, &self.positions, &self.segments, &self.norm]
    }
}

impl Layer {
    fn modules(&self) -> [&Module; 8] {
        let Layer { query, key, value, attended, attended_norm, inner, outer, outer_norm } = self;
        [query, key, value, attended, attended_norm, inner, outer, outer_norm]
    }
}

impl HeadModules {
    fn modules(&self) -> Vec<&Module> {
        match self {
            HeadModules::Decoder { transform, norm, bias } => vec![transform, norm, bias],
            HeadModules::Pooled { pooler, output } => vec![pooler, output],
        }
    }
}

impl Modules {
    /// What each parameter is, in the order in which the model applies them.
    pub fn layout(&self) -> Layout {
        let layers = self.layers.iter().flat_map(Layer::modules);
        let all = self.embeddings.modules().into_iter().chain(layers).chain(self.head.modules());
        Layout::new(all.flat_map(Module::parameters).collect(), self.sites.clone())
    }
}
