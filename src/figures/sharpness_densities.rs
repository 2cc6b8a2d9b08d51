//! The eigenvalues of each layer's own block of the Hessian as SVG: a panel for each site or block with the density of its eigenvalues, smoothed as the
//! whole model's is, its largest eigenvalue at the foot, and in its notes the trace and the sum of its Fisher information, where that is known: what
//! the trace would be if the model were right about its labels.
//!
//! The trap: each panel has an axis of its own, for layers differ in curvature by orders of magnitude. The smoothing goes with the range,
//! so the width of the peak at 0 is that of the smoothing.
//!
//! Takes the `SHARPNESS.layers.spectrum.csv` of `sharpness --by`.

use std::path::Path;

use crate::draw::axis::range;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{colour, marker, solid};
use crate::draw::frame::Plot;
use crate::draw::legend::Entry;
use crate::draw::numbers::significant;
use crate::draw::panels::{Panel, PerRow, Span, sheet, stretched};
use crate::error::{Error, Result};
use crate::figures::parts::sites;
use crate::tables::sharpness::BlockSpectrumRow;
use crate::tables::{self, Table};

/// For readers of the file.
const DESCRIPTION: &str = "Density of the eigenvalues of each layer's own block of the Hessian on a logarithmic axis, with its largest eigenvalue, \
                           its trace and the sum of its Fisher information, where known; bands are ± a standard deviation over probes.";
/// Part of the highest density below which nothing is drawn: what kernels of far eigenvalues leave.
const FLOOR: f64 = 1e-8;

/// The block of a layer.
struct Layer {
    name: String,
    /// Eigenvalue, density and its standard deviation, ascending.
    density: Vec<(f64, f64, Option<f64>)>,
    top: Option<f64>,
    trace: Option<f64>,
    fisher: Option<f64>,
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let mut rows: Vec<BlockSpectrumRow> = tables::read_some(path)?;
    rows.retain(|row| sites::SHOWN.contains(&row.granularity));
    let layers = layers(path, &rows)?;
    let panels: Vec<Panel> = layers.iter().map(panel).collect();
    let with_band = layers.iter().any(|layer| layer.density.iter().any(|point| point.2.is_some()));
    let mut entries = vec![Entry::curve(0, "density of the eigenvalues; the marker is the largest")];
    if with_band {
        entries.push(Entry::band("± standard deviation over probes"));
    }
    let columns = PerRow { wide: 4, narrow: 2 };
    let svg = sheet(&panels, columns, width_mm.unwrap_or(174.0), entries, DESCRIPTION)?;
    Ok((svg, caption(&layers)))
}

fn layers(path: &Path, rows: &[BlockSpectrumRow]) -> Result<Vec<Layer>> {
    let wrong = |field: &str, expected: &str, found: &str| {
        Err(Error::field(path.display(), field, expected, found, BlockSpectrumRow::FIX))
    };
    let mut layers: Vec<Layer> = Vec::new();
    for row in rows {
        if layers.last().is_none_or(|layer| layer.name != row.name) {
            let name = row.name.clone();
            layers.push(Layer { name, density: Vec::new(), top: None, trace: None, fisher: None });
        }
        let Some(layer) = layers.last_mut() else { continue };
        match (row.curve.as_str(), row.density) {
            ("density", Some(density)) => layer.density.push((row.eigenvalue, density, row.density_sd)),
            ("density", None) => return wrong("density", "a number", "nothing"),
            ("top_eigenvalue", _) => layer.top = Some(row.eigenvalue),
            ("trace", _) => layer.trace = Some(row.eigenvalue),
            ("fisher", _) => layer.fisher = Some(row.eigenvalue),
            (other, _) => return wrong("curve", "density, top_eigenvalue, trace or fisher", other),
        }
    }
    if layers.is_empty() {
        return wrong("granularity", "site or block in some row", "neither");
    }
    match layers.iter().find(|layer| !layer.density.iter().any(|point| point.1 > 0.0)) {
        Some(layer) => wrong("density", "above 0 somewhere", &layer.name),
        None => Ok(layers),
    }
}

fn panel(layer: &Layer) -> Panel<'_> {
    let highest = layer.density.iter().map(|point| point.1).fold(0.0, f64::max);
    let floor = FLOOR * highest;
    let seen = || layer.density.iter().filter(move |point| point.1 >= floor);
    let across = range(seen().map(|point| point.0).chain(layer.top));
    let upright = Span::logarithmic(seen().flat_map(|(_, d, sd)| [*d, d + sd.unwrap_or(0.0)]));
    let number = |value: Option<f64>| value.map(|value| significant(value, 3));
    let trace = number(layer.trace).map(|value| format!("trace {value}"));
    let fisher = number(layer.fisher).map(|value| format!("F {value}"));
    Panel {
        title: sites::label(&layer.name),
        notes: vec![trace.into_iter().chain(fisher).collect::<Vec<_>>().join(", ")],
        spans: across.map(|(low, high)| Span::Linear(low, high)).zip(upright),
        words: ("eigenvalue", "density"),
        draw: Box::new(move |canvas, plot| curve(canvas, plot, layer, floor)),
    }
}

fn curve(canvas: &Canvas, plot: &Plot, layer: &Layer, floor: f64) {
    let inside = || layer.density.iter().filter(|point| (plot.x.low..=plot.x.high).contains(&point.0));
    let band: Vec<(f64, f64, f64)> =
        inside().filter_map(|(x, d, sd)| Some((*x, (d - (*sd)?).max(floor), d + (*sd)?))).collect();
    if band.len() > 1 {
        plot.band(canvas, &band, colour(0));
    }
    let points: Vec<Point> = inside().map(|(x, d, _)| (*x, d.max(floor))).collect();
    plot.pieces(&points).into_iter().for_each(|piece| solid(canvas, &stretched(piece), colour(0)));
    if let Some(top) = layer.top {
        marker(canvas, plot.at(top, plot.y.low), 0);
    }
}

fn caption(layers: &[Layer]) -> String {
    let most = layers.iter().max_by(|a, b| a.trace.unwrap_or(0.0).total_cmp(&b.trace.unwrap_or(0.0)));
    let largest =
        most.and_then(|layer| Some((layer, layer.trace?))).map_or(String::new(), |(layer, trace)| {
            format!(" The largest trace is that of {}, {}.", layer.name, significant(trace, 3))
        });
    let fisher = match layers.iter().any(|layer| layer.fisher.is_some()) {
        true => {
            " F is the sum of the Fisher information of the same parameters: the trace, if the model were right about its labels."
        }
        false => "",
    };
    format!(
        "Density of the eigenvalues of the block of the Hessian that belongs to each of {} layers, taken by itself, on axes of their own; the \
         markers are the largest eigenvalues.{fisher}{largest}\n",
        layers.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::fisher::layers::Granularity;

    /// A normal curve about 0 for each layer of this many, and the numbers beside it.
    fn rows(layers: usize, fisher: bool) -> Vec<BlockSpectrumRow> {
        let of = |i: usize| {
            let row = |curve: &str, eigenvalue: f64, density: Option<f64>| BlockSpectrumRow {
                granularity: Granularity::Block,
                name: format!("layer.{i}"),
                curve: curve.into(),
                eigenvalue,
                density,
                density_sd: density.map(|d| 0.1 * d),
            };
            let point = |k: usize| {
                let x = (k as f64 - 20.0) / 10.0;
                row("density", x, Some((-x * x).exp()))
            };
            let mut own: Vec<BlockSpectrumRow> = (0..60).map(point).collect();
            own.extend([row("top_eigenvalue", 3.5, None), row("trace", 10.0 + i as f64, None)]);
            own.extend(fisher.then(|| row("fisher", 7.25, None)));
            own
        };
        (0..layers).flat_map(of).collect()
    }

    /// Oracle: the renderer's layout at both widths, and counting: a panel with title and notes for each layer, a band and a marker in each.
    #[test]
    fn each_layer_has_its_density() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.layers.spectrum.csv");
        for (layers, fisher) in [(2, true), (12, false)] {
            crate::files::write_csv(&path, &rows(layers, fisher)).unwrap();
            for width in [Some(84.0), None] {
                let (svg, caption) = draw(&path, width).unwrap();
                let texts = assert_sound(&svg);
                let having = |word: &str| texts.iter().filter(|(text, _)| text.contains(word)).count();
                assert_eq!((having("trace "), having("F 7.25")), (layers, if fisher { layers } else { 0 }));
                assert_eq!(svg.matches("fill-opacity=\".16\"").count(), layers);
                let words = format!("The largest trace is that of layer.{}", layers - 1);
                assert!(caption.contains(&words) && caption.lines().count() == 1, "{caption}");
            }
        }
        let mut wrong = rows(1, false);
        wrong[60].curve = "way".into();
        crate::files::write_csv(&path, &wrong).unwrap();
        let message = draw(&path, None).unwrap_err().to_string();
        assert!(message.contains("top_eigenvalue, trace or fisher, found way"), "{message}");
    }
}
