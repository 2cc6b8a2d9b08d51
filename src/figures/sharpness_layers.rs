//! Curvature by layer as SVG: the largest eigenvalue and the trace of the block of the Hessian that belongs to each site or block, and
//! their Fisher information, where it is known: what the trace would be if the model were right about its labels.
//!
//! Takes the `SHARPNESS.layers.csv` of `sharpness --by`; draws by `dots`.

use std::path::Path;

use crate::draw::numbers::significant;
use crate::error::Result;
use crate::figures::parts::dots::{self, Column, Dot};
use crate::figures::parts::sites;
use crate::tables;
use crate::tables::sharpness::BlockRow;

/// For readers of the file.
const DESCRIPTION: &str = "Largest eigenvalue and trace of each layer's own block of the Hessian with 95 % intervals, and the sum of its \
                           Fisher information, where known.";

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let (rows, _) = sites::shown(path, tables::read(path)?, |row: &BlockRow| (row.granularity, &row.name))?;
    let with_fisher = rows.iter().any(|row| row.fisher.is_some());
    let column = |words| Column { words, ends: None, reference: None };
    let mut columns = vec![
        column(&["largest eigenvalue of the block", "largest eigenvalue", "eigenvalue"]),
        column(&["trace of the block", "trace"]),
    ];
    if with_fisher {
        columns.push(column(&["Fisher information", "Fisher"]));
    }
    let groups = dots::groups(&rows, |row| {
        let top = Dot {
            value: Some(row.top_eigenvalue),
            ends: Some((row.top_eigenvalue_low, row.top_eigenvalue_high)),
        };
        let trace = Dot { value: Some(row.trace), ends: Some((row.trace_low, row.trace_high)) };
        let fisher = Dot { value: row.fisher, ends: None };
        let all = [top, trace].into_iter().chain(with_fisher.then_some(fisher)).collect();
        (row.granularity, row.name.clone(), all)
    });
    let svg = dots::figure(&groups, &columns, DESCRIPTION, width_mm.unwrap_or(174.0))?;
    Ok((svg, caption(&rows, with_fisher)))
}

fn caption(rows: &[BlockRow], with_fisher: bool) -> String {
    let counts = sites::counts(rows.iter().map(|row| row.granularity));
    let largest = rows.iter().max_by(|a, b| a.top_eigenvalue.total_cmp(&b.top_eigenvalue));
    let largest = largest.map_or(String::new(), |row| {
        format!(" The largest is that of {}, {}.", row.name, significant(row.top_eigenvalue, 3))
    });
    let fisher = if with_fisher { ", and the sum of its Fisher information" } else { "" };
    format!(
        "Largest eigenvalue and trace of the block of the Hessian that belongs to each of {counts}, taken by itself, with 95 % intervals \
         (bars){fisher}.{largest}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::fisher::layers::Granularity;

    /// Oracle: the renderer's layout, and counting: a row for each site, a column for each quantity, a value below 0 among them.
    #[test]
    fn curvature_is_drawn_layer_by_layer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.layers.csv");
        for (layers, fisher) in [(2, false), (12, true)] {
            let sites = crate::model::architectures::bert::sites(layers);
            let row = |(i, site): (usize, &crate::dropout::Place)| BlockRow {
                granularity: Granularity::Site,
                name: site.to_string(),
                parameters: 10,
                top_eigenvalue: 1.0 + i as f64,
                top_eigenvalue_within: 0.1,
                top_eigenvalue_low: 0.5,
                top_eigenvalue_high: 2.0 + i as f64,
                smallest_eigenvalue: -1.0,
                trace: 5.0 * i as f64 - 3.0,
                trace_low: -4.0,
                trace_high: 5.0 * i as f64,
                fisher: fisher.then_some(0.1 * i as f64),
            };
            let rows: Vec<BlockRow> = sites.iter().enumerate().map(row).collect();
            crate::files::write_csv(&path, &rows).unwrap();
            for width in [120.0, 174.0] {
                let (svg, caption) = draw(&path, Some(width)).unwrap();
                let texts = assert_sound(&svg);
                let names = texts.iter().filter(|(text, _)| text.ends_with("attn. probs")).count();
                assert_eq!(names, layers);
                assert_eq!(texts.iter().any(|(text, _)| text.starts_with("Fisher")), fisher);
                let words = format!("{} sites, taken by itself", 1 + 3 * layers);
                assert!(
                    caption.contains(&words) && caption.contains(&format!(", {}.", 1 + 3 * layers)),
                    "{caption}"
                );
            }
        }
        crate::files::write(
            &path,
            format!("{}\n", crate::tables::columns::<BlockRow>().join(",")).as_bytes(),
        )
        .unwrap();
        assert!(draw(&path, None).unwrap_err().to_string().contains("site or block"));
    }
}
