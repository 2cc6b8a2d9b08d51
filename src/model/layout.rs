//! The layout of a model: what each of its parameters is.
//!
//! One table for everything that is asked of a parameter beside its value: shape, initialisation, place, the entries that
//! a set of examples reaches. An architecture makes it from its modules ([`super::architectures`]), F files carry it in
//! their metadata, so nothing else reads a parameter's name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::dropout::Place;
use crate::error::Result;
use crate::params::ParamMap;
use crate::rng::Stream;

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A matrix of a linear map. `[out, in]`
    Weight,
    /// The same, stored `[in, out]`.
    TransposedWeight,
    /// A vector that is added.
    Bias,
    /// The factors of a normalization.
    NormWeight,
    /// What a normalization adds.
    NormBias,
    /// A row for each token of the vocabulary.
    TokenTable,
    /// A row for each position.
    PositionTable,
    /// A row for each segment.
    SegmentTable,
    /// A row for each bucket of distances from query to key.
    DistanceTable,
}

impl Kind {
    /// Whether it is added, in a linear map or a normalization.
    pub fn is_bias(self) -> bool {
        matches!(self, Kind::Bias | Kind::NormBias)
    }

    /// Whether it belongs to a normalization.
    pub fn is_norm(self) -> bool {
        matches!(self, Kind::NormWeight | Kind::NormBias)
    }
}

/// Which entries of a parameter examples can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    #[default]
    All,
    /// The rows of a table that the examples use.
    UsedRows,
    /// None: the gradient is zero by construction. What autograd gives is rounding, and dropped.
    Nothing,
    /// All but these rows, likewise: `(first, end)` each.
    AllBut(Vec<(usize, usize)>),
}

impl Reach {
    /// All rows of `size` but these.
    pub fn all_but(idle: &[Range<usize>], size: usize) -> Reach {
        match idle {
            [] => Reach::All,
            [all] if *all == (0..size) => Reach::Nothing,
            some => Reach::AllBut(some.iter().map(|rows| (rows.start, rows.end)).collect()),
        }
    }
}

/// The entries of a parameter that a set of examples reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    All,
    /// Only these rows (indices along the first axis).
    Rows(BTreeSet<usize>),
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As transformers' `named_parameters()` calls it.
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Kind,
    pub place: Place,
    pub reach: Reach,
    /// Standard deviation of fresh values, in units of the model's own.
    pub spread: f64,
}

impl Parameter {
    /// Number of entries.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// As freshly initialised: `N(0, sd²)` for matrices and tables, `sd` in units of their own spread, 1 for the factors of a normalization, 0 for the rest.
    pub fn initial(&self, sd: f64, seed: u64) -> Result<Tensor> {
        let mut values = vec![0f32; self.numel()];
        match self.kind {
            Kind::NormWeight => values.fill(1.0),
            Kind::Bias | Kind::NormBias => {}
            _ => {
                Stream::new(seed, &format!("init/{}", self.name)).fill_normal(0, &mut values);
                values.iter_mut().for_each(|v| *v = (f64::from(*v) * sd * self.spread) as f32);
            }
        }
        Ok(Tensor::from_vec(values, self.shape.as_slice(), &Device::Cpu)?)
    }

    /// The entries that can change a loss, of examples that use these rows of a table.
    pub fn reached(&self, used: impl FnOnce(Kind) -> BTreeSet<usize>) -> Reached {
        match &self.reach {
            Reach::All => Reached::All,
            Reach::Nothing => Reached::Rows(BTreeSet::new()),
            Reach::UsedRows => Reached::Rows(used(self.kind)),
            Reach::AllBut(idle) => {
                let rows = 0..self.shape.first().copied().unwrap_or(0);
                let idle = |row: &usize| idle.iter().any(|(first, end)| (*first..*end).contains(row));
                Reached::Rows(rows.filter(|row| !idle(row)).collect())
            }
        }
    }
}

/// The parameters of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// In the order in which the model applies them.
    parameters: Vec<Parameter>,
    /// Its dropout sites, in that order.
    sites: Vec<Place>,
}

/// A parameter in a file's metadata; its shape is its tensor's.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    kind: Kind,
    place: String,
    #[serde(default)]
    reach: Reach,
}

/// The keys of the metadata.
const PARAMETERS: &str = "layout";
const SITES: &str = "sites";

impl Layout {
    /// Parameters and dropout sites, both in the order in which the model applies them.
    pub fn new(parameters: Vec<Parameter>, sites: Vec<Place>) -> Layout {
        Layout { parameters, sites }
    }

    /// In the order in which the model applies them.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The dropout sites, in that order.
    pub fn sites(&self) -> &[Place] {
        &self.sites
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Parameters in the order of their names, which is that of the columns of `s[n,t]`.
    pub fn columns(&self) -> Vec<&Parameter> {
        let mut columns: Vec<&Parameter> = self.parameters.iter().collect();
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        columns
    }

    /// The parameters that `keep` names alone.
    pub fn only(mut self, keep: impl Fn(&Parameter) -> bool) -> Layout {
        self.parameters.retain(keep);
        self
    }

    /// What a file's metadata say of this layout.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let stored = |p: &Parameter| Stored {
            name: p.name.clone(),
            kind: p.kind,
            place: p.place.to_string(),
            reach: p.reach.clone(),
        };
        let parameters: Vec<Stored> = self.parameters.iter().map(stored).collect();
        let sites: Vec<String> = self.sites.iter().map(Place::to_string).collect();
        let json = |value: serde_json::Value| value.to_string();
        BTreeMap::from([
            (PARAMETERS.to_string(), json(serde_json::json!(parameters))),
            (SITES.to_string(), json(serde_json::json!(sites))),
        ])
    }

    /// The layout that a file's metadata hold, of these tensors; `None` for a file of an earlier version, which says
    /// nothing.
    ///
    /// # Errors
    ///
    /// What is wrong, for metadata that cannot be read or leave a tensor out.
    pub fn stored(metadata: &HashMap<String, String>, tensors: &ParamMap) -> Result<Option<Layout>, String> {
        let (Some(parameters), Some(sites)) = (metadata.get(PARAMETERS), metadata.get(SITES)) else {
            return Ok(None);
        };
        let unreadable = |e: serde_json::Error| e.to_string();
        let parameters: Vec<Stored> = serde_json::from_str(parameters).map_err(unreadable)?;
        let sites: Vec<String> = serde_json::from_str(sites).map_err(unreadable)?;
        let mut layout = Layout::default();
        for Stored { name, kind, place, reach } in parameters {
            let tensor = tensors.get(&name).ok_or_else(|| format!("no tensor {name}"))?;
            let place = place.parse().map_err(|place: String| format!("the place {place:?}"))?;
            layout.parameters.push(Parameter {
                name,
                shape: tensor.dims().to_vec(),
                kind,
                place,
                reach,
                spread: 1.0,
            });
        }
        if let Some(name) = tensors.keys().find(|name| layout.get(name).is_none()) {
            return Err(format!("nothing of {name}"));
        }
        for site in sites {
            layout.sites.push(site.parse().map_err(|site: String| format!("the site {site:?}"))?);
        }
        Ok(Some(layout))
    }
}
