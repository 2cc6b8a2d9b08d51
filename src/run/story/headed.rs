//! The finding above a figure: the verdict on what it is about, which claims something exactly when its interval does.

use super::Story;
use crate::analysis::config::Topic;
use crate::error::Result;
use crate::page::Page;

/// What figures are about. One that ends in `_` stands for the first of its kind: over held-out examples, of the first mask.
const ABOUT: [(&str, Topic); 16] = [
    ("training", Topic::Better),
    ("contours_", Topic::Flatter),
    ("distance_", Topic::Matters),
    ("surfaces_", Topic::Matters),
    ("sharpness", Topic::Flatter),
    ("topology_", Topic::Basins),
    ("plane", Topic::Apart),
    ("fisher", Topic::Where),
    ("stability", Topic::Data),
    ("stability_components", Topic::Masks),
    ("stability_overlap", Topic::Overlap),
    ("audit_audit", Topic::Drivers),
    ("damage_layers", Topic::Damage),
    ("prune_", Topic::Pruning),
    ("examples", Topic::Examples),
    ("agree_pairs", Topic::Alike),
];

impl Story<'_> {
    /// Writes the findings above the figures, each sentence once on the page.
    pub(super) fn head(&self, page: &mut Page) -> Result<()> {
        let mut said = vec![page.verdict.clone()];
        for (name, topic) in ABOUT {
            let Some(i) = page.figures.iter().position(|figure| !figure.aside && is_of(&figure.path, name))
            else {
                continue;
            };
            if let Some(told) = self.topic(topic)?
                && !said.contains(&told.verdict)
            {
                page.figures[i].finding.clone_from(&told.verdict);
                said.push(told.verdict);
            }
        }
        Ok(())
    }
}

/// Whether a figure's path is this name, or begins with it.
fn is_of(path: &str, name: &str) -> bool {
    let file = path.strip_prefix("figures/").unwrap_or(path);
    if name.ends_with('_') { file.starts_with(name) } else { file == name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. The figure of the ranking is not that of its parts.
    #[test]
    fn figures_are_found_by_name() {
        assert!(is_of("figures/stability", "stability") && !is_of("figures/stability_tails", "stability"));
        assert!(is_of("figures/contours_held_out", "contours_") && !is_of("figures/contours", "contours_"));
    }
}
