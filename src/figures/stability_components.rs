//! Where the spread of a layer's per-example Fisher score comes from, as SVG: the share of the masks, by site and by
//! block.
//!
//! The masks are maskings of masked language modelling: which tokens of an example are hidden.
//!
//! The rest is between examples. Left of the dotted line at one half more examples help more than more masks of one.
//!
//! The trap: a share says nothing of the size of the spread, which the columns `data_sd` and `mask_sd` hold.
//!
//! Takes [`Components`], the `components.csv` of `stability`; draws by `dots`.

use std::path::Path;

use crate::error::Result;
use crate::figures::parts::dots::{self, Column, Dot, Group};
use crate::figures::parts::sites;
use crate::stability::components::ComponentRow;
use crate::tables;

/// For readers of the file.
const DESCRIPTION: &str = "Share of the maskings in the variance of each item's per-example Fisher score, with its \
                           95 % interval; the rest is between examples.";

/// Variance components of each item.
#[derive(Clone, Debug)]
pub struct Components {
    rows: Vec<ComponentRow>,
    tensors: usize,
}

impl Components {
    /// Reads the `components.csv` that `stability` writes.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) for other columns, a share outside 0 to 1, an item named twice, or a table without sites and
    /// blocks.
    pub fn read(path: &Path) -> Result<Components> {
        let (rows, tensors) =
            sites::shown(path, tables::read(path)?, |row: &ComponentRow| (row.granularity, &row.name))?;
        Ok(Components { rows, tensors })
    }

    fn groups(&self) -> Vec<Group> {
        dots::groups(&self.rows, |row| {
            let ends = row.mask_share_low.zip(row.mask_share_high);
            (row.granularity, row.name.clone(), vec![Dot { value: row.mask_share, ends }])
        })
    }
}

/// The figure in words for a paper.
pub fn caption(components: &Components) -> String {
    let counts = sites::counts(components.rows.iter().map(|row| row.granularity));
    let lost = components.rows.iter().filter(|row| row.mask_share.is_none()).count();
    let lost = if lost > 0 { format!(" Without a share and not drawn: {lost}.") } else { String::new() };
    format!(
        "Share of the maskings in the variance of the per-example Fisher score of each of {}, with 95 % intervals \
         (bars); the rest is between examples, and at the dotted line both are equal.{lost}{}\n",
        counts,
        sites::left_out(components.tensors),
    )
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Components::read(path)?;
    Ok((component_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 84 mm, the width of a column).
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`](crate::error::Error::Field) if the width leaves no room.
pub fn component_figure(components: &Components, width_mm: Option<f64>) -> Result<String> {
    let column = Column {
        words: &["share of the masks in the variance", "share of the masks"],
        ends: Some((0.0, 1.0)),
        reference: Some((0.5, "as much from masks as from examples".to_owned())),
    };
    dots::figure(&components.groups(), &[column], DESCRIPTION, width_mm.unwrap_or(84.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;

    const HEADER: &str = "granularity,name,score,data_sd,mask_sd,mask_share,mask_share_low,mask_share_high\n";

    fn read(rows: &str) -> Result<Components> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("components.csv");
        std::fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        assert_eq!(crate::figures::tests::named(HEADER), Some("stability_components"));
        Components::read(&path)
    }

    #[test]
    fn shares_have_intervals_and_what_is_open_is_counted() {
        let rows = "site,embeddings,1,2,1,0.2,-0.1,0.4\nsite,layer.0.ffn_output,1,0,0,,,\nblock,layer.0,1,1,1,0.5,0.3,1.2\n";
        let components = read(rows).unwrap();
        let words = caption(&components);
        assert!(
            words.contains("2 sites and 1 block, with")
                && words.contains(" Without a share and not drawn: 1."),
            "{words}"
        );
        for width in [None, Some(170.0)] {
            let svg = component_figure(&components, width).unwrap();
            let texts = assert_sound(&svg);
            assert!(texts.iter().any(|(text, _)| text == "0 ffn output"));
            assert!(svg.contains("1 not drawn: "));
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            ("tensor,a,1,1,1,0.5,,\n", "`granularity`"),
            ("site,a,1,1,1,1.5,,\n", "`mask_share`"),
            ("site,a,1,1,1,0.5,,\nsite,a,1,1,1,0.5,,\n", "`name`"),
            ("site,a,1,1,1,much,,\n", "`row`"),
        ] {
            let message = read(rows).unwrap_err().to_string();
            assert!(message.contains("components.csv") && message.contains(field), "{message}");
        }
    }
}
