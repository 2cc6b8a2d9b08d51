//! What a ranking of dropout sites rests on: how tensors become one score, and which tensors count.
//!
//! The paper's score is the unweighted mean of tensor means, so that a bias of 768 entries counts as much as a matrix of
//! 589 824 (docs/definitions.md section 2). The audit ranks the sites under every aggregate, with and without the tensors
//! that one might leave out, and says how far each ranking, and the dropout rates that follow from it, lie from the
//! paper's. [`drivers`] names the tensors that decide a site's rank.

use serde::{Deserialize, Serialize};

use super::agreement::P_UPPER;
use super::between::{Scored, between};
use crate::dropout::rates::Shape;
use crate::fisher::files::PerExample;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::model::Layout;
use crate::model::layout::{Kind, Parameter};
use crate::ranking::ascending_ranks;

/// Which tensors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Those that feed a site, as in the paper.
    All,
    /// Without biases, those of LayerNorm too.
    NoBiases,
    /// Without weights and biases of LayerNorm.
    NoLayernorm,
    /// Matrices and tables only.
    WeightsOnly,
    /// Without the table of token types, into whose first row every position sums.
    NoTokenTypes,
    /// With `intermediate.dense` in `ffn_output`.
    WithIntermediate,
}

impl Variant {
    /// The paper's first.
    pub const ALL: [Variant; 6] = [
        Variant::All,
        Variant::NoBiases,
        Variant::NoLayernorm,
        Variant::WeightsOnly,
        Variant::NoTokenTypes,
        Variant::WithIntermediate,
    ];

    fn keeps(self, tensor: &Parameter) -> bool {
        let (bias, norm) = (tensor.kind.is_bias(), tensor.kind.is_norm());
        match self {
            Variant::All | Variant::WithIntermediate => true,
            Variant::NoBiases => !bias,
            Variant::NoLayernorm => !norm,
            Variant::WeightsOnly => !bias && !norm,
            Variant::NoTokenTypes => tensor.kind != Kind::SegmentTable,
        }
    }

    fn scores(self, layout: &Layout, aggregate: Aggregate) -> Scores {
        let intermediate = self == Variant::WithIntermediate;
        Scores::of_tensors(layout, Granularity::Site, aggregate, intermediate, &|tensor| self.keeps(tensor))
    }
}

/// A row of `audit.csv`: a site under one aggregate and choice of tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditRow {
    /// How tensors become the score of a site.
    pub aggregate: Aggregate,
    /// Which tensors count.
    pub variant: Variant,
    /// The dropout site.
    pub site: String,
    /// In squared loss units per squared unit of the parameter.
    pub score: f64,
    /// Standard error over examples, where the per-example sums are there.
    pub score_se: Option<f64>,
    /// 0 = lowest score.
    pub rank: usize,
    /// Drop probability by the paper's linear schedule, 0 to 0.1.
    pub p: f64,
}

/// A row of `variants.csv`: a ranking of the sites against the paper's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariantRow {
    /// How tensors become the score of a site.
    pub aggregate: Aggregate,
    /// Which tensors count.
    pub variant: Variant,
    /// Spearman's rho with the paper's ranking; empty where a ranking is constant.
    pub spearman: Option<f64>,
    /// Lower end of its 95 % interval over examples; empty without per-example sums.
    pub spearman_low: Option<f64>,
    /// Upper end.
    pub spearman_high: Option<f64>,
    /// Kendall's tau-b with the paper's ranking.
    pub kendall: Option<f64>,
    /// Lower end of its 95 % interval.
    pub kendall_low: Option<f64>,
    /// Upper end.
    pub kendall_high: Option<f64>,
    /// Mean over the sites of `|p - p_paper|`, the drop probabilities of linear schedules from 0.1 to 0.
    pub rate_difference: Option<f64>,
    /// Lower end of its 95 % interval.
    pub rate_difference_low: Option<f64>,
    /// Upper end.
    pub rate_difference_high: Option<f64>,
}

/// A row of `drivers.csv`: a tensor's part in its site's score.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DriverRow {
    /// How tensors become the score of a site.
    pub aggregate: Aggregate,
    /// The dropout site.
    pub site: String,
    /// The tensor, as the checkpoint calls it.
    pub tensor: String,
    /// Share of the site's score that is this tensor's, from 0 to 1; empty where the score is 0.
    pub share: Option<f64>,
    /// Rank of the site; 0 = lowest score.
    pub rank: usize,
    /// Its rank if it had no such tensor; empty if it has no other.
    pub rank_without: Option<usize>,
}

const AGGREGATES: [Aggregate; 3] = [Aggregate::MeanOfMeans, Aggregate::Mean, Aggregate::Sum];

/// Every ranking, and its agreement with the paper's. `totals` are the tensors' sums of F, `by_example` `s[n,t]`.
pub fn audit(
    layout: &Layout,
    totals: &[f64],
    by_example: Option<&PerExample>,
    resamples: usize,
    seed: u64,
) -> (Vec<AuditRow>, Vec<VariantRow>) {
    let scored = |scores: &Scores| Scored::new(scores, totals, by_example);
    let paper = scored(&Variant::All.scores(layout, Aggregate::MeanOfMeans));
    let (mut rows, mut variants) = (Vec::new(), Vec::new());
    for aggregate in AGGREGATES {
        for variant in Variant::ALL {
            let scores = variant.scores(layout, aggregate);
            let own = scored(&scores);
            let ranks = ascending_ranks(&own.scores);
            for (i, site) in scores.names().iter().enumerate() {
                rows.push(AuditRow {
                    aggregate,
                    variant,
                    site: site.clone(),
                    score: own.scores[i],
                    score_se: own.standard_error(i),
                    rank: ranks[i],
                    p: Shape::Linear.at(ranks[i], ranks.len(), 0.0, P_UPPER),
                });
            }
            let compared = between(&paper, &own, true, resamples, seed);
            variants.push(VariantRow {
                aggregate,
                variant,
                spearman: compared.values[0],
                spearman_low: compared.low(0),
                spearman_high: compared.high(0),
                kendall: compared.values[1],
                kendall_low: compared.low(1),
                kendall_high: compared.high(1),
                rate_difference: compared.values[4],
                rate_difference_low: compared.low(4),
                rate_difference_high: compared.high(4),
            });
        }
    }
    (rows, variants)
}

/// Each tensor's share in its site's score, and what rank the site would have without it.
pub fn drivers(layout: &Layout, totals: &[f64]) -> Vec<DriverRow> {
    let columns = layout.columns();
    let mut rows = Vec::new();
    for aggregate in AGGREGATES {
        let scores = Variant::All.scores(layout, aggregate);
        let values = scores.of(totals);
        let ranks = ascending_ranks(&values);
        for (i, site) in scores.names().iter().enumerate() {
            for &(t, weight) in &scores.members()[i] {
                let tensor = &columns[t].name;
                let others = |other: &Parameter| other.name != *tensor;
                let rest = Scores::of_tensors(layout, Granularity::Site, aggregate, false, &others);
                let place = rest.names().iter().position(|name| name == site);
                rows.push(DriverRow {
                    aggregate,
                    site: site.clone(),
                    tensor: tensor.clone(),
                    share: Some(weight * totals[t] / values[i]).filter(|share| share.is_finite()),
                    rank: ranks[i],
                    rank_without: place.map(|place| ascending_ranks(&rest.of(totals))[place]),
                });
            }
        }
    }
    rows
}
