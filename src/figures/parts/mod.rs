//! What several figures share: rank lines, dot plots, the words and colours of sites.

pub(crate) mod bump;
pub(crate) mod dots;
pub(crate) mod sites;
pub(crate) mod two_scores;
