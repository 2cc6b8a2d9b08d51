//! From parameters to layers: scores of tensors, dropout sites and blocks (docs/definitions.md section 2).
//!
//! Every score is a weighted sum of the tensors' sums of squared gradients, so one table of weights serves F itself,
//! each example's row `s[n,t]` and every sub-sample.
//!
//! The trap: the paper's site score is the UNWEIGHTED mean of tensor means, so small bias and LayerNorm tensors
//! dominate it. The other aggregations stand beside it.

use ndarray::Array2;

use crate::dropout::Site;
use crate::ranking::Ranking;

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// Each parameter tensor, key biases left out: their rank would be rounding noise.
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

/// Tensors by name with their numbers of entries, in the order of the columns of `s[n,t]`.
pub type TensorSizes = Vec<(String, usize)>;

/// Scores as weighted sums of per-tensor sums.
pub struct Scores {
    names: Vec<String>,
    /// For each item, (tensor index, weight).
    members: Vec<Vec<(usize, f64)>>,
}

impl Scores {
    /// The items of a granularity in model order, for tensors given by name and number of entries. The head is a
    /// tensor among tensors but never a site or block; `intermediate.dense` counts into its layer's block, and into
    /// the site `ffn_output` only if `include_intermediate`.
    pub fn new(
        tensors: &[(String, usize)],
        granularity: Granularity,
        aggregate: Aggregate,
        include_intermediate: bool,
    ) -> Scores {
        Scores::of_tensors(tensors, granularity, aggregate, include_intermediate, &|_| true)
    }

    /// As [`Scores::new`], of the tensors that `keep` names alone. An item without any is left out.
    pub fn of_tensors(
        tensors: &[(String, usize)],
        granularity: Granularity,
        aggregate: Aggregate,
        include_intermediate: bool,
        keep: &dyn Fn(&str) -> bool,
    ) -> Scores {
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|&t| model_order(&tensors[t].0));
        let mut items: Vec<(String, Vec<usize>)> = Vec::new();
        for t in order.into_iter().filter(|&t| keep(&tensors[t].0)) {
            let Some(item) = item_of(&tensors[t].0, granularity, include_intermediate) else { continue };
            match items.iter_mut().find(|(name, _)| *name == item) {
                Some((_, members)) => members.push(t),
                None => items.push((item, vec![t])),
            }
        }
        let weights = |members: &Vec<usize>| {
            let total: usize = members.iter().map(|&t| tensors[t].1).sum();
            let weight = |t: usize| match aggregate {
                Aggregate::MeanOfMeans => 1.0 / (members.len() as f64 * tensors[t].1 as f64),
                Aggregate::Mean => 1.0 / total as f64,
                Aggregate::Sum => 1.0,
            };
            members.iter().map(|&t| (t, weight(t))).collect()
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

fn item_of(name: &str, granularity: Granularity, include_intermediate: bool) -> Option<String> {
    let site = Site::of(name);
    match (granularity, site) {
        (Granularity::Tensor, _) => (!name.ends_with("attention.self.key.bias")).then(|| name.to_string()),
        (_, Site::Head) => None,
        (Granularity::Block, _) => Some(site.block()),
        (Granularity::Site, Site::Intermediate(k)) => {
            include_intermediate.then(|| Site::FfnOutput(k).to_string())
        }
        (Granularity::Site, _) => Some(site.to_string()),
    }
}

/// A key that sorts parameter names in the order in which the model applies them.
pub fn model_order(name: &str) -> (usize, usize, String) {
    const WITHIN: [&str; 16] = [
        "word_embeddings",
        "position_embeddings",
        "token_type_embeddings",
        "embeddings.LayerNorm",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
        "pooler.dense",
        "classifier",
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
    ];
    let block = match Site::of(name) {
        Site::Embeddings => 0,
        Site::AttentionProbs(k) | Site::AttentionOutput(k) | Site::Intermediate(k) | Site::FfnOutput(k) => {
            1 + k
        }
        Site::Head => usize::MAX,
    };
    let (module, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let within = WITHIN.iter().position(|part| module.ends_with(part)).unwrap_or(WITHIN.len());
    // "weight" before "bias"
    let kind = if kind == "weight" { "0".into() } else { name.to_string() };
    (block, within, kind)
}
