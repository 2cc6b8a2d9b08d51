//! What several figures share: rank lines, dot plots, marks with bars, the words and colours of sites.

pub(crate) mod bump;
pub(crate) mod dots;
pub(crate) mod scatter;
pub(crate) mod share;
pub(crate) mod sites;
pub(crate) mod two_scores;
