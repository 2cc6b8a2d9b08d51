//! The basins of an analysis' surfaces, and whether those of two arms differ.

use std::path::Path;

use serde::Deserialize;

use super::plan::depth::basins_folder;
use super::plan::{self, Model};
use crate::analysis::config::{Analysis, Parsed, Part};
use crate::analysis::titles::mask_title;
use crate::error::{Error, Result};
use crate::landscape::mask::Select;
use crate::stats::paired::{self, Difference};
use crate::tables::page::Basins;
use crate::{files, stats};

/// What is read of `topology.json`.
#[derive(Deserialize)]
struct Found {
    smad: f64,
    smad_se: Option<f64>,
    /// Minima that are shown to be basins, without the lowest.
    shown: Option<usize>,
    draws: Option<usize>,
    minima: Vec<serde::de::IgnoredAny>,
}

/// A run's basins, by its seed.
struct Run {
    seed: String,
    found: Found,
}

/// The basins of all models, mask by mask; p are not corrected yet.
pub fn compared(folder: &Path, analysis: &Analysis, models: &[Model]) -> Result<Vec<Basins>> {
    let mut rows = Vec::new();
    let (Some(surface), Some(_)) = (&analysis.surface, &analysis.topology) else { return Ok(rows) };
    let part = analysis.surfaces_over()[0];
    for Parsed(mask) in &surface.masks {
        let mut first: Vec<Run> = Vec::new();
        for (i, model) in models.iter().enumerate() {
            let runs = read(folder, analysis, (part, mask), model)?;
            let partner = |own: &Run| first.iter().find(|other| i > 0 && other.seed == own.seed);
            let pairs: Vec<(&Found, &Found)> =
                runs.iter().filter_map(|own| Some((&own.found, &partner(own)?.found))).collect();
            rows.extend(row(&runs, difference(&pairs)).map(|row| Basins {
                over: plan::part_name(part).into(),
                mask: mask_title(mask),
                model: model.title.clone(),
                ..row
            }));
            if i == 0 {
                first = runs;
            }
        }
    }
    Ok(rows)
}

fn read(
    folder: &Path,
    analysis: &Analysis,
    (part, mask): (Part, &Select),
    model: &Model,
) -> Result<Vec<Run>> {
    let one = |run: Option<&String>| {
        let path = folder.join(basins_folder(analysis, part, (model, run), mask)).join("topology.json");
        let wrong =
            |e| Error::field(path.display(), "file", "JSON", e, "run the analysis again with --force");
        let found = serde_json::from_slice(&files::read(&path)?).map_err(wrong)?;
        Ok(Run { seed: run.and_then(|run| run.rsplit('/').next()).unwrap_or_default().into(), found })
    };
    plan::surface_runs(analysis, model).into_iter().map(one).collect()
}

/// What is known of a model; the first run's minima, and the mean of all for SMAD.
fn row(runs: &[Run], difference: Option<Difference>) -> Option<Basins> {
    let first = &runs.first()?.found;
    let smads: Vec<f64> = runs.iter().map(|run| run.found.smad).collect();
    let half = difference.map(|d| d.half_width(0.95));
    let value = difference.map(|d| d.value);
    Some(Basins {
        seeds: runs.len(),
        minima: first.minima.len(),
        basins: first.shown.map(|shown| shown + 1),
        // The sum of none is -0.
        smad: stats::mean(&smads) + 0.0,
        smad_se: first.smad_se,
        difference: value,
        low: value.zip(half).map(|(value, half)| value - half),
        high: value.zip(half).map(|(value, half)| value + half),
        p: difference.map(|d| d.p()),
        ..Basins::default()
    })
}

/// The difference of SMADs over runs that are paired by seed. All runs share the examples, which more runs do not average out: their
/// error is added, of both arms as if they were not paired, which is on the safe side.
fn difference(pairs: &[(&Found, &Found)]) -> Option<Difference> {
    let values: Vec<f64> = pairs.iter().map(|(own, first)| own.smad - first.smad).collect();
    let square = |found: &Found| found.smad_se.unwrap_or(0.0).powi(2);
    let squares: Vec<f64> = pairs.iter().map(|(own, first)| square(own) + square(first)).collect();
    paired::sharing(&values, &squares, pairs.first()?.0.draws?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(smad: f64, smad_se: Option<f64>) -> Found {
        Found { smad, smad_se, shown: None, draws: Some(101), minima: Vec::new() }
    }

    /// Oracle: by hand. Differences 1, 2 and 3 have the mean 2 and the error 1/√3 over runs; with errors of 3 and 4 over examples it
    /// is the root of 1/3 + 25. Catches errors of the examples that are averaged over runs, and a claim from one pair.
    #[test]
    fn smads_are_paired_by_seed_and_share_their_examples() {
        let first = [10.0, 10.0, 10.0].map(|smad| found(smad, None));
        let own = [11.0, 12.0, 13.0].map(|smad| found(smad, None));
        let pairs: Vec<(&Found, &Found)> = own.iter().zip(&first).collect();
        let d = difference(&pairs).unwrap();
        assert_eq!((d.value, d.degrees), (2.0, 2.0));
        assert!((d.se - 3f64.sqrt().recip()).abs() < 1e-12);
        let (first, own) = (found(10.0, Some(3.0)), [11.0, 12.0, 13.0].map(|smad| found(smad, Some(4.0))));
        let pairs: Vec<(&Found, &Found)> = own.iter().map(|own| (own, &first)).collect();
        let d = difference(&pairs).unwrap();
        assert!((d.se - (25.0f64 + 1.0 / 3.0).sqrt()).abs() < 1e-12 && d.degrees > 90.0);
        assert_eq!(difference(&pairs[..1]), None);
    }
}
