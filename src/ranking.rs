//! Names with scores: what Fisher information becomes, and what schedules consume.

/// Named scores in model order. Ties rank in model order.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    names: Vec<String>,
    scores: Vec<f64>,
}

impl Ranking {
    /// Pairs names with scores, both in model order.
    pub fn new(items: impl IntoIterator<Item = (String, f64)>) -> Ranking {
        let (names, scores) = items.into_iter().unzip();
        Ranking { names, scores }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Rank of each item, in model order: 0 = lowest score.
    pub fn ascending_ranks(&self) -> Vec<usize> {
        ascending_ranks(&self.scores)
    }
}

/// Rank of each of some scores, 0 = lowest; ties in the order given.
pub fn ascending_ranks(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0; scores.len()];
    order.iter().enumerate().for_each(|(rank, &i)| ranks[i] = rank);
    ranks
}
