//! Whether Fisher scores tell what damage to a layer costs, as SVG: measured rise of the loss against each predictor.
//!
//! A panel for each way of making one score of a site's tensors and for the second-order prediction ½ Σ F d², with
//! Spearman's ρ and its interval in the title. Colours are kinds of site, which the colour-blind can distinguish; shapes too.
//!
//! Takes [`Damage`], the `layers.csv` of `damage`, with `correlations.csv` beside it; what is missing is left out.

use std::path::Path;

use crate::draw::legend::Entry;
use crate::draw::panels::{Panel, PerRow, counted, identity, sheet};
use crate::draw::text::capital;
use crate::error::{Error, Result};
use crate::figures::parts::scatter::{LOST, Mark, Scatter, has_lost, lost_words, scattered, zero};
use crate::figures::parts::sites;
use crate::fisher::layers::Granularity;
use crate::tables::damage::{CorrelationRow, LayerRow};
use crate::tables::{self, Table};

/// For readers of the file.
const DESCRIPTION: &str = "Measured rise of the loss when one site is perturbed against Fisher scores and the \
                           second-order prediction.";

/// A predictor's column, its title, its axis.
type Predictor = (&'static str, &'static str, &'static str, fn(&LayerRow) -> f64);

const PREDICTORS: [Predictor; 4] = [
    ("mean_of_means", "mean of tensor means", "Fisher score", |layer| layer.mean_of_means),
    ("mean", "mean over parameters", "Fisher score", |layer| layer.mean),
    ("sum", "sum over parameters", "Fisher score", |layer| layer.sum),
    ("predicted", "second-order prediction", "predicted rise (nats)", |layer| layer.predicted),
];

/// Sites and what was measured of them.
#[derive(Clone, Debug)]
pub struct Damage {
    sites: Vec<LayerRow>,
    correlations: Vec<CorrelationRow>,
}

impl Damage {
    /// Reads `layers.csv` and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no site, or a name that is no site.
    pub fn read(path: &Path) -> Result<Damage> {
        let mut sites: Vec<LayerRow> = tables::read(path)?;
        sites.retain(|layer| layer.granularity == Granularity::Site);
        if sites.is_empty() {
            return Err(Error::field(
                path.display(),
                "granularity",
                "`site` in some row",
                "none",
                LayerRow::FIX,
            ));
        }
        if let Some(layer) = sites.iter().find(|layer| sites::kind(&layer.name).is_none()) {
            return Err(Error::field(path.display(), "name", "a dropout site", &layer.name, LayerRow::FIX));
        }
        Ok(Damage { sites, correlations: tables::read_beside(path)? })
    }

    /// `ρ = 0.82 [0.61, 0.93]` of a predictor with the rise, where it is known.
    fn correlation(&self, predictor: &str) -> Option<String> {
        let own = |row: &&CorrelationRow| {
            (row.granularity, row.predictor.as_str(), row.outcome.as_str())
                == (Granularity::Site, predictor, "rise")
        };
        let row = self.correlations.iter().find(own)?;
        let number = |v: f64| format!("{v:.2}").replace('-', "−");
        let Some(rho) = row.spearman else { return Some("ρ is not defined".to_owned()) };
        let ends = row.spearman_low.zip(row.spearman_high);
        let ends = ends.map(|(low, high)| format!(" [{}, {}]", number(low), number(high)));
        Some(format!("ρ = {}{}", number(rho), ends.unwrap_or_default()))
    }
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Damage::read(path)?;
    Ok((damage_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn damage_figure(read: &Damage, width_mm: Option<f64>) -> Result<String> {
    let panels: Vec<Panel> = PREDICTORS.iter().map(|predictor| scatter(read, predictor)).collect();
    let columns = PerRow { wide: 4, narrow: 2 };
    sheet(&panels, columns, width_mm.unwrap_or(174.0), entries(read, &panels), DESCRIPTION)
}

fn scatter<'a>(read: &'a Damage, &(column, title, across, value): &'a Predictor) -> Panel<'a> {
    let mark = |layer: &LayerRow| Mark {
        x: value(layer),
        y: layer.rise,
        se: Some(layer.rise_se),
        style: sites::kind(&layer.name).unwrap_or(0),
    };
    let Scatter { spans, shown, lost } = Scatter::new(read.sites.iter().map(mark).collect(), &[]);
    let rho = read.correlation(column);
    Panel {
        title: title.to_owned(),
        notes: rho.into_iter().chain(lost_words(lost, "site")).collect(),
        spans,
        words: (across, "rise (nats)"),
        draw: Box::new(move |canvas, plot| {
            if column == "predicted" {
                identity(canvas, plot);
            }
            zero(canvas, plot);
            scattered(canvas, plot, &shown);
        }),
    }
}

fn entries(read: &Damage, panels: &[Panel]) -> Vec<Entry<'static>> {
    let names: Vec<&str> = read.sites.iter().map(|layer| layer.name.as_str()).collect();
    let mut entries = sites::kinds(&names);
    entries.push(Entry::interval("± standard error"));
    entries.push(Entry::level("y = x"));
    entries.extend(has_lost(panels).then(|| Entry::note(LOST)));
    entries
}

/// The figure in words for a paper: what is drawn, of how many sites, and the correlations.
pub fn caption(read: &Damage) -> String {
    let n = read.sites.len();
    let mut out = format!(
        "Measured rise of the loss when one dropout site’s parameters are perturbed against the site’s Fisher score, \
         made by three aggregates, and against the second-order prediction ½ Σ F d²; {}. Bars are ± standard errors.",
        counted(n, "site")
    );
    for (column, title, ..) in PREDICTORS {
        if let Some(rho) = read.correlation(column) {
            out += &format!(" {}: Spearman’s {rho}.", capital(title));
        }
    }
    if !read.correlations.is_empty() {
        out += " Brackets are 95 % intervals.";
    }
    let below = read.sites.iter().filter(|layer| layer.rise.is_nan() || layer.rise <= 0.0).count();
    if below > 0 {
        out += &format!(
            " Of the sites {below} of {n} show no rise above 0; where an axis is logarithmic, they are not shown."
        );
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::draw::canvas::Point;
    use crate::draw::tests::{assert_sound, attribute};
    use crate::dropout::Place;
    use crate::files;
    use crate::model::architectures::bert;

    const HEADER: &str =
        "granularity,name,parameters,mean_of_means,mean,sum,predicted,hessian,hessian_se,rise,rise_se\n";

    /// Sites of a BERT whose rise is `rise(k)`, scores 10^k / 10^4.
    fn layers(layers: usize, rise: impl Fn(usize) -> f64) -> String {
        let row = |(k, site): (usize, Place)| {
            let score = 10f64.powf(k as f64 / 10.0 - 4.0);
            format!(
                "site,{site},10,{score},{score},{score},{score},1,0.1,{},{}\n",
                rise(k),
                rise(k).abs() / 5.0
            )
        };
        HEADER.to_owned() + &bert::sites(layers).into_iter().enumerate().map(row).collect::<String>()
    }

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            files::write(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        let path = folder.path().join("layers.csv");
        (folder, path)
    }

    const CORRELATIONS: &str = "granularity,predictor,outcome,layers,spearman,spearman_low,spearman_high\n\
                                site,mean,rise,13,0.825,0.61,0.934\nsite,mean,hessian,13,0.1,0,0.2\n\
                                site,sum,rise,13,-0.825,-0.934,-0.61\nsite,predicted,rise,13,,,\n";
    /// Oracle: on paper. Where rise = predicted the markers stand on the line y = x: evenly both ways.
    #[test]
    fn sites_stand_at_their_place() {
        let (_folder, path) = folder(&[("layers.csv", &layers(4, |k| 10f64.powf(k as f64 / 10.0 - 4.0)))]);
        let svg = damage_figure(&Damage::read(&path).unwrap(), None).unwrap();
        let circles: Vec<Point> = svg
            .lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| (attribute(line, "cx"), attribute(line, "cy")))
            .collect();
        // Attention probabilities of four layers in four panels, and the key.
        assert_eq!(circles.len(), 17);
        for four in circles[..16].chunks(4) {
            let (dx, dy) = (four[1].0 - four[0].0, four[1].1 - four[0].1);
            assert!((four[3].0 - four[0].0 - 3.0 * dx).abs() < 0.05, "{four:?}");
            assert!((four[3].1 - four[0].1 - 3.0 * dy).abs() < 0.05 && dy < 0.0, "{four:?}");
        }
        assert_sound(&svg);
    }

    /// Oracle: the renderer's layout, and counts on paper. One of 13 sites below 0 is left out and counted; six of them
    /// are shown instead.
    #[test]
    fn sites_without_a_rise_are_counted_or_shown() {
        for (negative, layers_, lost) in [(0, 4, 0), (1, 4, 1), (6, 4, 0), (3, 12, 3), (13, 4, 0)] {
            let rise =
                |k: usize| if k < negative { -1e-5 * (k + 1) as f64 } else { 1e-4 * 1.5f64.powi(k as i32) };
            let table = layers(layers_, rise);
            let all = [("layers.csv", table.as_str()), ("correlations.csv", CORRELATIONS)];
            for tables in [&all[..1], &all[..]] {
                let (_folder, path) = folder(tables);
                let read = Damage::read(&path).unwrap();
                assert_eq!(tables::with_beside(&path, LayerRow::BESIDE).len(), tables.len());
                for width in [84.0, 170.0] {
                    let svg = damage_figure(&read, Some(width)).unwrap();
                    assert_sound(&svg);
                    let words = format!("not shown: {}<", counted(lost, "site"));
                    assert_eq!(svg.matches(&words).count(), if lost > 0 { 4 } else { 0 }, "{negative}");
                    assert_eq!(svg, damage_figure(&read, Some(width)).unwrap());
                }
                let caption = caption(&read);
                assert!(caption.ends_with(".\n") && caption.lines().count() == 1, "{caption}");
                assert_eq!(caption.contains("ρ = 0.82 [0.61, 0.93]"), tables.len() > 1, "{caption}");
            }
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        for (files, field) in [
            (&[("layers.csv", HEADER)][..], "`granularity`"),
            (&[("layers.csv", &format!("{HEADER}site,head,1,1,1,1,1,1,1,1,1\n"))], "`name`"),
        ] {
            let (_folder, path) = folder(files);
            assert_eq!(crate::figures::tests::named(HEADER), Some("damage_layers"));
            assert!(Damage::read(&path).unwrap_err().to_string().contains(field));
        }
    }
}
