//! From parameters to layers: scores of tensors, dropout sites and blocks (docs/definitions.md section 2).
//!
//! Every score is a weighted sum of the tensors' sums of squared gradients, so one table of weights serves F itself,
//! each example's row `s[n,t]` and every sub-sample.
//!
//! The trap: the paper's site score is the UNWEIGHTED mean of tensor means, so small bias and LayerNorm tensors
//! dominate it. The other aggregations stand beside it.

use ndarray::Array2;

use crate::dropout::{Place, Role};
use crate::model::Layout;
use crate::model::layout::{Parameter, Reach};
use crate::ranking::Ranking;

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// Each parameter tensor, without key biases: their rank would be rounding noise.
    Tensor,
    /// The parameters that feed a dropout site.
    Site,
    /// `embeddings` and each layer.
    Block,
}

impl Granularity {
    /// From fine to coarse.
    pub const ALL: [Granularity; 3] = [Granularity::Tensor, Granularity::Site, Granularity::Block];

    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Tensor => "tensor",
            Granularity::Site => "site",
            Granularity::Block => "block",
        }
    }
}

/// How the tensors of a site or block become one score.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// Unweighted mean of the tensors' means: the paper's.
    #[default]
    MeanOfMeans,
    /// Mean over all parameters.
    Mean,
    /// Sum over all parameters.
    Sum,
}

/// Scores as weighted sums of per-tensor sums.
pub struct Scores {
    names: Vec<String>,
    /// For each item, (column of its tensor in `s[n,t]`, weight).
    members: Vec<Vec<(usize, f64)>>,
}

impl Scores {
    /// The items of a granularity in model order. The head is a tensor among tensors but never a site or block; what feeds
    /// no site counts into its layer's block, and `intermediate` into the site `ffn_output` only if `include_intermediate`.
    pub fn new(
        layout: &Layout,
        granularity: Granularity,
        aggregate: Aggregate,
        include_intermediate: bool,
    ) -> Scores {
        Scores::of_tensors(layout, granularity, aggregate, include_intermediate, &|_| true)
    }

    /// As [`Scores::new`], of the tensors that `keep` names alone. An item without any is left out.
    pub fn of_tensors(
        layout: &Layout,
        granularity: Granularity,
        aggregate: Aggregate,
        include_intermediate: bool,
        keep: &dyn Fn(&Parameter) -> bool,
    ) -> Scores {
        let columns = layout.columns();
        let column = |tensor: &Parameter| columns.partition_point(|other| other.name < tensor.name);
        let mut items: Vec<(String, Vec<&Parameter>)> = Vec::new();
        for tensor in layout.parameters().iter().filter(|tensor| keep(tensor)) {
            let item = item_of(tensor, layout.sites(), granularity, include_intermediate);
            let Some(item) = item else { continue };
            match items.iter_mut().find(|(name, _)| *name == item) {
                Some((_, members)) => members.push(tensor),
                None => items.push((item, vec![tensor])),
            }
        }
        let weights = |members: &Vec<&Parameter>| {
            let total: usize = members.iter().map(|tensor| tensor.numel()).sum();
            let weight = |tensor: &Parameter| match aggregate {
                Aggregate::MeanOfMeans => 1.0 / (members.len() as f64 * tensor.numel() as f64),
                Aggregate::Mean => 1.0 / total as f64,
                Aggregate::Sum => 1.0,
            };
            members.iter().map(|&tensor| (column(tensor), weight(tensor))).collect()
        };
        let members = items.iter().map(|(_, members)| weights(members)).collect();
        Scores { names: items.into_iter().map(|(name, _)| name).collect(), members }
    }

    /// Scores from one value per tensor: the sum over its entries.
    pub fn of(&self, sums: &[f64]) -> Vec<f64> {
        self.members.iter().map(|members| members.iter().map(|&(t, w)| w * sums[t]).sum()).collect()
    }

    /// The ranking of those scores.
    pub fn ranking(&self, sums: &[f64]) -> Ranking {
        Ranking::new(self.names.iter().cloned().zip(self.of(sums)))
    }

    /// Scores of each example, `[N, items]`.
    pub fn of_examples(&self, sums: &Array2<f64>) -> Array2<f64> {
        let mut scores = Array2::zeros((sums.nrows(), self.names.len()));
        for (row, mut out) in sums.rows().into_iter().zip(scores.rows_mut()) {
            out.assign(&ndarray::Array1::from(self.of(&row.to_vec())));
        }
        scores
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// For each item, its tensors (by their place) and the weights of their sums.
    pub fn members(&self) -> &[Vec<(usize, f64)>] {
        &self.members
    }
}

/// What a tensor is counted into.
fn item_of(
    tensor: &Parameter,
    sites: &[Place],
    granularity: Granularity,
    include_intermediate: bool,
) -> Option<String> {
    let place = tensor.place;
    let site = match place.role {
        // ModernBERT drops out there: then it is a site of its own.
        Role::Intermediate if include_intermediate && !sites.contains(&place) => {
            Place { role: Role::FfnOutput, ..place }
        }
        _ => place,
    };
    match granularity {
        Granularity::Tensor => (tensor.reach != Reach::Nothing).then(|| tensor.name.clone()),
        Granularity::Block => (place != Place::HEAD).then(|| place.block()),
        Granularity::Site => sites.contains(&site).then(|| site.to_string()),
    }
}
