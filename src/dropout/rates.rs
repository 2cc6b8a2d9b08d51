//! Drop probabilities by site: uniform, guided by Fisher information, or read from `RATES.csv`.
//!
//! Guided (Sharma et al. 2024, eqs. 9-10): the S sites sorted by score, the site of rank k (0 = lowest) gets
//! `p_k = p_lower + (p_upper - p_lower) (S - 1 - k) / (S - 1)`, so that the least important site drops most; other
//! [`shape`](super::shape)s fall otherwise.
//! The paper's code runs a slightly different line, 0.099 - 0.00275 k, shipped as [`paper_bert_base`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::places::{Place, Role};
pub use super::shape::Shape;
use crate::error::{Error, Result};
use crate::files;
use crate::ranking::Ranking;
use crate::stats;

/// A drop probability for each site of a model, in the order in which it applies them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    sites: Vec<Place>,
    p: Vec<f64>,
    /// Of each site, 0 = lowest score, where the schedule says.
    ranks: Vec<Option<usize>>,
}

impl Rates {
    /// The same probability everywhere.
    pub fn uniform(sites: &[Place], p: f64) -> Rates {
        Rates { p: vec![p; sites.len()], ranks: vec![None; sites.len()], sites: sites.to_vec() }
    }

    /// The same sites with the probability that `p` gives for each index in model order.
    pub fn with(&self, p: impl Fn(usize) -> f64) -> Rates {
        Rates { p: (0..self.sites.len()).map(p).collect(), ..self.clone() }
    }

    /// Mean over the sites.
    pub fn mean(&self) -> f64 {
        stats::mean(&self.p)
    }

    /// The probabilities exchanged by rank, the last with the first; twice, they are the same again. Where no rank is known
    /// the order of the probabilities stands for it, ties in model order. `None` if ranks are not 0 to S - 1, each once.
    pub fn reversed(&self) -> Option<Rates> {
        let mut order: Vec<usize> = (0..self.sites.len()).collect();
        match self.ranks.iter().all(Option::is_none) {
            true => order.sort_by(|a, b| self.p[*b].total_cmp(&self.p[*a])),
            false => order.sort_by_key(|i| self.ranks[*i]),
        }
        let mut reversed = self.clone();
        for (rank, (own, other)) in order.iter().zip(order.iter().rev()).enumerate() {
            if self.ranks[*own].is_some_and(|known| known != rank) {
                return None;
            }
            reversed.ranks[*own] = Some(rank);
            reversed.p[*own] = self.p[*other];
        }
        Some(reversed)
    }

    /// The drop probability of a site; 0 where none is set.
    pub fn get(&self, site: Place) -> f64 {
        self.sites.iter().position(|s| *s == site).map_or(0.0, |i| self.p[i])
    }

    /// Sites and probabilities in model order.
    pub fn iter(&self) -> impl Iterator<Item = (Place, f64)> + '_ {
        self.sites.iter().copied().zip(self.p.iter().copied())
    }

    /// The rows of a `RATES.csv` that says the same; it knows no scores.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(i, (site, p)): (usize, (Place, f64))| Row {
            site: site.to_string(),
            score: None,
            score_se: None,
            rank: self.ranks[i],
            p,
        };
        self.iter().enumerate().map(row).collect()
    }

    /// Reads `RATES.csv` for a model with these sites.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a column, site or number that cannot be read, a site named twice or not in the model, a
    /// site of the model that is not named, or a probability outside `[0, 1)`.
    pub fn read(path: &Path, sites: &[Place]) -> Result<Rates> {
        let fix = "make the file with `fisherscape schedule` from the same model's Fisher information";
        let wrong = |field: &str, expected: String, found: String| {
            Error::field(path.display(), field, expected, found, fix)
        };
        let text = files::read_text(path)?;
        let mut p: Vec<Option<f64>> = vec![None; sites.len()];
        let mut ranks = vec![None; sites.len()];
        for (i, row) in csv::Reader::from_reader(text.as_bytes()).deserialize::<Row>().enumerate() {
            let row = row.map_err(|e| wrong("row", "a site and its p".into(), e.to_string()))?;
            let at = row.site.parse().ok().and_then(|site: Place| sites.iter().position(|s| *s == site));
            let Some(at) = at else {
                let layers = sites.iter().filter(|site| site.role == Role::AttentionProbs).count();
                return Err(wrong("site", format!("a site of a {layers}-layer model"), row.site));
            };
            if !(0.0..1.0).contains(&row.p) {
                return Err(wrong("p", "in [0, 1)".into(), format!("{} in data row {}", row.p, i + 1)));
            }
            ranks[at] = row.rank;
            if p[at].replace(row.p).is_some() {
                return Err(wrong("site", "named once".into(), format!("`{}` twice", row.site)));
            }
        }
        let found = p.iter().flatten().count();
        let p: Option<Vec<f64>> = p.into_iter().collect();
        let p = p.ok_or_else(|| {
            wrong("site", format!("all {} sites of the model", sites.len()), found.to_string())
        })?;
        Ok(Rates { sites: sites.to_vec(), p, ranks })
    }
}

/// A row of `RATES.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The dropout site.
    pub site: String,
    /// Fisher score in nats² (or squared loss units) per squared unit of the parameter; empty for a preset.
    pub score: Option<f64>,
    /// Standard error of the score over examples, where the per-example sums are there.
    pub score_se: Option<f64>,
    /// 0 = lowest score; empty where the rates are of no ranking. Only reversed rates need it.
    #[serde(default, deserialize_with = "csv::invalid_option")]
    pub rank: Option<usize>,
    /// Drop probability.
    pub p: f64,
}

/// The guided schedule for a ranking of sites, in model order.
pub fn guided(ranking: &Ranking, se: &[Option<f64>], shape: Shape, p_lower: f64, p_upper: f64) -> Vec<Row> {
    let ranks = ranking.ascending_ranks();
    let row = |i: usize| Row {
        site: ranking.names()[i].clone(),
        score: Some(ranking.scores()[i]),
        score_se: se[i],
        rank: Some(ranks[i]),
        p: shape.at(ranks[i], ranks.len(), p_lower, p_upper),
    };
    (0..ranks.len()).map(row).collect()
}

/// Schedules that need no Fisher information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// What the code of Sharma et al. runs on bert-base: 0.099 - 0.00275 k
    PaperBertBase,
}

/// The schedule that the paper's code runs on bert-base: `p_k = 0.099 - 0.00275 k` in its published order of the 37
/// sites, lowest Fisher information first (docs/definitions.md section 3). In model order.
pub fn paper_bert_base() -> Vec<Row> {
    const PROBS: [usize; 12] = [7, 10, 9, 8, 1, 6, 11, 2, 0, 5, 3, 4];
    const OUTPUT: [usize; 12] = [11, 0, 9, 10, 7, 1, 6, 8, 2, 5, 4, 3];
    const FFN: [usize; 12] = [11, 9, 6, 5, 2, 0, 10, 8, 7, 1, 4, 3];
    let lowest_first =
        [(PROBS, Role::AttentionProbs), (OUTPUT, Role::AttentionOutput), (FFN, Role::FfnOutput)];
    let sites = lowest_first.into_iter().flat_map(|(layers, role)| layers.map(|k| Place::in_layer(k, role)));
    let mut ranked: Vec<(usize, Place)> = sites.chain([Place::EMBEDDINGS]).enumerate().collect();
    ranked.sort_by_key(|(_, site)| site.order());
    let row = |(rank, site): (usize, Place)| {
        // 36 steps of 0.00275 down from 0.099 end at exactly 0.
        let p = 0.00275 * (36 - rank) as f64;
        Row { site: site.to_string(), score: None, score_se: None, rank: Some(rank), p }
    };
    ranked.into_iter().map(row).collect()
}
