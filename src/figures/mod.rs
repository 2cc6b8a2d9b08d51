//! Tables to figures: what kind of table files hold, told by their first lines, and the figure of that kind.
//!
//! Used by `render`. Most tables have a figure of their own (`SINGLE`); schedules, spectra and histories are drawn
//! together. Surfaces are no charts: they have options of their own.

pub mod agree_pairs;
pub mod audit_audit;
pub mod audit_concentration;
pub mod by_setting;
pub mod damage_layers;
pub mod differences;
pub mod fisher;
pub(crate) mod parts;
pub mod schedule;
pub mod spectrum;
pub mod stability;
pub mod stability_components;
pub mod stability_needed;
pub mod stability_overlap;
pub mod stability_ranks;
pub mod stability_tails;
pub mod training;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::tables::agreement::Curves;
use agree_pairs::{Pairs, pair_figure};
use audit_audit::{Audit, audit_figure};
use audit_concentration::{Concentration, concentration_figure};
use by_setting::{Along, along_figure};
use damage_layers::{Damage, damage_figure};
use differences::{Forest, forest_figure};
use fisher::{FisherTable, heat_figure};
use schedule::{RatesTable, schedule_figure};
use spectrum::{Spectrum, spectrum_figure};
use stability::curve_figure;
use stability_components::{Components, component_figure};
use stability_needed::{Needed, needed_figure};
use stability_overlap::{Overlap, overlap_figure};
use stability_ranks::{Trajectories, trajectory_figure};
use stability_tails::{Tails, tail_figure};
use training::{History, training_figure};

/// A figure and the files it was made from.
#[derive(Debug)]
pub struct Chart {
    pub svg: String,
    /// The same in words for a paper.
    pub caption: String,
    /// What they hold, in a word.
    pub kind: &'static str,
    pub inputs: Vec<PathBuf>,
}

/// Figure and caption of a table, at a width.
type Draw = fn(&Path, Option<f64>) -> Result<(String, String)>;

/// A table with a figure of its own.
struct Single {
    name: &'static str,
    /// By the first line of a file.
    is: fn(&str) -> bool,
    draw: Draw,
    /// What is read: the table, and what stands beside it.
    files: fn(&Path) -> Vec<PathBuf>,
}

const SINGLE: [Single; 13] = [
    Single {
        name: "study",
        is: Forest::is_study,
        draw: |path, width| {
            let read = Forest::read(path)?;
            Ok((forest_figure(&read, width)?, differences::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "scores along a setting",
        is: Along::is_along,
        draw: |path, width| {
            let read = Along::read(path)?;
            Ok((along_figure(&read, width)?, by_setting::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "agreement",
        is: Curves::is_agreement,
        draw: |path, width| {
            let read = Curves::read(path)?;
            Ok((curve_figure(&read, width)?, stability::caption(&read)))
        },
        files: Curves::files,
    },
    Single {
        name: "Fisher table",
        is: FisherTable::is_fisher,
        draw: |path, width| {
            let read = FisherTable::read(path)?;
            Ok((heat_figure(&read, width)?, fisher::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "ranks",
        is: Trajectories::is_ranks,
        draw: |path, width| {
            let read = Trajectories::read(path)?;
            Ok((trajectory_figure(&read, width)?, stability_ranks::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "tails",
        is: Tails::is_tails,
        draw: |path, width| {
            let read = Tails::read(path)?;
            Ok((tail_figure(&read, width)?, stability_tails::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "examples needed",
        is: Needed::is_needed,
        draw: |path, width| {
            let read = Needed::read(path)?;
            Ok((needed_figure(&read, width)?, stability_needed::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "variance components",
        is: Components::is_components,
        draw: |path, width| {
            let read = Components::read(path)?;
            Ok((component_figure(&read, width)?, stability_components::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "overlap",
        is: Overlap::is_overlap,
        draw: |path, width| {
            let read = Overlap::read(path)?;
            Ok((overlap_figure(&read, width)?, stability_overlap::caption(&read)))
        },
        files: alone,
    },
    Single {
        name: "audit",
        is: Audit::is_audit,
        draw: |path, width| {
            let read = Audit::read(path)?;
            Ok((audit_figure(&read, width)?, audit_audit::caption(&read)))
        },
        files: Audit::files,
    },
    Single {
        name: "concentration",
        is: Concentration::is_concentration,
        draw: |path, width| {
            let read = Concentration::read(path)?;
            Ok((concentration_figure(&read, width)?, audit_concentration::caption(&read)))
        },
        files: Concentration::files,
    },
    Single {
        name: "damage",
        is: Damage::is_damage,
        draw: |path, width| {
            let read = Damage::read(path)?;
            Ok((damage_figure(&read, width)?, damage_layers::caption(&read)))
        },
        files: Damage::files,
    },
    Single {
        name: "pairs",
        is: Pairs::is_pairs,
        draw: |path, width| {
            let read = Pairs::read(path)?;
            Ok((pair_figure(&read, width)?, agree_pairs::caption(&read)))
        },
        files: Pairs::files,
    },
];

/// Nothing beside it.
fn alone(path: &Path) -> Vec<PathBuf> {
    vec![path.to_path_buf()]
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A place in [`SINGLE`].
    Single(usize),
    Rates,
    History,
    Spectrum,
}

impl Kind {
    /// By the first line of a file.
    fn of(text: &str) -> Option<Kind> {
        let several = [
            (Kind::Rates, RatesTable::is_rates(text)),
            (Kind::History, History::is_history(text)),
            (Kind::Spectrum, Spectrum::is_spectrum(text)),
        ];
        let single = SINGLE.iter().position(|single| (single.is)(text)).map(Kind::Single);
        single.or_else(|| several.into_iter().find_map(|(kind, is)| is.then_some(kind)))
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Single(i) => SINGLE[i].name,
            Kind::Rates => "rates",
            Kind::History => "history",
            Kind::Spectrum => "spectral density",
        }
    }
}

/// The figure of `paths`, or `None` if none of them is a table with a chart. `titles` go with the paths or are empty:
/// then schedules and spectra are called by their file, and training runs by the folder of their arm. Histories of one
/// title are seeds of one arm.
///
/// # Errors
///
/// [`Error::Field`] for tables of several kinds, for several of a kind that has a figure of its own, and as the
/// readers and figures of each kind.
pub fn chart(paths: &[PathBuf], titles: &[String], width_mm: Option<f64>) -> Result<Option<Chart>> {
    let mut kinds = Vec::new();
    for path in paths {
        // Surfaces may be binary.
        let bytes = files::read(path)?;
        kinds.push(Kind::of(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}')));
    }
    let Some((i, kind)) = kinds.iter().enumerate().find_map(|(i, kind)| Some((i, (*kind)?))) else {
        return Ok(None);
    };
    let path = &paths[i];
    if matches!(kind, Kind::Single(_)) && paths.len() > 1 {
        let found = format!("{} among others", kind.name());
        return Err(Error::field(path.display(), "file", "the only one", found, "give it alone"));
    }
    if let Some(other) = kinds.iter().position(|other| *other != Some(kind)) {
        let found = kinds[other].map_or("none of the tables with a chart", Kind::name);
        let expected = format!("{}, as {}", kind.name(), path.display());
        return Err(Error::field(paths[other].display(), "file", expected, found, "give one kind at a time"));
    }
    let title = |i: usize, or: fn(&Path) -> String| titles.get(i).cloned().unwrap_or_else(|| or(&paths[i]));
    let (svg, caption) = match kind {
        Kind::Single(i) => (SINGLE[i].draw)(path, width_mm)?,
        Kind::Rates => {
            let mut schedules = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                schedules.push((title(i, stem), RatesTable::read(path)?));
            }
            (schedule_figure(&schedules, width_mm)?, schedule::caption(&schedules))
        }
        Kind::Spectrum => {
            let mut spectra = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                spectra.push((title(i, stem), Spectrum::read(path)?));
            }
            (spectrum_figure(&spectra, width_mm)?, spectrum::caption(&spectra))
        }
        Kind::History => {
            let mut arms: Vec<(String, Vec<History>)> = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                let (name, history) = (title(i, arm), History::read(path)?);
                match arms.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, seeds)) => seeds.push(history),
                    None => arms.push((name, vec![history])),
                }
            }
            (training_figure(&arms, width_mm)?, training::caption(&arms))
        }
    };
    let inputs = match kind {
        Kind::Single(i) => (SINGLE[i].files)(path),
        _ => paths.to_vec(),
    };
    Ok(Some(Chart { svg, caption, kind: kind.name(), inputs }))
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The arm of a history by its place: `ARM/history.csv` or `ARM/seed3/history.csv`.
fn arm(path: &Path) -> String {
    let folders =
        path.ancestors().skip(1).filter_map(|folder| folder.file_name()).map(|name| name.to_string_lossy());
    let is_seed = |name: &str| {
        name.trim_start_matches("seed").trim_start_matches(['-', '_', '=']).parse::<u64>().is_ok()
    };
    let mut named = folders.skip_while(|name| is_seed(name));
    named.next().map_or_else(|| stem(path), |name| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str =
        "epoch,step,train_loss,held_out_loss,held_out_loss_se\n1,5,1,1,0.1\n2,10,0.9,0.8,0.1\n";
    const RATES: &str = "site,score,score_se,rank,p\nembeddings,,,0,0\nlayer.0.attention_probs,,,1,0.1\n\
                         layer.0.attention_output,,,2,0.1\nlayer.0.ffn_output,,,3,0.1\n";
    const SPECTRUM: &str = "curve,eigenvalue,density,density_sd\ndensity,0,1,\ndensity,1,2,\n";
    const OVERLAP: &str = "draw,fraction,repeat,examples,top,k,overlap,overlap_complement,captured,chance,gini\n\
                           nested,0.1,0,5,0.01,2,0.5,0.4,0.9,0.005,0.9\n";
    const NEEDED: &str = "draw,fraction,repeat,granularity,threshold,examples,predicted,predicted_low,predicted_high,\
                          expected,pairs,checked,checked_sd\nfull,1,0,site,0.9,50,20,10,40,0.9,5,0.9,0.01\n";
    const FISHER: &str = "name,site,block,numel,mean,mean_se,sum,max\nbert.embeddings.LayerNorm.bias,embeddings,embeddings,4,1,0,4,1\n";

    #[test]
    fn files_are_told_by_their_first_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            files::write(&path, text.as_bytes()).unwrap();
            path
        };
        let [history, rates, fisher, surface, spectrum] = [
            file("none/seed0/history.csv", HISTORY),
            file("r.csv", RATES),
            file("f.csv", FISHER),
            file("s.csv", "a,b,loss\n0,0,1\n"),
            file("d.csv", SPECTRUM),
        ];
        let (overlap, needed) = (file("o.csv", OVERLAP), file("n.csv", NEEDED));
        let of = |paths: &[&PathBuf], titles: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            chart(&paths, &titles.iter().map(|t| t.to_string()).collect::<Vec<_>>(), None)
        };
        for (path, kind, word) in [
            (&history, "history", ">none<"),
            (&rates, "rates", ">r<"),
            (&fisher, "Fisher table", ">embeddings<"),
            (&spectrum, "spectral density", ">d<"),
            (&overlap, "overlap", ">overlap of the top sets<"),
            (&needed, "examples needed", ">examples for agreement 0.9<"),
        ] {
            let chart = of(&[path], &[]).unwrap().unwrap();
            assert_eq!((chart.kind, chart.inputs), (kind, vec![path.clone()]));
            // One paragraph.
            assert!(
                chart.caption.ends_with(".\n") && chart.caption.lines().count() == 1,
                "{}",
                chart.caption
            );
            assert!(chart.svg.contains(word), "{word}");
        }
        let binary = folder.path().join("s.h5");
        files::write(&binary, b"\x89HDF\r\n\x1a\n\xff\xfe").unwrap();
        for surface in [&surface, &binary] {
            assert!(of(&[surface], &[]).unwrap().is_none());
        }
        // One title, one arm.
        let svg = of(&[&history, &history], &["a", "a"]).unwrap().unwrap().svg;
        assert!(svg.matches(">a<").count() == 1 && svg.contains(">single seeds<"));
        assert!(!of(&[&history, &history], &["a", "b"]).unwrap().unwrap().svg.contains(">single seeds<"));
        for (paths, words) in [
            ([&fisher, &fisher], "the only one"),
            ([&overlap, &needed], "the only one"),
            ([&rates, &history], "`file` must be rates"),
            ([&surface, &rates], "s.csv: `file` must be rates"),
        ] {
            let message = of(&paths, &[]).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn an_arm_is_the_folder_above_its_seeds() {
        for (path, name) in [
            ("runs/guided:f/seed0/history.csv", "guided:f"),
            ("runs/none/history.csv", "none"),
            ("/runs/none/seed_12/history.csv", "none"),
            ("none/3/history.csv", "none"),
            ("seedling/history.csv", "seedling"),
            ("seed1/history.csv", "history"),
            ("history.csv", "history"),
        ] {
            assert_eq!(arm(Path::new(path)), name, "{path}");
        }
    }
}
